//! Removal records: what was deleted, sealed, until every location has dropped it.

use bytes::Bytes;

use crate::jobs::draw_id;
use crate::transaction::{Row, Transaction};
use crate::{Catalog, CatalogError, DatastoreId, Key, catalog::Reach};

/// A removal record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Removal {
    /// Its id.
    pub id: u64,
    /// Where the object was.
    pub datastore: DatastoreId,
    /// Its key.
    pub key: Key,
    /// The number of the deletion.
    pub number: u64,
    /// The record, sealed; opaque here.
    pub record: Bytes,
}

impl Catalog {
    /// Keeps a removal record; returns its id.
    pub async fn put_removal(
        &self,
        datastore: DatastoreId,
        key: &Key,
        number: u64,
        record: Bytes,
    ) -> Result<u64, CatalogError> {
        self.write(
            (datastore, key.clone(), number, record),
            |tx, (datastore, key, number, record)| {
                Box::pin(put_removal(tx, datastore, key, *number, record))
            },
        )
        .await
    }

    /// The oldest removal records, at most `limit`, by id.
    pub async fn removals(&self, limit: usize) -> Result<Vec<Removal>, CatalogError> {
        self.read(Reach::Scan, limit, |tx, limit| {
            Box::pin(removals(tx, *limit))
        })
        .await
    }

    /// Forgets a removal record. Does nothing if there is none.
    pub async fn forget_removal(&self, id: u64) -> Result<(), CatalogError> {
        self.write(id, |tx, id| Box::pin(forget_removal(tx, *id)))
            .await
    }
}

async fn put_removal(
    tx: &mut dyn Transaction,
    datastore: &DatastoreId,
    key: &Key,
    number: u64,
    record: &Bytes,
) -> Result<u64, CatalogError> {
    let id = draw_id(tx).await?;
    let sql =
        "INSERT INTO removal (id, datastore, key, number, record) VALUES ($1, $2, $3, $4, $5)";
    let params = [
        id.into(),
        datastore.into(),
        key.into(),
        number.into(),
        record.into(),
    ];
    tx.execute(sql, &params).await?;
    Ok(id)
}

async fn removals(tx: &mut dyn Transaction, limit: usize) -> Result<Vec<Removal>, CatalogError> {
    let sql = "SELECT id, datastore, key, number, record FROM removal ORDER BY id LIMIT $1";
    let rows = tx.query(sql, &[limit.into()]).await?;
    rows.into_iter().map(from_row).collect()
}

fn from_row(mut row: Row) -> Result<Removal, CatalogError> {
    Ok(Removal {
        id: row.take()?,
        datastore: row.take()?,
        key: row.take()?,
        number: row.take()?,
        record: row.take()?,
    })
}

async fn forget_removal(tx: &mut dyn Transaction, id: u64) -> Result<(), CatalogError> {
    tx.execute("DELETE FROM removal WHERE id = $1", &[id.into()])
        .await?;
    Ok(())
}
