//! The bounds of the rows of a sieve, row by row.
//!
//! Invariant: a row's bounds are in order of their columns; codes are all of one width, which holds
//! the greatest.

use alloc::vec::Vec;
use core::ops::Range;

use super::super::page::COLUMNS_MAX;

/// Bounds by row, each as the number of its column and its code there.
#[derive(Clone)]
pub(super) struct Bounds {
    columns: Vec<u8>,
    codes: Codes,
    /// By row, where its bounds end.
    ends: Vec<u16>,
}

#[derive(Clone)]
enum Codes {
    Narrow(Vec<u32>),
    Wide(Vec<u64>),
}

impl Bounds {
    /// None yet, with room for so many rows, and bounds and half as many more.
    pub(super) fn new(is_narrow: bool, rows: usize, bounds: usize) -> Self {
        let bounds = bounds + bounds / 2;
        Self {
            columns: Vec::with_capacity(bounds),
            codes: match is_narrow {
                true => Codes::Narrow(Vec::with_capacity(bounds)),
                false => Codes::Wide(Vec::with_capacity(bounds)),
            },
            ends: Vec::with_capacity(rows),
        }
    }

    /// Whether another row may be one too many.
    pub(super) fn is_full(&self) -> bool {
        self.columns.len() + COLUMNS_MAX > usize::from(u16::MAX)
    }

    /// Adds a row, whose codes are no wider than was said.
    pub(super) fn push(&mut self, bounds: &[(u8, u64)]) {
        self.columns
            .extend(bounds.iter().map(|(column, _)| *column));
        let codes = bounds.iter().map(|(_, code)| *code);
        match &mut self.codes {
            Codes::Narrow(narrow) => narrow.extend(codes.map(|code| code as u32)),
            Codes::Wide(wide) => wide.extend(codes),
        }
        self.ends.push(self.columns.len() as u16);
    }

    #[inline(always)]
    fn range(&self, row: u16) -> Range<usize> {
        let row = usize::from(row);
        let start = row.checked_sub(1).map_or(0, |before| self.ends[before]);
        start.into()..self.ends[row].into()
    }

    /// The bounds of a row.
    pub(super) fn of(&self, row: u16) -> impl Iterator<Item = (u8, u64)> + '_ {
        self.range(row).map(|at| {
            let code = match &self.codes {
                Codes::Narrow(codes) => codes[at].into(),
                Codes::Wide(codes) => codes[at],
            };
            (self.columns[at], code)
        })
    }

    /// Whether each of a row's codes is below the limit of its column.
    #[inline(always)]
    pub(super) fn are_below(&self, row: u16, limits: &[u64; COLUMNS_MAX]) -> bool {
        let range = self.range(row);
        let columns = self.columns[range.clone()].iter();
        let mut limits = columns.map(|column| limits[usize::from(*column) % COLUMNS_MAX]);
        match &self.codes {
            Codes::Narrow(codes) => {
                let codes = codes[range].iter();
                codes
                    .zip(limits)
                    .all(|(code, limit)| u64::from(*code) < limit)
            }
            Codes::Wide(codes) => codes[range]
                .iter()
                .all(|code| limits.next().is_some_and(|limit| *code < limit)),
        }
    }
}
