//! The index of one mailbox: where its records lie, in order.
//!
//! Invariant: 12 bytes a record, and 32 for each run of records whose counters follow each other in one session, so 44 at most; an
//! ordinal counts the records since the mailbox was made and never changes, so that a place can be named while others are trimmed.

use std::collections::VecDeque;

use super::{Record, SpillFailure};

/// Room for fewer places is not given back.
const ROOM_MIN: usize = 64;

/// Where an entry lies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Place {
    /// The segment's number.
    pub(super) segment: u32,
    /// In the file, in bytes.
    pub(super) offset: u32,
    /// Of the whole entry, in bytes.
    pub(super) length: u32,
}

impl Place {
    /// The place of a record that is damaged and given up.
    pub(super) const LOST: Self = Self {
        segment: 0,
        offset: 0,
        length: 0,
    };
}

/// What a record is called: its number in the log, and session and counter of its notice.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Name {
    /// Greater than that of each record before it.
    pub(super) number: u64,
    /// Of the notice.
    pub(super) session: u64,
    /// Of the notice.
    pub(super) counter: u64,
}

impl Name {
    /// The name of the record that comes `by` later in a run.
    fn later(self, by: u64) -> Option<Self> {
        Some(Self {
            number: self.number.checked_add(by)?,
            session: self.session,
            counter: self.counter.checked_add(by)?,
        })
    }

    /// Whether it is the name of this record.
    pub(super) fn is_of(self, record: &Record) -> bool {
        self.position() == (record.session, record.counter)
    }

    /// Session and counter.
    pub(super) fn position(self) -> (u64, u64) {
        (self.session, self.counter)
    }
}

/// Records whose names follow each other, from ordinal `at` to that of the next run.
#[derive(Debug)]
struct Run {
    at: u64,
    first: Name,
}

/// One mailbox.
#[derive(Debug, Default)]
pub(super) struct Mailbox {
    places: VecDeque<Place>,
    runs: VecDeque<Run>,
    /// The ordinal of the first place.
    front: u64,
    /// The ordinal of the next record to be read.
    unread: u64,
    /// Everything up to this number is gone.
    gone: Option<u64>,
    /// The segment in which the last mark lies that says so.
    pub(super) mark: Option<u32>,
    /// The segments between which its records lie, those that are gone as well.
    pub(super) reach: Option<(u32, u32)>,
    /// Why it takes nothing more.
    pub(super) failed: Option<SpillFailure>,
}

impl Mailbox {
    /// Puts a record behind the others; returns its ordinal.
    pub(super) fn push(&mut self, name: Name, place: Place) -> u64 {
        let ordinal = self.end();
        if self.last().and_then(|last| last.later(1)) != Some(name) {
            self.runs.push_back(Run {
                at: ordinal,
                first: name,
            });
        }
        self.places.push_back(place);
        self.note_reach(place.segment);
        ordinal
    }

    /// What the records take on the disk, in bytes. Cost: O(records).
    pub(super) fn bytes(&self) -> u64 {
        self.places
            .iter()
            .map(|place| u64::from(place.length))
            .sum()
    }

    /// How many records there are.
    pub(super) fn len(&self) -> usize {
        self.places.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.places.is_empty()
    }

    /// The ordinal that the next record will get.
    fn end(&self) -> u64 {
        self.front + self.places.len() as u64
    }

    /// The name of the record with this ordinal.
    pub(super) fn name(&self, ordinal: u64) -> Option<Name> {
        self.place(ordinal)?;
        let behind = self.runs.partition_point(|run| run.at <= ordinal);
        let run = &self.runs[behind - 1];
        run.first.later(ordinal - run.at)
    }

    /// Where the record with this ordinal lies.
    pub(super) fn place(&self, ordinal: u64) -> Option<Place> {
        let at = usize::try_from(ordinal.checked_sub(self.front)?).ok()?;
        self.places.get(at).copied()
    }

    /// The name of the first record.
    pub(super) fn first(&self) -> Option<Name> {
        self.name(self.front)
    }

    /// The name of the last record.
    pub(super) fn last(&self) -> Option<Name> {
        self.name(self.end().checked_sub(1)?)
    }

    /// Every place with its ordinal, in order.
    pub(super) fn places(&self) -> impl Iterator<Item = (u64, Place)> {
        (self.front..).zip(self.places.iter().copied())
    }

    /// Lets go of the first record.
    pub(super) fn pop(&mut self) -> Option<Place> {
        let name = self.first()?;
        let place = self.places.pop_front()?;
        self.front += 1;
        self.gone = Some(name.number);
        self.unread = self.unread.max(self.front);
        if self.is_empty() {
            self.runs.clear();
        } else if self.runs.get(1).is_some_and(|next| next.at <= self.front) {
            self.runs.pop_front();
        }
        self.give_room_back();
        Some(place)
    }

    /// Takes back the last record, unless its ordinal is smaller than `from`.
    pub(super) fn pop_back(&mut self, from: u64) -> Option<Place> {
        if self.end() <= from {
            return None;
        }
        let place = self.places.pop_back()?;
        self.unread = self.unread.min(self.end());
        if self.runs.back().is_some_and(|run| run.at >= self.end()) {
            self.runs.pop_back();
        }
        Some(place)
    }

    /// The ordinal of the next record to be read; it counts as read from now on.
    pub(super) fn read(&mut self) -> Option<u64> {
        let ordinal = self.unread;
        self.place(ordinal)?;
        self.unread += 1;
        Some(ordinal)
    }

    /// Where the next record lies that is to be read.
    pub(super) fn unread(&self) -> Option<Place> {
        self.place(self.unread)
    }

    /// Counts every record as unread.
    pub(super) fn rewind(&mut self) {
        self.unread = self.front;
    }

    /// The greatest number of a record that is gone, if one is.
    pub(super) fn gone(&self) -> Option<u64> {
        self.gone
    }

    /// Notes what a mark of an earlier process says.
    pub(super) fn note_gone(&mut self, number: u64, segment: u32) {
        self.gone = self.gone.max(Some(number));
        self.mark = self.mark.max(Some(segment));
    }

    /// Names a new place for a record.
    pub(super) fn relocate(&mut self, ordinal: u64, to: Place) {
        let at = usize::try_from(ordinal - self.front).expect("a place that is there");
        self.places[at] = to;
        if to != Place::LOST {
            self.note_reach(to.segment);
        }
    }

    /// Notes that a record of it lies in a segment, one that is gone perhaps.
    pub(super) fn note_reach(&mut self, segment: u32) {
        let (oldest, newest) = self.reach.unwrap_or((segment, segment));
        self.reach = Some((oldest.min(segment), newest.max(segment)));
    }

    fn give_room_back(&mut self) {
        if self.places.capacity() > ROOM_MIN && self.places.len() < self.places.capacity() / 4 {
            self.places.shrink_to(self.places.len() * 2);
            self.runs.shrink_to(self.runs.len() * 2);
        }
    }
}
