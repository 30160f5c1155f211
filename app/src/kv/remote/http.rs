//! A store behind a gateway: REST over connections that are kept.
//!
//! Invariant: bodies pass in pieces, whatever an object's size; nobody is waited for longer than [`PATIENCE`] while nothing moves.
//! Source: docs/REST.md.

use std::io;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use bytes::Bytes;
use futures_util::{StreamExt as _, TryStreamExt as _};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt as _, BodyStream, Full, Limited, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper::header::{
    AUTHORIZATION, CONTENT_LENGTH, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue, IF_MATCH,
    IF_NONE_MATCH, RANGE, USER_AGENT,
};
use hyper::{Method, Request, Response, StatusCode, Uri};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use sc_client::kv::ObjectBody;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use tokio_rustls::rustls::{self, ClientConfig};

use super::encoding::{self, component, query};
use super::{
    Condition, DatastoreChange, Deleted, Document, NewDatastore, NewObject, NewToken, Object, Page,
    Query, Reading, RemoteError, entries,
};
use crate::kv::cli::{Version, version_text};
use crate::kv::name::shown;
use crate::kv::quantity::ByteRange;
use crate::wrong_use;

/// How long nothing may move before a request is given up: longer than the gateway itself waits.
const PATIENCE: Duration = Duration::from_secs(120);
/// How long a connection may take to open.
const CONNECT_PATIENCE: Duration = Duration::from_secs(15);
/// A JSON answer of more bytes is refused: an object of a million segments is told in fewer.
const ANSWER_MAX: usize = 512 << 20;
/// Of an answer that says what is wrong.
const PROBLEM_MAX: usize = 1 << 20;

const VERSION: HeaderName = HeaderName::from_static("x-version");
const DELETE_MARKER: HeaderName = HeaderName::from_static("x-delete-marker");
const STORAGE_POLICY: HeaderName = HeaderName::from_static("x-storage-policy");
const TAGS: HeaderName = HeaderName::from_static("x-tags");
const META_PREFIX: &str = "x-meta-";

type Body = UnsyncBoxBody<Bytes, io::Error>;

/// A gateway.
pub(crate) struct Http {
    client: Client<HttpsConnector<HttpConnector>, Body>,
    /// Without a slash at its end.
    base: String,
    authorization: HeaderValue,
}

/// What a problem document says that is looked at.
#[derive(Deserialize)]
struct Problem {
    #[serde(default)]
    title: String,
    #[serde(default)]
    detail: String,
    code: String,
}

#[derive(Deserialize)]
struct ObjectPage {
    objects: Vec<Object>,
    prefixes: Vec<String>,
    next: Option<String>,
}

#[derive(Deserialize)]
struct Stat {
    object: Object,
    storage: Value,
}

impl Http {
    /// A gateway at `url`; nothing is sent yet.
    pub(super) fn new(url: &Uri, token: &str, tls: ClientConfig) -> anyhow::Result<Self> {
        let mut connector = HttpConnector::new();
        connector.enforce_http(false);
        connector.set_nodelay(true);
        connector.set_keepalive(Some(Duration::from_secs(30)));
        connector.set_connect_timeout(Some(CONNECT_PATIENCE));
        let connector = HttpsConnectorBuilder::new()
            .with_tls_config(tls)
            .https_or_http()
            .enable_http1()
            .wrap_connector(connector);
        let client = Client::builder(TokioExecutor::new())
            .pool_timer(TokioTimer::new())
            // The gateway ends connections that have been silent for long.
            .pool_idle_timeout(Duration::from_secs(20))
            .build(connector);
        let mut authorization = HeaderValue::try_from(format!("Bearer {token}"))
            .map_err(|_| wrong_use("the token holds what no header can"))?;
        authorization.set_sensitive(true);
        Ok(Self {
            client,
            base: url.to_string().trim_end_matches('/').to_owned(),
            authorization,
        })
    }

    pub(super) async fn put(
        &self,
        datastore: &str,
        key: &str,
        new: &NewObject,
        body: ObjectBody,
    ) -> Result<Object, RemoteError> {
        let mut headers = headers_of(new)?;
        match new.condition {
            Condition::None => {}
            Condition::Absent => {
                headers.insert(IF_NONE_MATCH, HeaderValue::from_static("*"));
            }
            Condition::Version(version) => {
                let tag = self.tag_of_current(datastore, key, version).await?;
                headers.insert(IF_MATCH, tag);
            }
        }
        let moved = Arc::new(AtomicU64::new(0));
        let counter = Arc::clone(&moved);
        let frames = body.map_ok(move |piece| {
            counter.fetch_add(1, Relaxed);
            Frame::data(piece)
        });
        let body = StreamBody::new(frames).boxed_unsync();
        let path = object_path(datastore, key, None);
        let mut request = self.request(Method::PUT, &path, body)?;
        request.headers_mut().extend(headers);
        let response = self.send(request, &moved).await?;
        json_of(response).await
    }

    /// The entity tag of the current object, if that is `version`.
    async fn tag_of_current(
        &self,
        datastore: &str,
        key: &str,
        version: Version,
    ) -> Result<HeaderValue, RemoteError> {
        let path = object_path(datastore, key, None);
        let headers = match self.ask(Method::HEAD, &path, None).await {
            Ok(response) => response.headers().clone(),
            Err(error) if error.code() == "not-found" => HeaderMap::new(),
            Err(error) => return Err(error),
        };
        let tag = headers.get(hyper::header::ETAG);
        let is_it = headers
            .get(VERSION)
            .is_some_and(|it| it.as_bytes() == version_text(version).as_bytes());
        tag.filter(|_| is_it)
            .cloned()
            .ok_or_else(|| RemoteError::Problem {
                code: "condition-failed".to_owned(),
                title: "The condition does not hold".to_owned(),
                detail: "another version is current".to_owned(),
            })
    }

    pub(super) async fn get(
        &self,
        datastore: &str,
        key: &str,
        version: Option<Version>,
        range: Option<ByteRange>,
    ) -> Result<Reading, RemoteError> {
        let path = object_path(datastore, key, version);
        let mut request = self.request(Method::GET, &path, empty())?;
        if let Some(range) = range {
            let value = header(&format!("bytes={range}"))?;
            request.headers_mut().insert(RANGE, value);
        }
        let response = self.send(request, &AtomicU64::new(0)).await?;
        let is_part = response.status() == StatusCode::PARTIAL_CONTENT;
        if is_part != range.is_some() {
            return Err(RemoteError::Malformed("other bytes than were asked for"));
        }
        let headers = response.headers();
        let bytes = text_of(headers, &CONTENT_LENGTH).and_then(|it| it.parse().ok());
        let bytes = bytes.ok_or(RemoteError::Malformed("an object without a length"))?;
        let version = text_of(headers, &VERSION).unwrap_or_default().to_owned();
        Ok(Reading {
            version,
            bytes,
            body: patient(response.into_body()),
        })
    }

    pub(super) async fn page(
        &self,
        asked: &Query,
        cursor: Option<&[u8]>,
    ) -> Result<Page, RemoteError> {
        let cursor = cursor.map(String::from_utf8_lossy);
        let tag = asked
            .tag
            .as_ref()
            .map(|tag| format!("{}:{}", tag.name, tag.value));
        let given = |text: &'static str, is_given: bool| is_given.then_some(text);
        let path = format!(
            "/v1/datastores/{}/objects{}",
            component(&asked.datastore),
            query(&[
                ("prefix", Some(&*asked.prefix).filter(|it| !it.is_empty())),
                (
                    "delimiter",
                    given(asked.delimiter, !asked.delimiter.is_empty())
                ),
                ("versions", given("true", asked.versions)),
                ("tag", tag.as_deref()),
                ("cursor", cursor.as_deref()),
            ])
        );
        let page: ObjectPage = self.json(Method::GET, &path, None).await?;
        Ok(Page {
            objects: page.objects,
            prefixes: page.prefixes.into_iter().map(Bytes::from).collect(),
            next: page.next.map(Bytes::from),
        })
    }

    pub(super) async fn delete(
        &self,
        datastore: &str,
        key: &[u8],
        version: Option<Version>,
    ) -> Result<Deleted, RemoteError> {
        let key = str::from_utf8(key).map_err(|_| RemoteError::KeyIsNoText(shown(key)))?;
        let path = object_path(datastore, key, version);
        let response = self.ask(Method::DELETE, &path, None).await?;
        let headers = response.headers();
        Ok(Deleted {
            version: text_of(headers, &VERSION).map(str::to_owned),
            is_marker: headers.contains_key(DELETE_MARKER),
        })
    }

    pub(super) async fn stat(
        &self,
        datastore: &str,
        key: &str,
        version: Option<Version>,
    ) -> Result<(Object, Value), RemoteError> {
        let version = version.map(version_text);
        let path = format!(
            "/v1/datastores/{}/stat{}",
            component(datastore),
            query(&[("key", Some(key)), ("version", version.as_deref())])
        );
        let stat: Stat = self.json(Method::GET, &path, None).await?;
        Ok((stat.object, stat.storage))
    }

    pub(super) async fn create_datastore(&self, new: &NewDatastore) -> Result<(), RemoteError> {
        let body = json!({
            "name": new.name,
            "policy": new.policy,
            "versioning": new.versioning,
            "quota_bytes": new.quota_bytes.unwrap_or(0),
            "indexed_tags": new.indexed_tags,
        });
        self.ask(Method::POST, "/v1/datastores", Some(&body))
            .await
            .map(drop)
    }

    pub(super) async fn update_datastore(
        &self,
        name: &str,
        change: &DatastoreChange,
    ) -> Result<(), RemoteError> {
        let members = [
            ("policy", change.policy.clone().map(Value::from)),
            ("versioning", change.versioning.map(Value::from)),
            ("quota_bytes", change.quota_bytes.map(Value::from)),
        ];
        let members = members.into_iter();
        let body: Document = members
            .filter_map(|(name, value)| Some((name.to_owned(), value?)))
            .collect();
        let path = format!("/v1/datastores/{}", component(name));
        self.ask(Method::PATCH, &path, Some(&body.into()))
            .await
            .map(drop)
    }

    pub(super) async fn delete_datastore(&self, name: &str) -> Result<(), RemoteError> {
        let path = format!("/v1/datastores/{}", component(name));
        self.ask(Method::DELETE, &path, None).await.map(drop)
    }

    pub(super) async fn datastores(&self) -> Result<Vec<Document>, RemoteError> {
        self.entries("datastores").await
    }

    pub(super) async fn policies(&self) -> Result<Vec<Document>, RemoteError> {
        self.entries("policies").await
    }

    pub(super) async fn put_policy(
        &self,
        name: &str,
        definition: &Document,
    ) -> Result<Value, RemoteError> {
        let path = format!("/v1/policies/{}", component(name));
        let body = definition.clone().into();
        self.json(Method::PUT, &path, Some(&body)).await
    }

    pub(super) async fn simulate(
        &self,
        name: &str,
        definition: Option<&Document>,
    ) -> Result<Value, RemoteError> {
        let path = format!("/v1/policies/{}/simulate", component(name));
        let body = definition.cloned().map(Value::from);
        self.json(Method::POST, &path, body.as_ref()).await
    }

    pub(super) async fn locations(&self) -> Result<Vec<Document>, RemoteError> {
        self.entries("locations").await
    }

    pub(super) async fn put_location(
        &self,
        name: &str,
        settings: Option<&Document>,
        state: Option<&str>,
    ) -> Result<(), RemoteError> {
        let path = format!("/v1/locations/{}", component(name));
        let body = json!({ "settings": settings, "state": state });
        self.ask(Method::PUT, &path, Some(&body)).await.map(drop)
    }

    pub(super) async fn usage(&self) -> Result<Value, RemoteError> {
        self.json(Method::GET, "/v1/usage", None).await
    }

    /// Makes a token; the answer holds it.
    pub(crate) async fn create_token(&self, new: &NewToken) -> Result<Document, RemoteError> {
        let body = json!({
            "label": new.label,
            "grants": new.grants,
            "lifetime_s": new.lifetime_s,
        });
        self.json(Method::POST, "/v1/tokens", Some(&body)).await
    }

    /// A page of tokens, and where the next one begins.
    pub(crate) async fn tokens(
        &self,
        cursor: Option<&str>,
    ) -> Result<(Vec<Document>, Option<String>), RemoteError> {
        let path = format!("/v1/tokens{}", query(&[("cursor", cursor)]));
        let page: Value = self.json(Method::GET, &path, None).await?;
        let next = page.get("next").and_then(Value::as_str).map(str::to_owned);
        Ok((entries(page, "tokens")?, next))
    }

    /// Deletes a token.
    pub(crate) async fn delete_token(&self, id: &str) -> Result<(), RemoteError> {
        let path = format!("/v1/tokens/{}", component(id));
        self.ask(Method::DELETE, &path, None).await.map(drop)
    }

    async fn entries(&self, name: &str) -> Result<Vec<Document>, RemoteError> {
        let path = format!("/v1/{name}");
        entries(self.json(Method::GET, &path, None).await?, name)
    }

    async fn json<T: DeserializeOwned>(
        &self,
        method: Method,
        path: &str,
        body: Option<&Value>,
    ) -> Result<T, RemoteError> {
        json_of(self.ask(method, path, body).await?).await
    }

    async fn ask(
        &self,
        method: Method,
        path: &str,
        body: Option<&Value>,
    ) -> Result<Response<Incoming>, RemoteError> {
        let content = match body {
            Some(body) => full(body.to_string()),
            None => empty(),
        };
        let mut request = self.request(method, path, content)?;
        if body.is_some() {
            let json = HeaderValue::from_static("application/json");
            request.headers_mut().insert(CONTENT_TYPE, json);
        }
        self.send(request, &AtomicU64::new(0)).await
    }

    fn request(
        &self,
        method: Method,
        path: &str,
        body: Body,
    ) -> Result<Request<Body>, RemoteError> {
        Request::builder()
            .method(method)
            .uri(format!("{}{path}", self.base))
            .header(AUTHORIZATION, self.authorization.clone())
            .header(
                USER_AGENT,
                concat!("securecloud/", env!("CARGO_PKG_VERSION")),
            )
            .body(body)
            .map_err(|_| RemoteError::Malformed("a path that cannot be asked for"))
    }

    /// Sends a request, and takes its answer if that is a success. `moved` counts the pieces of the request's body that have left.
    async fn send(
        &self,
        request: Request<Body>,
        moved: &AtomicU64,
    ) -> Result<Response<Incoming>, RemoteError> {
        let mut answer = pin!(self.client.request(request));
        let mut seen = moved.load(Relaxed);
        let response = loop {
            match tokio::time::timeout(PATIENCE, &mut answer).await {
                Ok(response) => break response.map_err(|error| self.unreachable(&error))?,
                Err(_) if moved.load(Relaxed) == seen => {
                    return Err(RemoteError::Stalled(PATIENCE.as_secs()));
                }
                Err(_) => seen = moved.load(Relaxed),
            }
        };
        match response.status().is_success() {
            true => Ok(response),
            false => Err(self.refusal(response).await),
        }
    }

    async fn refusal(&self, response: Response<Incoming>) -> RemoteError {
        let status = response.status();
        let body = Limited::new(response.into_body(), PROBLEM_MAX).collect();
        let body = tokio::time::timeout(PATIENCE, body).await;
        let body = body.ok().and_then(Result::ok).map(|it| it.to_bytes());
        let problem = body.and_then(|it| serde_json::from_slice::<Problem>(&it).ok());
        match (problem, code_of(status)) {
            (Some(problem), _) => RemoteError::Problem {
                code: problem.code,
                title: problem.title,
                detail: problem.detail,
            },
            (None, Some((code, title))) => RemoteError::Problem {
                code: code.to_owned(),
                title: title.to_owned(),
                detail: String::new(),
            },
            (None, None) => RemoteError::NotAGateway {
                url: self.base.clone(),
                status: status.as_u16(),
            },
        }
    }

    fn unreachable(&self, error: &hyper_util::client::legacy::Error) -> RemoteError {
        let mut fix = "does a gateway run there?";
        let mut cause: &dyn std::error::Error = error;
        loop {
            if let Some(body) = cause.downcast_ref::<io::Error>()
                && let Some(inner) = body.get_ref()
            {
                if inner.is::<BodyFailed>() {
                    return RemoteError::Body(io::Error::new(body.kind(), inner.to_string()));
                }
                if let Some(tls) = inner.downcast_ref::<rustls::Error>() {
                    fix = fix_of_tls(tls);
                }
            }
            match cause.source() {
                Some(source) => cause = source,
                None => break,
            }
        }
        RemoteError::Unreachable {
            url: self.base.clone(),
            cause: cause.to_string(),
            fix,
        }
    }
}

/// What a status means by itself: an answer to HEAD has no document to say more with.
fn code_of(status: StatusCode) -> Option<(&'static str, &'static str)> {
    Some(match status {
        StatusCode::NOT_FOUND => ("not-found", "There is no such object or version"),
        StatusCode::UNAUTHORIZED => ("unauthenticated", "A valid bearer token is needed"),
        StatusCode::FORBIDDEN => ("forbidden", "The token does not grant this"),
        StatusCode::SERVICE_UNAVAILABLE => ("unavailable", "The store cannot do it now"),
        _ => return None,
    })
}

/// What a body that cannot be read says, to be known again behind the library's own errors.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(crate) struct BodyFailed(pub(crate) String);

fn fix_of_tls(error: &rustls::Error) -> &'static str {
    match error {
        rustls::Error::InvalidCertificate(_) => {
            "if that is the gateway's own certificate, name its file with --ca"
        }
        _ => "does a gateway speak https there?",
    }
}

fn object_path(datastore: &str, key: &str, version: Option<Version>) -> String {
    let version = version.map(version_text);
    format!(
        "/v1/datastores/{}/objects/{}{}",
        component(datastore),
        encoding::key(key),
        query(&[("version", version.as_deref())])
    )
}

fn headers_of(new: &NewObject) -> Result<HeaderMap, RemoteError> {
    let mut headers = HeaderMap::new();
    if let Some(length) = new.length {
        headers.insert(CONTENT_LENGTH, length.into());
    }
    for (name, value) in [
        (CONTENT_TYPE, &new.content_type),
        (STORAGE_POLICY, &new.policy),
        (TAGS, &encoding::tags(&new.tags)),
    ] {
        if !value.is_empty() {
            headers.insert(name, header(value)?);
        }
    }
    for pair in &new.metadata {
        let name = format!("{META_PREFIX}{}", encoding::meta_name(&pair.name));
        let name = HeaderName::try_from(name)
            .map_err(|_| RemoteError::Malformed("a name of metadata that no header can have"))?;
        headers.append(name, header(&encoding::meta_value(&pair.value))?);
    }
    Ok(headers)
}

fn header(value: &str) -> Result<HeaderValue, RemoteError> {
    HeaderValue::try_from(value)
        .map_err(|_| RemoteError::Malformed("a value that no header can have"))
}

fn text_of<'h>(headers: &'h HeaderMap, name: &HeaderName) -> Option<&'h str> {
    headers.get(name)?.to_str().ok()
}

async fn json_of<T: DeserializeOwned>(response: Response<Incoming>) -> Result<T, RemoteError> {
    let mut body = patient(response.into_body());
    let mut text = Vec::new();
    while let Some(piece) = body.next().await {
        let piece = piece.map_err(|error| RemoteError::BrokeOff(error.to_string()))?;
        if text.len() + piece.len() > ANSWER_MAX {
            return Err(RemoteError::Malformed("more than an answer may have"));
        }
        text.extend_from_slice(&piece);
    }
    serde_json::from_slice(&text).map_err(|_| RemoteError::Malformed("its JSON has another form"))
}

/// A body whose pieces come within [`PATIENCE`] of each other.
fn patient(body: Incoming) -> ObjectBody {
    let pieces = futures_util::stream::unfold(Some(BodyStream::new(body)), |body| async {
        let mut body = body?;
        loop {
            let failed = match tokio::time::timeout(PATIENCE, body.next()).await {
                Ok(None) => return None,
                Ok(Some(Ok(frame))) => match frame.into_data() {
                    Ok(data) => return Some((Ok(data), Some(body))),
                    Err(_) => continue,
                },
                Ok(Some(Err(error))) => io::Error::other(error),
                Err(_) => io::ErrorKind::TimedOut.into(),
            };
            return Some((Err(failed), None));
        }
    });
    Box::pin(pieces)
}

fn full(content: String) -> Body {
    Full::new(Bytes::from(content))
        .map_err(|never| match never {})
        .boxed_unsync()
}

fn empty() -> Body {
    full(String::new())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kv::quantity::Pair;

    #[test]
    fn a_path_names_datastore_key_and_version() {
        assert_eq!(
            object_path("logs", "a b/..", Some([1; 16])),
            format!(
                "/v1/datastores/logs/objects/a%20b%2F%2E%2E?version={}",
                "01".repeat(16)
            )
        );
    }

    #[test]
    fn metadata_with_capital_letters_are_told_as_they_are() {
        let new = NewObject {
            metadata: vec![Pair {
                name: "City".into(),
                value: "Zürich 100%".into(),
            }],
            length: Some(5),
            ..NewObject::default()
        };

        let headers = headers_of(&new).unwrap();

        assert_eq!(headers["x-meta-%43ity"], "Z%C3%BCrich 100%25");
        assert_eq!(headers[CONTENT_LENGTH], "5");
        assert!(!headers.contains_key(CONTENT_TYPE));
    }
}
