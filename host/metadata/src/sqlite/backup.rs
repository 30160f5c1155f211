//! A copy of a database in a file, taken while it is in use.
//!
//! Invariant: the copy is one state of the database, whole and by itself, or it is not there.

use std::path::{Path, PathBuf};

use rusqlite::{Connection, OpenFlags};

use super::BUSY_MS;

/// Why there is no copy.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BackupError {
    /// There is something at its place: choose another name.
    #[error("{0} is there already: choose another name")]
    IsThere(PathBuf),
    /// The database cannot be read, or the copy not be written.
    #[error("{0}")]
    Failed(String),
    /// The copy is damaged: take another one, and look after the disk.
    #[error("it is no whole catalogue: {0}")]
    Damaged(String),
}

/// Copies the database in the file `from`, whoever writes to it meanwhile, to the new file `to`, and checks the copy.
///
/// # Errors
/// [`BackupError`]; `to` is not there then, unless it was before.
pub fn back_up(from: &Path, to: &Path) -> Result<(), BackupError> {
    if to.exists() {
        return Err(BackupError::IsThere(to.to_owned()));
    }
    let copied = copy(from, to).and_then(|()| check(to));
    if copied.is_err() {
        // The error that is told is the first one.
        let _ = std::fs::remove_file(to);
    }
    copied
}

fn copy(from: &Path, to: &Path) -> Result<(), BackupError> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(from, flags).map_err(failed)?;
    let busy = core::time::Duration::from_millis(BUSY_MS);
    connection.busy_timeout(busy).map_err(failed)?;
    let to = to.to_str().ok_or_else(|| {
        BackupError::Failed("the name of the copy is not UTF-8: choose another".to_owned())
    })?;
    connection
        .execute("VACUUM INTO ?1", [to])
        .map(drop)
        .map_err(failed)
}

/// Whether a file is a whole catalogue.
fn check(path: &Path) -> Result<(), BackupError> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags).map_err(failed)?;
    let checked: String = connection
        .query_row("PRAGMA integrity_check(1)", [], |row| row.get(0))
        .map_err(failed)?;
    if checked != "ok" {
        return Err(BackupError::Damaged(checked));
    }
    let steps = connection.query_row("SELECT count(*) FROM schema_step", [], |_| Ok(()));
    steps.map_err(|error| BackupError::Damaged(error.to_string()))
}

fn failed(error: rusqlite::Error) -> BackupError {
    BackupError::Failed(error.to_string())
}

/// Notes in a copy, which nobody has open, that it was restored: a rebuild is due. The file is whole by itself then, without a journal.
///
/// # Errors
/// [`BackupError`]; also for a copy that a newer version has made.
pub fn mark_restored(path: &Path) -> Result<(), BackupError> {
    let connection = super::open(path).map_err(|error| BackupError::Failed(error.to_string()))?;
    super::migrate(&connection).map_err(|error| BackupError::Failed(error.to_string()))?;
    let sql = "UPDATE counter SET last = 1 WHERE name = 'rebuild'";
    connection.execute(sql, []).map_err(failed)?;
    connection
        .execute_batch("PRAGMA journal_mode = DELETE")
        .map_err(failed)
}
