//! The rows: for each subscription, pairs of places in the dictionary.
//!
//! Invariant: a test holds for a rank from its low place up to just below its high place; one that
//! is not in use has two places 0 and holds for none. A row matches when as many tests hold as it
//! needs; a row that is free, or whose subscription contradicts itself, needs more than there are.
//! Every operation passes over all rows.

use alloc::vec;
use alloc::vec::Vec;

use super::batch::{BATCH, Ranks};
use super::compact::Tile;
use super::dictionary::Shift;
use super::mask::{YES, equal, select};
use super::trace::{Region, Trace, read, write};

/// Rows that lie side by side and are tested at once.
pub(super) const LANES: usize = 16;

/// One thing for each row of a tile.
pub(super) type Lanes = [u32; LANES];

/// More tests than any row has.
const NEVER: u32 = u32::MAX;

#[derive(Clone, Copy, Default)]
struct Test {
    low: Lanes,
    high: Lanes,
}

#[derive(Clone, Copy)]
struct Head {
    /// The complement of each id, so that 0 is a free row.
    ids: Lanes,
    needed: Lanes,
}

const FREE: Head = Head {
    ids: [0; LANES],
    needed: [NEVER; LANES],
};

#[derive(Clone)]
pub(super) struct Rows {
    tests_per_row: usize,
    heads: Vec<Head>,
    /// `tests_per_row` for each tile.
    tests: Vec<Test>,
}

impl Rows {
    pub(super) fn new() -> Self {
        Self {
            tests_per_row: 1,
            heads: Vec::new(),
            tests: Vec::new(),
        }
    }

    pub(super) fn capacity(&self) -> usize {
        self.heads.len() * LANES
    }

    pub(super) fn tiles(&self) -> usize {
        self.heads.len()
    }

    pub(super) fn tests_per_row(&self) -> usize {
        self.tests_per_row
    }

    /// Makes room for `rows`: the capacity becomes a power of two that has it.
    pub(super) fn reserve(&mut self, rows: usize) {
        let tiles = rows.div_ceil(LANES).next_power_of_two();
        if tiles > self.tiles() {
            self.heads.resize(tiles, FREE);
            self.tests
                .resize(tiles * self.tests_per_row, Test::default());
        }
    }

    /// Gives each row room for `tests`, more than now.
    pub(super) fn widen(&mut self, tests: usize) {
        let mut widened = vec![Test::default(); self.tiles() * tests];
        let narrow = self.tests.chunks_exact(self.tests_per_row);
        for (to, from) in widened.chunks_exact_mut(tests).zip(narrow) {
            to[..self.tests_per_row].copy_from_slice(from);
        }
        (self.tests_per_row, self.tests) = (tests, widened);
    }

    /// Whether a row has `id`.
    pub(super) fn contains(&self, trace: &mut impl Trace, id: u32) -> bool {
        let mut found = 0;
        for tile in 0..self.tiles() {
            let head = read(trace, Region::Rows, &self.heads, tile);
            for own in head.ids {
                found |= equal(own, !id);
            }
        }
        found != 0
    }

    /// Puts `id` into the first free row, of which there is one; `needed` is `None` when nothing
    /// satisfies its subscription. `places` has low and high for each test of a row.
    pub(super) fn insert(
        &mut self,
        trace: &mut impl Trace,
        id: u32,
        needed: Option<u32>,
        places: &[u32],
    ) {
        let needed = needed.unwrap_or(NEVER);
        let mut looking = YES;
        for tile in 0..self.tiles() {
            let head = write(trace, Region::Rows, &mut self.heads, tile);
            let mut taken = [0; LANES];
            for (lane, taken) in taken.iter_mut().enumerate() {
                *taken = equal(head.ids[lane], 0) & looking;
                looking &= !*taken;
                head.ids[lane] = select(*taken, !id, head.ids[lane]);
                head.needed[lane] = select(*taken, needed, head.needed[lane]);
            }
            for (n, pair) in places.as_chunks::<2>().0.iter().enumerate() {
                let position = tile * self.tests_per_row + n;
                let test = write(trace, Region::Tests, &mut self.tests, position);
                for (lane, taken) in taken.iter().enumerate() {
                    test.low[lane] = select(*taken, pair[0], test.low[lane]);
                    test.high[lane] = select(*taken, pair[1], test.high[lane]);
                }
            }
        }
    }

    /// Frees the row of `id` and gives its places.
    pub(super) fn remove(&mut self, trace: &mut impl Trace, id: u32) -> Vec<u32> {
        let mut places = vec![0; 2 * self.tests_per_row];
        for tile in 0..self.tiles() {
            let head = write(trace, Region::Rows, &mut self.heads, tile);
            let mut going = [0; LANES];
            for (lane, going) in going.iter_mut().enumerate() {
                *going = equal(head.ids[lane], !id);
                head.ids[lane] = select(*going, 0, head.ids[lane]);
                head.needed[lane] = select(*going, NEVER, head.needed[lane]);
            }
            for (n, pair) in places.as_chunks_mut::<2>().0.iter_mut().enumerate() {
                let position = tile * self.tests_per_row + n;
                let test = write(trace, Region::Tests, &mut self.tests, position);
                for (lane, going) in going.iter().enumerate() {
                    pair[0] |= test.low[lane] & going;
                    pair[1] |= test.high[lane] & going;
                    test.low[lane] &= !going;
                    test.high[lane] &= !going;
                }
            }
        }
        places
    }

    /// Follows a cut that came into the dictionary.
    pub(super) fn shift_up(&mut self, trace: &mut impl Trace, shift: Shift) {
        for position in 0..self.tests.len() {
            let test = write(trace, Region::Tests, &mut self.tests, position);
            test.low = test.low.map(|place| shift.up(place));
            test.high = test.high.map(|place| shift.up(place));
        }
    }

    /// Follows a cut that went.
    pub(super) fn shift_down(&mut self, trace: &mut impl Trace, shift: Shift) {
        for position in 0..self.tests.len() {
            let test = write(trace, Region::Tests, &mut self.tests, position);
            test.low = test.low.map(|place| shift.down(place));
            test.high = test.high.map(|place| shift.down(place));
        }
    }

    /// Tests every row against each of the headers whose ranks are given, and puts the ids that
    /// match, as they lie in their tiles, into the list of tiles of each.
    pub(super) fn scan(
        &self,
        trace: &mut impl Trace,
        ranks: Ranks<'_>,
        matched: &mut [Vec<Tile>; BATCH],
    ) {
        for list in matched.iter_mut() {
            list.clear();
            list.resize(self.tiles(), Tile::default());
        }
        for tile in 0..self.tiles() {
            let mut held = [[0; LANES]; BATCH];
            for n in 0..self.tests_per_row {
                let position = tile * self.tests_per_row + n;
                let test = read(trace, Region::Tests, &self.tests, position);
                test.add_held(ranks, &mut held);
            }
            let head = read(trace, Region::Rows, &self.heads, tile);
            for (list, held) in matched.iter_mut().zip(&held) {
                write(trace, Region::Tiles, list, tile).ids = head.matching(held);
            }
        }
    }
}

impl Head {
    /// The ids of the rows of which as many tests held as they need; 0 for the others.
    #[inline]
    fn matching(&self, held: &Lanes) -> Lanes {
        let mut ids = self.ids;
        for (lane, id) in ids.iter_mut().enumerate() {
            *id &= u32::from(held[lane] == self.needed[lane]).wrapping_neg();
        }
        ids
    }
}

/// The bit that makes an order of signed integers of one of unsigned ones.
const SIGN: u32 = 1 << 31;

impl Test {
    /// Adds for each header and row 1 when one of the header's ranks lies in the test's places.
    ///
    /// Processors compare signed lanes, so both sides have their top bit turned.
    #[inline]
    fn add_held(&self, ranks: Ranks<'_>, held: &mut [Lanes; BATCH]) {
        let (mut low, mut span) = ([0; LANES], [0; LANES]);
        for lane in 0..LANES {
            low[lane] = self.low[lane] ^ SIGN;
            span[lane] = (self.high[lane].wrapping_sub(self.low[lane]) ^ SIGN).cast_signed();
        }
        for (held, ranks) in held.iter_mut().zip(ranks.of_each_header()) {
            let mut sum = *held;
            for rank in ranks {
                for lane in 0..LANES {
                    let offset = rank.wrapping_sub(low[lane]).cast_signed();
                    sum[lane] += u32::from(offset < span[lane]);
                }
            }
            *held = sum;
        }
    }
}

#[cfg(test)]
impl Rows {
    /// What [`Self::scan`] must not be: goes on with a tile only while some row of it may match.
    pub(super) fn scan_early_exit(&self, trace: &mut impl Trace, ranks: &[u32]) -> usize {
        let mut matched = 0;
        for tile in 0..self.tiles() {
            let mut tests = (0..self.tests_per_row).map(|n| {
                let position = tile * self.tests_per_row + n;
                let test = read(trace, Region::Tests, &self.tests, position);
                let holds = |lane: usize| {
                    let places = test.low[lane]..test.high[lane];
                    ranks.iter().any(|rank| places.contains(rank))
                };
                (0..LANES).any(holds)
            });
            matched += usize::from(tests.all(|holds| holds));
        }
        matched
    }
}
