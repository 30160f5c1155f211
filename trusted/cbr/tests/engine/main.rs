//! The engine behind its door, driven by owners who keep the rules and by others who do not.
//!
//! Every claim here is about bytes that a host could hand in: replayed, forged, cut, moved, or authentic and malformed.

#![allow(clippy::unwrap_used, reason = "helpers of tests are tests")]

mod bounds;
mod consumer;
mod coverage;
mod decoders;
mod grantee;
mod leases;
mod nonces;
mod oblivious;
mod owner;
mod plain;
mod provisioning;
mod publishers;
mod recipients;
mod sequence;
mod suspension;
mod tenants;
mod workers;
