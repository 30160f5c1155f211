//! What a fragment is called.
//!
//! Invariant: a name is safe as it stands in a path, a URL and a key, and is neither `.` nor `..`, hidden nor an option.

use std::fmt;
use std::sync::Arc;

/// Longest name, in bytes: with what a backend adds it stays below the 255 bytes that file systems allow.
pub const NAME_BYTES_MAX: usize = 100;

/// Why some text is no fragment's name: whoever made it has to make another.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum NameError {
    /// It is empty or too long.
    #[error("a fragment's name of {bytes} bytes: it takes 1 to {NAME_BYTES_MAX}")]
    Length {
        /// How long it is.
        bytes: usize,
    },
    /// It has a byte other than `a` to `z`, `0` to `9`, `.` and `-`, or begins with one of the last two.
    #[error("byte {at} of a fragment's name: it takes a-z, 0-9, and after the first byte . and -")]
    Byte {
        /// Where the first such byte is, from 0.
        at: usize,
    },
}

/// A fragment's name: 1 to [`NAME_BYTES_MAX`] bytes of `[a-z0-9.-]`, the first a letter or digit. Ordered by its bytes; cheap to clone.
///
/// Names are drawn at random and never used twice, not even after a delete.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FragmentName(Arc<str>);

impl FragmentName {
    /// Takes `text` as a name.
    ///
    /// # Errors
    /// [`NameError`].
    pub fn new(text: &str) -> Result<Self, NameError> {
        let bytes = text.len();
        if bytes == 0 || bytes > NAME_BYTES_MAX {
            return Err(NameError::Length { bytes });
        }
        let refused = |(at, byte): (usize, u8)| match byte {
            b'a'..=b'z' | b'0'..=b'9' => false,
            b'.' | b'-' => at == 0,
            _ => true,
        };
        match text.bytes().enumerate().position(refused) {
            Some(at) => Err(NameError::Byte { at }),
            None => Ok(Self(text.into())),
        }
    }

    /// The name as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for FragmentName {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&self.0)
    }
}

impl fmt::Display for FragmentName {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&self.0)
    }
}

impl AsRef<str> for FragmentName {
    fn as_ref(&self) -> &str {
        &self.0
    }
}

impl std::str::FromStr for FragmentName {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        Self::new(text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_lower_case_letters_digits_dots_and_dashes() {
        for name in [
            "a",
            "0",
            "a..",
            "a-",
            "0123456789abcdef.m",
            &"z".repeat(100),
        ] {
            assert_eq!(FragmentName::new(name).unwrap().as_str(), name);
        }
    }

    #[test]
    fn a_name_is_neither_empty_nor_longer_than_a_hundred_bytes() {
        let long = "z".repeat(101);

        assert_eq!(FragmentName::new(""), Err(NameError::Length { bytes: 0 }));
        assert_eq!(
            FragmentName::new(&long),
            Err(NameError::Length { bytes: 101 })
        );
    }

    #[test]
    fn a_name_leads_nowhere_in_a_file_system() {
        for (name, at) in [
            (".", 0),
            ("..", 0),
            ("-rf", 0),
            (".hidden", 0),
            ("a/b", 1),
            ("ab\0", 2),
            ("Ab", 0),
            ("aé", 1),
            ("a\n", 1),
        ] {
            assert_eq!(
                FragmentName::new(name),
                Err(NameError::Byte { at }),
                "{name}"
            );
        }
    }
}
