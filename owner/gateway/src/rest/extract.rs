//! What requests carry beside their method, taken apart; whatever does not fit is a problem document.

use std::sync::Arc;
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::extract::{FromRequest, FromRequestParts, Path, Request};
use axum::http::header::{CONTENT_LENGTH, CONTENT_TYPE};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderName};
use futures_util::stream::{self, StreamExt as _};
use sc_client::kv::ObjectBody;
use serde::de::DeserializeOwned;

use crate::gateway::Shared;
use crate::problem::{Kind, Problem};

/// Bytes of a JSON body: the longest completes an upload of 10,000 parts.
pub(super) const JSON_BYTES_MAX: usize = 1 << 20;

/// The parameters of a path, decoded.
pub(super) struct PathOf<T>(pub(super) T);

impl<T: DeserializeOwned + Send> FromRequestParts<Arc<Shared>> for PathOf<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &Arc<Shared>) -> Result<Self, Problem> {
        match Path::from_request_parts(parts, state).await {
            Ok(Path(value)) => Ok(Self(value)),
            Err(rejection) => Err(Problem::malformed(format!(
                "the path does not decode: {}",
                rejection.body_text()
            ))),
        }
    }
}

/// The parameters behind the question mark; an unknown one is refused, since it is most likely misspelt.
pub(super) struct QueryOf<T>(pub(super) T);

impl<T: DeserializeOwned> FromRequestParts<Arc<Shared>> for QueryOf<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &Arc<Shared>) -> Result<Self, Problem> {
        let query = parts.uri.query().unwrap_or_default();
        serde_urlencoded::from_str(query)
            .map(Self)
            .map_err(|error| Problem::malformed(format!("the query is not understood: {error}")))
    }
}

/// No parameters behind the question mark: the path takes none.
pub(super) struct NoQuery;

impl FromRequestParts<Arc<Shared>> for NoQuery {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &Arc<Shared>) -> Result<Self, Problem> {
        match parts.uri.query() {
            None | Some("") => Ok(Self),
            Some(_) => Err(Problem::malformed(
                "this path and method take no parameters behind the question mark",
            )),
        }
    }
}

/// A JSON body.
pub(super) struct JsonOf<T>(pub(super) T);

impl<T: DeserializeOwned> FromRequest<Arc<Shared>> for JsonOf<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, state: &Arc<Shared>) -> Result<Self, Problem> {
        let body = read_json(request, state.limits.body_timeout).await?;
        if body.is_empty() {
            return Err(Problem::malformed("a JSON body is needed"));
        }
        from_json(&body).map(Self)
    }
}

/// A JSON body, or none at all.
pub(super) struct OptionalJsonOf<T>(pub(super) Option<T>);

impl<T: DeserializeOwned> FromRequest<Arc<Shared>> for OptionalJsonOf<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, state: &Arc<Shared>) -> Result<Self, Problem> {
        let is_absent = hyper::body::Body::is_end_stream(request.body());
        if is_absent {
            return Ok(Self(None));
        }
        let body = read_json(request, state.limits.body_timeout).await?;
        if body.is_empty() {
            return Ok(Self(None));
        }
        if body.trim_ascii() == b"null" {
            return Ok(Self(None));
        }
        from_json(&body).map(Some).map(Self)
    }
}

async fn read_json(request: Request, timeout: Duration) -> Result<Bytes, Problem> {
    let content_type = header_text(request.headers(), &CONTENT_TYPE)?.unwrap_or_default();
    let essence = content_type.split(';').next().unwrap_or_default().trim();
    let is_json = essence.eq_ignore_ascii_case("application/json")
        || essence.to_ascii_lowercase().ends_with("+json");
    if !is_json {
        return Err(Problem::new(
            Kind::MEDIA_TYPE,
            "this path takes a body with the header Content-Type: application/json",
        ));
    }
    let mut body = object_body(request.into_body(), Some(JSON_BYTES_MAX as u64), timeout);
    let mut bytes = Vec::new();
    while let Some(piece) = body.next().await {
        let piece = piece.map_err(sc_client::kv::KvError::Body)?;
        bytes.extend_from_slice(&piece);
    }
    Ok(bytes.into())
}

fn from_json<T: DeserializeOwned>(body: &[u8]) -> Result<T, Problem> {
    // A list would be taken for the members in their order, too.
    if body.trim_ascii_start().first() != Some(&b'{') {
        return Err(Problem::malformed("the JSON body is no object"));
    }
    serde_json::from_slice(body)
        .map_err(|error| Problem::malformed(format!("the JSON body is not understood: {error}")))
}

/// A body as it comes: at most `bytes_max` bytes, none of its pieces later than `timeout` after the one before.
pub(super) fn object_body(body: Body, bytes_max: Option<u64>, timeout: Duration) -> ObjectBody {
    let pieces = body.into_data_stream();
    Box::pin(stream::try_unfold(
        (pieces, 0_u64),
        move |(mut pieces, before)| async move {
            let piece = tokio::time::timeout(timeout, pieces.next()).await;
            let Some(piece) = piece.map_err(|_| std::io::ErrorKind::TimedOut)? else {
                return Ok(None);
            };
            let piece: Bytes = piece.map_err(std::io::Error::other)?;
            let bytes = before + piece.len() as u64;
            if bytes_max.is_some_and(|max| bytes > max) {
                return Err(std::io::ErrorKind::FileTooLarge.into());
            }
            Ok(Some((piece, (pieces, bytes))))
        },
    ))
}

/// How long the body says that it is; checked against the most that it may be.
pub(super) fn promised_length(
    headers: &HeaderMap,
    bytes_max: Option<u64>,
) -> Result<Option<u64>, Problem> {
    let Some(text) = header_text(headers, &CONTENT_LENGTH)? else {
        return Ok(None);
    };
    let length: u64 = text
        .parse()
        .map_err(|_| Problem::malformed("the header Content-Length is no number"))?;
    match bytes_max {
        Some(max) if length > max => Err(Problem::new(
            Kind::TOO_LARGE,
            format!("a body of {length} bytes exceeds the {max} that this gateway takes"),
        )),
        _ => Ok(Some(length)),
    }
}

/// The one value of a header.
pub(super) fn header_text<'h>(
    headers: &'h HeaderMap,
    name: &HeaderName,
) -> Result<Option<&'h str>, Problem> {
    let Some(value) = headers.get(name) else {
        return Ok(None);
    };
    core::str::from_utf8(value.as_bytes())
        .map(Some)
        .map_err(|_| Problem::malformed(format!("the header {name} is not UTF-8")))
}

/// What a cursor is on the outside: base64url, without padding.
pub(super) mod cursor {
    use base64ct::{Base64UrlUnpadded, Encoding as _};

    use crate::problem::Problem;

    pub(in crate::rest) fn encode(bytes: &[u8]) -> String {
        Base64UrlUnpadded::encode_string(bytes)
    }

    pub(in crate::rest) fn decode(text: &str) -> Result<Vec<u8>, Problem> {
        Base64UrlUnpadded::decode_vec(text)
            .map_err(|_| Problem::malformed("the cursor is not one that a page ended with"))
    }
}
