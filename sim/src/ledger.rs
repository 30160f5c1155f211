//! The ledger: what was published, delivered and reported, held against the known answer.
//!
//! Invariant: every match is delivered once, nothing else is, and nobody complains, except where a link that ended explains it.

use std::collections::BTreeSet;

use sc_cbr::Status;
use sc_client::{Delivery, Ending, PublisherEvent, SubscriberEvent};
use sc_crypto::VerifyingKey;

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
    workload: Workload,
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
            workload,
            complaints: Vec::new(),
            unanswered: BTreeSet::new(),
            violations: Vec::new(),
            deliveries: 0,
        }
    }

    pub(crate) fn workload(&self) -> &Workload {
        &self.workload
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
        let own = self.workload.consumers[consumer].publisher;
        let publisher = &self.workload.publishers[own];
        let key = publisher.identity.signing_key().verifying_key();
        let place = workload::label(&delivered.payload)
            .filter(|(publisher, _)| *publisher == own && delivered.publisher == key)
            .and_then(|(_, serial)| Some((serial, publisher.articles.get(serial)?)));
        let Some((serial, article)) = place else {
            return self.violations.push(Violation::Foreign { consumer });
        };
        let expected = self.workload.matching(consumer, serial);
        if expected.is_empty() {
            self.violations
                .push(Violation::NotMatched { consumer, serial });
        } else if expected != delivered.subscriptions {
            self.violations
                .push(Violation::WrongSubscriptions { consumer, serial });
        }
        if article.payload != delivered.payload {
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
            PublisherEvent::Admitted { .. } | PublisherEvent::Complete { .. } => {}
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

    pub(crate) fn on_subscriber_event(&mut self, number: usize, event: &SubscriberEvent) {
        let page = &mut self.consumers[number];
        match event {
            SubscriberEvent::Waiting => {}
            SubscriberEvent::Admitted { session } => {
                page.sessions += u64::from(page.session != *session);
                page.session = *session;
            }
            SubscriberEvent::Unanswered => drop(self.unanswered.insert(number)),
            SubscriberEvent::Missing { .. } | SubscriberEvent::NotTaken => {
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
        let pages = self.consumers.iter().zip(&self.workload.consumers);
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
                Party::Consumer(number) => self.workload.consumers[*number].publisher == own,
                _ => false,
            })
        };
        outages.contains(&party) || matches!(party, Party::Publisher(own) if of_domain(own))
    }

    /// Everything that matched has arrived. What went down with a link may be missing, but not in silence: except for the end of a
    /// session that was over before the consumer came back, of which nothing tells it yet.
    fn judge_consumer(&mut self, consumer: usize, link_was_lost: bool) {
        let page = &self.consumers[consumer];
        if page.ended {
            return;
        }
        let explained =
            (link_was_lost || !self.leases_hold) && (page.told_of_gap || page.sessions > 1);
        let first = if explained { self.epilogue_from } else { 0 };
        let publisher = self.workload.consumers[consumer].publisher;
        let serials = first..self.workload.publishers[publisher].articles.len();
        let missing = serials.filter(|serial| {
            !page.delivered.contains(serial)
                && !self.workload.matching(consumer, *serial).is_empty()
        });
        self.violations
            .extend(missing.map(|serial| Violation::NotDelivered { consumer, serial }));
    }

    /// The trusted program's receipts say the same as the known answer.
    fn judge_publisher(&mut self, publisher: usize) {
        let mut expected = Receipts::default();
        for serial in 0..self.workload.publishers[publisher].articles.len() {
            let of_domain = (0..self.consumers.len())
                .filter(|consumer| self.workload.consumers[*consumer].publisher == publisher);
            let pairs: u64 = of_domain
                .map(|consumer| self.workload.matching(consumer, serial).len() as u64)
                .sum();
            expected.publications += 1;
            expected.matched += u64::from(pairs > 0);
            expected.deliveries += pairs;
        }
        let receipts = self.publishers[publisher].receipts;
        if !self.leases_hold {
            // While a lease was out its subscriptions matched nothing.
            (expected.matched, expected.deliveries) = (receipts.matched, receipts.deliveries);
        }
        if receipts != expected {
            self.violations.push(Violation::Receipts {
                publisher,
                what: format!("{receipts:?}, not {expected:?}"),
            });
        }
    }
}
