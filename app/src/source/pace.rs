//! When the next publication may leave, so that at most so many leave each second.
//!
//! Invariant: two publications are due one interval apart; what was held up is made up for, but for no longer than
//! [`BACKLOG`], so that a pause is never followed by a flood.

use std::time::{Duration, Instant};

/// How far behind its pace a source may be and still catch up: more than a timer or a busy processor makes it wait.
const BACKLOG: Duration = Duration::from_millis(100);

const SECOND_NS: u64 = 1_000_000_000;

/// A steady pace. It reads no clock: callers say what time it is.
#[derive(Debug)]
pub(super) struct Pace {
    interval: Duration,
    /// When the next publication is due; at the first question, at once.
    next: Option<Instant>,
}

impl Pace {
    /// At most `per_s` publications a second, rounded down to whole nanoseconds between two of them.
    pub(super) fn new(per_s: u32) -> Self {
        Self {
            interval: Duration::from_nanos(SECOND_NS.div_ceil(u64::from(per_s.max(1)))),
            next: None,
        }
    }

    /// Whether one may leave now.
    pub(super) fn is_due(&self, now: Instant) -> bool {
        self.next.is_none_or(|next| next <= now)
    }

    /// When one may leave; `None` if the first has not left yet.
    pub(super) fn next(&self) -> Option<Instant> {
        self.next
    }

    /// One leaves now.
    pub(super) fn count(&mut self, now: Instant) {
        let due = self.next.unwrap_or(now);
        let earliest = now.checked_sub(BACKLOG);
        self.next = Some(earliest.map_or(due, |earliest| due.max(earliest)) + self.interval);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// How many leave at once at this time.
    fn leaving(pace: &mut Pace, now: Instant) -> usize {
        let mut count = 0;
        while pace.is_due(now) {
            pace.count(now);
            count += 1;
        }
        count
    }

    #[test]
    fn the_first_leaves_at_once_and_the_next_an_interval_later() {
        let begin = Instant::now();
        let mut pace = Pace::new(1000);

        assert_eq!(leaving(&mut pace, begin), 1);
        assert_eq!(pace.next(), Some(begin + Duration::from_millis(1)));
        assert_eq!(leaving(&mut pace, begin + Duration::from_micros(999)), 0);
        assert_eq!(leaving(&mut pace, begin + Duration::from_millis(1)), 1);
    }

    #[test]
    fn a_late_timer_does_not_lower_the_rate() {
        let begin = Instant::now();
        let mut pace = Pace::new(10_000);

        let left: usize = [0, 3, 4, 20, 100]
            .map(|ms| leaving(&mut pace, begin + Duration::from_millis(ms)))
            .iter()
            .sum();

        assert_eq!(left, 1001);
    }

    #[test]
    fn a_long_pause_is_not_made_up_for() {
        let begin = Instant::now();
        let mut pace = Pace::new(1000);
        leaving(&mut pace, begin);

        let after = leaving(&mut pace, begin + Duration::from_secs(3600));

        assert_eq!(after, 101);
    }

    #[test]
    fn a_rate_that_no_nanoseconds_divide_is_never_exceeded() {
        let begin = Instant::now();
        let mut pace = Pace::new(999_999);
        leaving(&mut pace, begin);

        let steps = (1..=100).map(|hundredth| begin + Duration::from_millis(10 * hundredth));
        let left: usize = steps.map(|now| leaving(&mut pace, now)).sum();

        assert!((998_900..=999_999).contains(&left), "{left}");
    }
}
