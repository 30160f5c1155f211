//! 32 secret bytes, the unit of every symmetric key.
//!
//! Invariant: the bytes are overwritten when the value is dropped, are never printed, and are copied only by a call
//! that says so.

use core::fmt;

use aws_lc_rs::constant_time::verify_slices_are_equal;
use zeroize::{ZeroizeOnDrop, Zeroizing};

use crate::Entropy;

/// Length of a [`Secret`].
pub const SECRET_BYTES: usize = 32;

/// 32 bytes that are uniformly distributed and known to nobody who should not know them.
///
/// Equality takes the same time wherever the two differ.
#[derive(ZeroizeOnDrop)]
pub struct Secret([u8; SECRET_BYTES]);

impl Secret {
    /// Draws a fresh secret.
    pub fn random(entropy: &mut dyn Entropy) -> Self {
        let mut bytes = Zeroizing::new([0; SECRET_BYTES]);
        entropy.fill(bytes.as_mut());
        Self(*bytes)
    }

    /// Takes over bytes that are already uniform; the caller wipes its own copy.
    #[must_use]
    pub fn from_bytes(bytes: [u8; SECRET_BYTES]) -> Self {
        Self(bytes)
    }

    /// The bytes, for an algorithm's input or for sealing. Whoever copies them wipes the copy.
    #[must_use]
    pub fn expose(&self) -> &[u8; SECRET_BYTES] {
        &self.0
    }

    /// A second owner of the same secret. There is no `Clone`, so that each copy is a decision.
    #[must_use]
    pub fn duplicate(&self) -> Self {
        Self(self.0)
    }
}

impl PartialEq for Secret {
    fn eq(&self, other: &Self) -> bool {
        verify_slices_are_equal(&self.0, &other.0).is_ok()
    }
}

impl Eq for Secret {}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(..)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_never_shows_its_bytes() {
        let secret = Secret::from_bytes([0xab; 32]);

        let shown = format!("{secret:?} {:?}", Some(&secret));

        assert_eq!(shown, "Secret(..) Some(Secret(..))");
    }

    #[test]
    fn secrets_that_differ_in_one_bit_are_unequal() {
        let secret = Secret::from_bytes([7; 32]);
        for bit in 0..256 {
            let mut bytes = [7; 32];
            bytes[bit / 8] ^= 1 << (bit % 8);

            assert_ne!(Secret::from_bytes(bytes), secret);
        }
        assert_eq!(secret.duplicate(), secret);
    }

    #[test]
    fn a_random_secret_is_what_the_entropy_gave() {
        let mut calls = 0;
        let mut entropy = |bytes: &mut [u8]| {
            calls += 1;
            bytes.fill(calls);
        };

        let secrets = [Secret::random(&mut entropy), Secret::random(&mut entropy)];

        assert_eq!(
            secrets,
            [Secret::from_bytes([1; 32]), Secret::from_bytes([2; 32])]
        );
    }
}
