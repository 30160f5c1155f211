//! The gateway as its clients meet it: over TCP, with a store in memory behind it.

mod access;
mod documents;
mod explorer;
mod fake_store;
mod http;
mod objects;
mod server;
mod uploads;
