//! The few operations that vector instructions make fast, and the choice among their forms.
//!
//! Invariant: every form gives the same answers; a form is used only on a processor that has its
//! instructions, which the processor itself is asked. This folder is the only place of the crate
//! with `unsafe`.

pub(crate) mod pass;
mod portable;
#[cfg(test)]
mod tests;
#[cfg(target_arch = "x86_64")]
mod x86;

/// Rows of one block: as many as a mask has bits.
pub(super) const BLOCK_ROWS: usize = 64;

/// Blocks of one page at most.
pub(super) const PAGE_BLOCKS: usize = 16;

/// One byte of each row of a block.
#[derive(Clone, Copy)]
#[repr(align(64))]
pub(super) struct Line(pub(super) [u8; BLOCK_ROWS]);

/// The ids of the rows of a block.
#[derive(Clone, Copy)]
#[repr(align(64))]
pub(super) struct Ids(pub(super) [u32; BLOCK_ROWS]);

/// How the bytes of a line stand to a code, a bit for each row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Compared {
    pub(super) less: u64,
    pub(super) equal: u64,
}

/// Keys of one header that are worked on together.
pub(super) const LANES: usize = 8;

/// How the bounds of [`LANES`] columns are written: less `base`, without the low `drop` bits, at most
/// `end`, moved up by `lift` bits, plus 1 moved up by `one` bits. Moves are below 64.
#[derive(Clone, Copy)]
pub(super) struct Frame {
    pub(super) base: [u64; LANES],
    pub(super) end: [u64; LANES],
    pub(super) drop: [u8; LANES],
    pub(super) lift: [u8; LANES],
    pub(super) one: [u8; LANES],
    /// How far the first byte lies above the last bit.
    pub(super) first: [u8; LANES],
}

/// Keys written in a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Framed {
    /// The written forms; 0 for a key below the base.
    pub(super) reached: [u64; LANES],
    /// Their first bytes; 255 where the key reaches the end.
    pub(super) first: [u8; LANES],
    /// A bit for each key that does not reach the end.
    pub(super) open: u8,
    /// A bit for each key that is not below the base.
    pub(super) above: u8,
}

impl Framed {
    /// Nothing is reached.
    pub(super) const NONE: Self = Self {
        reached: [0; LANES],
        first: [0; LANES],
        open: 0,
        above: 0,
    };
}

/// What the first bytes of one column are held against.
#[derive(Clone, Copy)]
pub(super) struct Test {
    /// Rows with a greater byte fail.
    pub(super) most: u8,
    /// Rows with a greater byte, which do not fail, are decided by the bytes that follow.
    pub(super) sure: u8,
}

/// Which rows of a block pass by their first bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Passing {
    /// Those that may pass.
    pub(super) maybe: u64,
    /// Those among them that do, whatever their further bytes.
    pub(super) sure: u64,
}

impl Test {
    /// Every row passes.
    pub(super) const NONE: Self = Self {
        most: u8::MAX,
        sure: u8::MAX,
    };
}

/// Words of the rows that are sifted at a time, at most.
pub(super) const SIFT_WORDS: usize = 32;

/// Bitmaps of at least so many words have a multiple of them.
pub(super) const WORDS_WIDE: usize = 8;

/// Numbers that a key is held against at once.
pub(super) const TOPS: usize = 64;

/// Where two bitmaps begin.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Pick {
    pub(super) unsure: u32,
    pub(super) failing: u32,
}

/// Which rows are marked in the bitmaps of any column.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Sifted {
    /// In those for rows that fail.
    pub(super) failing: [u64; SIFT_WORDS],
    /// In those for rows that may.
    pub(super) unsure: [u64; SIFT_WORDS],
}

impl Sifted {
    /// None is.
    pub(super) const NONE: Self = Self {
        failing: [0; SIFT_WORDS],
        unsure: [0; SIFT_WORDS],
    };
}

/// The operations. A value of an implementing type is the proof that the processor has what it
/// takes.
pub(super) trait Lanes: Copy {
    /// Compares each byte of `line`, unsigned, with `code`.
    fn compare(self, line: &Line, code: u8) -> Compared;

    /// A bit for each of the eight words of `line` of which every byte is at most the byte of `codes`
    /// at its place.
    fn at_most(self, line: &Line, codes: &[u8; 8]) -> u8;

    /// A bit for each byte of `line` that is at most the one of `codes` at its place in its word.
    fn each_at_most(self, line: &Line, codes: &[u8; 8]) -> u64;

    /// Holds each of the lines, the first bytes of a block column by column, against its test. On lines
    /// without a bit in `open` every row passes, so that these need not be looked at; there are at most
    /// 64 lines.
    fn pass(self, lines: &[Line], tests: &[Test], open: u64) -> Passing;

    /// Joins the bitmaps that begin in `maps` where `picks` say, the first `used` words of each, which
    /// are a multiple of [`WORDS_WIDE`] or fewer.
    fn sift(self, maps: &[u64], picks: &[Pick], used: usize, sifted: &mut Sifted);

    /// How many of `tops`, which are ascending, are below `key`.
    fn below(self, tops: &[u32; TOPS], key: u32) -> usize;

    /// Whether the code of each axis lies in its interval: from `low` on, no further than `width`. There
    /// are as many of each.
    fn within(self, lows: &[u32], widths: &[u32], axes: &[u8], codes: &[u32; 64]) -> bool;

    /// Asks for the first lines of the caches in which `items` lie. A hint, and without effect where there
    /// is none.
    fn prefetch<T>(self, items: &[T]);

    /// Writes a header's keys in a frame.
    fn write(self, frame: &Frame, keys: &[u64; LANES]) -> Framed;

    /// A bit for each number of `bounds` that is at most `key`.
    fn reached(self, bounds: &[u64; 8], key: u64) -> u8;

    /// A bit for each id that is `id`.
    fn find(self, ids: &Ids, id: u32) -> u64;

    /// Writes those of `ids` that `mask` names to the front of `room`, in order, and anything behind
    /// them; returns how many they are.
    fn compress(self, ids: &Ids, mask: u64, room: &mut [u32; BLOCK_ROWS]) -> usize;
}

/// Something to be done with the operations of whichever form was chosen.
///
/// Implementations mark `run` `#[inline(always)]`, so that the whole of it is compiled for the
/// instructions of each form.
pub(super) trait Job {
    /// What it yields.
    type Output;

    /// Does it.
    fn run<L: Lanes>(self, lanes: L) -> Self::Output;
}

/// Vector instructions that the caller believes the processor to have.
///
/// They are passed in because a trusted program must not ask for them everywhere: where none are
/// named, nothing is asked of the processor.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Features {
    /// AVX2.
    pub avx2: bool,
    /// AVX-512 F, BW and VL.
    pub avx512: bool,
}

impl Features {
    /// All that this crate can make use of.
    pub const ALL: Self = Self {
        avx2: true,
        avx512: true,
    };
}

/// A form of the operations that this processor can run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Kernel(Form);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Form {
    Portable,
    #[cfg(target_arch = "x86_64")]
    Avx2,
    #[cfg(target_arch = "x86_64")]
    Avx512,
}

impl Kernel {
    /// The form that needs no vector instructions beyond those that every processor of its
    /// architecture has.
    pub const PORTABLE: Self = Self(Form::Portable);

    /// The fastest form among those that `features` names and the processor has.
    #[must_use]
    pub fn fastest(features: Features) -> Self {
        [Self::avx512(features), Self::avx2(features)]
            .into_iter()
            .flatten()
            .next()
            .unwrap_or(Self::PORTABLE)
    }

    /// The form called `name`, one of `portable`, `avx2` and `avx512`, if this processor has it.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        match name {
            "portable" => Some(Self::PORTABLE),
            "avx2" => Self::avx2(Features::ALL),
            "avx512" => Self::avx512(Features::ALL),
            _ => None,
        }
    }

    /// Its name, as [`Self::named`] takes it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self.0 {
            Form::Portable => "portable",
            #[cfg(target_arch = "x86_64")]
            Form::Avx2 => "avx2",
            #[cfg(target_arch = "x86_64")]
            Form::Avx512 => "avx512",
        }
    }

    #[cfg(target_arch = "x86_64")]
    fn avx2(features: Features) -> Option<Self> {
        (features.avx2 && x86::has_avx2()).then_some(Self(Form::Avx2))
    }

    #[cfg(target_arch = "x86_64")]
    fn avx512(features: Features) -> Option<Self> {
        (features.avx512 && x86::has_avx512()).then_some(Self(Form::Avx512))
    }

    #[cfg(not(target_arch = "x86_64"))]
    fn avx2(_: Features) -> Option<Self> {
        None
    }

    #[cfg(not(target_arch = "x86_64"))]
    fn avx512(_: Features) -> Option<Self> {
        None
    }

    /// Does `job` with the operations of this form.
    #[inline]
    #[allow(unsafe_code)]
    pub(super) fn run<J: Job>(self, job: J) -> J::Output {
        match self.0 {
            Form::Portable => job.run(portable::Portable),
            #[cfg(target_arch = "x86_64")]
            // SAFETY: this form is made by `avx2` alone, which asked the processor.
            Form::Avx2 => unsafe { x86::run_avx2(job) },
            #[cfg(target_arch = "x86_64")]
            // SAFETY: this form is made by `avx512` alone, which asked the processor.
            Form::Avx512 => unsafe { x86::run_avx512(job) },
        }
    }
}
