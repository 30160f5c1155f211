//! Every bound that an owner or a host can reach, reached.

use sc_cbr::{CONSUMERS_MAX, ControlBody, DOMAINS_MAX, SlowPolicy, Status};
use sc_crypto::{OwnerSecret, Secret, VerifyingKey};
use sc_enclave::PENDING_MAX;
use sc_proto::cbr::{call::Call, refusal::Reason, reply::Reply};

use crate::owner::{
    Enclave, Entropy, LEASE_MS, Session, Wish, challenge, domain_secrets, identity, secrets_message,
};

fn numbered(number: usize) -> [u8; 32] {
    let mut bytes = [0x5a; 32];
    bytes[..8].copy_from_slice(&(number as u64).to_le_bytes());
    bytes
}

#[test]
fn no_more_domains_are_opened_than_the_bound() {
    let mut enclave = Enclave::new();
    let owner = |number| OwnerSecret::from_seed(Secret::from_bytes(numbered(number)));
    let mut first = Session::open(&mut enclave, &owner(0), 1);
    for number in 1..DOMAINS_MAX {
        Session::open(&mut enclave, &owner(number), 1);
    }

    let refused = Session::try_open(&mut enclave, &owner(DOMAINS_MAX), &Wish::session(1));
    assert_eq!(refused.err(), Some(Reason::Limit));

    // Those that are open go on, may be provisioned anew, and make room when they are closed.
    first.tell(&mut enclave, ControlBody::Tick);
    let renewed = Session::open(&mut enclave, &owner(0), 2);
    enclave.close(&renewed.scope);
    Session::open(&mut enclave, &owner(DOMAINS_MAX), 1);
}

#[test]
fn the_oldest_challenge_gives_way_when_too_many_wait() {
    let mut enclave = Enclave::new();
    let owner = identity(1);
    let mut entropy = Entropy::new(3);
    let secrets = domain_secrets(&owner, &Wish::session(1), &mut entropy).encode();
    let (oldest, ..) = secrets_message(&mut enclave, &owner, &secrets, &mut entropy);
    let (kept, ..) = secrets_message(&mut enclave, &owner, &secrets, &mut entropy);

    for number in 0..PENDING_MAX - 1 {
        enclave.call(Call::Challenge(challenge(&identity(2), numbered(number))));
    }

    assert_eq!(enclave.refusal(Call::Secrets(oldest)).0, Reason::Pending);
    assert!(matches!(
        enclave.call(Call::Secrets(kept)),
        Reply::Opened(_)
    ));
}

#[test]
fn no_more_consumers_are_admitted_than_the_bound() {
    let mut enclave = Enclave::new();
    let mut session = Session::open(&mut enclave, &identity(1), 1);
    let admission = |number: usize| ControlBody::Admit {
        retention_ms: 0,
        consumer: VerifyingKey::from_bytes(numbered(number)),
        delivery_key: Secret::from_bytes([1; 32]),
        lease_until_ms: LEASE_MS,
        slow: SlowPolicy::Block,
        replace: false,
        subscriptions: vec![],
    };
    for number in 0..CONSUMERS_MAX {
        let (receipt, _) = session.tell(&mut enclave, admission(number));
        assert_eq!(receipt.status, Status::Taken);
    }

    let (refused, _) = session.tell(&mut enclave, admission(CONSUMERS_MAX));
    let (known, _) = session.tell(&mut enclave, admission(CONSUMERS_MAX - 1));

    assert_eq!(refused.status, Status::Limit);
    assert_eq!(known.status, Status::Taken);
}
