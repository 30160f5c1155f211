//! What lies between the parties of a run, and is cut now and then.
//!
//! Invariant: a cut is one way: what is sent that way is lost without a word, and what is sent the other way arrives.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard};

use bytes::Bytes;
use sc_enclave::Program;
use sc_proto::Message as _;
use sc_proto::coder::{self, call::Call};

use super::fault::Fault;
use super::surroundings::{Surroundings, note};
use super::trusted::Trusted;

/// Who talks in a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Party {
    Clients,
    /// The owner's agent, which brings the roots.
    Owner,
    Store(usize),
    Coder,
    Catalogue,
    Place(usize),
}

/// All links of a run; clones are the same.
#[derive(Clone)]
pub(crate) struct Links {
    cut: Arc<Mutex<BTreeSet<(Party, Party)>>>,
    surroundings: Surroundings,
}

impl Links {
    pub(crate) fn new(surroundings: &Surroundings) -> Self {
        Self {
            cut: Arc::default(),
            surroundings: surroundings.clone(),
        }
    }

    /// The link between two of them.
    pub(crate) fn between(&self, here: Party, there: Party) -> Link {
        Link {
            links: self.clone(),
            here,
            there,
        }
    }

    pub(crate) fn cut(&self, from: Party, to: Party) {
        note!(
            self.surroundings,
            "a link",
            "from {from:?} to {to:?} is cut"
        );
        self.lines().insert((from, to));
    }

    pub(crate) fn mend(&self, from: Party, to: Party) {
        self.lines().remove(&(from, to));
    }

    pub(crate) fn mend_all(&self) {
        self.lines().clear();
    }

    fn carries(&self, from: Party, to: Party) -> bool {
        let is_cut = self.lines().contains(&(from, to));
        if is_cut {
            self.surroundings.count(fault_of(from, to));
        }
        !is_cut
    }

    fn lines(&self) -> MutexGuard<'_, BTreeSet<(Party, Party)>> {
        self.cut.lock().expect("no holder of this lock panics")
    }
}

/// What it counts as that something between these two is lost.
fn fault_of(from: Party, to: Party) -> Fault {
    // A store is at one end of each link.
    let other = match from {
        Party::Store(_) => to,
        other => other,
    };
    match other {
        Party::Owner => Fault::OwnerCut,
        Party::Coder => Fault::CoderCut,
        Party::Catalogue => Fault::CatalogueCut,
        Party::Place(_) => Fault::LocationCut,
        Party::Clients | Party::Store(_) => Fault::ClientCut,
    }
}

/// The link between two parties, as one of them has it.
#[derive(Clone)]
pub(crate) struct Link {
    links: Links,
    here: Party,
    there: Party,
}

impl Link {
    /// Whether what is sent arrives.
    pub(crate) fn carries_there(&self) -> bool {
        self.links.carries(self.here, self.there)
    }

    /// Whether what is answered comes back.
    pub(crate) fn carries_back(&self) -> bool {
        self.links.carries(self.there, self.here)
    }
}

impl fmt::Debug for Link {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{:?}-{:?}", self.here, self.there)
    }
}

impl sc_metadata::Link for Link {
    fn carries_call(&self) -> bool {
        self.carries_there()
    }

    fn carries_answer(&self) -> bool {
        self.carries_back()
    }
}

/// The trusted program, as a store reaches it.
pub(crate) struct LinkedProgram {
    pub(crate) trusted: Arc<Trusted>,
    pub(crate) link: Link,
    /// A bug: what it makes for repairs is altered on its way.
    pub(crate) spoils_repairs: bool,
    /// A bug: it makes nothing for repairs.
    pub(crate) refuses_repairs: bool,
}

impl LinkedProgram {
    /// Whether a planted bug is about this request.
    fn is_repair(&self, request: &Bytes) -> bool {
        if !self.spoils_repairs && !self.refuses_repairs {
            return false;
        }
        let head = sc_coder::split(request.clone()).map(|(_, head)| head);
        let call = head.and_then(|head| coder::Call::decode(head).ok());
        match call.and_then(|it| it.call) {
            Some(Call::RepairSegment(repair)) => !repair.missing.is_empty(),
            Some(Call::CombinePackets(_)) => true,
            _ => false,
        }
    }
}

impl Program for LinkedProgram {
    fn handle(&self, request: Bytes, entropy: &mut dyn FnMut(&mut [u8])) -> Bytes {
        if !self.link.carries_there() {
            // What is no message is what a broken stream leaves.
            return Bytes::new();
        }
        let is_repair = self.is_repair(&request);
        if is_repair && self.refuses_repairs {
            return Bytes::new();
        }
        let reply = self.trusted.handle(request, entropy);
        match self.link.carries_back() {
            true if is_repair => spoiled(reply),
            true => reply,
            false => Bytes::new(),
        }
    }
}

/// A reply in whose bulk one bit is another.
fn spoiled(reply: Bytes) -> Bytes {
    let Some((bulk, head)) = sc_coder::split(reply) else {
        return Bytes::new();
    };
    let mut message = bulk.to_vec();
    if let Some(last) = message.last_mut() {
        *last ^= 1;
    }
    sc_coder::join(&mut message, &head);
    message.into()
}
