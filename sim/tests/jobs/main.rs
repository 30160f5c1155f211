//! Jobs: what is lost, damaged, leaving, moved or belongs to nothing is dealt with, while everything stays readable.

#![allow(clippy::unwrap_used, reason = "helpers of tests are tests")]

mod garbage;
mod healing;
mod moving;
mod returning;
mod scrubbing;
mod sharing;

use std::time::Duration;

use bytes::Bytes;
use sc_backend::{Backend as _, FragmentName};
use sc_client::kv::{Condition, DatastoreOptions, Metadata, ObjectBody, PutOptions, RANGE_WHOLE};
use sc_metadata::{FragmentState, Segment};
use sc_sim::storage::{World, WorldSettings};
use serde_json::{Value, json};

const GRACE: Duration = Duration::from_secs(3600);
const DAY: Duration = Duration::from_secs(24 * 3600);
const POLICIES: [&str; 3] = ["hot", "cold", "coded"];

async fn world(locations: usize) -> World {
    let settings = WorldSettings {
        locations,
        ..WorldSettings::default()
    };
    let world = World::new(settings).await;
    make_datastore(&world, "data").await;
    world
}

async fn make_datastore(world: &World, name: &str) {
    let options = DatastoreOptions {
        policy: "cold".into(),
        ..DatastoreOptions::default()
    };
    world.client.create_datastore(name, &options).await.unwrap();
}

fn content(key: &str, bytes: usize) -> Bytes {
    let salt = key
        .bytes()
        .fold(7_usize, |sum, byte| (sum * 31 + usize::from(byte)) % 251);
    (0..bytes)
        .map(|at| ((at * 31) ^ (at >> 8) ^ salt) as u8)
        .collect()
}

async fn put(world: &World, key: &str, policy: &str, bytes: usize) {
    let options = PutOptions {
        policy: policy.into(),
        ..PutOptions::default()
    };
    let stored = world
        .client
        .put_bytes("data", key.as_bytes(), &options, content(key, bytes));
    stored.await.unwrap();
}

/// Locations that were found wanting are asked again after a while.
async fn rest() {
    tokio::time::sleep(Duration::from_secs(60)).await;
}

/// One small and one large object of each policy.
async fn put_some(world: &World) -> Vec<(String, usize)> {
    let mut put_keys = Vec::new();
    for policy in POLICIES {
        for bytes in [700, (9 << 20) + 5] {
            let key = format!("{policy}-{bytes}");
            put(world, &key, policy, bytes).await;
            put_keys.push((key, bytes));
        }
    }
    put_keys
}

async fn reads_back(world: &World, key: &str, bytes: usize) -> bool {
    let reader = world.client.get("data", key.as_bytes(), None, RANGE_WHOLE);
    match reader.await {
        Ok(reader) => reader
            .read_all()
            .await
            .is_ok_and(|it| it == content(key, bytes)),
        Err(_) => false,
    }
}

async fn all_read_back(world: &World, objects: &[(String, usize)]) -> bool {
    for (key, bytes) in objects {
        if !reads_back(world, key, *bytes).await {
            return false;
        }
    }
    true
}

async fn begin(world: &World, definition: Value) -> u64 {
    let datastore = definition["datastore"].as_str().unwrap_or_default();
    let definition = definition.to_string();
    let job = world.client.put_job(datastore, &definition);
    let job: Value = serde_json::from_str(&job.await.unwrap()).unwrap();
    job["id"].as_u64().unwrap()
}

async fn job(world: &World, id: u64) -> Value {
    serde_json::from_str(&world.client.job(id).await.unwrap()).unwrap()
}

/// Begins a job and does it.
async fn run(world: &World, definition: Value) -> Value {
    let id = begin(world, definition).await;
    world.chores.round().await.unwrap();
    job(world, id).await
}

async fn set_state(world: &World, site: usize, state: &str) {
    let name = &world.sites[site].name;
    world.client.put_location(name, "", state).await.unwrap();
}

/// All segments that versions have.
async fn segments(world: &World) -> Vec<Segment> {
    let all = Vec::new()..vec![0xff; 64];
    world.catalog.segments_within(all, 1000).await.unwrap()
}

/// Whether every fragment of every segment is where the catalogue says, and none of them at `site`.
async fn are_whole_without(world: &World, site: usize) -> bool {
    let gone = &world.sites[site].name;
    let all = segments(world).await;
    let mut fragments = all.iter().flat_map(|it| &it.fragments);
    fragments.all(|it| it.location != *gone) && are_whole(world).await
}

/// Whether every fragment of every segment is where the catalogue says.
async fn are_whole(world: &World) -> bool {
    segments(world).await.iter().all(|segment| {
        segment.fragments.iter().all(|it| {
            let holder = world.sites.iter().find(|site| site.name == it.location);
            let name = FragmentName::new(&it.name).unwrap();
            it.state == FragmentState::Stored
                && holder.is_some_and(|site| site.faults.stored(&name).is_some())
        })
    })
}

async fn read_back_without(world: &World, objects: &[(String, usize)], down: &[usize]) -> bool {
    for &site in down {
        world.sites[site].faults.set_down(true);
    }
    let read = all_read_back(world, objects).await;
    for &site in down {
        world.sites[site].faults.set_down(false);
    }
    rest().await;
    read
}

/// Names of fragments at a location.
fn fragments_at(world: &World, site: usize) -> usize {
    let names = world.sites[site].faults.names();
    let is_fragment = |name: &&FragmentName| name.as_str().split('.').next().unwrap().len() == 64;
    names.iter().filter(is_fragment).count()
}

async fn fragments_of_live_segments(world: &World) -> usize {
    let all = segments(world).await;
    all.iter().map(|it| it.fragments.len()).sum()
}
