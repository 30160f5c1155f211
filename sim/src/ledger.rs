//! The ledger: what was published, delivered and reported, held against the known answer and the oracle's truth.
//!
//! Invariant: every match is delivered once or covered by a report, nothing else is delivered, and nobody reports what has no cause.

mod coverage;
mod reports;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use sc_client::{Delivery, Ending, GranteeEvent, PublisherEvent, Refusal, SubscriberEvent};
use sc_crypto::{OwnerSecret, VerifyingKey};

use crate::answer::Answers;
use crate::oracle::{Article, Truth};
use crate::party::Party;
use crate::scenario::Scenario;
use crate::violation::Violation;
use crate::workload::{self, Workload};

pub(crate) use reports::Causes;

/// A delivery, as its consumer's application saw it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Delivered {
    pub(crate) consumer: usize,
    pub(crate) publisher: VerifyingKey,
    pub(crate) subscriptions: Vec<u64>,
    pub(crate) payload: Vec<u8>,
}

impl Delivered {
    pub(crate) fn new(consumer: usize, delivery: &Delivery<'_>) -> Self {
        Self {
            consumer,
            publisher: delivery.publisher,
            subscriptions: delivery.subscriptions.to_vec(),
            payload: delivery.payload.to_vec(),
        }
    }
}

/// A consumer in the ledger.
#[derive(Debug, Default)]
struct ConsumerPage {
    /// What its application has, as its journal says.
    delivered: BTreeSet<Article>,
    /// What it reported, and when; a log that outlives its processes.
    reports: Vec<(Duration, SubscriberEvent)>,
    /// Whether it was told that it gets nothing more: its application gives up.
    ended: Option<Ending>,
    /// The last notice taken of each session, as its journals said.
    taken: BTreeMap<u64, u64>,
}

/// A source in the ledger.
#[derive(Debug, Default)]
struct SourcePage {
    session: u64,
    /// Since when that session is open.
    opened: Duration,
    /// When each article was published last.
    published: BTreeMap<Article, Duration>,
    /// Whether everything it published was settled at the end.
    drained: bool,
}

pub(crate) struct Ledger {
    answers: Answers,
    consumers: Vec<ConsumerPage>,
    sources: Vec<SourcePage>,
    /// Reports of publishers, to be judged when all is over.
    complaints: Vec<(Party, String)>,
    violations: Vec<Violation>,
    deliveries: u64,
    honest: bool,
}

impl Ledger {
    pub(crate) fn new(workload: Workload, scenario: &Scenario) -> Self {
        let consumers = workload.consumers.iter();
        let sources = workload.sources.iter();
        Self {
            consumers: consumers.map(|_| ConsumerPage::default()).collect(),
            sources: sources.map(|_| SourcePage::default()).collect(),
            answers: Answers::new(workload),
            complaints: Vec::new(),
            violations: Vec::new(),
            deliveries: 0,
            honest: scenario.is_honest(),
        }
    }

    pub(crate) fn workload(&self) -> &Workload {
        self.answers.workload()
    }

    pub(crate) fn answers(&self) -> &Answers {
        &self.answers
    }

    /// A consumer begins to ask.
    pub(crate) fn on_join(&mut self, consumer: usize) {
        self.answers.on_join(consumer);
    }

    /// A consumer withdraws subscriptions, or is made to.
    pub(crate) fn on_leave(&mut self, consumer: usize, ids: &[u64]) {
        let delivered = &self.consumers[consumer].delivered;
        self.answers.on_leave(consumer, ids, delivered);
    }

    /// A source's application publishes.
    pub(crate) fn on_publish(&mut self, now: Duration, article: Article) {
        self.answers.on_publish(article);
        self.sources[article.source].published.insert(article, now);
    }

    /// The present session of a domain as its owner knows it, and since when.
    pub(crate) fn session_since(&self, domain: usize) -> Option<(u64, Duration)> {
        let page = &self.sources[domain];
        (page.session > 0).then_some((page.session, page.opened))
    }

    pub(crate) fn violate(&mut self, violation: Violation) {
        self.violations.push(violation);
    }

    pub(crate) fn deliveries(&self) -> u64 {
        self.deliveries
    }

    /// A consumer's application was given `delivered`.
    pub(crate) fn on_delivery(&mut self, consumer: usize, delivered: &Delivered, truth: &Truth) {
        self.deliveries += 1;
        let Some(article) = self.article(consumer, delivered, truth) else {
            return self.violate(Violation::Foreign { consumer });
        };
        let serial = article.serial;
        let ids = &delivered.subscriptions;
        let told = truth.told(consumer, article);
        if told.is_empty() || self.answers.is_barred(consumer, article, ids) {
            self.violate(Violation::NotMatched { consumer, serial });
        } else if !told.iter().any(|told| told.subscriptions == *ids) {
            self.violate(Violation::WrongSubscriptions { consumer, serial });
        }
        let articles = &self.workload().sources[article.source].articles;
        if articles[serial].payload != delivered.payload {
            self.violate(Violation::WrongPayload { consumer, serial });
        }
        let page = &mut self.consumers[consumer];
        let all = |serial| Article { serial, ..article };
        let last = page.delivered.range(all(0)..=all(usize::MAX)).next_back();
        let is_late = last.is_some_and(|last| *last > article);
        if !page.delivered.insert(article) {
            self.violate(Violation::DeliveredTwice { consumer, serial });
        } else if is_late {
            self.violate(Violation::OutOfOrder { consumer, serial });
        }
    }

    /// The article that a delivery holds, if it is one of the consumer's domain by the publisher that it names.
    fn article(&self, consumer: usize, delivered: &Delivered, truth: &Truth) -> Option<Article> {
        let (source, serial) = workload::label(&delivered.payload)?;
        let of = self.workload().sources.get(source)?;
        let is_right = of.domain == self.workload().consumers[consumer].domain
            && *truth.key(source) == delivered.publisher
            && serial < of.articles.len();
        is_right.then_some(Article { source, serial })
    }

    /// The consumer's process died before its journal said that it has taken `delivered`: its application forgets them too.
    pub(crate) fn on_rollback(&mut self, consumer: usize, delivered: &[Delivered]) {
        for delivered in delivered {
            if let Some((source, serial)) = workload::label(&delivered.payload) {
                let page = &mut self.consumers[consumer];
                page.delivered.remove(&Article { source, serial });
            }
        }
    }

    pub(crate) fn on_publisher_event(
        &mut self,
        now: Duration,
        number: usize,
        event: &PublisherEvent,
    ) {
        let by_fingerprint = |fingerprint: &String| {
            self.consumer(|identity| identity.public().fingerprint() == *fingerprint)
        };
        match event {
            PublisherEvent::Opened { session, .. } => {
                let page = &mut self.sources[number];
                (page.session, page.opened) = (*session, now);
            }
            PublisherEvent::Admitted {
                fingerprint,
                subscriptions,
            } => {
                if let Some(consumer) = by_fingerprint(fingerprint) {
                    self.answers.on_admitted(consumer, *subscriptions);
                }
            }
            PublisherEvent::Complete { consumer } => {
                let key = *consumer;
                let is_it = |identity: &OwnerSecret| identity.signing_key().verifying_key() == key;
                if let Some(consumer) = self.consumer(is_it) {
                    self.answers.on_complete(consumer);
                }
            }
            PublisherEvent::Published { .. } | PublisherEvent::Granted { .. } => {}
            other => self.complain(Party::Publisher(number), other),
        }
    }

    pub(crate) fn on_grantee_event(&mut self, number: usize, event: &GranteeEvent) {
        match event {
            GranteeEvent::Waiting
            | GranteeEvent::Granted { .. }
            | GranteeEvent::Published { .. } => {}
            other => self.complain(Party::Grantee(number), other),
        }
    }

    fn complain(&mut self, party: Party, event: &impl std::fmt::Debug) {
        self.complaints.push((party, format!("{event:?}")));
    }

    fn consumer(&self, is_it: impl Fn(&OwnerSecret) -> bool) -> Option<usize> {
        let mut consumers = self.workload().consumers.iter();
        consumers.position(|consumer| is_it(&consumer.identity))
    }

    /// Takes a report; returns whether the consumer's application gives up.
    pub(crate) fn on_subscriber_event(
        &mut self,
        now: Duration,
        number: usize,
        event: SubscriberEvent,
    ) -> Option<Ending> {
        let page = &mut self.consumers[number];
        match &event {
            SubscriberEvent::Admitted { .. } => {
                page.ended = page.ended.filter(|ending| *ending == Ending::Revoked);
            }
            SubscriberEvent::Ended(ending) => page.ended = Some(*ending),
            SubscriberEvent::Refused(Refusal::NotListed | Refusal::Revoked) => {
                page.ended = Some(Ending::Revoked);
            }
            _ => {}
        }
        if matches!(
            event,
            SubscriberEvent::Ended(Ending::Expired) | SubscriberEvent::Lapsed { .. }
        ) {
            self.answers.on_expired(number);
        }
        let page = &mut self.consumers[number];
        let ends = matches!(
            event,
            SubscriberEvent::Ended(_) | SubscriberEvent::Refused(_)
        );
        page.reports.push((now, event));
        page.ended.filter(|_| ends)
    }

    /// What the journal of a consumer says at the end of one of its lives.
    pub(crate) fn on_last_word(
        &mut self,
        consumer: usize,
        taken: impl Fn(u64) -> u64,
        truth: &Truth,
    ) {
        for (_, session) in &truth.opened {
            let last = self.consumers[consumer].taken.entry(*session).or_default();
            *last = taken(*session).max(*last);
        }
    }

    /// Whether a source had nothing left to do at the end.
    pub(crate) fn on_end_of_source(&mut self, source: usize, drained: bool) {
        self.sources[source].drained = drained;
    }

    pub(crate) fn has_ended(&self, consumer: usize) -> bool {
        self.consumers[consumer].ended.is_some()
    }

    /// What consumers have reported, for whoever judges whether something was noticed in time.
    pub(crate) fn reports(&self, consumer: usize) -> &[(Duration, SubscriberEvent)] {
        &self.consumers[consumer].reports
    }

    /// Judges the whole run.
    pub(crate) fn close(mut self, truth: &Truth, causes: &Causes<'_>) -> Vec<Violation> {
        for number in 0..self.consumers.len() {
            self.judge_consumer(number, truth, causes);
        }
        self.judge_counts(truth);
        self.judge_reports(truth, causes);
        self.violations
    }

    /// Everything that matched has arrived or is covered by a report; with an honest host it has arrived, unless something has
    /// happened that the host is allowed to give up for.
    fn judge_consumer(&mut self, consumer: usize, truth: &Truth, causes: &Causes<'_>) {
        if self.consumers[consumer].ended.is_some() {
            return;
        }
        let page = &self.consumers[consumer];
        let must = self.answers.must(consumer).keys().copied();
        let all: BTreeSet<Article> = must.chain(truth.all_told(consumer)).collect();
        let lacking = all.difference(&page.delivered);
        let mut found = Vec::new();
        for article in lacking {
            let Article { source, serial } = *article;
            if !self.sources[source].drained && causes.is_cut_short {
                // It is its publisher's still.
                continue;
            }
            let must = self.answers.must(consumer).contains_key(article);
            if !must && truth.was_taken_before(consumer, *article) {
                // When it was matched first, this consumer was not there: a heartbeat may have told it so.
                continue;
            }
            if !self.covers(consumer, *article, truth) {
                found.push(Violation::NotCovered {
                    consumer,
                    source_number: source,
                    serial,
                    told: truth.whereabouts(consumer, *article),
                });
            } else if self.honest && !self.may_lack(consumer, *article, truth, causes) {
                found.push(Violation::NotDelivered {
                    consumer,
                    source_number: source,
                    serial,
                    told: truth.whereabouts(consumer, *article),
                });
            }
        }
        self.violations.append(&mut found);
    }
}
