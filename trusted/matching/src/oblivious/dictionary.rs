//! Keys in use, each once, in order.
//!
//! Invariant: the first keys are in use, each with the number of its uses; the others are all ones,
//! which no value reaches. The *place* of a key is its position counted from 1. The *rank* of a value
//! is the number of keys below it: a key lies below a value exactly when its place is at most the
//! value's rank. Every operation passes over the whole capacity.

use alloc::vec;
use alloc::vec::Vec;

use super::mask::{equal, equal64, less, narrow, select, select64, widen};
use super::trace::{Region, Trace, write};

/// Keys compared at once with all values at hand, so that they are fetched once.
const BLOCK_KEYS: usize = 64;

/// Each word of a key that is not in use.
pub(super) const UNUSED: u64 = u64::MAX;

#[derive(Clone)]
pub(super) struct Dictionary {
    region: Region,
    key_words: usize,
    /// `key_words` for each.
    keys: Vec<u64>,
    uses: Vec<u32>,
    used: u32,
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
    #[inline]
    pub(super) fn up(self, place: u32) -> u32 {
        place.wrapping_add(u32::from(place >= self.place) & self.mask)
    }

    /// What becomes of `place` when a key goes: those above it come down.
    #[inline]
    pub(super) fn down(self, place: u32) -> u32 {
        place.wrapping_sub(u32::from(place > self.place) & self.mask)
    }
}

impl Dictionary {
    pub(super) fn new(region: Region, key_words: usize) -> Self {
        Self {
            region,
            key_words,
            keys: Vec::new(),
            uses: Vec::new(),
            used: 0,
        }
    }

    pub(super) fn capacity(&self) -> usize {
        self.uses.len()
    }

    /// Makes room for `more` keys: the capacity becomes a power of two that has it.
    pub(super) fn reserve(&mut self, more: usize) {
        let needed = self.used as usize + more;
        if needed > self.capacity() {
            let capacity = needed.next_power_of_two();
            self.uses.resize(capacity, 0);
            self.keys.resize(capacity * self.key_words, UNUSED);
        }
    }

    /// Gives every key `key_words`, more than now; `convert` makes the new from the old.
    pub(super) fn widen(&mut self, key_words: usize, convert: impl Fn(&[u64], &mut [u64])) {
        let mut keys = vec![0; self.capacity() * key_words];
        let old = self.keys.chunks_exact(self.key_words);
        for (to, from) in keys.chunks_exact_mut(key_words).zip(old) {
            convert(from, to);
        }
        (self.key_words, self.keys) = (key_words, keys);
    }

    /// Changes the first word of every key.
    pub(super) fn change_first_words(
        &mut self,
        trace: &mut impl Trace,
        change: impl Fn(u64) -> u64,
    ) {
        for index in 0..self.capacity() {
            let position = index * self.key_words;
            trace.touch(self.region, index);
            self.keys[position] = change(self.keys[position]);
        }
    }

    /// The first word of the key at `place`, or 0 for place 0.
    pub(super) fn first_word(&self, trace: &mut impl Trace, place: u32) -> u64 {
        let mut found = 0;
        for index in 0..self.capacity() {
            trace.touch(self.region, index);
            let here = equal(to_u32(index).wrapping_add(1), place);
            found |= self.keys[index * self.key_words] & widen(here);
        }
        found
    }

    /// Adds to each of `ranks` how many keys lie below the value beside it.
    pub(super) fn rank(&self, trace: &mut impl Trace, values: &[u64], ranks: &mut [u32]) {
        // The usual widths have code of their own, where the compiler knows how many words there are.
        match self.key_words {
            2 => self.rank_by::<2>(trace, values, ranks, |key, value| {
                u32::from(wide(*key) < wide(*value))
            }),
            3 => self.rank_by::<3>(trace, values, ranks, |key, value| below(key, value)),
            5 => self.rank_by::<5>(trace, values, ranks, |key, value| below(key, value)),
            words => {
                let keys = self.keys.chunks(words * BLOCK_KEYS);
                for (block, keys) in keys.enumerate() {
                    for (n, value) in values.chunks_exact(words).enumerate() {
                        self.touch_block(trace, block, n);
                        let below = keys.chunks_exact(words).map(|key| below(key, value));
                        ranks[n] += below.sum::<u32>();
                    }
                }
            }
        }
    }

    /// [`Self::rank`] for keys of so many words; `below` gives 1 or 0.
    #[inline]
    fn rank_by<const WORDS: usize>(
        &self,
        trace: &mut impl Trace,
        values: &[u64],
        ranks: &mut [u32],
        below: impl Fn(&[u64; WORDS], &[u64; WORDS]) -> u32,
    ) {
        let (keys, _) = self.keys.as_chunks::<WORDS>();
        let (values, _) = values.as_chunks::<WORDS>();
        for (block, keys) in keys.chunks(BLOCK_KEYS).enumerate() {
            for (n, value) in values.iter().enumerate() {
                self.touch_block(trace, block, n);
                ranks[n] += keys.iter().map(|key| below(key, value)).sum::<u32>();
            }
        }
    }

    #[inline(always)]
    fn touch_block(&self, trace: &mut impl Trace, block: usize, value: usize) {
        trace.touch(self.region, block * BLOCK_KEYS);
        trace.touch(Region::Values, value);
    }

    /// How many keys lie below `key`, and whether it is in use, as a mask.
    pub(super) fn find(&self, trace: &mut impl Trace, key: &[u64]) -> (u32, u32) {
        let (mut position, mut present) = (0, 0);
        for (index, own) in self.keys.chunks_exact(self.key_words).enumerate() {
            trace.touch(self.region, index);
            position += below(own, key);
            let differ = own.iter().zip(key).fold(0, |all, (a, b)| all | (a ^ b));
            present |= narrow(equal64(differ, 0));
        }
        (position, present)
    }

    /// Adds a use of `key` where `live` is set, and does nothing in as many steps where it
    /// is not. Gives its place, and where it is new, how other places change.
    pub(super) fn acquire(&mut self, trace: &mut impl Trace, key: &[u64], live: u32) -> Shift {
        let (position, present) = self.find(trace, key);
        let fresh = live & !present;
        for index in (0..self.capacity()).rev() {
            self.open_at(trace, index, (position, fresh, live), key);
        }
        self.used += fresh & 1;
        Shift {
            place: position + 1,
            mask: fresh,
        }
    }

    /// Moves a key that is above `position` up by one, and puts `key` there, where it is fresh;
    /// counts its use where it is live.
    fn open_at(
        &mut self,
        trace: &mut impl Trace,
        index: usize,
        (position, fresh, live): (u32, u32, u32),
        key: &[u64],
    ) {
        let words = self.key_words;
        let here = equal(to_u32(index), position);
        let (above, put) = (less(position, to_u32(index)) & fresh, here & fresh);
        let (above64, put64) = (widen(above), widen(put));
        trace.touch(self.region, index);
        let from = index.saturating_sub(1);
        for (word, fresh) in key.iter().enumerate() {
            let moved = self.keys[from * words + word];
            let own = &mut self.keys[index * words + word];
            *own = select64(above64, moved, select64(put64, *fresh, *own));
        }
        let moved = self.uses[from];
        let uses = write(trace, self.region, &mut self.uses, index);
        *uses = select(above, moved, select(put, 0, *uses)) + (here & live & 1);
    }

    /// Ends a use of the key at `place` where `live` is set; the same steps where it is not. Tells
    /// how other places change when it was the last.
    pub(super) fn release(&mut self, trace: &mut impl Trace, place: u32, live: u32) -> Shift {
        let position = place.wrapping_sub(1);
        let mut gone = 0;
        for index in 0..self.capacity() {
            let uses = write(trace, self.region, &mut self.uses, index);
            let here = equal(to_u32(index), position) & live;
            *uses -= here & 1;
            gone |= here & equal(*uses, 0);
        }
        for index in 0..self.capacity() {
            self.close_at(trace, index, !less(to_u32(index), position) & gone);
        }
        self.used -= gone & 1;
        Shift { place, mask: gone }
    }

    /// Takes what lies above `index` in place of what is there, where `closing` is set.
    fn close_at(&mut self, trace: &mut impl Trace, index: usize, closing: u32) {
        let words = self.key_words;
        let closing64 = widen(closing);
        let last = index + 1 == self.capacity();
        trace.touch(self.region, index);
        for word in 0..words {
            let next = if last {
                UNUSED
            } else {
                self.keys[(index + 1) * words + word]
            };
            let own = &mut self.keys[index * words + word];
            *own = select64(closing64, next, *own);
        }
        let next = if last { 0 } else { self.uses[index + 1] };
        let uses = write(trace, self.region, &mut self.uses, index);
        *uses = select(closing, next, *uses);
    }
}

fn to_u32(index: usize) -> u32 {
    u32::try_from(index).expect("keys in memory are fewer than 2^32")
}

/// A key of two words, which processors compare at once.
#[inline(always)]
fn wide([high, low]: [u64; 2]) -> u128 {
    u128::from(high) << 64 | u128::from(low)
}

/// 1 when `key` is the lesser of two long integers, else 0: the last borrow of their difference.
#[inline(always)]
fn below(key: &[u64], value: &[u64]) -> u32 {
    let mut borrow = false;
    for (a, b) in key.iter().zip(value).rev() {
        (_, borrow) = a.borrowing_sub(*b, borrow);
    }
    u32::from(borrow)
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
        let mut keys = Dictionary::new(Region::Cuts, 2);
        for n in numbers {
            keys.reserve(1);
            keys.acquire(&mut Unwatched, &key(*n), YES);
        }
        keys
    }

    fn rank(keys: &Dictionary, n: u64) -> u32 {
        let mut ranks = [0];
        keys.rank(&mut Unwatched, &key(n), &mut ranks);
        ranks[0]
    }

    #[test]
    fn a_rank_counts_the_keys_below() {
        let keys = dictionary_of(&[30, 10, 20, 10]);

        assert_eq!([5, 10, 15, 25, 35].map(|n| rank(&keys, n)), [0, 0, 1, 2, 3]);
        assert_eq!(keys.used, 3);
    }

    #[test]
    fn a_key_goes_with_its_last_use() {
        let mut keys = dictionary_of(&[30, 10, 20, 10]);

        assert_eq!(keys.release(&mut Unwatched, 1, YES).mask, 0);
        assert_eq!(rank(&keys, 35), 3);
        assert_eq!(keys.release(&mut Unwatched, 1, YES).mask, YES);

        assert_eq!([15, 25, 35].map(|n| rank(&keys, n)), [0, 1, 2]);
    }

    #[test]
    fn what_is_not_live_changes_nothing() {
        let mut keys = dictionary_of(&[10, 20]);
        let before = keys.clone();

        assert_eq!(keys.acquire(&mut Unwatched, &key(15), 0).mask, 0);
        assert_eq!(keys.release(&mut Unwatched, 0, 0).mask, 0);

        assert_eq!((before.keys, before.uses), (keys.keys, keys.uses));
    }

    #[test]
    fn every_width_ranks_alike() {
        let mut keys = dictionary_of(&[10, 20, 30]);
        for words in [3, 4, 5, 6] {
            keys.widen(words, |from, to| to[..from.len()].copy_from_slice(from));
            let mut value = vec![0; words];
            value[0] = 25;
            let mut ranks = [0];

            keys.rank(&mut Unwatched, &value, &mut ranks);

            assert_eq!(ranks, [2], "{words} words");
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
