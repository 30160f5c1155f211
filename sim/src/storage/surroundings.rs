//! What all of one run share: the time, random bytes, the trace, and what was done to it.
//!
//! Invariant: a run is one thread; its randomness comes from its seed, its time from the runtime, which is paused.

use std::cell::RefCell;
use std::fmt;
use std::sync::atomic::{AtomicI64, Ordering::Relaxed};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::time::Instant;

use super::fault::{Fault, Faults};
use super::plant::Plant;
use crate::random::Random;
use crate::trace::{Trace, TraceHash};

/// When every run begins, in milliseconds since 1970.
const BEGINNING_MS: u64 = 1_700_000_000_000;

thread_local! {
    /// The random bytes of clients, coders and owners.
    static ENTROPY: RefCell<Random> = RefCell::new(Random::new(0, "storage entropy", 0));
}

/// Fills a buffer from the run's own stream.
pub(crate) fn entropy(bytes: &mut [u8]) {
    ENTROPY.with_borrow_mut(|random| random.fill(bytes));
}

/// The owner's clock, which stands still.
pub(crate) fn owners_clock() -> u64 {
    BEGINNING_MS
}

/// What all of one run share; clones are the same.
#[derive(Clone)]
pub(crate) struct Surroundings(Arc<Inner>);

struct Inner {
    seed: u64,
    plant: Option<Plant>,
    began: Instant,
    jumped_ms: AtomicI64,
    trace: Mutex<Trace>,
    faults: Mutex<Faults>,
}

impl Surroundings {
    /// Begins a run on this thread, inside its runtime.
    pub(crate) fn begin(seed: u64, plant: Option<Plant>, keep_text: bool) -> Self {
        ENTROPY.set(Random::new(seed, "storage entropy", 0));
        Self(Arc::new(Inner {
            seed,
            plant,
            began: Instant::now(),
            jumped_ms: AtomicI64::new(0),
            trace: Mutex::new(Trace::new(keep_text)),
            faults: Mutex::default(),
        }))
    }

    /// A stream of numbers for one decision or party.
    pub(crate) fn random(&self, name: &str, index: usize) -> Random {
        Random::new(self.0.seed, name, index)
    }

    pub(crate) fn is_planted(&self, plant: Plant) -> bool {
        self.0.plant == Some(plant)
    }

    /// How long the run has lasted.
    pub(crate) fn now(&self) -> Duration {
        self.0.began.elapsed()
    }

    /// The stores' clock.
    pub(crate) fn wall_ms(&self) -> u64 {
        let passed = u64::try_from(self.now().as_millis()).expect("a run is no age");
        (BEGINNING_MS + passed).saturating_add_signed(self.0.jumped_ms.load(Relaxed))
    }

    /// Sets the stores' clocks, all of them.
    pub(crate) fn jump(&self, by_ms: i64) {
        self.0.jumped_ms.fetch_add(by_ms, Relaxed);
    }

    pub(crate) fn note(&self, who: impl fmt::Display, what: fmt::Arguments<'_>) {
        let mut trace = self.0.trace.lock().expect("no holder of this lock panics");
        trace.note(self.now(), who, what);
    }

    pub(crate) fn count(&self, fault: Fault) {
        let mut faults = self.0.faults.lock().expect("no holder of this lock panics");
        faults.count(fault);
    }

    /// Whether a location has lied, or is lost: then more may seem to be lost than is.
    pub(crate) fn is_misled(&self) -> bool {
        let faults = self.0.faults.lock().expect("no holder of this lock panics");
        faults.of(Fault::LyingRead) + faults.of(Fault::LocationLost) > 0
    }

    /// What was done, and the trace so far.
    pub(crate) fn finish(&self) -> (Faults, TraceHash, Vec<String>) {
        let mut trace = self.0.trace.lock().expect("no holder of this lock panics");
        let trace = std::mem::replace(&mut *trace, Trace::new(false));
        let (hash, lines) = trace.finish();
        let faults = self.0.faults.lock().expect("no holder of this lock panics");
        (*faults, hash, lines)
    }
}

/// Adds a line to the trace.
macro_rules! note {
    ($surroundings:expr, $who:expr, $($what:tt)*) => {
        $surroundings.note(&$who, format_args!($($what)*))
    };
}
pub(crate) use note;
