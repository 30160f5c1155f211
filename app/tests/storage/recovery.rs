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
    let restore = "kv catalogue restore monday.db --data store";
    let said = refused(folder, restore);
    assert!(said.contains("is in use by another"), "{said}");
    system.end();
    let said = refused(folder, restore);
    assert!(said.contains("is not overwritten"), "{said}");

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

/// Moves a location's folder, as its disk is unmounted or mounted.
fn move_location(folder: &Path, name: &str, is_away: bool) {
    let here = folder.join("store/locations").join(name);
    let away = folder.join("away").join(name);
    let (from, to) = if is_away { (here, away) } else { (away, here) };
    std::fs::rename(from, to).unwrap();
}

#[test]
fn locations_that_were_not_mounted_at_a_rebuild_are_neither_made_anew_nor_forgotten() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let data = folder.join("store");
    std::fs::create_dir(&data).unwrap();
    let system = System::start(&data, &[]);
    system.datastore("photos", "cold");
    for number in 0..30 {
        put(&system, &format!("photos/objects/{number}"), b"content");
    }
    system.end();
    lose(folder);
    std::fs::create_dir(folder.join("away")).unwrap();
    // More than the policy bears, one of them with the mount point that is left.
    for name in ["site-1", "site-2", "site-4"] {
        move_location(folder, name, true);
    }
    let mount_point = data.join("locations/site-2");
    std::fs::create_dir(&mount_point).unwrap();

    let rebuild = "up --data store --rebuild --port 0 --router-port 0";
    let said = refused(folder, rebuild);
    assert!(said.contains("site-2: mount its disk"), "{said}");
    assert!(!data.join("catalogue.db").exists());
    std::fs::remove_dir(&mount_point).unwrap();
    let system = System::start(&data, &["--rebuild"]);
    let kv = |line: &str| {
        let url = system.base();
        done(
            folder,
            &format!("kv --url {url} --token store/token {line}"),
        )
    };
    let locations = kv("location ls");
    assert!(
        locations.contains("site-3") && !locations.contains("site-4"),
        "{locations}"
    );
    assert!(kv("gc").contains("is done"));
    system.end();

    for name in ["site-1", "site-2", "site-4"] {
        move_location(folder, name, false);
    }
    let system = System::start(&data, &["--rebuild"]);
    for number in 0..30 {
        let path = format!("photos/objects/{number}");
        assert_eq!(status(&system, &path), 200, "{number}");
    }
    system.end();

    let nothing = folder.join("nothing");
    let said = refused(
        folder,
        "up --data nothing --rebuild --port 0 --router-port 0",
    );
    assert!(said.contains("leave out --rebuild"), "{said}");
    assert!(!nothing.join("catalogue.db").exists());
}
