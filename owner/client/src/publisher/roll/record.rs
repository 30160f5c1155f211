//! The records of a publisher's journal.

use sc_cbr::{Reader, push_bytes};
use sc_crypto::VerifyingKey;

use crate::ask::Ask;
use crate::outgoing::Step;

const START: u8 = 1;
const SESSION: u8 = 2;
const TAKEN: u8 = 3;
const REVOKED: u8 = 4;
const UNLISTED: u8 = 5;
const GRANTED: u8 = 9;
const FORGOTTEN: u8 = 10;
const ROOT: u8 = 12;
const LAPSED: u8 = 13;

/// One entry of a publisher's journal.
pub(crate) enum Record {
    /// The process has started under this number.
    Start(u64),
    /// A session number was used.
    Session(u64),
    /// A request was decided upon.
    Taken {
        ask: Box<Ask>,
        request: [u8; 32],
        lease_until_ms: Option<u64>,
    },
    /// An identity was revoked by name, whatever a list says.
    Revoked(VerifyingKey),
    /// A changed list names an identity no longer; a later one may name it again.
    Unlisted(VerifyingKey),
    /// Batches have come further.
    Progress(Step),
    /// Another may publish, under this start number.
    Granted { ask: Box<Ask>, start: u64 },
    /// An identity whose lease ended long ago is dropped; only its last sequence number is kept.
    Forgotten {
        identity: VerifyingKey,
        sequence: u64,
    },
    /// A session's delivery root, sealed to the owner.
    Root { session: u64, sealed: Vec<u8> },
    /// The lease of an identity had ended before its last request.
    Lapsed(VerifyingKey),
}

impl Record {
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut out = Vec::new();
        match self {
            Self::Start(number) => push_number(&mut out, START, *number),
            Self::Session(number) => push_number(&mut out, SESSION, *number),
            Self::Taken {
                ask,
                request,
                lease_until_ms,
            } => {
                push_number(&mut out, TAKEN, lease_until_ms.unwrap_or(0));
                out.extend_from_slice(request);
                out.extend_from_slice(&ask.encode());
            }
            Self::Revoked(identity) => push_key(&mut out, REVOKED, identity),
            Self::Unlisted(identity) => push_key(&mut out, UNLISTED, identity),
            Self::Progress(step) => out = step.encode(),
            Self::Granted { ask, start } => {
                push_number(&mut out, GRANTED, *start);
                out.extend_from_slice(&ask.encode());
            }
            Self::Forgotten { identity, sequence } => {
                push_key(&mut out, FORGOTTEN, identity);
                out.extend_from_slice(&sequence.to_le_bytes());
            }
            Self::Root { session, sealed } => {
                push_number(&mut out, ROOT, *session);
                push_bytes(&mut out, sealed);
            }
            Self::Lapsed(identity) => push_key(&mut out, LAPSED, identity),
        }
        out
    }

    pub(crate) fn decode(bytes: &[u8]) -> Option<Self> {
        let mut reader = Reader::new(bytes);
        Some(match reader.u8().ok()? {
            START => Self::Start(reader.u64().ok()?),
            SESSION => Self::Session(reader.u64().ok()?),
            TAKEN => {
                let lease_until_ms = Some(reader.u64().ok()?).filter(|until| *until != 0);
                let request = reader.array().ok()?;
                Self::Taken {
                    ask: Box::new(Ask::decode(reader.rest()).ok()?),
                    request,
                    lease_until_ms,
                }
            }
            REVOKED => Self::Revoked(VerifyingKey::from_bytes(reader.array().ok()?)),
            UNLISTED => Self::Unlisted(VerifyingKey::from_bytes(reader.array().ok()?)),
            GRANTED => Self::Granted {
                start: reader.u64().ok()?,
                ask: Box::new(Ask::decode(reader.rest()).ok()?),
            },
            FORGOTTEN => Self::Forgotten {
                identity: VerifyingKey::from_bytes(reader.array().ok()?),
                sequence: reader.u64().ok()?,
            },
            ROOT => Self::Root {
                session: reader.u64().ok()?,
                sealed: reader.bytes().ok()?.to_vec(),
            },
            LAPSED => Self::Lapsed(VerifyingKey::from_bytes(reader.array().ok()?)),
            _ => Self::Progress(Step::decode(bytes)?),
        })
    }
}

fn push_number(out: &mut Vec<u8>, kind: u8, number: u64) {
    out.push(kind);
    out.extend_from_slice(&number.to_le_bytes());
}

fn push_key(out: &mut Vec<u8>, kind: u8, identity: &VerifyingKey) {
    out.push(kind);
    out.extend_from_slice(identity.as_bytes());
}
