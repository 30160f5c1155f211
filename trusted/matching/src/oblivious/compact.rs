//! Writing out the few that matched, in order, without telling where they were.
//!
//! Invariant: each block of rows with a match is an item that knows how far it has to go, first to the
//! front and then behind the matches of those before it. It takes the powers of two of that distance
//! one after the other, towards the front the least first, away from it the greatest first; so no two
//! items meet, and what is moved and what is not take the same steps. An item of nothing is all zeros.
//! Source: Goodrich, "Data-oblivious external-memory algorithms for the compaction, selection, and
//! sorting of outsourced data", SPAA '11, the butterfly network of its tight compaction, and the same
//! run backwards.

use alloc::vec::Vec;

use super::mask::{equal64, opaque, select64};
use super::matches::NO_SUBSCRIPTION;
use super::trace::{Region, Trace, read};
use crate::index::kernel::pass::BLOCK;
use crate::index::{Kernel, SubscriptionId};

/// Items, each field in a list of its own.
#[derive(Default)]
struct Items([Vec<u64>; FIELDS]);

const FIELDS: usize = 3;
/// A bit for each row of a block that matched.
const BITS: usize = 0;
/// Which block.
const BLOCKS: usize = 1;
/// How far the item has to go.
const DISTANCES: usize = 2;

impl Items {
    fn resize(&mut self, length: usize) {
        self.0.iter_mut().for_each(|list| list.resize(length, 0));
    }
}

/// The memory of writing out.
#[derive(Default)]
pub(super) struct Compact {
    items: Items,
    /// What they become by the next step.
    next: Items,
    /// A mask for each item.
    masks: Vec<u64>,
}

impl Compact {
    /// Appends to `ids` those of the first `bound` rows whose bits are set in `matched`, block by
    /// block, and [`NO_SUBSCRIPTION`] in place of those that are missing; returns how many are set.
    /// Cost: O(n log n) for n blocks, and O(bound log bound).
    pub(super) fn write(
        &mut self,
        trace: &mut impl Trace,
        kernel: Kernel,
        matched: &[u64],
        bound: usize,
        ids: &mut Vec<SubscriptionId>,
    ) -> usize {
        kernel.plainly(
            #[inline(always)]
            || {
                self.gather(trace, matched);
                let count = self.place(trace, matched, bound);
                self.spread(trace, bound);
                self.hand_out(trace, ids);
                count
            },
        )
    }

    /// Makes an item of each block, and moves those of something to the front.
    #[inline(always)]
    fn gather(&mut self, trace: &mut impl Trace, matched: &[u64]) {
        self.items.resize(matched.len());
        let live = matched.iter().map(
            #[inline(always)]
            |bits| u64::from(*bits != 0).wrapping_neg(),
        );
        self.masks.clear();
        self.masks.extend(live);
        let [own_bits, blocks, distances] = &mut self.items.0;
        let (mut block, mut empty) = (0, 0);
        let all = matched.iter().zip(opaque(&self.masks));
        for (index, (bits, live)) in all.enumerate() {
            trace.touch(Region::Matched, index);
            trace.touch(Region::Items, index);
            own_bits[index] = *bits;
            blocks[index] = block & live;
            distances[index] = empty & live;
            empty += !live & 1;
            block += 1;
        }
        let mut step = 1;
        while step < matched.len() {
            self.step(trace, step, true);
            step *= 2;
        }
    }

    /// Keeps as many items as may have a slot, each with the distance from its own place to the slot
    /// of its first row; gives the number of all rows that matched.
    #[inline(always)]
    fn place(&mut self, trace: &mut impl Trace, matched: &[u64], bound: usize) -> usize {
        self.items.resize(bound);
        let [own_bits, blocks, distances] = &mut self.items.0;
        let (mut before, slots) = (0_u64, bound as u64);
        for index in 0..bound {
            trace.touch(Region::Items, index);
            let bits = own_bits[index];
            // The top bit of the difference, as both are far below it.
            let fits = any(before.wrapping_sub(slots) & (1 << 63));
            own_bits[index] = bits & fits;
            blocks[index] &= fits;
            distances[index] = before.wrapping_sub(index as u64) & any(bits) & fits;
            before += u64::from(bits.count_ones());
        }
        let blocks = 0..matched.len();
        let counts = blocks.map(|index| read(trace, Region::Matched, matched, index).count_ones());
        counts.map(|count| count as usize).sum()
    }

    /// Moves each item to the slot of its first row.
    #[inline(always)]
    fn spread(&mut self, trace: &mut impl Trace, bound: usize) {
        let mut step = bound.next_power_of_two() / 2;
        while step > 0 {
            self.step(trace, step, false);
            step /= 2;
        }
    }

    /// Moves the items by `step` that have it in their distance, to the front or away from it.
    #[inline(always)]
    fn step(&mut self, trace: &mut impl Trace, step: usize, to_front: bool) {
        let Self { items, next, masks } = self;
        let length = items.0[DISTANCES].len();
        next.resize(length);
        (0..length).for_each(|index| trace.touch(Region::Items, index));
        // Where something may come to, where it comes from, and where nothing comes to.
        let (to, from, alone) = match to_front {
            true => (0..length - step, step..length, length - step..length),
            false => (step..length, 0..length - step, 0..step),
        };
        let shift = step.trailing_zeros();
        masks.clear();
        masks.extend(items.0[DISTANCES].iter().map(
            #[inline(always)]
            |distance| (distance >> shift & 1).wrapping_neg(),
        ));
        let masks = opaque(&masks[..]);
        for (next, own) in next.0.iter_mut().zip(&items.0) {
            let (stayed, gone) = (&own[to.clone()], &masks[to.clone()]);
            let (other, come) = (&own[from.clone()], &masks[from.clone()]);
            let pairs = stayed.iter().zip(gone).zip(other.iter().zip(come));
            for (next, ((stayed, gone), (other, come))) in next[to.clone()].iter_mut().zip(pairs) {
                *next = (stayed & !gone) | (other & come);
            }
            let stayed = own[alone.clone()].iter().zip(&masks[alone.clone()]);
            for (next, (stayed, gone)) in next[alone.clone()].iter_mut().zip(stayed) {
                *next = stayed & !gone;
            }
        }
        core::mem::swap(items, next);
    }

    /// Writes an id into each slot: the next row of the item that came last.
    #[inline(always)]
    fn hand_out(&self, trace: &mut impl Trace, ids: &mut Vec<SubscriptionId>) {
        let (mut bits, mut block) = (0_u64, 0_u64);
        let items = self.items.0[BITS].iter().zip(&self.items.0[BLOCKS]);
        for (index, (own_bits, own_block)) in items.enumerate() {
            trace.touch(Region::Items, index);
            trace.touch(Region::Ids, index);
            let comes = any(*own_bits);
            bits = select64(comes, *own_bits, bits);
            block = select64(comes, *own_block, block);
            // Not `trailing_zeros`, for which some processors have no instruction that takes 0.
            let lane = (bits & bits.wrapping_neg()).wrapping_sub(1).count_ones();
            let row = block * BLOCK as u64 + u64::from(lane);
            ids.push(SubscriptionId(low_half(select64(
                any(bits),
                row,
                u64::from(NO_SUBSCRIPTION.0),
            ))));
            bits &= bits.wrapping_sub(1);
        }
    }
}

/// Whether any bit is set, as a mask.
#[inline(always)]
fn any(bits: u64) -> u64 {
    !equal64(bits, 0)
}

#[inline(always)]
#[expect(clippy::cast_possible_truncation, reason = "ids are 32 bits")]
fn low_half(word: u64) -> u32 {
    word as u32
}

#[cfg(test)]
mod tests {
    use super::super::trace::Unwatched;
    use super::*;
    use proptest::collection::vec;
    use proptest::prelude::*;
    use std::vec::Vec;

    /// Many blocks of nothing, and some with few or all rows.
    fn bits() -> impl Strategy<Value = u64> {
        prop_oneof![
            6 => Just(0),
            2 => (0..64_u32).prop_map(|row| 1 << row),
            1 => proptest::num::u64::ANY,
            1 => Just(u64::MAX),
        ]
    }

    proptest! {
        #[test]
        fn the_first_that_matched_come_in_their_order_and_then_empty_slots(
            matched in vec(bits(), 0..40),
            bound in 0_usize..200,
        ) {
            let rows = (0..matched.len() * BLOCK).filter(|row| matched[row / BLOCK] >> (row % BLOCK) & 1 == 1);
            let rows: Vec<u32> = rows.map(|row| u32::try_from(row).expect("few")).collect();
            let mut expected = rows.clone();
            expected.resize(rows.len().max(bound), u32::MAX);

            for name in ["portable", "avx2", "avx512"] {
                let Some(kernel) = Kernel::named(name) else { continue };
                let (mut compact, mut ids) = (Compact::default(), Vec::new());
                // What was written before leaves nothing behind.
                compact.write(&mut Unwatched, kernel, &[u64::MAX; 5], 70, &mut ids);
                ids.clear();

                let count = compact.write(&mut Unwatched, kernel, &matched, bound, &mut ids);

                prop_assert_eq!(count, rows.len());
                let ids: Vec<u32> = ids.iter().map(|id| id.0).collect();
                prop_assert_eq!(&ids, &expected[..bound]);
            }
        }
    }

    #[test]
    fn what_has_no_slot_leaves_nothing_in_the_place_of_what_has() {
        let mut ids = Vec::new();

        let count =
            Compact::default().write(&mut Unwatched, Kernel::PORTABLE, &[3, 1, 1], 3, &mut ids);

        assert_eq!((count, ids), (4, [0, 1, 64].map(SubscriptionId).to_vec()));
    }
}
