//! `admission`: how long it takes from the first request to the last consumer that is admitted.
//!
//! Invariant: no figure is printed of a run after which a batch found anything else than a plain scan finds.

use anyhow::{Context, ensure};
use bytes::Bytes;
use sc_matching::Publication;

use crate::cli::{AdmissionArgs, OwnerKind};
use crate::fleet::{Results, Row, Usage, World, seconds, split};
use crate::report::{line, note};
use crate::role::Binaries;
use crate::workload::{Data, parse_subscriptions};
use crate::{descriptors, machine};

/// Publications with which a run is checked after the clock has stopped.
const CHECKED: usize = 100;

/// One configuration.
struct Case<'a> {
    owner: OwnerKind,
    consumers: u64,
    /// Of all consumers, the first one's first.
    subscriptions: &'a [&'a str],
    /// Published when all are admitted.
    batch: &'a [Publication],
    processes: u64,
}

/// What one run gave.
struct Sample {
    linked_s: f64,
    admitted_s: f64,
    usage: Usage,
}

impl Sample {
    fn figures(&self) -> Vec<(&'static str, f64)> {
        let mut figures = vec![
            ("connect and prove s", self.linked_s),
            ("admit all s", self.admitted_s),
        ];
        figures.extend(self.usage.figures());
        figures
    }
}

pub(crate) fn run(arguments: &AdmissionArgs) -> anyhow::Result<()> {
    let binaries = Binaries::find()?;
    let results = Results::open(arguments.fleet.json.as_deref())?;
    descriptors::raise(arguments.consumers.iter().copied().max().unwrap_or(0))?;
    line(&machine::describe());
    let workload = Data::Bundled.workload(arguments.subscriptions)?;
    line(&format!(
        "data: {}; {CHECKED} publications after each run",
        workload.description
    ));
    let texts: Vec<_> = workload.subscriptions_text.lines().collect();
    let mut publications = workload.publications()?;
    publications.truncate(CHECKED);
    let cases = cases(arguments, &texts, &publications)?;
    let mut rows: Vec<Row> = cases.iter().map(Case::row).collect();
    for number in 1..=arguments.fleet.runs {
        for (case, row) in cases.iter().zip(&mut rows) {
            let named = || format!("run {number}, {} owner, {}", case.owner, case.consumers);
            let sample = case.sample(&binaries).with_context(named)?;
            note(&format!(
                "{} consumers: {:.2} s to connect, {:.2} s to admit",
                named(),
                sample.linked_s,
                sample.admitted_s
            ));
            row.runs.push(sample.figures());
        }
    }
    line("");
    results.tell("admission", &rows)?;
    line("");
    line(
        "After each run a batch was delivered as a plain scan expects. docs/BENCHMARKS.md says what this means.",
    );
    Ok(())
}

fn cases<'a>(
    arguments: &AdmissionArgs,
    subscriptions: &'a [&'a str],
    batch: &'a [Publication],
) -> anyhow::Result<Vec<Case<'a>>> {
    let mut cases = Vec::new();
    for owner in &arguments.owner {
        for consumers in &arguments.consumers {
            ensure!(
                (subscriptions.len() as u64).is_multiple_of(*consumers),
                "{} subscriptions are not the same number for each of {consumers} consumers",
                subscriptions.len()
            );
            cases.push(Case {
                owner: *owner,
                consumers: *consumers,
                subscriptions,
                batch,
                processes: arguments.fleet.processes,
            });
        }
    }
    Ok(cases)
}

impl Case<'_> {
    fn each(&self) -> u64 {
        self.subscriptions.len() as u64 / self.consumers
    }

    fn row(&self) -> Row {
        Row {
            case: vec![
                ("owner", self.owner.to_string()),
                ("consumers", self.consumers.to_string()),
                ("subscriptions each", self.each().to_string()),
            ],
            runs: Vec::new(),
        }
    }

    fn sample(&self, binaries: &Binaries) -> anyhow::Result<Sample> {
        let loads = self.loads()?;
        let expected = self.expected(&loads)?;
        let total = expected.iter().sum();

        let mut world = World::start(binaries, self.owner, &loads)?;
        let (connect_ns, linked_ns) = world.connect()?;
        let (open_ns, admitted_ns) = world.admit()?;
        let usage = world.usage()?;
        let payload = Bytes::from_static(b"a payload");
        let batch = self
            .batch
            .iter()
            .cloned()
            .map(|publication| (publication, payload.clone()));
        let (_, matched) = world.publish(batch.collect())?;
        ensure!(
            matched == total,
            "a batch matched {matched} times instead of {total}"
        );
        for (load, deliveries) in expected.iter().enumerate() {
            world.delivered(load, *deliveries)?;
        }
        let asked_again = world.end(total, None)?.asked_again;
        Ok(Sample {
            linked_s: seconds(connect_ns, linked_ns),
            admitted_s: seconds(open_ns, admitted_ns),
            usage: Usage {
                asked_again,
                ..usage
            },
        })
    }

    /// The consumers of each process and their subscriptions.
    fn loads(&self) -> anyhow::Result<Vec<(u64, String)>> {
        let mut rest = self.subscriptions;
        let sizes = split(self.consumers, self.processes).into_iter();
        let loads = sizes.map(|count| {
            let (these, others) = rest.split_at(usize::try_from(count * self.each())?);
            rest = others;
            Ok((count, these.join("\n") + "\n"))
        });
        loads.collect()
    }

    /// How often the subscriptions of each process match in the batch, by a plain scan.
    fn expected(&self, loads: &[(u64, String)]) -> anyhow::Result<Vec<u64>> {
        let counts = loads.iter().map(|(_, text)| {
            let subscriptions = parse_subscriptions(text)?;
            let matching = subscriptions.iter().flat_map(|(_, subscription)| {
                self.batch
                    .iter()
                    .filter(|publication| subscription.matches(publication))
            });
            Ok(matching.count() as u64)
        });
        counts.collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn arguments(consumers: u64) -> AdmissionArgs {
        AdmissionArgs {
            subscriptions: 12,
            consumers: vec![consumers],
            owner: vec![OwnerKind::XWing],
            fleet: crate::cli::FleetArgs {
                processes: 2,
                runs: 1,
                json: None,
            },
        }
    }

    #[test]
    fn processes_get_all_subscriptions_in_order_and_each_consumer_as_many() {
        let workload = Data::Bundled.workload(12).unwrap();
        let texts: Vec<_> = workload.subscriptions_text.lines().collect();
        let cases = cases(&arguments(3), &texts, &[]).unwrap();

        let loads = cases[0].loads().unwrap();

        assert_eq!(cases[0].each(), 4);
        assert_eq!((loads[0].0, loads[1].0), (2, 1));
        assert_eq!(
            loads[0].1.clone() + &loads[1].1,
            workload.subscriptions_text
        );
    }

    #[test]
    fn subscriptions_that_cannot_be_shared_out_are_an_error() {
        assert!(cases(&arguments(5), &["", "", ""], &[]).is_err());
    }

    #[test]
    fn what_each_process_has_to_get_adds_up_to_what_a_plain_scan_finds() {
        let workload = Data::Bundled.workload(12).unwrap();
        let texts: Vec<_> = workload.subscriptions_text.lines().collect();
        let publications = workload.publications().unwrap();
        let cases = cases(&arguments(3), &texts, &publications).unwrap();

        let expected = cases[0].expected(&cases[0].loads().unwrap()).unwrap();

        let all: u64 = workload.expected().unwrap().values().sum();
        assert!(all > 0);
        assert_eq!(expected.iter().sum::<u64>(), all);
    }
}
