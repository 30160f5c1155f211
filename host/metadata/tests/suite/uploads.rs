//! Uploads in parts.

use sc_metadata::{Catalog, CatalogError, Commit};

use crate::engines::on_every_engine;
use crate::house::{
    DUE, House, LEASE, NOW, SEGMENT_STORED, completion, key, part, segment, version_id,
};

on_every_engine!(
    the_parts_chosen_are_the_object_in_their_order,
    segments_of_parts_not_chosen_become_garbage,
    a_part_replaces_the_one_with_its_number,
    a_part_put_again_keeps_its_segments,
    two_attempts_at_a_part_do_not_disturb_each_other,
    a_part_takes_only_segments_of_its_own,
    a_part_that_changed_since_it_was_read_is_noticed,
    completing_needs_parts_that_are_there,
    an_upload_is_completed_with_parts_and_a_put_without,
    an_upload_that_ends_takes_its_parts_along,
    segments_of_an_upload_under_way_are_counted_over_its_parts,
    uploads_are_listed_by_key_and_version,
    a_part_of_an_expired_upload_is_refused,
);

async fn the_parts_chosen_are_the_object_in_their_order(catalog: Catalog) {
    let house = House::new(catalog.clone(), true).await;
    let upload = house.begin_upload("a", 1).await;
    for (number, segments) in [(7, 2), (2, 3), (10_000, 1)] {
        house.put_part(upload, number, segments, 0).await;
    }
    let parts = catalog.parts(upload, 0, 10).await.unwrap();
    assert_eq!(parts, [part(2, 300), part(7, 200), part(10_000, 100)]);
    assert_eq!(catalog.parts(upload, 2, 1).await.unwrap(), [part(7, 200)]);

    let completion = completion(upload, &[2, 7, 10_000]);
    catalog.commit_object(completion).await.unwrap();

    let places = [(2, 0), (2, 1), (2, 2), (7, 0), (7, 1), (10_000, 0)];
    let segments = places.map(|(part, index)| segment(upload, part, index, 0));
    assert_eq!(catalog.segments(upload, 0..100).await.unwrap(), segments);
    assert_eq!(
        catalog.segments(upload, 2..5).await.unwrap(),
        segments[2..5]
    );
    let (version, _, range) = house.open("a", None, 3..4).await.unwrap();
    assert_eq!((version.size, &range[..]), (600, &segments[3..4]));
    assert_eq!(house.datastore().await.used_bytes, 600);
    assert_eq!(catalog.parts(upload, 0, 10).await.unwrap(), []);
    assert_eq!(house.garbage().await, []);
}

async fn segments_of_parts_not_chosen_become_garbage(catalog: Catalog) {
    let house = House::new(catalog.clone(), true).await;
    let upload = house.begin_upload("a", 1).await;
    for number in 1..=4 {
        house.put_part(upload, number, 1, 0).await;
    }
    let stray = segment(upload, 9, 0, 0);
    house.add(&stray).await.unwrap();

    catalog
        .commit_object(completion(upload, &[2, 4]))
        .await
        .unwrap();

    let ids = |parts: &[u32]| -> Vec<_> {
        parts
            .iter()
            .map(|part| segment(upload, *part, 0, 0).id)
            .collect()
    };
    let segments = catalog.segments(upload, 0..9).await.unwrap();
    assert_eq!(
        segments
            .iter()
            .map(|segment| segment.id)
            .collect::<Vec<_>>(),
        ids(&[2, 4])
    );
    assert_eq!(house.garbage().await, ids(&[1, 3, 9]));
    let usage = catalog.usage(crate::house::TENANT).await.unwrap();
    assert_eq!((usage.bytes, usage.stored_bytes), (200, 2 * SEGMENT_STORED));
}

async fn a_part_replaces_the_one_with_its_number(catalog: Catalog) {
    let house = House::new(catalog.clone(), true).await;
    let upload = house.begin_upload("a", 1).await;
    house.put_part(upload, 1, 2, 0).await;
    house.put_part(upload, 1, 1, 1).await;

    let garbage = [0, 1].map(|index| segment(upload, 1, index, 0).id);
    assert_eq!(house.garbage().await, garbage);
    assert_eq!(catalog.parts(upload, 0, 9).await.unwrap(), [part(1, 100)]);
    catalog
        .commit_object(completion(upload, &[1]))
        .await
        .unwrap();
    let segments = catalog.segments(upload, 0..9).await.unwrap();
    assert_eq!(segments, [segment(upload, 1, 0, 1)]);
}

async fn a_part_put_again_keeps_its_segments(catalog: Catalog) {
    let house = House::new(catalog.clone(), true).await;
    let upload = house.begin_upload("a", 1).await;
    house.put_part(upload, 1, 2, 0).await;
    let ids = [0, 1].map(|index| segment(upload, 1, index, 0).id);

    let again = catalog.put_part(upload, part(1, 200), &ids, LEASE, NOW, DUE);
    again.await.unwrap();

    assert_eq!(house.garbage().await, []);
    catalog
        .commit_object(completion(upload, &[1]))
        .await
        .unwrap();
    assert_eq!(catalog.segments(upload, 0..9).await.unwrap().len(), 2);
}

async fn two_attempts_at_a_part_do_not_disturb_each_other(catalog: Catalog) {
    let house = House::new(catalog.clone(), true).await;
    let upload = house.begin_upload("a", 1).await;
    let slow = segment(upload, 1, 0, 0);
    house.add(&slow).await.unwrap();

    house.put_part(upload, 1, 1, 1).await;
    let ids = [slow.id];
    let put = catalog.put_part(upload, part(1, 100), &ids, LEASE, NOW, DUE);
    put.await.unwrap();

    assert_eq!(house.garbage().await, [segment(upload, 1, 0, 1).id]);
    catalog
        .commit_object(completion(upload, &[1]))
        .await
        .unwrap();
    assert_eq!(catalog.segments(upload, 0..9).await.unwrap(), [slow]);
}

async fn a_part_takes_only_segments_of_its_own(catalog: Catalog) {
    let house = House::new(catalog.clone(), true).await;
    let upload = house.begin_upload("a", 1).await;
    let other = house.begin_upload("a", 2).await;
    house.put_part(upload, 1, 1, 0).await;
    house.put_part(other, 1, 1, 0).await;
    let put = |number, id| catalog.put_part(upload, part(number, 1), id, LEASE, NOW, DUE);

    let of_other_part = [segment(upload, 1, 0, 0).id];
    let of_other_upload = [segment(other, 1, 0, 0).id];
    let unknown = [segment(upload, 2, 0, 0).id];

    for ids in [&of_other_part, &of_other_upload, &unknown] {
        assert_eq!(put(2, ids).await, Err(CatalogError::NoSuchSegment));
    }
    assert_eq!(
        put(1, &of_other_upload).await,
        Err(CatalogError::NoSuchSegment)
    );
    house.put_part(upload, 1, 1, 1).await;
    assert_eq!(
        put(1, &of_other_part).await,
        Err(CatalogError::NoSuchSegment)
    );
    for number in [0, 10_001] {
        assert!(matches!(
            put(number, &[]).await,
            Err(CatalogError::Invalid(_))
        ));
    }
    assert_eq!(catalog.parts(upload, 0, 9).await.unwrap(), [part(1, 100)]);
}

async fn a_part_that_changed_since_it_was_read_is_noticed(catalog: Catalog) {
    let house = House::new(catalog.clone(), true).await;
    let upload = house.begin_upload("a", 1).await;
    house.put_part(upload, 1, 1, 0).await;
    let read = catalog.segments(upload, 0..9).await.unwrap();
    house.put_part(upload, 1, 1, 1).await;
    let naming = |segments: &[sc_metadata::Segment]| {
        catalog.commit_object(Commit {
            segments: Some(segments.iter().map(|segment| segment.id).collect()),
            ..completion(upload, &[1])
        })
    };

    assert_eq!(naming(&read).await, Err(CatalogError::SegmentsChanged));

    let again = catalog.segments(upload, 0..9).await.unwrap();
    assert!(naming(&again).await.unwrap().is_current);
}

async fn completing_needs_parts_that_are_there(catalog: Catalog) {
    let house = House::new(catalog.clone(), true).await;
    let upload = house.begin_upload("a", 1).await;
    house.put_part(upload, 1, 1, 0).await;
    house.put_part(upload, 3, 1, 0).await;
    let complete = |parts: &[u32]| catalog.commit_object(completion(upload, parts));

    assert_eq!(complete(&[1, 2]).await, Err(CatalogError::NoSuchPart(2)));
    for parts in [&[][..], &[3, 1], &[1, 1]] {
        assert!(matches!(
            complete(parts).await,
            Err(CatalogError::Invalid(_))
        ));
    }
    assert_eq!(catalog.parts(upload, 0, 9).await.unwrap().len(), 2);
    complete(&[1, 3]).await.unwrap();
}

async fn an_upload_is_completed_with_parts_and_a_put_without(catalog: Catalog) {
    let house = House::new(catalog.clone(), true).await;
    let upload = house.begin_upload("a", 1).await;
    let put = house.begin("a", 2).await;

    let as_put = house.commit(upload).await;
    let as_upload = catalog.commit_object(completion(put, &[1])).await;
    let added = house.add(&segment(put, 1, 0, 9)).await;
    let part_of_put = catalog
        .put_part(put, part(1, 1), &[], LEASE, NOW, DUE)
        .await;

    assert!(matches!(as_put, Err(CatalogError::Invalid(_))));
    assert!(matches!(as_upload, Err(CatalogError::Invalid(_))));
    assert!(matches!(added, Err(CatalogError::Invalid(_))));
    assert_eq!(part_of_put, Err(CatalogError::IntentGone));
}

async fn an_upload_that_ends_takes_its_parts_along(catalog: Catalog) {
    let house = House::new(catalog.clone(), true).await;
    let upload = house.begin_upload("a", 1).await;
    house.put_part(upload, 1, 1, 0).await;
    house.put_part(upload, 1, 1, 1).await;

    catalog.abandon(upload, DUE).await.unwrap();

    assert_eq!(catalog.parts(upload, 0, 9).await.unwrap(), []);
    assert_eq!(house.garbage().await.len(), 2);
    let again = house.begin_upload("a", 1).await;
    assert_eq!(catalog.segments(again, 0..9).await.unwrap(), []);
}

async fn segments_of_an_upload_under_way_are_counted_over_its_parts(catalog: Catalog) {
    let house = House::new(catalog.clone(), true).await;
    let upload = house.begin_upload("a", 1).await;
    house.put_part(upload, 5, 2, 0).await;
    house.put_part(upload, 2, 2, 0).await;

    let places = [(2, 0), (2, 1), (5, 0), (5, 1)];
    let segments = places.map(|(part, index)| segment(upload, part, index, 0));
    assert_eq!(
        catalog.segments(upload, 0..u32::MAX).await.unwrap(),
        segments
    );
    assert_eq!(
        catalog.segments(upload, 1..3).await.unwrap(),
        segments[1..3]
    );
}

async fn uploads_are_listed_by_key_and_version(catalog: Catalog) {
    let house = House::new(catalog.clone(), true).await;
    for (number, name) in [(4, "a/1"), (2, "a/1"), (3, "a/2"), (1, "b"), (5, "A")] {
        house.begin_upload(name, number).await;
    }
    house.begin("a/1", 6).await;
    let list = async |prefix: &[u8], after: Option<(&str, u64)>, limit| -> Vec<_> {
        let after = after.map(|(name, number)| (key(name), version_id(number)));
        let uploads = catalog
            .uploads(house.id, prefix, after, limit)
            .await
            .unwrap();
        uploads.into_iter().map(|upload| upload.version).collect()
    };

    assert_eq!(list(b"", None, 9).await, [5, 2, 4, 3, 1].map(version_id));
    assert_eq!(list(b"a/", None, 9).await, [2, 4, 3].map(version_id));
    assert_eq!(
        list(b"a/", Some(("a/1", 2)), 9).await,
        [4, 3].map(version_id)
    );
    assert_eq!(list(b"a/", Some(("a/1", 2)), 1).await, [version_id(4)]);
    assert_eq!(list(b"a/", Some(("b", 1)), 9).await, []);
    assert_eq!(
        list(b"a/", Some(("A", 5)), 9).await,
        [2, 4, 3].map(version_id)
    );
}

async fn a_part_of_an_expired_upload_is_refused(catalog: Catalog) {
    let house = House::new(catalog.clone(), true).await;
    let upload = house.begin_upload("a", 1).await;

    let put = catalog
        .put_part(upload, part(1, 1), &[], LEASE, LEASE, DUE)
        .await;

    assert_eq!(put, Err(CatalogError::IntentGone));
}
