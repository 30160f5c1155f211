//! A few rows, one after another.
//!
//! Invariant: at most [`FEW_MAX`] rows with at most [`BOUNDS_MAX`] bounds: up to about there looking at
//! every bound takes less time than finding out which ones to look at.

use alloc::sync::Arc;
use alloc::vec::Vec;

use super::SubscriptionId;
use super::column::Bound;
use super::exact::{Exact, Probe};
use super::group::NewRow;
use super::matches::Found;

/// Rows at most.
const FEW_MAX: usize = 32;

/// Bounds of all rows at most; as many as one row may have.
const BOUNDS_MAX: usize = 64;

/// Rows without any arrangement.
#[derive(Clone, Default)]
pub(super) struct Few {
    ids: Vec<SubscriptionId>,
    /// By row, where its bounds end.
    ends: Vec<u8>,
    bounds: Vec<Bound>,
    /// By row; empty where no row has any.
    exact: Vec<Option<Arc<Exact>>>,
}

impl Few {
    /// Adds a row, if there is room for it.
    pub(super) fn push(&mut self, row: &NewRow<'_>) -> bool {
        let bounds = self.bounds.len() + row.bounds.len();
        if self.ids.len() == FEW_MAX || bounds > BOUNDS_MAX {
            return false;
        }
        if row.exact.is_some() || !self.exact.is_empty() {
            self.exact.resize(self.ids.len(), None);
            self.exact.push(row.exact.clone());
        }
        self.ids.push(row.id);
        self.bounds.extend_from_slice(row.bounds);
        self.ends.push(self.bounds.len() as u8);
        true
    }

    /// The rows, in order.
    pub(super) fn rows(&self) -> impl Iterator<Item = NewRow<'_>> {
        (0..self.ids.len()).map(|row| NewRow {
            id: self.ids[row],
            bounds: self.bounds_of(row),
            exact: self.exact.get(row).cloned().flatten(),
        })
    }

    fn start(&self, row: usize) -> usize {
        row.checked_sub(1)
            .map_or(0, |before| self.ends[before].into())
    }

    fn bounds_of(&self, row: usize) -> &[Bound] {
        &self.bounds[self.start(row)..self.ends[row].into()]
    }

    /// The row of `id`, or one of them.
    pub(super) fn find(&self, id: SubscriptionId) -> Option<u16> {
        let row = self.ids.iter().position(|own| *own == id)?;
        Some(row as u16)
    }

    /// Removes a row; returns what it had.
    pub(super) fn remove(&mut self, row: usize) -> (Vec<Bound>, Option<Arc<Exact>>) {
        let range = self.start(row)..self.ends[row].into();
        let bounds: Vec<Bound> = self.bounds.drain(range).collect();
        self.ids.remove(row);
        self.ends.remove(row);
        for end in &mut self.ends[row..] {
            *end -= bounds.len() as u8;
        }
        let exact = (row < self.exact.len()).then(|| self.exact.remove(row));
        (bounds, exact.flatten())
    }

    /// Appends the rows that the header at hand satisfies.
    #[inline(always)]
    pub(super) fn scan<K>(&self, probe: Probe<'_, K>, found: &mut Found<'_>) {
        let (mut rows, mut bounds) = (0u32, &self.bounds[..]);
        let mut start = 0;
        for (row, end) in self.ends.iter().enumerate() {
            let (own, others) = bounds.split_at(usize::from(end - start));
            (bounds, start) = (others, *end);
            let reached = |bound: &Bound| bound.least <= probe.keys.get(bound.column);
            let all = own.iter().fold(true, |all, bound| all & reached(bound));
            rows |= u32::from(all) << row;
        }
        if !self.exact.is_empty() {
            rows &= !self.failing(rows, probe);
        }
        found.several(&self.ids, rows);
    }

    /// Those of `rows` that fail their exact tests.
    #[inline(never)]
    fn failing<K>(&self, rows: u32, probe: Probe<'_, K>) -> u32 {
        let exact = self.exact.iter().enumerate();
        let asked = exact.filter(|(row, _)| rows >> row & 1 == 1);
        let failing =
            asked.filter(|(_, exact)| exact.as_ref().is_some_and(|own| !own.holds(probe)));
        failing.fold(0, |failing, (row, _)| failing | 1 << row)
    }
}
