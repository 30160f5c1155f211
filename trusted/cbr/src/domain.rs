//! One domain in one session: its keys, its publisher's counter, its consumers and their subscriptions.

use bytes::Bytes;
use sc_crypto::{DomainId, PayloadKey, Secret, VerifyingKey};
use sc_matching::{Header, Index, Matches, Subscription};
use sc_proto::cbr;

use crate::Malformed;
use crate::batch::Batch;
use crate::consumers::{Consumers, Place};
use crate::control::{Control, ControlBody, SlowPolicy};
use crate::keys::{Cipher, MessageKind, PublisherKeys, Scope, control_cipher};
use crate::notice::NoticeKind;
use crate::receipt::{Receipt, Status};
use crate::secrets::DomainSecrets;

/// Consumers that one domain may have in one session, gone ones counted.
pub const CONSUMERS_MAX: usize = 1 << 16;
/// Bytes of notices that one batch may lead to, about: far below what the stream to the host carries in one piece. Few in this crate's
/// unit tests, which reach the bound.
pub const NOTICES_BYTES_MAX: usize = if cfg!(test) { 1024 } else { 64 << 20 };
/// Subscriptions that one consumer may have at once; few in this crate's unit tests, which reach the bound.
pub const SUBSCRIPTIONS_PER_CONSUMER_MAX: usize = if cfg!(test) { 8 } else { 1 << 20 };

/// Why a message of a publisher was not taken. Its counter does not advance.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum NotTaken {
    /// Another session, publisher or start.
    Session,
    /// Seen already, or one before it is missing: this is the next.
    Counter { expected: u64 },
    /// It does not open.
    NotAuthentic,
}

pub(crate) struct Domain {
    id: DomainId,
    session: u64,
    plain: bool,
    scope: Scope,
    control: Cipher,
    keys: PublisherKeys,
    next_counter: u64,
    time_ms: u64,
    consumers: Consumers,
    index: Index,
    matched: Matches,
}

/// What taking a message produced.
#[derive(Default)]
struct Effect {
    status: Option<Status>,
    matched: u32,
    deliveries: u64,
    notices: Vec<cbr::Notice>,
    admitted: Option<cbr::Admitted>,
}

impl Effect {
    fn refused(status: Status) -> Self {
        Self {
            status: Some(status),
            ..Self::default()
        }
    }
}

impl Domain {
    /// A domain just provisioned; `seed` keys the index's hashing.
    pub(crate) fn new(
        id: DomainId,
        owner: VerifyingKey,
        secrets: &DomainSecrets,
        seed: u64,
    ) -> Self {
        let scope = Scope {
            domain: id,
            session: secrets.session,
            party: owner,
            start: secrets.start,
        };
        Self {
            id,
            session: secrets.session,
            plain: secrets.plain,
            scope,
            control: control_cipher(&secrets.key, &scope, secrets.plain),
            keys: PublisherKeys::new(&secrets.key.publisher_secret(&scope), secrets.plain),
            next_counter: 1,
            time_ms: secrets.time_ms,
            consumers: Consumers::default(),
            index: Index::new(seed),
            matched: Matches::default(),
        }
    }

    pub(crate) fn session(&self) -> u64 {
        self.session
    }

    /// Takes the next message of the publisher and makes its receipt and notices.
    pub(crate) fn take(
        &mut self,
        kind: MessageKind,
        message: &cbr::Sealed,
    ) -> Result<cbr::Outcome, NotTaken> {
        let scope = self.scope;
        if message.session != scope.session
            || message.start != scope.start
            || message.publisher[..] != scope.party.as_bytes()[..]
        {
            return Err(NotTaken::Session);
        }
        if message.counter != self.next_counter {
            return Err(NotTaken::Counter {
                expected: self.next_counter,
            });
        }
        let cipher = if kind == MessageKind::Control {
            &self.control
        } else {
            &self.keys.batch
        };
        let mut sealed = zeroize::Zeroizing::new(message.ciphertext.to_vec());
        let plaintext = cipher
            .open(&scope, kind, message.counter, &mut sealed)
            .map_err(|_| NotTaken::NotAuthentic)?;

        self.next_counter += 1;
        let effect = match kind {
            MessageKind::Control => self.apply(plaintext),
            _ => self.publish(message.counter, plaintext),
        }
        .unwrap_or_else(|_| Effect::refused(Status::Malformed));
        Ok(self.outcome(message.counter, effect))
    }

    fn outcome(&self, counter: u64, effect: Effect) -> cbr::Outcome {
        let status = effect.status.unwrap_or(Status::Taken);
        let receipt = Receipt {
            counter,
            status,
            matched: effect.matched,
            deliveries: effect.deliveries,
        };
        let mut sealed = Vec::new();
        self.keys.receipt.seal(
            &self.scope,
            MessageKind::Receipt,
            counter,
            &receipt.encode(),
            &mut sealed,
        );
        cbr::Outcome {
            receipt: sealed.into(),
            notices: effect.notices,
            admitted: effect.admitted,
            registered: None,
        }
    }

    fn apply(&mut self, plaintext: &[u8]) -> Result<Effect, Malformed> {
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
            } => {
                self.admit(
                    consumer,
                    delivery_key,
                    lease_until_ms,
                    slow,
                    retention_ms,
                    replace,
                    &subscriptions,
                    &mut effect,
                );
            }
            ControlBody::Withdraw { consumer, ids } => {
                self.with_consumer(&consumer, &mut effect, |domain, place, _| {
                    ids.iter()
                        .for_each(|id| domain.consumers.unsubscribe(&mut domain.index, place, *id));
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
                    domain.dismiss(place, &NoticeKind::Revoked, effect);
                })
            }
            ControlBody::Tick => self.tick(&mut effect),
            ControlBody::Register { .. } | ControlBody::Dismiss { .. } => {
                effect.status = Some(Status::Malformed);
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

    #[expect(
        clippy::too_many_arguments,
        reason = "the fields of one message, taken apart by its only caller"
    )]
    fn admit(
        &mut self,
        consumer: VerifyingKey,
        delivery_key: Secret,
        lease_until_ms: u64,
        slow: SlowPolicy,
        retention_ms: u64,
        replace: bool,
        subscriptions: &[(u64, Subscription)],
        effect: &mut Effect,
    ) {
        let known = self.consumers.find(&consumer);
        let kept = known.filter(|_| !replace);
        let ids = subscriptions.iter().map(|(id, _)| *id);
        if known.is_some_and(|place| !self.consumers.has_delivery_key(place, &delivery_key)) {
            // A second key would start a second counter under one consumer: its owner's program is at fault.
            return effect.status = Some(Status::Malformed);
        }
        if (known.is_none() && self.consumers.len() == CONSUMERS_MAX)
            || self.consumers.subscriptions_with(kept, ids) > SUBSCRIPTIONS_PER_CONSUMER_MAX
        {
            return effect.status = Some(Status::Limit);
        }
        let place = known.unwrap_or_else(|| {
            let scope = Scope {
                domain: self.id,
                session: self.session,
                party: consumer,
                start: 0,
            };
            self.consumers.add(scope, delivery_key, self.plain)
        });
        if replace {
            self.consumers.unsubscribe_all(&mut self.index, place);
        }
        self.consumers.get_mut(place).slow = slow;
        self.consumers.set_lease(place, lease_until_ms);
        for (id, subscription) in subscriptions {
            self.consumers
                .subscribe(&mut self.index, place, *id, subscription);
        }
        effect.matched = subscriptions.len() as u32;
        effect.admitted = Some(cbr::Admitted {
            consumer: Bytes::copy_from_slice(consumer.as_bytes()),
            slow: match slow {
                SlowPolicy::Block => cbr::SlowPolicy::Block,
                SlowPolicy::Disconnect => cbr::SlowPolicy::Disconnect,
                SlowPolicy::Spill => cbr::SlowPolicy::Spill,
            }
            .into(),
            retention_ms,
        });
    }

    /// Moves the domain's time forward, never back, and drops what has expired by then.
    fn advance_time(&mut self, time_ms: u64, effect: &mut Effect) {
        if time_ms <= self.time_ms {
            return;
        }
        self.time_ms = time_ms;
        while let Some(place) = self.consumers.pop_expired(time_ms) {
            self.dismiss(place, &NoticeKind::Expired, effect);
        }
    }

    fn dismiss(&mut self, place: Place, kind: &NoticeKind, effect: &mut Effect) {
        self.consumers.unsubscribe_all(&mut self.index, place);
        self.seal_notice(place, kind, effect);
    }

    fn tick(&mut self, effect: &mut Effect) {
        for place in self.consumers.places() {
            let consumer = self.consumers.get_mut(place);
            if !consumer.notified && consumer.is_subscribed() {
                let publishers = Vec::new();
                self.seal_notice(place, &NoticeKind::Heartbeat { publishers }, effect);
            }
            self.consumers.get_mut(place).notified = false;
        }
    }

    /// Opens a batch's headers one after another, and seals a notice for each consumer that one of them matched.
    fn publish(&mut self, counter: u64, plaintext: &[u8]) -> Result<Effect, Malformed> {
        let batch = Batch::decode(plaintext, self.plain)?;
        let mut effect = Effect::default();
        self.advance_time(batch.time_ms, &mut effect);

        let mut touched = Vec::new();
        let collected = self.collect(counter, &batch, &mut touched);
        let goes_out = matches!(collected, Ok(Some(_)));
        touched.sort_unstable();
        let kind = NoticeKind::Matches {
            publisher: self.scope.party,
            start: self.scope.start,
            counter,
            origin: batch.origin,
        };
        for place in touched {
            if goes_out {
                effect.deliveries += self.consumers.get_mut(place).writer.deliveries();
                self.seal_notice(place, &kind, &mut effect);
            } else {
                // Nobody gets anything of a batch that is refused, and nothing of it may stay behind for the next.
                self.consumers.get_mut(place).writer.discard();
            }
        }
        match collected {
            Ok(Some(matched)) => effect.matched = matched,
            Ok(None) => effect.status = Some(Status::Limit),
            // The notices of leases that its time ended have their counters already: they go out.
            Err(Malformed(_)) => effect.status = Some(Status::Malformed),
        }
        Ok(effect)
    }

    /// Matches every header of `batch` and enters it for its recipients; returns how many publications matched,
    /// or nothing as soon as the notices exceed their bound.
    fn collect(
        &mut self,
        counter: u64,
        batch: &Batch<'_>,
        touched: &mut Vec<Place>,
    ) -> Result<Option<u32>, Malformed> {
        let Self {
            index,
            consumers,
            matched,
            keys,
            ..
        } = self;
        let names = index.names(&batch.headers);
        let mut headers = batch.headers.headers();
        let mut header = Header::new();
        let mut recipients = Vec::new();
        let mut with_matches = 0;
        let mut notices_bytes = 0;
        for number in 0.. {
            if !headers
                .next_header(&mut header)
                .map_err(|_| Malformed("a header does not decode"))?
            {
                break;
            }
            index.matches(&names, &header, matched);
            if matched.count() == 0 {
                continue;
            }
            with_matches += 1;
            recipients.clear();
            recipients.extend(matched.ids().map(|id| consumers.row(id)));
            let key = keys.payload_key(counter, number);
            let key_and_hash = key
                .as_ref()
                .map(PayloadKey::expose)
                .zip(batch.payload_hash(number));
            notices_bytes += consumers.note(number, &mut recipients, key_and_hash, touched);
            if notices_bytes > NOTICES_BYTES_MAX {
                return Ok(None);
            }
        }
        Ok(Some(with_matches))
    }

    fn seal_notice(&mut self, place: Place, kind: &NoticeKind, effect: &mut Effect) {
        let consumer = self.consumers.get_mut(place);
        let counter = consumer.take_counter();
        let payloads = consumer.writer.take_payloads();
        let mut plaintext = zeroize::Zeroizing::new(Vec::new());
        consumer
            .writer
            .finish(kind, self.time_ms, self.plain, &mut plaintext);
        let mut ciphertext = Vec::with_capacity(plaintext.len() + 16);
        consumer.keys.notice.seal(
            &consumer.scope,
            MessageKind::Notice,
            counter,
            &plaintext,
            &mut ciphertext,
        );
        consumer.notified = true;
        effect.notices.push(cbr::Notice {
            consumer: Bytes::copy_from_slice(consumer.scope.party.as_bytes()),
            counter,
            ciphertext: ciphertext.into(),
            payloads,
        });
    }
}

#[cfg(test)]
mod tests {
    use sc_crypto::{OwnerSecret, Secret};
    use sc_matching::{Publication, Subscription};

    use super::*;
    use crate::batch::{BatchWriter, Origin};
    use crate::keys::DomainKey;

    const MAX: u64 = SUBSCRIPTIONS_PER_CONSUMER_MAX as u64;

    fn domain() -> Domain {
        let owner = OwnerSecret::from_seed(Secret::from_bytes([1; 32]));
        let secrets = DomainSecrets {
            key: DomainKey::new(Secret::from_bytes([2; 32])),
            session: 1,
            start: 1,
            floor: Origin::default(),
            time_ms: 1,
            plain: false,
            owner: owner.public().clone(),
            certificate: Vec::new(),
        };
        let id = owner.public().domain_id();
        Domain::new(id, owner.signing_key().verifying_key(), &secrets, 1)
    }

    /// Admits consumer 7 with subscriptions of these ids; returns what became of it, and how many it holds then.
    fn admit(
        domain: &mut Domain,
        replace: bool,
        ids: impl Iterator<Item = u64>,
    ) -> (Status, usize) {
        let everything = Subscription::new([]).unwrap();
        let body = ControlBody::Admit {
            consumer: VerifyingKey::from_bytes([7; 32]),
            delivery_key: Secret::from_bytes([3; 32]),
            lease_until_ms: 100,
            slow: SlowPolicy::Block,
            retention_ms: 0,
            replace,
            subscriptions: ids.map(|id| (id, everything.clone())).collect(),
        };
        let effect = domain
            .apply(&Control { time_ms: 1, body }.encode())
            .unwrap();
        let status = effect.status.unwrap_or(Status::Taken);
        (status, domain.index.len())
    }

    #[test]
    fn a_consumer_holds_as_many_subscriptions_as_the_bound_and_no_more() {
        let mut domain = domain();

        assert_eq!(admit(&mut domain, false, 0..MAX), (Status::Taken, 8));
        assert_eq!(admit(&mut domain, false, MAX..=MAX), (Status::Limit, 8));
        assert_eq!(admit(&mut domain, true, 0..=MAX), (Status::Limit, 8));
    }

    /// What becomes of a batch of `count` publications, and how many notices it leads to.
    fn publish(domain: &mut Domain, count: u32) -> (Status, usize) {
        let mut writer = BatchWriter::default();
        for _ in 0..count {
            writer.push(&Publication::new(), Some(&[9; 32])).unwrap();
        }
        let origin = Origin {
            start: 1,
            number: 1,
        };
        let effect = domain.publish(1, &writer.finish(origin, 1)).unwrap();
        (effect.status.unwrap_or(Status::Taken), effect.notices.len())
    }

    #[test]
    fn a_batch_whose_notices_exceed_the_bound_is_refused_and_leaves_nothing_behind() {
        let mut domain = domain();
        admit(&mut domain, false, 0..1);

        assert_eq!(publish(&mut domain, 20), (Status::Limit, 0));
        assert_eq!(publish(&mut domain, 5), (Status::Taken, 1));
    }

    #[test]
    fn ids_that_are_there_already_or_come_twice_count_once() {
        let mut domain = domain();
        admit(&mut domain, false, 0..MAX);

        assert_eq!(admit(&mut domain, false, 0..MAX), (Status::Taken, 8));
        assert_eq!(
            admit(&mut domain, true, (0..MAX).chain(0..MAX)),
            (Status::Taken, 8)
        );
    }

    #[test]
    fn an_admission_beyond_the_bound_leaves_everything_as_it_was() {
        let mut domain = domain();
        assert_eq!(admit(&mut domain, false, 0..=MAX), (Status::Limit, 0));
        assert_eq!(domain.consumers.len(), 0);
        admit(&mut domain, false, 0..3);

        assert_eq!(admit(&mut domain, true, 0..=MAX), (Status::Limit, 3));
    }
}
