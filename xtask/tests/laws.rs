//! Each law has a workspace that breaks it, and the real one breaks none.

use std::path::PathBuf;

use xtask::tree::Tree;
use xtask::violation::Violation;
use xtask::workspace::{self, Workspace};
use xtask::{laws, licences, tcb};

/// A broken workspace under `tests/fixtures`, and what has to be found there.
struct Fixture {
    workspace: Workspace,
    tree: Tree,
    expected: String,
}

impl Fixture {
    fn read(name: &str) -> Self {
        let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR"))
            .join("tests/fixtures")
            .join(name);
        let text = |file: &str| {
            std::fs::read_to_string(folder.join(file)).expect("the fixture has this file")
        };
        Self {
            workspace: Workspace::parse(text("metadata.json").as_bytes())
                .expect("the fixture's metadata can be read"),
            tree: Tree::read_without(&folder, &["metadata.json", "violations.txt"])
                .expect("the fixture's files can be read"),
            expected: text("violations.txt"),
        }
    }
}

#[track_caller]
fn assert_found(violations: &[Violation], expected: &str) {
    let found: Vec<String> = violations.iter().map(ToString::to_string).collect();
    assert_eq!(found.join("\n"), expected.trim_end());
    assert_ne!(expected.trim_end(), "", "a fixture breaks something");
}

#[track_caller]
fn assert_laws_find_all_of(name: &str) {
    let fixture = Fixture::read(name);

    let violations = laws::check(&fixture.workspace, &fixture.tree);

    assert_found(&violations, &fixture.expected);
}

#[test]
fn a_trusted_room_that_names_the_host_breaks_law_1() {
    assert_laws_find_all_of("law_1_rooms");
}

#[test]
fn a_trusted_library_that_reaches_outside_breaks_law_1() {
    assert_laws_find_all_of("law_1_outside");
}

#[test]
fn arithmetic_with_the_standard_library_breaks_law_1() {
    assert_laws_find_all_of("law_1_no_std");
}

#[test]
fn a_host_that_names_keys_breaks_law_2() {
    assert_laws_find_all_of("law_2");
}

#[test]
fn a_gateway_that_calls_the_store_breaks_law_3() {
    assert_laws_find_all_of("law_3");
}

#[test]
fn a_room_that_names_the_whole_house_breaks_law_4() {
    assert_laws_find_all_of("law_4");
}

#[test]
fn a_trusted_base_that_grew_unseen_breaks_law_5() {
    let fixture = Fixture::read("law_5");

    let violations = tcb::check(&fixture.workspace, &fixture.tree);

    assert_found(&violations, &fixture.expected);
}

#[test]
fn a_trusted_base_that_is_not_written_down_breaks_law_5() {
    let fixture = Fixture::read("law_3");

    let violations = tcb::check(&fixture.workspace, &fixture.tree);

    assert_found(
        &violations,
        "law 5: trusted/TCB.txt: is missing: run `cargo xtask tcb --write`",
    );
}

#[test]
fn a_trusted_base_names_what_is_linked_apart_from_what_builds_it() {
    let fixture = Fixture::read("law_5");

    let text = tcb::describe(&fixture.workspace, &fixture.tree);

    let (_, crates) = text.split_once("total 4\n").unwrap();
    let linked = "\n# crates linked into it: 2\nbytes 1.0.0\nnew 2.1.0\n";
    let building = "\n# crates that only run while it is built: 2\nderive 1.0.0\ngenerator 1.0.0\n";
    assert_eq!(crates, format!("{linked}{building}"));
}

#[test]
fn a_name_without_a_noun_breaks_law_6() {
    assert_laws_find_all_of("law_6");
}

#[test]
fn unsafe_outside_kernels_and_sandboxes_is_found() {
    assert_laws_find_all_of("unsafe");
}

#[test]
fn printing_in_a_room_without_a_terminal_is_found() {
    assert_laws_find_all_of("printing");
}

#[test]
fn a_room_with_lints_of_its_own_is_found() {
    assert_laws_find_all_of("lints");
}

#[test]
fn a_text_that_points_out_of_the_project_is_found() {
    assert_laws_find_all_of("places");
}

#[test]
fn what_may_not_be_linked_is_found() {
    let fixture = Fixture::read("licences");

    let violations = licences::check(&fixture.workspace);

    assert_found(&violations, &fixture.expected);
}

#[test]
fn this_workspace_keeps_the_laws() {
    let violations = laws::check_here().unwrap();

    let found: Vec<String> = violations.iter().map(ToString::to_string).collect();
    assert_eq!(found, Vec::<String>::new());
}

#[test]
fn the_trusted_base_has_every_trusted_room() {
    let tree = Tree::read(workspace::root()).unwrap();
    let workspace = Workspace::here_on_platform().unwrap();

    let text = tcb::describe(&workspace, &tree);

    let trusted: Vec<&str> = workspace
        .members()
        .into_iter()
        .map(|(folder, _)| folder)
        .filter(|folder| folder.starts_with("trusted/"))
        .collect();
    assert!(
        trusted.len() >= 5
            && trusted
                .iter()
                .all(|folder| text.contains(&format!("\n{folder} "))),
        "{text}"
    );
}
