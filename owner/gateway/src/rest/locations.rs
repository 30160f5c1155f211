//! Storage locations.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use utoipa::ToSchema;

use super::caller::Caller;
use super::document::{self, Entry};
use super::extract::{JsonOf, NoQuery, PathOf};
use super::openapi::{LocationEntry, LocationSettings};
use crate::gateway::Shared;
use crate::problem::{Kind, Problem};
use crate::tokens::Right;

/// Locations, by name.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct LocationList {
    /// All of them.
    #[schema(value_type = Vec<LocationEntry>)]
    locations: Vec<Entry>,
}

/// A location that is made known, or what is to change of one.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct LocationChange {
    /// What it is and where; without it only the state changes.
    #[serde(default)]
    #[schema(value_type = Option<LocationSettings>)]
    settings: Option<Map<String, Value>>,
    /// What it may be used for; without it everything.
    #[serde(default)]
    state: Option<LocationState>,
}

/// What a location may be used for.
#[derive(Debug, Clone, Copy, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub(super) enum LocationState {
    /// Everything.
    Active,
    /// Reading, while its fragments move elsewhere.
    Draining,
    /// Reading.
    ReadOnly,
    /// Nothing: its fragments are to be made again elsewhere.
    Lost,
    /// Reading, after it was lost, until what it should have and has not is made again, and what was deleted meanwhile is deleted there, too; then
    /// it is active by itself. It cannot be set: 400.
    Returning,
}

impl LocationState {
    fn as_str(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Draining => "draining",
            Self::ReadOnly => "read-only",
            Self::Lost => "lost",
            Self::Returning => "returning",
        }
    }
}

/// Lists the storage locations.
#[utoipa::path(
    get,
    path = "/v1/locations",
    tag = super::openapi::LOCATIONS,
    operation_id = "listLocations",
    responses((status = 200, description = "All locations", body = LocationList)),
)]
pub(super) async fn list(
    _caller: Caller,
    _: NoQuery,
    State(shared): State<Arc<Shared>>,
) -> Result<Json<LocationList>, Problem> {
    let locations = document::entries(&shared.client.locations().await?, "locations")?;
    Ok(Json(LocationList { locations }))
}

/// Makes a storage location known, or changes one.
#[utoipa::path(
    put,
    path = "/v1/locations/{location}",
    tag = super::openapi::LOCATIONS,
    operation_id = "putLocation",
    params(super::openapi::LocationPath),
    request_body = LocationChange,
    responses(
        (status = 200, description = "The location as it is now: the store's word", body = LocationEntry),
        super::openapi::Conflict,
    ),
)]
pub(super) async fn put(
    caller: Caller,
    _: NoQuery,
    State(shared): State<Arc<Shared>>,
    PathOf(name): PathOf<String>,
    JsonOf(change): JsonOf<LocationChange>,
) -> Result<Json<Entry>, Problem> {
    caller.may_everywhere(Right::Administer)?;
    if change.settings.is_some() || change.state.is_some() {
        let settings = change.settings.map(|it| Value::Object(it).to_string());
        let state = change.state.map_or("", LocationState::as_str);
        shared
            .client
            .put_location(&name, &settings.unwrap_or_default(), state)
            .await?;
    }
    let locations = document::entries(&shared.client.locations().await?, "locations")?;
    let location = document::named(locations, &name).ok_or_else(|| {
        Problem::new(
            Kind::NOT_FOUND,
            format!("there is no location named {name}: `securecloud kv location ls` lists them"),
        )
    })?;
    Ok(Json(location))
}
