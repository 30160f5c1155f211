//! The campaigns as a user runs them, small.
//!
//! They run the programs beside this one, and have cargo build these first: it does nothing where they are up to date.

#![allow(clippy::unwrap_used, reason = "helpers of tests are tests")]

use std::path::Path;
use std::process::{Command, Output};

const BENCH: &str = env!("CARGO_BIN_EXE_securecloud-bench");

fn bench(folder: &Path, arguments: &[&str]) -> Output {
    Command::new(BENCH)
        .current_dir(folder)
        .args(arguments)
        .output()
        .unwrap()
}

fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).unwrap()
}

/// Builds what the campaign runs.
fn build_roles() {
    let folder = Path::new(BENCH).parent().unwrap();
    let mut command = Command::new(env!("CARGO"));
    command.args(["build", "--quiet", "--manifest-path"]).arg(
        Path::new(env!("CARGO_MANIFEST_DIR"))
            .parent()
            .unwrap()
            .join("Cargo.toml"),
    );
    command.args([
        "--package",
        "securecloud",
        "--package",
        "sc-program",
        "--bins",
    ]);
    if folder.ends_with("release") {
        command.arg("--release");
    }
    assert!(command.status().unwrap().success());
}

#[test]
fn both_modes_deliver_exactly_what_a_plain_scan_expects() {
    build_roles();
    let folder = tempfile::tempdir().unwrap();

    let output = bench(
        folder.path(),
        &[
            "routing",
            "--bundled",
            "--subscriptions",
            "200",
            "--runs",
            "1",
            "--no-peers",
            "--csv",
            "figures.csv",
        ],
    );

    assert!(output.status.success(), "{}", text(&output.stderr));
    let csv = std::fs::read_to_string(folder.path().join("figures.csv")).unwrap();
    let rows: Vec<Vec<&str>> = csv.lines().map(|line| line.split(',').collect()).collect();
    let [heads, plain, encrypted] = &rows[..] else {
        panic!("{csv}");
    };
    assert_eq!((plain[0], encrypted[0]), ("plain", "encrypted"));
    let column = |name: &str| heads.iter().position(|head| *head == name).unwrap();
    for row in [plain, encrypted] {
        let figure = |name: &str| row[column(name)].parse::<f64>().unwrap();
        assert_eq!(row[column("publications")], "10000");
        assert_eq!(row[column("delivered")], row[column("expected")]);
        assert!(figure("delivered") > 0.0 && figure("pubs_per_s") > 0.0);
        assert!(figure("router_cpu_us_per_pub") > 0.0 && figure("consumer_cpu_us_per_pub") > 0.0);
        assert!(0.0 < figure("p50_ms") && figure("p50_ms") <= figure("p99_ms"));
        assert_eq!(row[column("paced_pubs_per_s")], "10000");
    }
    let told = text(&output.stdout);
    assert!(told.contains("machine: ") && told.contains("commit: ") && told.contains("command: "));
}

/// The peers that are installed here: where none is, nothing can be said of them.
fn installed() -> Vec<&'static str> {
    let programs = [("nats", "nats-server"), ("mosquitto", "mosquitto")];
    let path = std::env::var_os("PATH").unwrap_or_default();
    let mut folders: Vec<_> = std::env::split_paths(&path).collect();
    folders.extend(["/usr/sbin", "/usr/local/sbin", "/sbin"].map(Into::into));
    let is_there = |program: &str| folders.iter().any(|folder| folder.join(program).is_file());
    programs
        .into_iter()
        .filter_map(|(peer, program)| is_there(program).then_some(peer))
        .collect()
}

#[test]
fn the_peers_that_are_installed_stand_beside_ours_and_deliver_as_much() {
    build_roles();
    let folder = tempfile::tempdir().unwrap();

    let output = bench(
        folder.path(),
        &[
            "routing",
            "--bundled",
            "--mode",
            "plain",
            "--subscriptions",
            "200",
            "--runs",
            "1",
            "--rate",
            "5000",
            "--csv",
            "figures.csv",
        ],
    );

    assert!(output.status.success(), "{}", text(&output.stderr));
    let csv = std::fs::read_to_string(folder.path().join("figures.csv")).unwrap();
    let rows: Vec<Vec<&str>> = csv.lines().map(|line| line.split(',').collect()).collect();
    let modes: Vec<_> = rows[1..].iter().map(|row| row[0]).collect();
    assert_eq!(modes, [vec!["plain"], installed()].concat());
    let column = |name: &str| rows[0].iter().position(|head| *head == name).unwrap();
    for row in &rows[1..] {
        let figure = |name: &str| row[column(name)].parse::<f64>().unwrap();
        assert_eq!(row[column("delivered")], rows[1][column("expected")]);
        assert!(figure("pubs_per_s") > 0.0 && figure("router_cpu_us_per_pub") > 0.0);
        assert!(0.0 < figure("p50_ms") && figure("p50_ms") <= figure("p99_ms"));
    }
}

#[test]
fn latency_in_payloads_without_room_for_a_time_is_an_error() {
    build_roles();
    let folder = tempfile::tempdir().unwrap();

    let output = bench(folder.path(), &["routing", "--payload-bytes", "19"]);

    assert_eq!(output.status.code(), Some(1));
    assert!(text(&output.stderr).contains("--rate 0"));
}

#[test]
fn steps_prints_a_time_for_each_step_of_each_mode() {
    let folder = tempfile::tempdir().unwrap();

    let output = bench(
        folder.path(),
        &[
            "steps",
            "--bundled",
            "--subscriptions",
            "50",
            "--passes",
            "1",
        ],
    );

    assert!(output.status.success(), "{}", text(&output.stderr));
    let told = text(&output.stdout);
    let rows = |start: &str| told.lines().filter(|line| line.contains(start)).count();
    assert_eq!((rows("|     plain |"), rows("| encrypted |")), (7, 7));
}

/// Runs a campaign that writes its figures as JSON; returns its rows.
fn rows(campaign: &[&str]) -> Vec<serde_json::Value> {
    build_roles();
    let folder = tempfile::tempdir().unwrap();
    let arguments = [campaign, &["--runs", "1", "--json", "figures.json"]].concat();

    let output = bench(folder.path(), &arguments);

    assert!(output.status.success(), "{}", text(&output.stderr));
    let file = std::fs::read_to_string(folder.path().join("figures.json")).unwrap();
    let figures: serde_json::Value = serde_json::from_str(&file).unwrap();
    figures["rows"].as_array().unwrap().clone()
}

#[test]
fn a_crowd_some_of_which_stops_reading_gets_one_delivery_each() {
    let rows = rows(&["crowd", "--consumers", "20", "--stopped", "3"]);

    let medians = &rows[0]["medians"];
    assert_eq!(rows.len(), 1);
    for name in ["admit all s", "router peak MiB", "consumers cpu s"] {
        assert!(medians[name].as_f64().unwrap() > 0.0, "{name}: {medians}");
    }
}

#[test]
fn subscriptions_are_admitted_whoever_holds_them_and_whatever_the_owners_key_is() {
    let rows = rows(&["admission", "--subscriptions", "200", "--consumers", "2,20"]);

    let cases: Vec<_> = rows
        .iter()
        .map(|row| {
            (
                row["case"]["owner"].as_str(),
                row["case"]["consumers"].as_str(),
            )
        })
        .collect();
    let (modern, rsa) = (Some("x-wing"), Some("rsa-3072"));
    let (two, twenty) = (Some("2"), Some("20"));
    assert_eq!(
        cases,
        [(modern, two), (modern, twenty), (rsa, two), (rsa, twenty)]
    );
}

#[test]
fn a_crowd_in_which_nobody_runs_is_an_error() {
    build_roles();
    let folder = tempfile::tempdir().unwrap();

    let output = bench(
        folder.path(),
        &["crowd", "--consumers", "5", "--stopped", "5"],
    );

    assert_eq!(output.status.code(), Some(1));
    assert!(text(&output.stderr).contains("some have to run"));
}

#[test]
fn missing_programs_are_named_with_the_command_that_builds_them() {
    let folder = tempfile::tempdir().unwrap();
    let alone = folder.path().join("securecloud-bench");
    std::fs::copy(BENCH, &alone).unwrap();

    let output = Command::new(alone).arg("routing").output().unwrap();

    assert_eq!(output.status.code(), Some(1));
    let told = text(&output.stderr);
    assert!(
        told.contains("cargo build") && told.contains("--workspace"),
        "{told}"
    );
}

#[test]
fn no_runs_at_all_are_wrong_use() {
    let folder = tempfile::tempdir().unwrap();

    let output = bench(folder.path(), &["routing", "--runs", "0"]);

    assert_eq!(output.status.code(), Some(2));
}
