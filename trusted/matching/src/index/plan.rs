//! Subscriptions normalised: one demand per attribute, and none that nothing can meet.
//!
//! Invariant: a plan is satisfied by exactly the publications that satisfy its subscription; a
//! subscription whose contradiction shows in one attribute's intervals or sets has no plan.

use alloc::boxed::Box;
use alloc::vec::Vec;
use core::cmp::Ordering;

use super::attribute::AttributeId;
use super::column::{Bound, Column, Keys, PRESENT, Side, TEXT_KEY_BYTES, text_key};
use super::exact::Test;
use super::grid::Grid;
use crate::name::Name;
use crate::subscription::{Predicate, Subscription};
use crate::value::{Number, Value, ValueRef};

/// What a subscription demands, attribute by attribute.
pub(super) struct Plan<'s> {
    pub(super) demands: Vec<Demand<'s>>,
}

/// What it demands of one attribute: a value in `range`, and what `admits` says.
pub(super) struct Demand<'s> {
    pub(super) name: &'s Name,
    range: Range,
    pub(super) admits: Admits,
}

/// Which values of an attribute are admitted, beyond what an interval of keys can say.
#[derive(Clone)]
pub(super) enum Admits {
    /// Exactly these: one or more, in ascending order, each once.
    Values(Box<[Value]>),
    /// Those in the range for which each of these holds.
    Tests(Box<[Predicate]>),
}

/// The numbers whose keys lie in one interval, and the texts whose keys lie in another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Range {
    numbers: Interval,
    texts: Interval,
}

/// The keys from `low` to `high`, both included; none when `low` is greater.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Interval {
    low: u64,
    high: u64,
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
        let ranges = predicates.iter().map(|predicate| Range::of(predicate));
        let range = ranges.fold(Range::ALL, Range::intersect);
        let tests = predicates
            .iter()
            .copied()
            .filter(|predicate| !range_says_all(predicate));
        let admits = Admits::Tests(tests.cloned().collect());
        (!range.is_empty()).then_some(Self {
            name,
            range,
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
        let range = values
            .iter()
            .fold(Range::NONE, |range, value| range.with(value.borrow()));
        (!values.is_empty()).then_some(Self {
            name,
            range,
            admits: Admits::Values(values.into()),
        })
    }

    /// Whether the bounds of [`Self::put_bounds`] say all that is demanded.
    pub(super) fn bounds_suffice(&self) -> bool {
        match &self.admits {
            Admits::Values(values) => {
                matches!(**values, [Value::Number(number)] if number.has_own_key())
            }
            Admits::Tests(tests) => tests.is_empty(),
        }
    }

    /// All that is demanded, to be tested on the value itself.
    pub(super) fn test(&self, attribute: AttributeId) -> Test {
        Test {
            attribute,
            range: self.range,
            admits: self.admits.clone(),
        }
    }

    /// Appends one bound or two that every admitted value reaches, in ascending order of column.
    pub(super) fn put_bounds(&self, attribute: AttributeId, bounds: &mut Vec<Bound>) {
        let mut put = |side, least| {
            bounds.push(Bound {
                column: Column::new(attribute, side),
                least,
            });
        };
        let Range { numbers, texts } = self.range;
        match (numbers.is_empty(), texts.is_empty()) {
            (false, false) => put(Side::NumberLow, PRESENT),
            (false, true) => numbers.put_numbers(put),
            (true, _) => texts.put_texts(put),
        }
    }
}

impl Range {
    /// Whether the header's value of `attribute` has a key in this range.
    pub(super) fn holds(self, attribute: AttributeId, keys: &Keys) -> bool {
        match keys.get(Column::new(attribute, Side::TextLow)) {
            0 => self
                .numbers
                .holds(keys.get(Column::new(attribute, Side::NumberLow))),
            text => self.texts.holds(text),
        }
    }

    const ALL: Self = Self {
        numbers: Interval::NUMBERS,
        texts: Interval::TEXTS,
    };
    const NUMBERS: Self = Self {
        texts: Interval::NONE,
        ..Self::ALL
    };
    const TEXTS: Self = Self {
        numbers: Interval::NONE,
        ..Self::ALL
    };
    const NONE: Self = Self {
        numbers: Interval::NONE,
        texts: Interval::NONE,
    };

    /// The least range that holds all values that satisfy `predicate`, or a wider one.
    fn of(predicate: &Predicate) -> Self {
        match predicate {
            Predicate::Less(bound) => Self::below(bound, true),
            Predicate::LessOrEqual(bound) => Self::below(bound, false),
            Predicate::Greater(bound) => Self::above(bound, true),
            Predicate::GreaterOrEqual(bound) => Self::above(bound, false),
            Predicate::NotEqual(Value::Number(_)) => Self::NUMBERS,
            Predicate::NotEqual(Value::Text(_)) => Self::TEXTS,
            Predicate::Prefix(prefix) => {
                let [low, high] = [0, u8::MAX].map(|filler| text_key(prefix.as_bytes(), filler));
                Self {
                    texts: Interval { low, high },
                    ..Self::TEXTS
                }
            }
            Predicate::Equal(_) | Predicate::In(_) | Predicate::Exists => Self::ALL,
        }
    }

    fn below(bound: &Value, strictly: bool) -> Self {
        let mut range = Self::NONE;
        match bound {
            Value::Number(bound) => {
                let excluded = u64::from(strictly && bound.is_double());
                range.numbers = Interval {
                    high: bound.order_key() - excluded,
                    ..Interval::NUMBERS
                };
            }
            Value::Text(bound) => {
                range.texts = Interval {
                    high: text_key(bound.as_bytes(), 0),
                    ..Interval::TEXTS
                };
            }
        }
        range
    }

    fn above(bound: &Value, strictly: bool) -> Self {
        let mut range = Self::NONE;
        match bound {
            Value::Number(bound) => {
                let excluded = u64::from(strictly && bound.has_own_key());
                range.numbers = Interval {
                    low: bound.order_key() + excluded,
                    ..Interval::NUMBERS
                };
            }
            Value::Text(bound) => {
                range.texts = Interval {
                    low: text_key(bound.as_bytes(), 0),
                    ..Interval::TEXTS
                };
            }
        }
        range
    }

    fn with(self, value: ValueRef<'_>) -> Self {
        match value {
            ValueRef::Number(number) => Self {
                numbers: self.numbers.with(number.order_key()),
                ..self
            },
            ValueRef::Text(text) => Self {
                texts: self.texts.with(text_key(text.as_bytes(), 0)),
                ..self
            },
        }
    }

    fn intersect(self, other: Self) -> Self {
        Self {
            numbers: self.numbers.intersect(other.numbers),
            texts: self.texts.intersect(other.texts),
        }
    }

    fn is_empty(self) -> bool {
        self.numbers.is_empty() && self.texts.is_empty()
    }
}

impl Interval {
    const NONE: Self = Self {
        low: u64::MAX,
        high: 0,
    };
    const NUMBERS: Self = Self {
        low: Number::KEY_MIN,
        high: Number::KEY_MAX,
    };
    const TEXTS: Self = Self {
        low: 1 << 63,
        high: u64::MAX,
    };

    fn with(self, key: u64) -> Self {
        Self {
            low: self.low.min(key),
            high: self.high.max(key),
        }
    }

    fn intersect(self, other: Self) -> Self {
        Self {
            low: self.low.max(other.low),
            high: self.high.min(other.high),
        }
    }

    fn is_empty(self) -> bool {
        self.low > self.high
    }

    fn holds(self, key: u64) -> bool {
        (self.low..=self.high).contains(&key)
    }

    /// Puts those of its two bounds that say more than that there is a number, or else that.
    fn put_numbers(self, mut put: impl FnMut(Side, u64)) {
        let all = Self::NUMBERS;
        if self.low > all.low {
            let (side, least) = Grid::WHOLE
                .lowest(self.low)
                .map(|least| (Side::WholeLow, least))
                .or_else(|| {
                    let least = Grid::DECIMAL.lowest(self.low)?;
                    Some((Side::DecimalLow, least))
                })
                .unwrap_or((Side::NumberLow, self.low));
            put(side, least);
        }
        if self.high < all.high {
            // What is below the lowest key beyond it.
            let beyond = self.high + 1;
            let (side, least) = Grid::WHOLE
                .below(beyond)
                .map(|most| (Side::WholeHigh, !most))
                .or_else(|| {
                    let most = Grid::DECIMAL.below(beyond)?;
                    Some((Side::DecimalHigh, !most))
                })
                .unwrap_or((Side::NumberHigh, !self.high));
            put(side, least);
        }
        if self == all {
            put(Side::NumberLow, all.low);
        }
    }

    /// Puts those of its two bounds that say more than that there is a text, or else that.
    fn put_texts(self, mut put: impl FnMut(Side, u64)) {
        let all = Self::TEXTS;
        if self.low > all.low || self.high == all.high {
            put(Side::TextLow, self.low);
        }
        if self.high < all.high {
            put(Side::TextHigh, !self.high);
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

/// Whether [`Range::of`] a predicate that is no set says all that it says.
fn range_says_all(predicate: &Predicate) -> bool {
    match predicate {
        Predicate::Less(Value::Number(bound)) | Predicate::GreaterOrEqual(Value::Number(bound)) => {
            bound.is_double()
        }
        Predicate::LessOrEqual(Value::Number(bound)) | Predicate::Greater(Value::Number(bound)) => {
            bound.has_own_key()
        }
        // The key fills a shorter text with zeros, which must not be taken for the prefix's own.
        Predicate::Prefix(prefix) => {
            prefix.len() <= TEXT_KEY_BYTES && !prefix.as_bytes().contains(&0)
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
    fn demand(constraints: &str) -> Option<(Range, Admits)> {
        let Ok(Line::Subscription { subscription, .. }) =
            ascii::parse(&format!("0 0 S {constraints}"))
        else {
            panic!("{constraints} is no subscription")
        };
        let mut plan = Plan::new(&subscription)?;
        plan.demands
            .pop()
            .map(|demand| (demand.range, demand.admits))
    }

    fn key(value: f64) -> u64 {
        Number::new(value).unwrap().order_key()
    }

    #[test]
    fn constraints_on_one_attribute_become_one_interval() {
        let (range, admits) = demand("i a >= 1.5 i a < 4 i a <= 9 i a exists").unwrap();

        assert_eq!(
            range.numbers,
            Interval {
                low: key(1.5),
                high: key(4.0) - 1
            }
        );
        assert!(matches!(admits, Admits::Tests(tests) if tests.is_empty()));
    }

    #[test]
    fn sets_are_intersected_sorted_and_filtered() {
        let (range, admits) =
            demand(r#"i a in {5, "x", 3, 1, 5} i a in {1, 3, 5, 7} i a > 1"#).unwrap();

        assert_eq!(
            range.numbers,
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
