//! Publications on their way: collected into batches, sealed when credit is in hand, kept until they are receipted and settled.
//!
//! Invariant: batches keep the order of their publications; what is not both receipted and settled is still held, so that it can be
//! sealed anew into the next session under the same origin. What is held is encoded already: a batch is a few pieces of memory, and
//! to let go of it costs the same however many publications and names it has.

use std::collections::VecDeque;
use std::time::Duration;

use bytes::Bytes;
use sc_cbr::{MessageKind, Origin, PublisherKeys, Scope, encode_batch};
use sc_crypto::hash::sha256;
use sc_matching::bound::BLOCK_NAMES_MAX;
use sc_matching::{HeaderBlockWriter, Name, Publication, ValueRef};

/// Length in bytes that the seal adds to a payload.
const TAG_BYTES: usize = 16;
/// Length in bytes of a payload's hash.
const HASH_BYTES: usize = 32;
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
    /// The header block of its publications.
    headers: Vec<u8>,
    payloads: Vec<Bytes>,
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
    /// How many publications it has.
    pub(crate) fn publications(&self) -> usize {
        self.payloads.len()
    }

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
        let mut payloads = Vec::with_capacity(self.bytes);
        let mut payload_sizes = Vec::with_capacity(self.payloads.len());
        let mut hashes = Vec::with_capacity(HASH_BYTES * self.payloads.len());
        let mut data = scope.payload_data(counter);
        for (index, payload) in (0..).zip(&self.payloads) {
            let begin = payloads.len();
            match keys.payload_key(counter, index) {
                Some(key) => {
                    key.seal(data.of(index), payload, &mut payloads);
                    hashes.extend_from_slice(&sha256(&payloads[begin..]));
                }
                None => payloads.extend_from_slice(payload),
            }
            payload_sizes.push((payloads.len() - begin) as u32);
        }
        let mut ciphertext = Vec::new();
        keys.batch.seal(
            scope,
            MessageKind::Batch,
            counter,
            &encode_batch(&self.headers, &hashes, origin, time_ms),
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
    /// Headers and payloads of the open batch.
    open: HeaderBlockWriter,
    open_payloads: Vec<Bytes>,
    open_bytes: usize,
    /// Names in the open batch's table, at most.
    open_names: usize,
    /// Those of its last publication.
    last_names: Vec<Name>,
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
            open: HeaderBlockWriter::new(),
            open_payloads: Vec::new(),
            open_bytes: 0,
            open_names: 0,
            last_names: Vec::new(),
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
        self.open_payloads.is_empty() && self.is_settled()
    }

    /// Whether every closed batch was let go.
    pub(crate) fn is_settled(&self) -> bool {
        self.waiting.is_empty() && self.sent.is_empty()
    }

    /// Adds a publication that takes so much.
    pub(crate) fn push(
        &mut self,
        now: Duration,
        publication: &Publication,
        size: PublicationSize,
        payload: Bytes,
    ) {
        let (mut names, mut name_bytes) = self.new_names(publication);
        // The table wants room for all names of a publication before it looks which of them it has.
        if self.open_bytes + size.bytes + name_bytes > self.bounds.bytes
            || self.open_names + publication.attributes().len() > BLOCK_NAMES_MAX
        {
            self.close();
            (names, name_bytes) = self.new_names(publication);
        }
        if self.open_payloads.is_empty() {
            self.open_since = now;
        }
        match names {
            0 => self.last_names.truncate(publication.attributes().len()),
            _ => {
                let all = publication.attributes().iter();
                self.last_names = all.map(|(name, _)| name.clone()).collect();
            }
        }
        let bytes = size.bytes + name_bytes;
        self.open_names += names;
        self.open_bytes += bytes;
        self.held_bytes += bytes;
        self.open
            .push(publication)
            .expect("batches are closed before a header block is full");
        self.open_payloads.push(payload);
        if self.open_payloads.len() >= self.bounds.publications.min(PUBLICATIONS_MAX) {
            self.close();
        }
    }

    /// How many names a publication adds to the table of the open batch, and their bytes, at most. Publications tend to name their
    /// attributes as the last one did, so one comparison each tells most of what the table would.
    fn new_names(&self, publication: &Publication) -> (usize, usize) {
        let names = publication.attributes().iter().map(|(name, _)| name);
        let is_new = |(place, name): &(usize, &Name)| self.last_names.get(*place) != Some(*name);
        names
            .enumerate()
            .filter(is_new)
            .fold((0, 0), |(count, bytes), (_, name)| {
                (count + 1, bytes + name_bytes(name))
            })
    }

    /// When the open batch has to be closed.
    pub(crate) fn deadline(&self) -> Option<Duration> {
        (self.lingers && !self.open_payloads.is_empty())
            .then(|| self.open_since + self.bounds.linger)
    }

    pub(crate) fn close_due(&mut self, now: Duration) {
        if self.deadline().is_some_and(|deadline| deadline <= now) {
            self.close();
        }
    }

    pub(crate) fn close(&mut self) {
        if self.open_payloads.is_empty() {
            return;
        }
        self.last += 1;
        self.open_names = 0;
        self.last_names.clear();
        // The next batch likely has as many.
        let room = Vec::with_capacity(self.open_payloads.len());
        self.waiting.push_back(Pending {
            number: self.last,
            headers: self.open.finish(),
            payloads: core::mem::replace(&mut self.open_payloads, room),
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
        Some(sent.pending.publications())
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
                publications: before + pending.publications() as u64,
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

/// How much a publication with its payload takes on the wire, at most.
#[derive(Debug, Clone, Copy)]
pub(crate) struct PublicationSize {
    /// Bytes without the names of its attributes.
    bytes: usize,
    /// Bytes of those.
    name_bytes: usize,
}

impl PublicationSize {
    pub(crate) fn of(publication: &Publication, payload: &Bytes) -> Self {
        let mut size = Self {
            bytes: payload.len() + TAG_BYTES + HASH_BYTES + 8,
            name_bytes: 0,
        };
        for (name, value) in publication.attributes() {
            size.name_bytes += name_bytes(name);
            size.bytes += match value.borrow() {
                ValueRef::Number(_) => 11,
                ValueRef::Text(text) => 5 + text.len(),
            };
        }
        size
    }

    /// Bytes that it adds to a batch of its own.
    pub(crate) fn alone(self) -> usize {
        self.bytes + self.name_bytes
    }
}

/// Bytes of a name in the table of a batch.
fn name_bytes(name: &Name) -> usize {
    1 + name.as_str().len()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn publication(names: &[&str]) -> Publication {
        let mut publication = Publication::new();
        for name in names {
            publication
                .push(Name::new(name).unwrap(), 1.into())
                .unwrap();
        }
        publication
    }

    fn push(batches: &mut Batches, names: &[&str]) {
        let (publication, payload) = (publication(names), Bytes::new());
        let size = PublicationSize::of(&publication, &payload);
        batches.push(Duration::ZERO, &publication, size, payload);
    }

    #[test]
    fn names_are_held_against_those_of_the_last_publication_alone() {
        let mut batches = Batches::new(BatchBounds::default(), true, 0);

        let names = [&["a", "b"][..], &["a"], &["a", "b"], &["b", "a"], &["b"]];
        let counts = names.map(|names| {
            push(&mut batches, names);
            batches.open_names
        });

        assert_eq!(counts, [2, 2, 3, 5, 5]);
    }

    #[test]
    fn a_batch_begins_without_names() {
        let mut batches = Batches::new(BatchBounds::default(), true, 0);
        push(&mut batches, &["a", "b"]);
        batches.close();

        push(&mut batches, &["a", "b"]);

        assert_eq!(batches.open_names, 2);
        assert_eq!(batches.next().map(Pending::publications), Some(1));
    }
}
