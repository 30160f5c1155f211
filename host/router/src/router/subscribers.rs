//! Frames of subscribers: which domains they want to hear of, and what they ask of owners.

use bytes::Bytes;
use prost::Message;
use sc_proto::routing::{self, from_subscriber, refused::Cause, to_publisher, to_subscriber};
use sc_transport::{Frame, FrameClass, LinkId, PeerKey};

use super::{Peer, Router, refused};
use crate::credit::DebtId;
use crate::domains::DomainId;

/// Bytes of one request: what the router adds to it must never make it too large for the owner's link.
const ASK_BYTES_MAX: usize = 512 << 10;
/// Domains that one subscriber's link may attach to.
const ATTACHED_MAX: usize = 64;

impl Router {
    pub(super) fn on_subscriber_frame(
        &mut self,
        link: LinkId,
        key: PeerKey,
        debt: DebtId,
        frame: Frame,
    ) {
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
            from_subscriber::Frame::Ack(_) => {}
            from_subscriber::Frame::Ask(ask) if sealed.len() > ASK_BYTES_MAX => {
                let what = "a request may have 512 KiB: make it smaller";
                self.refuse_subscriber(link, Cause::Limit, what, ask.domain);
            }
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

    pub(super) fn on_attach(&mut self, link: LinkId, domain: &[u8]) {
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
        self.send_subscriber(
            None,
            link,
            FrameClass::Control,
            to_subscriber::Frame::DomainState(state),
            [],
        );
    }

    pub(super) fn refuse_subscriber(
        &mut self,
        link: LinkId,
        cause: Cause,
        what: &str,
        domain: Bytes,
    ) {
        self.counters.refused += 1;
        let frame = to_subscriber::Frame::Refused(refused(cause, what, domain, None));
        self.send_subscriber(None, link, FrameClass::Control, frame, []);
    }

    pub(super) fn send_subscriber<const N: usize>(
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
}
