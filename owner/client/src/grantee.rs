//! One that publishes in another's domain: asks the owner, then sends batches; a core without sockets, clocks or files.
//!
//! Invariants: a grant is taken from the owner alone, and a batch gets its counter only under a grant and with the credit for it in
//! hand; a record is handed out before whatever depends on it; a new session or a new link begins with a new request.

mod asking;
mod memory;
mod settings;

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use prost::Message;
use sc_cbr::Status;
use sc_crypto::{DomainId, Entropy, OwnerPublic, OwnerSecret};
use sc_matching::Publication;
use sc_proto::routing::{self, from_publisher, to_publisher};
use sc_transport::{Frame, FrameClass};

pub use memory::GranteeMemory;
pub use settings::{GranteeEvent, GranteeSettings};

use crate::link::{Clock, Credit, Output};
use crate::outgoing::{Outgoing, PublishError, Sequence};
use asking::Asking;
use memory::Record;

/// A publisher in the domain of another.
pub struct Grantee {
    owner: OwnerPublic,
    identity: Arc<OwnerSecret>,
    settings: GranteeSettings,
    entropy: Box<dyn Entropy + Send>,
    memory: GranteeMemory,
    asking: Asking,
    /// Its place in the session that it was granted.
    sequence: Option<Box<Sequence>>,
    outgoing: Outgoing,
    outputs: Vec<Output>,
    events: VecDeque<GranteeEvent>,
}

impl Grantee {
    /// A publisher in the domain of `owner` with the memory of earlier starts. What a crash cuts off does not come again, and consumers
    /// are told so; see [`Grantee::of_stream`] for what can be read again.
    #[must_use]
    pub fn new(
        owner: OwnerPublic,
        identity: Arc<OwnerSecret>,
        settings: GranteeSettings,
        memory: GranteeMemory,
        entropy: Box<dyn Entropy + Send>,
    ) -> Self {
        let outgoing = Outgoing::new(settings.outgoing(), &memory.progress, 0);
        Self {
            owner,
            identity,
            settings,
            entropy,
            memory,
            asking: Asking::default(),
            sequence: None,
            outgoing,
            outputs: Vec::new(),
            events: VecDeque::new(),
        }
    }

    /// The same, for an input that can be read again from its beginning and whose digest this is: see
    /// [`Publisher::of_stream`](crate::Publisher::of_stream).
    #[must_use]
    pub fn of_stream(mut self, digest: &[u8; 32]) -> Self {
        let bounds = self.settings.outgoing();
        self.outgoing = Outgoing::of_stream(bounds, &self.memory.progress, 0, digest);
        self
    }

    /// The domain in which it publishes.
    #[must_use]
    pub fn domain(&self) -> DomainId {
        self.owner.domain_id()
    }

    /// What has to survive a restart.
    #[must_use]
    pub fn memory(&self) -> GranteeMemory {
        self.memory
    }

    /// Publications at the beginning of the stream that need not be published: an earlier process has, and they are settled.
    #[must_use]
    pub fn resumed_publications(&self) -> u64 {
        self.outgoing.resumed_publications()
    }

    /// Whether everything published has its receipt and is settled, and every report was taken.
    #[must_use]
    pub fn is_drained(&self) -> bool {
        self.outgoing.is_drained() && self.events.is_empty()
    }

    /// Whether [`Grantee::publish`] would say [`PublishError::Full`].
    #[must_use]
    pub fn is_full(&self) -> bool {
        self.outgoing.is_full()
    }

    /// Whether the owner has let it publish in a session that is open.
    #[must_use]
    pub fn is_open(&self) -> bool {
        self.sequence.is_some()
    }

    /// What is to be done, in order: each record has to be on the disk before the next frame is sent.
    pub fn take_outputs(&mut self) -> Vec<Output> {
        core::mem::take(&mut self.outputs)
    }

    /// The next report.
    pub fn poll_event(&mut self) -> Option<GranteeEvent> {
        self.events.pop_front()
    }

    /// Publishes, as soon as there is a grant and credit.
    ///
    /// # Errors
    /// [`PublishError`]: nothing was taken.
    pub fn publish(
        &mut self,
        clock: Clock,
        publication: &Publication,
        payload: Bytes,
    ) -> Result<(), PublishError> {
        self.outgoing.publish(clock.now, publication, payload)
    }

    /// Closes the open batch without waiting for its linger; not that of a stream, whose batches are cut in one way only.
    pub fn flush(&mut self) {
        self.outgoing.flush();
    }

    /// Nothing more is published: see [`Publisher::finish`](crate::Publisher::finish).
    pub fn finish(&mut self) {
        self.outgoing.finish();
    }

    /// Begins an orderly end. Go on with [`Grantee::pump`] until [`Grantee::has_left`], or until it takes too long.
    pub fn take_leave(&mut self) {
        if !self.outgoing.is_stream() {
            self.outgoing.finish();
        }
    }

    /// Whether there is nothing to wait for any more: all is settled, or there is no grant.
    #[must_use]
    pub fn has_left(&self) -> bool {
        self.outgoing.is_settled() || !self.is_open()
    }

    /// A link to a router is established: attaches to the domain.
    pub fn on_established(&mut self) {
        self.on_closed();
        let domain = Bytes::copy_from_slice(self.domain().as_bytes());
        self.send(
            from_publisher::Frame::Attach(routing::Attach { domain }),
            None,
        );
    }

    /// The link is gone: what is not settled waits for the next grant.
    pub fn on_closed(&mut self) {
        self.withdraw();
        self.asking.clear();
    }

    /// There is no grant any more.
    fn withdraw(&mut self) {
        self.sequence = None;
        self.outgoing.rewind();
    }

    /// Takes a frame of the router.
    pub fn on_frame(&mut self, clock: Clock, frame: Frame) {
        let attachment = frame.attachments.into_iter().next().unwrap_or_default();
        let Some(frame) = routing::ToPublisher::decode(frame.head)
            .ok()
            .and_then(|message| message.frame)
        else {
            return self.outputs.push(Output::Close(
                "the router sent a frame that does not decode".into(),
            ));
        };
        match frame {
            to_publisher::Frame::DomainState(state) => self.on_domain_state(clock, &state),
            to_publisher::Frame::Answer(_) => self.on_answer(clock, &attachment),
            to_publisher::Frame::Receipt(receipt) => self.on_receipt(clock, &receipt, &attachment),
            to_publisher::Frame::Settled(settled) => self.on_settled(clock, &settled),
            to_publisher::Frame::Refused(refused) => self.on_refused(clock, &refused),
            // Meant for an owner.
            to_publisher::Frame::Offer(_)
            | to_publisher::Frame::Opened(_)
            | to_publisher::Frame::Ask(_) => {}
        }
    }

    /// When [`Grantee::pump`] has something to do even if nothing happens.
    #[must_use]
    pub fn next_timeout(&self) -> Option<Duration> {
        let overdue = self.sequence.as_ref().and_then(|it| it.overdue_at());
        [self.asking.at, overdue, self.outgoing.next_timeout()]
            .into_iter()
            .flatten()
            .min()
    }

    /// About what the next batch costs: if the link could never carry that, nothing will leave any more.
    #[must_use]
    pub fn next_batch_cost(&self) -> Option<u64> {
        self.outgoing.next_cost()
    }

    /// Asks if it is time, and sends what the credit in hand allows.
    pub fn pump(&mut self, clock: Clock, credit: Credit) {
        for step in self.outgoing.due_steps(clock) {
            self.record(&Record::Progress(step));
        }
        self.ask_if_due(clock);
        let mut left = credit.after(&self.outputs);
        let Some(sequence) = &mut self.sequence else {
            return;
        };
        let (is_overdue, outputs) = (sequence.tell_overdue(clock.now), &mut self.outputs);
        while self.outgoing.send_next(sequence, clock, &mut left, outputs) {}
        if is_overdue {
            self.report(GranteeEvent::ReceiptsOverdue);
        }
    }

    fn on_receipt(&mut self, clock: Clock, head: &routing::Receipt, sealed: &[u8]) {
        let Some(sequence) = &mut self.sequence else {
            return;
        };
        let mut bytes = sealed.to_vec();
        let Some(receipt) = sequence.open_receipt(clock.now, head.counter, &mut bytes) else {
            self.report(GranteeEvent::ReceiptNotAuthentic);
            self.outputs.push(Output::Close(
                "a receipt is not authentic or not the next".into(),
            ));
            return;
        };
        if receipt.status != Status::Taken {
            self.report(GranteeEvent::NotCarriedOut(receipt.status));
        }
        if let Some(publications) = self.outgoing.on_receipt(clock.now, receipt.counter) {
            self.report(GranteeEvent::Published {
                publications,
                matched: receipt.matched,
                deliveries: receipt.deliveries,
            });
        }
    }

    fn on_settled(&mut self, clock: Clock, head: &routing::Settled) {
        if let Some(sequence) = &mut self.sequence
            && let Some(counter) = sequence.take_settled(head)
        {
            self.outgoing.on_settled(clock.now, counter);
        }
    }

    fn send(&mut self, frame: from_publisher::Frame, attachment: Option<Bytes>) {
        let head = routing::FromPublisher { frame: Some(frame) }.encode_to_vec();
        let frame = Frame {
            head: head.into(),
            attachments: attachment.into_iter().collect(),
        };
        self.outputs.push(Output::Send {
            class: FrameClass::Control,
            frame,
        });
    }

    fn record(&mut self, record: &Record) {
        self.memory.apply(record);
        self.outputs.push(Output::Record(record.encode()));
    }

    fn report(&mut self, event: GranteeEvent) {
        self.events.push_back(event);
    }
}
