//! What is stored stays, in order, until it is let go.

use std::os::unix::fs::PermissionsExt;

use sc_router::{Recovered, Spill, SpillError, SpillEvent};

use crate::house::{
    House, bytes_on_disk, counters, mailbox, record, records, segments, settings, sized,
};

#[test]
fn records_of_many_mailboxes_come_back_each_in_its_order_and_unchanged() {
    let folder = tempfile::tempdir().unwrap();
    let mut house = House::open(&settings(folder.path()));
    for counter in 1..=100 {
        for consumer in 0..3 {
            house
                .spill
                .append(mailbox(1, consumer), counter, record(counter));
        }
    }
    (0..300).for_each(|_| assert!(matches!(house.next(), SpillEvent::Stored { .. })));

    for consumer in 0..3 {
        assert_eq!(house.all(mailbox(1, consumer)), (records(1..=100), 0));
    }
}

#[test]
fn a_fetch_goes_on_where_the_last_one_ended_and_gives_one_record_at_least() {
    let folder = tempfile::tempdir().unwrap();
    let mut house = House::open(&settings(folder.path()));
    let id = mailbox(1, 1);
    house.store_all(id, records(1..=5));

    assert_eq!(house.fetch(id, 0), (records([1]), true));
    assert_eq!(house.fetch(id, 500), (records([2, 3]), true));
    assert_eq!(house.fetch(id, u64::MAX), (records([4, 5]), false));
    assert_eq!(house.fetch(id, u64::MAX), (Vec::new(), false));

    house.store(id, record(6)).unwrap();

    assert_eq!(house.fetch(id, u64::MAX), (records([6]), false));
}

#[test]
fn after_a_rewind_reading_begins_at_the_first_record_that_was_not_trimmed() {
    let folder = tempfile::tempdir().unwrap();
    let mut house = House::open(&settings(folder.path()));
    let id = mailbox(1, 1);
    house.store_all(id, records(1..=5));
    house.fetch(id, u64::MAX);

    house.spill.trim(id, 1, 2);
    house.spill.rewind(id);

    assert_eq!(house.fetch(id, u64::MAX), (records(3..=5), false));
}

#[test]
fn trimming_what_was_not_read_yet_moves_the_reading_on() {
    let folder = tempfile::tempdir().unwrap();
    let mut house = House::open(&settings(folder.path()));
    let id = mailbox(1, 1);
    house.store_all(id, records(1..=5));
    house.fetch(id, 0);

    house.spill.trim(id, 1, 3);

    assert_eq!(house.fetch(id, u64::MAX), (records(4..=5), false));
}

#[test]
fn a_trim_orders_by_session_before_counter() {
    let folder = tempfile::tempdir().unwrap();
    let mut house = House::open(&settings(folder.path()));
    let id = mailbox(1, 1);
    let mut of_two_sessions = records([8, 9, 1, 2]);
    of_two_sessions[2..]
        .iter_mut()
        .for_each(|record| record.session = 2);
    house.store_all(id, of_two_sessions);

    house.spill.trim(id, 2, 1);

    assert_eq!(counters(&house.all(id).0), [2]);
}

#[test]
fn a_store_that_is_opened_again_says_what_it_has_and_goes_on() {
    let folder = tempfile::tempdir().unwrap();
    let settings = settings(folder.path());
    let mut house = House::open(&settings);
    house.store_all(mailbox(1, 1), records(1..=50));
    house.store_all(mailbox(1, 0), records([9]));
    house.spill.trim(mailbox(1, 1), 1, 10);
    drop(house);

    let mut house = House::open(&settings);

    let recovered = house.recovered.iter().map(
        |Recovered {
             mailbox,
             records,
             first,
             last,
             ..
         }| { (*mailbox, *records, *first, *last) },
    );
    assert_eq!(
        recovered.collect::<Vec<_>>(),
        [
            (mailbox(1, 0), 1, (1, 9), (1, 9)),
            (mailbox(1, 1), 40, (1, 11), (1, 50))
        ]
    );
    house.store_all(mailbox(1, 1), records(51..=60));
    assert_eq!(house.all(mailbox(1, 1)), (records(11..=60), 0));
}

#[test]
fn what_lives_on_the_disk_can_be_asked() {
    let folder = tempfile::tempdir().unwrap();
    let settings = settings(folder.path());
    let id = mailbox(1, 1);
    let mut house = House::open(&settings);
    assert_eq!(house.spill.bytes(), 0);
    house.store_all(id, records(1..=20));
    let all = house.spill.bytes();
    assert!(all > 0 && all <= bytes_on_disk(&settings), "{all}");

    house.spill.trim(id, 1, 10);
    house.settle();
    let rest = house.spill.bytes();
    assert!(0 < rest && rest < all, "{rest} of {all}");
    drop(house);
    let mut house = House::open(&settings);
    assert_eq!(house.spill.bytes(), rest);
    assert_eq!(house.recovered[0].bytes, rest);
    house.spill.discard(id);
    house.settle();

    assert_eq!(house.spill.bytes(), 0);
}

#[test]
fn what_was_discarded_stays_away_and_what_came_after_stays() {
    let folder = tempfile::tempdir().unwrap();
    let settings = settings(folder.path());
    let id = mailbox(1, 1);
    let mut house = House::open(&settings);
    house.store_all(mailbox(2, 2), records(1..=30));
    house.store_all(id, records(1..=30));
    house.spill.discard(id);
    // A session anew: the counters begin again.
    house.store_all(id, records(1..=3));
    house.settle();
    drop(house);

    let mut house = House::open(&settings);

    assert_eq!(house.all(id), (records(1..=3), 0));
    assert_eq!(house.all(mailbox(2, 2)), (records(1..=30), 0));
}

#[test]
fn a_mark_outlives_the_file_that_it_was_written_to() {
    let folder = tempfile::tempdir().unwrap();
    let settings = settings(folder.path());
    let mut house = House::open(&settings);
    let (gone, pinning, churning) = (mailbox(1, 1), mailbox(1, 2), mailbox(1, 3));
    // In one file with a record that stays.
    house.store_all(pinning, records([1]));
    house.store_all(gone, records([1]));
    for counter in 1..=200 {
        house.store(churning, record(counter)).unwrap();
        house.spill.trim(churning, 1, counter);
        if counter == 100 {
            // Some files later.
            house.spill.trim(gone, 1, 1);
        }
    }
    house.settle();
    let files = segments(&settings).len();
    drop(house);

    let house = House::open(&settings);

    assert!(files <= 3, "{files} files are left of the churning");
    let left: Vec<_> = house.recovered.iter().map(|found| found.mailbox).collect();
    assert_eq!(left, [pinning]);
}

#[test]
fn files_in_which_nothing_lives_are_deleted() {
    let folder = tempfile::tempdir().unwrap();
    let settings = settings(folder.path());
    let mut house = House::open(&settings);
    house.store_all(mailbox(1, 1), records(1..=400));
    let full = segments(&settings).len();

    house.spill.trim(mailbox(1, 1), 1, 400);
    house.settle();

    assert!(full > 10, "{full} files");
    assert_eq!(segments(&settings).len(), 1, "the one written to");
    drop(house);
    assert_eq!(House::open(&settings).recovered, []);
}

#[test]
fn a_stale_mailbox_does_not_keep_the_dead_of_the_others() {
    let folder = tempfile::tempdir().unwrap();
    let settings = settings(folder.path());
    let mut house = House::open(&settings);
    let (stale, lively) = (mailbox(1, 1), mailbox(1, 2));
    // One record that stays in each file.
    for counter in 1..=100 {
        house.spill.append(stale, counter, record(counter));
        house.spill.append(lively, counter, sized(counter, 4000));
    }
    (0..200).for_each(|_| assert!(matches!(house.next(), SpillEvent::Stored { .. })));
    let before = bytes_on_disk(&settings);

    house.spill.trim(lively, 1, 100);
    // Copying goes on in steps while nobody asks for anything; each answer lies behind one of them.
    for _ in 0..200 {
        house.settle();
    }

    let after = bytes_on_disk(&settings);
    let living = 100 * 200;
    assert!(before > 400_000, "{before}");
    assert!(after <= 2 * living + 3 * 4096, "{after}");
    assert_eq!(house.all(stale), (records(1..=100), 0));
    drop(house);
    assert_eq!(House::open(&settings).all(stale), (records(1..=100), 0));
}

#[test]
fn ten_thousand_mailboxes_are_kept_and_found_again() {
    let folder = tempfile::tempdir().unwrap();
    let mut settings = settings(folder.path());
    settings.segment_bytes = 1 << 20;
    let mut house = House::open(&settings);
    for counter in 1..=2 {
        for consumer in 0..10_000 {
            house
                .spill
                .append(mailbox(1, consumer), counter, record(counter));
        }
    }
    (0..20_000).for_each(|_| assert!(matches!(house.next(), SpillEvent::Stored { .. })));
    for consumer in 0..10_000 {
        house.spill.trim(mailbox(1, consumer), 1, 1);
    }
    drop(house);

    let mut house = House::open(&settings);

    assert_eq!(house.recovered.len(), 10_000);
    for consumer in (0..10_000).step_by(997) {
        assert_eq!(house.all(mailbox(1, consumer)), (records([2]), 0));
    }
}

#[test]
fn a_folder_has_one_process_at_a_time() {
    let folder = tempfile::tempdir().unwrap();
    let settings = settings(folder.path());
    let held = House::open(&settings);

    assert!(matches!(
        Spill::open(settings.clone()),
        Err(SpillError::InUse(_))
    ));

    drop(held);
    House::open(&settings);
}

#[test]
fn nobody_else_may_read_the_folder_or_its_files() {
    let folder = tempfile::tempdir().unwrap();
    let settings = settings(folder.path());
    std::fs::create_dir(&settings.folder).unwrap();
    std::fs::set_permissions(&settings.folder, PermissionsExt::from_mode(0o755)).unwrap();
    House::open(&settings).store_all(mailbox(1, 1), records([1]));
    let mode =
        |path: &std::path::Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;

    assert_eq!(mode(&settings.folder), 0o700);
    for entry in std::fs::read_dir(&settings.folder).unwrap() {
        assert_eq!(mode(&entry.unwrap().path()), 0o600);
    }
}

#[test]
fn what_was_appended_last_is_stored_before_the_handle_is_gone() {
    let folder = tempfile::tempdir().unwrap();
    let settings = settings(folder.path());
    let mut house = House::open(&settings);
    for counter in 1..=1000 {
        house.spill.append(mailbox(1, 1), counter, record(counter));
    }

    drop(house);

    assert_eq!(House::open(&settings).recovered[0].records, 1000);
}
