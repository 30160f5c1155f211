//! Locations at a distance: `securecloud backend`, and stores that use it.

use std::path::Path;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::http::Answer;
use crate::process::Role;
use crate::system::System;

const NOBODYS_KEY: &str = "27a1f9b8c3d0e4f52736485960718293a4b5c6d7e8f9010213243546576879aa";
/// Too long to be packed, so that each fragment is a file.
const LARGE: usize = 600_000;

/// A running backend, and what makes a location of it.
struct Backend {
    role: Role,
    settings: Value,
}

impl Backend {
    fn start(folder: &Path, name: &str, address: &str, flags: &[&str]) -> Self {
        let arguments = [&["--data", name, "--address", address], flags].concat();
        let mut role = Role::start(folder, "backend", &arguments);
        let settings = role.event("location")["settings"].clone();
        Self { role, settings }
    }

    /// The endpoint, to be started at again.
    fn address(&self) -> String {
        self.settings["backend"]["endpoint"]
            .as_str()
            .unwrap()
            .to_owned()
    }
}

fn put_location(system: &System, name: &str, settings: &Value) -> Answer {
    let body = json!({ "settings": settings }).to_string();
    let path = format!("/v1/locations/{name}");
    let json = ["Content-Type: application/json"];
    system.ask("PUT", &path, &json, body.as_bytes())
}

/// The folder of `up`, made.
fn up(folder: &tempfile::TempDir) -> std::path::PathBuf {
    let up = folder.path().join("up");
    std::fs::create_dir(&up).unwrap();
    up
}

fn body(byte: u8) -> Vec<u8> {
    vec![byte; LARGE]
}

#[test]
fn fragments_go_to_backends_elsewhere_and_their_loss_is_survived() {
    let folder = tempfile::tempdir().unwrap();
    let near = Backend::start(folder.path(), "near", "127.0.0.1:0", &[]);
    let far = Backend::start(folder.path(), "far", "127.0.0.1:0", &[]);
    let (near_address, far_address) = (near.address(), far.address());
    let system = System::start(&up(&folder), &["--processes", "--locations", "4"]);
    for (name, backend) in [("near", &near), ("far", &far)] {
        let added = put_location(&system, name, &backend.settings);
        assert_eq!(added.status, 200, "{}", added.text());
    }
    system.datastore("data", "cold");
    let path = "/v1/datastores/data/objects/first";

    let put = system.ask("PUT", path, &[], &body(1));

    assert_eq!(put.status, 201, "{}", put.text());
    let stat = system.ask("GET", "/v1/datastores/data/stat?key=first", &[], &[]);
    let text = stat.text();
    assert!(
        text.contains("\"near\"") && text.contains("\"far\""),
        "{text}"
    );
    assert!(system.ask("GET", path, &[], &[]).body == body(1));

    // Both die at once; then they come back with what they had.
    drop((near, far));
    assert!(system.ask("GET", path, &[], &[]).body == body(1));
    let second = "/v1/datastores/data/objects/second";
    let put = system.ask("PUT", second, &[], &body(2));
    assert_eq!(put.status, 201, "{}", put.text());
    let _near = Backend::start(folder.path(), "near", &near_address, &[]);
    let _far = Backend::start(folder.path(), "far", &far_address, &[]);
    for lost in ["site-1", "site-2"] {
        std::fs::remove_dir_all(folder.path().join("up/locations").join(lost)).unwrap();
    }
    assert!(system.ask("GET", path, &[], &[]).body == body(1));
    system.end();
}

#[test]
fn a_backend_serves_the_stores_that_it_admits_and_a_store_the_backend_that_it_was_told_of() {
    let folder = tempfile::tempdir().unwrap();
    let strict = Backend::start(
        folder.path(),
        "strict",
        "127.0.0.1:0",
        &["--admit", NOBODYS_KEY],
    );
    let open = Backend::start(folder.path(), "open", "127.0.0.1:0", &[]);
    let mut other = open.settings.clone();
    other["backend"]["key"] = json!(NOBODYS_KEY);
    let system = System::start(&up(&folder), &["--locations", "2"]);
    for (name, settings) in [("strict", &strict.settings), ("other", &other)] {
        let refused = put_location(&system, name, settings);
        assert_eq!(refused.status, 400, "{}", refused.text());
        assert!(refused.text().contains("no link"), "{}", refused.text());
    }
    let mut broken = open.settings.clone();
    broken["backend"]["key"] = json!("ab");
    let refused = put_location(&system, "broken", &broken);
    assert!(
        refused.text().contains("64 hexadecimal digits"),
        "{}",
        refused.text()
    );
    system.datastore("data", "hot");
    let path = "/v1/datastores/data/objects/k";

    assert_eq!(put_location(&system, "open", &open.settings).status, 200);
    let put = system.ask("PUT", path, &[], &body(1));
    assert_eq!(put.status, 201, "{}", put.text());
    assert!(holds_files(&folder.path().join("open/fragments/objects")));
    assert!(!holds_files(
        &folder.path().join("strict/fragments/objects")
    ));
    system.end();
    open.role.end();
}

#[test]
fn one_backend_under_two_names_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let backend = Backend::start(folder.path(), "disk", "127.0.0.1:0", &[]);
    let system = System::start(&up(&folder), &["--locations", "1"]);
    assert_eq!(put_location(&system, "one", &backend.settings).status, 200);
    // Again under its own name is well.
    assert_eq!(put_location(&system, "one", &backend.settings).status, 200);

    let refused = put_location(&system, "two", &backend.settings);

    assert_eq!(refused.status, 409, "{}", refused.text());
    assert!(
        refused.text().contains("known already, as \\\"one\\\""),
        "{}",
        refused.text()
    );
    system.end();
}

#[test]
fn a_backend_whose_disk_is_not_mounted_takes_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let backend = Backend::start(folder.path(), "disk", "127.0.0.1:0", &[]);
    let address = backend.address();
    let system = System::start(&up(&folder), &["--locations", "2"]);
    assert_eq!(put_location(&system, "far", &backend.settings).status, 200);
    system.datastore("data", "hot");
    let path = "/v1/datastores/data/objects/first";
    assert_eq!(system.ask("PUT", path, &[], &body(1)).status, 201);
    backend.role.end();
    let disk = folder.path().join("disk/fragments");
    std::fs::rename(&disk, folder.path().join("away")).unwrap();

    let backend = Backend::start(folder.path(), "disk", &address, &[]);
    let put = system.ask("PUT", "/v1/datastores/data/objects/second", &[], &body(2));

    assert_eq!(put.status, 201, "{}", put.text());
    assert!(!holds_files(&disk.join("objects")));
    assert!(system.ask("GET", path, &[], &[]).body == body(1));
    backend.role.end();
    std::fs::remove_dir_all(&disk).unwrap();
    std::fs::rename(folder.path().join("away"), &disk).unwrap();
    let _backend = Backend::start(folder.path(), "disk", &address, &[]);
    // What it had counts again.
    for lost in ["site-1", "site-2"] {
        std::fs::remove_dir_all(folder.path().join("up/locations").join(lost)).unwrap();
    }
    system.get_until_well(path, &body(1));
    system.end();
}

#[test]
fn a_backend_that_hangs_holds_up_no_read_and_one_write_for_a_moment() {
    let folder = tempfile::tempdir().unwrap();
    let backend = Backend::start(folder.path(), "disk", "127.0.0.1:0", &[]);
    let system = System::start(&up(&folder), &["--locations", "5"]);
    assert_eq!(put_location(&system, "far", &backend.settings).status, 200);
    system.datastore("data", "cold");
    let large = vec![3; 24 << 20];
    let timed = |method: &str, key: &str, sent: &[u8]| {
        let begun = Instant::now();
        let path = format!("/v1/datastores/data/objects/{key}");
        let answer = system.ask(method, &path, &[], sent);
        assert!(answer.status < 300, "{}", answer.text());
        assert!(method != "GET" || answer.body == large);
        begun.elapsed()
    };
    timed("PUT", "before", &large);

    backend.role.signal("STOP");
    // A test build on a busy machine moves the object itself in a second or two; a call to the backend would last ten.
    let moment = Duration::from_secs(8);
    assert!(timed("GET", "before", &[]) < moment);
    let writes = ["first", "second", "third"].map(|key| timed("PUT", key, &large));
    let reads = ["before", "second"].map(|key| timed("GET", key, &[]));
    let deleted = timed("DELETE", "second", &[]);

    assert!(writes.iter().sum::<Duration>() < 2 * moment, "{writes:?}");
    assert!(reads.iter().all(|it| *it < moment), "{reads:?}");
    assert!(deleted < moment, "{deleted:?}");
    backend.role.signal("CONT");
    system.end();
}

/// Whether there is a file anywhere below.
fn holds_files(folder: &Path) -> bool {
    let entries = std::fs::read_dir(folder).unwrap().map(Result::unwrap);
    let mut paths = entries.map(|entry| entry.path());
    paths.any(|path| path.is_file() || holds_files(&path))
}
