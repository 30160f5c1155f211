//! A store behind a gateway, which speaks REST.
//!
//! Source: docs/REST.md.

mod exchange;

use bytes::Bytes;
use hyper::header::{
    CONTENT_LENGTH, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue, IF_MATCH, IF_NONE_MATCH,
    RANGE,
};
use hyper::{Method, StatusCode, Uri};
use sc_client::kv::ObjectBody;
use serde::Deserialize;
use serde_json::{Value, json};
use tokio_rustls::rustls::ClientConfig;

use super::encoding::{self, component, query};
use super::{
    By, Condition, DatastoreChange, Deleted, Document, NewDatastore, NewObject, NewToken, Object,
    Page, Query, Reading, RemoteError, entries,
};
use crate::kv::cli::{Version, version_text};
use crate::kv::name::shown;
use crate::kv::quantity::ByteRange;
pub(crate) use exchange::BodyFailed;
use exchange::{Exchange, patient};

const VERSION: HeaderName = HeaderName::from_static("x-version");
const DELETE_MARKER: HeaderName = HeaderName::from_static("x-delete-marker");
const STORAGE_POLICY: HeaderName = HeaderName::from_static("x-storage-policy");
const TAGS: HeaderName = HeaderName::from_static("x-tags");
const META_PREFIX: &str = "x-meta-";

/// A gateway.
pub(crate) struct Http(Exchange);

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
        Exchange::new(url, token, tls).map(Self)
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
        let path = object_path(datastore, key, None);
        self.0.write(&path, headers, body).await
    }

    /// The entity tag of the current object, if that is `version`.
    async fn tag_of_current(
        &self,
        datastore: &str,
        key: &str,
        version: Version,
    ) -> Result<HeaderValue, RemoteError> {
        let path = object_path(datastore, key, None);
        let headers = match self.0.ask(Method::HEAD, &path, None).await {
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
                by: By::Gateway,
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
        let mut headers = HeaderMap::new();
        if let Some(range) = range {
            headers.insert(RANGE, header(&format!("bytes={range}"))?);
        }
        let response = self.0.read(&path, headers).await?;
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
        let page: ObjectPage = self.0.json(Method::GET, &path, None).await?;
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
        let response = self.0.ask(Method::DELETE, &path, None).await?;
        let headers = response.headers();
        Ok(Deleted {
            version: text_of(headers, &VERSION).map(str::to_owned),
            is_marker: headers.contains_key(DELETE_MARKER),
            is_sure: response.status() != StatusCode::ACCEPTED,
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
        let stat: Stat = self.0.json(Method::GET, &path, None).await?;
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
        self.0
            .ask(Method::POST, "/v1/datastores", Some(&body))
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
        self.0
            .ask(Method::PATCH, &path, Some(&body.into()))
            .await
            .map(drop)
    }

    pub(super) async fn delete_datastore(&self, name: &str) -> Result<(), RemoteError> {
        let path = format!("/v1/datastores/{}", component(name));
        self.0.ask(Method::DELETE, &path, None).await.map(drop)
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
        self.0.json(Method::PUT, &path, Some(&body)).await
    }

    pub(super) async fn simulate(
        &self,
        name: &str,
        definition: Option<&Document>,
    ) -> Result<Value, RemoteError> {
        let path = format!("/v1/policies/{}/simulate", component(name));
        let body = definition.cloned().map(Value::from);
        self.0.json(Method::POST, &path, body.as_ref()).await
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
        self.0.ask(Method::PUT, &path, Some(&body)).await.map(drop)
    }

    pub(super) async fn rebuild(&self, start: bool) -> Result<Value, RemoteError> {
        let method = if start { Method::POST } else { Method::GET };
        self.0.json(method, "/v1/catalogue/rebuild", None).await
    }

    pub(super) async fn usage(&self) -> Result<Value, RemoteError> {
        self.0.json(Method::GET, "/v1/usage", None).await
    }

    pub(super) async fn put_job(&self, definition: &Value) -> Result<Value, RemoteError> {
        self.0
            .json(Method::POST, "/v1/jobs", Some(definition))
            .await
    }

    pub(super) async fn jobs(&self, before: Option<u64>) -> Result<Vec<Document>, RemoteError> {
        let before = before.map(|it| it.to_string());
        let path = format!("/v1/jobs{}", query(&[("before", before.as_deref())]));
        entries(self.0.json(Method::GET, &path, None).await?, "jobs")
    }

    pub(super) async fn job(&self, id: u64) -> Result<Value, RemoteError> {
        self.0
            .json(Method::GET, &format!("/v1/jobs/{id}"), None)
            .await
    }

    pub(super) async fn cancel_job(&self, id: u64) -> Result<Value, RemoteError> {
        self.0
            .json(Method::DELETE, &format!("/v1/jobs/{id}"), None)
            .await
    }

    /// Makes a token; the answer holds it.
    pub(crate) async fn create_token(&self, new: &NewToken) -> Result<Document, RemoteError> {
        let body = json!({
            "label": new.label,
            "grants": new.grants,
            "lifetime_s": new.lifetime_s,
        });
        self.0.json(Method::POST, "/v1/tokens", Some(&body)).await
    }

    /// A page of tokens, and where the next one begins.
    pub(crate) async fn tokens(
        &self,
        cursor: Option<&str>,
    ) -> Result<(Vec<Document>, Option<String>), RemoteError> {
        let path = format!("/v1/tokens{}", query(&[("cursor", cursor)]));
        let page: Value = self.0.json(Method::GET, &path, None).await?;
        let next = page.get("next").and_then(Value::as_str).map(str::to_owned);
        Ok((entries(page, "tokens")?, next))
    }

    /// Deletes a token.
    pub(crate) async fn delete_token(&self, id: &str) -> Result<(), RemoteError> {
        let path = format!("/v1/tokens/{}", component(id));
        self.0.ask(Method::DELETE, &path, None).await.map(drop)
    }

    /// A page of the uploads of a datastore that are under way, and where the next one begins.
    pub(crate) async fn uploads(
        &self,
        datastore: &str,
        cursor: Option<&str>,
    ) -> Result<(Vec<Document>, Option<String>), RemoteError> {
        let parameters = query(&[("datastore", Some(datastore)), ("cursor", cursor)]);
        let path = format!("/v1/uploads{parameters}");
        let page: Value = self.0.json(Method::GET, &path, None).await?;
        let next = page.get("next").and_then(Value::as_str).map(str::to_owned);
        Ok((entries(page, "uploads")?, next))
    }

    /// Ends an upload without a trace.
    pub(crate) async fn abort_upload(&self, id: &str) -> Result<(), RemoteError> {
        let path = format!("/v1/uploads/{}", component(id));
        self.0.ask(Method::DELETE, &path, None).await.map(drop)
    }

    async fn entries(&self, name: &str) -> Result<Vec<Document>, RemoteError> {
        let path = format!("/v1/{name}");
        entries(self.0.json(Method::GET, &path, None).await?, name)
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
