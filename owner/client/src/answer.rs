//! An owner's answer to a request: signed by the owner, sealed to the consumer.
//!
//! Invariant: a consumer takes delivery keys and session numbers from nowhere else, and only from an answer to a request of its own.

use sc_cbr::{Malformed, Origin, Reader, SlowPolicy, push_bytes};
use sc_crypto::{DomainId, Entropy, OwnerPublic, OwnerSecret, Secret, Transcript, VerifyingKey};
use zeroize::Zeroizing;

const VERSION: u8 = 1;
const PLAIN: u8 = 0;
const SIGNATURE_BYTES: usize = 64;
const GRANTED: u8 = 7;
/// Sessions before its own whose keys an admission brings along.
pub const EARLIER_SESSIONS_MAX: usize = 3;

/// What an owner decided.
pub enum Verdict {
    /// The consumer is admitted.
    Admitted {
        /// From which its notice keys come, in this session.
        delivery_key: Secret,
        /// Owner time, milliseconds since the Unix epoch, after which its subscriptions are dropped.
        lease_until_ms: u64,
        /// How long that is from now, in milliseconds: the consumer renews before, by its own clock.
        lease_ms: u64,
        /// What happens when it does not keep up.
        slow: SlowPolicy,
        /// How long the router keeps its notices while it is away, in milliseconds.
        retention_ms: u64,
        /// A heartbeat comes at least so often while the owner is there, in milliseconds.
        heartbeat_ms: u64,
        /// Its lease had ended before this request, with subscriptions that the program has dropped.
        lapsed: bool,
        /// The last origin of the owner's own batches that left in this session before this answer, and at least the session's floor.
        covered: Origin,
        /// Delivery keys of sessions before this one, ascending; at most [`EARLIER_SESSIONS_MAX`].
        earlier: Vec<(u64, Secret)>,
    },
    /// Whoever asked may publish in the owner's domain.
    Granted {
        /// Its start number in this session; its counter begins at 1.
        start: u64,
        /// From which the keys of its batches, receipts and payloads come.
        secret: Secret,
    },
    /// It is not.
    Refused(Refusal),
}

/// Why a consumer was not admitted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Refusal {
    /// Its fingerprint is not on the owner's list.
    #[error("the publisher's list does not name this identity: have its owner add the fingerprint")]
    NotListed,
    /// It would hold more subscriptions than the owner allows.
    #[error("more subscriptions than the publisher allows one consumer")]
    Quota,
    /// Its admission was withdrawn.
    #[error("the publisher has revoked this identity")]
    Revoked,
    /// The sequence number is not greater than the last: a replay, or a second program under the same identity.
    #[error(
        "the request's sequence number was used before: is another consumer running under this identity?"
    )]
    Sequence,
    /// The owner lets others publish, but not this identity.
    #[error(
        "the owner's list does not let this identity publish: have its owner add the fingerprint with --grant"
    )]
    NotGranted,
    /// The owner serves as many consumers as it can.
    #[error("the publisher serves as many consumers as it can")]
    Full,
}

/// One answer.
pub struct Answer {
    /// SHA-256 of the sealed request.
    pub request: [u8; 32],
    /// The session that the delivery key belongs to.
    pub session: u64,
    /// What was decided.
    pub verdict: Verdict,
}

/// An answer that does not open, or is not the owner's, or not for this consumer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("an answer does not open, or is not the owner's")]
pub struct AnswerRefused;

impl From<Malformed> for AnswerRefused {
    fn from(_: Malformed) -> Self {
        Self
    }
}

impl From<sc_crypto::NotAuthentic> for AnswerRefused {
    fn from(_: sc_crypto::NotAuthentic) -> Self {
        Self
    }
}

impl Answer {
    /// Signs as `owner` and seals to `consumer`; with `plain`, signs only.
    pub fn seal(
        &self,
        owner: &OwnerSecret,
        consumer: &OwnerPublic,
        plain: bool,
        entropy: &mut dyn Entropy,
    ) -> Vec<u8> {
        let domain = owner.public().domain_id();
        let mut signed = self.encode(owner);
        let signature = owner
            .signing_key()
            .sign(&signed_part(&domain, consumer, &signed));
        signed.extend_from_slice(&signature);
        if plain {
            [&[PLAIN], &signed[..]].concat()
        } else {
            consumer.seal(&context(&domain), &signed, entropy)
        }
    }

    /// Opens and verifies an answer of `owner` to `identity`.
    ///
    /// # Errors
    /// [`AnswerRefused`], whatever is wrong with it; a plain answer where `plain` is false, too.
    pub fn open(
        bytes: &[u8],
        owner: &OwnerPublic,
        identity: &OwnerSecret,
        plain: bool,
    ) -> Result<Self, AnswerRefused> {
        let (answer, _) = Self::open_signed(bytes, owner, identity, plain)?;
        Ok(answer)
    }

    /// The same, with the key that has signed it: the one under which the owner publishes.
    pub(crate) fn open_signed(
        bytes: &[u8],
        owner: &OwnerPublic,
        identity: &OwnerSecret,
        plain: bool,
    ) -> Result<(Self, VerifyingKey), AnswerRefused> {
        let domain = owner.domain_id();
        let opened;
        let signed = match bytes.split_first() {
            Some((&PLAIN, rest)) if plain => rest,
            Some((&PLAIN, _)) => return Err(AnswerRefused),
            _ => {
                opened = identity.open(&context(&domain), bytes)?;
                &opened[..]
            }
        };
        let body_bytes = signed
            .len()
            .checked_sub(SIGNATURE_BYTES)
            .ok_or(AnswerRefused)?;
        let (body, signature) = signed.split_at(body_bytes);
        let (answer, claimed, certificate) = Self::decode(body)?;
        let authority = owner.authority(certificate, claimed)?;
        authority.verify(&signed_part(&domain, identity.public(), body), signature)?;
        Ok((answer, claimed))
    }

    fn encode(&self, owner: &OwnerSecret) -> Zeroizing<Vec<u8>> {
        let mut out = Zeroizing::new(Vec::with_capacity(2048));
        out.push(VERSION);
        out.extend_from_slice(owner.signing_key().verifying_key().as_bytes());
        push_bytes(&mut out, &owner.certificate());
        out.extend_from_slice(&self.request);
        out.extend_from_slice(&self.session.to_le_bytes());
        match &self.verdict {
            Verdict::Admitted {
                delivery_key,
                lease_until_ms,
                lease_ms,
                slow,
                retention_ms,
                heartbeat_ms,
                lapsed,
                covered,
                earlier,
            } => {
                out.push(0);
                out.extend_from_slice(delivery_key.expose());
                out.extend_from_slice(&lease_until_ms.to_le_bytes());
                out.extend_from_slice(&lease_ms.to_le_bytes());
                out.push(slow.to_code());
                out.extend_from_slice(&retention_ms.to_le_bytes());
                out.extend_from_slice(&heartbeat_ms.to_le_bytes());
                out.push(u8::from(*lapsed));
                out.extend_from_slice(&covered.start.to_le_bytes());
                out.extend_from_slice(&covered.number.to_le_bytes());
                push_earlier(&mut out, earlier);
            }
            Verdict::Granted { start, secret } => {
                out.push(GRANTED);
                out.extend_from_slice(&start.to_le_bytes());
                out.extend_from_slice(secret.expose());
            }
            Verdict::Refused(refusal) => out.push(match refusal {
                Refusal::NotListed => 1,
                Refusal::Quota => 2,
                Refusal::Revoked => 3,
                Refusal::Sequence => 4,
                Refusal::NotGranted => 5,
                Refusal::Full => 6,
            }),
        }
        out
    }

    fn decode(body: &[u8]) -> Result<(Self, VerifyingKey, &[u8]), AnswerRefused> {
        let mut reader = Reader::new(body);
        reader.version(VERSION)?;
        let claimed = VerifyingKey::from_bytes(reader.array()?);
        let certificate = reader.bytes()?;
        let request = reader.array()?;
        let session = reader.u64()?;
        let verdict = match reader.u8()? {
            0 => Verdict::Admitted {
                delivery_key: Secret::from_bytes(reader.array()?),
                lease_until_ms: reader.u64()?,
                lease_ms: reader.u64()?,
                slow: SlowPolicy::from_code(reader.u8()?)?,
                retention_ms: reader.u64()?,
                heartbeat_ms: reader.u64()?,
                lapsed: read_flag(&mut reader)?,
                covered: Origin::read(&mut reader)?,
                earlier: read_earlier(&mut reader, session)?,
            },
            1 => Verdict::Refused(Refusal::NotListed),
            2 => Verdict::Refused(Refusal::Quota),
            3 => Verdict::Refused(Refusal::Revoked),
            4 => Verdict::Refused(Refusal::Sequence),
            5 => Verdict::Refused(Refusal::NotGranted),
            6 => Verdict::Refused(Refusal::Full),
            GRANTED => Verdict::Granted {
                start: reader.u64()?,
                secret: Secret::from_bytes(reader.array()?),
            },
            _ => return Err(AnswerRefused),
        };
        reader.end()?;
        Ok((
            Self {
                request,
                session,
                verdict,
            },
            claimed,
            certificate,
        ))
    }
}

fn push_earlier(out: &mut Vec<u8>, earlier: &[(u64, Secret)]) {
    assert!(
        earlier.len() <= EARLIER_SESSIONS_MAX,
        "an owner keeps the roots of no more sessions"
    );
    out.push(earlier.len() as u8);
    for (session, key) in earlier {
        out.extend_from_slice(&session.to_le_bytes());
        out.extend_from_slice(key.expose());
    }
}

fn read_flag(reader: &mut Reader<'_>) -> Result<bool, AnswerRefused> {
    match reader.u8()? {
        0 => Ok(false),
        1 => Ok(true),
        _ => Err(AnswerRefused),
    }
}

/// Keys of sessions that ascend and are all before `session`.
fn read_earlier(
    reader: &mut Reader<'_>,
    session: u64,
) -> Result<Vec<(u64, Secret)>, AnswerRefused> {
    let count = usize::from(reader.u8()?);
    if count > EARLIER_SESSIONS_MAX {
        return Err(AnswerRefused);
    }
    let mut earlier: Vec<(u64, Secret)> = Vec::with_capacity(count);
    for _ in 0..count {
        let number = reader.u64()?;
        let ascends = earlier.last().is_none_or(|(last, _)| *last < number);
        if !ascends || number >= session {
            return Err(AnswerRefused);
        }
        earlier.push((number, Secret::from_bytes(reader.array()?)));
    }
    Ok(earlier)
}

fn signed_part(domain: &DomainId, consumer: &OwnerPublic, body: &[u8]) -> Transcript {
    Transcript::new("answer")
        .bytes(domain.as_bytes())
        .bytes(&consumer.to_bytes())
        .bytes(body)
}

fn context(domain: &DomainId) -> Vec<u8> {
    Transcript::new("answer seal")
        .bytes(domain.as_bytes())
        .finish()
}
