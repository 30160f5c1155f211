//! One column of a sieve: its bounds as codes, and codes in buckets.
//!
//! Invariant: codes keep the order of bounds and lose nothing; buckets keep the order of codes. No
//! bound is 0, so no limit of a header's key overflows.
//! Source: frame of reference, Goldstein et al., ICDE '98.

use super::super::scale::Spread;

/// With fewer bounds than these a column takes others far around them.
const FEW: u32 = 8;

/// With fewer bounds than these it takes as many more on either side, and every one between.
const SOME: u32 = 128;

/// Around few bounds of one value there is at least so much room.
const ROOM_MIN: u64 = 1 << 20;

/// How the bounds of one column are written.
#[derive(Clone)]
pub(super) struct SieveColumn {
    base: u64,
    /// The greatest code.
    end: u64,
    drop: u8,
    /// Codes without so many low bits are buckets, counted from 0.
    shift: u8,
    place: u8,
}

impl SieveColumn {
    /// A column for bounds so spread, and some beyond; `None` without bounds.
    pub(super) fn new(place: u8, spread: Spread, buckets: u32) -> Option<Self> {
        let room = match spread.count() {
            0 => return None,
            1..FEW => spread.width().saturating_mul(4).max(ROOM_MIN),
            FEW..SOME => spread.width(),
            _ => spread.width() / 8,
        };
        let drop = match spread.count() {
            ..SOME => 0,
            _ => spread.drop(),
        };
        // Whole steps, and no bound is 0.
        let below = room.min(spread.least() - 1) >> drop;
        let base = spread.least() - (below << drop);
        let end = (spread.greatest().saturating_add(room) - base) >> drop;
        let bits = u64::BITS - end.leading_zeros();
        let fits = |shift: &u32| end >> shift < u64::from(buckets);
        let shift = (bits.saturating_sub(buckets.ilog2() + 1)..bits).find(fits);
        Some(Self {
            base,
            end,
            drop: drop as u8,
            shift: shift.unwrap_or(bits).min(63) as u8,
            place,
        })
    }

    /// The place of its column in the group.
    #[inline(always)]
    pub(super) fn place(&self) -> u8 {
        self.place
    }

    /// Whether codes take no more than 32 bits.
    pub(super) fn is_narrow(&self) -> bool {
        // The limit of a header is one more.
        self.end < u64::from(u32::MAX)
    }

    /// The code of a bound, if it can be written.
    #[inline]
    pub(super) fn code(&self, least: u64) -> Option<u64> {
        let offset = least.checked_sub(self.base)?;
        let code = offset >> self.drop;
        (code <= self.end && code << self.drop == offset).then_some(code)
    }

    /// The bound of a code.
    #[inline]
    pub(super) fn bound(&self, code: u64) -> u64 {
        self.base + (code << self.drop)
    }

    /// The bucket of a code, counted from 1.
    #[inline(always)]
    pub(super) fn bucket(&self, code: u64) -> usize {
        (code >> self.shift) as usize + 1
    }

    /// How many codes a header with this key reaches: those below the limit.
    #[inline(always)]
    pub(super) fn limit(&self, key: u64) -> u64 {
        match key.checked_sub(self.base) {
            Some(offset) => (offset >> self.drop) + 1,
            None => 0,
        }
    }

    /// The bucket that a header with this limit reaches last, 0 if none.
    #[inline(always)]
    pub(super) fn reached(&self, limit: u64) -> usize {
        match limit.min(self.end + 1).checked_sub(1) {
            Some(code) => self.bucket(code),
            None => 0,
        }
    }

    /// Whether a header with this limit reaches every bound.
    #[inline(always)]
    pub(super) fn is_whole(&self, limit: u64) -> bool {
        limit > self.end
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::vec;
    use std::vec::Vec;

    const BUCKETS: u32 = 62;

    fn column(bounds: &[u64], times: usize) -> SieveColumn {
        let bounds = bounds.iter().cycle().take(bounds.len() * times);
        let spread = bounds.fold(Spread::NONE, |all, bound| all.with(*bound));
        SieveColumn::new(3, spread, BUCKETS).expect("there are bounds")
    }

    fn edges() -> Vec<u64> {
        let mut edges = vec![1, 2, 3, 1000, 1001, u64::MAX, u64::MAX - 1];
        for shift in 2..64 {
            let power = 1u64 << shift;
            edges.extend([power - 1, power, power + 1, power | 1 << (shift / 2)]);
        }
        edges
    }

    #[test]
    fn codes_stand_for_their_bounds_and_keep_their_order() {
        for one in edges() {
            for other in edges() {
                for times in [1, 20, 100] {
                    let column = column(&[one, other], times);
                    for bound in [one, other] {
                        let code = column.code(bound).expect("it was among the bounds");
                        assert_eq!(column.bound(code), bound);
                        assert!((1..=BUCKETS as usize).contains(&column.bucket(code)));
                        for key in edges().into_iter().chain([0]) {
                            let limit = column.limit(key);
                            assert_eq!(code < limit, bound <= key, "{bound} {key} {times}");
                            let (own, reached) = (column.bucket(code), column.reached(limit));
                            assert!(own >= reached || bound <= key, "{bound} {key}");
                            assert!(own <= reached || bound > key, "{bound} {key}");
                            assert!(!column.is_whole(limit) || bound <= key, "{bound} {key}");
                        }
                    }
                }
            }
        }
    }

    #[test]
    fn many_buckets_are_used() {
        let bounds: Vec<u64> = (0..1000).map(|n| (1 << 40) + 2 * n).collect();
        let column = column(&bounds, 1);

        let mut buckets: Vec<usize> = bounds
            .iter()
            .map(|bound| column.bucket(column.code(*bound).unwrap()))
            .collect();

        buckets.dedup();
        assert!(buckets.len() > BUCKETS as usize / 3, "{}", buckets.len());
    }

    #[test]
    fn without_bounds_there_is_no_column() {
        assert!(SieveColumn::new(0, Spread::NONE, BUCKETS).is_none());
    }

    #[test]
    fn few_bounds_leave_room_for_more() {
        let column = column(&[1 << 60], 1);

        assert!(column.code((1 << 60) + 1000).is_some());
        assert!(column.code((1 << 60) - 1001).is_some());
        assert!(column.code((1 << 60) + (1 << 30)).is_none());
    }
}
