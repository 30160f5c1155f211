//! The dictionary: every cut that a row refers to, once, in order.
//!
//! Invariant: the first cuts are in use, each with the number of its uses; the others have the
//! greatest key, so they lie below no value. The *place* of a cut is its position counted from 1. A
//! value's *rank* is the number of cuts below it: a cut lies below the value exactly when its place
//! is at most the value's rank. So the rows compare small integers, and keys are compared here only.
//! Every operation passes over the whole capacity.

use alloc::vec;
use alloc::vec::Vec;

use super::key::key_words;
use super::mask::{equal, equal64, less, narrow, select, select64, widen};
use super::trace::{Region, Trace, write};

/// Cuts compared at once with all values at hand, so that they are fetched once.
const BLOCK_CUTS: usize = 64;

/// The key of a cut that is not in use.
const UNUSED: u64 = u64::MAX;

#[derive(Clone)]
pub(super) struct Cuts {
    key_words: usize,
    /// `key_words` for each cut.
    keys: Vec<u64>,
    uses: Vec<u32>,
    used: u32,
}

/// How the places of other cuts change.
#[derive(Clone, Copy)]
pub(super) struct Shift {
    pub(super) place: u32,
    /// Whether they do.
    pub(super) mask: u32,
}

impl Shift {
    /// What becomes of `place` when a cut comes in: those from its place on go up.
    #[inline]
    pub(super) fn up(self, place: u32) -> u32 {
        place.wrapping_add(u32::from(place >= self.place) & self.mask)
    }

    /// What becomes of `place` when a cut goes: those above it come down.
    #[inline]
    pub(super) fn down(self, place: u32) -> u32 {
        place.wrapping_sub(u32::from(place > self.place) & self.mask)
    }
}

impl Cuts {
    pub(super) fn new(value_words: usize) -> Self {
        Self {
            key_words: key_words(value_words),
            keys: Vec::new(),
            uses: Vec::new(),
            used: 0,
        }
    }

    pub(super) fn capacity(&self) -> usize {
        self.uses.len()
    }

    /// Makes room for `more` cuts: the capacity becomes a power of two that has it.
    pub(super) fn reserve(&mut self, more: usize) {
        let needed = self.used as usize + more;
        if needed > self.capacity() {
            let capacity = needed.next_power_of_two();
            self.uses.resize(capacity, 0);
            self.keys.resize(capacity * self.key_words, UNUSED);
        }
    }

    /// Gives every key room for values of `value_words`, more than now.
    pub(super) fn widen_values(&mut self, value_words: usize) {
        let (old, new) = (self.key_words, key_words(value_words));
        let mut keys = vec![0; self.capacity() * new];
        for (to, from) in keys.chunks_exact_mut(new).zip(self.keys.chunks_exact(old)) {
            let (value, last) = from.split_at(old - 1);
            to[..old - 1].copy_from_slice(value);
            to[new - 1] = last[0];
            // A cut that is not in use, or lies above every text, stays as high as it was.
            let high = equal64(last[0], UNUSED);
            to[old - 1..new - 1].fill(high);
        }
        (self.key_words, self.keys) = (new, keys);
    }

    /// Adds to each of `ranks` how many cuts lie below the key beside it.
    pub(super) fn rank(&self, trace: &mut impl Trace, keys: &[u64], ranks: &mut [u32]) {
        // The usual widths have code of their own, where the compiler knows how many words there are.
        match self.key_words {
            4 => self.rank_fixed::<4>(trace, keys, ranks),
            5 => self.rank_fixed::<5>(trace, keys, ranks),
            7 => self.rank_fixed::<7>(trace, keys, ranks),
            words => {
                let cuts = self.keys.chunks(words * BLOCK_CUTS);
                for (block, cuts) in cuts.enumerate() {
                    for (n, key) in keys.chunks_exact(words).enumerate() {
                        trace.touch(Region::Cuts, block * BLOCK_CUTS);
                        trace.touch(Region::Keys, n);
                        let below = cuts.chunks_exact(words).map(|cut| below(cut, key));
                        ranks[n] += below.sum::<u32>();
                    }
                }
            }
        }
    }

    fn rank_fixed<const WORDS: usize>(
        &self,
        trace: &mut impl Trace,
        keys: &[u64],
        ranks: &mut [u32],
    ) {
        let (cuts, _) = self.keys.as_chunks::<WORDS>();
        let (keys, _) = keys.as_chunks::<WORDS>();
        for (block, cuts) in cuts.chunks(BLOCK_CUTS).enumerate() {
            for (n, key) in keys.iter().enumerate() {
                trace.touch(Region::Cuts, block * BLOCK_CUTS);
                trace.touch(Region::Keys, n);
                ranks[n] += cuts.iter().map(|cut| below(cut, key)).sum::<u32>();
            }
        }
    }

    /// Adds a use of the cut `key` where `live` is set, and does nothing in as many steps where it
    /// is not. Gives the place of the cut, and where it is new, how other places change.
    pub(super) fn acquire(&mut self, trace: &mut impl Trace, key: &[u64], live: u32) -> Shift {
        let words = self.key_words;
        let (mut position, mut present) = (0, 0);
        for index in 0..self.capacity() {
            trace.touch(Region::Cuts, index);
            let cut = &self.keys[index * words..][..words];
            position += below(cut, key);
            let differ = cut.iter().zip(key).fold(0, |all, (a, b)| all | (a ^ b));
            present |= narrow(equal64(differ, 0));
        }
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

    /// Moves a cut that is above `position` up by one, and puts `key` there, where it is fresh;
    /// counts its use where it is live.
    fn open_at(
        &mut self,
        trace: &mut impl Trace,
        index: usize,
        (position, fresh, live): (u32, u32, u32),
        key: &[u64],
    ) {
        let words = self.key_words;
        let own = to_u32(index);
        let here = equal(own, position);
        let (above, put) = (less(position, own) & fresh, here & fresh);
        let (above64, put64) = (widen(above), widen(put));
        trace.touch(Region::Cuts, index);
        let from = index.saturating_sub(1);
        for (word, fresh) in key.iter().enumerate() {
            let moved = self.keys[from * words + word];
            let cut = &mut self.keys[index * words + word];
            *cut = select64(above64, moved, select64(put64, *fresh, *cut));
        }
        let moved = self.uses[from];
        let uses = write(trace, Region::Cuts, &mut self.uses, index);
        *uses = select(above, moved, select(put, 0, *uses)) + (here & live & 1);
    }

    /// Ends a use of the cut at `place` where `live` is set; the same steps where it is not. Tells
    /// how other places change when it was the last.
    pub(super) fn release(&mut self, trace: &mut impl Trace, place: u32, live: u32) -> Shift {
        let position = place.wrapping_sub(1);
        let mut gone = 0;
        for index in 0..self.capacity() {
            let uses = write(trace, Region::Cuts, &mut self.uses, index);
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
        trace.touch(Region::Cuts, index);
        for word in 0..words {
            let next = if last {
                UNUSED
            } else {
                self.keys[(index + 1) * words + word]
            };
            let cut = &mut self.keys[index * words + word];
            *cut = select64(closing64, next, *cut);
        }
        let next = if last { 0 } else { self.uses[index + 1] };
        let uses = write(trace, Region::Cuts, &mut self.uses, index);
        *uses = select(closing, next, *uses);
    }
}

fn to_u32(index: usize) -> u32 {
    u32::try_from(index).expect("cuts in memory are fewer than 2^32")
}

/// 1 when `cut` is the lesser of two long integers, else 0: the last borrow of their difference.
#[inline(always)]
fn below(cut: &[u64], value: &[u64]) -> u32 {
    let mut borrow = false;
    for (a, b) in cut.iter().zip(value).rev() {
        (_, borrow) = a.borrowing_sub(*b, borrow);
    }
    u32::from(borrow)
}

#[cfg(test)]
mod tests {
    use super::super::mask::YES;
    use super::super::trace::Unwatched;
    use super::*;

    fn key(n: u64) -> [u64; 4] {
        [0, 0, n, 0]
    }

    fn cuts_of(numbers: &[u64]) -> Cuts {
        let mut cuts = Cuts::new(1);
        for n in numbers {
            cuts.reserve(1);
            cuts.acquire(&mut Unwatched, &key(*n), YES);
        }
        cuts
    }

    fn rank(cuts: &Cuts, n: u64) -> u32 {
        let mut ranks = [0];
        cuts.rank(&mut Unwatched, &key(n), &mut ranks);
        ranks[0]
    }

    #[test]
    fn a_rank_counts_the_cuts_below() {
        let cuts = cuts_of(&[30, 10, 20, 10]);

        assert_eq!([5, 10, 15, 25, 35].map(|n| rank(&cuts, n)), [0, 0, 1, 2, 3]);
        assert_eq!(cuts.used, 3);
    }

    #[test]
    fn a_cut_goes_with_its_last_use() {
        let mut cuts = cuts_of(&[30, 10, 20, 10]);

        assert_eq!(cuts.release(&mut Unwatched, 1, YES).mask, 0);
        assert_eq!(rank(&cuts, 35), 3);
        assert_eq!(cuts.release(&mut Unwatched, 1, YES).mask, YES);

        assert_eq!([15, 25, 35].map(|n| rank(&cuts, n)), [0, 1, 2]);
    }

    #[test]
    fn what_is_not_live_changes_nothing() {
        let mut cuts = cuts_of(&[10, 20]);
        let before = cuts.clone();

        assert_eq!(cuts.acquire(&mut Unwatched, &key(15), 0).mask, 0);
        assert_eq!(cuts.release(&mut Unwatched, 0, 0).mask, 0);

        assert_eq!((before.keys, before.uses), (cuts.keys, cuts.uses));
    }

    #[test]
    fn wider_values_keep_the_order() {
        let mut cuts = cuts_of(&[10, 20, 30]);

        cuts.widen_values(8);

        let mut ranks = [0];
        let mut wide = [0; 11];
        wide[2] = 25;
        cuts.rank(&mut Unwatched, &wide, &mut ranks);
        assert_eq!(ranks, [2]);
    }

    #[test]
    fn places_shift_as_cuts_come_and_go() {
        let shift = Shift {
            place: 3,
            mask: YES,
        };

        assert_eq!([0, 2, 3, 4].map(|place| shift.up(place)), [0, 2, 4, 5]);
        assert_eq!([0, 2, 4, 5].map(|place| shift.down(place)), [0, 2, 3, 4]);
        assert_eq!(Shift { place: 3, mask: 0 }.up(4), 4);
    }
}
