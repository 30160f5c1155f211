//! The measured main programs: one loop over an inherited stream.
//!
//! Everything that a trusted library may not touch is here: the stream, threads, the processor's features, the random generator, the
//! evidence device.

mod coder;
mod evidence;
mod pool;
mod processors;
mod sandbox;
mod serve;

pub use coder::CoderChoice;
pub use evidence::{EvidenceError, Gramine, Tee, Tsm};
pub use pool::{Pool, THREADS_MAX};
pub use processors::{Choice, OBLIVIOUS_MATCHES, OBLIVIOUS_MATCHES_MAX, ProcessorsError};
pub use sandbox::{Layer, Missing, confine};
pub use serve::{FRAME_MAX, serve, serve_on_threads};

use sc_crypto::hash::sha256;

/// Fills `bytes` from the operating system's random generator.
///
/// # Panics
/// When the system has none: a program without randomness must not go on.
pub fn entropy(bytes: &mut [u8]) {
    getrandom::fill(bytes).expect("the operating system gives random bytes");
}

/// SHA-256 of the running binary: what the simulation reports as its measurement. Zeros where the binary cannot be read.
#[must_use]
pub fn measure_self() -> [u8; 32] {
    std::fs::read("/proc/self/exe")
        .map(|binary| sha256(&binary))
        .unwrap_or_default()
}
