//! What subscriptions take in memory, all that an engine keeps of them counted.
//!
//! A binary of its own, for it counts what the whole process allocates, and has one test for the same reason.

#![allow(clippy::unwrap_used, reason = "helpers of tests are tests")]

use std::alloc::System;

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

const CONSUMERS: u64 = 100;
const SUBSCRIPTIONS_OF_EACH: u64 = 1000;
/// Bytes that one subscription may take.
const EACH_MAX: f64 = 96.0;

/// Distributed as in the sample of the original router: a symbol, and one constraint more.
fn drawn(entropy: &mut Entropy) -> Subscription {
    let mut bytes = [0; 32];
    entropy.fill(&mut bytes);
    let below = |at: usize, end: u64| {
        let number = bytes[at..at + 8].try_into().unwrap();
        u64::from_le_bytes(number) % end
    };
    let (symbol, one, other) = (below(0, 200), below(16, 500), below(24, 500));
    let second = match below(8, 100) {
        0..36 => format!("i high >= {one}"),
        36..69 => format!("i low <= {one}"),
        69..88 => format!("i open >= {} i open <= {}", one.min(other), one.max(other)),
        _ => format!("i volume >= {}", one * 600_000),
    };
    subscription(&format!("i symbol = {symbol} {second}"))
}

#[test]
fn a_subscription_takes_fewer_bytes_than_the_promise() {
    let mut enclave = Enclave::new();
    let mut session = Session::open(&mut enclave, &identity(1), 1);
    let mut entropy = Entropy::new(1);
    let before = ALLOCATOR.allocated();

    for number in 0..CONSUMERS {
        let consumer = Consumer::new(number);
        let subscriptions = (0..SUBSCRIPTIONS_OF_EACH).map(|id| (id, drawn(&mut entropy)));
        let admission = consumer.admission_of(false, subscriptions.collect());
        let (receipt, _) = session.tell(&mut enclave, admission);
        assert_eq!(u64::from(receipt.matched), SUBSCRIPTIONS_OF_EACH);
    }

    let taken = ALLOCATOR.allocated() - before;
    let each = taken as f64 / (CONSUMERS * SUBSCRIPTIONS_OF_EACH) as f64;
    println!("{each:.1} bytes for each subscription");
    assert!(each < EACH_MAX, "{each:.1} bytes");
}
