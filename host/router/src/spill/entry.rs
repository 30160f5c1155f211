//! The entries of a segment file: what is written for a record and for a mark, and what is read back.
//!
//! Invariant: an entry that decodes is, byte for byte, one that was written, except that a flipped bit escapes a 64-bit digest once in
//! 2^64 times. A length is written twice, so that damage in one entry does not hide the entries after it.
//! Source: docs/FORMATS.md, "Spill".

use aws_lc_rs::digest::{Context, SHA256};
use bytes::Bytes;
use sc_transport::Frame;

use super::{MailboxId, Record};

/// What every segment begins with: its name and the version.
pub(super) const MAGIC: [u8; 8] = *b"SCSPILL\x01";
/// Length, its complement, digest.
const HEADER_BYTES: usize = 4 + 4 + DIGEST_BYTES;
/// The longest entry. A frame is far smaller: what a link carries is bounded by its settings.
pub(super) const ENTRY_MAX: usize = 256 << 20;
/// The length of a mark's entry.
pub(super) const MARK_BYTES: u64 = (HEADER_BYTES + BODY_MIN) as u64;
const DIGEST_BYTES: usize = 8;
/// Kind, mailbox, number.
const BODY_MIN: usize = 1 + 64 + 8;
const RECORD: u8 = 1;
const MARK: u8 = 2;

/// One entry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Entry {
    /// Whose.
    pub(super) mailbox: MailboxId,
    /// Of a record: its own, greater than those before it in the mailbox. Of a mark: the last one that is gone.
    pub(super) number: u64,
    /// What it says.
    pub(super) content: Content,
}

/// What an entry says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Content {
    /// A notice.
    Record(Record),
    /// Everything in the mailbox up to the entry's number is gone.
    Mark,
}

/// How many bytes the entry of a record takes.
pub(super) fn record_bytes(record: &Record) -> u64 {
    let parts = 1 + record.frame.attachments.len() as u64;
    (HEADER_BYTES + BODY_MIN) as u64 + 8 + 8 + 4 + 4 * parts + record.frame.len()
}

/// Appends the entry of a record that takes at most [`ENTRY_MAX`] bytes.
pub(super) fn push_record(out: &mut Vec<u8>, mailbox: &MailboxId, number: u64, record: &Record) {
    push(out, RECORD, mailbox, number, |out| {
        out.extend_from_slice(&record.session.to_le_bytes());
        out.extend_from_slice(&record.counter.to_le_bytes());
        let Frame { head, attachments } = &record.frame;
        let parts = || std::iter::once(head).chain(attachments);
        push_length(out, 1 + attachments.len());
        parts().for_each(|part| push_length(out, part.len()));
        parts().for_each(|part| out.extend_from_slice(part));
    });
}

/// Appends the entry of a mark.
pub(super) fn push_mark(out: &mut Vec<u8>, mailbox: &MailboxId, number: u64) {
    push(out, MARK, mailbox, number, |_| {});
}

fn push(
    out: &mut Vec<u8>,
    kind: u8,
    mailbox: &MailboxId,
    number: u64,
    rest: impl FnOnce(&mut Vec<u8>),
) {
    let start = out.len();
    out.extend_from_slice(&[0; HEADER_BYTES]);
    out.push(kind);
    out.extend_from_slice(&mailbox.domain);
    out.extend_from_slice(&mailbox.consumer);
    out.extend_from_slice(&number.to_le_bytes());
    rest(out);
    let (header, body) = out[start..].split_at_mut(HEADER_BYTES);
    let length = u32::try_from(body.len()).expect("an entry is at most ENTRY_MAX bytes long");
    header[..4].copy_from_slice(&length.to_le_bytes());
    header[4..8].copy_from_slice(&(!length).to_le_bytes());
    let digest = digest(&header[..8], body);
    header[8..].copy_from_slice(&digest);
}

fn push_length(out: &mut Vec<u8>, length: usize) {
    let length = u32::try_from(length).expect("a part is shorter than its entry");
    out.extend_from_slice(&length.to_le_bytes());
}

fn digest(length: &[u8], body: &[u8]) -> [u8; DIGEST_BYTES] {
    let mut context = Context::new(&SHA256);
    context.update(length);
    context.update(body);
    let digest = context.finish();
    *digest
        .as_ref()
        .first_chunk()
        .expect("SHA-256 is longer than what is kept of it")
}

/// The length of the whole entry that `bytes` begin with, if they begin with the header of one.
fn entry_bytes(bytes: &[u8]) -> Option<usize> {
    let (length, rest) = bytes.split_first_chunk()?;
    let (complement, _) = rest.split_first_chunk()?;
    let length = u32::from_le_bytes(*length);
    let fits = length == !u32::from_le_bytes(*complement)
        && (BODY_MIN..=ENTRY_MAX - HEADER_BYTES).contains(&(length as usize));
    fits.then_some(HEADER_BYTES + length as usize)
}

/// Reads `bytes` as exactly one entry. The parts of its frame share the bytes.
pub(super) fn decode(bytes: &Bytes) -> Option<Entry> {
    if entry_bytes(bytes)? != bytes.len() {
        return None;
    }
    let (header, body) = bytes.split_at(HEADER_BYTES);
    if digest(&header[..8], body) != header[8..] {
        return None;
    }
    let mut fields = Fields(bytes.slice(HEADER_BYTES..));
    let [kind] = fields.array()?;
    let mailbox = MailboxId {
        domain: fields.array()?,
        consumer: fields.array()?,
    };
    let number = fields.number()?;
    let content = match kind {
        RECORD => Content::Record(fields.record()?),
        MARK => Content::Mark,
        _ => return None,
    };
    fields.0.is_empty().then_some(Entry {
        mailbox,
        number,
        content,
    })
}

/// What is left to read of a body.
struct Fields(Bytes);

impl Fields {
    fn take(&mut self, length: usize) -> Option<Bytes> {
        (length <= self.0.len()).then(|| self.0.split_to(length))
    }

    fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        self.take(N)?.as_ref().try_into().ok()
    }

    fn number(&mut self) -> Option<u64> {
        self.array().map(u64::from_le_bytes)
    }

    fn length(&mut self) -> Option<usize> {
        self.array().map(|bytes| u32::from_le_bytes(bytes) as usize)
    }

    fn record(&mut self) -> Option<Record> {
        let (session, counter) = (self.number()?, self.number()?);
        let parts = self.length()?;
        // Each part has a length here: no room is made for more than that.
        let mut lengths = Self(self.take(parts.checked_mul(4)?)?);
        let head = self.take(lengths.length()?)?;
        let mut attachments = Vec::with_capacity(parts - 1);
        for _ in 1..parts {
            attachments.push(self.take(lengths.length()?)?);
        }
        let frame = Frame { head, attachments };
        Some(Record {
            session,
            counter,
            frame,
        })
    }
}

/// What was found in a segment beside its entries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Scan {
    /// Where the part ends that can be read, in bytes from the beginning of the file.
    pub(super) end: usize,
    /// How many entries before `end` are damaged.
    pub(super) damaged: u64,
    /// What follows behind `end`.
    pub(super) rest: Rest,
}

/// What follows behind the part of a segment that can be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Rest {
    /// Nothing.
    Nothing,
    /// What a crash cut short: a part of an entry, zeros, or one last entry whose bytes did not all come.
    Torn,
    /// Something else.
    Damaged,
}

/// Reads the bytes of a segment, without [`MAGIC`], and passes on each entry with its offset in the file and its length.
pub(super) fn scan(bytes: &Bytes, mut each: impl FnMut(u32, u32, Entry)) -> Scan {
    let mut scan = Scan {
        end: MAGIC.len(),
        damaged: 0,
        rest: Rest::Nothing,
    };
    let mut left = bytes.slice(MAGIC.len().min(bytes.len())..);
    while !left.is_empty() {
        let Some(length) = entry_bytes(&left) else {
            let torn = left.len() < HEADER_BYTES || left.iter().all(|byte| *byte == 0);
            scan.rest = if torn { Rest::Torn } else { Rest::Damaged };
            break;
        };
        if length > left.len() {
            scan.rest = Rest::Torn;
            break;
        }
        let own = left.split_to(length);
        match decode(&own) {
            Some(entry) => each(narrow(scan.end), narrow(length), entry),
            None if left.is_empty() => {
                scan.rest = Rest::Torn;
                break;
            }
            None => scan.damaged += 1,
        }
        scan.end += length;
    }
    scan
}

/// An offset in a segment.
fn narrow(offset: usize) -> u32 {
    u32::try_from(offset).expect("a segment is shorter than 4 GiB: checked before it is read")
}
