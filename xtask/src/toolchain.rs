//! What has to be installed before anything builds or is tested: compilers of C and C++, make, and Python for tests of foreign clients.

use std::ffi::OsStr;
use std::path::Path;

/// A program, and the package that brings it.
#[derive(Debug)]
pub struct Needed {
    /// Name of the program on the path.
    pub program: &'static str,
    /// Package of Debian and Ubuntu.
    pub debian: &'static str,
    /// Package of Fedora.
    pub fedora: &'static str,
}

/// The cryptographic library is built from its C, C++ and assembly sources, the allocator with make; `app/tests` run Python and its pip.
pub const NEEDED: &[Needed] = &[
    Needed {
        program: "gcc",
        debian: "gcc",
        fedora: "gcc",
    },
    Needed {
        program: "g++",
        debian: "g++",
        fedora: "gcc-c++",
    },
    Needed {
        program: "make",
        debian: "make",
        fedora: "make",
    },
    Needed {
        program: "python3",
        debian: "python3-pip",
        fedora: "python3-pip",
    },
];

/// One line for each program of [`NEEDED`] that is not in a folder of `path`, with what to install.
pub fn missing(path: &OsStr) -> Vec<String> {
    let is_there = |needed: &&Needed| {
        std::env::split_paths(path).any(|folder| is_program(&folder.join(needed.program)))
    };
    let absent = NEEDED.iter().filter(|needed| !is_there(needed));
    absent
        .map(|needed| {
            let Needed { program, debian, fedora } = needed;
            format!("{program} is missing: install the package {debian} (Debian, Ubuntu) or {fedora} (Fedora)")
        })
        .collect()
}

fn is_program(path: &Path) -> bool {
    use std::os::unix::fs::PermissionsExt;
    path.metadata()
        .is_ok_and(|file| file.is_file() && file.permissions().mode() & 0o111 != 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_empty_path_misses_everything_and_names_the_packages() {
        let missing = missing(OsStr::new("/nowhere"));

        assert_eq!(missing.len(), NEEDED.len());
        assert_eq!(
            missing[1],
            "g++ is missing: install the package g++ (Debian, Ubuntu) or gcc-c++ (Fedora)"
        );
    }

    #[test]
    fn a_file_that_is_no_program_does_not_count() {
        assert!(!is_program(
            Path::new(env!("CARGO_MANIFEST_DIR"))
                .join("Cargo.toml")
                .as_path()
        ));
        assert!(!is_program(Path::new(env!("CARGO_MANIFEST_DIR"))));
    }

    #[test]
    fn what_built_this_test_is_there() {
        let path = std::env::var_os("PATH").unwrap();

        assert_eq!(missing(&path), Vec::<String>::new());
    }
}
