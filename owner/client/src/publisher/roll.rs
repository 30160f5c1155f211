//! The roll of a publisher: who asked for what, who is admitted, until when, who publishes besides the owner; and the records that keep it.
//!
//! Invariant: a sequence number of an identity is taken at most once, across restarts, because the record of a request is on the disk
//! before anything comes of it. Strangers who are refused leave no trace here: only those who were admitted once are remembered.

mod member;
mod record;

use std::collections::{BTreeMap, BTreeSet};

use sc_cbr::{CONSUMERS_MAX, PUBLISHERS_MAX};
use sc_crypto::{OwnerPublic, VerifyingKey};

pub(crate) use member::Member;
pub(crate) use record::Record;

use super::lists::{Admission, GrantList};
use super::roots::ROOTS_MAX;
use crate::answer::Refusal;
use crate::ask::{Ask, Operation};
use crate::outgoing::{Progress, later};

/// Identities that are remembered with what they hold, more are refused; few in this crate's unit tests, which reach the bound.
const MEMBERS_MAX: usize = if cfg!(test) { 4 } else { CONSUMERS_MAX };
/// Identities of which only the last sequence number is remembered.
const FORGOTTEN_MAX: usize = 4 * MEMBERS_MAX;
/// Identities that publish in the domain besides its owner.
pub(crate) const GRANTEES_MAX: usize = if cfg!(test) { 2 } else { PUBLISHERS_MAX };
/// One that publishes in the domain besides its owner.
struct Grantee {
    public: OwnerPublic,
    sequence: u64,
}

/// What a publisher remembers across restarts.
#[derive(Default)]
pub struct Roll {
    start: u64,
    session: u64,
    progress: Progress,
    members: BTreeMap<VerifyingKey, Member>,
    forgotten: BTreeMap<VerifyingKey, u64>,
    revoked: BTreeSet<VerifyingKey>,
    grantees: BTreeMap<VerifyingKey, Grantee>,
    /// The last start number given to one of them.
    granted_start: u64,
    /// The delivery roots of the last sessions, sealed to the owner.
    roots: BTreeMap<u64, Vec<u8>>,
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
        let numbers = [Record::Start(self.start), Record::Session(self.session)];
        let members = self
            .members
            .iter()
            .flat_map(|(identity, member)| member.records(*identity));
        let forgotten = self
            .forgotten
            .iter()
            .map(|(identity, sequence)| Record::Forgotten {
                identity: *identity,
                sequence: *sequence,
            });
        let revoked = self.revoked.iter().copied().map(Record::Revoked);
        let granted = self.grantees.values().map(|grantee| Record::Granted {
            ask: Box::new(Ask {
                consumer: grantee.public.clone(),
                sequence: grantee.sequence,
                operation: Operation::Renew,
            }),
            start: self.granted_start,
        });
        let roots = self.roots.iter().map(|(session, sealed)| Record::Root {
            session: *session,
            sealed: sealed.clone(),
        });
        numbers
            .into_iter()
            .map(|record| record.encode())
            .chain(self.progress.records())
            .chain(members)
            .chain(
                forgotten
                    .chain(revoked)
                    .chain(granted)
                    .chain(roots)
                    .map(|record| record.encode()),
            )
    }

    pub(crate) fn start(&self) -> u64 {
        self.start
    }

    pub(crate) fn session(&self) -> u64 {
        self.session
    }

    /// The delivery roots of the last sessions, sealed to the owner, by session.
    pub(super) fn roots(&self) -> impl Iterator<Item = (u64, &[u8])> {
        self.roots
            .iter()
            .map(|(session, sealed)| (*session, &sealed[..]))
    }

    pub(crate) fn progress(&self) -> &Progress {
        &self.progress
    }

    pub(crate) fn members(&self) -> impl Iterator<Item = (&VerifyingKey, &Member)> {
        self.members.iter()
    }

    pub(crate) fn member(&self, identity: &VerifyingKey) -> Option<&Member> {
        self.members.get(identity)
    }

    /// Whether a consumer was admitted, has not been dropped since and has a lease at `time_ms`.
    pub(crate) fn is_admitted(&self, identity: &VerifyingKey, time_ms: u64) -> bool {
        let member = self.members.get(identity);
        member.is_some_and(|member| !member.unlisted && member.lease_until_ms > time_ms)
            && !self.revoked.contains(identity)
    }

    /// Whether a consumer's lease had ended at `time_ms`, with subscriptions that it still held.
    pub(crate) fn has_lapsed(&self, identity: &VerifyingKey, time_ms: u64) -> bool {
        match self.members.get(identity) {
            Some(member) => !member.subscriptions.is_empty() && !member.is_live(time_ms),
            // What it held nobody knows any more.
            None => self.forgotten.contains_key(identity),
        }
    }

    /// Whether a consumer's request may be carried out. Nothing changes before [`Roll::apply`].
    pub(crate) fn judge(
        &self,
        ask: &Ask,
        identity: &VerifyingKey,
        admission: &Admission,
        quota: usize,
    ) -> Result<(), Refusal> {
        let member = self.members.get(identity);
        let last = member.map_or_else(
            || self.forgotten.get(identity).copied(),
            |member| Some(member.sequence),
        );
        if last.is_some_and(|last| ask.sequence <= last) {
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
            return Err(Refusal::Full);
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

    /// Whether another may publish; returns its start number. Nothing changes before [`Roll::apply`].
    pub(crate) fn judge_grant(
        &self,
        ask: &Ask,
        identity: &VerifyingKey,
        grants: &GrantList,
        wall_ms: u64,
    ) -> Result<u64, Refusal> {
        let known = self.grantees.get(identity);
        if known.is_some_and(|known| ask.sequence <= known.sequence) {
            return Err(Refusal::Sequence);
        }
        if !grants.names(&ask.consumer) {
            return Err(Refusal::NotGranted);
        }
        let listed = |grantee: &&Grantee| grants.names(&grantee.public);
        if known.is_none() && self.grantees.values().filter(listed).count() >= GRANTEES_MAX {
            return Err(Refusal::Full);
        }
        Ok(later(self.granted_start, wall_ms))
    }

    /// What is to be recorded when the roll is full: members that hold nothing any more, of whom the sequence number is kept.
    pub(crate) fn forgettable(&self, wall_ms: u64) -> Vec<Record> {
        let room = FORGOTTEN_MAX.saturating_sub(self.forgotten.len());
        self.members
            .iter()
            .filter(|(_, member)| member.is_forgettable(wall_ms))
            .take(room)
            .map(|(identity, member)| Record::Forgotten {
                identity: *identity,
                sequence: member.sequence,
            })
            .collect()
    }

    pub(crate) fn apply(&mut self, record: &Record) {
        match record {
            Record::Start(number) => self.start = *number,
            Record::Session(number) => self.session = *number,
            Record::Progress(step) => self.progress.apply(*step),
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
            Record::Granted { ask, start } => {
                if let Ok(identity) = ask.identity() {
                    self.grant(identity, ask, *start);
                }
            }
            Record::Lapsed(identity) => {
                if let Some(member) = self.members.get_mut(identity) {
                    member.lapsed = true;
                }
            }
            Record::Root { session, sealed } => {
                self.roots.insert(*session, sealed.clone());
                while self.roots.len() > ROOTS_MAX {
                    self.roots.pop_first();
                }
            }
            Record::Forgotten { identity, sequence } => {
                self.members.remove(identity);
                self.forgotten.insert(*identity, *sequence);
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
        self.forgotten.remove(&identity);
        let member = self
            .members
            .entry(identity)
            .or_insert_with(|| Member::new(ask.consumer.clone(), request));
        member.sequence = member.sequence.max(ask.sequence);
        if let Some(until_ms) = lease_until_ms {
            member.take(ask, request, until_ms);
        }
    }

    fn grant(&mut self, identity: VerifyingKey, ask: &Ask, start: u64) {
        self.granted_start = self.granted_start.max(start);
        let grantee = Grantee {
            public: ask.consumer.clone(),
            sequence: ask.sequence,
        };
        self.grantees.insert(identity, grantee);
    }

    /// Makes room for another that publishes: drops those that `grants` names no longer. Whatever they have asked before would be refused.
    pub(crate) fn drop_ungranted(&mut self, grants: &GrantList) {
        if self.grantees.len() >= GRANTEES_MAX {
            self.grantees
                .retain(|_, grantee| grants.names(&grantee.public));
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

        assert_eq!(judge(&roll, &ask(99)), Err(Refusal::Full));
        assert_eq!(judge(&roll, &again), Ok(()));
    }

    #[test]
    fn a_refused_stranger_is_not_remembered_even_if_a_journal_names_it() {
        let mut roll = Roll::default();

        roll.apply(&taken(ask(1), None));

        assert_eq!(roll.members().count(), 0);
    }

    /// Long after a lease until 9 has ended.
    const LATER_MS: u64 = 9 + 24 * 3600 * 1000 + 1;

    fn full() -> Roll {
        let mut roll = Roll::default();
        for number in 1..=MEMBERS_MAX as u8 {
            roll.apply(&taken(ask(number), Some(9)));
        }
        roll
    }

    #[test]
    fn a_full_roll_forgets_those_whose_lease_ended_long_ago_and_no_others() {
        let mut roll = full();
        assert_eq!(roll.forgettable(LATER_MS - 1).len(), 0);
        let again = Ask {
            sequence: 2,
            ..ask(1)
        };
        roll.apply(&taken(again, Some(LATER_MS)));

        let records = roll.forgettable(LATER_MS);
        records.iter().for_each(|record| roll.apply(record));

        assert_eq!(records.len(), MEMBERS_MAX - 1);
        assert_eq!(roll.members().count(), 1);
        assert_eq!(judge(&roll, &ask(99)), Ok(()));
    }

    #[test]
    fn a_request_of_one_that_was_forgotten_is_not_taken_again() {
        let mut roll = full();
        for record in roll.forgettable(LATER_MS) {
            roll.apply(&record);
        }
        let records: Vec<_> = roll.records().collect();
        let roll = Roll::replay(&records).unwrap();
        let next = Ask {
            sequence: 2,
            ..ask(1)
        };

        assert_eq!(judge(&roll, &ask(1)), Err(Refusal::Sequence));
        assert_eq!(judge(&roll, &next), Ok(()));
    }

    #[test]
    fn no_more_sequence_numbers_are_kept_of_the_forgotten_than_the_bound() {
        let mut roll = Roll::default();
        for number in 0..FORGOTTEN_MAX + MEMBERS_MAX {
            roll.apply(&taken(ask(number as u8), Some(9)));
            for record in roll.forgettable(LATER_MS) {
                roll.apply(&record);
            }
        }

        assert_eq!(roll.forgotten.len(), FORGOTTEN_MAX);
        assert_eq!(roll.members().count(), MEMBERS_MAX);
        assert_eq!(judge(&roll, &ask(99)), Err(Refusal::Full));
    }

    fn judge_grant(roll: &Roll, ask: &Ask, grants: &GrantList) -> Result<u64, Refusal> {
        roll.judge_grant(ask, &ask.identity().unwrap(), grants, 0)
    }

    fn granted(roll: &mut Roll, number: u8, grants: &GrantList) -> u64 {
        let start = judge_grant(roll, &ask(number), grants).unwrap();
        roll.drop_ungranted(grants);
        roll.apply(&Record::Granted {
            ask: Box::new(ask(number)),
            start,
        });
        start
    }

    fn list(numbers: std::ops::RangeInclusive<u8>) -> GrantList {
        let lines: Vec<_> = numbers
            .map(|number| ask(number).consumer.fingerprint())
            .collect();
        GrantList::parse(&lines.join("\n")).unwrap()
    }

    #[test]
    fn start_numbers_of_those_that_publish_ascend_across_restarts() {
        let grants = list(1..=2);
        let mut roll = Roll::default();

        let first = granted(&mut roll, 1, &grants);
        let records: Vec<_> = roll.records().collect();
        let mut roll = Roll::replay(&records).unwrap();
        let second = granted(&mut roll, 2, &grants);

        assert!(first < second);
        assert_eq!(judge_grant(&roll, &ask(1), &grants), Err(Refusal::Sequence));
    }

    #[test]
    fn those_that_are_listed_no_longer_make_room_for_others_that_publish() {
        let everybody = list(1..=3);
        let mut roll = Roll::default();
        for number in 1..=GRANTEES_MAX as u8 {
            granted(&mut roll, number, &everybody);
        }
        assert_eq!(judge_grant(&roll, &ask(3), &everybody), Err(Refusal::Full));

        granted(&mut roll, 3, &list(2..=3));

        assert_eq!(roll.grantees.len(), GRANTEES_MAX);
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
