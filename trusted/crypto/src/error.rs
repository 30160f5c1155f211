//! What can go wrong, told by who must act.
//!
//! Invariant: no variant carries a key, a plaintext, or a hint at which step of a decryption failed.

use crate::rsa::{RSA_BITS_MAX, RSA_BITS_MIN};

/// The bytes were not made, for this context, by a holder of the key. Never retry.
///
/// There is one such error on purpose: wrong key, wrong context, truncation and forgery look alike to the sender.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not authentic")]
pub struct NotAuthentic;

/// Why a key cannot be used. Each message tells the owner of the file what to do about it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum KeyError {
    /// The text is longer than any key file: another file was given.
    #[error("{bytes} bytes are too many for a key file (at most {max})", max = crate::keyfile::KEY_FILE_MAX)]
    TooLarge {
        /// Length of the text that was given.
        bytes: usize,
    },
    /// The text holds no PEM block at all: another file was given.
    #[error("no key found: a key file has a line such as `-----BEGIN PRIVATE KEY-----`")]
    NoKey,
    /// The PEM text is damaged at `line`.
    #[error("line {line}: {problem}")]
    Pem {
        /// The line, counted from 1.
        line: usize,
        /// What is wrong there.
        problem: &'static str,
    },
    /// The private key is protected by a passphrase.
    #[error(
        "the key is protected by a passphrase: write a copy without one, \
         `openssl pkey -in protected.prv -out key.prv`, and keep it readable by its owner only"
    )]
    Encrypted,
    /// A public key was given where a private one is needed.
    #[error("this is a public key file, and the private one is needed, which ends in .prv")]
    PublicForPrivate,
    /// A private key was given where a public one is needed.
    #[error(
        "this is a private key file, and the public one is needed: make it with \
         `securecloud keygen --public-from key.prv`, and never hand out the private one"
    )]
    PrivateForPublic,
    /// An Ed25519 public key came alone, so nothing can be sealed to its owner.
    #[error(
        "the public key file has no `SECURECLOUD SEALING KEY` block: \
         run `securecloud keygen --public-from key.prv` to make a complete one"
    )]
    NoSealingKey,
    /// The key is for an algorithm that this suite does not use.
    #[error("{algorithm} keys are not used here: make an Ed25519 key with `securecloud keygen`")]
    NotSupported {
        /// The name of the algorithm found.
        algorithm: &'static str,
    },
    /// The file has a block beyond those that belong to one key.
    #[error("unexpected block `{label}`: a key file holds one key")]
    UnexpectedBlock {
        /// The label of that block.
        label: String,
    },
    /// The bytes are not the encoding of a key.
    #[error("malformed key: {what}")]
    Malformed {
        /// What was expected and not found.
        what: &'static str,
    },
    /// The RSA modulus is outside the sizes accepted.
    #[error("an RSA key of {bits} bits: {min} to {max} bits are accepted", min = RSA_BITS_MIN, max = RSA_BITS_MAX)]
    RsaSize {
        /// Size of the modulus found.
        bits: usize,
    },
    /// RSA keys of this size cannot be generated.
    #[error("RSA keys of 2048, 3072, 4096 or 8192 bits can be made, not of {bits}")]
    RsaSizeToGenerate {
        /// Size that was asked for.
        bits: usize,
    },
}
