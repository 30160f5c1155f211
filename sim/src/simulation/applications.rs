//! The applications above publishers and consumers: when they publish, come and withdraw.

use std::time::Duration;

use super::Simulation;
use crate::party::Party;
use crate::queue::Happening;
use crate::world::note;

/// A publisher that holds too much without a receipt tries again after this long.
const PUBLISH_AGAIN: Duration = Duration::from_millis(50);

impl Simulation {
    /// An application publishes once all consumers of its domain are admitted and indexed.
    pub(super) fn begin_publishing(&mut self, number: usize) {
        let complete = self.publishers[number].core.publisher.complete_consumers();
        if !self.begun[number] && complete == self.ledger.workload().first_consumers_of(number) {
            self.begun[number] = true;
            self.world
                .queue
                .at(self.world.now, Happening::Publish(number));
        }
    }

    /// Each application publishes its last.
    pub(super) fn begin_epilogue(&mut self) {
        note!(
            self.world,
            Party::Router,
            "and all others have come to rest"
        );
        self.rested = Some(self.world.now);
        for number in 0..self.publishers.len() {
            self.world
                .queue
                .at(self.world.now, Happening::Publish(number));
        }
    }

    /// How many publications each application has to publish by now.
    pub(super) fn due(&self) -> usize {
        let epilogue = self.rested.map_or(0, |_| self.scenario.epilogue);
        self.scenario.publications + epilogue
    }

    pub(super) fn publish(&mut self, number: usize) {
        if self.published[number] == self.due() {
            return;
        }
        let articles = &self.ledger.workload().publishers[number].articles;
        let article = &articles[self.published[number]];
        let clock = self.world.clock();
        let taken = self.publishers[number].core.publisher.publish(
            clock,
            article.header.clone(),
            article.payload.clone(),
        );
        let next = if taken.is_ok() {
            note!(
                self.world,
                Party::Publisher(number),
                "publishes {}",
                self.published[number]
            );
            self.ledger.on_publish(number, self.published[number]);
            self.published[number] += 1;
            self.timing.time(self.world.now, self.scenario.pause_max)
        } else {
            self.world.now + PUBLISH_AGAIN
        };
        self.world.queue.at(next, Happening::Publish(number));
        self.work(Party::Publisher(number));
        self.welcome(|publisher| publisher == number);
        self.part(number);
    }

    /// Consumers come whose time it is, of the publishers that `of` names.
    pub(super) fn welcome(&mut self, of: impl Fn(usize) -> bool) {
        for number in 0..self.consumers.len() {
            let consumer = &self.ledger.workload().consumers[number];
            let publisher = consumer.publisher;
            let is_time = of(publisher) && consumer.joins_after <= self.published[publisher];
            if is_time && !self.joined[number] {
                note!(self.world, Party::Consumer(number), "comes");
                self.joined[number] = true;
                self.ledger.on_join(number);
                self.work(Party::Consumer(number));
            }
        }
    }

    /// Consumers of `publisher` withdraw subscriptions whose time it is.
    fn part(&mut self, publisher: usize) {
        for number in 0..self.consumers.len() {
            let consumer = &self.ledger.workload().consumers[number];
            let of_publisher = consumer.publisher == publisher;
            let leaves = consumer.leaves.clone().filter(|(after, _)| {
                of_publisher && *after <= self.published[publisher] && !self.left[number]
            });
            if let Some((_, ids)) = leaves
                && self.ledger.is_complete(number)
            {
                note!(self.world, Party::Consumer(number), "withdraws {ids:?}");
                self.left[number] = true;
                self.ledger.on_leave(number, &ids);
                self.consumers[number].core.subscriber.unsubscribe(ids);
                self.work(Party::Consumer(number));
            }
        }
    }
}
