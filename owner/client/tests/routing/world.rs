//! The parties, the queues between them, and an honest router's work in a few lines.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use sc_attestation::Policy;
use sc_cbr::Engine;
use sc_client::{
    BatchBounds, Clock, Credit, Memory, Output, Publisher, PublisherEvent, PublisherSettings, Roll,
};
use sc_crypto::hash::sha256;
use sc_crypto::{OwnerSecret, Secret};
use sc_enclave::{Program, SimulatedPlatform, simulation_development_key};
use sc_matching::ascii::{self, Line};
use sc_matching::{Publication, Subscription};
use sc_proto::Message;
use sc_proto::cbr::{self, call::Call, reply::Reply};
use sc_proto::routing::{self, from_publisher, from_subscriber, to_publisher, to_subscriber};
use sc_transport::{Frame, FrameClass};

use crate::guest::Guest;
pub(crate) use crate::party::{Delivered, Party};

pub(crate) const OWNER: u8 = 1;
pub(crate) const IBM: &str = "i symbol \"IBM\"";
pub(crate) const WANTS_IBM: &str = "i symbol = \"IBM\"";

/// A generator of bytes.
pub(crate) type Draw = Box<dyn FnMut(&mut [u8]) + Send>;

/// Bytes that differ at each call and are the same in each run.
pub(crate) fn entropy(mut state: u64) -> impl FnMut(&mut [u8]) + Send {
    state <<= 32;
    move |bytes| {
        for chunk in bytes.chunks_mut(32) {
            state += 1;
            chunk.copy_from_slice(&sha256(&state.to_le_bytes())[..chunk.len()]);
        }
    }
}

pub(crate) fn identity(number: u8) -> OwnerSecret {
    OwnerSecret::from_seed(Secret::from_bytes([number; 32]))
}

pub(crate) fn subscription(constraints: &str) -> Subscription {
    match ascii::parse(&format!("0 0 S {constraints}")).unwrap() {
        Line::Subscription { subscription, .. } => subscription,
        Line::Publication(_) => unreachable!("the line says S"),
    }
}

pub(crate) fn publication(attributes: &str) -> Publication {
    match ascii::parse(&format!("0 0 P {attributes}")).unwrap() {
        Line::Publication(publication) => publication,
        Line::Subscription { .. } => unreachable!("the line says P"),
    }
}

/// Settings that accept the simulation and close a batch at each publication.
pub(crate) fn settings() -> PublisherSettings {
    PublisherSettings {
        policy: Policy::development(),
        batch: BatchBounds {
            publications: 1,
            ..BatchBounds::default()
        },
        ..PublisherSettings::default()
    }
}

/// Everybody.
pub(crate) struct World {
    engine: Engine,
    entropy: Draw,
    pub(crate) publisher: Publisher,
    pub(crate) parties: Vec<Party>,
    /// Those that publish besides the owner.
    pub(crate) guests: Vec<Guest>,
    pub(crate) clock: Clock,
    pub(crate) credit: Credit,
    /// The publisher's journal.
    pub(crate) journal: Vec<Vec<u8>>,
    /// What goes to the publisher.
    pub(crate) inbox: VecDeque<Frame>,
    pub(crate) events: Vec<PublisherEvent>,
    pub(crate) closed: Vec<String>,
    /// Every frame that the publisher sent.
    pub(crate) sent: Vec<from_publisher::Frame>,
    /// Every request that was carried to the publisher.
    pub(crate) asks: Vec<Frame>,
    /// Every answer of the owner to one that wants to publish.
    pub(crate) answers: Vec<Bytes>,
    /// After so many more outputs the publisher's process is gone.
    pub(crate) fuse: Option<usize>,
    session: u64,
    /// Whether the router says at the end of each round that all is settled.
    pub(crate) settles: bool,
    /// What it would say.
    settled: Option<routing::Settled>,
    plain: bool,
}

impl World {
    /// A publisher without a link.
    pub(crate) fn new(settings: PublisherSettings) -> Self {
        let plain = settings.plain;
        let platform = SimulatedPlatform::new(simulation_development_key(), [9; 32]);
        Self {
            engine: Engine::new(Box::new(platform)),
            entropy: Box::new(entropy(77)),
            publisher: publisher(settings, Roll::default(), 0),
            parties: Vec::new(),
            guests: Vec::new(),
            clock: Clock {
                now: Duration::from_secs(1),
                wall_ms: 1,
            },
            credit: Credit {
                control: 1 << 20,
                data: 8 << 20,
            },
            journal: Vec::new(),
            inbox: VecDeque::new(),
            events: Vec::new(),
            closed: Vec::new(),
            sent: Vec::new(),
            asks: Vec::new(),
            answers: Vec::new(),
            fuse: None,
            session: 0,
            settles: true,
            settled: None,
            plain,
        }
    }

    /// A publisher with an open session.
    pub(crate) fn open(settings: PublisherSettings) -> Self {
        let mut world = Self::new(settings);
        world.connect();
        assert!(world.publisher.is_open());
        world
    }

    /// A publisher with an open session and one admitted consumer, identity 2, that wants IBM as its subscription 7.
    pub(crate) fn admitted() -> Self {
        let mut world = Self::open(settings());
        world.join(2, &[(7, WANTS_IBM)]);
        world
    }

    /// The publisher's link is (again) established.
    pub(crate) fn connect(&mut self) {
        self.inbox.clear();
        self.settled = None;
        self.publisher.on_established();
        self.run();
    }

    /// A publisher restarted from its journal, without a link.
    pub(crate) fn restart(&mut self, settings: PublisherSettings) {
        self.start(settings, None);
    }

    /// A publisher restarted from its journal with an input that can be read again, without a link.
    pub(crate) fn restart_stream(&mut self, settings: PublisherSettings, digest: [u8; 32]) {
        self.start(settings, Some(digest));
    }

    fn start(&mut self, settings: PublisherSettings, stream: Option<[u8; 32]>) {
        let roll = Roll::replay(&self.journal).unwrap();
        let publisher = publisher(settings, roll, self.journal.len() as u64);
        self.publisher = match stream {
            Some(digest) => publisher.of_stream(&digest),
            None => publisher,
        };
        self.settled = None;
        self.inbox.clear();
        self.collect_publisher();
    }

    /// Adds a subscriber and lets it ask.
    pub(crate) fn join(&mut self, identity: u8, wanted: &[(u64, &str)]) -> usize {
        self.join_with(identity, wanted, Memory::default())
    }

    pub(crate) fn join_with(
        &mut self,
        identity: u8,
        wanted: &[(u64, &str)],
        memory: Memory,
    ) -> usize {
        let mut party = Party::new(identity, wanted, memory, self.plain);
        party.subscriber.on_established();
        self.parties.push(party);
        self.run();
        self.parties.len() - 1
    }

    /// Adds a subscriber whose requests have been sent and wait for the publisher.
    pub(crate) fn join_half(&mut self, identity: u8, wanted: &[(u64, &str)]) {
        let mut party = Party::new(identity, wanted, Memory::default(), self.plain);
        party.subscriber.on_established();
        self.parties.push(party);
        self.work_subscribers();
        self.deliver_to_subscribers();
        self.work_subscribers();
    }

    /// Adds one that wants to publish in the owner's domain, with a link.
    pub(crate) fn invite(&mut self, identity: u8) -> usize {
        let mut guest = Guest::new(identity, self.plain);
        guest.grantee.on_established();
        self.guests.push(guest);
        self.run();
        self.guests.len() - 1
    }

    pub(crate) fn advance(&mut self, time: Duration) {
        self.clock.now += time;
        self.clock.wall_ms += time.as_millis() as u64;
    }

    pub(crate) fn publish(&mut self, attributes: &str, payload: &str) {
        let payload = Bytes::copy_from_slice(payload.as_bytes());
        self.publisher
            .publish(self.clock, &publication(attributes), payload)
            .unwrap();
    }

    /// Publishes, and lets everything arrive.
    pub(crate) fn publish_and_run(&mut self, attributes: &str, payload: &str) {
        self.publish(attributes, payload);
        self.run();
    }

    /// Everything moves until nothing does.
    pub(crate) fn run(&mut self) {
        for _ in 0..1000 {
            self.work_publisher();
            self.work_subscribers();
            let guests = self.work_guests();
            let moved = self.deliver_to_publisher() + self.deliver_to_subscribers();
            if moved + guests + self.deliver_to_guests() == 0 {
                return;
            }
        }
        panic!("the parties never come to rest");
    }

    /// The publisher does what is due; what it sends goes through the program into the queues.
    pub(crate) fn work_publisher(&mut self) {
        self.publisher.pump(self.clock, self.credit);
        self.collect_publisher();
    }

    pub(crate) fn collect_publisher(&mut self) {
        for output in self.publisher.take_outputs() {
            match &mut self.fuse {
                Some(0) => break,
                Some(left) => *left -= 1,
                None => {}
            }
            match output {
                Output::Record(record) => self.journal.push(record),
                Output::Send { frame, .. } => self.carry_for_publisher(frame),
                Output::Close(reason) => self.closed.push(reason),
                _ => unreachable!("there are three kinds of outputs"),
            }
        }
        while let Some(event) = self.publisher.poll_event() {
            self.events.push(event);
        }
    }

    pub(crate) fn work_subscribers(&mut self) {
        for at in 0..self.parties.len() {
            if self.parties[at].is_away {
                continue;
            }
            self.parties[at].subscriber.on_timeout(self.clock);
            for output in self.parties[at].subscriber.take_outputs() {
                match output {
                    Output::Record(record) => self.parties[at].journal.push(record),
                    Output::Send { frame, class } => {
                        assert_eq!(class, FrameClass::Control);
                        self.carry_for_subscriber(at, frame);
                    }
                    Output::Close(reason) => self.parties[at].closed.push(reason),
                    _ => unreachable!("there are three kinds of outputs"),
                }
            }
        }
    }

    /// Those that publish besides the owner do what is due; returns how many frames they sent.
    pub(crate) fn work_guests(&mut self) -> usize {
        let mut count = 0;
        for at in 0..self.guests.len() {
            for frame in self.guests[at].work(self.clock, self.credit) {
                count += 1;
                self.carry_for_guest(at, frame);
            }
        }
        count
    }

    /// Hands them what waits for them; returns how much.
    pub(crate) fn deliver_to_guests(&mut self) -> usize {
        let (clock, settles) = (self.clock, self.settles);
        let mut count = 0;
        for guest in &mut self.guests {
            while let Some(frame) = guest.inbox.pop_front() {
                guest.take(clock, frame);
                count += 1;
            }
            if settles && let Some(settled) = guest.settled.take() {
                guest.take(
                    clock,
                    to_publisher(to_publisher::Frame::Settled(settled), []),
                );
            }
        }
        count
    }

    fn carry_for_guest(&mut self, at: usize, frame: Frame) {
        let message = routing::FromPublisher::decode(frame.head).unwrap();
        let mut attachments = frame.attachments.into_iter();
        let first = attachments.next().unwrap_or_default();
        let second = attachments.next().unwrap_or_default();
        match message.frame.unwrap() {
            from_publisher::Frame::Attach(_) => self.tell_guest_state(at),
            from_publisher::Frame::Ask(ask) => {
                assert!(ask.consumer.is_empty(), "the router fills it in");
                let head = to_publisher::Frame::Ask(routing::Ask {
                    consumer: self.guests[at].key(),
                    publisher: true,
                    ..ask
                });
                let frame = to_publisher(head, [first]);
                self.asks.push(frame.clone());
                self.inbox.push_back(frame);
            }
            from_publisher::Frame::Batch(head) => {
                let sealed = cbr::Sealed {
                    publisher: self.guests[at].key(),
                    ..sealed(&head.domain, head.session, head.start, head.counter, first)
                };
                self.take(Some(at), sealed, Some((head.payload_sizes, second)));
            }
            other => panic!("no frame of a further publisher: {other:?}"),
        }
    }

    /// Tells a further publisher what state the domain is in.
    pub(crate) fn tell_guest_state(&mut self, at: usize) {
        let state = to_publisher::Frame::DomainState(self.domain_state());
        self.guests[at].inbox.push_back(to_publisher(state, []));
    }

    pub(crate) fn domain_state(&self) -> routing::DomainState {
        routing::DomainState {
            domain: Bytes::copy_from_slice(self.publisher.domain().as_bytes()),
            open: self.session != 0,
            session: self.session,
        }
    }

    /// Hands the publisher what waits for it; returns how much.
    pub(crate) fn deliver_to_publisher(&mut self) -> usize {
        let frames = std::mem::take(&mut self.inbox);
        let count = frames.len();
        for frame in frames {
            self.hand_to_publisher(frame);
        }
        // Answers wait for credit, as everything does.
        self.work_publisher();
        if self.settles {
            self.settle();
        }
        count
    }

    /// The router says that all it has taken is settled.
    pub(crate) fn settle(&mut self) {
        if let Some(settled) = self.settled.take() {
            let frame = to_publisher::Frame::Settled(settled);
            self.hand_to_publisher(to_publisher(frame, []));
        }
    }

    pub(crate) fn hand_to_publisher(&mut self, frame: Frame) {
        self.publisher.on_frame(self.clock, frame);
        self.collect_publisher();
    }

    /// Hands the subscribers what waits for them; returns how much.
    pub(crate) fn deliver_to_subscribers(&mut self) -> usize {
        let mut count = 0;
        for party in self.parties.iter_mut().filter(|party| !party.is_away) {
            while let Some(frame) = party.inbox.pop_front() {
                party.take(self.clock, frame);
                count += 1;
            }
        }
        count
    }

    fn call(&mut self, call: Call) -> Reply {
        let request = cbr::Call { call: Some(call) }.encode_to_vec();
        let entropy = &mut self.entropy;
        let reply = self
            .engine
            .handle(request.into(), &mut |bytes| entropy(bytes));
        cbr::Reply::decode(reply).unwrap().reply.unwrap()
    }

    fn carry_for_publisher(&mut self, frame: Frame) {
        let message = routing::FromPublisher::decode(frame.head).unwrap();
        let message = message.frame.unwrap();
        self.sent.push(message.clone());
        let mut attachments = frame.attachments.into_iter();
        let first = attachments.next().unwrap_or_default();
        let second = attachments.next().unwrap_or_default();
        match message {
            from_publisher::Frame::Challenge(challenge) => {
                let reply = self.call(Call::Challenge(challenge));
                self.answer_publisher(reply);
            }
            from_publisher::Frame::Secrets(secrets) => {
                let reply = self.call(Call::Secrets(secrets.secrets.unwrap()));
                self.answer_publisher(reply);
            }
            from_publisher::Frame::Control(head) => {
                let sealed = sealed(&head.domain, head.session, head.start, head.counter, first);
                self.take(None, sealed, None);
            }
            from_publisher::Frame::Batch(head) => {
                let sealed = sealed(&head.domain, head.session, head.start, head.counter, first);
                self.take(None, sealed, Some((head.payload_sizes, second)));
            }
            from_publisher::Frame::Attach(_) | from_publisher::Frame::Ask(_) => {
                panic!("an owner does not ask itself")
            }
            from_publisher::Frame::Answer(answer) if answer.publisher => {
                self.answers.push(first.clone());
                for guest in &mut self.guests {
                    if guest.key() == answer.consumer {
                        let frame = to_publisher::Frame::Answer(answer.clone());
                        guest.inbox.push_back(to_publisher(frame, [first.clone()]));
                    }
                }
            }
            from_publisher::Frame::Answer(answer) => {
                for party in &mut self.parties {
                    if party.key() == answer.consumer {
                        let frame = to_subscriber::Frame::Answer(answer.clone());
                        party.inbox.push_back(to_subscriber(frame, [first.clone()]));
                    }
                }
            }
        }
    }

    fn answer_publisher(&mut self, reply: Reply) {
        let frame = match reply {
            Reply::Offer(offer) => to_publisher::Frame::Offer(routing::Offer {
                offer: Some(offer),
                tee: "a test".into(),
            }),
            Reply::Opened(opened) => {
                self.session = opened.session;
                to_publisher::Frame::Opened(routing::Opened {
                    confirmation: opened.confirmation,
                    domain: opened.domain,
                    session: opened.session,
                })
            }
            Reply::Refusal(refusal) => refused(refusal),
            other => panic!("no fitting reply: {other:?}"),
        };
        let was_opened = matches!(frame, to_publisher::Frame::Opened(_));
        self.inbox.push_back(to_publisher(frame, []));
        if was_opened {
            for at in 0..self.parties.len() {
                self.tell_state(at);
            }
            for at in 0..self.guests.len() {
                self.tell_guest_state(at);
            }
        }
    }

    /// Hands an answer of the router to the owner or to one of its guests.
    fn reply(&mut self, guest: Option<usize>, frame: Frame) {
        match guest {
            Some(at) => self.guests[at].inbox.push_back(frame),
            None => self.inbox.push_back(frame),
        }
    }

    /// A control message or a batch of the owner or a guest, with the sizes of its payloads and the payloads.
    fn take(
        &mut self,
        guest: Option<usize>,
        sealed: cbr::Sealed,
        payloads: Option<(Vec<u32>, Bytes)>,
    ) {
        let head = routing::Receipt {
            domain: sealed.domain.clone(),
            session: sealed.session,
            start: sealed.start,
            counter: sealed.counter,
        };
        let is_batch = payloads.is_some();
        let call = if is_batch {
            Call::Batch(sealed)
        } else {
            Call::Control(sealed)
        };
        let outcome = match self.call(call) {
            Reply::Outcome(outcome) => outcome,
            Reply::Refusal(refusal) => {
                return self.reply(guest, to_publisher(refused(refusal), []));
            }
            other => panic!("no fitting reply: {other:?}"),
        };
        let (sizes, payloads) = payloads.unwrap_or_default();
        for notice in outcome.notices {
            let chosen: Vec<usize> = notice.payloads.iter().map(|at| *at as usize).collect();
            let start = |at: usize| sizes[..at].iter().sum::<u32>() as usize;
            let attached: Vec<u8> = chosen
                .iter()
                .flat_map(|at| payloads[start(*at)..start(*at + 1)].to_vec())
                .collect();
            let frame = to_subscriber::Frame::Notice(routing::Notice {
                domain: head.domain.clone(),
                session: head.session,
                counter: notice.counter,
                payload_sizes: chosen.iter().map(|at| sizes[*at]).collect(),
            });
            for party in &mut self.parties {
                if party.key() == notice.consumer {
                    let parts = [notice.ciphertext.clone(), attached.clone().into()];
                    party.inbox.push_back(to_subscriber(frame.clone(), parts));
                }
            }
        }
        let settled = routing::Settled {
            domain: head.domain.clone(),
            session: head.session,
            start: head.start,
            counter: head.counter,
        };
        let frame = to_publisher::Frame::Receipt(head);
        self.reply(guest, to_publisher(frame, [outcome.receipt]));
        let unsaid = match guest {
            Some(at) => &mut self.guests[at].settled,
            None => &mut self.settled,
        };
        *unsaid = Some(settled);
    }

    fn carry_for_subscriber(&mut self, at: usize, frame: Frame) {
        let sealed = frame.attachments.first().cloned().unwrap_or_default();
        let message = routing::FromSubscriber::decode(frame.head).unwrap();
        match message.frame.unwrap() {
            from_subscriber::Frame::Attach(_) => self.tell_state(at),
            from_subscriber::Frame::Ack(_) => {}
            from_subscriber::Frame::Ask(ask) => {
                assert!(ask.consumer.is_empty(), "the router fills it in");
                let consumer = self.parties[at].key();
                let head = to_publisher::Frame::Ask(routing::Ask { consumer, ..ask });
                let frame = to_publisher(head, [sealed]);
                self.asks.push(frame.clone());
                self.inbox.push_back(frame);
            }
        }
    }

    /// Tells a subscriber what state the domain is in.
    pub(crate) fn tell_state(&mut self, at: usize) {
        let state = to_subscriber::Frame::DomainState(self.domain_state());
        let frame = to_subscriber(state, []);
        self.parties[at].inbox.push_back(frame);
    }

    /// What the publisher has reported since the last time.
    pub(crate) fn take_events(&mut self) -> Vec<PublisherEvent> {
        std::mem::take(&mut self.events)
    }
}

fn publisher(settings: PublisherSettings, roll: Roll, seed: u64) -> Publisher {
    let secret = Arc::new(identity(OWNER));
    Publisher::new(secret, settings, roll, Box::new(entropy(100 + seed)))
}

fn sealed(
    domain: &Bytes,
    session: u64,
    start: u64,
    counter: u64,
    ciphertext: Bytes,
) -> cbr::Sealed {
    let owner = identity(OWNER);
    cbr::Sealed {
        domain: domain.clone(),
        session,
        publisher: Bytes::copy_from_slice(owner.signing_key().verifying_key().as_bytes()),
        start,
        counter,
        ciphertext,
    }
}

fn refused(refusal: cbr::Refusal) -> to_publisher::Frame {
    to_publisher::Frame::Refused(routing::Refused {
        cause: routing::refused::Cause::Program.into(),
        what: "the program refused".into(),
        domain: Bytes::new(),
        refusal: Some(refusal),
    })
}

pub(crate) fn to_publisher<const N: usize>(
    frame: to_publisher::Frame,
    attachments: [Bytes; N],
) -> Frame {
    let head = routing::ToPublisher { frame: Some(frame) }.encode_to_vec();
    Frame {
        head: head.into(),
        attachments: attachments.into(),
    }
}

pub(crate) fn to_subscriber<const N: usize>(
    frame: to_subscriber::Frame,
    attachments: [Bytes; N],
) -> Frame {
    let head = routing::ToSubscriber { frame: Some(frame) }.encode_to_vec();
    Frame {
        head: head.into(),
        attachments: attachments.into(),
    }
}

/// `bytes` with one bit flipped, in each byte where they are few, in some where they are many.
pub(crate) fn flipped(bytes: &[u8]) -> impl Iterator<Item = Vec<u8>> {
    let step = if bytes.len() > 200 { 13 } else { 1 };
    (0..bytes.len() * 8).step_by(step).map(|bit| {
        let mut changed = bytes.to_vec();
        changed[bit / 8] ^= 1 << (bit % 8);
        changed
    })
}

/// `bytes` cut short in many places, and lengthened.
pub(crate) fn resized(bytes: &[u8]) -> impl Iterator<Item = Vec<u8>> {
    let longer = [&[0][..], &[0xff], &[0; 16]].map(|more| [bytes, more].concat());
    let step = 1 + bytes.len() / 200;
    (0..bytes.len())
        .step_by(step)
        .chain(bytes.len().checked_sub(1))
        .map(|length| bytes[..length].to_vec())
        .chain(longer)
}
