//! How quick packed fragments are read.
//!
//! A packed fragment is mostly in memory, the engine's or the system's, and read in a few microseconds: less than it takes to hand the
//! read to another thread. But a read that has to go to the disk holds up every task of the runtime's thread. So reads are done where
//! they are asked for until one was slow, and then for a while on other threads.
//! Invariant: one read at most is under way where it was asked for, so that a disk that never answers takes one of the
//! runtime's threads.

use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::{Duration, Instant};

/// A read that takes longer went to the disk.
const SLOW: Duration = Duration::from_millis(1);
/// So many reads after a slow one go to other threads.
const READS_AFTER: u32 = 1000;

/// Whether reads have been quick of late.
#[derive(Debug, Default)]
pub(super) struct Pace {
    /// How many reads are still to go to other threads.
    left: AtomicU32,
    /// Whether a read is under way where it was asked for.
    is_busy: AtomicBool,
}

impl Pace {
    /// Does a read at once and sees how long it takes; not done, but for another thread, where one was slow or has not ended.
    pub(super) fn at_once<T>(&self, read: impl FnOnce() -> T) -> Option<T> {
        if self.left.load(Ordering::Relaxed) != 0 {
            let one_less = |left: u32| left.checked_sub(1);
            let _ = self
                .left
                .fetch_update(Ordering::Relaxed, Ordering::Relaxed, one_less);
            return None;
        }
        if self.is_busy.swap(true, Ordering::Acquire) {
            return None;
        }
        let begun = Instant::now();
        let done = read();
        if begun.elapsed() > SLOW {
            self.left.store(READS_AFTER, Ordering::Relaxed);
        }
        self.is_busy.store(false, Ordering::Release);
        Some(done)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slow_read_sends_those_after_it_to_other_threads_for_a_while() {
        let pace = Pace::default();

        let slow = pace.at_once(|| std::thread::sleep(2 * SLOW));

        assert!(slow.is_some());
        for _ in 0..READS_AFTER {
            assert_eq!(pace.at_once(|| ()), None);
        }
        assert_eq!(pace.at_once(|| ()), Some(()));
    }

    #[test]
    fn while_a_read_has_not_ended_others_go_to_other_threads() {
        let pace = Pace::default();

        let within = pace.at_once(|| pace.at_once(|| ()));

        assert_eq!(within, Some(None));
        assert_eq!(pace.at_once(|| ()), Some(()));
    }
}
