//! Values of attributes: numbers and texts.
//!
//! Invariant: a number is a finite IEEE double and zero has one sign, so equality, order and hash
//! agree; numbers and texts are never equal and never ordered against each other.
//! Source: D4.2 §2.1, with exact comparison in place of its integer parsing.

use alloc::boxed::Box;
use core::cmp::Ordering;
use core::hash::{Hash, Hasher};
use core::ops::Deref;

use crate::bound::{LimitError, TEXT_BYTES_MAX};

/// A finite double; `-0.0` is kept as `0.0`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Number(f64);

impl Number {
    /// Takes a double unless it is infinite or NaN.
    #[must_use]
    pub fn new(value: f64) -> Option<Self> {
        // Adding zero turns -0.0 into 0.0 and leaves every other double as it is.
        value.is_finite().then_some(Self(value + 0.0))
    }

    /// The double.
    #[must_use]
    pub fn get(self) -> f64 {
        self.0
    }

    /// An integer that orders as the numbers do: `a < b` exactly when
    /// `a.order_key() < b.order_key()`.
    ///
    /// Every key lies within [`Self::KEY_MIN`]`..=`[`Self::KEY_MAX`], so that 0 and `u64::MAX` are
    /// free for others.
    #[must_use]
    pub fn order_key(self) -> u64 {
        order_key(self.0)
    }

    /// Key of the least finite double.
    pub const KEY_MIN: u64 = order_key(f64::MIN);

    /// Key of the greatest finite double.
    pub const KEY_MAX: u64 = order_key(f64::MAX);
}

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
        self.0.total_cmp(&other.0)
    }
}

impl PartialOrd for Number {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Hash for Number {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.0.to_bits().hash(state);
    }
}

impl From<i32> for Number {
    fn from(value: i32) -> Self {
        Self(f64::from(value))
    }
}

/// A text of at most [`TEXT_BYTES_MAX`] bytes of UTF-8, ordered bytewise.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Text(Box<str>);

impl Text {
    /// Copies `text`.
    ///
    /// # Errors
    /// [`LimitError::TextLength`] when it is longer than [`TEXT_BYTES_MAX`].
    pub fn new(text: &str) -> Result<Self, LimitError> {
        match text.len() {
            0..=TEXT_BYTES_MAX => Ok(Self(text.into())),
            bytes => Err(LimitError::TextLength { bytes }),
        }
    }
}

impl Deref for Text {
    type Target = str;

    fn deref(&self) -> &str {
        &self.0
    }
}

/// The value of an attribute, or the operand of a constraint.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Value {
    /// Written `58`, `-3.25` or `1e6`.
    Number(Number),
    /// Written `"IBM"`.
    Text(Text),
}

impl Value {
    /// The value without its storage.
    #[must_use]
    pub fn borrow(&self) -> ValueRef<'_> {
        match self {
            Self::Number(number) => ValueRef::Number(*number),
            Self::Text(text) => ValueRef::Text(text),
        }
    }
}

impl From<Number> for Value {
    fn from(number: Number) -> Self {
        Self::Number(number)
    }
}

impl From<i32> for Value {
    fn from(value: i32) -> Self {
        Self::Number(value.into())
    }
}

impl From<Text> for Value {
    fn from(text: Text) -> Self {
        Self::Text(text)
    }
}

impl TryFrom<f64> for Value {
    type Error = LimitError;

    fn try_from(value: f64) -> Result<Self, LimitError> {
        Number::new(value)
            .map(Self::Number)
            .ok_or(LimitError::NotFinite)
    }
}

impl TryFrom<&str> for Value {
    type Error = LimitError;

    fn try_from(text: &str) -> Result<Self, LimitError> {
        Text::new(text).map(Self::Text)
    }
}

/// A [`Value`] whose text lies elsewhere, as in the bytes of a header block.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ValueRef<'a> {
    /// A number.
    Number(Number),
    /// A text of at most [`TEXT_BYTES_MAX`] bytes.
    Text(&'a str),
}

impl ValueRef<'_> {
    /// How this value stands to `other`, or `None` when one is a number and the other a text.
    #[must_use]
    pub fn compare(self, other: ValueRef<'_>) -> Option<Ordering> {
        match (self, other) {
            (Self::Number(a), ValueRef::Number(b)) => Some(a.cmp(&b)),
            (Self::Text(a), ValueRef::Text(b)) => Some(a.cmp(b)),
            _ => None,
        }
    }
}

impl PartialEq<ValueRef<'_>> for Value {
    fn eq(&self, other: &ValueRef<'_>) -> bool {
        self.borrow() == *other
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
            assert_eq!(Value::try_from(value), Err(LimitError::NotFinite));
        }
    }

    #[test]
    fn minus_zero_is_zero() {
        assert_eq!(number(-0.0).get().to_bits(), 0.0f64.to_bits());
        assert_eq!(number(-0.0).order_key(), number(0.0).order_key());
    }

    #[test]
    fn order_keys_order_as_numbers_do() {
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
    fn numbers_and_texts_have_no_order() {
        let number = ValueRef::Number(1.into());
        let text = ValueRef::Text("1");

        assert_eq!(number.compare(text), None);
        assert_eq!(text.compare(number), None);
        assert_ne!(number, text);
    }

    #[test]
    fn texts_order_bytewise() {
        let order = |a, b| ValueRef::Text(a).compare(ValueRef::Text(b));

        assert_eq!(order("Z", "a"), Some(Ordering::Less));
        assert_eq!(order("a", "ab"), Some(Ordering::Less));
        assert_eq!(order("é", "z"), Some(Ordering::Greater));
    }

    #[test]
    fn a_text_of_65536_bytes_is_too_long() {
        let longest = "x".repeat(TEXT_BYTES_MAX);

        assert!(Text::new(&longest).is_ok());
        assert_eq!(
            Text::new(&(longest + "x")),
            Err(LimitError::TextLength { bytes: 65_536 })
        );
    }
}
