//! What tells most rows of a sieve without looking at their intervals.
//!
//! Invariant: rows are in it by their numbers; what it says is so, and of those that it cannot tell it says
//! that they may fail.

use alloc::vec::Vec;
use core::ops::Range;

use super::super::page::COLUMNS_MAX;
use super::super::rows::Rows;
use super::bits::{Bits, Draft};
use super::bytes::{Bytes, Codes};
use super::dictionary::Dictionary;
use super::intervals::Interval;

/// One of two, as rows are few or many.
#[derive(Clone)]
pub(super) enum Mesh {
    /// Looks at all rows, and takes memory for each bucket: for few rows that lie near.
    Bits(Bits),
    /// Looks at blocks of rows that are near the header.
    Bytes(Bytes),
}

impl Mesh {
    /// Bitmaps of these rows, with room for those of so many words; `place_of` says which of so many axes is
    /// where.
    pub(super) fn bits(
        rows: &Rows,
        range: Range<usize>,
        dictionary: &Dictionary,
        place_of: &[u8; COLUMNS_MAX],
        (axes, words): (usize, usize),
    ) -> Option<Self> {
        let mut room = [Interval::all(0); COLUMNS_MAX];
        let mut draft = Draft::new(axes, words);
        for (row, number) in range.zip(0..) {
            for own in dictionary.encode(rows.bounds(row), &mut room)? {
                let place = place_of[usize::from(own.axis)];
                draft.mark(place.into(), dictionary.span(*own), number);
            }
        }
        Some(Self::Bits(draft.finish()))
    }

    /// Bytes of these rows, all of which the dictionary serves; `None` if it has no fine codes.
    pub(super) fn bytes(rows: &Rows, range: Range<usize>, dictionary: &Dictionary) -> Option<Self> {
        if !dictionary.is_fine() {
            return None;
        }
        let placed = || range.clone().flat_map(|row| rows.bounds(row));
        let codes: Vec<u16> = placed()
            .map(|own| dictionary.fine_code(own.column, own.least))
            .collect();
        let mut ends = [Codes::NONE; COLUMNS_MAX];
        for (own, code) in placed().zip(&codes) {
            let ends = &mut ends[usize::from(own.column)];
            *ends = ends.with(*code);
        }
        let mut bytes = Bytes::new(&ends);
        let mut codes = codes.iter();
        for (row, number) in range.zip(0..) {
            let bounds = rows.bounds(row).iter().zip(&mut codes);
            let pushed = bytes.push(bounds.map(|(own, code)| (own.column, *code)), number);
            pushed.expect("it has the columns of these rows");
        }
        Some(Self::Bytes(bytes))
    }
}
