//! Keys in use, each once, in order.
//!
//! Invariant: the first keys are in use, each with the number of its uses; the others are all ones,
//! which no value reaches. The *place* of a key is its position counted from 1. The *rank* of a value
//! is the number of keys below it: a key lies below a value exactly when its place is at most the
//! value's rank. Every operation passes over the whole capacity.

use alloc::vec;
use alloc::vec::Vec;
use core::array;

use super::mask::opaque;
use super::trace::{Region, Trace};
use crate::index::Kernel;
use crate::index::kernel::pass::{BLOCK, Column, Counts, Pass, PassJob};

/// Each word of a key that is not in use.
pub(super) const UNUSED: u64 = u64::MAX;

#[derive(Clone)]
pub(super) struct Dictionary {
    kernel: Kernel,
    region: Region,
    key_words: usize,
    /// For each block of keys their words, from the highest on, and then the numbers of their uses.
    columns: Vec<Column>,
    used: u32,
    room: usize,
}

/// How the places of other keys change.
#[derive(Clone, Copy)]
pub(super) struct Shift {
    pub(super) place: u32,
    /// Whether they do.
    pub(super) mask: u32,
}

impl Shift {
    /// What becomes of `place` when a key comes in: those from its place on go up.
    #[inline(always)]
    pub(super) fn up(self, place: u32) -> u32 {
        place.wrapping_add(u32::from(place >= self.place) & self.mask)
    }

    /// What becomes of `place` when a key goes: those above it come down.
    #[inline(always)]
    pub(super) fn down(self, place: u32) -> u32 {
        place.wrapping_sub(u32::from(place > self.place) & self.mask)
    }
}

/// Ranks of values among keys.
struct Ranking<'r, T> {
    dictionary: &'r Dictionary,
    trace: &'r mut T,
    values: &'r [u64],
    counts: &'r mut [Counts],
}

impl<T: Trace> PassJob for Ranking<'_, T> {
    type Output = ();

    #[inline(always)]
    fn run<P: Pass>(self, pass: P) {
        // The usual widths have code of their own, where the compiler knows how many words there are.
        match self.dictionary.key_words {
            2 => self.run_by::<2, P>(pass),
            3 => self.run_by::<3, P>(pass),
            words => {
                let Self {
                    dictionary,
                    trace,
                    values,
                    counts,
                } = self;
                for (block, columns) in dictionary.columns.chunks_exact(words + 1).enumerate() {
                    for (n, value) in values.chunks_exact(words).enumerate() {
                        trace.touch(dictionary.region, block);
                        trace.touch(Region::Values, n);
                        pass.below(&columns[..words], value, &mut counts[n]);
                    }
                }
            }
        }
    }
}

impl<T: Trace> Ranking<'_, T> {
    #[inline(always)]
    fn run_by<const WORDS: usize, P: Pass>(self, pass: P) {
        let blocks = self.dictionary.columns.chunks_exact(WORDS + 1);
        let (values, _) = self.values.as_chunks::<WORDS>();
        for (block, columns) in blocks.enumerate() {
            let columns = columns.first_chunk::<WORDS>();
            let columns = columns.expect("a block has one column more");
            for (n, (value, counts)) in values.iter().zip(&mut *self.counts).enumerate() {
                self.trace.touch(self.dictionary.region, block);
                self.trace.touch(Region::Values, n);
                pass.below(columns, value, counts);
            }
        }
    }
}

impl Dictionary {
    pub(super) fn new(kernel: Kernel, region: Region, key_words: usize) -> Self {
        Self {
            kernel,
            region,
            key_words,
            columns: Vec::new(),
            used: 0,
            room: 0,
        }
    }

    /// Columns of a block.
    fn stride(&self) -> usize {
        self.key_words + 1
    }

    pub(super) fn capacity(&self) -> usize {
        self.columns.len() / self.stride() * BLOCK
    }

    /// Keys that there was room made for, of those that there is room for; at least as many as are in
    /// use, and public.
    pub(super) fn room(&self) -> usize {
        self.room
    }

    /// Makes room for `more` keys: the capacity becomes one of [`room`] that has it.
    pub(super) fn reserve(&mut self, more: usize) {
        let needed = self.used as usize + more;
        self.room = self.room.max(room(needed));
        if needed <= self.capacity() {
            return;
        }
        let blocks = room(needed.div_ceil(BLOCK));
        let mut empty = vec![Column([UNUSED; BLOCK]); self.stride()];
        empty[self.key_words] = Column([0; BLOCK]);
        while self.columns.len() < blocks * self.stride() {
            self.columns.extend_from_slice(&empty);
        }
    }

    /// Gives every key `key_words`, more than now; `convert` makes the new from the old.
    pub(super) fn widen(&mut self, key_words: usize, convert: impl Fn(&[u64], &mut [u64])) {
        let (old, stride) = (self.stride(), key_words + 1);
        let blocks = self.columns.len() / old;
        let mut columns = vec![Column([0; BLOCK]); blocks * stride];
        let (mut from, mut to) = (vec![0; self.key_words], vec![0; key_words]);
        let wider = columns.chunks_exact_mut(stride);
        for (wider, narrow) in wider.zip(self.columns.chunks_exact(old)) {
            for key in 0..BLOCK {
                let words = from.iter_mut().zip(narrow);
                words.for_each(|(word, column)| *word = column.0[key]);
                convert(&from, &mut to);
                let words = wider.iter_mut().zip(&to);
                words.for_each(|(column, word)| column.0[key] = *word);
            }
            wider[key_words] = narrow[old - 1];
        }
        (self.key_words, self.columns) = (key_words, columns);
    }

    /// Changes the first word of every key.
    #[inline(always)]
    pub(super) fn change_first_words(
        &mut self,
        trace: &mut impl Trace,
        change: impl Fn(u64) -> u64 + Copy,
    ) {
        let (region, stride) = (self.region, self.stride());
        let columns = &mut self.columns[..];
        self.kernel.plainly(
            #[inline(always)]
            move || {
                for (block, columns) in columns.chunks_exact_mut(stride).enumerate() {
                    trace.touch(region, block);
                    columns[0]
                        .0
                        .iter_mut()
                        .for_each(|word| *word = change(*word));
                }
            },
        );
    }

    /// The first word of the key at `place`, or 0 for place 0.
    pub(super) fn first_word(&self, trace: &mut impl Trace, place: u32) -> u64 {
        self.kernel.plainly(
            #[inline(always)]
            || {
                let mut found = 0;
                for (block, columns) in self.columns.chunks_exact(self.stride()).enumerate() {
                    trace.touch(self.region, block);
                    for (here, word) in at_place(place, block).iter().zip(&columns[0].0) {
                        found |= word & here;
                    }
                }
                found
            },
        )
    }

    /// Adds to the sum of each of `counts` how many keys lie below the value beside it.
    pub(super) fn rank(&self, trace: &mut impl Trace, values: &[u64], counts: &mut [Counts]) {
        self.kernel.pass(Ranking {
            dictionary: self,
            trace,
            values,
            counts,
        });
    }

    /// How many keys lie below `key`, and whether it is in use, as a mask.
    pub(super) fn find(&self, trace: &mut impl Trace, key: &[u64]) -> (u32, u32) {
        let mut counts = [Counts::default()];
        self.rank(trace, key, &mut counts);
        for block in 0..self.columns.len() / self.stride() {
            trace.touch(self.region, block);
        }
        let missing = self.kernel.plainly(
            #[inline(always)]
            || {
                // For each place in a block, all bits set while no key there was it.
                let mut missing = [u64::MAX; BLOCK];
                for columns in self.columns.chunks_exact(self.stride()) {
                    let mut differ = [0; BLOCK];
                    for (column, word) in columns.iter().zip(key) {
                        for (differ, own) in differ.iter_mut().zip(&column.0) {
                            *differ |= own ^ word;
                        }
                    }
                    for (missing, differ) in missing.iter_mut().zip(&differ) {
                        *missing &= !is(*differ, 0);
                    }
                }
                missing.iter().fold(u64::MAX, |all, own| all & own)
            },
        );
        (low_half(counts[0].sum()), low_half(!missing))
    }

    /// Adds a use of `key` where `live` is set, and does nothing in as many steps where it
    /// is not. Gives its place, and where it is new, how other places change.
    pub(super) fn acquire(&mut self, trace: &mut impl Trace, key: &[u64], live: u32) -> Shift {
        let (below, present) = self.find(trace, key);
        let fresh = live & !present;
        self.open_at(trace, below, wide(fresh), wide(live), key);
        self.used += fresh & 1;
        Shift {
            place: below + 1,
            mask: fresh,
        }
    }

    /// Moves the keys from the position `at` on up by one, and puts `key` there, where it is fresh;
    /// counts its use where it is live.
    fn open_at(&mut self, trace: &mut impl Trace, at: u32, fresh: u64, live: u64, key: &[u64]) {
        let (region, stride, at) = (self.region, self.stride(), u64::from(at));
        self.kernel.plainly(
            #[inline(always)]
            || {
                let blocks = self.columns.len() / stride;
                for block in (0..blocks).rev() {
                    trace.touch(region, block);
                    let here = opaque(array::from_fn::<_, BLOCK, _>(
                        #[inline(always)]
                        |key| is(position(block, key), at),
                    ));
                    let above = opaque(array::from_fn::<_, BLOCK, _>(
                        #[inline(always)]
                        |key| less(at, position(block, key)) & fresh,
                    ));
                    for word in 0..stride {
                        // The last of the block before, which is still as it was.
                        let before = block.checked_sub(1).map_or(0, |before| {
                            self.columns[before * stride + word].0[BLOCK - 1]
                        });
                        let fresh_word = key.get(word).copied().unwrap_or(0);
                        let own = &mut self.columns[block * stride + word].0;
                        let mut moved = [before; BLOCK];
                        moved[1..].copy_from_slice(&own[..BLOCK - 1]);
                        for n in 0..BLOCK {
                            let put = here[n] & fresh;
                            let kept = own[n] & !above[n] & !put;
                            own[n] = kept | (moved[n] & above[n]) | (fresh_word & put);
                        }
                    }
                    let uses = &mut self.columns[block * stride + stride - 1].0;
                    for (uses, here) in uses.iter_mut().zip(&here) {
                        *uses += here & live & 1;
                    }
                }
            },
        );
    }

    /// Ends a use of the key at `place` where `live` is set; the same steps where it is not. Tells
    /// how other places change when it was the last.
    pub(super) fn release(&mut self, trace: &mut impl Trace, place: u32, live: u32) -> Shift {
        let (region, stride, live) = (self.region, self.stride(), wide(live));
        let gone = self.kernel.plainly(
            #[inline(always)]
            || {
                let mut gone = 0;
                for (block, columns) in self.columns.chunks_exact_mut(stride).enumerate() {
                    trace.touch(region, block);
                    let uses = columns[stride - 1].0.iter_mut();
                    for (here, uses) in at_place(place, block).iter().zip(uses) {
                        *uses -= here & live & 1;
                        gone |= here & live & is(*uses, 0);
                    }
                }
                gone
            },
        );
        self.close_from(trace, place, gone);
        let mask = low_half(gone);
        self.used -= mask & 1;
        Shift { place, mask }
    }

    /// Moves the keys behind `place` down by one, where `gone` is set.
    fn close_from(&mut self, trace: &mut impl Trace, place: u32, gone: u64) {
        let (region, stride) = (self.region, self.stride());
        let key_words = self.key_words;
        self.kernel.plainly(
            #[inline(always)]
            || {
                let blocks = self.columns.len() / stride;
                for block in 0..blocks {
                    trace.touch(region, block);
                    let closing = opaque(array::from_fn::<_, BLOCK, _>(
                        #[inline(always)]
                        |key| !less(position(block, key) + 1, place.into()) & gone,
                    ));
                    for word in 0..stride {
                        let unused = if word < key_words { UNUSED } else { 0 };
                        // The first of the next block, which is still as it was.
                        let next = self.columns.get((block + 1) * stride + word);
                        let next = next.map_or(unused, |column| column.0[0]);
                        let own = &mut self.columns[block * stride + word].0;
                        let mut moved = [next; BLOCK];
                        moved[..BLOCK - 1].copy_from_slice(&own[1..]);
                        for n in 0..BLOCK {
                            own[n] = (own[n] & !closing[n]) | (moved[n] & closing[n]);
                        }
                    }
                }
            },
        );
    }
}

/// The least number with three significant bits that is not below `needed`: so there are few sizes to be
/// seen, and at most a quarter of one is empty.
pub(super) fn room(needed: usize) -> usize {
    let step = needed.next_power_of_two() / 8;
    needed.next_multiple_of(step.max(1))
}

#[inline(always)]
fn position(block: usize, key: usize) -> u64 {
    (block * BLOCK + key) as u64
}

/// Masks of the keys of a block: set for the one at `place`.
#[inline(always)]
fn at_place(place: u32, block: usize) -> [u64; BLOCK] {
    opaque(array::from_fn(
        #[inline(always)]
        |key| is(position(block, key) + 1, place.into()),
    ))
}

/// All bits set where `a` and `b` are equal, else none. Unlike [`super::mask::equal64`] it is compiled
/// to vector comparisons.
#[inline(always)]
fn is(a: u64, b: u64) -> u64 {
    u64::from(a == b).wrapping_neg()
}

/// All bits set where `a` is less than `b`, else none; both are positions, which are below 2^33.
#[inline(always)]
fn less(a: u64, b: u64) -> u64 {
    (a.wrapping_sub(b) >> 63).wrapping_neg()
}

/// A mask of 32 bits as one of 64.
#[inline(always)]
fn wide(mask: u32) -> u64 {
    u64::from(mask) | u64::from(mask) << 32
}

#[inline(always)]
#[expect(
    clippy::cast_possible_truncation,
    reason = "keys in memory are fewer than 2^32, and of a mask all bits are alike"
)]
fn low_half(mask: u64) -> u32 {
    mask as u32
}

#[cfg(test)]
impl Dictionary {
    pub(super) fn reserve_in_all(&mut self, room: usize) {
        self.reserve(room - self.used as usize);
    }
}

#[cfg(test)]
mod tests {
    use super::super::mask::YES;
    use super::super::trace::Unwatched;
    use super::*;

    fn key(n: u64) -> [u64; 2] {
        [n, 0]
    }

    fn dictionary_of(numbers: &[u64]) -> Dictionary {
        let mut keys = Dictionary::new(Kernel::PORTABLE, Region::Cuts, 2);
        for n in numbers {
            keys.reserve(1);
            keys.acquire(&mut Unwatched, &key(*n), YES);
        }
        keys
    }

    fn rank(keys: &Dictionary, value: &[u64]) -> u64 {
        let mut counts = [Counts::default()];
        keys.rank(&mut Unwatched, value, &mut counts);
        counts[0].sum()
    }

    #[test]
    fn a_rank_counts_the_keys_below() {
        let keys = dictionary_of(&[30, 10, 20, 10]);

        assert_eq!(
            [5, 10, 15, 25, 35].map(|n| rank(&keys, &key(n))),
            [0, 0, 1, 2, 3]
        );
        assert_eq!(keys.used, 3);
    }

    #[test]
    fn a_key_goes_with_its_last_use() {
        let mut keys = dictionary_of(&[30, 10, 20, 10]);

        assert_eq!(keys.release(&mut Unwatched, 1, YES).mask, 0);
        assert_eq!(rank(&keys, &key(35)), 3);
        assert_eq!(keys.release(&mut Unwatched, 1, YES).mask, YES);

        assert_eq!([15, 25, 35].map(|n| rank(&keys, &key(n))), [0, 1, 2]);
    }

    #[test]
    fn what_is_not_live_changes_nothing() {
        let mut keys = dictionary_of(&[10, 20]);
        let before = keys.clone();

        assert_eq!(keys.acquire(&mut Unwatched, &key(15), 0).mask, 0);
        assert_eq!(keys.release(&mut Unwatched, 0, 0).mask, 0);

        let words = |keys: &Dictionary| -> Vec<[u64; BLOCK]> {
            keys.columns.iter().map(|column| column.0).collect()
        };
        assert_eq!(words(&before), words(&keys));
    }

    #[test]
    fn every_width_ranks_alike() {
        let mut keys = dictionary_of(&[10, 20, 30]);
        for words in [3, 4, 5, 6] {
            keys.widen(words, |from, to| to[..from.len()].copy_from_slice(from));
            let mut value = vec![0; words];
            value[0] = 25;

            assert_eq!(rank(&keys, &value), 2, "{words} words");
        }
    }

    #[test]
    fn room_has_three_significant_bits_and_is_at_most_a_quarter_empty() {
        for needed in 0..5000_usize {
            let room = room(needed);

            assert!(needed <= room && 4 * room <= 5 * needed, "{needed}");
            assert!(
                room.checked_ilog2()
                    .map_or(0, |bits| room % (1 << bits.saturating_sub(2)))
                    == 0
            );
        }
    }

    #[test]
    fn the_first_word_is_found_by_place() {
        let keys = dictionary_of(&[10, 20]);

        let found = [0, 1, 2].map(|place| keys.first_word(&mut Unwatched, place));

        assert_eq!(found, [0, 10, 20]);
    }

    #[test]
    fn places_shift_as_keys_come_and_go() {
        let shift = Shift {
            place: 3,
            mask: YES,
        };

        assert_eq!([0, 2, 3, 4].map(|place| shift.up(place)), [0, 2, 4, 5]);
        assert_eq!([0, 2, 4, 5].map(|place| shift.down(place)), [0, 2, 3, 4]);
        assert_eq!(Shift { place: 3, mask: 0 }.up(4), 4);
    }
}
