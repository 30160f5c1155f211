//! The thread that owns the folder.

use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::sync::mpsc::Receiver;
use std::thread::JoinHandle;

use tokio::sync::mpsc::UnboundedSender;

use super::{MailboxId, Record, Recovered, SpillError, SpillEvent, SpillSettings};

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

/// Starts the thread.
pub(super) fn start(
    settings: SpillSettings,
    commands: Receiver<Command>,
    events: UnboundedSender<Vec<SpillEvent>>,
    damaged: Arc<AtomicU64>,
) -> Result<(Vec<Recovered>, JoinHandle<()>), SpillError> {
    let thread = std::thread::spawn(move || {
        let _ = (&settings, &damaged, &events);
        for command in commands {
            drop(command);
        }
    });
    Ok((Vec::new(), thread))
}
