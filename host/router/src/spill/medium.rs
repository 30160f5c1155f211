//! The files beneath the log: segments by number in one folder.
//!
//! Invariant: no name is followed out of the folder, whose files are opened relative to it and never through a link.

use std::collections::VecDeque;
use std::fs::File;
use std::io::{self, Write};
use std::os::unix::fs::FileExt;
use std::path::Path;

use rustix::fs::{self, AtFlags, Dir, FileType, FlockOperation, Mode, OFlags};

use super::SpillError;
use super::entry::MAGIC;

/// Most files held open; one that is needed again is opened again.
const OPEN_MAX: usize = 64;
const SUFFIX: &str = ".spill";
const LOCK: &str = "lock";

/// What the log needs of a disk. The tests have one that fills up and fails.
pub(super) trait Medium {
    /// The segments that are there, ascending, with their lengths in bytes.
    fn list(&mut self) -> io::Result<Vec<(u32, u64)>>;
    /// Makes a segment that holds [`MAGIC`] alone; after a failure it is not there.
    fn create(&mut self, segment: u32) -> io::Result<()>;
    /// Writes all of `bytes` at `offset`.
    fn write(&mut self, segment: u32, offset: u32, bytes: &[u8]) -> io::Result<()>;
    /// Fills `bytes` from `offset` on.
    fn read(&mut self, segment: u32, offset: u32, bytes: &mut [u8]) -> io::Result<()>;
    /// Cuts a segment to `length` bytes.
    fn cut(&mut self, segment: u32, length: u32) -> io::Result<()>;
    /// Puts what was written to a segment, and its length, on the disk.
    fn sync(&mut self, segment: u32) -> io::Result<()>;
    /// Deletes a segment.
    fn remove(&mut self, segment: u32) -> io::Result<()>;
}

/// A folder on a disk, locked.
#[derive(Debug)]
pub(super) struct Folder {
    folder: File,
    /// Held for its lock.
    _lock: File,
    /// The last used at the end.
    open: VecDeque<(u32, File)>,
}

impl Folder {
    /// Opens or makes the folder, mode 0700, and locks it.
    pub(super) fn open(path: &Path) -> Result<Self, SpillError> {
        let failed = |source| SpillError::Io {
            path: path.to_owned(),
            source,
        };
        let folder = open_folder(path).map_err(failed)?;
        let flags = OFlags::RDWR | OFlags::CREATE | OFlags::NOFOLLOW | OFlags::NONBLOCK;
        let lock = open_file(&folder, LOCK, flags).map_err(failed)?;
        match fs::flock(&lock, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => {}
            Err(rustix::io::Errno::WOULDBLOCK) => return Err(SpillError::InUse(path.to_owned())),
            Err(error) => return Err(failed(error.into())),
        }
        Ok(Self {
            folder,
            _lock: lock,
            open: VecDeque::new(),
        })
    }

    fn file(&mut self, segment: u32) -> io::Result<&File> {
        let known = self.open.iter().position(|(known, _)| *known == segment);
        let held = match known {
            Some(at) => self.open.remove(at).expect("found there"),
            None => {
                let flags = OFlags::RDWR | OFlags::NOFOLLOW | OFlags::NONBLOCK;
                (segment, open_file(&self.folder, &name(segment), flags)?)
            }
        };
        Ok(self.hold(held))
    }

    fn hold(&mut self, held: (u32, File)) -> &File {
        if self.open.len() >= OPEN_MAX {
            self.open.pop_front();
        }
        self.open.push_back(held);
        &self.open.back().expect("just pushed").1
    }
}

impl Medium for Folder {
    fn list(&mut self) -> io::Result<Vec<(u32, u64)>> {
        let mut found = Vec::new();
        for entry in Dir::read_from(&self.folder)? {
            let entry = entry?;
            if let Some(segment) = entry.file_name().to_str().ok().and_then(number) {
                found.push(segment);
            }
        }
        found.sort_unstable();
        found
            .into_iter()
            .map(|segment| Ok((segment, self.file(segment)?.metadata()?.len())))
            .collect()
    }

    fn create(&mut self, segment: u32) -> io::Result<()> {
        let flags = OFlags::RDWR | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW;
        let name = name(segment);
        let mut file = open_file(&self.folder, &name, flags)?;
        let written = file.write_all(&MAGIC).and_then(|()| self.folder.sync_all());
        if let Err(error) = written {
            let _ = fs::unlinkat(&self.folder, &name, AtFlags::empty());
            return Err(error);
        }
        self.hold((segment, file));
        Ok(())
    }

    fn write(&mut self, segment: u32, offset: u32, bytes: &[u8]) -> io::Result<()> {
        self.file(segment)?.write_all_at(bytes, offset.into())
    }

    fn read(&mut self, segment: u32, offset: u32, bytes: &mut [u8]) -> io::Result<()> {
        self.file(segment)?.read_exact_at(bytes, offset.into())
    }

    fn cut(&mut self, segment: u32, length: u32) -> io::Result<()> {
        self.file(segment)?.set_len(length.into())
    }

    fn sync(&mut self, segment: u32) -> io::Result<()> {
        self.file(segment)?.sync_data()
    }

    fn remove(&mut self, segment: u32) -> io::Result<()> {
        self.open.retain(|(known, _)| *known != segment);
        Ok(fs::unlinkat(&self.folder, name(segment), AtFlags::empty())?)
    }
}

fn open_folder(path: &Path) -> io::Result<File> {
    match fs::mkdir(path, Mode::RWXU) {
        Ok(()) => {
            let parent = path.parent().filter(|parent| *parent != Path::new(""));
            File::open(parent.unwrap_or(Path::new(".")))?.sync_all()?;
        }
        Err(rustix::io::Errno::EXIST) => {}
        Err(error) => return Err(error.into()),
    }
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let folder = fs::open(path, flags, Mode::empty())?;
    // One that was there may have been open to others.
    fs::fchmod(&folder, Mode::RWXU)?;
    Ok(folder.into())
}

/// Opens a regular file in `folder`, mode 0600 if it is made.
fn open_file(folder: &File, name: &str, flags: OFlags) -> io::Result<File> {
    let mode = Mode::RUSR | Mode::WUSR;
    let file = fs::openat(folder, name, flags | OFlags::CLOEXEC, mode)?;
    if FileType::from_raw_mode(fs::fstat(&file)?.st_mode) == FileType::RegularFile {
        Ok(file.into())
    } else {
        Err(io::Error::other(format!("{name} is no regular file")))
    }
}

/// What the file of a segment is called.
pub(super) fn name(segment: u32) -> String {
    format!("{segment:08x}{SUFFIX}")
}

/// The number in the name of a segment; other files in the folder are left alone.
fn number(found: &str) -> Option<u32> {
    let segment = u32::from_str_radix(found.strip_suffix(SUFFIX)?, 16).ok()?;
    (name(segment) == found).then_some(segment)
}
