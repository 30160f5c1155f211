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

use super::SubscriptionId;
use super::exact::{Exact, Probe};
use super::kernel::{BLOCK_ROWS, Ids, Lanes, Line, PAGE_BLOCKS};
use super::matches::Found;
use super::rows::Rows;
use super::scale::{Scale, Spread};

/// Columns of a page at most.
pub(super) const COLUMNS_MAX: usize = 32;

/// Rows of a page at most.
pub(super) const PAGE_ROWS: usize = BLOCK_ROWS * PAGE_BLOCKS;

/// Rows behind the sorted ones before the page is built again.
const UNSORTED_MAX: usize = 2 * BLOCK_ROWS;

/// Up to [`PAGE_ROWS`] rows.
#[derive(Clone)]
pub(super) struct Page {
    scales: Box<[Scale]>,
    /// Lines of one block: column by column, the first bytes before the further ones.
    stride: u16,
    /// Rows, live and dead.
    len: u16,
    sorted: u16,
    live: u16,
    lines: Vec<Line>,
    ids: Vec<Ids>,
    marks: Vec<Mark>,
    /// By row, ascending.
    exact: Vec<(u16, Arc<Exact>)>,
}

/// Marks of the rows of one block.
#[derive(Clone, Copy, Default)]
struct Mark {
    live: u64,
    /// Those to be tested exactly once their bounds are reached.
    exact: u64,
}

/// Why a row was not appended: the page must be built again, with it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct NoRoom;

/// What a row had.
pub(super) struct Removed {
    /// A bit for each column on which it had a bound.
    pub(super) columns: u32,
    pub(super) exact: Option<Arc<Exact>>,
}

/// A column that the header at hand does not reach everywhere.
#[derive(Clone, Copy, Default)]
struct Active {
    column: usize,
    reached: u64,
    first: u8,
    /// Blocks with rows that it may not reach.
    blocks: u16,
}

impl Page {
    /// A page of the rows `range` of `rows`, in k-d order.
    ///
    /// `before` is the page that they were on, if they were on one.
    pub(super) fn build(
        rows: &mut Rows,
        range: core::ops::Range<usize>,
        before: Option<&Self>,
    ) -> Self {
        debug_assert!(range.len() <= PAGE_ROWS, "a page has 16 blocks");
        rows.arrange(range.clone());
        let columns = rows.columns();
        let mut spreads = [Spread::NONE; COLUMNS_MAX];
        for row in range.clone() {
            for (spread, bound) in spreads.iter_mut().zip(rows.bounds(row)) {
                *spread = spread.with(*bound);
            }
        }
        let scale = |column: usize| match before {
            Some(before) => Scale::new(spreads[column].stretched_beyond(before.scales.get(column))),
            None => Scale::new(spreads[column]),
        };
        let mut page = Self::empty((0..columns).map(scale).collect(), range.len());
        for row in range.clone() {
            let exact = rows.exact(row);
            page.push(rows.id(row), rows.bounds(row), exact)
                .expect("the scales were made for these rows");
        }
        page.sorted = page.len;
        page
    }

    fn empty(mut scales: Box<[Scale]>, rows: usize) -> Self {
        let mut stride = 0;
        for scale in &mut scales {
            scale.line = stride;
            stride += u16::from(scale.planes);
        }
        let blocks = rows.div_ceil(BLOCK_ROWS);
        Self {
            scales,
            stride,
            len: 0,
            sorted: 0,
            live: 0,
            lines: Vec::with_capacity(blocks * usize::from(stride)),
            ids: Vec::with_capacity(blocks),
            marks: Vec::with_capacity(blocks),
            exact: Vec::new(),
        }
    }

    /// Rows that are not removed.
    pub(super) fn live(&self) -> usize {
        usize::from(self.live)
    }

    /// Whether it holds more dead rows than live ones, and enough to be worth a rebuild.
    pub(super) fn is_sparse(&self) -> bool {
        usize::from(self.len - self.live) > BLOCK_ROWS.max(self.live())
    }

    /// Appends a row with these bounds, a bound for each column of the group.
    pub(super) fn append(
        &mut self,
        id: SubscriptionId,
        bounds: &[u64],
        exact: Option<&Arc<Exact>>,
    ) -> Result<(), NoRoom> {
        let begins_block = usize::from(self.len).is_multiple_of(BLOCK_ROWS);
        let unsorted = usize::from(self.len - self.sorted);
        if usize::from(self.len) == PAGE_ROWS || begins_block && unsorted >= UNSORTED_MAX {
            return Err(NoRoom);
        }
        self.push(id, bounds, exact)
    }

    fn push(
        &mut self,
        id: SubscriptionId,
        bounds: &[u64],
        exact: Option<&Arc<Exact>>,
    ) -> Result<(), NoRoom> {
        // A page from before its group had some column cannot take a bound there.
        if bounds
            .iter()
            .skip(self.scales.len())
            .any(|bound| *bound != 0)
        {
            return Err(NoRoom);
        }
        let mut written = [0; COLUMNS_MAX];
        for ((written, scale), bound) in written.iter_mut().zip(&self.scales).zip(bounds) {
            *written = scale.write(*bound).ok_or(NoRoom)?;
        }
        let (block, at) = split(self.len);
        if at == 0 {
            self.add_block();
        }
        let lines = &mut self.lines[block * usize::from(self.stride)..];
        for (scale, written) in self.scales.iter_mut().zip(written) {
            for plane in 0..scale.planes {
                let byte = scale.byte(written, plane);
                lines[usize::from(scale.line + u16::from(plane))].0[at] = byte;
            }
            if scale.planes > 0 {
                scale.widen(block, scale.byte(written, 0));
            }
        }
        self.ids[block].0[at] = id.0;
        self.marks[block].live |= 1 << at;
        if let Some(exact) = exact {
            self.marks[block].exact |= 1 << at;
            self.exact.push((self.len, Arc::clone(exact)));
        }
        self.len += 1;
        self.live += 1;
        Ok(())
    }

    fn add_block(&mut self) {
        self.lines.reserve_exact(usize::from(self.stride));
        self.lines
            .extend((0..self.stride).map(|_| Line([0; BLOCK_ROWS])));
        self.ids.reserve_exact(1);
        self.ids.push(Ids([0; BLOCK_ROWS]));
        self.marks.push(Mark::default());
    }

    /// The row of `id`, or one of them.
    #[inline(always)]
    pub(super) fn find<L: Lanes>(&self, lanes: L, id: SubscriptionId) -> Option<u16> {
        let blocks = self.ids.iter().zip(&self.marks).enumerate();
        let rows = blocks.map(|(block, (ids, mark))| (block, lanes.find(ids, id.0) & mark.live));
        let mut rows = rows.filter(|(_, rows)| *rows != 0);
        rows.next()
            .map(|(block, rows)| (block * BLOCK_ROWS) as u16 + rows.trailing_zeros() as u16)
    }

    /// Removes a live row.
    pub(super) fn remove(&mut self, row: u16) -> Removed {
        let (block, at) = split(row);
        let mark = &mut self.marks[block];
        mark.live &= !(1 << at);
        self.live -= 1;
        let mut exact = None;
        if mark.exact >> at & 1 == 1 {
            mark.exact &= !(1 << at);
            let place = self.exact.binary_search_by_key(&row, |(row, _)| *row);
            exact = place.ok().map(|place| self.exact.remove(place).1);
        }
        let columns = (0..self.scales.len())
            .filter(|column| self.written(block, at, *column) != 0)
            .fold(0, |columns, column| columns | 1 << column);
        Removed { columns, exact }
    }

    fn written(&self, block: usize, at: usize, column: usize) -> u64 {
        let lines = &self.lines[block * usize::from(self.stride)..];
        let scale = &self.scales[column];
        let lines = &lines[usize::from(scale.line)..][..usize::from(scale.planes)];
        lines
            .iter()
            .fold(0, |written, line| written << 8 | u64::from(line.0[at]))
    }

    /// Appends its live rows to `rows`.
    pub(super) fn drain_into(&self, rows: &mut Rows) {
        let mut exact = self.exact.iter().peekable();
        for row in 0..self.len {
            let (block, at) = split(row);
            let own = exact
                .next_if(|(own, _)| *own == row)
                .map(|(_, exact)| Arc::clone(exact));
            if self.marks[block].live >> at & 1 == 0 {
                continue;
            }
            let id = SubscriptionId(self.ids[block].0[at]);
            let bounds = self.scales.iter().enumerate();
            let bounds = bounds.map(|(column, scale)| scale.read(self.written(block, at, column)));
            rows.push(id, bounds, own);
        }
    }

    /// Appends every live row, in which the header reaches every bound already.
    #[inline(always)]
    pub(super) fn take_all<'p, K>(&'p self, probe: Probe<'_, K>, found: &mut Found<'p>) {
        if self.exact.is_empty() && usize::from(self.live) == self.ids.len() * BLOCK_ROWS {
            found.run(&self.ids);
            return;
        }
        for (block, mark) in self.marks.iter().enumerate() {
            let rows = self.tested(block, mark.live, probe);
            found.block(&self.ids[block], rows);
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
        let mut blocks = ((1u32 << self.ids.len()) - 1) as u16;
        let mut active = [Active::default(); COLUMNS_MAX];
        let mut count = 0;
        for (column, (scale, key)) in self.scales.iter().zip(keys).enumerate() {
            let Some(reached) = scale.reached(*key) else {
                continue;
            };
            let first = scale.byte(reached, 0);
            blocks &= lanes.at_most(&scale.low, first);
            if blocks == 0 {
                return;
            }
            let whole = match first {
                0 => 0,
                _ => lanes.at_most(&scale.high, first - 1),
            };
            active[count] = Active {
                column,
                reached,
                first,
                blocks: !whole,
            };
            count += 1;
        }
        if count == 0 {
            self.take_all(probe, found);
            return;
        }
        let active = &active[..count];
        while blocks != 0 {
            let block = blocks.trailing_zeros() as usize;
            blocks &= blocks - 1;
            let rows = self.reached_rows(lanes, block, active);
            let rows = self.tested(block, rows, probe);
            found.block(&self.ids[block], rows);
        }
    }

    /// The live rows of `block` of which the bounds on `active` columns are reached.
    #[inline(always)]
    fn reached_rows<L: Lanes>(&self, lanes: L, block: usize, active: &[Active]) -> u64 {
        let mut rows = self.marks[block].live;
        let lines = &self.lines[block * usize::from(self.stride)..][..usize::from(self.stride)];
        for active in active {
            if active.blocks >> block & 1 == 0 {
                continue;
            }
            let scale = &self.scales[active.column];
            let lines = &lines[usize::from(scale.line)..][..usize::from(scale.planes)];
            let first = lanes.compare(&lines[0], active.first);
            let mut open = first.equal & rows;
            rows &= first.less | first.equal;
            if open != 0 {
                // Rows whose first byte is the key's are decided by the bytes that follow.
                for plane in 1..scale.planes {
                    let byte = scale.byte(active.reached, plane);
                    let next = lanes.compare(&lines[usize::from(plane)], byte);
                    rows &= !open | next.less | next.equal;
                    open &= next.equal;
                    if open == 0 {
                        break;
                    }
                }
            }
            if rows == 0 {
                break;
            }
        }
        rows
    }

    /// Those of `rows` whose exact tests the header passes.
    #[inline(always)]
    fn tested<K>(&self, block: usize, rows: u64, probe: Probe<'_, K>) -> u64 {
        match rows & self.marks[block].exact {
            0 => rows,
            exact => rows & !self.failing(block, exact, probe),
        }
    }

    /// Those of `rows`, which all have exact tests, that fail them.
    #[inline(never)]
    fn failing<K>(&self, block: usize, rows: u64, probe: Probe<'_, K>) -> u64 {
        let first = (block * BLOCK_ROWS) as u16;
        let from = self.exact.partition_point(|(row, _)| *row < first);
        let own = self.exact[from..]
            .iter()
            .take_while(|(row, _)| *row - first < BLOCK_ROWS as u16);
        own.filter(|(row, _)| rows >> (row - first) & 1 == 1)
            .filter(|(_, exact)| !exact.holds(probe))
            .fold(0, |failing, (row, _)| failing | 1 << (row - first))
    }
}

/// The block of a row, and its place there.
fn split(row: u16) -> (usize, usize) {
    (usize::from(row) / BLOCK_ROWS, usize::from(row) % BLOCK_ROWS)
}
