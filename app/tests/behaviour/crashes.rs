//! Roles killed in the middle of their work, stopped, and started again: nothing is lost, and nothing is taken twice as new.
//!
//! A consumer prints what it is given before it writes down that it took it. One that is killed between the two prints the same
//! publication again, under the same start, batch and index: that is how the tests here, and every application, tell.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::time::Duration;

use serde_json::Value;

use crate::support::{DATASETS, Folder, Role, Signal, numbers, securecloud, send_signal};

/// What the sample's 1,000 subscriptions find in its 10,000 publications.
const SAMPLE_MATCHES: u64 = 17_517;

/// Publications that a consumer is given in one round, at most, before it writes down that it took them: 64 KiB and one batch of 16.
const ROUND: u64 = 600;

/// The address of a socket file in `folder`.
fn address(folder: &Folder) -> String {
    format!("ipc://{}", folder.join("socket").display())
}

/// A folder with keys and the published sample of the original router, or data of its shape.
fn sample() -> Folder {
    let folder = Folder::with_keys();
    let file = |name: &str| std::fs::read_to_string(format!("{DATASETS}/{name}"));
    folder.write("pubs", file("p10k").unwrap_or_else(|_| numbers(0..10_000)));
    let subscriptions = file("s1k").unwrap_or_else(|_| filters(1000));
    folder.write("subs", subscriptions);
    folder
}

/// Filters that find each of the numbers from 0 to 9,999 about twice.
fn filters(count: u64) -> String {
    let mut text = String::new();
    for id in 0..count {
        let from = id * 10;
        let _ = writeln!(text, "0 {id} S i n >= {from} i n < {}", from + 20);
    }
    text
}

fn expected(folder: &Folder) -> u64 {
    let files = ["--subscriptions", "subs", "--publications", "pubs"];
    let counted = securecloud(folder, &[&["match"], &files[..], &["--count"]].concat());
    let expected = counted.succeeded().trim().parse().unwrap();
    let has_sample = std::fs::exists(format!("{DATASETS}/s1k")).unwrap();
    assert!(!has_sample || expected == SAMPLE_MATCHES, "{expected}");
    expected
}

fn router(folder: &Folder) -> Role {
    let arguments = ["-a", &address(folder), "--spill", "spill"];
    let mut router = Role::start(folder, "scbr", &arguments);
    router.event("ready");
    router
}

fn source(folder: &Folder, flags: &[&str]) -> Role {
    let address = address(folder);
    let arguments = ["-c", &address, "-i", "pubs", "-k", "key.prv"];
    Role::start(folder, "source", &[&arguments, flags].concat())
}

fn consumer(folder: &Folder, identity: &str, flags: &[&str]) -> Role {
    let address = address(folder);
    let arguments = ["-c", &address, "-i", "subs", "-k", "key.pub"];
    let identity = ["--identity", identity];
    Role::start(
        folder,
        "consumer",
        &[&arguments[..], &identity, flags].concat(),
    )
}

/// What consumers of one identity have been given, over all their lives.
#[derive(Default)]
struct Given {
    publications: BTreeSet<(u64, u64, u64)>,
    deliveries: u64,
    /// Given a second time.
    again: u64,
    /// Deliveries of the present life that were taken into account.
    seen: usize,
}

impl Given {
    fn take(&mut self, delivery: &Value) {
        let part = |name: &str| delivery[name].as_u64().unwrap();
        if self
            .publications
            .insert((part("start"), part("batch"), part("index")))
        {
            self.deliveries += delivery["subscriptions"].as_array().unwrap().len() as u64;
        } else {
            self.again += 1;
        }
    }

    /// Takes from `role` until there are `deliveries`.
    #[track_caller]
    fn until(&mut self, role: &mut Role, deliveries: u64) {
        while self.deliveries < deliveries {
            let delivery = role.event("delivery");
            self.take(&delivery);
            self.seen += 1;
        }
    }

    /// What else a role had printed when it ended; its last line may have been cut short.
    fn rest(&mut self, stdout: &str) {
        let events = stdout
            .lines()
            .filter_map(|line| serde_json::from_str(line).ok());
        let deliveries = events.filter(|event: &Value| event["event"] == "delivery");
        deliveries
            .skip(std::mem::take(&mut self.seen))
            .for_each(|delivery| self.take(&delivery));
    }
}

#[test]
fn a_consumer_stopped_for_five_seconds_gets_everything_and_holds_up_nobody() {
    let folder = sample();
    let expected = expected(&folder);
    let lines: Vec<String> = folder
        .read("pubs")
        .lines()
        .map(|line| format!("{line}\n"))
        .collect();
    let (first, second) = lines.split_at(lines.len() / 2);
    let _router = router(&folder);
    let mut source = Role::start(
        &folder,
        "source",
        &[
            "-c",
            &address(&folder),
            "-i",
            "-",
            "-k",
            "key.prv",
            "--await",
            "2",
        ],
    );
    let mut slow = consumer(&folder, "slow", &[]);
    let mut quick = consumer(
        &folder,
        "quick",
        &["--quiet", "--count", &expected.to_string()],
    );
    slow.event("admitted");
    quick.event("admitted");
    let mut given = Given::default();

    source.write(&first.concat());
    given.until(&mut slow, 1);
    slow.signal(Signal::STOP);
    source.write(&second.concat());
    source.end_input();
    // The other one gets everything while the first is stopped.
    let quick = quick.end();
    std::thread::sleep(Duration::from_secs(5));
    slow.signal(Signal::CONT);
    given.until(&mut slow, expected);

    assert_eq!(quick.event("summary")["deliveries"], expected);
    assert_eq!((given.deliveries, given.again), (expected, 0));
    assert_eq!(slow.interrupt().events("missing").len(), 0);
}

#[test]
fn a_router_killed_in_the_middle_and_started_again_loses_nothing() {
    let folder = sample();
    let expected = expected(&folder);
    for killed_after in [1, expected / 3, expected / 2] {
        let first = router(&folder);
        let mut consumer = consumer(&folder, "me", &[]);
        let source = source(&folder, &["--once", "--anew", "--batch", "64"]);
        let mut given = Given::default();
        given.until(&mut consumer, killed_after);

        first.kill();
        let second = router(&folder);
        given.until(&mut consumer, expected);

        source.end().succeeded();
        let consumer = consumer.interrupt();
        given.rest(&consumer.stdout);
        assert_eq!(
            (given.deliveries, given.again),
            (expected, 0),
            "{killed_after}"
        );
        assert_eq!(consumer.events("missing").len(), 0);
        second.interrupt().succeeded();
    }
}

#[test]
fn a_trusted_program_killed_in_the_middle_is_started_again_and_nothing_is_lost() {
    let folder = sample();
    let expected = expected(&folder);
    let mut router = router(&folder);
    let mut consumer = consumer(&folder, "me", &[]);
    let source = source(&folder, &["--once", "--batch", "64"]);
    let mut given = Given::default();

    for killed_after in [1, expected / 2] {
        given.until(&mut consumer, killed_after);
        let programs = router.children();
        assert_eq!(programs.len(), 1);
        send_signal(programs[0], Signal::KILL);
        router.event("ready");
    }
    given.until(&mut consumer, expected);

    source.end().succeeded();
    let consumer = consumer.interrupt();
    given.rest(&consumer.stdout);
    assert_eq!((given.deliveries, given.again), (expected, 0));
    router.interrupt().succeeded();
}

#[test]
fn a_durable_consumer_killed_again_and_again_gets_everything() {
    let folder = sample();
    let expected = expected(&folder);
    let _router = router(&folder);
    let source = source(&folder, &["--batch", "16"]);
    let mut given = Given::default();
    let mut kills = 0;

    for killed_after in (1..8).map(|eighth| expected * eighth / 8) {
        let mut consumer = consumer(&folder, "me", &["--durable", "1h"]);
        given.until(&mut consumer, killed_after);
        given.rest(&consumer.kill().stdout);
        kills += 1;
    }
    let mut last = consumer(&folder, "me", &["--durable", "1h"]);
    given.until(&mut last, expected);

    let last = last.interrupt();
    given.rest(&last.stdout);
    assert_eq!(given.deliveries, expected);
    assert!(
        given.again <= kills * ROUND,
        "{} were given again",
        given.again
    );
    assert_eq!(last.events("missing").len(), 0);
    source.interrupt().succeeded();
}

#[test]
fn a_source_killed_in_the_middle_takes_its_file_up_again_where_it_was() {
    let folder = sample();
    let expected = expected(&folder);
    let _router = router(&folder);
    let mut consumer = consumer(&folder, "me", &[]);
    let mut given = Given::default();

    for killed_after in [1, expected / 3, 2 * expected / 3] {
        let source = source(&folder, &["--batch", "16"]);
        given.until(&mut consumer, killed_after);
        source.kill();
    }
    let last = source(&folder, &["--once", "--batch", "16"]);
    given.until(&mut consumer, expected);

    last.end().succeeded();
    let consumer = consumer.interrupt();
    given.rest(&consumer.stdout);
    assert_eq!((given.deliveries, given.again), (expected, 0));
    assert_eq!(consumer.events("missing").len(), 0);
}

#[test]
fn whoever_is_killed_and_started_again_in_turn_nothing_is_lost() {
    let folder = sample();
    let expected = expected(&folder);
    let mut one_router = Some(router(&folder));
    let mut one_source = Some(source(&folder, &["--batch", "16"]));
    let mut one_consumer = Some(consumer(&folder, "me", &["--durable", "1h"]));
    let mut given = Given::default();
    let mut consumers_killed = 0;

    for step in 1..9_u64 {
        given.until(one_consumer.as_mut().unwrap(), expected * step / 9);
        match step % 4 {
            0 => {
                one_router.take().unwrap().kill();
                one_router = Some(router(&folder));
            }
            1 => {
                one_source.take().unwrap().kill();
                one_source = Some(source(&folder, &["--batch", "16"]));
            }
            2 => {
                given.rest(&one_consumer.take().unwrap().kill().stdout);
                consumers_killed += 1;
                one_consumer = Some(consumer(&folder, "me", &["--durable", "1h"]));
            }
            _ => send_signal(one_router.as_ref().unwrap().children()[0], Signal::KILL),
        }
    }
    given.until(one_consumer.as_mut().unwrap(), expected);

    let consumer = one_consumer.take().unwrap().interrupt();
    given.rest(&consumer.stdout);
    assert_eq!(given.deliveries, expected);
    assert!(
        given.again <= consumers_killed * ROUND,
        "{} were given again",
        given.again
    );
    assert_eq!(consumer.events("missing").len(), 0);
}
