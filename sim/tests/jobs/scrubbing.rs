//! What is damaged is found and mended, and nothing else is touched.

use super::*;

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
    assert!(are_whole(&world).await);
    for pair in [[0, 1], [2, 3], [4, 5]] {
        assert!(read_back_without(&world, &objects, &pair).await, "{pair:?}");
    }
    let again = run(&world, json!({ "kind": "scrub" })).await;
    assert_eq!(again["done"]["damaged"], 0);
    assert_eq!(again["done"]["changed"], 0);
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
