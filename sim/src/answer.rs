//! The known answer: which publications each consumer must receive, and for which of its subscriptions it must not.
//!
//! A subscription that is asked for or withdrawn takes effect somewhere between the word and its confirmation; in between, a delivery
//! is right either way. Invariant: the answer comes from `Subscription::matches` and from what parties reported, never from what was
//! delivered.

use std::collections::{BTreeMap, BTreeSet};

use crate::oracle::Article;
use crate::workload::Workload;

/// Where a subscription stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Standing {
    /// Nobody has asked for it yet.
    Unborn,
    /// It was asked for.
    Asked,
    /// The owner has reported it indexed.
    Held,
    /// It was withdrawn.
    Leaving,
    /// The owner has reported it gone.
    Gone,
}

#[derive(Debug)]
struct Interest {
    standings: BTreeMap<u64, Standing>,
    /// What has to be delivered, for which subscriptions at least.
    must: BTreeMap<Article, Vec<u64>>,
    /// For which subscriptions an article may not be delivered any more: they were gone when it was published.
    barred: BTreeMap<Article, Vec<u64>>,
}

pub(crate) struct Answers {
    workload: Workload,
    interests: Vec<Interest>,
    published: BTreeSet<Article>,
}

impl Answers {
    pub(crate) fn new(workload: Workload) -> Self {
        let interests = workload.consumers.iter().map(|consumer| {
            let ids = consumer.subscriptions.iter().map(|(id, _)| *id);
            Interest {
                standings: ids.map(|id| (id, Standing::Unborn)).collect(),
                must: BTreeMap::new(),
                barred: BTreeMap::new(),
            }
        });
        Self {
            interests: interests.collect(),
            workload,
            published: BTreeSet::new(),
        }
    }

    pub(crate) fn workload(&self) -> &Workload {
        &self.workload
    }

    /// What `consumer` must receive, and for which subscriptions at least.
    pub(crate) fn must(&self, consumer: usize) -> &BTreeMap<Article, Vec<u64>> {
        &self.interests[consumer].must
    }

    /// Whether `article` may not come to `consumer` for one of `ids` any more.
    pub(crate) fn is_barred(&self, consumer: usize, article: Article, ids: &[u64]) -> bool {
        let barred = self.interests[consumer].barred.get(&article);
        barred.is_some_and(|barred| ids.iter().any(|id| barred.contains(id)))
    }

    /// The consumer begins to ask.
    pub(crate) fn on_join(&mut self, consumer: usize) {
        self.change(consumer, Standing::Unborn, Standing::Asked);
    }

    /// All that the consumer asked for is indexed.
    pub(crate) fn on_complete(&mut self, consumer: usize) {
        self.change(consumer, Standing::Asked, Standing::Held);
    }

    /// The lease has run out: whether the consumer holds anything is open until its next confirmation.
    pub(crate) fn on_expired(&mut self, consumer: usize) {
        self.change(consumer, Standing::Held, Standing::Asked);
    }

    /// Whether all that the consumer asked for is indexed.
    pub(crate) fn is_complete(&self, consumer: usize) -> bool {
        let mut standings = self.interests[consumer].standings.values();
        standings.all(|standing| !matches!(standing, Standing::Unborn | Standing::Asked))
    }

    /// The consumer's subscriptions that it has not withdrawn.
    pub(crate) fn wanted(&self, consumer: usize) -> Vec<u64> {
        let standings = self.interests[consumer].standings.iter();
        standings
            .filter(|(_, standing)| !matches!(standing, Standing::Leaving | Standing::Gone))
            .map(|(id, _)| *id)
            .collect()
    }

    /// The consumer withdraws `ids`, or is made to. What it has not been `delivered` may have been matched before or not.
    pub(crate) fn on_leave(&mut self, consumer: usize, ids: &[u64], delivered: &BTreeSet<Article>) {
        let interest = &mut self.interests[consumer];
        for id in ids {
            interest.standings.insert(*id, Standing::Leaving);
        }
        interest.must.retain(|article, must| {
            if !delivered.contains(article) {
                must.retain(|id| !ids.contains(id));
            }
            !must.is_empty()
        });
    }

    /// The owner has carried out a request of the consumer, which has `subscriptions` now.
    pub(crate) fn on_admitted(&mut self, consumer: usize, subscriptions: usize) {
        if subscriptions == self.wanted(consumer).len() {
            self.change(consumer, Standing::Leaving, Standing::Gone);
        }
    }

    /// A source's application publishes `article`; again, after a crash, changes nothing.
    pub(crate) fn on_publish(&mut self, article: Article) {
        if !self.published.insert(article) {
            return;
        }
        let Article { source, serial } = article;
        for consumer in 0..self.interests.len() {
            if self.workload.consumers[consumer].domain != self.workload.sources[source].domain {
                continue;
            }
            let matching = self.workload.matching(consumer, source, serial);
            let interest = &mut self.interests[consumer];
            let of = |wanted: Standing| -> Vec<u64> {
                let ids = matching.iter().copied();
                ids.filter(|id| interest.standings[id] == wanted).collect()
            };
            let (must, barred) = (of(Standing::Held), of(Standing::Gone));
            if !must.is_empty() {
                interest.must.insert(article, must);
            }
            // What another than the owner publishes is in no order with what the owner tells the program.
            if !barred.is_empty() && source < self.workload.owners {
                interest.barred.insert(article, barred);
            }
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

    /// One consumer, and the publications that match its subscriptions.
    fn answers() -> (Answers, Vec<Article>) {
        let scenario = Scenario {
            consumers: 1,
            publications: 100,
            ..Scenario::calm()
        };
        let answers = Answers::new(Workload::draw(2, &scenario));
        let matching =
            (0..100).filter(|serial| !answers.workload.matching(0, 0, *serial).is_empty());
        let matching: Vec<_> = matching
            .map(|serial| Article { source: 0, serial })
            .collect();
        assert!(matching.len() > 10);
        (answers, matching)
    }

    fn all_ids(answers: &Answers) -> Vec<u64> {
        answers.interests[0].standings.keys().copied().collect()
    }

    #[test]
    fn nothing_must_come_before_the_confirmation_and_everything_after() {
        let (mut answers, matching) = answers();

        answers.on_publish(matching[0]);
        answers.on_join(0);
        answers.on_publish(matching[1]);
        answers.on_complete(0);
        answers.on_publish(matching[2]);

        let must = answers.must(0);
        assert!(must.keys().eq([&matching[2]]));
        let expected = answers.workload.matching(0, 0, matching[2].serial);
        assert_eq!(must[&matching[2]], expected);
    }

    #[test]
    fn what_was_withdrawn_need_not_come_unless_it_has_and_may_not_once_that_is_confirmed() {
        let (mut answers, matching) = answers();
        let ids = all_ids(&answers);
        answers.on_join(0);
        answers.on_complete(0);
        matching[..2]
            .iter()
            .for_each(|one| answers.on_publish(*one));

        answers.on_leave(0, &ids, &BTreeSet::from([matching[0]]));
        answers.on_publish(matching[2]);
        answers.on_admitted(0, ids.len());
        answers.on_publish(matching[3]);
        answers.on_admitted(0, 0);
        answers.on_publish(matching[4]);

        assert!(answers.must(0).keys().eq([&matching[0]]));
        assert!(!answers.is_barred(0, matching[3], &ids));
        assert!(answers.is_barred(0, matching[4], &ids));
    }

    #[test]
    fn what_is_published_again_after_a_crash_stays_what_it_was() {
        let (mut answers, matching) = answers();
        answers.on_join(0);
        answers.on_complete(0);
        answers.on_publish(matching[0]);

        answers.on_expired(0);
        answers.on_publish(matching[0]);
        answers.on_publish(matching[1]);

        assert!(answers.must(0).keys().eq([&matching[0]]));
    }
}
