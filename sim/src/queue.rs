//! What will happen, in the order of virtual time.
//!
//! Invariant: things happen by (time, number of entry), so that a run has one order; none happens before now.

use std::collections::BTreeMap;
use std::time::Duration;

use sc_transport::Datagram;

use crate::party::Party;

/// Something that will happen.
#[derive(Debug)]
pub(crate) enum Happening {
    /// A datagram reaches `to`.
    Arrival {
        from: Party,
        to: Party,
        /// Its number among those sent from `from` to `to`.
        number: u64,
        datagram: Datagram,
    },
    /// A party has something due.
    Wake(Party),
    /// The trusted program answers its oldest call, if it lives still: this is its life.
    Reply(usize),
    /// The router's disk has something to say, in this life of the router.
    Spill(usize),
    /// The trusted program is started again, in this life of the router.
    Program(usize),
    /// A trial begins: its number in the scenario.
    Trial(usize),
    /// A party that died is started again.
    Start(Party),
    /// A hostile host is taken over by an honest operator.
    Honest,
    /// A source's application publishes.
    Publish(usize),
    /// A link falls silent: its number among the scenario's cuts.
    Cut(usize),
    /// And is heard again.
    Mend(usize),
}

#[derive(Debug, Default)]
pub(crate) struct Queue {
    entries: BTreeMap<(Duration, u64), Happening>,
    last: u64,
    /// When each party is to be woken next: of several wakes the earliest counts.
    wakes: BTreeMap<Party, Duration>,
}

impl Queue {
    pub(crate) fn at(&mut self, time: Duration, happening: Happening) {
        self.last += 1;
        self.entries.insert((time, self.last), happening);
    }

    /// Wakes `party` at `time` unless it is woken earlier anyway.
    pub(crate) fn wake(&mut self, party: Party, time: Duration) {
        if self.wakes.get(&party).is_none_or(|earlier| *earlier > time) {
            self.wakes.insert(party, time);
            self.at(time, Happening::Wake(party));
        }
    }

    /// The next thing to happen, and when; wakes that an earlier one has replaced are passed over.
    pub(crate) fn pop(&mut self) -> Option<(Duration, Happening)> {
        while let Some(((time, _), happening)) = self.entries.pop_first() {
            if let Happening::Wake(party) = happening {
                if self.wakes.get(&party) != Some(&time) {
                    continue;
                }
                self.wakes.remove(&party);
            }
            return Some((time, happening));
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn milliseconds(number: u64) -> Duration {
        Duration::from_millis(number)
    }

    fn popped(queue: &mut Queue) -> Vec<(u64, String)> {
        std::iter::from_fn(|| queue.pop())
            .map(|(time, happening)| (time.as_millis() as u64, format!("{happening:?}")))
            .collect()
    }

    #[test]
    fn things_happen_by_time_and_at_one_time_in_the_order_of_entry() {
        let mut queue = Queue::default();
        queue.at(milliseconds(2), Happening::Publish(1));
        queue.at(milliseconds(1), Happening::Publish(2));
        queue.at(milliseconds(2), Happening::Publish(0));

        let order: Vec<_> = popped(&mut queue);

        let expected = [(1, "Publish(2)"), (2, "Publish(1)"), (2, "Publish(0)")];
        assert_eq!(order, expected.map(|(time, what)| (time, what.to_owned())));
    }

    #[test]
    fn a_party_is_woken_once_at_the_earliest_time_asked_for() {
        let mut queue = Queue::default();
        for time in [5, 3, 4] {
            queue.wake(Party::Router, milliseconds(time));
        }

        assert_eq!(popped(&mut queue), [(3, "Wake(Router)".to_owned())]);

        queue.wake(Party::Router, milliseconds(6));
        assert_eq!(popped(&mut queue), [(6, "Wake(Router)".to_owned())]);
    }
}
