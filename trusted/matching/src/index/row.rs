//! Rows: what is left to test of a subscription once its access key is met.
//!
//! Invariant: every value has a key, and every demand an interval of keys that holds each value it
//! admits. Absent attributes have a key that no interval holds, texts one key in common, numbers
//! keys that order as they do. So one comparison settles presence, type and range; only tests on
//! texts and single values remain.

use alloc::sync::Arc;
use alloc::vec::Vec;

use super::SubscriptionId;
use super::attribute::AttributeId;
use super::matches::Slots;
use super::plan::{Admits, Demand};
use crate::value::{Number, ValueRef};

/// The key of an absent attribute.
const ABSENT_KEY: u64 = 0;

/// The key of every text.
const TEXT_KEY: u64 = 1;

const _: () = assert!(
    TEXT_KEY < Number::KEY_MIN,
    "texts and numbers have different keys"
);

/// The key of a value.
#[inline]
pub(super) fn key_of(value: ValueRef<'_>) -> u64 {
    match value {
        ValueRef::Number(number) => number.order_key(),
        ValueRef::Text(_) => TEXT_KEY,
    }
}

/// The keys from `low` to `high`, both included; empty when `low` is greater.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Interval {
    pub(super) low: u64,
    pub(super) high: u64,
}

impl Interval {
    /// Any value.
    pub(super) const PRESENT: Self = Self {
        low: TEXT_KEY,
        high: u64::MAX,
    };
    /// Any text.
    pub(super) const TEXT: Self = Self {
        low: TEXT_KEY,
        high: TEXT_KEY,
    };
    /// Any number.
    pub(super) const NUMBER: Self = Self {
        low: Number::KEY_MIN,
        high: Number::KEY_MAX,
    };

    pub(super) fn intersect(self, other: Self) -> Self {
        Self {
            low: self.low.max(other.low),
            high: self.high.min(other.high),
        }
    }

    pub(super) fn is_empty(self) -> bool {
        self.low > self.high
    }

    #[inline]
    fn holds(self, key: u64) -> bool {
        (self.low <= key) & (key <= self.high)
    }
}

/// What a header has for an attribute.
#[derive(Clone, Copy)]
pub(super) struct Slot {
    pub(super) key: u64,
    /// Where the value stands in the header.
    pub(super) position: usize,
}

impl Slot {
    pub(super) const ABSENT: Self = Self {
        key: ABSENT_KEY,
        position: 0,
    };
    /// For [`AttributeId::ALWAYS`], whose value nobody asks for.
    pub(super) const ALWAYS: Self = Self {
        key: TEXT_KEY,
        position: 0,
    };
}

/// The header at hand.
pub(super) struct Probe<'p, K> {
    pub(super) slots: &'p Slots,
    pub(super) values: &'p [(K, ValueRef<'p>)],
}

/// A subscription without its access key.
#[derive(Clone)]
pub(super) struct Row {
    id: SubscriptionId,
    attribute: AttributeId,
    interval: Interval,
    /// Shared by the rows of one subscription.
    more: Option<Arc<More>>,
}

/// What the few rows need that have more than one interval.
struct More {
    intervals: Vec<(AttributeId, Interval)>,
    admits: Vec<(AttributeId, Admits)>,
}

impl Row {
    pub(super) fn new<'d>(
        id: SubscriptionId,
        demands: impl Iterator<Item = (AttributeId, &'d Demand<'d>)>,
    ) -> Self {
        let mut first = None;
        let mut more = More {
            intervals: Vec::new(),
            admits: Vec::new(),
        };
        for (attribute, demand) in demands {
            match first {
                None => first = Some((attribute, demand.interval)),
                Some(_) => more.intervals.push((attribute, demand.interval)),
            }
            if !demand.interval_suffices() {
                more.admits.push((attribute, demand.admits.clone()));
            }
        }
        let (attribute, interval) = first.unwrap_or((AttributeId::ALWAYS, Interval::PRESENT));
        let has_more = !more.intervals.is_empty() || !more.admits.is_empty();
        Self {
            id,
            attribute,
            interval,
            more: has_more.then(|| Arc::new(more)),
        }
    }

    #[inline]
    fn matches<K>(&self, probe: &Probe<'_, K>) -> bool {
        self.interval.holds(probe.slots.get(self.attribute).key)
            && self.more.as_ref().is_none_or(|more| more.matches(probe))
    }
}

impl More {
    fn matches<K>(&self, probe: &Probe<'_, K>) -> bool {
        let holds = |(attribute, interval): &(AttributeId, Interval)| {
            interval.holds(probe.slots.get(*attribute).key)
        };
        // Its interval held, so the attribute is there and its position is true.
        let value = |attribute: AttributeId| probe.values[probe.slots.get(attribute).position].1;
        self.intervals.iter().all(holds)
            && self
                .admits
                .iter()
                .all(|(attribute, admits)| admits.holds(value(*attribute)))
    }
}

/// Rows in one place.
#[derive(Clone, Default)]
pub(super) struct Rows(Vec<Row>);

impl Rows {
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn insert(&mut self, row: Row) {
        self.0.push(row);
    }

    /// Removes the row of `id`, which is here.
    pub(super) fn remove(&mut self, id: SubscriptionId) {
        let position = self.0.iter().position(|row| row.id == id);
        self.0
            .swap_remove(position.expect("a row lies where its access key says"));
    }

    /// Appends the ids of the rows that match. Cost: O(rows).
    #[inline]
    pub(super) fn scan<K>(&self, probe: &Probe<'_, K>, ids: &mut Vec<SubscriptionId>) {
        ids.extend(
            self.0
                .iter()
                .filter(|row| row.matches(probe))
                .map(|row| row.id),
        );
    }
}
