//! A gateway over the store in memory, and a client that says what tests want to say.

use std::net::SocketAddr;

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::client::conn::http1;
use hyper::header::AUTHORIZATION;
use hyper::{HeaderMap, Method, Request, StatusCode};
use hyper_util::rt::TokioIo;
use sc_client::kv::KvClient;
use sc_gateway::{Gateway, Limits, Listen, Statement, TokenRequest, mint};
use serde_json::Value;
use tokio::net::TcpStream;
use tokio::sync::oneshot;

use crate::fake_store::{FakeStore, store_and_client};

/// A gateway that serves until it is dropped.
pub(crate) struct Served {
    pub(crate) address: SocketAddr,
    pub(crate) store: FakeStore,
    pub(crate) client: KvClient,
    /// A token that may do everything.
    pub(crate) token: String,
    stop: Option<oneshot::Sender<()>>,
}

/// An answer that has come as a whole.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

impl Served {
    pub(crate) async fn start() -> Self {
        Self::start_with(Limits::default()).await
    }

    pub(crate) async fn start_with(limits: Limits) -> Self {
        let (store, client) = store_and_client().await;
        let token = mint(&client, &TokenRequest::everything("test")).await;
        let statements = || {
            vec![Statement {
                coder: "coder".into(),
                tee: "TEE: SIMULATION".into(),
                ..Statement::default()
            }]
        };
        let listening = Gateway::new(client.clone())
            .with_limits(limits)
            .with_statements(statements)
            .listen(Listen::plain(([127, 0, 0, 1], 0).into()).unwrap())
            .await
            .unwrap();
        let address = listening.address();
        let (stop, stopped) = oneshot::channel::<()>();
        tokio::spawn(listening.serve(async move {
            let _ = stopped.await;
        }));
        Self {
            address,
            store,
            client,
            token: token.unwrap().expose().to_string(),
            stop: Some(stop),
        }
    }

    /// Tells the gateway to stop.
    pub(crate) fn stop(&mut self) {
        self.stop.take();
    }

    /// A request with the token that may do everything.
    pub(crate) async fn send(
        &self,
        method: Method,
        path: &str,
        headers: &[(&str, &str)],
        body: impl Into<Bytes>,
    ) -> Answer {
        let bearer = format!("Bearer {}", self.token);
        let mut headers = headers.to_vec();
        headers.push((AUTHORIZATION.as_str(), &bearer));
        self.send_bare(method, path, &headers, body).await
    }

    /// A request as it stands.
    pub(crate) async fn send_bare(
        &self,
        method: Method,
        path: &str,
        headers: &[(&str, &str)],
        body: impl Into<Bytes>,
    ) -> Answer {
        let mut request = Request::builder()
            .method(method)
            .uri(path)
            .header("host", "gateway");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let request = request.body(Full::new(body.into())).unwrap();
        let stream = TcpStream::connect(self.address).await.unwrap();
        let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.unwrap();
        tokio::spawn(connection);
        let response = sender.send_request(request).await.unwrap();
        let (parts, body) = response.into_parts();
        Answer {
            status: parts.status,
            headers: parts.headers,
            body: body.collect().await.unwrap().to_bytes(),
        }
    }

    /// A request with a JSON body.
    pub(crate) async fn send_json(&self, method: Method, path: &str, body: &Value) -> Answer {
        let headers = [("content-type", "application/json")];
        self.send(method, path, &headers, body.to_string()).await
    }

    pub(crate) async fn get(&self, path: &str) -> Answer {
        self.send(Method::GET, path, &[], "").await
    }

    pub(crate) async fn put(&self, path: &str, body: impl Into<Bytes>) -> Answer {
        self.send(Method::PUT, path, &[], body).await
    }

    /// Makes a datastore of the policy `hot`.
    pub(crate) async fn make_datastore(&self, name: &str, versioning: bool) {
        let new = serde_json::json!({
            "name": name, "policy": "hot", "versioning": versioning, "indexed_tags": ["project"],
        });
        let answer = self.send_json(Method::POST, "/v1/datastores", &new).await;
        assert_eq!(answer.status, StatusCode::CREATED, "{}", answer.text());
    }
}

impl Answer {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap()
    }

    pub(crate) fn text(&self) -> &str {
        std::str::from_utf8(&self.body).unwrap()
    }

    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers
            .get(name)
            .map_or("", |value| value.to_str().unwrap())
    }

    /// Asserts that this is a problem document of `status` and `code`.
    #[track_caller]
    pub(crate) fn assert_problem(&self, status: u16, code: &str) {
        assert_eq!(self.status.as_u16(), status, "{}", self.text());
        assert_eq!(self.header("content-type"), "application/problem+json");
        let document = self.json();
        assert_eq!(document["code"], code);
        assert_eq!(document["status"], status);
        assert_eq!(document["type"], format!("urn:securecloud:problem:{code}"));
        assert!(document["title"].is_string() && document["detail"].is_string());
    }
}
