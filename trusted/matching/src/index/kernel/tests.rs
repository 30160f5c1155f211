//! Each form of the operations against what their documentation says.

use super::*;
use core::hint::black_box;
use std::boxed::Box;
use std::vec::Vec;

/// A value alone in its allocation, where a sanitizer sees each access beyond it.
fn alone<T>(value: T) -> Box<T> {
    black_box(Box::new(value))
}

/// Draws numbers; the same seed draws the same ones.
struct Dice(u64);

impl Dice {
    fn next(&mut self) -> u64 {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        self.0 ^ (self.0 >> 29)
    }

    fn of<T: Copy>(&mut self, palette: &[T]) -> T {
        palette[(self.next() >> 40) as usize % palette.len()]
    }

    /// Small ranges, so that equal values and both extremes are common.
    fn byte(&mut self) -> u8 {
        self.of(&[0, 1, 127, 128, 129, 254, 255, 64])
    }

    fn word(&mut self) -> u64 {
        self.of(&[0, 1, u64::MAX, 1 << 63, (1 << 63) - 1, u64::MAX - 1])
    }

    fn words(&mut self) -> [u64; LANES] {
        core::array::from_fn(|_| self.word())
    }

    fn below_fifty(&mut self) -> u32 {
        (self.next() >> 33) as u32 % 50
    }
}

/// Bytes of a block and of a header.
struct Bytes {
    line: Box<Line>,
    code: u8,
    codes: [u8; 8],
    lines: Vec<Line>,
    tests: Vec<Test>,
    /// A bit for each line that may have rows which fail.
    open: u64,
}

impl Bytes {
    fn draw(dice: &mut Dice, seed: u64) -> Self {
        let line = alone(Line(core::array::from_fn(|_| dice.byte())));
        let used = seed as u32 % 4;
        let lines = (0..used).map(|by| Line(line.0.map(|byte| byte.rotate_left(by))));
        let lines: Vec<Line> = lines.collect();
        let open = dice.next();
        let tests = lines.iter().enumerate();
        let tests = tests.map(|(column, line)| match open >> column & 1 {
            0 => Test::NONE,
            _ => Test {
                most: line.0[1].max(line.0[2]),
                sure: line.0[1].min(line.0[2]),
            },
        });
        Self {
            code: dice.byte(),
            codes: match seed.is_multiple_of(3) {
                true => [254; 8],
                false => core::array::from_fn(|_| dice.byte()),
            },
            tests: tests.collect(),
            line,
            lines,
            open,
        }
    }
}

/// Keys, and what they are held against.
struct Words {
    bounds: Box<[u64; 8]>,
    key: u64,
    frame: Box<Frame>,
    keys: Box<[u64; LANES]>,
}

impl Words {
    fn draw(dice: &mut Dice) -> Self {
        let moves = dice.words().map(|word| (word % 61) as u8 & 63);
        Self {
            bounds: alone(dice.words()),
            key: dice.word(),
            frame: alone(Frame {
                base: dice.words(),
                end: dice.words(),
                drop: moves,
                lift: moves.map(|by| 63 - by),
                one: moves.map(|by| by / 2),
                first: moves.map(|by| by & 56),
            }),
            keys: alone(dice.words()),
        }
    }
}

/// What a sieve looks at.
struct Sieved {
    words: usize,
    maps: Vec<u64>,
    picks: Vec<Pick>,
    tops: Box<[u32; TOPS]>,
    key: u32,
    codes: Box<[u32; 64]>,
    axes: Vec<u8>,
    lows: Vec<u32>,
    widths: Vec<u32>,
}

impl Sieved {
    fn draw(dice: &mut Dice, seed: u64) -> Self {
        let words = [1, 2, 4, 8, 16, 32][seed as usize % 6];
        let picks = [(0, 1), (1, 1), (2, 3)].map(|(unsure, failing)| Pick {
            unsure: unsure * words as u32,
            failing: failing * words as u32,
        });
        let mut tops = alone(core::array::from_fn(|_| dice.below_fifty()));
        tops.sort_unstable();
        let codes: Box<[u32; 64]> = alone(core::array::from_fn(|_| dice.below_fifty()));
        let count = 0..seed as usize % 21;
        let axes: Vec<u8> = count.map(|_| dice.below_fifty() as u8).collect();
        let lows = axes.iter().map(|axis| {
            let code = codes[usize::from(*axis)];
            code.saturating_sub(dice.below_fifty()) + dice.below_fifty() / 49
        });
        let lows = lows.collect();
        let widths = axes
            .iter()
            .map(|_| 50 + dice.below_fifty() - dice.below_fifty());
        Self {
            words,
            maps: (0..4 * words).map(|n| 1 << (n % 61)).collect(),
            picks: picks[..seed as usize % 4].to_vec(),
            tops,
            codes,
            lows,
            widths: widths.collect(),
            key: dice.below_fifty(),
            axes,
        }
    }
}

/// Every operation on inputs drawn from a seed.
struct Everything(u64);

#[derive(Debug, PartialEq)]
struct Answers {
    compared: Compared,
    at_most: u8,
    framed: Framed,
    each_at_most: u64,
    passing: Passing,
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
        let mut dice = Dice(self.0);
        let bytes = Bytes::draw(&mut dice, self.0);
        let words = Words::draw(&mut dice);
        let sieved = Sieved::draw(&mut dice, self.0);
        let ids = alone(Ids(core::array::from_fn(|_| {
            (dice.next() >> 40) as u32 % 97
        })));
        let mask = match self.0 % 4 {
            0 => 0,
            1 => u64::MAX,
            _ => dice.next() & dice.next().rotate_left(17),
        };
        let mut sifted = Sifted::NONE;
        lanes.sift(
            black_box(&sieved.maps),
            &sieved.picks,
            sieved.words,
            &mut sifted,
        );
        let mut room = alone([0; BLOCK_ROWS]);
        let count = lanes.compress(&ids, mask, &mut room);
        let lines = black_box(&bytes.lines);
        Answers {
            compared: lanes.compare(&bytes.line, bytes.code),
            at_most: lanes.at_most(&bytes.line, &bytes.codes),
            framed: lanes.write(&words.frame, &words.keys),
            each_at_most: lanes.each_at_most(&bytes.line, &bytes.codes),
            passing: lanes.pass(lines, &bytes.tests, bytes.open),
            sifted,
            tops_below: lanes.below(&sieved.tops, sieved.key),
            is_within: lanes.within(
                black_box(&sieved.lows),
                &sieved.widths,
                &sieved.axes,
                &sieved.codes,
            ),
            reached: lanes.reached(&words.bounds, words.key),
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

    fn pass(self, lines: &[Line], tests: &[Test], _: u64) -> Passing {
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
