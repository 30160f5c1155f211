//! A file under way: it has a name of its own beside its target, and takes the target's place when it is whole.
//!
//! Invariant: whatever stops the writing, the target is as it was or whole, and nothing is left beside it (but by a kill that no program
//! hears of).

use std::fs::Permissions;
use std::io;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use tempfile::TempPath;
use tokio::io::AsyncWriteExt as _;

use super::modified::Modified;

const BEGINNING: &str = ".securecloud-";
const END: &str = ".part";
/// What a file is made with before the user's mask: as any program makes one.
const MODE: u32 = 0o666;

/// Whether a file of this name is one under way.
pub(crate) fn is_partial(name: &str) -> bool {
    name.starts_with(BEGINNING) && name.ends_with(END)
}

/// A file that is being written.
pub(crate) struct Partial {
    file: tokio::fs::File,
    path: TempPath,
    target: PathBuf,
}

impl Partial {
    /// Begins to write what is to be `target`.
    ///
    /// # Errors
    /// The target is a folder, or nothing can be written beside it; the message names it.
    pub(crate) fn create(target: &Path) -> io::Result<Self> {
        let named = |error: io::Error| named(target, &error);
        if target.symlink_metadata().is_ok_and(|it| it.is_dir()) {
            return Err(named(io::Error::new(
                io::ErrorKind::IsADirectory,
                "it is a folder: name a file in it",
            )));
        }
        let folder = match target.parent() {
            Some(folder) if folder != Path::new("") => folder,
            _ => Path::new("."),
        };
        let made = tempfile::Builder::new()
            .prefix(BEGINNING)
            .suffix(END)
            .permissions(Permissions::from_mode(MODE))
            .tempfile_in(folder)
            .map_err(named)?;
        let (file, path) = made.into_parts();
        Ok(Self {
            file: tokio::fs::File::from_std(file),
            path,
            target: target.to_owned(),
        })
    }

    /// Writes a piece behind those before.
    ///
    /// # Errors
    /// It cannot be written.
    pub(crate) async fn write(&mut self, piece: &Bytes) -> io::Result<()> {
        let written = self.file.write_all(piece).await;
        written.map_err(|error| named(&self.target, &error))
    }

    /// Puts the file into its target's place, with this time of modification if one is given.
    ///
    /// # Errors
    /// It cannot be done; the target is as it was.
    pub(crate) async fn finish(mut self, modified: Option<Modified>) -> io::Result<()> {
        let named = |error: io::Error| named(&self.target, &error);
        self.file.flush().await.map_err(named)?;
        let file = self.file.into_std().await;
        if let Some(time) = modified.and_then(Modified::to_system) {
            file.set_modified(time).map_err(named)?;
        }
        let persisted = self.path.persist(&self.target);
        persisted.map_err(|error| named(error.error))
    }
}

fn named(path: &Path, error: &io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("{}: {error}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(folder: &Path) -> Vec<String> {
        let entries = std::fs::read_dir(folder).unwrap();
        entries
            .map(|it| it.unwrap().file_name().into_string().unwrap())
            .collect()
    }

    #[tokio::test]
    async fn a_file_takes_its_targets_place_when_it_is_whole() {
        let folder = tempfile::tempdir().unwrap();
        let target = folder.path().join("target");
        std::fs::write(&target, "old").unwrap();

        let mut partial = Partial::create(&target).unwrap();
        partial.write(&Bytes::from_static(b"new")).await.unwrap();
        assert_eq!(std::fs::read(&target).unwrap(), b"old");
        let modified = "1000.5".parse().unwrap();
        partial.finish(Some(modified)).await.unwrap();

        assert_eq!(std::fs::read(&target).unwrap(), b"new");
        let kept = std::fs::metadata(&target).unwrap().modified().unwrap();
        assert!(Modified::from(kept).agrees_with(modified));
        assert_eq!(names(folder.path()), ["target"]);
    }

    #[tokio::test]
    async fn what_is_given_up_leaves_nothing() {
        let folder = tempfile::tempdir().unwrap();

        let mut partial = Partial::create(&folder.path().join("target")).unwrap();
        partial.write(&Bytes::from_static(b"half")).await.unwrap();
        assert!(names(folder.path()).iter().all(|it| is_partial(it)));
        drop(partial);

        assert!(names(folder.path()).is_empty());
    }

    #[test]
    fn a_folder_is_not_written_over() {
        let folder = tempfile::tempdir().unwrap();

        let refused = Partial::create(folder.path()).err().unwrap();

        assert_eq!(refused.kind(), io::ErrorKind::IsADirectory);
    }
}
