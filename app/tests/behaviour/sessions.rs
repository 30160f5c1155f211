//! Sources that came and went while a durable consumer was away: what they published is kept, and can be read when it is back.

use crate::support::{Folder, Role, Tally, numbers};

/// Brings the consumer back while a source is there, and asserts that it gets the numbers up to `end` in order and misses nothing.
fn assert_gets_everything(folder: &Folder, mut tally: Tally, end: u64) {
    let mut back = durable(folder);
    tally.until(&mut back, end as usize);
    let back = back.interrupt();
    tally.rest(&back.stdout);

    let all: Vec<String> = numbers(0..end).lines().map(str::to_owned).collect();
    assert!(tally.order == all, "not in order: {:?}", tally.order);
    for lack in ["missing", "uncovered", "missed", "lapsed", "not_taken"] {
        assert_eq!(back.events(lack).len(), 0, "{lack}");
    }
}

fn durable(folder: &Folder) -> Role {
    folder.consumer("key", "me", &["--durable", "1h"])
}

/// A folder, a router, and what a consumer was given before it went away and its source ended.
fn begun() -> (Folder, Role, Tally) {
    let folder = Folder::with_keys();
    folder.write("subs", "0 1 S i n exists\n");
    let router = folder.router(&[]);
    let mut source = folder.source("key", "-", &[]);
    let mut consumer = durable(&folder);
    consumer.event("admitted");
    source.write(&numbers(0..10));
    let mut tally = Tally::default();
    tally.until(&mut consumer, 10);
    tally.rest(&consumer.interrupt().stdout);
    source.interrupt().succeeded();
    (folder, router, tally)
}

/// A source publishes these numbers, from the beginning of a session to its end.
fn come_and_go(folder: &Folder, range: std::ops::Range<u64>) {
    let name = format!("{}.pubs", range.start);
    folder.write(&name, numbers(range));
    let source = folder.source("key", &name, &["--once", "--await", "0"]);
    source.end().succeeded();
}

#[test]
fn a_durable_consumer_gets_what_sources_published_that_came_and_went_while_it_was_away() {
    let (folder, _router, tally) = begun();

    come_and_go(&folder, 10..1000);
    come_and_go(&folder, 1000..2000);
    let _source = folder.source("key", "-", &[]);

    assert_gets_everything(&folder, tally, 2000);
}

#[test]
fn a_router_that_was_killed_in_between_changes_nothing_about_that() {
    let (folder, router, tally) = begun();

    come_and_go(&folder, 10..1000);
    router.kill();
    let _router = folder.router(&[]);
    come_and_go(&folder, 1000..2000);
    let _source = folder.source("key", "-", &[]);

    assert_gets_everything(&folder, tally, 2000);
}

#[test]
fn what_was_kept_of_more_sessions_than_an_owner_gives_keys_of_is_told() {
    let (folder, _router, mut tally) = begun();

    for at in 1..=6 {
        come_and_go(&folder, 10 * at..10 * at + 10);
    }
    let _source = folder.source("key", "-", &[]);
    let mut back = durable(&folder);

    // Of the last sessions it has the keys.
    tally.until(&mut back, 10 + 30);
    let back = back.interrupt();
    tally.rest(&back.stdout);

    let last: Vec<String> = numbers(40..70).lines().map(str::to_owned).collect();
    assert_eq!(tally.order[10..], last);
    let uncovered = back.event("uncovered");
    assert!(uncovered["from"]["start"].as_u64() < uncovered["to"]["start"].as_u64());
}
