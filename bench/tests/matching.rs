//! The campaign of matchers as a user runs it, small.

#![allow(clippy::unwrap_used, reason = "helpers of tests are tests")]

use std::path::Path;
use std::process::{Command, Output};

fn matching(folder: &Path, arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_securecloud-bench"))
        .current_dir(folder)
        .arg("matching")
        .args(arguments)
        .output()
        .unwrap()
}

fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).unwrap()
}

#[test]
fn each_engine_has_a_row_with_figures_and_each_workload_its_plots() {
    let folder = tempfile::tempdir().unwrap();

    let output = matching(
        folder.path(),
        &[
            "--workload=e80a1",
            "--subscriptions=100,200",
            "--engine=scan,a-tree",
            "--engine=index",
            "--kernel=portable",
            "--runs=2",
            "--csv=figures.csv",
            "--svg=plots",
        ],
    );

    assert!(output.status.success(), "{}", text(&output.stderr));
    let csv = std::fs::read_to_string(folder.path().join("figures.csv")).unwrap();
    let rows: Vec<Vec<&str>> = csv.lines().map(|line| line.split(',').collect()).collect();
    let column = |name: &str| rows[0].iter().position(|head| *head == name).unwrap();
    let engines: Vec<_> = rows[1..].iter().map(|row| row[column("engine")]).collect();
    assert_eq!(
        engines,
        ["scan", "a-tree", "index", "scan", "a-tree", "index"]
    );
    for row in &rows[1..] {
        let figure = |name: &str| row[column(name)].parse::<f64>().unwrap();
        assert!(figure("ns_per_publication") > 0.0 && figure("bytes_per_subscription") > 0.0);
        assert!(figure("insert_ns") > 0.0 && figure("build_s") > 0.0);
        // This crate cannot remove; the others can.
        let removes = row[column("engine")] != "a-tree";
        assert_eq!(row[column("delete_ns")].is_empty(), !removes);
        assert_eq!(row[column("longest_call_us")].is_empty(), !removes);
    }
    assert!(folder.path().join("plots/e80a1.svg").is_file());
    assert!(folder.path().join("plots/e80a1-bars.svg").is_file());
    let told = text(&output.stdout);
    assert!(told.contains("machine: ") && told.contains("commit: ") && told.contains("portable"));
}

#[test]
fn a_size_that_an_engine_is_not_tried_with_is_a_dash_with_its_reason() {
    let folder = tempfile::tempdir().unwrap();

    let output = matching(
        folder.path(),
        &[
            "--workload=e100a1",
            "--subscriptions=100001",
            "--engine=a-tree",
            "--runs=1",
        ],
    );

    assert!(output.status.success(), "{}", text(&output.stderr));
    assert!(
        text(&output.stdout)
            .contains("a-tree on e100a1 with 100001: not tried beyond 100000 subscriptions")
    );
}

#[test]
fn an_unknown_workload_is_wrong_use() {
    let folder = tempfile::tempdir().unwrap();

    let output = matching(folder.path(), &["--workload=e99"]);

    assert_eq!(output.status.code(), Some(2));
}

#[test]
fn a_sample_that_is_named_and_not_there_is_an_error() {
    let folder = tempfile::tempdir().unwrap();

    let output = matching(folder.path(), &["--workload=sample", "--data=nowhere"]);

    assert_eq!(output.status.code(), Some(1));
    assert!(text(&output.stderr).contains("nowhere"));
}
