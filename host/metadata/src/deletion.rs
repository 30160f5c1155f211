//! Deleting objects and single versions.

use bytes::Bytes;

use crate::current::{self, Latest};
use crate::datastores::{self, Change};
use crate::transaction::Transaction;
use crate::versions::{self, NewVersion};
use crate::{Catalog, CatalogError, Condition, DatastoreId, Key, VersionId, keys, spent};

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
    /// another, all versions of the key are removed, and their segments become garbage due at `due_ms`; of `marker` only the id is used,
    /// so that the deletion is done once. PUTs under way that began before count as older than the deletion.
    ///
    /// # Errors
    /// `ConditionFailed`; `MarkerNeeded` if there is none and the datastore keeps versions; `VersionExists` if the marker's id is taken,
    /// or a deletion was done under it;
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

async fn delete_current(
    tx: &mut dyn Transaction,
    datastore: &DatastoreId,
    key: &Key,
    condition: Condition,
    marker: Option<&NewMarker>,
    now_ms: u64,
    due_ms: u64,
) -> Result<Removed, CatalogError> {
    keys::check(key)?;
    let (number, versioning) = datastores::draw_number(tx, datastore).await?;
    if let Some(marker) = marker
        && spent::is_used(tx, &marker.id).await?
    {
        return Err(CatalogError::VersionExists);
    }
    let before = current::latest(tx, datastore, key).await?;
    if !current::holds(condition, before.as_ref()) {
        return Err(CatalogError::ConditionFailed);
    }
    let (versions, mut change, now) = if versioning {
        let marker = marker.ok_or(CatalogError::MarkerNeeded)?;
        let change = Change {
            versions: 1,
            ..Change::default()
        };
        let now = insert_marker(tx, datastore, key, number, marker, now_ms).await?;
        (Vec::new(), change, Some(now))
    } else {
        if let Some(marker) = marker {
            spent::spend(tx, &[marker.id], due_ms).await?;
        }
        overtake_intents(tx, datastore, key).await?;
        let (versions, change) = versions::remove(tx, datastore, key, None, due_ms).await?;
        (versions, change, None)
    };
    change.objects += current::follow(tx, datastore, key, before.as_ref(), now.as_ref()).await?;
    change.apply(tx, datastore).await?;
    Ok(Removed {
        number,
        versions,
        marker: now.map(|marker| marker.id),
    })
}

async fn insert_marker(
    tx: &mut dyn Transaction,
    datastore: &DatastoreId,
    key: &Key,
    number: u64,
    marker: &NewMarker,
    now_ms: u64,
) -> Result<Latest, CatalogError> {
    let version = NewVersion {
        id: &marker.id,
        datastore,
        key,
        number,
        size: 0,
        created_ms: now_ms,
        policy: "",
        policy_version: 0,
        is_marker: true,
        head: &marker.head,
        tags: &[],
        body: &[],
    };
    version.insert(tx).await?;
    Ok(Latest {
        id: marker.id,
        number,
        is_marker: true,
        tags: Bytes::new(),
    })
}

/// The PUTs of a key that are under way drew their numbers before the deletion did: what removes everything up to its number removes
/// them too, now and in a catalogue that is rebuilt.
async fn overtake_intents(
    tx: &mut dyn Transaction,
    datastore: &DatastoreId,
    key: &Key,
) -> Result<(), CatalogError> {
    let sql = "UPDATE intent SET is_overtaken = 1 WHERE datastore = $1 AND key = $2";
    tx.execute(sql, &[datastore.into(), key.into()]).await?;
    Ok(())
}

async fn delete_version(
    tx: &mut dyn Transaction,
    datastore: &DatastoreId,
    key: &Key,
    version: &VersionId,
    due_ms: u64,
) -> Result<Removed, CatalogError> {
    let (number, _) = datastores::draw_number(tx, datastore).await?;
    let before = current::latest(tx, datastore, key).await?;
    let (versions, mut change) =
        versions::remove(tx, datastore, key, Some(version), due_ms).await?;
    if before.as_ref().is_some_and(|before| before.id == *version) {
        let now = current::latest(tx, datastore, key).await?;
        change.objects +=
            current::follow(tx, datastore, key, before.as_ref(), now.as_ref()).await?;
    }
    change.apply(tx, datastore).await?;
    Ok(Removed {
        number,
        versions,
        marker: None,
    })
}
