//! Authenticated encryption of messages and blocks.
//!
//! Invariant: whoever passes a [`Nonce`] promises never to seal twice under it with one key.
//! Source: AES-256-GCM, NIST SP 800-38D, with 96-bit nonces and 128-bit tags.

use core::fmt;

use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, UnboundKey};
use zeroize::Zeroizing;

use crate::secret::SECRET_BYTES;
use crate::{NotAuthentic, Secret};

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
        self.seal_to(nonce, aad, plaintext, &mut out[start..]);
    }

    /// As [`AeadKey::seal`], in place of what was in `out`: quicker where that was as long.
    pub fn seal_into(&self, nonce: Nonce, aad: &[u8], plaintext: &[u8], out: &mut Vec<u8>) {
        out.resize(plaintext.len() + TAG_BYTES, 0);
        self.seal_to(nonce, aad, plaintext, out);
    }

    /// Seals what is in `message` where it is, and appends the tag.
    ///
    /// `aad` and nonce are as for [`AeadKey::seal`].
    pub fn seal_in_place(&self, nonce: Nonce, aad: &[u8], message: &mut Vec<u8>) {
        self.0
            .seal_in_place_append_tag(nonce.assume_unique(), Aad::from(aad), message)
            .expect(SEAL_CANNOT_FAIL);
    }

    /// `count` bytes that look drawn and follow from key and nonce: the stream that AES-CTR encrypts with.
    ///
    /// The nonce must be new for this key, which must seal nothing besides.
    #[must_use]
    pub fn stream(&self, nonce: Nonce, count: usize) -> Zeroizing<Vec<u8>> {
        let mut stream = Zeroizing::new(Vec::with_capacity(count + TAG_BYTES));
        stream.resize(count, 0);
        self.seal_in_place(nonce, &[], &mut stream);
        stream.truncate(count);
        stream
    }

    fn seal_to(&self, nonce: Nonce, aad: &[u8], plaintext: &[u8], out: &mut [u8]) {
        let (ciphertext, tag) = out.split_at_mut(plaintext.len());
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

    /// Decrypts `sealed` into a new buffer.
    ///
    /// # Errors
    /// [`NotAuthentic`] unless these very bytes were sealed under this key, nonce and `aad`.
    pub fn open(&self, nonce: Nonce, aad: &[u8], sealed: &[u8]) -> Result<Vec<u8>, NotAuthentic> {
        let mut plaintext = Vec::new();
        self.open_into(nonce, aad, sealed, &mut plaintext)?;
        Ok(plaintext)
    }

    /// Decrypts `sealed` into `plaintext`, in place of what was there. After a failure its bytes are unspecified.
    ///
    /// # Errors
    /// [`NotAuthentic`], as for [`AeadKey::open`].
    pub fn open_into(
        &self,
        nonce: Nonce,
        aad: &[u8],
        sealed: &[u8],
        plaintext: &mut Vec<u8>,
    ) -> Result<(), NotAuthentic> {
        let (ciphertext, tag) = sealed.split_last_chunk::<TAG_BYTES>().ok_or(NotAuthentic)?;
        plaintext.resize(ciphertext.len(), 0);
        self.0
            .open_separate_gather(
                nonce.assume_unique(),
                Aad::from(aad),
                ciphertext,
                tag,
                plaintext,
            )
            .map_err(|_| NotAuthentic)
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hex::decode;

    fn key() -> AeadKey {
        AeadKey::new(&Secret::from_bytes([1; 32]))
    }

    fn sealed(nonce: Nonce, aad: &[u8], plaintext: &[u8]) -> Vec<u8> {
        let mut out = Vec::new();
        key().seal(nonce, aad, plaintext, &mut out);
        out
    }

    #[test]
    fn sealing_gives_the_answers_of_the_gcm_specification() {
        // McGrew and Viega, "The Galois/Counter Mode of Operation", appendix B, test cases 13, 14 and 16.
        let long_key = "feffe9928665731c6d6a8f9467308308feffe9928665731c6d6a8f9467308308";
        let long = "d9313225f88406e5a55909c5aff5269a86a7a9531534f7da2e4c303d8a318a72\
                    1c3c0c95956809532fcf0e2449a6b525b16aedf5aa0de657ba637b39";
        let long_sealed = "522dc1f099567d07f47f37a32a84427d643a8cdcbfe5c0c97598a2bd2555d1aa\
                           8cb08e48590dbb3da7b08b1056828838c5f61e6393ba7a0abcc9f662\
                           76fc6ece0f4e1768cddf8853bb2d551b";
        let zeros = "00".repeat(32);
        let cases = [
            (
                zeros.as_str(),
                "00".repeat(12),
                "",
                "",
                "530f8afbc74536b9a963b4f1c4cb738b",
            ),
            (
                &zeros,
                "00".repeat(12),
                "",
                "00000000000000000000000000000000",
                "cea7403d4d606b6e074ec5d3baf39d18d0d1c8a799996bf0265b98b5d48ab919",
            ),
            (
                long_key,
                "cafebabefacedbaddecaf888".to_owned(),
                "feedfacedeadbeeffeedfacedeadbeefabaddad2",
                long,
                long_sealed,
            ),
        ];
        for (key, nonce, aad, plaintext, expected) in cases {
            let key = AeadKey::from_key_bytes(&decode(key).try_into().unwrap());
            let nonce = Nonce::from_bytes(decode(&nonce).try_into().unwrap());

            let mut out = Vec::new();
            key.seal(nonce, &decode(aad), &decode(plaintext), &mut out);

            assert_eq!(out, decode(expected));
            assert_eq!(key.open(nonce, &decode(aad), &out), Ok(decode(plaintext)));
        }
    }

    #[test]
    fn a_stream_is_what_zeros_are_encrypted_to() {
        // The ciphertext of 16 zeros in appendix B, test case 14.
        let key = AeadKey::from_key_bytes(&[0; 32]);

        let stream = key.stream(Nonce::ONCE, 40);

        assert_eq!(stream[..16], decode("cea7403d4d606b6e074ec5d3baf39d18"));
        assert_eq!(stream.len(), 40);
        assert_ne!(stream, key.stream(Nonce::counter(1), 40));
    }

    #[test]
    fn all_ways_to_open_agree() {
        let nonce = Nonce::counter(5);
        let mut message = sealed(nonce, b"aad", b"plaintext");

        assert_eq!(
            key().open(nonce, b"aad", &message),
            Ok(b"plaintext".to_vec())
        );
        let mut plaintext = b"what was there before".to_vec();
        assert_eq!(
            key().open_into(nonce, b"aad", &message, &mut plaintext),
            Ok(())
        );
        assert_eq!(plaintext, b"plaintext");
        assert_eq!(
            key().open_in_place(nonce, b"aad", &mut message),
            Ok(b"plaintext".to_vec().as_mut_slice())
        );
    }

    #[test]
    fn all_ways_to_seal_agree() {
        let nonce = Nonce::counter(5);
        let expected = sealed(nonce, b"aad", b"plaintext");

        for mut before in [Vec::new(), vec![7; 3], vec![7; 25], vec![7; 99]] {
            key().seal_into(nonce, b"aad", b"plaintext", &mut before);
            assert_eq!(before, expected);
        }
        let mut message = b"plaintext".to_vec();
        key().seal_in_place(nonce, b"aad", &mut message);
        assert_eq!(message, expected);
    }

    #[test]
    fn sealing_appends_to_what_is_there() {
        let mut out = b"header".to_vec();
        key().seal(Nonce::counter(0), b"", b"ab", &mut out);

        assert_eq!(&out[..6], b"header");
        assert_eq!(out.len(), 6 + 2 + TAG_BYTES);
        assert_eq!(
            key().open(Nonce::counter(0), b"", &out[6..]),
            Ok(b"ab".to_vec())
        );
    }

    #[test]
    fn every_flipped_bit_and_every_truncation_is_refused() {
        let nonce = Nonce::counter(0);
        let sealed = sealed(nonce, b"aad", b"plaintext");
        for bit in 0..sealed.len() * 8 {
            let mut forged = sealed.clone();
            forged[bit / 8] ^= 1 << (bit % 8);

            assert_eq!(key().open(nonce, b"aad", &forged), Err(NotAuthentic));
            assert_eq!(
                key().open_in_place(nonce, b"aad", &mut forged),
                Err(NotAuthentic)
            );
        }
        for length in 0..sealed.len() {
            let mut cut = sealed[..length].to_vec();

            assert_eq!(key().open(nonce, b"aad", &cut), Err(NotAuthentic));
            assert_eq!(
                key().open_in_place(nonce, b"aad", &mut cut),
                Err(NotAuthentic)
            );
        }
    }

    #[test]
    fn another_nonce_key_or_associated_data_is_refused() {
        let sealed = sealed(Nonce::counter(1), b"aad", b"plaintext");
        let other = AeadKey::new(&Secret::from_bytes([2; 32]));

        assert_eq!(
            key().open(Nonce::counter(2), b"aad", &sealed),
            Err(NotAuthentic)
        );
        assert_eq!(
            key().open(Nonce::counter(1), b"aae", &sealed),
            Err(NotAuthentic)
        );
        assert_eq!(
            key().open(Nonce::counter(1), b"", &sealed),
            Err(NotAuthentic)
        );
        assert_eq!(
            other.open(Nonce::counter(1), b"aad", &sealed),
            Err(NotAuthentic)
        );
    }

    #[test]
    fn a_counter_nonce_is_four_zero_bytes_and_a_big_endian_counter() {
        let nonce = Nonce::counter(0x0102_0304_0506_0708);

        assert_eq!(
            nonce,
            Nonce::from_bytes([0, 0, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8])
        );
    }

    #[test]
    fn a_key_shows_nothing_of_itself() {
        assert_eq!(format!("{:?}", key()), "AeadKey(..)");
    }
}
