//! M1 to M4 through the door: whose secrets open which domain, and what a host can do with them.

use sc_cbr::{ControlBody, DomainSecrets, Status};
use sc_crypto::OwnerSecret;
use sc_proto::cbr::{call::Call, refusal::Reason, reply::Reply};
use sc_proto::provision;

use crate::consumer::Consumer;
use crate::owner::{
    Enclave, Entropy, Session, Wish, challenge, domain_secrets, flipped, identity, resized,
    secrets_message,
};

/// M3 of `owner` for a session, and the program that waits for it.
fn ready(owner: &OwnerSecret, session: u64) -> (Enclave, provision::Secrets) {
    ready_in(Enclave::new(), owner, session)
}

fn ready_in(
    mut enclave: Enclave,
    owner: &OwnerSecret,
    session: u64,
) -> (Enclave, provision::Secrets) {
    let mut entropy = Entropy::new(3);
    let secrets = domain_secrets(owner, &Wish::session(session), &mut entropy);
    let (message, ..) = secrets_message(&mut enclave, owner, &secrets.encode(), &mut entropy);
    (enclave, message)
}

#[test]
fn genuine_secrets_open_a_session_once() {
    let owner = identity(1);
    let (mut enclave, message) = ready(&owner, 4);

    let opened = enclave.call(Call::Secrets(message.clone()));
    let again = enclave.refusal(Call::Secrets(message));

    let Reply::Opened(opened) = opened else {
        panic!("not opened: {opened:?}");
    };
    assert_eq!(opened.domain[..], owner.public().domain_id().as_bytes()[..]);
    assert_eq!((opened.session, opened.plain), (4, false));
    assert_eq!(
        opened.owner_key[..],
        owner.signing_key().verifying_key().as_bytes()[..]
    );
    assert_eq!(again.0, Reason::Pending);
}

#[test]
fn every_change_of_the_secrets_message_is_refused_and_does_not_use_the_challenge_up() {
    let (mut enclave, message) = ready(&identity(1), 1);
    let with = |change: fn(&mut provision::Secrets, Vec<u8>), bytes: Vec<u8>| {
        let mut changed = message.clone();
        change(&mut changed, bytes);
        Call::Secrets(changed)
    };

    for bytes in flipped(&message.nonce).chain(resized(&message.nonce)) {
        let call = with(|message, bytes| message.nonce = bytes.into(), bytes);
        assert_eq!(enclave.refusal(call).0, Reason::Pending);
    }
    for bytes in flipped(&message.encapsulated).chain(resized(&message.encapsulated).step_by(97)) {
        let call = with(|message, bytes| message.encapsulated = bytes.into(), bytes);
        assert_eq!(enclave.refusal(call).0, Reason::NotAuthentic);
    }
    for bytes in flipped(&message.ciphertext).chain(resized(&message.ciphertext).step_by(97)) {
        let call = with(|message, bytes| message.ciphertext = bytes.into(), bytes);
        assert_eq!(enclave.refusal(call).0, Reason::NotAuthentic);
    }
    for bytes in flipped(&message.signature).chain(resized(&message.signature)) {
        let call = with(|message, bytes| message.signature = bytes.into(), bytes);
        assert_eq!(enclave.refusal(call).0, Reason::NotAuthentic);
    }

    assert!(matches!(
        enclave.call(Call::Secrets(message)),
        Reply::Opened(_)
    ));
}

#[test]
fn secrets_made_for_one_program_do_not_open_in_another() {
    let (_, message) = ready(&identity(1), 1);
    let (mut elsewhere, other) = ready_in(Enclave::seeded(78), &identity(1), 1);
    let renamed = provision::Secrets {
        nonce: other.nonce.clone(),
        ..message.clone()
    };

    // This owner gave both programs the same nonce, as it never should; their keys differ all the same.
    assert_eq!(message.nonce, other.nonce);
    let first = elsewhere.refusal(Call::Secrets(renamed));

    assert_eq!(first.0, Reason::NotAuthentic);
    assert!(matches!(
        elsewhere.call(Call::Secrets(other)),
        Reply::Opened(_)
    ));
}

#[test]
fn secrets_signed_by_another_key_than_the_challenge_named_are_refused() {
    let mut enclave = Enclave::new();
    let (mine, theirs) = (identity(1), identity(2));
    let mut entropy = Entropy::new(3);
    let reply = enclave.call(Call::Challenge(challenge(&mine, [7; 32])));
    let (key, transcript) = crate::owner::offered(&mine, [7; 32], &reply);
    let secrets = domain_secrets(&mine, &Wish::session(1), &mut entropy);
    let confirmation = sc_enclave::ConfirmationKey::random(&mut entropy);

    let forged = sc_enclave::SecretsMessage::seal(
        &transcript,
        &[7; 32],
        &key,
        theirs.signing_key(),
        &confirmation,
        &secrets.encode(),
        &mut entropy,
    );

    assert_eq!(
        enclave.refusal(Call::Secrets(forged)).0,
        Reason::NotAuthentic
    );
}

#[test]
fn nobody_opens_the_domain_of_another_owner() {
    let (victim, thief) = (identity(1), identity(2));
    let mut enclave = Enclave::new();
    let _open = Session::open(&mut enclave, &victim, 5);
    for certificate in [vec![], vec![0; 256], thief.certificate()] {
        let mut entropy = Entropy::new(3);
        // Signed by the thief's key, as its own challenge wants; the domain named is the victim's.
        let claimed = DomainSecrets {
            owner: victim.public().clone(),
            certificate,
            ..domain_secrets(&thief, &Wish::session(6), &mut entropy)
        };
        let (message, ..) = secrets_message(&mut enclave, &thief, &claimed.encode(), &mut entropy);

        assert_eq!(
            enclave.refusal(Call::Secrets(message)).0,
            Reason::NotAuthentic
        );
    }
}

#[test]
fn secrets_that_do_not_decode_are_refused() {
    let owner = identity(1);
    let mut enclave = Enclave::new();
    let mut entropy = Entropy::new(3);
    let whole = domain_secrets(&owner, &Wish::session(1), &mut entropy).encode();
    let cuts = [0, 1, 31, 33, 49, 65, 73, 74, 78, 79, whole.len() - 1];
    let damaged = [(0, 9), (73, 2), (74, 0xff)].map(|(at, byte)| {
        let mut bytes = whole.to_vec();
        bytes[at] = byte;
        bytes
    });

    let cut = cuts.map(|length| whole[..length].to_vec());
    for bytes in cut.into_iter().chain(damaged) {
        let (message, ..) = secrets_message(&mut enclave, &owner, &bytes, &mut entropy);
        assert_eq!(enclave.refusal(Call::Secrets(message)).0, Reason::Malformed);
    }
}

#[test]
fn a_modern_owner_with_a_certificate_is_refused() {
    let owner = identity(1);
    let mut enclave = Enclave::new();
    let mut entropy = Entropy::new(3);
    let secrets = DomainSecrets {
        certificate: vec![1],
        ..domain_secrets(&owner, &Wish::session(1), &mut entropy)
    };
    let (message, ..) = secrets_message(&mut enclave, &owner, &secrets.encode(), &mut entropy);

    assert_eq!(
        enclave.refusal(Call::Secrets(message)).0,
        Reason::NotAuthentic
    );
}

#[test]
fn an_rsa_owner_opens_its_domain_by_its_own_certificate_alone() {
    let (owner, other) = (rsa(), rsa());
    let mut enclave = Enclave::new();
    let mut entropy = Entropy::new(3);
    let mut damaged = owner.certificate();
    damaged[100] ^= 1;
    for certificate in [vec![], other.certificate(), damaged] {
        let secrets = DomainSecrets {
            certificate,
            ..domain_secrets(&owner, &Wish::session(1), &mut entropy)
        };
        let (message, ..) = secrets_message(&mut enclave, &owner, &secrets.encode(), &mut entropy);

        assert_eq!(
            enclave.refusal(Call::Secrets(message)).0,
            Reason::NotAuthentic
        );
    }

    let secrets = domain_secrets(&owner, &Wish::session(1), &mut entropy);
    let (message, ..) = secrets_message(&mut enclave, &owner, &secrets.encode(), &mut entropy);
    assert!(matches!(
        enclave.call(Call::Secrets(message)),
        Reply::Opened(_)
    ));
}

fn rsa() -> OwnerSecret {
    OwnerSecret::generate_rsa(2048).unwrap()
}

#[test]
fn only_a_greater_session_replaces_an_open_one() {
    let owner = identity(1);
    let mut enclave = Enclave::new();
    let mut open = Session::open(&mut enclave, &owner, 5);

    for session in [5, 4, 0] {
        let refused = Session::try_open(&mut enclave, &owner, &Wish::session(session));
        assert_eq!(refused.err(), Some(Reason::Session));
    }
    assert_eq!(
        open.tell(&mut enclave, ControlBody::Tick).0.status,
        Status::Taken
    );
    let mut newer = Session::open(&mut enclave, &owner, 6);

    let late = open.control(ControlBody::Tick);
    assert_eq!(enclave.refusal(late).0, Reason::Session);
    assert_eq!(
        newer.tell(&mut enclave, ControlBody::Tick).0.status,
        Status::Taken
    );
}

#[test]
fn a_new_session_begins_without_the_subscriptions_of_the_last() {
    let owner = identity(1);
    let mut enclave = Enclave::new();
    let mut first = Session::open(&mut enclave, &owner, 1);
    first.admit(
        &mut enclave,
        &Consumer::new(1),
        &[(1, "i symbol = \"IBM\"")],
    );

    let mut second = Session::open(&mut enclave, &owner, 2);
    let (receipt, notices, _) = second.publish(&mut enclave, &["i symbol \"IBM\""]);

    assert_eq!((receipt.matched, notices), (0, vec![]));
}

#[test]
fn a_host_closes_only_the_session_it_names() {
    let owner = identity(1);
    let mut enclave = Enclave::new();
    let mut open = Session::open(&mut enclave, &owner, 5);
    let other = sc_cbr::Scope {
        session: 4,
        ..open.scope
    };

    enclave.close(&other);
    assert_eq!(
        open.tell(&mut enclave, ControlBody::Tick).0.status,
        Status::Taken
    );
    enclave.close(&open.scope);

    let late = open.control(ControlBody::Tick);
    assert_eq!(enclave.refusal(late).0, Reason::Session);
}

#[test]
fn a_challenge_of_wrong_shape_or_purpose_is_refused() {
    let mut enclave = Enclave::new();
    let good = challenge(&identity(1), [7; 32]);
    let with = |change: fn(&mut provision::Challenge)| {
        let mut changed = good.clone();
        change(&mut changed);
        Call::Challenge(changed)
    };
    for call in [
        with(|challenge| challenge.nonce = vec![7; 31].into()),
        with(|challenge| challenge.nonce = vec![7; 33].into()),
        with(|challenge| challenge.owner_key = vec![7; 31].into()),
        with(|challenge| challenge.owner_key = vec![].into()),
        with(|challenge| challenge.purpose = "coder".into()),
        with(|challenge| challenge.purpose = String::new()),
    ] {
        assert_eq!(enclave.refusal(call).0, Reason::Malformed);
    }
}

#[test]
fn the_program_says_what_it_is_and_that_nothing_protects_it() {
    let reply = Enclave::new().call(Call::Describe(sc_proto::cbr::Describe {}));

    let Reply::Description(description) = reply else {
        panic!("no description: {reply:?}");
    };
    assert_eq!(description.program, "sc-cbr");
    assert!(description.tee.contains("NO HARDWARE PROTECTION"));
}
