//! The catalogue, made again of what lies at the locations.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use serde_json::Value;

use super::caller::Caller;
use super::document;
use super::extract::NoQuery;
use crate::gateway::Shared;
use crate::problem::Problem;
use crate::tokens::Right;

/// Tells how far the rebuild of the catalogue is.
#[utoipa::path(
    get,
    path = "/v1/catalogue/rebuild",
    tag = super::openapi::OPERATION,
    operation_id = "getRebuild",
    responses((status = 200, description = "How far it is, and when it is done what was found: the store's word", body = super::openapi::Rebuild)),
)]
pub(super) async fn get(
    caller: Caller,
    _: NoQuery,
    State(shared): State<Arc<Shared>>,
) -> Result<Json<Value>, Problem> {
    caller.may_everywhere(Right::Administer)?;
    document::parse(&shared.client.rebuild_catalogue(false).await?).map(Json)
}

/// Has the catalogue made again, unless that is under way. Until it is done the store does nothing else.
#[utoipa::path(
    post,
    path = "/v1/catalogue/rebuild",
    tag = super::openapi::OPERATION,
    operation_id = "startRebuild",
    responses((status = 202, description = "It is under way: ask how far it is", body = super::openapi::Rebuild)),
)]
pub(super) async fn start(
    caller: Caller,
    _: NoQuery,
    State(shared): State<Arc<Shared>>,
) -> Result<(StatusCode, Json<Value>), Problem> {
    caller.may_everywhere(Right::Administer)?;
    let document = document::parse(&shared.client.rebuild_catalogue(true).await?)?;
    Ok((StatusCode::ACCEPTED, Json(document)))
}
