//! Where an object's fragments lie.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::{IntoParams, ToSchema};

use super::caller::Caller;
use super::document;
use super::extract::{PathOf, QueryOf};
use super::object::{Object, check_key, parse_version};
use super::openapi::Placed;
use crate::gateway::Shared;
use crate::problem::Problem;
use crate::tokens::Right;

/// Which object.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct StatQuery {
    /// The object's key.
    #[param(min_length = 1, max_length = 1024, example = "2026/11/readings.csv")]
    key: String,
    /// A version: 32 hexadecimal digits; the current one without it.
    #[param(pattern = "^[0-9a-fA-F]{32}$")]
    version: Option<String>,
}

/// An object and where its fragments lie.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Stat {
    /// The object, as its coder has sealed it.
    object: Object,
    /// Its segments and fragments, their locations and states, and what is owed: the store's word.
    #[schema(value_type = Placed)]
    storage: Value,
}

/// Tells where an object's fragments lie.
#[utoipa::path(
    get,
    path = "/v1/datastores/{datastore}/stat",
    tag = super::openapi::OBJECTS,
    operation_id = "statObject",
    params(super::openapi::DatastorePath, StatQuery),
    responses((status = 200, description = "The object, and where its fragments lie", body = Stat)),
)]
pub(super) async fn get(
    caller: Caller,
    State(shared): State<Arc<Shared>>,
    PathOf(datastore): PathOf<String>,
    QueryOf(query): QueryOf<StatQuery>,
) -> Result<Json<Stat>, Problem> {
    caller.may(Right::Read, &datastore)?;
    check_key(&query.key)?;
    let version = parse_version(query.version.as_deref())?;
    let (head, document) = shared
        .client
        .stat(&datastore, query.key.as_bytes(), version)
        .await?;
    Ok(Json(Stat {
        object: Object::from(&head),
        storage: document::parse(&document)?,
    }))
}
