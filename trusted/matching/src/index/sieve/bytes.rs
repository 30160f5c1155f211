//! The bounds of rows as bytes, side by side, which nearly always say whether a header reaches them.
//!
//! Invariant: the byte of a bound is its fine code, moved down as far as those of the page allow; rows
//! without a bound on a column have 0 there, which every header reaches. No row of a block has a
//! lesser byte than what is noted of the block.
//! Source: zone maps, Moerkotte, VLDB '98; byte planes as in ByteSlice, Feng et al., SIGMOD '15.

use alloc::boxed::Box;
use alloc::vec::Vec;

use super::super::kernel::{BLOCK_ROWS, LANES, Lanes, Line, Passing, SIFT_WORDS, Test};
use super::super::page::{COLUMNS_MAX, NoRoom, split};
use super::fine::FineCodes;

/// The greatest byte, less the one of the least bound.
const STEPS_MAX: u16 = 253;

/// The bounds of the rows of a page.
#[derive(Clone)]
pub(super) struct Bytes {
    /// The places in the group of the columns on which some row has a bound, ascending.
    places: Box<[u8]>,
    /// [`LANES`] columns each.
    sides: Box<[Side]>,
    /// Block by block, column by column.
    lines: Vec<Line>,
}

/// Up to [`LANES`] columns.
#[derive(Clone)]
struct Side {
    /// The least byte of each column, block by block.
    low: [Line; SIFT_WORDS / LANES],
    /// The greatest; 0 where no row of the block has a bound.
    high: [Line; SIFT_WORDS / LANES],
    /// What has the byte 1, and all that is less.
    base: [u16; LANES],
    /// How far codes are moved down, 8 at most, so that no byte stands for codes of two buckets.
    moves: [u16; LANES],
}

/// What a header holds the bytes of a page against.
pub(super) struct Limits {
    /// A bit for each block that has rows within the limits, column by column.
    pub(super) blocks: u32,
    tests: [Test; COLUMNS_MAX],
    /// By block, a bit for each column on which some row may fail.
    open: [[u8; COLUMNS_MAX / LANES]; SIFT_WORDS],
}

/// The least and the greatest of some codes.
#[derive(Clone, Copy)]
pub(super) struct Codes {
    least: u16,
    greatest: u16,
}

impl Codes {
    pub(super) const NONE: Self = Self {
        least: u16::MAX,
        greatest: 0,
    };

    /// With `code` among them.
    pub(super) fn with(self, code: u16) -> Self {
        Self {
            least: self.least.min(code),
            greatest: self.greatest.max(code),
        }
    }

    fn is_none(self) -> bool {
        self.greatest == 0
    }
}

impl Bytes {
    /// Without rows, for those with such codes on the columns of a group.
    pub(super) fn new(codes: &[Codes; COLUMNS_MAX]) -> Self {
        let used = codes.iter().zip(0..).filter(|(codes, _)| !codes.is_none());
        let (codes, places): (Vec<&Codes>, Vec<u8>) = used.unzip();
        Self {
            places: places.into(),
            sides: codes.chunks(LANES).map(Side::new).collect(),
            lines: Vec::new(),
        }
    }

    /// Adds `row`, the one behind the last, with bounds of these codes on the columns at these places,
    /// which ascend, if it has columns for them.
    pub(super) fn push(
        &mut self,
        codes: impl Iterator<Item = (u8, u16)>,
        row: u16,
    ) -> Result<(), NoRoom> {
        let mut bytes = [0; COLUMNS_MAX];
        let mut column = 0;
        for (place, code) in codes {
            let left = self.places[column..].iter();
            column += left.take_while(|own| **own < place).count();
            if self.places.get(column) != Some(&place) {
                return Err(NoRoom);
            }
            bytes[column] = self.sides[column / LANES].byte(column % LANES, code);
        }
        let (block, at) = split(row);
        let columns = self.places.len();
        if at == 0 {
            self.lines.reserve_exact(columns);
            let lines = (0..columns).map(|_| Line([0; BLOCK_ROWS]));
            self.lines.extend(lines);
        }
        let lines = &mut self.lines[block * columns..];
        for (column, (line, byte)) in lines.iter_mut().zip(&bytes).enumerate().take(columns) {
            line.0[at] = *byte;
            let side = &mut self.sides[column / LANES];
            let (part, at) = (block / LANES, block % LANES * LANES + column % LANES);
            let (low, high) = (&mut side.low[part].0[at], &mut side.high[part].0[at]);
            (*low, *high) = ((*low).min(*byte), (*high).max(*byte));
        }
        Ok(())
    }

    /// Asks for what [`Self::limits`] looks at.
    #[inline(always)]
    pub(super) fn prefetch<L: Lanes>(&self, lanes: L) {
        lanes.prefetch(&self.places);
        lanes.prefetch(&self.sides);
    }

    /// What a header with these codes holds bytes against.
    #[inline(always)]
    pub(super) fn limits<L: Lanes>(&self, lanes: L, fine: &FineCodes) -> Limits {
        let mut limits = Limits {
            blocks: u32::MAX,
            tests: [Test::NONE; COLUMNS_MAX],
            open: [[0; COLUMNS_MAX / LANES]; SIFT_WORDS],
        };
        let places = self.places.chunks(LANES);
        let tests = limits.tests.as_chunks_mut::<LANES>().0.iter_mut();
        let sides = self.sides.iter().zip(places).zip(tests);
        for (at, ((side, places), tests)) in sides.enumerate() {
            let (most, sure) = side.tests(fine, places, tests);
            for (part, (low, high)) in side.low.iter().zip(&side.high).enumerate() {
                let met = u32::from(lanes.at_most(low, &most));
                limits.blocks &= met << (part * LANES) | !(0xff << (part * LANES));
                let open = (!lanes.each_at_most(high, &sure)).to_le_bytes();
                let blocks = limits.open[part * LANES..].iter_mut();
                for (block, open) in blocks.zip(open) {
                    block[at % (COLUMNS_MAX / LANES)] = open;
                }
            }
        }
        limits
    }

    /// Which rows of `block` pass.
    #[inline(always)]
    pub(super) fn pass<L: Lanes>(&self, lanes: L, block: usize, limits: &Limits) -> Passing {
        let columns = self.places.len();
        let lines = &self.lines[block * columns..][..columns];
        let open = u64::from_le_bytes(limits.open[block % SIFT_WORDS]);
        lanes.pass(lines, &limits.tests, open)
    }
}

impl Side {
    /// For bounds with such codes.
    fn new(codes: &[&Codes]) -> Self {
        let low = |at| if at % LANES < codes.len() { u8::MAX } else { 0 };
        let mut side = Self {
            low: [Line(core::array::from_fn(low)); SIFT_WORDS / LANES],
            high: [Line([0; BLOCK_ROWS]); SIFT_WORDS / LANES],
            base: [0; LANES],
            moves: [0; LANES],
        };
        for (lane, Codes { least, greatest }) in codes.iter().enumerate() {
            let fits = |moves: &u16| (greatest >> moves) - (least >> moves) <= STEPS_MAX;
            let moves = (0..8).find(fits).unwrap_or(8);
            side.base[lane] = least >> moves << moves;
            side.moves[lane] = moves;
        }
        side
    }

    /// The byte of a bound with this code; those beyond the ends of the page have the one of the end.
    fn byte(&self, lane: usize, code: u16) -> u8 {
        let steps = code.saturating_sub(self.base[lane]) >> self.moves[lane];
        steps.min(STEPS_MAX) as u8 + 1
    }

    /// Sets the tests of the columns at these places of the group; returns the greatest bytes that may
    /// pass, and the greatest that do.
    #[inline(always)]
    fn tests(
        &self,
        fine: &FineCodes,
        places: &[u8],
        tests: &mut [Test; LANES],
    ) -> ([u8; LANES], [u8; LANES]) {
        let (mut codes, mut vague) = ([0u16; LANES], [0; LANES]);
        for ((code, vague), place) in codes.iter_mut().zip(&mut vague).zip(places) {
            let place = usize::from(*place) % COLUMNS_MAX;
            (*code, *vague) = (fine.codes[place], fine.vague[place]);
        }
        let mut all = ([0; LANES], [0; LANES]);
        for (lane, test) in tests.iter_mut().enumerate() {
            let (code, base) = (codes[lane], self.base[lane]);
            let steps = code.saturating_sub(base) >> self.moves[lane];
            let is_there = u8::from(code != 0);
            // The greatest byte stands for all bounds beyond, too, of which rows that came later may have any.
            let is_outside = u8::from(code < base) | u8::from(steps >= STEPS_MAX);
            let most = (steps.min(STEPS_MAX) as u8 + 1) * is_there;
            let sure = most - ((vague[lane] | is_outside) & is_there);
            *test = Test { most, sure };
            (all.0[lane], all.1[lane]) = (most, sure);
        }
        all
    }
}

#[cfg(test)]
mod tests {
    use super::super::super::kernel::{Job, Kernel};
    use super::*;

    struct Pass<'b>(&'b Bytes, &'b FineCodes);

    impl Job for Pass<'_> {
        type Output = Passing;

        #[inline(always)]
        fn run<L: Lanes>(self, lanes: L) -> Passing {
            let limits = self.0.limits(lanes, self.1);
            match limits.blocks & 1 {
                0 => Passing { maybe: 0, sure: 0 },
                _ => self.0.pass(lanes, 0, &limits),
            }
        }
    }

    /// A page built for codes between these ends, of one column.
    fn page(least: u16, greatest: u16, rows: &[u16]) -> Bytes {
        let mut codes = [Codes::NONE; COLUMNS_MAX];
        codes[0] = Codes::NONE.with(least).with(greatest);
        let mut bytes = Bytes::new(&codes);
        for (number, code) in (0..).zip(rows) {
            let pushed = bytes.push([(0, *code)].into_iter(), number);
            pushed.expect("it has this column");
        }
        bytes
    }

    fn header(code: u16, is_vague: bool) -> FineCodes {
        let mut fine = FineCodes::NONE;
        (fine.codes[0], fine.vague[0]) = (code, is_vague.into());
        fine
    }

    #[test]
    fn what_is_sure_is_so_and_what_is_out_fails() {
        let ends: [(u16, u16); 4] = [
            (0x1234, 0x1234 + 253),
            (0x1200, 0x1280),
            (300, 40_000),
            (9, 9),
        ];
        for (least, greatest) in ends {
            let span = greatest - least;
            // Later rows lie beyond the ends, too.
            let rows: Vec<u16> = (0..60u16)
                .map(|n| {
                    least.saturating_sub(30) + (u32::from(n) * (u32::from(span) + 300) / 50) as u16
                })
                .collect();
            let bytes = page(least, greatest, &rows);
            let near = rows.iter().flat_map(|row| row.saturating_sub(2)..row + 3);
            let ends = (least..least + 3).chain(greatest - 3..greatest + 9);
            for code in near.chain(ends).filter(|code| *code > 0) {
                for is_vague in [false, true] {
                    let fine = header(code, is_vague);
                    for name in ["portable", "avx2", "avx512"] {
                        let Some(kernel) = Kernel::named(name) else {
                            continue;
                        };
                        let Passing { maybe, sure } = kernel.run(Pass(&bytes, &fine));
                        for (number, row) in rows.iter().enumerate() {
                            // A key that ends its bucket reaches all bounds there.
                            let is_reached = match is_vague {
                                true => *row < code,
                                false => row >> 8 <= code >> 8,
                            };
                            let is_sure = sure >> number & 1 == 1;
                            assert!(is_reached || !is_sure, "{name} {row:x} {code:x} {is_vague}");
                            let may_pass = maybe >> number & 1 == 1;
                            assert!(
                                may_pass || *row > code,
                                "{name} {row:x} {code:x} {is_vague}"
                            );
                        }
                    }
                }
            }
        }
    }

    #[test]
    fn without_the_attribute_only_rows_without_a_bound_pass() {
        let mut bytes = page(100, 200, &[100, 150]);
        bytes.push([].into_iter(), 2).expect("it has no bound");

        let Passing { sure, maybe } = Kernel::PORTABLE.run(Pass(&bytes, &FineCodes::NONE));

        assert_eq!((sure & 7, maybe & 7), (4, 4));
    }
}
