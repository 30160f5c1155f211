//! What one that publishes in another's domain chooses, and what it reports.

use sc_cbr::Status;

use crate::answer::Refusal;
use crate::outgoing::{BatchBounds, OutgoingBounds};

/// What a grantee chooses.
#[derive(Debug, Clone)]
pub struct GranteeSettings {
    /// When batches are closed.
    pub batch: BatchBounds,
    /// Publications held because they are not settled, in bytes; beyond it [`publish`](super::Grantee::publish) says
    /// [`PublishError::Full`](crate::PublishError::Full).
    pub queue_bytes: usize,
    /// One publication with its payload, in bytes, at most: what the router takes in one message. A larger one is refused.
    pub publication_bytes: usize,
    /// D4.2's unencrypted mode.
    pub plain: bool,
}

impl Default for GranteeSettings {
    fn default() -> Self {
        Self {
            batch: BatchBounds::default(),
            queue_bytes: 64 << 20,
            publication_bytes: 4 << 20,
            plain: false,
        }
    }
}

impl GranteeSettings {
    pub(super) fn outgoing(&self) -> OutgoingBounds {
        OutgoingBounds {
            batch: self.batch,
            queue_bytes: self.queue_bytes,
            publication_bytes: self.publication_bytes,
        }
    }
}

/// What a grantee reports.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum GranteeEvent {
    /// The domain has no session at this router yet; the request goes out when one opens.
    Waiting,
    /// The owner lets it publish.
    Granted {
        /// In which session.
        session: u64,
        /// Under which start number.
        start: u64,
    },
    /// The owner does not let it publish, or no more; it asks again later.
    Refused(Refusal),
    /// No answer has come to a request, which is made again: the owner is not there, or somebody keeps the request or the answer.
    Unanswered,
    /// An answer was not the owner's, or not to a request of this side; it was dropped.
    NotTaken,
    /// The program has taken a batch; it is held until it is settled too.
    Published {
        /// Its publications.
        publications: usize,
        /// Those that matched at least one subscription.
        matched: u32,
        /// (publication, subscription) pairs.
        deliveries: u64,
    },
    /// The program took a batch but could not carry it out.
    NotCarriedOut(Status),
    /// The router did not take something.
    RouterRefused(String),
    /// Nothing that was sent has had a receipt for ten seconds, although the link stands. Said once, until the next receipt.
    ReceiptsOverdue,
    /// The router forged, withheld or reordered a receipt: what it was given is published again over a new link.
    ReceiptNotAuthentic,
}
