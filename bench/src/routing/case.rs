//! One configuration, and what one run of it gave.
//!
//! Invariant: the project's own runs deliver exactly what the plain scan expects, or are none; a peer may lose, which is counted,
//! and never delivers what is not asked for.

use std::collections::BTreeMap;
use std::fmt;

use anyhow::{Context, ensure};
use serde_json::Value;

use crate::cli::{Mode, Platform};
use crate::peers::Peer;
use crate::workload::Workload;

/// What is measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum System {
    /// This project.
    SecureCloud { mode: Mode, platform: Platform },
    /// Something else.
    Peer(Peer),
}

/// One configuration.
#[derive(Clone, Copy)]
pub(crate) struct Case<'a> {
    pub(crate) system: System,
    pub(crate) subscriptions: u64,
    pub(crate) workload: &'a Workload,
    /// How often each subscription matches in one pass.
    pub(crate) expected: &'a BTreeMap<u64, u64>,
    /// Passes over the publications.
    pub(crate) repeat: u32,
    pub(crate) payload_bytes: usize,
}

/// What one run gave.
pub(crate) struct Sample {
    pub(crate) publications: u64,
    pub(crate) delivered: u64,
    /// From the first batch sent to the last delivery.
    pub(crate) seconds: f64,
    pub(crate) router_cpu_us: f64,
    pub(crate) source_cpu_us: f64,
    pub(crate) consumer_cpu_us: f64,
    /// Reading, parsing and repeating the publications, before anything is published.
    pub(crate) parse_s: f64,
}

/// How long publications of one paced run were on their way.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Delays {
    pub(crate) p50_ms: f64,
    pub(crate) p99_ms: f64,
}

impl Sample {
    pub(crate) fn publications_per_s(&self) -> f64 {
        self.publications as f64 / self.seconds
    }

    pub(crate) fn per_publication(&self, total: f64) -> f64 {
        total / self.publications as f64
    }
}

impl Case<'_> {
    /// (publication, subscription) pairs of all passes.
    pub(crate) fn deliveries(&self) -> u64 {
        self.expected.values().sum::<u64>() * u64::from(self.repeat)
    }

    /// The same, for so long at `rate` publications a second that there is something to measure: a second or one pass.
    pub(crate) fn paced(self, rate: u32) -> Self {
        let publications = self.workload.publications_text.lines().count().max(1) as u64;
        let repeat = u64::from(rate).div_ceil(publications);
        Self {
            repeat: u32::try_from(repeat).unwrap_or(u32::MAX).max(1),
            ..self
        }
    }

    /// Whether the consumer got exactly what the plain scan expects.
    pub(crate) fn check(&self, summary: &Value) -> anyhow::Result<()> {
        let received = by_subscription(summary)?;
        let total: u64 = received.values().sum();
        for (id, expected, delivered) in self.compare(&received) {
            ensure!(
                delivered == expected,
                "{total} deliveries instead of {}: subscription {id} got {delivered} instead of {expected}",
                self.deliveries()
            );
        }
        Ok(())
    }

    /// Whether the consumer got nothing that the plain scan does not expect; it may lack something.
    pub(crate) fn check_for_surplus(&self, summary: &Value) -> anyhow::Result<()> {
        let received = by_subscription(summary)?;
        for (id, expected, delivered) in self.compare(&received) {
            ensure!(
                delivered <= expected,
                "subscription {id} got {delivered}, more than {expected}"
            );
        }
        Ok(())
    }

    /// Subscription, how often it has to be served, how often it was.
    fn compare(&self, received: &BTreeMap<u64, u64>) -> Vec<(u64, u64, u64)> {
        let count =
            |counts: &BTreeMap<u64, u64>, id: u64| counts.get(&id).copied().unwrap_or_default();
        let ids = self.expected.keys().chain(received.keys());
        let compared = ids.map(|id| {
            let expected = count(self.expected, *id) * u64::from(self.repeat);
            (*id, expected, count(received, *id))
        });
        compared.collect()
    }
}

impl System {
    /// In the table's first column.
    pub(crate) fn name(self) -> String {
        match self {
            Self::SecureCloud { mode, .. } => mode.to_string(),
            Self::Peer(peer) => peer.to_string(),
        }
    }

    /// Where the trusted program runs; a peer has none.
    pub(crate) fn platform(self) -> String {
        match self {
            Self::SecureCloud { platform, .. } => platform.to_string(),
            Self::Peer(_) => "-".into(),
        }
    }
}

impl fmt::Display for Case<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.system.name())?;
        if let System::SecureCloud { platform, .. } = self.system {
            write!(f, ", {platform}")?;
        }
        let (subscriptions, repeat) = (self.subscriptions, self.repeat);
        write!(f, ", {subscriptions} subscriptions, {repeat} passes")
    }
}

fn by_subscription(summary: &Value) -> anyhow::Result<BTreeMap<u64, u64>> {
    let counts = summary["by_subscription"].as_object();
    let counts = counts.context("the consumer does not say what it received")?;
    let pairs = counts
        .iter()
        .map(|(id, count)| Some((id.parse().ok()?, count.as_u64()?)));
    pairs
        .collect::<Option<_>>()
        .context("the consumer counts in something else than numbers")
}

/// A number in an event.
pub(crate) fn number(event: &Value, key: &str) -> anyhow::Result<u64> {
    event[key]
        .as_u64()
        .with_context(|| format!("{} has no {key}", event["event"]))
}

/// How far below its rate a paced run may stay: of a run of a second, what a busy machine may take, and not what a full queue does.
const SLOWNESS: f64 = 0.2;

/// Whether `publications` at `rate` in the time from the first to the last were at that rate.
///
/// # Errors
/// They were slower: what was measured is a queue.
pub(crate) fn check_pace(
    rate: u32,
    publications: u64,
    first_ns: u64,
    last_ns: u64,
) -> anyhow::Result<()> {
    let seconds = last_ns.saturating_sub(first_ns) as f64 / 1e9;
    let reached = publications as f64 / seconds;
    ensure!(
        reached >= f64::from(rate) * (1.0 - SLOWNESS),
        "{reached:.0} publications a second instead of {rate}: lower --rate"
    );
    Ok(())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn with_case<T>(then: impl FnOnce(&Case<'_>) -> T) -> T {
        let workload = Workload {
            publications_text: "0 0 P i a 1\n".repeat(100),
            subscriptions_text: String::new(),
            description: String::new(),
        };
        then(&Case {
            system: System::SecureCloud {
                mode: Mode::Plain,
                platform: Platform::Process,
            },
            subscriptions: 2,
            workload: &workload,
            expected: &BTreeMap::from([(1, 3), (2, 1)]),
            repeat: 2,
            payload_bytes: 64,
        })
    }

    fn check(received: &Value) -> Result<(), String> {
        with_case(|case| case.check(&json!({ "by_subscription": received })))
            .map_err(|error| error.to_string())
    }

    fn check_for_surplus(received: &Value) -> anyhow::Result<()> {
        with_case(|case| case.check_for_surplus(&json!({ "by_subscription": received })))
    }

    #[test]
    fn exactly_what_is_expected_of_all_passes_passes() {
        assert_eq!(check(&json!({ "1": 6, "2": 2 })), Ok(()));
    }

    #[test]
    fn a_missing_delivery_fails_and_is_named() {
        let error = check(&json!({ "1": 5, "2": 2 })).unwrap_err();

        assert_eq!(
            error,
            "7 deliveries instead of 8: subscription 1 got 5 instead of 6"
        );
    }

    #[test]
    fn a_missing_and_a_surplus_delivery_do_not_make_up_for_each_other() {
        assert!(check(&json!({ "1": 5, "2": 3 })).is_err());
    }

    #[test]
    fn a_delivery_for_a_subscription_that_matches_nothing_fails() {
        assert!(check(&json!({ "1": 6, "2": 2, "3": 1 })).is_err());
    }

    #[test]
    fn a_summary_without_counts_fails() {
        assert!(check(&Value::Null).is_err());
    }

    #[test]
    fn a_peer_may_lose_and_never_invent() {
        assert!(check_for_surplus(&json!({ "1": 5 })).is_ok());
        assert!(check_for_surplus(&json!({ "1": 7 })).is_err());
        assert!(check_for_surplus(&json!({ "3": 1 })).is_err());
    }

    #[test]
    fn a_paced_run_lasts_a_second_or_a_pass() {
        with_case(|case| {
            assert_eq!(case.paced(1000).repeat, 10);
            assert_eq!(case.paced(10).repeat, 1);
        });
    }

    #[test]
    fn a_pace_that_was_not_kept_is_an_error() {
        assert!(check_pace(1000, 810, 0, 1_000_000_000).is_ok());
        assert!(check_pace(1000, 790, 0, 1_000_000_000).is_err());
    }
}
