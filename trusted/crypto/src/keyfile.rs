//! Private and public key files, as text.
//!
//! Invariant: a file is taken for what it is. A private key never passes for a public one, an incomplete or surprising
//! file is refused, and what is printed is read back to the same identity.
//! Source: PEM labels of RFC 7468 and of OpenSSL; `SECURECLOUD SEALING KEY` is ours (`docs/FORMATS.md`).

use zeroize::Zeroizing;

use crate::der::{self, PrivateKeyInfo, PublicKeyInfo};
use crate::identity::PublicKey;
use crate::pem::{self, Block};
use crate::{
    KeyError, OwnerPublic, OwnerSecret, RsaPrivate, RsaPublic, SealingPublicKey, Secret,
    SigningKey, VerifyingKey,
};

/// Longest key file that is read, in bytes.
pub const KEY_FILE_MAX: usize = 64 * 1024;

const PKCS8: &str = "PRIVATE KEY";
const PKCS8_ENCRYPTED: &str = "ENCRYPTED PRIVATE KEY";
const PKCS1_PRIVATE: &str = "RSA PRIVATE KEY";
const SPKI: &str = "PUBLIC KEY";
const PKCS1_PUBLIC: &str = "RSA PUBLIC KEY";
const SEALING: &str = "SECURECLOUD SEALING KEY";

/// Labels of keys that people have and that are refused by name.
const REFUSED: [(&str, &str); 6] = [
    ("EC PRIVATE KEY", "elliptic-curve (EC)"),
    ("EC PARAMETERS", "elliptic-curve (EC)"),
    ("DSA PRIVATE KEY", "DSA"),
    ("DH PARAMETERS", "Diffie-Hellman"),
    ("OPENSSH PRIVATE KEY", "OpenSSH-format"),
    ("CERTIFICATE", "certificates instead of"),
];

impl OwnerSecret {
    /// Reads a private key file: PKCS#8 with an Ed25519 or RSA key, or PKCS#1.
    ///
    /// # Errors
    /// [`KeyError`], whose message tells how to get a file that is accepted.
    pub fn from_pem(text: &str) -> Result<Self, KeyError> {
        let blocks = blocks(text)?;
        if blocks
            .iter()
            .any(|block| block.encrypted || block.label == PKCS8_ENCRYPTED)
        {
            return Err(KeyError::Encrypted);
        }
        let [block] = blocks.as_slice() else {
            return Err(not_one_private_key(&blocks));
        };
        match block.label {
            PKCS8 => Self::from_pkcs8(&block.der),
            PKCS1_PRIVATE => RsaPrivate::from_pkcs1(&block.der).map(Self::from_rsa),
            SPKI | PKCS1_PUBLIC | SEALING => Err(KeyError::PublicForPrivate),
            _ => Err(unexpected(block)),
        }
    }

    /// Writes the private key file: one PKCS#8 block, which OpenSSL reads as well.
    #[must_use]
    pub fn to_pem(&self) -> Zeroizing<String> {
        let der = match (self.seed(), self.rsa()) {
            (Some(seed), _) => der::ed25519_private(seed.expose()),
            (None, Some(rsa)) => der::rsa_private(rsa.pkcs1()),
            (None, None) => unreachable!("an identity has one of the two keys"),
        };
        pem::print(PKCS8, &der)
    }

    fn from_pkcs8(der: &[u8]) -> Result<Self, KeyError> {
        match der::private_key_info(der)? {
            PrivateKeyInfo::Rsa(pkcs1) => RsaPrivate::from_pkcs1(pkcs1).map(Self::from_rsa),
            PrivateKeyInfo::Ed25519 { seed, public } => {
                let signing = SigningKey::from_seed(seed);
                if public.is_some_and(|public| public != signing.verifying_key().as_bytes()) {
                    return Err(KeyError::Malformed {
                        what: "the public key beside the private one is another's",
                    });
                }
                Ok(Self::from_seed(Secret::from_bytes(*seed)))
            }
        }
    }
}

impl OwnerPublic {
    /// Reads a public key file: an Ed25519 key with its sealing key, or an RSA key.
    ///
    /// # Errors
    /// [`KeyError`], whose message tells how to get a file that is accepted.
    pub fn from_pem(text: &str) -> Result<Self, KeyError> {
        let blocks = blocks(text)?;
        if blocks.iter().any(|block| block.label.ends_with(PKCS8)) {
            return Err(KeyError::PrivateForPublic);
        }
        let (key, rest) = blocks.split_first().ok_or(KeyError::NoKey)?;
        let key = match key.label {
            SPKI => der::public_key_info(&key.der)?,
            PKCS1_PUBLIC => PublicKeyInfo::Rsa(&key.der),
            _ => return Err(unexpected(key)),
        };
        match (key, rest) {
            (PublicKeyInfo::Rsa(pkcs1), []) => RsaPublic::from_pkcs1(pkcs1).map(Self::rsa),
            (PublicKeyInfo::Ed25519(_), []) => Err(KeyError::NoSealingKey),
            (PublicKeyInfo::Ed25519(point), [sealing]) if sealing.label == SEALING => {
                Ok(Self::modern(
                    VerifyingKey::from_bytes(*point),
                    SealingPublicKey::from_bytes(&sealing.der)?,
                ))
            }
            (PublicKeyInfo::Ed25519(_), [_, surplus, ..]) | (_, [surplus, ..]) => {
                Err(unexpected(surplus))
            }
        }
    }

    /// Writes the public key file.
    #[must_use]
    pub fn to_pem(&self) -> String {
        match self.key() {
            PublicKey::Rsa(rsa) => pem::print(SPKI, &der::rsa_public(rsa.pkcs1())).to_string(),
            PublicKey::Modern { verifying, sealing } => {
                let verifying = pem::print(SPKI, &der::ed25519_public(verifying.as_bytes()));
                [
                    verifying.as_str(),
                    pem::print(SEALING, &sealing.to_bytes()).as_str(),
                ]
                .concat()
            }
        }
    }
}

/// The blocks of a file that is not too long and has some.
fn blocks(text: &str) -> Result<Vec<Block<'_>>, KeyError> {
    if text.len() > KEY_FILE_MAX {
        return Err(KeyError::TooLarge { bytes: text.len() });
    }
    let blocks = pem::parse(text)?;
    if blocks.is_empty() {
        return Err(KeyError::NoKey);
    }
    Ok(blocks)
}

/// Why a file of several blocks, or none, is no private key file.
fn not_one_private_key(blocks: &[Block<'_>]) -> KeyError {
    let private = |block: &&Block<'_>| block.label.ends_with(PKCS8);
    match blocks.iter().find(|block| !private(block)) {
        _ if !blocks.iter().any(|block| private(&block)) => KeyError::PublicForPrivate,
        Some(other) => unexpected(other),
        None => KeyError::UnexpectedBlock {
            label: PKCS8.to_owned(),
        },
    }
}

/// Why a block is refused that does not belong where it is.
fn unexpected(block: &Block<'_>) -> KeyError {
    match REFUSED.iter().find(|(label, _)| *label == block.label) {
        Some((_, algorithm)) => KeyError::NotSupported { algorithm },
        None => KeyError::UnexpectedBlock {
            label: block.label.to_owned(),
        },
    }
}
