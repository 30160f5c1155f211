//! One listening router, several owners with a domain each, several consumers of each: everyone gets exactly theirs.

use std::collections::BTreeMap;

use crate::support::{Folder, Role, numbers};

/// Starts a router that listens where the system chooses; returns it with its address.
fn router(folder: &Folder) -> (Role, String) {
    let mut router = Role::start(folder, "scbr", &["-a", "localhost:0"]);
    let address = router.endpoint();
    (router, address)
}

/// The `n`s of the publications that a consumer has received, each as often as it came, until `count` of them.
fn received(consumer: &mut Role, count: usize) -> Vec<(String, Vec<u64>)> {
    let delivery = |consumer: &mut Role| {
        let event = consumer.event("delivery");
        let subscriptions = event["subscriptions"].as_array().unwrap();
        let payload = event["payload"].as_str().unwrap().to_owned();
        (
            payload,
            subscriptions
                .iter()
                .map(|id| id.as_u64().unwrap())
                .collect(),
        )
    };
    (0..count).map(|_| delivery(consumer)).collect()
}

#[test]
fn three_domains_and_four_consumers_that_start_at_once_each_get_exactly_theirs() {
    let folder = Folder::empty();
    let owners = ["red", "green", "blue"];
    for (place, owner) in owners.iter().enumerate() {
        crate::support::securecloud(&folder, &["keygen", owner]).succeeded();
        let first = 100 * place as u64;
        folder.write(&format!("{owner}.pubs"), numbers(first..first + 50));
    }
    // The same filters and ids for everyone: what differs is the domain.
    folder.write("all", "0 7 S i n exists\n");
    folder.write("even", "0 7 S i even = 1\n0 8 S i n >= 140\n");
    let (router, address) = router(&folder);

    // Green has two consumers, and its publisher waits for both.
    let mut sources: Vec<Role> = owners
        .iter()
        .map(|owner| {
            let awaited = if *owner == "green" { "2" } else { "1" };
            let (pubs, key) = (format!("{owner}.pubs"), format!("{owner}.prv"));
            let arguments = ["-c", &address, "-i", &pubs, "-k", &key, "--await", awaited];
            Role::start(&folder, "source", &arguments)
        })
        .collect();
    let mut consumers: BTreeMap<&str, Role> = [
        ("red", "all"),
        ("green", "all"),
        ("blue", "all"),
        ("green too", "even"),
    ]
    .into_iter()
    .map(|(name, filters)| {
        let key = format!("{}.pub", name.split(' ').next().unwrap());
        let identity = format!("{name}.consumer");
        let arguments = [
            "-c",
            &address,
            "-i",
            filters,
            "-k",
            &key,
            "--identity",
            &identity,
        ];
        (name, Role::start(&folder, "consumer", &arguments))
    })
    .collect();

    for (name, range) in [("red", 0..50), ("green", 100..150), ("blue", 200..250)] {
        let expected: Vec<_> = numbers(range)
            .lines()
            .map(|line| (line.to_owned(), vec![7]))
            .collect();
        assert_eq!(received(consumers.get_mut(name).unwrap(), 50), expected);
    }
    let even: Vec<_> = numbers(100..150)
        .lines()
        .zip(100..)
        .map(|(line, n)| {
            let ids: Vec<u64> = [(n % 2 == 0, 7), (n >= 140, 8)]
                .into_iter()
                .filter_map(|(wanted, id)| wanted.then_some(id))
                .collect();
            (line.to_owned(), ids)
        })
        .filter(|(_, ids)| !ids.is_empty())
        .collect();
    assert_eq!(
        received(consumers.get_mut("green too").unwrap(), even.len()),
        even
    );
    for source in &mut sources {
        let summary = source.event("summary");
        assert_eq!(summary["publications"], 50);
    }
    for role in sources.into_iter().chain(consumers.into_values()) {
        let finished = role.interrupt();
        finished.succeeded();
        assert_eq!(finished.events("missing").len(), 0);
    }
    let summary = router.interrupt().event("summary");
    assert_eq!(summary["sessions"], 3);
    assert_eq!(summary["publications"], 150);
    assert_eq!(summary["payloads"], 50 + 50 + 50 + even.len());
    assert_eq!(summary["refused"], 0);
    assert_eq!(summary["undeliverable"], 0);
}

#[test]
fn a_pinned_owner_is_served_and_another_is_told_how_to_be() {
    let folder = Folder::with_numbers();
    crate::support::securecloud(&folder, &["keygen", "other"]).succeeded();
    let mut router = Role::start(
        &folder,
        "scbr",
        &["-a", "localhost:0", "--owner", "key.pub"],
    );
    let address = router.endpoint();

    let other = Role::start(
        &folder,
        "source",
        &["-c", &address, "-i", "pubs", "-k", "other.prv"],
    );
    let refused = other.end();
    let mut source = Role::start(
        &folder,
        "source",
        &["-c", &address, "-i", "pubs", "-k", "key.prv"],
    );

    refused.assert_failed(
        2,
        &[
            "this router serves other owners only",
            "add --owner with your public key",
        ],
    );
    source.event("opened");
    assert!(!router.said().contains("no --owner"), "{}", router.said());
}
