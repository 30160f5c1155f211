//! Fragments as the host brings them, verified before anything is made of them.
//!
//! Invariant: what is kept has a header that a coder of the tenant has made for this segment, and the pieces that the header says.
//! Source: `docs/FORMATS.md`, "Storage: segments".

use std::ops::Range;

use sc_crypto::Secret;
use sc_erasure::{Code, DecodeError, Decoder, FragmentHeader, Redundancy, Shape};
use sc_proto::coder;

use crate::record::Record;
use crate::refused::Refused;
use crate::segment::verify_header;

/// What fragments have to be.
pub(crate) struct Expected<'e> {
    pub(crate) record: &'e Record,
    pub(crate) version: &'e [u8; 16],
    pub(crate) mac_key: &'e Secret,
    pub(crate) shape: Shape,
    /// The blocks of which there are pieces.
    pub(crate) blocks: Range<usize>,
}

/// Fragments of one segment.
pub(crate) struct Brought<'b> {
    pub(crate) good: Vec<Piece<'b>>,
    /// Indexes of those that are not what they should be.
    pub(crate) bad: Vec<u32>,
}

/// One fragment's header and its pieces.
pub(crate) struct Piece<'p> {
    pub(crate) header: FragmentHeader,
    pub(crate) pieces: &'p [u8],
}

impl Piece<'_> {
    /// Those of network coding; the other codes have fixed ones.
    fn coefficients(&self) -> Option<&[u8]> {
        let is_drawn = matches!(self.header.redundancy, Redundancy::Rlnc { .. });
        is_drawn.then_some(&self.header.coefficients)
    }
}

impl<'b> Brought<'b> {
    /// Takes fragments from the front of `bytes`; gives what is left of them, too.
    pub(crate) fn take(
        expected: &Expected<'_>,
        fragments: &[coder::FragmentPieces],
        mut bytes: &'b [u8],
    ) -> Result<(Self, &'b [u8]), Refused> {
        if fragments.len() > usize::from(expected.shape.redundancy().total()) {
            return Err(Refused::MALFORMED);
        }
        let mut brought = Self {
            good: Vec::with_capacity(fragments.len()),
            bad: Vec::new(),
        };
        for fragment in fragments {
            let length = (fragment.header_bytes as usize)
                .checked_add(fragment.piece_bytes as usize)
                .ok_or(Refused::MALFORMED)?;
            let (own, rest) = bytes.split_at_checked(length).ok_or(Refused::MALFORMED)?;
            bytes = rest;
            let (header, pieces) = own.split_at(fragment.header_bytes as usize);
            match expected.verify(header, pieces) {
                Some(piece) if u32::from(piece.header.index) == fragment.index => {
                    brought.good.push(piece);
                }
                _ => brought.bad.push(fragment.index),
            }
        }
        Ok((brought, bytes))
    }

    /// What rebuilds blocks of the fragments.
    pub(crate) fn decoder(&self, code: &Code) -> Result<Decoder, DecodeError> {
        let available = self.good.iter();
        let available = available.map(|it| (it.header.index, it.coefficients()));
        Decoder::new(code, &available.collect::<Vec<_>>())
    }

    /// The tags of the first k, as [`Self::decoder`] takes them: pieces of a block whose packets are tags.
    pub(crate) fn tags(&self) -> Vec<&[u8]> {
        let good = self.good.iter().take(self.needed());
        good.map(|it| &*it.header.tags).collect()
    }

    /// How many rebuild.
    fn needed(&self) -> usize {
        let first = self.good.first();
        first.map_or(0, |it| usize::from(it.header.redundancy.data()))
    }

    /// The pieces of one block, which begin at `at` of each fragment's; of the first k, as [`Self::decoder`] takes them.
    pub(crate) fn pieces(&self, at: usize, piece_bytes: usize) -> Vec<&[u8]> {
        let good = self.good.iter().take(self.needed());
        good.map(|it| &it.pieces[at..at + piece_bytes]).collect()
    }
}

impl Expected<'_> {
    /// Headers of fragments that there are, ascending by index, and the indexes of those that are not this segment's.
    pub(crate) fn headers(
        &self,
        held: &[coder::HeldHeader],
    ) -> Result<(Vec<FragmentHeader>, Vec<u32>), Refused> {
        let total = self.shape.redundancy().total();
        let is_ascending = held.is_sorted_by(|one, next| one.index < next.index);
        if !is_ascending || held.last().is_some_and(|it| it.index >= u32::from(total)) {
            return Err(Refused::MALFORMED);
        }
        let (mut good, mut bad) = (Vec::with_capacity(held.len()), Vec::new());
        for held in held {
            match self.header(&held.header) {
                Some(header) if u32::from(header.index) == held.index => good.push(header),
                _ => bad.push(held.index),
            }
        }
        Ok((good, bad))
    }

    /// The header, if a coder of the tenant has made it for this segment.
    fn header(&self, encoded: &[u8]) -> Option<FragmentHeader> {
        let (header, length) = FragmentHeader::parse(encoded).ok()?;
        if length != encoded.len() || verify_header(self.mac_key, encoded).is_err() {
            return None;
        }
        let is_ours = header.segment == self.record.segment
            && header.version == *self.version
            && header.redundancy == self.record.redundancy
            && header.blocks == self.shape.block_count();
        is_ours.then_some(header)
    }

    /// The fragment, if its header is this segment's and its pieces are what the header says.
    fn verify<'p>(&self, encoded: &[u8], pieces: &'p [u8]) -> Option<Piece<'p>> {
        let header = self.header(encoded)?;
        let mut rest = pieces;
        for block in self.blocks.clone() {
            let (piece, behind) = rest.split_at_checked(self.shape.piece_of(block))?;
            let number = u16::try_from(block).expect("a segment has few blocks");
            if !header.verify_piece(number, piece) {
                return None;
            }
            rest = behind;
        }
        rest.is_empty().then_some(Piece { header, pieces })
    }
}
