//! The rows: for each subscription, at the place that its id is, pairs of places in the dictionary.
//!
//! Invariant: a test is about the name at one place, and holds for a rank from its low place up to just below its high place; one that
//! is not in use has places 0 alone and holds for none. A row matches when as many tests hold as it
//! needs; a row that is free, or whose subscription contradicts itself, needs more than there are.
//! Every operation passes over all rows.

use alloc::vec;
use alloc::vec::Vec;

use super::batch::{BATCH, Ranks};
use super::cuts::Shifts;
use super::dictionary::room;
use super::mask::opaque;
use super::trace::{Region, Trace, read, write};
use crate::index::Kernel;
use crate::index::kernel::pass::{BLOCK, Numbers, Pass, PassJob, Test};

/// What a row needs that is free.
const FREE: u32 = u32::MAX;
/// What a row needs whose subscription contradicts itself: as a free one more than it has tests.
const NEVER: u32 = u32::MAX - 1;

const NO_TEST: Test = Test {
    low: Numbers([0; BLOCK]),
    high: Numbers([0; BLOCK]),
    name: Numbers([0; BLOCK]),
};

#[derive(Clone)]
pub(super) struct Rows {
    kernel: Kernel,
    tests_per_row: usize,
    needed: Vec<Numbers>,
    /// `tests_per_row` for each block.
    tests: Vec<Test>,
}

impl Rows {
    pub(super) fn new(kernel: Kernel) -> Self {
        Self {
            kernel,
            tests_per_row: 1,
            needed: Vec::new(),
            tests: Vec::new(),
        }
    }

    pub(super) fn capacity(&self) -> usize {
        self.blocks() * BLOCK
    }

    fn blocks(&self) -> usize {
        self.needed.len()
    }

    pub(super) fn tests_per_row(&self) -> usize {
        self.tests_per_row
    }

    /// Makes room for ids below `end`: the capacity becomes one of [`room`] that has it.
    pub(super) fn reserve(&mut self, end: usize) {
        let blocks = room(end.div_ceil(BLOCK));
        if blocks > self.blocks() {
            self.needed.resize(blocks, Numbers([FREE; BLOCK]));
            self.tests.resize(blocks * self.tests_per_row, NO_TEST);
        }
    }

    /// Gives each row room for `tests`, more than now.
    pub(super) fn widen(&mut self, tests: usize) {
        let mut widened = vec![NO_TEST; self.blocks() * tests];
        let narrow = self.tests.chunks_exact(self.tests_per_row);
        for (to, from) in widened.chunks_exact_mut(tests).zip(narrow) {
            to[..self.tests_per_row].copy_from_slice(from);
        }
        (self.tests_per_row, self.tests) = (tests, widened);
    }

    /// Whether `id` has its row.
    pub(super) fn contains(&self, trace: &mut impl Trace, id: u32) -> bool {
        let needed = &self.needed[..];
        let found = self.kernel.plainly(
            #[inline(always)]
            move || {
                let mut found = 0;
                for block in 0..needed.len() {
                    let needed = read(trace, Region::Rows, needed, block);
                    for (here, needed) in rows_that_are(id, block).0.iter().zip(&needed.0) {
                        found |= here & (needed ^ FREE);
                    }
                }
                found
            },
        );
        found != 0
    }

    /// Takes the row of `id`, which is free and within the capacity; `needed` is `None` when nothing
    /// satisfies its subscription. `places` has low, high and name for each test of a row.
    pub(super) fn insert(
        &mut self,
        trace: &mut impl Trace,
        id: u32,
        needed: Option<u32>,
        places: &[[u32; 3]],
    ) {
        let needed = needed.unwrap_or(NEVER);
        self.kernel.plainly(
            #[inline(always)]
            || {
                for block in 0..self.needed.len() {
                    let taken = rows_that_are(id, block);
                    put(
                        write(trace, Region::Rows, &mut self.needed, block),
                        &taken,
                        needed,
                    );
                    for (n, [low, high, name]) in places.iter().enumerate() {
                        let position = block * self.tests_per_row + n;
                        let test = write(trace, Region::Tests, &mut self.tests, position);
                        put(&mut test.low, &taken, *low);
                        put(&mut test.high, &taken, *high);
                        put(&mut test.name, &taken, *name);
                    }
                }
            },
        );
    }

    /// Frees the row of `id` and gives the places of its cuts.
    pub(super) fn remove(&mut self, trace: &mut impl Trace, id: u32) -> Vec<u32> {
        let mut places = vec![0; 2 * self.tests_per_row];
        self.kernel.plainly(
            #[inline(always)]
            || {
                for block in 0..self.needed.len() {
                    let going = rows_that_are(id, block);
                    put(
                        write(trace, Region::Rows, &mut self.needed, block),
                        &going,
                        FREE,
                    );
                    for (n, pair) in places.as_chunks_mut::<2>().0.iter_mut().enumerate() {
                        let position = block * self.tests_per_row + n;
                        let test = write(trace, Region::Tests, &mut self.tests, position);
                        pair[0] |= any(&test.low, &going);
                        pair[1] |= any(&test.high, &going);
                        put(&mut test.low, &going, 0);
                        put(&mut test.high, &going, 0);
                        put(&mut test.name, &going, 0);
                    }
                }
            },
        );
        places
    }

    /// Follows a cut and a name that came into the dictionary.
    pub(super) fn shift_up(&mut self, trace: &mut impl Trace, shifts: Shifts) {
        self.shift(
            trace,
            #[inline(always)]
            move |place| shifts.cut.up(place),
            #[inline(always)]
            move |place| shifts.name.up(place),
        );
    }

    /// Follows a cut and a name that went.
    pub(super) fn shift_down(&mut self, trace: &mut impl Trace, shifts: Shifts) {
        self.shift(
            trace,
            #[inline(always)]
            move |place| shifts.cut.down(place),
            #[inline(always)]
            move |place| shifts.name.down(place),
        );
    }

    #[inline(always)]
    fn shift(
        &mut self,
        trace: &mut impl Trace,
        cut: impl Fn(u32) -> u32 + Copy,
        name: impl Fn(u32) -> u32 + Copy,
    ) {
        let tests = &mut self.tests[..];
        // What is shifted by is moved in, so that the compiler knows it not to change with the places;
        // else it makes no vector instructions, but branches.
        self.kernel.plainly(
            #[inline(always)]
            move || {
                for position in 0..tests.len() {
                    let test = write(trace, Region::Tests, tests, position);
                    test.low.0.iter_mut().for_each(|place| *place = cut(*place));
                    test.high
                        .0
                        .iter_mut()
                        .for_each(|place| *place = cut(*place));
                    test.name
                        .0
                        .iter_mut()
                        .for_each(|place| *place = name(*place));
                }
            },
        );
    }

    /// Tests every row against each of the headers whose ranks are given, and puts a bit for each that
    /// matches, block by block, into the list of each header.
    pub(super) fn scan(
        &self,
        trace: &mut impl Trace,
        ranks: Ranks<'_>,
        matched: &mut [Vec<u64>; BATCH],
    ) {
        for list in matched.iter_mut() {
            list.clear();
            list.resize(self.blocks(), 0);
        }
        self.kernel.pass(Scan {
            rows: self,
            trace,
            ranks,
            matched,
        });
    }
}

/// One pass over the rows.
struct Scan<'s, T> {
    rows: &'s Rows,
    trace: &'s mut T,
    ranks: Ranks<'s>,
    matched: &'s mut [Vec<u64>; BATCH],
}

impl<T: Trace> PassJob for Scan<'_, T> {
    type Output = ();

    #[inline(always)]
    fn run<P: Pass>(self, pass: P) {
        let Self {
            rows,
            trace,
            ranks,
            matched,
        } = self;
        for block in 0..rows.blocks() {
            let needed = read(trace, Region::Rows, &rows.needed, block);
            let first = block * rows.tests_per_row;
            let tests = &rows.tests[first..][..rows.tests_per_row];
            (first..first + tests.len()).for_each(|test| trace.touch(Region::Tests, test));
            for (list, ranks) in matched.iter_mut().zip(ranks.of_each_header()) {
                // How many names there is room for is public.
                *write(trace, Region::Matched, list, block) = match ranks.by_name {
                    Some(by_name) if P::LOOKS_UP => pass.satisfied_by_name(tests, needed, by_name),
                    _ => pass.satisfied(tests, needed, ranks.all),
                };
            }
        }
    }
}

/// The id whose row this is.
#[inline(always)]
#[expect(clippy::cast_possible_truncation, reason = "ids are 32 bits")]
fn row_of(block: usize, lane: usize) -> u32 {
    (block * BLOCK + lane) as u32
}

/// Masks of the rows of a block: set for the one of `id`.
#[inline(always)]
fn rows_that_are(id: u32, block: usize) -> Numbers {
    opaque(Numbers(core::array::from_fn(
        #[inline(always)]
        |lane| is(row_of(block, lane), id),
    )))
}

/// All bits set where `a` and `b` are equal, else none. Unlike [`super::mask::equal`] it is compiled
/// to vector comparisons.
#[inline(always)]
fn is(a: u32, b: u32) -> u32 {
    u32::from(a == b).wrapping_neg()
}

/// Puts `number` where `mask` is set.
#[inline(always)]
fn put(numbers: &mut Numbers, mask: &Numbers, number: u32) {
    for (own, mask) in numbers.0.iter_mut().zip(&mask.0) {
        *own ^= mask & (*own ^ number);
    }
}

/// The bits of those of `numbers` where `mask` is set.
#[inline(always)]
fn any(numbers: &Numbers, mask: &Numbers) -> u32 {
    let masked = numbers.0.iter().zip(&mask.0).map(|(own, mask)| own & mask);
    masked.fold(0, |all, own| all | own)
}

#[cfg(test)]
impl Rows {
    /// What [`Self::scan`] must not be: goes on with a block only while some row of it may match.
    pub(super) fn scan_early_exit(&self, trace: &mut impl Trace, ranks: &[u32]) -> usize {
        let mut matched = 0;
        for block in 0..self.blocks() {
            let mut tests = (0..self.tests_per_row).map(|n| {
                let position = block * self.tests_per_row + n;
                let test = read(trace, Region::Tests, &self.tests, position);
                let holds = |lane: usize| {
                    let places = test.low.0[lane]..test.high.0[lane];
                    ranks.iter().any(|rank| places.contains(rank))
                };
                (0..BLOCK).any(holds)
            });
            matched += usize::from(tests.all(|holds| holds));
        }
        matched
    }
}
