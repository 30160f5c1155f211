//! What the bounds of a row cannot say of its subscription.
//!
//! Invariant: together with the row's bounds it is satisfied by exactly the headers that satisfy
//! the subscription, given that its access key is met.

use alloc::boxed::Box;

use super::attribute::AttributeId;
use super::column::Keys;
use super::plan::{Admits, Range};
use crate::value::ValueRef;

/// Tests of single values.
pub(super) struct Exact(pub(super) Box<[Test]>);

/// What one attribute must be: in `range`, and admitted.
pub(super) struct Test {
    pub(super) attribute: AttributeId,
    pub(super) range: Range,
    pub(super) admits: Admits,
}

/// The header at hand.
pub(super) struct Probe<'p, K> {
    pub(super) keys: &'p Keys,
    pub(super) values: &'p [(K, ValueRef<'p>)],
}

impl<K> Clone for Probe<'_, K> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<K> Copy for Probe<'_, K> {}

impl Exact {
    /// Whether the header satisfies every test.
    pub(super) fn holds<K>(&self, probe: Probe<'_, K>) -> bool {
        self.0.iter().all(|test| {
            // An absent attribute is in no range, so the position of one that passes is true.
            test.range.holds(test.attribute, probe.keys) && {
                let value = probe.values[probe.keys.position(test.attribute)].1;
                test.admits.holds(value)
            }
        })
    }

    /// The attributes that it tests.
    pub(super) fn attributes(&self) -> impl Iterator<Item = AttributeId> + '_ {
        self.0.iter().map(|test| test.attribute)
    }
}
