//! What a subscriber chooses, and what it reports.

use std::time::Duration;

use sc_cbr::{Origin, SlowPolicy};
use sc_crypto::VerifyingKey;

use crate::answer::Refusal;

/// What a subscriber chooses.
#[derive(Debug, Clone, Default)]
pub struct SubscriberSettings {
    /// D4.2's unencrypted mode.
    pub plain: bool,
    /// How long the router is asked to keep notices while this side is away. Default: none beyond what it keeps anyway. The owner may
    /// grant less, and [`SubscriberEvent::Admitted`] tells how much. More where consumers are away for long and must miss nothing.
    pub retention: Duration,
}

/// One publication that matched, with its payload opened.
///
/// It is given once for each (publisher, origin, index), with one exception: a process that dies after it was given a delivery and before
/// the record of that is in its journal is given the same again by its successor. What must not be done twice is therefore kept by that
/// triple, or together with what came of it.
#[derive(Debug, Clone, Copy)]
pub struct Delivery<'a> {
    /// Who published it.
    pub publisher: VerifyingKey,
    /// The batch it came in.
    pub origin: Origin,
    /// Its place in the batch.
    pub index: u32,
    /// The subscriber's own ids of the subscriptions that it matched, ascending.
    pub subscriptions: &'a [u64],
    /// The payload.
    pub payload: &'a [u8],
}

/// What a subscriber reports besides deliveries.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum SubscriberEvent {
    /// The domain has no session at this router yet; the request goes out when one opens.
    Waiting,
    /// The owner has admitted all subscriptions.
    Admitted {
        /// In which session.
        session: u64,
        /// What happens when this side does not keep up.
        slow: SlowPolicy,
        /// How long the router keeps its notices while it is away.
        retention: Duration,
    },
    /// The owner has refused.
    Refused(Refusal),
    /// No answer has come to a request, which is made again: the owner cannot open it, or somebody keeps it or the answer.
    Unanswered,
    /// An answer of the owner came unencrypted and was dropped: the owner runs D4.2's unencrypted mode and this side does not.
    Unencrypted,
    /// Notices are missing: withheld by the router, or given up by it because this side was away for too long.
    Missing {
        /// The session.
        session: u64,
        /// The first missing counter.
        from: u64,
        /// The last missing counter.
        to: u64,
    },
    /// At the begin of a session a publisher says that it is done with more than this side has taken or been told of: what lies between
    /// did not match, or was withheld at the end of the session before.
    Uncovered {
        /// Whose batches.
        publisher: VerifyingKey,
        /// The last one that this side knows of.
        from: Origin,
        /// The last one that does not come any more; number [`UNKNOWN_END`](super::UNKNOWN_END): the publisher has crashed, and nobody
        /// knows how many more of this start there were.
        to: Origin,
    },
    /// The router keeps nothing more for this side, which was away for too long or did not keep up; what matches is only counted until
    /// [`SubscriberEvent::Missed`].
    Suspended {
        /// In which session.
        session: u64,
    },
    /// So much matched and was not noted for this side: while it was suspended, or because one notice would have been too large.
    Missed {
        /// Batches.
        batches: u64,
        /// Publications in them.
        publications: u64,
    },
    /// No notice has come for two heartbeats and more: the owner is gone, or the router withholds everything.
    Silent,
    /// A notice was not the program's, or came twice; it was dropped.
    NotTaken,
    /// A batch came of a start of its publisher that was over: held back by the router until batches of a later start were here, or
    /// published by somebody who has lost the journal.
    PassedOver {
        /// The batch.
        origin: Origin,
    },
    /// A payload that a notice promised was changed or left out by the router.
    PayloadWithheld {
        /// Of the batch.
        origin: Origin,
        /// In the batch.
        index: u32,
    },
    /// The lease had run out while this side was away. It has asked anew; what was published between is missing, and nobody counts it.
    Lapsed {
        /// In which session.
        session: u64,
    },
    /// The lease has run out, or the owner has revoked this identity: nothing will come any more.
    Ended(Ending),
    /// The router did not carry something.
    RouterRefused(String),
}

impl SubscriberEvent {
    /// Whether a router can have it reported as often as it likes.
    pub(super) fn is_cheap(&self) -> bool {
        matches!(
            self,
            Self::Waiting | Self::Unencrypted | Self::NotTaken | Self::RouterRefused(_)
        )
    }
}

/// Why subscriptions ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ending {
    /// The lease was not renewed in time.
    Expired,
    /// The owner has revoked the identity.
    Revoked,
}
