//! With `--processes` no process, file or database of the host holds plaintext, metadata, digests or keys.
//!
//! The same search finds what the host may know, and finds the plaintext where it has to be: a search that finds nothing anywhere would
//! prove nothing.

use std::path::Path;

use crate::process::{holds, memory_holds};
use crate::system::System;

const BODY: &[u8] = b"plantedbody7Zq-plantedbody7Zq-plantedbody7Zq";
const META: &str = "plantedmeta4Hs";
const TAG: &str = "plantedtag9Lw";
const KEY: &str = "plantedkey2Vc";

/// Every file of the host: not the owner's folder, and not the token.
fn host_files(folder: &Path, found: &mut Vec<std::path::PathBuf>) {
    for entry in std::fs::read_dir(folder).unwrap().flatten() {
        let path = entry.path();
        let name = entry.file_name();
        if path.is_dir() && name != "owner" {
            host_files(&path, found);
        } else if path.is_file() && name != "token" {
            found.push(path);
        }
    }
}

fn on_disk(folder: &Path, text: &[u8]) -> bool {
    let mut files = Vec::new();
    host_files(folder, &mut files);
    assert!(files.len() > 6);
    files
        .iter()
        .any(|path| std::fs::read(path).is_ok_and(|bytes| holds(&bytes, text)))
}

#[test]
fn the_host_holds_nothing_of_an_object_but_its_key() {
    let folder = tempfile::tempdir().unwrap();
    let system = System::start(folder.path(), &["--processes"]);
    system.datastore("data", "cold");
    let path = format!("/v1/datastores/data/objects/{KEY}");
    let meta = format!("X-Meta-Author: {META}");
    let tags = format!("X-Tags: kind={TAG}");
    for _ in 0..20 {
        let put = system.ask("PUT", &path, &[&meta, &tags], BODY);
        assert!(put.status < 300, "{}", put.text());
        assert_eq!(system.ask("GET", &path, &[], &[]).body, BODY);
    }
    let (store, gateway) = (system.pid("store"), system.pid("gateway"));
    let hidden: [(&str, Vec<u8>); 6] = [
        ("the body", BODY.to_vec()),
        ("metadata", META.into()),
        ("a tag", TAG.into()),
        (
            "SHA-256 of the body",
            sc_crypto::hash::sha256(BODY).to_vec(),
        ),
        ("the token", system.token.clone().into_bytes()),
        (
            "the roots",
            root_of(&std::fs::read_to_string(folder.path().join("owner/roots.toml")).unwrap()),
        ),
    ];

    for (what, text) in &hidden {
        assert!(
            !on_disk(folder.path(), text),
            "{what} is on the host's disk"
        );
        assert!(
            !memory_holds(store, text),
            "{what} is in the store's memory"
        );
    }
    assert!(on_disk(folder.path(), KEY.as_bytes()));
    assert!(memory_holds(store, KEY.as_bytes()));
    assert!(memory_holds(gateway, BODY));
    system.end();
}

/// The bytes of the root in a file of roots.
fn root_of(text: &str) -> Vec<u8> {
    let line = text
        .lines()
        .find(|line| line.starts_with("secret"))
        .unwrap();
    let value = line.split('"').nth(1).unwrap();
    base64(value)
}

fn base64(text: &str) -> Vec<u8> {
    const DIGITS: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut bits = 0_u32;
    let mut count = 0;
    let mut out = Vec::new();
    for byte in text.bytes().filter(|byte| *byte != b'=') {
        let digit = DIGITS.iter().position(|digit| *digit == byte).unwrap();
        bits = bits << 6 | u32::try_from(digit).unwrap();
        count += 6;
        if count >= 8 {
            count -= 8;
            out.push((bits >> count) as u8);
        }
    }
    out
}

#[test]
fn a_grant_that_is_forged_into_the_database_gains_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let system = System::start(folder.path(), &["--processes"]);
    system.datastore("data", "cold");
    let read_only = serde_json::json!({
        "label": "reader",
        "grants": [{ "datastores": ["other"], "rights": ["read"] }],
    });
    let made = system.ask(
        "POST",
        "/v1/tokens",
        &["Content-Type: application/json"],
        read_only.to_string().as_bytes(),
    );
    assert_eq!(made.status, 201, "{}", made.text());
    let weak = made.json()["token"].as_str().unwrap().to_owned();
    system.end();

    // The operator gives the weak token's record the content of the one that may do everything.
    let database = rusqlite::Connection::open(folder.path().join("catalogue.db")).unwrap();
    let strong: Vec<u8> = {
        let all = std::fs::read_to_string(folder.path().join("token")).unwrap();
        record_of(&database, &id_of(&all))
    };
    let changed = database
        .execute(
            "UPDATE record SET sealed = ?1 WHERE id = ?2",
            rusqlite::params![strong, id_of(&weak)],
        )
        .unwrap();
    assert_eq!(changed, 1);
    drop(database);

    let system = System::start(folder.path(), &["--processes"]);
    let bearer = format!("Authorization: Bearer {weak}");
    let denied = system.http.ask(
        "GET",
        "/v1/datastores/data/objects?limit=1",
        &[&bearer],
        &[],
    );
    assert!((400..=503).contains(&denied.status), "{}", denied.text());
    assert_ne!(denied.status, 200);
    let allowed = system.ask("GET", "/v1/datastores/data/objects?limit=1", &[], &[]);
    assert_eq!(allowed.status, 200, "{}", allowed.text());
    system.end();
}

fn record_of(database: &rusqlite::Connection, id: &str) -> Vec<u8> {
    let sql = "SELECT sealed FROM record WHERE id = ?1";
    database.query_row(sql, [id], |row| row.get(0)).unwrap()
}

/// The id of a token's record: its first 16 bytes, in hexadecimal.
fn id_of(token: &str) -> String {
    let text = token.trim().strip_prefix("sc_").unwrap();
    let standard = text.replace('-', "+").replace('_', "/");
    let bytes = base64(&standard);
    bytes[..16]
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect()
}
