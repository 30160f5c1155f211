//! Large fragments, a file each: `objects/ab/abcd/abcd…`.
//!
//! A fragment is written to `tmp/`, synced, renamed and its folder synced. The folders are the first two and four bytes of the name, so
//! that the order of folders and files is the order of names, also for short ones.
//! Invariant: what stands in `objects` is whole. A folder is used only after it and those above it were synced by this process.
//! Source: docs/FORMATS.md, "Storage locations".

use std::collections::HashSet;
use std::fs::{self, File};
use std::io::{self, Read as _};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use rustix::fs::{CWD, RenameFlags, renameat_with};
use rustix::io::Errno;

use super::direct::Direct;
use super::{Counts, Room};
use crate::backend::{FRAGMENT_BYTES_MAX, check};
use crate::{BackendError, FragmentName, Listed};

/// How much of a file is compared at once, in bytes.
const COMPARED_BYTES: usize = 64 * 1024;

/// The files of a location. All of it blocks.
#[derive(Debug)]
pub(super) struct Files {
    objects: PathBuf,
    tmp: PathBuf,
    room: Room,
    direct: Direct,
    /// The next name in `tmp`.
    next: AtomicU64,
    /// Folders that are known to be on the disk; bounded by how many there are.
    synced: Mutex<HashSet<PathBuf>>,
    counts: Counts,
}

impl Files {
    /// Takes the files in `objects`, looking at the length of each; clears `tmp`.
    pub(super) fn open(objects: PathBuf, tmp: PathBuf, room: Room) -> Result<Self, BackendError> {
        clear(&tmp)?;
        let files = Self {
            objects,
            tmp,
            room,
            direct: Direct::default(),
            next: AtomicU64::new(0),
            synced: Mutex::default(),
            counts: Counts::default(),
        };
        files.walk(None, |listed| {
            files.counts.add(listed.bytes);
            true
        })?;
        Ok(files)
    }

    pub(super) fn counts(&self) -> &Counts {
        &self.counts
    }

    /// Stores a fragment durably. The caller holds the name.
    pub(super) fn put(&self, name: &FragmentName, body: &Bytes) -> Result<(), BackendError> {
        let folder = self.folder(name);
        match self.holds(name, body)? {
            Some(false) => return Err(BackendError::Exists),
            // Its put may have come no further than this.
            Some(true) => return self.settle(&folder),
            None => {}
        }
        if self.room.free()? < body.len() as u64 {
            return Err(self.room.exhausted());
        }
        self.make(&folder)?;
        let path = folder.join(name.as_str());
        let tmp = self
            .tmp
            .join(self.next.fetch_add(1, Ordering::Relaxed).to_string());
        let written = self.direct.write(&tmp, body);
        let placed = written.and_then(|()| rename(&tmp, &path));
        if let Err(error) = placed {
            // What cannot be removed now is removed when the location is opened.
            let _ = fs::remove_file(&tmp);
            return Err(match error.kind() {
                io::ErrorKind::AlreadyExists => BackendError::Exists,
                _ => BackendError::of_io(name.as_str(), &error),
            });
        }
        self.counts.add(body.len() as u64);
        sync(&folder)
    }

    /// Reads a whole fragment.
    pub(super) fn get(&self, name: &FragmentName) -> Result<Bytes, BackendError> {
        let (mut file, length) = self.find(name)?;
        let read = self.direct.read(&mut file, &(0..length));
        read.map_err(|error| BackendError::of_read(name.as_str(), &error))
    }

    /// Reads `range` of a fragment.
    pub(super) fn read(
        &self,
        name: &FragmentName,
        range: &Range<u64>,
    ) -> Result<Bytes, BackendError> {
        let (mut file, length) = self.find(name)?;
        check(range, length)?;
        let read = self.direct.read(&mut file, range);
        read.map_err(|error| BackendError::of_read(name.as_str(), &error))
    }

    /// Deletes a fragment durably; `false` if it is not here. The caller holds the name.
    pub(super) fn delete(&self, name: &FragmentName) -> Result<bool, BackendError> {
        let folder = self.folder(name);
        let path = folder.join(name.as_str());
        let Some(length) = length(&path)? else {
            // A delete before this one may have come no further than its unlink.
            return self.settle(&folder).map(|()| false);
        };
        fs::remove_file(&path).map_err(|error| BackendError::of_io(name.as_str(), &error))?;
        self.counts.remove(length);
        sync(&folder).map(|()| true)
    }

    /// Whether the fragment under `name` is `body`; nothing if there is none.
    pub(super) fn holds(
        &self,
        name: &FragmentName,
        body: &Bytes,
    ) -> Result<Option<bool>, BackendError> {
        let (mut file, length) = match self.find(name) {
            Ok(found) => found,
            Err(BackendError::NotFound) => return Ok(None),
            Err(error) => return Err(error),
        };
        if length != body.len() as u64 {
            return Ok(Some(false));
        }
        let mut read = vec![0; COMPARED_BYTES.min(body.len())];
        for part in body.chunks(COMPARED_BYTES) {
            let read = &mut read[..part.len()];
            file.read_exact(read)
                .map_err(|error| BackendError::of_read(name.as_str(), &error))?;
            if read != part {
                return Ok(Some(false));
            }
        }
        Ok(Some(true))
    }

    /// At most `limit` fragments above `after`, ascending; fewer if there are no more. Opens each folder that it comes through.
    pub(super) fn list(
        &self,
        after: Option<&FragmentName>,
        limit: usize,
    ) -> Result<Vec<Listed>, BackendError> {
        let mut listed = Vec::new();
        if limit > 0 {
            self.walk(after, |one| {
                listed.push(one);
                listed.len() < limit
            })?;
        }
        Ok(listed)
    }

    /// Shows the fragments above `after`, ascending, until `more` says that it has enough.
    fn walk(
        &self,
        after: Option<&FragmentName>,
        mut more: impl FnMut(Listed) -> bool,
    ) -> Result<(), BackendError> {
        let after = after.map_or("", FragmentName::as_str);
        let (outer, inner) = (prefix(after, 2), prefix(after, 4));
        for first in entries(&self.objects, |name| name >= outer)? {
            let above = self.objects.join(&first);
            for second in entries(&above, |name| name >= inner)? {
                let folder = above.join(second);
                for name in entries(&folder, |name| name > after)? {
                    // What is no fragment's name was put there by somebody else.
                    let Ok(name) = FragmentName::new(&name) else {
                        continue;
                    };
                    let Some(bytes) = length(&folder.join(name.as_str()))? else {
                        continue;
                    };
                    if !more(Listed { name, bytes }) {
                        return Ok(());
                    }
                }
            }
        }
        Ok(())
    }

    fn find(&self, name: &FragmentName) -> Result<(File, u64), BackendError> {
        let path = self.folder(name).join(name.as_str());
        let opened = File::open(path).and_then(|file| {
            let length = file.metadata()?.len();
            Ok((file, length))
        });
        match opened {
            Ok((_, length)) if length > FRAGMENT_BYTES_MAX => Err(BackendError::Corrupt(format!(
                "{name}: a file of {length} bytes is no fragment"
            ))),
            Ok(found) => Ok(found),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Err(BackendError::NotFound),
            Err(error) => Err(BackendError::of_read(name.as_str(), &error)),
        }
    }

    fn folder(&self, name: &FragmentName) -> PathBuf {
        let name = name.as_str();
        self.objects.join(prefix(name, 2)).join(prefix(name, 4))
    }

    /// Makes a folder for fragments durably, and the one above it.
    fn make(&self, folder: &Path) -> Result<(), BackendError> {
        if self.synced().contains(folder) {
            return Ok(());
        }
        fs::create_dir_all(folder).map_err(|error| failed(folder, &error))?;
        let above = folder.parent().expect("it is in `objects`");
        sync(above)?;
        sync(&self.objects)?;
        self.synced().insert(folder.to_owned());
        Ok(())
    }

    /// Puts what an earlier call or process has left of a folder's entries on the disk.
    fn settle(&self, folder: &Path) -> Result<(), BackendError> {
        if !folder
            .try_exists()
            .map_err(|error| failed(folder, &error))?
        {
            return Ok(());
        }
        self.make(folder)?;
        sync(folder)
    }

    fn synced(&self) -> std::sync::MutexGuard<'_, HashSet<PathBuf>> {
        self.synced.lock().expect("no holder of this lock panics")
    }
}

/// The first `bytes` bytes of a name, or all of it.
fn prefix(name: &str, bytes: usize) -> &str {
    name.get(..bytes).unwrap_or(name)
}

/// What is in a folder and chosen by `wanted`, ascending; nothing if there is no such folder.
fn entries(folder: &Path, wanted: impl Fn(&str) -> bool) -> Result<Vec<String>, BackendError> {
    let found = match fs::read_dir(folder) {
        Ok(found) => found,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) if error.kind() == io::ErrorKind::NotADirectory => return Ok(Vec::new()),
        Err(error) => return Err(failed(folder, &error)),
    };
    let mut names = Vec::new();
    for entry in found {
        let entry = entry.map_err(|error| failed(folder, &error))?;
        match entry.file_name().into_string() {
            Ok(name) if wanted(&name) => names.push(name),
            _ => {}
        }
    }
    names.sort_unstable();
    Ok(names)
}

/// How long a file is; nothing if it is not there or no file.
fn length(path: &Path) -> Result<Option<u64>, BackendError> {
    match fs::symlink_metadata(path) {
        Ok(about) => Ok(about.is_file().then_some(about.len())),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(failed(path, &error)),
    }
}

/// Renames a file, never onto another.
fn rename(from: &Path, to: &Path) -> io::Result<()> {
    match renameat_with(CWD, from, CWD, to, RenameFlags::NOREPLACE) {
        Ok(()) => Ok(()),
        // Some file systems have no such rename, but links never replace.
        Err(Errno::INVAL | Errno::NOSYS) => {
            fs::hard_link(from, to)?;
            fs::remove_file(from)
        }
        Err(error) => Err(error.into()),
    }
}

/// Puts a folder's entries on the disk.
fn sync(folder: &Path) -> Result<(), BackendError> {
    File::open(folder)
        .and_then(|folder| folder.sync_all())
        .map_err(|error| failed(folder, &error))
}

/// Removes what a crash has left.
fn clear(tmp: &Path) -> Result<(), BackendError> {
    let left = entries(tmp, |_| true)?;
    if !left.is_empty() {
        tracing::info!(files = left.len(), "removing unfinished fragments");
    }
    for name in left {
        let path = tmp.join(name);
        fs::remove_file(&path).map_err(|error| failed(&path, &error))?;
    }
    Ok(())
}

fn failed(path: &Path, error: &io::Error) -> BackendError {
    BackendError::of_io(&path.display().to_string(), error)
}
