//! Gathering the few that matched, in order, without telling where they were.
//!
//! Invariant: each item knows how far it has to go towards the front, and takes the powers of two of
//! that distance one after the other, the least first; so no two items meet, and what is moved and
//! what is not take the same steps. An item of nothing is all zeros.
//! Source: Goodrich, "Data-oblivious external-memory algorithms for the compaction, selection, and
//! sorting of outsourced data", SPAA '11, the butterfly network of its tight compaction.

use super::mask::equal;
use super::rows::{LANES, Lanes};
use super::trace::{Region, Trace, read, write};

/// What can be compacted.
pub(super) trait Item: Copy + Default {
    /// Whether it is something, as a mask.
    fn live(&self) -> u32;
    /// How far it has to go.
    fn distance(&self) -> u32;
    fn set_distance(&mut self, distance: u32);
    /// Whether it takes a step of this length, as a mask.
    #[inline]
    fn goes(&self, step: usize) -> u32 {
        (self.distance() >> step.trailing_zeros() & 1).wrapping_neg()
    }
    /// `self` where `stay` is set, together with `other` where `come` is set.
    fn join(&self, stay: u32, other: &Self, come: u32) -> Self;
}

/// The ids of a tile that matched, 0 for the rows that did not.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Tile {
    pub(super) ids: Lanes,
    distance: u32,
}

impl Item for Tile {
    #[inline]
    fn live(&self) -> u32 {
        !equal(self.ids.iter().fold(0, |all, id| all | id), 0)
    }

    #[inline]
    fn distance(&self) -> u32 {
        self.distance
    }

    #[inline]
    fn set_distance(&mut self, distance: u32) {
        self.distance = distance;
    }

    #[inline]
    fn join(&self, stay: u32, other: &Self, come: u32) -> Self {
        let mut joined = *self;
        for lane in 0..LANES {
            joined.ids[lane] = (self.ids[lane] & stay) | (other.ids[lane] & come);
        }
        joined.distance = (self.distance & stay) | (other.distance & come);
        joined
    }
}

/// An id, or 0.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Slot {
    pub(super) id: u32,
    distance: u32,
}

impl Slot {
    pub(super) fn new(id: u32) -> Self {
        Self { id, distance: 0 }
    }
}

impl Item for Slot {
    #[inline]
    fn live(&self) -> u32 {
        !equal(self.id, 0)
    }

    #[inline]
    fn distance(&self) -> u32 {
        self.distance
    }

    #[inline]
    fn set_distance(&mut self, distance: u32) {
        self.distance = distance;
    }

    #[inline]
    fn join(&self, stay: u32, other: &Self, come: u32) -> Self {
        Self {
            id: (self.id & stay) | (other.id & come),
            distance: (self.distance & stay) | (other.distance & come),
        }
    }
}

/// Moves the live items to the front, in their order. Cost: O(n log n).
pub(super) fn compact<I: Item>(trace: &mut impl Trace, region: Region, items: &mut [I]) {
    let mut empty = 0;
    for index in 0..items.len() {
        let item = write(trace, region, items, index);
        let live = item.live();
        item.set_distance(empty & live);
        empty += !live & 1;
    }
    let mut step = 1;
    while step < items.len() {
        for index in 0..items.len() - step {
            let come = *read(trace, region, items, index + step);
            let here = write(trace, region, items, index);
            *here = here.join(!here.goes(step), &come, come.goes(step));
        }
        // Behind these nothing comes, and what goes is ahead already.
        for index in items.len() - step..items.len() {
            let here = write(trace, region, items, index);
            *here = here.join(!here.goes(step), &I::default(), 0);
        }
        step *= 2;
    }
}

#[cfg(test)]
mod tests {
    use super::super::trace::Unwatched;
    use super::*;
    use proptest::collection::vec;
    use proptest::prelude::*;
    use std::vec::Vec;

    proptest! {
        #[test]
        fn the_live_come_first_in_their_order(ids in vec(0u32..3, 0..70)) {
            let mut items: Vec<Slot> = ids.iter().map(|id| Slot::new(*id)).collect();

            compact(&mut Unwatched, Region::Ids, &mut items);

            let mut expected: Vec<u32> = ids.iter().copied().filter(|id| *id != 0).collect();
            expected.resize(ids.len(), 0);
            prop_assert_eq!(items.iter().map(|item| item.id).collect::<Vec<_>>(), expected);
        }
    }

    #[test]
    fn tiles_move_whole() {
        let tile = |id| Tile {
            ids: [id; LANES],
            distance: 0,
        };
        let mut tiles = [tile(0), tile(0), tile(7), tile(0), tile(8)];

        compact(&mut Unwatched, Region::Tiles, &mut tiles);

        assert_eq!(tiles.map(|tile| tile.ids[LANES - 1]), [7, 8, 0, 0, 0]);
    }
}
