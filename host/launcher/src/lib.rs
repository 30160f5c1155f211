//! Starts a trusted program on a platform and carries calls to it.
//!
//! Invariant: each reply comes with its call's token; asking for a platform that is not there is an
//! error, never a fall-back.

mod caller;
mod door;
mod frame;
mod hardware;
mod inline;
mod process;

pub use caller::Caller;
pub use door::{Body, Door, DoorClosed, IN_FLIGHT_MAX};
pub use frame::{FRAME_MAX, HEADER_BYTES, TooLong, pop as pop_frame, push as push_frame};
pub use process::find_program;

use std::path::PathBuf;
use std::sync::Arc;

use sc_enclave::Program;

/// Where a trusted program runs.
#[derive(Clone)]
#[non_exhaustive]
pub enum Platform {
    /// In the host's own process, D4.2's unshielded build: for tests and measurement. It carries no claim.
    Inline {
        /// The program.
        program: Arc<dyn Program>,
        /// Fills a buffer with random bytes.
        entropy: fn(&mut [u8]),
    },
    /// A child process, D4.2's simulation mode.
    Process {
        /// The program's binary.
        binary: PathBuf,
        /// What it is told of the machine. Like the rest of its surroundings this is not measured.
        arguments: Vec<String>,
    },
    /// An SGX enclave under Gramine; [`Platform::gramine_sgx`] looks whether this machine has that.
    GramineSgx {
        /// `gramine-sgx`.
        runner: PathBuf,
        /// The program's binary, beside its signed manifest.
        binary: PathBuf,
    },
}

/// Why a trusted program did not start.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LaunchError {
    /// No binary is where it should be.
    #[error(
        "the trusted program {name} is not beside {looked_in}: build everything with `cargo build --release --workspace`, or name it with --program"
    )]
    NotFound {
        /// The binary's name.
        name: String,
        /// Where it was looked for.
        looked_in: PathBuf,
    },
    /// The machine does not have what was asked for.
    #[error(
        "--platform {platform}: this machine does not have it. Not found: {missing}. Without hardware there is --platform process, a simulation"
    )]
    NoHardware {
        /// The platform that was asked for.
        platform: &'static str,
        /// What was looked for and is not there, and where that was.
        missing: String,
    },
    /// The binary is there but does not start.
    #[error("the trusted program {binary} does not start: {source}")]
    Start {
        /// Its path.
        binary: PathBuf,
        /// Why.
        source: std::io::Error,
    },
}
