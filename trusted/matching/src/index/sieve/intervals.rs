//! The rows of a sieve as intervals of codes, row by row.
//!
//! Invariant: codes are all of one width, which holds the greatest; an interval without a bound on one
//! side reaches to the end of all codes there, and none ends before it begins. All rows together have
//! fewer than 2^16.

use alloc::vec::Vec;
use core::ops::Range;

use super::super::kernel::{BLOCK_ROWS, Lanes};
use super::super::page::COLUMNS_MAX;
use super::dictionary::Sight;

/// What a row demands on one axis.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Interval {
    pub(super) axis: u8,
    /// Codes, which are above 0 and below the greatest number of their width.
    pub(super) low: Option<u64>,
    pub(super) high: Option<u64>,
}

impl Interval {
    /// Without a bound.
    pub(super) fn all(axis: u8) -> Self {
        Self {
            axis,
            low: None,
            high: None,
        }
    }
}

/// Intervals by row.
#[derive(Clone)]
pub(super) struct Intervals {
    axes: Vec<u8>,
    codes: Codes,
    rows: u16,
    /// How many every row has, as long as all have as many, so that nothing has to be looked up.
    each: u16,
    /// By row, where its intervals end, once not all have as many.
    ends: Vec<u16>,
}

#[derive(Clone)]
enum Codes {
    Narrow(Spans<u32>),
    Wide(Spans<u64>),
}

/// The least code of each interval, and how far it reaches from there.
#[derive(Clone)]
struct Spans<T> {
    lows: Vec<T>,
    widths: Vec<T>,
}

impl<T> Spans<T> {
    fn with_capacity(intervals: usize) -> Self {
        Self {
            lows: Vec::with_capacity(intervals),
            widths: Vec::with_capacity(intervals),
        }
    }

    fn reserve(&mut self, intervals: usize) {
        self.lows.reserve_exact(intervals);
        self.widths.reserve_exact(intervals);
    }
}

impl Intervals {
    /// None yet; there is room for so many.
    pub(super) fn new(is_narrow: bool, intervals: usize) -> Self {
        Self {
            axes: Vec::with_capacity(intervals),
            codes: match is_narrow {
                true => Codes::Narrow(Spans::with_capacity(intervals)),
                false => Codes::Wide(Spans::with_capacity(intervals)),
            },
            rows: 0,
            each: 0,
            ends: Vec::new(),
        }
    }

    /// Whether another row may be one too many, or one more that comes when the page is built again.
    pub(super) fn is_full(&self) -> bool {
        self.axes.len() + 2 * COLUMNS_MAX > usize::from(u16::MAX)
    }

    /// Adds a row, whose codes are no wider than was said.
    pub(super) fn push(&mut self, row: &[Interval]) {
        // Steps that are small beside what there is: most pages get few rows before they are built again.
        if self.axes.capacity() - self.axes.len() < row.len() {
            let step = row.len() * BLOCK_ROWS;
            self.axes.reserve_exact(step);
            match &mut self.codes {
                Codes::Narrow(spans) => spans.reserve(step),
                Codes::Wide(spans) => spans.reserve(step),
            }
        }
        self.axes.extend(row.iter().map(|own| own.axis));
        match &mut self.codes {
            Codes::Narrow(spans) => {
                for own in row {
                    let low = own.low.unwrap_or(0) as u32;
                    let high = own.high.map_or(u32::MAX, |high| high as u32);
                    spans.lows.push(low);
                    debug_assert!(low <= high, "what contradicts itself has no row");
                    spans.widths.push(high.wrapping_sub(low));
                }
            }
            Codes::Wide(spans) => {
                for own in row {
                    let low = own.low.unwrap_or(0);
                    let high = own.high.unwrap_or(u64::MAX);
                    debug_assert!(low <= high, "what contradicts itself has no row");
                    spans.lows.push(low);
                    spans.widths.push(high.wrapping_sub(low));
                }
            }
        }
        debug_assert!(self.axes.len() <= usize::from(u16::MAX), "a page is full");
        let each = row.len() as u16;
        if self.rows == 0 {
            self.each = each;
        }
        if self.ends.is_empty() && self.each != each {
            self.ends = (1..=self.rows).map(|rows| rows * self.each).collect();
        }
        if !self.ends.is_empty() || self.each != each {
            self.ends.push(self.axes.len() as u16);
        }
        self.rows += 1;
    }

    #[inline(always)]
    fn range(&self, row: u16) -> Range<usize> {
        let (row, each) = (usize::from(row), usize::from(self.each));
        if self.ends.is_empty() {
            return row * each..(row + 1) * each;
        }
        let start = row.checked_sub(1).map_or(0, |before| self.ends[before]);
        start.into()..self.ends[row].into()
    }

    /// The intervals of a row.
    pub(super) fn of(&self, row: u16) -> impl Iterator<Item = Interval> + '_ {
        self.range(row).map(|at| {
            let (low, high) = match &self.codes {
                Codes::Narrow(spans) => {
                    let low = spans.lows[at];
                    let high = low.wrapping_add(spans.widths[at]);
                    (low.into(), (high != u32::MAX).then_some(high.into()))
                }
                Codes::Wide(spans) => {
                    let low = spans.lows[at];
                    let high = low.wrapping_add(spans.widths[at]);
                    (low, (high != u64::MAX).then_some(high))
                }
            };
            Interval {
                axis: self.axes[at],
                low: (low != 0).then_some(low),
                high,
            }
        })
    }

    /// Whether a header is in every interval of a row.
    #[inline(always)]
    pub(super) fn hold<L: Lanes>(&self, lanes: L, row: u16, sight: &Sight) -> bool {
        let range = self.range(row);
        let axes = &self.axes[range.clone()];
        match &self.codes {
            Codes::Narrow(spans) => lanes.within(
                &spans.lows[range.clone()],
                &spans.widths[range],
                axes,
                &sight.narrow,
            ),
            Codes::Wide(spans) => {
                let own = spans.lows[range.clone()].iter().zip(&spans.widths[range]);
                own.zip(axes).fold(true, |all, ((low, width), axis)| {
                    let code = sight.codes[usize::from(*axis) % COLUMNS_MAX];
                    all & (code.wrapping_sub(*low) <= *width)
                })
            }
        }
    }
}
