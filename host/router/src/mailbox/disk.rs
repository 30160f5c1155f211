//! The part of a mailbox that is in the store.

use std::collections::VecDeque;

use super::reader::Verdict;
use super::stored::Stored;
use super::{Effect, FLIGHT_MAX, Held, Kept, Mailbox, Place};
use crate::memory::{Load, Weight};
use crate::spill::Record;

/// What is read at once, in bytes.
const FETCH_MAX: u64 = 1 << 20;

/// What is known of the store.
#[derive(Default)]
pub(super) struct Disk {
    /// Something was appended that is not trimmed.
    used: bool,
    /// The last record that is stored.
    last: Place,
    /// All that are stored.
    stored: Stored,
    /// The last record that was appended, whatever became of it.
    appended: Place,
    /// Appended, and no word of it yet.
    pending: VecDeque<(u64, Place)>,
    last_token: u64,
    /// A fetch is under way, for which this memory is kept free.
    fetching: Option<Weight>,
    /// Fetches under way whose answers come from before a rewind.
    stale: u32,
    /// Nothing can be appended until the disk holds nothing of this mailbox.
    failed: bool,
    /// The next record is of this session, of which the consumer has no keys yet.
    blocked_on: u64,
}

impl Disk {
    pub(super) fn is_used(&self) -> bool {
        self.used
    }

    /// Whether it holds nothing and is asked for nothing.
    pub(super) fn is_idle(&self) -> bool {
        !self.used && self.pending.is_empty() && self.fetching.is_none() && self.stale == 0
    }

    pub(super) fn has_failed(&self) -> bool {
        self.failed
    }

    pub(super) fn last(&self) -> Place {
        self.last
    }
}

impl Mailbox {
    /// What an earlier process has left; the consumer may have been sent all of it.
    pub(crate) fn recover(&mut self, first: Place, last: Place, notices: u64) {
        self.disk.used = true;
        self.disk.stored = Stored::recovered(first, last, notices);
        self.disk.last = last;
        self.disk.appended = last;
        self.queued = last;
        self.sent = last;
        self.session = last.0;
        self.recovered = last.0;
    }

    /// Whether the disk holds notices that come next on the present link.
    pub(super) fn has_unread(&self) -> bool {
        self.disk.last > self.position
    }

    /// Appends all that is in memory alone, in order.
    pub(super) fn append_all(&mut self, out: &mut Vec<Effect>) {
        if self.disk.failed {
            return self.suspend(out);
        }
        let Self {
            flight, tail, disk, ..
        } = self;
        // What was appended is the beginning of the queue, so that nothing is looked at twice but the rest of it.
        let queue = flight.iter_mut().chain(tail.iter_mut()).rev();
        let rest: Vec<&mut Held> = queue.take_while(|held| held.kept == Kept::Memory).collect();
        for held in rest.into_iter().rev() {
            let Some(frame) = held.frame.clone() else {
                continue;
            };
            disk.last_token += 1;
            disk.pending.push_back((disk.last_token, held.place));
            disk.used = true;
            disk.appended = held.place;
            held.kept = Kept::Storing;
            let (session, counter) = held.place;
            let record = Record {
                session,
                counter,
                frame,
            };
            out.push(Effect::Store(disk.last_token, record));
        }
    }

    /// The store has appended everything up to this token.
    pub(crate) fn on_stored(&mut self, token: u64, out: &mut Vec<Effect>) {
        while let Some((_, place)) = self.disk.pending.pop_front_if(|(of, _)| *of <= token) {
            if place > self.acked {
                self.disk.last = place;
                self.disk.stored.push(place);
                self.keep_on_disk(place, out);
            }
        }
        super::shrink(&mut self.disk.pending);
        self.note_emptiness();
        self.pump(out);
    }

    fn keep_on_disk(&mut self, place: Place, out: &mut Vec<Effect>) {
        if let Ok(at) = self.flight.binary_search_by_key(&place, |held| held.place) {
            let held = &mut self.flight[at];
            held.kept = Kept::Disk;
            held.frame = None;
            out.extend(held.debt.take().map(Effect::Settle));
        } else if self.tail.front().is_some_and(|held| held.place == place) {
            let held = self.pop_tail();
            out.extend(held.debt.map(Effect::Settle));
        }
    }

    /// The store has not taken the record of this token, and takes nothing after it.
    pub(crate) fn on_store_failed(&mut self, token: u64, out: &mut Vec<Effect>) {
        let pending = &mut self.disk.pending;
        let Ok(at) = pending.binary_search_by_key(&token, |(of, _)| *of) else {
            return;
        };
        let (_, first) = pending[at];
        if first <= self.acked {
            // The consumer has it; of those after it the store says so one by one.
            pending.remove(at);
            return self.note_emptiness();
        }
        pending.truncate(at);
        self.disk.failed = true;
        for held in self.held().filter(|held| held.place >= first) {
            held.kept = Kept::Memory;
        }
        self.suspend(out);
        self.pump(out);
    }

    /// Reads what comes next, if there is room for it.
    pub(super) fn read_on(&mut self, out: &mut Vec<Effect>) {
        let Some(reader) = &self.reader else {
            return;
        };
        let waits = reader.serves(self.disk.blocked_on) == Verdict::Wait;
        let has_room = self.flight_cost <= FLIGHT_MAX / 2 && self.has_room(0);
        if waits || !has_room || self.disk.fetching.is_some() {
            return;
        }
        let bytes = if self.gauge.is_pressed() {
            1
        } else {
            FETCH_MAX
        };
        self.disk.fetching = Some(Weight::new(&self.gauge, bytes));
        out.push(Effect::Fetch(bytes));
    }

    /// The store has read these.
    pub(crate) fn on_fetched(&mut self, records: Vec<Record>, more: bool, out: &mut Vec<Effect>) {
        if self.disk.stale > 0 {
            self.disk.stale -= 1;
            return;
        }
        self.disk.fetching = None;
        if records.is_empty() && !more {
            // Whatever it had it has lost; the consumer will see the gap.
            self.position = self.position.max(self.disk.last);
        }
        for record in records {
            if !self.take_record(record, out) {
                self.rewind(out);
                break;
            }
        }
        self.pump(out);
    }

    /// Sends a record, or passes it over; `false` when it has to wait, with all that follow it.
    fn take_record(&mut self, record: Record, out: &mut Vec<Effect>) -> bool {
        let place = (record.session, record.counter);
        if place <= self.position {
            return true;
        }
        let verdict = self.reader.as_ref().map(|reader| reader.serves(place.0));
        match verdict {
            Some(Verdict::Send) if !self.unsendable.contains(&place) => {}
            Some(Verdict::Send) => {
                // Given up before, for its size.
                self.position = place;
                return true;
            }
            Some(Verdict::PassOver) => {
                self.pass_over(place, out);
                return true;
            }
            _ => {
                self.disk.blocked_on = place.0;
                return false;
            }
        }
        // Read before the store has said that it is safe: the one in memory knows whose credit hangs on it.
        let held = if self.tail.front().is_some_and(|held| held.place == place) {
            self.pop_tail()
        } else {
            let cost = record.frame.cost();
            Held {
                place,
                cost,
                debt: None,
                frame: Some(record.frame),
                kept: Kept::Disk,
                _load: Load::new(&self.gauge, cost, None),
            }
        };
        self.launch(held, out);
        true
    }

    /// The store begins to read again at the first record that is not trimmed.
    pub(super) fn rewind(&mut self, out: &mut Vec<Effect>) {
        if self.disk.fetching.take().is_some() {
            self.disk.stale += 1;
        }
        out.push(Effect::Rewind);
    }

    /// Everything up to `acked` may go.
    pub(super) fn trim(&mut self, out: &mut Vec<Effect>) {
        if !self.disk.used {
            return;
        }
        out.push(Effect::Trim(self.acked));
        self.disk.stored.take_up_to(self.acked);
        self.note_emptiness();
    }

    /// Once all that was ever appended is taken, and the store has said what became of it, the disk holds nothing.
    fn note_emptiness(&mut self) {
        if self.disk.pending.is_empty() && self.disk.appended <= self.acked {
            self.disk.used = false;
            self.disk.failed = false;
        }
    }

    /// Whether a batch hangs on something that will come soon: the store's word, or the ack of what was sent.
    pub(crate) fn is_settling(&self) -> bool {
        let is_stored = !self.disk.pending.is_empty();
        is_stored || self.flight.iter().any(|held| held.debt.is_some())
    }

    /// How many notices are on the disk that were neither sent on the present link nor given up.
    pub(super) fn unread(&self) -> u64 {
        let known = self.position.max(self.passed);
        let next = (known.0, known.1.saturating_add(1));
        let unsendable = self.unsendable.range(next..).count() as u64;
        self.disk.stored.after(known).saturating_sub(unsendable)
    }

    /// The store keeps nothing any more.
    pub(super) fn forget_disk(&mut self, out: &mut Vec<Effect>) {
        if self.disk.fetching.take().is_some() {
            self.disk.stale += 1;
        }
        if self.disk.used {
            out.push(Effect::Discard);
        }
        let disk = &mut self.disk;
        (disk.used, disk.failed, disk.last) = (false, false, (0, 0));
        disk.pending = VecDeque::new();
        disk.stored = Stored::default();
        // Of what survives the store says nothing any more.
        for held in self.held().filter(|held| held.kept == Kept::Storing) {
            held.kept = Kept::Memory;
        }
    }
}
