//! The explorer: Swagger UI, out of this program's own bytes, and the document that it shows.
//!
//! Invariant: nothing of the explorer comes from, or goes to, any other server.

use std::sync::Arc;

use axum::Router;
use axum::body::Bytes;
use axum::extract::Path;
use axum::http::header::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, REFERRER_POLICY, X_CONTENT_TYPE_OPTIONS,
};
use axum::response::{IntoResponse, Redirect, Response};
use axum::routing::get;
use utoipa::openapi::OpenApi;
use utoipa_swagger_ui::Config;

use crate::problem::{Kind, Problem};

/// Scripts, styles and requests of this gateway alone; the explorer styles its elements in place and draws its icons in data URLs.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; \
    font-src 'self' data:; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// The paths `/openapi.json` and `/explorer`.
pub(super) fn router<S: Clone + Send + Sync + 'static>(document: &OpenApi) -> Router<S> {
    let document = serde_json::to_vec(document).expect("a document can be written");
    let document = Bytes::from(document);
    let config = Config::new(["/openapi.json"])
        .persist_authorization(true)
        .try_it_out_enabled(true)
        .display_request_duration(true)
        .validator_url("none");
    let config = Arc::new(config);
    let index = Arc::clone(&config);
    Router::new()
        .route(
            "/openapi.json",
            get(async move || ([(CONTENT_TYPE, "application/json")], document)),
        )
        .route("/explorer", get(async || Redirect::to("/explorer/")))
        .route("/explorer/", get(async move || file("", index)))
        .route(
            "/explorer/{*file}",
            get(async move |Path(path): Path<String>| file(&path, config)),
        )
}

fn file(path: &str, config: Arc<Config<'static>>) -> Result<Response, Problem> {
    let found = utoipa_swagger_ui::serve(path, config).map_err(|error| {
        tracing::error!(%error, "the explorer's settings cannot be written");
        Problem::new(Kind::INTERNAL, "the explorer's settings cannot be written")
    })?;
    let found = found.ok_or_else(|| {
        Problem::new(
            Kind::NO_PATH,
            format!("the explorer has no file named {path}"),
        )
    })?;
    let headers = [
        (CONTENT_TYPE, found.content_type.as_str()),
        (CONTENT_SECURITY_POLICY, POLICY),
        (X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (REFERRER_POLICY, "no-referrer"),
        (CACHE_CONTROL, "no-cache"),
    ];
    Ok((headers, found.bytes.into_owned()).into_response())
}
