//! What a header matched: runs and blocks of rows, of which the ids are read on demand.
//!
//! Invariant: each subscription that matched is in one run, one block or alone, once.

use alloc::vec::Vec;
use core::fmt;
use core::iter;

use super::SubscriptionId;
use super::attribute::AttributeId;
use super::column::Keys;
use super::group::Scanning;
use super::kernel::{BLOCK_ROWS, Ids, Job, Kernel, Lanes};

/// The subscriptions that a header matched, and the memory that finding them took; reuse it for
/// further headers.
#[derive(Clone, Default)]
pub struct Matches<'i> {
    pub(super) found: Found<'i>,
    pub(super) keys: Keys,
    /// The partitions that the header at hand meets.
    pub(super) met: Vec<u32>,
    /// The attributes that have keys.
    pub(super) filled: Vec<AttributeId>,
    /// What scanning takes.
    pub(super) scanning: Scanning,
}

/// Blocks of which no more than so many rows match on the average are not kept as such.
const SPARSE: usize = 4;

/// Where the ids of those that matched stand.
#[derive(Clone, Default)]
pub(super) struct Found<'i> {
    count: usize,
    alone: Vec<SubscriptionId>,
    blocks: Vec<(&'i Ids, u64)>,
    runs: Vec<&'i [Ids]>,
}

impl<'i> Found<'i> {
    pub(super) fn clear(&mut self) {
        self.count = 0;
        self.alone.clear();
        self.blocks.clear();
        self.runs.clear();
    }

    /// Those of `ids` that `rows` names.
    #[inline(always)]
    pub(super) fn several(&mut self, ids: &[SubscriptionId], rows: u64) {
        if rows == 0 {
            return;
        }
        let count = rows.count_ones() as usize;
        self.count += count;
        let used = self.alone.len();
        // Each is written, and the next one over it where it does not count.
        self.alone.resize(used + ids.len(), SubscriptionId(0));
        let (room, mut at) = (&mut self.alone[used..], 0);
        for (row, id) in ids.iter().enumerate() {
            room[at] = *id;
            at += (rows >> row & 1) as usize;
        }
        self.alone.truncate(used + count);
    }

    /// Those of `ids` that `rows` names.
    #[inline(always)]
    pub(super) fn block(&mut self, ids: &'i Ids, rows: u64) {
        if rows != 0 {
            self.count += rows.count_ones() as usize;
            self.blocks.push((ids, rows));
        }
    }

    /// Those that `rows` names, block by block.
    #[inline(always)]
    pub(super) fn blocks(&mut self, ids: &'i [Ids], rows: &[u64]) {
        let count: usize = rows.iter().map(|rows| rows.count_ones() as usize).sum();
        if count > SPARSE * rows.len() {
            for (ids, rows) in ids.iter().zip(rows) {
                self.block(ids, *rows);
            }
            return;
        }
        self.count += count;
        let used = self.alone.len();
        self.alone.resize(used + count + SPARSE, SubscriptionId(0));
        let mut room = &mut self.alone[used..];
        for (ids, rows) in ids.iter().zip(rows) {
            // So many are written whether there are or not: that costs less than to decide.
            let mut left = *rows;
            for place in &mut room[..SPARSE] {
                *place = SubscriptionId(ids.0[left.trailing_zeros() as usize % BLOCK_ROWS]);
                left &= left.wrapping_sub(1);
            }
            for (place, at) in room[SPARSE..].iter_mut().zip(bits(left)) {
                *place = SubscriptionId(ids.0[at]);
            }
            room = &mut room[rows.count_ones() as usize..];
        }
        self.alone.truncate(used + count);
    }

    /// All of them.
    #[inline(always)]
    pub(super) fn run(&mut self, ids: &'i [Ids]) {
        self.count += ids.len() * BLOCK_ROWS;
        self.runs.push(ids);
    }
}

impl<'i> Matches<'i> {
    /// Nothing matched yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// How many subscriptions matched.
    #[must_use]
    pub fn count(&self) -> usize {
        self.found.count
    }

    /// The ids of those that matched, each once, in no order to rely on.
    pub fn ids(&self) -> impl Iterator<Item = SubscriptionId> + '_ {
        let found = &self.found;
        let runs = found.runs.iter().flat_map(|run| run.iter());
        let runs = runs.map(|ids| (ids, u64::MAX));
        let blocks = runs.chain(found.blocks.iter().map(|(ids, rows)| (*ids, *rows)));
        let ids = blocks.flat_map(|(ids, rows)| bits(rows).map(|at| SubscriptionId(ids.0[at])));
        found.alone.iter().copied().chain(ids)
    }

    /// Sets `room` to the ids of those that matched, in no order to rely on.
    ///
    /// Faster than [`Self::ids`] where they are many. Cost: O(matches).
    pub fn copy_ids(&self, kernel: Kernel, room: &mut Vec<u32>) {
        room.clear();
        room.extend(self.found.alone.iter().map(|id| id.0));
        for ids in self.found.runs.iter().flat_map(|run| run.iter()) {
            room.extend_from_slice(&ids.0);
        }
        // Blocks are written whole, also those of which little counts.
        let copied = room.len();
        room.resize(self.count() + BLOCK_ROWS, 0);
        kernel.run(Copy {
            blocks: &self.found.blocks,
            room: &mut room[copied..],
        });
        room.truncate(self.count());
    }
}

struct Copy<'m, 'i> {
    blocks: &'m [(&'i Ids, u64)],
    room: &'m mut [u32],
}

impl Job for Copy<'_, '_> {
    type Output = ();

    #[inline(always)]
    fn run<L: Lanes>(self, lanes: L) {
        let mut room = self.room;
        for (ids, rows) in self.blocks {
            let next = room.first_chunk_mut().expect("a block of room is left");
            let count = lanes.compress(ids, *rows, next);
            room = &mut room[count..];
        }
    }
}

/// The numbers of the bits that are set.
fn bits(mask: u64) -> impl Iterator<Item = usize> {
    let mut left = mask;
    iter::from_fn(move || {
        let bit = left.trailing_zeros();
        left &= left.wrapping_sub(1);
        (bit < u64::BITS).then_some(bit as usize)
    })
}

impl fmt::Debug for Matches<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.ids()).finish()
    }
}
