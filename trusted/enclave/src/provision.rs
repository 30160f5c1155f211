//! Provisioning, the program's side: an owner's secrets reach this very program and no other.
//!
//! M1 `Challenge` -> M2 `Offer` (a fresh X-Wing key and evidence over the transcript) -> M3 `Secrets` (sealed to that key, signed by
//! the owner) -> M4 `Confirmation`. Invariant: a key pair of M2 opens at most one M3 and is then destroyed; what it opens was signed
//! by the owner key of its own M1.

use std::collections::VecDeque;
use std::sync::Mutex;

use bytes::Bytes;
use sc_crypto::hash::sha256;
use sc_crypto::kdf::{mac, verify_mac};
use sc_crypto::{
    Entropy, NotAuthentic, Sealed, SealingKeyPair, SealingPublicKey, Secret, SigningKey,
    Transcript as Fields, VerifyingKey,
};
use sc_proto::provision;
use zeroize::Zeroizing;

use crate::Attester;

/// Challenges that may wait for their secrets at once; the oldest is forgotten first.
pub const PENDING_MAX: usize = 256;

/// What the keys are for; part of the transcript, so that keys for one program never open in another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Purpose {
    /// The routing program, `sc-cbr`.
    Cbr,
    /// The coding program, `sc-coder`.
    Coder,
}

impl Purpose {
    /// The word in `Challenge.purpose`.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Cbr => "cbr",
            Self::Coder => "coder",
        }
    }
}

/// What pins the owner of a dedicated program in the configuration that its platform measures: SHA-256 of the owner's Ed25519 key. SEV-SNP has
/// it as HOST_DATA, TDX as the first 32 bytes of MRCONFIGID, the rest of which is zero.
#[must_use]
pub fn owner_pin(owner: VerifyingKey) -> [u8; 32] {
    sha256(owner.as_bytes())
}

/// Why provisioning did not go on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ProvisionError {
    /// A field is missing or has the wrong size.
    #[error("a provisioning message is malformed")]
    Malformed,
    /// No challenge with this nonce waits here: never made, used, or forgotten.
    #[error("no challenge waits for these secrets")]
    NoChallenge,
    /// The program was started for another owner alone.
    #[error("this program serves another owner alone")]
    OtherOwner,
    /// The platform made no evidence.
    #[error("the platform makes no evidence for this program")]
    NoEvidence,
    /// A signature, a seal or a confirmation does not verify.
    #[error("a provisioning message is not authentic")]
    NotAuthentic,
}

impl From<NotAuthentic> for ProvisionError {
    fn from(_: NotAuthentic) -> Self {
        Self::NotAuthentic
    }
}

/// The hash that evidence, signature and confirmation of one provisioning share.
///
/// SHA-512 over (suite, nonce, owner key, purpose, platform, KEM key), each field length-prefixed.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Transcript([u8; 64]);

impl Transcript {
    /// The transcript of one M1 and M2.
    #[must_use]
    pub fn new(
        nonce: &[u8; 32],
        owner: VerifyingKey,
        purpose: Purpose,
        platform: &str,
        kem_key: &SealingPublicKey,
    ) -> Self {
        let hash = Fields::new("provision")
            .bytes(nonce)
            .bytes(owner.as_bytes())
            .bytes(purpose.as_str().as_bytes())
            .bytes(platform.as_bytes())
            .bytes(&kem_key.to_bytes())
            .hash();
        Self(hash)
    }

    /// The 64 bytes that evidence carries as report data.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8; 64] {
        &self.0
    }

    fn signed(&self, sealed: &Sealed) -> Fields {
        Fields::new("provision secrets")
            .bytes(&self.0)
            .bytes(&sealed.encapsulated)
            .bytes(&sealed.ciphertext)
    }

    fn confirmed_message(&self) -> Vec<u8> {
        Fields::new("provision confirmation")
            .bytes(&self.0)
            .finish()
    }
}

/// The key with which a program confirms that it took the secrets; travels in front of them.
pub struct ConfirmationKey(Secret);

impl ConfirmationKey {
    /// A fresh key, the owner's side.
    pub fn random(entropy: &mut dyn Entropy) -> Self {
        Self(Secret::random(entropy))
    }

    /// M4 for `transcript`.
    #[must_use]
    pub fn confirm(&self, transcript: &Transcript) -> provision::Confirmation {
        provision::Confirmation {
            mac: Bytes::copy_from_slice(&mac(&self.0, &transcript.confirmed_message())),
        }
    }

    /// Checks M4, the owner's side.
    ///
    /// # Errors
    /// [`ProvisionError::NotAuthentic`]: what answered does not hold the secrets.
    pub fn verify(
        &self,
        transcript: &Transcript,
        confirmation: &provision::Confirmation,
    ) -> Result<(), ProvisionError> {
        Ok(verify_mac(
            &self.0,
            &transcript.confirmed_message(),
            &confirmation.mac,
        )?)
    }
}

/// M3, made by the owner and opened by the program.
pub struct SecretsMessage;

impl SecretsMessage {
    /// Seals `confirmation` and `secrets` to the program's key and signs them; the owner's side.
    pub fn seal(
        transcript: &Transcript,
        nonce: &[u8; 32],
        kem_key: &SealingPublicKey,
        owner: &SigningKey,
        confirmation: &ConfirmationKey,
        secrets: &[u8],
        entropy: &mut dyn Entropy,
    ) -> provision::Secrets {
        let mut plaintext = Zeroizing::new(Vec::with_capacity(32 + secrets.len()));
        plaintext.extend_from_slice(confirmation.0.expose());
        plaintext.extend_from_slice(secrets);
        let sealed = kem_key.seal(transcript.as_bytes(), &[], &plaintext, entropy);
        let signature = owner.sign(&transcript.signed(&sealed));
        provision::Secrets {
            nonce: Bytes::copy_from_slice(nonce),
            encapsulated: sealed.encapsulated.into(),
            ciphertext: sealed.ciphertext.into(),
            signature: Bytes::copy_from_slice(&signature),
        }
    }
}

/// Secrets that arrived, and whose they are.
pub struct Provisioned {
    /// The owner key of the challenge, which signed the secrets.
    pub owner: VerifyingKey,
    /// The program's own secrets, to be parsed by it.
    pub secrets: Zeroizing<Vec<u8>>,
    confirmation: ConfirmationKey,
    transcript: Transcript,
}

impl Provisioned {
    /// M4; made only once the program has taken the secrets.
    #[must_use]
    pub fn confirm(&self) -> provision::Confirmation {
        self.confirmation.confirm(&self.transcript)
    }
}

struct Pending {
    nonce: [u8; 32],
    owner: VerifyingKey,
    pair: SealingKeyPair,
    transcript: Transcript,
}

/// The challenges that wait for their secrets.
pub struct Provisioner {
    purpose: Purpose,
    pending: Mutex<VecDeque<Pending>>,
}

impl Provisioner {
    /// No challenge waits yet.
    #[must_use]
    pub fn new(purpose: Purpose) -> Self {
        Self {
            purpose,
            pending: Mutex::new(VecDeque::new()),
        }
    }

    /// Answers M1 with M2: makes a key pair for this challenge alone and has the platform vouch for it.
    ///
    /// # Errors
    /// [`ProvisionError::Malformed`] for fields of wrong size or another purpose; [`ProvisionError::OtherOwner`];
    /// [`ProvisionError::NoEvidence`] when the platform makes none.
    pub fn challenge(
        &self,
        challenge: &provision::Challenge,
        attester: &dyn Attester,
        entropy: &mut dyn Entropy,
    ) -> Result<provision::Offer, ProvisionError> {
        let nonce: [u8; 32] = challenge
            .nonce
            .as_ref()
            .try_into()
            .map_err(|_| ProvisionError::Malformed)?;
        let owner = VerifyingKey::from_bytes(
            challenge
                .owner_key
                .as_ref()
                .try_into()
                .map_err(|_| ProvisionError::Malformed)?,
        );
        if challenge.purpose != self.purpose.as_str() {
            return Err(ProvisionError::Malformed);
        }
        if attester.owner().is_some_and(|pin| pin != owner_pin(owner)) {
            return Err(ProvisionError::OtherOwner);
        }
        let pair = SealingKeyPair::generate(entropy);
        let public = pair.public().to_bytes();
        let transcript = Transcript::new(
            &nonce,
            owner,
            self.purpose,
            attester.platform(),
            pair.public(),
        );
        let evidence = attester
            .evidence(transcript.as_bytes())
            .ok_or(ProvisionError::NoEvidence)?;

        let mut pending = self.pending.lock().expect("no holder of this lock panics");
        pending.retain(|waiting| waiting.nonce != nonce);
        if pending.len() == PENDING_MAX {
            pending.pop_front();
        }
        pending.push_back(Pending {
            nonce,
            owner,
            pair,
            transcript,
        });
        Ok(provision::Offer {
            kem_key: public.into(),
            evidence: Some(evidence),
        })
    }

    /// Opens M3 under the key pair and the owner key of its challenge. An authentic M3 uses the challenge up; any other leaves it,
    /// so that a forger cannot spoil an owner's provisioning.
    ///
    /// # Errors
    /// [`ProvisionError`]; nothing was kept of a message that is refused.
    pub fn secrets(&self, message: &provision::Secrets) -> Result<Provisioned, ProvisionError> {
        let sealed = Sealed {
            encapsulated: message.encapsulated.to_vec(),
            ciphertext: message.ciphertext.to_vec(),
        };
        let mut pending = self.pending.lock().expect("no holder of this lock panics");
        let place = pending
            .iter()
            .position(|waiting| waiting.nonce[..] == message.nonce[..])
            .ok_or(ProvisionError::NoChallenge)?;
        let waiting = &pending[place];
        waiting
            .owner
            .verify(&waiting.transcript.signed(&sealed), &message.signature)?;
        let used = pending
            .remove(place)
            .expect("the place was found under this lock");
        drop(pending);

        let plaintext = used.pair.open(
            used.transcript.as_bytes(),
            &[],
            &sealed.encapsulated,
            &sealed.ciphertext,
        )?;
        let (confirmation, secrets) = plaintext
            .split_at_checked(32)
            .ok_or(ProvisionError::Malformed)?;
        let confirmation = ConfirmationKey(Secret::from_bytes(
            confirmation.try_into().expect("split at 32"),
        ));
        Ok(Provisioned {
            owner: used.owner,
            secrets: Zeroizing::new(secrets.to_vec()),
            confirmation,
            transcript: used.transcript,
        })
    }
}
