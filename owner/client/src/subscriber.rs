//! The subscriber: asks a domain's owner for its subscriptions, opens notices and payloads; a core without sockets, clocks or files.
//!
//! Invariants: a notice is taken only as the next of its session, or after a gap that was reported; an origin is taken once; nothing is
//! delivered whose hash and key did not come from the trusted program; what the router may forget is in the journal.

mod acks;
mod coverage;
mod event;
mod memory;
mod notices;
mod requests;
mod sessions;
mod silence;

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use prost::Message;
use sc_crypto::{DomainId, Entropy, OwnerPublic, OwnerSecret};
use sc_matching::Subscription;
use sc_proto::routing::{self, from_subscriber, to_subscriber};
use sc_transport::{Frame, FrameClass};

use self::acks::Acks;
use self::requests::Requests;
use self::sessions::Sessions;
use self::silence::Silence;
use crate::link::{Clock, Output};

pub use self::coverage::UNKNOWN_END;
pub use self::event::{Delivery, Ending, SubscriberEvent, SubscriberSettings};
pub use self::memory::Memory;

/// Reports that wait to be polled; beyond it those are dropped that a router can cause without end.
const EVENTS_MAX: usize = 1024;

/// A subscriber to one domain under one identity.
pub struct Subscriber {
    owner: OwnerPublic,
    identity: Arc<OwnerSecret>,
    settings: SubscriberSettings,
    entropy: Box<dyn Entropy + Send>,
    subscriptions: Vec<(u64, Subscription)>,
    memory: Memory,
    attached: bool,
    /// Whether the owner holds all subscriptions, as far as this side knows.
    admitted: bool,
    requests: Requests,
    sessions: Sessions,
    acks: Acks,
    silence: Silence,
    outputs: Vec<Output>,
    events: VecDeque<SubscriberEvent>,
}

impl Subscriber {
    /// A subscriber that will ask for `subscriptions` and replace whatever its identity held before. It goes on in the sessions that
    /// `memory` knows.
    #[must_use]
    pub fn new(
        owner: OwnerPublic,
        identity: Arc<OwnerSecret>,
        subscriptions: Vec<(u64, Subscription)>,
        settings: SubscriberSettings,
        memory: Memory,
        entropy: Box<dyn Entropy + Send>,
    ) -> Self {
        let mut sessions = Sessions::default();
        let answered = sessions.restore(&memory, &owner, &identity, settings.plain);
        Self {
            owner,
            identity,
            settings,
            entropy,
            subscriptions,
            memory,
            attached: false,
            admitted: false,
            requests: Requests::new(answered),
            sessions,
            acks: Acks::default(),
            silence: Silence::default(),
            outputs: Vec::new(),
            events: VecDeque::new(),
        }
    }

    /// The domain that it subscribes to.
    #[must_use]
    pub fn domain(&self) -> DomainId {
        self.owner.domain_id()
    }

    /// What has to survive a restart.
    #[must_use]
    pub fn memory(&self) -> &Memory {
        &self.memory
    }

    /// What is to be done, in order: each record has to be on the disk before the next frame is sent.
    ///
    /// Ends a round of work: what was delivered before is written down as taken. So the caller first makes as durable as it needs it what
    /// it was given; a process that dies before the record is written is given the same again.
    pub fn take_outputs(&mut self) -> Vec<Output> {
        self.write_down();
        if self.attached {
            for (session, counter) in self.acks.take() {
                self.send_ack(session, counter);
            }
        }
        core::mem::take(&mut self.outputs)
    }

    /// Has everything that was taken acknowledged with the next outputs, without waiting for more.
    pub fn acknowledge_all(&mut self) {
        self.acks.hurry();
    }

    /// The next report.
    pub fn poll_event(&mut self) -> Option<SubscriberEvent> {
        self.events.pop_front()
    }

    /// A link to a router is established: asks for the domain, and says which notices this side can open and has taken.
    pub fn on_established(&mut self) {
        self.on_closed();
        self.attached = true;
        let domain = self.domain_bytes();
        self.send(
            from_subscriber::Frame::Attach(routing::Attach { domain }),
            None,
        );
        let taken: Vec<_> = self.sessions.taken().collect();
        for (session, counter) in taken {
            self.acknowledge(session, counter);
        }
    }

    /// The link is gone, and with it the requests that were on their way: whether they were taken nobody here knows.
    pub fn on_closed(&mut self) {
        self.attached = false;
        self.admitted &= !self.requests.is_open();
        self.requests.on_closed();
        self.acks.forget();
        self.silence.suspend();
    }

    /// Takes a frame of the router; each publication that it brings is given to `deliver`.
    pub fn on_frame(&mut self, clock: Clock, frame: Frame, deliver: &mut dyn FnMut(Delivery<'_>)) {
        let mut attachments = frame.attachments.into_iter();
        let (first, second) = (
            attachments.next().unwrap_or_default(),
            attachments.next().unwrap_or_default(),
        );
        let Some(frame) = routing::ToSubscriber::decode(frame.head)
            .ok()
            .and_then(|message| message.frame)
        else {
            return self.outputs.push(Output::Close(
                "the router sent a frame that does not decode".into(),
            ));
        };
        match frame {
            to_subscriber::Frame::DomainState(state) => self.on_domain_state(clock, &state),
            to_subscriber::Frame::Answer(_) => self.on_answer(clock, &first),
            to_subscriber::Frame::Notice(notice) => {
                self.on_notice(clock, &notice, &first, &second, deliver)
            }
            to_subscriber::Frame::Refused(refused) => self.on_refused(clock, &refused),
        }
    }

    /// When [`Subscriber::on_timeout`] has something to do even if nothing happens.
    #[must_use]
    pub fn next_timeout(&self) -> Option<Duration> {
        if !self.attached {
            return None;
        }
        let silence = self
            .heartbeat()
            .and_then(|it| self.silence.next_timeout(it));
        let due = [
            self.requests.next_timeout(),
            self.acks.next_timeout(),
            silence,
        ];
        due.into_iter().flatten().min()
    }

    /// Does what is due.
    pub fn on_timeout(&mut self, clock: Clock) {
        if !self.attached {
            return;
        }
        self.do_requests(clock);
        self.acks.on_timeout(clock.now);
        if let Some(heartbeat) = self.heartbeat()
            && self.silence.is_too_long(clock.now, heartbeat)
        {
            self.report(SubscriberEvent::Silent);
        }
    }

    /// How often a heartbeat comes at least, if one can come.
    fn heartbeat(&self) -> Option<Duration> {
        if !self.admitted || self.subscriptions.is_empty() {
            return None;
        }
        self.sessions.terms().map(|terms| terms.heartbeat)
    }

    fn domain_bytes(&self) -> Bytes {
        Bytes::copy_from_slice(self.domain().as_bytes())
    }

    /// Has the journal say what was taken so far.
    fn write_down(&mut self) {
        if let Some(record) = self.memory.progress() {
            self.outputs.push(Output::Record(record));
        }
    }

    /// Tells the router, if there is one, at once.
    fn acknowledge(&mut self, session: u64, counter: u64) {
        if self.attached {
            self.write_down();
            self.acks.note(session, counter);
            self.send_ack(session, counter);
        }
    }

    fn send_ack(&mut self, session: u64, counter: u64) {
        let domain = self.domain_bytes();
        let ack = routing::Ack {
            domain,
            session,
            counter,
        };
        self.send(from_subscriber::Frame::Ack(ack), None);
    }

    fn report(&mut self, event: SubscriberEvent) {
        let is_told = event.is_cheap() && self.events.back() == Some(&event);
        if is_told || (event.is_cheap() && self.events.len() >= EVENTS_MAX) {
            return;
        }
        self.events.push_back(event);
    }

    fn send(&mut self, frame: from_subscriber::Frame, attachment: Option<Bytes>) {
        let head = routing::FromSubscriber { frame: Some(frame) }.encode_to_vec();
        let frame = Frame {
            head: head.into(),
            attachments: attachment.into_iter().collect(),
        };
        self.outputs.push(Output::Send {
            class: FrameClass::Control,
            frame,
        });
    }
}
