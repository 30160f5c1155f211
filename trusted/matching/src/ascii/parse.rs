//! Lines read.
//!
//! Grammar: `number number ("P" {"i" name value} | "S" {"i" name condition})` where a condition is
//! an operator and its operand, `in {value, …}` or `exists`, and a name is bare or quoted.

use alloc::boxed::Box;
use alloc::vec::Vec;

use super::token::{Kind, Scanner, Token};
use super::{Line, ParseError, number};
use crate::bound::{CONSTRAINTS_MAX, LINE_BYTES_MAX, LimitError};
use crate::name::Name;
use crate::publication::Publication;
use crate::subscription::{Constraint, Predicate, Subscription};
use crate::value::{Text, Value};

/// Reads one line, with or without its line end.
///
/// # Errors
/// [`ParseError`] at the first token that does not belong there.
pub fn parse(line: &str) -> Result<Line, ParseError> {
    let line = line.strip_suffix('\n').unwrap_or(line);
    let line = line.strip_suffix('\r').unwrap_or(line);
    let mut scanner = Scanner::new(line);
    if line.len() > LINE_BYTES_MAX {
        let start = scanner.token()?;
        return Err(scanner.error(&start, "a line of at most 1048576 bytes"));
    }
    integer(&mut scanner)?;
    let id = integer(&mut scanner)?;
    let kind = scanner.token()?;
    match kind.text {
        "P" => publication(&mut scanner).map(Line::Publication),
        "S" => {
            subscription(&mut scanner).map(|subscription| Line::Subscription { id, subscription })
        }
        _ => Err(scanner.error(&kind, "`P` or `S`")),
    }
}

fn integer(scanner: &mut Scanner<'_>) -> Result<u64, ParseError> {
    let token = scanner.token()?;
    let digits = token.text.bytes().all(|b| b.is_ascii_digit());
    let integer = digits.then(|| token.text.parse().ok()).flatten();
    integer.ok_or_else(|| scanner.error(&token, "an integer from 0 to 18446744073709551615"))
}

fn publication(scanner: &mut Scanner<'_>) -> Result<Publication, ParseError> {
    let mut publication = Publication::new();
    while let Some(name_token) = field(scanner)? {
        let name = name(scanner, &name_token)?;
        let value = value(scanner)?;
        publication
            .push(name, value)
            .map_err(|limit| scanner.error(&name_token, within(limit)))?;
    }
    Ok(publication)
}

fn subscription(scanner: &mut Scanner<'_>) -> Result<Subscription, ParseError> {
    let mut constraints = Vec::new();
    while let Some(name_token) = field(scanner)? {
        if constraints.len() == CONSTRAINTS_MAX {
            return Err(scanner.error(&name_token, within(LimitError::Constraints)));
        }
        let name = name(scanner, &name_token)?;
        let predicate = predicate(scanner)?;
        let constraint = Constraint::new(name, predicate);
        constraints.push(constraint.map_err(|limit| scanner.error(&name_token, within(limit)))?);
    }
    let end = scanner.token()?;
    Subscription::new(constraints).map_err(|limit| scanner.error(&end, within(limit)))
}

/// The token behind the next `i`, or `None` at the end of the line.
fn field<'a>(scanner: &mut Scanner<'a>) -> Result<Option<Token<'a>>, ParseError> {
    let marker = scanner.token()?;
    match marker.kind {
        Kind::End => Ok(None),
        Kind::Word if marker.text == "i" => scanner.token().map(Some),
        _ => Err(scanner.error(&marker, "`i` before the next field, or the end of the line")),
    }
}

fn name(scanner: &Scanner<'_>, token: &Token<'_>) -> Result<Name, ParseError> {
    let name = match &token.kind {
        Kind::Word if Name::is_bare(token.text) => token.text,
        Kind::Quoted(name) => name,
        _ => return Err(scanner.error(token, "an attribute name")),
    };
    Name::new(name).map_err(|limit| scanner.error(token, within(limit)))
}

fn predicate(scanner: &mut Scanner<'_>) -> Result<Predicate, ParseError> {
    let operator = scanner.token()?;
    Ok(match (&operator.kind, operator.text) {
        (Kind::Operator, "=") => Predicate::Equal(value(scanner)?),
        (Kind::Operator, "!=") => Predicate::NotEqual(value(scanner)?),
        (Kind::Operator, "<") => Predicate::Less(value(scanner)?),
        (Kind::Operator, "<=") => Predicate::LessOrEqual(value(scanner)?),
        (Kind::Operator, ">") => Predicate::Greater(value(scanner)?),
        (Kind::Operator, ">=") => Predicate::GreaterOrEqual(value(scanner)?),
        (Kind::Operator, "^=") => Predicate::Prefix(prefix(scanner)?),
        (Kind::Word, "in") => Predicate::In(values(scanner)?),
        (Kind::Word, "exists") => Predicate::Exists,
        _ => return Err(scanner.error(&operator, "one of = != < <= > >= ^= in exists")),
    })
}

fn value(scanner: &mut Scanner<'_>) -> Result<Value, ParseError> {
    let token = scanner.token()?;
    match &token.kind {
        Kind::Quoted(text) => self::text(scanner, &token, text).map(Value::Text),
        Kind::Word => number::parse(token.text)
            .map(Value::Number)
            .map_err(|expected| scanner.error(&token, expected)),
        _ => Err(scanner.error(&token, "a number or a quoted string")),
    }
}

fn prefix(scanner: &mut Scanner<'_>) -> Result<Text, ParseError> {
    let token = scanner.token()?;
    match &token.kind {
        Kind::Quoted(text) => self::text(scanner, &token, text),
        _ => Err(scanner.error(&token, "a quoted string")),
    }
}

fn text(scanner: &Scanner<'_>, token: &Token<'_>, text: &str) -> Result<Text, ParseError> {
    Text::new(text).map_err(|limit| scanner.error(token, within(limit)))
}

fn values(scanner: &mut Scanner<'_>) -> Result<Box<[Value]>, ParseError> {
    let open = scanner.token()?;
    if open.text != "{" {
        return Err(scanner.error(&open, "`{`"));
    }
    let mut values = Vec::new();
    loop {
        values.push(value(scanner)?);
        let next = scanner.token()?;
        match next.text {
            "}" => return Ok(values.into()),
            "," => {}
            _ => return Err(scanner.error(&next, "`,` or `}`")),
        }
    }
}

/// The bound that was exceeded, as what was expected.
fn within(limit: LimitError) -> &'static str {
    match limit {
        LimitError::NameLength { .. } => "an attribute name of 1 to 255 bytes",
        LimitError::TextLength { .. } => "a text of at most 65535 bytes",
        LimitError::NotFinite => "a finite number",
        LimitError::Attributes => "at most 255 attributes",
        LimitError::NameTwice => "an attribute that the line has not named before",
        LimitError::Constraints => "at most 255 constraints",
        LimitError::InValues { .. } => "1 to 1024 values between braces",
        LimitError::ItemBytes => "at most 131072 bytes of names and values",
    }
}
