//! A target for the segments of a router's spill: a file that a crash, a disk or somebody else has changed.

use bytes::Bytes;
use sc_crypto::hash::sha256;
use sc_router::{MailboxId, Record, records_of_segment};

use crate::pieces::Pieces;

/// What each segment begins with.
pub(crate) const MAGIC: &[u8] = b"SCSPILL\x01";

/// The entry with this body.
pub(crate) fn entry(body: &[u8]) -> Vec<u8> {
    let length = u32::try_from(body.len()).expect("seeds are small");
    let mut header = Vec::new();
    header.extend_from_slice(&length.to_le_bytes());
    header.extend_from_slice(&(!length).to_le_bytes());
    let digest = sha256(&[&header, body].concat());
    [&header, &digest[..8], body].concat()
}

/// The body of a record, as docs/FORMATS.md has it.
pub(crate) fn body(mailbox: &MailboxId, number: u64, record: &Record) -> Vec<u8> {
    let mut body = vec![1];
    body.extend_from_slice(&mailbox.domain);
    body.extend_from_slice(&mailbox.consumer);
    for field in [number, record.session, record.counter] {
        body.extend_from_slice(&field.to_le_bytes());
    }
    let parts = || std::iter::once(&record.frame.head).chain(&record.frame.attachments);
    body.extend_from_slice(&(parts().count() as u32).to_le_bytes());
    parts().for_each(|part| body.extend_from_slice(&(part.len() as u32).to_le_bytes()));
    parts().for_each(|part| body.extend_from_slice(part));
    body
}

/// A segment as it is, or, when the input begins with an odd byte, one of entries whose digests are right whatever their bodies are.
///
/// # Panics
/// When a record is read that nobody can have written, or two ways of writing one are taken.
pub fn segment(bytes: &[u8]) {
    let mut pieces = Pieces::new(bytes);
    if pieces.byte().unwrap_or_default().is_multiple_of(2) {
        let raw = Bytes::copy_from_slice(bytes.get(1..).unwrap_or_default());
        for (mailbox, number, record) in records_of_segment(&raw) {
            let own = entry(&body(&mailbox, number, &record));
            assert!(raw.windows(own.len()).any(|part| part == own));
        }
        return;
    }
    let bodies: Vec<_> = std::iter::from_fn(|| pieces.piece()).collect();
    let entries: Vec<u8> = bodies.iter().flat_map(|body| entry(body)).collect();
    let mut left = bodies.iter();
    for (mailbox, number, record) in records_of_segment(&[MAGIC, &entries].concat().into()) {
        let own = body(&mailbox, number, &record);
        assert!(left.any(|body| **body == own), "read as it was written");
    }
}
