//! A service whose handler does what a request says, and clients of it.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use sc_transport::{
    Admission, Endpoint, Frame, Handler, LinkKey, LinkKeys, LinkSigner as _, LinkState, PeerKey,
    Requester, Responder, Role, RpcSettings,
};
use tokio::sync::{Notify, Semaphore, oneshot};
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};

pub(crate) const PATIENCE: Duration = Duration::from_secs(8);
/// The deadline of calls that are to succeed.
pub(crate) const LONG: Duration = Duration::from_secs(8);
pub(crate) const STORE: u8 = 1;
pub(crate) const CLIENT: u8 = 2;

pub(crate) fn key(seed: u8) -> LinkKey {
    LinkKey::from_seed(&[seed; 32])
}

pub(crate) fn peer(seed: u8) -> PeerKey {
    PeerKey(key(seed).public_key())
}

pub(crate) fn only(seed: u8) -> Admission {
    Admission::Only(BTreeSet::from([peer(seed)]))
}

/// What the handler of these tests does is the first word of a request's head.
#[derive(Default)]
pub(crate) struct Desk {
    /// Handlers whose futures live.
    pub(crate) at_work: AtomicUsize,
    /// Handlers that were begun.
    pub(crate) begun: AtomicUsize,
    /// `wait` waits for a permit.
    pub(crate) gate: Gate,
    pub(crate) changed: Notify,
}

pub(crate) struct Gate(pub(crate) Semaphore);

impl Default for Gate {
    fn default() -> Self {
        Self(Semaphore::new(0))
    }
}

/// Counts a handler while its future lives.
struct AtWork<'a>(&'a Desk);

impl Drop for AtWork<'_> {
    fn drop(&mut self) {
        self.0.at_work.fetch_sub(1, Ordering::SeqCst);
        self.0.changed.notify_waiters();
    }
}

impl Handler for Desk {
    async fn handle(&self, _peer: PeerKey, request: Frame) -> Frame {
        self.at_work.fetch_add(1, Ordering::SeqCst);
        self.begun.fetch_add(1, Ordering::SeqCst);
        self.changed.notify_waiters();
        let _at_work = AtWork(self);
        let head = String::from_utf8(request.head.to_vec()).unwrap();
        match head.split_once(' ').unwrap_or((&head, "")) {
            ("echo", _) => request,
            ("size", bytes) => Frame::new("").with(vec![7; bytes.parse().unwrap()]),
            ("after", ms) => {
                sleep(Duration::from_millis(ms.parse().unwrap())).await;
                request
            }
            ("wait", _) => {
                self.gate.0.acquire().await.unwrap().forget();
                request
            }
            _ => panic!("an unknown request"),
        }
    }
}

impl Desk {
    /// Waits until `condition` holds.
    pub(crate) async fn until(&self, condition: impl Fn(&Self) -> bool) {
        let holds = async {
            loop {
                let changed = self.changed.notified();
                if condition(self) {
                    return;
                }
                // A notification may come between the look and the wait.
                let _ = timeout(Duration::from_millis(20), changed).await;
            }
        };
        timeout(PATIENCE, holds).await.expect("the desk changes");
    }

    pub(crate) async fn until_at_work(&self, count: usize) {
        self.until(|desk| desk.at_work.load(Ordering::SeqCst) == count)
            .await;
    }
}

/// A responder that serves.
pub(crate) struct Service {
    pub(crate) endpoint: Endpoint,
    pub(crate) desk: Arc<Desk>,
    pub(crate) stop: Option<oneshot::Sender<()>>,
    pub(crate) served: JoinHandle<std::io::Result<()>>,
}

impl Service {
    pub(crate) async fn at(
        endpoint: &Endpoint,
        keys: Option<&LinkKeys>,
        settings: RpcSettings,
    ) -> Self {
        let responder = Responder::bind(
            endpoint,
            keys,
            Role::Store,
            key(STORE),
            Admission::Any,
            settings,
        )
        .await
        .unwrap();
        let endpoint = responder.endpoints()[0].clone();
        let desk = Arc::new(Desk::default());
        let (stop, stopped) = oneshot::channel();
        let stopped = async {
            let _ = stopped.await;
        };
        let served = tokio::spawn(responder.serve(Arc::clone(&desk), stopped, PATIENCE));
        Self {
            endpoint,
            desk,
            stop: Some(stop),
            served,
        }
    }

    pub(crate) async fn with(settings: RpcSettings) -> Self {
        Self::at(&"localhost:0".parse().unwrap(), None, settings).await
    }

    pub(crate) async fn new() -> Self {
        Self::with(RpcSettings::default()).await
    }

    pub(crate) async fn client(&self) -> Requester {
        client_of(&self.endpoint, RpcSettings::default()).await
    }

    /// Ends it as a crash would.
    pub(crate) async fn kill(self) -> Endpoint {
        self.served.abort();
        let _ = self.served.await;
        self.endpoint
    }
}

pub(crate) async fn client_of(endpoint: &Endpoint, settings: RpcSettings) -> Requester {
    Requester::connect(
        endpoint,
        None,
        Role::Client,
        key(CLIENT),
        only(STORE),
        settings,
    )
    .await
    .unwrap()
}

pub(crate) async fn until_up(client: &Requester) {
    let mut state = client.state();
    let up = state.wait_for(|state| matches!(state, LinkState::Up(_)));
    timeout(PATIENCE, up).await.expect("a link").unwrap();
}

pub(crate) fn echo(number: u64) -> Frame {
    Frame::new(format!("echo {number}")).with(number.to_le_bytes().to_vec())
}
