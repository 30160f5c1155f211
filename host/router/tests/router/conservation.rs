//! Credit is conserved: whatever happens in whatever order, what a sender spent comes back exactly once.
//!
//! Many random lives of a router, each from a seed: peers come and go, frames are good, garbled, early, late or repeated, the program
//! answers, refuses or babbles, links acknowledge or end. No account may ever be paid more than it spent; and when everything has been
//! answered and acknowledged, every account is even.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use bytes::Bytes;
use prost::Message;
use sc_proto::cbr::{self, call::Call, reply::Reply};
use sc_proto::routing::{self, from_publisher, from_subscriber, to_subscriber};
use sc_router::{Output, Router, RouterSettings, SpillEvent, SpillFailure};
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
    now: Duration,
    /// The last notice that came on a link in an owner's domain: session and counter.
    taken: BTreeMap<(LinkId, u64), (u64, u64)>,
    /// What was last said of it, at rest.
    said: BTreeMap<(LinkId, u64), (u64, u64)>,
    /// The last counter that the program has given to a consumer's notice.
    counters: BTreeMap<(u64, u64, u64), u64>,
    /// What the store has to say.
    disk: Vec<SpillEvent>,
    /// Whether links may end and frames be lost.
    rough: bool,
}

impl Life {
    fn new(seed: u64, rough: bool) -> Self {
        Self {
            router: Router::new(RouterSettings {
                has_store: true,
                ..RouterSettings::default()
            }),
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
            now: Duration::ZERO,
            taken: BTreeMap::new(),
            said: BTreeMap::new(),
            counters: BTreeMap::new(),
            disk: Vec::new(),
            rough,
        }
    }

    fn step(&mut self) {
        match self.dice.below(16) {
            0 => self.come(),
            1 if self.rough => self.go(),
            2 => self.provision(),
            3..=5 => self.publish(),
            6 => self.subscribe(),
            7 => self.garble(),
            8..=10 => self.reply(),
            11..=12 => self.take(),
            13 => self.store(),
            14 => self.wait(),
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
        self.event(LinkEvent::Established { link, peer, role });
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
        self.event(LinkEvent::Closed { link, reason });
    }

    fn frame(&mut self, link: LinkId, class: FrameClass, head: Vec<u8>, parts: Vec<Bytes>) {
        let credit = 1 + self.dice.below(1000);
        *self.spent.entry((link, class)).or_default() += credit;
        let frame = Frame {
            head: head.into(),
            attachments: parts,
        };
        self.event(LinkEvent::Frame {
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
            let invented = Bytes::from_static(b"invented");
            self.router.on_reply(self.now, 1 << 40, invented);
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
        let reply = reply.encode_to_vec().into();
        self.router.on_reply(self.now, token, reply);
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
            Call::Close(_) | Call::Describe(_) => Reply::Closed(cbr::Closed {}),
            Call::Suspend(cbr::Suspend {
                domain,
                session,
                consumer,
            })
            | Call::Resume(cbr::Resume {
                domain,
                session,
                consumer,
            }) => {
                let (owner, consumer) = (domain[0] - 0xd0, consumer[0] - 0x80);
                let notice = self.notice(owner.into(), session, consumer.into());
                Reply::Outcome(cbr::Outcome {
                    notices: vec![notice],
                    ..Default::default()
                })
            }
            Call::Control(sealed) | Call::Batch(sealed) => {
                let owner = u64::from(sealed.domain[0] - 0xd0);
                let count = self.dice.below(4);
                let notices = (0..count)
                    .map(|_| {
                        let consumer = self.dice.below(CONSUMERS + 1);
                        self.notice(owner, sealed.session, consumer)
                    })
                    .collect();
                let admitted = self.dice.chance(20).then(|| cbr::Admitted {
                    retention_ms: 35_000,
                    consumer: Bytes::copy_from_slice(&consumer_key(self.dice.below(CONSUMERS)).0),
                    slow: 1 + self.dice.below(3) as i32,
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

    fn notice(&mut self, owner: u64, session: u64, consumer: u64) -> cbr::Notice {
        let counter = self.counters.entry((owner, session, consumer)).or_default();
        *counter += 1;
        cbr::Notice {
            consumer: Bytes::copy_from_slice(&consumer_key(consumer).0),
            counter: *counter,
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
        self.event(LinkEvent::Acked { link, class, token });
    }

    fn event(&mut self, event: LinkEvent) {
        self.router.on_event(self.now, event);
    }

    /// Some consumer says how far it has come in some domain, truly or not.
    fn take(&mut self) {
        let links: Vec<_> = self.consumers.values().copied().collect();
        if links.is_empty() {
            return;
        }
        let link = links[self.dice.below(links.len() as u64) as usize];
        let owner = self.dice.below(OWNERS);
        let session = self
            .sessions
            .get(&owner)
            .map_or(1, |(session, ..)| *session);
        let (session, counter) = match self.dice.below(10) {
            0 => (session.saturating_sub(1), self.dice.below(5)),
            1 => (session + 1, 0),
            2 => (session, u64::MAX),
            3 => (session, 0),
            _ => {
                let taken = self.taken.get(&(link, owner)).copied();
                taken.unwrap_or((session, 0))
            }
        };
        self.ack(link, owner, session, counter);
    }

    fn ack(&mut self, link: LinkId, owner: u64, session: u64, counter: u64) {
        let ack = routing::Ack {
            domain: domain(owner),
            session,
            counter,
        };
        let frame = Some(from_subscriber::Frame::Ack(ack));
        let head = routing::FromSubscriber { frame }.encode_to_vec();
        self.frame(link, FrameClass::Control, head, vec![]);
    }

    /// Time passes: mostly little.
    fn wait(&mut self) {
        let seconds = if self.dice.chance(10) { 40 } else { 1 };
        self.now += Duration::from_secs(seconds);
        self.router.on_timeout(self.now);
    }

    /// The store says what it has done: mostly well.
    fn store(&mut self) {
        while let Some(event) = self.disk.pop() {
            let event = match event {
                SpillEvent::Stored { mailbox, token } if self.rough && self.dice.chance(5) => {
                    let why = SpillFailure::Full;
                    SpillEvent::Failed {
                        mailbox,
                        token,
                        why,
                    }
                }
                event => event,
            };
            self.router.on_spill(event);
        }
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
                    Output::Store { mailbox, token, .. } => {
                        // The newest is the last to be taken out.
                        self.disk.insert(0, SpillEvent::Stored { mailbox, token });
                    }
                    Output::Fetch { mailbox, .. } => {
                        // A store that has lost everything: what it held owes nobody anything any more.
                        let fetched = SpillEvent::Fetched {
                            mailbox,
                            records: vec![],
                            more: false,
                        };
                        self.disk.insert(0, fetched);
                    }
                    _ => {}
                }
            }
        }
    }

    fn send(&mut self, link: LinkId, class: FrameClass, frame: Frame, token: u64) {
        let is_gone = self.gone.contains(&link);
        let is_full = self.rough && class == FrameClass::Data && self.dice.chance(5);
        let came = (!is_gone && !is_full).then(|| frame.head.clone());
        self.router.deliver(link, class, frame, token, |_| {
            if is_gone {
                return Err(SendError::Closed);
            }
            if is_full {
                return Err(SendError::Full);
            }
            Ok(())
        });
        if let Some(head) = came {
            let way = self.on_their_way.entry((link, class)).or_default();
            way.push(token);
            self.note(link, head);
        }
        if is_full {
            self.event(LinkEvent::Writable { link, class });
        }
    }

    /// A consumer remembers which notice has come.
    fn note(&mut self, link: LinkId, head: Bytes) {
        let is_consumer = self.consumers.values().any(|of| *of == link);
        let head = routing::ToSubscriber::decode(head).ok();
        let frame = head.filter(|_| is_consumer).and_then(|head| head.frame);
        if let Some(to_subscriber::Frame::Notice(notice)) = frame {
            let owner = u64::from(notice.domain[0] - 0xd0);
            let place = (notice.session, notice.counter);
            self.taken.insert((link, owner), place);
        }
    }

    /// Everything is answered and acknowledged.
    fn come_to_rest(&mut self) {
        // Every consumer gets the keys of the present sessions.
        let sessions: Vec<_> = self
            .sessions
            .iter()
            .map(|(owner, it)| (*owner, it.0))
            .collect();
        for link in self.consumers.values().copied().collect::<Vec<_>>() {
            for (owner, session) in &sessions {
                self.ack(link, *owner, *session, 0);
            }
        }
        self.collect();
        self.finish();
        // Consumers that have not come by now do not come in time.
        self.now += Duration::from_secs(60);
        self.router.on_timeout(self.now);
        self.collect();
        self.finish();
    }

    /// Everybody does what there is to do.
    fn finish(&mut self) {
        loop {
            while !self.is_at_rest() {
                self.reply();
                self.acknowledge();
                self.store();
                self.collect();
            }
            if !self.take_all() {
                return;
            }
            self.collect();
        }
    }

    fn is_at_rest(&self) -> bool {
        self.calls.is_empty() && self.on_their_way.is_empty() && self.disk.is_empty()
    }

    /// Every consumer takes what it has been sent, and says so once; returns whether anyone had anything to say.
    fn take_all(&mut self) -> bool {
        let mut spoke = false;
        for ((link, owner), (session, counter)) in self.taken.clone() {
            let word = (session, counter);
            let is_new = self.said.insert((link, owner), word) != Some(word);
            if is_new && !self.gone.contains(&link) {
                self.ack(link, owner, session, counter);
                spoke = true;
            }
        }
        spoke
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
