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
/// Labels are listed in `docs/FORMATS.md`. Cost: about a microsecond.
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

/// Whether two tags are the same, in time that does not depend on where they differ.
#[must_use]
pub fn same_tag(one: &[u8], other: &[u8]) -> bool {
    verify_slices_are_equal(one, other).is_ok()
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hex::decode;

    #[test]
    fn hkdf_gives_the_answers_of_rfc_5869() {
        // Appendix A.1 and A.3.
        let cases = [
            (
                decode("000102030405060708090a0b0c"),
                decode("f0f1f2f3f4f5f6f7f8f9"),
                "077709362c2e32df0ddc3f0dc47bba6390b6c73bb50f9c3122ec844ad7c2b3e5",
                "3cb25f25faacd57a90434f64d0362f2a2d2d0a90cf1a5a4c5db02d56ecc4c5bf34007208d5b887185865",
            ),
            (
                vec![],
                vec![],
                "19ef24a32c717b167f33a91d6f648bdf96596776afdb6377ac434c1c293ccb04",
                "8da4e775a563c18f715f802a063c5a31b8a11f5c5ee1879ec3454e5f3c738d2d9d201395faa4b61a96c8",
            ),
        ];
        for (salt, info, prk_expected, okm_expected) in cases {
            let prk = hmac_sha256(&salt, &[0x0b; 22]);
            let mut okm = [0; 42];
            expand(&prk, &info, &mut okm);

            assert_eq!(prk.as_slice(), decode(prk_expected));
            assert_eq!(okm.as_slice(), decode(okm_expected));
        }
    }

    #[test]
    fn hmac_gives_the_answers_of_rfc_4231() {
        // Test cases 1 and 2.
        let one = "b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7";
        let two = "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843";

        assert_eq!(
            hmac_sha256(&[0x0b; 20], b"Hi There").as_slice(),
            decode(one)
        );
        assert_eq!(
            hmac_sha256(b"Jefe", b"what do ya want for nothing?").as_slice(),
            decode(two)
        );
    }

    #[test]
    fn secret_label_and_context_each_change_the_derived_secret() {
        let secret = Secret::from_bytes([1; 32]);
        let derived = derive(&secret, "label", &[b"a", b"b"]);

        assert_eq!(
            derived,
            derive(&Secret::from_bytes([1; 32]), "label", &[b"a", b"b"])
        );
        assert_ne!(
            derived,
            derive(&Secret::from_bytes([2; 32]), "label", &[b"a", b"b"])
        );
        assert_ne!(derived, derive(&secret, "labels", &[b"a", b"b"]));
        assert_ne!(derived, derive(&secret, "label", &[b"ab"]));
        assert_ne!(derived, derive(&secret, "label", &[b"a", b"b", b""]));
    }

    #[test]
    fn tags_are_the_same_if_all_their_bytes_are() {
        assert!(same_tag(b"0123", b"0123"));
        assert!(same_tag(b"", b""));
        assert!(!same_tag(b"0123", b"0122"));
        assert!(!same_tag(b"0123", b"012"));
    }

    #[test]
    fn every_flipped_bit_and_every_other_length_of_a_tag_is_refused() {
        let secret = Secret::from_bytes([1; 32]);
        let tag = mac(&secret, b"message");

        assert_eq!(verify_mac(&secret, b"message", &tag), Ok(()));
        assert_eq!(verify_mac(&secret, b"messagf", &tag), Err(NotAuthentic));
        assert_eq!(
            verify_mac(&Secret::from_bytes([2; 32]), b"message", &tag),
            Err(NotAuthentic)
        );
        assert_eq!(
            verify_mac(&secret, b"message", &tag[..31]),
            Err(NotAuthentic)
        );
        assert_eq!(verify_mac(&secret, b"message", &[]), Err(NotAuthentic));
        for bit in 0..256 {
            let mut forged = tag;
            forged[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(verify_mac(&secret, b"message", &forged), Err(NotAuthentic));
        }
    }
}
