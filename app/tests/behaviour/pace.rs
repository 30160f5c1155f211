//! `source --rate` and `--stamp`: a steady pace, and how long a publication is on its way.

use std::collections::BTreeSet;

use serde_json::Value;

use crate::support::{DELIVERIES, Flags, Folder, Run, numbers, securecloud};

fn run(folder: &Folder, flags: &[&str]) -> Run {
    let flags = Flags {
        source: flags,
        ..Flags::default()
    };
    Run::through(folder, flags)
}

/// The time at which the payload of a delivery was published.
fn stamp(delivery: &Value) -> u64 {
    let payload = delivery["payload"].as_str().unwrap();
    assert_eq!(payload.len(), 64);
    payload[..20].parse().unwrap()
}

#[test]
fn a_paced_source_needs_the_time_of_its_intervals_and_delivers_everything() {
    let folder = Folder::with_numbers();
    folder.write("pubs", numbers(0..50));

    let run = run(&folder, &["--rate", "200"]);

    let summary = run.source.event("summary");
    let seconds = summary["seconds"].as_f64().unwrap();
    assert!(seconds > 49.0 * 0.005, "{seconds}");
    assert_eq!(run.deliveries(), summary["deliveries"].as_u64().unwrap());
}

#[test]
fn what_is_paced_leaves_after_its_linger_and_not_when_a_batch_is_full() {
    let folder = Folder::with_numbers();

    let run = run(&folder, &["--rate", "20"]);

    let deliveries = run.consumer.events("delivery");
    let batches: BTreeSet<_> = deliveries
        .iter()
        .map(|delivery| delivery["batch"].as_u64())
        .collect();
    assert!(batches.len() > 1, "{batches:?}");
}

#[test]
fn a_stamp_is_the_time_between_the_first_publication_and_the_receipt_of_its_delivery() {
    let folder = Folder::with_numbers();

    let run = run(&folder, &["--payload-bytes", "64", "--stamp"]);

    let first_ns = run.source.event("summary")["first_ns"].as_u64().unwrap();
    let deliveries = run.consumer.events("delivery");
    assert_eq!(run.deliveries(), DELIVERIES);
    assert!(!deliveries.is_empty());
    for delivery in deliveries {
        let received_ns = delivery["received_ns"].as_u64().unwrap();
        let stamp = stamp(&delivery);
        assert!(first_ns <= stamp && stamp < received_ns, "{delivery}");
    }
}

#[test]
fn a_stamp_needs_a_payload_with_room_for_it() {
    let folder = Folder::with_numbers();
    let source = ["source", "-i", "pubs", "-k", "key.prv", "--stamp"];

    for flags in [&[][..], &["--payload-bytes", "19"]] {
        let finished = securecloud(&folder, &[&source, flags].concat());

        finished.assert_failed(2, &["--stamp needs --payload-bytes, 20 or more"]);
    }
}

#[test]
fn a_pace_of_nothing_is_wrong_use() {
    let folder = Folder::with_numbers();
    let source = ["source", "-i", "pubs", "-k", "key.prv", "--rate", "0"];

    securecloud(&folder, &source).assert_failed(2, &["--rate"]);
}
