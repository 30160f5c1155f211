//! Garbage: when it is handed out, and that nothing live is.

use sc_metadata::Catalog;

use crate::engines::on_every_engine;
use crate::house::{DUE, House, segment};

on_every_engine!(
    garbage_is_handed_out_when_it_is_due_and_until_it_is_forgotten,
    the_longest_due_comes_first,
    a_live_segment_is_not_forgotten,
);

async fn garbage_is_handed_out_when_it_is_due_and_until_it_is_forgotten(catalog: Catalog) {
    let house = House::new(catalog.clone(), false).await;
    let version = house.put("a", 1).await;
    house.delete("a", None).await;
    let expected = segment(version, 0, 0, 0);

    assert_eq!(catalog.garbage(DUE - 1, 9).await.unwrap(), []);
    for _ in 0..2 {
        assert_eq!(
            catalog.garbage(DUE, 9).await.unwrap(),
            vec![expected.clone()]
        );
    }
    catalog.forget_segments(&[expected.id]).await.unwrap();
    catalog.forget_segments(&[expected.id]).await.unwrap();
    assert_eq!(catalog.garbage(DUE, 9).await.unwrap(), []);
}

async fn the_longest_due_comes_first(catalog: Catalog) {
    let house = House::new(catalog.clone(), true).await;
    for (number, due_ms) in [(1, 30), (2, 10), (3, 20)] {
        let version = house.begin("a", number).await;
        catalog.abandon(version, due_ms).await.unwrap();
    }

    let garbage = catalog.garbage(30, 2).await.unwrap();

    let versions: Vec<_> = garbage.into_iter().map(|segment| segment.version).collect();
    assert_eq!(versions, [2, 3].map(crate::house::version_id));
}

async fn a_live_segment_is_not_forgotten(catalog: Catalog) {
    let house = House::new(catalog.clone(), true).await;
    let committed = segment(house.put("a", 1).await, 0, 0, 0);
    let begun = segment(house.begin("a", 2).await, 0, 0, 0);

    catalog
        .forget_segments(&[committed.id, begun.id])
        .await
        .unwrap();

    for live in [committed, begun] {
        assert_eq!(catalog.segments(live.version, 0..9).await.unwrap(), [live]);
    }
}
