//! REST: paths, and what each translates to.
//!
//! Invariant: the router and the OpenAPI document are made of one list, so that no path is served undocumented or documented unserved;
//! every handler under `/v1` but the sign of life takes a [`caller::Caller`] first, which exists only where a token was shown.

#![allow(
    unused_qualifications,
    reason = "what documents a handler is written once more by a macro, with its path"
)]

mod attestation;
mod caller;
mod catalogue;
mod condition;
mod datastores;
mod document;
mod explorer;
mod extract;
mod health;
mod jobs;
mod locations;
mod metadata;
mod object;
mod objects;
mod openapi;
mod policies;
mod range;
mod reading;
mod stat;
mod tokens;
mod uploads;
mod usage;

use std::sync::Arc;

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::http::Uri;
use axum::response::Redirect;
use axum::routing::{any, get};
use utoipa::openapi::OpenApi;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::gateway::Shared;
use crate::problem::{Kind, Problem};

/// The path of objects as the router has it: a key may contain slashes.
const OBJECT_ROUTE: &str = "/v1/datastores/{datastore}/objects/{*key}";
/// The same path as the document has it, where `{key}` stands for one value, slashes escaped.
const OBJECT_PATH: &str = "/v1/datastores/{datastore}/objects/{key}";

/// The paths that tell that the gateway lives.
pub(crate) const SIGNS_OF_LIFE: [&str; 2] = ["/healthz", "/v1/healthz"];

/// Everything that is documented, and its document.
fn documented() -> (Router<Arc<Shared>>, OpenApi) {
    let (router, document) = OpenApiRouter::with_openapi(openapi::frame())
        .routes(routes!(datastores::list, datastores::create))
        .routes(routes!(
            datastores::get,
            datastores::update,
            datastores::delete
        ))
        .routes(routes!(objects::list))
        .routes(routes!(
            reading::get,
            reading::head,
            objects::put,
            objects::delete
        ))
        .routes(routes!(stat::get))
        .routes(routes!(uploads::list, uploads::create))
        .routes(routes!(uploads::abort))
        .routes(routes!(uploads::parts))
        .routes(routes!(uploads::put_part))
        .routes(routes!(uploads::complete))
        .routes(routes!(policies::list))
        .routes(routes!(policies::get, policies::put))
        .routes(routes!(policies::simulate))
        .routes(routes!(locations::list))
        .routes(routes!(locations::put))
        .routes(routes!(jobs::drain))
        .routes(routes!(jobs::list, jobs::create))
        .routes(routes!(jobs::get, jobs::cancel))
        .routes(routes!(usage::get))
        .routes(routes!(catalogue::get, catalogue::start))
        .routes(routes!(tokens::list, tokens::create))
        .routes(routes!(tokens::delete))
        .routes(routes!(attestation::get))
        .routes(routes!(health::get))
        .routes(routes!(health::metrics))
        .split_for_parts();
    (router, openapi::complete(document))
}

/// The whole router.
pub(crate) fn router(shared: Arc<Shared>) -> Router {
    let (documented, document) = documented();
    documented
        .route(
            "/v1/datastores/{datastore}/objects/",
            any(objects::without_key),
        )
        .route("/healthz", get(health::get))
        .route("/", get(async || Redirect::to("/explorer/")))
        .merge(explorer::router(&document))
        .fallback(no_path)
        .method_not_allowed_fallback(no_method)
        .layer(DefaultBodyLimit::disable())
        .with_state(shared)
}

async fn no_path(uri: Uri) -> Problem {
    let hint = "the paths are listed in /openapi.json and shown at /explorer";
    Problem::new(
        Kind::NO_PATH,
        format!("nothing is at {}: {hint}", uri.path()),
    )
}

async fn no_method() -> Problem {
    Problem::new(
        Kind::METHOD,
        "this path does not know the method: the header Allow says which it knows",
    )
}
