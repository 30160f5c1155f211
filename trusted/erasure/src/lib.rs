//! Redundancy for blocks of bytes: arithmetic in GF(2^8), three families of codes, and fragments.
//!
//! Invariant: pure and bounded. Nothing here holds a key or touches a file, a socket, a clock or a
//! random generator; whatever is drawn is passed in.
//! Source: D4.2, secure storage; Plank and Xu, NCA '06, for Cauchy Reed-Solomon codes; Ho et al.,
//! IEEE Trans. Inf. Theory 52(10), 2006, for random linear network coding.
//!
//! A *block* is cut into as many source packets as its [`Redundancy`] says; a *piece* is what one
//! fragment holds of one block, one packet or, with sub-packets, several; a *fragment* is the pieces of
//! the same index of all blocks of a segment behind a [`FragmentHeader`]. [`Code`] makes the pieces of
//! a block, [`Decoder`] the block of any k of them, [`Recoder`] new packets of packets, as a
//! [`RepairPlan`] says; a [`LinearHash`] tells whether they are what they should be.

#![no_std]
#![deny(unsafe_code)]

extern crate alloc;
#[cfg(test)]
extern crate std;

mod code;
mod decoder;
pub mod field;
mod fragment;
mod kernel;
mod linear_hash;
mod matrix;
mod packets;
mod plan;
mod recoder;
mod redundancy;
mod shape;
mod subsets;

pub use code::Code;
pub use decoder::{DecodeError, Decoder};
pub use fragment::{BLOCK_BYTES_MAX, BLOCKS_MAX, FragmentError, FragmentHeader, hash_piece};
pub use kernel::{Coefficients, Features, Kernel};
pub use linear_hash::{LinearHash, TAG_BYTES};
pub use matrix::Matrix;
pub use plan::RepairPlan;
pub use recoder::Recoder;
pub use redundancy::{Recoding, Redundancy, RedundancyError, SUBPACKETS_MAX, SUBSETS_MAX};
pub use shape::{BLOCK_BYTES, SEAL_BYTES, SEGMENT_MAX, Shape, blocks_of};
pub use subsets::{coefficients_beside, decodes_with_any};
