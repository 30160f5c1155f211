//! How the columns of a page are written in bytes.
//!
//! Invariant: writing keeps the order and loses nothing: for bounds and keys a <= b exactly when
//! their written forms are so. 0 stays 0, for rows without a bound on the column.
//! Source: ours; frame of reference, Goldstein et al., ICDE '98, cut into byte planes of which the
//! first decides nearly always.

use alloc::boxed::Box;

use super::kernel::{BLOCK_ROWS, Frame, Framed, LANES, Lanes, Line, PAGE_BLOCKS};

/// How one column is written: `base` is subtracted, `drop` low bits, which are then zero in all
/// bounds, are dropped, the result is moved up by `lift` bits, so that it fills whole bytes from the
/// top, and `one` is added, so that no bound is written as 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Scale {
    base: u64,
    /// The greatest bound less `base`, without the dropped bits.
    end: u64,
    drop: u8,
    lift: u8,
    /// One in the first byte, which is 0 then only where there is no bound; where that leaves too few
    /// bits, one in the last.
    one: u64,
    /// Bytes of a written form, 0 when no row has a bound; the others are zero.
    pub(super) planes: u8,
}

/// The scales of up to [`LANES`] columns side by side, so that a header's keys are written at once.
#[derive(Clone)]
pub(super) struct Scales {
    frame: Frame,
    /// The least first byte of each column, block by block.
    low: [Line; PAGE_BLOCKS / LANES],
    /// The greatest; 0 where no row of the block has a bound.
    high: [Line; PAGE_BLOCKS / LANES],
    planes: [u8; LANES],
    /// The line of the second byte of each column within a block; its further ones follow.
    line: [u16; LANES],
    /// A bit for each column of which written forms have more bytes than the first.
    longer: u8,
    /// A bit for each column on which a bound may have a first byte of 0.
    murky: u8,
}

/// With fewer bounds than these a column takes any.
const FEW: u32 = 8;

/// With fewer bounds than these it takes as many more on either side, and every one between.
const SOME: u32 = 128;

/// How the bounds of a column are spread.
#[derive(Clone, Copy)]
pub(super) struct Spread {
    count: u32,
    /// One of them.
    sample: u64,
    least: u64,
    greatest: u64,
    /// The bits in which any two differ.
    bits: u64,
}

impl Spread {
    pub(super) const NONE: Self = Self {
        count: 0,
        sample: 0,
        least: u64::MAX,
        greatest: 0,
        bits: 0,
    };

    /// Any bounds but the greatest, which would leave no first byte for rows without a bound.
    const NEARLY_ALL: Self = Self {
        count: FEW,
        sample: 1,
        least: 1,
        greatest: u64::MAX - (1 << 56),
        bits: u64::MAX,
    };

    /// With `bound` among them; 0 is none.
    #[inline]
    pub(super) fn with(self, bound: u64) -> Self {
        if bound == 0 {
            return self;
        }
        let sample = if self.count == 0 { bound } else { self.sample };
        Self {
            count: self.count + 1,
            sample,
            least: self.least.min(bound),
            greatest: self.greatest.max(bound),
            bits: self.bits | (bound ^ sample),
        }
    }

    /// Whether there are none.
    pub(super) fn is_none(&self) -> bool {
        self.count == 0
    }

    /// How wide they are spread, at most.
    #[inline]
    pub(super) fn width(&self) -> u64 {
        self.greatest.saturating_sub(self.least)
    }

    /// With room for bounds that will come, the more the fewer there are, so that few need a new scale.
    fn roomy(self) -> Self {
        let (part, bits) = match self.count {
            0 => return self,
            1..FEW if self.greatest <= Self::NEARLY_ALL.greatest => return Self::NEARLY_ALL,
            1..SOME => (1, u64::MAX),
            _ => (4, self.bits),
        };
        let step = 1u64 << bits.trailing_zeros().min(63);
        let room = (self.width() / part) & !(step - 1);
        Self {
            least: self.least - room.min((self.least - 1) & !(step - 1)),
            greatest: self.greatest.saturating_add(room),
            bits,
            ..self
        }
    }

    /// How many low bits are the same in all of them.
    fn drop(&self) -> u32 {
        self.bits.trailing_zeros().min(63)
    }
}

impl Scale {
    /// A scale for bounds so spread, and some beyond.
    ///
    /// All bounds agree in the bits that are dropped, so their differences from the least one are
    /// multiples of a step.
    pub(super) fn new(spread: Spread) -> Self {
        let spread = spread.roomy();
        if spread.count == 0 {
            return Self {
                base: 0,
                end: 0,
                drop: 0,
                lift: 0,
                one: 0,
                planes: 0,
            };
        }
        let end = spread.width() >> spread.drop();
        let (planes, lift, one) = form(end);
        Self {
            base: spread.least,
            end,
            drop: spread.drop() as u8,
            lift: lift as u8,
            one,
            planes: planes as u8,
        }
    }

    /// The written form of `bound`, if this scale can write it.
    #[inline]
    pub(super) fn write(&self, bound: u64) -> Option<u64> {
        if bound == 0 {
            return Some(0);
        }
        let offset = bound.checked_sub(self.base)?;
        let steps = offset >> self.drop;
        let fits = self.planes > 0 && steps <= self.end && steps << self.drop == offset;
        fits.then(|| (steps << self.lift) + self.one)
    }

    /// The bound that `written` is the form of.
    #[inline]
    pub(super) fn read(&self, written: u64) -> u64 {
        match written {
            0 => 0,
            _ => self.base + ((written - self.one) >> self.lift << self.drop),
        }
    }

    /// One byte of a written form; the first is number 0, and there are `planes` of them.
    #[inline(always)]
    pub(super) fn byte(&self, written: u64, number: u8) -> u8 {
        (written >> (8 * (self.planes - 1 - number))) as u8
    }
}

/// Bytes, lift and one for numbers of steps up to `end`.
fn form(end: u64) -> (u32, u32, u64) {
    let bits = u64::BITS - end.leading_zeros();
    for planes in bits.div_ceil(8).max(1)..=8 {
        let one = 1u64 << (8 * (planes - 1));
        let room = (u64::MAX >> (64 - 8 * planes)) - one;
        if end <= room {
            let lift = (8 * planes - bits).min(63);
            let fits = |lift: &u32| end << lift <= room && end << lift >> lift == end;
            let lift = [lift, lift.saturating_sub(1)].into_iter().find(fits);
            return (planes, lift.unwrap_or(0), one);
        }
    }
    (8, 0, 1)
}

impl Scales {
    /// Takes these scales, at most [`LANES`], of which the second byte lies in line `line`; returns
    /// the line behind the last one.
    pub(super) fn new(scales: &[Scale], mut line: u16) -> (Self, u16) {
        let mut own = Self {
            frame: Frame {
                base: [0; LANES],
                end: [0; LANES],
                drop: [0; LANES],
                lift: [0; LANES],
                one: [0; LANES],
                first: [0; LANES],
            },
            low: [Line([u8::MAX; BLOCK_ROWS]); PAGE_BLOCKS / LANES],
            high: [Line([0; BLOCK_ROWS]); PAGE_BLOCKS / LANES],
            planes: [0; LANES],
            line: [0; LANES],
            longer: 0,
            murky: 0,
        };
        for (lane, scale) in scales.iter().enumerate() {
            let frame = &mut own.frame;
            frame.base[lane] = scale.base;
            frame.end[lane] = scale.end;
            frame.drop[lane] = scale.drop;
            frame.lift[lane] = scale.lift;
            frame.one[lane] = scale.one.checked_ilog2().map_or(0, |bits| bits as u8);
            frame.first[lane] = 8 * scale.planes.saturating_sub(1);
            own.longer |= u8::from(scale.planes > 1) << lane;
            own.murky |= u8::from(scale.one >> frame.first[lane] == 0) << lane;
            own.planes[lane] = scale.planes;
            own.line[lane] = line;
            line += u16::from(scale.planes.saturating_sub(1));
        }
        (own, line)
    }

    pub(super) fn get(&self, lane: usize) -> Scale {
        Scale {
            base: self.frame.base[lane],
            end: self.frame.end[lane],
            drop: self.frame.drop[lane],
            lift: self.frame.lift[lane],
            one: 1 << self.frame.one[lane],
            planes: self.planes[lane],
        }
    }

    /// The lines of a column's further bytes within those of a block.
    #[inline(always)]
    pub(super) fn rest(&self, lane: usize) -> core::ops::Range<usize> {
        let first = usize::from(self.line[lane]);
        first..first + usize::from(self.planes[lane].saturating_sub(1))
    }

    /// A bit for each block that has rows with a first byte that is reached, on every column.
    #[inline(always)]
    pub(super) fn blocks<L: Lanes>(&self, lanes: L, framed: &Framed) -> u32 {
        let [first, second] = &self.low;
        let first = lanes.at_most(first, &framed.first);
        let second = lanes.at_most(second, &framed.first);
        u32::from(first) | u32::from(second) << LANES
    }

    /// By block, a bit for each column on which some row has a greater first byte than `sure` has there.
    #[inline(always)]
    pub(super) fn open<L: Lanes>(&self, lanes: L, sure: &[u8; LANES]) -> [u8; PAGE_BLOCKS] {
        let mut open = [0; PAGE_BLOCKS];
        for (high, open) in self.high.iter().zip(open.as_chunks_mut::<LANES>().0) {
            *open = (!lanes.each_at_most(high, sure)).to_le_bytes();
        }
        open
    }

    /// Takes down that `block` has a row with this first byte.
    #[inline]
    pub(super) fn widen(&mut self, lane: usize, block: usize, first: u8) {
        let (line, at) = (block / LANES, block % LANES * LANES + lane);
        let (low, high) = (&mut self.low[line].0[at], &mut self.high[line].0[at]);
        (*low, *high) = (first.min(*low), first.max(*high));
    }

    /// Writes a header's keys, one for each column.
    #[inline(always)]
    pub(super) fn write<L: Lanes>(&self, lanes: L, keys: &[u64; LANES]) -> Framed {
        lanes.write(&self.frame, keys)
    }

    /// A bit for each column on which rows with the first byte of the key are decided by the bytes that
    /// follow.
    #[inline(always)]
    pub(super) fn longer(&self, framed: &Framed) -> u8 {
        self.longer & (framed.above | self.murky)
    }
}

/// The scales of any number of columns.
pub(super) type AllScales = Box<[Scales]>;

#[cfg(test)]
mod tests {
    use super::super::kernel::{Job, Kernel};
    use super::*;
    use std::vec;
    use std::vec::Vec;

    struct Write<'w>(&'w Scales, &'w [u64; LANES]);

    impl Job for Write<'_> {
        type Output = Framed;

        #[inline(always)]
        fn run<L: Lanes>(self, lanes: L) -> Framed {
            self.0.write(lanes, self.1)
        }
    }

    fn scale(bounds: &[u64]) -> Scale {
        // As often as makes the scale narrow.
        let bounds = bounds.iter().cycle().take(bounds.len() * SOME as usize);
        Scale::new(bounds.fold(Spread::NONE, |all, b| all.with(*b)))
    }

    /// The greatest written form that `key` reaches; `None` when it reaches all.
    fn reached(scale: Scale, key: u64) -> Option<u64> {
        let (scales, _) = Scales::new(&[scale], 0);
        let mut keys = [0; LANES];
        keys[0] = key;
        let framed = Kernel::PORTABLE.run(Write(&scales, &keys));
        (framed.open & 1 == 1).then_some(framed.reached[0])
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
                        let reached = reached(scale, key).is_none_or(|all| written <= all);
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
        assert_eq!(reached(scale, 0), Some(0));
    }

    #[test]
    fn a_column_without_bounds_is_reached_by_every_key() {
        let scale = scale(&[]);

        assert_eq!(reached(scale, 0), None);
        assert_eq!(reached(scale, u64::MAX), None);
        assert_eq!(scale.write(7), None);
    }

    #[test]
    fn bounds_outside_or_between_steps_are_not_written() {
        let scale = scale(&[1024, 2048]);

        assert_eq!(scale.write(1025), None);
        assert_eq!(scale.write(512), None);
        assert_eq!(scale.write(3072), None);
    }

    #[test]
    fn a_column_with_few_bounds_takes_any() {
        let scale = Scale::new(Spread::NONE.with(1000));

        let takes = |bound: &u64| *bound <= u64::MAX - (1 << 56);
        for bound in edges().into_iter().filter(takes) {
            let written = scale.write(bound).expect("it takes nearly any");
            assert_eq!(scale.read(written), bound);
        }
    }

    #[test]
    fn whole_numbers_take_few_bytes() {
        let key = |n: i32| crate::value::Number::from(n).order_key();

        let scale = scale(&[key(3), key(17), key(499)]);

        assert!(scale.planes <= 2, "{}", scale.planes);
    }
}
