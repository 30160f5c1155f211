//! Further publishers of a domain: they attach, ask the owner, and publish when the program has registered them.

use bytes::Bytes;
use sc_proto::cbr;
use sc_proto::routing::refused::Cause;
use sc_transport::{LinkId, PeerKey};

use super::subscribers::ATTACHED_MAX;
use super::{Peer, Router};
use crate::domains::{DomainId, Lane, REGISTERED_MAX};
use crate::order::Order;

impl Router {
    pub(super) fn on_publisher_attach(&mut self, link: LinkId, domain: &[u8]) {
        let Ok(id) = DomainId::try_from(domain) else {
            let what = "a domain has 32 bytes";
            return self.refuse(link, Cause::Malformed, what, Bytes::new());
        };
        let Some(Peer::Publisher { attached, .. }) = self.peers.get_mut(&link) else {
            return;
        };
        if !attached.contains(&id) {
            if attached.len() == ATTACHED_MAX {
                let what = "this link is attached to as many domains as it may";
                return self.refuse(link, Cause::Limit, what, Bytes::new());
            }
            attached.push(id);
            self.domains.attach(id, link);
        }
        self.tell_state(link, &id);
    }

    /// The program says who may publish in a domain besides its owner: their messages are taken from the link that has proved their key.
    pub(super) fn on_registered(
        &mut self,
        id: &DomainId,
        session: u64,
        registered: &cbr::Registered,
    ) {
        let Ok(key) = registered.publisher[..].try_into().map(PeerKey) else {
            return;
        };
        let link = self.publishers.get(&key).copied();
        let link = link.filter(|link| self.is_attached(*link, id));
        let start = registered.start;
        let Self {
            domains, settled, ..
        } = self;
        let Some(domain) = domains
            .get_mut(id)
            .filter(|domain| domain.session == session)
        else {
            return;
        };
        let old = domain.registered.remove(&key);
        if let Some(link) = link
            && start != 0
            && domain.registered.len() < REGISTERED_MAX
        {
            let stream = settled.open(link, Bytes::copy_from_slice(id), session, start);
            let lane = Lane {
                link,
                start,
                stream,
                order: Order::default(),
            };
            domain.registered.insert(key, lane);
        }
        self.end_lanes(old);
    }

    fn is_attached(&self, link: LinkId, id: &DomainId) -> bool {
        match self.peers.get(&link) {
            Some(Peer::Publisher { attached, .. }) => attached.contains(id),
            _ => false,
        }
    }

    /// A publisher's link is gone: its sessions as an owner wait for it, what it was registered for has ended.
    pub(super) fn on_publisher_closed(
        &mut self,
        link: LinkId,
        key: PeerKey,
        attached: &[DomainId],
    ) {
        let (abandoned, mut lanes) = self.domains.abandon(link);
        for id in attached {
            self.domains.detach(id, link);
            let Some(domain) = self.domains.get_mut(id) else {
                continue;
            };
            if domain
                .registered
                .get(&key)
                .is_some_and(|it| it.link == link)
            {
                lanes.extend(domain.registered.remove(&key));
            }
        }
        self.end_lanes(lanes);
        // The program keeps the sessions, but nobody gives out their keys any more.
        abandoned.iter().for_each(|id| self.tell_states(id));
    }
}
