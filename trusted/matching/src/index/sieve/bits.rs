//! The bitmaps of a sieve.
//!
//! Invariant: bitmap `b` of a column has the rows whose bound there lies in bucket `b` or beyond; the
//! first one is that of bucket 1 again, and the last one is empty. So of a header whose last bucket is
//! `b` the rows of bitmap `b + 1` fail, and those of bitmap `b` do not surely pass.

use alloc::vec;
use alloc::vec::Vec;

use super::super::kernel::{BLOCK_ROWS, Lanes, Sifted, WORDS_WIDE};

/// Words side by side that lie in one line of the caches.
const ALIGNED: usize = 64 / size_of::<u64>();

/// Bitmaps of all columns, one column after another.
pub(super) struct Bits {
    /// Beginning at `start`, where a line of the caches begins.
    words: Vec<u64>,
    start: usize,
    /// Words of a bitmap.
    width: usize,
    /// Bitmaps of a column.
    maps: usize,
}

impl Bits {
    /// Empty ones, with room for the rows of `width` words.
    pub(super) fn new(columns: usize, buckets: u32, width: usize) -> Self {
        let maps = buckets as usize + 2;
        let words = vec![0; columns * maps * width + ALIGNED - 1];
        Self {
            start: start_of(&words),
            words,
            width,
            maps,
        }
    }

    /// Words of a bitmap.
    pub(super) fn words(&self) -> usize {
        self.width
    }

    fn at(&self, column: usize, bucket: usize) -> usize {
        self.start + (column * self.maps + bucket) * self.width
    }

    /// Takes down that a row's bound lies in `bucket`. Followed by [`Self::spread`].
    pub(super) fn mark(&mut self, column: usize, bucket: usize, row: u16) {
        let word = self.at(column, bucket) + usize::from(row) / BLOCK_ROWS;
        self.words[word] |= 1 << (row % BLOCK_ROWS as u16);
    }

    /// Takes down that a row's bound lies in `bucket`, and so beyond those before.
    pub(super) fn mark_up_to(&mut self, column: usize, bucket: usize, row: u16) {
        for bucket in 0..=bucket {
            self.mark(column, bucket, row);
        }
    }

    /// Puts the rows of each bucket into those before it.
    pub(super) fn spread(&mut self) {
        let (maps, width) = (self.maps, self.width);
        for column in self.words[self.start..].chunks_exact_mut(maps * width) {
            for bucket in (0..maps - 1).rev() {
                let (before, from) = column.split_at_mut((bucket + 1) * width);
                let own = &mut before[bucket * width..];
                let pairs = own.iter_mut().zip(&from[..width]);
                pairs.for_each(|(own, from)| *own |= from);
            }
        }
    }

    /// Where the bitmaps for a header lie whose last bucket on `column` is `bucket`.
    #[inline(always)]
    pub(super) fn pick(&self, column: usize, bucket: usize) -> u32 {
        ((column * self.maps + bucket) * self.width) as u32
    }

    /// Joins what [`Self::pick`] named, of the first `words` words at least.
    #[inline(always)]
    pub(super) fn sift<L: Lanes>(
        &self,
        lanes: L,
        picks: &[u32],
        sifted: &mut Sifted,
        words: usize,
    ) {
        let used = match self.width {
            0..WORDS_WIDE => self.width,
            _ => words.next_multiple_of(WORDS_WIDE),
        };
        lanes.sift(&self.words[self.start..], picks, self.width, used, sifted);
    }
}

/// The first place of `words` at which a line of the caches begins.
fn start_of(words: &[u64]) -> usize {
    words.as_ptr().align_offset(64).min(ALIGNED - 1)
}

/// A copy lies elsewhere, and so may begin elsewhere in its words.
impl Clone for Bits {
    fn clone(&self) -> Self {
        let mut words = vec![0; self.words.len()];
        let (own, start) = (&self.words[self.start..], start_of(&words));
        let length = own.len() - own.len() % (self.maps * self.width);
        words[start..start + length].copy_from_slice(&own[..length]);
        Self {
            words,
            start,
            ..*self
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::super::kernel::{Job, Kernel, SIFT_WORDS};
    use super::*;

    struct Sift<'b>(&'b Bits, &'b [u32], usize);

    impl Job for Sift<'_> {
        type Output = Sifted;

        #[inline(always)]
        fn run<L: Lanes>(self, lanes: L) -> Sifted {
            let mut sifted = Sifted::NONE;
            self.0.sift(lanes, self.1, &mut sifted, self.2);
            sifted
        }
    }

    /// Row n has its bound in bucket `1 + n % buckets`; each other row was marked later.
    fn bits(buckets: u32, width: usize) -> Bits {
        let mut bits = Bits::new(2, buckets, width);
        let rows = (0..width * BLOCK_ROWS).map(|row| row as u16);
        let bucket = |row: u16| 1 + usize::from(row) % buckets as usize;
        for row in rows.clone().step_by(2) {
            bits.mark(1, bucket(row), row);
        }
        bits.spread();
        for row in rows.skip(1).step_by(2) {
            bits.mark_up_to(1, bucket(row), row);
        }
        bits
    }

    fn has(words: &[u64; SIFT_WORDS], row: usize) -> bool {
        words[row / 64] >> (row % 64) & 1 == 1
    }

    #[test]
    fn rows_fail_beyond_the_bucket_and_are_unsure_from_it_on() {
        for width in [1, 2, 4, 8, 24, 32] {
            let bits = bits(10, width);
            // A copy shares nothing and says the same.
            for bits in [&bits, &bits.clone()] {
                for bucket in 0..=10 {
                    let picks = [bits.pick(0, bucket), bits.pick(1, bucket)];
                    let sifted = Kernel::PORTABLE.run(Sift(bits, &picks, width));
                    for row in 0..width * 64 {
                        let own = 1 + row % 10;
                        assert_eq!(has(&sifted.failing, row), own > bucket, "{row} {bucket}");
                        let unsure = own >= bucket;
                        assert_eq!(has(&sifted.unsure, row), unsure, "{row} {bucket}");
                    }
                }
            }
        }
    }
}
