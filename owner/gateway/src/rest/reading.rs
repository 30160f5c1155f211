//! Objects are read: conditions, then a range, then the bytes as they come.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::State;
use axum::http::header::{
    CONTENT_LENGTH, CONTENT_RANGE, CONTENT_SECURITY_POLICY, RANGE, X_CONTENT_TYPE_OPTIONS,
};
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use futures_util::StreamExt as _;
use sc_client::kv::{Head, KvClient, ObjectReader, RANGE_WHOLE};
use sc_proto::store::problem::Code;
use serde::Deserialize;
use utoipa::IntoParams;

use super::caller::Caller;
use super::condition::{self, ReadCondition, Verdict};
use super::extract::{PathOf, QueryOf, header_text};
use super::object::{check_key, parse_version, version_of, write_headers, write_validators};
use super::range::Asked;
use crate::gateway::Shared;
use crate::problem::{Kind, Problem};
use crate::tokens::Right;

/// Which version.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct VersionQuery {
    /// A version: 32 hexadecimal digits; the current one without it.
    #[param(pattern = "^[0-9a-fA-F]{32}$")]
    pub(super) version: Option<String>,
}

/// An object that is asked for.
struct Wanted<'w> {
    client: &'w KvClient,
    datastore: &'w str,
    key: &'w [u8],
    version: Option<[u8; 16]>,
}

/// Reads an object, or a range of it.
#[utoipa::path(
    get,
    path = super::OBJECT_ROUTE,
    tag = super::openapi::OBJECTS,
    operation_id = "getObject",
    params(
        super::openapi::ObjectPath,
        VersionQuery,
        ("Range" = Option<String>, Header, description = "One range of bytes, as `bytes=0-99`, `bytes=100-` or `bytes=-100`; several ranges are answered by the whole object"),
        super::openapi::ReadHeaders,
        ("If-Range" = Option<String>, Header, description = "A quoted entity tag or a date: whose object the range is of; the whole of any other is the answer"),
    ),
    responses(
        (status = 200, description = "The object", content_type = "*/*", body = super::openapi::Content, headers(
            ("ETag" = String, description = "Its entity tag, quoted"),
            ("Last-Modified" = String, description = "When it was stored"),
            ("X-Version" = String, description = "Its version"),
            ("X-Storage-Policy" = String, description = "The policy that it is stored under"),
            ("X-Tags" = String, description = "Its tags, as `name=value&name=value`; absent where there are none"),
        )),
        (status = 206, description = "The range of the object", content_type = "*/*", body = super::openapi::Content, headers(
            ("Content-Range" = String, description = "Which bytes, and of how many"),
        )),
        (status = 304, description = "The object is the one that the condition names"),
        super::openapi::ConditionFailed,
        super::openapi::OutOfRange,
    ),
)]
pub(super) async fn get(
    caller: Caller,
    State(shared): State<Arc<Shared>>,
    PathOf((datastore, key)): PathOf<(String, String)>,
    QueryOf(query): QueryOf<VersionQuery>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    caller.may(Right::Read, &datastore)?;
    check_key(&key)?;
    let mut wanted = Wanted {
        client: &shared.client,
        datastore: &datastore,
        key: key.as_bytes(),
        version: parse_version(query.version.as_deref())?,
    };
    let mut asked = header_text(&headers, &RANGE)?.map_or(Asked::Whole, Asked::parse);
    let condition = ReadCondition::read(&headers)?;
    let mut length = None;
    if !condition.is_none() || matches!(asked, Asked::Last(_)) {
        let head = wanted.head().await?;
        match condition.judge(&head) {
            Verdict::Failed => return Err(condition::failed()),
            Verdict::NotModified => return Ok(not_modified(&head)),
            Verdict::Read { with_range: false } => asked = Asked::Whole,
            Verdict::Read { with_range: true } => {}
        }
        wanted.version = Some(version_of(&head)?);
        length = Some(head.bytes);
    }
    let reader = wanted.open(asked, length).await?;
    Ok(deliver(reader, asked))
}

/// Tells what an object is, as reading it would, without its content.
#[utoipa::path(
    head,
    path = super::OBJECT_ROUTE,
    tag = super::openapi::OBJECTS,
    operation_id = "headObject",
    params(
        super::openapi::ObjectPath,
        VersionQuery,
        super::openapi::ReadHeaders,
    ),
    responses(
        (status = 200, description = "The object's headers"),
        (status = 304, description = "The object is the one that the condition names"),
        super::openapi::ConditionFailed,
    ),
)]
pub(super) async fn head(
    caller: Caller,
    State(shared): State<Arc<Shared>>,
    PathOf((datastore, key)): PathOf<(String, String)>,
    QueryOf(query): QueryOf<VersionQuery>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    caller.may(Right::Read, &datastore)?;
    check_key(&key)?;
    let wanted = Wanted {
        client: &shared.client,
        datastore: &datastore,
        key: key.as_bytes(),
        version: parse_version(query.version.as_deref())?,
    };
    let condition = ReadCondition::read(&headers)?;
    let head = wanted.head().await?;
    match condition.judge(&head) {
        Verdict::Failed => Err(condition::failed()),
        Verdict::NotModified => Ok(not_modified(&head)),
        Verdict::Read { .. } => {
            let mut response = StatusCode::OK.into_response();
            describe(&head, head.bytes, response.headers_mut());
            Ok(response)
        }
    }
}

impl Wanted<'_> {
    async fn head(&self) -> Result<Head, Problem> {
        let head = self.client.head(self.datastore, self.key, self.version);
        Ok(head.await?)
    }

    /// Begins to read what was asked for; `length` is the object's where it is known.
    async fn open(&self, asked: Asked, length: Option<u64>) -> Result<ObjectReader, Problem> {
        let range = match (asked, length) {
            (Asked::Whole, _) => RANGE_WHOLE,
            (_, Some(length)) => asked.within(length).ok_or_else(|| out_of_range(length))?,
            (Asked::From(first, last), None) => {
                first..last.map_or(u64::MAX, |last| last.saturating_add(1))
            }
            (Asked::Last(_), None) => unreachable!("the length is asked for first"),
        };
        let read = self
            .client
            .get(self.datastore, self.key, self.version, range);
        let reader = match read.await {
            Err(error) if error.code() == Some(Code::Range) => {
                return Err(out_of_range(self.head().await?.bytes));
            }
            other => other?,
        };
        if asked.within(reader.head.bytes).is_none() {
            return Err(out_of_range(reader.head.bytes));
        }
        Ok(reader)
    }
}

fn deliver(reader: ObjectReader, asked: Asked) -> Response {
    let (range, total) = (reader.range.clone(), reader.head.bytes);
    let mut headers = HeaderMap::with_capacity(16);
    describe(&reader.head, range.end - range.start, &mut headers);
    let mut status = StatusCode::OK;
    if asked != Asked::Whole {
        status = StatusCode::PARTIAL_CONTENT;
        let content_range = format!("bytes {}-{}/{total}", range.start, range.end - 1);
        let value = HeaderValue::try_from(content_range).expect("digits are a header's value");
        headers.insert(CONTENT_RANGE, value);
    }
    let pieces = reader.into_stream().inspect(|piece| {
        if let Err(error) = piece {
            tracing::warn!(%error, "an object broke off while it was read");
        }
    });
    (status, headers, Body::from_stream(pieces)).into_response()
}

fn describe(head: &Head, bytes: u64, headers: &mut HeaderMap) {
    write_headers(head, headers);
    headers.insert(CONTENT_LENGTH, bytes.into());
    // An object is its owner's bytes: a browser must neither guess what they are nor run them beside the explorer.
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(CONTENT_SECURITY_POLICY, HeaderValue::from_static("sandbox"));
}

fn not_modified(head: &Head) -> Response {
    let mut response = StatusCode::NOT_MODIFIED.into_response();
    write_validators(head, response.headers_mut());
    response
}

fn out_of_range(bytes: u64) -> Problem {
    let value = HeaderValue::try_from(format!("bytes */{bytes}"));
    Problem::new(Kind::RANGE, format!("the object has {bytes} bytes"))
        .with_header(CONTENT_RANGE, value.expect("digits are a header's value"))
}
