//! The domains that publishers have opened here, as far as a host may know them.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use sc_transport::{LinkId, PeerKey};

use crate::calls::Waiting;
use crate::order::Order;

/// A domain's name: 32 bytes that only its owner's key makes.
pub(crate) type DomainId = [u8; 32];

/// Publishers besides the owner that one domain may have; the program registers no more.
pub const REGISTERED_MAX: usize = 64;

/// The messages of one publisher, in the order of its counters.
pub(crate) struct Lane {
    /// The link that they come on.
    pub(crate) link: LinkId,
    pub(crate) start: u64,
    /// Where it is noted how far they are settled.
    pub(crate) stream: u64,
    pub(crate) order: Order<Waiting>,
}

/// A domain with an open session.
pub(crate) struct Domain {
    pub(crate) session: u64,
    /// The owner's link.
    pub(crate) link: LinkId,
    /// The owner's messages, from the first on.
    pub(crate) lane: Option<Lane>,
    /// Those of further publishers, which the program has registered in this session.
    pub(crate) registered: BTreeMap<PeerKey, Lane>,
}

impl Domain {
    pub(crate) fn new(session: u64, link: LinkId) -> Self {
        Self {
            session,
            link,
            lane: None,
            registered: BTreeMap::new(),
        }
    }

    /// What remains of it when nobody can send in it any more.
    pub(crate) fn into_lanes(self) -> impl Iterator<Item = Lane> {
        self.lane.into_iter().chain(self.registered.into_values())
    }
}

#[derive(Default)]
pub(crate) struct Domains {
    open: HashMap<DomainId, Domain>,
    /// Who wants to hear of a domain.
    attached: HashMap<DomainId, BTreeSet<LinkId>>,
}

impl Domains {
    pub(crate) fn len(&self) -> usize {
        self.open.len()
    }

    /// Opens a session; returns the one that it replaces.
    pub(crate) fn open(&mut self, id: DomainId, domain: Domain) -> Option<Domain> {
        self.open.insert(id, domain)
    }

    /// Takes out what waits for its turn in the sessions that `link` opened: the messages before it will never come. Returns the names of
    /// these domains, in order, too.
    pub(crate) fn abandon(&mut self, link: LinkId) -> (BTreeSet<DomainId>, Vec<Lane>) {
        let mut ids = BTreeSet::new();
        let mut lanes = Vec::new();
        for (id, domain) in &mut self.open {
            if domain.link == link {
                ids.insert(*id);
                lanes.extend(domain.lane.take());
            }
        }
        (ids, lanes)
    }

    /// All domains, in the order of their names, none of which is open any more.
    pub(crate) fn close_all(&mut self) -> BTreeMap<DomainId, Domain> {
        core::mem::take(&mut self.open).into_iter().collect()
    }

    pub(crate) fn get(&self, id: &[u8]) -> Option<&Domain> {
        self.open.get(id)
    }

    pub(crate) fn get_mut(&mut self, id: &[u8]) -> Option<&mut Domain> {
        self.open.get_mut(id)
    }

    /// The domain, if it is `link` that opened its present session.
    pub(crate) fn of_link(&self, id: &[u8], link: LinkId) -> Option<&Domain> {
        self.open.get(id).filter(|domain| domain.link == link)
    }

    pub(crate) fn attach(&mut self, id: DomainId, link: LinkId) {
        self.attached.entry(id).or_default().insert(link);
    }

    pub(crate) fn attached(&self, id: &DomainId) -> impl Iterator<Item = LinkId> + '_ {
        self.attached.get(id).into_iter().flatten().copied()
    }

    /// A peer's link is gone.
    pub(crate) fn detach(&mut self, id: &DomainId, link: LinkId) {
        if let Some(links) = self.attached.get_mut(id) {
            links.remove(&link);
            if links.is_empty() {
                self.attached.remove(id);
            }
        }
    }
}
