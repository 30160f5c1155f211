//! Copying forward: what lives in a mostly dead segment moves to the end of the log, so that the file can go.
//!
//! Invariant: a record counts as moved once its copy is on the disk, and keeps its number, so that the copy is known for what it is
//! when both are found after a crash. The files take at most twice what lives and [`SLACK_SEGMENTS`] segments, on a disk that works.

use std::io;

use super::MailboxId;
use super::entry;
use super::mailbox::Place;
use super::medium::Medium;
use super::store::Store;

/// What may be dead, in segments, before anything is copied.
const SLACK_SEGMENTS: u64 = 2;
/// What is copied between two batches, in bytes: new records wait for it.
const STEP_BYTES: u64 = 4 << 20;

/// How far it has come.
#[derive(Debug, Default)]
pub(super) struct Copying {
    victim: u32,
    /// What was found to live in the victim and is not copied yet.
    left: Vec<(MailboxId, u64)>,
    /// Set when the disk takes nothing.
    paused: bool,
}

impl Copying {
    /// The disk takes something again.
    pub(super) fn resume(&mut self) {
        self.paused = false;
    }
}

/// A copy that was written and does not count yet.
struct Copy {
    mailbox: MailboxId,
    ordinal: u64,
    to: Place,
}

impl<M: Medium> Store<M> {
    /// Copies a little, when it has to be. Whether there is more to do.
    pub(super) fn copy_some(&mut self) -> bool {
        if self.copying.paused {
            return false;
        }
        if self.copying.left.is_empty() && !self.choose_victim() {
            return false;
        }
        let mut copies = Vec::new();
        let written = self.write_copies(&mut copies);
        if let Err(error) = written.and_then(|()| self.log.commit()) {
            tracing::warn!(%error, "old notices cannot be moved on the disk");
            self.log.abandon();
            copies.iter().for_each(|copy| self.log.bury(copy.to));
            self.copying = Copying {
                paused: true,
                ..Copying::default()
            };
            return false;
        }
        for Copy {
            mailbox,
            ordinal,
            to,
        } in copies
        {
            let mailbox = self.mailboxes.get_mut(&mailbox).expect("it was just read");
            let from = mailbox.place(ordinal).expect("it was just read");
            mailbox.relocate(ordinal, to);
            self.log.bury(from);
        }
        true
    }

    /// Finds the segment that is worth it most, and what lives in it.
    fn choose_victim(&mut self) -> bool {
        let (all, living) = self.log.bytes();
        if all <= 2 * living + SLACK_SEGMENTS * self.log.segment_bytes() {
            return false;
        }
        let Some(victim) = self.log.emptiest() else {
            return false;
        };
        let left = self.mailboxes.iter().flat_map(|(id, mailbox)| {
            let inside = mailbox
                .places()
                .filter(|(_, place)| place.segment == victim);
            inside.map(|(ordinal, _)| (*id, ordinal))
        });
        self.copying.left = left.collect();
        self.copying.victim = victim;
        true
    }

    fn write_copies(&mut self, copies: &mut Vec<Copy>) -> io::Result<()> {
        let mut bytes = 0;
        while bytes < STEP_BYTES
            && let Some((id, ordinal)) = self.copying.left.pop()
        {
            let place = self
                .mailboxes
                .get(&id)
                .and_then(|mailbox| mailbox.place(ordinal));
            // It may have been trimmed meanwhile.
            let Some(place) = place.filter(|place| place.segment == self.copying.victim) else {
                continue;
            };
            let own = self.log.read(place)?;
            if entry::decode(&own).is_none() {
                self.lose(id, ordinal);
                continue;
            }
            let length = u64::from(place.length);
            if self.log.is_full_for(length) {
                self.log.commit()?;
            }
            let to = self
                .log
                .append(length, true, |out| out.extend_from_slice(&own))?;
            bytes += length;
            copies.push(Copy {
                mailbox: id,
                ordinal,
                to,
            });
        }
        Ok(())
    }
}
