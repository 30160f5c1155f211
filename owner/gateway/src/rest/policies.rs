//! Storage policies.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use serde::Serialize;
use serde_json::{Map, Value};
use utoipa::ToSchema;

use super::caller::Caller;
use super::document::{self, Entry};
use super::extract::{JsonOf, NoQuery, OptionalJsonOf, PathOf};
use super::openapi::{PolicyDefinition, PolicyEntry};
use crate::gateway::Shared;
use crate::problem::{Kind, Problem};
use crate::tokens::Right;

/// Policies, by name.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct PolicyList {
    /// The latest version of each.
    #[schema(value_type = Vec<PolicyEntry>)]
    policies: Vec<Entry>,
}

/// Lists the policies.
#[utoipa::path(
    get,
    path = "/v1/policies",
    tag = super::openapi::POLICIES,
    operation_id = "listPolicies",
    responses((status = 200, description = "The latest version of each policy", body = PolicyList)),
)]
pub(super) async fn list(
    _caller: Caller,
    _: NoQuery,
    State(shared): State<Arc<Shared>>,
) -> Result<Json<PolicyList>, Problem> {
    let policies = document::entries(&shared.client.policies().await?, "policies")?;
    Ok(Json(PolicyList { policies }))
}

/// Describes a policy.
#[utoipa::path(
    get,
    path = "/v1/policies/{policy}",
    tag = super::openapi::POLICIES,
    operation_id = "getPolicy",
    params(super::openapi::PolicyPath),
    responses((status = 200, description = "The latest version of the policy", body = PolicyEntry)),
)]
pub(super) async fn get(
    _caller: Caller,
    _: NoQuery,
    State(shared): State<Arc<Shared>>,
    PathOf(name): PathOf<String>,
) -> Result<Json<Entry>, Problem> {
    let policies = document::entries(&shared.client.policies().await?, "policies")?;
    let policy = document::named(policies, &name)
        .ok_or_else(|| Problem::new(Kind::NO_POLICY, format!("there is no policy named {name}")))?;
    Ok(Json(policy))
}

/// Makes a policy, or a new version of one: objects that are stored already stay as they are.
#[utoipa::path(
    put,
    path = "/v1/policies/{policy}",
    tag = super::openapi::POLICIES,
    operation_id = "putPolicy",
    params(super::openapi::PolicyPath),
    request_body = PolicyDefinition,
    responses(
        (status = 200, description = "What the policy costs and survives", body = super::openapi::Simulation),
        super::openapi::Conflict,
    ),
)]
pub(super) async fn put(
    caller: Caller,
    _: NoQuery,
    State(shared): State<Arc<Shared>>,
    PathOf(name): PathOf<String>,
    JsonOf(definition): JsonOf<Map<String, Value>>,
) -> Result<Json<Value>, Problem> {
    caller.may_everywhere(Right::Administer)?;
    let definition = Value::Object(definition).to_string();
    let document = shared.client.put_policy(&name, &definition, false).await?;
    document::parse(&document).map(Json)
}

/// Tells what a policy would cost and survive: the one in the body, or the present one if the body is empty. Nothing changes.
#[utoipa::path(
    post,
    path = "/v1/policies/{policy}/simulate",
    tag = super::openapi::POLICIES,
    operation_id = "simulatePolicy",
    params(super::openapi::PolicyPath),
    request_body = Option<PolicyDefinition>,
    responses(
        (status = 200, description = "What the policy would cost and survive", body = super::openapi::Simulation),
        super::openapi::Conflict,
    ),
)]
pub(super) async fn simulate(
    _caller: Caller,
    _: NoQuery,
    State(shared): State<Arc<Shared>>,
    PathOf(name): PathOf<String>,
    OptionalJsonOf(definition): OptionalJsonOf<Map<String, Value>>,
) -> Result<Json<Value>, Problem> {
    // The store takes an empty definition for the present one.
    let definition = definition.map_or_else(String::new, |it| Value::Object(it).to_string());
    let document = shared.client.put_policy(&name, &definition, true).await?;
    document::parse(&document).map(Json)
}
