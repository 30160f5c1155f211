//! One run of one configuration: processes from their start to their end.
//!
//! Invariant: processor time is read when all processes are at rest, before the first batch and after the last delivery,
//! and the clocks of source and consumer prove it.
//!
//! The source publishes when three consumers are admitted. The last, the *gate*, holds one subscription that nothing
//! matches: by starting it, the campaign decides when the source begins, so that key exchanges, provisioning, parsing
//! and the indexing of subscriptions are over by then. What admitting a gate costs is measured by the *rehearsal*, a
//! consumer just like it started before, and taken off.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context, ensure};
use serde_json::Value;

use super::case::{Case, Delays, Sample, check_pace, number};
use crate::cli::{Mode, Platform};
use crate::fleet::now_ns;
use crate::median::Sorted;
use crate::processor::{Meter, children, rest};
use crate::role::{Binaries, Role};

/// How long a role may take to start, or to end.
const PATIENCE: Duration = Duration::from_secs(60);
/// How long publishing may take.
const PUBLISHING_PATIENCE: Duration = Duration::from_secs(900);
/// A subscription that no publication matches: no symbol is negative.
const GATE: &str = "0 0 S i symbol = -1\n";
/// Digits of the time at the begin of a stamped payload.
const STAMP_BYTES: usize = 20;

/// How the project's own processes are run.
#[derive(Clone, Copy)]
pub(crate) struct Ours<'a> {
    pub(crate) binaries: &'a Binaries,
    pub(crate) mode: Mode,
    pub(crate) platform: Platform,
}

impl Ours<'_> {
    fn plain(&self) -> Option<&'static str> {
        (self.mode == Mode::Plain).then_some("--plain")
    }
}

/// Runs `case` once.
///
/// # Errors
/// A process failed, or something was not delivered, or delivered twice, or delivered to somebody else.
pub(crate) fn run(ours: Ours<'_>, case: &Case<'_>) -> anyhow::Result<Sample> {
    let folder = tempfile::tempdir()?;
    write_files(ours, folder.path(), case)?;
    let (mut parties, address) = Parties::start(ours, folder.path(), case, None)?;
    let mut meters = parties.meters(ours.platform)?;
    let idle = meters.read_at_rest()?;
    let start = |name| start_consumer(ours, folder.path(), &address, name, true);
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

/// Runs `case` once at `rate` publications a second, and measures how long each is on its way: from the moment at which the source
/// puts it into its batch, default linger, to the moment at which the consumer has opened it.
///
/// # Errors
/// As [`run`]; or it could not be published as fast as that.
pub(crate) fn delays(ours: Ours<'_>, case: &Case<'_>, rate: u32) -> anyhow::Result<Delays> {
    let case = case.paced(rate);
    let folder = tempfile::tempdir()?;
    write_files(ours, folder.path(), &case)?;
    let (mut parties, _) = Parties::start(ours, folder.path(), &case, Some(rate))?;
    let source = parties.source.event("summary", PUBLISHING_PATIENCE)?;
    check_pace(
        rate,
        number(&source, "publications")?,
        number(&source, "first_ns")?,
        number(&source, "last_receipt_ns")?,
    )?;
    parties.source.interrupt()?;
    parties.source.end()?;
    parties.router.interrupt()?;
    parties.router.end()?;
    parties.consumer.interrupt()?;
    let mut delays_ms = Vec::new();
    let summary = loop {
        let kinds = ["delivery", "summary"];
        let event = parties.consumer.event_among(&kinds, PATIENCE)?;
        if event["event"] == "summary" {
            break event;
        }
        delays_ms.push(delay_ms(&event)?);
    };
    parties.consumer.end()?;
    case.check(&summary)?;
    ensure!(!delays_ms.is_empty(), "nothing was delivered");
    let sorted = Sorted::new(delays_ms);
    Ok(Delays {
        p50_ms: sorted.median(),
        p99_ms: sorted.p99(),
    })
}

/// How long the publication of a delivery was on its way.
fn delay_ms(delivery: &Value) -> anyhow::Result<f64> {
    let stamp = delivery["payload"].as_str();
    let stamp = stamp.and_then(|payload| payload.get(..STAMP_BYTES));
    let sent_ns: u64 = stamp
        .and_then(|digits| digits.parse().ok())
        .context("a payload without a stamp")?;
    let received_ns = number(delivery, "received_ns")?;
    ensure!(
        sent_ns <= received_ns,
        "the clock went back: a delivery came before it was sent"
    );
    Ok((received_ns - sent_ns) as f64 / 1e6)
}

fn write_files(ours: Ours<'_>, folder: &Path, case: &Case<'_>) -> anyhow::Result<()> {
    let write = |name: &str, text: &str| std::fs::write(folder.join(name), text);
    write("publications", &case.workload.publications_text)?;
    write("consumer", &case.workload.subscriptions_text)?;
    write("rehearsal", GATE)?;
    write("gate", GATE)?;
    ours.binaries.keygen(folder)
}

/// The three processes that are measured.
struct Parties {
    router: Role,
    source: Role,
    consumer: Role,
}

impl Parties {
    /// Starts them, and returns when the consumer is admitted, with the address of the router.
    /// With a rate, the consumer shows each delivery, and the source begins as soon as it may; without, it awaits rehearsal and gate.
    fn start(
        ours: Ours<'_>,
        folder: &Path,
        case: &Case<'_>,
        rate: Option<u32>,
    ) -> anyhow::Result<(Self, String)> {
        let platform = ours.platform.to_string();
        let arguments = ["-a", "localhost:0", "--platform", &platform];
        let arguments = arguments.into_iter().chain(ours.plain());
        let mut router = Role::start(ours.binaries, folder, "scbr", arguments)?;
        let endpoints = router.event("endpoints", PATIENCE)?;
        let address = endpoints["endpoints"][0].as_str();
        let address = address.context("the router names no endpoint")?.to_owned();
        router.event("ready", PATIENCE)?;

        let mut source = start_source(ours, folder, case, &address, rate)?;
        source.event("opened", PATIENCE)?;
        let mut consumer = start_consumer(ours, folder, &address, "consumer", rate.is_none())?;
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
    ours: Ours<'_>,
    folder: &Path,
    case: &Case<'_>,
    address: &str,
    rate: Option<u32>,
) -> anyhow::Result<Role> {
    let quota = case.subscriptions.to_string();
    let repeat = case.repeat.to_string();
    let payload_bytes = case.payload_bytes.to_string();
    let pace = rate.map(|rate| format!("--rate={rate}"));
    let pace = pace
        .as_deref()
        .into_iter()
        .flat_map(|pace| [pace, "--stamp"]);
    let arguments = [
        ["-c", address],
        ["-i", "publications"],
        ["-k", "key.prv"],
        ["--await", if rate.is_none() { "3" } else { "1" }],
        ["--quota", &quota],
        ["--repeat", &repeat],
        ["--payload-bytes", &payload_bytes],
    ];
    let arguments = arguments.into_iter().flatten().chain(ours.plain());
    Role::start(ours.binaries, folder, "source", arguments.chain(pace))
}

/// Starts a consumer of the subscriptions in the file `name`, under an identity of its own.
fn start_consumer(
    ours: Ours<'_>,
    folder: &Path,
    address: &str,
    name: &str,
    is_quiet: bool,
) -> anyhow::Result<Role> {
    let identity = format!("{name}.identity");
    let arguments = [
        ["-c", address],
        ["-i", name],
        ["-k", "key.pub"],
        ["--identity", &identity],
    ];
    let flags = is_quiet
        .then_some("--quiet")
        .into_iter()
        .chain(ours.plain());
    let arguments = arguments.into_iter().flatten().chain(flags);
    Role::start(ours.binaries, folder, "consumer", arguments)
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

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn delivery(payload: &str) -> Value {
        json!({ "event": "delivery", "received_ns": 1_700_000_000_002_500_000_u64, "payload": payload })
    }

    #[test]
    fn a_delay_is_from_the_stamp_to_the_receipt() {
        let delay = delay_ms(&delivery("01700000000000000000....")).unwrap();

        assert_eq!(delay, 2.5);
    }

    #[test]
    fn a_payload_without_a_stamp_is_an_error() {
        for payload in ["", "0170000000000000000", "........................"] {
            assert!(delay_ms(&delivery(payload)).is_err(), "{payload}");
        }
    }

    #[test]
    fn a_delivery_before_its_publication_is_an_error() {
        assert!(delay_ms(&delivery("01700000000003000000....")).is_err());
    }
}
