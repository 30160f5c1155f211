//! Signatures of identities.
//!
//! Invariant: only a [`Transcript`] is ever signed, so a signature made for one purpose proves nothing for another.
//! Source: Ed25519, RFC 8032.

use core::fmt;

use aws_lc_rs::signature::{ED25519, Ed25519KeyPair, KeyPair, UnparsedPublicKey};

use crate::{NotAuthentic, Transcript, hex};

/// Length of a signature.
pub const SIGNATURE_BYTES: usize = 64;

/// Length of a [`VerifyingKey`].
pub const VERIFYING_KEY_BYTES: usize = 32;

/// The private half of an Ed25519 identity. Its memory is wiped when it is dropped.
pub struct SigningKey {
    pair: Ed25519KeyPair,
    verifying: VerifyingKey,
}

impl SigningKey {
    /// The key pair of a seed; the same seed gives the same pair.
    #[must_use]
    pub fn from_seed(seed: &[u8; 32]) -> Self {
        let pair =
            Ed25519KeyPair::from_seed_unchecked(seed).expect("every 32 bytes are an Ed25519 seed");
        let bytes = pair.public_key().as_ref();
        let verifying = VerifyingKey(
            bytes
                .try_into()
                .expect("an Ed25519 public key has 32 bytes"),
        );
        Self { pair, verifying }
    }

    /// The public half.
    #[must_use]
    pub fn verifying_key(&self) -> VerifyingKey {
        self.verifying
    }

    /// Signs a transcript. The signature is a function of key and transcript: signing twice gives the same bytes.
    #[must_use]
    pub fn sign(&self, transcript: &Transcript) -> [u8; SIGNATURE_BYTES] {
        self.sign_message(transcript.as_bytes())
    }

    /// Signs bytes that begin with a length-prefixed label of another room, as the link layer's hello does.
    ///
    /// Prefer [`SigningKey::sign`]: there the encoding itself keeps uses apart.
    #[must_use]
    pub fn sign_message(&self, message: &[u8]) -> [u8; SIGNATURE_BYTES] {
        let signature = self.pair.sign(message);
        signature
            .as_ref()
            .try_into()
            .expect("an Ed25519 signature has 64 bytes")
    }
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SigningKey(.., {:?})", self.verifying)
    }
}

/// The public half of an Ed25519 identity: 32 bytes that a peer may have made up, trusted only after a signature.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct VerifyingKey([u8; VERIFYING_KEY_BYTES]);

impl VerifyingKey {
    /// Takes any 32 bytes. Those that are no point of the curve verify nothing.
    #[must_use]
    pub fn from_bytes(bytes: [u8; VERIFYING_KEY_BYTES]) -> Self {
        Self(bytes)
    }

    /// The encoded point.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8; VERIFYING_KEY_BYTES] {
        &self.0
    }

    /// Accepts `signature` if the holder of this key made it over `transcript`.
    ///
    /// # Errors
    /// [`NotAuthentic`] for any other signature, of whatever length, and for every signature under a key of small
    /// order, which would accept forgeries.
    pub fn verify(&self, transcript: &Transcript, signature: &[u8]) -> Result<(), NotAuthentic> {
        self.verify_message(transcript.as_bytes(), signature)
    }

    fn verify_message(&self, message: &[u8], signature: &[u8]) -> Result<(), NotAuthentic> {
        if self.has_small_order() {
            return Err(NotAuthentic);
        }
        UnparsedPublicKey::new(&ED25519, &self.0)
            .verify(message, signature)
            .map_err(|_| NotAuthentic)
    }

    fn has_small_order(&self) -> bool {
        let mut y = self.0;
        y[31] &= 0x7f;
        SMALL_ORDER.contains(&y)
    }
}

/// The y coordinates, sign bit cleared, of the eight points of small order, with the two other encodings of 0 and 1.
const SMALL_ORDER: [[u8; 32]; 7] = [
    // order 4: y = 0
    [
        0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
        0, 0,
    ],
    // order 1: y = 1
    [
        0x01, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
        0, 0, 0,
    ],
    // order 8
    [
        0x26, 0xe8, 0x95, 0x8f, 0xc2, 0xb2, 0x27, 0xb0, 0x45, 0xc3, 0xf4, 0x89, 0xf2, 0xef, 0x98,
        0xf0, 0xd5, 0xdf, 0xac, 0x05, 0xd3, 0xc6, 0x33, 0x39, 0xb1, 0x38, 0x02, 0x88, 0x6d, 0x53,
        0xfc, 0x05,
    ],
    // order 8
    [
        0xc7, 0x17, 0x6a, 0x70, 0x3d, 0x4d, 0xd8, 0x4f, 0xba, 0x3c, 0x0b, 0x76, 0x0d, 0x10, 0x67,
        0x0f, 0x2a, 0x20, 0x53, 0xfa, 0x2c, 0x39, 0xcc, 0xc6, 0x4e, 0xc7, 0xfd, 0x77, 0x92, 0xac,
        0x03, 0x7a,
    ],
    // order 2: y = -1
    [
        0xec, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
        0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
        0xff, 0x7f,
    ],
    // y = 0, encoded as p
    [
        0xed, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
        0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
        0xff, 0x7f,
    ],
    // y = 1, encoded as p + 1
    [
        0xee, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
        0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
        0xff, 0x7f,
    ],
];

impl fmt::Debug for VerifyingKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        hex::write_short("VerifyingKey", &self.0, f)
    }
}

impl fmt::Display for VerifyingKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        hex::write(&self.0, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hex::decode;

    fn signer() -> SigningKey {
        SigningKey::from_seed(&[1; 32])
    }

    fn transcript() -> Transcript {
        Transcript::new("test").bytes(b"field")
    }

    #[test]
    fn signing_gives_the_answers_of_rfc_8032() {
        // Section 7.1, tests 1 to 3: seed, public key, message, signature.
        let cases = [
            (
                "9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60",
                "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a",
                "",
                "e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e06522490155\
                 5fb8821590a33bacc61e39701cf9b46bd25bf5f0595bbe24655141438e7a100b",
            ),
            (
                "4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb",
                "3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c",
                "72",
                "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da\
                 085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00",
            ),
            (
                "c5aa8df43f9f837bedb7442f31dcb7b166d38535076f094b85ce3a2e0b4458f7",
                "fc51cd8e6218a1a38da47ed00230f0580816ed13ba3303ac5deb911548908025",
                "af82",
                "6291d657deec24024827e69c3abe01a30ce548a284743a445e3680d7db5ac3ac\
                 18ff9b538d16f290ae67f760984dc6594a7c15e9716ed28dc027beceea1ec40a",
            ),
        ];
        for (seed, public, message, signature) in cases {
            let key = SigningKey::from_seed(&decode(seed).try_into().unwrap());

            assert_eq!(key.verifying_key().as_bytes().as_slice(), decode(public));
            assert_eq!(
                key.sign_message(&decode(message)).as_slice(),
                decode(signature)
            );
            assert_eq!(
                key.verifying_key()
                    .verify_message(&decode(message), &decode(signature)),
                Ok(())
            );
        }
    }

    #[test]
    fn every_flipped_bit_and_every_other_length_of_a_signature_is_refused() {
        let key = signer().verifying_key();
        let signature = signer().sign(&transcript());

        assert_eq!(key.verify(&transcript(), &signature), Ok(()));
        for bit in 0..signature.len() * 8 {
            let mut forged = signature;
            forged[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(key.verify(&transcript(), &forged), Err(NotAuthentic));
        }
        for forged in [
            &signature[..63],
            &[],
            &[signature.as_slice(), &[0]].concat(),
        ] {
            assert_eq!(key.verify(&transcript(), forged), Err(NotAuthentic));
        }
    }

    #[test]
    fn a_signature_holds_for_one_transcript_and_one_key() {
        let signature = signer().sign(&transcript());
        let other = SigningKey::from_seed(&[2; 32]).verifying_key();

        assert_eq!(other.verify(&transcript(), &signature), Err(NotAuthentic));
        let relabelled = Transcript::new("tests").bytes(b"field");
        assert_eq!(
            signer().verifying_key().verify(&relabelled, &signature),
            Err(NotAuthentic)
        );
    }

    #[test]
    fn the_second_form_of_a_signature_is_refused() {
        // s + L is another s of the same equation; RFC 8032 section 5.1.7 demands s < L.
        let order = decode("edd3f55c1a631258d69cf7a2def9de1400000000000000000000000000000010");
        let mut signature = signer().sign(&transcript());
        let mut carry = 0;
        for (byte, addend) in signature[32..].iter_mut().zip(order) {
            let sum = u16::from(*byte) + u16::from(addend) + carry;
            *byte = sum as u8;
            carry = sum >> 8;
        }

        assert_eq!(
            signer().verifying_key().verify(&transcript(), &signature),
            Err(NotAuthentic)
        );
    }

    #[test]
    fn a_key_of_small_order_verifies_nothing() {
        // R = identity and s = 0 satisfy the equation for one message in n under a key of order n = 1, 2, 4 or 8.
        let mut signature = [0; 64];
        signature[0] = 1;
        for sign in [0, 0x80] {
            for mut key in SMALL_ORDER {
                key[31] |= sign;
                for number in 0..16 {
                    let message = transcript().u64(number);
                    assert_eq!(
                        VerifyingKey::from_bytes(key).verify(&message, &signature),
                        Err(NotAuthentic)
                    );
                }
            }
        }
    }

    #[test]
    fn thirty_two_bytes_that_are_no_point_verify_nothing() {
        // y = 2 is on no point of the curve.
        let mut bytes = [0; 32];
        bytes[0] = 2;

        let verified =
            VerifyingKey::from_bytes(bytes).verify(&transcript(), &signer().sign(&transcript()));

        assert_eq!(verified, Err(NotAuthentic));
    }

    #[test]
    fn a_signing_key_shows_only_its_public_half() {
        let shown = format!("{:?}", signer());

        assert_eq!(shown, "SigningKey(.., VerifyingKey(8a88e3dd7409))");
    }
}
