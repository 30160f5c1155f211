//! A page: the rows that are found, changed and copied together, in one of two forms.
//!
//! Invariant: both forms give the same answers. [`Planes`] are smaller, a [`Sieve`] looks at less of
//! each row: where a header meets rows by a value of its own they are few and many partitions share
//! the caches; where it meets them whatever it says they are many.

use alloc::sync::Arc;
use alloc::vec::Vec;
use core::ops::Range;

use super::SubscriptionId;
use super::exact::{Exact, Probe};
use super::kernel::{BLOCK_ROWS, Lanes};
use super::matches::Found;
use super::planes::{PLANES_ROWS, Planes};
use super::rows::{Placed, Rows};
use super::sieve::{Dictionary, SIEVE_ROWS, Sieve, Sighted};

/// Columns of a page at most.
pub(super) const COLUMNS_MAX: usize = 64;

/// Bounds of a page at which it is split before it has so many rows: building it again takes time for
/// each.
const SPLIT_BOUNDS: usize = 16 << 10;

/// Rows of a sieve times columns at which it is split, for the same reason.
const SPLIT_PLACES: usize = 48 << 10;

/// A page with fewer live rows than these, beside others, gives them to its neighbours.
pub(super) const DISSOLVE_ROWS: usize = BLOCK_ROWS;

/// How the rows of a page lie.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    /// As [`Planes`].
    Planes,
    /// As a [`Sieve`] behind bitmaps.
    Bits,
    /// As a sieve behind bytes.
    Bytes,
}

/// Rows in one of the forms.
#[derive(Clone)]
pub(super) enum Page {
    Planes(Planes),
    Sieve(Sieve),
}

/// Why a row was not appended: the page must be built again, with it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct NoRoom;

/// What a row had.
pub(super) struct Removed {
    /// A bit for each column of the group on which it had a bound.
    pub(super) columns: u64,
    pub(super) exact: Option<Arc<Exact>>,
}

impl Form {
    /// Whether all of these rows are too many for one page, with room for more.
    pub(super) fn is_crowded(self, rows: &Rows) -> bool {
        let places = rows.len() * rows.columns();
        match self {
            // A row takes a byte of every column, also of those that it has no bound on.
            Self::Planes => rows.len() > nearly(PLANES_ROWS) || places > SPLIT_BOUNDS,
            // It takes some bits of each axis, or a byte of each column.
            Self::Bits | Self::Bytes => {
                rows.len() > nearly(SIEVE_ROWS)
                    || rows.bound_count() > SPLIT_BOUNDS
                    || places > SPLIT_PLACES
            }
        }
    }
}

impl Page {
    /// A page of the rows `range` of `rows`, in k-d order, on planes.
    pub(super) fn planes(rows: &mut Rows, range: Range<usize>) -> Self {
        rows.arrange(range.clone());
        Self::Planes(Planes::build(rows, range))
    }

    /// The same as a sieve, behind bitmaps or behind bytes; `None` if the dictionary does not serve these
    /// rows.
    pub(super) fn sieve(
        rows: &mut Rows,
        range: Range<usize>,
        dictionary: &Arc<Dictionary>,
        by_bytes: bool,
    ) -> Option<Self> {
        rows.arrange(range.clone());
        Sieve::build(rows, range, dictionary, by_bytes).map(Self::Sieve)
    }

    /// How its rows lie.
    pub(super) fn form(&self) -> Form {
        match self {
            Self::Planes(_) => Form::Planes,
            Self::Sieve(sieve) if sieve.is_by_bytes() => Form::Bytes,
            Self::Sieve(_) => Form::Bits,
        }
    }

    /// Rows that are not removed.
    pub(super) fn live(&self) -> usize {
        match self {
            Self::Planes(planes) => planes.live(),
            Self::Sieve(sieve) => sieve.live(),
        }
    }

    /// Whether it holds more dead rows than live ones, and enough to be worth a rebuild.
    pub(super) fn is_sparse(&self) -> bool {
        let dead = match self {
            Self::Planes(planes) => planes.dead(),
            Self::Sieve(sieve) => sieve.dead(),
        };
        dead > BLOCK_ROWS.max(self.live())
    }

    /// Whether no row can be appended.
    pub(super) fn is_full(&self) -> bool {
        match self {
            Self::Planes(planes) => planes.is_full(),
            Self::Sieve(sieve) => sieve.is_full(),
        }
    }

    /// Appends a row.
    pub(super) fn append(
        &mut self,
        id: SubscriptionId,
        bounds: &[Placed],
        exact: Option<&Arc<Exact>>,
    ) -> Result<(), NoRoom> {
        match self {
            Self::Planes(planes) => planes.append(id, bounds, exact),
            Self::Sieve(sieve) => sieve.append(id, bounds, exact),
        }
    }

    /// Removes a live row.
    pub(super) fn remove(&mut self, row: u16) -> Removed {
        match self {
            Self::Planes(planes) => planes.remove(row),
            Self::Sieve(sieve) => sieve.remove(row),
        }
    }

    /// Appends its live rows to `rows`.
    pub(super) fn drain_into(&self, rows: &mut Rows) {
        match self {
            Self::Planes(planes) => planes.drain_into(rows),
            Self::Sieve(sieve) => sieve.drain_into(rows),
        }
    }

    /// The row of `id`, or one of them.
    #[inline(always)]
    pub(super) fn find<L: Lanes>(&self, lanes: L, id: SubscriptionId) -> Option<u16> {
        let (ids, live) = match self {
            Self::Planes(planes) => planes.ids(),
            Self::Sieve(sieve) => sieve.ids(),
        };
        let blocks = ids.iter().zip(live).enumerate();
        let rows = blocks.map(|(block, (ids, live))| (block, lanes.find(ids, id.0) & live));
        let mut rows = rows.filter(|(_, rows)| *rows != 0);
        rows.next()
            .map(|(block, rows)| (block * BLOCK_ROWS) as u16 + rows.trailing_zeros() as u16)
    }

    /// Asks for what a scan looks at first.
    #[inline(always)]
    pub(super) fn prefetch<L: Lanes>(&self, lanes: L) {
        match self {
            Self::Planes(planes) => planes.prefetch(lanes),
            Self::Sieve(sieve) => sieve.prefetch(lanes),
        }
    }

    /// Appends every live row, in which the header reaches every bound already.
    #[inline(always)]
    pub(super) fn take_all<'p, K>(&'p self, probe: Probe<'_, K>, found: &mut Found<'p>) {
        match self {
            Self::Planes(planes) => planes.take_all(probe, found),
            Self::Sieve(sieve) => sieve.take_all(probe, found),
        }
    }

    /// Appends the live rows of which every bound is reached by the key of its column.
    #[inline(always)]
    pub(super) fn scan<'p, L: Lanes, K>(
        &'p self,
        lanes: L,
        sighted: &mut Sighted,
        keys: &[u64; COLUMNS_MAX],
        probe: Probe<'_, K>,
        found: &mut Found<'p>,
    ) {
        match self {
            Self::Planes(planes) => planes.scan(lanes, keys, probe, found),
            Self::Sieve(sieve) => sieve.scan(lanes, sighted, keys, probe, found),
        }
    }
}

/// So many rows that there is room for an eighth more.
const fn nearly(most: usize) -> usize {
    most - most / 8
}

/// The block of a row, and its place there.
pub(super) fn split(row: u16) -> (usize, usize) {
    (usize::from(row) / BLOCK_ROWS, usize::from(row) % BLOCK_ROWS)
}

/// Rows with exact tests, by number, ascending.
#[derive(Clone, Default)]
pub(super) struct ExactRows(Vec<(u16, Arc<Exact>)>);

impl ExactRows {
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Adds those of a row behind all others.
    pub(super) fn push(&mut self, row: u16, exact: &Arc<Exact>) {
        self.0.push((row, Arc::clone(exact)));
    }

    pub(super) fn remove(&mut self, row: u16) -> Option<Arc<Exact>> {
        let place = self.0.binary_search_by_key(&row, |(row, _)| *row);
        place.ok().map(|place| self.0.remove(place).1)
    }

    /// Those of the rows in turn, for one who asks in order.
    pub(super) fn in_order(&self) -> impl FnMut(u16) -> Option<Arc<Exact>> + '_ {
        let mut left = self.0.iter().peekable();
        move |row| {
            while left.next_if(|(own, _)| *own < row).is_some() {}
            let own = left.next_if(|(own, _)| *own == row);
            own.map(|(_, exact)| Arc::clone(exact))
        }
    }

    /// Those of `rows` of a block, which all have exact tests, that fail them.
    #[inline(never)]
    pub(super) fn failing<K>(&self, block: usize, rows: u64, probe: Probe<'_, K>) -> u64 {
        let first = (block * BLOCK_ROWS) as u16;
        let from = self.0.partition_point(|(row, _)| *row < first);
        let own = self.0[from..]
            .iter()
            .take_while(|(row, _)| *row - first < BLOCK_ROWS as u16);
        own.filter(|(row, _)| rows >> (row - first) & 1 == 1)
            .filter(|(_, exact)| !exact.holds(probe))
            .fold(0, |failing, (row, _)| failing | 1 << (row - first))
    }
}
