//! The acceptor's side: handshakes with whoever says hello, and all links of one ROUTER socket.
//!
//! Invariant: a link exists only after its peer has signed the transcript that holds this side's fresh nonce.

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::time::Duration;

use bytes::Bytes;
use sc_proto::link::CloseCode;

use crate::event::{CloseReason, LinkId, Role, Route};
use crate::identity::{Entropy, LinkSigner, PeerKey};
use crate::settings::LinkSettings;
use crate::side::Side;
use crate::table::{Agreed, Table};
use crate::transcript::{NONCE_LEN, Offer, Tag, Transcript};
use crate::wire::{Datagram, Packet};

/// Most handshakes that wait for their proof; the oldest gives way, and its initiator says hello again.
pub const PENDING_MAX: usize = 4096;
/// Most answers per second to peers that name an unknown link: one that gets none asks again.
pub const DISOWNED_PER_SECOND: u32 = 4096;

/// What is said to whoever has not proved what its hello says.
const UNPROVED: &str = "the proof is not of the hello's key, or of another connection";

/// A hello that was answered and waits for its proof.
struct Pending {
    serial: u64,
    initiator: Offer,
    transcript: Transcript,
    reply: Datagram,
    /// Its initiator was told that its proof is wrong.
    is_told: bool,
}

/// The links of an acceptor.
pub struct Links {
    role: Role,
    settings: LinkSettings,
    signer: Box<dyn LinkSigner>,
    entropy: Entropy,
    table: Table,
    pending: HashMap<Bytes, Pending>,
    /// Routing ids of `pending`, oldest first.
    oldest: BTreeMap<u64, Bytes>,
    serial: u64,
    answers: Answers,
    shut: bool,
}

impl fmt::Debug for Links {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("Links")
            .field("links", &self.table.len())
            .field("pending", &self.pending.len())
            .finish()
    }
}

impl Links {
    /// An acceptor without links, in the role of a router.
    pub fn new(
        settings: LinkSettings,
        signer: impl LinkSigner + 'static,
        entropy: Entropy,
    ) -> Self {
        Self {
            role: Role::Router,
            settings,
            signer: Box::new(signer),
            entropy,
            table: Table::default(),
            pending: HashMap::new(),
            oldest: BTreeMap::new(),
            serial: 0,
            answers: Answers::default(),
            shut: false,
        }
    }

    /// The same acceptor in another role.
    ///
    /// # Panics
    /// If `role` accepts no links.
    #[must_use]
    pub fn in_role(mut self, role: Role) -> Self {
        assert!(role.accepts(), "a {role} accepts no links");
        self.role = role;
        self
    }

    /// How many links are established.
    #[must_use]
    pub fn len(&self) -> usize {
        self.table.len()
    }

    /// Whether no link is established.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.table.len() == 0
    }

    fn on_hello(&mut self, route: &Route, hello: Offer) {
        if let Some(pending) = self
            .pending
            .get(&route.id)
            .filter(|pending| pending.initiator == hello)
        {
            self.table.answer(route.id.clone(), pending.reply.clone());
            return;
        }
        if !hello.role.opens_to(self.role) {
            let why = format!("a {} accepts no links of a {}", self.role, hello.role);
            self.refuse(route, &hello.nonce, CloseCode::Refused, &why);
            return;
        }
        if let Some(why) = fault(&hello, route) {
            self.table.counts.unproved += 1;
            self.refuse(route, &hello.nonce, CloseCode::Refused, why);
            return;
        }
        let ours = self.offer();
        let transcript = Transcript::new(&hello, &ours);
        let signature = self.signer.sign(&transcript.acceptor_message());
        let reply = Datagram::hello_reply(&ours, &hello.nonce, &signature);
        self.table.answer(route.id.clone(), reply.clone());
        self.serial += 1;
        self.forget(&route.id);
        self.oldest.insert(self.serial, route.id.clone());
        self.pending.insert(
            route.id.clone(),
            Pending {
                serial: self.serial,
                initiator: hello,
                transcript,
                reply,
                is_told: false,
            },
        );
        if self.pending.len() > PENDING_MAX {
            let (_, oldest) = self
                .oldest
                .pop_first()
                .expect("every pending handshake has a serial number");
            self.pending.remove(&oldest);
        }
    }

    fn offer(&mut self) -> Offer {
        let mut nonce = [0; NONCE_LEN];
        (self.entropy)(&mut nonce);
        Offer {
            role: self.role,
            key: PeerKey(self.signer.public_key()),
            nonce,
            curve_key: self.settings.curve_key,
            terms: self.settings.terms,
        }
    }

    fn on_proof(&mut self, now: Duration, route: &Route, tag: Tag, signature: &[u8]) {
        if let Some(link) = self.table.find(tag, route) {
            self.table.tell_now(link);
            return;
        }
        let Some(pending) = self
            .pending
            .get(&route.id)
            .filter(|pending| pending.transcript.tag() == tag)
        else {
            self.disown(now, route, tag);
            return;
        };
        let Offer {
            key,
            role,
            terms,
            curve_key,
            ..
        } = pending.initiator;
        if !key.verifies(&pending.transcript.initiator_message(), signature)
            || curve_key != route.curve_key
        {
            self.table.counts.unproved += 1;
            self.refuse_proof(now, route, tag);
            return;
        }
        self.forget(&route.id);
        if !self.settings.admission.admits(&key) {
            self.end(
                route,
                tag,
                CloseCode::Refused,
                "this key is not admitted here",
            );
        } else if self.table.len() >= self.settings.links_max && !self.table.has_peer(key, role) {
            self.end(route, tag, CloseCode::Full, "no more links are taken here");
        } else {
            let agreed = Agreed {
                tag,
                route: route.clone(),
                peer: key,
                role,
                theirs: terms,
            };
            let link = self.table.establish(now, agreed, &self.settings);
            self.table.tell_now(link);
        }
    }

    /// A proof does not fit its handshake, which waits for the right one nevertheless. Answered once.
    fn refuse_proof(&mut self, now: Duration, route: &Route, tag: Tag) {
        let pending = self.pending.get_mut(&route.id);
        let is_told = pending.is_none_or(|it| core::mem::replace(&mut it.is_told, true));
        if is_told {
            return;
        }
        if self.answers.may(now) {
            self.end(route, tag, CloseCode::Refused, UNPROVED);
        } else {
            self.table.counts.unanswered += 1;
        }
    }

    fn forget(&mut self, route: &Bytes) {
        if let Some(pending) = self.pending.remove(route) {
            self.oldest.remove(&pending.serial);
        }
    }

    /// A packet of a link: known, about to be proved, or unknown.
    fn find(&mut self, now: Duration, route: &Route, tag: Tag) -> Option<LinkId> {
        let found = self.table.find(tag, route);
        let expected = || {
            self.pending
                .get(&route.id)
                .is_some_and(|pending| pending.transcript.tag() == tag)
        };
        if found.is_none() && !expected() {
            self.disown(now, route, tag);
        }
        found
    }

    /// Answers whoever names a link that is not known here.
    fn disown(&mut self, now: Duration, route: &Route, tag: Tag) {
        self.table.counts.unknown += 1;
        if !self.answers.may(now) {
            self.table.counts.unanswered += 1;
        } else if self.table.was_replaced(tag) {
            self.end(
                route,
                tag,
                CloseCode::Replaced,
                "replaced by a newer connection",
            );
        } else {
            self.table.answer(route.id.clone(), Datagram::reset(tag));
        }
    }

    fn refuse(&mut self, route: &Route, hello_nonce: &[u8], code: CloseCode, reason: &str) {
        self.table.answer(
            route.id.clone(),
            Datagram::refuse(hello_nonce, code, reason),
        );
    }

    fn end(&mut self, route: &Route, tag: Tag, code: CloseCode, reason: &str) {
        self.table.answer(
            route.id.clone(),
            Datagram::close(tag, code, reason.to_owned()),
        );
    }
}

impl Side for Links {
    fn table(&self) -> &Table {
        &self.table
    }

    fn table_mut(&mut self) -> &mut Table {
        &mut self.table
    }

    fn on_datagram(&mut self, now: Duration, route: &Route, datagram: Datagram) {
        let Ok(packet) = Packet::parse(datagram) else {
            self.table.counts.malformed += 1;
            return;
        };
        match packet {
            Packet::Hello(_) | Packet::HelloProof { .. } if self.shut => {}
            Packet::Hello(hello) => self.on_hello(route, hello),
            Packet::Unacceptable { hello_nonce, why } => {
                self.refuse(route, &hello_nonce, CloseCode::Refused, why)
            }
            Packet::HelloProof { tag, signature } => self.on_proof(now, route, tag, &signature),
            Packet::Carry {
                tag,
                sequence,
                class,
                ack,
                frame,
            } => {
                if let Some(link) = self.find(now, route, tag) {
                    self.table.on_carry(now, link, sequence, class, ack, frame);
                }
            }
            Packet::Ack { tag, ack } => {
                if let Some(link) = self.find(now, route, tag) {
                    self.table.on_ack(now, link, &ack);
                }
            }
            Packet::Reset { tag } => {
                if let Some(link) = self.table.find(tag, route) {
                    self.table.close(link, CloseReason::Forgotten);
                }
            }
            Packet::Close {
                tag, code, reason, ..
            } => {
                if let Some(link) = tag.and_then(|tag| self.table.find(tag, route)) {
                    self.table.close(link, CloseReason::ByPeer { code, reason });
                }
            }
            Packet::HelloReply { .. } => self.table.counts.unproved += 1,
        }
    }

    fn close(&mut self, _now: Duration, link: LinkId, reason: &str) {
        self.table
            .close(link, CloseReason::Asked(reason.to_owned()));
    }

    fn shut_down(&mut self, _now: Duration, reason: &str) {
        self.shut = true;
        self.table.close_all(reason);
    }

    fn next_timeout(&self) -> Option<Duration> {
        self.table.next_timeout()
    }

    fn on_timeout(&mut self, now: Duration) {
        self.table.on_timeout(now);
    }

    fn on_connected(&mut self, _now: Duration) {}

    fn on_disconnected(&mut self, _now: Duration) {}
}

/// What keeps this hello from being answered by a handshake.
fn fault(hello: &Offer, route: &Route) -> Option<&'static str> {
    if hello.curve_key != route.curve_key {
        Some("the hello names another CURVE key than the connection")
    } else if hello.key.is_of_small_order() {
        Some("anybody can sign under the key of the hello")
    } else {
        None
    }
}

/// How often a stranger was answered this second.
#[derive(Debug, Default)]
struct Answers {
    second: u64,
    count: u32,
}

impl Answers {
    fn may(&mut self, now: Duration) -> bool {
        if self.second != now.as_secs() {
            *self = Self {
                second: now.as_secs(),
                count: 0,
            };
        }
        self.count += 1;
        self.count <= DISOWNED_PER_SECOND
    }
}
