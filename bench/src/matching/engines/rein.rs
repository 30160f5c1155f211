//! Bitmaps of what fails: for each attribute and each bucket of its values, the rows that no value of it can satisfy.
//!
//! Invariant: a row whose demand ends or begins in a bucket is in the bucket's list and not in its bitmap, so each row is
//! either out by a bitmap, compared exactly, or in.
//! Source: REIN, Qian et al., INFOCOM '14: find what does not match, by buckets of the bounds; the lists of its buckets
//! are joined into bitmaps here, which an OR over the attributes of a header then reads.

use pulp::Arch;
use sc_matching::{Number, Subscription};

use crate::matching::engine::{Engine, Pass, Publications, Sample};
use crate::matching::language::{Demand, Language, Slots, Unsupported};

/// Buckets for the numbers of an attribute, at most; their borders follow the bounds of a sample.
const NUMBERS: usize = 128;
/// Buckets for its texts.
const TEXTS: usize = 16;

pub(crate) struct Rein {
    language: Language,
    /// By number of the attribute.
    attributes: Vec<Attribute>,
    /// Rows that are free.
    dead: Vec<u64>,
    ids: Vec<u32>,
    demands: Vec<Box<[Demand]>>,
    free: Vec<u32>,
    /// The row of each id. Ids are dense here; elsewhere this would be a hash table.
    places: Vec<Option<u32>>,
    scratch: Vec<Demand>,
    arch: Arch,
}

/// The buckets of one attribute.
struct Attribute {
    /// The first key of each bucket of numbers but the first.
    borders: Vec<u64>,
    buckets: Vec<Bucket>,
    /// The rows with a demand on it: all of them fail where it is absent.
    demanded: Vec<u64>,
    rows: usize,
}

#[derive(Clone, Default)]
struct Bucket {
    /// Rows that every value in it fails.
    failing: Vec<u64>,
    /// Rows that some of its values may fail.
    partial: Vec<(u32, Demand)>,
}

impl Attribute {
    fn new(mut bounds: Vec<u64>) -> Self {
        bounds.sort_unstable();
        bounds.dedup();
        let parts = NUMBERS.min(bounds.len().max(1));
        let border = |part: usize| bounds.get(part * bounds.len() / parts).copied();
        let mut borders: Vec<u64> = (1..parts).filter_map(border).collect();
        borders.dedup();
        Self {
            buckets: vec![Bucket::default(); borders.len() + 1 + TEXTS],
            borders,
            demanded: Vec::new(),
            rows: 0,
        }
    }

    #[inline]
    fn bucket(&self, key: u64) -> usize {
        if key < Number::KEY_MIN {
            return self.borders.len() + 1 + key as usize % TEXTS;
        }
        self.borders.partition_point(|border| *border <= key)
    }

    fn put(&mut self, row: u32, demand: Demand) {
        let (first, last) = (self.bucket(demand.low), self.bucket(demand.high()));
        for (number, bucket) in self.buckets.iter_mut().enumerate() {
            if number < first || last < number {
                set(&mut bucket.failing, row);
            }
        }
        self.buckets[first].partial.push((row, demand));
        if last != first {
            self.buckets[last].partial.push((row, demand));
        }
        set(&mut self.demanded, row);
        self.rows += 1;
    }

    fn take(&mut self, row: u32, demand: Demand) {
        let (first, last) = (self.bucket(demand.low), self.bucket(demand.high()));
        for bucket in &mut self.buckets {
            clear(&mut bucket.failing, row);
        }
        for bucket in [first, last] {
            let partial = &mut self.buckets[bucket].partial;
            if let Some(at) = partial.iter().position(|(own, _)| *own == row) {
                partial.swap_remove(at);
            }
        }
        clear(&mut self.demanded, row);
        self.rows -= 1;
    }
}

fn set(bitmap: &mut Vec<u64>, row: u32) {
    let word = row as usize / 64;
    if bitmap.len() <= word {
        bitmap.resize(word + 1, 0);
    }
    bitmap[word] |= 1 << (row % 64);
}

fn clear(bitmap: &mut [u64], row: u32) {
    if let Some(word) = bitmap.get_mut(row as usize / 64) {
        *word &= !(1 << (row % 64));
    }
}

impl Rein {
    /// Learns the borders of the buckets from the bounds of the sample.
    pub(crate) fn new(sample: &Sample<'_>) -> Result<Self, Unsupported> {
        let mut language = Language::default();
        let mut bounds: Vec<Vec<u64>> = Vec::new();
        let mut demands = Vec::new();
        for subscription in sample.subscriptions {
            language.demands(subscription, &mut demands)?;
            bounds.resize(language.attributes(), Vec::new());
            for demand in &demands {
                let ends = [demand.low, demand.high()].into_iter();
                let ends = ends.filter(|end| (Number::KEY_MIN + 1..Number::KEY_MAX).contains(end));
                bounds[usize::from(demand.attribute)].extend(ends);
            }
        }
        Ok(Self {
            language,
            attributes: bounds.into_iter().map(Attribute::new).collect(),
            dead: Vec::new(),
            ids: Vec::new(),
            demands: Vec::new(),
            free: Vec::new(),
            places: Vec::new(),
            scratch: Vec::new(),
            arch: Arch::new(),
        })
    }

    fn take_row(&mut self, id: u32) -> u32 {
        let row = self.free.pop().unwrap_or_else(|| {
            self.ids.push(0);
            self.demands.push(Box::default());
            self.ids.len() as u32 - 1
        });
        self.ids[row as usize] = id;
        set(&mut self.dead, row);
        clear(&mut self.dead, row);
        row
    }
}

impl Engine for Rein {
    fn insert(&mut self, id: u32, subscription: &Subscription) -> Result<(), Unsupported> {
        let mut demands = std::mem::take(&mut self.scratch);
        self.language.demands(subscription, &mut demands)?;
        self.attributes
            .resize_with(self.language.attributes(), || Attribute::new(Vec::new()));
        let row = self.take_row(id);
        for demand in &demands {
            self.attributes[usize::from(demand.attribute)].put(row, *demand);
        }
        self.demands[row as usize] = demands[..].into();
        self.scratch = demands;
        if self.places.len() <= id as usize {
            self.places.resize(id as usize + 1, None);
        }
        self.places[id as usize] = Some(row);
        Ok(())
    }

    fn remove(&mut self, id: u32) -> Result<bool, Unsupported> {
        let place = self.places.get_mut(id as usize).and_then(Option::take);
        let Some(row) = place else {
            return Ok(false);
        };
        for demand in std::mem::take(&mut self.demands[row as usize]) {
            self.attributes[usize::from(demand.attribute)].take(row, demand);
        }
        set(&mut self.dead, row);
        self.free.push(row);
        Ok(true)
    }

    fn pass<'e>(
        &'e self,
        publications: &'e Publications<'e>,
    ) -> Result<Box<dyn Pass + 'e>, Unsupported> {
        Ok(Box::new(Marking {
            publications,
            slots: Slots::new(&self.language, &publications.block),
            engine: self,
            failed: Vec::new(),
        }))
    }
}

struct Marking<'e> {
    publications: &'e Publications<'e>,
    slots: Slots<'e>,
    engine: &'e Rein,
    failed: Vec<u64>,
}

impl Pass for Marking<'_> {
    fn ids(&mut self, at: usize, ids: &mut Vec<u32>) {
        ids.clear();
        let Self { engine, failed, .. } = self;
        let keys = self.slots.fill(&self.publications.headers[at]);
        failed.clone_from(&engine.dead);
        let asked = engine.attributes.iter().zip(keys);
        let asked = asked.filter(|(attribute, _)| attribute.rows > 0);
        engine.arch.dispatch(
            #[inline(always)]
            || asked.for_each(|(attribute, key)| mark(attribute, *key, failed)),
        );
        for (number, word) in failed.iter().enumerate() {
            let mut matching = !word;
            while matching != 0 {
                let row = number * 64 + matching.trailing_zeros() as usize;
                // The last word has bits beyond the last row.
                ids.extend(engine.ids.get(row));
                matching &= matching - 1;
            }
        }
    }
}

/// Marks the rows that fail for this value of an attribute.
#[inline(always)]
fn mark(attribute: &Attribute, key: u64, failed: &mut [u64]) {
    if key == 0 {
        return unite(failed, &attribute.demanded);
    }
    let bucket = &attribute.buckets[attribute.bucket(key)];
    unite(failed, &bucket.failing);
    for (row, demand) in &bucket.partial {
        failed[*row as usize / 64] |= u64::from(!demand.holds(key)) << (row % 64);
    }
}

#[inline(always)]
fn unite(failed: &mut [u64], others: &[u64]) {
    let pairs = failed.iter_mut().zip(others);
    pairs.for_each(|(own, other)| *own |= other);
}
