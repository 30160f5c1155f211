//! Garbage: segments that belong to nothing any more, until their fragments are deleted.
//!
//! Invariant: a segment is garbage exactly if it has a due time; it loses its position and all ways back in the same transaction.

use crate::transaction::{Param, Transaction};
use crate::{Catalog, CatalogError, Segment, SegmentId, catalog::Reach, segments};

impl Catalog {
    /// At most `limit` segments whose fragments may be deleted now, the longest due first. They are handed out until they are forgotten.
    pub async fn garbage(&self, now_ms: u64, limit: usize) -> Result<Vec<Segment>, CatalogError> {
        self.read(Reach::Scan, (now_ms, limit), |tx, (now_ms, limit)| {
            Box::pin(garbage(tx, *now_ms, *limit))
        })
        .await
    }

    /// Forgets garbage whose fragments are deleted. A segment that is no garbage stays.
    pub async fn forget_segments(&self, segments: &[SegmentId]) -> Result<(), CatalogError> {
        self.write(segments.to_vec(), |tx, segments| {
            Box::pin(forget_segments(tx, segments))
        })
        .await
    }
}

// STUB
async fn garbage(_: &mut dyn Transaction, _: u64, _: usize) -> Result<Vec<Segment>, CatalogError> {
    Err(CatalogError::Unavailable("not there yet".to_owned()))
}

// STUB
async fn forget_segments(_: &mut dyn Transaction, _: &[SegmentId]) -> Result<(), CatalogError> {
    Err(CatalogError::Unavailable("not there yet".to_owned()))
}
