//! Tags of packets: what tells a packet that a location has made of those it holds from any other bytes.
//!
//! The tag of source packet s of a block is a secret linear hash of it, and a mask that nobody else has for that packet. A combination of
//! packets has the same combination of their tags, which whoever holds the keys makes of the packet and of what it should be made of.
//! Invariant: no two packets have one mask, not even those of a segment that was coded anew, so tags tell nothing of the hash; whoever alters a packet guesses its tag with a probability of
//! at most 6 in 2^128.
//! Source: Agrawal and Boneh, "Homomorphic MACs", ACNS 2009; `docs/FORMATS.md`, "Storage: packets".

use sc_crypto::{AeadKey, Nonce, Secret};
use sc_erasure::{Code, Kernel, LinearHash, Matrix, Recoder, Shape, TAG_BYTES};
use zeroize::Zeroizing;

use crate::keys;

/// What makes the tags of one segment, and looks at those of its packets.
pub(crate) struct Tagger {
    hash: LinearHash,
    masks: AeadKey,
    shape: Shape,
    kernel: Kernel,
}

impl Tagger {
    /// `None` where packets are not recoded, and have no tags.
    pub(crate) fn new(
        version: &Secret,
        segment: &[u8; 32],
        shape: Shape,
        kernel: Kernel,
    ) -> Option<Self> {
        shape.redundancy().recoding()?;
        // The first block is the longest.
        let longest = shape.redundancy().packet_bytes(shape.sealed_of(0));
        let code = crate::record::code(shape.redundancy());
        let cells = keys::packet_hash(version, segment, &code);
        let cells = cells.stream(Nonce::ONCE, LinearHash::cell_bytes(longest));
        Some(Self {
            hash: LinearHash::new(kernel, &cells),
            masks: keys::packet_masks(version, segment, &code),
            shape,
            kernel,
        })
    }

    /// Room for the tags of all source packets: for each packet one for each block.
    pub(crate) fn room(shape: Shape) -> Vec<u8> {
        vec![0; shape.redundancy().packets() * shape.blocks() * TAG_BYTES]
    }

    /// Writes the tags of a sealed block to their places among `tags`.
    pub(crate) fn tag(&self, block: usize, sealed: &[u8], tags: &mut [u8]) {
        let redundancy = self.shape.redundancy();
        let packet_bytes = redundancy.packet_bytes(sealed.len());
        let packets = (0..redundancy.packets()).map(|packet| {
            let start = (packet * packet_bytes).min(sealed.len());
            &sealed[start..sealed.len().min(start + packet_bytes)]
        });
        let hashes = self.hash.hash(packet_bytes, &packets.collect::<Vec<_>>());
        let masks = self.masks_of(block);
        let (masks, _) = masks.as_chunks::<TAG_BYTES>();
        for ((hash, mask), row) in hashes.iter().zip(masks).zip(self.rows(tags)) {
            let tag = &mut row[block * TAG_BYTES..][..TAG_BYTES];
            for ((tag, hash), mask) in tag.iter_mut().zip(hash).zip(mask) {
                *tag = hash ^ mask;
            }
        }
    }

    /// The tags of packets that are combinations of the source packets by `coefficients`: for each packet one for each block.
    /// `packets_of` gives the packets of a block.
    pub(crate) fn expected<'p>(
        &self,
        coefficients: &Matrix,
        packets_of: impl Fn(usize) -> Vec<&'p [u8]>,
    ) -> Zeroizing<Vec<u8>> {
        let mut masks = Zeroizing::new(Self::room(self.shape));
        for block in 0..self.shape.blocks() {
            let own = self.masks_of(block);
            for (mask, row) in own.chunks_exact(TAG_BYTES).zip(self.rows(&mut masks)) {
                row[block * TAG_BYTES..][..TAG_BYTES].copy_from_slice(mask);
            }
        }
        let row_bytes = self.row_bytes();
        let mut expected = Zeroizing::new(vec![0; coefficients.rows() * row_bytes]);
        combine(self.kernel, coefficients, &masks, &mut expected);
        for block in 0..self.shape.blocks() {
            let packets = packets_of(block);
            let packet_bytes = packets.first().map_or(0, |packet| packet.len());
            let hashes = self.hash.hash(packet_bytes, &packets);
            for (hash, row) in hashes.iter().zip(self.rows(&mut expected)) {
                let tag = &mut row[block * TAG_BYTES..][..TAG_BYTES];
                for (tag, hash) in tag.iter_mut().zip(hash) {
                    *tag ^= hash;
                }
            }
        }
        expected
    }

    fn masks_of(&self, block: usize) -> Zeroizing<Vec<u8>> {
        let number = u64::try_from(block).expect("a segment has few blocks");
        let count = self.shape.redundancy().packets() * TAG_BYTES;
        self.masks.stream(Nonce::counter(number), count)
    }

    /// Bytes of the tags of one packet of each block.
    fn row_bytes(&self) -> usize {
        self.shape.blocks() * TAG_BYTES
    }

    fn rows<'t>(&self, tags: &'t mut [u8]) -> impl Iterator<Item = &'t mut [u8]> {
        tags.chunks_exact_mut(self.row_bytes())
    }
}

/// The tags of all fragments, of those of the source packets: these are coded as a block is, whose packets they are.
pub(crate) fn of_fragments(code: &Code, tags: &[u8]) -> Vec<Vec<u8>> {
    let redundancy = code.redundancy();
    let own = vec![0; redundancy.piece_bytes(tags.len())];
    let mut all = vec![own; usize::from(redundancy.total())];
    code.encode(
        tags,
        &mut all.iter_mut().map(Vec::as_mut_slice).collect::<Vec<_>>(),
    );
    all
}

/// Combines rows of equal length, one behind the other in `rows`, to those of `made`.
pub(crate) fn combine(kernel: Kernel, scalars: &Matrix, rows: &[u8], made: &mut [u8]) {
    let row_bytes = rows.len() / scalars.columns();
    let held: Vec<&[u8]> = rows.chunks_exact(row_bytes).collect();
    let mut made: Vec<&mut [u8]> = made.chunks_exact_mut(row_bytes).collect();
    Recoder::new(kernel, scalars.clone()).recode(&held, &mut made);
}

#[cfg(test)]
mod tests {
    use super::*;
    use sc_erasure::{BLOCK_BYTES, Redundancy};

    fn shape(plain_bytes: usize, dense: bool) -> Shape {
        let redundancy = Redundancy::rlnc(4, 6, 2, dense).unwrap();
        Shape::new(plain_bytes, redundancy).unwrap()
    }

    fn tagger(shape: Shape, segment: u8) -> Tagger {
        let version = Secret::from_bytes([5; 32]);
        Tagger::new(&version, &[segment; 32], shape, Kernel::PORTABLE).unwrap()
    }

    /// Blocks of a segment, as they would be sealed.
    fn blocks(shape: Shape) -> Vec<Vec<u8>> {
        let block = |block| (0..shape.sealed_of(block)).map(move |at| (at * 13 + block) as u8);
        let blocks = 0..shape.blocks();
        blocks.map(|number| block(number).collect()).collect()
    }

    fn tags_of(tagger: &Tagger, blocks: &[Vec<u8>]) -> Vec<u8> {
        let mut tags = Tagger::room(tagger.shape);
        for (number, block) in blocks.iter().enumerate() {
            tagger.tag(number, block, &mut tags);
        }
        tags
    }

    #[test]
    fn the_tags_of_every_fragment_are_those_that_its_packets_should_have() {
        for (bytes, dense) in [(1, false), (900, true), (BLOCK_BYTES + 5, false)] {
            let shape = shape(bytes, dense);
            let (tagger, blocks) = (tagger(shape, 1), blocks(shape));
            let code = Code::new(shape.redundancy(), Kernel::PORTABLE);
            let all = of_fragments(&code, &tags_of(&tagger, &blocks));
            let pieces = blocks.iter().map(|block| {
                let mut pieces = vec![vec![0; shape.redundancy().piece_bytes(block.len())]; 6];
                let mut rows: Vec<&mut [u8]> = pieces.iter_mut().map(Vec::as_mut_slice).collect();
                code.encode(block, &mut rows);
                pieces
            });
            let pieces: Vec<_> = pieces.collect();

            for (index, tags) in all.iter().enumerate() {
                let coefficients = Matrix::new(8, code.coefficients(index as u8));
                let expected = tagger.expected(&coefficients, |block| {
                    let piece = &pieces[block][index];
                    piece.chunks(piece.len() / 2).collect()
                });
                assert_eq!(*tags, *expected, "fragment {index} of {bytes}");
            }
        }
    }

    #[test]
    fn equal_packets_have_other_tags_in_another_place_block_or_segment() {
        let shape = shape(2 * BLOCK_BYTES, false);
        let block = vec![7; shape.sealed_of(0)];
        let tags = tags_of(&tagger(shape, 1), &[block.clone(), block.clone()]);
        let others = tags_of(&tagger(shape, 2), &[block.clone(), block]);

        let mut all: Vec<&[u8]> = tags
            .chunks(TAG_BYTES)
            .chain(others.chunks(TAG_BYTES))
            .collect();
        all.sort_unstable();
        all.dedup();

        assert_eq!(all.len(), 2 * 2 * 8);
    }

    #[test]
    fn codes_whose_packets_are_not_recoded_have_no_tags() {
        let version = Secret::from_bytes([5; 32]);
        for redundancy in [
            Redundancy::reed_solomon(4, 2),
            Redundancy::rlnc(4, 6, 1, false),
        ] {
            let shape = Shape::new(100, redundancy.unwrap()).unwrap();

            assert!(Tagger::new(&version, &[1; 32], shape, Kernel::PORTABLE).is_none());
        }
    }
}
