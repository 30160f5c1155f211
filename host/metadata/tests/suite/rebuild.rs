//! A catalogue that is made again of what was found: what is merged, what is not, and that it is a merge.

use bytes::Bytes;
use sc_metadata::{
    Catalog, CatalogError, DatastoreId, Found, FoundDatastore, FoundFragment, FoundRemoval,
    FoundSegment, FoundVersion, FragmentState, Merged, MergedDatastore, Noted, SegmentId, Subject,
    VersionId,
};

use crate::engines::on_every_engine;
use crate::house::{DUE, House, NOW, TENANT, datastore, datastore_id, key, segment, version_id};

on_every_engine!(
    found_versions_are_there_when_their_datastore_is,
    merging_again_changes_nothing,
    the_greatest_number_is_current_whatever_the_order,
    without_versioning_only_the_greatest_number_remains,
    versions_of_when_the_datastore_kept_them_stay,
    what_a_removal_is_about_goes_and_does_not_come_back,
    what_the_catalogue_knows_to_be_gone_does_not_come_back,
    an_intent_gives_way_to_the_version_that_it_became,
    fragments_are_where_they_were_found,
    what_was_placed_anew_has_other_names,
    a_move_that_the_catalogue_saw_begin_is_the_versions,
    another_version_of_a_number_is_left_out,
    a_policy_in_use_is_not_replaced,
    settings_count_by_their_changes,
    settings_that_were_guessed_give_way_until_they_are_all_there_is,
    a_change_made_while_locations_may_be_missing_counts_above_what_is_found_later,
    a_datastore_that_was_deleted_is_not_there,
    records_count_by_their_changes,
    a_change_is_owed_until_it_is_kept,
    the_files_of_a_removal_go_last,
    the_files_of_a_removal_stay_while_there_may_be_locations_that_are_not_known,
    a_rebuild_is_due_until_it_is_done,
);

fn found_segment(version: VersionId) -> FoundSegment {
    let stored = segment(version, 0, 0, 0);
    let fragments = (0..3).zip(stored.fragments).map(|(at, it)| FoundFragment {
        name: it.name,
        at: vec![at],
        planned: at,
        others: Vec::new(),
    });
    FoundSegment {
        id: stored.id,
        part: 0,
        index: 0,
        plain_bytes: 100,
        record: stored.record,
        fragment_bytes: 50,
        fragments: fragments.collect(),
    }
}

/// A version of 100 bytes as a rebuild finds it.
fn version(name: &str, number: u64) -> FoundVersion {
    let id = version_id(number);
    FoundVersion {
        key: key(name),
        id,
        number,
        size: 100,
        created_ms: NOW,
        policy: "standard".to_owned(),
        policy_version: 3,
        is_marker: false,
        head: Bytes::from_static(b"head"),
        body: Bytes::from_static(b"body"),
        tags: vec![[9; 16]],
        segments: vec![found_segment(id)],
        is_removed: false,
        is_moved: false,
        manifest: id,
        placed: number,
        is_owed: false,
    }
}

fn marker(name: &str, number: u64) -> FoundVersion {
    FoundVersion {
        size: 0,
        policy: String::new(),
        policy_version: 0,
        is_marker: true,
        body: Bytes::new(),
        tags: Vec::new(),
        segments: Vec::new(),
        ..version(name, number)
    }
}

fn found(versioning: bool, versions: Vec<FoundVersion>) -> Found {
    Found {
        datastore: datastore_id(1),
        versioning,
        switches: Vec::new(),
        locations: (0..3).map(|at| format!("site-{at}")).collect(),
        listed: vec![true; 3],
        lost: vec![false; 3],
        versions,
        due_ms: DUE,
    }
}

fn settings(versioning: bool, change: u64) -> FoundDatastore {
    FoundDatastore {
        datastore: datastore(1, "readings", versioning),
        switches: Vec::new(),
        is_gone: false,
        change,
        is_kept: true,
        oldest: 1,
        last_number: 0,
    }
}

/// A catalogue that was made again of these versions.
async fn rebuilt(catalog: Catalog, found: Found) -> House {
    let numbers = found.versions.iter().map(|it| it.number);
    let last_number = numbers.max().unwrap_or(0);
    let versioning = found.versioning;
    catalog.merge_versions(found).await.unwrap();
    let merged = FoundDatastore {
        last_number,
        ..settings(versioning, 1)
    };
    catalog.merge_datastore(merged).await.unwrap();
    House {
        catalog,
        id: datastore_id(1),
    }
}

async fn found_versions_are_there_when_their_datastore_is(catalog: Catalog) {
    let all = found(true, vec![version("a", 1), version("b", 2), marker("b", 4)]);
    let merged = catalog.merge_versions(all.clone()).await.unwrap();
    assert_eq!(catalog.datastore_by_id(datastore_id(1)).await, Ok(None));

    let house = rebuilt(catalog.clone(), all).await;

    assert_eq!(merged.added, 3);
    assert_eq!(house.keys().await, ["a"]);
    let datastore = house.datastore().await;
    assert_eq!((datastore.objects, datastore.used_bytes), (1, 200));
    let usage = catalog.usage(TENANT).await.unwrap();
    assert_eq!((usage.versions, usage.stored_bytes), (3, 300));
    let (head, body, segments) = house.open("a", None, 0..9).await.unwrap();
    assert_eq!((&head.head[..], &body[..]), (&b"head"[..], &b"body"[..]));
    assert_eq!(segments, [segment(version_id(1), 0, 0, 0)]);
    let tagged = catalog.search(house.id, [9; 16], None, 9).await.unwrap();
    assert_eq!(tagged.len(), 1);
    // Numbers go on above what was seen.
    let next = house.begin("c", 9).await;
    assert_eq!(catalog.intent(next).await.unwrap().unwrap().number, 5);
}

async fn merging_again_changes_nothing(catalog: Catalog) {
    let all = found(
        false,
        vec![version("a", 1), version("a", 2), version("b", 3)],
    );
    let house = rebuilt(catalog, all.clone()).await;
    let expected = (
        house.versions().await,
        house.garbage().await,
        house.datastore().await,
    );

    let merged = house.catalog.merge_versions(all.clone()).await.unwrap();
    let same = house.catalog.merge_datastore(settings(false, 1)).await;

    let known = Merged {
        known: 2,
        gone: 1,
        ..Merged::default()
    };
    assert_eq!((merged, same), (known, Ok(MergedDatastore::Same)));
    let now = (
        house.versions().await,
        house.garbage().await,
        house.datastore().await,
    );
    assert_eq!(now, expected);
    // What was made as ever is known again, too.
    house.put("c", 9).await;
    let put = FoundVersion {
        number: 4,
        ..version("c", 9)
    };
    let merged = house.catalog.merge_versions(found(false, vec![put])).await;
    assert_eq!(merged.unwrap().known, 1);
}

async fn the_greatest_number_is_current_whatever_the_order(catalog: Catalog) {
    let all = vec![
        version("a", 2),
        version("a", 3),
        version("a", 1),
        marker("b", 6),
        version("b", 5),
    ];
    let house = rebuilt(catalog, found(true, all)).await;

    assert_eq!(house.current("a").await, Some(version_id(3)));
    assert_eq!(house.current("b").await, None);
    assert_eq!(house.versions().await.len(), 5);
    assert_eq!(house.keys().await, ["a"]);
}

async fn without_versioning_only_the_greatest_number_remains(catalog: Catalog) {
    let all = vec![version("a", 2), version("a", 3), version("a", 1)];
    let house = rebuilt(catalog, found(false, all)).await;

    assert_eq!(house.versions().await.len(), 1);
    assert_eq!(house.current("a").await, Some(version_id(3)));
    let gone = [1, 2].map(|number| segment(version_id(number), 0, 0, 0).id);
    assert_eq!(house.garbage().await, gone);
    // Their manifests go, too.
    let removals = house.catalog.removals(DUE, 9).await.unwrap();
    assert_eq!(removals.len(), 2);
    let datastore = house.datastore().await;
    assert_eq!((datastore.objects, datastore.used_bytes), (1, 100));
}

async fn versions_of_when_the_datastore_kept_them_stay(catalog: Catalog) {
    // It kept none up to number 10, then did up to 20.
    let all = Found {
        switches: vec![10, 20],
        ..found(
            false,
            vec![
                version("a", 1),
                version("a", 2),
                version("a", 11),
                version("b", 12),
                version("b", 21),
            ],
        )
    };
    let house = rebuilt(catalog, all).await;

    let versions = house.versions().await;
    let numbers: Vec<_> = versions.iter().map(|it| it.number).collect();
    assert_eq!(numbers, [11, 2, 21]);
}

async fn what_a_removal_is_about_goes_and_does_not_come_back(catalog: Catalog) {
    let house = House::new(catalog.clone(), true).await;
    let removal = |name: &str, version, number, word: u8| FoundRemoval {
        datastore: house.id,
        key: key(name),
        version,
        number,
        word: Some([word; 16]),
    };
    for number in 1..=3 {
        house.put("a", number).await;
    }
    house.put("b", 4).await;
    let removals = [
        removal("a", None, 2, 1),
        removal("b", Some(version_id(4)), 4, 2),
    ];

    assert_eq!(catalog.merge_removals(&removals, DUE).await, Ok(3));
    assert_eq!(catalog.merge_removals(&removals, DUE).await, Ok(0));

    assert_eq!(house.versions().await.len(), 1);
    let late = FoundVersion {
        is_removed: true,
        ..version("c", 7)
    };
    let merged = catalog
        .merge_versions(found(true, vec![version("a", 1), late]))
        .await;
    assert_eq!(merged.unwrap().gone, 2);
    assert_eq!(house.versions().await.len(), 1);
    let words: Vec<_> = catalog.removals(DUE, 99).await.unwrap();
    let words = words.iter().filter(|it| !it.words.is_empty());
    assert_eq!(words.count(), 2);
}

async fn what_the_catalogue_knows_to_be_gone_does_not_come_back(catalog: Catalog) {
    let house = House::new(catalog, false).await;
    house.put("a", 1).await;
    house.delete("a", None).await;

    let merged = house
        .catalog
        .merge_versions(found(false, vec![version("a", 1)]));

    assert_eq!(merged.await.unwrap().gone, 1);
    assert_eq!(house.versions().await, []);
}

async fn an_intent_gives_way_to_the_version_that_it_became(catalog: Catalog) {
    let house = House::new(catalog, false).await;
    let id = house.begin("a", 1).await;
    // An attempt that was replaced later.
    let other = segment(id, 0, 1, 7);
    house.add(&other).await.unwrap();

    let house = rebuilt(house.catalog, found(false, vec![version("a", 1)])).await;

    assert_eq!(house.current("a").await, Some(id));
    assert_eq!(house.catalog.intent(id).await, Ok(None));
    assert_eq!(house.garbage().await, [other.id]);
    let again = house.commit(id).await;
    assert_eq!(again, Err(CatalogError::VersionExists));
}

async fn fragments_are_where_they_were_found(catalog: Catalog) {
    let mut moved = version("a", 1);
    moved.segments[0].fragments[0].at = vec![2];
    moved.segments[0].fragments[1].at = Vec::new();
    let house = rebuilt(catalog, found(true, vec![moved.clone()])).await;
    let fragments = async || {
        let (_, _, segments) = house.open("a", None, 0..1).await.unwrap();
        let fragments = segments[0].fragments.iter();
        let each = fragments.map(|it| (it.location.clone(), it.state == FragmentState::Stored));
        each.collect::<Vec<_>>()
    };
    let expected = |each: [(&str, bool); 3]| each.map(|(at, is)| (at.to_owned(), is)).to_vec();
    let lying = expected([("site-2", true), ("site-1", false), ("site-2", true)]);
    assert_eq!(fragments().await, lying);
    assert_eq!(house.catalog.owed(None, 9).await.unwrap().len(), 1);

    // It turns up; another one is gone; one is in two places, and stays where it was.
    moved.segments[0].fragments[1].at = vec![1];
    moved.segments[0].fragments[0].at = Vec::new();
    moved.segments[0].fragments[2].at = vec![0, 2];
    let merged = house
        .catalog
        .merge_versions(found(true, vec![moved.clone()]));
    assert_eq!(merged.await.unwrap().moved, 1);
    let lying = expected([("site-2", false), ("site-1", true), ("site-2", true)]);
    assert_eq!(fragments().await, lying);

    // A location that was not looked at may hold what it held.
    moved.segments[0].fragments[1].at = Vec::new();
    let mut all = found(true, vec![moved]);
    all.listed[1] = false;
    assert_eq!(house.catalog.merge_versions(all).await.unwrap().moved, 0);
}

async fn what_was_placed_anew_has_other_names(catalog: Catalog) {
    let house = rebuilt(catalog, found(true, vec![version("a", 1)])).await;
    let mut moved = version("a", 1);
    moved.is_moved = true;
    (moved.manifest, moved.placed) = (version_id(50), 50);
    moved.policy = "other".to_owned();
    moved.segments[0].id = SegmentId([8; 32]);
    for fragment in &mut moved.segments[0].fragments {
        fragment.name = format!("new-{}", fragment.name);
    }

    for moves in [1, 0] {
        let merged = house
            .catalog
            .merge_versions(found(true, vec![moved.clone()]));
        assert_eq!(merged.await.unwrap().moved, moves);
    }

    let (version, _, segments) = house.open("a", None, 0..9).await.unwrap();
    assert_eq!((&*version.policy, segments.len()), ("other", 1));
    assert!(segments[0].fragments[0].name.starts_with("new-"));
    let placing = house.catalog.placing(version.id).await.unwrap().unwrap();
    assert_eq!((placing.manifest, placing.number), (version_id(50), 50));
    assert_eq!(house.garbage().await, [segment(version.id, 0, 0, 0).id]);
}

async fn a_move_that_the_catalogue_saw_begin_is_the_versions(catalog: Catalog) {
    let house = rebuilt(catalog, found(true, vec![version("a", 1)])).await;
    let placing = version_id(50);
    let placed = segment(placing, 0, 0, 0);
    let intent = house.intent("a", placing);
    let segments = std::slice::from_ref(&placed);
    house.catalog.begin(intent, segments).await.unwrap();
    let mut moved = version("a", 1);
    moved.is_moved = true;
    (moved.manifest, moved.placed) = (placing, 50);
    moved.segments[0].id = placed.id;

    let merged = house.catalog.merge_versions(found(true, vec![moved]));
    assert_eq!(merged.await.unwrap().moved, 1);

    assert_eq!(house.catalog.intent(placing).await.unwrap(), None);
    let expired = house.catalog.expire_intent(placing, u64::MAX >> 1, DUE);
    assert!(!expired.await.unwrap());
    let (_, _, segments) = house.open("a", None, 0..9).await.unwrap();
    assert_eq!(segments[0].id, placed.id);
    assert!(!house.garbage().await.contains(&placed.id));
}

async fn another_version_of_a_number_is_left_out(catalog: Catalog) {
    let other = FoundVersion {
        number: 1,
        ..version("a", 2)
    };

    let merged = catalog
        .merge_versions(found(true, vec![version("a", 1), other]))
        .await;

    let merged = merged.unwrap();
    assert_eq!((merged.added, merged.contradicting), (1, 1));
}

async fn a_policy_in_use_is_not_replaced(catalog: Catalog) {
    assert_eq!(catalog.merge_policy("standard", 3, "one").await, Ok(true));
    assert_eq!(catalog.merge_policy("standard", 3, "two").await, Ok(true));
    let house = rebuilt(catalog, found(true, vec![version("a", 1)])).await;

    let catalog = &house.catalog;
    assert_eq!(catalog.merge_policy("standard", 3, "two").await, Ok(true));
    assert_eq!(
        catalog.merge_policy("standard", 3, "three").await,
        Ok(false)
    );

    let policy = catalog.policy("standard", Some(3)).await.unwrap().unwrap();
    assert_eq!(policy.definition, "two");
}

fn subject(id: DatastoreId) -> Subject {
    Subject::Datastore(TENANT, id)
}

async fn settings_count_by_their_changes(catalog: Catalog) {
    let house = House::new(catalog.clone(), false).await;
    catalog
        .update_datastore(house.id, None, Some(true), None)
        .await
        .unwrap();
    let (note, noted) = catalog.note(&subject(house.id)).await.unwrap().unwrap();
    assert_eq!((note.change, note.kept), (2, 0));
    assert!(matches!(noted, Noted::Datastore(it, switches) if it.versioning && switches == [1]));

    let older = catalog.merge_datastore(settings(false, 2)).await;
    let newer = catalog.merge_datastore(settings(false, 3)).await;

    assert_eq!(older, Ok(MergedDatastore::Same));
    assert_eq!(newer, Ok(MergedDatastore::Changed));
    assert!(!house.datastore().await.versioning);
    let (note, _) = catalog.note(&subject(house.id)).await.unwrap().unwrap();
    assert_eq!((note.change, note.kept), (3, 3));
    let mut namesake = settings(false, 1);
    namesake.datastore.id = datastore_id(2);
    let taken = catalog.merge_datastore(namesake).await;
    assert_eq!(taken, Ok(MergedDatastore::NameTaken));
}

async fn settings_that_were_guessed_give_way_until_they_are_all_there_is(catalog: Catalog) {
    catalog.set_may_miss_locations(true).await.unwrap();
    let guess = FoundDatastore {
        is_kept: false,
        ..settings(true, 0)
    };
    let added = catalog.merge_datastore(guess.clone()).await;
    assert_eq!(added, Ok(MergedDatastore::Added));
    let note = async || {
        let (note, _) = catalog
            .note(&subject(datastore_id(1)))
            .await
            .unwrap()
            .unwrap();
        (note.change, note.kept, note.oldest)
    };
    assert_eq!(note().await, (0, 0, 0));
    assert_eq!(
        catalog.notes_due(9).await.unwrap(),
        [],
        "no location is to keep a guess"
    );
    assert_eq!(catalog.kept_notes().await.unwrap(), []);

    let mut first = settings(false, 1);
    first.datastore.created_ms = 7;
    let found = catalog.merge_datastore(first).await;
    let guessed_again = catalog.merge_datastore(guess).await;

    assert_eq!(found, Ok(MergedDatastore::Changed));
    assert_eq!(guessed_again, Ok(MergedDatastore::Same));
    let is = catalog
        .datastore_by_id(datastore_id(1))
        .await
        .unwrap()
        .unwrap();
    assert_eq!((is.versioning, is.created_ms), (false, 7));
    assert_eq!((note().await.0, note().await.1), (1, 1));

    // Of another the settings are nowhere.
    let mut other = FoundDatastore {
        is_kept: false,
        ..settings(true, 0)
    };
    other.datastore = datastore(2, "other", true);
    catalog.merge_datastore(other).await.unwrap();
    catalog.set_may_miss_locations(false).await.unwrap();
    let due = catalog.notes_due(9).await.unwrap();
    let due = due.iter().find(|it| it.subject == subject(datastore_id(2)));
    assert_eq!(due.map(|it| it.change), Some(1));
}

async fn the_files_of_a_removal_stay_while_there_may_be_locations_that_are_not_known(
    catalog: Catalog,
) {
    let house = House::new(catalog.clone(), false).await;
    house.put("a", 1).await;
    house.delete("a", None).await;
    catalog
        .name_removal(house.id, &key("a"), [1; 16])
        .await
        .unwrap();
    let garbage = house.garbage().await;
    catalog.forget_segments(&garbage).await.unwrap();
    let removal = catalog.removals(DUE, 9).await.unwrap().pop().unwrap();

    for may_miss in [true, false] {
        catalog.set_may_miss_locations(may_miss).await.unwrap();
        assert_eq!(catalog.may_miss_locations().await, Ok(may_miss));
        assert_eq!(catalog.are_words_spent(&removal).await, Ok(!may_miss));
    }
}

async fn a_change_made_while_locations_may_be_missing_counts_above_what_is_found_later(
    catalog: Catalog,
) {
    catalog.set_may_miss_locations(true).await.unwrap();
    let guess = FoundDatastore {
        is_kept: false,
        ..settings(true, 0)
    };
    catalog.merge_datastore(guess).await.unwrap();
    let token = Subject::Record {
        tenant: TENANT,
        kind: "token".into(),
        id: "a".into(),
    };
    let sealed = Some(Bytes::from_static(b"good"));
    catalog
        .merge_record(&token, sealed.clone(), 3, 3, true)
        .await
        .unwrap();

    let off = catalog.update_datastore(datastore_id(1), None, Some(false), None);
    off.await.unwrap();
    catalog.delete_record(TENANT, "token", "a").await.unwrap();

    let older = catalog.merge_datastore(settings(true, 9)).await;
    assert_eq!(older, Ok(MergedDatastore::Same));
    assert!(
        !catalog
            .merge_record(&token, sealed, 5, 5, true)
            .await
            .unwrap()
    );
    let is = catalog
        .datastore_by_id(datastore_id(1))
        .await
        .unwrap()
        .unwrap();
    assert!(!is.versioning);
    assert_eq!(catalog.record(TENANT, "token", "a").await, Ok(None));
    // What says that it is gone stays as long.
    let (note, _) = catalog.note(&token).await.unwrap().unwrap();
    catalog.note_kept(&token, note.change).await.unwrap();
    catalog.note_dropped(&token, note.change).await.unwrap();
    assert_eq!(catalog.notes_gone(9).await.unwrap(), []);
    catalog.set_may_miss_locations(false).await.unwrap();
    assert_eq!(catalog.notes_gone(9).await.unwrap().len(), 1);
}

async fn a_datastore_that_was_deleted_is_not_there(catalog: Catalog) {
    let house = House::new(catalog.clone(), false).await;
    let gone = FoundDatastore {
        is_gone: true,
        ..settings(false, 4)
    };

    assert_eq!(
        catalog.merge_datastore(gone).await,
        Ok(MergedDatastore::Gone)
    );

    assert_eq!(catalog.datastore_by_id(house.id).await, Ok(None));
    let (note, noted) = catalog.note(&subject(house.id)).await.unwrap().unwrap();
    assert_eq!((note.change, noted), (4, Noted::Gone));
}

async fn records_count_by_their_changes(catalog: Catalog) {
    let subject = Subject::Record {
        tenant: TENANT,
        kind: "token".into(),
        id: "a".into(),
    };
    let merge = async |sealed: Option<&'static [u8]>, change| {
        let sealed = sealed.map(Bytes::from_static);
        let merged = catalog.merge_record(&subject, sealed, change, 1, true);
        merged.await.unwrap()
    };

    assert!(merge(Some(b"2"), 2).await);
    assert!(!merge(Some(b"1"), 1).await);
    assert!(!merge(Some(b"2"), 2).await);
    let record = catalog.record(TENANT, "token", "a").await.unwrap();
    assert_eq!(record.as_deref(), Some(&b"2"[..]));
    assert!(merge(None, 3).await);
    assert_eq!(catalog.record(TENANT, "token", "a").await, Ok(None));
    assert_eq!(catalog.kept_notes().await.unwrap().len(), 1);
}

async fn a_change_is_owed_until_it_is_kept(catalog: Catalog) {
    catalog
        .put_record(TENANT, "token", "a", Bytes::from_static(b"1"), false)
        .await
        .unwrap();
    let due = async || catalog.notes_due(9).await.unwrap();
    let note = due().await.pop().unwrap();
    assert_eq!((note.change, note.kept, note.oldest), (1, 0, 1));
    catalog.note_kept(&note.subject, 1).await.unwrap();
    assert_eq!(due().await, []);

    assert_eq!(catalog.delete_record(TENANT, "token", "a").await, Ok(true));
    assert_eq!(due().await.len(), 1);
    catalog.note_kept(&note.subject, 2).await.unwrap();
    assert_eq!(due().await.len(), 1, "there may be an older copy");
    assert_eq!(catalog.notes_gone(9).await.unwrap(), []);
    catalog.note_dropped(&note.subject, 2).await.unwrap();

    assert_eq!(due().await, []);
    assert_eq!(catalog.notes_gone(9).await.unwrap().len(), 1);
    catalog.forget_note(&note.subject, 1).await.unwrap();
    assert_eq!(catalog.notes_gone(9).await.unwrap().len(), 1);
    catalog.forget_note(&note.subject, 2).await.unwrap();
    assert_eq!(catalog.note(&note.subject).await, Ok(None));
}

async fn the_files_of_a_removal_go_last(catalog: Catalog) {
    let house = House::new(catalog.clone(), false).await;
    house.put("a", 1).await;
    house.put("a", 2).await;
    let none = catalog.name_removal(house.id, &key("b"), [1; 16]).await;
    assert_eq!(none, Ok(None));
    house.delete("a", None).await;

    for _ in 0..2 {
        let named = catalog.name_removal(house.id, &key("a"), [1; 16]).await;
        assert_eq!(named, Ok(Some(2)));
    }

    let removals = catalog.removals(DUE, 9).await.unwrap();
    let (older, last) = (&removals[0], &removals[1]);
    assert_eq!((older.words.len(), last.words.len()), (0, 16));
    catalog.forget_removal(last.id).await.unwrap();
    assert_eq!(catalog.removals(DUE, 9).await.unwrap().len(), 2);
    assert_eq!(
        catalog.are_words_spent(last).await,
        Ok(false),
        "the older one is there"
    );
    catalog.forget_removal(older.id).await.unwrap();
    assert_eq!(
        catalog.are_words_spent(last).await,
        Ok(false),
        "its fragments are there"
    );
    let garbage = house.garbage().await;
    catalog.forget_segments(&garbage).await.unwrap();
    assert_eq!(catalog.are_words_spent(last).await, Ok(true));
    catalog.forget_words(last).await.unwrap();
    catalog.forget_removal(last.id).await.unwrap();
    assert_eq!(catalog.removals(DUE, 9).await.unwrap(), []);
}

async fn a_rebuild_is_due_until_it_is_done(catalog: Catalog) {
    assert_eq!(catalog.is_rebuild_due().await, Ok(false));
    for is_due in [true, false] {
        catalog.set_rebuild_due(is_due).await.unwrap();
        assert_eq!(catalog.is_rebuild_due().await, Ok(is_due));
    }
}
