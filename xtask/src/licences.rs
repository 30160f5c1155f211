//! What may be linked: licences that are allowed, crates that are banned, and the one registry.
//!
//! Invariant: every package that any platform, test or tool of the workspace needs is looked at.
//! Source: `deny.toml` says the same to `cargo deny`; a test holds the two together.

use crate::spdx;
use crate::violation::Violation;
use crate::workspace::{Package, Workspace};

/// Licences under which the project can be given to anyone under MIT or Apache-2.0.
///
/// MPL-2.0 is at arm's length: it binds changes to the files of the crate that carries it, and nothing that links it.
pub const ALLOWED: &[&str] = &[
    "MIT",
    "Apache-2.0",
    "Apache-2.0 WITH LLVM-exception",
    "BSD-2-Clause",
    "BSD-3-Clause",
    "ISC",
    "Zlib",
    "Unicode-3.0",
    "MPL-2.0",
    "CC0-1.0",
    "0BSD",
    "Unlicense",
    "BSL-1.0",
    "OpenSSL",
];

/// Crates that must not come in, each with the reason.
pub const BANNED: &[(&str, &str)] = &[
    (
        "zeromq",
        "a frame announced with 2^62 bytes aborts the process, and it has no high-water mark: use omq-tokio",
    ),
    (
        "openssl-sys",
        "a second cryptographic library, linked from the system: use aws-lc-rs",
    ),
    (
        "configfs-tsm",
        "licensed under the AGPL: the kernel's interface takes twenty lines of our own",
    ),
    (
        "reed-solomon-erasure",
        "its C symbols collide with those of other erasure codecs: trusted/erasure has kernels of its own",
    ),
];

/// The one registry, as cargo writes it.
pub const REGISTRY: &str = "registry+https://github.com/rust-lang/crates.io-index";

/// Everything that may not be linked, in the order of cargo's identifiers.
pub fn check(workspace: &Workspace) -> Vec<Violation> {
    let foreign = workspace
        .packages()
        .filter(|package| package.folder.is_none());
    foreign
        .flat_map(|package| {
            [origin(package), ban(package), licence(package)]
                .into_iter()
                .flatten()
        })
        .collect()
}

fn violation(package: &Package, what: String) -> Violation {
    Violation::new(
        "licences",
        format!("{} {}", package.name, package.version),
        what,
    )
}

fn origin(package: &Package) -> Option<Violation> {
    match package.origin.as_deref() {
        Some(REGISTRY) => None,
        Some(other) => Some(violation(
            package,
            format!("comes from {other}; only crates.io is allowed"),
        )),
        None => Some(violation(
            package,
            "comes from a folder outside the workspace; only crates.io is allowed".to_owned(),
        )),
    }
}

fn ban(package: &Package) -> Option<Violation> {
    let (_, reason) = BANNED.iter().find(|(name, _)| *name == package.name)?;
    Some(violation(package, format!("is banned: {reason}")))
}

fn licence(package: &Package) -> Option<Violation> {
    let Some(expression) = package.licence.as_deref() else {
        return Some(violation(package, "states no SPDX licence".to_owned()));
    };
    match spdx::satisfied(expression, ALLOWED) {
        Ok(true) => None,
        Ok(false) => Some(violation(
            package,
            format!("is licensed under {expression}, which the allowed licences do not satisfy"),
        )),
        Err(error) => Some(violation(
            package,
            format!("states the licence {expression}, which cannot be read: {error}"),
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_workspace_links_nothing_that_may_not_be_linked() {
        assert_eq!(check(&Workspace::here().unwrap()), []);
    }

    const DENY: &str = include_str!("../../deny.toml");

    /// The quoted strings of the list in deny.toml that opens with `start`.
    fn list(start: &str) -> Vec<&'static str> {
        let (_, body) = DENY.split_once(start).unwrap();
        let (body, _) = body.split_once("]\n").unwrap();
        body.split('"').skip(1).step_by(2).collect()
    }

    #[test]
    fn cargo_deny_is_told_the_same_licences() {
        assert_eq!(list("\nallow = ["), ALLOWED);
    }

    #[test]
    fn cargo_deny_is_told_the_same_bans_for_the_same_reasons() {
        let banned: Vec<&str> = BANNED
            .iter()
            .flat_map(|(name, reason)| [*name, *reason])
            .collect();

        assert_eq!(list("\ndeny = ["), banned);
    }

    #[test]
    fn cargo_deny_is_told_the_same_registry() {
        assert_eq!(
            list("\nallow-registry = ["),
            [REGISTRY.trim_start_matches("registry+")]
        );
    }
}
