//! A journal: records appended to a file, each with its length and a digest of both, replayed at the next start.
//!
//! Invariants: after [`Journal::sync`] every record appended before it is read back by the next [`Journal::open`]; a record that was
//! cut short by a crash, and only the last can be, is dropped; damage anywhere else is an error. One process holds a journal at a time.

mod file;
mod records;

use std::fs::{File, TryLockError};
use std::io::{self, Read, Seek, Write};
use std::path::{Path, PathBuf};

use self::file::{beside, create_new, is_at, open_or_create, remove_leftover, sync_folder};
use self::records::{Found, HEAD, encode, read};

pub(crate) use self::records::RECORD_MAX;

/// A journal shorter than this is left alone.
const GROWTH_MIN_BYTES: u64 = 4 << 20;
/// A journal is replaced when it is so many times longer than it was after the last time.
const GROWTH_FACTOR: u64 = 4;
/// So often another process may put a new file in the place of the one that was just locked before it counts as in use.
const OPEN_ATTEMPTS: u32 = 16;

/// Why a journal cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum JournalError {
    /// Another process holds it.
    #[error("{} is in use by another process: one process at a time may act under a key; end the other, or give this one another key (a consumer: --identity with another file)", .0.display())]
    InUse(PathBuf),
    /// It cannot be read or written.
    #[error("{}: {source}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A record in its middle is damaged.
    #[error("{} is damaged at byte {at}: restore it from a backup, or move it away to begin anew (every consumer then has to ask again)", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// Where.
        at: usize,
    },
    /// It is of a version of this program that this one does not know.
    #[error("{} is of version {version}, which this program does not read: use the program that wrote it", path.display())]
    Version {
        /// The file.
        path: PathBuf,
        /// Its version.
        version: u8,
    },
}

/// An open journal, locked.
#[derive(Debug)]
pub struct Journal {
    path: PathBuf,
    file: File,
    dirty: bool,
    /// Whether a part of a record may lie at its end.
    is_torn: bool,
    /// Whether its name may not be on the disk yet.
    is_new: bool,
    bytes: u64,
    /// Its length when it last held no more than it had to.
    least_bytes: u64,
}

impl Journal {
    /// Opens or creates the journal at `path`, mode 0600, and returns its records. What a crash has left of it or beside it is cleared
    /// away; one of an earlier version is rewritten.
    ///
    /// # Errors
    /// [`JournalError`].
    pub fn open(path: &Path) -> Result<(Self, Vec<Vec<u8>>), JournalError> {
        let failed = |source| JournalError::Io {
            path: path.to_owned(),
            source,
        };
        let mut file = lock(path)?;
        remove_leftover(&beside(path)).map_err(failed)?;
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes).map_err(failed)?;
        let found = read(&bytes);
        let (records, used) = match found {
            Found::Records { records, used } => (records, used),
            Found::Earlier { records } => (records, 0),
            Found::Damage { at } => {
                return Err(JournalError::Damaged {
                    path: path.to_owned(),
                    at,
                });
            }
            Found::Unknown { version } => {
                return Err(JournalError::Version {
                    path: path.to_owned(),
                    version,
                });
            }
        };
        let mut journal = Self {
            path: path.to_owned(),
            file,
            dirty: true,
            is_torn: false,
            is_new: true,
            bytes: used as u64,
            least_bytes: 0,
        };
        if used == 0 && !records.is_empty() {
            journal.replace(records.iter().cloned())?;
        } else {
            if used < bytes.len() {
                tracing::warn!(path = %path.display(), "dropping a record that a crash cut short");
            }
            journal.cut().map_err(failed)?;
            if used == 0 {
                journal.write(&HEAD).map_err(failed)?;
            }
        }
        journal.sync()?;
        Ok((journal, records))
    }

    /// Cuts off what lies behind the last whole record.
    fn cut(&mut self) -> io::Result<()> {
        self.file.set_len(self.bytes)?;
        self.file.seek(io::SeekFrom::Start(self.bytes))?;
        self.is_torn = false;
        Ok(())
    }

    /// Appends a record; it is safe only after [`Journal::sync`].
    ///
    /// # Errors
    /// [`JournalError::Io`]; nothing of the record is kept then.
    pub fn append(&mut self, record: &[u8]) -> Result<(), JournalError> {
        let bytes = encode(record);
        self.write(&bytes).map_err(|source| self.failed(source))
    }

    /// Writes all or nothing: behind a part of a record nothing may ever stand.
    fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        if self.is_torn {
            self.cut()?;
        }
        self.dirty = true;
        self.is_torn = true;
        let written = self.file.write_all(bytes);
        if written.is_err() {
            // If this fails too, the next call tries again first.
            let _ = self.cut();
        } else {
            self.is_torn = false;
            self.bytes += bytes.len() as u64;
        }
        written
    }

    /// Puts everything appended so far on the disk; cheap when there is nothing new.
    ///
    /// # Errors
    /// [`JournalError::Io`].
    pub fn sync(&mut self) -> Result<(), JournalError> {
        if self.dirty {
            self.file
                .sync_data()
                .map_err(|source| self.failed(source))?;
            // Only now: after a failure nobody may take the next call's silence for success.
            self.dirty = false;
        }
        if self.is_new {
            sync_folder(&self.path).map_err(|source| self.failed(source))?;
            self.is_new = false;
        }
        Ok(())
    }

    /// Whether it has grown so far beyond what it had to hold that replacing it pays.
    #[must_use]
    pub fn has_grown(&self) -> bool {
        self.bytes > GROWTH_MIN_BYTES && self.bytes > GROWTH_FACTOR * self.least_bytes
    }

    /// Replaces the whole journal by `records`, all or nothing, and puts it on the disk.
    ///
    /// # Errors
    /// [`JournalError::Io`]; after that it holds the one or the other, and can still be used.
    pub fn replace(&mut self, records: impl Iterator<Item = Vec<u8>>) -> Result<(), JournalError> {
        let (file, bytes) =
            write_beside(&self.path, records).map_err(|source| self.failed(source))?;
        self.file = file;
        (self.dirty, self.is_torn, self.is_new) = (false, false, true);
        (self.bytes, self.least_bytes) = (bytes, bytes);
        self.sync()
    }

    fn failed(&self, source: io::Error) -> JournalError {
        JournalError::Io {
            path: self.path.clone(),
            source,
        }
    }
}

/// Opens or creates the file and locks it.
fn lock(path: &Path) -> Result<File, JournalError> {
    let failed = |source| JournalError::Io {
        path: path.to_owned(),
        source,
    };
    for _ in 0..OPEN_ATTEMPTS {
        let file = open_or_create(path).map_err(failed)?;
        file.try_lock().map_err(|error| match error {
            TryLockError::WouldBlock => JournalError::InUse(path.to_owned()),
            TryLockError::Error(source) => failed(source),
        })?;
        // Between the two calls another process may have replaced the journal and gone: then this file has no name any more.
        if is_at(&file, path).map_err(failed)? {
            return Ok(file);
        }
    }
    Err(JournalError::InUse(path.to_owned()))
}

/// Writes a journal of `records` beside the one at `path` and lets it take that name, locked; returns it with its length.
fn write_beside(path: &Path, records: impl Iterator<Item = Vec<u8>>) -> io::Result<(File, u64)> {
    let beside = beside(path);
    // What lies there is left over from a crash, or put there by somebody: never followed, never kept.
    remove_leftover(&beside)?;
    let mut file = create_new(&beside)?;
    // Locked before it takes the name, so that nobody else can slip in.
    file.lock()?;
    file.write_all(&HEAD)?;
    let mut bytes = HEAD.len() as u64;
    for record in records {
        let record = encode(&record);
        file.write_all(&record)?;
        bytes += record.len() as u64;
    }
    file.sync_all()?;
    std::fs::rename(&beside, path)?;
    Ok((file, bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn write(path: &Path, records: &[&[u8]]) {
        let (mut journal, _) = Journal::open(path).unwrap();
        records
            .iter()
            .for_each(|record| journal.append(record).unwrap());
        journal.sync().unwrap();
    }

    #[test]
    fn records_are_read_back_in_order() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("journal");
        write(&path, &[b"one", b"", b"three"]);
        write(&path, &[b"four"]);

        let (_, records) = Journal::open(&path).unwrap();

        assert_eq!(
            records,
            [
                b"one".to_vec(),
                b"".to_vec(),
                b"three".to_vec(),
                b"four".to_vec()
            ]
        );
    }

    #[test]
    fn a_journal_has_grown_when_most_of_it_is_old() {
        let folder = tempfile::tempdir().unwrap();
        let (mut journal, _) = Journal::open(&folder.path().join("journal")).unwrap();
        let record = vec![7; 1 << 20];
        for _ in 0..4 {
            assert!(!journal.has_grown());
            journal.append(&record).unwrap();
        }
        assert!(journal.has_grown());

        journal
            .replace([record.clone(), record.clone()].into_iter())
            .unwrap();

        assert!(!journal.has_grown());
    }

    #[test]
    fn a_second_holder_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("journal");
        let (_held, _) = Journal::open(&path).unwrap();

        assert!(matches!(Journal::open(&path), Err(JournalError::InUse(_))));
    }

    #[test]
    fn a_replaced_journal_holds_the_new_records_and_stays_locked() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("journal");
        let (mut journal, _) = Journal::open(&path).unwrap();
        journal.append(b"old").unwrap();

        journal.replace([b"new".to_vec()].into_iter()).unwrap();
        journal.append(b"newer").unwrap();
        journal.sync().unwrap();

        assert!(matches!(Journal::open(&path), Err(JournalError::InUse(_))));
        drop(journal);
        assert_eq!(
            Journal::open(&path).unwrap().1,
            [b"new".to_vec(), b"newer".to_vec()]
        );
    }

    #[test]
    fn a_record_cut_short_is_cut_off_the_file() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("journal");
        write(&path, &[b"kept"]);
        let kept = std::fs::metadata(&path).unwrap().len();
        write(&path, &[b"cut"]);
        let whole = std::fs::read(&path).unwrap();
        std::fs::write(&path, &whole[..whole.len() - 1]).unwrap();

        let (_, records) = Journal::open(&path).unwrap();

        assert_eq!(records, [b"kept".to_vec()]);
        assert_eq!(std::fs::metadata(&path).unwrap().len(), kept);
    }

    #[test]
    fn a_damaged_journal_is_refused_and_left_as_it_is() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("journal");
        write(&path, &[b"first", b"second"]);
        let mut bytes = std::fs::read(&path).unwrap();
        bytes[HEAD.len()] ^= 1;
        std::fs::write(&path, &bytes).unwrap();

        let opened = Journal::open(&path);

        let at = HEAD.len();
        assert!(matches!(opened, Err(JournalError::Damaged { at: found, .. }) if found == at));
        assert_eq!(std::fs::read(&path).unwrap(), bytes);
    }

    #[test]
    fn a_journal_of_a_later_version_is_refused_and_left_as_it_is() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("journal");
        std::fs::write(&path, b"scjourn\x03and more").unwrap();

        let opened = Journal::open(&path);

        assert!(matches!(
            opened,
            Err(JournalError::Version { version: 3, .. })
        ));
        assert_eq!(std::fs::read(&path).unwrap(), b"scjourn\x03and more");
    }

    #[test]
    fn a_journal_of_version_1_is_read_and_rewritten() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("journal");
        let digest = sc_crypto::hash::sha256(b"old");
        let earlier = [&[3, 0, 0, 0], &digest[..8], b"old", b"to"].concat();
        std::fs::write(&path, earlier).unwrap();

        let (mut journal, records) = Journal::open(&path).unwrap();
        journal.append(b"new").unwrap();
        drop(journal);

        assert_eq!(records, [b"old".to_vec()]);
        assert!(std::fs::read(&path).unwrap().starts_with(&HEAD));
        let (_, records) = Journal::open(&path).unwrap();
        assert_eq!(records, [b"old".to_vec(), b"new".to_vec()]);
    }

    #[test]
    fn what_a_crash_left_beside_it_is_cleared_away() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("journal");
        std::fs::write(beside(&path), b"left over").unwrap();

        let (mut journal, records) = Journal::open(&path).unwrap();

        assert!(records.is_empty());
        assert!(!beside(&path).exists());
        journal.replace([b"one".to_vec()].into_iter()).unwrap();
        assert!(!beside(&path).exists());
    }

    #[test]
    fn a_record_that_could_not_be_written_leaves_no_part_behind() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("journal");
        let (mut journal, _) = Journal::open(&path).unwrap();
        journal.append(b"first").unwrap();
        // As after a write that failed in its middle, and could not be taken back at once.
        journal.file.write_all(b"part of a record").unwrap();
        journal.is_torn = true;

        journal.append(b"second").unwrap();
        drop(journal);

        let (_, records) = Journal::open(&path).unwrap();
        assert_eq!(records, [b"first".to_vec(), b"second".to_vec()]);
    }

    #[test]
    fn a_journal_has_one_holder_while_others_replace_and_reopen_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("journal");
        let rounds = |name: u8| {
            let mut held = 0;
            for _ in 0..200 {
                let Ok((mut journal, mut records)) = Journal::open(&path) else {
                    continue;
                };
                held += 1;
                records.push(vec![name]);
                journal.replace(records.into_iter()).unwrap();
            }
            held
        };

        let held: usize = std::thread::scope(|scope| {
            let threads = [1, 2, 3].map(|name| scope.spawn(move || rounds(name)));
            threads.map(|thread| thread.join().unwrap()).iter().sum()
        });

        // Whoever held it added one record to what the holder before had left: two at once would lose one.
        assert_eq!(Journal::open(&path).unwrap().1.len(), held);
    }
}
