//! Publications as a peer carries them, and the filter of its consumer.
//!
//! Invariant: what passes the filter of a topic is what `Subscription::matches` says, for numbers; a workload of which that
//! cannot be said is refused.
//!
//! A header is one 64-bit number for each attribute, in an order that both sides know; NaN is an attribute that is absent. It is
//! smaller and read faster than text or a self-describing form would be.

use std::collections::HashMap;

use anyhow::{Context, ensure};
use sc_matching::{Constraint, Predicate, Publication, Subscription};

use super::Peer;

/// The attribute that makes the topic.
const TOPIC_ATTRIBUTE: &str = "symbol";
const NUMBER_BYTES: usize = 8;

/// The attributes of a workload, in the order of a header's numbers.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Schema(Vec<String>);

impl Schema {
    /// Every attribute that a publication has, in the order in which they first come.
    pub(super) fn of(publications: &[Publication]) -> Self {
        let mut names: Vec<String> = Vec::new();
        for (name, _) in publications.iter().flat_map(Publication::attributes) {
            if !names.iter().any(|known| known.as_str() == name.as_str()) {
                names.push(name.as_str().to_owned());
            }
        }
        Self(names)
    }

    /// One name a line.
    pub(super) fn parse(text: &str) -> Self {
        Self(text.lines().map(str::to_owned).collect())
    }

    /// What [`Schema::parse`] reads.
    pub(super) fn text(&self) -> String {
        self.0.join("\n")
    }

    pub(super) fn header_bytes(&self) -> usize {
        NUMBER_BYTES * self.0.len()
    }

    fn column(&self, name: &str) -> Option<usize> {
        self.0.iter().position(|known| known == name)
    }

    /// The topic and the header of a publication.
    ///
    /// # Errors
    /// It has no symbol, or a value that is no number.
    pub(super) fn encode(
        &self,
        peer: Peer,
        publication: &Publication,
    ) -> anyhow::Result<(Vec<u8>, Vec<u8>)> {
        let mut numbers = vec![f64::NAN; self.0.len()];
        let mut topic = None;
        for (name, value) in publication.attributes() {
            let place = self
                .column(name.as_str())
                .context("an attribute that no publication has")?;
            numbers[place] = number(value)?;
            if name.as_str() == TOPIC_ATTRIBUTE {
                topic = Some(peer.topic(&value.to_string()));
            }
        }
        let topic = topic.context("a publication without a symbol has no topic")?;
        let header = numbers.into_iter().flat_map(f64::to_le_bytes).collect();
        Ok((topic, header))
    }
}

/// A value as the peers carry it.
fn number(value: &impl ToString) -> anyhow::Result<f64> {
    let text = value.to_string();
    let parsed = text.parse().ok().filter(|number: &f64| number.is_finite());
    parsed.with_context(|| format!("{text} is no number: peers are measured on numbers alone"))
}

/// The numbers that satisfy a constraint, both ends included.
#[derive(Debug, Clone, Copy)]
struct Range {
    column: usize,
    least: f64,
    greatest: f64,
}

impl Range {
    fn of(schema: &Schema, constraint: &Constraint) -> anyhow::Result<Self> {
        let name = constraint.name().as_str();
        let column = schema.column(name);
        let (least, greatest) = match constraint.predicate() {
            Predicate::Equal(value) => (number(value)?, number(value)?),
            Predicate::Less(value) => (f64::NEG_INFINITY, number(value)?.next_down()),
            Predicate::LessOrEqual(value) => (f64::NEG_INFINITY, number(value)?),
            Predicate::Greater(value) => (number(value)?.next_up(), f64::INFINITY),
            Predicate::GreaterOrEqual(value) => (number(value)?, f64::INFINITY),
            _ => anyhow::bail!("{constraint}: the peers' filter knows =, <, <=, > and >= alone"),
        };
        Ok(Self {
            column: column.with_context(|| format!("{name}: no publication has it"))?,
            least,
            greatest,
        })
    }

    /// False for what is absent.
    fn holds(self, header: &[u8]) -> bool {
        let begin = NUMBER_BYTES * self.column;
        let bytes = header.get(begin..).and_then(<[u8]>::first_chunk);
        let number = bytes.map_or(f64::NAN, |bytes| f64::from_le_bytes(*bytes));
        self.least <= number && number <= self.greatest
    }
}

/// What is left to test of one subscription once its topic has come.
struct Rest {
    place: usize,
    ranges: Box<[Range]>,
}

/// The subscriptions of one consumer, by topic, and how often each was passed.
pub(super) struct Filter {
    topics: HashMap<Vec<u8>, Vec<Rest>>,
    counts: Vec<(u64, u64)>,
}

impl Filter {
    /// # Errors
    /// A subscription without an equality on the symbol, or one that is not of numbers and ranges.
    pub(super) fn new(
        peer: Peer,
        schema: &Schema,
        subscriptions: &[(u64, Subscription)],
    ) -> anyhow::Result<Self> {
        let mut topics: HashMap<Vec<u8>, Vec<Rest>> = HashMap::new();
        let mut counts = Vec::new();
        for (id, subscription) in subscriptions {
            let (topic, rest): (Vec<_>, Vec<_>) = subscription
                .constraints()
                .iter()
                .partition(|constraint| topic_of(peer, constraint).is_some());
            ensure!(
                topic.len() == 1,
                "subscription {id} has {} equalities on {TOPIC_ATTRIBUTE} instead of one: it has no topic",
                topic.len()
            );
            let topic = topic_of(peer, topic[0]).context("it has just been found")?;
            let ranges = rest.into_iter().map(|rest| Range::of(schema, rest));
            topics.entry(topic).or_default().push(Rest {
                place: counts.len(),
                ranges: ranges.collect::<anyhow::Result<_>>()?,
            });
            counts.push((*id, 0));
        }
        Ok(Self { topics, counts })
    }

    /// What has to be subscribed to.
    pub(super) fn topics(&self) -> impl Iterator<Item = &Vec<u8>> {
        self.topics.keys()
    }

    /// Counts the subscriptions that a message is for; returns how many they are.
    pub(super) fn take(&mut self, topic: &[u8], header: &[u8]) -> u64 {
        let rests = self.topics.get(topic).map_or(&[][..], Vec::as_slice);
        let mut passed = 0;
        for rest in rests {
            if rest.ranges.iter().all(|range| range.holds(header)) {
                self.counts[rest.place].1 += 1;
                passed += 1;
            }
        }
        passed
    }

    /// How often each subscription was passed.
    pub(super) fn counts(&self) -> &[(u64, u64)] {
        &self.counts
    }
}

/// The topic that a constraint asks for.
fn topic_of(peer: Peer, constraint: &Constraint) -> Option<Vec<u8>> {
    match constraint.predicate() {
        Predicate::Equal(value) if constraint.name().as_str() == TOPIC_ATTRIBUTE => {
            Some(peer.topic(&value.to_string()))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::DataArgs;
    use crate::workload::{Data, Workload};

    fn workload(publications: &str, subscriptions: &str) -> Workload {
        Workload {
            publications_text: publications.into(),
            subscriptions_text: subscriptions.into(),
            description: String::new(),
        }
    }

    /// How often each subscription is passed when every publication is carried.
    fn counts(workload: &Workload) -> anyhow::Result<Vec<(u64, u64)>> {
        let publications = workload.publications()?;
        let schema = Schema::parse(&Schema::of(&publications).text());
        let mut filter = Filter::new(Peer::Nats, &schema, &workload.subscriptions()?)?;
        for publication in &publications {
            let (topic, header) = schema.encode(Peer::Nats, publication)?;
            assert_eq!(header.len(), schema.header_bytes());
            filter.take(&topic, &header);
        }
        Ok(filter.counts().to_vec())
    }

    #[test]
    fn what_passes_is_what_the_language_says() {
        let arguments = DataArgs {
            data: None,
            bundled: true,
            payload_bytes: 64,
        };
        let workload = Data::find(&arguments).workload(300).unwrap();

        let counts = counts(&workload).unwrap();

        let passed = counts.into_iter().filter(|(_, count)| *count > 0);
        assert!(workload.expected().unwrap().into_iter().eq(passed));
    }

    #[test]
    fn bounds_are_as_sharp_as_the_language_has_them() {
        let workload = workload(
            "0 0 P i symbol 1 i a 4\n0 0 P i symbol 1 i a 5\n0 0 P i symbol 1 i a 6\n0 0 P i symbol 1\n",
            "0 1 S i symbol = 1 i a < 5\n0 2 S i symbol = 1 i a <= 5\n0 3 S i symbol = 1 i a > 5\n\
             0 4 S i symbol = 1 i a >= 5\n0 5 S i symbol = 1 i a = 5\n0 6 S i symbol = 1\n0 7 S i symbol = 2\n",
        );

        let counts = counts(&workload).unwrap();

        assert_eq!(
            counts,
            [(1, 1), (2, 2), (3, 1), (4, 2), (5, 1), (6, 4), (7, 0)]
        );
    }

    #[test]
    fn a_subscription_that_no_topic_serves_is_refused() {
        for subscription in [
            "0 1 S i a = 5\n",
            "0 1 S i symbol >= 5\n",
            "0 1 S i symbol = 1 i symbol = 2\n",
            "0 1 S i symbol = 1 i a != 5\n",
            "0 1 S i symbol = 1 i a = \"five\"\n",
        ] {
            let workload = workload("0 0 P i symbol 1 i a 5\n", subscription);

            assert!(counts(&workload).is_err(), "{subscription}");
        }
    }

    #[test]
    fn a_publication_that_is_not_of_numbers_under_a_symbol_is_refused() {
        for publication in ["0 0 P i a 5\n", "0 0 P i symbol 1 i a \"five\"\n"] {
            let workload = workload(publication, "");

            assert!(counts(&workload).is_err(), "{publication}");
        }
    }
}
