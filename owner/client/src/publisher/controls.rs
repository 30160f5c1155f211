//! What waits for credit of class control: messages for the program, and answers.
//!
//! Invariant: a consumer's answer stands before the admission that it announces; what many requests ask for is kept once, in the roll,
//! when it would take more room here than it may.

use std::collections::{BTreeMap, VecDeque};

use sc_cbr::ControlBody;
use sc_crypto::{OwnerPublic, VerifyingKey};

use super::grants::Grant;
use crate::answer::Refusal;

/// Entries that may wait; a router that gives no credit for so long has to be left.
const COUNT_MAX: usize = 1 << 18;
/// Bytes of subscriptions and refusals that may wait; few in this crate's unit tests.
const BYTES_MAX: usize = if cfg!(test) { 4096 } else { 32 << 20 };
/// What an entry takes besides its subscriptions, about.
const ENTRY_BYTES: usize = 64;
/// What a refusal takes, about: the asker's public key is in it.
const REFUSAL_BYTES: usize = 2048;

/// Something that waits.
pub(super) enum Queued {
    /// A message for the program.
    Control {
        body: ControlBody,
        /// The consumer all of whose subscriptions are indexed once this is carried out.
        completes: Option<VerifyingKey>,
        bytes: usize,
    },
    /// All subscriptions of a consumer, as the roll has them then, in place of those that the program holds.
    Readmit {
        consumer: VerifyingKey,
        /// Whether it is known to be there.
        is_here: bool,
        /// The last that has gone; none before the first.
        after: Option<u64>,
    },
    /// The answer that tells a consumer that it is admitted, to one of its requests.
    Admitted {
        consumer: VerifyingKey,
        request: [u8; 32],
    },
    /// The answer that tells somebody that it is not.
    Refused(Box<RefusedAsk>),
    /// Lets another publish.
    Register(Box<Grant>),
    /// The answer that tells it so.
    Granted(Box<Grant>),
}

/// Whom to refuse, and why.
pub(super) struct RefusedAsk {
    pub(super) public: OwnerPublic,
    pub(super) identity: VerifyingKey,
    /// Whether it asked to publish.
    pub(super) publisher: bool,
    pub(super) request: [u8; 32],
    pub(super) refusal: Refusal,
}

impl Queued {
    fn bytes(&self) -> usize {
        match self {
            Self::Control { bytes, .. } => ENTRY_BYTES + bytes,
            Self::Refused(_) | Self::Register(_) | Self::Granted(_) => REFUSAL_BYTES,
            Self::Readmit { .. } | Self::Admitted { .. } => ENTRY_BYTES,
        }
    }
}

/// The queue.
#[derive(Default)]
pub(super) struct Controls {
    queue: VecDeque<Queued>,
    bytes: usize,
    /// Consumers with a readmission that has not begun, and whether they are known to be there: a second one would say the same.
    readmitting: BTreeMap<VerifyingKey, bool>,
}

impl Controls {
    pub(super) fn is_empty(&self) -> bool {
        self.queue.is_empty()
    }

    /// Whether it is longer than a router can have a reason for.
    pub(super) fn is_over(&self) -> bool {
        self.queue.len() > COUNT_MAX
    }

    /// Whether `bytes` more would be too many.
    pub(super) fn is_crowded(&self, bytes: usize) -> bool {
        self.bytes + bytes > BYTES_MAX
    }

    pub(super) fn clear(&mut self) {
        *self = Self::default();
    }

    pub(super) fn push(&mut self, queued: Queued) {
        if let Queued::Readmit {
            consumer, is_here, ..
        } = &queued
        {
            let waits = self.readmitting.contains_key(consumer);
            *self.readmitting.entry(*consumer).or_default() |= is_here;
            if waits {
                return;
            }
        }
        self.bytes += queued.bytes();
        self.queue.push_back(queued);
    }

    /// Puts back what could not be sent.
    pub(super) fn put_back(&mut self, queued: Queued) {
        if let Queued::Readmit {
            consumer,
            is_here,
            after: None,
        } = &queued
        {
            self.readmitting.insert(*consumer, *is_here);
        }
        self.bytes += queued.bytes();
        self.queue.push_front(queued);
    }

    pub(super) fn pop(&mut self) -> Option<Queued> {
        let mut queued = self.queue.pop_front()?;
        self.bytes -= queued.bytes();
        if let Queued::Readmit {
            consumer,
            is_here,
            after: None,
        } = &mut queued
        {
            *is_here = self.readmitting.remove(consumer).unwrap_or(*is_here);
        }
        Some(queued)
    }

    /// Whoever was expelled is not complete when what waits for it is carried out.
    pub(super) fn completes_no_more(&mut self, identity: &VerifyingKey) {
        if let Some(is_here) = self.readmitting.get_mut(identity) {
            *is_here = false;
        }
        for queued in &mut self.queue {
            match queued {
                Queued::Control { completes, .. } if *completes == Some(*identity) => {
                    *completes = None;
                }
                Queued::Readmit {
                    consumer, is_here, ..
                } if consumer == identity => *is_here = false,
                _ => {}
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn readmit(number: u8, after: Option<u64>) -> Queued {
        Queued::Readmit {
            consumer: VerifyingKey::from_bytes([number; 32]),
            is_here: true,
            after,
        }
    }

    fn tick(bytes: usize) -> Queued {
        Queued::Control {
            body: ControlBody::Tick,
            completes: None,
            bytes,
        }
    }

    #[test]
    fn a_consumer_waits_for_one_readmission_at_a_time() {
        let mut controls = Controls::default();
        for number in [1, 2, 1, 1] {
            controls.push(readmit(number, None));
        }

        assert!(controls.pop().is_some());
        controls.push(readmit(1, None));

        let left = std::iter::from_fn(|| controls.pop()).count();
        assert_eq!(left, 2, "the first has begun, so a later one may be needed");
    }

    #[test]
    fn a_consumer_that_is_known_to_be_there_once_is_there_when_it_is_readmitted() {
        let mut controls = Controls::default();
        let unknown = Queued::Readmit {
            consumer: VerifyingKey::from_bytes([1; 32]),
            is_here: false,
            after: None,
        };
        controls.push(unknown);
        controls.push(readmit(1, None));

        assert!(matches!(
            controls.pop(),
            Some(Queued::Readmit { is_here: true, .. })
        ));
    }

    #[test]
    fn a_readmission_that_has_begun_keeps_no_later_one_away() {
        let mut controls = Controls::default();
        controls.push(readmit(1, None));
        controls.pop();
        controls.put_back(readmit(1, Some(7)));

        controls.push(readmit(1, None));

        assert_eq!(std::iter::from_fn(|| controls.pop()).count(), 2);
    }

    #[test]
    fn it_is_crowded_by_bytes_and_not_when_they_are_gone() {
        let mut controls = Controls::default();
        assert!(!controls.is_crowded(1000));
        controls.push(tick(BYTES_MAX));
        assert!(controls.is_crowded(0));

        controls.pop();

        assert!(!controls.is_crowded(1000));
    }

    #[test]
    fn it_is_over_when_more_wait_than_the_bound() {
        let mut controls = Controls::default();
        for _ in 0..COUNT_MAX {
            controls.push(tick(0));
        }
        assert!(!controls.is_over());

        controls.push(tick(0));

        assert!(controls.is_over());
    }
}
