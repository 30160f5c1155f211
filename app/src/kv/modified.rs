//! When a file was modified, as an object's metadata keep it: seconds since 1970, with up to nine digits behind the point.

use std::fmt;
use std::str::FromStr;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// The name of the metadata that keep it.
pub(crate) const MODIFIED: &str = "mtime";

const NANOS: i128 = 1_000_000_000;

/// A time of modification: nanoseconds since 1970, before it negative.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Modified(i128);

impl Modified {
    /// The time for a file; none where this system has no such time.
    pub(crate) fn to_system(self) -> Option<SystemTime> {
        let secs = u64::try_from(self.0.unsigned_abs() / NANOS.unsigned_abs()).ok()?;
        let nanos = u32::try_from(self.0.unsigned_abs() % NANOS.unsigned_abs()).ok()?;
        let span = Duration::new(secs, nanos);
        match self.0 < 0 {
            true => UNIX_EPOCH.checked_sub(span),
            false => UNIX_EPOCH.checked_add(span),
        }
    }

    /// Whether both mean the same moment, one of them perhaps kept in whole seconds by its file system.
    pub(crate) fn agrees_with(self, other: Self) -> bool {
        let is_whole = |it: Self| it.0.rem_euclid(NANOS) == 0;
        let same_second = self.0.div_euclid(NANOS) == other.0.div_euclid(NANOS);
        self == other || (same_second && (is_whole(self) || is_whole(other)))
    }
}

impl From<SystemTime> for Modified {
    fn from(time: SystemTime) -> Self {
        let nanos = |span: Duration| i128::try_from(span.as_nanos()).unwrap_or(i128::MAX);
        Self(match time.duration_since(UNIX_EPOCH) {
            Ok(since) => nanos(since),
            Err(before) => -nanos(before.duration()),
        })
    }
}

impl fmt::Display for Modified {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sign = if self.0 < 0 { "-" } else { "" };
        let (secs, nanos) = (self.0.abs() / NANOS, self.0.abs() % NANOS);
        write!(f, "{sign}{secs}.{nanos:09}")
    }
}

impl FromStr for Modified {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let (is_before, text) = match text.strip_prefix('-') {
            Some(rest) => (true, rest),
            None => (false, text),
        };
        let (secs, fraction) = text.split_once('.').unwrap_or((text, ""));
        let is_number = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
        if secs.is_empty() || fraction.len() > 9 || !is_number(secs) || !is_number(fraction) {
            return Err(());
        }
        let secs: i64 = secs.parse().map_err(drop)?;
        let nanos: i64 = format!("{fraction:0<9}").parse().map_err(drop)?;
        let span = i128::from(secs) * NANOS + i128::from(nanos);
        Ok(Self(if is_before { -span } else { span }))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_file_system_of_whole_seconds_agrees() {
        let time = |text: &str| text.parse::<Modified>().unwrap();

        assert!(time("5.25").agrees_with(time("5")));
        assert!(time("5.250000000").agrees_with(time("5.25")));
        assert!(!time("5.25").agrees_with(time("5.26")));
        assert!(!time("5.25").agrees_with(time("6")));
    }

    #[test]
    fn what_is_no_time_is_refused() {
        for text in ["", "-", ".5", "1.1234567890", "1e3", "+1", "now"] {
            assert!(text.parse::<Modified>().is_err(), "{text}");
        }
    }

    proptest! {
        #[test]
        fn a_time_reads_back(secs in 0_u64..1 << 40, nanos in 0_u32..1_000_000_000, is_before: bool) {
            let span = Duration::new(secs, nanos);
            let time = match is_before {
                true => UNIX_EPOCH.checked_sub(span),
                false => UNIX_EPOCH.checked_add(span),
            };
            let kept = Modified::from(time.unwrap());

            prop_assert_eq!(kept.to_string().parse(), Ok(kept));
            prop_assert_eq!(kept.to_system(), time);
        }

        #[test]
        fn no_text_makes_the_parser_panic(text in ".{0,30}") {
            let _ = text.parse::<Modified>();
        }
    }
}
