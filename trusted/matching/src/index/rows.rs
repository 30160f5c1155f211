//! Rows taken out of pages, to be laid into pages anew.
//!
//! Invariant: every row has a bound for each column, 0 where it demands nothing of it. Arranging
//! rows moves their numbers alone.
//! Source: k-d trees, Bentley, CACM 1975.

use alloc::sync::Arc;
use alloc::vec::Vec;
use core::ops::Range;

use super::SubscriptionId;
use super::exact::Exact;
use super::kernel::BLOCK_ROWS;

/// Rows in some order; reuse it.
#[derive(Default)]
pub(super) struct Rows {
    columns: usize,
    ids: Vec<SubscriptionId>,
    /// Row by row.
    bounds: Vec<u64>,
    exact: Vec<Option<Arc<Exact>>>,
    order: Vec<u32>,
}

/// How rows are told apart into two parts, neither of them empty.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Cut {
    pub(super) column: usize,
    /// The least bound of the second part; those of the first are below it.
    pub(super) at: u64,
}

impl Rows {
    /// Forgets all rows; those that come have so many columns.
    pub(super) fn begin(&mut self, columns: usize) {
        self.columns = columns;
        self.ids.clear();
        self.bounds.clear();
        self.exact.clear();
        self.order.clear();
    }

    /// Adds a row; columns for which `bounds` gives none have 0.
    pub(super) fn push(
        &mut self,
        id: SubscriptionId,
        bounds: impl Iterator<Item = u64>,
        exact: Option<Arc<Exact>>,
    ) {
        let end = self.bounds.len() + self.columns;
        self.bounds.extend(bounds);
        self.bounds.resize(end, 0);
        self.order.push(self.ids.len() as u32);
        self.ids.push(id);
        self.exact.push(exact);
    }

    pub(super) fn len(&self) -> usize {
        self.ids.len()
    }

    pub(super) fn columns(&self) -> usize {
        self.columns
    }

    pub(super) fn id(&self, row: usize) -> SubscriptionId {
        self.ids[self.order[row] as usize]
    }

    #[inline]
    pub(super) fn bounds(&self, row: usize) -> &[u64] {
        &self.bounds[self.order[row] as usize * self.columns..][..self.columns]
    }

    pub(super) fn exact(&self, row: usize) -> Option<&Arc<Exact>> {
        self.exact[self.order[row] as usize].as_ref()
    }

    /// Puts the rows of `range` in k-d order, in steps of whole blocks.
    ///
    /// Cost: O(n log n) in its rows, times columns.
    pub(super) fn arrange(&mut self, range: Range<usize>) {
        let whole = self.widths(range.clone());
        self.arrange_below(range, &whole);
    }

    fn arrange_below(&mut self, range: Range<usize>, whole: &[u64]) {
        if range.len() <= BLOCK_ROWS {
            return;
        }
        let Some(column) = self.widest(range.clone(), whole).next() else {
            return;
        };
        let half = range.len().div_ceil(BLOCK_ROWS) / 2 * BLOCK_ROWS;
        let (bounds, columns) = (&self.bounds, self.columns);
        self.order[range.clone()]
            .select_nth_unstable_by_key(half, |row| bounds[*row as usize * columns + column]);
        self.arrange_below(range.start..range.start + half, whole);
        self.arrange_below(range.start + half..range.end, whole);
    }

    /// Parts all rows in two, as equal as their bounds allow, and returns how and where the second
    /// part begins; `None` when all bounds are the same.
    pub(super) fn part(&mut self) -> Option<(Cut, usize)> {
        let all = 0..self.len();
        let whole = self.widths(all.clone());
        let column = self.widest(all, &whole).next()?;
        let (bounds, columns) = (&self.bounds, self.columns);
        let bound = |row: &u32| bounds[*row as usize * columns + column];
        let middle = self.order.len() / 2;
        let (_, median, _) = self.order.select_nth_unstable_by_key(middle, bound);
        let median = bound(median);
        let least = self.order.iter().map(bound).min()?;
        let at = match median > least {
            true => median,
            false => self.order.iter().map(bound).filter(|b| *b > least).min()?,
        };
        self.order.sort_unstable_by_key(|row| bound(row) >= at);
        let second = self.order.partition_point(|row| bound(row) < at);
        Some((Cut { column, at }, second))
    }

    /// The least and the greatest bound of the rows of `range` on `column`.
    pub(super) fn zone(&self, range: Range<usize>, column: usize) -> (u64, u64) {
        let bounds = range.map(|row| self.bounds(row)[column]);
        bounds.fold((u64::MAX, 0), |(least, greatest), bound| {
            (least.min(bound), greatest.max(bound))
        })
    }

    fn widths(&self, range: Range<usize>) -> Vec<u64> {
        let zones = (0..self.columns).map(|column| self.zone(range.clone(), column));
        zones
            .map(|(least, greatest)| greatest.saturating_sub(least))
            .collect()
    }

    /// The columns in which the rows of `range` differ, the one first in which they differ most,
    /// measured by `whole`.
    fn widest(&self, range: Range<usize>, whole: &[u64]) -> impl Iterator<Item = usize> + use<> {
        let widths = self.widths(range);
        let part = |column: usize| widths[column] as f64 / whole[column] as f64;
        let columns = (0..self.columns).filter(|column| widths[*column] > 0);
        columns
            .max_by(|one, other| part(*one).total_cmp(&part(*other)))
            .into_iter()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rows(bounds: &[[u64; 2]]) -> Rows {
        let mut rows = Rows::default();
        rows.begin(2);
        for (id, bounds) in bounds.iter().enumerate() {
            rows.push(SubscriptionId(id as u32), bounds.iter().copied(), None);
        }
        rows
    }

    #[test]
    fn the_blocks_of_arranged_rows_have_small_zones() {
        // A grid of 16 x 16, in an order that mixes it.
        let grid: Vec<[u64; 2]> = (0..256u64)
            .map(|n| n * 101 % 256)
            .map(|n| [1 + n % 16, 1 + n / 16])
            .collect();
        let mut rows = rows(&grid);

        rows.arrange(0..256);

        for block in 0..4 {
            for column in 0..2 {
                let (least, greatest) = rows.zone(block * 64..(block + 1) * 64, column);
                assert!(greatest - least < 8, "{block} {column}: {least} {greatest}");
            }
        }
    }

    #[test]
    fn a_part_has_the_bounds_below_the_cut() {
        let mut rows = rows(&[[5, 1], [5, 9], [5, 2], [5, 9]]);

        let (cut, second) = rows.part().unwrap();

        assert_eq!((cut, second), (Cut { column: 1, at: 9 }, 2));
        assert!((0..2).all(|row| rows.bounds(row)[1] < 9));
        assert!((2..4).all(|row| rows.bounds(row)[1] >= 9));
    }

    #[test]
    fn most_bounds_may_be_the_least_one() {
        let mut rows = rows(&[[1, 0], [1, 0], [1, 0], [7, 0]]);

        assert_eq!(rows.part(), Some((Cut { column: 0, at: 7 }, 3)));
    }

    #[test]
    fn equal_rows_have_no_parts() {
        assert_eq!(rows(&[[3, 4], [3, 4]]).part(), None);
    }
}
