//! The router's core: frames and replies come in, calls and frames go out.

use std::collections::{HashMap, HashSet, VecDeque};

use bytes::{Bytes, BytesMut};
use prost::Message;
use sc_proto::cbr::{self, call, refusal::Reason, reply};
use sc_proto::provision;
use sc_proto::routing::{
    self, from_publisher, from_subscriber, refused::Cause, to_publisher, to_subscriber,
};
use sc_transport::{Frame, FrameClass, LinkEvent, LinkId, PeerKey, Role};

use crate::credit::{Credit, DebtId, Due};
use crate::domains::{Domain, DomainId, Domains, Waiting};
use crate::order::Order;

/// Calls under way at once; further ones wait here, bounded by the credit of those who made them.
pub const CALLS_MAX: usize = 256;
/// Domains that one subscriber's link may attach to.
const ATTACHED_MAX: usize = 64;

/// What an operator chooses.
#[derive(Debug, Clone, Default)]
pub struct RouterSettings {
    /// The domains that may be opened here; `None` for any.
    pub pinned: Option<Vec<[u8; 32]>>,
    /// Whether publishers may choose D4.2's unencrypted mode.
    pub plain: bool,
    /// What publishers are told of the trusted program's protection.
    pub tee: String,
}

/// What the core wants done, in order.
#[derive(Debug)]
pub enum Output {
    /// Send a frame; `token` comes back when it has arrived.
    Send {
        /// On this link.
        link: LinkId,
        /// Charged to this credit.
        class: FrameClass,
        /// The frame.
        frame: Frame,
        /// For [`LinkEvent::Acked`].
        token: u64,
    },
    /// Call the trusted program.
    Call {
        /// Comes back with the reply.
        token: u64,
        /// The encoded call.
        request: Bytes,
    },
    /// Give credit back.
    Release {
        /// To the sender on this link.
        link: LinkId,
        /// Of this class.
        class: FrameClass,
        /// So many bytes.
        bytes: u64,
    },
    /// Close a link.
    Close {
        /// Which.
        link: LinkId,
        /// Why, for people.
        reason: &'static str,
    },
}

/// What has happened since the start; everything in it is visible to a host by design.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counters {
    /// Sessions opened.
    pub sessions: u64,
    /// Batches taken.
    pub batches: u64,
    /// Publications in them.
    pub publications: u64,
    /// Control messages taken.
    pub controls: u64,
    /// Notices sent.
    pub notices: u64,
    /// Payloads sent with them.
    pub payloads: u64,
    /// Notices whose consumer was not connected; the consumer will see the gap.
    pub undeliverable: u64,
    /// Frames refused.
    pub refused: u64,
    /// Consumers disconnected because they did not keep up.
    pub disconnected: u64,
}

/// What a call was made for.
pub(crate) struct CallContext {
    link: LinkId,
    debt: DebtId,
    what: Asked,
}

enum Asked {
    Challenge,
    Secrets,
    Control {
        domain: DomainId,
        head: routing::Receipt,
    },
    Batch {
        domain: DomainId,
        head: routing::Receipt,
        sizes: Vec<u32>,
        payloads: Bytes,
    },
    Close,
}

enum Peer {
    Publisher(PeerKey),
    Subscriber {
        key: PeerKey,
        attached: Vec<DomainId>,
    },
}

/// The core.
#[derive(Default)]
pub struct Router {
    settings: RouterSettings,
    peers: HashMap<LinkId, Peer>,
    subscribers: HashMap<PeerKey, LinkId>,
    /// Consumers whose publishers chose to drop them rather than to wait.
    impatient: HashSet<PeerKey>,
    domains: Domains,
    credit: Credit,
    calls: HashMap<u64, CallContext>,
    last_call: u64,
    waiting_calls: VecDeque<(u64, Bytes)>,
    under_way: usize,
    outputs: Vec<Output>,
    counters: Counters,
}

impl Router {
    /// A router without peers.
    #[must_use]
    pub fn new(settings: RouterSettings) -> Self {
        Self {
            settings,
            ..Self::default()
        }
    }

    /// Sets what publishers are told of the trusted program.
    pub fn set_tee(&mut self, tee: String) {
        self.settings.tee = tee;
    }

    /// What has happened since the start.
    #[must_use]
    pub fn counters(&self) -> Counters {
        self.counters
    }

    /// Links of publishers and of subscribers.
    #[must_use]
    pub fn peers(&self) -> (usize, usize) {
        (
            self.peers.len() - self.subscribers.len(),
            self.subscribers.len(),
        )
    }

    /// What is to be done, in order.
    pub fn take_outputs(&mut self) -> Vec<Output> {
        core::mem::take(&mut self.outputs)
    }

    /// Takes an event of the link layer.
    pub fn on_event(&mut self, event: LinkEvent) {
        match event {
            LinkEvent::Established { link, peer, role } => self.on_established(link, peer, role),
            LinkEvent::Frame {
                link,
                class,
                frame,
                credit,
            } => {
                let debt = self.credit.owe(Due {
                    link,
                    class,
                    bytes: credit,
                });
                self.on_frame(link, debt, frame);
                // Whatever needs the debt longer has added to it by now.
                self.settle(debt);
            }
            LinkEvent::Acked { link, class, token } => {
                let mut due = Vec::new();
                self.credit.arrived(link, class, token, &mut due);
                self.release(due);
            }
            LinkEvent::Closed { link, .. } => self.on_closed(link),
            _ => {}
        }
    }

    fn on_established(&mut self, link: LinkId, peer: PeerKey, role: Role) {
        match role {
            Role::Publisher => {
                self.peers.insert(link, Peer::Publisher(peer));
            }
            Role::Subscriber => {
                self.peers.insert(
                    link,
                    Peer::Subscriber {
                        key: peer,
                        attached: Vec::new(),
                    },
                );
                self.subscribers.insert(peer, link);
            }
            Role::Router => self.outputs.push(Output::Close {
                link,
                reason: "a router has no use for another",
            }),
        }
    }

    fn on_closed(&mut self, link: LinkId) {
        let mut due = Vec::new();
        self.credit.lost(link, &mut due);
        self.release(due);
        let abandoned = self.domains.abandon(link);
        self.forget(abandoned);
        if let Some(Peer::Subscriber { key, attached }) = self.peers.remove(&link) {
            // A newer link of the same peer may have taken its place already.
            if self.subscribers.get(&key) == Some(&link) {
                self.subscribers.remove(&key);
            }
            attached.iter().for_each(|id| self.domains.detach(id, link));
        }
    }

    fn on_frame(&mut self, link: LinkId, debt: DebtId, frame: Frame) {
        match self.peers.get(&link) {
            Some(Peer::Publisher(key)) => {
                let key = *key;
                self.on_publisher_frame(link, key, debt, frame);
            }
            Some(Peer::Subscriber { key, .. }) => {
                let key = *key;
                self.on_subscriber_frame(link, key, debt, frame);
            }
            None => {}
        }
    }

    fn on_publisher_frame(&mut self, link: LinkId, key: PeerKey, debt: DebtId, frame: Frame) {
        let Some(message) = routing::FromPublisher::decode(frame.head)
            .ok()
            .and_then(|message| message.frame)
        else {
            return self.refuse_publisher(link, Cause::Malformed, "the frame does not decode");
        };
        let mut attachments = frame.attachments.into_iter();
        let (first, second) = (
            attachments.next().unwrap_or_default(),
            attachments.next().unwrap_or_default(),
        );
        match message {
            from_publisher::Frame::Challenge(challenge) => {
                self.on_challenge(link, key, debt, challenge)
            }
            from_publisher::Frame::Secrets(secrets) => self.on_secrets(link, debt, secrets),
            from_publisher::Frame::Control(control) => {
                let head = receipt_head(
                    &control.domain,
                    control.session,
                    control.start,
                    control.counter,
                );
                self.on_sealed(link, key, debt, head, first, |domain, head| {
                    Asked::Control { domain, head }
                });
            }
            from_publisher::Frame::Batch(batch) => {
                let total: u64 = batch
                    .payload_sizes
                    .iter()
                    .map(|size| u64::from(*size))
                    .sum();
                if total != second.len() as u64 {
                    return self.refuse_publisher(
                        link,
                        Cause::Malformed,
                        "the payloads have not the sizes announced",
                    );
                }
                let head = receipt_head(&batch.domain, batch.session, batch.start, batch.counter);
                let sizes = batch.payload_sizes;
                self.on_sealed(link, key, debt, head, first, |domain, head| Asked::Batch {
                    domain,
                    head,
                    sizes,
                    payloads: second,
                });
            }
            from_publisher::Frame::Answer(answer) => self.on_answer(link, debt, answer, first),
        }
    }

    fn on_challenge(
        &mut self,
        link: LinkId,
        key: PeerKey,
        debt: DebtId,
        challenge: provision::Challenge,
    ) {
        if challenge.owner_key[..] != key.0 {
            return self.refuse_publisher(
                link,
                Cause::Malformed,
                "the owner key is not the key that this link has proved",
            );
        }
        self.call(
            CallContext {
                link,
                debt,
                what: Asked::Challenge,
            },
            call::Call::Challenge(challenge),
        );
    }

    fn on_secrets(&mut self, link: LinkId, debt: DebtId, secrets: routing::Secrets) {
        if secrets.plain && !self.settings.plain {
            return self.refuse_publisher(
                link,
                Cause::Plain,
                "this router was not started with --plain, so it takes nothing unencrypted",
            );
        }
        let Some(secrets) = secrets.secrets else {
            return self.refuse_publisher(link, Cause::Malformed, "the frame does not decode");
        };
        self.call(
            CallContext {
                link,
                debt,
                what: Asked::Secrets,
            },
            call::Call::Secrets(secrets),
        );
    }

    /// A control message or a batch: goes to the program when its turn has come.
    fn on_sealed(
        &mut self,
        link: LinkId,
        key: PeerKey,
        debt: DebtId,
        head: routing::Receipt,
        ciphertext: Bytes,
        what: impl FnOnce(DomainId, routing::Receipt) -> Asked,
    ) {
        let Ok(id) = DomainId::try_from(&head.domain[..]) else {
            return self.refuse_publisher(link, Cause::Malformed, "a domain has 32 bytes");
        };
        let sealed = cbr::Sealed {
            domain: head.domain.clone(),
            session: head.session,
            publisher: Bytes::copy_from_slice(&key.0),
            start: head.start,
            counter: head.counter,
            ciphertext,
        };
        let (counter, session) = (head.counter, head.session);
        let what = what(id, head);
        let call = match &what {
            Asked::Control { .. } => call::Call::Control(sealed),
            _ => call::Call::Batch(sealed),
        };
        let Some(domain) = self
            .domains
            .of_link(&id, link)
            .filter(|domain| domain.session == session)
        else {
            return self.refuse_publisher(
                link,
                Cause::UnknownDomain,
                "no such session was opened on this link",
            );
        };
        let request = cbr::Call { call: Some(call) }.encode_to_vec().into();
        self.credit.extend(debt);
        if domain
            .order
            .push(
                counter,
                Waiting {
                    request,
                    call: CallContext { link, debt, what },
                },
            )
            .is_err()
        {
            self.settle(debt);
            return self.refuse_publisher(link, Cause::Program, "this counter was used before");
        }
        let ready: Vec<_> = std::iter::from_fn(|| domain.order.pop()).collect();
        for waiting in ready {
            self.call_encoded(waiting.call, waiting.request);
        }
    }

    /// Passes an owner's answer on to its consumer.
    fn on_answer(&mut self, link: LinkId, debt: DebtId, answer: routing::Answer, sealed: Bytes) {
        if self.domains.of_link(&answer.domain, link).is_none() {
            return self.refuse_publisher(
                link,
                Cause::UnknownDomain,
                "no such session was opened on this link",
            );
        }
        let consumer = answer.consumer[..].try_into().ok().map(PeerKey);
        let Some(to) = consumer.and_then(|key| self.subscribers.get(&key).copied()) else {
            return self.refuse_publisher(
                link,
                Cause::Unreachable,
                "the consumer is not connected",
            );
        };
        self.send_subscriber(
            Some(debt),
            to,
            FrameClass::Control,
            to_subscriber::Frame::Answer(answer),
            [sealed],
        );
    }

    fn on_subscriber_frame(&mut self, link: LinkId, key: PeerKey, debt: DebtId, frame: Frame) {
        let Some(message) = routing::FromSubscriber::decode(frame.head)
            .ok()
            .and_then(|message| message.frame)
        else {
            return self.refuse_subscriber(
                link,
                Cause::Malformed,
                "the frame does not decode",
                Bytes::new(),
            );
        };
        let sealed = frame.attachments.into_iter().next().unwrap_or_default();
        match message {
            from_subscriber::Frame::Attach(attach) => self.on_attach(link, &attach.domain),
            from_subscriber::Frame::Ask(ask) => {
                let Some(owner) = self
                    .domains
                    .get(&ask.domain)
                    .map(|domain| domain.link)
                    .filter(|link| self.peers.contains_key(link))
                else {
                    return self.refuse_subscriber(
                        link,
                        Cause::UnknownDomain,
                        "nobody has opened this domain here",
                        ask.domain,
                    );
                };
                let ask = routing::Ask {
                    consumer: Bytes::copy_from_slice(&key.0),
                    ..ask
                };
                self.send_publisher(Some(debt), owner, to_publisher::Frame::Ask(ask), [sealed]);
            }
        }
    }

    fn on_attach(&mut self, link: LinkId, domain: &[u8]) {
        let Ok(id) = DomainId::try_from(domain) else {
            return self.refuse_subscriber(
                link,
                Cause::Malformed,
                "a domain has 32 bytes",
                Bytes::new(),
            );
        };
        let Some(Peer::Subscriber { attached, .. }) = self.peers.get_mut(&link) else {
            return;
        };
        if !attached.contains(&id) {
            if attached.len() == ATTACHED_MAX {
                return self.refuse_subscriber(
                    link,
                    Cause::Limit,
                    "this link is attached to as many domains as it may",
                    Bytes::new(),
                );
            }
            attached.push(id);
            self.domains.attach(id, link);
        }
        self.tell_state(link, &id);
    }

    fn tell_state(&mut self, link: LinkId, id: &DomainId) {
        let session = self
            .domains
            .get(id)
            .filter(|domain| self.peers.contains_key(&domain.link))
            .map(|domain| domain.session);
        let state = routing::DomainState {
            domain: Bytes::copy_from_slice(id),
            open: session.is_some(),
            session: session.unwrap_or_default(),
        };
        self.send_subscriber(
            None,
            link,
            FrameClass::Control,
            to_subscriber::Frame::DomainState(state),
            [],
        );
    }

    /// Takes the trusted program's reply to the call `token`.
    pub fn on_reply(&mut self, token: u64, reply: Bytes) {
        self.under_way = self.under_way.saturating_sub(1);
        self.make_waiting_calls();
        let Some(CallContext { link, debt, what }) = self.calls.remove(&token) else {
            return;
        };
        let reply = cbr::Reply::decode(reply).ok().and_then(|reply| reply.reply);
        match (what, reply) {
            (Asked::Challenge, Some(reply::Reply::Offer(offer))) => {
                let offer = routing::Offer {
                    offer: Some(offer),
                    tee: self.settings.tee.clone(),
                };
                self.send_publisher(None, link, to_publisher::Frame::Offer(offer), []);
            }
            (Asked::Secrets, Some(reply::Reply::Opened(opened))) => {
                self.on_opened(link, debt, opened)
            }
            (Asked::Control { domain, head }, Some(reply::Reply::Outcome(outcome))) => {
                self.counters.controls += 1;
                self.on_outcome(link, debt, &domain, head, outcome, &[], &Bytes::new());
            }
            (
                Asked::Batch {
                    domain,
                    head,
                    sizes,
                    payloads,
                },
                Some(reply::Reply::Outcome(outcome)),
            ) => {
                self.counters.batches += 1;
                self.counters.publications += sizes.len() as u64;
                self.on_outcome(link, debt, &domain, head, outcome, &sizes, &payloads);
            }
            (Asked::Close, _) => {}
            (_, Some(reply::Reply::Refusal(refusal))) => self.on_refusal(link, refusal),
            _ => self.refuse_publisher(
                link,
                Cause::Program,
                "the trusted program gave no fitting reply",
            ),
        }
        self.settle(debt);
    }

    fn on_opened(&mut self, link: LinkId, debt: DebtId, opened: cbr::Opened) {
        let Ok(id) = DomainId::try_from(&opened.domain[..]) else {
            return self.refuse_publisher(
                link,
                Cause::Program,
                "the trusted program gave no fitting reply",
            );
        };
        let pinned = self
            .settings
            .pinned
            .as_ref()
            .is_none_or(|pinned| pinned.contains(&id));
        if !pinned || (opened.plain && !self.settings.plain) {
            let close = cbr::Close {
                domain: opened.domain,
                session: opened.session,
            };
            self.call(
                CallContext {
                    link,
                    debt,
                    what: Asked::Close,
                },
                call::Call::Close(close),
            );
            return if pinned {
                self.refuse_publisher(
                    link,
                    Cause::Plain,
                    "this router was not started with --plain, so it takes nothing unencrypted",
                )
            } else {
                self.refuse_publisher(link, Cause::OwnerNotPinned, "this router serves other owners only: have its operator add --owner with your public key")
            };
        }
        self.counters.sessions += 1;
        let domain = Domain {
            session: opened.session,
            link,
            order: Order::default(),
        };
        let replaced = self.domains.open(id, domain);
        self.forget(
            replaced
                .into_iter()
                .flat_map(|domain| domain.order.into_waiting()),
        );
        let frame = routing::Opened {
            confirmation: opened.confirmation,
            domain: opened.domain,
            session: opened.session,
        };
        self.send_publisher(None, link, to_publisher::Frame::Opened(frame), []);
        let attached: Vec<_> = self.domains.attached(&id).collect();
        attached
            .into_iter()
            .for_each(|subscriber| self.tell_state(subscriber, &id));
    }

    #[expect(
        clippy::too_many_arguments,
        reason = "the context of one call, taken apart by its only two callers"
    )]
    fn on_outcome(
        &mut self,
        link: LinkId,
        debt: DebtId,
        domain: &DomainId,
        head: routing::Receipt,
        outcome: cbr::Outcome,
        sizes: &[u32],
        payloads: &Bytes,
    ) {
        if let Some(admitted) = &outcome.admitted
            && let Ok(key) = admitted.consumer[..].try_into()
        {
            let impatient = admitted.slow() == cbr::SlowPolicy::Disconnect;
            if impatient {
                self.impatient.insert(PeerKey(key));
            } else {
                self.impatient.remove(&PeerKey(key));
            }
        }
        let session = head.session;
        self.send_publisher(
            None,
            link,
            to_publisher::Frame::Receipt(head),
            [outcome.receipt],
        );
        let starts = payload_starts(sizes);
        for notice in outcome.notices {
            self.forward(debt, domain, session, notice, sizes, &starts, payloads);
        }
    }

    /// Sends one notice, with the payloads that it gives keys for, to the link that has proved its consumer's key.
    #[expect(
        clippy::too_many_arguments,
        reason = "the parts of one frame, put together here alone"
    )]
    fn forward(
        &mut self,
        debt: DebtId,
        domain: &DomainId,
        session: u64,
        notice: cbr::Notice,
        sizes: &[u32],
        starts: &[usize],
        payloads: &Bytes,
    ) {
        let key = notice.consumer[..].try_into().ok().map(PeerKey);
        let Some(to) = key.and_then(|key| self.subscribers.get(&key).copied()) else {
            self.counters.undeliverable += 1;
            return;
        };
        let chosen = notice.payloads.iter().filter_map(|index| {
            let index = *index as usize;
            Some((*sizes.get(index)?, *starts.get(index)?))
        });
        let payload_sizes: Vec<u32> = chosen.clone().map(|(size, _)| size).collect();
        let total = payload_sizes.iter().map(|size| *size as usize).sum();
        let attached = if total == payloads.len() {
            payloads.clone()
        } else {
            let mut attached = BytesMut::with_capacity(total);
            chosen.for_each(|(size, start)| {
                attached.extend_from_slice(&payloads[start..start + size as usize])
            });
            attached.freeze()
        };
        self.counters.notices += 1;
        self.counters.payloads += payload_sizes.len() as u64;
        let head = routing::Notice {
            domain: Bytes::copy_from_slice(domain),
            session,
            counter: notice.counter,
            payload_sizes,
        };
        let frame = to_subscriber::Frame::Notice(head);
        self.send_subscriber(
            Some(debt),
            to,
            FrameClass::Data,
            frame,
            [notice.ciphertext, attached],
        );
    }

    fn on_refusal(&mut self, link: LinkId, refusal: cbr::Refusal) {
        let what = match refusal.reason() {
            Reason::NotAuthentic => "the trusted program could not open or verify it",
            Reason::Session => "the trusted program has no such session, or a newer one",
            Reason::Counter => {
                "the trusted program has taken this counter, or misses one before it"
            }
            Reason::Limit => "the trusted program serves as many domains as it may",
            Reason::Pending => "the trusted program knows no such challenge",
            _ => "the trusted program could not decode it",
        };
        self.counters.refused += 1;
        let frame = refused(Cause::Program, what, Bytes::new(), Some(refusal));
        self.send_publisher(None, link, to_publisher::Frame::Refused(frame), []);
    }

    /// The queue of a link is full: its consumer is disconnected, and will see what it has missed.
    pub fn on_full(&mut self, link: LinkId) {
        self.counters.disconnected += 1;
        self.outputs.push(Output::Close {
            link,
            reason: "this consumer does not keep up",
        });
    }

    /// Whether the consumer behind `link` is to be disconnected as soon as it falls behind.
    #[must_use]
    pub fn is_impatient(&self, link: LinkId) -> bool {
        match self.peers.get(&link) {
            Some(Peer::Subscriber { key, .. }) => self.impatient.contains(key),
            _ => false,
        }
    }

    /// Calls the program; the call keeps its debt open until its reply is dealt with.
    fn call(&mut self, context: CallContext, call: call::Call) {
        self.credit.extend(context.debt);
        self.call_encoded(
            context,
            cbr::Call { call: Some(call) }.encode_to_vec().into(),
        );
    }

    fn call_encoded(&mut self, context: CallContext, request: Bytes) {
        self.last_call += 1;
        self.calls.insert(self.last_call, context);
        self.waiting_calls.push_back((self.last_call, request));
        self.make_waiting_calls();
    }

    fn make_waiting_calls(&mut self) {
        while self.under_way < CALLS_MAX {
            let Some((token, request)) = self.waiting_calls.pop_front() else {
                return;
            };
            self.under_way += 1;
            self.outputs.push(Output::Call { token, request });
        }
    }

    /// Messages that will never be their publisher's next.
    fn forget(&mut self, waiting: impl IntoIterator<Item = Waiting>) {
        waiting
            .into_iter()
            .for_each(|waiting| self.settle(waiting.call.debt));
    }

    fn settle(&mut self, debt: DebtId) {
        let due = self.credit.settle(debt);
        self.release(due);
    }

    fn release(&mut self, due: impl IntoIterator<Item = Due>) {
        let releases = due.into_iter().filter(|due| due.bytes > 0);
        self.outputs
            .extend(releases.map(|Due { link, class, bytes }| Output::Release {
                link,
                class,
                bytes,
            }));
    }

    fn refuse_publisher(&mut self, link: LinkId, cause: Cause, what: &str) {
        self.counters.refused += 1;
        self.send_publisher(
            None,
            link,
            to_publisher::Frame::Refused(refused(cause, what, Bytes::new(), None)),
            [],
        );
    }

    fn refuse_subscriber(&mut self, link: LinkId, cause: Cause, what: &str, domain: Bytes) {
        self.counters.refused += 1;
        let frame = to_subscriber::Frame::Refused(refused(cause, what, domain, None));
        self.send_subscriber(None, link, FrameClass::Control, frame, []);
    }

    fn send_publisher<const N: usize>(
        &mut self,
        debt: Option<DebtId>,
        link: LinkId,
        frame: to_publisher::Frame,
        attachments: [Bytes; N],
    ) {
        let head = routing::ToPublisher { frame: Some(frame) }.encode_to_vec();
        self.send(debt, link, FrameClass::Control, head, attachments.into());
    }

    fn send_subscriber<const N: usize>(
        &mut self,
        debt: Option<DebtId>,
        link: LinkId,
        class: FrameClass,
        frame: to_subscriber::Frame,
        attachments: [Bytes; N],
    ) {
        let head = routing::ToSubscriber { frame: Some(frame) }.encode_to_vec();
        self.send(debt, link, class, head, attachments.into());
    }

    fn send(
        &mut self,
        debt: Option<DebtId>,
        link: LinkId,
        class: FrameClass,
        head: Vec<u8>,
        attachments: Vec<Bytes>,
    ) {
        if !self.peers.contains_key(&link) {
            return;
        }
        let token = debt.map_or(0, |debt| self.credit.sent(debt, link, class));
        self.outputs.push(Output::Send {
            link,
            class,
            frame: Frame {
                head: head.into(),
                attachments,
            },
            token,
        });
    }
}

fn receipt_head(domain: &Bytes, session: u64, start: u64, counter: u64) -> routing::Receipt {
    routing::Receipt {
        domain: domain.clone(),
        session,
        start,
        counter,
    }
}

fn refused(
    cause: Cause,
    what: &str,
    domain: Bytes,
    refusal: Option<cbr::Refusal>,
) -> routing::Refused {
    routing::Refused {
        cause: cause.into(),
        what: what.into(),
        domain,
        refusal,
    }
}

fn payload_starts(sizes: &[u32]) -> Vec<usize> {
    let sum = |start: &mut usize, size: &u32| {
        let this = *start;
        *start += *size as usize;
        Some(this)
    };
    sizes.iter().scan(0, sum).collect()
}
