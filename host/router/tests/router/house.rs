//! A router in a house of hand-made peers: frames in, outputs out, replies as a test wants them.

use bytes::Bytes;
use prost::Message;
use sc_proto::cbr::{self, call::Call, refusal::Reason, reply::Reply};
use sc_proto::routing::{
    self, from_publisher, from_subscriber, refused::Cause, to_publisher, to_subscriber,
};
use sc_router::{Output, Router, RouterSettings};
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
}

impl Done {
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
        }
    }

    /// An owner with session 1 open, and two consumers attached to its domain.
    pub(crate) fn open() -> Self {
        let mut house = Self::new(RouterSettings::default());
        house.establish(OWNER, Role::Publisher);
        house.provision(OWNER, 1);
        for link in [ALICE, BOB] {
            house.establish(link, Role::Subscriber);
            house.attach(link, OWNER);
        }
        house.done();
        house
    }

    pub(crate) fn establish(&mut self, link: LinkId, role: Role) {
        self.router.on_event(LinkEvent::Established {
            link,
            peer: key(link),
            role,
        });
    }

    pub(crate) fn close(&mut self, link: LinkId) {
        self.router.on_event(LinkEvent::Closed {
            link,
            reason: CloseReason::Forgotten,
        });
    }

    pub(crate) fn ack(&mut self, (link, class, token): (LinkId, FrameClass, u64)) {
        self.router
            .on_event(LinkEvent::Acked { link, class, token });
    }

    pub(crate) fn frame(&mut self, link: LinkId, class: FrameClass, frame: Frame) {
        self.router.on_event(LinkEvent::Frame {
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
        let batch = routing::Batch {
            domain: domain(owner),
            session: 1,
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
        self.router.on_reply(token, reply.encode_to_vec().into());
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

pub(crate) fn outcome(notices: Vec<cbr::Notice>) -> Reply {
    Reply::Outcome(cbr::Outcome {
        registered: None,
        receipt: "receipt".into(),
        notices,
        admitted: None,
    })
}

pub(crate) fn admission(consumer: LinkId, slow: cbr::SlowPolicy) -> Reply {
    Reply::Outcome(cbr::Outcome {
        registered: None,
        receipt: "receipt".into(),
        notices: vec![],
        admitted: Some(cbr::Admitted {
            retention_ms: 0,
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
