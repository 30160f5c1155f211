//! Moves: a version's segments are replaced in one transaction, or not at all.

use std::collections::BTreeMap;

use bytes::Bytes;
use sc_metadata::{
    Catalog, CatalogError, Condition, JOB_PARTS, JobPart, Move, NewIntent, Placing, Segment,
    SegmentId, VersionId,
};

use crate::engines::on_every_engine;
use crate::house::{DUE, House, LEASE, NOW, SEGMENT_STORED, segment, version_id};

on_every_engine!(
    a_moved_version_has_the_new_segments_and_the_old_are_garbage,
    a_move_of_what_is_gone_or_moved_already_leaves_garbage_alone,
    a_move_whose_lease_has_passed_is_refused,
    what_a_move_left_behind_is_known_until_it_is_forgotten,
    versions_and_segments_are_found_part_by_part,
    what_segments_are_of_is_known_of_versions_and_uploads_and_nothing_else,
    the_manifest_of_before_a_move_is_of_use_until_the_new_one_has_its_copies,
    a_read_is_noted_and_never_goes_back,
);

const PLACING: u64 = 900;

/// Begins a placing of a version with one larger segment.
async fn place(house: &House, key: &str, number: u64) -> (VersionId, Segment) {
    let placing = version_id(number);
    let mut placed = segment(placing, 0, 0, 7);
    placed.fragment_bytes = 80;
    let intent = NewIntent {
        policy: "cold".to_owned(),
        policy_version: 1,
        ..house.intent(key, placing)
    };
    let segments = std::slice::from_ref(&placed);
    house.catalog.begin(intent, segments).await.unwrap();
    (placing, placed)
}

fn move_of(version: VersionId, placing: VersionId, segments: &[SegmentId]) -> Move {
    Move {
        version,
        placing,
        before: version,
        home: Some("standard".to_owned()),
        head: Bytes::from_static(b"new head"),
        body: Bytes::from_static(b"new body"),
        segments: segments.to_vec(),
        now_ms: NOW,
        garbage_due_ms: DUE,
    }
}

async fn a_moved_version_has_the_new_segments_and_the_old_are_garbage(catalog: Catalog) {
    let house = House::new(catalog.clone(), false).await;
    let version = house.put("a", 1).await;
    let number = house.versions().await[0].number;
    catalog.settle_manifests(&[version]).await.unwrap();
    let (placing, placed) = place(&house, "a", PLACING).await;

    let moved = catalog.commit_move(move_of(version, placing, &[placed.id]));
    assert_eq!(moved.await, Ok(true));

    let (found, body, segments) = house.open("a", None, 0..9).await.unwrap();
    assert_eq!((found.id, found.number), (version, number));
    assert_eq!((&*found.policy, found.policy_version), ("cold", 1));
    assert_eq!(
        (&found.head[..], &body[..]),
        (&b"new head"[..], &b"new body"[..])
    );
    let expected = Segment { version, ..placed };
    assert_eq!(segments, [expected]);
    let usage = catalog.usage(crate::house::TENANT).await.unwrap();
    assert_eq!(usage.stored_bytes, SEGMENT_STORED / 50 * 80);
    assert_eq!((usage.objects, usage.versions, usage.bytes), (1, 1, 100));
    let placing_of = catalog.placing(version).await.unwrap().unwrap();
    let expected = Placing {
        manifest: placing,
        number: number + 1,
        home: Some("standard".to_owned()),
        read_ms: 0,
    };
    assert_eq!(placing_of, expected);
    // Nothing of before goes until the locations hold what the move has made.
    assert_eq!(catalog.manifest_debts(None, 9).await.unwrap(), [version]);
    assert_eq!(house.garbage().await, []);
    assert_eq!(catalog.removals(DUE, 9).await.unwrap(), []);
    catalog.settle_manifests(&[version]).await.unwrap();
    assert_eq!(house.garbage().await, [segment(version, 0, 0, 0).id]);
    assert_eq!(catalog.intent(placing).await.unwrap(), None);
    // The manifest before is to go; nothing of the key is removed.
    let removals = catalog.removals(DUE, 9).await.unwrap();
    assert_eq!(removals.len(), 1);
    assert_eq!(
        (removals[0].number, &removals[0].record[..]),
        (0, &version.0[..])
    );
    let last = catalog
        .last_removed(house.id, &crate::house::key("a"))
        .await;
    assert_eq!(last, Ok(None));

    house.delete("a", None).await;
    let removals = catalog.removals(DUE, 9).await.unwrap();
    let records: Vec<_> = removals.iter().map(|it| &it.record[..]).collect();
    assert_eq!(records, [&version.0[..], &placing.0[..]]);
    assert_eq!(
        catalog
            .usage(crate::house::TENANT)
            .await
            .unwrap()
            .stored_bytes,
        0
    );
}

async fn a_move_of_what_is_gone_or_moved_already_leaves_garbage_alone(catalog: Catalog) {
    let house = House::new(catalog.clone(), false).await;
    let version = house.put("a", 1).await;
    let (first, of_first) = place(&house, "a", PLACING).await;
    let (second, of_second) = place(&house, "a", PLACING + 1).await;
    let moved = catalog.commit_move(move_of(version, first, &[of_first.id]));
    assert_eq!(moved.await, Ok(true));

    let again = catalog.commit_move(move_of(version, second, &[of_second.id]));
    assert_eq!(again.await, Ok(false));
    assert!(house.garbage().await.contains(&of_second.id));
    let (third, of_third) = place(&house, "a", PLACING + 2).await;
    house.try_delete("a", Condition::None, None).await.unwrap();
    let gone = catalog.commit_move(move_of(version, third, &[of_third.id]));
    assert_eq!(gone.await, Ok(false));

    assert_eq!(house.garbage().await.len(), 4);
    assert_eq!(house.current("a").await, None);
}

async fn a_move_whose_lease_has_passed_is_refused(catalog: Catalog) {
    let house = House::new(catalog.clone(), true).await;
    let version = house.put("a", 1).await;
    let (placing, placed) = place(&house, "a", PLACING).await;

    let late = Move {
        now_ms: LEASE,
        ..move_of(version, placing, &[placed.id])
    };
    assert_eq!(
        catalog.commit_move(late).await,
        Err(CatalogError::IntentGone)
    );
    let other = catalog.commit_move(move_of(version, placing, &[SegmentId([1; 32])]));
    assert_eq!(other.await, Err(CatalogError::SegmentsChanged));

    assert!(catalog.expire_intent(placing, LEASE, DUE).await.unwrap());
    assert_eq!(house.garbage().await, [placed.id]);
    let (found, ..) = house.open("a", None, 0..9).await.unwrap();
    assert_eq!(found.policy, "standard");
}

async fn what_a_move_left_behind_is_known_until_it_is_forgotten(catalog: Catalog) {
    let house = House::new(catalog.clone(), false).await;
    let version = house.put("a", 1).await;
    let (placing, placed) = place(&house, "a", PLACING).await;
    let moved = catalog.commit_move(move_of(version, placing, &[placed.id]));
    moved.await.unwrap();
    let stranger = version_id(77);
    let unknown = async |ids: &[VersionId]| catalog.unknown_manifests(ids.to_vec()).await.unwrap();

    assert_eq!(unknown(&[version, placing, stranger]).await, [stranger]);
    house.delete("a", None).await;
    catalog.forget_spent(u64::MAX).await.unwrap();
    assert_eq!(unknown(&[version, placing, stranger]).await, [stranger]);
    for removal in catalog.removals(DUE, 9).await.unwrap() {
        catalog.forget_removal(removal.id).await.unwrap();
    }

    assert_eq!(unknown(&[version, placing]).await, [version, placing]);
}

async fn what_segments_are_of_is_known_of_versions_and_uploads_and_nothing_else(catalog: Catalog) {
    let house = House::new(catalog.clone(), false).await;
    let version = house.put("a", 1).await;
    let gone = house.put("b", 2).await;
    house.delete("b", None).await;
    house.begin("under way", 3).await;
    let upload = version_id(4);
    let intent = NewIntent {
        policy: "cold".to_owned(),
        policy_version: 7,
        upload: Some(Bytes::from_static(b"upload")),
        ..house.intent("upload", upload)
    };
    catalog.begin(intent, &[]).await.unwrap();

    let ids = vec![
        upload,
        version,
        gone,
        version_id(3),
        version,
        version_id(99),
    ];
    let found = catalog.origins(ids).await.unwrap();

    assert_eq!(found.keys().copied().collect::<Vec<_>>(), [version, upload]);
    assert_eq!(found[&upload].policy, "cold");
    assert_eq!(found[&upload].policy_version, 7);
    assert_eq!(found[&upload].datastore, found[&version].datastore);
    let one = catalog.origins(vec![version]).await.unwrap();
    assert_eq!(one.get(&version), found.get(&version));
    assert_eq!(catalog.origins(Vec::new()).await, Ok(BTreeMap::new()));
}

async fn the_manifest_of_before_a_move_is_of_use_until_the_new_one_has_its_copies(
    catalog: Catalog,
) {
    let house = House::new(catalog.clone(), false).await;
    let version = house.put("a", 1).await;
    catalog.settle_manifests(&[version]).await.unwrap();
    let in_use = async |ids: &[VersionId]| {
        let mut found = catalog.manifests_in_use(ids.to_vec()).await.unwrap();
        found.sort_unstable();
        found
    };
    let all = [version, version_id(PLACING), version_id(77)];
    assert_eq!(in_use(&all).await, [version]);
    let (placing, placed) = place(&house, "a", PLACING).await;
    let moved = catalog.commit_move(move_of(version, placing, &[placed.id]));
    moved.await.unwrap();
    assert_eq!(in_use(&all).await, [version, placing]);

    catalog.settle_manifests(&[version]).await.unwrap();
    assert_eq!(in_use(&all).await, [placing]);
    // A copy was lost since.
    catalog.owe_manifest(version).await.unwrap();
    catalog.owe_manifest(version).await.unwrap();
    catalog.owe_manifest(version_id(77)).await.unwrap();
    assert_eq!(catalog.manifest_debts(None, 9).await, Ok(vec![version]));
    assert_eq!(in_use(&all).await, [version, placing]);

    house.delete("a", None).await;
    assert_eq!(in_use(&all).await, []);
}

async fn versions_and_segments_are_found_part_by_part(catalog: Catalog) {
    let house = House::new(catalog.clone(), true).await;
    let mut versions = Vec::new();
    for number in 0..40_u64 {
        // Ids all over the space.
        let number = number.wrapping_mul(0x0765_4321_0fed_cba9);
        versions.push(house.put(&format!("key-{number}"), number).await);
    }
    house.delete("key-0", Some(1)).await;
    house.begin("under way", 2).await;

    let (mut found, mut segments) = (Vec::new(), Vec::new());
    for part in 0..JOB_PARTS {
        let mut range = JobPart::range(part);
        loop {
            let page = catalog.versions_within(range.clone(), 3).await.unwrap();
            let Some((last, _)) = page.last() else { break };
            range.start = last.id.0.to_vec();
            found.extend(page.into_iter().map(|(version, _)| version.id));
        }
        let page = catalog.segments_within(JobPart::range(part), 100).await;
        segments.extend(page.unwrap().into_iter().map(|it| it.version));
    }

    found.retain(|id| *id != version_id(1));
    versions.sort_unstable();
    segments.sort_unstable();
    assert_eq!(found, versions);
    assert_eq!(segments, versions);
    let ids: Vec<_> = [version_id(2), versions[0]]
        .map(|version| segment(version, 0, 0, 0).id)
        .to_vec();
    let by_id = catalog.segments_by_id(ids.clone()).await.unwrap();
    let by_id: Vec<_> = by_id.into_iter().map(|(it, is)| (it.id, is)).collect();
    assert_eq!(by_id, [(ids[0], false), (ids[1], true)]);
}

async fn a_read_is_noted_and_never_goes_back(catalog: Catalog) {
    let house = House::new(catalog.clone(), true).await;
    let version = house.put("a", 1).await;
    for read_ms in [NOW + 5, NOW + 9, NOW + 7] {
        let reads = vec![(version, read_ms), (version_id(5), read_ms)];
        catalog.note_reads(reads).await.unwrap();
    }

    let placing = catalog.placing(version).await.unwrap().unwrap();

    assert_eq!((placing.manifest, placing.read_ms), (version, NOW + 9));
}
