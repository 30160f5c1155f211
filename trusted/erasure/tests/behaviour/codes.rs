//! What is lost can be rebuilt.

use proptest::prelude::*;
use proptest::sample::subsequence;
use sc_erasure::{
    Code, DecodeError, Decoder, Features, Kernel, Matrix, Redundancy, decodes_with_any,
};

use crate::pieces;
use crate::strategies::{block, kernel, redundancy, rlnc};

/// Rebuilds a block of `length` bytes of the pieces of these fragments.
fn rebuild(code: &Code, pieces: &[Vec<u8>], chosen: &[u8], length: usize) -> Vec<u8> {
    let available: Vec<_> = chosen.iter().map(|index| (*index, None)).collect();
    let decoder = Decoder::new(code, &available).unwrap();
    let held: Vec<&[u8]> = chosen
        .iter()
        .map(|index| &*pieces[usize::from(*index)])
        .collect();
    let mut block = vec![0x5a; length];
    decoder.decode(&held, &mut block);
    block
}

/// A redundancy and k of its fragments, in any order.
fn survivors(
    redundancy: impl Strategy<Value = Redundancy>,
) -> impl Strategy<Value = (Redundancy, Vec<u8>)> {
    redundancy.prop_flat_map(|redundancy| {
        let all: Vec<u8> = (0..redundancy.total()).collect();
        let chosen = subsequence(all, usize::from(redundancy.data())).prop_shuffle();
        (Just(redundancy), chosen)
    })
}

proptest! {
    #[test]
    fn any_k_fragments_rebuild_the_block(
        (redundancy, chosen) in survivors(redundancy()),
        kernel in kernel(),
        block in block(),
    ) {
        let code = Code::new(redundancy, kernel);

        let pieces = pieces(&code, &block);

        prop_assert_eq!(rebuild(&code, &pieces, &chosen, block.len()), block);
    }

    #[test]
    fn kernels_make_the_same_pieces(redundancy in redundancy(), block in block()) {
        let portable = pieces(&Code::new(redundancy, Kernel::PORTABLE), &block);

        for kernel in Kernel::supported(Features::ALL) {
            prop_assert_eq!(&pieces(&Code::new(redundancy, kernel), &block), &portable);
        }
    }

    #[test]
    fn coefficients_say_how_packets_are_made(redundancy in rlnc(), kernel in kernel(), block in block()) {
        let code = Code::new(redundancy, kernel);
        let packet_bytes = redundancy.packet_bytes(block.len()).max(1);
        let mut padded = block.clone();
        padded.resize(redundancy.packets() * packet_bytes, 0);
        let source = Matrix::new(packet_bytes, padded);

        for (index, piece) in (0..).zip(pieces(&code, &block)) {
            let rows = Matrix::new(redundancy.packets(), code.coefficients(index));
            if !piece.is_empty() {
                let product = rows.multiply(&source);
                prop_assert_eq!(product.cells(), piece);
            }
        }
    }

    #[test]
    fn coefficients_that_are_passed_in_decode_as_the_known_ones(
        (redundancy, chosen) in survivors(rlnc()),
        block in block(),
    ) {
        let code = Code::new(redundancy, Kernel::PORTABLE);
        let pieces = pieces(&code, &block);
        let coefficients: Vec<_> = chosen.iter().map(|index| code.coefficients(*index)).collect();
        let available: Vec<_> = chosen.iter().zip(&coefficients)
            .map(|(index, coefficients)| (*index, Some(&**coefficients)))
            .collect();
        let held: Vec<&[u8]> = chosen.iter().map(|index| &*pieces[usize::from(*index)]).collect();
        let mut rebuilt = vec![0; block.len()];

        Decoder::new(&code, &available).unwrap().decode(&held, &mut rebuilt);

        prop_assert_eq!(rebuilt, block);
    }

    #[test]
    fn source_says_where_a_piece_lies_in_the_block(redundancy in redundancy(), block in block()) {
        let code = Code::new(redundancy, Kernel::PORTABLE);

        for (index, piece) in (0..).zip(pieces(&code, &block)) {
            match code.source(index, block.len()) {
                None => prop_assert!(code.coded().contains(&index)),
                Some(source) => {
                    let (bytes, padding) = piece.split_at(source.len());
                    prop_assert_eq!(bytes, &block[source]);
                    prop_assert!(padding.iter().all(|byte| *byte == 0));
                }
            }
        }
        prop_assert_eq!(code.source(redundancy.total(), block.len()), None);
    }

    #[test]
    fn only_what_was_lost_needs_to_be_made(
        (redundancy, chosen) in survivors(redundancy()),
        block in block(),
    ) {
        let code = Code::new(redundancy, Kernel::fastest(Features::ALL));
        let pieces = pieces(&code, &block);
        let available: Vec<_> = chosen.iter().map(|index| (*index, None)).collect();
        let held: Vec<&[u8]> = chosen.iter().map(|index| &*pieces[usize::from(*index)]).collect();
        let decoder = Decoder::new(&code, &available).unwrap();
        let mut rebuilt = vec![0x5a; block.len()];
        for (position, piece) in held.iter().enumerate() {
            if let Some(source) = decoder.source(position, block.len()) {
                let length = source.len();
                rebuilt[source].copy_from_slice(&piece[..length]);
            }
        }

        decoder.decode_lost(&held, &mut rebuilt);

        prop_assert_eq!(rebuilt, block);
    }
}

#[test]
fn every_choice_of_fragments_rebuilds() {
    let block: Vec<u8> = (0..=255).collect();
    for redundancy in [
        Redundancy::replication(4),
        Redundancy::reed_solomon(4, 3),
        Redundancy::rlnc(4, 7, 1, false),
        Redundancy::rlnc(4, 7, 3, false),
        Redundancy::rlnc(4, 7, 3, true),
    ] {
        let code = Code::new(redundancy.unwrap(), Kernel::PORTABLE);
        let pieces = pieces(&code, &block);
        let (data, total) = (code.redundancy().data(), code.redundancy().total());
        for choice in 0..1_u32 << total {
            let chosen: Vec<u8> = (0..total)
                .filter(|index| choice >> index & 1 == 1)
                .collect();
            if chosen.len() == usize::from(data) {
                assert_eq!(rebuild(&code, &pieces, &chosen, block.len()), block);
            }
        }
    }
}

#[test]
fn every_choice_of_network_coded_fragments_is_independent() {
    for (data, total, subpackets, dense) in [
        (10, 14, 4, false),
        (10, 14, 4, true),
        (4, 8, 4, true),
        (17, 20, 1, true),
        (1, 255, 1, true),
    ] {
        let redundancy = Redundancy::rlnc(data, total, subpackets, dense).unwrap();
        let code = Code::new(redundancy, Kernel::PORTABLE);
        let fragments: Vec<_> = (0..total).map(|index| code.coefficients(index)).collect();
        let others: Vec<&[u8]> = fragments.iter().map(Vec::as_slice).collect();

        // A choice holds some fragment first, and then others among those behind it.
        for (first, fragment) in fragments.iter().enumerate() {
            let behind = &others[first + 1..];
            assert!(
                decodes_with_any(redundancy, fragment, behind),
                "{redundancy:?} {first}"
            );
        }
    }
}

#[test]
fn a_dense_code_has_no_plain_fragment() {
    let redundancy = Redundancy::rlnc(10, 14, 4, true).unwrap();
    let code = Code::new(redundancy, Kernel::PORTABLE);

    assert_eq!(code.coded(), 0..14);
    for index in 0..14 {
        let zeros = code
            .coefficients(index)
            .iter()
            .filter(|cell| **cell == 0)
            .count();
        assert!(zeros < 10, "{zeros} of 160 coefficients are 0");
    }
}

#[test]
fn the_generator_of_a_dense_code_never_changes() {
    let redundancy = Redundancy::rlnc(2, 3, 2, true).unwrap();
    let code = Code::new(redundancy, Kernel::fastest(Features::ALL));

    // Fragments carry their coefficients, but those of this table are stored nowhere else.
    assert_eq!(code.coefficients(0), DENSE_2_3_2);
}

/// The coefficients of the first fragment of the dense code with k = 2, n = 3 and two sub-packets.
const DENSE_2_3_2: [u8; 8] = [13, 31, 152, 44, 6, 20, 129, 241];

#[test]
fn too_few_fragments_are_told_from_dependent_ones() {
    let redundancy = Redundancy::reed_solomon(4, 2).unwrap();
    let code = Code::new(redundancy, Kernel::PORTABLE);
    let three = [(0, None), (2, None), (5, None)];
    let twice = [(0, None), (2, None), (5, None), (2, None)];

    let too_few = Decoder::new(&code, &three).map(drop);
    let dependent = Decoder::new(&code, &twice).map(drop);

    assert_eq!(
        too_few,
        Err(DecodeError::TooFewFragments {
            found: 3,
            needed: 4
        })
    );
    assert_eq!(
        dependent,
        Err(DecodeError::Dependent { rank: 3, needed: 4 })
    );
    assert_eq!(
        DecodeError::TooFewFragments {
            found: 2,
            needed: 4
        }
        .to_string(),
        "2 of the 4 fragments needed are readable"
    );
}

#[test]
fn fragments_of_another_code_are_refused() {
    let rlnc = Code::new(Redundancy::rlnc(2, 4, 2, false).unwrap(), Kernel::PORTABLE);

    let index = Decoder::new(&rlnc, &[(0, None), (4, None)]).map(drop);
    let coefficients = Decoder::new(&rlnc, &[(0, None), (1, Some(&[1, 2, 3]))]).map(drop);

    assert_eq!(
        index,
        Err(DecodeError::NoSuchFragment { index: 4, total: 4 })
    );
    assert_eq!(
        coefficients,
        Err(DecodeError::Coefficients {
            found: 3,
            needed: 8
        })
    );
}

#[test]
#[should_panic(expected = "pieces have the length that the redundancy says")]
fn a_piece_of_another_length_is_a_mistake_of_the_caller() {
    let code = Code::new(Redundancy::replication(2).unwrap(), Kernel::PORTABLE);

    code.encode(&[1, 2, 3], &mut [&mut [0; 3], &mut [0; 4]]);
}
