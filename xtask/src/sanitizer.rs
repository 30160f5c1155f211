//! Tests under AddressSanitizer, which sees each access beyond what was allocated.
//!
//! Invariant: nothing is run, and nothing said to hold, where the toolchain lacks the sanitizer's runtime.
//! Source: the unstable book of rustc, chapter on sanitizers. A stable compiler takes the option when `RUSTC_BOOTSTRAP` is set.

use std::path::Path;
use std::process::Command;

use anyhow::{Context, bail};

use crate::workspace;

/// `cargo` with `words`, set up so that what it builds is watched; `None` where the toolchain cannot.
///
/// It builds beside the other builds, in a folder of its own. Dependencies are not optimised, which would take longer than the tests.
///
/// # Errors
/// When the compiler cannot be asked.
pub fn command(mut cargo: Command, words: &[&str]) -> anyhow::Result<Option<Command>> {
    if !has_runtime(Path::new(&ask("target-libdir")?)) {
        return Ok(None);
    }
    let target = std::env::var_os("CARGO_TARGET_DIR").map_or_else(
        || workspace::root().join("target"),
        |folder| workspace::root().join(folder),
    );
    let flags = std::env::var("RUSTFLAGS").unwrap_or_default();
    cargo
        .args(["--config", "profile.dev.package.\"*\".opt-level=0"])
        .args(words)
        .env("RUSTC_BOOTSTRAP", "1")
        .env("RUSTFLAGS", format!("{flags} -Zsanitizer=address"))
        // With a target named, build scripts and macros are built without the option.
        .env("CARGO_BUILD_TARGET", ask("host-tuple")?)
        .env("CARGO_TARGET_DIR", target.join("sanitizer"));
    Ok(Some(cargo))
}

/// Whether the sanitizer's runtime lies in this folder of the toolchain.
fn has_runtime(libraries: &Path) -> bool {
    std::fs::read_dir(libraries).is_ok_and(|files| {
        files
            .flatten()
            .any(|file| file.file_name().to_string_lossy().contains("rt.asan"))
    })
}

/// What rustc prints for `--print WHAT`.
fn ask(what: &str) -> anyhow::Result<String> {
    let rustc = std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    let output = Command::new(rustc)
        .args(["--print", what])
        .current_dir(workspace::root())
        .output()
        .context("cannot run rustc")?;
    if !output.status.success() {
        bail!("rustc does not know `--print {what}`");
    }
    let printed = String::from_utf8(output.stdout).context("rustc printed no text")?;
    Ok(printed.trim().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_without_the_runtime_has_no_sanitizer() {
        assert!(!has_runtime(&workspace::root().join("xtask/src")));
        assert!(!has_runtime(Path::new("/nowhere")));
    }

    #[test]
    fn the_runtime_is_found_by_its_name() {
        let folder = std::env::temp_dir().join(format!("xtask-sanitizer-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        std::fs::write(folder.join("librustc-stable_rt.asan.a"), "").unwrap();

        let found = has_runtime(&folder);

        std::fs::remove_dir_all(&folder).unwrap();
        assert!(found);
    }

    #[test]
    fn rustc_tells_where_it_is_and_refuses_what_it_does_not_know() {
        assert!(ask("host-tuple").unwrap().contains('-'));
        assert!(ask("no-such-thing").is_err());
    }
}
