//! Segments that were sent for a part of an upload, whether the part has them yet or not.

use crate::segments::segment_columns;
use crate::transaction::Transaction;
use crate::{Catalog, CatalogError, Segment, VersionId, catalog::Reach};

impl Catalog {
    /// Every segment that was added under a part's number and has not become garbage, in no order.
    pub async fn sent_segments(
        &self,
        upload: VersionId,
        part: u32,
    ) -> Result<Vec<Segment>, CatalogError> {
        self.read(Reach::Scan, (upload, part), |tx, (upload, part)| {
            Box::pin(sent(tx, upload, *part))
        })
        .await
    }
}

async fn sent(
    tx: &mut dyn Transaction,
    upload: &VersionId,
    part: u32,
) -> Result<Vec<Segment>, CatalogError> {
    let sql = concat!(
        "SELECT ",
        segment_columns!(),
        " FROM segment s WHERE s.version = $1 AND s.part = $2 AND s.due_ms IS NULL"
    );
    let rows = tx.query(sql, &[upload.into(), part.into()]).await?;
    rows.into_iter()
        .map(|mut row| Segment::from_row(&mut row))
        .collect()
}
