//! What is lost or leaving lies elsewhere, and nothing is given up before.

use super::*;

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
