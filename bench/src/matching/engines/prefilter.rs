//! A Bloom filter of the equalities before the exact test.
//!
//! Invariant: the filter of a publication contains that of each subscription that it satisfies; the exact test decides.
//! Source: Barazzutti et al., "Thrifty privacy", DEBS '12: equalities hashed into 128 bits, by containment.

use pulp::Arch;
use sc_matching::Subscription;

use super::rows::Rows;
use crate::matching::engine::{Engine, Pass, Publications};
use crate::matching::language::{Demand, Language, Slots, Unsupported};

/// Bits that an equality sets, at most.
const HASHES: u32 = 3;
/// Filters that are looked at together.
const BLOCK: usize = 16;

/// 128 bits, in two halves.
type Filter = [u64; 2];

#[derive(Default)]
pub(crate) struct Prefilter {
    language: Language,
    rows: Rows,
    /// Of each row of each class.
    filters: Vec<Vec<Filter>>,
    demands: Vec<Demand>,
    arch: Arch,
}

/// Sets the bits of one value of an attribute.
#[inline(always)]
fn set(filter: &mut Filter, attribute: u16, key: u64) {
    let mixed = (key ^ u64::from(attribute) << 48).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let mixed = (mixed ^ (mixed >> 29)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    for n in 0..HASHES {
        let bit = (mixed >> (40 + 7 * n)) & 127;
        filter[bit as usize / 64] |= 1 << (bit % 64);
    }
}

impl Engine for Prefilter {
    fn insert(&mut self, id: u32, subscription: &Subscription) -> Result<(), Unsupported> {
        self.language.demands(subscription, &mut self.demands)?;
        let mut filter = Filter::default();
        for demand in self.demands.iter().filter(|demand| demand.is_equality()) {
            set(&mut filter, demand.attribute, demand.low);
        }
        let place = self.rows.insert(id, &self.demands);
        if self.filters.len() < self.rows.classes.len() {
            self.filters
                .resize_with(self.rows.classes.len(), Vec::default);
        }
        self.filters[place.class as usize].push(filter);
        Ok(())
    }

    fn remove(&mut self, id: u32) -> Result<bool, Unsupported> {
        let place = self.rows.remove(id);
        if let Some(place) = place {
            self.filters[place.class as usize].swap_remove(place.row as usize);
        }
        Ok(place.is_some())
    }

    fn pass<'e>(
        &'e self,
        publications: &'e Publications<'e>,
    ) -> Result<Box<dyn Pass + 'e>, Unsupported> {
        Ok(Box::new(Filtering {
            publications,
            slots: Slots::new(&self.language, &publications.block),
            engine: self,
        }))
    }
}

struct Filtering<'e> {
    publications: &'e Publications<'e>,
    slots: Slots<'e>,
    engine: &'e Prefilter,
}

impl Pass for Filtering<'_> {
    fn ids(&mut self, at: usize, ids: &mut Vec<u32>) {
        ids.clear();
        let keys = self.slots.fill(&self.publications.headers[at]);
        let mut own = Filter::default();
        for (attribute, key) in keys.iter().enumerate().filter(|(_, key)| **key != 0) {
            set(&mut own, attribute as u16, *key);
        }
        let missing = [!own[0], !own[1]];
        let classes = self.engine.rows.classes.iter().zip(&self.engine.filters);
        self.engine.arch.dispatch(
            #[inline(always)]
            || {
                for (class, filters) in classes {
                    candidates(filters, missing, |row| {
                        if class.holds(row, keys) {
                            ids.push(class.ids[row]);
                        }
                    });
                }
            },
        );
    }
}

/// Tells each row whose filter has none of the bits in `missing`.
#[inline(always)]
fn candidates(filters: &[Filter], missing: Filter, mut tell: impl FnMut(usize)) {
    for (number, block) in filters.chunks(BLOCK).enumerate() {
        // Without a branch, so that it becomes vector instructions.
        let mut found = 0_u32;
        for (row, filter) in block.iter().enumerate() {
            let strange = (filter[0] & missing[0]) | (filter[1] & missing[1]);
            found |= u32::from(strange == 0) << row;
        }
        while found != 0 {
            tell(number * BLOCK + found.trailing_zeros() as usize);
            found &= found - 1;
        }
    }
}
