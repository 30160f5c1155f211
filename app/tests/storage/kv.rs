//! `securecloud kv` against a running system: through the gateway, and sealed to the store itself.

use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use serde_json::Value;

use crate::process::Role;
use crate::system::System;

/// What is coded, and not replicated, under every policy with a code.
const LARGE: usize = 300_000;
const SHAPE: &str = r#"{"redundancy": {"kind": "rs", "data": 2, "parity": 1}}"#;
const PLACE: &str = r#"{"backend": {"kind": "fs", "path": "locations/attic"}, "region": "attic"}"#;

/// What reaches one store in one way.
pub(crate) struct Kv<'f> {
    folder: &'f Path,
    variables: Vec<(&'static str, String)>,
}

impl<'f> Kv<'f> {
    /// Through the gateway, as the environment says.
    pub(crate) fn through(system: &System, folder: &'f Path) -> Self {
        let token = folder.join("token").display().to_string();
        let variables = vec![
            ("SECURECLOUD_URL", system.base().to_owned()),
            ("SECURECLOUD_TOKEN", token),
        ];
        Self { folder, variables }
    }

    /// As the arguments alone say.
    pub(crate) fn bare(folder: &'f Path) -> Self {
        let variables = Vec::new();
        Self { folder, variables }
    }

    fn fed(&self, arguments: &[&str], input: &[u8]) -> Output {
        let mut command = Command::new(env!("CARGO_BIN_EXE_securecloud"));
        command.arg("kv").args(arguments).current_dir(self.folder);
        for name in ["URL", "TOKEN", "CA", "KV_KEY"] {
            command.env_remove(format!("SECURECLOUD_{name}"));
        }
        let mut child = command
            .envs(self.variables.iter().map(|(name, value)| (name, value)))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        // Whoever reads nothing may have ended.
        let _ = child.stdin.take().unwrap().write_all(input);
        child.wait_with_output().unwrap()
    }

    /// Runs a command to its good end; returns what it printed.
    #[track_caller]
    pub(crate) fn run(&self, arguments: &[&str]) -> String {
        let output = self.fed(arguments, &[]);
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{arguments:?}: {said}");
        String::from_utf8(output.stdout).unwrap()
    }

    /// The same, with a result in JSON.
    #[track_caller]
    pub(crate) fn json(&self, arguments: &[&str]) -> Value {
        let printed = self.run(&[arguments, &["--json"]].concat());
        serde_json::from_str(&printed).unwrap_or_else(|why| panic!("{why}: {printed}"))
    }

    /// Runs a command to a bad end; returns the status and what it said.
    #[track_caller]
    pub(crate) fn refused(&self, arguments: &[&str]) -> (Option<i32>, String) {
        let output = self.fed(arguments, &[]);
        assert!(!output.status.success(), "{arguments:?}");
        let said = String::from_utf8(output.stderr).unwrap();
        (output.status.code(), said)
    }

    /// The keys that a listing shows, in its order.
    fn keys(&self, target: &str) -> Vec<String> {
        let printed = self.run(&["ls", "-r", "--json", target]);
        let lines = printed.lines();
        let keys = lines.map(|line| serde_json::from_str::<Value>(line).unwrap()["key"].clone());
        keys.map(|key| key.as_str().unwrap().to_owned()).collect()
    }
}

fn tree(folder: &Path) {
    std::fs::create_dir_all(folder.join("tree/sub")).unwrap();
    std::fs::write(folder.join("tree/a.txt"), "one").unwrap();
    std::fs::write(folder.join("tree/sub/b.txt"), vec![7; LARGE]).unwrap();
}

#[test]
fn files_folders_and_pipes_are_stored_listed_read_and_deleted() {
    let folder = tempfile::tempdir().unwrap();
    let system = System::start(folder.path(), &["--processes"]);
    let kv = Kv::through(&system, folder.path());
    tree(folder.path());

    kv.run(&["datastore", "create", "photos", "--policy", "cold"]);
    kv.run(&["put", "tree/a.txt", "photos/first"]);
    kv.run(&["put", "tree", "photos/dir"]);
    let piped = kv.fed(&["put", "-", "photos/piped"], b"through a pipe");
    assert!(piped.status.success());

    assert_eq!(
        kv.keys("photos"),
        ["dir/a.txt", "dir/sub/b.txt", "first", "piped"]
    );
    assert_eq!(kv.keys("photos/dir/s"), ["dir/sub/b.txt"]);
    assert!(kv.run(&["ls", "photos"]).contains("dir/"));
    assert_eq!(kv.run(&["get", "photos/piped", "-"]), "through a pipe");
    kv.run(&["get", "photos/dir/sub/b.txt", "back"]);
    assert_eq!(
        std::fs::read(folder.path().join("back")).unwrap(),
        vec![7; LARGE]
    );
    kv.run(&["rm", "photos/first"]);
    let (status, said) = kv.refused(&["rm", "photos/first"]);
    assert_eq!(status, Some(1));
    assert!(said.contains("photos/first is not there"), "{said}");
    assert!(
        kv.run(&["rm", "-f", "photos/first"])
            .contains("is not there")
    );
    let (status, said) = kv.refused(&["get", "photos/first", "-"]);
    assert_eq!(status, Some(1));
    assert!(said.contains("There is no such object"), "{said}");
    let (_, said) = kv.refused(&["datastore", "rm", "photos"]);
    assert!(said.contains("There is something in it"), "{said}");
    kv.run(&["rm", "-r", "-y", "photos/"]);
    kv.run(&["datastore", "rm", "photos"]);
    system.end();
}

#[test]
fn a_folder_and_a_datastore_are_made_the_same_both_ways() {
    let folder = tempfile::tempdir().unwrap();
    let system = System::start(folder.path(), &[]);
    let kv = Kv::through(&system, folder.path());
    tree(folder.path());
    kv.run(&["datastore", "create", "photos"]);

    let first = kv.run(&["sync", "tree", "photos/mine", "--json"]);
    let again = kv.run(&["sync", "tree", "photos/mine", "--json"]);
    kv.run(&["sync", "photos/mine", "./back"]);
    std::fs::remove_file(folder.path().join("tree/a.txt")).unwrap();
    kv.run(&["sync", "tree", "photos/mine", "--delete"]);

    let summary = |printed: &str| -> Value {
        let last = printed.lines().last().unwrap();
        serde_json::from_str(last).unwrap()
    };
    assert_eq!(summary(&first)["moved"], 2);
    assert_eq!(summary(&again)["moved"], 0);
    assert_eq!(summary(&again)["same"], 2);
    let back = folder.path().join("back");
    assert_eq!(std::fs::read(back.join("a.txt")).unwrap(), b"one");
    assert_eq!(std::fs::read(back.join("sub/b.txt")).unwrap().len(), LARGE);
    assert_eq!(kv.keys("photos"), ["mine/sub/b.txt"]);
    system.end();
}

#[test]
fn stat_maps_where_each_fragment_lies_and_policies_and_locations_are_made() {
    let folder = tempfile::tempdir().unwrap();
    let system = System::start(folder.path(), &[]);
    let kv = Kv::through(&system, folder.path());
    tree(folder.path());
    kv.run(&["datastore", "create", "photos", "--policy", "cold"]);
    kv.run(&["put", "tree/sub/b.txt", "photos/large"]);

    let map = kv.run(&["stat", "photos/large"]);
    let told = kv.json(&["stat", "photos/large"]);
    kv.run(&["policy", "create", "three", SHAPE]);
    let simulation = kv.json(&["policy", "simulate", "three"]);
    kv.run(&["location", "add", "attic", PLACE]);

    for number in 1..=6 {
        assert!(map.contains(&format!("site-{number}")), "{map}");
    }
    assert!(map.contains("nothing is owed"), "{map}");
    let fragments = told["storage"]["segments"][0]["fragments"].as_array();
    let fragments = fragments.unwrap().iter();
    let states: Vec<_> = fragments.map(|it| it["state"].clone()).collect();
    assert_eq!(states, vec![Value::from("stored"); 6]);
    assert_eq!(simulation["fragments"], 3);
    assert_eq!(simulation["fragments_needed"], 2);
    assert_eq!(simulation["space_factor"], 1.5);
    let locations = kv.run(&["location", "ls"]);
    assert!(locations.contains("attic"), "{locations}");
    let (_, said) = kv.refused(&["put", "tree/a.txt", "photos/x", "--policy", "none-such"]);
    assert!(said.contains("There is no such policy"), "{said}");
    let (_, said) = kv.refused(&["put", "tree/a.txt", "photos/x", "--policy", "archive"]);
    assert!(said.contains("Too few locations"), "{said}");
    system.end();
}

#[test]
fn a_wrong_token_and_a_wrong_address_are_told_with_the_fix() {
    let folder = tempfile::tempdir().unwrap();
    let system = System::start(folder.path(), &[]);
    let (kv, bare) = (Kv::through(&system, folder.path()), Kv::bare(folder.path()));
    let wrong = folder.path().join("wrong");
    std::fs::write(&wrong, format!("sc_{}\n", "A".repeat(64))).unwrap();
    let private = std::os::unix::fs::PermissionsExt::from_mode(0o600);
    std::fs::set_permissions(&wrong, private).unwrap();

    for (kv, arguments, status, words) in [
        (
            &kv,
            &["--token", "wrong"][..],
            1,
            "unknown, deleted or expired",
        ),
        (&kv, &["--token", "nowhere"], 2, "nowhere"),
        (&kv, &["--url", "http://127.0.0.1:1"], 1, "is not reached"),
        (
            &kv,
            &["--url", "ftp://here"],
            2,
            "expected a gateway at http://",
        ),
        (&bare, &[], 2, "Name a gateway with --url"),
        (
            &bare,
            &["--url", "ipc:///x"],
            2,
            "name their file with --key",
        ),
    ] {
        let (code, said) = kv.refused(&[arguments, &["ls", "photos"]].concat());
        assert_eq!(code, Some(status), "{arguments:?}: {said}");
        assert!(said.contains(words), "{arguments:?}: {said}");
    }
    system.end();
}

/// Stores, lists and reads at the store itself.
#[track_caller]
fn sealed(kv: &Kv<'_>, url: &str, key: &str, object: &str) {
    let way = ["--url", url, "--key", key];
    let run = |arguments: &[&str]| kv.run(&[&way[..], arguments].concat());
    run(&["put", "tree/a.txt", object]);
    assert!(run(&["ls", "-r", "photos"]).contains(object.rsplit('/').next().unwrap()));
    assert_eq!(run(&["get", object, "-"]), "one");
    assert!(run(&["stat", object]).contains("nothing is owed"));
    let (_, said) = kv.refused(&["--url", url, "ls", "photos"]);
    assert!(said.contains("name their file with --key"), "{said}");
}

#[test]
fn the_store_itself_is_spoken_to_with_no_gateway_between() {
    let folder = tempfile::tempdir().unwrap();
    tree(folder.path());
    let bare = Kv::bare(folder.path());
    let system = System::start(folder.path(), &["--processes"]);
    system.datastore("photos", "cold");
    let socket = format!("ipc://{}", folder.path().join("run/store").display());
    sealed(&bare, &socket, "owner/edge.key", "photos/by-ipc");
    let object = "/v1/datastores/photos/objects/by-ipc";
    assert_eq!(system.ask("GET", object, &[], &[]).text(), "one");
    system.end();

    // The same store by tcp. A gateway brings its coder the root, and has gone when it is spoken to.
    let arguments = ["--address", "127.0.0.1:0", "--catalogue", "catalogue.db"];
    let mut store = Role::start(folder.path(), "store", &arguments);
    let endpoint = store.event("endpoints")["endpoints"][0].clone();
    let endpoint = endpoint.as_str().unwrap();
    let arguments = ["--store", endpoint, "--owner", "owner", "--rest"];
    let more = ["127.0.0.1:0", "--allow-simulation"];
    let mut gateway = Role::start(folder.path(), "gateway", &[&arguments[..], &more].concat());
    gateway.event("rest");
    gateway.end();

    assert!(endpoint.starts_with("tcp://127.0.0.1:"), "{endpoint}");
    sealed(&bare, endpoint, "owner/edge.key", "photos/by-tcp");
    assert_eq!(
        bare.run(&[
            "--url",
            endpoint,
            "--key",
            "owner/edge.key",
            "get",
            "photos/by-ipc",
            "-"
        ]),
        "one"
    );
    store.end();
}

#[test]
fn a_store_that_is_not_there_is_told_soon_and_with_what_to_look_at() {
    let folder = tempfile::tempdir().unwrap();
    let system = System::start(folder.path(), &[]);
    system.end();
    let bare = Kv::bare(folder.path());
    let nobody = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = nobody.local_addr().unwrap();
    drop(nobody);
    let socket = folder.path().join("run/store").display().to_string();

    for url in [format!("tcp://{address}"), format!("ipc://{socket}")] {
        let began = std::time::Instant::now();
        let (code, said) =
            bare.refused(&["--url", &url, "--key", "owner/edge.key", "ls", "photos"]);

        assert!(began.elapsed().as_secs() < 8, "{:?}", began.elapsed());
        assert_eq!(code, Some(1));
        for words in [&*url, "up --processes", "urls.json"] {
            assert!(said.contains(words), "{said}");
        }
        assert!(!said.contains("token"), "{said}");
    }
}

#[test]
fn uploads_that_nobody_completes_are_listed_and_ended() {
    let folder = tempfile::tempdir().unwrap();
    let system = System::start(folder.path(), &[]);
    let kv = Kv::through(&system, folder.path());
    system.datastore("photos", "hot");
    let json = ["Content-Type: application/json"];
    let new = br#"{"datastore": "photos", "key": "half/done"}"#;
    let begun = system.ask("POST", "/v1/uploads", &json, new).json();
    let id = begun["id"].as_str().unwrap();

    let listed = kv.run(&["upload", "ls", "photos"]);
    let (code, elsewhere) = kv.refused(&["upload", "rm", "other", id]);
    kv.run(&["upload", "rm", "photos", id]);

    assert!(
        listed.contains(id) && listed.contains("half/done"),
        "{listed}"
    );
    // A time of these years, and not of 1970.
    assert!(listed.contains(" 20"), "{listed}");
    assert_eq!(code, Some(2));
    assert!(elsewhere.contains("is no upload to other"), "{elsewhere}");
    assert!(!kv.run(&["upload", "ls", "photos"]).contains(id));
    system.end();
}

#[test]
fn a_location_that_does_not_answer_is_not_added_and_stat_names_those_that_fall_silent() {
    let folder = tempfile::tempdir().unwrap();
    let up = folder.path().join("up");
    std::fs::create_dir(&up).unwrap();
    let backend = ["--data", "far", "--address", "127.0.0.1:0"];
    let mut backend = Role::start(folder.path(), "backend", &backend);
    let settings = backend.event("location")["settings"].to_string();
    let system = System::start(&up, &["--locations", "5"]);
    let kv = Kv::through(&system, &up);
    tree(&up);

    let added = kv.run(&["location", "add", "far", &settings]);
    kv.run(&["datastore", "create", "photos", "--policy", "cold"]);
    kv.run(&["put", "tree/sub/b.txt", "photos/large"]);
    let before = kv.run(&["stat", "photos/large"]);
    backend.end();
    let after = kv.run(&["stat", "photos/large"]);
    let (code, silent) = kv.refused(&["location", "add", "silent", &settings]);

    assert!(added.contains("is known"), "{added}");
    assert!(before.contains("nothing is owed\n"), "{before}");
    assert!(after.contains("out of reach: far not answering"), "{after}");
    assert_eq!(code, Some(2), "{silent}");
    assert!(silent.contains("does it admit this store"), "{silent}");
    system.end();
}
