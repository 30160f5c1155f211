//! What people and programs may rely on when they use `securecloud`: the real binaries, as processes, over real sockets.
//!
//! Every test has a folder of its own and lets the system choose its ports, so that all of them may run at once.

#![allow(
    clippy::unwrap_used,
    reason = "the harness of a test fails as the test does"
)]

#[path = "../support/mod.rs"]
mod support;

mod admission;
mod crashes;
mod deliveries;
mod demo;
mod domains;
mod durable;
mod grants;
mod hostile;
mod isolation;
mod keys;
mod links;
mod matching;
mod metrics;
mod original;
mod pace;
mod plain;
mod policy;
mod program;
mod reports;
mod restarts;
mod sessions;
mod settings;
mod sizes;
mod spill;
mod strangers;
mod words;
