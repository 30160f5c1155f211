//! The files of a journal: the one at its path, and the one beside it that takes its place.

use std::fs::{File, OpenOptions};
use std::io;
use std::path::{Path, PathBuf};

/// Where a journal is written that is to take the place of the one at `path`.
pub(super) fn beside(path: &Path) -> PathBuf {
    let mut name = path.to_owned().into_os_string();
    name.push(".new");
    PathBuf::from(name)
}

/// Opens the file at `path`, or creates an empty one that its owner alone may read.
pub(super) fn open_or_create(path: &Path) -> io::Result<File> {
    private().create(true).truncate(false).open(path)
}

/// Creates a file that nobody had created before.
pub(super) fn create_new(path: &Path) -> io::Result<File> {
    private().create_new(true).open(path)
}

fn private() -> OpenOptions {
    let mut options = OpenOptions::new();
    options.read(true).write(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options
}

/// Removes what lies at `path`, if anything does.
pub(super) fn remove_leftover(path: &Path) -> io::Result<()> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        result => result,
    }
}

/// Whether `file` is the one that `path` names now.
#[cfg(unix)]
pub(super) fn is_at(file: &File, path: &Path) -> io::Result<bool> {
    use std::os::unix::fs::MetadataExt as _;

    let (held, named) = match (file.metadata()?, std::fs::metadata(path)) {
        (_, Err(error)) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
        (held, named) => (held, named?),
    };
    Ok((held.dev(), held.ino()) == (named.dev(), named.ino()))
}

/// Whether `file` is the one that `path` names now: a locked file cannot be replaced here.
#[cfg(not(unix))]
pub(super) fn is_at(_: &File, _: &Path) -> io::Result<bool> {
    Ok(true)
}

/// Puts the name of the file at `path` on the disk.
pub(super) fn sync_folder(path: &Path) -> io::Result<()> {
    let folder = path
        .parent()
        .filter(|folder| !folder.as_os_str().is_empty());
    File::open(folder.unwrap_or(Path::new(".")))?.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_at_its_path_until_another_takes_the_name() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("journal");
        let file = open_or_create(&path).unwrap();
        assert!(is_at(&file, &path).unwrap());

        let other = create_new(&beside(&path)).unwrap();
        std::fs::rename(beside(&path), &path).unwrap();

        assert!(!is_at(&file, &path).unwrap());
        assert!(is_at(&other, &path).unwrap());
    }

    #[test]
    fn a_file_without_a_name_is_nowhere() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("journal");
        let file = open_or_create(&path).unwrap();

        remove_leftover(&path).unwrap();

        assert!(!is_at(&file, &path).unwrap());
        assert!(remove_leftover(&path).is_ok(), "nothing is there to remove");
    }

    #[cfg(unix)]
    #[test]
    fn only_its_owner_may_read_it() {
        use std::os::unix::fs::PermissionsExt as _;

        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("journal");
        for file in [open_or_create(&path), create_new(&beside(&path))] {
            let mode = file.unwrap().metadata().unwrap().permissions().mode();
            assert_eq!(mode & 0o077, 0);
        }
    }
}
