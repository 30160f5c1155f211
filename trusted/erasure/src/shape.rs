//! How a segment's plaintext lies in blocks, these in pieces, and pieces in fragments.
//!
//! Invariant: whoever knows a segment's length and redundancy knows where each byte of each fragment belongs, without any of its bytes.
//! Source: docs/FORMATS.md, "Storage: fragments".

use core::ops::Range;

use crate::{FragmentHeader, Redundancy};

/// Plaintext of a block, in bytes: what is sealed and coded at once, so that its pieces stay in the processor's second cache.
pub const BLOCK_BYTES: usize = 1 << 20;
/// Plaintext of a segment at most, in bytes: what a crash of a coder or a location makes a client send again.
pub const SEGMENT_MAX: usize = 8 << 20;
/// What sealing adds to a block, in bytes.
pub const SEAL_BYTES: usize = 16;

/// Blocks of so many bytes of plaintext.
#[must_use]
pub const fn blocks_of(plain_bytes: usize) -> usize {
    plain_bytes.div_ceil(BLOCK_BYTES)
}

/// A segment's length and redundancy.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Shape {
    plain_bytes: usize,
    redundancy: Redundancy,
}

impl Shape {
    /// The shape of a segment of 1 to [`SEGMENT_MAX`] bytes of plaintext; `None` for any other length.
    #[must_use]
    pub fn new(plain_bytes: usize, redundancy: Redundancy) -> Option<Self> {
        (1..=SEGMENT_MAX).contains(&plain_bytes).then_some(Self {
            plain_bytes,
            redundancy,
        })
    }

    /// The redundancy.
    #[must_use]
    pub fn redundancy(self) -> Redundancy {
        self.redundancy
    }

    /// Blocks of the segment.
    #[must_use]
    pub fn blocks(self) -> usize {
        blocks_of(self.plain_bytes)
    }

    /// The same, as headers have it.
    #[must_use]
    pub fn block_count(self) -> u16 {
        u16::try_from(self.blocks()).expect("a segment has few blocks")
    }

    /// Plaintext of block `block`, in bytes.
    #[must_use]
    pub fn plain_of(self, block: usize) -> usize {
        (self.plain_bytes - block * BLOCK_BYTES).min(BLOCK_BYTES)
    }

    /// Bytes of block `block` as it is coded: sealed.
    #[must_use]
    pub fn sealed_of(self, block: usize) -> usize {
        self.plain_of(block) + SEAL_BYTES
    }

    /// Bytes of each piece of block `block`.
    #[must_use]
    pub fn piece_of(self, block: usize) -> usize {
        self.redundancy.piece_bytes(self.sealed_of(block))
    }

    /// Bytes of a fragment's header.
    #[must_use]
    pub fn header_bytes(self) -> usize {
        FragmentHeader::header_bytes(self.redundancy, self.block_count())
    }

    /// Bytes of all pieces of a fragment.
    #[must_use]
    pub fn body_bytes(self) -> usize {
        (0..self.blocks()).map(|block| self.piece_of(block)).sum()
    }

    /// Bytes of a fragment.
    #[must_use]
    pub fn fragment_bytes(self) -> usize {
        self.header_bytes() + self.body_bytes()
    }

    /// Where in a fragment the pieces of these blocks lie.
    #[must_use]
    pub fn pieces(self, blocks: Range<usize>) -> Range<usize> {
        let bytes = |blocks: Range<usize>| blocks.map(|block| self.piece_of(block)).sum::<usize>();
        let start = self.header_bytes() + bytes(0..blocks.start);
        start..start + bytes(blocks)
    }

    /// The blocks in which these bytes of the segment's plaintext lie; at least one byte, and within the segment.
    #[must_use]
    pub fn blocks_around(self, plain: Range<usize>) -> Range<usize> {
        plain.start / BLOCK_BYTES..blocks_of(plain.end)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shape(plain_bytes: usize) -> Shape {
        let redundancy = Redundancy::reed_solomon(4, 2).expect("a code that there is");
        Shape::new(plain_bytes, redundancy).expect("within bounds")
    }

    #[test]
    fn the_pieces_of_all_blocks_fill_a_fragment() {
        for plain_bytes in [1, 100, BLOCK_BYTES, BLOCK_BYTES + 1, SEGMENT_MAX] {
            let shape = shape(plain_bytes);

            let pieces = shape.pieces(0..shape.blocks());

            assert_eq!(pieces, shape.header_bytes()..shape.fragment_bytes());
        }
    }

    #[test]
    fn bytes_lie_in_the_blocks_that_hold_them() {
        let shape = shape(3 * BLOCK_BYTES);

        assert_eq!(shape.blocks_around(0..1), 0..1);
        assert_eq!(shape.blocks_around(BLOCK_BYTES - 1..BLOCK_BYTES + 1), 0..2);
        assert_eq!(shape.blocks_around(2 * BLOCK_BYTES..3 * BLOCK_BYTES), 2..3);
    }

    #[test]
    fn no_segment_is_empty_or_larger_than_the_largest() {
        let redundancy = shape(1).redundancy();

        assert_eq!(Shape::new(0, redundancy), None);
        assert_eq!(Shape::new(SEGMENT_MAX + 1, redundancy), None);
    }
}
