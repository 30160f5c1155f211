//! The space of deleted fragments, given back to the disk.
//!
//! The engine reclaims by compaction, which it does of its own accord only as writes come. A location from which much is deleted and into
//! which little is put would keep it all, so that compaction is asked for once enough is dead.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use fjall::Keyspace;

/// Fewest dead bytes worth a compaction.
const DEAD_BYTES_MIN: u64 = 64 * 1024 * 1024;
/// One in so many bytes dead is worth a compaction; as the share from which a file of bodies is written anew.
const DEAD_ONE_IN: u64 = 4;
/// How often the end of a flush is looked for.
const LOOK: Duration = Duration::from_millis(10);

/// Asks for compactions, one at a time. Dropping it waits for the one under way.
pub(super) struct Reclaim {
    tree: Keyspace,
    thread: Option<JoinHandle<()>>,
    stop: Arc<AtomicBool>,
    reclaimed: Arc<AtomicU64>,
}

impl Reclaim {
    pub(super) fn new(tree: Keyspace) -> Self {
        Self {
            tree,
            thread: None,
            stop: Arc::default(),
            reclaimed: Arc::default(),
        }
    }

    /// How many dead bytes were reclaimed since this was last asked.
    pub(super) fn done(&self) -> u64 {
        self.reclaimed.swap(0, Ordering::AcqRel)
    }

    /// Begins a compaction if `dead` bytes beside `living` ones are worth it and none is under way.
    pub(super) fn consider(&mut self, dead: u64, living: u64) {
        if dead < DEAD_BYTES_MIN.max(living / DEAD_ONE_IN) {
            return;
        }
        if self.thread.as_ref().is_some_and(|one| !one.is_finished()) {
            return;
        }
        let (tree, stop, reclaimed) =
            (self.tree.clone(), self.stop.clone(), self.reclaimed.clone());
        let begun = std::thread::Builder::new()
            .name("sc-reclaim".to_owned())
            .spawn(move || match compact(&tree, &stop) {
                Ok(()) => {
                    tracing::debug!(dead, living, "reclaimed the space of deleted fragments");
                    reclaimed.fetch_add(dead, Ordering::AcqRel);
                }
                Err(error) => tracing::warn!(?error, "deleted fragments keep their space"),
            });
        match begun {
            Ok(thread) => self.thread = Some(thread),
            Err(error) => tracing::warn!(%error, "deleted fragments keep their space"),
        }
    }
}

impl Drop for Reclaim {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Release);
        if let Some(thread) = self.thread.take() {
            // It has said on standard error why it panicked, if it did.
            let _ = thread.join();
        }
    }
}

/// Flushes what is in memory, then compacts twice: the first time finds the bodies that are dead, the second writes the files anew that
/// have many of them.
fn compact(tree: &Keyspace, stop: &AtomicBool) -> fjall::Result<()> {
    tree.rotate_memtable()?;
    while tree.sealed_memtable_count() > 0 {
        if stop.load(Ordering::Acquire) {
            return Ok(());
        }
        std::thread::sleep(LOOK);
    }
    tree.major_compact()?;
    if stop.load(Ordering::Acquire) {
        return Ok(());
    }
    tree.major_compact()
}
