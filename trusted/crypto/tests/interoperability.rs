//! The formats, against a second implementation of them.
//!
//! `vectors/interoperate.py` is written from `docs/FORMATS.md` with another library. It made `known.txt`, and it
//! opens and verifies `sealed.txt`, which this crate made.

#![allow(clippy::unwrap_used, reason = "helpers of tests are tests")]

use std::collections::HashMap;

use sc_crypto::{
    AeadKey, Nonce, OwnerPublic, OwnerSecret, PayloadSecret, SealingKeyPair, Secret, Transcript,
    VerifyingKey, kdf,
};

const KNOWN: &str = include_str!("vectors/known.txt");
const SEALED: &str = include_str!("vectors/sealed.txt");
const ED25519: &str = include_str!("vectors/ed25519.prv");
const RSA: &str = include_str!("vectors/rsa2048.prv");

fn answers(text: &str) -> HashMap<&str, Vec<u8>> {
    let lines = text.lines().filter(|line| !line.starts_with('#'));
    lines
        .map(|line| line.split_once(" =").unwrap())
        .map(|(name, hex)| (name, decode(hex.trim())))
        .collect()
}

fn decode(hex: &str) -> Vec<u8> {
    (0..hex.len())
        .step_by(2)
        .map(|at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap())
        .collect()
}

fn identities() -> [(&'static str, OwnerSecret); 2] {
    [("ed25519", ED25519), ("rsa", RSA)]
        .map(|(name, file)| (name, OwnerSecret::from_pem(file).unwrap()))
}

fn secret() -> Secret {
    Secret::from_bytes(core::array::from_fn(|at| at as u8))
}

fn transcript() -> Transcript {
    Transcript::new("test")
        .bytes(b"first")
        .bytes(b"")
        .u64(0x0123_4567_89ab_cdef)
}

fn context() -> Vec<u8> {
    Transcript::new("test context").bytes(b"field").finish()
}

#[test]
fn transcripts_and_their_hashes_agree() {
    let known = answers(KNOWN);

    assert_eq!(transcript().as_bytes(), known["transcript"]);
    assert_eq!(
        transcript().hash256().as_slice(),
        known["transcript.sha256"]
    );
    assert_eq!(transcript().hash().as_slice(), known["transcript.sha512"]);
}

#[test]
fn derived_and_extracted_secrets_and_macs_agree() {
    let known = answers(KNOWN);

    assert_eq!(
        kdf::derive(&secret(), "test", &[b"a", b"bc"])
            .expose()
            .as_slice(),
        known["derive"]
    );
    assert_eq!(
        kdf::extract("test", b"material").expose().as_slice(),
        known["extract"]
    );
    assert_eq!(kdf::mac(&secret(), b"message").as_slice(), known["mac"]);
}

#[test]
fn sealed_messages_and_payloads_agree() {
    let known = answers(KNOWN);
    let key = PayloadSecret::new(&secret()).key(0x0102_0304_0506_0708, 0x090a_0b0c);

    let mut message = Vec::new();
    AeadKey::new(&secret()).seal(Nonce::counter(7), b"aad", b"plaintext", &mut message);
    let mut payload = Vec::new();
    key.seal(b"aad", b"plaintext", &mut payload);

    assert_eq!(message, known["aead"]);
    assert_eq!(key.expose().as_slice(), known["payload.key"]);
    assert_eq!(payload, known["payload.sealed"]);
}

#[test]
fn one_seed_gives_one_x_wing_key() {
    let public = SealingKeyPair::from_seed(secret().expose())
        .public()
        .to_bytes();

    assert_eq!(public, answers(KNOWN)["xwing.public"]);
}

#[test]
fn one_key_file_gives_one_identity() {
    let known = answers(KNOWN);
    for (name, owner) in identities() {
        let of = |what: &str| known[format!("{name}.{what}").as_str()].clone();

        assert_eq!(
            owner.signing_key().verifying_key().as_bytes().as_slice(),
            of("signing")
        );
        assert_eq!(
            owner.signing_key().sign(&transcript()).as_slice(),
            of("signature")
        );
        assert_eq!(
            owner.public().domain_id().as_bytes().as_slice(),
            of("domain")
        );
        assert_eq!(owner.public().fingerprint().as_bytes(), of("fingerprint"));
        assert_eq!(owner.public().to_pem().as_bytes(), of("public_file"));
    }
}

#[test]
fn what_the_other_implementation_sealed_and_certified_is_accepted() {
    let known = answers(KNOWN);
    for (name, owner) in identities() {
        let of = |what: &str| known[format!("{name}.{what}").as_str()].clone();
        let public = OwnerPublic::from_pem(&String::from_utf8(of("public_file")).unwrap()).unwrap();
        let signing = VerifyingKey::from_bytes(of("signing").try_into().unwrap());

        assert_eq!(
            *owner.open(&context(), &of("envelope")).unwrap(),
            b"sealed elsewhere"
        );
        assert_eq!(public.authority(&of("certificate"), signing), Ok(signing));
    }
}

#[test]
fn what_this_crate_sealed_and_certified_once_is_accepted_still() {
    let sealed = answers(SEALED);
    for (name, owner) in identities() {
        let of = |what: &str| sealed[format!("{name}.{what}").as_str()].clone();
        let signing = owner.signing_key().verifying_key();

        assert_eq!(
            *owner.open(&context(), &of("envelope")).unwrap(),
            b"sealed here"
        );
        assert_eq!(
            owner.public().authority(&of("certificate"), signing),
            Ok(signing)
        );
    }
}

#[test]
fn sealing_to_an_ed25519_identity_with_the_same_entropy_gives_the_same_bytes() {
    let [(_, owner), _] = identities();

    let envelope = owner
        .public()
        .seal(&context(), b"sealed here", &mut |bytes: &mut [u8]| {
            bytes.fill(9)
        });

    assert_eq!(envelope, answers(SEALED)["ed25519.envelope"]);
}
