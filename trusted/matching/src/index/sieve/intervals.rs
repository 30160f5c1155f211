//! The rows of a sieve as intervals of codes, row by row.
//!
//! Invariant: codes are all of one width, which holds the greatest; an interval without a bound on one
//! side reaches to the end of all codes there, and none ends before it begins. All rows together have
//! fewer than 2^16.

use alloc::vec::Vec;
use core::ops::Range;

use super::super::kernel::Lanes;
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
    /// By row, where its intervals end.
    ends: Vec<u16>,
}

#[derive(Clone)]
enum Codes {
    Narrow(Spans<u32>),
    Wide(Spans<u64>),
}

/// The least code of each interval, and how far it reaches from there.
#[derive(Clone, Default)]
struct Spans<T> {
    lows: Vec<T>,
    widths: Vec<T>,
}

impl Intervals {
    /// None yet.
    pub(super) fn new(is_narrow: bool, rows: usize) -> Self {
        Self {
            axes: Vec::new(),
            codes: match is_narrow {
                true => Codes::Narrow(Spans::default()),
                false => Codes::Wide(Spans::default()),
            },
            ends: Vec::with_capacity(rows),
        }
    }

    /// Whether another row may be one too many, or one more that comes when the page is built again.
    pub(super) fn is_full(&self) -> bool {
        self.axes.len() + 2 * COLUMNS_MAX > usize::from(u16::MAX)
    }

    /// Adds a row, whose codes are no wider than was said.
    pub(super) fn push(&mut self, row: &[Interval]) {
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
        self.ends.push(self.axes.len() as u16);
    }

    #[inline(always)]
    fn range(&self, row: u16) -> Range<usize> {
        let row = usize::from(row);
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
