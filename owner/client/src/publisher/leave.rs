//! An orderly end: a last tick behind the last batch tells every consumer that nothing more is missing.

use sc_cbr::ControlBody;

use super::Publisher;
use crate::link::{Clock, Credit};

/// How far it has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Leave {
    No,
    Wanted,
    /// The last tick has this counter.
    Told(u64),
    Done,
}

impl Leave {
    /// The session has ended: the next one has to be told, if there is one in time.
    pub(super) fn rewind(&mut self) {
        if matches!(self, Self::Told(_)) {
            *self = Self::Wanted;
        }
    }

    pub(super) fn on_receipt(&mut self, counter: u64) {
        if *self == Self::Told(counter) {
            *self = Self::Done;
        }
    }
}

impl Publisher {
    /// Begins an orderly end. Go on with [`Publisher::pump`] until [`Publisher::has_left`], or until it takes too long. A stream that was
    /// not read to its end stays unfinished: it goes on at the next start.
    pub fn take_leave(&mut self) {
        if !self.outgoing.is_stream() {
            self.outgoing.finish();
        }
        if self.leave == Leave::No {
            self.leave = Leave::Wanted;
        }
    }

    /// Whether there is nothing to wait for any more: all is settled and the last tick has its receipt, or no session is open.
    #[must_use]
    pub fn has_left(&self) -> bool {
        let is_done = self.leave == Leave::Done && self.outgoing.is_settled();
        is_done || !self.is_open()
    }

    pub(super) fn send_last_tick(&mut self, clock: Clock, left: &mut Credit) {
        let is_next = self.controls.is_empty() && !self.outgoing.has_next();
        if self.leave == Leave::Wanted
            && is_next
            && let Ok(counter) = self.seal_control(clock, left, ControlBody::Tick)
        {
            self.leave = Leave::Told(counter);
        }
    }
}
