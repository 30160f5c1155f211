//! What the processor says of itself.
//!
//! Invariant: an answer is yes only if processor and operating system support every instruction that
//! the form is compiled with.
//! Source: Intel SDM volume 2, CPUID, and volume 1, 13.3 for the state that the system saves.
#![allow(unsafe_code)]

use core::arch::x86_64::{__cpuid, __cpuid_count, _xgetbv};

/// State of SSE and AVX.
const AVX_STATE: u64 = 0x6;

/// And the mask registers, and both halves of the wide registers.
const AVX512_STATE: u64 = 0xe6;

/// Whether AVX2 may be used.
pub(super) fn has_avx2() -> bool {
    let processor = Processor::ask();
    processor.saves(AVX_STATE) && processor.has_avx2
}

/// Whether GFNI may be used on the registers of AVX2.
pub(super) fn has_gfni_avx2() -> bool {
    let processor = Processor::ask();
    processor.saves(AVX_STATE) && processor.has_avx2 && processor.has_gfni
}

/// Whether GFNI may be used on the registers of AVX-512, beside its parts F, BW and VL.
pub(super) fn has_gfni_avx512() -> bool {
    let processor = Processor::ask();
    processor.saves(AVX512_STATE)
        && processor.has_avx2
        && processor.has_avx512
        && processor.has_gfni
}

struct Processor {
    saved: u64,
    has_avx2: bool,
    has_avx512: bool,
    has_gfni: bool,
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
                has_gfni: false,
            };
        }
        // SSE3, SSSE3, SSE4.1, SSE4.2, POPCNT and AVX, which the compiler takes for granted with AVX2.
        let beside_avx2 = [0, 9, 19, 20, 23, 28];
        // FMA and F16C, which it takes for granted with AVX-512 F.
        let beside_avx512 = [12, 29];
        let seventh = __cpuid_count(7, 0);
        Self {
            // SAFETY: OSXSAVE is set, so the instruction is there.
            saved: unsafe { saved_state() },
            has_avx2: bits(first.ecx, &beside_avx2) && bits(seventh.ebx, &[5]),
            has_avx512: bits(first.ecx, &beside_avx512) && bits(seventh.ebx, &[16, 30, 31]),
            has_gfni: bits(seventh.ecx, &[8]),
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
