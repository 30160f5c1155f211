//! Consumers for whom nothing more can be kept: the program stops making notices for them, says so under seal, and counts.

use super::{Effect, Mailbox, Notice, Place};

/// Whether the program makes notices for a consumer, as far as is known here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Flow {
    Open,
    /// It was asked to stop.
    Suspending,
    /// It has stopped.
    Suspended,
    /// It was asked to go on.
    Resuming,
    /// It did not stop when asked: it knows no such consumer any more.
    Gone,
}

impl Mailbox {
    /// Has the program stop. No publisher waits for what is here any more.
    pub(super) fn suspend(&mut self, out: &mut Vec<Effect>) {
        if self.flow != Flow::Open {
            return;
        }
        self.flow = Flow::Suspending;
        for held in self.held() {
            out.extend(held.debt.take().map(Effect::Settle));
        }
        out.push(Effect::Suspend(self.session));
    }

    /// The program has stopped, with this last notice.
    pub(crate) fn on_suspended(&mut self, notice: Notice, out: &mut Vec<Effect>) {
        let place = notice.place;
        if self.flow == Flow::Suspending && place.0 == self.session && place > self.queued {
            self.flow = Flow::Suspended;
            self.farewell = Some(place);
            self.queued = place;
            self.queue(place, notice.frame, None, notice.load);
            self.pump(out);
        }
    }

    /// The program has not stopped: it knows no such session or consumer.
    pub(crate) fn on_suspend_refused(&mut self, session: u64, out: &mut Vec<Effect>) {
        if self.flow == Flow::Suspending && session == self.session {
            self.flow = Flow::Gone;
            self.pump(out);
        }
    }

    /// The program makes notices again; the first says what was missed.
    pub(crate) fn on_resumed(&mut self, notice: Notice, out: &mut Vec<Effect>) {
        if self.flow == Flow::Resuming && notice.place.0 == self.session {
            self.flow = Flow::Open;
            self.farewell = None;
        }
        // It says why there is a gap: small, and one at a time.
        self.take_in(notice, out);
    }

    /// The program does not resume: it knows no such session or consumer, or had not stopped.
    pub(crate) fn on_resume_refused(&mut self, session: u64) {
        if self.flow == Flow::Resuming && session == self.session {
            self.flow = Flow::Gone;
        }
    }

    /// The program is gone, and with it the session.
    pub(crate) fn on_program_lost(&mut self) {
        self.flow = Flow::Gone;
    }

    /// When all was taken: cleans the disk, and has a suspended consumer's notices made again.
    pub(super) fn rest(&mut self, out: &mut Vec<Effect>) {
        if !self.is_empty() {
            return;
        }
        if self.position > self.acked {
            self.acked = self.position;
            self.trim(out);
        }
        let session = self.session;
        let is_there = |reader: &super::Reader| reader.holds(session);
        if self.flow == Flow::Suspended && self.reader.as_ref().is_some_and(is_there) {
            self.flow = Flow::Resuming;
            out.push(Effect::Resume(session));
        }
    }

    /// The retention has passed: everything is given up but the notice that says so. `is_live`: the program has the session.
    pub(crate) fn expire(&mut self, is_live: bool, out: &mut Vec<Effect>) {
        self.expired = true;
        if is_live {
            self.suspend(out);
        }
        self.clear(out);
    }

    /// Gives up all that waits but the notice of the suspension and what follows it.
    pub(super) fn clear(&mut self, out: &mut Vec<Effect>) {
        let kept: Place = self.farewell.unwrap_or((u64::MAX, u64::MAX));
        let mut given_up = self.unread();
        while let Some(held) = self.flight.pop_front() {
            self.flight_cost -= held.cost;
            self.acked = held.place;
            out.extend(held.debt.map(Effect::Settle));
            given_up += 1;
        }
        self.acked = self.acked.max(self.disk.last());
        while self.tail.front().is_some_and(|held| held.place < kept) {
            let held = self.pop_tail();
            self.acked = held.place;
            out.extend(held.debt.map(Effect::Settle));
            given_up += u64::from(self.acked > self.passed);
        }
        self.position = self.position.max(self.acked);
        if given_up > 0 {
            out.push(Effect::GivenUp(given_up));
        }
        self.forget_disk(out);
        self.unsendable.clear();
    }
}
