//! Jobs: what the store does that takes long.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use utoipa::{IntoParams, ToSchema};

use super::caller::Caller;
use super::document::{self, Entry};
use super::extract::{JsonOf, NoQuery, PathOf, QueryOf};
use super::openapi::{JobDefinition, JobEntry};
use crate::gateway::Shared;
use crate::problem::Problem;
use crate::tokens::Right;

/// Jobs in a page where nothing else is asked for.
const PAGE: u32 = 100;

/// A page of jobs.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct JobList {
    /// The newest first.
    #[schema(value_type = Vec<JobEntry>)]
    jobs: Vec<Entry>,
}

/// Which page of jobs.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct JobQuery {
    /// Jobs with ids below this one: the last of the page before.
    #[serde(default)]
    #[param(minimum = 1)]
    before: Option<u64>,
    /// How many at most.
    #[serde(default)]
    #[param(minimum = 1, maximum = 1000)]
    limit: Option<u32>,
}

/// Lists jobs, the newest first.
#[utoipa::path(
    get,
    path = "/v1/jobs",
    tag = super::openapi::JOBS,
    operation_id = "listJobs",
    params(JobQuery),
    responses((status = 200, description = "A page of jobs", body = JobList)),
)]
pub(super) async fn list(
    caller: Caller,
    QueryOf(query): QueryOf<JobQuery>,
    State(shared): State<Arc<Shared>>,
) -> Result<Json<JobList>, Problem> {
    caller.may_everywhere(Right::List)?;
    let limit = query.limit.unwrap_or(PAGE);
    if !(1..=1000).contains(&limit) {
        return Err(Problem::malformed("limit is 1 to 1000"));
    }
    let before = match query.before {
        Some(0) => return Err(Problem::malformed("before is the id of a job, from 1")),
        before => before.unwrap_or(0),
    };
    let jobs = shared.client.jobs(before, limit).await?;
    let jobs = document::entries(&jobs, "jobs")?;
    Ok(Json(JobList { jobs }))
}

/// Begins a job. One that is the same and running already is not begun again, but answered.
#[utoipa::path(
    post,
    path = "/v1/jobs",
    tag = super::openapi::JOBS,
    operation_id = "createJob",
    request_body = JobDefinition,
    responses(
        (status = 202, description = "The job, which goes on by itself", body = JobEntry),
        super::openapi::Conflict,
    ),
)]
pub(super) async fn create(
    caller: Caller,
    _: NoQuery,
    State(shared): State<Arc<Shared>>,
    JsonOf(definition): JsonOf<Map<String, Value>>,
) -> Result<(StatusCode, Json<Value>), Problem> {
    let named = definition.get("datastore").and_then(Value::as_str);
    let datastore = named.unwrap_or_default().to_owned();
    match datastore.as_str() {
        "" => caller.may_everywhere(Right::Administer)?,
        datastore => caller.may(Right::Administer, datastore)?,
    }
    begin(&shared, &datastore, Value::Object(definition)).await
}

/// Has all fragments leave a location, which takes no new ones from now on.
#[utoipa::path(
    post,
    path = "/v1/locations/{location}/drain",
    tag = super::openapi::LOCATIONS,
    operation_id = "drainLocation",
    params(super::openapi::LocationPath),
    responses(
        (status = 202, description = "The job that does it", body = JobEntry),
        super::openapi::Conflict,
    ),
)]
pub(super) async fn drain(
    caller: Caller,
    _: NoQuery,
    State(shared): State<Arc<Shared>>,
    PathOf(location): PathOf<String>,
) -> Result<(StatusCode, Json<Value>), Problem> {
    caller.may_everywhere(Right::Administer)?;
    shared
        .client
        .put_location(&location, "", "draining")
        .await?;
    // It has begun by itself.
    let drain = json!({ "kind": "drain", "location": location });
    let jobs = document::parse(&shared.client.jobs(0, PAGE).await?)?;
    let mut jobs = jobs.as_array().into_iter().flatten();
    if let Some(job) = jobs.find(|job| job["definition"] == drain) {
        return Ok((StatusCode::ACCEPTED, Json(job.clone())));
    }
    begin(&shared, "", drain).await
}

async fn begin(
    shared: &Shared,
    datastore: &str,
    definition: Value,
) -> Result<(StatusCode, Json<Value>), Problem> {
    let job = shared
        .client
        .put_job(datastore, &definition.to_string())
        .await?;
    Ok((StatusCode::ACCEPTED, Json(document::parse(&job)?)))
}

/// Describes a job.
#[utoipa::path(
    get,
    path = "/v1/jobs/{job}",
    tag = super::openapi::JOBS,
    operation_id = "getJob",
    params(super::openapi::JobPath),
    responses((status = 200, description = "The job", body = JobEntry)),
)]
pub(super) async fn get(
    caller: Caller,
    _: NoQuery,
    State(shared): State<Arc<Shared>>,
    PathOf(id): PathOf<u64>,
) -> Result<Json<Value>, Problem> {
    caller.may_everywhere(Right::List)?;
    document::parse(&shared.client.job(id).await?).map(Json)
}

/// Cancels a job: what it has done stays, and the rest is left. One that has ended stays as it is.
#[utoipa::path(
    delete,
    path = "/v1/jobs/{job}",
    tag = super::openapi::JOBS,
    operation_id = "cancelJob",
    params(super::openapi::JobPath),
    responses((status = 200, description = "The job as it is now", body = JobEntry)),
)]
pub(super) async fn cancel(
    caller: Caller,
    _: NoQuery,
    State(shared): State<Arc<Shared>>,
    PathOf(id): PathOf<u64>,
) -> Result<Json<Value>, Problem> {
    caller.may_everywhere(Right::Administer)?;
    document::parse(&shared.client.cancel_job(id).await?).map(Json)
}
