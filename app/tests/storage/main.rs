//! Storage through the real binary: `securecloud up` as a newcomer starts it, and what it must not let the host see.

#![allow(
    clippy::unwrap_used,
    reason = "the helpers of a test fail as the test does"
)]

#[path = "../secrecy/process.rs"]
mod process;
#[path = "../interop/python.rs"]
mod python;

mod attestation;
mod backends;
mod bad_input;
mod bounds;
mod browser;
mod contract;
mod demo;
mod documents;
mod explorer;
mod http;
mod jobs;
mod journeys;
mod kv;
mod postgres;
mod recovery;
mod secrecy;
mod starting;
mod system;
mod tls;
mod two_stores;
