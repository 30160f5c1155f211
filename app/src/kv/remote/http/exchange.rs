//! One request to a gateway and its answer, over connections that are kept.
//!
//! Invariant: bodies pass in pieces, whatever an object's size; nobody is waited for longer than [`PATIENCE`] while nothing moves.

use std::error::Error;
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
use hyper::header::{AUTHORIZATION, CONTENT_TYPE, HeaderMap, HeaderValue, USER_AGENT};
use hyper::{Method, Request, Response, StatusCode, Uri};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use sc_client::kv::ObjectBody;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use tokio_rustls::rustls::{self, ClientConfig};

use crate::kv::remote::{By, RemoteError};
use crate::wrong_use;

/// How long nothing may move before a request is given up: longer than the gateway itself waits.
const PATIENCE: Duration = Duration::from_secs(120);
/// How long a connection may take to open.
const CONNECT_PATIENCE: Duration = Duration::from_secs(15);
/// A JSON answer of more bytes is refused: an object of a million segments is told in fewer.
const ANSWER_MAX: usize = 512 << 20;
/// Of an answer that says what is wrong.
const PROBLEM_MAX: usize = 1 << 20;

type Body = UnsyncBoxBody<Bytes, io::Error>;

/// The way to a gateway.
pub(super) struct Exchange {
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

impl Exchange {
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

    /// Asks for something that is told in JSON.
    pub(super) async fn json<T: DeserializeOwned>(
        &self,
        method: Method,
        path: &str,
        body: Option<&Value>,
    ) -> Result<T, RemoteError> {
        json_of(self.ask(method, path, body).await?).await
    }

    /// Asks for something; `body` is JSON.
    pub(super) async fn ask(
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

    /// Asks for an object or a part of it.
    pub(super) async fn read(
        &self,
        path: &str,
        headers: HeaderMap,
    ) -> Result<Response<Incoming>, RemoteError> {
        let mut request = self.request(Method::GET, path, empty())?;
        request.headers_mut().extend(headers);
        self.send(request, &AtomicU64::new(0)).await
    }

    /// Sends an object as it comes.
    pub(super) async fn write<T: DeserializeOwned>(
        &self,
        path: &str,
        headers: HeaderMap,
        body: ObjectBody,
    ) -> Result<T, RemoteError> {
        let moved = Arc::new(AtomicU64::new(0));
        let counter = Arc::clone(&moved);
        let frames = body.map_ok(move |piece| {
            counter.fetch_add(1, Relaxed);
            Frame::data(piece)
        });
        let body = StreamBody::new(frames).boxed_unsync();
        let mut request = self.request(Method::PUT, path, body)?;
        request.headers_mut().extend(headers);
        json_of(self.send(request, &moved).await?).await
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
                by: By::Gateway,
            },
            (None, Some((code, title))) => RemoteError::Problem {
                code: code.to_owned(),
                title: title.to_owned(),
                detail: String::new(),
                by: By::Gateway,
            },
            (None, None) => RemoteError::NotAGateway {
                url: self.base.clone(),
                status: status.as_u16(),
            },
        }
    }

    fn unreachable(&self, error: &hyper_util::client::legacy::Error) -> RemoteError {
        let mut fix = "does a gateway run there?";
        let mut last = String::new();
        for cause in causes(error) {
            if cause.is::<BodyFailed>() {
                return RemoteError::Body(io::Error::other(cause.to_string()));
            }
            if let Some(tls) = cause.downcast_ref::<rustls::Error>() {
                fix = fix_of_tls(tls);
            }
            last = cause.to_string();
        }
        RemoteError::Unreachable {
            url: self.base.clone(),
            cause: last,
            fix: fix.to_owned(),
        }
    }
}

/// An error and what is behind it, with what an I/O error was made of, which is not its source.
fn causes<'e>(error: &'e (dyn Error + 'static)) -> impl Iterator<Item = &'e (dyn Error + 'static)> {
    std::iter::successors(Some(error), |&cause| {
        let made_of = cause
            .downcast_ref::<io::Error>()
            .and_then(io::Error::get_ref);
        match made_of {
            Some(made_of) => Some(made_of),
            None => cause.source(),
        }
    })
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
pub(super) fn patient(body: Incoming) -> ObjectBody {
    let pieces = futures_util::stream::unfold(Some(BodyStream::new(body)), |body| async move {
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
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::TcpListener;
    use tokio_rustls::rustls::RootCertStore;
    use tokio_rustls::rustls::crypto::aws_lc_rs;

    use super::*;

    /// Answers every request that it is sent on one connection after another with these words.
    async fn gateway(answer: &'static str) -> Exchange {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/", listener.local_addr().unwrap());
        tokio::spawn(async move {
            loop {
                let (mut stream, _) = listener.accept().await.unwrap();
                let mut head = Vec::new();
                while !head.ends_with(b"\r\n\r\n") {
                    head.push(stream.read_u8().await.unwrap());
                }
                stream.write_all(answer.as_bytes()).await.unwrap();
            }
        });
        let provider = Arc::new(aws_lc_rs::default_provider());
        let tls = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(RootCertStore::empty())
            .with_no_client_auth();
        Exchange::new(&url.parse().unwrap(), "sc_token", tls).unwrap()
    }

    #[tokio::test]
    async fn a_problem_document_is_an_error_of_its_code() {
        let gateway = gateway(
            "HTTP/1.1 404 Not Found\r\ncontent-length: 42\r\n\r\n{\"code\":\"no-datastore\",\"title\":\"No\",\"a\":1}",
        );

        let error = gateway.await.ask(Method::GET, "/v1/usage", None).await;

        assert_eq!(error.unwrap_err().code(), "no-datastore");
    }

    #[tokio::test]
    async fn an_answer_of_somebody_else_is_no_gateways() {
        let gateway = gateway("HTTP/1.1 302 Found\r\ncontent-length: 0\r\n\r\n").await;

        let error = gateway.ask(Method::GET, "/v1/usage", None).await;

        assert!(matches!(
            error.unwrap_err(),
            RemoteError::NotAGateway { status: 302, .. }
        ));
    }

    #[tokio::test]
    async fn an_answer_that_ends_early_breaks_off() {
        let gateway = gateway("HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\n{\"a\"").await;

        let answer = gateway.json::<Value>(Method::GET, "/v1/usage", None).await;

        assert!(matches!(answer.unwrap_err(), RemoteError::BrokeOff(_)));
    }

    #[tokio::test]
    async fn a_body_that_cannot_be_read_is_told_as_such() {
        let gateway = gateway("").await;
        let failed = io::Error::other(BodyFailed("it: too short".to_owned()));
        let body = futures_util::stream::iter([Err(failed)]);

        let sent = gateway
            .write::<Value>("/v1/x", HeaderMap::new(), Box::pin(body))
            .await;

        let error = sent.unwrap_err();
        assert!(matches!(error, RemoteError::Body(_)), "{error:?}");
        assert_eq!(error.to_string(), "it: too short");
    }

    #[test]
    fn what_stands_behind_an_error_is_found_however_it_is_wrapped() {
        let tls = rustls::Error::DecryptError;
        let error = io::Error::other(io::Error::new(io::ErrorKind::InvalidData, tls));

        assert!(causes(&error).any(|it| it.is::<rustls::Error>()));
    }

    #[tokio::test]
    async fn nobody_at_the_other_end_is_told_with_a_fix() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let mut gateway = gateway("").await;
        gateway.base = format!("http://{}", listener.local_addr().unwrap());
        drop(listener);

        let error = gateway.ask(Method::GET, "/v1/usage", None).await;

        let told = error.unwrap_err().to_string();
        assert!(told.contains("does a gateway run there?"), "{told}");
    }
}
