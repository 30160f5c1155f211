//! The commit of an object: the one transaction in which it comes to exist.

use bytes::Bytes;

use crate::current::{self, Latest};
use crate::datastores::Change;
use crate::transaction::Transaction;
use crate::versions::{self, NewVersion};
use crate::{
    Catalog, CatalogError, DatastoreId, Key, SegmentId, VersionId, garbage, spent, uploads,
};

/// What must be so for a change to be made, evaluated in its transaction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Condition {
    /// Nothing.
    None,
    /// The key has no object.
    IfAbsent,
    /// This version is the key's object.
    IfCurrent(VersionId),
    /// The key has an object.
    IfExists,
}

/// A PUT or upload whose segments are stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Commit {
    /// The version, of which there is an intent.
    pub version: VersionId,
    /// What must be so.
    pub condition: Condition,
    /// Bytes of the object. Not looked at for an upload, whose parts have sizes.
    pub size: u64,
    /// The manifest's head, sealed: what listing and HEAD return.
    pub head: Bytes,
    /// The manifest's body, sealed.
    pub body: Bytes,
    /// For an upload: the numbers of the parts that the object consists of, ascending. The segments of others become garbage.
    pub parts: Option<Vec<u32>>,
    /// The segments that the manifest names, in object order; if given, the version gets these or is refused.
    pub segments: Option<Vec<SegmentId>>,
    /// Blind index values by which the object can be searched for while it is current.
    pub tags: Vec<[u8; 16]>,
    /// The time now: the intent must be live.
    pub now_ms: u64,
    /// When what becomes garbage may be deleted.
    pub garbage_due_ms: u64,
}

/// What a commit did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Committed {
    /// The version's number, drawn when it began.
    pub number: u64,
    /// Whether it is the key's object now: a version or deletion that was begun later stays above it.
    pub is_current: bool,
    /// The versions that are gone since the datastore keeps none but the current, by number. The committed one itself is the last of
    /// them if it is not current.
    pub superseded: Vec<VersionId>,
}

impl Catalog {
    /// Makes the version of a live intent exist, current if no later number is there, and ends the intent. A version's manifest is a debt
    /// from then on, until [`Catalog::settle_manifests`].
    ///
    /// # Errors
    /// `IntentGone` if the intent has ended or its lease has passed; `VersionExists` if the version was committed before;
    /// `ConditionFailed`, also if the condition holds and the version could not become current; `QuotaExceeded`; `NoSuchPart`,
    /// `SegmentsChanged`; `Invalid` if parts are given for a plain PUT, missing for an upload, or not ascending.
    pub async fn commit_object(&self, commit: Commit) -> Result<Committed, CatalogError> {
        self.write(commit, |tx, commit| Box::pin(commit_object(tx, commit)))
            .await
    }
}

/// An intent that has just ended since it is being committed.
struct Ended {
    key: Key,
    number: u64,
    is_upload: bool,
    policy: String,
    policy_version: u32,
    created_ms: u64,
    is_overtaken: bool,
}

/// A datastore's row, locked.
struct Locked {
    id: DatastoreId,
    versioning: bool,
    quota_bytes: Option<u64>,
    used_bytes: i64,
}

async fn commit_object(
    tx: &mut dyn Transaction,
    commit: &Commit,
) -> Result<Committed, CatalogError> {
    let datastore = lock_datastore(tx, commit).await?;
    let intent = end_intent(tx, commit).await?;
    let before = current::latest(tx, &datastore.id, &intent.key).await?;
    let is_latest = before
        .as_ref()
        .is_none_or(|before| before.number < intent.number);
    let can_be_current = is_latest && !intent.is_overtaken;
    if commit.condition != Condition::None
        && !(can_be_current && current::holds(commit.condition, before.as_ref()))
    {
        return Err(CatalogError::ConditionFailed);
    }
    let size = settle_segments(tx, commit, &intent).await?;
    if intent.is_overtaken || !(datastore.versioning || is_latest) {
        garbage::discard(tx, &commit.version, commit.garbage_due_ms).await?;
        spent::spend(tx, &[commit.version], commit.garbage_due_ms).await?;
        return Ok(Committed {
            number: intent.number,
            is_current: false,
            superseded: vec![commit.version],
        });
    }

    let (superseded, mut change) = match &before {
        Some(_) if !datastore.versioning => {
            let due_ms = commit.garbage_due_ms;
            versions::remove(tx, &datastore.id, &intent.key, None, due_ms).await?
        }
        _ => (Vec::new(), Change::default()),
    };
    check_quota(&datastore, &change, size)?;
    let stored_bytes = insert(tx, &datastore.id, commit, &intent, size).await?;
    change.versions += 1;
    change.bytes += i64::try_from(size).unwrap_or(i64::MAX);
    change.stored_bytes += stored_bytes;
    if is_latest {
        let now = Latest {
            id: commit.version,
            number: intent.number,
            is_marker: false,
            tags: commit.tags.concat().into(),
        };
        change.objects +=
            current::follow(tx, &datastore.id, &intent.key, before.as_ref(), Some(&now)).await?;
    }
    change.apply(tx, &datastore.id).await?;
    Ok(Committed {
        number: intent.number,
        is_current: is_latest,
        superseded,
    })
}

async fn lock_datastore(tx: &mut dyn Transaction, commit: &Commit) -> Result<Locked, CatalogError> {
    let sql = "SELECT id, versioning, quota_bytes, used_bytes FROM datastore \
        WHERE id = (SELECT datastore FROM intent WHERE version = $1) /* FOR UPDATE */";
    let mut rows = tx.query(sql, &[(&commit.version).into()]).await?;
    let Some(mut row) = rows.pop() else {
        return Err(without_intent(tx, &commit.version).await);
    };
    Ok(Locked {
        id: row.take()?,
        versioning: row.take()?,
        quota_bytes: row.optional()?,
        used_bytes: row.take()?,
    })
}

/// Ends the intent; an error later in the transaction brings it back.
async fn end_intent(tx: &mut dyn Transaction, commit: &Commit) -> Result<Ended, CatalogError> {
    let sql = "DELETE FROM intent WHERE version = $1 AND lease_until_ms > $2 \
        RETURNING key, number, CASE WHEN upload IS NULL THEN 0 ELSE 1 END, policy, policy_version, created_ms, is_overtaken";
    let params = [(&commit.version).into(), commit.now_ms.into()];
    let mut rows = tx.query(sql, &params).await?;
    let Some(mut row) = rows.pop() else {
        return Err(without_intent(tx, &commit.version).await);
    };
    Ok(Ended {
        key: row.take()?,
        number: row.take()?,
        is_upload: row.take()?,
        policy: row.take()?,
        policy_version: row.take()?,
        created_ms: row.take()?,
        is_overtaken: row.take()?,
    })
}

/// Why there is no live intent of a version.
async fn without_intent(tx: &mut dyn Transaction, version: &VersionId) -> CatalogError {
    match spent::is_used(tx, version).await {
        Ok(false) => CatalogError::IntentGone,
        Ok(true) => CatalogError::VersionExists,
        Err(error) => error,
    }
}

/// Settles which segments the version has; the others that were stored for it become garbage. Returns the object's size.
async fn settle_segments(
    tx: &mut dyn Transaction,
    commit: &Commit,
    intent: &Ended,
) -> Result<u64, CatalogError> {
    let version = &commit.version;
    let size = match (&commit.parts, intent.is_upload) {
        (Some(chosen), true) => {
            let size = uploads::complete(tx, version, chosen).await?;
            uploads::drop_parts(tx, version).await?;
            size
        }
        (None, false) => commit.size,
        _ => {
            return Err(CatalogError::Invalid(
                "an upload is committed with parts, and a plain PUT without",
            ));
        }
    };
    if let Some(expected) = &commit.segments {
        let sql =
            "SELECT id FROM segment WHERE version = $1 AND position IS NOT NULL ORDER BY position";
        let rows = tx.query(sql, &[version.into()]).await?;
        let ids = rows.into_iter().map(|mut row| row.take());
        if ids.collect::<Result<Vec<SegmentId>, _>>()? != *expected {
            return Err(CatalogError::SegmentsChanged);
        }
    }
    garbage::discard_unplaced(tx, version, commit.garbage_due_ms).await?;
    Ok(size)
}

/// `change` is what is gone since the version supersedes it.
fn check_quota(datastore: &Locked, change: &Change, size: u64) -> Result<(), CatalogError> {
    let used_bytes = u64::try_from(datastore.used_bytes + change.bytes)
        .map_err(|_| CatalogError::Corrupt("a datastore uses less than nothing".to_owned()))?;
    match datastore.quota_bytes {
        Some(quota_bytes) if used_bytes.saturating_add(size) > quota_bytes => {
            Err(CatalogError::QuotaExceeded {
                quota_bytes,
                used_bytes,
                size_bytes: size,
            })
        }
        _ => Ok(()),
    }
}

/// Writes the version and its debt; returns the bytes of its fragments.
async fn insert(
    tx: &mut dyn Transaction,
    datastore: &DatastoreId,
    commit: &Commit,
    intent: &Ended,
    size: u64,
) -> Result<i64, CatalogError> {
    let version = NewVersion {
        id: &commit.version,
        datastore,
        key: &intent.key,
        number: intent.number,
        size,
        created_ms: intent.created_ms,
        policy: &intent.policy,
        policy_version: intent.policy_version,
        is_marker: false,
        head: &commit.head,
        tags: &commit.tags.concat(),
        body: &commit.body,
    };
    let stored_bytes = version.insert(tx).await?;
    let sql = "INSERT INTO manifest_debt (version) VALUES ($1)";
    tx.execute(sql, &[(&commit.version).into()]).await?;
    Ok(stored_bytes)
}
