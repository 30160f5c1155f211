//! One run of a peer: processes from their start to their end.
//!
//! Invariant: as in a run of the project's own, processor time is read when all processes are at rest, before the first message and
//! after the last delivery.

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context, ensure};
use serde_json::Value;

use super::Peer;
use super::quotes::Schema;
use super::server::Server;
use crate::processor::{Meter, rest};
use crate::role::Role;
use crate::routing::{Case, Delays, Sample, check_pace, number};

/// How long a process may take to start, and publishing may take.
const PATIENCE: Duration = Duration::from_secs(60);
const PUBLISHING_PATIENCE: Duration = Duration::from_secs(900);

/// Publishes as fast as it can.
///
/// # Errors
/// A process failed, or something was delivered that should not be.
pub(crate) fn run(peer: Peer, program: &Path, case: &Case<'_>) -> anyhow::Result<Sample> {
    let mut meters: Vec<Meter> = Vec::new();
    let mut before = Vec::new();
    let folder = tempfile::tempdir()?;
    let mut parties = Parties::start(peer, program, folder.path(), case, None)?;
    for process in parties.processes() {
        meters.push(Meter::new([process]));
    }
    read_at_rest(&mut meters, &mut before)?;
    let (published, received) = parties.publish()?;
    let mut after = Vec::new();
    read_at_rest(&mut meters, &mut after)?;
    parties.end()?;

    case.check_for_surplus(&received)?;
    let (first_ns, last_ns) = (
        number(&published, "first_ns")?,
        number(&received, "last_ns")?,
    );
    ensure!(first_ns < last_ns, "nothing was delivered");
    let cpu_us = |place: usize| (after[place] - before[place]) as f64 / 1e3;
    Ok(Sample {
        publications: number(&published, "publications")?,
        delivered: number(&received, "deliveries")?,
        seconds: (last_ns - first_ns) as f64 / 1e9,
        router_cpu_us: cpu_us(0),
        source_cpu_us: cpu_us(1),
        consumer_cpu_us: cpu_us(2),
        parse_s: number(&published, "parse_us")? as f64 / 1e6,
    })
}

/// Publishes at `rate` a second.
///
/// # Errors
/// As [`run`]; or it could not be published as fast as that.
pub(crate) fn delays(
    peer: Peer,
    program: &Path,
    case: &Case<'_>,
    rate: u32,
) -> anyhow::Result<Delays> {
    let case = case.paced(rate);
    let folder = tempfile::tempdir()?;
    let mut parties = Parties::start(peer, program, folder.path(), &case, Some(rate))?;
    let (published, received) = parties.publish()?;
    parties.end()?;
    case.check_for_surplus(&received)?;
    check_pace(
        rate,
        number(&published, "publications")?,
        number(&published, "first_ns")?,
        number(&published, "sent_ns")?,
    )?;
    let ms = |key: &str| received[key].as_f64().map(|ns| ns / 1e6);
    Ok(Delays {
        p50_ms: ms("p50_ns").context("nothing was delivered")?,
        p99_ms: ms("p99_ns").context("nothing was delivered")?,
    })
}

fn read_at_rest(meters: &mut [Meter], times_ns: &mut Vec<u64>) -> anyhow::Result<()> {
    rest(&mut meters.iter_mut().collect::<Vec<_>>())?;
    for meter in meters {
        times_ns.push(meter.read_ns()?);
    }
    Ok(())
}

/// The three processes that are measured.
struct Parties {
    publisher: Role,
    consumer: Role,
    /// The last: it ends after those that are connected to it.
    server: Server,
}

impl Parties {
    /// Starts them, and returns when everything is subscribed to and the publisher waits for its word.
    fn start(
        peer: Peer,
        program: &Path,
        folder: &Path,
        case: &Case<'_>,
        rate: Option<u32>,
    ) -> anyhow::Result<Self> {
        let write = |name: &str, text: &str| std::fs::write(folder.join(name), text);
        write("publications", &case.workload.publications_text)?;
        write("subscriptions", &case.workload.subscriptions_text)?;
        let schema = Schema::of(&case.workload.publications()?);
        write("attributes", &schema.text())?;
        let server = Server::start(peer, program, folder)?;

        let mut consumer = client(folder, "peer-consumer", peer, server.port())?;
        consumer.args(["--subscriptions", "subscriptions"]);
        consumer.args(rate.map(|_| "--stamped"));
        let mut consumer = Role::spawn("consumer", consumer)?;
        consumer.event("ready", PATIENCE)?;

        let mut publisher = client(folder, "peer-publisher", peer, server.port())?;
        publisher.args(["--publications", "publications"]);
        publisher.args(["--repeat", &case.repeat.to_string()]);
        publisher.args(["--payload-bytes", &case.payload_bytes.to_string()]);
        publisher.args(rate.map(|rate| format!("--rate={rate}")));
        let mut publisher = Role::spawn("publisher", publisher)?;
        publisher.event("ready", PATIENCE)?;
        Ok(Self {
            publisher,
            consumer,
            server,
        })
    }

    fn processes(&self) -> [u32; 3] {
        [
            self.server.process(),
            self.publisher.process(),
            self.consumer.process(),
        ]
    }

    /// Has everything published; returns what publisher and consumer say of it.
    fn publish(&mut self) -> anyhow::Result<(Value, Value)> {
        self.publisher.tell("go")?;
        let published = self.publisher.event("published", PUBLISHING_PATIENCE)?;
        let received = self.consumer.event("received", PUBLISHING_PATIENCE)?;
        Ok((published, received))
    }

    fn end(mut self) -> anyhow::Result<()> {
        self.publisher.tell("end")?;
        self.publisher.end()?;
        self.consumer.tell("end")?;
        self.consumer.end()
    }
}

/// This program as a client of a peer.
fn client(folder: &Path, command: &str, peer: Peer, port: u16) -> anyhow::Result<Command> {
    let mut client = Command::new(std::env::current_exe()?);
    client
        .current_dir(folder)
        .stdin(Stdio::piped())
        .arg(command);
    client.args(["--peer", &peer.to_string()]);
    client.args(["--port", &port.to_string()]);
    client.args(["--attributes", "attributes"]);
    Ok(client)
}
