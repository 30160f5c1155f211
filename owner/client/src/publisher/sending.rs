//! Sending within the credit in hand, and the receipts for what was sent.

use std::time::Duration;

use bytes::Bytes;
use sc_cbr::{Control, ControlBody, MessageKind, Receipt, Status};
use sc_crypto::VerifyingKey;
use sc_proto::routing::{self, from_publisher};

use super::controls::{Queued, RefusedAsk};
use super::roll::Record;
use super::{PROVISION_WITHIN, Publisher, PublisherEvent, State};
use crate::answer::Verdict;
use crate::link::{Clock, Credit, Output};

/// Bytes of a sealed answer, at most: its seal, and the certificate of an RSA owner with 8192 bits.
const ANSWER_BYTES_MAX: usize = 4096;

impl Publisher {
    /// When [`Publisher::pump`] has something to do even if nothing happens.
    #[must_use]
    pub fn next_timeout(&self) -> Option<Duration> {
        let session = match &self.state {
            State::Open(session) => [Some(self.next_tick), session.sequence.overdue_at()],
            _ => [self.provision_by, None],
        };
        session
            .into_iter()
            .flatten()
            .chain(self.outgoing.next_timeout())
            .min()
    }

    /// About what the next batch costs: if the link could never carry that, nothing will leave any more.
    #[must_use]
    pub fn next_batch_cost(&self) -> Option<u64> {
        self.outgoing.next_cost()
    }

    /// Sends what the credit in hand allows: control first, then batches.
    pub fn pump(&mut self, clock: Clock, credit: Credit) {
        self.watch_provisioning(clock);
        for step in self.outgoing.due_steps(clock) {
            self.record(Record::Progress(step));
        }
        let State::Open(session) = &mut self.state else {
            return;
        };
        if session.sequence.tell_overdue(clock.now) {
            self.report(PublisherEvent::ReceiptsOverdue);
        }
        if self.next_tick <= clock.now {
            self.next_tick = clock.now + self.settings.tick;
            self.queue(ControlBody::Tick);
        }
        if self.controls.is_over() {
            self.controls.clear();
            self.outputs.push(Output::Close(
                "the router gives no credit for control messages".into(),
            ));
            return;
        }
        // What is on its way already is paid for first: its cost is not in hand any more.
        let mut left = credit.after(&self.outputs);
        while self.send_next_control(clock, &mut left) {}
        if self.controls.is_empty() {
            self.send_batches(clock, &mut left);
        }
        self.send_last_tick(clock, &mut left);
    }

    /// Leaves a router whose answer to the challenge comes too late.
    fn watch_provisioning(&mut self, clock: Clock) {
        if !matches!(self.state, State::Challenged(_) | State::Entrusted { .. }) {
            return;
        }
        let by = *self
            .provision_by
            .get_or_insert(clock.now + PROVISION_WITHIN);
        if by <= clock.now {
            self.state = State::Detached;
            self.provision_by = None;
            self.outputs.push(Output::Close(
                "the router has not led to a session in time".into(),
            ));
        }
    }

    fn send_batches(&mut self, clock: Clock, left: &mut Credit) {
        let State::Open(session) = &mut self.state else {
            return;
        };
        let (sequence, outputs) = (&mut session.sequence, &mut self.outputs);
        while self.outgoing.send_next(sequence, clock, left, outputs) {}
    }

    /// Sends what waits longest; says whether there may be more to send.
    fn send_next_control(&mut self, clock: Clock, left: &mut Credit) -> bool {
        let Some(queued) = self.controls.pop() else {
            return false;
        };
        let back = match queued {
            Queued::Control {
                body,
                completes,
                bytes,
            } => self.send_message(clock, left, body, completes, bytes),
            Queued::Readmit {
                consumer,
                is_here,
                after,
            } => self.send_readmission(clock, left, consumer, is_here, after),
            Queued::Register(grant) => {
                let body = ControlBody::Register {
                    publisher: grant.identity,
                    start: grant.start,
                    floor: grant.floor,
                };
                match (self.seal_control(clock, left, body), &mut self.state) {
                    (Ok(counter), State::Open(session)) => {
                        session.registering.insert(counter, grant);
                        None
                    }
                    _ => Some(Queued::Register(grant)),
                }
            }
            answer if !left.take_control(ANSWER_BYTES_MAX) => Some(answer),
            Queued::Admitted { consumer, request } => {
                self.answer_admitted(clock, &consumer, request);
                None
            }
            Queued::Refused(refused) => {
                self.answer_refused(&refused);
                None
            }
            Queued::Granted(grant) => {
                self.answer_granted(&grant);
                None
            }
        };
        let is_sent = back.is_none();
        if let Some(back) = back {
            self.controls.put_back(back);
        }
        is_sent
    }

    fn answer_refused(&mut self, refused: &RefusedAsk) {
        let verdict = Verdict::Refused(refused.refusal);
        self.answer(
            &refused.public,
            &refused.identity,
            refused.publisher,
            refused.request,
            verdict,
        );
    }

    /// Sends a message for the program; gives it back where the credit does not carry it.
    pub(super) fn send_message(
        &mut self,
        clock: Clock,
        left: &mut Credit,
        body: ControlBody,
        completes: Option<VerifyingKey>,
        bytes: usize,
    ) -> Option<Queued> {
        let renewed = match &body {
            ControlBody::Renew { consumer, .. } => Some(*consumer),
            _ => None,
        };
        match (self.seal_control(clock, left, body), &mut self.state) {
            (Ok(counter), State::Open(session)) => {
                session
                    .completing
                    .extend(completes.map(|consumer| (counter, consumer)));
                session
                    .renewing
                    .extend(renewed.map(|consumer| (counter, consumer)));
                None
            }
            (Err(body), _) => Some(Queued::Control {
                body,
                completes,
                bytes,
            }),
            (Ok(_), _) => None,
        }
    }

    /// Seals a message under the next counter and sends it; gives it back where the credit or the receipts so far do not allow it.
    pub(super) fn seal_control(
        &mut self,
        clock: Clock,
        left: &mut Credit,
        body: ControlBody,
    ) -> Result<u64, ControlBody> {
        let State::Open(session) = &mut self.state else {
            return Err(body);
        };
        let control = Control {
            time_ms: clock.wall_ms,
            body,
        };
        let plaintext = zeroize::Zeroizing::new(control.encode());
        if session.sequence.is_full() || !left.take_control(plaintext.len()) {
            return Err(control.body);
        }
        let scope = session.sequence.scope;
        let counter = session.sequence.take_counter(clock.now);
        let mut sealed = Vec::with_capacity(plaintext.len() + 16);
        session.control.seal(
            &scope,
            MessageKind::Control,
            counter,
            &plaintext,
            &mut sealed,
        );
        let head = routing::Control {
            domain: Bytes::copy_from_slice(scope.domain.as_bytes()),
            session: scope.session,
            start: scope.start,
            counter,
        };
        self.send_control(from_publisher::Frame::Control(head), [sealed.into()]);
        Ok(counter)
    }

    pub(super) fn on_receipt(&mut self, clock: Clock, head: &routing::Receipt, sealed: &[u8]) {
        let State::Open(session) = &mut self.state else {
            return;
        };
        let mut bytes = sealed.to_vec();
        let opened = session
            .sequence
            .open_receipt(clock.now, head.counter, &mut bytes);
        let Some(receipt) = opened else {
            self.report(PublisherEvent::ReceiptNotAuthentic);
            self.outputs.push(Output::Close(
                "a receipt is not authentic or not the next".into(),
            ));
            return;
        };
        self.on_status(clock, &receipt);
        self.leave.on_receipt(receipt.counter);
        if let Some(publications) = self.outgoing.on_receipt(clock.now, receipt.counter) {
            self.report(PublisherEvent::Published {
                publications,
                matched: receipt.matched,
                deliveries: receipt.deliveries,
            });
        }
    }

    /// What became of a message decides what is to be done next for the one whom it was about.
    fn on_status(&mut self, clock: Clock, receipt: &Receipt) {
        let State::Open(session) = &mut self.state else {
            return;
        };
        let completed = session.completing.remove(&receipt.counter);
        let renewed = session.renewing.remove(&receipt.counter);
        if let Some(grant) = session.registering.remove(&receipt.counter) {
            self.on_registered(grant, receipt.status);
        }
        match (receipt.status, renewed) {
            // Its lease ended before the renewal came, and its subscriptions with it.
            (Status::UnknownConsumer, Some(consumer)) => self.readmit(clock, &consumer, true),
            (Status::Taken, _) => {
                if let Some(consumer) = completed {
                    self.complete.insert(consumer);
                    self.report(PublisherEvent::Complete { consumer });
                }
            }
            (status, _) => self.report(PublisherEvent::NotCarriedOut(status)),
        }
    }

    pub(super) fn on_settled(&mut self, clock: Clock, head: &routing::Settled) {
        if let State::Open(session) = &mut self.state
            && let Some(counter) = session.sequence.take_settled(head)
        {
            self.outgoing.on_settled(clock.now, counter);
        }
    }
}
