//! The headers that pass over the rows together.
//!
//! Invariant: every header of a batch has as many keys as the widest has attributes, at least one;
//! what is missing has the key of all zeros, whose rank is 0, and no test holds for rank 0.

use alloc::vec::Vec;

use super::cuts::{Cuts, section_of};
use super::key::{Keys, Side, key_words};
use super::mask::equal;
use super::trace::{Region, Trace, read};
use crate::header::NameIndex;
use crate::index::kernel::pass::{ByName, Counts, NAMES};
use crate::value::ValueRef;

/// Headers for one pass over the rows, which are fetched once for all of them.
pub(super) const BATCH: usize = 8;

/// Keys and ranks of a batch.
#[derive(Default)]
pub(super) struct Batch {
    width: usize,
    value_words: usize,
    keys: Vec<u64>,
    /// The section of each value.
    sections: Vec<u32>,
    counts: Vec<Counts>,
    ranks: Vec<u32>,
    /// The ranks of each header by name, if names are few.
    by_name: Vec<ByName>,
}

/// A rank, which is at most the number of cuts.
#[expect(
    clippy::cast_possible_truncation,
    reason = "places of cuts are 32 bits"
)]
fn low_half(counts: &Counts) -> u32 {
    counts.sum() as u32
}

impl Batch {
    /// Begins a batch of headers of at most `width` attributes.
    pub(super) fn begin(&mut self, width: usize, value_words: usize) {
        (self.width, self.value_words) = (width.max(1), value_words);
        self.keys.clear();
        self.sections.clear();
    }

    /// Adds a header, as values with the sections of their names, of at most as many attributes as the batch was begun with.
    pub(super) fn push<'v>(&mut self, attributes: impl Iterator<Item = (u32, ValueRef<'v>)>) {
        let value_words = self.value_words;
        let end = self.keys.len() + self.width * key_words(value_words);
        for (section, value) in attributes {
            Keys {
                section,
                value_words,
            }
            .append(value, Side::At, &mut self.keys);
            self.sections.push(section);
        }
        self.keys.resize(end, 0);
        self.sections.resize(end / key_words(value_words), 0);
    }

    /// The ranks of all values.
    pub(super) fn rank(&mut self, trace: &mut impl Trace, cuts: &Cuts) -> Ranks<'_> {
        let values = self.keys.len() / key_words(self.value_words);
        self.counts.clear();
        self.counts.resize(values, Counts::default());
        cuts.rank(trace, &self.keys, &mut self.counts);
        self.ranks.clear();
        self.ranks.extend(self.counts.iter().map(low_half));
        self.by_name.clear();
        if cuts.names_capacity() <= NAMES {
            let headers = self.ranks.chunks_exact(self.width);
            let headers = headers.zip(self.sections.chunks_exact(self.width));
            let headers = (0..).step_by(self.width).zip(headers);
            let tables =
                headers.map(|(first, (ranks, sections))| by_name(trace, first, ranks, sections));
            self.by_name.extend(tables);
        }
        Ranks {
            ranks: &self.ranks,
            by_name: &self.by_name,
            width: self.width,
        }
    }
}

/// Puts each rank of a header, whose first value is number `first` of all, where its name is, by a pass over
/// all places; one without a name is nowhere.
fn by_name(trace: &mut impl Trace, first: usize, ranks: &[u32], sections: &[u32]) -> ByName {
    let mut table = ByName([0; NAMES]);
    for ((rank, section), value) in ranks.iter().zip(sections).zip(first..) {
        trace.touch(Region::Values, value);
        for (place, own) in (1..).zip(1..=NAMES) {
            table.0[own % NAMES] |= rank & equal(section_of(place), *section);
        }
    }
    table
}

/// The ranks of the values of a batch.
#[derive(Clone, Copy)]
pub(super) struct Ranks<'b> {
    ranks: &'b [u32],
    by_name: &'b [ByName],
    width: usize,
}

/// The ranks of the values of a header.
pub(super) struct HeaderRanks<'b> {
    pub(super) all: &'b [u32],
    /// By name, if names are few.
    pub(super) by_name: Option<&'b ByName>,
}

impl<'b> Ranks<'b> {
    #[inline]
    pub(super) fn of_each_header(self) -> impl Iterator<Item = HeaderRanks<'b>> {
        let headers = self.ranks.chunks_exact(self.width).enumerate();
        headers.map(move |(header, all)| HeaderRanks {
            all,
            by_name: self.by_name.get(header),
        })
    }
}

/// The section at `wanted`, by a pass over all of `sections`.
pub(super) fn section_at(trace: &mut impl Trace, sections: &[u32], wanted: NameIndex) -> u32 {
    let mut found = 0;
    for index in 0..sections.len() {
        let own = read(trace, Region::Names, sections, index);
        let here = u32::try_from(index).map_or(0, |index| equal(index, u32::from(wanted.0)));
        found |= own & here;
    }
    found
}
