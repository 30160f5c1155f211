//! Subscriptions in the index, and whose each of them is.
//!
//! Invariants: a number in use belongs to one (consumer, subscription id); numbers are given again, so that they stay small. A view
//! never changes; none is alive while a subscription comes or goes, so that nothing has to be copied.

use std::sync::Arc;

use sc_matching::{Index, Kernel, Snapshot, Subscription, SubscriptionId};

use crate::consumers::Place;

/// Holdings of one chunk.
const CHUNK: usize = 1 << 10;

/// One subscription, as its consumer knows it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Row {
    pub(crate) consumer: Place,
    pub(crate) id: u64,
}

impl Row {
    /// By consumer, then by id: one comparison of one number.
    pub(crate) fn order(self) -> u128 {
        u128::from(self.consumer.number()) << 64 | u128::from(self.id)
    }
}

/// What is kept of each subscription outside the index: no more, for there are many.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Holding {
    pub(crate) id: u64,
    pub(crate) consumer: Place,
    /// What the subscription takes, about.
    pub(crate) bytes: u32,
}

/// Holdings by number; they grow by chunks, so that little room is held in advance and nothing is moved.
#[derive(Clone, Default)]
struct Holdings {
    chunks: Vec<Box<[Holding; CHUNK]>>,
    len: usize,
}

/// All subscriptions of a domain.
pub(crate) struct Recipients {
    index: Index,
    kernel: Kernel,
    holdings: Arc<Holdings>,
    free: Vec<SubscriptionId>,
    view: Option<Arc<View>>,
}

/// All subscriptions as they are at one moment, for any number of readers.
pub(crate) struct View {
    pub(crate) snapshot: Snapshot,
    pub(crate) kernel: Kernel,
    /// How many subscriptions there are.
    pub(crate) len: usize,
    holdings: Arc<Holdings>,
}

impl Recipients {
    /// None; `seed` keys the index's hashing.
    pub(crate) fn new(seed: u64, kernel: Kernel) -> Self {
        Self {
            index: Index::with_kernel(seed, kernel),
            kernel,
            holdings: Arc::default(),
            free: Vec::new(),
            view: None,
        }
    }

    #[cfg(test)]
    pub(crate) fn len(&self) -> usize {
        self.index.len()
    }

    /// Adds a subscription; returns its number.
    pub(crate) fn insert(
        &mut self,
        subscription: &Subscription,
        holding: Holding,
    ) -> SubscriptionId {
        self.view = None;
        let holdings = Arc::make_mut(&mut self.holdings);
        let number = match self.free.pop() {
            Some(number) => {
                holdings.put(number, holding);
                number
            }
            None => holdings.push(holding),
        };
        self.index.insert(number, subscription);
        number
    }

    /// Removes the subscription of this number.
    pub(crate) fn remove(&mut self, number: SubscriptionId) {
        self.view = None;
        self.index.remove(number);
        self.free.push(number);
    }

    /// What is kept of the subscription of this number.
    pub(crate) fn holding(&self, number: SubscriptionId) -> &Holding {
        self.holdings.get(number.0)
    }

    /// All subscriptions as they are now.
    pub(crate) fn view(&mut self) -> Arc<View> {
        let view = self.view.get_or_insert_with(|| {
            Arc::new(View {
                snapshot: self.index.snapshot(),
                kernel: self.kernel,
                len: self.index.len(),
                holdings: Arc::clone(&self.holdings),
            })
        });
        Arc::clone(view)
    }
}

impl View {
    /// Whose the subscription of this number is.
    pub(crate) fn row(&self, number: u32) -> Row {
        let Holding { consumer, id, .. } = *self.holdings.get(number);
        Row { consumer, id }
    }
}

impl Holdings {
    fn get(&self, number: u32) -> &Holding {
        let at = number as usize;
        &self.chunks[at / CHUNK][at % CHUNK]
    }

    fn put(&mut self, number: SubscriptionId, holding: Holding) {
        let at = number.0 as usize;
        self.chunks[at / CHUNK][at % CHUNK] = holding;
    }

    fn push(&mut self, holding: Holding) -> SubscriptionId {
        let number = SubscriptionId(self.len as u32);
        if self.len.is_multiple_of(CHUNK) {
            self.chunks.push(Box::new([holding; CHUNK]));
        }
        self.put(number, holding);
        self.len += 1;
        number
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn holding(id: u64) -> Holding {
        Holding {
            id,
            consumer: Place::FIRST,
            bytes: id as u32 + 1,
        }
    }

    fn everything() -> Subscription {
        Subscription::new([]).unwrap()
    }

    #[test]
    fn every_number_has_its_own_holding_across_chunks() {
        let mut recipients = Recipients::new(1, Kernel::PORTABLE);

        let numbers: Vec<_> = (0..3000)
            .map(|id| recipients.insert(&everything(), holding(id)))
            .collect();

        for (id, number) in (0..).zip(numbers) {
            assert_eq!(*recipients.holding(number), holding(id));
        }
    }

    #[test]
    fn a_number_that_is_free_is_given_again() {
        let mut recipients = Recipients::new(1, Kernel::PORTABLE);
        let first = recipients.insert(&everything(), holding(1));
        let second = recipients.insert(&everything(), holding(2));

        recipients.remove(first);
        let third = recipients.insert(&everything(), holding(3));

        assert_eq!(third, first);
        assert_eq!(recipients.holding(third).id, 3);
        assert_eq!(recipients.holding(second).id, 2);
        assert_eq!(recipients.len(), 2);
    }

    #[test]
    fn a_view_shows_what_was_there_when_it_was_taken() {
        let mut recipients = Recipients::new(1, Kernel::PORTABLE);
        let number = recipients.insert(&everything(), holding(1));
        let before = recipients.view();

        recipients.remove(number);
        recipients.insert(&everything(), holding(2));

        assert_eq!(before.row(number.0).id, 1);
        assert_eq!(recipients.view().row(number.0).id, 2);
    }
}
