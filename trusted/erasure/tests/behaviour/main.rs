//! The public behaviour of redundancy.

#![allow(clippy::unwrap_used, reason = "helpers of tests are tests")]

mod codes;
mod fragments;
mod isal;
mod repair;
mod strategies;

use sc_erasure::Code;

/// All n pieces of `block`.
fn pieces(code: &Code, block: &[u8]) -> Vec<Vec<u8>> {
    let redundancy = code.redundancy();
    let total = usize::from(redundancy.total());
    // What lies in a piece before must not matter.
    let mut pieces = vec![vec![0xa5; redundancy.piece_bytes(block.len())]; total];
    let mut rows: Vec<&mut [u8]> = pieces.iter_mut().map(Vec::as_mut_slice).collect();
    code.encode(block, &mut rows);
    pieces
}
