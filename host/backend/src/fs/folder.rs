//! The folder of a location: its marker, its lock and its parts.
//!
//! Invariant: nothing is made or removed in a folder that is neither empty nor a location, nor in another location's, nor where a link of
//! somebody else's leads; and one process at most uses a location.
//! Source: docs/FORMATS.md, "Storage locations".

use std::fs::{self, DirBuilder, File, OpenOptions, TryLockError};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt as _};
use std::path::{Path, PathBuf};

use super::FsError;
use crate::{Expected, LocationId};

const MARKER: &str = "location";
const MARKER_NEW: &str = "location.new";
const LOCK: &str = "lock";
/// What mkfs puts into a new file system.
const LOST_AND_FOUND: &str = "lost+found";
const OBJECTS: &str = "objects";
const PACKED: &str = "packed";
const TMP: &str = "tmp";

const TITLE: &str = "securecloud location";
const VERSION: &str = "1";
/// Longest marker that is read, in bytes.
const MARKER_BYTES_MAX: u64 = 4096;

/// A location's folder, locked for this process.
#[derive(Debug)]
pub(super) struct Folder {
    path: PathBuf,
    id: LocationId,
    /// Held for its lock.
    _lock: File,
}

impl Folder {
    /// Opens the location in `path`, or makes one if there is nothing and a new one will do.
    pub(super) fn open(path: &Path, expected: Expected) -> Result<Self, FsError> {
        let failed = |source| FsError::Io {
            path: path.to_owned(),
            source,
        };
        // Nothing is left in a folder in which a disk should be.
        if expected != Expected::Any {
            check(path, read_marker(path)?, expected)?;
        }
        if let Some(outer) = outer(path).map_err(failed)? {
            return Err(FsError::Within {
                folder: path.to_owned(),
                outer,
            });
        }
        make(path).map_err(failed)?;
        admit(path)?;
        let lock = lock(path)?;
        let found = read_marker(path)?;
        check(path, found, expected)?;
        let id = match found {
            Some(id) => {
                for part in [OBJECTS, PACKED] {
                    let part = path.join(part);
                    if !part.is_dir() {
                        return Err(FsError::Incomplete(part));
                    }
                }
                id
            }
            None => begin(path).map_err(failed)?,
        };
        let tmp = path.join(TMP);
        make(&tmp).map_err(failed)?;
        // It is cleared, so it has to be this folder's own.
        if fs::symlink_metadata(&tmp).map_err(failed)?.is_symlink() {
            return Err(FsError::Link(tmp));
        }
        Ok(Self {
            path: path.to_owned(),
            id,
            _lock: lock,
        })
    }

    /// Drawn when the location was made; it tells a location from another that is mounted in its place.
    pub(super) fn id(&self) -> LocationId {
        self.id
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    pub(super) fn objects(&self) -> PathBuf {
        self.path.join(OBJECTS)
    }

    pub(super) fn packed(&self) -> PathBuf {
        self.path.join(PACKED)
    }

    pub(super) fn tmp(&self) -> PathBuf {
        self.path.join(TMP)
    }
}

/// Device and number of the marker's file in a folder.
pub(super) fn marker_file(folder: &Path) -> io::Result<(u64, u64)> {
    let file = fs::metadata(folder.join(MARKER))?;
    Ok((file.dev(), file.ino()))
}

/// Refuses what is not expected in a folder.
fn check(path: &Path, found: Option<LocationId>, expected: Expected) -> Result<(), FsError> {
    match (found, expected) {
        (Some(found), Expected::This(expected)) if found != expected => Err(FsError::Other {
            folder: path.to_owned(),
            found,
            expected,
        }),
        (None, Expected::This(_) | Expected::There) => Err(FsError::Missing(path.to_owned())),
        _ => Ok(()),
    }
}

/// The location in whose folder `path` lies or would lie, if there is one, by where links lead.
fn outer(path: &Path) -> io::Result<Option<PathBuf>> {
    let path = std::path::absolute(path)?;
    let own = path.canonicalize().ok();
    let there = path.ancestors().find_map(|it| it.canonicalize().ok());
    let Some(there) = there else {
        return Ok(None);
    };
    let above = there.ancestors().filter(|it| Some(*it) != own.as_deref());
    // What cannot be read as a marker is none.
    let is_location = |folder: &&Path| matches!(read_marker(folder), Ok(Some(_)));
    Ok(above.into_iter().find(is_location).map(Path::to_owned))
}

/// Refuses a folder that somebody else uses. What a first opening leaves when it is cut short is taken as ours.
fn admit(path: &Path) -> Result<(), FsError> {
    let failed = |source| FsError::Io {
        path: path.to_owned(),
        source,
    };
    if path.join(MARKER).try_exists().map_err(failed)? {
        return Ok(());
    }
    for entry in fs::read_dir(path).map_err(failed)? {
        let entry = entry.map_err(failed)?;
        let ours = match entry.file_name().to_str() {
            Some(MARKER_NEW | LOCK | LOST_AND_FOUND) => true,
            Some(OBJECTS | PACKED | TMP) => {
                fs::read_dir(entry.path()).map_err(failed)?.next().is_none()
            }
            _ => false,
        };
        if !ours {
            return Err(FsError::Foreign(path.to_owned()));
        }
    }
    Ok(())
}

/// Takes the folder for this process alone and says so in the lock file.
fn lock(path: &Path) -> Result<File, FsError> {
    let file = path.join(LOCK);
    let failed = |source| FsError::Io {
        path: file.clone(),
        source,
    };
    let mut options = OpenOptions::new();
    options.read(true).write(true).create(true).truncate(false);
    // It is written to, so it has to be this folder's own; what a link leads to is somebody else's.
    if fs::symlink_metadata(&file).is_ok_and(|it| it.is_symlink()) {
        return Err(FsError::Link(file));
    }
    let mut lock = options.open(&file).map_err(failed)?;
    match lock.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => {
            let mut holder = String::new();
            // Without it the error just says less.
            let _ = (&mut lock).take(32).read_to_string(&mut holder);
            return Err(FsError::InUse {
                folder: path.to_owned(),
                holder: holder.trim().parse().ok(),
            });
        }
        Err(TryLockError::Error(source)) => return Err(failed(source)),
    }
    lock.set_len(0)
        .and_then(|()| writeln!(lock, "{}", std::process::id()))
        .map_err(failed)?;
    Ok(lock)
}

/// The id in the marker, if there is one.
fn read_marker(folder: &Path) -> Result<Option<LocationId>, FsError> {
    let path = folder.join(MARKER);
    let mut text = String::new();
    let read =
        File::open(&path).and_then(|file| file.take(MARKER_BYTES_MAX).read_to_string(&mut text));
    match read {
        Ok(_) => {}
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(source) => return Err(FsError::Io { path, source }),
    }
    let mut lines = text.lines();
    if lines.next() != Some(TITLE) {
        return Err(FsError::Marker(path));
    }
    match lines.next().and_then(|line| line.strip_prefix("version ")) {
        Some(VERSION) => {}
        Some(_) => return Err(FsError::Version(folder.to_owned())),
        None => return Err(FsError::Marker(path)),
    }
    let id = lines
        .next()
        .and_then(|line| line.strip_prefix("id "))
        .and_then(|text| text.parse().ok());
    id.map(Some).ok_or(FsError::Marker(path))
}

/// Makes the parts of a new location, the marker last.
fn begin(folder: &Path) -> io::Result<LocationId> {
    let id = LocationId::draw().map_err(io::Error::other)?;
    for part in [OBJECTS, PACKED] {
        make(&folder.join(part))?;
    }
    let text = format!("{TITLE}\nversion {VERSION}\nid {id}\n");
    let new = folder.join(MARKER_NEW);
    let mut marker = File::create(&new)?;
    marker.write_all(text.as_bytes())?;
    marker.sync_all()?;
    fs::rename(new, folder.join(MARKER))?;
    File::open(folder)?.sync_all()?;
    Ok(id)
}

/// Makes a folder durably, for its owner alone, and those above it, unless it is there.
fn make(folder: &Path) -> io::Result<()> {
    if folder.is_dir() {
        return Ok(());
    }
    let above = match folder.parent() {
        Some(above) if above.as_os_str().is_empty() => Path::new("."),
        Some(above) => above,
        None => return Ok(()),
    };
    make(above)?;
    match DirBuilder::new().mode(0o700).create(folder) {
        Ok(()) => {}
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists && folder.is_dir() => {}
        Err(error) => return Err(error),
    }
    File::open(above)?.sync_all()
}
