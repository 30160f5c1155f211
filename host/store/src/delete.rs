//! Objects are deleted: in the catalogue first, then a removal or a marker's manifest at the locations, and after a while the fragments.
//!
//! Invariant: a deletion is told as sure when what says so lies at as many locations as fragments may be lost, and one: no catalogue that is
//! made again of the locations brings the object back. One that the catalogue has taken is never told as failed. A request that comes again
//! deletes nothing that came after it, and makes good what was left undone.

use bytes::Bytes;
use sc_backend::FragmentName;
use sc_metadata::{CatalogError, Condition, Datastore, NewMarker, Removed, TenantId, VersionId};
use sc_proto::coder::{self, call::Call, reply::Reply};
use sc_proto::storage;
use sc_proto::store::Done;

use crate::error::Problem;
use crate::get::optional_version;
use crate::manifests::{manifest_name, marker_copy, removal_name, seed_of};
use crate::policy::Policy;
use crate::put::{check_key, condition, unexpected};
use crate::store::{Store, for_coder, id};

/// What is deleted, whichever way.
struct Deletion<'d> {
    tenant: TenantId,
    request: &'d coder::Request,
    operation: &'d storage::DeleteObject,
    datastore: Datastore,
    condition: Condition,
    /// The marker's, and where none is put the deletion's own, by which it is known again.
    id: VersionId,
}

impl Store {
    /// A `DeleteObject`.
    pub(crate) async fn delete_object(
        &self,
        tenant: TenantId,
        request: &coder::Request,
        operation: &storage::DeleteObject,
    ) -> Result<Done, Problem> {
        check_key(&operation.key)?;
        let sealed = self.authorize(tenant, request).await?;
        let deletion = Deletion {
            tenant,
            request,
            operation,
            datastore: self.datastore(tenant, &operation.datastore).await?,
            condition: condition(operation.condition.as_ref())?,
            id: VersionId(id(&operation.marker, "a marker's version id")?),
        };
        let datastore = &deletion.datastore;
        let due_ms = self.in_ms(self.settings.grace);
        let (named, is_sure) = match optional_version(&operation.version)? {
            Some(version) => {
                if deletion.condition != Condition::None {
                    return Err(Problem::malformed(
                        "a condition is about the current object: leave it out, or the version",
                    ));
                }
                let removed = self
                    .catalog
                    .delete_version(datastore.id, &operation.key, version, due_ms)
                    .await?;
                let is_sure = self.keep_removal(&deletion).await;
                (removed.versions.first().copied(), is_sure)
            }
            None if datastore.versioning => {
                let is_sure = self.put_marker(&deletion).await?;
                (Some(deletion.id), is_sure)
            }
            None => self.delete_current(&deletion).await?,
        };
        Ok(Done {
            sealed,
            version: named.map_or_else(Bytes::new, |it| Bytes::copy_from_slice(&it.0)),
            is_unsure: !is_sure,
            ..Default::default()
        })
    }

    /// Removes the object of a datastore that keeps no versions; whether that is sure.
    async fn delete_current(
        &self,
        deletion: &Deletion<'_>,
    ) -> Result<(Option<VersionId>, bool), Problem> {
        let removed = self
            .delete_in_catalogue(deletion, Bytes::new(), self.now_ms())
            .await;
        let version = match removed {
            Ok(removed) => removed.versions.last().copied(),
            // Done by an earlier try, which may not have come to the removal.
            Err(CatalogError::VersionExists) => None,
            Err(error) => return Err(error.into()),
        };
        Ok((version, self.keep_removal(deletion).await))
    }

    /// `head` is the marker's, of which a datastore that keeps no versions uses the id alone.
    async fn delete_in_catalogue(
        &self,
        deletion: &Deletion<'_>,
        head: Bytes,
        now_ms: u64,
    ) -> Result<Removed, CatalogError> {
        let marker = NewMarker {
            id: deletion.id,
            head,
        };
        self.catalog
            .delete_current(
                deletion.datastore.id,
                &deletion.operation.key,
                deletion.condition,
                Some(marker),
                now_ms,
                self.in_ms(self.settings.grace),
            )
            .await
    }

    /// Puts a delete marker on top of an object's versions, and its manifest at the locations; whether that is sure.
    async fn put_marker(&self, deletion: &Deletion<'_>) -> Result<bool, Problem> {
        let now_ms = self.now_ms();
        let call = Call::SealMarker(coder::SealMarker {
            request: Some(deletion.request.clone()),
            datastore: for_coder(&deletion.datastore),
            number: 0,
            created_ms: now_ms,
        });
        let (reply, _) = self.coders.call(deletion.tenant, call, &[]).await?;
        let Reply::MarkerSealed(made) = reply else {
            return Err(unexpected());
        };
        let put = self.delete_in_catalogue(deletion, made.head, now_ms).await;
        match put {
            // Done by an earlier try, which may not have come to the manifest.
            Ok(_) | Err(CatalogError::VersionExists) => {}
            Err(error) => return Err(error.into()),
        }
        Ok(sure(self.keep_marker(deletion).await))
    }

    /// Puts a marker's manifest at the locations; whether enough have it.
    async fn keep_marker(&self, deletion: &Deletion<'_>) -> Result<bool, Problem> {
        let (datastore, id) = (&deletion.datastore, deletion.id);
        let key = &deletion.operation.key;
        let stored = self.catalog.version(datastore.id, key, id).await?;
        let Some(stored) = stored.filter(|stored| stored.is_marker) else {
            // The marker is gone again.
            return Ok(true);
        };
        let policy = self.policy(&datastore.policy).await?;
        let copy = marker_copy(datastore, &stored);
        let name = manifest_name(id);
        let seed = seed_of(&id);
        Ok(self.keep_copies(&policy.policy, &seed, &name, &copy).await)
    }

    /// Has the coder say that versions are gone, and keeps that at the locations, for as long as anything of them may be there; whether
    /// enough have it.
    async fn keep_removal(&self, deletion: &Deletion<'_>) -> bool {
        sure(self.try_keep_removal(deletion).await)
    }

    async fn try_keep_removal(&self, deletion: &Deletion<'_>) -> Result<bool, Problem> {
        let (datastore, operation) = (&deletion.datastore, deletion.operation);
        // The row knows of the file before it is written, so that it is found again when it can go.
        let named = self
            .catalog
            .name_removal(datastore.id, &operation.key, deletion.id.0);
        let Some(number) = named.await? else {
            return Ok(true);
        };
        let call = Call::SealRemoval(coder::SealRemoval {
            request: Some(deletion.request.clone()),
            datastore: for_coder(datastore),
            number,
        });
        let (reply, _) = self.coders.call(deletion.tenant, call, &[]).await?;
        let Reply::RemovalSealed(sealed) = reply else {
            return Err(unexpected());
        };
        let stored = storage::StoredRemoval {
            tenant: Bytes::copy_from_slice(&deletion.tenant.0),
            datastore: Bytes::copy_from_slice(&datastore.id.0),
            key: operation.key.clone(),
            version: operation.version.clone(),
            number,
            record: sealed.record,
        };
        let policy = self.policy(&datastore.policy).await?;
        let id = deletion.id;
        let name = removal_name(&id.0);
        Ok(self.keep_word(&policy.policy, &id, &name, &stored).await)
    }

    /// Keeps what says that something is deleted; whether in as many copies as may be lost and one.
    async fn keep_word(
        &self,
        policy: &Policy,
        id: &VersionId,
        name: &FragmentName,
        word: &impl prost::Message,
    ) -> bool {
        let word = Bytes::from(word.encode_to_vec());
        self.keep_copies(policy, &seed_of(id), name, &word).await
    }

    /// Asks a coder whether a request may be done at all.
    pub(crate) async fn authorize(
        &self,
        tenant: TenantId,
        request: &coder::Request,
    ) -> Result<Option<coder::Sealed>, Problem> {
        let call = Call::Authorize(coder::Authorize {
            request: Some(request.clone()),
        });
        match self.coders.call(tenant, call, &[]).await?.0 {
            Reply::Sealed(sealed) => Ok(Some(sealed)),
            _ => Err(unexpected()),
        }
    }
}

/// Whether a deletion is sure; what has kept that from being so cannot undo it.
fn sure(kept: Result<bool, Problem>) -> bool {
    kept.unwrap_or_else(|problem| {
        tracing::warn!(problem = problem.message, "a deletion is not sure yet");
        false
    })
}
