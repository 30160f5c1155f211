//! Number literals.
//!
//! Invariant: a literal with a fraction or an exponent stands for the double nearest to it, and one
//! written as an integer for itself alone.
//! Source: ours. The original router parsed values as C integers, so that `90.10` satisfied
//! `>= 90.75`.

use alloc::format;

use crate::value::Number;

/// What a literal without fraction and exponent must be.
const INTEGER: &str = "an integer of 64 bits, or one that a double holds exactly";

/// Reads `-?digits[.digits][e[+-]digits]`, or says what should have stood there.
pub(super) fn parse(word: &str) -> Result<Number, &'static str> {
    let digits = word.strip_prefix('-').unwrap_or(word);
    let shape = shape(digits.as_bytes()).ok_or("a number or a quoted string")?;
    if matches!(shape, Shape::Integer)
        && let Ok(integer) = word.parse::<i64>()
    {
        return Ok(integer.into());
    }
    let value: f64 = word.parse().map_err(|_| "a number or a quoted string")?;
    let number = Number::new(value).ok_or("a finite number")?;
    match shape {
        Shape::Integer if !is_exact(digits, value) => Err(INTEGER),
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
    format!("{:.0}", value.abs()) == digits.trim_start_matches('0')
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
            assert_eq!(
                parse(word).map(Number::floor_to_double),
                Ok(value),
                "{word}"
            );
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
    fn integers_of_64_bits_stand_for_themselves() {
        for (word, value) in [
            ("9007199254740993", 9_007_199_254_740_993),
            ("-9007199254740993", -9_007_199_254_740_993),
            ("0009007199254740993", 9_007_199_254_740_993),
            ("9223372036854775807", i64::MAX),
            ("-9223372036854775808", i64::MIN),
            ("-9223372036854775807", i64::MIN + 1),
        ] {
            assert_eq!(parse(word), Ok(value.into()), "{word}");
        }
    }

    #[test]
    fn a_fraction_or_an_exponent_makes_a_double_of_a_wide_integer() {
        for word in ["9007199254740993.0", "9007199254740993e0"] {
            let number = parse(word).unwrap();

            assert_eq!(number.to_i64(), Some(9_007_199_254_740_992), "{word}");
        }
    }

    #[test]
    fn integers_of_more_bits_stand_for_themselves_where_a_double_does() {
        for word in [
            "9223372036854775808",
            "-9223372036854777856",
            "1180591620717411303424",
        ] {
            let number = parse(word).unwrap();

            assert_eq!(format!("{:.0}", number.floor_to_double()), word);
        }
    }

    #[test]
    fn integers_of_more_bits_that_no_double_is_are_refused() {
        for word in [
            "9223372036854775809",
            "-9223372036854775809",
            "1180591620717411303425",
            "12345678901234567890",
        ] {
            assert_eq!(parse(word), Err(INTEGER), "{word}");
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
