//! The blind index: current objects by tags that only their owner can compute.
//!
//! Invariant: the index has the tags of current objects and no others; a version keeps its own, for the day it is current again.

use crate::transaction::Transaction;
use crate::{Catalog, CatalogError, DatastoreId, Key, Version, catalog::Reach, versions};

impl Catalog {
    /// At most `limit` current objects that carry `tag`, with keys after `after`, by key.
    pub async fn search(
        &self,
        datastore: DatastoreId,
        tag: [u8; 16],
        after: Option<&Key>,
        limit: usize,
    ) -> Result<Vec<Version>, CatalogError> {
        self.read(
            Reach::Scan,
            (datastore, tag, after.cloned(), limit),
            |tx, (datastore, tag, after, limit)| {
                Box::pin(search(tx, datastore, tag, after.as_ref(), *limit))
            },
        )
        .await
    }
}

// STUB
async fn search(
    _: &mut dyn Transaction,
    _: &DatastoreId,
    _: &[u8; 16],
    _: Option<&Key>,
    _: usize,
) -> Result<Vec<Version>, CatalogError> {
    Err(CatalogError::Unavailable("not there yet".to_owned()))
}
