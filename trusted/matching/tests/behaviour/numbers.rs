//! Numbers against exact arithmetic.

use std::cmp::Ordering;
use std::hash::{BuildHasher, BuildHasherDefault, DefaultHasher};

use proptest::prelude::*;
use sc_matching::Number;

use crate::strategies::{any_integer, any_number};

/// A number as it was given.
#[derive(Clone, Copy, Debug)]
enum Given {
    Double(f64),
    Integer(i64),
}

impl Given {
    fn number(self) -> Number {
        match self {
            Self::Double(value) => Number::new(value).expect("finite doubles are drawn"),
            Self::Integer(value) => value.into(),
        }
    }

    /// How the two stand to each other, in arithmetic wide enough for both.
    fn compare(self, other: Self) -> Ordering {
        match (self, other) {
            (Self::Double(a), Self::Double(b)) => a.partial_cmp(&b).expect("neither is NaN"),
            (Self::Integer(a), Self::Integer(b)) => a.cmp(&b),
            (Self::Integer(a), Self::Double(b)) => compare_exactly(a, b),
            (Self::Double(a), Self::Integer(b)) => compare_exactly(b, a).reverse(),
        }
    }
}

#[expect(
    clippy::cast_possible_truncation,
    reason = "beyond 128 bits it saturates, and is as far from every integer of 64 bits"
)]
fn compare_exactly(integer: i64, double: f64) -> Ordering {
    let whole = double.floor();
    let fraction = if double > whole {
        Ordering::Less
    } else {
        Ordering::Equal
    };
    i128::from(integer).cmp(&(whole as i128)).then(fraction)
}

fn finite() -> impl Strategy<Value = f64> {
    any::<u64>()
        .prop_map(f64::from_bits)
        .prop_filter("not finite", |value| value.is_finite())
}

/// Doubles and integers, the second of them often the first or beside it.
fn pairs() -> impl Strategy<Value = (Given, Given)> {
    #[expect(clippy::cast_precision_loss, reason = "near is enough")]
    let near = (any_integer(), -2i64..=2, any::<bool>()).prop_map(|(integer, beside, wide)| {
        let double = Given::Double(integer as f64);
        let beside = integer.saturating_add(beside);
        let first = if wide {
            Given::Integer(integer)
        } else {
            double
        };
        (first, Given::Integer(beside))
    });
    let any_given = || {
        prop_oneof![
            finite().prop_map(Given::Double),
            any_integer().prop_map(Given::Integer)
        ]
    };
    let pair = prop_oneof![near, (any_given(), any_given())];
    (pair, any::<bool>()).prop_map(|((a, b), swapped)| if swapped { (b, a) } else { (a, b) })
}

fn hash(number: Number) -> u64 {
    BuildHasherDefault::<DefaultHasher>::default().hash_one(number)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn numbers_compare_as_exact_arithmetic_does((a, b) in pairs()) {
        let expected = a.compare(b);

        let (a, b) = (a.number(), b.number());

        prop_assert_eq!(a.cmp(&b), expected);
        prop_assert_eq!(a == b, expected.is_eq());
        if expected.is_eq() {
            prop_assert_eq!(hash(a), hash(b));
        }
    }

    #[test]
    fn keys_say_of_the_order_what_they_promise((v, b) in pairs()) {
        let order = v.compare(b);

        let (v, b) = (v.number(), b.number());

        let keys = v.order_key().cmp(&b.order_key());
        prop_assert!(keys == order || keys.is_eq(), "monotone");
        prop_assert_eq!(keys.then(v.key_excess().cmp(&b.key_excess())), order);
        if b.is_double() {
            prop_assert_eq!(keys.is_lt(), order.is_lt());
            prop_assert_eq!(keys.is_ge(), order.is_ge());
        }
        if b.has_own_key() {
            prop_assert!(b.is_double());
            prop_assert_eq!(keys, order);
        }
        prop_assert!((Number::KEY_MIN..=Number::KEY_MAX).contains(&v.order_key()));
    }

    #[test]
    fn the_key_of_a_number_is_that_of_the_greatest_double_not_above_it(number in any_number()) {
        let floor = number.floor_to_double();

        let next = Number::new(floor.next_up());

        let floor = Number::new(floor).expect("it is finite");
        prop_assert_eq!(floor.order_key(), number.order_key());
        prop_assert!(floor <= number);
        prop_assert!(next.is_none_or(|next| number < next));
        prop_assert_eq!(number.is_double(), floor == number);
    }

    #[test]
    fn an_integer_comes_back(integer in any_integer()) {
        prop_assert_eq!(Number::from(integer).to_i64(), Some(integer));
    }

    #[test]
    fn an_integer_prints_its_digits(integer in any_integer()) {
        prop_assert_eq!(Number::from(integer).to_string(), integer.to_string());
    }
}
