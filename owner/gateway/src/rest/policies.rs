//! Storage policies.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use serde::Serialize;
use serde_json::{Map, Value};
use utoipa::ToSchema;

use super::caller::Caller;
use super::document::{self, Entry};
use super::extract::{JsonOf, OptionalJsonOf, PathOf};
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
    State(shared): State<Arc<Shared>>,
    PathOf(name): PathOf<String>,
) -> Result<Json<Entry>, Problem> {
    find(&shared, &name).await.map(Json)
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
        (status = 200, description = "What the policy costs and survives", body = super::openapi::StoreDocument),
        super::openapi::Conflict,
    ),
)]
pub(super) async fn put(
    caller: Caller,
    State(shared): State<Arc<Shared>>,
    PathOf(name): PathOf<String>,
    JsonOf(definition): JsonOf<Map<String, Value>>,
) -> Result<Json<Value>, Problem> {
    caller.may_everywhere(Right::Administer)?;
    check_name(&name)?;
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
        (status = 200, description = "What the policy would cost and survive", body = super::openapi::StoreDocument),
        super::openapi::Conflict,
    ),
)]
pub(super) async fn simulate(
    _caller: Caller,
    State(shared): State<Arc<Shared>>,
    PathOf(name): PathOf<String>,
    OptionalJsonOf(definition): OptionalJsonOf<Map<String, Value>>,
) -> Result<Json<Value>, Problem> {
    check_name(&name)?;
    let definition = match definition {
        Some(definition) => Value::Object(definition).to_string(),
        None => present_definition(find(&shared, &name).await?)?,
    };
    let document = shared.client.put_policy(&name, &definition, true).await?;
    document::parse(&document).map(Json)
}

async fn find(shared: &Shared, name: &str) -> Result<Entry, Problem> {
    let policies = document::entries(&shared.client.policies().await?, "policies")?;
    document::named(policies, name)
        .ok_or_else(|| Problem::new(Kind::NO_POLICY, format!("there is no policy named {name}")))
}

/// A definition as the store takes it, whether its entry holds it as JSON or as text.
fn present_definition(mut entry: Entry) -> Result<String, Problem> {
    match entry.remove("definition") {
        Some(Value::String(text)) => Ok(text),
        Some(definition) => Ok(definition.to_string()),
        None => Err(Problem::new(
            Kind::STORE_MALFORMED,
            "the store does not tell the policy's definition",
        )),
    }
}

fn check_name(name: &str) -> Result<(), Problem> {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
    if name.is_empty() || name.len() > 63 || !name.bytes().all(is_plain) {
        return Err(Problem::malformed(
            "a policy's name has 1 to 63 letters, digits, dots, hyphens and underscores",
        ));
    }
    Ok(())
}
