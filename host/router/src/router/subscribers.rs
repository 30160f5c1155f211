//! Frames of subscribers: which domains they want to hear of, and what they ask of owners.

use std::time::Duration;

use bytes::Bytes;
use prost::Message;
use sc_proto::routing::{self, from_subscriber, refused::Cause, to_publisher, to_subscriber};
use sc_transport::{Frame, LinkId, PeerKey};

use super::{Attached, Peer, Router};
use crate::credit::DebtId;
use crate::domains::DomainId;
use crate::spill::MailboxId;

/// Bytes of one request: what the router adds to it must never make it too large for the owner's link.
const ASK_BYTES_MAX: usize = 512 << 10;
/// Domains that one link may attach to.
pub(super) const ATTACHED_MAX: usize = 64;
/// What is said to those whose request the owner does not take for its size.
pub(super) const TOO_LARGE: &str =
    "this request is larger than the domain's owner takes: make it smaller";
/// What is said to those whose request finds no place.
pub(super) const BUSY: &str =
    "the domain's owner has not taken the requests before this one: ask again later";

impl Router {
    /// A subscriber has proved its key. A link that takes another's place is attached to what that one was: nothing is lost between the two.
    pub(super) fn on_subscriber(&mut self, now: Duration, link: LinkId, key: PeerKey) {
        let replaced = self.subscribers.insert(key, link);
        let domains: Vec<_> = match replaced.and_then(|old| self.peers.get(&old)) {
            Some(Peer::Subscriber { attached, .. }) => {
                attached.iter().map(|attached| attached.domain).collect()
            }
            _ => Vec::new(),
        };
        let attach = |domain: &DomainId| Attached {
            domain: *domain,
            named: Vec::new(),
        };
        let attached = domains.iter().map(attach).collect();
        self.peers.insert(link, Peer::Subscriber { key, attached });
        for domain in domains {
            self.domains.attach(domain, link);
            self.attach_mailbox(now, link, domain, key);
        }
    }

    fn attach_mailbox(&mut self, now: Duration, link: LinkId, domain: DomainId, key: PeerKey) {
        let consumer = key.0;
        let id = MailboxId { domain, consumer };
        self.with_mailbox(id, |mailbox, out| mailbox.attach(now, link, &[], out));
    }

    pub(super) fn on_subscriber_closed(
        &mut self,
        now: Duration,
        link: LinkId,
        key: PeerKey,
        attached: &[Attached],
    ) {
        for Attached { domain, .. } in attached {
            self.domains.detach(domain, link);
            let id = MailboxId {
                domain: *domain,
                consumer: key.0,
            };
            self.with_mailbox(id, |mailbox, out| {
                if mailbox.link() == Some(link) {
                    mailbox.lose(now, out);
                }
            });
        }
    }

    pub(super) fn on_subscriber_frame(
        &mut self,
        now: Duration,
        link: LinkId,
        key: PeerKey,
        debt: DebtId,
        frame: Frame,
    ) {
        let Some(message) = routing::FromSubscriber::decode(frame.head)
            .ok()
            .and_then(|message| message.frame)
        else {
            let what = "the frame does not decode";
            return self.refuse(link, Cause::Malformed, what, Bytes::new());
        };
        let sealed = frame.attachments.into_iter().next().unwrap_or_default();
        match message {
            from_subscriber::Frame::Attach(attach) => {
                self.on_attach(now, link, key, &attach.domain);
            }
            from_subscriber::Frame::Ack(ack) => self.on_ack(link, key, &ack),
            from_subscriber::Frame::Ask(ask) => {
                let ask = routing::Ask {
                    consumer: Bytes::copy_from_slice(&key.0),
                    publisher: false,
                    ..ask
                };
                self.on_ask(link, debt, ask, sealed);
            }
        }
    }

    fn on_attach(&mut self, now: Duration, link: LinkId, key: PeerKey, domain: &[u8]) {
        let Ok(id) = DomainId::try_from(domain) else {
            let what = "a domain has 32 bytes";
            return self.refuse(link, Cause::Malformed, what, Bytes::new());
        };
        let Some(Peer::Subscriber { attached, .. }) = self.peers.get_mut(&link) else {
            return;
        };
        if attached.iter().all(|attached| attached.domain != id) {
            if attached.len() == ATTACHED_MAX {
                let what = "this link is attached to as many domains as it may";
                return self.refuse(link, Cause::Limit, what, Bytes::new());
            }
            let named = Vec::new();
            attached.push(Attached { domain: id, named });
            self.domains.attach(id, link);
            // The newest link of a key speaks for it.
            if self.subscribers.get(&key) == Some(&link) {
                self.attach_mailbox(now, link, id, key);
            }
        }
        self.tell_state(link, &id);
    }

    /// Passes a request, of a subscriber or of a publisher, on to the owner of its domain.
    pub(super) fn on_ask(&mut self, link: LinkId, debt: DebtId, ask: routing::Ask, sealed: Bytes) {
        if sealed.len() > ASK_BYTES_MAX {
            let what = "a request may have 512 KiB: make it smaller";
            return self.refuse(link, Cause::Limit, what, ask.domain);
        }
        let owner = self.domains.get(&ask.domain).map(|domain| domain.link);
        let owner = owner.and_then(|owner| self.peers.get_mut(&owner).map(|peer| (owner, peer)));
        let Some((owner, Peer::Publisher { asks, .. })) = owner else {
            let what = "nobody has opened this domain here";
            return self.refuse(link, Cause::UnknownDomain, what, ask.domain);
        };
        let domain = ask.domain.clone();
        let frame = Some(to_publisher::Frame::Ask(ask));
        let head = routing::ToPublisher { frame }.encode_to_vec();
        if !asks.push(debt, Frame::new(head).with(sealed)) {
            return self.refuse(link, Cause::Limit, BUSY, domain);
        }
        self.credit.extend(debt);
        self.send_asks(owner);
    }

    /// Sends an owner the requests that it may have now.
    pub(super) fn send_asks(&mut self, owner: LinkId) {
        loop {
            let Some(Peer::Publisher { asks, .. }) = self.peers.get_mut(&owner) else {
                return;
            };
            let Some((debt, frame)) = asks.pop() else {
                return;
            };
            let token = self.credit.sent(debt, owner);
            asks.sent(token, frame.cost());
            self.counters.asks += 1;
            self.send_with(owner, frame, token);
            self.settle(debt);
        }
    }

    /// Tells all who want to hear of it whether a domain is open here.
    pub(super) fn tell_states(&mut self, id: &DomainId) {
        let attached: Vec<_> = self.domains.attached(id).collect();
        attached
            .into_iter()
            .for_each(|peer| self.tell_state(peer, id));
    }

    /// Tells a peer whether a domain is open here.
    pub(super) fn tell_state(&mut self, link: LinkId, id: &DomainId) {
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
        match self.peers.get(&link) {
            Some(Peer::Publisher { .. }) => {
                self.send_publisher(None, link, to_publisher::Frame::DomainState(state), []);
            }
            Some(Peer::Subscriber { .. }) => {
                self.send_subscriber(None, link, to_subscriber::Frame::DomainState(state), []);
            }
            None => {}
        }
    }
}
