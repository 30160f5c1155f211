//! Rows taken out of pages, to be laid into pages anew.
//!
//! Invariant: a row has the bounds that it demands and no others, in order of column; where it has none
//! its bound is 0, which every key reaches. Arranging rows moves their numbers alone.
//! Source: k-d trees, Bentley, CACM 1975.

use alloc::sync::Arc;
use alloc::vec::Vec;
use core::ops::Range;

use super::SubscriptionId;
use super::exact::Exact;
use super::kernel::BLOCK_ROWS;
use super::page::COLUMNS_MAX;

/// A bound of a row, on one of the columns of its group.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Placed {
    /// The column's place in the group, below [`COLUMNS_MAX`].
    pub(super) column: u8,
    /// Not 0.
    pub(super) least: u64,
}

/// The bound of a row on `column`; 0 where it has none.
#[inline]
pub(super) fn bound_on(bounds: &[Placed], column: usize) -> u64 {
    let own = bounds.iter().find(|own| usize::from(own.column) == column);
    own.map_or(0, |own| own.least)
}

/// Rows in some order; reuse it.
#[derive(Default)]
pub(super) struct Rows {
    columns: usize,
    rows: Vec<Row>,
    /// Row by row.
    bounds: Vec<Placed>,
    order: Vec<u32>,
    /// Room for sorting: a bound and the number of its row.
    keyed: Vec<(u64, u32)>,
}

struct Row {
    id: SubscriptionId,
    /// Where its bounds end; they begin where those of the row before end.
    end: u32,
    exact: Option<Arc<Exact>>,
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
        self.rows.clear();
        self.bounds.clear();
        self.order.clear();
    }

    /// Adds a row with these bounds, in any order.
    pub(super) fn push(
        &mut self,
        id: SubscriptionId,
        bounds: impl IntoIterator<Item = Placed>,
        exact: Option<Arc<Exact>>,
    ) {
        let start = self.bounds.len();
        self.bounds.extend(bounds);
        self.bounds[start..].sort_unstable_by_key(|own| own.column);
        self.order.push(self.rows.len() as u32);
        self.rows.push(Row {
            id,
            end: self.bounds.len() as u32,
            exact,
        });
    }

    pub(super) fn len(&self) -> usize {
        self.rows.len()
    }

    pub(super) fn columns(&self) -> usize {
        self.columns
    }

    /// How many bounds all rows have.
    pub(super) fn bound_count(&self) -> usize {
        self.bounds.len()
    }

    pub(super) fn id(&self, row: usize) -> SubscriptionId {
        self.rows[self.order[row] as usize].id
    }

    #[inline]
    pub(super) fn bounds(&self, row: usize) -> &[Placed] {
        self.bounds_of(self.order[row])
    }

    #[inline]
    fn bounds_of(&self, number: u32) -> &[Placed] {
        let number = number as usize;
        let start = number.checked_sub(1).map_or(0, |one| self.rows[one].end);
        &self.bounds[start as usize..self.rows[number].end as usize]
    }

    pub(super) fn exact(&self, row: usize) -> Option<&Arc<Exact>> {
        self.rows[self.order[row] as usize].exact.as_ref()
    }

    /// Puts the rows of `range` in k-d order, in steps of whole blocks.
    ///
    /// Cost: O(n log n) in its bounds.
    pub(super) fn arrange(&mut self, range: Range<usize>) {
        if range.len() > BLOCK_ROWS {
            let whole = self.zones(range.clone());
            let widths = whole.each_ref().map(Zone::width);
            self.arrange_below(range, &whole, &widths);
        }
    }

    fn arrange_below(
        &mut self,
        range: Range<usize>,
        own: &[Zone; COLUMNS_MAX],
        widths: &[u64; COLUMNS_MAX],
    ) {
        let Some(column) = widest(&own[..self.columns], widths, range.len()) else {
            return;
        };
        let half = range.len().div_ceil(BLOCK_ROWS) / 2 * BLOCK_ROWS;
        self.key(range.clone(), column);
        self.keyed.select_nth_unstable(half);
        for (place, (_, number)) in self.order[range.clone()].iter_mut().zip(&self.keyed) {
            *place = *number;
        }
        let middle = range.start + half;
        for part in [range.start..middle, middle..range.end] {
            if part.len() > BLOCK_ROWS {
                let zones = self.zones(part.clone());
                self.arrange_below(part, &zones, widths);
            }
        }
    }

    /// Takes down the bounds of the rows of `range` on `column`.
    fn key(&mut self, range: Range<usize>, column: usize) {
        let mut keyed = core::mem::take(&mut self.keyed);
        keyed.clear();
        let numbers = self.order[range].iter();
        keyed.extend(numbers.map(|number| (bound_on(self.bounds_of(*number), column), *number)));
        self.keyed = keyed;
    }

    /// Parts all rows in two, as equal as their bounds allow, and returns how and where the second
    /// part begins; `None` when all bounds are the same. `widths` tells how wide the bounds of each
    /// column are spread among all rows that these are some of.
    pub(super) fn part(&mut self, widths: &[u64]) -> Option<(Cut, usize)> {
        let all = 0..self.len();
        let zones = self.zones(all.clone());
        let column = widest(&zones[..self.columns], widths, all.len())?;
        self.key(all, column);
        let keyed = &mut self.keyed;
        let middle = keyed.len() / 2;
        let (_, (median, _), _) = keyed.select_nth_unstable(middle);
        let median = *median;
        let bounds = || keyed.iter().map(|(bound, _)| *bound);
        let least = bounds().min()?;
        // Right above those that are the least: rows to come are told from them as well.
        let at = if median > least { median } else { median + 1 };
        let second = bounds().filter(|bound| *bound < at).count();
        let (mut low, mut high) = (0, second);
        for (bound, number) in keyed {
            let place = if *bound < at { &mut low } else { &mut high };
            self.order[*place] = *number;
            *place += 1;
        }
        Some((Cut { column, at }, second))
    }

    /// How the rows of `range` lie on each column.
    pub(super) fn zones(&self, range: Range<usize>) -> [Zone; COLUMNS_MAX] {
        let mut zones = [Zone::NONE; COLUMNS_MAX];
        let rows = range.len() as u32;
        for row in range {
            for Placed { column, least } in self.bounds(row) {
                let zone = &mut zones[usize::from(*column) % COLUMNS_MAX];
                zone.least_bound = zone.least_bound.min(*least);
                zone.greatest = zone.greatest.max(*least);
                zone.with += 1;
            }
        }
        for zone in &mut zones[..self.columns] {
            zone.without = rows - zone.with;
        }
        zones
    }
}

/// The column in which `rows` rows with these zones differ most, if they differ: first one that about
/// half of them have no bound on, else the one on which they spread widest, measured by `widths`.
fn widest(own: &[Zone], widths: &[u64], rows: usize) -> Option<usize> {
    let score = |(own, width): (&Zone, &u64)| match own.without as usize {
        0 => own.width() as f64 / (*width).max(1) as f64,
        without => 1.0 + without.min(rows - without) as f64,
    };
    let columns = own.iter().zip(widths).enumerate();
    let differ = columns.filter(|(_, (own, _))| own.least() < own.greatest);
    let scored = differ.map(|(column, zones)| (score(zones), column));
    let best = scored.max_by(|(one, _), (other, _)| one.total_cmp(other));
    best.map(|(_, column)| column)
}

/// How rows lie on one column.
#[derive(Clone, Copy)]
pub(super) struct Zone {
    /// The least bound there is.
    least_bound: u64,
    pub(super) greatest: u64,
    with: u32,
    without: u32,
}

impl Zone {
    const NONE: Self = Self {
        least_bound: u64::MAX,
        greatest: 0,
        with: 0,
        without: 0,
    };

    /// What every row has at least; 0 where some row has no bound.
    pub(super) fn least(&self) -> u64 {
        match self.without {
            0 => self.least_bound,
            _ => 0,
        }
    }

    /// How wide the bounds spread that there are.
    fn width(&self) -> u64 {
        self.greatest.saturating_sub(self.least_bound)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rows(bounds: &[[u64; 2]]) -> Rows {
        let mut rows = Rows::default();
        rows.begin(2);
        for (id, bounds) in bounds.iter().enumerate() {
            let placed = bounds.iter().zip(0..);
            let placed = placed.map(|(least, column)| Placed {
                column,
                least: *least,
            });
            let placed = placed.filter(|own| own.least != 0);
            rows.push(SubscriptionId(id as u32), placed, None);
        }
        rows
    }

    fn bounds(rows: &Rows, row: usize) -> [u64; 2] {
        [0, 1].map(|column| bound_on(rows.bounds(row), column))
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
                assert!(zone.greatest - zone.least() < 8, "{block}");
            }
        }
    }

    #[test]
    fn a_part_has_the_bounds_below_the_cut() {
        let mut rows = rows(&[[5, 1], [5, 9], [5, 2], [5, 9]]);

        let (cut, second) = rows.part(&[u64::MAX; 2]).unwrap();

        assert_eq!((cut, second), (Cut { column: 1, at: 9 }, 2));
        assert!((0..2).all(|row| bounds(&rows, row)[1] < 9));
        assert!((2..4).all(|row| bounds(&rows, row)[1] >= 9));
    }

    #[test]
    fn most_bounds_may_be_the_least_one() {
        let mut rows = rows(&[[1, 0], [1, 0], [1, 0], [7, 0]]);

        assert_eq!(
            rows.part(&[u64::MAX; 2]),
            Some((Cut { column: 0, at: 2 }, 3))
        );
    }

    #[test]
    fn rows_without_a_bound_are_parted_from_those_with_one() {
        let mut rows = rows(&[[1, 3], [1, 0], [9, 4], [2, 0]]);

        let (cut, second) = rows.part(&[u64::MAX; 2]).unwrap();

        assert_eq!((cut, second), (Cut { column: 1, at: 3 }, 2));
        assert!((0..2).all(|row| bounds(&rows, row)[1] == 0));
    }

    #[test]
    fn rows_are_parted_where_they_are_spread_widest_among_all() {
        let grid: Vec<[u64; 2]> = (0..64u64).map(|n| [1 + n, 1 + 10 * n]).collect();
        let mut rows = rows(&grid);

        let narrow_second = rows.part(&[64, 100_000]).unwrap();
        let narrow_first = rows.part(&[100_000, 640]).unwrap();

        assert_eq!((narrow_second.0.column, narrow_first.0.column), (0, 1));
    }

    #[test]
    fn bounds_in_any_order_come_in_order_of_column() {
        let mut rows = Rows::default();
        rows.begin(9);
        let bounds = [7, 2, 5].map(|column| Placed { column, least: 1 });
        rows.push(SubscriptionId(1), bounds, None);

        assert!(rows.bounds(0).is_sorted_by_key(|own| own.column));
    }

    #[test]
    fn equal_rows_have_no_parts() {
        assert_eq!(rows(&[[3, 4], [3, 4]]).part(&[u64::MAX; 2]), None);
        assert_eq!(rows(&[[0, 0], [0, 0]]).part(&[u64::MAX; 2]), None);
    }
}
