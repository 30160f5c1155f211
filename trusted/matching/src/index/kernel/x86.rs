//! The operations in the vector instructions of x86-64, and the question whether the processor has
//! them.
//!
//! Invariant: [`Avx2`] and [`Avx512`] are made only inside functions that are compiled for, and
//! entered only with, their instructions; every load and store lies within the array it is given.
#![allow(unsafe_code)]

use core::arch::x86_64::*;

use super::{
    BLOCK_ROWS, Compared, Frame, Framed, Ids, Job, LANES, Lanes, Line, Passing, Pick, Sifted, TOPS,
    Test, WORDS_WIDE, portable::Portable,
};

/// Does `job` with AVX2.
///
/// # Safety
/// [`has_avx2`] must hold.
#[target_feature(enable = "avx2,bmi1,bmi2,lzcnt,popcnt")]
pub(super) unsafe fn run_avx2<J: Job>(job: J) -> J::Output {
    job.run(Avx2(()))
}

/// Does `job` with AVX-512.
///
/// # Safety
/// [`has_avx512`] must hold.
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx2,bmi1,bmi2,lzcnt,popcnt")]
pub(super) unsafe fn run_avx512<J: Job>(job: J) -> J::Output {
    job.run(Avx512(()))
}

/// Whether processor and operating system support AVX2 and the bit instructions beside it.
pub(super) fn has_avx2() -> bool {
    let processor = Processor::ask();
    // SSE, AVX state.
    processor.saves(0x6) && processor.has_avx2
}

/// Whether processor and operating system support AVX-512 F, BW and VL, and what AVX2 takes.
pub(super) fn has_avx512() -> bool {
    let processor = Processor::ask();
    // SSE, AVX, mask registers, both halves of the wide registers.
    processor.saves(0xe6) && processor.has_avx2 && processor.has_avx512
}

/// What the processor says of itself.
///
/// Source: Intel SDM volume 2, CPUID, and volume 1, 13.3 for the state that the system saves.
struct Processor {
    saved: u64,
    has_avx2: bool,
    has_avx512: bool,
}

impl Processor {
    fn ask() -> Self {
        let bits =
            |register: u32, wanted: &[u32]| wanted.iter().all(|bit| register >> bit & 1 == 1);
        let greatest = __cpuid(0).eax;
        let first = __cpuid(1);
        // OSXSAVE says that the state may be asked for.
        if greatest < 7 || !bits(first.ecx, &[27]) {
            return Self {
                saved: 0,
                has_avx2: false,
                has_avx512: false,
            };
        }
        // SSE3, SSSE3, SSE4.1, SSE4.2 and AVX, which the compiler takes for granted with AVX2; POPCNT.
        let beside_avx2 = [0, 9, 19, 20, 28, 23];
        // FMA and F16C, which it takes for granted with AVX-512 F.
        let beside_avx512 = [12, 29];
        // LZCNT; BMI1, AVX2, BMI2; AVX-512 F, BW, VL.
        let seventh = __cpuid_count(7, 0);
        let has_lzcnt =
            __cpuid(0x8000_0000).eax > 0x8000_0000 && bits(__cpuid(0x8000_0001).ecx, &[5]);
        Self {
            // SAFETY: OSXSAVE is set, so the instruction is there.
            saved: unsafe { saved_state() },
            has_avx2: bits(first.ecx, &beside_avx2) && bits(seventh.ebx, &[3, 5, 8]) && has_lzcnt,
            has_avx512: bits(first.ecx, &beside_avx512) && bits(seventh.ebx, &[16, 30, 31]),
        }
    }

    fn saves(&self, state: u64) -> bool {
        self.saved & state == state
    }
}

/// # Safety
/// The processor must have XGETBV.
#[target_feature(enable = "xsave")]
unsafe fn saved_state() -> u64 {
    // SAFETY: as the caller promises; register 0 always exists.
    unsafe { _xgetbv(0) }
}

/// Lines of the caches that are asked for at once, at most.
const PREFETCHED: usize = 8;

#[inline(always)]
fn prefetch<T>(items: &[T]) {
    let lines = size_of_val(items).div_ceil(64).min(PREFETCHED);
    for line in 0..lines {
        let at = items.as_ptr().cast::<i8>().wrapping_add(64 * line);
        // SAFETY: a hint, which every processor of this architecture takes and which touches nothing.
        unsafe { _mm_prefetch::<_MM_HINT_T0>(at) };
    }
}

/// 32 bytes at a time.
#[derive(Clone, Copy)]
pub(super) struct Avx2(());

impl Lanes for Avx2 {
    #[inline(always)]
    fn compare(self, line: &Line, code: u8) -> Compared {
        let mut compared = Compared { less: 0, equal: 0 };
        for half in 0..2 {
            // SAFETY: `self` proves AVX2; a line is 64 aligned bytes, of which these are 32.
            let (at_most, equal) = unsafe {
                let codes = _mm256_set1_epi8(code.cast_signed());
                let bytes = _mm256_load_si256(line.0.as_ptr().add(32 * half).cast());
                let least = _mm256_min_epu8(bytes, codes);
                (
                    _mm256_movemask_epi8(_mm256_cmpeq_epi8(least, bytes)),
                    _mm256_movemask_epi8(_mm256_cmpeq_epi8(bytes, codes)),
                )
            };
            let equal = u64::from(equal.cast_unsigned());
            compared.less |= (u64::from(at_most.cast_unsigned()) & !equal) << (32 * half);
            compared.equal |= equal << (32 * half);
        }
        compared
    }

    #[inline(always)]
    fn at_most(self, line: &Line, codes: &[u8; 8]) -> u8 {
        let codes = i64::from_le_bytes(*codes);
        let mut mask = 0;
        for half in 0..2 {
            // SAFETY: `self` proves AVX2; a line is 64 aligned bytes, of which these are 32.
            mask |= unsafe {
                let bytes = _mm256_load_si256(line.0.as_ptr().add(32 * half).cast());
                let least = _mm256_min_epu8(bytes, _mm256_set1_epi64x(codes));
                let all = _mm256_cmpeq_epi64(least, bytes);
                _mm256_movemask_pd(_mm256_castsi256_pd(all)) << (4 * half)
            };
        }
        mask as u8
    }

    #[inline(always)]
    fn each_at_most(self, line: &Line, codes: &[u8; 8]) -> u64 {
        let codes = i64::from_le_bytes(*codes);
        let mut mask = 0;
        for half in 0..2 {
            // SAFETY: `self` proves AVX2; a line is 64 aligned bytes, of which these are 32.
            let at_most = unsafe {
                let bytes = _mm256_load_si256(line.0.as_ptr().add(32 * half).cast());
                let least = _mm256_min_epu8(bytes, _mm256_set1_epi64x(codes));
                _mm256_movemask_epi8(_mm256_cmpeq_epi8(least, bytes))
            };
            mask |= u64::from(at_most.cast_unsigned()) << (32 * half);
        }
        mask
    }

    #[inline(always)]
    fn pass(self, lines: &[Line], tests: &[Test], _: u64) -> Passing {
        let mut passing = Passing { maybe: 0, sure: 0 };
        for half in 0..2 {
            // SAFETY: `self` proves AVX2; a line is 64 aligned bytes, of which these are 32.
            let load =
                |line: &Line| unsafe { _mm256_load_si256(line.0.as_ptr().add(32 * half).cast()) };
            // SAFETY: `self` proves AVX2.
            let zero = unsafe { _mm256_setzero_si256() };
            // Bytes by which a row is above a limit; 0 while it is above none.
            let (mut most, mut sure) = (zero, zero);
            for (line, test) in lines.iter().zip(tests) {
                let line = load(line);
                // SAFETY: `self` proves AVX2.
                unsafe {
                    let most_of = _mm256_set1_epi8(test.most.cast_signed());
                    let sure_of = _mm256_set1_epi8(test.sure.cast_signed());
                    most = _mm256_or_si256(most, _mm256_subs_epu8(line, most_of));
                    sure = _mm256_or_si256(sure, _mm256_subs_epu8(line, sure_of));
                }
            }
            // SAFETY: `self` proves AVX2.
            let zeros = |bytes| unsafe { _mm256_movemask_epi8(_mm256_cmpeq_epi8(bytes, zero)) };
            passing.maybe |= u64::from(zeros(most).cast_unsigned()) << (32 * half);
            passing.sure |= u64::from(zeros(sure).cast_unsigned()) << (32 * half);
        }
        passing
    }

    #[inline(always)]
    fn prefetch<T>(self, items: &[T]) {
        prefetch(items);
    }

    #[inline(always)]
    fn sift(self, maps: &[u64], picks: &[Pick], used: usize, sifted: &mut Sifted) {
        // The compiler makes vectors of the loop over words.
        Portable.sift(maps, picks, used, sifted);
    }

    #[inline(always)]
    fn below(self, tops: &[u32; TOPS], key: u32) -> usize {
        Portable.below(tops, key)
    }

    #[inline(always)]
    fn within(self, lows: &[u32], widths: &[u32], axes: &[u8], codes: &[u32; 64]) -> bool {
        Portable.within(lows, widths, axes, codes)
    }

    #[inline(always)]
    fn write(self, frame: &Frame, keys: &[u64; LANES]) -> Framed {
        Portable.write(frame, keys)
    }

    #[inline(always)]
    fn reached(self, bounds: &[u64; 8], key: u64) -> u8 {
        let mut greater = 0;
        for half in 0..2 {
            // SAFETY: `self` proves AVX2; the array is 64 bytes, of which these are 32.
            greater |= unsafe {
                let flip = _mm256_set1_epi64x(i64::MIN);
                let bounds = _mm256_loadu_si256(bounds.as_ptr().add(4 * half).cast());
                let key = _mm256_set1_epi64x(key.cast_signed());
                let above =
                    _mm256_cmpgt_epi64(_mm256_xor_si256(bounds, flip), _mm256_xor_si256(key, flip));
                _mm256_movemask_pd(_mm256_castsi256_pd(above)) << (4 * half)
            };
        }
        !greater as u8
    }

    #[inline(always)]
    fn find(self, ids: &Ids, id: u32) -> u64 {
        let mut found = 0;
        for eighth in 0..8 {
            // SAFETY: `self` proves AVX2; the array is 256 aligned bytes, of which these are 32.
            let mask = unsafe {
                let own = _mm256_load_si256(ids.0.as_ptr().add(8 * eighth).cast());
                let same = _mm256_cmpeq_epi32(own, _mm256_set1_epi32(id.cast_signed()));
                _mm256_movemask_ps(_mm256_castsi256_ps(same))
            };
            found |= u64::from(mask.cast_unsigned()) << (8 * eighth);
        }
        found
    }

    #[inline(always)]
    fn compress(self, ids: &Ids, mask: u64, room: &mut [u32; BLOCK_ROWS]) -> usize {
        if mask == u64::MAX {
            *room = ids.0;
            return BLOCK_ROWS;
        }
        Portable.compress(ids, mask, room)
    }
}

/// 64 bytes at a time.
#[derive(Clone, Copy)]
pub(super) struct Avx512(());

impl Lanes for Avx512 {
    #[inline(always)]
    fn compare(self, line: &Line, code: u8) -> Compared {
        // SAFETY: `self` proves AVX-512 BW; a line is 64 aligned bytes.
        unsafe {
            let bytes = _mm512_load_si512(line.0.as_ptr().cast());
            let codes = _mm512_set1_epi8(code.cast_signed());
            Compared {
                less: _mm512_cmplt_epu8_mask(bytes, codes),
                equal: _mm512_cmpeq_epu8_mask(bytes, codes),
            }
        }
    }

    #[inline(always)]
    fn at_most(self, line: &Line, codes: &[u8; 8]) -> u8 {
        // SAFETY: `self` proves AVX-512 F and BW; a line is 64 aligned bytes.
        unsafe {
            let bytes = _mm512_load_si512(line.0.as_ptr().cast());
            let codes = _mm512_set1_epi64(i64::from_le_bytes(*codes));
            let least = _mm512_min_epu8(bytes, codes);
            _mm512_cmpeq_epi64_mask(least, bytes)
        }
    }

    #[inline(always)]
    fn each_at_most(self, line: &Line, codes: &[u8; 8]) -> u64 {
        // SAFETY: `self` proves AVX-512 F and BW; a line is 64 aligned bytes.
        unsafe {
            let bytes = _mm512_load_si512(line.0.as_ptr().cast());
            let codes = _mm512_set1_epi64(i64::from_le_bytes(*codes));
            _mm512_cmple_epu8_mask(bytes, codes)
        }
    }

    #[inline(always)]
    fn pass(self, lines: &[Line], tests: &[Test], open: u64) -> Passing {
        static ZEROS: Line = Line([0; BLOCK_ROWS]);
        // SAFETY: `self` proves AVX-512 F.
        let zero = unsafe { _mm512_setzero_si512() };
        // Bytes by which a row is above a limit; 0 while it is above none.
        let (mut most, mut sure) = (zero, zero);
        for (column, (line, test)) in lines.iter().zip(tests).enumerate() {
            // Instead of a branch, which nobody can foretell, a line that is always near.
            let line = core::hint::select_unpredictable(open >> column & 1 == 1, line, &ZEROS);
            // SAFETY: `self` proves AVX-512 F and BW; a line is 64 aligned bytes.
            unsafe {
                let line = _mm512_load_si512(line.0.as_ptr().cast());
                let most_of = _mm512_set1_epi8(test.most.cast_signed());
                let sure_of = _mm512_set1_epi8(test.sure.cast_signed());
                most = _mm512_or_si512(most, _mm512_subs_epu8(line, most_of));
                sure = _mm512_or_si512(sure, _mm512_subs_epu8(line, sure_of));
            }
        }
        // SAFETY: `self` proves AVX-512 BW.
        unsafe {
            Passing {
                maybe: _mm512_testn_epi8_mask(most, most),
                sure: _mm512_testn_epi8_mask(sure, sure),
            }
        }
    }

    #[inline(always)]
    fn prefetch<T>(self, items: &[T]) {
        prefetch(items);
    }

    #[inline(always)]
    fn sift(self, maps: &[u64], picks: &[Pick], used: usize, sifted: &mut Sifted) {
        if used < WORDS_WIDE {
            return Portable.sift(maps, picks, used, sifted);
        }
        let (own_unsure, _) = sifted.unsure.as_chunks_mut::<WORDS_WIDE>();
        let (own_failing, _) = sifted.failing.as_chunks_mut::<WORDS_WIDE>();
        let own = own_unsure.iter_mut().zip(own_failing);
        let vectors = used / WORDS_WIDE;
        for (vector, (own_unsure, own_failing)) in own.enumerate().take(vectors) {
            // SAFETY: `self` proves AVX-512 F; both arrays are 64 bytes.
            let (mut unsure, mut failing) = unsafe {
                (
                    _mm512_loadu_si512(own_unsure.as_ptr().cast()),
                    _mm512_loadu_si512(own_failing.as_ptr().cast()),
                )
            };
            for pick in picks {
                let load = |at: u32| {
                    let words = &maps[at as usize + vector * WORDS_WIDE..][..WORDS_WIDE];
                    // SAFETY: `self` proves AVX-512 F; these are 64 bytes.
                    unsafe { _mm512_loadu_si512(words.as_ptr().cast()) }
                };
                // SAFETY: `self` proves AVX-512 F.
                unsafe {
                    unsure = _mm512_or_si512(unsure, load(pick.unsure));
                    failing = _mm512_or_si512(failing, load(pick.failing));
                }
            }
            // SAFETY: as at the loads.
            unsafe {
                _mm512_storeu_si512(own_unsure.as_mut_ptr().cast(), unsure);
                _mm512_storeu_si512(own_failing.as_mut_ptr().cast(), failing);
            }
        }
    }

    #[inline(always)]
    fn below(self, tops: &[u32; TOPS], key: u32) -> usize {
        let mut below = 0;
        for part in tops.as_chunks::<16>().0 {
            // SAFETY: `self` proves AVX-512 F; these are 64 bytes.
            let mask = unsafe {
                let part = _mm512_loadu_si512(part.as_ptr().cast());
                _mm512_cmplt_epu32_mask(part, _mm512_set1_epi32(key.cast_signed()))
            };
            below += mask.count_ones() as usize;
        }
        below
    }

    #[inline(always)]
    fn within(self, lows: &[u32], widths: &[u32], axes: &[u8], codes: &[u32; 64]) -> bool {
        let (mut outside, mut at) = (0, 0);
        let count = lows.len().min(widths.len()).min(axes.len());
        while at < count {
            let used = (1u32 << (count - at).min(8)) - 1;
            let (lows, widths, axes) = (&lows[at..], &widths[at..], &axes[at..]);
            // SAFETY: `self` proves AVX-512 F, BW and VL and AVX2. No more is read of the three than all of
            // them have; six bits of an axis name one of the 64 codes.
            outside |= unsafe {
                let lows = _mm256_maskz_loadu_epi32(used as u8, lows.as_ptr().cast());
                let widths = _mm256_maskz_loadu_epi32(used as u8, widths.as_ptr().cast());
                let axes = _mm_maskz_loadu_epi8(used as u16, axes.as_ptr().cast());
                let axes = _mm256_and_si256(_mm256_cvtepu8_epi32(axes), _mm256_set1_epi32(63));
                let codes = _mm256_i32gather_epi32::<4>(codes.as_ptr().cast(), axes);
                let steps = _mm256_sub_epi32(codes, lows);
                _mm256_mask_cmpgt_epu32_mask(used as u8, steps, widths)
            };
            at += 8;
        }
        outside == 0
    }

    #[inline(always)]
    fn write(self, frame: &Frame, keys: &[u64; LANES]) -> Framed {
        let mut framed = Framed::NONE;
        // SAFETY: `self` proves AVX-512 F and VL; arrays of words are 64 bytes, those of bytes 8.
        unsafe {
            let load = |words: &[u64; LANES]| _mm512_loadu_si512(words.as_ptr().cast());
            let widen =
                |bytes: &[u8; LANES]| _mm512_cvtepu8_epi64(_mm_loadl_epi64(bytes.as_ptr().cast()));
            let (keys, base, end) = (load(keys), load(&frame.base), load(&frame.end));
            let above = _mm512_cmpge_epu64_mask(keys, base);
            let steps = _mm512_srlv_epi64(_mm512_sub_epi64(keys, base), widen(&frame.drop));
            let ends = _mm512_mask_cmpge_epu64_mask(above, steps, end);
            let moved = _mm512_sllv_epi64(_mm512_min_epu64(steps, end), widen(&frame.lift));
            let one = _mm512_sllv_epi64(_mm512_set1_epi64(1), widen(&frame.one));
            let reached = _mm512_maskz_add_epi64(above, moved, one);
            let first = _mm512_srlv_epi64(reached, widen(&frame.first));
            let first = _mm512_mask_mov_epi64(first, ends, _mm512_set1_epi64(255));
            _mm512_storeu_si512(framed.reached.as_mut_ptr().cast(), reached);
            _mm_storel_epi64(
                framed.first.as_mut_ptr().cast(),
                _mm512_cvtepi64_epi8(first),
            );
            framed.above = above;
            framed.open = !ends;
        }
        framed
    }

    #[inline(always)]
    fn reached(self, bounds: &[u64; 8], key: u64) -> u8 {
        // SAFETY: `self` proves AVX-512 F; the array is 64 bytes, read without regard to alignment.
        unsafe {
            let bounds = _mm512_loadu_si512(bounds.as_ptr().cast());
            _mm512_cmple_epu64_mask(bounds, _mm512_set1_epi64(key.cast_signed()))
        }
    }

    #[inline(always)]
    fn find(self, ids: &Ids, id: u32) -> u64 {
        let mut found = 0;
        for quarter in 0..4 {
            // SAFETY: `self` proves AVX-512 F; the array is 256 aligned bytes, of which these are 64.
            let mask = unsafe {
                let own = _mm512_load_si512(ids.0.as_ptr().add(16 * quarter).cast());
                _mm512_cmpeq_epu32_mask(own, _mm512_set1_epi32(id.cast_signed()))
            };
            found |= u64::from(mask) << (16 * quarter);
        }
        found
    }

    #[inline(always)]
    fn compress(self, ids: &Ids, mask: u64, room: &mut [u32; BLOCK_ROWS]) -> usize {
        let mut count = 0;
        for quarter in 0..4 {
            let part = (mask >> (16 * quarter)) as u16;
            // SAFETY: `self` proves AVX-512 F; reads as in `find`. At most 16 x `quarter` numbers were
            // written before, so the 16 written here end at or before the end of `room`.
            unsafe {
                let own = _mm512_load_si512(ids.0.as_ptr().add(16 * quarter).cast());
                let packed = _mm512_maskz_compress_epi32(part, own);
                _mm512_storeu_si512(room.as_mut_ptr().add(count).cast(), packed);
            }
            count += part.count_ones() as usize;
        }
        count
    }
}
