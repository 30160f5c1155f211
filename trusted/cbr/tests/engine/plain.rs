//! D4.2's unencrypted mode: counted and routed as the sealed one, without any claim of secrecy.

use sc_cbr::{ControlBody, MessageKind, Status};
use sc_proto::cbr::{call::Call, refusal::Reason, reply::Reply};

use crate::consumer::{Consumer, read_notice};
use crate::owner::{
    Enclave, Entropy, Session, Wish, domain_secrets, identity, publication, secrets_message,
};

fn plain(session: u64) -> Wish {
    Wish {
        plain: true,
        ..Wish::session(session)
    }
}

#[test]
fn the_host_is_told_that_a_session_is_plain() {
    let owner = identity(1);
    let mut enclave = Enclave::new();
    let mut entropy = Entropy::new(3);
    let secrets = domain_secrets(&owner, &plain(1), &mut entropy);
    let (message, ..) = secrets_message(&mut enclave, &owner, &secrets.encode(), &mut entropy);

    let reply = enclave.call(Call::Secrets(message));

    assert!(matches!(reply, Reply::Opened(opened) if opened.plain));
}

#[test]
fn a_plain_session_counts_and_matches_as_a_sealed_one() {
    let mut enclave = Enclave::new();
    let mut session = Session::try_open(&mut enclave, &identity(1), &plain(1)).unwrap();
    let consumer = Consumer::new(1);
    session.admit(&mut enclave, &consumer, &[(7, "i a = 1")]);
    let (batch, _) = session.batch(&[publication("i a 1"), publication("i a 2")]);

    let outcome = enclave.outcome(batch.clone());
    let replayed = enclave.refusal(batch);

    assert_eq!(session.receipt(2, &outcome).matched, 1);
    assert_eq!(replayed, (Reason::Counter, 3));
    let opened = read_notice(&outcome.notices[0].ciphertext);
    assert_eq!(opened.entries, [(0, vec![7], None)]);
    assert_eq!(outcome.notices[0].payloads, [0]);
}

#[test]
fn a_plain_message_is_refused_in_a_sealed_session() {
    let mut enclave = Enclave::new();
    let mut elsewhere = Enclave::new();
    let mut clear = Session::try_open(&mut elsewhere, &identity(1), &plain(1)).unwrap();
    let _sealed = Session::open(&mut enclave, &identity(1), 1);

    let tick = clear.control(ControlBody::Tick);

    assert_eq!(enclave.refusal(tick).0, Reason::NotAuthentic);
}

#[test]
fn a_sealed_message_in_a_plain_session_is_malformed_and_does_no_harm() {
    let mut enclave = Enclave::new();
    let mut elsewhere = Enclave::new();
    let mut sealed = Session::open(&mut elsewhere, &identity(1), 1);
    let mut clear = Session::try_open(&mut enclave, &identity(1), &plain(1)).unwrap();

    let tick = sealed.control(ControlBody::Tick);
    let outcome = enclave.outcome(tick);
    clear.next_counter += 1;

    assert_eq!(clear.receipt(1, &outcome).status, Status::Malformed);
    assert_eq!(
        clear.tell(&mut enclave, ControlBody::Tick).0.status,
        Status::Taken
    );
}

#[test]
fn a_batch_with_hashes_is_malformed_in_a_plain_session_and_one_without_in_a_sealed() {
    for is_plain in [true, false] {
        let mut enclave = Enclave::new();
        let mut elsewhere = Enclave::new();
        let wish = |plain| Wish {
            plain,
            ..Wish::session(1)
        };
        let mut session = Session::try_open(&mut enclave, &identity(1), &wish(is_plain)).unwrap();
        let mut other = Session::try_open(&mut elsewhere, &identity(1), &wish(!is_plain)).unwrap();
        let (bytes, _) = other.batch_bytes(&[publication("i a 1")]);

        let message = session.seal(MessageKind::Batch, &bytes);
        let outcome = enclave.outcome(Call::Batch(message));

        assert_eq!(session.receipt(1, &outcome).status, Status::Malformed);
    }
}
