//! Segments: their fragments, and which are owed.

use sc_metadata::{Catalog, CatalogError, Fragment, FragmentState, SegmentId};

use crate::engines::on_every_engine;
use crate::house::{DUE, House, SEGMENT_STORED, TENANT, segment};

on_every_engine!(
    fragments_are_replaced,
    fragments_that_somebody_else_has_changed_are_left,
    names_that_a_segment_has_no_more_are_garbage,
    a_version_is_found_by_its_id_alone,
    owed_fragments_of_committed_versions_are_listed,
    sums_follow_the_number_of_fragments,
    names_have_a_greatest_length,
);

async fn fragments_are_replaced(catalog: Catalog) {
    let house = House::new(catalog.clone(), true).await;
    let version = house.put("a", 1).await;
    let mut moved = segment(version, 0, 0, 0);
    moved.fragments[1].location = "elsewhere".to_owned();
    moved.fragments[1].name = "renamed".to_owned();
    moved.fragments[2].state = FragmentState::Owed;
    moved.fragments[2].index = 255;

    catalog
        .set_fragments(moved.id, &moved.fragments)
        .await
        .unwrap();

    assert_eq!(catalog.segments(version, 0..9).await.unwrap(), [moved]);
    let unknown = catalog.set_fragments(SegmentId([9; 32]), &[]).await;
    assert_eq!(unknown, Err(CatalogError::NoSuchSegment));
}

async fn fragments_that_somebody_else_has_changed_are_left(catalog: Catalog) {
    let house = House::new(catalog.clone(), true).await;
    let version = house.put("a", 1).await;
    let before = segment(version, 0, 0, 0);
    let (mut one, mut other) = (before.clone(), before.clone());
    one.fragments[0].location = "one".to_owned();
    other.fragments[0].location = "other".to_owned();
    let exchange = async |to: &[Fragment]| {
        let exchanged = catalog.exchange_fragments(before.id, &before.fragments, to, DUE);
        exchanged.await.unwrap()
    };

    assert!(exchange(&one.fragments).await);
    assert!(!exchange(&other.fragments).await);

    assert_eq!(catalog.segments(version, 0..9).await.unwrap(), [one]);
    let unknown = catalog.exchange_fragments(SegmentId([9; 32]), &[], &[], DUE);
    assert_eq!(unknown.await, Err(CatalogError::NoSuchSegment));
}

async fn names_that_a_segment_has_no_more_are_garbage(catalog: Catalog) {
    let house = House::new(catalog.clone(), true).await;
    let version = house.put("a", 1).await;
    let before = segment(version, 0, 0, 0);
    let mut coming = before.fragments.clone();
    let copy = Fragment {
        location: "elsewhere".to_owned(),
        name: "another".to_owned(),
        state: FragmentState::Coming,
        ..before.fragments[1].clone()
    };
    coming.insert(2, copy.clone());
    let mut moved = before.fragments.clone();
    moved[1] = Fragment {
        state: FragmentState::Stored,
        ..copy
    };
    moved[2].state = FragmentState::Owed;
    let stored = house.datastore().await;

    for (from, to) in [(&before.fragments, &coming), (&coming, &moved)] {
        let exchanged = catalog.exchange_fragments(before.id, from, to, DUE);
        assert!(exchanged.await.unwrap());
    }

    assert_eq!(house.datastore().await, stored);
    let garbage = catalog.garbage(DUE, 10).await.unwrap();
    assert_eq!(catalog.garbage(DUE - 1, 10).await.unwrap(), []);
    let [garbage] = &garbage[..] else {
        panic!("{garbage:?}");
    };
    assert_eq!(garbage.fragments, before.fragments[1..2]);
    catalog.forget_segments(&[garbage.id]).await.unwrap();
    assert_eq!(house.garbage().await, []);
}

async fn a_version_is_found_by_its_id_alone(catalog: Catalog) {
    let house = House::new(catalog.clone(), true).await;
    let id = house.put("a", 1).await;

    let (version, body) = catalog.version_by_id(id).await.unwrap().unwrap();

    assert_eq!((version.id, &version.key[..]), (id, &b"a"[..]));
    assert_eq!(Some(body), catalog.body(id).await.unwrap());
    house.delete_version("a", id).await;
    assert_eq!(catalog.version_by_id(id).await.unwrap(), None);
}

async fn owed_fragments_of_committed_versions_are_listed(catalog: Catalog) {
    let house = House::new(catalog.clone(), true).await;
    let mut owing = Vec::new();
    for number in 1..=4 {
        let version = house.begin("a", number).await;
        let mut segment = segment(version, 0, 0, 0);
        segment.fragments[0].state = FragmentState::Owed;
        catalog
            .set_fragments(segment.id, &segment.fragments)
            .await
            .unwrap();
        owing.push(segment);
    }
    for segment in &owing[..3] {
        house.commit(segment.version).await.unwrap();
    }
    house.delete_version("a", owing[1].version).await;

    assert_eq!(
        catalog.owed(None, 9).await.unwrap(),
        [owing[0].clone(), owing[2].clone()]
    );
    assert_eq!(catalog.owed(None, 1).await.unwrap(), owing[..1]);
    assert_eq!(
        catalog.owed(Some(owing[0].id), 9).await.unwrap(),
        owing[2..3]
    );
    owing[0].fragments[0].state = FragmentState::Stored;
    catalog
        .set_fragments(owing[0].id, &owing[0].fragments)
        .await
        .unwrap();
    assert_eq!(catalog.owed(None, 9).await.unwrap(), owing[2..3]);
}

async fn sums_follow_the_number_of_fragments(catalog: Catalog) {
    let house = House::new(catalog.clone(), true).await;
    let committed = segment(house.put("a", 1).await, 0, 0, 0);
    let begun = segment(house.begin("b", 2).await, 0, 0, 0);
    let removed = segment(house.put("c", 3).await, 0, 0, 0);
    house.delete_version("c", removed.version).await;
    let stored = async || catalog.usage(TENANT).await.unwrap().stored_bytes;

    for segment in [&committed, &begun, &removed] {
        catalog
            .set_fragments(segment.id, &segment.fragments[..2])
            .await
            .unwrap();
    }
    assert_eq!(stored().await, SEGMENT_STORED - 50);
    house.commit(begun.version).await.unwrap();
    assert_eq!(stored().await, 2 * (SEGMENT_STORED - 50));
    house.delete_version("a", committed.version).await;
    house.delete_version("b", begun.version).await;
    assert_eq!(stored().await, 0);
}

async fn names_have_a_greatest_length(catalog: Catalog) {
    let house = House::new(catalog.clone(), true).await;
    let version = house.put("a", 1).await;
    let named = |length| Fragment {
        index: 0,
        location: "l".repeat(length),
        name: "n".repeat(length),
        state: FragmentState::Stored,
    };
    let set = |fragment| {
        let catalog = catalog.clone();
        async move {
            catalog
                .set_fragments(segment(version, 0, 0, 0).id, &[fragment])
                .await
        }
    };

    assert!(matches!(
        set(named(256)).await,
        Err(CatalogError::Invalid(_))
    ));
    set(named(255)).await.unwrap();
    let segments = catalog.segments(version, 0..1).await.unwrap();
    assert_eq!(segments[0].fragments, [named(255)]);
}
