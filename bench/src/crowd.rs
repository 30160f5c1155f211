//! `crowd`: thousands of consumers at one router, some of which stop reading.
//!
//! Invariant: no figure is printed of a run in which a consumer, running or stopped, did not get exactly its one
//! delivery.

use std::fmt::Write as _;

use anyhow::{Context, ensure};
use bytes::Bytes;
use sc_matching::{Name, Publication, Value};

use crate::cli::CrowdArgs;
use crate::fleet::{Results, Row, Usage, World, now_ns, seconds, split};
use crate::report::{line, note};
use crate::role::Binaries;
use crate::{descriptors, machine};

/// Values of the attribute on which consumers subscribe; the batch has a publication for each.
const SYMBOLS: u64 = 200;

/// What one run gave.
struct Sample {
    linked_s: f64,
    admitted_s: f64,
    delivered_s: f64,
    resumed_s: f64,
    usage: Usage,
}

impl Sample {
    fn figures(&self) -> Vec<(&'static str, f64)> {
        let mut figures = vec![
            ("connect and prove s", self.linked_s),
            ("admit all s", self.admitted_s),
            ("publish to last running s", self.delivered_s),
            ("resume to last stopped s", self.resumed_s),
        ];
        figures.extend(self.usage.figures());
        figures
    }
}

pub(crate) fn run(arguments: &CrowdArgs) -> anyhow::Result<()> {
    let (consumers, stopped) = (arguments.consumers, arguments.stopped);
    ensure!(
        stopped < consumers,
        "of {consumers} consumers {stopped} cannot be stopped: some have to run"
    );
    let binaries = Binaries::find()?;
    let results = Results::open(arguments.fleet.json.as_deref())?;
    descriptors::raise(consumers)?;
    line(&machine::describe());
    line(&format!(
        "data: {SYMBOLS} publications in one batch, payloads of {} bytes; each consumer has one subscription and matches one of them",
        arguments.payload_bytes
    ));
    let mut runs = Vec::new();
    for number in 1..=arguments.fleet.runs {
        let sample = sample(&binaries, arguments).with_context(|| format!("run {number}"))?;
        note(&format!(
            "run {number} of {}: {:.2} s to connect, {:.2} s to admit, {:.2} s to deliver, router {:.0} MiB",
            arguments.fleet.runs,
            sample.linked_s,
            sample.admitted_s,
            sample.delivered_s,
            sample.usage.router_peak_mib
        ));
        runs.push(sample.figures());
    }
    line("");
    let case = vec![
        ("consumers", consumers.to_string()),
        ("of these stopped", stopped.to_string()),
        ("owner", arguments.owner.to_string()),
    ];
    results.tell("crowd", &[Row { case, runs }])?;
    line("");
    line(
        "Every consumer of every run had exactly one delivery. docs/BENCHMARKS.md says what this means.",
    );
    Ok(())
}

fn sample(binaries: &Binaries, arguments: &CrowdArgs) -> anyhow::Result<Sample> {
    let (consumers, stopped) = (arguments.consumers, arguments.stopped);
    let running = split(consumers - stopped, arguments.fleet.processes);
    // The last process is the one that is stopped.
    let sizes: Vec<u64> = running.into_iter().chain([stopped]).collect();
    let mut first = 0;
    let loads: Vec<_> = sizes
        .iter()
        .map(|count| {
            let subscriptions = subscriptions(first, *count);
            first += count;
            (*count, subscriptions)
        })
        .collect();
    let last = sizes.len() - 1;

    let mut world = World::start(binaries, arguments.owner, &loads)?;
    let (connect_ns, linked_ns) = world.connect()?;
    let (open_ns, admitted_ns) = world.admit()?;
    world.pause(last)?;
    let (publish_ns, matched) = world.publish(batch(arguments.payload_bytes)?)?;
    ensure!(
        matched == consumers,
        "the batch matched {matched} subscriptions instead of {consumers}"
    );
    let mut delivered_ns = 0;
    for (load, count) in sizes[..last].iter().enumerate() {
        delivered_ns = delivered_ns.max(world.delivered(load, *count)?);
    }
    let resume_ns = now_ns();
    world.resume(last)?;
    let resumed_ns = world.delivered(last, stopped)?;
    Ok(Sample {
        linked_s: seconds(connect_ns, linked_ns),
        admitted_s: seconds(open_ns, admitted_ns),
        delivered_s: seconds(publish_ns, delivered_ns),
        resumed_s: seconds(resume_ns, resumed_ns),
        usage: world.end(consumers, Some(1))?,
    })
}

/// One subscription for each consumer from `first` on.
fn subscriptions(first: u64, count: u64) -> String {
    let mut text = String::new();
    for consumer in first..first + count {
        let symbol = consumer % SYMBOLS;
        // Writing to a string cannot fail.
        let _ = writeln!(
            text,
            "0 {consumer} S i symbol = {symbol} i volume >= {symbol}"
        );
    }
    text
}

/// A publication for each symbol.
fn batch(payload_bytes: usize) -> anyhow::Result<Vec<(Publication, Bytes)>> {
    let payload = Bytes::from(vec![b'.'; payload_bytes]);
    let publications = (0..SYMBOLS).map(|symbol| {
        let mut publication = Publication::new();
        for name in ["symbol", "volume"] {
            publication.push(Name::new(name)?, Value::from(i32::try_from(symbol)?))?;
        }
        Ok((publication, payload.clone()))
    });
    publications.collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::workload::parse_subscriptions;

    #[test]
    fn each_consumer_matches_exactly_one_publication_of_the_batch() {
        let subscriptions = parse_subscriptions(&subscriptions(150, 300)).unwrap();

        let batch = batch(8).unwrap();

        assert_eq!(subscriptions.len(), 300);
        for (_, subscription) in subscriptions {
            let matching = batch
                .iter()
                .filter(|(publication, _)| subscription.matches(publication));
            assert_eq!(matching.count(), 1);
        }
    }
}
