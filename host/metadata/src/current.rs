//! Which version of a key is current, and what follows from it.
//!
//! Invariant: the latest version of a key, by number, is current; the key is in `object` and under that version's tags in `tag` exactly if
//! it is no marker. Whoever adds or removes a version locks the datastore, reads the latest before, and calls [`follow`].

use bytes::Bytes;

use crate::transaction::Transaction;
use crate::{CatalogError, Condition, DatastoreId, Key, VersionId};

/// The latest version of a key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Latest {
    pub(crate) id: VersionId,
    pub(crate) number: u64,
    pub(crate) is_marker: bool,
    /// Its blind tags, one after the other.
    pub(crate) tags: Bytes,
}

/// The length of a blind tag.
const TAG_BYTES: usize = 16;

/// The latest version of a key, markers included.
pub(crate) async fn latest(
    tx: &mut dyn Transaction,
    datastore: &DatastoreId,
    key: &Key,
) -> Result<Option<Latest>, CatalogError> {
    let sql = "SELECT id, number, is_marker, tags FROM version \
        WHERE datastore = $1 AND key = $2 ORDER BY number DESC LIMIT 1";
    let mut rows = tx.query(sql, &[datastore.into(), key.into()]).await?;
    let Some(mut row) = rows.pop() else {
        return Ok(None);
    };
    Ok(Some(Latest {
        id: row.take()?,
        number: row.take()?,
        is_marker: row.take()?,
        tags: row.take()?,
    }))
}

/// Whether the condition holds of a key with this latest version.
pub(crate) fn holds(condition: Condition, latest: Option<&Latest>) -> bool {
    let object = latest.filter(|latest| !latest.is_marker);
    match condition {
        Condition::None => true,
        Condition::IfAbsent => object.is_none(),
        Condition::IfExists => object.is_some(),
        Condition::IfCurrent(id) => object.is_some_and(|object| object.id == id),
    }
}

/// Brings what lists and finds current objects in line with the key's latest version, which was `before` and is `now`. Returns what that
/// adds to the count of objects.
pub(crate) async fn follow(
    tx: &mut dyn Transaction,
    datastore: &DatastoreId,
    key: &Key,
    before: Option<&Latest>,
    now: Option<&Latest>,
) -> Result<i64, CatalogError> {
    let before = before.filter(|latest| !latest.is_marker);
    let now = now.filter(|latest| !latest.is_marker);
    if before.map(|object| object.id) == now.map(|object| object.id) {
        return Ok(0);
    }
    let untag = "DELETE FROM tag WHERE datastore = $1 AND tag = $2 AND key = $3";
    let tag = "INSERT INTO tag (datastore, tag, key) VALUES ($1, $2, $3) ON CONFLICT DO NOTHING";
    for (sql, object) in [(untag, before), (tag, now)] {
        for value in object
            .map_or(&[][..], |object| &object.tags)
            .chunks(TAG_BYTES)
        {
            tx.execute(sql, &[datastore.into(), value.into(), key.into()])
                .await?;
        }
    }
    let put = "INSERT INTO object (datastore, key, number) VALUES ($1, $2, $3) \
        ON CONFLICT (datastore, key) DO UPDATE SET number = excluded.number";
    let remove = "DELETE FROM object WHERE datastore = $1 AND key = $2";
    match now {
        Some(now) => {
            let params = [datastore.into(), key.into(), now.number.into()];
            tx.execute(put, &params).await?
        }
        None => tx.execute(remove, &[datastore.into(), key.into()]).await?,
    };
    Ok(i64::from(now.is_some()) - i64::from(before.is_some()))
}
