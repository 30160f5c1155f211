//! What belongs to nothing goes.

use super::*;

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
async fn fragments_without_a_version_are_kept_until_a_rebuild_finds_their_manifests() {
    let world = world(6).await;
    put(&world, "a", "cold", 700).await;
    put(&world, "b", "hot", 700).await;
    // The locations with the manifests are away, and the new catalogue does not know them.
    let stored = async |site: usize| {
        let names = world.sites[site].faults.names();
        let names = names.into_iter();
        let names = names.filter(|it| it.as_str().ends_with(".manifest"));
        let memory = &world.sites[site].memory;
        let each = names.map(async |name| (name.clone(), memory.get(&name).await.unwrap()));
        futures_util::future::join_all(each).await
    };
    let mut away = Vec::new();
    for site in 0..6 {
        for (name, body) in stored(site).await {
            world.sites[site].memory.delete(&name).await.unwrap();
            away.push((site, name, body));
        }
    }
    let own: usize = (0..6).map(|site| fragments_at(&world, site)).sum();
    let after = world.after_loss(WorldSettings::default()).await;
    let report = after.store.rebuild().await.unwrap();
    assert_eq!((report.added, report.strays), (0, own as u64), "{report:?}");
    assert!(report.may_miss_locations);

    let gc = run(&after, json!({ "kind": "gc" })).await;

    assert_eq!(gc["done"]["kept"], own, "{gc}");
    assert_eq!(
        (&gc["done"]["changed"], &gc["done"]["failed"]),
        (&json!(0), &json!(0))
    );
    // What is written meanwhile is newer than what is away, although numbers begin anew.
    put(&after, "a", "cold", 1500).await;
    for (site, name, body) in away {
        after.sites[site].memory.put(&name, body).await.unwrap();
    }
    let report = after.store.rebuild().await.unwrap();
    assert_eq!(report.bad, 0, "{report:?}");
    for (key, bytes) in [("a", 1500), ("b", 700)] {
        assert!(reads_back(&after, key, bytes).await, "{key}");
    }
}

#[tokio::test(start_paused = true)]
async fn strays_go_once_somebody_has_said_that_no_location_is_missing() {
    let world = world(6).await;
    let orphan = FragmentName::new(&format!("{}.0", "ab".repeat(32))).unwrap();
    let memory = &world.sites[5].memory;
    memory.put(&orphan, Bytes::from_static(b"x")).await.unwrap();
    let after = world.after_loss(WorldSettings::default()).await;
    after.store.rebuild().await.unwrap();

    let kept = run(&after, json!({ "kind": "gc" })).await;
    let gone = run(&after, json!({ "kind": "gc", "strays": true })).await;

    assert_eq!(kept["done"]["kept"], 1, "{kept}");
    assert_eq!(
        (&gone["done"]["kept"], &gone["done"]["changed"]),
        (&json!(0), &json!(1)),
        "{gone}"
    );
    assert!(world.sites[5].faults.stored(&orphan).is_none());
    assert!(!after.catalog.may_miss_locations().await.unwrap());
}
