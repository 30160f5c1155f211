//! The truth: which articles went through the door in which batch, and which notice told whom of them.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use sc_cbr::{NoticeKind, Origin, Scope};
use sc_crypto::VerifyingKey;
use sc_matching::{Publication, Subscription, ValueRef};

use super::model::Expected;
use crate::workload::{self, Workload};

/// One article: whose, and its place among that source's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Article {
    pub(crate) source: usize,
    pub(crate) serial: usize,
}

impl Article {
    /// The article whose header has these attributes.
    pub(super) fn of_attributes<'a>(
        attributes: impl Iterator<Item = (Option<&'a str>, ValueRef<'a>)>,
    ) -> Option<Self> {
        let (mut source, mut serial) = (None, None);
        for (name, value) in attributes {
            let ValueRef::Number(number) = value else {
                continue;
            };
            match name {
                Some(workload::SOURCE) => source = Some(number.floor_to_double() as usize),
                Some(workload::SERIAL) => serial = Some(number.floor_to_double() as usize),
                _ => {}
            }
        }
        Some(Self {
            source: source?,
            serial: serial?,
        })
    }
}

/// A notice's place: whose, in which session, which.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Place {
    pub(crate) consumer: usize,
    pub(crate) session: u64,
    pub(crate) counter: u64,
}

/// One notice that told a consumer of an article.
#[derive(Debug, Clone)]
pub(crate) struct Told {
    pub(crate) place: Place,
    pub(crate) origin: Origin,
    pub(crate) index: u32,
    pub(crate) subscriptions: Vec<u64>,
}

pub(crate) struct Truth {
    headers: Vec<Vec<Publication>>,
    consumers: BTreeMap<VerifyingKey, usize>,
    sources: Vec<VerifyingKey>,
    /// Sessions that were opened.
    pub(crate) opened: BTreeSet<([u8; 32], u64)>,
    /// In which batches each article went through the door.
    pub(crate) origins: BTreeMap<Article, BTreeSet<Origin>>,
    /// When each article first did.
    first: BTreeMap<Article, Duration>,
    /// Which batches of each source went through the door.
    batches: BTreeMap<VerifyingKey, BTreeSet<Origin>>,
    told: BTreeMap<(usize, Article), Vec<Told>>,
    missed: BTreeMap<(usize, Article), Vec<Place>>,
    /// The notices that named a source to a consumer, and when they were made.
    named: BTreeMap<(usize, VerifyingKey), Vec<(Place, Duration)>>,
    /// Notices that told a consumer how many publications it had missed.
    pub(crate) counted: Vec<(Place, u64)>,
    /// The last suspension of each consumer.
    suspended: BTreeMap<usize, Place>,
    /// Consumers that were ever suspended.
    pub(crate) ever_suspended: BTreeSet<usize>,
    /// When each notice was made.
    made: BTreeMap<Place, Duration>,
    pub(super) now: Duration,
}

impl Truth {
    pub(super) fn new(workload: &Workload) -> Self {
        let key = |identity: &Arc<sc_crypto::OwnerSecret>| identity.signing_key().verifying_key();
        let consumers = workload.consumers.iter().enumerate();
        Self {
            headers: workload
                .sources
                .iter()
                .map(|source| {
                    source
                        .articles
                        .iter()
                        .map(|one| one.header.clone())
                        .collect()
                })
                .collect(),
            consumers: consumers
                .map(|(number, one)| (key(&one.identity), number))
                .collect(),
            sources: workload
                .sources
                .iter()
                .map(|one| key(&one.identity))
                .collect(),
            opened: BTreeSet::new(),
            origins: BTreeMap::new(),
            first: BTreeMap::new(),
            batches: BTreeMap::new(),
            told: BTreeMap::new(),
            missed: BTreeMap::new(),
            named: BTreeMap::new(),
            counted: Vec::new(),
            suspended: BTreeMap::new(),
            ever_suspended: BTreeSet::new(),
            made: BTreeMap::new(),
            now: Duration::ZERO,
        }
    }

    pub(super) fn name(&self, key: &VerifyingKey) -> String {
        match self.consumers.get(key) {
            Some(number) => format!("consumer {number}"),
            None => "somebody unknown".into(),
        }
    }

    /// The key of a source.
    pub(crate) fn key(&self, source: usize) -> &VerifyingKey {
        &self.sources[source]
    }

    /// The program has taken a batch.
    pub(super) fn taken(&mut self, scope: &Scope, origin: Origin, articles: &[Article]) {
        self.batches.entry(scope.party).or_default().insert(origin);
        for article in articles {
            self.origins.entry(*article).or_default().insert(origin);
            self.first.entry(*article).or_insert(self.now);
        }
    }

    /// Whether every batch of this source up to `floor`, of the same start, went through the door. What a start came to that ended
    /// nobody knows how is another matter.
    pub(super) fn holds_all_up_to(&self, source: &VerifyingKey, floor: Origin) -> bool {
        let first = Origin { number: 1, ..floor };
        if floor.number == u64::MAX || floor < first {
            return true;
        }
        let taken = self.batches.get(source);
        taken.is_some_and(|taken| taken.range(first..=floor).count() as u64 == floor.number)
    }

    /// Which of `articles` match `subscriptions`: the entries of the notice.
    pub(super) fn matching(
        &self,
        subscriptions: &BTreeMap<u64, Subscription>,
        articles: &[Article],
    ) -> Vec<(u32, Article, Vec<u64>)> {
        let entries = articles.iter().zip(0..).map(|(article, index)| {
            let header = &self.headers[article.source][article.serial];
            let ids = subscriptions
                .iter()
                .filter(|(_, subscription)| subscription.matches(header))
                .map(|(id, _)| *id);
            (index, *article, ids.collect::<Vec<_>>())
        });
        entries.filter(|(.., ids)| !ids.is_empty()).collect()
    }

    /// A notice was made that says what it must.
    pub(super) fn made(&mut self, scope: &Scope, counter: u64, expected: Expected) {
        let Some(&consumer) = self.consumers.get(&scope.party) else {
            return;
        };
        let place = Place {
            consumer,
            session: scope.session,
            counter,
        };
        self.made.insert(place, self.now);
        match expected.kind {
            NoticeKind::Heartbeat { publishers } => {
                for coverage in publishers {
                    let named = self.named.entry((consumer, coverage.publisher));
                    named.or_default().push((place, self.now));
                }
            }
            NoticeKind::Matches {
                origin, publisher, ..
            } => {
                let named = self.named.entry((consumer, publisher));
                named.or_default().push((place, self.now));
                for (index, article, subscriptions) in expected.entries {
                    let told = Told {
                        place,
                        origin,
                        index,
                        subscriptions,
                    };
                    self.told.entry((consumer, article)).or_default().push(told);
                }
            }
            NoticeKind::Missed { publications, .. } => self.counted.push((place, publications)),
            NoticeKind::Suspended => {
                self.suspended.insert(consumer, place);
                self.ever_suspended.insert(consumer);
            }
            _ => {}
        }
    }

    /// When the article went through the door for the first time, or was `published` if it never did.
    pub(crate) fn first_seen(&self, article: Article, published: Duration) -> Duration {
        self.first.get(&article).copied().unwrap_or(published)
    }

    /// Whether a notice that `is_taken` had named the article's source to `consumer` before `first`.
    pub(crate) fn had_named(
        &self,
        consumer: usize,
        article: Article,
        first: Duration,
        is_taken: impl Fn(Place) -> bool,
    ) -> bool {
        let key = *self.key(article.source);
        let named = self.named.get(&(consumer, key)).into_iter().flatten();
        named
            .into_iter()
            .any(|(place, at)| *at <= first && is_taken(*place))
    }

    /// Whether `article` went through the door before the first notice told `consumer` of it.
    pub(crate) fn was_taken_before(&self, consumer: usize, article: Article) -> bool {
        let first = self.first.get(&article).copied().unwrap_or(Duration::MAX);
        let told = self.told(consumer, article).iter();
        let told = told.map(|told| self.made_at(told.place)).min();
        told.is_some_and(|told| first < told)
    }

    /// When a notice was made; never, if it was not.
    pub(crate) fn made_at(&self, place: Place) -> Duration {
        self.made.get(&place).copied().unwrap_or(Duration::MAX)
    }

    /// All articles that `consumer` was told of.
    pub(crate) fn all_told(&self, consumer: usize) -> impl Iterator<Item = Article> + '_ {
        let of_one = self.told.keys().filter(move |(of, _)| *of == consumer);
        of_one.map(|(_, article)| *article)
    }

    /// The notices that told `consumer` of `article`.
    pub(crate) fn told(&self, consumer: usize, article: Article) -> &[Told] {
        self.told
            .get(&(consumer, article))
            .map_or(&[], |told| &told[..])
    }

    /// A consumer that is suspended would have been told of `articles`.
    pub(super) fn missed_by(
        &mut self,
        key: &VerifyingKey,
        articles: impl Iterator<Item = Article>,
    ) {
        let Some((consumer, suspended)) = self
            .consumers
            .get(key)
            .and_then(|consumer| Some((*consumer, *self.suspended.get(consumer)?)))
        else {
            return;
        };
        for article in articles {
            let missed = self.missed.entry((consumer, article)).or_default();
            missed.push(suspended);
        }
    }

    /// Where `consumer` was told of `article`, in words.
    pub(crate) fn whereabouts(&self, consumer: usize, article: Article) -> String {
        let told = self.told(consumer, article).iter();
        let told = told.map(|told| {
            let Place {
                session, counter, ..
            } = told.place;
            let Origin { start, number } = told.origin;
            format!("{session}/{counter} of batch {start}/{number}")
        });
        let missed = self.missed(consumer, article).iter();
        let missed =
            missed.map(|place| format!("suspended in {}/{}", place.session, place.counter));
        told.chain(missed).collect::<Vec<_>>().join(", ")
    }

    /// Where `consumer` was told that it is suspended, for each time that it missed `article`.
    pub(crate) fn missed(&self, consumer: usize, article: Article) -> &[Place] {
        self.missed
            .get(&(consumer, article))
            .map_or(&[], |missed| &missed[..])
    }
}
