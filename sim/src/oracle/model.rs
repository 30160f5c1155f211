//! The model: what the trusted program must make of each message, said plainly.
//!
//! Invariant: it uses `Subscription::matches` and maps, and nothing of the engine.

use std::collections::BTreeMap;

use sc_cbr::{
    Batch, Control, ControlBody, Coverage, DeliveryKeys, MessageKind, Notice, NoticeKind, Origin,
    Scope, Status,
};
use sc_crypto::{Secret, VerifyingKey};
use sc_matching::{Header, Subscription};
use sc_proto::cbr;

use super::truth::{Article, Truth};

/// A notice that must be made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Expected {
    pub(crate) kind: NoticeKind,
    /// Index, article and the consumer's subscriptions, for each publication that matched.
    pub(crate) entries: Vec<(u32, Article, Vec<u64>)>,
}

impl Expected {
    fn plain(kind: NoticeKind) -> Self {
        Self {
            kind,
            entries: Vec::new(),
        }
    }

    fn is(&self, opened: &Opened) -> bool {
        let entries = self.entries.iter();
        self.kind == opened.kind
            && entries
                .map(|(index, _, ids)| (*index, ids.clone()))
                .eq(opened.entries.iter().cloned())
    }
}

/// A notice that was made.
#[derive(Debug)]
pub(super) struct Opened {
    pub(super) kind: NoticeKind,
    entries: Vec<(u32, Vec<u64>)>,
}

/// What a message must lead to.
#[derive(Debug, Default)]
pub(super) struct Effect {
    pub(super) notices: BTreeMap<VerifyingKey, Vec<Expected>>,
    /// Publications that matched and pairs with subscriptions, of a batch.
    pub(super) counts: Option<(u32, u64)>,
}

impl Effect {
    fn tell(&mut self, consumer: VerifyingKey, expected: Expected) {
        self.notices.entry(consumer).or_default().push(expected);
    }
}

#[derive(Default)]
struct Consumer {
    delivery_key: Option<Secret>,
    subscriptions: BTreeMap<u64, Subscription>,
    lease_until_ms: Option<u64>,
    /// While it is suspended: batches and publications missed.
    suspended: Option<(u64, u64)>,
}

/// A domain in one session.
pub(crate) struct Model {
    owner: VerifyingKey,
    time_ms: u64,
    consumers: BTreeMap<VerifyingKey, Consumer>,
    /// What the owner had settled is in M3, which no oracle opens: the first heartbeat tells it, and after that it must stay.
    floor: Option<Origin>,
    /// The greatest origin of the owner that was taken.
    taken: Origin,
    /// The other publishers in the order of their registration.
    others: Vec<Coverage>,
}

impl Model {
    pub(super) fn new(owner: VerifyingKey, time_ms: u64) -> Self {
        Self {
            owner,
            time_ms,
            consumers: BTreeMap::new(),
            floor: None,
            taken: Origin::default(),
            others: Vec::new(),
        }
    }

    /// Whether a heartbeat may list `publishers` now.
    fn covers(&mut self, publishers: &[Coverage]) -> bool {
        let Some((first, others)) = publishers.split_first() else {
            return false;
        };
        let floor = *self.floor.get_or_insert(first.floor);
        let owner = Coverage {
            publisher: self.owner,
            floor,
            taken: self.taken.max(floor),
        };
        *first == owner && others == self.others
    }

    /// Whether `made` is what had to be made.
    pub(super) fn accepts(&mut self, expected: &Expected, made: &Opened) -> bool {
        match (&expected.kind, &made.kind) {
            (NoticeKind::Heartbeat { .. }, NoticeKind::Heartbeat { publishers }) => {
                self.covers(publishers)
            }
            _ => expected.is(made),
        }
    }

    /// What the owner had settled before the session, if it is known.
    pub(super) fn floor(&self) -> Option<Origin> {
        self.floor
    }

    pub(super) fn on_control(&mut self, control: &Control, status: Status) -> Effect {
        let mut effect = Effect::default();
        self.advance(control.time_ms, &mut effect);
        if status == Status::Taken {
            self.apply(&control.body, &mut effect);
        }
        effect
    }

    fn apply(&mut self, body: &ControlBody, effect: &mut Effect) {
        match body {
            ControlBody::Admit {
                consumer,
                delivery_key,
                lease_until_ms,
                replace,
                subscriptions,
                ..
            } => {
                let consumer = self.consumers.entry(*consumer).or_default();
                consumer.delivery_key = Some(delivery_key.duplicate());
                consumer.lease_until_ms = Some(*lease_until_ms);
                if *replace {
                    consumer.subscriptions.clear();
                }
                consumer.subscriptions.extend(subscriptions.iter().cloned());
            }
            ControlBody::Withdraw { consumer, ids } => {
                let consumer = self.consumers.entry(*consumer).or_default();
                consumer.subscriptions.retain(|id, _| !ids.contains(id));
            }
            ControlBody::Renew {
                consumer,
                lease_until_ms,
            } => {
                let consumer = self.consumers.entry(*consumer).or_default();
                consumer.lease_until_ms = Some(*lease_until_ms);
            }
            ControlBody::Revoke { consumer } => {
                let of = self.consumers.entry(*consumer).or_default();
                of.subscriptions.clear();
                of.lease_until_ms = None;
                effect.tell(*consumer, Expected::plain(NoticeKind::Revoked));
            }
            ControlBody::Tick => self.tick(effect),
            ControlBody::Register {
                publisher, floor, ..
            } => self.register(*publisher, *floor),
            _ => {}
        }
    }

    fn register(&mut self, publisher: VerifyingKey, floor: Origin) {
        let mut known = self.others.iter_mut();
        match known.find(|of| of.publisher == publisher) {
            Some(of) => {
                of.floor = of.floor.max(floor);
                of.taken = of.taken.max(of.floor);
            }
            None => self.others.push(Coverage {
                publisher,
                floor,
                taken: floor,
            }),
        }
    }

    fn advance(&mut self, time_ms: u64, effect: &mut Effect) {
        // A lease that was over when it was given ends when time passes.
        if time_ms <= self.time_ms {
            return;
        }
        self.time_ms = time_ms;
        for (key, consumer) in &mut self.consumers {
            if consumer
                .lease_until_ms
                .is_some_and(|until| until < self.time_ms)
            {
                consumer.lease_until_ms = None;
                consumer.subscriptions.clear();
                effect.tell(*key, Expected::plain(NoticeKind::Expired));
            }
        }
    }

    fn tick(&self, effect: &mut Effect) {
        for (key, consumer) in &self.consumers {
            if !consumer.subscriptions.is_empty() && consumer.suspended.is_none() {
                let publishers = Vec::new();
                effect.tell(*key, Expected::plain(NoticeKind::Heartbeat { publishers }));
            }
        }
    }

    /// Reads a batch: who must hear of it.
    pub(super) fn on_batch(
        &mut self,
        scope: &Scope,
        counter: u64,
        plaintext: &[u8],
        truth: &mut Truth,
    ) -> Option<Effect> {
        let batch = Batch::decode(plaintext, false).ok()?;
        let mut effect = Effect::default();
        if scope.party == self.owner {
            self.advance(batch.time_ms, &mut effect);
        }
        let articles = articles(&batch)?;
        truth.taken(scope, batch.origin, &articles);
        let kind = NoticeKind::Matches {
            publisher: scope.party,
            start: scope.start,
            counter,
            origin: batch.origin,
        };
        let mut matched = std::collections::BTreeSet::<u32>::new();
        let mut deliveries = 0;
        for (key, consumer) in &mut self.consumers {
            let entries = truth.matching(&consumer.subscriptions, &articles);
            if entries.is_empty() {
                continue;
            }
            if let Some((batches, publications)) = &mut consumer.suspended {
                *batches += 1;
                *publications += entries.len() as u64;
                truth.missed_by(key, entries.iter().map(|(_, article, _)| *article));
                continue;
            }
            matched.extend(entries.iter().map(|(index, ..)| *index));
            deliveries += entries
                .iter()
                .map(|(.., ids)| ids.len() as u64)
                .sum::<u64>();
            let expected = Expected {
                kind: kind.clone(),
                entries,
            };
            effect.tell(*key, expected);
        }
        let mut others = self.others.iter_mut();
        match others.find(|of| of.publisher == scope.party) {
            Some(of) => of.taken = of.taken.max(batch.origin),
            None => self.taken = self.taken.max(batch.origin),
        }
        effect.counts = Some((matched.len() as u32, deliveries));
        Some(effect)
    }

    /// The host has called for a suspension, or for its end.
    pub(super) fn on_suspension(&mut self, consumer: &VerifyingKey) -> Effect {
        let mut effect = Effect::default();
        let of = self.consumers.entry(*consumer).or_default();
        let expected = match of.suspended.take() {
            None => {
                of.suspended = Some((0, 0));
                Expected::plain(NoticeKind::Suspended)
            }
            Some((batches, publications)) => Expected::plain(NoticeKind::Missed {
                batches,
                publications,
            }),
        };
        effect.tell(*consumer, expected);
        effect
    }

    /// Opens a notice as its consumer would.
    pub(super) fn open(&self, scope: &Scope, notice: &cbr::Notice) -> Option<Opened> {
        let secret = self.consumers.get(&scope.party)?.delivery_key.as_ref()?;
        let keys = DeliveryKeys::new(secret, scope, false);
        let mut sealed = notice.ciphertext.to_vec();
        let plaintext = keys
            .notice
            .open(scope, MessageKind::Notice, notice.counter, &mut sealed)
            .ok()?;
        let mut notice = Notice::decode(plaintext).ok()?;
        let mut ids = Vec::new();
        let mut entries = Vec::new();
        while let Some(entry) = notice.next_entry(&mut ids).ok()? {
            entries.push((entry.index, ids.clone()));
        }
        Some(Opened {
            kind: notice.kind,
            entries,
        })
    }

    /// The subscriptions of a consumer, ascending.
    pub(super) fn held(&self, consumer: &VerifyingKey) -> Vec<u64> {
        let consumer = self.consumers.get(consumer);
        consumer.map_or_else(Vec::new, |consumer| {
            consumer.subscriptions.keys().copied().collect()
        })
    }

    /// The delivery key of a consumer, for a bug that is planted behind the program.
    pub(crate) fn delivery_key(&self, consumer: &VerifyingKey) -> Option<&Secret> {
        self.consumers.get(consumer)?.delivery_key.as_ref()
    }
}

/// Which articles a batch holds, by the label in each header.
fn articles(batch: &Batch<'_>) -> Option<Vec<Article>> {
    let mut headers = batch.headers.headers();
    let mut header = Header::new();
    let mut articles = Vec::new();
    while headers.next_header(&mut header).ok()? {
        let attributes = header.attributes().iter();
        let named = attributes.map(|(name, value)| (batch.headers.name(*name), *value));
        articles.push(Article::of_attributes(named)?);
    }
    Some(articles)
}
