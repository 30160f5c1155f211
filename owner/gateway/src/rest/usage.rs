//! What the tenant uses.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use serde_json::Value;

use super::caller::Caller;
use super::document;
use super::extract::NoQuery;
use crate::gateway::Shared;
use crate::problem::Problem;
use crate::tokens::Right;

/// Tells what the tenant uses, in each datastore and at each location.
#[utoipa::path(
    get,
    path = "/v1/usage",
    tag = super::openapi::OPERATION,
    operation_id = "getUsage",
    responses((status = 200, description = "What the tenant uses: the store's word", body = super::openapi::Usage)),
)]
pub(super) async fn get(
    caller: Caller,
    _: NoQuery,
    State(shared): State<Arc<Shared>>,
) -> Result<Json<Value>, Problem> {
    caller.may_everywhere(Right::List)?;
    document::parse(&shared.client.usage().await?).map(Json)
}
