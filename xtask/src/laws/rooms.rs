//! What the manifests say: which room depends on which, and which gave up a lint or the standard library.

use crate::paths;
use crate::rules::{self, Territory, within};
use crate::tree::Tree;
use crate::violation::Violation;
use crate::workspace::{Kind, Package, Workspace};

/// The line of the table that is about the room in `folder`.
pub(super) fn territory(folder: &str) -> Option<&'static Territory> {
    rules::TERRITORIES
        .iter()
        .find(|territory| within(folder, territory.rooms))
}

/// Whether the rooms of `territory`, one of which lies in `from`, may name the room in `to`.
pub(super) fn may_name(territory: &Territory, from: &str, to: &str) -> bool {
    from == to || territory.may_name.iter().any(|pattern| within(to, pattern))
}

/// Laws 1 to 4, of declared dependencies.
pub(super) fn dependencies(workspace: &Workspace, violations: &mut Vec<Violation>) {
    for (folder, package) in workspace.members() {
        match territory(folder) {
            Some(territory) => of_room(workspace, territory, folder, package, violations),
            None => violations.push(Violation::new("law 4", folder, "lies in no territory: proto, trusted, host, owner or the few that may name everything")),
        }
    }
}

fn of_room(
    workspace: &Workspace,
    territory: &Territory,
    folder: &str,
    package: &Package,
    violations: &mut Vec<Violation>,
) {
    for declared in &package.declared {
        let Some(to) = workspace
            .members()
            .into_iter()
            .find(|(_, other)| other.name == declared.name)
            .map(|(to, _)| to)
        else {
            continue;
        };
        let held = territory.tests_too || declared.kind != Kind::Dev;
        if held && !may_name(territory, folder, to) {
            let what = format!(
                "depends on {} of {to}; a room of {} may name {}",
                declared.name,
                territory.rooms,
                list(territory.may_name)
            );
            violations.push(Violation::new(
                territory.law,
                format!("{folder}/Cargo.toml"),
                what,
            ));
        }
    }
}

pub(super) fn list(names: &[&str]) -> String {
    if names.is_empty() {
        "no other room".to_owned()
    } else {
        names.join(", ")
    }
}

/// Every room takes the workspace's lints, `unsafe_code = "deny"` among them.
pub(super) fn lints(folder: &str, tree: &Tree, violations: &mut Vec<Violation>) {
    let manifest = format!("{folder}/Cargo.toml");
    let text = tree.text(&manifest).unwrap_or_default();
    let lints: Vec<&str> = text
        .lines()
        .map(str::trim)
        .skip_while(|line| *line != "[lints]")
        .skip(1)
        .take(1)
        .collect();
    if lints != ["workspace = true"] {
        violations.push(Violation::new(
            "lints",
            manifest,
            "does not take the workspace's lints: write `workspace = true` under `[lints]`",
        ));
    }
}

/// Law 1: the rooms of pure arithmetic are `no_std`, outside their tests.
pub(super) fn no_std(folder: &str, tree: &Tree, violations: &mut Vec<Violation>) {
    let library = format!("{folder}/src/lib.rs");
    if !rules::NO_STD.contains(&folder) {
        return;
    }
    let Some(source) = tree.sources().iter().find(|source| source.path == library) else {
        return;
    };
    let code: String = source.code.split_whitespace().collect();
    if !code.contains("#![no_std]") && !code.contains("#![cfg_attr(not(test),no_std)]") {
        violations.push(Violation::new(
            "law 1",
            library.as_str(),
            "is not no_std: write `#![no_std]`, or `#![cfg_attr(not(test), no_std)]`",
        ));
    }
    for source in tree.sources_in(&format!("{folder}/src")) {
        let words = paths::paths(&source.shipped);
        for pair in words
            .windows(2)
            .filter(|pair| pair[0].segments == ["crate"] && pair[1].segments == ["std"])
        {
            violations.push(Violation::new(
                "law 1",
                format!("{}:{}", source.path, pair[1].line),
                "takes the standard library back",
            ));
        }
    }
}
