//! What waits for one consumer in one domain: its notices from the sealing to the consumer's word that it has taken them.
//!
//! A queue in the order of (session, counter), in three parts: those sent on the present link and not acknowledged (`flight`), those that
//! are on the disk alone, and those that wait in memory (`tail`). What was appended to the store is always the beginning of the queue.
//! Invariants: a notice is sent only on a link on which its session was named, once on each link, after all before it; the consumer gets
//! them without a gap, or the gap ends in a notice of its suspension.

mod disk;
mod reader;
mod slow;
mod stored;
mod suspension;
#[cfg(test)]
mod tests;

use std::collections::{BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use sc_transport::{Frame, LinkId};

use self::disk::Disk;
use self::reader::Reader;
pub(crate) use self::reader::name;
pub use self::slow::NAMING_GRACE;
pub(crate) use self::slow::Policy;
use self::suspension::Flow;
use crate::credit::DebtId;
use crate::memory::{Gauge, Load};
use crate::spill::Record;

/// What a mailbox has sent and has no word of, in bytes of cost, beyond the first notice: a part of a link's queue.
pub const FLIGHT_MAX: u64 = 4 << 20;
/// What waits in memory for a consumer that has fallen behind before its notices go to the disk, in bytes of cost.
pub const ALLOWANCE: u64 = 256 << 10;
/// What may still wait for one consumer when the memory of all is used up, in bytes of cost.
pub const PRESSED_MAX: u64 = 64 << 10;
/// For so long an absent consumer's notices are kept at least: a link that breaks comes back by then.
pub const RETENTION_MIN: Duration = Duration::from_secs(30);
/// Notices larger than a consumer takes, remembered so that they are not tried again; beyond, all that waits is given up.
pub(crate) const UNSENDABLE_MAX: usize = 64;
/// Queues that have grown beyond this many entries give their memory back once empty.
const KEEP_CAPACITY: usize = 32;

/// Session and counter: the order of a mailbox.
pub(crate) type Place = (u64, u64);

/// A notice that the program has sealed.
pub(crate) struct Notice {
    pub(crate) place: Place,
    pub(crate) frame: Frame,
    /// What its publisher gets back when the notice has been taken, is stored, or was given up.
    pub(crate) debt: Option<DebtId>,
    pub(crate) load: Load,
}

/// What a mailbox wants done, in order.
#[derive(Debug)]
pub(crate) enum Effect {
    Send(LinkId, Frame),
    /// A notice does not hold its publisher any more.
    Settle(DebtId),
    /// So many notices were taken by the consumer.
    Acked(u64),
    /// So many notices were given up: the consumer will see the gap.
    GivenUp(u64),
    Store(u64, Record),
    Fetch(u64),
    Rewind,
    Trim(Place),
    Discard,
    /// Have the program stop making notices of this session.
    Suspend(u64),
    /// Have it make them again.
    Resume(u64),
    /// The consumer has fallen behind, and its publisher chose not to wait.
    Disconnect(LinkId),
}

/// Where a notice is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kept {
    Memory,
    /// Appended to the store, whose word is awaited.
    Storing,
    /// On the disk; if it is sent again it is read again.
    Disk,
}

struct Held {
    place: Place,
    cost: u64,
    debt: Option<DebtId>,
    /// Absent when it is on the disk.
    frame: Option<Frame>,
    kept: Kept,
    _load: Load,
}

/// The queue of one consumer in one domain.
pub(crate) struct Mailbox {
    policy: Policy,
    retention: Duration,
    gauge: Arc<Gauge>,
    /// Of the last admission or notice.
    session: u64,
    /// When the consumer was admitted to it.
    entered: Duration,
    flow: Flow,
    reader: Option<Reader>,
    /// Since when no link has named a session.
    away_since: Option<Duration>,
    /// How far the attached consumer had come, and since when it has not moved although something waits for it.
    still: Option<(Place, Duration)>,
    /// The retention has passed, and what waited was given up.
    expired: bool,
    flight: VecDeque<Held>,
    flight_cost: u64,
    tail: VecDeque<Held>,
    tail_cost: u64,
    /// Everything up to here was taken or given up.
    acked: Place,
    /// The last notice that was sent, or passed over, on the present link; at least `acked`.
    position: Place,
    /// The last notice that was given up because the consumer has no keys of it.
    passed: Place,
    /// The last notice that came in.
    queued: Place,
    /// The last notice ever sent.
    sent: Place,
    /// The last session of which an earlier process may have sent more than is known here.
    recovered: u64,
    disk: Disk,
    /// The notice of the suspension: what is kept when all else is given up.
    farewell: Option<Place>,
    unsendable: BTreeSet<Place>,
    /// Where [`crate::mailboxes`] has put this mailbox among the timers.
    pub(crate) timer: Option<Duration>,
}

impl Mailbox {
    pub(crate) fn new(now: Duration, gauge: Arc<Gauge>) -> Self {
        Self {
            policy: Policy::Block,
            retention: RETENTION_MIN,
            gauge,
            session: 0,
            entered: now,
            flow: Flow::Open,
            reader: None,
            away_since: Some(now),
            still: None,
            expired: false,
            flight: VecDeque::new(),
            flight_cost: 0,
            tail: VecDeque::new(),
            tail_cost: 0,
            acked: (0, 0),
            position: (0, 0),
            passed: (0, 0),
            queued: (0, 0),
            sent: (0, 0),
            recovered: 0,
            disk: Disk::default(),
            farewell: None,
            unsendable: BTreeSet::new(),
            timer: None,
        }
    }

    pub(crate) fn gauge(&self) -> &Arc<Gauge> {
        &self.gauge
    }

    pub(crate) fn session(&self) -> u64 {
        self.session
    }

    /// Whether the consumer has been away for longer than its retention.
    pub(crate) fn is_expired(&self) -> bool {
        self.expired
    }

    /// Whether nothing waits and nobody reads.
    pub(crate) fn is_idle(&self) -> bool {
        self.reader.is_none() && self.is_empty()
    }

    /// Whether there is nothing of its notices here, whoever reads, and none that the store has still to speak of.
    pub(crate) fn holds_nothing(&self) -> bool {
        self.is_empty() && self.disk.is_idle()
    }

    /// Whether nothing waits: neither in memory nor on the disk.
    fn is_empty(&self) -> bool {
        self.flight.is_empty() && self.tail.is_empty() && !self.has_unread()
    }

    /// The publisher has admitted the consumer.
    pub(crate) fn admit(
        &mut self,
        now: Duration,
        session: u64,
        policy: Policy,
        retention: Duration,
        out: &mut Vec<Effect>,
    ) {
        self.policy = policy;
        self.retention = retention.max(RETENTION_MIN);
        if session > self.session {
            self.entered = now;
        }
        self.enter(session);
        if self.flow == Flow::Gone {
            // The program knows it again, and what waits from now on has all its time.
            self.flow = Flow::Open;
            self.farewell = None;
            self.expired = false;
            self.away_since = self.away_since.map(|_| now);
        }
        self.relieve(out);
    }

    /// A newer session begins with the flow open, whatever became of the last.
    fn enter(&mut self, session: u64) {
        if session > self.session {
            self.session = session;
            self.flow = Flow::Open;
            self.expired = false;
            self.farewell = None;
        }
    }

    /// Takes a notice that the program has made, and sends it if it may go. When its domain holds more than it may, the notice is given up and
    /// the consumer suspended, unless it goes to the disk.
    pub(crate) fn push(&mut self, notice: Notice, out: &mut Vec<Effect>) {
        if notice.place > self.queued && self.gauge.is_full() && !self.is_spilling(notice.place.0) {
            self.enter(notice.place.0);
            self.queued = notice.place;
            out.extend(notice.debt.map(Effect::Settle));
            out.push(Effect::GivenUp(1));
            return self.suspend(out);
        }
        self.take_in(notice, out);
    }

    /// Takes a notice however much there is.
    pub(super) fn take_in(&mut self, notice: Notice, out: &mut Vec<Effect>) {
        let Notice {
            place,
            frame,
            mut debt,
            load,
        } = notice;
        if place <= self.queued {
            // No program of this version seals a counter twice.
            out.extend(debt.map(Effect::Settle));
            return out.push(Effect::GivenUp(1));
        }
        self.enter(place.0);
        self.queued = place;
        if self.flow != Flow::Open {
            // What the program made before it knew: kept if there is room, but its publisher does not wait for it.
            out.extend(debt.take().map(Effect::Settle));
            if self.gauge.is_pressed() && self.tail_cost > PRESSED_MAX {
                return out.push(Effect::GivenUp(1));
            }
        }
        self.queue(place, frame, debt, load);
        self.pump(out);
        self.relieve(out);
    }

    fn queue(&mut self, place: Place, frame: Frame, debt: Option<DebtId>, load: Load) {
        let cost = frame.cost();
        self.tail_cost += cost;
        self.tail.push_back(Held {
            place,
            cost,
            debt,
            frame: Some(frame),
            kept: Kept::Memory,
            _load: load,
        });
    }

    /// Sends what may go now, in order.
    fn pump(&mut self, out: &mut Vec<Effect>) {
        while !self.has_unread() {
            let Some(front) = self.tail.front() else {
                break;
            };
            let (place, cost) = (front.place, front.cost);
            match self.reader.as_ref().map(|reader| reader.serves(place.0)) {
                Some(reader::Verdict::Send) if self.has_room(cost) => {
                    let held = self.pop_tail();
                    self.launch(held, out);
                }
                Some(reader::Verdict::PassOver) => {
                    let held = self.pop_tail();
                    out.extend(held.debt.map(Effect::Settle));
                    self.pass_over(place, out);
                }
                _ => break,
            }
        }
        if self.has_unread() {
            self.read_on(out);
        }
        self.rest(out);
    }

    /// The consumer's keys of the notice at `place` are gone; it is given up, once.
    fn pass_over(&mut self, place: Place, out: &mut Vec<Effect>) {
        self.position = place;
        if place > self.passed {
            self.passed = place;
            out.push(Effect::GivenUp(1));
        }
    }

    fn pop_tail(&mut self) -> Held {
        let held = self.tail.pop_front().expect("its front was looked at");
        self.tail_cost -= held.cost;
        shrink(&mut self.tail);
        held
    }

    /// Whether a notice of this cost may be sent: one always, more while memory and the link's queue allow.
    fn has_room(&self, cost: u64) -> bool {
        self.flight.is_empty() || self.flight_cost + cost <= FLIGHT_MAX && !self.gauge.is_pressed()
    }

    fn launch(&mut self, mut held: Held, out: &mut Vec<Effect>) {
        let (Some(reader), Some(frame)) = (&self.reader, &held.frame) else {
            return;
        };
        out.push(Effect::Send(reader.link, frame.clone()));
        if held.kept == Kept::Disk {
            held.frame = None;
        }
        self.position = held.place;
        self.sent = self.sent.max(held.place);
        self.flight_cost += held.cost;
        self.flight.push_back(held);
    }

    /// The consumer has said on its link how far it has come. Returns whether it spoke of notices that it cannot have.
    pub(crate) fn acknowledge(&mut self, place: Place, out: &mut Vec<Effect>) -> bool {
        self.away_since = None;
        self.expired = false;
        let (place, is_ahead) = self.believed(place);
        if place > self.acked {
            self.take_up_to(place, out);
        }
        self.pump(out);
        self.relieve(out);
        is_ahead
    }

    /// How far the consumer can have come if it says so, and whether it says more.
    fn believed(&self, place: Place) -> (Place, bool) {
        if place <= self.sent {
            (place, false)
        } else if place.0 > self.sent.0 {
            // Nothing of this session was sent by this process; it is named, and that is all.
            (self.acked, place.0 == self.queued.0 && place.1 > 0)
        } else if place.0 <= self.recovered {
            (self.sent, false)
        } else {
            (self.acked, true)
        }
    }

    fn take_up_to(&mut self, place: Place, out: &mut Vec<Effect>) {
        self.acked = place;
        self.position = self.position.max(place);
        let mut taken = 0;
        while let Some(held) = self.flight.pop_front_if(|held| held.place <= place) {
            self.flight_cost -= held.cost;
            out.extend(held.debt.map(Effect::Settle));
            taken += 1;
        }
        while self.tail.front().is_some_and(|held| held.place <= place) {
            let held = self.pop_tail();
            out.extend(held.debt.map(Effect::Settle));
            taken += 1;
        }
        shrink(&mut self.flight);
        self.unsendable = self
            .unsendable
            .split_off(&(place.0, place.1.saturating_add(1)));
        if taken > 0 {
            out.push(Effect::Acked(taken));
        }
        self.trim(out);
    }

    /// Every notice that the mailbox holds in memory, in order.
    fn held(&mut self) -> impl Iterator<Item = &mut Held> {
        self.flight.iter_mut().chain(self.tail.iter_mut())
    }
}

fn shrink<T>(queue: &mut VecDeque<T>) {
    if queue.is_empty() && queue.capacity() > KEEP_CAPACITY {
        *queue = VecDeque::new();
    }
}
