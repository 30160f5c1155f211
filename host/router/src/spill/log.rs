//! The log: entries appended to one segment after another, and which segments still hold something.
//!
//! Invariant: after [`Log::commit`] everything appended is on the disk; after [`Log::abandon`] nothing of what was appended since the
//! last commit is. A segment is deleted when no living entry lies in it, and never while it is written to.

use std::collections::BTreeMap;
use std::io;

use bytes::Bytes;

use super::entry::MAGIC;
use super::mailbox::Place;
use super::medium::Medium;

/// What is gathered before it is written, in bytes.
const BUFFER_BYTES: usize = 1 << 20;
/// The bounds of a segment's length.
const SEGMENT_BYTES: std::ops::RangeInclusive<u64> = 4 << 10..=256 << 20;
const MAGIC_BYTES: u32 = MAGIC.len() as u32;

/// One file of the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Segment {
    /// Its length with what is still in the buffer, in bytes.
    pub(super) length: u32,
    /// What of it lives, in bytes.
    pub(super) live: u32,
}

/// The log.
#[derive(Debug)]
pub(super) struct Log<M> {
    medium: M,
    segments: BTreeMap<u32, Segment>,
    /// The segment that is written to; a new one begins when there is none.
    active: Option<u32>,
    /// The greatest number that a segment ever had.
    newest: u32,
    segment_bytes: u32,
    /// The end of the active segment, not yet written.
    buffer: Vec<u8>,
    /// Where in the active segment the entries begin that are not yet safe.
    unsafe_from: u32,
    /// Segments without a living entry, to be deleted.
    dead: Vec<u32>,
}

impl<M: Medium> Log<M> {
    /// A log of the segments that were found; the last one goes on if `active` says so.
    pub(super) fn new(
        medium: M,
        segment_bytes: u64,
        segments: BTreeMap<u32, Segment>,
        active: Option<u32>,
    ) -> Self {
        let newest = segments.last_key_value().map_or(0, |(number, _)| *number);
        let bytes = segment_bytes.clamp(*SEGMENT_BYTES.start(), *SEGMENT_BYTES.end());
        let is_dead = |(number, segment): (&u32, &Segment)| {
            (segment.live == 0 && Some(*number) != active).then_some(*number)
        };
        Self {
            dead: segments.iter().filter_map(is_dead).collect(),
            unsafe_from: active.map_or(0, |active| segments[&active].length),
            medium,
            segments,
            active,
            newest,
            segment_bytes: u32::try_from(bytes).expect("clamped"),
            buffer: Vec::new(),
        }
    }

    /// Whether an entry of so many bytes needs a new segment. Everything must be committed before it is appended.
    pub(super) fn is_full_for(&self, bytes: u64) -> bool {
        self.active.is_some_and(|active| {
            let length = self.segments[&active].length;
            length > MAGIC_BYTES && u64::from(length) + bytes > u64::from(self.segment_bytes)
        })
    }

    /// Appends the entry that `write` appends to the bytes it is given, which lives if `lives` says so.
    ///
    /// # Errors
    /// When the disk fails: [`abandon`](Self::abandon) what was appended.
    pub(super) fn append(
        &mut self,
        bytes: u64,
        lives: bool,
        write: impl FnOnce(&mut Vec<u8>),
    ) -> io::Result<Place> {
        if self.is_full_for(bytes) {
            assert!(self.buffer.is_empty(), "committed before a new segment");
            self.close();
        }
        let active = match self.active {
            Some(active) => active,
            None => self.begin()?,
        };
        // Before anything is counted: an error leaves nothing of this entry behind.
        if self.buffer.len() >= BUFFER_BYTES {
            self.write()?;
        }
        let start = self.buffer.len();
        write(&mut self.buffer);
        let length =
            u32::try_from(self.buffer.len() - start).expect("an entry's length is bounded");
        let segment = self.segments.get_mut(&active).expect("active");
        let place = Place {
            segment: active,
            offset: segment.length,
            length,
        };
        segment.length += length;
        if lives {
            segment.live += length;
        }
        Ok(place)
    }

    /// Ends the active segment.
    fn close(&mut self) {
        if let Some(active) = self.active.take()
            && self.segments[&active].live == 0
        {
            self.dead.push(active);
        }
    }

    fn begin(&mut self) -> io::Result<u32> {
        let number = self.newest.checked_add(1);
        let number = number.ok_or_else(|| io::Error::other("no number is left for a segment"))?;
        self.newest = number;
        self.medium.create(number)?;
        let segment = Segment {
            length: MAGIC_BYTES,
            live: 0,
        };
        self.segments.insert(number, segment);
        self.active = Some(number);
        self.unsafe_from = MAGIC_BYTES;
        Ok(number)
    }

    /// Hands what is gathered to the system, which a crash of this process does not undo.
    pub(super) fn write(&mut self) -> io::Result<()> {
        if let Some(active) = self.active
            && !self.buffer.is_empty()
        {
            let length = u32::try_from(self.buffer.len()).expect("a part of a segment");
            let offset = self.segments[&active].length - length;
            self.medium.write(active, offset, &self.buffer)?;
            self.buffer.clear();
            self.buffer.shrink_to(2 * BUFFER_BYTES);
        }
        Ok(())
    }

    /// Writes what is gathered and lets it stand, without waiting for the disk.
    pub(super) fn write_lazily(&mut self) -> io::Result<()> {
        self.write()?;
        self.unsafe_from = self.end();
        Ok(())
    }

    /// Puts everything appended on the disk.
    pub(super) fn commit(&mut self) -> io::Result<()> {
        self.write()?;
        if let Some(active) = self.active
            && self.unsafe_from < self.end()
        {
            self.medium.sync(active)?;
            self.unsafe_from = self.end();
        }
        Ok(())
    }

    /// Takes back what was appended since the last commit. Nothing of it may count as living any more.
    pub(super) fn abandon(&mut self) {
        self.buffer.clear();
        let Some(active) = self.active else { return };
        let length = self.unsafe_from;
        self.segments.get_mut(&active).expect("active").length = length;
        let cut = self.medium.cut(active, length);
        if let Err(error) = cut.and_then(|()| self.medium.sync(active)) {
            // What the file ends with is not known: nothing is written behind it.
            self.close();
            tracing::warn!(segment = active, %error, "notices that were not stored may come back after a restart");
        }
    }

    fn end(&self) -> u32 {
        self.active
            .map_or(0, |active| self.segments[&active].length)
    }

    /// Reads an entry that was written.
    pub(super) fn read(&mut self, place: Place) -> io::Result<Bytes> {
        let mut bytes = vec![0; place.length as usize];
        self.medium.read(place.segment, place.offset, &mut bytes)?;
        Ok(bytes.into())
    }

    /// Counts an entry as dead.
    pub(super) fn bury(&mut self, place: Place) {
        if place == Place::LOST {
            return;
        }
        let held = self.segments.get_mut(&place.segment);
        let segment = held.expect("a segment stays while an entry in it lives");
        segment.live -= place.length;
        if segment.live == 0 && self.active != Some(place.segment) {
            self.dead.push(place.segment);
        }
    }

    /// Deletes the segments in which nothing lives; returns which are gone.
    pub(super) fn reap(&mut self) -> Vec<u32> {
        let mut gone = Vec::new();
        let mut kept = Vec::new();
        for number in std::mem::take(&mut self.dead) {
            match self.medium.remove(number) {
                Ok(()) => {
                    self.segments.remove(&number);
                    gone.push(number);
                }
                Err(error) => {
                    tracing::warn!(segment = number, %error, "cannot delete a file of the spill");
                    kept.push(number);
                }
            }
        }
        self.dead = kept;
        gone
    }

    /// Whether a segment is there whose number lies between these two or is one of them.
    pub(super) fn reaches(&self, (oldest, newest): (u32, u32)) -> bool {
        self.segments.range(oldest..=newest).next().is_some()
    }

    /// The segment in which the smallest part lives, not the active one, and nothing if all of it lives.
    pub(super) fn emptiest(&self) -> Option<u32> {
        self.segments
            .iter()
            .filter(|(number, segment)| {
                Some(**number) != self.active && segment.live > 0 && segment.live < segment.length
            })
            .min_by_key(|(_, segment)| u64::from(segment.live) * 1000 / u64::from(segment.length))
            .map(|(number, _)| *number)
    }

    /// What the files take and what of it lives, in bytes.
    pub(super) fn bytes(&self) -> (u64, u64) {
        self.segments.values().fold((0, 0), |(all, live), segment| {
            (
                all + u64::from(segment.length),
                live + u64::from(segment.live),
            )
        })
    }

    /// The length from which on a segment is full, in bytes.
    pub(super) fn segment_bytes(&self) -> u64 {
        self.segment_bytes.into()
    }
}
