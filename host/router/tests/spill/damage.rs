//! Files that were cut, flipped, or never the store's.

use std::path::Path;

use sc_router::{Spill, SpillError};

use crate::house::{House, counters, mailbox, record, records, segments, settings};

/// A store in `folder` with these records of one mailbox, closed again; its only file.
fn written(folder: &Path, count: u64) -> std::path::PathBuf {
    let settings = settings(folder);
    House::open(&settings).store_all(mailbox(1, 1), records(1..=count));
    let files = segments(&settings);
    assert_eq!(files.len(), 1);
    files[0].clone()
}

#[test]
fn wherever_a_crash_cuts_the_last_file_the_records_before_the_cut_stay() {
    let folder = tempfile::tempdir().unwrap();
    let settings = settings(folder.path());
    let file = written(folder.path(), 3);
    let whole = std::fs::read(&file).unwrap();
    let entry = (whole.len() - 8) / 3;

    for length in 0..whole.len() {
        std::fs::write(&file, &whole[..length]).unwrap();
        let mut house = House::open(&settings);

        let kept = (length.saturating_sub(8) / entry) as u64;
        assert_eq!(
            house.all(mailbox(1, 1)),
            (records(1..=kept), 0),
            "cut at {length}"
        );
        assert_eq!(house.spill.damaged(), 0, "cut at {length}");
        // It goes on behind the cut.
        house.store(mailbox(1, 1), record(4)).unwrap();
        drop(house);
        let mut house = House::open(&settings);
        assert_eq!(house.all(mailbox(1, 1)).0.len() as u64, kept + 1);
        house.spill.discard(mailbox(1, 1));
        drop(house);
        segments(&settings)
            .iter()
            .for_each(|file| std::fs::remove_file(file).unwrap());
    }
}

#[test]
fn a_tail_of_zeros_is_a_crash_and_not_damage() {
    for zeros in [1, 16, 17, 5000] {
        let folder = tempfile::tempdir().unwrap();
        let file = written(folder.path(), 3);
        let mut bytes = std::fs::read(&file).unwrap();
        bytes.resize(bytes.len() + zeros, 0);
        std::fs::write(&file, bytes).unwrap();

        let mut house = House::open(&settings(folder.path()));

        assert_eq!(house.all(mailbox(1, 1)), (records(1..=3), 0));
        assert_eq!(house.spill.damaged(), 0);
    }
}

#[test]
fn a_flipped_bit_is_never_delivered_and_takes_its_own_file_at_most() {
    let folder = tempfile::tempdir().unwrap();
    let file = written(folder.path(), 3);
    let whole = std::fs::read(&file).unwrap();
    let entry = (whole.len() - 8) / 3;

    for at in (0..whole.len()).filter(|at| *at != 7) {
        let folder = tempfile::tempdir().unwrap();
        let settings = settings(folder.path());
        std::fs::create_dir(&settings.folder).unwrap();
        let mut bytes = whole.clone();
        bytes[at] ^= 1 << (at % 8);
        std::fs::write(settings.folder.join("00000001.spill"), bytes).unwrap();
        std::fs::write(settings.folder.join("00000002.spill"), &whole[..8]).unwrap();
        let mut house = House::open(&settings);

        let (found, lost) = house.all(mailbox(1, 1));

        let hit = at.checked_sub(8).map(|at| at / entry);
        let expected: &[u64] = match hit {
            None => &[],
            // A length: what follows cannot be found.
            Some(hit) if (at - 8) % entry < 8 => &[1, 2, 3][..hit],
            Some(0) => &[2, 3],
            Some(1) => &[1, 3],
            Some(_) => &[1, 2],
        };
        assert_eq!(found, records(expected.iter().copied()), "flipped at {at}");
        assert_eq!((lost, house.spill.damaged()), (0, 1), "flipped at {at}");
    }
}

#[test]
fn damage_in_a_file_that_a_crash_cannot_explain_cuts_nothing_and_nothing_is_written_behind_it() {
    let folder = tempfile::tempdir().unwrap();
    let settings = settings(folder.path());
    let file = written(folder.path(), 3);
    let mut bytes = std::fs::read(&file).unwrap();
    let second = 8 + (bytes.len() - 8) / 3;
    bytes[second + 2] ^= 1;
    std::fs::write(&file, &bytes).unwrap();

    let mut house = House::open(&settings);
    house.store(mailbox(1, 1), record(4)).unwrap();

    assert_eq!(counters(&house.all(mailbox(1, 1)).0), [1, 4]);
    assert_eq!(std::fs::read(&file).unwrap(), bytes);
    assert_eq!(segments(&settings).len(), 2);
}

#[test]
fn damage_beneath_an_open_store_is_told_when_the_record_is_read() {
    let folder = tempfile::tempdir().unwrap();
    let settings = settings(folder.path());
    let mut house = House::open(&settings);
    house.store_all(mailbox(1, 1), records(1..=3));
    let file = &segments(&settings)[0];
    let mut bytes = std::fs::read(file).unwrap();
    let second = 8 + (bytes.len() - 8) / 3;
    bytes[second + 30] ^= 1;
    std::fs::write(file, bytes).unwrap();

    let (found, lost) = house.all(mailbox(1, 1));

    assert_eq!((counters(&found), lost), (vec![1, 3], 1));
    assert_eq!(house.spill.damaged(), 1);
}

#[test]
fn a_file_of_another_version_is_refused_and_kept() {
    let folder = tempfile::tempdir().unwrap();
    let file = written(folder.path(), 1);
    let mut bytes = std::fs::read(&file).unwrap();
    bytes[7] = 2;
    std::fs::write(&file, &bytes).unwrap();

    let opened = Spill::open(settings(folder.path()));

    assert!(matches!(opened, Err(SpillError::Version(path)) if path == file));
    assert_eq!(std::fs::read(&file).unwrap(), bytes);
}

#[test]
fn a_link_in_place_of_a_file_is_not_followed() {
    let folder = tempfile::tempdir().unwrap();
    let file = written(folder.path(), 1);
    let elsewhere = folder.path().join("elsewhere");
    std::fs::rename(&file, &elsewhere).unwrap();
    std::os::unix::fs::symlink(&elsewhere, &file).unwrap();

    assert!(matches!(
        Spill::open(settings(folder.path())),
        Err(SpillError::Io { .. })
    ));
}

#[test]
fn a_link_in_place_of_the_folder_is_not_followed() {
    let folder = tempfile::tempdir().unwrap();
    let settings = settings(folder.path());
    let elsewhere = folder.path().join("elsewhere");
    std::fs::create_dir(&elsewhere).unwrap();
    std::os::unix::fs::symlink(&elsewhere, &settings.folder).unwrap();

    assert!(matches!(Spill::open(settings), Err(SpillError::Io { .. })));
    assert_eq!(std::fs::read_dir(&elsewhere).unwrap().count(), 0);
}

#[test]
fn other_files_in_the_folder_are_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    let settings = settings(folder.path());
    written(folder.path(), 1);
    for name in ["notes", "1.spill", "0000000G.spill", "000000001.spill"] {
        std::fs::write(settings.folder.join(name), b"mine").unwrap();
    }

    let house = House::open(&settings);

    assert_eq!(house.recovered.len(), 1);
    assert_eq!(
        std::fs::read(settings.folder.join("1.spill")).unwrap(),
        b"mine"
    );
}
