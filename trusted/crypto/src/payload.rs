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

    /// Decrypts a payload into `plaintext`, in place of what was there. After a failure its bytes are unspecified.
    ///
    /// # Errors
    /// [`NotAuthentic`], as for [`PayloadKey::open`].
    pub fn open_into(
        &self,
        aad: &[u8],
        sealed: &[u8],
        plaintext: &mut Vec<u8>,
    ) -> Result<(), NotAuthentic> {
        self.cipher().open_into(Nonce::ONCE, aad, sealed, plaintext)
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

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    fn secret() -> PayloadSecret {
        PayloadSecret::new(&Secret::from_bytes([1; 32]))
    }

    #[test]
    fn counter_index_and_secret_each_change_the_key() {
        let other = PayloadSecret::new(&Secret::from_bytes([2; 32]));
        let mut keys: HashSet<[u8; 32]> = HashSet::new();
        for (counter, index) in [(0, 0), (0, 1), (1, 0), (1 << 32, 0), (u64::MAX, u32::MAX)] {
            assert!(keys.insert(*secret().key(counter, index).expose()));
            assert!(keys.insert(*other.key(counter, index).expose()));
        }
    }

    #[test]
    fn the_halves_of_a_key_differ() {
        let key = secret().key(0, 0);

        assert_ne!(key.expose()[..16], key.expose()[16..]);
    }

    #[test]
    fn a_payload_opens_under_its_own_key_and_no_other() {
        let mut sealed = Vec::new();
        secret().key(1, 2).seal(b"aad", b"payload", &mut sealed);

        let arrived = PayloadKey::from_bytes(*secret().key(1, 2).expose());

        assert_eq!(arrived.open(b"aad", &sealed), Ok(b"payload".to_vec()));
        assert_eq!(arrived.open(b"aae", &sealed), Err(NotAuthentic));
        assert_eq!(secret().key(1, 3).open(b"aad", &sealed), Err(NotAuthentic));
        assert_eq!(secret().key(2, 2).open(b"aad", &sealed), Err(NotAuthentic));
    }

    #[test]
    fn every_flipped_bit_and_every_truncation_of_a_payload_is_refused() {
        let key = secret().key(1, 2);
        let mut sealed = Vec::new();
        key.seal(b"aad", b"payload", &mut sealed);

        for bit in 0..sealed.len() * 8 {
            let mut forged = sealed.clone();
            forged[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(key.open(b"aad", &forged), Err(NotAuthentic));
        }
        for length in 0..sealed.len() {
            assert_eq!(key.open(b"aad", &sealed[..length]), Err(NotAuthentic));
        }
    }

    #[test]
    fn keys_print_no_byte() {
        assert_eq!(
            format!("{:?} {:?}", secret(), secret().key(0, 0)),
            "PayloadSecret(..) PayloadKey(..)"
        );
    }
}
