//! No (key, nonce) pair seals twice, through the long life of a domain: by the program, by a publisher, or by one and the other.
//!
//! The keys are computed here, by derivation, as their holders find them; a nonce is the message's counter, or zero for a payload. What
//! was sealed is opened under the very pair that is written down, so that none is written down under a wrong name.

use std::collections::{BTreeMap, BTreeSet};

use sc_cbr::{ControlBody, DomainKey, MessageKind, Notice, NoticeKind, Origin, Scope, SlowPolicy};
use sc_crypto::kdf::derive;
use sc_crypto::{AeadKey, Nonce, PayloadKey, PayloadSecret, Secret};
use sc_proto::cbr::{self, call::Call};

use crate::consumer::Consumer;
use crate::grantee::{Grantee, key, registration};
use crate::owner::{Enclave, Entropy, Session, Wish, domain_secrets, identity, subscription};

const PUBLISHERS: u64 = 3;
const CONSUMERS: u64 = 5;

/// Every pair under which something was sealed, key then nonce, with what it was.
#[derive(Default)]
struct Pairs(BTreeMap<([u8; 32], u64), MessageKind>);

impl Pairs {
    /// Writes down that `sealed` was sealed as message `counter` of `scope` under `key`.
    fn sealed(
        &mut self,
        kind: MessageKind,
        key: &Secret,
        scope: &Scope,
        counter: u64,
        sealed: &[u8],
    ) -> Vec<u8> {
        let data = scope.associated_data(kind, counter);
        let opened = AeadKey::new(key).open(Nonce::counter(counter), &data, sealed);
        self.enter(*key.expose(), counter, kind);
        opened.unwrap_or_else(|_| panic!("{kind:?} {counter} is sealed under another pair"))
    }

    /// Writes down a payload, whose nonce is zero.
    fn payload(&mut self, key: [u8; 32], data: &[u8], sealed: &[u8]) {
        PayloadKey::from_bytes(key).open(data, sealed).unwrap();
        self.enter(key, 0, MessageKind::Payload);
    }

    fn enter(&mut self, key: [u8; 32], nonce: u64, kind: MessageKind) {
        let before = self.0.insert((key, nonce), kind);
        assert_eq!(before, None, "{kind:?} {nonce} uses a pair again");
    }

    fn count(&self, kind: MessageKind) -> usize {
        self.0.values().filter(|of| **of == kind).count()
    }

    fn keys(&self, kind: MessageKind) -> usize {
        let of_kind = self.0.iter().filter(|(_, of)| **of == kind);
        of_kind
            .map(|((key, _), _)| key)
            .collect::<BTreeSet<_>>()
            .len()
    }
}

/// The keys of one publisher at one start, by their documented labels.
struct Keys {
    batch: Secret,
    receipt: Secret,
    payload: PayloadSecret,
}

impl Keys {
    fn new(secret: &Secret) -> Self {
        Self {
            batch: derive(secret, "batch", &[]),
            receipt: derive(secret, "receipt", &[]),
            payload: PayloadSecret::new(&derive(secret, "payload", &[])),
        }
    }
}

fn control_key(key: &DomainKey, scope: &Scope) -> Secret {
    let context: [&[u8]; 4] = [
        scope.domain.as_bytes(),
        &scope.session.to_le_bytes(),
        scope.party.as_bytes(),
        &scope.start.to_le_bytes(),
    ];
    derive(key.secret(), "control", &context)
}

fn notice_key(consumer: &Consumer, scope: &Scope) -> Secret {
    let context: [&[u8]; 3] = [
        scope.domain.as_bytes(),
        &scope.session.to_le_bytes(),
        scope.party.as_bytes(),
    ];
    derive(&consumer.delivery_key(), "notice", &context)
}

struct World {
    enclave: Enclave,
    session: Session,
    owner_keys: (Secret, Keys),
    grantees: Vec<Option<(Grantee, Keys)>>,
    consumers: Vec<Consumer>,
    pairs: Pairs,
    /// The last notice counter of each consumer in this session.
    last: BTreeMap<Vec<u8>, u64>,
    kinds: BTreeMap<&'static str, usize>,
    /// Registrations that were refused.
    refused: usize,
}

impl World {
    fn new() -> Self {
        let mut enclave = Enclave::new();
        let (session, owner_keys) = open(&mut enclave, 1, 1);
        Self {
            enclave,
            session,
            owner_keys,
            grantees: (0..PUBLISHERS).map(|_| None).collect(),
            consumers: (1..=CONSUMERS).map(Consumer::new).collect(),
            pairs: Pairs::default(),
            last: BTreeMap::new(),
            kinds: BTreeMap::new(),
            refused: 0,
        }
    }

    /// A later session of the owner; each second one at a later start.
    fn renew(&mut self, number: u64) {
        (self.session, self.owner_keys) = open(&mut self.enclave, number, number / 2 + 1);
        self.grantees.iter_mut().for_each(|grantee| *grantee = None);
        self.last.clear();
    }

    fn notices(&mut self, notices: &[cbr::Notice]) {
        for notice in notices {
            let is_its = |of: &&Consumer| of.key.as_bytes()[..] == notice.consumer[..];
            let consumer = self.consumers.iter().find(is_its).unwrap();
            let scope = consumer.scope(&self.session.scope);
            let opened = self.pairs.sealed(
                MessageKind::Notice,
                &notice_key(consumer, &scope),
                &scope,
                notice.counter,
                &notice.ciphertext,
            );
            let kind = match Notice::decode(&opened).unwrap().kind {
                NoticeKind::Matches { .. } => "matches",
                NoticeKind::Heartbeat { .. } => "heartbeat",
                NoticeKind::Expired => "expired",
                NoticeKind::Revoked => "revoked",
                NoticeKind::Suspended => "suspended",
                NoticeKind::Missed { .. } => "missed",
                _ => "unknown",
            };
            *self.kinds.entry(kind).or_default() += 1;
            let last = self.last.entry(notice.consumer.to_vec()).or_default();
            assert_eq!(notice.counter, *last + 1, "notices have no gaps");
            *last = notice.counter;
        }
    }

    fn tell(&mut self, body: ControlBody) {
        self.send(body);
    }

    /// The owner's message: it and its receipt. Returns whether the host is told that somebody may publish.
    fn send(&mut self, body: ControlBody) -> bool {
        let Call::Control(sealed) = self.session.control(body) else {
            unreachable!("a control message");
        };
        let scope = self.session.scope;
        let (control, keys) = &self.owner_keys;
        let counter = sealed.counter;
        self.pairs.sealed(
            MessageKind::Control,
            control,
            &scope,
            counter,
            &sealed.ciphertext,
        );
        let outcome = self.enclave.outcome(Call::Control(sealed));
        self.pairs.sealed(
            MessageKind::Receipt,
            &keys.receipt,
            &scope,
            counter,
            &outcome.receipt,
        );
        self.notices(&outcome.notices);
        outcome.registered.is_some_and(|told| told.start != 0)
    }

    fn publish(&mut self) {
        let two = ["i a 1", "i a 2"].map(crate::owner::publication);
        let (call, payloads) = self.session.batch(&two);
        let Call::Batch(sealed) = call else {
            unreachable!("a batch");
        };
        let outcome = self.enclave.outcome(Call::Batch(sealed.clone()));
        let scope = self.session.scope;
        let keys = &self.owner_keys.1;
        batch(&mut self.pairs, keys, &scope, &sealed, &payloads, &outcome);
        self.notices(&outcome.notices);
    }

    /// The batch of publisher `at`, if it is registered now.
    fn publish_of(&mut self, at: usize) {
        let Some((grantee, keys)) = &mut self.grantees[at] else {
            return;
        };
        let (sealed, payloads) = grantee.batch(&["i a 1", "i a 3"]);
        let outcome = self.enclave.outcome(Call::Batch(sealed.clone()));
        let scope = grantee.scope;
        batch(&mut self.pairs, keys, &scope, &sealed, &payloads, &outcome);
        self.notices(&outcome.notices);
    }

    /// Registers publisher `at` at this start. Where the program refuses, what is open goes on.
    fn register(&mut self, at: usize, start: u64) {
        let publisher = key(at as u64);
        if self.send(registration(publisher, start, Origin::default())) {
            let keys = Keys::new(&self.session.grant(publisher, start));
            let grantee = Grantee::new(&self.session, at as u64, start);
            self.grantees[at] = Some((grantee, keys));
        } else {
            self.refused += 1;
        }
    }

    fn dismiss(&mut self, at: usize) {
        let publisher = key(at as u64);
        self.tell(ControlBody::Dismiss { publisher });
        self.grantees[at] = None;
    }

    /// Suspends consumer `at`, or resumes it if it is; neither while it is unknown.
    fn toggle(&mut self, at: usize) {
        let consumer = &self.consumers[at];
        let scope = &self.session.scope;
        for call in [
            crate::owner::suspend(scope, consumer),
            crate::owner::resume(scope, consumer),
        ] {
            if let cbr::reply::Reply::Outcome(outcome) = self.enclave.call(call) {
                return self.notices(&outcome.notices);
            }
        }
    }

    fn admit(&mut self, at: usize, lease_ms: u64) {
        let consumer = &self.consumers[at];
        let body = ControlBody::Admit {
            retention_ms: 0,
            consumer: consumer.key,
            delivery_key: consumer.delivery_key(),
            lease_until_ms: self.session.now_ms + lease_ms,
            slow: SlowPolicy::Block,
            replace: true,
            subscriptions: vec![(1, subscription("i a = 1"))],
        };
        self.tell(body);
    }

    /// One thing with each consumer and each publisher, in an order that `round` chooses, with batches and ticks between.
    fn live(&mut self, round: u64) {
        for at in 0..self.consumers.len() {
            let consumer = self.consumers[at].key;
            match (round + at as u64) % 8 {
                0 => self.admit(at, 100),
                1 => self.tell(ControlBody::Revoke { consumer }),
                2 => {
                    let lease_until_ms = self.session.now_ms + 50;
                    self.tell(ControlBody::Renew {
                        consumer,
                        lease_until_ms,
                    });
                }
                3 => self.session.now_ms += 101,
                4 => self.tell(ControlBody::Withdraw {
                    consumer,
                    ids: vec![1],
                }),
                5 | 6 => self.toggle(at),
                _ => self.admit(at, 30),
            }
            let publisher = at % PUBLISHERS as usize;
            match (round * 3 + at as u64) % 7 {
                0 => self.dismiss(publisher),
                // Starts that were used before, too: the program refuses them.
                of => self.register(publisher, round / 2 + of),
            }
            self.publish();
            (0..PUBLISHERS as usize).for_each(|at| self.publish_of(at));
            self.tell(ControlBody::Tick);
        }
    }
}

/// A session of the owner, and the owner's control key and publisher's keys in it.
fn open(enclave: &mut Enclave, number: u64, start: u64) -> (Session, (Secret, Keys)) {
    let owner = identity(1);
    let wish = Wish {
        start,
        ..Wish::session(number)
    };
    let mut entropy = Entropy::new(3000 + number);
    let secrets = domain_secrets(&owner, &wish, &mut entropy);
    let key = DomainKey::new(secrets.key.secret().duplicate());
    let session = Session::provision(enclave, &owner, secrets, &mut entropy).unwrap();
    let control = control_key(&key, &session.scope);
    let keys = Keys::new(&key.publisher_secret(&session.scope));
    (session, (control, keys))
}

/// Writes down a batch, its payloads and its receipt.
fn batch(
    pairs: &mut Pairs,
    keys: &Keys,
    scope: &Scope,
    sealed: &cbr::Sealed,
    payloads: &[Vec<u8>],
    outcome: &cbr::Outcome,
) {
    let counter = sealed.counter;
    let (kind, key) = (MessageKind::Batch, &keys.batch);
    pairs.sealed(kind, key, scope, counter, &sealed.ciphertext);
    let (kind, key) = (MessageKind::Receipt, &keys.receipt);
    pairs.sealed(kind, key, scope, counter, &outcome.receipt);
    let mut data = scope.payload_data(counter);
    for (index, payload) in (0..).zip(payloads) {
        let key = *keys.payload.key(counter, index).expose();
        pairs.payload(key, data.of(index), payload);
    }
}

#[test]
fn no_key_seals_twice_under_one_nonce_in_a_long_life() {
    let mut world = World::new();

    for number in 1..=6 {
        if number > 1 {
            world.renew(number);
        }
        for round in 0..14 {
            world.live(round * number);
        }
    }

    // The life was not too quiet to say anything: every kind of message under many keys, every kind of notice.
    for (kind, pairs, keys) in [
        (MessageKind::Batch, 1000, 30),
        (MessageKind::Control, 800, 6),
        (MessageKind::Receipt, 1800, 30),
        (MessageKind::Notice, 800, 25),
        (MessageKind::Payload, 2000, 2000),
    ] {
        let (found, under) = (world.pairs.count(kind), world.pairs.keys(kind));
        assert!(found >= pairs, "{found} pairs of {kind:?}");
        assert!(under >= keys, "{under} keys of {kind:?}");
    }
    let kinds: Vec<_> = world.kinds.keys().copied().collect();
    let all = [
        "expired",
        "heartbeat",
        "matches",
        "missed",
        "revoked",
        "suspended",
    ];
    assert_eq!(kinds, all);
    assert!(world.refused > 50, "{} registrations", world.refused);
}

#[test]
#[should_panic(expected = "uses a pair again")]
fn a_pair_that_is_used_again_is_seen() {
    let mut world = World::new();
    world.admit(0, 100);
    let call = world.session.batch(&[crate::owner::publication("i a 1")]).0;
    let outcome = world.enclave.outcome(call);

    world.notices(&outcome.notices);
    world.last.clear();
    world.notices(&outcome.notices);
}

#[test]
fn the_same_counter_in_two_sessions_is_sealed_under_two_keys() {
    let mut enclave = Enclave::new();
    let consumer = Consumer::new(1);
    let mut notices = Vec::new();
    for number in [1, 2] {
        let mut session = Session::open(&mut enclave, &identity(1), number);
        session.admit(&mut enclave, &consumer, &[(1, "i a = 1")]);
        let (_, made, _) = session.publish(&mut enclave, &["i a 1"]);
        notices.push((session.scope, made[0].clone()));
    }
    let [(first, of_first), (second, of_second)] = &notices[..] else {
        unreachable!("two sessions");
    };

    assert_eq!((of_first.counter, of_second.counter), (1, 1));
    assert!(consumer.try_open(first, of_first).is_some());
    assert!(consumer.try_open(second, of_second).is_some());
    assert_eq!(consumer.try_open(first, of_second), None);
    assert_eq!(consumer.try_open(second, of_first), None);
}

#[test]
fn a_refused_message_uses_no_counter_up() {
    let mut enclave = Enclave::new();
    let mut session = Session::open(&mut enclave, &identity(1), 1);
    let consumer = Consumer::new(1);
    session.admit(&mut enclave, &consumer, &[(1, "i a = 1")]);
    let (first, _) = session.batch(&[crate::owner::publication("i a 1")]);

    let outcome = enclave.outcome(first.clone());
    for _ in 0..3 {
        enclave.refusal(first.clone());
    }
    let (_, notices, _) = session.publish(&mut enclave, &["i a 1"]);

    assert_eq!(outcome.notices[0].counter, 1);
    assert_eq!(notices[0].counter, 2);
}
