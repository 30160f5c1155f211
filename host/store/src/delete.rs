//! Objects are deleted: in the catalogue first, then a removal at the locations, and after a while the fragments.
//!
//! Invariant: a deletion is acknowledged when its removal lies at as many locations as fragments may be lost, and one: no catalogue that is
//! made again of the locations brings the object back.

use bytes::Bytes;
use prost::Message as _;
use sc_metadata::{Datastore, NewMarker, Removed, TenantId, VersionId};
use sc_proto::coder::{self, call::Call, reply::Reply};
use sc_proto::storage;
use sc_proto::store::Done;
use sc_proto::store::problem::Code;

use crate::error::Problem;
use crate::get::optional_version;
use crate::manifests::{removal_name, versions_note};
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
        let marker: [u8; 16] = id(&operation.marker, "a marker's version id")?;
        let removed = match optional_version(&operation.version)? {
            Some(version) => {
                let due_ms = self.in_ms(self.settings.grace);
                self.catalog
                    .delete_version(datastore.id, &operation.key, version, due_ms)
                    .await?
            }
            None => {
                self.delete_current(tenant, request, operation, &datastore, VersionId(marker))
                    .await?
            }
        };
        if !removed.versions.is_empty() || removed.marker.is_some() {
            self.keep_removal(tenant, request, operation, &datastore, marker, &removed)
                .await?;
        }
        let named = removed.marker.or(removed.versions.first().copied());
        Ok(Done {
            sealed,
            version: named.map_or_else(Bytes::new, |it| Bytes::copy_from_slice(&it.0)),
            ..Default::default()
        })
    }

    async fn delete_current(
        &self,
        tenant: TenantId,
        request: &coder::Request,
        operation: &storage::DeleteObject,
        datastore: &Datastore,
        marker: VersionId,
    ) -> Result<Removed, Problem> {
        let condition = condition(operation.condition.as_ref())?;
        let now_ms = self.now_ms();
        let marker = if datastore.versioning {
            let call = Call::SealMarker(coder::SealMarker {
                request: Some(request.clone()),
                datastore: for_coder(datastore),
                number: 0,
                created_ms: now_ms,
            });
            let Reply::MarkerSealed(made) = self.coders.call(tenant, call, &[]).await?.0 else {
                return Err(unexpected());
            };
            Some(NewMarker {
                id: marker,
                head: made.head,
            })
        } else {
            None
        };
        let due_ms = self.in_ms(self.settings.grace);
        Ok(self
            .catalog
            .delete_current(
                datastore.id,
                &operation.key,
                condition,
                marker,
                now_ms,
                due_ms,
            )
            .await?)
    }

    /// Has the coder say that versions are gone, and keeps that at the locations.
    async fn keep_removal(
        &self,
        tenant: TenantId,
        request: &coder::Request,
        operation: &storage::DeleteObject,
        datastore: &Datastore,
        id: [u8; 16],
        removed: &Removed,
    ) -> Result<(), Problem> {
        let call = Call::SealRemoval(coder::SealRemoval {
            request: Some(request.clone()),
            datastore: for_coder(datastore),
            number: removed.number,
        });
        let Reply::RemovalSealed(sealed) = self.coders.call(tenant, call, &[]).await?.0 else {
            return Err(unexpected());
        };
        let stored = storage::StoredRemoval {
            tenant: Bytes::copy_from_slice(&tenant.0),
            datastore: Bytes::copy_from_slice(&datastore.id.0),
            key: operation.key.clone(),
            version: operation.version.clone(),
            number: removed.number,
            record: sealed.record,
        };
        let note = versions_note(&removed.versions);
        self.catalog
            .put_removal(datastore.id, &operation.key, removed.number, note)
            .await?;
        let policy = self.policy(&datastore.policy).await?;
        let mut seed = [0; 32];
        seed[..16].copy_from_slice(&id);
        let stored = Bytes::from(stored.encode_to_vec());
        if !self
            .keep_copies(&policy.policy, &seed, &removal_name(&id), &stored)
            .await
        {
            return Err(Problem::new(
                Code::Unavailable,
                "the object is deleted, but too few locations answer to make sure that it stays so; delete it again when they are back",
            ));
        }
        Ok(())
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
