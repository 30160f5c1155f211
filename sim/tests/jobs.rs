//! Jobs: what is lost, damaged, leaving, moved or belongs to nothing is dealt with, while everything stays readable.

#![allow(clippy::unwrap_used, reason = "helpers of tests are tests")]

use std::time::Duration;

use bytes::Bytes;
use sc_backend::{Backend as _, FragmentName};
use sc_client::kv::{Condition, DatastoreOptions, Metadata, ObjectBody, PutOptions, RANGE_WHOLE};
use sc_metadata::{FragmentState, Segment};
use sc_sim::storage::{World, WorldSettings};
use sc_store::StoreSettings;
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
    segments(world).await.iter().all(|segment| {
        segment.fragments.iter().all(|it| {
            let holder = world.sites.iter().find(|site| site.name == it.location);
            let name = FragmentName::new(&it.name).unwrap();
            it.state == FragmentState::Stored
                && it.location != *gone
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

#[tokio::test(start_paused = true)]
async fn what_lay_at_a_lost_location_is_made_again_elsewhere() {
    let world = world(8).await;
    let objects = put_some(&world).await;
    world.sites[2].faults.lose_all();
    world.sites[2].faults.set_down(true);

    set_state(&world, 2, "lost").await;
    world.chores.round().await.unwrap();

    let done: Value = serde_json::from_str(&world.client.jobs(0, 9).await.unwrap()).unwrap();
    assert_eq!(done[0]["kind"], "repair");
    assert_eq!(done[0]["state"], "done");
    assert_eq!(done[0]["share"], 1.0);
    assert!(done[0]["done"]["changed"].as_u64().unwrap() > 0);
    assert_eq!(done[0]["done"]["failed"], 0);
    assert!(are_whole_without(&world, 2).await);
    for pair in [[0, 1], [3, 4], [5, 6], [6, 7]] {
        assert!(read_back_without(&world, &objects, &pair).await, "{pair:?}");
    }
    // Manifests have their copies again, too.
    let manifest = |name: &FragmentName| name.as_str().ends_with(".manifest");
    let copies = world
        .sites
        .iter()
        .enumerate()
        .filter(|(site, _)| *site != 2);
    let copies =
        copies.map(|(_, site)| site.faults.names().iter().filter(|it| manifest(it)).count());
    assert!(copies.sum::<usize>() >= 3 * objects.len());
}

#[tokio::test(start_paused = true)]
async fn a_location_is_drained_while_everything_is_read() {
    let world = world(8).await;
    let objects = put_some(&world).await;
    let before = fragments_at(&world, 1);
    assert!(before > 0);

    set_state(&world, 1, "draining").await;
    world.chores.round().await.unwrap();

    assert!(are_whole_without(&world, 1).await);
    // Who was reading finds the old copies for a while.
    assert_eq!(fragments_at(&world, 1), before);
    assert!(all_read_back(&world, &objects).await);
    world.pass(GRACE);
    world.chores.round().await.unwrap();
    assert_eq!(fragments_at(&world, 1), 0);
    world.sites[1].faults.set_down(true);
    assert!(read_back_without(&world, &objects, &[0, 3]).await);
}

#[tokio::test(start_paused = true)]
async fn what_has_no_other_place_stays_and_is_told() {
    let world = world(6).await;
    put(&world, "a", "cold", 700).await;

    let drained = run(&world, json!({ "kind": "drain", "location": "site1" })).await;

    assert_eq!(drained["done"]["failed"], 1);
    let problem = drained["done"]["problem"].as_str().unwrap();
    assert!(problem.contains("add locations"), "{problem}");
    assert!(reads_back(&world, "a", 700).await);
}

#[tokio::test(start_paused = true)]
async fn a_scrub_finds_what_is_damaged_or_gone_and_heals_it() {
    let world = world(6).await;
    let objects = put_some(&world).await;
    let mut harmed = 0;
    for (number, segment) in segments(&world).await.iter().enumerate() {
        // As many as the code may lose.
        let two = segment.fragments.iter().skip(number % 2).take(2);
        for (fragment, how) in two.zip([number, number + 1]) {
            let site = world.sites.iter().find(|it| it.name == fragment.location);
            let faults = &site.unwrap().faults;
            let name = FragmentName::new(&fragment.name).unwrap();
            let body = faults.stored(&name).unwrap();
            let is_done = match how % 4 {
                0 => faults.corrupt(&name, body.len() - 1),
                1 => faults.lose(&name),
                2 => faults.corrupt(&name, 80),
                _ => faults.truncate(&name, body.len() / 2),
            };
            assert!(is_done);
            harmed += 1;
        }
    }
    assert!(harmed >= 16, "{harmed}");

    let scrub = run(&world, json!({ "kind": "scrub" })).await;

    assert_eq!(scrub["done"]["damaged"], harmed);
    assert_eq!(scrub["done"]["changed"], harmed);
    assert_eq!(scrub["done"]["failed"], 0, "{scrub}");
    assert!(are_whole_without(&world, 6 - 1).await || all_read_back(&world, &objects).await);
    for pair in [[0, 1], [2, 3], [4, 5]] {
        assert!(read_back_without(&world, &objects, &pair).await, "{pair:?}");
    }
    let again = run(&world, json!({ "kind": "scrub" })).await;
    assert_eq!(again["done"]["damaged"], 0);
    assert_eq!(again["done"]["changed"], 0);
}

#[tokio::test(start_paused = true)]
async fn what_cannot_be_made_again_is_not_given_up() {
    let world = world(8).await;
    put(&world, "a", "cold", 5000).await;
    let held: Vec<usize> = (0..8)
        .filter(|site| fragments_at(&world, *site) > 0)
        .collect();
    let (lost, away) = (held[0], &held[1..4]);
    away.iter()
        .for_each(|site| world.sites[*site].faults.set_down(true));

    // Two are left: too few to make a third of.
    set_state(&world, lost, "lost").await;
    world.chores.round().await.unwrap();
    let jobs: Value = serde_json::from_str(&world.client.jobs(0, 1).await.unwrap()).unwrap();
    assert_eq!(jobs[0]["done"]["failed"], 1, "{jobs}");
    // It was not lost after all, and all but one of the others come back.
    set_state(&world, lost, "active").await;
    away[1..]
        .iter()
        .for_each(|site| world.sites[*site].faults.set_down(false));
    rest().await;
    for _ in 0..3 {
        world.pass(GRACE);
        world.chores.round().await.unwrap();
    }

    assert!(reads_back(&world, "a", 5000).await);
    assert!(fragments_at(&world, lost) > 0);
}

#[tokio::test(start_paused = true)]
async fn damage_beyond_repair_is_told_and_nothing_is_deleted() {
    let world = world(6).await;
    put(&world, "a", "cold", 5000).await;
    let segment = segments(&world).await.remove(0);
    for fragment in &segment.fragments[..3] {
        let site = world.sites.iter().find(|it| it.name == fragment.location);
        let name = FragmentName::new(&fragment.name).unwrap();
        let faults = &site.unwrap().faults;
        let last = faults.stored(&name).unwrap().len() - 1;
        assert!(faults.corrupt(&name, last));
    }
    let held: usize = (0..6).map(|site| fragments_at(&world, site)).sum();

    let scrub = run(&world, json!({ "kind": "scrub" })).await;
    assert_eq!(scrub["done"]["failed"], 1, "{scrub}");
    for _ in 0..3 {
        world.pass(GRACE);
        world.chores.round().await.unwrap();
    }

    let left: usize = (0..6).map(|site| fragments_at(&world, site)).sum();
    assert_eq!(left, held);
    assert_eq!(segments(&world).await, [segment]);
}

#[tokio::test(start_paused = true)]
async fn parts_of_an_upload_under_way_leave_a_drained_location_too() {
    let world = world(8).await;
    let client = &world.client;
    let metadata = Metadata::default();
    let upload = client
        .create_upload("data", b"a", "cold", &metadata)
        .await
        .unwrap();
    let body: ObjectBody = {
        let content = content("a", 70_000);
        Box::pin(futures_util::stream::once(async { Ok(content) }))
    };
    let part = client.put_part(&upload, 1, "", body).await.unwrap();
    let held: Vec<usize> = (0..8)
        .filter(|site| fragments_at(&world, *site) > 0)
        .collect();

    set_state(&world, held[0], "draining").await;
    world.chores.round().await.unwrap();
    set_state(&world, held[1], "lost").await;
    world.chores.round().await.unwrap();

    let parts = [(part.part, part.etag)];
    let done = client.complete_upload(&upload, &parts, "", &Condition::None);
    done.await.unwrap();
    assert!(are_whole_without(&world, held[0]).await);
    assert!(are_whole_without(&world, held[1]).await);
    let objects = [("a".to_owned(), 70_000)];
    assert!(read_back_without(&world, &objects, &[held[0], held[1], held[2]]).await);
}

#[tokio::test(start_paused = true)]
async fn fragments_that_change_places_are_found_by_a_scrub() {
    let world = world(6).await;
    put(&world, "a", "cold", 5000).await;
    put(&world, "b", "cold", 5000).await;
    let all = segments(&world).await;
    let at = |segment: &Segment, site: &str| {
        let it = segment.fragments.iter().find(|it| it.location == site);
        FragmentName::new(&it.unwrap().name).unwrap()
    };
    let site = &world.sites[3];
    // Each is sound by itself, and of another segment.
    assert!(
        site.faults
            .swap(&at(&all[0], &site.name), &at(&all[1], &site.name))
    );

    let scrub = run(&world, json!({ "kind": "scrub" })).await;

    assert_eq!(scrub["done"]["damaged"], 2);
    let objects = [("a".to_owned(), 5000), ("b".to_owned(), 5000)];
    assert!(read_back_without(&world, &objects, &[0, 1]).await);
}

#[tokio::test(start_paused = true)]
async fn a_scrub_does_not_judge_what_does_not_answer() {
    let world = world(6).await;
    put(&world, "a", "cold", 700).await;
    world.sites[4].faults.set_down(true);

    let scrub = run(&world, json!({ "kind": "scrub" })).await;

    assert_eq!(scrub["done"]["unreached"], 1);
    assert_eq!(scrub["done"]["damaged"], 0);
    assert_eq!(scrub["done"]["changed"], 0);
}

#[tokio::test(start_paused = true)]
async fn every_segment_is_scrubbed_once_in_as_many_days_as_its_policy_says() {
    let world = world(6).await;
    for number in 0..20 {
        put(&world, &format!("object-{number}"), "cold", 300).await;
    }
    world.chores.round().await.unwrap();
    let bytes = segments(&world).await;
    let bytes = bytes.iter().map(|it| u64::from(it.fragment_bytes) * 6);
    let bytes: u64 = bytes.sum();

    for _ in 0..30 {
        world.pass(DAY);
        world.chores.round().await.unwrap();
    }

    let jobs: Value = serde_json::from_str(&world.client.jobs(0, 1000).await.unwrap()).unwrap();
    let scrubs = jobs
        .as_array()
        .unwrap()
        .iter()
        .filter(|it| it["kind"] == "scrub");
    let read: Vec<u64> = scrubs
        .map(|it| it["done"]["bytes_read"].as_u64().unwrap())
        .collect();
    assert_eq!(read.len(), 30);
    assert_eq!(read.iter().sum::<u64>(), bytes);
    assert!(read.iter().all(|it| *it < bytes / 2), "{read:?}");
}

#[tokio::test(start_paused = true)]
async fn objects_move_to_another_policy_while_they_are_read() {
    let world = world(6).await;
    let mut objects = put_some(&world).await;
    put(&world, "other", "hot", 100).await;
    let reader = world.client.get("data", b"hot-9437189", None, RANGE_WHOLE);
    let reader = reader.await.unwrap();

    let definition = json!({
        "kind": "migrate", "datastore": "data", "prefix": "hot", "policy": "cold",
    });
    let moved = run(&world, definition.clone()).await;

    assert_eq!(moved["done"]["changed"], 2);
    assert_eq!(moved["done"]["failed"], 0);
    assert!(moved["definition"].get("tenant").is_none());
    // Who had begun to read reads on.
    assert_eq!(
        reader.read_all().await.unwrap(),
        content("hot-9437189", 9_437_189)
    );
    objects.push(("other".into(), 100));
    assert!(all_read_back(&world, &objects).await);
    let stat = world.client.stat("data", b"hot-700", None).await.unwrap();
    let placed: Value = serde_json::from_str(&stat.1).unwrap();
    assert_eq!(placed["policy"], "cold");
    assert_eq!(
        placed["segments"][0]["fragments"].as_array().unwrap().len(),
        6
    );
    let stat = world.client.stat("data", b"other", None).await.unwrap();
    let placed: Value = serde_json::from_str(&stat.1).unwrap();
    assert_eq!(placed["policy"], "hot");
    assert_eq!(run(&world, definition).await["done"]["changed"], 0);

    // What was before goes, and what is now goes with the objects.
    for _ in 0..2 {
        world.pass(GRACE);
        world.chores.round().await.unwrap();
    }
    let held = fragments_of_live_segments(&world).await;
    assert_eq!(
        (0..6).map(|site| fragments_at(&world, site)).sum::<usize>(),
        held
    );
    assert!(read_back_without(&world, &objects, &[0, 5]).await);
    for (key, _) in &objects {
        let deleted = world
            .client
            .delete("data", key.as_bytes(), None, Condition::None);
        deleted.await.unwrap();
    }
    for _ in 0..2 {
        world.pass(GRACE);
        world.chores.round().await.unwrap();
    }
    for site in &world.sites {
        let names = site.faults.names();
        let left: Vec<_> = names
            .iter()
            .filter(|it| !it.as_str().ends_with(".datastore"))
            .collect();
        assert_eq!(left, Vec::<&FragmentName>::new());
    }
}

async fn fragments_of_live_segments(world: &World) -> usize {
    let all = segments(world).await;
    all.iter().map(|it| it.fragments.len()).sum()
}

#[tokio::test(start_paused = true)]
async fn there_and_back_again_an_object_is_what_it_was() {
    let world = world(6).await;
    put(&world, "a", "hot", (1 << 20) + 17).await;
    for policy in ["cold", "coded", "hot", "coded", "cold"] {
        let definition = json!({
            "kind": "migrate", "datastore": "data", "key": "a", "policy": policy,
        });
        let moved = run(&world, definition).await;

        assert_eq!(moved["done"]["changed"], 1, "{policy}: {moved}");
        assert!(reads_back(&world, "a", (1 << 20) + 17).await, "{policy}");
    }
}

#[tokio::test(start_paused = true)]
async fn what_nobody_reads_goes_to_a_colder_policy_and_comes_back_when_it_is_read() {
    let world = world(6).await;
    let tiered = r#"{"redundancy":{"kind":"replication","copies":3},"tier":{"after_idle_days":7,"policy":"cold"}}"#;
    world
        .client
        .put_policy("warm", tiered, false)
        .await
        .unwrap();
    put(&world, "idle", "warm", 400).await;
    put(&world, "read", "warm", 400).await;
    let policy_of = async |key: &str| {
        let stat = world
            .client
            .stat("data", key.as_bytes(), None)
            .await
            .unwrap();
        let placed: Value = serde_json::from_str(&stat.1).unwrap();
        placed["policy"].as_str().unwrap().to_owned()
    };
    for day in 0..9 {
        world.pass(DAY);
        if day == 4 {
            assert!(reads_back(&world, "read", 400).await);
        }
        world.chores.round().await.unwrap();
    }

    assert_eq!(policy_of("idle").await, "cold");
    assert_eq!(policy_of("read").await, "warm");
    world.pass(DAY);
    assert!(reads_back(&world, "idle", 400).await);
    world.chores.round().await.unwrap();
    world.pass(DAY - Duration::from_secs(60));
    world.chores.round().await.unwrap();
    let _ = run(&world, json!({ "kind": "tier" })).await;

    assert_eq!(policy_of("idle").await, "warm");
    assert!(reads_back(&world, "idle", 400).await);
}

#[tokio::test(start_paused = true)]
async fn garbage_is_what_belongs_to_nothing_and_nothing_else() {
    let world = world(6).await;
    let objects = put_some(&world).await;
    let own: usize = (0..6).map(|site| fragments_at(&world, site)).sum();
    let plant = async |site: usize, name: &str| {
        let name = FragmentName::new(name).unwrap();
        let memory = &world.sites[site].memory;
        memory
            .put(&name, Bytes::from_static(b"planted"))
            .await
            .unwrap();
    };
    let segment = &segments(&world).await[0];
    let fragment = &segment.fragments[0];
    let stem = fragment.name.split('.').next().unwrap();
    // Of no segment; of a segment under a name that it has no more; and where another location has it.
    plant(0, &format!("{}.0", "ab".repeat(32))).await;
    plant(1, &format!("{stem}.1.00000000000000aa")).await;
    let elsewhere = (0..6).find(|site| world.sites[*site].name != fragment.location);
    plant(elsewhere.unwrap(), &fragment.name).await;
    plant(2, "a-file-of-somebody-else").await;

    let gc = run(&world, json!({ "kind": "gc" })).await;

    assert_eq!(gc["done"]["changed"], 3, "{gc}");
    assert_eq!(gc["done"]["failed"], 0);
    world.pass(GRACE);
    world.chores.round().await.unwrap();
    let left: usize = (0..6).map(|site| fragments_at(&world, site)).sum();
    assert_eq!(left, own);
    let other = FragmentName::new("a-file-of-somebody-else").unwrap();
    assert!(world.sites[2].faults.stored(&other).is_some());
    assert!(read_back_without(&world, &objects, &[3, 4]).await);
    assert_eq!(
        run(&world, json!({ "kind": "gc" })).await["done"]["changed"],
        0
    );
}

#[tokio::test(start_paused = true)]
async fn garbage_is_not_collected_by_a_catalogue_that_has_not_heard_of_what_is_stored() {
    let world = world(6).await;
    put(&world, "a", "cold", 700).await;
    let own: usize = (0..6).map(|site| fragments_at(&world, site)).sum();
    let orphan = FragmentName::new(&format!("{}.0", "ab".repeat(32))).unwrap();
    let unknown = FragmentName::new(&format!("{}.manifest", "cd".repeat(16))).unwrap();
    let memory = &world.sites[5].memory;
    memory.put(&orphan, Bytes::from_static(b"x")).await.unwrap();
    memory
        .put(&unknown, Bytes::from_static(b"x"))
        .await
        .unwrap();

    let gc = run(&world, json!({ "kind": "gc" })).await;

    assert_eq!(gc["done"]["changed"], 0);
    assert_eq!(gc["done"]["failed"], 16);
    let problem = gc["done"]["problem"].as_str().unwrap();
    assert!(problem.contains("rebuild"), "{problem}");
    let left: usize = (0..6).map(|site| fragments_at(&world, site)).sum();
    assert_eq!(left, own + 1);
}

#[tokio::test(start_paused = true)]
async fn a_job_keeps_its_rate() {
    let world = world(6).await;
    put(&world, "a", "cold", 8 << 20).await;
    let rate = 1 << 20;
    let began = tokio::time::Instant::now();

    let definition = json!({ "kind": "scrub", "bytes_per_second": rate });
    let scrub = run(&world, definition).await;

    let seconds = scrub["done"]["bytes_read"].as_u64().unwrap() / rate;
    assert!(seconds >= 12, "{scrub}");
    let took = began.elapsed().as_secs();
    assert!(
        (seconds..seconds + 3).contains(&took),
        "{took} s for {seconds}"
    );
}

#[tokio::test(start_paused = true)]
async fn a_job_that_is_cancelled_stops_within_seconds() {
    let world = world(6).await;
    for number in 0..6 {
        put(&world, &format!("object-{number}"), "cold", 1 << 20).await;
    }
    let definition = json!({ "kind": "scrub", "bytes_per_second": 256 << 10 });
    let id = begin(&world, definition).await;
    let began = tokio::time::Instant::now();
    let cancelled = async {
        tokio::time::sleep(Duration::from_secs(8)).await;
        world.client.cancel_job(id).await.unwrap();
    };

    let (round, ()) = tokio::join!(world.chores.round(), cancelled);

    round.unwrap();
    let took = began.elapsed();
    assert!(took < Duration::from_secs(22), "{took:?}");
    let job = job(&world, id).await;
    assert_eq!(job["state"], "cancelled");
    assert!(job["share"].as_f64().unwrap() < 1.0);
}

#[tokio::test(start_paused = true)]
async fn several_stores_share_a_job_and_none_does_what_another_has_done() {
    let world = world(8).await;
    let objects = put_some(&world).await;
    for number in 0..30 {
        put(&world, &format!("object-{number}"), "cold", 2000).await;
    }
    world.sites[0].faults.lose_all();
    let lost: usize = segments(&world)
        .await
        .iter()
        .flat_map(|it| &it.fragments)
        .filter(|it| it.location == "site0")
        .count();
    let (_other, chores) = world.another_store("other");
    set_state(&world, 0, "lost").await;
    let jobs = world.client.jobs(0, 1).await.unwrap();
    let jobs: Value = serde_json::from_str(&jobs).unwrap();
    world
        .client
        .cancel_job(jobs[0]["id"].as_u64().unwrap())
        .await
        .unwrap();
    // Slow enough for both to have a share.
    let definition = json!({ "kind": "repair", "bytes_per_second": 1 << 20 });
    let id = begin(&world, definition).await;

    let (one, two) = tokio::join!(world.chores.round(), chores.round());

    one.unwrap();
    two.unwrap();
    let job = job(&world, id).await;
    assert_eq!(job["state"], "done");
    assert_eq!(job["done"]["changed"], lost as u64);
    let parts = world.catalog.job(id).await.unwrap().unwrap().parts;
    let owners: std::collections::BTreeSet<_> =
        parts.iter().filter_map(|it| it.owner.clone()).collect();
    assert_eq!(owners.len(), 2, "{owners:?}");
    assert!(read_back_without(&world, &objects, &[1, 2]).await);
}

#[tokio::test(start_paused = true)]
async fn what_a_store_was_at_when_it_stopped_is_gone_on_with_by_another() {
    let world = world(8).await;
    let objects = put_some(&world).await;
    world.sites[3].faults.lose_all();
    set_state(&world, 3, "lost").await;
    let round = tokio::time::timeout(Duration::from_millis(100), world.chores.round()).await;
    assert!(round.is_err(), "the rate holds it up for longer");
    let (_other, chores) = world.another_store("other");

    // The lease of whoever stopped has to pass.
    world.pass(Duration::from_secs(200));
    chores.round().await.unwrap();

    assert!(are_whole_without(&world, 3).await);
    assert!(read_back_without(&world, &objects, &[1, 2]).await);
}

#[tokio::test]
async fn jobs_are_for_whoever_may_administer() {
    let world = world(6).await;
    let reader = world.client_with(sc_proto::storage::CertificateBody {
        tenant: Bytes::copy_from_slice(&world.client.tenant()),
        serial: 9,
        rights: 1 | 8,
        datastores: vec!["*".into()],
        ..Default::default()
    });
    let scrub = r#"{"kind":"scrub"}"#;

    assert!(reader.put_job("", scrub).await.is_err());
    assert!(reader.jobs(0, 10).await.is_ok());
    let id = begin(&world, json!({ "kind": "scrub" })).await;
    assert!(reader.cancel_job(id).await.is_err());
    let other = world.another_tenant(9).await;
    let migrate = json!({ "kind": "migrate", "datastore": "data", "policy": "hot" });
    assert!(
        other
            .client
            .put_job("data", &migrate.to_string())
            .await
            .is_err()
    );
    let own = begin(&world, migrate).await;
    assert!(other.client.job(own).await.is_err());
    assert!(other.client.cancel_job(own).await.is_err());
    // What a job says it is about is what was asked for.
    let sly = r#"{"kind":"migrate","datastore":"data","policy":"hot"}"#;
    assert!(world.client.put_job("", sly).await.is_err());
    let settings = StoreSettings::default();
    assert!(settings.job_bytes_per_second > 0);
}
