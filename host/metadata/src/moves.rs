//! Moves: a version's content coded anew, by another policy, while it can be read.
//!
//! Invariant: a version has the segments of one placing; those of the one before become garbage in the transaction that makes the new ones
//! its own. A placing is an intent, so that what it wrote is garbage if it is never committed.

use core::ops::Range;
use std::collections::BTreeMap;

use bytes::Bytes;

use crate::datastores::Change;
use crate::segments::segment_columns;
use crate::transaction::{Param, Transaction};
use crate::versions::version_columns;
use crate::{
    Catalog, CatalogError, DatastoreId, Segment, SegmentId, Version, VersionId, catalog::Reach,
    datastores, garbage, removals, spent, versions,
};

/// How a version's content came to lie where it does, and whether it is read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Placing {
    /// What its manifest's copies are named by.
    pub manifest: VersionId,
    /// Of several placings of a version the greatest counts.
    pub number: u64,
    /// The policy from which it was moved since it was not read, if it was.
    pub home: Option<String>,
    /// When it was read, as far as that was noted; 0 for never.
    pub read_ms: u64,
}

/// A version whose content was coded anew.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Move {
    /// The version.
    pub version: VersionId,
    /// The placing: an intent, under which the new segments were stored.
    pub placing: VersionId,
    /// The placing that it had when the move began.
    pub before: VersionId,
    /// The policy to which it goes back when it is read again.
    pub home: Option<String>,
    /// The manifest's head, sealed.
    pub head: Bytes,
    /// The manifest's body, sealed.
    pub body: Bytes,
    /// The new segments, in object order.
    pub segments: Vec<SegmentId>,
    /// The time now: the intent must be live.
    pub now_ms: u64,
    /// When what becomes garbage may be deleted.
    pub garbage_due_ms: u64,
}

/// What a segment is of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Origin {
    /// The datastore.
    pub datastore: DatastoreId,
    /// The policy that its fragments were made by,
    pub policy: String,
    /// and which version of it.
    pub policy_version: u32,
}

/// All that the copies of a version's manifest say, as it was at one moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Described {
    /// The version, or marker.
    pub version: Version,
    /// The body of its manifest; empty for a marker.
    pub body: Bytes,
    /// How it lies.
    pub placing: Placing,
    /// Its segments, in object order.
    pub segments: Vec<SegmentId>,
}

impl Catalog {
    /// All that the copies of a version's manifest say; `None` if there is no such version.
    pub async fn describe_version(
        &self,
        version: VersionId,
    ) -> Result<Option<Described>, CatalogError> {
        self.read(Reach::Scan, version, |tx, version| {
            Box::pin(describe_version(tx, version))
        })
        .await
    }

    /// How a version's content lies; `None` if there is no such version.
    pub async fn placing(&self, version: VersionId) -> Result<Option<Placing>, CatalogError> {
        self.read(Reach::Point, version, |tx, version| {
            Box::pin(placing(tx, version))
        })
        .await
    }

    /// Gives a version the segments of a placing, and the policy that these were coded by, and ends the placing's intent. Returns `false`,
    /// and makes garbage of the segments, if the version is gone or was placed otherwise by now.
    ///
    /// # Errors
    /// `IntentGone` if the intent has ended or its lease has passed; `SegmentsChanged`.
    pub async fn commit_move(&self, it: Move) -> Result<bool, CatalogError> {
        self.write(it, |tx, it| Box::pin(commit_move(tx, it))).await
    }

    /// At most `limit` committed versions and markers with ids within `range`, by id; with the bodies of their manifests.
    pub async fn versions_within(
        &self,
        range: Range<Vec<u8>>,
        limit: usize,
    ) -> Result<Vec<(Version, Bytes)>, CatalogError> {
        self.read(Reach::Scan, (range, limit), |tx, (range, limit)| {
            Box::pin(versions_within(tx, range, *limit))
        })
        .await
    }

    /// At most `limit` segments of committed versions, and of uploads that are under way, with ids within `range`, by id.
    pub async fn segments_within(
        &self,
        range: Range<Vec<u8>>,
        limit: usize,
    ) -> Result<Vec<Segment>, CatalogError> {
        self.read(Reach::Scan, (range, limit), |tx, (range, limit)| {
            Box::pin(segments_within(tx, range, *limit))
        })
        .await
    }

    /// The segments with these ids, whatever they belong to, garbage too, in no order; and whether each is a committed version's.
    pub async fn segments_by_id(
        &self,
        ids: Vec<SegmentId>,
    ) -> Result<Vec<(Segment, bool)>, CatalogError> {
        self.read(Reach::Scan, ids, |tx, ids| {
            Box::pin(segments_by_id(tx, ids))
        })
        .await
    }

    /// What these versions are, as far as their segments need to know: of uploads that are under way, too; nothing of what is gone.
    pub async fn origins(
        &self,
        mut versions: Vec<VersionId>,
    ) -> Result<BTreeMap<VersionId, Origin>, CatalogError> {
        versions.sort_unstable();
        versions.dedup();
        let reach = match versions.len() {
            1 => Reach::Point,
            _ => Reach::Scan,
        };
        self.read(reach, versions, |tx, versions| {
            Box::pin(origins(tx, versions))
        })
        .await
    }

    /// Those of these manifests that are no version's, nor that of one which is gone and whose manifests may still be there.
    pub async fn unknown_manifests(
        &self,
        manifests: Vec<VersionId>,
    ) -> Result<Vec<VersionId>, CatalogError> {
        self.read(Reach::Scan, manifests, |tx, manifests| {
            Box::pin(unknown_manifests(tx, manifests))
        })
        .await
    }

    /// Those of these manifests that versions have now, or had before a move whose own manifest has too few copies yet: neither of versions that
    /// are gone, nor of where some have lain before.
    pub async fn manifests_in_use(
        &self,
        manifests: Vec<VersionId>,
    ) -> Result<Vec<VersionId>, CatalogError> {
        self.read(Reach::Scan, manifests, |tx, manifests| {
            Box::pin(manifests_in_use(tx, manifests))
        })
        .await
    }

    /// Notes when versions were read.
    pub async fn note_reads(&self, reads: Vec<(VersionId, u64)>) -> Result<(), CatalogError> {
        self.write(reads, |tx, reads| Box::pin(note_reads(tx, reads)))
            .await
    }
}

async fn placing(
    tx: &mut dyn Transaction,
    version: &VersionId,
) -> Result<Option<Placing>, CatalogError> {
    let sql = "SELECT coalesce(manifest, id), CASE WHEN placed > 0 THEN placed ELSE number END, home, read_ms \
        FROM version WHERE id = $1";
    let mut rows = tx.query(sql, &[version.into()]).await?;
    let Some(mut row) = rows.pop() else {
        return Ok(None);
    };
    Ok(Some(Placing {
        manifest: row.take()?,
        number: row.take()?,
        home: row.optional()?,
        read_ms: row.take()?,
    }))
}

async fn describe_version(
    tx: &mut dyn Transaction,
    id: &VersionId,
) -> Result<Option<Described>, CatalogError> {
    let Some((version, body)) = versions::version_by_id(tx, id).await? else {
        return Ok(None);
    };
    let Some(placing) = placing(tx, id).await? else {
        return Ok(None);
    };
    let sql =
        "SELECT id FROM segment WHERE version = $1 AND position IS NOT NULL ORDER BY position";
    let rows = tx.query(sql, &[id.into()]).await?;
    let segments = rows.into_iter().map(|mut row| row.take());
    Ok(Some(Described {
        version,
        body,
        placing,
        segments: segments.collect::<Result<_, _>>()?,
    }))
}

/// A placing that has just ended since it is being committed.
struct Ended {
    datastore: DatastoreId,
    number: u64,
    policy: String,
    policy_version: u32,
}

async fn end(tx: &mut dyn Transaction, it: &Move) -> Result<Ended, CatalogError> {
    let sql = "SELECT datastore FROM intent WHERE version = $1";
    let mut rows = tx.query(sql, &[(&it.placing).into()]).await?;
    let datastore: DatastoreId = rows.pop().ok_or(CatalogError::IntentGone)?.take()?;
    datastores::lock(tx, &datastore).await?;
    let sql = "DELETE FROM intent WHERE version = $1 AND lease_until_ms > $2 \
        RETURNING number, policy, policy_version";
    let params = [(&it.placing).into(), it.now_ms.into()];
    let mut rows = tx.query(sql, &params).await?;
    let mut row = rows.pop().ok_or(CatalogError::IntentGone)?;
    Ok(Ended {
        datastore,
        number: row.take()?,
        policy: row.take()?,
        policy_version: row.take()?,
    })
}

async fn commit_move(tx: &mut dyn Transaction, it: &Move) -> Result<bool, CatalogError> {
    let ended = end(tx, it).await?;
    let sql = "SELECT key, stored_bytes, coalesce(manifest, id) FROM version \
        WHERE id = $1 AND datastore = $2 /* FOR UPDATE */";
    let params = [(&it.version).into(), (&ended.datastore).into()];
    let found = tx.query(sql, &params).await?.pop();
    let Some(mut row) = found else {
        garbage::discard(tx, &it.placing, it.garbage_due_ms).await?;
        return Ok(false);
    };
    let key: Bytes = row.take()?;
    let stored_before: i64 = row.take()?;
    let manifest_before: VersionId = row.take()?;
    if manifest_before != it.before {
        garbage::discard(tx, &it.placing, it.garbage_due_ms).await?;
        return Ok(false);
    }

    take_over_segments(tx, it).await?;
    let sql = "UPDATE version SET policy = $2, policy_version = $3, head = $4, body = $5, manifest = $6, placed = $7, \
            home = $8, stored_bytes = (SELECT CAST(coalesce(sum(s.stored_bytes), 0) AS BIGINT) FROM segment s \
                WHERE s.version = $1 AND s.position IS NOT NULL) \
        WHERE id = $1 RETURNING stored_bytes";
    let params: [Param<'_>; 8] = [
        (&it.version).into(),
        (&*ended.policy).into(),
        ended.policy_version.into(),
        (&it.head).into(),
        (&it.body).into(),
        (&it.placing).into(),
        ended.number.into(),
        it.home.as_deref().into(),
    ];
    let mut rows = tx.query(sql, &params).await?;
    let mut row = rows
        .pop()
        .ok_or_else(|| CatalogError::Corrupt("a locked version is gone".to_owned()))?;
    let change = Change {
        stored_bytes: row.take::<i64>()? - stored_before,
        ..Change::default()
    };
    change.apply(tx, &ended.datastore).await?;
    let sql = "INSERT INTO manifest_debt (version) VALUES ($1) ON CONFLICT DO NOTHING";
    tx.execute(sql, &[(&it.version).into()]).await?;
    // The copies of the manifest before go like those of a version that is gone; of the key nothing is removed.
    let due_ms = it.garbage_due_ms;
    removals::put(tx, &ended.datastore, &key, 0, &[manifest_before], due_ms).await?;
    spent::spend(tx, &[manifest_before], due_ms).await?;
    Ok(true)
}

/// The placing's segments become the version's, and its own garbage.
async fn take_over_segments(tx: &mut dyn Transaction, it: &Move) -> Result<(), CatalogError> {
    let sql =
        "SELECT id FROM segment WHERE version = $1 AND position IS NOT NULL ORDER BY position";
    let rows = tx.query(sql, &[(&it.placing).into()]).await?;
    let placed: Vec<SegmentId> = rows
        .into_iter()
        .map(|mut row| row.take())
        .collect::<Result<_, _>>()?;
    if placed != it.segments {
        return Err(CatalogError::SegmentsChanged);
    }
    garbage::discard(tx, &it.version, it.garbage_due_ms).await?;
    let sql = "UPDATE segment SET version = $2 WHERE version = $1 AND position IS NOT NULL";
    tx.execute(sql, &[(&it.placing).into(), (&it.version).into()])
        .await?;
    garbage::discard(tx, &it.placing, it.garbage_due_ms).await
}

async fn versions_within(
    tx: &mut dyn Transaction,
    range: &Range<Vec<u8>>,
    limit: usize,
) -> Result<Vec<(Version, Bytes)>, CatalogError> {
    let sql = concat!(
        "SELECT ",
        version_columns!(),
        ", v.body FROM version v WHERE v.id > $1 AND v.id < $2 ORDER BY v.id LIMIT $3"
    );
    let params = [(&*range.start).into(), (&*range.end).into(), limit.into()];
    let rows = tx.query(sql, &params).await?.into_iter();
    rows.map(|mut row| Ok((Version::from_row(&mut row)?, row.take()?)))
        .collect()
}

async fn segments_within(
    tx: &mut dyn Transaction,
    range: &Range<Vec<u8>>,
    limit: usize,
) -> Result<Vec<Segment>, CatalogError> {
    let sql = concat!(
        "SELECT ",
        segment_columns!(),
        " FROM segment s WHERE s.id > $1 AND s.id < $2 AND s.due_ms IS NULL \
            AND s.position IS NOT NULL AND (EXISTS (SELECT 1 FROM version v WHERE v.id = s.version) \
                OR EXISTS (SELECT 1 FROM intent i WHERE i.version = s.version AND i.upload IS NOT NULL)) \
            ORDER BY s.id LIMIT $3"
    );
    let params = [(&*range.start).into(), (&*range.end).into(), limit.into()];
    Segment::from_rows(tx.query(sql, &params).await?)
}

async fn segments_by_id(
    tx: &mut dyn Transaction,
    ids: &[SegmentId],
) -> Result<Vec<(Segment, bool)>, CatalogError> {
    let sql = concat!(
        "SELECT CASE WHEN s.due_ms IS NULL AND EXISTS (SELECT 1 FROM version v WHERE v.id = s.version) THEN 1 ELSE 0 END, ",
        segment_columns!(),
        " FROM segment s WHERE s.id = $1"
    );
    let mut found = Vec::with_capacity(ids.len());
    for id in ids {
        for mut row in tx.query(sql, &[id.into()]).await? {
            let is_committed = row.take()?;
            found.push((Segment::from_row(&mut row)?, is_committed));
        }
    }
    Ok(found)
}

async fn origins(
    tx: &mut dyn Transaction,
    versions: &[VersionId],
) -> Result<BTreeMap<VersionId, Origin>, CatalogError> {
    let sql = "SELECT datastore, policy, policy_version FROM version WHERE id = $1 \
        UNION ALL SELECT datastore, policy, policy_version FROM intent WHERE version = $1 AND upload IS NOT NULL";
    let mut origins = BTreeMap::new();
    for version in versions {
        if let Some(mut row) = tx.query(sql, &[version.into()]).await?.into_iter().next() {
            let origin = Origin {
                datastore: row.take()?,
                policy: row.take()?,
                policy_version: row.take()?,
            };
            origins.insert(*version, origin);
        }
    }
    Ok(origins)
}

async fn unknown_manifests(
    tx: &mut dyn Transaction,
    manifests: &[VersionId],
) -> Result<Vec<VersionId>, CatalogError> {
    let sql = "SELECT 1 FROM version WHERE id = $1 OR manifest = $1 \
        UNION ALL SELECT 1 FROM spent WHERE id = $1";
    let mut unknown = Vec::new();
    for manifest in manifests {
        if tx.query(sql, &[manifest.into()]).await?.is_empty() {
            unknown.push(*manifest);
        }
    }
    if unknown.is_empty() {
        return Ok(unknown);
    }
    // Locations that were away for long hold what is forgotten otherwise.
    for mut row in tx.query("SELECT record FROM removal", &[]).await? {
        let record: Bytes = row.take()?;
        unknown.retain(|manifest| !record.as_chunks().0.contains(&manifest.0));
    }
    Ok(unknown)
}

async fn manifests_in_use(
    tx: &mut dyn Transaction,
    manifests: &[VersionId],
) -> Result<Vec<VersionId>, CatalogError> {
    let sql = "SELECT 1 FROM version WHERE id = $1 AND manifest IS NULL \
        UNION ALL SELECT 1 FROM version WHERE manifest = $1";
    let mut in_use = Vec::new();
    for manifest in manifests {
        if !tx.query(sql, &[manifest.into()]).await?.is_empty() {
            in_use.push(*manifest);
        }
    }
    let sql = "SELECT record FROM removal WHERE number = 0 AND EXISTS (SELECT 1 FROM manifest_debt d JOIN version v ON v.id = d.version \
        WHERE v.datastore = removal.datastore AND v.key = removal.key AND v.placed > 0)";
    for mut row in tx.query(sql, &[]).await? {
        let record: Bytes = row.take()?;
        let before = record.as_chunks().0.iter().map(|it| VersionId(*it));
        in_use.extend(before.filter(|it| manifests.contains(it)));
    }
    Ok(in_use)
}

async fn note_reads(
    tx: &mut dyn Transaction,
    reads: &[(VersionId, u64)],
) -> Result<(), CatalogError> {
    let sets: Vec<Vec<Param<'_>>> = reads
        .iter()
        .map(|(version, read_ms)| vec![version.into(), (*read_ms).into()])
        .collect();
    let sql = "UPDATE version SET read_ms = $2 WHERE id = $1 AND read_ms < $2";
    tx.execute_each(sql, &sets).await?;
    Ok(())
}
