//! What an owner's control messages do to a domain.
//!
//! Invariant: what the receipt refuses has changed nothing.

use bytes::Bytes;
use sc_crypto::{Secret, VerifyingKey};
use sc_matching::Subscription;
use sc_proto::cbr;

use super::{Domain, Effect};
use crate::Malformed;
use crate::batch::Origin;
use crate::consumers::{Place, subscription_bytes};
use crate::control::{Control, ControlBody, SlowPolicy};
use crate::keys::Scope;
use crate::notice::NoticeKind;
use crate::receipt::Status;

/// Consumers that one domain may have in one session, gone ones counted.
pub const CONSUMERS_MAX: usize = 1 << 16;
/// Subscriptions that one consumer may have at once; few in this crate's unit tests, which reach the bound.
pub const SUBSCRIPTIONS_PER_CONSUMER_MAX: usize = if cfg!(test) { 8 } else { 1 << 20 };
/// Bytes that all subscriptions of one domain may take in memory, about; few in this crate's unit tests, which reach the bound.
pub const SUBSCRIPTION_BYTES_MAX: usize = if cfg!(test) { 6000 } else { 512 << 20 };

/// The fields of an admission.
struct Admission {
    consumer: VerifyingKey,
    delivery_key: Secret,
    lease_until_ms: u64,
    slow: SlowPolicy,
    retention_ms: u64,
    replace: bool,
    /// Id, what it takes, and what it says.
    subscriptions: Vec<(u64, usize, Subscription)>,
}

impl Domain {
    pub(super) fn apply(&mut self, plaintext: &[u8]) -> Result<Effect, Malformed> {
        let control = Control::decode(plaintext)?;
        let mut effect = Effect::default();
        self.advance_time(control.time_ms, &mut effect);
        match control.body {
            ControlBody::Admit {
                consumer,
                delivery_key,
                lease_until_ms,
                slow,
                retention_ms,
                replace,
                subscriptions,
            } => self.admit(
                Admission {
                    consumer,
                    delivery_key,
                    lease_until_ms,
                    slow,
                    retention_ms,
                    replace,
                    subscriptions: weighed(subscriptions),
                },
                &mut effect,
            ),
            ControlBody::Withdraw { consumer, ids } => {
                self.with_consumer(&consumer, &mut effect, |domain, place, _| {
                    ids.iter().for_each(|id| {
                        domain
                            .consumers
                            .unsubscribe(&mut domain.recipients, place, *id)
                    });
                })
            }
            ControlBody::Renew {
                consumer,
                lease_until_ms,
            } => self.with_consumer(&consumer, &mut effect, |domain, place, effect| {
                if domain.consumers.has_lease(place) {
                    domain.consumers.set_lease(place, lease_until_ms);
                } else {
                    // Its subscriptions are gone: a lease without them would look alive and get nothing, in silence.
                    effect.status = Some(Status::UnknownConsumer);
                }
            }),
            ControlBody::Revoke { consumer } => {
                self.with_consumer(&consumer, &mut effect, |domain, place, effect| {
                    domain.consumers.end_lease(place);
                    domain.drop_subscriptions(place, &NoticeKind::Revoked, effect);
                })
            }
            ControlBody::Tick => self.tick(&mut effect),
            ControlBody::Register {
                publisher,
                start,
                floor,
            } => self.register(publisher, start, floor, &mut effect),
            ControlBody::Dismiss { publisher } => {
                let status = self.publishers.dismiss(&publisher);
                publishes(publisher, 0, status, &mut effect);
            }
        }
        Ok(effect)
    }

    fn with_consumer(
        &mut self,
        key: &VerifyingKey,
        effect: &mut Effect,
        act: impl FnOnce(&mut Self, Place, &mut Effect),
    ) {
        match self.consumers.find(key) {
            Some(place) => act(self, place, effect),
            None => effect.status = Some(Status::UnknownConsumer),
        }
    }

    fn register(
        &mut self,
        publisher: VerifyingKey,
        start: u64,
        floor: Origin,
        effect: &mut Effect,
    ) {
        let status = self.publishers.register(publisher, start, floor);
        publishes(publisher, start, status, effect);
    }

    fn admit(&mut self, admission: Admission, effect: &mut Effect) {
        let known = self.consumers.find(&admission.consumer);
        if let Some(status) = self.refuses(known, &admission) {
            return effect.status = Some(status);
        }
        let place = known.unwrap_or_else(|| {
            let scope = Scope {
                party: admission.consumer,
                start: 0,
                ..*self.publishers.owner_scope()
            };
            self.consumers
                .add(scope, admission.delivery_key, self.plain)
        });
        if admission.replace {
            self.consumers.unsubscribe_all(&mut self.recipients, place);
        }
        self.consumers.set_lease(place, admission.lease_until_ms);
        for (id, bytes, subscription) in &admission.subscriptions {
            self.consumers
                .subscribe(&mut self.recipients, place, *id, subscription, *bytes);
        }
        effect.matched = admission.subscriptions.len() as u32;
        effect.admitted = Some(cbr::Admitted {
            consumer: Bytes::copy_from_slice(admission.consumer.as_bytes()),
            slow: match admission.slow {
                SlowPolicy::Block => cbr::SlowPolicy::Block,
                SlowPolicy::Disconnect => cbr::SlowPolicy::Disconnect,
                SlowPolicy::Spill => cbr::SlowPolicy::Spill,
            }
            .into(),
            retention_ms: admission.retention_ms,
        });
    }

    fn refuses(&self, known: Option<Place>, admission: &Admission) -> Option<Status> {
        let delivery_key = &admission.delivery_key;
        if known.is_some_and(|place| !self.consumers.has_delivery_key(place, delivery_key)) {
            // A second key would start a second counter under one consumer: its owner's program is at fault.
            return Some(Status::Malformed);
        }
        let added = admission.subscriptions.iter();
        let added = added.map(|(id, bytes, _)| (*id, *bytes));
        let (count, bytes) =
            self.consumers
                .after_admission(&self.recipients, known, admission.replace, added);
        let may_be_matched = |(_, _, subscription): &(u64, usize, Subscription)| {
            self.recipients.admits(subscription).is_ok()
        };
        let is_beyond = (known.is_none() && self.consumers.len() == CONSUMERS_MAX)
            || count > SUBSCRIPTIONS_PER_CONSUMER_MAX
            || bytes > SUBSCRIPTION_BYTES_MAX
            || !self.recipients.has_room(known, admission.replace, count)
            || !admission.subscriptions.iter().all(may_be_matched);
        is_beyond.then_some(Status::Limit)
    }
}

/// Tells the host who may publish from now on, if that has changed.
fn publishes(publisher: VerifyingKey, start: u64, status: Status, effect: &mut Effect) {
    if status == Status::Taken {
        effect.registered = Some(cbr::Registered {
            publisher: Bytes::copy_from_slice(publisher.as_bytes()),
            start,
        });
    }
    effect.status = Some(status);
}

fn weighed(subscriptions: Vec<(u64, Subscription)>) -> Vec<(u64, usize, Subscription)> {
    subscriptions
        .into_iter()
        .map(|(id, subscription)| (id, subscription_bytes(&subscription), subscription))
        .collect()
}
