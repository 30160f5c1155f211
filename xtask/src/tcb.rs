//! Law 5: the trusted base, written down in `trusted/TCB.txt` and compared with what is there.
//!
//! Invariant: the text is a function of the workspace and its sources alone, the same on every machine.
//! Source: dependencies as cargo resolves them for one platform, with the features that the whole workspace asks for.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;
use std::path::PathBuf;

use anyhow::Context;

use crate::rules;
use crate::tree::Tree;
use crate::violation::Violation;
use crate::workspace::{self, Kind, PLATFORM, Package, Workspace};

/// Where the trusted base is written down.
pub const FILE: &str = "trusted/TCB.txt";

/// What puts right every difference.
const REMEDY: &str = "if the growth is meant, run `cargo xtask tcb --write` and commit the file";

/// Compares [`FILE`] with the workspace that this command was built in.
///
/// # Errors
/// When cargo, git or a file cannot be read.
pub fn check_here() -> anyhow::Result<Vec<Violation>> {
    let tree = Tree::read(workspace::root())?;
    Ok(check(&Workspace::here_on_platform()?, &tree))
}

/// Writes [`FILE`] anew and returns its path.
///
/// # Errors
/// When cargo, git or a file cannot be read, or [`FILE`] cannot be written.
pub fn write_here() -> anyhow::Result<PathBuf> {
    let tree = Tree::read(workspace::root())?;
    let path = workspace::root().join(FILE);
    std::fs::write(&path, describe(&Workspace::here_on_platform()?, &tree))
        .with_context(|| format!("cannot write {FILE}"))?;
    Ok(path)
}

/// The lines in which [`FILE`] differs from the trusted base as it is.
pub fn check(workspace: &Workspace, tree: &Tree) -> Vec<Violation> {
    let Some(written) = tree.text(FILE) else {
        return vec![Violation::new(
            "law 5",
            FILE,
            "is missing: run `cargo xtask tcb --write`",
        )];
    };
    let found = describe(workspace, tree);
    let lines = |text: &str| -> BTreeSet<String> { text.lines().map(str::to_owned).collect() };
    let (before, now) = (lines(written), lines(&found));
    let gone = before
        .difference(&now)
        .map(|line| format!("says `{}`, which is no longer so; {REMEDY}", line.trim()));
    let new = now
        .difference(&before)
        .map(|line| format!("does not say `{}`; {REMEDY}", line.trim()));
    let mut violations: Vec<_> = gone
        .chain(new)
        .map(|what| Violation::new("law 5", FILE, what))
        .collect();
    if violations.is_empty() && written != found {
        violations.push(Violation::new(
            "law 5",
            FILE,
            format!("has its lines in another order; {REMEDY}"),
        ));
    }
    violations
}

/// The trusted base of `workspace` as [`FILE`] says it.
pub fn describe(workspace: &Workspace, tree: &Tree) -> String {
    let base = Base::of(workspace);
    let mut text = format!(
        "# The trusted base: what runs inside the TEE, and what runs on the machine that builds it.\n\
         # Checked by `cargo xtask test`; written by `cargo xtask tcb --write`. Platform: {PLATFORM}.\n"
    );
    let lines: Vec<(&str, usize)> = base
        .own
        .iter()
        .map(|folder| {
            (
                *folder,
                tree.sources_in(folder)
                    .map(|source| source.shipped_lines())
                    .sum(),
            )
        })
        .collect();
    let total: usize = lines.iter().map(|(_, lines)| lines).sum();
    section(
        &mut text,
        "own lines of code, without tests, comments and blank lines",
        lines
            .iter()
            .map(|(folder, lines)| format!("{folder} {lines}")),
    );
    let _ = writeln!(text, "total {total}");
    section(
        &mut text,
        &format!("crates linked into it: {}", base.linked.len()),
        base.linked.iter().map(written),
    );
    section(
        &mut text,
        &format!(
            "crates that only run while it is built: {}",
            base.building.len()
        ),
        base.building.iter().map(written),
    );
    text
}

fn section(text: &mut String, title: &str, lines: impl Iterator<Item = String>) {
    let _ = writeln!(text, "\n# {title}");
    for line in lines {
        let _ = writeln!(text, "{line}");
    }
}

fn written((name, version): &(&str, &str)) -> String {
    format!("{name} {version}")
}

/// Everything that the trusted rooms reach by normal and build dependencies.
#[derive(Debug, Default)]
struct Base<'a> {
    own: BTreeSet<&'a str>,
    linked: BTreeSet<(&'a str, &'a str)>,
    building: BTreeSet<(&'a str, &'a str)>,
}

impl<'a> Base<'a> {
    fn of(workspace: &'a Workspace) -> Self {
        let trusted = workspace
            .members()
            .into_iter()
            .filter(|(folder, _)| rules::within(folder, "trusted/"));
        let mut open: Vec<(&Package, bool)> = trusted.map(|(_, package)| (package, true)).collect();
        // Whether a package that was reached is linked; one that is also run while building counts as linked.
        let mut reached: BTreeMap<&str, bool> = BTreeMap::new();
        while let Some((package, linked)) = open.pop() {
            let linked = linked && !package.is_macro;
            if reached
                .get(package.id.as_str())
                .is_some_and(|before| *before || !linked)
            {
                continue;
            }
            reached.insert(&package.id, linked);
            for edge in &package.resolved {
                let Some(next) = workspace.package(&edge.id) else {
                    continue;
                };
                open.extend(
                    edge.kinds
                        .iter()
                        .filter(|kind| **kind != Kind::Dev)
                        .map(|kind| (next, linked && *kind == Kind::Normal)),
                );
            }
        }
        let mut base = Self::default();
        for (id, linked) in reached {
            let package = workspace
                .package(id)
                .expect("only packages of the workspace are reached");
            let named = (package.name.as_str(), package.version.as_str());
            match &package.folder {
                Some(folder) => drop(base.own.insert(folder)),
                None if linked => drop(base.linked.insert(named)),
                None => drop(base.building.insert(named)),
            }
        }
        base
    }
}
