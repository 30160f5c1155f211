//! Header blocks: many publication headers that share one table of attribute names.
//!
//! Invariant: a decoded [`Header`] names each attribute at most once, by an index within its
//! block's table, and the table holds no name twice; so whoever resolves the table resolves every
//! header.
//! Source: ours; byte by byte in `docs/FORMATS.md`.

mod block;
mod writer;

pub use block::{Header, HeaderBlock, Headers, NameIndex};
pub use writer::{BlockFull, HeaderBlockWriter};

/// Set in the first byte of a name index that takes two: its low seven bits, then the eight above
/// them.
///
/// Indexes below 128 take one byte; fifteen bits hold every index below
/// [`crate::bound::BLOCK_NAMES_MAX`].
const LONG_INDEX: u8 = 0x80;
