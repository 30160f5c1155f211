//! Who does a job, how quickly, and who may ask for it.

use super::*;

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
}

#[tokio::test(start_paused = true)]
async fn a_repair_does_not_wait_for_the_part_of_a_scrub_that_is_under_way() {
    let world = world(8).await;
    for number in 0..96 {
        put(&world, &format!("object-{number}"), "cold", 1 << 20).await;
    }
    // A part of it takes about half a minute.
    let slow = json!({ "kind": "scrub", "bytes_per_second": 256 << 10 });
    let scrub = begin(&world, slow).await;
    world.sites[3].faults.lose_all();
    let lost = async {
        tokio::time::sleep(Duration::from_secs(3)).await;
        set_state(&world, 3, "lost").await;
        tokio::time::sleep(Duration::from_secs(20)).await;
        (are_whole_without(&world, 3).await, job(&world, scrub).await)
    };

    let (round, (are_whole, scrub)) = tokio::join!(world.chores.round(), lost);

    round.unwrap();
    assert!(are_whole);
    assert_eq!(scrub["state"], "running", "{scrub}");
}

#[tokio::test(start_paused = true)]
async fn a_part_that_waits_leaves_its_place_to_other_jobs() {
    let world = world(8).await;
    put_some(&world).await;
    set_state(&world, 2, "lost").await;
    world.chores.round().await.unwrap();
    world.sites[2].faults.set_down(true);
    // It waits for the location.
    set_state(&world, 2, "active").await;
    let scrub = begin(&world, json!({ "kind": "scrub", "bytes_per_second": 0 })).await;
    let began = tokio::time::Instant::now();

    world.chores.round().await.unwrap();

    assert_eq!(job(&world, scrub).await["state"], "done");
    let took = began.elapsed();
    assert!(took < Duration::from_secs(240), "{took:?}");
}
