//! What a consumer and a source say, as people read it, when something has stopped that should go on.

use crate::support::{Folder, Role, Signal, Tally, matches, numbers, send_signal};

/// Starts a role as people do; returns it.
fn role(folder: &Folder, name: &str, arguments: &[&str]) -> Role {
    let address = folder.socket();
    let of_all = [name, "-c", &address];
    Role::start_as_people_do(folder, &[&of_all, arguments].concat())
}

#[test]
fn a_trusted_program_that_stands_still_is_told_by_those_who_wait_for_it_and_everything_comes_after()
{
    let folder = Folder::with_numbers();
    let router = folder.router(&[]);
    let mut source = role(&folder, "source", &["-i", "-", "-k", "key.prv"]);
    let consumer = ["-i", "subs", "-k", "key.pub", "--identity", "me"];
    let mut consumer = role(&folder, "consumer", &consumer);
    consumer.told("admitted in session");
    source.write(&numbers(0..1));
    let first = consumer.line("the first publication");

    let program = router.children()[0];
    send_signal(program, Signal::STOP);
    source.write(&numbers(2..3));
    source.told("no receipt has come for ten seconds: the router or the program withholds them, or cannot keep up");
    consumer.told("no heartbeat has come for longer than two intervals: the publisher is gone, or the router withholds everything");
    send_signal(program, Signal::CONT);
    let second = consumer.line("the second publication");

    assert_eq!(first, format!("1,2\t{}", numbers(0..1).trim_end()));
    assert_eq!(second, format!("1,2\t{}", numbers(2..3).trim_end()));
    source.end_input();
    source.told("published 2 publications in ");
    source.told("everything is published; staying for leases, ^C ends");
    // Each is said once, however long it lasts.
    assert_eq!(consumer.said().matches("no heartbeat").count(), 1);
    consumer.interrupt().succeeded();
    assert_eq!(source.said().matches("no receipt").count(), 1);
    source.interrupt().succeeded();
}

#[test]
fn a_publisher_that_stands_still_is_told_once_and_its_consumer_goes_on_with_it() {
    let folder = Folder::with_numbers();
    let _router = folder.router(&[]);
    let mut source = folder.source("key", "-", &[]);
    let mut consumer = folder.consumer("key", "me", &[]);
    source.event("admitted");
    consumer.event("admitted");

    source.signal(Signal::STOP);
    consumer.event("silent");
    source.signal(Signal::CONT);
    source.write(&numbers(0..1));

    consumer.event("delivery");
    let finished = consumer.interrupt();
    assert_eq!(finished.events("silent").len(), 1);
    assert_eq!(finished.events("missing").len(), 0);
}

#[test]
fn a_source_whose_journal_was_put_back_publishes_again_what_its_consumers_then_pass_over() {
    let folder = Folder::with_keys();
    folder.write("subs", "0 1 S i n exists\n");
    folder.write("first", numbers(0..2000));
    folder.write("second", numbers(2000..2001));
    let journal = folder.join("key.prv.journal");
    let _router = folder.router(&[]);
    let mut consumer = folder.consumer("key", "me", &[]);
    let mut tally = Tally::default();
    let killed = folder.source("key", "first", &["--batch", "16"]);
    tally.until(&mut consumer, 100);
    killed.kill();
    let backup = std::fs::read(&journal).unwrap();
    for (file, until) in [("first", 2000), ("second", 2001)] {
        let source = folder.source("key", file, &["--batch", "16", "--once"]);
        tally.until(&mut consumer, until);
        source.end().succeeded();
    }

    folder.write("key.prv.journal", backup);
    let again = folder.source("key", "first", &["--batch", "16", "--once"]);
    let passed_over = consumer.event("passed_over");
    again.end().succeeded();

    assert!(passed_over["batch"].as_u64().is_some());
    consumer.told("is not newer than the last one taken and was passed over: published again, or held back by the router; if the publisher has lost its journal, start this consumer anew");
    // Nothing of it is given twice.
    let consumer = consumer.interrupt();
    tally.rest(&consumer.stdout);
    folder.write("both", numbers(0..2001));
    tally.assert_is(&matches(&folder, "subs", &["both"]));
}

#[test]
fn an_answer_that_came_unencrypted_is_dropped_and_why_is_said() {
    let folder = Folder::with_numbers();
    let _router = folder.router(&["--plain"]);
    let mut source = folder.source("key", "pubs", &["--plain"]);
    source.event("opened");

    let mut consumer = folder.consumer("key", "me", &[]);

    consumer.event("unencrypted");
    consumer.told("an unencrypted answer came and was dropped: the publisher runs with --plain and this consumer does not; start both with it or neither");
    let finished = consumer.interrupt();
    assert_eq!(finished.events("admitted").len(), 0);
    assert_eq!(finished.event("summary")["publications"], 0);
}
