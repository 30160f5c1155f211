//! Data with the shape of the sample, in any number, always the same.
//!
//! Invariant: a longer list begins with the shorter one.
//! Source: the distribution of `s1k`: one equality on `symbol`, which has 200 values, and one constraint more:
//! `high >=` 36 %, `low <=` 33 %, a range of `open` 19 %, `volume >=` 12 %; thresholds uniform.

use std::fmt::Write as _;

use sc_matching::ascii::{Line, Lines};
use sc_matching::{Publication, Value};

use crate::random::Random;

/// The bundled quotes.
const QUOTES: &str = include_str!("../../../app/data/quotes.pubs");
/// Each quote comes so often, every time under another symbol.
const PASSES: u32 = 10;

/// Values of `symbol`.
const SYMBOLS: u64 = 200;
/// Thresholds of prices are below this.
const PRICE_END: u64 = 500;
/// Thresholds of volumes are below this.
const VOLUME_END: u64 = 300_000_000;

/// The bundled quotes ten times over, each under a symbol drawn among as many as the sample has.
pub(super) fn publications() -> String {
    let mut random = Random::new(1);
    let quotes = quotes();
    let mut text = String::new();
    for quote in (0..PASSES).flat_map(|_| &quotes) {
        // Writing to a string cannot fail.
        let _ = writeln!(text, "{}", under_symbol(quote, random.below(SYMBOLS)));
    }
    text
}

/// The bundled quotes as they are.
pub(crate) fn quotes() -> Vec<Publication> {
    let lines = Lines::new(QUOTES).map(|line| match line {
        Ok((_, Line::Publication(publication))) => publication,
        other => panic!("the bundled quotes are publications: {other:?}"),
    });
    lines.collect()
}

fn under_symbol(quote: &Publication, symbol: u64) -> Publication {
    let mut renamed = Publication::new();
    for (name, value) in quote.attributes() {
        let value = if name.as_str() == "symbol" {
            number(symbol)
        } else {
            value.clone()
        };
        renamed
            .push(name.clone(), value)
            .expect("it is no larger than the quote");
    }
    renamed
}

/// So many subscriptions, numbered from 0.
pub(super) fn subscriptions(count: u64) -> String {
    let mut random = Random::new(2);
    let mut text = String::new();
    for id in 0..count {
        let symbol = random.below(SYMBOLS);
        let constraint = constraint(&mut random);
        // Writing to a string cannot fail.
        let _ = writeln!(text, "0 {id} S i symbol = {symbol} {constraint}");
    }
    text
}

/// The constraint beside the one on `symbol`.
fn constraint(random: &mut Random) -> String {
    let template = random.below(100);
    let mut price = || random.below(PRICE_END);
    match template {
        0..36 => format!("i high >= {}", price()),
        36..69 => format!("i low <= {}", price()),
        69..88 => {
            let (one, other) = (price(), price());
            let (least, greatest) = (one.min(other), one.max(other));
            format!("i open >= {least} i open <= {greatest}")
        }
        _ => format!("i volume >= {}", random.below(VOLUME_END)),
    }
}

fn number(value: u64) -> Value {
    Value::from(i32::try_from(value).expect("below 2^31"))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// How many of 10,000 subscriptions contain `text`.
    fn with(text: &str) -> usize {
        let subscriptions = subscriptions(10_000);
        subscriptions
            .lines()
            .filter(|line| line.contains(text))
            .count()
    }

    #[test]
    fn the_bundled_quotes_make_as_many_publications_as_the_sample_has() {
        let text = publications();

        let parsed = Lines::new(&text).filter(|line| matches!(line, Ok((_, Line::Publication(_)))));
        assert_eq!(parsed.count(), 10_000);
    }

    #[test]
    fn every_generated_subscription_parses_under_its_number() {
        let text = subscriptions(500);

        let ids: Vec<_> = Lines::new(&text)
            .map(|line| match line {
                Ok((_, Line::Subscription { id, .. })) => id,
                other => panic!("{other:?}"),
            })
            .collect();
        assert!(ids.into_iter().eq(0..500));
    }

    #[test]
    fn templates_are_as_frequent_as_in_the_sample() {
        let near = |count: usize, percent: usize| count.abs_diff(percent * 100) < 200;

        assert_eq!(with(" symbol = "), 10_000);
        assert!(near(with(" high >= "), 36));
        assert!(near(with(" low <= "), 33));
        assert!(near(with(" open >= "), 19) && with(" open <= ") == with(" open >= "));
        assert!(near(with(" volume >= "), 12));
    }

    #[test]
    fn symbols_are_spread_over_all_200() {
        assert!((20..90).contains(&with(" symbol = 0 ")));
        assert!((20..90).contains(&with(" symbol = 199 ")));
        assert_eq!(with(" symbol = 200 "), 0);
    }

    #[test]
    fn a_longer_list_begins_with_the_shorter_one() {
        assert!(subscriptions(2000).starts_with(&subscriptions(1000)));
    }
}
