//! One run of one configuration: processes from their start to their end.
//!
//! Invariant: processor time is read when all processes are at rest, before the first batch and after the last delivery,
//! and the clocks of source and consumer prove it.
//!
//! The source publishes when three consumers are admitted. The last, the *gate*, holds one subscription that nothing
//! matches: by starting it, the campaign decides when the source begins, so that key exchanges, provisioning, parsing
//! and the indexing of subscriptions are over by then. What admitting a gate costs is measured by the *rehearsal*, a
//! consumer just like it started before, and taken off.

use std::collections::BTreeMap;
use std::fmt;
use std::path::Path;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::{Context, ensure};
use serde_json::Value;

use crate::cli::{Mode, Platform};
use crate::processor::{Meter, children, rest};
use crate::role::{Binaries, Role};
use crate::workload::Workload;

/// How long a role may take to start, or to end.
const PATIENCE: Duration = Duration::from_secs(60);
/// How long publishing may take.
const PUBLISHING_PATIENCE: Duration = Duration::from_secs(900);
/// A subscription that no publication matches: no symbol is negative.
const GATE: &str = "0 0 S i symbol = -1\n";

/// One configuration.
pub(crate) struct Case<'a> {
    pub(crate) mode: Mode,
    pub(crate) platform: Platform,
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

    fn plain(&self) -> Option<&'static str> {
        (self.mode == Mode::Plain).then_some("--plain")
    }

    /// Whether the consumer got exactly what the plain scan expects.
    fn check(&self, consumer: &Value) -> anyhow::Result<()> {
        let received = by_subscription(consumer)?;
        for id in self.expected.keys().chain(received.keys()) {
            let count = |counts: &BTreeMap<u64, u64>| counts.get(id).copied().unwrap_or_default();
            let (expected, delivered) = (
                count(self.expected) * u64::from(self.repeat),
                count(&received),
            );
            ensure!(
                delivered == expected,
                "{} deliveries instead of {}: subscription {id} got {delivered} instead of {expected}",
                received.values().sum::<u64>(),
                self.deliveries()
            );
        }
        Ok(())
    }
}

impl fmt::Display for Case<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            mode,
            platform,
            subscriptions,
            repeat,
            ..
        } = self;
        write!(
            f,
            "{mode}, {platform}, {subscriptions} subscriptions, {repeat} passes"
        )
    }
}

/// Runs `case` once.
///
/// # Errors
/// A process failed, or something was not delivered, or delivered twice, or delivered to somebody else.
pub(crate) fn run(binaries: &Binaries, case: &Case<'_>) -> anyhow::Result<Sample> {
    let folder = tempfile::tempdir()?;
    write_files(binaries, folder.path(), case)?;
    let (mut parties, address) = Parties::start(binaries, folder.path(), case)?;
    let mut meters = parties.meters(case.platform)?;
    let idle = meters.read_at_rest()?;
    let start = |name| start_consumer(binaries, folder.path(), case, &address, name);
    let mut rehearsal = start("rehearsal")?;
    rehearsal.event("admitted", PATIENCE)?;
    let before = meters.read_at_rest()?;
    let began_ns = now_ns();

    let gate = start("gate")?;
    let source = parties.source.event("summary", PUBLISHING_PATIENCE)?;
    let after = meters.read_at_rest()?;
    let ended_ns = now_ns();

    let consumer = parties.end()?;
    case.check(&consumer)?;
    for other in [rehearsal, gate] {
        ensure!(
            number(&summary(other)?, "deliveries")? == 0,
            "a consumer got what it does not match"
        );
    }
    let (first_ns, last_ns) = (number(&source, "first_ns")?, number(&consumer, "last_ns")?);
    ensure!(
        began_ns < first_ns && first_ns < last_ns && last_ns < ended_ns,
        "the first batch or the last delivery lies outside the time that was measured"
    );
    let cpu_us = |place: usize| {
        let gate_ns = before[place] - idle[place];
        (after[place] - before[place]).saturating_sub(gate_ns) as f64 / 1e3
    };
    Ok(Sample {
        publications: number(&source, "publications")?,
        delivered: number(&consumer, "deliveries")?,
        seconds: (last_ns - first_ns) as f64 / 1e9,
        router_cpu_us: cpu_us(0),
        source_cpu_us: cpu_us(1),
        consumer_cpu_us: cpu_us(2),
        parse_s: number(&source, "parse_us")? as f64 / 1e6,
    })
}

fn write_files(binaries: &Binaries, folder: &Path, case: &Case<'_>) -> anyhow::Result<()> {
    let write = |name: &str, text: &str| std::fs::write(folder.join(name), text);
    write("publications", &case.workload.publications_text)?;
    write("consumer", &case.workload.subscriptions_text)?;
    write("rehearsal", GATE)?;
    write("gate", GATE)?;
    binaries.keygen(folder)
}

/// The three processes that are measured.
struct Parties {
    router: Role,
    source: Role,
    consumer: Role,
}

impl Parties {
    /// Starts them, and returns when the consumer is admitted, with the address of the router.
    fn start(
        binaries: &Binaries,
        folder: &Path,
        case: &Case<'_>,
    ) -> anyhow::Result<(Self, String)> {
        let platform = case.platform.to_string();
        let arguments = ["-a", "localhost:0", "--platform", &platform];
        let arguments = arguments.into_iter().chain(case.plain());
        let mut router = Role::start(binaries, folder, "scbr", arguments)?;
        let endpoints = router.event("endpoints", PATIENCE)?;
        let address = endpoints["endpoints"][0].as_str();
        let address = address.context("the router names no endpoint")?.to_owned();
        router.event("ready", PATIENCE)?;

        let mut source = start_source(binaries, folder, case, &address)?;
        source.event("opened", PATIENCE)?;
        let mut consumer = start_consumer(binaries, folder, case, &address, "consumer")?;
        consumer.event("admitted", PATIENCE)?;
        let parties = Self {
            router,
            source,
            consumer,
        };
        Ok((parties, address))
    }

    fn meters(&self, platform: Platform) -> anyhow::Result<Meters> {
        let mut router = vec![self.router.process()];
        if platform == Platform::Process {
            let trusted = children(self.router.process())?;
            ensure!(
                trusted.len() == 1,
                "the router has {} children instead of one trusted program",
                trusted.len()
            );
            router.extend(trusted);
        }
        Ok(Meters([
            Meter::new(router),
            Meter::new([self.source.process()]),
            Meter::new([self.consumer.process()]),
        ]))
    }

    /// Ends all, the router before the consumer, as it first delivers what it has; returns what the consumer says.
    fn end(mut self) -> anyhow::Result<Value> {
        self.source.interrupt()?;
        self.source.end()?;
        self.router.interrupt()?;
        self.router.event("summary", PATIENCE)?;
        self.router.end()?;
        summary(self.consumer)
    }
}

/// Ends a consumer; returns what it says.
fn summary(mut consumer: Role) -> anyhow::Result<Value> {
    consumer.interrupt()?;
    let summary = consumer.event("summary", PATIENCE)?;
    consumer.end()?;
    Ok(summary)
}

fn start_source(
    binaries: &Binaries,
    folder: &Path,
    case: &Case<'_>,
    address: &str,
) -> anyhow::Result<Role> {
    let quota = case.subscriptions.to_string();
    let repeat = case.repeat.to_string();
    let payload_bytes = case.payload_bytes.to_string();
    let arguments = [
        ["-c", address],
        ["-i", "publications"],
        ["-k", "key.prv"],
        ["--await", "3"],
        ["--quota", &quota],
        ["--repeat", &repeat],
        ["--payload-bytes", &payload_bytes],
    ];
    let arguments = arguments.into_iter().flatten().chain(case.plain());
    Role::start(binaries, folder, "source", arguments)
}

/// Starts a consumer of the subscriptions in the file `name`, under an identity of its own.
fn start_consumer(
    binaries: &Binaries,
    folder: &Path,
    case: &Case<'_>,
    address: &str,
    name: &str,
) -> anyhow::Result<Role> {
    let identity = format!("{name}.identity");
    let arguments = [
        ["-c", address],
        ["-i", name],
        ["-k", "key.pub"],
        ["--identity", &identity],
    ];
    let flags = ["--quiet"].into_iter().chain(case.plain());
    let arguments = arguments.into_iter().flatten().chain(flags);
    Role::start(binaries, folder, "consumer", arguments)
}

/// Of the router with its trusted program, of the source, of the consumer.
struct Meters([Meter; 3]);

impl Meters {
    /// Nanoseconds that each has run so far, once all are at rest.
    fn read_at_rest(&mut self) -> anyhow::Result<[u64; 3]> {
        let [router, source, consumer] = &mut self.0;
        rest(&mut [router, source, consumer])?;
        Ok([router.read_ns()?, source.read_ns()?, consumer.read_ns()?])
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

fn number(event: &Value, key: &str) -> anyhow::Result<u64> {
    event[key]
        .as_u64()
        .with_context(|| format!("{} has no {key}", event["event"]))
}

/// Comparable with the clocks of the roles: nanoseconds since the Unix epoch.
fn now_ns() -> u64 {
    let since = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    since.as_nanos() as u64
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn check(received: &Value) -> Result<(), String> {
        let workload = Workload {
            publications_text: String::new(),
            subscriptions_text: String::new(),
            description: String::new(),
        };
        let case = Case {
            mode: Mode::Encrypted,
            platform: Platform::Process,
            subscriptions: 2,
            workload: &workload,
            expected: &BTreeMap::from([(1, 3), (2, 1)]),
            repeat: 2,
            payload_bytes: 64,
        };
        let consumer = json!({ "event": "summary", "by_subscription": received });
        case.check(&consumer).map_err(|error| error.to_string())
    }

    #[test]
    fn what_is_expected_is_taken() {
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
}
