//! What is left of a store whose catalogue is lost: the locations and the owner's root bring everything back, and nothing that was deleted.

#![allow(clippy::unwrap_used, reason = "helpers of tests are tests")]

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use bytes::Bytes;
use sc_backend::Backend as _;
use sc_client::kv::{
    Condition, DatastoreChange, DatastoreOptions, KvClient, ListOptions, Metadata, ObjectBody,
    PutOptions, RANGE_WHOLE,
};
use sc_proto::Message as _;
use sc_proto::storage::StoredManifest;
use sc_proto::store::problem::Code;
use sc_sim::storage::{World, WorldSettings};
use sc_store::Rebuilt;

/// Longer than a PUT may be at its manifest.
const LATER: Duration = Duration::from_secs(120);
/// Longer than what is deleted is kept.
const GRACE: Duration = Duration::from_secs(3600);

fn settings(catalogue: Option<PathBuf>) -> WorldSettings {
    WorldSettings {
        catalogue,
        ..WorldSettings::default()
    }
}

fn content(bytes: usize) -> Bytes {
    (0..bytes)
        .map(|at| ((at * 31) ^ (at >> 8) ^ bytes) as u8)
        .collect()
}

async fn make(client: &KvClient, name: &str, versioning: bool) {
    let options = DatastoreOptions {
        policy: "cold".into(),
        versioning,
        quota_bytes: Some(1 << 30),
        indexed_tags: vec!["kind".into()],
    };
    client.create_datastore(name, &options).await.unwrap();
}

async fn put(world: &World, datastore: &str, key: &str, policy: &str, bytes: usize) {
    let options = PutOptions {
        policy: policy.into(),
        metadata: Metadata {
            tags: vec![("kind".into(), policy.into())],
            ..Metadata::default()
        },
        ..PutOptions::default()
    };
    let stored = world
        .client
        .put_bytes(datastore, key.as_bytes(), &options, content(bytes));
    stored.await.unwrap();
}

async fn delete(world: &World, datastore: &str, key: &str) {
    let deleted = world
        .client
        .delete(datastore, key.as_bytes(), None, Condition::None);
    deleted.await.unwrap();
}

/// All that a client can see: datastores with their settings and sums, and every version with its content.
async fn seen(world: &World) -> (String, BTreeMap<String, Option<Bytes>>) {
    let client = &world.client;
    let datastores = client.datastores().await.unwrap();
    let names: serde_json::Value = serde_json::from_str(&datastores).unwrap();
    let mut versions = BTreeMap::new();
    for name in names.as_array().unwrap() {
        let name = name["name"].as_str().unwrap();
        let options = ListOptions {
            versions: true,
            limit: 1000,
            ..ListOptions::default()
        };
        let listing = client.list(name, &options).await.unwrap();
        for head in listing.heads {
            let key = String::from_utf8(head.key.to_vec()).unwrap();
            let place = format!("{name}/{key}/{:?}/{}", head.version, head.marker);
            let read = if head.marker {
                None
            } else {
                let version = Some(head.version[..].try_into().unwrap());
                let reader = client.get(name, &head.key, version, RANGE_WHOLE);
                Some(reader.await.unwrap().read_all().await.unwrap())
            };
            versions.insert(place, read);
        }
        let options = ListOptions {
            versions: false,
            ..options
        };
        for head in client.list(name, &options).await.unwrap().heads {
            let key = String::from_utf8(head.key.to_vec()).unwrap();
            versions.insert(format!("{name}/{key} is current: {:?}", head.version), None);
        }
    }
    (datastores, versions)
}

async fn rounds(world: &World, time: Duration) {
    for _ in 0..4 {
        world.pass(time);
        tokio::time::sleep(time).await;
        world.chores.round().await.unwrap();
    }
}

/// The same for a world in which time passes.
async fn later(world: &World) {
    for _ in 0..4 {
        world.pass(GRACE);
        tokio::time::sleep(Duration::from_millis(800)).await;
        world.chores.round().await.unwrap();
    }
}

fn set_down(world: &World, site: usize, is_down: bool) {
    world.sites[site].faults.set_down(is_down);
}

/// What a year of use leaves, with a location away at times.
async fn live(world: &World) {
    make(&world.client, "data", false).await;
    make(&world.client, "kept", true).await;
    make(&world.client, "empty", true).await;
    for policy in ["hot", "cold", "coded"] {
        for bytes in [0, 1, 70_000, (9 << 20) + 17] {
            put(world, "data", &format!("{policy}/{bytes}"), policy, bytes).await;
        }
    }
    for key in ["a", "b", "c", "d", "e"] {
        put(world, "data", key, "cold", 1000).await;
        put(world, "kept", key, "hot", 2000).await;
    }
    set_down(world, 1, true);
    for key in ["a", "b", "f"] {
        put(world, "data", key, "cold", 3000).await;
        put(world, "kept", key, "coded", 4000).await;
    }
    delete(world, "data", "c").await;
    delete(world, "kept", "c").await;
    let refused = PutOptions {
        condition: Condition::Absent,
        ..PutOptions::default()
    };
    let taken = world
        .client
        .put_bytes("data", b"a", &refused, content(50))
        .await;
    assert_eq!(taken.unwrap_err().code(), Some(Code::ConditionFailed));
    set_down(world, 1, false);
    set_down(world, 4, true);
    delete(world, "data", "b").await;
    put(world, "data", "b", "hot", 5000).await;
    delete(world, "data", "d").await;
    delete(world, "kept", "a").await;
    put(world, "kept", "a", "cold", 6000).await;
    set_down(world, 4, false);
    // A version that is deleted for good, and one that comes back since its marker is.
    let options = ListOptions {
        versions: true,
        limit: 1000,
        ..ListOptions::default()
    };
    let listing = world.client.list("kept", &options).await.unwrap();
    let of = |key: &str, marker: bool| {
        let mut heads = listing.heads.iter();
        let found = heads.find(|it| it.key == key.as_bytes() && it.marker == marker);
        Some(found.unwrap().version[..].try_into().unwrap())
    };
    for (key, marker) in [("b", false), ("c", true)] {
        let version = of(key, marker);
        let deleted = world
            .client
            .delete("kept", key.as_bytes(), version, Condition::None);
        deleted.await.unwrap();
    }
    upload(world, "data", "uploaded", true).await;
    upload(world, "data", "abandoned", false).await;
    world
        .client
        .put_record("token", "one", b"1", false)
        .await
        .unwrap();
    world
        .client
        .put_record("token", "two", b"2", false)
        .await
        .unwrap();
    world.client.delete_record("token", "two").await.unwrap();
    let change = DatastoreChange {
        quota_bytes: Some(1 << 40),
        ..DatastoreChange::default()
    };
    world
        .client
        .update_datastore("empty", &change)
        .await
        .unwrap();
    make(&world.client, "gone", false).await;
    world.client.delete_datastore("gone").await.unwrap();
}

fn body(content: Bytes) -> ObjectBody {
    Box::pin(futures_util::stream::once(async { Ok(content) }))
}

async fn upload(world: &World, datastore: &str, key: &str, completes: bool) {
    let client = &world.client;
    let upload = client
        .create_upload(datastore, key.as_bytes(), "", &Metadata::default())
        .await
        .unwrap();
    let mut parts = Vec::new();
    for part in 1..4 {
        let receipt = client
            .put_part(&upload, part, "", body(content(100_000 * part as usize)))
            .await
            .unwrap();
        parts.push((receipt.part, receipt.etag));
    }
    if completes {
        client
            .complete_upload(&upload, &parts, "", &Condition::None)
            .await
            .unwrap();
    }
}

async fn rebuilt(world: &World) -> Rebuilt {
    world.store.rebuild().await.unwrap()
}

#[tokio::test(start_paused = true)]
async fn everything_comes_back_and_nothing_that_was_deleted_or_refused() {
    let world = World::new(settings(None)).await;
    live(&world).await;
    let expected = seen(&world).await;

    let after = world.after_loss(settings(None)).await;
    assert_eq!(after.client.datastores().await.unwrap(), "[]");
    let report = rebuilt(&after).await;

    assert_eq!(report.bad, 0, "{report:?}");
    assert_eq!(report.datastores, 3);
    let found = seen(&after).await;
    assert_eq!(found.1, expected.1);
    assert_eq!(found.0, expected.0);
    let record = after.client.record("token", "one").await.unwrap();
    assert_eq!(record.as_deref().map(|it| &it[..]), Some(&b"1"[..]));
    assert!(after.client.record("token", "two").await.unwrap().is_none());
    // It is found by its tags, and numbers go on above what was seen.
    put(&after, "data", "e", "hot", 7000).await;
    delete(&after, "kept", "e").await;
    let again = after.after_loss(settings(None)).await;
    let expected = seen(&after).await;
    rebuilt(&again).await;
    assert_eq!(seen(&again).await, expected);
}

#[tokio::test(start_paused = true)]
async fn a_rebuild_that_comes_again_changes_nothing() {
    let world = World::new(settings(None)).await;
    live(&world).await;
    let after = world.after_loss(settings(None)).await;
    rebuilt(&after).await;
    let expected = seen(&after).await;
    let debts = after.catalog.manifest_debts(None, 1000).await.unwrap();
    let owed = after.catalog.owed(None, 1000).await.unwrap();
    let removals = after.catalog.removals(u64::MAX >> 1, 1000).await.unwrap();

    let report = rebuilt(&after).await;

    let changes = (
        report.added,
        report.datastores,
        report.records,
        report.moved,
    );
    assert_eq!(changes, (0, 0, 0, 0), "{report:?}");
    assert_eq!(seen(&after).await, expected);
    let now = after.catalog.manifest_debts(None, 1000).await.unwrap();
    assert_eq!(now, debts);
    assert_eq!(after.catalog.owed(None, 1000).await.unwrap(), owed);
    let now = after.catalog.removals(u64::MAX >> 1, 1000).await.unwrap();
    assert_eq!(now, removals);
    // And over the catalogue that was never lost.
    let expected = seen(&world).await;
    let report = rebuilt(&world).await;
    assert_eq!((report.added, report.moved), (0, 0), "{report:?}");
    assert_eq!(seen(&world).await, expected);
}

// The catalogue is in a file, which time that does not pass would not wait for.
#[tokio::test]
async fn over_an_older_catalogue_it_adds_what_is_missing_and_takes_away_what_was_deleted() {
    for cleans_up in [false, true] {
        let folder = tempfile::tempdir().unwrap();
        let (path, copy) = (folder.path().join("now.db"), folder.path().join("then.db"));
        let world = World::new(settings(Some(path.clone()))).await;
        live(&world).await;
        for key in ["old", "older"] {
            put(&world, "data", key, "hot", 100).await;
            put(&world, "kept", key, "cold", 200).await;
        }
        world
            .client
            .put_record("token", "old", b"1", false)
            .await
            .unwrap();
        make(&world.client, "brief", false).await;
        put(&world, "brief", "a", "hot", 100).await;
        sc_metadata::back_up(&path, &copy).unwrap();
        sc_metadata::mark_restored(&copy).unwrap();

        delete(&world, "data", "old").await;
        delete(&world, "kept", "old").await;
        put(&world, "data", "older", "cold", 300).await;
        put(&world, "data", "new", "cold", 400).await;
        world.client.delete_record("token", "old").await.unwrap();
        delete(&world, "brief", "a").await;
        world.client.delete_datastore("brief").await.unwrap();
        if cleans_up {
            // Nothing at the locations tells of what was deleted any more.
            later(&world).await;
        }
        let expected = seen(&world).await;

        let after = world.after_loss(settings(Some(copy))).await;
        after.store.open_locations().await.unwrap();
        let refused = after.client.datastores().await.unwrap_err();
        assert_eq!(refused.code(), Some(Code::Unavailable));
        rebuilt(&after).await;

        assert_eq!(seen(&after).await, expected, "cleans up: {cleans_up}");
        assert!(after.client.record("token", "old").await.unwrap().is_none());
        // What was given up then, and stored since, is not swept away.
        later(&after).await;
        assert_eq!(seen(&after).await, expected);
    }
}

#[tokio::test(start_paused = true)]
async fn what_was_deleted_while_a_location_was_away_stays_deleted() {
    let world = World::new(settings(None)).await;
    make(&world.client, "data", false).await;
    for number in 0..12 {
        put(&world, "data", &format!("k{number}"), "cold", 1000).await;
    }
    set_down(&world, 2, true);
    for number in 0..12 {
        delete(&world, "data", &format!("k{number}")).await;
    }
    // The others have dropped what they held; this one still holds its manifests.
    rounds(&world, GRACE).await;
    set_down(&world, 2, false);
    let names = world.sites[2].faults.names();
    assert!(names.iter().any(|it| it.as_str().ends_with(".manifest")));

    let after = world.after_loss(settings(None)).await;
    let report = rebuilt(&after).await;

    assert_eq!((report.added, report.bad), (0, 0), "{report:?}");
    // Fragments whose manifests were elsewhere are strays; when somebody has said that nothing is missing, all that is left goes, the removals last.
    assert!(report.may_miss_locations, "{report:?}");
    rounds(&after, GRACE).await;
    let gc = job(&after, serde_json::json!({ "kind": "gc", "strays": true })).await;
    assert_eq!(gc["done"]["failed"], 0, "{gc}");
    rounds(&after, GRACE).await;
    let words = [".manifest", ".removal"];
    for site in &after.sites {
        let names = site.faults.names();
        let left = names
            .iter()
            .any(|name| words.iter().any(|word| name.as_str().ends_with(word)));
        assert!(!left, "{names:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn removals_go_when_no_location_holds_what_they_are_about_and_not_before() {
    let world = World::new(settings(None)).await;
    make(&world.client, "data", false).await;
    put(&world, "data", "a", "cold", 1000).await;
    set_down(&world, 2, true);
    // Replaced, and then deleted: one removal is about both.
    put(&world, "data", "a", "cold", 2000).await;
    delete(&world, "data", "a").await;
    let removals = || {
        let sites = world.sites.iter();
        let names = sites.flat_map(|site| site.faults.names());
        names.filter(|it| it.as_str().ends_with(".removal")).count()
    };

    rounds(&world, GRACE).await;
    assert!(removals() >= 3, "a location is away");
    set_down(&world, 2, false);
    rounds(&world, GRACE).await;

    assert_eq!(removals(), 0);
    assert_eq!(world.catalog.removals(u64::MAX >> 1, 9).await.unwrap(), []);
}

#[tokio::test(start_paused = true)]
async fn a_copy_that_is_damaged_is_passed_over_and_what_has_no_good_one_is_named_and_left() {
    let world = World::new(settings(None)).await;
    make(&world.client, "data", false).await;
    for key in ["a", "b"] {
        put(&world, "data", key, "cold", 1000).await;
    }
    let expected = seen(&world).await;
    let manifests = |site: usize| {
        let names = world.sites[site].faults.names();
        let is_manifest = |it: &sc_backend::FragmentName| it.as_str().ends_with(".manifest");
        names.into_iter().filter(is_manifest).collect::<Vec<_>>()
    };
    for name in manifests(0).into_iter().chain(manifests(1)) {
        for site in 0..2 {
            world.sites[site].faults.corrupt(&name, 300);
        }
    }

    let after = world.after_loss(settings(None)).await;
    let report = rebuilt(&after).await;
    assert_eq!(report.bad, 0, "{report:?}");
    assert_eq!(seen(&after).await, expected);

    for site in 0..6 {
        for name in manifests(site) {
            let faults = &world.sites[site].faults;
            let stored = faults.stored(&name).unwrap();
            let head = StoredManifest::decode(stored.clone()).unwrap().head;
            let mut windows = stored.windows(head.len());
            let at = windows.position(|window| *window == head[..]).unwrap();
            faults.corrupt(&name, at + 40);
        }
    }
    let after = world.after_loss(settings(None)).await;
    let report = rebuilt(&after).await;
    assert_eq!((report.bad, report.added), (2, 0), "{report:?}");
    assert!(report.named[0].contains(".manifest"));
    assert!((0..6).any(|site| !manifests(site).is_empty()));
}

#[tokio::test(start_paused = true)]
async fn it_is_refused_where_too_many_locations_are_away_and_done_without_as_many_as_may_be_lost() {
    let world = World::new(settings(None)).await;
    live(&world).await;
    rounds(&world, LATER).await;
    let expected = seen(&world).await;
    let after = world.after_loss(settings(None)).await;
    for site in [0, 3, 5] {
        set_down(&after, site, true);
    }

    let refused = after.store.rebuild().await.unwrap_err();
    assert!(refused.message.contains("site0") && refused.message.contains("lost"));
    let waits = after.client.datastores().await.unwrap_err();
    assert_eq!(waits.code(), Some(Code::Unavailable));
    set_down(&after, 5, false);
    rebuilt(&after).await;

    let found = seen(&after).await.1;
    let is_expected = |it: &(&String, &Option<Bytes>)| expected.1.get(it.0) == Some(it.1);
    assert!(found.iter().all(|it| is_expected(&it)));
    assert_eq!(found.len(), expected.1.len());
    // Once they are back the rest is known.
    for site in [0, 3] {
        set_down(&after, site, false);
    }
    rebuilt(&after).await;
    rounds(&after, LATER).await;
    assert_eq!(after.catalog.owed(None, 1000).await.unwrap(), []);
    assert_eq!(seen(&after).await, expected);
}

#[tokio::test(start_paused = true)]
async fn versions_that_were_replaced_before_the_datastore_kept_them_stay_away() {
    let world = World::new(settings(None)).await;
    make(&world.client, "data", false).await;
    put(&world, "data", "a", "cold", 1000).await;
    put(&world, "data", "a", "cold", 2000).await;
    for versioning in [true, false] {
        let change = DatastoreChange {
            versioning: Some(versioning),
            ..DatastoreChange::default()
        };
        world
            .client
            .update_datastore("data", &change)
            .await
            .unwrap();
        put(&world, "data", "b", "cold", 3000).await;
        if versioning {
            put(&world, "data", "a", "cold", 4000).await;
        }
    }
    let expected = seen(&world).await;

    let after = world.after_loss(settings(None)).await;
    rebuilt(&after).await;

    assert_eq!(seen(&after).await, expected);
}

#[tokio::test(start_paused = true)]
async fn a_root_is_rotated_while_requests_go_on() {
    let mut world = World::new(settings(None)).await;
    make(&world.client, "data", false).await;
    put(&world, "data", "before", "cold", 5000).await;
    let (client, old) = (world.another_client(), world.another_client());
    old.check().await.unwrap();
    let busy = tokio::spawn(async move {
        for number in 0..200 {
            let key = format!("k{number}");
            let options = PutOptions::default();
            client
                .put_bytes("data", key.as_bytes(), &options, content(2000))
                .await
                .unwrap();
            let reader = client
                .get("data", b"before", None, RANGE_WHOLE)
                .await
                .unwrap();
            assert!(reader.read_all().await.unwrap() == content(5000));
        }
    });
    let mut roots = world.roots();
    roots.rotate(&mut sc_client::OsEntropy);
    world.agent.take_roots(roots);
    tokio::task::yield_now().await;
    world.agent.provision("coder").await.unwrap();
    let told = world.client.rewrap_datastores().await.unwrap();
    assert!(told.contains(r#""rewrapped":1"#), "{told}");
    busy.await.unwrap();

    let tenant = sc_metadata::TenantId(world.client.tenant());
    let datastore = world.catalog.datastore(tenant, "data").await.unwrap();
    assert_eq!(datastore.unwrap().root_number, 2);
    // A session of before, and one of after, read what either has written.
    for client in [&old, &world.another_client()] {
        for key in ["before", "k0", "k199"] {
            let reader = client.get("data", key.as_bytes(), None, RANGE_WHOLE);
            reader.await.unwrap().read_all().await.unwrap();
        }
    }
    let again = world.client.rewrap_datastores().await.unwrap();
    assert!(again.contains(r#""rewrapped":0"#), "{again}");
}

/// Has a job done.
async fn job(world: &World, definition: serde_json::Value) -> serde_json::Value {
    let datastore = definition["datastore"].as_str().unwrap_or_default();
    let definition = definition.to_string();
    let begun = world.client.put_job(datastore, &definition).await.unwrap();
    let begun: serde_json::Value = serde_json::from_str(&begun).unwrap();
    world.chores.round().await.unwrap();
    let id = begun["id"].as_u64().unwrap();
    serde_json::from_str(&world.client.job(id).await.unwrap()).unwrap()
}

/// Moves, damage that is mended, a location that is lost and one that is drained.
async fn look_after(world: &World) {
    let move_to = |key: &str, policy: &str| {
        serde_json::json!({
            "kind": "migrate", "datastore": "data", "prefix": key, "policy": policy,
        })
    };
    for (key, policy) in [("hot", "cold"), ("coded", "hot"), ("hot/1", "coded")] {
        let moved = job(world, move_to(key, policy)).await;
        assert_eq!(moved["done"]["failed"], 0, "{moved}");
    }
    let faults = &world.sites[3].faults;
    for name in faults.names() {
        if name.as_str().len() < 70 && name.as_str().len() > 60 {
            assert!(faults.corrupt(&name, 70));
        }
    }
    let scrub = job(world, serde_json::json!({ "kind": "scrub" })).await;
    assert!(scrub["done"]["damaged"].as_u64().unwrap() > 5, "{scrub}");
    world.sites[2].faults.lose_all();
    for (site, state) in [("site2", "lost"), ("site1", "draining")] {
        world.client.put_location(site, "", state).await.unwrap();
        world.chores.round().await.unwrap();
    }
    let jobs = world.client.jobs(0, 2).await.unwrap();
    let jobs: serde_json::Value = serde_json::from_str(&jobs).unwrap();
    for job in jobs.as_array().unwrap() {
        assert_eq!(job["done"]["failed"], 0, "{job}");
        assert!(job["done"]["changed"].as_u64().unwrap() > 5, "{job}");
    }
}

#[tokio::test(start_paused = true)]
async fn what_was_moved_mended_and_copied_comes_back_where_it_is_now() {
    for has_aged in [false, true] {
        let eight = || WorldSettings {
            locations: 8,
            ..settings(None)
        };
        let world = World::new(eight()).await;
        live(&world).await;
        rounds(&world, LATER).await;
        look_after(&world).await;
        if has_aged {
            rounds(&world, GRACE).await;
        }
        let expected = seen(&world).await;

        let after = world.after_loss(eight()).await;
        let report = rebuilt(&after).await;

        assert_eq!(report.bad, 0, "{report:?}");
        assert_eq!(seen(&after).await, expected);
        rounds(&after, GRACE).await;
        let gc = job(&after, serde_json::json!({ "kind": "gc" })).await;
        assert_eq!(gc["done"]["failed"], 0, "{gc}");
        rounds(&after, GRACE).await;
        assert_eq!(seen(&after).await, expected);
        // As many as may be lost are, and what was mended stands in.
        for pair in [[0, 3], [4, 5], [6, 7]] {
            pair.iter().for_each(|site| set_down(&after, *site, true));
            assert_eq!(seen(&after).await.1, expected.1, "{pair:?}");
            pair.iter().for_each(|site| set_down(&after, *site, false));
            tokio::time::sleep(LATER).await;
        }
        let again = after.after_loss(eight()).await;
        rebuilt(&again).await;
        assert_eq!(seen(&again).await, expected);
        let report = rebuilt(&again).await;
        assert_eq!((report.added, report.moved), (0, 0), "{report:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_location_that_puts_files_under_the_names_of_others_fragments_costs_no_more_than_its_own()
{
    let world = World::new(settings(None)).await;
    live(&world).await;
    rounds(&world, LATER).await;
    let expected = seen(&world).await;
    let liar = &world.sites[2];
    let all: Vec<_> = world
        .sites
        .iter()
        .flat_map(|it| it.faults.names())
        .collect();
    for name in all {
        let words: Vec<_> = name.as_str().split('.').collect();
        if words[0].len() == 64 {
            let name = format!("{}.{}.ffffffffffffffff", words[0], words[1]);
            let name = sc_backend::FragmentName::new(&name).unwrap();
            let put = liar.memory.put(&name, Bytes::from_static(b"nothing"));
            put.await.unwrap();
        }
    }

    let after = world.after_loss(settings(None)).await;
    rebuilt(&after).await;

    assert_eq!(seen(&after).await, expected);
    rounds(&after, GRACE).await;
    job(&after, serde_json::json!({ "kind": "scrub" })).await;
    let gc = job(&after, serde_json::json!({ "kind": "gc" })).await;
    assert_eq!(gc["done"]["failed"], 0, "{gc}");
    rounds(&after, GRACE).await;
    assert_eq!(seen(&after).await, expected);
    for pair in [[0, 1], [3, 4], [2, 5]] {
        pair.iter().for_each(|site| set_down(&after, *site, true));
        assert_eq!(seen(&after).await.1, expected.1, "{pair:?}");
        pair.iter().for_each(|site| set_down(&after, *site, false));
        tokio::time::sleep(LATER).await;
    }
}

#[tokio::test(start_paused = true)]
async fn what_was_deleted_while_a_location_was_lost_does_not_come_back_with_it() {
    let world = World::new(settings(None)).await;
    make(&world.client, "data", false).await;
    make(&world.client, "gone", false).await;
    put(&world, "data", "stays", "hot", 5000).await;
    for key in ["one", "two", "three"] {
        put(&world, "data", key, "hot", 5000).await;
        put(&world, "gone", key, "hot", 5000).await;
    }
    let name = world.sites[2].name.clone();
    let kept = world.sites[2].faults.names();
    let state = |state: &'static str| world.client.put_location(&name, "", state);
    state("lost").await.unwrap();
    for key in ["one", "two", "three"] {
        delete(&world, "data", key).await;
        delete(&world, "gone", key).await;
    }
    world.client.delete_datastore("gone").await.unwrap();
    // Long enough for nobody to remember.
    world.pass(Duration::from_secs(30 * 24 * 3600));
    later(&world).await;
    assert_eq!(world.sites[2].faults.names(), kept);

    state("active").await.unwrap();
    let locations = world.client.locations().await.unwrap();
    assert!(locations.contains(r#""state":"returning""#), "{locations}");
    later(&world).await;

    let locations = world.client.locations().await.unwrap();
    assert!(!locations.contains("returning"), "{locations}");
    let gc = world.client.put_job("", r#"{"kind":"gc"}"#).await.unwrap();
    world.chores.round().await.unwrap();
    let gc: serde_json::Value = serde_json::from_str(&gc).unwrap();
    let gc = world.client.job(gc["id"].as_u64().unwrap()).await.unwrap();
    assert!(
        gc.contains(r#""state":"done""#) && gc.contains(r#""failed":0"#),
        "{gc}"
    );
    let expected = seen(&world).await;
    let after = world.after_loss(settings(None)).await;
    rebuilt(&after).await;
    assert_eq!(seen(&after).await, expected);
}
