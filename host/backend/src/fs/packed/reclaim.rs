//! The space of deleted fragments, given back to the disk.
//!
//! The engine reclaims by compaction, which it does of its own accord only as writes come. A location from which much is deleted and into
//! which little is put would keep it all, so a thread asks for a compaction once enough is dead.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use fjall::Keyspace;

/// Fewest dead bytes worth a compaction.
const DEAD_BYTES_MIN: u64 = 64 * 1024 * 1024;
/// One dead byte to so many living ones is worth a compaction.
const DEAD_ONE_IN: u64 = 4;
/// What is written after a compaction; no name of a fragment.
const RECLAIMED: &str = "!reclaimed";
/// How often the end of a flush is looked for.
const LOOK: Duration = Duration::from_millis(10);

/// The thread that asks for compactions. Dropping it waits for the one under way.
pub(super) struct Reclaim {
    amount: Arc<Amount>,
    thread: Option<JoinHandle<()>>,
}

/// How much there is to reclaim.
struct Amount {
    /// Bytes deleted and not reclaimed, about.
    dead: AtomicU64,
    living: AtomicU64,
    stop: AtomicBool,
}

impl Reclaim {
    pub(super) fn start(tree: Keyspace, dead: u64, living: u64) -> std::io::Result<Self> {
        let amount = Arc::new(Amount {
            dead: dead.into(),
            living: living.into(),
            stop: false.into(),
        });
        let of_thread = amount.clone();
        let thread = std::thread::Builder::new()
            .name("sc-reclaim".to_owned())
            .spawn(move || of_thread.work_off(&tree))?;
        Ok(Self {
            amount,
            thread: Some(thread),
        })
    }

    /// How many bytes were deleted and not reclaimed, about.
    pub(super) fn dead(&self) -> u64 {
        self.amount.dead.load(Ordering::Acquire)
    }

    /// Takes note of `died` bytes that were deleted beside `living` ones.
    pub(super) fn note(&self, died: u64, living: u64) {
        self.amount.living.store(living, Ordering::Release);
        self.amount.dead.fetch_add(died, Ordering::AcqRel);
        if self.amount.is_worth_it() {
            self.wake();
        }
    }

    fn wake(&self) {
        if let Some(thread) = &self.thread {
            thread.thread().unpark();
        }
    }
}

impl Drop for Reclaim {
    fn drop(&mut self) {
        self.amount.stop.store(true, Ordering::Release);
        self.wake();
        if let Some(thread) = self.thread.take() {
            // It has said on standard error why it panicked, if it did.
            let _ = thread.join();
        }
    }
}

impl Amount {
    fn is_worth_it(&self) -> bool {
        let least = self.living.load(Ordering::Acquire) / DEAD_ONE_IN;
        self.dead.load(Ordering::Acquire) >= least.max(DEAD_BYTES_MIN)
    }

    fn stopped(&self) -> bool {
        self.stop.load(Ordering::Acquire)
    }

    fn work_off(&self, tree: &Keyspace) {
        while !self.stopped() {
            if !self.is_worth_it() {
                std::thread::park();
                continue;
            }
            let dead = self.dead.load(Ordering::Acquire);
            match self.compact(tree) {
                Ok(()) => {
                    self.dead.fetch_sub(dead, Ordering::AcqRel);
                    tracing::debug!(dead, "reclaimed the space of deleted fragments");
                }
                Err(error) => {
                    tracing::warn!(?error, "deleted fragments keep their space");
                    std::thread::park();
                }
            }
        }
    }

    /// Flushes what is in memory, then compacts twice: the first time finds the bodies that are dead, the second writes the files anew
    /// that have many of them. The engine keeps the files from before until something is written and flushed after them, so that is done.
    fn compact(&self, tree: &Keyspace) -> fjall::Result<()> {
        self.flush(tree)?;
        for _ in 0..2 {
            if !self.stopped() {
                tree.major_compact()?;
            }
        }
        tree.insert(RECLAIMED, [])?;
        self.flush(tree)
    }

    fn flush(&self, tree: &Keyspace) -> fjall::Result<()> {
        tree.rotate_memtable()?;
        while tree.sealed_memtable_count() > 0 && !self.stopped() {
            std::thread::sleep(LOOK);
        }
        Ok(())
    }
}
