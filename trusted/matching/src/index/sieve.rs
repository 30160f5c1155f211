//! Rows behind bitmaps, which tell for each column and each bucket of its bounds who lies at it or
//! beyond.
//!
//! Invariant: the bucket of a header's key tells the rows apart into those that fail there, those that
//! pass, and those that lie in that bucket, which are compared exactly. Each row has its bounds
//! exactly, side by side. The first rows lie in k-d order; those that came later stand behind them.
//! Dead rows stay until the page is built again.
//! Source: range-encoded bitmaps, Chan and Ioannidis, SIGMOD '98; marking what fails, REIN, Qian et
//! al., INFOCOM '14.

mod bits;
mod bounds;
mod column;

use alloc::boxed::Box;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::ops::Range;

use super::SubscriptionId;
use super::exact::{Exact, Probe};
use super::kernel::{BLOCK_ROWS, Ids, Lanes, SIFT_WORDS, Sifted};
use super::matches::Found;
use super::page::{COLUMNS_MAX, ExactRows, NoRoom, Removed, split};
use super::rows::{Placed, Rows};
use super::scale::Spread;
use bits::Bits;
use bounds::Bounds;
use column::SieveColumn;

/// Rows of a page at most.
pub(super) const SIEVE_ROWS: usize = BLOCK_ROWS * SIFT_WORDS;

/// Rows for which there is room come in such steps, where a page has as many.
const STEP_WORDS: usize = 8;

/// Up to [`SIEVE_ROWS`] rows.
#[derive(Clone)]
pub(super) struct Sieve {
    /// Those on which some row has a bound, by place.
    columns: Box<[SieveColumn]>,
    bits: Bits,
    bounds: Bounds,
    /// Rows, live and dead.
    len: u16,
    live: u16,
    ids: Vec<Ids>,
    live_rows: Vec<u64>,
    /// Block by block, those to be tested exactly once their bounds are reached.
    exact_rows: Vec<u64>,
    exact: ExactRows,
}

impl Sieve {
    /// The rows `range` of `rows`, in this order, with so many buckets for each column.
    pub(super) fn build(rows: &Rows, range: Range<usize>, buckets: u32) -> Self {
        let mut spreads = [Spread::NONE; COLUMNS_MAX];
        let mut bound_count = 0;
        for row in range.clone() {
            bound_count += rows.bounds(row).len();
            for Placed { column, least } in rows.bounds(row) {
                let spread = &mut spreads[usize::from(*column)];
                *spread = spread.with(*least);
            }
        }
        let columns = spreads.iter().zip(0..);
        let columns: Box<[_]> = columns
            .filter_map(|(spread, place)| SieveColumn::new(place, *spread, buckets))
            .collect();
        let words = words_for(range.len());
        let mut sieve = Self {
            bits: Bits::new(columns.len(), buckets, words),
            bounds: Bounds::new(
                columns.iter().all(SieveColumn::is_narrow),
                words * BLOCK_ROWS,
                bound_count,
            ),
            columns,
            len: 0,
            live: 0,
            ids: Vec::with_capacity(range.len().div_ceil(BLOCK_ROWS)),
            live_rows: Vec::with_capacity(words),
            exact_rows: Vec::with_capacity(words),
            exact: ExactRows::default(),
        };
        let mut codes = [(0, 0); COLUMNS_MAX];
        for row in range {
            let codes = sieve
                .codes(rows.bounds(row), &mut codes)
                .expect("the columns were made for these rows");
            for (column, code) in codes {
                let column = usize::from(*column);
                let bucket = sieve.columns[column].bucket(*code);
                sieve.bits.mark(column, bucket, sieve.len);
            }
            sieve.bounds.push(codes);
            sieve.push(rows.id(row), rows.exact(row));
        }
        sieve.bits.spread();
        sieve
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
        let mut codes = [(0, 0); COLUMNS_MAX];
        let codes = self.codes(bounds, &mut codes)?;
        if usize::from(self.len) == self.bits.words() * BLOCK_ROWS || self.bounds.is_full() {
            return Err(NoRoom);
        }
        for (column, code) in codes {
            let column = usize::from(*column);
            let bucket = self.columns[column].bucket(*code);
            self.bits.mark_up_to(column, bucket, self.len);
        }
        self.bounds.push(codes);
        self.push(id, exact);
        Ok(())
    }

    /// Each bound as its column on this page and its code there.
    fn codes<'c>(
        &self,
        bounds: &[Placed],
        room: &'c mut [(u8, u64); COLUMNS_MAX],
    ) -> Result<&'c [(u8, u64)], NoRoom> {
        let mut at = 0;
        for (code, Placed { column, least }) in room.iter_mut().zip(bounds) {
            // Both are in order of place.
            let left = self.columns[at..].iter();
            at += left.take_while(|own| own.place() < *column).count();
            let own = self.columns.get(at).filter(|own| own.place() == *column);
            *code = (at as u8, own.ok_or(NoRoom)?.code(*least).ok_or(NoRoom)?);
        }
        Ok(&room[..bounds.len()])
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
        let columns = self.bounds.of(row);
        let places = columns.map(|(column, _)| self.columns[usize::from(column)].place());
        Removed {
            columns: places.fold(0, |columns, place| columns | 1 << place),
            exact,
        }
    }

    /// Appends its live rows to `rows`.
    pub(super) fn drain_into(&self, rows: &mut Rows) {
        let mut exact = self.exact.in_order();
        for row in 0..self.len {
            let (block, at) = split(row);
            if self.live_rows[block] >> at & 1 == 0 {
                continue;
            }
            let bounds = self.bounds.of(row).map(|(column, code)| {
                let column = &self.columns[usize::from(column)];
                Placed {
                    column: column.place(),
                    least: column.bound(code),
                }
            });
            rows.push(SubscriptionId(self.ids[block].0[at]), bounds, exact(row));
        }
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
        keys: &[u64; COLUMNS_MAX],
        probe: Probe<'_, K>,
        found: &mut Found<'p>,
    ) {
        let mut limits = [0; COLUMNS_MAX];
        let (mut picks, mut open) = ([0; COLUMNS_MAX], 0);
        for (at, column) in self.columns.iter().enumerate() {
            let limit = column.limit(keys[usize::from(column.place()) % COLUMNS_MAX]);
            limits[at % COLUMNS_MAX] = limit;
            picks[open % COLUMNS_MAX] = self.bits.pick(at, column.reached(limit));
            open += usize::from(!column.is_whole(limit));
        }
        if open == 0 {
            self.take_all(probe, found);
            return;
        }
        let mut sifted = Sifted::NONE;
        let words = self.live_rows.len();
        self.bits.sift(lanes, &picks[..open], &mut sifted, words);
        let blocks = self.ids.iter().zip(&self.live_rows);
        let sifted = sifted.failing.iter().zip(&sifted.unsure);
        for (block, ((ids, live), (failing, unsure))) in blocks.zip(sifted).enumerate() {
            let mut rows = live & !failing;
            let mut left = rows & unsure;
            while left != 0 {
                let at = left.trailing_zeros();
                let row = (block * BLOCK_ROWS) as u16 + at as u16;
                let fails = !self.bounds.are_below(row, &limits);
                rows &= !(u64::from(fails) << at);
                left &= left - 1;
            }
            found.block(ids, self.tested(block, rows, probe));
        }
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
