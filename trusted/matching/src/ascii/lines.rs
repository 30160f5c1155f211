//! Files of lines.
//!
//! Invariant: every line that is not blank and not a comment (`#` first) yields one item or one
//! error, and both carry its number.

use core::iter::Enumerate;
use core::str;

use super::{Line, ParseError, parse};

/// A [`ParseError`] and the line it is in.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("line {line}, {error}")]
pub struct LineError {
    /// Counted from 1, blank lines and comments included.
    pub line: usize,
    /// What is wrong with it.
    pub error: ParseError,
}

/// Reads the line numbered `line` of a file; `None` when it is blank or a comment.
///
/// For callers that read a file piece by piece; whoever has all of it uses [`Lines`].
///
/// # Errors
/// [`LineError`], with `line` in it.
pub fn parse_numbered(line: usize, text: &str) -> Result<Option<Line>, LineError> {
    let start = text.trim_start();
    if start.is_empty() || start.starts_with('#') {
        return Ok(None);
    }
    parse(text)
        .map(Some)
        .map_err(|error| LineError { line, error })
}

/// The items of a text, each with the number of its line.
///
/// Lines end with `\n` or `\r\n`. A byte order mark before the first is skipped. Reading goes on
/// behind an error.
#[derive(Clone, Debug)]
pub struct Lines<'a> {
    lines: Enumerate<str::Lines<'a>>,
}

impl<'a> Lines<'a> {
    /// Begins with the first line of `text`.
    #[must_use]
    pub fn new(text: &'a str) -> Self {
        let text = text.strip_prefix('\u{feff}').unwrap_or(text);
        Self {
            lines: text.lines().enumerate(),
        }
    }
}

impl Iterator for Lines<'_> {
    type Item = Result<(usize, Line), LineError>;

    fn next(&mut self) -> Option<Self::Item> {
        self.lines.find_map(|(position, text)| {
            let line = position + 1;
            parse_numbered(line, text)
                .map(|item| item.map(|item| (line, item)))
                .transpose()
        })
    }
}
