//! The gateway as its clients meet it: over TCP, with a store in memory behind it.

#![allow(
    clippy::unwrap_used,
    reason = "the helpers of a test fail as the test does"
)]

mod access;
mod documents;
mod explorer;
mod fake_store;
mod http;
mod objects;
mod server;
mod uploads;
