//! The header Range: which bytes of an object are asked for.
//!
//! Source: RFC 9110, section 14. What is no single range of bytes is not looked at, and the whole object is the answer.

use core::ops::Range;

/// The bytes that are asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Asked {
    /// All of them.
    Whole,
    /// From an offset, up to and including another where that is given.
    From(u64, Option<u64>),
    /// This many at the end.
    Last(u64),
}

impl Asked {
    /// Reads the header's value.
    pub(super) fn parse(value: &str) -> Self {
        Self::single(value).unwrap_or(Self::Whole)
    }

    fn single(value: &str) -> Option<Self> {
        let (unit, range) = value.split_once('=')?;
        if !unit.trim().eq_ignore_ascii_case("bytes") {
            return None;
        }
        let (first, last) = range.trim().split_once('-')?;
        match (first.trim(), last.trim()) {
            ("", "") => None,
            ("", last) => Some(Self::Last(number(last)?)),
            (first, "") => Some(Self::From(number(first)?, None)),
            (first, last) => {
                let (first, last) = (number(first)?, number(last)?);
                (first <= last).then_some(Self::From(first, Some(last)))
            }
        }
    }

    /// The range of offsets in an object of `bytes` bytes; none where none of them is in it.
    pub(super) fn within(self, bytes: u64) -> Option<Range<u64>> {
        match self {
            Self::Whole => Some(0..bytes),
            Self::From(first, last) => {
                let end = last.map_or(bytes, |last| bytes.min(last.saturating_add(1)));
                (first < bytes).then_some(first..end)
            }
            Self::Last(count) => {
                let start = bytes.saturating_sub(count);
                (count > 0 && bytes > 0).then_some(start..bytes)
            }
        }
    }
}

fn number(text: &str) -> Option<u64> {
    let is_number = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    if !is_number {
        return None;
    }
    // More digits than a number has: behind the end of any object.
    Some(text.parse().unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_three_forms_are_read() {
        assert_eq!(Asked::parse("bytes=0-99"), Asked::From(0, Some(99)));
        assert_eq!(Asked::parse("bytes=100-"), Asked::From(100, None));
        assert_eq!(Asked::parse("Bytes = -5"), Asked::Last(5));
    }

    #[test]
    fn what_is_no_single_range_of_bytes_asks_for_everything() {
        for value in [
            "",
            "bytes",
            "bytes=",
            "bytes=-",
            "bytes=5-4",
            "bytes=0-1,3-4",
            "lines=1-2",
            "bytes=a-b",
            "bytes=+1-2",
        ] {
            assert_eq!(Asked::parse(value), Asked::Whole, "{value}");
        }
    }

    #[test]
    fn a_range_ends_where_the_object_does() {
        assert_eq!(Asked::From(2, Some(9)).within(5), Some(2..5));
        assert_eq!(Asked::From(2, None).within(5), Some(2..5));
        assert_eq!(Asked::Last(9).within(5), Some(0..5));
    }

    #[test]
    fn a_range_outside_the_object_is_none() {
        assert_eq!(Asked::From(5, None).within(5), None);
        assert_eq!(Asked::From(0, None).within(0), None);
        assert_eq!(Asked::Last(0).within(5), None);
        assert_eq!(Asked::Last(1).within(0), None);
        assert_eq!(Asked::Whole.within(0), Some(0..0));
    }

    proptest! {
        #[test]
        fn a_range_agrees_with_a_slice(first in 0_u64..50, length in 1_u64..50, bytes in 0_u64..60) {
            let last = first + length - 1;
            let object: Vec<u64> = (0..bytes).collect();
            let slow: Vec<u64> = object.iter().copied().filter(|at| (first..=last).contains(at)).collect();

            let range = Asked::parse(&format!("bytes={first}-{last}")).within(bytes);

            let got: Vec<u64> = range.into_iter().flatten().collect();
            prop_assert_eq!(got, slow);
        }

        #[test]
        fn no_value_makes_the_parser_panic(value in ".{0,60}", bytes: u64) {
            let _ = Asked::parse(&value).within(bytes);
        }
    }
}
