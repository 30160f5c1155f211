//! The router's folder: full, used up, shared, impossible, none at all.

use std::net::SocketAddr;

use crate::support::{
    Folder, Role, Tally, assert_tells, command_through, free_address, numbers, securecloud,
};

/// Publications while a consumer is away: far more than the quotas here hold, and less than may be under way to one that is there.
const MANY: u64 = 1500;
const QUOTA: &str = "100000";
const PAYLOAD_BYTES: &str = "1024";

/// Two domains, `key` and `other`, and a filter that wants everything.
fn site() -> Folder {
    let folder = Folder::with_keys();
    securecloud(&folder, &["keygen", "other"]).succeeded();
    folder.write("subs", "0 1 S i n exists\n");
    folder
}

/// A consumer of the other domain that is given what its source publishes.
#[track_caller]
fn assert_other_is_served(folder: &Folder, identity: &str) {
    let mut source = folder.source("other", "-", &[]);
    let mut consumer = folder.consumer("other", identity, &[]);
    consumer.event("admitted");
    source.write(&numbers(0..100));
    let mut tally = Tally::default();
    tally.until(&mut consumer, 100);
    assert_eq!(consumer.interrupt().events("suspended").len(), 0);
}

/// Has a consumer be away while more matches than the router can keep. Whatever it is given when it is back and whatever it is told that
/// it missed are together what matched; meanwhile neither its source nor another domain is held up. The router tells its numbers at
/// `metrics`.
#[track_caller]
fn assert_what_is_not_kept_is_counted(folder: &Folder, metrics: SocketAddr) {
    let flags = ["--payload-bytes", PAYLOAD_BYTES, "--batch", "16"];
    let mut source = folder.source("key", "-", &flags);
    let flags = ["--durable", "1h", "--quiet"];
    let away = folder.consumer("key", "me", &flags);
    source.event("admitted");
    away.interrupt().succeeded();
    let mut witness = folder.consumer("key", "witness", &[]);
    source.event("admitted");
    // Whoever has been given something has a link on which the rest comes, too.
    source.write(&numbers(0..1));
    witness.event("delivery");

    source.write(&numbers(0..MANY));
    // What was matched before the trusted program knew that nothing more is kept is kept nevertheless, in memory.
    assert_tells(metrics, &[("securecloud_router_suspended_total", 1)]);
    source.write(&numbers(0..MANY));
    for _ in 0..2 * MANY {
        witness.event("delivery");
    }
    assert_other_is_served(folder, "other.me");
    let of_back = free_address();
    let at = of_back.to_string();
    let flags = [&flags[..], &["--metrics", &at]].concat();
    let mut back = folder.consumer("key", "me", &flags);
    back.event("suspended");
    let missed = back.event("missed")["publications"].as_u64().unwrap();
    // From then on it gets what matches, as before.
    source.write(&numbers(0..5));
    source.end_input();
    assert_eq!(source.event("summary")["publications"], 1 + 2 * MANY + 5);

    let given = 1 + 2 * MANY + 5 - missed;
    assert!(given > 5 && missed > 0, "{given} given, {missed} missed");
    assert_tells(
        of_back,
        &[
            ("securecloud_consumer_publications_total", given),
            ("securecloud_consumer_missed_publications_total", missed),
            ("securecloud_consumer_missing_notices_total", 0),
        ],
    );
    // Nobody else was suspended, while everyone was there.
    assert_tells(metrics, &[("securecloud_router_suspended_total", 1)]);
    assert_eq!(witness.interrupt().events("suspended").len(), 0);
    let back = back.interrupt();
    assert_eq!(back.event("summary")["publications"], given);
    source.interrupt().succeeded();
}

#[test]
fn what_a_quota_leaves_no_room_for_is_counted_to_the_consumer_and_nobody_else_is_affected() {
    let folder = site();
    let metrics = free_address();
    let at = metrics.to_string();
    let router = folder.router(&["--spill-quota", QUOTA, "--metrics", &at]);

    assert_what_is_not_kept_is_counted(&folder, metrics);

    assert!(router.is_running());
    assert_eq!(router.interrupt().event("summary")["sessions"], 2);
}

#[test]
fn what_a_full_disk_leaves_no_room_for_is_counted_to_the_consumer_and_nobody_else_is_affected() {
    let folder = site();
    let (address, metrics) = (folder.socket(), free_address());
    // No file grows beyond 200 KiB; what is written beyond is refused, as on a disk that is full.
    let limit = "trap '' XFSZ; ulimit -f 400";
    let at = metrics.to_string();
    let arguments = ["scbr", "--json", "-a", &address, "--spill", "spill"];
    let arguments = [&arguments[..], &["--metrics", &at]].concat();
    let mut router = Role::of("scbr", command_through(limit, &folder, &arguments));
    router.event("ready");

    assert_what_is_not_kept_is_counted(&folder, metrics);

    assert!(router.is_running());
    router.interrupt().succeeded();
}

#[test]
fn a_consumer_that_was_told_is_kept_for_again() {
    let folder = site();
    let metrics = free_address();
    let at = metrics.to_string();
    let _router = folder.router(&["--spill-quota", QUOTA, "--metrics", &at]);
    assert_what_is_not_kept_is_counted(&folder, metrics);

    let durable = ["--durable", "1h"];
    let mut source = folder.source("key", "-", &[]);
    let mut there = folder.consumer("key", "me", &durable);
    there.event("admitted");
    source.event("admitted");
    there.interrupt().succeeded();
    source.write(&numbers(0..50));
    source.end_input();
    source.event("summary");
    let mut back = folder.consumer("key", "me", &durable);

    let mut tally = Tally::default();
    tally.until(&mut back, 50);
    assert_eq!(back.interrupt().events("missed").len(), 0);
}

#[test]
fn a_folder_that_cannot_be_used_is_named_at_the_start() {
    let folder = site();
    let address = folder.socket();

    for (spill, words) in [
        ("subs", "subs"),
        ("subs/below", "subs/below"),
        ("/proc/spill", "/proc/spill"),
    ] {
        let refused = securecloud(&folder, &["scbr", "-a", &address, "--spill", spill]);

        refused.assert_failed(
            2,
            &[words, "name a folder of this router's own with --spill"],
        );
    }
}

#[test]
fn two_routers_do_not_share_a_folder() {
    let folder = site();
    let first = folder.router(&[]);

    let second = ["scbr", "-a", "localhost:0", "--spill", "spill"];
    let refused = securecloud(&folder, &second);

    refused.assert_failed(
        2,
        &["spill is in use by another process: give each router a folder of its own"],
    );
    // A router that was killed leaves nothing behind that keeps the next from it.
    first.kill();
    folder.router(&[]).interrupt().succeeded();
}

#[test]
fn a_file_of_another_version_is_left_alone_and_named() {
    let folder = site();
    folder.router(&[]).interrupt().succeeded();
    let name = "spill/00000001.spill";
    folder.write(name, b"SCSPILL\x7f\0\0\0\0\0\0\0\0");

    let refused = securecloud(&folder, &["scbr", "-a", "localhost:0", "--spill", "spill"]);

    refused.assert_failed(2, &["was written by another version"]);
    assert!(folder.join(name).exists());
}
