//! Committed versions and delete markers, and the debts of their manifests.

use core::ops::Range;

use bytes::Bytes;

use crate::transaction::{Row, Transaction};
use crate::{
    Catalog, CatalogError, DatastoreId, Key, Segment, VersionId, catalog::Reach, segments,
};

/// A committed version, or a delete marker.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Version {
    /// Where it is.
    pub datastore: DatastoreId,
    /// The object that it is a version of.
    pub key: Key,
    /// Its id.
    pub id: VersionId,
    /// Its place among all that happened in the datastore; the greatest of a key is current.
    pub number: u64,
    /// Bytes of the object.
    pub size: u64,
    /// When its PUT or upload began; for a marker, when the object was deleted.
    pub created_ms: u64,
    /// The policy that its segments are coded by; empty for a marker.
    pub policy: String,
    /// The version of that policy; 0 for a marker.
    pub policy_version: u32,
    /// Whether it says that there is no object.
    pub is_marker: bool,
    /// Whether no later version of the key is there.
    pub is_current: bool,
    /// The manifest's head, sealed.
    pub head: Bytes,
}

impl Catalog {
    /// The key's object: its latest version, if that is no marker.
    pub async fn current(
        &self,
        datastore: DatastoreId,
        key: &Key,
    ) -> Result<Option<Version>, CatalogError> {
        self.read(
            Reach::Point,
            (datastore, key.clone()),
            |tx, (datastore, key)| Box::pin(current(tx, datastore, key)),
        )
        .await
    }

    /// A version of a key, which may be a marker.
    pub async fn version(
        &self,
        datastore: DatastoreId,
        key: &Key,
        id: VersionId,
    ) -> Result<Option<Version>, CatalogError> {
        self.read(
            Reach::Point,
            (datastore, key.clone(), id),
            |tx, (datastore, key, id)| Box::pin(version(tx, datastore, key, id)),
        )
        .await
    }

    /// The body of a version's manifest; empty for a marker.
    pub async fn body(&self, version: VersionId) -> Result<Option<Bytes>, CatalogError> {
        self.read(Reach::Point, version, |tx, version| {
            Box::pin(body(tx, version))
        })
        .await
    }

    /// What a GET needs, in one journey: the key's object, or this version of it (which may be a marker), its body, and its segments at
    /// these positions, in object order.
    pub async fn open_version(
        &self,
        datastore: DatastoreId,
        key: &Key,
        version: Option<VersionId>,
        segments: Range<u32>,
    ) -> Result<Option<(Version, Bytes, Vec<Segment>)>, CatalogError> {
        self.read(
            Reach::Point,
            (datastore, key.clone(), version, segments),
            |tx, (datastore, key, version, segments)| {
                Box::pin(open_version(tx, datastore, key, version.as_ref(), segments))
            },
        )
        .await
    }

    /// Notes that the manifests of these versions lie beside their fragments.
    pub async fn settle_manifests(&self, versions: &[VersionId]) -> Result<(), CatalogError> {
        self.write(versions.to_vec(), |tx, versions| {
            Box::pin(settle_manifests(tx, versions))
        })
        .await
    }

    /// At most `limit` versions whose manifests have still to be written beside their fragments.
    pub async fn manifest_debts(&self, limit: usize) -> Result<Vec<VersionId>, CatalogError> {
        self.read(Reach::Scan, limit, |tx, limit| {
            Box::pin(manifest_debts(tx, *limit))
        })
        .await
    }
}

// STUB
async fn current(
    _: &mut dyn Transaction,
    _: &DatastoreId,
    _: &Key,
) -> Result<Option<Version>, CatalogError> {
    Err(CatalogError::Unavailable("not there yet".to_owned()))
}

// STUB
async fn version(
    _: &mut dyn Transaction,
    _: &DatastoreId,
    _: &Key,
    _: &VersionId,
) -> Result<Option<Version>, CatalogError> {
    Err(CatalogError::Unavailable("not there yet".to_owned()))
}

// STUB
async fn body(_: &mut dyn Transaction, _: &VersionId) -> Result<Option<Bytes>, CatalogError> {
    Err(CatalogError::Unavailable("not there yet".to_owned()))
}

// STUB
async fn open_version(
    _: &mut dyn Transaction,
    _: &DatastoreId,
    _: &Key,
    _: Option<&VersionId>,
    _: &Range<u32>,
) -> Result<Option<(Version, Bytes, Vec<Segment>)>, CatalogError> {
    Err(CatalogError::Unavailable("not there yet".to_owned()))
}

// STUB
async fn settle_manifests(_: &mut dyn Transaction, _: &[VersionId]) -> Result<(), CatalogError> {
    Err(CatalogError::Unavailable("not there yet".to_owned()))
}

// STUB
async fn manifest_debts(_: &mut dyn Transaction, _: usize) -> Result<Vec<VersionId>, CatalogError> {
    Err(CatalogError::Unavailable("not there yet".to_owned()))
}
