//! Link keys: the CURVE key pair of one side and the keys of those it talks to, and their text form.
//!
//! Invariant: the secret half is erased when dropped and appears in no message, only in [`LinkKeys::to_text`].
//! Source: ZeroMQ RFC 26 (CurveZMQ) for the keys, RFC 32 (Z85) for their spelling.

use std::fmt;

use aws_lc_rs::agreement::{PrivateKey, X25519};
use zeroize::Zeroizing;

use crate::identity::Entropy;

/// Length of a CURVE key, in bytes.
pub const CURVE_KEY_LEN: usize = 32;
/// Most peers that one key file may name.
pub const CURVE_PEERS_MAX: usize = 4096;
/// Length of a key in Z85.
const Z85_LEN: usize = 40;
/// The digits of Z85.
const Z85: &[u8; 85] =
    b"0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ.-:+=^!/*?&<>()[]{}@%$#";

/// A CURVE public key; prints as Z85.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct CurvePublic(pub [u8; CURVE_KEY_LEN]);

/// The CURVE keys of one side.
pub struct LinkKeys {
    secret: Zeroizing<[u8; CURVE_KEY_LEN]>,
    public: CurvePublic,
    /// The side that binds admits these clients alone, or any client if there are none. The side that connects
    /// expects the first of them to listen.
    pub peers: Vec<CurvePublic>,
}

/// Why a key file cannot be read. Never holds any of its text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum LinkKeysError {
    /// A line is neither empty, a comment nor `name = "value"`.
    #[error("line {line} is not of the form name = \"value\"")]
    Line {
        /// Counted from 1.
        line: usize,
    },
    /// A name other than `secret`, `public` and `peer`.
    #[error("line {line} has an unknown name; known are secret, public and peer")]
    Name {
        /// Counted from 1.
        line: usize,
    },
    /// A value is no key in Z85.
    #[error("line {line} holds no key: a key has 40 characters of Z85")]
    Key {
        /// Counted from 1.
        line: usize,
    },
    /// `secret` or `public` comes twice.
    #[error("line {line} repeats a name that may come once")]
    Twice {
        /// Counted from 1.
        line: usize,
    },
    /// There is no `secret`.
    #[error("the secret key is missing")]
    NoSecret,
    /// `public` is not the public half of `secret`.
    #[error("the public key does not belong to the secret key")]
    Mismatch,
    /// More than [`CURVE_PEERS_MAX`] peers.
    #[error("more than {CURVE_PEERS_MAX} peers")]
    TooManyPeers,
}

impl LinkKeys {
    /// A fresh pair without peers.
    pub fn generate(entropy: &mut Entropy) -> Self {
        let mut secret = Zeroizing::new([0; CURVE_KEY_LEN]);
        entropy(&mut secret[..]);
        Self::from_secret(&secret)
    }

    /// The pair of a secret key, without peers.
    #[must_use]
    pub fn from_secret(secret: &[u8; CURVE_KEY_LEN]) -> Self {
        let key =
            PrivateKey::from_private_key(&X25519, secret).expect("any 32 bytes are an X25519 key");
        let public = key
            .compute_public_key()
            .expect("an X25519 key has a public half");
        let public = CurvePublic(
            public
                .as_ref()
                .try_into()
                .expect("an X25519 public key has 32 bytes"),
        );
        Self {
            secret: Zeroizing::new(*secret),
            public,
            peers: Vec::new(),
        }
    }

    /// The public half, to be given to peers.
    #[must_use]
    pub fn public(&self) -> CurvePublic {
        self.public
    }

    /// The same pair, for a link to whoever listens under `peer`.
    #[must_use]
    pub fn expecting(&self, peer: CurvePublic) -> Self {
        Self {
            secret: self.secret.clone(),
            public: self.public,
            peers: vec![peer],
        }
    }

    pub(crate) fn secret(&self) -> &[u8; CURVE_KEY_LEN] {
        &self.secret
    }

    /// The key file: this is the one place where the secret is written out.
    #[must_use]
    pub fn to_text(&self) -> Zeroizing<String> {
        let mut text = Zeroizing::new(String::with_capacity(256 + 64 * self.peers.len()));
        text.push_str("# SecureCloud link keys (CURVE). The secret stays on this machine; give out the public key.\n");
        text.push_str("# Each line `peer = \"...\"` names the public key of a machine that this one talks to.\n");
        text.push_str("secret = \"");
        z85_encode(&self.secret, &mut text);
        text.push_str(&format!("\"\npublic = \"{}\"\n", self.public));
        for peer in &self.peers {
            text.push_str(&format!("peer = \"{peer}\"\n"));
        }
        text
    }

    /// Reads a key file.
    ///
    /// # Errors
    /// The line that is wrong, never its text.
    pub fn parse(text: &str) -> Result<Self, LinkKeysError> {
        let (mut secret, mut public, mut peers) = (None, None, Vec::new());
        for (index, entry) in text.lines().enumerate() {
            let line = index + 1;
            let Some((name, value)) = parse_line(entry, line)? else {
                continue;
            };
            let key = Zeroizing::new(z85_decode(value).ok_or(LinkKeysError::Key { line })?);
            let place = match name {
                "secret" => &mut secret,
                "public" => &mut public,
                "peer" => {
                    peers.push(CurvePublic(*key));
                    continue;
                }
                _ => return Err(LinkKeysError::Name { line }),
            };
            if place.replace(key).is_some() {
                return Err(LinkKeysError::Twice { line });
            }
        }
        if peers.len() > CURVE_PEERS_MAX {
            return Err(LinkKeysError::TooManyPeers);
        }
        let keys = Self::from_secret(&*secret.ok_or(LinkKeysError::NoSecret)?);
        if public.is_some_and(|public| *public != keys.public.0) {
            return Err(LinkKeysError::Mismatch);
        }
        Ok(Self { peers, ..keys })
    }
}

/// Name and value of one line, or nothing for an empty line or a comment.
fn parse_line(entry: &str, line: usize) -> Result<Option<(&str, &str)>, LinkKeysError> {
    let entry = entry.trim();
    if entry.is_empty() || entry.starts_with('#') {
        return Ok(None);
    }
    let (name, value) = entry.split_once('=').ok_or(LinkKeysError::Line { line })?;
    let value = value
        .trim()
        .strip_prefix('"')
        .and_then(|value| value.strip_suffix('"'));
    value
        .map(|value| Some((name.trim(), value)))
        .ok_or(LinkKeysError::Line { line })
}

impl fmt::Debug for LinkKeys {
    /// Shows the public half alone.
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "LinkKeys({}, {} peers)", self.public, self.peers.len())
    }
}

impl fmt::Display for CurvePublic {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut text = String::with_capacity(Z85_LEN);
        z85_encode(&self.0, &mut text);
        out.write_str(&text)
    }
}

impl fmt::Debug for CurvePublic {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "CurvePublic({self})")
    }
}

impl std::str::FromStr for CurvePublic {
    type Err = LinkKeysError;

    fn from_str(text: &str) -> Result<Self, LinkKeysError> {
        z85_decode(text)
            .map(Self)
            .ok_or(LinkKeysError::Key { line: 1 })
    }
}

fn z85_encode(key: &[u8; CURVE_KEY_LEN], text: &mut String) {
    for group in key.chunks_exact(4) {
        let mut number = u32::from_be_bytes(group.try_into().expect("groups have four bytes"));
        let mut digits = [0; 5];
        for digit in digits.iter_mut().rev() {
            *digit = Z85[(number % 85) as usize];
            number /= 85;
        }
        text.extend(digits.map(char::from));
    }
}

fn z85_decode(text: &str) -> Option<[u8; CURVE_KEY_LEN]> {
    if text.len() != Z85_LEN {
        return None;
    }
    let mut key = [0; CURVE_KEY_LEN];
    for (group, bytes) in text.as_bytes().chunks_exact(5).zip(key.chunks_exact_mut(4)) {
        let number = group.iter().try_fold(0u64, |number, digit| {
            let value = Z85.iter().position(|other| other == digit)?;
            Some(number * 85 + value as u64)
        })?;
        bytes.copy_from_slice(&u32::try_from(number).ok()?.to_be_bytes());
    }
    Some(key)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::identity::os_entropy;

    /// The client's pair of RFC 26, "Test Cases" (bytes) as libzmq's documentation spells it in Z85.
    const PUBLIC: &str = "Yne@$w-vo<fVvi]a<NY6T1ed:M$fCG*[IaLV{hID";
    const SECRET: &str = "D:)Q[IlAW!ahhC2ac:9*A}h:p?([4%wOTJ%JR%cs";

    #[test]
    fn the_pair_of_the_zeromq_documentation_belongs_together() {
        let keys =
            LinkKeys::parse(&format!("secret = \"{SECRET}\"\npublic = \"{PUBLIC}\"")).unwrap();

        assert_eq!(keys.public().to_string(), PUBLIC);
    }

    #[test]
    fn a_key_file_reads_back_as_it_was_written() {
        let mut keys = LinkKeys::generate(&mut os_entropy());
        keys.peers = vec![PUBLIC.parse().unwrap(), CurvePublic([0xff; 32])];

        let read = LinkKeys::parse(&keys.to_text()).unwrap();

        assert_eq!(read.secret(), keys.secret());
        assert_eq!(read.public(), keys.public());
        assert_eq!(read.peers, keys.peers);
    }

    #[test]
    fn what_is_wrong_in_a_key_file_is_named_by_its_line() {
        let other = CurvePublic([9; 32]);
        for (text, error) in [
            ("".to_owned(), LinkKeysError::NoSecret),
            (format!("public = \"{PUBLIC}\""), LinkKeysError::NoSecret),
            (
                format!("# comment\nsecret = {SECRET}"),
                LinkKeysError::Line { line: 2 },
            ),
            ("secret".to_owned(), LinkKeysError::Line { line: 1 }),
            (
                "secret = \"short\"".to_owned(),
                LinkKeysError::Key { line: 1 },
            ),
            (
                format!("secret = \"{}\"", "\u{e9}".repeat(20)),
                LinkKeysError::Key { line: 1 },
            ),
            (
                format!("secret = \"{}\"", "#".repeat(40)),
                LinkKeysError::Key { line: 1 },
            ),
            (
                format!("sekret = \"{SECRET}\""),
                LinkKeysError::Name { line: 1 },
            ),
            (
                format!("secret = \"{SECRET}\"\nsecret = \"{SECRET}\""),
                LinkKeysError::Twice { line: 2 },
            ),
            (
                format!("secret = \"{SECRET}\"\npublic = \"{other}\""),
                LinkKeysError::Mismatch,
            ),
        ] {
            assert_eq!(LinkKeys::parse(&text).unwrap_err(), error);
        }
    }

    #[test]
    fn a_key_file_with_too_many_peers_is_refused() {
        let peers = format!("peer = \"{PUBLIC}\"\n").repeat(CURVE_PEERS_MAX + 1);

        let result = LinkKeys::parse(&format!("secret = \"{SECRET}\"\n{peers}"));

        assert_eq!(result.unwrap_err(), LinkKeysError::TooManyPeers);
    }

    #[test]
    fn printing_link_keys_shows_no_secret() {
        let keys = LinkKeys::parse(&format!("secret = \"{SECRET}\"")).unwrap();

        assert!(!format!("{keys:?}").contains(&SECRET[..8]));
    }
}
