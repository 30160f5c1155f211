//! What the coders have said of themselves.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use serde::Serialize;
use utoipa::ToSchema;

use super::caller::Caller;
use super::extract::NoQuery;
use crate::gateway::{Shared, Statement};

/// The coders that hold, or wait for, the tenant's root.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Attestation {
    /// What each of them said, and what the owner makes of it.
    coders: Vec<Statement>,
}

/// Tells what protects the coders, and whether their evidence satisfied the owner.
#[utoipa::path(
    get,
    path = "/v1/attestation",
    tag = super::openapi::OPERATION,
    operation_id = "getAttestation",
    responses((status = 200, description = "What the coders said of themselves", body = Attestation)),
)]
pub(super) async fn get(
    _caller: Caller,
    _: NoQuery,
    State(shared): State<Arc<Shared>>,
) -> Json<Attestation> {
    Json(Attestation {
        coders: shared.statements.statements(),
    })
}
