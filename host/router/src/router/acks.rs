//! What consumers say they have taken.

use bytes::Bytes;
use sc_proto::routing::{self, refused::Cause};
use sc_transport::{LinkId, PeerKey};

use super::{Peer, Router};
use crate::domains::DomainId;
use crate::mailbox;
use crate::spill::MailboxId;

impl Router {
    pub(super) fn on_ack(&mut self, link: LinkId, key: PeerKey, ack: &routing::Ack) {
        let Some(named) = self.named(link, &ack.domain) else {
            let what = "this link has not attached to that domain";
            return self.refuse(link, Cause::UnknownDomain, what, Bytes::new());
        };
        mailbox::name(named, ack.session);
        self.counters.acks += 1;
        let Ok(domain) = DomainId::try_from(&ack.domain[..]) else {
            return;
        };
        let id = MailboxId {
            domain,
            consumer: key.0,
        };
        let mut is_ahead = false;
        self.with_mailbox(id, |mailbox, out| {
            // A link that was replaced speaks for nobody any more.
            if mailbox.link() == Some(link) {
                mailbox.name(ack.session);
                is_ahead = mailbox.acknowledge((ack.session, ack.counter), out);
            }
        });
        self.counters.acks_ahead += u64::from(is_ahead);
    }

    /// The sessions of a domain that a link has named, if it is attached to it.
    fn named(&mut self, link: LinkId, domain: &[u8]) -> Option<&mut Vec<u64>> {
        let Some(Peer::Subscriber { attached, .. }) = self.peers.get_mut(&link) else {
            return None;
        };
        let attached = attached.iter_mut().find(|it| it.domain[..] == *domain)?;
        Some(&mut attached.named)
    }
}
