//! How many notices of a mailbox are on the disk, so that those that are given up there can be counted.
//!
//! Invariant: runs of consecutive notices, in order; what was acknowledged is not among them.

use std::collections::VecDeque;

use super::Place;

/// Notices that follow each other.
#[derive(Debug)]
struct Run {
    first: Place,
    last: Place,
    notices: u64,
}

impl Run {
    /// How many of them come after `place`. Exact within one session; what an earlier process has left of several counts as a whole until
    /// the last of these sessions begins.
    fn after(&self, place: Place) -> u64 {
        if place < self.first {
            self.notices
        } else if place >= self.last {
            0
        } else if place.0 == self.last.0 {
            self.notices.min(self.last.1 - place.1)
        } else {
            self.notices
        }
    }
}

/// The notices on the disk. Takes 40 bytes for each run.
#[derive(Debug, Default)]
pub(super) struct Stored(VecDeque<Run>);

impl Stored {
    /// What an earlier process has left.
    pub(super) fn recovered(first: Place, last: Place, notices: u64) -> Self {
        let run = Run {
            first,
            last,
            notices,
        };
        Self(VecDeque::from([run]))
    }

    /// One more, behind all others.
    pub(super) fn push(&mut self, place: Place) {
        if let Some(run) = self.0.back_mut()
            && (run.last.0, run.last.1 + 1) == place
        {
            run.last = place;
            run.notices += 1;
            return;
        }
        self.0.push_back(Run {
            first: place,
            last: place,
            notices: 1,
        });
    }

    /// Everything up to `place` is gone.
    pub(super) fn take_up_to(&mut self, place: Place) {
        while self.0.pop_front_if(|run| run.last <= place).is_some() {}
        if let Some(run) = self.0.front_mut()
            && place >= run.first
        {
            run.notices = run.after(place);
            run.first = (place.0, place.1.saturating_add(1));
        }
        super::shrink(&mut self.0);
    }

    /// How many come after `place`. Cost: O(runs).
    pub(super) fn after(&self, place: Place) -> u64 {
        self.0.iter().map(|run| run.after(place)).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(places: impl IntoIterator<Item = Place>) -> Stored {
        let mut stored = Stored::default();
        places.into_iter().for_each(|place| stored.push(place));
        stored
    }

    #[test]
    fn notices_that_follow_each_other_take_one_run_and_count_each() {
        let stored = of((1..=1000).map(|counter| (1, counter)));

        assert_eq!(stored.0.len(), 1);
        assert_eq!(stored.after((0, 0)), 1000);
        assert_eq!(stored.after((1, 400)), 600);
        assert_eq!(stored.after((2, 0)), 0);
    }

    #[test]
    fn sessions_and_gaps_are_counted_as_what_is_there() {
        let mut stored = of([(1, 1), (1, 2), (1, 9), (3, 1), (3, 2)]);

        stored.take_up_to((1, 1));

        assert_eq!(stored.after((0, 0)), 4);
        assert_eq!(stored.after((1, 5)), 3);
        assert_eq!(stored.after((3, 1)), 1);
    }

    #[test]
    fn what_an_earlier_process_has_left_of_several_sessions_counts_until_the_last_of_them_is_begun()
    {
        let mut stored = Stored::recovered((1, 90), (4, 10), 30);

        stored.take_up_to((2, 7));
        assert_eq!(stored.after((2, 7)), 30);
        stored.take_up_to((4, 6));

        assert_eq!(stored.after((4, 6)), 4);
    }
}
