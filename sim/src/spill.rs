//! The router's disk for notices in virtual time: what the real store promises, and no more.
//!
//! Invariant: what was reported as stored is there after any crash until it is trimmed or discarded; what was trimmed may come back.
//! The real store is held to the same words by its own tests.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use sc_router::{MailboxId, Record, Recovered, SpillEvent, SpillFailure};
use sc_transport::Frame;

use crate::disk::Death;
use crate::random::Random;

/// What writing and syncing take at least, and what they may take more.
const SYNC: Duration = Duration::from_micros(300);
const SYNC_JITTER: Duration = Duration::from_millis(4);
/// What reading takes.
const READ: Duration = Duration::from_micros(100);

#[derive(Debug)]
struct Kept {
    /// Its place in the log that all mailboxes share.
    place: u64,
    record: Record,
}

#[derive(Debug, Default)]
struct Mailbox {
    records: VecDeque<Kept>,
    read: usize,
    /// Whether an append has failed: the others behind it do too.
    failed: bool,
    /// Trimmed, but a crash could bring it back.
    trimmed: Vec<Kept>,
}

impl Mailbox {
    fn recovered(&self, mailbox: MailboxId) -> Option<Recovered> {
        let of = |kept: &Kept| (kept.record.session, kept.record.counter);
        Some(Recovered {
            mailbox,
            records: self.records.len() as u64,
            bytes: self.records.iter().map(|kept| bytes(&kept.record)).sum(),
            first: of(self.records.front()?),
            last: of(self.records.back()?),
        })
    }
}

/// The store.
#[derive(Debug)]
pub(crate) struct SpillDisk {
    random: Random,
    mailboxes: BTreeMap<MailboxId, Mailbox>,
    last: u64,
    synced: u64,
    free: Duration,
    events: VecDeque<(u64, SpillEvent)>,
}

impl SpillDisk {
    pub(crate) fn new(random: Random) -> Self {
        Self {
            random,
            mailboxes: BTreeMap::new(),
            last: 0,
            synced: 0,
            free: Duration::ZERO,
            events: VecDeque::new(),
        }
    }

    /// Says that a record is stored that is not: a bug to plant.
    pub(crate) fn pretend(&mut self, now: Duration, mailbox: MailboxId, token: u64) -> Duration {
        self.say(now, SYNC, SpillEvent::Stored { mailbox, token })
    }

    /// Stores a record, unless the disk is `full`; returns when the next event is due.
    pub(crate) fn append(
        &mut self,
        now: Duration,
        mailbox: MailboxId,
        token: u64,
        record: Record,
        full: bool,
    ) -> Duration {
        let of = self.mailboxes.entry(mailbox).or_default();
        if full || of.failed {
            of.failed = true;
            let why = SpillFailure::Full;
            return self.say(
                now,
                SYNC,
                SpillEvent::Failed {
                    mailbox,
                    token,
                    why,
                },
            );
        }
        self.last += 1;
        of.records.push_back(Kept {
            place: self.last,
            record,
        });
        let took = self.random.time(SYNC, SYNC_JITTER);
        self.say(now, took, SpillEvent::Stored { mailbox, token })
    }

    /// Reads on; `backwards` is a bug to plant.
    pub(crate) fn fetch(
        &mut self,
        now: Duration,
        mailbox: MailboxId,
        bytes_max: u64,
        backwards: bool,
    ) -> Duration {
        let of = self.mailboxes.entry(mailbox).or_default();
        let mut records = Vec::new();
        let mut left = bytes_max;
        while let Some(kept) = of.records.get(of.read) {
            let cost = bytes(&kept.record);
            if !records.is_empty() && cost > left {
                break;
            }
            left = left.saturating_sub(cost);
            records.push(kept.record.clone());
            of.read += 1;
        }
        if backwards {
            records.reverse();
        }
        let more = of.read < of.records.len();
        self.say(
            now,
            READ,
            SpillEvent::Fetched {
                mailbox,
                records,
                more,
            },
        )
    }

    pub(crate) fn rewind(&mut self, mailbox: MailboxId) {
        if let Some(of) = self.mailboxes.get_mut(&mailbox) {
            of.read = 0;
        }
    }

    pub(crate) fn trim(&mut self, mailbox: MailboxId, session: u64, counter: u64) {
        let Some(of) = self.mailboxes.get_mut(&mailbox) else {
            return;
        };
        let is_old =
            |kept: &mut Kept| (kept.record.session, kept.record.counter) <= (session, counter);
        while let Some(kept) = of.records.pop_front_if(is_old) {
            of.read = of.read.saturating_sub(1);
            of.trimmed.push(kept);
        }
        of.failed &= !of.records.is_empty();
    }

    pub(crate) fn discard(&mut self, mailbox: MailboxId) {
        if let Some(of) = self.mailboxes.get_mut(&mailbox) {
            of.trimmed.extend(of.records.drain(..));
            of.read = 0;
            of.failed = false;
        }
    }

    /// What is due.
    pub(crate) fn next_event(&mut self) -> Option<SpillEvent> {
        let (place, event) = self.events.pop_front()?;
        if matches!(event, SpillEvent::Stored { .. }) {
            // Trims that were written before are on the disk with it.
            self.synced = self.synced.max(place);
            for mailbox in self.mailboxes.values_mut() {
                mailbox.trimmed.clear();
            }
        }
        Some(event)
    }

    /// The router has died: what was not synced may be lost, and what was trimmed may come back.
    pub(crate) fn die(&mut self, death: Death) -> Vec<Recovered> {
        self.events.clear();
        self.free = Duration::ZERO;
        let kept = match death {
            Death::Killed => self.last,
            Death::PowerLoss => {
                self.synced + self.random.below((self.last - self.synced + 1) as usize) as u64
            }
        };
        for mailbox in self.mailboxes.values_mut() {
            if self.random.chance(500) {
                for back in mailbox.trimmed.drain(..).rev() {
                    mailbox.records.push_front(back);
                }
            }
            mailbox.trimmed.clear();
            mailbox.records.retain(|record| record.place <= kept);
            (mailbox.read, mailbox.failed) = (0, false);
        }
        self.synced = self.last;
        self.recovered()
    }

    pub(crate) fn recovered(&self) -> Vec<Recovered> {
        let all = self.mailboxes.iter();
        all.filter_map(|(id, mailbox)| mailbox.recovered(*id))
            .collect()
    }

    /// Takes the records of one mailbox away behind everybody's back: what a hostile host does.
    pub(crate) fn steal(&mut self, victim: usize) -> usize {
        let mut full = self
            .mailboxes
            .values_mut()
            .filter(|mailbox| !mailbox.records.is_empty());
        full.nth(victim).map_or(0, |mailbox| {
            mailbox.read = 0;
            mailbox.records.drain(..).count()
        })
    }

    fn say(&mut self, now: Duration, took: Duration, event: SpillEvent) -> Duration {
        self.free = self.free.max(now) + took;
        self.events.push_back((self.last, event));
        self.free
    }
}

/// What a record takes on the disk.
fn bytes(record: &Record) -> u64 {
    let Frame { head, attachments } = &record.frame;
    64 + head.len() as u64
        + attachments
            .iter()
            .map(|part| part.len() as u64)
            .sum::<u64>()
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: MailboxId = MailboxId {
        domain: [1; 32],
        consumer: [2; 32],
    };

    fn record(counter: u64) -> Record {
        Record {
            session: 1,
            counter,
            frame: Frame {
                head: vec![counter as u8].into(),
                attachments: Vec::new(),
            },
        }
    }

    fn filled(count: u64, synced: u64) -> SpillDisk {
        let mut disk = SpillDisk::new(Random::new(1, "spill", 0));
        for counter in 1..=count {
            disk.append(Duration::ZERO, ID, counter, record(counter), false);
        }
        (0..synced).for_each(|_| drop(disk.next_event()));
        disk
    }

    fn counters(disk: &mut SpillDisk) -> Vec<u64> {
        disk.rewind(ID);
        disk.events.clear();
        disk.fetch(Duration::ZERO, ID, u64::MAX, false);
        match disk.next_event() {
            Some(SpillEvent::Fetched { records, .. }) => {
                records.iter().map(|record| record.counter).collect()
            }
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn what_was_stored_outlives_a_power_loss_and_what_was_not_may_not() {
        let mut disk = filled(8, 3);

        disk.die(Death::PowerLoss);

        let left = counters(&mut disk);
        assert!(left.starts_with(&[1, 2, 3]), "{left:?}");
    }

    #[test]
    fn what_was_trimmed_may_come_back_at_the_front() {
        let mut disk = filled(4, 4);
        disk.trim(ID, 1, 2);
        assert_eq!(counters(&mut disk), [3, 4]);

        disk.die(Death::Killed);

        let left = counters(&mut disk);
        assert!(left == [3, 4] || left == [1, 2, 3, 4], "{left:?}");
    }

    #[test]
    fn a_full_disk_fails_everything_behind_it_until_the_mailbox_is_empty() {
        let mut disk = filled(1, 1);
        disk.append(Duration::ZERO, ID, 2, record(2), true);
        disk.append(Duration::ZERO, ID, 3, record(3), false);
        for token in [2, 3] {
            let failed = matches!(disk.next_event(), Some(SpillEvent::Failed { token: of, .. }) if of == token);
            assert!(failed);
        }

        disk.trim(ID, 1, 1);
        disk.append(Duration::ZERO, ID, 4, record(4), false);

        assert_eq!(counters(&mut disk), [4]);
    }
}
