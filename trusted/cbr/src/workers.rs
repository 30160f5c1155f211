//! The processors that a program may use, and how it matches on them, as it is told.
//!
//! Invariant: nothing here starts a thread or asks a processor. What the engine answers is the same, byte for byte, with one worker and
//! with many, by an index and by full passes, as far as these admit the subscriptions.

use std::num::NonZeroUsize;
use std::sync::Arc;

use sc_matching::Kernel;

/// What a worker is asked to do.
pub type Work = Arc<dyn Fn() + Send + Sync>;

/// Threads that help the one that calls.
pub trait Workers: Send + Sync {
    /// How many there are beside the caller.
    fn count(&self) -> usize;

    /// Calls `own` on the caller's thread, and meanwhile `work` once on each worker that is free, if any becomes so.
    ///
    /// `own` must not rely on help. Returns when `own` has returned and each `work` that began has ended; nobody holds `work` then, so
    /// `work` must end soon after `own`. A panic of `work` ends that call alone.
    fn beside(&self, work: Work, own: &mut dyn FnMut());
}

/// No worker: the caller does everything itself.
#[derive(Debug, Clone, Copy, Default)]
pub struct Alone;

impl Workers for Alone {
    fn count(&self) -> usize {
        0
    }

    fn beside(&self, work: Work, own: &mut dyn FnMut()) {
        drop(work);
        own();
    }
}

/// What a program matches with.
#[derive(Clone)]
pub struct Processors {
    /// The form of the vector instructions.
    pub kernel: Kernel,
    /// Who helps.
    pub workers: Arc<dyn Workers>,
    /// If set, domains that are opened from now on are matched without showing by the memory that is touched what matches, and answers to
    /// a header have so many slots. A header that matches more takes another pass, with as many slots as it needs, rounded up to a power
    /// of two. Subscriptions have the bounds of [`crate::OBLIVIOUS_SHAPE`] then.
    pub oblivious: Option<NonZeroUsize>,
}

/// The portable form and no workers, which every machine has, and an index.
impl Default for Processors {
    fn default() -> Self {
        Self {
            kernel: Kernel::PORTABLE,
            workers: Arc::new(Alone),
            oblivious: None,
        }
    }
}
