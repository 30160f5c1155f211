//! A folder that one process works in at a time.
//!
//! Invariant: a lock ends with the process that holds it, however that ends; the file itself stays and means nothing.

use std::fs::{File, OpenOptions, TryLockError};
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::Context;

use crate::wrong_use;

/// Between two tries.
const TRY_AGAIN: Duration = Duration::from_millis(50);

/// Holds a folder for this process alone, until it is dropped.
#[derive(Debug)]
pub(crate) struct FolderLock {
    _file: File,
}

impl FolderLock {
    /// Takes the lock `file` of `folder`, once whoever holds it has let it go within `patience`.
    ///
    /// # Errors
    /// Another process holds it; `held` says what that means and what to do.
    pub(crate) fn take(
        folder: &Path,
        file: &str,
        patience: Duration,
        held: &str,
    ) -> anyhow::Result<Self> {
        let path = folder.join(file);
        let opened = OpenOptions::new()
            .create(true)
            .truncate(false)
            .write(true)
            .open(&path);
        let file = opened.map_err(|error| wrong_use(format!("{}: {error}", path.display())))?;
        let until = Instant::now() + patience;
        loop {
            match file.try_lock() {
                Ok(()) => return Ok(Self { _file: file }),
                Err(TryLockError::WouldBlock) if Instant::now() < until => {
                    std::thread::sleep(TRY_AGAIN);
                }
                Err(TryLockError::WouldBlock) => {
                    return Err(wrong_use(format!("{} {held}", folder.display())));
                }
                Err(TryLockError::Error(error)) => {
                    return Err(error).context(path.display().to_string());
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_is_held_once_and_is_free_again_afterwards() {
        let folder = tempfile::tempdir().unwrap();
        let take = || FolderLock::take(folder.path(), "lock", Duration::ZERO, "is in use");

        let first = take().unwrap();
        let second = take().unwrap_err().to_string();
        drop(first);

        assert!(second.ends_with("is in use"), "{second}");
        take().unwrap();
    }

    #[test]
    fn who_lets_go_in_time_is_waited_for() {
        let folder = tempfile::tempdir().unwrap();
        let take = |patience| FolderLock::take(folder.path(), "lock", patience, "is in use");
        let first = take(Duration::ZERO).unwrap();

        let letting_go = std::thread::spawn(move || {
            std::thread::sleep(Duration::from_millis(100));
            drop(first);
        });

        take(Duration::from_secs(20)).unwrap();
        letting_go.join().unwrap();
    }
}
