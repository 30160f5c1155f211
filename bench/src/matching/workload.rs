//! Workloads of the matchers, by name.
//!
//! Invariant: a workload is a function of its name: the n-th subscription is the same on every machine and whatever was
//! drawn before it, so that millions of them need not be kept.
//! Source: the names are those of the SCBR paper (Pires et al., Middleware '16), in our reading of them.

mod boxes;
mod quotes;

use anyhow::Context;
use clap::ValueEnum;
use sc_matching::{Constraint, Name, Predicate, Publication, Subscription, Value};

use crate::workload::Data;
use boxes::Boxes;
use quotes::Quotes;

/// Publications of a generated workload.
const PUBLICATIONS: u64 = 10_000;

/// Which workload.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum WorkloadName {
    /// Every subscription has an equality on the symbol, and one template more
    E100a1,
    /// 80 % of them have; the others have ranges only
    E80a1,
    /// As e80a1, with Zipf symbols
    E80a1z,
    /// As e80a1, over twice the attributes
    E80a2,
    /// As e80a1, over four times the attributes
    E80a4,
    /// Three ranges, each 5 to 35 % wide, over 8 attributes
    Range0,
    /// 1 % of all subscriptions match
    Fan1,
    /// Nearly 10 % of all subscriptions match
    Fan10,
    /// The bundled quotes, with an equality on the text of their symbol and one template more
    Quotes,
    /// The sample of the original router, `s1k` x `p10k`, if it is there
    Sample,
}

impl WorkloadName {
    /// As it is written on the command line.
    pub(crate) fn name(self) -> String {
        let value = self.to_possible_value().expect("no name is skipped");
        value.get_name().to_owned()
    }
}

/// Publications, and subscriptions on demand.
pub(crate) struct Workload {
    pub(crate) publications: Vec<Publication>,
    source: Source,
}

enum Source {
    Quotes(Quotes),
    Boxes(Boxes),
    Listed(Vec<Subscription>),
}

impl Workload {
    /// The workload of this name; `None` for a sample that is not there.
    ///
    /// # Errors
    /// A sample that is there and cannot be read, or has not the matches that its authors counted.
    pub(crate) fn named(name: WorkloadName, data: &Data) -> anyhow::Result<Option<Self>> {
        use WorkloadName as W;
        let source = match name {
            W::E100a1 => Source::Quotes(Quotes::new(1, 0.0)),
            W::E80a1 => Source::Quotes(Quotes::new(1, 0.2)),
            W::E80a1z => Source::Quotes(Quotes::new(1, 0.2).with_zipf_symbols()),
            W::E80a2 => Source::Quotes(Quotes::new(2, 0.2)),
            W::E80a4 => Source::Quotes(Quotes::new(4, 0.2)),
            W::Quotes => Source::Quotes(Quotes::bundled()),
            W::Range0 => Source::Boxes(Boxes::new(0.05, 0.35)),
            W::Fan1 => Source::Boxes(Boxes::new(0.08, 0.38)),
            W::Fan10 => Source::Boxes(Boxes::new(0.35, 0.65)),
            W::Sample => return sample(data),
        };
        let publications = match &source {
            Source::Quotes(quotes) => quotes.publications(PUBLICATIONS),
            Source::Boxes(boxes) => boxes.publications(PUBLICATIONS),
            Source::Listed(_) => unreachable!("the sample has returned"),
        };
        Ok(Some(Self {
            publications,
            source,
        }))
    }

    /// The `n`-th subscription.
    ///
    /// # Panics
    /// When the workload is a list and ends before it; see [`Self::length`].
    pub(crate) fn subscription(&self, n: u32) -> Subscription {
        match &self.source {
            Source::Quotes(quotes) => quotes.subscription(n.into()),
            Source::Boxes(boxes) => boxes.subscription(n.into()),
            Source::Listed(list) => list[n as usize].clone(),
        }
    }

    /// How many subscriptions it has; `None` when as many as one likes.
    pub(crate) fn length(&self) -> Option<u32> {
        match &self.source {
            Source::Listed(list) => u32::try_from(list.len()).ok(),
            _ => None,
        }
    }
}

/// `s1k` x `p10k`.
fn sample(data: &Data) -> anyhow::Result<Option<Workload>> {
    if *data == Data::Bundled {
        return Ok(None);
    }
    let files = data.workload(1000)?;
    let matches: u64 = files.expected()?.values().sum();
    anyhow::ensure!(
        matches == SAMPLE_MATCHES,
        "the sample has {matches} matches and not {SAMPLE_MATCHES}"
    );
    let subscriptions = files.subscriptions().context("the sample")?;
    Ok(Some(Workload {
        publications: files.publications()?,
        source: Source::Listed(subscriptions.into_iter().map(|(_, own)| own).collect()),
    }))
}

/// What the authors of the sample counted.
const SAMPLE_MATCHES: u64 = 17_517;

fn name(text: &str) -> Name {
    Name::new(text).expect("names of workloads are short")
}

fn number(value: f64) -> Value {
    Value::try_from(value).expect("workloads have finite numbers")
}

fn constraint(name: &Name, predicate: Predicate) -> Constraint {
    Constraint::new(name.clone(), predicate).expect("it is no `in`")
}

/// `low <= name <= high`.
fn within(name: &Name, low: f64, high: f64) -> [Constraint; 2] {
    [
        constraint(name, Predicate::GreaterOrEqual(number(low))),
        constraint(name, Predicate::LessOrEqual(number(high))),
    ]
}

/// Where an interval lies whose middle is uniform in `0.0..1.0`; what sticks out at an end is cut off.
fn interval(middle: f64, width: f64) -> (f64, f64) {
    (
        (middle - width / 2.0).max(0.0),
        (middle + width / 2.0).min(1.0),
    )
}

fn joined(constraints: Vec<Constraint>) -> Subscription {
    Subscription::new(constraints).expect("workloads have few constraints")
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// The workload of this name, which is not the sample.
    pub(crate) fn generated(name: WorkloadName) -> Workload {
        Workload::named(name, &Data::Bundled).unwrap().unwrap()
    }

    pub(crate) fn all_generated() -> Vec<WorkloadName> {
        let all = WorkloadName::value_variants().iter().copied();
        all.filter(|name| *name != WorkloadName::Sample).collect()
    }

    /// Matches of each publication with 10,000 subscriptions, by the definition of the language.
    fn matches_of_10k(name: WorkloadName) -> f64 {
        let workload = generated(name);
        let publications: Vec<_> = workload.publications.iter().step_by(67).collect();
        let subscriptions: Vec<_> = (0..10_000).map(|n| workload.subscription(n)).collect();
        let matching = publications.iter().map(|publication| {
            let matching = subscriptions.iter().filter(|own| own.matches(publication));
            matching.count() as f64
        });
        matching.sum::<f64>() / publications.len() as f64
    }

    #[test]
    fn as_many_subscriptions_match_as_each_workload_is_made_for() {
        use WorkloadName as W;
        let made_for = [
            (W::E100a1, 17.0),
            (W::E80a1, 86.0),
            (W::E80a2, 25.0),
            (W::E80a4, 4.0),
            (W::Range0, 66.0),
            (W::Fan1, 100.0),
            (W::Fan10, 837.0),
        ];

        let found = made_for.map(|(name, _)| matches_of_10k(name));

        for ((name, expected), found) in made_for.into_iter().zip(found) {
            let ratio = found / expected;
            assert!((0.85..1.15).contains(&ratio), "{name:?}: {found:.1}");
        }
    }

    #[test]
    fn a_subscription_does_not_depend_on_what_was_drawn_before() {
        for name in all_generated() {
            let (one, other) = (generated(name), generated(name));

            let ahead = one.subscription(70_000);

            let after: Vec<_> = (69_990..=70_000).map(|n| other.subscription(n)).collect();
            assert_eq!(Some(&ahead), after.last(), "{name:?}");
            assert_eq!(one.publications, other.publications, "{name:?}");
            assert_ne!(after[0], after[1], "{name:?}");
        }
    }

    #[test]
    fn every_publication_has_every_attribute() {
        for name in all_generated() {
            let workload = generated(name);

            let widths = workload
                .publications
                .iter()
                .map(|own| own.attributes().len());

            assert!(widths.min() == Some(workload.publications[0].attributes().len()));
        }
    }
}
