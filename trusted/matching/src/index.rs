//! Many subscriptions arranged so that a header meets few of them.
//!
//! Invariant: gives exactly the answers of [`Subscription::matches`]. Each subscription has one
//! *access key*, an attribute with the values it admits, and lies in the partitions where only
//! headers with such an attribute look. No call touches more than a few pages and chunks for each row
//! that it lays or removes; a subscription has one row, or one for each value of an `in` that is its
//! access key.
//! Source: hash partition by the rarest equality, Fabret et al., SIGMOD '01; what lies inside a
//! partition is told by its modules, `partition` first.
//!
//! A [`Snapshot`] is all that reading takes. It shares everything with its index until the index
//! changes, and then only what did not change.

mod attribute;
mod column;
mod exact;
mod few;
mod grid;
mod group;
mod homes;
pub(crate) mod kernel;
mod lookup;
mod matches;
mod page;
mod partition;
mod places;
mod plan;
mod planes;
mod rows;
mod scale;
mod sieve;
mod slab;
mod snapshot;
mod tree;
mod zones;

use alloc::boxed::Box;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::fmt;

pub use kernel::{Features, Kernel};
pub use matches::Matches;
pub use snapshot::{Names, Snapshot};

use crate::header::{Header, HeaderBlock};
use crate::publication::Publication;
use crate::subscription::Subscription;
use crate::value::Value;
use attribute::AttributeId;
use column::{Asked, Bound};
use exact::Exact;
use group::NewRow;
use homes::{FEW, Home, Laying};
use kernel::{Job, Lanes};
use page::COLUMNS_MAX;
use partition::Partition;
use places::{Place, Places};
use plan::{Admits, Demand, Plan};
use rows::Rows;
use slab::Slab;

/// The caller's number for a subscription in an index.
///
/// An index takes memory for the spread of its numbers: give small ones, and give them again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SubscriptionId(pub u32);

/// Subscriptions by id, and by what they demand.
pub struct Index {
    snapshot: Snapshot,
    places: Places,
    homes: Slab<Home>,
    rows: Rows,
}

/// Where the rows of a subscription are to lie.
enum Access {
    /// In the partition of each of these values.
    Values(AttributeId, Box<[Value]>),
    /// Among the rows that every header with this attribute meets.
    Attribute(AttributeId),
}

/// An `in` of more values than this is no access key, so that one subscription takes few rows.
const ACCESS_VALUES_MAX: usize = 64;

/// An attribute is rare when fewer than one in so many subscriptions mention it. A partition of a value
/// with more rows than so many for each that mentions such an attribute is passed over for it.
const RARE: usize = 1024;

impl Index {
    /// An empty index. `seed` is secret and random: it keys the hashing, so that nobody can choose
    /// values that crowd one place of it.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self::with_kernel(seed, Kernel::PORTABLE)
    }

    /// As [`Self::new`], working by this form of the vector operations.
    #[must_use]
    pub fn with_kernel(seed: u64, kernel: Kernel) -> Self {
        Self {
            snapshot: Snapshot::new(seed, kernel),
            places: Places::default(),
            homes: Slab::default(),
            rows: Rows::default(),
        }
    }

    /// How many subscriptions it holds.
    #[must_use]
    pub fn len(&self) -> usize {
        self.places.len()
    }

    /// Whether it holds none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The subscriptions as they are now, for readers beside this writer.
    ///
    /// Cost: a word for each 256 partitions. While the snapshot lives, each first change of a page
    /// copies it.
    #[must_use]
    pub fn snapshot(&self) -> Snapshot {
        self.snapshot.clone()
    }

    /// Adds `subscription` as `id`, in place of the one that had this id.
    ///
    /// Cost: O(its size) and, for each of its rows, an amortised share of building a page again, which
    /// is the most that one row does; replacing costs a [`Self::remove`].
    pub fn insert(&mut self, id: SubscriptionId, subscription: &Subscription) {
        self.remove(id);
        let place = match Plan::new(subscription) {
            Some(plan) => self.lay(id, &plan),
            None => Place::Never,
        };
        self.places.put(id, place);
    }

    /// Removes the subscription `id`; `false` when there is none.
    ///
    /// Cost: as [`Self::insert`]; now and then the up to 63 rows that a page has left are laid anew.
    pub fn remove(&mut self, id: SubscriptionId) -> bool {
        match self.places.take(id) {
            None => return false,
            Some(Place::Never) => {}
            Some(Place::Page(page)) => self.remove_row(id, page),
            Some(Place::Pages(pages)) => {
                pages.into_iter().for_each(|page| self.remove_row(id, page));
            }
        }
        true
    }

    /// Looks up the names of a block, once for all its headers.
    #[must_use]
    pub fn names(&self, block: &HeaderBlock<'_>) -> Names<'_> {
        self.snapshot.names(block)
    }

    /// Sets `matched` to the subscriptions that `header` satisfies: see [`Snapshot::matches`].
    ///
    /// # Panics
    /// When `names` comes from another index or snapshot.
    pub fn matches<'i>(
        &'i self,
        names: &Names<'i>,
        header: &Header<'_>,
        matched: &mut Matches<'i>,
    ) {
        self.snapshot.matches(names, header, matched);
    }

    /// As [`Self::matches`], for one publication that is in no block. Allocates.
    pub fn matches_publication<'i>(&'i self, publication: &Publication, matched: &mut Matches<'i>) {
        self.snapshot.matches_publication(publication, matched);
    }

    /// Makes rows of a plan and lays them.
    fn lay(&mut self, id: SubscriptionId, plan: &Plan<'_>) -> Place {
        let attributes = self.acquire(plan);
        match self.choose(&attributes, plan) {
            Access::Values(access, values) => {
                // The partition itself proves the demand on its attribute.
                let content = self.content(&attributes, plan, Some(access));
                let mut pages = Vec::new();
                for (nth, value) in values.iter().enumerate() {
                    if nth > 0 {
                        // Each row holds its attributes.
                        self.acquire(plan);
                    }
                    let partition = self.snapshot.partition_of(access, value);
                    let partition = partition
                        .unwrap_or_else(|| self.add_partition(access, Some(value.clone())));
                    pages.push(self.insert_row(id, &content, partition));
                }
                match pages[..] {
                    [page] => Place::Page(page),
                    _ => Place::Pages(pages),
                }
            }
            Access::Attribute(access) => {
                let content = self.content(&attributes, plan, None);
                let partition = self.snapshot.attributes.get(access).rows;
                let partition = partition.unwrap_or_else(|| self.add_partition(access, None));
                Place::Page(self.insert_row(id, &content, partition))
            }
        }
    }

    /// The attributes of a plan's demands, each used once more.
    fn acquire(&mut self, plan: &Plan<'_>) -> Vec<AttributeId> {
        let Snapshot {
            attributes, key, ..
        } = &mut self.snapshot;
        let names = plan.demands.iter().map(|demand| demand.name);
        names.map(|name| attributes.acquire(key, name)).collect()
    }

    /// The value whose partition has the fewest rows; else the shortest set of values; else an
    /// attribute that few subscriptions mention.
    fn choose(&self, attributes: &[AttributeId], plan: &Plan<'_>) -> Access {
        let demands = || attributes.iter().copied().zip(&plan.demands);
        let uses = |attribute| self.snapshot.attributes.get(attribute).uses;
        let rare = attributes.iter().copied().min_by_key(|id| uses(*id));
        let sets = demands().filter_map(|(attribute, demand)| match &demand.admits {
            Admits::Values(values) if values.len() <= ACCESS_VALUES_MAX => {
                Some((attribute, values))
            }
            _ => None,
        });
        let rows = |attribute, values: &[Value]| -> usize {
            let partitions = values
                .iter()
                .filter_map(|value| self.snapshot.partition_of(attribute, value));
            partitions
                .map(|number| self.snapshot.partitions.get(number).len())
                .sum()
        };
        let best = sets.min_by_key(|(attribute, values)| {
            let (is_set, rows) = (values.len() > 1, rows(*attribute, values));
            (is_set, rows, values.len())
        });
        match (best, rare) {
            (Some((attribute, values)), Some(rare))
                if rows(attribute, values) <= RARE * uses(rare).max(1) =>
            {
                Access::Values(attribute, values.clone())
            }
            // What is common lies together, whatever attributes it is on: most headers meet all of it.
            (_, Some(rare)) if RARE * uses(rare) < self.len() => Access::Attribute(rare),
            _ => Access::Attribute(AttributeId::ALWAYS),
        }
    }

    /// What the rows of a plan say beyond the values of its access key.
    fn content(
        &mut self,
        attributes: &[AttributeId],
        plan: &Plan<'_>,
        access: Option<AttributeId>,
    ) -> Content {
        let known = &mut self.snapshot.attributes;
        let mut demands: Vec<(AttributeId, &Demand<'_>)> = attributes
            .iter()
            .copied()
            .zip(&plan.demands)
            .filter(|(attribute, _)| Some(*attribute) != access)
            .collect();
        demands.sort_unstable_by_key(|(attribute, _)| known.get(*attribute).uses);
        let (mut bounds, mut tests): (_, Vec<exact::Test>) = (Vec::new(), Vec::new());
        for (attribute, demand) in demands {
            let fits = bounds.len() + 2 <= COLUMNS_MAX;
            if fits {
                demand.put_bounds(attribute, &mut bounds);
            }
            if !fits || !demand.bounds_suffice() {
                tests.push(demand.test(attribute));
            }
        }
        let by_bounds = bounds
            .iter()
            .map(|bound: &Bound| (bound.column.attribute(), bound.column.asked()));
        let by_tests = tests.iter().map(|test| (test.attribute, Asked::BY_TESTS));
        for (attribute, asked) in by_bounds.chain(by_tests) {
            let known_asked = known.get(attribute).asked;
            if !known_asked.has(asked) {
                known.get_mut(attribute).asked = known_asked.with(asked);
            }
        }
        bounds.sort_unstable_by_key(|bound: &Bound| bound.column);
        Content {
            bounds,
            exact: (!tests.is_empty()).then(|| Arc::new(Exact(tests.into()))),
        }
    }

    fn insert_row(&mut self, id: SubscriptionId, content: &Content, partition: u32) -> u32 {
        let mut laying = Laying {
            homes: &mut self.homes,
            places: &mut self.places,
            rows: &mut self.rows,
        };
        let row = NewRow {
            id,
            bounds: &content.bounds,
            exact: content.exact.clone(),
        };
        let partitions = &mut self.snapshot.partitions;
        partitions
            .get_mut(partition)
            .insert(row, &mut laying, partition)
    }

    fn add_partition(&mut self, attribute: AttributeId, value: Option<Value>) -> u32 {
        let page = self.homes.insert(Home {
            partition: 0,
            group: FEW,
            slot: 0,
        });
        let partition = self.snapshot.add_partition(attribute, value, page);
        self.homes.get_mut(page).partition = partition;
        partition
    }

    fn remove_row(&mut self, id: SubscriptionId, page: u32) {
        let home = *self.homes.get(page);
        let snapshot = &mut self.snapshot;
        let partition = snapshot.partitions.get_mut(home.partition);
        let row = snapshot.kernel.run(FindRow {
            partition,
            home,
            id,
        });
        let mut laying = Laying {
            homes: &mut self.homes,
            places: &mut self.places,
            rows: &mut self.rows,
        };
        let row = row.expect("a row lies on the page of its place");
        let removed = partition.remove(home, row, &mut laying);
        let (attribute, is_empty) = (partition.attribute, partition.len() == 0);
        let mut attributes: Vec<AttributeId> =
            removed.columns.iter().map(|c| c.attribute()).collect();
        attributes.push(attribute);
        if let Some(exact) = &removed.exact {
            attributes.extend(exact.attributes());
        }
        attributes.sort_unstable();
        attributes.dedup();
        if is_empty {
            let page = snapshot.remove_partition(home.partition);
            self.homes.remove(page);
        }
        for attribute in attributes {
            snapshot.attributes.release(&snapshot.key, attribute);
        }
    }
}

/// What a row says, without its id.
struct Content {
    /// Ascending by column, at most [`COLUMNS_MAX`].
    bounds: Vec<Bound>,
    exact: Option<Arc<Exact>>,
}

struct FindRow<'p> {
    partition: &'p Partition,
    home: Home,
    id: SubscriptionId,
}

impl Job for FindRow<'_> {
    type Output = Option<u16>;

    #[inline(always)]
    fn run<L: Lanes>(self, lanes: L) -> Option<u16> {
        self.partition.find(lanes, self.home, self.id)
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
