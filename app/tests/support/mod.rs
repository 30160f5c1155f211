//! The real binaries at work: commands that end, roles that run, folders for their files.
//!
//! Invariant: nothing outlives its test: a role that goes out of scope is killed, and its trusted program ends with its stream.

mod command;
mod folder;
mod role;
mod run;
mod scrape;
mod site;
mod tally;

pub(crate) use command::{
    Finished, command, command_through, securecloud, securecloud_with, with_stdin,
};
pub(crate) use folder::{DATASETS, DELIVERIES, Folder, SUBSCRIPTIONS, VECTORS, numbers};
pub(crate) use role::{Role, Signal, send_signal};
pub(crate) use run::{Flags, Run};
pub(crate) use scrape::{assert_tells, free_address, scrape, value};
pub(crate) use tally::{Matches, Tally, matches};

use std::path::{Path, PathBuf};
use std::time::Duration;

/// How long anything may take before a test fails: far more than it needs, for machines that are busy.
pub(crate) const PATIENCE: Duration = Duration::from_secs(40);

const BINARY: &str = env!("CARGO_BIN_EXE_securecloud");

/// The trusted program beside the binary under test.
///
/// # Panics
/// When it was not built: cargo builds the binaries of one package alone for its tests.
pub(crate) fn trusted_program() -> PathBuf {
    let path = Path::new(BINARY).with_file_name("sc-cbr");
    assert!(
        path.is_file(),
        "{} is missing: run `cargo build --package sc-program` first, or `cargo test --workspace`, which builds it",
        path.display()
    );
    path
}
