//! Disks that are full, or let a file grow no further.

#![allow(clippy::unwrap_used, reason = "helpers of tests are tests")]

use std::env;
use std::fs;
use std::path::Path;
use std::process::Command;

use bytes::Bytes;
use sc_backend::{Backend, BackendError, FragmentName, Fs, FsSettings};

/// Where a test works that runs in a process of its own, in its environment.
const FOLDER: &str = "SC_BACKEND_FULL_FOLDER";
const MIB: usize = 1024 * 1024;

fn open(folder: &Path, reserve_bytes: u64) -> Fs {
    let mut settings = FsSettings::new(folder);
    settings.reserve_bytes = reserve_bytes;
    Fs::open(&settings).unwrap()
}

fn name(text: &str) -> FragmentName {
    FragmentName::new(text).unwrap()
}

fn body(seed: usize, length: usize) -> Bytes {
    vec![seed as u8 | 1; length].into()
}

/// Runs one test of this file in a process of its own, behind a line of shell.
fn run(test: &str, folder: &Path, before: &str) -> bool {
    Command::new("sh")
        .args([
            "-c",
            &format!("{before} && exec \"$0\" --exact {test} --nocapture"),
        ])
        .arg(env::current_exe().unwrap())
        .env(FOLDER, folder)
        .status()
        .unwrap()
        .success()
}

/// Puts files into a process that may not let one grow above 128 MiB. Nothing if it is not started as one.
#[tokio::test]
async fn limited() {
    let Ok(folder) = env::var(FOLDER) else {
        return;
    };
    let folder = Path::new(&folder);
    let location = open(folder, 0);

    let refused = location.put(&name("large"), body(1, 129 * MIB)).await;

    assert!(matches!(refused, Err(BackendError::Full(_))), "{refused:?}");
    assert_eq!(
        location.get(&name("large")).await,
        Err(BackendError::NotFound)
    );
    assert_eq!(location.list(None, 10).await.unwrap(), []);
    assert_eq!(fs::read_dir(folder.join("tmp")).unwrap().count(), 0);
    for (text, length) in [("large", 2 * MIB), ("small", 1100)] {
        location.put(&name(text), body(2, length)).await.unwrap();
        assert_eq!(location.get(&name(text)).await.unwrap(), body(2, length));
    }
}

#[test]
fn a_file_that_the_system_lets_grow_no_further_leaves_nothing() {
    let folder = tempfile::tempdir().unwrap();

    // In blocks of 512 bytes, whatever the shell takes them for: bash counts 1024.
    let limit = "trap '' XFSZ && if [ -n \"$BASH_VERSION\" ]; then ulimit -f 131072; else ulimit -f 262144; fi";
    assert!(run("limited", folder.path(), limit));
}

/// Fills a small disk. Nothing if it is not started for that.
#[tokio::test]
async fn filling() {
    let Ok(folder) = env::var(FOLDER) else {
        return;
    };
    let folder = Path::new(&folder);
    // Without a reserve the disk itself has to say that it is full.
    let location = open(folder, 0);
    fs::write(folder.join("tmp/filler"), vec![0; 300 * MIB]).unwrap();
    let free = location.usage().await.unwrap().free_bytes.unwrap() as usize;
    // Each of them fits, but not both: the disk says so, or the look at it before a put begins.
    let (one, other) = (name("one"), name("other"));
    let half = body(1, free / 3 * 2);
    let (first, second) =
        tokio::join!(location.put(&one, half.clone()), location.put(&other, half));
    let mut listed = location.list(None, 10).await.unwrap().into_iter();
    for (name, answer) in [(one, first), (other, second)] {
        match answer {
            Ok(()) => {
                assert_eq!(listed.next().unwrap().name, name);
                assert!(location.delete(&name).await.unwrap());
            }
            Err(why) => assert!(matches!(why, BackendError::Full(_)), "{why:?}"),
        }
    }
    assert_eq!(listed.next(), None);
    let left = fs::read_dir(folder.join("tmp")).unwrap().count();
    assert_eq!(left, 1, "beside the filler");
    drop(location);

    // With one it fills up, can be read and emptied, and takes fragments again.
    let location = open(folder, 160 * MIB as u64);
    let mut stored = Vec::new();
    let why = loop {
        let name = name(&format!("f{}", stored.len()));
        let length = [60_000, 300_000][stored.len() % 2];
        match location.put(&name, body(stored.len(), length)).await {
            Ok(()) => stored.push((name, length)),
            Err(why) => break why,
        }
    };
    assert!(matches!(why, BackendError::Full(_)), "{why:?}");
    assert!(stored.len() > 100);
    for (seed, (name, length)) in stored.iter().enumerate() {
        assert_eq!(location.get(name).await.unwrap(), body(seed, *length));
    }
    for (name, _) in &stored {
        assert!(location.delete(name).await.unwrap());
    }
    for seed in 0..50 {
        let name = name(&format!("g{seed}"));
        location.put(&name, body(seed, 300_000)).await.unwrap();
    }
}

#[test]
fn a_full_disk_is_full_until_something_is_deleted() {
    let folder = tempfile::tempdir().unwrap();
    let disk = folder.path().join("disk");
    fs::create_dir(&disk).unwrap();
    let mount = |what: &str| {
        let mounted = Command::new("sh").args(["-c", what]).arg(&disk).output();
        mounted.is_ok_and(|out| out.status.success())
    };
    if !mount("mount -t tmpfs -o size=512m tmpfs \"$0\"") {
        eprintln!(
            "SKIPPED: a_full_disk_is_full_until_something_is_deleted needs to mount a file system in memory: run it as root"
        );
        return;
    }

    let passed = run("filling", &disk, "true");

    assert!(mount("umount \"$0\""));
    assert!(passed);
}
