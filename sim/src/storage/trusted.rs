//! The trusted program of a storage system, which can end and be started again.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, RwLock};

use bytes::Bytes;
use sc_coder::Engine;
use sc_enclave::{Program, SimulatedPlatform, simulation_development_key};
use sc_erasure::Kernel;

/// A coding program in this process.
pub(crate) struct Trusted {
    kernel: Kernel,
    engine: RwLock<Arc<Engine>>,
    is_down: AtomicBool,
    starts: AtomicU64,
    /// The start after which it was given roots last.
    provisioned: AtomicU64,
}

impl Default for Trusted {
    fn default() -> Self {
        Self::new(Kernel::PORTABLE)
    }
}

impl Trusted {
    /// A program that `kernel` does the arithmetic of codes for.
    pub(crate) fn new(kernel: Kernel) -> Self {
        Self {
            kernel,
            engine: RwLock::new(Arc::new(engine(kernel))),
            is_down: AtomicBool::new(false),
            starts: AtomicU64::new(1),
            provisioned: AtomicU64::new(0),
        }
    }

    /// Ends the program and starts it again: it holds no roots any more.
    pub(crate) fn restart(&self) {
        let mut held = self.engine.write().expect("no holder of this lock panics");
        *held = Arc::new(engine(self.kernel));
        self.starts.fetch_add(1, Relaxed);
    }

    /// How often it was started.
    pub(crate) fn starts(&self) -> u64 {
        self.starts.load(Relaxed)
    }

    /// Whether it has roots, as whoever brings them says.
    pub(crate) fn is_provisioned(&self) -> bool {
        self.starts() == self.provisioned.load(Relaxed)
    }

    /// It has taken roots after this start.
    pub(crate) fn set_provisioned(&self, start: u64) {
        self.provisioned.store(start, Relaxed);
    }

    /// While it is down, no call is answered.
    pub(crate) fn set_down(&self, is_down: bool) {
        self.is_down.store(is_down, Relaxed);
    }
}

impl Program for Trusted {
    fn handle(&self, request: Bytes, entropy: &mut dyn FnMut(&mut [u8])) -> Bytes {
        if self.is_down.load(Relaxed) {
            // What is no message is what a broken stream leaves.
            return Bytes::new();
        }
        let held = self.engine.read().expect("no holder of this lock panics");
        let engine = Arc::clone(&held);
        drop(held);
        engine.handle(request, entropy)
    }
}

fn engine(kernel: Kernel) -> Engine {
    let platform = SimulatedPlatform::new(simulation_development_key(), [0; 32]);
    Engine::new(Box::new(platform), kernel)
}
