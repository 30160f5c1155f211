//! The axes of the sieves of a group, and a header on them.
//!
//! Invariant: a page is read by the dictionary that it was written by; pages of a group share one
//! where it serves them.

use alloc::boxed::Box;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::ops::Range;
use core::ptr;

use super::super::column::Column;
use super::super::kernel::Lanes;
use super::super::page::COLUMNS_MAX;
use super::super::rows::{Placed, Rows};
use super::axis::{Axis, BUCKETS, Ends};
use super::bits::Span;
use super::fine::{Fine, FineCodes, complement};
use super::intervals::Interval;

/// Bounds of a column that are looked at for its buckets.
const SAMPLE: usize = 256;

/// Bounds of all columns that are looked at for fine codes, at most.
const FINE_SAMPLE: usize = 6 << 10;

/// Bounds of a page whose fine codes are no further apart are not told apart.
const BLURRED: u16 = 8;

/// No column.
const NONE: u8 = u8::MAX;

/// The axes on which rows of a group have bounds.
pub(in super::super) struct Dictionary {
    axes: Box<[Sides]>,
    /// By axis; without any where only bitmaps are made.
    fine: Box<[Arc<Fine>]>,
    /// By place of a column, its axis, or [`NONE`].
    axis_of: [u8; COLUMNS_MAX],
}

/// An axis and the places of its columns, or [`NONE`].
struct Sides {
    axis: Axis,
    low: u8,
    high: u8,
}

/// A header on the axes of one dictionary.
#[derive(Clone)]
pub(super) struct Sight {
    /// Where that lies, 0 for none.
    dictionary: usize,
    pub(super) codes: [u64; COLUMNS_MAX],
    /// The same, where they fit.
    pub(super) narrow: [u32; COLUMNS_MAX],
    /// Which bitmaps say who fails.
    pub(super) failing: [u8; COLUMNS_MAX],
    /// Which ones say who may.
    pub(super) unsure: [u8; COLUMNS_MAX],
    /// By place of a column, if they were asked for.
    fine: FineCodes,
    has_fine: bool,
    /// Whether on some axis it is at one place for lower bounds and at another for upper ones.
    pub(super) is_torn: bool,
}

/// In place of a bucket: rows with any bound.
pub(super) const BOUND: u8 = BUCKETS as u8;

/// In place of a bucket: no row.
pub(super) const NOBODY: u8 = BOUND + 1;

impl Sight {
    /// On no dictionary yet.
    pub(super) fn new() -> Self {
        Self {
            dictionary: 0,
            codes: [0; COLUMNS_MAX],
            narrow: [0; COLUMNS_MAX],
            failing: [0; COLUMNS_MAX],
            unsure: [0; COLUMNS_MAX],
            fine: FineCodes::NONE,
            has_fine: false,
            is_torn: false,
        }
    }

    /// Is on no dictionary.
    pub(super) fn forget(&mut self) {
        self.dictionary = 0;
    }

    /// Puts the header with these keys on the axes of `dictionary`, unless it is on them.
    #[inline(always)]
    pub(super) fn turn_to<L: Lanes>(
        &mut self,
        lanes: L,
        dictionary: &Dictionary,
        keys: &[u64; COLUMNS_MAX],
    ) {
        let address = ptr::from_ref(dictionary).addr();
        if self.dictionary == address {
            return;
        }
        self.dictionary = address;
        self.has_fine = false;
        self.is_torn = false;
        for (at, sides) in dictionary.axes.iter().enumerate() {
            let at = at % COLUMNS_MAX;
            let (low, high) = sides.keys(keys);
            let code = sides.axis.code(low);
            self.codes[at] = code;
            self.narrow[at] = code.min(u32::MAX.into()) as u32;
            let bucket = sides.axis.bucket(lanes, code) as u8;
            (self.failing[at], self.unsure[at]) = (bucket, bucket);
            if low != !high {
                // It lacks the attribute, or has a text where others have numbers.
                let lacks = low == 0 && high == 0;
                self.is_torn |= !lacks;
                self.failing[at] = if lacks { BOUND } else { NOBODY };
                self.unsure[at] = BOUND;
            }
        }
    }

    /// The fine codes of the header with these keys, which was put on the axes of `dictionary`.
    #[inline(always)]
    pub(super) fn fine<L: Lanes>(
        &mut self,
        lanes: L,
        dictionary: &Dictionary,
        keys: &[u64; COLUMNS_MAX],
    ) -> &FineCodes {
        if !self.has_fine {
            self.has_fine = true;
            for (sides, fine) in dictionary.axes.iter().zip(&dictionary.fine) {
                self.set_fine(lanes, sides, fine, keys);
            }
        }
        &self.fine
    }

    #[inline(always)]
    fn set_fine<L: Lanes>(
        &mut self,
        lanes: L,
        sides: &Sides,
        fine: &Fine,
        keys: &[u64; COLUMNS_MAX],
    ) {
        let FineCodes { codes, vague } = &mut self.fine;
        // Complements of 0 and of the greatest key are what stands for no key.
        let low = usize::from(sides.low) % COLUMNS_MAX;
        if sides.low != NONE {
            let bucket = fine.bucket(lanes, keys[low]);
            let is_there = keys[low] != 0;
            codes[low] = fine.code(bucket, keys[low]) * u16::from(is_there);
            vague[low] = u8::from(is_there & !bucket.ends);
        }
        if sides.high != NONE {
            let high = usize::from(sides.high) % COLUMNS_MAX;
            let key = !keys[high];
            let bucket = fine.bucket(lanes, key);
            let is_there = keys[high] != 0;
            codes[high] = complement(fine.code(bucket, key)) * u16::from(is_there);
            vague[high] = u8::from(is_there & !bucket.begins);
        }
    }
}

impl Sides {
    /// A header's keys for lower and for upper bounds.
    #[inline(always)]
    fn keys(&self, keys: &[u64; COLUMNS_MAX]) -> (u64, u64) {
        let key = |place: u8| keys[usize::from(place) % COLUMNS_MAX];
        let complement = |key: u64| if key == 0 { 0 } else { !key };
        match (self.low, self.high) {
            (low, NONE) => (key(low), complement(key(low))),
            (NONE, high) => (complement(key(high)), key(high)),
            (low, high) => (key(low), key(high)),
        }
    }
}

impl Dictionary {
    /// A dictionary for the rows of a group with these columns, and what `old` was made for; with fine
    /// codes if asked for, which are those of `old` unless these are blurred.
    pub(in super::super) fn new(
        columns: &[Column],
        rows: &Rows,
        old: Option<&Self>,
        is_fine: bool,
        are_blurred: bool,
    ) -> Self {
        let mut numbers: Vec<u32> = columns.iter().map(|column| column.axis()).collect();
        numbers.sort_unstable();
        numbers.dedup();
        let mut axis_of = [NONE; COLUMNS_MAX];
        let mut ends: Vec<(Ends, [u8; 2])> = Vec::new();
        for number in numbers {
            let mut places = [NONE; 2];
            for (place, column) in columns.iter().enumerate() {
                if column.axis() == number {
                    places[usize::from(column.is_high())] = place as u8;
                    axis_of[place] = ends.len() as u8;
                }
            }
            ends.push((Ends::default(), places));
        }
        let step = rows.len().div_ceil(SAMPLE).max(1);
        let mut taken = [0; COLUMNS_MAX];
        for row in (0..rows.len()).step_by(step).chain(0..rows.len()) {
            for Placed { column, least } in rows.bounds(row) {
                let place = usize::from(*column);
                // All have to fit; some tell how they are spread.
                let (ends, places) = &mut ends[usize::from(axis_of[place])];
                let is_high = places[1] == *column;
                let key = if is_high { !least } else { *least };
                ends.range(key);
                if taken[place] < SAMPLE {
                    taken[place] += 1;
                    ends.top(if is_high { key } else { key - 1 });
                }
            }
        }
        for sides in old.iter().flat_map(|old| &old.axes) {
            let place = if sides.low == NONE {
                sides.high
            } else {
                sides.low
            };
            ends[usize::from(axis_of[usize::from(place)])]
                .0
                .axis(&sides.axis);
        }
        let axes = ends.into_iter().map(|(ends, [low, high])| Sides {
            axis: Axis::new(ends),
            low,
            high,
        });
        let mut dictionary = Self {
            axes: axes.collect(),
            fine: Box::default(),
            axis_of,
        };
        if is_fine {
            dictionary.fine = dictionary.fine(rows, old, are_blurred);
        }
        dictionary
    }

    /// Fine codes as `old` has them, and else for bounds as these rows have them; for both if those of
    /// `old` are blurred.
    fn fine(&self, rows: &Rows, old: Option<&Self>, are_blurred: bool) -> Box<[Arc<Fine>]> {
        let mut counts = [0usize; COLUMNS_MAX];
        let placed = || (0..rows.len()).flat_map(|row| rows.bounds(row));
        for own in placed() {
            counts[usize::from(own.column)] += 1;
        }
        // Evenly over the rows, which are in some order.
        let share = (FINE_SAMPLE / rows.columns().max(1)).max(1);
        let steps = counts.map(|count| count.div_ceil(share).max(1));
        let mut samples: Box<[Vec<u64>]> = self.axes.iter().map(|_| Vec::new()).collect();
        let mut passed = [0; COLUMNS_MAX];
        for Placed { column, least } in placed() {
            let place = usize::from(*column);
            if passed[place] % steps[place] == 0 {
                let axis = usize::from(self.axis_of[place]);
                let is_high = self.axes[axis].high == *column;
                samples[axis].push(if is_high { !least } else { *least });
            }
            passed[place] += 1;
        }
        let known = |sides: &Sides| {
            let place = if sides.low == NONE {
                sides.high
            } else {
                sides.low
            };
            let old = old?;
            old.fine.get(usize::from(old.axis_of[usize::from(place)]))
        };
        let axes = self.axes.iter().zip(samples);
        let fine = axes.map(|(sides, mut sample)| match known(sides) {
            Some(fine) if !are_blurred => Arc::clone(fine),
            Some(fine) => {
                // As many of both, so that pages to come are told apart wherever they are.
                let values: Vec<u64> = fine.values().collect();
                let more = sample.len().max(values.len());
                sample.extend(values.into_iter().cycle().take(more));
                Arc::new(Fine::new(sample))
            }
            None => Arc::new(Fine::new(sample)),
        });
        fine.collect()
    }

    /// Whether most columns on which these rows differ have fine codes that tell next to none of them
    /// apart.
    pub(in super::super) fn blurs(&self, rows: &Rows, range: Range<usize>) -> bool {
        if !self.is_fine() {
            return false;
        }
        let mut ends = [None::<(u64, u64)>; COLUMNS_MAX];
        for Placed { column, least } in range.flat_map(|row| rows.bounds(row)) {
            let own = &mut ends[usize::from(*column)];
            let (low, high) = own.get_or_insert((*least, *least));
            (*low, *high) = ((*low).min(*least), (*high).max(*least));
        }
        let differing = (0..).zip(ends).filter_map(|(place, own)| {
            let (low, high) = own.filter(|(low, high)| low < high)?;
            // Without an axis it has to be made anew anyhow.
            let has_axis = self.axis_of[usize::from(place)] != NONE;
            let steps = has_axis.then(|| {
                let (low, high) = (self.fine_code(place, low), self.fine_code(place, high));
                high.abs_diff(low)
            });
            Some(steps.is_some_and(|steps| steps < BLURRED))
        });
        let (all, blurred) = differing.fold((0, 0), |(all, blurred), is_blurred: bool| {
            (all + 1, blurred + usize::from(is_blurred))
        });
        2 * blurred > all
    }

    /// Whether it has fine codes.
    pub(in super::super) fn is_fine(&self) -> bool {
        !self.fine.is_empty()
    }

    /// The fine code of a bound on the column at `place`, of which it has the axis.
    pub(super) fn fine_code(&self, place: u8, least: u64) -> u16 {
        let axis = usize::from(self.axis_of[usize::from(place)]);
        let fine = &self.fine[axis];
        match self.axes[axis].high == place {
            true => complement(fine.code(fine.bucket_of(!least), !least)),
            false => fine.code(fine.bucket_of(least), least),
        }
    }

    /// The buckets of an interval.
    pub(super) fn span(&self, interval: Interval) -> Span {
        let axis = &self.axes[usize::from(interval.axis)].axis;
        Span {
            first: interval.low.map_or(0, |code| axis.bucket_of(code)),
            last: interval
                .high
                .map_or(BUCKETS - 1, |code| axis.bucket_of(code)),
            fills_first: interval.low.is_none_or(|code| axis.begins(code)),
            fills_last: interval.high.is_none_or(|code| axis.ends(code)),
        }
    }

    /// Whether codes on all axes take no more than 32 bits.
    pub(super) fn is_narrow(&self) -> bool {
        self.axes.iter().all(|sides| sides.axis.is_narrow())
    }

    /// Writes a row's bounds as intervals; `None` if one cannot be written.
    pub(super) fn encode<'r>(
        &self,
        bounds: &[Placed],
        room: &'r mut [Interval; COLUMNS_MAX],
    ) -> Option<&'r [Interval]> {
        let mut count = 0;
        for Placed { column, least } in bounds {
            let number = self.axis_of[usize::from(*column)];
            let sides = self.axes.get(usize::from(number))?;
            let known = room[..count].iter().position(|own| own.axis == number);
            let at = known.unwrap_or(count);
            if at == count {
                room[at] = Interval::all(number);
                count += 1;
            }
            match sides.high == *column {
                true => room[at].high = Some(sides.axis.encode(!least)?),
                false => room[at].low = Some(sides.axis.encode(*least)?),
            }
        }
        Some(&room[..count])
    }

    /// The bounds of an interval.
    pub(super) fn decode(&self, interval: Interval) -> impl Iterator<Item = Placed> {
        let sides = &self.axes[usize::from(interval.axis)];
        let low = interval.low.map(|code| Placed {
            column: sides.low,
            least: sides.axis.decode(code),
        });
        let high = interval.high.map(|code| Placed {
            column: sides.high,
            least: !sides.axis.decode(code),
        });
        low.into_iter().chain(high)
    }

    /// Whether the header with these keys is in an interval, which does not take it to be at one place.
    pub(super) fn holds(&self, interval: Interval, keys: &[u64; COLUMNS_MAX]) -> bool {
        self.decode(interval)
            .all(|own| own.least <= keys[usize::from(own.column) % COLUMNS_MAX])
    }
}

#[cfg(test)]
mod tests {
    use super::super::super::SubscriptionId;
    use super::super::super::attribute::AttributeId;
    use super::super::super::column::Side;
    use super::*;

    /// Rows with two lower bounds each.
    fn rows(bounds: impl Iterator<Item = [u64; 2]>) -> Rows {
        let mut rows = Rows::default();
        rows.begin(2);
        for (id, bounds) in (0..).zip(bounds) {
            let placed = (0..).zip(bounds);
            let placed = placed.map(|(column, least)| Placed { column, least });
            rows.push(SubscriptionId(id), placed, None);
        }
        rows
    }

    #[test]
    fn codes_that_far_rows_blur_are_made_anew_for_both() {
        let columns = [1, 2].map(|at| Column::new(AttributeId::at(at), Side::WholeLow));
        let far = rows((1..2000).map(|n| [(1 << 50) + 77 * n, (1 << 51) + 99 * n]));
        let near = rows((1..2000).map(|n| [10_000 + 7 * n, 20_000 + 9 * n]));
        let of_far = Dictionary::new(&columns, &far, None, true, false);

        assert!(!of_far.blurs(&far, 0..1999));
        assert!(of_far.blurs(&near, 0..1999));
        let kept = Dictionary::new(&columns, &near, Some(&of_far), true, false);
        assert!(kept.blurs(&near, 0..1999));
        let anew = Dictionary::new(&columns, &near, Some(&of_far), true, true);
        assert!(!anew.blurs(&near, 0..1999));
        assert!(!anew.blurs(&far, 0..1999));
    }
}
