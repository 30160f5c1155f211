//! The Python that runs foreign programs, and the libraries that they need, at the versions of a `requirements.txt`.
//!
//! Invariant: the libraries lie in the build folder, one folder for each list of them and each Python; the machine's own are left alone.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::{Path, PathBuf};
use std::process::Command;

/// A folder of foreign programs, with the list of what they need.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Programs {
    pub(crate) folder: &'static str,
    /// The oldest Python that the libraries run on.
    pub(crate) oldest: (u32, u32),
}

/// A Python and its libraries.
#[derive(Debug)]
pub(crate) struct Python {
    program: String,
    programs: Programs,
    libraries: PathBuf,
}

impl Python {
    /// That of this machine: `python3`, or what the variable `PYTHON` names.
    ///
    /// # Errors
    /// What is missing, and what to do about it.
    pub(crate) fn of_machine(programs: Programs) -> Result<Self, String> {
        let program = std::env::var("PYTHON").unwrap_or_else(|_| "python3".to_owned());
        Self::with_libraries(&program, programs)
    }

    /// Runs `program`, and installs the libraries if that was not done before.
    ///
    /// # Errors
    /// What is missing, and what to do about it.
    pub(crate) fn with_libraries(program: &str, programs: Programs) -> Result<Self, String> {
        let version = version(program, programs.oldest)?;
        let list = Path::new(programs.folder).join("requirements.txt");
        let mut hasher = DefaultHasher::new();
        (std::fs::read(&list).unwrap(), &version).hash(&mut hasher);
        let name = format!("python-{:016x}", hasher.finish());
        let libraries = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
        if !libraries.is_dir() {
            install(program, &list, &libraries)?;
        }
        Ok(Self {
            program: program.to_owned(),
            programs,
            libraries,
        })
    }

    /// A program of the folder, about to run in `folder`.
    #[allow(dead_code, reason = "some tests run nothing but libraries")]
    pub(crate) fn command(&self, folder: &Path, name: &str, arguments: &[&str]) -> Command {
        let program = Path::new(self.programs.folder).join(name);
        let mut command = self.plain(folder);
        command.arg(program).args(arguments);
        command
    }

    /// A library that is a program, about to run in `folder`.
    #[allow(dead_code, reason = "some tests run programs of their own")]
    pub(crate) fn module(&self, folder: &Path, name: &str, arguments: &[&str]) -> Command {
        let mut command = self.plain(folder);
        command.args(["-m", name]).args(arguments);
        command
    }

    fn plain(&self, folder: &Path) -> Command {
        let mut command = Command::new(&self.program);
        command
            .arg("-B")
            .current_dir(folder)
            .env("PYTHONPATH", &self.libraries);
        command
    }
}

/// The version of a Python that is new enough.
fn version(program: &str, oldest: (u32, u32)) -> Result<String, String> {
    let words = "import sys; print(*sys.version_info[:2], sys.implementation.cache_tag)";
    let output = Command::new(program).args(["-c", words]).output();
    let output = output.map_err(|why| {
        format!(
            "no Python: `{program}` cannot be run ({why}). Formats and REST are tested by programs in Python: install python3 \
             and its pip (Debian, Ubuntu: python3 python3-pip), or name another with the variable PYTHON"
        )
    })?;
    let text = String::from_utf8_lossy(&output.stdout).trim().to_owned();
    let mut numbers = text.split(' ').map_while(|word| word.parse().ok());
    match (numbers.next(), numbers.next()) {
        (Some(major), Some(minor)) if (major, minor) >= oldest => Ok(text),
        _ => Err(format!(
            "`{program}` is no Python {}.{} or later: it says `{text}`",
            oldest.0, oldest.1
        )),
    }
}

/// Installs beside the place, then moves there: two runs at once do no harm, nor does one that is cut short.
fn install(program: &str, list: &Path, libraries: &Path) -> Result<(), String> {
    let beside = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let output = Command::new(program)
        .args([
            "-m",
            "pip",
            "install",
            "--quiet",
            "--no-input",
            "--disable-pip-version-check",
        ])
        .args(["--only-binary", ":all:"])
        .arg("--target")
        .arg(beside.path())
        .arg("--requirement")
        .arg(list)
        .output();
    let output = output.map_err(|why| format!("`{program}` cannot be run: {why}"))?;
    if !output.status.success() {
        return Err(format!(
            "`{program} -m pip` could not install what {} names; Debian and Ubuntu have pip in the package python3-pip:\n{}",
            list.display(),
            String::from_utf8_lossy(&output.stderr)
        ));
    }
    match std::fs::rename(beside.path(), libraries) {
        Err(why) if !libraries.is_dir() => Err(format!("{}: {why}", libraries.display())),
        _ => Ok(()),
    }
}

#[cfg(test)]
const NONE: Programs = Programs {
    folder: "",
    oldest: (3, 9),
};

#[test]
fn without_a_python_the_run_fails_and_says_what_to_install() {
    let why = Python::with_libraries("no-such-python", NONE).unwrap_err();

    assert!(why.contains("install python3 and its pip"), "{why}");
}

#[test]
fn what_is_no_python_is_not_taken_for_one() {
    let why = Python::with_libraries("true", NONE).unwrap_err();

    assert!(why.starts_with("`true` is no Python 3.9 or later"), "{why}");
}
