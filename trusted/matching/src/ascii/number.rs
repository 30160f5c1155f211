//! Number literals.
//!
//! Invariant: a literal stands for the double nearest to it, and one written as an integer for
//! itself alone.
//! Source: ours. The original router parsed values as C integers, so that `90.10` satisfied
//! `>= 90.75`.

use alloc::format;

use crate::value::Number;

/// Reads `-?digits[.digits][e[+-]digits]`, or says what should have stood there.
pub(super) fn parse(word: &str) -> Result<Number, &'static str> {
    let digits = word.strip_prefix('-').unwrap_or(word);
    let shape = shape(digits.as_bytes()).ok_or("a number or a quoted string")?;
    let value: f64 = word.parse().map_err(|_| "a number or a quoted string")?;
    let number = Number::new(value).ok_or("a finite number")?;
    match shape {
        Shape::Integer if !is_exact(digits, value) => Err("an integer that a double holds exactly"),
        _ => Ok(number),
    }
}

enum Shape {
    Integer,
    Other,
}

/// Checks the grammar behind the sign.
fn shape(digits: &[u8]) -> Option<Shape> {
    let rest = skip_digits(digits)?;
    if rest.is_empty() {
        return Some(Shape::Integer);
    }
    let rest = match rest {
        [b'.', fraction @ ..] => skip_digits(fraction)?,
        _ => rest,
    };
    let rest = match rest {
        [b'e' | b'E', b'+' | b'-', exponent @ ..] | [b'e' | b'E', exponent @ ..] => {
            skip_digits(exponent)?
        }
        _ => rest,
    };
    rest.is_empty().then_some(Shape::Other)
}

/// What follows a run of one or more digits.
fn skip_digits(bytes: &[u8]) -> Option<&[u8]> {
    let length = bytes.iter().take_while(|b| b.is_ascii_digit()).count();
    (length > 0).then(|| &bytes[length..])
}

/// Whether `value`, read from the decimal `digits`, is the very integer they spell.
fn is_exact(digits: &str, value: f64) -> bool {
    /// Every integer of so few digits is a double.
    const EXACT_DIGITS: usize = 15;
    let digits = digits.trim_start_matches('0');
    digits.len() <= EXACT_DIGITS || format!("{:.0}", value.abs()) == digits
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn literals_stand_for_the_nearest_double() {
        for (word, value) in [
            ("58", 58.0),
            ("-3.25", -3.25),
            ("1e6", 1e6),
            ("2.5E-3", 0.0025),
            ("1e+2", 100.0),
            ("007", 7.0),
            ("-0", 0.0),
            ("90.10", 90.1),
            ("9007199254740992", 9_007_199_254_740_992.0),
            ("1180591620717411303424", 1_180_591_620_717_411_303_424.0),
            ("1e-999", 0.0),
        ] {
            assert_eq!(parse(word).map(Number::get), Ok(value), "{word}");
        }
    }

    #[test]
    fn literals_that_are_not_finite_are_refused() {
        let digits = "9".repeat(400);
        for word in ["1e999", "-1e999", digits.as_str()] {
            assert_eq!(parse(word), Err("a finite number"), "{word}");
        }
    }

    #[test]
    fn integers_that_a_double_does_not_hold_are_refused() {
        for word in [
            "9007199254740993",
            "-9007199254740993",
            "1180591620717411303425",
            "12345678901234567890",
        ] {
            assert_eq!(
                parse(word),
                Err("an integer that a double holds exactly"),
                "{word}"
            );
        }
    }

    #[test]
    fn what_is_not_a_number_is_refused() {
        for word in [
            "", "-", "+1", ".5", "5.", "1e", "1e+", "--1", "0x10", "1_000", "58abc", "inf", "NaN",
            "1.2.3",
        ] {
            assert_eq!(parse(word), Err("a number or a quoted string"), "{word}");
        }
    }
}
