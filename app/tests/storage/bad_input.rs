//! What goes wrong around a running system: odd keys, short bodies, clients that vanish, disks that fill.
//!
//! Each is told clearly or made good in silence, and what was acknowledged before stays.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpStream};
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Resource, Rlimit, Signal, kill_process, prlimit};
use serde_json::Value;

use crate::system::System;

const OBJECTS: &str = "/v1/datastores/data/objects";

/// Keys that are no trouble, as a path has them, and as they are.
const ODD: [(&str, &str); 10] = [
    ("%C3%A4%E2%82%AC%F0%9F%94%91", "ä€🔑"),
    ("%2E%2E", ".."),
    ("..", ".."),
    ("%2E%2E/%2E%2E/owner/roots.toml", "../../owner/roots.toml"),
    ("a//b", "a//b"),
    ("a/", "a/"),
    ("%2F", "/"),
    ("%00", "\0"),
    ("100%25+1%20%3F%23", "100%+1 ?#"),
    ("%0D%0A", "\r\n"),
];

#[test]
fn odd_keys_are_keys_like_any_other() {
    let folder = tempfile::tempdir().unwrap();
    let system = System::start(folder.path(), &["--processes"]);
    system.datastore("data", "hot");
    let longest = "k".repeat(1024);
    let odd = ODD.into_iter().chain([(&*longest, &*longest)]);

    for (path, key) in odd {
        let path = format!("{OBJECTS}/{path}");
        let put = system.ask("PUT", &path, &[], key.as_bytes());
        assert_eq!(put.status, 201, "{key:?}: {}", put.text());
        assert_eq!(put.json()["key"], key);
        let got = system.ask("GET", &path, &[], &[]);
        assert_eq!(got.body, key.as_bytes(), "{key:?}");
        // Where it says that the object is, there it is.
        let at = system.ask("GET", &put.header("location").unwrap(), &[], &[]);
        assert_eq!(at.body, key.as_bytes(), "{key:?}");
    }

    let listed = system.ask("GET", OBJECTS, &[], &[]).json();
    let keys = listed["objects"].as_array().unwrap().iter();
    let keys: Vec<_> = keys.map(|it| it["key"].as_str().unwrap()).collect();
    let mut expected: Vec<_> = ODD.iter().map(|(_, key)| *key).collect();
    expected.push(&longest);
    expected.sort_unstable();
    expected.dedup();
    assert_eq!(keys, expected);
    system.end();
}

#[test]
fn what_is_no_key_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let system = System::start(folder.path(), &[]);
    system.datastore("data", "hot");

    for path in [
        "",
        &"k".repeat(1025),
        &"%C3%A4".repeat(513),
        "%FF",
        "%ED%A0%80",
    ] {
        let put = system.ask("PUT", &format!("{OBJECTS}/{path}"), &[], b"x");
        assert_eq!(put.status, 400, "{path}: {}", put.text());
        assert_eq!(put.json()["code"], "malformed");
    }

    let listed = system.ask("GET", OBJECTS, &[], &[]).json();
    assert_eq!(listed["objects"], Value::Array(Vec::new()));
    system.end();
}

/// Sends a part of a PUT; returns the connection.
fn begun(system: &System, path: &str, promised: usize, sent: &[u8]) -> TcpStream {
    let address = system.base().strip_prefix("http://").unwrap();
    let mut stream = TcpStream::connect(address).unwrap();
    let head = format!(
        "PUT {path} HTTP/1.1\r\nHost: {address}\r\nAuthorization: Bearer {}\r\nContent-Length: {promised}\r\n\r\n",
        system.token
    );
    stream.write_all(head.as_bytes()).unwrap();
    stream.write_all(sent).unwrap();
    stream
}

#[test]
fn a_body_that_ends_early_stores_nothing_and_takes_nothing_away() {
    let folder = tempfile::tempdir().unwrap();
    let system = System::start(folder.path(), &["--processes"]);
    system.datastore("data", "cold");
    let path = format!("{OBJECTS}/k");
    assert_eq!(system.ask("PUT", &path, &[], b"before").status, 201);
    // Less than a segment, and more than one.
    for sent in [vec![1; 10], vec![2; 5 << 20]] {
        let mut short = begun(&system, &path, 20 << 20, &sent);
        short.shutdown(Shutdown::Write).unwrap();
        let mut said = Vec::new();
        let _ = short.read_to_end(&mut said);
        let said = String::from_utf8_lossy(&said).into_owned();
        assert!(said.is_empty() || said.contains(" 400 "), "{said}");

        // One that vanishes is not even there to be told.
        drop(begun(&system, &path, 20 << 20, &sent));
        drop(begun(&system, &format!("{OBJECTS}/new"), 20 << 20, &sent));
    }

    assert_eq!(system.ask("GET", &path, &[], &[]).body, b"before");
    let new = system.ask("GET", &format!("{OBJECTS}/new"), &[], &[]);
    assert_eq!(new.status, 404);
    assert_eq!(system.ask("PUT", &path, &[], b"after").status, 201);
    assert_eq!(system.ask("GET", &path, &[], &[]).body, b"after");
    system.end();
}

/// Asks for the same until it is done.
fn until_stored(system: &System, path: &str, body: &[u8]) {
    let until = Instant::now() + Duration::from_secs(40);
    loop {
        let answer = system.ask("PUT", path, &[], body);
        if answer.status == 201 {
            return;
        }
        assert!(Instant::now() < until, "{}", answer.text());
        std::thread::sleep(Duration::from_millis(200));
    }
}

#[test]
fn a_coder_that_is_killed_in_the_middle_of_an_upload_costs_a_retry() {
    let folder = tempfile::tempdir().unwrap();
    let system = System::start(folder.path(), &["--processes"]);
    system.datastore("data", "cold");
    let large = vec![9; 16 << 20];
    let path = format!("{OBJECTS}/k");
    assert_eq!(system.ask("PUT", &path, &[], b"before").status, 201);

    let mut upload = begun(&system, &path, large.len(), &large[..9 << 20]);
    let coder = crate::process::children_of(system.pid("store"));
    assert_eq!(coder.len(), 1);
    let pid = Pid::from_raw(i32::try_from(coder[0]).unwrap()).unwrap();
    kill_process(pid, Signal::KILL).unwrap();
    // It may have been refused by now.
    let _ = upload.write_all(&large[9 << 20..]);
    let _ = upload.shutdown(Shutdown::Write);
    let mut said = Vec::new();
    let _ = upload.read_to_end(&mut said);

    let said = String::from_utf8_lossy(&said).into_owned();
    let is_clear = said.is_empty()
        || [" 201 ", " 503 ", " 504 "]
            .iter()
            .any(|it| said.contains(it));
    assert!(is_clear, "{said}");
    until_stored(&system, &path, &large);
    assert!(system.ask("GET", &path, &[], &[]).body == large);
    system.end();
}

/// Lets no file of a process grow beyond so many bytes.
fn limit_files(pid: u32, bytes: Option<u64>) {
    let pid = Pid::from_raw(i32::try_from(pid).unwrap());
    let (current, maximum) = (bytes, None);
    prlimit(pid, Resource::Fsize, Rlimit { current, maximum }).unwrap();
}

/// A system whose processes are told by an error, and not by a signal, that a file may not grow.
fn with_limits_told(folder: &Path) -> System {
    let mut shell = Command::new("sh");
    shell.args(["-c", "trap '' XFSZ; exec \"$0\" \"$@\""]);
    System::start_by(shell, folder, &["--processes"])
}

#[test]
fn a_disk_that_fills_is_told_and_what_was_acknowledged_stays() {
    let folder = tempfile::tempdir().unwrap();
    let system = with_limits_told(folder.path());
    system.datastore("data", "cold");
    let large = vec![7; 8 << 20];
    let before = format!("{OBJECTS}/before");
    assert_eq!(system.ask("PUT", &before, &[], &large).status, 201);

    // Fragments of a segment are larger than what still fits.
    limit_files(system.pid("store"), Some(200_000));
    let refused = system.ask("PUT", &format!("{OBJECTS}/while"), &[], &large);
    let still = system.ask("GET", &before, &[], &[]);
    limit_files(system.pid("store"), None);

    assert_eq!(refused.status, 503, "{}", refused.text());
    assert_eq!(refused.json()["code"], "unavailable");
    assert!(still.body == large);
    until_stored(&system, &format!("{OBJECTS}/after"), &large);
    for (name, status) in [("before", 200), ("while", 404), ("after", 200)] {
        let got = system.ask("GET", &format!("{OBJECTS}/{name}"), &[], &[]);
        assert_eq!(got.status, status, "{name}");
        assert!(status != 200 || got.body == large, "{name}");
    }
    system.end();
}
