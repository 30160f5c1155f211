//! The storage system in one process: a client, a store, a coder and locations in memory, joined without sockets.
//!
//! Everything but sockets and disks is real: sealed requests, the coder's engine, the store's journeys, the catalogue's statements.

mod world;

pub use world::{Site, World, WorldSettings};
