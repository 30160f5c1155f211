//! The project's text files, as git knows them.
//!
//! Invariant: build products and the laws' own broken fixtures are left out.

use std::path::Path;
use std::process::Command;

use anyhow::Context;

use crate::rules;
use crate::source::{Role, Source};

/// Every text file of the project, with the Rust sources read apart.
#[derive(Debug)]
pub struct Tree {
    files: Vec<(String, String)>,
    sources: Vec<Source>,
}

impl Tree {
    /// Reads the files under `root`: those git tracks or would track, or all where there is no git.
    ///
    /// # Errors
    /// When a folder or file cannot be read.
    pub fn read(root: &Path) -> anyhow::Result<Self> {
        Self::read_without(root, &[])
    }

    /// As [`Tree::read`], without the files called `left_out`.
    ///
    /// # Errors
    /// As [`Tree::read`].
    pub fn read_without(root: &Path, left_out: &[&str]) -> anyhow::Result<Self> {
        let mut paths = paths(root)?;
        paths.retain(|path| {
            !path.starts_with(rules::FIXTURES) && !left_out.contains(&path.as_str())
        });
        paths.sort();
        paths.dedup();
        let mut files = Vec::new();
        for path in paths {
            // A file that git tracks and somebody has just removed is no longer part of the project.
            let Ok(bytes) = std::fs::read(root.join(&path)) else {
                continue;
            };
            if let Ok(text) = String::from_utf8(bytes) {
                files.push((path, text));
            }
        }
        let sources = sources(&files);
        Ok(Self { files, sources })
    }

    /// Path and text of every file that is UTF-8.
    pub fn files(&self) -> impl Iterator<Item = (&str, &str)> {
        self.files
            .iter()
            .map(|(path, text)| (path.as_str(), text.as_str()))
    }

    /// The text of the file at `path`.
    pub fn text(&self, path: &str) -> Option<&str> {
        self.files()
            .find(|(candidate, _)| *candidate == path)
            .map(|(_, text)| text)
    }

    /// The Rust sources.
    pub fn sources(&self) -> &[Source] {
        &self.sources
    }

    /// The Rust sources under `folder`.
    pub fn sources_in(&self, folder: &str) -> impl Iterator<Item = &Source> {
        let prefix = format!("{folder}/");
        self.sources
            .iter()
            .filter(move |source| source.path.starts_with(&prefix))
    }
}

/// The path of every file under `root` that git tracks or would track, or of all where there is no git.
///
/// # Errors
/// When git or a folder cannot be read.
pub fn paths(root: &Path) -> anyhow::Result<Vec<String>> {
    if root.join(".git").exists() {
        ask_git(root)
    } else {
        walk(root, root)
    }
}

fn ask_git(root: &Path) -> anyhow::Result<Vec<String>> {
    let output = Command::new("git")
        .args([
            "ls-files",
            "-z",
            "--cached",
            "--others",
            "--exclude-standard",
        ])
        .current_dir(root)
        .output()
        .context("cannot run git ls-files")?;
    anyhow::ensure!(
        output.status.success(),
        "git ls-files: {}",
        String::from_utf8_lossy(&output.stderr).trim_end()
    );
    let listed = String::from_utf8_lossy(&output.stdout);
    Ok(listed
        .split('\0')
        .filter(|path| !path.is_empty())
        .map(str::to_owned)
        .collect())
}

fn walk(root: &Path, folder: &Path) -> anyhow::Result<Vec<String>> {
    let mut paths = Vec::new();
    for entry in
        std::fs::read_dir(folder).with_context(|| format!("cannot read {}", folder.display()))?
    {
        let entry = entry?;
        let path = entry.path();
        if entry.file_type()?.is_dir() {
            if path != root.join("target") {
                paths.extend(walk(root, &path)?);
            }
        } else if let Ok(relative) = path.strip_prefix(root) {
            paths.push(relative.to_string_lossy().replace('\\', "/"));
        }
    }
    Ok(paths)
}

fn sources(files: &[(String, String)]) -> Vec<Source> {
    let rust = files.iter().filter(|(path, _)| path.ends_with(".rs"));
    let mut sources: Vec<Source> = rust
        .map(|(path, text)| Source::new(path, role(path), text))
        .collect();
    let only_tests: Vec<String> = sources
        .iter()
        .flat_map(|source| {
            source
                .test_modules()
                .into_iter()
                .map(|name| module_stem(&source.path, name))
        })
        .collect();
    for source in &mut sources {
        let included = |stem: &String| {
            source.path == format!("{stem}.rs") || source.path.starts_with(&format!("{stem}/"))
        };
        if source.role == Role::Shipped && only_tests.iter().any(included) {
            source.leave_to_tests();
        }
    }
    sources
}

fn role(path: &str) -> Role {
    if path
        .split('/')
        .any(|folder| matches!(folder, "tests" | "benches" | "examples"))
    {
        Role::Test
    } else if path.ends_with("build.rs") && !path.contains("/src/") {
        Role::BuildScript
    } else {
        Role::Shipped
    }
}

/// Where the module `name` of the file at `path` lies, without `.rs`.
fn module_stem(path: &str, name: &str) -> String {
    let (folder, file) = path.rsplit_once('/').unwrap_or(("", path));
    match file {
        "lib.rs" | "main.rs" | "mod.rs" => format!("{folder}/{name}"),
        file => format!("{folder}/{}/{name}", file.trim_end_matches(".rs")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(files: &[(&str, &str)]) -> Vec<(String, usize)> {
        let files: Vec<_> = files
            .iter()
            .map(|(path, text)| ((*path).to_owned(), (*text).to_owned()))
            .collect();
        sources(&files)
            .iter()
            .map(|source| (source.path.clone(), source.shipped_lines()))
            .collect()
    }

    #[test]
    fn a_module_in_its_own_file_that_only_tests_include_is_not_shipped() {
        let files = [
            ("room/src/lib.rs", "#[cfg(test)]\nmod pair;\nmod link;\n"),
            ("room/src/link.rs", "#[cfg(test)]\nmod tests;\nfn f() {}\n"),
            ("room/src/link/tests.rs", "fn g() {}\n"),
            ("room/src/pair.rs", "fn h() {}\n"),
        ];

        let lines: Vec<_> = read(&files).into_iter().map(|(_, lines)| lines).collect();

        assert_eq!(lines, [1, 1, 0, 0]);
    }

    #[test]
    fn tests_benches_and_examples_are_not_shipped() {
        let files = [
            ("room/tests/a.rs", "fn f() {}"),
            ("room/benches/a.rs", "fn f() {}"),
            ("room/examples/a.rs", "fn f() {}"),
        ];

        assert!(read(&files).iter().all(|(_, lines)| *lines == 0));
    }

    #[test]
    fn a_build_script_is_known_by_its_place() {
        assert_eq!(role("proto/build.rs"), Role::BuildScript);
        assert_eq!(role("proto/src/build.rs"), Role::Shipped);
    }

    #[test]
    fn the_fixtures_are_no_part_of_the_tree() {
        let tree = Tree::read(crate::workspace::root()).unwrap();

        assert!(tree.text("xtask/src/tree.rs").is_some());
        assert!(
            tree.files()
                .all(|(path, _)| !path.starts_with(rules::FIXTURES))
        );
    }
}
