//! A matcher whose memory accesses and branches tell nothing about what it matches.
//!
//! Invariant: gives exactly the answers of [`Subscription::matches`], by steps that depend on what
//! is public: [`Sizes`] and the number of slots; of a header the number of attributes, their types,
//! the lengths of texts and names; of an insertion or removal whether it found its id, and how the one
//! subscription is built. Secret are names and values, how they stand to each other, which row
//! anything touches, what matches and how much. Not covered: what decodes headers before, and what
//! the caller does with an answer ([`Padded`]).
//! Source: oblivious primitives for enclaves, Ohrimenko et al., USENIX Security '16; the network that
//! gathers what matched, Goodrich, SPAA '11. That rows compare ranks among all bounds is ours.

mod batch;
mod compact;
mod cuts;
mod demand;
mod dictionary;
mod key;
mod mask;
mod matches;
mod rows;
mod trace;
#[cfg(test)]
mod watched;

use alloc::vec;
use alloc::vec::Vec;
use core::{fmt, iter, ptr};

pub use matches::{NO_SUBSCRIPTION, ObliviousMatches, Padded};

use crate::hash::Key;
use crate::header::{Header, HeaderBlock};
use crate::index::{Kernel, SubscriptionId};
use crate::publication::Publication;
use crate::subscription::Subscription;
use batch::{BATCH, section_at};
use cuts::{Cuts, Shifts};
use demand::{Demands, Interval, longest_text};
use key::{Tag, key_words};
use mask::YES;
use rows::Rows;
use trace::{Trace, Unwatched};

/// How large a matcher may become: what one subscription can cost all others is bounded here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shape {
    /// Room for subscriptions, each of which has the row that its id says: ids are below this.
    pub rows: usize,
    /// Most tests of one subscription. All its constraints on one attribute together take one, but
    /// one more for each `!=` and one for each value of an `in`. Every row has room for as many
    /// tests as the widest needs.
    pub tests_per_row: usize,
    /// Longest text operand, in bytes. Every bound has room for the longest; texts of headers may be
    /// longer.
    pub text_bytes: usize,
}

impl Default for Shape {
    fn default() -> Self {
        Self {
            rows: 1 << 20,
            tests_per_row: 64,
            text_bytes: 64,
        }
    }
}

/// What a matcher has grown to. Tests and bytes are powers of two; rows and bounds are 64 times a number
/// of three significant bits, names are such a number themselves; each may be 0. Public, as is the call with which one of them grew.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sizes {
    /// Room for subscriptions: beyond the greatest id that there was.
    pub rows: usize,
    /// Tests that each row has room for.
    pub tests_per_row: usize,
    /// Bytes of text that each bound has room for.
    pub text_bytes: usize,
    /// Room for distinct names.
    pub names: usize,
    /// Room for distinct bounds.
    pub bounds: usize,
}

/// Why a subscription was not taken; the matcher is as it was before.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ObliviousError {
    /// The id is beyond what the [`Shape`] admits: give a lesser one that is free.
    #[error("there is no row {id}, but {rows} from 0 on")]
    Id {
        /// The id.
        id: u32,
        /// The bound.
        rows: usize,
    },
    /// It is wider than the [`Shape`] admits: split it into several.
    #[error("the subscription takes {needed} tests, more than {most}")]
    Tests {
        /// How many it takes.
        needed: usize,
        /// The bound.
        most: usize,
    },
    /// A text in it is longer than the [`Shape`] admits.
    #[error("the subscription has a text of {bytes} bytes, more than {most}")]
    TextLength {
        /// Length of the text.
        bytes: usize,
        /// The bound.
        most: usize,
    },
}

/// Subscriptions that are matched without telling which.
#[derive(Clone)]
pub struct Oblivious {
    kernel: Kernel,
    key: Key,
    shape: Shape,
    len: usize,
    value_words: usize,
    cuts: Cuts,
    rows: Rows,
}

impl Oblivious {
    /// An empty matcher that may grow up to `shape`. `seed` is secret and random: names are compared
    /// by tags of 127 bits that it keys.
    #[must_use]
    pub fn new(shape: Shape, seed: u64) -> Self {
        Self::with_kernel(shape, seed, Kernel::PORTABLE)
    }

    /// As [`Self::new`], working by this form of the vector operations.
    #[must_use]
    pub fn with_kernel(shape: Shape, seed: u64, kernel: Kernel) -> Self {
        Self {
            kernel,
            key: Key::from_seed(seed),
            shape,
            len: 0,
            value_words: 1,
            cuts: Cuts::new(kernel, 1),
            rows: Rows::new(kernel),
        }
    }

    /// How many subscriptions it holds.
    #[must_use]
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether it holds none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// What it has grown to. It never shrinks.
    #[must_use]
    pub fn sizes(&self) -> Sizes {
        Sizes {
            rows: self.rows.capacity(),
            tests_per_row: self.rows.tests_per_row(),
            text_bytes: self.value_words * size_of::<u64>(),
            names: self.cuts.names_capacity(),
            bounds: self.cuts.capacity(),
        }
    }

    /// Whether [`Self::insert`] would take `subscription`, under an id that has a row.
    ///
    /// # Errors
    /// [`ObliviousError`]
    pub fn admits(&self, subscription: &Subscription) -> Result<(), ObliviousError> {
        self.admit(subscription).map(|_| ())
    }

    /// Adds `subscription` as `id`, in place of the one that had this id.
    ///
    /// Shows whether there was one, and how this subscription is built (operators, lengths, and the
    /// order of its own operands), but not which row it has or where its bounds come to lie. Cost: for each
    /// test that a row has room for, two passes over rows and bounds; replacing costs a
    /// [`Self::remove`].
    ///
    /// # Errors
    /// [`ObliviousError`]; an id that was there keeps its subscription.
    pub fn insert(
        &mut self,
        id: SubscriptionId,
        subscription: &Subscription,
    ) -> Result<(), ObliviousError> {
        self.insert_watched(&mut Unwatched, id, subscription)
    }

    fn insert_watched(
        &mut self,
        trace: &mut impl Trace,
        id: SubscriptionId,
        subscription: &Subscription,
    ) -> Result<(), ObliviousError> {
        let (demands, value_words) = self.admit(subscription)?;
        if id == NO_SUBSCRIPTION || id.0 as usize >= self.shape.rows {
            return Err(ObliviousError::Id {
                id: id.0,
                rows: self.shape.rows,
            });
        }
        if self.rows.contains(trace, id.0) {
            self.take_out(trace, id);
        }
        self.grow(id, value_words, demands.intervals.len());
        let attributes = demands.attributes;
        let places = self.acquire(trace, demands);
        self.rows.insert(trace, id.0, attributes, &places);
        self.len += 1;
        Ok(())
    }

    /// Normalises `subscription` if the shape admits it, for values of so many words.
    fn admit<'s>(
        &self,
        subscription: &'s Subscription,
    ) -> Result<(Demands<'s>, usize), ObliviousError> {
        let (words, bytes) = longest_text(subscription);
        if bytes > self.shape.text_bytes {
            return Err(ObliviousError::TextLength {
                bytes,
                most: self.shape.text_bytes,
            });
        }
        let value_words = words.max(self.value_words);
        let demands = Demands::new(value_words, subscription);
        if demands.intervals.len() > self.shape.tests_per_row {
            return Err(ObliviousError::Tests {
                needed: demands.intervals.len(),
                most: self.shape.tests_per_row,
            });
        }
        Ok((demands, value_words))
    }

    /// Makes room for a subscription of `tests`.
    fn grow(&mut self, id: SubscriptionId, value_words: usize, tests: usize) {
        if value_words > self.value_words {
            self.cuts.widen_values(value_words);
            self.value_words = value_words;
        }
        if tests > self.rows.tests_per_row() {
            self.rows.widen(tests.next_power_of_two());
        }
        self.rows.reserve(id.0 as usize + 1);
        self.cuts.reserve(2 * self.rows.tests_per_row());
    }

    /// Takes the cuts of `demands` into the dictionary, and gives the places of low, high and name of
    /// each test. Where a row has room for more tests, nothing is taken, in as many steps.
    fn acquire(&mut self, trace: &mut impl Trace, demands: Demands<'_>) -> Vec<[u32; 3]> {
        let tests = demands.intervals.into_iter().map(|demand| {
            let tag = Tag::of(&self.key, demand.name);
            (tag, demand.interval, YES)
        });
        let nothing = iter::repeat_with(|| {
            let cut = || vec![0; key_words(self.value_words)];
            let interval = Interval {
                low: cut(),
                high: cut(),
            };
            (Tag::default(), interval, 0)
        });
        let tests: Vec<_> = tests
            .chain(nothing)
            .take(self.rows.tests_per_row())
            .collect();
        let mut places: Vec<[u32; 3]> = Vec::new();
        for (tag, mut interval, live) in tests {
            let low = self.acquire_cut(trace, tag, &mut interval.low, live, &mut places);
            places.push([low.cut.place & live, 0, low.name.place & live]);
            let high = self.acquire_cut(trace, tag, &mut interval.high, live, &mut places);
            let own = places.last_mut().expect("it was pushed");
            own[1] = high.cut.place & live;
        }
        places
    }

    /// Takes a cut into the dictionary; rows and `places` follow.
    fn acquire_cut(
        &mut self,
        trace: &mut impl Trace,
        tag: Tag,
        cut: &mut [u64],
        live: u32,
        places: &mut [[u32; 3]],
    ) -> Shifts {
        let shifts = self.cuts.acquire(trace, tag, cut, live);
        self.rows.shift_up(trace, shifts);
        for [low, high, name] in places {
            *low = shifts.cut.up(*low);
            *high = shifts.cut.up(*high);
            *name = shifts.name.up(*name);
        }
        shifts
    }

    /// Removes the subscription `id`; `false` when there is none.
    ///
    /// Shows whether there was one, but not where. Cost: as [`Self::insert`].
    pub fn remove(&mut self, id: SubscriptionId) -> bool {
        self.remove_watched(&mut Unwatched, id)
    }

    fn remove_watched(&mut self, trace: &mut impl Trace, id: SubscriptionId) -> bool {
        let found = self.rows.contains(trace, id.0);
        if found {
            self.take_out(trace, id);
        }
        found
    }

    /// Removes `id`, which is here.
    fn take_out(&mut self, trace: &mut impl Trace, id: SubscriptionId) {
        let mut places = self.rows.remove(trace, id.0);
        for n in 0..places.len() {
            // A test that is not in use has no cut.
            let live = !mask::equal(places[n], 0);
            let shifts = self.cuts.release(trace, places[n], live);
            self.rows.shift_down(trace, shifts);
            places
                .iter_mut()
                .for_each(|own| *own = shifts.cut.down(*own));
        }
        self.len -= 1;
    }

    /// Looks up the names of a block, once for all its headers. Shows their lengths.
    #[must_use]
    pub fn names(&self, block: &HeaderBlock<'_>) -> ObliviousNames<'_> {
        self.names_watched(&mut Unwatched, block)
    }

    fn names_watched(&self, trace: &mut impl Trace, block: &HeaderBlock<'_>) -> ObliviousNames<'_> {
        let names = block.names().iter();
        let sections = names.map(|name| self.section(trace, name));
        ObliviousNames {
            matcher: self,
            sections: sections.collect(),
        }
    }

    fn section(&self, trace: &mut impl Trace, name: &str) -> u32 {
        self.cuts.section(trace, Tag::of(&self.key, name))
    }

    /// Sets `matched` to one answer of `bound` slots for each of `headers`, forgetting what it held.
    ///
    /// `names` must come from this matcher and the headers' block. When more than `bound` match, the
    /// answer holds some `bound` of them and says so. Cost: for every eight headers, a pass over
    /// bounds and rows; for each value, a comparison with every bound and every test, and a pass over
    /// the names of the block; for each header, O(n log n + bound log bound) to write the answer, where
    /// n is a 64th of the rows.
    ///
    /// # Panics
    /// When `names` comes from another matcher.
    pub fn matches(
        &self,
        names: &ObliviousNames<'_>,
        headers: &[Header<'_>],
        bound: usize,
        matched: &mut ObliviousMatches,
    ) {
        self.matches_watched(&mut Unwatched, names, headers, bound, matched);
    }

    fn matches_watched(
        &self,
        trace: &mut impl Trace,
        names: &ObliviousNames<'_>,
        headers: &[Header<'_>],
        bound: usize,
        matched: &mut ObliviousMatches,
    ) {
        assert!(
            ptr::eq(self, names.matcher),
            "names were looked up in another matcher"
        );
        matched.begin(bound);
        for headers in headers.chunks(BATCH) {
            let widths = headers.iter().map(|header| header.attributes().len());
            let width = widths.max().unwrap_or(0);
            matched.batch.begin(width, self.value_words);
            for header in headers {
                let attributes = header.attributes().iter();
                matched
                    .batch
                    .push(attributes.map(|(index, value)| {
                        (section_at(trace, &names.sections, *index), *value)
                    }));
            }
            self.pass(trace, headers.len(), matched);
        }
    }

    /// Sets `matched` to the one answer to `publication`, as [`Self::matches`] does. Shows the
    /// lengths of its names.
    pub fn matches_publication(
        &self,
        publication: &Publication,
        bound: usize,
        matched: &mut ObliviousMatches,
    ) {
        let attributes = publication.attributes();
        matched.begin(bound);
        matched.batch.begin(attributes.len(), self.value_words);
        let tagged = attributes.iter();
        matched
            .batch
            .push(tagged.map(|(name, value)| (self.section(&mut Unwatched, name), value.borrow())));
        self.pass(&mut Unwatched, 1, matched);
    }

    /// Matches the batch in `matched`, of so many headers.
    fn pass(&self, trace: &mut impl Trace, headers: usize, matched: &mut ObliviousMatches) {
        let ranks = matched.batch.rank(trace, &self.cuts);
        self.rows.scan(trace, ranks, &mut matched.matched);
        for header in 0..headers {
            matched.write_out(trace, self.kernel, header);
        }
    }
}

impl fmt::Debug for Oblivious {
    /// Tells sizes, not contents.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Oblivious")
            .field("len", &self.len)
            .field("sizes", &self.sizes())
            .finish_non_exhaustive()
    }
}

/// The names of one header block as one matcher knows them.
pub struct ObliviousNames<'o> {
    matcher: &'o Oblivious,
    sections: Vec<u32>,
}
