//! Debts: what a write had to leave out while locations were away is made when they are back, and only then.

#![allow(clippy::unwrap_used, reason = "helpers of tests are tests")]

use std::time::Duration;

use bytes::Bytes;
use sc_client::kv::{Condition, DatastoreOptions, PutOptions, RANGE_WHOLE};
use sc_sim::storage::{World, WorldSettings};

/// Longer than a PUT may be at its manifest.
const LATER: Duration = Duration::from_secs(120);

async fn world() -> World {
    let world = World::new(WorldSettings::default()).await;
    let options = DatastoreOptions {
        policy: "cold".into(),
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

async fn put(world: &World, policy: &str, bytes: usize) {
    let options = PutOptions {
        policy: policy.into(),
        ..PutOptions::default()
    };
    let stored = world
        .client
        .put_bytes("data", policy.as_bytes(), &options, content(bytes));
    stored.await.unwrap();
}

async fn reads_back(world: &World, key: &str, bytes: usize) -> bool {
    let reader = world.client.get("data", key.as_bytes(), None, RANGE_WHOLE);
    match reader.await {
        Ok(reader) => reader.read_all().await.is_ok_and(|it| it == content(bytes)),
        Err(_) => false,
    }
}

fn set_down(world: &World, sites: &[usize], is_down: bool) {
    for &site in sites {
        world.sites[site].faults.set_down(is_down);
    }
}

/// Locations that were found wanting are asked again after a while.
async fn rounds(world: &World) {
    for _ in 0..3 {
        world.pass(LATER);
        tokio::time::sleep(LATER).await;
        world.chores.round().await.unwrap();
    }
}

async fn owed(world: &World) -> usize {
    world.catalog.owed(None, 1000).await.unwrap().len()
}

#[tokio::test(start_paused = true)]
async fn what_was_owed_is_made_when_locations_are_back() {
    for policy in ["cold", "coded"] {
        for bytes in [100, 5 << 20] {
            let world = world().await;
            set_down(&world, &[1, 4], true);
            put(&world, policy, bytes).await;
            assert!(owed(&world).await > 0);
            rounds(&world).await;
            assert!(owed(&world).await > 0, "there is no place for it yet");

            set_down(&world, &[1, 4], false);
            rounds(&world).await;

            assert_eq!(owed(&world).await, 0);
            // What was made stands in for others.
            set_down(&world, &[0, 2], true);
            assert!(reads_back(&world, policy, bytes).await, "{policy}, {bytes}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_damaged_is_not_made_use_of() {
    let world = world().await;
    set_down(&world, &[1], true);
    put(&world, "cold", 5000).await;
    let faults = &world.sites[3].faults;
    for name in faults.names() {
        faults.corrupt(&name, 1000);
    }

    set_down(&world, &[1], false);
    rounds(&world).await;

    assert_eq!(owed(&world).await, 0);
    set_down(&world, &[0], true);
    assert!(reads_back(&world, "cold", 5000).await);
}

#[tokio::test(start_paused = true)]
async fn manifests_get_their_copies() {
    let world = world().await;
    set_down(&world, &[0, 1, 2, 3], true);
    put(&world, "hot", 1000).await;
    let debts = async || world.catalog.manifest_debts(None, 10).await.unwrap().len();
    rounds(&world).await;
    assert_eq!(debts().await, 1);

    set_down(&world, &[0, 1, 2, 3], false);
    rounds(&world).await;

    assert_eq!((debts().await, owed(&world).await), (0, 0));
    let sites = world.sites.iter();
    let is_manifest = |name: &sc_backend::FragmentName| name.as_str().ends_with(".manifest");
    let copies = sites.filter(|site| site.faults.names().iter().any(is_manifest));
    assert!(copies.count() >= 3);
}

#[tokio::test(start_paused = true)]
async fn what_is_deleted_before_its_debt_is_paid_leaves_nothing() {
    let world = world().await;
    set_down(&world, &[1, 4], true);
    put(&world, "cold", 5 << 20).await;
    let deleted = world
        .client
        .delete("data", b"cold", None, Condition::None)
        .await;
    deleted.unwrap();

    set_down(&world, &[1, 4], false);
    rounds(&world).await;
    world.pass(Duration::from_secs(3600));
    rounds(&world).await;

    for site in &world.sites {
        let names = site.faults.names();
        let left = names
            .iter()
            .filter(|it| !it.as_str().ends_with(".datastore"));
        assert_eq!(left.count(), 0);
    }
}
