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

#[cfg(test)]
mod tests {
    use super::*;

    fn pair() -> SealingKeyPair {
        SealingKeyPair::from_seed(&[1; 32])
    }

    fn sealed() -> Sealed {
        pair()
            .public()
            .seal(b"info", b"aad", b"plaintext", &mut |bytes: &mut [u8]| {
                bytes.fill(9)
            })
    }

    #[test]
    fn the_holder_opens_what_was_sealed_to_the_key() {
        let Sealed {
            encapsulated,
            ciphertext,
        } = sealed();

        let opened = pair()
            .open(b"info", b"aad", &encapsulated, &ciphertext)
            .unwrap();

        assert_eq!(*opened, b"plaintext");
        assert_eq!(
            (encapsulated.len(), ciphertext.len()),
            (ENCAPSULATED_BYTES, 9 + 16)
        );
    }

    #[test]
    fn another_info_associated_data_or_key_is_refused() {
        let Sealed {
            encapsulated,
            ciphertext,
        } = sealed();
        let other = SealingKeyPair::from_seed(&[2; 32]);

        assert!(
            pair()
                .open(b"infos", b"aad", &encapsulated, &ciphertext)
                .is_err()
        );
        assert!(
            pair()
                .open(b"info", b"", &encapsulated, &ciphertext)
                .is_err()
        );
        assert!(
            pair()
                .open(b"infoa", b"ad", &encapsulated, &ciphertext)
                .is_err()
        );
        assert!(
            other
                .open(b"info", b"aad", &encapsulated, &ciphertext)
                .is_err()
        );
    }

    #[test]
    fn a_flipped_bit_in_any_byte_is_refused() {
        let Sealed {
            encapsulated,
            ciphertext,
        } = sealed();
        let pair = pair();
        for place in 0..encapsulated.len() {
            let mut forged = encapsulated.clone();
            forged[place] ^= 1 << (place % 8);
            assert!(
                pair.open(b"info", b"aad", &forged, &ciphertext).is_err(),
                "byte {place}"
            );
        }
        for bit in 0..ciphertext.len() * 8 {
            let mut forged = ciphertext.clone();
            forged[bit / 8] ^= 1 << (bit % 8);
            assert!(
                pair.open(b"info", b"aad", &encapsulated, &forged).is_err(),
                "bit {bit}"
            );
        }
    }

    #[test]
    fn another_length_is_refused() {
        let Sealed {
            encapsulated,
            ciphertext,
        } = sealed();
        let longer = [encapsulated.as_slice(), &[0]].concat();

        for wrong in [&encapsulated[..ENCAPSULATED_BYTES - 1], &[], &longer] {
            assert!(pair().open(b"info", b"aad", wrong, &ciphertext).is_err());
        }
        for length in 0..ciphertext.len() {
            assert!(
                pair()
                    .open(b"info", b"aad", &encapsulated, &ciphertext[..length])
                    .is_err()
            );
        }
    }

    #[test]
    fn two_sealings_of_one_plaintext_share_nothing() {
        let mut draws = 0;
        let mut entropy = |bytes: &mut [u8]| {
            draws += 1;
            bytes.fill(draws);
        };

        let first = pair().public().seal(b"", b"", b"plaintext", &mut entropy);
        let second = pair().public().seal(b"", b"", b"plaintext", &mut entropy);

        assert_ne!(first.encapsulated, second.encapsulated);
        assert_ne!(first.ciphertext, second.ciphertext);
    }

    #[test]
    fn a_public_key_is_read_back_and_any_other_length_refused() {
        let bytes = pair().public().to_bytes();

        assert_eq!(
            SealingPublicKey::from_bytes(&bytes).as_ref(),
            Ok(pair().public())
        );
        assert_eq!(bytes.len(), SEALING_PUBLIC_BYTES);
        assert!(SealingPublicKey::from_bytes(&bytes[1..]).is_err());
        assert!(SealingPublicKey::from_bytes(&[]).is_err());
    }

    #[test]
    fn a_public_key_whose_coefficients_are_not_reduced_is_refused() {
        // FIPS 203 section 7.2: the modulus check. 0xfff exceeds q = 3329.
        let mut bytes = pair().public().to_bytes();
        bytes[..3].fill(0xff);

        assert!(SealingPublicKey::from_bytes(&bytes).is_err());
    }
}
