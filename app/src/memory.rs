//! Memory that a role has in hand before its first batch.
//!
//! A process that has just started pays for each page of memory when it touches it first, about as much as for the publication that the
//! page is for; and the allocator gives what is free back to the system sooner than the next batch wants it.

use std::hint::black_box;

/// So much is in hand: what the batches take that are usually on their way at once.
const READY_BYTES: usize = 8 << 20;
/// Small enough to come from the heap, and not from the system alone.
const PIECE_BYTES: usize = 64 << 10;

/// Has the allocator hold [`READY_BYTES`] that were touched. Call it when whatever is kept for the whole run is there.
pub(crate) fn make_ready() {
    // The allocator of glibc takes the size of a large piece that was freed for what is to be kept from now on; others do as they like.
    drop(black_box(vec![1_u8; READY_BYTES]));
    let piece = |_| vec![1_u8; PIECE_BYTES];
    let pieces: Vec<_> = (0..READY_BYTES / PIECE_BYTES).map(piece).collect();
    drop(black_box(pieces));
}
