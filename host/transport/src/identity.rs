//! Identities of links: Ed25519 keys and who may sign with them.
//!
//! Invariant: a private key never leaves its [`LinkSigner`]; the rest of this room sees public keys and signatures.
//! Source: RFC 8032; the handshake of docs/FORMATS.md, "Links".

use std::fmt;
use std::str::FromStr;

use aws_lc_rs::signature::{ED25519, Ed25519KeyPair, KeyPair as _, UnparsedPublicKey};

/// Length of an Ed25519 public key, in bytes.
pub const KEY_LEN: usize = 32;
/// Length of an Ed25519 signature, in bytes.
pub const SIGNATURE_LEN: usize = 64;

/// The Ed25519 public key that a peer has proved, or claims.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct PeerKey(pub [u8; KEY_LEN]);

/// The y-coordinates of the points whose order divides eight, little endian, in each of their encodings. Under such a
/// key anybody can sign, so it names nobody.
const SMALL_ORDER: [[u8; KEY_LEN]; 7] = [
    near_zero(0),
    near_zero(1),
    near_prime(0xec),
    near_prime(0xed),
    near_prime(0xee),
    [
        0x26, 0xe8, 0x95, 0x8f, 0xc2, 0xb2, 0x27, 0xb0, 0x45, 0xc3, 0xf4, 0x89, 0xf2, 0xef, 0x98,
        0xf0, 0xd5, 0xdf, 0xac, 0x05, 0xd3, 0xc6, 0x33, 0x39, 0xb1, 0x38, 0x02, 0x88, 0x6d, 0x53,
        0xfc, 0x05,
    ],
    [
        0xc7, 0x17, 0x6a, 0x70, 0x3d, 0x4d, 0xd8, 0x4f, 0xba, 0x3c, 0x0b, 0x76, 0x0d, 0x10, 0x67,
        0x0f, 0x2a, 0x20, 0x53, 0xfa, 0x2c, 0x39, 0xcc, 0xc6, 0x4e, 0xc7, 0xfd, 0x77, 0x92, 0xac,
        0x03, 0x7a,
    ],
];

/// A number below 256.
const fn near_zero(lowest: u8) -> [u8; KEY_LEN] {
    let mut bytes = [0; KEY_LEN];
    bytes[0] = lowest;
    bytes
}

/// A number near 2^255 - 19, whose lowest byte is 0xed.
const fn near_prime(lowest: u8) -> [u8; KEY_LEN] {
    let mut bytes = [0xff; KEY_LEN];
    bytes[0] = lowest;
    bytes[KEY_LEN - 1] = 0x7f;
    bytes
}

impl PeerKey {
    /// Whether `signature` is this key's over `message`.
    pub(crate) fn verifies(&self, message: &[u8], signature: &[u8]) -> bool {
        !self.is_of_small_order() && self.signed(message, signature)
    }

    /// Whether anybody can sign under this key.
    pub(crate) fn is_of_small_order(&self) -> bool {
        let mut y = self.0;
        y[KEY_LEN - 1] &= 0x7f;
        SMALL_ORDER.contains(&y)
    }

    fn signed(&self, message: &[u8], signature: &[u8]) -> bool {
        UnparsedPublicKey::new(&ED25519, self.0)
            .verify(message, signature)
            .is_ok()
    }
}

/// A text that is no public key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a key is 64 hexadecimal digits")]
pub struct NoPeerKey;

impl FromStr for PeerKey {
    type Err = NoPeerKey;

    fn from_str(text: &str) -> Result<Self, NoPeerKey> {
        let (digits, []) = text.as_bytes().as_chunks::<2>() else {
            return Err(NoPeerKey);
        };
        let digits: &[[u8; 2]; KEY_LEN] = digits.try_into().map_err(|_| NoPeerKey)?;
        let mut key = [0; KEY_LEN];
        for (byte, [high, low]) in key.iter_mut().zip(digits) {
            *byte = digit(*high)? << 4 | digit(*low)?;
        }
        Ok(Self(key))
    }
}

fn digit(character: u8) -> Result<u8, NoPeerKey> {
    let value = char::from(character).to_digit(16);
    value
        .and_then(|value| u8::try_from(value).ok())
        .ok_or(NoPeerKey)
}

impl fmt::Display for PeerKey {
    /// The whole key in hexadecimal.
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(out, "{byte:02x}"))
    }
}

impl fmt::Debug for PeerKey {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "PeerKey({self})")
    }
}

/// Whoever holds the private key of one side of a link.
pub trait LinkSigner: Send {
    /// The Ed25519 public key.
    fn public_key(&self) -> [u8; KEY_LEN];
    /// Signs `message`; every message of this room begins with a label of its own.
    fn sign(&self, message: &[u8]) -> [u8; SIGNATURE_LEN];
}

impl<S: LinkSigner + ?Sized> LinkSigner for Box<S> {
    fn public_key(&self) -> [u8; KEY_LEN] {
        (**self).public_key()
    }

    fn sign(&self, message: &[u8]) -> [u8; SIGNATURE_LEN] {
        (**self).sign(message)
    }
}

/// An Ed25519 key of the host's own, for roles that have no owner's identity.
pub struct LinkKey(Ed25519KeyPair);

impl LinkKey {
    /// The key of a 32-byte seed.
    #[must_use]
    pub fn from_seed(seed: &[u8; 32]) -> Self {
        Self(Ed25519KeyPair::from_seed_unchecked(seed).expect("any 32 bytes are an Ed25519 seed"))
    }

    /// A fresh key, its seed drawn from `entropy`.
    pub fn generate(entropy: &mut dyn FnMut(&mut [u8])) -> Self {
        let mut seed = [0; 32];
        entropy(&mut seed);
        Self::from_seed(&seed)
    }
}

impl LinkSigner for LinkKey {
    fn public_key(&self) -> [u8; KEY_LEN] {
        self.0
            .public_key()
            .as_ref()
            .try_into()
            .expect("an Ed25519 public key has 32 bytes")
    }

    fn sign(&self, message: &[u8]) -> [u8; SIGNATURE_LEN] {
        self.0
            .sign(message)
            .as_ref()
            .try_into()
            .expect("an Ed25519 signature has 64 bytes")
    }
}

impl fmt::Debug for LinkKey {
    /// Shows the public half alone.
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "LinkKey({})", PeerKey(self.public_key()))
    }
}

/// Where nonces come from: the operating system, or a seed in a simulation.
pub type Entropy = Box<dyn FnMut(&mut [u8]) + Send>;

/// The operating system's randomness.
#[must_use]
pub fn os_entropy() -> Entropy {
    Box::new(|buffer| {
        aws_lc_rs::rand::fill(buffer).expect("the operating system supplies randomness")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_signature_verifies_under_its_key_and_no_other() {
        let (ours, other) = (LinkKey::from_seed(&[1; 32]), LinkKey::from_seed(&[2; 32]));

        let signature = ours.sign(b"message");

        assert!(PeerKey(ours.public_key()).verifies(b"message", &signature));
        assert!(!PeerKey(ours.public_key()).verifies(b"messagf", &signature));
        assert!(!PeerKey(other.public_key()).verifies(b"message", &signature));
        assert!(!PeerKey(ours.public_key()).verifies(b"message", &signature[..63]));
    }

    #[test]
    fn a_key_is_read_as_it_is_written() {
        let key = PeerKey(LinkKey::from_seed(&[3; 32]).public_key());
        let text = key.to_string();

        assert_eq!(text.parse(), Ok(key));
        assert_eq!(text.to_uppercase().parse(), Ok(key));
        for wrong in [&text[1..], &text[2..], "", &format!("{}+f", &text[2..])] {
            assert_eq!(wrong.parse::<PeerKey>(), Err(NoPeerKey), "{wrong}");
        }
    }

    #[test]
    fn a_key_under_which_anybody_can_sign_verifies_nothing() {
        // The point of order one: s = 0 and R = the point itself satisfy the equation for every message.
        let anybody = PeerKey(near_zero(1));
        let signature = [near_zero(1), near_zero(0)].concat();

        assert!(
            anybody.signed(b"message", &signature),
            "the algorithm itself lets it pass"
        );
        assert!(!anybody.verifies(b"message", &signature));
        for y in SMALL_ORDER {
            let mut negative = y;
            negative[KEY_LEN - 1] |= 0x80;
            assert!(PeerKey(y).is_of_small_order() && PeerKey(negative).is_of_small_order());
        }
        assert!(!PeerKey(near_zero(2)).is_of_small_order());
    }

    #[test]
    fn printing_a_key_shows_its_public_half_alone() {
        let seed = [0xab; 32];

        let shown = format!("{:?}", LinkKey::from_seed(&seed));

        assert!(!shown.contains("abababab"), "{shown}");
    }
}
