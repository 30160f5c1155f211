//! One axis of a sieve: the numbers or texts of an attribute, as codes and in buckets.
//!
//! Invariant: codes keep the order of keys; every bound that is encoded has a code of its own, above 0
//! and below [`Axis::past`]. A code lies in the first bucket whose top is not below it, and in the last
//! if all are.
//! Source: frame of reference, Goldstein et al., ICDE '98; buckets of equal depth, Piatetsky-Shapiro
//! and Connell, SIGMOD '84.

use alloc::vec::Vec;

use super::super::kernel::{Lanes, TOPS};

/// Around fewer bounds than these there is room far around them.
const FEW: usize = 8;

/// Around fewer bounds than these there is as much room again on either side.
const SOME: usize = 128;

/// Around few bounds of one value there is at least so much room.
const ROOM_MIN: u64 = 1 << 20;

/// Buckets of an axis.
pub(super) const BUCKETS: usize = TOPS;

/// How the keys of one axis are written.
#[derive(Clone)]
pub(super) struct Axis {
    /// The greatest code of each bucket but the last, ascending, without `shift` low bits. Where there
    /// are fewer, greater than any.
    tops: [u32; TOPS],
    /// What has code 0.
    base: u64,
    /// The code of every key beyond the bounds.
    past: u64,
    shift: u8,
}

/// Bounds of one axis, to make it for.
#[derive(Clone, Default)]
pub(super) struct Ends {
    /// Where buckets may end: at an upper bound, or one below a lower one.
    tops: Vec<u64>,
    least: Option<u64>,
    greatest: u64,
}

impl Ends {
    /// Makes room for a bound.
    pub(super) fn range(&mut self, key: u64) {
        self.least = Some(self.least.map_or(key, |least| least.min(key)));
        self.greatest = self.greatest.max(key);
    }

    /// Lets a bucket end at a key, which is above 0, or right below it.
    pub(super) fn top(&mut self, key: u64) {
        self.tops.push(key);
    }

    /// Takes all into account that another axis was made for, as far as it tells.
    pub(super) fn axis(&mut self, axis: &Axis) {
        self.range(axis.base + 1);
        self.range(axis.base + axis.past - 1);
        let tops = axis.tops.iter().filter(|top| **top != u32::MAX);
        self.tops
            .extend(tops.map(|top| axis.base + (u64::from(*top) << axis.shift)));
    }
}

impl Axis {
    /// An axis for these bounds, and some beyond.
    pub(super) fn new(ends: Ends) -> Self {
        let least = ends.least.unwrap_or(1);
        let width = ends.greatest.saturating_sub(least);
        let room = match ends.tops.len() {
            0..FEW => width.saturating_mul(4).max(ROOM_MIN),
            FEW..SOME => width,
            _ => width / 4,
        };
        let base = least - 1 - room.min(least - 1);
        let past = ends.greatest.saturating_add(room).saturating_add(1) - base;
        let mut axis = Self {
            tops: [u32::MAX; TOPS],
            base,
            past,
            // Codes below the greatest number, which is beyond all buckets.
            shift: (past >> 31)
                .checked_ilog2()
                .map_or(0, |bits| bits as u8 + 1),
        };
        axis.divide(ends.tops);
        axis
    }

    /// Chooses where buckets end: at each of `tops`, or at so many that each has about as many of them.
    fn divide(&mut self, mut tops: Vec<u64>) {
        tops.sort_unstable();
        let mut distinct = tops.clone();
        distinct.dedup();
        if distinct.len() < BUCKETS {
            tops = distinct;
        }
        let count = tops.len().min(BUCKETS - 1);
        let mut at = 0;
        for nth in 1..=count {
            let top = tops[nth * tops.len() / (count + 1)];
            let top = self.brief(top.saturating_sub(self.base));
            if at == 0 || self.tops[at - 1] < top {
                self.tops[at] = top;
                at += 1;
            }
        }
    }

    /// Whether codes take no more than 32 bits.
    pub(super) fn is_narrow(&self) -> bool {
        self.shift == 0
    }

    /// The code of a bound, if it can be written.
    #[inline]
    pub(super) fn encode(&self, key: u64) -> Option<u64> {
        let code = key.checked_sub(self.base)?;
        (0 < code && code < self.past).then_some(code)
    }

    /// The bound of a code.
    #[inline]
    pub(super) fn decode(&self, code: u64) -> u64 {
        self.base + code
    }

    /// The code of a header's key.
    #[inline(always)]
    pub(super) fn code(&self, key: u64) -> u64 {
        key.saturating_sub(self.base).min(self.past)
    }

    /// The bits of a code that tell its bucket.
    #[inline(always)]
    fn brief(&self, code: u64) -> u32 {
        (code >> self.shift) as u32
    }

    /// The bucket of a header's code.
    #[inline(always)]
    pub(super) fn bucket<L: Lanes>(&self, lanes: L, code: u64) -> usize {
        lanes.below(&self.tops, self.brief(code))
    }

    /// The bucket of a bound's code.
    #[inline]
    pub(super) fn bucket_of(&self, code: u64) -> usize {
        let brief = self.brief(code);
        self.tops.partition_point(|top| *top < brief)
    }

    /// Whether a bucket begins at this code, which lies in it.
    pub(super) fn begins(&self, code: u64) -> bool {
        let before = self.bucket_of(code).checked_sub(1);
        self.is_narrow() && before.is_some_and(|before| u64::from(self.tops[before]) + 1 == code)
    }

    /// Whether a bucket ends at this code, which lies in it.
    pub(super) fn ends(&self, code: u64) -> bool {
        let top = self.tops.get(self.bucket_of(code));
        self.is_narrow() && top.is_some_and(|top| u64::from(*top) == code)
    }
}

#[cfg(test)]
mod tests {
    use super::super::super::kernel::{Job, Kernel};
    use super::*;
    use std::vec;

    struct At<'a>(&'a Axis, u64);

    impl Job for At<'_> {
        type Output = usize;

        #[inline(always)]
        fn run<L: Lanes>(self, lanes: L) -> usize {
            self.0.bucket(lanes, self.1)
        }
    }

    fn axis(lows: &[u64], highs: &[u64]) -> Axis {
        let mut ends = Ends::default();
        for low in lows {
            ends.range(*low);
            ends.top(low - 1);
        }
        for high in highs {
            ends.range(*high);
            ends.top(*high);
        }
        Axis::new(ends)
    }

    fn edges() -> Vec<u64> {
        let mut edges = vec![1, 2, 3, 1000, 1001, u64::MAX - 1];
        for shift in 2..64 {
            let power = 1u64 << shift;
            edges.extend([power - 1, power, power + 1, power | 1 << (shift / 2)]);
        }
        edges
    }

    #[test]
    fn codes_stand_for_their_bounds_and_keep_their_order() {
        let edges = edges();
        for low in &edges {
            for high in edges.iter().step_by(3) {
                let axis = axis(&[*low], &[*high]);
                for bound in [*low, *high] {
                    let code = axis.encode(bound).expect("it was among the bounds");
                    assert_eq!(axis.decode(code), bound);
                    for key in &edges {
                        let own = axis.code(*key);
                        assert_eq!(code <= own, bound <= *key, "{bound} {key}");
                        assert_eq!(own <= code, *key <= bound, "{bound} {key}");
                        let bucket = Kernel::PORTABLE.run(At(&axis, own));
                        let bound_bucket = axis.bucket_of(code);
                        assert!(bound_bucket <= bucket || *key < bound, "{bound} {key}");
                        assert!(bucket <= bound_bucket || bound < *key, "{bound} {key}");
                        if axis.begins(code) {
                            assert!(bucket != bound_bucket || bound <= *key, "{bound} {key}");
                        }
                        if axis.ends(code) {
                            assert!(bucket != bound_bucket || *key <= bound, "{bound} {key}");
                        }
                    }
                }
            }
        }
    }

    #[test]
    fn few_values_have_buckets_that_begin_and_end_at_them() {
        let days: Vec<u64> = (1..=30).map(|day| (1 << 60) + 86_400 * day).collect();
        let axis = axis(&days, &days);

        for day in &days {
            let code = axis.encode(*day).unwrap();
            assert!(axis.begins(code) && axis.ends(code), "{day}");
        }
    }

    #[test]
    fn many_values_have_many_buckets() {
        let bounds: Vec<u64> = (0..1000).map(|n| (1 << 40) + n * n).collect();
        let axis = axis(&bounds, &[]);

        let codes = bounds.iter().map(|bound| axis.encode(*bound).unwrap());
        let mut buckets: Vec<usize> = codes.map(|code| axis.bucket_of(code)).collect();

        buckets.dedup();
        assert!(buckets.len() > BUCKETS - 3, "{}", buckets.len());
    }

    #[test]
    fn what_was_known_of_another_axis_is_not_forgotten() {
        let old = axis(&[1 << 30, 1 << 31], &[1 << 33]);
        let mut ends = Ends::default();
        ends.range(1 << 20);
        ends.axis(&old);

        let new = Axis::new(ends);

        for bound in [1 << 20, 1 << 30, 1 << 31, 1 << 33] {
            assert!(new.encode(bound).is_some(), "{bound}");
        }
    }
}
