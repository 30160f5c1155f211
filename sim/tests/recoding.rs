//! Repairs of recoded packets, end to end: what a location has lost is made of less than whole fragments, and helpers that lie or cannot
//! compute cost no more than time.

#![allow(clippy::unwrap_used, reason = "helpers of tests are tests")]

use std::time::Duration;

use bytes::Bytes;
use sc_backend::FragmentName;
use sc_client::kv::{DatastoreOptions, PutOptions, RANGE_WHOLE};
use sc_sim::storage::{World, WorldSettings};
use sc_store::{Policy, Traffic};

/// Longer than a PUT may be at its manifest.
const LATER: Duration = Duration::from_secs(120);
const NARROW: (&str, &str) = (
    "narrow",
    r#"{"redundancy":{"kind":"rlnc","data":4,"total":6,"subpackets":2}}"#,
);
const WIDE: (&str, &str) = (
    "wide",
    r#"{"redundancy":{"kind":"rlnc","data":10,"total":14,"subpackets":4}}"#,
);

async fn world(locations: usize, (name, definition): (&str, &str)) -> World {
    let settings = WorldSettings {
        locations,
        ..WorldSettings::default()
    };
    let world = World::new(settings).await;
    let policy = Policy::parse(definition).unwrap();
    world.store.ensure_policy(name, &policy).await.unwrap();
    let options = DatastoreOptions {
        policy: name.into(),
        versioning: false,
        quota_bytes: None,
        indexed_tags: Vec::new(),
    };
    let made = world.client.create_datastore("data", &options).await;
    made.unwrap();
    world
}

fn content(bytes: usize) -> Bytes {
    (0..bytes).map(|at| ((at * 31) ^ (at >> 8)) as u8).collect()
}

/// Stores an object while a location is away, whose fragment is owed therefore.
async fn put_without(world: &World, away: usize, bytes: usize) {
    world.sites[away].faults.set_down(true);
    let options = PutOptions::default();
    let stored = world
        .client
        .put_bytes("data", b"k", &options, content(bytes));
    stored.await.unwrap();
    assert_eq!(owed(world).await, 1);
}

/// Lets the location come back, and debts be paid; gives what was read and written for it.
async fn repair(world: &World, back: usize) -> Traffic {
    let before = world.store.repair_traffic();
    world.sites[back].faults.set_down(false);
    for _ in 0..3 {
        world.pass(LATER);
        tokio::time::sleep(LATER).await;
        world.chores.round().await.unwrap();
    }
    assert_eq!(owed(world).await, 0);
    let after = world.store.repair_traffic();
    Traffic {
        bytes_read: after.bytes_read - before.bytes_read,
        bytes_written: after.bytes_written - before.bytes_written,
    }
}

/// Whether a name is that of a fragment, and not of a manifest or of settings.
fn is_fragment(name: &&FragmentName) -> bool {
    name.as_str()
        .split('.')
        .next()
        .is_some_and(|it| it.len() == 64)
}

async fn owed(world: &World) -> usize {
    world.catalog.owed(None, 1000).await.unwrap().len()
}

async fn reads_back(world: &World, bytes: usize) -> bool {
    let reader = world.client.get("data", b"k", None, RANGE_WHOLE).await;
    let read = reader.unwrap().read_all().await;
    read.is_ok_and(|read| read == content(bytes))
}

/// Whether the object is read whichever location is away besides `made`, whose fragment was repaired.
async fn is_whole(world: &World, made: usize, bytes: usize, losses: usize) -> bool {
    let others: Vec<usize> = (0..world.sites.len()).filter(|it| *it != made).collect();
    for first in 0..others.len() {
        let away: Vec<usize> = (first..first + losses)
            .map(|it| others[it % others.len()])
            .collect();
        for &site in &away {
            world.sites[site].faults.set_down(true);
        }
        let is_read = reads_back(world, bytes).await;
        for &site in &away {
            world.sites[site].faults.set_down(false);
        }
        if !is_read {
            return false;
        }
    }
    true
}

#[tokio::test(start_paused = true)]
async fn helpers_send_little_more_than_the_bound_says() {
    // k, fragments that may be lost, and the bytes read at most, in parts of those of k fragments.
    for (policy, locations, data, losses, part) in
        [(NARROW, 6, 4, 2, 0.66), (WIDE, 14, 10, 4, 0.35)]
    {
        let world = world(locations, policy).await;
        let bytes = 1 << 20;
        put_without(&world, 3, bytes).await;

        let traffic = repair(&world, 3).await;

        let whole = data * traffic.bytes_written;
        let read = traffic.bytes_read as f64 / whole as f64;
        assert!(read <= part, "{read} of {} bytes", whole);
        assert!(is_whole(&world, 3, bytes, losses).await);
    }
}

#[tokio::test(start_paused = true)]
async fn a_helper_that_lies_is_left_out_and_the_fragment_made_all_the_same() {
    let world = world(6, NARROW).await;
    let bytes = 1 << 20;
    put_without(&world, 3, bytes).await;
    // A bit of a packet: the location notices nothing of it.
    let faults = &world.sites[1].faults;
    let names = faults.names();
    let fragment = names.iter().find(is_fragment);
    faults.corrupt(fragment.unwrap(), 100_000);

    let traffic = repair(&world, 3).await;

    assert!(
        traffic.bytes_read > 4 * traffic.bytes_written,
        "first packets, then whole fragments"
    );
    world.sites[0].faults.set_down(true);
    assert!(
        reads_back(&world, bytes).await,
        "of the others without the damaged one"
    );
}

#[tokio::test(start_paused = true)]
async fn a_header_that_was_altered_is_left_out_before_packets_are_asked_for() {
    let world = world(6, NARROW).await;
    let bytes = 1 << 20;
    put_without(&world, 3, bytes).await;
    let faults = &world.sites[1].faults;
    let names = faults.names();
    let fragment = names.iter().find(is_fragment);
    faults.corrupt(fragment.unwrap(), 80);

    let traffic = repair(&world, 3).await;

    let (least, most) = (
        4 * traffic.bytes_written,
        4 * traffic.bytes_written + 10_000,
    );
    assert!((least..most).contains(&traffic.bytes_read), "{traffic:?}");
    world.sites[0].faults.set_down(true);
    assert!(reads_back(&world, bytes).await);
}

#[tokio::test(start_paused = true)]
async fn locations_that_cannot_compute_are_read_whole() {
    let settings = WorldSettings {
        computing: false,
        ..WorldSettings::default()
    };
    let world = World::new(settings).await;
    let options = DatastoreOptions {
        policy: "coded".into(),
        versioning: false,
        quota_bytes: None,
        indexed_tags: Vec::new(),
    };
    let made = world.client.create_datastore("data", &options).await;
    made.unwrap();
    let bytes = 1 << 20;
    put_without(&world, 3, bytes).await;

    let traffic = repair(&world, 3).await;

    assert!(traffic.bytes_read >= 4 * traffic.bytes_written);
    assert!(is_whole(&world, 3, bytes, 2).await);
}

#[tokio::test(start_paused = true)]
async fn small_fragments_are_read_whole() {
    let world = world(6, NARROW).await;
    put_without(&world, 3, 100).await;

    let traffic = repair(&world, 3).await;

    assert!(traffic.bytes_read >= 4 * traffic.bytes_written);
    assert!(is_whole(&world, 3, 100, 2).await);
}

#[tokio::test(start_paused = true)]
async fn what_an_unanswered_repair_has_left_gives_way() {
    let world = world(6, NARROW).await;
    let bytes = 1 << 20;
    put_without(&world, 3, bytes).await;
    // What is owed of the manifest is paid before, so that the next put is the fragment's.
    world.pass(LATER);
    tokio::time::sleep(LATER).await;
    world.chores.round().await.unwrap();
    // It is put, and nobody is told; then a helper is away for a while, so that another fragment is made.
    world.sites[3].faults.leave_unanswered(1);
    world.sites[3].faults.set_down(false);
    world.pass(LATER);
    tokio::time::sleep(LATER).await;
    world.chores.round().await.unwrap();
    let left = world.sites[3].faults.names();
    assert!(left.iter().any(|it| is_fragment(&it)));
    assert_eq!(owed(&world).await, 1);
    world.sites[0].faults.set_down(true);

    let traffic = repair(&world, 3).await;

    assert!(traffic.bytes_read >= 4 * traffic.bytes_written);
    world.sites[0].faults.set_down(false);
    assert!(is_whole(&world, 3, bytes, 2).await);
}
