//! The OpenAPI document: what is common to all paths, and what is in it for the document's sake alone.
//!
//! Invariant: every status that a path can answer with is in the document.
//! Source: OpenAPI 3.1.

mod parameters;
mod store;

use std::collections::BTreeMap;

use axum::http::StatusCode;
use utoipa::openapi::content::ContentBuilder;
use utoipa::openapi::path::{Operation, PathItem};
use utoipa::openapi::schema::Type;
use utoipa::openapi::security::{Http, HttpAuthScheme, SecurityScheme};
use utoipa::openapi::{
    KnownFormat, ObjectBuilder, OpenApi, Ref, RefOr, Response, ResponseBuilder, SchemaFormat,
};
use utoipa::{IntoResponses, Modify, OpenApi as _, PartialSchema, ToSchema};

use crate::problem::{Document, Kind, PROBLEM_JSON};

pub(super) use parameters::{
    DatastorePath, JobPath, LocationPath, ObjectPath, PartPath, PolicyPath, ReadHeaders, TokenPath,
    UploadPath, WriteHeaders,
};
pub(super) use store::{
    DatastoreEntry, JobDefinition, JobEntry, LocationEntry, LocationSettings, PartEntry, Placed,
    PolicyDefinition, PolicyEntry, Rebuild, Simulation, Usage,
};

pub(super) const DATASTORES: &str = "datastores";
pub(super) const OBJECTS: &str = "objects";
pub(super) const UPLOADS: &str = "uploads";
pub(super) const POLICIES: &str = "policies";
pub(super) const LOCATIONS: &str = "locations";
pub(super) const JOBS: &str = "jobs";
pub(super) const TOKENS: &str = "tokens";
pub(super) const OPERATION: &str = "operation";

/// The media type of bodies that are objects' content.
const OCTETS: &str = "application/octet-stream";
/// The name of the way in.
const BEARER: &str = "bearer";

#[derive(utoipa::OpenApi)]
#[openapi(
    info(
        title = "SecureCloud",
        description = "A store of objects that its operator cannot read. Objects are encrypted inside a trusted program, coded, and spread over storage locations; what this gateway is told leaves it sealed.\n\nPress *Authorize* and paste a token, which `securecloud up` prints and keeps in the file `token`.",
        license(name = "MIT OR Apache-2.0", identifier = "MIT OR Apache-2.0"),
    ),
    servers((url = "/", description = "This gateway")),
    security(("bearer" = [])),
    components(schemas(Document)),
    modifiers(&Bearer),
    tags(
        (name = DATASTORES, description = "Named sets of objects"),
        (name = OBJECTS, description = "Objects, their versions and tags"),
        (name = UPLOADS, description = "Large objects in parts, in any order and by several hands"),
        (name = POLICIES, description = "How objects are coded and placed"),
        (name = LOCATIONS, description = "Where fragments may lie"),
        (name = JOBS, description = "Repair, scrubbing, draining, migration and tiering: what goes on for long"),
        (name = TOKENS, description = "Who may ask for what"),
        (name = OPERATION, description = "Usage, attestation, health and numbers"),
    ),
)]
struct Frame;

struct Bearer;

impl Modify for Bearer {
    fn modify(&self, document: &mut OpenApi) {
        let mut scheme = Http::new(HttpAuthScheme::Bearer);
        scheme.description = Some("A token, as `sc_` and 64 characters".into());
        let components = document.components.get_or_insert_default();
        components
            .security_schemes
            .insert(BEARER.into(), SecurityScheme::Http(scheme).into());
    }
}

/// The document without its paths.
pub(super) fn frame() -> OpenApi {
    Frame::openapi()
}

/// Completes the document: objects' paths as OpenAPI writes them, and the problems that any path can answer with.
pub(super) fn complete(mut document: OpenApi) -> OpenApi {
    if let Some(item) = document.paths.paths.remove(super::OBJECT_ROUTE) {
        let paths = &mut document.paths.paths;
        paths.insert(super::OBJECT_PATH.to_owned(), item);
    }
    for item in document.paths.paths.values_mut() {
        for operation in operations(item) {
            add_problems(operation);
        }
    }
    document
}

fn operations(item: &mut PathItem) -> impl Iterator<Item = &mut Operation> {
    [
        &mut item.get,
        &mut item.head,
        &mut item.put,
        &mut item.post,
        &mut item.patch,
        &mut item.delete,
    ]
    .into_iter()
    .flatten()
}

fn add_problems(operation: &mut Operation) {
    // One that may be shown a token, too, reads it.
    let is_open = operation.security.as_ref().is_some_and(|it| it.len() == 1);
    let mut statuses = vec![
        StatusCode::INTERNAL_SERVER_ERROR,
        StatusCode::SERVICE_UNAVAILABLE,
    ];
    if !is_open {
        statuses.extend([
            StatusCode::BAD_REQUEST,
            StatusCode::UNAUTHORIZED,
            StatusCode::FORBIDDEN,
            StatusCode::NOT_FOUND,
            StatusCode::PAYLOAD_TOO_LARGE,
            StatusCode::BAD_GATEWAY,
            StatusCode::GATEWAY_TIMEOUT,
        ]);
    }
    if let Some(body) = &mut operation.request_body {
        if let RefOr::T(body) = body
            && body.content.contains_key(OCTETS)
        {
            // No body is an empty object.
            body.required = None;
        }
        statuses.extend([
            StatusCode::REQUEST_TIMEOUT,
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
        ]);
    }
    for status in statuses {
        let status = status.as_u16();
        let responses = &mut operation.responses.responses;
        let entry = responses.entry(status.to_string());
        entry.or_insert_with(|| RefOr::T(problem(status)));
    }
}

/// The answer of all problems with this status.
fn problem(status: u16) -> Response {
    let kinds = Kind::ALL.iter();
    let kinds = kinds.filter(|kind| kind.status.as_u16() == status);
    let titles: Vec<_> = kinds
        .map(|kind| format!("{} (`{}`)", kind.title, kind.code))
        .collect();
    let schema = Ref::from_schema_name(Document::name());
    ResponseBuilder::new()
        .description(titles.join("; "))
        .content(
            PROBLEM_JSON,
            ContentBuilder::new().schema(Some(schema)).build(),
        )
        .build()
}

macro_rules! problem_responses {
    ($($(#[$doc:meta])* $name:ident $status:literal;)*) => {$(
        $(#[$doc])*
        pub(super) struct $name;

        impl IntoResponses for $name {
            fn responses() -> BTreeMap<String, RefOr<Response>> {
                BTreeMap::from([($status.to_string(), RefOr::T(problem($status)))])
            }
        }
    )*};
}

problem_responses! {
    /// What there is stands in the way.
    Conflict 409_u16;
    /// The condition of the request does not hold.
    ConditionFailed 412_u16;
    /// The range lies outside the object.
    OutOfRange 416_u16;
}

/// Names and values, as a JSON object.
pub(super) struct Pairs;

impl PartialSchema for Pairs {
    fn schema() -> RefOr<utoipa::openapi::Schema> {
        let text = || ObjectBuilder::new().schema_type(Type::String);
        ObjectBuilder::new()
            .schema_type(Type::Object)
            .property_names(Some(text().min_length(Some(1)).max_length(Some(128))))
            .additional_properties(Some(text().max_length(Some(1024))))
            .max_properties(Some(crate::rest::metadata::PAIRS_MAX))
            .into()
    }
}

impl ToSchema for Pairs {}

/// Bytes of any media type.
pub(super) struct Content;

impl PartialSchema for Content {
    fn schema() -> RefOr<utoipa::openapi::Schema> {
        // The format is what lets the explorer offer a file.
        ObjectBuilder::new()
            .schema_type(Type::String)
            .format(Some(SchemaFormat::KnownFormat(KnownFormat::Binary)))
            .into()
    }
}

impl ToSchema for Content {}
