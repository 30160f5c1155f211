//! Large files are written and read past the page cache: on a virtual machine a fresh page of the cache costs more than all else that a
//! write or read does (decision 0030).
//!
//! Invariant: a file that was written is whole and on the disk, and what is read is what was written, whichever way either was done.

use std::fs::{File, OpenOptions};
use std::io::{self, Read as _, Seek as _, SeekFrom, Write as _};
use std::ops::Range;
use std::os::unix::fs::{FileExt as _, OpenOptionsExt as _};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

use bytes::Bytes;
use rustix::fs::{OFlags, fcntl_getfl, fcntl_setfl};

/// From so many bytes on a file is written or read directly: below, the copy and the wait are not worth it.
const DIRECT_MIN: usize = 256 << 10;
/// Bytes that are written at once at most.
const PIECE_BYTES: usize = 1 << 20;
/// What addresses, offsets and lengths of direct writes and reads are multiples of, which suits every common disk.
const ALIGNMENT: usize = 4096;

/// Writes and reads the files of one file system.
#[derive(Debug, Default)]
pub(super) struct Direct {
    /// The file system takes no direct writes or reads.
    is_refused: AtomicBool,
}

impl Direct {
    fn is_for(&self, bytes: usize) -> bool {
        bytes >= DIRECT_MIN && !self.is_refused.load(Ordering::Relaxed)
    }

    fn refused(&self, error: &io::Error) {
        if !self.is_refused.swap(true, Ordering::Relaxed) {
            tracing::info!(%error, "the file system takes no direct writes or reads");
        }
    }

    /// Writes a new file, and syncs it.
    pub(super) fn write(&self, path: &Path, body: &[u8]) -> io::Result<()> {
        if self.is_for(body.len()) {
            match write_directly(path, body) {
                Err(error) if is_refusal(&error) => {
                    self.refused(&error);
                    remove_if_there(path)?;
                }
                done => return done,
            }
        }
        let mut file = File::create_new(path)?;
        file.write_all(body)?;
        file.sync_all()
    }

    /// Reads `range` of a file, all of which is in it.
    ///
    /// # Errors
    /// `UnexpectedEof` where it is not.
    pub(super) fn read(&self, file: &mut File, range: &Range<u64>) -> io::Result<Bytes> {
        // At most FRAGMENT_BYTES_MAX.
        let length = (range.end - range.start) as usize;
        if self.is_for(length) {
            match read_directly(file, range) {
                Err(error) if is_refusal(&error) => self.refused(&error),
                done => return done,
            }
        }
        file.seek(SeekFrom::Start(range.start))?;
        let mut body = Vec::with_capacity(length);
        file.take(length as u64).read_to_end(&mut body)?;
        if body.len() != length {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        Ok(body.into())
    }
}

fn is_refusal(error: &io::Error) -> bool {
    let kind = error.kind();
    matches!(
        kind,
        io::ErrorKind::InvalidInput | io::ErrorKind::Unsupported
    )
}

fn read_directly(file: &File, range: &Range<u64>) -> io::Result<Bytes> {
    let before = fcntl_getfl(file)?;
    fcntl_setfl(file, before | OFlags::DIRECT)?;
    let whole = ALIGNMENT as u64;
    let first = range.start / whole * whole;
    let (skipped, wanted) = ((range.start - first) as usize, (range.end - first) as usize);
    let (mut room, start) = aligned(wanted);
    room.resize(start + wanted.next_multiple_of(ALIGNMENT), 0);
    let read = fill(file, first, &mut room[start..], wanted);
    fcntl_setfl(file, before)?;
    read?;
    Ok(Bytes::from(room).slice(start + skipped..start + wanted))
}

/// Reads from `first` on until the front of `room` has `wanted` bytes.
fn fill(file: &File, first: u64, room: &mut [u8], wanted: usize) -> io::Result<()> {
    let mut read = 0;
    while read < wanted {
        let more = match file.read_at(&mut room[read..], first + read as u64) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            more => more?,
        };
        // A read ends within a page at the end of the file alone.
        if more == 0 || (read + more < wanted && !more.is_multiple_of(ALIGNMENT)) {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        read += more;
    }
    Ok(())
}

/// Memory with room for so many bytes from an aligned address on, which is so far behind its beginning; up to there it is filled.
fn aligned(bytes: usize) -> (Vec<u8>, usize) {
    let mut room = Vec::<u8>::with_capacity(bytes + 2 * ALIGNMENT);
    let start = room.as_ptr().align_offset(ALIGNMENT);
    room.resize(start, 0);
    (room, start)
}

fn write_directly(path: &Path, body: &[u8]) -> io::Result<()> {
    let mut file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .custom_flags(OFlags::DIRECT.bits().cast_signed())
        .open(path)?;
    let (mut room, start) = aligned(body.len().min(PIECE_BYTES));
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

    fn ways() -> [(&'static str, Direct); 2] {
        let refused = Direct {
            is_refused: true.into(),
        };
        [("direct", Direct::default()), ("cached", refused)]
    }

    #[test]
    fn what_is_written_is_what_is_read_whatever_its_length() {
        let folder = tempfile::tempdir().unwrap();
        for (name, way) in ways() {
            for length in LENGTHS {
                let path = folder.path().join(format!("{name}-{length}"));

                way.write(&path, &body(length)).unwrap();

                assert!(std::fs::read(&path).unwrap() == body(length), "{length}");
            }
        }
    }

    #[test]
    fn any_range_is_read_and_one_beyond_the_end_is_an_error() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        let whole = body(3 * PIECE_BYTES + 4097);
        std::fs::write(&path, &whole).unwrap();
        let end = whole.len();
        for (name, way) in ways() {
            let mut file = File::open(&path).unwrap();
            for range in [
                0..end,
                0..0,
                5..6,
                4095..1 << 20,
                4096..end,
                77..end - 1,
                3..DIRECT_MIN + 3,
            ] {
                let read = way.read(&mut file, &(range.start as u64..range.end as u64));
                assert!(read.unwrap() == whole[range.clone()], "{name} {range:?}");
            }
            for beyond in [1, 4096, 1 << 20] {
                let read = way.read(&mut file, &(0..(end + beyond) as u64));
                assert_eq!(read.unwrap_err().kind(), io::ErrorKind::UnexpectedEof);
            }
        }
    }

    #[test]
    fn a_file_that_is_there_is_not_written_over() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        std::fs::write(&path, "before").unwrap();

        let refused = Direct::default().write(&path, &body(DIRECT_MIN));

        assert_eq!(refused.unwrap_err().kind(), io::ErrorKind::AlreadyExists);
        assert_eq!(std::fs::read(&path).unwrap(), b"before");
    }
}
