//! Attribute names as small integers, and what lies under each.
//!
//! Invariant: a name has an id exactly while a subscription in the index mentions it, so the table
//! is no larger than the live subscriptions make it. Ids of names that went are used again.

use super::column::Asked;
use super::lookup::Lookup;
use super::slab::Slab;
use crate::hash::Key;
use crate::name::Name;

/// A name within one index.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct AttributeId(u32);

impl AttributeId {
    /// Not a name, but an attribute that every header is taken to have.
    pub(super) const ALWAYS: Self = Self(0);

    /// Names that one index can hold.
    const MAX: u32 = 1 << 29;

    pub(super) fn at(position: usize) -> Self {
        Self(u32::try_from(position).expect("positions are those of ids"))
    }

    #[inline(always)]
    pub(super) fn position(self) -> usize {
        self.0 as usize
    }
}

/// One attribute.
#[derive(Clone, Default)]
pub(super) struct Attribute {
    /// `None` for [`AttributeId::ALWAYS`].
    name: Option<Name>,
    /// How many subscriptions mention it.
    pub(super) uses: usize,
    /// The partition of rows that every header with this attribute meets.
    pub(super) rows: Option<u32>,
    /// How many partitions there are of rows that only headers with a certain value of it meet.
    pub(super) values: u32,
    /// On which of its axes a bound or a test ever was.
    pub(super) asked: Asked,
}

/// All attributes, by id and by name.
#[derive(Clone)]
pub(super) struct Attributes {
    by_id: Slab<Attribute>,
    by_name: Lookup,
}

impl Attributes {
    pub(super) fn new() -> Self {
        let mut by_id = Slab::default();
        by_id.insert(Attribute::default());
        Self {
            by_id,
            by_name: Lookup::new(),
        }
    }

    /// Greater than the position of every id.
    pub(super) fn len(&self) -> usize {
        self.by_id.len()
    }

    #[inline]
    pub(super) fn get(&self, id: AttributeId) -> &Attribute {
        self.by_id.get(id.0)
    }

    pub(super) fn get_mut(&mut self, id: AttributeId) -> &mut Attribute {
        self.by_id.get_mut(id.0)
    }

    /// The id of `name`, if a subscription mentions it.
    pub(super) fn find(&self, key: &Key, name: &str) -> Option<AttributeId> {
        let is_it = |id| self.by_id.get(id).name.as_deref() == Some(name);
        self.by_name.find(hash(key, name), is_it).map(AttributeId)
    }

    /// The id of `name`, for one more subscription that mentions it.
    pub(super) fn acquire(&mut self, key: &Key, name: &Name) -> AttributeId {
        let id = self.find(key, name).unwrap_or_else(|| self.add(key, name));
        self.get_mut(id).uses += 1;
        id
    }

    /// Ends one use of `id`.
    pub(super) fn release(&mut self, key: &Key, id: AttributeId) {
        if id == AttributeId::ALWAYS {
            return;
        }
        let attribute = self.get_mut(id);
        attribute.uses -= 1;
        if attribute.uses == 0 {
            let gone = self.by_id.remove(id.0);
            let name = gone.name.expect("every attribute but ALWAYS has a name");
            self.by_name.remove(hash(key, &name), id.0);
        }
    }

    fn add(&mut self, key: &Key, name: &Name) -> AttributeId {
        let attribute = Attribute {
            name: Some(name.clone()),
            ..Attribute::default()
        };
        let id = self.by_id.insert(attribute);
        assert!(id < AttributeId::MAX, "so many names do not fit in memory");
        self.by_name.insert(hash(key, name), id);
        AttributeId(id)
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
