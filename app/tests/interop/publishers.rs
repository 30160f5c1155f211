//! A foreign publisher, under an owner's grant, reaches every consumer.

use crate::support::{Folder, Role};
use crate::{
    House, Matched, TRUSTING, assert_nothing_amiss, assert_same, delivered, link_keys, router, told,
};

/// Lets the owner and the foreign publisher publish to both kinds of consumers; everyone calls with its flags.
#[track_caller]
fn assert_both_are_heard_by_both(house: House, flags: fn(&'static str) -> Vec<&'static str>) {
    let mut consumer = house.consumer(&flags("consumer"));
    let mut subscriber = house.subscriber_at(&house.endpoint, &flags("reader"));
    let mut source = house.source(&[vec!["--await", "2"], flags("source")].concat());
    consumer.event("admitted");
    subscriber.event("admitted");
    source.event("summary");

    let publisher = house.publisher_at(&house.endpoint, &flags("writer")).end();

    publisher.succeeded();
    let expected = house.expected();
    let published = publisher.event("published");
    let lines = house.folder.read("pubs").lines().count();
    assert_eq!(published["publications"].as_u64(), Some(lines as u64));
    assert_eq!(published["pairs"].as_u64(), Some(2 * pairs(&expected)));
    house.router.interrupt().succeeded();
    let (consumer, subscriber) = (consumer.interrupt(), subscriber.interrupt());
    let both = [expected.clone(), expected].concat();
    assert_same(&delivered(&consumer), &both);
    assert_same(&told(&subscriber), &both);
    assert_nothing_amiss(&subscriber);
}

fn pairs(matched: &[Matched]) -> u64 {
    matched.iter().map(|(_, ids)| ids.len() as u64).sum()
}

#[test]
fn what_a_foreign_publisher_publishes_reaches_every_consumer() {
    assert_both_are_heard_by_both(House::open(), |_| Vec::new());
}

#[test]
fn it_publishes_over_encrypted_links() {
    let folder = Folder::with_keys();
    link_keys(&folder, &["source", "reader", "consumer", "writer"]);
    let house = House::of(folder, "localhost:0", &["--link-keys", "router.link"]);

    assert_both_are_heard_by_both(house, |name| match name {
        "source" => [&["--link-keys", "source.link"], TRUSTING].concat(),
        "reader" => vec!["--link-keys", "reader.link"],
        "consumer" => vec!["--link-keys", "consumer.link"],
        _ => vec!["--link-keys", "writer.link"],
    });
}

#[test]
fn without_a_grant_it_may_not_publish() {
    let house = House::open();
    house.identity("writer");
    house.identity("other");
    let address = house.endpoint.strip_prefix("tcp://").unwrap();
    let owner = ["-c", address, "-i", "pubs", "-k", "key.prv"];
    let grant = ["--grant", "other.list"];
    let _source = Role::start(&house.folder, "source", &[&owner[..], &grant].concat());
    let mut publisher = house.publisher_at(&house.endpoint, &[]);

    let denied = publisher.event("denied");

    assert_eq!(denied["verdict"], 5);
    let publisher = publisher.interrupt();
    assert_eq!(publisher.events("published").len(), 0);
}

#[test]
fn what_the_router_did_not_receipt_before_it_died_is_published_again_and_taken_once() {
    let house = House::open();
    let mut source = house.source(&["--batch", "40"]);
    let mut subscriber = house.subscriber();
    subscriber.event("admitted");
    source.event("summary");
    let expected = house.expected();
    // One receipt is changed on its way, so one batch is left when the router dies.
    let mut meddler = house.meddler(&["receipt", "--once"]);
    let mut publisher = house.publisher_at(&meddler.endpoint(), &["--batch", "40"]);
    publisher.event("refused");
    publisher.event("settled");

    house.router.kill();
    let address = house.endpoint.strip_prefix("tcp://").unwrap();
    let (router, _) = router(&house.folder, address, &[]);

    let publisher = publisher.end();
    publisher.succeeded();
    assert_eq!(publisher.events("granted").len(), 2);
    router.interrupt().succeeded();
    let subscriber = subscriber.interrupt();
    assert_same(&told(&subscriber), &[expected.clone(), expected].concat());
    assert_nothing_amiss(&subscriber);
}
