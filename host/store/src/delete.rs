//! Objects are deleted: in the catalogue first, then a removal or a marker's manifest at the locations, and after a while the fragments.
//!
//! Invariant: a deletion is acknowledged when what says so lies at as many locations as fragments may be lost, and one: no catalogue that is
//! made again of the locations brings the object back. A request that comes again deletes nothing that came after it, and makes good what
//! was left undone.

use bytes::Bytes;
use sc_backend::FragmentName;
use sc_metadata::{CatalogError, Condition, Datastore, NewMarker, TenantId, VersionId};
use sc_proto::coder::{self, call::Call, reply::Reply};
use sc_proto::storage;
use sc_proto::store::Done;
use sc_proto::store::problem::Code;

use crate::error::Problem;
use crate::get::optional_version;
use crate::manifests::{manifest_name, removal_name};
use crate::policy::Policy;
use crate::put::{check_key, condition, unexpected};
use crate::store::{Store, for_coder, id};

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
        let datastore = self.datastore(tenant, &operation.datastore).await?;
        let marker = VersionId(id(&operation.marker, "a marker's version id")?);
        let due_ms = self.in_ms(self.settings.grace);
        let named = match optional_version(&operation.version)? {
            Some(version) => {
                if condition(operation.condition.as_ref())? != Condition::None {
                    return Err(Problem::malformed(
                        "a condition is about the current object: leave it out, or the version",
                    ));
                }
                let removed = self
                    .catalog
                    .delete_version(datastore.id, &operation.key, version, due_ms)
                    .await?;
                self.keep_removal(tenant, request, operation, &datastore)
                    .await?;
                removed.versions.first().copied()
            }
            None if datastore.versioning => {
                self.put_marker(tenant, request, operation, &datastore, marker)
                    .await?;
                Some(marker)
            }
            None => {
                self.delete_current(tenant, request, operation, &datastore, marker)
                    .await?
            }
        };
        Ok(Done {
            sealed,
            version: named.map_or_else(Bytes::new, |it| Bytes::copy_from_slice(&it.0)),
            ..Default::default()
        })
    }

    /// Removes the object of a datastore that keeps no versions.
    async fn delete_current(
        &self,
        tenant: TenantId,
        request: &coder::Request,
        operation: &storage::DeleteObject,
        datastore: &Datastore,
        deletion: VersionId,
    ) -> Result<Option<VersionId>, Problem> {
        // Of the marker only the id is used: it is the deletion's, by which the catalogue knows it again.
        let marker = NewMarker {
            id: deletion,
            head: Bytes::new(),
        };
        let removed = self
            .catalog
            .delete_current(
                datastore.id,
                &operation.key,
                condition(operation.condition.as_ref())?,
                Some(marker),
                self.now_ms(),
                self.in_ms(self.settings.grace),
            )
            .await;
        let version = match removed {
            Ok(removed) => removed.versions.last().copied(),
            // Done by an earlier try, which may not have come to the removal.
            Err(CatalogError::VersionExists) => None,
            Err(error) => return Err(error.into()),
        };
        self.keep_removal(tenant, request, operation, datastore)
            .await?;
        Ok(version)
    }

    /// Puts a delete marker on top of an object's versions, and its manifest at the locations.
    async fn put_marker(
        &self,
        tenant: TenantId,
        request: &coder::Request,
        operation: &storage::DeleteObject,
        datastore: &Datastore,
        id: VersionId,
    ) -> Result<(), Problem> {
        let now_ms = self.now_ms();
        let call = Call::SealMarker(coder::SealMarker {
            request: Some(request.clone()),
            datastore: for_coder(datastore),
            number: 0,
            created_ms: now_ms,
        });
        let Reply::MarkerSealed(made) = self.coders.call(tenant, call, &[]).await?.0 else {
            return Err(unexpected());
        };
        let marker = NewMarker {
            id,
            head: made.head,
        };
        let put = self
            .catalog
            .delete_current(
                datastore.id,
                &operation.key,
                condition(operation.condition.as_ref())?,
                Some(marker),
                now_ms,
                self.in_ms(self.settings.grace),
            )
            .await;
        match put {
            // Done by an earlier try, which may not have come to the manifest.
            Ok(_) | Err(CatalogError::VersionExists) => {}
            Err(error) => return Err(error.into()),
        }
        let stored = self
            .catalog
            .version(datastore.id, &operation.key, id)
            .await?;
        let Some(stored) = stored.filter(|stored| stored.is_marker) else {
            // The marker is gone again.
            return Ok(());
        };
        let policy = self.policy(&datastore.policy).await?;
        let manifest = storage::StoredManifest {
            tenant: Bytes::copy_from_slice(&tenant.0),
            datastore: Bytes::copy_from_slice(&datastore.id.0),
            datastore_name: datastore.name.clone(),
            root_number: datastore.root_number,
            wrapped_key: datastore.wrapped_key.clone(),
            key: stored.key,
            version: Bytes::copy_from_slice(&id.0),
            number: stored.number,
            created_ms: stored.created_ms,
            head: stored.head,
            marker: true,
            ..Default::default()
        };
        self.keep_word(&policy.policy, &id, &manifest_name(id), &manifest)
            .await
    }

    /// Has the coder say that versions are gone, and keeps that at the locations, for as long as anything of them may be there.
    async fn keep_removal(
        &self,
        tenant: TenantId,
        request: &coder::Request,
        operation: &storage::DeleteObject,
        datastore: &Datastore,
    ) -> Result<(), Problem> {
        let number = self.catalog.last_removed(datastore.id, &operation.key);
        let Some(number) = number.await? else {
            return Ok(());
        };
        let call = Call::SealRemoval(coder::SealRemoval {
            request: Some(request.clone()),
            datastore: for_coder(datastore),
            number,
        });
        let Reply::RemovalSealed(sealed) = self.coders.call(tenant, call, &[]).await?.0 else {
            return Err(unexpected());
        };
        let stored = storage::StoredRemoval {
            tenant: Bytes::copy_from_slice(&tenant.0),
            datastore: Bytes::copy_from_slice(&datastore.id.0),
            key: operation.key.clone(),
            version: operation.version.clone(),
            number,
            record: sealed.record,
        };
        let policy = self.policy(&datastore.policy).await?;
        let id = VersionId(id(&operation.marker, "a marker's version id")?);
        self.keep_word(&policy.policy, &id, &removal_name(&id.0), &stored)
            .await
    }

    /// Keeps what says that something is deleted, in as many copies as may be lost and one.
    async fn keep_word(
        &self,
        policy: &Policy,
        id: &VersionId,
        name: &FragmentName,
        word: &impl prost::Message,
    ) -> Result<(), Problem> {
        let mut seed = [0; 32];
        seed[..16].copy_from_slice(&id.0);
        let word = Bytes::from(word.encode_to_vec());
        if self.keep_copies(policy, &seed, name, &word).await {
            return Ok(());
        }
        Err(Problem::new(
            Code::Unavailable,
            "the object is deleted, but too few locations answer to make sure that it stays so; delete it again when they are back",
        ))
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
