//! Whether the gateway lives, and its numbers.

use std::collections::BTreeSet;
use std::sync::Arc;

use axum::Json;
use axum::extract::{FromRequestParts, State};
use axum::http::header::CONTENT_TYPE;
use axum::http::request::Parts;
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use utoipa::ToSchema;

use super::caller::Caller;
use super::extract::NoQuery;
use crate::gateway::Shared;
use crate::problem::Problem;
use crate::tokens::Right;

/// Of Prometheus' text format.
const PROMETHEUS_TEXT: &str = "text/plain; version=0.0.4; charset=utf-8";

/// A sign of life.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Health {
    /// `ok`.
    #[schema(example = "ok")]
    status: &'static str,
    /// The gateway's version.
    version: &'static str,
    /// The lines that say what protects the coders, or that nothing does.
    tee: BTreeSet<String>,
}

/// Tells that the gateway lives; whether the store does is told by any other request.
#[utoipa::path(
    get,
    path = "/v1/healthz",
    tag = super::openapi::OPERATION,
    operation_id = "getHealth",
    security(()),
    responses((status = 200, description = "The gateway lives", body = Health)),
)]
pub(super) async fn get(_: NoQuery, State(shared): State<Arc<Shared>>) -> Json<Health> {
    let statements = shared.statements.statements();
    Json(Health {
        status: "ok",
        version: env!("CARGO_PKG_VERSION"),
        tee: statements.into_iter().map(|it| it.tee).collect(),
    })
}

/// Tells the numbers of this process, in Prometheus' text format; on a port that was opened so, without a token.
#[utoipa::path(
    get,
    path = "/metrics",
    tag = super::openapi::OPERATION,
    operation_id = "getMetrics",
    security((), ("bearer" = [])),
    responses((status = 200, description = "Numbers in Prometheus' text format", body = String, content_type = "text/plain")),
)]
pub(super) async fn metrics(
    _: MayMeasure,
    _: NoQuery,
    State(shared): State<Arc<Shared>>,
) -> Response {
    let mut text = shared.numbers.as_ref().map_or_else(String::new, |it| it());
    shared.stats.render(&mut text);
    ([(CONTENT_TYPE, PROMETHEUS_TEXT)], text).into_response()
}

/// Whoever may see the numbers: the bearer of a token that lists everything, or anyone where they are open.
pub(super) struct MayMeasure(());

impl FromRequestParts<Arc<Shared>> for MayMeasure {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, shared: &Arc<Shared>) -> Result<Self, Problem> {
        if !shared.are_numbers_open {
            let caller = Caller::from_request_parts(parts, shared).await?;
            caller.may_everywhere(Right::List)?;
        }
        Ok(Self(()))
    }
}
