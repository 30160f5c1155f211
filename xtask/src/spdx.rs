//! SPDX licence expressions: whether a set of licences satisfies one.
//!
//! Invariant: what cannot be read satisfies nothing.
//! Source: SPDX specification 2.3, annex D; `/` for `OR`, which crates.io once allowed.

use std::fmt;

/// Why an expression cannot be read.
#[derive(Debug, PartialEq, Eq)]
pub enum ExpressionError {
    /// A licence, `AND`, `OR`, `WITH` or a parenthesis stands where it cannot.
    Unexpected(String),
    /// The expression ends too early.
    Incomplete,
}

impl fmt::Display for ExpressionError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unexpected(token) => write!(f, "unexpected `{token}`"),
            Self::Incomplete => f.write_str("ends too early"),
        }
    }
}

impl std::error::Error for ExpressionError {}

/// Whether someone who accepts the licences of `allowed`, and no other, can use what `expression` licenses.
///
/// An exception is part of its licence: `Apache-2.0 WITH LLVM-exception` has to be allowed as such.
///
/// # Errors
/// When `expression` is not an SPDX expression.
pub fn satisfied(expression: &str, allowed: &[&str]) -> Result<bool, ExpressionError> {
    let spaced = expression
        .replace('(', " ( ")
        .replace(')', " ) ")
        .replace('/', " OR ");
    let mut tokens = Tokens {
        rest: spaced.split_whitespace().collect(),
        allowed,
    };
    tokens.rest.reverse();
    let holds = tokens.any()?;
    match tokens.rest.pop() {
        None => Ok(holds),
        Some(token) => Err(ExpressionError::Unexpected(token.to_owned())),
    }
}

/// The tokens not yet read, the next one last.
struct Tokens<'a> {
    rest: Vec<&'a str>,
    allowed: &'a [&'a str],
}

impl Tokens<'_> {
    fn take(&mut self, keyword: &str) -> bool {
        let found = self
            .rest
            .last()
            .is_some_and(|token| token.eq_ignore_ascii_case(keyword));
        if found {
            self.rest.pop();
        }
        found
    }

    /// `all OR all OR …`
    fn any(&mut self) -> Result<bool, ExpressionError> {
        let mut holds = self.all()?;
        while self.take("OR") {
            holds |= self.all()?;
        }
        Ok(holds)
    }

    /// `term AND term AND …`
    fn all(&mut self) -> Result<bool, ExpressionError> {
        let mut holds = self.term()?;
        while self.take("AND") {
            holds &= self.term()?;
        }
        Ok(holds)
    }

    /// A licence, with its exception if it has one, or an expression in parentheses.
    fn term(&mut self) -> Result<bool, ExpressionError> {
        if self.take("(") {
            let holds = self.any()?;
            return if self.take(")") {
                Ok(holds)
            } else {
                Err(self.wrong())
            };
        }
        let mut licence = self.name()?.to_owned();
        if self.take("WITH") {
            licence = format!("{licence} WITH {}", self.name()?);
        }
        Ok(self.allowed.contains(&licence.as_str()))
    }

    fn name(&mut self) -> Result<&str, ExpressionError> {
        let is_name = |token: &&str| {
            !["AND", "OR", "WITH", "(", ")"]
                .iter()
                .any(|keyword| token.eq_ignore_ascii_case(keyword))
        };
        match self.rest.last().copied().filter(is_name) {
            Some(name) => {
                self.rest.pop();
                Ok(name)
            }
            None => Err(self.wrong()),
        }
    }

    fn wrong(&self) -> ExpressionError {
        self.rest
            .last()
            .map_or(ExpressionError::Incomplete, |token| {
                ExpressionError::Unexpected((*token).to_owned())
            })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALLOWED: &[&str] = &["MIT", "Apache-2.0", "ISC", "Apache-2.0 WITH LLVM-exception"];

    #[test]
    fn one_allowed_alternative_is_enough() {
        for expression in [
            "MIT",
            "MIT OR GPL-3.0-only",
            "GPL-3.0-only OR MIT",
            "GPL-2.0/MIT",
            "gpl or MIT",
        ] {
            assert_eq!(satisfied(expression, ALLOWED), Ok(true), "{expression}");
        }
    }

    #[test]
    fn of_what_is_joined_by_and_everything_has_to_be_allowed() {
        assert_eq!(satisfied("MIT AND ISC", ALLOWED), Ok(true));
        assert_eq!(satisfied("MIT AND OpenSSL", ALLOWED), Ok(false));
    }

    #[test]
    fn and_binds_tighter_than_or() {
        assert_eq!(satisfied("MIT OR ISC AND OpenSSL", ALLOWED), Ok(true));
        assert_eq!(satisfied("(MIT OR ISC) AND OpenSSL", ALLOWED), Ok(false));
        assert_eq!(satisfied("OpenSSL AND ISC OR MIT", ALLOWED), Ok(true));
    }

    #[test]
    fn parentheses_nest() {
        let expression = "ISC AND (Apache-2.0 OR (GPL-2.0-only AND BSD-3-Clause)) AND (MIT)";

        assert_eq!(satisfied(expression, ALLOWED), Ok(true));
    }

    #[test]
    fn a_licence_with_an_exception_is_not_the_licence_without() {
        assert_eq!(
            satisfied("Apache-2.0 WITH LLVM-exception", ALLOWED),
            Ok(true)
        );
        assert_eq!(satisfied("MIT WITH LLVM-exception", ALLOWED), Ok(false));
    }

    #[test]
    fn a_later_version_is_another_licence() {
        assert_eq!(satisfied("Apache-2.0+", ALLOWED), Ok(false));
    }

    #[test]
    fn what_is_not_an_expression_is_refused() {
        let unexpected = |token: &str| Err(ExpressionError::Unexpected(token.to_owned()));

        assert_eq!(satisfied("", ALLOWED), Err(ExpressionError::Incomplete));
        assert_eq!(
            satisfied("MIT AND", ALLOWED),
            Err(ExpressionError::Incomplete)
        );
        assert_eq!(satisfied("(MIT", ALLOWED), Err(ExpressionError::Incomplete));
        assert_eq!(satisfied("MIT ISC", ALLOWED), unexpected("ISC"));
        assert_eq!(satisfied("OR MIT", ALLOWED), unexpected("OR"));
        assert_eq!(satisfied("MIT)", ALLOWED), unexpected(")"));
        assert_eq!(satisfied("MIT WITH (ISC)", ALLOWED), unexpected("("));
    }
}
