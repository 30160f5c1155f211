//! Opening what was made before, by this version or by another.

use sc_metadata::{Catalog, CatalogError};

use crate::engines::{client, folder, with_schema};
use crate::house::{House, datastore_id};

const TAKE_A_STEP: &str = "INSERT INTO schema_step (number) VALUES (99)";

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Runtime::new().unwrap()
}

fn is_newer(opened: Result<Catalog, CatalogError>) -> bool {
    matches!(opened, Err(CatalogError::NewerSchema { found: 99, known }) if known < 99)
}

/// Two catalogues over the same database, one after the other.
async fn keeps_its_objects(first: Catalog, again: impl AsyncFnOnce() -> Catalog) {
    let house = House::new(first, true).await;
    let version = house.put("a", 1).await;
    drop(house);

    let house = House {
        catalog: again().await,
        id: datastore_id(1),
    };

    assert_eq!(house.current("a").await, Some(version));
    house.put("a", 2).await;
}

#[test]
fn a_file_that_is_opened_again_has_its_objects() {
    let (_folder, path) = folder();
    runtime().block_on(async {
        let first = Catalog::sqlite(&path).await.unwrap();
        keeps_its_objects(first, async || Catalog::sqlite(&path).await.unwrap()).await;
    });
}

#[test]
fn a_server_that_is_connected_to_again_has_its_objects() {
    with_schema(async |url| {
        let first = Catalog::postgres(&url).await.unwrap();
        keeps_its_objects(first, async || Catalog::postgres(&url).await.unwrap()).await;
    });
}

#[test]
fn a_file_of_a_newer_schema_is_refused_and_left_alone() {
    let (_folder, path) = folder();
    runtime().block_on(async {
        drop(Catalog::sqlite(&path).await.unwrap());
        let connection = rusqlite::Connection::open(&path).unwrap();
        connection.execute_batch(TAKE_A_STEP).unwrap();

        assert!(is_newer(Catalog::sqlite(&path).await));
        connection
            .execute_batch("DELETE FROM schema_step WHERE number = 99")
            .unwrap();
        assert!(Catalog::sqlite(&path).await.is_ok());
    });
}

#[test]
fn a_server_with_a_newer_schema_is_refused() {
    with_schema(async |url| {
        drop(Catalog::postgres(&url).await.unwrap());
        client(&url).await.batch_execute(TAKE_A_STEP).await.unwrap();

        assert!(is_newer(Catalog::postgres(&url).await));
    });
}

#[test]
fn of_several_that_open_an_empty_server_one_makes_the_tables() {
    with_schema(async |url| {
        let opened = (0..4).map(|_| {
            let url = url.clone();
            tokio::spawn(async move { Catalog::postgres(&url).await.map(drop) })
        });
        for opened in opened.collect::<Vec<_>>() {
            assert_eq!(opened.await.unwrap(), Ok(()));
        }
    });
}

#[test]
fn what_is_no_database_is_refused() {
    let (_folder, path) = folder();
    std::fs::write(
        &path,
        "this is a letter, and not a database at all. ".repeat(100),
    )
    .unwrap();
    runtime().block_on(async {
        let opened = Catalog::sqlite(&path).await;
        assert!(
            matches!(opened, Err(CatalogError::Corrupt(_))),
            "{opened:?}"
        );
        let nowhere = Catalog::sqlite(&path.join("below")).await;
        assert!(matches!(nowhere, Err(CatalogError::Unavailable(_))));
        let no_url = Catalog::postgres("sqlite:/there").await;
        assert!(matches!(no_url, Err(CatalogError::Invalid(_))));
    });
}

#[test]
fn a_copy_is_whole_and_takes_no_place_and_knows_that_it_was_restored() {
    let (_folder, path) = folder();
    runtime().block_on(async {
        let copy = path.with_extension("copy");
        let house = House::new(Catalog::sqlite(&path).await.unwrap(), true).await;
        let version = house.put("a", 1).await;

        sc_metadata::back_up(&path, &copy).unwrap();
        house.put("a", 2).await;

        let again = sc_metadata::back_up(&path, &copy);
        assert!(matches!(again, Err(sc_metadata::BackupError::IsThere(_))));
        sc_metadata::mark_restored(&copy).unwrap();
        let house = House {
            catalog: Catalog::sqlite(&copy).await.unwrap(),
            id: datastore_id(1),
        };
        assert_eq!(house.current("a").await, Some(version));
        assert_eq!(house.catalog.is_rebuild_due().await, Ok(true));
    });
}

#[test]
fn what_is_no_catalogue_is_not_copied() {
    let (_folder, path) = folder();
    let copy = path.with_extension("copy");
    std::fs::write(&path, "this is a letter, and no database".repeat(100)).unwrap();

    assert!(sc_metadata::back_up(&path, &copy).is_err());
    assert!(!copy.exists());
}
