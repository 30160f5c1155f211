//! Who lives, who is stopped, whose disk is full.
//!
//! Invariant: a party that is dead or stopped carries out nothing.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::disk::Death;
use crate::party::Party;

/// How a life ends, and when the next begins.
#[derive(Debug, Clone, Copy)]
pub(crate) struct End {
    pub(crate) death: Death,
    pub(crate) down: Duration,
}

#[derive(Debug, Default)]
pub(crate) struct Lives {
    /// Parties about to die, with the outputs that they still carry out.
    doomed: BTreeMap<Party, (u32, End)>,
    /// Parties that have died and are not buried yet.
    dying: BTreeMap<Party, End>,
    dead: BTreeMap<Party, Duration>,
    stopped: BTreeMap<Party, Duration>,
    full: BTreeMap<Party, Duration>,
    /// How often each has been started.
    pub(crate) incarnations: BTreeMap<Party, usize>,
}

impl Lives {
    /// `party` will die after `outputs` more outputs.
    pub(crate) fn doom(&mut self, party: Party, outputs: u32, end: End) {
        self.doomed.insert(party, (outputs, end));
    }

    /// `party` dies now.
    pub(crate) fn kill(&mut self, party: Party, end: End) {
        self.doomed.remove(&party);
        self.dying.entry(party).or_insert(end);
    }

    /// Asked before each output: whether `party` dies in front of it, or is dead already.
    pub(crate) fn dies(&mut self, party: Party) -> bool {
        match self.doomed.get_mut(&party) {
            Some((0, end)) => {
                let end = *end;
                self.kill(party, end);
            }
            Some((outputs, _)) => *outputs -= 1,
            None => {}
        }
        !self.lives(party)
    }

    pub(crate) fn lives(&self, party: Party) -> bool {
        !self.dying.contains_key(&party) && !self.dead.contains_key(&party)
    }

    /// The next that has died, to be buried.
    pub(crate) fn next_dying(&mut self) -> Option<(Party, End)> {
        self.dying.pop_first()
    }

    pub(crate) fn bury(&mut self, party: Party, until: Duration) {
        self.dead.insert(party, until);
    }

    /// Whether `party` was dead and lives again: nobody starts it twice.
    pub(crate) fn revive(&mut self, party: Party) -> bool {
        let was_dead = self.dead.remove(&party).is_some();
        *self.incarnations.entry(party).or_default() += usize::from(was_dead);
        was_dead
    }

    pub(crate) fn incarnation(&self, party: Party) -> usize {
        self.incarnations.get(&party).copied().unwrap_or_default()
    }

    /// Whether anybody is dead or about to die.
    pub(crate) fn anybody_dead(&self) -> bool {
        !(self.dead.is_empty() && self.dying.is_empty() && self.doomed.is_empty())
    }

    /// Everybody that was to die later lives on.
    pub(crate) fn spare(&mut self) {
        self.doomed.clear();
    }

    pub(crate) fn stop(&mut self, party: Party, until: Duration) {
        let latest = self.stopped.entry(party).or_default();
        *latest = until.max(*latest);
    }

    /// Until when `party` is stopped, if it is.
    pub(crate) fn stopped(&self, party: Party, now: Duration) -> Option<Duration> {
        let until = *self.stopped.get(&party)?;
        (now < until).then_some(until)
    }

    pub(crate) fn fill(&mut self, party: Party, until: Duration) {
        self.full.insert(party, until);
    }

    pub(crate) fn is_full(&self, party: Party, now: Duration) -> bool {
        self.full.get(&party).is_some_and(|until| now < *until)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const WHO: Party = Party::Consumer(1);
    const END: End = End {
        death: Death::Killed,
        down: Duration::from_secs(1),
    };

    #[test]
    fn a_doomed_party_carries_out_what_it_was_given_and_nothing_more() {
        let mut lives = Lives::default();
        lives.doom(WHO, 2, END);

        let dies: Vec<_> = (0..4).map(|_| lives.dies(WHO)).collect();

        assert_eq!(dies, [false, false, true, true]);
        assert!(!lives.dies(Party::Router));
    }

    #[test]
    fn the_dead_are_revived_once() {
        let mut lives = Lives::default();
        lives.kill(WHO, END);
        let (party, _) = lives.next_dying().unwrap();
        lives.bury(party, Duration::from_secs(1));
        assert!(!lives.lives(WHO));

        assert!(lives.revive(WHO));
        assert!(lives.lives(WHO) && !lives.revive(WHO));
        assert_eq!(lives.incarnation(WHO), 1);
    }
}
