//! The port: limits, slow peers, TLS and the end.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::Empty;
use hyper::Request;
use hyper::client::conn::{http1, http2};
use hyper_util::rt::{TokioExecutor, TokioIo};
use sc_gateway::{Gateway, Limits, Listen, SelfSigned, Tls};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::crypto::aws_lc_rs;
use tokio_rustls::rustls::pki_types::CertificateDer;
use tokio_rustls::rustls::pki_types::pem::PemObject as _;
use tokio_rustls::rustls::{ClientConfig, RootCertStore};

use crate::fake_store::store_and_client;
use crate::http::Served;

/// Writes `request` as it stands and reads until the gateway closes.
async fn raw(address: SocketAddr, request: &str) -> String {
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer).await;
    String::from_utf8_lossy(&answer).into_owned()
}

fn put_head(served: &Served, rest: &str) -> String {
    format!(
        "PUT /v1/datastores/logs/objects/a HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {}\r\n{rest}\r\n\r\n",
        served.token
    )
}

#[test]
fn plain_http_is_for_this_machine_alone_unless_somebody_says_so() {
    let everywhere: SocketAddr = ([0, 0, 0, 0], 0).into();

    assert!(Listen::plain(everywhere).is_err());
    assert!(Listen::plain("[::]:0".parse().unwrap()).is_err());
    assert!(Listen::plain("[::1]:0".parse().unwrap()).is_ok());
    assert!(Listen::plain("[::ffff:127.0.0.1]:0".parse().unwrap()).is_ok());
    let _ = Listen::plain_anywhere(everywhere);
}

#[tokio::test]
async fn requests_beyond_the_bound_are_told_to_come_back() {
    let served = Served::start_with(Limits {
        requests: 1,
        ..Limits::default()
    })
    .await;
    served.make_datastore("logs", false).await;
    let mut slow = TcpStream::connect(served.address).await.unwrap();
    let head = put_head(&served, "content-length: 10");
    slow.write_all(head.as_bytes()).await.unwrap();
    tokio::time::sleep(Duration::from_millis(200)).await;

    let busy = served.get("/v1/datastores").await;
    let alive = served.get("/healthz").await;
    let alive_too = served.get("/v1/healthz").await;
    slow.write_all(b"0123456789").await.unwrap();
    let mut answer = [0; 12];
    slow.read_exact(&mut answer).await.unwrap();

    busy.assert_problem(503, "busy");
    assert_eq!(
        (alive.status, alive_too.status),
        (200.try_into().unwrap(), 200.try_into().unwrap())
    );
    assert_eq!(busy.header("retry-after"), "1");
    assert_eq!(&answer, b"HTTP/1.1 201");
    tokio::time::sleep(Duration::from_millis(50)).await;
    assert_eq!(served.get("/v1/datastores").await.status, 200);
}

#[tokio::test]
async fn a_body_that_stops_is_given_up() {
    let served = Served::start_with(Limits {
        body_timeout: Duration::from_millis(200),
        ..Limits::default()
    })
    .await;
    served.make_datastore("logs", false).await;
    let mut stream = TcpStream::connect(served.address).await.unwrap();
    let head = put_head(&served, "content-length: 10");
    stream
        .write_all(format!("{head}01234").as_bytes())
        .await
        .unwrap();

    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer).await;

    let answer = String::from_utf8_lossy(&answer);
    assert!(answer.starts_with("HTTP/1.1 408"), "{answer}");
    served
        .get("/v1/datastores/logs/objects/a")
        .await
        .assert_problem(404, "not-found");
}

#[tokio::test]
async fn a_head_that_does_not_come_in_time_or_is_too_large_is_refused() {
    let served = Served::start_with(Limits {
        head_timeout: Duration::from_millis(200),
        header_bytes: 8 << 10,
        ..Limits::default()
    })
    .await;

    let slow = tokio::time::timeout(Duration::from_secs(10), raw(served.address, "GET / HT"));
    let silent = tokio::time::timeout(Duration::from_secs(10), raw(served.address, ""));
    let large = format!(
        "GET / HTTP/1.1\r\nhost: x\r\nx-a: {}\r\n\r\n",
        "a".repeat(20 << 10)
    );
    let large = raw(served.address, &large).await;

    assert!(slow.await.is_ok() && silent.await.is_ok());
    assert!(
        large.is_empty() || large.starts_with("HTTP/1.1 431"),
        "{large}"
    );
}

#[tokio::test]
async fn a_body_shorter_than_promised_stores_nothing() {
    let served = Served::start().await;
    served.make_datastore("logs", false).await;
    let mut stream = TcpStream::connect(served.address).await.unwrap();
    let head = put_head(&served, "content-length: 10");
    stream
        .write_all(format!("{head}01234").as_bytes())
        .await
        .unwrap();
    stream.shutdown().await.unwrap();

    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer).await;

    served
        .get("/v1/datastores/logs/objects/a")
        .await
        .assert_problem(404, "not-found");
}

#[tokio::test]
async fn a_chunked_body_is_stored() {
    let served = Served::start().await;
    served.make_datastore("logs", false).await;
    let head = put_head(&served, "transfer-encoding: chunked\r\nconnection: close");

    let answer = raw(
        served.address,
        &format!("{head}5\r\nhello\r\n6\r\n world\r\n0\r\n\r\n"),
    )
    .await;

    assert!(answer.starts_with("HTTP/1.1 201"), "{answer}");
    assert_eq!(
        served.get("/v1/datastores/logs/objects/a").await.body,
        "hello world"
    );
}

#[tokio::test]
async fn an_object_beyond_the_bound_is_refused_with_and_without_a_length() {
    let served = Served::start_with(Limits {
        object_bytes: Some(10),
        ..Limits::default()
    })
    .await;
    served.make_datastore("logs", false).await;
    let head = put_head(&served, "transfer-encoding: chunked\r\nconnection: close");

    let told = served
        .put("/v1/datastores/logs/objects/a", "0123456789x")
        .await;
    let chunked = raw(
        served.address,
        &format!("{head}b\r\n0123456789x\r\n0\r\n\r\n"),
    )
    .await;

    told.assert_problem(413, "too-large");
    assert!(chunked.starts_with("HTTP/1.1 413"), "{chunked}");
    assert_eq!(
        served
            .put("/v1/datastores/logs/objects/a", "0123456789")
            .await
            .status,
        201
    );
}

#[tokio::test]
async fn what_is_under_way_ends_before_the_gateway_does() {
    let mut served = Served::start().await;
    served.make_datastore("logs", false).await;
    let mut slow = TcpStream::connect(served.address).await.unwrap();
    let head = put_head(&served, "content-length: 10");
    slow.write_all(head.as_bytes()).await.unwrap();
    tokio::time::sleep(Duration::from_millis(200)).await;

    served.stop();
    tokio::time::sleep(Duration::from_millis(100)).await;
    let refused = TcpStream::connect(served.address).await;
    slow.write_all(b"0123456789").await.unwrap();
    let mut answer = Vec::new();
    slow.read_to_end(&mut answer).await.unwrap();

    assert!(refused.is_err());
    assert!(answer.starts_with(b"HTTP/1.1 201"));
}

#[tokio::test]
async fn over_tls_both_versions_of_http_are_spoken() {
    let (_, client) = store_and_client().await;
    let made = SelfSigned::generate(["localhost".to_owned()]).unwrap();
    let tls = Tls::from_pem(made.certificate_pem.as_bytes(), made.key_pem.as_bytes()).unwrap();
    let listen = Listen::tls(([127, 0, 0, 1], 0).into(), tls);
    let listening = Gateway::new(client).listen(listen).await.unwrap();
    let address = listening.address();
    assert_eq!(listening.url(), format!("https://{address}"));
    tokio::spawn(listening.serve(std::future::pending()));

    for protocol in [&b"http/1.1"[..], b"h2"] {
        let stream = TcpStream::connect(address).await.unwrap();
        let name = "localhost".try_into().unwrap();
        let stream = connector(&made, protocol)
            .connect(name, stream)
            .await
            .unwrap();
        assert_eq!(stream.get_ref().1.alpn_protocol(), Some(protocol));
        let request = Request::get("https://localhost/healthz").header("host", "localhost");
        let request = request.body(Empty::<Bytes>::new()).unwrap();
        let stream = TokioIo::new(stream);
        let response = if protocol == b"h2" {
            let executor = TokioExecutor::new();
            let (mut sender, connection) = http2::handshake(executor, stream).await.unwrap();
            tokio::spawn(connection);
            sender.send_request(request).await.unwrap()
        } else {
            let (mut sender, connection) = http1::handshake(stream).await.unwrap();
            tokio::spawn(connection);
            sender.send_request(request).await.unwrap()
        };
        assert_eq!(response.status(), 200);
    }
}

fn connector(made: &SelfSigned, protocol: &[u8]) -> TlsConnector {
    let certificate = CertificateDer::from_pem_slice(made.certificate_pem.as_bytes());
    let mut roots = RootCertStore::empty();
    roots.add(certificate.unwrap()).unwrap();
    let provider = Arc::new(aws_lc_rs::default_provider());
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = vec![protocol.to_vec()];
    TlsConnector::from(Arc::new(config))
}
