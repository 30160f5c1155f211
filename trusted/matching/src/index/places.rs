//! Where the rows of each subscription lie.
//!
//! Invariant: every subscription in the index has a place, and no other id has. Memory goes with
//! the spread of the ids: four bytes each where they are dense, which is what they should be.

use alloc::boxed::Box;
use alloc::collections::BTreeMap;
use alloc::vec;
use alloc::vec::Vec;

use super::SubscriptionId;

/// Ids of one leaf, and leaves of one branch.
const FAN: usize = 1 << 10;

/// Not in the index.
const NOWHERE: u32 = u32::MAX;

/// In the index without a row, since nothing can satisfy it.
const NEVER: u32 = u32::MAX - 1;

/// In several places, which are kept apart.
const MANY: u32 = u32::MAX - 2;

/// Where one subscription lies.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// Nowhere, for nothing can satisfy it.
    Never,
    /// On this page.
    Page(u32),
    /// On each of these pages, twice on one that is named twice.
    Pages(Vec<u32>),
}

type Leaf = Box<[u32; FAN]>;
type Branch = Box<[Option<Leaf>; FAN]>;

/// Places by id.
#[derive(Default)]
pub(super) struct Places {
    root: Vec<Option<Branch>>,
    many: BTreeMap<SubscriptionId, Vec<u32>>,
    len: usize,
}

impl Places {
    pub(super) fn len(&self) -> usize {
        self.len
    }

    /// Takes the place of `id` away.
    pub(super) fn take(&mut self, id: SubscriptionId) -> Option<Place> {
        let slot = self.slot(id)?;
        let place = match core::mem::replace(slot, NOWHERE) {
            NOWHERE => return None,
            NEVER => Place::Never,
            MANY => Place::Pages(self.many.remove(&id).unwrap_or_default()),
            page => Place::Page(page),
        };
        self.len -= 1;
        Some(place)
    }

    /// Gives `id`, which has none, a place.
    pub(super) fn put(&mut self, id: SubscriptionId, place: Place) {
        let value = match place {
            Place::Never => NEVER,
            Place::Page(page) => page,
            Place::Pages(pages) => {
                self.many.insert(id, pages);
                MANY
            }
        };
        *self.slot_or_new(id) = value;
        self.len += 1;
    }

    /// Takes down that a row of `id` went from one page to another. Of an id without a place nothing
    /// is taken down.
    pub(super) fn moved(&mut self, id: SubscriptionId, from: u32, to: u32) {
        let Some(slot) = self.slot(id) else { return };
        match *slot {
            MANY => {
                let pages = self.many.get_mut(&id);
                let page = pages.and_then(|pages| pages.iter_mut().find(|page| **page == from));
                if let Some(page) = page {
                    *page = to;
                }
            }
            NOWHERE | NEVER => {}
            _ => *slot = to,
        }
    }

    fn slot(&mut self, id: SubscriptionId) -> Option<&mut u32> {
        let [root, branch, leaf] = path(id);
        let leaves = self.root.get_mut(root)?.as_mut()?;
        Some(&mut leaves[branch].as_mut()?[leaf])
    }

    fn slot_or_new(&mut self, id: SubscriptionId) -> &mut u32 {
        let [root, branch, leaf] = path(id);
        if self.root.len() <= root {
            self.root.resize_with(root + 1, || None);
        }
        let leaves = self.root[root].get_or_insert_with(|| Box::new([const { None }; FAN]));
        let ids = leaves[branch].get_or_insert_with(|| {
            let empty = vec![NOWHERE; FAN].into_boxed_slice();
            empty.try_into().expect("it has FAN numbers")
        });
        &mut ids[leaf]
    }
}

fn path(id: SubscriptionId) -> [usize; 3] {
    let id = id.0 as usize;
    [id / (FAN * FAN), id / FAN % FAN, id % FAN]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_taken_once() {
        let mut places = Places::default();
        for id in [0, 1023, 1024, u32::MAX] {
            places.put(SubscriptionId(id), Place::Page(id % 100));
        }

        assert_eq!(places.len(), 4);
        assert_eq!(places.take(SubscriptionId(u32::MAX)), Some(Place::Page(95)));
        assert_eq!(places.take(SubscriptionId(u32::MAX)), None);
        assert_eq!(places.take(SubscriptionId(5)), None);
        assert_eq!(places.len(), 3);
    }

    #[test]
    fn one_row_of_many_moves_alone() {
        let mut places = Places::default();
        places.put(SubscriptionId(7), Place::Pages(vec![1, 2, 2]));

        places.moved(SubscriptionId(7), 2, 9);

        assert_eq!(
            places.take(SubscriptionId(7)),
            Some(Place::Pages(vec![1, 9, 2]))
        );
    }

    #[test]
    fn an_id_without_a_place_does_not_get_one_by_moving() {
        let mut places = Places::default();
        places.put(SubscriptionId(1), Place::Never);
        places.moved(SubscriptionId(1), 2, 9);
        places.moved(SubscriptionId(2), 2, 9);

        assert_eq!(places.take(SubscriptionId(1)), Some(Place::Never));
        assert_eq!(places.take(SubscriptionId(2)), None);
    }
}
