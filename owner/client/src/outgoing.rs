//! What a publisher has on its way, whether it owns the domain or was let into it.
//!
//! Invariant: a batch keeps its origin however often it is sealed, is let go only when it is both receipted and settled, and is never
//! sent before the journal knows that its start has begun.

mod batches;
mod numbers;
mod progress;
mod sequence;

use std::time::Duration;

use bytes::Bytes;
use prost::Message;
use sc_cbr::Origin;
use sc_matching::Publication;
use sc_proto::routing::{self, from_publisher};
use sc_transport::{Frame, FrameClass};

pub use batches::BatchBounds;
pub(crate) use numbers::later;
pub(crate) use progress::{Progress, Step};
pub(crate) use sequence::Sequence;

use crate::link::{Clock, Credit, Output};
use batches::{Batches, PublicationSize};
use progress::StreamId;

/// How far batches are settled is written down so often at most: what a crash forgets of it is published again and passed over.
const NOTE_INTERVAL: Duration = Duration::from_secs(1);

/// Why a publication was not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PublishError {
    /// As much is held as the settings allow: publish again when more is settled.
    #[error("as much is held without being settled as the settings allow")]
    Full,
    /// No frame can carry it: it has to be left out.
    #[error(
        "a publication of {size} bytes with its payload exceeds the {max} that one message may have: make the payload smaller, or raise --max-message at both ends"
    )]
    TooLarge {
        /// Its bytes on the wire.
        size: usize,
        /// What the settings allow.
        max: usize,
    },
    /// The end of what is published was announced.
    #[error("the end of what is published was announced before")]
    Finished,
}

/// Bounds on what is held and sent.
#[derive(Debug, Clone, Copy)]
pub(crate) struct OutgoingBounds {
    pub(crate) batch: BatchBounds,
    pub(crate) queue_bytes: usize,
    pub(crate) publication_bytes: usize,
}

/// A publisher's batches and how far they have come.
pub(crate) struct Outgoing {
    bounds: OutgoingBounds,
    batches: Batches,
    stream: Option<StreamId>,
    /// The start number of its batches; none before the first.
    start: Option<u64>,
    /// Every start number used before is at most this.
    last_start: u64,
    /// Nothing up to here comes again.
    floor: Origin,
    /// The last origin that left in this session.
    sent: Origin,
    publications: u64,
    resumed_publications: u64,
    is_finished: bool,
    is_ended: bool,
    /// When the next note of what is settled may be written; none when there is nothing new.
    note_at: Option<Duration>,
    noted_at: Option<Duration>,
}

impl Outgoing {
    /// Begins under a start number greater than `last_start` and all that `progress` knows of.
    pub(crate) fn new(bounds: OutgoingBounds, progress: &Progress, last_start: u64) -> Self {
        Self {
            bounds,
            batches: Batches::new(bounds.batch, true, 0),
            stream: None,
            start: None,
            last_start: last_start.max(progress.settled().start),
            floor: progress.floor(),
            sent: Origin::default(),
            publications: 0,
            resumed_publications: 0,
            is_finished: false,
            is_ended: false,
            note_at: None,
            noted_at: None,
        }
    }

    /// The same for an input that can be read again: goes on where it is unfinished.
    pub(crate) fn of_stream(
        bounds: OutgoingBounds,
        progress: &Progress,
        last_start: u64,
        digest: &[u8; 32],
    ) -> Self {
        let stream = StreamId::new(digest, &bounds.batch);
        let mut outgoing = Self::new(bounds, progress, last_start);
        outgoing.stream = Some(stream);
        let resumed = Some(progress).filter(|progress| progress.is_unfinished(stream));
        let number = resumed.map_or(0, |progress| progress.settled().number);
        outgoing.batches = Batches::new(bounds.batch, false, number);
        if let Some(progress) = resumed {
            outgoing.start = Some(progress.settled().start);
            outgoing.floor = progress.settled();
            outgoing.publications = progress.publications();
            outgoing.resumed_publications = progress.publications();
        }
        outgoing
    }

    /// Publications of the stream that were settled by an earlier process.
    pub(crate) fn resumed_publications(&self) -> u64 {
        self.resumed_publications
    }

    /// The last origin such that nothing up to it comes again.
    pub(crate) fn floor(&self) -> Origin {
        self.floor
    }

    /// The last origin that has left in this session, and at least the floor: what comes after it has not been matched yet.
    pub(crate) fn covered(&self) -> Origin {
        self.sent.max(self.floor)
    }

    pub(crate) fn is_stream(&self) -> bool {
        self.stream.is_some()
    }

    pub(crate) fn is_full(&self) -> bool {
        self.batches.held_bytes() >= self.bounds.queue_bytes
    }

    pub(crate) fn is_drained(&self) -> bool {
        self.batches.is_empty()
    }

    /// Whether a closed batch waits to be sent.
    pub(crate) fn has_next(&self) -> bool {
        self.batches.next().is_some()
    }

    /// Whether every closed batch is receipted and settled.
    pub(crate) fn is_settled(&self) -> bool {
        self.batches.is_settled()
    }

    pub(crate) fn publish(
        &mut self,
        now: Duration,
        publication: &Publication,
        payload: Bytes,
    ) -> Result<(), PublishError> {
        if self.is_finished {
            return Err(PublishError::Finished);
        }
        let size = PublicationSize::of(publication, &payload);
        let max = self.bounds.publication_bytes;
        if size.alone() > max {
            return Err(PublishError::TooLarge {
                size: size.alone(),
                max,
            });
        }
        if self.is_full() {
            return Err(PublishError::Full);
        }
        self.batches.push(now, publication, size, payload);
        Ok(())
    }

    /// Closes the open batch, unless that would change where a stream is cut.
    pub(crate) fn flush(&mut self) {
        if !self.is_stream() {
            self.batches.close();
        }
    }

    /// Nothing more is published.
    pub(crate) fn finish(&mut self) {
        self.is_finished = true;
        self.batches.close();
    }

    /// What is to be recorded now, before anything is sent.
    pub(crate) fn due_steps(&mut self, clock: Clock) -> Vec<Step> {
        self.batches.close_due(clock.now);
        let mut steps = Vec::new();
        if self.start.is_none() && self.has_next() {
            let start = later(self.last_start, clock.wall_ms / 1000);
            self.start = Some(start);
            steps.push(Step::Began {
                stream: self.stream,
                start,
            });
        }
        let is_complete = self.is_finished && self.start.is_some() && self.is_drained();
        let ends = is_complete && !self.is_ended;
        if self.note_at.is_some_and(|at| at <= clock.now || ends) {
            (self.note_at, self.noted_at) = (None, Some(clock.now));
            steps.push(Step::Settled {
                number: self.floor.number,
                publications: self.publications,
            });
        }
        if ends {
            self.is_ended = true;
            steps.push(Step::Ended);
        }
        steps
    }

    /// When [`Outgoing::due_steps`] has something to do even if nothing happens.
    pub(crate) fn next_timeout(&self) -> Option<Duration> {
        self.batches
            .deadline()
            .into_iter()
            .chain(self.note_at)
            .min()
    }

    /// About what the next batch costs.
    pub(crate) fn next_cost(&self) -> Option<u64> {
        self.batches
            .next()
            .map(|pending| Credit::cost(pending.bytes + 4 * pending.publications()))
    }

    /// Sends the next batch, if there is one and the credit in hand carries it.
    pub(crate) fn send_next(
        &mut self,
        sequence: &mut Sequence,
        clock: Clock,
        left: &mut Credit,
        outputs: &mut Vec<Output>,
    ) -> bool {
        let (Some(pending), Some(start)) = (self.batches.next(), self.start) else {
            return false;
        };
        if sequence.is_full() || !left.take_data(pending.bytes + 4 * pending.publications()) {
            return false;
        }
        let scope = sequence.scope;
        let counter = sequence.take_counter(clock.now);
        let sealed = pending.seal(&scope, &sequence.keys, counter, start, clock.wall_ms);
        let head = routing::FromPublisher {
            frame: Some(from_publisher::Frame::Batch(routing::Batch {
                domain: Bytes::copy_from_slice(scope.domain.as_bytes()),
                session: scope.session,
                start: scope.start,
                counter,
                payload_sizes: sealed.payload_sizes,
            })),
        };
        let frame = Frame::new(head.encode_to_vec())
            .with(sealed.ciphertext)
            .with(sealed.payloads);
        let number = pending.number;
        outputs.push(Output::Send {
            class: FrameClass::Data,
            frame,
        });
        self.sent = Origin { start, number };
        self.batches.mark_sent(counter);
        true
    }

    /// The receipt of message `counter` is here; returns how many publications it was for, if it was a batch.
    pub(crate) fn on_receipt(&mut self, now: Duration, counter: u64) -> Option<usize> {
        let publications = self.batches.receipted(counter);
        self.release(now);
        publications
    }

    /// Every message of the session up to `counter` is settled.
    pub(crate) fn on_settled(&mut self, now: Duration, counter: u64) {
        self.batches.settled(counter);
        self.release(now);
    }

    fn release(&mut self, now: Duration) {
        let (Some(released), Some(start)) = (self.batches.release(), self.start) else {
            return;
        };
        self.floor = Origin {
            start,
            number: released.number,
        };
        self.publications += released.publications;
        let earliest = self.noted_at.map_or(now, |at| at + NOTE_INTERVAL);
        self.note_at.get_or_insert(earliest.max(now));
    }

    /// The session has ended: what is not receipted and settled waits for the next.
    pub(crate) fn rewind(&mut self) {
        self.sent = Origin::default();
        self.batches.rewind();
    }
}
