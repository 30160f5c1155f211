//! Who an owner is: one key pair to sign, one to be sealed to, one identifier.
//!
//! Invariant: everything follows from the private key file. The same file gives the same signing key, sealing key and
//! domain on every machine.
//! Formats and labels: `docs/FORMATS.md`.

use core::fmt;
use std::sync::OnceLock;

use base64ct::{Base64Unpadded, Encoding};
use zeroize::Zeroizing;

use crate::aead::{AeadKey, Nonce};
use crate::hpke::ENCAPSULATED_BYTES;
use crate::{
    Entropy, KeyError, NotAuthentic, RsaPrivate, RsaPublic, SealingKeyPair, SealingPublicKey,
    Secret, SigningKey, Transcript, VERIFYING_KEY_BYTES, VerifyingKey, hex, kdf,
};

/// Version of the envelope that [`OwnerPublic::seal`] writes.
const ENVELOPE_VERSION: u8 = 1;
/// Version, kind and the length of the encapsulation.
const ENVELOPE_HEADER: usize = 4;
/// An Ed25519 key with the X-Wing key derived from it.
const KIND_MODERN: u8 = 1;
/// An RSA key.
const KIND_RSA: u8 = 2;

/// The name of an owner's domain: a hash of its public key.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DomainId([u8; 32]);

impl DomainId {
    /// Takes an identifier that a peer claims.
    #[must_use]
    pub fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// The hash.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl fmt::Debug for DomainId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        hex::write_short("DomainId", &self.0, f)
    }
}

impl fmt::Display for DomainId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        hex::write(&self.0, f)
    }
}

/// The private identity of an owner, a publisher or a consumer.
pub struct OwnerSecret {
    key: PrivateKey,
    signing: SigningKey,
    public: OwnerPublic,
    /// Made when it is first asked for.
    certificate: OnceLock<Vec<u8>>,
}

enum PrivateKey {
    Modern {
        seed: Secret,
        sealing: Box<SealingKeyPair>,
    },
    Rsa(Box<RsaPrivate>),
}

impl OwnerSecret {
    /// Makes a new Ed25519 identity.
    pub fn generate(entropy: &mut dyn Entropy) -> Self {
        Self::from_seed(Secret::random(entropy))
    }

    /// Makes a new RSA identity of 2048, 3072, 4096 or 8192 bits. The library draws the randomness.
    ///
    /// # Errors
    /// [`KeyError::RsaSizeToGenerate`] for any other size.
    pub fn generate_rsa(bits: usize) -> Result<Self, KeyError> {
        RsaPrivate::generate(bits).map(Self::from_rsa)
    }

    /// The identity of an Ed25519 seed.
    #[must_use]
    pub fn from_seed(seed: Secret) -> Self {
        let signing = SigningKey::from_seed(seed.expose());
        let sealing =
            SealingKeyPair::from_seed(kdf::derive(&seed, "x-wing of ed25519", &[]).expose());
        let public = OwnerPublic::modern(signing.verifying_key(), sealing.public().clone());
        Self {
            key: PrivateKey::Modern {
                seed,
                sealing: Box::new(sealing),
            },
            signing,
            public,
            certificate: OnceLock::new(),
        }
    }

    /// The identity of an RSA key, whose signing key is derived from it.
    #[must_use]
    pub fn from_rsa(rsa: RsaPrivate) -> Self {
        let material = kdf::extract("rsa private key", rsa.pkcs1());
        let signing = SigningKey::from_seed(kdf::derive(&material, "ed25519 of rsa", &[]).expose());
        let public = OwnerPublic::rsa(rsa.public().clone());
        Self {
            key: PrivateKey::Rsa(Box::new(rsa)),
            signing,
            public,
            certificate: OnceLock::new(),
        }
    }

    /// The Ed25519 key that signs for this identity.
    #[must_use]
    pub fn signing_key(&self) -> &SigningKey {
        &self.signing
    }

    /// The public identity.
    #[must_use]
    pub fn public(&self) -> &OwnerPublic {
        &self.public
    }

    /// The proof, for [`OwnerPublic::authority`], that [`OwnerSecret::signing_key`] speaks for this identity.
    ///
    /// Empty for an Ed25519 identity; a signature for an RSA identity, which costs an RSA private operation the first
    /// time. Another process, of the same key file, makes another that is equally valid.
    #[must_use]
    pub fn certificate(&self) -> Vec<u8> {
        let certify = || match &self.key {
            PrivateKey::Modern { .. } => Vec::new(),
            PrivateKey::Rsa(rsa) => {
                rsa.sign(&certified(self.public.domain, self.signing.verifying_key()))
            }
        };
        self.certificate.get_or_init(certify).clone()
    }

    /// Opens what [`OwnerPublic::seal`] made for the same context.
    ///
    /// # Errors
    /// [`NotAuthentic`] whatever is wrong.
    pub fn open(
        &self,
        context: &[u8],
        envelope: &[u8],
    ) -> Result<Zeroizing<Vec<u8>>, NotAuthentic> {
        let (kind, encapsulated, ciphertext) = split_envelope(envelope).ok_or(NotAuthentic)?;
        match (&self.key, kind) {
            (PrivateKey::Modern { sealing, .. }, KIND_MODERN) => {
                sealing.open(context, &[], encapsulated, ciphertext)
            }
            (PrivateKey::Rsa(rsa), KIND_RSA) => {
                let key = rsa.unwrap(context, encapsulated)?;
                let key = key.as_slice().try_into().map_err(|_| NotAuthentic)?;
                AeadKey::from_key_bytes(key)
                    .open(Nonce::ONCE, context, ciphertext)
                    .map(Zeroizing::new)
            }
            _ => Err(NotAuthentic),
        }
    }

    /// The Ed25519 seed, of an identity that has one: what its private key file holds.
    pub(crate) fn seed(&self) -> Option<&Secret> {
        match &self.key {
            PrivateKey::Modern { seed, .. } => Some(seed),
            PrivateKey::Rsa(_) => None,
        }
    }

    /// The RSA key, of an identity that has one: what its private key file holds.
    pub(crate) fn rsa(&self) -> Option<&RsaPrivate> {
        match &self.key {
            PrivateKey::Modern { .. } => None,
            PrivateKey::Rsa(rsa) => Some(rsa),
        }
    }
}

impl fmt::Debug for OwnerSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "OwnerSecret(.., {:?})", self.public.domain)
    }
}

/// The public identity of an owner, a publisher or a consumer.
///
/// Two are equal if their domains are.
#[derive(Clone)]
pub struct OwnerPublic {
    key: PublicKey,
    domain: DomainId,
}

#[derive(Clone)]
pub(crate) enum PublicKey {
    Modern {
        verifying: VerifyingKey,
        sealing: SealingPublicKey,
    },
    Rsa(RsaPublic),
}

impl OwnerPublic {
    pub(crate) fn modern(verifying: VerifyingKey, sealing: SealingPublicKey) -> Self {
        Self::from_key(PublicKey::Modern { verifying, sealing })
    }

    pub(crate) fn rsa(rsa: RsaPublic) -> Self {
        Self::from_key(PublicKey::Rsa(rsa))
    }

    fn from_key(key: PublicKey) -> Self {
        let transcript = Transcript::new("domain id")
            .bytes(&[key.kind()])
            .bytes(&key.to_bytes());
        Self {
            key,
            domain: DomainId(transcript.hash256()),
        }
    }

    /// The identifier of this owner's domain, which binds every byte of its public key.
    #[must_use]
    pub fn domain_id(&self) -> DomainId {
        self.domain
    }

    /// The domain's identifier as people compare it and as allow-lists hold it: `SHA256:` and 43 characters of base64.
    #[must_use]
    pub fn fingerprint(&self) -> String {
        format!("SHA256:{}", Base64Unpadded::encode_string(&self.domain.0))
    }

    /// The Ed25519 key inside a modern public key; `None` for RSA, whose Ed25519 key needs a certificate.
    #[must_use]
    pub fn identity_key(&self) -> Option<VerifyingKey> {
        match &self.key {
            PublicKey::Modern { verifying, .. } => Some(*verifying),
            PublicKey::Rsa(_) => None,
        }
    }

    /// Returns `claimed` if it is proved to speak for this domain: by being its own key, or by an RSA certificate.
    ///
    /// # Errors
    /// [`NotAuthentic`] if it is another key, or the certificate is not this owner's over this key.
    pub fn authority(
        &self,
        certificate: &[u8],
        claimed: VerifyingKey,
    ) -> Result<VerifyingKey, NotAuthentic> {
        match &self.key {
            PublicKey::Modern { verifying, .. }
                if *verifying == claimed && certificate.is_empty() =>
            {
                Ok(claimed)
            }
            PublicKey::Modern { .. } => Err(NotAuthentic),
            PublicKey::Rsa(rsa) => rsa
                .verify(&certified(self.domain, claimed), certificate)
                .map(|()| claimed),
        }
    }

    /// Seals `plaintext` so that only this owner opens it, and only for the same context.
    ///
    /// It says nothing about who sealed: sign what must have an author.
    pub fn seal(&self, context: &[u8], plaintext: &[u8], entropy: &mut dyn Entropy) -> Vec<u8> {
        match &self.key {
            PublicKey::Modern { sealing, .. } => {
                let sealed = sealing.seal(context, &[], plaintext, entropy);
                envelope(KIND_MODERN, &sealed.encapsulated, |out| {
                    out.extend_from_slice(&sealed.ciphertext)
                })
            }
            PublicKey::Rsa(rsa) => {
                let key = Secret::random(entropy);
                let seal = |out: &mut Vec<u8>| {
                    AeadKey::new(&key).seal(Nonce::ONCE, context, plaintext, out)
                };
                envelope(KIND_RSA, &rsa.wrap(context, key.expose()), seal)
            }
        }
    }

    /// The compact encoding that messages carry: a kind, then the key.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        [&[self.key.kind()], self.key.to_bytes().as_slice()].concat()
    }

    /// Decodes what [`OwnerPublic::to_bytes`] wrote.
    ///
    /// # Errors
    /// [`KeyError`] if the bytes are not exactly the encoding of a key that is accepted.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, KeyError> {
        match bytes {
            [KIND_MODERN, key @ ..] => {
                let (verifying, sealing) =
                    key.split_first_chunk::<VERIFYING_KEY_BYTES>()
                        .ok_or(KeyError::Malformed {
                            what: "an Ed25519 key of 32 bytes",
                        })?;
                Ok(Self::modern(
                    VerifyingKey::from_bytes(*verifying),
                    SealingPublicKey::from_bytes(sealing)?,
                ))
            }
            [KIND_RSA, pkcs1 @ ..] => RsaPublic::from_pkcs1(pkcs1).map(Self::rsa),
            _ => Err(KeyError::Malformed {
                what: "a public key of a known kind",
            }),
        }
    }

    pub(crate) fn key(&self) -> &PublicKey {
        &self.key
    }
}

impl PublicKey {
    fn kind(&self) -> u8 {
        match self {
            Self::Modern { .. } => KIND_MODERN,
            Self::Rsa(_) => KIND_RSA,
        }
    }

    fn to_bytes(&self) -> Vec<u8> {
        match self {
            Self::Modern { verifying, sealing } => {
                [verifying.as_bytes().as_slice(), &sealing.to_bytes()].concat()
            }
            Self::Rsa(rsa) => rsa.pkcs1().to_vec(),
        }
    }
}

impl PartialEq for OwnerPublic {
    fn eq(&self, other: &Self) -> bool {
        self.domain == other.domain
    }
}

impl Eq for OwnerPublic {}

impl fmt::Debug for OwnerPublic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        hex::write_short("OwnerPublic", &self.domain.0, f)
    }
}

/// What an RSA owner signs to say that `key` speaks for its domain.
fn certified(domain: DomainId, key: VerifyingKey) -> Transcript {
    Transcript::new("authority certificate")
        .bytes(domain.as_bytes())
        .bytes(key.as_bytes())
}

fn envelope(
    kind: u8,
    encapsulated: &[u8],
    append_ciphertext: impl FnOnce(&mut Vec<u8>),
) -> Vec<u8> {
    let length =
        u16::try_from(encapsulated.len()).expect("an encapsulation has at most 1120 bytes");
    let mut out = Vec::with_capacity(ENVELOPE_HEADER + encapsulated.len());
    out.extend_from_slice(&[ENVELOPE_VERSION, kind]);
    out.extend_from_slice(&length.to_le_bytes());
    out.extend_from_slice(encapsulated);
    append_ciphertext(&mut out);
    out
}

/// Kind, encapsulation and ciphertext of an envelope of the known version.
fn split_envelope(envelope: &[u8]) -> Option<(u8, &[u8], &[u8])> {
    let (header, rest) = envelope.split_first_chunk::<ENVELOPE_HEADER>()?;
    let [ENVELOPE_VERSION, kind, low, high] = *header else {
        return None;
    };
    let (encapsulated, ciphertext) =
        rest.split_at_checked(usize::from(u16::from_le_bytes([low, high])))?;
    (encapsulated.len() <= ENCAPSULATED_BYTES).then_some((kind, encapsulated, ciphertext))
}
