//! Ids that are used up: of versions that are gone or were refused, and of deletions that were done.
//!
//! Invariant: an id that was committed or refused names a version or is here, until it is forgotten; so a request that comes again, from a client that
//! has heard no answer or from somebody who has kept it, finds that it was carried out before.

use crate::transaction::{Param, Transaction};
use crate::{Catalog, CatalogError, VersionId};

impl Catalog {
    /// Forgets the ids of what was due to be deleted before `before_ms`.
    pub async fn forget_spent(&self, before_ms: u64) -> Result<(), CatalogError> {
        self.write(before_ms, |tx, before_ms| {
            Box::pin(forget_spent(tx, *before_ms))
        })
        .await
    }
}

/// Whether an id names a version, or did.
pub(crate) async fn is_used(
    tx: &mut dyn Transaction,
    id: &VersionId,
) -> Result<bool, CatalogError> {
    let sql = "SELECT 1 FROM version WHERE id = $1 UNION ALL SELECT 1 FROM spent WHERE id = $1";
    Ok(!tx.query(sql, &[id.into()]).await?.is_empty())
}

/// Notes that these ids are used up; what they stood for is garbage due at `due_ms`.
pub(crate) async fn spend(
    tx: &mut dyn Transaction,
    ids: &[VersionId],
    due_ms: u64,
) -> Result<(), CatalogError> {
    let sql = "INSERT INTO spent (id, due_ms) VALUES ($1, $2) ON CONFLICT DO NOTHING";
    let sets: Vec<Vec<Param<'_>>> = ids
        .iter()
        .map(|id| vec![id.into(), due_ms.into()])
        .collect();
    tx.execute_each(sql, &sets).await?;
    Ok(())
}

async fn forget_spent(tx: &mut dyn Transaction, before_ms: u64) -> Result<(), CatalogError> {
    tx.execute("DELETE FROM spent WHERE due_ms < $1", &[before_ms.into()])
        .await?;
    Ok(())
}
