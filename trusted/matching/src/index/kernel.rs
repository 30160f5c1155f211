//! The few operations that vector instructions make fast, and the choice among their forms.
//!
//! Invariant: every form gives the same answers; a form is used only on a processor that has its
//! instructions, which the processor itself is asked. This folder is the only place of the crate
//! with `unsafe`.

pub(crate) mod pass;
mod portable;
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

    /// Holds each of the lines, the first bytes of a block column by column, against its test.
    fn pass(self, lines: &[Line], tests: &[Test]) -> Passing;

    /// The same, where every row passes on the lines without a bit in `open`, so that these need not be
    /// looked at; there are at most 64.
    fn pass_open(self, lines: &[Line], tests: &[Test], open: u64) -> Passing;

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

#[cfg(test)]
mod tests {
    use super::*;
    use core::hint::black_box;
    use std::boxed::Box;
    use std::vec::Vec;

    /// A value alone in its allocation, where a sanitizer sees each access beyond it.
    fn alone<T>(value: T) -> Box<T> {
        black_box(Box::new(value))
    }

    /// Every operation on inputs drawn from `seed`.
    struct Everything(u64);

    #[derive(Debug, PartialEq)]
    struct Answers {
        compared: Compared,
        at_most: u8,
        framed: Framed,
        each_at_most: u64,
        passing: Passing,
        passing_open: Passing,
        sifted: Sifted,
        tops_below: usize,
        is_within: bool,
        reached: u8,
        find: u64,
        compressed: Vec<u32>,
    }

    impl Job for Everything {
        type Output = Answers;

        #[inline(always)]
        fn run<L: Lanes>(self, lanes: L) -> Answers {
            let mut state = self.0;
            let mut next = || {
                state = state
                    .wrapping_mul(6_364_136_223_846_793_005)
                    .wrapping_add(1_442_695_040_888_963_407);
                state ^ (state >> 29)
            };
            // Small ranges, so that equal values and both extremes are common.
            let palette = [0u8, 1, 127, 128, 129, 254, 255, 64];
            let mut byte = || palette[(next() >> 40) as usize % palette.len()];
            let line = alone(Line(core::array::from_fn(|_| byte())));
            let code = byte();
            let codes = core::array::from_fn(|_| {
                if self.0.is_multiple_of(3) {
                    254
                } else {
                    byte()
                }
            });
            let words = [0, 1, u64::MAX, 1 << 63, (1 << 63) - 1, u64::MAX - 1];
            let mut word = || words[(next() >> 40) as usize % words.len()];
            let bounds: Box<[u64; 8]> = alone(core::array::from_fn(|_| word()));
            let key = word();
            let mut words = || core::array::from_fn(|_| word());
            let frame = (words(), words());
            let moves = words().map(|word: u64| (word % 61) as u8 & 63);
            let frame = alone(Frame {
                base: frame.0,
                end: frame.1,
                drop: moves,
                lift: moves.map(|by| 63 - by),
                one: moves.map(|by| by / 2),
                first: moves.map(|by| by & 56),
            });
            let keys = alone(words());
            let lines: [Line; 3] =
                core::array::from_fn(|n| Line(line.0.map(|b| b.rotate_left(n as u32))));
            let tests = lines.map(|line| Test {
                most: line.0[1].max(line.0[2]),
                sure: line.0[1].min(line.0[2]),
            });
            let used = self.0 as usize % 4;
            let (lines, tests) = (lines[..used].to_vec(), tests[..used].to_vec());
            let words = [1, 2, 4, 8, 16, 32][self.0 as usize % 6];
            let maps: Vec<u64> = (0..4 * words).map(|n| 1 << (n % 61)).collect();
            let picks = [(0, 1), (1, 1), (2, 3)].map(|(unsure, failing)| Pick {
                unsure: unsure * words as u32,
                failing: failing * words as u32,
            });
            let mut sifted = Sifted::NONE;
            let picks = &picks[..used.min(3)];
            lanes.sift(black_box(&maps), picks, words, &mut sifted);
            let mut drawn = || (next() >> 33) as u32 % 50;
            let mut tops = alone(core::array::from_fn(|_| drawn()));
            tops.sort_unstable();
            let at = alone(core::array::from_fn(|_| drawn()));
            let count = self.0 as usize % 21;
            let axes: Vec<u8> = (0..count).map(|_| drawn() as u8).collect();
            let lows: Vec<u32> = axes
                .iter()
                .map(|axis| at[usize::from(*axis)].saturating_sub(drawn()) + drawn() / 49)
                .collect();
            let widths: Vec<u32> = (0..count).map(|_| 50 + drawn() - drawn()).collect();
            let (tops_below, is_within) = (
                lanes.below(&tops, drawn()),
                lanes.within(black_box(&lows), &widths, &axes, &at),
            );
            let ids = alone(Ids(core::array::from_fn(|_| (next() >> 40) as u32 % 97)));
            let mask = match self.0 % 4 {
                0 => 0,
                1 => u64::MAX,
                _ => next() & next().rotate_left(17),
            };
            let open_tests = tests.iter().enumerate();
            let open_tests = open_tests.map(|(column, test)| match mask >> column & 1 {
                0 => Test::NONE,
                _ => *test,
            });
            let open_tests: Vec<Test> = open_tests.collect();
            let mut room = alone([0; BLOCK_ROWS]);
            let count = lanes.compress(&ids, mask, &mut room);
            Answers {
                compared: lanes.compare(&line, code),
                at_most: lanes.at_most(&line, &codes),
                framed: lanes.write(&frame, &keys),
                each_at_most: lanes.each_at_most(&line, &codes),
                passing: lanes.pass(black_box(&lines), &tests),
                passing_open: lanes.pass_open(black_box(&lines), &open_tests, mask),
                sifted,
                tops_below,
                is_within,
                reached: lanes.reached(&bounds, key),
                find: lanes.find(&ids, 3),
                compressed: room[..count].to_vec(),
            }
        }
    }

    /// The operations as their documentation says them.
    #[derive(Clone, Copy)]
    struct Plain;

    fn mask(bits: impl Iterator<Item = bool>) -> u64 {
        bits.enumerate()
            .fold(0, |mask, (at, bit)| mask | u64::from(bit) << at)
    }

    impl Lanes for Plain {
        fn compare(self, line: &Line, code: u8) -> Compared {
            Compared {
                less: mask(line.0.iter().map(|byte| *byte < code)),
                equal: mask(line.0.iter().map(|byte| *byte == code)),
            }
        }

        fn at_most(self, line: &Line, codes: &[u8; 8]) -> u8 {
            let words = line.0.chunks(8);
            mask(words.map(|word| word.iter().zip(codes).all(|(byte, code)| byte <= code))) as u8
        }

        fn each_at_most(self, line: &Line, codes: &[u8; 8]) -> u64 {
            let words = line.0.chunks(8);
            mask(words.flat_map(|word| word.iter().zip(codes).map(|(byte, code)| byte <= code)))
        }

        fn pass_open(self, lines: &[Line], tests: &[Test], _: u64) -> Passing {
            self.pass(lines, tests)
        }

        fn pass(self, lines: &[Line], tests: &[Test]) -> Passing {
            let within = |limit: fn(&Test) -> u8| {
                mask((0..BLOCK_ROWS).map(|row| {
                    let mut columns = lines.iter().zip(tests);
                    columns.all(|(line, test)| line.0[row] <= limit(test))
                }))
            };
            Passing {
                maybe: within(|test| test.most),
                sure: within(|test| test.sure),
            }
        }

        fn prefetch<T>(self, _: &[T]) {}

        fn sift(self, maps: &[u64], picks: &[Pick], used: usize, sifted: &mut Sifted) {
            for Pick { unsure, failing } in picks {
                for word in 0..used {
                    sifted.unsure[word] |= maps[*unsure as usize + word];
                    sifted.failing[word] |= maps[*failing as usize + word];
                }
            }
        }

        fn below(self, tops: &[u32; TOPS], key: u32) -> usize {
            tops.iter().filter(|top| **top < key).count()
        }

        fn within(self, lows: &[u32], widths: &[u32], axes: &[u8], codes: &[u32; 64]) -> bool {
            let mut intervals = lows.iter().zip(widths).zip(axes);
            intervals.all(|((low, width), axis)| {
                let code = u64::from(codes[usize::from(*axis)]);
                let low = u64::from(*low);
                low <= code && code <= low + u64::from(*width)
            })
        }

        fn write(self, frame: &Frame, keys: &[u64; LANES]) -> Framed {
            let all = 0..LANES;
            let reached = |lane: usize| {
                let steps = keys[lane].checked_sub(frame.base[lane])? >> frame.drop[lane];
                Some((steps, steps >= frame.end[lane]))
            };
            let written = |lane: usize| match reached(lane) {
                Some((steps, _)) => {
                    let steps = steps.min(frame.end[lane]);
                    (steps << frame.lift[lane]).wrapping_add(1 << frame.one[lane])
                }
                None => 0,
            };
            let ends = |lane: usize| reached(lane).is_some_and(|(_, ends)| ends);
            Framed {
                reached: core::array::from_fn(written),
                first: core::array::from_fn(|lane| match ends(lane) {
                    true => 255,
                    false => (written(lane) >> frame.first[lane]) as u8,
                }),
                open: mask(all.clone().map(|lane| !ends(lane))) as u8,
                above: mask(all.map(|lane| reached(lane).is_some())) as u8,
            }
        }

        fn reached(self, bounds: &[u64; 8], key: u64) -> u8 {
            mask(bounds.iter().map(|bound| *bound <= key)) as u8
        }

        fn find(self, ids: &Ids, id: u32) -> u64 {
            mask(ids.0.iter().map(|own| *own == id))
        }

        fn compress(self, ids: &Ids, mask: u64, room: &mut [u32; BLOCK_ROWS]) -> usize {
            let named = (0..BLOCK_ROWS).filter(|at| mask >> at & 1 == 1);
            let mut count = 0;
            for at in named {
                room[count] = ids.0[at];
                count += 1;
            }
            count
        }
    }

    fn agrees_with_the_plain_form(kernel: Kernel) {
        for seed in 0..2000 {
            assert_eq!(
                kernel.run(Everything(seed)),
                Everything(seed).run(Plain),
                "{} with seed {seed}",
                kernel.name()
            );
        }
    }

    #[test]
    fn the_portable_form_agrees_with_the_plain_one() {
        agrees_with_the_plain_form(Kernel::PORTABLE);
    }

    #[test]
    fn the_forms_of_this_processor_agree_with_the_plain_one() {
        for name in ["avx2", "avx512"] {
            if let Some(kernel) = Kernel::named(name) {
                agrees_with_the_plain_form(kernel);
            }
        }
    }

    #[test]
    fn without_features_nothing_but_the_portable_form_is_chosen() {
        assert_eq!(Kernel::fastest(Features::default()), Kernel::PORTABLE);
    }

    #[test]
    fn a_form_is_found_by_its_name() {
        for name in ["portable", "avx2", "avx512"] {
            if let Some(kernel) = Kernel::named(name) {
                assert_eq!(kernel.name(), name);
            }
        }
        assert_eq!(Kernel::named("sse9"), None);
    }
}
