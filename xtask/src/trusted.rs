//! Builds the trusted programs so that the same sources and tools come out as the same bytes, in whatever folder: an owner can pin what it has
//! built, and compare.
//!
//! Invariant: no flag and no path of whoever builds reaches the programs: flags are set here, paths of the sources and of cargo's registry
//! are replaced by fixed ones. What stays is the compilers, whose versions are told.
#![expect(
    clippy::print_stdout,
    reason = "a command for people: its output is the terminal"
)]

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::Context;

use crate::tree;
use crate::violation::Violation;
use crate::workspace;

/// The programs.
pub const PROGRAMS: [&str; 2] = ["sc-cbr", "sc-coder"];

/// What stands in the place of the sources' folder and of cargo's.
const SOURCES: &str = "/securecloud";
const CARGO: &str = "/cargo";

/// Builds the programs of this workspace into `target/trusted` and returns where they are.
///
/// # Errors
/// When they cannot be built.
pub fn build_here() -> anyhow::Result<Vec<PathBuf>> {
    let root = workspace::root();
    let target = root.join("target/trusted");
    build(root, &target)?;
    for (compiler, argument) in [("rustc", "--version"), ("cc", "--version")] {
        let output = Command::new(compiler).arg(argument).output();
        let output = output.with_context(|| format!("cannot run {compiler}"))?;
        let text = String::from_utf8_lossy(&output.stdout);
        println!("{}", text.lines().next().unwrap_or_default());
    }
    Ok(programs(&target))
}

/// Builds copies of this workspace in two folders and compares the programs byte by byte.
///
/// # Errors
/// When a copy cannot be made or built.
pub fn reproduce() -> anyhow::Result<Vec<Violation>> {
    let root = workspace::root();
    let under = root.join("target/reproduced");
    if under.exists() {
        std::fs::remove_dir_all(&under).context("cannot remove the copies of an earlier run")?;
    }
    // Their names differ in length, as those of two owners would.
    let copies = [under.join("a"), under.join("another/folder")];
    for copy in &copies {
        copy_sources(root, copy)?;
        build(copy, &copy.join("target"))?;
    }
    let [first, second] = copies.each_ref().map(|copy| programs(&copy.join("target")));
    let mut violations = Vec::new();
    for ((name, first), second) in PROGRAMS.iter().zip(first).zip(second) {
        let read = |path: &Path| {
            std::fs::read(path).with_context(|| format!("cannot read {}", path.display()))
        };
        if read(&first)? != read(&second)? {
            let what = format!(
                "is not the same in two folders: compare {} and {}",
                first.display(),
                second.display()
            );
            violations.push(Violation::new("reproducible", *name, what));
        }
    }
    if violations.is_empty() {
        std::fs::remove_dir_all(&under).context("cannot remove the copies")?;
    }
    Ok(violations)
}

fn programs(target: &Path) -> Vec<PathBuf> {
    PROGRAMS
        .iter()
        .map(|name| target.join("release").join(name))
        .collect()
}

fn build(sources: &Path, target: &Path) -> anyhow::Result<()> {
    let from = sources.display().to_string();
    let home = cargo_home()?;
    let rust = [
        format!("--remap-path-prefix={home}={CARGO}"),
        format!("--remap-path-prefix={from}={SOURCES}"),
    ];
    let c = format!("-ffile-prefix-map={home}={CARGO} -ffile-prefix-map={from}={SOURCES}");
    let mut command = Command::new(workspace::cargo());
    command
        .args(["build", "--release", "--locked", "--package", "sc-program"])
        .arg("--bins")
        .arg("--target-dir")
        .arg(target)
        .current_dir(sources)
        // Words with spaces in them stay whole this way.
        .env("CARGO_ENCODED_RUSTFLAGS", rust.join("\u{1f}"))
        .env("CFLAGS", &c)
        .env("CXXFLAGS", &c);
    for name in ["RUSTFLAGS", "CARGO_BUILD_RUSTFLAGS", "RUSTC_WRAPPER"] {
        command.env_remove(name);
    }
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("CARGO_PROFILE_") {
            command.env_remove(name);
        }
    }
    let status = command.status().context("cannot run cargo")?;
    anyhow::ensure!(status.success(), "the trusted programs cannot be built");
    Ok(())
}

/// Cargo's folder, in which it keeps the sources of other crates.
fn cargo_home() -> anyhow::Result<String> {
    if let Some(home) = std::env::var_os("CARGO_HOME") {
        return Ok(PathBuf::from(home).display().to_string());
    }
    let home = std::env::var_os("HOME").context("neither CARGO_HOME nor HOME is set")?;
    Ok(Path::new(&home).join(".cargo").display().to_string())
}

fn copy_sources(root: &Path, copy: &Path) -> anyhow::Result<()> {
    for path in tree::paths(root)? {
        let (from, to) = (root.join(&path), copy.join(&path));
        // A file that git tracks and somebody has just removed is no longer part of the project.
        if !from.is_file() {
            continue;
        }
        if let Some(folder) = to.parent() {
            std::fs::create_dir_all(folder)?;
        }
        std::fs::copy(&from, &to).with_context(|| format!("cannot copy {}", from.display()))?;
    }
    Ok(())
}
