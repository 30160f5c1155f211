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
use super::page::COLUMNS_MAX;

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
        let whole = self.zones(range.clone());
        self.arrange_below(range, &whole);
    }

    fn arrange_below(&mut self, range: Range<usize>, whole: &[Zone; COLUMNS_MAX]) {
        if range.len() <= BLOCK_ROWS {
            return;
        }
        let Some(column) = self.widest(range.clone(), whole) else {
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
        let whole = self.zones(all.clone());
        let column = self.widest(all, &whole)?;
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

    /// How the rows of `range` lie on each column.
    pub(super) fn zones(&self, range: Range<usize>) -> [Zone; COLUMNS_MAX] {
        let mut zones = [Zone::NONE; COLUMNS_MAX];
        for row in range {
            for (zone, bound) in zones.iter_mut().zip(self.bounds(row)) {
                zone.least = zone.least.min(*bound);
                zone.greatest = zone.greatest.max(*bound);
                // 0 becomes the greatest number there is.
                zone.least_bound = zone.least_bound.min(bound.wrapping_sub(1));
                zone.without += u64::from(*bound == 0);
            }
        }
        zones
    }

    /// The column in which the rows of `range` differ most, if they differ: first one that about half
    /// of them have no bound on, else the one on which they spread widest, measured by `whole`.
    fn widest(&self, range: Range<usize>, whole: &[Zone; COLUMNS_MAX]) -> Option<usize> {
        let rows = range.len() as u64;
        let zones = self.zones(range);
        let score = |(own, whole): (&Zone, &Zone)| match own.without {
            0 => (own.greatest - own.least) as f64 / whole.width().max(1) as f64,
            without => 1.0 + without.min(rows - without) as f64,
        };
        let columns = zones.iter().zip(whole).enumerate().take(self.columns);
        let differ = columns.filter(|(_, (own, _))| own.least < own.greatest);
        let scored = differ.map(|(column, zones)| (score(zones), column));
        let best = scored.max_by(|(one, _), (other, _)| one.total_cmp(other));
        best.map(|(_, column)| column)
    }
}

/// How rows lie on one column.
#[derive(Clone, Copy)]
pub(super) struct Zone {
    pub(super) least: u64,
    pub(super) greatest: u64,
    /// One less than the least bound that is not 0.
    least_bound: u64,
    /// Rows without a bound.
    without: u64,
}

impl Zone {
    const NONE: Self = Self {
        least: u64::MAX,
        greatest: 0,
        least_bound: u64::MAX,
        without: 0,
    };

    /// How wide the bounds spread that there are.
    fn width(&self) -> u64 {
        self.greatest
            .saturating_sub(self.least_bound.saturating_add(1))
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
            let zones = rows.zones(block * 64..(block + 1) * 64);
            for zone in &zones[..2] {
                assert!(zone.greatest - zone.least < 8, "{block}");
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
