//! What a newcomer does whose catalogue is gone: the commands of the README, and everything is back.

use std::path::Path;
use std::process::{Command, Output};
use std::time::{Duration, Instant};

use crate::system::System;

fn run(folder: &Path, line: &str) -> Output {
    Command::new(env!("CARGO_BIN_EXE_securecloud"))
        .args(line.split(' '))
        .current_dir(folder)
        .env_remove("CARGO_MANIFEST_DIR")
        .output()
        .unwrap()
}

#[track_caller]
fn done(folder: &Path, line: &str) -> String {
    let output = run(folder, line);
    assert!(output.status.success(), "{line}: {output:?}");
    String::from_utf8(output.stdout).unwrap()
}

#[track_caller]
fn refused(folder: &Path, line: &str) -> String {
    let output = run(folder, line);
    assert!(!output.status.success(), "{line}: {output:?}");
    String::from_utf8(output.stderr).unwrap()
}

fn lose(folder: &Path) {
    for end in ["", "-wal", "-shm"] {
        let _ = std::fs::remove_file(folder.join(format!("store/catalogue.db{end}")));
    }
}

#[track_caller]
fn put(system: &System, path: &str, body: &[u8]) {
    let path = format!("/v1/datastores/{path}");
    let put = system.ask("PUT", &path, &[], body);
    assert_eq!(put.status, 201, "{path}: {}", put.text());
}

fn status(system: &System, path: &str) -> u16 {
    let path = format!("/v1/datastores/{path}");
    system.ask("GET", &path, &[], &[]).status
}

fn lost_and_found(flags: &[&str]) {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let data = folder.join("store");
    std::fs::create_dir(&data).unwrap();
    let system = System::start(&data, flags);
    system.datastore("photos", "cold");
    system.datastore("empty", "hot");
    for name in ["first", "second", "third"] {
        put(&system, &format!("photos/objects/{name}"), name.as_bytes());
    }
    put(&system, "photos/objects/first", b"first again");
    let gone = system.ask("DELETE", "/v1/datastores/photos/objects/third", &[], &[]);
    assert_eq!(gone.status, 204, "{}", gone.text());
    system.end();

    lose(folder);
    let said = refused(folder, "up --data store --port 0 --router-port 0");
    assert!(
        said.contains("securecloud up --data") && said.contains("--rebuild"),
        "{said}"
    );
    let system = System::start(&data, &[flags, &["--rebuild"]].concat());

    // The token is the one of before.
    let first = system.ask("GET", "/v1/datastores/photos/objects/first", &[], &[]);
    assert_eq!((first.status, &first.body[..]), (200, &b"first again"[..]));
    assert_eq!(status(&system, "photos/objects/second"), 200);
    assert_eq!(status(&system, "photos/objects/third"), 404);
    assert_eq!(status(&system, "empty"), 200);
    put(&system, "empty/objects/new", b"new");
    system.end();

    let system = System::start(&data, flags);
    assert_eq!(status(&system, "empty/objects/new"), 200);
    system.end();
}

#[test]
fn a_lost_catalogue_is_made_again_with_threads() {
    lost_and_found(&[]);
}

#[test]
fn a_lost_catalogue_is_made_again_with_processes() {
    lost_and_found(&["--processes"]);
}

#[test]
fn a_backup_is_put_back_and_what_came_after_it_is_found() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let data = folder.join("store");
    std::fs::create_dir(&data).unwrap();
    let system = System::start(&data, &[]);
    system.datastore("photos", "cold");
    put(&system, "photos/objects/old", b"old");
    put(&system, "photos/objects/gone", b"gone");
    let said = done(folder, "kv catalogue backup monday.db --data store");
    assert!(said.contains("sha256"), "{said}");
    put(&system, "photos/objects/new", b"new");
    system.ask("DELETE", "/v1/datastores/photos/objects/gone", &[], &[]);
    let again = refused(folder, "kv catalogue backup monday.db --data store");
    assert!(again.contains("there already"), "{again}");
    let is_there = refused(folder, "kv catalogue restore monday.db --data store");
    assert!(is_there.contains("is not overwritten"), "{is_there}");
    system.end();

    lose(folder);
    let mut meddled = std::fs::read(folder.join("monday.db")).unwrap();
    let last = meddled.len() - 1;
    meddled[last] ^= 1;
    std::fs::write(folder.join("tuesday.db"), meddled).unwrap();
    let copied = folder.join("tuesday.db.sha256");
    std::fs::copy(folder.join("monday.db.sha256"), copied).unwrap();
    let wrong = refused(folder, "kv catalogue restore tuesday.db --data store");
    assert!(wrong.contains("is not what was copied"), "{wrong}");
    done(folder, "kv catalogue restore monday.db --data store");
    let system = System::start(&data, &[]);

    for (name, expected) in [("old", 200), ("new", 200), ("gone", 404)] {
        let path = format!("photos/objects/{name}");
        assert_eq!(status(&system, &path), expected, "{name}");
    }
    // And again, while it runs.
    let line = format!(
        "kv catalogue rebuild --url {} --token store/token",
        system.base()
    );
    let said = done(folder, &line);
    assert!(said.contains("whole again"), "{said}");
    assert_eq!(status(&system, "photos/objects/new"), 200);
    system.end();
}

#[test]
fn a_root_is_rotated_while_requests_go_on() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let data = folder.join("store");
    std::fs::create_dir(&data).unwrap();
    let system = System::start(&data, &["--processes"]);
    system.datastore("photos", "cold");
    put(&system, "photos/objects/before", b"before");
    let said = done(folder, "credentials rotate-root --owner store/owner");
    assert!(said.contains("root 2"), "{said}");

    let until = Instant::now() + Duration::from_secs(40);
    let mut number = 0;
    loop {
        put(&system, &format!("photos/objects/{number}"), b"meanwhile");
        assert_eq!(status(&system, "photos/objects/before"), 200);
        number += 1;
        let entry = system.ask("GET", "/v1/datastores/photos", &[], &[]);
        if entry.text().contains(r#""root":2"#) {
            break;
        }
        assert!(Instant::now() < until, "{}", entry.text());
        std::thread::sleep(Duration::from_millis(50));
    }
    put(&system, "photos/objects/after", b"after");
    system.end();

    // What starts anew has both roots.
    let system = System::start(&data, &[]);
    for name in ["before", "0", "after"] {
        assert_eq!(status(&system, &format!("photos/objects/{name}")), 200);
    }
    system.end();
    lose(folder);
    let system = System::start(&data, &["--rebuild"]);
    for name in ["before", "0", "after"] {
        assert_eq!(status(&system, &format!("photos/objects/{name}")), 200);
    }
    system.end();
}
