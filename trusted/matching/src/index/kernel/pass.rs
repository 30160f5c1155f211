//! The operations of a full pass over rows and bounds, which take the same steps whatever they are
//! given.
//!
//! Invariant: no form branches on, or uses as an address, anything but lengths; every form gives the
//! same answers. Of instructions whose time may depend on their operands none is used.

#[cfg(target_arch = "x86_64")]
mod x86;

use super::{Form, Kernel};

/// Rows, or keys, of one block: as many as a mask has bits.
pub(crate) const BLOCK: usize = 64;

/// One word of each key of a block.
#[derive(Clone, Copy)]
#[repr(align(64))]
pub(crate) struct Column(pub(crate) [u64; BLOCK]);

/// One number of each row of a block.
#[derive(Clone, Copy)]
#[repr(align(64))]
pub(crate) struct Numbers(pub(crate) [u32; BLOCK]);

/// Numbers of which the sum is meant.
#[derive(Clone, Copy, Default)]
#[repr(align(64))]
pub(crate) struct Counts([u64; 8]);

impl Counts {
    #[inline(always)]
    pub(crate) fn sum(&self) -> u64 {
        self.0.iter().sum()
    }
}

/// One test of each row of a block: it holds for a rank from `low` up to just below `high`. Neither is
/// greater than the other, and no `high` is 0 but that of a test which is not in use.
#[derive(Clone, Copy)]
pub(crate) struct Test {
    pub(crate) low: Numbers,
    pub(crate) high: Numbers,
    /// The place of the name that it is about.
    pub(crate) name: Numbers,
}

/// The ranks of one header by the places of their names, if these are at most [`NAMES`]: the last has
/// position 0. Without a value it is 0.
#[derive(Clone, Copy)]
#[repr(align(64))]
pub(crate) struct ByName(pub(crate) [u32; NAMES]);

/// Names whose ranks can be looked up.
pub(crate) const NAMES: usize = 32;

/// The operations. A value of an implementing type is the proof that the processor has what it
/// takes.
pub(crate) trait Pass: Copy {
    /// Adds, to some of `counts`, as many as there are keys, whose words from the highest on are in
    /// `columns`, below the key whose words are `value`.
    fn below(self, columns: &[Column], value: &[u64], counts: &mut Counts);

    /// A bit for each row of which as many tests hold as it needs. A test holds when one of `ranks`
    /// lies in it.
    fn satisfied(self, tests: &[Test], needed: &Numbers, ranks: &[u32]) -> u64;

    /// Whether [`Self::satisfied_by_name`] is worth to be asked.
    const LOOKS_UP: bool;

    /// As [`Self::satisfied`], where each test is about a rank that is looked up, in registers alone.
    fn satisfied_by_name(self, tests: &[Test], needed: &Numbers, ranks: &ByName) -> u64;
}

/// Something to be done with the operations of whichever form was chosen.
///
/// Implementations mark `run` `#[inline(always)]`, and whatever it calls, so that the whole of it is
/// compiled for the instructions of each form.
pub(crate) trait PassJob {
    /// What it yields.
    type Output;

    /// Does it.
    fn run<P: Pass>(self, pass: P) -> Self::Output;
}

/// A job that needs nothing but to be compiled for the instructions.
struct Plainly<F>(F);

impl<T, F: FnOnce() -> T> PassJob for Plainly<F> {
    type Output = T;

    #[inline(always)]
    fn run<P: Pass>(self, _: P) -> T {
        (self.0)()
    }
}

impl Kernel {
    /// Does `job` with the operations of this form.
    #[inline]
    #[allow(unsafe_code)]
    pub(crate) fn pass<J: PassJob>(self, job: J) -> J::Output {
        match self.0 {
            Form::Portable => job.run(Portable),
            #[cfg(target_arch = "x86_64")]
            // SAFETY: this form is made by `avx2` alone, which asked the processor.
            Form::Avx2 => unsafe { x86::run_avx2(job) },
            #[cfg(target_arch = "x86_64")]
            // SAFETY: this form is made by `avx512` alone, which asked the processor.
            Form::Avx512 => unsafe { x86::run_avx512(job) },
        }
    }

    /// Calls `work`, compiled for the instructions of this form. Mark it `#[inline(always)]`, and
    /// whatever it calls.
    #[inline]
    pub(crate) fn plainly<T>(self, work: impl FnOnce() -> T) -> T {
        self.pass(Plainly(work))
    }
}

/// The form without vector instructions of its own.
#[derive(Clone, Copy)]
struct Portable;

impl Pass for Portable {
    #[inline(always)]
    fn below(self, columns: &[Column], value: &[u64], counts: &mut Counts) {
        let mut count = 0;
        for key in 0..BLOCK {
            let mut borrow = false;
            // The last borrow of their difference, as long integers.
            for (column, word) in columns.iter().zip(value).rev() {
                (_, borrow) = column.0[key].borrowing_sub(*word, borrow);
            }
            count += u64::from(borrow);
        }
        counts.0[0] += count;
    }

    #[inline(always)]
    fn satisfied(self, tests: &[Test], needed: &Numbers, ranks: &[u32]) -> u64 {
        /// Rows whose counts stay in registers.
        const PART: usize = 16;
        /// The bit that makes an order of signed integers, which every processor's lanes compare, of
        /// one of unsigned ones.
        const SIGN: u32 = 1 << 31;
        let mut mask = 0;
        for part in (0..BLOCK).step_by(PART) {
            let mut held = [0_u32; PART];
            for test in tests {
                let (mut low, mut span) = ([0; PART], [0; PART]);
                for lane in 0..PART {
                    low[lane] = test.low.0[part + lane] ^ SIGN;
                    let rows = test.high.0[part + lane].wrapping_sub(test.low.0[part + lane]);
                    span[lane] = (rows ^ SIGN).cast_signed();
                }
                for rank in ranks {
                    for lane in 0..PART {
                        let offset = rank.wrapping_sub(low[lane]).cast_signed();
                        held[lane] += u32::from(offset < span[lane]);
                    }
                }
            }
            for (lane, held) in held.iter().enumerate() {
                mask |= u64::from(*held == needed.0[part + lane]) << (part + lane);
            }
        }
        mask
    }

    const LOOKS_UP: bool = false;

    #[inline(always)]
    fn satisfied_by_name(self, tests: &[Test], needed: &Numbers, ranks: &ByName) -> u64 {
        by_all_ranks(self, tests, needed, ranks)
    }
}

/// Does without looking up: a test is about one name, so at most one of all ranks lies in it.
#[inline(always)]
fn by_all_ranks<P: Pass>(pass: P, tests: &[Test], needed: &Numbers, ranks: &ByName) -> u64 {
    pass.satisfied(tests, needed, &ranks.0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use core::hint::black_box;
    use std::vec::Vec;

    /// Every operation on inputs drawn from `seed`.
    struct Everything(u64);

    impl PassJob for Everything {
        type Output = (u32, u64, u64);

        #[inline(always)]
        fn run<P: Pass>(self, pass: P) -> (u32, u64, u64) {
            let inputs = Inputs::draw(self.0);
            let Inputs {
                columns,
                value,
                tests,
                needed,
                ranks,
                by_name,
            } = black_box(&inputs);
            let satisfied = pass.satisfied(tests, needed, ranks);
            let mut counts = Counts([1; 8]);
            pass.below(columns, value, &mut counts);
            let looked_up = pass.satisfied_by_name(tests, needed, by_name);
            (counts.sum() as u32 - 8, satisfied, looked_up)
        }
    }

    struct Inputs {
        columns: Vec<Column>,
        value: Vec<u64>,
        tests: Vec<Test>,
        needed: Numbers,
        ranks: Vec<u32>,
        by_name: ByName,
    }

    impl Inputs {
        fn draw(seed: u64) -> Self {
            let mut state = seed;
            let mut below = |end: u64| {
                state = state
                    .wrapping_mul(6_364_136_223_846_793_005)
                    .wrapping_add(1_442_695_040_888_963_407);
                (state >> 33) % end
            };
            // Few words and their neighbours, so that equal ones and both extremes are common.
            let palette = [0, 1, u64::MAX, 1 << 63, (1 << 63) - 1, u64::MAX - 1];
            let words = 1 + seed as usize % 5;
            let mut word = |_| palette[below(6) as usize];
            let columns = (0..words).map(|_| Column(core::array::from_fn(&mut word)));
            let columns = columns.collect();
            let value = (0..words).map(&mut word).collect();
            let test = |_| {
                let (mut low, mut high) = (Numbers([0; BLOCK]), Numbers([0; BLOCK]));
                let mut name = Numbers([0; BLOCK]);
                for row in 0..BLOCK {
                    let which = below(2) as usize;
                    let base = [1, u32::MAX - 9][which];
                    name.0[row] = [1, 32][which];
                    low.0[row] = base + below(5) as u32;
                    high.0[row] = low.0[row] + below(5) as u32;
                    if below(4) == 0 {
                        (low.0[row], high.0[row], name.0[row]) = (0, 0, 0);
                    }
                }
                Test { low, high, name }
            };
            let tests = (0..seed % 4).map(test).collect();
            let needed = Numbers(core::array::from_fn(|_| match below(4) {
                3 => u32::MAX,
                needed => needed as u32,
            }));
            // At most one of a header's ranks lies in a test: two that differ by more than it is long.
            let ranks = [0, 1 + below(9) as u32, u32::MAX - 9 + below(9) as u32];
            let used = seed as usize % 4;
            let mut by_name = ByName([0; NAMES]);
            for (rank, name) in ranks[..used].iter().zip([5, 1, 0]) {
                by_name.0[name] = *rank;
            }
            Self {
                by_name,
                columns,
                value,
                tests,
                needed,
                ranks: ranks[..used].to_vec(),
            }
        }

        /// The operations as their documentation says them.
        fn plain(&self) -> (u32, u64, u64) {
            let key = |n: usize| self.columns.iter().map(move |column| column.0[n]);
            let below = (0..BLOCK).filter(|n| key(*n).lt(self.value.iter().copied()));
            let holds = |test: &&Test, row: usize| {
                let places = test.low.0[row]..test.high.0[row];
                self.ranks.iter().any(|rank| places.contains(rank))
            };
            let satisfied = |row: &usize| {
                let held = self.tests.iter().filter(|test| holds(test, *row)).count();
                held as u32 == self.needed.0[*row]
            };
            let mask = (0..BLOCK).filter(satisfied);
            let mask = mask.fold(0, |mask, row| mask | 1 << row);
            (below.count() as u32, mask, mask)
        }
    }

    #[test]
    fn every_form_of_a_pass_agrees_with_the_plain_one() {
        for name in ["portable", "avx2", "avx512"] {
            let Some(kernel) = Kernel::named(name) else {
                continue;
            };
            for seed in 0..2000 {
                let expected = Inputs::draw(seed).plain();
                assert_eq!(kernel.pass(Everything(seed)), expected, "{name}, {seed}");
            }
        }
    }
}
