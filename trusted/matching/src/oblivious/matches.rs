//! What an oblivious matcher found.
//!
//! Invariant: as many slots for each header as were asked for, whatever matched.

use alloc::vec::Vec;

use super::batch::{BATCH, Batch};
use super::compact::Compact;
use super::trace::Trace;
use crate::index::{Kernel, SubscriptionId};

/// In a slot that no match took; no subscription has this id.
pub const NO_SUBSCRIPTION: SubscriptionId = SubscriptionId(u32::MAX);

/// The answers to a row of headers, reusable for the next.
#[derive(Default)]
pub struct ObliviousMatches {
    bound: usize,
    ids: Vec<SubscriptionId>,
    counts: Vec<usize>,
    pub(super) batch: Batch,
    /// For each header of the batch a bit for each row that it matches, block by block.
    pub(super) matched: [Vec<u64>; BATCH],
    compact: Compact,
}

/// What one header matched.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Padded<'m> {
    /// As many as were asked for: first the ids that matched, then [`NO_SUBSCRIPTION`].
    pub slots: &'m [SubscriptionId],
    /// How many subscriptions matched, also where they are more than the slots. Secret.
    pub count: usize,
}

impl<'m> Padded<'m> {
    /// Whether more matched than there are slots, so that some are not in them.
    #[must_use]
    pub fn truncated(&self) -> bool {
        self.count > self.slots.len()
    }

    /// The ids that matched and have a slot. Whoever walks them shows how many they are.
    pub fn ids(&self) -> impl Iterator<Item = SubscriptionId> + use<'m> {
        self.slots
            .iter()
            .copied()
            .filter(|id| *id != NO_SUBSCRIPTION)
    }
}

impl ObliviousMatches {
    /// Without answers.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// The answers, in the order of the headers.
    pub fn answers(&self) -> impl ExactSizeIterator<Item = Padded<'_>> {
        self.counts
            .iter()
            .enumerate()
            .map(|(header, count)| Padded {
                slots: &self.ids[header * self.bound..][..self.bound],
                count: *count,
            })
    }

    pub(super) fn begin(&mut self, bound: usize) {
        self.bound = bound;
        self.ids.clear();
        self.counts.clear();
    }

    /// Writes out the answer to a header of the batch.
    pub(super) fn write_out(&mut self, trace: &mut impl Trace, kernel: Kernel, header: usize) {
        let matched = &self.matched[header];
        let (bound, ids) = (self.bound, &mut self.ids);
        self.counts
            .push(self.compact.write(trace, kernel, matched, bound, ids));
    }
}
