//! When a consumer tells the router what it has taken.
//!
//! Invariant: nothing is acknowledged before the record that says so has been handed out; no more than [`ACK_AFTER_BYTES`] or
//! [`ACK_AFTER`] of what was taken stays unacknowledged on a link.

use std::collections::BTreeMap;
use std::time::Duration;

/// So many bytes of notices are acknowledged at the end of the round of work that took them.
const ACK_AFTER_BYTES: usize = 512 << 10;
/// Fewer wait so long for others, from the first on.
const ACK_AFTER: Duration = Duration::from_millis(5);

/// What this link's router was told, and has not been told yet.
#[derive(Debug, Default)]
pub(super) struct Acks {
    told: BTreeMap<u64, u64>,
    waiting: BTreeMap<u64, u64>,
    bytes: usize,
    due: Option<Duration>,
    is_due: bool,
}

impl Acks {
    /// A new link: nobody has been told anything.
    pub(super) fn forget(&mut self) {
        *self = Self::default();
    }

    /// A notice of so many bytes was taken.
    pub(super) fn on_taken(&mut self, now: Duration, session: u64, counter: u64, bytes: usize) {
        self.waiting.insert(session, counter);
        self.bytes += bytes;
        self.is_due |= self.bytes >= ACK_AFTER_BYTES;
        self.due.get_or_insert(now + ACK_AFTER);
    }

    /// Whatever waits is to be told at the end of this round.
    pub(super) fn hurry(&mut self) {
        self.is_due = true;
    }

    pub(super) fn on_timeout(&mut self, now: Duration) {
        self.is_due |= self.due.is_some_and(|due| due <= now);
    }

    pub(super) fn next_timeout(&self) -> Option<Duration> {
        self.due
    }

    /// At the end of a round: the sessions and counters to tell of, ascending.
    pub(super) fn take(&mut self) -> Vec<(u64, u64)> {
        if !self.is_due {
            return Vec::new();
        }
        let waiting = core::mem::take(&mut self.waiting);
        (self.bytes, self.due, self.is_due) = (0, None, false);
        waiting
            .into_iter()
            .filter(|(session, counter)| self.note(*session, *counter))
            .collect()
    }

    /// Takes note that the router is told of `session`; whether that is news.
    pub(super) fn note(&mut self, session: u64, counter: u64) -> bool {
        self.told.insert(session, counter) != Some(counter)
    }
}
