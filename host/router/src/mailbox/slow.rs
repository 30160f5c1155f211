//! What becomes of notices that cannot be sent now: they wait as their publisher chose, or their consumer is suspended.

use std::time::Duration;

use sc_proto::cbr::SlowPolicy;

use super::suspension::Flow;
use super::{ALLOWANCE, Effect, Kept, Mailbox, PRESSED_MAX};

/// An impatient publisher's consumer that is attached may take so long to name the session of its notices: it may have to ask for the keys
/// once more, which it does after 5 s.
pub const NAMING_GRACE: Duration = Duration::from_secs(10);

/// What happens to a consumer that does not keep up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Policy {
    /// Its publisher waits.
    Block,
    /// It is suspended.
    Disconnect,
    /// Its notices go to the disk.
    Spill,
}

impl Policy {
    /// The publisher's choice, as far as this router can carry it out: without a store what would go there waits in memory.
    pub(crate) fn of(slow: SlowPolicy, has_store: bool) -> Self {
        match slow {
            SlowPolicy::Disconnect => Self::Disconnect,
            SlowPolicy::Spill if has_store => Self::Spill,
            _ => Self::Block,
        }
    }
}

impl Mailbox {
    /// Makes sure that what cannot be sent waits as the publisher chose.
    pub(super) fn relieve(&mut self, out: &mut Vec<Effect>) {
        if self.tail.is_empty() {
            return;
        }
        let is_pressed = self.gauge.is_pressed();
        match (self.policy, self.flow) {
            (Policy::Spill, Flow::Open | Flow::Gone) => {
                let behind = self.disk.is_used() || self.tail_cost > ALLOWANCE;
                if behind || self.reader.is_none() || is_pressed {
                    self.append_all(out);
                }
            }
            (Policy::Block, Flow::Open) if is_pressed && self.tail_cost > PRESSED_MAX => {
                self.suspend(out);
            }
            (Policy::Disconnect, Flow::Open) => self.drop_if_behind(out),
            _ => {}
        }
    }

    /// Whether a notice of this session goes to the disk rather than wait in memory.
    pub(super) fn is_spilling(&self, session: u64) -> bool {
        let is_open = matches!(self.flow, Flow::Open | Flow::Gone) || session > self.session;
        self.policy == Policy::Spill && is_open && !self.disk.has_failed()
    }

    fn drop_if_behind(&mut self, out: &mut Vec<Effect>) {
        if self.reader.is_none() {
            return self.suspend(out);
        }
        let allowed = if self.is_unnamed() {
            // It has not said yet that it holds the keys; it is given the time to.
            ALLOWANCE
        } else if self.gauge.is_pressed() {
            // It is not this consumer that has used up the memory.
            PRESSED_MAX
        } else {
            0
        };
        if self.tail_cost > allowed {
            self.drop_reader(out);
        }
    }

    fn drop_reader(&mut self, out: &mut Vec<Effect>) {
        out.extend(self.link().map(Effect::Disconnect));
        self.suspend(out);
    }

    /// Whether the next notice is of a session that the attached consumer has still to name.
    fn is_unnamed(&self) -> bool {
        let next = self.tail.front().map(|held| held.place.0);
        let reader = self.reader.as_ref().zip(next);
        reader.is_some_and(|(reader, session)| reader.awaits(session))
    }

    /// When an impatient publisher's consumer must have named the session of what waits for it.
    fn naming_deadline(&self) -> Option<Duration> {
        let is_impatient = self.policy == Policy::Disconnect && self.flow == Flow::Open;
        let reader = self.reader.as_ref()?;
        let since = reader.since.max(self.entered);
        (is_impatient && self.is_unnamed()).then_some(since + NAMING_GRACE)
    }

    /// When the retention has passed, if it runs.
    fn retention_deadline(&self) -> Option<Duration> {
        let since = self.away_since.filter(|_| !self.expired)?;
        Some(since + self.retention)
    }

    /// Something has happened: notes whether the attached consumer has moved. To call after every change.
    pub(crate) fn note_progress(&mut self, now: Duration) {
        let last = self.tail.back().or(self.flight.back());
        // What is on the disk, or will be, holds nobody up.
        let holds_up = last.is_some_and(|held| held.kept == Kept::Memory);
        let counts = holds_up && self.flow == Flow::Open && self.reader.is_some();
        let acked = self.acked;
        self.still = match self.still {
            _ if !counts => None,
            Some((place, since)) if place == acked => Some((place, since)),
            _ => Some((acked, now)),
        };
    }

    /// When an attached consumer that takes nothing is treated as one that is away.
    fn standstill_deadline(&self) -> Option<Duration> {
        self.still.map(|(_, since)| since + self.retention)
    }

    /// When [`Mailbox::on_timeout`] is due.
    pub(crate) fn deadline(&self) -> Option<Duration> {
        let all = [
            self.retention_deadline(),
            self.naming_deadline(),
            self.standstill_deadline(),
        ];
        all.into_iter().flatten().min()
    }

    /// Does what is due at `now`. `is_live`: the program has the session. Returns whether the retention has passed.
    pub(crate) fn on_timeout(
        &mut self,
        now: Duration,
        is_live: bool,
        out: &mut Vec<Effect>,
    ) -> bool {
        if self.naming_deadline().is_some_and(|due| due <= now) {
            self.drop_reader(out);
        }
        let stands_still = self.standstill_deadline().is_some_and(|due| due <= now);
        if stands_still && self.policy == Policy::Spill {
            self.append_all(out);
            return false;
        }
        let is_over = stands_still || self.retention_deadline().is_some_and(|due| due <= now);
        if is_over {
            self.expire(is_live, out);
        }
        is_over
    }
}
