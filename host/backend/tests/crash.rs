//! A location whose process is killed at any point: what was acknowledged is there, and nothing is torn.
//!
//! The process is this test binary again: its test `victim` puts and deletes until it is killed, and says on its standard output what it
//! begins to delete and what was acknowledged. A kill leaves to the system what was written and not synced, so that the order of syncs
//! is not tested here, but everything that opening has to repair.

#![allow(clippy::unwrap_used, reason = "helpers of tests are tests")]

use std::collections::{BTreeMap, BTreeSet};
use std::env;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use sc_backend::{Backend, BackendError, FragmentName, Fs, FsSettings, Listed};

/// Where the victim works, in its environment.
const FOLDER: &str = "SC_BACKEND_CRASH_FOLDER";
/// Which round it is, which its names begin with.
const ROUND: &str = "SC_BACKEND_CRASH_ROUND";
const ROUNDS: u64 = 30;
const TASKS: u64 = 12;

fn open(folder: &Path) -> Fs {
    let mut settings = FsSettings::new(folder);
    settings.reserve_bytes = 0;
    Fs::open(&settings).unwrap()
}

/// The body that belongs to a name: mostly short, sometimes just short enough to be packed, sometimes a file.
fn body(name: &FragmentName) -> Bytes {
    let seed = name.as_str().bytes().fold(1_469_598_103_u64, |seed, byte| {
        (seed ^ u64::from(byte)).wrapping_mul(1_099_511_628_211)
    });
    let length = match seed >> 32 & 15 {
        0 | 1 => 64 * 1024 + (seed % 300_000) as usize,
        2 => 64 * 1024 - (seed % 1000) as usize,
        _ => (seed % 3000) as usize,
    };
    let word = seed.to_le_bytes();
    word.iter().copied().cycle().take(length).collect()
}

fn say(what: &str, name: &FragmentName) {
    let mut out = std::io::stdout().lock();
    writeln!(out, "\n{what} {name}").unwrap();
    out.flush().unwrap();
}

async fn put_and_delete(location: Arc<Fs>, round: String, task: u64) {
    let mut kept = Vec::new();
    for number in 0_u64.. {
        let scattered = number.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 48;
        let name = format!("{scattered:04x}.{round}.{task}.{number}");
        let name = FragmentName::new(&name).unwrap();
        location.put(&name, body(&name)).await.unwrap();
        say("stored", &name);
        kept.push(name);
        if number % 3 == 2 {
            let name = kept.swap_remove(number as usize % kept.len());
            say("deleting", &name);
            assert!(location.delete(&name).await.unwrap());
            say("deleted", &name);
        }
    }
}

/// The process that is killed. Nothing if it is not started as one.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn victim() {
    let Ok(folder) = env::var(FOLDER) else {
        return;
    };
    let round = env::var(ROUND).unwrap();
    let location = Arc::new(open(Path::new(&folder)));
    say("open", &FragmentName::new("location").unwrap());
    let mut tasks = tokio::task::JoinSet::new();
    for task in 0..TASKS {
        tasks.spawn(put_and_delete(location.clone(), round.clone(), task));
    }
    tasks.join_all().await;
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Said {
    Stored,
    Deleting,
    Deleted,
}

/// Runs a victim, kills it some time after it has opened the location, and takes down what it said.
fn run_and_kill(folder: &Path, round: u64, after: Duration, said: &mut BTreeMap<String, Said>) {
    let mut victim = Command::new(env::current_exe().unwrap())
        .args(["--exact", "victim", "--nocapture"])
        .env(FOLDER, folder)
        .env(ROUND, round.to_string())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(victim.stdout.take().unwrap());
    let (opened, open) = std::sync::mpsc::channel();
    let reading = std::thread::spawn(move || {
        let mut heard = Vec::new();
        let mut line = String::new();
        // A last line that was cut short was not said.
        while lines.read_line(&mut line).unwrap() > 0 && line.ends_with('\n') {
            if let Some((what, name)) = line.trim().split_once(' ') {
                match what {
                    "open" => opened.send(()).unwrap(),
                    "stored" => heard.push((name.to_owned(), Said::Stored)),
                    "deleting" => heard.push((name.to_owned(), Said::Deleting)),
                    "deleted" => heard.push((name.to_owned(), Said::Deleted)),
                    _ => {}
                }
            }
            line.clear();
        }
        heard
    });
    // In some rounds it is killed while it opens.
    if round % 5 != 4 {
        open.recv_timeout(Duration::from_secs(60)).unwrap();
    }
    std::thread::sleep(after);
    victim.kill().unwrap();
    assert!(!victim.wait().unwrap().success(), "it ended by itself");
    said.extend(reading.join().unwrap());
}

/// Everything that the location holds, in pages.
async fn list(location: &Fs) -> Vec<Listed> {
    let mut all: Vec<Listed> = Vec::new();
    loop {
        let after = all.last().map(|last| last.name.clone());
        let page = location.list(after.as_ref(), 500).await.unwrap();
        if page.is_empty() {
            return all;
        }
        all.extend(page);
    }
}

async fn check(location: &Fs, said: &BTreeMap<String, Said>) {
    let listed = list(location).await;
    for one in &listed {
        let read = location.get(&one.name).await.unwrap();
        assert!(read == body(&one.name), "{} is torn", one.name);
        assert_eq!(one.bytes, read.len() as u64);
    }
    let there: BTreeSet<_> = listed.iter().map(|one| one.name.as_str()).collect();
    for (text, said) in said {
        match said {
            Said::Stored => assert!(there.contains(text.as_str()), "{text} was stored"),
            Said::Deleting => {}
            Said::Deleted => {
                let name = FragmentName::new(text).unwrap();
                assert!(!there.contains(text.as_str()), "{text} was deleted");
                assert_eq!(location.get(&name).await, Err(BackendError::NotFound));
            }
        }
    }
    let usage = location.usage().await.unwrap();
    let bytes = listed.iter().map(|one| one.bytes).sum();
    assert_eq!((usage.fragments, usage.bytes), (there.len() as u64, bytes));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_acknowledged_is_there_whenever_the_process_is_killed() {
    let folder = tempfile::tempdir().unwrap();
    let mut said = BTreeMap::new();
    for round in 0..ROUNDS {
        // From at once to a fifth of a second, scattered.
        let after = Duration::from_micros(round * 7_919_000 % 200_000);
        run_and_kill(folder.path(), round, after, &mut said);

        check(&open(folder.path()), &said).await;
    }
    for kind in [Said::Stored, Said::Deleting, Said::Deleted] {
        let met = said.values().filter(|said| **said == kind).count();
        assert!(met > 20, "only {met} fragments were {kind:?}");
    }
}
