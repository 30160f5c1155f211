//! D4.2's unencrypted mode: announced, and never entered by one side alone.

use crate::support::{DELIVERIES, Flags, Folder, Role, Run, numbers};

fn router(folder: &Folder, flags: &[&str]) -> (Role, String) {
    let mut router = Role::start(folder, "scbr", &[&["-a", "localhost:0"], flags].concat());
    let address = router.endpoint();
    (router, address)
}

fn source(folder: &Folder, address: &str, flags: &[&str]) -> Role {
    let arguments = ["-c", address, "-i", "pubs", "-k", "key.prv"];
    Role::start(folder, "source", &[&arguments, flags].concat())
}

fn consumer(folder: &Folder, address: &str, flags: &[&str]) -> Role {
    let arguments = ["-c", address, "-i", "subs", "-k", "key.pub"];
    Role::start(folder, "consumer", &[&arguments, flags].concat())
}

#[test]
fn everyone_plain_delivers_and_everyone_says_what_it_means() {
    let folder = Folder::with_numbers();

    let run = Run::through(&folder, Flags::all(&["--plain"]));

    assert_eq!(run.deliveries(), DELIVERIES);
    for (finished, words) in [
        (&run.router, "scbr: PLAIN: "),
        (&run.source, "source: PLAIN: "),
        (&run.consumer, "consumer: PLAIN: "),
    ] {
        assert!(finished.stderr.contains(words), "{finished:#?}");
        assert!(
            finished.stderr.contains("For measurement only"),
            "{finished:#?}"
        );
    }
}

#[test]
fn without_it_nobody_mentions_it() {
    let folder = Folder::with_numbers();

    let run = Run::through(&folder, Flags::default());

    for finished in [&run.router, &run.source, &run.consumer] {
        assert!(!finished.stderr.contains("PLAIN"), "{finished:#?}");
    }
}

#[test]
fn a_router_that_allows_it_serves_encrypted_domains_as_ever() {
    let folder = Folder::with_numbers();
    let flags = Flags {
        router: &["--plain"],
        ..Flags::default()
    };

    assert_eq!(Run::through(&folder, flags).deliveries(), DELIVERIES);
}

#[test]
fn a_plain_source_is_refused_by_a_router_that_is_not() {
    let folder = Folder::with_numbers();
    let (router, address) = router(&folder, &[]);

    let refused = source(&folder, &address, &["--plain"]).end();

    refused.assert_failed(
        2,
        &[
            "this router was not started with --plain",
            "start the publisher without it, or the router with it",
        ],
    );
    assert_eq!(router.interrupt().event("summary")["sessions"], 0);
}

#[test]
fn a_plain_consumer_of_an_encrypted_domain_gets_nothing_and_both_sides_say_why() {
    let folder = Folder::with_numbers();
    let (_router, address) = router(&folder, &["--plain"]);
    let source = source(&folder, &address, &[]);
    let mut consumer = consumer(&folder, &address, &["--plain"]);

    source.told("1 request(s) did not open: made for another key, or with --plain where this source runs without it");
    consumer.event("unanswered");
    consumer.told("do both or neither run with --plain?");
    let (source, consumer) = (source.interrupt(), consumer.interrupt());

    assert_eq!(source.event("summary")["publications"], 0);
    assert_eq!(consumer.event("summary")["deliveries"], 0);
}

#[test]
fn an_encrypting_consumer_takes_nothing_from_a_plain_domain_and_says_why() {
    let folder = Folder::with_numbers();
    let (router, address) = router(&folder, &["--plain"]);
    let mut source = source(&folder, &address, &["--plain"]);
    let mut consumer = consumer(&folder, &address, &[]);

    consumer.event("unencrypted");
    consumer.told(
        "the publisher runs with --plain and this consumer does not; start both with it or neither",
    );
    source.event("summary");
    router.interrupt().succeeded();
    let consumer = consumer.interrupt();

    assert_eq!(consumer.event("summary")["deliveries"], 0);
    assert_eq!(consumer.events("delivery").len(), 0);
}

#[test]
fn a_consumer_with_the_key_of_another_owner_waits_for_a_domain_that_never_opens() {
    let folder = Folder::with_numbers();
    crate::support::securecloud(&folder, &["keygen", "other"]).succeeded();
    folder.write("pubs", numbers(0..3));
    let (_router, address) = router(&folder, &[]);
    let mut source = source(&folder, &address, &[]);
    source.event("opened");
    let arguments = ["-c", &address, "-i", "subs", "-k", "other.pub"];

    let consumer = Role::start(&folder, "consumer", &arguments);

    consumer.told("the publisher has not opened this domain at the router yet; waiting for it");
    consumer.interrupt().succeeded();
}
