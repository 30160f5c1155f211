//! Frames that go out: to links that take them, that have no room, or that never would.

use prost::Message;
use sc_proto::routing::{self, refused::Cause, to_publisher, to_subscriber};
use sc_transport::{Frame, FrameClass, LinkId, PeerKey, SendError};

use super::{Peer, Router};
use crate::mailbox::Place;
use crate::outputs::Output;
use crate::spill::MailboxId;

/// Why a peer is disconnected, in words for its people.
pub(super) const BEHIND: &str = "this peer does not keep up";
const TOO_LARGE: &str = "a message for this peer is larger than it takes: start it with a greater --max-message, or its publisher with a smaller --batch";

impl Router {
    /// Carries out an [`Output::Send`] by `send`. A notice for which the link's queue has no room waits in its mailbox; one that the
    /// consumer would never take is given up, the link closed with words, and the consumer suspended.
    pub fn deliver(
        &mut self,
        link: LinkId,
        class: FrameClass,
        frame: Frame,
        token: u64,
        send: impl FnOnce(Frame) -> Result<(), SendError>,
    ) {
        let head = frame.head.clone();
        if class == FrameClass::Data && self.stalled.contains(&link) {
            return self.stall(link, &head);
        }
        match (send(frame), class) {
            // A link that has closed meanwhile reports so itself.
            (Ok(()) | Err(SendError::Closed), _) => {}
            (Err(SendError::Full), FrameClass::Data) => {
                self.stalled.insert(link);
                self.stall(link, &head);
            }
            (Err(SendError::Full), FrameClass::Control) => {
                self.on_refused(link, &head, token, BEHIND);
            }
            (Err(SendError::TooLarge { .. }), FrameClass::Control) => {
                self.on_refused(link, &head, token, TOO_LARGE);
            }
            (Err(SendError::TooLarge { .. }), FrameClass::Data) => {
                if let Some((id, place)) = self.mailbox_of(link, &head) {
                    self.with_mailbox(id, |mailbox, out| mailbox.give_up(place, out));
                }
                self.disconnect(link, TOO_LARGE);
            }
        }
    }

    fn stall(&mut self, link: LinkId, head: &[u8]) {
        if let Some((id, place)) = self.mailbox_of(link, head) {
            self.with_mailbox(id, |mailbox, out| mailbox.stall(place, out));
        }
    }

    /// Whose notice a frame is. Only looked at when it could not be sent.
    fn mailbox_of(&self, link: LinkId, head: &[u8]) -> Option<(MailboxId, Place)> {
        let frame = routing::ToSubscriber::decode(head).ok()?.frame?;
        let (to_subscriber::Frame::Notice(notice), Some(Peer::Subscriber { key, .. })) =
            (frame, self.peers.get(&link))
        else {
            return None;
        };
        let id = MailboxId {
            domain: notice.domain[..].try_into().ok()?,
            consumer: key.0,
        };
        Some((id, (notice.session, notice.counter)))
    }

    /// A control frame was not taken. A request is refused to whoever asked: strangers can make these. Everything else comes of what the
    /// peer itself has done without taking what came of it, or was never meant for a peer that takes so little.
    fn on_refused(&mut self, link: LinkId, head: &[u8], token: u64, reason: &'static str) {
        let frame = routing::ToPublisher::decode(head)
            .ok()
            .and_then(|head| head.frame);
        match (frame, self.peers.get_mut(&link)) {
            (Some(to_publisher::Frame::Ask(ask)), Some(Peer::Publisher { asks, .. })) => {
                asks.unsent(token);
                let paid = self.credit.unsent(link, token);
                self.pay(paid);
                let asker = <[u8; 32]>::try_from(&ask.consumer[..]).map(PeerKey);
                let of_role = if ask.publisher {
                    &self.publishers
                } else {
                    &self.subscribers
                };
                let to = asker.ok().and_then(|key| of_role.get(&key).copied());
                if let Some(to) = to {
                    let what = if reason == BEHIND {
                        super::subscribers::BUSY
                    } else {
                        super::subscribers::TOO_LARGE
                    };
                    self.refuse(to, Cause::Limit, what, ask.domain);
                }
                if reason == TOO_LARGE {
                    // The link has room: the next may go.
                    self.send_asks(link);
                }
            }
            _ => self.disconnect(link, reason),
        }
    }

    pub(super) fn disconnect(&mut self, link: LinkId, reason: &'static str) {
        if self.closing.insert(link) {
            self.counters.disconnected += 1;
            self.outputs.push(Output::Close { link, reason });
        }
    }

    /// Frames have arrived. Of notices this says nothing: their consumers say by themselves what they have taken.
    pub(super) fn on_arrived(&mut self, link: LinkId, class: FrameClass, token: u64) {
        if class == FrameClass::Data {
            return;
        }
        let mut paid = Vec::new();
        self.credit.arrived(link, token, &mut paid);
        self.pay(paid);
        if let Some(Peer::Publisher { asks, .. }) = self.peers.get_mut(&link) {
            asks.arrived(token);
            self.send_asks(link);
        }
    }

    pub(super) fn on_writable(&mut self, link: LinkId, class: FrameClass) {
        if class == FrameClass::Control || !self.stalled.remove(&link) {
            return;
        }
        let Some(Peer::Subscriber { key, attached }) = self.peers.get(&link) else {
            return;
        };
        let consumer = key.0;
        let domains: Vec<_> = attached.iter().map(|it| it.domain).collect();
        for domain in domains {
            let id = MailboxId { domain, consumer };
            self.with_mailbox(id, |mailbox, out| mailbox.unstall(out));
        }
    }
}
