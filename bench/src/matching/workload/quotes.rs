//! Quotes: an equality on the symbol with templates beside it, and a share of ranges.
//!
//! Invariant: every publication has one or more copies of the attributes of a quote, unrelated to each other; each
//! copy's names end in its number.
//! Source: the distribution of `s1k` (see `workload/generate.rs`) and of `p10k`, whose prices and volumes are drawn from
//! quantiles of the sample.

use sc_matching::{Constraint, Name, Predicate, Publication, Subscription, Value};

use super::{constraint, interval, joined, name, number, within};
use crate::random::Random;
use crate::workload;

/// Symbols of `p10k`; each is as frequent as the others.
const SYMBOLS: u64 = 200;
/// Days of `p10k`.
const DAYS: u64 = 52;
/// The first of them, in seconds.
const FIRST_DAY: f64 = 1_136_160_000.0;
/// Thresholds of prices are below this.
const PRICE_END: u64 = 500;
/// Thresholds of volumes are below this.
const VOLUME_END: u64 = 300_000_000;

/// Of `open` in `p10k`, every 5 %; in place of the greatest a smaller one, as few publications are near it.
const PRICES: [f64; 21] = [
    0.0, 0.0, 1.0, 2.0, 3.0, 6.0, 9.0, 11.0, 12.0, 14.0, 16.0, 19.0, 22.0, 25.0, 33.0, 38.0, 44.0,
    53.0, 93.0, 346.0, 1500.0,
];
/// Of `volume` in `p10k`, every 5 %, and in place of the greatest a smaller one.
const VOLUMES: [f64; 21] = [
    0.0,
    0.0,
    0.0,
    100.0,
    1600.0,
    4000.0,
    8400.0,
    14_800.0,
    25_500.0,
    42_100.0,
    68_500.0,
    102_000.0,
    150_600.0,
    219_800.0,
    315_600.0,
    430_600.0,
    612_100.0,
    950_000.0,
    1_790_000.0,
    4_945_800.0,
    60_000_000.0,
];

/// Attributes of one quote, in the order of the sample.
const FIELDS: [&str; 7] = ["symbol", "date", "open", "high", "low", "close", "volume"];
const DATE: usize = 1;
const OPEN: usize = 2;
const HIGH: usize = 3;
const LOW: usize = 4;
const VOLUME: usize = 6;

/// Subscriptions and publications about quotes.
pub(super) struct Quotes {
    /// Names of each copy's attributes.
    copies: Vec<[Name; FIELDS.len()]>,
    symbols: Symbols,
    /// Part of the subscriptions that have ranges only.
    ranges: f64,
    shape: Shape,
}

/// How much a subscription demands.
#[derive(Clone, Copy)]
struct Shape {
    /// Templates beside the equality, each on another copy.
    templates: usize,
    /// Ranges of a subscription that has nothing else.
    ranges: usize,
    /// Width of such a range, as parts of the publications that it admits.
    widths: (f64, f64),
}

enum Symbols {
    /// As frequent as each other.
    Uniform,
    /// The n-th with a frequency proportional to 1/n; sums of the frequencies.
    Zipf(Vec<f64>),
    /// Those of the bundled quotes, which also are the publications.
    Bundled(Vec<Value>),
}

impl Quotes {
    /// `copies` is 1, 2 or 4. What a subscription demands grows with it, but not in proportion, so that some still match.
    pub(super) fn new(copies: usize, ranges: f64) -> Self {
        let shape = match copies {
            1 => Shape {
                templates: 1,
                ranges: 2,
                widths: (0.05, 0.35),
            },
            2 => Shape {
                templates: 2,
                ranges: 3,
                widths: (0.06, 0.36),
            },
            _ => Shape {
                templates: 3,
                ranges: 4,
                widths: (0.03, 0.33),
            },
        };
        let names = |copy| {
            FIELDS.map(|field| match copy {
                0 => name(field),
                _ => name(&format!("{field}{}", copy + 1)),
            })
        };
        Self {
            copies: (0..copies).map(names).collect(),
            symbols: Symbols::Uniform,
            ranges,
            shape,
        }
    }

    pub(super) fn with_zipf_symbols(mut self) -> Self {
        let sums = (1..=SYMBOLS).scan(0.0, |sum, rank| {
            *sum += 1.0 / rank as f64;
            Some(*sum)
        });
        self.symbols = Symbols::Zipf(sums.collect());
        self
    }

    /// The bundled quotes and subscriptions to their symbols.
    pub(super) fn bundled() -> Self {
        let quotes = workload::quotes();
        let mut symbols: Vec<Value> = Vec::new();
        for value in quotes.iter().flat_map(|quote| quote.attributes()) {
            if value.0.as_str() == FIELDS[0] && !symbols.contains(&value.1) {
                symbols.push(value.1.clone());
            }
        }
        Self {
            symbols: Symbols::Bundled(symbols),
            ..Self::new(1, 0.0)
        }
    }

    pub(super) fn publications(&self, count: u64) -> Vec<Publication> {
        if matches!(self.symbols, Symbols::Bundled(_)) {
            return workload::quotes();
        }
        let mut random = Random::new(21);
        (0..count).map(|_| self.publication(&mut random)).collect()
    }

    fn publication(&self, random: &mut Random) -> Publication {
        let mut publication = Publication::new();
        for names in &self.copies {
            let symbol = self.symbols.draw(random);
            for (name, value) in names.iter().zip(quote(symbol, random)) {
                publication
                    .push(name.clone(), value)
                    .expect("names of few copies differ");
            }
        }
        publication
    }

    pub(super) fn subscription(&self, n: u64) -> Subscription {
        let mut random = Random::of_item(22, n);
        if random.fraction() < self.ranges {
            return self.ranges_only(&mut random);
        }
        let copy = self.copy(&mut random);
        let symbol = self.symbols.draw(&mut random);
        let mut constraints = vec![constraint(&copy[0], Predicate::Equal(symbol))];
        let mut left: Vec<&[Name; FIELDS.len()]> = self.copies.iter().collect();
        for _ in 0..self.shape.templates {
            let names = left.swap_remove(random.below(left.len() as u64) as usize);
            constraints.extend(template(names, &mut random));
        }
        joined(constraints)
    }

    fn copy(&self, random: &mut Random) -> &[Name; FIELDS.len()] {
        &self.copies[random.below(self.copies.len() as u64) as usize]
    }

    /// Ranges on dates, prices and volumes, no two on the same of one copy.
    fn ranges_only(&self, random: &mut Random) -> Subscription {
        let fields = |copy| [DATE, OPEN, VOLUME].map(|field| (copy, field));
        let mut left: Vec<_> = self.copies.iter().flat_map(fields).collect();
        let mut constraints = Vec::with_capacity(2 * self.shape.ranges);
        for _ in 0..self.shape.ranges {
            let (names, field) = left.swap_remove(random.below(left.len() as u64) as usize);
            // One of the four prices.
            let field = match field {
                OPEN => OPEN + random.below(4) as usize,
                other => other,
            };
            let width = random.between(self.shape.widths.0, self.shape.widths.1);
            let (low, high) = interval(random.fraction(), width);
            constraints.extend(within(
                &names[field],
                value_at(field, low),
                value_at(field, high),
            ));
        }
        joined(constraints)
    }
}

impl Symbols {
    fn draw(&self, random: &mut Random) -> Value {
        match self {
            Self::Uniform => number(random.below(SYMBOLS) as f64),
            Self::Zipf(sums) => {
                let all = sums.last().copied().unwrap_or_default();
                let drawn = random.fraction() * all;
                number(sums.partition_point(|sum| *sum <= drawn) as f64)
            }
            Self::Bundled(symbols) => symbols[random.below(symbols.len() as u64) as usize].clone(),
        }
    }
}

/// The values of one quote.
fn quote(symbol: Value, random: &mut Random) -> [Value; FIELDS.len()] {
    let open = value_at(OPEN, random.fraction());
    let mut near = || (open * random.between(1.0, 1.03)).floor();
    let (high, close) = (near(), near());
    let low = (open * random.between(0.97, 1.0)).floor();
    let date = value_at(DATE, random.fraction());
    let volume = value_at(VOLUME, random.fraction());
    [
        symbol,
        number(date),
        number(open),
        number(high.max(close)),
        number(low),
        number(close),
        number(volume),
    ]
}

/// The value below which such a part of all values of a field lies.
fn value_at(field: usize, part: f64) -> f64 {
    match field {
        DATE => FIRST_DAY + (part * DAYS as f64).floor() * 86_400.0,
        VOLUME => quantile(&VOLUMES, part),
        _ => quantile(&PRICES, part),
    }
}

fn quantile(quantiles: &[f64; 21], part: f64) -> f64 {
    let position = part * (quantiles.len() - 1) as f64;
    let before = (position as usize).min(quantiles.len() - 2);
    let (low, high) = (quantiles[before], quantiles[before + 1]);
    (low + (high - low) * (position - before as f64)).floor()
}

/// One of the four templates of `s1k`.
fn template(names: &[Name; FIELDS.len()], random: &mut Random) -> Vec<Constraint> {
    let kind = random.below(100);
    let mut price = || random.below(PRICE_END) as f64;
    match kind {
        0..36 => vec![constraint(
            &names[HIGH],
            Predicate::GreaterOrEqual(number(price())),
        )],
        36..69 => vec![constraint(
            &names[LOW],
            Predicate::LessOrEqual(number(price())),
        )],
        69..88 => {
            let (one, other) = (price(), price());
            within(&names[OPEN], one.min(other), one.max(other)).into()
        }
        _ => {
            let volume = random.below(VOLUME_END) as f64;
            vec![constraint(
                &names[VOLUME],
                Predicate::GreaterOrEqual(number(volume)),
            )]
        }
    }
}
