//! The numbered messages of one publisher in one session: which counter is next, which has its receipt, which is settled.
//!
//! Invariant: a counter is given out once, receipts are taken in its order, and nothing is settled that was not sent.

use std::time::Duration;

use sc_cbr::{MessageKind, PublisherKeys, Receipt, Scope};
use sc_proto::routing;

/// Messages sent without a receipt, at most: what is kept of each is little, but a router could withhold receipts for ever.
const UNRECEIPTED_MAX: u64 = if cfg!(test) { 8 } else { 1 << 16 };
/// A receipt that has not come after this long is reported.
const RECEIPTS_OVERDUE_AFTER: Duration = Duration::from_secs(10);

/// One publisher's sequence in one session.
pub(crate) struct Sequence {
    pub(crate) scope: Scope,
    pub(crate) keys: PublisherKeys,
    next_counter: u64,
    next_receipt: u64,
    settled: u64,
    /// Since when a message waits for a receipt without any coming.
    waits_since: Option<Duration>,
    is_overdue_told: bool,
}

impl Sequence {
    pub(crate) fn new(scope: Scope, keys: PublisherKeys) -> Self {
        Self {
            scope,
            keys,
            next_counter: 1,
            next_receipt: 1,
            settled: 0,
            waits_since: None,
            is_overdue_told: false,
        }
    }

    /// Whether as many messages wait for receipts as may.
    pub(crate) fn is_full(&self) -> bool {
        self.next_counter - self.next_receipt >= UNRECEIPTED_MAX
    }

    /// Gives out the next counter.
    pub(crate) fn take_counter(&mut self, now: Duration) -> u64 {
        let counter = self.next_counter;
        self.next_counter += 1;
        self.waits_since.get_or_insert(now);
        counter
    }

    /// Opens the receipt of the next message; `None` for any other.
    pub(crate) fn open_receipt(
        &mut self,
        now: Duration,
        counter: u64,
        sealed: &mut [u8],
    ) -> Option<Receipt> {
        if counter != self.next_receipt || counter >= self.next_counter {
            return None;
        }
        let opened = self
            .keys
            .receipt
            .open(&self.scope, MessageKind::Receipt, counter, sealed);
        let receipt = Receipt::decode(opened.ok()?)
            .ok()
            .filter(|receipt| receipt.counter == counter)?;
        self.next_receipt += 1;
        self.waits_since = (self.next_receipt < self.next_counter).then_some(now);
        self.is_overdue_told = false;
        Some(receipt)
    }

    /// The router's word that everything up to a counter is settled; `None` unless it is news of this sequence.
    pub(crate) fn take_settled(&mut self, head: &routing::Settled) -> Option<u64> {
        let is_ours = head.domain[..] == self.scope.domain.as_bytes()[..]
            && head.session == self.scope.session
            && head.start == self.scope.start;
        let is_news = head.counter > self.settled && head.counter < self.next_counter;
        if !is_ours || !is_news {
            return None;
        }
        self.settled = head.counter;
        Some(head.counter)
    }

    /// When a receipt is overdue, unless that was told already.
    pub(crate) fn overdue_at(&self) -> Option<Duration> {
        self.waits_since
            .filter(|_| !self.is_overdue_told)
            .map(|since| since + RECEIPTS_OVERDUE_AFTER)
    }

    /// Whether receipts are overdue; once, until one has come.
    pub(crate) fn tell_overdue(&mut self, now: Duration) -> bool {
        let is_due = self.overdue_at().is_some_and(|at| at <= now);
        self.is_overdue_told |= is_due;
        is_due
    }
}

#[cfg(test)]
mod tests {
    use sc_crypto::{DomainId, Secret, VerifyingKey};

    use super::*;

    fn sequence() -> Sequence {
        let scope = Scope {
            domain: DomainId::from_bytes([1; 32]),
            session: 2,
            party: VerifyingKey::from_bytes([3; 32]),
            start: 4,
        };
        Sequence::new(
            scope,
            PublisherKeys::new(&Secret::from_bytes([5; 32]), true),
        )
    }

    fn receipt(counter: u64) -> Vec<u8> {
        let receipt = Receipt {
            counter,
            status: sc_cbr::Status::Taken,
            matched: 0,
            deliveries: 0,
        };
        receipt.encode()
    }

    #[test]
    fn no_more_messages_wait_for_receipts_than_the_bound() {
        let mut sequence = sequence();
        for counter in 1..=UNRECEIPTED_MAX {
            assert!(!sequence.is_full());
            assert_eq!(sequence.take_counter(Duration::ZERO), counter);
        }
        assert!(sequence.is_full());

        sequence
            .open_receipt(Duration::ZERO, 1, &mut receipt(1))
            .unwrap();

        assert!(!sequence.is_full());
    }

    #[test]
    fn what_is_settled_only_grows_and_never_beyond_what_was_sent() {
        let mut sequence = sequence();
        for _ in 0..3 {
            sequence.take_counter(Duration::ZERO);
        }
        let mut say = |counter| {
            sequence.take_settled(&routing::Settled {
                domain: vec![1; 32].into(),
                session: 2,
                start: 4,
                counter,
            })
        };

        assert_eq!(say(4), None);
        assert_eq!(say(2), Some(2));
        assert_eq!(say(2), None);
        assert_eq!(say(1), None);
        assert_eq!(say(3), Some(3));
    }

    #[test]
    fn a_receipt_ends_the_wait_of_those_before_it_and_begins_that_of_the_next() {
        let mut sequence = sequence();
        let at = Duration::from_secs;
        sequence.take_counter(at(0));
        sequence.take_counter(at(1));
        assert_eq!(sequence.overdue_at(), Some(RECEIPTS_OVERDUE_AFTER));

        sequence.open_receipt(at(5), 1, &mut receipt(1)).unwrap();
        assert_eq!(sequence.overdue_at(), Some(at(5) + RECEIPTS_OVERDUE_AFTER));
        sequence.open_receipt(at(6), 2, &mut receipt(2)).unwrap();

        assert_eq!(sequence.overdue_at(), None);
    }
}
