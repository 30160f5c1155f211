//! The thread that owns the folder: commands that came meanwhile make a batch, a batch is synced once.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, TryRecvError};
use std::thread::{self, JoinHandle};

use tokio::sync::mpsc::UnboundedSender;

use super::medium::{self, Folder};
use super::recovery::{RecoveryError, recover};
use super::store::Store;
use super::{MailboxId, Record, Recovered, SpillError, SpillEvent, SpillSettings};

/// A batch ends when it has so much to write and to read, in bytes: larger ones keep events waiting, smaller ones sync more often.
const GROUP_BYTES: u64 = 8 << 20;
/// What a command adds to a batch beside its frame, in bytes.
const COMMAND_BYTES: u64 = 128;

/// What the thread is asked to do.
#[derive(Debug)]
pub(super) enum Command {
    /// [`Spill::append`](super::Spill::append).
    Append {
        mailbox: MailboxId,
        token: u64,
        record: Record,
    },
    /// [`Spill::fetch`](super::Spill::fetch).
    Fetch { mailbox: MailboxId, bytes_max: u64 },
    /// [`Spill::rewind`](super::Spill::rewind).
    Rewind { mailbox: MailboxId },
    /// [`Spill::trim`](super::Spill::trim).
    Trim {
        mailbox: MailboxId,
        session: u64,
        counter: u64,
    },
    /// [`Spill::discard`](super::Spill::discard).
    Discard { mailbox: MailboxId },
}

/// What the thread tells the handle.
pub(super) struct Says {
    pub(super) events: UnboundedSender<Vec<SpillEvent>>,
    /// What lives on the disk, in bytes.
    pub(super) living: Arc<AtomicU64>,
}

/// Opens the store and starts its thread, which ends when the last sender of `commands` is gone and everything is done.
pub(super) fn start(
    settings: &SpillSettings,
    commands: Receiver<Command>,
    says: Says,
    damaged: Arc<AtomicU64>,
) -> Result<(Vec<Recovered>, JoinHandle<()>), SpillError> {
    let folder = Folder::open(&settings.folder)?;
    let path = |segment| settings.folder.join(medium::name(segment));
    let (store, recovered) = recover(
        folder,
        settings.segment_bytes,
        settings.quota_bytes,
        damaged,
    )
    .map_err(|error| match error {
        RecoveryError::Version(segment) => SpillError::Version(path(segment)),
        RecoveryError::Io(segment, source) => SpillError::Io {
            path: segment.map_or_else(|| settings.folder.clone(), path),
            source,
        },
    })?;
    says.living.store(store.living(), Ordering::Relaxed);
    let thread = thread::Builder::new()
        .name("spill".into())
        .spawn(move || run(store, &commands, &says))
        .map_err(|source| SpillError::Io {
            path: settings.folder.clone(),
            source,
        })?;
    Ok((recovered, thread))
}

fn run(mut store: Store<Folder>, commands: &Receiver<Command>, says: &Says) {
    let mut is_busy = store.tidy();
    loop {
        let mut next = match commands.try_recv() {
            Ok(command) => Some(command),
            Err(TryRecvError::Disconnected) => return,
            Err(TryRecvError::Empty) if is_busy => None,
            Err(TryRecvError::Empty) => match commands.recv() {
                Ok(command) => Some(command),
                Err(_) => return,
            },
        };
        let mut bytes = 0;
        while let Some(command) = next {
            bytes = carry_out(&mut store, command).saturating_add(bytes);
            let is_room = bytes < GROUP_BYTES;
            next = is_room.then(|| commands.try_recv().ok()).flatten();
        }
        let said = store.finish();
        says.living.store(store.living(), Ordering::Relaxed);
        if !said.is_empty() {
            // Nobody listens any more while the handle is dropped.
            let _ = says.events.send(said);
        }
        is_busy = store.tidy();
    }
}

/// Passes a command on; returns how much of a batch it makes up, in bytes.
fn carry_out(store: &mut Store<Folder>, command: Command) -> u64 {
    match command {
        Command::Append {
            mailbox,
            token,
            record,
        } => {
            store.append(mailbox, token, &record);
            return COMMAND_BYTES + record.frame.len();
        }
        Command::Fetch { mailbox, bytes_max } => {
            store.fetch(mailbox, bytes_max);
            return COMMAND_BYTES.saturating_add(bytes_max);
        }
        Command::Rewind { mailbox } => store.rewind(mailbox),
        Command::Trim {
            mailbox,
            session,
            counter,
        } => store.trim(mailbox, (session, counter)),
        Command::Discard { mailbox } => store.discard(mailbox),
    }
    COMMAND_BYTES
}
