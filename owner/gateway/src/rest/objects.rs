//! Objects are listed, stored, copied and deleted.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Request, State};
use axum::http::header::{CONTENT_LENGTH, LOCATION};
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use futures_util::TryStreamExt as _;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use sc_client::kv::{
    Head, ListOptions, Listing, Metadata, ObjectBody, PutOptions, RANGE_WHOLE, Receipt,
};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::caller::Caller;
use super::condition;
use super::extract::{NoQuery, PathOf, QueryOf, cursor, header_text, object_body, promised_length};
use super::metadata;
use super::object::{
    KEY_BYTES_MAX, ObjectHead, STORAGE_POLICY, VERSION, check_key, parse_version, secret,
    write_validators,
};
use super::reading::VersionQuery;
use crate::gateway::Shared;
use crate::problem::Problem;
use crate::tokens::{Right, hex};

/// The header that names an object to be copied.
const COPY_FROM: HeaderName = HeaderName::from_static("x-copy-from");
/// The header that says whether a delete marker was made.
const DELETE_MARKER: HeaderName = HeaderName::from_static("x-delete-marker");
/// Entries of a page.
pub(super) const LIMIT_MAX: u32 = 1000;

/// What to list.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct ListQuery {
    /// Only keys that begin so.
    #[serde(default)]
    prefix: String,
    /// Keys that contain this behind the prefix are listed as one common prefix.
    #[serde(default)]
    #[param(example = "/")]
    delimiter: String,
    /// `next` of the page before.
    #[serde(default)]
    #[param(pattern = "^[A-Za-z0-9_-]*$")]
    cursor: String,
    /// Entries of a page; 1000 without it.
    #[param(minimum = 1, maximum = 1000)]
    limit: Option<u32>,
    /// Whether older versions and delete markers are listed, too.
    #[serde(default)]
    versions: bool,
    /// Current objects that carry this tag, as `name:value`; the datastore must index the name, and prefix, delimiter and versions are
    /// not looked at.
    #[param(pattern = "^[^:]+:", example = "project:apollo")]
    tag: Option<String>,
}

/// A page of objects.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct ObjectPage {
    /// Ascending by key; of one key the newest version first.
    objects: Vec<ObjectHead>,
    /// Common prefixes, ascending, the delimiter included.
    prefixes: Vec<String>,
    /// The cursor of the next page; absent on the last.
    #[serde(skip_serializing_if = "Option::is_none")]
    next: Option<String>,
}

impl From<Listing> for ObjectPage {
    fn from(listing: Listing) -> Self {
        let prefixes = listing.prefixes.iter();
        Self {
            objects: listing.heads.iter().map(ObjectHead::from).collect(),
            prefixes: prefixes
                .map(|prefix| String::from_utf8_lossy(prefix).into_owned())
                .collect(),
            next: listing.cursor.map(|bytes| cursor::encode(&bytes)),
        }
    }
}

/// The entries of a page, within the bound.
pub(super) fn page_limit(limit: Option<u32>) -> Result<u32, Problem> {
    match limit.unwrap_or(LIMIT_MAX) {
        limit @ 1..=LIMIT_MAX => Ok(limit),
        other => Err(Problem::malformed(format!(
            "a limit of {other}: a page has 1 to {LIMIT_MAX} entries"
        ))),
    }
}

/// Lists objects.
#[utoipa::path(
    get,
    path = "/v1/datastores/{datastore}/objects",
    tag = super::openapi::OBJECTS,
    operation_id = "listObjects",
    params(super::openapi::DatastorePath, ListQuery),
    responses((status = 200, description = "A page of objects", body = ObjectPage)),
)]
pub(super) async fn list(
    caller: Caller,
    State(shared): State<Arc<Shared>>,
    PathOf(datastore): PathOf<String>,
    QueryOf(query): QueryOf<ListQuery>,
) -> Result<Json<ObjectPage>, Problem> {
    caller.may(Right::List, &datastore)?;
    let limit = page_limit(query.limit)?;
    let cursor = cursor::decode(&query.cursor)?;
    let listing = match &query.tag {
        Some(tag) => {
            let tag = tag.split_once(':').filter(|(name, _)| !name.is_empty());
            let tag =
                tag.ok_or_else(|| Problem::malformed("a tag is searched for as tag=name:value"))?;
            shared
                .client
                .search(&datastore, tag, &cursor, limit)
                .await?
        }
        None => {
            let options = ListOptions {
                prefix: query.prefix.into_bytes(),
                delimiter: query.delimiter.into_bytes(),
                cursor,
                limit,
                versions: query.versions,
            };
            shared.client.list(&datastore, &options).await?
        }
    };
    Ok(Json(listing.into()))
}

/// Stores an object: what comes as the body, or a copy of another object.
#[utoipa::path(
    put,
    path = super::OBJECT_ROUTE,
    tag = super::openapi::OBJECTS,
    operation_id = "putObject",
    params(
        super::openapi::ObjectPath,
        ("X-Storage-Policy" = Option<String>, Header, description = "The policy to store it under; without it the datastore's"),
        ("X-Tags" = Option<String>, Header, description = "Tags, as `name=value&name=value`, percent-encoded"),
        ("X-Copy-From" = Option<String>, Header, description = "`datastore/key`, or `datastore/key?version=…`, percent-encoded: store a copy of this object, with its content type, metadata and tags where the request gives none. The body is empty then"),
        super::openapi::WriteHeaders,
    ),
    request_body(content = inline(super::openapi::Content), content_type = "application/octet-stream", description = "The object, of any media type. Headers `X-Meta-NAME: value` give metadata of the user's own, percent-encoded UTF-8"),
    responses(
        (status = 201, description = "It is stored", body = ObjectHead, headers(
            ("ETag" = String, description = "Its entity tag, quoted"),
            ("X-Version" = String, description = "Its version"),
            ("Location" = String, description = "The path of this version"),
        )),
        super::openapi::Conflict,
        super::openapi::ConditionFailed,
    ),
)]
pub(super) async fn put(
    caller: Caller,
    _: NoQuery,
    State(shared): State<Arc<Shared>>,
    PathOf((datastore, key)): PathOf<(String, String)>,
    request: Request,
) -> Result<Response, Problem> {
    caller.may(Right::Write, &datastore)?;
    check_key(&key)?;
    let headers = request.headers();
    let options = PutOptions {
        policy: header_text(headers, &STORAGE_POLICY)?
            .unwrap_or_default()
            .to_owned(),
        metadata: metadata::read(headers)?,
        condition: condition::of_write(&shared.client, &datastore, key.as_bytes(), headers).await?,
        length: promised_length(headers, shared.limits.object_bytes)?,
    };
    let receipt = match header_text(headers, &COPY_FROM)? {
        Some(from) => {
            let source = Source::parse(from)?;
            caller.may(Right::Read, &source.datastore)?;
            copy(&shared, &source, (&datastore, &key), options, headers).await?
        }
        None => {
            let limits = &shared.limits;
            let body = request.into_body();
            let body = object_body(body, limits.object_bytes, limits.body_timeout);
            let put = shared
                .client
                .put(&datastore, key.as_bytes(), &options, body);
            put.await?
        }
    };
    Ok(stored(&datastore, &key, &receipt))
}

/// The answer to whoever has stored an object.
pub(super) fn stored(datastore: &str, key: &str, receipt: &Receipt) -> Response {
    let mut response = (StatusCode::CREATED, Json(ObjectHead::from(&receipt.head))).into_response();
    write_validators(&receipt.head, response.headers_mut());
    let location = location(datastore, key, &receipt.head);
    if let Ok(location) = HeaderValue::try_from(location) {
        response.headers_mut().insert(LOCATION, location);
    }
    response
}

fn location(datastore: &str, key: &str, head: &Head) -> String {
    const IN_SEGMENT: &AsciiSet = &NON_ALPHANUMERIC
        .remove(b'-')
        .remove(b'.')
        .remove(b'_')
        .remove(b'~');
    const IN_KEY: &AsciiSet = &IN_SEGMENT.remove(b'/');
    const IN_DOTTED_KEY: &AsciiSet = &IN_KEY.add(b'.');
    // A path of dots alone means another path to whoever follows it.
    let is_dotted = key.split('/').any(|it| it == "." || it == "..");
    let in_key = if is_dotted { IN_DOTTED_KEY } else { IN_KEY };
    format!(
        "/v1/datastores/{}/objects/{}?version={}",
        utf8_percent_encode(datastore, IN_SEGMENT),
        utf8_percent_encode(key, in_key),
        hex(&head.version)
    )
}

/// Whatever is asked of an object whose key is empty.
pub(super) async fn without_key(_caller: Caller) -> Problem {
    Problem::malformed(format!("a key of 0 bytes: it has 1 to {KEY_BYTES_MAX}"))
}

/// An object that is to be copied.
#[derive(Debug, PartialEq, Eq)]
struct Source {
    datastore: String,
    key: String,
    version: Option<[u8; 16]>,
}

impl Source {
    fn parse(text: &str) -> Result<Self, Problem> {
        let form = || Problem::malformed("x-copy-from is datastore/key or datastore/key?version=…");
        let (path, query) = match text.split_once('?') {
            Some((path, query)) => (path, Some(query)),
            None => (text, None),
        };
        let version = match query {
            Some(query) => Some(query.strip_prefix("version=").ok_or_else(form)?),
            None => None,
        };
        let path = path.strip_prefix('/').unwrap_or(path);
        let (datastore, key) = path.split_once('/').ok_or_else(form)?;
        let key = metadata::decoded(key).ok_or_else(form)?;
        check_key(&key)?;
        Ok(Self {
            datastore: metadata::decoded(datastore).ok_or_else(form)?,
            key,
            version: parse_version(version)?,
        })
    }
}

async fn copy(
    shared: &Shared,
    source: &Source,
    (datastore, key): (&str, &str),
    options: PutOptions,
    headers: &HeaderMap,
) -> Result<Receipt, Problem> {
    let has_body = headers
        .get(CONTENT_LENGTH)
        .is_some_and(|length| length != "0");
    if has_body {
        return Err(Problem::malformed("a copy takes no body"));
    }
    let read = shared.client.get(
        &source.datastore,
        source.key.as_bytes(),
        source.version,
        RANGE_WHOLE,
    );
    let reader = read.await?;
    let options = PutOptions {
        metadata: inherited(options.metadata, &reader.head, headers),
        length: Some(reader.head.bytes),
        ..options
    };
    let body: ObjectBody = Box::pin(reader.into_stream().map_err(std::io::Error::other));
    let put = shared.client.put(datastore, key.as_bytes(), &options, body);
    Ok(put.await?)
}

/// The metadata of a copy: the request's, and the source's where the request gives none.
fn inherited(given: Metadata, source: &Head, headers: &HeaderMap) -> Metadata {
    let source = secret(source);
    let (has_metadata, has_tags) = metadata::is_told(headers);
    let pairs = |pairs: &[sc_client::kv::Pair]| {
        let pairs = pairs.iter();
        pairs
            .map(|pair| (pair.name.clone(), pair.value.clone()))
            .collect()
    };
    Metadata {
        content_type: match given.content_type.is_empty() {
            true => source.content_type.clone(),
            false => given.content_type,
        },
        metadata: match has_metadata {
            true => given.metadata,
            false => pairs(&source.metadata),
        },
        tags: match has_tags {
            true => given.tags,
            false => pairs(&source.tags),
        },
        checksums: pairs(&source.checksums),
        ..given
    }
}

/// Deletes an object, or one version of it for good; what is not there is deleted, too.
#[utoipa::path(
    delete,
    path = super::OBJECT_ROUTE,
    tag = super::openapi::OBJECTS,
    operation_id = "deleteObject",
    params(
        super::openapi::ObjectPath,
        VersionQuery,
        super::openapi::WriteHeaders,
    ),
    responses(
        (status = 204, description = "It is gone", headers(
            ("X-Version" = String, description = "The version that is gone, or the delete marker that was made"),
            ("X-Delete-Marker" = String, description = "`true` where a delete marker was made"),
        )),
        (status = 202, description = "It is gone, and too few locations answer to keep that it is: delete it again when they do", headers(
            ("X-Version" = String, description = "The version that is gone, or the delete marker that was made"),
            ("X-Delete-Marker" = String, description = "`true` where a delete marker was made"),
        )),
        super::openapi::ConditionFailed,
    ),
)]
pub(super) async fn delete(
    caller: Caller,
    State(shared): State<Arc<Shared>>,
    PathOf((datastore, key)): PathOf<(String, String)>,
    QueryOf(query): QueryOf<VersionQuery>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    caller.may(Right::Delete, &datastore)?;
    check_key(&key)?;
    let key = key.as_bytes();
    let version = parse_version(query.version.as_deref())?;
    let condition = condition::of_write(&shared.client, &datastore, key, &headers).await?;
    let deleted = shared
        .client
        .delete(&datastore, key, version, condition)
        .await?;
    let status = match deleted.is_sure {
        true => StatusCode::NO_CONTENT,
        false => StatusCode::ACCEPTED,
    };
    let mut response = status.into_response();
    if let Some(version) = deleted.version {
        let value = HeaderValue::try_from(hex(&version)).expect("digits are a header's value");
        response.headers_mut().insert(VERSION, value);
    }
    if deleted.is_marker {
        let value = HeaderValue::from_static("true");
        response.headers_mut().insert(DELETE_MARKER, value);
    }
    Ok(response)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::problem::Kind;

    #[test]
    fn a_source_is_read_with_and_without_its_version() {
        let source =
            Source::parse("logs/a%20b/c?version=0123456789abcdef0123456789abcdef").unwrap();

        assert_eq!(source.datastore, "logs");
        assert_eq!(source.key, "a b/c");
        assert!(source.version.is_some());
        assert_eq!(Source::parse("/logs/a").unwrap().version, None);
    }

    #[test]
    fn what_is_no_source_is_refused() {
        for text in [
            "",
            "logs",
            "logs/",
            "logs/a?v=1",
            "logs/a?version=1",
            "logs/%zz",
        ] {
            let problem = Source::parse(text).unwrap_err();
            assert_eq!(problem.kind, Kind::MALFORMED, "{text}");
        }
    }

    #[test]
    fn a_location_is_a_path_that_leads_to_the_same_key() {
        let head = Head {
            version: vec![1; 16].into(),
            ..Head::default()
        };
        let version = "01".repeat(16);

        assert_eq!(
            location("logs", "a/ä b?", &head),
            format!("/v1/datastores/logs/objects/a/%C3%A4%20b%3F?version={version}")
        );
        assert_eq!(
            location("logs", "a/../b", &head),
            format!("/v1/datastores/logs/objects/a/%2E%2E/b?version={version}")
        );
    }

    #[test]
    fn a_page_has_between_1_and_1000_entries() {
        assert_eq!(page_limit(None).unwrap(), LIMIT_MAX);
        assert_eq!(page_limit(Some(1)).unwrap(), 1);
        assert!(page_limit(Some(0)).is_err());
        assert!(page_limit(Some(LIMIT_MAX + 1)).is_err());
    }
}
