//! The keys of an axis as fine codes, of which each stands for about as many bounds.
//!
//! Invariant: codes keep the order of keys: a <= b whenever the code of a is below the one of b. Keys that
//! many bounds have are alone in their buckets. Code 0 is that of whatever a header lacks, and of no
//! bound.
//! Source: buckets of equal depth, Piatetsky-Shapiro and Connell, SIGMOD '84; between their borders
//! codes lie evenly.

use alloc::boxed::Box;
use alloc::vec::Vec;

use super::super::kernel::Lanes;
use super::super::page::COLUMNS_MAX;

/// Borders that are compared at once.
const WIDE: usize = 8;

/// Borders of which one stands for all on the upper level.
const FAN: usize = 2 * WIDE;

/// Values that get a bucket of their own, at most: a bucket begins at each, and one right behind it.
const VALUES_MAX: usize = 120;

/// The buckets of one axis.
pub(super) struct Fine {
    /// Every [`FAN`]th border; u64::MAX where there are no more.
    coarse: [u64; FAN],
    /// Where the buckets after the first begin, ascending; u64::MAX where there are no more.
    borders: Box<[[u64; FAN]]>,
    /// By bucket, how far its keys are moved down to be told apart by a byte.
    moves: Box<[u8]>,
}

/// The fine codes of a header, by column.
#[derive(Clone)]
pub(super) struct FineCodes {
    pub(super) codes: [u16; COLUMNS_MAX],
    /// 1 where a bound in the same bucket may not be reached.
    pub(super) vague: [u8; COLUMNS_MAX],
}

impl FineCodes {
    /// Of a header without attributes.
    pub(super) const NONE: Self = Self {
        codes: [0; COLUMNS_MAX],
        vague: [0; COLUMNS_MAX],
    };
}

/// The bucket of a key, and whether it is the first or the last one there.
#[derive(Clone, Copy)]
pub(super) struct Bucket {
    number: usize,
    pub(super) begins: bool,
    pub(super) ends: bool,
}

/// The code for upper bounds, which are complemented, from the one for lower bounds.
pub(super) fn complement(code: u16) -> u16 {
    !code
}

impl Fine {
    /// Buckets for bounds of which these are some.
    pub(super) fn new(mut sample: Vec<u64>) -> Self {
        sample.sort_unstable();
        let count = VALUES_MAX.min(sample.len());
        // The least and the greatest are among them.
        let values = (0..count).map(|nth| sample[nth * (sample.len() - 1) / (count - 1).max(1)]);
        let mut borders: Vec<u64> = Vec::with_capacity(2 * count);
        for border in values.flat_map(|value| [value, value.saturating_add(1)]) {
            if borders.last().is_none_or(|last| *last < border) {
                borders.push(border);
            }
        }
        let begins = [0].into_iter().chain(borders.iter().copied());
        let ends = borders.iter().copied().chain([u64::MAX]);
        let moves = begins.zip(ends).map(|(begin, end)| {
            let span = (end - begin).saturating_sub(1);
            (span >> 8).checked_ilog2().map_or(0, |bits| bits as u8 + 1)
        });
        let moves = moves.collect();
        let mut coarse = [u64::MAX; FAN];
        let chunks = borders.chunks(FAN).zip(&mut coarse).map(|(part, coarse)| {
            *coarse = part[0];
            let mut chunk = [u64::MAX; FAN];
            chunk[..part.len()].copy_from_slice(part);
            chunk
        });
        Self {
            borders: chunks.collect(),
            coarse,
            moves,
        }
    }

    /// Some of the values that it was made for.
    pub(super) fn values(&self) -> impl Iterator<Item = u64> + '_ {
        let borders = self.borders.iter().flatten().copied();
        // Each other border lies right behind one.
        borders.filter(|border| *border != u64::MAX).step_by(2)
    }

    /// The bucket of a key.
    #[inline(always)]
    pub(super) fn bucket<L: Lanes>(&self, lanes: L, key: u64) -> Bucket {
        let at_most = |borders: &[u64; FAN]| {
            let halves = borders.as_chunks::<WIDE>().0.iter();
            halves.fold(0, |count, half| {
                count + lanes.reached(half, key).count_ones() as usize
            })
        };
        let part = at_most(&self.coarse).saturating_sub(1);
        let within = self.borders.get(part).map_or(0, at_most);
        self.at(part * FAN + within, key)
    }

    /// The same for a bound.
    pub(super) fn bucket_of(&self, key: u64) -> Bucket {
        let at_most = |borders: &[u64; FAN]| borders.partition_point(|border| *border <= key);
        let part = at_most(&self.coarse).saturating_sub(1);
        let within = self.borders.get(part).map_or(0, at_most);
        self.at(part * FAN + within, key)
    }

    #[inline(always)]
    fn at(&self, number: usize, key: u64) -> Bucket {
        // The greatest key is as great as what stands for no border.
        let last = self.moves.len() - 1;
        let number = number.min(last);
        Bucket {
            number,
            begins: number > 0 && self.border(number - 1) == key,
            ends: number < last && self.border(number) - 1 == key,
        }
    }

    /// The code of `key`, which lies in `bucket`.
    #[inline(always)]
    pub(super) fn code(&self, bucket: Bucket, key: u64) -> u16 {
        let before = bucket.number.checked_sub(1);
        let begin = before.map_or(0, |before| self.border(before));
        let within = ((key - begin) >> self.moves[bucket.number]).min(255);
        ((bucket.number << 8) as u16 | within as u16).max(1)
    }

    #[inline(always)]
    fn border(&self, number: usize) -> u64 {
        self.borders[number / FAN][number % FAN]
    }
}

const _: () = assert!(
    2 * VALUES_MAX < 0xff && 2 * VALUES_MAX <= FAN * FAN,
    "the number of a bucket is a byte, and no code is the complement of 0"
);

#[cfg(test)]
mod tests {
    use super::super::super::kernel::{Job, Kernel};
    use super::*;
    use std::vec;

    struct Of<'f>(&'f Fine, u64);

    impl Job for Of<'_> {
        type Output = Bucket;

        #[inline(always)]
        fn run<L: Lanes>(self, lanes: L) -> Bucket {
            self.0.bucket(lanes, self.1)
        }
    }

    fn numbers() -> Vec<u64> {
        let mut numbers = vec![1, 2, 3, u64::MAX - 1, u64::MAX];
        for shift in 2..64 {
            let power = 1u64 << shift;
            numbers.extend([power - 1, power, power + 1, power | 1 << (shift / 2)]);
        }
        numbers.sort_unstable();
        numbers.dedup();
        numbers
    }

    fn samples() -> Vec<Vec<u64>> {
        vec![
            vec![],
            vec![7],
            vec![u64::MAX],
            (1..500).map(|n| 1000 + n * n).collect(),
            (1..5000).map(|n| (n % 17 + 1) << 50).collect(),
            numbers(),
        ]
    }

    #[test]
    fn codes_keep_the_order_of_keys() {
        for sample in samples() {
            let fine = Fine::new(sample.clone());
            let mut keys = numbers();
            keys.extend(sample.iter().flat_map(|own| [own - 1, *own]));
            keys.retain(|key| *key > 0);
            keys.sort_unstable();
            let codes = keys.iter().map(|key| fine.code(fine.bucket_of(*key), *key));
            let codes: Vec<u16> = codes.collect();

            assert!(codes.is_sorted() && codes.iter().all(|code| *code > 0));
            assert!(codes.iter().all(|code| complement(*code) > 0));
        }
    }

    #[test]
    fn all_kernels_find_the_bucket_of_a_bound() {
        for sample in samples() {
            let fine = Fine::new(sample);
            for key in numbers() {
                let expected = fine.bucket_of(key);
                for name in ["portable", "avx2", "avx512"] {
                    let Some(kernel) = Kernel::named(name) else {
                        continue;
                    };
                    let bucket = kernel.run(Of(&fine, key));
                    assert_eq!(bucket.number, expected.number, "{name} {key}");
                }
            }
        }
    }

    #[test]
    fn a_key_at_an_end_of_its_bucket_is_known_as_such() {
        for sample in samples() {
            let fine = Fine::new(sample);
            for keys in numbers().windows(2) {
                let [one, other] = [keys[0], keys[1]].map(|key| fine.bucket_of(key));
                if one.number == other.number {
                    assert!(!one.ends && !other.begins, "{keys:?}");
                }
            }
        }
    }

    #[test]
    fn a_value_of_many_bounds_is_alone_in_its_bucket() {
        let days: Vec<u64> = (0..5000).map(|n| (n % 50) * 86_400 + (1 << 60)).collect();
        let fine = Fine::new(days.clone());

        for day in &days[..50] {
            let bucket = fine.bucket_of(*day);
            assert!(bucket.begins && bucket.ends, "{day}");
        }
    }
}
