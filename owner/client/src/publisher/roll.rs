//! The roll of a publisher's consumers: who asked for what, who is admitted, until when; and the records that keep it.
//!
//! Invariant: a sequence number of an identity is taken at most once, across restarts, because the record of a request is on the disk
//! before anything comes of it. Strangers who are refused leave no trace here: only those who were admitted once are remembered.

use std::collections::{BTreeMap, BTreeSet};

use sc_cbr::{CONSUMERS_MAX, Reader};
use sc_crypto::{OwnerPublic, VerifyingKey};
use sc_matching::Subscription;

use crate::answer::Refusal;
use crate::ask::{Ask, Operation, portions};

const START: u8 = 1;
const SESSION: u8 = 2;
const TAKEN: u8 = 3;
const REVOKED: u8 = 4;
const UNLISTED: u8 = 5;

/// Identities that are remembered, more are refused; few in this crate's unit tests, which reach the bound.
const MEMBERS_MAX: usize = if cfg!(test) { 4 } else { CONSUMERS_MAX };

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

/// One identity that was admitted.
pub(crate) struct Member {
    pub(crate) public: OwnerPublic,
    pub(crate) sequence: u64,
    pub(crate) request: [u8; 32],
    pub(crate) lease_until_ms: u64,
    pub(crate) subscriptions: BTreeMap<u64, Subscription>,
    /// All that it has announced is here.
    pub(crate) whole: bool,
    /// A changed list has dropped it.
    unlisted: bool,
}

impl Member {
    /// Whether it has subscriptions that a program should hold at `time_ms`.
    pub(crate) fn is_live(&self, time_ms: u64) -> bool {
        !self.subscriptions.is_empty() && self.lease_until_ms > time_ms
    }
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
    /// An identity was revoked by name, whatever a list says.
    Revoked(VerifyingKey),
    /// A changed list names an identity no longer; a later one may name it again.
    Unlisted(VerifyingKey),
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
            Self::Unlisted(identity) => {
                out.push(UNLISTED);
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
            UNLISTED => Self::Unlisted(VerifyingKey::from_bytes(reader.array().ok()?)),
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
    revoked: BTreeSet<VerifyingKey>,
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
        let revoked = self.revoked.iter().copied().map(Record::Revoked);
        numbers
            .into_iter()
            .chain(
                self.members
                    .iter()
                    .flat_map(|(identity, member)| member_records(*identity, member)),
            )
            .chain(revoked.map(|record| record.encode()))
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
        if self.revoked.contains(identity) {
            return Err(Refusal::Revoked);
        }
        if !admission.admits(&ask.consumer) {
            let was_listed = member.is_some_and(|member| member.unlisted);
            return Err(if was_listed {
                Refusal::Revoked
            } else {
                Refusal::NotListed
            });
        }
        if member.is_none() && self.members.len() >= MEMBERS_MAX {
            return Err(Refusal::Quota);
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
                self.revoked.insert(*identity);
                self.drop_subscriptions(identity);
            }
            Record::Unlisted(identity) => {
                self.drop_subscriptions(identity);
                if let Some(member) = self.members.get_mut(identity) {
                    member.unlisted = true;
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

    fn drop_subscriptions(&mut self, identity: &VerifyingKey) {
        if let Some(member) = self.members.get_mut(identity) {
            member.subscriptions.clear();
        }
    }

    fn take(
        &mut self,
        identity: VerifyingKey,
        ask: &Ask,
        request: [u8; 32],
        lease_until_ms: Option<u64>,
    ) {
        if lease_until_ms.is_none() && !self.members.contains_key(&identity) {
            return;
        }
        let member = self.members.entry(identity).or_insert_with(|| Member {
            public: ask.consumer.clone(),
            sequence: 0,
            request,
            lease_until_ms: 0,
            subscriptions: BTreeMap::new(),
            whole: false,
            unlisted: false,
        });
        member.sequence = member.sequence.max(ask.sequence);
        let Some(until_ms) = lease_until_ms else {
            return;
        };
        member.public = ask.consumer.clone();
        member.unlisted = false;
        member.request = request;
        member.lease_until_ms = until_ms;
        match &ask.operation {
            Operation::Subscribe {
                replace,
                remaining,
                subscriptions,
                ..
            } => {
                if *replace {
                    member.subscriptions.clear();
                }
                member.whole = *remaining == 0;
                member.subscriptions.extend(subscriptions.iter().cloned());
            }
            Operation::Unsubscribe { ids } if ids.is_empty() => member.subscriptions.clear(),
            Operation::Unsubscribe { ids } => ids
                .iter()
                .for_each(|id| drop(member.subscriptions.remove(id))),
            Operation::Renew | Operation::Publish { .. } => {}
        }
    }

    /// Identities that are admitted but not by `admission`: those to drop when a list has changed.
    pub(crate) fn no_longer_listed(&self, admission: &Admission) -> Vec<VerifyingKey> {
        let dropped = |(_, member): &(&VerifyingKey, &Member)| {
            !member.unlisted && !admission.admits(&member.public)
        };
        self.members
            .iter()
            .filter(dropped)
            .map(|(identity, _)| *identity)
            .collect()
    }
}

fn member_records(identity: VerifyingKey, member: &Member) -> Vec<Vec<u8>> {
    let all: Vec<_> = member
        .subscriptions
        .iter()
        .map(|(id, subscription)| (*id, subscription.clone()))
        .collect();
    let lease_until_ms = Some(member.lease_until_ms).filter(|until| *until != 0);
    // What has not come counts as one more.
    let mut remaining = all.len() + usize::from(!member.whole);
    let mut records: Vec<_> = portions(&all)
        .into_iter()
        .map(|portion| {
            remaining -= portion.len();
            let operation = Operation::Subscribe {
                retention_ms: 0,
                replace: false,
                remaining: remaining as u32,
                subscriptions: portion.to_vec(),
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
    if member.unlisted {
        records.push(Record::Unlisted(identity).encode());
    }
    records
}

#[cfg(test)]
mod tests {
    use sc_crypto::{OwnerSecret, Secret};

    use super::*;

    fn ask(number: u8) -> Ask {
        Ask {
            consumer: OwnerSecret::from_seed(Secret::from_bytes([number; 32]))
                .public()
                .clone(),
            sequence: 1,
            operation: Operation::Renew,
        }
    }

    fn judge(roll: &Roll, ask: &Ask) -> Result<(), Refusal> {
        roll.judge(ask, &ask.identity().unwrap(), &Admission::Open, 10)
    }

    fn taken(ask: Ask, lease_until_ms: Option<u64>) -> Record {
        Record::Taken {
            ask: Box::new(ask),
            request: [0; 32],
            lease_until_ms,
        }
    }

    #[test]
    fn no_more_identities_are_remembered_than_the_bound() {
        let mut roll = Roll::default();
        for number in 1..=MEMBERS_MAX as u8 {
            assert_eq!(judge(&roll, &ask(number)), Ok(()));
            roll.apply(&taken(ask(number), Some(9)));
        }
        let again = Ask {
            sequence: 2,
            ..ask(1)
        };

        assert_eq!(judge(&roll, &ask(99)), Err(Refusal::Quota));
        assert_eq!(judge(&roll, &again), Ok(()));
    }

    #[test]
    fn a_refused_stranger_is_not_remembered_even_if_a_journal_names_it() {
        let mut roll = Roll::default();

        roll.apply(&taken(ask(1), None));

        assert_eq!(roll.members().count(), 0);
    }

    #[test]
    fn a_consumer_that_changes_its_sealing_key_is_judged_by_the_one_it_uses() {
        let listed = ask(1);
        let other = OwnerSecret::from_seed(Secret::from_bytes([2; 32]));
        let mut bytes = listed.consumer.to_bytes();
        let sealing = &other.public().to_bytes()[33..];
        bytes[33..].copy_from_slice(sealing);
        let changed = Ask {
            consumer: OwnerPublic::from_bytes(&bytes).unwrap(),
            sequence: 2,
            ..listed.clone()
        };
        let list = Admission::Listed([listed.consumer.fingerprint()].into());
        let mut roll = Roll::default();
        roll.apply(&taken(changed.clone(), Some(9)));
        roll.apply(&taken(
            Ask {
                sequence: 3,
                ..listed
            },
            Some(9),
        ));

        // The last accepted key counts; the other is another identity to the list.
        let identity = changed.identity().unwrap();
        assert!(roll.no_longer_listed(&list).is_empty());
        let late = Ask {
            sequence: 4,
            ..changed
        };
        assert_eq!(
            roll.judge(&late, &identity, &list, 10),
            Err(Refusal::NotListed)
        );
    }
}
