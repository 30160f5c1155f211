//! Datastores, policies, locations, usage, and the tenant's own records.

use futures_util::future::join_all;
use sc_metadata::{Datastore, DatastoreId, Location, LocationState, Subject, TenantId};
use sc_proto::coder::{self, call::Call, reply::Reply};
use sc_proto::storage;
use sc_proto::store::Done;
use sc_proto::store::problem::Code;
use serde_json::json;

use crate::error::Problem;
use crate::listing::page_size;
use crate::location::LocationSettings;
use crate::locations::candidates;
use crate::placement::place;
use crate::policy::Policy;
use crate::put::unexpected;
use crate::simulate::simulate;
use crate::store::{Store, id};

/// Length of the name of a datastore, policy or location at most, in bytes.
const NAME_MAX: usize = 63;

impl Store {
    /// A `CreateDatastore`.
    pub(crate) async fn create_datastore(
        &self,
        tenant: TenantId,
        request: &coder::Request,
        operation: &storage::CreateDatastore,
    ) -> Result<Done, Problem> {
        check_name("datastore", &operation.datastore)?;
        self.policy(&operation.policy).await?;
        let call = Call::MakeDatastore(coder::MakeDatastore {
            request: Some(request.clone()),
        });
        let Reply::DatastoreMade(made) = self.coders.call(tenant, call, &[]).await?.0 else {
            return Err(unexpected());
        };
        let stored = made.datastore.ok_or_else(unexpected)?;
        let datastore = Datastore {
            id: DatastoreId(id(&stored.id, "a datastore's id")?),
            tenant,
            name: operation.datastore.clone(),
            policy: operation.policy.clone(),
            versioning: operation.versioning,
            quota_bytes: Some(operation.quota_bytes).filter(|quota| *quota > 0),
            used_bytes: 0,
            objects: 0,
            wrapped_key: stored.wrapped_key,
            root_number: stored.root_number,
            created_ms: self.now_ms(),
        };
        self.catalog
            .create_datastore(&datastore)
            .await
            .map_err(|error| match Problem::from(error) {
                problem if problem.code == Code::Exists => Problem::new(
                    Code::Exists,
                    format!("there is a datastore {:?} already", operation.datastore),
                ),
                problem => problem,
            })?;
        self.settle_note(&Subject::Datastore(tenant, datastore.id))
            .await;
        Ok(Done {
            sealed: made.sealed,
            ..Default::default()
        })
    }

    /// An `UpdateDatastore`.
    pub(crate) async fn update_datastore(
        &self,
        tenant: TenantId,
        request: &coder::Request,
        operation: &storage::UpdateDatastore,
    ) -> Result<Done, Problem> {
        use storage::update_datastore::Versioning;
        let sealed = self.authorize(tenant, request).await?;
        let datastore = self.datastore(tenant, &operation.datastore).await?;
        let policy = Some(operation.policy.as_str()).filter(|name| !name.is_empty());
        if let Some(name) = policy {
            self.policy(name).await?;
        }
        let versioning = match operation.versioning() {
            Versioning::Unspecified => None,
            Versioning::On => Some(true),
            Versioning::Off => Some(false),
        };
        let quota = operation.quota_bytes;
        let quota = quota.map(|quota| Some(quota).filter(|quota| *quota > 0));
        self.catalog
            .update_datastore(datastore.id, policy, versioning, quota)
            .await?;
        self.settle_note(&Subject::Datastore(tenant, datastore.id))
            .await;
        Ok(done(sealed))
    }

    /// A `DeleteDatastore`.
    pub(crate) async fn delete_datastore(
        &self,
        tenant: TenantId,
        request: &coder::Request,
        operation: &storage::DeleteDatastore,
    ) -> Result<Done, Problem> {
        let sealed = self.authorize(tenant, request).await?;
        let datastore = self.datastore(tenant, &operation.datastore).await?;
        self.catalog.delete_datastore(datastore.id).await?;
        self.settle_note(&Subject::Datastore(tenant, datastore.id))
            .await;
        Ok(done(sealed))
    }

    /// A `ListDatastores`.
    pub(crate) async fn list_datastores(
        &self,
        tenant: TenantId,
        request: &coder::Request,
    ) -> Result<Done, Problem> {
        let sealed = self.authorize(tenant, request).await?;
        let datastores = self.catalog.datastores(tenant).await?;
        let each = datastores.iter().map(|it| {
            json!({
                "name": it.name,
                "policy": it.policy,
                "versioning": it.versioning,
                "quota_bytes": it.quota_bytes,
                "bytes": it.used_bytes,
                "objects": it.objects,
                "created_ms": it.created_ms,
                "root": it.root_number,
            })
        });
        Ok(with_document(sealed, each.collect()))
    }

    /// A `PutPolicy`, or the simulation of one.
    pub(crate) async fn put_policy(
        &self,
        tenant: TenantId,
        request: &coder::Request,
        operation: &storage::PutPolicy,
    ) -> Result<Done, Problem> {
        let sealed = self.authorize(tenant, request).await?;
        let policy = if operation.definition.is_empty() && operation.simulate {
            self.policy(&operation.name).await?.policy.clone()
        } else {
            Policy::parse(&operation.definition)?
        };
        let document = self.simulated(&policy)?;
        if !operation.simulate {
            check_name("policy", &operation.name)?;
            self.catalog
                .put_policy(&operation.name, &policy.definition())
                .await?;
        }
        Ok(with_document(sealed, document))
    }

    /// What a policy costs and survives with the locations that there are.
    ///
    /// # Errors
    /// It cannot be carried out with them.
    fn simulated(&self, policy: &Policy) -> Result<serde_json::Value, Problem> {
        let sites = self.locations.now();
        let mut candidates = candidates(&sites);
        candidates.iter_mut().for_each(|it| it.is_well = true);
        let placed = place(policy, &candidates, &[0; 32])?;
        Ok(simulate(policy, &candidates, &placed))
    }

    /// A `ListPolicies`.
    pub(crate) async fn list_policies(
        &self,
        tenant: TenantId,
        request: &coder::Request,
    ) -> Result<Done, Problem> {
        let sealed = self.authorize(tenant, request).await?;
        let policies = self.catalog.policies().await?;
        let each = policies.iter().map(|it| {
            let definition: serde_json::Value =
                serde_json::from_str(&it.definition).unwrap_or_default();
            json!({"name": it.name, "version": it.version, "definition": definition})
        });
        Ok(with_document(sealed, each.collect()))
    }

    /// A `PutLocation`: a new one, or another state.
    pub(crate) async fn put_location(
        &self,
        tenant: TenantId,
        request: &coder::Request,
        operation: &storage::PutLocation,
    ) -> Result<Done, Problem> {
        let sealed = self.authorize(tenant, request).await?;
        check_name("location", &operation.name)?;
        let state = parse_state(&operation.state)?;
        if operation.settings.is_empty() {
            self.may_become(&operation.name, state).await?;
            let state = self
                .catalog
                .set_location_state(&operation.name, state)
                .await?;
            self.locations.set_state(&operation.name, state);
            self.begin_work_for(&operation.name, state).await?;
        } else {
            let settings = LocationSettings::parse(&operation.settings)
                .map_err(|error| Problem::malformed(&error))?;
            self.may_become(&operation.name, state).await?;
            self.add_location(&operation.name, settings, state).await?;
        }
        Ok(done(sealed))
    }

    /// Refuses to drain a location that was lost, or only to read it, before it has returned.
    async fn may_become(&self, name: &str, state: LocationState) -> Result<(), Problem> {
        if !matches!(state, LocationState::Draining | LocationState::ReadOnly) {
            return Ok(());
        }
        let all = self.catalog.locations().await?;
        let is_back =
            |it: &Location| !matches!(it.state, LocationState::Lost | LocationState::Returning);
        match all.iter().find(|it| it.name == name) {
            Some(location) if !is_back(location) => Err(Problem::new(
                Code::InUse,
                format!(
                    "location {name} was lost: make it active first, and {} when it has returned",
                    state.as_str()
                ),
            )),
            _ => Ok(()),
        }
    }

    /// Makes a policy known, unless there is one of its name; where a rebuild is due, when that is done, since it may bring one.
    ///
    /// # Errors
    /// The catalogue does not answer.
    pub async fn ensure_policy(&self, name: &str, policy: &Policy) -> Result<(), Problem> {
        self.rebuilding.remember(name, policy);
        if !self.rebuilding.is_due() && self.catalog.policy(name, None).await?.is_none() {
            self.catalog.put_policy(name, &policy.definition()).await?;
        }
        Ok(())
    }

    /// A `ListLocations`.
    pub(crate) async fn list_locations(
        &self,
        tenant: TenantId,
        request: &coder::Request,
    ) -> Result<Done, Problem> {
        let sealed = self.authorize(tenant, request).await?;
        let sites = self.locations.now();
        let each = sites.values().map(async |site| {
            let patience = self.settings.straggler_patience;
            let usage = tokio::time::timeout(patience, site.backend.usage()).await;
            let (usage, why) = match usage {
                Ok(Ok(usage)) => (Some(usage), None),
                Ok(Err(error)) => (None, Some(error.to_string())),
                Err(_) => (None, Some("no answer in time".to_owned())),
            };
            json!({
                "name": site.name,
                "settings": site.settings,
                "state": site.state.as_str(),
                "answers": site.is_well() && usage.is_some(),
                "latency_us": u64::try_from(site.latency().as_micros()).unwrap_or(u64::MAX),
                "fragments": usage.as_ref().map(|it| it.fragments),
                "bytes": usage.as_ref().map(|it| it.bytes),
                "free_bytes": usage.as_ref().and_then(|it| it.free_bytes),
                "why": why,
            })
        });
        let each = join_all(each).await;
        Ok(with_document(sealed, each.into()))
    }

    /// A `GetUsage`.
    pub(crate) async fn get_usage(
        &self,
        tenant: TenantId,
        request: &coder::Request,
    ) -> Result<Done, Problem> {
        let sealed = self.authorize(tenant, request).await?;
        let usage = self.catalog.usage(tenant).await?;
        let document = json!({
            "datastores": usage.datastores,
            "objects": usage.objects,
            "versions": usage.versions,
            "bytes": usage.bytes,
            "stored_bytes": usage.stored_bytes,
        });
        Ok(with_document(sealed, document))
    }

    /// A `PutRecord`.
    pub(crate) async fn put_record(
        &self,
        tenant: TenantId,
        request: &coder::Request,
        operation: &storage::PutRecord,
    ) -> Result<Done, Problem> {
        let call = Call::SealRecord(coder::SealRecord {
            request: Some(request.clone()),
        });
        let Reply::RecordSealed(sealed) = self.coders.call(tenant, call, &[]).await?.0 else {
            return Err(unexpected());
        };
        self.catalog
            .put_record(
                tenant,
                &operation.kind,
                &operation.id,
                sealed.record,
                operation.only_if_absent,
            )
            .await?;
        self.settle_record(tenant, &operation.kind, &operation.id)
            .await;
        Ok(done(sealed.sealed))
    }

    /// A `GetRecord`.
    pub(crate) async fn get_record(
        &self,
        tenant: TenantId,
        request: &coder::Request,
        operation: &storage::GetRecord,
    ) -> Result<Done, Problem> {
        let record = self
            .catalog
            .record(tenant, &operation.kind, &operation.id)
            .await?;
        let records = record.map(|record| coder::StoredRecord {
            id: operation.id.clone(),
            record,
        });
        self.open_records(tenant, request, records.into_iter().collect())
            .await
    }

    /// A `ListRecords`.
    pub(crate) async fn list_records(
        &self,
        tenant: TenantId,
        request: &coder::Request,
        operation: &storage::ListRecords,
    ) -> Result<Done, Problem> {
        let limit = page_size(operation.limit)?;
        let after = Some(operation.after.as_str()).filter(|it| !it.is_empty());
        let records = self
            .catalog
            .records(tenant, &operation.kind, after, limit)
            .await?;
        let records = records.into_iter();
        let records = records.map(|(id, record)| coder::StoredRecord { id, record });
        self.open_records(tenant, request, records.collect()).await
    }

    async fn open_records(
        &self,
        tenant: TenantId,
        request: &coder::Request,
        records: Vec<coder::StoredRecord>,
    ) -> Result<Done, Problem> {
        let call = Call::OpenRecords(coder::OpenRecords {
            request: Some(request.clone()),
            records,
        });
        match self.coders.call(tenant, call, &[]).await?.0 {
            Reply::Sealed(sealed) => Ok(done(Some(sealed))),
            _ => Err(unexpected()),
        }
    }

    /// A `DeleteRecord`.
    pub(crate) async fn delete_record(
        &self,
        tenant: TenantId,
        request: &coder::Request,
        operation: &storage::DeleteRecord,
    ) -> Result<Done, Problem> {
        let sealed = self.authorize(tenant, request).await?;
        self.catalog
            .delete_record(tenant, &operation.kind, &operation.id)
            .await?;
        self.settle_record(tenant, &operation.kind, &operation.id)
            .await;
        Ok(done(sealed))
    }
}

pub(crate) fn done(sealed: Option<coder::Sealed>) -> Done {
    Done {
        sealed,
        ..Default::default()
    }
}

pub(crate) fn with_document(sealed: Option<coder::Sealed>, document: serde_json::Value) -> Done {
    Done {
        sealed,
        document: document.to_string(),
        ..Default::default()
    }
}

/// Names go into paths, URLs and logs: lower-case letters, digits, `-`, `_` and `.`, beginning with a letter or digit.
fn check_name(what: &str, name: &str) -> Result<(), Problem> {
    let is_plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    let is_fit = (1..=NAME_MAX).contains(&name.len())
        && name.bytes().next().is_some_and(is_plain)
        && name
            .bytes()
            .all(|byte| is_plain(byte) || matches!(byte, b'-' | b'_' | b'.'));
    if is_fit {
        return Ok(());
    }
    Err(Problem::malformed(&format!(
        "{what} {name:?}: a name has 1 to {NAME_MAX} of a-z, 0-9, -, _ and ., and begins with a letter or digit"
    )))
}

fn parse_state(word: &str) -> Result<LocationState, Problem> {
    match word {
        "" => Ok(LocationState::Active),
        word => word
            .parse()
            .ok()
            // A store alone says so, of what was lost.
            .filter(|state| *state != LocationState::Returning)
            .ok_or_else(|| {
                Problem::malformed(&format!(
                    "state {word:?}: expected active, draining, read-only or lost"
                ))
            }),
    }
}
