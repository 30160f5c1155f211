//! The blind index: current objects by tags that only their owner can compute.
//!
//! Invariant: the index has the tags of current objects and no others; a version keeps its own, for the day it is current again.

use crate::transaction::Transaction;
use crate::versions::version_columns;
use crate::{Catalog, CatalogError, DatastoreId, Key, Version, catalog::Reach};

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

async fn search(
    tx: &mut dyn Transaction,
    datastore: &DatastoreId,
    tag: &[u8; 16],
    after: Option<&Key>,
    limit: usize,
) -> Result<Vec<Version>, CatalogError> {
    let sql = concat!(
        "SELECT ",
        version_columns!("1"),
        " FROM tag t JOIN object o ON o.datastore = t.datastore AND o.key = t.key JOIN version v ON v.datastore = o.datastore AND v.key = o.key AND v.number = o.number \
            WHERE t.datastore = $1 AND t.tag = $2 AND t.key > $3 ORDER BY t.key LIMIT $4"
    );
    let after: &[u8] = after.map_or(&[], |after| after);
    let params = [datastore.into(), tag.into(), after.into(), limit.into()];
    Version::from_rows(tx.query(sql, &params).await?)
}
