//! The laws of the house, checked against the manifests and the sources.
//!
//! Invariant: a check reads nothing but its arguments; what it finds is in the order of rooms and lines.
//! Source: `ARCHITECTURE.md`; the tables are in `rules`. Law 5 is `tcb`.

mod names;
mod rooms;
mod text;

use crate::tree::Tree;
use crate::violation::Violation;
use crate::workspace::{self, Workspace};

/// Checks the workspace that this command was built in.
///
/// # Errors
/// When cargo, git or a file cannot be read; a broken law is no error but in the list.
pub fn check_here() -> anyhow::Result<Vec<Violation>> {
    Ok(check(&Workspace::here()?, &Tree::read(workspace::root())?))
}

/// Every broken law of `workspace`, whose files are `tree`.
pub fn check(workspace: &Workspace, tree: &Tree) -> Vec<Violation> {
    let mut violations = Vec::new();
    rooms::dependencies(workspace, &mut violations);
    for (folder, package) in workspace.members() {
        rooms::lints(folder, tree, &mut violations);
        rooms::no_std(folder, tree, &mut violations);
        for source in tree.sources_in(folder) {
            names::rooms(workspace, folder, source, &mut violations);
            names::outside(folder, source, &mut violations);
            names::printing(folder, source, &mut violations);
            names::unsafety(source, &mut violations);
        }
        text::homeless_package(folder, package, &mut violations);
    }
    for source in tree.sources() {
        text::homeless_modules(source, &mut violations);
    }
    text::homeless_files(tree, &mut violations);
    text::places(tree, &mut violations);
    violations
}
