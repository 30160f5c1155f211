//! Datastores: names, settings, keys, quotas and sums.

use bytes::Bytes;
use sc_metadata::{Catalog, CatalogError, Commit, TenantId, Usage};

use crate::engines::on_every_engine;
use crate::house::{House, SEGMENT_STORED, TENANT, commit, datastore, datastore_id};

on_every_engine!(
    a_datastore_is_found_by_name_and_by_id,
    a_name_is_unique_in_its_tenant,
    settings_change_and_others_stay,
    a_key_is_rewrapped_only_from_the_expected_root,
    a_datastore_with_versions_or_intents_is_not_deleted,
    nothing_is_done_in_a_datastore_that_is_not_there,
    a_quota_bounds_the_bytes_of_all_versions,
    what_a_version_supersedes_makes_room_for_it,
    usage_is_the_sum_over_a_tenants_datastores,
);

async fn a_datastore_is_found_by_name_and_by_id(catalog: Catalog) {
    let house = House::new(catalog.clone(), true).await;
    let expected = datastore(1, "readings", true);

    assert_eq!(house.datastore().await, expected);
    assert_eq!(
        catalog.datastore(TENANT, "readings").await.unwrap(),
        Some(expected.clone())
    );
    assert_eq!(catalog.datastores(TENANT).await.unwrap(), [expected]);
    assert_eq!(catalog.datastore(TENANT, "orders").await.unwrap(), None);
    assert_eq!(
        catalog
            .datastore(TenantId([8; 32]), "readings")
            .await
            .unwrap(),
        None
    );
}

async fn a_name_is_unique_in_its_tenant(catalog: Catalog) {
    let first = datastore(1, "readings", true);
    catalog.create_datastore(&first).await.unwrap();

    let namesake = datastore(2, "readings", true);
    let again = datastore(1, "orders", true);
    let mut foreign = datastore(3, "readings", true);
    foreign.tenant = TenantId([8; 32]);

    for taken in [namesake, again] {
        let result = catalog.create_datastore(&taken).await;
        assert_eq!(result, Err(CatalogError::Exists("datastore")));
    }
    catalog.create_datastore(&foreign).await.unwrap();
}

async fn settings_change_and_others_stay(catalog: Catalog) {
    let house = House::new(catalog.clone(), false).await;
    let update = |policy, versioning, quota| {
        let catalog = catalog.clone();
        async move {
            let id = datastore_id(1);
            catalog
                .update_datastore(id, policy, versioning, quota)
                .await
                .unwrap();
        }
    };

    update(Some("cold"), None, None).await;
    update(None, Some(true), None).await;
    update(None, None, Some(Some(77))).await;

    let mut expected = datastore(1, "readings", true);
    expected.policy = "cold".to_owned();
    expected.quota_bytes = Some(77);
    assert_eq!(house.datastore().await, expected);

    update(None, None, Some(None)).await;
    expected.quota_bytes = None;
    assert_eq!(house.datastore().await, expected);
}

async fn a_key_is_rewrapped_only_from_the_expected_root(catalog: Catalog) {
    let house = House::new(catalog.clone(), false).await;
    let rewrap =
        |expected| catalog.rewrap_datastore(house.id, expected, Bytes::from_static(b"again"), 2);

    rewrap(1).await.unwrap();

    assert_eq!(rewrap(1).await, Err(CatalogError::ConditionFailed));
    let datastore = house.datastore().await;
    assert_eq!(
        (&datastore.wrapped_key[..], datastore.root_number),
        (&b"again"[..], 2)
    );
}

async fn a_datastore_with_versions_or_intents_is_not_deleted(catalog: Catalog) {
    let house = House::new(catalog.clone(), true).await;
    let version = house.begin("a", 1).await;
    let delete = || catalog.delete_datastore(house.id);

    assert_eq!(delete().await, Err(CatalogError::NotEmpty));
    house.commit(version).await.unwrap();
    assert_eq!(delete().await, Err(CatalogError::NotEmpty));
    house.delete("a", Some(2)).await;
    house.delete_version("a", version).await;
    assert_eq!(delete().await, Err(CatalogError::NotEmpty));
    house.delete_version("a", crate::house::version_id(2)).await;

    delete().await.unwrap();
    assert_eq!(delete().await, Err(CatalogError::NoSuchDatastore));
    assert_eq!(house.garbage().await.len(), 1);
}

async fn nothing_is_done_in_a_datastore_that_is_not_there(catalog: Catalog) {
    let house = House {
        catalog: catalog.clone(),
        id: datastore_id(9),
    };
    let intent = house.intent("a", crate::house::version_id(1));
    let gone = CatalogError::NoSuchDatastore;

    assert_eq!(catalog.begin(intent, &[]).await, Err(gone.clone()));
    let update = catalog.update_datastore(house.id, None, Some(true), None);
    assert_eq!(update.await, Err(gone.clone()));
    let rewrap = catalog.rewrap_datastore(house.id, 1, Bytes::new(), 2);
    assert_eq!(rewrap.await, Err(gone));
    assert_eq!(house.current("a").await, None);
    assert_eq!(house.keys().await, [""; 0]);
}

async fn a_quota_bounds_the_bytes_of_all_versions(catalog: Catalog) {
    let house = House::new(catalog.clone(), true).await;
    let quota = catalog.update_datastore(house.id, None, None, Some(Some(250)));
    quota.await.unwrap();
    house.put("a", 1).await;
    house.put("a", 2).await;

    let third = house.begin("b", 3).await;
    let refused = house.commit(third).await;

    assert_eq!(
        refused,
        Err(CatalogError::QuotaExceeded {
            quota_bytes: 250,
            used_bytes: 200,
            size_bytes: 100
        })
    );
    assert_eq!(house.datastore().await.used_bytes, 200);
    let smaller = Commit {
        size: 50,
        ..commit(third)
    };
    catalog.commit_object(smaller).await.unwrap();
    assert_eq!(house.datastore().await.used_bytes, 250);
}

async fn what_a_version_supersedes_makes_room_for_it(catalog: Catalog) {
    let house = House::new(catalog.clone(), false).await;
    let quota = catalog.update_datastore(house.id, None, None, Some(Some(100)));
    quota.await.unwrap();
    house.put("a", 1).await;

    house.put("a", 2).await;

    assert_eq!(house.datastore().await.used_bytes, 100);
}

async fn usage_is_the_sum_over_a_tenants_datastores(catalog: Catalog) {
    let house = House::new(catalog.clone(), true).await;
    let second = datastore(2, "orders", true);
    catalog.create_datastore(&second).await.unwrap();
    let orders = House {
        catalog: catalog.clone(),
        id: second.id,
    };
    house.put("a", 1).await;
    house.put("a", 2).await;
    house.put("b", 3).await;
    house.delete("b", Some(4)).await;
    orders.put("c", 5).await;
    orders.begin("d", 6).await;

    assert_eq!(
        catalog.usage(TENANT).await.unwrap(),
        Usage {
            datastores: 2,
            objects: 2,
            versions: 5,
            bytes: 400,
            stored_bytes: 4 * SEGMENT_STORED,
        }
    );
    assert_eq!(
        catalog.usage(TenantId([8; 32])).await.unwrap(),
        Usage::default()
    );
}
