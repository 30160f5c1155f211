//! One pass over the inputs for a few outputs at a time, whose sums stay in registers.
//!
//! Invariant: what is read and written lies within the first [`Pass::length`] bytes of each row, and
//! every row has as many; [`Pass::new`] sees to it.
#![allow(unsafe_code)]

use core::ops::Range;

/// Outputs whose sums are kept in registers together, at most.
pub(super) const GROUP: usize = 4;

/// Bytes of all inputs that are passed over by one group after another, about: they lie in the first
/// cache then, which has 32 or 48 KiB, beside the outputs.
const TILE_BYTES: usize = 24 << 10;

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

/// Does `pass`, `V` vectors of each input at a time.
#[inline(always)]
pub(super) fn run<L: Lanes, const V: usize>(lanes: L, pass: Pass<'_, '_, '_>) {
    let Pass {
        tables,
        inputs,
        outputs,
        length,
    } = pass;
    let wide = TILE_BYTES / inputs.len() / TILE_UNIT * TILE_UNIT;
    let tile = if outputs.len() <= GROUP {
        length.max(1)
    } else {
        wide.max(TILE_UNIT)
    };
    for start in (0..length).step_by(tile) {
        let columns = start..length.min(start + tile);
        for group in groups(outputs.len()) {
            let tables = &tables[L::WORDS * inputs.len() * group.start..];
            let outputs = &mut outputs[group];
            let columns = columns.clone();
            // SAFETY: `Pass::new` has compared the lengths of all rows and of the tables; columns lie within.
            unsafe {
                match outputs.len() {
                    1 => rows::<L, 1, V>(lanes, tables, inputs, outputs, columns),
                    2 => rows::<L, 2, V>(lanes, tables, inputs, outputs, columns),
                    3 => rows::<L, 3, V>(lanes, tables, inputs, outputs, columns),
                    _ => rows::<L, GROUP, V>(lanes, tables, inputs, outputs, columns),
                }
            }
        }
    }
}

/// Makes `columns` of `R` outputs.
///
/// # Safety
/// There must be `R` outputs, a table for each pair of input and output, and `columns` in each of them.
#[inline(always)]
unsafe fn rows<L: Lanes, const R: usize, const V: usize>(
    lanes: L,
    tables: &[u64],
    inputs: &[&[u8]],
    outputs: &mut [&mut [u8]],
    columns: Range<usize>,
) {
    let mut at = columns.start;
    // SAFETY: as the caller promises; the vectors lie within the columns.
    unsafe {
        while columns.end - at >= V * L::BYTES {
            let sums = sums::<L, R, V>(lanes, tables, inputs, at, None);
            for (output, sums) in outputs.iter_mut().zip(sums) {
                for (number, sum) in sums.into_iter().enumerate() {
                    let to = output.as_mut_ptr().add(at + number * L::BYTES);
                    lanes.prefetch(to.wrapping_add(AHEAD_BYTES));
                    lanes.store(to, sum);
                }
            }
            at += V * L::BYTES;
        }
        while columns.end - at >= L::BYTES {
            let sums = sums::<L, R, 1>(lanes, tables, inputs, at, None);
            for (output, [sum]) in outputs.iter_mut().zip(sums) {
                lanes.store(output.as_mut_ptr().add(at), sum);
            }
            at += L::BYTES;
        }
        let rest = columns.end - at;
        if rest > 0 {
            let sums = sums::<L, R, 1>(lanes, tables, inputs, at, Some(rest));
            for (output, [sum]) in outputs.iter_mut().zip(sums) {
                lanes.store_first(output.as_mut_ptr().add(at), sum, rest);
            }
        }
    }
}

/// The sums of products at `at`: `V` vectors for each of `R` outputs, or the first bytes of one.
///
/// # Safety
/// There must be a table for each pair of input and output, and so many bytes in each input.
#[inline(always)]
unsafe fn sums<L: Lanes, const R: usize, const V: usize>(
    lanes: L,
    tables: &[u64],
    inputs: &[&[u8]],
    at: usize,
    first: Option<usize>,
) -> [[L::Vector; V]; R] {
    let mut sums = [[lanes.zero(); V]; R];
    let mut table = tables.as_ptr();
    let (pairs, last) = inputs.as_chunks::<2>();
    // SAFETY: as the caller promises; the tables of an input follow those of the one before.
    unsafe {
        for [a, b] in pairs {
            let a_parts = parts::<L, V>(lanes, a, at, first);
            let b_parts = parts::<L, V>(lanes, b, at, first);
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
            let parts = parts::<L, V>(lanes, input, at, first);
            for (output, sums) in sums.iter_mut().enumerate() {
                let factor = lanes.factor(table.add(output * L::WORDS));
                for number in 0..V {
                    sums[number] = lanes.sum(sums[number], lanes.product(parts[number], factor));
                }
            }
        }
    }
    sums
}

/// `V` vectors of `input` at `at`, or the first bytes of one, taken apart.
///
/// # Safety
/// `input` must have so many bytes.
#[inline(always)]
unsafe fn parts<L: Lanes, const V: usize>(
    lanes: L,
    input: &[u8],
    at: usize,
    first: Option<usize>,
) -> [L::Parts; V] {
    let mut parts = [lanes.parts(lanes.zero()); V];
    for (number, parts) in parts.iter_mut().enumerate() {
        // SAFETY: as the caller promises.
        *parts = lanes.parts(unsafe {
            let from = input.as_ptr().add(at + number * L::BYTES);
            lanes.prefetch(from.wrapping_add(AHEAD_BYTES));
            match first {
                None => lanes.load(from),
                Some(count) => lanes.load_first(from, count),
            }
        });
    }
    parts
}
