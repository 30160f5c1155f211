//! Garbage: segments that belong to nothing any more, until their fragments are deleted.
//!
//! Invariant: a segment is garbage exactly if it has a due time; it loses its position and all ways back in the same transaction.

use crate::segments::segment_columns;
use crate::transaction::{Param, Transaction};
use crate::{
    Catalog, CatalogError, Fragment, Segment, SegmentId, VersionId, catalog::Reach, jobs::draw_id,
};

impl Catalog {
    /// At most `limit` segments whose fragments may be deleted now, the longest due first; those of before a move only once the locations hold
    /// what the move made. They are handed out until they are forgotten.
    pub async fn garbage(&self, now_ms: u64, limit: usize) -> Result<Vec<Segment>, CatalogError> {
        self.read(Reach::Scan, (now_ms, limit), |tx, (now_ms, limit)| {
            Box::pin(garbage(tx, *now_ms, *limit))
        })
        .await
    }

    /// Makes garbage of fragments that lie at locations and belong to nothing, due at `due_ms`.
    pub async fn discard_fragments(
        &self,
        fragments: Vec<Fragment>,
        due_ms: u64,
    ) -> Result<(), CatalogError> {
        self.write((fragments, due_ms), |tx, (fragments, due_ms)| {
            Box::pin(discard_fragments(tx, fragments, *due_ms))
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

/// Makes garbage of single fragments, in a row of their own. Does nothing if there are none.
pub(crate) async fn discard_fragments(
    tx: &mut dyn Transaction,
    fragments: &[Fragment],
    due_ms: u64,
) -> Result<(), CatalogError> {
    if fragments.is_empty() {
        return Ok(());
    }
    // No segment that was drawn at random has such an id.
    let mut id = SegmentId([0xff; 32]);
    id.0[24..].copy_from_slice(&draw_id(tx).await?.to_be_bytes());
    let packed = Fragment::pack(fragments)?;
    let sql = "INSERT INTO segment (id, version, part, place, position, due_ms, is_owed, plain_bytes, fragment_bytes, stored_bytes, \
            fragments, record) \
        VALUES ($1, $2, 0, 0, NULL, $3, 0, 0, 0, 0, $4, $2)";
    let of_none: &[u8] = &[0; 16];
    let params: [Param<'_>; 4] = [
        (&id).into(),
        of_none.into(),
        due_ms.into(),
        (&*packed).into(),
    ];
    tx.execute(sql, &params).await?;
    Ok(())
}

/// Makes garbage of all live segments of a version, due at `due_ms`.
pub(crate) async fn discard(
    tx: &mut dyn Transaction,
    version: &VersionId,
    due_ms: u64,
) -> Result<(), CatalogError> {
    let sql =
        "UPDATE segment SET due_ms = $2, position = NULL WHERE version = $1 AND due_ms IS NULL";
    tx.execute(sql, &[version.into(), due_ms.into()]).await?;
    Ok(())
}

/// Makes garbage of the live segments of a version that have no position.
pub(crate) async fn discard_unplaced(
    tx: &mut dyn Transaction,
    version: &VersionId,
    due_ms: u64,
) -> Result<(), CatalogError> {
    let sql = "UPDATE segment SET due_ms = $2 \
        WHERE version = $1 AND position IS NULL AND due_ms IS NULL";
    tx.execute(sql, &[version.into(), due_ms.into()]).await?;
    Ok(())
}

async fn garbage(
    tx: &mut dyn Transaction,
    now_ms: u64,
    limit: usize,
) -> Result<Vec<Segment>, CatalogError> {
    let sql = concat!(
        "SELECT ",
        segment_columns!(),
        " FROM segment s WHERE s.due_ms IS NOT NULL AND s.due_ms <= $1 \
            AND NOT EXISTS (SELECT 1 FROM manifest_debt d JOIN version v ON v.id = d.version \
                WHERE d.version = s.version AND v.placed > 0) \
            ORDER BY s.due_ms, s.id LIMIT $2"
    );
    Segment::from_rows(tx.query(sql, &[now_ms.into(), limit.into()]).await?)
}

async fn forget_segments(
    tx: &mut dyn Transaction,
    segments: &[SegmentId],
) -> Result<(), CatalogError> {
    let sets: Vec<Vec<Param<'_>>> = segments.iter().map(|id| vec![id.into()]).collect();
    let sql = "DELETE FROM segment WHERE id = $1 AND due_ms IS NOT NULL";
    tx.execute_each(sql, &sets).await?;
    Ok(())
}
