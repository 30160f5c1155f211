//! The binary form of values and subscriptions.
//!
//! Invariant: each thing has exactly one encoding, and decoding accepts no other: what decodes
//! encodes to the same bytes. A decoder never panics and allocates no more than its input
//! justifies.
//! Source: ours; byte by byte in `docs/FORMATS.md`.

use alloc::boxed::Box;
use alloc::vec::Vec;

use crate::bound::{IN_VALUES_MAX, ITEM_BYTES_MAX, LimitError};
use crate::name::{self, Name};
use crate::subscription::{Constraint, Predicate, Subscription};
use crate::value::{Number, Text, Value, ValueRef};

/// Version byte of every encoding of this crate.
pub const VERSION: u8 = 1;

/// Why bytes were not decoded. The bytes are refused as a whole; reading them again cannot help.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum DecodeError {
    /// The bytes were written by another version of the format: the two sides must agree on a
    /// release.
    #[error("version {found} of the binary form is not known, only {VERSION}")]
    Version {
        /// The version byte.
        found: u8,
    },
    /// The bytes end within an item.
    #[error("the bytes end within an item")]
    Truncated,
    /// Bytes follow the last item.
    #[error("{count} bytes follow the last item")]
    Trailing {
        /// How many.
        count: usize,
    },
    /// A count or length exceeds its bound.
    #[error(transparent)]
    Limit(#[from] LimitError),
    /// A header block has more names than [`crate::bound::BLOCK_NAMES_MAX`].
    #[error("a header block has {count} names")]
    BlockNames {
        /// The count it claims.
        count: usize,
    },
    /// A header block has more headers than [`crate::bound::BLOCK_HEADERS_MAX`].
    #[error("a header block has {count} headers")]
    BlockHeaders {
        /// The count it claims.
        count: usize,
    },
    /// The table of a header block holds a name twice.
    #[error("a name table holds a name twice")]
    NameInTableTwice,
    /// A header refers to a name that its table does not hold.
    #[error("a name index of {index} is outside the table")]
    NameIndex {
        /// The index.
        index: u16,
    },
    /// A name or text is not UTF-8.
    #[error("a name or text is not utf-8")]
    NotUtf8,
    /// The tag of a value is not known, or not allowed where it stands.
    #[error("value tag {tag} is not known here")]
    Tag {
        /// The tag.
        tag: u8,
    },
    /// The code of an operator is not known.
    #[error("operator code {code} is not known")]
    Operator {
        /// The code.
        code: u8,
    },
    /// A value is encoded in more bytes than it needs, or as a wide integer though a double is that
    /// very integer.
    #[error("a value is not in its shortest form")]
    NotShortest,
}

/// Encodes a subscription.
#[must_use]
pub fn encode_subscription(subscription: &Subscription) -> Vec<u8> {
    let constraints = subscription.constraints();
    let mut bytes = Vec::with_capacity(2 + constraints.iter().map(constraint_len).sum::<usize>());
    bytes.push(VERSION);
    bytes.push(u8::try_from(constraints.len()).expect("CONSTRAINTS_MAX fits a byte"));
    for constraint in constraints {
        put_constraint(constraint, &mut bytes);
    }
    bytes
}

/// Decodes a subscription, which must take up all of `bytes`.
///
/// # Errors
/// [`DecodeError`], whenever `bytes` is not exactly what [`encode_subscription`] returns for some
/// subscription.
pub fn decode_subscription(bytes: &[u8]) -> Result<Subscription, DecodeError> {
    let mut reader = Reader::new(bytes);
    reader.version()?;
    let count = reader.u8()?;
    // There is one encoding, so this is the length that `Subscription::new` would find, but sooner.
    if reader.remaining() > ITEM_BYTES_MAX {
        return Err(LimitError::ItemBytes.into());
    }
    let constraints = (0..count)
        .map(|_| take_constraint(&mut reader))
        .collect::<Result<Vec<_>, _>>()?;
    reader.end()?;
    Ok(Subscription::new(constraints)?)
}

mod operator {
    pub(super) const EQUAL: u8 = 0;
    pub(super) const NOT_EQUAL: u8 = 1;
    pub(super) const LESS: u8 = 2;
    pub(super) const LESS_OR_EQUAL: u8 = 3;
    pub(super) const GREATER: u8 = 4;
    pub(super) const GREATER_OR_EQUAL: u8 = 5;
    pub(super) const PREFIX: u8 = 6;
    pub(super) const IN: u8 = 7;
    pub(super) const EXISTS: u8 = 8;
}

fn put_constraint(constraint: &Constraint, bytes: &mut Vec<u8>) {
    put_name(constraint.name(), bytes);
    let mut put = |code, operand: &Value| {
        bytes.push(code);
        put_value(operand.borrow(), bytes);
    };
    match constraint.predicate() {
        Predicate::Equal(operand) => put(operator::EQUAL, operand),
        Predicate::NotEqual(operand) => put(operator::NOT_EQUAL, operand),
        Predicate::Less(operand) => put(operator::LESS, operand),
        Predicate::LessOrEqual(operand) => put(operator::LESS_OR_EQUAL, operand),
        Predicate::Greater(operand) => put(operator::GREATER, operand),
        Predicate::GreaterOrEqual(operand) => put(operator::GREATER_OR_EQUAL, operand),
        Predicate::Prefix(prefix) => {
            bytes.push(operator::PREFIX);
            put_value(ValueRef::Text(prefix), bytes);
        }
        Predicate::In(values) => {
            bytes.push(operator::IN);
            let count = u16::try_from(values.len()).expect("IN_VALUES_MAX fits 16 bits");
            bytes.extend_from_slice(&count.to_le_bytes());
            values
                .iter()
                .for_each(|value| put_value(value.borrow(), bytes));
        }
        Predicate::Exists => bytes.push(operator::EXISTS),
    }
}

fn take_constraint(reader: &mut Reader<'_>) -> Result<Constraint, DecodeError> {
    let name = Name::new(reader.name()?)?;
    let predicate = match reader.u8()? {
        operator::EQUAL => Predicate::Equal(take_value(reader)?),
        operator::NOT_EQUAL => Predicate::NotEqual(take_value(reader)?),
        operator::LESS => Predicate::Less(take_value(reader)?),
        operator::LESS_OR_EQUAL => Predicate::LessOrEqual(take_value(reader)?),
        operator::GREATER => Predicate::Greater(take_value(reader)?),
        operator::GREATER_OR_EQUAL => Predicate::GreaterOrEqual(take_value(reader)?),
        operator::PREFIX => Predicate::Prefix(take_prefix(reader)?),
        operator::IN => Predicate::In(take_values(reader)?),
        operator::EXISTS => Predicate::Exists,
        code => return Err(DecodeError::Operator { code }),
    };
    Ok(Constraint::new(name, predicate)?)
}

fn take_prefix(reader: &mut Reader<'_>) -> Result<Text, DecodeError> {
    let tag = reader.peek()?;
    match take_value(reader)? {
        Value::Text(prefix) => Ok(prefix),
        Value::Number(_) => Err(DecodeError::Tag { tag }),
    }
}

fn take_values(reader: &mut Reader<'_>) -> Result<Box<[Value]>, DecodeError> {
    let count = usize::from(reader.u16()?);
    // Checked again by `Constraint::new`, but before any value is kept.
    if count > IN_VALUES_MAX {
        return Err(LimitError::InValues { count }.into());
    }
    (0..count).map(|_| take_value(reader)).collect()
}

fn take_value(reader: &mut Reader<'_>) -> Result<Value, DecodeError> {
    Ok(match reader.value()? {
        ValueRef::Number(number) => Value::Number(number),
        ValueRef::Text(text) => Value::Text(Text::new(text)?),
    })
}

mod tag {
    pub(super) const DOUBLE: u8 = 0;
    pub(super) const INTEGER_8: u8 = 1;
    pub(super) const INTEGER_16: u8 = 2;
    pub(super) const INTEGER_32: u8 = 3;
    pub(super) const TEXT_8: u8 = 4;
    pub(super) const TEXT_16: u8 = 5;
    /// An integer that no double is.
    pub(super) const INTEGER_WIDE: u8 = 6;
}

/// Length of [`put_name`]'s output.
pub(crate) fn name_len(name: &str) -> usize {
    1 + name.len()
}

/// Length of [`put_value`]'s output.
pub(crate) fn value_len(value: ValueRef<'_>) -> usize {
    match value {
        ValueRef::Text(text) if text.len() <= usize::from(u8::MAX) => 2 + text.len(),
        ValueRef::Text(text) => 3 + text.len(),
        ValueRef::Number(number) => match integer(number) {
            Some(n) if i8::try_from(n).is_ok() => 2,
            Some(n) if i16::try_from(n).is_ok() => 3,
            Some(n) if i32::try_from(n).is_ok() => 5,
            Some(_) | None => 9,
        },
    }
}

/// Length of [`put_constraint`]'s output.
pub(crate) fn constraint_len(constraint: &Constraint) -> usize {
    let operand = match constraint.predicate() {
        Predicate::Equal(operand)
        | Predicate::NotEqual(operand)
        | Predicate::Less(operand)
        | Predicate::LessOrEqual(operand)
        | Predicate::Greater(operand)
        | Predicate::GreaterOrEqual(operand) => value_len(operand.borrow()),
        Predicate::Prefix(prefix) => value_len(ValueRef::Text(prefix)),
        Predicate::In(values) => {
            2 + values
                .iter()
                .map(|value| value_len(value.borrow()))
                .sum::<usize>()
        }
        Predicate::Exists => 0,
    };
    name_len(constraint.name()) + 1 + operand
}

/// Appends a name behind its length.
pub(crate) fn put_name(name: &str, bytes: &mut Vec<u8>) {
    bytes.push(u8::try_from(name.len()).expect("NAME_BYTES_MAX fits a byte"));
    bytes.extend_from_slice(name.as_bytes());
}

/// Appends a value in the shortest form that holds it.
pub(crate) fn put_value(value: ValueRef<'_>, bytes: &mut Vec<u8>) {
    match value {
        ValueRef::Number(number) => put_number(number, bytes),
        ValueRef::Text(text) => {
            match u8::try_from(text.len()) {
                Ok(length) => bytes.extend_from_slice(&[tag::TEXT_8, length]),
                Err(_) => {
                    let length = u16::try_from(text.len()).expect("TEXT_BYTES_MAX fits 16 bits");
                    bytes.push(tag::TEXT_16);
                    bytes.extend_from_slice(&length.to_le_bytes());
                }
            }
            bytes.extend_from_slice(text.as_bytes());
        }
    }
}

fn put_number(number: Number, bytes: &mut Vec<u8>) {
    match integer(number) {
        Some(n) => put_integer(n, bytes),
        None => {
            bytes.push(tag::DOUBLE);
            bytes.extend_from_slice(&number.floor_to_double().to_le_bytes());
        }
    }
}

fn put_integer(n: i64, bytes: &mut Vec<u8>) {
    if let Ok(n) = i8::try_from(n) {
        bytes.push(tag::INTEGER_8);
        bytes.extend_from_slice(&n.to_le_bytes());
    } else if let Ok(n) = i16::try_from(n) {
        bytes.push(tag::INTEGER_16);
        bytes.extend_from_slice(&n.to_le_bytes());
    } else if let Ok(n) = i32::try_from(n) {
        bytes.push(tag::INTEGER_32);
        bytes.extend_from_slice(&n.to_le_bytes());
    } else {
        bytes.push(tag::INTEGER_WIDE);
        bytes.extend_from_slice(&n.to_le_bytes());
    }
}

/// The number as an integer, if that is how it is encoded: one of 32 bits, or one that no double
/// is.
fn integer(number: Number) -> Option<i64> {
    if !number.is_double() {
        return number.to_i64();
    }
    // The cast saturates, so a number outside the range comes back different.
    #[expect(
        clippy::cast_possible_truncation,
        reason = "checked by converting back"
    )]
    let n = number.floor_to_double() as i32;
    (Number::from(n) == number).then_some(n.into())
}

/// Bytes still to be decoded.
#[derive(Clone, Debug)]
pub(crate) struct Reader<'a> {
    bytes: &'a [u8],
}

impl<'a> Reader<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        Self { bytes }
    }

    pub(crate) fn remaining(&self) -> usize {
        self.bytes.len()
    }

    /// Checks that nothing remains.
    pub(crate) fn end(&self) -> Result<(), DecodeError> {
        match self.bytes.len() {
            0 => Ok(()),
            count => Err(DecodeError::Trailing { count }),
        }
    }

    pub(crate) fn version(&mut self) -> Result<(), DecodeError> {
        match self.u8()? {
            VERSION => Ok(()),
            found => Err(DecodeError::Version { found }),
        }
    }

    #[inline]
    fn array<const N: usize>(&mut self) -> Result<[u8; N], DecodeError> {
        let (array, rest) = self
            .bytes
            .split_first_chunk()
            .ok_or(DecodeError::Truncated)?;
        self.bytes = rest;
        Ok(*array)
    }

    fn peek(&self) -> Result<u8, DecodeError> {
        self.bytes.first().copied().ok_or(DecodeError::Truncated)
    }

    #[inline]
    pub(crate) fn u8(&mut self) -> Result<u8, DecodeError> {
        self.array().map(u8::from_le_bytes)
    }

    #[inline]
    pub(crate) fn u16(&mut self) -> Result<u16, DecodeError> {
        self.array().map(u16::from_le_bytes)
    }

    pub(crate) fn u32(&mut self) -> Result<u32, DecodeError> {
        self.array().map(u32::from_le_bytes)
    }

    #[inline]
    fn text(&mut self, length: usize) -> Result<&'a str, DecodeError> {
        let (text, rest) = self
            .bytes
            .split_at_checked(length)
            .ok_or(DecodeError::Truncated)?;
        self.bytes = rest;
        core::str::from_utf8(text).map_err(|_| DecodeError::NotUtf8)
    }

    pub(crate) fn name(&mut self) -> Result<&'a str, DecodeError> {
        let length = self.u8()?;
        let name = self.text(usize::from(length))?;
        name::check(name)?;
        Ok(name)
    }

    /// Takes a value in its shortest form.
    #[inline]
    pub(crate) fn value(&mut self) -> Result<ValueRef<'a>, DecodeError> {
        let shortest = |number, is_shortest: bool| match is_shortest {
            true => Ok(ValueRef::Number(number)),
            false => Err(DecodeError::NotShortest),
        };
        match self.u8()? {
            tag::INTEGER_8 => {
                let n = i8::from_le_bytes(self.array()?);
                shortest(Number::from(i32::from(n)), true)
            }
            tag::INTEGER_16 => {
                let n = i16::from_le_bytes(self.array()?);
                shortest(Number::from(i32::from(n)), i8::try_from(n).is_err())
            }
            tag::INTEGER_32 => {
                let n = i32::from_le_bytes(self.array()?);
                shortest(Number::from(n), i16::try_from(n).is_err())
            }
            tag::DOUBLE => {
                let bits = u64::from_le_bytes(self.array()?);
                let number = Number::new(f64::from_bits(bits)).ok_or(LimitError::NotFinite)?;
                // This refuses -0.0 as well, because it is read as zero.
                shortest(number, integer(number).is_none())
            }
            tag::INTEGER_WIDE => {
                let number = Number::from(i64::from_le_bytes(self.array()?));
                shortest(number, !number.is_double())
            }
            tag::TEXT_8 => {
                let length = self.u8()?;
                self.text(usize::from(length)).map(ValueRef::Text)
            }
            tag::TEXT_16 => match self.u16()? {
                0..=0xff => Err(DecodeError::NotShortest),
                length => self.text(usize::from(length)).map(ValueRef::Text),
            },
            tag => Err(DecodeError::Tag { tag }),
        }
    }
}
