//! A notice: what the program tells one consumer about one batch, or about itself.
//!
//! An entry gives the consumer what it needs to open one payload and nothing about the others. In the unencrypted mode an entry has
//! neither key nor hash.

use sc_crypto::{VerifyingKey, wipe};

use crate::Malformed;
use crate::batch::Origin;
use crate::bytes::{Reader, push_varint};

const VERSION: u8 = 1;
/// Length in bytes of a notice's part before its entries, with its seal and what the host is told of it, at most.
pub(crate) const HEAD_BYTES: usize = 192;
/// Length in bytes of a publisher's coverage.
pub(crate) const COVERAGE_BYTES: usize = 64;
/// Room for entries that a writer keeps when it starts anew, in bytes.
const ROOM_KEPT_MAX: usize = 64 << 10;
/// Length in bytes of a payload key with the payload's hash.
const KEY_AND_HASH_BYTES: usize = 64;

/// How far the batches of one publisher have come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Coverage {
    /// Whose.
    pub publisher: VerifyingKey,
    /// What the publisher had settled before it began in this session: nothing up to here comes again.
    pub floor: Origin,
    /// The greatest origin taken in this session; the floor if none was.
    pub taken: Origin,
}

/// Why a notice was made.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum NoticeKind {
    /// A batch of `publisher` matched.
    Matches {
        /// Who published it.
        publisher: VerifyingKey,
        /// The publisher's start number in this session; payloads are bound to it, as to the counter.
        start: u64,
        /// Its place in the publisher's sequence of this session.
        counter: u64,
        /// Its place across sessions.
        origin: Origin,
    },
    /// The program lives, and nothing was withheld up to this notice's counter.
    Heartbeat {
        /// How far each publisher of the domain has come.
        publishers: Vec<Coverage>,
    },
    /// The lease has run out; the consumer's subscriptions are dropped.
    Expired,
    /// The owner has revoked the consumer.
    Revoked,
    /// The host keeps nothing more for this consumer; what it misses from now on is counted.
    Suspended,
    /// So much matched this consumer and was not noted for it: while it was suspended, or because one notice would have been too large.
    Missed {
        /// Batches.
        batches: u64,
        /// Publications in them.
        publications: u64,
    },
}

/// The part of a notice before its entries, and a cursor over them.
pub struct Notice<'a> {
    /// Why it was made.
    pub kind: NoticeKind,
    /// The domain's time, milliseconds since the Unix epoch.
    pub time_ms: u64,
    plain: bool,
    left: usize,
    index: u64,
    entries: Reader<'a>,
}

/// One matching publication.
pub struct Entry<'a> {
    /// Its place in the batch.
    pub index: u32,
    /// The payload's key, then SHA-256 of the sealed payload; `None` in the unencrypted mode.
    pub key_and_hash: Option<(&'a [u8; 32], &'a [u8; 32])>,
}

impl<'a> Notice<'a> {
    /// Reads an opened notice.
    ///
    /// # Errors
    /// [`Malformed`]; entries are checked as they are read.
    pub fn decode(bytes: &'a [u8]) -> Result<Self, Malformed> {
        let mut reader = Reader::new(bytes);
        reader.version(VERSION)?;
        let time_ms = reader.u64()?;
        let kind = match reader.u8()? {
            0 => NoticeKind::Matches {
                publisher: VerifyingKey::from_bytes(reader.array()?),
                start: reader.u64()?,
                counter: reader.u64()?,
                origin: Origin::read(&mut reader)?,
            },
            1 => {
                let count = reader.count(COVERAGE_BYTES)?;
                let publishers = (0..count).map(|_| read_coverage(&mut reader));
                NoticeKind::Heartbeat {
                    publishers: publishers.collect::<Result<_, _>>()?,
                }
            }
            2 => NoticeKind::Expired,
            3 => NoticeKind::Revoked,
            4 => NoticeKind::Suspended,
            5 => NoticeKind::Missed {
                batches: reader.u64()?,
                publications: reader.u64()?,
            },
            _ => return Err(Malformed("its kind is unknown")),
        };
        let plain = match reader.u8()? {
            0 => false,
            1 => true,
            _ => return Err(Malformed("its mode is unknown")),
        };
        let left = reader.count(2)?;
        Ok(Self {
            kind,
            time_ms,
            plain,
            left,
            index: 0,
            entries: reader,
        })
    }

    /// Whether its entries come without keys, as in the unencrypted mode.
    #[must_use]
    pub fn is_plain(&self) -> bool {
        self.plain
    }

    /// Entries not read yet.
    #[must_use]
    pub fn remaining(&self) -> usize {
        self.left
    }

    /// The next entry; its subscriptions' ids replace the content of `ids`.
    ///
    /// # Errors
    /// [`Malformed`], also when bytes follow the last entry.
    pub fn next_entry(&mut self, ids: &mut Vec<u64>) -> Result<Option<Entry<'a>>, Malformed> {
        ids.clear();
        if self.left == 0 {
            let rest = self.entries.rest();
            return if rest.is_empty() {
                Ok(None)
            } else {
                Err(Malformed("bytes follow its end"))
            };
        }
        self.left -= 1;
        self.index = self
            .index
            .checked_add(self.entries.varint()?)
            .ok_or(Malformed("an index does not fit"))?;
        let index = u32::try_from(self.index).map_err(|_| Malformed("an index does not fit"))?;
        for _ in 0..self.entries.varint()? {
            ids.push(self.entries.varint()?);
        }
        let key_and_hash = if self.plain {
            None
        } else {
            Some((self.array()?, self.array()?))
        };
        Ok(Some(Entry {
            index,
            key_and_hash,
        }))
    }

    fn array(&mut self) -> Result<&'a [u8; 32], Malformed> {
        Ok(self
            .entries
            .take(32)?
            .try_into()
            .expect("take returns what was asked for"))
    }
}

fn read_coverage(reader: &mut Reader<'_>) -> Result<Coverage, Malformed> {
    Ok(Coverage {
        publisher: VerifyingKey::from_bytes(reader.array()?),
        floor: Origin::read(reader)?,
        taken: Origin::read(reader)?,
    })
}

/// The entries of one notice, as the engine collects them.
#[derive(Default)]
pub(crate) struct NoticeWriter {
    entries: Vec<u8>,
    count: u32,
    last_index: u32,
    payloads: Vec<u32>,
    deliveries: u64,
}

impl NoticeWriter {
    /// Adds publication `index`, which is not less than the last, for the subscriptions `ids`.
    pub(crate) fn push(
        &mut self,
        index: u32,
        ids: impl ExactSizeIterator<Item = u64>,
        key_and_hash: Option<(&[u8; 32], &[u8; 32])>,
    ) {
        debug_assert!(
            index >= self.last_index,
            "publications are matched in order"
        );
        self.entries.reserve(KEY_AND_HASH_BYTES + 16);
        push_varint(&mut self.entries, u64::from(index - self.last_index));
        push_varint(&mut self.entries, ids.len() as u64);
        self.deliveries += ids.len() as u64;
        ids.for_each(|id| push_varint(&mut self.entries, id));
        if let Some((key, hash)) = key_and_hash {
            self.entries.extend_from_slice(key);
            self.entries.extend_from_slice(hash);
        }
        self.last_index = index;
        self.count += 1;
        self.payloads.push(index);
    }

    /// Entries so far.
    pub(crate) fn count(&self) -> u32 {
        self.count
    }

    /// The publication added last; 0 before the first.
    pub(crate) fn last_index(&self) -> u32 {
        self.last_index
    }

    pub(crate) fn entries_len(&self) -> usize {
        self.entries.len()
    }

    /// Bytes that it holds, whether they are in use or not.
    pub(crate) fn room(&self) -> usize {
        self.entries.capacity() + size_of::<u32>() * self.payloads.capacity()
    }

    /// Bytes of the notice if it were finished now, about.
    pub(crate) fn encoded_len(&self) -> usize {
        HEAD_BYTES + self.entries.len()
    }

    pub(crate) fn deliveries(&self) -> u64 {
        self.deliveries
    }

    /// The indexes of the publications added.
    pub(crate) fn payloads(&self) -> &[u32] {
        &self.payloads
    }

    /// As [`Self::payloads`], and empties the list.
    pub(crate) fn take_payloads(&mut self) -> Vec<u32> {
        core::mem::take(&mut self.payloads)
    }

    /// Forgets the entries, keys and all.
    pub(crate) fn discard(&mut self) {
        wipe(&mut self.entries);
        let mut entries = core::mem::take(&mut self.entries);
        entries.shrink_to(ROOM_KEPT_MAX);
        *self = Self {
            entries,
            ..Self::default()
        };
    }

    /// As [`Self::discard`], and gives the memory back.
    pub(crate) fn release(&mut self) {
        self.discard();
        *self = Self::default();
    }

    /// Writes the notice that holds the entries to `out` and starts anew.
    pub(crate) fn finish(
        &mut self,
        kind: &NoticeKind,
        time_ms: u64,
        plain: bool,
        out: &mut Vec<u8>,
    ) {
        out.reserve(128 + self.entries.len());
        out.push(VERSION);
        out.extend_from_slice(&time_ms.to_le_bytes());
        match kind {
            NoticeKind::Matches {
                publisher,
                start,
                counter,
                origin,
            } => {
                out.push(0);
                out.extend_from_slice(publisher.as_bytes());
                out.extend_from_slice(&start.to_le_bytes());
                out.extend_from_slice(&counter.to_le_bytes());
                origin.encode(out);
            }
            NoticeKind::Heartbeat { publishers } => {
                out.push(1);
                out.extend_from_slice(&(publishers.len() as u32).to_le_bytes());
                for coverage in publishers {
                    out.extend_from_slice(coverage.publisher.as_bytes());
                    coverage.floor.encode(out);
                    coverage.taken.encode(out);
                }
            }
            NoticeKind::Expired => out.push(2),
            NoticeKind::Revoked => out.push(3),
            NoticeKind::Suspended => out.push(4),
            NoticeKind::Missed {
                batches,
                publications,
            } => {
                out.push(5);
                out.extend_from_slice(&batches.to_le_bytes());
                out.extend_from_slice(&publications.to_le_bytes());
            }
        }
        out.push(u8::from(plain));
        out.extend_from_slice(&self.count.to_le_bytes());
        out.extend_from_slice(&self.entries);
        self.discard();
    }
}
