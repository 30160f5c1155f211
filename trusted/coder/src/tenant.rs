//! A tenant: an owner's roots, its time and its void certificates; and the tickets of its sessions.
//!
//! Invariant: time never goes back; a ticket opens under a root of its own tenant alone.

use std::collections::BTreeSet;
use std::sync::{Mutex, MutexGuard};

use bytes::Bytes;
use prost::Message as _;
use sc_crypto::{Entropy, Nonce, SealingKeyPair, Secret, SigningKey, Transcript, VerifyingKey};
use sc_proto::coder::refusal::Reason;
use sc_proto::{coder, storage};

use crate::certificate::{self, Grant};
use crate::refused::{Refused, array};
use crate::roots::{CoderRoots, tenant_id};
use crate::session::{SessionKeys, grant_key};
use crate::{keys, open_session_context};

/// Void certificates of one tenant that are kept.
const REVOKED_MAX: usize = 100_000;
const TICKET_ID_BYTES: usize = 16;

/// What the owner has said of the time and of certificates.
#[derive(Default)]
struct Word {
    time_ms: u64,
    revoked: BTreeSet<u64>,
}

pub(crate) struct Tenant {
    pub(crate) id: [u8; 32],
    pub(crate) roots: CoderRoots,
    owner: VerifyingKey,
    coder_keys: Vec<SealingKeyPair>,
    word: Mutex<Word>,
}

impl Tenant {
    pub(crate) fn new(owner: VerifyingKey, roots: CoderRoots) -> Self {
        let word = Word {
            time_ms: roots.time_ms,
            revoked: BTreeSet::new(),
        };
        Self {
            id: tenant_id(owner),
            coder_keys: roots.coder_keys(),
            roots,
            owner,
            word: Mutex::new(word),
        }
    }

    /// Takes over what the owner told the one that this one replaces.
    pub(crate) fn remember(&self, older: &Self) {
        let older = older.word();
        let mut word = self.word();
        word.time_ms = word.time_ms.max(older.time_ms);
        word.revoked.extend(&older.revoked);
    }

    fn word(&self) -> MutexGuard<'_, Word> {
        self.word.lock().expect("no holder of this lock panics")
    }

    /// Takes the owner's word of the time and of void certificates, unless it is older than what is known.
    pub(crate) fn advance(&self, advance: &coder::Advance) -> Result<u64, Refused> {
        self.owner
            .verify(&advance_transcript(&advance.body), &advance.signature)?;
        let body = coder::AdvanceBody::decode(advance.body.clone())?;
        if body.tenant[..] != self.id {
            return Err(Refused(Reason::NotAuthentic));
        }
        if body.revoked.len() > REVOKED_MAX {
            return Err(Refused::LIMIT);
        }
        let mut word = self.word();
        if body.time_ms < word.time_ms {
            return Err(Refused(Reason::Stale));
        }
        word.time_ms = body.time_ms;
        word.revoked = body.revoked.into_iter().collect();
        Ok(word.time_ms)
    }

    /// Opens a session for a client with a certificate of the owner's.
    pub(crate) fn open_session(
        &self,
        call: &coder::OpenSession,
        entropy: &mut dyn Entropy,
    ) -> Result<coder::Sealed, Refused> {
        let context = open_session_context(&self.id);
        let (pair, request) = self
            .coder_keys
            .iter()
            .find_map(|pair| {
                let opened = pair.open(&context, &[], &call.encapsulated, &call.ciphertext);
                opened.ok().map(|request| (pair, request))
            })
            .ok_or(Refused(Reason::NotAuthentic))?;
        let request = storage::SessionRequest::decode(&request[..])?;
        let (grant, body) = certificate::verify(self.owner, pair.public(), &request)?;
        self.check(&grant)?;

        let ticket = self.ticket(&body, entropy);
        let session = keys::session(self.roots.current(), &ticket);
        let reply = storage::SessionGrant {
            ticket: ticket.into(),
            session_key: Bytes::copy_from_slice(session.expose()),
            not_after_ms: grant.not_after_ms,
        };
        let mut salt = [0; 32];
        entropy.fill(&mut salt);
        let reply_secret = Secret::from_bytes(array(&request.reply_secret)?);
        let plain = sc_crypto::Plaintext::new(reply.encode_to_vec());
        Ok(grant_key(&reply_secret, &salt).seal_head(salt, &plain))
    }

    fn ticket(&self, certificate_body: &[u8], entropy: &mut dyn Entropy) -> Vec<u8> {
        let mut ticket = vec![0; TICKET_ID_BYTES];
        entropy.fill(&mut ticket);
        ticket.extend_from_slice(&self.roots.current_number().to_le_bytes());
        let key = keys::ticket(self.roots.current(), &ticket);
        key.seal(Nonce::ONCE, &self.id, certificate_body, &mut ticket);
        ticket
    }

    /// The keys and the grant of a session, from its ticket.
    pub(crate) fn session(&self, ticket: &[u8]) -> Result<(SessionKeys, Grant), Refused> {
        const HEAD_BYTES: usize = TICKET_ID_BYTES + 4;
        let (head, sealed) = ticket
            .split_at_checked(HEAD_BYTES)
            .ok_or(Refused::SESSION)?;
        let number = u32::from_le_bytes(*head.last_chunk().expect("split at 20"));
        let root = self.roots.numbered(number).ok_or(Refused::SESSION)?;
        let body = keys::ticket(root, head)
            .open(Nonce::ONCE, &self.id, sealed)
            .map_err(|_| Refused::SESSION)?;
        let grant = Grant::decode(&body)?;
        self.check(&grant)?;
        Ok((SessionKeys::new(&keys::session(root, ticket)), grant))
    }

    fn check(&self, grant: &Grant) -> Result<(), Refused> {
        let word = self.word();
        if grant.is_live(word.time_ms) && !word.revoked.contains(&grant.serial) {
            Ok(())
        } else {
            Err(Refused::SESSION)
        }
    }
}

fn advance_transcript(body: &[u8]) -> Transcript {
    Transcript::new("storage advance").bytes(body)
}

/// The owner's word of the time and of every certificate that is void; the owner's side.
#[must_use]
pub fn signed_advance(owner: &SigningKey, time_ms: u64, revoked: Vec<u64>) -> coder::Advance {
    let body = coder::AdvanceBody {
        tenant: Bytes::copy_from_slice(&tenant_id(owner.verifying_key())),
        time_ms,
        revoked,
    };
    let body = body.encode_to_vec();
    let signature = owner.sign(&advance_transcript(&body));
    coder::Advance {
        body: body.into(),
        signature: Bytes::copy_from_slice(&signature),
    }
}
