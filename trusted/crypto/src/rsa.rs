//! RSA keys, for owners who have them: they unwrap a content key, or certify an Ed25519 key.
//!
//! Invariant: the modulus has 2048 to 8192 bits. An RSA key signs nothing but certificates and wraps nothing but keys.
//! Source: RFC 8017, RSASSA-PSS and RSAES-OAEP, both with SHA-256 and MGF1-SHA-256; PSS salt of 32 bytes.

use core::fmt;

use aws_lc_rs::encoding::AsDer;
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::{
    KeyPair, KeySize, OAEP_SHA256_MGF1SHA256, OaepPrivateDecryptingKey, OaepPublicEncryptingKey,
    PrivateDecryptingKey, PublicEncryptingKey, PublicKey,
};
use aws_lc_rs::signature::{
    KeyPair as _, RSA_PSS_2048_8192_SHA256, RSA_PSS_SHA256, UnparsedPublicKey,
};
use zeroize::Zeroizing;

use crate::{KeyError, NotAuthentic, Transcript, der, hash, hex};

/// Bits of the smallest modulus accepted.
pub const RSA_BITS_MIN: usize = 2048;

/// Bits of the largest modulus accepted; beyond it one operation takes longer than a peer should be able to ask for.
pub const RSA_BITS_MAX: usize = 8192;

/// The private half of an RSA key.
pub struct RsaPrivate {
    pkcs1: Zeroizing<Vec<u8>>,
    signing: KeyPair,
    opening: OaepPrivateDecryptingKey,
    public: RsaPublic,
}

impl RsaPrivate {
    /// Makes a key of 2048, 3072, 4096 or 8192 bits. The library draws the randomness.
    ///
    /// # Errors
    /// [`KeyError::RsaSizeToGenerate`] for any other size.
    pub fn generate(bits: usize) -> Result<Self, KeyError> {
        let size = match bits {
            2048 => KeySize::Rsa2048,
            3072 => KeySize::Rsa3072,
            4096 => KeySize::Rsa4096,
            8192 => KeySize::Rsa8192,
            _ => return Err(KeyError::RsaSizeToGenerate { bits }),
        };
        let key = PrivateDecryptingKey::generate(size)
            .expect("the library can make keys of the sizes it names");
        let pkcs8 = AsDer::as_der(&key).expect("a key just made has an encoding");
        match der::private_key_info(pkcs8.as_ref())? {
            der::PrivateKeyInfo::Rsa(pkcs1) => Self::from_pkcs1(pkcs1),
            der::PrivateKeyInfo::Ed25519 { .. } => unreachable!("an RSA key was encoded"),
        }
    }

    /// Takes the DER of an `RSAPrivateKey`.
    ///
    /// # Errors
    /// [`KeyError::RsaSize`] for a modulus outside the bounds, [`KeyError::Malformed`] if the numbers do not agree.
    pub fn from_pkcs1(pkcs1: &[u8]) -> Result<Self, KeyError> {
        check_size(der::rsa_private_bits(pkcs1)?)?;
        let rejected = KeyError::Malformed {
            what: "the numbers of the RSA private key do not agree",
        };
        let signing = KeyPair::from_der(pkcs1).map_err(|_| rejected.clone())?;
        let opening = PrivateDecryptingKey::from_pkcs8(&der::rsa_private(pkcs1))
            .map_err(|_| rejected.clone())
            .and_then(|key| OaepPrivateDecryptingKey::new(key).map_err(|_| rejected))?;
        let public = RsaPublic::from_pkcs1(signing.public_key().as_ref())?;
        Ok(Self {
            pkcs1: Zeroizing::new(pkcs1.to_vec()),
            signing,
            opening,
            public,
        })
    }

    /// The DER of the `RSAPrivateKey`.
    #[must_use]
    pub fn pkcs1(&self) -> &[u8] {
        &self.pkcs1
    }

    /// The public half.
    #[must_use]
    pub fn public(&self) -> &RsaPublic {
        &self.public
    }

    /// Signs a transcript (PSS). Two signatures of one transcript differ, because the salt is random.
    #[must_use]
    pub fn sign(&self, transcript: &Transcript) -> Vec<u8> {
        let mut signature = vec![0; self.signing.public_modulus_len()];
        self.signing
            .sign(
                &RSA_PSS_SHA256,
                &SystemRandom::new(),
                transcript.as_bytes(),
                &mut signature,
            )
            .expect("a modulus of 2048 bits has room for a PSS signature");
        signature
    }

    /// Unwraps what [`RsaPublic::wrap`] made under the same label.
    ///
    /// # Errors
    /// [`NotAuthentic`] whatever is wrong.
    pub fn unwrap(&self, label: &[u8], wrapped: &[u8]) -> Result<Zeroizing<Vec<u8>>, NotAuthentic> {
        let mut key = Zeroizing::new(vec![0; self.opening.min_output_size()]);
        let length = self
            .opening
            .decrypt(&OAEP_SHA256_MGF1SHA256, wrapped, &mut key, Some(label))
            .map_err(|_| NotAuthentic)?
            .len();
        key.truncate(length);
        Ok(key)
    }
}

impl fmt::Debug for RsaPrivate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "RsaPrivate(.., {:?})", self.public)
    }
}

/// The public half of an RSA key.
#[derive(Clone)]
pub struct RsaPublic {
    pkcs1: Vec<u8>,
    sealing: PublicEncryptingKey,
}

impl RsaPublic {
    /// Takes the DER of an `RSAPublicKey`.
    ///
    /// # Errors
    /// [`KeyError::RsaSize`] for a modulus outside the bounds, [`KeyError::Malformed`] if it is no RSA key.
    pub fn from_pkcs1(pkcs1: &[u8]) -> Result<Self, KeyError> {
        check_size(der::rsa_public_bits(pkcs1)?)?;
        let rejected = KeyError::Malformed {
            what: "the numbers of the RSA public key are not those of a key",
        };
        // Encoded anew by the library, so that one key has one encoding, and one domain.
        let pkcs1 = PublicKey::from_der(pkcs1)
            .map_err(|_| rejected.clone())?
            .as_ref()
            .to_vec();
        let sealing =
            PublicEncryptingKey::from_der(&der::rsa_public(&pkcs1)).map_err(|_| rejected)?;
        Ok(Self { pkcs1, sealing })
    }

    /// The DER of the `RSAPublicKey`.
    #[must_use]
    pub fn pkcs1(&self) -> &[u8] {
        &self.pkcs1
    }

    /// Size of the modulus.
    #[must_use]
    pub fn bits(&self) -> usize {
        self.sealing.key_size_bits()
    }

    /// Accepts `signature` if the holder of this key made it over `transcript`.
    ///
    /// # Errors
    /// [`NotAuthentic`] for any other signature.
    pub fn verify(&self, transcript: &Transcript, signature: &[u8]) -> Result<(), NotAuthentic> {
        UnparsedPublicKey::new(&RSA_PSS_2048_8192_SHA256, &self.pkcs1)
            .verify(transcript.as_bytes(), signature)
            .map_err(|_| NotAuthentic)
    }

    /// Wraps a content key (OAEP), to be unwrapped under the same label only. The library draws the padding.
    #[must_use]
    pub fn wrap(&self, label: &[u8], key: &[u8; 32]) -> Vec<u8> {
        let sealing = OaepPublicEncryptingKey::new(self.sealing.clone())
            .expect("the key was checked when it was read");
        let mut wrapped = vec![0; sealing.ciphertext_size()];
        sealing
            .encrypt(&OAEP_SHA256_MGF1SHA256, key, &mut wrapped, Some(label))
            .expect("a modulus of 2048 bits has room for 32 bytes");
        wrapped
    }
}

impl PartialEq for RsaPublic {
    fn eq(&self, other: &Self) -> bool {
        self.pkcs1 == other.pkcs1
    }
}

impl Eq for RsaPublic {}

impl fmt::Debug for RsaPublic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        hex::write_short("RsaPublic", &hash::sha256(&self.pkcs1), f)
    }
}

fn check_size(bits: usize) -> Result<(), KeyError> {
    if (RSA_BITS_MIN..=RSA_BITS_MAX).contains(&bits) {
        Ok(())
    } else {
        Err(KeyError::RsaSize { bits })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::OwnerSecret;

    fn key() -> RsaPrivate {
        let owner = OwnerSecret::from_pem(include_str!("../tests/vectors/rsa2048.prv")).unwrap();
        RsaPrivate::from_pkcs1(owner.rsa().unwrap().pkcs1()).unwrap()
    }

    #[test]
    fn a_wrapped_key_is_unwrapped_under_its_label_alone() {
        let wrapped = key().public().wrap(b"label", &[7; 32]);

        assert_eq!(
            key().unwrap(b"label", &wrapped).unwrap().as_slice(),
            [7; 32]
        );
        assert!(key().unwrap(b"labels", &wrapped).is_err());
        assert!(key().unwrap(b"", &wrapped).is_err());
    }

    #[test]
    fn a_wrapped_key_of_any_other_length_is_refused() {
        let wrapped = key().public().wrap(b"label", &[7; 32]);

        for length in [0, 1, wrapped.len() - 1] {
            assert_eq!(
                key().unwrap(b"label", &wrapped[..length]).err(),
                Some(NotAuthentic)
            );
        }
        let longer = [wrapped.as_slice(), &[0]].concat();
        assert_eq!(key().unwrap(b"label", &longer).err(), Some(NotAuthentic));
    }

    #[test]
    fn a_signature_holds_for_one_transcript_and_differs_each_time() {
        let transcript = Transcript::new("test").u64(1);
        let signature = key().sign(&transcript);

        assert_eq!(key().public().verify(&transcript, &signature), Ok(()));
        assert_eq!(
            key()
                .public()
                .verify(&Transcript::new("test").u64(2), &signature),
            Err(NotAuthentic)
        );
        assert_eq!(
            key().public().verify(&transcript, &signature[1..]),
            Err(NotAuthentic)
        );
        assert_ne!(key().sign(&transcript), signature);
    }

    #[test]
    fn sizes_outside_the_bounds_are_refused() {
        for bits in [0, 1024, RSA_BITS_MIN - 1, RSA_BITS_MAX + 1] {
            assert_eq!(check_size(bits), Err(KeyError::RsaSize { bits }));
        }
        for bits in [RSA_BITS_MIN, 3000, RSA_BITS_MAX] {
            assert_eq!(check_size(bits), Ok(()));
        }
    }

    #[test]
    fn a_private_key_shows_only_a_hash_of_its_public_half() {
        let shown = format!("{:?}", key());

        assert!(shown.starts_with("RsaPrivate(.., RsaPublic("), "{shown}");
        assert_eq!(shown.len(), "RsaPrivate(.., RsaPublic(0123456789ab))".len());
        assert_eq!(key().public().bits(), 2048);
    }
}
