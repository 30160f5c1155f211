//! Attribute names.
//!
//! Invariant: 1 to [`NAME_BYTES_MAX`] bytes of UTF-8, compared byte by byte. Any such name can be
//! written in ASCII: bare when it looks like an identifier, else quoted.

use alloc::boxed::Box;
use core::ops::Deref;

use crate::bound::{LimitError, NAME_BYTES_MAX};

/// The name of an attribute.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Name(Box<str>);

impl Name {
    /// Copies `name`.
    ///
    /// # Errors
    /// [`LimitError::NameLength`] when it is empty or longer than [`NAME_BYTES_MAX`].
    pub fn new(name: &str) -> Result<Self, LimitError> {
        check(name)?;
        Ok(Self(name.into()))
    }

    /// The name as it was given, without quotes.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether ASCII writes `name` without quotes: `[A-Za-z_][A-Za-z0-9_.-]*`.
    #[must_use]
    pub fn is_bare(name: &str) -> bool {
        let starts = name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_');
        starts
            && name
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'.' | b'-'))
    }
}

impl Deref for Name {
    type Target = str;

    fn deref(&self) -> &str {
        &self.0
    }
}

/// Checks the length of a name that is only borrowed.
pub(crate) fn check(name: &str) -> Result<(), LimitError> {
    match name.len() {
        1..=NAME_BYTES_MAX => Ok(()),
        bytes => Err(LimitError::NameLength { bytes }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_has_1_to_255_bytes() {
        let longest = "n".repeat(NAME_BYTES_MAX);
        let too_long = "n".repeat(NAME_BYTES_MAX + 1);

        assert!(Name::new(&longest).is_ok());
        assert_eq!(Name::new(""), Err(LimitError::NameLength { bytes: 0 }));
        assert_eq!(
            Name::new(&too_long),
            Err(LimitError::NameLength { bytes: 256 })
        );
    }

    #[test]
    fn only_identifiers_are_bare() {
        for bare in ["symbol", "_x", "a.b-c", "i", "in", "exists"] {
            assert!(Name::is_bare(bare), "{bare}");
        }
        for quoted in ["", "1st", "-a", "a b", "größe", "a=b"] {
            assert!(!Name::is_bare(quoted), "{quoted}");
        }
    }
}
