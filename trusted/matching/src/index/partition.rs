//! The partitions of an attribute: rows by the value that they demand of it.
//!
//! Invariant: a value has a partition exactly while a row lies in it or an equality mentions it.

use hashbrown::HashTable;

use super::SubscriptionId;
use super::row::{Row, Rows};
use crate::hash::Key;
use crate::value::{Value, ValueRef};

/// Rows by value.
#[derive(Clone, Default)]
pub(super) struct Partitions {
    by_value: HashTable<Partition>,
}

#[derive(Clone)]
struct Partition {
    value: Value,
    /// How many subscriptions have this equality, wherever their rows lie.
    mentions: usize,
    rows: Rows,
}

impl Partitions {
    /// The rows that demand `value`.
    pub(super) fn rows(&self, key: &Key, value: ValueRef<'_>) -> Option<&Rows> {
        match self.by_value.is_empty() {
            true => None,
            false => self.find(key, value).map(|partition| &partition.rows),
        }
    }

    /// How many subscriptions have the equality with `value`.
    pub(super) fn mentions(&self, key: &Key, value: ValueRef<'_>) -> usize {
        self.find(key, value)
            .map_or(0, |partition| partition.mentions)
    }

    /// Counts one more equality with `value`.
    pub(super) fn mention(&mut self, key: &Key, value: &Value) {
        self.change(key, value, |partition| partition.mentions += 1);
    }

    /// Counts one equality with `value` less.
    pub(super) fn forget(&mut self, key: &Key, value: ValueRef<'_>) {
        self.shrink(key, value, |partition| partition.mentions -= 1);
    }

    pub(super) fn insert_row(&mut self, key: &Key, value: &Value, row: Row) {
        self.change(key, value, |partition| partition.rows.insert(row));
    }

    pub(super) fn remove_row(&mut self, key: &Key, value: ValueRef<'_>, id: SubscriptionId) {
        self.shrink(key, value, |partition| partition.rows.remove(id));
    }

    fn find(&self, key: &Key, value: ValueRef<'_>) -> Option<&Partition> {
        self.by_value
            .find(hash(key, value), |partition| partition.value == value)
    }

    fn change(&mut self, key: &Key, value: &Value, change: impl FnOnce(&mut Partition)) {
        let is_same = |partition: &Partition| partition.value == *value;
        let rehash = |partition: &Partition| hash(key, partition.value.borrow());
        let place = self
            .by_value
            .entry(hash(key, value.borrow()), is_same, rehash);
        let empty = || Partition {
            value: value.clone(),
            mentions: 0,
            rows: Rows::default(),
        };
        change(place.or_insert_with(empty).into_mut());
    }

    fn shrink(&mut self, key: &Key, value: ValueRef<'_>, shrink: impl FnOnce(&mut Partition)) {
        let found = self
            .by_value
            .find_entry(hash(key, value), |partition| partition.value == value);
        let mut found = found.ok().expect("what goes out of a partition went in");
        shrink(found.get_mut());
        if found.get().mentions == 0 && found.get().rows.is_empty() {
            found.remove();
        }
    }
}

#[inline]
fn hash(key: &Key, value: ValueRef<'_>) -> u64 {
    match value {
        ValueRef::Number(number) => {
            let word = 1 | u64::from(number.key_excess()) << 8;
            key.hash(word, &number.order_key().to_le_bytes())
        }
        ValueRef::Text(text) => key.hash(2, text.as_bytes()),
    }
}
