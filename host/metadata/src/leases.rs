//! Leases: what one process at a time does, however many there are.

use crate::transaction::Transaction;
use crate::{Catalog, CatalogError};

impl Catalog {
    /// Gives `owner` the lease of this name until `until_ms`, if nobody else has it now; returns whether it has.
    pub async fn hold_lease(
        &self,
        name: &str,
        owner: &str,
        until_ms: u64,
        now_ms: u64,
    ) -> Result<bool, CatalogError> {
        let words = (name.to_owned(), owner.to_owned());
        self.write(
            (words, until_ms, now_ms),
            |tx, ((name, owner), until_ms, now_ms)| {
                Box::pin(hold_lease(tx, name, owner, *until_ms, *now_ms))
            },
        )
        .await
    }

    /// Whether something that is done every so often is to be done now: of all who ask, one is told so. The first to ask begins the wait.
    pub async fn is_turn(
        &self,
        name: &str,
        every_ms: u64,
        now_ms: u64,
    ) -> Result<bool, CatalogError> {
        self.write(
            (name.to_owned(), every_ms, now_ms),
            |tx, (name, every_ms, now_ms)| Box::pin(is_turn(tx, name, *every_ms, *now_ms)),
        )
        .await
    }

    /// Gives a lease back, if `owner` has it.
    pub async fn return_lease(&self, name: &str, owner: &str) -> Result<(), CatalogError> {
        self.write((name.to_owned(), owner.to_owned()), |tx, (name, owner)| {
            Box::pin(return_lease(tx, name, owner))
        })
        .await
    }
}

async fn hold_lease(
    tx: &mut dyn Transaction,
    name: &str,
    owner: &str,
    until_ms: u64,
    now_ms: u64,
) -> Result<bool, CatalogError> {
    let sql = "INSERT INTO lease (name, owner, until_ms) VALUES ($1, $2, $3) ON CONFLICT (name) DO UPDATE \
        SET owner = excluded.owner, until_ms = excluded.until_ms \
        WHERE lease.owner = excluded.owner OR lease.until_ms <= $4";
    let params = [name.into(), owner.into(), until_ms.into(), now_ms.into()];
    Ok(tx.execute(sql, &params).await? > 0)
}

async fn return_lease(
    tx: &mut dyn Transaction,
    name: &str,
    owner: &str,
) -> Result<(), CatalogError> {
    let sql = "DELETE FROM lease WHERE name = $1 AND owner = $2";
    tx.execute(sql, &[name.into(), owner.into()]).await?;
    Ok(())
}

async fn is_turn(
    tx: &mut dyn Transaction,
    name: &str,
    every_ms: u64,
    now_ms: u64,
) -> Result<bool, CatalogError> {
    let next_ms = now_ms.saturating_add(every_ms);
    let sql =
        "INSERT INTO lease (name, owner, until_ms) VALUES ($1, '', $2) ON CONFLICT DO NOTHING";
    let params = [name.into(), next_ms.into()];
    if tx.execute(sql, &params).await? > 0 {
        return Ok(false);
    }
    let sql = "UPDATE lease SET until_ms = $2 WHERE name = $1 AND until_ms <= $3";
    let params = [name.into(), next_ms.into(), now_ms.into()];
    Ok(tx.execute(sql, &params).await? > 0)
}
