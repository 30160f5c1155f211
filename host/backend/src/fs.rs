//! Fragments in a folder.
//!
//! Small ones are packed in an embedded engine, where many puts share one sync; large ones are a file each. Which way a fragment is kept
//! follows from its length, and nobody above can tell. Files are worked on by few threads of the runtime's pool for blocking work, and
//! whoever finds them busy waits outside with its own body.
//! Invariant: a fragment is in one of the two, since its name is held while it is put or deleted, and both are looked into.
//! Source: docs/FORMATS.md, "Storage locations".

mod direct;
mod files;
mod folder;
mod names;
mod pace;
mod packed;

use std::io;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use tokio::sync::Semaphore;

use self::files::Files;
use self::folder::Folder;
use self::names::Names;
use self::pace::Pace;
use self::packed::{PACKED_BYTES_MAX, Packed};
use crate::backend::{FRAGMENT_BYTES_MAX, LIST_MAX, Listed, Usage, slice};
use crate::recoding::recode;
use crate::{Backend, BackendError, Description, Expected, FragmentName, LocationId, Reply};

/// Where fragments are kept, and how.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FsSettings {
    /// The folder; one process uses it.
    pub folder: PathBuf,
    /// Which location may be in it; [`Expected::Any`] makes a new one where the folder is empty or not there.
    pub expected: Expected,
    /// How many bytes of the disk puts leave free, so that deletes and the engine's own work go on when it is full. 1 GiB by default;
    /// less on a small disk, but no less than 256 MiB.
    pub reserve_bytes: u64,
    /// How many bytes of memory small fragments and their index may take beside the system's own cache. 64 MiB by default; more where many
    /// small fragments are read again and again.
    pub cache_bytes: u64,
    /// How many calls may work on files at once. 8 by default; more for disks that need many requests at once to be quick.
    pub threads: usize,
}

impl FsSettings {
    /// The defaults, in `folder`.
    #[must_use]
    pub fn new(folder: impl Into<PathBuf>) -> Self {
        Self {
            folder: folder.into(),
            expected: Expected::Any,
            reserve_bytes: 1024 * 1024 * 1024,
            cache_bytes: 64 * 1024 * 1024,
            threads: 8,
        }
    }
}

/// Why a location cannot be opened.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FsError {
    /// Another process has it, or this one has it already.
    #[error("{} is in use by {}: stop that one, or give each a folder of its own", folder.display(), holder.map_or("another process".to_owned(), |id| format!("process {id}")))]
    InUse {
        /// The location.
        folder: PathBuf,
        /// The id of the process, as it wrote it down.
        holder: Option<u32>,
    },
    /// The folder holds something else.
    #[error("{} holds something that is no storage location: choose an empty folder, or the one in which the file `location` is", .0.display())]
    Foreign(PathBuf),
    /// The folder lies within another location.
    #[error("{} lies within the storage location {}: choose a folder outside of it", folder.display(), outer.display())]
    Within {
        /// The folder.
        folder: PathBuf,
        /// The other location.
        outer: PathBuf,
    },
    /// What is written to or cleared at a start is a link to elsewhere.
    #[error("{} is a symbolic link: remove it, it is made anew as what it should be", .0.display())]
    Link(PathBuf),
    /// It was made by another version.
    #[error("{} was made by another version of this program: run that one, or move its fragments to a new location", .0.display())]
    Version(PathBuf),
    /// There is no location in the folder, where one is expected.
    #[error("{} has no storage location in it: mount its disk or restore it; if it is lost, `securecloud kv location set NAME lost` has what lay there made again, and a new or emptied disk is added under another name", .0.display())]
    Missing(PathBuf),
    /// Another location is in the folder than the expected one.
    #[error("{} has storage location {found} in it, and not {expected}: mount the right disk", folder.display())]
    Other {
        /// The folder.
        folder: PathBuf,
        /// Which location is in it.
        found: LocationId,
        /// Which one should be.
        expected: LocationId,
    },
    /// The marker cannot be read as one.
    #[error("{} is damaged: restore it from a copy; if it is lost, `securecloud kv location set NAME lost` has what lay there made again, and an empty folder is added under another name", .0.display())]
    Marker(PathBuf),
    /// A part is missing.
    #[error("{} is missing: mount or restore it; if it is lost, `securecloud kv location set NAME lost` has what lay there made again, and an empty folder is added under another name", .0.display())]
    Incomplete(PathBuf),
    /// What was packed cannot be opened.
    #[error("{}: {source}; if it does not open later, give it up with `securecloud kv location set NAME lost`, and add an empty folder under another name", path.display())]
    Packed {
        /// The engine's folder.
        path: PathBuf,
        /// Why.
        source: Box<fjall::Error>,
    },
    /// The files cannot be looked through.
    #[error("{}: {source}", path.display())]
    Files {
        /// The folder of the files.
        path: PathBuf,
        /// Why.
        source: BackendError,
    },
    /// The folder or a file in it cannot be used.
    #[error("{}: {source}", path.display())]
    Io {
        /// Folder or file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

/// A location that keeps fragments in a folder. Called within a tokio runtime, whose threads for blocking work it uses.
///
/// Beside the fragments it takes up to 200 MB of the disk for journals, and as much for what is deleted and not reclaimed yet as for a
/// quarter of the small fragments, or 64 MiB. Dropping it waits until the writes under way, and a compaction if there is one, are done.
#[derive(Debug)]
pub struct Fs {
    parts: Arc<Parts>,
    names: Names,
    /// One permit for each call that works on files.
    threads: Arc<Semaphore>,
    pace: Pace,
}

/// Everything on the disk; the lock is let go last.
#[derive(Debug)]
struct Parts {
    packed: Packed,
    files: Arc<Files>,
    room: Room,
    folder: Folder,
}

impl Parts {
    /// What was read; that something is not there is said only where the folder is.
    fn there(&self, read: Result<Bytes, BackendError>) -> Result<Bytes, BackendError> {
        if matches!(read, Err(BackendError::NotFound)) {
            self.room.free()?;
        }
        read
    }
}

impl Fs {
    /// Opens the location, or makes one in an empty folder where a new one will do.
    ///
    /// Blocks: it replays up to 200 MB of small fragments after a crash, and looks at the length of each large one.
    ///
    /// # Errors
    /// [`FsError`].
    pub fn open(settings: &FsSettings) -> Result<Self, FsError> {
        let folder = Folder::open(&settings.folder, settings.expected)?;
        let marker = folder::marker_file(folder.path()).map_err(|source| FsError::Io {
            path: folder.path().to_owned(),
            source,
        })?;
        let room = Room {
            folder: folder.path().to_owned(),
            marker,
            reserve_bytes: settings.reserve_bytes,
        };
        let files = Files::open(folder.objects(), folder.tmp(), room.clone());
        let files = Arc::new(files.map_err(|source| FsError::Files {
            path: folder.objects(),
            source,
        })?);
        let path = folder.packed();
        let packed = Packed::open(&path, settings.cache_bytes, files.clone(), room.clone());
        let packed = packed.map_err(|source| FsError::Packed {
            path,
            source: Box::new(source),
        })?;
        Ok(Self {
            parts: Arc::new(Parts {
                packed,
                files,
                room,
                folder,
            }),
            names: Names::new(),
            threads: Arc::new(Semaphore::new(settings.threads.max(1))),
            pace: Pace::default(),
        })
    }

    /// Drawn when the location was made: it tells this one from another that is mounted in its place.
    #[must_use]
    pub fn id(&self) -> LocationId {
        self.parts.folder.id()
    }

    /// Works on files, on a thread of the pool for blocking work.
    async fn work<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Parts) -> Result<T, BackendError> + Send + 'static,
    ) -> Result<T, BackendError> {
        let permit = self.threads.clone().acquire_owned().await;
        let permit = permit.expect("the semaphore is never closed");
        let parts = self.parts.clone();
        let worked = tokio::task::spawn_blocking(move || {
            let _permit = permit;
            work(&parts)
        });
        worked
            .await
            .unwrap_or_else(|error| Err(BackendError::Unavailable(error.to_string())))
    }

    /// Looks for a packed fragment: at once while that is quick, else as work on files.
    async fn look(&self, name: &FragmentName) -> Result<Option<Bytes>, BackendError> {
        if let Some(found) = self.pace.at_once(|| self.parts.packed.get(name)) {
            return found;
        }
        let name = name.clone();
        self.work(move |parts| parts.packed.get(&name)).await
    }

    async fn store(&self, name: &FragmentName, body: Bytes) -> Result<(), BackendError> {
        let bytes = body.len() as u64;
        if bytes > FRAGMENT_BYTES_MAX {
            return Err(BackendError::TooLarge { bytes });
        }
        let held = self.names.hold(name).await;
        if body.len() <= PACKED_BYTES_MAX {
            return self.parts.packed.put(held, body).await;
        }
        self.work(move |parts| match parts.packed.get(held.name())? {
            Some(there) if there == body => Ok(()),
            Some(_) => Err(BackendError::Exists),
            None => parts.files.put(held.name(), &body),
        })
        .await
    }

    async fn remove(&self, name: &FragmentName) -> Result<bool, BackendError> {
        let held = self.names.hold(name).await;
        if self.parts.packed.length(name)?.is_some() {
            return self.parts.packed.delete(held).await;
        }
        self.work(move |parts| match parts.files.delete(held.name())? {
            true => Ok(true),
            // Where the folder is away nothing is known to be gone.
            false => parts.room.free().map(|_| false),
        })
        .await
    }
}

impl Backend for Fs {
    fn describe<'a>(&'a self) -> Reply<'a, Description> {
        let description = Description {
            id: self.id(),
            durable: true,
            computes: true,
        };
        Box::pin(async move { Ok(description) })
    }

    fn put<'a>(&'a self, name: &'a FragmentName, body: Bytes) -> Reply<'a, ()> {
        Box::pin(self.store(name, body))
    }

    fn get<'a>(&'a self, name: &'a FragmentName) -> Reply<'a, Bytes> {
        Box::pin(async move {
            if let Some(body) = self.look(name).await? {
                return Ok(body);
            }
            let name = name.clone();
            self.work(move |parts| parts.there(parts.files.get(&name)))
                .await
        })
    }

    fn read<'a>(&'a self, name: &'a FragmentName, range: Range<u64>) -> Reply<'a, Bytes> {
        Box::pin(async move {
            if let Some(body) = self.look(name).await? {
                return slice(&body, &range);
            }
            let name = name.clone();
            self.work(move |parts| parts.there(parts.files.read(&name, &range)))
                .await
        })
    }

    fn recode<'a>(&'a self, name: &'a FragmentName, scalars: Bytes) -> Reply<'a, Bytes> {
        let name = name.clone();
        Box::pin(self.work(move |parts| {
            let body = match parts.packed.get(&name)? {
                Some(body) => body,
                None => parts.there(parts.files.get(&name))?,
            };
            recode(&body, &scalars)
        }))
    }

    fn delete<'a>(&'a self, name: &'a FragmentName) -> Reply<'a, bool> {
        Box::pin(self.remove(name))
    }

    fn list<'a>(&'a self, after: Option<&'a FragmentName>, limit: usize) -> Reply<'a, Vec<Listed>> {
        let after = after.cloned();
        let limit = limit.min(LIST_MAX);
        Box::pin(self.work(move |parts| {
            // A folder that is away would look empty.
            parts.room.free()?;
            let packed = parts.packed.list(after.as_ref(), limit)?;
            let files = parts.files.list(after.as_ref(), limit)?;
            // Nor may it have gone meanwhile.
            parts.room.free()?;
            Ok(merge(packed, files, limit))
        }))
    }

    fn usage<'a>(&'a self) -> Reply<'a, Usage> {
        Box::pin(async move {
            let free_bytes = self.work(|parts| parts.room.free()).await?;
            let (packed, files) = (self.parts.packed.counts(), self.parts.files.counts());
            Ok(Usage {
                fragments: packed.fragments() + files.fragments(),
                bytes: packed.bytes() + files.bytes(),
                free_bytes: Some(free_bytes),
            })
        })
    }
}

/// The first `limit` of two ascending listings, ascending.
fn merge(one: Vec<Listed>, other: Vec<Listed>, limit: usize) -> Vec<Listed> {
    let (mut one, mut other) = (one.into_iter().peekable(), other.into_iter().peekable());
    let next = || match (one.peek(), other.peek()) {
        (Some(first), Some(second)) if second.name < first.name => other.next(),
        (Some(_), _) => one.next(),
        (None, _) => other.next(),
    };
    std::iter::from_fn(next).take(limit).collect()
}

/// How many fragments there are, and their bytes.
#[derive(Debug, Default)]
struct Counts {
    fragments: AtomicU64,
    bytes: AtomicU64,
}

impl Counts {
    fn set(&self, fragments: u64, bytes: u64) {
        self.fragments.store(fragments, Ordering::Relaxed);
        self.bytes.store(bytes, Ordering::Relaxed);
    }

    fn add(&self, bytes: u64) {
        self.fragments.fetch_add(1, Ordering::Relaxed);
        self.bytes.fetch_add(bytes, Ordering::Relaxed);
    }

    fn remove(&self, bytes: u64) {
        self.fragments.fetch_sub(1, Ordering::Relaxed);
        self.bytes.fetch_sub(bytes, Ordering::Relaxed);
    }

    fn fragments(&self) -> u64 {
        self.fragments.load(Ordering::Relaxed)
    }

    fn bytes(&self) -> u64 {
        self.bytes.load(Ordering::Relaxed)
    }
}

/// What is left of the disk, and whether it is still the one that was opened.
#[derive(Debug, Clone)]
struct Room {
    folder: PathBuf,
    /// Device and number of the marker's file.
    marker: (u64, u64),
    reserve_bytes: u64,
}

impl Room {
    /// How many bytes puts may still take.
    ///
    /// What is open would be written to when its names are gone, and acknowledged: so the marker is looked at each time.
    fn free(&self) -> Result<u64, BackendError> {
        if folder::marker_file(&self.folder).ok() != Some(self.marker) {
            return Err(BackendError::Unavailable(format!(
                "{}: the files of this location were removed, or another disk is mounted over them: start the store again when they are back",
                self.folder.display()
            )));
        }
        let disk = rustix::fs::statvfs(&self.folder)
            .map_err(|error| self.failed(&self.folder, error.into()))?;
        let free = disk.f_bavail.saturating_mul(disk.f_frsize);
        Ok(free.saturating_sub(self.reserve_bytes))
    }

    /// The error of a put that does not fit.
    fn exhausted(&self) -> BackendError {
        let reserve = self.reserve_bytes;
        BackendError::Full(format!(
            "{}: only the {reserve} bytes that stay free are left",
            self.folder.display()
        ))
    }

    fn failed(&self, path: &Path, error: io::Error) -> BackendError {
        BackendError::of_io(&path.display().to_string(), &error)
    }
}
