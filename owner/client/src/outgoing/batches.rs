//! Publications on their way: collected into batches, sealed when credit is in hand, kept until they are receipted and settled.
//!
//! Invariant: batches keep the order of their publications; what is not both receipted and settled is still held, so that it can be
//! sealed anew into the next session under the same origin.

use std::collections::VecDeque;
use std::time::Duration;

use bytes::Bytes;
use sc_cbr::{BatchWriter, MessageKind, Origin, PublisherKeys, Scope};
use sc_crypto::hash::sha256;
use sc_matching::bound::BLOCK_NAMES_MAX;
use sc_matching::{Name, Publication, ValueRef};

/// Length in bytes that the seal adds to a payload.
const TAG_BYTES: usize = 16;
/// Most publications of one batch, whatever its bounds say: their payloads' sizes fit the head of a frame.
const PUBLICATIONS_MAX: usize = 32_768;

/// When a batch is closed: at whichever bound comes first.
#[derive(Debug, Clone, Copy)]
pub struct BatchBounds {
    /// Publications in one batch.
    pub publications: usize,
    /// Bytes of headers and payloads in one batch, about.
    pub bytes: usize,
    /// How long the first publication of a batch waits for others.
    pub linger: Duration,
}

impl Default for BatchBounds {
    fn default() -> Self {
        Self {
            publications: 512,
            bytes: 256 << 10,
            linger: Duration::from_millis(1),
        }
    }
}

/// A closed batch.
pub(crate) struct Pending {
    /// 1, 2, 3 … within its start.
    pub(crate) number: u64,
    pub(crate) items: Vec<(Publication, Bytes)>,
    /// About how many bytes its frame will have.
    pub(crate) bytes: usize,
}

/// A batch as it goes out.
pub(crate) struct SealedBatch {
    pub(crate) ciphertext: Vec<u8>,
    pub(crate) payloads: Vec<u8>,
    pub(crate) payload_sizes: Vec<u32>,
}

impl Pending {
    /// Seals headers and payloads as message `counter`, with its origin under `start`.
    pub(crate) fn seal(
        &self,
        scope: &Scope,
        keys: &PublisherKeys,
        counter: u64,
        start: u64,
        time_ms: u64,
    ) -> SealedBatch {
        let origin = Origin {
            start,
            number: self.number,
        };
        let mut writer = BatchWriter::default();
        let mut payloads = Vec::with_capacity(self.bytes);
        let mut payload_sizes = Vec::with_capacity(self.items.len());
        let mut data = scope.payload_data(counter);
        for (index, (publication, payload)) in (0..).zip(&self.items) {
            let begin = payloads.len();
            let hash = match keys.payload_key(counter, index) {
                Some(key) => {
                    key.seal(data.of(index), payload, &mut payloads);
                    Some(sha256(&payloads[begin..]))
                }
                None => {
                    payloads.extend_from_slice(payload);
                    None
                }
            };
            payload_sizes.push((payloads.len() - begin) as u32);
            writer
                .push(publication, hash.as_ref())
                .expect("batches are closed before a header block is full");
        }
        let mut ciphertext = Vec::new();
        keys.batch.seal(
            scope,
            MessageKind::Batch,
            counter,
            &writer.finish(origin, time_ms),
            &mut ciphertext,
        );
        SealedBatch {
            ciphertext,
            payloads,
            payload_sizes,
        }
    }
}

/// A batch that was sent in this session.
struct Sent {
    counter: u64,
    pending: Pending,
}

/// What came of batches that are let go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Released {
    /// The last of them.
    pub(crate) number: u64,
    /// Publications in them.
    pub(crate) publications: u64,
}

pub(crate) struct Batches {
    bounds: BatchBounds,
    /// Whether time closes batches: not where the same input has to give the same batches.
    lingers: bool,
    /// Of the last batch closed.
    last: u64,
    open: Vec<(Publication, Bytes)>,
    open_bytes: usize,
    /// Names in the open batch's table, at most.
    open_names: usize,
    open_since: Duration,
    /// Closed, not sent in this session.
    waiting: VecDeque<Pending>,
    /// Sent in this session and not let go.
    sent: VecDeque<Sent>,
    /// How many of those, the first ones, have their receipt.
    receipted: usize,
    /// The last message of this session that is settled.
    settled: u64,
    held_bytes: usize,
}

impl Batches {
    /// No batches yet; the first will be the one after number `last`.
    pub(crate) fn new(bounds: BatchBounds, lingers: bool, last: u64) -> Self {
        Self {
            bounds,
            lingers,
            last,
            open: Vec::new(),
            open_bytes: 0,
            open_names: 0,
            open_since: Duration::ZERO,
            waiting: VecDeque::new(),
            sent: VecDeque::new(),
            receipted: 0,
            settled: 0,
            held_bytes: 0,
        }
    }

    /// Bytes of everything that is not receipted and settled.
    pub(crate) fn held_bytes(&self) -> usize {
        self.held_bytes
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.open.is_empty() && self.is_settled()
    }

    /// Whether every closed batch was let go.
    pub(crate) fn is_settled(&self) -> bool {
        self.waiting.is_empty() && self.sent.is_empty()
    }

    pub(crate) fn push(&mut self, now: Duration, publication: Publication, payload: Bytes) {
        let mut bytes = wire_bytes(&publication, &payload);
        let last = self.open.last().map(|(last, _)| last);
        let (mut names, mut name_bytes) = new_names(&publication, last);
        // The table wants room for all names of a publication before it looks which of them it has.
        if self.open_bytes + bytes + name_bytes > self.bounds.bytes
            || self.open_names + publication.attributes().len() > BLOCK_NAMES_MAX
        {
            self.close();
            (names, name_bytes) = new_names(&publication, None);
        }
        bytes += name_bytes;
        if self.open.is_empty() {
            self.open_since = now;
        }
        self.open_names += names;
        self.open_bytes += bytes;
        self.held_bytes += bytes;
        self.open.push((publication, payload));
        if self.open.len() >= self.bounds.publications.min(PUBLICATIONS_MAX) {
            self.close();
        }
    }

    /// When the open batch has to be closed.
    pub(crate) fn deadline(&self) -> Option<Duration> {
        (self.lingers && !self.open.is_empty()).then(|| self.open_since + self.bounds.linger)
    }

    pub(crate) fn close_due(&mut self, now: Duration) {
        if self.deadline().is_some_and(|deadline| deadline <= now) {
            self.close();
        }
    }

    pub(crate) fn close(&mut self) {
        if self.open.is_empty() {
            return;
        }
        self.last += 1;
        self.open_names = 0;
        self.waiting.push_back(Pending {
            number: self.last,
            items: core::mem::take(&mut self.open),
            bytes: core::mem::take(&mut self.open_bytes),
        });
    }

    /// The batch to send next.
    pub(crate) fn next(&self) -> Option<&Pending> {
        self.waiting.front()
    }

    /// The next batch went out as message `counter`.
    pub(crate) fn mark_sent(&mut self, counter: u64) {
        let pending = self.waiting.pop_front().expect("what was sent was next");
        self.sent.push_back(Sent { counter, pending });
    }

    /// The receipt of message `counter` is here; returns how many publications it was for, if it was a batch.
    pub(crate) fn receipted(&mut self, counter: u64) -> Option<usize> {
        let sent = self.sent.get(self.receipted)?;
        if sent.counter != counter {
            return None;
        }
        self.receipted += 1;
        Some(sent.pending.items.len())
    }

    /// Every message of this session up to `counter` is settled.
    pub(crate) fn settled(&mut self, counter: u64) {
        self.settled = self.settled.max(counter);
    }

    /// Lets go of what is both receipted and settled; `None` if that is nothing.
    pub(crate) fn release(&mut self) -> Option<Released> {
        let mut released: Option<Released> = None;
        while self.receipted > 0 && self.sent.front()?.counter <= self.settled {
            let Sent { pending, .. } = self.sent.pop_front()?;
            self.receipted -= 1;
            self.held_bytes -= pending.bytes;
            let before = released.map_or(0, |released| released.publications);
            released = Some(Released {
                number: pending.number,
                publications: before + pending.items.len() as u64,
            });
        }
        released
    }

    /// The session has ended: what is not receipted and settled waits again, in order.
    pub(crate) fn rewind(&mut self) {
        (self.receipted, self.settled) = (0, 0);
        while let Some(sent) = self.sent.pop_back() {
            self.waiting.push_front(sent.pending);
        }
    }
}

/// How many bytes a publication with its payload adds to a batch of its own, at most.
pub(crate) fn publication_bytes(publication: &Publication, payload: &Bytes) -> usize {
    wire_bytes(publication, payload) + new_names(publication, None).1
}

/// How many bytes a publication takes on the wire, at most, without the names of its attributes.
fn wire_bytes(publication: &Publication, payload: &Bytes) -> usize {
    let headers: usize = publication
        .attributes()
        .iter()
        .map(|(_, value)| match value.borrow() {
            ValueRef::Number(_) => 11,
            ValueRef::Text(text) => 5 + text.len(),
        })
        .sum();
    headers + payload.len() + TAG_BYTES + 32 + 8
}

/// How many names a publication adds to the table of a batch whose last publication is `last`, and their bytes, at most. Publications tend
/// to name their attributes as the last one did, so one comparison each tells most of what the table would.
fn new_names(publication: &Publication, last: Option<&Publication>) -> (usize, usize) {
    let known = last.map_or(&[][..], Publication::attributes);
    let is_new =
        |(place, name): &(usize, &Name)| known.get(*place).is_none_or(|(known, _)| known != *name);
    publication
        .attributes()
        .iter()
        .map(|(name, _)| name)
        .enumerate()
        .filter(is_new)
        .fold((0, 0), |(count, bytes), (_, name)| {
            (count + 1, bytes + 1 + name.as_str().len())
        })
}
