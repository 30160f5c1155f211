//! The operations of a full pass in the vector instructions of x86-64.
//!
//! Invariant: [`Avx2`] and [`Avx512`] are made only inside functions that are compiled for, and
//! entered only with, their instructions; every load lies within the array it is given.
#![allow(unsafe_code)]

use core::arch::x86_64::*;

use super::{BLOCK, ByName, Column, Counts, Numbers, Pass, PassJob, Test, by_all_ranks};

/// Does `job` with AVX2.
///
/// # Safety
/// The processor must have AVX2 and the bit instructions beside it.
#[target_feature(enable = "avx2,bmi1,bmi2,lzcnt,popcnt")]
pub(super) unsafe fn run_avx2<J: PassJob>(job: J) -> J::Output {
    job.run(Avx2(()))
}

/// Does `job` with AVX-512.
///
/// # Safety
/// The processor must have AVX-512 F, BW and VL, and what [`run_avx2`] takes.
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx2,bmi1,bmi2,lzcnt,popcnt")]
pub(super) unsafe fn run_avx512<J: PassJob>(job: J) -> J::Output {
    job.run(Avx512(()))
}

/// Loads a whole vector, aligned to its size, whatever becomes of it. It is volatile so that the compiler
/// does not join it with a comparison under a mask, which would not load where the mask is not set.
///
/// # Safety
/// `from` must be readable and aligned.
#[inline(always)]
unsafe fn load<V>(from: *const V) -> V {
    // SAFETY: as the caller promises.
    unsafe { from.read_volatile() }
}

/// 32 bytes at a time.
#[derive(Clone, Copy)]
pub(super) struct Avx2(());

impl Pass for Avx2 {
    #[inline(always)]
    fn below(self, columns: &[Column], value: &[u64], counts: &mut Counts) {
        // SAFETY: `self` proves AVX2; counts are 64 aligned bytes, of which these are 32.
        let mut count = unsafe { _mm256_load_si256(counts.0.as_ptr().cast()) };
        for part in (0..BLOCK).step_by(4) {
            // SAFETY: `self` proves AVX2.
            let mut below = unsafe { _mm256_setzero_si256() };
            for (column, word) in columns.iter().zip(value).rev() {
                // SAFETY: `self` proves AVX2; a column is 512 aligned bytes, of which these are 32.
                unsafe {
                    // The instruction compares signed numbers.
                    let flip = _mm256_set1_epi64x(i64::MIN);
                    let own: __m256i = load(column.0.as_ptr().add(part).cast());
                    let word = _mm256_set1_epi64x(word.cast_signed());
                    let less = _mm256_cmpgt_epi64(
                        _mm256_xor_si256(word, flip),
                        _mm256_xor_si256(own, flip),
                    );
                    let equal = _mm256_cmpeq_epi64(own, word);
                    below = _mm256_or_si256(less, _mm256_and_si256(equal, below));
                }
            }
            // SAFETY: `self` proves AVX2.
            count = unsafe { _mm256_sub_epi64(count, below) };
        }
        // SAFETY: as of the load.
        unsafe { _mm256_store_si256(counts.0.as_mut_ptr().cast(), count) };
    }

    #[inline(always)]
    fn satisfied(self, tests: &[Test], needed: &Numbers, ranks: &[u32]) -> u64 {
        let mut mask = 0;
        for part in (0..BLOCK).step_by(8) {
            let load = |own: &Numbers| -> __m256i {
                // SAFETY: `self` proves AVX2; numbers are 256 aligned bytes, of which these are 32.
                unsafe { load(own.0.as_ptr().add(part).cast()) }
            };
            // SAFETY: `self` proves AVX2.
            let mut held = unsafe { _mm256_setzero_si256() };
            for test in tests {
                let (low, high) = (load(&test.low), load(&test.high));
                // SAFETY: `self` proves AVX2.
                unsafe {
                    let one = _mm256_set1_epi32(1);
                    let ones = _mm256_set1_epi32(-1);
                    // Complements of how far a rank lies above `low`, of which the greatest counts.
                    let before = _mm256_sub_epi32(low, one);
                    let mut nearest = _mm256_setzero_si256();
                    for rank in ranks {
                        let rank = _mm256_set1_epi32(rank.cast_signed());
                        nearest = _mm256_max_epu32(nearest, _mm256_sub_epi32(before, rank));
                    }
                    let limit = _mm256_xor_si256(_mm256_sub_epi32(high, low), ones);
                    let fails = _mm256_cmpeq_epi32(_mm256_max_epu32(nearest, limit), limit);
                    held = _mm256_add_epi32(held, _mm256_add_epi32(fails, one));
                }
            }
            // SAFETY: `self` proves AVX2.
            let bits = unsafe {
                let equal = _mm256_cmpeq_epi32(held, load(needed));
                _mm256_movemask_ps(_mm256_castsi256_ps(equal))
            };
            mask |= u64::from(bits.cast_unsigned()) << part;
        }
        mask
    }

    const LOOKS_UP: bool = false;

    #[inline(always)]
    fn satisfied_by_name(self, tests: &[Test], needed: &Numbers, ranks: &ByName) -> u64 {
        by_all_ranks(self, tests, needed, ranks)
    }
}

/// 64 bytes at a time.
#[derive(Clone, Copy)]
pub(super) struct Avx512(());

impl Pass for Avx512 {
    #[inline(always)]
    fn below(self, columns: &[Column], value: &[u64], counts: &mut Counts) {
        // SAFETY: `self` proves AVX-512 F; counts are 64 aligned bytes.
        let mut count = unsafe { _mm512_load_si512(counts.0.as_ptr().cast()) };
        for part in (0..BLOCK).step_by(8) {
            let mut below = 0;
            for (column, word) in columns.iter().zip(value).rev() {
                // SAFETY: `self` proves AVX-512 F; a column is 512 aligned bytes, of which these are 64.
                unsafe {
                    let own: __m512i = load(column.0.as_ptr().add(part).cast());
                    let word = _mm512_set1_epi64(word.cast_signed());
                    let equal = _mm512_mask_cmpeq_epu64_mask(below, own, word);
                    below = _mm512_cmplt_epu64_mask(own, word) | equal;
                }
            }
            // SAFETY: `self` proves AVX-512 F.
            unsafe {
                count = _mm512_mask_add_epi64(count, below, count, _mm512_set1_epi64(1));
            }
        }
        // SAFETY: as of the load.
        unsafe { _mm512_store_si512(counts.0.as_mut_ptr().cast(), count) };
    }

    #[inline(always)]
    fn satisfied(self, tests: &[Test], needed: &Numbers, ranks: &[u32]) -> u64 {
        let mut mask = 0;
        for part in (0..BLOCK).step_by(16) {
            let load = |own: &Numbers| -> __m512i {
                // SAFETY: `self` proves AVX-512 F; numbers are 256 aligned bytes, of which these are 64.
                unsafe { load(own.0.as_ptr().add(part).cast()) }
            };
            // SAFETY: `self` proves AVX-512 F.
            let mut held = unsafe { _mm512_setzero_si512() };
            for test in tests {
                let (low, high) = (load(&test.low), load(&test.high));
                // SAFETY: `self` proves AVX-512 F.
                unsafe {
                    let one = _mm512_set1_epi32(1);
                    // Complements of how far a rank lies above `low`, of which the greatest counts.
                    let before = _mm512_sub_epi32(low, one);
                    let mut nearest = _mm512_setzero_si512();
                    for rank in ranks {
                        let rank = _mm512_set1_epi32(rank.cast_signed());
                        nearest = _mm512_max_epu32(nearest, _mm512_sub_epi32(before, rank));
                    }
                    let limit =
                        _mm512_xor_si512(_mm512_sub_epi32(high, low), _mm512_set1_epi32(-1));
                    let holds = _mm512_cmpgt_epu32_mask(nearest, limit);
                    held = _mm512_mask_add_epi32(held, holds, held, one);
                }
            }
            // SAFETY: `self` proves AVX-512 F.
            let bits = unsafe { _mm512_cmpeq_epu32_mask(held, load(needed)) };
            mask |= u64::from(bits) << part;
        }
        mask
    }

    const LOOKS_UP: bool = true;

    #[inline(always)]
    fn satisfied_by_name(self, tests: &[Test], needed: &Numbers, ranks: &ByName) -> u64 {
        // SAFETY: `self` proves AVX-512 F; ranks are 128 aligned bytes.
        let (first, second) = unsafe {
            let halves = ranks.0.as_ptr();
            (
                _mm512_load_si512(halves.cast()),
                _mm512_load_si512(halves.add(16).cast()),
            )
        };
        let mut mask = 0;
        for part in (0..BLOCK).step_by(16) {
            let load = |own: &Numbers| -> __m512i {
                // SAFETY: `self` proves AVX-512 F; numbers are 256 aligned bytes, of which these are 64.
                unsafe { load(own.0.as_ptr().add(part).cast()) }
            };
            // SAFETY: `self` proves AVX-512 F.
            let mut held = unsafe { _mm512_setzero_si512() };
            for test in tests {
                let (low, high, name) = (load(&test.low), load(&test.high), load(&test.name));
                // SAFETY: `self` proves AVX-512 F.
                unsafe {
                    // Of the place the instruction takes the last five bits.
                    let rank = _mm512_permutex2var_epi32(first, name, second);
                    let above = _mm512_sub_epi32(rank, low);
                    let holds = _mm512_cmplt_epu32_mask(above, _mm512_sub_epi32(high, low));
                    held = _mm512_mask_add_epi32(held, holds, held, _mm512_set1_epi32(1));
                }
            }
            // SAFETY: `self` proves AVX-512 F.
            let bits = unsafe { _mm512_cmpeq_epu32_mask(held, load(needed)) };
            mask |= u64::from(bits) << part;
        }
        mask
    }
}
