//! What publishers publish and consumers subscribe to, and the known answer: who has to receive what.
//!
//! Invariant: the answer comes from `Subscription::matches`, the meaning of the language, and from nothing of the system under test.

use std::collections::BTreeSet;
use std::sync::Arc;

use bytes::Bytes;
use sc_crypto::{OwnerSecret, Secret};
use sc_matching::{Constraint, Name, Number, Predicate, Publication, Subscription, Text, Value};

use crate::party::Party;
use crate::random::Random;
use crate::scenario::Scenario;

/// What is published under one name.
pub(crate) struct Article {
    pub(crate) header: Publication,
    pub(crate) payload: Bytes,
}

pub(crate) struct Consumer {
    pub(crate) identity: Arc<OwnerSecret>,
    /// The number of the owner to whose domain it subscribes.
    pub(crate) domain: usize,
    pub(crate) subscriptions: Vec<(u64, Subscription)>,
    /// It comes when the domain's owner has published so many.
    pub(crate) joins_after: usize,
    /// It withdraws these when the domain's owner has published so many.
    pub(crate) leaves: Option<(usize, Vec<u64>)>,
}

/// Whoever publishes: owners first, then those that they let publish in their domains.
pub(crate) struct Source {
    pub(crate) identity: Arc<OwnerSecret>,
    /// The number of the owner in whose domain it publishes.
    pub(crate) domain: usize,
    /// Whether its input can be read again after a crash.
    pub(crate) rereads: bool,
    pub(crate) articles: Vec<Article>,
}

pub(crate) struct Workload {
    pub(crate) sources: Vec<Source>,
    pub(crate) owners: usize,
    pub(crate) consumers: Vec<Consumer>,
}

/// The attributes that label an article; no subscription looks at them.
pub(crate) const SOURCE: &str = "source";
pub(crate) const SERIAL: &str = "serial";

impl Workload {
    pub(crate) fn draw(seed: u64, scenario: &Scenario) -> Self {
        let sources = (0..scenario.publishers + scenario.grantees)
            .map(|number| draw_source(seed, scenario, number));
        let consumers = (0..scenario.consumers).map(|number| draw_consumer(seed, scenario, number));
        Self {
            sources: sources.collect(),
            owners: scenario.publishers,
            consumers: consumers.collect(),
        }
    }

    /// The subscriptions of `consumer` that publication `serial` of `source` matches, ascending.
    pub(crate) fn matching(&self, consumer: usize, source: usize, serial: usize) -> Vec<u64> {
        let consumer = &self.consumers[consumer];
        let header = &self.sources[source].articles[serial].header;
        let matching = consumer
            .subscriptions
            .iter()
            .filter(|(_, subscription)| subscription.matches(header));
        matching.map(|(id, _)| *id).collect()
    }

    /// Consumers of this domain that are there from the beginning and not `revoked`.
    pub(crate) fn first_consumers_of(&self, domain: usize, revoked: &BTreeSet<usize>) -> usize {
        let consumers = self.consumers.iter().enumerate();
        let of_domain = consumers
            .filter(|(_, consumer)| consumer.domain == domain && consumer.joins_after == 0);
        of_domain
            .filter(|(number, _)| !revoked.contains(number))
            .count()
    }

    /// The party that a source is.
    pub(crate) fn party(&self, source: usize) -> Party {
        match source.checked_sub(self.owners) {
            None => Party::Publisher(source),
            Some(grantee) => Party::Grantee(grantee),
        }
    }

    /// The source that a party is.
    pub(crate) fn source(&self, party: Party) -> Option<usize> {
        match party {
            Party::Publisher(number) => Some(number),
            Party::Grantee(number) => Some(self.owners + number),
            _ => None,
        }
    }
}

fn draw_source(seed: u64, scenario: &Scenario, number: usize) -> Source {
    let mut random = Random::new(seed, "articles", number);
    let articles = (0..scenario.publications + scenario.epilogue)
        .map(|serial| Article {
            header: draw_header(number, serial, &mut random),
            payload: payload(number, serial, scenario.payload_max, &mut random),
        })
        .collect();
    let is_owner = number < scenario.publishers;
    Source {
        identity: identity(seed, if is_owner { "publisher" } else { "grantee" }, number),
        domain: number % scenario.publishers,
        rereads: Random::new(seed, "rereads", number).chance(scenario.rereading),
        articles,
    }
}

fn draw_consumer(seed: u64, scenario: &Scenario, number: usize) -> Consumer {
    let mut random = Random::new(seed, "subscriptions", number);
    let count = random.within(1..scenario.subscriptions_max + 1);
    let subscriptions: Vec<_> = (0..count)
        .map(|place| (place as u64 * 7 + 1, draw_subscription(&mut random)))
        .collect();
    let mut some_time = |permille| {
        random
            .chance(permille)
            .then(|| random.below(scenario.publications + 1))
    };
    let (joins, leaves) = (some_time(scenario.late), some_time(scenario.leaving));
    let ids = subscriptions.iter().map(|(id, _)| *id);
    let leaving: Vec<_> = ids.filter(|_| random.chance(500)).collect();
    Consumer {
        identity: identity(seed, "consumer", number),
        domain: number % scenario.publishers,
        subscriptions,
        joins_after: joins.unwrap_or_default(),
        leaves: leaves
            .filter(|_| !leaving.is_empty())
            .map(|after| (after, leaving)),
    }
}

fn identity(seed: u64, name: &str, number: usize) -> Arc<OwnerSecret> {
    let seed = Random::new(seed, name, number).seed();
    Arc::new(OwnerSecret::from_seed(Secret::from_bytes(seed)))
}

/// Publisher and serial number, then bytes of no meaning: no two payloads are the same.
fn payload(publisher: usize, serial: usize, most: usize, random: &mut Random) -> Bytes {
    let mut payload = Vec::new();
    payload.extend_from_slice(&(publisher as u64).to_le_bytes());
    payload.extend_from_slice(&(serial as u64).to_le_bytes());
    let mut filler = vec![0; random.below(most + 1)];
    random.fill(&mut filler);
    payload.extend_from_slice(&filler);
    payload.into()
}

/// Publisher and serial number of a payload.
pub(crate) fn label(payload: &[u8]) -> Option<(usize, usize)> {
    let (publisher, rest) = payload.split_first_chunk()?;
    let (serial, _) = rest.split_first_chunk()?;
    Some((
        u64::from_le_bytes(*publisher) as usize,
        u64::from_le_bytes(*serial) as usize,
    ))
}

const TEXTS: [&str; 5] = ["IBM", "IBMX", "AAPL", "", "é"];
const NAMES: [&str; 4] = ["symbol", "open", "volume", "note"];

fn name(name: &str) -> Name {
    Name::new(name).expect("the names above are short")
}

fn number(random: &mut Random) -> Number {
    let half = random.within(0..21) as f64 / 2.0;
    Number::new(half - 5.0).expect("a small number is finite")
}

fn text(random: &mut Random) -> Text {
    Text::new(random.pick::<&str>(&TEXTS)).expect("the texts above are short")
}

fn value(random: &mut Random) -> Value {
    if random.chance(600) {
        number(random).into()
    } else {
        text(random).into()
    }
}

fn draw_header(source: usize, serial: usize, random: &mut Random) -> Publication {
    let mut header = Publication::new();
    for (label, number) in [(SOURCE, source), (SERIAL, serial)] {
        let number = Number::new(number as f64).expect("a small number is finite");
        header
            .push(name(label), number.into())
            .expect("a few short attributes fit");
    }
    for attribute in NAMES {
        if random.chance(800) {
            header
                .push(name(attribute), value(random))
                .expect("a few short attributes fit");
        }
    }
    header
}

fn draw_subscription(random: &mut Random) -> Subscription {
    let constraints: Vec<_> = (0..random.below(4))
        .map(|_| {
            let attribute = name(random.pick::<&str>(&NAMES));
            Constraint::new(attribute, draw_predicate(random)).expect("few values in a set")
        })
        .collect();
    Subscription::new(constraints).expect("few constraints")
}

fn draw_predicate(random: &mut Random) -> Predicate {
    match random.below(9) {
        0 => Predicate::Equal(value(random)),
        1 => Predicate::NotEqual(value(random)),
        2 => Predicate::Less(value(random)),
        3 => Predicate::LessOrEqual(value(random)),
        4 => Predicate::Greater(value(random)),
        5 => Predicate::GreaterOrEqual(value(random)),
        6 => Predicate::Prefix(text(random)),
        7 => Predicate::In((0..3).map(|_| value(random)).collect()),
        _ => Predicate::Exists,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn some_publications_match_and_some_do_not() {
        let scenario = Scenario::draw(1);
        let workload = Workload::draw(
            1,
            &Scenario {
                publications: 100,
                ..scenario
            },
        );

        let matching = (0..100)
            .filter(|serial| !workload.matching(0, 0, *serial).is_empty())
            .count();

        assert!((1..100).contains(&matching), "{matching}");
    }

    #[test]
    fn a_payload_names_its_publication() {
        let mut random = Random::new(1, "payload", 0);

        let bytes = payload(3, 70_000, 50, &mut random);

        assert_eq!(label(&bytes), Some((3, 70_000)));
        assert_eq!(label(&bytes[..15]), None);
    }
}
