//! Authenticated encryption of messages and blocks.
//!
//! Invariant: a [`CounterSealer`] never seals twice under one nonce. Whoever passes a [`Nonce`] by hand promises the
//! same for the key.
//! Source: AES-256-GCM, NIST SP 800-38D, with 96-bit nonces and 128-bit tags.

use core::fmt;

use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, UnboundKey};

use crate::secret::SECRET_BYTES;
use crate::{NonceExhausted, NotAuthentic, Secret};

/// Bytes that sealing adds to a plaintext.
pub const TAG_BYTES: usize = 16;

/// Length of a [`Nonce`].
pub const NONCE_BYTES: usize = 12;

/// The number that makes each sealing under one key different from every other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Nonce([u8; NONCE_BYTES]);

impl Nonce {
    /// The nonce of a key that seals exactly once.
    pub const ONCE: Self = Self([0; NONCE_BYTES]);

    /// Four zero bytes, then the counter, big-endian.
    #[must_use]
    pub fn counter(counter: u64) -> Self {
        let mut bytes = [0; NONCE_BYTES];
        bytes[4..].copy_from_slice(&counter.to_be_bytes());
        Self(bytes)
    }

    /// A nonce laid out by the caller, who promises never to repeat it under one key.
    #[must_use]
    pub const fn from_bytes(bytes: [u8; NONCE_BYTES]) -> Self {
        Self(bytes)
    }

    fn assume_unique(self) -> aws_lc_rs::aead::Nonce {
        aws_lc_rs::aead::Nonce::assume_unique_for_key(self.0)
    }
}

/// A key for sealing and opening, with its schedule computed. Making one costs as much as sealing 256 bytes: keep it.
pub struct AeadKey(LessSafeKey);

impl AeadKey {
    /// Computes the key schedule of `secret`.
    #[must_use]
    pub fn new(secret: &Secret) -> Self {
        Self::from_key_bytes(secret.expose())
    }

    /// As [`AeadKey::new`], for a key that never was a [`Secret`].
    pub(crate) fn from_key_bytes(key: &[u8; SECRET_BYTES]) -> Self {
        let key = UnboundKey::new(&AES_256_GCM, key).expect("a secret has the key's length");
        Self(LessSafeKey::new(key))
    }

    /// Appends ciphertext and tag to `out`: `plaintext.len() + TAG_BYTES` bytes.
    ///
    /// `aad` is authenticated and not sent. The nonce must be new for this key.
    pub fn seal(&self, nonce: Nonce, aad: &[u8], plaintext: &[u8], out: &mut Vec<u8>) {
        let start = out.len();
        out.resize(start + plaintext.len() + TAG_BYTES, 0);
        let (ciphertext, tag) = out[start..].split_at_mut(plaintext.len());
        self.0
            .seal_out_of_place_scatter(
                nonce.assume_unique(),
                Aad::from(aad),
                plaintext,
                ciphertext,
                &[],
                tag,
            )
            .expect(SEAL_CANNOT_FAIL);
    }

    /// Encrypts `message` where it is and appends the tag to it.
    pub fn seal_in_place(&self, nonce: Nonce, aad: &[u8], message: &mut Vec<u8>) {
        self.0
            .seal_in_place_append_tag(nonce.assume_unique(), Aad::from(aad), message)
            .expect(SEAL_CANNOT_FAIL);
    }

    /// Encrypts `message` where it is and returns the tag, for a caller that lays out its own buffer.
    #[must_use]
    pub fn seal_detached(&self, nonce: Nonce, aad: &[u8], message: &mut [u8]) -> [u8; TAG_BYTES] {
        let tag = self
            .0
            .seal_in_place_separate_tag(nonce.assume_unique(), Aad::from(aad), message)
            .expect(SEAL_CANNOT_FAIL);
        tag.as_ref()
            .try_into()
            .expect("the algorithm fixes the tag's length")
    }

    /// Decrypts `sealed` into a new buffer.
    ///
    /// # Errors
    /// [`NotAuthentic`] unless these very bytes were sealed under this key, nonce and `aad`.
    pub fn open(&self, nonce: Nonce, aad: &[u8], sealed: &[u8]) -> Result<Vec<u8>, NotAuthentic> {
        let (ciphertext, tag) = sealed.split_last_chunk::<TAG_BYTES>().ok_or(NotAuthentic)?;
        let mut plaintext = vec![0; ciphertext.len()];
        self.0
            .open_separate_gather(
                nonce.assume_unique(),
                Aad::from(aad),
                ciphertext,
                tag,
                &mut plaintext,
            )
            .map_err(|_| NotAuthentic)?;
        Ok(plaintext)
    }

    /// Decrypts `sealed` where it is and returns the part that is plaintext. After a failure its bytes are unspecified.
    ///
    /// # Errors
    /// [`NotAuthentic`], as for [`AeadKey::open`].
    pub fn open_in_place<'a>(
        &self,
        nonce: Nonce,
        aad: &[u8],
        sealed: &'a mut [u8],
    ) -> Result<&'a mut [u8], NotAuthentic> {
        self.0
            .open_in_place(nonce.assume_unique(), Aad::from(aad), sealed)
            .map_err(|_| NotAuthentic)
    }
}

/// GCM refuses only messages beyond 64 GiB, which no caller can hold.
const SEAL_CANNOT_FAIL: &str = "no message comes near the 64 GiB that GCM can seal";

impl fmt::Debug for AeadKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("AeadKey(..)")
    }
}

/// A key that numbers what it seals, so that no nonce can be used twice.
#[derive(Debug)]
pub struct CounterSealer {
    key: AeadKey,
    next: Option<u64>,
}

impl CounterSealer {
    /// Takes over a key under which nothing has been sealed at `first` or above.
    #[must_use]
    pub fn new(key: AeadKey, first: u64) -> Self {
        Self {
            key,
            next: Some(first),
        }
    }

    /// The counter of the next message, or `None` once all are used.
    #[must_use]
    pub fn next(&self) -> Option<u64> {
        self.next
    }

    /// Appends the sealed message to `out` and returns the counter whose nonce it has.
    ///
    /// # Errors
    /// [`NonceExhausted`] after the counter `u64::MAX`; nothing is appended then.
    pub fn seal(
        &mut self,
        aad: &[u8],
        plaintext: &[u8],
        out: &mut Vec<u8>,
    ) -> Result<u64, NonceExhausted> {
        let counter = self.next.ok_or(NonceExhausted)?;
        self.next = counter.checked_add(1);
        self.key.seal(Nonce::counter(counter), aad, plaintext, out);
        Ok(counter)
    }
}
