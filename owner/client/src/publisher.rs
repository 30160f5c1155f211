//! The publisher: provisions a router, admits consumers, publishes; a core without sockets, clocks or files.
//!
//! Invariants: a message gets its counter only when the credit for it is in hand; a record is handed out before whatever depends on it,
//! for the caller to put on the disk first; every session has a fresh domain key and a greater number.

mod batches;
mod roll;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use prost::Message;
use sc_attestation::Policy;
use sc_cbr::{
    Cipher, Control, ControlBody, DomainKey, DomainSecrets, MessageKind, PublisherKeys, Receipt,
    Scope, SlowPolicy, Status, control_cipher,
};
use sc_crypto::hash::sha256;
use sc_crypto::{DomainId, Entropy, OwnerSecret, Secret, VerifyingKey};
use sc_matching::{Publication, Subscription};
use sc_proto::routing::{self, from_publisher, refused::Cause, to_publisher};
use sc_transport::{Frame, FrameClass};

pub use batches::BatchBounds;
pub use roll::{Admission, Roll};

use crate::answer::{Answer, Refusal, Verdict};
use crate::ask::{Ask, Operation, SUBSCRIPTIONS_PER_ASK_MAX};
use crate::link::{Clock, Credit, Output};
use crate::provisioning::{Challenged, Entrusted, ProvisioningError};
use batches::Batches;
use roll::Record;

/// Control messages that may wait for credit; a router that gives none for so long has to be left.
const CONTROLS_MAX: usize = 1 << 16;

/// What a publisher's owner chooses.
#[derive(Debug, Clone)]
pub struct PublisherSettings {
    /// Which trusted programs get the keys.
    pub policy: Policy,
    /// Whom to admit.
    pub admission: Admission,
    /// Subscriptions that one consumer may hold.
    pub quota: usize,
    /// How long subscriptions live without renewal.
    pub lease: Duration,
    /// What happens to consumers that do not keep up.
    pub slow: SlowPolicy,
    /// When batches are closed.
    pub batch: BatchBounds,
    /// Publications held without a receipt, in bytes; beyond it [`Publisher::publish`] says [`Full`].
    pub queue_bytes: usize,
    /// Time between two ticks: consumers without news get a heartbeat at each.
    pub tick: Duration,
    /// D4.2's unencrypted mode.
    pub plain: bool,
}

impl Default for PublisherSettings {
    fn default() -> Self {
        Self {
            policy: Policy::default(),
            admission: Admission::Open,
            quota: 100_000,
            lease: Duration::from_secs(3600),
            slow: SlowPolicy::Block,
            batch: BatchBounds::default(),
            queue_bytes: 64 << 20,
            tick: Duration::from_secs(5),
            plain: false,
        }
    }
}

/// More is held without a receipt than the settings allow: publish again when receipts have come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("as much is held without a receipt as the settings allow")]
pub struct Full;

/// What a publisher reports.
#[derive(Debug)]
#[non_exhaustive]
pub enum PublisherEvent {
    /// A session is open; the keys are with a program that satisfied the policy.
    Opened {
        /// Its number.
        session: u64,
        /// What protects the program.
        tee_line: &'static str,
        /// The program's measurement.
        measurement: [u8; 32],
    },
    /// The program or its evidence was not accepted, and nothing was handed over; or it did not confirm.
    NotProvisioned(ProvisioningError),
    /// A consumer's request was carried out.
    Admitted {
        /// Its identity's fingerprint.
        fingerprint: String,
        /// Subscriptions that it holds now.
        subscriptions: usize,
    },
    /// All that a consumer announced is admitted and indexed.
    Complete {
        /// Its identity.
        consumer: VerifyingKey,
    },
    /// A consumer's request was refused.
    RefusedConsumer {
        /// Its identity's fingerprint.
        fingerprint: String,
        /// Why.
        refusal: Refusal,
    },
    /// A request did not open; its sender is unknown.
    UnreadableAsk,
    /// A batch was taken.
    Published {
        /// Its publications.
        publications: usize,
        /// Those that matched at least one subscription.
        matched: u32,
        /// (publication, subscription) pairs.
        deliveries: u64,
    },
    /// The program took a message but could not carry it out.
    NotCarriedOut(Status),
    /// The router did not take something.
    RouterRefused {
        /// Its words.
        what: String,
        /// Whether asking again is useless.
        lasting: bool,
    },
    /// A consumer went away before its answer reached it.
    Unreachable,
    /// The router forged, withheld or reordered a receipt: the session is not to be trusted any more.
    ReceiptNotAuthentic,
}

enum State {
    Detached,
    Challenged(Challenged),
    Entrusted {
        entrusted: Entrusted,
        session: Box<Session>,
        tee_line: &'static str,
        measurement: [u8; 32],
    },
    Open(Box<Session>),
}

struct Session {
    scope: Scope,
    control: Cipher,
    keys: PublisherKeys,
    next_counter: u64,
    next_receipt: u64,
    delivery_keys: BTreeMap<VerifyingKey, Secret>,
    /// Admissions that complete what a consumer announced, by counter.
    completing: BTreeMap<u64, VerifyingKey>,
}

/// A control message that waits for credit.
struct Queued {
    body: ControlBody,
    /// The consumer all of whose subscriptions are indexed once this is carried out.
    completes: Option<VerifyingKey>,
}

/// A publisher that owns its domain.
pub struct Publisher {
    secret: Arc<OwnerSecret>,
    settings: PublisherSettings,
    entropy: Box<dyn Entropy + Send>,
    roll: Roll,
    state: State,
    batches: Batches,
    controls: VecDeque<Queued>,
    complete: BTreeSet<VerifyingKey>,
    next_tick: Duration,
    outputs: Vec<Output>,
    events: VecDeque<PublisherEvent>,
}

impl Publisher {
    /// A publisher with the memory of earlier starts. The first output is the record of this start.
    #[must_use]
    pub fn new(
        secret: Arc<OwnerSecret>,
        settings: PublisherSettings,
        mut roll: Roll,
        entropy: Box<dyn Entropy + Send>,
    ) -> Self {
        let start = Record::Start(roll.start() + 1);
        roll.apply(&start);
        roll.reinstate(&settings.admission);
        let batches = Batches::new(settings.batch, roll.start());
        Self {
            secret,
            settings,
            entropy,
            roll,
            state: State::Detached,
            batches,
            controls: VecDeque::new(),
            complete: BTreeSet::new(),
            next_tick: Duration::ZERO,
            outputs: vec![Output::Record(start.encode())],
            events: VecDeque::new(),
        }
    }

    /// The domain that it owns.
    #[must_use]
    pub fn domain(&self) -> DomainId {
        self.secret.public().domain_id()
    }

    /// What has to survive a restart.
    #[must_use]
    pub fn roll(&self) -> &Roll {
        &self.roll
    }

    /// Consumers whose announced subscriptions are all admitted and indexed.
    #[must_use]
    pub fn complete_consumers(&self) -> usize {
        self.complete.len()
    }

    /// Whether everything published has its receipt, and every report was taken.
    #[must_use]
    pub fn is_drained(&self) -> bool {
        self.batches.is_empty() && self.events.is_empty()
    }

    /// Whether [`Publisher::publish`] would say [`Full`].
    #[must_use]
    pub fn is_full(&self) -> bool {
        self.batches.held_bytes() >= self.settings.queue_bytes
    }

    /// Whether a session is open.
    #[must_use]
    pub fn is_open(&self) -> bool {
        matches!(self.state, State::Open(_))
    }

    /// What is to be done, in order: each record has to be on the disk before the next frame is sent.
    pub fn take_outputs(&mut self) -> Vec<Output> {
        core::mem::take(&mut self.outputs)
    }

    /// The next report.
    pub fn poll_event(&mut self) -> Option<PublisherEvent> {
        self.events.pop_front()
    }

    /// Publishes, as soon as there is a session and credit.
    ///
    /// # Errors
    /// [`Full`]: nothing was taken.
    pub fn publish(
        &mut self,
        clock: Clock,
        publication: Publication,
        payload: Bytes,
    ) -> Result<(), Full> {
        if self.is_full() {
            return Err(Full);
        }
        self.batches.push(clock.now, publication, payload);
        Ok(())
    }

    /// Closes the open batch without waiting for its linger.
    pub fn flush(&mut self) {
        self.batches.close();
    }

    /// A link to a router is established: provisions it.
    pub fn on_established(&mut self) {
        self.on_closed();
        let (challenged, challenge) = Challenged::begin(&self.secret, &mut *self.entropy);
        self.state = State::Challenged(challenged);
        self.send_control(from_publisher::Frame::Challenge(challenge), []);
    }

    /// The link is gone: what has no receipt waits for the next session.
    pub fn on_closed(&mut self) {
        self.state = State::Detached;
        self.controls.clear();
        self.batches.rewind();
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
            to_publisher::Frame::Offer(offer) => self.on_offer(clock, &offer),
            to_publisher::Frame::Opened(opened) => self.on_opened(clock, &opened),
            to_publisher::Frame::Receipt(receipt) => self.on_receipt(&receipt, &attachment),
            to_publisher::Frame::Ask(ask) => self.on_ask(clock, &ask, &attachment),
            to_publisher::Frame::Refused(refused) => self.on_refused(&refused),
        }
    }

    /// A message that the router or the program did not take leaves a hole in the counter: only a new session mends it. An answer that
    /// found its consumer gone is no such message.
    fn on_refused(&mut self, refused: &routing::Refused) {
        let cause = refused.cause();
        if cause == Cause::Unreachable {
            return self.report(PublisherEvent::Unreachable);
        }
        if self.is_open() {
            self.outputs
                .push(Output::Close(format!("refused: {}", refused.what)));
        } else {
            self.state = State::Detached;
        }
        let lasting = matches!(cause, Cause::Plain | Cause::OwnerNotPinned);
        self.report(PublisherEvent::RouterRefused {
            what: refused.what.clone(),
            lasting,
        });
    }

    fn on_offer(&mut self, clock: Clock, offer: &routing::Offer) {
        let challenged = match core::mem::replace(&mut self.state, State::Detached) {
            State::Challenged(challenged) => challenged,
            other => return self.state = other,
        };
        let number = Record::Session(self.roll.session() + 1);
        self.roll.apply(&number);
        let secrets = self.fresh_secrets(clock);
        let made = challenged.entrust(
            &self.secret,
            &self.settings.policy,
            offer
                .offer
                .as_ref()
                .unwrap_or(&sc_proto::provision::Offer::default()),
            &secrets,
            &mut *self.entropy,
        );
        match made {
            Ok((entrusted, appraisal, message)) => {
                let session = Box::new(Session::new(self.domain(), &self.secret, &secrets));
                self.outputs.push(Output::Record(number.encode()));
                self.state = State::Entrusted {
                    entrusted,
                    session,
                    tee_line: appraisal.tee_line,
                    measurement: appraisal.measurement,
                };
                let frame = routing::Secrets {
                    secrets: Some(message),
                    plain: self.settings.plain,
                };
                self.send_control(from_publisher::Frame::Secrets(frame), []);
            }
            Err(error) => self.report(PublisherEvent::NotProvisioned(error)),
        }
    }

    fn fresh_secrets(&mut self, clock: Clock) -> DomainSecrets {
        DomainSecrets {
            key: DomainKey::new(Secret::random(&mut *self.entropy)),
            session: self.roll.session(),
            start: self.roll.start(),
            time_ms: clock.wall_ms,
            plain: self.settings.plain,
            owner: self.secret.public().clone(),
            certificate: self.secret.certificate(),
        }
    }

    fn on_opened(&mut self, clock: Clock, opened: &routing::Opened) {
        match core::mem::replace(&mut self.state, State::Detached) {
            State::Entrusted {
                entrusted,
                session,
                tee_line,
                measurement,
            } => {
                if let Err(error) = entrusted.confirm(opened.confirmation.as_ref()) {
                    return self.report(PublisherEvent::NotProvisioned(error.into()));
                }
                let number = session.scope.session;
                self.state = State::Open(session);
                self.next_tick = clock.now + self.settings.tick;
                self.report(PublisherEvent::Opened {
                    session: number,
                    tee_line,
                    measurement,
                });
                self.admit_live_members(clock);
            }
            other => self.state = other,
        }
    }

    /// Seals the live subscriptions into a session just opened, and tells their consumers.
    fn admit_live_members(&mut self, clock: Clock) {
        let live: Vec<_> = self
            .roll
            .members()
            .filter(|(_, member)| {
                !member.revoked
                    && !member.subscriptions.is_empty()
                    && member.lease_until_ms > clock.wall_ms
            })
            .map(|(identity, member)| (*identity, member.subscriptions.clone()))
            .collect();
        for (identity, subscriptions) in live {
            self.answer_admitted(clock, &identity);
            let all: Vec<_> = subscriptions.into_iter().collect();
            for (part, chunk) in all.chunks(SUBSCRIPTIONS_PER_ASK_MAX).enumerate() {
                self.queue_admission(&identity, part == 0, chunk.to_vec(), false);
            }
        }
    }

    fn on_ask(&mut self, clock: Clock, frame: &routing::Ask, sealed: &[u8]) {
        let opened = Ask::open(sealed, &self.secret, self.settings.plain)
            .and_then(|ask| Ok((ask.identity()?, ask)));
        let Ok((identity, ask)) = opened else {
            return self.report(PublisherEvent::UnreadableAsk);
        };
        // The notices will go to the link that proved this key; a request carried by another link is somebody's replay.
        if frame.consumer[..] != identity.as_bytes()[..] || !self.is_open() {
            return self.report(PublisherEvent::UnreadableAsk);
        }
        let request = sha256(sealed);
        let fingerprint = ask.consumer.fingerprint();
        match self.roll.judge(
            &ask,
            &identity,
            &self.settings.admission,
            self.settings.quota,
        ) {
            Err(refusal) => {
                if refusal != Refusal::Sequence {
                    self.record(Record::Taken {
                        ask: Box::new(ask.clone()),
                        request,
                        lease_until_ms: None,
                    });
                }
                self.answer(&ask.consumer, &identity, request, Verdict::Refused(refusal));
                self.report(PublisherEvent::RefusedConsumer {
                    fingerprint,
                    refusal,
                });
            }
            Ok(()) => {
                let lease_until_ms = Some(clock.wall_ms + self.settings.lease.as_millis() as u64);
                self.record(Record::Taken {
                    ask: Box::new(ask.clone()),
                    request,
                    lease_until_ms,
                });
                self.carry_out(clock, identity, ask.operation);
                let subscriptions = self
                    .roll
                    .member(&identity)
                    .map_or(0, |member| member.subscriptions.len());
                self.report(PublisherEvent::Admitted {
                    fingerprint,
                    subscriptions,
                });
            }
        }
    }

    /// Answers first, so that the consumer has its key before the first notice; then tells the program.
    fn carry_out(&mut self, clock: Clock, identity: VerifyingKey, operation: Operation) {
        self.answer_admitted(clock, &identity);
        match operation {
            Operation::Subscribe {
                replace,
                remaining,
                subscriptions,
            } => {
                self.queue_admission(&identity, replace, subscriptions, remaining == 0);
            }
            Operation::Unsubscribe { ids } if ids.is_empty() => {
                self.queue_admission(&identity, true, Vec::new(), false)
            }
            Operation::Unsubscribe { ids } => self.queue(ControlBody::Withdraw {
                consumer: identity,
                ids,
            }),
            Operation::Renew => {
                let lease_until_ms = self
                    .roll
                    .member(&identity)
                    .map_or(0, |member| member.lease_until_ms);
                self.queue(ControlBody::Renew {
                    consumer: identity,
                    lease_until_ms,
                });
            }
        }
    }

    fn queue_admission(
        &mut self,
        identity: &VerifyingKey,
        replace: bool,
        subscriptions: Vec<(u64, Subscription)>,
        completes: bool,
    ) {
        let lease_until_ms = self
            .roll
            .member(identity)
            .map_or(0, |member| member.lease_until_ms);
        let State::Open(session) = &mut self.state else {
            return;
        };
        let delivery_key = session.delivery_key(identity, &mut *self.entropy);
        let body = ControlBody::Admit {
            consumer: *identity,
            delivery_key,
            lease_until_ms,
            slow: self.settings.slow,
            replace,
            subscriptions,
        };
        self.controls.push_back(Queued {
            body,
            completes: completes.then_some(*identity),
        });
    }

    fn queue(&mut self, body: ControlBody) {
        self.controls.push_back(Queued {
            body,
            completes: None,
        });
    }

    fn answer_admitted(&mut self, clock: Clock, identity: &VerifyingKey) {
        let Some(member) = self.roll.member(identity) else {
            return;
        };
        let (public, request, lease_until_ms) =
            (member.public.clone(), member.request, member.lease_until_ms);
        let State::Open(session) = &mut self.state else {
            return;
        };
        let verdict = Verdict::Admitted {
            delivery_key: session.delivery_key(identity, &mut *self.entropy),
            lease_until_ms,
            lease_ms: lease_until_ms.saturating_sub(clock.wall_ms),
            slow: self.settings.slow,
        };
        self.answer(&public, identity, request, verdict);
    }

    fn answer(
        &mut self,
        public: &sc_crypto::OwnerPublic,
        identity: &VerifyingKey,
        request: [u8; 32],
        verdict: Verdict,
    ) {
        let State::Open(session) = &self.state else {
            return;
        };
        let answer = Answer {
            request,
            session: session.scope.session,
            verdict,
        };
        let sealed = answer.seal(
            &self.secret,
            public,
            self.settings.plain,
            &mut *self.entropy,
        );
        let head = routing::Answer {
            domain: Bytes::copy_from_slice(self.domain().as_bytes()),
            consumer: Bytes::copy_from_slice(identity.as_bytes()),
        };
        self.send_control(from_publisher::Frame::Answer(head), [sealed.into()]);
    }

    /// Takes a changed list: admitted consumers that it no longer names are revoked at once.
    pub fn set_admission(&mut self, admission: Admission) {
        for identity in self.roll.no_longer_listed(&admission) {
            self.revoke(identity);
        }
        self.roll.reinstate(&admission);
        self.settings.admission = admission;
    }

    /// Drops a consumer with all its subscriptions; it is refused from now on.
    pub fn revoke(&mut self, identity: VerifyingKey) {
        self.record(Record::Revoked(identity));
        self.complete.remove(&identity);
        self.queue(ControlBody::Revoke { consumer: identity });
    }

    fn on_receipt(&mut self, head: &routing::Receipt, sealed: &[u8]) {
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
        if receipt.status != Status::Taken {
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
        let mut left = credit;
        while self.send_next_control(clock, &mut left) {}
        if self.controls.is_empty() {
            while self.send_next_batch(clock, &mut left) {}
        }
    }

    fn send_next_control(&mut self, clock: Clock, left: &mut Credit) -> bool {
        let State::Open(session) = &mut self.state else {
            return false;
        };
        let Some(Queued { body, completes }) = self.controls.pop_front() else {
            return false;
        };
        let control = Control {
            time_ms: clock.wall_ms,
            body,
        };
        let plaintext = zeroize::Zeroizing::new(control.encode());
        if !left.take_control(plaintext.len()) {
            self.controls.push_front(Queued {
                body: control.body,
                completes,
            });
            return false;
        }
        let counter = session.take_counter();
        session
            .completing
            .extend(completes.map(|consumer| (counter, consumer)));
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

    fn send_next_batch(&mut self, clock: Clock, left: &mut Credit) -> bool {
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

    fn send_control<const N: usize>(
        &mut self,
        frame: from_publisher::Frame,
        attachments: [Bytes; N],
    ) {
        let head = routing::FromPublisher { frame: Some(frame) }.encode_to_vec();
        let frame = Frame {
            head: head.into(),
            attachments: attachments.into(),
        };
        self.outputs.push(Output::Send {
            class: FrameClass::Control,
            frame,
        });
    }

    fn record(&mut self, record: Record) {
        self.roll.apply(&record);
        self.outputs.push(Output::Record(record.encode()));
    }

    fn report(&mut self, event: PublisherEvent) {
        self.events.push_back(event);
    }
}

impl Session {
    fn new(domain: DomainId, owner: &OwnerSecret, secrets: &DomainSecrets) -> Self {
        let party = owner.signing_key().verifying_key();
        let scope = Scope {
            domain,
            session: secrets.session,
            party,
            start: secrets.start,
        };
        Self {
            scope,
            control: control_cipher(&secrets.key, &scope, secrets.plain),
            keys: PublisherKeys::new(&secrets.key.publisher_secret(&scope), secrets.plain),
            next_counter: 1,
            next_receipt: 1,
            delivery_keys: BTreeMap::new(),
            completing: BTreeMap::new(),
        }
    }

    fn take_counter(&mut self) -> u64 {
        let counter = self.next_counter;
        self.next_counter += 1;
        counter
    }

    /// The consumer's delivery key in this session, made at its first admission.
    fn delivery_key(&mut self, consumer: &VerifyingKey, entropy: &mut dyn Entropy) -> Secret {
        self.delivery_keys
            .entry(*consumer)
            .or_insert_with(|| Secret::random(entropy))
            .duplicate()
    }

    /// Opens the receipt of the next message; `None` for any other.
    fn open_receipt(&mut self, counter: u64, sealed: &mut [u8]) -> Option<Receipt> {
        if counter != self.next_receipt || counter >= self.next_counter {
            return None;
        }
        let plaintext = self
            .keys
            .receipt
            .open(&self.scope, MessageKind::Receipt, counter, sealed)
            .ok()?;
        let receipt = Receipt::decode(plaintext)
            .ok()
            .filter(|receipt| receipt.counter == counter)?;
        self.next_receipt += 1;
        Some(receipt)
    }
}
