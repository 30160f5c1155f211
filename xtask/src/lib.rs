//! The project's own checks: the laws of the house, licences, the trusted base, and the one test command.
//!
//! Invariant: every check is a pure function of a [`workspace::Workspace`] and a [`tree::Tree`], so that a fixture can break it.
//! Source: `ARCHITECTURE.md`, section on the laws.

pub mod laws;
pub mod licences;
pub mod paths;
pub mod rules;
pub mod sanitizer;
pub mod source;
pub mod spdx;
pub mod steps;
pub mod tally;
pub mod tcb;
pub mod toolchain;
pub mod tree;
pub mod trusted;
pub mod violation;
pub mod workspace;
