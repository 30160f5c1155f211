//! Multipart uploads.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::Json;
use axum::extract::{Request, State};
use axum::http::header::{ETAG, LOCATION};
use axum::http::{HeaderMap, HeaderName, StatusCode};
use axum::response::Response;
use base64ct::{Base64UrlUnpadded, Encoding as _};
use bytes::Bytes;
use sc_client::kv::{Metadata, Upload};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::caller::Caller;
use super::condition;
use super::document::{self, Entry};
use super::extract::{JsonOf, NoQuery, PathOf, QueryOf, cursor, object_body, promised_length};
use super::metadata;
use super::object::{check_key, key_text, secret, time_text, version_of};
use super::objects::{page_limit, stored};
use super::openapi::{Pairs, PartEntry};
use crate::gateway::Shared;
use crate::problem::{Kind, Problem};
use crate::tokens::Right;

/// Parts of one upload, which are numbered from 1.
const PARTS_MAX: u32 = 10_000;

/// An object that is to be uploaded in parts.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct NewUpload {
    /// The datastore's name.
    #[schema(
        min_length = 1,
        max_length = 63,
        pattern = "^[a-z0-9][a-z0-9._-]{0,62}$",
        example = "readings"
    )]
    datastore: String,
    /// The object's key.
    #[schema(min_length = 1, max_length = 1024, example = "2026/all.tar")]
    key: String,
    /// The policy to store it under; without it the datastore's.
    #[serde(default)]
    #[schema(max_length = 63, pattern = "^([a-z0-9][a-z0-9._-]*)?$")]
    policy: String,
    /// The media type of its content.
    #[serde(default)]
    #[schema(max_length = 256)]
    content_type: String,
    /// Metadata of the user's own.
    #[serde(default)]
    #[schema(value_type = Pairs, required = false)]
    metadata: BTreeMap<String, String>,
    /// Tags.
    #[serde(default)]
    #[schema(value_type = Pairs, required = false)]
    tags: BTreeMap<String, String>,
}

/// An upload that is under way.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct UploadInfo {
    /// What its parts and its end name it by.
    id: String,
    /// The datastore's name.
    datastore: String,
    /// The object's key.
    key: String,
    /// When it began, by the store's clock; absent in the answer to its beginning, and where the store has not kept it.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(format = DateTime)]
    created: Option<String>,
    /// The media type of its content; may be empty.
    content_type: String,
}

/// A page of uploads.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct UploadPage {
    /// Ascending by key.
    uploads: Vec<UploadInfo>,
    /// The cursor of the next page; absent on the last.
    #[serde(skip_serializing_if = "Option::is_none")]
    next: Option<String>,
}

/// Which uploads.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct UploadQuery {
    /// The datastore's name.
    #[param(
        min_length = 1,
        max_length = 63,
        pattern = "^[a-z0-9][a-z0-9._-]{0,62}$",
        example = "readings"
    )]
    datastore: String,
    /// Only keys that begin so.
    #[serde(default)]
    prefix: String,
    /// `next` of the page before.
    #[serde(default)]
    #[param(pattern = "^[A-Za-z0-9_-]*$")]
    cursor: String,
    /// Entries of a page; 1000 without it.
    #[param(minimum = 1, maximum = 1000)]
    limit: Option<u32>,
}

/// Which parts.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct PartQuery {
    /// Only parts with greater numbers.
    #[serde(default)]
    #[param(maximum = 10000)]
    after: u32,
    /// Entries of a page; 1000 without it.
    #[param(minimum = 1, maximum = 1000)]
    limit: Option<u32>,
}

/// A part that is stored.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Part {
    /// Its number.
    part: u32,
    /// What completion must name it by.
    etag: String,
    /// Bytes of content.
    bytes: u64,
}

/// Parts of an upload that are stored.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct PartPage {
    /// Ascending by number: the store's word.
    #[schema(value_type = Vec<PartEntry>)]
    parts: Vec<Entry>,
}

/// The parts that make the object.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Completion {
    /// Ascending by number.
    #[schema(min_items = 1, max_items = 10000)]
    parts: Vec<PartName>,
}

/// A part, as it was told when it was stored.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct PartName {
    /// Its number.
    #[schema(minimum = 1, maximum = 10000)]
    part: u32,
    /// Its entity tag, with the quotation marks of the header `ETag` or without.
    #[schema(max_length = 256)]
    etag: String,
}

/// An upload's id on the outside: version, length of the datastore's name, that name, and the key, in base64url.
fn id_of(upload: &Upload) -> String {
    let name = upload.datastore.as_bytes();
    let mut bytes = Vec::with_capacity(17 + name.len() + upload.key.len());
    bytes.extend_from_slice(&upload.version);
    bytes.push(u8::try_from(name.len()).unwrap_or(u8::MAX));
    bytes.extend_from_slice(name);
    bytes.extend_from_slice(&upload.key);
    Base64UrlUnpadded::encode_string(&bytes)
}

/// The upload of an id. Whether there is one is for the store to say.
fn upload_of(id: &str) -> Result<Upload, Problem> {
    let read = || {
        let bytes = Base64UrlUnpadded::decode_vec(id).ok()?;
        let (version, rest) = bytes.split_first_chunk()?;
        let (length, rest) = rest.split_first()?;
        let (name, key) = rest.split_at_checked(usize::from(*length))?;
        let datastore = String::from_utf8(name.to_vec()).ok()?;
        (!key.is_empty()).then(|| Upload {
            datastore,
            key: Bytes::copy_from_slice(key),
            version: *version,
        })
    };
    read().ok_or_else(|| Problem::new(Kind::UPLOAD_GONE, "this is no id of an upload"))
}

/// Lists uploads that are under way.
#[utoipa::path(
    get,
    path = "/v1/uploads",
    tag = super::openapi::UPLOADS,
    operation_id = "listUploads",
    params(UploadQuery),
    responses((status = 200, description = "A page of uploads", body = UploadPage)),
)]
pub(super) async fn list(
    caller: Caller,
    State(shared): State<Arc<Shared>>,
    QueryOf(query): QueryOf<UploadQuery>,
) -> Result<Json<UploadPage>, Problem> {
    caller.may(Right::List, &query.datastore)?;
    let limit = page_limit(query.limit)?;
    let cursor = cursor::decode(&query.cursor)?;
    let prefix = query.prefix.as_bytes();
    let listing = shared
        .client
        .uploads(&query.datastore, prefix, &cursor, limit)
        .await?;
    let mut uploads = Vec::with_capacity(listing.heads.len());
    for head in &listing.heads {
        let upload = Upload {
            datastore: query.datastore.clone(),
            key: head.key.clone(),
            version: version_of(head)?,
        };
        uploads.push(UploadInfo {
            id: id_of(&upload),
            datastore: upload.datastore,
            key: key_text(&head.key).0,
            // One that an earlier version of the store has begun does not say.
            created: (head.created_ms > 0).then(|| time_text(head.created_ms)),
            content_type: secret(head).content_type.clone(),
        });
    }
    let next = listing.cursor.map(|bytes| cursor::encode(&bytes));
    Ok(Json(UploadPage { uploads, next }))
}

/// Begins an upload.
#[utoipa::path(
    post,
    path = "/v1/uploads",
    tag = super::openapi::UPLOADS,
    operation_id = "createUpload",
    request_body = NewUpload,
    responses((status = 201, description = "The upload", body = UploadInfo, headers(("Location" = String, description = "Its path")))),
)]
pub(super) async fn create(
    caller: Caller,
    _: NoQuery,
    State(shared): State<Arc<Shared>>,
    JsonOf(new): JsonOf<NewUpload>,
) -> Result<(StatusCode, [(HeaderName, String); 1], Json<UploadInfo>), Problem> {
    caller.may(Right::Write, &new.datastore)?;
    check_key(&new.key)?;
    let metadata = Metadata {
        content_type: new.content_type,
        metadata: new.metadata.into_iter().collect(),
        tags: new.tags.into_iter().collect(),
        ..Metadata::default()
    };
    metadata::check(&metadata)?;
    let upload = shared
        .client
        .create_upload(&new.datastore, new.key.as_bytes(), &new.policy, &metadata)
        .await?;
    let info = UploadInfo {
        id: id_of(&upload),
        datastore: upload.datastore,
        key: new.key,
        created: None,
        content_type: metadata.content_type,
    };
    let path = format!("/v1/uploads/{}", info.id);
    Ok((StatusCode::CREATED, [(LOCATION, path)], Json(info)))
}

/// Lists the parts of an upload that are stored.
#[utoipa::path(
    get,
    path = "/v1/uploads/{upload}/parts",
    tag = super::openapi::UPLOADS,
    operation_id = "listParts",
    params(super::openapi::UploadPath, PartQuery),
    responses((status = 200, description = "Parts, ascending by number: the store's word", body = PartPage)),
)]
pub(super) async fn parts(
    caller: Caller,
    State(shared): State<Arc<Shared>>,
    PathOf(id): PathOf<String>,
    QueryOf(query): QueryOf<PartQuery>,
) -> Result<Json<PartPage>, Problem> {
    let upload = upload_of(&id)?;
    caller.may(Right::List, &upload.datastore)?;
    let limit = page_limit(query.limit)?;
    if query.after > PARTS_MAX {
        return Err(Problem::malformed(format!(
            "no part has a number above {PARTS_MAX}"
        )));
    }
    let document = shared.client.parts(&upload, query.after, limit).await?;
    let parts = document::entries(&document, "parts")?;
    Ok(Json(PartPage { parts }))
}

/// Stores a part, in the place of an older one of the same number.
#[utoipa::path(
    put,
    path = "/v1/uploads/{upload}/parts/{part}",
    tag = super::openapi::UPLOADS,
    operation_id = "putPart",
    params(super::openapi::PartPath),
    request_body(content = inline(super::openapi::Content), content_type = "application/octet-stream", description = "The part's bytes"),
    responses((
        status = 200,
        description = "It is stored",
        body = Part,
        headers(("ETag" = String, description = "What completion must name it by, as an entity tag")),
    )),
)]
pub(super) async fn put_part(
    caller: Caller,
    _: NoQuery,
    State(shared): State<Arc<Shared>>,
    PathOf((id, part)): PathOf<(String, u32)>,
    request: Request,
) -> Result<([(HeaderName, String); 1], Json<Part>), Problem> {
    let upload = upload_of(&id)?;
    caller.may(Right::Write, &upload.datastore)?;
    check_part(part)?;
    let limits = &shared.limits;
    promised_length(request.headers(), limits.object_bytes)?;
    let body = object_body(
        request.into_body(),
        limits.object_bytes,
        limits.body_timeout,
    );
    let receipt = shared.client.put_part(&upload, part, "", body).await?;
    let tag = format!("\"{}\"", receipt.etag);
    let stored = Part {
        part,
        etag: receipt.etag,
        bytes: receipt.bytes,
    };
    Ok(([(ETAG, tag)], Json(stored)))
}

/// Makes the parts that are named an object, all at once.
#[utoipa::path(
    post,
    path = "/v1/uploads/{upload}/complete",
    tag = super::openapi::UPLOADS,
    operation_id = "completeUpload",
    params(
        super::openapi::UploadPath,
        super::openapi::WriteHeaders,
    ),
    request_body = Completion,
    responses(
        (status = 201, description = "The object is stored", body = super::object::ObjectHead),
        super::openapi::Conflict,
        super::openapi::ConditionFailed,
    ),
)]
pub(super) async fn complete(
    caller: Caller,
    _: NoQuery,
    State(shared): State<Arc<Shared>>,
    PathOf(id): PathOf<String>,
    headers: HeaderMap,
    JsonOf(completion): JsonOf<Completion>,
) -> Result<Response, Problem> {
    let upload = upload_of(&id)?;
    caller.may(Right::Write, &upload.datastore)?;
    let parts = completion.parts.into_iter();
    let parts: Vec<_> = parts.map(|it| (it.part, unquoted(&it.etag))).collect();
    check_parts(&parts)?;
    let condition =
        condition::of_write(&shared.client, &upload.datastore, &upload.key, &headers).await?;
    let receipt = shared
        .client
        .complete_upload(&upload, &parts, "", &condition)
        .await?;
    let key = key_text(&upload.key).0;
    Ok(stored(&upload.datastore, &key, &receipt))
}

/// Ends an upload without a trace.
#[utoipa::path(
    delete,
    path = "/v1/uploads/{upload}",
    tag = super::openapi::UPLOADS,
    operation_id = "abortUpload",
    params(super::openapi::UploadPath),
    responses((status = 204, description = "It is gone")),
)]
pub(super) async fn abort(
    caller: Caller,
    _: NoQuery,
    State(shared): State<Arc<Shared>>,
    PathOf(id): PathOf<String>,
) -> Result<StatusCode, Problem> {
    let upload = upload_of(&id)?;
    caller.may(Right::Write, &upload.datastore)?;
    shared.client.abort_upload(&upload).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// A part's entity tag, which may come as the header `ETag` has it.
fn unquoted(etag: &str) -> String {
    let inner = etag.strip_prefix('"').and_then(|it| it.strip_suffix('"'));
    inner.unwrap_or(etag).to_owned()
}

fn check_part(part: u32) -> Result<(), Problem> {
    if !(1..=PARTS_MAX).contains(&part) {
        return Err(Problem::malformed(format!(
            "a part numbered {part}: they have the numbers 1 to {PARTS_MAX}"
        )));
    }
    Ok(())
}

fn check_parts(parts: &[(u32, String)]) -> Result<(), Problem> {
    if parts.is_empty() {
        return Err(Problem::malformed("an object is made of at least one part"));
    }
    for (part, _) in parts {
        check_part(*part)?;
    }
    if parts.windows(2).any(|pair| pair[0].0 >= pair[1].0) {
        return Err(Problem::malformed("the parts are not ascending by number"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn an_id_names_its_upload(datastore in "[a-z]{1,63}", key in ".{1,200}", version: [u8; 16]) {
            let upload = Upload { datastore, key: key.into(), version };

            prop_assert_eq!(upload_of(&id_of(&upload)).unwrap(), upload);
        }

        #[test]
        fn no_id_makes_the_reader_panic(id in "[A-Za-z0-9_-]{0,80}") {
            let _ = upload_of(&id);
        }
    }

    #[test]
    fn parts_are_ascending_and_within_the_bound() {
        let parts = |numbers: &[u32]| -> Vec<(u32, String)> {
            numbers.iter().map(|it| (*it, String::new())).collect()
        };

        assert!(check_parts(&parts(&[1, 2, 10_000])).is_ok());
        for numbers in [&[][..], &[0], &[10_001], &[2, 1], &[1, 1]] {
            assert!(check_parts(&parts(numbers)).is_err(), "{numbers:?}");
        }
    }
}
