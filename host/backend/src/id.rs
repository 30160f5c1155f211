//! Which location it is.

use std::fmt;
use std::str::FromStr;

/// Which location it is: drawn when a location is made, and kept with its fragments. It tells a location from another that is mounted, or
/// answers, in its place.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LocationId(pub [u8; 16]);

impl LocationId {
    /// The id of a location that is about to be made.
    ///
    /// # Errors
    /// The system has no random bytes.
    pub fn draw() -> Result<Self, getrandom::Error> {
        let mut id = [0; 16];
        getrandom::fill(&mut id)?;
        Ok(Self(id))
    }
}

impl fmt::Display for LocationId {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{:032x}", u128::from_be_bytes(self.0))
    }
}

/// Which location may be where one is opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Expected {
    /// This one.
    This(LocationId),
    /// Whichever is there, but one.
    There,
    /// Whichever is there, or a new one.
    #[default]
    Any,
}

/// A text is no id: one has 32 hexadecimal digits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the id of a location has 32 hexadecimal digits")]
pub struct NoLocationId;

impl FromStr for LocationId {
    type Err = NoLocationId;

    fn from_str(text: &str) -> Result<Self, NoLocationId> {
        let is_hex = text.len() == 32 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
        if !is_hex {
            return Err(NoLocationId);
        }
        let number = u128::from_str_radix(text, 16).map_err(|_| NoLocationId)?;
        Ok(Self(number.to_be_bytes()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_reads_back_from_its_text() {
        let id = LocationId([7; 16]);

        assert_eq!(id.to_string().parse(), Ok(id));
        assert_eq!(LocationId([0; 16]).to_string(), "0".repeat(32));
        for text in ["", "07", &"+".repeat(32), &"0".repeat(33)] {
            assert_eq!(text.parse::<LocationId>(), Err(NoLocationId), "{text}");
        }
    }

    #[test]
    fn two_that_are_drawn_differ() {
        assert_ne!(LocationId::draw().unwrap(), LocationId::draw().unwrap());
    }
}
