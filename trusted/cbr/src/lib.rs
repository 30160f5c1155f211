//! The routing engine: opens batches of headers, matches them, seals a notice for each recipient.
//!
//! Invariants: a publisher's messages are taken in the order of its gapless counter, each once; a consumer's notices carry a gapless
//! counter of its own; a domain's state is reached only by messages sealed under that domain's keys.
//! The formats here are drawn in `docs/FORMATS.md`; owners use the same code to make what the engine opens and to open what it makes.

mod batch;
mod bytes;
mod consumers;
mod control;
mod domain;
mod drafts;
mod engine;
mod keys;
mod notice;
mod portions;
mod publishers;
mod receipt;
mod recipients;
mod secrets;
mod workers;

pub use batch::{Batch, BatchWriter, Origin, encode_batch};
pub use bytes::{Reader, push_bytes};
pub use control::{Control, ControlBody, SlowPolicy};
pub use domain::{CONSUMERS_MAX, SUBSCRIPTION_BYTES_MAX, SUBSCRIPTIONS_PER_CONSUMER_MAX};
pub use drafts::{NOTICE_BYTES_MAX, NOTICES_BYTES_MAX};
pub use engine::{DOMAINS_MAX, Engine};
pub use keys::{
    Cipher, DeliveryKeys, DomainKey, MessageKind, PublisherKeys, Scope, control_cipher,
};
pub use notice::{Coverage, Entry, Notice, NoticeKind};
pub use publishers::PUBLISHERS_MAX;
pub use receipt::{Receipt, Status};
pub use recipients::OBLIVIOUS_SHAPE;
pub use secrets::DomainSecrets;
pub use workers::{Alone, Processors, Work, Workers};

/// Why bytes that were authentic do not make a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a sealed message is malformed: {0}")]
pub struct Malformed(pub &'static str);
