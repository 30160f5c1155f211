//! Records, removal records, policies and locations.

use bytes::Bytes;
use sc_metadata::{Catalog, CatalogError, Condition, Location, LocationState, Policy, TenantId};

use crate::engines::on_every_engine;
use crate::house::{DUE, House, TENANT, key, version_id};

on_every_engine!(
    records_are_stored_per_tenant_kind_and_id,
    a_record_that_must_be_absent_is_refused_when_it_is_not,
    records_are_listed_by_the_bytes_of_their_ids,
    removals_are_there_with_what_is_gone_until_they_are_forgotten,
    what_is_gone_does_not_come_back,
    what_was_refused_does_not_come_again,
    policies_have_versions_that_never_change,
    locations_are_replaced_and_change_state,
    no_two_locations_are_the_same,
);

async fn records_are_stored_per_tenant_kind_and_id(catalog: Catalog) {
    let other = TenantId([8; 32]);
    let put = async |tenant, kind, id, sealed: &'static str| {
        let put = catalog.put_record(tenant, kind, id, sealed.into(), false);
        put.await.unwrap();
    };
    put(TENANT, "key", "a", "1").await;
    put(TENANT, "grant", "a", "2").await;
    put(other, "key", "a", "3").await;
    put(TENANT, "key", "a", "4").await;
    let record = async |tenant, kind| catalog.record(tenant, kind, "a").await.unwrap();

    assert_eq!(record(TENANT, "key").await, Some("4".into()));
    assert_eq!(record(TENANT, "grant").await, Some("2".into()));
    assert_eq!(record(other, "key").await, Some("3".into()));
    assert!(catalog.delete_record(TENANT, "key", "a").await.unwrap());
    assert!(!catalog.delete_record(TENANT, "key", "a").await.unwrap());
    assert_eq!(record(TENANT, "key").await, None);
    assert_eq!(record(other, "key").await, Some("3".into()));
}

async fn a_record_that_must_be_absent_is_refused_when_it_is_not(catalog: Catalog) {
    let put = |sealed: &'static str| catalog.put_record(TENANT, "key", "a", sealed.into(), true);

    put("1").await.unwrap();

    assert_eq!(put("2").await, Err(CatalogError::Exists("record")));
    assert_eq!(
        catalog.record(TENANT, "key", "a").await.unwrap(),
        Some("1".into())
    );
}

async fn records_are_listed_by_the_bytes_of_their_ids(catalog: Catalog) {
    let ids = ["", "-", "Z", "_", "a", "a-", "aZ", "a_", "aa", "ä", "€"];
    for id in ids.iter().rev() {
        let put = catalog.put_record(TENANT, "key", id, Bytes::from_static(b"x"), false);
        put.await.unwrap();
    }
    catalog
        .put_record(TENANT, "kez", "b", Bytes::new(), false)
        .await
        .unwrap();
    let list = async |after, limit| -> Vec<_> {
        let records = catalog.records(TENANT, "key", after, limit).await.unwrap();
        records.into_iter().map(|(id, _)| id).collect()
    };

    assert_eq!(list(None, 100).await, ids);
    assert_eq!(list(Some("a"), 2).await, ["a-", "aZ"]);
    assert_eq!(list(Some("€"), 2).await, [""; 0]);
}

async fn removals_are_there_with_what_is_gone_until_they_are_forgotten(catalog: Catalog) {
    let house = House::new(catalog, false).await;
    let removals = async |now_ms| house.catalog.removals(now_ms, 9).await.unwrap();
    let gone = [house.put("a", 1).await, house.put("a", 2).await];
    house.delete("a", None).await;

    let found = removals(DUE).await;
    let records: Vec<_> = found.iter().map(|removal| removal.record.clone()).collect();
    assert_eq!(
        records,
        gone.map(|version| Bytes::copy_from_slice(&version.0))
    );
    assert_eq!(removals(DUE - 1).await, []);
    let last = house.catalog.last_removed(house.id, &key("a")).await;
    assert_eq!(last, Ok(Some(2)));
    for removal in &found {
        house.catalog.forget_removal(removal.id).await.unwrap();
        house.catalog.forget_removal(removal.id).await.unwrap();
    }
    assert_eq!(removals(DUE).await, []);
    assert_eq!(
        house.catalog.last_removed(house.id, &key("a")).await,
        Ok(None)
    );
}

async fn what_is_gone_does_not_come_back(catalog: Catalog) {
    let house = House::new(catalog, false).await;
    house.put("a", 1).await;
    house.delete("a", Some(7)).await;

    let begin = async || {
        let intent = house.intent("a", version_id(1));
        house.catalog.begin(intent, &[]).await
    };
    assert_eq!(begin().await, Err(CatalogError::VersionExists));
    let newer = house.put("a", 2).await;
    let again = house.try_delete("a", Condition::None, Some(7)).await;
    assert_eq!(again, Err(CatalogError::VersionExists));
    assert_eq!(house.current("a").await, Some(newer));
    house.catalog.forget_spent(DUE).await.unwrap();
    assert_eq!(begin().await, Err(CatalogError::VersionExists));
    house.catalog.forget_spent(DUE + 1).await.unwrap();
    assert!(begin().await.is_ok());
}

async fn what_was_refused_does_not_come_again(catalog: Catalog) {
    let house = House::new(catalog, false).await;
    let version = house.begin("a", 1).await;
    let intent = house.intent("a", version);
    house.catalog.abandon(version, DUE).await.unwrap();
    assert!(house.catalog.begin(intent.clone(), &[]).await.is_ok());

    house.catalog.refuse(version, DUE).await.unwrap();
    house.catalog.refuse(version_id(9), DUE).await.unwrap();

    let again = house.catalog.begin(intent, &[]).await;
    assert_eq!(again, Err(CatalogError::VersionExists));
    assert!(
        house
            .catalog
            .begin(house.intent("a", version_id(9)), &[])
            .await
            .is_ok()
    );
}

async fn policies_have_versions_that_never_change(catalog: Catalog) {
    let policy = |name: &str, version, definition: &str| Policy {
        name: name.to_owned(),
        version,
        definition: definition.to_owned(),
    };
    let put = async |name, definition| catalog.put_policy(name, definition).await.unwrap();

    assert_eq!(put("hot", "x").await, policy("hot", 1, "x"));
    assert_eq!(put("hot", "y").await, policy("hot", 2, "y"));
    assert_eq!(put("hot", "y").await, policy("hot", 2, "y"));
    assert_eq!(put("hot", "x").await, policy("hot", 3, "x"));
    assert_eq!(put("cold", "z").await, policy("cold", 1, "z"));

    let read = async |version| catalog.policy("hot", version).await.unwrap();
    assert_eq!(read(None).await, Some(policy("hot", 3, "x")));
    assert_eq!(read(Some(2)).await, Some(policy("hot", 2, "y")));
    assert_eq!(read(Some(4)).await, None);
    assert_eq!(catalog.policy("warm", None).await.unwrap(), None);
    let latest = [policy("cold", 1, "z"), policy("hot", 3, "x")];
    assert_eq!(catalog.policies().await.unwrap(), latest);
}

async fn locations_are_replaced_and_change_state(catalog: Catalog) {
    let location = |name: &str, settings: &str, state| Location {
        name: name.to_owned(),
        settings: settings.to_owned(),
        state,
        identity: None,
    };
    catalog
        .put_location(&location("b", "{}", LocationState::Active))
        .await
        .unwrap();
    catalog
        .put_location(&location("a", "{}", LocationState::ReadOnly))
        .await
        .unwrap();
    catalog
        .put_location(&location("b", "{1}", LocationState::Lost))
        .await
        .unwrap();
    catalog
        .set_location_state("a", LocationState::Draining)
        .await
        .unwrap();

    let expected = [
        location("a", "{}", LocationState::Draining),
        location("b", "{1}", LocationState::Lost),
    ];
    assert_eq!(catalog.locations().await.unwrap(), expected);
    let unknown = catalog.set_location_state("c", LocationState::Lost).await;
    assert_eq!(unknown, Err(CatalogError::NoSuchLocation));
}

async fn no_two_locations_are_the_same(catalog: Catalog) {
    let location = |name: &str, identity| Location {
        name: name.to_owned(),
        settings: "{}".to_owned(),
        state: LocationState::Active,
        identity,
    };
    let (a, b) = (location("a", Some([1; 16])), location("b", Some([2; 16])));
    catalog.put_location(&a).await.unwrap();
    catalog.put_location(&b).await.unwrap();
    // Those that have not been opened yet are not told apart.
    let unopened = [location("c", None), location("d", None)];
    for location in &unopened {
        catalog.put_location(location).await.unwrap();
    }

    let refused = catalog.put_location(&location("c", Some([1; 16]))).await;

    assert_eq!(refused, Err(CatalogError::Exists("storage location")));
    // Its own identity is none of another's.
    catalog.put_location(&a).await.unwrap();
    let [c, d] = unopened;
    assert_eq!(catalog.locations().await.unwrap(), [a, b, c, d]);
}
