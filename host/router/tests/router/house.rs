//! A router in a house of hand-made peers: frames in, outputs out, replies as a test wants them.

use std::time::Duration;

use bytes::Bytes;
use prost::Message;
use sc_proto::cbr::{self, call::Call, refusal::Reason, reply::Reply};
use sc_proto::routing::{
    self, from_publisher, from_subscriber, refused::Cause, to_publisher, to_subscriber,
};
use sc_router::{MailboxId, Output, Record, Router, RouterSettings, SpillEvent};
use sc_transport::{CloseReason, Frame, FrameClass, LinkEvent, LinkId, PeerKey, Role};

pub(crate) const OWNER: LinkId = LinkId(1);
pub(crate) const ALICE: LinkId = LinkId(2);
pub(crate) const BOB: LinkId = LinkId(3);
/// What each frame of these tests costs its sender.
pub(crate) const COST: u64 = 100;

/// The key that the peer on `link` has proved.
pub(crate) fn key(link: LinkId) -> PeerKey {
    PeerKey([link.0 as u8; 32])
}

/// The domain of the owner on `link`.
pub(crate) fn domain(link: LinkId) -> Bytes {
    Bytes::from(vec![0x90 + link.0 as u8; 32])
}

/// A router, and what it wanted done since the last look.
pub(crate) struct House {
    pub(crate) router: Router,
    /// The time of the next event.
    pub(crate) now: Duration,
}

/// The mailbox of the consumer on `link` in the domain of the owner on `owner`.
pub(crate) fn mailbox(link: LinkId, owner: LinkId) -> MailboxId {
    MailboxId {
        domain: domain(owner)[..].try_into().unwrap(),
        consumer: key(link).0,
    }
}

/// What the router asked of the store.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Stored {
    Append(MailboxId, u64, Record),
    Fetch(MailboxId, u64),
    Rewind(MailboxId),
    Trim(MailboxId, u64, u64),
    Discard(MailboxId),
}

/// A frame that the router sent, decoded.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Sent {
    ToPublisher(LinkId, to_publisher::Frame, Vec<Bytes>),
    ToSubscriber(LinkId, to_subscriber::Frame, Vec<Bytes>),
}

/// Everything that the router wanted done, sorted by kind, each in order.
#[derive(Default)]
pub(crate) struct Done {
    pub(crate) sent: Vec<Sent>,
    /// Link, class and token of what was sent.
    pub(crate) tokens: Vec<(LinkId, FrameClass, u64)>,
    pub(crate) calls: Vec<(u64, Call)>,
    pub(crate) released: Vec<(LinkId, FrameClass, u64)>,
    pub(crate) closed: Vec<LinkId>,
    pub(crate) store: Vec<Stored>,
}

impl Done {
    /// Adds what was done later.
    pub(crate) fn extend(&mut self, later: Self) {
        self.sent.extend(later.sent);
        self.tokens.extend(later.tokens);
        self.calls.extend(later.calls);
        self.released.extend(later.released);
        self.closed.extend(later.closed);
        self.store.extend(later.store);
    }

    /// The only call that was made, with its token.
    pub(crate) fn call(&self) -> (u64, &Call) {
        let [(token, call)] = &self.calls[..] else {
            panic!("not one call: {:?}", self.calls);
        };
        (*token, call)
    }

    /// The causes of the refusals that were sent.
    pub(crate) fn causes(&self) -> Vec<Cause> {
        self.sent
            .iter()
            .filter_map(|sent| match sent {
                Sent::ToPublisher(_, to_publisher::Frame::Refused(refused), _) => Some(refused),
                Sent::ToSubscriber(_, to_subscriber::Frame::Refused(refused), _) => Some(refused),
                _ => None,
            })
            .map(routing::Refused::cause)
            .collect()
    }

    /// How far publishers were told that they are settled: link, start, counter.
    pub(crate) fn settled(&self) -> Vec<(LinkId, u64, u64)> {
        self.sent
            .iter()
            .filter_map(|sent| match sent {
                Sent::ToPublisher(link, to_publisher::Frame::Settled(settled), _) => {
                    Some((*link, settled.start, settled.counter))
                }
                _ => None,
            })
            .collect()
    }

    /// The counters of the notices that were sent to `to`, in order.
    pub(crate) fn counters(&self, to: LinkId) -> Vec<u64> {
        let notices = self.notices().into_iter();
        let of_link = notices.filter(|(link, ..)| *link == to);
        of_link.map(|(_, counter, ..)| counter).collect()
    }

    /// The counters of the notices that were appended to the store, in order, with their tokens.
    pub(crate) fn appended(&self) -> Vec<(u64, u64)> {
        self.store
            .iter()
            .filter_map(|stored| match stored {
                Stored::Append(_, token, record) => Some((record.counter, *token)),
                _ => None,
            })
            .collect()
    }

    /// The notices that were sent: to whom, counter, sizes of payloads, payloads.
    pub(crate) fn notices(&self) -> Vec<(LinkId, u64, &[u32], &[u8])> {
        self.sent
            .iter()
            .filter_map(|sent| match sent {
                Sent::ToSubscriber(link, to_subscriber::Frame::Notice(notice), parts) => Some((
                    *link,
                    notice.counter,
                    &notice.payload_sizes[..],
                    &parts[1][..],
                )),
                _ => None,
            })
            .collect()
    }
}

impl House {
    pub(crate) fn new(settings: RouterSettings) -> Self {
        Self {
            router: Router::new(settings),
            now: Duration::ZERO,
        }
    }

    /// An owner with session 1 open, and two consumers that are attached to its domain and hold the session's keys.
    pub(crate) fn open() -> Self {
        Self::open_with(RouterSettings::default())
    }

    /// The same with a store.
    pub(crate) fn with_store() -> Self {
        Self::open_with(RouterSettings {
            has_store: true,
            ..RouterSettings::default()
        })
    }

    fn open_with(settings: RouterSettings) -> Self {
        let mut house = Self::new(settings);
        house.establish(OWNER, Role::Publisher);
        house.provision(OWNER, 1);
        for link in [ALICE, BOB] {
            house.establish(link, Role::Subscriber);
            house.attach(link, OWNER);
            house.take(link, OWNER, 1, 0);
        }
        house.done();
        house
    }

    pub(crate) fn establish(&mut self, link: LinkId, role: Role) {
        self.establish_as(link, link, role);
    }

    /// A link on which the peer of link `who` has proved its key.
    pub(crate) fn establish_as(&mut self, link: LinkId, who: LinkId, role: Role) {
        let peer = key(who);
        self.event(LinkEvent::Established { link, peer, role });
    }

    pub(crate) fn event(&mut self, event: LinkEvent) {
        self.router.on_event(self.now, event);
    }

    /// Lets time pass.
    pub(crate) fn wait(&mut self, seconds: u64) {
        self.now += Duration::from_secs(seconds);
        if self
            .router
            .next_timeout()
            .is_some_and(|due| due <= self.now)
        {
            self.router.on_timeout(self.now);
        }
    }

    pub(crate) fn close(&mut self, link: LinkId) {
        let reason = CloseReason::Forgotten;
        self.event(LinkEvent::Closed { link, reason });
    }

    /// A frame has arrived, as the link layer says.
    pub(crate) fn ack(&mut self, (link, class, token): (LinkId, FrameClass, u64)) {
        self.event(LinkEvent::Acked { link, class, token });
    }

    /// The consumer says how far it has come.
    pub(crate) fn take(&mut self, link: LinkId, owner: LinkId, session: u64, counter: u64) {
        let ack = routing::Ack {
            domain: domain(owner),
            session,
            counter,
        };
        self.subscriber_says(link, from_subscriber::Frame::Ack(ack), vec![]);
    }

    /// The owner publishes one batch, of which the program makes these notices.
    pub(crate) fn publish(&mut self, owner: LinkId, counter: u64, notices: Vec<cbr::Notice>) {
        self.batch(owner, counter, &["payload"]);
        let (token, _) = self.done().call();
        self.reply(token, outcome(notices));
    }

    /// The store has stored everything up to this token.
    pub(crate) fn stored(&mut self, mailbox: MailboxId, token: u64) {
        self.router.on_spill(SpillEvent::Stored { mailbox, token });
    }

    /// The store has read the notices of session 1 with these counters.
    pub(crate) fn fetched(&mut self, mailbox: MailboxId, counters: &[u64], more: bool) {
        let records = counters.iter().map(|counter| record(1, *counter)).collect();
        self.router.on_spill(SpillEvent::Fetched {
            mailbox,
            records,
            more,
        });
    }

    pub(crate) fn frame(&mut self, link: LinkId, class: FrameClass, frame: Frame) {
        self.event(LinkEvent::Frame {
            link,
            class,
            frame,
            credit: COST,
        });
    }

    pub(crate) fn publisher_says(
        &mut self,
        link: LinkId,
        message: from_publisher::Frame,
        parts: Vec<Bytes>,
    ) {
        let class = match message {
            from_publisher::Frame::Batch(_) => FrameClass::Data,
            _ => FrameClass::Control,
        };
        let head = routing::FromPublisher {
            frame: Some(message),
        };
        let frame = Frame {
            head: head.encode_to_vec().into(),
            attachments: parts,
        };
        self.frame(link, class, frame);
    }

    pub(crate) fn subscriber_says(
        &mut self,
        link: LinkId,
        message: from_subscriber::Frame,
        parts: Vec<Bytes>,
    ) {
        let head = routing::FromSubscriber {
            frame: Some(message),
        };
        let frame = Frame {
            head: head.encode_to_vec().into(),
            attachments: parts,
        };
        self.frame(link, FrameClass::Control, frame);
    }

    pub(crate) fn attach(&mut self, link: LinkId, owner: LinkId) {
        let domain = domain(owner);
        let attach = from_subscriber::Frame::Attach(routing::Attach { domain });
        self.subscriber_says(link, attach, vec![]);
    }

    pub(crate) fn ask(&mut self, link: LinkId, owner: LinkId) {
        let ask = routing::Ask {
            publisher: false,
            domain: domain(owner),
            // A claim that the router does not take over.
            consumer: Bytes::from_static(&[0xee; 32]),
        };
        let sealed = vec!["ask".into()];
        self.subscriber_says(link, from_subscriber::Frame::Ask(ask), sealed);
    }

    pub(crate) fn answer(&mut self, owner: LinkId, to: LinkId) {
        let answer = routing::Answer {
            publisher: false,
            domain: domain(owner),
            consumer: Bytes::copy_from_slice(&key(to).0),
        };
        let sealed = vec!["answer".into()];
        self.publisher_says(owner, from_publisher::Frame::Answer(answer), sealed);
    }

    pub(crate) fn control(&mut self, owner: LinkId, session: u64, counter: u64) {
        let control = routing::Control {
            domain: domain(owner),
            session,
            start: 1,
            counter,
        };
        let sealed = vec!["control".into()];
        self.publisher_says(owner, from_publisher::Frame::Control(control), sealed);
    }

    /// A batch of session 1 whose payloads are `payloads`.
    pub(crate) fn batch(&mut self, owner: LinkId, counter: u64, payloads: &[&str]) {
        self.batch_in(owner, 1, counter, payloads);
    }

    /// A batch of the owner of `owner` on another link.
    pub(crate) fn batch_on(&mut self, link: LinkId, owner: LinkId, session: u64, counter: u64) {
        let batch = routing::Batch {
            domain: domain(owner),
            session,
            start: 1,
            counter,
            payload_sizes: vec![7],
        };
        let parts = vec!["batch".into(), "payload".into()];
        self.publisher_says(link, from_publisher::Frame::Batch(batch), parts);
    }

    pub(crate) fn batch_in(
        &mut self,
        owner: LinkId,
        session: u64,
        counter: u64,
        payloads: &[&str],
    ) {
        let batch = routing::Batch {
            domain: domain(owner),
            session,
            start: 1,
            counter,
            payload_sizes: payloads.iter().map(|it| it.len() as u32).collect(),
        };
        let parts = vec!["batch".into(), payloads.concat().into()];
        self.publisher_says(owner, from_publisher::Frame::Batch(batch), parts);
    }

    /// M1 to M4 of the owner on `link`, answered as the program would.
    pub(crate) fn provision(&mut self, link: LinkId, session: u64) {
        self.challenge(link, key(link));
        let (token, _) = self.done().call();
        self.reply(token, Reply::Offer(sc_proto::provision::Offer::default()));
        self.secrets(link, false);
        let (token, _) = self.done().call();
        self.reply(token, opened(link, session));
    }

    pub(crate) fn challenge(&mut self, link: LinkId, owner: PeerKey) {
        let challenge = sc_proto::provision::Challenge {
            nonce: vec![7; 32].into(),
            owner_key: Bytes::copy_from_slice(&owner.0),
            purpose: "cbr".into(),
        };
        self.publisher_says(link, from_publisher::Frame::Challenge(challenge), vec![]);
    }

    pub(crate) fn secrets(&mut self, link: LinkId, plain: bool) {
        let secrets = routing::Secrets {
            secrets: Some(sc_proto::provision::Secrets::default()),
            plain,
        };
        self.publisher_says(link, from_publisher::Frame::Secrets(secrets), vec![]);
    }

    pub(crate) fn reply(&mut self, token: u64, reply: Reply) {
        let reply = cbr::Reply { reply: Some(reply) };
        let reply = reply.encode_to_vec().into();
        self.router.on_reply(self.now, token, reply);
    }

    /// What the router wanted done since the last time.
    pub(crate) fn done(&mut self) -> Done {
        let mut done = Done::default();
        for output in self.router.take_outputs() {
            match output {
                Output::Send {
                    link,
                    class,
                    frame,
                    token,
                } => {
                    done.tokens.push((link, class, token));
                    done.sent.push(sent(link, frame));
                }
                Output::Call { token, request } => {
                    let call = cbr::Call::decode(request).unwrap().call.unwrap();
                    done.calls.push((token, call));
                }
                Output::Release { link, class, bytes } => {
                    done.released.push((link, class, bytes));
                }
                Output::Close { link, .. } => done.closed.push(link),
                Output::Store {
                    mailbox,
                    token,
                    record,
                } => done.store.push(Stored::Append(mailbox, token, record)),
                Output::Fetch { mailbox, bytes_max } => {
                    done.store.push(Stored::Fetch(mailbox, bytes_max));
                }
                Output::Rewind { mailbox } => done.store.push(Stored::Rewind(mailbox)),
                Output::Trim {
                    mailbox,
                    session,
                    counter,
                } => done.store.push(Stored::Trim(mailbox, session, counter)),
                Output::Discard { mailbox } => done.store.push(Stored::Discard(mailbox)),
                other => panic!("unknown: {other:?}"),
            }
        }
        done
    }
}

/// What the frame is: links from 50 on, and the owner's, are publishers'.
fn sent(link: LinkId, frame: Frame) -> Sent {
    let is_subscriber = link != OWNER && link.0 < 50;
    if is_subscriber {
        let head = routing::ToSubscriber::decode(frame.head).unwrap();
        Sent::ToSubscriber(link, head.frame.unwrap(), frame.attachments)
    } else {
        let head = routing::ToPublisher::decode(frame.head).unwrap();
        Sent::ToPublisher(link, head.frame.unwrap(), frame.attachments)
    }
}

/// M4 for the owner on `link`.
pub(crate) fn opened(link: LinkId, session: u64) -> Reply {
    Reply::Opened(cbr::Opened {
        confirmation: None,
        domain: domain(link),
        session,
        owner_key: Bytes::copy_from_slice(&key(link).0),
        plain: false,
    })
}

pub(crate) fn notice(to: LinkId, counter: u64, payloads: &[u32]) -> cbr::Notice {
    cbr::Notice {
        consumer: Bytes::copy_from_slice(&key(to).0),
        counter,
        ciphertext: format!("notice {counter}").into(),
        payloads: payloads.to_vec(),
    }
}

/// A notice as the store gives it back.
pub(crate) fn record(session: u64, counter: u64) -> Record {
    let notice = routing::Notice {
        domain: domain(OWNER),
        session,
        counter,
        payload_sizes: vec![],
    };
    let frame = Some(to_subscriber::Frame::Notice(notice));
    let head = routing::ToSubscriber { frame }.encode_to_vec();
    Record {
        session,
        counter,
        frame: Frame::new(head).with("sealed").with(Bytes::new()),
    }
}

pub(crate) fn outcome(notices: Vec<cbr::Notice>) -> Reply {
    Reply::Outcome(cbr::Outcome {
        registered: None,
        receipt: "receipt".into(),
        notices,
        admitted: None,
    })
}

/// An admission with 60 s of retention.
pub(crate) fn admission(consumer: LinkId, slow: cbr::SlowPolicy) -> Reply {
    Reply::Outcome(cbr::Outcome {
        registered: None,
        receipt: "receipt".into(),
        notices: vec![],
        admitted: Some(cbr::Admitted {
            retention_ms: 60_000,
            consumer: Bytes::copy_from_slice(&key(consumer).0),
            slow: slow.into(),
        }),
    })
}

pub(crate) fn refusal(reason: Reason) -> Reply {
    Reply::Refusal(cbr::Refusal {
        reason: reason.into(),
        expected: 0,
    })
}
