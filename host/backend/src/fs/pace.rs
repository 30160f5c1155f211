//! How quick packed fragments are read.
//!
//! A packed fragment is mostly in memory, the engine's or the system's, and read in a few microseconds: less than it takes to hand the
//! read to another thread. But a read that has to go to the disk holds up every task of the runtime's thread. So reads are done where
//! they are asked for until one was slow, and then for a while on other threads.

use std::sync::atomic::{AtomicU32, Ordering};
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
}

impl Pace {
    /// Whether the next read is to be done at once; asked before each.
    pub(super) fn is_quick(&self) -> bool {
        if self.left.load(Ordering::Relaxed) == 0 {
            return true;
        }
        let one_less = |left: u32| left.checked_sub(1);
        let _ = self
            .left
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, one_less);
        false
    }

    /// Does a read at once and sees how long it takes.
    pub(super) fn measure<T>(&self, read: impl FnOnce() -> T) -> T {
        let begun = Instant::now();
        let done = read();
        if begun.elapsed() > SLOW {
            self.left.store(READS_AFTER, Ordering::Relaxed);
        }
        done
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slow_read_sends_those_after_it_to_other_threads_for_a_while() {
        let pace = Pace::default();
        assert!(pace.is_quick());

        pace.measure(|| std::thread::sleep(2 * SLOW));

        for _ in 0..READS_AFTER {
            assert!(!pace.is_quick());
        }
        assert!(pace.is_quick());
    }
}
