//! Others that publish in an owner's domain: let in by a list, refused, dismissed, taken back; killed and started again.

use crate::support::{
    Folder, Matches, Role, Signal, Tally, VECTORS, matches, numbers, securecloud, send_signal,
};

/// A folder with an owner's keys `key`, two others' `red` and `blue`, files of publications of each, and filters that want all of
/// them (`subs`) or some (`few`).
fn site() -> Folder {
    let folder = Folder::with_keys();
    for (name, range) in [
        ("key", 20_000..20_200),
        ("red", 0..3000),
        ("blue", 10_000..11_000),
    ] {
        if name != "key" {
            securecloud(&folder, &["keygen", name]).succeeded();
        }
        folder.write(&format!("{name}.pubs"), numbers(range));
    }
    folder.write("subs", "0 1 S i n exists\n0 2 S i n >= 10500\n");
    folder.write("few", "0 1 S i even = 1 i n >= 100\n0 9 S i n < 50\n");
    folder.write("list", "# nobody\n");
    folder
}

/// Writes the list of those who may publish.
fn grant(folder: &Folder, names: &[&str]) {
    let list: String = names
        .iter()
        .map(|name| fingerprint(folder, name) + "\n")
        .collect();
    folder.write("list", list);
}

fn fingerprint(folder: &Folder, name: &str) -> String {
    let (key, copy) = (format!("{name}.prv"), format!("{name}-copy"));
    let arguments = ["keygen", &copy, "--public-from", &key, "--force"];
    let finished = securecloud(folder, &arguments);
    let line = finished
        .succeeded()
        .lines()
        .find_map(|line| line.strip_prefix("fingerprint"));
    line.unwrap().trim().to_owned()
}

fn owner(folder: &Folder, input: &str, flags: &[&str]) -> Role {
    folder.source("key", input, &[&["--grant", "list"], flags].concat())
}

/// An owner that has admitted one consumer, which gets a first publication of it, and publishes no more.
fn quiet_owner(folder: &Folder, consumer: &mut Role) -> Role {
    let mut owner = owner(folder, "-", &[]);
    consumer.event("admitted");
    owner.write(&numbers(20_000..20_001));
    owner.end_input();
    owner.event("summary");
    owner
}

/// What a consumer of everything has to get of the owner's first publication and all of `red`'s.
fn expected_of_red(folder: &Folder) -> Matches {
    folder.write("first", numbers(20_000..20_001));
    matches(folder, "subs", &["first", "red.pubs"])
}

fn granted(folder: &Folder, name: &str, input: &str, flags: &[&str]) -> Role {
    let flags = [&["--domain", "key.pub", "--batch", "16"], flags].concat();
    folder.source(name, input, &flags)
}

#[test]
fn an_owner_and_two_others_publish_at_once_and_every_match_comes_once() {
    let folder = site();
    grant(&folder, &["red", "blue"]);
    let files = ["key.pubs", "red.pubs", "blue.pubs"];
    let (all, some) = (
        matches(&folder, "subs", &files),
        matches(&folder, "few", &files),
    );
    let router = folder.router(&[]);
    let mut owner = owner(&folder, "key.pubs", &["--await", "2", "--batch", "4"]);
    let mut wants_all = folder.consumer("key", "all", &[]);
    let mut wants_some = folder.consumer_of("key", "few", "some", &[]);
    owner.event("opened");
    for _ in 0..2 {
        owner.event("admitted");
    }

    let mut others =
        ["red", "blue"].map(|name| granted(&folder, name, &format!("{name}.pubs"), &["--once"]));
    let mut tallies = [Tally::default(), Tally::default()];
    tallies[0].until(&mut wants_all, all.len());
    tallies[1].until(&mut wants_some, some.len());

    let published = others
        .iter_mut()
        .map(|other| other.event("summary")["publications"].as_u64().unwrap());
    assert_eq!(published.collect::<Vec<_>>(), [3000, 1000]);
    for other in others {
        other.end().succeeded();
    }
    owner.event("summary");
    for (mut tally, role, expected) in tallies
        .into_iter()
        .zip([wants_all, wants_some])
        .zip([all, some])
        .map(|((tally, role), expected)| (tally, role, expected))
    {
        let finished = role.interrupt();
        tally.rest(&finished.stdout);
        tally.assert_is(&expected);
        for report in ["missing", "passed_over", "uncovered"] {
            assert_eq!(finished.events(report).len(), 0, "{report}");
        }
    }
    owner.interrupt().succeeded();
    assert_eq!(router.interrupt().event("summary")["publications"], 4200);
}

#[test]
fn whoever_is_not_on_the_list_is_refused_in_words_and_goes_on_when_it_is() {
    let folder = site();
    let _router = folder.router(&[]);
    let mut consumer = folder.consumer("key", "me", &["--count", "3004"]);
    let mut refusing = quiet_owner(&folder, &mut consumer);

    let mut red = granted(&folder, "red", "red.pubs", &["--once"]);
    red.event("refused");
    let refused = refusing.event("refused_publisher");
    red.told(
        "the owner's list does not let this identity publish: have its owner add the fingerprint with --grant; asking again",
    );
    assert_eq!(refused["publisher"], fingerprint(&folder, "red"));
    assert!(red.is_running());

    // A session that opens is a reason to ask again at once.
    grant(&folder, &["red"]);
    refusing.interrupt().succeeded();
    let mut granting = owner(&folder, "-", &[]);
    red.event("granted");
    granting.event("granted");
    red.end().succeeded();
    granting.write(&numbers(20_001..20_002));

    let consumer = consumer.end();
    assert_eq!(consumer.event("summary")["publications"], 3002);
    assert_eq!(consumer.events("missing").len(), 0);
}

#[test]
fn whom_the_list_names_no_longer_publishes_no_more_until_it_names_it_again() {
    let folder = site();
    grant(&folder, &["red", "blue"]);
    let router = folder.router(&[]);
    let mut consumer = folder.consumer("key", "me", &[]);
    let mut owner = quiet_owner(&folder, &mut consumer);
    let mut red = granted(&folder, "red", "-", &[]);
    let mut blue = granted(&folder, "blue", "-", &[]);
    let mut tally = Tally::default();
    red.write(&numbers(0..10));
    blue.write(&numbers(10..20));
    tally.until(&mut consumer, 21);

    grant(&folder, &["blue"]);
    owner.signal(Signal::HUP);
    let dismissed = owner.event("dismissed");
    red.event("refused");
    red.write(&numbers(30..40));
    blue.write(&numbers(40..50));
    tally.until(&mut consumer, 31);

    assert_eq!(dismissed["publisher"], fingerprint(&folder, "red"));
    let of_red = numbers(30..40);
    assert!(of_red.lines().all(|line| !tally.given.contains_key(line)));

    grant(&folder, &["blue", "red"]);
    owner.signal(Signal::HUP);
    owner.told_times("list was read again", 2);
    // A new session is a reason to ask again at once.
    send_signal(router.children()[0], Signal::KILL);
    red.event("granted");
    tally.until(&mut consumer, 41);

    folder.write(
        "given",
        numbers(0..20) + &numbers(30..50) + &numbers(20_000..20_001),
    );
    tally.assert_is(&matches(&folder, "subs", &["given"]));
    assert_eq!(consumer.interrupt().events("missing").len(), 0);
}

#[test]
fn a_list_of_publishers_that_has_become_unreadable_leaves_the_one_in_force() {
    let folder = site();
    grant(&folder, &["red"]);
    let _router = folder.router(&[]);
    let mut consumer = folder.consumer("key", "me", &[]);
    let owner = quiet_owner(&folder, &mut consumer);
    let mut red = granted(&folder, "red", "-", &[]);
    red.event("granted");

    folder.write("list", "red\n");
    owner.signal(Signal::HUP);
    owner.told("list: line 1: expected a fingerprint");
    owner.told("the list in force stays");
    red.write(&numbers(0..1));

    let mut tally = Tally::default();
    tally.until(&mut consumer, 2);
    drop(owner);
    let unreadable = securecloud(
        &folder,
        &[
            "source", "-i", "red.pubs", "-k", "key.prv", "--grant", "list",
        ],
    );
    unreadable.assert_failed(2, &["list: line 1: expected a fingerprint"]);
}

#[test]
fn one_that_was_let_in_and_is_killed_takes_its_file_up_again_where_it_was() {
    let folder = site();
    grant(&folder, &["red"]);
    let expected = expected_of_red(&folder);
    let _router = folder.router(&[]);
    let mut consumer = folder.consumer("key", "me", &[]);
    let _owner = quiet_owner(&folder, &mut consumer);
    let mut tally = Tally::default();

    for killed_after in [2, expected.len() / 3, 2 * expected.len() / 3] {
        let red = granted(&folder, "red", "red.pubs", &[]);
        tally.until(&mut consumer, killed_after);
        red.kill();
    }
    let last = granted(&folder, "red", "red.pubs", &["--once"]);
    tally.until(&mut consumer, expected.len());

    last.end().succeeded();
    let consumer = consumer.interrupt();
    tally.rest(&consumer.stdout);
    tally.assert_is(&expected);
    assert_eq!(consumer.events("missing").len(), 0);
}

#[test]
fn an_owner_or_a_router_killed_while_another_publishes_loses_nothing_of_it() {
    let folder = site();
    grant(&folder, &["red"]);
    let expected = expected_of_red(&folder);
    let mut router = folder.router(&[]);
    let mut consumer = folder.consumer("key", "me", &[]);
    let first_owner = quiet_owner(&folder, &mut consumer);
    let red = granted(&folder, "red", "red.pubs", &["--once"]);
    let mut tally = Tally::default();

    tally.until(&mut consumer, expected.len() / 4);
    first_owner.kill();
    let _second_owner = owner(&folder, "-", &[]);
    tally.until(&mut consumer, expected.len() / 2);
    router.kill();
    router = folder.router(&[]);
    tally.until(&mut consumer, 3 * expected.len() / 4);
    send_signal(router.children()[0], Signal::KILL);
    tally.until(&mut consumer, expected.len());

    let red = red.end();
    red.succeeded();
    let consumer = consumer.interrupt();
    tally.rest(&consumer.stdout);
    tally.assert_is(&expected);
    assert_eq!(consumer.events("missing").len(), 0);
    assert_eq!(consumer.events("uncovered").len(), 0);
}

#[test]
fn an_rsa_key_does_not_publish_in_anothers_domain() {
    let folder = site();
    folder.copy(&format!("{VECTORS}/rsa2048.prv"), "rsa.prv", 0o600);

    let refused = granted(&folder, "rsa", "red.pubs", &[]).end();

    refused.assert_failed(
        2,
        &["rsa.prv: an RSA key owns domains and does not publish in others'"],
    );
}

#[test]
fn one_that_publishes_unencrypted_gets_nowhere_in_an_encrypted_domain() {
    let folder = site();
    grant(&folder, &["red"]);
    let _router = folder.router(&["--plain"]);
    let mut consumer = folder.consumer("key", "me", &[]);
    let owner = quiet_owner(&folder, &mut consumer);

    let mut plain = granted(&folder, "red", "red.pubs", &["--plain"]);

    owner.told("1 request(s) did not open: made for another key, or with --plain where this source runs without it");
    plain.event("unanswered");
    plain.told("do both or neither run with --plain?");
    let consumer = consumer.interrupt();
    assert_eq!(consumer.event("summary")["publications"], 1);
}

#[test]
fn an_owners_own_arguments_are_refused_to_one_that_publishes_for_another() {
    let folder = site();

    for flags in [
        ["--grant", "list"],
        ["--admit", "all"],
        ["--policy", "list"],
    ] {
        let refused = granted(&folder, "red", "red.pubs", &flags).end();

        refused.assert_failed(2, &["--domain", "cannot be used with", flags[0]]);
    }
}
