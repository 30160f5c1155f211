//! Credit is conserved: whatever happens in whatever order, what a sender spent comes back exactly once.
//!
//! Many random lives of a router, each from a seed: peers come and go, frames are good, garbled, early, late or repeated, the program
//! answers, refuses or babbles, links acknowledge or end. No account may ever be paid more than it spent; and when everything has been
//! answered and acknowledged, every account is even.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use prost::Message;
use sc_proto::cbr::{self, call::Call, reply::Reply};
use sc_proto::routing::{self, from_publisher, from_subscriber};
use sc_router::{Output, Router, RouterSettings};
use sc_transport::{CloseReason, Frame, FrameClass, LinkEvent, LinkId, PeerKey, Role, SendError};

const LIVES: u64 = 150;
const STEPS: usize = 400;
/// Owners' and consumers' keys in one life.
const OWNERS: u64 = 3;
const CONSUMERS: u64 = 4;

/// A small generator: what a life does follows from its seed.
struct Dice(u64);

impl Dice {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % bound
    }

    fn chance(&mut self, percent: u64) -> bool {
        self.below(100) < percent
    }
}

fn owner_key(number: u64) -> PeerKey {
    PeerKey([0x10 + number as u8; 32])
}

fn consumer_key(number: u64) -> PeerKey {
    PeerKey([0x80 + number as u8; 32])
}

fn domain(number: u64) -> Bytes {
    Bytes::from(vec![0xd0 + number as u8; 32])
}

/// One life.
struct Life {
    router: Router,
    dice: Dice,
    next_link: u64,
    /// Links of owners and of consumers, by the number of the key.
    owners: BTreeMap<u64, LinkId>,
    consumers: BTreeMap<u64, LinkId>,
    /// The last session of each owner, its next counter, and the link that it was opened on.
    sessions: BTreeMap<u64, (u64, u64, LinkId)>,
    spent: BTreeMap<(LinkId, FrameClass), u64>,
    paid: BTreeMap<(LinkId, FrameClass), u64>,
    calls: Vec<(u64, Call)>,
    on_their_way: BTreeMap<(LinkId, FrameClass), Vec<u64>>,
    gone: BTreeSet<LinkId>,
    /// Whether links may end and frames be lost.
    rough: bool,
}

impl Life {
    fn new(seed: u64, rough: bool) -> Self {
        Self {
            router: Router::new(RouterSettings::default()),
            dice: Dice(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) + 1),
            next_link: 1,
            owners: BTreeMap::new(),
            consumers: BTreeMap::new(),
            sessions: BTreeMap::new(),
            spent: BTreeMap::new(),
            paid: BTreeMap::new(),
            calls: Vec::new(),
            on_their_way: BTreeMap::new(),
            gone: BTreeSet::new(),
            rough,
        }
    }

    fn step(&mut self) {
        match self.dice.below(12) {
            0 => self.come(),
            1 if self.rough => self.go(),
            2 => self.provision(),
            3..=5 => self.publish(),
            6 => self.subscribe(),
            7 => self.garble(),
            8..=9 => self.reply(),
            _ => self.acknowledge(),
        }
        self.collect();
    }

    fn come(&mut self) {
        let link = LinkId(self.next_link);
        let number = self.dice.below(OWNERS + CONSUMERS);
        let (peer, role) = if number < OWNERS {
            (owner_key(number), Role::Publisher)
        } else {
            (consumer_key(number - OWNERS), Role::Subscriber)
        };
        let taken = match role {
            Role::Publisher => self.owners.contains_key(&number),
            _ => self.consumers.contains_key(&(number - OWNERS)),
        };
        if taken && !self.rough {
            return;
        }
        self.next_link += 1;
        self.router
            .on_event(LinkEvent::Established { link, peer, role });
        let replaced = match role {
            Role::Publisher => self.owners.insert(number, link),
            _ => self.consumers.insert(number - OWNERS, link),
        };
        // The link layer ends the older link of a key.
        if let Some(old) = replaced {
            self.end(old);
        }
    }

    fn go(&mut self) {
        let links: Vec<_> = self
            .owners
            .values()
            .chain(self.consumers.values())
            .copied()
            .collect();
        if !links.is_empty() && self.dice.chance(50) {
            let at = self.dice.below(links.len() as u64) as usize;
            self.owners.retain(|_, link| *link != links[at]);
            self.consumers.retain(|_, link| *link != links[at]);
            self.end(links[at]);
        }
    }

    fn end(&mut self, link: LinkId) {
        self.gone.insert(link);
        self.on_their_way.retain(|(of, _), _| *of != link);
        let reason = CloseReason::Forgotten;
        self.router.on_event(LinkEvent::Closed { link, reason });
    }

    fn frame(&mut self, link: LinkId, class: FrameClass, head: Vec<u8>, parts: Vec<Bytes>) {
        let credit = 1 + self.dice.below(1000);
        *self.spent.entry((link, class)).or_default() += credit;
        let frame = Frame {
            head: head.into(),
            attachments: parts,
        };
        self.router.on_event(LinkEvent::Frame {
            link,
            class,
            frame,
            credit,
        });
    }

    fn some_owner(&mut self) -> Option<(u64, LinkId)> {
        let number = self.dice.below(OWNERS);
        self.owners.get(&number).map(|link| (number, *link))
    }

    fn owner_says(&mut self, link: LinkId, message: from_publisher::Frame, parts: Vec<Bytes>) {
        let class = match message {
            from_publisher::Frame::Batch(_) => FrameClass::Data,
            _ => FrameClass::Control,
        };
        let head = routing::FromPublisher {
            frame: Some(message),
        };
        self.frame(link, class, head.encode_to_vec(), parts);
    }

    fn provision(&mut self) {
        let Some((number, link)) = self.some_owner() else {
            return;
        };
        let message = if self.dice.chance(40) {
            from_publisher::Frame::Challenge(sc_proto::provision::Challenge {
                owner_key: Bytes::copy_from_slice(&owner_key(number).0),
                ..Default::default()
            })
        } else {
            from_publisher::Frame::Secrets(routing::Secrets {
                secrets: Some(sc_proto::provision::Secrets {
                    // Tells the program of this test whose domain to open.
                    nonce: domain(number),
                    ..Default::default()
                }),
                plain: self.dice.chance(10),
            })
        };
        self.owner_says(link, message, vec![]);
    }

    /// A message of a session: mostly the next, sometimes early, late, or of another session.
    fn publish(&mut self) {
        let Some((number, link)) = self.some_owner() else {
            return;
        };
        let Some((session, next, on)) = self.sessions.get(&number).copied() else {
            return;
        };
        let counter = match self.dice.below(10) {
            0 if self.rough => next + 1 + self.dice.below(3),
            1 if self.rough => next.saturating_sub(1 + self.dice.below(3)),
            _ => next,
        };
        let kind = self.dice.below(5);
        let is_misnamed = self.dice.chance(3);
        let is_missized = self.dice.chance(5);
        let is_taken = on == link && !is_misnamed && (kind == 1 || kind > 1 && !is_missized);
        if counter == next && is_taken {
            self.sessions.insert(number, (session, next + 1, on));
        }
        let session = session + u64::from(is_misnamed);
        let consumer = Bytes::copy_from_slice(&consumer_key(self.dice.below(CONSUMERS)).0);
        let (domain, start) = (domain(number), 1);
        let (message, parts) = match kind {
            0 => {
                let answer = routing::Answer {
                    publisher: false,
                    domain,
                    consumer,
                };
                (from_publisher::Frame::Answer(answer), vec!["a".into()])
            }
            1 => {
                let control = routing::Control {
                    domain,
                    session,
                    start,
                    counter,
                };
                (from_publisher::Frame::Control(control), vec!["c".into()])
            }
            _ => {
                let batch = routing::Batch {
                    domain,
                    session,
                    start,
                    counter,
                    payload_sizes: vec![1, 0, 2, 1 + u32::from(is_missized)],
                };
                let parts = vec!["b".into(), "pppp".into()];
                (from_publisher::Frame::Batch(batch), parts)
            }
        };
        self.owner_says(link, message, parts);
    }

    fn subscribe(&mut self) {
        let consumer = self.dice.below(CONSUMERS);
        let Some(link) = self.consumers.get(&consumer).copied() else {
            return;
        };
        let domain = domain(self.dice.below(OWNERS + 1));
        let message = if self.dice.chance(60) {
            from_subscriber::Frame::Attach(routing::Attach { domain })
        } else {
            from_subscriber::Frame::Ask(routing::Ask {
                publisher: false,
                domain,
                consumer: Bytes::new(),
            })
        };
        let head = routing::FromSubscriber {
            frame: Some(message),
        };
        self.frame(
            link,
            FrameClass::Control,
            head.encode_to_vec(),
            vec!["s".into()],
        );
    }

    /// A frame that does not decode, or comes on a link that nobody has, or has any more.
    fn garble(&mut self) {
        let link = LinkId(self.dice.below(self.next_link + 2));
        let class = FrameClass::ALL[self.dice.below(2) as usize];
        let head = vec![self.dice.below(256) as u8; self.dice.below(20) as usize];
        self.frame(link, class, head, vec![]);
    }

    /// The program answers its oldest call, well or badly; sometimes it invents an answer.
    fn reply(&mut self) {
        if self.dice.chance(5) {
            self.router
                .on_reply(1 << 40, Bytes::from_static(b"invented"));
        }
        if self.calls.is_empty() {
            return;
        }
        let (token, call) = self.calls.remove(0);
        let reply = match self.dice.below(12) {
            0 => None,
            1 => Some(Reply::Refusal(cbr::Refusal::default())),
            _ => Some(self.fitting(call)),
        };
        let reply = cbr::Reply { reply };
        self.router.on_reply(token, reply.encode_to_vec().into());
    }

    fn fitting(&mut self, call: Call) -> Reply {
        match call {
            Call::Challenge(_) => Reply::Offer(Default::default()),
            Call::Secrets(secrets) => {
                let number = u64::from(secrets.nonce[0] - 0xd0);
                let session = self
                    .sessions
                    .get(&number)
                    .map_or(0, |(session, ..)| *session);
                let plain = self.dice.chance(5);
                if let Some(link) = self.owners.get(&number).filter(|_| !plain) {
                    self.sessions.insert(number, (session + 1, 1, *link));
                }
                Reply::Opened(cbr::Opened {
                    confirmation: None,
                    domain: domain(number),
                    session: session + 1,
                    owner_key: Bytes::copy_from_slice(&owner_key(number).0),
                    plain,
                })
            }
            Call::Close(_) => Reply::Closed(cbr::Closed {}),
            _ => {
                let count = self.dice.below(4);
                let notices = (0..count).map(|_| self.notice()).collect();
                let admitted = self.dice.chance(20).then(|| cbr::Admitted {
                    retention_ms: 0,
                    consumer: Bytes::copy_from_slice(&consumer_key(self.dice.below(CONSUMERS)).0),
                    slow: 1 + self.dice.below(2) as i32,
                });
                Reply::Outcome(cbr::Outcome {
                    registered: None,
                    receipt: "r".into(),
                    notices,
                    admitted,
                })
            }
        }
    }

    fn notice(&mut self) -> cbr::Notice {
        let consumer = consumer_key(self.dice.below(CONSUMERS + 1));
        cbr::Notice {
            consumer: Bytes::copy_from_slice(&consumer.0),
            counter: 1,
            ciphertext: "n".into(),
            payloads: (0..self.dice.below(5) as u32).collect(),
        }
    }

    /// Some link acknowledges some of what it was sent.
    fn acknowledge(&mut self) {
        let links: Vec<_> = self.on_their_way.keys().copied().collect();
        if links.is_empty() {
            return;
        }
        let (link, class) = links[self.dice.below(links.len() as u64) as usize];
        let tokens = self.on_their_way.get_mut(&(link, class)).unwrap();
        let count = 1 + self.dice.below(tokens.len() as u64) as usize;
        let token = tokens[count - 1];
        tokens.drain(..count);
        if tokens.is_empty() {
            self.on_their_way.remove(&(link, class));
        }
        self.router
            .on_event(LinkEvent::Acked { link, class, token });
    }

    /// Does what the router wants done, as its loop does.
    fn collect(&mut self) {
        loop {
            let outputs = self.router.take_outputs();
            if outputs.is_empty() {
                return;
            }
            for output in outputs {
                match output {
                    Output::Send {
                        link,
                        class,
                        frame,
                        token,
                    } => self.send(link, class, frame, token),
                    Output::Call { token, request } => {
                        let call = cbr::Call::decode(request).unwrap().call.unwrap();
                        self.calls.push((token, call));
                    }
                    Output::Release { link, class, bytes } => {
                        let paid = self.paid.entry((link, class)).or_default();
                        *paid += bytes;
                        let spent = self.spent.get(&(link, class)).copied().unwrap_or(0);
                        assert!(*paid <= spent, "{link} is paid {paid} and spent {spent}");
                    }
                    Output::Close { link, .. } => {
                        self.owners.retain(|_, of| *of != link);
                        self.consumers.retain(|_, of| *of != link);
                        self.end(link);
                    }
                }
            }
        }
    }

    fn send(&mut self, link: LinkId, class: FrameClass, frame: Frame, token: u64) {
        let is_gone = self.gone.contains(&link);
        let is_full = self.rough && self.dice.chance(5);
        let way = &mut self.on_their_way;
        self.router
            .deliver(link, class, frame, token, 1 << 20, |_| {
                if is_gone {
                    return Err(SendError::Closed);
                }
                if is_full {
                    return Err(SendError::Full);
                }
                way.entry((link, class)).or_default().push(token);
                Ok(())
            });
        if is_full {
            self.router.on_event(LinkEvent::Writable { link, class });
        }
    }

    /// Everything is answered and acknowledged.
    fn come_to_rest(&mut self) {
        while !self.calls.is_empty() || !self.on_their_way.is_empty() {
            self.reply();
            self.acknowledge();
            self.collect();
        }
    }

    fn is_even(&self) -> bool {
        self.spent
            .iter()
            .all(|(account, spent)| self.paid.get(account) == Some(spent))
    }
}

#[test]
fn every_account_is_even_when_calm_lives_come_to_rest_with_all_links_standing() {
    let (mut notices, mut controls) = (0, 0);
    for seed in 0..LIVES {
        let mut life = Life::new(seed, false);
        for _ in 0..STEPS {
            life.step();
        }
        life.come_to_rest();

        let Life { spent, paid, .. } = &life;
        assert!(life.is_even(), "seed {seed}: {spent:?} {paid:?}");
        notices += life.router.counters().notices;
        controls += life.router.counters().controls;
    }
    assert!(
        notices > LIVES && controls > LIVES,
        "too calm: {notices} {controls}"
    );
}

#[test]
fn every_account_is_even_when_rough_lives_have_ended() {
    for seed in 0..LIVES {
        let mut life = Life::new(seed + 1000, true);
        for _ in 0..STEPS {
            life.step();
        }
        let links: Vec<_> = life
            .owners
            .values()
            .chain(life.consumers.values())
            .copied()
            .collect();
        for link in links {
            life.end(link);
        }
        life.owners.clear();
        life.consumers.clear();
        life.collect();
        life.come_to_rest();

        assert!(
            life.is_even(),
            "seed {seed}: {:?} {:?}",
            life.spent,
            life.paid
        );
    }
}
