//! Lines printed.
//!
//! Invariant: one canonical form per item, on one line whatever its texts hold.

use core::fmt::{self, Display, Formatter, Write as _};

use super::Line;
use crate::name::Name;
use crate::publication::Publication;
use crate::subscription::{Constraint, Predicate, Subscription};
use crate::value::{Number, Text, Value, ValueRef};

impl Display for Line {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::Publication(publication) => publication.fmt(f),
            Self::Subscription { id, subscription } => subscription_line(*id, subscription).fmt(f),
        }
    }
}

/// The line of a subscription that its owner numbers `id`.
pub fn subscription_line(id: u64, subscription: &Subscription) -> impl Display + '_ {
    fmt::from_fn(move |f| {
        write!(f, "0 {id} S")?;
        subscription
            .constraints()
            .iter()
            .try_for_each(|constraint| write!(f, " i {constraint}"))
    })
}

/// The line of the publication.
impl Display for Publication {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str("0 0 P")?;
        self.attributes()
            .iter()
            .try_for_each(|(name, value)| write!(f, " i {name} {value}"))
    }
}

/// As between two `i` of a line: `open >= 132`.
impl Display for Constraint {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "{} ", self.name())?;
        match self.predicate() {
            Predicate::Equal(operand) => write!(f, "= {operand}"),
            Predicate::NotEqual(operand) => write!(f, "!= {operand}"),
            Predicate::Less(operand) => write!(f, "< {operand}"),
            Predicate::LessOrEqual(operand) => write!(f, "<= {operand}"),
            Predicate::Greater(operand) => write!(f, "> {operand}"),
            Predicate::GreaterOrEqual(operand) => write!(f, ">= {operand}"),
            Predicate::Prefix(prefix) => write!(f, "^= {prefix}"),
            Predicate::In(values) => write_values(values, f),
            Predicate::Exists => f.write_str("exists"),
        }
    }
}

fn write_values(values: &[Value], f: &mut Formatter<'_>) -> fmt::Result {
    f.write_str("in {")?;
    for (position, value) in values.iter().enumerate() {
        let separator = if position == 0 { "" } else { ", " };
        write!(f, "{separator}{value}")?;
    }
    f.write_char('}')
}

/// Bare, or quoted where it must be.
impl Display for Name {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match Self::is_bare(self) {
            true => f.write_str(self),
            false => write_quoted(self, f),
        }
    }
}

impl Display for Value {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        self.borrow().fmt(f)
    }
}

impl Display for ValueRef<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::Number(number) => number.fmt(f),
            Self::Text(text) => write_quoted(text, f),
        }
    }
}

/// Quoted.
impl Display for Text {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write_quoted(self, f)
    }
}

/// All digits of an integer of 64 bits; of any other double the shortest that read back as it, with
/// an exponent where zeros would crowd.
impl Display for Number {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        const PLAIN_MIN: f64 = 1e-5;
        /// From here on every double is an integer, and one of more than 64 bits.
        const PLAIN_MAX: f64 = 9_223_372_036_854_775_808.0;
        if let Some(integer) = self.to_i64() {
            return integer.fmt(f);
        }
        let value = self.floor_to_double();
        match value.abs() {
            PLAIN_MIN..PLAIN_MAX => write!(f, "{value}"),
            _ => write!(f, "{value:e}"),
        }
    }
}

fn write_quoted(text: &str, f: &mut Formatter<'_>) -> fmt::Result {
    f.write_char('"')?;
    for character in text.chars() {
        match character {
            '"' => f.write_str("\\\"")?,
            '\\' => f.write_str("\\\\")?,
            '\n' => f.write_str("\\n")?,
            '\t' => f.write_str("\\t")?,
            control if control.is_control() => write!(f, "\\u{{{:x}}}", u32::from(control))?,
            other => f.write_char(other)?,
        }
    }
    f.write_char('"')
}
