//! The consumers of one domain in one session, and whose subscription each row of the index is.
//!
//! Invariants: a consumer once admitted keeps its record, delivery key and counter until the session ends, even when it is revoked,
//! so that no notice counter starts again under the same key; a row in use belongs to one (consumer, subscription id).

use std::collections::{BTreeMap, BTreeSet};

use sc_crypto::{Secret, VerifyingKey};
use sc_matching::{Index, Subscription, SubscriptionId};

use crate::drafts::DraftId;
use crate::keys::{DeliveryKeys, MessageKind, Scope};

/// What a subscription takes in memory besides its encoded form, about: its places in the index, and its row.
const SUBSCRIPTION_OVERHEAD_BYTES: usize = 256;

/// What was not noted for a consumer.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Missed {
    pub(crate) batches: u64,
    pub(crate) publications: u64,
}

impl Missed {
    pub(crate) fn add(&mut self, more: Self) {
        self.batches += more.batches;
        self.publications += more.publications;
    }
}

/// One consumer.
pub(crate) struct Consumer {
    pub(crate) scope: Scope,
    keys: DeliveryKeys,
    delivery_key: Secret,
    next_counter: u64,
    /// Until when, owner time; `None` once it has ended.
    lease_until_ms: Option<u64>,
    rows: BTreeMap<u64, Held>,
    /// What its subscriptions take, in bytes, about.
    bytes: usize,
    /// While it is suspended: what it has missed.
    pub(crate) suspended: Option<Missed>,
    /// Its notice of the batch that is being matched.
    pub(crate) draft: Option<DraftId>,
}

/// One subscription of a consumer.
struct Held {
    row: SubscriptionId,
    bytes: usize,
}

impl Consumer {
    /// Seals its next notice; returns the notice's counter and ciphertext.
    pub(crate) fn seal_notice(&mut self, plaintext: &[u8]) -> (u64, Vec<u8>) {
        let counter = self.next_counter;
        self.next_counter += 1;
        let mut ciphertext = Vec::with_capacity(plaintext.len() + 16);
        self.keys.notice.seal(
            &self.scope,
            MessageKind::Notice,
            counter,
            plaintext,
            &mut ciphertext,
        );
        (counter, ciphertext)
    }

    /// Whether a tick gives it a heartbeat.
    pub(crate) fn is_listening(&self) -> bool {
        !self.rows.is_empty() && self.suspended.is_none()
    }
}

/// What a subscription of this encoded length takes in memory, about.
pub(crate) fn subscription_bytes(encoded: usize) -> usize {
    SUBSCRIPTION_OVERHEAD_BYTES + encoded
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
    /// What all subscriptions take, in bytes, about.
    bytes: usize,
}

impl Consumers {
    pub(crate) fn len(&self) -> usize {
        self.all.len()
    }

    pub(crate) fn find(&self, key: &VerifyingKey) -> Option<Place> {
        self.by_key.get(key).copied()
    }

    pub(crate) fn get(&self, place: Place) -> &Consumer {
        &self.all[place.0 as usize]
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

    /// How many subscriptions the consumer would hold, and how many bytes all consumers' would take, after an admission with these
    /// (id, bytes), where the last of an id counts.
    pub(crate) fn after_admission(
        &self,
        place: Option<Place>,
        replace: bool,
        added: impl Iterator<Item = (u64, usize)>,
    ) -> (usize, usize) {
        let held = place.map(|place| &self.all[place.0 as usize]);
        let kept = held.filter(|_| !replace);
        let added: BTreeMap<u64, usize> = added.collect();
        let replaced: Vec<_> = kept
            .map(|kept| added.keys().filter_map(|id| kept.rows.get(id)).collect())
            .unwrap_or_default();
        let gone = match held.filter(|_| replace) {
            Some(held) => held.bytes,
            None => replaced.iter().map(|held| held.bytes).sum(),
        };
        let count = kept.map_or(0, |kept| kept.rows.len()) - replaced.len() + added.len();
        (count, self.bytes - gone + added.values().sum::<usize>())
    }

    pub(crate) fn add(&mut self, scope: Scope, delivery_key: Secret, plain: bool) -> Place {
        let place = Place(self.all.len() as u32);
        self.by_key.insert(scope.party, place);
        self.all.push(Consumer {
            scope,
            keys: DeliveryKeys::new(&delivery_key, &scope, plain),
            delivery_key,
            next_counter: 1,
            lease_until_ms: None,
            rows: BTreeMap::new(),
            bytes: 0,
            suspended: None,
            draft: None,
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
        bytes: usize,
    ) {
        self.unsubscribe(index, place, id);
        let row = self.new_row(Row {
            consumer: place,
            id,
        });
        index.insert(row, subscription);
        self.bytes += bytes;
        let consumer = self.get_mut(place);
        consumer.bytes += bytes;
        consumer.rows.insert(id, Held { row, bytes });
    }

    pub(crate) fn unsubscribe(&mut self, index: &mut Index, place: Place, id: u64) {
        let consumer = &mut self.all[place.0 as usize];
        if let Some(Held { row, bytes }) = consumer.rows.remove(&id) {
            consumer.bytes -= bytes;
            self.bytes -= bytes;
            index.remove(row);
            self.free_rows.push(row);
        }
    }

    pub(crate) fn unsubscribe_all(&mut self, index: &mut Index, place: Place) {
        let consumer = &mut self.all[place.0 as usize];
        self.bytes -= core::mem::take(&mut consumer.bytes);
        for held in core::mem::take(&mut consumer.rows).into_values() {
            index.remove(held.row);
            self.free_rows.push(held.row);
        }
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
