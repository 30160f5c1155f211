//! Roles in any order of starts, and roles that crash and come back.

use serde_json::{Value, json};

use crate::support::{DELIVERIES, Folder, Role, numbers, securecloud};

/// The address of a socket file in `folder`: known before anyone listens there, and nobody else's.
fn address(folder: &Folder) -> String {
    format!("ipc://{}", folder.join("socket").display())
}

fn router(folder: &Folder) -> Role {
    let mut router = Role::start(folder, "scbr", &["-a", &address(folder)]);
    router.event("ready");
    router
}

fn source(folder: &Folder, input: &str) -> Role {
    let arguments = ["-c", &address(folder), "-i", input, "-k", "key.prv"];
    Role::start(folder, "source", &arguments)
}

fn consumer(folder: &Folder, identity: &str) -> Role {
    let address = address(folder);
    let arguments = [
        "-c",
        &address,
        "-i",
        "subs",
        "-k",
        "key.pub",
        "--identity",
        identity,
    ];
    Role::start(folder, "consumer", &arguments)
}

/// Publications of the numbers 0 to 9 that a consumer has to get.
fn expected() -> Vec<Value> {
    let wanted = |n: &u64| n.is_multiple_of(2) || *n < 3;
    let line = |n: u64| json!(numbers(n..n + 1).trim_end());
    (0..10).filter(wanted).map(line).collect()
}

#[track_caller]
fn assert_all_arrive(consumer: &mut Role) {
    let received: Vec<Value> = expected()
        .iter()
        .map(|_| consumer.event("delivery")["payload"].clone())
        .collect();
    assert_eq!(received, expected());
}

#[test]
fn everything_arrives_in_whichever_order_the_roles_start() {
    for order in ["rcs", "rsc", "crs", "csr", "src", "scr"] {
        let folder = Folder::with_numbers();
        let mut roles: Vec<(char, Role)> = Vec::new();
        for letter in order.chars() {
            let role = match letter {
                'r' => Role::start(&folder, "scbr", &["-a", &address(&folder)]),
                's' => source(&folder, "pubs"),
                _ => consumer(&folder, "me"),
            };
            let role_begun = if letter == 'r' {
                "listening at"
            } else {
                "connecting to"
            };
            role.told(role_begun);
            roles.push((letter, role));
        }

        let consumer = roles.iter_mut().find(|(letter, _)| *letter == 'c').unwrap();
        assert_all_arrive(&mut consumer.1);
        roles.sort_by_key(|(letter, _)| ['s', 'r', 'c'].iter().position(|other| other == letter));
        for (letter, role) in roles {
            let finished = role.interrupt();
            finished.succeeded();
            if letter == 'c' {
                assert_eq!(
                    finished.event("summary")["deliveries"],
                    DELIVERIES,
                    "{order}"
                );
                assert_eq!(finished.events("missing").len(), 0, "{order}");
            }
        }
    }
}

#[test]
fn a_consumer_that_crashed_goes_on_in_the_same_session_and_misses_nothing() {
    let folder = Folder::with_numbers();
    let _router = router(&folder);
    let mut source = source(&folder, "-");
    let mut witness = consumer(&folder, "witness");
    let mut first = consumer(&folder, "me");
    witness.event("admitted");
    let session = first.event("admitted")["session"].clone();
    source.write(&numbers(0..1));
    witness.event("delivery");
    first.event("delivery");
    // The memory of what was taken is written after what was taken is shown.
    source.write(&numbers(2..3));
    witness.event("delivery");
    first.event("delivery");

    first.kill();
    source.write(&numbers(4..5));
    witness.event("delivery");
    let mut second = consumer(&folder, "me");
    // What was shown and not yet written down is shown again.
    let mut delivery = second.event("delivery");
    if delivery["payload"] == numbers(2..3).trim_end() {
        delivery = second.event("delivery");
    }
    assert_eq!(delivery["payload"], numbers(4..5).trim_end());
    assert_eq!(second.event("admitted")["session"], session);
    source.write(&numbers(6..7));
    assert_eq!(
        second.event("delivery")["payload"],
        numbers(6..7).trim_end()
    );
    assert_eq!(second.interrupt().events("missing").len(), 0);
}

#[test]
fn a_consumer_that_ended_well_remembers_what_it_has_taken() {
    let folder = Folder::with_numbers();
    let _router = router(&folder);
    let mut source = source(&folder, "-");
    let mut first = consumer(&folder, "me");
    first.event("admitted");
    source.write(&numbers(0..1));
    first.event("delivery");
    first.interrupt().succeeded();

    let mut second = consumer(&folder, "me");
    second.event("admitted");
    source.write(&numbers(4..5));
    second.event("delivery");

    assert_eq!(second.interrupt().events("missing").len(), 0);
}

#[test]
fn one_identity_serves_one_consumer_at_a_time() {
    let folder = Folder::with_numbers();
    let _router = router(&folder);
    let mut source = source(&folder, "-");
    let mut first = consumer(&folder, "me");
    first.event("admitted");

    let second = consumer(&folder, "me").end();

    second.assert_failed(
        1,
        &[
            "me.journal is in use by another process",
            "end the other, or give this one another key (a consumer: --identity with another file)",
        ],
    );
    source.write(&numbers(0..1));
    first.event("delivery");
}

#[test]
fn one_key_serves_one_source_at_a_time() {
    let folder = Folder::with_numbers();
    let _router = router(&folder);
    let mut first = source(&folder, "-");
    first.event("opened");

    let second = source(&folder, "pubs").end();

    second.assert_failed(1, &["key.prv.journal is in use by another process"]);
    assert!(first.is_running());
}

#[test]
fn a_copied_identity_takes_the_place_of_the_first_which_is_told() {
    let folder = Folder::with_numbers();
    let _router = router(&folder);
    let _source = source(&folder, "-");
    securecloud(&folder, &["keygen", "me"]).succeeded();
    std::fs::copy(folder.join("me.prv"), folder.join("copy.prv")).unwrap();
    let mut first = consumer(&folder, "me.prv");
    first.event("admitted");

    let mut second = consumer(&folder, "copy.prv");

    first.end().assert_failed(
        1,
        &["another process has connected under the same identity; it has taken this one's place"],
    );
    // It knows nothing of the numbers that the first has used, and goes beyond them.
    second.event("admitted");
}

#[test]
fn a_source_that_crashed_opens_a_greater_session_and_its_consumer_goes_on() {
    let folder = Folder::with_numbers();
    let _router = router(&folder);
    let mut first = source(&folder, "-");
    let mut consumer = consumer(&folder, "me");
    let session = consumer.event("admitted")["session"].as_u64();
    first.write(&numbers(100..101));
    consumer.event("delivery");

    first.kill();
    let mut second = source(&folder, "pubs");

    let opened = second.event("opened")["session"].as_u64();
    assert!(opened > session);
    assert_eq!(consumer.event("admitted")["session"].as_u64(), opened);
    assert_all_arrive(&mut consumer);
    assert_eq!(second.event("summary")["deliveries"], DELIVERIES);
}

#[test]
fn a_router_that_crashed_is_given_the_keys_again_and_everyone_goes_on() {
    let folder = Folder::with_numbers();
    let first = router(&folder);
    let mut source = source(&folder, "-");
    let mut consumer = consumer(&folder, "me");
    consumer.event("admitted");
    source.event("opened");
    source.write(&numbers(0..1));
    consumer.event("delivery");

    first.kill();
    let _second = router(&folder);

    let opened = source.event("opened")["session"].clone();
    assert_eq!(consumer.event("admitted")["session"], opened);
    source.write(&numbers(2..3));
    assert_eq!(
        consumer.event("delivery")["payload"],
        numbers(2..3).trim_end()
    );
}

#[test]
fn what_has_no_receipt_when_a_router_is_away_is_published_when_it_is_back() {
    let folder = Folder::with_numbers();
    let first = router(&folder);
    let mut source = source(&folder, "-");
    let mut consumer = consumer(&folder, "me");
    consumer.event("admitted");

    first.interrupt().succeeded();
    source.told("the router is gone");
    source.write(&numbers(0..10));
    source.end_input();
    let _second = router(&folder);

    assert_all_arrive(&mut consumer);
    assert_eq!(source.event("summary")["publications"], 10);
}

#[test]
fn a_domain_is_gone_with_its_source_and_consumers_wait_for_it() {
    let folder = Folder::with_numbers();
    let _router = router(&folder);
    let first = source(&folder, "pubs");
    let mut consumer = consumer(&folder, "me");
    assert_all_arrive(&mut consumer);

    first.interrupt().succeeded();
    let mut second = source(&folder, "pubs");

    second.event("opened");
    assert_all_arrive(&mut consumer);
}

#[test]
fn a_source_started_again_waits_for_consumers_that_are_there_not_for_those_it_remembers() {
    let folder = Folder::with_numbers();
    let _router = router(&folder);
    let mut first = source(&folder, "pubs");
    let mut earlier = consumer(&folder, "me");
    assert_all_arrive(&mut earlier);
    first.event("summary");
    earlier.interrupt().succeeded();
    first.interrupt().succeeded();

    let mut second = source(&folder, "pubs");
    second.event("opened");
    std::thread::sleep(std::time::Duration::from_millis(300));
    let mut later = consumer(&folder, "me");

    // Had it published to its memory alone, nobody would have got anything.
    assert_all_arrive(&mut later);
    assert_eq!(second.event("summary")["deliveries"], DELIVERIES);
    assert_eq!(later.interrupt().events("missing").len(), 0);
}

#[test]
fn a_consumer_of_thousands_of_filters_started_again_while_its_source_publishes_gets_all_or_says_what_it_missed()
 {
    let folder = Folder::with_numbers();
    let filters: String = (0..2500)
        .map(|id| format!("0 {id} S i n exists\n"))
        .collect();
    folder.write("subs", filters);
    let _router = router(&folder);
    let mut source = source(&folder, "-");
    let mut first = consumer(&folder, "me");
    first.event("admitted");
    first.interrupt().succeeded();

    let mut second = consumer(&folder, "me");
    for n in 0..200 {
        source.write(&numbers(n..n + 1));
        std::thread::sleep(std::time::Duration::from_millis(2));
    }
    second.event("admitted");
    source.write(&numbers(1000..1001));

    // A publication that arrives names every filter, however many requests the filters came in.
    loop {
        let delivery = second.event("delivery");
        assert_eq!(delivery["subscriptions"].as_array().unwrap().len(), 2500);
        if delivery["payload"] == numbers(1000..1001).trim_end() {
            break;
        }
    }
}
