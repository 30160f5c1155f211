//! Whom a publisher admits, for how many filters and how long.

use std::thread::sleep;
use std::time::Duration;

use crate::support::{DELIVERIES, Folder, Role, Signal, numbers, securecloud};

/// A router with the address where it listens.
fn router(folder: &Folder) -> (Role, String) {
    let mut router = Role::start(folder, "scbr", &["-a", "localhost:0"]);
    let address = router.endpoint();
    (router, address)
}

fn source(folder: &Folder, address: &str, flags: &[&str]) -> Role {
    let arguments = ["-c", address, "-k", "key.prv"];
    Role::start(folder, "source", &[&arguments, flags].concat())
}

fn consumer(folder: &Folder, address: &str, identity: &str) -> Role {
    let arguments = [
        "-c",
        address,
        "-i",
        "subs",
        "-k",
        "key.pub",
        "--identity",
        identity,
    ];
    Role::start(folder, "consumer", &arguments)
}

/// Makes an identity; returns its fingerprint.
fn identity(folder: &Folder, name: &str) -> String {
    let finished = securecloud(folder, &["keygen", name]);
    let fingerprint = finished
        .succeeded()
        .lines()
        .find_map(|line| line.strip_prefix("fingerprint"));
    fingerprint.unwrap().trim().to_owned()
}

#[test]
fn a_list_admits_whom_it_names_and_nobody_else() {
    let folder = Folder::with_numbers();
    let (friend, stranger) = (identity(&folder, "friend"), identity(&folder, "stranger"));
    folder.write("list", format!("# friends\n{friend} # from the office\n"));
    let (_router, address) = router(&folder);
    let mut source = source(&folder, &address, &["-i", "pubs", "--admit", "list"]);

    let refused = consumer(&folder, &address, "stranger.prv").end();
    let reported = source.event("refused");
    let mut admitted = consumer(&folder, &address, "friend.prv");

    refused.assert_failed(
        1,
        &[
            "not admitted: the publisher's list does not name this identity",
            "have its owner add the fingerprint",
        ],
    );
    assert_eq!(reported["consumer"], stranger);
    source.told(&format!("refused {stranger}: "));
    admitted.event("admitted");
    assert_eq!(source.event("admitted")["consumer"], friend);
    source.event("summary");
    assert!(!source.said().contains("admission is open"));
    assert_eq!(refused.event("summary")["deliveries"], 0);
}

#[test]
fn without_a_list_anyone_is_admitted_and_the_publisher_says_so() {
    for flags in [&["-i", "pubs"][..], &["-i", "pubs", "--admit", "all"]] {
        let folder = Folder::with_numbers();
        let (_router, address) = router(&folder);
        let source = source(&folder, &address, flags);

        let mut consumer = consumer(&folder, &address, "anyone");

        consumer.event("admitted");
        source.told("admission is open: whoever asks may subscribe");
    }
}

#[test]
fn a_list_that_is_none_is_refused_by_line() {
    let folder = Folder::with_numbers();
    let fingerprint = identity(&folder, "friend");
    for (list, named) in [
        (
            format!("{fingerprint}\nfriend\n"),
            "list: line 2: expected a fingerprint",
        ),
        (
            fingerprint.replace("SHA256:", "MD5:"),
            "list: line 1: expected a fingerprint",
        ),
        (
            format!("\n\n{fingerprint}x"),
            "list: line 3: expected a fingerprint",
        ),
    ] {
        folder.write("list", list);

        let refused = securecloud(
            &folder,
            &["source", "-i", "pubs", "-k", "key.prv", "--admit", "list"],
        );

        refused.assert_failed(2, &[named]);
    }
    let refused = securecloud(
        &folder,
        &[
            "source", "-i", "pubs", "-k", "key.prv", "--admit", "missing",
        ],
    );
    refused.assert_failed(2, &["missing: No such file or directory"]);
}

#[test]
fn a_list_read_again_revokes_whom_it_names_no_longer_and_takes_them_back_later() {
    let folder = Folder::with_numbers();
    let (first, second) = (identity(&folder, "first"), identity(&folder, "second"));
    folder.write("list", format!("{first}\n{second}\n"));
    let (_router, address) = router(&folder);
    let mut source = source(
        &folder,
        &address,
        &["-i", "-", "--admit", "list", "--await", "2"],
    );
    let mut stays = consumer(&folder, &address, "first.prv");
    let mut goes = consumer(&folder, &address, "second.prv");
    // Whoever gets something is indexed, not only answered: the source has seen both.
    source.write(&numbers(0..1));
    stays.event("delivery");
    goes.event("delivery");

    folder.write("list", format!("{first}\n"));
    source.signal(Signal::HUP);
    source.told("list was read again");
    let revoked = goes.end();
    let refused = consumer(&folder, &address, "second.prv").end();
    source.write(&numbers(2..3));
    let delivery = stays.event("delivery");

    revoked.assert_failed(1, &["the publisher has revoked this identity"]);
    refused.assert_failed(1, &["not admitted: "]);
    assert_eq!(delivery["subscriptions"], serde_json::json!([1, 2]));

    folder.write("list", format!("{first}\n{second}\n"));
    source.signal(Signal::HUP);
    source.told_times("list was read again", 2);
    let mut back = consumer(&folder, &address, "second.prv");
    back.event("admitted");
    source.write(&numbers(4..5));
    assert_eq!(
        back.event("delivery")["subscriptions"],
        serde_json::json!([1])
    );
}

#[test]
fn a_list_that_has_become_unreadable_leaves_the_one_in_force() {
    let folder = Folder::with_numbers();
    let fingerprint = identity(&folder, "friend");
    folder.write("list", &fingerprint);
    let (_router, address) = router(&folder);
    let mut source = source(&folder, &address, &["-i", "-", "--admit", "list"]);
    let mut friend = consumer(&folder, &address, "friend.prv");
    friend.event("admitted");

    folder.write("list", "nobody\n");
    source.signal(Signal::HUP);
    source.told("list: line 1: expected a fingerprint");
    source.told("the list in force stays");
    source.write(&numbers(0..1));

    friend.event("delivery");
}

#[test]
fn more_filters_than_the_quota_are_refused() {
    let folder = Folder::with_numbers();
    let (_router, address) = router(&folder);
    let too_little = source(&folder, &address, &["-i", "pubs", "--quota", "1"]);

    let refused = consumer(&folder, &address, "me").end();
    too_little.interrupt().succeeded();
    let mut enough = source(&folder, &address, &["-i", "pubs", "--quota", "2"]);
    let mut admitted = consumer(&folder, &address, "me");

    refused.assert_failed(
        1,
        &["not admitted: more subscriptions than the publisher allows one consumer"],
    );
    admitted.event("admitted");
    assert_eq!(enough.event("summary")["deliveries"], DELIVERIES);
}

#[test]
fn publishing_waits_for_as_many_consumers_as_were_announced() {
    let folder = Folder::with_numbers();
    let (_router, address) = router(&folder);
    let mut source = source(&folder, &address, &["-i", "pubs", "--await", "2"]);
    source.told("waiting until the files of 2 consumer(s) are admitted");
    let mut early = consumer(&folder, &address, "early");
    early.event("admitted");
    source.event("admitted");
    // Long enough to publish ten numbers many times over.
    sleep(Duration::from_millis(300));

    let mut late = consumer(&folder, &address, "late");

    // Had it published before, the late one would have missed them.
    for consumer in [&mut early, &mut late] {
        let first = consumer.event("delivery");
        assert_eq!(first["payload"], numbers(0..1).trim_end());
    }
    assert_eq!(source.event("summary")["deliveries"], 2 * DELIVERIES);
}

#[test]
fn a_consumer_that_is_away_longer_than_its_lease_is_told_so_when_it_comes_back() {
    let folder = Folder::with_numbers();
    let (_router, address) = router(&folder);
    let mut source = source(&folder, &address, &["-i", "-", "--lease", "1"]);
    let mut consumer = consumer(&folder, &address, "me");
    consumer.event("admitted");
    source.event("admitted");

    consumer.signal(Signal::STOP);
    sleep(Duration::from_millis(1300));
    // A publisher's messages carry the time by which leases run out.
    source.write(&numbers(0..1));
    source.end_input();
    let summary = source.event("summary");
    consumer.signal(Signal::CONT);

    assert_eq!(summary["deliveries"], 0);
    consumer.event("lapsed");
    consumer.told("the lease had run out while this consumer was away");
    let finished = consumer.interrupt();
    assert_eq!(finished.event("summary")["deliveries"], 0);
}

#[test]
fn a_consumer_that_lives_renews_its_lease() {
    let folder = Folder::with_numbers();
    let (_router, address) = router(&folder);
    let mut source = source(&folder, &address, &["-i", "-", "--lease", "1"]);
    let mut consumer = consumer(&folder, &address, "me");
    consumer.event("admitted");

    sleep(Duration::from_millis(2500));
    source.write(&numbers(0..1));

    assert_eq!(
        consumer.event("delivery")["subscriptions"],
        serde_json::json!([1, 2])
    );
    source.end_input();
    assert_eq!(source.event("summary")["deliveries"], 2);
}
