//! The publisher: provisions a router, admits consumers, publishes; a core without sockets, clocks or files.
//!
//! Invariants: a message gets its counter only when the credit for it is in hand; a record is handed out before whatever depends on it,
//! for the caller to put on the disk first; every session has a fresh domain key and a greater number.

mod admission;
mod controls;
mod grants;
mod leave;
mod lists;
mod roll;
mod roots;
mod sending;
mod session;
mod settings;

use std::collections::{BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use prost::Message;
use sc_cbr::{ControlBody, DomainKey, DomainSecrets};
use sc_crypto::{DomainId, Entropy, OwnerSecret, Secret, VerifyingKey};
use sc_enclave::Purpose;
use sc_matching::Publication;
use sc_proto::routing::{self, from_publisher, refused::Cause, to_publisher};
use sc_transport::{Frame, FrameClass};

pub use lists::{Admission, GrantList};
pub use roll::Roll;
pub use settings::{PublisherEvent, PublisherSettings};

use crate::link::{Clock, Output};
use crate::outgoing::{BatchBounds, Outgoing, PublishError, later};
use crate::provisioning::{Challenged, Entrusted};
use controls::{Controls, Queued};
use leave::Leave;
use roll::Record;
use roots::Roots;
use session::Session;

/// A router that has not led to a session so long after the challenge is left: evidence is taken while its nonce is fresh.
const PROVISION_WITHIN: Duration = Duration::from_secs(60);

enum State {
    Detached,
    Challenged(Challenged),
    Entrusted {
        entrusted: Entrusted,
        session: Box<Session>,
        tee_line: &'static str,
        measurement: Vec<u8>,
    },
    Open(Box<Session>),
}

/// A publisher that owns its domain.
pub struct Publisher {
    secret: Arc<OwnerSecret>,
    settings: PublisherSettings,
    entropy: Box<dyn Entropy + Send>,
    roll: Roll,
    roots: Roots,
    state: State,
    /// Until when the challenge has to have led to a session; none before the first look at the clock.
    provision_by: Option<Duration>,
    outgoing: Outgoing,
    controls: Controls,
    complete: BTreeSet<VerifyingKey>,
    next_tick: Duration,
    leave: Leave,
    outputs: Vec<Output>,
    events: VecDeque<PublisherEvent>,
}

impl Publisher {
    /// A publisher with the memory of earlier starts. The first output is the record of this start; whoever was admitted then and is not
    /// now is dropped before anything else. What a crash cuts off does not come again, and consumers are told so; see
    /// [`Publisher::of_stream`] for what can be read again.
    #[must_use]
    pub fn new(
        secret: Arc<OwnerSecret>,
        settings: PublisherSettings,
        mut roll: Roll,
        entropy: Box<dyn Entropy + Send>,
    ) -> Self {
        let last_start = roll.start();
        let outgoing = Outgoing::new(settings.outgoing(), roll.progress(), last_start);
        let start = Record::Start(roll.start() + 1);
        roll.apply(&start);
        let roots = Roots::restore(&secret, &roll);
        let unlisted = roll.no_longer_listed(&settings.admission);
        let mut publisher = Self {
            secret,
            settings,
            entropy,
            roll,
            roots,
            state: State::Detached,
            provision_by: None,
            outgoing,
            controls: Controls::default(),
            complete: BTreeSet::new(),
            next_tick: Duration::ZERO,
            leave: Leave::No,
            outputs: vec![Output::Record(start.encode())],
            events: VecDeque::new(),
        };
        for identity in unlisted {
            publisher.record(Record::Unlisted(identity));
        }
        publisher
    }

    /// The same, for an input that can be read again from its beginning and whose digest this is. It is cut into batches by number and
    /// bytes alone; where an earlier process came to is where it goes on, under the same origins, so that nothing is taken twice. Leave
    /// out the first [`Publisher::resumed_publications`], publish all others in their order, and say [`Publisher::finish`] at the end.
    #[must_use]
    pub fn of_stream(mut self, digest: &[u8; 32]) -> Self {
        let bounds = self.settings.outgoing();
        let last_start = self.roll.start() - 1;
        self.outgoing = Outgoing::of_stream(bounds, self.roll.progress(), last_start, digest);
        self
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

    /// Whether [`Publisher::publish`] would say [`PublishError::Full`].
    #[must_use]
    pub fn is_full(&self) -> bool {
        self.outgoing.is_full()
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

    /// Nothing more is published: closes the open batch, and writes down that nothing is missing once all is settled. A stream that is
    /// read again after that begins anew.
    pub fn finish(&mut self) {
        self.outgoing.finish();
    }

    /// A link to a router is established: provisions it.
    pub fn on_established(&mut self) {
        self.on_closed();
        let (challenged, challenge) =
            Challenged::begin(&self.secret, Purpose::Cbr, &mut *self.entropy);
        self.state = State::Challenged(challenged);
        self.send_control(from_publisher::Frame::Challenge(challenge), []);
    }

    /// The link is gone: what is not settled waits for the next session.
    pub fn on_closed(&mut self) {
        self.state = State::Detached;
        self.provision_by = None;
        self.controls.clear();
        self.outgoing.rewind();
        self.leave.rewind();
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
            to_publisher::Frame::Settled(settled) => self.on_settled(clock, &settled),
            // Meant for one that publishes in another's domain.
            to_publisher::Frame::DomainState(_) | to_publisher::Frame::Answer(_) => {}
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
        if self.provision_by.is_some_and(|by| by <= clock.now) {
            return;
        }
        let challenged = match core::mem::replace(&mut self.state, State::Detached) {
            State::Challenged(challenged) => challenged,
            other => return self.state = other,
        };
        let number = Record::Session(later(self.roll.session(), clock.wall_ms));
        self.roll.apply(&number);
        let secrets = self.fresh_secrets(clock);
        let made = challenged.entrust(
            &self.secret,
            &self.settings.policy,
            offer
                .offer
                .as_ref()
                .unwrap_or(&sc_proto::provision::Offer::default()),
            &secrets.encode(),
            clock.wall_ms,
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
                    measurement: appraisal.measurement().to_vec(),
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
            floor: self.outgoing.floor(),
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
                let number = session.number();
                let root = self.roots.begin(&self.secret, number, &mut *self.entropy);
                self.record(Record::Root {
                    session: number,
                    sealed: root,
                });
                self.state = State::Open(session);
                self.provision_by = None;
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
            self.controls.push(Queued::Control {
                body,
                completes: None,
                bytes: 0,
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
