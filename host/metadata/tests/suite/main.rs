//! What the catalogue promises, held of every engine: in memory, in a file, and on a PostgreSQL server.
//!
//! The server is one of the suite's own, started by `tests/services/postgres.sh` and gone with the suite; `SC_TEST_POSTGRES` (a URL)
//! names another. Each test has a schema of its own there.

#![allow(clippy::unwrap_used, reason = "helpers of tests are tests")]

mod commits;
mod datastores;
mod deletions;
mod engines;
mod garbage;
mod house;
mod intents;
mod jobs;
mod listing;
mod loss;
mod model;
mod moves;
mod operations;
mod properties;
mod races;
mod rebuild;
mod records;
mod schema;
mod segments;
mod uploads;
