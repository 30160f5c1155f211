//! The notices that one batch leads to, while its headers are matched.
//!
//! Invariants: the entries of one draft take at most [`NOTICE_BYTES_MAX`], all drafts together at most [`NOTICES_BYTES_MAX`]; a draft
//! that exceeds the first, the largest whenever they exceed the second, and each of a suspended consumer counts what matched and holds
//! nothing of it. So whatever a batch matches, what is made of it is bounded, and each consumer gets its entries or is told their number.

use std::collections::BTreeSet;

use crate::consumers::{Consumers, Missed, Place};
use crate::notice::NoticeWriter;
use crate::recipients::Row;

/// Bytes of the entries in one notice, without the payloads that go along. Few in this crate's unit tests, which reach the bound.
pub const NOTICE_BYTES_MAX: usize = if cfg!(test) { 512 } else { 16 << 20 };
/// Bytes of notices that one message may lead to, about: far below what the stream to the host carries in one piece. Few in this
/// crate's unit tests, which reach the bound.
pub const NOTICES_BYTES_MAX: usize = if cfg!(test) { 1024 } else { 64 << 20 };
/// Bytes of drafts that wait for their next use: to ask for memory again for each batch costs more than to write it.
const KEPT_BYTES_MAX: usize = if cfg!(test) { 1024 } else { 16 << 20 };

/// A draft's place among those of the batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct DraftId(u32);

/// One consumer's notice of the batch.
pub(crate) struct Draft {
    pub(crate) consumer: Place,
    pub(crate) writer: NoticeWriter,
    /// Once nothing more is entered: how many publications matched, and the last of them.
    counted: Option<(u64, u32)>,
}

impl Draft {
    /// What it says instead of entries; `None` when it has them.
    pub(crate) fn missed(&self) -> Option<Missed> {
        self.counted.map(|(publications, _)| Missed {
            batches: 1,
            publications,
        })
    }

    /// Counts publication `number`, once, if this draft only counts.
    fn count(&mut self, number: u32) -> bool {
        if let Some((publications, last)) = &mut self.counted {
            *publications += u64::from(*publications == 0 || *last != number);
            *last = number;
        }
        self.counted.is_some()
    }
}

/// All drafts of the batch.
#[derive(Default)]
pub(crate) struct Drafts {
    /// Those in use, then some that wait for their next use.
    all: Vec<Draft>,
    used: usize,
    bytes: usize,
    any_counts: bool,
    /// Those with entries by their size, since they exceeded their bound together for the first time.
    by_size: Option<BTreeSet<(usize, DraftId)>>,
}

impl Drafts {
    /// Enters publication `number` for `recipients`, which are in ascending order.
    pub(crate) fn note(
        &mut self,
        consumers: &mut Consumers,
        number: u32,
        recipients: &[Row],
        key_and_hash: Option<(&[u8; 32], &[u8; 32])>,
    ) {
        for of_one in recipients.chunk_by(|a, b| a.consumer == b.consumer) {
            let id = self.of_consumer(consumers, of_one[0].consumer);
            if !self.get_mut(id).count(number) {
                self.enter(id, number, of_one, key_and_hash);
            }
        }
    }

    fn get_mut(&mut self, id: DraftId) -> &mut Draft {
        &mut self.all[id.0 as usize]
    }

    /// The draft of this consumer, a fresh one if it has none yet.
    fn of_consumer(&mut self, consumers: &mut Consumers, place: Place) -> DraftId {
        let consumer = consumers.get_mut(place);
        if let Some(id) = consumer.draft {
            return id;
        }
        let id = DraftId(self.used as u32);
        consumer.draft = Some(id);
        let is_suspended = consumer.suspended.is_some();
        let counted = is_suspended.then_some((0, 0));
        match self.all.get_mut(self.used) {
            Some(draft) => {
                draft.consumer = place;
                draft.counted = counted;
            }
            None => self.all.push(Draft {
                consumer: place,
                writer: NoticeWriter::default(),
                counted,
            }),
        }
        self.used += 1;
        self.any_counts |= is_suspended;
        if !is_suspended {
            self.bytes += self.get_mut(id).writer.encoded_len();
        }
        id
    }

    fn enter(
        &mut self,
        id: DraftId,
        number: u32,
        rows: &[Row],
        key_and_hash: Option<(&[u8; 32], &[u8; 32])>,
    ) {
        let writer = &mut self.get_mut(id).writer;
        let before = writer.encoded_len();
        writer.push(number, rows.iter().map(|row| row.id), key_and_hash);
        let (after, entries) = (writer.encoded_len(), writer.entries_len());
        self.bytes += after - before;
        if let Some(by_size) = &mut self.by_size {
            by_size.remove(&(before, id));
            by_size.insert((after, id));
        }
        if entries > NOTICE_BYTES_MAX {
            self.empty(id, number);
        }
        while self.bytes > NOTICES_BYTES_MAX {
            let Some(largest) = self.largest() else { break };
            self.empty(largest, number);
        }
    }

    /// The largest draft that has entries. The first call costs O(drafts), each other O(log drafts).
    fn largest(&mut self) -> Option<DraftId> {
        let Self {
            all, used, by_size, ..
        } = self;
        let in_use = (0..).map(DraftId).zip(&all[..*used]);
        let with_entries = in_use
            .filter(|(_, draft)| draft.counted.is_none())
            .map(|(id, draft)| (draft.writer.encoded_len(), id));
        let by_size = by_size.get_or_insert_with(|| with_entries.collect());
        by_size.last().map(|(_, id)| *id)
    }

    /// Drops the entries of a draft, the last of which was for publication `number` or one before, and counts from there on.
    fn empty(&mut self, id: DraftId, number: u32) {
        let draft = self.get_mut(id);
        let size = draft.writer.encoded_len();
        let last = draft.writer.last_index();
        debug_assert!(last <= number, "publications are matched in order");
        draft.counted = Some((u64::from(draft.writer.count()), last));
        draft.writer.release();
        let freed = size - draft.writer.encoded_len();
        self.bytes -= freed;
        self.any_counts = true;
        if let Some(by_size) = &mut self.by_size {
            by_size.remove(&(size, id));
        }
    }

    /// Of the batch's `matched` publications, those that are entered in a draft at least.
    pub(crate) fn entered(&self, matched: u32) -> u32 {
        if !self.any_counts {
            return matched;
        }
        let with_entries = self.all[..self.used].iter().map(|draft| &draft.writer);
        let mut entered: Vec<u32> = with_entries
            .flat_map(|writer| writer.payloads().iter().copied())
            .collect();
        entered.sort_unstable();
        entered.dedup();
        entered.len() as u32
    }

    /// The drafts of the batch, in the order of the consumers, which forget them.
    pub(crate) fn finish(&mut self, consumers: &mut Consumers) -> &mut [Draft] {
        let in_use = &mut self.all[..self.used];
        in_use.sort_unstable_by_key(|draft| draft.consumer);
        for draft in &*in_use {
            consumers.get_mut(draft.consumer).draft = None;
        }
        in_use
    }

    #[cfg(test)]
    pub(crate) fn kept(&self) -> usize {
        self.all.len()
    }

    /// Forgets everything that was entered, and the memory of all but some.
    pub(crate) fn clear(&mut self) {
        for draft in &mut self.all[..self.used] {
            if draft.writer.count() > 0 {
                draft.writer.discard();
            }
        }
        let mut kept = 0;
        let rooms = self.all.iter().map(|draft| draft.writer.room());
        let fit = rooms.take_while(|room| {
            kept += size_of::<Draft>() + room;
            kept <= KEPT_BYTES_MAX
        });
        self.all.truncate(fit.count());
        self.used = 0;
        self.bytes = 0;
        self.any_counts = false;
        self.by_size = None;
    }
}
