//! The bitmaps of a sieve.
//!
//! Invariant: for each axis there is a bitmap of the rows that fail for every value of a bucket, for
//! each bucket; of the rows with a bound on it; an empty one; and for each bucket one of the rows that
//! may fail for some value of it, among which are those that fail, and again one of the rows with a
//! bound.

use alloc::vec;
use alloc::vec::Vec;

use super::super::kernel::{BLOCK_ROWS, Lanes, Pick, Sifted, WORDS_WIDE};
use super::super::page::COLUMNS_MAX;
use super::axis::BUCKETS;
use super::dictionary::{BOUND, NOBODY, Sight};

/// Words side by side that lie in one line of the caches.
const ALIGNED: usize = 64 / size_of::<u64>();

/// The first bitmap of those that may fail.
const UNSURE: usize = NOBODY as usize + 1;

/// Bitmaps of an axis.
const MAPS: usize = UNSURE + BOUND as usize + 1;

/// Where a row is on an axis: in the buckets from `first` to `last`, of which it may fail in those at an
/// end that it does not fill.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Span {
    pub(super) first: usize,
    pub(super) last: usize,
    pub(super) fills_first: bool,
    pub(super) fills_last: bool,
}

/// Bitmaps of all axes, one axis after another.
pub(super) struct Bits {
    /// Beginning at `start`, where a line of the caches begins.
    words: Vec<u64>,
    start: usize,
    /// Words of a bitmap.
    width: usize,
}

impl Bits {
    /// Empty ones, with room for the rows of `width` words.
    pub(super) fn new(axes: usize, width: usize) -> Self {
        let words = vec![0; axes * MAPS * width + ALIGNED - 1];
        Self {
            start: start_of(&words),
            words,
            width,
        }
    }

    fn set(&mut self, place: usize, map: usize, row: u16) {
        let map = self.start + (place * MAPS + map) * self.width;
        self.words[map + usize::from(row) / BLOCK_ROWS] |= 1 << (row % BLOCK_ROWS as u16);
    }

    /// Adds a row.
    pub(super) fn add(&mut self, place: usize, span: Span, row: u16) {
        let Span { first, last, .. } = span;
        for bucket in (0..first).chain(last + 1..BUCKETS) {
            self.set(place, bucket, row);
            self.set(place, UNSURE + bucket, row);
        }
        self.mark_ends(place, span, row);
    }

    fn mark_ends(&mut self, place: usize, span: Span, row: u16) {
        self.set(place, BOUND.into(), row);
        self.set(place, UNSURE + usize::from(BOUND), row);
        if !span.fills_first {
            self.set(place, UNSURE + span.first, row);
        }
        if !span.fills_last {
            self.set(place, UNSURE + span.last, row);
        }
    }

    /// Where the bitmaps for a header lie on the axis at `place`.
    #[inline(always)]
    pub(super) fn pick(&self, place: usize, sight: &Sight, axis: u8) -> Pick {
        let axis = usize::from(axis) % COLUMNS_MAX;
        let at = |map: usize| ((place * MAPS + map) * self.width) as u32;
        Pick {
            failing: at(sight.failing[axis].into()),
            unsure: at(UNSURE + usize::from(sight.unsure[axis])),
        }
    }

    /// Joins what [`Self::pick`] named, of the first `words` words at least.
    #[inline(always)]
    pub(super) fn sift<L: Lanes>(
        &self,
        lanes: L,
        picks: &[Pick],
        sifted: &mut Sifted,
        words: usize,
    ) {
        let used = match self.width {
            0..WORDS_WIDE => self.width,
            _ => words.next_multiple_of(WORDS_WIDE),
        };
        lanes.sift(&self.words[self.start..], picks, used, sifted);
    }
}

/// Bitmaps of rows that are all known.
pub(super) struct Draft {
    bits: Bits,
    /// Of each axis and bucket the rows that end right before it.
    behind: Vec<u64>,
}

impl Draft {
    /// Without a row yet.
    pub(super) fn new(axes: usize, width: usize) -> Self {
        Self {
            bits: Bits::new(axes, width),
            behind: vec![0; axes * BUCKETS * width],
        }
    }

    /// Adds a row.
    pub(super) fn mark(&mut self, place: usize, span: Span, row: u16) {
        if let Some(before) = span.first.checked_sub(1) {
            self.bits.set(place, before, row);
        }
        if span.last + 1 < BUCKETS {
            let map = (place * BUCKETS + span.last + 1) * self.bits.width;
            self.behind[map + usize::from(row) / BLOCK_ROWS] |= 1 << (row % BLOCK_ROWS as u16);
        }
        self.bits.mark_ends(place, span, row);
    }

    /// Joins what was marked.
    pub(super) fn finish(mut self) -> Bits {
        let width = self.bits.width;
        let axes = self.bits.words[self.bits.start..].chunks_exact_mut(MAPS * width);
        for (maps, behind) in axes.zip(self.behind.chunks_exact_mut(BUCKETS * width)) {
            let (failing, unsure) = maps.split_at_mut(UNSURE * width);
            let failing = &mut failing[..BUCKETS * width];
            for at in (0..failing.len() - width).rev() {
                failing[at] |= failing[at + width];
            }
            for at in width..behind.len() {
                behind[at] |= behind[at - width];
            }
            for ((failing, behind), unsure) in failing.iter_mut().zip(behind).zip(unsure) {
                *failing |= *behind;
                *unsure |= *failing;
            }
        }
        self.bits
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
        let length = self.words.len() + 1 - ALIGNED;
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

    struct Sift<'b>(&'b Bits, &'b [Pick], usize);

    impl Job for Sift<'_> {
        type Output = Sifted;

        #[inline(always)]
        fn run<L: Lanes>(self, lanes: L) -> Sifted {
            let mut sifted = Sifted::NONE;
            self.0.sift(lanes, self.1, &mut sifted, self.2);
            sifted
        }
    }

    fn span(row: usize) -> Span {
        let first = row % 11;
        Span {
            first,
            last: (first + row % 7).max(if row.is_multiple_of(5) {
                BUCKETS - 1
            } else {
                0
            }),
            fills_first: row.is_multiple_of(2),
            fills_last: row.is_multiple_of(3),
        }
    }

    /// Of two axes the second has all rows, each other one of them added later.
    fn bits(width: usize) -> Bits {
        let rows = 0..width * BLOCK_ROWS;
        let mut draft = Draft::new(2, width);
        for row in rows.clone().step_by(2) {
            draft.mark(1, span(row), row as u16);
        }
        let mut bits = draft.finish();
        for row in rows.skip(1).step_by(2) {
            bits.add(1, span(row), row as u16);
        }
        bits
    }

    fn has(words: &[u64; SIFT_WORDS], row: usize) -> bool {
        words[row / 64] >> (row % 64) & 1 == 1
    }

    fn sifted(bits: &Bits, failing: u8, unsure: u8) -> Sifted {
        let mut sight = Sight::new();
        (sight.failing[3], sight.unsure[3]) = (failing, unsure);
        let picks = [0, 1].map(|place| bits.pick(place, &sight, 3));
        Kernel::PORTABLE.run(Sift(bits, &picks, bits.width))
    }

    #[test]
    fn rows_fail_outside_their_span_and_may_where_they_do_not_fill_a_bucket() {
        for width in [1, 2, 4, 8, 24, 32] {
            let bits = bits(width);
            // A copy shares nothing and says the same.
            for bits in [&bits, &bits.clone()] {
                for bucket in 0..BUCKETS {
                    let sifted = sifted(bits, bucket as u8, bucket as u8);
                    for row in 0..width * BLOCK_ROWS {
                        let own = span(row);
                        let fails = bucket < own.first || own.last < bucket;
                        let may = bucket == own.first && !own.fills_first
                            || bucket == own.last && !own.fills_last;
                        assert_eq!(has(&sifted.failing, row), fails, "{row} {bucket}");
                        assert_eq!(has(&sifted.unsure, row), fails || may, "{row} {bucket}");
                    }
                }
            }
        }
    }

    #[test]
    fn all_rows_with_a_bound_are_known_and_nobody_is_nobody() {
        let bits = bits(8);

        let all = sifted(&bits, BOUND, BOUND);
        let none = sifted(&bits, NOBODY, BOUND);

        assert_eq!(all.failing[..8], [u64::MAX; 8]);
        assert_eq!(none.failing[..8], [0; 8]);
        assert_eq!(none.unsure[..8], [u64::MAX; 8]);
    }
}
