//! Segments: what an object's bytes were coded into, and where the fragments lie.

use core::ops::Range;

use bytes::Bytes;

use crate::transaction::{Param, Row, Transaction};
use crate::{Catalog, CatalogError, SegmentId, VersionId, catalog::Reach};

/// Bytes that the name of a fragment, or that of its location, may have.
pub const NAME_BYTES_MAX: usize = 255;

/// One coded segment and where its fragments lie.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Segment {
    /// This attempt to store it.
    pub id: SegmentId,
    /// The version whose bytes it has.
    pub version: VersionId,
    /// The part of an upload that it belongs to; 0 for a plain PUT.
    pub part: u32,
    /// Its place in the part, from 0.
    pub index: u32,
    /// How many bytes of the object it has.
    pub plain_bytes: u32,
    /// What the trusted program needs to open it, sealed; opaque here.
    pub record: Bytes,
    /// The length of each of its fragments as a file.
    pub fragment_bytes: u32,
    /// Its fragments, by index, ascending.
    pub fragments: Vec<Fragment>,
}

/// One piece of a segment, at one location.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fragment {
    /// Which of the segment's fragments it is.
    pub index: u8,
    /// The name of its location, at most [`NAME_BYTES_MAX`] bytes.
    pub location: String,
    /// Its name there, at most [`NAME_BYTES_MAX`] bytes.
    pub name: String,
    /// Whether it is there.
    pub state: FragmentState,
}

/// Whether a fragment is where it should be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum FragmentState {
    /// The location has acknowledged it.
    Stored,
    /// It has still to be made or written.
    Owed,
}

impl Catalog {
    /// Replaces what is known of a segment's fragments: some were stored late, or made again elsewhere.
    ///
    /// # Errors
    /// `NoSuchSegment`, `Invalid` for a name of impossible length.
    pub async fn set_fragments(
        &self,
        segment: SegmentId,
        fragments: &[Fragment],
    ) -> Result<(), CatalogError> {
        self.write((segment, fragments.to_vec()), |tx, (segment, fragments)| {
            Box::pin(set_fragments(tx, segment, fragments))
        })
        .await
    }

    /// The segments of a version at these positions, in object order: by part and index, counted from 0 over the whole object. Of an
    /// upload under way: those of the parts that it has now.
    pub async fn segments(
        &self,
        version: VersionId,
        range: Range<u32>,
    ) -> Result<Vec<Segment>, CatalogError> {
        self.read(Reach::Scan, (version, range), |tx, (version, range)| {
            Box::pin(segments(tx, version, range.clone()))
        })
        .await
    }

    /// At most `limit` segments of committed versions with owed fragments, by id, those after `after`.
    pub async fn owed(
        &self,
        after: Option<SegmentId>,
        limit: usize,
    ) -> Result<Vec<Segment>, CatalogError> {
        self.read(Reach::Scan, (after, limit), |tx, (after, limit)| {
            Box::pin(owed(tx, *after, *limit))
        })
        .await
    }
}

// STUB
async fn set_fragments(
    _: &mut dyn Transaction,
    _: &SegmentId,
    _: &[Fragment],
) -> Result<(), CatalogError> {
    Err(CatalogError::Unavailable("not there yet".to_owned()))
}

// STUB
async fn segments(
    _: &mut dyn Transaction,
    _: &VersionId,
    _: Range<u32>,
) -> Result<Vec<Segment>, CatalogError> {
    Err(CatalogError::Unavailable("not there yet".to_owned()))
}

// STUB
async fn owed(
    _: &mut dyn Transaction,
    _: Option<SegmentId>,
    _: usize,
) -> Result<Vec<Segment>, CatalogError> {
    Err(CatalogError::Unavailable("not there yet".to_owned()))
}
