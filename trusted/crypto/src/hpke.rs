//! Sealing to the holder of a private key, safe against quantum computers to come.
//!
//! Invariant: every sealing is to a fresh encapsulation and carries one message, so there is no nonce to keep.
//! Source: RFC 9180, base mode, single shot; KEM 0x647a (X-Wing = ML-KEM-768 + X25519, draft-connolly-cfrg-xwing-kem),
//! KDF 0x0001 (HKDF-SHA256), AEAD 0x0002 (AES-256-GCM).

use core::fmt;

use ::hpke::aead::AesGcm256;
use ::hpke::kdf::HkdfSha256;
use ::hpke::kem::{Kem, XWing};
use ::hpke::{
    Deserializable, OpModeR, OpModeS, Serializable, single_shot_open, single_shot_seal_with_rng,
};
use zeroize::Zeroizing;

use crate::entropy::Generator;
use crate::{Entropy, KeyError, NotAuthentic, Secret, hex};

/// Length of an encoded [`SealingPublicKey`].
pub const SEALING_PUBLIC_BYTES: usize = 1216;

/// Length of what travels beside each ciphertext.
pub const ENCAPSULATED_BYTES: usize = 1120;

/// A message sealed to a key: what its holder needs, besides the context, to open it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sealed {
    /// The encapsulated shared secret, [`ENCAPSULATED_BYTES`] long.
    pub encapsulated: Vec<u8>,
    /// Ciphertext and tag.
    pub ciphertext: Vec<u8>,
}

/// The private half of a sealing key, with its public half.
pub struct SealingKeyPair {
    private: <XWing as Kem>::PrivateKey,
    public: SealingPublicKey,
}

impl SealingKeyPair {
    /// Draws a fresh pair.
    pub fn generate(entropy: &mut dyn Entropy) -> Self {
        Self::from_seed(Secret::random(entropy).expose())
    }

    /// The pair of an X-Wing seed; the same seed gives the same pair.
    #[must_use]
    pub fn from_seed(seed: &[u8; 32]) -> Self {
        let private = <XWing as Kem>::PrivateKey::from_bytes(seed)
            .expect("every 32 bytes are an X-Wing decapsulation key");
        let public = SealingPublicKey(Box::new(XWing::sk_to_pk(&private)));
        Self { private, public }
    }

    /// The public half.
    #[must_use]
    pub fn public(&self) -> &SealingPublicKey {
        &self.public
    }

    /// Opens what [`SealingPublicKey::seal`] made for the same `info` and `aad`.
    ///
    /// # Errors
    /// [`NotAuthentic`] whatever is wrong.
    pub fn open(
        &self,
        info: &[u8],
        aad: &[u8],
        encapsulated: &[u8],
        ciphertext: &[u8],
    ) -> Result<Zeroizing<Vec<u8>>, NotAuthentic> {
        let encapsulated =
            <XWing as Kem>::EncappedKey::from_bytes(encapsulated).map_err(|_| NotAuthentic)?;
        single_shot_open::<AesGcm256, HkdfSha256, XWing>(
            &OpModeR::Base,
            &self.private,
            &encapsulated,
            info,
            ciphertext,
            aad,
        )
        .map(Zeroizing::new)
        .map_err(|_| NotAuthentic)
    }
}

impl fmt::Debug for SealingKeyPair {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SealingKeyPair(.., {:?})", self.public)
    }
}

/// The public half of a sealing key. Anyone can seal to it.
#[derive(Clone, PartialEq, Eq)]
pub struct SealingPublicKey(Box<<XWing as Kem>::PublicKey>);

impl SealingPublicKey {
    /// Decodes a key that came from elsewhere.
    ///
    /// # Errors
    /// [`KeyError::Malformed`] if the length is wrong or the ML-KEM part is not in canonical form (FIPS 203, 7.2).
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, KeyError> {
        <XWing as Kem>::PublicKey::from_bytes(bytes)
            .map(|key| Self(Box::new(key)))
            .map_err(|_| KeyError::Malformed {
                what: "an X-Wing public key of 1216 bytes",
            })
    }

    /// The encoded key, [`SEALING_PUBLIC_BYTES`] long.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        self.0.to_bytes().to_vec()
    }

    /// Seals `plaintext` so that only the private key opens it, and only for the same `info` and `aad`.
    ///
    /// It says nothing about who sealed: sign what must have an author. Cost: some 100 microseconds.
    pub fn seal(
        &self,
        info: &[u8],
        aad: &[u8],
        plaintext: &[u8],
        entropy: &mut dyn Entropy,
    ) -> Sealed {
        let (encapsulated, ciphertext) = single_shot_seal_with_rng::<AesGcm256, HkdfSha256, XWing>(
            &OpModeS::Base,
            &self.0,
            info,
            plaintext,
            aad,
            &mut Generator(entropy),
        )
        .expect("encapsulation to a key that was validated cannot fail, nor can the first message be too many");
        Sealed {
            encapsulated: encapsulated.to_bytes().to_vec(),
            ciphertext,
        }
    }
}

impl fmt::Debug for SealingPublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        hex::write_short("SealingPublicKey", &self.0.to_bytes(), f)
    }
}
