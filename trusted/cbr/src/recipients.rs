//! Subscriptions in a matcher, and whose each of them is.
//!
//! Invariants: a number in use belongs to one (consumer, subscription id); numbers are given again, so that they stay small. A view
//! never changes; none is alive while a subscription comes or goes, so that nothing has to be copied.

mod shelves;

use std::num::NonZeroUsize;
use std::sync::Arc;

use sc_matching::{
    Index, Kernel, Oblivious, ObliviousError, Shape, Snapshot, Subscription, SubscriptionId,
};

use crate::consumers::Place;
use crate::workers::Processors;
use shelves::{SHELF, Shelves};

pub(crate) use shelves::Seeking;

/// What a domain may grow to that is matched by full passes. Every subscription is paid for by each header, so they are fewer than an
/// index takes, and simpler. Few in this crate's unit tests, which reach the bounds.
pub const OBLIVIOUS_SHAPE: Shape = Shape {
    rows: if cfg!(test) { 64 } else { 1 << 18 },
    tests_per_row: 16,
    text_bytes: 64,
};

/// With each so many subscriptions a header is as much work again for an index, about.
const SUBSCRIPTIONS_OF_WORK: usize = 4096;
/// The same, for a matcher that passes over all of them.
const SUBSCRIPTIONS_OF_PASS: usize = 64;

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
    matcher: Matcher,
    kernel: Kernel,
    holdings: Arc<Holdings>,
    view: Option<Arc<View>>,
}

/// What finds the subscriptions that a header satisfies, and gives numbers to them.
enum Matcher {
    Index {
        index: Box<Index>,
        free: Vec<SubscriptionId>,
    },
    Oblivious(Hidden),
}

/// All subscriptions as they are at one moment, for any number of readers.
pub(crate) struct View {
    pub(crate) matching: Matching,
    pub(crate) kernel: Kernel,
    /// How many subscriptions there are.
    pub(crate) len: usize,
    holdings: Arc<Holdings>,
}

/// What matches in a view.
pub(crate) enum Matching {
    Index(Box<Snapshot>),
    Oblivious(Hidden),
}

/// A matcher that does not show what matches, and whose its subscriptions are.
#[derive(Clone)]
pub(crate) struct Hidden {
    pub(crate) matcher: Arc<Oblivious>,
    shelves: Arc<Shelves>,
    /// Slots of an answer.
    pub(crate) slots: NonZeroUsize,
}

impl Hidden {
    fn new(seed: u64, kernel: Kernel, slots: NonZeroUsize) -> Self {
        Self {
            matcher: Arc::new(Oblivious::with_kernel(OBLIVIOUS_SHAPE, seed, kernel)),
            shelves: Arc::default(),
            slots,
        }
    }

    /// Appends to `rows` whose the subscriptions in `slots` are, by consumer and then by id, without showing which of a consumer's they
    /// are.
    pub(crate) fn rows(
        &self,
        slots: &[SubscriptionId],
        seeking: &mut Seeking,
        rows: &mut Vec<Row>,
    ) {
        self.shelves.find(slots, seeking, rows);
    }
}

impl Matcher {
    fn len(&self) -> usize {
        match self {
            Self::Index { index, .. } => index.len(),
            Self::Oblivious(hidden) => hidden.matcher.len(),
        }
    }
}

impl Recipients {
    /// None; `seed` keys the hashing.
    pub(crate) fn new(seed: u64, processors: &Processors) -> Self {
        let kernel = processors.kernel;
        let matcher = match processors.oblivious {
            Some(slots) => Matcher::Oblivious(Hidden::new(seed, kernel, slots)),
            None => Matcher::Index {
                index: Box::new(Index::with_kernel(seed, kernel)),
                free: Vec::new(),
            },
        };
        Self {
            matcher,
            kernel,
            holdings: Arc::default(),
            view: None,
        }
    }

    #[cfg(test)]
    pub(crate) fn len(&self) -> usize {
        self.matcher.len()
    }

    /// Whether this subscription may be inserted, if there is room.
    pub(crate) fn admits(&self, subscription: &Subscription) -> Result<(), ObliviousError> {
        match &self.matcher {
            Matcher::Index { .. } => Ok(()),
            Matcher::Oblivious(hidden) => hidden.matcher.admits(subscription),
        }
    }

    /// Whether there is room for `consumer`, if it is known yet, to have `count` subscriptions, in place of all it has or beside those.
    pub(crate) fn has_room(&self, consumer: Option<Place>, replace: bool, count: usize) -> bool {
        let Matcher::Oblivious(Hidden { shelves, .. }) = &self.matcher else {
            return true;
        };
        let own = consumer.map_or(0, |consumer| shelves.count_of(consumer));
        let kept = if replace { 0 } else { own };
        let needed = count.div_ceil(SHELF).max(kept);
        shelves.count() - own + needed <= OBLIVIOUS_SHAPE.rows / SHELF
    }

    /// Adds a subscription; returns its number.
    ///
    /// # Panics
    /// When [`Self::admits`] or [`Self::has_room`] would have refused it.
    pub(crate) fn insert(
        &mut self,
        subscription: &Subscription,
        holding: Holding,
    ) -> SubscriptionId {
        self.view = None;
        let holdings = Arc::make_mut(&mut self.holdings);
        match &mut self.matcher {
            Matcher::Index { index, free } => {
                let number = free.pop().unwrap_or_else(|| holdings.next());
                holdings.put(number, holding);
                index.insert(number, subscription);
                number
            }
            Matcher::Oblivious(hidden) => {
                let shelves = Arc::make_mut(&mut hidden.shelves);
                let number = shelves.put(holding.consumer, holding.id);
                holdings.put(number, holding);
                let inserted = Arc::make_mut(&mut hidden.matcher).insert(number, subscription);
                inserted.expect("what the matcher does not admit is refused before");
                number
            }
        }
    }

    /// Removes the subscription of this number.
    pub(crate) fn remove(&mut self, number: SubscriptionId) {
        self.view = None;
        match &mut self.matcher {
            Matcher::Index { index, free } => {
                index.remove(number);
                free.push(number);
            }
            Matcher::Oblivious(hidden) => {
                let consumer = self.holdings.get(number.0).consumer;
                Arc::make_mut(&mut hidden.shelves).take(consumer, number);
                Arc::make_mut(&mut hidden.matcher).remove(number);
            }
        }
    }

    /// What is kept of the subscription of this number.
    pub(crate) fn holding(&self, number: SubscriptionId) -> &Holding {
        self.holdings.get(number.0)
    }

    /// All subscriptions as they are now.
    pub(crate) fn view(&mut self) -> Arc<View> {
        let view = self.view.get_or_insert_with(|| {
            Arc::new(View {
                matching: match &self.matcher {
                    Matcher::Index { index, .. } => Matching::Index(Box::new(index.snapshot())),
                    Matcher::Oblivious(hidden) => Matching::Oblivious(hidden.clone()),
                },
                kernel: self.kernel,
                len: self.matcher.len(),
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

    /// How much work a header is, in the time that an index takes for one among few subscriptions, about.
    pub(crate) fn work(&self) -> usize {
        match self.matching {
            Matching::Index(_) => 1 + self.len / SUBSCRIPTIONS_OF_WORK,
            Matching::Oblivious(_) => 1 + self.len / SUBSCRIPTIONS_OF_PASS,
        }
    }
}

impl Holdings {
    fn get(&self, number: u32) -> &Holding {
        let at = number as usize;
        &self.chunks[at / CHUNK][at % CHUNK]
    }

    /// The number behind all that were given.
    fn next(&self) -> SubscriptionId {
        SubscriptionId(self.len as u32)
    }

    fn put(&mut self, number: SubscriptionId, holding: Holding) {
        let at = number.0 as usize;
        while self.chunks.len() <= at / CHUNK {
            self.chunks.push(Box::new([holding; CHUNK]));
        }
        self.chunks[at / CHUNK][at % CHUNK] = holding;
        self.len = self.len.max(at + 1);
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
        let mut recipients = Recipients::new(1, &Processors::default());

        let numbers: Vec<_> = (0..3000)
            .map(|id| recipients.insert(&everything(), holding(id)))
            .collect();

        for (id, number) in (0..).zip(numbers) {
            assert_eq!(*recipients.holding(number), holding(id));
        }
    }

    #[test]
    fn a_number_that_is_free_is_given_again() {
        let mut recipients = Recipients::new(1, &Processors::default());
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
        let mut recipients = Recipients::new(1, &Processors::default());
        let number = recipients.insert(&everything(), holding(1));
        let before = recipients.view();

        recipients.remove(number);
        recipients.insert(&everything(), holding(2));

        assert_eq!(before.row(number.0).id, 1);
        assert_eq!(recipients.view().row(number.0).id, 2);
    }
}
