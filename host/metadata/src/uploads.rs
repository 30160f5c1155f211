//! Uploads: intents whose object comes in numbered parts.
//!
//! Invariant: the segments of the parts that an upload has now are those whose position is in the part's range; see [`segments`].

use std::collections::BTreeMap;

use bytes::Bytes;

use crate::intents::select_intent;
use crate::transaction::{Param, Row, Transaction};
use crate::{
    Catalog, CatalogError, DatastoreId, Intent, Key, SegmentId, VersionId, catalog::Reach, intents,
    keys, segments,
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
    /// What the trusted program says of it, sealed; opaque here.
    pub record: Bytes,
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

async fn uploads(
    tx: &mut dyn Transaction,
    datastore: &DatastoreId,
    prefix: &[u8],
    after: Option<&(Key, VersionId)>,
    limit: usize,
) -> Result<Vec<Intent>, CatalogError> {
    let mut found = Vec::new();
    let mut from = prefix.to_vec();
    if let Some((key, version)) = after {
        let of_key = select_intent!(
            "WHERE datastore = $1 AND key = $2 AND version > $3 AND upload IS NOT NULL \
            ORDER BY version LIMIT $4"
        );
        let params = [datastore.into(), key.into(), version.into(), limit.into()];
        if key.starts_with(prefix) {
            found = tx.query(of_key, &params).await?;
        }
        from = from.max(keys::after(key));
    }
    let beyond = select_intent!(
        "WHERE datastore = $1 AND key >= $2 AND key < $3 AND upload IS NOT NULL \
        ORDER BY key, version LIMIT $4"
    );
    let left = limit - found.len();
    let end = keys::end(prefix);
    let params = [
        datastore.into(),
        (&*from).into(),
        (&*end).into(),
        left.into(),
    ];
    if left > 0 {
        found.extend(tx.query(beyond, &params).await?);
    }
    found.into_iter().map(Intent::from_row).collect()
}

async fn put_part(
    tx: &mut dyn Transaction,
    upload: &VersionId,
    part: &Part,
    segments: &[SegmentId],
    (lease_until_ms, now_ms): (u64, u64),
    garbage_due_ms: u64,
) -> Result<(), CatalogError> {
    if part.number == 0 || part.number > PARTS_MAX {
        return Err(CatalogError::Invalid("a part has a number from 1 to 10000"));
    }
    if !intents::keep(tx, upload, lease_until_ms, now_ms).await? {
        return Err(CatalogError::IntentGone);
    }
    replace_part(tx, upload, part, segments, garbage_due_ms).await?;
    let sql = "INSERT INTO part (upload, number, size, record, created_ms) VALUES ($1, $2, $3, $4, $5) \
        ON CONFLICT (upload, number) DO UPDATE \
        SET size = excluded.size, record = excluded.record, created_ms = excluded.created_ms";
    let params: [Param<'_>; 5] = [
        upload.into(),
        part.number.into(),
        part.size.into(),
        (&*part.record).into(),
        part.created_ms.into(),
    ];
    tx.execute(sql, &params).await?;
    Ok(())
}

/// Puts `segments` into the range of the part's positions; those that were there and are not among them become garbage.
async fn replace_part(
    tx: &mut dyn Transaction,
    upload: &VersionId,
    part: &Part,
    segments: &[SegmentId],
    garbage_due_ms: u64,
) -> Result<(), CatalogError> {
    let range = segments::part_positions(part.number);
    if segments.len() as u64 > range.end - range.start {
        return Err(CatalogError::Invalid("a part has 2^20 segments at most"));
    }
    let clear = "UPDATE segment SET position = NULL \
        WHERE version = $1 AND position >= $2 AND position < $3 RETURNING id";
    let params = [upload.into(), range.start.into(), range.end.into()];
    let rows = tx.query(clear, &params).await?;
    let before: Vec<SegmentId> = rows
        .into_iter()
        .map(|mut row| row.take())
        .collect::<Result<_, _>>()?;

    let place = "UPDATE segment SET position = $4 \
        WHERE id = $1 AND version = $2 AND part = $3 AND position IS NULL AND due_ms IS NULL";
    let sets: Vec<_> = range
        .zip(segments)
        .map(|(position, id)| {
            vec![
                id.into(),
                upload.into(),
                part.number.into(),
                position.into(),
            ]
        })
        .collect();
    if tx.execute_each(place, &sets).await? < segments.len() as u64 {
        return Err(CatalogError::NoSuchSegment);
    }

    let discard = "UPDATE segment SET due_ms = $2 WHERE id = $1 AND position IS NULL";
    let sets: Vec<_> = before
        .iter()
        .map(|id| vec![id.into(), garbage_due_ms.into()])
        .collect();
    tx.execute_each(discard, &sets).await?;
    Ok(())
}

/// Makes the chosen parts of an upload its object: their segments get dense positions from 0. The segments of others lose theirs. Returns
/// the object's size.
pub(crate) async fn complete(
    tx: &mut dyn Transaction,
    upload: &VersionId,
    chosen: &[u32],
) -> Result<u64, CatalogError> {
    if chosen.is_empty() || !chosen.is_sorted_by(|one, next| one < next) {
        return Err(CatalogError::Invalid(
            "an upload is completed with at least one part, in ascending order",
        ));
    }
    let parts = parts(tx, upload, 0, PARTS_MAX as usize).await?;
    let unknown = |number: &&u32| {
        parts
            .binary_search_by_key(*number, |part| part.number)
            .is_err()
    };
    if let Some(&number) = chosen.iter().find(unknown) {
        return Err(CatalogError::NoSuchPart(number));
    }
    let counts = segments_by_part(tx, upload).await?;

    let mut size = 0;
    let mut placed = 0;
    let (mut cleared, mut moved) = (Vec::new(), Vec::new());
    for part in parts {
        let range = segments::part_positions(part.number);
        let bounds = vec![upload.into(), range.start.into(), range.end.into()];
        if chosen.binary_search(&part.number).is_err() {
            cleared.push(bounds);
            continue;
        }
        moved.push([bounds, vec![(range.start - placed).into()]].concat());
        placed += counts.get(&part.number).copied().unwrap_or(0);
        size += part.size;
    }
    let clear = "UPDATE segment SET position = NULL \
        WHERE version = $1 AND position >= $2 AND position < $3";
    tx.execute_each(clear, &cleared).await?;
    let shift = "UPDATE segment SET position = position - $4 \
        WHERE version = $1 AND position >= $2 AND position < $3";
    tx.execute_each(shift, &moved).await?;
    Ok(size)
}

/// How many segments each part of an upload has.
async fn segments_by_part(
    tx: &mut dyn Transaction,
    upload: &VersionId,
) -> Result<BTreeMap<u32, u64>, CatalogError> {
    let sql = "SELECT position / 1048576, count(*) FROM segment \
        WHERE version = $1 AND position IS NOT NULL GROUP BY position / 1048576";
    let rows = tx.query(sql, &[upload.into()]).await?;
    rows.into_iter()
        .map(|mut row| Ok((row.take()?, row.take()?)))
        .collect()
}

/// Forgets the parts of an upload that has ended.
pub(crate) async fn drop_parts(
    tx: &mut dyn Transaction,
    upload: &VersionId,
) -> Result<(), CatalogError> {
    let sql = "DELETE FROM part WHERE upload = $1";
    tx.execute(sql, &[upload.into()]).await?;
    Ok(())
}

async fn parts(
    tx: &mut dyn Transaction,
    upload: &VersionId,
    after: u32,
    limit: usize,
) -> Result<Vec<Part>, CatalogError> {
    let sql = "SELECT number, size, record, created_ms FROM part \
        WHERE upload = $1 AND number > $2 ORDER BY number LIMIT $3";
    let rows = tx
        .query(sql, &[upload.into(), after.into(), limit.into()])
        .await?;
    rows.into_iter().map(part_from_row).collect()
}

fn part_from_row(mut row: Row) -> Result<Part, CatalogError> {
    Ok(Part {
        number: row.take()?,
        size: row.take()?,
        record: row.take()?,
        created_ms: row.take()?,
    })
}
