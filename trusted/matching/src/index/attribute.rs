//! Attribute names as small integers, and what lies under each.
//!
//! Invariant: a name has an id exactly while a subscription in the index mentions it, so the table
//! is no larger than the live subscriptions make it. Ids of names that went are used again.

use alloc::vec;
use alloc::vec::Vec;

use hashbrown::HashTable;

use super::partition::Partitions;
use super::row::Rows;
use crate::hash::Key;
use crate::name::Name;

/// A name within one index.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct AttributeId(u32);

impl AttributeId {
    /// Not a name, but an attribute that every header is taken to have.
    pub(super) const ALWAYS: Self = Self(0);

    pub(super) fn position(self) -> usize {
        self.0 as usize
    }
}

/// One attribute.
#[derive(Clone, Default)]
pub(super) struct Attribute {
    /// `None` for [`AttributeId::ALWAYS`] and ids not in use.
    name: Option<Name>,
    /// How many subscriptions mention it.
    pub(super) uses: usize,
    /// Rows that every header with this attribute meets.
    pub(super) rows: Rows,
    /// Rows that only headers with certain values of it meet.
    pub(super) partitions: Partitions,
}

/// All attributes, by id and by name.
#[derive(Clone)]
pub(super) struct Attributes {
    by_id: Vec<Attribute>,
    by_name: HashTable<AttributeId>,
    free: Vec<AttributeId>,
}

impl Attributes {
    pub(super) fn new() -> Self {
        Self {
            by_id: vec![Attribute::default()],
            by_name: HashTable::new(),
            free: Vec::new(),
        }
    }

    /// Greater than the position of every id.
    pub(super) fn len(&self) -> usize {
        self.by_id.len()
    }

    pub(super) fn get(&self, id: AttributeId) -> &Attribute {
        &self.by_id[id.position()]
    }

    pub(super) fn get_mut(&mut self, id: AttributeId) -> &mut Attribute {
        &mut self.by_id[id.position()]
    }

    /// The id of `name`, if a subscription mentions it.
    pub(super) fn find(&self, key: &Key, name: &str) -> Option<AttributeId> {
        self.by_name
            .find(hash(key, name), |id| self.is_named(*id, name))
            .copied()
    }

    /// The id of `name`, for one more subscription that mentions it.
    pub(super) fn acquire(&mut self, key: &Key, name: &Name) -> AttributeId {
        let id = self.find(key, name).unwrap_or_else(|| self.add(key, name));
        self.get_mut(id).uses += 1;
        id
    }

    /// Ends one use of `id`.
    pub(super) fn release(&mut self, key: &Key, id: AttributeId) {
        let attribute = self.get_mut(id);
        attribute.uses -= 1;
        if attribute.uses > 0 {
            return;
        }
        if let Some(name) = core::mem::take(attribute).name {
            let found = self.by_name.find_entry(hash(key, &name), |own| *own == id);
            found.expect("an attribute in use is in the table").remove();
            self.free.push(id);
        }
    }

    fn add(&mut self, key: &Key, name: &Name) -> AttributeId {
        let id = self.free.pop().unwrap_or_else(|| {
            let id = u32::try_from(self.by_id.len()).expect("names in memory are fewer than 2^32");
            self.by_id.push(Attribute::default());
            AttributeId(id)
        });
        self.get_mut(id).name = Some(name.clone());
        let by_id = &self.by_id;
        self.by_name.insert_unique(hash(key, name), id, |own| {
            by_id[own.position()]
                .name
                .as_deref()
                .map_or(0, |name| hash(key, name))
        });
        id
    }

    fn is_named(&self, id: AttributeId, name: &str) -> bool {
        self.get(id).name.as_deref() == Some(name)
    }
}

fn hash(key: &Key, name: &str) -> u64 {
    key.hash(0, name.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_goes_with_its_last_use_and_its_id_is_used_again() {
        let key = Key::from_seed(1);
        let [open, high] = ["open", "high"].map(|name| Name::new(name).unwrap());
        let mut attributes = Attributes::new();
        let id = attributes.acquire(&key, &open);
        assert_eq!(attributes.acquire(&key, &open), id);

        attributes.release(&key, id);
        assert_eq!(attributes.find(&key, "open"), Some(id));
        attributes.release(&key, id);

        assert_eq!(attributes.find(&key, "open"), None);
        assert_eq!(attributes.acquire(&key, &high), id);
        assert_eq!(attributes.len(), 2);
    }
}
