//! The publisher: provisions a router, admits consumers, publishes; a core without sockets, clocks or files.
//!
//! Invariants: a message gets its counter only when the credit for it is in hand; a record is handed out before whatever depends on it,
//! for the caller to put on the disk first; every session has a fresh domain key and a greater number.

mod admission;
mod batches;
mod roll;
mod sending;
mod session;
mod settings;

use std::collections::{BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use prost::Message;
use sc_cbr::{ControlBody, DomainKey, DomainSecrets, Origin};
use sc_crypto::{DomainId, Entropy, OwnerSecret, Secret, VerifyingKey};
use sc_matching::Publication;
use sc_proto::routing::{self, from_publisher, refused::Cause, to_publisher};
use sc_transport::{Frame, FrameClass};

pub use batches::BatchBounds;
pub use roll::{Admission, Roll};
pub use settings::{Full, PublisherEvent, PublisherSettings};

use crate::link::{Clock, Output};
use crate::provisioning::{Challenged, Entrusted};
use batches::Batches;
use roll::Record;
use session::Session;

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

/// Something that waits for credit of class control.
enum Queued {
    /// A message for the program.
    Control {
        body: ControlBody,
        /// The consumer all of whose subscriptions are indexed once this is carried out.
        completes: Option<VerifyingKey>,
    },
    /// The answer that tells a live consumer of a new session, in front of its admission.
    Answer(VerifyingKey),
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
    /// A publisher with the memory of earlier starts. The first output is the record of this start; whoever was admitted then and is not
    /// now is dropped before anything else.
    #[must_use]
    pub fn new(
        secret: Arc<OwnerSecret>,
        settings: PublisherSettings,
        mut roll: Roll,
        entropy: Box<dyn Entropy + Send>,
    ) -> Self {
        let start = Record::Start(roll.start() + 1);
        roll.apply(&start);
        let batches = Batches::new(settings.batch, roll.start());
        let unlisted = roll.no_longer_listed(&settings.admission);
        let mut publisher = Self {
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
        };
        for identity in unlisted {
            publisher.record(Record::Unlisted(identity));
        }
        publisher
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
            to_publisher::Frame::Receipt(receipt) => self.on_receipt(clock, &receipt, &attachment),
            to_publisher::Frame::Ask(ask) => self.on_ask(clock, &ask, &attachment),
            to_publisher::Frame::Refused(refused) => self.on_refused(&refused),
            to_publisher::Frame::Settled(_)
            | to_publisher::Frame::DomainState(_)
            | to_publisher::Frame::Answer(_) => {}
        }
    }

    /// A message that the router or the program did not take leaves a hole in the counter: only a new session mends it. An answer that
    /// found its consumer gone is no such message.
    fn on_refused(&mut self, refused: &routing::Refused) {
        let cause = refused.cause();
        if cause == Cause::Unreachable {
            return self.report(PublisherEvent::Unreachable);
        }
        if !self.is_open() {
            self.state = State::Detached;
        }
        self.outputs
            .push(Output::Close(format!("refused: {}", refused.what)));
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
            floor: Origin::default(),
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

    /// Queues a control message for the session that is open; without one there is nobody to tell.
    fn queue(&mut self, body: ControlBody) {
        if self.is_open() {
            self.controls.push_back(Queued::Control {
                body,
                completes: None,
            });
        }
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
