//! Violations: what a run must never show.

use crate::party::Party;

/// A promise that was broken. Publications are named by their serial number with their publisher.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, thiserror::Error)]
#[non_exhaustive]
pub enum Violation {
    /// A match was never delivered, and no fault explains that.
    #[error(
        "consumer {consumer} never got publication {serial} of source {source_number}, told of in {told}"
    )]
    NotDelivered {
        /// Who lacks it.
        consumer: usize,
        /// Whose.
        source_number: usize,
        /// Which.
        serial: usize,
        /// The notices that told of it, and the suspensions in which it was missed.
        told: String,
    },
    /// A publication came twice.
    #[error("consumer {consumer} got publication {serial} twice")]
    DeliveredTwice {
        /// Who got it.
        consumer: usize,
        /// Which.
        serial: usize,
    },
    /// A publication came that matches no subscription of the consumer.
    #[error("consumer {consumer} got publication {serial}, which it has not subscribed to")]
    NotMatched {
        /// Who got it.
        consumer: usize,
        /// Which.
        serial: usize,
    },
    /// A delivery names other subscriptions than those that match.
    #[error("publication {serial} came to consumer {consumer} for the wrong subscriptions")]
    WrongSubscriptions {
        /// Who got it.
        consumer: usize,
        /// Which.
        serial: usize,
    },
    /// A delivery has another payload than was published.
    #[error("publication {serial} came to consumer {consumer} with another payload")]
    WrongPayload {
        /// Who got it.
        consumer: usize,
        /// Which.
        serial: usize,
    },
    /// A publication came after a later one of its publisher.
    #[error("consumer {consumer} got publication {serial} after a later one")]
    OutOfOrder {
        /// Who got it.
        consumer: usize,
        /// Which.
        serial: usize,
    },
    /// A delivery is nothing that the consumer's publisher has published.
    #[error("consumer {consumer} got what its publisher has not published")]
    Foreign {
        /// Who got it.
        consumer: usize,
    },
    /// The receipts of a publisher do not add up to what it published.
    #[error("the receipts of publisher {publisher} say {what}")]
    Receipts {
        /// Whose.
        publisher: usize,
        /// What they say, and what they should.
        what: String,
    },
    /// A party reported what no injected fault explains.
    #[error("{party} reports {what}")]
    Complaint {
        /// Who.
        party: Party,
        /// What.
        what: String,
    },
    /// A link ended that no outage has ended.
    #[error("the link of {party} ended: {reason}")]
    LinkLost {
        /// Whose.
        party: Party,
        /// Why, in the words of the end that gave it up.
        reason: String,
    },
    /// The router dropped what it should have carried, or disconnected a consumer whose publisher waits for it.
    #[error("the router counts {what}")]
    Router {
        /// Its counters.
        what: String,
    },
    /// A match was neither delivered nor reported by anything that covers it.
    #[error(
        "consumer {consumer} never got publication {serial} of source {source_number}, told of in {told}, and no report covers that"
    )]
    NotCovered {
        /// Who lacks it.
        consumer: usize,
        /// Whose.
        source_number: usize,
        /// Which.
        serial: usize,
        /// The notices that told of it, and the suspensions in which it was missed.
        told: String,
    },
    /// Something was withheld, and nobody said so in time.
    #[error("{party} did not notice in time that {what} was withheld")]
    NotNoticed {
        /// Who.
        party: Party,
        /// What.
        what: String,
    },
    /// The trusted program made something else than its messages say.
    #[error("the trusted program: {what}")]
    Program {
        /// What.
        what: String,
    },
    /// Two messages were sealed under one key and nonce.
    #[error("sealed twice under one key and nonce: {what}")]
    NonceReused {
        /// Which key and nonce.
        what: String,
    },
    /// A session number was used twice.
    #[error("session {session} was opened twice")]
    SessionReused {
        /// Which.
        session: u64,
    },
    /// An owner calls settled what was never taken.
    #[error("batch {number} of start {start} is called settled, and not all up to it was taken")]
    Floor {
        /// Of the batch.
        start: u64,
        /// Of the batch.
        number: u64,
    },
    /// What one enclave must refuse another has taken.
    #[error("a second enclave takes {what}")]
    SecondEnclave {
        /// What.
        what: String,
    },
    /// Long after the last fault something still waits.
    #[error("long after the last fault, {what}")]
    Stalled {
        /// What waits.
        what: String,
    },
    /// A party's timer is never satisfied: its loop would spin.
    #[error("{party} asks again and again to be woken at once")]
    Spins {
        /// Who.
        party: Party,
    },
}
