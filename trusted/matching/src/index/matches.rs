//! What a header matched.
//!
//! Invariant: between two calls every slot is empty, so one [`Matches`] may go from index to index.

use alloc::vec::Vec;
use core::fmt;

use super::SubscriptionId;
use super::attribute::AttributeId;
use super::row::{Slot, key_of};
use crate::value::ValueRef;

/// The subscriptions that a header matched, and the memory that finding them took; reuse it.
#[derive(Clone, Default)]
pub struct Matches {
    ids: Vec<SubscriptionId>,
    slots: Slots,
}

impl Matches {
    /// Nothing matched yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// How many subscriptions matched.
    #[must_use]
    pub fn count(&self) -> usize {
        self.ids.len()
    }

    /// The ids of those that matched, each once, in no order to rely on.
    pub fn ids(&self) -> impl Iterator<Item = SubscriptionId> + '_ {
        self.ids.iter().copied()
    }

    /// Forgets the ids and makes a slot for each of `attributes`.
    pub(super) fn begin(&mut self, attributes: usize) -> (&mut Vec<SubscriptionId>, &mut Slots) {
        self.ids.clear();
        if self.slots.0.len() < attributes {
            self.slots.0.resize(attributes, Slot::ABSENT);
        }
        self.slots.0[AttributeId::ALWAYS.position()] = Slot::ALWAYS;
        (&mut self.ids, &mut self.slots)
    }
}

impl fmt::Debug for Matches {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(&self.ids).finish()
    }
}

/// For each attribute of an index, what the header at hand has there.
#[derive(Clone, Default)]
pub(super) struct Slots(Vec<Slot>);

impl Slots {
    pub(super) fn fill(&mut self, attribute: AttributeId, position: usize, value: ValueRef<'_>) {
        self.0[attribute.position()] = Slot {
            key: key_of(value),
            position,
        };
    }

    pub(super) fn empty(&mut self, attribute: AttributeId) {
        self.0[attribute.position()] = Slot::ABSENT;
    }

    #[inline]
    pub(super) fn get(&self, attribute: AttributeId) -> Slot {
        self.0[attribute.position()]
    }
}
