//! The known answer: which publications each consumer must, may and must not receive, and for which of its subscriptions.
//!
//! A subscription that is asked for or withdrawn takes effect somewhere between the word and its confirmation; in between, a delivery
//! is right either way. Invariant: the answer comes from `Subscription::matches` and from what parties reported, never from what was
//! delivered.

use std::collections::BTreeMap;

use crate::workload::Workload;

/// What is right for one publication at one consumer: any set of subscriptions between the two, which are ascending.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Answer {
    pub(crate) must: Vec<u64>,
    pub(crate) may: Vec<u64>,
}

/// Where a subscription stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Standing {
    /// Nobody has asked for it yet.
    Unborn,
    /// It was asked for.
    Asked,
    /// The publisher has reported it indexed.
    Held,
    /// It was withdrawn.
    Leaving,
    /// The publisher has reported it gone.
    Gone,
}

#[derive(Debug)]
struct Interest {
    standings: BTreeMap<u64, Standing>,
    answers: Vec<Answer>,
}

pub(crate) struct Answers {
    workload: Workload,
    interests: Vec<Interest>,
}

impl Answers {
    pub(crate) fn new(workload: Workload) -> Self {
        let interests = workload.consumers.iter().map(|consumer| {
            let ids = consumer.subscriptions.iter().map(|(id, _)| *id);
            Interest {
                standings: ids.map(|id| (id, Standing::Unborn)).collect(),
                answers: Vec::new(),
            }
        });
        Self {
            interests: interests.collect(),
            workload,
        }
    }

    pub(crate) fn workload(&self) -> &Workload {
        &self.workload
    }

    /// What is right for publication `serial`, if it was published.
    pub(crate) fn answer(&self, consumer: usize, serial: usize) -> Option<&Answer> {
        self.interests[consumer].answers.get(serial)
    }

    /// The consumer begins to ask. Publications from `unreceipted` on may still be matched after that.
    pub(crate) fn on_join(&mut self, consumer: usize, unreceipted: usize) {
        self.change(consumer, Standing::Unborn, Standing::Asked);
        for serial in unreceipted..self.interests[consumer].answers.len() {
            let may = self.workload.matching(consumer, serial);
            self.interests[consumer].answers[serial].may = may;
        }
    }

    /// All that the consumer asked for is indexed.
    pub(crate) fn on_complete(&mut self, consumer: usize) {
        self.change(consumer, Standing::Asked, Standing::Held);
    }

    /// Whether all that the consumer asked for is indexed.
    pub(crate) fn is_complete(&self, consumer: usize) -> bool {
        let standings = self.interests[consumer].standings.values();
        standings
            .into_iter()
            .all(|standing| !matches!(standing, Standing::Unborn | Standing::Asked))
    }

    /// Whether the consumer has withdrawn everything: nobody sends it heartbeats any more.
    pub(crate) fn is_gone(&self, consumer: usize) -> bool {
        let mut standings = self.interests[consumer].standings.values();
        standings.all(|standing| matches!(standing, Standing::Leaving | Standing::Gone))
    }

    /// The consumer withdraws `ids`. Publications from `unreceipted` on may not have been matched yet.
    pub(crate) fn on_leave(&mut self, consumer: usize, ids: &[u64], unreceipted: usize) {
        let interest = &mut self.interests[consumer];
        for id in ids {
            interest.standings.insert(*id, Standing::Leaving);
        }
        for answer in interest.answers.iter_mut().skip(unreceipted) {
            answer.must.retain(|id| !ids.contains(id));
        }
    }

    /// The publisher has carried out a request of the consumer, which has `subscriptions` now.
    pub(crate) fn on_admitted(&mut self, consumer: usize, subscriptions: usize) {
        let standings = self.interests[consumer].standings.values();
        let staying =
            standings.filter(|standing| matches!(standing, Standing::Asked | Standing::Held));
        if subscriptions == staying.count() {
            self.change(consumer, Standing::Leaving, Standing::Gone);
        }
    }

    /// A publisher's application publishes `serial`.
    pub(crate) fn on_publish(&mut self, publisher: usize, serial: usize) {
        for consumer in 0..self.interests.len() {
            if self.workload.consumers[consumer].publisher != publisher {
                continue;
            }
            let matching = self.workload.matching(consumer, serial);
            let interest = &mut self.interests[consumer];
            let standing = |id: &u64| interest.standings[id];
            let may = |id: &u64| {
                matches!(
                    standing(id),
                    Standing::Asked | Standing::Held | Standing::Leaving
                )
            };
            let answer = Answer {
                must: matching
                    .iter()
                    .copied()
                    .filter(|id| standing(id) == Standing::Held)
                    .collect(),
                may: matching.into_iter().filter(may).collect(),
            };
            interest.answers.push(answer);
        }
    }

    fn change(&mut self, consumer: usize, from: Standing, to: Standing) {
        let standings = self.interests[consumer].standings.values_mut();
        standings
            .filter(|standing| **standing == from)
            .for_each(|standing| *standing = to);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scenario::Scenario;

    /// One consumer, and the first publications that it must receive once it holds all its subscriptions.
    fn answers() -> (Answers, Vec<usize>) {
        let scenario = Scenario {
            consumers: 1,
            publications: 100,
            ..Scenario::calm()
        };
        let answers = Answers::new(Workload::draw(2, &scenario));
        let matching = (0..100).filter(|serial| !answers.workload.matching(0, *serial).is_empty());
        let matching: Vec<_> = matching.collect();
        assert!(matching.len() > 10);
        (answers, matching)
    }

    fn publish(answers: &mut Answers, serials: std::ops::Range<usize>) {
        serials.for_each(|serial| answers.on_publish(0, serial));
    }

    #[test]
    fn before_anybody_asked_nothing_may_come_and_after_the_confirmation_everything_must() {
        let (mut answers, matching) = answers();
        let middle = matching[5];

        publish(&mut answers, 0..middle);
        answers.on_join(0, middle);
        answers.on_complete(0);
        publish(&mut answers, middle..100);

        assert_eq!(answers.answer(0, matching[0]), Some(&Answer::default()));
        let expected = answers.workload.matching(0, middle);
        let answer = answers.answer(0, middle).unwrap();
        assert_eq!((&answer.must, &answer.may), (&expected, &expected));
    }

    #[test]
    fn what_has_no_receipt_when_somebody_joins_may_come() {
        let (mut answers, matching) = answers();
        publish(&mut answers, 0..100);

        answers.on_join(0, matching[3]);

        assert_eq!(answers.answer(0, matching[2]).unwrap().may, []);
        let answer = answers.answer(0, matching[3]).unwrap();
        assert_eq!(answer.may, answers.workload.matching(0, matching[3]));
        assert_eq!(answer.must, []);
    }

    #[test]
    fn what_was_withdrawn_may_come_until_that_is_confirmed() {
        let (mut answers, matching) = answers();
        let ids: Vec<u64> = answers.interests[0].standings.keys().copied().collect();
        answers.on_join(0, 0);
        answers.on_complete(0);
        publish(&mut answers, 0..matching[2]);

        answers.on_leave(0, &ids, matching[1]);
        publish(&mut answers, matching[2]..matching[3]);
        answers.on_admitted(0, ids.len());
        publish(&mut answers, matching[3]..matching[4]);
        answers.on_admitted(0, 0);
        publish(&mut answers, matching[4]..100);

        let of = |place: usize| answers.answer(0, matching[place]).unwrap();
        assert!(!of(0).must.is_empty());
        for place in [1, 2, 3] {
            assert!(of(place).must.is_empty() && !of(place).may.is_empty());
        }
        assert_eq!(of(4), &Answer::default());
    }
}
