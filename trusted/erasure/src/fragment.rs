//! The header of a fragment, which says what the fragment is a part of and how to tell it is whole.
//!
//! Invariant: a header has one form in bytes, and is read back as it was written or not at all. It is
//! authentic if its MAC is, which whoever holds the key compares; the hashes in it are of the pieces
//! that follow it, one for each block, so that each can be read alone.
//!
//! Bytes, numbers little-endian: 0 [`MAGIC`]; 8 code, 9 k, 10 n, 11 sub-packets, 12 index, 13 zero;
//! 14 blocks (2); 16 bytes of each block but the last (4); 20 of the last (4); 24 segment (32);
//! 56 version (16); 72 bytes of coefficients C (2); 74 zero (2); 76 coefficients (C); where packets
//! can be recoded, for each packet a tag for each block (16); a hash for each block (32); MAC (32).

use alloc::vec::Vec;
use core::ops::Range;

use thiserror::Error;

use crate::redundancy::{Redundancy, RedundancyError};

/// What a fragment begins with.
const MAGIC: [u8; 8] = *b"SCfragm1";

/// Bytes before the coefficients.
const FIXED_BYTES: usize = 76;

/// Bytes of a hash, and of the MAC.
const HASH_BYTES: usize = 32;

/// Blocks of a segment, at most.
pub const BLOCKS_MAX: u16 = 4096;

/// Bytes of a block as it is coded, sealed or not, at most.
pub const BLOCK_BYTES_MAX: u32 = 2 << 20;

/// What a fragment says of itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FragmentHeader {
    /// The code.
    pub redundancy: Redundancy,
    /// Which of its n fragments this is.
    pub index: u8,
    /// Blocks of the segment, at least 1 and at most [`BLOCKS_MAX`].
    pub blocks: u16,
    /// Bytes of each block but the last, as coded; at most [`BLOCK_BYTES_MAX`].
    pub block_bytes: u32,
    /// Bytes of the last block, at least 1 and at most [`Self::block_bytes`].
    pub last_block_bytes: u32,
    /// The segment.
    pub segment: [u8; 32],
    /// The version that the segment belongs to.
    pub version: [u8; 16],
    /// For each packet of a piece its coefficients; empty without network coding.
    pub coefficients: Vec<u8>,
    /// For each packet of a piece a tag for each block, where packets can be recoded; otherwise empty.
    /// Made and compared by whoever holds the key, and combined as the packets are.
    pub tags: Vec<u8>,
    /// The hash of each block's piece.
    pub hashes: Vec<[u8; HASH_BYTES]>,
    /// The MAC of [`Self::mac_input`], made and compared by whoever holds the key.
    pub mac: [u8; HASH_BYTES],
}

/// Why bytes are not the header of a fragment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum FragmentError {
    /// They end before the header does: read on, or the fragment was cut short.
    #[error("{found} of {needed} bytes of the header")]
    Truncated {
        /// How many there are.
        found: usize,
        /// How many there must be, as far as can be said.
        needed: usize,
    },
    /// They begin otherwise: this is no fragment, or one of a later format.
    #[error("no fragment begins like this")]
    Magic,
    /// There is no such code.
    #[error(transparent)]
    Redundancy(#[from] RedundancyError),
    /// The index is not that of a fragment.
    #[error("there is no fragment {index} among {total}")]
    Index {
        /// The index.
        index: u8,
        /// How many there are.
        total: u8,
    },
    /// The number of blocks is out of range.
    #[error("{0} blocks, of 1 to 4096")]
    Blocks(u16),
    /// The lengths of the blocks are out of range.
    #[error("blocks of {block_bytes} bytes, the last of {last_block_bytes}")]
    BlockBytes {
        /// Of each block but the last.
        block_bytes: u32,
        /// Of the last.
        last_block_bytes: u32,
    },
    /// The coefficients are not as many as the code has.
    #[error("{found} bytes of coefficients instead of {needed}")]
    Coefficients {
        /// How many there are.
        found: usize,
        /// How many there should be.
        needed: usize,
    },
    /// The tags are not as many as the packets; never said of bytes.
    #[error("{found} bytes of tags instead of {needed}")]
    Tags {
        /// How many there are.
        found: usize,
        /// How many there should be.
        needed: usize,
    },
    /// The hashes are not as many as the blocks; never said of bytes.
    #[error("{found} hashes of {needed} blocks")]
    Hashes {
        /// How many there are.
        found: usize,
        /// How many there should be.
        needed: usize,
    },
    /// Bytes that must be zero are not.
    #[error("bytes without a meaning are not zero")]
    Reserved,
}

/// The hash that a header holds of a piece.
///
/// It has no key: that the header is authentic is what makes it telling.
#[must_use]
pub fn hash_piece(piece: &[u8]) -> [u8; HASH_BYTES] {
    *blake3::hash(piece).as_bytes()
}

impl FragmentHeader {
    /// Bytes of the header of a fragment of so many blocks.
    #[must_use]
    pub fn header_bytes(redundancy: Redundancy, blocks: u16) -> usize {
        FIXED_BYTES
            + redundancy.coefficient_bytes()
            + redundancy.tag_bytes(blocks)
            + HASH_BYTES * (usize::from(blocks) + 1)
    }

    /// Appends the header, with its MAC, to `out`.
    ///
    /// # Panics
    /// If [`Self::check`] finds a fault.
    pub fn encode_into(&self, out: &mut Vec<u8>) {
        self.put_mac_input(out);
        out.extend_from_slice(&self.mac);
    }

    /// What the MAC is of: all bytes of the header before it.
    ///
    /// # Panics
    /// If [`Self::check`] finds a fault.
    #[must_use]
    pub fn mac_input(&self) -> Vec<u8> {
        let mut input = Vec::with_capacity(Self::header_bytes(self.redundancy, self.blocks));
        self.put_mac_input(&mut input);
        input
    }

    fn put_mac_input(&self, out: &mut Vec<u8>) {
        self.check().expect("the header is within its bounds");
        let redundancy = self.redundancy;
        out.extend_from_slice(&MAGIC);
        out.extend_from_slice(&[
            redundancy.code_id(),
            redundancy.data(),
            redundancy.total(),
            redundancy.subpackets(),
            self.index,
            0,
        ]);
        out.extend_from_slice(&self.blocks.to_le_bytes());
        out.extend_from_slice(&self.block_bytes.to_le_bytes());
        out.extend_from_slice(&self.last_block_bytes.to_le_bytes());
        out.extend_from_slice(&self.segment);
        out.extend_from_slice(&self.version);
        let coefficients = u16::try_from(self.coefficients.len());
        let coefficients = coefficients.expect("at most 16 times 255");
        out.extend_from_slice(&coefficients.to_le_bytes());
        out.extend_from_slice(&[0, 0]);
        out.extend_from_slice(&self.coefficients);
        out.extend_from_slice(&self.tags);
        out.extend_from_slice(self.hashes.as_flattened());
    }

    /// Reads the header at the beginning of `bytes`; returns it and its length.
    ///
    /// # Errors
    /// [`FragmentError::Truncated`] if more bytes may make a header of these; any other if none can.
    pub fn parse(bytes: &[u8]) -> Result<(Self, usize), FragmentError> {
        let mut reader = Reader { bytes, at: 0 };
        if reader.array()? != MAGIC {
            return Err(FragmentError::Magic);
        }
        let [code, data, total, subpackets, index, zero] = reader.array()?;
        let blocks = u16::from_le_bytes(reader.array()?);
        let block_bytes = u32::from_le_bytes(reader.array()?);
        let last_block_bytes = u32::from_le_bytes(reader.array()?);
        let (segment, version) = (reader.array()?, reader.array()?);
        let coefficient_bytes = usize::from(u16::from_le_bytes(reader.array()?));
        let zeros: [u8; 2] = reader.array()?;
        if zero != 0 || zeros != [0, 0] {
            return Err(FragmentError::Reserved);
        }
        let redundancy = Redundancy::from_parts(code, data, total, subpackets)?;
        check_index(redundancy, index)?;
        check_coefficients(redundancy, coefficient_bytes)?;
        check_blocks(blocks, block_bytes, last_block_bytes)?;
        let coefficients = reader.take(coefficient_bytes)?.to_vec();
        let tags = reader.take(redundancy.tag_bytes(blocks))?.to_vec();
        let (hashes, _) = reader.take(HASH_BYTES * usize::from(blocks))?.as_chunks();
        let header = Self {
            redundancy,
            index,
            blocks,
            block_bytes,
            last_block_bytes,
            segment,
            version,
            coefficients,
            tags,
            hashes: hashes.to_vec(),
            mac: reader.array()?,
        };
        Ok((header, reader.at))
    }

    /// Whether the header can be written: as [`Self::parse`] checks what it reads.
    ///
    /// # Errors
    /// With what is out of bounds.
    pub fn check(&self) -> Result<(), FragmentError> {
        check_index(self.redundancy, self.index)?;
        check_coefficients(self.redundancy, self.coefficients.len())?;
        check_blocks(self.blocks, self.block_bytes, self.last_block_bytes)?;
        let (found, needed) = (self.tags.len(), self.redundancy.tag_bytes(self.blocks));
        if found != needed {
            return Err(FragmentError::Tags { found, needed });
        }
        let (found, needed) = (self.hashes.len(), usize::from(self.blocks));
        if found != needed {
            return Err(FragmentError::Hashes { found, needed });
        }
        Ok(())
    }

    /// Bytes of a block, as coded.
    ///
    /// # Panics
    /// If there is no such block.
    #[must_use]
    pub fn bytes_of_block(&self, block: u16) -> usize {
        assert!(block < self.blocks, "block {block} of {}", self.blocks);
        let bytes = if block + 1 == self.blocks {
            self.last_block_bytes
        } else {
            self.block_bytes
        };
        bytes as usize
    }

    /// Where in the fragment the piece of a block lies.
    ///
    /// # Panics
    /// If there is no such block.
    #[must_use]
    pub fn piece_range(&self, block: u16) -> Range<usize> {
        let piece_bytes = self.redundancy.piece_bytes(self.block_bytes as usize);
        let start =
            Self::header_bytes(self.redundancy, self.blocks) + usize::from(block) * piece_bytes;
        start..start + self.redundancy.piece_bytes(self.bytes_of_block(block))
    }

    /// Bytes of the whole fragment, header and pieces.
    #[must_use]
    pub fn fragment_bytes(&self) -> usize {
        self.piece_range(self.blocks - 1).end
    }

    /// Whether `piece` is the one that this fragment holds of a block: its length and its hash.
    ///
    /// # Panics
    /// If there is no such block.
    #[must_use]
    pub fn verify_piece(&self, block: u16, piece: &[u8]) -> bool {
        piece.len() == self.piece_range(block).len()
            && hash_piece(piece) == self.hashes[usize::from(block)]
    }
}

fn check_index(redundancy: Redundancy, index: u8) -> Result<(), FragmentError> {
    let total = redundancy.total();
    if index >= total {
        return Err(FragmentError::Index { index, total });
    }
    Ok(())
}

fn check_coefficients(redundancy: Redundancy, found: usize) -> Result<(), FragmentError> {
    let needed = redundancy.coefficient_bytes();
    if found != needed {
        return Err(FragmentError::Coefficients { found, needed });
    }
    Ok(())
}

fn check_blocks(blocks: u16, block_bytes: u32, last_block_bytes: u32) -> Result<(), FragmentError> {
    if !(1..=BLOCKS_MAX).contains(&blocks) {
        return Err(FragmentError::Blocks(blocks));
    }
    if block_bytes > BLOCK_BYTES_MAX || !(1..=block_bytes).contains(&last_block_bytes) {
        return Err(FragmentError::BlockBytes {
            block_bytes,
            last_block_bytes,
        });
    }
    Ok(())
}

/// Bytes, read from the front.
struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Reader<'a> {
    fn take(&mut self, count: usize) -> Result<&'a [u8], FragmentError> {
        let needed = self.at + count;
        let taken = self.bytes.get(self.at..needed);
        let taken = taken.ok_or(FragmentError::Truncated {
            found: self.bytes.len(),
            needed,
        })?;
        self.at = needed;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], FragmentError> {
        let taken = self.take(N)?;
        Ok(taken.try_into().expect("it has this length"))
    }
}
