//! Rows with one access key: a value of an attribute, or the attribute.
//!
//! Invariant: a partition has either a few rows as they are or groups of pages, and goes with its
//! last row.

use alloc::sync::Arc;
use alloc::vec::Vec;

use super::SubscriptionId;
use super::attribute::AttributeId;
use super::column::Column;
use super::exact::{Exact, Probe};
use super::few::Few;
use super::group::{Group, NewRow, Scanning};
use super::homes::{FEW, Home, Laying};
use super::kernel::Lanes;
use super::matches::Found;
use crate::value::Value;

/// Groups that are looked at for one that takes a row, the last ones.
const GROUPS_TRIED: usize = 16;

/// The rows that only headers with `value` for `attribute` meet, or all that have the attribute.
#[derive(Clone)]
pub(super) struct Partition {
    pub(super) attribute: AttributeId,
    pub(super) value: Option<Value>,
    /// The number of its page of few rows.
    page: u32,
    rows: usize,
    few: Arc<Few>,
    groups: Vec<Arc<Group>>,
}

/// What a removed row had: the columns of its bounds, and its exact tests.
pub(super) struct Removed {
    pub(super) columns: Vec<Column>,
    pub(super) exact: Option<Arc<Exact>>,
}

impl Partition {
    /// Without rows; its rows will be on the page of this number while they are few.
    pub(super) fn new(attribute: AttributeId, value: Option<Value>, page: u32) -> Self {
        Self {
            attribute,
            value,
            page,
            rows: 0,
            few: Arc::default(),
            groups: Vec::new(),
        }
    }

    /// Its number of rows.
    pub(super) fn len(&self) -> usize {
        self.rows
    }

    /// The number of its page of few rows.
    pub(super) fn page(&self) -> u32 {
        self.page
    }

    /// Lays a row in this partition, whose number is given; returns the number of the row's page.
    pub(super) fn insert(
        &mut self,
        row: NewRow<'_>,
        laying: &mut Laying<'_>,
        partition: u32,
    ) -> u32 {
        self.rows += 1;
        if self.groups.is_empty() && Arc::make_mut(&mut self.few).push(&row) {
            return self.page;
        }
        let few = core::mem::take(&mut self.few);
        for few in few.all() {
            let page = self.lay(&few, laying, partition);
            laying.places.moved(few.id, self.page, page);
        }
        self.lay(&row, laying, partition)
    }

    /// Lays a row in the group that it fits best.
    fn lay(&mut self, row: &NewRow<'_>, laying: &mut Laying<'_>, partition: u32) -> u32 {
        let tried = self.groups.iter().enumerate().rev().take(GROUPS_TRIED);
        let best = tried
            .filter(|(_, group)| group.takes(row.bounds))
            .min_by_key(|(_, group)| group.misfit(row.bounds));
        let home = |group: usize| Home {
            partition,
            group: group as u32,
            slot: 0,
        };
        match best.map(|(at, _)| at) {
            Some(at) => Arc::make_mut(&mut self.groups[at]).insert(row, laying, home(at)),
            None => {
                let is_sieved = self.value.is_none();
                let home = home(self.groups.len());
                let (group, page) = Group::new(is_sieved, row, laying, home);
                self.groups.push(Arc::new(group));
                page
            }
        }
    }

    /// The row of `id`, or one of them, on the page at `home`.
    #[inline(always)]
    pub(super) fn find<L: Lanes>(&self, lanes: L, home: Home, id: SubscriptionId) -> Option<u16> {
        match home.group {
            FEW => self.few.find(id),
            group => self.groups[group as usize].find(lanes, home.slot as usize, id),
        }
    }

    /// Removes the row at this place of the page at `home`.
    pub(super) fn remove(&mut self, home: Home, row: u16, laying: &mut Laying<'_>) -> Removed {
        self.rows -= 1;
        if home.group == FEW {
            let (bounds, exact) = Arc::make_mut(&mut self.few).remove(row.into());
            return Removed {
                columns: bounds.iter().map(|bound| bound.column).collect(),
                exact,
            };
        }
        let at = home.group as usize;
        let group = Arc::make_mut(&mut self.groups[at]);
        let (columns, exact) = group.remove(home.slot as usize, row, laying, home);
        let columns = (0..u64::BITS as usize).filter(|column| columns >> column & 1 == 1);
        let columns = columns.map(|column| group.column(column)).collect();
        if group.is_empty() {
            self.groups.swap_remove(at);
            if let Some(moved) = self.groups.get(at) {
                moved.renumber(home.group, laying);
            }
        }
        Removed { columns, exact }
    }

    /// Appends the rows that the header at hand satisfies, given that it meets the access key.
    #[inline(always)]
    pub(super) fn scan<'p, L: Lanes, K>(
        &'p self,
        lanes: L,
        probe: Probe<'_, K>,
        scanning: &mut Scanning,
        found: &mut Found<'p>,
    ) {
        if !self.few.is_empty() {
            self.few.scan(probe, found);
        }
        for group in &self.groups {
            group.scan(lanes, probe, scanning, found);
        }
    }
}
