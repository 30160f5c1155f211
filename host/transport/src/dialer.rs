//! The initiator's side: one link, opened and opened again.
//!
//! Invariant: at most one link lives at a time, and only with an acceptor that has signed the transcript that holds
//! this side's fresh nonce.

use std::fmt;
use std::time::Duration;

use bytes::Bytes;

use crate::event::{CloseCode, CloseReason, LinkEvent, LinkId, Role, Route};
use crate::identity::{Entropy, LinkSigner, PeerKey};
use crate::settings::LinkSettings;
use crate::side::Side;
use crate::table::{Agreed, Table};
use crate::transcript::{NONCE_LEN, Offer, Tag, Transcript};
use crate::wire::{Datagram, Packet, UNUSABLE};

/// A hello or proof without an answer is sent again after this long, then after twice as long, and so on.
const RETRY_AFTER: Duration = Duration::from_millis(250);
/// How often that wait doubles at most.
const RETRY_DOUBLINGS_MAX: u32 = 4;
/// A link that did not end because the acceptor forgot it is opened again after this long.
const REDIAL_AFTER: Duration = Duration::from_secs(1);
/// An acceptor that refused, or is not the expected one, is asked again after this long.
const AFTER_REFUSAL: Duration = Duration::from_secs(4);
/// A link whose connection is gone waits this long for another; the carrier tries again within two seconds.
pub const RECONNECT_GRACE: Duration = Duration::from_secs(5);

#[derive(Debug)]
enum State {
    /// A hello is to be sent, or waits for its reply.
    Calling {
        hello: Offer,
        due: Duration,
        doublings: u32,
    },
    /// The reply was right. Until the acceptor has sent something on the link, its proof is sent again.
    Linked {
        link: LinkId,
        proof: Option<Datagram>,
        due: Duration,
        doublings: u32,
    },
    /// Nothing is to be opened any more.
    Finished,
}

/// The one link of an initiator.
pub struct Dialer {
    settings: LinkSettings,
    role: Role,
    signer: Box<dyn LinkSigner>,
    entropy: Entropy,
    table: Table,
    state: State,
    /// When to give the link up, because the carrier has no connection.
    give_up: Option<Duration>,
}

impl fmt::Debug for Dialer {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("Dialer")
            .field("role", &self.role)
            .field("link", &self.link())
            .finish()
    }
}

impl Dialer {
    /// An initiator that says hello at `now`. `settings.admission` may pin the acceptor's key.
    ///
    /// # Panics
    /// If `role` opens no links.
    pub fn new(
        now: Duration,
        role: Role,
        settings: LinkSettings,
        signer: impl LinkSigner + 'static,
        entropy: Entropy,
    ) -> Self {
        assert!(role.initiates(), "a {role} opens no links");
        let table = Table::default();
        let mut dialer = Self {
            settings,
            role,
            signer: Box::new(signer),
            entropy,
            table,
            state: State::Finished,
            give_up: None,
        };
        dialer.call(now, 0);
        dialer
    }

    /// The link, if it is established.
    #[must_use]
    pub fn link(&self) -> Option<LinkId> {
        match self.state {
            State::Linked { link, .. } => Some(link),
            _ => None,
        }
    }

    /// Whether no further link will be opened: this side was shut down, or another has proved its key since.
    #[must_use]
    pub fn is_finished(&self) -> bool {
        matches!(self.state, State::Finished)
    }

    /// Begins a handshake with a fresh nonce; the hello goes out when `due` has come.
    fn call(&mut self, due: Duration, doublings: u32) {
        let mut nonce = [0; NONCE_LEN];
        (self.entropy)(&mut nonce);
        let hello = Offer {
            role: self.role,
            key: PeerKey(self.signer.public_key()),
            nonce,
            curve_key: self.settings.curve_key,
            terms: self.settings.terms,
        };
        self.state = State::Calling {
            hello,
            due,
            doublings,
        };
    }

    fn on_reply(
        &mut self,
        now: Duration,
        route: &Route,
        theirs: &Offer,
        nonce: &[u8],
        signature: &[u8],
    ) {
        let hello = match &self.state {
            State::Calling { hello, .. } => hello,
            State::Linked {
                proof: Some(proof), ..
            } => {
                self.table.answer(route.id.clone(), proof.clone());
                return;
            }
            _ => return,
        };
        let transcript = Transcript::new(hello, theirs);
        let proved = hello.nonce == nonce
            && theirs.curve_key == route.curve_key
            && theirs
                .key
                .verifies(&transcript.acceptor_message(), signature);
        if !proved {
            self.table.counts.unproved += 1;
            return;
        }
        let unfit = if !self.role.opens_to(theirs.role) {
            Some(format!(
                "a {} opens no links to a {}",
                self.role, theirs.role
            ))
        } else if !self.settings.admission.admits(&theirs.key) {
            Some(format!(
                "the acceptor's key {} is not the expected one",
                theirs.key
            ))
        } else if !theirs.terms.are_usable() {
            Some(format!("the acceptor's terms: {UNUSABLE}"))
        } else {
            None
        };
        if let Some(reason) = unfit {
            self.table.report(LinkEvent::Refused { reason });
            self.call(now + AFTER_REFUSAL, 0);
            return;
        }
        let (tag, proof) = (
            transcript.tag(),
            self.signer.sign(&transcript.initiator_message()),
        );
        let proof = Datagram::hello_proof(tag, &proof);
        self.table.answer(route.id.clone(), proof.clone());
        let agreed = Agreed {
            tag,
            route: route.clone(),
            peer: theirs.key,
            role: theirs.role,
            theirs: theirs.terms,
        };
        let link = self.table.establish(now, agreed, &self.settings);
        // The reply may have come before word of the connection that brought it.
        self.give_up = self.give_up.map(|_| now + RECONNECT_GRACE);
        self.state = State::Linked {
            link,
            proof: Some(proof),
            due: now + RETRY_AFTER,
            doublings: 0,
        };
    }

    /// The link of `tag`; whoever names it has taken the proof.
    fn find(&mut self, route: &Route, tag: Tag) -> Option<LinkId> {
        let found = self.table.find(tag, route);
        if let (Some(_), State::Linked { proof, .. }) = (found, &mut self.state) {
            *proof = None;
        } else if found.is_none() {
            self.table.counts.unknown += 1;
            self.table.answer(route.id.clone(), Datagram::reset(tag));
        }
        found
    }

    fn on_refusal(&mut self, now: Duration, nonce: &[u8], reason: String) {
        if let State::Calling { hello, .. } = &self.state
            && hello.nonce == nonce
        {
            self.table.report(LinkEvent::Refused { reason });
            self.call(now + AFTER_REFUSAL, 0);
        }
    }

    /// Closes the link and decides whether and when to open the next.
    fn end(&mut self, now: Duration, link: LinkId, reason: CloseReason) {
        self.table.close(link, reason);
        self.follow(now);
    }

    /// Opens the next link if the table has closed the present one.
    fn follow(&mut self, now: Duration) {
        let State::Linked { link, .. } = self.state else {
            return;
        };
        if self.table.contains(link) {
            return;
        }
        match self.table.last_close() {
            Some(CloseReason::ByPeer {
                code: CloseCode::Replaced,
                ..
            }) => self.state = State::Finished,
            Some(CloseReason::Forgotten) => self.call(now, 0),
            Some(CloseReason::ByPeer {
                code: CloseCode::Refused | CloseCode::Full,
                ..
            }) => self.call(now + AFTER_REFUSAL, 0),
            _ => self.call(now + REDIAL_AFTER, 0),
        }
    }
}

impl Side for Dialer {
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
            Packet::HelloReply {
                offer,
                hello_nonce,
                signature,
            } => {
                self.on_reply(now, route, &offer, &hello_nonce, &signature);
            }
            Packet::Carry {
                tag,
                sequence,
                class,
                ack,
                frame,
            } => {
                if let Some(link) = self.find(route, tag) {
                    self.table.on_carry(now, link, sequence, class, ack, frame);
                }
            }
            Packet::Ack { tag, ack } => {
                if let Some(link) = self.find(route, tag) {
                    self.table.on_ack(now, link, &ack);
                }
            }
            Packet::Reset { tag } => {
                if let Some(link) = self.table.find(tag, route) {
                    self.table.close(link, CloseReason::Forgotten);
                }
            }
            Packet::Close {
                tag: Some(tag),
                code,
                reason,
                ..
            } => {
                if let Some(link) = self.table.find(tag, route) {
                    self.table.close(link, CloseReason::ByPeer { code, reason });
                }
            }
            Packet::Close {
                hello_nonce: Some(nonce),
                reason,
                ..
            } => self.on_refusal(now, &nonce, reason),
            Packet::Close { .. } => self.table.counts.malformed += 1,
            Packet::Hello(_) | Packet::HelloProof { .. } | Packet::Unacceptable { .. } => {
                self.table.counts.unproved += 1;
            }
        }
        self.follow(now);
    }

    fn close(&mut self, now: Duration, link: LinkId, reason: &str) {
        self.end(now, link, CloseReason::Asked(reason.to_owned()));
    }

    fn shut_down(&mut self, _now: Duration, reason: &str) {
        self.table.close_all(reason);
        self.state = State::Finished;
    }

    fn next_timeout(&self) -> Option<Duration> {
        let own = match &self.state {
            State::Calling { due, .. } => Some(*due),
            State::Linked {
                proof: Some(_),
                due,
                ..
            } => Some(*due),
            _ => None,
        };
        let given_up = self.link().and(self.give_up);
        [own, given_up, self.table.next_timeout()]
            .into_iter()
            .flatten()
            .min()
    }

    fn on_timeout(&mut self, now: Duration) {
        match &mut self.state {
            State::Calling {
                hello,
                due,
                doublings,
            } if *due <= now => {
                self.table.answer(Bytes::new(), Datagram::hello(hello));
                back_off(now, due, doublings);
            }
            State::Linked {
                proof: Some(proof),
                due,
                doublings,
                ..
            } if *due <= now => {
                self.table.answer(Bytes::new(), proof.clone());
                back_off(now, due, doublings);
            }
            _ => {}
        }
        self.table.on_timeout(now);
        if let Some(link) = self.link()
            && self.give_up.is_some_and(|due| due <= now)
        {
            self.table
                .close(link, CloseReason::Disconnected(RECONNECT_GRACE));
        }
        self.follow(now);
    }

    fn on_connected(&mut self, now: Duration) {
        self.give_up = None;
        match &mut self.state {
            State::Calling { due, doublings, .. } => (*due, *doublings) = (now, 0),
            State::Linked { link, .. } => self.table.ask(now, *link),
            State::Finished => {}
        }
    }

    fn on_disconnected(&mut self, now: Duration) {
        self.give_up.get_or_insert(now + RECONNECT_GRACE);
    }
}

fn back_off(now: Duration, due: &mut Duration, doublings: &mut u32) {
    *due = now + RETRY_AFTER * 2u32.pow(*doublings);
    *doublings = (*doublings + 1).min(RETRY_DOUBLINGS_MAX);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::identity::LinkKey;

    #[test]
    fn an_acceptor_in_a_role_to_which_this_one_opens_no_links_gets_none() {
        let (now, entropy) = (Duration::ZERO, Box::new(|_: &mut [u8]| {}));
        let (ours, theirs) = (LinkKey::from_seed(&[2; 32]), LinkKey::from_seed(&[1; 32]));
        let settings = LinkSettings::default();
        let mut dialer = Dialer::new(now, Role::Client, settings, ours, entropy);
        let State::Calling { hello, .. } = &dialer.state else {
            panic!("it calls");
        };
        let offer = Offer {
            role: Role::Backend,
            key: PeerKey(theirs.public_key()),
            ..hello.clone()
        };
        let signature = theirs.sign(&Transcript::new(hello, &offer).acceptor_message());

        let reply = Datagram::hello_reply(&offer, &hello.nonce, &signature);
        dialer.on_datagram(now, &Route::plain(""), reply);

        let reason = "a client opens no links to a backend".to_owned();
        assert_eq!(dialer.poll_event(), Some(LinkEvent::Refused { reason }));
    }
}
