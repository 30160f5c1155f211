//! Datastores, policies, locations, jobs, and the tenant's own records.

use prost::Message as _;
use sc_crypto::Plaintext;
use sc_proto::storage::{self, operation::Operation as Kind};

use super::{KvClient, KvError};

/// A new datastore.
#[derive(Debug, Clone, Default)]
pub struct DatastoreOptions {
    /// The policy of objects that name none.
    pub policy: String,
    /// Whether older versions are kept.
    pub versioning: bool,
    /// Bytes of content that it may hold; none: any.
    pub quota_bytes: Option<u64>,
    /// Tags that can be searched for, at the price that the store sees which objects share a value.
    pub indexed_tags: Vec<String>,
}

/// What is to change of a datastore; the rest stays.
#[derive(Debug, Clone, Default)]
pub struct DatastoreChange {
    /// The policy of objects that are written from now on.
    pub policy: Option<String>,
    /// Whether older versions are kept from now on.
    pub versioning: Option<bool>,
    /// A new quota in bytes; `Some(0)`: none.
    pub quota_bytes: Option<u64>,
}

impl KvClient {
    /// Makes a datastore.
    ///
    /// # Errors
    /// [`KvError`]; the code `EXISTS` where there is one of that name.
    pub async fn create_datastore(
        &self,
        name: &str,
        options: &DatastoreOptions,
    ) -> Result<(), KvError> {
        let operation = Kind::CreateDatastore(storage::CreateDatastore {
            datastore: name.to_owned(),
            policy: options.policy.clone(),
            versioning: options.versioning,
            quota_bytes: options.quota_bytes.unwrap_or(0),
        });
        let secret = storage::DatastoreSecret {
            indexed_tags: options.indexed_tags.clone(),
        };
        let secret = Plaintext::new(secret.encode_to_vec());
        self.ask(operation, &secret, &[], false).await.map(drop)
    }

    /// Changes a datastore.
    ///
    /// # Errors
    /// [`KvError`].
    pub async fn update_datastore(
        &self,
        name: &str,
        change: &DatastoreChange,
    ) -> Result<(), KvError> {
        use storage::update_datastore::Versioning;
        let versioning = match change.versioning {
            None => Versioning::Unspecified,
            Some(true) => Versioning::On,
            Some(false) => Versioning::Off,
        };
        let operation = Kind::UpdateDatastore(storage::UpdateDatastore {
            datastore: name.to_owned(),
            policy: change.policy.clone().unwrap_or_default(),
            versioning: versioning.into(),
            quota_bytes: change.quota_bytes,
        });
        self.ask(operation, &[], &[], true).await.map(drop)
    }

    /// Deletes a datastore that is empty.
    ///
    /// # Errors
    /// [`KvError`]; the code `NOT_EMPTY` where something is in it.
    pub async fn delete_datastore(&self, name: &str) -> Result<(), KvError> {
        let operation = Kind::DeleteDatastore(storage::DeleteDatastore {
            datastore: name.to_owned(),
        });
        self.ask(operation, &[], &[], true).await.map(drop)
    }

    /// The datastores, as a JSON document: the store's word.
    ///
    /// # Errors
    /// [`KvError`].
    pub async fn datastores(&self) -> Result<String, KvError> {
        self.document(Kind::ListDatastores(storage::ListDatastores {}))
            .await
    }

    /// Makes a policy or a new version of one; `definition` is JSON. The answer says, as JSON, what it costs and survives.
    ///
    /// # Errors
    /// [`KvError`]; the message says what is wrong with the definition.
    pub async fn put_policy(
        &self,
        name: &str,
        definition: &str,
        simulate: bool,
    ) -> Result<String, KvError> {
        self.document(Kind::PutPolicy(storage::PutPolicy {
            name: name.to_owned(),
            definition: definition.to_owned(),
            simulate,
        }))
        .await
    }

    /// The policies, as a JSON document.
    ///
    /// # Errors
    /// [`KvError`].
    pub async fn policies(&self) -> Result<String, KvError> {
        self.document(Kind::ListPolicies(storage::ListPolicies {}))
            .await
    }

    /// Makes a storage location known, or changes it; `settings` is JSON, empty where only the state changes.
    ///
    /// # Errors
    /// [`KvError`].
    pub async fn put_location(
        &self,
        name: &str,
        settings: &str,
        state: &str,
    ) -> Result<String, KvError> {
        self.document(Kind::PutLocation(storage::PutLocation {
            name: name.to_owned(),
            settings: settings.to_owned(),
            state: state.to_owned(),
        }))
        .await
    }

    /// The locations, as a JSON document.
    ///
    /// # Errors
    /// [`KvError`].
    pub async fn locations(&self) -> Result<String, KvError> {
        self.document(Kind::ListLocations(storage::ListLocations {}))
            .await
    }

    /// Has the store do something that takes long; `definition` is JSON, and `datastore` the one that it names, or empty. The answer is the job,
    /// as JSON; one that is the same and running already is not begun again.
    ///
    /// # Errors
    /// [`KvError`]; the message says what is wrong with the definition.
    pub async fn put_job(&self, datastore: &str, definition: &str) -> Result<String, KvError> {
        self.document(Kind::PutJob(storage::PutJob {
            datastore: datastore.to_owned(),
            definition: definition.to_owned(),
        }))
        .await
    }

    /// A page of jobs, as a JSON document, the newest first: those with ids below `before`, if that is not 0.
    ///
    /// # Errors
    /// [`KvError`].
    pub async fn jobs(&self, before: u64, limit: u32) -> Result<String, KvError> {
        self.document(Kind::ListJobs(storage::ListJobs {
            job: 0,
            before,
            limit,
        }))
        .await
    }

    /// A job, as a JSON document.
    ///
    /// # Errors
    /// [`KvError`]; the code `NOT_FOUND` where there is none.
    pub async fn job(&self, id: u64) -> Result<String, KvError> {
        self.document(Kind::ListJobs(storage::ListJobs {
            job: id,
            before: 0,
            limit: 0,
        }))
        .await
    }

    /// Stops a job, if it is running; the answer is the job, as JSON. What it has done stays.
    ///
    /// # Errors
    /// [`KvError`]; the code `NOT_FOUND` where there is none.
    pub async fn cancel_job(&self, id: u64) -> Result<String, KvError> {
        self.document(Kind::CancelJob(storage::CancelJob { job: id }))
            .await
    }

    /// What the tenant uses, as a JSON document.
    ///
    /// # Errors
    /// [`KvError`].
    pub async fn usage(&self) -> Result<String, KvError> {
        self.document(Kind::GetUsage(storage::GetUsage {})).await
    }

    /// How far the rebuild of the catalogue is, as a JSON document; with `start` one is begun, unless one is under way.
    ///
    /// # Errors
    /// [`KvError`].
    pub async fn rebuild_catalogue(&self, start: bool) -> Result<String, KvError> {
        self.document(Kind::RebuildCatalogue(storage::RebuildCatalogue { start }))
            .await
    }

    /// Has the keys of all datastores wrapped by the current root; the answer says, as JSON, how many were, and the oldest root in use.
    ///
    /// # Errors
    /// [`KvError`].
    pub async fn rewrap_datastores(&self) -> Result<String, KvError> {
        self.document(Kind::RewrapDatastores(storage::RewrapDatastores {}))
            .await
    }

    async fn document(&self, operation: Kind) -> Result<String, KvError> {
        let answer = self.ask(operation, &[], &[], true).await?;
        Ok(answer.done.document)
    }

    /// Keeps a record of the tenant's own, which the store cannot read.
    ///
    /// # Errors
    /// [`KvError`]; the code `EXISTS` where `only_if_absent` and there is one.
    pub async fn put_record(
        &self,
        kind: &str,
        id: &str,
        content: &[u8],
        only_if_absent: bool,
    ) -> Result<(), KvError> {
        let operation = Kind::PutRecord(storage::PutRecord {
            kind: kind.to_owned(),
            id: id.to_owned(),
            only_if_absent,
        });
        self.ask(operation, content, &[], !only_if_absent)
            .await
            .map(drop)
    }

    /// A record.
    ///
    /// # Errors
    /// [`KvError`]; none is no error.
    pub async fn record(&self, kind: &str, id: &str) -> Result<Option<Plaintext>, KvError> {
        let operation = Kind::GetRecord(storage::GetRecord {
            kind: kind.to_owned(),
            id: id.to_owned(),
        });
        let answer = self.ask(operation, &[], &[], true).await?;
        let entry = entries(&answer.sealed)?.pop();
        Ok(entry.map(|(_, content)| content))
    }

    /// A page of records, ascending by id.
    ///
    /// # Errors
    /// [`KvError`].
    pub async fn records(
        &self,
        kind: &str,
        after: &str,
        limit: u32,
    ) -> Result<Vec<(String, Plaintext)>, KvError> {
        let operation = Kind::ListRecords(storage::ListRecords {
            kind: kind.to_owned(),
            after: after.to_owned(),
            limit,
        });
        entries(&self.ask(operation, &[], &[], true).await?.sealed)
    }

    /// Deletes a record, if there is one.
    ///
    /// # Errors
    /// [`KvError`].
    pub async fn delete_record(&self, kind: &str, id: &str) -> Result<(), KvError> {
        let operation = Kind::DeleteRecord(storage::DeleteRecord {
            kind: kind.to_owned(),
            id: id.to_owned(),
        });
        self.ask(operation, &[], &[], true).await.map(drop)
    }
}

fn entries(sealed: &[u8]) -> Result<Vec<(String, Plaintext)>, KvError> {
    let contents = storage::RecordContents::decode(sealed)
        .map_err(|_| KvError::Malformed("a page of records"))?;
    let entries = contents.entries.into_iter();
    Ok(entries
        .map(|it| (it.id, Plaintext::new(it.content.to_vec())))
        .collect())
}
