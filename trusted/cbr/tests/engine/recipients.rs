//! Who can open what: notices, payload keys and payloads.

use sc_cbr::{MessageKind, NoticeKind, Origin};
use sc_crypto::PayloadKey;
use sc_proto::cbr;

use crate::consumer::Consumer;
use crate::owner::{Enclave, Session, flipped, identity, payload, resized};

/// Two consumers with different interests, and a batch in which each has a publication of its own and one is for both.
struct World {
    session: Session,
    alice: Consumer,
    bob: Consumer,
    notices: Vec<cbr::Notice>,
    payloads: Vec<Vec<u8>>,
}

impl World {
    fn new() -> Self {
        let mut enclave = Enclave::new();
        let mut session = Session::open(&mut enclave, &identity(1), 1);
        let (alice, bob) = (Consumer::new(1), Consumer::new(2));
        let of_alice = [
            (7, "i symbol = \"IBM\""),
            (3, "i both exists"),
            (5, "i symbol exists i volume > 10"),
        ];
        session.admit(&mut enclave, &alice, &of_alice);
        let of_bob = [(7, "i symbol = \"GE\""), (4, "i both exists")];
        session.admit(&mut enclave, &bob, &of_bob);
        let (_, notices, payloads) = session.publish(
            &mut enclave,
            &[
                "i symbol \"IBM\" i volume 11",
                "i symbol \"GE\" i volume 2",
                "i nobody 1",
                "i both 1",
            ],
        );
        Self {
            session,
            alice,
            bob,
            notices,
            payloads,
        }
    }
}

#[test]
fn each_recipient_gets_one_notice_with_its_own_matches_and_payloads_alone() {
    let world = World::new();
    let scope = &world.session.scope;
    assert_eq!(world.notices.len(), 2);

    let alice = world.alice.open(scope, &world.notices[0]);
    let bob = world.bob.open(scope, &world.notices[1]);

    let expected = NoticeKind::Matches {
        publisher: scope.party,
        start: 1,
        counter: 3,
        origin: Origin {
            start: 1,
            number: 1,
        },
    };
    assert_eq!(
        (alice.kind.clone(), bob.kind.clone()),
        (expected.clone(), expected)
    );
    assert_eq!(alice.matches(), [(0, &[5, 7][..]), (3, &[3])]);
    assert_eq!(bob.matches(), [(1, &[7][..]), (3, &[4])]);
    assert_eq!(world.notices[0].payloads, [0, 3]);
    assert_eq!(world.notices[1].payloads, [1, 3]);
    for (opened, index) in [(&alice, [0, 3]), (&bob, [1, 3])] {
        for (place, index) in (0..).zip(index) {
            assert_eq!(
                opened.payload(scope, place, &world.payloads),
                Some(payload(3, index))
            );
        }
    }
}

#[test]
fn no_key_that_one_consumer_holds_opens_a_payload_that_it_did_not_match() {
    let world = World::new();
    let scope = &world.session.scope;
    let alice = world.alice.open(scope, &world.notices[0]);
    let mut data = scope.payload_data(3);

    for (_, _, key_and_hash) in &alice.entries {
        let (key, _) = key_and_hash.unwrap();
        for not_matched in [1, 2] {
            for index in 0..4 {
                let opened =
                    PayloadKey::from_bytes(key).open(data.of(index), &world.payloads[not_matched]);
                assert!(opened.is_err());
            }
        }
    }
}

#[test]
fn nobody_opens_the_notice_of_another() {
    let world = World::new();
    let scope = &world.session.scope;

    assert_eq!(world.alice.try_open(scope, &world.notices[1]), None);
    assert_eq!(world.bob.try_open(scope, &world.notices[0]), None);
    assert_eq!(Consumer::new(3).try_open(scope, &world.notices[0]), None);
}

#[test]
fn every_change_of_a_notice_is_refused() {
    let world = World::new();
    let notice = &world.notices[0];
    for changed in flipped(&notice.ciphertext).chain(resized(&notice.ciphertext)) {
        let forged = cbr::Notice {
            ciphertext: changed.into(),
            ..notice.clone()
        };
        assert_eq!(world.alice.try_open(&world.session.scope, &forged), None);
    }
}

#[test]
fn a_notice_moved_to_another_counter_session_domain_or_kind_is_refused() {
    let world = World::new();
    let scope = world.session.scope;
    let notice = &world.notices[0];
    let recounted = cbr::Notice {
        counter: notice.counter + 1,
        ..notice.clone()
    };
    let elsewhere = sc_cbr::Scope {
        domain: identity(2).public().domain_id(),
        ..scope
    };
    let later = sc_cbr::Scope {
        session: 2,
        ..scope
    };
    let own = world.alice.scope(&scope);
    let keys = sc_cbr::DeliveryKeys::new(&world.alice.delivery_key(), &own, false);
    let mut bytes = notice.ciphertext.to_vec();

    assert_eq!(world.alice.try_open(&scope, &recounted), None);
    assert_eq!(world.alice.try_open(&elsewhere, notice), None);
    assert_eq!(world.alice.try_open(&later, notice), None);
    let as_receipt = keys
        .notice
        .open(&own, MessageKind::Receipt, notice.counter, &mut bytes);
    assert!(as_receipt.is_err());
    assert!(world.alice.try_open(&scope, notice).is_some());
}

#[test]
fn every_change_of_a_payload_or_of_its_place_is_refused() {
    let world = World::new();
    let scope = world.session.scope;
    let opened = world.alice.open(&scope, &world.notices[0]);
    let (key, _) = opened.entries[0].2.unwrap();
    let key = PayloadKey::from_bytes(key);
    let sealed = &world.payloads[0];
    let opens = |scope: &sc_cbr::Scope, counter, index, bytes: &[u8]| {
        key.open(scope.payload_data(counter).of(index), bytes)
            .is_ok()
    };
    let moved = |change: fn(&mut sc_cbr::Scope)| {
        let mut scope = scope;
        change(&mut scope);
        scope
    };

    assert!(opens(&scope, 3, 0, sealed));
    for changed in flipped(sealed).chain(resized(sealed)) {
        assert!(!opens(&scope, 3, 0, &changed));
    }
    assert!(!opens(&scope, 3, 1, sealed));
    assert!(!opens(&scope, 2, 0, sealed));
    assert!(!opens(&moved(|s| s.session = 2), 3, 0, sealed));
    assert!(!opens(&moved(|s| s.start = 2), 3, 0, sealed));
    assert!(!opens(
        &moved(|s| s.party = Consumer::new(1).key),
        3,
        0,
        sealed
    ));
    assert!(!opens(
        &moved(|s| s.domain = identity(2).public().domain_id()),
        3,
        0,
        sealed
    ));
}

#[test]
fn the_host_learns_recipients_and_nothing_of_who_did_not_match() {
    let mut enclave = Enclave::new();
    let mut session = Session::open(&mut enclave, &identity(1), 1);
    session.admit(&mut enclave, &Consumer::new(1), &[(1, "i a = 1")]);

    let (receipt, notices, _) = session.publish(&mut enclave, &["i a 2", "i b 1"]);

    assert_eq!((receipt.matched, receipt.deliveries), (0, 0));
    assert_eq!(notices, []);
}

#[test]
fn a_receipt_counts_publications_and_pairs() {
    let mut enclave = Enclave::new();
    let mut session = Session::open(&mut enclave, &identity(1), 1);
    let wants = [(1, "i a = 1"), (2, "i a exists")];
    let admitted = session.admit(&mut enclave, &Consumer::new(1), &wants);
    session.admit(&mut enclave, &Consumer::new(2), &wants[..1]);

    let (receipt, ..) = session.publish(&mut enclave, &["i a 1", "i b 1", "i a 3"]);

    assert_eq!(admitted.matched, 2);
    assert_eq!((receipt.matched, receipt.deliveries), (2, 4));
}
