//! A foreign subscriber gets exactly what an offline match of the same files says.

use crate::support::Folder;
use crate::{House, TRUSTING, assert_nothing_amiss, assert_same, link_keys, told};

/// Lets the foreign subscriber hear the quotes from the first to the last.
#[track_caller]
fn assert_all_is_told(house: House, source_flags: &[&str], subscriber_flags: &[&str]) {
    let mut subscriber = house.subscriber_at(&house.endpoint, subscriber_flags);
    let source = house.source(&[&["--once", "--batch", "40"], source_flags].concat());
    subscriber.event("admitted");
    source.end().succeeded();
    let expected = house.expected();
    house.router.interrupt().succeeded();

    let subscriber = subscriber.interrupt();

    subscriber.succeeded();
    assert_same(&told(&subscriber), &expected);
    assert_nothing_amiss(&subscriber);
}

#[test]
fn a_foreign_subscriber_gets_what_an_offline_match_says_in_the_order_published() {
    assert_all_is_told(House::open(), &[], &[]);
}

#[test]
fn it_calls_over_encrypted_links() {
    let folder = Folder::with_keys();
    link_keys(&folder, &["source", "reader"]);
    let house = House::of(folder, "localhost:0", &["--link-keys", "router.link"]);

    assert_all_is_told(
        house,
        &[&["--link-keys", "source.link"], TRUSTING].concat(),
        &["--link-keys", "reader.link"],
    );
}

#[test]
fn it_is_heard_of_no_more_than_the_owners_list_allows() {
    let house = House::open();
    house.identity("other");
    let _source = house.source(&["--admit", "other.list"]);
    let mut subscriber = house.subscriber();

    let denied = subscriber.event("denied");

    assert_eq!(denied["verdict"], 1);
    let subscriber = subscriber.interrupt();
    assert_eq!(told(&subscriber), []);
}

#[test]
fn it_hears_heartbeats_and_whom_they_speak_for() {
    let house = House::open();
    let mut subscriber = house.subscriber();
    let _source = house.source(&[]);
    subscriber.event("admitted");

    let publication = subscriber.event("publication");
    let heartbeat = subscriber.event("heartbeat");

    assert_eq!(heartbeat["publishers"][0], publication["publisher"]);
}

#[test]
fn it_follows_the_owner_into_the_next_session() {
    let house = House::open();
    let mut subscriber = house.subscriber();
    let mut source = house.source(&[]);
    let first = subscriber.event("admitted");
    source.event("summary");
    let expected = house.expected();

    // The same process, the same link: only the keys are new.
    source.interrupt().succeeded();
    let mut source = house.source(&[]);
    let second = subscriber.event("admitted");
    source.event("summary");
    house.router.interrupt().succeeded();

    assert!(second["session"].as_u64() > first["session"].as_u64());
    let subscriber = subscriber.interrupt();
    assert_same(&told(&subscriber), &[expected.clone(), expected].concat());
    assert_nothing_amiss(&subscriber);
}
