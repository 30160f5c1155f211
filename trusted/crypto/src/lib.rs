//! Ciphers, signatures, key derivation and key files.
//!
//! The only room that names an algorithm applied to owners' data, and the only one that holds owners' keys. It opens
//! no socket and no file, reads no clock and starts no thread; randomness is the argument [`Entropy`].
//!
//! Invariant: whatever fails to open or to verify fails as [`NotAuthentic`], whatever the cause, and every context that
//! is signed, sealed or derived is a [`Transcript`], so that no two contexts have the same bytes.
//! Formats: `docs/FORMATS.md`.

mod aead;
mod der;
mod entropy;
mod error;
pub mod hash;
mod hex;
mod hpke;
mod identity;
pub mod kdf;
mod keyfile;
mod payload;
mod pem;
mod plaintext;
mod rsa;
mod secret;
mod sign;
mod transcript;

pub use aead::{AeadKey, NONCE_BYTES, Nonce, TAG_BYTES};
pub use entropy::Entropy;
pub use error::{KeyError, NotAuthentic};
pub use hpke::{
    ENCAPSULATED_BYTES, SEALING_PUBLIC_BYTES, Sealed, SealingKeyPair, SealingPublicKey,
};
pub use identity::{DomainId, OwnerPublic, OwnerSecret};
pub use keyfile::KEY_FILE_MAX;
pub use payload::{PayloadKey, PayloadSecret};
pub use plaintext::{Plaintext, wipe};
pub use rsa::{RSA_BITS_MAX, RSA_BITS_MIN, RsaPrivate, RsaPublic};
pub use secret::{SECRET_BYTES, Secret};
pub use sign::{SIGNATURE_BYTES, SigningKey, VERIFYING_KEY_BYTES, VerifyingKey};
pub use transcript::Transcript;

/// The name of this set of algorithms, the first field of every [`Transcript`].
///
/// A change of any algorithm or format below changes this name, so that keys and signatures of one suite are void in
/// another.
pub const SUITE: &str = "securecloud-1";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_can_be_shared_between_threads() {
        fn shared<T: Send + Sync>() {}

        shared::<(Secret, AeadKey, PayloadSecret, PayloadKey)>();
        shared::<(SigningKey, VerifyingKey, SealingKeyPair, SealingPublicKey)>();
        shared::<(RsaPrivate, RsaPublic, OwnerSecret, OwnerPublic)>();
    }
}
