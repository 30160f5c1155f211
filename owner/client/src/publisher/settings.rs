//! What a publisher's owner chooses, and what a publisher reports.

use std::time::Duration;

use sc_attestation::Policy;
use sc_cbr::{SlowPolicy, Status};
use sc_crypto::VerifyingKey;

use super::{Admission, BatchBounds, GrantList};
use crate::answer::Refusal;
use crate::outgoing::OutgoingBounds;
use crate::provisioning::ProvisioningError;

/// What a publisher's owner chooses.
#[derive(Debug, Clone)]
pub struct PublisherSettings {
    /// Which trusted programs get the keys.
    pub policy: Policy,
    /// Whom to admit.
    pub admission: Admission,
    /// Whom to let publish in the domain besides its owner.
    pub grants: GrantList,
    /// Subscriptions that one consumer may hold.
    pub quota: usize,
    /// How long subscriptions live without renewal.
    pub lease: Duration,
    /// What happens to consumers that do not keep up.
    pub slow: SlowPolicy,
    /// How long the router keeps notices for a consumer that is away, at most; it may ask for less.
    pub retention_max: Duration,
    /// When batches are closed.
    pub batch: BatchBounds,
    /// Publications held because they are not settled, in bytes; beyond it [`publish`](super::Publisher::publish) says
    /// [`PublishError::Full`](crate::PublishError::Full).
    pub queue_bytes: usize,
    /// One publication with its payload, in bytes, at most: what the router takes in one message. A larger one is refused.
    pub publication_bytes: usize,
    /// Time between two ticks: consumers without news get a heartbeat at each.
    pub tick: Duration,
    /// D4.2's unencrypted mode.
    pub plain: bool,
}

impl Default for PublisherSettings {
    fn default() -> Self {
        Self {
            policy: Policy::default(),
            admission: Admission::Open,
            grants: GrantList::default(),
            quota: 100_000,
            lease: Duration::from_secs(3600),
            slow: SlowPolicy::default(),
            retention_max: Duration::from_secs(24 * 3600),
            batch: BatchBounds::default(),
            queue_bytes: 64 << 20,
            publication_bytes: 4 << 20,
            tick: Duration::from_secs(5),
            plain: false,
        }
    }
}

impl PublisherSettings {
    pub(super) fn outgoing(&self) -> OutgoingBounds {
        OutgoingBounds {
            batch: self.batch,
            queue_bytes: self.queue_bytes,
            publication_bytes: self.publication_bytes,
        }
    }

    /// What a consumer that asks for `asked` milliseconds is granted.
    pub(super) fn retention_ms(&self, asked: u64) -> u64 {
        asked.min(millis(self.retention_max))
    }
}

/// A duration in milliseconds.
pub(super) fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

/// What a publisher reports.
#[derive(Debug)]
#[non_exhaustive]
pub enum PublisherEvent {
    /// A session is open; the keys are with a program that satisfied the policy.
    Opened {
        /// Its number.
        session: u64,
        /// What protects the program.
        tee_line: &'static str,
        /// The program's measurement.
        measurement: Vec<u8>,
    },
    /// The program or its evidence was not accepted, and nothing was handed over; or it did not confirm.
    NotProvisioned(ProvisioningError),
    /// A consumer's request was carried out.
    Admitted {
        /// Its identity's fingerprint.
        fingerprint: String,
        /// Subscriptions that it holds now.
        subscriptions: usize,
    },
    /// All that a consumer announced is admitted and indexed.
    Complete {
        /// Its identity.
        consumer: VerifyingKey,
    },
    /// A consumer's request was refused.
    RefusedConsumer {
        /// Its identity's fingerprint.
        fingerprint: String,
        /// Why.
        refusal: Refusal,
    },
    /// Another publishes in the domain from now on.
    Granted {
        /// Its identity's fingerprint.
        fingerprint: String,
        /// Its start number.
        start: u64,
    },
    /// A request to publish was refused.
    RefusedPublisher {
        /// Its identity's fingerprint.
        fingerprint: String,
        /// Why.
        refusal: Refusal,
    },
    /// A changed list names a publisher no longer; it publishes no more.
    Dismissed {
        /// Its identity's fingerprint.
        fingerprint: String,
    },
    /// A request did not open; its sender is unknown.
    UnreadableAsk,
    /// The program has taken a batch; it is held until it is settled too.
    Published {
        /// Its publications.
        publications: usize,
        /// Those that matched at least one subscription.
        matched: u32,
        /// (publication, subscription) pairs.
        deliveries: u64,
    },
    /// The program took a message but could not carry it out.
    NotCarriedOut(Status),
    /// The router did not take something.
    RouterRefused {
        /// Its words.
        what: String,
        /// Whether asking again is useless.
        lasting: bool,
    },
    /// A consumer went away before its answer reached it.
    Unreachable,
    /// Nothing that was sent has had a receipt for ten seconds, although the link stands: the router or the program withholds them, or
    /// cannot keep up. Said once, until the next receipt.
    ReceiptsOverdue,
    /// The router forged, withheld or reordered a receipt: the session is not to be trusted any more.
    ReceiptNotAuthentic,
}
