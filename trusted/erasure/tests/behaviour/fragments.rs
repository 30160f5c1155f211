//! Headers of fragments: read back as written, or refused.

use proptest::collection::vec;
use proptest::prelude::*;
use sc_erasure::{
    BLOCK_BYTES_MAX, BLOCKS_MAX, Code, FragmentError, FragmentHeader, Kernel, Redundancy,
    hash_piece,
};

use crate::strategies::redundancy;

fn header() -> impl Strategy<Value = FragmentHeader> {
    let numbers = (any::<u8>(), 1..=5_u16, 1..=BLOCK_BYTES_MAX, any::<u32>());
    let names = (any::<[u8; 32]>(), any::<[u8; 16]>(), any::<[u8; 32]>());
    (redundancy(), numbers, names).prop_flat_map(|(redundancy, numbers, names)| {
        let (index, blocks, block_bytes, last) = numbers;
        let hashes = vec(any::<[u8; 32]>(), usize::from(blocks));
        let coefficients = vec(any::<u8>(), redundancy.coefficient_bytes());
        let tags = vec(any::<u8>(), redundancy.tag_bytes(blocks));
        (hashes, coefficients, tags).prop_map(move |(hashes, coefficients, tags)| FragmentHeader {
            redundancy,
            index: index % redundancy.total(),
            blocks,
            block_bytes,
            last_block_bytes: 1 + last % block_bytes,
            segment: names.0,
            version: names.1,
            coefficients,
            tags,
            hashes,
            mac: names.2,
        })
    })
}

fn small() -> FragmentHeader {
    let redundancy = Redundancy::rlnc(2, 4, 2, false).unwrap();
    FragmentHeader {
        redundancy,
        index: 1,
        blocks: 2,
        block_bytes: 1000,
        last_block_bytes: 9,
        segment: [1; 32],
        version: [2; 16],
        coefficients: Code::new(redundancy, Kernel::PORTABLE).coefficients(1),
        tags: (0..64).collect(),
        hashes: vec![hash_piece(&[7; 500]), hash_piece(&[8; 6])],
        mac: [3; 32],
    }
}

fn encoded(header: &FragmentHeader) -> Vec<u8> {
    let mut bytes = Vec::new();
    header.encode_into(&mut bytes);
    bytes
}

proptest! {
    #[test]
    fn a_header_is_read_back_as_it_was_written(header in header(), behind in vec(any::<u8>(), 0..50)) {
        let mut bytes = encoded(&header);
        let length = bytes.len();
        bytes.extend(behind);

        prop_assert_eq!(FragmentHeader::parse(&bytes), Ok((header.clone(), length)));
        prop_assert_eq!(length, FragmentHeader::header_bytes(header.redundancy, header.blocks));
        prop_assert_eq!(&bytes[..length - 32], header.mac_input());
    }

    #[test]
    fn pieces_follow_one_another_to_the_end(header in header()) {
        let mut end = FragmentHeader::header_bytes(header.redundancy, header.blocks);

        for block in 0..header.blocks {
            let range = header.piece_range(block);
            prop_assert_eq!(range.start, end);
            prop_assert_eq!(range.len(), header.redundancy.piece_bytes(header.bytes_of_block(block)));
            end = range.end;
        }

        prop_assert_eq!(header.fragment_bytes(), end);
    }

    #[test]
    fn a_header_cut_short_is_said_to_be(header in header(), part in 0.0..1.0) {
        let mut bytes = encoded(&header);
        bytes.truncate((bytes.len() as f64 * part) as usize);

        let error = FragmentHeader::parse(&bytes).unwrap_err();

        let FragmentError::Truncated { found, needed } = error else { panic!("{error}") };
        prop_assert_eq!(found, bytes.len());
        prop_assert!(needed > found);
    }

    #[test]
    fn what_is_read_of_damaged_bytes_is_written_the_same(
        header in header(),
        damage in vec((any::<prop::sample::Index>(), any::<u8>()), 1..4),
    ) {
        let mut bytes = encoded(&header);
        for (at, byte) in damage {
            // Mostly the numbers, which everything else depends on.
            let at = if byte % 4 == 0 { at.index(bytes.len()) } else { at.index(24) };
            bytes[at] = byte;
        }

        if let Ok((header, length)) = FragmentHeader::parse(&bytes) {
            prop_assert_eq!(encoded(&header), &bytes[..length]);
        }
    }

    #[test]
    fn no_bytes_make_the_reader_panic(bytes in vec(any::<u8>(), 0..400)) {
        let mut behind_magic = b"SCfragm1".to_vec();
        behind_magic.extend(&bytes);

        let _ = FragmentHeader::parse(&bytes);
        let _ = FragmentHeader::parse(&behind_magic);
    }
}

#[test]
fn the_bytes_of_a_header_are_those_of_the_format() {
    let header = small();

    let bytes = encoded(&header);

    let mut expected = b"SCfragm1\x03\x02\x04\x02\x01\x00\x02\x00".to_vec();
    expected.extend([0xe8, 3, 0, 0, 9, 0, 0, 0]);
    expected.extend([1; 32]);
    expected.extend([2; 16]);
    expected.extend([8, 0, 0, 0]);
    expected.extend([0, 0, 1, 0, 0, 0, 0, 1]);
    expected.extend(0..64);
    expected.extend(header.hashes.concat());
    expected.extend([3; 32]);
    assert_eq!(bytes, expected);
}

#[test]
fn every_number_out_of_bounds_is_refused() {
    let bytes = encoded(&small());
    let parse = |at: usize, new: &[u8]| {
        let mut bytes = bytes.clone();
        bytes[at..at + new.len()].copy_from_slice(new);
        FragmentHeader::parse(&bytes).unwrap_err()
    };

    assert_eq!(parse(7, b"2"), FragmentError::Magic);
    assert!(matches!(parse(8, &[5]), FragmentError::Redundancy(_)));
    assert!(matches!(parse(9, &[5]), FragmentError::Redundancy(_)));
    assert!(matches!(
        parse(11, &[1]),
        FragmentError::Coefficients {
            found: 8,
            needed: 2
        }
    ));
    assert_eq!(parse(12, &[4]), FragmentError::Index { index: 4, total: 4 });
    assert_eq!(parse(13, &[1]), FragmentError::Reserved);
    assert_eq!(parse(14, &[0, 0]), FragmentError::Blocks(0));
    assert_eq!(parse(14, &[1, 16]), FragmentError::Blocks(BLOCKS_MAX + 1));
    assert!(matches!(
        parse(16, &[1, 0, 32, 0]),
        FragmentError::BlockBytes { .. }
    ));
    assert!(matches!(
        parse(20, &[0, 0]),
        FragmentError::BlockBytes { .. }
    ));
    assert!(matches!(
        parse(20, &[0xe9, 3]),
        FragmentError::BlockBytes { .. }
    ));
    assert!(matches!(
        parse(72, &[9]),
        FragmentError::Coefficients { .. }
    ));
    assert_eq!(parse(75, &[1]), FragmentError::Reserved);
}

#[test]
fn a_wrong_piece_is_told_by_its_hash() {
    let header = small();

    assert!(header.verify_piece(0, &[7; 500]));
    assert!(!header.verify_piece(0, &[7; 499]));
    assert!(!header.verify_piece(0, &[8; 500]));
    // Packets of 3 bytes: 9 bytes in 4 packets.
    assert!(header.verify_piece(1, &[8; 6]));
    assert!(!header.verify_piece(1, &[7; 500]));
}

#[test]
fn only_fragments_that_can_be_recoded_have_tags() {
    let mut header = small();
    header.tags.pop();
    let missing = FragmentError::Tags {
        found: 63,
        needed: 64,
    };
    assert_eq!(header.check(), Err(missing));

    for redundancy in [
        Redundancy::reed_solomon(2, 2),
        Redundancy::rlnc(2, 3, 2, false),
    ] {
        let redundancy = redundancy.unwrap();
        let header = FragmentHeader {
            redundancy,
            coefficients: vec![0; redundancy.coefficient_bytes()],
            ..small()
        };
        assert!(matches!(
            header.check(),
            Err(FragmentError::Tags { needed: 0, .. })
        ));
    }
}

#[test]
#[should_panic(expected = "the header is within its bounds")]
fn a_header_that_could_not_be_read_is_not_written() {
    let mut header = small();
    header.hashes.pop();

    encoded(&header);
}
