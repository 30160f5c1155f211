//! Consumers that are away while others publish: what is kept for them, for how long, and what they are told.

use crate::support::{Finished, Folder, Role, Tally, matches, numbers};

/// What is published while the consumer is away.
const AWAY: u64 = 10_000;

/// A folder with keys and a filter that wants everything.
fn site() -> Folder {
    let folder = Folder::with_keys();
    folder.write("subs", "0 1 S i n exists\n");
    folder
}

/// A durable consumer that has been given the number 0 and a source that has seen it.
fn begin(folder: &Folder) -> (Role, Role, Tally) {
    let mut source = folder.source("key", "-", &[]);
    let mut consumer = folder.consumer("key", "me", &["--durable", "1h"]);
    assert_eq!(consumer.event("admitted")["retention_ms"], 3_600_000);
    source.write(&numbers(0..1));
    let mut tally = Tally::default();
    tally.until(&mut consumer, 1);
    (source, consumer, tally)
}

/// Publishes the numbers from 1 on, and waits until all of them are settled: kept for whoever is away.
fn publish_meanwhile(mut source: Role) -> Role {
    source.write(&numbers(1..AWAY + 1));
    source.end_input();
    assert_eq!(source.event("summary")["publications"], AWAY + 1);
    source
}

/// Brings the consumer back, and asserts that it gets everything in order.
fn come_back(folder: &Folder, mut tally: Tally) -> (Finished, Tally) {
    let mut back = folder.consumer("key", "me", &["--durable", "1h"]);
    tally.until(&mut back, 1 + AWAY as usize);
    let back = back.interrupt();
    tally.rest(&back.stdout);

    let all: Vec<String> = numbers(0..AWAY + 1).lines().map(str::to_owned).collect();
    assert!(tally.order == all, "not in order");
    assert_eq!(back.events("missing").len(), 0);
    (back, tally)
}

#[test]
fn what_matched_while_a_durable_consumer_was_away_comes_in_order_when_it_is_back() {
    let folder = site();
    let _router = folder.router(&[]);
    let (source, consumer, mut tally) = begin(&folder);

    tally.rest(&consumer.interrupt().stdout);
    let source = publish_meanwhile(source);
    let (_, tally) = come_back(&folder, tally);

    folder.write("pubs", numbers(0..AWAY + 1));
    tally.assert_is(&matches(&folder, "subs", &["pubs"]));
    source.interrupt().succeeded();
}

#[test]
fn a_durable_consumer_that_was_killed_and_comes_back_after_the_source_has_ended_gets_everything() {
    let folder = site();
    let _router = folder.router(&[]);
    let (source, consumer, mut tally) = begin(&folder);

    tally.rest(&consumer.kill().stdout);
    let source = publish_meanwhile(source);
    source.interrupt().succeeded();
    let (back, tally) = come_back(&folder, tally);

    // The first was printed; whether it was written down too is what a kill leaves open.
    assert!(tally.again <= 1, "{} again", tally.again);
    assert_eq!(back.events("uncovered").len(), 0);
}

#[test]
fn a_router_killed_meanwhile_finds_again_what_it_keeps() {
    let folder = site();
    let router = folder.router(&[]);
    let (source, consumer, mut tally) = begin(&folder);

    tally.rest(&consumer.interrupt().stdout);
    let source = publish_meanwhile(source);
    router.kill();
    let router = folder.router(&[]);
    router.told(" notices for 1 consumers were left in spill");
    let (_, tally) = come_back(&folder, tally);

    assert_eq!(tally.again, 0);
    source.interrupt().succeeded();
}

#[test]
fn a_router_killed_after_the_source_has_ended_still_finds_what_it_keeps() {
    let folder = site();
    let router = folder.router(&[]);
    let (source, consumer, mut tally) = begin(&folder);

    tally.rest(&consumer.interrupt().stdout);
    publish_meanwhile(source).interrupt().succeeded();
    router.kill();
    let _router = folder.router(&[]);
    let (back, tally) = come_back(&folder, tally);

    assert_eq!(tally.again, 0);
    assert_eq!(back.events("uncovered").len(), 0);
}

#[test]
fn what_a_consumer_is_granted_is_bounded_by_its_publisher_and_told() {
    let folder = site();
    let _router = folder.router(&[]);
    let _source = folder.source("key", "-", &["--retention-max", "90s"]);

    let mut greedy = folder.consumer("key", "greedy", &["--durable", "1h"]);
    let mut modest = folder.consumer("key", "modest", &["--durable", "45s"]);
    let mut neither = folder.consumer("key", "neither", &[]);

    assert_eq!(greedy.event("admitted")["retention_ms"], 90_000);
    greedy.told("while this consumer is away, what matches is kept for 1m 30s");
    assert_eq!(modest.event("admitted")["retention_ms"], 45_000);
    modest.told("is kept for 45s");
    assert_eq!(neither.event("admitted")["retention_ms"], 0);
    assert!(!neither.said().contains("is kept for"));
}

#[test]
fn a_consumer_that_is_away_for_a_moment_misses_nothing_whether_it_is_durable_or_not() {
    let folder = site();
    let _router = folder.router(&[]);
    let mut source = folder.source("key", "-", &[]);
    let mut first = folder.consumer("key", "me", &[]);
    let mut tally = Tally::default();
    first.event("admitted");
    source.write(&numbers(0..1));
    tally.until(&mut first, 1);

    tally.rest(&first.interrupt().stdout);
    source.write(&numbers(1..1000));
    source.end_input();
    source.event("summary");
    let mut second = folder.consumer("key", "me", &[]);
    tally.until(&mut second, 1000);

    folder.write("pubs", numbers(0..1000));
    tally.rest(&second.interrupt().stdout);
    tally.assert_is(&matches(&folder, "subs", &["pubs"]));
}

#[test]
fn a_router_without_a_store_has_the_source_keep_what_an_absent_consumer_has_not_taken() {
    let folder = site();
    let router = folder.router_with("none", &[]);
    let (mut source, consumer, mut tally) = begin(&folder);
    router.told("--spill none: what slow and absent consumers do not take waits in memory");

    tally.rest(&consumer.interrupt().stdout);
    source.write(&numbers(1..AWAY + 1));
    source.end_input();
    // Nothing of it is on a disk, so all of it is published again.
    router.kill();
    let _router = folder.router_with("none", &[]);
    source.event("opened");
    let (_, tally) = come_back(&folder, tally);

    assert_eq!(tally.again, 0);
    // It counts receipts, and some batches have had one of either router.
    assert!(source.event("summary")["publications"].as_u64() > Some(AWAY));
}

#[test]
fn what_is_lost_with_the_routers_folder_is_told_when_the_publisher_is_back() {
    let folder = site();
    let router = folder.router(&[]);
    let (source, consumer, mut tally) = begin(&folder);
    tally.rest(&consumer.interrupt().stdout);
    publish_meanwhile(source).interrupt().succeeded();

    router.interrupt().succeeded();
    std::fs::remove_dir_all(folder.join("spill")).unwrap();
    let _router = folder.router(&[]);
    let mut back = folder.consumer("key", "me", &["--durable", "1h"]);
    let _source = folder.source("key", "-", &[]);

    let uncovered = back.event("uncovered");
    assert_eq!(uncovered["from"]["start"], uncovered["to"]["start"]);
    assert!(uncovered["from"]["batch"].as_u64() < uncovered["to"]["batch"].as_u64());
    back.told("is not accounted for: the session ended before the router said whether it was for this consumer");
}
