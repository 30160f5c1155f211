//! Small fragments, packed in an embedded engine.
//!
//! One thread writes. It takes what has gathered while it was busy as one group, and makes the group durable with one sync, so that many
//! puts cost as much as one; each is answered after the sync of its group. A second thread reclaims the space of what was deleted.
//! Invariant: what can be read is durable, because the engine shows a group only after its sync; and the record of usage is of the same
//! group as what it counts.
//! Source: docs/FORMATS.md, "Storage locations".

mod reclaim;

use std::fmt;
use std::ops::Bound;
use std::path::Path;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use bytes::Bytes;
use fjall::{
    Database, Keyspace, KeyspaceCreateOptions, KvSeparationOptions, OwnedWriteBatch, PersistMode,
    Slice,
};
use tokio::sync::{mpsc, oneshot};

use self::reclaim::Reclaim;
use super::Room;
use super::files::Files;
use super::names::Held;
use crate::{BackendError, FragmentName, Listed};

/// Longest fragment that is packed, in bytes. Above it, a file's two syncs and its directory entry are cheap beside its own bytes.
pub(super) const PACKED_BYTES_MAX: usize = 64 * 1024;

/// Most writes that one sync covers; 16 MiB of the longest.
const GROUP_MAX: usize = 256;
/// After a group of so many writes, several and few, further ones are waited for
const FEW: std::ops::RangeInclusive<usize> = 2..=8;
/// for so long: a sync costs as much processor time as some ten writes, and several locations on one machine have one processor.
const LINGER: Duration = Duration::from_micros(400);
/// Most writes that wait for the thread; more callers wait outside, holding their own bodies.
const WAITING_MAX: usize = 512;

/// Values from here on lie outside the tree, in bytes. Compaction then moves names and places instead of bodies, about ten times less;
/// shorter bodies are not worth the second read.
const SEPARATION_BYTES: u32 = 512;
/// Share of dead bytes from which a file of bodies is written anew.
const STALE_SHARE: f32 = 0.25;
/// What the engine's journals may take, in bytes, and one of 64 MB more: as much is replayed after a crash.
const JOURNAL_BYTES_MAX: u64 = 128 * 1024 * 1024;
const ENGINE_THREADS: usize = 2;

/// The first byte of a name is a letter or digit, so that this is before all, and [`USAGE`] is no name.
const FIRST_NAME: &[u8] = b"0";
const USAGE: &[u8] = b"!usage";

/// Small fragments. Reads are done by the caller's thread.
pub(super) struct Packed {
    tree: Keyspace,
    /// Gone once this is dropped: that ends the thread.
    commands: Option<mpsc::Sender<Command>>,
    counts: Arc<super::Counts>,
    thread: Option<JoinHandle<()>>,
}

/// A write, and who waits for it. The name is held until it is answered.
enum Command {
    Put {
        held: Held,
        body: Bytes,
        reply: oneshot::Sender<Result<(), BackendError>>,
    },
    Delete {
        held: Held,
        reply: oneshot::Sender<Result<bool, BackendError>>,
    },
}

impl Packed {
    /// Opens or makes the engine in `folder`. Names that are in `files` are taken.
    pub(super) fn open(
        folder: &Path,
        cache_bytes: u64,
        files: Arc<Files>,
        room: Room,
    ) -> fjall::Result<Self> {
        let database = Database::builder(folder)
            .cache_size(cache_bytes)
            .max_journaling_size(JOURNAL_BYTES_MAX)
            .worker_threads(ENGINE_THREADS)
            .open()?;
        let tree = database.keyspace("fragments", options)?;
        let tally = Tally::read(&tree)?;
        let counts = Arc::new(super::Counts::default());
        counts.set(tally.fragments, tally.bytes);
        let (commands, taken) = mpsc::channel(WAITING_MAX);
        let reclaim = Reclaim::start(tree.clone(), tally.dead, tally.bytes);
        let writer = Writer {
            reclaim: reclaim.map_err(fjall::Error::Io)?,
            database,
            tree: tree.clone(),
            files,
            room,
            tally,
            counts: counts.clone(),
        };
        let thread = std::thread::Builder::new()
            .name("sc-packed".to_owned())
            .spawn(move || writer.run(taken))
            .map_err(fjall::Error::Io)?;
        Ok(Self {
            tree,
            commands: Some(commands),
            counts,
            thread: Some(thread),
        })
    }

    pub(super) fn counts(&self) -> &super::Counts {
        &self.counts
    }

    /// The body under a name, if it is here.
    pub(super) fn get(&self, name: &FragmentName) -> Result<Option<Bytes>, BackendError> {
        let found = self.tree.get(name.as_str()).map_err(failed)?;
        Ok(found.map(Bytes::from))
    }

    /// How long the fragment is, in bytes, if it is here.
    pub(super) fn length(&self, name: &FragmentName) -> Result<Option<u64>, BackendError> {
        let found = self.tree.size_of(name.as_str()).map_err(failed)?;
        Ok(found.map(u64::from))
    }

    /// At most `limit` fragments above `after`, ascending; fewer if there are no more.
    pub(super) fn list(
        &self,
        after: Option<&FragmentName>,
        limit: usize,
    ) -> Result<Vec<Listed>, BackendError> {
        let from = match after {
            Some(name) => Bound::Excluded(name.as_str().as_bytes()),
            None => Bound::Included(FIRST_NAME),
        };
        let mut listed = Vec::new();
        for entry in self.tree.range::<&[u8], _>((from, Bound::Unbounded)) {
            if listed.len() == limit {
                break;
            }
            let name = parse(&entry.key().map_err(failed)?)?;
            // It may have been deleted since the range was opened.
            if let Some(bytes) = self.length(&name)? {
                listed.push(Listed { name, bytes });
            }
        }
        Ok(listed)
    }

    /// Stores a fragment; durable when it resolves.
    pub(super) async fn put(&self, held: Held, body: Bytes) -> Result<(), BackendError> {
        let (reply, answer) = oneshot::channel();
        self.command(Command::Put { held, body, reply }, answer)
            .await
    }

    /// Deletes a fragment; durable when it resolves. `false` if it is not here.
    pub(super) async fn delete(&self, held: Held) -> Result<bool, BackendError> {
        let (reply, answer) = oneshot::channel();
        self.command(Command::Delete { held, reply }, answer).await
    }

    async fn command<T>(
        &self,
        command: Command,
        answer: oneshot::Receiver<Result<T, BackendError>>,
    ) -> Result<T, BackendError> {
        let commands = self.commands.as_ref().expect("gone only while dropped");
        // The thread is gone only if it has panicked; then the answer is missing as well.
        let _ = commands.send(command).await;
        answer.await.unwrap_or_else(|_| Err(gone()))
    }
}

impl fmt::Debug for Packed {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("Packed")
            .field("counts", &self.counts)
            .finish_non_exhaustive()
    }
}

impl Drop for Packed {
    fn drop(&mut self) {
        self.commands = None;
        if let Some(thread) = self.thread.take() {
            // It has said on standard error why it panicked, if it did.
            let _ = thread.join();
        }
    }
}

fn options() -> KeyspaceCreateOptions {
    let separation = KvSeparationOptions::default()
        .separation_threshold(SEPARATION_BYTES)
        .staleness_threshold(STALE_SHARE)
        .age_cutoff(1.0);
    KeyspaceCreateOptions::default().with_kv_separation(Some(separation))
}

fn parse(key: &[u8]) -> Result<FragmentName, BackendError> {
    std::str::from_utf8(key)
        .ok()
        .and_then(|text| FragmentName::new(text).ok())
        .ok_or_else(|| BackendError::Corrupt("a packed fragment has no valid name".to_owned()))
}

fn gone() -> BackendError {
    BackendError::Unavailable("the writer of packed fragments has ended".to_owned())
}

/// Who must act on a failure of the engine.
fn failed(error: fjall::Error) -> BackendError {
    use fjall::{Error, LsmError};
    match error {
        Error::Io(error) | Error::Storage(LsmError::Io(error)) => {
            BackendError::of_io("packed fragments", &error)
        }
        Error::Poisoned => BackendError::Unavailable(
            "a write of packed fragments has failed before: look at the disk, then start anew"
                .to_owned(),
        ),
        error => BackendError::Corrupt(format!("packed fragments: {error:?}")),
    }
}

/// What is packed, and how much of it is dead, as the engine keeps it with every group.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Tally {
    fragments: u64,
    bytes: u64,
    /// Bytes deleted and not reclaimed, about; [`Reclaim`] knows better while it works.
    dead: u64,
}

impl Tally {
    fn read(tree: &Keyspace) -> fjall::Result<Self> {
        let Some(value) = tree.get(USAGE)? else {
            return Ok(Self::default());
        };
        let mut numbers = value.as_chunks::<8>().0.iter().copied();
        let mut next = || numbers.next().map_or(0, u64::from_le_bytes);
        Ok(Self {
            fragments: next(),
            bytes: next(),
            dead: next(),
        })
    }

    fn value(self) -> Vec<u8> {
        [self.fragments, self.bytes, self.dead]
            .map(u64::to_le_bytes)
            .concat()
    }

    fn add(&mut self, bytes: u64) {
        self.fragments += 1;
        self.bytes += bytes;
    }

    fn remove(&mut self, bytes: u64) {
        self.fragments = self.fragments.saturating_sub(1);
        self.bytes = self.bytes.saturating_sub(bytes);
        self.dead += bytes;
    }
}

/// The thread that writes.
struct Writer {
    /// The first to be dropped, since it works on the engine.
    reclaim: Reclaim,
    database: Database,
    tree: Keyspace,
    files: Arc<Files>,
    room: Room,
    tally: Tally,
    counts: Arc<super::Counts>,
}

impl Writer {
    fn run(mut self, mut taken: mpsc::Receiver<Command>) {
        let mut group = Vec::with_capacity(GROUP_MAX);
        let mut before = 0;
        while taken.blocking_recv_many(&mut group, GROUP_MAX) > 0 {
            if FEW.contains(&before) {
                std::thread::sleep(LINGER);
                while group.len() < GROUP_MAX
                    && let Ok(command) = taken.try_recv()
                {
                    group.push(command);
                }
            }
            before = group.len();
            self.write(group.drain(..));
        }
    }

    /// Writes a group, syncs it once, and answers.
    fn write(&mut self, group: impl Iterator<Item = Command>) {
        let mut batch = self.database.batch().durability(Some(PersistMode::SyncAll));
        let dead = self.reclaim.dead();
        let mut tally = Tally { dead, ..self.tally };
        let mut free = self.room.free();
        let answers: Vec<_> = group
            .map(|command| self.decide(command, &mut batch, &mut tally, &mut free))
            .collect();
        let mut written = Ok(());
        if !batch.is_empty() {
            batch.insert(&self.tree, USAGE, tally.value());
            written = batch.commit().map_err(failed);
        }
        match &written {
            Ok(()) => {
                self.tally = tally;
                self.counts.set(tally.fragments, tally.bytes);
                self.reclaim.note(tally.dead - dead, tally.bytes);
            }
            Err(error) => tracing::error!(%error, "packed fragments were not written"),
        }
        for answer in answers {
            answer.give(&written);
        }
    }

    /// Adds what `command` asks for to the batch. No name comes twice in a group, because it is held.
    fn decide(
        &self,
        command: Command,
        batch: &mut OwnedWriteBatch,
        tally: &mut Tally,
        free: &mut Result<u64, BackendError>,
    ) -> Answer {
        match command {
            Command::Put { held, body, reply } => {
                let result = self.admit(held.name(), &body, free).map(|new| {
                    if new {
                        // A copy, because the body may be a small part of a large buffer, and the engine keeps it for long.
                        batch.insert(&self.tree, held.name().as_str(), Slice::new(&body));
                        tally.add(body.len() as u64);
                    }
                });
                Answer::Put(held, reply, result)
            }
            Command::Delete { held, reply } => {
                let result = self.length(held.name()).map(|found| {
                    if let Some(bytes) = found {
                        batch.remove(&self.tree, held.name().as_str());
                        tally.remove(bytes);
                    }
                    found.is_some()
                });
                Answer::Delete(held, reply, result)
            }
        }
    }

    /// Whether the body is to be written: `false` if it is there already.
    fn admit(
        &self,
        name: &FragmentName,
        body: &Bytes,
        free: &mut Result<u64, BackendError>,
    ) -> Result<bool, BackendError> {
        let there = match self.tree.get(name.as_str()).map_err(failed)? {
            Some(there) => Some(*there == body[..]),
            None => self.files.holds(name, body)?,
        };
        match there {
            Some(true) => return Ok(false),
            Some(false) => return Err(BackendError::Exists),
            None => {}
        }
        let free = free.as_mut().map_err(|error| error.clone())?;
        let left = free.checked_sub(body.len() as u64);
        *free = left.ok_or_else(|| self.room.exhausted())?;
        Ok(true)
    }

    fn length(&self, name: &FragmentName) -> Result<Option<u64>, BackendError> {
        let found = self.tree.size_of(name.as_str()).map_err(failed)?;
        Ok(found.map(u64::from))
    }
}

/// What is told when the group is durable, or is not; then the name is let go.
enum Answer {
    Put(
        Held,
        oneshot::Sender<Result<(), BackendError>>,
        Result<(), BackendError>,
    ),
    Delete(
        Held,
        oneshot::Sender<Result<bool, BackendError>>,
        Result<bool, BackendError>,
    ),
}

impl Answer {
    /// Whoever has given up waiting is not told.
    fn give(self, written: &Result<(), BackendError>) {
        match self {
            Self::Put(held, reply, result) => {
                drop(held);
                let _ = reply.send(written.clone().and(result));
            }
            Self::Delete(held, reply, result) => {
                drop(held);
                let _ = reply.send(written.clone().and(result));
            }
        }
    }
}
