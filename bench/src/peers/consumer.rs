//! The consumer of a peer, a process of its own.

use std::collections::BTreeMap;
use std::io::stdin;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::Context;
use clap::Args;
use serde_json::{Value, json};

use super::Peer;
use super::connection::{Connection, Heard};
use super::publisher::{LAST, STAMP_BYTES};
use super::quotes::{Filter, Schema};
use crate::fleet::now_ns;
use crate::median::Sorted;
use crate::report::line;
use crate::workload::parse_subscriptions;

/// Silence after which the last message counts as lost, once others have come.
const SILENCE: Duration = Duration::from_secs(5);

/// The consumer of a peer.
#[derive(Debug, Args)]
pub(crate) struct PeerConsumerArgs {
    #[arg(long)]
    peer: Peer,
    #[arg(long)]
    port: u16,
    /// A file of subscriptions
    #[arg(long)]
    subscriptions: PathBuf,
    /// A file with the names of the publications' attributes
    #[arg(long)]
    attributes: PathBuf,
    /// Payloads begin with the time at which they were published
    #[arg(long)]
    stamped: bool,
}

/// What has come.
struct Received {
    filter: Filter,
    header_bytes: usize,
    stamped: bool,
    last_topic: Vec<u8>,
    is_over: bool,
    messages: u64,
    deliveries: u64,
    last_ns: u64,
    delays_ns: Vec<u64>,
}

/// Runs the process: says `ready`, then `received`, and ends when nobody speaks to it any more.
///
/// # Errors
/// Something is not there that should be, or the connection breaks.
pub(crate) fn run(arguments: &PeerConsumerArgs) -> anyhow::Result<()> {
    let mut received = Received::new(arguments)?;
    let mut topics: Vec<_> = received.filter.topics().cloned().collect();
    topics.push(received.last_topic.clone());
    let mut connection = Connection::open(arguments.peer, arguments.port, "consumer")?;
    connection.subscribe(&topics)?;
    connection.set_patience(SILENCE)?;
    line(&json!({ "event": "ready" }).to_string());

    while !received.is_over {
        let heard = connection.read(|topic, body| received.take(topic, body))?;
        if heard == Heard::Nothing && received.messages > 0 {
            break;
        }
    }
    line(&received.summary().to_string());
    // Its processor time is read before it ends.
    stdin().lines().next().transpose()?;
    Ok(())
}

impl Received {
    fn new(arguments: &PeerConsumerArgs) -> anyhow::Result<Self> {
        let read = |path: &PathBuf| {
            std::fs::read_to_string(path).with_context(|| path.display().to_string())
        };
        let schema = Schema::parse(&read(&arguments.attributes)?);
        let subscriptions = parse_subscriptions(&read(&arguments.subscriptions)?)?;
        Ok(Self {
            filter: Filter::new(arguments.peer, &schema, &subscriptions)?,
            header_bytes: schema.header_bytes(),
            stamped: arguments.stamped,
            last_topic: arguments.peer.topic(LAST),
            is_over: false,
            messages: 0,
            deliveries: 0,
            last_ns: 0,
            delays_ns: Vec::new(),
        })
    }

    fn take(&mut self, topic: &[u8], body: &[u8]) {
        let Some((header, payload)) = body.split_at_checked(self.header_bytes) else {
            self.is_over |= topic == self.last_topic;
            return;
        };
        self.messages += 1;
        let passed = self.filter.take(topic, header);
        if passed == 0 {
            return;
        }
        self.deliveries += passed;
        self.last_ns = now_ns();
        if self.stamped
            && let Some(stamp) = payload.first_chunk::<STAMP_BYTES>()
        {
            let delay_ns = self.last_ns.saturating_sub(u64::from_le_bytes(*stamp));
            self.delays_ns.push(delay_ns);
        }
    }

    fn summary(&self) -> Value {
        let passed = self.filter.counts().iter().filter(|(_, count)| *count > 0);
        let by_subscription: BTreeMap<String, u64> =
            passed.map(|(id, count)| (id.to_string(), *count)).collect();
        let mut summary = json!({
            "event": "received", "messages": self.messages, "deliveries": self.deliveries, "last_ns": self.last_ns,
            "by_subscription": by_subscription, "all": self.is_over,
        });
        if !self.delays_ns.is_empty() {
            let sorted = Sorted::new(self.delays_ns.iter().map(|ns| *ns as f64));
            summary["p50_ns"] = json!(sorted.median());
            summary["p99_ns"] = json!(sorted.p99());
        }
        summary
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn received(stamped: bool) -> Received {
        let schema = Schema::parse("symbol\na");
        let subscriptions =
            parse_subscriptions("0 1 S i symbol = 7 i a >= 5\n0 2 S i symbol = 7\n").unwrap();
        Received {
            filter: Filter::new(Peer::Nats, &schema, &subscriptions).unwrap(),
            header_bytes: schema.header_bytes(),
            stamped,
            last_topic: Peer::Nats.topic(LAST),
            is_over: false,
            messages: 0,
            deliveries: 0,
            last_ns: 0,
            delays_ns: Vec::new(),
        }
    }

    fn body(a: f64, payload: &[u8]) -> Vec<u8> {
        [&7.0_f64.to_le_bytes(), &a.to_le_bytes(), payload].concat()
    }

    #[test]
    fn a_delivery_is_a_pair_of_a_publication_and_a_subscription() {
        let mut received = received(false);

        received.take(b"quotes.7", &body(9.0, b"payload"));
        received.take(b"quotes.7", &body(1.0, b"payload"));
        received.take(b"quotes.last", b"");

        let summary = received.summary();
        assert_eq!(
            (&summary["messages"], &summary["deliveries"]),
            (&json!(2), &json!(3))
        );
        assert_eq!(summary["by_subscription"], json!({ "1": 1, "2": 2 }));
        assert_eq!(summary["all"], true);
        assert_eq!(summary["p50_ns"], Value::Null);
    }

    #[test]
    fn a_delay_is_that_of_a_publication_that_passed() {
        let mut received = received(true);
        let stamp = (now_ns() - 5_000_000_000).to_le_bytes();

        received.take(b"quotes.7", &body(9.0, &stamp));
        received.take(b"quotes.8", &body(9.0, &stamp));

        let summary = received.summary();
        assert_eq!(received.delays_ns.len(), 1);
        assert!(summary["p50_ns"].as_f64().unwrap() >= 5e9, "{summary}");
    }

    #[test]
    fn silence_before_the_last_message_is_told() {
        let mut received = received(false);

        received.take(b"quotes.7", &body(9.0, b""));

        assert_eq!(received.summary()["all"], false);
    }
}
