//! What reading an index takes.
//!
//! Invariant: nothing that a snapshot shows ever changes; the writer changes copies of what is
//! shared.

use alloc::vec::Vec;
use core::{fmt, ptr};

use super::attribute::{AttributeId, Attributes};
use super::column::{Asked, Keys};
use super::exact::Probe;
use super::group::Scanning;
use super::kernel::{Job, Kernel, Lanes};
use super::lookup::Lookup;
use super::matches::{Found, Matches};
use super::partition::Partition;
use super::slab::Slab;
use crate::hash::Key;
use crate::header::{Header, HeaderBlock};
use crate::publication::Publication;
use crate::value::{Value, ValueRef};

/// The subscriptions of an index as they were at one moment; cheap to clone.
#[derive(Clone)]
pub struct Snapshot {
    pub(super) key: Key,
    pub(super) kernel: Kernel,
    pub(super) attributes: Attributes,
    /// Partitions of values, by attribute and value.
    by_value: Lookup,
    pub(super) partitions: Slab<Partition>,
}

impl Snapshot {
    pub(super) fn new(seed: u64, kernel: Kernel) -> Self {
        Self {
            key: Key::from_seed(seed),
            kernel,
            attributes: Attributes::new(),
            by_value: Lookup::new(),
            partitions: Slab::default(),
        }
    }

    /// Looks up the names of a block, once for all its headers.
    #[must_use]
    pub fn names(&self, block: &HeaderBlock<'_>) -> Names<'_> {
        let names = block.names().iter();
        Names {
            snapshot: self,
            known: names.map(|name| self.known(name)).collect(),
        }
    }

    fn known(&self, name: &str) -> Option<Known> {
        let id = self.attributes.find(&self.key, name)?;
        let attribute = self.attributes.get(id);
        Some(Known {
            id,
            rows: attribute.rows,
            has_values: attribute.values > 0,
            asked: attribute.asked,
        })
    }

    /// Sets `matched` to the subscriptions that `header` satisfies, forgetting what it held.
    ///
    /// `names` must come from this snapshot and the header's block. Allocates nothing once `matched`
    /// has grown. Cost: O(attributes + rows that share an access key with the header and are near
    /// it).
    ///
    /// # Panics
    /// When `names` comes from another snapshot or index.
    pub fn matches<'i>(
        &'i self,
        names: &Names<'i>,
        header: &Header<'_>,
        matched: &mut Matches<'i>,
    ) {
        assert!(
            ptr::eq(self, names.snapshot),
            "names were looked up in another index"
        );
        let resolve =
            |index: &crate::NameIndex| names.known.get(usize::from(index.0)).copied().flatten();
        self.match_values(header.attributes(), resolve, matched);
    }

    /// As [`Self::matches`], for one publication that is in no block. Allocates.
    pub fn matches_publication<'i>(&'i self, publication: &Publication, matched: &mut Matches<'i>) {
        let attributes = publication.attributes().iter();
        let values = attributes.map(|(name, value)| (self.known(name), value.borrow()));
        let values: Vec<_> = values.collect();
        self.match_values(&values, |known| *known, matched);
    }

    fn match_values<'i, K>(
        &'i self,
        values: &[(K, ValueRef<'_>)],
        resolve: impl Fn(&K) -> Option<Known>,
        matched: &mut Matches<'i>,
    ) {
        let Matches {
            found,
            keys,
            met,
            filled,
            scanning,
        } = matched;
        found.clear();
        keys.prepare(self.attributes.len());
        self.kernel.run(Match {
            snapshot: self,
            values,
            resolve,
            keys,
            met,
            filled,
            scanning,
            found,
        });
    }

    /// The number of the partition of rows that demand `value` of `attribute`.
    pub(super) fn partition_of(&self, attribute: AttributeId, value: &Value) -> Option<u32> {
        self.find(attribute, value.borrow())
    }

    #[inline]
    fn find(&self, attribute: AttributeId, value: ValueRef<'_>) -> Option<u32> {
        let is_it = |number| {
            let partition: &Partition = self.partitions.get(number);
            partition.attribute == attribute
                && partition.value.as_ref().is_some_and(|own| *own == value)
        };
        self.by_value.find(self.hash(attribute, value), is_it)
    }

    #[inline]
    fn hash(&self, attribute: AttributeId, value: ValueRef<'_>) -> u64 {
        let attribute = (attribute.position() as u64) << 1;
        match value {
            ValueRef::Number(number) => {
                // Each in bits of its own, so that nobody can choose numbers that are hashed alike.
                let excess = u64::from(number.key_excess()) << 32;
                self.key
                    .hash_numbers(attribute | excess, number.order_key())
            }
            ValueRef::Text(text) => self.key.hash(attribute | 1, text.as_bytes()),
        }
    }

    pub(super) fn add_partition(
        &mut self,
        attribute: AttributeId,
        value: Option<Value>,
        page: u32,
    ) -> u32 {
        let hash = value.as_ref().map(|v| self.hash(attribute, v.borrow()));
        let partition = Partition::new(attribute, value, page);
        let number = self.partitions.insert(partition);
        let attribute = self.attributes.get_mut(attribute);
        match hash {
            Some(hash) => {
                attribute.values += 1;
                self.by_value.insert(hash, number);
            }
            None => attribute.rows = Some(number),
        }
        number
    }

    /// Removes a partition without rows; returns the number of its page of few rows.
    pub(super) fn remove_partition(&mut self, number: u32) -> u32 {
        let gone = self.partitions.remove(number);
        let hash = gone.value.as_ref();
        let hash = hash.map(|value| self.hash(gone.attribute, value.borrow()));
        let attribute = self.attributes.get_mut(gone.attribute);
        match hash {
            Some(hash) => {
                attribute.values -= 1;
                self.by_value.remove(hash, number);
            }
            None => attribute.rows = None,
        }
        gone.page()
    }
}

/// One header against all partitions that it meets.
struct Match<'i, 'p, K, R> {
    snapshot: &'i Snapshot,
    values: &'p [(K, ValueRef<'p>)],
    resolve: R,
    keys: &'p mut Keys,
    met: &'p mut Vec<u32>,
    filled: &'p mut Vec<AttributeId>,
    scanning: &'p mut Scanning,
    found: &'p mut Found<'i>,
}

impl<K, R: Fn(&K) -> Option<Known>> Job for Match<'_, '_, K, R> {
    type Output = ();

    #[inline(always)]
    fn run<L: Lanes>(self, lanes: L) {
        let Self {
            snapshot,
            values,
            resolve,
            keys,
            met,
            filled,
            scanning,
            found,
        } = self;
        met.clear();
        met.extend(snapshot.attributes.get(AttributeId::ALWAYS).rows);
        // Only what was left in the middle of a header has any.
        filled.drain(..).for_each(|attribute| keys.empty(attribute));
        for (position, (key, value)) in values.iter().enumerate() {
            let Some(known) = resolve(key) else { continue };
            if !known.asked.is_none() {
                keys.fill(known.id, position, *value, known.asked);
                filled.push(known.id);
            }
            met.extend(known.rows);
            if known.has_values {
                met.extend(snapshot.find(known.id, *value));
            }
        }
        let probe = Probe { keys, values };
        for partition in &*met {
            snapshot
                .partitions
                .get(*partition)
                .scan(lanes, probe, scanning, found);
        }
        filled.drain(..).for_each(|attribute| keys.empty(attribute));
    }
}

/// How many partitions it may have, and none of what is in them.
impl fmt::Debug for Snapshot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Snapshot")
            .field("partitions", &self.partitions.len())
            .finish_non_exhaustive()
    }
}

/// The names of one header block as a snapshot knows them.
#[derive(Clone)]
pub struct Names<'i> {
    snapshot: &'i Snapshot,
    /// By position in the block's table; `None` for a name that no subscription mentions.
    known: Vec<Option<Known>>,
}

/// What matching takes to know of an attribute.
#[derive(Clone, Copy)]
struct Known {
    id: AttributeId,
    /// The partition of rows that every header with this attribute meets.
    rows: Option<u32>,
    /// Whether there are partitions of rows that only headers with a certain value of it meet.
    has_values: bool,
    asked: Asked,
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::collections::BTreeSet;

    #[test]
    fn neighbouring_integers_that_no_double_is_have_hashes_of_their_own() {
        let snapshot = Snapshot::new(1, Kernel::PORTABLE);
        // Key and excess of these differ in the same bits.
        let numbers = (0..1024i64).map(|n| Value::from((1 << 62) + 1025 * n));
        let hash = |value: Value| snapshot.hash(AttributeId::ALWAYS, value.borrow());

        let hashes: BTreeSet<u64> = numbers.map(hash).collect();

        assert_eq!(hashes.len(), 1024);
    }
}
