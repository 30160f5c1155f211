//! Which page has which number.
//!
//! Invariant: the number of a page stays while the page exists, wherever it moves within its group,
//! so that the places of its rows need not be touched.

use super::places::Places;
use super::rows::Rows;
use super::slab::Slab;

/// Where a page is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Home {
    pub(super) partition: u32,
    /// Its group in the partition, or [`FEW`].
    pub(super) group: u32,
    /// Its place in the group.
    pub(super) slot: u32,
}

/// Stands for a group where a partition has too few rows for one.
pub(super) const FEW: u32 = u32::MAX;

/// What laying rows needs beside the pages.
pub(super) struct Laying<'i> {
    pub(super) homes: &'i mut Slab<Home>,
    pub(super) places: &'i mut Places,
    /// Room for rows on their way from page to page.
    pub(super) rows: &'i mut Rows,
}
