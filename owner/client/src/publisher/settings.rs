//! What a publisher's owner chooses, and what a publisher reports.

use std::time::Duration;

use sc_attestation::Policy;
use sc_cbr::{SlowPolicy, Status};
use sc_crypto::VerifyingKey;

use super::{Admission, BatchBounds};
use crate::answer::Refusal;
use crate::provisioning::ProvisioningError;

/// What a publisher's owner chooses.
#[derive(Debug, Clone)]
pub struct PublisherSettings {
    /// Which trusted programs get the keys.
    pub policy: Policy,
    /// Whom to admit.
    pub admission: Admission,
    /// Subscriptions that one consumer may hold.
    pub quota: usize,
    /// How long subscriptions live without renewal.
    pub lease: Duration,
    /// What happens to consumers that do not keep up.
    pub slow: SlowPolicy,
    /// When batches are closed.
    pub batch: BatchBounds,
    /// Publications held without a receipt, in bytes; beyond it [`publish`](super::Publisher::publish) says [`Full`].
    pub queue_bytes: usize,
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
            quota: 100_000,
            lease: Duration::from_secs(3600),
            slow: SlowPolicy::Block,
            batch: BatchBounds::default(),
            queue_bytes: 64 << 20,
            tick: Duration::from_secs(5),
            plain: false,
        }
    }
}

/// More is held without a receipt than the settings allow: publish again when receipts have come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("as much is held without a receipt as the settings allow")]
pub struct Full;

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
        measurement: [u8; 32],
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
    /// A request did not open; its sender is unknown.
    UnreadableAsk,
    /// A batch was taken.
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
    /// The router forged, withheld or reordered a receipt: the session is not to be trusted any more.
    ReceiptNotAuthentic,
}
