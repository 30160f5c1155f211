//! Numbers that grow across restarts: of starts, sessions and requests.
//!
//! Invariant: a number follows the last one that the journal knows, and the clock where that is ahead; so a journal that was lost leads to
//! no number used before, and a clock that goes back or far ahead does no harm.

/// A clock beyond this is not believed: numbers that follow it would run out of room.
const CLOCK_MAX: u64 = 1 << 48;

/// The number after `last`, and not below what the clock says.
pub(crate) fn later(last: u64, clock: u64) -> u64 {
    clock.min(CLOCK_MAX).max(last.saturating_add(1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_follow_the_clock_when_the_journal_was_lost() {
        assert_eq!(later(0, 1_700_000_000), 1_700_000_000);
        assert_eq!(later(1_700_000_000, 1_700_000_001), 1_700_000_001);
    }

    #[test]
    fn a_clock_that_went_back_does_not_take_numbers_back() {
        assert_eq!(later(1_700_000_000, 5), 1_700_000_001);
        assert_eq!(later(1_700_000_000, 1_700_000_000), 1_700_000_001);
    }

    #[test]
    fn a_clock_that_jumped_ahead_leaves_room_for_more_numbers_than_can_be_used() {
        let number = later(7, u64::MAX);

        assert!(number < u64::MAX / 1000);
        assert_eq!(later(number, 1_700_000_000), number + 1);
    }
}
