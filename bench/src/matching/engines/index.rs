//! The index of this project, as the trusted program uses it.

use sc_matching::{Kernel, Matches, Names, Subscription, SubscriptionId};

use crate::matching::engine::{Engine, Pass, Publications};
use crate::matching::language::Unsupported;

/// Secret and random in the trusted program; here any number will do.
const SEED: u64 = 0x5ec0_4e1c;

pub(crate) struct Index {
    index: sc_matching::Index,
    kernel: Kernel,
}

impl Index {
    pub(crate) fn new(kernel: Kernel) -> Self {
        Self {
            index: sc_matching::Index::with_kernel(SEED, kernel),
            kernel,
        }
    }
}

impl Engine for Index {
    fn insert(&mut self, id: u32, subscription: &Subscription) -> Result<(), Unsupported> {
        self.index.insert(SubscriptionId(id), subscription);
        Ok(())
    }

    fn remove(&mut self, id: u32) -> Result<bool, Unsupported> {
        Ok(self.index.remove(SubscriptionId(id)))
    }

    fn pass<'e>(
        &'e self,
        publications: &'e Publications<'e>,
    ) -> Result<Box<dyn Pass + 'e>, Unsupported> {
        Ok(Box::new(Matching {
            publications,
            index: &self.index,
            kernel: self.kernel,
            names: self.index.names(&publications.block),
            matched: Matches::new(),
        }))
    }
}

struct Matching<'e> {
    publications: &'e Publications<'e>,
    index: &'e sc_matching::Index,
    kernel: Kernel,
    names: Names<'e>,
    matched: Matches<'e>,
}

impl Matching<'_> {
    fn find(&mut self, at: usize) {
        let header = &self.publications.headers[at];
        self.index.matches(&self.names, header, &mut self.matched);
    }
}

impl Pass for Matching<'_> {
    fn ids(&mut self, at: usize, ids: &mut Vec<u32>) {
        self.find(at);
        self.matched.copy_ids(self.kernel, ids);
    }

    fn count(&mut self, at: usize) -> Option<usize> {
        self.find(at);
        Some(self.matched.count())
    }
}
