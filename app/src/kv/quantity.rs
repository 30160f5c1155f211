//! Numbers of bytes, ranges of them, and pairs, as people write them.

use std::str::FromStr;

/// Reads a number of bytes: digits, perhaps a fraction, and a unit: K, M, G, T or P for powers of 1024, alone or with `iB`; with `B` powers
/// of 1000.
pub(crate) fn parse_bytes(text: &str) -> Result<u64, String> {
    exact_bytes(text).ok_or_else(|| {
        format!(
            "expected a number of bytes below {}, e.g. 1000, 64K, 1.5GiB or 10GB",
            u64::MAX
        )
    })
}

fn exact_bytes(text: &str) -> Option<u64> {
    let end = text.find(|it: char| !it.is_ascii_digit() && it != '.');
    let (number, unit) = text.split_at(end.unwrap_or(text.len()));
    let unit = u128::from(unit_bytes(unit.trim_start())?);
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    // More digits than that say nothing about bytes.
    if whole.is_empty() || fraction.len() > 18 || number.ends_with('.') {
        return None;
    }
    let whole: u64 = whole.parse().ok()?;
    let parts = match fraction {
        "" => 0,
        digits => digits.parse::<u64>().ok()?,
    };
    let scale = 10_u128.pow(u32::try_from(fraction.len()).ok()?);
    let bytes = u128::from(whole) * unit + u128::from(parts) * unit / scale;
    u64::try_from(bytes).ok()
}

fn unit_bytes(unit: &str) -> Option<u64> {
    let unit = unit.to_ascii_uppercase();
    if matches!(&*unit, "" | "B") {
        return Some(1);
    }
    let (letter, rest) = unit.split_at_checked(1)?;
    let power = 1 + u32::try_from("KMGTP".find(letter)?).ok()?;
    match rest {
        "" | "IB" => Some(1024_u64.pow(power)),
        "B" => Some(1000_u64.pow(power)),
        _ => None,
    }
}

/// A number of bytes as people read it.
pub(crate) fn shown_bytes(bytes: u64) -> String {
    indicatif::HumanBytes(bytes).to_string()
}

/// Bytes of an object that are asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ByteRange {
    /// From an offset, up to and including another where that is given.
    From(u64, Option<u64>),
    /// This many at the end.
    Last(u64),
}

impl FromStr for ByteRange {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, &'static str> {
        const FORM: &str = "expected a range of bytes: 0-99, 100- or -100";
        let text = text.strip_prefix("bytes=").unwrap_or(text);
        let (first, last) = text.split_once('-').ok_or(FORM)?;
        let number = |text: &str| match text.bytes().all(|byte| byte.is_ascii_digit()) {
            true => text.parse().map_err(|_| FORM),
            false => Err(FORM),
        };
        match (first, last) {
            ("", last) => Ok(Self::Last(number(last)?)),
            (first, "") => Ok(Self::From(number(first)?, None)),
            (first, last) => match (number(first)?, number(last)?) {
                (first, last) if first <= last => Ok(Self::From(first, Some(last))),
                _ => Err("the range ends before it begins"),
            },
        }
    }
}

impl std::fmt::Display for ByteRange {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::From(first, None) => write!(f, "{first}-"),
            Self::From(first, Some(last)) => write!(f, "{first}-{last}"),
            Self::Last(count) => write!(f, "-{count}"),
        }
    }
}

/// A name and a value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Pair {
    pub(crate) name: String,
    pub(crate) value: String,
}

impl FromStr for Pair {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, &'static str> {
        match text.split_once('=') {
            Some((name, value)) if !name.is_empty() => Ok(Self {
                name: name.to_owned(),
                value: value.to_owned(),
            }),
            _ => Err("expected name=value"),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn bytes_are_read_in_both_kinds_of_units() {
        for (text, bytes) in [
            ("0", 0),
            ("1000", 1000),
            ("512B", 512),
            ("64K", 65_536),
            ("64k", 65_536),
            ("64 KiB", 65_536),
            ("64KB", 64_000),
            ("1.5GiB", 3 << 29),
            ("0.5MB", 500_000),
            ("18446744073709551615", u64::MAX),
        ] {
            assert_eq!(parse_bytes(text), Ok(bytes), "{text}");
        }
    }

    #[test]
    fn what_is_no_number_of_bytes_is_refused() {
        for text in [
            "", "K", ".5K", "1.", "1.2.3", "-1", "1e3", "1X", "1KiBi", "16384P", "1ä", "½",
        ] {
            assert!(parse_bytes(text).is_err(), "{text}");
        }
    }

    #[test]
    fn the_three_forms_of_a_range_are_read() {
        assert_eq!("0-99".parse(), Ok(ByteRange::From(0, Some(99))));
        assert_eq!("100-".parse(), Ok(ByteRange::From(100, None)));
        assert_eq!("bytes=-5".parse(), Ok(ByteRange::Last(5)));
        for text in ["", "-", "5", "5-4", "a-b", "+1-2", "0-1,3-4"] {
            assert!(text.parse::<ByteRange>().is_err(), "{text}");
        }
    }

    #[test]
    fn a_pair_is_cut_at_the_first_equals_sign() {
        let pair: Pair = "a=b=c".parse().unwrap();

        assert_eq!((&*pair.name, &*pair.value), ("a", "b=c"));
        assert!("a=".parse::<Pair>().is_ok());
        assert!("=a".parse::<Pair>().is_err());
        assert!("a".parse::<Pair>().is_err());
    }

    proptest! {
        #[test]
        fn no_text_makes_a_parser_panic(text in ".{0,30}") {
            let _ = parse_bytes(&text);
            let _ = text.parse::<ByteRange>();
            let _ = text.parse::<Pair>();
        }

        #[test]
        fn plain_numbers_are_themselves(bytes: u64) {
            prop_assert_eq!(parse_bytes(&bytes.to_string()), Ok(bytes));
        }
    }
}
