//! The domains that publishers have opened here, as far as a host may know them.

use std::collections::{BTreeMap, BTreeSet};

use sc_transport::LinkId;

use crate::calls::Waiting;
use crate::order::Order;

/// A domain's name: 32 bytes that only its owner's key makes.
pub(crate) type DomainId = [u8; 32];

/// A domain with an open session.
pub(crate) struct Domain {
    pub(crate) session: u64,
    /// The owner's link.
    pub(crate) link: LinkId,
    pub(crate) order: Order<Waiting>,
}

#[derive(Default)]
pub(crate) struct Domains {
    open: BTreeMap<DomainId, Domain>,
    /// Who wants to hear of a domain.
    attached: BTreeMap<DomainId, BTreeSet<LinkId>>,
}

impl Domains {
    /// Opens a session; returns the one that it replaces.
    pub(crate) fn open(&mut self, id: DomainId, domain: Domain) -> Option<Domain> {
        self.open.insert(id, domain)
    }

    /// Takes out what waits for its turn in the sessions that `link` opened: the messages before it will never come.
    pub(crate) fn abandon(&mut self, link: LinkId) -> Vec<Waiting> {
        let of_link = self.open.values_mut().filter(|domain| domain.link == link);
        of_link
            .flat_map(|domain| std::mem::take(&mut domain.order).into_waiting())
            .collect()
    }

    pub(crate) fn get(&self, id: &[u8]) -> Option<&Domain> {
        self.open.get(id)
    }

    /// The domain, if it is `link` that opened its present session.
    pub(crate) fn of_link(&mut self, id: &[u8], link: LinkId) -> Option<&mut Domain> {
        self.open.get_mut(id).filter(|domain| domain.link == link)
    }

    pub(crate) fn attach(&mut self, id: DomainId, link: LinkId) {
        self.attached.entry(id).or_default().insert(link);
    }

    pub(crate) fn attached(&self, id: &DomainId) -> impl Iterator<Item = LinkId> + '_ {
        self.attached.get(id).into_iter().flatten().copied()
    }

    /// A subscriber's link is gone.
    pub(crate) fn detach(&mut self, id: &DomainId, link: LinkId) {
        if let Some(links) = self.attached.get_mut(id) {
            links.remove(&link);
            if links.is_empty() {
                self.attached.remove(id);
            }
        }
    }
}
