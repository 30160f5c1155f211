//! Seeds of what a location stores.

use sc_erasure::{Code, FragmentHeader, Kernel, Redundancy, RedundancyError, hash_piece};

use super::Seed;

/// The last fragment of two small blocks.
fn fragment(redundancy: Result<Redundancy, RedundancyError>) -> Vec<u8> {
    let redundancy = redundancy.expect("seeds are within the bounds");
    let code = Code::new(redundancy, Kernel::PORTABLE);
    let index = redundancy.total() - 1;
    let pieces = [&b"a block of bytes"[..], b"its end"].map(|block| {
        let mut pieces =
            vec![vec![0; redundancy.piece_bytes(block.len())]; usize::from(redundancy.total())];
        let mut rows: Vec<&mut [u8]> = pieces.iter_mut().map(Vec::as_mut_slice).collect();
        code.encode(block, &mut rows);
        pieces.swap_remove(usize::from(index))
    });
    let header = FragmentHeader {
        redundancy,
        index,
        blocks: 2,
        block_bytes: 16,
        last_block_bytes: 7,
        segment: [1; 32],
        version: [2; 16],
        coefficients: code.coefficients(index),
        tags: vec![4; redundancy.tag_bytes(2)],
        hashes: pieces.iter().map(|piece| hash_piece(piece)).collect(),
        mac: [3; 32],
    };
    let mut bytes = Vec::new();
    header.encode_into(&mut bytes);
    bytes.extend(pieces.concat());
    bytes
}

pub(super) fn seeds(seeds: &mut Vec<Seed>) {
    for (name, redundancy) in [
        ("replication", Redundancy::replication(3)),
        ("reed_solomon", Redundancy::reed_solomon(4, 2)),
        ("rlnc", Redundancy::rlnc(3, 5, 2, false)),
        ("rlnc_dense", Redundancy::rlnc(3, 5, 2, true)),
    ] {
        seeds.push(("fragment", name, fragment(redundancy)));
    }
}
