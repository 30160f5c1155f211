//! The coding engine: seals and codes segments, decodes and opens them, and keeps the hierarchy of keys.
//!
//! Invariant: nothing is opened or sealed but what a request names that a certified client has sealed; no plaintext leaves except
//! sealed for that client; a key seals one thing once.
//! Source: `docs/FORMATS.md`, "Storage".

mod brought;
mod certificate;
mod combine;
mod convert;
mod datastore;
mod engine;
mod keys;
mod manifest;
mod message;
mod object;
mod plan;
mod record;
mod refused;
mod repair;
mod request;
mod roots;
mod segment;
mod session;
mod tags;
mod tenant;
mod vault;
mod verify;

pub use certificate::{Right, Rights, issue, open_session_context, session_transcript};
pub use engine::{Engine, TENANTS_MAX};
pub use manifest::{KEY_MAX, METADATA_MAX, parts_hash};
pub use message::{join, split};
pub use roots::{CoderRoots, ROOTS_MAX, RootsError, coder_public_key, tenant_id};
pub use sc_erasure::{BLOCK_BYTES, SEGMENT_MAX};
pub use session::{REPLY_HEAD, ReplyKey, SessionKeys, chunk_context, grant_key};
pub use tenant::signed_advance;

use sc_crypto::TAG_BYTES;

/// Bytes of a client's blocks as they travel: the plaintext's and a tag for each.
#[must_use]
pub fn sealed_bytes(plain_bytes: usize) -> usize {
    plain_bytes + sc_erasure::blocks_of(plain_bytes) * TAG_BYTES
}
