//! A journal: records appended to a file, each with its length and a digest, replayed at the next start.
//!
//! Invariant: after [`Journal::sync`] every record appended before it is read back by the next [`Journal::open`]; a record that was
//! cut short by a crash, and only the last can be, is dropped. One process holds a journal at a time.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, Read, Seek, Write};
use std::path::{Path, PathBuf};

use sc_crypto::hash::sha256;

/// The longest record.
pub(crate) const RECORD_MAX: usize = 1 << 24;
const DIGEST_BYTES: usize = 8;
/// A journal shorter than this is left alone.
const GROWTH_MIN_BYTES: u64 = 4 << 20;
/// A journal is replaced when it is so many times longer than it was after the last time.
const GROWTH_FACTOR: u64 = 4;
const HEADER_BYTES: usize = 4 + DIGEST_BYTES;

/// Why a journal cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum JournalError {
    /// Another process holds it.
    #[error("{} is in use by another process: one process at a time may act under a key; end the other, or give this one another key", .0.display())]
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
}

/// An open journal, locked.
#[derive(Debug)]
pub struct Journal {
    path: PathBuf,
    file: File,
    dirty: bool,
    bytes: u64,
    /// Its length when it last held no more than it had to.
    least_bytes: u64,
}

impl Journal {
    /// Opens or creates the journal at `path`, mode 0600, and returns its records.
    ///
    /// # Errors
    /// [`JournalError`].
    pub fn open(path: &Path) -> Result<(Self, Vec<Vec<u8>>), JournalError> {
        let failed = |source| JournalError::Io {
            path: path.to_owned(),
            source,
        };
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(true).truncate(false);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        let mut file = options.open(path).map_err(failed)?;
        file.try_lock().map_err(|error| match error {
            TryLockError::WouldBlock => JournalError::InUse(path.to_owned()),
            TryLockError::Error(source) => failed(source),
        })?;
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes).map_err(failed)?;
        let (records, used) = read_records(&bytes).map_err(|at| JournalError::Damaged {
            path: path.to_owned(),
            at,
        })?;
        if used < bytes.len() {
            tracing::warn!(path = %path.display(), "dropping a record that a crash cut short");
            file.set_len(used as u64).map_err(failed)?;
        }
        file.seek(io::SeekFrom::Start(used as u64))
            .map_err(failed)?;
        let mut journal = Self {
            path: path.to_owned(),
            file,
            dirty: true,
            bytes: used as u64,
            least_bytes: 0,
        };
        journal.sync()?;
        journal.sync_folder().map_err(failed)?;
        Ok((journal, records))
    }

    /// Appends a record; it is safe only after [`Journal::sync`].
    ///
    /// # Errors
    /// [`JournalError::Io`].
    pub fn append(&mut self, record: &[u8]) -> Result<(), JournalError> {
        self.dirty = true;
        let bytes = encode(record);
        self.bytes += bytes.len() as u64;
        self.file
            .write_all(&bytes)
            .map_err(|source| JournalError::Io {
                path: self.path.clone(),
                source,
            })
    }

    /// Puts everything appended so far on the disk; cheap when there is nothing new.
    ///
    /// # Errors
    /// [`JournalError::Io`].
    pub fn sync(&mut self) -> Result<(), JournalError> {
        if self.dirty {
            self.file.sync_data().map_err(|source| JournalError::Io {
                path: self.path.clone(),
                source,
            })?;
            // Only now: after a failure nobody may take the next call's silence for success.
            self.dirty = false;
        }
        Ok(())
    }

    /// Whether it has grown so far beyond what it had to hold that replacing it pays.
    #[must_use]
    pub fn has_grown(&self) -> bool {
        self.bytes > GROWTH_MIN_BYTES && self.bytes > GROWTH_FACTOR * self.least_bytes
    }

    /// Replaces the whole journal by `records`, all or nothing.
    ///
    /// # Errors
    /// [`JournalError::Io`]; the journal is then as it was.
    pub fn replace(&mut self, records: impl Iterator<Item = Vec<u8>>) -> Result<(), JournalError> {
        let failed = |source| JournalError::Io {
            path: self.path.clone(),
            source,
        };
        let mut name = self.path.clone().into_os_string();
        name.push(".new");
        let beside = PathBuf::from(name);
        let mut options = OpenOptions::new();
        // What lies there is left over from a crash, or put there by somebody: never followed, never kept.
        match std::fs::remove_file(&beside) {
            Err(source) if source.kind() != io::ErrorKind::NotFound => return Err(failed(source)),
            _ => {}
        }
        options.read(true).write(true).create_new(true);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        let mut file = options.open(&beside).map_err(failed)?;
        // Locked before it takes the name, so that nobody else can slip in.
        file.lock().map_err(failed)?;
        let mut written = 0;
        for record in records {
            let bytes = encode(&record);
            file.write_all(&bytes).map_err(failed)?;
            written += bytes.len() as u64;
        }
        file.sync_all().map_err(failed)?;
        std::fs::rename(&beside, &self.path).map_err(failed)?;
        self.sync_folder().map_err(failed)?;
        self.file = file;
        self.dirty = false;
        (self.bytes, self.least_bytes) = (written, written);
        Ok(())
    }

    fn sync_folder(&self) -> io::Result<()> {
        let folder = self
            .path
            .parent()
            .filter(|folder| !folder.as_os_str().is_empty());
        File::open(folder.unwrap_or(Path::new(".")))?.sync_all()
    }
}

fn encode(record: &[u8]) -> Vec<u8> {
    assert!(
        record.len() <= RECORD_MAX,
        "records are far smaller than the bound"
    );
    let mut bytes = Vec::with_capacity(HEADER_BYTES + record.len());
    bytes.extend_from_slice(&(record.len() as u32).to_le_bytes());
    bytes.extend_from_slice(&sha256(record)[..DIGEST_BYTES]);
    bytes.extend_from_slice(record);
    bytes
}

/// The whole records at the start of `bytes` and how many bytes they take; or where a damaged record begins that is not the last.
fn read_records(bytes: &[u8]) -> Result<(Vec<Vec<u8>>, usize), usize> {
    let mut records = Vec::new();
    let mut used = 0;
    while let Some((header, rest)) = bytes[used..].split_at_checked(HEADER_BYTES) {
        let (length, digest) = header.split_at(4);
        let length = u32::from_le_bytes(length.try_into().expect("split at 4")) as usize;
        if bytes[used..].iter().all(|byte| *byte == 0) {
            // The file system had made room for a record whose bytes never came.
            break;
        }
        if length > RECORD_MAX {
            return Err(used);
        }
        let Some(record) = rest.get(..length) else {
            break;
        };
        if sha256(record)[..DIGEST_BYTES] != *digest {
            let is_last = rest.len() == length;
            return if is_last {
                Ok((records, used))
            } else {
                Err(used)
            };
        }
        records.push(record.to_vec());
        used += HEADER_BYTES + length;
    }
    Ok((records, used))
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
    fn a_record_cut_short_is_dropped_wherever_the_cut_is() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("journal");
        write(&path, &[b"kept", b"cut"]);
        let whole = std::fs::read(&path).unwrap();
        let kept = HEADER_BYTES + 4;

        for length in kept..whole.len() {
            std::fs::write(&path, &whole[..length]).unwrap();
            let (_, records) = Journal::open(&path).unwrap();

            assert_eq!(records, [b"kept".to_vec()], "cut at {length}");
            assert_eq!(std::fs::metadata(&path).unwrap().len(), kept as u64);
        }
    }

    #[test]
    fn damage_before_the_last_record_is_an_error() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("journal");
        write(&path, &[b"first", b"second"]);
        let mut bytes = std::fs::read(&path).unwrap();
        bytes[HEADER_BYTES] ^= 1;
        std::fs::write(&path, &bytes).unwrap();

        assert!(matches!(
            Journal::open(&path),
            Err(JournalError::Damaged { at: 0, .. })
        ));
    }

    #[test]
    fn a_tail_of_zeros_is_a_record_cut_short() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("journal");
        write(&path, &[b"kept"]);
        let whole = std::fs::read(&path).unwrap();

        for zeros in [1, HEADER_BYTES, 100, 5000] {
            std::fs::write(&path, [&whole[..], &vec![0; zeros]].concat()).unwrap();

            assert_eq!(Journal::open(&path).unwrap().1, [b"kept".to_vec()]);
        }
    }

    #[test]
    fn a_length_that_no_record_has_is_damage_and_not_a_record_cut_short() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("journal");
        write(&path, &[b"first", b"second"]);
        let mut bytes = std::fs::read(&path).unwrap();
        bytes[3] = 0xff;
        std::fs::write(&path, &bytes).unwrap();

        assert!(matches!(
            Journal::open(&path),
            Err(JournalError::Damaged { at: 0, .. })
        ));
        assert_eq!(std::fs::read(&path).unwrap(), bytes, "nothing is dropped");
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
}
