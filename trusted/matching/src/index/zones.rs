//! How far the bounds of a group's pages go, column by column.
//!
//! Invariant: the zone of a page holds every bound of its rows; one on a column on which some row has no
//! bound begins at 0. Where there is no page no key reaches.
//! Source: zone maps, Moerkotte, VLDB '98.

use alloc::vec;
use alloc::vec::Vec;

use super::kernel::Lanes;
use super::page::COLUMNS_MAX;
use super::rows::{Placed, Zone};

/// Pages whose zones lie together.
const SIDE_BY_SIDE: usize = 8;

/// The zones of the pages of a group.
#[derive(Clone)]
pub(super) struct Zones {
    pages: usize,
    columns: usize,
    /// [`COLUMNS_MAX`] at most for each eight pages.
    zones: Vec<Vec<Eight>>,
}

/// One column's zones of eight pages.
#[derive(Clone, Copy)]
struct Eight {
    low: [u64; SIDE_BY_SIDE],
    high: [u64; SIDE_BY_SIDE],
}

/// A page that a header meets.
#[derive(Clone, Copy)]
pub(super) struct Visit {
    pub(super) slot: u32,
    /// Whether the header reaches all bounds there.
    pub(super) is_whole: bool,
}

impl Visit {
    /// Of a page of which no more is known.
    pub(super) fn part(slot: u32) -> Self {
        Self {
            slot,
            is_whole: false,
        }
    }
}

impl Eight {
    const NONE: Self = Self {
        low: [u64::MAX; SIDE_BY_SIDE],
        high: [u64::MAX; SIDE_BY_SIDE],
    };
}

impl Zones {
    /// Of no page yet.
    pub(super) fn new(columns: usize) -> Self {
        Self {
            pages: 0,
            columns,
            zones: Vec::new(),
        }
    }

    /// Adds a column on which no page has a bound.
    pub(super) fn add_column(&mut self) {
        self.columns += 1;
        for (at, zones) in self.zones.iter_mut().enumerate() {
            let mut eight = Eight::NONE;
            for place in 0..SIDE_BY_SIDE.min(self.pages - at * SIDE_BY_SIDE) {
                (eight.low[place], eight.high[place]) = (0, 0);
            }
            zones.push(eight);
        }
    }

    /// Adds a page, whose zone has to be set.
    pub(super) fn push(&mut self) {
        if self.pages.is_multiple_of(SIDE_BY_SIDE) {
            self.zones.push(vec![Eight::NONE; self.columns]);
        }
        self.pages += 1;
    }

    /// The page at `slot` has these zones now, column by column.
    pub(super) fn set(&mut self, slot: usize, zones: &[Zone]) {
        let place = slot % SIDE_BY_SIDE;
        for (eight, own) in self.zones[slot / SIDE_BY_SIDE].iter_mut().zip(zones) {
            (eight.low[place], eight.high[place]) = (own.least(), own.greatest);
        }
    }

    /// The page at `slot` has a row with these bounds, too, in order of column.
    pub(super) fn widen(&mut self, slot: usize, bounds: &[Placed]) {
        let place = slot % SIDE_BY_SIDE;
        let mut bounds = bounds.iter().peekable();
        for (column, eight) in self.zones[slot / SIDE_BY_SIDE].iter_mut().enumerate() {
            let own = bounds.next_if(|own| usize::from(own.column) == column);
            let bound = own.map_or(0, |own| own.least);
            eight.low[place] = eight.low[place].min(bound);
            eight.high[place] = eight.high[place].max(bound);
        }
    }

    /// Removes the page at `slot`; the last one takes its place.
    pub(super) fn swap_remove(&mut self, slot: usize) {
        let last = self.pages - 1;
        for column in 0..self.columns {
            let from = &mut self.zones[last / SIDE_BY_SIDE][column];
            let place = last % SIDE_BY_SIDE;
            let zone = (from.low[place], from.high[place]);
            (from.low[place], from.high[place]) = (u64::MAX, u64::MAX);
            if slot < last {
                let to = &mut self.zones[slot / SIDE_BY_SIDE][column];
                let place = slot % SIDE_BY_SIDE;
                (to.low[place], to.high[place]) = zone;
            }
        }
        if last.is_multiple_of(SIDE_BY_SIDE) {
            self.zones.pop();
        }
        self.pages = last;
    }

    /// Appends the pages that a header with these keys meets.
    #[inline(always)]
    pub(super) fn visit<L: Lanes>(
        &self,
        lanes: L,
        keys: &[u64; COLUMNS_MAX],
        visits: &mut Vec<Visit>,
    ) {
        for (at, zones) in self.zones.iter().enumerate() {
            let (mut met, mut whole) = (u8::MAX, u8::MAX);
            for (eight, key) in zones.iter().zip(keys) {
                met &= lanes.reached(&eight.low, *key);
                whole &= lanes.reached(&eight.high, *key);
                if met == 0 {
                    break;
                }
            }
            let pages = self.pages - at * SIDE_BY_SIDE;
            if pages < SIDE_BY_SIDE {
                met &= (1 << pages) - 1;
            }
            while met != 0 {
                let place = met.trailing_zeros();
                met &= met - 1;
                visits.push(Visit {
                    slot: (at * SIDE_BY_SIDE) as u32 + place,
                    is_whole: whole >> place & 1 == 1,
                });
            }
        }
    }
}
