//! The consumers of one domain in one session, and which subscriptions each of them holds.
//!
//! Invariant: a consumer once admitted keeps its record, delivery key and counter until the session ends, even when it is revoked, so
//! that no notice counter starts again under the same key.

use std::collections::{BTreeMap, BTreeSet};

use sc_crypto::{Secret, VerifyingKey};
use sc_matching::binary::encode_subscription;
use sc_matching::{Predicate, Subscription, SubscriptionId};

use crate::drafts::DraftId;
use crate::keys::{DeliveryKeys, MessageKind, Scope};
use crate::recipients::{Holding, Recipients};

/// What is kept of a subscription outside the index, in bytes, about: its holding, and its number among those of its consumer.
const SUBSCRIPTION_OVERHEAD_BYTES: usize = 64;

/// What a row of the index takes in bytes, about, that has little in common with others. In company, as most are, a row takes 16 to 25, up
/// to 330 among few without an equality; whoever subscribes chooses, and with tens of constraints can make a row take some 2,000.
const ROW_BYTES: usize = 320;

/// A set of more values is no way into the index.
const ROWS_MAX: usize = 64;

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
    /// The numbers of its subscriptions, by their ids.
    held: BTreeMap<u64, SubscriptionId>,
    /// What its subscriptions take, in bytes, about.
    bytes: usize,
    /// While it is suspended: what it has missed.
    pub(crate) suspended: Option<Missed>,
    /// Its notice of the batch that is being matched.
    pub(crate) draft: Option<DraftId>,
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
        !self.held.is_empty() && self.suspended.is_none()
    }
}

/// What a subscription takes in memory, about, and at most.
pub(crate) fn subscription_bytes(subscription: &Subscription) -> usize {
    let encoded = encode_subscription(subscription).len();
    SUBSCRIPTION_OVERHEAD_BYTES + rows(subscription) * ROW_BYTES + encoded
}

/// How many rows the index makes of a subscription at most: one for each value of a set that is its way in.
fn rows(subscription: &Subscription) -> usize {
    let sets = subscription.constraints().iter().map(|constraint| {
        let values = match constraint.predicate() {
            Predicate::In(values) => values.len(),
            _ => 1,
        };
        if values > ROWS_MAX { 1 } else { values }
    });
    sets.max().unwrap_or(1)
}

/// A consumer's place in [`Consumers`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Place(u32);

impl Place {
    #[cfg(test)]
    pub(crate) const FIRST: Self = Self(0);

    pub(crate) fn number(self) -> u32 {
        self.0
    }

    /// The place of this number; whether a consumer is there is the caller's to know.
    pub(crate) fn from_number(number: u32) -> Self {
        Self(number)
    }
}

#[derive(Default)]
pub(crate) struct Consumers {
    by_key: BTreeMap<VerifyingKey, Place>,
    all: Vec<Consumer>,
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

    /// Whether `key` is the delivery key under which the consumer was first admitted.
    pub(crate) fn has_delivery_key(&self, place: Place, key: &Secret) -> bool {
        self.all[place.0 as usize].delivery_key == *key
    }

    /// How many subscriptions the consumer would hold, and how many bytes all consumers' would take, after an admission with these
    /// (id, bytes), where the last of an id counts.
    pub(crate) fn after_admission(
        &self,
        recipients: &Recipients,
        place: Option<Place>,
        replace: bool,
        added: impl Iterator<Item = (u64, usize)>,
    ) -> (usize, usize) {
        let known = place.map(|place| &self.all[place.0 as usize]);
        let kept = known.filter(|_| !replace);
        let added: BTreeMap<u64, usize> = added.collect();
        let replaced: Vec<_> = kept
            .map(|kept| added.keys().filter_map(|id| kept.held.get(id)).collect())
            .unwrap_or_default();
        let gone = match known.filter(|_| replace) {
            Some(known) => known.bytes,
            None => replaced
                .iter()
                .map(|number| recipients.holding(**number).bytes as usize)
                .sum(),
        };
        let count = kept.map_or(0, |kept| kept.held.len()) - replaced.len() + added.len();
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
            held: BTreeMap::new(),
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

    /// Adds a subscription that takes `bytes`, in place of the one that had its id.
    ///
    /// # Panics
    /// For `bytes` beyond 4 GiB: encoded subscriptions are far shorter.
    pub(crate) fn subscribe(
        &mut self,
        recipients: &mut Recipients,
        place: Place,
        id: u64,
        subscription: &Subscription,
        bytes: usize,
    ) {
        self.unsubscribe(recipients, place, id);
        let holding = Holding {
            id,
            consumer: place,
            bytes: u32::try_from(bytes).expect("encoded subscriptions are short"),
        };
        let number = recipients.insert(subscription, holding);
        self.bytes += bytes;
        let consumer = self.get_mut(place);
        consumer.bytes += bytes;
        consumer.held.insert(id, number);
    }

    pub(crate) fn unsubscribe(&mut self, recipients: &mut Recipients, place: Place, id: u64) {
        let consumer = &mut self.all[place.0 as usize];
        if let Some(number) = consumer.held.remove(&id) {
            let bytes = recipients.holding(number).bytes as usize;
            consumer.bytes -= bytes;
            self.bytes -= bytes;
            recipients.remove(number);
        }
    }

    pub(crate) fn unsubscribe_all(&mut self, recipients: &mut Recipients, place: Place) {
        let consumer = &mut self.all[place.0 as usize];
        self.bytes -= core::mem::take(&mut consumer.bytes);
        for number in core::mem::take(&mut consumer.held).into_values() {
            recipients.remove(number);
        }
    }
}
