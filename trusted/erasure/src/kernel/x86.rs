//! The product in the vector instructions of x86-64.
//!
//! Invariant: [`Avx2`], [`GfniAvx2`] and [`GfniAvx512`] are made only inside functions that are
//! compiled for, and entered only with, their instructions.
//! Source: Plank et al., "Screaming fast Galois field arithmetic using Intel SIMD instructions", FAST
//! '13, for products by halves of bytes; Intel's guide to GFNI for products as matrices of bits.
#![allow(unsafe_code)]

use core::arch::x86_64::*;

use super::pass::{self, Lanes, Pass, Table};
use crate::field;

/// Does `pass` with AVX2.
///
/// # Safety
/// [`has_avx2`](super::processor::has_avx2) must hold.
#[target_feature(enable = "avx2")]
pub(super) unsafe fn run_avx2(pass: Pass<'_, '_, '_>) {
    pass::run::<_, 2, 1>(Avx2(()), pass);
}

/// Does `pass` with GFNI on the registers of AVX2.
///
/// # Safety
/// [`has_gfni_avx2`](super::processor::has_gfni_avx2) must hold.
#[target_feature(enable = "avx2,gfni")]
pub(super) unsafe fn run_gfni_avx2(pass: Pass<'_, '_, '_>) {
    pass::run::<_, 2, 1>(GfniAvx2(()), pass);
}

/// Does `pass` with GFNI on the registers of AVX-512.
///
/// # Safety
/// [`has_gfni_avx512`](super::processor::has_gfni_avx512) must hold.
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx2,gfni")]
pub(super) unsafe fn run_gfni_avx512(pass: Pass<'_, '_, '_>) {
    pass::run::<_, 4, 2>(GfniAvx512(()), pass);
}

/// The products of the coefficient with each half of a byte.
pub(super) fn table_of_halves(coefficient: u8) -> Table {
    let halves = field::halves(coefficient);
    let (words, _) = halves.as_chunks::<8>();
    [0, 1, 2, 3].map(|word| u64::from_le_bytes(words[word]))
}

/// The product with the coefficient as a matrix of bits: bit i of a product is the parity of those
/// bits of the byte that byte 7 - i of the word names.
pub(super) fn table_of_bits(coefficient: u8) -> Table {
    // Byte i is the product with bit i: rows and columns are exchanged, by halves of halves.
    let mut rows = u64::from_le_bytes(field::bits(coefficient));
    for (shift, mask) in [
        (7, 0x00aa_00aa_00aa_00aa),
        (14, 0x0000_cccc_0000_cccc),
        (28, 0x0000_0000_f0f0_f0f0),
    ] {
        let exchanged = (rows ^ rows >> shift) & mask;
        rows ^= exchanged ^ exchanged << shift;
    }
    [rows.swap_bytes(), 0, 0, 0]
}

/// Asks for a line of the caches.
#[inline(always)]
fn prefetch(line: *const u8) {
    // SAFETY: a hint, which every processor of this architecture takes and which touches nothing.
    unsafe { _mm_prefetch::<_MM_HINT_T0>(line.cast()) };
}

/// Bytes of a register of AVX2.
const YMM_BYTES: usize = 32;

/// Reads the first `count` bytes of a register of AVX2.
///
/// # Safety
/// So many bytes must be readable there, and be fewer than it has; the processor must have AVX2.
#[inline(always)]
unsafe fn load_first(from: *const u8, count: usize) -> __m256i {
    let mut bytes = [0_u8; YMM_BYTES];
    // SAFETY: as the caller promises.
    unsafe {
        from.copy_to_nonoverlapping(bytes.as_mut_ptr(), count);
        _mm256_loadu_si256(bytes.as_ptr().cast())
    }
}

/// Writes the first `count` bytes of a register of AVX2.
///
/// # Safety
/// So many bytes must be writable there, and be fewer than it has; the processor must have AVX2.
#[inline(always)]
unsafe fn store_first(to: *mut u8, vector: __m256i, count: usize) {
    let mut bytes = [0_u8; YMM_BYTES];
    // SAFETY: as the caller promises.
    unsafe {
        _mm256_storeu_si256(bytes.as_mut_ptr().cast(), vector);
        to.copy_from_nonoverlapping(bytes.as_ptr(), count);
    }
}

/// 32 bytes at a time, by their halves.
#[derive(Clone, Copy)]
pub(super) struct Avx2(());

impl Lanes for Avx2 {
    type Vector = __m256i;
    type Parts = (__m256i, __m256i);
    type Factor = (__m256i, __m256i);

    const BYTES: usize = YMM_BYTES;
    const WORDS: usize = 4;

    #[inline(always)]
    fn zero(self) -> __m256i {
        // SAFETY: `self` proves AVX2.
        unsafe { _mm256_setzero_si256() }
    }

    #[inline(always)]
    unsafe fn load(self, from: *const u8) -> __m256i {
        // SAFETY: as the caller promises.
        unsafe { _mm256_loadu_si256(from.cast()) }
    }

    #[inline(always)]
    unsafe fn load_first(self, from: *const u8, count: usize) -> __m256i {
        // SAFETY: as the caller promises.
        unsafe { load_first(from, count) }
    }

    #[inline(always)]
    unsafe fn store(self, to: *mut u8, vector: __m256i) {
        // SAFETY: as the caller promises.
        unsafe { _mm256_storeu_si256(to.cast(), vector) }
    }

    #[inline(always)]
    unsafe fn store_first(self, to: *mut u8, vector: __m256i, count: usize) {
        // SAFETY: as the caller promises.
        unsafe { store_first(to, vector, count) }
    }

    #[inline(always)]
    fn prefetch(self, line: *const u8) {
        prefetch(line);
    }

    #[inline(always)]
    fn parts(self, vector: __m256i) -> (__m256i, __m256i) {
        // SAFETY: `self` proves AVX2.
        unsafe {
            let mask = _mm256_set1_epi8(15);
            let high = _mm256_srli_epi64::<4>(vector);
            (_mm256_and_si256(vector, mask), _mm256_and_si256(high, mask))
        }
    }

    #[inline(always)]
    unsafe fn factor(self, table: *const u64) -> (__m256i, __m256i) {
        // SAFETY: as the caller promises; the table has two times 16 bytes.
        unsafe {
            let low = _mm_loadu_si128(table.cast());
            let high = _mm_loadu_si128(table.add(2).cast());
            (
                _mm256_broadcastsi128_si256(low),
                _mm256_broadcastsi128_si256(high),
            )
        }
    }

    #[inline(always)]
    fn product(self, parts: (__m256i, __m256i), factor: (__m256i, __m256i)) -> __m256i {
        // SAFETY: `self` proves AVX2.
        unsafe {
            let low = _mm256_shuffle_epi8(factor.0, parts.0);
            let high = _mm256_shuffle_epi8(factor.1, parts.1);
            _mm256_xor_si256(low, high)
        }
    }

    #[inline(always)]
    fn sum(self, a: __m256i, b: __m256i) -> __m256i {
        // SAFETY: `self` proves AVX2.
        unsafe { _mm256_xor_si256(a, b) }
    }
}

/// 32 bytes at a time, by their bits.
#[derive(Clone, Copy)]
pub(super) struct GfniAvx2(());

impl Lanes for GfniAvx2 {
    type Vector = __m256i;
    type Parts = __m256i;
    type Factor = __m256i;

    const BYTES: usize = YMM_BYTES;
    const WORDS: usize = 1;

    #[inline(always)]
    fn zero(self) -> __m256i {
        // SAFETY: `self` proves AVX2.
        unsafe { _mm256_setzero_si256() }
    }

    #[inline(always)]
    unsafe fn load(self, from: *const u8) -> __m256i {
        // SAFETY: as the caller promises.
        unsafe { _mm256_loadu_si256(from.cast()) }
    }

    #[inline(always)]
    unsafe fn load_first(self, from: *const u8, count: usize) -> __m256i {
        // SAFETY: as the caller promises.
        unsafe { load_first(from, count) }
    }

    #[inline(always)]
    unsafe fn store(self, to: *mut u8, vector: __m256i) {
        // SAFETY: as the caller promises.
        unsafe { _mm256_storeu_si256(to.cast(), vector) }
    }

    #[inline(always)]
    unsafe fn store_first(self, to: *mut u8, vector: __m256i, count: usize) {
        // SAFETY: as the caller promises.
        unsafe { store_first(to, vector, count) }
    }

    #[inline(always)]
    fn prefetch(self, line: *const u8) {
        prefetch(line);
    }

    #[inline(always)]
    fn parts(self, vector: __m256i) -> __m256i {
        vector
    }

    #[inline(always)]
    unsafe fn factor(self, table: *const u64) -> __m256i {
        // SAFETY: as the caller promises.
        unsafe { _mm256_set1_epi64x((*table).cast_signed()) }
    }

    #[inline(always)]
    fn product(self, parts: __m256i, factor: __m256i) -> __m256i {
        // SAFETY: `self` proves AVX2 and GFNI.
        unsafe { _mm256_gf2p8affine_epi64_epi8::<0>(parts, factor) }
    }

    #[inline(always)]
    fn sum(self, a: __m256i, b: __m256i) -> __m256i {
        // SAFETY: `self` proves AVX2.
        unsafe { _mm256_xor_si256(a, b) }
    }
}

/// 64 bytes at a time, by their bits.
#[derive(Clone, Copy)]
pub(super) struct GfniAvx512(());

/// A bit for each of the first `count` bytes, which are fewer than 64.
#[inline(always)]
fn mask(count: usize) -> __mmask64 {
    (1 << count) - 1
}

impl Lanes for GfniAvx512 {
    type Vector = __m512i;
    type Parts = __m512i;
    type Factor = __m512i;

    const BYTES: usize = 64;
    const WORDS: usize = 1;

    #[inline(always)]
    fn zero(self) -> __m512i {
        // SAFETY: `self` proves AVX-512.
        unsafe { _mm512_setzero_si512() }
    }

    #[inline(always)]
    unsafe fn load(self, from: *const u8) -> __m512i {
        // SAFETY: as the caller promises.
        unsafe { _mm512_loadu_si512(from.cast()) }
    }

    #[inline(always)]
    unsafe fn load_first(self, from: *const u8, count: usize) -> __m512i {
        // SAFETY: as the caller promises; bytes without a bit in the mask are not touched.
        unsafe { _mm512_maskz_loadu_epi8(mask(count), from.cast()) }
    }

    #[inline(always)]
    unsafe fn store(self, to: *mut u8, vector: __m512i) {
        // SAFETY: as the caller promises.
        unsafe { _mm512_storeu_si512(to.cast(), vector) }
    }

    #[inline(always)]
    unsafe fn store_first(self, to: *mut u8, vector: __m512i, count: usize) {
        // SAFETY: as the caller promises; bytes without a bit in the mask are not touched.
        unsafe { _mm512_mask_storeu_epi8(to.cast(), mask(count), vector) }
    }

    #[inline(always)]
    fn prefetch(self, line: *const u8) {
        prefetch(line);
    }

    #[inline(always)]
    fn parts(self, vector: __m512i) -> __m512i {
        vector
    }

    #[inline(always)]
    unsafe fn factor(self, table: *const u64) -> __m512i {
        // SAFETY: as the caller promises.
        unsafe { _mm512_set1_epi64((*table).cast_signed()) }
    }

    #[inline(always)]
    fn product(self, parts: __m512i, factor: __m512i) -> __m512i {
        // SAFETY: `self` proves AVX-512 and GFNI.
        unsafe { _mm512_gf2p8affine_epi64_epi8::<0>(parts, factor) }
    }

    #[inline(always)]
    fn sum(self, a: __m512i, b: __m512i) -> __m512i {
        // SAFETY: `self` proves AVX-512.
        unsafe { _mm512_xor_si512(a, b) }
    }

    #[inline(always)]
    fn sum3(self, a: __m512i, b: __m512i, c: __m512i) -> __m512i {
        // SAFETY: `self` proves AVX-512. 0x96 is the truth table of the sum of three bits.
        unsafe { _mm512_ternarylogic_epi64::<0x96>(a, b, c) }
    }
}
