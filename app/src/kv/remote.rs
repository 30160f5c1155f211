//! The store as the commands see it: behind a gateway, or itself.
//!
//! Invariant: a command does not know which of the two it speaks to; what it is told has the same form and the same words.

mod connection;
mod direct;
mod encoding;
mod error;
mod http;
mod object;
mod pages;

use bytes::Bytes;
use sc_client::kv::ObjectBody;
use serde_json::Value;

pub(crate) use direct::Direct;
pub(crate) use error::{By, RemoteError};
pub(crate) use http::{BodyFailed, Http};
pub(crate) use object::Object;
pub(crate) use pages::{Entry, Objects};

use super::cli::Version;
use super::quantity::{ByteRange, Pair};

/// An entry of a list that the store gives as JSON.
pub(crate) type Document = serde_json::Map<String, Value>;

/// When to store at all.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) enum Condition {
    /// Always.
    #[default]
    None,
    /// Where there is no such object.
    Absent,
    /// In place of this version.
    Version(Version),
}

/// An object that is to be stored, without its content.
#[derive(Debug, Clone, Default)]
pub(crate) struct NewObject {
    /// Empty: the datastore's.
    pub(crate) policy: String,
    /// May be empty.
    pub(crate) content_type: String,
    pub(crate) metadata: Vec<Pair>,
    pub(crate) tags: Vec<Pair>,
    pub(crate) condition: Condition,
    /// Bytes of content, where that is known: a body of any other length is not stored.
    pub(crate) length: Option<u64>,
}

/// An object that is being read.
pub(crate) struct Reading {
    pub(crate) version: String,
    /// Bytes that come.
    pub(crate) bytes: u64,
    pub(crate) body: ObjectBody,
}

/// What to list.
#[derive(Debug, Clone, Default)]
pub(crate) struct Query {
    pub(crate) datastore: String,
    pub(crate) prefix: String,
    /// Empty: every key by itself.
    pub(crate) delimiter: &'static str,
    pub(crate) versions: bool,
    /// Objects that carry this tag; nothing else is looked at then.
    pub(crate) tag: Option<Pair>,
}

/// A page of a listing.
#[derive(Debug, Default)]
pub(crate) struct Page {
    pub(crate) objects: Vec<Object>,
    pub(crate) prefixes: Vec<Bytes>,
    pub(crate) next: Option<Bytes>,
}

/// What a deletion did.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Deleted {
    /// The version that is gone, or the delete marker that was made.
    pub(crate) version: Option<String>,
    pub(crate) is_marker: bool,
    /// Whether enough locations keep that it is deleted.
    pub(crate) is_sure: bool,
}

/// A datastore that is to be made.
#[derive(Debug, Clone)]
pub(crate) struct NewDatastore {
    pub(crate) name: String,
    pub(crate) policy: String,
    pub(crate) versioning: bool,
    pub(crate) quota_bytes: Option<u64>,
    pub(crate) indexed_tags: Vec<String>,
}

/// What is to change of a datastore.
#[derive(Debug, Clone, Default)]
pub(crate) struct DatastoreChange {
    pub(crate) policy: Option<String>,
    pub(crate) versioning: Option<bool>,
    /// 0: none.
    pub(crate) quota_bytes: Option<u64>,
}

/// A token that is to be made.
#[derive(Debug, Clone)]
pub(crate) struct NewToken {
    pub(crate) label: String,
    /// As REST has them.
    pub(crate) grants: Value,
    pub(crate) lifetime_s: Option<u64>,
}

/// A store that can be reached.
pub(crate) enum Remote {
    /// Through a gateway.
    Http(Box<Http>),
    /// By its own protocol.
    Direct(Box<Direct>),
}

/// The same call on either kind of remote.
macro_rules! of_either {
    ($remote:expr, $it:ident => $call:expr) => {
        match $remote {
            Remote::Http($it) => $call.await,
            Remote::Direct($it) => $call.await,
        }
    };
}

impl Remote {
    pub(crate) async fn put(
        &self,
        datastore: &str,
        key: &str,
        new: &NewObject,
        body: ObjectBody,
    ) -> Result<Object, RemoteError> {
        of_either!(self, it => it.put(datastore, key, new, body))
    }

    pub(crate) async fn get(
        &self,
        datastore: &str,
        key: &str,
        version: Option<Version>,
        range: Option<ByteRange>,
    ) -> Result<Reading, RemoteError> {
        of_either!(self, it => it.get(datastore, key, version, range))
    }

    /// One page; `cursor` is `next` of the page before.
    pub(crate) async fn page(
        &self,
        query: &Query,
        cursor: Option<&[u8]>,
    ) -> Result<Page, RemoteError> {
        of_either!(self, it => it.page(query, cursor))
    }

    pub(crate) async fn delete(
        &self,
        datastore: &str,
        key: &[u8],
        version: Option<Version>,
    ) -> Result<Deleted, RemoteError> {
        of_either!(self, it => it.delete(datastore, key, version))
    }

    /// An object, and the store's word of where it lies.
    pub(crate) async fn stat(
        &self,
        datastore: &str,
        key: &str,
        version: Option<Version>,
    ) -> Result<(Object, Value), RemoteError> {
        of_either!(self, it => it.stat(datastore, key, version))
    }

    pub(crate) async fn create_datastore(&self, new: &NewDatastore) -> Result<(), RemoteError> {
        of_either!(self, it => it.create_datastore(new))
    }

    pub(crate) async fn update_datastore(
        &self,
        name: &str,
        change: &DatastoreChange,
    ) -> Result<(), RemoteError> {
        of_either!(self, it => it.update_datastore(name, change))
    }

    pub(crate) async fn delete_datastore(&self, name: &str) -> Result<(), RemoteError> {
        of_either!(self, it => it.delete_datastore(name))
    }

    pub(crate) async fn datastores(&self) -> Result<Vec<Document>, RemoteError> {
        of_either!(self, it => it.datastores())
    }

    pub(crate) async fn policies(&self) -> Result<Vec<Document>, RemoteError> {
        of_either!(self, it => it.policies())
    }

    /// Makes a policy; the answer says what it costs and survives.
    pub(crate) async fn put_policy(
        &self,
        name: &str,
        definition: &Document,
    ) -> Result<Value, RemoteError> {
        of_either!(self, it => it.put_policy(name, definition))
    }

    /// What a policy costs and survives: this definition, or the present one of that name.
    pub(crate) async fn simulate(
        &self,
        name: &str,
        definition: Option<&Document>,
    ) -> Result<Value, RemoteError> {
        of_either!(self, it => it.simulate(name, definition))
    }

    pub(crate) async fn locations(&self) -> Result<Vec<Document>, RemoteError> {
        of_either!(self, it => it.locations())
    }

    pub(crate) async fn put_location(
        &self,
        name: &str,
        settings: Option<&Document>,
        state: Option<&str>,
    ) -> Result<(), RemoteError> {
        of_either!(self, it => it.put_location(name, settings, state))
    }

    /// How far the rebuild of the catalogue is; with `start` one is begun.
    pub(crate) async fn rebuild(&self, start: bool) -> Result<Value, RemoteError> {
        of_either!(self, it => it.rebuild(start))
    }

    pub(crate) async fn usage(&self) -> Result<Value, RemoteError> {
        of_either!(self, it => it.usage())
    }

    /// Begins a job, or finds the one that is the same and running.
    pub(crate) async fn put_job(&self, definition: &Value) -> Result<Value, RemoteError> {
        of_either!(self, it => it.put_job(definition))
    }

    /// Jobs, the newest first: those with ids below `before`, if that is given.
    pub(crate) async fn jobs(&self, before: Option<u64>) -> Result<Vec<Document>, RemoteError> {
        of_either!(self, it => it.jobs(before))
    }

    pub(crate) async fn job(&self, id: u64) -> Result<Value, RemoteError> {
        of_either!(self, it => it.job(id))
    }

    pub(crate) async fn cancel_job(&self, id: u64) -> Result<Value, RemoteError> {
        of_either!(self, it => it.cancel_job(id))
    }

    /// The gateway, for what is done through one alone; `why` says what that is.
    ///
    /// # Errors
    /// This is the store itself.
    pub(crate) fn gateway(&self, why: &str) -> anyhow::Result<&Http> {
        match self {
            Self::Http(gateway) => Ok(gateway),
            Self::Direct(_) => Err(crate::wrong_use(format!(
                "{why}, and this is the store itself: give the gateway's URL, and a token in place of --key"
            ))),
        }
    }
}

/// The entries of a document that is a list, or an object with the list as its member `name`.
fn entries(document: Value, name: &str) -> Result<Vec<Document>, RemoteError> {
    let list = match document {
        Value::Object(mut object) => object.remove(name),
        list => Some(list),
    };
    let Some(Value::Array(list)) = list else {
        return Err(RemoteError::Malformed("no list where one was asked for"));
    };
    let entries = list.into_iter().map(|entry| match entry {
        Value::Object(entry) => Ok(entry),
        _ => Err(RemoteError::Malformed("a list of something else")),
    });
    entries.collect()
}
