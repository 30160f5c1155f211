//! The catalogue in PostgreSQL: everything works there, its files hold no plaintext, and its end under load loses nothing.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use tempfile::TempDir;

use crate::process::holds;
use crate::system::System;

const SCRIPT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/services/postgres.sh");
const OBJECTS: &str = "/v1/datastores/data/objects";
const BODY: &[u8] = b"plantedbody3Kx-plantedbody3Kx-plantedbody3Kx";
const META: &str = "plantedmeta8Tn";
const TAG: &str = "plantedtag5Qd";
const KEY: &str = "plantedkey6Mb";

/// A server of one test's own, gone with it.
pub(crate) struct Postgres {
    folder: TempDir,
    pub(crate) url: String,
}

impl Postgres {
    pub(crate) fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        // The server is another user than root, who may not enter it.
        let open = std::os::unix::fs::PermissionsExt::from_mode(0o755);
        std::fs::set_permissions(folder.path(), open).unwrap();
        let mut server = Self {
            folder,
            url: String::new(),
        };
        server.url = server.script("start", &[]);
        server
    }

    fn place(&self) -> PathBuf {
        self.folder.path().join("pg")
    }

    fn script(&self, verb: &str, more: &[&str]) -> String {
        let output = Command::new(SCRIPT)
            .args([verb, "--dir"])
            .arg(self.place())
            .args(more)
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{verb}: {said}");
        String::from_utf8(output.stdout).unwrap().trim().to_owned()
    }

    /// Ends it as a crash does, and starts it again at the same port.
    fn crash_and_return(&self) {
        self.script("stop", &[]);
        let port = std::fs::read_to_string(self.place().join("port")).unwrap();
        self.script("start", &["--port", port.trim()]);
    }

    fn files_hold(&self, text: &[u8]) -> bool {
        let mut folders = vec![self.place()];
        let (mut found, mut searched) = (false, 0);
        while let Some(folder) = folders.pop() {
            for entry in std::fs::read_dir(folder).unwrap().flatten() {
                let path = entry.path();
                if path.is_dir() {
                    folders.push(path);
                } else if let Ok(bytes) = std::fs::read(&path) {
                    searched += bytes.len();
                    found |= holds(&bytes, text);
                }
            }
        }
        assert!(searched > 16 << 20, "only {searched} bytes could be read");
        found
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        let mut wipe = Command::new(SCRIPT);
        // The test has failed or passed by now.
        let _ = wipe.args(["wipe", "--dir"]).arg(self.place()).output();
    }
}

fn start(data: &Path, server: &Postgres) -> System {
    System::start(data, &["--processes", "--catalogue", &server.url])
}

#[test]
fn what_is_put_is_read_and_listed_and_the_database_holds_none_of_it() {
    let server = Postgres::start();
    let folder = tempfile::tempdir().unwrap();
    let system = start(folder.path(), &server);
    system.datastore("data", "cold");
    let path = format!("{OBJECTS}/{KEY}");
    let meta = format!("X-Meta-Author: {META}");
    let tags = format!("X-Tags: kind={TAG}");
    for _ in 0..10 {
        let put = system.ask("PUT", &path, &[&meta, &tags], BODY);
        assert_eq!(put.status, 201, "{}", put.text());
        let got = system.ask("GET", &path, &[], &[]);
        assert_eq!(got.body, BODY);
        assert_eq!(got.header("x-meta-author").as_deref(), Some(META));
    }
    let listed = system.ask("GET", OBJECTS, &[], &[]).json();
    assert_eq!(listed["objects"][0]["key"], KEY);
    assert_eq!(listed["objects"][0]["tags"]["kind"], TAG);

    for (what, text) in [
        ("the body", BODY),
        ("metadata", META.as_bytes()),
        ("a tag", TAG.as_bytes()),
        ("SHA-256 of the body", &sc_crypto::hash::sha256(BODY)),
        ("the token", system.token.as_bytes()),
    ] {
        assert!(!server.files_hold(text), "{what} is in the database");
    }
    assert!(server.files_hold(KEY.as_bytes()));
    assert!(!folder.path().join("catalogue.db").exists());
    // Another start finds it there.
    system.end();
    let system = start(folder.path(), &server);
    assert_eq!(system.ask("GET", &path, &[], &[]).body, BODY);
    system.end();
}

#[test]
fn a_database_that_restarts_under_load_loses_nothing_that_was_acknowledged() {
    let server = Postgres::start();
    let folder = tempfile::tempdir().unwrap();
    let system = start(folder.path(), &server);
    system.datastore("data", "cold");
    let stop = AtomicBool::new(false);
    let put = |name: &str| system.ask("PUT", &format!("{OBJECTS}/{name}"), &[], name.as_bytes());

    let answers: Vec<(String, u16)> = std::thread::scope(|scope| {
        let clients: Vec<_> = (0..4)
            .map(|client| {
                let (put, stop) = (&put, &stop);
                scope.spawn(move || {
                    let mut answers = Vec::new();
                    while !stop.load(Ordering::Relaxed) {
                        let name = format!("{client}-{}", answers.len());
                        let status = put(&name).status;
                        answers.push((name, status));
                    }
                    answers
                })
            })
            .collect();
        std::thread::sleep(Duration::from_millis(500));
        server.crash_and_return();
        let until = Instant::now() + Duration::from_secs(40);
        while put("after").status != 201 {
            assert!(Instant::now() < until, "no PUT since the database is back");
        }
        std::thread::sleep(Duration::from_millis(500));
        stop.store(true, Ordering::Relaxed);
        let clients = clients.into_iter();
        clients.flat_map(|client| client.join().unwrap()).collect()
    });

    let mut acknowledged = 0;
    for (name, status) in &answers {
        // Anything else would not tell a client to come back.
        assert!([201, 503, 504].contains(status), "{name}: {status}");
        if *status == 201 {
            let got = system.ask("GET", &format!("{OBJECTS}/{name}"), &[], &[]);
            assert_eq!(got.body, name.as_bytes(), "{name}");
            acknowledged += 1;
        }
    }
    assert!(acknowledged > 0, "{answers:?}");
    // It did end, in the middle of all that.
    let log = std::fs::read_to_string(server.place().join("log/postgres.log")).unwrap();
    assert!(log.contains("immediate shutdown request"), "{log}");
    let listed = system.ask("GET", &format!("{OBJECTS}?limit=1000"), &[], &[]);
    let keys = listed.json()["objects"].as_array().map(Vec::len);
    assert!(keys > Some(acknowledged), "{keys:?} of {acknowledged}");
    system.end();
}
