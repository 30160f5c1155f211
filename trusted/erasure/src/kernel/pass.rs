//! One pass over the inputs for a few outputs at a time, whose sums stay in registers.
//!
//! Invariant: what is read and written lies within the first [`Pass::length`] bytes of each row, and
//! every row has as many; [`Pass::new`] sees to it.
#![allow(unsafe_code)]

use core::ops::Range;

/// Outputs whose sums are kept in registers together, at most.
pub(super) const GROUP: usize = 8;

/// Bytes of the rows that are worked on at a time where they are passed over more than once, about: they
/// lie in the first cache then, which has 32 or 48 KiB, beside what else is in it.
const TILE_BYTES: usize = 24 << 10;

/// Inputs that a few outputs are added up of at a time, where there are more than that. Rows whose
/// addresses differ by a multiple of 4 KiB share the few places of a line in the first cache, of which
/// there are 8 or 12: one output of 32 rows of 32 KiB is made at 78 GB/s by batches, and at 55 without.
const BATCH: usize = 10;

/// Outputs so few that adding to them once more costs less than reading the inputs in batches saves.
const FEW_OUTPUTS: usize = 2;

/// Tiles are multiples of this, in bytes, so that only the last has a partial vector.
const TILE_UNIT: usize = 512;

/// How far ahead rows are asked for, in bytes: with many rows the processor does not see by itself that
/// each is read on. A quarter more on 1 MiB than without; 512 and 1024 are as good, 2048 is worse.
const AHEAD_BYTES: usize = 768;

/// Words kept for a coefficient, of which each form takes the first few.
pub(super) type Table = [u64; 4];

/// The sizes of the groups that so many outputs are worked on in, nearly equal.
pub(super) fn groups(outputs: usize) -> impl Iterator<Item = Range<usize>> {
    let count = outputs.div_ceil(GROUP);
    (0..count).map(move |at| outputs * at / count..outputs * (at + 1) / count)
}

/// In which order the rows are passed over.
struct Order {
    /// Columns that are worked on at a time.
    tile: usize,
    /// Inputs that are added up at a time.
    batch: usize,
}

impl Order {
    fn new(inputs: usize, outputs: usize, length: usize) -> Self {
        let tile_of = |rows: usize| (TILE_BYTES / rows / TILE_UNIT * TILE_UNIT).max(TILE_UNIT);
        if outputs <= FEW_OUTPUTS && inputs > BATCH {
            // Nearly equal, and even, because inputs are taken in pairs.
            let batch = inputs.div_ceil(inputs.div_ceil(BATCH)).next_multiple_of(2);
            let tile = tile_of(batch);
            return Self { tile, batch };
        }
        let tile = if outputs <= GROUP {
            length.max(1)
        } else {
            tile_of(inputs)
        };
        Self {
            tile,
            batch: inputs,
        }
    }
}

/// A matrix and the rows that it is multiplied with.
pub(super) struct Pass<'a, 'i, 'o> {
    tables: &'a [u64],
    inputs: &'a [&'i [u8]],
    outputs: &'a mut [&'o mut [u8]],
    length: usize,
}

impl<'a, 'i, 'o> Pass<'a, 'i, 'o> {
    /// Of `words` words for each coefficient, the tables of each group of outputs follow one another,
    /// those of one input beside each other.
    ///
    /// # Panics
    /// If the rows do not all have the same length, or there are not as many tables as they take.
    pub(super) fn new(
        tables: &'a [u64],
        words: usize,
        inputs: &'a [&'i [u8]],
        outputs: &'a mut [&'o mut [u8]],
    ) -> Self {
        let length = inputs[0].len();
        assert!(
            inputs.iter().all(|input| input.len() == length)
                && outputs.iter().all(|output| output.len() == length),
            "rows have the same length"
        );
        assert_eq!(
            tables.len(),
            words * inputs.len() * outputs.len(),
            "a table for each coefficient"
        );
        Self {
            tables,
            inputs,
            outputs,
            length,
        }
    }
}

/// The operations. A value of an implementing type is the proof that the processor has what it
/// takes.
pub(super) trait Lanes: Copy {
    /// Bytes worked on at once.
    type Vector: Copy;
    /// A vector, taken apart as products need it.
    type Parts: Copy;
    /// A table in registers.
    type Factor: Copy;

    /// Bytes of a vector.
    const BYTES: usize;
    /// Words of a table.
    const WORDS: usize;

    /// All bytes 0.
    fn zero(self) -> Self::Vector;

    /// Reads a vector.
    ///
    /// # Safety
    /// [`Self::BYTES`] bytes must be readable there.
    unsafe fn load(self, from: *const u8) -> Self::Vector;

    /// Reads the first `count` bytes of a vector; the others are 0.
    ///
    /// # Safety
    /// So many bytes must be readable there, and be fewer than [`Self::BYTES`].
    unsafe fn load_first(self, from: *const u8, count: usize) -> Self::Vector;

    /// Writes a vector.
    ///
    /// # Safety
    /// [`Self::BYTES`] bytes must be writable there.
    unsafe fn store(self, to: *mut u8, vector: Self::Vector);

    /// Writes the first `count` bytes of a vector.
    ///
    /// # Safety
    /// So many bytes must be writable there, and be fewer than [`Self::BYTES`].
    unsafe fn store_first(self, to: *mut u8, vector: Self::Vector, count: usize);

    /// Asks for the line of the caches at `line`. A hint, and without effect where there is none.
    #[inline(always)]
    fn prefetch(self, line: *const u8) {
        let _ = line;
    }

    /// Takes a vector apart.
    fn parts(self, vector: Self::Vector) -> Self::Parts;

    /// Brings a table into registers.
    ///
    /// # Safety
    /// [`Self::WORDS`] words must be readable there.
    unsafe fn factor(self, table: *const u64) -> Self::Factor;

    /// The products of all bytes with a coefficient.
    fn product(self, parts: Self::Parts, factor: Self::Factor) -> Self::Vector;

    /// The sums of all bytes.
    fn sum(self, a: Self::Vector, b: Self::Vector) -> Self::Vector;

    /// The sums of all bytes of three.
    #[inline(always)]
    fn sum3(self, a: Self::Vector, b: Self::Vector, c: Self::Vector) -> Self::Vector {
        self.sum(a, self.sum(b, c))
    }
}

/// Does `pass`: `V` vectors of each input at a time for up to four outputs, `H` for more.
#[inline(always)]
pub(super) fn run<L: Lanes, const V: usize, const H: usize>(lanes: L, pass: Pass<'_, '_, '_>) {
    let Pass {
        tables,
        inputs,
        outputs,
        length,
    } = pass;
    let Order { tile, batch } = Order::new(inputs.len(), outputs.len(), length);
    for start in (0..length).step_by(tile) {
        let columns = start..length.min(start + tile);
        for first in (0..inputs.len()).step_by(batch) {
            let batch = first..inputs.len().min(first + batch);
            for group in groups(outputs.len()) {
                let first_table = inputs.len() * group.start + batch.start * group.len();
                let work = Work {
                    tables: &tables[L::WORDS * first_table..],
                    inputs: &inputs[batch.clone()],
                    columns: columns.clone(),
                    adds: batch.start > 0,
                };
                let outputs = &mut outputs[group];
                // SAFETY: `Pass::new` has compared the lengths of all rows and of the tables; columns lie within.
                unsafe {
                    match outputs.len() {
                        1 => work.run::<L, 1, V>(lanes, outputs),
                        2 => work.run::<L, 2, V>(lanes, outputs),
                        3 => work.run::<L, 3, V>(lanes, outputs),
                        4 => work.run::<L, 4, V>(lanes, outputs),
                        5 => work.run::<L, 5, H>(lanes, outputs),
                        6 => work.run::<L, 6, H>(lanes, outputs),
                        7 => work.run::<L, 7, H>(lanes, outputs),
                        _ => work.run::<L, GROUP, H>(lanes, outputs),
                    }
                }
            }
        }
    }
}

/// One batch of inputs for one group of outputs, in the columns of one tile.
struct Work<'a, 'i> {
    /// From those of the first input of the batch on, for this group.
    tables: &'a [u64],
    inputs: &'a [&'i [u8]],
    columns: Range<usize>,
    /// Whether products are added to what the outputs hold, because this is not the first batch.
    adds: bool,
}

impl Work<'_, '_> {
    /// Makes the columns of `R` outputs.
    ///
    /// # Safety
    /// There must be `R` outputs, a table for each pair of input and output, and the columns in each of
    /// them.
    #[inline(always)]
    unsafe fn run<L: Lanes, const R: usize, const V: usize>(
        &self,
        lanes: L,
        outputs: &mut [&mut [u8]],
    ) {
        let (mut at, end) = (self.columns.start, self.columns.end);
        // SAFETY: as the caller promises; the vectors lie within the columns.
        unsafe {
            while end - at >= V * L::BYTES {
                self.step::<L, R, V>(lanes, outputs, at, None);
                at += V * L::BYTES;
            }
            while end - at >= L::BYTES {
                self.step::<L, R, 1>(lanes, outputs, at, None);
                at += L::BYTES;
            }
            if at < end {
                self.step::<L, R, 1>(lanes, outputs, at, Some(end - at));
            }
        }
    }

    /// Makes `V` vectors at `at` of each of `R` outputs, or the `first` bytes of one.
    ///
    /// # Safety
    /// As for [`Self::run`]; there must be so many bytes in each row.
    #[inline(always)]
    unsafe fn step<L: Lanes, const R: usize, const V: usize>(
        &self,
        lanes: L,
        outputs: &mut [&mut [u8]],
        at: usize,
        first: Option<usize>,
    ) {
        // SAFETY: as the caller promises.
        unsafe {
            let mut sums = [[lanes.zero(); V]; R];
            if self.adds {
                for (sums, output) in sums.iter_mut().zip(&*outputs) {
                    *sums = vectors::<L, V>(lanes, output.as_ptr().add(at), first);
                }
            }
            self.add::<L, R, V>(lanes, &mut sums, at, first);
            for (output, sums) in outputs.iter_mut().zip(sums) {
                let to = output.as_mut_ptr().add(at);
                for (number, sum) in sums.into_iter().enumerate() {
                    let to = to.add(number * L::BYTES);
                    lanes.prefetch(to.wrapping_add(AHEAD_BYTES));
                    match first {
                        None => lanes.store(to, sum),
                        Some(count) => lanes.store_first(to, sum, count),
                    }
                }
            }
        }
    }

    /// Adds the products at `at` to `sums`.
    ///
    /// # Safety
    /// As for [`Self::step`].
    #[inline(always)]
    unsafe fn add<L: Lanes, const R: usize, const V: usize>(
        &self,
        lanes: L,
        sums: &mut [[L::Vector; V]; R],
        at: usize,
        first: Option<usize>,
    ) {
        let mut table = self.tables.as_ptr();
        let (pairs, last) = self.inputs.as_chunks::<2>();
        // SAFETY: as the caller promises; the tables of an input follow those of the one before.
        unsafe {
            for [a, b] in pairs {
                let a_parts = parts::<L, V>(lanes, a.as_ptr().add(at), first);
                let b_parts = parts::<L, V>(lanes, b.as_ptr().add(at), first);
                for (output, sums) in sums.iter_mut().enumerate() {
                    let a_factor = lanes.factor(table.add(output * L::WORDS));
                    let b_factor = lanes.factor(table.add((R + output) * L::WORDS));
                    for number in 0..V {
                        let a_product = lanes.product(a_parts[number], a_factor);
                        let b_product = lanes.product(b_parts[number], b_factor);
                        sums[number] = lanes.sum3(sums[number], a_product, b_product);
                    }
                }
                table = table.add(2 * R * L::WORDS);
            }
            for input in last {
                let parts = parts::<L, V>(lanes, input.as_ptr().add(at), first);
                for (output, sums) in sums.iter_mut().enumerate() {
                    let factor = lanes.factor(table.add(output * L::WORDS));
                    for number in 0..V {
                        let product = lanes.product(parts[number], factor);
                        sums[number] = lanes.sum(sums[number], product);
                    }
                }
            }
        }
    }
}

/// `V` vectors from there on, or the `first` bytes of one.
///
/// # Safety
/// So many bytes must be readable there.
#[inline(always)]
unsafe fn vectors<L: Lanes, const V: usize>(
    lanes: L,
    from: *const u8,
    first: Option<usize>,
) -> [L::Vector; V] {
    let mut vectors = [lanes.zero(); V];
    for (number, vector) in vectors.iter_mut().enumerate() {
        // SAFETY: as the caller promises.
        *vector = unsafe {
            let from = from.add(number * L::BYTES);
            match first {
                None => lanes.load(from),
                Some(count) => lanes.load_first(from, count),
            }
        };
    }
    vectors
}

/// As [`vectors`], taken apart; asks for what follows.
///
/// # Safety
/// So many bytes must be readable there.
#[inline(always)]
unsafe fn parts<L: Lanes, const V: usize>(
    lanes: L,
    from: *const u8,
    first: Option<usize>,
) -> [L::Parts; V] {
    // SAFETY: as the caller promises.
    let vectors = unsafe { vectors::<L, V>(lanes, from, first) };
    let mut parts = [lanes.parts(lanes.zero()); V];
    for (number, parts) in parts.iter_mut().enumerate() {
        lanes.prefetch(from.wrapping_add(number * L::BYTES + AHEAD_BYTES));
        *parts = lanes.parts(vectors[number]);
    }
    parts
}
