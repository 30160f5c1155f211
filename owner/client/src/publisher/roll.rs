//! The roll of a publisher's consumers: who asked for what, who is admitted, until when; and the records that keep it.
//!
//! Invariant: a sequence number of an identity is taken at most once, across restarts, because the record of a request is on the disk
//! before anything comes of it.

use std::collections::{BTreeMap, BTreeSet};

use sc_cbr::Reader;
use sc_crypto::{OwnerPublic, VerifyingKey};
use sc_matching::Subscription;

use crate::answer::Refusal;
use crate::ask::{Ask, Operation, SUBSCRIPTIONS_PER_ASK_MAX};

const START: u8 = 1;
const SESSION: u8 = 2;
const TAKEN: u8 = 3;
const REVOKED: u8 = 4;

/// Whom a publisher admits.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Admission {
    /// Anyone who asks.
    #[default]
    Open,
    /// The identities with these fingerprints.
    Listed(BTreeSet<String>),
}

impl Admission {
    /// Reads a list: one fingerprint a line, `#` begins a comment.
    ///
    /// # Errors
    /// The number of the first line, from 1, that is no fingerprint.
    pub fn parse(text: &str) -> Result<Self, usize> {
        let mut listed = BTreeSet::new();
        for (number, line) in text.lines().enumerate() {
            let entry = line.split('#').next().unwrap_or_default().trim();
            if entry.is_empty() {
                continue;
            }
            if !entry.starts_with("SHA256:") || entry.len() != "SHA256:".len() + 43 {
                return Err(number + 1);
            }
            listed.insert(entry.to_owned());
        }
        Ok(Self::Listed(listed))
    }

    fn admits(&self, identity: &OwnerPublic) -> bool {
        match self {
            Self::Open => true,
            Self::Listed(listed) => listed.contains(&identity.fingerprint()),
        }
    }
}

/// One identity that has asked.
pub(crate) struct Member {
    pub(crate) public: OwnerPublic,
    pub(crate) sequence: u64,
    pub(crate) request: [u8; 32],
    pub(crate) lease_until_ms: u64,
    pub(crate) subscriptions: BTreeMap<u64, Subscription>,
    pub(crate) revoked: bool,
}

/// One entry of a publisher's journal.
pub(crate) enum Record {
    /// The process has started for the `n`th time.
    Start(u64),
    /// A session number was used.
    Session(u64),
    /// A request was decided upon.
    Taken {
        ask: Box<Ask>,
        request: [u8; 32],
        lease_until_ms: Option<u64>,
    },
    /// An identity was revoked.
    Revoked(VerifyingKey),
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
            Self::Revoked(identity) => {
                out.push(REVOKED);
                out.extend_from_slice(identity.as_bytes());
            }
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
            _ => return None,
        })
    }
}

fn push_number(out: &mut Vec<u8>, kind: u8, number: u64) {
    out.push(kind);
    out.extend_from_slice(&number.to_le_bytes());
}

/// What a publisher remembers across restarts.
#[derive(Default)]
pub struct Roll {
    start: u64,
    session: u64,
    members: BTreeMap<VerifyingKey, Member>,
}

impl Roll {
    /// Rebuilds the roll from the records of a journal.
    ///
    /// # Errors
    /// The place of the first record that this version does not know.
    pub fn replay(records: &[Vec<u8>]) -> Result<Self, usize> {
        let mut roll = Self::default();
        for (place, bytes) in records.iter().enumerate() {
            roll.apply(&Record::decode(bytes).ok_or(place)?);
        }
        Ok(roll)
    }

    /// The fewest records from which the same roll is rebuilt.
    pub fn records(&self) -> impl Iterator<Item = Vec<u8>> + '_ {
        let numbers = [Record::Start(self.start), Record::Session(self.session)]
            .map(|record| record.encode());
        numbers.into_iter().chain(
            self.members
                .iter()
                .flat_map(|(identity, member)| member_records(*identity, member)),
        )
    }

    pub(crate) fn start(&self) -> u64 {
        self.start
    }

    pub(crate) fn session(&self) -> u64 {
        self.session
    }

    pub(crate) fn members(&self) -> impl Iterator<Item = (&VerifyingKey, &Member)> {
        self.members.iter()
    }

    pub(crate) fn member(&self, identity: &VerifyingKey) -> Option<&Member> {
        self.members.get(identity)
    }

    /// Whether a request may be carried out. Nothing changes before [`Roll::apply`].
    pub(crate) fn judge(
        &self,
        ask: &Ask,
        identity: &VerifyingKey,
        admission: &Admission,
        quota: usize,
    ) -> Result<(), Refusal> {
        let member = self.members.get(identity);
        if member.is_some_and(|member| ask.sequence <= member.sequence) {
            return Err(Refusal::Sequence);
        }
        if member.is_some_and(|member| member.revoked) {
            return Err(Refusal::Revoked);
        }
        if !admission.admits(&ask.consumer) {
            return Err(Refusal::NotListed);
        }
        if let Operation::Subscribe {
            replace,
            subscriptions,
            ..
        } = &ask.operation
        {
            let held = member
                .filter(|_| !replace)
                .map(|member| &member.subscriptions);
            let added = subscriptions
                .iter()
                .filter(|(id, _)| !held.is_some_and(|held| held.contains_key(id)))
                .count();
            if held.map_or(0, BTreeMap::len) + added > quota {
                return Err(Refusal::Quota);
            }
        }
        Ok(())
    }

    pub(crate) fn apply(&mut self, record: &Record) {
        match record {
            Record::Start(number) => self.start = *number,
            Record::Session(number) => self.session = *number,
            Record::Revoked(identity) => {
                if let Some(member) = self.members.get_mut(identity) {
                    member.revoked = true;
                    member.subscriptions.clear();
                }
            }
            Record::Taken {
                ask,
                request,
                lease_until_ms,
            } => {
                if let Ok(identity) = ask.identity() {
                    self.take(identity, ask, *request, *lease_until_ms);
                }
            }
        }
    }

    fn take(
        &mut self,
        identity: VerifyingKey,
        ask: &Ask,
        request: [u8; 32],
        lease_until_ms: Option<u64>,
    ) {
        let member = self.members.entry(identity).or_insert_with(|| Member {
            public: ask.consumer.clone(),
            sequence: 0,
            request,
            lease_until_ms: 0,
            subscriptions: BTreeMap::new(),
            revoked: false,
        });
        member.sequence = member.sequence.max(ask.sequence);
        let Some(until_ms) = lease_until_ms else {
            return;
        };
        member.request = request;
        member.lease_until_ms = until_ms;
        match &ask.operation {
            Operation::Subscribe {
                replace,
                subscriptions,
                ..
            } => {
                if *replace {
                    member.subscriptions.clear();
                }
                member.subscriptions.extend(subscriptions.iter().cloned());
            }
            Operation::Unsubscribe { ids } if ids.is_empty() => member.subscriptions.clear(),
            Operation::Unsubscribe { ids } => ids
                .iter()
                .for_each(|id| drop(member.subscriptions.remove(id))),
            Operation::Renew => {}
        }
    }

    /// Identities that are admitted but not by `admission`: those to revoke when a list has changed.
    pub(crate) fn no_longer_listed(&self, admission: &Admission) -> Vec<VerifyingKey> {
        let unlisted = |(_, member): &(&VerifyingKey, &Member)| {
            !member.revoked && !admission.admits(&member.public)
        };
        self.members
            .iter()
            .filter(unlisted)
            .map(|(identity, _)| *identity)
            .collect()
    }

    /// Forgets that identities were revoked which a changed list names again.
    pub(crate) fn reinstate(&mut self, admission: &Admission) {
        if let Admission::Listed(_) = admission {
            self.members
                .values_mut()
                .filter(|member| admission.admits(&member.public))
                .for_each(|member| member.revoked = false);
        }
    }
}

fn member_records(identity: VerifyingKey, member: &Member) -> Vec<Vec<u8>> {
    let all: Vec<_> = member
        .subscriptions
        .iter()
        .map(|(id, subscription)| (*id, subscription.clone()))
        .collect();
    let mut chunks: Vec<_> = all
        .chunks(SUBSCRIPTIONS_PER_ASK_MAX)
        .map(<[_]>::to_vec)
        .collect();
    if chunks.is_empty() {
        chunks.push(Vec::new());
    }
    let lease_until_ms = Some(member.lease_until_ms).filter(|until| *until != 0);
    let mut records: Vec<_> = chunks
        .into_iter()
        .map(|subscriptions| {
            let operation = Operation::Subscribe {
                replace: false,
                remaining: 0,
                subscriptions,
            };
            let ask = Ask {
                consumer: member.public.clone(),
                sequence: member.sequence,
                operation,
            };
            Record::Taken {
                ask: Box::new(ask),
                request: member.request,
                lease_until_ms,
            }
            .encode()
        })
        .collect();
    if member.revoked {
        records.push(Record::Revoked(identity).encode());
    }
    records
}
