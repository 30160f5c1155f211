//! M1 to M4 between an owner and a program, with a host in between that changes, replays and mixes messages.

#![allow(clippy::unwrap_used, reason = "helpers of tests are tests")]

use sc_crypto::hash::sha256;
use sc_crypto::{SealingPublicKey, Secret, SigningKey, VerifyingKey};
use sc_enclave::{
    Attester, ConfirmationKey, PENDING_MAX, ProvisionError, Provisioned, Provisioner, Purpose,
    Report, SecretsMessage, SimulatedPlatform, Transcript, simulation_development_key,
};
use sc_proto::provision::{self, evidence::Kind};

const NONCE: [u8; 32] = [7; 32];

/// Bytes that differ at each call and are the same in each run.
fn entropy(mut state: u64) -> impl FnMut(&mut [u8]) {
    state <<= 32;
    move |bytes| {
        for chunk in bytes.chunks_mut(32) {
            state += 1;
            chunk.copy_from_slice(&sha256(&state.to_le_bytes())[..chunk.len()]);
        }
    }
}

fn owner(number: u8) -> SigningKey {
    SigningKey::from_seed(&[number; 32])
}

fn platform() -> SimulatedPlatform {
    SimulatedPlatform::new(simulation_development_key(), [9; 32])
}

fn challenge(owner: &SigningKey, nonce: [u8; 32]) -> provision::Challenge {
    provision::Challenge {
        nonce: nonce.to_vec().into(),
        owner_key: owner.verifying_key().as_bytes().to_vec().into(),
        purpose: "cbr".into(),
    }
}

/// A program that has answered the challenge of owner 1.
struct World {
    program: Provisioner,
    transcript: Transcript,
    key: SealingPublicKey,
    confirmation: ConfirmationKey,
}

impl World {
    fn new() -> Self {
        let program = Provisioner::new(Purpose::Cbr);
        let offer = program
            .challenge(&challenge(&owner(1), NONCE), &platform(), &mut entropy(1))
            .unwrap();
        let key = SealingPublicKey::from_bytes(&offer.kem_key).unwrap();
        let transcript = transcript_of(&NONCE, owner(1).verifying_key(), "simulation", &key);
        Self {
            program,
            transcript,
            key,
            confirmation: ConfirmationKey::random(&mut entropy(2)),
        }
    }

    fn message(&self, secrets: &[u8]) -> provision::Secrets {
        self.signed_by(&owner(1), secrets)
    }

    fn signed_by(&self, signer: &SigningKey, secrets: &[u8]) -> provision::Secrets {
        SecretsMessage::seal(
            &self.transcript,
            &NONCE,
            &self.key,
            signer,
            &self.confirmation,
            secrets,
            &mut entropy(3),
        )
    }

    /// What the program makes of `message`: an error, or the secrets.
    fn take(&self, message: &provision::Secrets) -> Result<Vec<u8>, ProvisionError> {
        self.program
            .secrets(message)
            .map(|provisioned| provisioned.secrets.to_vec())
    }
}

fn transcript_of(
    nonce: &[u8; 32],
    owner: VerifyingKey,
    platform: &str,
    key: &SealingPublicKey,
) -> Transcript {
    Transcript::new(nonce, owner, Purpose::Cbr, platform, key)
}

fn report_data(evidence: Option<provision::Evidence>) -> [u8; 64] {
    let Some(Kind::Simulation(simulation)) = evidence.and_then(|evidence| evidence.kind) else {
        panic!("no simulated evidence");
    };
    let key = VerifyingKey::from_bytes(simulation.key[..].try_into().unwrap());
    key.verify(&Report::signed(&simulation.report), &simulation.signature)
        .unwrap();
    Report::decode(&simulation.report).unwrap().report_data
}

#[test]
fn the_secrets_arrive_with_their_owner_and_are_confirmed() {
    let world = World::new();

    let provisioned: Provisioned = world.program.secrets(&world.message(b"secret")).unwrap();

    assert_eq!(provisioned.owner, owner(1).verifying_key());
    assert_eq!(provisioned.secrets[..], b"secret"[..]);
    let confirmation = provisioned.confirm();
    world
        .confirmation
        .verify(&world.transcript, &confirmation)
        .unwrap();
}

#[test]
fn the_secrets_are_taken_once() {
    let world = World::new();
    let message = world.message(b"secret");

    assert!(world.take(&message).is_ok());

    assert_eq!(world.take(&message), Err(ProvisionError::NoChallenge));
}

#[test]
fn a_forged_message_neither_passes_nor_uses_the_challenge_up() {
    let world = World::new();
    let by_another = world.signed_by(&owner(2), b"forged");
    let genuine = world.message(b"secret");
    let mixed = provision::Secrets {
        signature: genuine.signature.clone(),
        ..by_another.clone()
    };

    for forged in [by_another, mixed] {
        assert_eq!(world.take(&forged), Err(ProvisionError::NotAuthentic));
    }

    assert_eq!(world.take(&genuine), Ok(b"secret".to_vec()));
}

#[test]
fn every_flipped_bit_of_the_confirmation_and_every_other_length_is_refused() {
    let world = World::new();
    let confirmation = world.confirmation.confirm(&world.transcript);
    let verify = |mac: Vec<u8>| {
        let forged = provision::Confirmation { mac: mac.into() };
        world.confirmation.verify(&world.transcript, &forged)
    };

    assert!(verify(confirmation.mac.to_vec()).is_ok());
    for bit in 0..256 {
        let mut mac = confirmation.mac.to_vec();
        mac[bit / 8] ^= 1 << (bit % 8);
        assert_eq!(verify(mac), Err(ProvisionError::NotAuthentic));
    }
    for length in 0..32 {
        let mac = confirmation.mac[..length].to_vec();
        assert_eq!(verify(mac), Err(ProvisionError::NotAuthentic));
    }
    assert!(verify([&confirmation.mac[..], &[0]].concat()).is_err());
}

#[test]
fn a_confirmation_of_another_provisioning_or_key_is_refused() {
    let world = World::new();
    let other = transcript_of(&[8; 32], owner(1).verifying_key(), "simulation", &world.key);
    let of_other_key = ConfirmationKey::random(&mut entropy(9)).confirm(&world.transcript);
    let replayed = world.confirmation.confirm(&other);

    for confirmation in [of_other_key, replayed] {
        assert_eq!(
            world.confirmation.verify(&world.transcript, &confirmation),
            Err(ProvisionError::NotAuthentic)
        );
    }
}

#[test]
fn every_field_of_the_transcript_changes_it() {
    let world = World::new();
    let other_key = {
        let pair = sc_crypto::SealingKeyPair::from_seed(&[1; 32]);
        pair.public().clone()
    };
    let signer = owner(1).verifying_key();
    let changed = [
        transcript_of(&[8; 32], signer, "simulation", &world.key),
        transcript_of(&NONCE, owner(2).verifying_key(), "simulation", &world.key),
        transcript_of(&NONCE, signer, "sgx", &world.key),
        transcript_of(&NONCE, signer, "simulation", &other_key),
    ];

    let same = transcript_of(&NONCE, signer, "simulation", &world.key);
    assert!(same == world.transcript);
    for transcript in changed {
        assert!(transcript != world.transcript);
    }
}

#[test]
fn evidence_vouches_for_the_transcript_and_nothing_else() {
    let program = Provisioner::new(Purpose::Cbr);
    let m1 = challenge(&owner(1), NONCE);
    let offer = program
        .challenge(&m1, &platform(), &mut entropy(1))
        .unwrap();
    let key = SealingPublicKey::from_bytes(&offer.kem_key).unwrap();
    let transcript = transcript_of(&NONCE, owner(1).verifying_key(), "simulation", &key);

    assert_eq!(report_data(offer.evidence), *transcript.as_bytes());
}

#[test]
fn each_challenge_is_answered_with_a_key_of_its_own() {
    let program = Provisioner::new(Purpose::Cbr);
    let mut entropy = entropy(1);
    let m1 = challenge(&owner(1), NONCE);

    let first = program.challenge(&m1, &platform(), &mut entropy).unwrap();
    let second = program.challenge(&m1, &platform(), &mut entropy).unwrap();

    assert_ne!(first.kem_key, second.kem_key);
}

#[test]
fn a_repeated_challenge_makes_the_earlier_key_worthless() {
    let world = World::new();
    let late = world.message(b"secret");

    world
        .program
        .challenge(&challenge(&owner(1), NONCE), &platform(), &mut entropy(8))
        .unwrap();

    assert_eq!(world.take(&late), Err(ProvisionError::NotAuthentic));
}

#[test]
fn a_signed_message_that_does_not_open_is_refused_and_uses_the_challenge_up() {
    let world = World::new();
    // Signed by the owner over the right transcript, but sealed to another key.
    let other = sc_crypto::SealingKeyPair::from_seed(&[1; 32]);
    let sealed_elsewhere = SecretsMessage::seal(
        &world.transcript,
        &NONCE,
        other.public(),
        &owner(1),
        &world.confirmation,
        b"secret",
        &mut entropy(3),
    );

    assert_eq!(
        world.take(&sealed_elsewhere),
        Err(ProvisionError::NotAuthentic)
    );
    assert_eq!(
        world.take(&world.message(b"secret")),
        Err(ProvisionError::NoChallenge)
    );
}

#[test]
fn as_many_challenges_wait_as_the_bound_and_the_oldest_gives_way() {
    let world = World::new();
    let numbered = |number: usize| {
        let mut nonce = [1; 32];
        nonce[..8].copy_from_slice(&(number as u64).to_le_bytes());
        challenge(&owner(2), nonce)
    };
    for number in 1..PENDING_MAX {
        world
            .program
            .challenge(&numbered(number), &platform(), &mut entropy(4))
            .unwrap();
    }
    let nonce_of_first = provision::Secrets {
        signature: vec![0; 64].into(),
        ..world.message(b"secret")
    };
    assert_eq!(
        world.take(&nonce_of_first),
        Err(ProvisionError::NotAuthentic),
        "it still waits"
    );

    world
        .program
        .challenge(&numbered(PENDING_MAX), &platform(), &mut entropy(4))
        .unwrap();

    assert_eq!(
        world.take(&world.message(b"secret")),
        Err(ProvisionError::NoChallenge)
    );
}

#[test]
fn a_challenge_with_a_key_of_small_order_gives_nobody_a_session() {
    let program = Provisioner::new(Purpose::Cbr);
    let mut m1 = challenge(&owner(1), NONCE);
    // The neutral point: under it a lax verifier takes any signature with S = 0 and R the neutral point.
    let neutral = [&[1][..], &[0; 31]].concat();
    m1.owner_key = neutral.clone().into();
    let offer = program
        .challenge(&m1, &platform(), &mut entropy(1))
        .unwrap();

    let forged = provision::Secrets {
        nonce: m1.nonce,
        encapsulated: vec![0; 1120].into(),
        ciphertext: vec![0; 64].into(),
        signature: [&neutral[..], &[0; 32]].concat().into(),
    };

    assert!(!offer.kem_key.is_empty());
    assert_eq!(
        program.secrets(&forged).err(),
        Some(ProvisionError::NotAuthentic)
    );
}

#[test]
fn secrets_too_short_for_a_confirmation_key_are_malformed() {
    let world = World::new();
    // The pieces of an M3 whose plaintext has 31 bytes: made by hand, as no owner's code makes it.
    let sealed = world
        .key
        .seal(world.transcript.as_bytes(), &[], &[5; 31], &mut entropy(3));
    let signed = sc_crypto::Transcript::new("provision secrets")
        .bytes(world.transcript.as_bytes())
        .bytes(&sealed.encapsulated)
        .bytes(&sealed.ciphertext);
    let message = provision::Secrets {
        nonce: NONCE.to_vec().into(),
        encapsulated: sealed.encapsulated.into(),
        ciphertext: sealed.ciphertext.into(),
        signature: owner(1).sign(&signed).to_vec().into(),
    };

    assert_eq!(world.take(&message), Err(ProvisionError::Malformed));
}

#[test]
fn simulated_evidence_is_signed_by_its_platform_alone() {
    let evidence = platform().evidence(&[3; 64]).unwrap();
    let Some(Kind::Simulation(simulation)) = evidence.kind else {
        panic!("no simulated evidence");
    };
    let signed = Report::signed(&simulation.report);
    let ours = simulation_development_key().verifying_key();
    let other = SigningKey::from_seed(Secret::from_bytes([1; 32]).expose()).verifying_key();

    assert_eq!(simulation.key[..], ours.as_bytes()[..]);
    assert!(ours.verify(&signed, &simulation.signature).is_ok());
    assert!(other.verify(&signed, &simulation.signature).is_err());
}
