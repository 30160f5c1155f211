//! The hierarchy below a root: which secret is made of which, under which label.
//!
//! Invariant: every label occurs here and nowhere else; a key that is made of random bytes or of a random id seals once.
//! Source: `docs/FORMATS.md`, "Storage: keys".

use sc_crypto::kdf::derive;
use sc_crypto::{AeadKey, Secret};

/// The seed of the tenant's coder key, to which clients seal.
pub(crate) fn coder_seed(root: &Secret) -> Secret {
    derive(root, "storage coder key", &[])
}

/// Seals one ticket.
pub(crate) fn ticket(root: &Secret, id: &[u8]) -> AeadKey {
    AeadKey::new(&derive(root, "storage ticket", &[id]))
}

/// The session that a ticket stands for.
pub(crate) fn session(root: &Secret, ticket: &[u8]) -> Secret {
    derive(root, "storage session", &[ticket])
}

/// Wraps one datastore's key, once.
pub(crate) fn datastore(root: &Secret, salt: &[u8]) -> AeadKey {
    AeadKey::new(&derive(root, "storage datastore", &[salt]))
}

/// Seals one record of the tenant's own.
pub(crate) fn record(root: &Secret, salt: &[u8]) -> AeadKey {
    AeadKey::new(&derive(root, "storage record", &[salt]))
}

/// Authenticates removal records of a datastore.
pub(crate) fn removals(datastore: &Secret) -> Secret {
    derive(datastore, "storage removals", &[])
}

/// Seals one head, body, upload or part: `what` says which.
pub(crate) fn manifest(datastore: &Secret, what: &str, salt: &[u8]) -> AeadKey {
    AeadKey::new(&derive(
        datastore,
        "storage manifest",
        &[what.as_bytes(), salt],
    ))
}

/// Makes blind index values of tags.
pub(crate) fn tags(datastore: &Secret) -> Secret {
    derive(datastore, "storage tags", &[])
}

/// Everything that a version's segments need.
pub(crate) fn version(datastore: &Secret, version: &[u8; 16]) -> Secret {
    derive(datastore, "storage version", &[version])
}

/// Wraps the key of one segment in the record of one code: sealed again, that is the same record.
pub(crate) fn segment(version: &Secret, segment: &[u8; 32], code: &[u8; 4]) -> AeadKey {
    AeadKey::new(&derive(version, "storage segment", &[segment, code]))
}

/// Authenticates the headers of one segment's fragments.
pub(crate) fn fragments(version: &Secret, segment: &[u8; 32]) -> Secret {
    derive(version, "storage fragments", &[segment])
}

/// The cells that packets of one segment under one code are hashed with: its stream is used once, and seals nothing.
pub(crate) fn packet_hash(version: &Secret, segment: &[u8; 32], code: &[u8; 4]) -> AeadKey {
    AeadKey::new(&derive(version, "storage packet hash", &[segment, code]))
}

/// The masks of the tags of one segment's packets under one code, whose packets no other code has: a stream for each block, which seals
/// nothing.
pub(crate) fn packet_masks(version: &Secret, segment: &[u8; 32], code: &[u8; 4]) -> AeadKey {
    AeadKey::new(&derive(version, "storage packet masks", &[segment, code]))
}
