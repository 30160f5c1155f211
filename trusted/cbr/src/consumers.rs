//! The consumers of one domain in one session, and whose subscription each row of the index is.
//!
//! Invariants: a consumer once admitted keeps its record, delivery key and counter until the session ends, even when it is revoked,
//! so that no notice counter starts again under the same key; a row in use belongs to one (consumer, subscription id).

use std::collections::{BTreeMap, BTreeSet};

use sc_crypto::{Secret, VerifyingKey};
use sc_matching::{Index, Subscription, SubscriptionId};

use crate::control::SlowPolicy;
use crate::keys::{DeliveryKeys, Scope};
use crate::notice::NoticeWriter;

/// One consumer.
pub(crate) struct Consumer {
    pub(crate) scope: Scope,
    pub(crate) keys: DeliveryKeys,
    pub(crate) writer: NoticeWriter,
    delivery_key: Secret,
    next_counter: u64,
    /// Until when, owner time; `None` once it has ended.
    lease_until_ms: Option<u64>,
    pub(crate) slow: SlowPolicy,
    rows: BTreeMap<u64, SubscriptionId>,
    /// Whether a notice was made for it since the last tick.
    pub(crate) notified: bool,
}

impl Consumer {
    /// The number of its next notice.
    pub(crate) fn take_counter(&mut self) -> u64 {
        let counter = self.next_counter;
        self.next_counter += 1;
        counter
    }

    pub(crate) fn is_subscribed(&self) -> bool {
        !self.rows.is_empty()
    }
}

/// A consumer's place in [`Consumers`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Place(u32);

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Row {
    pub(crate) consumer: Place,
    pub(crate) id: u64,
}

#[derive(Default)]
pub(crate) struct Consumers {
    by_key: BTreeMap<VerifyingKey, Place>,
    all: Vec<Consumer>,
    rows: Vec<Row>,
    free_rows: Vec<SubscriptionId>,
    leases: BTreeSet<(u64, Place)>,
}

impl Consumers {
    pub(crate) fn len(&self) -> usize {
        self.all.len()
    }

    pub(crate) fn find(&self, key: &VerifyingKey) -> Option<Place> {
        self.by_key.get(key).copied()
    }

    pub(crate) fn get_mut(&mut self, place: Place) -> &mut Consumer {
        &mut self.all[place.0 as usize]
    }

    pub(crate) fn places(&self) -> impl Iterator<Item = Place> + use<> {
        (0..self.all.len() as u32).map(Place)
    }

    pub(crate) fn row(&self, id: SubscriptionId) -> Row {
        self.rows[id.0 as usize]
    }

    /// Whether `key` is the delivery key under which the consumer was first admitted.
    pub(crate) fn has_delivery_key(&self, place: Place, key: &Secret) -> bool {
        self.all[place.0 as usize].delivery_key == *key
    }

    /// How many subscriptions the consumer would hold if `ids` were added, which may repeat each other or what is there.
    pub(crate) fn subscriptions_with(
        &self,
        place: Option<Place>,
        ids: impl Iterator<Item = u64>,
    ) -> usize {
        let held = place.map(|place| &self.all[place.0 as usize].rows);
        let added: BTreeSet<u64> = ids
            .filter(|id| !held.is_some_and(|held| held.contains_key(id)))
            .collect();
        held.map_or(0, BTreeMap::len) + added.len()
    }

    pub(crate) fn add(&mut self, scope: Scope, delivery_key: Secret, plain: bool) -> Place {
        let place = Place(self.all.len() as u32);
        self.by_key.insert(scope.party, place);
        self.all.push(Consumer {
            scope,
            keys: DeliveryKeys::new(&delivery_key, &scope, plain),
            writer: NoticeWriter::default(),
            delivery_key,
            next_counter: 1,
            lease_until_ms: None,
            slow: SlowPolicy::default(),
            rows: BTreeMap::new(),
            notified: false,
        });
        place
    }

    pub(crate) fn has_lease(&self, place: Place) -> bool {
        self.all[place.0 as usize].lease_until_ms.is_some()
    }

    pub(crate) fn set_lease(&mut self, place: Place, until_ms: u64) {
        self.end_lease(place);
        self.all[place.0 as usize].lease_until_ms = Some(until_ms);
        self.leases.insert((until_ms, place));
    }

    pub(crate) fn end_lease(&mut self, place: Place) {
        if let Some(until_ms) = self.all[place.0 as usize].lease_until_ms.take() {
            self.leases.remove(&(until_ms, place));
        }
    }

    /// Takes out the first consumer whose lease ended before `time_ms`.
    pub(crate) fn pop_expired(&mut self, time_ms: u64) -> Option<Place> {
        let &(until_ms, place) = self.leases.first()?;
        if until_ms >= time_ms {
            return None;
        }
        self.end_lease(place);
        Some(place)
    }

    pub(crate) fn subscribe(
        &mut self,
        index: &mut Index,
        place: Place,
        id: u64,
        subscription: &Subscription,
    ) {
        let row = match self.all[place.0 as usize].rows.get(&id) {
            Some(row) => *row,
            None => {
                let row = self.new_row(Row {
                    consumer: place,
                    id,
                });
                self.all[place.0 as usize].rows.insert(id, row);
                row
            }
        };
        index.insert(row, subscription);
    }

    pub(crate) fn unsubscribe(&mut self, index: &mut Index, place: Place, id: u64) {
        if let Some(row) = self.all[place.0 as usize].rows.remove(&id) {
            index.remove(row);
            self.free_rows.push(row);
        }
    }

    pub(crate) fn unsubscribe_all(&mut self, index: &mut Index, place: Place) {
        let rows = core::mem::take(&mut self.all[place.0 as usize].rows);
        for row in rows.into_values() {
            index.remove(row);
            self.free_rows.push(row);
        }
    }

    /// Enters publication `number` into the notice of each consumer among `recipients`, which it sorts. A consumer that had no entry
    /// yet is added to `touched`. Returns by how many bytes the notices have grown.
    pub(crate) fn note(
        &mut self,
        number: u32,
        recipients: &mut [Row],
        key_and_hash: Option<(&[u8; 32], &[u8; 32])>,
        touched: &mut Vec<Place>,
    ) -> usize {
        let mut grown = 0;
        recipients.sort_unstable();
        for of_one in recipients.chunk_by(|a, b| a.consumer == b.consumer) {
            let place = of_one[0].consumer;
            let writer = &mut self.all[place.0 as usize].writer;
            let before = if writer.is_empty() {
                touched.push(place);
                0
            } else {
                writer.encoded_len()
            };
            writer.push(number, of_one.iter().map(|row| row.id), key_and_hash);
            grown += writer.encoded_len() - before;
        }
        grown
    }

    fn new_row(&mut self, row: Row) -> SubscriptionId {
        if let Some(id) = self.free_rows.pop() {
            self.rows[id.0 as usize] = row;
            return id;
        }
        self.rows.push(row);
        SubscriptionId(self.rows.len() as u32 - 1)
    }
}
