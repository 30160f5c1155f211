//! Deleting objects and single versions.

use bytes::Bytes;

use crate::{
    Catalog, CatalogError, Condition, DatastoreId, Key, VersionId, transaction::Transaction,
};

/// A delete marker to be put on top of an object's versions.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewMarker {
    /// Its id as a version.
    pub id: VersionId,
    /// Its manifest's head, sealed.
    pub head: Bytes,
}

/// What a deletion did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Removed {
    /// Drawn for this deletion: every version of the key that it removed has a lower one, and so has every PUT that began before it.
    pub number: u64,
    /// The versions that are gone, by number.
    pub versions: Vec<VersionId>,
    /// The marker that is the key's latest version now.
    pub marker: Option<VersionId>,
}

impl Catalog {
    /// Deletes an object. In a datastore that keeps versions `marker` becomes the key's latest version, also if there is no object; in
    /// another, `marker` is not used and all versions of the key are removed, and their segments become garbage due at `due_ms`. PUTs
    /// under way that began before count as older than the deletion.
    ///
    /// # Errors
    /// `ConditionFailed`; `MarkerNeeded` if there is none and the datastore keeps versions; `VersionExists` if the marker's id is taken;
    /// `NoSuchDatastore`; `Invalid` for a key of impossible length.
    pub async fn delete_current(
        &self,
        datastore: DatastoreId,
        key: &Key,
        condition: Condition,
        marker: Option<NewMarker>,
        now_ms: u64,
        due_ms: u64,
    ) -> Result<Removed, CatalogError> {
        self.write(
            (datastore, key.clone(), condition, marker, now_ms, due_ms),
            |tx, (datastore, key, condition, marker, now_ms, due_ms)| {
                let marker = marker.as_ref();
                Box::pin(delete_current(
                    tx, datastore, key, *condition, marker, *now_ms, *due_ms,
                ))
            },
        )
        .await
    }

    /// Removes one version or marker of a key; its segments become garbage due at `due_ms`. If it was the latest, the one before it is
    /// from then on. Removes nothing if there is no such version.
    ///
    /// # Errors
    /// `NoSuchDatastore`.
    pub async fn delete_version(
        &self,
        datastore: DatastoreId,
        key: &Key,
        version: VersionId,
        due_ms: u64,
    ) -> Result<Removed, CatalogError> {
        self.write(
            (datastore, key.clone(), version, due_ms),
            |tx, (datastore, key, version, due_ms)| {
                Box::pin(delete_version(tx, datastore, key, version, *due_ms))
            },
        )
        .await
    }
}

// STUB
async fn delete_current(
    _: &mut dyn Transaction,
    _: &DatastoreId,
    _: &Key,
    _: Condition,
    _: Option<&NewMarker>,
    _: u64,
    _: u64,
) -> Result<Removed, CatalogError> {
    Err(CatalogError::Unavailable("not there yet".to_owned()))
}

// STUB
async fn delete_version(
    _: &mut dyn Transaction,
    _: &DatastoreId,
    _: &Key,
    _: &VersionId,
    _: u64,
) -> Result<Removed, CatalogError> {
    Err(CatalogError::Unavailable("not there yet".to_owned()))
}
