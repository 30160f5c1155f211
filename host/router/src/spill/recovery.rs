//! What an earlier process has left, read back.
//!
//! Invariant: of records with one number the one furthest behind in the log counts, and none counts that a mark says is gone. Nothing
//! is deleted or cut but what a crash cut short, until the log finds that nothing lives in a file.

use std::collections::{BTreeMap, HashMap};
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;

use super::entry::{self, Content, ENTRY_MAX, Entry, MAGIC, Rest};
use super::log::{Log, Segment};
use super::mailbox::{Mailbox, Name, Place};
use super::medium::Medium;
use super::store::Store;
use super::{MailboxId, Recovered};

/// The longest segment: one that was almost full, and one more entry.
const SEGMENT_MAX: u64 = 2 * ENTRY_MAX as u64;

/// Why a segment cannot be read back.
#[derive(Debug)]
pub(super) enum RecoveryError {
    /// The disk fails; with the segment, if it was in one.
    Io(Option<u32>, io::Error),
    /// A segment of another version.
    Version(u32),
}

/// What was found of a mailbox.
#[derive(Debug, Default)]
struct Found {
    mailbox: Mailbox,
    records: Vec<(Name, Place)>,
}

/// What was found in all segments.
#[derive(Debug, Default)]
struct Finds {
    mailboxes: HashMap<MailboxId, Found>,
    highest: u64,
}

impl Finds {
    fn take(&mut self, entry: Entry, place: Place) {
        let number = entry.number;
        self.highest = self.highest.max(number);
        let found = self.mailboxes.entry(entry.mailbox).or_default();
        match entry.content {
            Content::Mark => found.mailbox.note_gone(number, place.segment),
            Content::Record(record) => {
                let name = Name {
                    number,
                    session: record.session,
                    counter: record.counter,
                };
                found.mailbox.note_reach(place.segment);
                found.records.push((name, place));
            }
        }
    }
}

/// Reads every segment of `medium`.
pub(super) fn recover<M: Medium>(
    mut medium: M,
    segment_bytes: u64,
    quota_bytes: u64,
    damaged: Arc<AtomicU64>,
) -> Result<(Store<M>, Vec<Recovered>), RecoveryError> {
    let mut finds = Finds::default();
    let mut segments = BTreeMap::new();
    let mut active = None;
    let listed = medium
        .list()
        .map_err(|error| RecoveryError::Io(None, error))?;
    let last = listed.last().map(|(segment, _)| *segment);
    for (segment, length) in listed {
        let failed = |error| RecoveryError::Io(Some(segment), error);
        let bytes = read_whole(&mut medium, segment, length).map_err(failed)?;
        if bytes.len() < MAGIC.len() {
            // A crash came while it was made.
            medium.remove(segment).map_err(failed)?;
            continue;
        }
        let is_last = last == Some(segment);
        let (length, is_whole) = read_segment(segment, is_last, &bytes, &mut finds, &damaged)?;
        if is_last && is_whole {
            if (length as usize) < bytes.len() {
                tracing::warn!(segment, "dropping what a crash cut short");
                medium.cut(segment, length).map_err(failed)?;
            }
            active = Some(segment);
        }
        // What is found now must not be gone after the next crash.
        medium.sync(segment).map_err(failed)?;
        segments.insert(segment, Segment { length, live: 0 });
    }
    let (mailboxes, recovered) = settle(finds.mailboxes, &mut segments);
    let log = Log::new(medium, segment_bytes, segments, active);
    let store = Store::new(log, mailboxes, finds.highest, quota_bytes, damaged);
    Ok((store, recovered))
}

fn read_whole<M: Medium>(medium: &mut M, segment: u32, length: u64) -> io::Result<Bytes> {
    if length > SEGMENT_MAX {
        return Err(io::Error::other(format!(
            "it has {length} bytes, more than any segment"
        )));
    }
    let mut bytes = vec![0; usize::try_from(length).map_err(io::Error::other)?];
    medium.read(segment, 0, &mut bytes)?;
    Ok(bytes.into())
}

/// Reads one segment: how long it is to be, and whether something may be written behind that.
fn read_segment(
    segment: u32,
    is_last: bool,
    bytes: &Bytes,
    finds: &mut Finds,
    damaged: &AtomicU64,
) -> Result<(u32, bool), RecoveryError> {
    let whole = u32::try_from(bytes.len()).expect("a segment's length was checked");
    let damage = |count: u64| {
        tracing::warn!(
            segment,
            count,
            "a file of the spill is damaged: what cannot be read is left out"
        );
        damaged.fetch_add(count, Ordering::Relaxed);
    };
    let (name, version) = MAGIC.split_at(MAGIC.len() - 1);
    if !bytes.starts_with(name) {
        damage(1);
        return Ok((whole, false));
    }
    if !bytes[name.len()..].starts_with(version) {
        return Err(RecoveryError::Version(segment));
    }
    let scan = entry::scan(bytes, |offset, length, entry| {
        let place = Place {
            segment,
            offset,
            length,
        };
        finds.take(entry, place);
    });
    let is_whole = scan.rest == Rest::Nothing || (scan.rest == Rest::Torn && is_last);
    let count = scan.damaged + u64::from(!is_whole);
    if count > 0 {
        damage(count);
    }
    let end = u32::try_from(scan.end).expect("within the segment");
    Ok((if is_whole { end } else { whole }, is_whole))
}

/// Puts the records of each mailbox in order and counts what lives.
fn settle(
    found: HashMap<MailboxId, Found>,
    segments: &mut BTreeMap<u32, Segment>,
) -> (HashMap<MailboxId, Mailbox>, Vec<Recovered>) {
    let mut mailboxes = HashMap::new();
    let mut recovered = Vec::new();
    for (
        id,
        Found {
            mut mailbox,
            mut records,
        },
    ) in found
    {
        // Stable: of one number the copy comes last.
        records.sort_by_key(|(name, _)| name.number);
        let gone = mailbox.gone();
        for (at, (name, place)) in records.iter().enumerate() {
            let is_copied = records
                .get(at + 1)
                .is_some_and(|(next, _)| next.number == name.number);
            if !is_copied && Some(name.number) > gone {
                mailbox.push(*name, *place);
                segments
                    .get_mut(&place.segment)
                    .expect("it was read there")
                    .live += place.length;
            }
        }
        if let (Some(first), Some(last)) = (mailbox.first(), mailbox.last()) {
            recovered.push(Recovered {
                mailbox: id,
                records: mailbox.len() as u64,
                bytes: mailbox.bytes(),
                first: first.position(),
                last: last.position(),
            });
        }
        mailboxes.insert(id, mailbox);
    }
    recovered.sort_by_key(|recovered| recovered.mailbox);
    (mailboxes, recovered)
}
