//! Problem documents: every answer that is no success.
//!
//! Invariant: a detail tells whoever asked what to mend, and never a token, a key or what an object holds.
//! Source: RFC 9457.

use std::borrow::Cow;

use axum::http::header::{CONTENT_TYPE, RETRY_AFTER, WWW_AUTHENTICATE};
use axum::http::{HeaderName, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use sc_client::kv::KvError;
use sc_proto::store::problem::Code;
use sc_transport::RpcError;
use serde::Serialize;
use utoipa::ToSchema;

/// The media type of a problem document.
pub(crate) const PROBLEM_JSON: &str = "application/problem+json";
/// What the type of each problem begins with; its code follows.
const TYPE_PREFIX: &str = "urn:securecloud:problem:";

/// What went wrong, of all that can.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Kind {
    pub(crate) code: &'static str,
    pub(crate) title: &'static str,
    pub(crate) status: StatusCode,
}

macro_rules! kinds {
    ($($name:ident $status:ident $code:literal $title:literal;)*) => {
        impl Kind {
            $(pub(crate) const $name: Self = Self {
                code: $code,
                title: $title,
                status: StatusCode::$status,
            };)*

            /// Every kind there is.
            pub(crate) const ALL: &[Self] = &[$(Self::$name),*];
        }
    };
}

kinds! {
    MALFORMED BAD_REQUEST "malformed" "The request is not as it should be";
    INCOMPLETE BAD_REQUEST "incomplete" "The body is not what was promised";
    UNAUTHENTICATED UNAUTHORIZED "unauthenticated" "A valid bearer token is needed";
    FORBIDDEN FORBIDDEN "forbidden" "The token does not grant this";
    NO_PATH NOT_FOUND "no-path" "There is nothing at this path";
    NOT_FOUND NOT_FOUND "not-found" "There is no such object, version or location";
    NO_DATASTORE NOT_FOUND "no-datastore" "There is no such datastore";
    NO_POLICY NOT_FOUND "no-policy" "There is no such policy";
    NO_TOKEN NOT_FOUND "no-token" "There is no such token";
    UPLOAD_GONE NOT_FOUND "upload-gone" "There is no such upload";
    METHOD METHOD_NOT_ALLOWED "method" "This path does not know the method";
    TIMEOUT REQUEST_TIMEOUT "timeout" "The body did not come in time";
    EXISTS CONFLICT "exists" "There is one of this name";
    NOT_EMPTY CONFLICT "not-empty" "There is something in it";
    IN_USE CONFLICT "in-use" "The state of something else does not allow it";
    PLACEMENT CONFLICT "placement" "Too few locations fit the policy";
    CONDITION_FAILED PRECONDITION_FAILED "condition-failed" "The condition does not hold";
    TOO_LARGE PAYLOAD_TOO_LARGE "too-large" "The body is too large";
    LIMIT PAYLOAD_TOO_LARGE "limit" "More than may be at once";
    QUOTA PAYLOAD_TOO_LARGE "quota" "The datastore's quota does not allow it";
    MEDIA_TYPE UNSUPPORTED_MEDIA_TYPE "media-type" "The body is of another media type than this path takes";
    RANGE RANGE_NOT_SATISFIABLE "range" "The range lies outside the object";
    INTERNAL INTERNAL_SERVER_ERROR "internal" "The gateway failed";
    NOT_AUTHENTIC BAD_GATEWAY "not-authentic" "The store's answer is not authentic";
    STORE_MALFORMED BAD_GATEWAY "store-malformed" "The store's answer is not understood";
    BUSY SERVICE_UNAVAILABLE "busy" "The gateway has too much to do";
    UNAVAILABLE SERVICE_UNAVAILABLE "unavailable" "The store cannot do it now";
    NOT_PROVISIONED SERVICE_UNAVAILABLE "not-provisioned" "The coder waits for the owner's root";
    LOST SERVICE_UNAVAILABLE "lost" "Fewer fragments than needed are readable";
    LATE GATEWAY_TIMEOUT "late" "The store did not answer in time";
}

/// A problem document, as RFC 9457 has it, with a code for programs.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Problem)]
pub(crate) struct Document<'p> {
    /// A URI of the kind of problem.
    #[serde(rename = "type")]
    #[schema(example = "urn:securecloud:problem:no-datastore")]
    kind: String,
    /// The same for all problems of the kind.
    #[schema(example = "There is no such datastore")]
    title: &'p str,
    /// The answer's status.
    #[schema(minimum = 400, maximum = 599, example = 404)]
    status: u16,
    /// What is wrong this time, and how to mend it.
    detail: &'p str,
    /// The kind, as a word.
    #[schema(example = "no-datastore")]
    code: &'p str,
}

/// A problem that was met.
#[derive(Debug)]
pub(crate) struct Problem {
    pub(crate) kind: Kind,
    pub(crate) detail: Cow<'static, str>,
    /// A header that belongs to it, beside those of its kind.
    pub(crate) header: Option<Box<(HeaderName, HeaderValue)>>,
}

impl Problem {
    pub(crate) fn new(kind: Kind, detail: impl Into<Cow<'static, str>>) -> Self {
        Self {
            kind,
            detail: detail.into(),
            header: None,
        }
    }

    pub(crate) fn malformed(detail: impl Into<Cow<'static, str>>) -> Self {
        Self::new(Kind::MALFORMED, detail)
    }

    pub(crate) fn with_header(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.header = Some(Box::new((name, value)));
        self
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let document = Document {
            kind: format!("{TYPE_PREFIX}{}", self.kind.code),
            title: self.kind.title,
            status: self.kind.status.as_u16(),
            detail: &self.detail,
            code: self.kind.code,
        };
        let body = serde_json::to_vec(&document).expect("strings and a number can be written");
        let mut response = (self.kind.status, body).into_response();
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(PROBLEM_JSON));
        match self.kind.status {
            StatusCode::UNAUTHORIZED => {
                let challenge = HeaderValue::from_static("Bearer realm=\"securecloud\"");
                headers.insert(WWW_AUTHENTICATE, challenge);
            }
            StatusCode::SERVICE_UNAVAILABLE => {
                headers.insert(RETRY_AFTER, HeaderValue::from_static("1"));
            }
            _ => {}
        }
        if let Some(header) = self.header {
            let (name, value) = *header;
            headers.insert(name, value);
        }
        response
    }
}

impl From<KvError> for Problem {
    fn from(error: KvError) -> Self {
        let kind = kind_of_error(&error);
        if kind.status.is_server_error() {
            tracing::warn!(code = kind.code, %error, "a request was not done");
        }
        Self::new(kind, error.to_string())
    }
}

fn kind_of_error(error: &KvError) -> Kind {
    match error {
        KvError::Problem { code, .. } => kind_of(*code),
        KvError::Link(RpcError::Deadline) => Kind::LATE,
        KvError::Link(RpcError::TooLarge { .. }) => Kind::LIMIT,
        KvError::Link(_) => Kind::UNAVAILABLE,
        KvError::NotAuthentic => Kind::NOT_AUTHENTIC,
        KvError::Body(cause) => kind_of_body(cause),
        _ => Kind::STORE_MALFORMED,
    }
}

fn kind_of_body(cause: &std::io::Error) -> Kind {
    let source = cause.get_ref().and_then(|it| it.downcast_ref());
    if let Some(source) = source {
        // What is copied is read from the store.
        return kind_of_error(source);
    }
    match cause.kind() {
        std::io::ErrorKind::TimedOut => Kind::TIMEOUT,
        std::io::ErrorKind::FileTooLarge => Kind::TOO_LARGE,
        _ => Kind::INCOMPLETE,
    }
}

fn kind_of(code: Code) -> Kind {
    match code {
        Code::Unspecified => Kind::STORE_MALFORMED,
        Code::Malformed => Kind::MALFORMED,
        Code::NotFound => Kind::NOT_FOUND,
        Code::NoDatastore => Kind::NO_DATASTORE,
        Code::Exists => Kind::EXISTS,
        Code::NotEmpty => Kind::NOT_EMPTY,
        Code::ConditionFailed => Kind::CONDITION_FAILED,
        Code::Quota => Kind::QUOTA,
        Code::NoPolicy => Kind::NO_POLICY,
        Code::Placement => Kind::PLACEMENT,
        Code::Range => Kind::RANGE,
        Code::Forbidden => Kind::FORBIDDEN,
        Code::NotProvisioned => Kind::NOT_PROVISIONED,
        Code::Session | Code::Unavailable => Kind::UNAVAILABLE,
        Code::Lost => Kind::LOST,
        Code::Limit => Kind::LIMIT,
        Code::NotAuthentic => Kind::NOT_AUTHENTIC,
        Code::UploadGone => Kind::UPLOAD_GONE,
        Code::InUse => Kind::IN_USE,
    }
}
