//! The publisher of a peer, a process of its own.
//!
//! Invariant: everything is parsed and encoded before it says that it is ready; then it is told to go.

use std::io::stdin;
use std::path::PathBuf;
use std::time::Instant;

use anyhow::{Context, ensure};
use clap::Args;
use serde_json::json;

use super::Peer;
use super::connection::Connection;
use super::pace::{LOOK, due};
use super::quotes::Schema;
use crate::fleet::now_ns;
use crate::report::line;
use crate::workload::parse_publications;

/// Publications that are written at once, as many as a batch of the source has.
const BATCH: u64 = 512;
/// The topic of the last message of a run.
pub(super) const LAST: &str = "last";
/// Bytes of a stamp at the begin of a payload.
pub(super) const STAMP_BYTES: usize = 8;

/// The publisher of a peer.
#[derive(Debug, Args)]
pub(crate) struct PeerPublisherArgs {
    #[arg(long)]
    peer: Peer,
    #[arg(long)]
    port: u16,
    /// A file of publications
    #[arg(long)]
    publications: PathBuf,
    /// A file with the names of their attributes
    #[arg(long)]
    attributes: PathBuf,
    #[arg(long)]
    repeat: u32,
    #[arg(long)]
    payload_bytes: usize,
    /// Publications a second; as fast as it can, if not given
    #[arg(long)]
    rate: Option<u32>,
}

/// Messages to send, in turn and over again.
struct Load {
    peer: Peer,
    items: Vec<(Vec<u8>, Vec<u8>)>,
    count: u64,
    payload: Vec<u8>,
    written: Vec<u8>,
    sent: u64,
}

/// Runs the process: says `ready`, is told `go`, says `published`, and ends when nobody speaks to it any more.
///
/// # Errors
/// Something is not there that should be, or the server does not take it.
pub(crate) fn run(arguments: &PeerPublisherArgs) -> anyhow::Result<()> {
    let parsing = Instant::now();
    let mut load = load(arguments)?;
    let parse_us = parsing.elapsed().as_micros() as u64;
    let mut connection = Connection::open(arguments.peer, arguments.port, "publisher")?;
    line(&json!({ "event": "ready" }).to_string());
    let mut words = stdin().lines();
    let word = words.next().context("nobody says when to go")??;
    ensure!(word == "go", "told {word:?} instead of to go");

    let first_ns = now_ns();
    match arguments.rate {
        None => load.send_all(&mut connection)?,
        Some(rate) => load.send_paced(&mut connection, rate)?,
    }
    let sent_ns = now_ns();
    let mut last = Vec::new();
    let topic = arguments.peer.topic(LAST);
    arguments.peer.publish(&topic, [b"", b""], &mut last);
    connection.send(&last)?;
    connection.settle()?;
    line(&json!({ "event": "published", "publications": load.sent, "first_ns": first_ns, "sent_ns": sent_ns, "parse_us": parse_us }).to_string());
    // Its processor time is read before it ends.
    words.next().transpose()?;
    Ok(())
}

fn load(arguments: &PeerPublisherArgs) -> anyhow::Result<Load> {
    let read =
        |path: &PathBuf| std::fs::read_to_string(path).with_context(|| path.display().to_string());
    let schema = Schema::parse(&read(&arguments.attributes)?);
    let publications = parse_publications(&read(&arguments.publications)?)?;
    ensure!(!publications.is_empty(), "there is nothing to publish");
    let items = publications
        .iter()
        .map(|publication| schema.encode(arguments.peer, publication));
    Ok(Load {
        peer: arguments.peer,
        items: items.collect::<anyhow::Result<_>>()?,
        count: publications.len() as u64 * u64::from(arguments.repeat),
        payload: vec![b'.'; arguments.payload_bytes],
        written: Vec::new(),
        sent: 0,
    })
}

impl Load {
    /// Batch by batch, each with one write.
    fn send_all(&mut self, connection: &mut Connection) -> anyhow::Result<()> {
        while self.sent < self.count {
            self.send_up_to(connection, self.sent + BATCH)?;
        }
        Ok(())
    }

    /// Whatever is due, each with the time at which it was handed over in its payload.
    fn send_paced(&mut self, connection: &mut Connection, rate: u32) -> anyhow::Result<()> {
        ensure!(
            self.payload.len() >= STAMP_BYTES,
            "a stamp needs payloads of {STAMP_BYTES} bytes or more"
        );
        let begin = Instant::now();
        while self.sent < self.count {
            let due = due(rate, begin.elapsed(), self.count);
            while self.sent < due {
                let batch = due.min(self.sent + BATCH);
                for _ in self.sent..batch {
                    self.payload[..STAMP_BYTES].copy_from_slice(&now_ns().to_le_bytes());
                    self.push();
                }
                connection.send(&self.written)?;
                self.written.clear();
            }
            std::thread::sleep(LOOK);
        }
        Ok(())
    }

    fn send_up_to(&mut self, connection: &mut Connection, end: u64) -> anyhow::Result<()> {
        for _ in self.sent..end.min(self.count) {
            self.push();
        }
        connection.send(&self.written)?;
        self.written.clear();
        Ok(())
    }

    /// The next message, into what is written next.
    fn push(&mut self) {
        let (topic, header) = &self.items[(self.sent % self.items.len() as u64) as usize];
        let body = [header.as_slice(), &self.payload];
        self.peer.publish(topic, body, &mut self.written);
        self.sent += 1;
    }
}
