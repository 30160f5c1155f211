//! What a domain may take, and what happens beyond it.

use sc_router::{SpillEvent, SpillFailure};

use crate::house::{House, counters, mailbox, record, records, settings, sized};

/// What a record of the tests takes on the disk at most.
const RECORD_BYTES: u64 = 200;

#[test]
fn a_domain_beyond_its_quota_stores_nothing_more_and_others_go_on() {
    let folder = tempfile::tempdir().unwrap();
    let mut settings = settings(folder.path());
    settings.quota_bytes = 10 * RECORD_BYTES;
    let mut house = House::open(&settings);
    let (full, other) = (mailbox(1, 1), mailbox(2, 1));
    let mut stored = 0;
    while house.store(full, record(stored + 1)).is_ok() {
        stored += 1;
    }

    assert!((10..20).contains(&stored), "{stored}");
    assert_eq!(house.store(full, record(99)), Err(SpillFailure::Quota));
    assert_eq!(
        house.store(mailbox(1, 2), record(1)),
        Err(SpillFailure::Quota)
    );
    assert_eq!(house.store(other, record(1)), Ok(()));
    assert_eq!(house.all(full), (records(1..=stored), 0));
}

#[test]
fn after_a_failure_a_mailbox_takes_nothing_until_it_is_empty_even_if_there_is_room() {
    let folder = tempfile::tempdir().unwrap();
    let mut settings = settings(folder.path());
    settings.quota_bytes = 10 * RECORD_BYTES;
    let mut house = House::open(&settings);
    let id = mailbox(1, 1);
    house.store_all(id, records(1..=5));
    assert_eq!(house.store(id, sized(6, 4000)), Err(SpillFailure::Quota));

    assert_eq!(house.store(id, record(7)), Err(SpillFailure::Quota));
    house.spill.trim(id, 1, 4);
    assert_eq!(house.store(id, record(7)), Err(SpillFailure::Quota));
    house.spill.trim(id, 1, 5);
    assert_eq!(house.store(id, record(8)), Ok(()));
    assert_eq!(counters(&house.all(id).0), [8]);
}

#[test]
fn a_discard_ends_a_failure_of_a_mailbox_that_never_held_anything() {
    let folder = tempfile::tempdir().unwrap();
    let mut settings = settings(folder.path());
    settings.quota_bytes = RECORD_BYTES;
    let mut house = House::open(&settings);
    let id = mailbox(1, 1);
    assert_eq!(house.store(id, sized(1, 4000)), Err(SpillFailure::Quota));

    house.spill.discard(id);

    assert_eq!(house.store(id, record(2)), Ok(()));
}

#[test]
fn the_quota_counts_what_lives_after_trims_and_after_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let mut settings = settings(folder.path());
    settings.quota_bytes = 10 * RECORD_BYTES;
    let mut house = House::open(&settings);
    let id = mailbox(1, 1);
    for counter in 1..=100 {
        assert_eq!(house.store(id, record(counter)), Ok(()));
        house.spill.trim(id, 1, counter.saturating_sub(5));
    }
    drop(house);

    let mut house = House::open(&settings);

    assert_eq!(house.store(id, sized(101, 1600)), Err(SpillFailure::Quota));
    assert_eq!(house.store(mailbox(1, 2), record(1)), Ok(()));
}

#[test]
fn each_append_is_answered_once_and_in_the_order_of_its_mailbox() {
    let folder = tempfile::tempdir().unwrap();
    let mut settings = settings(folder.path());
    settings.quota_bytes = 20 * RECORD_BYTES;
    let mut house = House::open(&settings);
    let id = mailbox(1, 1);
    for token in 0..100 {
        house.spill.append(id, token, record(token));
    }

    let answers: Vec<_> = (0..100).map(|_| house.next()).collect();

    let tokens = answers.iter().map(|answer| match answer {
        SpillEvent::Stored { token, .. } | SpillEvent::Failed { token, .. } => *token,
        other => panic!("{other:?}"),
    });
    assert_eq!(tokens.collect::<Vec<_>>(), (0..100).collect::<Vec<_>>());
    let failed = |answer: &SpillEvent| matches!(answer, SpillEvent::Failed { .. });
    assert!(
        answers.is_sorted_by_key(failed),
        "a failure is never followed by a success"
    );
    assert!(failed(&answers[99]) && !failed(&answers[0]));
    assert_eq!(house.spill.try_next(), None);
}
