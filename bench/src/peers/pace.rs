//! How many publications are due at a steady pace.

use std::time::Duration;

/// Time between two looks at the clock, as `securecloud source --rate` has it: the resolution of its timer.
pub(super) const LOOK: Duration = Duration::from_millis(1);

/// Publications due so long after the first, of `count` in all.
pub(super) fn due(per_s: u32, elapsed: Duration, count: u64) -> u64 {
    let due = u128::from(per_s) * elapsed.as_nanos() / 1_000_000_000 + 1;
    u64::try_from(due).map_or(count, |due| due.min(count))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_is_due_at_once_and_each_other_an_interval_later() {
        assert_eq!(due(10_000, Duration::ZERO, 100), 1);
        assert_eq!(due(10_000, Duration::from_micros(99), 100), 1);
        assert_eq!(due(10_000, Duration::from_micros(100), 100), 2);
        assert_eq!(due(10_000, Duration::from_millis(1), 100), 11);
    }

    #[test]
    fn no_more_are_due_than_there_are() {
        assert_eq!(due(10_000, Duration::from_secs(1), 100), 100);
        assert_eq!(due(u32::MAX, Duration::MAX, 100), 100);
    }
}
