//! Intents: numbers, leases, and what their end leaves.

use sc_metadata::{Catalog, CatalogError, Intent};

use crate::engines::on_every_engine;
use crate::house::{DUE, House, LEASE, NOW, segment, version_id};

on_every_engine!(
    numbers_ascend_within_a_datastore,
    an_intent_is_read_as_it_was_written,
    an_intent_is_live_before_its_lease_ends_and_not_at_its_end,
    an_expired_intent_takes_nothing_more,
    a_lease_never_becomes_shorter,
    only_an_expired_intent_is_expired,
    expired_intents_come_in_the_order_of_their_ends,
    an_abandoned_intent_leaves_garbage,
    a_version_has_one_intent_and_none_once_committed,
    a_version_can_begin_again_after_its_intent_has_ended,
    a_segment_id_is_used_once,
    keys_of_impossible_length_are_refused,
);

async fn numbers_ascend_within_a_datastore(catalog: Catalog) {
    let house = House::new(catalog.clone(), true).await;
    let mut numbers = Vec::new();
    for number in 1..=3 {
        let intent = house.intent("a", version_id(number));
        numbers.push(catalog.begin(intent, &[]).await.unwrap());
    }
    numbers.push(house.delete("b", Some(9)).await.number);

    assert!(numbers.is_sorted_by(|one, next| one < next), "{numbers:?}");
}

async fn an_intent_is_read_as_it_was_written(catalog: Catalog) {
    let house = House::new(catalog.clone(), true).await;
    let new = house.intent("a", version_id(1));
    let number = catalog.begin(new.clone(), &[]).await.unwrap();

    let expected = Intent {
        version: new.version,
        datastore: new.datastore,
        key: new.key,
        lease_until_ms: new.lease_until_ms,
        upload: None,
        policy: new.policy,
        policy_version: new.policy_version,
        created_ms: new.created_ms,
        number,
    };
    assert_eq!(catalog.intent(version_id(1)).await.unwrap(), Some(expected));
    assert_eq!(catalog.intent(version_id(2)).await.unwrap(), None);
}

async fn an_intent_is_live_before_its_lease_ends_and_not_at_its_end(catalog: Catalog) {
    let house = House::new(catalog.clone(), true).await;
    let version = house.begin("a", 1).await;

    let too_late = catalog.renew(version, LEASE + 1, LEASE).await;
    let in_time = catalog.renew(version, LEASE + 1, LEASE - 1).await;

    assert_eq!(too_late, Err(CatalogError::IntentGone));
    assert_eq!(in_time, Ok(()));
}

async fn an_expired_intent_takes_nothing_more(catalog: Catalog) {
    let house = House::new(catalog.clone(), true).await;
    let version = house.begin("a", 1).await;
    let mut late = crate::house::commit(version);
    late.now_ms = LEASE;

    let added = [segment(version, 0, 1, 0)];
    let added = catalog
        .add_segments(version, &added, LEASE * 2, LEASE)
        .await;

    assert_eq!(added, Err(CatalogError::IntentGone));
    assert_eq!(
        catalog.commit_object(late).await,
        Err(CatalogError::IntentGone)
    );
    assert_eq!(house.current("a").await, None);
}

async fn a_lease_never_becomes_shorter(catalog: Catalog) {
    let house = House::new(catalog.clone(), true).await;
    let version = house.begin("a", 1).await;

    catalog.renew(version, LEASE - 500, NOW).await.unwrap();

    let intent = catalog.intent(version).await.unwrap().unwrap();
    assert_eq!(intent.lease_until_ms, LEASE);
}

async fn only_an_expired_intent_is_expired(catalog: Catalog) {
    let house = House::new(catalog.clone(), true).await;
    let version = house.begin("a", 1).await;

    assert!(
        !catalog
            .expire_intent(version, LEASE - 1, DUE)
            .await
            .unwrap()
    );
    catalog.renew(version, LEASE + 10, NOW).await.unwrap();
    assert!(!catalog.expire_intent(version, LEASE, DUE).await.unwrap());
    assert_eq!(house.garbage().await, []);

    assert!(
        catalog
            .expire_intent(version, LEASE + 10, DUE)
            .await
            .unwrap()
    );
    assert!(
        !catalog
            .expire_intent(version, LEASE + 10, DUE)
            .await
            .unwrap()
    );
    assert_eq!(house.garbage().await, [segment(version, 0, 0, 0).id]);
    assert_eq!(house.commit(version).await, Err(CatalogError::IntentGone));
}

async fn expired_intents_come_in_the_order_of_their_ends(catalog: Catalog) {
    let house = House::new(catalog.clone(), true).await;
    for (number, lease_until_ms) in [(1, 300), (2, 100), (3, 200), (4, 400)] {
        let mut intent = house.intent("a", version_id(number));
        intent.lease_until_ms = lease_until_ms;
        catalog.begin(intent, &[]).await.unwrap();
    }

    let expired = catalog.expired_intents(300, 10).await.unwrap();
    let two = catalog.expired_intents(300, 2).await.unwrap();

    assert_eq!(expired, [2, 3, 1].map(version_id));
    assert_eq!(two, [2, 3].map(version_id));
}

async fn an_abandoned_intent_leaves_garbage(catalog: Catalog) {
    let house = House::new(catalog.clone(), true).await;
    let version = house.begin("a", 1).await;

    catalog.abandon(version, DUE).await.unwrap();
    catalog.abandon(version, DUE + 1).await.unwrap();

    assert_eq!(house.commit(version).await, Err(CatalogError::IntentGone));
    assert_eq!(house.garbage().await, [segment(version, 0, 0, 0).id]);
    assert_eq!(catalog.garbage(DUE - 1, 10).await.unwrap(), []);
    assert_eq!(catalog.garbage(DUE, 10).await.unwrap().len(), 1);
}

async fn a_version_has_one_intent_and_none_once_committed(catalog: Catalog) {
    let house = House::new(catalog.clone(), true).await;
    let version = house.begin("a", 1).await;
    let begin = || catalog.begin(house.intent("a", version), &[]);

    assert_eq!(begin().await, Err(CatalogError::Exists("intent")));
    house.commit(version).await.unwrap();
    assert_eq!(begin().await, Err(CatalogError::VersionExists));
    assert_eq!(
        house.commit(version).await,
        Err(CatalogError::VersionExists)
    );
    catalog.abandon(version, DUE).await.unwrap();
    assert_eq!(house.current("a").await, Some(version));
    assert_eq!(house.garbage().await, []);
}

async fn a_version_can_begin_again_after_its_intent_has_ended(catalog: Catalog) {
    let house = House::new(catalog.clone(), true).await;
    let version = house.begin("a", 1).await;
    catalog.abandon(version, DUE).await.unwrap();

    let again = segment(version, 0, 0, 1);
    let begun = catalog.begin(house.intent("a", version), std::slice::from_ref(&again));
    begun.await.unwrap();
    house.commit(version).await.unwrap();

    assert_eq!(catalog.segments(version, 0..10).await.unwrap(), [again]);
    assert_eq!(house.garbage().await, [segment(version, 0, 0, 0).id]);
}

async fn a_segment_id_is_used_once(catalog: Catalog) {
    let house = House::new(catalog.clone(), true).await;
    let version = house.begin("a", 1).await;

    let added = house.add(&segment(version, 0, 0, 0)).await;

    assert_eq!(added, Err(CatalogError::Exists("segment")));
    house.commit(version).await.unwrap();
    assert_eq!(catalog.segments(version, 0..9).await.unwrap().len(), 1);
}

async fn keys_of_impossible_length_are_refused(catalog: Catalog) {
    let house = House::new(catalog.clone(), false).await;
    for (length, is_possible) in [(0, false), (1, true), (1024, true), (1025, false)] {
        let text = "k".repeat(length);
        let intent = house.intent(&text, version_id(length as u64));
        let begun = catalog.begin(intent, &[]).await;
        assert_eq!(begun.is_ok(), is_possible, "{length}: {begun:?}");
    }
}
