//! The ledger: what was published, delivered and reported, held against the known answer.
//!
//! Invariant: every match is delivered once, nothing else is, and nobody complains, except where a link that ended explains it.

use std::collections::BTreeSet;

use sc_cbr::Status;
use sc_client::{Delivery, Ending, PublisherEvent, SubscriberEvent};
use sc_crypto::{OwnerSecret, VerifyingKey};

use crate::answer::{Answer, Answers};
use crate::fault::Faults;
use crate::party::Party;
use crate::scenario::Scenario;
use crate::violation::Violation;
use crate::workload::{self, Workload};

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

/// What the receipts of a publisher add up to.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Receipts {
    publications: u64,
    matched: u64,
    deliveries: u64,
}

#[derive(Debug, Default)]
struct ConsumerPage {
    delivered: BTreeSet<usize>,
    last: Option<usize>,
    /// The session in which it was last admitted.
    session: u64,
    /// In how many it was.
    sessions: u64,
    /// Whether it was told that notices are missing.
    told_of_gap: bool,
    /// Whether it was told that its lease has run out: its application gives up.
    ended: bool,
}

#[derive(Debug, Default)]
struct PublisherPage {
    session: u64,
    receipts: Receipts,
}

pub(crate) struct Ledger {
    answers: Answers,
    /// Publications from this serial number on were published at rest: nothing explains the lack of one.
    epilogue_from: usize,
    /// Whether no lease may have run out.
    leases_hold: bool,
    consumers: Vec<ConsumerPage>,
    publishers: Vec<PublisherPage>,
    /// Complaints that the end of a link would explain, by whose it would have to be.
    complaints: Vec<(Party, String)>,
    /// Consumers whose requests had to be made again, which any fault on the way explains.
    unanswered: BTreeSet<usize>,
    violations: Vec<Violation>,
    deliveries: u64,
}

impl Ledger {
    pub(crate) fn new(workload: Workload, scenario: &Scenario) -> Self {
        Self {
            epilogue_from: scenario.publications,
            leases_hold: scenario.leases_hold(),
            consumers: workload
                .consumers
                .iter()
                .map(|_| ConsumerPage::default())
                .collect(),
            publishers: workload
                .publishers
                .iter()
                .map(|_| PublisherPage::default())
                .collect(),
            answers: Answers::new(workload),
            complaints: Vec::new(),
            unanswered: BTreeSet::new(),
            violations: Vec::new(),
            deliveries: 0,
        }
    }

    pub(crate) fn workload(&self) -> &Workload {
        self.answers.workload()
    }

    /// A consumer begins to ask.
    pub(crate) fn on_join(&mut self, consumer: usize) {
        let unreceipted = self.unreceipted(consumer);
        self.answers.on_join(consumer, unreceipted);
    }

    /// A consumer withdraws subscriptions.
    pub(crate) fn on_leave(&mut self, consumer: usize, ids: &[u64]) {
        let unreceipted = self.unreceipted(consumer);
        self.answers.on_leave(consumer, ids, unreceipted);
    }

    pub(crate) fn is_complete(&self, consumer: usize) -> bool {
        self.answers.is_complete(consumer)
    }

    /// A publisher's application publishes its next.
    pub(crate) fn on_publish(&mut self, publisher: usize, serial: usize) {
        self.answers.on_publish(publisher, serial);
    }

    /// The first publication of the consumer's publisher that may not have been matched yet.
    fn unreceipted(&self, consumer: usize) -> usize {
        let publisher = self.workload().consumers[consumer].publisher;
        self.publishers[publisher].receipts.publications as usize
    }

    pub(crate) fn violate(&mut self, violation: Violation) {
        self.violations.push(violation);
    }

    pub(crate) fn deliveries(&self) -> u64 {
        self.deliveries
    }

    /// A consumer's application was given `delivered`.
    pub(crate) fn on_delivery(&mut self, consumer: usize, delivered: &Delivered) {
        self.deliveries += 1;
        let own = self.workload().consumers[consumer].publisher;
        let publisher = &self.workload().publishers[own];
        let key = publisher.identity.signing_key().verifying_key();
        let place = workload::label(&delivered.payload)
            .filter(|(publisher, _)| *publisher == own && delivered.publisher == key)
            .and_then(|(_, serial)| Some((serial, self.answers.answer(consumer, serial)?)));
        let Some((serial, answer)) = place else {
            return self.violations.push(Violation::Foreign { consumer });
        };
        let is_of = |ids: &[u64], all: &[u64]| ids.iter().all(|id| all.contains(id));
        let payload = &publisher.articles[serial].payload;
        let wrong_payload = payload != &delivered.payload;
        if answer.may.is_empty() {
            self.violations
                .push(Violation::NotMatched { consumer, serial });
        } else if !is_of(&delivered.subscriptions, &answer.may)
            || !is_of(&answer.must, &delivered.subscriptions)
        {
            self.violations
                .push(Violation::WrongSubscriptions { consumer, serial });
        }
        if wrong_payload {
            self.violations
                .push(Violation::WrongPayload { consumer, serial });
        }
        let page = &mut self.consumers[consumer];
        if !page.delivered.insert(serial) {
            self.violations
                .push(Violation::DeliveredTwice { consumer, serial });
        } else if page.last.is_some_and(|last| last > serial) {
            self.violations
                .push(Violation::OutOfOrder { consumer, serial });
        }
        page.last = Some(serial);
    }

    pub(crate) fn on_publisher_event(&mut self, number: usize, event: &PublisherEvent) {
        let page = &mut self.publishers[number];
        match event {
            PublisherEvent::Opened { session, .. } => page.session = *session,
            PublisherEvent::Admitted {
                fingerprint,
                subscriptions,
            } => {
                let is_it =
                    |identity: &OwnerSecret| identity.public().fingerprint() == *fingerprint;
                if let Some(consumer) = self.consumer(is_it) {
                    self.answers.on_admitted(consumer, *subscriptions);
                }
            }
            PublisherEvent::Complete { consumer } => {
                let is_it =
                    |identity: &OwnerSecret| identity.signing_key().verifying_key() == *consumer;
                if let Some(consumer) = self.consumer(is_it) {
                    self.answers.on_complete(consumer);
                }
            }
            PublisherEvent::Published {
                publications,
                matched,
                deliveries,
            } => {
                page.receipts.publications += *publications as u64;
                page.receipts.matched += u64::from(*matched);
                page.receipts.deliveries += deliveries;
            }
            // A consumer that went away, or a request for a session that has ended.
            PublisherEvent::Unreachable
            | PublisherEvent::UnreadableAsk
            | PublisherEvent::RouterRefused { lasting: false, .. } => self
                .complaints
                .push((Party::Publisher(number), format!("{event:?}"))),
            // A renewal that came too late.
            PublisherEvent::NotCarriedOut(Status::UnknownConsumer) if !self.leases_hold => {}
            other => self.violations.push(Violation::Complaint {
                party: Party::Publisher(number),
                what: format!("{other:?}"),
            }),
        }
    }

    fn consumer(&self, is_it: impl Fn(&OwnerSecret) -> bool) -> Option<usize> {
        let mut consumers = self.workload().consumers.iter();
        consumers.position(|consumer| is_it(&consumer.identity))
    }

    pub(crate) fn on_subscriber_event(&mut self, number: usize, event: &SubscriberEvent) {
        let page = &mut self.consumers[number];
        match event {
            SubscriberEvent::Waiting => {}
            SubscriberEvent::Admitted { session, .. } => {
                page.sessions += u64::from(page.session != *session);
                page.session = *session;
            }
            SubscriberEvent::Unanswered => drop(self.unanswered.insert(number)),
            SubscriberEvent::Missing { .. }
            | SubscriberEvent::PassedOver { .. }
            | SubscriberEvent::NotTaken
            | SubscriberEvent::Lapsed { .. }
            | SubscriberEvent::Uncovered { .. } => {
                page.told_of_gap |= matches!(event, SubscriberEvent::Missing { .. });
                self.complaints
                    .push((Party::Consumer(number), format!("{event:?}")));
            }
            SubscriberEvent::Ended(Ending::Expired) if !self.leases_hold => page.ended = true,
            other => self.violations.push(Violation::Complaint {
                party: Party::Consumer(number),
                what: format!("{other:?}"),
            }),
        }
    }

    /// Consumers that are not admitted in the present session of their publisher.
    pub(crate) fn strangers(&self) -> Vec<String> {
        let pages = self.consumers.iter().zip(&self.workload().consumers);
        pages
            .enumerate()
            .filter(|(_, (page, consumer))| {
                let session = self.publishers[consumer.publisher].session;
                !page.ended && (page.session == 0 || page.session != session)
            })
            .map(|(number, _)| {
                format!("{} is not admitted in the session", Party::Consumer(number))
            })
            .collect()
    }

    /// Judges the whole run, in which `faults` were injected; `outages` are the parties whose link has ended at least once.
    pub(crate) fn close(mut self, faults: &Faults, outages: &BTreeSet<Party>) -> Vec<Violation> {
        for number in 0..self.consumers.len() {
            self.judge_consumer(number, outages.contains(&Party::Consumer(number)));
        }
        for number in 0..self.publishers.len() {
            self.judge_publisher(number);
        }
        for (party, what) in core::mem::take(&mut self.complaints) {
            if !self.is_explained(party, outages) {
                self.violations.push(Violation::Complaint { party, what });
            }
        }
        if *faults == Faults::default() {
            let unanswered = self.unanswered.iter().map(|number| Violation::Complaint {
                party: Party::Consumer(*number),
                what: format!("{:?}", SubscriberEvent::Unanswered),
            });
            self.violations.extend(unanswered);
        }
        self.violations
    }

    /// Whether the end of a link explains a complaint of `party`: its own, or for a publisher one of its consumers'.
    fn is_explained(&self, party: Party, outages: &BTreeSet<Party>) -> bool {
        let of_domain = |own: usize| {
            outages.iter().any(|out| match out {
                Party::Consumer(number) => self.workload().consumers[*number].publisher == own,
                _ => false,
            })
        };
        outages.contains(&party) || matches!(party, Party::Publisher(own) if of_domain(own))
    }

    /// Everything that matched has arrived. What went down with a link may be missing, but not in silence: except where the consumer
    /// has withdrawn everything, and for the end of a session that was over before the consumer came back, of which nothing tells it.
    fn judge_consumer(&mut self, consumer: usize, link_was_lost: bool) {
        let page = &self.consumers[consumer];
        if page.ended {
            return;
        }
        let told = page.told_of_gap || page.sessions > 1 || self.answers.is_gone(consumer);
        let explained = told && (link_was_lost || !self.leases_hold);
        let first = if explained { self.epilogue_from } else { 0 };
        let publisher = self.workload().consumers[consumer].publisher;
        let serials = first..self.workload().publishers[publisher].articles.len();
        let missing = serials.filter(|serial| {
            let answer = self.answers.answer(consumer, *serial);
            !page.delivered.contains(serial) && answer.is_some_and(|answer| !answer.must.is_empty())
        });
        self.violations
            .extend(missing.map(|serial| Violation::NotDelivered { consumer, serial }));
    }

    /// The trusted program's receipts say the same as the known answer.
    fn judge_publisher(&mut self, publisher: usize) {
        let Receipts {
            publications,
            matched,
            deliveries,
        } = self.publishers[publisher].receipts;
        let articles = self.workload().publishers[publisher].articles.len();
        let (least, most) = (
            self.totals(publisher, |answer| &answer.must),
            self.totals(publisher, |answer| &answer.may),
        );
        // While a lease was out its subscriptions matched nothing.
        let enough = !self.leases_hold || (least.0 <= matched && least.1 <= deliveries);
        if publications != articles as u64 || !enough || matched > most.0 || deliveries > most.1 {
            let what = format!(
                "{publications} publications of {articles}, {matched} matched of {} to {}, {deliveries} deliveries of {} to {}",
                least.0, most.0, least.1, most.1
            );
            self.violations
                .push(Violation::Receipts { publisher, what });
        }
    }

    /// Publications that matched, and pairs of publication and subscription, if every answer were what `of` says.
    fn totals(&self, publisher: usize, of: impl Fn(&Answer) -> &Vec<u64>) -> (u64, u64) {
        let (mut matched, mut pairs) = (0, 0);
        for serial in 0..self.workload().publishers[publisher].articles.len() {
            let of_domain = (0..self.consumers.len())
                .filter(|consumer| self.workload().consumers[*consumer].publisher == publisher);
            let answers = of_domain.filter_map(|consumer| self.answers.answer(consumer, serial));
            let count = answers.map(|answer| of(answer).len() as u64).sum::<u64>();
            matched += u64::from(count > 0);
            pairs += count;
        }
        (matched, pairs)
    }
}
