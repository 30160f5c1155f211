//! Datastores: a tenant's named sets of objects, each with its counter of numbers and its sums.
//!
//! Invariant: `used_bytes`, `versions` and `stored_bytes` are sums over the committed versions, `objects` counts the current ones; whoever
//! changes a version changes them in the same transaction, under the lock on the datastore's row.

use bytes::Bytes;

use crate::transaction::{Param, Row, Transaction};
use crate::{Catalog, CatalogError, DatastoreId, TenantId, catalog::Reach};

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

// STUB
async fn create_datastore(_: &mut dyn Transaction, _: &Datastore) -> Result<(), CatalogError> {
    Err(CatalogError::Unavailable("not there yet".to_owned()))
}

// STUB
async fn datastore(
    _: &mut dyn Transaction,
    _: &TenantId,
    _: &str,
) -> Result<Option<Datastore>, CatalogError> {
    Err(CatalogError::Unavailable("not there yet".to_owned()))
}

// STUB
async fn datastore_by_id(
    _: &mut dyn Transaction,
    _: &DatastoreId,
) -> Result<Option<Datastore>, CatalogError> {
    Err(CatalogError::Unavailable("not there yet".to_owned()))
}

// STUB
async fn datastores(_: &mut dyn Transaction, _: &TenantId) -> Result<Vec<Datastore>, CatalogError> {
    Err(CatalogError::Unavailable("not there yet".to_owned()))
}

// STUB
async fn update_datastore(
    _: &mut dyn Transaction,
    _: &DatastoreId,
    _: Option<&str>,
    _: Option<bool>,
    _: Option<Option<u64>>,
) -> Result<(), CatalogError> {
    Err(CatalogError::Unavailable("not there yet".to_owned()))
}

// STUB
async fn rewrap_datastore(
    _: &mut dyn Transaction,
    _: &DatastoreId,
    _: u32,
    _: &Bytes,
    _: u32,
) -> Result<(), CatalogError> {
    Err(CatalogError::Unavailable("not there yet".to_owned()))
}

// STUB
async fn delete_datastore(_: &mut dyn Transaction, _: &DatastoreId) -> Result<(), CatalogError> {
    Err(CatalogError::Unavailable("not there yet".to_owned()))
}
