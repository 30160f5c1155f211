//! What a tenant has stored, in sums.

use crate::transaction::Transaction;
use crate::{Catalog, CatalogError, TenantId, catalog::Reach};

/// Sums over a tenant's datastores.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Usage {
    /// Datastores.
    pub datastores: u64,
    /// Current objects.
    pub objects: u64,
    /// Committed versions, delete markers among them.
    pub versions: u64,
    /// Bytes of all these versions.
    pub bytes: u64,
    /// Bytes of all their fragments, owed ones among them.
    pub stored_bytes: u64,
}

impl Catalog {
    /// What the tenant has stored. Cost: one row per datastore.
    pub async fn usage(&self, tenant: TenantId) -> Result<Usage, CatalogError> {
        self.read(Reach::Point, tenant, |tx, tenant| {
            Box::pin(usage(tx, tenant))
        })
        .await
    }
}

async fn usage(tx: &mut dyn Transaction, tenant: &TenantId) -> Result<Usage, CatalogError> {
    let sql = "SELECT count(*), CAST(coalesce(sum(objects), 0) AS BIGINT), \
        CAST(coalesce(sum(versions), 0) AS BIGINT), CAST(coalesce(sum(used_bytes), 0) AS BIGINT), \
        CAST(coalesce(sum(stored_bytes), 0) AS BIGINT) FROM datastore WHERE tenant = $1";
    let mut rows = tx.query(sql, &[tenant.into()]).await?;
    let mut row = rows.pop().expect("a sum over any rows is one row");
    Ok(Usage {
        datastores: row.take()?,
        objects: row.take()?,
        versions: row.take()?,
        bytes: row.take()?,
        stored_bytes: row.take()?,
    })
}
