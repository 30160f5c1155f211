//! What a newcomer does with a fresh system, and what is still there after it has ended or was killed.

use crate::system::System;

const POLICIES: [&str; 3] = ["hot", "cold", "coded"];

fn content(bytes: usize) -> Vec<u8> {
    let mut state = 88_172_645_463_325_252_u64;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()
    };
    let mut out: Vec<u8> = std::iter::repeat_with(&mut next)
        .flatten()
        .take(bytes)
        .collect();
    out.shrink_to_fit();
    out
}

fn put_and_read(flags: &[&str]) {
    let folder = tempfile::tempdir().unwrap();
    let system = System::start(folder.path(), flags);
    system.datastore("data", "cold");

    for policy in POLICIES {
        for bytes in [0, 1, 4096, (5 << 20) + 3] {
            let path = format!("/v1/datastores/data/objects/{policy}/{bytes}");
            let stored = content(bytes);
            let policy = format!("X-Storage-Policy: {policy}");
            let put = system.ask("PUT", &path, &[&policy], &stored);
            assert_eq!(put.status, 201, "{path}: {}", put.text());

            let got = system.ask("GET", &path, &[], &[]);
            assert_eq!(got.status, 200);
            assert!(got.body == stored, "{path}");
            assert_eq!(got.header("etag"), put.header("etag"));
        }
    }
    let range = ["Range: bytes=4194300-4194310"];
    let path = format!("/v1/datastores/data/objects/coded/{}", (5 << 20) + 3);
    let part = system.ask("GET", &path, &range, &[]);
    assert_eq!(part.status, 206);
    assert_eq!(part.body, content((5 << 20) + 3)[4_194_300..=4_194_310]);
    system.end();
}

#[test]
fn what_is_put_is_read_with_threads() {
    put_and_read(&[]);
}

#[test]
fn what_is_put_is_read_with_processes() {
    put_and_read(&["--processes"]);
}

#[test]
fn acknowledged_objects_survive_an_end_and_a_kill() {
    let folder = tempfile::tempdir().unwrap();
    let mut stored: Vec<String> = Vec::new();
    for round in 0..4 {
        let system = System::start(folder.path(), &["--processes"]);
        if round == 0 {
            system.datastore("data", "cold");
        }
        for path in &stored {
            assert_eq!(system.ask("GET", path, &[], &[]).body, content(3000));
        }
        for number in 0..20 {
            let path = format!("/v1/datastores/data/objects/{round}/{number}");
            let put = system.ask("PUT", &path, &[], &content(3000));
            assert_eq!(put.status, 201, "{}", put.text());
            stored.push(path);
        }
        if round % 2 == 0 {
            system.kill();
        } else {
            system.end();
        }
    }
}

#[test]
fn with_two_locations_gone_everything_reads_back() {
    let folder = tempfile::tempdir().unwrap();
    let system = System::start(folder.path(), &[]);
    system.datastore("data", "cold");
    for policy in POLICIES {
        let path = format!("/v1/datastores/data/objects/{policy}");
        let policy = format!("X-Storage-Policy: {policy}");
        let put = system.ask("PUT", &path, &[&policy], &content(1 << 20));
        assert_eq!(put.status, 201);
    }
    system.end();
    for name in ["site-1", "site-4"] {
        std::fs::remove_dir_all(folder.path().join("locations").join(name)).unwrap();
    }

    let system = System::start(folder.path(), &[]);

    for policy in POLICIES {
        let path = format!("/v1/datastores/data/objects/{policy}");
        assert!(system.ask("GET", &path, &[], &[]).body == content(1 << 20));
    }
    system.end();
}

#[test]
fn a_location_whose_disk_is_not_mounted_takes_nothing_until_it_is() {
    let folder = tempfile::tempdir().unwrap();
    let site = folder.path().join("locations/site-1");
    let away = folder.path().join("away");
    let system = System::start(folder.path(), &[]);
    system.datastore("data", "cold");
    let put = |system: &System, key: &str| {
        let path = format!("/v1/datastores/data/objects/{key}");
        let put = system.ask("PUT", &path, &[], &content(1 << 20));
        assert_eq!(put.status, 201, "{}", put.text());
    };
    put(&system, "before");
    system.end();
    std::fs::rename(&site, &away).unwrap();
    std::fs::create_dir(&site).unwrap();

    let system = System::start(folder.path(), &[]);
    put(&system, "meanwhile");
    let locations = system.ask("GET", "/v1/locations", &[], &[]).json();
    let first = &locations["locations"][0];
    assert_eq!(first["name"], "site-1");
    assert_eq!(first["answers"], false);
    let why = first["why"].as_str().unwrap();
    assert!(why.contains("mount its disk"), "{why}");
    assert_eq!(std::fs::read_dir(&site).unwrap().count(), 0);
    std::fs::remove_dir(&site).unwrap();
    std::fs::rename(&away, &site).unwrap();

    // It is found again while the store runs.
    let until = std::time::Instant::now() + std::time::Duration::from_secs(30);
    while system.ask("GET", "/v1/locations", &[], &[]).json()["locations"][0]["answers"] == false {
        assert!(std::time::Instant::now() < until);
        std::thread::sleep(std::time::Duration::from_millis(200));
    }
    for lost in ["site-2", "site-3"] {
        std::fs::remove_dir_all(folder.path().join("locations").join(lost)).unwrap();
    }
    let path = "/v1/datastores/data/objects/before";
    assert!(system.ask("GET", path, &[], &[]).body == content(1 << 20));
    system.end();
}

#[test]
fn with_a_location_lost_that_fragments_want_deleting_still_succeeds() {
    let folder = tempfile::tempdir().unwrap();
    let system = System::start(folder.path(), &[]);
    system.datastore("data", "cold");
    let path = "/v1/datastores/data/objects/k";
    assert_eq!(system.ask("PUT", path, &[], &content(3000)).status, 201);
    let json = ["Content-Type: application/json"];
    let lost = br#"{"state": "lost"}"#;
    let lost = system.ask("PUT", "/v1/locations/site-3", &json, lost);
    assert_eq!(lost.status, 200, "{}", lost.text());

    let put = system.ask("PUT", path, &[], &content(3000));
    let deleted = system.ask("DELETE", path, &[], &[]);

    // All fragments have no place any more; what says that the object is gone has.
    assert_eq!(put.json()["code"], "placement");
    assert_eq!(deleted.status, 204, "{}", deleted.text());
    assert_eq!(system.ask("GET", path, &[], &[]).status, 404);
    system.end();
}

#[test]
fn a_coder_that_is_killed_costs_nothing_that_was_acknowledged() {
    let folder = tempfile::tempdir().unwrap();
    let system = System::start(folder.path(), &["--processes"]);
    system.datastore("data", "cold");
    let path = "/v1/datastores/data/objects/k";
    assert_eq!(system.ask("PUT", path, &[], &content(5000)).status, 201);
    let store = system.pid("store");

    let coder = crate::process::children_of(store);
    assert_eq!(coder.len(), 1);
    std::process::Command::new("kill")
        .args(["-9", &coder[0].to_string()])
        .status()
        .unwrap();

    let until = std::time::Instant::now() + std::time::Duration::from_secs(20);
    loop {
        let got = system.ask("GET", path, &[], &[]);
        if got.status == 200 {
            assert!(got.body == content(5000));
            break;
        }
        assert!(std::time::Instant::now() < until, "{}", got.text());
        std::thread::sleep(std::time::Duration::from_millis(200));
    }
    system.end();
}

#[test]
fn a_folder_may_be_named_from_where_one_stands() {
    let folder = tempfile::tempdir().unwrap();
    for flags in [&[][..], &["--processes"]] {
        let arguments = ["--data", "here", "--port", "0", "--router-port", "0"];
        let arguments = [&arguments[..], flags].concat();

        let mut role = crate::process::Role::start(folder.path(), "up", &arguments);

        role.event("ready");
        assert!(folder.path().join("here/catalogue.db").is_file());
        role.end();
    }
}

#[test]
fn a_second_system_in_the_same_folder_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let system = System::start(folder.path(), &[]);

    let second = std::process::Command::new(env!("CARGO_BIN_EXE_securecloud"))
        .args(["up", "--port", "0", "--router-port", "0", "--data"])
        .arg(folder.path())
        .output()
        .unwrap();

    assert_eq!(second.status.code(), Some(2));
    let said = String::from_utf8_lossy(&second.stderr).into_owned();
    assert!(said.contains("in use by another"), "{said}");
    system.end();
}

#[test]
fn a_role_that_ends_by_itself_ends_everything_and_is_named() {
    for role in ["store", "gateway"] {
        let folder = tempfile::tempdir().unwrap();
        let system = System::start(folder.path(), &["--processes"]);

        let killed = std::process::Command::new("kill")
            .args(["-9", &system.pid(role).to_string()])
            .status();
        assert!(killed.unwrap().success());

        assert!(!system.ended_well(), "the {role} was killed");
    }
}
