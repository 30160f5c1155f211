//! Requests: opened by the owner of the domain alone, believed only from the identity that signed, for this domain.

use sc_cbr::push_bytes;
use sc_client::{Ask, AskRefused, Operation, SUBSCRIPTIONS_PER_ASK_MAX};
use sc_crypto::hash::sha256;
use sc_crypto::{OwnerPublic, OwnerSecret, Transcript};
use sc_matching::binary::encode_subscription;

use crate::world::{WANTS_IBM, entropy, flipped, identity, resized, subscription};

const OWNER: u8 = 1;
const CONSUMER: u8 = 2;

fn ask(operation: Operation) -> Ask {
    Ask {
        consumer: identity(CONSUMER).public().clone(),
        sequence: 7,
        operation,
    }
}

fn subscribe() -> Operation {
    Operation::Subscribe {
        retention_ms: 0,
        replace: true,
        remaining: 3,
        subscriptions: vec![
            (u64::MAX, subscription(WANTS_IBM)),
            (0, subscription("i a in {1, \"x\"}")),
        ],
    }
}

fn sealed(owner: &OwnerPublic, plain: bool) -> Vec<u8> {
    ask(subscribe())
        .seal(&identity(CONSUMER), owner, plain, &mut entropy(1))
        .0
}

/// Signs `body` as an ask of the consumer and seals it, whatever it holds.
fn signed(body: &[u8], owner: &OwnerSecret, signer: &OwnerSecret, label: &str) -> Vec<u8> {
    let domain = owner.public().domain_id();
    let transcript = Transcript::new(label)
        .bytes(domain.as_bytes())
        .bytes(&owner.public().to_bytes())
        .bytes(body);
    let signature = signer.signing_key().sign(&transcript);
    let context = Transcript::new("ask seal")
        .bytes(domain.as_bytes())
        .finish();
    let plaintext = [body, &signature].concat();
    owner.public().seal(&context, &plaintext, &mut entropy(2))
}

fn body(consumer: &OwnerPublic, operation: &[u8]) -> Vec<u8> {
    let mut body = vec![1];
    push_bytes(&mut body, &consumer.to_bytes());
    body.extend_from_slice(&7_u64.to_le_bytes());
    body.extend_from_slice(operation);
    body
}

fn open(bytes: &[u8], plain: bool) -> Result<Ask, AskRefused> {
    Ask::open(bytes, &identity(OWNER), plain)
}

#[test]
fn a_request_of_each_kind_reads_as_it_was_made() {
    for operation in [
        subscribe(),
        Operation::Unsubscribe { ids: vec![] },
        Operation::Unsubscribe {
            ids: vec![1, u64::MAX],
        },
        Operation::Renew,
    ] {
        for plain in [false, true] {
            let owner = identity(OWNER);
            let (bytes, hash) = ask(operation.clone()).seal(
                &identity(CONSUMER),
                owner.public(),
                plain,
                &mut entropy(1),
            );

            let opened = open(&bytes, plain).unwrap();

            assert_eq!(hash, sha256(&bytes));
            assert_eq!(opened.operation, operation);
            assert_eq!(opened.sequence, 7);
            assert_eq!(opened.consumer, *identity(CONSUMER).public());
        }
    }
}

#[test]
fn an_rsa_owner_opens_requests_too() {
    let owner = OwnerSecret::generate_rsa(2048).unwrap();
    let bytes = sealed(owner.public(), false);

    assert!(Ask::open(&bytes, &owner, false).is_ok());
    for changed in flipped(&bytes).step_by(7) {
        assert!(Ask::open(&changed, &owner, false).is_err());
    }
}

#[test]
fn every_change_of_a_request_is_refused() {
    for plain in [false, true] {
        let bytes = sealed(identity(OWNER).public(), plain);
        for changed in flipped(&bytes).chain(resized(&bytes)) {
            assert!(open(&changed, plain).is_err());
        }
    }
}

#[test]
fn a_request_for_another_domain_is_refused() {
    for plain in [false, true] {
        let bytes = sealed(identity(3).public(), plain);

        assert!(open(&bytes, plain).is_err());
    }
}

#[test]
fn a_plain_request_is_refused_by_an_owner_that_did_not_choose_it() {
    let bytes = sealed(identity(OWNER).public(), true);

    assert!(open(&bytes, true).is_ok());
    assert!(open(&bytes, false).is_err());
}

#[test]
fn a_request_in_the_name_of_another_identity_is_refused() {
    let (forged, _) = ask(subscribe()).seal(
        &identity(3),
        identity(OWNER).public(),
        false,
        &mut entropy(1),
    );

    assert!(open(&forged, false).is_err());
}

#[test]
fn a_signature_for_another_purpose_or_domain_is_refused() {
    let (owner, consumer) = (identity(OWNER), identity(CONSUMER));
    let renew = body(consumer.public(), &[3]);
    assert!(open(&signed(&renew, &owner, &consumer, "ask"), false).is_ok());

    assert!(open(&signed(&renew, &owner, &consumer, "answer"), false).is_err());
    // Signed for domain 3, sealed anew for ours by a relay that may read it.
    let elsewhere = identity(3);
    let domain = elsewhere.public().domain_id();
    let transcript = Transcript::new("ask")
        .bytes(domain.as_bytes())
        .bytes(&elsewhere.public().to_bytes())
        .bytes(&renew);
    let signature = consumer.signing_key().sign(&transcript);
    let context = Transcript::new("ask seal")
        .bytes(owner.public().domain_id().as_bytes())
        .finish();
    let resealed = owner.public().seal(
        &context,
        &[&renew[..], &signature].concat(),
        &mut entropy(2),
    );
    assert!(open(&resealed, false).is_err());
}

#[test]
fn an_rsa_key_is_no_consumers_identity() {
    let consumer = OwnerSecret::generate_rsa(2048).unwrap();
    let renew = body(consumer.public(), &[3]);

    assert!(open(&signed(&renew, &identity(OWNER), &consumer, "ask"), false).is_err());
}

#[test]
fn an_authentic_request_that_does_not_decode_is_refused() {
    let (owner, consumer) = (identity(OWNER), identity(CONSUMER));
    let whole = {
        let mut operation = vec![1, 0];
        operation.extend_from_slice(&60_000_u64.to_le_bytes());
        operation.extend_from_slice(&0_u32.to_le_bytes());
        operation.extend_from_slice(&1_u32.to_le_bytes());
        operation.extend_from_slice(&9_u64.to_le_bytes());
        push_bytes(
            &mut operation,
            &encode_subscription(&subscription(WANTS_IBM)),
        );
        operation
    };
    let refused = |operation: &[u8]| {
        let bytes = signed(
            &body(consumer.public(), operation),
            &owner,
            &consumer,
            "ask",
        );
        open(&bytes, false).is_err()
    };
    let with = |at: usize, value: u8| {
        let mut changed = whole.clone();
        changed[at] = value;
        changed
    };

    assert!(!refused(&whole));
    for operation in resized(&whole) {
        assert!(refused(&operation), "{} bytes", operation.len());
    }
    // Kind, flag, count, length of the first subscription.
    for changed in [
        with(0, 9),
        with(1, 2),
        with(14, 2),
        with(17, 0xff),
        with(26, 0xff),
    ] {
        assert!(refused(&changed));
    }
    // Identifiers beyond the message, and another version.
    assert!(refused(&[2, 0xff, 0xff, 0xff, 0xff]));
    assert!(refused(&[2, 1, 0, 0, 0, 1]));
    let mut other_version = body(consumer.public(), &[3]);
    other_version[0] = 2;
    assert!(open(&signed(&other_version, &owner, &consumer, "ask"), false).is_err());
    let mut shorter_key = vec![1];
    push_bytes(&mut shorter_key, &consumer.public().to_bytes()[..100]);
    assert!(open(&signed(&shorter_key, &owner, &consumer, "ask"), false).is_err());
}

#[test]
fn a_request_with_more_subscriptions_than_the_bound_is_refused() {
    let (owner, consumer) = (identity(OWNER), identity(CONSUMER));
    let with = |count: usize| {
        let encoded = encode_subscription(&subscription("i a exists"));
        let mut operation = vec![1, 0];
        operation.extend_from_slice(&60_000_u64.to_le_bytes());
        operation.extend_from_slice(&0_u32.to_le_bytes());
        operation.extend_from_slice(&(count as u32).to_le_bytes());
        for id in 0..count as u64 {
            operation.extend_from_slice(&id.to_le_bytes());
            push_bytes(&mut operation, &encoded);
        }
        let body = body(consumer.public(), &operation);
        open(&signed(&body, &owner, &consumer, "ask"), false)
    };

    assert!(with(SUBSCRIPTIONS_PER_ASK_MAX).is_ok());
    assert!(with(SUBSCRIPTIONS_PER_ASK_MAX + 1).is_err());
}

#[test]
fn bytes_that_are_no_request_are_refused() {
    for bytes in [
        &b""[..],
        &[0],
        &[0; 63],
        &[0; 64],
        &[1; 2000],
        &[1, 1, 0xff, 0xff],
    ] {
        assert!(open(bytes, false).is_err());
        assert!(open(bytes, true).is_err());
    }
}
