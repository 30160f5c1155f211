//! Committed versions and delete markers, and the debts of their manifests.

use core::ops::Range;

use bytes::Bytes;

use crate::datastores::Change;
use crate::segments::segment_columns;
use crate::transaction::{Param, Row, Transaction};
use crate::{
    Catalog, CatalogError, DatastoreId, Key, Segment, VersionId, catalog::Reach, garbage, removals,
    spent,
};

/// A committed version, or a delete marker.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Version {
    /// Where it is.
    pub datastore: DatastoreId,
    /// The object that it is a version of.
    pub key: Key,
    /// Its id.
    pub id: VersionId,
    /// Its place among all that happened in the datastore; the greatest of a key is current.
    pub number: u64,
    /// Bytes of the object.
    pub size: u64,
    /// When its PUT or upload began; for a marker, when the object was deleted.
    pub created_ms: u64,
    /// The policy that its segments are coded by; empty for a marker.
    pub policy: String,
    /// The version of that policy; 0 for a marker.
    pub policy_version: u32,
    /// Whether it says that there is no object.
    pub is_marker: bool,
    /// Whether no later version of the key is there.
    pub is_current: bool,
    /// The manifest's head, sealed.
    pub head: Bytes,
}

impl Catalog {
    /// The key's object: its latest version, if that is no marker.
    pub async fn current(
        &self,
        datastore: DatastoreId,
        key: &Key,
    ) -> Result<Option<Version>, CatalogError> {
        self.read(
            Reach::Point,
            (datastore, key.clone()),
            |tx, (datastore, key)| Box::pin(current(tx, datastore, key)),
        )
        .await
    }

    /// A version of a key, which may be a marker.
    pub async fn version(
        &self,
        datastore: DatastoreId,
        key: &Key,
        id: VersionId,
    ) -> Result<Option<Version>, CatalogError> {
        self.read(
            Reach::Point,
            (datastore, key.clone(), id),
            |tx, (datastore, key, id)| Box::pin(version(tx, datastore, key, id)),
        )
        .await
    }

    /// The version with this id, whatever it is of, and the body of its manifest: for work that begins with a segment or a debt.
    pub async fn version_by_id(
        &self,
        id: VersionId,
    ) -> Result<Option<(Version, Bytes)>, CatalogError> {
        self.read(Reach::Point, id, |tx, id| Box::pin(version_by_id(tx, id)))
            .await
    }

    /// The body of a version's manifest; empty for a marker.
    pub async fn body(&self, version: VersionId) -> Result<Option<Bytes>, CatalogError> {
        self.read(Reach::Point, version, |tx, version| {
            Box::pin(body(tx, version))
        })
        .await
    }

    /// What a GET needs, in one journey: the key's object, or this version of it (which may be a marker), its body, and its segments at
    /// these positions, in object order.
    pub async fn open_version(
        &self,
        datastore: DatastoreId,
        key: &Key,
        version: Option<VersionId>,
        segments: Range<u32>,
    ) -> Result<Option<(Version, Bytes, Vec<Segment>)>, CatalogError> {
        self.read(
            Reach::Point,
            (datastore, key.clone(), version, segments),
            |tx, (datastore, key, version, segments)| {
                Box::pin(open_version(tx, datastore, key, version.as_ref(), segments))
            },
        )
        .await
    }

    /// Notes that the manifests of these versions lie beside their fragments.
    pub async fn settle_manifests(&self, versions: &[VersionId]) -> Result<(), CatalogError> {
        self.write(versions.to_vec(), |tx, versions| {
            Box::pin(settle_manifests(tx, versions))
        })
        .await
    }

    /// Notes that a version's manifest has too few copies, unless the version is gone.
    pub async fn owe_manifest(&self, version: VersionId) -> Result<(), CatalogError> {
        self.write(version, |tx, version| {
            let sql = "INSERT INTO manifest_debt (version) SELECT id FROM version WHERE id = $1 ON CONFLICT DO NOTHING";
            Box::pin(async move {
                tx.execute(sql, &[version.into()]).await?;
                Ok(())
            })
        })
        .await
    }

    /// At most `limit` versions, by id, those after `after`, whose manifests have still to be written beside their fragments.
    pub async fn manifest_debts(
        &self,
        after: Option<VersionId>,
        limit: usize,
    ) -> Result<Vec<VersionId>, CatalogError> {
        self.read(Reach::Scan, (after, limit), |tx, (after, limit)| {
            Box::pin(manifest_debts(tx, after.as_ref(), *limit))
        })
        .await
    }
}

/// The columns of a version but for whether it is current, in the order of [`Version::from_row`].
macro_rules! version_columns {
    ($is_current:expr) => {
        concat!(
            "v.datastore, v.key, v.id, v.number, v.size, v.created_ms, v.policy, v.policy_version, v.is_marker, ",
            $is_current,
            ", v.head"
        )
    };
    () => {
        version_columns!(
            "CASE WHEN EXISTS (SELECT 1 FROM version w WHERE w.datastore = v.datastore AND w.key = v.key \
                AND w.number > v.number) THEN 0 ELSE 1 END"
        )
    };
}
pub(crate) use version_columns;

impl Version {
    /// Reads the columns of [`version_columns`].
    pub(crate) fn from_row(row: &mut Row) -> Result<Self, CatalogError> {
        Ok(Self {
            datastore: row.take()?,
            key: row.take()?,
            id: row.take()?,
            number: row.take()?,
            size: row.take()?,
            created_ms: row.take()?,
            policy: row.take()?,
            policy_version: row.take()?,
            is_marker: row.take()?,
            is_current: row.take()?,
            head: row.take()?,
        })
    }

    pub(crate) fn from_rows(rows: Vec<Row>) -> Result<Vec<Self>, CatalogError> {
        rows.into_iter()
            .map(|mut row| Self::from_row(&mut row))
            .collect()
    }
}

async fn current(
    tx: &mut dyn Transaction,
    datastore: &DatastoreId,
    key: &Key,
) -> Result<Option<Version>, CatalogError> {
    let sql = concat!(
        "SELECT ",
        version_columns!("1"),
        " FROM version v WHERE v.datastore = $1 AND v.key = $2 ORDER BY v.number DESC LIMIT 1"
    );
    let rows = tx.query(sql, &[datastore.into(), key.into()]).await?;
    let latest = Version::from_rows(rows)?.pop();
    Ok(latest.filter(|version| !version.is_marker))
}

async fn version(
    tx: &mut dyn Transaction,
    datastore: &DatastoreId,
    key: &Key,
    id: &VersionId,
) -> Result<Option<Version>, CatalogError> {
    let sql = concat!(
        "SELECT ",
        version_columns!(),
        " FROM version v WHERE v.id = $3 AND v.datastore = $1 AND v.key = $2"
    );
    let rows = tx
        .query(sql, &[datastore.into(), key.into(), id.into()])
        .await?;
    Ok(Version::from_rows(rows)?.pop())
}

pub(crate) async fn version_by_id(
    tx: &mut dyn Transaction,
    id: &VersionId,
) -> Result<Option<(Version, Bytes)>, CatalogError> {
    let sql = concat!(
        "SELECT ",
        version_columns!(),
        ", v.body FROM version v WHERE v.id = $1"
    );
    let mut rows = tx.query(sql, &[id.into()]).await?;
    let Some(mut row) = rows.pop() else {
        return Ok(None);
    };
    Ok(Some((Version::from_row(&mut row)?, row.take()?)))
}

async fn body(
    tx: &mut dyn Transaction,
    version: &VersionId,
) -> Result<Option<Bytes>, CatalogError> {
    let sql = "SELECT body FROM version WHERE id = $1";
    let mut rows = tx.query(sql, &[version.into()]).await?;
    rows.pop().map(|mut row| row.take()).transpose()
}

/// A version and its segments in one statement: first a row with the version and without a segment, then the other way round.
macro_rules! select_opened {
    ($id:literal) => {
        concat!(
            "SELECT -1, ",
            version_columns!(),
            ", v.body, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL FROM version v \
                WHERE v.datastore = $1 AND v.key = $2 AND v.id = ",
            $id,
            " UNION ALL SELECT s.position, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, ",
            segment_columns!(),
            " FROM segment s WHERE s.position >= $3 AND s.position < $4 AND s.version = ",
            $id,
            " ORDER BY 1"
        )
    };
}

/// How many columns of [`select_opened`] are a version's.
const OPENED_VERSION_COLUMNS: usize = 12;

async fn open_version(
    tx: &mut dyn Transaction,
    datastore: &DatastoreId,
    key: &Key,
    version: Option<&VersionId>,
    range: &Range<u32>,
) -> Result<Option<(Version, Bytes, Vec<Segment>)>, CatalogError> {
    let latest = select_opened!(
        "(SELECT w.id FROM version w WHERE w.datastore = $1 AND w.key = $2 ORDER BY w.number DESC LIMIT 1)"
    );
    let one = select_opened!("$5");
    let mut params = vec![
        datastore.into(),
        key.into(),
        range.start.into(),
        range.end.into(),
    ];
    params.extend(version.map(Param::from));
    let sql = if version.is_some() { one } else { latest };
    let mut rows = tx.query(sql, &params).await?.into_iter();

    let Some(mut row) = rows.next().filter(|row| row.is_integer(-1)) else {
        return Ok(None);
    };
    row.skip(1);
    let found = Version::from_row(&mut row)?;
    if found.is_marker && version.is_none() {
        return Ok(None);
    }
    let body = row.take()?;
    let segments = rows.map(|mut row| {
        row.skip(1 + OPENED_VERSION_COLUMNS);
        Segment::from_row(&mut row)
    });
    Ok(Some((found, body, segments.collect::<Result<_, _>>()?)))
}

/// A row of the table, about to be written.
pub(crate) struct NewVersion<'a> {
    pub(crate) id: &'a VersionId,
    pub(crate) datastore: &'a DatastoreId,
    pub(crate) key: &'a Key,
    pub(crate) number: u64,
    pub(crate) size: u64,
    pub(crate) created_ms: u64,
    pub(crate) policy: &'a str,
    pub(crate) policy_version: u32,
    pub(crate) is_marker: bool,
    pub(crate) head: &'a Bytes,
    pub(crate) tags: &'a [u8],
    pub(crate) body: &'a [u8],
}

impl NewVersion<'_> {
    /// Writes it; returns the bytes of the fragments of its segments, which have their positions by now.
    ///
    /// # Errors
    /// `VersionExists` if its id is taken.
    pub(crate) async fn insert(&self, tx: &mut dyn Transaction) -> Result<i64, CatalogError> {
        let sql = "INSERT INTO version (id, datastore, key, number, size, created_ms, policy, policy_version, is_marker, head, tags, \
                body, stored_bytes) \
            VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, \
                (SELECT CAST(coalesce(sum(s.stored_bytes), 0) AS BIGINT) FROM segment s \
                    WHERE s.version = $1 AND s.position IS NOT NULL)) \
            ON CONFLICT DO NOTHING RETURNING stored_bytes";
        let params: [Param<'_>; 12] = [
            self.id.into(),
            self.datastore.into(),
            self.key.into(),
            self.number.into(),
            self.size.into(),
            self.created_ms.into(),
            self.policy.into(),
            self.policy_version.into(),
            self.is_marker.into(),
            self.head.into(),
            self.tags.into(),
            self.body.into(),
        ];
        let mut rows = tx.query(sql, &params).await?;
        rows.pop().ok_or(CatalogError::VersionExists)?.take()
    }
}

/// Removes all versions of a key, or the one given, with their debts; their segments become garbage due at `due_ms`, their ids are used up,
/// and a removal says so. Returns their ids, by number, and what that takes from the sums. The caller sees to what is current then.
pub(crate) async fn remove(
    tx: &mut dyn Transaction,
    datastore: &DatastoreId,
    key: &Key,
    only: Option<&VersionId>,
    due_ms: u64,
) -> Result<(Vec<VersionId>, Change), CatalogError> {
    let all = "DELETE FROM version WHERE datastore = $1 AND key = $2 \
        RETURNING id, number, size, stored_bytes, coalesce(manifest, id)";
    let one = "DELETE FROM version WHERE datastore = $1 AND key = $2 AND id = $3 \
        RETURNING id, number, size, stored_bytes, coalesce(manifest, id)";
    let mut params = vec![datastore.into(), key.into()];
    params.extend(only.map(Param::from));
    let sql = if only.is_some() { one } else { all };

    let mut change = Change::default();
    let mut removed: Vec<(u64, VersionId, VersionId)> = Vec::new();
    for mut row in tx.query(sql, &params).await? {
        let (id, number) = (row.take()?, row.take()?);
        change.versions -= 1;
        change.bytes -= row.take::<i64>()?;
        change.stored_bytes -= row.take::<i64>()?;
        removed.push((number, id, row.take()?));
    }
    removed.sort_unstable();
    let Some(&(last_number, ..)) = removed.last() else {
        return Ok((Vec::new(), change));
    };
    let ids: Vec<_> = removed.iter().map(|it| it.1).collect();
    let manifests: Vec<_> = removed.iter().map(|it| it.2).collect();
    for id in &ids {
        garbage::discard(tx, id, due_ms).await?;
    }
    settle_manifests(tx, &ids).await?;
    spent::spend(tx, &ids, due_ms).await?;
    spent::spend(tx, &manifests, due_ms).await?;
    removals::put(tx, datastore, key, last_number, &manifests, due_ms).await?;
    Ok((ids, change))
}

async fn settle_manifests(
    tx: &mut dyn Transaction,
    versions: &[VersionId],
) -> Result<(), CatalogError> {
    let sql = "DELETE FROM manifest_debt WHERE version = $1";
    let sets: Vec<Vec<Param<'_>>> = versions.iter().map(|id| vec![id.into()]).collect();
    tx.execute_each(sql, &sets).await?;
    Ok(())
}

async fn manifest_debts(
    tx: &mut dyn Transaction,
    after: Option<&VersionId>,
    limit: usize,
) -> Result<Vec<VersionId>, CatalogError> {
    let sql = "SELECT version FROM manifest_debt WHERE version > $1 ORDER BY version LIMIT $2";
    let after: &[u8] = after.map_or(&[], |after| &after.0);
    let rows = tx.query(sql, &[after.into(), limit.into()]).await?;
    rows.into_iter().map(|mut row| row.take()).collect()
}
