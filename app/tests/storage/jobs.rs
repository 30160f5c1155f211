//! `securecloud kv` has a running store look after what it holds: lost and drained locations, damage, other policies.

use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use crate::kv::Kv;
use crate::system::System;

/// Large enough for its fragments to be files.
const LARGE: usize = 600_000;

/// A system with an object under `cold` and two locations more than that needs.
fn begin(folder: &Path, arguments: &[&str]) -> System {
    let system = System::start(folder, arguments);
    let kv = Kv::through(&system, folder);
    let content: Vec<u8> = (0..LARGE).map(|at| ((at * 7) ^ (at >> 8)) as u8).collect();
    std::fs::write(folder.join("large"), content).unwrap();
    kv.run(&["datastore", "create", "photos", "--policy", "cold"]);
    kv.run(&["put", "large", "photos/large"]);
    for spare in ["spare-1", "spare-2"] {
        let path = format!("locations/{spare}");
        let settings = json!({ "backend": { "kind": "fs", "path": path } });
        kv.run(&["location", "add", spare, &settings.to_string()]);
    }
    system
}

fn reads_back(kv: &Kv<'_>, folder: &Path) -> bool {
    kv.run(&["get", "photos/large", "back"]);
    std::fs::read(folder.join("back")).unwrap() == std::fs::read(folder.join("large")).unwrap()
}

/// Where the fragments are, and how each does.
fn fragments(kv: &Kv<'_>) -> Vec<(String, String)> {
    let stat = kv.json(&["stat", "photos/large"]);
    let fragments = stat["storage"]["segments"][0]["fragments"].as_array();
    let text = |it: &Value, name: &str| it[name].as_str().unwrap().to_owned();
    let each = fragments.unwrap().iter();
    each.map(|it| (text(it, "location"), text(it, "state")))
        .collect()
}

fn are_stored_without(kv: &Kv<'_>, gone: &str) -> bool {
    let fragments = fragments(kv);
    fragments.len() == 6 && fragments.iter().all(|it| it.0 != gone && it.1 == "stored")
}

/// The file of a fragment at a location.
fn file_at(folder: &Path, site: &str) -> PathBuf {
    let mut folders = vec![folder.join("locations").join(site).join("objects")];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            match path.is_dir() {
                true => folders.push(path),
                false => return path,
            }
        }
    }
    panic!("no fragment at {site}");
}

#[test]
fn what_a_lost_location_held_is_made_again_and_another_is_drained() {
    let folder = tempfile::tempdir().unwrap();
    let system = begin(folder.path(), &["--processes"]);
    let kv = Kv::through(&system, folder.path());

    // What is lost is repaired by itself; to ask for it finds the same job.
    kv.run(&["location", "set", "site-2", "lost"]);
    let repair = kv.json(&["repair"]);
    assert_eq!(
        (&repair["kind"], &repair["state"]),
        (&json!("repair"), &json!("done"))
    );
    assert!(are_stored_without(&kv, "site-2"), "{:?}", fragments(&kv));

    // What is told is of the job that begins with the state, and there is no second.
    let drain = kv.run(&["location", "drain", "site-4"]);
    assert!(drain.contains("(drain) is done: 100 % done"), "{drain}");
    assert!(drain.contains(" 1 changed"), "{drain}");
    assert!(are_stored_without(&kv, "site-4"), "{:?}", fragments(&kv));
    assert!(reads_back(&kv, folder.path()));
    // Nothing else has room for a third.
    let (status, said) = kv.refused(&["location", "drain", "site-5"]);
    assert_eq!(status, Some(1));
    assert!(said.contains("add locations"), "{said}");

    let listed = kv.run(&["job", "ls"]);
    for word in ["repair", "drain", "done"] {
        assert!(listed.contains(word), "{listed}");
    }
    system.end();
}

#[test]
fn damage_on_a_disk_is_found_and_mended_and_policies_change_while_everything_is_read() {
    let folder = tempfile::tempdir().unwrap();
    let system = begin(folder.path(), &[]);
    let kv = Kv::through(&system, folder.path());
    let damaged = file_at(folder.path(), "site-3");
    let mut bytes = std::fs::read(&damaged).unwrap();
    let last = bytes.len() - 1;
    bytes[last] ^= 1;
    std::fs::write(&damaged, bytes).unwrap();

    let scrub = kv.run(&["scrub"]);
    assert!(
        scrub.contains("1 changed") && scrub.contains("1 damaged"),
        "{scrub}"
    );
    let again = kv.json(&["scrub", "--sample", "1"]);
    assert_eq!(again["done"]["damaged"], 0);

    let moved = kv.json(&["migrate", "photos", "hot"]);
    assert_eq!(moved["done"]["changed"], 1);
    assert_eq!(
        kv.json(&["stat", "photos/large"])["storage"]["policy"],
        "hot"
    );
    assert!(reads_back(&kv, folder.path()));
    let begun = kv.json(&["migrate", "--one", "photos/large", "coded", "--detach"]);
    let id = begun["id"].to_string();
    kv.run(&["job", "wait", &id]);
    assert_eq!(kv.json(&["job", "show", &id])["done"]["changed"], 1);
    assert!(reads_back(&kv, folder.path()));
    for command in ["gc", "tier"] {
        assert_eq!(kv.json(&[command])["state"], "done");
    }
    assert_eq!(kv.json(&["job", "cancel", &id])["state"], "done");

    for (arguments, words) in [
        (
            &["migrate", "photos", "none-such"][..],
            "There is no such policy",
        ),
        (&["migrate", "none", "hot"], "There is no such datastore"),
        (
            &["location", "drain", "nowhere"],
            "no such storage location",
        ),
        (&["job", "show", "4711"], "there is no job 4711"),
        (&["scrub", "--rate", "1"], "at least 262144"),
    ] {
        let (_, said) = kv.refused(arguments);
        assert!(said.contains(words), "{arguments:?}: {said}");
    }
    system.end();
}
