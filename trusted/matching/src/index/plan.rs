//! Subscriptions normalised: one demand per attribute, and none that nothing can meet.
//!
//! Invariant: a plan is satisfied by exactly the publications that satisfy its subscription; a
//! subscription whose contradiction shows in one attribute's intervals or sets has no plan.

use alloc::boxed::Box;
use alloc::vec::Vec;
use core::cmp::Ordering;

use super::row::{Interval, key_of};
use crate::name::Name;
use crate::subscription::{Predicate, Subscription};
use crate::value::{Value, ValueRef};

/// What a subscription demands, attribute by attribute.
pub(super) struct Plan<'s> {
    pub(super) demands: Vec<Demand<'s>>,
}

/// What it demands of one attribute: a key in `interval`, and what `admits` says.
pub(super) struct Demand<'s> {
    pub(super) name: &'s Name,
    pub(super) interval: Interval,
    pub(super) admits: Admits,
}

/// Which values of an attribute are admitted, beyond what an interval of keys can say.
#[derive(Clone)]
pub(super) enum Admits {
    /// Exactly these: one or more, in ascending order, each once.
    Values(Box<[Value]>),
    /// Those in the interval for which each of these holds.
    Tests(Box<[Predicate]>),
}

impl<'s> Plan<'s> {
    /// Normalises `subscription`; `None` when nothing can satisfy it. Cost: O(n log n) in its size,
    /// plus O(constraints x attributes).
    pub(super) fn new(subscription: &'s Subscription) -> Option<Self> {
        let mut by_name: Vec<(&Name, Vec<&Predicate>)> = Vec::new();
        for constraint in subscription.constraints() {
            match by_name
                .iter_mut()
                .find(|(name, _)| *name == constraint.name())
            {
                Some((_, predicates)) => predicates.push(constraint.predicate()),
                None => by_name.push((constraint.name(), Vec::from([constraint.predicate()]))),
            }
        }
        let demands = by_name
            .iter()
            .map(|(name, predicates)| Demand::new(name, predicates));
        Some(Self {
            demands: demands.collect::<Option<_>>()?,
        })
    }
}

impl<'s> Demand<'s> {
    fn new(name: &'s Name, predicates: &[&Predicate]) -> Option<Self> {
        if let Some(values) = common_values(predicates) {
            return Self::of_values(name, values, predicates);
        }
        let intervals = predicates.iter().map(|predicate| interval_of(predicate));
        let interval = intervals.fold(Interval::PRESENT, Interval::intersect);
        let tests = predicates
            .iter()
            .copied()
            .filter(|predicate| !interval_says_all(predicate));
        let admits = Admits::Tests(tests.cloned().collect());
        (!interval.is_empty()).then_some(Self {
            name,
            interval,
            admits,
        })
    }

    fn of_values(
        name: &'s Name,
        mut values: Vec<Value>,
        predicates: &[&Predicate],
    ) -> Option<Self> {
        let others = || predicates.iter().filter(|predicate| !is_set(predicate));
        values.retain(|value| others().all(|predicate| predicate.holds(value.borrow())));
        let keys = || values.iter().map(|value| key_of(value.borrow()));
        let interval = Interval {
            low: keys().min()?,
            high: keys().max()?,
        };
        Some(Self {
            name,
            interval,
            admits: Admits::Values(values.into()),
        })
    }

    /// Whether a value is admitted as soon as its key lies in the interval.
    pub(super) fn interval_suffices(&self) -> bool {
        match &self.admits {
            Admits::Values(values) => {
                matches!(**values, [Value::Number(number)] if number.has_own_key())
            }
            Admits::Tests(tests) => tests.is_empty(),
        }
    }
}

impl Admits {
    /// Whether `value`, whose key lies in the interval, is admitted.
    pub(super) fn holds(&self, value: ValueRef<'_>) -> bool {
        match self {
            Self::Values(values) => values
                .binary_search_by(|own| order(own.borrow(), value))
                .is_ok(),
            Self::Tests(tests) => tests.iter().all(|test| test.holds(value)),
        }
    }
}

/// The values that every `=` and every `in` names, ascending; `None` when there is no such
/// predicate.
fn common_values(predicates: &[&Predicate]) -> Option<Vec<Value>> {
    let sets = predicates.iter().filter_map(|predicate| match predicate {
        Predicate::Equal(value) => Some(Vec::from([value.clone()])),
        Predicate::In(values) => Some(ascending(values)),
        _ => None,
    });
    sets.reduce(|mut common, set| {
        common.retain(|value| {
            set.binary_search_by(|own| order(own.borrow(), value.borrow()))
                .is_ok()
        });
        common
    })
}

fn is_set(predicate: &Predicate) -> bool {
    matches!(predicate, Predicate::Equal(_) | Predicate::In(_))
}

fn ascending(values: &[Value]) -> Vec<Value> {
    let mut values = values.to_vec();
    values.sort_unstable_by(|a, b| order(a.borrow(), b.borrow()));
    values.dedup();
    values
}

/// Numbers before texts, each in their own order.
fn order(a: ValueRef<'_>, b: ValueRef<'_>) -> Ordering {
    a.compare(b).unwrap_or(match a {
        ValueRef::Number(_) => Ordering::Less,
        ValueRef::Text(_) => Ordering::Greater,
    })
}

/// The least interval that holds the keys of all values that satisfy `predicate`, or a wider one
/// for a set.
fn interval_of(predicate: &Predicate) -> Interval {
    let number = Interval::NUMBER;
    match predicate {
        Predicate::Less(Value::Number(bound)) => Interval {
            high: bound.order_key() - u64::from(bound.is_double()),
            ..number
        },
        Predicate::LessOrEqual(Value::Number(bound)) => Interval {
            high: bound.order_key(),
            ..number
        },
        Predicate::Greater(Value::Number(bound)) => Interval {
            low: bound.order_key() + u64::from(bound.has_own_key()),
            ..number
        },
        Predicate::GreaterOrEqual(Value::Number(bound)) => Interval {
            low: bound.order_key(),
            ..number
        },
        Predicate::NotEqual(Value::Number(_)) => number,
        Predicate::Less(Value::Text(_))
        | Predicate::LessOrEqual(Value::Text(_))
        | Predicate::Greater(Value::Text(_))
        | Predicate::GreaterOrEqual(Value::Text(_))
        | Predicate::NotEqual(Value::Text(_))
        | Predicate::Prefix(_) => Interval::TEXT,
        Predicate::Equal(_) | Predicate::In(_) | Predicate::Exists => Interval::PRESENT,
    }
}

/// Whether [`interval_of`] a predicate that is no set says all that it says.
fn interval_says_all(predicate: &Predicate) -> bool {
    match predicate {
        Predicate::Less(Value::Number(bound)) | Predicate::GreaterOrEqual(Value::Number(bound)) => {
            bound.is_double()
        }
        Predicate::LessOrEqual(Value::Number(bound)) | Predicate::Greater(Value::Number(bound)) => {
            bound.has_own_key()
        }
        Predicate::Exists => true,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ascii::{self, Line};
    use std::format;

    /// The demands of the one attribute `a`, or `None` when they contradict each other.
    fn demand(constraints: &str) -> Option<(Interval, Admits)> {
        let Ok(Line::Subscription { subscription, .. }) =
            ascii::parse(&format!("0 0 S {constraints}"))
        else {
            panic!("{constraints} is no subscription")
        };
        let mut plan = Plan::new(&subscription)?;
        plan.demands
            .pop()
            .map(|demand| (demand.interval, demand.admits))
    }

    fn key(value: f64) -> u64 {
        key_of(Value::try_from(value).unwrap().borrow())
    }

    #[test]
    fn constraints_on_one_attribute_become_one_interval() {
        let (interval, admits) = demand("i a >= 1.5 i a < 4 i a <= 9 i a exists").unwrap();

        assert_eq!(
            interval,
            Interval {
                low: key(1.5),
                high: key(4.0) - 1
            }
        );
        assert!(matches!(admits, Admits::Tests(tests) if tests.is_empty()));
    }

    #[test]
    fn sets_are_intersected_sorted_and_filtered() {
        let (interval, admits) =
            demand(r#"i a in {5, "x", 3, 1, 5} i a in {1, 3, 5, 7} i a > 1"#).unwrap();

        assert_eq!(
            interval,
            Interval {
                low: key(3.0),
                high: key(5.0)
            }
        );
        let expected = [3, 5].map(Value::from);
        assert!(matches!(admits, Admits::Values(values) if *values == expected));
    }

    #[test]
    fn contradictions_have_no_plan() {
        for contradiction in [
            "i a > 3 i a < 3",
            "i a = 1 i a = 2",
            "i a = 1 i a != 1",
            "i a >= 0 i a >= \"0\"",
            "i a in {1, 2} i a in {3, \"1\"}",
            "i a ^= \"x\" i a < 5",
            "i a < -1.7976931348623157e308",
            "i a > 1.7976931348623157e308",
        ] {
            assert!(demand(contradiction).is_none(), "{contradiction}");
        }
    }
}
