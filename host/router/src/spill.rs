//! Notices of slow or absent consumers, kept on the host's disk.
//!
//! [`Spill`] is a handle: one thread owns the folder, takes commands in order and answers with [`SpillEvent`]s. All mailboxes share one
//! log of segment files, so that a group of notices to many consumers costs one write and one sync.
//! Invariant: what was reported as stored is found again after a crash until it is trimmed or discarded; a notice that was trimmed may
//! come back after a crash, which its consumer sees by its counter.
//! Source: docs/FORMATS.md, "Spill".

#[cfg(test)]
mod agreement;
mod copying;
mod entry;
mod log;
mod mailbox;
mod medium;
mod recovery;
mod store;
#[cfg(test)]
mod trouble;
mod worker;

use std::collections::VecDeque;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc;
use std::thread::JoinHandle;

use bytes::Bytes;
use sc_transport::Frame;
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};

use self::entry::{Content, MAGIC};
use self::worker::Command;

/// Whose notices: a consumer in a domain.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MailboxId {
    /// The domain, by its id.
    pub domain: [u8; 32],
    /// The consumer's key.
    pub consumer: [u8; 32],
}

/// A notice as it is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    /// The session in which it was sealed.
    pub session: u64,
    /// Its number in the session.
    pub counter: u64,
    /// What goes to the consumer.
    pub frame: Frame,
}

/// Where notices are kept, and how many.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SpillSettings {
    /// The folder, made if it is not there; one process uses it.
    pub folder: PathBuf,
    /// What the notices of one domain may take, in bytes on the disk; the files take up to twice that and two segments.
    pub quota_bytes: u64,
    /// How long a file grows before the next one begins, in bytes; taken as at least 4 KiB and at most 256 MiB. 32 MiB is a good value:
    /// smaller ones mean more files, larger ones more copying.
    pub segment_bytes: u64,
}

/// What an earlier process has left of a mailbox.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Recovered {
    /// Whose.
    pub mailbox: MailboxId,
    /// How many records.
    pub records: u64,
    /// What they take on the disk, in bytes.
    pub bytes: u64,
    /// Session and counter of the first.
    pub first: (u64, u64),
    /// Session and counter of the last.
    pub last: (u64, u64),
}

/// Why the store cannot be opened.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SpillError {
    /// Another process holds the folder.
    #[error("{} is in use by another process: give each router a folder of its own", .0.display())]
    InUse(PathBuf),
    /// A file was written by another version.
    #[error("{} was written by another version: run that one until it is empty, or move the file away (its notices are then lost)", .0.display())]
    Version(PathBuf),
    /// The folder or a file in it cannot be used.
    #[error("{}: {source}", path.display())]
    Io {
        /// Folder or file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

/// Why a record was not stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum SpillFailure {
    /// The domain's quota has no room for it.
    Quota,
    /// The disk is full.
    Full,
    /// The disk fails.
    Io,
}

/// What the store has to say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SpillEvent {
    /// A record is safe on the disk.
    Stored {
        /// Whose.
        mailbox: MailboxId,
        /// As in [`Spill::append`].
        token: u64,
    },
    /// A record was not stored, and nothing that was appended to the mailbox after it will be, until [`Spill::discard`] or a
    /// [`Spill::trim`] after this event that leaves nothing of it. What was stored before stays.
    Failed {
        /// Whose.
        mailbox: MailboxId,
        /// As in [`Spill::append`].
        token: u64,
        /// Why.
        why: SpillFailure,
    },
    /// The answer to [`Spill::fetch`], one for each.
    Fetched {
        /// Whose.
        mailbox: MailboxId,
        /// In order; none if there was nothing unread that can be read.
        records: Vec<Record>,
        /// Whether there is more to fetch.
        more: bool,
    },
    /// A stored record cannot be read any more and is given up; told before the [`SpillEvent::Fetched`] that leaves it out.
    Lost {
        /// Whose.
        mailbox: MailboxId,
        /// Its session.
        session: u64,
        /// Its number.
        counter: u64,
    },
}

/// The records that the bytes of one segment hold, each with its number, trimmed ones as well; none if the bytes are no segment.
///
/// For tools that look into a folder which no router uses.
#[must_use]
pub fn records_of_segment(bytes: &Bytes) -> Vec<(MailboxId, u64, Record)> {
    let mut found = Vec::new();
    if bytes.starts_with(&MAGIC) {
        entry::scan(bytes, |_, _, entry| {
            if let Content::Record(record) = entry.content {
                found.push((entry.mailbox, entry.number, record));
            }
        });
    }
    found
}

/// The store's handle. Dropping it waits until everything appended is on the disk.
#[derive(Debug)]
pub struct Spill {
    /// Gone once the handle is dropped: that ends the thread.
    commands: Option<mpsc::Sender<Command>>,
    events: UnboundedReceiver<Vec<SpillEvent>>,
    ready: VecDeque<SpillEvent>,
    damaged: Arc<AtomicU64>,
    living: Arc<AtomicU64>,
    thread: Option<JoinHandle<()>>,
}

impl Spill {
    /// Opens the store, taking its folder for this process alone, and says what is in it, in the order of the mailboxes' ids.
    ///
    /// Reads all of it once. What a crash cut short is dropped; what is damaged is left out, counted and warned of.
    ///
    /// # Errors
    /// [`SpillError`].
    pub fn open(settings: SpillSettings) -> Result<(Self, Vec<Recovered>), SpillError> {
        let damaged = Arc::new(AtomicU64::new(0));
        let (commands, taken) = mpsc::channel();
        let (told, events) = unbounded_channel();
        let living = Arc::new(AtomicU64::new(0));
        let says = worker::Says {
            events: told,
            living: living.clone(),
        };
        let (recovered, thread) = worker::start(&settings, taken, says, damaged.clone())?;
        let spill = Self {
            commands: Some(commands),
            events,
            ready: VecDeque::new(),
            damaged,
            living,
            thread: Some(thread),
        };
        Ok((spill, recovered))
    }

    /// Stores a record behind the others of its mailbox; [`SpillEvent::Stored`] or [`SpillEvent::Failed`] follows, with `token`.
    ///
    /// Never blocks: the caller bounds what it has appended and not heard of.
    pub fn append(&mut self, mailbox: MailboxId, token: u64, record: Record) {
        self.command(Command::Append {
            mailbox,
            token,
            record,
        });
    }

    /// Reads the next records that were not read since the last [`rewind`](Self::rewind), as many as take `bytes_max` bytes on the
    /// disk and at least one; [`SpillEvent::Fetched`] follows.
    pub fn fetch(&mut self, mailbox: MailboxId, bytes_max: u64) {
        self.command(Command::Fetch { mailbox, bytes_max });
    }

    /// Lets the next fetch begin at the first record that was not trimmed.
    pub fn rewind(&mut self, mailbox: MailboxId) {
        self.command(Command::Rewind { mailbox });
    }

    /// Lets go of the records at the front of a mailbox up to (`session`, `counter`).
    pub fn trim(&mut self, mailbox: MailboxId, session: u64, counter: u64) {
        self.command(Command::Trim {
            mailbox,
            session,
            counter,
        });
    }

    /// Lets go of everything in a mailbox.
    pub fn discard(&mut self, mailbox: MailboxId) {
        self.command(Command::Discard { mailbox });
    }

    /// The next event. Cancel-safe: an event is never lost when the future is dropped.
    ///
    /// # Panics
    /// When the store's thread has panicked: what it would have stored is not safe.
    pub async fn next(&mut self) -> SpillEvent {
        loop {
            if let Some(event) = self.ready.pop_front() {
                return event;
            }
            let more = self.events.recv().await;
            self.ready
                .extend(more.expect("the thread ends after its handle"));
        }
    }

    /// The next event, if there is one.
    pub fn try_next(&mut self) -> Option<SpillEvent> {
        while self.ready.is_empty() {
            self.ready.extend(self.events.try_recv().ok()?);
        }
        self.ready.pop_front()
    }

    /// How many damaged records, or damaged ends of files, were met since the store was opened.
    #[must_use]
    pub fn damaged(&self) -> u64 {
        self.damaged.load(Ordering::Relaxed)
    }

    /// What the notices kept take on the disk, in bytes; the files take up to twice that and two segments. What was appended or trimmed
    /// since the last event may be missing.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.living.load(Ordering::Relaxed)
    }

    fn command(&mut self, command: Command) {
        // A failure means that the thread has panicked; `next` says so.
        let _ = self
            .commands
            .as_ref()
            .expect("gone only while the handle is dropped")
            .send(command);
    }
}

impl Drop for Spill {
    fn drop(&mut self) {
        self.commands = None;
        if let Some(thread) = self.thread.take() {
            // It has said on standard error why it panicked, if it did.
            let _ = thread.join();
        }
    }
}
