//! One subscriber among an owner, a program and a router that do what a test tells them: sessions, floors and crashes of any kind.

use std::collections::BTreeMap;
use std::time::Duration;

use bytes::Bytes;
use sc_cbr::{DeliveryKeys, MessageKind, Origin, Scope, SlowPolicy};
use sc_client::{
    Answer, Ask, Clock, Memory, Operation, Output, Refusal, Subscriber, SubscriberEvent,
    SubscriberSettings, Verdict,
};
use sc_crypto::hash::sha256;
use sc_crypto::{PayloadKey, Secret, VerifyingKey};
use sc_proto::Message;
use sc_proto::routing::{self, from_subscriber, to_subscriber};
use sc_transport::Frame;

use crate::world::{OWNER, WANTS_IBM, entropy, identity, subscription, to_subscriber};

pub(crate) const CONSUMER: u8 = 2;
pub(crate) const HEARTBEAT_MS: u64 = 5000;
const LEASE_MS: u64 = 3_600_000;

pub(crate) fn origin(start: u64, number: u64) -> Origin {
    Origin { start, number }
}

/// The key of publisher `number`; 0 is the owner.
pub(crate) fn publisher(number: u8) -> VerifyingKey {
    if number == 0 {
        return identity(OWNER).signing_key().verifying_key();
    }
    VerifyingKey::from_bytes([number; 32])
}

/// What the program says in a notice.
#[derive(Debug, Clone)]
pub(crate) enum Said {
    /// Of a publisher's batch, of which these payloads match.
    Batch(u8, Origin, Vec<String>),
    /// Publishers with floor and what was taken.
    Heartbeat(Vec<(u8, Origin, Origin)>),
    Expired,
    Revoked,
    Suspended,
    Missed(u64, u64),
}

/// A batch of publisher 1 with one payload that names its origin.
pub(crate) fn batch(origin: Origin) -> Said {
    let payload = format!("{}.{}", origin.start, origin.number);
    Said::Batch(1, origin, vec![payload])
}

/// A heartbeat that lists publisher 1 alone.
pub(crate) fn heartbeat(floor: Origin, taken: Origin) -> Said {
    Said::Heartbeat(vec![(1, floor, taken)])
}

/// What the subscriber sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Sent {
    Attach,
    Ask,
    Ack(u64, u64),
}

/// The subscriber and everybody around it.
pub(crate) struct Scripted {
    pub(crate) subscriber: Subscriber,
    pub(crate) clock: Clock,
    pub(crate) journal: Vec<Vec<u8>>,
    /// How much of the journal was on the disk before the last frame was sent.
    pub(crate) synced: usize,
    pub(crate) sent: Vec<Sent>,
    pub(crate) asks: Vec<Bytes>,
    pub(crate) payloads: Vec<String>,
    pub(crate) events: Vec<SubscriberEvent>,
    /// The next notice of each session.
    counters: BTreeMap<u64, u64>,
    settings: SubscriberSettings,
    lives: u64,
}

impl Scripted {
    /// A subscriber that nobody has heard of, without a link.
    pub(crate) fn new() -> Self {
        Self::with(SubscriberSettings::default())
    }

    pub(crate) fn with(settings: SubscriberSettings) -> Self {
        Self {
            subscriber: subscriber(&settings, Memory::default(), 0),
            clock: Clock {
                now: Duration::from_secs(1),
                wall_ms: 1_000_000,
            },
            journal: Vec::new(),
            synced: 0,
            sent: Vec::new(),
            asks: Vec::new(),
            payloads: Vec::new(),
            events: Vec::new(),
            counters: BTreeMap::new(),
            settings,
            lives: 0,
        }
    }

    /// One that was admitted in session 1 and has told nothing but that.
    pub(crate) fn admitted() -> Self {
        let mut scripted = Self::new();
        scripted.link();
        scripted.state(1);
        scripted.answer(1);
        scripted.forget();
        scripted
    }

    /// Forgets what was sent and reported so far.
    pub(crate) fn forget(&mut self) {
        self.sent.clear();
        self.events.clear();
        self.payloads.clear();
    }

    pub(crate) fn link(&mut self) {
        self.subscriber.on_established();
        self.work();
    }

    /// The router says that a session is open.
    pub(crate) fn state(&mut self, session: u64) {
        let state = routing::DomainState {
            domain: Bytes::new(),
            open: true,
            session,
        };
        self.hand(to_subscriber(to_subscriber::Frame::DomainState(state), []));
        self.work();
    }

    /// The owner answers the last request with an admission.
    pub(crate) fn answer(&mut self, session: u64) {
        let last = self.asks.len() - 1;
        self.answer_to(last, session);
    }

    pub(crate) fn answer_to(&mut self, ask: usize, session: u64) {
        let verdict = self.admission(session);
        self.say(ask, session, verdict);
    }

    /// An admission by the owner's clock now, with the key of `session`.
    pub(crate) fn admission(&self, session: u64) -> Verdict {
        Verdict::Admitted {
            delivery_key: delivery_key(session),
            lease_until_ms: self.clock.wall_ms + LEASE_MS,
            lease_ms: LEASE_MS,
            slow: SlowPolicy::Spill,
            retention_ms: 60_000,
            heartbeat_ms: HEARTBEAT_MS,
            lapsed: false,
            covered: Origin::default(),
            earlier: Vec::new(),
        }
    }

    pub(crate) fn refuse(&mut self, ask: usize, session: u64, refusal: Refusal) {
        self.say(ask, session, Verdict::Refused(refusal));
    }

    /// The owner answers a request; the answer is taken and what follows is done.
    pub(crate) fn say(&mut self, ask: usize, session: u64, verdict: Verdict) {
        let answer = Answer {
            request: sha256(&self.asks[ask]),
            session,
            verdict,
        };
        let seed = 500 + self.asks.len() as u64 + session;
        let sealed = answer.seal(
            &identity(OWNER),
            identity(CONSUMER).public(),
            false,
            &mut entropy(seed),
        );
        let head = to_subscriber::Frame::Answer(routing::Answer::default());
        self.hand(to_subscriber(head, [sealed.into()]));
        self.work();
    }

    /// What a request says, as the owner reads it.
    pub(crate) fn operation(&self, ask: usize) -> Operation {
        let ask = Ask::open(&self.asks[ask], &identity(OWNER), false).unwrap();
        ask.operation
    }

    /// The next notice of `session`, which is on its way.
    pub(crate) fn notice(&mut self, session: u64, said: &Said) -> Frame {
        let counter = self.counters.entry(session).or_insert(0);
        *counter += 1;
        notice(session, *counter, self.clock.wall_ms, said)
    }

    /// The program makes a notice, and it arrives.
    pub(crate) fn hear(&mut self, session: u64, said: &Said) {
        let frame = self.notice(session, said);
        self.hand(frame);
        self.work();
    }

    /// A frame arrives; nothing is done about it yet.
    pub(crate) fn hand(&mut self, frame: Frame) {
        let payloads = &mut self.payloads;
        self.subscriber
            .on_frame(self.clock, frame, &mut |delivery| {
                payloads.push(String::from_utf8(delivery.payload.to_vec()).unwrap());
            });
        self.poll();
    }

    fn poll(&mut self) {
        while let Some(event) = self.subscriber.poll_event() {
            self.events.push(event);
        }
    }

    /// The end of a round of work.
    pub(crate) fn work(&mut self) {
        for output in self.subscriber.take_outputs() {
            self.carry_out(output);
        }
    }

    pub(crate) fn carry_out(&mut self, output: Output) {
        match output {
            Output::Record(record) => self.journal.push(record),
            Output::Send { frame, .. } => {
                self.synced = self.journal.len();
                let sent = self.read(frame);
                self.sent.push(sent);
            }
            Output::Close(reason) => panic!("closed: {reason}"),
            _ => unreachable!("there are three kinds of outputs"),
        }
    }

    fn read(&mut self, frame: Frame) -> Sent {
        let head = routing::FromSubscriber::decode(frame.head).unwrap();
        match head.frame.unwrap() {
            from_subscriber::Frame::Attach(_) => Sent::Attach,
            from_subscriber::Frame::Ask(_) => {
                self.asks.push(frame.attachments[0].clone());
                Sent::Ask
            }
            from_subscriber::Frame::Ack(ack) => Sent::Ack(ack.session, ack.counter),
        }
    }

    pub(crate) fn acks(&self) -> Vec<(u64, u64)> {
        let acks = self.sent.iter().filter_map(|sent| match sent {
            Sent::Ack(session, counter) => Some((*session, *counter)),
            _ => None,
        });
        acks.collect()
    }

    /// Time passes, and what is due then is done.
    pub(crate) fn pass(&mut self, time: Duration) {
        self.clock.now += time;
        self.clock.wall_ms += time.as_millis() as u64;
        self.subscriber.on_timeout(self.clock);
        self.poll();
        self.work();
    }

    /// The process is killed and started again; what it has written is all that is left.
    pub(crate) fn kill(&mut self) {
        let memory = Memory::replay(&self.journal);
        self.lives += 1;
        self.subscriber = subscriber(&self.settings, memory, self.lives);
    }
}

fn subscriber(settings: &SubscriberSettings, memory: Memory, life: u64) -> Subscriber {
    Subscriber::new(
        identity(OWNER).public().clone(),
        identity(CONSUMER).into(),
        vec![(7, subscription(WANTS_IBM))],
        settings.clone(),
        memory,
        Box::new(entropy(9000 + life)),
    )
}

pub(crate) fn delivery_key(session: u64) -> Secret {
    Secret::from_bytes([100 + session as u8; 32])
}

/// A notice as the program would seal it.
pub(crate) fn notice(session: u64, counter: u64, time_ms: u64, said: &Said) -> Frame {
    let scope = Scope {
        domain: identity(OWNER).public().domain_id(),
        session,
        party: identity(CONSUMER).signing_key().verifying_key(),
        start: 0,
    };
    let mut plaintext = vec![1];
    plaintext.extend(time_ms.to_le_bytes());
    let mut payloads = Vec::new();
    let mut payload_sizes = Vec::new();
    push_kind(&mut plaintext, session, said);
    plaintext.push(0);
    if let Said::Batch(number, of, contents) = said {
        plaintext.extend((contents.len() as u32).to_le_bytes());
        for (index, content) in contents.iter().enumerate() {
            let sealed = sealed_payload(session, *number, *of, index as u32, content);
            let key = payload_key(*number, *of, index as u32);
            // One more than the entry before, or the first; one id: 7.
            plaintext.extend([u8::from(index > 0), 1, 7]);
            plaintext.extend(key);
            plaintext.extend(sha256(&sealed));
            payload_sizes.push(sealed.len() as u32);
            payloads.extend(sealed);
        }
    } else {
        plaintext.extend(0u32.to_le_bytes());
    }
    let mut ciphertext = Vec::new();
    DeliveryKeys::new(&delivery_key(session), &scope, false)
        .notice
        .seal(
            &scope,
            MessageKind::Notice,
            counter,
            &plaintext,
            &mut ciphertext,
        );
    let head = routing::Notice {
        domain: Bytes::new(),
        session,
        counter,
        payload_sizes,
    };
    let parts = [ciphertext.into(), payloads.into()];
    to_subscriber(to_subscriber::Frame::Notice(head), parts)
}

fn push_kind(out: &mut Vec<u8>, session: u64, said: &Said) {
    match said {
        Said::Batch(number, of, _) => {
            out.push(0);
            out.extend(publisher(*number).as_bytes());
            out.extend(session.to_le_bytes());
            out.extend(of.number.to_le_bytes());
            push_origin(out, *of);
        }
        Said::Heartbeat(listed) => {
            out.push(1);
            out.extend((listed.len() as u32).to_le_bytes());
            for (number, floor, taken) in listed {
                out.extend(publisher(*number).as_bytes());
                push_origin(out, *floor);
                push_origin(out, *taken);
            }
        }
        Said::Expired => out.push(2),
        Said::Revoked => out.push(3),
        Said::Suspended => out.push(4),
        Said::Missed(batches, publications) => {
            out.push(5);
            out.extend(batches.to_le_bytes());
            out.extend(publications.to_le_bytes());
        }
    }
}

fn push_origin(out: &mut Vec<u8>, origin: Origin) {
    out.extend(origin.start.to_le_bytes());
    out.extend(origin.number.to_le_bytes());
}

fn payload_key(number: u8, of: Origin, index: u32) -> [u8; 32] {
    sha256(format!("{number} {of:?} {index}").as_bytes())
}

fn sealed_payload(session: u64, number: u8, of: Origin, index: u32, content: &str) -> Vec<u8> {
    let scope = Scope {
        domain: identity(OWNER).public().domain_id(),
        session,
        party: publisher(number),
        start: session,
    };
    let mut sealed = Vec::new();
    PayloadKey::from_bytes(payload_key(number, of, index)).seal(
        scope.payload_data(of.number).of(index),
        content.as_bytes(),
        &mut sealed,
    );
    sealed
}
