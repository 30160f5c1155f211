//! Datastores' keys are wrapped by the tenant's current root, while requests go on.
//!
//! Invariant: a key is replaced only by the same key under a later root, and only if nobody else has replaced it meanwhile; whoever reads the
//! one before opens the same datastore.

use bytes::Bytes;
use sc_metadata::{CatalogError, Datastore, Subject, TenantId};
use sc_proto::coder::{self, call::Call, reply::Reply};
use sc_proto::store::Done;
use serde_json::json;

use crate::administration::with_document;
use crate::error::Problem;
use crate::put::unexpected;
use crate::store::{Store, for_coder};

impl Store {
    /// A `RewrapDatastores`.
    pub(crate) async fn rewrap_datastores(
        &self,
        tenant: TenantId,
        request: &coder::Request,
    ) -> Result<Done, Problem> {
        let sealed = self.authorize(tenant, request).await?;
        let datastores = self.catalog.datastores(tenant).await?;
        let (mut rewrapped, mut roots) = (0, Vec::with_capacity(datastores.len()));
        for datastore in &datastores {
            let root = self.rewrap(tenant, datastore).await?;
            rewrapped += u64::from(root != datastore.root_number);
            roots.push(root);
        }
        let document = json!({
            "datastores": datastores.len(),
            "rewrapped": rewrapped,
            "oldest_root": roots.into_iter().min(),
        });
        Ok(with_document(sealed, document))
    }

    /// Wraps one datastore's key by the current root, unless it is already; gives the number of the root that wraps it then.
    async fn rewrap(&self, tenant: TenantId, datastore: &Datastore) -> Result<u32, Problem> {
        let call = Call::Rewrap(coder::Rewrap {
            tenant: Bytes::copy_from_slice(&tenant.0),
            datastore: for_coder(datastore),
        });
        let Reply::Rewrapped(made) = self.coders.call(tenant, call, &[]).await?.0 else {
            return Err(unexpected());
        };
        let made = made.datastore.ok_or_else(unexpected)?;
        if made.root_number <= datastore.root_number {
            return Ok(datastore.root_number);
        }
        let (id, before) = (datastore.id, datastore.root_number);
        let replaced = self
            .catalog
            .rewrap_datastore(id, before, made.wrapped_key, made.root_number)
            .await;
        match replaced {
            Ok(()) => {
                self.settle_note(&Subject::Datastore(tenant, id)).await;
                Ok(made.root_number)
            }
            // Somebody else has, or it was deleted meanwhile: then no key of it is left.
            Err(CatalogError::ConditionFailed | CatalogError::NoSuchDatastore) => {
                let now = self.catalog.datastore_by_id(id).await?;
                Ok(now.map_or(made.root_number, |it| it.root_number))
            }
            Err(error) => Err(error.into()),
        }
    }
}
