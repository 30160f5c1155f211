//! Uploads: intents whose object comes in numbered parts.
//!
//! Invariant: the segments of the parts that an upload has now are those whose position is in the part's range; see [`segments`].

use crate::transaction::{Param, Row, Transaction};
use crate::{
    Catalog, CatalogError, DatastoreId, Intent, Key, SegmentId, VersionId, catalog::Reach, intents,
    segments,
};

/// The greatest number that a part may have, as in S3.
pub const PARTS_MAX: u32 = 10_000;

/// One part of an upload.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Part {
    /// Its number, 1 to [`PARTS_MAX`]: its place in the object.
    pub number: u32,
    /// How many bytes of the object it has.
    pub size: u64,
    /// Its ETag, as the gateway made it.
    pub etag: String,
    /// When it was stored.
    pub created_ms: u64,
}

impl Catalog {
    /// At most `limit` uploads to keys that begin with `prefix`, by key and then version, those after `after`. Those whose leases have
    /// passed are among them until they are expired.
    pub async fn uploads(
        &self,
        datastore: DatastoreId,
        prefix: &[u8],
        after: Option<(Key, VersionId)>,
        limit: usize,
    ) -> Result<Vec<Intent>, CatalogError> {
        self.read(
            Reach::Scan,
            (datastore, prefix.to_vec(), after, limit),
            |tx, (datastore, prefix, after, limit)| {
                Box::pin(uploads(tx, datastore, prefix, after.as_ref(), *limit))
            },
        )
        .await
    }

    /// Gives a live upload a part that consists of these of its segments, in order, and extends its lease. It replaces an older part of
    /// that number, whose segments become garbage due at `garbage_due_ms`; segments that both have stay.
    ///
    /// # Errors
    /// `IntentGone` if the upload has ended or its lease has passed, or it is no upload; `NoSuchSegment` if one of them was not added to
    /// this part of this upload, or was replaced; `Invalid` for an impossible number.
    pub async fn put_part(
        &self,
        upload: VersionId,
        part: Part,
        segments: &[SegmentId],
        lease_until_ms: u64,
        now_ms: u64,
        garbage_due_ms: u64,
    ) -> Result<(), CatalogError> {
        let lease = (lease_until_ms, now_ms);
        self.write(
            (upload, part, segments.to_vec(), lease, garbage_due_ms),
            |tx, (upload, part, segments, lease, garbage_due_ms)| {
                Box::pin(put_part(
                    tx,
                    upload,
                    part,
                    segments,
                    *lease,
                    *garbage_due_ms,
                ))
            },
        )
        .await
    }

    /// At most `limit` parts of an upload with numbers above `after`, ascending.
    pub async fn parts(
        &self,
        upload: VersionId,
        after: u32,
        limit: usize,
    ) -> Result<Vec<Part>, CatalogError> {
        self.read(
            Reach::Scan,
            (upload, after, limit),
            |tx, (upload, after, limit)| Box::pin(parts(tx, upload, *after, *limit)),
        )
        .await
    }
}

// STUB
async fn uploads(
    _: &mut dyn Transaction,
    _: &DatastoreId,
    _: &[u8],
    _: Option<&(Key, VersionId)>,
    _: usize,
) -> Result<Vec<Intent>, CatalogError> {
    Err(CatalogError::Unavailable("not there yet".to_owned()))
}

// STUB
async fn put_part(
    _: &mut dyn Transaction,
    _: &VersionId,
    _: &Part,
    _: &[SegmentId],
    _: (u64, u64),
    _: u64,
) -> Result<(), CatalogError> {
    Err(CatalogError::Unavailable("not there yet".to_owned()))
}

// STUB
async fn parts(
    _: &mut dyn Transaction,
    _: &VersionId,
    _: u32,
    _: usize,
) -> Result<Vec<Part>, CatalogError> {
    Err(CatalogError::Unavailable("not there yet".to_owned()))
}
