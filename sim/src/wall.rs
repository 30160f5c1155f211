//! Wall clocks: each party has one, and any of them may be wrong.
//!
//! Invariant: only the time of day is ever wrong. The time since the start of the run, by which timers go, never is.

use std::time::Duration;

use crate::party::Party;

/// When every run begins, in milliseconds since the Unix epoch.
const EPOCH_MS: u64 = 1_500_000_000_000;
/// How far a clock jumps ahead.
const AHEAD_MS: u64 = 3_600_000;
/// How far one jumps back.
const BACK_MS: u64 = 86_400_000;

/// What is wrong with a clock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wrong {
    /// It stands still.
    Frozen,
    /// It is an hour ahead.
    Ahead,
    /// It is a day behind.
    Back,
}

/// A time in which the clock of one party is wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ClockTrouble {
    /// Whose clock.
    pub party: Party,
    /// From when.
    pub from: Duration,
    /// Until when.
    pub until: Duration,
    /// In what way.
    pub wrong: Wrong,
}

/// The time of day as `party` reads it, in milliseconds since the Unix epoch.
pub(crate) fn wall_ms(troubles: &[ClockTrouble], party: Party, now: Duration) -> u64 {
    let right = |time: Duration| EPOCH_MS + time.as_millis() as u64;
    let mut of_party = troubles.iter().filter(|trouble| trouble.party == party);
    match of_party.find(|trouble| trouble.from <= now && now < trouble.until) {
        None => right(now),
        Some(trouble) => match trouble.wrong {
            Wrong::Frozen => right(trouble.from),
            Wrong::Ahead => right(now) + AHEAD_MS,
            Wrong::Back => right(now) - BACK_MS,
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_is_wrong_in_its_own_way_and_right_before_and_after_and_elsewhere() {
        let seconds = Duration::from_secs;
        let read = |wrong, party, now| {
            let trouble = ClockTrouble {
                party: Party::Router,
                from: seconds(10),
                until: seconds(20),
                wrong,
            };
            wall_ms(&[trouble], party, seconds(now)) as i64 - EPOCH_MS as i64
        };

        assert_eq!(read(Wrong::Frozen, Party::Router, 15), 10_000);
        assert_eq!(read(Wrong::Ahead, Party::Router, 15), 3_615_000);
        assert_eq!(read(Wrong::Back, Party::Router, 15), -86_385_000);
        assert_eq!(read(Wrong::Back, Party::Router, 9), 9_000);
        assert_eq!(read(Wrong::Back, Party::Router, 20), 20_000);
        assert_eq!(read(Wrong::Back, Party::Consumer(0), 15), 15_000);
    }
}
