//! Where things are: which side is the folder, and which file in it an object is.
//!
//! Invariant: a path that this file gives lies in the folder, and no symbolic link stands between the two.

use std::io;
use std::path::{Path, PathBuf};

use super::Relative;
use crate::kv::name::Prefix;
use crate::wrong_use;

/// What is made like what.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Way {
    /// A datastore like a folder.
    Up(PathBuf, Prefix),
    /// A folder like a datastore.
    Down(Prefix, PathBuf),
}

impl Way {
    /// Finds out which of the two is the folder: by its form, or because it is there.
    ///
    /// # Errors
    /// It is neither or both.
    pub(super) fn find(source: &Path, target: &Path) -> anyhow::Result<Self> {
        let by_form = (is_plainly_local(source), is_plainly_local(target));
        let is_local = match by_form {
            (false, false) => (source.is_dir(), target.is_dir()),
            known => known,
        };
        match is_local {
            (true, false) => Ok(Self::Up(source.to_owned(), prefix(target)?)),
            (false, true) => Ok(Self::Down(prefix(source)?, target.to_owned())),
            _ => Err(wrong_use(
                "which of the two is the folder, and which the datastore? Write the folder as ./DIR or /DIR",
            )),
        }
    }
}

/// Whether a path has a form that no datastore's name has.
fn is_plainly_local(path: &Path) -> bool {
    let bytes = path.as_os_str().as_encoded_bytes();
    bytes.starts_with(b".") || bytes.starts_with(b"/")
}

fn prefix(path: &Path) -> anyhow::Result<Prefix> {
    let text = path
        .to_str()
        .ok_or_else(|| wrong_use("a key is UTF-8, and this is not"))?;
    text.parse()
        .map_err(|error| wrong_use(format!("{text}: {error}")))
}

/// The file that an object of this name is, within a folder.
///
/// # Errors
/// Why there is none: the name means no file, or one elsewhere.
pub(super) fn relative(name: &[u8]) -> Result<Relative, &'static str> {
    let text = str::from_utf8(name).map_err(|_| "its name is no UTF-8")?;
    let mut path = PathBuf::new();
    for part in text.split('/') {
        match part {
            "" => return Err("a part of its name is empty, which no file's can be"),
            "." | ".." => return Err("its name leads out of the folder, or around in it"),
            part if part.contains('\0') => return Err("its name holds a NUL, which no file's can"),
            part => path.push(part),
        }
    }
    Ok(path)
}

/// Makes the folders that lead to a file, and gives its path.
///
/// # Errors
/// Something else is in the way: a file, or a symbolic link, which may lead anywhere.
pub(super) fn prepare(folder: &Path, relative: &Path) -> io::Result<PathBuf> {
    let mut path = folder.to_owned();
    for part in relative.parent().into_iter().flat_map(Path::iter) {
        path.push(part);
        let failed = |kind: io::ErrorKind, what: &str| {
            let path = path.display();
            Err(io::Error::new(kind, format!("{path}: {what}")))
        };
        match path.symlink_metadata() {
            Ok(metadata) if metadata.is_dir() => {}
            Ok(metadata) if metadata.is_symlink() => {
                let what = "it is a symbolic link, which may lead out of the folder";
                return failed(io::ErrorKind::NotADirectory, what);
            }
            Ok(_) => {
                let what = "it is a file, and would have to be a folder";
                return failed(io::ErrorKind::NotADirectory, what);
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                match std::fs::create_dir(&path) {
                    Err(error) if error.kind() != io::ErrorKind::AlreadyExists => {
                        return failed(error.kind(), &error.to_string());
                    }
                    // Another object of the same folder may have come first.
                    _ => {}
                }
            }
            Err(error) => return failed(error.kind(), &error.to_string()),
        }
    }
    Ok(folder.join(relative))
}

/// Deletes a file of a folder, and the folders in it that are empty then.
///
/// # Errors
/// It cannot be deleted; that it is not there is none.
pub(super) fn remove(folder: &Path, file: &Path) -> io::Result<()> {
    match std::fs::remove_file(file) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            let file = file.display();
            return Err(io::Error::new(error.kind(), format!("{file}: {error}")));
        }
        _ => {}
    }
    let parents = file.ancestors().skip(1);
    for parent in parents.take_while(|it| *it != folder && it.starts_with(folder)) {
        if std::fs::remove_dir(parent).is_err() {
            // Something is in it.
            break;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;
    use std::path::Component;

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_folder_is_known_by_its_form_or_because_it_is_there() {
        let there = tempfile::tempdir().unwrap();
        let up = Way::find(there.path(), Path::new("logs/2026")).unwrap();
        let down = Way::find(Path::new("logs"), Path::new("./new")).unwrap();

        assert!(matches!(up, Way::Up(_, prefix) if prefix.prefix == "2026"));
        assert!(matches!(down, Way::Down(_, folder) if folder == Path::new("./new")));
        assert!(Way::find(Path::new("./a"), Path::new("/b")).is_err());
        assert!(Way::find(Path::new("no-such-a"), Path::new("no-such-b")).is_err());
    }

    #[test]
    fn names_that_lead_elsewhere_are_no_files() {
        for name in [
            "",
            "/",
            "/etc/passwd",
            "..",
            "../a",
            "a/../../b",
            "a/..",
            ".",
            "./a",
            "a//b",
            "a/",
            "a\0b",
        ] {
            assert!(relative(name.as_bytes()).is_err(), "{name:?}");
        }
        assert!(relative(b"\xff").is_err());
    }

    #[test]
    fn odd_names_that_stay_are_files() {
        for name in [
            "...",
            "..a",
            "a..",
            "-rf",
            "a b",
            "ä\n",
            "~",
            "C:\\x",
            ".git/config",
        ] {
            assert_eq!(relative(name.as_bytes()).unwrap(), Path::new(name));
        }
    }

    #[test]
    fn nothing_is_written_through_a_link() {
        let (folder, elsewhere) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        symlink(elsewhere.path(), folder.path().join("link")).unwrap();

        let through = prepare(folder.path(), &relative(b"link/a/b").unwrap());

        assert!(through.is_err());
        assert!(
            std::fs::read_dir(elsewhere.path())
                .unwrap()
                .next()
                .is_none()
        );
    }

    #[test]
    fn a_file_is_not_taken_for_a_folder() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("a"), "").unwrap();

        assert!(prepare(folder.path(), &relative(b"a/b").unwrap()).is_err());
    }

    #[test]
    fn folders_that_become_empty_go_with_their_last_file() {
        let folder = tempfile::tempdir().unwrap();
        let file = prepare(folder.path(), &relative(b"a/b/c").unwrap()).unwrap();
        let other = prepare(folder.path(), &relative(b"a/d").unwrap()).unwrap();
        std::fs::write(&file, "").unwrap();
        std::fs::write(&other, "").unwrap();

        remove(folder.path(), &file).unwrap();
        assert!(!folder.path().join("a/b").exists() && other.exists());

        remove(folder.path(), &other).unwrap();
        assert!(!folder.path().join("a").exists() && folder.path().exists());
    }

    proptest! {
        #[test]
        fn whatever_the_name_a_path_goes_down_alone(name in "[./a\\\\\0~ä]{0,12}") {
            if let Ok(path) = relative(name.as_bytes()) {
                prop_assert!(path.components().all(|it| matches!(it, Component::Normal(_))));
                prop_assert_eq!(path.as_os_str().as_encoded_bytes(), name.as_bytes());
            }
        }
    }
}
