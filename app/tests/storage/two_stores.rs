//! Two stores, each with a coder and a gateway of its own, over one database and the same locations.

use std::path::Path;

use rustix::process::{Pid, Signal, kill_process};
use serde_json::json;

use crate::http::{Answer, Http};
use crate::postgres::Postgres;
use crate::process::{Role, children_of};

const OBJECTS: &str = "/v1/datastores/data/objects";
const JSON: [&str; 1] = ["Content-Type: application/json"];

/// A store and a gateway to it.
struct Side {
    store: Role,
    gateway: Role,
    http: Http,
}

impl Side {
    fn start(folder: &Path, catalogue: &str) -> Self {
        let arguments = ["--address", "127.0.0.1:0", "--catalogue", catalogue];
        let mut store = Role::start(folder, "store", &arguments);
        let endpoint = store.event("endpoints")["endpoints"][0].clone();
        let arguments = ["--store", endpoint.as_str().unwrap(), "--owner", "../owner"];
        let more = ["--token", "../token", "--rest", "127.0.0.1:0"];
        let arguments = [
            &arguments[..],
            &more,
            &["--create-owner", "--allow-simulation"],
        ]
        .concat();
        let mut gateway = Role::start(folder, "gateway", &arguments);
        let url = gateway.event("rest")["url"].clone();
        let url = url.as_str().unwrap().strip_prefix("http://").unwrap();
        Self {
            store,
            gateway,
            http: Http::new(url),
        }
    }

    fn ask(&self, token: &str, method: &str, path: &str, more: &[&str], body: &[u8]) -> Answer {
        let authorization = format!("Authorization: Bearer {}", token.trim());
        let headers = [&[authorization.as_str()], more].concat();
        self.http.ask(method, path, &headers, body)
    }

    fn end(self) {
        self.gateway.end();
        self.store.end();
    }
}

#[test]
fn two_stores_over_one_database_agree() {
    let database = Postgres::start();
    let folder = tempfile::tempdir().unwrap();
    let of = |name: &str| {
        let path = folder.path().join(name);
        std::fs::create_dir(&path).unwrap();
        path
    };
    let backends = ["near", "far", "off"].map(|name| {
        let arguments = ["--data", name, "--address", "127.0.0.1:0"];
        let mut role = Role::start(folder.path(), "backend", &arguments);
        let settings = role.event("location")["settings"].clone();
        (name, settings, role)
    });
    let one = Side::start(&of("one"), &database.url);
    let token = std::fs::read_to_string(folder.path().join("token")).unwrap();
    for (name, settings, _) in &backends {
        let body = json!({ "settings": settings }).to_string();
        let path = format!("/v1/locations/{name}");
        let added = one.ask(&token, "PUT", &path, &JSON, body.as_bytes());
        assert_eq!(added.status, 200, "{}", added.text());
    }
    let shape = br#"{"redundancy": {"kind": "rs", "data": 2, "parity": 1}}"#;
    let made = one.ask(&token, "PUT", "/v1/policies/three", &JSON, shape);
    assert_eq!(made.status, 200, "{}", made.text());
    let new = br#"{"name": "data", "policy": "three"}"#;
    let made = one.ask(&token, "POST", "/v1/datastores", &JSON, new);
    assert_eq!(made.status, 201, "{}", made.text());
    let two = Side::start(&of("two"), &database.url);
    let large = vec![5; 6 << 20];

    for (number, (by, from)) in [(&one, &two), (&two, &one)].into_iter().enumerate() {
        let path = format!("{OBJECTS}/{number}");
        let put = by.ask(&token, "PUT", &path, &[], &large);
        assert_eq!(put.status, 201, "{}", put.text());
        assert!(from.ask(&token, "GET", &path, &[], &[]).body == large);
        let listed = from.ask(&token, "GET", OBJECTS, &[], &[]).json();
        assert_eq!(listed["objects"].as_array().unwrap().len(), number + 1);
    }

    // Of two that say that there is none yet, one is right.
    let path = format!("{OBJECTS}/once");
    let first = |side: &Side| {
        let condition = ["If-None-Match: *"];
        side.ask(&token, "PUT", &path, &condition, &large).status
    };
    let mut answers = std::thread::scope(|scope| {
        let other = scope.spawn(|| first(&two));
        [first(&one), other.join().unwrap()]
    });
    answers.sort_unstable();
    assert_eq!(answers, [201, 412]);

    // One coder's death is nothing to the other.
    let coder = children_of(one.store.pid());
    let pid = Pid::from_raw(i32::try_from(coder[0]).unwrap()).unwrap();
    kill_process(pid, Signal::KILL).unwrap();
    assert!(two.ask(&token, "GET", &path, &[], &[]).body == large);
    two.end();
    one.end();
}
