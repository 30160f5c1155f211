//! Keys from keys, and message authentication codes.
//!
//! Invariant: the label and context of a derivation are a [`Transcript`], so two uses of one secret give independent
//! keys.
//! Source: RFC 5869 (HKDF), RFC 2104 (HMAC), both with SHA-256.

use aws_lc_rs::constant_time::verify_slices_are_equal;
use aws_lc_rs::hkdf::{HKDF_SHA256, Prk};
use aws_lc_rs::hmac::{self, HMAC_SHA256};
use zeroize::Zeroizing;

use crate::secret::SECRET_BYTES;
use crate::{NotAuthentic, Secret, Transcript};

/// Derives the secret of one use: HKDF-Expand, with `secret` as the pseudorandom key.
///
/// Labels are listed in `docs/formats-crypto.md`. Cost: about a microsecond.
#[must_use]
pub fn derive(secret: &Secret, label: &str, context: &[&[u8]]) -> Secret {
    let info = context
        .iter()
        .fold(Transcript::new(label), |info, field| info.bytes(field));
    let mut okm = Zeroizing::new([0; SECRET_BYTES]);
    expand(secret.expose(), info.as_bytes(), okm.as_mut());
    Secret::from_bytes(*okm)
}

/// Condenses secret bytes that are not uniform into a [`Secret`]: HKDF-Extract, salted with the label's transcript.
#[must_use]
pub fn extract(label: &str, material: &[u8]) -> Secret {
    Secret::from_bytes(*Zeroizing::new(hmac_sha256(
        Transcript::new(label).as_bytes(),
        material,
    )))
}

/// HMAC-SHA256 of `message`.
#[must_use]
pub fn mac(secret: &Secret, message: &[u8]) -> [u8; 32] {
    hmac_sha256(secret.expose(), message)
}

/// Accepts `tag` if [`mac`] made it, in time that does not depend on where they differ.
///
/// # Errors
/// [`NotAuthentic`] for any other tag, of whatever length.
pub fn verify_mac(secret: &Secret, message: &[u8], tag: &[u8]) -> Result<(), NotAuthentic> {
    verify_slices_are_equal(&mac(secret, message), tag).map_err(|_| NotAuthentic)
}

fn hmac_sha256(key: &[u8], message: &[u8]) -> [u8; 32] {
    let tag = hmac::sign(&hmac::Key::new(HMAC_SHA256, key), message);
    tag.as_ref()
        .try_into()
        .expect("the algorithm fixes the tag's length")
}

fn expand(prk: &[u8], info: &[u8], okm: &mut [u8]) {
    Prk::new_less_safe(HKDF_SHA256, prk)
        .expand(&[info], Length(okm.len()))
        .and_then(|filled| filled.fill(okm))
        .expect("HKDF-SHA256 gives up to 8160 bytes");
}

/// The number of bytes asked of an expansion.
#[derive(Clone, Copy)]
struct Length(usize);

impl aws_lc_rs::hkdf::KeyType for Length {
    fn len(&self) -> usize {
        self.0
    }
}
