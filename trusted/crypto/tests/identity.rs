//! What an identity promises to those who hold its public half.

#![allow(clippy::unwrap_used, reason = "helpers of tests are tests")]

use proptest::prelude::*;
use sc_crypto::{
    DomainId, KeyError, NotAuthentic, OwnerPublic, OwnerSecret, Secret, Transcript, VerifyingKey,
};

fn modern(byte: u8) -> OwnerSecret {
    OwnerSecret::from_seed(Secret::from_bytes([byte; 32]))
}

fn rsa() -> OwnerSecret {
    OwnerSecret::from_pem(include_str!("vectors/rsa2048.prv")).unwrap()
}

fn other_rsa() -> OwnerSecret {
    OwnerSecret::from_pem(include_str!("vectors/rsa3072-pkcs1.prv")).unwrap()
}

fn fixed_entropy(bytes: &mut [u8]) {
    bytes.fill(9);
}

fn seal(owner: &OwnerSecret, context: &[u8], plaintext: &[u8]) -> Vec<u8> {
    owner.public().seal(context, plaintext, &mut fixed_entropy)
}

fn refuses(owner: &OwnerSecret, context: &[u8], envelope: &[u8]) -> bool {
    owner
        .open(context, envelope)
        .is_err_and(|error| error == NotAuthentic)
}

#[test]
fn what_is_sealed_to_an_owner_is_opened_by_that_owner() {
    for owner in [modern(1), rsa()] {
        for plaintext in [&b""[..], b"plaintext", &[5; 10_000]] {
            let envelope = seal(&owner, b"context", plaintext);

            assert_eq!(*owner.open(b"context", &envelope).unwrap(), plaintext);
        }
    }
}

#[test]
fn what_is_sealed_to_another_owner_or_for_another_context_is_refused() {
    for (owner, other) in [
        (modern(1), modern(2)),
        (rsa(), other_rsa()),
        (modern(1), rsa()),
        (rsa(), modern(1)),
    ] {
        let envelope = seal(&owner, b"context", b"plaintext");

        assert!(refuses(&other, b"context", &envelope));
        assert!(refuses(&owner, b"contexts", &envelope));
        assert!(refuses(&owner, b"", &envelope));
    }
}

#[test]
fn an_envelope_with_a_flipped_bit_in_any_byte_is_refused() {
    for owner in [modern(1), rsa()] {
        let envelope = seal(&owner, b"context", b"plaintext");
        for place in 0..envelope.len() {
            // Every bit of the header and of the last bytes, one bit of each byte between.
            let thorough = place < 4 || place + 8 > envelope.len();
            for bit in (0..8).filter(|&bit| thorough || bit == place % 8) {
                let mut forged = envelope.clone();
                forged[place] ^= 1 << bit;
                assert!(
                    refuses(&owner, b"context", &forged),
                    "byte {place}, bit {bit}"
                );
            }
        }
    }
}

#[test]
fn a_truncated_or_lengthened_envelope_is_refused() {
    for owner in [modern(1), rsa()] {
        let envelope = seal(&owner, b"context", b"plaintext");
        let near_the_end = envelope.len() - 30..envelope.len();
        for length in (0..20).chain(near_the_end) {
            assert!(
                refuses(&owner, b"context", &envelope[..length]),
                "{length} bytes"
            );
        }
        assert!(refuses(
            &owner,
            b"context",
            &[envelope.as_slice(), &[0]].concat()
        ));
    }
}

#[test]
fn an_rsa_certificate_is_made_once() {
    let owner = OwnerSecret::generate_rsa(2048).unwrap();

    // Each signature is made with a fresh salt: two of them would differ.
    assert_eq!(owner.certificate(), owner.certificate());
}

#[test]
fn the_authority_of_an_ed25519_identity_is_its_own_key_without_a_certificate() {
    let owner = modern(1);
    let own = owner.signing_key().verifying_key();
    let other = modern(2).signing_key().verifying_key();

    assert_eq!(owner.certificate(), b"");
    assert_eq!(owner.public().authority(&owner.certificate(), own), Ok(own));
    assert_eq!(owner.public().authority(b"", other), Err(NotAuthentic));
    assert_eq!(owner.public().authority(b"surplus", own), Err(NotAuthentic));
}

#[test]
fn the_authority_of_an_rsa_identity_is_the_key_it_certified() {
    let owner = rsa();
    let certified = owner.signing_key().verifying_key();
    let certificate = owner.certificate();

    let other = VerifyingKey::from_bytes([1; 32]);
    assert_eq!(
        owner.public().authority(&certificate, certified),
        Ok(certified)
    );
    assert_eq!(
        owner.public().authority(&certificate, other),
        Err(NotAuthentic)
    );
    assert_eq!(owner.public().authority(b"", certified), Err(NotAuthentic));
    assert_eq!(
        owner.public().authority(&certificate[1..], certified),
        Err(NotAuthentic)
    );
    assert_eq!(
        other_rsa().public().authority(&certificate, certified),
        Err(NotAuthentic)
    );
    assert_eq!(
        modern(1).public().authority(&certificate, certified),
        Err(NotAuthentic)
    );
    for place in 0..certificate.len() {
        let mut forged = certificate.clone();
        forged[place] ^= 1 << (place % 8);
        assert_eq!(
            owner.public().authority(&forged, certified),
            Err(NotAuthentic)
        );
    }
}

#[test]
fn the_certified_key_is_the_one_that_signs() {
    let owner = rsa();
    let transcript = Transcript::new("test").u64(1);

    let signature = owner.signing_key().sign(&transcript);
    let authority = owner
        .public()
        .authority(&owner.certificate(), owner.signing_key().verifying_key());

    assert_eq!(authority.unwrap().verify(&transcript, &signature), Ok(()));
}

#[test]
fn two_forms_of_one_rsa_key_are_one_identity() {
    let pkcs1 = OwnerSecret::from_pem(include_str!("vectors/rsa2048-pkcs1.prv")).unwrap();

    assert_eq!(pkcs1.public(), rsa().public());
    assert_eq!(
        pkcs1.signing_key().verifying_key(),
        rsa().signing_key().verifying_key()
    );
}

#[test]
fn different_keys_have_different_domains() {
    let domains =
        [modern(1), modern(2), rsa(), other_rsa()].map(|owner| owner.public().domain_id());

    for (at, domain) in domains.iter().enumerate() {
        assert!(!domains[..at].contains(domain));
    }
}

#[test]
fn changing_the_sealing_key_of_a_public_identity_changes_its_domain() {
    let one = modern(1).public().to_bytes();
    let two = modern(2).public().to_bytes();

    let mixed = OwnerPublic::from_bytes(&[&one[..33], &two[33..]].concat()).unwrap();

    assert_ne!(mixed.domain_id(), modern(1).public().domain_id());
    assert_ne!(mixed.domain_id(), modern(2).public().domain_id());
}

#[test]
fn a_public_identity_survives_its_binary_encoding() {
    for owner in [modern(1), rsa()] {
        let decoded = OwnerPublic::from_bytes(&owner.public().to_bytes()).unwrap();

        assert_eq!(&decoded, owner.public());
        assert_eq!(decoded.to_bytes(), owner.public().to_bytes());
        let envelope = decoded.seal(b"context", b"plaintext", &mut fixed_entropy);
        assert_eq!(*owner.open(b"context", &envelope).unwrap(), b"plaintext");
    }
}

#[test]
fn a_cut_lengthened_or_unknown_public_identity_is_refused() {
    for owner in [modern(1), rsa()] {
        let bytes = owner.public().to_bytes();
        for length in 0..bytes.len() {
            assert!(
                OwnerPublic::from_bytes(&bytes[..length]).is_err(),
                "{length} bytes"
            );
        }
        assert!(OwnerPublic::from_bytes(&[bytes.as_slice(), &[0]].concat()).is_err());
        for kind in [0, 3, 255] {
            let unknown = [&[kind], &bytes[1..]].concat();
            assert!(matches!(
                OwnerPublic::from_bytes(&unknown),
                Err(KeyError::Malformed { .. })
            ));
        }
    }
}

#[test]
fn a_fingerprint_is_the_domain_in_base64() {
    let fingerprint = modern(1).public().fingerprint();

    assert_eq!(fingerprint.len(), "SHA256:".len() + 43);
    assert!(fingerprint.starts_with("SHA256:"));
    assert_ne!(fingerprint, modern(2).public().fingerprint());
}

#[test]
fn generated_identities_come_from_the_entropy_alone() {
    let one = OwnerSecret::generate(&mut |bytes: &mut [u8]| bytes.fill(1));

    assert_eq!(one.public(), modern(1).public());
}

#[test]
fn a_generated_rsa_identity_works_and_other_sizes_are_refused() {
    let owner = OwnerSecret::generate_rsa(2048).unwrap();

    let envelope = seal(&owner, b"context", b"plaintext");
    assert_eq!(*owner.open(b"context", &envelope).unwrap(), b"plaintext");
    assert_eq!(
        OwnerSecret::from_pem(&owner.to_pem()).unwrap().public(),
        owner.public()
    );
    for bits in [0, 1024, 2047, 2049, 16_384] {
        assert_eq!(
            OwnerSecret::generate_rsa(bits).err(),
            Some(KeyError::RsaSizeToGenerate { bits })
        );
    }
}

#[test]
fn printing_an_identity_shows_its_domain_alone() {
    let owner = modern(1);
    let domain = owner.public().domain_id();
    let short = &domain.to_string()[..12];

    assert_eq!(
        format!("{owner:?}"),
        format!("OwnerSecret(.., DomainId({short}))")
    );
    assert_eq!(
        format!("{:?}", owner.public()),
        format!("OwnerPublic({short})")
    );
    assert_eq!(DomainId::from_bytes(*domain.as_bytes()), domain);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn bytes_that_nobody_sealed_never_open(mut bytes in prop::collection::vec(any::<u8>(), 0..2048), kind in 0_u8..4) {
        if let Some(header) = bytes.first_chunk_mut() {
            *header = [1, kind];
        }
        prop_assert!(refuses(&modern(1), b"context", &bytes));
        prop_assert!(refuses(&rsa(), b"context", &bytes));
    }

    #[test]
    fn bytes_that_decode_as_an_identity_encode_as_they_were(
        mut bytes in prop::collection::vec(any::<u8>(), 0..1400),
        kind in 0_u8..4,
    ) {
        if let Some(first) = bytes.first_mut() {
            *first = kind;
        }
        if let Ok(public) = OwnerPublic::from_bytes(&bytes) {
            prop_assert_eq!(public.to_bytes(), bytes);
        }
    }
}
