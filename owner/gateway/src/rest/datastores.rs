//! Datastores.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::header::LOCATION;
use axum::http::{HeaderName, StatusCode};
use sc_client::kv::{DatastoreChange, DatastoreOptions};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::caller::Caller;
use super::document::{self, Entry};
use super::extract::{JsonOf, NoQuery, PathOf};
use super::openapi::DatastoreEntry;
use crate::gateway::Shared;
use crate::problem::{Kind, Problem};
use crate::tokens::Right;

/// Names of tags that a datastore indexes.
const INDEXED_TAGS_MAX: usize = 64;

/// A new datastore.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct NewDatastore {
    /// Its name: 1 to 63 of a-z, 0-9, -, _ and ., of which the first is a letter or digit.
    #[schema(
        min_length = 1,
        max_length = 63,
        pattern = "^[a-z0-9][a-z0-9._-]{0,62}$",
        example = "readings"
    )]
    name: String,
    /// The policy of objects that name none.
    #[schema(
        min_length = 1,
        max_length = 63,
        pattern = "^[a-z0-9][a-z0-9._-]{0,62}$",
        example = "hot"
    )]
    policy: String,
    /// Whether older versions are kept.
    #[serde(default)]
    versioning: bool,
    /// Bytes of content that it may hold; 0: any number.
    #[serde(default)]
    #[schema(maximum = 9_223_372_036_854_775_807_u64)]
    quota_bytes: u64,
    /// Names of tags that objects can be searched by. The store then sees which objects share a value, and not which value.
    #[serde(default)]
    #[schema(max_items = 64)]
    indexed_tags: Vec<String>,
}

/// What is to change of a datastore; what is not given stays.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct DatastorePatch {
    /// The policy of objects that are stored from now on and name none.
    #[serde(default)]
    #[schema(
        min_length = 1,
        max_length = 63,
        pattern = "^[a-z0-9][a-z0-9._-]{0,62}$",
        example = "cold"
    )]
    policy: Option<String>,
    /// Whether older versions are kept from now on.
    #[serde(default)]
    versioning: Option<bool>,
    /// Bytes of content that it may hold; 0: any number.
    #[serde(default)]
    #[schema(maximum = 9_223_372_036_854_775_807_u64)]
    quota_bytes: Option<u64>,
}

/// Datastores, by name.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct DatastoreList {
    /// Those that the token grants something over.
    #[schema(value_type = Vec<DatastoreEntry>)]
    datastores: Vec<Entry>,
}

/// Lists the datastores that the token grants something over.
#[utoipa::path(
    get,
    path = "/v1/datastores",
    tag = super::openapi::DATASTORES,
    operation_id = "listDatastores",
    responses((status = 200, description = "Datastores", body = DatastoreList)),
)]
pub(super) async fn list(
    caller: Caller,
    _: NoQuery,
    State(shared): State<Arc<Shared>>,
) -> Result<Json<DatastoreList>, Problem> {
    let entries = document::entries(&shared.client.datastores().await?, "datastores")?;
    let known = entries
        .into_iter()
        .filter(|entry| caller.knows(document::name_of(entry)));
    Ok(Json(DatastoreList {
        datastores: known.collect(),
    }))
}

/// Makes a datastore.
#[utoipa::path(
    post,
    path = "/v1/datastores",
    tag = super::openapi::DATASTORES,
    operation_id = "createDatastore",
    request_body = NewDatastore,
    responses(
        (status = 201, description = "It is made", body = DatastoreEntry, headers(("Location" = String, description = "Its path"))),
        super::openapi::Conflict,
    ),
)]
pub(super) async fn create(
    caller: Caller,
    _: NoQuery,
    State(shared): State<Arc<Shared>>,
    JsonOf(new): JsonOf<NewDatastore>,
) -> Result<(StatusCode, [(HeaderName, String); 1], Json<Entry>), Problem> {
    caller.may(Right::Administer, &new.name)?;
    if new.policy.is_empty() {
        return Err(Problem::malformed(
            "a datastore needs a policy: see /v1/policies",
        ));
    }
    if new.indexed_tags.len() > INDEXED_TAGS_MAX {
        return Err(Problem::new(
            Kind::LIMIT,
            format!("a datastore indexes at most {INDEXED_TAGS_MAX} tags"),
        ));
    }
    let options = DatastoreOptions {
        policy: new.policy,
        versioning: new.versioning,
        quota_bytes: (new.quota_bytes > 0).then_some(new.quota_bytes),
        indexed_tags: new.indexed_tags,
    };
    shared.client.create_datastore(&new.name, &options).await?;
    let path = format!("/v1/datastores/{}", new.name);
    let made = find(&shared, &new.name).await?;
    Ok((StatusCode::CREATED, [(LOCATION, path)], Json(made)))
}

/// Describes a datastore.
#[utoipa::path(
    get,
    path = "/v1/datastores/{datastore}",
    tag = super::openapi::DATASTORES,
    operation_id = "getDatastore",
    params(super::openapi::DatastorePath),
    responses((status = 200, description = "The datastore", body = DatastoreEntry)),
)]
pub(super) async fn get(
    caller: Caller,
    _: NoQuery,
    State(shared): State<Arc<Shared>>,
    PathOf(name): PathOf<String>,
) -> Result<Json<Entry>, Problem> {
    if !caller.knows(&name) {
        caller.may(Right::List, &name)?;
    }
    find(&shared, &name).await.map(Json)
}

/// Changes a datastore.
#[utoipa::path(
    patch,
    path = "/v1/datastores/{datastore}",
    tag = super::openapi::DATASTORES,
    operation_id = "updateDatastore",
    params(super::openapi::DatastorePath),
    request_body = DatastorePatch,
    responses((status = 200, description = "The datastore as it is now", body = DatastoreEntry)),
)]
pub(super) async fn update(
    caller: Caller,
    _: NoQuery,
    State(shared): State<Arc<Shared>>,
    PathOf(name): PathOf<String>,
    JsonOf(patch): JsonOf<DatastorePatch>,
) -> Result<Json<Entry>, Problem> {
    caller.may(Right::Administer, &name)?;
    if patch.policy.as_deref() == Some("") {
        return Err(Problem::malformed(
            "a datastore needs a policy: see /v1/policies",
        ));
    }
    let change = DatastoreChange {
        policy: patch.policy,
        versioning: patch.versioning,
        quota_bytes: patch.quota_bytes,
    };
    shared.client.update_datastore(&name, &change).await?;
    find(&shared, &name).await.map(Json)
}

/// Deletes a datastore that is empty.
#[utoipa::path(
    delete,
    path = "/v1/datastores/{datastore}",
    tag = super::openapi::DATASTORES,
    operation_id = "deleteDatastore",
    params(super::openapi::DatastorePath),
    responses(
        (status = 204, description = "It is gone"),
        super::openapi::Conflict,
    ),
)]
pub(super) async fn delete(
    caller: Caller,
    _: NoQuery,
    State(shared): State<Arc<Shared>>,
    PathOf(name): PathOf<String>,
) -> Result<StatusCode, Problem> {
    caller.may(Right::Administer, &name)?;
    shared.client.delete_datastore(&name).await?;
    Ok(StatusCode::NO_CONTENT)
}

async fn find(shared: &Shared, name: &str) -> Result<Entry, Problem> {
    let entries = document::entries(&shared.client.datastores().await?, "datastores")?;
    document::named(entries, name).ok_or_else(|| {
        Problem::new(
            Kind::NO_DATASTORE,
            format!("there is no datastore named {name}"),
        )
    })
}
