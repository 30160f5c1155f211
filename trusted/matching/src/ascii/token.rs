//! Tokens of a line.
//!
//! Invariant: white space separates tokens and is otherwise without meaning; every token knows
//! where it stands, so an error can point at it.

use alloc::string::String;

use super::{Found, ParseError};

/// A token and the part of the line that it covers.
#[derive(Debug)]
pub(super) struct Token<'a> {
    pub(super) kind: Kind,
    pub(super) text: &'a str,
    start: usize,
}

#[derive(Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// Nothing is left.
    End,
    /// A run of other characters: a number, a bare name, a keyword.
    Word,
    /// A run of `= ! < > ^`.
    Operator,
    /// One of `{ } ,`.
    Punctuation,
    /// What stands between quotes, with escapes resolved.
    Quoted(String),
}

/// A line being cut into tokens.
#[derive(Debug)]
pub(super) struct Scanner<'a> {
    line: &'a str,
    position: usize,
}

impl<'a> Scanner<'a> {
    pub(super) fn new(line: &'a str) -> Self {
        Self { line, position: 0 }
    }

    /// Cuts off the next token, which is [`Kind::End`] for ever once the line is used up.
    pub(super) fn token(&mut self) -> Result<Token<'a>, ParseError> {
        let rest = self.rest().trim_start_matches([' ', '\t']);
        self.position = self.line.len() - rest.len();
        let start = self.position;
        let kind = match rest.chars().next() {
            None => Kind::End,
            Some('"') => Kind::Quoted(self.quoted()?),
            Some('{' | '}' | ',') => {
                self.position += 1;
                Kind::Punctuation
            }
            Some(first) if is_operator(first) => {
                self.skip_while(is_operator);
                Kind::Operator
            }
            Some(_) => {
                self.skip_while(is_word);
                Kind::Word
            }
        };
        Ok(Token {
            kind,
            text: &self.line[start..self.position],
            start,
        })
    }

    /// The error that `expected` should have stood in place of `token`.
    pub(super) fn error(&self, token: &Token<'_>, expected: &'static str) -> ParseError {
        ParseError {
            column: self.column(token.start),
            expected,
            found: Found::new(token.text),
        }
    }

    fn rest(&self) -> &'a str {
        &self.line[self.position..]
    }

    fn column(&self, position: usize) -> usize {
        self.line[..position].chars().count() + 1
    }

    fn skip_while(&mut self, belongs: impl Fn(char) -> bool) {
        self.position = self.line.len() - self.rest().trim_start_matches(belongs).len();
    }

    fn next_char(&mut self) -> Option<char> {
        let next = self.rest().chars().next()?;
        self.position += next.len_utf8();
        Some(next)
    }

    /// The error that `expected` should have stood at `start`, where the text up to the present
    /// position stands.
    fn error_since(&self, start: usize, expected: &'static str) -> ParseError {
        let found = Found::new(&self.line[start..self.position]);
        ParseError {
            column: self.column(start),
            expected,
            found,
        }
    }

    fn quoted(&mut self) -> Result<String, ParseError> {
        self.position += 1;
        let mut text = String::new();
        loop {
            let plain = self.position;
            self.skip_while(|c| c != '"' && c != '\\');
            text.push_str(&self.line[plain..self.position]);
            let start = self.position;
            match self.next_char() {
                Some('\\') => text.push(self.escape(start)?),
                Some(_) => return Ok(text),
                None => return Err(self.error_since(start, "a closing quote")),
            }
        }
    }

    /// Reads an escape, whose backslash at `start` is behind us.
    fn escape(&mut self, start: usize) -> Result<char, ParseError> {
        let escaped = match self.next_char() {
            Some(same @ ('"' | '\\')) => Some(same),
            Some('n') => Some('\n'),
            Some('t') => Some('\t'),
            Some('u') => self.code_point(),
            _ => None,
        };
        escaped.ok_or_else(|| self.error_since(start, r#"one of \" \\ \n \t \u{hex digits}"#))
    }

    /// Reads `{…}` around 1 to 6 hexadecimal digits.
    fn code_point(&mut self) -> Option<char> {
        let digits_and_rest = self.rest().strip_prefix('{')?;
        let length = digits_and_rest.find(|c: char| !c.is_ascii_hexdigit())?;
        let (digits, rest) = digits_and_rest.split_at(length);
        if !(1..=6).contains(&length) || !rest.starts_with('}') {
            return None;
        }
        self.position += length + 2;
        u32::from_str_radix(digits, 16)
            .ok()
            .and_then(char::from_u32)
    }
}

fn is_operator(c: char) -> bool {
    matches!(c, '=' | '!' | '<' | '>' | '^')
}

fn is_word(c: char) -> bool {
    !is_operator(c) && !matches!(c, ' ' | '\t' | '"' | '{' | '}' | ',')
}
