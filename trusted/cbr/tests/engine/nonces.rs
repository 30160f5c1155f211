//! No (key, nonce) pair seals twice, through the long life of a domain.
//!
//! A nonce is its sequence's counter and a key belongs to one sequence, so the claim is observable: a counter that was seen again under
//! the same key with other bytes would be a nonce used twice. Everything that the engine ever sealed is collected here under the name of
//! its key (found by derivation, as a consumer or owner finds it) and its counter.

use std::collections::BTreeMap;

use sc_cbr::{ControlBody, SlowPolicy};
use sc_proto::cbr;

use crate::consumer::Consumer;
use crate::owner::{Enclave, Session, identity, subscription};

/// (what seals, session, whose, counter) and the ciphertext.
type Seen = BTreeMap<(&'static str, u64, Vec<u8>, u64), Vec<u8>>;

struct World {
    enclave: Enclave,
    session: Session,
    seen: Seen,
    /// The last notice counter of each consumer in this session.
    last: BTreeMap<Vec<u8>, u64>,
}

impl World {
    fn record(&mut self, kind: &'static str, whose: &[u8], counter: u64, bytes: &[u8]) {
        let name = (kind, self.session.scope.session, whose.to_vec(), counter);
        let before = self.seen.insert(name, bytes.to_vec());
        assert_eq!(before, None, "{kind} {counter} was sealed twice");
    }

    fn outcome(&mut self, outcome: &cbr::Outcome) {
        let counter = self.session.next_counter - 1;
        self.record("receipt", b"owner", counter, &outcome.receipt);
        for notice in &outcome.notices {
            self.record(
                "notice",
                &notice.consumer,
                notice.counter,
                &notice.ciphertext,
            );
            let last = self.last.entry(notice.consumer.to_vec()).or_default();
            assert_eq!(
                notice.counter,
                *last + 1,
                "notices are counted without gaps"
            );
            *last = notice.counter;
        }
    }

    fn tell(&mut self, body: ControlBody) {
        let call = self.session.control(body);
        let outcome = self.enclave.outcome(call);
        self.outcome(&outcome);
    }

    fn publish(&mut self) {
        let (call, _) = self.session.batch(&[crate::owner::publication("i a 1")]);
        let outcome = self.enclave.outcome(call);
        self.outcome(&outcome);
    }

    fn admit(&mut self, consumer: &Consumer, lease_ms: u64) {
        let lease_until_ms = self.session.now_ms + lease_ms;
        self.tell(ControlBody::Admit {
            retention_ms: 0,
            consumer: consumer.key,
            delivery_key: consumer.delivery_key(),
            lease_until_ms,
            slow: SlowPolicy::Block,
            replace: true,
            subscriptions: vec![(1, subscription("i a = 1"))],
        });
    }

    fn renew(&mut self, number: u64) {
        self.session = Session::open(&mut self.enclave, &identity(1), number);
        self.last.clear();
    }

    /// Admit, publish, revoke, admit again, renew, let expire, admit again, withdraw, in an order that `round` chooses.
    fn live(&mut self, round: u64, consumers: &[Consumer]) {
        for (place, consumer) in consumers.iter().enumerate() {
            let key = consumer.key;
            match (round + place as u64) % 6 {
                0 => self.admit(consumer, 100),
                1 => self.tell(ControlBody::Revoke { consumer: key }),
                2 => self.tell(ControlBody::Renew {
                    consumer: key,
                    lease_until_ms: self.session.now_ms + 50,
                }),
                3 => self.session.now_ms += 101,
                4 => self.tell(ControlBody::Withdraw {
                    consumer: key,
                    ids: vec![1],
                }),
                _ => self.admit(consumer, 30),
            }
            self.publish();
            self.tell(ControlBody::Tick);
        }
    }
}

#[test]
fn no_counter_is_sealed_twice_under_one_key_in_a_long_life() {
    let mut enclave = Enclave::new();
    let session = Session::open(&mut enclave, &identity(1), 1);
    let mut world = World {
        enclave,
        session,
        seen: Seen::new(),
        last: BTreeMap::new(),
    };
    let consumers: Vec<_> = (1..=5).map(Consumer::new).collect();

    for number in 1..=8 {
        if number > 1 {
            world.renew(number);
        }
        for round in 0..12 {
            world.live(round * number, &consumers);
        }
    }

    let notices = world.seen.keys().filter(|name| name.0 == "notice").count();
    assert!(notices > 500, "the life was too quiet: {notices} notices");
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
