//! What subscriptions take in memory, all that an engine keeps of them counted.
//!
//! A binary of its own, for it counts what the whole process allocates; its tests take turns for the same reason.

#![allow(clippy::unwrap_used, reason = "helpers of tests are tests")]

use std::alloc::System;
use std::sync::Mutex;

use cap::Cap;
use sc_matching::Subscription;

#[allow(dead_code, reason = "shared with the tests of the engine")]
#[path = "../engine/consumer.rs"]
mod consumer;
#[allow(dead_code, reason = "shared with the tests of the engine")]
#[path = "../engine/owner.rs"]
mod owner;

use consumer::Consumer;
use owner::{Enclave, Entropy, Session, identity, subscription};

#[global_allocator]
static ALLOCATOR: Cap<System> = Cap::new(System, usize::MAX);

/// Held by the test that allocates.
static TURN: Mutex<()> = Mutex::new(());

const SUBSCRIPTIONS_OF_EACH: u64 = 1000;
/// Bytes that one subscription may take.
const EACH_MAX: f64 = 96.0;

/// Uniform in `0..end`, each time another.
fn below(entropy: &mut Entropy, end: u64) -> u64 {
    let mut bytes = [0; 8];
    entropy.fill(&mut bytes);
    u64::from_le_bytes(bytes) % end
}

/// Distributed as in the sample of the original router: a symbol, and one constraint more.
fn of_the_sample(entropy: &mut Entropy) -> String {
    let [symbol, kind, one, other] = [200, 100, 500, 500].map(|end| below(entropy, end));
    let second = match kind {
        0..36 => format!("i high >= {one}"),
        36..69 => format!("i low <= {one}"),
        69..88 => format!("i open >= {} i open <= {}", one.min(other), one.max(other)),
        _ => format!("i volume >= {}", one * 600_000),
    };
    format!("i symbol = {symbol} {second}")
}

/// A symbol that nobody else has.
fn alone(entropy: &mut Entropy) -> String {
    format!("i symbol = \"{}\"", below(entropy, 1 << 60))
}

/// As many symbols as a way into the index has, none of which anybody else has.
fn many_alone(entropy: &mut Entropy) -> String {
    let first = below(entropy, 1 << 50);
    let symbols = (first..first + 64).map(|symbol| symbol.to_string());
    format!("i symbol in {{{}}}", symbols.collect::<Vec<_>>().join(","))
}

/// Bytes that each subscription takes when so many consumers have a thousand each.
fn taken(consumers: u64, draw: fn(&mut Entropy) -> String) -> f64 {
    let mut enclave = Enclave::new();
    let mut session = Session::open(&mut enclave, &identity(1), 1);
    let mut entropy = Entropy::new(1);
    let before = ALLOCATOR.allocated();
    for number in 0..consumers {
        let drawn: Vec<(u64, Subscription)> = (0..SUBSCRIPTIONS_OF_EACH)
            .map(|id| (id, subscription(&draw(&mut entropy))))
            .collect();
        let admission = Consumer::new(number).admission_of(false, drawn);
        let (receipt, _) = session.tell(&mut enclave, admission);
        assert_eq!(u64::from(receipt.matched), SUBSCRIPTIONS_OF_EACH);
    }
    let all = ALLOCATOR.allocated() - before;
    all as f64 / (consumers * SUBSCRIPTIONS_OF_EACH) as f64
}

#[test]
fn a_subscription_takes_fewer_bytes_than_the_promise() {
    let _turn = TURN.lock().unwrap_or_else(|lock| lock.into_inner());

    let each = taken(100, of_the_sample);

    println!("{each:.1} bytes for each subscription");
    assert!(each < EACH_MAX, "{each:.1} bytes");
}

#[test]
fn whoever_chooses_what_nobody_else_does_takes_no_more_than_is_counted() {
    let _turn = TURN.lock().unwrap_or_else(|lock| lock.into_inner());
    let counted = |rows: f64| 64.0 + 320.0 * rows;

    let (one, many) = (taken(10, alone), taken(3, many_alone));

    println!("{one:.1} bytes for one row, {many:.1} for 64");
    assert!(one < counted(1.0), "{one:.1} bytes");
    assert!(many < counted(64.0), "{many:.1} bytes");
}
