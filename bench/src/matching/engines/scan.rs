//! A plain scan: each subscription in turn, up to its first constraint that fails.
//!
//! Invariant: what the others are checked against, so nothing in it is clever: constraints are intervals of integers on
//! numbered attributes, equalities first, in columns.

use sc_matching::Subscription;

use super::rows::Rows;
use crate::matching::engine::{Engine, Pass, Publications};
use crate::matching::language::{Demand, Language, Slots, Unsupported};

#[derive(Default)]
pub(crate) struct Scan {
    language: Language,
    rows: Rows,
    demands: Vec<Demand>,
}

impl Engine for Scan {
    fn insert(&mut self, id: u32, subscription: &Subscription) -> Result<(), Unsupported> {
        self.language.demands(subscription, &mut self.demands)?;
        self.rows.insert(id, &self.demands);
        Ok(())
    }

    fn remove(&mut self, id: u32) -> Result<bool, Unsupported> {
        Ok(self.rows.remove(id).is_some())
    }

    fn pass<'e>(
        &'e self,
        publications: &'e Publications<'e>,
    ) -> Result<Box<dyn Pass + 'e>, Unsupported> {
        Ok(Box::new(Scanning {
            publications,
            slots: Slots::new(&self.language, &publications.block),
            rows: &self.rows,
        }))
    }
}

struct Scanning<'e> {
    publications: &'e Publications<'e>,
    slots: Slots<'e>,
    rows: &'e Rows,
}

impl Pass for Scanning<'_> {
    fn ids(&mut self, at: usize, ids: &mut Vec<u32>) {
        ids.clear();
        let keys = self.slots.fill(&self.publications.headers[at]);
        for class in &self.rows.classes {
            class.scan(keys, ids);
        }
    }
}
