//! Requests are admitted while there is room, and told to come back otherwise.
//!
//! Invariant: a request counts until its answer's last byte is handed on or given up; a sign of life takes no room, so that whoever looks
//! after the gateway does not take one that is busy for one that is dead.

use std::convert::Infallible;
use std::panic::AssertUnwindSafe;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::task::{Context, Poll};

use axum::Router;
use axum::body::{Body, Bytes};
use axum::http::{Request, Response};
use axum::response::IntoResponse as _;
use futures_util::FutureExt as _;
use hyper::body::{Body as HttpBody, Frame, Incoming, SizeHint};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tower_service::Service as _;

use super::Answered;
use crate::problem::{Kind, Problem};
use crate::rest::SIGNS_OF_LIFE;
use crate::stats::{Counted, Stats};

/// The way to the router.
#[derive(Clone)]
pub(super) struct Admission {
    router: Router,
    room: Arc<Semaphore>,
    stats: Arc<Stats>,
}

impl Admission {
    pub(super) fn new(router: Router, requests: usize, stats: Arc<Stats>) -> Self {
        Self {
            router,
            room: Arc::new(Semaphore::new(requests)),
            stats,
        }
    }

    async fn answer(self, request: Request<Incoming>) -> Result<Response<Held>, Infallible> {
        let permit = Arc::clone(&self.room).try_acquire_owned().ok();
        if permit.is_none() && !SIGNS_OF_LIFE.contains(&request.uri().path()) {
            self.stats.turned_away.fetch_add(1, Relaxed);
            let busy = Problem::new(Kind::BUSY, "too many requests are served: come back later");
            return Ok(self.hand_on(busy.into_response(), None));
        }
        let counted = Counted::new(&self.stats, under_way as UnderWay);
        let mut router = self.router.clone();
        let answered = AssertUnwindSafe(router.call(request)).catch_unwind().await;
        let response = answered.map_or_else(|_| broken(), |Ok(response): Answered| response);
        Ok(self.hand_on(response, Some((permit, counted))))
    }

    fn hand_on(&self, response: Response<Body>, room: Option<Room>) -> Response<Held> {
        self.stats.answered(response.status());
        response.map(|body| Held { body, _room: room })
    }
}

/// The answer of a handler that has panicked. The panic itself is reported where panics are.
fn broken() -> Response<Body> {
    tracing::error!("a request broke its handler");
    Problem::new(Kind::INTERNAL, "the gateway broke over this request").into_response()
}

type UnderWay = fn(&Stats) -> &std::sync::atomic::AtomicU64;
type Room = (Option<OwnedSemaphorePermit>, Counted<UnderWay>);

fn under_way(stats: &Stats) -> &std::sync::atomic::AtomicU64 {
    &stats.under_way
}

impl hyper::service::Service<Request<Incoming>> for Admission {
    type Response = Response<Held>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Infallible>> + Send>>;

    fn call(&self, request: Request<Incoming>) -> Self::Future {
        Box::pin(self.clone().answer(request))
    }
}

/// An answer's body, and the room that its request takes.
pub(super) struct Held {
    body: Body,
    _room: Option<Room>,
}

impl HttpBody for Held {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        Pin::new(&mut self.body).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
