//! The ASCII form of publications and subscriptions: one line per item, `i` before every field.
//!
//! ```text
//! 0 0 P i symbol "IBM" i date 1136764800 i high 83.9
//! 0 8945 S i symbol in {"IBM", "AAPL"} i open >= 132 i volume exists
//! ```
//! Invariant: what prints reads back as the same item.
//! Source: D4.2 §2.1 for the frame of a line and numbers; quoted strings and `!=  ^=  in  exists`
//! are additions. The grammar is in `docs/FORMATS.md`.

mod lines;
mod number;
mod parse;
mod print;
mod token;

use alloc::boxed::Box;
use alloc::string::String;
use core::fmt;

pub use lines::{LineError, Lines, parse_numbered};
pub use parse::parse;
pub use print::subscription_line;

use crate::publication::Publication;
use crate::subscription::Subscription;

/// What one line holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Line {
    /// `0 0 P …`; the two numbers are ignored and printed as zeros.
    Publication(Publication),
    /// `0 id S …`; the first number is ignored and printed as zero.
    Subscription {
        /// The subscriber's own number for it.
        id: u64,
        /// The constraints.
        subscription: Subscription,
    },
}

/// Where a line departs from the grammar or exceeds a bound, and how to mend it.
///
/// It quotes the text it stumbled over, so it belongs to whoever may read the line.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("column {column}: expected {expected}, found {found}")]
pub struct ParseError {
    /// Where, in characters, from 1.
    pub column: usize,
    /// What may stand there.
    pub expected: &'static str,
    /// What stands there.
    pub found: Found,
}

/// What a parser found where it expected something else.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Found {
    /// The line ends there.
    End,
    /// The beginning of the text that stands there, with control characters escaped.
    Text(Box<str>),
}

impl Found {
    /// Most characters of a line that an error quotes.
    const CHARACTERS_MAX: usize = 32;

    fn new(text: &str) -> Self {
        if text.is_empty() {
            return Self::End;
        }
        let mut shown = String::new();
        for (count, character) in text.chars().enumerate() {
            if count == Self::CHARACTERS_MAX {
                shown.push('…');
                break;
            }
            match character {
                '"' | '\'' | '\\' => shown.push(character),
                other => shown.extend(other.escape_debug()),
            }
        }
        Self::Text(shown.into())
    }
}

impl fmt::Display for Found {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::End => f.write_str("the end of the line"),
            Self::Text(text) => write!(f, "`{text}`"),
        }
    }
}
