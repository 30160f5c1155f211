//! The workspace as cargo describes it: packages, the dependencies they declare, and what these were resolved to.
//!
//! Invariant: a member's folder is relative to the workspace root, written with `/`, without one at the end.
//! Source: `cargo metadata`, format version 1.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, bail};
use serde::Deserialize;

/// The platform whose dependencies make up the trusted base.
pub const PLATFORM: &str = "x86_64-unknown-linux-gnu";

/// What a dependency is used for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Linked into the crate.
    Normal,
    /// Linked into the crate's build script.
    Build,
    /// Used by tests, examples and benchmarks.
    Dev,
}

/// A dependency as its manifest declares it.
#[derive(Debug)]
pub struct Declared {
    /// The package's real name, whatever it is renamed to.
    pub name: String,
    /// What it is used for.
    pub kind: Kind,
}

/// A dependency as cargo resolved it.
#[derive(Debug)]
pub struct Resolved {
    /// Key of [`Workspace::package`].
    pub id: String,
    /// What it is used for; one dependency can serve several uses.
    pub kinds: Vec<Kind>,
}

/// A package of the workspace or one that it depends on.
#[derive(Debug)]
pub struct Package {
    /// Cargo's identifier.
    pub id: String,
    /// Name in the manifest.
    pub name: String,
    /// Version in the manifest.
    pub version: String,
    /// SPDX expression, if the manifest has one.
    pub licence: Option<String>,
    /// Where cargo took it from; `None` for a path.
    pub origin: Option<String>,
    /// Folder under the workspace root; `None` for packages that are not members.
    pub folder: Option<String>,
    /// Whether it is a procedural macro, which runs while others are built.
    pub is_macro: bool,
    /// Dependencies that its manifest names.
    pub declared: Vec<Declared>,
    /// Dependencies that the features in use resolved to.
    pub resolved: Vec<Resolved>,
}

impl Package {
    /// The package's name as sources write it.
    pub fn identifier(&self) -> String {
        self.name.replace('-', "_")
    }
}

/// Every package of the workspace, and every package that one of them needs.
#[derive(Debug)]
pub struct Workspace {
    root: PathBuf,
    packages: BTreeMap<String, Package>,
}

impl Workspace {
    /// Asks cargo about the workspace this command was built in, for all platforms.
    ///
    /// # Errors
    /// When cargo cannot be run or refuses, for instance because `Cargo.lock` is out of date.
    pub fn here() -> anyhow::Result<Self> {
        Self::ask_cargo(&[])
    }

    /// As [`Workspace::here`], with dependencies resolved for [`PLATFORM`] alone.
    ///
    /// # Errors
    /// As [`Workspace::here`].
    pub fn here_on_platform() -> anyhow::Result<Self> {
        Self::ask_cargo(&["--filter-platform", PLATFORM])
    }

    fn ask_cargo(more: &[&str]) -> anyhow::Result<Self> {
        let output = Command::new(cargo())
            .args(["metadata", "--format-version", "1", "--locked"])
            .args(more)
            .current_dir(root())
            .output()
            .context("cannot run cargo metadata")?;
        if !output.status.success() {
            bail!(
                "cargo metadata refused:\n{}",
                String::from_utf8_lossy(&output.stderr).trim_end()
            );
        }
        Self::parse(&output.stdout)
    }

    /// Reads what `cargo metadata` prints.
    ///
    /// # Errors
    /// When the text is not metadata of format version 1.
    pub fn parse(metadata: &[u8]) -> anyhow::Result<Self> {
        let metadata: Metadata =
            serde_json::from_slice(metadata).context("cannot read cargo's metadata")?;
        let mut edges: BTreeMap<String, Vec<Resolved>> = metadata
            .resolve
            .nodes
            .into_iter()
            .map(|node| (node.id, node.deps.into_iter().map(Into::into).collect()))
            .collect();
        let packages = metadata
            .packages
            .into_iter()
            .map(|raw| {
                let member = metadata.workspace_members.contains(&raw.id);
                let folder = if member {
                    Some(folder_of(&raw.manifest_path, &metadata.workspace_root)?)
                } else {
                    None
                };
                let resolved = edges.remove(&raw.id).unwrap_or_default();
                Ok((raw.id.clone(), raw.into_package(folder, resolved)))
            })
            .collect::<anyhow::Result<_>>()?;
        Ok(Self {
            root: metadata.workspace_root,
            packages,
        })
    }

    /// The folder that holds the workspace's manifest.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// Every package, in the order of cargo's identifiers.
    pub fn packages(&self) -> impl Iterator<Item = &Package> {
        self.packages.values()
    }

    /// The workspace's own packages with their folders, in the order of the folders.
    pub fn members(&self) -> Vec<(&str, &Package)> {
        let mut members: Vec<_> = self
            .packages()
            .filter_map(|p| p.folder.as_deref().map(|folder| (folder, p)))
            .collect();
        members.sort_by_key(|(folder, _)| *folder);
        members
    }

    /// The package with cargo's identifier `id`.
    pub fn package(&self, id: &str) -> Option<&Package> {
        self.packages.get(id)
    }
}

/// The cargo that runs this command, or the one on the path.
pub fn cargo() -> std::ffi::OsString {
    std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into())
}

/// The workspace root, seen from where this command was built.
pub fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .expect("this package is a folder of the workspace")
}

fn folder_of(manifest: &Path, root: &Path) -> anyhow::Result<String> {
    let folder = manifest
        .parent()
        .and_then(|folder| folder.strip_prefix(root).ok());
    let folder =
        folder.with_context(|| format!("{} lies outside the workspace", manifest.display()))?;
    Ok(folder.to_string_lossy().replace('\\', "/"))
}

#[derive(Deserialize)]
struct Metadata {
    packages: Vec<RawPackage>,
    workspace_members: Vec<String>,
    workspace_root: PathBuf,
    #[serde(default)]
    resolve: RawResolve,
}

#[derive(Deserialize)]
struct RawPackage {
    id: String,
    name: String,
    version: String,
    license: Option<String>,
    source: Option<String>,
    manifest_path: PathBuf,
    #[serde(default)]
    dependencies: Vec<RawDependency>,
    #[serde(default)]
    targets: Vec<RawTarget>,
}

impl RawPackage {
    fn into_package(self, folder: Option<String>, resolved: Vec<Resolved>) -> Package {
        Package {
            is_macro: self
                .targets
                .iter()
                .any(|target| target.kind.iter().any(|kind| kind == "proc-macro")),
            declared: self
                .dependencies
                .into_iter()
                .map(|d| Declared {
                    name: d.name,
                    kind: Kind::read(d.kind.as_deref()),
                })
                .collect(),
            id: self.id,
            name: self.name,
            version: self.version,
            licence: self.license,
            origin: self.source,
            folder,
            resolved,
        }
    }
}

#[derive(Deserialize)]
struct RawDependency {
    name: String,
    kind: Option<String>,
}

#[derive(Deserialize)]
struct RawTarget {
    kind: Vec<String>,
}

#[derive(Deserialize, Default)]
struct RawResolve {
    nodes: Vec<RawNode>,
}

#[derive(Deserialize)]
struct RawNode {
    id: String,
    deps: Vec<RawEdge>,
}

#[derive(Deserialize)]
struct RawEdge {
    pkg: String,
    dep_kinds: Vec<RawKind>,
}

#[derive(Deserialize)]
struct RawKind {
    kind: Option<String>,
}

impl From<RawEdge> for Resolved {
    fn from(edge: RawEdge) -> Self {
        Self {
            id: edge.pkg,
            kinds: edge
                .dep_kinds
                .iter()
                .map(|k| Kind::read(k.kind.as_deref()))
                .collect(),
        }
    }
}

impl Kind {
    fn read(kind: Option<&str>) -> Self {
        match kind {
            Some("dev") => Self::Dev,
            Some("build") => Self::Build,
            _ => Self::Normal,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_member_is_known_by_its_folder_and_a_dependency_has_none() {
        let metadata = br#"{
            "workspace_root": "/house", "workspace_members": ["a"],
            "packages": [
                {"id": "a", "name": "sc-a", "version": "0.1.0", "manifest_path": "/house/trusted/a/Cargo.toml"},
                {"id": "b", "name": "b", "version": "2.0.0", "manifest_path": "/cache/b/Cargo.toml"}
            ]
        }"#;

        let workspace = Workspace::parse(metadata).unwrap();

        let folders: Vec<_> = workspace
            .packages()
            .map(|p| (p.name.as_str(), p.folder.as_deref()))
            .collect();
        assert_eq!(folders, [("sc-a", Some("trusted/a")), ("b", None)]);
    }

    #[test]
    fn a_member_outside_the_root_is_refused() {
        let metadata = br#"{
            "workspace_root": "/house", "workspace_members": ["a"],
            "packages": [{"id": "a", "name": "a", "version": "0.1.0", "manifest_path": "/elsewhere/Cargo.toml"}]
        }"#;

        let error = Workspace::parse(metadata).unwrap_err();

        assert_eq!(
            error.to_string(),
            "/elsewhere/Cargo.toml lies outside the workspace"
        );
    }

    #[test]
    fn text_that_is_not_metadata_is_refused() {
        assert!(Workspace::parse(b"{}").is_err());
    }

    #[test]
    fn this_workspace_contains_this_package() {
        let workspace = Workspace::here().unwrap();

        assert!(
            workspace
                .members()
                .iter()
                .any(|(folder, package)| *folder == "xtask" && package.name == "xtask")
        );
    }
}
