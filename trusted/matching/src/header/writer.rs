//! A header block being written.
//!
//! Invariant: [`HeaderBlockWriter::encoded_len`] is the exact length that
//! [`HeaderBlockWriter::finish`] would return now, so a batch can close at a size.

use alloc::collections::BTreeMap;
use alloc::vec::Vec;

use super::LONG_INDEX;
use crate::binary::{self, VERSION};
use crate::bound::{BLOCK_HEADERS_MAX, BLOCK_NAMES_MAX};
use crate::name::Name;
use crate::publication::Publication;

/// The block has no room for the publication: finish it and push again, which an empty block never
/// refuses.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the header block is full")]
pub struct BlockFull;

/// Version, count of names and count of headers.
const FIXED_BYTES: usize = 1 + 2 + 4;

/// Collects headers into a block.
#[derive(Clone, Debug, Default)]
pub struct HeaderBlockWriter {
    names: Vec<Name>,
    index_of: BTreeMap<Name, u16>,
    names_len: usize,
    headers: Vec<u8>,
    count: usize,
}

impl HeaderBlockWriter {
    /// An empty block.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds the header of `publication`. Cost: O(its attributes), when they come in the order of
    /// the first ones.
    ///
    /// # Errors
    /// [`BlockFull`], leaving the block as it was.
    pub fn push(&mut self, publication: &Publication) -> Result<(), BlockFull> {
        let attributes = publication.attributes();
        if self.count == BLOCK_HEADERS_MAX || self.names.len() + attributes.len() > BLOCK_NAMES_MAX
        {
            return Err(BlockFull);
        }
        self.headers
            .push(u8::try_from(attributes.len()).expect("ATTRIBUTES_MAX fits a byte"));
        let mut expected = 0;
        for (name, value) in attributes {
            let index = self.intern(name, expected);
            expected = index + 1;
            put_index(index, &mut self.headers);
            binary::put_value(value.borrow(), &mut self.headers);
        }
        self.count += 1;
        Ok(())
    }

    /// The length of the block as it stands, in bytes. Cost: O(1).
    #[must_use]
    pub fn encoded_len(&self) -> usize {
        FIXED_BYTES + self.names_len + self.headers.len()
    }

    /// How many headers it holds.
    #[must_use]
    pub fn count(&self) -> usize {
        self.count
    }

    /// Returns the block and begins an empty one.
    #[must_use]
    pub fn finish(&mut self) -> Vec<u8> {
        let mut block = Vec::with_capacity(self.encoded_len());
        block.push(VERSION);
        let names = u16::try_from(self.names.len()).expect("BLOCK_NAMES_MAX fits 16 bits");
        block.extend_from_slice(&names.to_le_bytes());
        self.names
            .iter()
            .for_each(|name| binary::put_name(name, &mut block));
        let count = u32::try_from(self.count).expect("BLOCK_HEADERS_MAX fits 32 bits");
        block.extend_from_slice(&count.to_le_bytes());
        block.extend_from_slice(&self.headers);
        self.clear();
        block
    }

    fn clear(&mut self) {
        self.names.clear();
        self.index_of.clear();
        self.names_len = 0;
        self.headers.clear();
        self.count = 0;
    }

    /// The index of `name`, which is likely `expected`: publications tend to name their attributes
    /// in one order.
    fn intern(&mut self, name: &Name, expected: u16) -> u16 {
        if self.names.get(usize::from(expected)) == Some(name) {
            return expected;
        }
        if let Some(index) = self.index_of.get(name) {
            return *index;
        }
        let index = u16::try_from(self.names.len()).expect("BLOCK_NAMES_MAX fits 16 bits");
        self.names_len += binary::name_len(name);
        self.names.push(name.clone());
        self.index_of.insert(name.clone(), index);
        index
    }
}

fn put_index(index: u16, bytes: &mut Vec<u8>) {
    let [low, _] = index.to_le_bytes();
    let [high, _] = (index >> 7).to_le_bytes();
    match high {
        0 => bytes.push(low),
        _ => bytes.extend_from_slice(&[low | LONG_INDEX, high]),
    }
}
