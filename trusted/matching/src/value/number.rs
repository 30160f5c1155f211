//! Numbers: finite doubles and integers of 64 bits.
//!
//! Invariant: each number has one form, so equality, order and hash agree, and all three are exact:
//! an integer is never rounded to be compared.
//! Source: ours; D4.2 §2.1 has integers, and the original router read every number as one.

use core::cmp::Ordering;
use core::hash::{Hash, Hasher};

/// A finite double, or an integer of 64 bits.
///
/// Up to 2^53 on either side of zero every integer is a double, and beyond that some are. One that
/// is not is a *wide* integer: it lies between two doubles, and is kept as the lower of them and
/// its distance from it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Number {
    /// The greatest double that is not above the number; zero has no sign.
    floor: f64,
    /// How far the number lies above it: less than the 1024 from one double to the next where the
    /// integers of 64 bits end.
    excess: u16,
}

impl Number {
    /// Takes a double unless it is infinite or NaN; `-0.0` becomes zero.
    #[must_use]
    pub fn new(value: f64) -> Option<Self> {
        // Adding zero turns -0.0 into 0.0 and leaves every other double as it is.
        value.is_finite().then_some(Self {
            floor: value + 0.0,
            excess: 0,
        })
    }

    /// The greatest double that is not above the number: the number itself, unless it is a wide
    /// integer.
    #[must_use]
    pub fn floor_to_double(self) -> f64 {
        self.floor
    }

    /// The number, if it is an integer of 64 bits.
    #[must_use]
    pub fn to_i64(self) -> Option<i64> {
        // The cast drops a fraction and saturates, so what was no such integer comes back different.
        #[expect(
            clippy::cast_possible_truncation,
            reason = "checked by converting back"
        )]
        let n = (self.floor as i64).saturating_add(i64::from(self.excess));
        (Self::from(n) == self).then_some(n)
    }

    /// Whether the number is a double, and not a wide integer.
    #[must_use]
    pub fn is_double(self) -> bool {
        self.excess == 0
    }

    /// An integer that orders as the numbers do, but for wide integers: these share the key of the
    /// greatest double below them.
    ///
    /// So `a < b` implies `a.order_key() <= b.order_key()`, and for every number `v`:
    /// - where `b` [is a double](Self::is_double), `v < b` exactly when `v`'s key is below `b`'s, and
    ///   `v >= b` exactly when it is not;
    /// - where `b` [has a key of its own](Self::has_own_key), also `v <= b` exactly when `v`'s key is
    ///   not above `b`'s, `v > b` exactly when it is, and `v == b` exactly when the keys are equal.
    ///
    /// Every key lies within [`Self::KEY_MIN`]`..=`[`Self::KEY_MAX`], so that 0 and `u64::MAX` are
    /// free for others.
    #[must_use]
    pub fn order_key(self) -> u64 {
        order_key(self.floor)
    }

    /// The double of this [key](Self::order_key), if it is one's.
    pub(crate) fn of_order_key(key: u64) -> Option<Self> {
        let bits = if key >> 63 == 1 { key ^ 1 << 63 } else { !key };
        Self::new(f64::from_bits(bits)).filter(|number| number.order_key() == key)
    }

    /// How far the number lies above the double of its [key](Self::order_key): 0 for a double, 1 to
    /// 1023 for a wide integer.
    ///
    /// Key and excess together, in this order, are equal and ordered as the numbers are.
    #[must_use]
    pub fn key_excess(self) -> u16 {
        self.excess
    }

    /// Whether no other number has the same [key](Self::order_key): it is a double, and no wide
    /// integer lies between it and the next. So it is for every double of a magnitude below 2^53.
    #[must_use]
    pub fn has_own_key(self) -> bool {
        let shared =
            (-TWO_63..-TWO_53).contains(&self.floor) || (TWO_53..TWO_63).contains(&self.floor);
        !shared
    }

    /// Key of the least finite double.
    pub const KEY_MIN: u64 = order_key(f64::MIN);

    /// Key of the greatest finite double.
    pub const KEY_MAX: u64 = order_key(f64::MAX);
}

/// The significant bits of a double: integers of no more are doubles.
const DOUBLE_BITS: u32 = 53;

/// From here up to [`TWO_63`], and below zero likewise, integers lie between neighbouring doubles.
const TWO_53: f64 = 9_007_199_254_740_992.0;

/// One above the greatest integer of 64 bits.
const TWO_63: f64 = 9_223_372_036_854_775_808.0;

/// Flips the sign bit of positive doubles and every bit of negative ones.
const fn order_key(value: f64) -> u64 {
    let bits = value.to_bits();
    if bits >> 63 == 0 {
        bits | 1 << 63
    } else {
        !bits
    }
}

impl Eq for Number {}

impl Ord for Number {
    fn cmp(&self, other: &Self) -> Ordering {
        let floors = self.floor.total_cmp(&other.floor);
        floors.then(self.excess.cmp(&other.excess))
    }
}

impl PartialOrd for Number {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Hash for Number {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.floor.to_bits().hash(state);
        self.excess.hash(state);
    }
}

impl From<i32> for Number {
    fn from(value: i32) -> Self {
        Self {
            floor: f64::from(value),
            excess: 0,
        }
    }
}

impl From<i64> for Number {
    fn from(value: i64) -> Self {
        let bits = u64::BITS - value.unsigned_abs().leading_zeros();
        let beyond = bits.saturating_sub(DOUBLE_BITS);
        // Shifted there and back, a negative integer, too, becomes the one below with zeros at its
        // end. Of more significant bits than a double has, none is left.
        let floor = value >> beyond << beyond;
        #[expect(clippy::cast_precision_loss, reason = "it has no bits to lose")]
        let double = floor as f64;
        Self {
            floor: double,
            excess: u16::try_from(value - floor).expect("at most 11 bits were cleared"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::vec::Vec;

    fn number(value: f64) -> Number {
        Number::new(value).unwrap()
    }

    #[test]
    fn infinities_and_nan_are_not_numbers() {
        for value in [f64::INFINITY, f64::NEG_INFINITY, f64::NAN] {
            assert_eq!(Number::new(value), None);
        }
    }

    #[test]
    fn minus_zero_is_zero() {
        assert_eq!(number(-0.0).floor_to_double().to_bits(), 0.0f64.to_bits());
        assert_eq!(number(-0.0).order_key(), number(0.0).order_key());
        assert_eq!(number(-0.0).to_i64(), Some(0));
    }

    #[test]
    fn order_keys_of_doubles_order_as_they_do() {
        let ascending = [
            f64::MIN,
            -1e9,
            -1.5,
            -5e-324,
            0.0,
            5e-324,
            1.5,
            90.1,
            90.75,
            1e9,
            f64::MAX,
        ];

        let keys: Vec<u64> = ascending.iter().map(|v| number(*v).order_key()).collect();

        assert!(keys.is_sorted_by(|a, b| a < b));
        assert_eq!(keys[0], Number::KEY_MIN);
        assert_eq!(keys[10], Number::KEY_MAX);
        const { assert!(Number::KEY_MIN > 0 && Number::KEY_MAX < u64::MAX) };
    }

    #[test]
    fn a_wide_integer_lies_between_its_double_and_the_next() {
        for (wide, floor) in [
            ((1 << 53) + 1, TWO_53),
            (-(1 << 53) - 1, -TWO_53 - 2.0),
            ((1 << 62) + 1023, TWO_63 / 2.0),
            (i64::MAX, TWO_63 - 1024.0),
            (i64::MIN + 1, -TWO_63),
        ] {
            let above = number(floor.next_up());

            let wide = Number::from(wide);

            assert!(!wide.is_double(), "{wide:?}");
            assert_eq!(wide.floor_to_double().to_bits(), floor.to_bits());
            assert!(number(floor) < wide && wide < above, "{wide:?}");
        }
    }

    #[test]
    fn an_integer_that_is_a_double_is_kept_as_that_double() {
        for (integer, double) in [
            (0, 0.0),
            (-7, -7.0),
            (1 << 53, TWO_53),
            (-(1 << 53), -TWO_53),
            ((1 << 53) + 2, TWO_53 + 2.0),
            (i64::MIN, -TWO_63),
        ] {
            assert_eq!(Number::from(integer), number(double));
            assert_eq!(number(double).to_i64(), Some(integer));
        }
    }

    #[test]
    fn what_is_no_integer_of_64_bits_is_not_taken_for_one() {
        for value in [
            0.5,
            -1.25,
            TWO_63,
            -TWO_63 * 2.0,
            f64::MAX,
            f64::MIN,
            5e-324,
        ] {
            assert_eq!(number(value).to_i64(), None, "{value}");
        }
    }

    #[test]
    fn a_double_shares_its_key_exactly_where_wide_integers_lie_above_it() {
        for (value, own) in [
            (0.0, true),
            (TWO_53 - 1.0, true),
            (TWO_53, false),
            (TWO_63 - 1024.0, false),
            (TWO_63, true),
            (-TWO_53, true),
            (-TWO_53 - 2.0, false),
            (-TWO_63, false),
            ((-TWO_63).next_down(), true),
        ] {
            assert_eq!(number(value).has_own_key(), own, "{value}");
        }
        assert!(!Number::from(i64::MAX).has_own_key());
    }
}
