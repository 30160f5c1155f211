//! Datastores: a tenant's named sets of objects, each with its counter of numbers and its sums.
//!
//! Invariant: `used_bytes`, `versions` and `stored_bytes` are sums over the committed versions, `objects` counts the current ones; whoever
//! changes a version changes them in the same transaction, under the lock on the datastore's row.

use bytes::Bytes;

use crate::transaction::{Param, Row, Transaction};
use crate::{Catalog, CatalogError, DatastoreId, TenantId, catalog::Reach, notes};

/// A named set of objects.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Datastore {
    /// Its id, which stays.
    pub id: DatastoreId,
    /// Whose it is.
    pub tenant: TenantId,
    /// Its name, unique in the tenant.
    pub name: String,
    /// The name of the policy for objects that name none.
    pub policy: String,
    /// Whether older versions are kept.
    pub versioning: bool,
    /// How many bytes its versions may have in all.
    pub quota_bytes: Option<u64>,
    /// How many they have.
    pub used_bytes: u64,
    /// How many objects there are: keys whose latest version is no marker.
    pub objects: u64,
    /// Its key, wrapped by a root key of the tenant.
    pub wrapped_key: Bytes,
    /// The number of that root key.
    pub root_number: u32,
    /// When it was made.
    pub created_ms: u64,
}

impl Catalog {
    /// Makes an empty datastore; `used_bytes` and `objects` are not looked at.
    ///
    /// # Errors
    /// `Exists` if its id, or its name in the tenant, is taken.
    pub async fn create_datastore(&self, datastore: &Datastore) -> Result<(), CatalogError> {
        self.write(datastore.clone(), |tx, datastore| {
            Box::pin(create_datastore(tx, datastore))
        })
        .await
    }

    /// The tenant's datastore with this name.
    pub async fn datastore(
        &self,
        tenant: TenantId,
        name: &str,
    ) -> Result<Option<Datastore>, CatalogError> {
        self.read(
            Reach::Point,
            (tenant, name.to_owned()),
            |tx, (tenant, name)| Box::pin(datastore(tx, tenant, name)),
        )
        .await
    }

    /// The datastore with this id.
    pub async fn datastore_by_id(
        &self,
        id: DatastoreId,
    ) -> Result<Option<Datastore>, CatalogError> {
        self.read(Reach::Point, id, |tx, id| Box::pin(datastore_by_id(tx, id)))
            .await
    }

    /// The tenant's datastores, by name.
    pub async fn datastores(&self, tenant: TenantId) -> Result<Vec<Datastore>, CatalogError> {
        self.read(Reach::Scan, tenant, |tx, tenant| {
            Box::pin(datastores(tx, tenant))
        })
        .await
    }

    /// Changes what is given. A quota below what is used stops further versions and removes none; `Some(None)` ends a quota. Versions that
    /// are there when `versioning` ends stay until their key is written or deleted.
    ///
    /// # Errors
    /// `NoSuchDatastore`.
    pub async fn update_datastore(
        &self,
        id: DatastoreId,
        policy: Option<&str>,
        versioning: Option<bool>,
        quota: Option<Option<u64>>,
    ) -> Result<(), CatalogError> {
        self.write(
            (id, policy.map(str::to_owned), versioning, quota),
            |tx, (id, policy, versioning, quota)| {
                Box::pin(update_datastore(
                    tx,
                    id,
                    policy.as_deref(),
                    *versioning,
                    *quota,
                ))
            },
        )
        .await
    }

    /// Replaces the wrapped key, if it is still the one under the root key `expected_root`.
    ///
    /// # Errors
    /// `ConditionFailed` if it is wrapped by another root, `NoSuchDatastore`.
    pub async fn rewrap_datastore(
        &self,
        id: DatastoreId,
        expected_root: u32,
        wrapped_key: Bytes,
        root_number: u32,
    ) -> Result<(), CatalogError> {
        self.write(
            (id, expected_root, wrapped_key, root_number),
            |tx, (id, expected_root, wrapped_key, root_number)| {
                Box::pin(rewrap_datastore(
                    tx,
                    id,
                    *expected_root,
                    wrapped_key,
                    *root_number,
                ))
            },
        )
        .await
    }

    /// Removes a datastore that has neither versions nor intents, whether their leases have passed or not.
    ///
    /// # Errors
    /// `NotEmpty`, `NoSuchDatastore`.
    pub async fn delete_datastore(&self, id: DatastoreId) -> Result<(), CatalogError> {
        self.write(id, |tx, id| Box::pin(delete_datastore(tx, id)))
            .await
    }
}

/// The columns of a datastore, in the order of [`from_row`].
macro_rules! select_datastore {
    ($rest:literal) => {
        concat!(
            "SELECT id, tenant, name, policy, versioning, quota_bytes, used_bytes, objects, wrapped_key, root_number, \
                created_ms FROM datastore ",
            $rest
        )
    };
}

fn from_row(mut row: Row) -> Result<Datastore, CatalogError> {
    Ok(Datastore {
        id: row.take()?,
        tenant: row.take()?,
        name: row.take()?,
        policy: row.take()?,
        versioning: row.take()?,
        quota_bytes: row.optional()?,
        used_bytes: row.take()?,
        objects: row.take()?,
        wrapped_key: row.take()?,
        root_number: row.take()?,
        created_ms: row.take()?,
    })
}

async fn create_datastore(
    tx: &mut dyn Transaction,
    datastore: &Datastore,
) -> Result<(), CatalogError> {
    let sql = "INSERT INTO datastore (id, tenant, name, policy, versioning, quota_bytes, used_bytes, stored_bytes, objects, \
            versions, last_number, wrapped_key, root_number, created_ms) \
        VALUES ($1, $2, $3, $4, $5, $6, 0, 0, 0, 0, 0, $7, $8, $9) ON CONFLICT DO NOTHING";
    let params = [
        (&datastore.id).into(),
        (&datastore.tenant).into(),
        (&*datastore.name).into(),
        (&*datastore.policy).into(),
        datastore.versioning.into(),
        datastore.quota_bytes.into(),
        (&datastore.wrapped_key).into(),
        datastore.root_number.into(),
        datastore.created_ms.into(),
    ];
    match tx.execute(sql, &params).await? {
        0 => Err(CatalogError::Exists("datastore")),
        _ => notes::touch_datastore(tx, &datastore.id).await,
    }
}

async fn datastore(
    tx: &mut dyn Transaction,
    tenant: &TenantId,
    name: &str,
) -> Result<Option<Datastore>, CatalogError> {
    let sql = select_datastore!("WHERE tenant = $1 AND name = $2");
    let rows = tx.query(sql, &[tenant.into(), name.into()]).await?;
    rows.into_iter().next().map(from_row).transpose()
}

async fn datastore_by_id(
    tx: &mut dyn Transaction,
    id: &DatastoreId,
) -> Result<Option<Datastore>, CatalogError> {
    let rows = tx
        .query(select_datastore!("WHERE id = $1"), &[id.into()])
        .await?;
    rows.into_iter().next().map(from_row).transpose()
}

async fn datastores(
    tx: &mut dyn Transaction,
    tenant: &TenantId,
) -> Result<Vec<Datastore>, CatalogError> {
    let sql = select_datastore!("WHERE tenant = $1 ORDER BY name");
    let rows = tx.query(sql, &[tenant.into()]).await?;
    rows.into_iter().map(from_row).collect()
}

/// Locks a datastore's row, reading nothing of it.
pub(crate) async fn lock(tx: &mut dyn Transaction, id: &DatastoreId) -> Result<(), CatalogError> {
    let sql = "SELECT id FROM datastore WHERE id = $1 /* FOR UPDATE */";
    match tx.query(sql, &[id.into()]).await?.is_empty() {
        true => Err(CatalogError::NoSuchDatastore),
        false => Ok(()),
    }
}

/// Draws the next number of a datastore, whose row is locked from then on. Returns whether the datastore keeps versions, too.
pub(crate) async fn draw_number(
    tx: &mut dyn Transaction,
    id: &DatastoreId,
) -> Result<(u64, bool), CatalogError> {
    let sql = "UPDATE datastore SET last_number = last_number + 1 WHERE id = $1 \
        RETURNING last_number, versioning";
    let mut rows = tx.query(sql, &[id.into()]).await?;
    let mut row = rows.pop().ok_or(CatalogError::NoSuchDatastore)?;
    Ok((row.take()?, row.take()?))
}

/// What a change adds to the sums of a datastore.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Change {
    pub(crate) objects: i64,
    pub(crate) versions: i64,
    pub(crate) bytes: i64,
    pub(crate) stored_bytes: i64,
}

impl Change {
    /// Adds it to the datastore's row, which the caller has locked.
    pub(crate) async fn apply(
        self,
        tx: &mut dyn Transaction,
        id: &DatastoreId,
    ) -> Result<(), CatalogError> {
        if self == Self::default() {
            return Ok(());
        }
        let sql = "UPDATE datastore SET objects = objects + $2, versions = versions + $3, \
            used_bytes = used_bytes + $4, stored_bytes = stored_bytes + $5 WHERE id = $1";
        let params = [
            id.into(),
            self.objects.into(),
            self.versions.into(),
            self.bytes.into(),
            self.stored_bytes.into(),
        ];
        tx.execute(sql, &params).await?;
        Ok(())
    }
}

async fn update_datastore(
    tx: &mut dyn Transaction,
    id: &DatastoreId,
    policy: Option<&str>,
    versioning: Option<bool>,
    quota: Option<Option<u64>>,
) -> Result<(), CatalogError> {
    lock(tx, id).await?;
    if let Some(policy) = policy {
        let sql = "UPDATE datastore SET policy = $2 WHERE id = $1";
        tx.execute(sql, &[id.into(), policy.into()]).await?;
    }
    if let Some(versioning) = versioning {
        switch(tx, id, versioning).await?;
    }
    if let Some(quota_bytes) = quota {
        let sql = "UPDATE datastore SET quota_bytes = $2 WHERE id = $1";
        tx.execute(sql, &[id.into(), quota_bytes.into()]).await?;
    }
    notes::touch_datastore(tx, id).await
}

/// Begins or ends keeping versions, at a number of its own: what is written under a greater one is kept, or replaces what was there.
async fn switch(
    tx: &mut dyn Transaction,
    id: &DatastoreId,
    versioning: bool,
) -> Result<(), CatalogError> {
    let Some((datastore, mut switches)) = with_switches(tx, id).await? else {
        return Err(CatalogError::NoSuchDatastore);
    };
    if datastore.versioning == versioning {
        return Ok(());
    }
    let (number, _) = draw_number(tx, id).await?;
    switches.push(number);
    let packed = pack_switches(&switches);
    let sql = "UPDATE datastore SET versioning = $2, switches = $3 WHERE id = $1";
    let params = [id.into(), versioning.into(), (&*packed).into()];
    tx.execute(sql, &params).await?;
    Ok(())
}

pub(crate) fn pack_switches(switches: &[u64]) -> Vec<u8> {
    switches.iter().flat_map(|it| it.to_le_bytes()).collect()
}

/// A datastore, and the numbers at which keeping versions began or ended.
pub(crate) async fn with_switches(
    tx: &mut dyn Transaction,
    id: &DatastoreId,
) -> Result<Option<(Datastore, Vec<u64>)>, CatalogError> {
    let Some(datastore) = datastore_by_id(tx, id).await? else {
        return Ok(None);
    };
    let sql = "SELECT switches FROM datastore WHERE id = $1";
    let mut rows = tx.query(sql, &[id.into()]).await?;
    let packed: Option<Bytes> = match rows.pop() {
        Some(mut row) => row.optional()?,
        None => None,
    };
    let packed = packed.unwrap_or_default();
    let switches = packed.as_chunks().0.iter();
    let switches = switches.map(|it| u64::from_le_bytes(*it)).collect();
    Ok(Some((datastore, switches)))
}

async fn rewrap_datastore(
    tx: &mut dyn Transaction,
    id: &DatastoreId,
    expected_root: u32,
    wrapped_key: &Bytes,
    root_number: u32,
) -> Result<(), CatalogError> {
    lock(tx, id).await?;
    let sql = "UPDATE datastore SET wrapped_key = $3, root_number = $4 \
        WHERE id = $1 AND root_number = $2";
    let params: [Param<'_>; 4] = [
        id.into(),
        expected_root.into(),
        wrapped_key.into(),
        root_number.into(),
    ];
    match tx.execute(sql, &params).await? {
        0 => Err(CatalogError::ConditionFailed),
        _ => notes::touch_datastore(tx, id).await,
    }
}

async fn delete_datastore(tx: &mut dyn Transaction, id: &DatastoreId) -> Result<(), CatalogError> {
    lock(tx, id).await?;
    let version = "SELECT 1 FROM version WHERE datastore = $1 LIMIT 1";
    let intent = "SELECT 1 FROM intent WHERE datastore = $1 LIMIT 1";
    for sql in [version, intent] {
        if !tx.query(sql, &[id.into()]).await?.is_empty() {
            return Err(CatalogError::NotEmpty);
        }
    }
    notes::touch_datastore(tx, id).await?;
    tx.execute("DELETE FROM datastore WHERE id = $1", &[id.into()])
        .await?;
    Ok(())
}
