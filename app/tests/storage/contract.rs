//! What the OpenAPI document promises, held against what is served: schemathesis asks for everything, well formed and not.
//!
//! Invariant: a run that asked for nothing fails; otherwise one that finds nothing would prove nothing.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Output;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::python::{Programs, Python};
use crate::system::System;

/// The list of what schemathesis needs, and the oldest Python that it runs on.
const PROGRAMS: Programs = Programs {
    folder: concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/storage"),
    oldest: (3, 11),
};
/// What is held against every answer.
const CHECKS: &str = "not_a_server_error,status_code_conformance,content_type_conformance,response_headers_conformance,\
    response_schema_conformance,missing_required_header,unsupported_method,allow_header_conformance,use_after_free,\
    ensure_resource_availability,ignored_auth";
/// One seed is one run.
const SEED: &str = "5";
/// What each operation is asked at random, beside the bounds of all its parameters.
const EXAMPLES: &str = "2";
/// The operation after which others are refused for a while.
const REBUILD: &str = "startRebuild";
/// The bounds alone are more requests than this.
const REQUESTS_MIN: usize = 1000;

#[test]
fn every_answer_is_one_that_the_document_promises() {
    let folder = tempfile::tempdir().unwrap();
    let system = System::start(folder.path(), &["--processes"]);
    // What the document gives as an example is there.
    system.datastore("readings", "hot");
    let document = system.http.ask("GET", "/openapi.json", &[], &[]).json();

    // While a catalogue is made again everything else is rightly refused with 503: that is asked for by itself, and first.
    let mut asked = BTreeMap::new();
    for which in ["--include-operation-id", "--exclude-operation-id"] {
        let output = schemathesis(&system, folder.path(), &[which, REBUILD]);
        assert!(
            output.status.success(),
            "{}\n{}",
            String::from_utf8_lossy(&output.stdout),
            String::from_utf8_lossy(&output.stderr)
        );
        asked.append(&mut requests(&folder.path().join("report")));
        until_rebuilt(&system);
    }
    assert!(asked.values().sum::<usize>() > REQUESTS_MIN, "{asked:?}");
    for operation in operations(&document) {
        assert!(asked.contains_key(&operation), "{operation}: {asked:?}");
    }
    system.end();
}

fn schemathesis(system: &System, folder: &Path, filter: &[&str]) -> Output {
    let python = Python::of_machine(PROGRAMS).unwrap_or_else(|why| panic!("{why}"));
    let document = format!("{}/openapi.json", system.base());
    let authorization = format!("Authorization: Bearer {}", system.token);
    let mut arguments = vec![
        "run",
        &document,
        "--header",
        &authorization,
        "--checks",
        CHECKS,
        "--seed",
        SEED,
        "--phases=coverage,fuzzing,stateful",
        "--max-examples",
        EXAMPLES,
        "--continue-on-failure",
        "--suppress-health-check=all",
        "--generation-database=none",
        "--no-color",
        "--report=ndjson",
        "--report-ndjson-path=report",
    ];
    arguments.extend(filter);
    let mut command = python.module(folder, "schemathesis.cli", &arguments);
    command.output().unwrap()
}

/// Waits until the catalogue is made again, if that is under way.
fn until_rebuilt(system: &System) {
    let until = Instant::now() + Duration::from_secs(60);
    loop {
        let told = system.ask("GET", "/v1/catalogue/rebuild", &[], &[]).json();
        match told["state"].as_str() {
            Some("running" | "due") => {
                assert!(Instant::now() < until, "{told}");
                std::thread::sleep(Duration::from_millis(50));
            }
            _ => return,
        }
    }
}

/// The requests of each operation, as the report tells them.
fn requests(report: &Path) -> BTreeMap<String, usize> {
    let text = std::fs::read_to_string(report).unwrap();
    let mut asked = BTreeMap::new();
    for line in text.lines() {
        let event: Value = serde_json::from_str(line).unwrap();
        let recorder = &event["ScenarioFinished"]["recorder"];
        let Some(requests) = recorder["interactions"].as_object() else {
            continue;
        };
        let label = recorder["label"].as_str().unwrap().to_owned();
        *asked.entry(label).or_default() += requests.len();
    }
    asked
}

/// Every operation of the document, as `GET /path`.
fn operations(document: &Value) -> Vec<String> {
    let paths = document["paths"].as_object().unwrap();
    let operations = paths.iter().flat_map(|(path, item)| {
        let methods = item.as_object().unwrap().keys();
        methods.map(move |method| format!("{} {path}", method.to_uppercase()))
    });
    operations.collect()
}
