//! The gateway: translates REST into sealed requests, nothing more.
//!
//! Invariant: whoever asks has shown a bearer token, and the token's record, sealed by the tenant's coder, grants what is asked; beside
//! tokens nothing is decided here that a store decides.
//! Source: docs/REST.md.

mod gateway;
mod limits;
mod problem;
mod rest;
mod server;
mod stats;
mod tokens;

pub use gateway::{Gateway, Statement, Statements};
pub use limits::Limits;
pub use server::{Listen, Listening, NotLoopback, SelfSigned, Tls, TlsError};
pub use tokens::{Grant, Right, TokenError, TokenRequest, TokenText, is_good, mint};
