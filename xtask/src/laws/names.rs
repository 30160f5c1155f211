//! What the sources say: rooms, the outside world, printing and `unsafe`.

use std::collections::BTreeSet;

use super::rooms::{list, may_name, territory};
use crate::paths::{self, Spoken};
use crate::rules::{self, within};
use crate::source::{Role, Source};
use crate::violation::Violation;
use crate::workspace::Workspace;

fn at(source: &Source, line: usize) -> String {
    format!("{}:{line}", source.path)
}

/// Laws 1 to 4, of the crates that a source names.
pub(super) fn rooms(
    workspace: &Workspace,
    folder: &str,
    source: &Source,
    violations: &mut Vec<Violation>,
) {
    let Some(territory) = territory(folder) else {
        return;
    };
    let code = if territory.tests_too {
        &source.code
    } else {
        &source.shipped
    };
    let others: Vec<(String, &str)> = workspace
        .members()
        .into_iter()
        .map(|(to, package)| (package.identifier(), to))
        .collect();
    for spoken in paths::paths(code) {
        let Some((name, to)) = others.iter().find(|(name, _)| spoken.segments[0] == name) else {
            continue;
        };
        if !may_name(territory, folder, to) {
            let what = format!(
                "names {}; a room of {} may name {}",
                spoken.written(),
                territory.rooms,
                list(territory.may_name)
            );
            violations.push(Violation::new(territory.law, at(source, spoken.line), what));
        }
        for narrow in rules::NARROW
            .iter()
            .filter(|narrow| narrow.of == name && within(folder, narrow.rooms))
        {
            if spoken.segments.get(1) != Some(&narrow.only) {
                let what = format!(
                    "names {}; of {} a room of {} may name {} alone",
                    spoken.written(),
                    narrow.of,
                    narrow.rooms,
                    narrow.only
                );
                violations.push(Violation::new(narrow.law, at(source, spoken.line), what));
            }
        }
    }
}

/// Law 1: the trusted libraries touch nothing outside.
pub(super) fn outside(folder: &str, source: &Source, violations: &mut Vec<Violation>) {
    // A build script runs outside the TEE.
    if !within(folder, "trusted/")
        || folder == rules::TRUSTED_SHELL
        || source.role == Role::BuildScript
    {
        return;
    }
    let mut seen = BTreeSet::new();
    for spoken in paths::paths(&source.code) {
        let in_test = source.is_test_line(spoken.line);
        for outside in rules::OUTSIDE
            .iter()
            .filter(|outside| !(in_test && outside.tests_may))
        {
            if spoken.reaches(outside.path) && seen.insert((spoken.line, spoken.written())) {
                let what = format!(
                    "names {}, which reaches {}; in a trusted library it is an argument",
                    spoken.written(),
                    outside.path
                );
                violations.push(Violation::new("law 1", at(source, spoken.line), what));
            }
        }
    }
}

/// Only the rooms that talk to a terminal print.
pub(super) fn printing(folder: &str, source: &Source, violations: &mut Vec<Violation>) {
    // Cargo reads the output of a build script.
    if rules::MAY_PRINT.contains(&folder) || source.role == Role::BuildScript {
        return;
    }
    for spoken in paths::paths(&source.shipped) {
        let last = spoken.segments.last().copied().unwrap_or_default();
        if spoken.called_as_macro && rules::PRINTING.contains(&last) {
            let what = format!("calls {last}!; only {} print", rules::MAY_PRINT.join(", "));
            violations.push(Violation::new("printing", at(source, spoken.line), what));
        }
    }
}

/// `unsafe`, and leave to write it, stand in the listed places alone.
pub(super) fn unsafety(source: &Source, violations: &mut Vec<Violation>) {
    if rules::UNSAFE
        .iter()
        .any(|place| is_or_lies_in(&source.path, place))
    {
        return;
    }
    let mut level = "";
    for Spoken { segments, line, .. } in paths::paths(&source.code) {
        let what = match segments[..] {
            ["allow" | "expect" | "warn" | "deny" | "forbid"] => {
                level = segments[0];
                continue;
            }
            ["unsafe"] => "writes unsafe".to_owned(),
            ["unsafe_code"] if matches!(level, "allow" | "expect" | "warn") => {
                format!("sets {level}(unsafe_code)")
            }
            _ => continue,
        };
        violations.push(Violation::new(
            "unsafe",
            at(source, line),
            format!("{what} outside {}", rules::UNSAFE.join(", ")),
        ));
    }
}

/// Whether `path` is the file `place`, with any suffix of its last word, or lies in a folder so called.
fn is_or_lies_in(path: &str, place: &str) -> bool {
    path.strip_prefix(place)
        .is_some_and(|rest| rest.trim_start_matches('s').starts_with(['.', '/']))
}
