//! The router's core between peers and a trusted program that are made by hand, honest or not.

#![allow(clippy::unwrap_used, reason = "helpers of tests are tests")]

mod acks;
mod answers;
mod conservation;
mod ending;
mod house;
mod naming;
mod notices;
mod ordering;
mod policies;
mod program;
mod provisioning;
mod queues;
mod registered;
mod settled;
mod store;
