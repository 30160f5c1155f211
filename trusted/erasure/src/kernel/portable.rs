//! The product in plain integers, 32 bytes at a time.
//!
//! A product is the sum, over the bits of a byte, of the coefficient times that power of x.
#![allow(unsafe_code)]

use super::pass::{self, Lanes, Pass, Table};
use crate::field;

/// One in every byte.
const ONES: u64 = 0x0101_0101_0101_0101;

/// Words of a vector.
const WORDS: usize = 4;

/// The products of the coefficient with each bit, in the bytes of one word.
pub(super) fn table(coefficient: u8) -> Table {
    let word = u64::from_le_bytes(field::bits(coefficient));
    [word, 0, 0, 0]
}

/// Does `pass`.
pub(super) fn run(pass: Pass<'_, '_, '_>) {
    pass::run::<_, 1, 1>(Portable, pass);
}

/// The form without vector instructions.
#[derive(Clone, Copy)]
pub(super) struct Portable;

impl Lanes for Portable {
    type Vector = [u64; WORDS];
    /// For each bit, bytes that are all ones where it is set.
    type Parts = [[u64; WORDS]; 8];
    /// For each bit, its product in every byte.
    type Factor = [u64; 8];

    const BYTES: usize = 8 * WORDS;
    const WORDS: usize = 1;

    #[inline(always)]
    fn zero(self) -> Self::Vector {
        [0; WORDS]
    }

    #[inline(always)]
    unsafe fn load(self, from: *const u8) -> Self::Vector {
        // SAFETY: as the caller promises; an array of words has no invalid bytes.
        unsafe { from.cast::<Self::Vector>().read_unaligned() }
    }

    #[inline(always)]
    unsafe fn load_first(self, from: *const u8, count: usize) -> Self::Vector {
        let mut vector = self.zero();
        // SAFETY: as the caller promises.
        unsafe { from.copy_to_nonoverlapping(vector.as_mut_ptr().cast(), count) };
        vector
    }

    #[inline(always)]
    unsafe fn store(self, to: *mut u8, vector: Self::Vector) {
        // SAFETY: as the caller promises.
        unsafe { to.cast::<Self::Vector>().write_unaligned(vector) }
    }

    #[inline(always)]
    unsafe fn store_first(self, to: *mut u8, vector: Self::Vector, count: usize) {
        // SAFETY: as the caller promises.
        unsafe { to.copy_from_nonoverlapping(vector.as_ptr().cast(), count) }
    }

    #[inline(always)]
    fn parts(self, vector: Self::Vector) -> Self::Parts {
        let mut parts = [[0; WORDS]; 8];
        for (bit, masks) in parts.iter_mut().enumerate() {
            for (mask, word) in masks.iter_mut().zip(vector) {
                let ones = word >> bit & ONES;
                *mask = (ones << 8).wrapping_sub(ones);
            }
        }
        parts
    }

    #[inline(always)]
    unsafe fn factor(self, table: *const u64) -> Self::Factor {
        // SAFETY: as the caller promises.
        let bits = unsafe { *table }.to_le_bytes();
        bits.map(|product| ONES * u64::from(product))
    }

    #[inline(always)]
    fn product(self, parts: Self::Parts, factor: Self::Factor) -> Self::Vector {
        let mut sum = [0; WORDS];
        for (masks, product) in parts.iter().zip(factor) {
            for (sum, mask) in sum.iter_mut().zip(masks) {
                *sum ^= mask & product;
            }
        }
        sum
    }

    #[inline(always)]
    fn sum(self, a: Self::Vector, b: Self::Vector) -> Self::Vector {
        let mut sum = a;
        for (sum, word) in sum.iter_mut().zip(b) {
            *sum ^= word;
        }
        sum
    }
}
