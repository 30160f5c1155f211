//! The cuts that rows refer to, and the names that these belong to.
//!
//! Invariant: a name is in use once for every use of a cut of it, and a cut's first word begins with
//! the name's section: sections order as names do in their dictionary, so they are shifted when a
//! name comes or goes. Known names have odd sections; an unknown one of a header falls into the even
//! section between its neighbours, where no cut is.

use super::dictionary::{Dictionary, Shift};
use super::key::{SECTION_SHIFT, Tag, key_words, widen_key};
use super::mask::select;
use super::trace::{Region, Trace};
use crate::index::Kernel;
use crate::index::kernel::pass::Counts;

/// How the places of other cuts and names change.
#[derive(Clone, Copy)]
pub(super) struct Shifts {
    pub(super) cut: Shift,
    pub(super) name: Shift,
}

#[derive(Clone)]
pub(super) struct Cuts {
    names: Dictionary,
    cuts: Dictionary,
}

#[inline(always)]
#[expect(
    clippy::cast_possible_truncation,
    reason = "it was shifted down to 32 bits"
)]
fn low_half(word: u64) -> u32 {
    word as u32
}

/// The section of the name at `place`; 1 is that of the first.
#[inline(always)]
pub(super) fn section_of(place: u32) -> u32 {
    place.wrapping_mul(2).wrapping_sub(1)
}

/// Above the section of every name; keys that are not in use have it.
const NO_SECTION: u32 = u32::MAX;

impl Cuts {
    pub(super) fn new(kernel: Kernel, value_words: usize) -> Self {
        Self {
            names: Dictionary::new(kernel, Region::Sections, Tag::WORDS),
            cuts: Dictionary::new(kernel, Region::Cuts, key_words(value_words)),
        }
    }

    pub(super) fn names_capacity(&self) -> usize {
        self.names.room()
    }

    pub(super) fn capacity(&self) -> usize {
        self.cuts.capacity()
    }

    /// Makes room for so many cuts more, two of each name.
    pub(super) fn reserve(&mut self, more: usize) {
        self.names.reserve(more.div_ceil(2));
        self.cuts.reserve(more);
    }

    /// Makes room for so many cuts, with those in use.
    #[cfg(test)]
    pub(super) fn reserve_in_all(&mut self, room: usize) {
        self.cuts.reserve_in_all(room);
    }

    /// Gives every cut room for values of `value_words`, more than now.
    pub(super) fn widen_values(&mut self, value_words: usize) {
        self.cuts.widen(key_words(value_words), widen_key);
    }

    /// The section of a name.
    pub(super) fn section(&self, trace: &mut impl Trace, tag: Tag) -> u32 {
        let (below, present) = self.names.find(trace, &tag.0);
        select(present, section_of(below + 1), 2 * below)
    }

    /// Adds to the sum of each of `counts` how many cuts lie below the key beside it.
    pub(super) fn rank(&self, trace: &mut impl Trace, keys: &[u64], counts: &mut [Counts]) {
        self.cuts.rank(trace, keys, counts);
    }

    /// Adds a use of the cut `key` of the name of `tag` where `live` is set, and does nothing in as
    /// many steps where it is not. Gives the places of the cut and of the name, and where they are new,
    /// how other places change. The section in `key` is overwritten.
    pub(super) fn acquire(
        &mut self,
        trace: &mut impl Trace,
        tag: Tag,
        key: &mut [u64],
        live: u32,
    ) -> Shifts {
        let name = self.names.acquire(trace, &tag.0, live);
        self.shift_sections(
            trace,
            #[inline(always)]
            move |place| name.up(place),
        );
        let section = u64::from(section_of(name.place));
        key[0] = key[0] & ((1 << SECTION_SHIFT) - 1) | section << SECTION_SHIFT;
        let cut = self.cuts.acquire(trace, key, live);
        Shifts { cut, name }
    }

    /// Ends a use of the cut at `place` where `live` is set; the same steps where it is not. Tells
    /// how other places change when it was the last.
    pub(super) fn release(&mut self, trace: &mut impl Trace, place: u32, live: u32) -> Shifts {
        let section = self.cuts.first_word(trace, place) >> SECTION_SHIFT;
        let section = low_half(section);
        let cut = self.cuts.release(trace, place, live);
        let name = self.names.release(trace, section.div_ceil(2), live);
        self.shift_sections(
            trace,
            #[inline(always)]
            move |place| name.down(place),
        );
        Shifts { cut, name }
    }

    #[inline(always)]
    fn shift_sections(&mut self, trace: &mut impl Trace, shift: impl Fn(u32) -> u32 + Copy) {
        self.cuts.change_first_words(
            trace,
            #[inline(always)]
            move |word| {
                let [section, rest] = [word >> SECTION_SHIFT, word & ((1 << SECTION_SHIFT) - 1)];
                let section = low_half(section);
                let unused = u32::from(section == NO_SECTION).wrapping_neg();
                let shifted = section_of(shift(section.div_ceil(2)));
                u64::from(select(unused, section, shifted)) << SECTION_SHIFT | rest
            },
        );
    }
}
