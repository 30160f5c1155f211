//! Publisher, subscribers and the trusted program together, with a router in between that does what a test tells it.
//!
//! The router of these tests is honest by default and holds every frame in a queue, where a test changes, repeats, drops or reorders it.

#![allow(clippy::unwrap_used, reason = "helpers of tests are tests")]

mod absence;
mod acks;
mod admission;
mod answers;
mod asks;
mod beginnings;
mod coverage;
mod crashes;
mod credit;
mod deliveries;
mod grants;
mod guest;
mod late;
mod leases;
mod leaving;
mod lives;
mod nonces;
mod numbers;
mod party;
mod provisioning;
mod receipts;
mod restarts;
mod scripted;
mod sessions;
mod settled;
mod silence;
mod streams;
mod world;
