//! Rows behind a mesh, which tells of most of them whether a header is in all their intervals.
//!
//! Invariant: rows that fail by the mesh are out, those that pass by it are in, and all others are
//! compared exactly; each row has its bounds exactly, as intervals side by side. The first rows lie in k-d
//! order; those that came later stand behind them. Dead rows stay until the page is built again.
//! Source: REIN, Qian et al., INFOCOM '14, which marks what fails, for bitmaps; with marks of those that it
//! would compare beside it.

mod axis;
mod bits;
mod bytes;
mod dictionary;
mod fine;
mod intervals;
mod mesh;
mod room;

use alloc::boxed::Box;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::ops::Range;

use super::SubscriptionId;
use super::exact::{Exact, Probe};
use super::kernel::{BLOCK_ROWS, Ids, Lanes, Passing, Pick, SIFT_WORDS, Sifted};
use super::matches::Found;
use super::page::{COLUMNS_MAX, ExactRows, NoRoom, Removed, split};
use super::rows::{Placed, Rows};
use bits::Bits;
use bytes::Bytes;
pub(super) use dictionary::Dictionary;
use dictionary::Sight;
use intervals::{Interval, Intervals};
use mesh::Mesh;
use room::Room;

/// Rows of a page at most.
pub(super) const SIEVE_ROWS: usize = BLOCK_ROWS * SIFT_WORDS;

/// Rows for which there is room come in such steps, where a page has as many.
const STEP_WORDS: usize = 8;

/// Rows behind the sorted ones before bytes are built again, or a sixth of these if that is more: blocks of
/// such rows leave out few.
const UNSORTED_MAX: usize = 3 * BLOCK_ROWS;

/// No axis of this page.
const NONE: u8 = u8::MAX;

/// Up to [`SIEVE_ROWS`] rows.
#[derive(Clone)]
pub(super) struct Sieve {
    dictionary: Arc<Dictionary>,
    /// Those on which some row has a bound.
    axes: Box<[u8]>,
    /// By axis, its place in `axes`, or [`NONE`].
    place_of: [u8; COLUMNS_MAX],
    mesh: Mesh,
    /// Blocks that there is room for.
    words: usize,
    intervals: Intervals,
    /// Rows, live and dead.
    len: u16,
    /// The first ones, in k-d order.
    sorted: u16,
    live: u16,
    ids: Vec<Ids>,
    live_rows: Vec<u64>,
    /// Block by block, those to be tested exactly once their bounds are reached.
    exact_rows: Vec<u64>,
    exact: ExactRows,
}

impl Sieve {
    /// The rows `range` of `rows`, in this order, behind bitmaps or behind bytes; `None` if the dictionary
    /// does not serve them.
    pub(super) fn build(
        rows: &Rows,
        range: Range<usize>,
        dictionary: &Arc<Dictionary>,
        by_bytes: bool,
    ) -> Option<Self> {
        let mut room = [Interval::all(0); COLUMNS_MAX];
        let (mut used, mut count) = (0u64, 0);
        for row in range.clone() {
            let own = dictionary.encode(rows.bounds(row), &mut room)?;
            count += own.len();
            used = own.iter().fold(used, |used, own| used | 1 << own.axis);
        }
        let axes: Box<[u8]> = (0..COLUMNS_MAX as u8)
            .filter(|axis| used >> axis & 1 == 1)
            .collect();
        let mut place_of = [NONE; COLUMNS_MAX];
        for (axis, place) in axes.iter().zip(0..) {
            place_of[usize::from(*axis)] = place;
        }
        let words = words_for(range.len());
        let mesh = match by_bytes {
            true => Mesh::bytes(rows, range.clone(), dictionary)?,
            false => Mesh::bits(
                rows,
                range.clone(),
                dictionary,
                &place_of,
                (axes.len(), words),
            )?,
        };
        let mut sieve = Self {
            mesh,
            words,
            intervals: Intervals::new(dictionary.is_narrow(), count),
            dictionary: Arc::clone(dictionary),
            axes,
            place_of,
            len: 0,
            sorted: range.len() as u16,
            live: 0,
            ids: Vec::with_capacity(range.len().div_ceil(BLOCK_ROWS)),
            live_rows: Vec::with_capacity(words),
            exact_rows: Vec::with_capacity(words),
            exact: ExactRows::default(),
        };
        for row in range {
            let intervals = dictionary.encode(rows.bounds(row), &mut room)?;
            sieve.intervals.push(intervals);
            sieve.push(rows.id(row), rows.exact(row));
        }
        Some(sieve)
    }

    /// Whether it is behind bytes.
    pub(super) fn is_by_bytes(&self) -> bool {
        matches!(self.mesh, Mesh::Bytes(_))
    }

    /// Rows that are not removed.
    pub(super) fn live(&self) -> usize {
        usize::from(self.live)
    }

    /// Rows that are removed.
    pub(super) fn dead(&self) -> usize {
        usize::from(self.len - self.live)
    }

    /// The ids of the rows, and which of them are live, block by block.
    pub(super) fn ids(&self) -> (&[Ids], &[u64]) {
        (&self.ids, &self.live_rows)
    }

    /// Appends a row with these bounds.
    pub(super) fn append(
        &mut self,
        id: SubscriptionId,
        bounds: &[Placed],
        exact: Option<&Arc<Exact>>,
    ) -> Result<(), NoRoom> {
        let mut room = [Interval::all(0); COLUMNS_MAX];
        let intervals = self.dictionary.encode(bounds, &mut room).ok_or(NoRoom)?;
        let is_new = |own: &Interval| self.place_of[usize::from(own.axis)] == NONE;
        if self.is_full() || intervals.iter().any(is_new) {
            return Err(NoRoom);
        }
        match &mut self.mesh {
            Mesh::Bytes(bytes) => {
                let code = |own: &Placed| self.dictionary.fine_code(own.column, own.least);
                let codes = bounds.iter().map(|own| (own.column, code(own)));
                bytes.push(codes, self.len)?;
            }
            Mesh::Bits(bits) => {
                for own in intervals {
                    let place = self.place_of[usize::from(own.axis)];
                    let span = self.dictionary.span(*own);
                    bits.add(place.into(), span, self.len);
                }
            }
        }
        self.intervals.push(intervals);
        self.push(id, exact);
        Ok(())
    }

    /// Whether it has to be built again before a row can be appended.
    pub(super) fn is_full(&self) -> bool {
        let unsorted = usize::from(self.len - self.sorted);
        let is_unsorted = self.is_by_bytes()
            && usize::from(self.len).is_multiple_of(BLOCK_ROWS)
            && unsorted >= UNSORTED_MAX.max(usize::from(self.sorted) / 6);
        usize::from(self.len) == self.words * BLOCK_ROWS || is_unsorted || self.intervals.is_full()
    }

    fn push(&mut self, id: SubscriptionId, exact: Option<&Arc<Exact>>) {
        let (block, at) = split(self.len);
        if at == 0 {
            self.ids.reserve_exact(1);
            self.ids.push(Ids([0; BLOCK_ROWS]));
            self.live_rows.push(0);
            self.exact_rows.push(0);
        }
        self.ids[block].0[at] = id.0;
        self.live_rows[block] |= 1 << at;
        if let Some(exact) = exact {
            self.exact_rows[block] |= 1 << at;
            self.exact.push(self.len, exact);
        }
        self.len += 1;
        self.live += 1;
    }

    fn bounds(&self, row: u16) -> impl Iterator<Item = Placed> + '_ {
        let intervals = self.intervals.of(row);
        intervals.flat_map(|interval| self.dictionary.decode(interval))
    }

    /// Removes a live row.
    pub(super) fn remove(&mut self, row: u16) -> Removed {
        let (block, at) = split(row);
        self.live_rows[block] &= !(1 << at);
        self.live -= 1;
        let mut exact = None;
        if self.exact_rows[block] >> at & 1 == 1 {
            self.exact_rows[block] &= !(1 << at);
            exact = self.exact.remove(row);
        }
        let columns = self.bounds(row).map(|own| own.column);
        Removed {
            columns: columns.fold(0, |columns, column| columns | 1 << column),
            exact,
        }
    }

    /// Appends its live rows to `rows`.
    pub(super) fn drain_into(&self, rows: &mut Rows) {
        let mut exact = self.exact.in_order();
        for row in 0..self.len {
            let (block, at) = split(row);
            if self.live_rows[block] >> at & 1 == 1 {
                let id = SubscriptionId(self.ids[block].0[at]);
                rows.push(id, self.bounds(row), exact(row));
            }
        }
    }

    /// Asks for what a scan looks at first.
    #[inline(always)]
    pub(super) fn prefetch<L: Lanes>(&self, lanes: L) {
        match &self.mesh {
            Mesh::Bits(_) => lanes.prefetch(&self.axes),
            Mesh::Bytes(bytes) => bytes.prefetch(lanes),
        }
        lanes.prefetch(&self.live_rows);
    }

    /// Appends every live row, in which the header reaches every bound already.
    #[inline(always)]
    pub(super) fn take_all<'p, K>(&'p self, probe: Probe<'_, K>, found: &mut Found<'p>) {
        if self.exact.is_empty() && usize::from(self.live) == self.ids.len() * BLOCK_ROWS {
            found.run(&self.ids);
            return;
        }
        for (block, (ids, live)) in self.ids.iter().zip(&self.live_rows).enumerate() {
            found.block(ids, self.tested(block, *live, probe));
        }
    }

    /// Appends the live rows of which every bound is reached by the key of its column.
    #[inline(always)]
    pub(super) fn scan<'p, L: Lanes, K>(
        &'p self,
        lanes: L,
        sighted: &mut Sighted,
        keys: &[u64; COLUMNS_MAX],
        probe: Probe<'_, K>,
        found: &mut Found<'p>,
    ) {
        let Sighted { sight, room } = sighted;
        sight.turn_to(lanes, &self.dictionary, keys);
        room.clear();
        let words = self.live_rows.len().min(SIFT_WORDS);
        match &self.mesh {
            Mesh::Bits(bits) => {
                let mut rows = self.sift(lanes, bits, sight, room);
                self.decide(lanes, sight, room, keys, &mut rows);
                if !self.exact.is_empty() {
                    for (block, rows) in rows.iter_mut().enumerate().take(words) {
                        *rows = self.tested(block, *rows, probe);
                    }
                }
                found.blocks(&self.ids, &rows[..words]);
            }
            Mesh::Bytes(bytes) => {
                let (mut rows, blocks) = self.pass(lanes, bytes, (&mut *sight, &mut *room), keys);
                self.decide(lanes, sight, room, keys, &mut rows);
                let mut left = blocks;
                while left != 0 {
                    let block = left.trailing_zeros() as usize % SIFT_WORDS;
                    left &= left - 1;
                    let rows = self.tested(block, rows[block], probe);
                    found.block(&self.ids[block], rows);
                }
            }
        }
    }

    /// Block by block the live rows that do not fail by `bits`; takes down those that may.
    #[inline(always)]
    fn sift<L: Lanes>(
        &self,
        lanes: L,
        bits: &Bits,
        sight: &Sight,
        room: &mut Room,
    ) -> [u64; SIFT_WORDS] {
        let mut picks = [Pick::default(); COLUMNS_MAX];
        let picks = &mut picks[..self.axes.len() % (COLUMNS_MAX + 1)];
        for (place, (pick, axis)) in picks.iter_mut().zip(&self.axes).enumerate() {
            *pick = bits.pick(place, sight, *axis);
        }
        let mut sifted = Sifted::NONE;
        bits.sift(lanes, picks, &mut sifted, self.live_rows.len());
        let Sifted {
            failing: mut rows,
            unsure,
        } = sifted;
        for (block, live) in self.live_rows.iter().enumerate().take(SIFT_WORDS) {
            rows[block] = live & !rows[block];
            room.push((block * BLOCK_ROWS) as u16, rows[block] & unsure[block]);
        }
        rows
    }

    /// Block by block the live rows that do not fail by `bytes`, and which blocks may have any; takes down
    /// the rows that may fail.
    #[inline(always)]
    fn pass<L: Lanes>(
        &self,
        lanes: L,
        bytes: &Bytes,
        (sight, room): (&mut Sight, &mut Room),
        keys: &[u64; COLUMNS_MAX],
    ) -> ([u64; SIFT_WORDS], u32) {
        let limits = bytes.limits(lanes, sight.fine(lanes, &self.dictionary, keys));
        let blocks = limits.blocks & (u64::MAX >> (64 - self.live_rows.len() as u32 % 64)) as u32;
        let mut rows = [0; SIFT_WORDS];
        let mut left = blocks;
        while left != 0 {
            let block = left.trailing_zeros() as usize % SIFT_WORDS;
            left &= left - 1;
            let Passing { maybe, sure } = bytes.pass(lanes, block, &limits);
            rows[block] = maybe & self.live_rows[block];
            room.push((block * BLOCK_ROWS) as u16, rows[block] & !sure);
        }
        (rows, blocks)
    }

    /// Takes out of `rows` those of `room` that fail.
    #[inline(always)]
    fn decide<L: Lanes>(
        &self,
        lanes: L,
        sight: &Sight,
        room: &Room,
        keys: &[u64; COLUMNS_MAX],
        rows: &mut [u64; SIFT_WORDS],
    ) {
        for row in room.all() {
            let is_in = match sight.is_torn {
                false => self.intervals.hold(lanes, *row, sight),
                true => self.holds_by_bounds(*row, keys),
            };
            let (block, at) = split(*row);
            rows[block % SIFT_WORDS] &= !(u64::from(!is_in) << at);
        }
    }

    #[inline(never)]
    fn holds_by_bounds(&self, row: u16, keys: &[u64; COLUMNS_MAX]) -> bool {
        let mut intervals = self.intervals.of(row);
        intervals.all(|interval| self.dictionary.holds(interval, keys))
    }

    /// Those of `rows` whose exact tests the header passes.
    #[inline(always)]
    fn tested<K>(&self, block: usize, rows: u64, probe: Probe<'_, K>) -> u64 {
        match rows & self.exact_rows[block] {
            0 => rows,
            exact => rows & !self.exact.failing(block, exact, probe),
        }
    }
}

/// The header at hand, and room; reuse it.
#[derive(Clone)]
pub(super) struct Sighted {
    sight: Sight,
    room: Room,
}

impl Sighted {
    /// Another header is at hand, or other keys of it.
    pub(super) fn forget(&mut self) {
        self.sight.forget();
    }
}

impl Default for Sighted {
    fn default() -> Self {
        Self {
            sight: Sight::new(),
            room: Room::new(),
        }
    }
}

/// Words of a bitmap for so many rows and half as many more.
fn words_for(rows: usize) -> usize {
    let words = (rows + rows / 2).div_ceil(BLOCK_ROWS).max(1);
    let words = match words {
        0..STEP_WORDS => words.next_power_of_two(),
        _ => words.next_multiple_of(STEP_WORDS),
    };
    // All of them, where that is more than there may be.
    words.min(SIFT_WORDS).max(rows.div_ceil(BLOCK_ROWS))
}
