//! Every delivery is made, every time: as many as an offline match of the same files counts, through the real processes.
//!
//! With the published sample of the original router beside the repository, on that; without it, on data of the same shape.

use std::fmt::Write;

use crate::support::{DATASETS, Flags, Folder, Run, securecloud};

/// Runs in a row that must all be complete.
const RUNS: usize = 3;
/// What the sample's 1,000 subscriptions find in its 10,000 publications.
const SAMPLE_MATCHES: u64 = 17_517;

/// A folder with keys, and the sample or data like it.
fn folder(subscriptions: u64) -> Folder {
    let folder = Folder::with_keys();
    let sample = |name: &str| std::fs::read_to_string(format!("{DATASETS}/{name}"));
    folder.write(
        "pubs",
        sample("p10k").unwrap_or_else(|_| generated_publications()),
    );
    match sample("s1k") {
        Ok(text) if subscriptions == 1000 => folder.write("subs", text),
        _ => folder.write("subs", generated_subscriptions(subscriptions)),
    };
    folder
}

fn expected(folder: &Folder) -> u64 {
    let counted = securecloud(
        folder,
        &[
            "match",
            "--subscriptions",
            "subs",
            "--publications",
            "pubs",
            "--count",
        ],
    );
    counted.succeeded().trim().parse().unwrap()
}

#[track_caller]
fn assert_all_delivered(folder: &Folder, expected: u64, flags: &[&str]) {
    let quiet = [flags, &["--quiet"]].concat();
    let flags = Flags {
        consumer: &quiet,
        ..Flags::all(flags)
    };
    for run in 0..RUNS {
        let done = Run::through(folder, flags);

        assert_eq!(done.deliveries(), expected, "run {run}");
        assert_eq!(
            done.consumer.events("missing"),
            Vec::<serde_json::Value>::new()
        );
        assert_eq!(done.router.event("summary")["undeliverable"], 0);
    }
}

#[test]
fn a_thousand_subscriptions_get_all_their_deliveries_encrypted_and_plain() {
    let folder = folder(1000);
    let expected = expected(&folder);
    if std::fs::exists(format!("{DATASETS}/s1k")).unwrap() {
        assert_eq!(expected, SAMPLE_MATCHES);
    }

    assert_all_delivered(&folder, expected, &[]);
    assert_all_delivered(&folder, expected, &["--plain"]);
}

#[test]
fn ten_thousand_subscriptions_get_all_their_deliveries() {
    let folder = folder(10_000);
    let expected = expected(&folder);

    assert!(
        expected > 100_000,
        "{expected} deliveries are too few to lose any"
    );
    assert_all_delivered(&folder, expected, &[]);
}

/// A sequence of numbers that is the same at every run (xorshift; Marsaglia, 2003).
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % bound
    }
}

/// One equality on one of 200 symbols, and one more constraint, as in the sample.
fn generated_subscriptions(count: u64) -> String {
    let mut numbers = Numbers(0x9e37_79b9_7f4a_7c15);
    let mut text = String::new();
    for id in 0..count {
        write!(text, "0 {id} S i symbol = {} ", numbers.below(200)).unwrap();
        let (price, other) = (numbers.below(500), numbers.below(500));
        match numbers.below(100) {
            0..36 => writeln!(text, "i high >= {price}"),
            36..69 => writeln!(text, "i low <= {price}"),
            69..88 => writeln!(
                text,
                "i open >= {} i open <= {}",
                price.min(other),
                price.max(other)
            ),
            _ => writeln!(text, "i volume >= {}", numbers.below(300_000_000)),
        }
        .unwrap();
    }
    text
}

fn generated_publications() -> String {
    let mut numbers = Numbers(0x2545_f491_4f6c_dd1d);
    let mut text = String::new();
    for day in 0..10_000 {
        let (symbol, open, volume) = (
            numbers.below(200),
            numbers.below(500),
            numbers.below(300_000_000),
        );
        let (low, high) = (
            open.saturating_sub(numbers.below(20)),
            open + numbers.below(20),
        );
        writeln!(text, "0 0 P i symbol {symbol} i date {day} i open {open} i high {high} i low {low} i close {open} i volume {volume}").unwrap();
    }
    text
}
