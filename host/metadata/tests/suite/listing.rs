//! Listings, page by page, against what they should be.

use std::collections::BTreeSet;

use sc_metadata::{Catalog, CatalogError, Cursor, Key, VersionId};

use crate::engines::on_every_engine;
use crate::house::{House, key, version_id};

on_every_engine!(
    pages_of_any_size_make_up_the_listing,
    keys_of_greatest_bytes_are_listed,
    a_page_goes_on_inside_a_common_prefix,
    a_page_goes_on_after_a_common_prefix,
    a_page_that_ends_with_the_listing_has_no_next,
    versions_are_listed_newest_first_across_pages,
    markers_are_listed_with_versions_alone,
    other_datastores_are_not_listed,
    a_delimiter_may_be_long_and_not_empty,
);

const NAMES: [&str; 12] = [
    "a", "a/1", "a/2", "a/b/1", "a/b/2", "a0", "b/1", "b//2", "c", "d/", "d/e/f", "z",
];

async fn filled(catalog: Catalog) -> House {
    let house = House::new(catalog, true).await;
    for (number, name) in (1..).zip(NAMES) {
        house.put(name, number).await;
    }
    house
}

/// What a page shows: keys and common prefixes, in order.
type Shown = Vec<(Key, bool)>;

/// A listing as its definition has it.
fn expected(prefix: &[u8], delimiter: Option<&[u8]>) -> Shown {
    let mut shown = BTreeSet::new();
    for name in NAMES.map(key) {
        let Some(rest) = name.strip_prefix(prefix) else {
            continue;
        };
        let at = delimiter.and_then(|delimiter| {
            rest.windows(delimiter.len())
                .position(|window| window == delimiter)
        });
        match at {
            Some(at) => {
                let length = prefix.len() + at + delimiter.unwrap().len();
                shown.insert((name.slice(..length), true))
            }
            None => shown.insert((name.clone(), false)),
        };
    }
    shown.into_iter().collect()
}

/// All pages of a listing of objects, or of versions.
async fn pages(
    house: &House,
    of_versions: bool,
    prefix: &[u8],
    delimiter: Option<&[u8]>,
    limit: usize,
) -> Shown {
    let mut shown = Vec::new();
    let mut after: Option<Cursor> = None;
    loop {
        let after_ref = after.as_ref();
        let page = if of_versions {
            house
                .catalog
                .list_versions(house.id, prefix, delimiter, after_ref, limit)
                .await
        } else {
            house
                .catalog
                .list(house.id, prefix, delimiter, after_ref, limit)
                .await
        };
        let page = page.unwrap();
        let count = page.versions.len() + page.prefixes.len();
        assert!(count <= limit);
        let mut of_page: Shown = page
            .versions
            .into_iter()
            .map(|version| (version.key, false))
            .chain(page.prefixes.into_iter().map(|prefix| (prefix, true)))
            .collect();
        of_page.sort();
        shown.extend(of_page);
        match page.next {
            None => return shown,
            Some(next) => {
                assert_eq!(count, limit, "a page with a next one is full");
                after = Some(next);
            }
        }
    }
}

async fn pages_of_any_size_make_up_the_listing(catalog: Catalog) {
    let house = filled(catalog).await;
    for prefix in [&b""[..], b"a", b"a/", b"a/b/", b"b/", b"d/", b"nothing"] {
        for delimiter in [None, Some(&b"/"[..])] {
            for limit in [1, 2, 3, 100] {
                for of_versions in [false, true] {
                    let shown = pages(&house, of_versions, prefix, delimiter, limit).await;
                    let said = (prefix, delimiter, limit, of_versions);
                    assert_eq!(shown, expected(prefix, delimiter), "{said:?}");
                }
            }
        }
    }
}

async fn keys_of_greatest_bytes_are_listed(catalog: Catalog) {
    let house = House::new(catalog.clone(), true).await;
    let keys = [
        vec![0xfe],
        vec![0xfe, 0xff, 1],
        vec![0xff],
        vec![0xff, 0xff],
        vec![0xff, 0xff, 0x2f, 1],
        vec![0xff; 1024],
    ];
    for (number, key) in (1..).zip(&keys) {
        let mut intent = house.intent("x", version_id(number));
        intent.key = Key::copy_from_slice(key);
        catalog.begin(intent, &[]).await.unwrap();
        house.commit(version_id(number)).await.unwrap();
    }
    let list = async |prefix: &[u8], delimiter: Option<&[u8]>| {
        catalog
            .list(house.id, prefix, delimiter, None, 100)
            .await
            .unwrap()
    };

    assert_eq!(house.keys().await, keys);
    for (prefix, count) in [(&[0xff][..], 4), (&[0xff, 0xff], 3), (&[0xfe, 0xff], 1)] {
        assert_eq!(list(prefix, None).await.versions.len(), count, "{prefix:?}");
    }
    let grouped = list(b"", Some(b"\xff")).await;
    assert_eq!(grouped.prefixes, [&b"\xfe\xff"[..], b"\xff"]);
    assert_eq!(grouped.versions.len(), 1);
    let slashed = list(b"\xff", Some(b"/")).await;
    assert_eq!(slashed.prefixes, [&b"\xff\xff/"[..]]);
    assert_eq!(slashed.versions.len(), 3);
}

async fn a_page_goes_on_inside_a_common_prefix(catalog: Catalog) {
    let house = filled(catalog.clone()).await;
    let inside = Cursor {
        key: key("a/1"),
        number: None,
        is_prefix: false,
    };

    let page = catalog
        .list(house.id, b"", Some(b"/"), Some(&inside), 2)
        .await
        .unwrap();

    assert_eq!(page.prefixes, ["a/"]);
    assert_eq!(page.versions[0].key, "a0");
}

async fn a_page_goes_on_after_a_common_prefix(catalog: Catalog) {
    let house = filled(catalog.clone()).await;
    let behind = Cursor {
        key: key("a/"),
        number: None,
        is_prefix: true,
    };
    let before = Cursor {
        key: key("A"),
        number: None,
        is_prefix: false,
    };

    for of_versions in [false, true] {
        let list = async |prefix: &[u8], after| {
            let page = match of_versions {
                false => {
                    catalog
                        .list(house.id, prefix, Some(b"/"), Some(after), 1)
                        .await
                }
                true => {
                    catalog
                        .list_versions(house.id, prefix, Some(b"/"), Some(after), 1)
                        .await
                }
            };
            page.unwrap()
        };
        assert_eq!(list(b"", &behind).await.versions[0].key, "a0");
        assert_eq!(list(b"a/", &before).await.versions[0].key, "a/1");
        assert_eq!(list(b"a", &behind).await.versions[0].key, "a0");
    }
}

async fn a_page_that_ends_with_the_listing_has_no_next(catalog: Catalog) {
    let house = filled(catalog.clone()).await;
    let list = async |delimiter: Option<&[u8]>, limit| {
        let page = catalog
            .list(house.id, b"", delimiter, None, limit)
            .await
            .unwrap();
        page.next.is_some()
    };

    assert!(!list(None, NAMES.len()).await);
    assert!(list(None, NAMES.len() - 1).await);
    let grouped = expected(b"", Some(b"/")).len();
    assert!(!list(Some(b"/"), grouped).await);
    assert!(list(Some(b"/"), grouped - 1).await);
    let nothing = catalog.list(house.id, b"", None, None, 0).await.unwrap();
    assert_eq!((nothing.versions.len(), nothing.next), (0, None));
}

async fn versions_are_listed_newest_first_across_pages(catalog: Catalog) {
    let house = House::new(catalog.clone(), true).await;
    for (number, name) in [
        (1, "a"),
        (2, "b/x"),
        (3, "a"),
        (4, "b/x"),
        (5, "c"),
        (6, "a"),
    ] {
        house.put(name, number).await;
    }
    let collect = async |delimiter: Option<&[u8]>, limit| -> Vec<(VersionId, bool)> {
        let mut all = Vec::new();
        let mut after = None;
        loop {
            let page = catalog
                .list_versions(house.id, b"", delimiter, after.as_ref(), limit)
                .await
                .unwrap();
            all.extend(
                page.versions
                    .iter()
                    .map(|version| (version.id, version.is_current)),
            );
            match page.next {
                None => return all,
                next => after = next,
            }
        }
    };

    let plain = [
        (6, true),
        (3, false),
        (1, false),
        (4, true),
        (2, false),
        (5, true),
    ];
    let grouped = [(6, true), (3, false), (1, false), (5, true)];
    for limit in 1..=7 {
        let ids = |list: &[(u64, bool)]| -> Vec<_> {
            list.iter()
                .map(|(number, is_current)| (version_id(*number), *is_current))
                .collect()
        };
        assert_eq!(collect(None, limit).await, ids(&plain), "{limit}");
        assert_eq!(collect(Some(b"/"), limit).await, ids(&grouped), "{limit}");
    }
}

async fn markers_are_listed_with_versions_alone(catalog: Catalog) {
    let house = House::new(catalog.clone(), true).await;
    house.put("a", 1).await;
    house.delete("a", Some(2)).await;
    house.delete("b/x", Some(3)).await;
    house.put("c", 4).await;

    let objects = catalog
        .list(house.id, b"", Some(b"/"), None, 9)
        .await
        .unwrap();
    let versions = catalog
        .list_versions(house.id, b"", Some(b"/"), None, 9)
        .await
        .unwrap();

    assert_eq!((objects.versions.len(), objects.prefixes.len()), (1, 0));
    assert_eq!((versions.versions.len(), versions.prefixes.len()), (3, 1));
}

async fn other_datastores_are_not_listed(catalog: Catalog) {
    let house = filled(catalog.clone()).await;
    for number in [0, 2] {
        let other = crate::house::datastore(number, &format!("other-{number}"), true);
        catalog.create_datastore(&other).await.unwrap();
        let other = House {
            catalog: catalog.clone(),
            id: other.id,
        };
        other.put("a/3", 100 + u64::from(number)).await;
    }

    assert_eq!(house.keys().await.len(), NAMES.len());
    assert_eq!(pages(&house, true, b"", None, 5).await.len(), NAMES.len());
}

async fn a_delimiter_may_be_long_and_not_empty(catalog: Catalog) {
    let house = filled(catalog.clone()).await;

    let long = catalog
        .list(house.id, b"", Some(b"//"), None, 100)
        .await
        .unwrap();
    let empty = catalog.list(house.id, b"", Some(b""), None, 100).await;

    assert_eq!(long.prefixes, ["b//"]);
    assert_eq!(long.versions.len(), NAMES.len() - 1);
    assert!(matches!(empty, Err(CatalogError::Invalid(_))));
}
