//! The other matcher of this project, whose accesses to memory do not depend on what matches: a full pass for each eight
//! publications.
//!
//! Invariant: every answer is padded to `slots`, a power of two. Where one has no room for all that match, there are more slots
//! from then on, those eight are matched again within the clock, and a note says so.

use std::cell::Cell;

use sc_matching::{
    Header, Kernel, ObliviousError, ObliviousMatches, ObliviousNames, Shape, Subscription,
    SubscriptionId,
};

use crate::matching::engine::{Engine, Pass, Publications};
use crate::matching::language::Unsupported;
use crate::report::note;

/// Secret and random in the trusted program; here any number will do.
const SEED: u64 = 0x5ec0_4e1c;
/// Ids that an answer has room for at first.
const SLOTS: usize = 64;
/// Publications that are matched together: as many as one pass of the matcher takes.
const TOGETHER: usize = 8;

pub(crate) struct Oblivious {
    matcher: sc_matching::Oblivious,
    slots: Cell<usize>,
}

impl Oblivious {
    pub(crate) fn new(kernel: Kernel) -> Self {
        Self {
            matcher: sc_matching::Oblivious::with_kernel(Shape::default(), SEED, kernel),
            slots: Cell::new(SLOTS),
        }
    }
}

impl Engine for Oblivious {
    fn insert(&mut self, id: u32, subscription: &Subscription) -> Result<(), Unsupported> {
        let inserted = self.matcher.insert(SubscriptionId(id), subscription);
        inserted.map_err(|error: ObliviousError| Unsupported(error.to_string()))
    }

    fn remove(&mut self, id: u32) -> Result<bool, Unsupported> {
        Ok(self.matcher.remove(SubscriptionId(id)))
    }

    fn pass<'e>(
        &'e self,
        publications: &'e Publications<'e>,
    ) -> Result<Box<dyn Pass + 'e>, Unsupported> {
        Ok(Box::new(Matching {
            publications,
            engine: self,
            names: self.matcher.names(&publications.block),
            coming: Vec::new(),
            next: 0,
            matched: ObliviousMatches::new(),
            begin: 0,
            together: Vec::new(),
        }))
    }
}

struct Matching<'e> {
    publications: &'e Publications<'e>,
    engine: &'e Oblivious,
    names: ObliviousNames<'e>,
    /// The publications that are asked for, one after another and then again.
    coming: Vec<usize>,
    /// Which of them is next.
    next: usize,
    /// The answers to those of `coming` from `begin` on whose headers are in `together`.
    matched: ObliviousMatches,
    begin: usize,
    together: Vec<Header<'e>>,
}

impl Matching<'_> {
    /// Matches those that are asked for from `self.next` on, as many as go together.
    fn match_next(&mut self) {
        self.begin = self.next;
        self.together.clear();
        let coming = self.coming[self.next..].iter().take(TOGETHER);
        let headers = coming.map(|at| self.publications.headers[*at].clone());
        self.together.extend(headers);
        loop {
            let slots = self.engine.slots.get();
            let matcher = &self.engine.matcher;
            matcher.matches(&self.names, &self.together, slots, &mut self.matched);
            let most = self.matched.answers().map(|padded| padded.count).max();
            let most = most.unwrap_or(0);
            if most <= slots {
                return;
            }
            let slots = most.next_power_of_two();
            note(&format!("  oblivious: answers are padded to {slots} ids"));
            self.engine.slots.set(slots);
        }
    }
}

impl Pass for Matching<'_> {
    fn announce(&mut self, places: &[usize]) {
        self.coming = places.to_vec();
        self.next = 0;
        self.together.clear();
    }

    fn ids(&mut self, at: usize, ids: &mut Vec<u32>) {
        if self.coming.get(self.next) != Some(&at) {
            self.announce(&[at]);
        }
        if !(self.begin..self.begin + self.together.len()).contains(&self.next) {
            self.match_next();
        }
        let answer = self.matched.answers().nth(self.next - self.begin);
        let answer = answer.expect("an answer for each that was matched together");
        ids.clear();
        ids.extend(answer.ids().map(|id| id.0));
        self.next = (self.next + 1) % self.coming.len();
        if self.next == 0 {
            // What is asked for again is matched again.
            self.together.clear();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::matching::workload::WorkloadName;
    use crate::matching::workload::tests::generated;

    #[test]
    fn what_is_announced_is_matched_together_and_more_matches_than_slots_take_more_slots() {
        let workload = generated(WorkloadName::Fan10);
        let mut engine = Oblivious::new(Kernel::PORTABLE);
        for id in 0..2000 {
            engine.insert(id, &workload.subscription(id)).unwrap();
        }
        let list = &workload.publications[..30];
        let bytes = Publications::encode(list).unwrap();
        let publications = Publications::decode(list, &bytes).unwrap();
        let defined = |at: usize| {
            let ids = (0..2000).filter(|id| workload.subscription(*id).matches(&list[at]));
            ids.collect::<Vec<u32>>()
        };
        let places = [3, 1, 4, 15, 9, 2, 6, 5, 8, 7, 29];
        let mut pass = engine.pass(&publications).unwrap();
        let mut ids = Vec::new();

        pass.announce(&places);
        // The last two were not announced.
        for at in [&places[..], &places, &[20, 3]].concat() {
            pass.ids(at, &mut ids);
            ids.sort_unstable();
            assert_eq!(ids, defined(at), "{at}");
        }

        assert!(engine.slots.get() > SLOTS);
        assert!(engine.slots.get().is_power_of_two());
    }
}
