//! What every storage location can do.
//!
//! Invariant: a name stands for one body from its first put to its delete, and a put that did not resolve well leaves nothing or all of it.

use std::ops::Range;
use std::pin::Pin;

use bytes::Bytes;

use crate::{BackendError, FragmentName, LocationId};

/// Longest fragment, in bytes. Those of segments have at most 8 MiB and a header; this bounds what a read of a foreign file may take.
pub const FRAGMENT_BYTES_MAX: u64 = 256 * 1024 * 1024;

/// Most entries in one answer of [`Backend::list`].
pub const LIST_MAX: usize = 10_000;

/// The answer of a backend, to be awaited.
///
/// Dropping it gives the answer up, not the work: a put or delete may still take effect, before or after later calls for the name.
pub type Reply<'a, T> = Pin<Box<dyn Future<Output = Result<T, BackendError>> + Send + 'a>>;

/// What sets a backend apart from others.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Description {
    /// Which location it is.
    pub id: LocationId,
    /// What is acknowledged outlasts the process and a loss of power.
    pub durable: bool,
    /// It can recode what it holds for a repair.
    pub computes: bool,
}

/// One fragment in a listing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listed {
    /// Its name.
    pub name: FragmentName,
    /// How long it is, in bytes.
    pub bytes: u64,
}

/// How much a location holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Usage {
    /// How many fragments.
    pub fragments: u64,
    /// The sum of their lengths, in bytes; what they take on a disk is more.
    pub bytes: u64,
    /// How many bytes more it would take, if it knows.
    pub free_bytes: Option<u64>,
}

/// A place that keeps fragments: opaque, immutable, each under a name that is never used twice.
///
/// Any number of calls may be under way. Every call may fail with [`BackendError::Unavailable`].
pub trait Backend: Send + Sync + 'static {
    /// What sets it apart; the same for as long as it is open.
    ///
    /// # Errors
    /// As every call.
    fn describe<'a>(&'a self) -> Reply<'a, Description>;

    /// Stores a fragment; an empty one as well. Once it resolves the fragment is seen by every call, and is durable if the backend is.
    ///
    /// The same name with the same body again is well, so that a put can be retried.
    ///
    /// # Errors
    /// [`BackendError::Exists`] if the name has another body, which is not touched; [`BackendError::Full`];
    /// [`BackendError::TooLarge`] above [`FRAGMENT_BYTES_MAX`].
    fn put<'a>(&'a self, name: &'a FragmentName, body: Bytes) -> Reply<'a, ()>;

    /// Reads a whole fragment.
    ///
    /// # Errors
    /// [`BackendError::NotFound`], [`BackendError::Corrupt`].
    fn get<'a>(&'a self, name: &'a FragmentName) -> Reply<'a, Bytes>;

    /// Reads exactly `range`, in bytes from the fragment's beginning; an empty range within it reads nothing.
    ///
    /// # Errors
    /// [`BackendError::OutOfRange`] if the range ends before it begins or behind the fragment's end; [`BackendError::NotFound`],
    /// [`BackendError::Corrupt`].
    fn read<'a>(&'a self, name: &'a FragmentName, range: Range<u64>) -> Reply<'a, Bytes>;

    /// Deletes a fragment, durably if the backend is; `false` if it was not there.
    ///
    /// # Errors
    /// As every call.
    fn delete<'a>(&'a self, name: &'a FragmentName) -> Reply<'a, bool>;

    /// The fragments with a name above `after`, ascending, at most `limit` and [`LIST_MAX`] of them.
    ///
    /// An answer may be shorter than that; only an empty one says that there are no more. What is put or deleted meanwhile may be in it
    /// or not.
    ///
    /// # Errors
    /// As every call.
    fn list<'a>(&'a self, after: Option<&'a FragmentName>, limit: usize) -> Reply<'a, Vec<Listed>>;

    /// Combines the packets of a fragment by `scalars`, which have a row for each packet wanted and a byte for each packet of a piece. Gives
    /// the tags of the new packets, for each of them one for each block, and then for each block the packets.
    ///
    /// # Errors
    /// [`BackendError::Unsupported`] where [`Description::computes`] is not said, or these are no scalars of this fragment;
    /// [`BackendError::NotFound`]; [`BackendError::Corrupt`], also of what is no fragment of a segment.
    fn recode<'a>(&'a self, name: &'a FragmentName, scalars: Bytes) -> Reply<'a, Bytes> {
        let _ = (name, scalars);
        Box::pin(async { Err(BackendError::Unsupported("it does not recode".to_owned())) })
    }

    /// How much it holds.
    ///
    /// # Errors
    /// As every call.
    fn usage<'a>(&'a self) -> Reply<'a, Usage>;
}

/// `range` of a whole fragment, sharing its memory.
pub(crate) fn slice(body: &Bytes, range: &Range<u64>) -> Result<Bytes, BackendError> {
    let length = body.len() as u64;
    check(range, length)?;
    // Both ends are at most `length`, which is a length in memory.
    Ok(body.slice(range.start as usize..range.end as usize))
}

/// Whether `range` lies within a fragment of `length` bytes.
pub(crate) fn check(range: &Range<u64>, length: u64) -> Result<(), BackendError> {
    if range.start > range.end || range.end > length {
        return Err(BackendError::OutOfRange { length });
    }
    Ok(())
}
