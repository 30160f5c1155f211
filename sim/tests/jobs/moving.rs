//! Objects get another policy while they are read.

use super::*;

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
