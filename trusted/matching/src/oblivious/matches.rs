//! What an oblivious matcher found.
//!
//! Invariant: as many slots for each header as were asked for, whatever matched.

use alloc::vec::Vec;

use super::batch::{BATCH, Batch};
use super::compact::{Slot, Tile, compact};
use super::trace::{Region, Trace};
use crate::index::SubscriptionId;

/// In a slot that no match took; no subscription has this id.
pub const NO_SUBSCRIPTION: SubscriptionId = SubscriptionId(u32::MAX);

/// The answers to a row of headers, reusable for the next.
#[derive(Default)]
pub struct ObliviousMatches {
    bound: usize,
    ids: Vec<SubscriptionId>,
    counts: Vec<usize>,
    pub(super) batch: Batch,
    pub(super) tiles: [Vec<Tile>; BATCH],
    slots: Vec<Slot>,
}

/// What one header matched.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Padded<'m> {
    /// As many as were asked for: first the ids that matched, then [`NO_SUBSCRIPTION`].
    pub slots: &'m [SubscriptionId],
    /// How many subscriptions matched, also where they are more than the slots. Secret.
    pub count: usize,
}

impl<'m> Padded<'m> {
    /// Whether more matched than there are slots, so that some are not in them.
    #[must_use]
    pub fn truncated(&self) -> bool {
        self.count > self.slots.len()
    }

    /// The ids that matched and have a slot. Whoever walks them shows how many they are.
    pub fn ids(&self) -> impl Iterator<Item = SubscriptionId> + use<'m> {
        self.slots
            .iter()
            .copied()
            .filter(|id| *id != NO_SUBSCRIPTION)
    }
}

impl ObliviousMatches {
    /// Without answers.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// The answers, in the order of the headers.
    pub fn answers(&self) -> impl ExactSizeIterator<Item = Padded<'_>> {
        self.counts
            .iter()
            .enumerate()
            .map(|(header, count)| Padded {
                slots: &self.ids[header * self.bound..][..self.bound],
                count: *count,
            })
    }

    pub(super) fn begin(&mut self, bound: usize) {
        self.bound = bound;
        self.ids.clear();
        self.counts.clear();
    }

    /// Gathers the answer to the header of the batch whose tiles are in list `header`.
    pub(super) fn gather(&mut self, trace: &mut impl Trace, header: usize) {
        let tiles = &mut self.tiles[header];
        let matched = |tile: &Tile| {
            tile.ids
                .iter()
                .map(|id| usize::from(*id != 0))
                .sum::<usize>()
        };
        self.counts.push(tiles.iter().map(matched).sum());
        compact(trace, Region::Tiles, tiles);
        // No more tiles than slots can have a match that gets one.
        let kept = tiles.iter().take(self.bound);
        self.slots.clear();
        self.slots
            .extend(kept.flat_map(|tile| tile.ids.map(Slot::new)));
        compact(trace, Region::Ids, &mut self.slots);
        let start = self.ids.len();
        self.ids.resize(start + self.bound, NO_SUBSCRIPTION);
        hand_out(&self.slots, &mut self.ids[start..]);
    }
}

/// Puts the ids of the first of `slots` into `ids`.
///
/// Not inlined, so that the compiler knows that the two do not overlap: else it looks at their
/// addresses to choose between two loops.
#[inline(never)]
fn hand_out(slots: &[Slot], ids: &mut [SubscriptionId]) {
    for (id, slot) in ids.iter_mut().zip(slots) {
        *id = SubscriptionId(!slot.id);
    }
}
