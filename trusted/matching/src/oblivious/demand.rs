//! Subscriptions as intervals between cuts.
//!
//! Invariant: an attribute's constraints become intervals that do not meet, and that together hold
//! the keys of exactly the values that satisfy all of them. A header names an attribute once, so it
//! lies in one interval of an attribute or in none: a subscription is satisfied exactly when the
//! header's values lie in as many intervals as the subscription names attributes.

use alloc::vec::Vec;

use super::key::{Keys, Side, text_words};
use crate::name::Name;
use crate::subscription::{Predicate, Subscription};
use crate::value::{Value, ValueRef};

/// The keys between two cuts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Interval {
    pub(super) low: Vec<u64>,
    pub(super) high: Vec<u64>,
}

/// An interval of the values of an attribute, in no section yet.
pub(super) struct Demand<'s> {
    pub(super) name: &'s Name,
    pub(super) interval: Interval,
}

/// What a row must hold for a subscription.
#[derive(Default)]
pub(super) struct Demands<'s> {
    /// Of all attributes.
    pub(super) intervals: Vec<Demand<'s>>,
    /// How many attributes; `None` when no header can satisfy the subscription.
    pub(super) attributes: Option<u32>,
}

impl<'s> Demands<'s> {
    /// Normalises `subscription`, whose texts fit `value_words`.
    pub(super) fn new(value_words: usize, subscription: &'s Subscription) -> Self {
        let keys = Keys {
            section: 0,
            value_words,
        };
        let mut by_name: Vec<(&Name, Vec<Interval>)> = Vec::new();
        for constraint in subscription.constraints() {
            let name = constraint.name();
            let admitted = intervals(keys, constraint.predicate());
            match by_name.iter_mut().find(|(own, _)| *own == name) {
                Some((_, own)) => *own = intersect(own, &admitted),
                None => by_name.push((name, admitted)),
            }
        }
        if by_name.iter().any(|(_, intervals)| intervals.is_empty()) {
            return Self::default();
        }
        let attributes = u32::try_from(by_name.len()).ok();
        let of_name = |(name, own): (&'s Name, Vec<Interval>)| {
            own.into_iter()
                .map(move |interval| Demand { name, interval })
        };
        Self {
            attributes,
            intervals: by_name.into_iter().flat_map(of_name).collect(),
        }
    }
}

/// Words that the longest text operand of `subscription` takes, and how long it is in bytes.
pub(super) fn longest_text(subscription: &Subscription) -> (usize, usize) {
    let text = |value: &Value| match value.borrow() {
        ValueRef::Text(text) => text.len(),
        ValueRef::Number(_) => 0,
    };
    let length = |predicate: &Predicate| match predicate {
        Predicate::Equal(v)
        | Predicate::NotEqual(v)
        | Predicate::Less(v)
        | Predicate::LessOrEqual(v)
        | Predicate::Greater(v)
        | Predicate::GreaterOrEqual(v) => text(v),
        Predicate::Prefix(prefix) => prefix.len(),
        Predicate::In(values) => values.iter().map(text).max().unwrap_or(0),
        Predicate::Exists => 0,
    };
    let constraints = subscription.constraints().iter();
    let bytes = constraints
        .map(|c| length(c.predicate()))
        .max()
        .unwrap_or(0);
    (text_words(bytes), bytes)
}

/// The intervals of one predicate, in order.
fn intervals(keys: Keys, predicate: &Predicate) -> Vec<Interval> {
    let before = |value: &Value| keys.key(value.borrow(), Side::Before);
    let after = |value: &Value| keys.key(value.borrow(), Side::After);
    let bottom = |value: &Value| match value {
        Value::Number(_) => keys.bottom(),
        Value::Text(_) => keys.middle(),
    };
    let top = |value: &Value| match value {
        Value::Number(_) => keys.middle(),
        Value::Text(_) => keys.top(),
    };
    let between = |low, high| Vec::from([Interval { low, high }]);
    match predicate {
        Predicate::Equal(v) => between(before(v), after(v)),
        Predicate::NotEqual(v) => {
            let [below, above] = [(bottom(v), before(v)), (after(v), top(v))];
            [below, above]
                .map(|(low, high)| Interval { low, high })
                .into()
        }
        Predicate::Less(v) => between(bottom(v), before(v)),
        Predicate::LessOrEqual(v) => between(bottom(v), after(v)),
        Predicate::Greater(v) => between(after(v), top(v)),
        Predicate::GreaterOrEqual(v) => between(before(v), top(v)),
        Predicate::Prefix(prefix) if prefix.is_empty() => between(keys.middle(), keys.top()),
        Predicate::Prefix(prefix) => between(
            keys.key(ValueRef::Text(prefix), Side::Before),
            keys.beyond_prefix(prefix),
        ),
        Predicate::In(values) => {
            let single = |v| Interval {
                low: before(v),
                high: after(v),
            };
            let mut all: Vec<_> = values.iter().map(single).collect();
            all.sort_unstable_by(|a, b| a.low.cmp(&b.low));
            all.dedup();
            all
        }
        Predicate::Exists => between(keys.bottom(), keys.top()),
    }
}

/// What lies in both lists. Cost: O(their lengths).
fn intersect(left: &[Interval], right: &[Interval]) -> Vec<Interval> {
    let (mut l, mut r) = (0, 0);
    let mut common = Vec::new();
    while let (Some(a), Some(b)) = (left.get(l), right.get(r)) {
        let low = a.low.as_slice().max(&b.low);
        let high = a.high.as_slice().min(&b.high);
        if low < high {
            common.push(Interval {
                low: low.into(),
                high: high.into(),
            });
        }
        // The one that ends first meets nothing further.
        if a.high <= b.high {
            l += 1;
        } else {
            r += 1;
        }
    }
    common
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ascii::{self, Line};
    use std::format;

    fn demands(constraints: &str) -> (usize, Option<u32>) {
        let Ok(Line::Subscription { subscription, .. }) =
            ascii::parse(&format!("0 0 S {constraints}"))
        else {
            panic!("{constraints} is no subscription")
        };
        let demands = Demands::new(1, &subscription);
        (demands.intervals.len(), demands.attributes)
    }

    #[test]
    fn constraints_on_one_attribute_become_few_intervals() {
        for (constraints, intervals) in [
            ("", 0),
            ("i a >= 1 i a < 4 i a <= 9 i a exists", 1),
            ("i a != 1 i a != 2", 3),
            ("i a in {5, 3, 5, \"x\"} i a > 3", 1),
            ("i a ^= \"x\" i a ^= \"xy\"", 1),
            ("i a exists i b != 1", 3),
        ] {
            assert_eq!(demands(constraints).0, intervals, "{constraints}");
        }
    }

    #[test]
    fn contradictions_demand_no_number_of_attributes() {
        for contradiction in [
            "i a > 3 i a < 3",
            "i a = 1 i a = 2 i b = 1",
            "i a >= 0 i a >= \"0\"",
            "i a ^= \"x\" i a < 5",
        ] {
            assert_eq!(demands(contradiction).1, None, "{contradiction}");
        }
        assert_eq!(demands("").1, Some(0));
        assert_eq!(demands("i a exists i b = 1 i a > 0").1, Some(2));
    }
}
