//! Fragments in a folder: the suite, and what a folder and a disk may do to them.
#![allow(clippy::unwrap_used, reason = "helpers of tests are tests")]

#[macro_use]
mod suite;

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use sc_backend::{
    Backend, BackendError, Expected, FRAGMENT_BYTES_MAX, Fs, FsError, FsSettings, LocationId,
};

use self::suite::{Subject, body, list_all, name};

fn settings(folder: &Path) -> FsSettings {
    let mut settings = FsSettings::new(folder);
    settings.reserve_bytes = 0;
    settings
}

fn open(folder: &Path) -> Fs {
    Fs::open(&settings(folder)).unwrap()
}

fn subject() -> Subject {
    let folder = tempfile::tempdir().unwrap();
    let backend = open(folder.path());
    Subject {
        backend: Box::new(backend),
        reopen: Box::new(move |backend| {
            drop(backend);
            Box::new(open(folder.path()))
        }),
    }
}

behaves!(subject);

/// How many bytes the files below a folder take on the disk.
fn disk_bytes(folder: &Path) -> u64 {
    use std::os::unix::fs::MetadataExt;
    fs::read_dir(folder)
        .unwrap()
        .map(|entry| {
            let entry = entry.unwrap();
            match entry.metadata() {
                Ok(about) if about.is_dir() => disk_bytes(&entry.path()),
                Ok(about) => about.blocks() * 512,
                // Deleted meanwhile.
                Err(_) => 0,
            }
        })
        .sum()
}

#[tokio::test]
async fn a_location_keeps_its_id() {
    let folder = tempfile::tempdir().unwrap();
    let other = tempfile::tempdir().unwrap();

    let id = open(folder.path()).id();

    assert_eq!(open(folder.path()).id(), id);
    assert_ne!(open(other.path()).id(), id);
}

fn open_expecting(folder: &Path, expected: Expected) -> Result<Fs, FsError> {
    let mut settings = settings(folder);
    settings.expected = expected;
    Fs::open(&settings)
}

#[tokio::test]
async fn the_location_that_is_expected_opens() {
    let folder = tempfile::tempdir().unwrap();
    let id = open(folder.path()).id();

    let opened = open_expecting(folder.path(), Expected::This(id)).unwrap();

    assert_eq!(opened.id(), id);
}

#[test]
fn where_a_location_is_expected_none_is_made() {
    let above = tempfile::tempdir().unwrap();
    let (empty, absent) = (above.path().join("empty"), above.path().join("absent"));
    fs::create_dir(&empty).unwrap();

    for folder in [&empty, &absent] {
        for expected in [Expected::This(LocationId([1; 16])), Expected::There] {
            let refused = open_expecting(folder, expected);
            assert!(matches!(refused, Err(FsError::Missing(it)) if it == *folder));
        }
    }

    assert_eq!(fs::read_dir(&empty).unwrap().count(), 0);
    assert!(!absent.exists());
}

#[tokio::test]
async fn another_location_than_the_expected_one_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let id = open(folder.path()).id();

    let refused = open_expecting(folder.path(), Expected::This(LocationId([1; 16])));

    assert!(matches!(refused, Err(FsError::Other { found, .. }) if found == id));
}

#[test]
fn a_folder_within_a_location_is_refused_and_the_location_opens_again() {
    let above = tempfile::tempdir().unwrap();
    let outer = above.path().join("outer");
    let id = open(&outer).id();
    std::os::unix::fs::symlink(outer.join("tmp"), above.path().join("link")).unwrap();

    for inner in ["outer/tmp", "outer/tmp/x", "outer/mine", "link", "link/x"] {
        let refused = Fs::open(&settings(&above.path().join(inner)));
        assert!(matches!(refused, Err(FsError::Within { .. })), "{inner}");
    }

    assert_eq!(open(&outer).id(), id);
    assert!(!outer.join("mine").exists());
}

#[test]
fn links_are_not_followed_to_what_is_cleared_or_written_to() {
    let above = tempfile::tempdir().unwrap();
    let (location, foreign) = (above.path().join("location"), above.path().join("foreign"));
    drop(open(&location));
    fs::create_dir(&foreign).unwrap();
    let kept = foreign.join("kept");
    fs::write(&kept, "kept").unwrap();

    for (part, target) in [("tmp", &foreign), ("lock", &kept)] {
        let part = location.join(part);
        let aside = above.path().join("aside");
        fs::rename(&part, &aside).unwrap();
        std::os::unix::fs::symlink(target, &part).unwrap();

        let refused = Fs::open(&settings(&location));

        assert!(matches!(refused, Err(FsError::Link(it)) if it == part));
        assert_eq!(fs::read_to_string(&kept).unwrap(), "kept");
        fs::remove_file(&part).unwrap();
        fs::rename(&aside, &part).unwrap();
    }
    drop(open(&location));
}

#[tokio::test]
async fn when_its_files_are_removed_nothing_is_acknowledged() {
    let folder = tempfile::tempdir().unwrap();
    let location = open(folder.path());
    location.put(&name("f"), body(1, 10)).await.unwrap();
    for entry in fs::read_dir(folder.path()).unwrap() {
        let path = entry.unwrap().path();
        let removed = if path.is_dir() {
            fs::remove_dir_all(path)
        } else {
            fs::remove_file(path)
        };
        removed.unwrap();
    }

    for length in [10, 100_000] {
        let put = location.put(&name("g"), body(1, length)).await;
        assert!(
            matches!(&put, Err(BackendError::Unavailable(_))),
            "{length}: {put:?}"
        );
    }
    assert!(location.usage().await.is_err());
}

#[tokio::test]
async fn a_folder_is_made_with_those_above_it_for_its_owner_alone() {
    use std::os::unix::fs::PermissionsExt;
    let above = tempfile::tempdir().unwrap();
    let folder = above.path().join("a/b");

    let location = open(&folder);

    location.put(&name("f"), body(1, 10)).await.unwrap();
    let mode = fs::metadata(&folder).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o700);
}

#[test]
fn a_second_opening_says_who_holds_the_folder() {
    let folder = tempfile::tempdir().unwrap();
    let _first = open(folder.path());

    let refused = Fs::open(&settings(folder.path())).unwrap_err();

    let us = std::process::id();
    assert!(matches!(refused, FsError::InUse { holder: Some(id), .. } if id == us));
    assert!(refused.to_string().contains(&format!("process {us}")));
}

#[test]
fn a_folder_of_somebody_else_is_refused_and_not_touched() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("letter.txt"), "dear").unwrap();

    let refused = Fs::open(&settings(folder.path())).unwrap_err();

    assert!(matches!(refused, FsError::Foreign(_)));
    assert!(refused.to_string().contains("choose an empty folder"));
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
}

#[test]
fn a_folder_with_objects_of_somebody_else_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    fs::create_dir_all(folder.path().join("objects/17")).unwrap();

    let refused = Fs::open(&settings(folder.path())).unwrap_err();

    assert!(matches!(refused, FsError::Foreign(_)));
}

#[test]
fn a_first_opening_that_was_cut_short_is_begun_again() {
    let folder = tempfile::tempdir().unwrap();
    for part in ["lost+found", "objects", "packed"] {
        fs::create_dir(folder.path().join(part)).unwrap();
    }
    fs::write(folder.path().join("lock"), "1\n").unwrap();
    fs::write(folder.path().join("location.new"), "secure").unwrap();

    open(folder.path());

    assert!(folder.path().join("location").exists());
}

#[test]
fn a_location_of_another_version_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    drop(open(folder.path()));
    let marker = folder.path().join("location");
    let text = fs::read_to_string(&marker).unwrap();

    fs::write(&marker, text.replace("version 1", "version 2")).unwrap();

    let refused = Fs::open(&settings(folder.path())).unwrap_err();
    assert!(matches!(refused, FsError::Version(_)));
}

#[test]
fn a_damaged_marker_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    drop(open(folder.path()));
    let marker = folder.path().join("location");
    let text = fs::read_to_string(&marker).unwrap();

    for damaged in [
        "",
        "secure",
        &text[..text.len() - 2],
        &text.replace("id ", "id +"),
    ] {
        fs::write(&marker, damaged).unwrap();
        let refused = Fs::open(&settings(folder.path())).unwrap_err();
        assert!(matches!(refused, FsError::Marker(_)), "{damaged}");
    }
}

#[test]
fn a_location_without_its_parts_is_not_taken_for_an_empty_one() {
    for part in ["objects", "packed"] {
        let folder = tempfile::tempdir().unwrap();
        drop(open(folder.path()));

        fs::remove_dir_all(folder.path().join(part)).unwrap();

        let refused = Fs::open(&settings(folder.path())).unwrap_err();
        assert!(matches!(refused, FsError::Incomplete(_)));
    }
}

#[tokio::test]
async fn what_a_crash_left_unfinished_is_removed() {
    let folder = tempfile::tempdir().unwrap();
    drop(open(folder.path()));
    fs::write(folder.path().join("tmp/0"), "half a fragm").unwrap();

    let location = open(folder.path());

    location.put(&name("f"), body(1, 100_000)).await.unwrap();
    assert_eq!(fs::read_dir(folder.path().join("tmp")).unwrap().count(), 0);
}

#[tokio::test]
async fn a_long_fragment_is_a_file_of_its_bytes_under_its_name() {
    let folder = tempfile::tempdir().unwrap();
    let location = open(folder.path());

    location
        .put(&name("0123456789"), body(1, 100_000))
        .await
        .unwrap();

    let file = folder.path().join("objects/01/0123/0123456789");
    assert_eq!(fs::read(file).unwrap(), body(1, 100_000));
}

#[tokio::test]
async fn a_file_that_is_no_fragment_is_passed_over_or_damaged() {
    let folder = tempfile::tempdir().unwrap();
    let location = open(folder.path());
    location
        .put(&name("aaaa0"), body(1, 100_000))
        .await
        .unwrap();
    let objects = folder.path().join("objects");
    fs::write(objects.join("README"), "").unwrap();
    fs::write(objects.join("aa/aaaa/Notes"), "").unwrap();
    fs::create_dir(objects.join("aa/aaaa/aaaa1")).unwrap();
    let large = fs::File::create(objects.join("aa/aaaa/aaaa2")).unwrap();
    large.set_len(FRAGMENT_BYTES_MAX + 1).unwrap();

    let listed = list_all(&location, 1).await;
    let names: Vec<_> = listed.iter().map(|one| one.name.as_str()).collect();
    assert_eq!(names, ["aaaa0", "aaaa2"]);
    let damaged = location.get(&name("aaaa2")).await;
    assert!(matches!(damaged, Err(BackendError::Corrupt(_))));
}

#[tokio::test]
async fn a_put_that_nobody_waits_for_holds_its_name_until_it_is_done() {
    let folder = tempfile::tempdir().unwrap();
    let location = open(folder.path());
    for length in [1100, 1_000_000] {
        for round in 0..50 {
            let name = name(&format!("{length}.{round}"));
            let put = location.put(&name, body(1, length));
            let _ = tokio::time::timeout(Duration::from_micros(round * 20), put).await;

            // Either the first was never begun, or it is done when this one is looked at.
            location.put(&name, body(1, length)).await.unwrap();
            assert!(location.delete(&name).await.unwrap());
            assert_eq!(location.get(&name).await, Err(BackendError::NotFound));
        }
    }
}

#[tokio::test]
async fn a_put_into_the_reserve_is_refused_and_a_delete_is_not() {
    let folder = tempfile::tempdir().unwrap();
    let mut settings = settings(folder.path());
    let location = Fs::open(&settings).unwrap();
    for (text, length) in [("f", 1100), ("g", 100_000)] {
        location.put(&name(text), body(1, length)).await.unwrap();
    }
    drop(location);
    settings.reserve_bytes = u64::MAX;
    let location = Fs::open(&settings).unwrap();

    assert_eq!(location.usage().await.unwrap().free_bytes, Some(0));
    for (text, there, length) in [("h", "f", 1100), ("i", "g", 100_000)] {
        let refused = location.put(&name(text), body(1, length)).await;
        assert!(matches!(refused, Err(BackendError::Full(_))));
        assert_eq!(location.get(&name(text)).await, Err(BackendError::NotFound));
        // There already, so that nothing has to be written.
        location.put(&name(there), body(1, length)).await.unwrap();
        assert!(location.delete(&name(there)).await.unwrap());
    }
}

#[tokio::test]
async fn a_damaged_packed_fragment_is_known_as_damaged() {
    let folder = tempfile::tempdir().unwrap();
    let location = open(folder.path());
    for seed in 0..3000 {
        let name = name(&format!("f{seed}"));
        location.put(&name, body(seed, 30_000)).await.unwrap();
    }
    drop(location);
    let blobs = folder.path().join("packed/keyspaces/1/blobs");
    let first = fs::read_dir(&blobs).unwrap().next().unwrap().unwrap();
    let mut bytes = fs::read(first.path()).unwrap();
    for at in (0..bytes.len()).step_by(20_000) {
        bytes[at] ^= 1;
    }
    fs::write(first.path(), bytes).unwrap();

    let location = open(folder.path());
    let mut damaged = 0;
    for seed in 0..3000 {
        match location.get(&name(&format!("f{seed}"))).await {
            Ok(read) => assert_eq!(read, body(seed, 30_000)),
            Err(BackendError::Corrupt(_)) => damaged += 1,
            Err(error) => panic!("{error}"),
        }
    }
    assert!(damaged > 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_space_of_deleted_packed_fragments_is_given_back() {
    let folder = tempfile::tempdir().unwrap();
    let location = std::sync::Arc::new(open(folder.path()));
    let name_of = |seed: u64| {
        name(&format!(
            "{:08x}",
            (seed as u32).wrapping_mul(2_654_435_761)
        ))
    };
    for deleting in [false, true] {
        let mut tasks = tokio::task::JoinSet::new();
        for task in 0..16_u64 {
            let location = location.clone();
            tasks.spawn(async move {
                for seed in (0..500).map(|round| round * 16 + task) {
                    if !deleting {
                        let put = location.put(&name_of(seed), body(seed, 40_000)).await;
                        put.unwrap();
                    } else if seed % 4 != 0 {
                        // Three of four, scattered over the engine's files.
                        assert!(location.delete(&name_of(seed)).await.unwrap());
                    } else {
                        let read = location.get(&name_of(seed)).await.unwrap();
                        assert_eq!(read, body(seed, 40_000));
                    }
                }
            });
        }
        tasks.join_all().await;
    }

    // 320 MB were stored, of which 80 MB live; less than 64 MiB more are not worth a compaction, nor a quarter of a file. What the journals
    // take does not grow with the fragments. Nothing is written any more.
    let bodies = folder.path().join("packed/keyspaces");
    let begun = Instant::now();
    let mut taken = u64::MAX;
    while taken > 180_000_000 && begun.elapsed() < Duration::from_secs(60) {
        tokio::time::sleep(Duration::from_millis(200)).await;
        taken = disk_bytes(&bodies);
    }
    assert!(taken <= 180_000_000, "{taken} bytes");
    for seed in (0..8000_u64).step_by(4) {
        assert_eq!(
            location.get(&name_of(seed)).await.unwrap(),
            body(seed, 40_000)
        );
    }
}

#[tokio::test]
async fn a_folder_that_is_away_is_neither_empty_nor_without_what_it_holds() {
    let folder = tempfile::tempdir().unwrap();
    let (here, away) = (folder.path().join("here"), folder.path().join("away"));
    let location = open(&here);
    let (small, large, none) = (name("small"), name("large"), name("none"));
    location.put(&small, body(1, 10)).await.unwrap();
    location.put(&large, body(2, 1 << 20)).await.unwrap();

    fs::rename(&here, &away).unwrap();
    // A mount point without its disk.
    fs::create_dir(&here).unwrap();

    let is_away = |error: BackendError| matches!(error, BackendError::Unavailable(_));
    assert!(is_away(location.list(None, 10).await.unwrap_err()));
    for name in [&large, &none] {
        assert!(is_away(location.get(name).await.unwrap_err()), "{name}");
        assert!(
            is_away(location.read(name, 0..0).await.unwrap_err()),
            "{name}"
        );
        assert!(is_away(location.delete(name).await.unwrap_err()), "{name}");
    }
    assert!(is_away(location.usage().await.unwrap_err()));
    fs::remove_dir(&here).unwrap();
    fs::rename(&away, &here).unwrap();
    assert_eq!(location.list(None, 10).await.unwrap().len(), 2);
    assert_eq!(location.get(&large).await.unwrap().len(), 1 << 20);
    assert!(!location.delete(&none).await.unwrap());
}
