//! Intents: PUTs and uploads under way, each with a lease and the number drawn when it began.
//!
//! Invariants: a version id names an intent or a committed version, never both; the segments of an intent are no garbage while it is there,
//! and its row is the first thing that its end removes.

use bytes::Bytes;

use crate::transaction::{Param, Row, Transaction};
use crate::{
    Catalog, CatalogError, DatastoreId, Key, Segment, VersionId, catalog::Reach, datastores,
    garbage, keys, segments, spent, uploads,
};

/// A PUT, or an upload in parts, about to begin.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewIntent {
    /// The version that it may become.
    pub version: VersionId,
    /// Where it will be.
    pub datastore: DatastoreId,
    /// The object that it will be a version of.
    pub key: Key,
    /// The intent is live before this time, unless it is renewed.
    pub lease_until_ms: u64,
    /// For an upload in parts: sealed metadata that its completion needs. `None` for a plain PUT.
    pub upload: Option<Bytes>,
    /// The policy that its segments are coded by.
    pub policy: String,
    /// The version of that policy.
    pub policy_version: u32,
    /// When it begins.
    pub created_ms: u64,
}

/// A PUT, or an upload in parts, that has begun.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Intent {
    /// The version that it may become.
    pub version: VersionId,
    /// Where it will be.
    pub datastore: DatastoreId,
    /// The object that it will be a version of.
    pub key: Key,
    /// The intent is live before this time, unless it is renewed.
    pub lease_until_ms: u64,
    /// For an upload in parts: sealed metadata that its completion needs.
    pub upload: Option<Bytes>,
    /// The policy that its segments are coded by.
    pub policy: String,
    /// The version of that policy.
    pub policy_version: u32,
    /// When it began.
    pub created_ms: u64,
    /// Its place among all that happens in the datastore.
    pub number: u64,
}

impl Catalog {
    /// Notes that a version is about to be written, with its first segments and the names of their fragments; returns the number drawn
    /// from the datastore's counter.
    ///
    /// # Errors
    /// `VersionExists` if the version has been committed, also if it is gone since, `Exists` if it has an intent already, `NoSuchDatastore`, `Invalid` for a key or
    /// name of impossible length.
    pub async fn begin(
        &self,
        intent: NewIntent,
        segments: &[Segment],
    ) -> Result<u64, CatalogError> {
        self.write((intent, segments.to_vec()), |tx, (intent, segments)| {
            Box::pin(begin(tx, intent, segments))
        })
        .await
    }

    /// Adds segments to a live intent and extends its lease. A further segment with the same part and index is a further attempt, which
    /// takes the place of the one before.
    ///
    /// # Errors
    /// `IntentGone` if the intent has ended or its lease has passed, `Exists` if a segment's id is taken.
    pub async fn add_segments(
        &self,
        version: VersionId,
        segments: &[Segment],
        lease_until_ms: u64,
        now_ms: u64,
    ) -> Result<(), CatalogError> {
        self.write(
            (version, segments.to_vec(), lease_until_ms, now_ms),
            |tx, (version, segments, lease_until_ms, now_ms)| {
                Box::pin(add_segments(
                    tx,
                    version,
                    segments,
                    *lease_until_ms,
                    *now_ms,
                ))
            },
        )
        .await
    }

    /// Extends the lease of a live intent; it never becomes shorter.
    ///
    /// # Errors
    /// `IntentGone`.
    pub async fn renew(
        &self,
        version: VersionId,
        lease_until_ms: u64,
        now_ms: u64,
    ) -> Result<(), CatalogError> {
        self.write(
            (version, lease_until_ms, now_ms),
            |tx, (version, lease_until_ms, now_ms)| {
                Box::pin(renew(tx, version, *lease_until_ms, *now_ms))
            },
        )
        .await
    }

    /// Ends an intent; its segments become garbage due at `due_ms`. Does nothing if there is no such intent.
    pub async fn abandon(&self, version: VersionId, due_ms: u64) -> Result<(), CatalogError> {
        self.write((version, due_ms), |tx, (version, due_ms)| {
            Box::pin(abandon(tx, version, *due_ms))
        })
        .await
    }

    /// Ends an intent whose client is told that the version will not be: like [`Self::abandon`], and the id is used up.
    pub async fn refuse(&self, version: VersionId, due_ms: u64) -> Result<(), CatalogError> {
        self.write((version, due_ms), |tx, (version, due_ms)| {
            Box::pin(refuse(tx, version, *due_ms))
        })
        .await
    }

    /// The intent of a version, also when its lease has passed.
    pub async fn intent(&self, version: VersionId) -> Result<Option<Intent>, CatalogError> {
        self.read(Reach::Point, version, |tx, version| {
            Box::pin(intent(tx, version))
        })
        .await
    }

    /// At most `limit` intents whose leases have passed, the longest expired first.
    pub async fn expired_intents(
        &self,
        now_ms: u64,
        limit: usize,
    ) -> Result<Vec<VersionId>, CatalogError> {
        self.read(Reach::Scan, (now_ms, limit), |tx, (now_ms, limit)| {
            Box::pin(expired_intents(tx, *now_ms, *limit))
        })
        .await
    }

    /// Ends an intent if its lease has passed; its segments become garbage due at `due_ms`. Returns whether it did: `false` if it was
    /// renewed, committed or ended in the meantime.
    pub async fn expire_intent(
        &self,
        version: VersionId,
        now_ms: u64,
        due_ms: u64,
    ) -> Result<bool, CatalogError> {
        self.write(
            (version, now_ms, due_ms),
            |tx, (version, now_ms, due_ms)| Box::pin(expire_intent(tx, version, *now_ms, *due_ms)),
        )
        .await
    }
}

/// The columns of an intent, in the order of [`Intent::from_row`].
macro_rules! select_intent {
    ($rest:literal) => {
        concat!(
            "SELECT version, datastore, key, lease_until_ms, upload, policy, policy_version, created_ms, number FROM intent ",
            $rest
        )
    };
}
pub(crate) use select_intent;

impl Intent {
    pub(crate) fn from_row(mut row: Row) -> Result<Self, CatalogError> {
        Ok(Self {
            version: row.take()?,
            datastore: row.take()?,
            key: row.take()?,
            lease_until_ms: row.take()?,
            upload: row.optional()?,
            policy: row.take()?,
            policy_version: row.take()?,
            created_ms: row.take()?,
            number: row.take()?,
        })
    }
}

/// The number is drawn last: everybody who begins in the datastore waits for its row, from then to the commit. Nobody else can see the
/// intent before that, so the order of locks does not matter to it.
async fn begin(
    tx: &mut dyn Transaction,
    intent: &NewIntent,
    segments: &[Segment],
) -> Result<u64, CatalogError> {
    keys::check(&intent.key)?;
    let sql = "INSERT INTO intent (version, datastore, key, number, lease_until_ms, upload, policy, policy_version, created_ms, \
            is_overtaken) \
        VALUES ($1, $2, $3, 0, $4, $5, $6, $7, $8, 0) ON CONFLICT DO NOTHING";
    let params: [Param<'_>; 8] = [
        (&intent.version).into(),
        (&intent.datastore).into(),
        (&intent.key).into(),
        intent.lease_until_ms.into(),
        intent.upload.as_ref().into(),
        (&*intent.policy).into(),
        intent.policy_version.into(),
        intent.created_ms.into(),
    ];
    if tx.execute(sql, &params).await? == 0 {
        return Err(CatalogError::Exists("intent"));
    }
    if spent::is_used(tx, &intent.version).await? {
        return Err(CatalogError::VersionExists);
    }
    segments::insert(tx, &intent.version, intent.upload.is_some(), segments).await?;
    let (number, _) = datastores::draw_number(tx, &intent.datastore).await?;
    let sql = "UPDATE intent SET number = $2 WHERE version = $1";
    tx.execute(sql, &[(&intent.version).into(), number.into()])
        .await?;
    Ok(number)
}

/// Locks the intent of a version and extends its lease, if it is live; returns whether it is an upload.
pub(crate) async fn keep(
    tx: &mut dyn Transaction,
    version: &VersionId,
    lease_until_ms: u64,
    now_ms: u64,
) -> Result<bool, CatalogError> {
    let sql = "UPDATE intent \
        SET lease_until_ms = CASE WHEN lease_until_ms < $2 THEN $2 ELSE lease_until_ms END \
        WHERE version = $1 AND lease_until_ms > $3 \
        RETURNING CASE WHEN upload IS NULL THEN 0 ELSE 1 END";
    let params = [version.into(), lease_until_ms.into(), now_ms.into()];
    let mut rows = tx.query(sql, &params).await?;
    rows.pop().ok_or(CatalogError::IntentGone)?.take()
}

async fn renew(
    tx: &mut dyn Transaction,
    version: &VersionId,
    lease_until_ms: u64,
    now_ms: u64,
) -> Result<(), CatalogError> {
    keep(tx, version, lease_until_ms, now_ms).await?;
    Ok(())
}

async fn add_segments(
    tx: &mut dyn Transaction,
    version: &VersionId,
    segments: &[Segment],
    lease_until_ms: u64,
    now_ms: u64,
) -> Result<(), CatalogError> {
    let is_upload = keep(tx, version, lease_until_ms, now_ms).await?;
    if !is_upload {
        segments::push_out(tx, version, segments).await?;
    }
    segments::insert(tx, version, is_upload, segments).await
}

async fn abandon(
    tx: &mut dyn Transaction,
    version: &VersionId,
    due_ms: u64,
) -> Result<(), CatalogError> {
    let sql = "DELETE FROM intent WHERE version = $1";
    if tx.execute(sql, &[version.into()]).await? > 0 {
        drop_remains(tx, version, due_ms).await?;
    }
    Ok(())
}

async fn refuse(
    tx: &mut dyn Transaction,
    version: &VersionId,
    due_ms: u64,
) -> Result<(), CatalogError> {
    let sql = "DELETE FROM intent WHERE version = $1";
    if tx.execute(sql, &[version.into()]).await? > 0 {
        drop_remains(tx, version, due_ms).await?;
        spent::spend(tx, &[*version], due_ms).await?;
    }
    Ok(())
}

async fn expire_intent(
    tx: &mut dyn Transaction,
    version: &VersionId,
    now_ms: u64,
    due_ms: u64,
) -> Result<bool, CatalogError> {
    let sql = "DELETE FROM intent WHERE version = $1 AND lease_until_ms <= $2";
    if tx.execute(sql, &[version.into(), now_ms.into()]).await? == 0 {
        return Ok(false);
    }
    drop_remains(tx, version, due_ms).await?;
    Ok(true)
}

/// What an intent leaves behind that ended without a version.
async fn drop_remains(
    tx: &mut dyn Transaction,
    version: &VersionId,
    due_ms: u64,
) -> Result<(), CatalogError> {
    garbage::discard(tx, version, due_ms).await?;
    uploads::drop_parts(tx, version).await
}

async fn intent(
    tx: &mut dyn Transaction,
    version: &VersionId,
) -> Result<Option<Intent>, CatalogError> {
    let sql = select_intent!("WHERE version = $1");
    let rows = tx.query(sql, &[version.into()]).await?;
    rows.into_iter().next().map(Intent::from_row).transpose()
}

async fn expired_intents(
    tx: &mut dyn Transaction,
    now_ms: u64,
    limit: usize,
) -> Result<Vec<VersionId>, CatalogError> {
    let sql = "SELECT version FROM intent WHERE lease_until_ms <= $1 \
        ORDER BY lease_until_ms, version LIMIT $2";
    let rows = tx.query(sql, &[now_ms.into(), limit.into()]).await?;
    rows.into_iter().map(|mut row| row.take()).collect()
}
