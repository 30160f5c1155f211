//! Which key files are accepted, and what the others are told.
//!
//! The files of `vectors/` were made by OpenSSL 3.0 unless they say otherwise.

#![allow(clippy::unwrap_used, reason = "helpers of tests are tests")]

use proptest::prelude::*;
use sc_crypto::{KEY_FILE_MAX, KeyError, OwnerPublic, OwnerSecret};

macro_rules! vector {
    ($name:literal) => {
        include_str!(concat!("vectors/", $name))
    };
}

const ED25519: &str = vector!("ed25519.prv");
const RSA: &str = vector!("rsa2048.prv");
const RSA_PUBLIC: &str = vector!("rsa2048.pub");

fn private(text: &str) -> Result<OwnerSecret, KeyError> {
    OwnerSecret::from_pem(text)
}

fn public(text: &str) -> Result<OwnerPublic, KeyError> {
    OwnerPublic::from_pem(text)
}

fn refusal(text: &str) -> KeyError {
    private(text).err().unwrap()
}

fn public_refusal(text: &str) -> KeyError {
    public(text).err().unwrap()
}

#[test]
fn every_private_form_that_openssl_writes_is_read() {
    for text in [
        ED25519,
        RSA,
        vector!("rsa2048-pkcs1.prv"),
        vector!("rsa3072-pkcs1.prv"),
    ] {
        assert!(private(text).is_ok(), "{text}");
    }
}

#[test]
fn every_public_form_that_openssl_writes_for_rsa_is_the_same_identity() {
    let owner = private(RSA).unwrap();

    assert_eq!(&public(RSA_PUBLIC).unwrap(), owner.public());
    assert_eq!(
        &public(vector!("rsa2048-pkcs1.pub")).unwrap(),
        owner.public()
    );
}

#[test]
fn the_key_with_attributes_of_rfc_8410_is_read() {
    let owner = private(vector!("rfc8410.prv")).unwrap();

    let key = owner.signing_key().verifying_key().to_string();
    assert_eq!(
        key,
        "19bf44096984cdfe8541bac167dc3b96c85086aa30b6b6cb0c5c38ad703166e1"
    );
}

#[test]
fn a_public_key_beside_another_private_one_is_refused() {
    // The last byte of the public key of RFC 8410's example, changed.
    let text = vector!("rfc8410.prv").replace("ZuE=", "ZuI=");

    assert!(matches!(refusal(&text), KeyError::Malformed { .. }));
}

#[test]
fn printed_files_are_read_back_to_the_same_identity() {
    for text in [ED25519, RSA] {
        let owner = private(text).unwrap();

        assert_eq!(private(&owner.to_pem()).unwrap().public(), owner.public());
        assert_eq!(&public(&owner.public().to_pem()).unwrap(), owner.public());
    }
}

#[test]
fn a_private_key_is_printed_as_openssl_prints_it() {
    for text in [ED25519, RSA] {
        let (_, block) = text.split_once('\n').unwrap();

        assert_eq!(private(text).unwrap().to_pem().as_str(), block);
    }
    let (_, block) = RSA_PUBLIC.split_once('\n').unwrap();
    assert_eq!(public(RSA_PUBLIC).unwrap().to_pem(), block);
}

#[test]
fn line_ends_of_either_kind_are_read() {
    let windows = RSA.replace('\n', "\r\n");
    let public_windows = private(ED25519)
        .unwrap()
        .public()
        .to_pem()
        .replace('\n', "\r\n");

    assert_eq!(
        private(&windows).unwrap().public(),
        private(RSA).unwrap().public()
    );
    assert_eq!(
        &public(&public_windows).unwrap(),
        private(ED25519).unwrap().public()
    );
    assert!(private(RSA.trim_end()).is_ok());
}

#[test]
fn a_private_key_never_passes_for_a_public_one() {
    let complete = private(ED25519).unwrap().public().to_pem();
    let texts = [
        ED25519.to_owned(),
        RSA.to_owned(),
        vector!("rsa2048-pkcs1.prv").to_owned(),
        vector!("ed25519-encrypted.prv").to_owned(),
        vector!("ec-sec1.prv").to_owned(),
        [&complete, ED25519].concat(),
        [ED25519, &complete].concat(),
    ];
    for text in texts {
        let error = public_refusal(&text);

        assert_eq!(error, KeyError::PrivateForPublic, "{text}");
        assert!(
            error
                .to_string()
                .contains("securecloud keygen --public-from key.prv")
        );
    }
}

#[test]
fn a_public_key_is_refused_where_the_private_one_is_needed() {
    let modern = private(ED25519).unwrap().public().to_pem();

    for text in [
        &modern,
        RSA_PUBLIC,
        vector!("rsa2048-pkcs1.pub"),
        vector!("ed25519-alone.pub"),
    ] {
        assert_eq!(refusal(text), KeyError::PublicForPrivate);
    }
}

#[test]
fn an_ed25519_public_key_without_its_sealing_key_is_refused_with_the_remedy() {
    let error = public_refusal(vector!("ed25519-alone.pub"));

    assert_eq!(error, KeyError::NoSealingKey);
    assert!(
        error
            .to_string()
            .contains("securecloud keygen --public-from key.prv")
    );
}

#[test]
fn a_passphrase_is_refused_with_the_remedy() {
    for text in [
        vector!("ed25519-encrypted.prv"),
        vector!("rsa2048-pkcs1-encrypted.prv"),
    ] {
        assert_eq!(refusal(text), KeyError::Encrypted);
    }
    assert!(KeyError::Encrypted.to_string().contains("openssl pkey -in"));
}

#[test]
fn keys_of_other_algorithms_are_refused_by_name() {
    let cases = [
        (vector!("ec-sec1.prv"), "elliptic-curve (EC)"),
        (vector!("ec-pkcs8.prv"), "elliptic-curve (EC)"),
        (vector!("x25519.prv"), "X25519"),
        (vector!("rsa-pss.prv"), "RSA-PSS-only"),
    ];
    for (text, algorithm) in cases {
        assert_eq!(refusal(text), KeyError::NotSupported { algorithm });
    }
    let algorithm = "elliptic-curve (EC)";
    assert_eq!(
        public_refusal(vector!("ec.pub")),
        KeyError::NotSupported { algorithm }
    );
}

#[test]
fn an_rsa_key_that_is_too_small_is_refused_with_its_size() {
    let expected = KeyError::RsaSize { bits: 1024 };

    assert_eq!(refusal(vector!("rsa1024.prv")), expected);
    assert_eq!(public_refusal(vector!("rsa1024.pub")), expected);
    assert_eq!(
        expected.to_string(),
        "an RSA key of 1024 bits: 2048 to 8192 bits are accepted"
    );
}

#[test]
fn a_file_with_a_second_key_is_refused() {
    let complete = private(ED25519).unwrap().public().to_pem();
    let of = |label: &str| KeyError::UnexpectedBlock {
        label: label.to_owned(),
    };

    assert_eq!(refusal(&[ED25519, RSA].concat()), of("PRIVATE KEY"));
    assert_eq!(refusal(&[RSA, RSA_PUBLIC].concat()), of("PUBLIC KEY"));
    assert_eq!(
        public_refusal(&[RSA_PUBLIC, RSA_PUBLIC].concat()),
        of("PUBLIC KEY")
    );
    assert_eq!(
        public_refusal(&[&complete, RSA_PUBLIC].concat()),
        of("PUBLIC KEY")
    );
    assert_eq!(
        public_refusal(&[vector!("ed25519-alone.pub"), RSA_PUBLIC].concat()),
        of("PUBLIC KEY")
    );
}

#[test]
fn a_sealing_key_alone_or_of_another_length_is_refused() {
    let complete = private(ED25519).unwrap().public().to_pem();
    let sealing = &complete[complete.find("-----BEGIN SECURECLOUD").unwrap()..];
    let mut lines: Vec<&str> = complete.lines().collect();
    lines.remove(6);

    let label = "SECURECLOUD SEALING KEY".to_owned();
    assert_eq!(public_refusal(sealing), KeyError::UnexpectedBlock { label });
    assert!(matches!(
        public_refusal(&lines.join("\n")),
        KeyError::Malformed { .. }
    ));
}

#[test]
fn a_file_without_a_key_or_too_long_is_refused() {
    let long = "x".repeat(KEY_FILE_MAX + 1);
    let bytes = KEY_FILE_MAX + 1;

    assert_eq!(refusal(""), KeyError::NoKey);
    assert_eq!(public_refusal("0 0 P i symbol 58\n"), KeyError::NoKey);
    assert_eq!(refusal(&long[1..]), KeyError::NoKey);
    assert_eq!(refusal(&long), KeyError::TooLarge { bytes });
    assert_eq!(public_refusal(&long), KeyError::TooLarge { bytes });
}

#[test]
fn damage_is_reported_with_its_line() {
    let cases = [
        (
            ED25519.replace("-----BEGIN PRIVATE KEY-----", "-----BEGIN PRIVATE KEY"),
            2,
        ),
        (
            ED25519.replace("-----END PRIVATE KEY-----", "-----END PUBLIC KEY-----"),
            4,
        ),
        (ED25519.replace("-----END PRIVATE KEY-----\n", ""), 3),
        (ED25519.replacen("MC4", "M*4", 1), 4),
        ("-----END PRIVATE KEY-----\n".to_owned(), 1),
        ("-----BEGIN private key-----\n".to_owned(), 1),
        ("-----BEGIN -----\n".to_owned(), 1),
        (
            ED25519.replacen("\nMC4", "\n-----BEGIN PRIVATE KEY-----\nMC4", 1),
            3,
        ),
    ];
    for (text, expected) in cases {
        let KeyError::Pem { line, .. } = refusal(&text) else {
            panic!("{:?}", refusal(&text))
        };

        assert_eq!(line, expected, "{text}");
    }
}

#[test]
fn an_rsa_key_with_a_changed_number_is_refused() {
    let lines: Vec<&str> = RSA.lines().collect();
    for at in 3..lines.len() - 1 {
        let mut changed: Vec<String> = lines.iter().map(|&line| line.to_owned()).collect();
        let first = if changed[at].starts_with('A') {
            "B"
        } else {
            "A"
        };
        changed[at].replace_range(0..1, first);

        assert!(private(&changed.join("\n")).is_err(), "line {}", at + 1);
    }
}

/// A key file with one byte replaced by another character.
fn damaged(text: &'static str) -> impl Strategy<Value = String> {
    (0..text.len(), any::<char>()).prop_map(move |(at, character)| {
        let mut damaged = text.to_owned();
        damaged.replace_range(at..=at, &character.to_string());
        damaged
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn no_text_makes_the_reader_panic(text in "(-----(BEGIN|END) (PUBLIC KEY|RSA PRIVATE KEY)-----|[A-Z0-9+/=]{0,9}|\\PC|:|\r?\n){0,40}") {
        let _ = private(&text);
        let _ = public(&text);
    }

    #[test]
    fn a_damaged_private_file_is_refused_or_another_key(text in prop_oneof![damaged(ED25519), damaged(RSA)]) {
        if let Ok(owner) = private(&text) {
            let read_back = private(&owner.to_pem()).unwrap();
            prop_assert_eq!(read_back.public(), owner.public());
        }
        prop_assert!(public(&text).is_err());
    }

    #[test]
    fn a_damaged_public_file_is_refused_or_another_key(text in damaged(RSA_PUBLIC)) {
        if let Ok(owner) = public(&text) {
            prop_assert_eq!(&public(&owner.to_pem()).unwrap(), &owner);
        }
        prop_assert!(private(&text).is_err());
    }

    #[test]
    fn a_block_of_any_bytes_is_refused_unless_it_is_a_key(
        bytes in prop::collection::vec(any::<u8>(), 0..80),
        label in prop::sample::select(vec!["PRIVATE KEY", "RSA PRIVATE KEY", "PUBLIC KEY", "RSA PUBLIC KEY"]),
    ) {
        let base64 = <base64ct::Base64 as base64ct::Encoding>::encode_string(&bytes);
        let text = format!("-----BEGIN {label}-----\n{base64}\n-----END {label}-----\n");

        prop_assert!(private(&text).is_err());
        prop_assert!(public(&text).is_err());
    }
}
