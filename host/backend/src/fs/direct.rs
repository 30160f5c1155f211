//! Files that are written past the page cache: what is stored is seldom read soon, and on a virtual machine a fresh page of the cache costs
//! more than all else that a write does (decision 0030).
//!
//! Invariant: a file that was written is whole and on the disk, whichever way it was written.

use std::fs::{File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

use rustix::fs::OFlags;

/// From so many bytes on a file is written directly: below, the copy and the wait are not worth it.
const DIRECT_MIN: usize = 256 << 10;
/// Bytes that are written at once at most.
const PIECE_BYTES: usize = 1 << 20;
/// What addresses, offsets and lengths of direct writes are multiples of, which suits every common disk.
const ALIGNMENT: usize = 4096;

/// Writes the files of one file system.
#[derive(Debug, Default)]
pub(super) struct Writer {
    /// The file system takes no direct writes.
    is_refused: AtomicBool,
}

impl Writer {
    /// Writes a new file, and syncs it.
    pub(super) fn write(&self, path: &Path, body: &[u8]) -> io::Result<()> {
        if body.len() >= DIRECT_MIN && !self.is_refused.load(Ordering::Relaxed) {
            match write_directly(path, body) {
                Err(error) if error.kind() == io::ErrorKind::InvalidInput => {
                    tracing::info!(%error, "the file system takes no direct writes");
                    self.is_refused.store(true, Ordering::Relaxed);
                    remove_if_there(path)?;
                }
                done => return done,
            }
        }
        let mut file = File::create_new(path)?;
        file.write_all(body)?;
        file.sync_all()
    }
}

fn write_directly(path: &Path, body: &[u8]) -> io::Result<()> {
    let mut file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .custom_flags(OFlags::DIRECT.bits().cast_signed())
        .open(path)?;
    let mut room = Vec::<u8>::with_capacity(body.len().min(PIECE_BYTES) + 2 * ALIGNMENT);
    let start = room.as_ptr().align_offset(ALIGNMENT);
    room.resize(start, 0);
    for piece in body.chunks(PIECE_BYTES) {
        room.truncate(start);
        room.extend_from_slice(piece);
        room.resize(start + piece.len().next_multiple_of(ALIGNMENT), 0);
        file.write_all(&room[start..])?;
    }
    if !body.len().is_multiple_of(ALIGNMENT) {
        file.set_len(body.len() as u64)?;
    }
    file.sync_all()
}

fn remove_if_there(path: &Path) -> io::Result<()> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LENGTHS: [usize; 7] = [
        0,
        1,
        DIRECT_MIN - 1,
        DIRECT_MIN,
        DIRECT_MIN + 1,
        PIECE_BYTES + ALIGNMENT,
        3 * PIECE_BYTES + 4097,
    ];

    fn body(length: usize) -> Vec<u8> {
        (0..length).map(|at| (at % 251) as u8).collect()
    }

    #[test]
    fn what_is_written_is_what_is_read_whatever_its_length() {
        let folder = tempfile::tempdir().unwrap();
        let refused = Writer {
            is_refused: true.into(),
        };
        for (name, writer) in [("direct", Writer::default()), ("cached", refused)] {
            for length in LENGTHS {
                let path = folder.path().join(format!("{name}-{length}"));

                writer.write(&path, &body(length)).unwrap();

                assert!(std::fs::read(&path).unwrap() == body(length), "{length}");
            }
        }
    }

    #[test]
    fn a_file_that_is_there_is_not_written_over() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        std::fs::write(&path, "before").unwrap();

        let refused = Writer::default().write(&path, &body(DIRECT_MIN));

        assert_eq!(refused.unwrap_err().kind(), io::ErrorKind::AlreadyExists);
        assert_eq!(std::fs::read(&path).unwrap(), b"before");
    }
}
