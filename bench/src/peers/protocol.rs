//! What a client says to a peer, and what it hears: the plain protocols of NATS and of MQTT 3.1.1.
//!
//! Invariant: a frame is handed out only when all of it has come; bytes that are no frame are an error, never passed over.

use super::Peer;
use super::{mqtt, nats};

/// Messages are no larger than this: more is not the protocol.
pub(super) const FRAME_BYTES_MAX: usize = 8 << 20;

/// Why a peer's bytes were not understood, or what it said instead.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum WireError {
    /// It did not take what it was asked.
    #[error("the server refused: {0}")]
    Refused(String),
    /// No frame begins like this.
    #[error("the server said something that is not its protocol: {0}")]
    Malformed(String),
}

/// Something that a server says.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Frame<'a> {
    /// A message of a topic.
    Message { topic: &'a [u8], body: &'a [u8] },
    /// It asks whether the client is there.
    Ping,
    /// It has taken everything that was sent before this ping.
    Pong,
    /// Nothing that has to be answered.
    Other,
}

impl Peer {
    /// The topic of a symbol.
    pub(super) fn topic(self, symbol: &str) -> Vec<u8> {
        let between = match self {
            Self::Nats => '.',
            Self::Mosquitto => '/',
        };
        format!("quotes{between}{symbol}").into_bytes()
    }

    /// Appends the first words of a client called `name`.
    pub(super) fn hello(self, name: &str, out: &mut Vec<u8>) {
        match self {
            Self::Nats => nats::hello(name, out),
            Self::Mosquitto => mqtt::hello(name, out),
        }
    }

    /// Appends a subscription to each of the topics.
    pub(super) fn subscribe(self, topics: &[Vec<u8>], out: &mut Vec<u8>) {
        match self {
            Self::Nats => nats::subscribe(topics, out),
            Self::Mosquitto => mqtt::subscribe(topics, out),
        }
    }

    /// Appends a message, at most once and not retained.
    pub(super) fn publish(self, topic: &[u8], body: [&[u8]; 2], out: &mut Vec<u8>) {
        match self {
            Self::Nats => nats::publish(topic, body, out),
            Self::Mosquitto => mqtt::publish(topic, body, out),
        }
    }

    /// What a ping is.
    pub(super) fn ping(self) -> &'static [u8] {
        match self {
            Self::Nats => nats::PING,
            Self::Mosquitto => mqtt::PING,
        }
    }

    /// What answers a ping.
    pub(super) fn pong(self) -> &'static [u8] {
        match self {
            Self::Nats => nats::PONG,
            Self::Mosquitto => mqtt::PONG,
        }
    }

    /// The first frame in `bytes` and how many bytes it has; `None` if it has not all come.
    ///
    /// # Errors
    /// [`WireError`]: the connection is of no more use.
    pub(super) fn parse(self, bytes: &[u8]) -> Result<Option<(Frame<'_>, usize)>, WireError> {
        match self {
            Self::Nats => nats::parse(bytes),
            Self::Mosquitto => mqtt::parse(bytes),
        }
    }
}
