//! Rows side by side: their bounds in byte planes, 64 rows to a block.
//!
//! Invariant: each row has its bounds exactly, on columns that all rows of the page share; a row
//! without a bound on a column has 0 there, which every key reaches. The first `sorted` rows lie in
//! k-d order, so that the rows of a block are near each other and its zone is small; rows that came
//! later stand behind them. Dead rows stay until the page is built again.
//! Source: zone maps, Moerkotte, VLDB '98; k-d trees, Bentley, CACM 1975; byte planes as in
//! ByteSlice, Feng et al., SIGMOD '15.

use alloc::boxed::Box;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::ops::Range;

use super::SubscriptionId;
use super::exact::{Exact, Probe};
use super::kernel::{BLOCK_ROWS, Framed, Ids, LANES, Lanes, Line, PAGE_BLOCKS, Test};
use super::matches::Found;
use super::page::{COLUMNS_MAX, ExactRows, NoRoom, Removed, split};
use super::rows::{Placed, Rows};
use super::scale::{AllScales, Scale, Scales, Spread};

/// Rows of a page at most.
pub(super) const PLANES_ROWS: usize = BLOCK_ROWS * PAGE_BLOCKS;

/// Rows behind the sorted ones before the page is built again.
const UNSORTED_MAX: usize = 3 * BLOCK_ROWS;

/// Up to [`PLANES_ROWS`] rows.
#[derive(Clone)]
pub(super) struct Planes {
    /// The places in the group of the columns on which some row has a bound, ascending.
    places: Box<[u8]>,
    scales: AllScales,
    /// Lines of further bytes in a block.
    stride: usize,
    /// Rows, live and dead.
    len: u16,
    sorted: u16,
    live: u16,
    /// First bytes, block by block.
    firsts: Vec<Line>,
    /// The bytes that follow them, block by block.
    rests: Vec<Line>,
    ids: Vec<Ids>,
    marks: Vec<Mark>,
    live_rows: [u64; PAGE_BLOCKS],
    exact: ExactRows,
}

/// Marks of the rows of one block, beside those that are live.
#[derive(Clone, Copy, Default)]
struct Mark {
    /// Those to be tested exactly once their bounds are reached.
    exact: u64,
    /// A bit for each column on which some row has a bound.
    columns: u64,
}

/// The header at hand against the columns of a page.
struct Reach {
    framed: [Framed; COLUMNS_MAX / LANES],
    /// First bytes, column by column.
    first: [u8; COLUMNS_MAX],
    /// A bit for each column of which some bound may not be reached.
    open: u64,
    /// A bit for each column on which the first byte may not decide.
    longer: u64,
}

impl Planes {
    /// The rows `range` of `rows`, in this order.
    pub(super) fn build(rows: &Rows, range: Range<usize>) -> Self {
        debug_assert!(range.len() <= PLANES_ROWS, "there are 16 blocks");
        let mut spreads = [Spread::NONE; COLUMNS_MAX];
        for row in range.clone() {
            for Placed { column, least } in rows.bounds(row) {
                let spread = &mut spreads[usize::from(*column)];
                *spread = spread.with(*least);
            }
        }
        let used = spreads
            .iter()
            .zip(0..)
            .filter(|(spread, _)| !spread.is_none());
        let (scales, places): (Vec<_>, Vec<_>) = used
            .map(|(spread, place)| (Scale::new(*spread), place))
            .unzip();
        let mut planes = Self::empty(&scales, places.into(), range.len());
        for row in range {
            planes
                .push(rows.id(row), rows.bounds(row), rows.exact(row))
                .expect("the scales were made for these rows");
        }
        planes.sorted = planes.len;
        planes
    }

    fn empty(scales: &[Scale], places: Box<[u8]>, rows: usize) -> Self {
        let mut stride = 0;
        let side_by_side = scales.chunks(LANES).map(|scales| {
            let (scales, next) = Scales::new(scales, stride);
            stride = next;
            scales
        });
        let all: AllScales = side_by_side.collect();
        let (blocks, stride) = (rows.div_ceil(BLOCK_ROWS), usize::from(stride));
        Self {
            scales: all,
            stride,
            len: 0,
            sorted: 0,
            live: 0,
            firsts: Vec::with_capacity(blocks * places.len()),
            rests: Vec::with_capacity(blocks * stride),
            places,
            ids: Vec::with_capacity(blocks),
            marks: Vec::with_capacity(blocks),
            live_rows: [0; PAGE_BLOCKS],
            exact: ExactRows::default(),
        }
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
        match self.is_full() {
            true => Err(NoRoom),
            false => self.push(id, bounds, exact),
        }
    }

    /// Whether it has to be built again before a row can be appended.
    pub(super) fn is_full(&self) -> bool {
        let (len, unsorted) = (usize::from(self.len), usize::from(self.len - self.sorted));
        let is_unsorted = len.is_multiple_of(BLOCK_ROWS) && unsorted >= UNSORTED_MAX;
        // While it is small its scales grow narrower with it.
        let has_doubled = len == BLOCK_ROWS / 2 && unsorted * 2 >= len;
        len == PLANES_ROWS || is_unsorted || has_doubled
    }

    fn push(
        &mut self,
        id: SubscriptionId,
        bounds: &[Placed],
        exact: Option<&Arc<Exact>>,
    ) -> Result<(), NoRoom> {
        let mut written = [0; COLUMNS_MAX];
        let mut column = 0;
        for Placed {
            column: place,
            least,
        } in bounds
        {
            // Both are in order of place. A page takes no bound on a column on which no row had one.
            let left = self.places[column..].iter();
            column += left.take_while(|own| *own < place).count();
            if self.places.get(column) != Some(place) {
                return Err(NoRoom);
            }
            let scale = self.scales[column / LANES].get(column % LANES);
            written[column] = scale.write(*least).ok_or(NoRoom)?;
        }
        let (block, at) = split(self.len);
        if at == 0 {
            self.add_block();
        }
        let columns = self.places.len();
        let rests = &mut self.rests[block * self.stride..];
        for (column, written) in written.iter().enumerate().take(columns) {
            let scales = &mut self.scales[column / LANES];
            let (lane, scale) = (column % LANES, scales.get(column % LANES));
            let first = scale.byte(*written, 0);
            self.firsts[block * columns + column].0[at] = first;
            for (line, plane) in rests[scales.rest(lane)].iter_mut().zip(1..) {
                line.0[at] = scale.byte(*written, plane);
            }
            scales.widen(lane, block, first);
            self.marks[block].columns |= u64::from(*written != 0) << column;
        }
        self.ids[block].0[at] = id.0;
        self.live_rows[block] |= 1 << at;
        if let Some(exact) = exact {
            self.marks[block].exact |= 1 << at;
            self.exact.push(self.len, exact);
        }
        self.len += 1;
        self.live += 1;
        Ok(())
    }

    fn add_block(&mut self) {
        let counts = [self.places.len(), self.stride];
        for (lines, count) in [&mut self.firsts, &mut self.rests].into_iter().zip(counts) {
            lines.reserve_exact(count);
            lines.extend((0..count).map(|_| Line([0; BLOCK_ROWS])));
        }
        self.ids.reserve_exact(1);
        self.ids.push(Ids([0; BLOCK_ROWS]));
        self.marks.push(Mark::default());
    }

    /// Removes a live row.
    pub(super) fn remove(&mut self, row: u16) -> Removed {
        let (block, at) = split(row);
        self.live_rows[block] &= !(1 << at);
        self.live -= 1;
        let mark = &mut self.marks[block];
        let mut exact = None;
        if mark.exact >> at & 1 == 1 {
            mark.exact &= !(1 << at);
            exact = self.exact.remove(row);
        }
        let columns = self.places.iter().enumerate();
        let columns = columns.filter(|(column, _)| self.written(block, at, *column) != 0);
        Removed {
            columns: columns.fold(0, |columns, (_, place)| columns | 1 << place),
            exact,
        }
    }

    /// The first bytes of a block, column by column.
    #[inline(always)]
    fn firsts(&self, block: usize) -> &[Line] {
        let columns = self.places.len();
        &self.firsts[block * columns..][..columns]
    }

    fn written(&self, block: usize, at: usize, column: usize) -> u64 {
        let (scales, lane) = (&self.scales[column / LANES], column % LANES);
        let rests = &self.rests[block * self.stride..][scales.rest(lane)];
        let first = u64::from(self.firsts(block)[column].0[at]);
        let rest = rests.iter().map(|line| u64::from(line.0[at]));
        rest.fold(first, |written, byte| written << 8 | byte)
    }

    /// Appends its live rows to `rows`.
    pub(super) fn drain_into(&self, rows: &mut Rows) {
        let mut exact = self.exact.in_order();
        for row in 0..self.len {
            let (block, at) = split(row);
            if self.live_rows[block] >> at & 1 == 0 {
                continue;
            }
            let id = SubscriptionId(self.ids[block].0[at]);
            let bounds = self
                .places
                .iter()
                .enumerate()
                .filter_map(|(column, place)| {
                    let scale = self.scales[column / LANES].get(column % LANES);
                    match scale.read(self.written(block, at, column)) {
                        0 => None,
                        least => Some(Placed {
                            column: *place,
                            least,
                        }),
                    }
                });
            rows.push(id, bounds, exact(row));
        }
    }

    /// Asks for what a scan looks at first.
    #[inline(always)]
    pub(super) fn prefetch<L: Lanes>(&self, lanes: L) {
        lanes.prefetch(&self.scales);
        lanes.prefetch(&self.places);
        lanes.prefetch(&self.firsts);
        lanes.prefetch(&self.marks);
    }

    /// Appends every live row, in which the header reaches every bound already.
    #[inline(always)]
    pub(super) fn take_all<'p, K>(&'p self, probe: Probe<'_, K>, found: &mut Found<'p>) {
        if self.exact.is_empty() && usize::from(self.live) == self.ids.len() * BLOCK_ROWS {
            found.run(&self.ids);
            return;
        }
        for (block, (ids, live)) in self.ids.iter().zip(&self.live_rows).enumerate() {
            let rows = self.tested(block, *live, probe);
            found.block(ids, rows);
        }
    }

    /// Appends the live rows of which every bound is reached by the key of its column.
    #[inline(always)]
    pub(super) fn scan<'p, L: Lanes, K>(
        &'p self,
        lanes: L,
        keys: &[u64; COLUMNS_MAX],
        probe: Probe<'_, K>,
        found: &mut Found<'p>,
    ) {
        let mut reach = Reach {
            framed: [Framed::NONE; COLUMNS_MAX / LANES],
            first: [0; COLUMNS_MAX],
            open: 0,
            longer: 0,
        };
        let mut blocks = (1u32 << self.ids.len()) - 1;
        let places = self.places.chunks(LANES);
        for (at, (scales, places)) in self.scales.iter().zip(places).enumerate() {
            let mut own = [0; LANES];
            for (own, place) in own.iter_mut().zip(places) {
                *own = keys[usize::from(*place) % COLUMNS_MAX];
            }
            let framed = scales.write(lanes, &own);
            blocks &= scales.blocks(lanes, &framed);
            reach.open |= u64::from(framed.open) << (at * LANES);
            reach.longer |= u64::from(scales.longer(&framed)) << (at * LANES);
            reach.first[at * LANES..][..LANES].copy_from_slice(&framed.first);
            reach.framed[at] = framed;
        }
        if reach.open == 0 {
            self.take_all(probe, found);
            return;
        }
        let (tests, surely) = self.tests(&reach);
        let mut open = [[0; COLUMNS_MAX / LANES]; PAGE_BLOCKS];
        let by_lanes = tests.as_chunks::<LANES>().0.iter().enumerate();
        for ((at, tests), scales) in by_lanes.zip(&self.scales) {
            let own = scales.open(lanes, &tests.each_ref().map(|test| test.sure));
            for (open, own) in open.iter_mut().zip(own) {
                open[at] = own;
            }
        }
        let tests = &tests[..self.places.len()];
        while blocks != 0 {
            let block = blocks.trailing_zeros() as usize % PAGE_BLOCKS;
            blocks &= blocks - 1;
            let open = u64::from_le_bytes(open[block]);
            let passing = lanes.pass(self.firsts(block), tests, open);
            let live = self.live_rows[block];
            let (maybe, sure) = (passing.maybe & live, passing.sure & live & surely);
            if maybe == 0 {
                continue;
            }
            let rows = match maybe == sure {
                true => sure,
                false => self.decided(lanes, block, maybe, maybe & !sure, &reach),
            };
            let rows = self.tested(block, rows, probe);
            found.block(&self.ids[block], rows);
        }
    }

    /// What the first bytes of each column that has bounds are held against, and all ones unless on
    /// some column even a first byte of 0 does not decide.
    #[inline(always)]
    fn tests(&self, reach: &Reach) -> ([Test; COLUMNS_MAX], u64) {
        let mut surely = u64::MAX;
        let mut tests = [Test::NONE; COLUMNS_MAX];
        let mut columns = reach.open;
        while columns != 0 {
            let column = columns.trailing_zeros() as usize % COLUMNS_MAX;
            columns &= columns - 1;
            let first = reach.first[column];
            let is_longer = (reach.longer >> column & 1) as u8;
            if first < is_longer {
                surely = 0;
            }
            tests[column] = Test {
                most: first,
                sure: first.saturating_sub(is_longer),
            };
        }
        (tests, surely)
    }

    /// Those of `rows`, which pass by their first bytes, that pass by all; `open` are those of which
    /// some first byte does not decide.
    #[inline(always)]
    fn decided<L: Lanes>(
        &self,
        lanes: L,
        block: usize,
        rows: u64,
        open: u64,
        reach: &Reach,
    ) -> u64 {
        let mut rows = rows;
        let mut columns = self.marks[block].columns & reach.longer;
        while columns != 0 {
            let column = columns.trailing_zeros() as usize % COLUMNS_MAX;
            columns &= columns - 1;
            let first = &self.firsts(block)[column];
            let mut equal = open & lanes.compare(first, reach.first[column]).equal;
            if equal == 0 {
                continue;
            }
            let (scales, lane) = (&self.scales[column / LANES], column % LANES);
            let reached = reach.framed[column / LANES].reached[lane];
            let scale = scales.get(lane);
            let rests = &self.rests[block * self.stride..][scales.rest(lane)];
            for (line, plane) in rests.iter().zip(1..) {
                let next = lanes.compare(line, scale.byte(reached, plane));
                rows &= !equal | next.less | next.equal;
                equal &= next.equal;
                if equal == 0 {
                    break;
                }
            }
        }
        rows
    }

    /// Those of `rows` whose exact tests the header passes.
    #[inline(always)]
    fn tested<K>(&self, block: usize, rows: u64, probe: Probe<'_, K>) -> u64 {
        match rows & self.marks[block].exact {
            0 => rows,
            exact => rows & !self.exact.failing(block, exact, probe),
        }
    }
}
