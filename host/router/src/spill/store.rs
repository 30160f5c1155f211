//! The store without its thread: commands in, events out, between them a log on a [`Medium`].
//!
//! Invariant: a record counts as stored after a sync that came after its write. Commands on one mailbox take effect in order, save that
//! a fetch also sees what was appended after it in the same batch.

use std::collections::{BTreeSet, HashMap};
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::copying::Copying;
use super::entry::{self, Content, ENTRY_MAX};
use super::log::Log;
use super::mailbox::{Mailbox, Name, Place};
use super::medium::Medium;
use super::{MailboxId, Record, SpillEvent, SpillFailure};

/// An append that was not answered yet.
#[derive(Debug)]
struct Pending {
    mailbox: MailboxId,
    token: u64,
    /// The record's ordinal, or why it was refused.
    outcome: Result<u64, SpillFailure>,
}

/// A reading that waits for the end of the batch.
#[derive(Debug)]
enum Read {
    Fetch { mailbox: MailboxId, bytes_max: u64 },
    Rewind { mailbox: MailboxId },
}

/// The store.
#[derive(Debug)]
pub(super) struct Store<M> {
    pub(super) log: Log<M>,
    pub(super) mailboxes: HashMap<MailboxId, Mailbox>,
    quota_bytes: u64,
    /// What lives of each domain, in bytes.
    domains: HashMap<[u8; 32], u64>,
    /// And of all, in bytes.
    living: u64,
    /// The greatest number that a record ever had.
    highest: u64,
    group: Vec<Pending>,
    reads: Vec<Read>,
    /// Mailboxes of which the log does not say yet what is gone.
    unmarked: BTreeSet<MailboxId>,
    pub(super) copying: Copying,
    damaged: Arc<AtomicU64>,
    events: Vec<SpillEvent>,
}

impl<M: Medium> Store<M> {
    /// A store of the mailboxes that were found in `log`, with the greatest number that occurs there.
    pub(super) fn new(
        log: Log<M>,
        mailboxes: HashMap<MailboxId, Mailbox>,
        highest: u64,
        quota_bytes: u64,
        damaged: Arc<AtomicU64>,
    ) -> Self {
        let mut domains = HashMap::<_, u64>::new();
        for (id, mailbox) in &mailboxes {
            *domains.entry(id.domain).or_default() += mailbox.bytes();
        }
        Self {
            log,
            mailboxes,
            quota_bytes,
            living: domains.values().sum(),
            domains,
            highest,
            group: Vec::new(),
            reads: Vec::new(),
            unmarked: BTreeSet::new(),
            copying: Copying::default(),
            damaged,
            events: Vec::new(),
        }
    }

    /// Takes a record; the answer comes with [`finish`](Self::finish).
    pub(super) fn append(&mut self, mailbox: MailboxId, token: u64, record: &Record) {
        let bytes = entry::record_bytes(record);
        if self.log.is_full_for(bytes) {
            self.commit();
        }
        let outcome = match self.refusal(&mailbox, bytes) {
            Some(why) => Err(why),
            None => self.write(mailbox, bytes, record).map_err(|error| {
                let why = failure(&error);
                self.abandon(why);
                why
            }),
        };
        if let Err(why) = outcome {
            self.mailboxes.entry(mailbox).or_default().failed = Some(why);
        }
        self.group.push(Pending {
            mailbox,
            token,
            outcome,
        });
    }

    fn refusal(&self, id: &MailboxId, bytes: u64) -> Option<SpillFailure> {
        if let Some(why) = self.mailboxes.get(id).and_then(|mailbox| mailbox.failed) {
            return Some(why);
        }
        let living = self.domains.get(&id.domain).copied().unwrap_or_default();
        let is_over = living.saturating_add(bytes) > self.quota_bytes || bytes > ENTRY_MAX as u64;
        is_over.then_some(SpillFailure::Quota)
    }

    fn write(&mut self, id: MailboxId, bytes: u64, record: &Record) -> io::Result<u64> {
        let mailbox = self.mailboxes.entry(id).or_default();
        let before = mailbox.last().map_or(self.highest, |last| last.number);
        let number = before.checked_add(1);
        let number = number.ok_or_else(|| io::Error::other("no number is left for a record"))?;
        let place = self.log.append(bytes, true, |out| {
            entry::push_record(out, &id, number, record);
        })?;
        self.highest = self.highest.max(number);
        *self.domains.entry(id.domain).or_default() += u64::from(place.length);
        self.living += u64::from(place.length);
        let name = Name {
            number,
            session: record.session,
            counter: record.counter,
        };
        Ok(mailbox.push(name, place))
    }

    /// Reads at the end of the batch.
    pub(super) fn fetch(&mut self, mailbox: MailboxId, bytes_max: u64) {
        self.reads.push(Read::Fetch { mailbox, bytes_max });
    }

    /// Counts every record as unread, in order with the fetches.
    pub(super) fn rewind(&mut self, mailbox: MailboxId) {
        self.reads.push(Read::Rewind { mailbox });
    }

    /// Lets go of the records at the front up to `position`, of those too that are not answered yet.
    pub(super) fn trim(&mut self, id: MailboxId, position: (u64, u64)) {
        self.let_go(id, |first| first.position() <= position);
    }

    /// Lets go of everything, once all that was asked before is done.
    pub(super) fn discard(&mut self, id: MailboxId) {
        self.commit();
        self.serve_reads();
        self.let_go(id, |_| true);
    }

    fn let_go(&mut self, id: MailboxId, goes: impl Fn(Name) -> bool) {
        let Some(mailbox) = self.mailboxes.get_mut(&id) else {
            return;
        };
        let mut freed = 0;
        while mailbox.first().is_some_and(&goes)
            && let Some(place) = mailbox.pop()
        {
            freed += u64::from(place.length);
            self.log.bury(place);
            self.unmarked.insert(id);
        }
        if mailbox.is_empty() {
            mailbox.failed = None;
        }
        self.free(&id, freed);
        self.forget_if_idle(&id);
    }

    /// What the records kept take on the disk, in bytes.
    pub(super) fn living(&self) -> u64 {
        self.living
    }

    fn free(&mut self, id: &MailboxId, bytes: u64) {
        if let Some(living) = self.domains.get_mut(&id.domain) {
            *living -= bytes;
            self.living -= bytes;
            if *living == 0 {
                self.domains.remove(&id.domain);
            }
        }
    }

    /// Forgets a mailbox of which nothing is on the disk and nothing has to be remembered.
    fn forget_if_idle(&mut self, id: &MailboxId) {
        if self
            .mailboxes
            .get(id)
            .is_some_and(|mailbox| is_idle(mailbox, &self.log))
        {
            self.mailboxes.remove(id);
            self.unmarked.remove(id);
        }
    }

    /// Ends the batch: everything taken is on the disk or refused, everything asked is read. Returns what there is to say.
    pub(super) fn finish(&mut self) -> Vec<SpillEvent> {
        self.commit();
        self.serve_reads();
        std::mem::take(&mut self.events)
    }

    fn commit(&mut self) {
        if self.group.is_empty() {
            return;
        }
        if let Err(error) = self.log.commit() {
            self.abandon(failure(&error));
            return;
        }
        self.copying.resume();
        for Pending {
            mailbox,
            token,
            outcome,
        } in self.group.drain(..)
        {
            self.events.push(match outcome {
                Ok(_) => SpillEvent::Stored { mailbox, token },
                Err(why) => SpillEvent::Failed {
                    mailbox,
                    token,
                    why,
                },
            });
        }
    }

    /// Takes back everything since the last commit.
    fn abandon(&mut self, why: SpillFailure) {
        tracing::warn!(
            records = self.group.len(),
            ?why,
            "notices cannot be put on the disk"
        );
        self.log.abandon();
        for Pending {
            mailbox: id,
            token,
            outcome,
        } in std::mem::take(&mut self.group)
        {
            let why = outcome.err().unwrap_or(why);
            let mailbox = self.mailboxes.entry(id).or_default();
            mailbox.failed = Some(why);
            let mut freed = 0;
            while let Some(place) = outcome.ok().and_then(|ordinal| mailbox.pop_back(ordinal)) {
                freed += u64::from(place.length);
                self.log.bury(place);
            }
            self.free(&id, freed);
            self.events.push(SpillEvent::Failed {
                mailbox: id,
                token,
                why,
            });
        }
    }

    fn serve_reads(&mut self) {
        for read in std::mem::take(&mut self.reads) {
            match read {
                Read::Fetch { mailbox, bytes_max } => self.serve_fetch(mailbox, bytes_max),
                Read::Rewind { mailbox } => {
                    if let Some(mailbox) = self.mailboxes.get_mut(&mailbox) {
                        mailbox.rewind();
                    }
                }
            }
        }
    }

    fn serve_fetch(&mut self, id: MailboxId, bytes_max: u64) {
        let mut records = Vec::new();
        let mut bytes = 0;
        let mut more = false;
        while let Some(place) = self.mailboxes.get(&id).and_then(Mailbox::unread) {
            bytes += u64::from(place.length);
            if bytes > bytes_max && !records.is_empty() {
                more = true;
                break;
            }
            records.extend(self.read_next(id));
        }
        self.events.push(SpillEvent::Fetched {
            mailbox: id,
            records,
            more,
        });
    }

    /// Reads the next unread record of a mailbox that has one; nothing if it is lost.
    fn read_next(&mut self, id: MailboxId) -> Option<Record> {
        let mailbox = self.mailboxes.get_mut(&id)?;
        let ordinal = mailbox.read()?;
        let (name, place) = (mailbox.name(ordinal)?, mailbox.place(ordinal)?);
        if place != Place::LOST {
            match self.log.read(place) {
                Ok(bytes) => match entry::decode(&bytes).map(|entry| entry.content) {
                    Some(Content::Record(record)) if name.is_of(&record) => return Some(record),
                    _ => self.lose(id, ordinal),
                },
                // It may be there again the next time.
                Err(error) => tracing::warn!(%error, "cannot read a notice back"),
            }
        }
        self.events.push(SpillEvent::Lost {
            mailbox: id,
            session: name.session,
            counter: name.counter,
        });
        None
    }

    /// Gives up a record whose bytes are damaged.
    pub(super) fn lose(&mut self, id: MailboxId, ordinal: u64) {
        let Some(mailbox) = self.mailboxes.get_mut(&id) else {
            return;
        };
        if let Some(place) = mailbox.place(ordinal) {
            tracing::warn!(
                segment = place.segment,
                at = place.offset,
                "a stored notice is damaged"
            );
            self.damaged.fetch_add(1, Ordering::Relaxed);
            mailbox.relocate(ordinal, Place::LOST);
            self.log.bury(place);
            self.free(&id, place.length.into());
        }
    }

    /// After a batch: deletes files, notes what is gone, copies a little of what lives. Whether there is more to copy.
    pub(super) fn tidy(&mut self) -> bool {
        self.reap();
        if let Err(error) = self.mark() {
            tracing::debug!(%error, "what is gone is noted later");
            self.log.abandon();
        }
        let more = self.copy_some();
        self.reap();
        more
    }

    /// Deletes files in which nothing lives. The marks in them are written again where they still say something.
    fn reap(&mut self) {
        let gone = self.log.reap();
        if gone.is_empty() {
            return;
        }
        for (id, mailbox) in &mut self.mailboxes {
            if mailbox.mark.is_some_and(|segment| gone.contains(&segment)) {
                mailbox.mark = None;
                self.unmarked.insert(*id);
            }
        }
        let log = &self.log;
        self.mailboxes.retain(|_, mailbox| !is_idle(mailbox, log));
    }

    /// Writes marks, without waiting for the disk: a notice that comes back after a crash is known to its consumer.
    fn mark(&mut self) -> io::Result<()> {
        while let Some(id) = self.unmarked.first().copied() {
            if let Some(mailbox) = self.mailboxes.get_mut(&id)
                && let Some(number) = mailbox.gone()
                && mailbox.reach.is_some_and(|reach| self.log.reaches(reach))
            {
                if self.log.is_full_for(entry::MARK_BYTES) {
                    self.log.write_lazily()?;
                }
                let place = self.log.append(entry::MARK_BYTES, false, |out| {
                    entry::push_mark(out, &id, number);
                })?;
                mailbox.mark = Some(place.segment);
            }
            self.unmarked.pop_first();
        }
        self.log.write_lazily()
    }
}

fn is_idle<M: Medium>(mailbox: &Mailbox, log: &Log<M>) -> bool {
    mailbox.is_empty()
        && mailbox.failed.is_none()
        && !mailbox.reach.is_some_and(|reach| log.reaches(reach))
}

pub(super) fn failure(error: &io::Error) -> SpillFailure {
    match error.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded | io::ErrorKind::FileTooLarge => {
            SpillFailure::Full
        }
        _ => SpillFailure::Io,
    }
}
