//! Commits: what becomes current, and under which conditions.

use sc_metadata::{Catalog, CatalogError, Commit, Committed, Condition, Version};

use crate::engines::on_every_engine;
use crate::house::{House, LEASE, NOW, SEGMENT_STORED, commit, key, segment, version_id};

on_every_engine!(
    an_object_exists_from_its_commit_on,
    a_slow_put_is_stored_below_a_later_one,
    a_slow_put_is_superseded_at_once_without_versioning,
    a_commit_without_versioning_removes_what_was_there,
    older_versions_stay_with_versioning,
    conditions_are_those_of_the_moment_of_the_commit,
    a_condition_that_could_not_be_kept_fails,
    a_refused_commit_can_be_made_again,
    the_last_attempt_at_a_segment_is_committed,
    a_commit_gets_the_segments_that_it_names_or_none,
    tags_find_current_objects_and_no_others,
    manifests_are_owed_until_they_are_settled,
);

async fn an_object_exists_from_its_commit_on(catalog: Catalog) {
    let house = House::new(catalog.clone(), true).await;
    let version = house.begin("a", 1).await;

    assert_eq!(house.current("a").await, None);
    assert_eq!(house.keys().await, [""; 0]);
    assert_eq!(house.open("a", None, 0..10).await, None);
    let committed = house.commit(version).await.unwrap();

    let expected = Version {
        datastore: house.id,
        key: key("a"),
        id: version,
        number: committed.number,
        size: 100,
        created_ms: NOW,
        policy: "standard".to_owned(),
        policy_version: 3,
        is_marker: false,
        is_current: true,
        head: "head".into(),
    };
    let segments = vec![segment(version, 0, 0, 0)];
    assert_eq!(
        house.open("a", None, 0..10).await,
        Some((expected.clone(), "body".into(), segments))
    );
    assert_eq!(house.versions().await, vec![expected.clone()]);
    let by_id = catalog.version(house.id, &key("a"), version).await.unwrap();
    assert_eq!(by_id, Some(expected));
    assert_eq!(catalog.body(version).await.unwrap(), Some("body".into()));
    assert_eq!(catalog.intent(version).await.unwrap(), None);
}

async fn a_slow_put_is_stored_below_a_later_one(catalog: Catalog) {
    let house = House::new(catalog.clone(), true).await;
    let slow = house.begin("a", 1).await;
    let fast = house.put("a", 2).await;

    let committed = house.commit(slow).await.unwrap();

    assert!(!committed.is_current);
    assert_eq!(committed.superseded, []);
    assert_eq!(house.current("a").await, Some(fast));
    let versions = house.versions().await;
    let seen: Vec<_> = versions
        .iter()
        .map(|version| (version.id, version.is_current))
        .collect();
    assert_eq!(seen, [(fast, true), (slow, false)]);
    house.delete_version("a", fast).await;
    assert_eq!(house.current("a").await, Some(slow));
}

async fn a_slow_put_is_superseded_at_once_without_versioning(catalog: Catalog) {
    let house = House::new(catalog.clone(), false).await;
    let slow = house.begin("a", 1).await;
    let fast = house.put("a", 2).await;

    let committed = house.commit(slow).await.unwrap();

    assert_eq!(
        (committed.is_current, &committed.superseded[..]),
        (false, &[slow][..])
    );
    assert_eq!(house.current("a").await, Some(fast));
    assert_eq!(house.versions().await.len(), 1);
    assert_eq!(house.garbage().await, [segment(slow, 0, 0, 0).id]);
    assert_eq!(house.datastore().await.used_bytes, 100);
    assert_eq!(house.commit(slow).await, Err(CatalogError::VersionExists));
}

async fn a_commit_without_versioning_removes_what_was_there(catalog: Catalog) {
    let house = House::new(catalog.clone(), true).await;
    let kept = [house.put("a", 1).await, house.put("a", 2).await];
    house.delete("a", Some(3)).await;
    let unversion = catalog.update_datastore(house.id, None, Some(false), None);
    unversion.await.unwrap();

    let last = house.begin("a", 4).await;
    let committed = house.commit(last).await.unwrap();

    let removed = vec![kept[0], kept[1], version_id(3)];
    assert_eq!(committed.superseded, removed);
    assert!(committed.is_current);
    assert_eq!(
        house.garbage().await,
        kept.map(|version| segment(version, 0, 0, 0).id)
    );
    let usage = catalog.usage(crate::house::TENANT).await.unwrap();
    assert_eq!(
        (usage.versions, usage.bytes, usage.stored_bytes),
        (1, 100, SEGMENT_STORED)
    );
    assert_eq!(catalog.manifest_debts(None, 10).await.unwrap(), [last]);
}

async fn older_versions_stay_with_versioning(catalog: Catalog) {
    let house = House::new(catalog.clone(), true).await;
    let old = house.put("a", 1).await;
    let new = house.put("a", 2).await;

    let (version, _, segments) = house.open("a", Some(old), 0..1).await.unwrap();

    assert_eq!((version.id, version.is_current), (old, false));
    assert_eq!(segments, [segment(old, 0, 0, 0)]);
    assert_eq!(house.current("a").await, Some(new));
    assert_eq!(house.garbage().await, []);
    assert_eq!(house.open("b", Some(old), 0..1).await, None);
}

async fn conditions_are_those_of_the_moment_of_the_commit(catalog: Catalog) {
    let house = House::new(catalog.clone(), true).await;
    let there = house.put("there", 1).await;
    house.put("deleted", 2).await;
    house.delete("deleted", Some(3)).await;
    let other = version_id(99);

    let cases = [
        ("there", Condition::IfExists, true),
        ("there", Condition::IfAbsent, false),
        ("there", Condition::IfCurrent(there), true),
        ("there", Condition::IfCurrent(other), false),
        ("deleted", Condition::IfExists, false),
        ("deleted", Condition::IfCurrent(version_id(3)), false),
        ("deleted", Condition::IfAbsent, true),
        ("never", Condition::IfExists, false),
        ("never", Condition::IfCurrent(other), false),
        ("never", Condition::IfAbsent, true),
    ];
    for (number, (name, condition, holds)) in (10..).zip(cases) {
        let before = house.current(name).await;
        let version = house.begin(name, number).await;
        let conditional = Commit {
            condition,
            ..commit(version)
        };
        let committed = catalog.commit_object(conditional).await;
        match committed {
            Ok(Committed { is_current, .. }) => {
                assert!(holds && is_current, "{name} {condition:?}")
            }
            Err(error) => {
                assert_eq!(error, CatalogError::ConditionFailed);
                assert!(!holds, "{name} {condition:?}");
                assert_eq!(house.current(name).await, before);
            }
        }
        if holds {
            // Back to what the next case expects.
            house.delete_version(name, version).await;
        }
    }
}

async fn a_condition_that_could_not_be_kept_fails(catalog: Catalog) {
    for versioning in [true, false] {
        let update = catalog.clone();
        let house = if versioning {
            House::new(update, true).await
        } else {
            let house = House {
                catalog: update,
                id: crate::house::datastore_id(1),
            };
            let unversion = catalog.update_datastore(house.id, None, Some(false), None);
            unversion.await.unwrap();
            house
        };
        let base = u64::from(versioning) * 10;
        let slow = house.begin("a", base + 1).await;
        let fast = house.put("a", base + 2).await;
        let conditional = Commit {
            condition: Condition::IfCurrent(fast),
            ..commit(slow)
        };
        let refused = catalog.commit_object(conditional).await;
        assert_eq!(refused, Err(CatalogError::ConditionFailed));
        assert_eq!(house.current("a").await, Some(fast));
        assert!(catalog.intent(slow).await.unwrap().is_some());
    }
}

async fn a_refused_commit_can_be_made_again(catalog: Catalog) {
    let house = House::new(catalog.clone(), true).await;
    let version = house.begin("a", 1).await;
    let conditional = Commit {
        condition: Condition::IfExists,
        ..commit(version)
    };

    let refused = catalog.commit_object(conditional).await;

    assert_eq!(refused, Err(CatalogError::ConditionFailed));
    assert!(house.commit(version).await.unwrap().is_current);
}

async fn the_last_attempt_at_a_segment_is_committed(catalog: Catalog) {
    let house = House::new(catalog.clone(), true).await;
    let version = version_id(1);
    let [first, lost, again, last] = [(0, 0), (1, 0), (1, 1), (2, 0)]
        .map(|(index, attempt)| segment(version, 0, index, attempt));
    let intent = house.intent("a", version);
    let begun = [first.clone(), lost.clone()];
    catalog.begin(intent, &begun).await.unwrap();
    let added = [again.clone(), last.clone()];
    catalog
        .add_segments(version, &added, LEASE, NOW)
        .await
        .unwrap();

    house.commit(version).await.unwrap();

    let segments = catalog.segments(version, 0..10).await.unwrap();
    assert_eq!(segments, [first, again, last]);
    assert_eq!(house.garbage().await, [lost.id]);
    assert_eq!(
        catalog
            .usage(crate::house::TENANT)
            .await
            .unwrap()
            .stored_bytes,
        3 * SEGMENT_STORED
    );
}

async fn a_commit_gets_the_segments_that_it_names_or_none(catalog: Catalog) {
    let house = House::new(catalog.clone(), true).await;
    let version = house.begin("a", 1).await;
    let [first, other] = [0, 1].map(|attempt| segment(version, 0, 0, attempt).id);
    let naming = |segments: &[_]| {
        catalog.commit_object(Commit {
            segments: Some(segments.to_vec()),
            ..commit(version)
        })
    };

    for wrong in [&[][..], &[other], &[first, other]] {
        assert_eq!(naming(wrong).await, Err(CatalogError::SegmentsChanged));
    }
    assert!(naming(&[first]).await.is_ok());
}

async fn tags_find_current_objects_and_no_others(catalog: Catalog) {
    let house = House::new(catalog.clone(), true).await;
    let (red, blue) = ([1; 16], [2; 16]);
    for (number, name, tags) in [
        (1, "a", vec![red]),
        (2, "b", vec![red, blue]),
        (3, "c", vec![blue]),
        (4, "a", vec![blue]),
    ] {
        let version = house.begin(name, number).await;
        let tagged = Commit {
            tags,
            ..commit(version)
        };
        catalog.commit_object(tagged).await.unwrap();
    }
    let search = async |tag, after: Option<&str>, limit| -> Vec<_> {
        let after = after.map(key);
        let found = catalog.search(house.id, tag, after.as_ref(), limit).await;
        found
            .unwrap()
            .into_iter()
            .map(|version| version.id)
            .collect()
    };

    assert_eq!(search(red, None, 10).await, [version_id(2)]);
    assert_eq!(search(blue, None, 10).await, [4, 2, 3].map(version_id));
    assert_eq!(search(blue, Some("a"), 1).await, [version_id(2)]);
    house.delete_version("a", version_id(4)).await;
    house.delete("b", Some(5)).await;
    assert_eq!(search(red, None, 10).await, [version_id(1)]);
    assert_eq!(search(blue, None, 10).await, [version_id(3)]);
    house.delete_version("b", version_id(5)).await;
    assert_eq!(search(red, None, 10).await, [1, 2].map(version_id));
}

async fn manifests_are_owed_until_they_are_settled(catalog: Catalog) {
    let house = House::new(catalog.clone(), true).await;
    for number in 1..=3 {
        house.put("a", number).await;
    }
    house.delete("a", Some(4)).await;
    let debts = async |limit| catalog.manifest_debts(None, limit).await.unwrap();

    assert_eq!(debts(10).await, [1, 2, 3].map(version_id));
    assert_eq!(debts(2).await.len(), 2);
    catalog
        .settle_manifests(&[1, 3, 8].map(version_id))
        .await
        .unwrap();
    assert_eq!(debts(10).await, [version_id(2)]);
    house.delete_version("a", version_id(2)).await;
    assert_eq!(debts(10).await, []);
}
