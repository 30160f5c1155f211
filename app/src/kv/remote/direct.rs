//! The store itself, with no gateway between: what is asked and stored is sealed here.

use futures_util::TryStreamExt as _;
use sc_client::kv::{
    DatastoreChange as StoreChange, DatastoreOptions, KvClient, ListOptions, Metadata, ObjectBody,
    PutOptions, RANGE_WHOLE,
};
use serde_json::Value;

use super::{
    By, Condition, DatastoreChange, Deleted, Document, NewDatastore, NewObject, Object, Page,
    Query, Reading, RemoteError, entries,
};
use crate::kv::cli::{Version, version_text};
use crate::kv::quantity::{ByteRange, Pair};

/// Entries of a page.
const PAGE: u32 = 1000;
/// Jobs in a page.
const JOBS: u32 = 100;

/// A store.
pub(crate) struct Direct(KvClient);

impl Direct {
    pub(super) fn new(client: KvClient) -> Self {
        Self(client)
    }

    pub(super) async fn put(
        &self,
        datastore: &str,
        key: &str,
        new: &NewObject,
        body: ObjectBody,
    ) -> Result<Object, RemoteError> {
        let options = PutOptions {
            policy: new.policy.clone(),
            condition: match new.condition {
                Condition::None => sc_client::kv::Condition::None,
                Condition::Absent => sc_client::kv::Condition::Absent,
                Condition::Version(version) => sc_client::kv::Condition::Version(version),
            },
            metadata: Metadata {
                content_type: new.content_type.clone(),
                metadata: tuples(&new.metadata),
                tags: tuples(&new.tags),
                ..Metadata::default()
            },
            length: new.length,
        };
        let put = self.0.put(datastore, key.as_bytes(), &options, body);
        let receipt = Box::pin(put).await?;
        Ok(Object::from(&receipt.head))
    }

    pub(super) async fn get(
        &self,
        datastore: &str,
        key: &str,
        version: Option<Version>,
        range: Option<ByteRange>,
    ) -> Result<Reading, RemoteError> {
        let key = key.as_bytes();
        let mut version = version;
        let range = match range {
            None => RANGE_WHOLE,
            Some(ByteRange::From(first, last)) => {
                first..last.map_or(u64::MAX, |last| last.saturating_add(1))
            }
            Some(ByteRange::Last(count)) => {
                let head = self.0.head(datastore, key, version).await?;
                // The length is of this version, and so is what is read.
                version = head.version[..].try_into().ok();
                if count == 0 || head.bytes == 0 {
                    return Err(out_of_range(head.bytes));
                }
                head.bytes.saturating_sub(count)..u64::MAX
            }
        };
        let is_part = range != RANGE_WHOLE;
        let reader = self.0.get(datastore, key, version, range).await?;
        if is_part && reader.range.is_empty() {
            return Err(out_of_range(reader.head.bytes));
        }
        Ok(Reading {
            version: Object::from(&reader.head).version,
            bytes: reader.range.end - reader.range.start,
            body: Box::pin(reader.into_stream().map_err(std::io::Error::other)),
        })
    }

    pub(super) async fn page(
        &self,
        asked: &Query,
        cursor: Option<&[u8]>,
    ) -> Result<Page, RemoteError> {
        let cursor = cursor.unwrap_or_default();
        let listing = match &asked.tag {
            Some(tag) => {
                let tag = (&*tag.name, &*tag.value);
                self.0.search(&asked.datastore, tag, cursor, PAGE).await?
            }
            None => {
                let options = ListOptions {
                    prefix: asked.prefix.clone().into_bytes(),
                    delimiter: asked.delimiter.as_bytes().to_vec(),
                    cursor: cursor.to_vec(),
                    limit: PAGE,
                    versions: asked.versions,
                };
                self.0.list(&asked.datastore, &options).await?
            }
        };
        Ok(Page {
            objects: listing.heads.iter().map(Object::from).collect(),
            prefixes: listing.prefixes,
            next: listing.cursor,
        })
    }

    pub(super) async fn delete(
        &self,
        datastore: &str,
        key: &[u8],
        version: Option<Version>,
    ) -> Result<Deleted, RemoteError> {
        let condition = sc_client::kv::Condition::None;
        let deleted = self.0.delete(datastore, key, version, condition).await?;
        Ok(Deleted {
            version: deleted.version.map(version_text),
            is_marker: deleted.is_marker,
            is_sure: deleted.is_sure,
        })
    }

    pub(super) async fn stat(
        &self,
        datastore: &str,
        key: &str,
        version: Option<Version>,
    ) -> Result<(Object, Value), RemoteError> {
        let (head, document) = self.0.stat(datastore, key.as_bytes(), version).await?;
        Ok((Object::from(&head), parse(&document)?))
    }

    pub(super) async fn create_datastore(&self, new: &NewDatastore) -> Result<(), RemoteError> {
        let options = DatastoreOptions {
            policy: new.policy.clone(),
            versioning: new.versioning,
            quota_bytes: new.quota_bytes,
            indexed_tags: new.indexed_tags.clone(),
        };
        Ok(self.0.create_datastore(&new.name, &options).await?)
    }

    pub(super) async fn update_datastore(
        &self,
        name: &str,
        change: &DatastoreChange,
    ) -> Result<(), RemoteError> {
        let change = StoreChange {
            policy: change.policy.clone(),
            versioning: change.versioning,
            quota_bytes: change.quota_bytes,
        };
        Ok(self.0.update_datastore(name, &change).await?)
    }

    pub(super) async fn delete_datastore(&self, name: &str) -> Result<(), RemoteError> {
        Ok(self.0.delete_datastore(name).await?)
    }

    pub(super) async fn datastores(&self) -> Result<Vec<Document>, RemoteError> {
        entries(parse(&self.0.datastores().await?)?, "datastores")
    }

    pub(super) async fn policies(&self) -> Result<Vec<Document>, RemoteError> {
        entries(parse(&self.0.policies().await?)?, "policies")
    }

    pub(super) async fn put_policy(
        &self,
        name: &str,
        definition: &Document,
    ) -> Result<Value, RemoteError> {
        let definition = Value::from(definition.clone()).to_string();
        parse(&self.0.put_policy(name, &definition, false).await?)
    }

    pub(super) async fn simulate(
        &self,
        name: &str,
        definition: Option<&Document>,
    ) -> Result<Value, RemoteError> {
        // Without a definition the store takes the one that it has under this name.
        let definition = definition.map(|it| Value::from(it.clone()).to_string());
        let definition = definition.unwrap_or_default();
        parse(&self.0.put_policy(name, &definition, true).await?)
    }

    pub(super) async fn locations(&self) -> Result<Vec<Document>, RemoteError> {
        entries(parse(&self.0.locations().await?)?, "locations")
    }

    pub(super) async fn put_location(
        &self,
        name: &str,
        settings: Option<&Document>,
        state: Option<&str>,
    ) -> Result<(), RemoteError> {
        let settings = settings.map(|it| Value::from(it.clone()).to_string());
        let settings = settings.unwrap_or_default();
        let put = self
            .0
            .put_location(name, &settings, state.unwrap_or_default());
        Ok(put.await.map(drop)?)
    }

    pub(super) async fn rebuild(&self, start: bool) -> Result<Value, RemoteError> {
        parse(&self.0.rebuild_catalogue(start).await?)
    }

    pub(super) async fn usage(&self) -> Result<Value, RemoteError> {
        parse(&self.0.usage().await?)
    }

    pub(super) async fn put_job(&self, definition: &Value) -> Result<Value, RemoteError> {
        let datastore = definition.get("datastore").and_then(Value::as_str);
        let datastore = datastore.unwrap_or_default();
        let definition = definition.to_string();
        parse(&self.0.put_job(datastore, &definition).await?)
    }

    pub(super) async fn jobs(&self, before: Option<u64>) -> Result<Vec<Document>, RemoteError> {
        let jobs = self.0.jobs(before.unwrap_or(0), JOBS).await?;
        entries(parse(&jobs)?, "jobs")
    }

    pub(super) async fn job(&self, id: u64) -> Result<Value, RemoteError> {
        parse(&self.0.job(id).await?)
    }

    pub(super) async fn cancel_job(&self, id: u64) -> Result<Value, RemoteError> {
        parse(&self.0.cancel_job(id).await?)
    }
}

fn tuples(pairs: &[Pair]) -> Vec<(String, String)> {
    let pairs = pairs.iter();
    pairs
        .map(|pair| (pair.name.clone(), pair.value.clone()))
        .collect()
}

fn parse(document: &str) -> Result<Value, RemoteError> {
    serde_json::from_str(document).map_err(|_| RemoteError::Malformed("a document that is no JSON"))
}

fn out_of_range(bytes: u64) -> RemoteError {
    RemoteError::Problem {
        code: "range".to_owned(),
        title: "the range lies outside the object".to_owned(),
        detail: format!("it has {bytes} bytes"),
        by: By::Store,
    }
}
