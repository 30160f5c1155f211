//! The few DER structures that key files are made of.
//!
//! Invariant: only the one encoding that DER allows is read: definite, minimal lengths, nothing left over. What is
//! written is read back.
//! Source: X.690; PKCS#8 RFC 5958, PKCS#1 RFC 8017 appendix A.1, SubjectPublicKeyInfo RFC 5280, Ed25519 RFC 8410.

use zeroize::Zeroizing;

use crate::KeyError;

const INTEGER: u8 = 0x02;
const BIT_STRING: u8 = 0x03;
const OCTET_STRING: u8 = 0x04;
const NULL: u8 = 0x05;
const OBJECT_IDENTIFIER: u8 = 0x06;
const SEQUENCE: u8 = 0x30;
/// PKCS#8: attributes, `[0]`, constructed.
const ATTRIBUTES: u8 = 0xa0;
/// PKCS#8 version 2: the public key, `[1]`, primitive.
const PUBLIC_KEY: u8 = 0x81;

const ED25519_OID: &[u8] = &[0x2b, 0x65, 0x70];
const RSA_OID: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x01];

/// Algorithms that people have keys of and that are refused by name.
const REFUSED: [(&[u8], &str); 5] = [
    (
        &[0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01],
        "elliptic-curve (EC)",
    ),
    (
        &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x0a],
        "RSA-PSS-only",
    ),
    (&[0x2b, 0x65, 0x6e], "X25519"),
    (&[0x2b, 0x65, 0x71], "Ed448"),
    (&[0x2a, 0x86, 0x48, 0xce, 0x38, 0x04, 0x01], "DSA"),
];

/// The key inside a `PrivateKeyInfo`.
#[derive(PartialEq, Eq)]
pub(crate) enum PrivateKeyInfo<'a> {
    /// An Ed25519 seed, and the public key if the file has it.
    Ed25519 {
        seed: &'a [u8; 32],
        public: Option<&'a [u8; 32]>,
    },
    /// The DER of an `RSAPrivateKey`.
    Rsa(&'a [u8]),
}

/// The key inside a `SubjectPublicKeyInfo`.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum PublicKeyInfo<'a> {
    /// An encoded Ed25519 point.
    Ed25519(&'a [u8; 32]),
    /// The DER of an `RSAPublicKey`.
    Rsa(&'a [u8]),
}

/// Reads a PKCS#8 `PrivateKeyInfo`, version 1 or 2.
pub(crate) fn private_key_info(der: &[u8]) -> Result<PrivateKeyInfo<'_>, KeyError> {
    let mut info = Reader::whole(der, "a PKCS#8 private key")?;
    let version = info.read(INTEGER)?;
    if !matches!(version, [0] | [1]) {
        return Err(info.malformed());
    }
    let algorithm = info.read(SEQUENCE)?;
    let key = info.read(OCTET_STRING)?;
    info.read_optional(ATTRIBUTES)?;
    let public = info.read_optional(PUBLIC_KEY)?;
    info.end()?;

    match algorithm_of(algorithm)? {
        Algorithm::Rsa => Ok(PrivateKeyInfo::Rsa(key)),
        Algorithm::Ed25519 => {
            let mut inner = Reader {
                rest: key,
                what: "an Ed25519 private key of 32 bytes",
            };
            let seed = inner
                .read(OCTET_STRING)?
                .try_into()
                .map_err(|_| inner.malformed())?;
            inner.end()?;
            let public = public
                .map(|bits| whole_bytes(bits)?.try_into().map_err(|_| inner.malformed()))
                .transpose()?;
            Ok(PrivateKeyInfo::Ed25519 { seed, public })
        }
    }
}

/// Reads a `SubjectPublicKeyInfo`.
pub(crate) fn public_key_info(der: &[u8]) -> Result<PublicKeyInfo<'_>, KeyError> {
    let mut info = Reader::whole(der, "a SubjectPublicKeyInfo")?;
    let algorithm = info.read(SEQUENCE)?;
    let key = info.read(BIT_STRING)?;
    info.end()?;

    let key = whole_bytes(key);
    match algorithm_of(algorithm)? {
        Algorithm::Rsa => Ok(PublicKeyInfo::Rsa(key?)),
        Algorithm::Ed25519 => {
            let point = key?.try_into();
            point
                .map(PublicKeyInfo::Ed25519)
                .map_err(|_| KeyError::Malformed {
                    what: "an Ed25519 key of 32 bytes",
                })
        }
    }
}

/// The size of the modulus of an `RSAPublicKey`.
pub(crate) fn rsa_public_bits(pkcs1: &[u8]) -> Result<usize, KeyError> {
    let mut key = Reader::whole(pkcs1, "a PKCS#1 RSA public key")?;
    let modulus = key.read(INTEGER)?;
    key.read(INTEGER)?;
    key.end()?;
    Ok(bits(modulus))
}

/// The size of the modulus of an `RSAPrivateKey`, which must have two primes and all its nine numbers.
pub(crate) fn rsa_private_bits(pkcs1: &[u8]) -> Result<usize, KeyError> {
    let mut key = Reader::whole(pkcs1, "a PKCS#1 RSA private key")?;
    if key.read(INTEGER)? != [0] {
        return Err(key.malformed());
    }
    let modulus = key.read(INTEGER)?;
    for _ in 0..7 {
        key.read(INTEGER)?;
    }
    key.end()?;
    Ok(bits(modulus))
}

/// Writes the PKCS#8 form, version 1, of an Ed25519 seed.
pub(crate) fn ed25519_private(seed: &[u8; 32]) -> Zeroizing<Vec<u8>> {
    let key = Zeroizing::new(value(OCTET_STRING, &[seed]));
    Zeroizing::new(value(
        SEQUENCE,
        &[
            &value(INTEGER, &[&[0]]),
            &value(SEQUENCE, &[&value(OBJECT_IDENTIFIER, &[ED25519_OID])]),
            &wrap(&key),
        ],
    ))
}

/// Writes the PKCS#8 form, version 1, of an `RSAPrivateKey`.
pub(crate) fn rsa_private(pkcs1: &[u8]) -> Zeroizing<Vec<u8>> {
    Zeroizing::new(value(
        SEQUENCE,
        &[&value(INTEGER, &[&[0]]), &rsa_algorithm(), &wrap(pkcs1)],
    ))
}

/// Writes the `SubjectPublicKeyInfo` of an Ed25519 key.
pub(crate) fn ed25519_public(point: &[u8; 32]) -> Vec<u8> {
    let algorithm = value(SEQUENCE, &[&value(OBJECT_IDENTIFIER, &[ED25519_OID])]);
    value(SEQUENCE, &[&algorithm, &value(BIT_STRING, &[&[0], point])])
}

/// Writes the `SubjectPublicKeyInfo` of an `RSAPublicKey`.
pub(crate) fn rsa_public(pkcs1: &[u8]) -> Vec<u8> {
    value(
        SEQUENCE,
        &[&rsa_algorithm(), &value(BIT_STRING, &[&[0], pkcs1])],
    )
}

fn rsa_algorithm() -> Vec<u8> {
    value(
        SEQUENCE,
        &[&value(OBJECT_IDENTIFIER, &[RSA_OID]), &value(NULL, &[])],
    )
}

fn wrap(secret: &[u8]) -> Zeroizing<Vec<u8>> {
    Zeroizing::new(value(OCTET_STRING, &[secret]))
}

/// One value: tag, length, and the parts of its content. Allocated once, so that no part stays behind in freed memory.
fn value(tag: u8, parts: &[&[u8]]) -> Vec<u8> {
    let length: usize = parts.iter().map(|part| part.len()).sum();
    let mut out = Vec::with_capacity(length + 4);
    out.push(tag);
    match u16::try_from(length).expect("a key file is at most 64 KiB") {
        short @ 0..=0x7f => out.push(short as u8),
        one @ 0x80..=0xff => out.extend_from_slice(&[0x81, one as u8]),
        two => {
            out.push(0x82);
            out.extend_from_slice(&two.to_be_bytes());
        }
    }
    parts.iter().for_each(|part| out.extend_from_slice(part));
    out
}

enum Algorithm {
    Ed25519,
    Rsa,
}

fn algorithm_of(identifier: &[u8]) -> Result<Algorithm, KeyError> {
    let mut reader = Reader {
        rest: identifier,
        what: "an algorithm identifier",
    };
    let oid = reader.read(OBJECT_IDENTIFIER)?;
    if let Some((_, algorithm)) = REFUSED.iter().find(|(refused, _)| *refused == oid) {
        return Err(KeyError::NotSupported { algorithm });
    }
    let algorithm = match oid {
        ED25519_OID => Algorithm::Ed25519,
        RSA_OID if reader.read(NULL)?.is_empty() => Algorithm::Rsa,
        RSA_OID => return Err(reader.malformed()),
        _ => return Err(KeyError::NotSupported { algorithm: "such" }),
    };
    reader.end()?;
    Ok(algorithm)
}

/// The content of a bit string that has no unused bits.
fn whole_bytes(bit_string: &[u8]) -> Result<&[u8], KeyError> {
    match bit_string.split_first() {
        Some((0, bytes)) => Ok(bytes),
        _ => Err(KeyError::Malformed {
            what: "a bit string of whole bytes",
        }),
    }
}

fn bits(integer: &[u8]) -> usize {
    let magnitude = integer
        .iter()
        .position(|&byte| byte != 0)
        .map_or(&[][..], |first| &integer[first..]);
    magnitude.first().map_or(0, |&first| {
        magnitude.len() * 8 - first.leading_zeros() as usize
    })
}

/// Values read one after the other; `what` names the structure in errors.
struct Reader<'a> {
    rest: &'a [u8],
    what: &'static str,
}

impl<'a> Reader<'a> {
    /// Enters the sequence that `der` consists of.
    fn whole(der: &'a [u8], what: &'static str) -> Result<Self, KeyError> {
        let mut outer = Self { rest: der, what };
        let rest = outer.read(SEQUENCE)?;
        outer.end()?;
        Ok(Self { rest, what })
    }

    fn read(&mut self, tag: u8) -> Result<&'a [u8], KeyError> {
        let (&found, rest) = self.rest.split_first().ok_or_else(|| self.malformed())?;
        let (length, rest) = read_length(rest).ok_or_else(|| self.malformed())?;
        if found != tag || length > rest.len() {
            return Err(self.malformed());
        }
        let (content, rest) = rest.split_at(length);
        self.rest = rest;
        Ok(content)
    }

    fn read_optional(&mut self, tag: u8) -> Result<Option<&'a [u8]>, KeyError> {
        if self.rest.first() == Some(&tag) {
            self.read(tag).map(Some)
        } else {
            Ok(None)
        }
    }

    fn end(&self) -> Result<(), KeyError> {
        if self.rest.is_empty() {
            Ok(())
        } else {
            Err(self.malformed())
        }
    }

    fn malformed(&self) -> KeyError {
        KeyError::Malformed { what: self.what }
    }
}

/// A definite, minimal length of at most 65535, and what follows it.
fn read_length(bytes: &[u8]) -> Option<(usize, &[u8])> {
    match bytes {
        [short @ 0..=0x7f, rest @ ..] => Some((usize::from(*short), rest)),
        [0x81, one @ 0x80..=0xff, rest @ ..] => Some((usize::from(*one), rest)),
        [0x82, high @ 1..=0xff, low, rest @ ..] => {
            Some((usize::from(u16::from_be_bytes([*high, *low])), rest))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A short stand-in for a PKCS#1 structure, which these functions do not look into.
    const PKCS1: &[u8] = &[SEQUENCE, 0];

    fn seed() -> [u8; 32] {
        [7; 32]
    }

    fn modulus_of(bits: usize) -> Vec<u8> {
        let mut modulus = vec![0xff; bits.div_ceil(8)];
        modulus[0] >>= (8 - bits % 8) % 8;
        if modulus[0] & 0x80 != 0 {
            modulus.insert(0, 0);
        }
        value(INTEGER, &[&modulus])
    }

    #[test]
    fn what_is_written_is_read_back() {
        let public = ed25519_public(&seed());
        let ed25519 = private_key_info(&ed25519_private(&seed())).is_ok_and(|key| {
            key == PrivateKeyInfo::Ed25519 {
                seed: &seed(),
                public: None,
            }
        });
        let rsa = private_key_info(&rsa_private(PKCS1))
            .is_ok_and(|key| key == PrivateKeyInfo::Rsa(PKCS1));

        assert!(ed25519);
        assert!(rsa);
        assert_eq!(
            public_key_info(&public),
            Ok(PublicKeyInfo::Ed25519(&seed()))
        );
        assert_eq!(
            public_key_info(&rsa_public(PKCS1)),
            Ok(PublicKeyInfo::Rsa(PKCS1))
        );
    }

    #[test]
    fn a_cut_or_lengthened_structure_is_refused() {
        for der in [ed25519_private(&seed()), rsa_private(PKCS1)] {
            for length in 0..der.len() {
                assert!(private_key_info(&der[..length]).is_err());
            }
            assert!(private_key_info(&[der.as_slice(), &[0]].concat()).is_err());
        }
        for der in [ed25519_public(&seed()), rsa_public(PKCS1)] {
            for length in 0..der.len() {
                assert!(public_key_info(&der[..length]).is_err());
            }
            assert!(public_key_info(&[der.as_slice(), &[0]].concat()).is_err());
        }
    }

    #[test]
    fn every_flipped_bit_before_the_key_is_refused() {
        let private = ed25519_private(&seed());
        let public = ed25519_public(&seed());

        for bit in 0..(private.len() - 32) * 8 {
            let mut changed = private.to_vec();
            changed[bit / 8] ^= 1 << (bit % 8);
            // The version may be 0 or 1.
            assert!(
                private_key_info(&changed).is_err() || changed[4] == 1,
                "bit {bit}"
            );
        }
        for bit in 0..(public.len() - 32) * 8 {
            let mut changed = public.clone();
            changed[bit / 8] ^= 1 << (bit % 8);
            assert!(public_key_info(&changed).is_err(), "bit {bit}");
        }
    }

    #[test]
    fn lengths_have_one_form() {
        assert_eq!(read_length(&[0x7f, 9]), Some((127, &[9][..])));
        assert_eq!(read_length(&[0x81, 0x80]), Some((128, &[][..])));
        assert_eq!(read_length(&[0x82, 1, 0]), Some((256, &[][..])));
        for other in [
            &[0x80][..],
            &[0x81, 0x7f],
            &[0x82, 0, 0xff],
            &[0x83, 1, 0, 0],
            &[0xff],
            &[0x81],
            &[0x82, 1],
            &[],
        ] {
            assert_eq!(read_length(other), None);
        }
    }

    #[test]
    fn values_of_every_size_are_read_back() {
        for length in [0, 1, 127, 128, 255, 256, 4096, 65_535] {
            let content = vec![5; length];
            let der = value(
                OCTET_STRING,
                &[&content[..length / 2], &content[length / 2..]],
            );

            let mut reader = Reader {
                rest: &der,
                what: "a value",
            };

            assert_eq!(reader.read(OCTET_STRING), Ok(content.as_slice()));
            assert_eq!(reader.end(), Ok(()));
        }
    }

    #[test]
    fn the_size_of_a_modulus_is_counted_in_bits() {
        for bits in [1, 7, 8, 2047, 2048, 8192, 8193] {
            let key = value(
                SEQUENCE,
                &[&modulus_of(bits), &value(INTEGER, &[&[1, 0, 1]])],
            );

            assert_eq!(rsa_public_bits(&key), Ok(bits));
        }
    }

    #[test]
    fn a_private_rsa_key_has_nine_numbers() {
        let number = value(INTEGER, &[&[1]]);
        let key = |numbers: usize, version: u8| {
            let numbers = number.repeat(numbers - 1);
            value(SEQUENCE, &[&value(INTEGER, &[&[version]]), &numbers])
        };

        assert_eq!(rsa_private_bits(&key(9, 0)), Ok(1));
        for refused in [key(8, 0), key(10, 0), key(9, 1)] {
            assert!(rsa_private_bits(&refused).is_err());
        }
    }

    #[test]
    fn a_bit_string_with_unused_bits_is_refused() {
        assert_eq!(whole_bytes(&[0, 1, 2]), Ok(&[1, 2][..]));
        assert!(whole_bytes(&[1, 2]).is_err());
        assert!(whole_bytes(&[]).is_err());
    }
}
