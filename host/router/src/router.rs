//! The router's core: frames and replies come in, calls and frames go out.

mod publishers;
mod replies;
mod subscribers;

use std::collections::{HashMap, HashSet, VecDeque};

use bytes::Bytes;
use prost::Message;
use sc_proto::cbr::{self, call};
use sc_proto::routing::{self, refused::Cause};
use sc_transport::{Frame, FrameClass, LinkEvent, LinkId, PeerKey, Role, SendError};

use crate::backlog::Backlog;
use crate::calls::{CallContext, Waiting};
use crate::credit::{Credit, DebtId, Due};
use crate::domains::{DomainId, Domains};

/// Calls under way at once; further ones wait here, bounded by the credit of those who made them.
pub const CALLS_MAX: usize = 256;

/// Why a peer is disconnected, in words for its people.
const BEHIND: &str = "this peer does not keep up";
const TOO_LARGE: &str = "a message for this peer is larger than it takes: start it with a greater --max-message, or its publisher with a smaller --batch";

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
    /// Peers disconnected because they did not keep up, or do not take messages as large as theirs.
    pub disconnected: u64,
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
    /// Consumers that the publisher of a domain chose to drop rather than to wait for.
    impatient: HashSet<(DomainId, PeerKey)>,
    /// Links whose end was asked for and has not come yet.
    closing: HashSet<LinkId>,
    domains: Domains,
    credit: Credit,
    backlog: Backlog,
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
        let is_publisher = |peer: &&Peer| matches!(peer, Peer::Publisher(_));
        let publishers = self.peers.values().filter(is_publisher).count();
        (publishers, self.peers.len() - publishers)
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
            LinkEvent::Writable { link, class } => {
                let waiting = self.backlog.take(link, class);
                let sends = waiting.map(|(frame, token)| Output::Send {
                    link,
                    class,
                    frame,
                    token,
                });
                // In front of whatever has come of the events just before this one: that is younger.
                drop(self.outputs.splice(0..0, sends));
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
                // A link that takes another's place is attached to what that one was: nothing is lost between the two.
                let replaced = self.subscribers.insert(peer, link);
                let attached = match replaced.and_then(|old| self.peers.get(&old)) {
                    Some(Peer::Subscriber { attached, .. }) => attached.clone(),
                    _ => Vec::new(),
                };
                attached
                    .iter()
                    .for_each(|id| self.domains.attach(*id, link));
                let key = peer;
                self.peers.insert(link, Peer::Subscriber { key, attached });
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
        self.backlog.forget(link);
        self.closing.remove(&link);
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

    /// Carries out an [`Output::Send`] by `send`, on a link that would send `available` bytes at once. A frame for which the link's queue
    /// has no room waits here; a consumer whose publisher chose not to wait for it is disconnected, and will see what it has missed.
    pub fn deliver(
        &mut self,
        link: LinkId,
        class: FrameClass,
        frame: Frame,
        token: u64,
        available: u64,
        send: impl FnOnce(Frame) -> Result<(), SendError>,
    ) {
        let impatient = class == FrameClass::Data && self.is_impatient(link);
        let behind = impatient && available < frame.cost();
        if self.backlog.holds(link, class) {
            return self.hold(link, class, frame, token);
        }
        match send(frame.clone()) {
            Err(SendError::Full) if !impatient => self.hold(link, class, frame, token),
            Err(SendError::Full) => self.disconnect(link, BEHIND),
            Err(SendError::TooLarge { .. }) => self.disconnect(link, TOO_LARGE),
            Ok(()) if behind => self.disconnect(link, BEHIND),
            // A link that has closed meanwhile reports so itself.
            Ok(()) | Err(SendError::Closed) => {}
        }
    }

    fn hold(&mut self, link: LinkId, class: FrameClass, frame: Frame, token: u64) {
        if !self.backlog.push(link, class, (frame, token)) {
            self.disconnect(link, BEHIND);
        }
    }

    fn disconnect(&mut self, link: LinkId, reason: &'static str) {
        if self.closing.insert(link) {
            self.counters.disconnected += 1;
            self.outputs.push(Output::Close { link, reason });
        }
    }

    /// The link of the consumer that has proved `key`, if it wants to hear of this domain. An owner reaches nobody else: neither with
    /// frames nor with a choice that would cost the consumer of another domain its link.
    fn consumer(&self, domain: &[u8], key: &[u8]) -> Option<LinkId> {
        let link = *self.subscribers.get(&PeerKey(key.try_into().ok()?))?;
        match self.peers.get(&link) {
            Some(Peer::Subscriber { attached, .. })
                if attached.iter().any(|id| id[..] == *domain) =>
            {
                Some(link)
            }
            _ => None,
        }
    }

    /// Whether the consumer behind `link` is to be disconnected as soon as it falls behind.
    fn is_impatient(&self, link: LinkId) -> bool {
        match self.peers.get(&link) {
            Some(Peer::Subscriber { key, attached }) => attached
                .iter()
                .any(|domain| self.impatient.contains(&(*domain, *key))),
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
        let token = match debt {
            Some(debt) => self.credit.sent(debt, link, class),
            None => self.credit.sent_free(),
        };
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
