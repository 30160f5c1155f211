//! Removal records: which versions are gone, until every location has dropped their manifests.
//!
//! Invariant: a version is gone and its record there in one transaction.

use bytes::Bytes;

use crate::jobs::draw_id;
use crate::transaction::{Row, Transaction};
use crate::{Catalog, CatalogError, DatastoreId, Key, VersionId, catalog::Reach};

/// A removal record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Removal {
    /// Its id.
    pub id: u64,
    /// Where the object was.
    pub datastore: DatastoreId,
    /// Its key.
    pub key: Key,
    /// The number of the deletion; 0 where nothing was deleted, and a manifest replaced.
    pub number: u64,
    /// What the manifests of the versions that are gone are named by, one after the other.
    pub record: Bytes,
    /// When their manifests may be dropped.
    pub due_ms: u64,
}

impl Catalog {
    /// The oldest removal records that are due, at most `limit`, by id.
    pub async fn removals(&self, now_ms: u64, limit: usize) -> Result<Vec<Removal>, CatalogError> {
        self.read(Reach::Scan, (now_ms, limit), |tx, (now_ms, limit)| {
            Box::pin(removals(tx, *now_ms, *limit))
        })
        .await
    }

    /// The greatest number among the versions of a key that are gone and whose manifests may still be there.
    pub async fn last_removed(
        &self,
        datastore: DatastoreId,
        key: &Key,
    ) -> Result<Option<u64>, CatalogError> {
        self.read(
            Reach::Point,
            (datastore, key.clone()),
            |tx, (datastore, key)| Box::pin(last_removed(tx, datastore, key)),
        )
        .await
    }

    /// Forgets a removal record. Does nothing if there is none.
    pub async fn forget_removal(&self, id: u64) -> Result<(), CatalogError> {
        self.write(id, |tx, id| Box::pin(forget_removal(tx, *id)))
            .await
    }
}

/// Notes that the versions of a key with these manifests, up to `number`, are gone.
pub(crate) async fn put(
    tx: &mut dyn Transaction,
    datastore: &DatastoreId,
    key: &Key,
    number: u64,
    manifests: &[VersionId],
    due_ms: u64,
) -> Result<(), CatalogError> {
    let id = draw_id(tx).await?;
    let record = manifests.iter().flat_map(|manifest| manifest.0);
    let record: Vec<u8> = record.collect();
    let sql = "INSERT INTO removal (id, datastore, key, number, record, due_ms) \
        VALUES ($1, $2, $3, $4, $5, $6)";
    let params = [
        id.into(),
        datastore.into(),
        key.into(),
        number.into(),
        (&*record).into(),
        due_ms.into(),
    ];
    tx.execute(sql, &params).await?;
    Ok(())
}

async fn removals(
    tx: &mut dyn Transaction,
    now_ms: u64,
    limit: usize,
) -> Result<Vec<Removal>, CatalogError> {
    let sql = "SELECT id, datastore, key, number, record, due_ms FROM removal \
        WHERE due_ms <= $1 ORDER BY id LIMIT $2";
    let rows = tx.query(sql, &[now_ms.into(), limit.into()]).await?;
    rows.into_iter().map(from_row).collect()
}

async fn last_removed(
    tx: &mut dyn Transaction,
    datastore: &DatastoreId,
    key: &Key,
) -> Result<Option<u64>, CatalogError> {
    let sql = "SELECT number FROM removal WHERE datastore = $1 AND key = $2 AND number > 0 \
        ORDER BY number DESC LIMIT 1";
    let mut rows = tx.query(sql, &[datastore.into(), key.into()]).await?;
    rows.pop().map(|mut row| row.take()).transpose()
}

fn from_row(mut row: Row) -> Result<Removal, CatalogError> {
    Ok(Removal {
        id: row.take()?,
        datastore: row.take()?,
        key: row.take()?,
        number: row.take()?,
        record: row.take()?,
        due_ms: row.take()?,
    })
}

async fn forget_removal(tx: &mut dyn Transaction, id: u64) -> Result<(), CatalogError> {
    tx.execute("DELETE FROM removal WHERE id = $1", &[id.into()])
        .await?;
    Ok(())
}
