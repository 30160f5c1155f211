//! Many subscriptions arranged so that a header meets few of them.
//!
//! Invariant: gives exactly the answers of [`Subscription::matches`]. Each subscription has one
//! *access key*, an attribute with the values it admits, and lies where only headers with such an
//! attribute look.
//! Source: hash partition by the rarest equality, Fabret et al., SIGMOD '01; the rest lies by
//! attribute and is scanned.
//!
//! What the interface keeps open: a reader needs only `&Index`, so one writer may publish a changed
//! copy beside readers of the old one; `insert` and `remove` promise no arrangement, so work can be
//! put off and done in bounded portions by later calls; [`Matches`] hands out ids on demand, so it
//! may hold runs and masks instead.

mod attribute;
mod matches;
mod partition;
mod plan;
mod row;

use alloc::boxed::Box;
use alloc::vec::Vec;
use core::{fmt, ptr};

use hashbrown::HashTable;

pub use matches::Matches;

use crate::hash::Key;
use crate::header::{Header, HeaderBlock};
use crate::publication::Publication;
use crate::subscription::Subscription;
use crate::value::{Value, ValueRef};
use attribute::{AttributeId, Attributes};
use plan::{Admits, Demand, Plan};
use row::{Probe, Row};

/// The caller's number for a subscription in an index.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SubscriptionId(pub u32);

/// Subscriptions by id, and by what they demand.
#[derive(Clone)]
pub struct Index {
    key: Key,
    entries: HashTable<Entry>,
    attributes: Attributes,
}

/// What must be undone when a subscription goes.
#[derive(Clone)]
struct Entry {
    id: SubscriptionId,
    /// `None` for a subscription that no header can satisfy.
    access: Option<Access>,
    /// The attributes it names.
    attributes: Box<[AttributeId]>,
    /// Its equalities.
    equalities: Box<[(AttributeId, Value)]>,
}

/// Where the row of a subscription lies.
#[derive(Clone)]
enum Access {
    /// In the partition of each of these values.
    Values(AttributeId, Box<[Value]>),
    /// Among the rows that every header with this attribute meets.
    Attribute(AttributeId),
}

/// An `in` of more values than this is no access key, so that one subscription takes few rows.
const ACCESS_VALUES_MAX: usize = 64;

impl Index {
    /// An empty index. `seed` is secret and random: it keys the hashing, so that nobody can choose
    /// values that crowd one place of it.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self {
            key: Key::from_seed(seed),
            entries: HashTable::new(),
            attributes: Attributes::new(),
        }
    }

    /// How many subscriptions it holds.
    #[must_use]
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether it holds none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Adds `subscription` as `id`, in place of the one that had this id.
    ///
    /// Cost: O(its size), and O(1) amortised for the index; replacing costs a [`Self::remove`].
    pub fn insert(&mut self, id: SubscriptionId, subscription: &Subscription) {
        self.remove(id);
        let entry = match Plan::new(subscription) {
            Some(plan) => self.place(id, &plan),
            None => Entry {
                id,
                access: None,
                attributes: Box::default(),
                equalities: Box::default(),
            },
        };
        let key = &self.key;
        self.entries
            .insert_unique(hash_id(key, id), entry, |entry| hash_id(key, entry.id));
    }

    /// Removes the subscription `id`; `false` when there is none.
    ///
    /// Cost: O(its size + rows beside it).
    pub fn remove(&mut self, id: SubscriptionId) -> bool {
        let found = self
            .entries
            .find_entry(hash_id(&self.key, id), |entry| entry.id == id);
        let Ok(found) = found else { return false };
        let (entry, _) = found.remove();
        match &entry.access {
            Some(Access::Values(attribute, values)) => {
                let partitions = &mut self.attributes.get_mut(*attribute).partitions;
                values
                    .iter()
                    .for_each(|value| partitions.remove_row(&self.key, value.borrow(), id));
            }
            Some(Access::Attribute(attribute)) => {
                self.attributes.get_mut(*attribute).rows.remove(id)
            }
            None => {}
        }
        for (attribute, value) in &entry.equalities {
            self.attributes
                .get_mut(*attribute)
                .partitions
                .forget(&self.key, value.borrow());
        }
        for attribute in &entry.attributes {
            self.attributes.release(&self.key, *attribute);
        }
        true
    }

    /// Looks up the names of a block, once for all its headers.
    #[must_use]
    pub fn names(&self, block: &HeaderBlock<'_>) -> Names<'_> {
        let ids = block
            .names()
            .iter()
            .map(|name| self.attributes.find(&self.key, name))
            .collect();
        Names { index: self, ids }
    }

    /// Sets `matched` to the subscriptions that `header` satisfies, forgetting what it held.
    ///
    /// `names` must come from this index and the header's block. The order is unspecified.
    /// Allocates nothing once `matched` has grown. Cost: O(attributes + rows that share an access
    /// key with the header).
    ///
    /// # Panics
    /// When `names` comes from another index.
    pub fn matches(&self, names: &Names<'_>, header: &Header<'_>, matched: &mut Matches) {
        assert!(
            ptr::eq(self, names.index),
            "names were looked up in another index"
        );
        let resolve =
            |index: &crate::NameIndex| names.ids.get(usize::from(index.0)).copied().flatten();
        self.match_values(header.attributes(), resolve, matched);
    }

    /// As [`Self::matches`], for one publication that is in no block. Allocates.
    pub fn matches_publication(&self, publication: &Publication, matched: &mut Matches) {
        let attributes = publication.attributes().iter();
        let values =
            attributes.map(|(name, value)| (self.attributes.find(&self.key, name), value.borrow()));
        let values: Vec<_> = values.collect();
        self.match_values(&values, |id| *id, matched);
    }

    fn match_values<K>(
        &self,
        values: &[(K, ValueRef<'_>)],
        resolve: impl Fn(&K) -> Option<AttributeId>,
        matched: &mut Matches,
    ) {
        let (ids, slots) = matched.begin(self.attributes.len());
        let known = || {
            values
                .iter()
                .enumerate()
                .filter_map(|(at, (key, value))| Some((resolve(key)?, at, *value)))
        };
        for (attribute, position, value) in known() {
            slots.fill(attribute, position, value);
        }
        let probe = Probe { slots, values };
        self.attributes
            .get(AttributeId::ALWAYS)
            .rows
            .scan(&probe, ids);
        for (attribute, _, value) in known() {
            let entry = self.attributes.get(attribute);
            entry.rows.scan(&probe, ids);
            if let Some(rows) = entry.partitions.rows(&self.key, value) {
                rows.scan(&probe, ids);
            }
        }
        for (attribute, ..) in known() {
            slots.empty(attribute);
        }
    }

    /// Chooses an access key and lays the row there.
    fn place(&mut self, id: SubscriptionId, plan: &Plan<'_>) -> Entry {
        let attributes: Box<[AttributeId]> = plan
            .demands
            .iter()
            .map(|demand| self.attributes.acquire(&self.key, demand.name))
            .collect();
        let equality = |(attribute, demand): (&AttributeId, &Demand<'_>)| match &demand.admits {
            Admits::Values(values) => match &**values {
                [value] => Some((*attribute, value.clone())),
                _ => None,
            },
            Admits::Tests(_) => None,
        };
        let equalities: Box<[_]> = attributes
            .iter()
            .zip(&plan.demands)
            .filter_map(equality)
            .collect();
        for (attribute, value) in &equalities {
            self.attributes
                .get_mut(*attribute)
                .partitions
                .mention(&self.key, value);
        }
        let access = self.choose(plan, &attributes, &equalities);
        self.lay(id, plan, &attributes, &access);
        Entry {
            id,
            access: Some(access),
            attributes,
            equalities,
        }
    }

    /// The rarest equality; else the shortest set of values; else the rarest attribute.
    fn choose(
        &self,
        plan: &Plan<'_>,
        attributes: &[AttributeId],
        equalities: &[(AttributeId, Value)],
    ) -> Access {
        let mentions = |(attribute, value): &&(AttributeId, Value)| {
            self.attributes
                .get(*attribute)
                .partitions
                .mentions(&self.key, value.borrow())
        };
        if let Some((attribute, value)) = equalities.iter().min_by_key(mentions) {
            return Access::Values(*attribute, Box::from([value.clone()]));
        }
        let sets = attributes
            .iter()
            .zip(&plan.demands)
            .filter_map(|(attribute, demand)| match &demand.admits {
                Admits::Values(values) if values.len() <= ACCESS_VALUES_MAX => {
                    Some((*attribute, values))
                }
                _ => None,
            });
        if let Some((attribute, values)) = sets.min_by_key(|(_, values)| values.len()) {
            return Access::Values(attribute, values.clone());
        }
        let rarest = attributes
            .iter()
            .min_by_key(|attribute| self.attributes.get(**attribute).uses);
        Access::Attribute(rarest.copied().unwrap_or(AttributeId::ALWAYS))
    }

    fn lay(
        &mut self,
        id: SubscriptionId,
        plan: &Plan<'_>,
        attributes: &[AttributeId],
        access: &Access,
    ) {
        let demands = attributes.iter().copied().zip(&plan.demands);
        match access {
            // The partition itself proves the demand on its attribute.
            Access::Values(attribute, values) => {
                let row = Row::new(id, demands.filter(|(other, _)| other != attribute));
                let partitions = &mut self.attributes.get_mut(*attribute).partitions;
                values
                    .iter()
                    .for_each(|value| partitions.insert_row(&self.key, value, row.clone()));
            }
            Access::Attribute(attribute) => {
                self.attributes
                    .get_mut(*attribute)
                    .rows
                    .insert(Row::new(id, demands));
            }
        }
    }
}

/// How many subscriptions, and none of what they say.
impl fmt::Debug for Index {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Index")
            .field("len", &self.len())
            .finish_non_exhaustive()
    }
}

fn hash_id(key: &Key, id: SubscriptionId) -> u64 {
    key.hash(u64::from(id.0), &[])
}

/// The names of one header block as an index knows them.
#[derive(Clone)]
pub struct Names<'i> {
    index: &'i Index,
    /// By position in the block's table; `None` for a name that no subscription mentions.
    ids: Vec<Option<AttributeId>>,
}
