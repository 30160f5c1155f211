//! Records sealed under a tenant's key: access keys, grants, tokens. The host stores them and can read none.

use bytes::Bytes;

use crate::transaction::{Param, Row, Transaction};
use crate::{Catalog, CatalogError, Subject, TenantId, catalog::Reach, notes};

impl Catalog {
    /// Stores a record under its tenant, kind and id, in place of the one that is there.
    ///
    /// # Errors
    /// `Exists` if there is one and `only_if_absent`.
    pub async fn put_record(
        &self,
        tenant: TenantId,
        kind: &str,
        id: &str,
        sealed: Bytes,
        only_if_absent: bool,
    ) -> Result<(), CatalogError> {
        self.write(
            (
                tenant,
                kind.to_owned(),
                id.to_owned(),
                sealed,
                only_if_absent,
            ),
            |tx, (tenant, kind, id, sealed, only_if_absent)| {
                Box::pin(put_record(tx, tenant, kind, id, sealed, *only_if_absent))
            },
        )
        .await
    }

    /// The record with this kind and id.
    pub async fn record(
        &self,
        tenant: TenantId,
        kind: &str,
        id: &str,
    ) -> Result<Option<Bytes>, CatalogError> {
        self.read(
            Reach::Point,
            (tenant, kind.to_owned(), id.to_owned()),
            |tx, (tenant, kind, id)| Box::pin(record(tx, tenant, kind, id)),
        )
        .await
    }

    /// At most `limit` records of a kind with ids after `after`, bytewise, with their ids.
    pub async fn records(
        &self,
        tenant: TenantId,
        kind: &str,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Vec<(String, Bytes)>, CatalogError> {
        self.read(
            Reach::Scan,
            (tenant, kind.to_owned(), after.map(str::to_owned), limit),
            |tx, (tenant, kind, after, limit)| {
                Box::pin(records(tx, tenant, kind, after.as_deref(), *limit))
            },
        )
        .await
    }

    /// Removes a record; returns whether there was one.
    pub async fn delete_record(
        &self,
        tenant: TenantId,
        kind: &str,
        id: &str,
    ) -> Result<bool, CatalogError> {
        self.write(
            (tenant, kind.to_owned(), id.to_owned()),
            |tx, (tenant, kind, id)| Box::pin(delete_record(tx, tenant, kind, id)),
        )
        .await
    }
}

async fn put_record(
    tx: &mut dyn Transaction,
    tenant: &TenantId,
    kind: &str,
    id: &str,
    sealed: &Bytes,
    only_if_absent: bool,
) -> Result<(), CatalogError> {
    let sql = if only_if_absent {
        "INSERT INTO record (tenant, kind, id, sealed) VALUES ($1, $2, $3, $4) \
            ON CONFLICT (tenant, kind, id) DO NOTHING"
    } else {
        "INSERT INTO record (tenant, kind, id, sealed) VALUES ($1, $2, $3, $4) \
            ON CONFLICT (tenant, kind, id) DO UPDATE SET sealed = excluded.sealed"
    };
    let params = [tenant.into(), kind.into(), id.into(), sealed.into()];
    match tx.execute(sql, &params).await? {
        0 => Err(CatalogError::Exists("record")),
        _ => notes::touch(tx, &subject(tenant, kind, id)).await,
    }
}

fn subject(tenant: &TenantId, kind: &str, id: &str) -> Subject {
    Subject::Record {
        tenant: *tenant,
        kind: kind.to_owned(),
        id: id.to_owned(),
    }
}

pub(crate) async fn record(
    tx: &mut dyn Transaction,
    tenant: &TenantId,
    kind: &str,
    id: &str,
) -> Result<Option<Bytes>, CatalogError> {
    let sql = "SELECT sealed FROM record WHERE tenant = $1 AND kind = $2 AND id = $3";
    let mut rows = tx
        .query(sql, &[tenant.into(), kind.into(), id.into()])
        .await?;
    rows.pop().map(|mut row| row.take()).transpose()
}

async fn records(
    tx: &mut dyn Transaction,
    tenant: &TenantId,
    kind: &str,
    after: Option<&str>,
    limit: usize,
) -> Result<Vec<(String, Bytes)>, CatalogError> {
    let from_start = "SELECT id, sealed FROM record WHERE tenant = $1 AND kind = $2 \
        ORDER BY id LIMIT $3";
    let from_after = "SELECT id, sealed FROM record WHERE tenant = $1 AND kind = $2 AND id > $4 \
        ORDER BY id LIMIT $3";
    let mut params = vec![tenant.into(), kind.into(), limit.into()];
    params.extend(after.map(Param::from));
    let sql = if after.is_some() {
        from_after
    } else {
        from_start
    };
    let rows = tx.query(sql, &params).await?;
    let pair = |mut row: Row| Ok((row.take()?, row.take()?));
    rows.into_iter().map(pair).collect()
}

async fn delete_record(
    tx: &mut dyn Transaction,
    tenant: &TenantId,
    kind: &str,
    id: &str,
) -> Result<bool, CatalogError> {
    let sql = "DELETE FROM record WHERE tenant = $1 AND kind = $2 AND id = $3";
    let is_deleted = tx
        .execute(sql, &[tenant.into(), kind.into(), id.into()])
        .await?
        > 0;
    if is_deleted {
        notes::touch(tx, &subject(tenant, kind, id)).await?;
    }
    Ok(is_deleted)
}
