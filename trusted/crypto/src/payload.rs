//! One key per payload, cheap enough to derive for each publication.
//!
//! Invariant: a [`PayloadKey`] seals one payload, so its nonce is a constant. Knowing the keys of some payloads tells
//! nothing about the keys of others.
//! Source: AES-256 as a pseudorandom function on distinct 16-byte inputs (two blocks make a key); at 2^48 payloads of
//! one secret its distance from a random function is below 2^-29.

use core::fmt;

use aws_lc_rs::cipher::{AES_256, EncryptingKey, EncryptionContext, UnboundCipherKey};
use zeroize::ZeroizeOnDrop;

use crate::aead::{AeadKey, Nonce};
use crate::secret::SECRET_BYTES;
use crate::{NotAuthentic, Secret};

/// Ends the first block of a key's derivation.
const FIRST_BLOCK: &[u8; 4] = b"key0";
/// Ends the second block of a key's derivation.
const SECOND_BLOCK: &[u8; 4] = b"key1";

/// The secret of one publisher's payloads, its AES key schedule computed.
pub struct PayloadSecret(EncryptingKey);

impl PayloadSecret {
    /// Computes the key schedule of `secret`, which serves nothing else.
    #[must_use]
    pub fn new(secret: &Secret) -> Self {
        let schedule = UnboundCipherKey::new(&AES_256, secret.expose())
            .and_then(EncryptingKey::ecb)
            .expect("a secret has the key's length");
        Self(schedule)
    }

    /// The key of payload `index` in the batch `counter`. Cost: two AES blocks, below 100 ns.
    #[must_use]
    pub fn key(&self, counter: u64, index: u32) -> PayloadKey {
        let mut key = PayloadKey([0; SECRET_BYTES]);
        for (block, end) in key.0.chunks_exact_mut(16).zip([FIRST_BLOCK, SECOND_BLOCK]) {
            block[..8].copy_from_slice(&counter.to_be_bytes());
            block[8..12].copy_from_slice(&index.to_be_bytes());
            block[12..].copy_from_slice(end);
        }
        self.0
            .less_safe_encrypt(&mut key.0, EncryptionContext::None)
            .expect("two whole blocks can be encrypted");
        key
    }
}

impl fmt::Debug for PayloadSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PayloadSecret(..)")
    }
}

/// The key of exactly one payload.
#[derive(ZeroizeOnDrop)]
pub struct PayloadKey([u8; SECRET_BYTES]);

impl PayloadKey {
    /// Takes over a key that arrived in a notice.
    #[must_use]
    pub fn from_bytes(bytes: [u8; SECRET_BYTES]) -> Self {
        Self(bytes)
    }

    /// The bytes, to be sealed into a notice.
    #[must_use]
    pub fn expose(&self) -> &[u8; SECRET_BYTES] {
        &self.0
    }

    /// Appends the sealed payload to `out`: AES-256-GCM under the all-zero nonce.
    ///
    /// To be called for one payload only, or for the very same payload again.
    pub fn seal(&self, aad: &[u8], plaintext: &[u8], out: &mut Vec<u8>) {
        self.cipher().seal(Nonce::ONCE, aad, plaintext, out);
    }

    /// Decrypts a payload.
    ///
    /// # Errors
    /// [`NotAuthentic`] unless these bytes were sealed under this key and `aad`.
    pub fn open(&self, aad: &[u8], sealed: &[u8]) -> Result<Vec<u8>, NotAuthentic> {
        self.cipher().open(Nonce::ONCE, aad, sealed)
    }

    fn cipher(&self) -> AeadKey {
        AeadKey::from_key_bytes(&self.0)
    }
}

impl fmt::Debug for PayloadKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PayloadKey(..)")
    }
}
