//! A few rows, one after another.
//!
//! Invariant: at most [`FEW_MAX`] rows with at most [`BOUNDS_MAX`] bounds: up to about there looking at
//! every bound takes less time than finding out which ones to look at. Of [`ALWAYS_FEW`] rows bounds
//! may be more: a page of so few would take a line for each column.

use alloc::sync::Arc;
use alloc::vec::Vec;
use core::ops::Range;

use super::SubscriptionId;
use super::column::Bound;
use super::exact::{Exact, Probe};
use super::group::NewRow;
use super::matches::Found;

/// Rows at most.
const FEW_MAX: usize = 64;

/// Bounds of all rows at most, if they are more than [`ALWAYS_FEW`].
const BOUNDS_MAX: usize = 96;

/// Rows of any number of bounds.
const ALWAYS_FEW: usize = 16;

/// Rows without any arrangement.
#[derive(Clone, Default)]
pub(super) struct Few {
    ids: Vec<SubscriptionId>,
    /// Row by row.
    bounds: Vec<Bound>,
    /// By bound, its row.
    rows: Vec<u8>,
    /// By row; empty where no row has any.
    exact: Vec<Option<Arc<Exact>>>,
}

impl Few {
    /// Adds a row, if there is room for it.
    pub(super) fn push(&mut self, row: &NewRow<'_>) -> bool {
        let bounds = self.bounds.len() + row.bounds.len();
        let rows = self.ids.len() + 1;
        if rows > FEW_MAX || rows > ALWAYS_FEW && bounds > BOUNDS_MAX {
            return false;
        }
        if row.exact.is_some() || !self.exact.is_empty() {
            self.exact.resize(self.ids.len(), None);
            self.exact.push(row.exact.clone());
        }
        self.rows.resize(bounds, self.ids.len() as u8);
        self.bounds.extend_from_slice(row.bounds);
        self.ids.push(row.id);
        true
    }

    /// Whether there is none.
    #[inline(always)]
    pub(super) fn is_empty(&self) -> bool {
        self.ids.is_empty()
    }

    /// The rows, in order.
    pub(super) fn all(&self) -> impl Iterator<Item = NewRow<'_>> {
        (0..self.ids.len()).map(|row| NewRow {
            id: self.ids[row],
            bounds: self.bounds_of(row),
            exact: self.exact.get(row).cloned().flatten(),
        })
    }

    fn range(&self, row: usize) -> Range<usize> {
        let start = self.rows.partition_point(|own| usize::from(*own) < row);
        let count = self.rows[start..].partition_point(|own| usize::from(*own) == row);
        start..start + count
    }

    fn bounds_of(&self, row: usize) -> &[Bound] {
        &self.bounds[self.range(row)]
    }

    /// The row of `id`, or one of them.
    pub(super) fn find(&self, id: SubscriptionId) -> Option<u16> {
        let row = self.ids.iter().position(|own| *own == id)?;
        Some(row as u16)
    }

    /// Removes a row; returns what it had.
    pub(super) fn remove(&mut self, row: usize) -> (Vec<Bound>, Option<Arc<Exact>>) {
        let range = self.range(row);
        let bounds: Vec<Bound> = self.bounds.drain(range.clone()).collect();
        self.rows.drain(range.clone());
        for own in &mut self.rows[range.start..] {
            *own -= 1;
        }
        self.ids.remove(row);
        let exact = (row < self.exact.len()).then(|| self.exact.remove(row));
        (bounds, exact.flatten())
    }

    /// Appends the rows that the header at hand satisfies.
    #[inline(always)]
    pub(super) fn scan<K>(&self, probe: Probe<'_, K>, found: &mut Found<'_>) {
        let mut failing = 0u64;
        for (bound, row) in self.bounds.iter().zip(&self.rows) {
            let fails = probe.keys.get(bound.column) < bound.least;
            failing |= u64::from(fails) << (row % FEW_MAX as u8);
        }
        let mut rows = !failing & (u64::MAX >> (FEW_MAX - self.ids.len()));
        if !self.exact.is_empty() {
            rows &= !self.failing(rows, probe);
        }
        found.several(&self.ids, rows);
    }

    /// Those of `rows` that fail their exact tests.
    #[inline(never)]
    fn failing<K>(&self, rows: u64, probe: Probe<'_, K>) -> u64 {
        let exact = self.exact.iter().enumerate();
        let asked = exact.filter(|(row, _)| rows >> row & 1 == 1);
        let failing =
            asked.filter(|(_, exact)| exact.as_ref().is_some_and(|own| !own.holds(probe)));
        failing.fold(0, |failing, (row, _)| failing | 1 << row)
    }
}
