//! Provisioning, the owner's side: appraise first, then seal the keys to what was appraised.

use bytes::Bytes;
use sc_attestation::{Appraisal, Policy, appraise, claimed_platform};
use sc_crypto::{Entropy, OwnerSecret, SealingPublicKey};
use sc_enclave::{ConfirmationKey, ProvisionError, Purpose, SecretsMessage, Transcript};
use sc_proto::provision;

/// Why an owner did not hand its keys over, or does not believe that they arrived.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ProvisioningError {
    /// The evidence does not satisfy the policy.
    #[error(transparent)]
    Evidence(#[from] sc_attestation::Refused),
    /// A message is malformed or not authentic.
    #[error(transparent)]
    Message(#[from] ProvisionError),
}

/// M1 was sent; M2 is awaited.
pub struct Challenged {
    nonce: [u8; 32],
    purpose: Purpose,
}

/// M3 was sent; M4 is awaited.
pub struct Entrusted {
    transcript: Transcript,
    confirmation: ConfirmationKey,
}

impl Challenged {
    /// Begins: makes M1, for the program of this purpose.
    pub fn begin(
        owner: &OwnerSecret,
        purpose: Purpose,
        entropy: &mut dyn Entropy,
    ) -> (Self, provision::Challenge) {
        let mut nonce = [0; 32];
        entropy.fill(&mut nonce);
        let challenge = provision::Challenge {
            nonce: Bytes::copy_from_slice(&nonce),
            owner_key: Bytes::copy_from_slice(owner.signing_key().verifying_key().as_bytes()),
            purpose: purpose.as_str().into(),
        };
        (Self { nonce, purpose }, challenge)
    }

    /// What the evidence in M2 must vouch for.
    ///
    /// # Errors
    /// [`ProvisioningError`]: M2 is malformed.
    pub fn transcript(
        &self,
        owner: &OwnerSecret,
        offer: &provision::Offer,
    ) -> Result<Transcript, ProvisioningError> {
        let kem_key = kem_key(offer)?;
        Ok(self.transcript_of(owner, offer, &kem_key)?)
    }

    fn transcript_of(
        &self,
        owner: &OwnerSecret,
        offer: &provision::Offer,
        kem_key: &SealingPublicKey,
    ) -> Result<Transcript, sc_attestation::Refused> {
        let platform = claimed_platform(offer.evidence.as_ref())?;
        let owner = owner.signing_key().verifying_key();
        let (nonce, purpose) = (&self.nonce, self.purpose);
        Ok(Transcript::new(nonce, owner, purpose, platform, kem_key))
    }

    /// Appraises M2 at a time in milliseconds since 1970, and makes M3. Whoever calls this has seen to it that M2 is at most a minute younger than M1.
    ///
    /// # Errors
    /// [`ProvisioningError`]; nothing secret has left.
    pub fn entrust(
        &self,
        owner: &OwnerSecret,
        policy: &Policy,
        offer: &provision::Offer,
        secrets: &[u8],
        now_ms: u64,
        entropy: &mut dyn Entropy,
    ) -> Result<(Entrusted, Appraisal, provision::Secrets), ProvisioningError> {
        let kem_key = kem_key(offer)?;
        let transcript = self.transcript_of(owner, offer, &kem_key)?;
        let appraisal = appraise(
            policy,
            owner.signing_key().verifying_key(),
            offer.evidence.as_ref(),
            transcript.as_bytes(),
            now_ms / 1000,
        )?;

        let confirmation = ConfirmationKey::random(entropy);
        let message = SecretsMessage::seal(
            &transcript,
            &self.nonce,
            &kem_key,
            owner.signing_key(),
            &confirmation,
            secrets,
            entropy,
        );
        Ok((
            Entrusted {
                transcript,
                confirmation,
            },
            appraisal,
            message,
        ))
    }
}

fn kem_key(offer: &provision::Offer) -> Result<SealingPublicKey, ProvisionError> {
    SealingPublicKey::from_bytes(&offer.kem_key).map_err(|_| ProvisionError::Malformed)
}

impl Entrusted {
    /// Checks M4.
    ///
    /// # Errors
    /// [`ProvisionError::NotAuthentic`]: whatever answered does not hold the secrets.
    pub fn confirm(
        &self,
        confirmation: Option<&provision::Confirmation>,
    ) -> Result<(), ProvisionError> {
        self.confirmation.verify(
            &self.transcript,
            confirmation.ok_or(ProvisionError::Malformed)?,
        )
    }
}
