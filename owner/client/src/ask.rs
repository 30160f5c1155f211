//! A request of a consumer to the owner of a domain, signed by the consumer and sealed to the owner.
//!
//! Invariant: whoever opens an `Ask` knows which identity made it, for which domain, and that its sequence number is greater than that
//! of every request it has taken from this identity before.

use sc_cbr::{Malformed, Origin, Reader, push_bytes};
use sc_crypto::hash::sha256;
use sc_crypto::{DomainId, Entropy, OwnerPublic, OwnerSecret, Transcript, VerifyingKey};
use sc_matching::Subscription;
use sc_matching::binary::{decode_subscription, encode_subscription};

use crate::journal::RECORD_MAX;

/// Subscriptions that one request may carry.
pub const SUBSCRIPTIONS_PER_ASK_MAX: usize = 1000;

/// Bytes of a sealed request, at most: every request that opens fits into a record of the journal.
pub const ASK_BYTES_MAX: usize = RECORD_MAX / 2;

/// Bytes of encoded subscriptions that go into one message where this side cuts it, unless a single one is longer. Far below the least
/// credit of a link, so that no portion waits for credit that can never come.
const PORTION_BYTES_MAX: usize = 256 << 10;

const VERSION: u8 = 1;
const PLAIN: u8 = 0;
const SIGNATURE_BYTES: usize = 64;
const SUBSCRIBE: u8 = 1;
const UNSUBSCRIBE: u8 = 2;
const RENEW: u8 = 3;
const PUBLISH: u8 = 4;

/// What a consumer wants.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum Operation {
    /// Subscriptions by the consumer's own ids.
    Subscribe {
        /// Drop all earlier subscriptions of this identity first.
        replace: bool,
        /// How long the router is to keep notices while the consumer is away, in milliseconds; the owner may grant less.
        retention_ms: u64,
        /// How many subscriptions follow in further requests; 0 in the last.
        remaining: u32,
        /// At most [`SUBSCRIPTIONS_PER_ASK_MAX`].
        subscriptions: Vec<(u64, Subscription)>,
    },
    /// Drops subscriptions.
    Unsubscribe {
        /// Their ids; none for all.
        ids: Vec<u64>,
    },
    /// Extends the lease.
    Renew,
    /// Asks to publish in the owner's domain, from a fresh start number.
    Publish {
        /// Every origin of this publisher up to here is settled, or will not come again.
        floor: Origin,
    },
}

/// Cuts subscriptions into messages: at most [`SUBSCRIPTIONS_PER_ASK_MAX`] of at most [`PORTION_BYTES_MAX`] in each; one empty portion where
/// there are none.
pub(crate) fn portions(subscriptions: &[(u64, Subscription)]) -> Vec<&[(u64, Subscription)]> {
    let mut portions = Vec::new();
    let (mut begin, mut bytes) = (0, 0);
    for (at, (_, subscription)) in subscriptions.iter().enumerate() {
        let more = 12 + encode_subscription(subscription).len();
        let is_full = at - begin == SUBSCRIPTIONS_PER_ASK_MAX || bytes + more > PORTION_BYTES_MAX;
        if is_full && at > begin {
            portions.push(&subscriptions[begin..at]);
            (begin, bytes) = (at, 0);
        }
        bytes += more;
    }
    portions.push(&subscriptions[begin..]);
    portions
}

/// A request, opened or about to be sealed.
#[derive(Debug, Clone)]
pub struct Ask {
    /// The consumer's identity and sealing key.
    pub consumer: OwnerPublic,
    /// Strictly increasing for this identity.
    pub sequence: u64,
    /// What it wants.
    pub operation: Operation,
}

/// Why a request was not taken. The asker learns nothing of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a request does not open, or is not what it should be")]
pub struct AskRefused;

impl From<Malformed> for AskRefused {
    fn from(_: Malformed) -> Self {
        Self
    }
}

impl From<sc_crypto::NotAuthentic> for AskRefused {
    fn from(_: sc_crypto::NotAuthentic) -> Self {
        Self
    }
}

impl Ask {
    /// Signs with `identity` and seals to `owner`; with `plain`, signs only. Returns the bytes and their hash, which the answer names.
    ///
    /// # Panics
    /// When it holds more than [`SUBSCRIPTIONS_PER_ASK_MAX`] subscriptions.
    pub fn seal(
        &self,
        identity: &OwnerSecret,
        owner: &OwnerPublic,
        plain: bool,
        entropy: &mut dyn Entropy,
    ) -> (Vec<u8>, [u8; 32]) {
        let domain = owner.domain_id();
        let mut signed = self.encode();
        let signature = identity
            .signing_key()
            .sign(&signed_part(&domain, owner, &signed));
        signed.extend_from_slice(&signature);
        let bytes = if plain {
            [&[PLAIN], &signed[..]].concat()
        } else {
            owner.seal(&context(&domain), &signed, entropy)
        };
        let hash = sha256(&bytes);
        (bytes, hash)
    }

    /// Opens and verifies a request for the domain of `owner`.
    ///
    /// # Errors
    /// [`AskRefused`], whatever is wrong with it; a plain request where `plain` is false, too.
    pub fn open(bytes: &[u8], owner: &OwnerSecret, plain: bool) -> Result<Self, AskRefused> {
        if bytes.len() > ASK_BYTES_MAX {
            return Err(AskRefused);
        }
        let public = owner.public();
        let domain = public.domain_id();
        let opened;
        let signed = match bytes.split_first() {
            Some((&PLAIN, rest)) if plain => rest,
            Some((&PLAIN, _)) => return Err(AskRefused),
            _ => {
                opened = owner.open(&context(&domain), bytes)?;
                &opened[..]
            }
        };
        let body_bytes = signed
            .len()
            .checked_sub(SIGNATURE_BYTES)
            .ok_or(AskRefused)?;
        let (body, signature) = signed.split_at(body_bytes);
        let ask = Self::decode(body)?;
        ask.identity()?
            .verify(&signed_part(&domain, public, body), signature)?;
        Ok(ask)
    }

    /// The Ed25519 key that signed it and that the consumer's link must have proved.
    ///
    /// # Errors
    /// [`AskRefused`] for an RSA key: consumers have none.
    pub fn identity(&self) -> Result<VerifyingKey, AskRefused> {
        self.consumer.identity_key().ok_or(AskRefused)
    }

    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut out = vec![VERSION];
        push_bytes(&mut out, &self.consumer.to_bytes());
        out.extend_from_slice(&self.sequence.to_le_bytes());
        match &self.operation {
            Operation::Subscribe {
                replace,
                retention_ms,
                remaining,
                subscriptions,
            } => {
                assert!(
                    subscriptions.len() <= SUBSCRIPTIONS_PER_ASK_MAX,
                    "requests are cut to size"
                );
                out.push(SUBSCRIBE);
                out.push(u8::from(*replace));
                out.extend_from_slice(&retention_ms.to_le_bytes());
                out.extend_from_slice(&remaining.to_le_bytes());
                out.extend_from_slice(&(subscriptions.len() as u32).to_le_bytes());
                for (id, subscription) in subscriptions {
                    out.extend_from_slice(&id.to_le_bytes());
                    push_bytes(&mut out, &encode_subscription(subscription));
                }
            }
            Operation::Unsubscribe { ids } => {
                out.push(UNSUBSCRIBE);
                out.extend_from_slice(&(ids.len() as u32).to_le_bytes());
                ids.iter()
                    .for_each(|id| out.extend_from_slice(&id.to_le_bytes()));
            }
            Operation::Renew => out.push(RENEW),
            Operation::Publish { floor } => {
                out.push(PUBLISH);
                out.extend_from_slice(&floor.start.to_le_bytes());
                out.extend_from_slice(&floor.number.to_le_bytes());
            }
        }
        out
    }

    pub(crate) fn decode(bytes: &[u8]) -> Result<Self, AskRefused> {
        let mut reader = Reader::new(bytes);
        if reader.u8()? != VERSION {
            return Err(AskRefused);
        }
        let consumer = OwnerPublic::from_bytes(reader.bytes()?).map_err(|_| AskRefused)?;
        let sequence = reader.u64()?;
        let operation = match reader.u8()? {
            SUBSCRIBE => decode_subscribe(&mut reader)?,
            UNSUBSCRIBE => {
                let count = reader.count(8)?;
                Operation::Unsubscribe {
                    ids: (0..count).map(|_| reader.u64()).collect::<Result<_, _>>()?,
                }
            }
            RENEW => Operation::Renew,
            PUBLISH => Operation::Publish {
                floor: Origin::read(&mut reader)?,
            },
            _ => return Err(AskRefused),
        };
        reader.end()?;
        Ok(Self {
            consumer,
            sequence,
            operation,
        })
    }
}

fn decode_subscribe(reader: &mut Reader<'_>) -> Result<Operation, AskRefused> {
    let replace = match reader.u8()? {
        0 => false,
        1 => true,
        _ => return Err(AskRefused),
    };
    let retention_ms = reader.u64()?;
    let remaining = reader.u32()?;
    let count = reader.count(12)?;
    if count > SUBSCRIPTIONS_PER_ASK_MAX {
        return Err(AskRefused);
    }
    let mut subscriptions = Vec::with_capacity(count);
    for _ in 0..count {
        let id = reader.u64()?;
        let subscription = decode_subscription(reader.bytes()?).map_err(|_| AskRefused)?;
        subscriptions.push((id, subscription));
    }
    Ok(Operation::Subscribe {
        replace,
        retention_ms,
        remaining,
        subscriptions,
    })
}

fn signed_part(domain: &DomainId, owner: &OwnerPublic, body: &[u8]) -> Transcript {
    Transcript::new("ask")
        .bytes(domain.as_bytes())
        .bytes(&owner.to_bytes())
        .bytes(body)
}

fn context(domain: &DomainId) -> Vec<u8> {
    Transcript::new("ask seal")
        .bytes(domain.as_bytes())
        .finish()
}

#[cfg(test)]
mod tests {
    use sc_matching::{Constraint, Name, Predicate, Text, Value};

    use super::*;

    /// A subscription whose text has `bytes` bytes.
    fn subscription(bytes: usize) -> Subscription {
        let text = Text::new(&"x".repeat(bytes)).unwrap();
        let predicate = Predicate::Equal(Value::Text(text));
        let constraint = Constraint::new(Name::new("a").unwrap(), predicate).unwrap();
        Subscription::new([constraint]).unwrap()
    }

    #[test]
    fn portions_keep_both_bounds_and_all_subscriptions_in_order() {
        for (count, bytes) in [
            (0, 1),
            (1, 60_000),
            (2500, 1),
            (1000, 1),
            (50, 60_000),
            (9, 40_000),
        ] {
            let all: Vec<_> = (0..count).map(|id| (id, subscription(bytes))).collect();

            let portions = portions(&all);

            assert_eq!(portions.concat(), all);
            for portion in &portions {
                let length: usize = portion
                    .iter()
                    .map(|(_, subscription)| 12 + encode_subscription(subscription).len())
                    .sum();
                assert!(portion.len() <= SUBSCRIPTIONS_PER_ASK_MAX);
                assert!(length <= PORTION_BYTES_MAX);
                assert!(!portion.is_empty() || count == 0);
            }
        }
    }
}
