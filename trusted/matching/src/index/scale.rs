//! How one column of a page is written in bytes.
//!
//! Invariant: writing keeps the order and loses nothing: for bounds and keys a <= b exactly when
//! their written forms are so. 0 stays 0, for rows without a bound on the column.
//! Source: ours; frame of reference, Goldstein et al., ICDE '98, cut into byte planes of which the
//! first decides nearly always.

use super::kernel::PAGE_BLOCKS;

/// Subtracts `base`, drops `drop` low bits, which are then zero in all bounds, adds one, and moves the
/// result up by `lift` bits, so that it fills whole bytes from the top.
#[derive(Clone, Copy)]
pub(super) struct Scale {
    base: u64,
    /// The greatest written form there is, before it is moved.
    last: u64,
    drop: u8,
    lift: u8,
    /// Bytes of a written form, 0 when no row has a bound; the others are zero.
    pub(super) planes: u8,
    /// The line of the first byte within a block; those of the further ones follow.
    pub(super) line: u16,
    /// The least first byte of each block.
    pub(super) low: [u8; PAGE_BLOCKS],
    /// The greatest first byte of each block.
    pub(super) high: [u8; PAGE_BLOCKS],
}

/// How the bounds of a column are spread.
#[derive(Clone, Copy)]
pub(super) struct Spread {
    /// One of them.
    sample: u64,
    least: u64,
    greatest: u64,
    /// The bits in which any two differ.
    bits: u64,
}

impl Spread {
    pub(super) const NONE: Self = Self {
        sample: 0,
        least: u64::MAX,
        greatest: 0,
        bits: 0,
    };

    /// With `bound` among them; 0 is none.
    #[inline]
    pub(super) fn with(self, bound: u64) -> Self {
        if bound == 0 {
            return self;
        }
        let sample = if self.sample == 0 { bound } else { self.sample };
        Self {
            sample,
            least: self.least.min(bound),
            greatest: self.greatest.max(bound),
            bits: self.bits | (bound ^ sample),
        }
    }

    /// How wide they are spread, at most.
    #[inline]
    pub(super) fn width(&self) -> u64 {
        self.greatest.saturating_sub(self.least)
    }

    /// Twice as wide beyond each end of `before` that they cross, so that bounds that come in order do
    /// not need a new scale each.
    pub(super) fn stretched_beyond(self, before: Option<&Scale>) -> Self {
        let Some(before) = before.filter(|before| before.last > 0 && self.sample != 0) else {
            return self;
        };
        let step = 1u64 << self.drop();
        let width = self.width() & !(step - 1);
        let mut wider = self;
        if self.greatest > before.greatest() {
            wider.greatest = self.greatest.saturating_add(width);
        }
        if self.least < before.base {
            wider.least = self.least - width.min((self.least - 1) & !(step - 1));
        }
        wider
    }

    /// How many low bits are the same in all of them.
    fn drop(&self) -> u32 {
        self.bits.trailing_zeros().min(63)
    }
}

impl Scale {
    /// The narrowest scale for bounds so spread.
    ///
    /// All bounds agree in the bits that are dropped, so their differences from the least one are
    /// multiples of a step.
    pub(super) fn new(spread: Spread) -> Self {
        let (base, drop, last) = match spread.sample {
            0 => (1, 0, 0),
            _ => (
                spread.least,
                spread.drop(),
                (spread.width() >> spread.drop()) + 1,
            ),
        };
        let bits = u64::BITS - last.leading_zeros();
        let planes = bits.div_ceil(8);
        Self {
            base,
            last,
            drop: drop as u8,
            lift: (8 * planes - bits) as u8,
            planes: planes as u8,
            line: 0,
            low: [u8::MAX; PAGE_BLOCKS],
            high: [0; PAGE_BLOCKS],
        }
    }

    fn greatest(&self) -> u64 {
        self.base + ((self.last - 1) << self.drop)
    }

    /// The written form of `bound`, if this scale can write it.
    #[inline]
    pub(super) fn write(&self, bound: u64) -> Option<u64> {
        if bound == 0 {
            return Some(0);
        }
        let offset = bound.checked_sub(self.base)?;
        let steps = offset >> self.drop;
        (steps < self.last && steps << self.drop == offset).then(|| (steps + 1) << self.lift)
    }

    /// The bound that `written` is the form of.
    #[inline]
    pub(super) fn read(&self, written: u64) -> u64 {
        match written >> self.lift {
            0 => 0,
            steps => self.base + ((steps - 1) << self.drop),
        }
    }

    /// The greatest written form that a header's key reaches, or `None` when it reaches all.
    #[inline(always)]
    pub(super) fn reached(&self, key: u64) -> Option<u64> {
        if key < self.base {
            return (self.last > 0).then_some(0);
        }
        let steps = (key - self.base) >> self.drop;
        // One more than the steps, which may be all of 2^64 - 1.
        (steps < self.last.saturating_sub(1)).then(|| (steps + 1) << self.lift)
    }

    /// One byte of a written form; the first is number 0, and there are `planes` of them.
    #[inline(always)]
    pub(super) fn byte(&self, written: u64, number: u8) -> u8 {
        (written >> (8 * (self.planes - 1 - number))) as u8
    }

    /// Takes down that `block` has a row whose first byte is this.
    #[inline]
    pub(super) fn widen(&mut self, block: usize, first: u8) {
        self.low[block] = self.low[block].min(first);
        self.high[block] = self.high[block].max(first);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::vec;
    use std::vec::Vec;

    fn scale(bounds: &[u64]) -> Scale {
        Scale::new(bounds.iter().fold(Spread::NONE, |all, b| all.with(*b)))
    }

    /// Bounds near every edge of every length.
    fn edges() -> Vec<u64> {
        let mut edges = vec![1, 2, 3, u64::MAX, u64::MAX - 1, 1000, 1001, 4096];
        for shift in 1..64 {
            let power = 1u64 << shift;
            edges.extend([power - 1, power, power + 1, power | 1 << (shift / 2)]);
        }
        edges
    }

    #[test]
    fn what_is_written_is_read_again() {
        for one in edges() {
            for other in edges() {
                let scale = scale(&[one, other, 0]);
                for bound in [one, other, 0] {
                    let written = scale.write(bound).expect("it was among the bounds");
                    assert_eq!(scale.read(written), bound, "{one} {other}");
                }
            }
        }
    }

    #[test]
    fn writing_keeps_the_order_of_bounds_and_keys() {
        for one in edges() {
            for other in edges() {
                let scale = scale(&[one, other]);
                for key in edges().into_iter().chain([0]) {
                    for bound in [one, other] {
                        let written = scale.write(bound).expect("it was among the bounds");
                        let reached = scale.reached(key).is_none_or(|all| written <= all);
                        assert_eq!(reached, bound <= key, "{bound} {key} of {one} {other}");
                    }
                }
            }
        }
    }

    #[test]
    fn a_row_without_a_bound_is_reached_by_every_key() {
        let scale = scale(&[500, 600]);

        assert_eq!(scale.write(0), Some(0));
        assert!(scale.reached(0).is_some());
    }

    #[test]
    fn a_column_without_bounds_is_reached_by_every_key() {
        let scale = scale(&[]);

        assert_eq!(scale.reached(0), None);
        assert_eq!(scale.reached(u64::MAX), None);
        assert_eq!(scale.write(7), None);
    }

    #[test]
    fn bounds_outside_or_between_steps_are_not_written() {
        let scale = scale(&[512, 1024]);

        assert_eq!(scale.write(511), None);
        assert_eq!(scale.write(513), None);
        assert_eq!(scale.write(1536), None);
    }

    #[test]
    fn whole_numbers_take_few_bytes() {
        let key = |n: i32| crate::value::Number::from(n).order_key();

        let scale = scale(&[key(3), key(17), key(499)]);

        assert!(scale.planes <= 2, "{}", scale.planes);
    }
}
