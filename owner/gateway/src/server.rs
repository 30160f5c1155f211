//! The port: connections are accepted, encrypted, and served until the gateway is told to stop.
//!
//! Invariant: a peer that stops sending or taking holds a connection for a bounded time, and all peers together hold a bounded number of
//! connections and requests.

mod admission;
mod patience;
mod tls;

use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use hyper::server::conn::{http1, http2};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::graceful::{GracefulShutdown, Watcher};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use crate::Limits;
use crate::stats::{Counted, Stats};
use admission::Admission;
use patience::Patient;

pub use tls::{SelfSigned, Tls, TlsError};

/// Before accepting is tried again, where the operating system has refused it: too many files are open, most likely.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);
/// Requests at once in one HTTP/2 connection.
const STREAMS_MAX: u32 = 128;
/// Bytes of one body that an HTTP/2 peer may send ahead.
const STREAM_WINDOW: u32 = 1 << 20;

/// The address of a plain port is one that other machines reach.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{0} is reached by other machines, and without TLS they send their tokens in the clear")]
pub struct NotLoopback(pub SocketAddr);

/// Where to listen, and how.
#[derive(Clone)]
pub struct Listen {
    address: SocketAddr,
    tls: Option<Tls>,
}

impl Listen {
    /// Plain HTTP, on this machine alone. Port 0: any that is free.
    ///
    /// # Errors
    /// [`NotLoopback`] for any other address.
    pub fn plain(address: SocketAddr) -> Result<Self, NotLoopback> {
        if !address.ip().to_canonical().is_loopback() {
            return Err(NotLoopback(address));
        }
        Ok(Self::plain_anywhere(address))
    }

    /// Plain HTTP, for whoever has decided that the network in front of it is safe.
    #[must_use]
    pub fn plain_anywhere(address: SocketAddr) -> Self {
        Self { address, tls: None }
    }

    /// HTTPS.
    #[must_use]
    pub fn tls(address: SocketAddr, tls: Tls) -> Self {
        let tls = Some(tls);
        Self { address, tls }
    }
}

/// A gateway whose port is open.
pub struct Listening {
    listener: TcpListener,
    address: SocketAddr,
    tls: Option<Tls>,
    router: Router,
    limits: Limits,
    stats: Arc<Stats>,
}

impl Listening {
    pub(crate) async fn bind(
        listen: Listen,
        router: Router,
        limits: Limits,
        stats: Arc<Stats>,
    ) -> io::Result<Self> {
        let listener = TcpListener::bind(listen.address).await?;
        Ok(Self {
            address: listener.local_addr()?,
            listener,
            tls: listen.tls,
            router,
            limits,
            stats,
        })
    }

    /// Where it listens, with the port that was found.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The URL that the gateway has on this machine.
    #[must_use]
    pub fn url(&self) -> String {
        let scheme = if self.tls.is_some() { "https" } else { "http" };
        format!("{scheme}://{}", self.address)
    }

    /// Serves until `stop` resolves; what is under way then may end within the limits' patience.
    pub async fn serve(self, stop: impl Future<Output = ()>) {
        let mut stop = pin!(stop);
        let slots = Arc::new(Semaphore::new(self.limits.connections));
        let door = Arc::new(Door {
            tls: self.tls,
            admission: Admission::new(self.router, self.limits.requests, self.stats.clone()),
            limits: self.limits,
        });
        let ending = GracefulShutdown::new();
        let mut connections = JoinSet::new();
        loop {
            let accepted = tokio::select! {
                () = &mut stop => break,
                accepted = accept(&self.listener, &slots) => accepted,
                Some(_) = connections.join_next() => continue,
            };
            let (stream, slot) = match accepted {
                Ok(accepted) => accepted,
                Err(error) => {
                    tracing::warn!(%error, "a connection was not accepted");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                    continue;
                }
            };
            let (door, watcher) = (Arc::clone(&door), ending.watcher());
            let counted = Counted::new(&self.stats, |stats| &stats.connections);
            connections.spawn(async move {
                let _held = (slot, counted);
                if let Err(error) = door.welcome(stream, watcher).await {
                    tracing::debug!(%error, "a connection ended early");
                }
            });
        }
        drop(self.listener);
        let patience = door.limits.patience;
        if tokio::time::timeout(patience, ending.shutdown())
            .await
            .is_err()
        {
            tracing::warn!(left = connections.len(), "connections are cut off");
        }
    }
}

async fn accept(
    listener: &TcpListener,
    slots: &Arc<Semaphore>,
) -> io::Result<(TcpStream, tokio::sync::OwnedSemaphorePermit)> {
    let slot = Arc::clone(slots).acquire_owned().await;
    let slot = slot.expect("the semaphore is never closed");
    let (stream, _) = listener.accept().await?;
    stream.set_nodelay(true)?;
    Ok((stream, slot))
}

/// Why a connection ended before its time.
type Ended = Box<dyn std::error::Error + Send + Sync>;

/// What all connections share.
struct Door {
    tls: Option<Tls>,
    admission: Admission,
    limits: Limits,
}

impl Door {
    async fn welcome(&self, stream: TcpStream, watcher: Watcher) -> Result<(), Ended> {
        let stream = Patient::new(stream, self.limits.body_timeout);
        let Some(tls) = &self.tls else {
            return self.serve_http1(stream, watcher).await;
        };
        let handshake = tokio::time::timeout(self.limits.head_timeout, tls.accept(stream));
        let stream = handshake.await??;
        if stream.get_ref().1.alpn_protocol() == Some(tls::HTTP2) {
            return self.serve_http2(stream, watcher).await;
        }
        self.serve_http1(stream, watcher).await
    }

    async fn serve_http1<S>(&self, stream: S, watcher: Watcher) -> Result<(), Ended>
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let connection = http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(self.limits.head_timeout)
            .max_header_size(self.limits.header_bytes)
            .serve_connection(TokioIo::new(stream), self.admission.clone());
        Ok(watcher.watch(connection).await?)
    }

    async fn serve_http2<S>(&self, stream: S, watcher: Watcher) -> Result<(), Ended>
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let header_bytes = u32::try_from(self.limits.header_bytes).unwrap_or(u32::MAX);
        let connection = http2::Builder::new(TokioExecutor::new())
            .timer(TokioTimer::new())
            .keep_alive_interval(self.limits.head_timeout)
            .keep_alive_timeout(self.limits.head_timeout)
            .max_concurrent_streams(STREAMS_MAX)
            .initial_stream_window_size(STREAM_WINDOW)
            .max_header_list_size(header_bytes)
            .serve_connection(TokioIo::new(stream), self.admission.clone());
        Ok(watcher.watch(connection).await?)
    }
}

/// An answer as the router makes it.
type Answered = Result<axum::http::Response<Body>, Infallible>;
