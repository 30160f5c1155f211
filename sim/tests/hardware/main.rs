//! Provisioning on hardware, with trees of fake devices in the place of the kernel's and Gramine's: the whole exchange, by the trusted
//! programs' own readers of those devices and the owner's own appraisal.
//!
//! What no hardware has signed here is signed by a key that was made for tests, under a root that only the policies of these tests name.

#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "helpers of tests are tests"
)]

mod devices;
mod exchange;
mod launching;
