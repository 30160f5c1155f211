//! `securecloud match`: which filters match what, offline.

use std::io::Read;
use std::path::Path;

use crate::support::{DATASETS, Finished, Folder, command, securecloud, with_stdin};

const SUBS: &str = "# filters\n\n0 30 S i a > 1\n0 4 S i a > 0\n0 100 S i a = 5\n";
const PUBS: &str = "# values\n0 0 P i a 2\n\n   \n0 0 P i a 5\n0 0 P i b 1\n0 0 P i a 1\n";

fn files(subscriptions: &str, publications: &str) -> Folder {
    let folder = Folder::empty();
    folder.write("subs", subscriptions);
    folder.write("pubs", publications);
    folder
}

fn matched(folder: &Path, more: &[&str]) -> Finished {
    let arguments = ["match", "--subscriptions", "subs", "--publications", "pubs"];
    securecloud(folder, &[&arguments, more].concat())
}

#[test]
fn each_publication_has_a_line_of_ascending_ids_and_an_empty_one_where_none_matches() {
    let folder = files(SUBS, PUBS);

    let finished = matched(&folder, &[]);

    assert_eq!(finished.succeeded(), "4 30\n4 30 100\n\n4\n");
    assert_eq!(finished.stderr, "");
}

#[test]
fn ids_ascend_as_numbers_whatever_the_order_of_the_file() {
    let folder = files(
        "0 18446744073709551615 S i a exists\n0 9 S i a exists\n0 0 S i a exists\n0 10 S i a exists\n",
        "0 0 P i a 1\n",
    );

    let finished = matched(&folder, &[]);

    assert_eq!(finished.succeeded(), "0 9 10 18446744073709551615\n");
}

#[test]
fn count_prints_the_total_alone() {
    let folder = files(SUBS, PUBS);

    assert_eq!(matched(&folder, &["--count"]).succeeded(), "6\n");
    assert_eq!(matched(&folder, &["--count", "--json"]).succeeded(), "6\n");
}

#[test]
fn json_prints_a_list_for_each_publication() {
    let folder = files(SUBS, PUBS);

    let finished = matched(&folder, &["--json"]);

    let lists: Vec<Vec<u64>> = finished
        .succeeded()
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert_eq!(lists, [vec![4, 30], vec![4, 30, 100], vec![], vec![4]]);
}

#[test]
fn every_kernel_that_this_processor_has_gives_the_same_and_another_is_refused_by_name() {
    let folder = files(SUBS, PUBS);
    let plain = matched(&folder, &[]).succeeded().to_owned();

    let refused = matched(&folder, &["--kernel", "sse9"]);

    refused.assert_failed(2, &["--kernel sse9: this processor has portable"]);
    let said = refused.stderr.trim_end();
    let (_, has) = said.split_once("this processor has ").unwrap();
    for kernel in has.split(", ") {
        assert_eq!(matched(&folder, &["--kernel", kernel]).succeeded(), plain);
    }
}

#[test]
fn either_file_may_come_from_standard_input() {
    let folder = files(SUBS, PUBS);
    let pubs = ["match", "--subscriptions", "subs", "--publications", "-"];
    let subs = ["match", "--subscriptions", "-", "--publications", "pubs"];

    for (input, arguments) in [(PUBS, pubs), (SUBS, subs)] {
        let finished = with_stdin(&folder, input.as_bytes(), &arguments);

        assert_eq!(finished.succeeded(), "4 30\n4 30 100\n\n4\n");
    }
}

#[test]
fn standard_input_cannot_be_both_files() {
    let folder = Folder::empty();

    let finished = with_stdin(
        &folder,
        SUBS.as_bytes(),
        &["match", "--subscriptions", "-", "--publications", "-"],
    );

    finished.assert_failed(2, &["standard input (-) can be read once"]);
}

#[test]
fn line_ends_of_windows_and_a_byte_order_mark_change_nothing() {
    let windows = |text: &str| format!("\u{feff}{}", text.replace('\n', "\r\n"));
    let folder = files(&windows(SUBS), &windows(PUBS));

    let finished = matched(&folder, &[]);

    assert_eq!(finished.succeeded(), "4 30\n4 30 100\n\n4\n");
}

#[test]
fn a_last_line_without_an_end_counts() {
    let folder = files(SUBS, "0 0 P i a 1\n0 0 P i a 5");

    assert_eq!(matched(&folder, &[]).succeeded(), "4\n4 30 100\n");
}

#[test]
fn files_without_an_item_give_no_match() {
    let folder = files("# none\n", PUBS);
    assert_eq!(matched(&folder, &[]).succeeded(), "\n\n\n\n");

    let folder = files(SUBS, "");
    assert_eq!(matched(&folder, &[]).succeeded(), "");
    assert_eq!(matched(&folder, &["--count"]).succeeded(), "0\n");
}

#[test]
fn a_malformed_line_is_named_by_file_line_and_column_with_what_may_stand_there() {
    for (subscriptions, publications, named) in [
        (
            SUBS,
            "# one\n\n0 0 P i a 1 i b IBM\n",
            "pubs: line 3, column 17: expected a number or a quoted string, found `IBM`",
        ),
        (
            "0 1 S i a > 1\n0 2 S i a ~ 1\n",
            PUBS,
            "subs: line 2, column 11: expected",
        ),
        (
            "0 minus S i a > 1\n",
            PUBS,
            "subs: line 1, column 3: expected an integer",
        ),
        (
            SUBS,
            "0 0 P i a\n",
            "pubs: line 1, column 10: expected a number or a quoted string, found the end of the line",
        ),
    ] {
        let folder = files(subscriptions, publications);

        matched(&folder, &[]).assert_failed(2, &[named]);
    }
}

#[test]
fn what_was_matched_before_a_malformed_line_is_printed() {
    let folder = files(SUBS, "0 0 P i a 5\n0 0 P i a\n");

    let finished = matched(&folder, &[]);

    finished.assert_failed(2, &["pubs: line 2"]);
    assert_eq!(finished.stdout, "4 30 100\n");
}

#[test]
fn an_item_of_the_other_kind_is_refused_by_its_line() {
    let folder = files("0 1 S i a > 1\n0 0 P i a 1\n", PUBS);
    matched(&folder, &[]).assert_failed(
        2,
        &["subs: line 2: expected a subscription (S), found a publication (P)"],
    );

    let folder = files(SUBS, "0 0 P i a 1\n0 1 S i a > 1\n");
    matched(&folder, &[]).assert_failed(
        2,
        &["pubs: line 2: expected a publication (P), found a subscription (S)"],
    );
}

#[test]
fn a_file_that_cannot_be_read_is_named() {
    let folder = files(SUBS, PUBS);

    for (subscriptions, publications, named) in [
        ("none", "pubs", "none: No such file"),
        ("subs", "none", "none: No such file"),
        (".", "pubs", ".: Is a directory"),
    ] {
        let finished = securecloud(
            &folder,
            &[
                "match",
                "--subscriptions",
                subscriptions,
                "--publications",
                publications,
            ],
        );

        finished.assert_failed(2, &[named]);
    }
}

#[test]
fn a_line_longer_than_a_mebibyte_is_refused_whatever_is_in_it() {
    let two_mebibytes = |character: &str| character.repeat((2 << 20) / character.len());
    for line in [
        format!("0 0 P i a \"{}\"", two_mebibytes("x")),
        format!("0 0 P i a \"{}\"", two_mebibytes("é")),
        format!("# {}", two_mebibytes("x")),
        two_mebibytes(" "),
    ] {
        let folder = files(SUBS, &format!("0 0 P i a 1\n{line}\n0 0 P i a 5\n"));

        let finished = matched(&folder, &[]);

        finished.assert_failed(2, &["pubs: line 2: the line is longer than 1048576 bytes"]);
        assert_eq!(finished.stdout, "4\n");
    }
}

#[test]
fn a_line_of_exactly_a_mebibyte_is_read() {
    let comment = format!("#{}", "x".repeat((1 << 20) - 1));
    let folder = files(SUBS, &format!("{comment}\r\n{comment}\n0 0 P i a 1\n"));

    assert_eq!(matched(&folder, &[]).succeeded(), "4\n");
}

#[test]
fn bytes_that_are_no_text_are_refused_by_line_and_byte() {
    let folder = files(SUBS, "");
    folder.write("pubs", b"0 0 P i a 1\n0 0 P i a \"\xff\xfe\"\n");

    matched(&folder, &[]).assert_failed(2, &["pubs: line 2: byte 12 is no UTF-8 text"]);
}

#[test]
fn an_id_given_again_replaces_the_earlier_filter_with_a_note() {
    let folder = files(
        "0 1 S i a > 1\n0 2 S i a > 1\n0 1 S i a = 0\n",
        "0 0 P i a 2\n0 0 P i a 0\n",
    );

    let finished = matched(&folder, &[]);

    assert_eq!(finished.succeeded(), "2\n1\n");
    assert_eq!(
        finished.stderr,
        "securecloud: subs: line 3: subscription 1 is given again and replaces the earlier one\n"
    );
}

#[test]
fn a_pipe_gets_results_and_no_progress() {
    let publications = "0 0 P i a 5\n".repeat(100_000);
    let folder = files(SUBS, &publications);

    let finished = matched(&folder, &[]);

    assert_eq!(finished.succeeded().len(), "4 30 100\n".len() * 100_000);
    assert_eq!(finished.stderr, "");
}

#[test]
fn a_reader_that_goes_away_ends_it_quietly() {
    let folder = files(SUBS, &"0 0 P i a 5\n".repeat(100_000));
    let arguments = ["match", "--subscriptions", "subs", "--publications", "pubs"];
    let mut child = command(&folder, &arguments).spawn().unwrap();

    drop(child.stdout.take());
    let status = child.wait().unwrap();

    let mut stderr = String::new();
    child
        .stderr
        .take()
        .unwrap()
        .read_to_string(&mut stderr)
        .unwrap();
    assert_eq!((status.code(), stderr.as_str()), (Some(0), ""));
}

#[test]
fn a_full_disk_is_an_error() {
    let folder = files(SUBS, PUBS);
    let arguments = ["match", "--subscriptions", "subs", "--publications", "pubs"];
    let full = std::fs::OpenOptions::new()
        .write(true)
        .open("/dev/full")
        .unwrap();

    let output = command(&folder, &arguments).stdout(full).output().unwrap();

    assert_eq!(output.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&output.stderr).contains("standard output: No space left"));
}

#[test]
fn the_published_sample_of_the_original_router_has_17517_matches() {
    if !Path::new(DATASETS).is_dir() {
        return;
    }
    let folder = Folder::empty();
    let subscriptions = format!("{DATASETS}/s1k");
    let publications = format!("{DATASETS}/p10k");

    let finished = securecloud(
        &folder,
        &[
            "match",
            "--subscriptions",
            &subscriptions,
            "--publications",
            &publications,
            "--count",
        ],
    );

    assert_eq!(finished.succeeded(), "17517\n");
}
