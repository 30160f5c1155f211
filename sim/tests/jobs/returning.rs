//! A location that was lost comes back.

use sc_proto::store::problem::Code;

use super::*;

async fn state_of(world: &World, site: usize) -> String {
    let locations = world.client.locations().await.unwrap();
    let locations: Value = serde_json::from_str(&locations).unwrap();
    let name = &world.sites[site].name;
    let all = locations.as_array().unwrap();
    let found = all.iter().find(|it| it["name"] == **name);
    found.unwrap()["state"].as_str().unwrap().to_owned()
}

/// Lets time pass, and what is to be done be done.
async fn rounds(world: &World) {
    for _ in 0..3 {
        world.pass(Duration::from_secs(300));
        rest().await;
        world.chores.round().await.unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn one_that_comes_back_empty_has_what_it_held_made_again_before_it_is_active() {
    let world = world(8).await;
    let objects = put_some(&world).await;
    set_state(&world, 2, "lost").await;
    // Before the repair has looked at anything.
    world.sites[2].faults.lose_all();
    set_state(&world, 2, "active").await;
    assert_eq!(state_of(&world, 2).await, "returning");

    rounds(&world).await;

    assert_eq!(state_of(&world, 2).await, "active");
    assert!(are_whole(&world).await);
    assert!(read_back_without(&world, &objects, &[0, 5]).await);
}

#[tokio::test(start_paused = true)]
async fn one_that_comes_back_with_all_it_had_returns_also_where_nothing_can_do_without_it() {
    let world = world(3).await;
    let options = DatastoreOptions {
        policy: "hot".into(),
        ..DatastoreOptions::default()
    };
    let made = world.client.create_datastore("own", &options).await;
    made.unwrap();
    put(&world, "a", "hot", 700).await;
    rounds(&world).await;

    set_state(&world, 1, "lost").await;
    rounds(&world).await;
    set_state(&world, 1, "active").await;
    rounds(&world).await;

    assert_eq!(state_of(&world, 1).await, "active");
    let names = world.sites[1].faults.names();
    let settings = names
        .iter()
        .filter(|it| it.as_str().ends_with(".datastore"));
    assert_eq!(settings.count(), 2, "{names:?}");
    assert!(are_whole(&world).await);
    assert!(reads_back(&world, "a", 700).await);
}

#[tokio::test(start_paused = true)]
async fn a_lost_location_can_be_neither_drained_nor_set_returning() {
    let world = world(6).await;
    set_state(&world, 4, "lost").await;
    let name = &world.sites[4].name;

    let are_refused = async || {
        for state in ["draining", "read-only"] {
            let refused = world.client.put_location(name, "", state).await;
            assert_eq!(refused.unwrap_err().code(), Some(Code::InUse), "{state}");
        }
    };
    are_refused().await;
    let refused = world.client.put_location(name, "", "returning").await;
    assert_eq!(refused.unwrap_err().code(), Some(Code::Malformed));
    let own = world
        .client
        .put_job("", r#"{"kind":"return","location":"site4"}"#);
    assert_eq!(own.await.unwrap_err().code(), Some(Code::Malformed));
    assert_eq!(state_of(&world, 4).await, "lost");
    set_state(&world, 4, "active").await;
    are_refused().await;
    assert_eq!(state_of(&world, 4).await, "returning");
}

#[tokio::test(start_paused = true)]
async fn what_a_rebuild_has_not_heard_is_not_deleted_when_it_returns() {
    let world = world(6).await;
    let objects = [("a".to_owned(), 700)];
    put(&world, "a", "cold", 700).await;
    // All copies of its manifest are at three of six locations, and these are given up by mistake.
    let manifests = |site: usize| {
        let names = world.sites[site].faults.names();
        let manifests = names.iter().filter(|it| it.as_str().ends_with(".manifest"));
        manifests.cloned().collect::<Vec<_>>()
    };
    let holders: Vec<usize> = (0..6).filter(|site| !manifests(*site).is_empty()).collect();
    assert_eq!(holders.len(), 3);
    let after = world.after_loss(WorldSettings::default()).await;
    for &site in &holders {
        let name = &after.sites[site].name;
        after
            .catalog
            .set_location_state(name, sc_metadata::LocationState::Lost)
            .await
            .unwrap();
    }
    let report = after.store.rebuild().await.unwrap();
    assert_eq!(report.added, 0, "{report:?}");
    assert_eq!(report.notes.len(), 1, "{report:?}");
    // Settings have copies where they are needed.
    let stored = || {
        let names = (0..6).flat_map(|site| after.sites[site].faults.names());
        let stored = names.filter(|it| !it.as_str().ends_with(".datastore"));
        stored.collect::<Vec<_>>()
    };
    let before = stored();

    for &site in &holders {
        set_state(&after, site, "active").await;
    }
    rounds(&after).await;

    let gc = run(&after, json!({ "kind": "gc" })).await;
    assert_eq!(
        (&gc["done"]["changed"], &gc["done"]["failed"]),
        (&json!(0), &json!(16))
    );
    assert_eq!(stored(), before);
    assert_eq!(state_of(&after, holders[0]).await, "returning");
    let report = after.store.rebuild().await.unwrap();
    assert_eq!(report.added, objects.len() as u64, "{report:?}");
    rounds(&after).await;
    assert_eq!(state_of(&after, holders[0]).await, "active");
    assert!(all_read_back(&after, &objects).await);
}

#[tokio::test(start_paused = true)]
async fn one_that_does_not_answer_stays_returning_and_its_job_says_what_it_waits_for() {
    let world = world(8).await;
    put_some(&world).await;
    set_state(&world, 2, "lost").await;
    rounds(&world).await;
    put(&world, "later", "cold", 700).await;
    world.sites[2].faults.set_down(true);
    set_state(&world, 2, "active").await;

    world.chores.round().await.unwrap();

    assert_eq!(state_of(&world, 2).await, "returning");
    let jobs = world.client.jobs(0, 1).await.unwrap();
    let jobs: Value = serde_json::from_str(&jobs).unwrap();
    assert_eq!(jobs[0]["kind"], "return");
    let waits_for = jobs[0]["waits_for"].as_str().unwrap_or_default();
    assert!(waits_for.contains("site2"), "{jobs}");
    world.sites[2].faults.set_down(false);
    rounds(&world).await;
    assert_eq!(state_of(&world, 2).await, "active");
}

#[tokio::test(start_paused = true)]
async fn what_goes_with_a_state_ends_with_it() {
    let world = world(8).await;
    put_some(&world).await;
    let newest = async || {
        let jobs = world.client.jobs(0, 1).await.unwrap();
        let jobs: Value = serde_json::from_str(&jobs).unwrap();
        jobs[0].clone()
    };
    set_state(&world, 4, "draining").await;
    let drain = newest().await;
    set_state(&world, 4, "active").await;
    set_state(&world, 2, "lost").await;
    set_state(&world, 2, "active").await;
    let one = newest().await;
    set_state(&world, 2, "lost").await;
    set_state(&world, 2, "active").await;
    let other = newest().await;

    let state = async |it: &Value| job(&world, it["id"].as_u64().unwrap()).await["state"].clone();
    assert_eq!(
        (&drain["kind"], state(&drain).await),
        (&json!("drain"), json!("cancelled"))
    );
    assert_eq!(
        (&one["kind"], state(&one).await),
        (&json!("return"), json!("cancelled"))
    );
    assert_eq!(
        (&other["kind"], state(&other).await),
        (&json!("return"), json!("running"))
    );
}
