//! Packets of a fragment, combined where it lies, for the repair of another one.
//!
//! Invariant: what is made depends on the fragment and the scalars alone, and has the length that both say. Nothing here can tell whether the
//! fragment is authentic: whoever asked finds out by the tags that come along.
//! Source: docs/FORMATS.md, "Storage: repair".

use std::sync::LazyLock;

use bytes::Bytes;
use sc_erasure::{Features, FragmentHeader, Kernel, Matrix, Recoder};

use crate::BackendError;

/// Scalars of one request, at most: those of a fragment with the most packets, all of which are asked for.
pub(crate) const SCALARS_MAX: usize = 256;

/// What does the arithmetic. To ask the processor takes long on a virtual machine: once is enough.
static KERNEL: LazyLock<Kernel> = LazyLock::new(|| Kernel::fastest(Features::ALL));

/// The combinations of a fragment's packets by `scalars`, a row for each: their tags, for each of them one for each block, and then for each
/// block the packets.
///
/// # Errors
/// [`BackendError::Unsupported`] where these are no scalars of such a fragment; [`BackendError::Corrupt`] where it is no fragment.
pub(crate) fn recode(fragment: &[u8], scalars: &[u8]) -> Result<Bytes, BackendError> {
    let (header, header_bytes) = FragmentHeader::parse(fragment)
        .map_err(|error| BackendError::Corrupt(format!("it is no fragment: {error}")))?;
    if header.fragment_bytes() != fragment.len() {
        return Err(BackendError::Corrupt(format!(
            "a fragment of {} bytes has {}",
            header.fragment_bytes(),
            fragment.len()
        )));
    }
    if header.redundancy.recoding().is_none() {
        return Err(unsupported("fragments of this code are not recoded"));
    }
    let subpackets = usize::from(header.redundancy.subpackets());
    let rows = scalars.len() / subpackets;
    if !(1..=subpackets).contains(&rows) || !scalars.len().is_multiple_of(subpackets) {
        return Err(unsupported("the scalars are not those of such a fragment"));
    }
    let scalars = Matrix::new(subpackets, scalars.to_vec());
    let recoder = Recoder::new(*KERNEL, scalars);
    let row_of = |bytes: usize| bytes / subpackets * rows;
    let packets_bytes = row_of(fragment.len() - header_bytes);
    let mut made = vec![0; row_of(header.tags.len()) + packets_bytes];
    let mut rest = &mut made[..];
    let pieces = (0..header.blocks).map(|block| &fragment[header.piece_range(block)]);
    for piece in std::iter::once(&header.tags[..]).chain(pieces) {
        let (own, behind) = rest.split_at_mut(row_of(piece.len()));
        rest = behind;
        let held: Vec<&[u8]> = piece.chunks_exact(piece.len() / subpackets).collect();
        let mut new: Vec<&mut [u8]> = own.chunks_exact_mut(piece.len() / subpackets).collect();
        recoder.recode(&held, &mut new);
    }
    Ok(made.into())
}

fn unsupported(why: &str) -> BackendError {
    BackendError::Unsupported(why.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use sc_erasure::{Code, Redundancy, hash_piece};

    /// Blocks of these lengths, coded; the fragment of index 5 with tags that are no more than some bytes.
    fn fragment(redundancy: Redundancy, blocks: &[usize]) -> Vec<u8> {
        let code = Code::new(redundancy, Kernel::PORTABLE);
        let pieces = blocks.iter().map(|&bytes| {
            let block: Vec<u8> = (0..bytes).map(|at| (at * 7) as u8).collect();
            let mut pieces = vec![vec![0; redundancy.piece_bytes(bytes)]; 6];
            let mut rows: Vec<&mut [u8]> = pieces.iter_mut().map(Vec::as_mut_slice).collect();
            code.encode(&block, &mut rows);
            pieces.swap_remove(5)
        });
        let pieces: Vec<Vec<u8>> = pieces.collect();
        let count = u16::try_from(blocks.len()).unwrap();
        let header = FragmentHeader {
            redundancy,
            index: 5,
            blocks: count,
            block_bytes: blocks[0] as u32,
            last_block_bytes: *blocks.last().unwrap() as u32,
            segment: [1; 32],
            version: [2; 16],
            coefficients: code.coefficients(5),
            tags: (0..redundancy.tag_bytes(count))
                .map(|at| at as u8)
                .collect(),
            hashes: pieces.iter().map(|piece| hash_piece(piece)).collect(),
            mac: [3; 32],
        };
        let mut bytes = Vec::new();
        header.encode_into(&mut bytes);
        bytes.extend(pieces.concat());
        bytes
    }

    fn rlnc() -> Redundancy {
        Redundancy::rlnc(4, 6, 2, false).unwrap()
    }

    #[test]
    fn a_row_that_takes_one_packet_gives_its_tags_and_its_bytes() {
        let fragment = fragment(rlnc(), &[100, 100, 17]);
        let (header, header_bytes) = FragmentHeader::parse(&fragment).unwrap();

        let made = recode(&fragment, &[0, 1]).unwrap();

        // Packets of 13 bytes, of 13, and of 3; each piece has two.
        let piece = &fragment[header_bytes..];
        let expected = [
            &header.tags[48..96],
            &piece[13..26],
            &piece[39..52],
            &piece[55..58],
        ];
        assert_eq!(made, expected.concat());
    }

    #[test]
    fn rows_are_combinations() {
        let fragment = fragment(rlnc(), &[100]);

        let made = recode(&fragment, &[1, 1, 0, 2]).unwrap();

        let (one, other) = (
            recode(&fragment, &[1, 0]).unwrap(),
            recode(&fragment, &[0, 1]).unwrap(),
        );
        for at in 0..16 {
            assert_eq!(made[at], one[at] ^ other[at]);
        }
        for at in 0..13 {
            assert_eq!(made[32 + at], one[16 + at] ^ other[16 + at]);
            let doubled = u16::from(other[16 + at]) << 1;
            let reduced = if doubled > 255 {
                doubled ^ 0x11d
            } else {
                doubled
            };
            assert_eq!(u16::from(made[45 + at]), reduced);
        }
    }

    #[test]
    fn what_is_no_fragment_or_has_another_length_is_damaged() {
        let fragment = fragment(rlnc(), &[100]);
        let longer = [&fragment[..], &[0]].concat();

        for bytes in [
            &b""[..],
            b"SCfragm1",
            &fragment[..fragment.len() - 1],
            &longer,
        ] {
            let refused = recode(bytes, &[1, 1]);
            assert!(
                matches!(refused, Err(BackendError::Corrupt(_))),
                "{refused:?}"
            );
        }
    }

    #[test]
    fn scalars_of_another_fragment_are_refused() {
        let fragment = fragment(rlnc(), &[100]);
        for scalars in [&[][..], &[1], &[1; 3], &[1; 6]] {
            let refused = recode(&fragment, scalars);
            assert!(matches!(refused, Err(BackendError::Unsupported(_))));
        }
    }

    #[test]
    fn fragments_of_codes_without_tags_are_not_recoded() {
        for redundancy in [
            Redundancy::reed_solomon(4, 2),
            Redundancy::rlnc(4, 6, 1, false),
        ] {
            let refused = recode(&fragment(redundancy.unwrap(), &[100]), &[1]);
            assert!(matches!(refused, Err(BackendError::Unsupported(_))));
        }
    }
}
