//! Values of attributes: numbers and texts.
//!
//! Invariant: equality, order and hash of values agree and are exact; numbers and texts are never
//! equal and never ordered against each other.
//! Source: D4.2 §2.1, with exact comparison in place of its integer parsing.

mod number;

use alloc::boxed::Box;
use core::cmp::Ordering;
use core::ops::Deref;

use crate::bound::{LimitError, TEXT_BYTES_MAX};

pub use number::Number;

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

impl From<i64> for Value {
    fn from(value: i64) -> Self {
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

    #[test]
    fn infinities_and_nan_are_not_values() {
        for value in [f64::INFINITY, f64::NEG_INFINITY, f64::NAN] {
            assert_eq!(Value::try_from(value), Err(LimitError::NotFinite));
        }
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
