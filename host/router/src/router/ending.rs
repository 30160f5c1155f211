//! The orderly end: nothing new is taken, and what was taken is given the time to be settled.

use prost::Message;
use sc_proto::routing::{self, from_subscriber};
use sc_transport::{Frame, LinkId};

use super::{Peer, Router};

impl Router {
    /// From now on the router takes no frames but the acks of consumers, and their frames' credit is not given back: whoever has sent them
    /// keeps what is not settled, and publishes it again.
    pub fn end(&mut self) {
        self.is_ending = true;
    }

    /// A frame that comes while the router ends.
    pub(super) fn on_late_frame(&mut self, link: LinkId, frame: Frame) {
        let Some(Peer::Subscriber { key, .. }) = self.peers.get(&link) else {
            return;
        };
        let key = *key;
        let message = routing::FromSubscriber::decode(frame.head).ok();
        if let Some(from_subscriber::Frame::Ack(ack)) = message.and_then(|message| message.frame) {
            self.on_ack(link, key, &ack);
        }
    }

    /// Whether nothing is to be waited for any more: no batch that was taken hangs on a call, on the store's word, or on the ack of a
    /// consumer to which its notices were sent. Those of consumers that are away are not waited for. Cost: O(mailboxes) while anything hangs.
    #[must_use]
    pub fn is_quiet(&mut self) -> bool {
        let is_called = !self.program_lost && self.calls.values().any(|call| call.origin.is_some());
        if is_called || !self.outputs.is_empty() {
            return false;
        }
        self.credit.is_empty() || !self.mailboxes.iter_mut().any(|(_, it)| it.is_settling())
    }
}
