//! Programs that nobody of this project's code helped: a subscriber and a publisher in Python, written from `docs/FORMATS.md` alone,
//! with the real router, source and consumer.
//!
//! What they do not understand is a flaw of that document, or of the programs. `tests/interop` holds them; `python` runs them.

#![allow(
    clippy::unwrap_used,
    reason = "the helpers of a test fail as the test does"
)]

#[allow(
    dead_code,
    unused_imports,
    reason = "what the suite of behaviour uses of it"
)]
#[path = "../support/mod.rs"]
mod support;

mod carriers;
mod publishers;
mod python;
mod size;
mod subscribers;

use std::sync::LazyLock;

use serde_json::Value;

use python::{Programs, Python};
use sc_enclave::simulation_development_key;
use support::{Finished, Folder, Role, securecloud};

const QUOTES: &str = include_str!("../../data/quotes.pubs");
const ALL_FILTERS: &str = include_str!("../../data/quotes.subs");

/// The foreign programs, and what their libraries need.
const PROGRAMS: Programs = Programs {
    folder: concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/interop"),
    oldest: (3, 9),
};

/// The Python that runs them.
///
/// # Panics
/// When there is none: a format that nobody else has read is not tested.
fn python() -> &'static Python {
    static FOUND: LazyLock<Result<Python, String>> = LazyLock::new(|| Python::of_machine(PROGRAMS));
    FOUND.as_ref().unwrap_or_else(|why| panic!("{why}"))
}

/// What a source needs where its router may be on another machine; [`link_keys`] writes the policy.
const TRUSTING: &[&str] = &["--policy", "policy", "--allow-simulation"];

/// Those of the bundled filters that need no operator beyond the foreign subscriber's: it compares, and knows neither sets nor presence.
fn filters() -> String {
    let lines = ALL_FILTERS.lines();
    let compare = lines.filter(|line| !line.contains(" in {") && !line.contains(" exists"));
    compare.map(|line| format!("{line}\n")).collect()
}

/// A publication's line, and the filters that it matched.
type Matched = (String, Vec<u64>);

/// A router, and the files of everyone: keys of an owner, quotes and filters.
struct House {
    folder: Folder,
    router: Role,
    endpoint: String,
}

impl House {
    /// One whose owner has an Ed25519 key.
    fn open() -> Self {
        Self::of(Folder::with_keys(), "localhost:0", &[])
    }

    /// Starts the router of the folder's owner, and gives everyone the quotes and their filters.
    fn of(folder: Folder, address: &str, flags: &[&str]) -> Self {
        folder.write("pubs", QUOTES);
        folder.write("subs", filters());
        let (router, endpoint) = router(&folder, address, flags);
        Self {
            folder,
            router,
            endpoint,
        }
    }

    /// A foreign subscriber under its own identity, which calls at `endpoint`.
    fn subscriber_at(&self, endpoint: &str, flags: &[&str]) -> Role {
        self.identity("reader");
        let who = ["subscribe", "--identity", "reader.prv", "--input", "subs"];
        self.foreign(endpoint, &[&who, flags].concat())
    }

    /// The same, which calls the router.
    fn subscriber(&self) -> Role {
        self.subscriber_at(&self.endpoint, &[])
    }

    /// A foreign publisher of the quotes, whose fingerprint is in the file `granted`.
    fn publisher_at(&self, endpoint: &str, flags: &[&str]) -> Role {
        let who = ["publish", "--identity", "writer.prv", "--input", "pubs"];
        self.foreign(endpoint, &[&who, flags].concat())
    }

    fn foreign(&self, endpoint: &str, arguments: &[&str]) -> Role {
        let rest = ["--owner", "key.pub", "--connect", endpoint];
        let arguments = [arguments, &rest].concat();
        let command = python().command(&self.folder, "client.py", &arguments);
        Role::of(arguments[0], command)
    }

    /// Makes keys if they are not there, and lists their fingerprint in `NAME.list`.
    fn identity(&self, name: &str) {
        if !self.folder.join(format!("{name}.prv")).exists() {
            let made = securecloud(&self.folder, &["keygen", name]);
            let mut words = made.succeeded().split_whitespace();
            let fingerprint = words.find(|word| word.starts_with("SHA256:")).unwrap();
            self.folder
                .write(&format!("{name}.list"), format!("{fingerprint}\n"));
        }
    }

    /// The owner: publishes the quotes once its consumers are there, and lets the foreign publisher publish.
    fn source(&self, flags: &[&str]) -> Role {
        self.identity("writer");
        let address = self.endpoint.strip_prefix("tcp://").unwrap();
        let what = [
            "-c",
            address,
            "-i",
            "pubs",
            "-k",
            "key.prv",
            "--grant",
            "writer.list",
        ];
        Role::start(&self.folder, "source", &[&what, flags].concat())
    }

    /// The project's own consumer.
    fn consumer(&self, flags: &[&str]) -> Role {
        let address = self.endpoint.strip_prefix("tcp://").unwrap();
        let what = ["-c", address, "-i", "subs", "-k", "key.pub"];
        Role::start(&self.folder, "consumer", &[&what, flags].concat())
    }

    /// A carrier before the router, with what it does to frames.
    fn meddler(&self, arguments: &[&str]) -> Role {
        let arguments = [&[self.endpoint.as_str()], arguments].concat();
        let command = python().command(&self.folder, "meddler.py", &arguments);
        Role::of("meddler", command)
    }

    /// Every publication that matches a filter, as an offline match of the same files says.
    fn expected(&self) -> Vec<Matched> {
        let files = ["--subscriptions", "subs", "--publications", "pubs"];
        let matched = securecloud(&self.folder, &[&["match", "--json"], &files[..]].concat());
        let ids = matched
            .succeeded()
            .lines()
            .map(|line| serde_json::from_str::<Vec<u64>>(line).unwrap());
        let text = self.folder.read("pubs");
        let lines = text.lines().filter(|line| !line.starts_with('#'));
        lines
            .map(str::to_owned)
            .zip(ids)
            .filter(|(_, ids)| !ids.is_empty())
            .collect()
    }
}

/// Starts a router in `folder`; returns where it listens.
fn router(folder: &Folder, address: &str, flags: &[&str]) -> (Role, String) {
    let mut router = Role::start(folder, "scbr", &[&["-a", address], flags].concat());
    let endpoint = router.endpoint();
    (router, endpoint)
}

/// What a foreign subscriber told of publications, in its order.
fn told(finished: &Finished) -> Vec<Matched> {
    let events = finished.events("publication");
    events.iter().map(|event| matched(event, "ids")).collect()
}

/// What the project's own consumer told of them.
fn delivered(finished: &Finished) -> Vec<Matched> {
    let events = finished.events("delivery");
    events
        .iter()
        .map(|event| matched(event, "subscriptions"))
        .collect()
}

fn matched(event: &Value, ids: &str) -> Matched {
    let ids = event[ids].as_array().unwrap().iter();
    let payload = event["payload"].as_str().unwrap();
    (
        payload.to_owned(),
        ids.map(|id| id.as_u64().unwrap()).collect(),
    )
}

/// Asserts that the same publications were told in the same order; says where that ends, not all of them.
#[track_caller]
fn assert_same(told: &[Matched], expected: &[Matched]) {
    let differs = told.iter().zip(expected).position(|(a, b)| a != b);
    let at = differs.unwrap_or(told.len().min(expected.len()));
    assert!(
        told.len() == expected.len() && differs.is_none(),
        "{} were told of {}; the first that differs is {at}: {:?} in the place of {:?}",
        told.len(),
        expected.len(),
        told.get(at),
        expected.get(at),
    );
}

/// Asserts that a subscriber was refused nothing and missed nothing.
#[track_caller]
fn assert_nothing_amiss(finished: &Finished) {
    for kind in ["refused", "missing", "missed", "suspended", "denied"] {
        assert_eq!(finished.events(kind), Vec::<Value>::new());
    }
    assert_eq!(finished.stderr, "");
}

/// Link keys of a router and of each caller that it admits, and the policy that accepts the simulation.
fn link_keys(folder: &Folder, callers: &[&str]) {
    let key = simulation_development_key().verifying_key();
    let hex = key.as_bytes().iter().map(|byte| format!("{byte:02x}"));
    folder.write(
        "policy",
        format!("simulation-key {}\n", hex.collect::<String>()),
    );
    let make = |name: &str| -> String {
        let made = securecloud(folder, &["keygen", name, "--link"]);
        let words = made.succeeded();
        let public = words.lines().find_map(|line| line.strip_prefix("public"));
        public.unwrap().trim().to_owned()
    };
    let name_peer = |name: &str, peer: &str| {
        let file = format!("{name}.link");
        let text = folder.read(&file);
        folder.write(&file, format!("{text}peer = \"{peer}\"\n"));
    };
    let router = make("router");
    for caller in callers {
        name_peer("router", &make(caller));
        name_peer(caller, &router);
    }
}
