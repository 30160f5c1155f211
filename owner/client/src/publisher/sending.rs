//! Sending within the credit in hand, and the receipts for what was sent.

use std::time::Duration;

use bytes::Bytes;
use prost::Message;
use sc_cbr::{Control, ControlBody, MessageKind, Receipt, Status};
use sc_crypto::VerifyingKey;
use sc_proto::routing::{self, from_publisher};
use sc_transport::{Frame, FrameClass};

use super::{Publisher, PublisherEvent, Queued, State};
use crate::link::{Clock, Credit, Output};

/// Control messages that may wait for credit; a router that gives none for so long has to be left.
const CONTROLS_MAX: usize = 1 << 16;
/// Bytes of a sealed answer, at most: its seal, and the certificate of an RSA owner with 8192 bits.
const ANSWER_BYTES_MAX: usize = 4096;

impl Publisher {
    /// When [`Publisher::pump`] has something to do even if nothing happens.
    #[must_use]
    pub fn next_timeout(&self) -> Option<Duration> {
        let tick = self.is_open().then_some(self.next_tick);
        self.batches.deadline().into_iter().chain(tick).min()
    }

    /// Sends what the credit in hand allows: control first, then batches.
    pub fn pump(&mut self, clock: Clock, credit: Credit) {
        self.batches.close_due(clock.now);
        if self.is_open() && self.next_tick <= clock.now {
            self.next_tick = clock.now + self.settings.tick;
            self.queue(ControlBody::Tick);
        }
        if self.controls.len() > CONTROLS_MAX {
            self.controls.clear();
            self.outputs.push(Output::Close(
                "the router gives no credit for control messages".into(),
            ));
            return;
        }
        // Answers and the like are on their way already: what they cost is not in hand any more.
        let mut left = credit.after(&self.outputs);
        while self.send_next_control(clock, &mut left) {}
        if self.controls.is_empty() {
            while self.send_next_batch(clock, &mut left) {}
        }
    }

    pub(super) fn send_next_control(&mut self, clock: Clock, left: &mut Credit) -> bool {
        let State::Open(session) = &mut self.state else {
            return false;
        };
        let (body, completes) = match self.controls.pop_front() {
            Some(Queued::Control { body, completes }) => (body, completes),
            Some(Queued::Answer(consumer)) => return self.send_answer(clock, left, consumer),
            None => return false,
        };
        let control = Control {
            time_ms: clock.wall_ms,
            body,
        };
        let plaintext = zeroize::Zeroizing::new(control.encode());
        if !left.take_control(plaintext.len()) {
            self.controls.push_front(Queued::Control {
                body: control.body,
                completes,
            });
            return false;
        }
        let counter = session.take_counter();
        session
            .completing
            .extend(completes.map(|consumer| (counter, consumer)));
        if let ControlBody::Renew { consumer, .. } = &control.body {
            session.renewing.insert(counter, *consumer);
        }
        let mut sealed = Vec::with_capacity(plaintext.len() + 16);
        session.control.seal(
            &session.scope,
            MessageKind::Control,
            counter,
            &plaintext,
            &mut sealed,
        );
        let head = routing::Control {
            domain: Bytes::copy_from_slice(session.scope.domain.as_bytes()),
            session: session.scope.session,
            start: session.scope.start,
            counter,
        };
        self.send_control(from_publisher::Frame::Control(head), [sealed.into()]);
        true
    }

    fn send_answer(&mut self, clock: Clock, left: &mut Credit, consumer: VerifyingKey) -> bool {
        if !left.take_control(ANSWER_BYTES_MAX) {
            self.controls.push_front(Queued::Answer(consumer));
            return false;
        }
        self.answer_admitted(clock, &consumer);
        true
    }

    pub(super) fn send_next_batch(&mut self, clock: Clock, left: &mut Credit) -> bool {
        let State::Open(session) = &mut self.state else {
            return false;
        };
        let Some(pending) = self.batches.next() else {
            return false;
        };
        if !left.take_data(pending.bytes + 4 * pending.items.len()) {
            return false;
        }
        let counter = session.take_counter();
        let sealed = pending.seal(&session.scope, &session.keys, counter, clock.wall_ms);
        let head = routing::FromPublisher {
            frame: Some(from_publisher::Frame::Batch(routing::Batch {
                domain: Bytes::copy_from_slice(session.scope.domain.as_bytes()),
                session: session.scope.session,
                start: session.scope.start,
                counter,
                payload_sizes: sealed.payload_sizes,
            })),
        };
        let frame = Frame::new(head.encode_to_vec())
            .with(sealed.ciphertext)
            .with(sealed.payloads);
        self.outputs.push(Output::Send {
            class: FrameClass::Data,
            frame,
        });
        self.batches.mark_sent(counter);
        true
    }

    pub(super) fn on_receipt(&mut self, clock: Clock, head: &routing::Receipt, sealed: &[u8]) {
        let State::Open(session) = &mut self.state else {
            return;
        };
        let mut bytes = sealed.to_vec();
        let receipt = session.open_receipt(head.counter, &mut bytes);
        let Some(receipt) = receipt else {
            self.report(PublisherEvent::ReceiptNotAuthentic);
            self.outputs.push(Output::Close(
                "a receipt is not authentic or not the next".into(),
            ));
            return;
        };
        let completed = session.completing.remove(&receipt.counter);
        let renewed = session.renewing.remove(&receipt.counter);
        if let (Status::UnknownConsumer, Some(consumer)) = (receipt.status, renewed) {
            // Its lease ended before the renewal came, and its subscriptions with it.
            self.readmit(clock, &consumer, true);
        } else if receipt.status != Status::Taken {
            self.report(PublisherEvent::NotCarriedOut(receipt.status));
        } else if let Some(consumer) = completed {
            self.complete.insert(consumer);
            self.report(PublisherEvent::Complete { consumer });
        }
        if let Some(publications) = self.batches.receipted(receipt.counter) {
            let Receipt {
                matched,
                deliveries,
                ..
            } = receipt;
            self.report(PublisherEvent::Published {
                publications,
                matched,
                deliveries,
            });
        }
    }
}
