//! The applications above publishers and consumers: when they publish, come and withdraw.

use std::time::Duration;

use super::Simulation;
use crate::cast::Input;
use crate::cores::SourceCore;
use crate::disk::Death;
use crate::lives::End;
use crate::oracle::Article;
use crate::party::Party;
use crate::queue::Happening;
use crate::workload::Source;
use crate::world::note;

/// A source that holds too much, or is dead, tries again after this long.
const PUBLISH_AGAIN: Duration = Duration::from_millis(50);

/// Whoever publishes by means of a source.
pub(super) struct Application {
    /// Publications so far, in this or an earlier life.
    pub(super) published: usize,
    begun: bool,
    /// Where the input that is read now begins and ends, if it can be read again.
    input: Input,
    finished: bool,
    /// Whether the input was published to its end: the process has nothing to read any more.
    done: bool,
    /// Whether the process takes its leave.
    leaving: bool,
}

impl Application {
    pub(super) fn new(source: &Source) -> Self {
        Self {
            published: 0,
            begun: false,
            input: source.rereads.then_some(0),
            finished: false,
            done: false,
            leaving: false,
        }
    }

    pub(super) fn input(&self) -> Input {
        self.input.filter(|_| !self.done)
    }

    /// Whether all publications of a process are from an input that it could read again.
    pub(super) fn rereads(&self) -> bool {
        self.input.is_some()
    }
}

impl Simulation {
    pub(super) fn source(&self, source: usize) -> &dyn SourceCore {
        match source.checked_sub(self.publishers.len()) {
            None => &self.publishers[source].core,
            Some(grantee) => &self.grantees[grantee].core,
        }
    }

    fn source_mut(&mut self, source: usize) -> &mut dyn SourceCore {
        match source.checked_sub(self.publishers.len()) {
            None => &mut self.publishers[source].core,
            Some(grantee) => &mut self.grantees[grantee].core,
        }
    }

    /// The applications of a domain publish once all its consumers are admitted and indexed.
    pub(super) fn begin_publishing(&mut self, domain: usize) {
        let complete = self.publishers[domain].core.publisher.complete_consumers();
        let workload = self.ledger.workload();
        if self.applications[domain].begun
            || complete < workload.first_consumers_of(domain, &self.revoked)
        {
            return;
        }
        for source in 0..self.applications.len() {
            if self.ledger.workload().sources[source].domain == domain {
                self.applications[source].begun = true;
                self.world
                    .queue
                    .at(self.world.now, Happening::Publish(source));
            }
        }
    }

    /// Each application publishes its last. Where an input was read to its end, that is another, and another process reads it.
    pub(super) fn begin_epilogue(&mut self) {
        note!(
            self.world,
            Party::Router,
            "and all others have come to rest"
        );
        self.rested = Some(self.world.now);
        for source in 0..self.applications.len() {
            let application = &mut self.applications[source];
            if application.input.is_some() {
                application.input = Some(1);
                (application.finished, application.done) = (false, false);
                application.leaving = true;
                self.source_mut(source).take_leave();
                self.work(self.ledger.workload().party(source));
            } else {
                self.world
                    .queue
                    .at(self.world.now, Happening::Publish(source));
            }
        }
    }

    /// A process that has taken leave is at its end, and the next takes its place.
    pub(super) fn end_if_left(&mut self, party: Party) {
        let Some(source) = self.ledger.workload().source(party) else {
            return;
        };
        if self.applications[source].leaving && self.source(source).has_left() {
            self.applications[source].leaving = false;
            let end = End {
                death: Death::Killed,
                down: Duration::from_millis(10),
            };
            self.world.lives.kill(party, end);
        }
    }

    /// How many publications each application has to publish by now.
    pub(super) fn due(&self) -> usize {
        let epilogue = self.rested.map_or(0, |_| self.scenario.epilogue);
        self.scenario.publications + epilogue
    }

    /// A source has died.
    pub(super) fn on_source_death(&mut self, source: usize) {
        let drained = self.source(source).is_drained();
        let application = &mut self.applications[source];
        application.done |= application.finished && drained;
    }

    /// A source was started: its input is read from where it goes on.
    pub(super) fn resume(&mut self, source: usize) {
        let resumed = self.source(source).resumed();
        let application = &mut self.applications[source];
        if let Some(input) = application.input() {
            let begins = usize::from(input) * self.scenario.publications;
            application.published = begins + resumed;
            application.finished = false;
        }
        if application.begun {
            self.world
                .queue
                .at(self.world.now, Happening::Publish(source));
        }
    }

    pub(super) fn publish(&mut self, source: usize) {
        let party = self.ledger.workload().party(source);
        if !self.world.lives.lives(party) {
            return;
        }
        if self.applications[source].published >= self.due() {
            return self.finish(source);
        }
        let serial = self.applications[source].published;
        let article = &self.ledger.workload().sources[source].articles[serial];
        let (header, payload) = (article.header.clone(), article.payload.clone());
        let clock = self.world.clock(party);
        let taken = self.source_mut(source).publish(clock, &header, payload);
        let next = if taken.is_ok() {
            note!(self.world, party, "publishes {serial}");
            let article = Article { source, serial };
            self.ledger.on_publish(self.world.now, article);
            self.applications[source].published += 1;
            self.timing.time(self.world.now, self.scenario.pause_max)
        } else {
            self.world.now + PUBLISH_AGAIN
        };
        self.world.queue.at(next, Happening::Publish(source));
        self.work(party);
        if let Party::Publisher(domain) = party {
            self.welcome(|of| of == domain);
            self.part(domain);
        }
    }

    /// An input that can be read again has come to its end.
    fn finish(&mut self, source: usize) {
        let application = &mut self.applications[source];
        if application.input().is_some() && !application.finished {
            application.finished = true;
            self.source_mut(source).finish();
            self.work(self.ledger.workload().party(source));
        }
    }

    /// Consumers come whose time it is, of the domains that `of` names.
    pub(super) fn welcome(&mut self, of: impl Fn(usize) -> bool) {
        for number in 0..self.consumers.len() {
            let consumer = &self.ledger.workload().consumers[number];
            let domain = consumer.domain;
            let is_time = consumer.joins_after <= self.applications[domain].published;
            if of(domain) && is_time && !self.joined[number] {
                note!(self.world, Party::Consumer(number), "comes");
                self.joined[number] = true;
                self.ledger.on_join(number);
                self.work(Party::Consumer(number));
            }
        }
    }

    /// Consumers of `domain` withdraw subscriptions whose time it is.
    fn part(&mut self, domain: usize) {
        for number in 0..self.consumers.len() {
            let consumer = &self.ledger.workload().consumers[number];
            let of_domain = consumer.domain == domain;
            let leaves = consumer.leaves.clone().filter(|(after, _)| {
                of_domain && *after <= self.applications[domain].published && !self.left[number]
            });
            let lives = self.world.lives.lives(Party::Consumer(number));
            if let Some((_, ids)) = leaves
                && lives
                && self.ledger.answers().is_complete(number)
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
