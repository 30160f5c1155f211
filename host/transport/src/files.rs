//! How many files this process may hold open: each connection of an acceptor is one.
//!
//! Invariant: the limit is never lowered, and never raised beyond what the system grants this process anyway.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// The crowd that an acceptor should have room for.
const CONNECTIONS_WANTED: u64 = 10_000;
/// Files that are open beside connections: pipes, journals, the program's own.
const FILES_BESIDE: u64 = 256;

/// Raises the soft limit to the hard one; returns the limit if it leaves too little room for a crowd.
pub(crate) fn raise_limit() -> Option<u64> {
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    let raised = Rlimit {
        current: maximum,
        maximum,
    };
    // A system that refuses has a bound of its own below the hard limit; the soft one then stays as it is.
    let limit = match setrlimit(Resource::Nofile, raised) {
        Ok(()) => maximum,
        Err(_) => current,
    };
    limit.filter(|limit| *limit < CONNECTIONS_WANTED + FILES_BESIDE)
}
