//! What an owner provisions to a coder: its numbered roots, which of them is current, and what time it is.
//!
//! Invariant: the current root is among them; numbers are distinct and ascend.
//! Source: `docs/FORMATS.md`, "Storage: roots".

use sc_crypto::{SealingKeyPair, SealingPublicKey, Secret, Transcript, VerifyingKey};
use zeroize::Zeroizing;

use crate::keys;

/// Roots that a tenant may have at once; during a rotation it has two.
pub const ROOTS_MAX: usize = 16;

const VERSION: u8 = 1;
const HEAD_BYTES: usize = 1 + 8 + 4 + 1;
const ROOT_BYTES: usize = 4 + 32;

/// What was provisioned is no list of roots.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the roots are malformed")]
pub struct RootsError;

/// An owner's roots.
pub struct CoderRoots {
    /// The owner's clock, in milliseconds since 1970.
    pub time_ms: u64,
    current: u32,
    roots: Vec<(u32, Secret)>,
}

impl CoderRoots {
    /// These roots; `current` wraps what is made from now on.
    ///
    /// # Errors
    /// None or too many of them, numbers that do not ascend, or `current` not among them.
    pub fn new(time_ms: u64, current: u32, roots: Vec<(u32, Secret)>) -> Result<Self, RootsError> {
        let ascend = roots.is_sorted_by(|one, next| one.0 < next.0);
        let has_current = roots.iter().any(|(number, _)| *number == current);
        if roots.len() > ROOTS_MAX || !ascend || !has_current {
            return Err(RootsError);
        }
        Ok(Self {
            time_ms,
            current,
            roots,
        })
    }

    /// Reads what [`Self::encode`] wrote.
    ///
    /// # Errors
    /// [`RootsError`] for any other bytes.
    pub fn decode(bytes: &[u8]) -> Result<Self, RootsError> {
        let (head, rest) = bytes.split_first_chunk::<HEAD_BYTES>().ok_or(RootsError)?;
        let [version, number @ .., count] = head;
        let (time, current) = number.split_first_chunk::<8>().ok_or(RootsError)?;
        let current: [u8; 4] = current.try_into().map_err(|_| RootsError)?;
        if *version != VERSION || rest.len() != usize::from(*count) * ROOT_BYTES {
            return Err(RootsError);
        }
        let roots = rest.chunks_exact(ROOT_BYTES).map(|root| {
            let (number, secret) = root.split_first_chunk::<4>().ok_or(RootsError)?;
            let secret: [u8; 32] = secret.try_into().map_err(|_| RootsError)?;
            Ok((u32::from_le_bytes(*number), Secret::from_bytes(secret)))
        });
        Self::new(
            u64::from_le_bytes(*time),
            u32::from_le_bytes(current),
            roots.collect::<Result<_, _>>()?,
        )
    }

    /// The bytes that travel as M3's secrets.
    #[must_use]
    pub fn encode(&self) -> Zeroizing<Vec<u8>> {
        let length = HEAD_BYTES + self.roots.len() * ROOT_BYTES;
        let mut out = Zeroizing::new(Vec::with_capacity(length));
        out.push(VERSION);
        out.extend_from_slice(&self.time_ms.to_le_bytes());
        out.extend_from_slice(&self.current.to_le_bytes());
        out.push(u8::try_from(self.roots.len()).expect("there are at most ROOTS_MAX"));
        for (number, root) in &self.roots {
            out.extend_from_slice(&number.to_le_bytes());
            out.extend_from_slice(root.expose());
        }
        out
    }

    /// The number of the current root.
    #[must_use]
    pub fn current_number(&self) -> u32 {
        self.current
    }

    /// The current root.
    pub(crate) fn current(&self) -> &Secret {
        self.numbered(self.current)
            .expect("the current root is among them")
    }

    /// The root of this number, if the owner still has it in use.
    pub(crate) fn numbered(&self, number: u32) -> Option<&Secret> {
        let place = self.roots.binary_search_by_key(&number, |root| root.0);
        place.ok().map(|place| &self.roots[place].1)
    }

    /// The pairs of coder keys of all roots, the current one's first.
    pub(crate) fn coder_keys(&self) -> Vec<SealingKeyPair> {
        let others = self.roots.iter().filter(|root| root.0 != self.current);
        std::iter::once(self.current())
            .chain(others.map(|(_, root)| root))
            .map(|root| SealingKeyPair::from_seed(keys::coder_seed(root).expose()))
            .collect()
    }
}

/// The key to which a tenant's clients seal, made of its root: the owner hands it out with certificates.
#[must_use]
pub fn coder_public_key(root: &Secret) -> SealingPublicKey {
    SealingKeyPair::from_seed(keys::coder_seed(root).expose())
        .public()
        .clone()
}

/// The id of the tenant whose owner has this key.
#[must_use]
pub fn tenant_id(owner: VerifyingKey) -> [u8; 32] {
    Transcript::new("storage tenant")
        .bytes(owner.as_bytes())
        .hash256()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn roots() -> CoderRoots {
        let secrets = [(1, [1; 32]), (7, [7; 32])].map(|(it, root)| (it, Secret::from_bytes(root)));
        CoderRoots::new(1000, 7, secrets.into()).unwrap()
    }

    #[test]
    fn roots_read_back_and_nothing_else_does() {
        let bytes = roots().encode();

        let read = CoderRoots::decode(&bytes).unwrap();

        assert_eq!((read.time_ms, read.current_number()), (1000, 7));
        assert_eq!(read.numbered(1), Some(&Secret::from_bytes([1; 32])));
        assert!(CoderRoots::decode(&bytes[..bytes.len() - 1]).is_err());
        assert!(CoderRoots::decode(&[&bytes[..], &[0]].concat()).is_err());
    }

    #[test]
    fn the_current_root_is_one_of_them() {
        let only = vec![(1, Secret::from_bytes([1; 32]))];

        assert!(CoderRoots::new(0, 2, only).is_err());
        assert!(CoderRoots::new(0, 0, Vec::new()).is_err());
    }
}
