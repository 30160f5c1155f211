//! The router's core: frames and replies come in, calls and frames go out.

mod acks;
mod deliveries;
mod ending;
mod notices;
mod program;
mod publishers;
mod registered;
mod replies;
mod subscribers;

use std::collections::{HashMap, HashSet, VecDeque};
use std::time::Duration;

use bytes::Bytes;
use prost::Message;
use sc_proto::cbr::{self, call};
use sc_proto::routing::{self, refused::Cause, to_publisher, to_subscriber};
use sc_transport::{Frame, FrameClass, LinkEvent, LinkId, PeerKey, Role};

use crate::asks::Asks;
use crate::calls::{CallContext, Waiting};
use crate::counters::{Counters, Gauges};
use crate::credit::{Credit, DebtId, Due, Paid};
use crate::domains::{DomainId, Domains, Lane};
use crate::mailbox::Effect;
use crate::mailboxes::Mailboxes;
use crate::outputs::Output;
use crate::settled::Settled;

/// Calls under way at once; further ones wait here, bounded by the credit of those who made them and by the number of mailboxes.
pub const CALLS_MAX: usize = 256;

/// What an operator chooses.
#[derive(Debug, Clone, Default)]
pub struct RouterSettings {
    /// The domains that may be opened here; `None` for any.
    pub pinned: Option<Vec<[u8; 32]>>,
    /// Whether publishers may choose D4.2's unencrypted mode.
    pub plain: bool,
    /// What publishers are told of the trusted program's protection.
    pub tee: String,
    /// Whether there is a store for the notices of slow and absent consumers; without one they wait in memory, and their publishers with
    /// them.
    pub has_store: bool,
}

/// A domain of which a subscriber wants to hear.
#[derive(Clone)]
struct Attached {
    domain: DomainId,
    /// Sessions of which it has said on its link that it holds the keys.
    named: Vec<u64>,
}

enum Peer {
    Publisher {
        key: PeerKey,
        /// Domains of others, in which it may publish if their owners let it.
        attached: Vec<DomainId>,
        /// Requests on their way to it, as an owner.
        asks: Asks,
    },
    Subscriber {
        key: PeerKey,
        attached: Vec<Attached>,
    },
}

/// The core.
#[derive(Default)]
pub struct Router {
    settings: RouterSettings,
    peers: HashMap<LinkId, Peer>,
    subscribers: HashMap<PeerKey, LinkId>,
    publishers: HashMap<PeerKey, LinkId>,
    /// Links whose end was asked for and has not come yet.
    closing: HashSet<LinkId>,
    /// Links whose queue of data was full.
    stalled: HashSet<LinkId>,
    domains: Domains,
    mailboxes: Mailboxes,
    /// Of the last event.
    now: Duration,
    credit: Credit,
    settled: Settled,
    calls: HashMap<u64, CallContext>,
    last_call: u64,
    waiting_calls: VecDeque<(u64, Bytes)>,
    under_way: usize,
    /// The trusted program has ended; calls wait for the next one.
    program_lost: bool,
    /// Nothing new is taken.
    is_ending: bool,
    outputs: Vec<Output>,
    /// Memory for the effects of one mailbox, used again and again.
    effects: Vec<Effect>,
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

    /// What has happened since the start.
    #[must_use]
    pub fn counters(&self) -> Counters {
        self.counters
    }

    /// What is held now. What the store holds it has to be asked itself ([`crate::Spill::bytes`]).
    #[must_use]
    pub fn gauges(&self) -> Gauges {
        let (publishers, subscribers) = self.peers();
        Gauges {
            publishers: publishers as u64,
            subscribers: subscribers as u64,
            domains: self.domains.len() as u64,
            mailboxes: self.mailboxes.len() as u64,
            memory_bytes: self.mailboxes.memory(),
            store_bytes: 0,
            calls: self.calls.len() as u64,
        }
    }

    /// Links of publishers and of subscribers.
    #[must_use]
    pub fn peers(&self) -> (usize, usize) {
        let is_publisher = |peer: &&Peer| matches!(peer, Peer::Publisher { .. });
        let publishers = self.peers.values().filter(is_publisher).count();
        (publishers, self.peers.len() - publishers)
    }

    /// What is to be done, in order. Publishers are told here how far they are settled, once for all that has happened since the last time.
    pub fn take_outputs(&mut self) -> Vec<Output> {
        for (link, settled) in self.settled.take_news() {
            self.send_publisher(None, link, to_publisher::Frame::Settled(settled), []);
        }
        core::mem::take(&mut self.outputs)
    }

    /// When to call [`Router::on_timeout`], if nothing else happens.
    #[must_use]
    pub fn next_timeout(&self) -> Option<Duration> {
        self.mailboxes.next_timeout()
    }

    /// Takes an event of the link layer. `now` is the time since any fixed start and never goes back.
    pub fn on_event(&mut self, now: Duration, event: LinkEvent) {
        self.now = now;
        match event {
            LinkEvent::Established { link, peer, role } => {
                self.on_established(now, link, peer, role)
            }
            LinkEvent::Frame { link, frame, .. } if self.is_ending => {
                self.on_late_frame(link, frame);
            }
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
                self.on_frame(now, link, debt, frame);
                // Whatever needs the debt longer has added to it by now.
                self.settle(debt);
            }
            LinkEvent::Acked { link, class, token } => self.on_arrived(link, class, token),
            LinkEvent::Writable { link, class } => self.on_writable(link, class),
            LinkEvent::Closed { link, .. } => self.on_closed(now, link),
            _ => {}
        }
    }

    fn on_established(&mut self, now: Duration, link: LinkId, peer: PeerKey, role: Role) {
        match role {
            Role::Publisher => {
                self.publishers.insert(peer, link);
                let publisher = Peer::Publisher {
                    key: peer,
                    attached: Vec::new(),
                    asks: Asks::default(),
                };
                self.peers.insert(link, publisher);
            }
            Role::Subscriber => self.on_subscriber(now, link, peer),
            _ => {
                return self.outputs.push(Output::Close {
                    link,
                    reason: "a router serves publishers and subscribers alone",
                });
            }
        }
        self.counters.links += 1;
    }

    fn on_frame(&mut self, now: Duration, link: LinkId, debt: DebtId, frame: Frame) {
        match self.peers.get(&link) {
            Some(Peer::Publisher { key, .. }) => {
                let key = *key;
                self.on_publisher_frame(link, key, debt, frame);
            }
            Some(Peer::Subscriber { key, .. }) => {
                let key = *key;
                self.on_subscriber_frame(now, link, key, debt, frame);
            }
            None => {}
        }
    }

    fn on_closed(&mut self, now: Duration, link: LinkId) {
        let mut paid = Vec::new();
        self.credit.lost(link, &mut paid);
        self.pay(paid);
        self.closing.remove(&link);
        self.stalled.remove(&link);
        match self.peers.remove(&link) {
            Some(Peer::Publisher {
                key,
                attached,
                asks,
            }) => {
                // A newer link of the same peer may have taken its place already.
                if self.publishers.get(&key) == Some(&link) {
                    self.publishers.remove(&key);
                }
                asks.into_waiting().for_each(|debt| self.settle(debt));
                self.on_publisher_closed(link, key, &attached);
            }
            Some(Peer::Subscriber { key, attached }) => {
                if self.subscribers.get(&key) == Some(&link) {
                    self.subscribers.remove(&key);
                }
                self.on_subscriber_closed(now, link, key, &attached);
            }
            None => {}
        }
    }

    /// Calls the program for a frame, whose debt stays open until the reply is dealt with.
    fn call_for(
        &mut self,
        link: LinkId,
        debt: DebtId,
        what: crate::calls::Asked,
        call: call::Call,
    ) {
        self.credit.extend(debt);
        let origin = Some((link, debt));
        self.call(CallContext { origin, what }, call);
    }

    fn call(&mut self, context: CallContext, call: call::Call) {
        let request = cbr::Call { call: Some(call) }.encode_to_vec();
        self.call_encoded(context, request.into());
    }

    fn call_encoded(&mut self, context: CallContext, request: Bytes) {
        self.last_call += 1;
        self.calls.insert(self.last_call, context);
        self.waiting_calls.push_back((self.last_call, request));
        self.make_waiting_calls();
    }

    fn make_waiting_calls(&mut self) {
        while self.under_way < CALLS_MAX && !self.program_lost {
            let Some((token, request)) = self.waiting_calls.pop_front() else {
                return;
            };
            self.under_way += 1;
            self.counters.calls += 1;
            self.outputs.push(Output::Call { token, request });
        }
    }

    /// Nobody sends on these any more, and what waits for its turn will never be its publisher's next.
    fn end_lanes(&mut self, lanes: impl IntoIterator<Item = Lane>) {
        for lane in lanes {
            self.settled.close(lane.stream);
            let debts = lane.order.into_waiting().filter_map(debt_of);
            debts.for_each(|debt| self.settle(debt));
        }
    }

    /// One thing that hung on this debt has ended.
    fn settle(&mut self, debt: DebtId) {
        let paid = self.credit.settle(debt);
        self.pay(paid);
    }

    fn pay(&mut self, paid: impl IntoIterator<Item = Paid>) {
        for Paid { due, message } in paid {
            let Due { link, class, bytes } = due;
            if let Some(message) = message {
                self.settled.settle(message);
            }
            if bytes > 0 {
                self.outputs.push(Output::Release { link, class, bytes });
            }
        }
    }

    /// Sends a control frame to a peer that is there.
    fn send(&mut self, debt: Option<DebtId>, link: LinkId, head: Vec<u8>, attachments: Vec<Bytes>) {
        if !self.peers.contains_key(&link) {
            return;
        }
        let token = match debt {
            Some(debt) => self.credit.sent(debt, link),
            None => self.credit.sent_free(),
        };
        let head = head.into();
        self.send_with(link, Frame { head, attachments }, token);
    }

    fn send_with(&mut self, link: LinkId, frame: Frame, token: u64) {
        self.outputs.push(Output::Send {
            link,
            class: FrameClass::Control,
            frame,
            token,
        });
    }

    fn send_publisher<const N: usize>(
        &mut self,
        debt: Option<DebtId>,
        link: LinkId,
        frame: to_publisher::Frame,
        attachments: [Bytes; N],
    ) {
        let head = routing::ToPublisher { frame: Some(frame) }.encode_to_vec();
        self.send(debt, link, head, attachments.into());
    }

    fn send_subscriber<const N: usize>(
        &mut self,
        debt: Option<DebtId>,
        link: LinkId,
        frame: to_subscriber::Frame,
        attachments: [Bytes; N],
    ) {
        let head = routing::ToSubscriber { frame: Some(frame) }.encode_to_vec();
        self.send(debt, link, head, attachments.into());
    }

    /// Tells a peer that something of its was not carried.
    fn refuse(&mut self, link: LinkId, cause: Cause, what: &str, domain: Bytes) {
        self.refuse_with(link, cause, what, domain, None);
    }

    fn refuse_with(
        &mut self,
        link: LinkId,
        cause: Cause,
        what: &str,
        domain: Bytes,
        refusal: Option<cbr::Refusal>,
    ) {
        self.count_refusal(cause);
        let refused = routing::Refused {
            cause: cause.into(),
            what: what.into(),
            domain,
            refusal,
        };
        match self.peers.get(&link) {
            Some(Peer::Publisher { .. }) => {
                self.send_publisher(None, link, to_publisher::Frame::Refused(refused), []);
            }
            Some(Peer::Subscriber { .. }) => {
                self.send_subscriber(None, link, to_subscriber::Frame::Refused(refused), []);
            }
            None => {}
        }
    }

    fn count_refusal(&mut self, cause: Cause) {
        let counters = &mut self.counters;
        counters.refused += 1;
        match cause {
            Cause::Malformed => counters.refused_malformed += 1,
            Cause::UnknownDomain => counters.refused_unknown_domain += 1,
            Cause::Program => counters.refused_program += 1,
            Cause::Limit => counters.refused_limit += 1,
            Cause::Unreachable => counters.refused_unreachable += 1,
            _ => {}
        }
    }
}

fn debt_of(waiting: Waiting) -> Option<DebtId> {
    waiting.call.origin.map(|(_, debt)| debt)
}
