//! Control messages and batches: each taken once, in order, from its publisher alone.

use sc_cbr::{ControlBody, MessageKind, NoticeKind, Status};
use sc_proto::cbr::{self, call::Call, refusal::Reason};

use crate::consumer::Consumer;
use crate::owner::{
    Enclave, LEASE_MS, OPENED_MS, Session, Wish, flipped, identity, publication, resized,
};

const IBM: &str = "i symbol \"IBM\"";

/// Both kinds of sealed messages, next in a session: a tick, and a batch of one.
fn both(session: &mut Session, kind: MessageKind) -> cbr::Sealed {
    let call = match kind {
        MessageKind::Control => session.control(ControlBody::Tick),
        _ => session.batch(&[publication(IBM)]).0,
    };
    sealed(call)
}

fn sealed(call: Call) -> cbr::Sealed {
    match call {
        Call::Control(sealed) | Call::Batch(sealed) => sealed,
        _ => unreachable!("sealed messages are of two kinds"),
    }
}

fn call(kind: MessageKind, sealed: cbr::Sealed) -> Call {
    match kind {
        MessageKind::Control => Call::Control(sealed),
        _ => Call::Batch(sealed),
    }
}

const KINDS: [MessageKind; 2] = [MessageKind::Control, MessageKind::Batch];

#[test]
fn a_genuine_message_is_taken_and_its_replay_is_refused_naming_the_next_counter() {
    for kind in KINDS {
        let mut enclave = Enclave::new();
        let mut session = Session::open(&mut enclave, &identity(1), 1);
        let message = both(&mut session, kind);

        let outcome = enclave.outcome(call(kind, message.clone()));
        let replayed = enclave.refusal(call(kind, message));

        assert_eq!(session.receipt(1, &outcome).status, Status::Taken);
        assert_eq!(replayed, (Reason::Counter, 2));
    }
}

#[test]
fn a_gap_in_the_counter_is_refused_naming_the_missing_one() {
    for kind in KINDS {
        let mut enclave = Enclave::new();
        let mut session = Session::open(&mut enclave, &identity(1), 1);
        let (first, second) = (both(&mut session, kind), both(&mut session, kind));

        assert_eq!(
            enclave.refusal(call(kind, second.clone())),
            (Reason::Counter, 1)
        );

        enclave.outcome(call(kind, first));
        enclave.outcome(call(kind, second));
    }
}

#[test]
fn control_messages_and_batches_share_one_counter() {
    let mut enclave = Enclave::new();
    let mut session = Session::open(&mut enclave, &identity(1), 1);
    let tick = session.control(ControlBody::Tick);
    let (batch, _) = session.batch(&[publication(IBM)]);

    assert_eq!(enclave.refusal(batch.clone()), (Reason::Counter, 1));
    enclave.outcome(tick);
    enclave.outcome(batch);
}

#[test]
fn every_change_of_a_ciphertext_is_refused_and_leaves_the_counter() {
    for kind in KINDS {
        let mut enclave = Enclave::new();
        let mut session = Session::open(&mut enclave, &identity(1), 1);
        let message = both(&mut session, kind);

        for changed in flipped(&message.ciphertext).chain(resized(&message.ciphertext)) {
            let forged = cbr::Sealed {
                ciphertext: changed.into(),
                ..message.clone()
            };
            assert_eq!(
                enclave.refusal(call(kind, forged)),
                (Reason::NotAuthentic, 0)
            );
        }

        enclave.outcome(call(kind, message));
    }
}

#[test]
fn a_message_of_one_kind_does_not_pass_as_the_other() {
    for (kind, other) in [(KINDS[0], KINDS[1]), (KINDS[1], KINDS[0])] {
        let mut enclave = Enclave::new();
        let mut session = Session::open(&mut enclave, &identity(1), 1);
        let message = both(&mut session, kind);

        let refused = enclave.refusal(call(other, message.clone()));

        assert_eq!(refused.0, Reason::NotAuthentic);
        enclave.outcome(call(kind, message));
    }
}

#[test]
fn a_message_moved_to_another_place_is_refused() {
    for kind in KINDS {
        let mut enclave = Enclave::new();
        let mut other = Session::open(&mut enclave, &identity(2), 1);
        let mut session = Session::open(&mut enclave, &identity(1), 1);
        let message = both(&mut session, kind);
        let elsewhere = both(&mut other, kind);
        let moved = |change: fn(&mut cbr::Sealed, &cbr::Sealed)| {
            let mut moved = message.clone();
            change(&mut moved, &elsewhere);
            call(kind, moved)
        };

        let refused = [
            moved(|moved, _| moved.session += 1),
            moved(|moved, _| moved.session -= 1),
            moved(|moved, _| moved.start += 1),
            moved(|moved, _| moved.start -= 1),
            moved(|moved, other| moved.publisher = other.publisher.clone()),
            moved(|moved, _| moved.publisher = moved.publisher.slice(..31)),
            moved(|moved, _| moved.counter = 0),
            moved(|moved, _| moved.counter = u64::MAX),
            // Another domain that is open, with and without its publisher's name.
            moved(|moved, other| moved.domain = other.domain.clone()),
            moved(|moved, other| {
                moved.domain = other.domain.clone();
                moved.publisher = other.publisher.clone();
            }),
            moved(|moved, _| moved.domain = vec![0; 32].into()),
            moved(|moved, _| moved.domain = vec![0; 31].into()),
        ]
        .map(|call| enclave.refusal(call).0);

        assert_eq!(
            refused,
            [
                Reason::Session,
                Reason::Session,
                Reason::Session,
                Reason::Session,
                Reason::Session,
                Reason::Session,
                Reason::Counter,
                Reason::Counter,
                Reason::Session,
                Reason::NotAuthentic,
                Reason::Session,
                Reason::Malformed,
            ]
        );
        enclave.outcome(call(kind, message));
        enclave.outcome(call(kind, elsewhere));
    }
}

#[test]
fn a_message_of_an_earlier_session_is_refused_in_the_next() {
    for kind in KINDS {
        let mut enclave = Enclave::new();
        let mut old = Session::open(&mut enclave, &identity(1), 1);
        let message = both(&mut old, kind);
        let _new = Session::open(&mut enclave, &identity(1), 2);
        let renamed = cbr::Sealed {
            session: 2,
            ..message.clone()
        };

        assert_eq!(enclave.refusal(call(kind, message)).0, Reason::Session);
        assert_eq!(enclave.refusal(call(kind, renamed)).0, Reason::NotAuthentic);
    }
}

#[test]
fn a_message_of_another_start_is_refused_although_session_and_counter_fit() {
    for kind in KINDS {
        let mut enclave = Enclave::new();
        let wish = |start| Wish {
            start,
            ..Wish::session(1)
        };
        let mut elsewhere = Enclave::new();
        let mut twin = Session::try_open(&mut elsewhere, &identity(1), &wish(1)).unwrap();
        let _session = Session::try_open(&mut enclave, &identity(1), &wish(2)).unwrap();
        let renamed = cbr::Sealed {
            start: 2,
            ..both(&mut twin, kind)
        };

        assert_eq!(enclave.refusal(call(kind, renamed)).0, Reason::NotAuthentic);
    }
}

#[test]
fn a_message_sealed_by_another_owner_is_refused() {
    for kind in KINDS {
        let mut enclave = Enclave::new();
        let mut mine = Session::open(&mut enclave, &identity(1), 1);
        let mut theirs = Session::open(&mut enclave, &identity(2), 1);
        let forged = cbr::Sealed {
            ciphertext: both(&mut theirs, kind).ciphertext,
            ..both(&mut mine, kind)
        };

        assert_eq!(enclave.refusal(call(kind, forged)).0, Reason::NotAuthentic);
    }
}

#[test]
fn an_authentic_control_message_that_does_not_decode_is_receipted_so_and_changes_nothing() {
    let mut enclave = Enclave::new();
    let mut session = Session::open(&mut enclave, &identity(1), 1);
    let consumer = Consumer::new(1);
    session.admit(&mut enclave, &consumer, &[(7, "i symbol = \"IBM\"")]);
    let whole = sc_cbr::Control {
        time_ms: LEASE_MS + 1,
        body: consumer.admission(true, &[(8, "i symbol = \"GE\"")]),
    }
    .encode();

    let mut refused = 0;
    let unknown = [&[9], &whole[1..]].concat();
    for bytes in resized(&whole).chain([unknown]) {
        let message = session.seal(MessageKind::Control, &bytes);
        let counter = message.counter;
        let outcome = enclave.outcome(Call::Control(message));
        assert_eq!(session.receipt(counter, &outcome).status, Status::Malformed);
        assert_eq!(outcome.notices, []);
        refused += 1;
    }

    assert_eq!(refused, whole.len() + 4);
    let (receipt, notices, _) = session.publish(&mut enclave, &[IBM]);
    assert_eq!((receipt.status, receipt.matched), (Status::Taken, 1));
    assert_eq!(
        consumer.open(&session.scope, &notices[0]).time_ms,
        OPENED_MS
    );
}

#[test]
fn an_authentic_batch_that_does_not_decode_is_receipted_so_and_notifies_nobody() {
    let mut enclave = Enclave::new();
    let mut session = Session::open(&mut enclave, &identity(1), 1);
    let consumer = Consumer::new(1);
    session.admit(&mut enclave, &consumer, &[(7, "i symbol = \"IBM\"")]);
    let (whole, _) = session.batch_bytes(&[publication(IBM), publication(IBM)]);

    for bytes in resized(&whole) {
        let message = session.seal(MessageKind::Batch, &bytes);
        let counter = message.counter;
        let outcome = enclave.outcome(Call::Batch(message));
        let receipt = session.receipt(counter, &outcome);
        assert_eq!(
            (receipt.status, receipt.matched, receipt.deliveries),
            (Status::Malformed, 0, 0)
        );
        assert_eq!(outcome.notices, []);
    }

    // Nothing of the malformed ones was left behind: one entry, and the first counter.
    let (_, notices, _) = session.publish(&mut enclave, &[IBM]);
    assert_eq!(notices[0].counter, 1);
    assert_eq!(notices[0].payloads, [0]);
    let opened = consumer.open(&session.scope, &notices[0]);
    assert_eq!(opened.matches(), [(0, &[7][..])]);
}

#[test]
fn a_malformed_batch_whose_time_ends_a_lease_still_tells_the_consumer_so() {
    let mut enclave = Enclave::new();
    let mut session = Session::open(&mut enclave, &identity(1), 1);
    let consumer = Consumer::new(1);
    session.admit(&mut enclave, &consumer, &[(7, "i symbol = \"IBM\"")]);
    session.now_ms = LEASE_MS + 1;
    let (mut bytes, _) = session.batch_bytes(&[publication(IBM), publication(IBM)]);
    // The second header's count of attributes: the head of the batch decodes, its headers do not.
    let second_header = bytes.len() - 2 * 32 - 6;
    bytes[second_header] = 0xff;

    let message = session.seal(MessageKind::Batch, &bytes);
    let outcome = enclave.outcome(Call::Batch(message));

    assert_eq!(session.receipt(2, &outcome).status, Status::Malformed);
    let kinds: Vec<_> = outcome
        .notices
        .iter()
        .map(|notice| consumer.open(&session.scope, notice).kind)
        .collect();
    assert_eq!(kinds, [NoticeKind::Expired]);
}

#[test]
fn receipts_open_only_as_what_they_are() {
    let mut enclave = Enclave::new();
    let mut session = Session::open(&mut enclave, &identity(1), 1);
    let call = session.control(ControlBody::Tick);
    let receipt = enclave.outcome(call).receipt;
    let opens = |scope: &sc_cbr::Scope, kind, counter, bytes: &[u8]| {
        let mut bytes = bytes.to_vec();
        session
            .keys
            .receipt
            .open(scope, kind, counter, &mut bytes)
            .is_ok()
    };
    let scope = session.scope;
    let moved = |change: fn(&mut sc_cbr::Scope)| {
        let mut scope = scope;
        change(&mut scope);
        scope
    };

    assert!(opens(&scope, MessageKind::Receipt, 1, &receipt));
    assert!(!opens(&scope, MessageKind::Receipt, 2, &receipt));
    assert!(!opens(&scope, MessageKind::Batch, 1, &receipt));
    assert!(!opens(
        &moved(|s| s.session = 2),
        MessageKind::Receipt,
        1,
        &receipt
    ));
    assert!(!opens(
        &moved(|s| s.start = 2),
        MessageKind::Receipt,
        1,
        &receipt
    ));
    for changed in flipped(&receipt).chain(resized(&receipt)) {
        assert!(!opens(&scope, MessageKind::Receipt, 1, &changed));
    }
}

#[test]
fn bytes_that_are_no_call_are_refused_as_malformed() {
    let mut enclave = Enclave::new();
    for bytes in [&b""[..], b"\x00", b"\xff\xff\xff", b"\x12\x7f", &[0x22; 40]] {
        let reply = enclave.handle(bytes.to_vec());
        let cbr::reply::Reply::Refusal(refusal) = reply else {
            panic!("{bytes:?} was taken");
        };
        assert_eq!(refusal.reason(), Reason::Malformed);
    }
}
