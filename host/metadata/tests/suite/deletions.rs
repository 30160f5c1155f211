//! Deletions: of objects, with and without markers, and of single versions.

use sc_metadata::{Catalog, CatalogError, Condition};

use crate::engines::on_every_engine;
use crate::house::{House, segment, version_id};

on_every_engine!(
    a_marker_hides_an_object_and_keeps_its_versions,
    a_marker_is_put_where_there_is_no_object_too,
    keeping_versions_needs_a_marker,
    without_versioning_all_versions_go,
    deleting_what_is_not_there_removes_nothing,
    deleting_the_latest_version_brings_the_one_before_back,
    deleting_the_marker_brings_the_object_back,
    deleting_below_a_marker_leaves_the_object_deleted,
    deleting_an_older_version_leaves_the_current_one,
    deletions_have_conditions,
    a_put_that_began_before_a_deletion_is_older_than_it,
    a_put_that_began_before_a_marker_is_below_it,
);

async fn a_marker_hides_an_object_and_keeps_its_versions(catalog: Catalog) {
    let house = House::new(catalog.clone(), true).await;
    let version = house.put("a", 1).await;

    let removed = house.delete("a", Some(2)).await;

    assert_eq!(
        (&removed.versions[..], removed.marker),
        (&[][..], Some(version_id(2)))
    );
    assert_eq!(house.current("a").await, None);
    assert_eq!(house.keys().await, [""; 0]);
    let seen: Vec<_> = house
        .versions()
        .await
        .into_iter()
        .map(|version| (version.id, version.is_marker, version.is_current))
        .collect();
    assert_eq!(seen, [(version_id(2), true, true), (version, false, false)]);
    let opened = house.open("a", Some(version_id(2)), 0..9).await;
    let (marker, body, segments) = opened.unwrap();
    assert_eq!((marker.is_marker, body.len(), segments.len()), (true, 0, 0));
    let datastore = house.datastore().await;
    assert_eq!((datastore.objects, datastore.used_bytes), (0, 100));
    assert_eq!(house.garbage().await, []);
}

async fn a_marker_is_put_where_there_is_no_object_too(catalog: Catalog) {
    let house = House::new(catalog, true).await;

    house.delete("a", Some(1)).await;
    house.delete("a", Some(2)).await;

    assert_eq!(house.versions().await.len(), 2);
    assert_eq!(house.datastore().await.objects, 0);
    let taken = house.try_delete("b", Condition::None, Some(2)).await;
    assert_eq!(taken, Err(CatalogError::VersionExists));
}

async fn keeping_versions_needs_a_marker(catalog: Catalog) {
    let house = House::new(catalog.clone(), true).await;
    let version = house.put("a", 1).await;

    let deleted = house.try_delete("a", Condition::None, None).await;

    assert_eq!(deleted, Err(CatalogError::MarkerNeeded));
    assert_eq!(house.current("a").await, Some(version));
}

async fn without_versioning_all_versions_go(catalog: Catalog) {
    let house = House::new(catalog.clone(), true).await;
    let versions = [house.put("a", 1).await, house.put("a", 2).await];
    let other = house.put("b", 3).await;
    let unversion = catalog.update_datastore(house.id, None, Some(false), None);
    unversion.await.unwrap();

    let removed = house.delete("a", Some(4)).await;

    assert_eq!(removed.versions, versions);
    assert_eq!(removed.marker, None);
    assert_eq!(
        house.garbage().await,
        versions.map(|version| segment(version, 0, 0, 0).id)
    );
    let left: Vec<_> = house
        .versions()
        .await
        .into_iter()
        .map(|version| version.id)
        .collect();
    assert_eq!(left, [other]);
    let datastore = house.datastore().await;
    assert_eq!((datastore.objects, datastore.used_bytes), (1, 100));
    assert_eq!(catalog.segments(versions[1], 0..9).await.unwrap(), []);
}

async fn deleting_what_is_not_there_removes_nothing(catalog: Catalog) {
    let house = House::new(catalog.clone(), false).await;

    let object = house.delete("a", None).await;
    let version = house.delete_version("a", version_id(1)).await;

    assert_eq!((&object.versions[..], object.marker), (&[][..], None));
    assert_eq!((&version.versions[..], version.marker), (&[][..], None));
    assert!(object.number < version.number);
}

async fn deleting_the_latest_version_brings_the_one_before_back(catalog: Catalog) {
    let house = House::new(catalog.clone(), true).await;
    let [first, second] = [house.put("a", 1).await, house.put("a", 2).await];

    let removed = house.delete_version("a", second).await;

    assert_eq!(removed.versions, [second]);
    assert_eq!(house.current("a").await, Some(first));
    assert_eq!(house.keys().await, ["a"]);
    assert_eq!(house.garbage().await, [segment(second, 0, 0, 0).id]);
    house.delete_version("a", first).await;
    assert_eq!(house.current("a").await, None);
    assert_eq!(house.keys().await, [""; 0]);
    let datastore = house.datastore().await;
    assert_eq!((datastore.objects, datastore.used_bytes), (0, 0));
}

async fn deleting_the_marker_brings_the_object_back(catalog: Catalog) {
    let house = House::new(catalog.clone(), true).await;
    let version = house.put("a", 1).await;
    house.delete("a", Some(2)).await;

    house.delete_version("a", version_id(2)).await;

    assert_eq!(house.current("a").await, Some(version));
    assert_eq!(house.keys().await, ["a"]);
    assert_eq!(house.datastore().await.objects, 1);
}

async fn deleting_below_a_marker_leaves_the_object_deleted(catalog: Catalog) {
    let house = House::new(catalog.clone(), true).await;
    house.put("a", 1).await;
    house.delete("a", Some(2)).await;
    let last = house.put("a", 3).await;

    house.delete_version("a", last).await;

    assert_eq!(house.current("a").await, None);
    assert_eq!(house.keys().await, [""; 0]);
    assert_eq!(house.datastore().await.objects, 0);
}

async fn deleting_an_older_version_leaves_the_current_one(catalog: Catalog) {
    let house = House::new(catalog.clone(), true).await;
    let [first, second] = [house.put("a", 1).await, house.put("a", 2).await];

    house.delete_version("a", first).await;
    let of_other_key = house.delete_version("b", second).await;

    assert_eq!(of_other_key.versions, []);
    assert_eq!(house.current("a").await, Some(second));
    assert_eq!(house.garbage().await, [segment(first, 0, 0, 0).id]);
}

async fn deletions_have_conditions(catalog: Catalog) {
    let house = House::new(catalog.clone(), false).await;
    let version = house.put("a", 1).await;
    let delete = |condition| house.try_delete("a", condition, None);

    for condition in [Condition::IfCurrent(version_id(9)), Condition::IfAbsent] {
        assert_eq!(delete(condition).await, Err(CatalogError::ConditionFailed));
        assert_eq!(house.current("a").await, Some(version));
    }
    delete(Condition::IfCurrent(version)).await.unwrap();
    assert_eq!(
        delete(Condition::IfExists).await,
        Err(CatalogError::ConditionFailed)
    );
}

async fn a_put_that_began_before_a_deletion_is_older_than_it(catalog: Catalog) {
    let house = House::new(catalog.clone(), false).await;
    let slow = house.begin("a", 1).await;
    let other = house.begin("b", 2).await;
    let removed = house.delete("a", None).await;
    let after = house.begin("a", 3).await;

    let committed = house.commit(slow).await.unwrap();

    assert!(committed.number < removed.number);
    assert_eq!(
        (committed.is_current, &committed.superseded[..]),
        (false, &[slow][..])
    );
    assert_eq!(house.current("a").await, None);
    assert_eq!(house.garbage().await, [segment(slow, 0, 0, 0).id]);
    assert!(house.commit(other).await.unwrap().is_current);
    assert!(house.commit(after).await.unwrap().is_current);
}

async fn a_put_that_began_before_a_marker_is_below_it(catalog: Catalog) {
    let house = House::new(catalog.clone(), true).await;
    let slow = house.begin("a", 1).await;
    house.delete("a", Some(2)).await;

    let committed = house.commit(slow).await.unwrap();

    assert_eq!(
        (committed.is_current, &committed.superseded[..]),
        (false, &[][..])
    );
    assert_eq!(house.current("a").await, None);
    assert_eq!(house.versions().await.len(), 2);
}
