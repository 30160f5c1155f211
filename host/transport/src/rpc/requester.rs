//! A requester: callers on one side, one link on the other, a loop between them.
//!
//! Invariant: whatever order callers give, they have a permit for it, so that the queue of orders is bounded by
//! [`RpcSettings::calls_max`].

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot, watch};
use tokio::time::{Instant, timeout_at};

use crate::curve::LinkKeys;
use crate::dialer::Dialer;
use crate::driver::{Driver, sleep_until};
use crate::endpoint::{Endpoint, EndpointError};
use crate::event::{LinkEvent, Role, SendError};
use crate::frame::{Frame, FrameClass};
use crate::identity::{LinkSigner, PeerKey};
use crate::settings::Admission;
use crate::socket::Attach;

use super::calls::{Calls, Outcome, Output};
use super::{RpcError, RpcSettings};

/// Orders taken before the link is looked after again.
const BATCH_MAX: usize = 256;
/// What has left when a requester ends may take this long to arrive.
const PATIENCE: Duration = Duration::from_secs(1);

/// How the link of a requester stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LinkState {
    /// There is none; it is opened as soon as the peer can be reached.
    Down {
        /// Why the last one closed or was turned away, if there was one.
        why: Option<String>,
    },
    /// The peer has proved this key.
    Up(PeerKey),
    /// The requester was closed.
    Closed,
}

/// A client of one peer: cheap to clone, of use to many tasks at once, connected again whenever the link is lost.
///
/// Its loop ends with [`Requester::close`], or when the last clone is dropped.
#[derive(Clone)]
pub struct Requester(Arc<Shared>);

struct Shared {
    orders: mpsc::UnboundedSender<Order>,
    room: Arc<Semaphore>,
    last_id: AtomicU64,
    state: watch::Receiver<LinkState>,
}

/// What callers tell the loop.
enum Order {
    Call(u64, Frame, Caller),
    Withdraw(u64),
    Expire(u64),
    Close,
}

/// Who waits for the outcome of a call, with the room that the call takes up.
struct Caller {
    answer: oneshot::Sender<Outcome>,
    _room: OwnedSemaphorePermit,
}

impl Requester {
    /// Opens a socket to `endpoint` and a link to whoever of `expected` answers there; a peer that is not there yet is no
    /// error. Spawns the loop, so it takes a runtime.
    ///
    /// # Errors
    /// The endpoint cannot be used; the message names the fix.
    ///
    /// # Panics
    /// If `role` opens no links.
    pub async fn connect(
        endpoint: &Endpoint,
        keys: Option<&LinkKeys>,
        role: Role,
        signer: impl LinkSigner + 'static,
        expected: Admission,
        settings: RpcSettings,
    ) -> Result<Self, EndpointError> {
        let attach = Attach::Connect(vec![endpoint.clone()]);
        let links = settings.of_links(expected);
        let driver = Driver::initiator(&attach, keys, role, links, signer).await?;
        let (orders, receiver) = mpsc::unbounded_channel();
        let (teller, state) = watch::channel(LinkState::Down { why: None });
        let shell = Shell {
            driver,
            calls: Calls::new(&settings),
            orders: receiver,
            state: teller,
            has_ended: false,
        };
        tokio::spawn(shell.run());
        Ok(Self(Arc::new(Shared {
            orders,
            room: Arc::new(Semaphore::new(settings.calls_max)),
            last_id: AtomicU64::new(0),
            state,
        })))
    }

    /// Sends `request` and waits for its reply until `deadline` has passed.
    ///
    /// Dropping the future gives the call up: the peer is told, and drops its handler's future.
    ///
    /// # Errors
    /// [`RpcError`]; its variants say what is known of the request.
    pub async fn call(&self, request: Frame, deadline: Duration) -> Result<Frame, RpcError> {
        let due = Instant::now() + deadline;
        let room = timeout_at(due, Arc::clone(&self.0.room).acquire_owned())
            .await
            .map_err(|_| RpcError::NotSent)?
            .map_err(|_| RpcError::Closed)?;
        let id = self.0.last_id.fetch_add(1, Ordering::Relaxed) + 1;
        let (answer, mut outcome) = oneshot::channel();
        let caller = Caller {
            answer,
            _room: room,
        };
        self.order(Order::Call(id, request, caller))?;
        let mut guard = Guard {
            requester: self,
            id: Some(id),
        };
        let answered = match timeout_at(due, &mut outcome).await {
            Ok(answered) => answered,
            Err(_) => {
                self.order(Order::Expire(id))?;
                outcome.await
            }
        };
        guard.id = None;
        answered.unwrap_or(Err(RpcError::Closed))
    }

    /// The key that the peer has proved on the present link.
    #[must_use]
    pub fn peer(&self) -> Option<PeerKey> {
        match *self.0.state.borrow() {
            LinkState::Up(peer) => Some(peer),
            _ => None,
        }
    }

    /// How the link stands, now and whenever that changes.
    #[must_use]
    pub fn state(&self) -> watch::Receiver<LinkState> {
        self.0.state.clone()
    }

    /// Ends all calls, closes the link and waits until the peer was told.
    pub async fn close(&self) {
        let _ = self.order(Order::Close);
        // An error says that the loop has ended, which is what is waited for.
        let _ = self
            .state()
            .wait_for(|state| *state == LinkState::Closed)
            .await;
    }

    fn order(&self, order: Order) -> Result<(), RpcError> {
        self.0.orders.send(order).map_err(|_| RpcError::Closed)
    }
}

impl fmt::Debug for Requester {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "Requester({:?})", *self.0.state.borrow())
    }
}

/// Withdraws a call whose future is dropped.
struct Guard<'a> {
    requester: &'a Requester,
    id: Option<u64>,
}

impl Drop for Guard<'_> {
    fn drop(&mut self) {
        if let Some(id) = self.id {
            // Whoever has ended has withdrawn everything.
            let _ = self.requester.order(Order::Withdraw(id));
        }
    }
}

/// The loop's side.
struct Shell {
    driver: Driver<Dialer>,
    calls: Calls<Caller>,
    orders: mpsc::UnboundedReceiver<Order>,
    state: watch::Sender<LinkState>,
    has_ended: bool,
}

impl Shell {
    async fn run(mut self) {
        let mut orders = Vec::with_capacity(BATCH_MAX);
        while !self.has_ended {
            let due = self.calls.next_timeout();
            let due = due.map(|due| Instant::now() + due.saturating_sub(self.driver.now()));
            tokio::select! {
                biased;
                event = self.driver.next() => match event {
                    Ok(event) => self.on_event(event),
                    Err(_) => self.has_ended = true,
                },
                count = self.orders.recv_many(&mut orders, BATCH_MAX) => self.has_ended |= count == 0,
                () = sleep_until(due) => {}
            }
            self.take_what_is_there(&mut orders);
            self.calls.on_timeout(self.driver.now());
            self.carry_out();
            self.send();
        }
        self.calls.end();
        self.carry_out();
        self.orders.close();
        drop(self.orders);
        self.driver
            .shut_down("the requester has ended", PATIENCE)
            .await;
        self.state.send_replace(LinkState::Closed);
    }

    /// Everything at hand is taken before anything is sent: a wake-up costs more than a call.
    fn take_what_is_there(&mut self, orders: &mut Vec<Order>) {
        while let Some(event) = self.driver.try_next() {
            self.on_event(event);
        }
        while orders.len() < BATCH_MAX
            && let Ok(order) = self.orders.try_recv()
        {
            orders.push(order);
        }
        let now = self.driver.now();
        for order in orders.drain(..) {
            match order {
                Order::Call(id, request, caller) => self.calls.submit(now, id, request, caller),
                Order::Withdraw(id) => self.calls.withdraw(id),
                Order::Expire(id) => self.calls.expire(id),
                Order::Close => self.has_ended = true,
            }
        }
    }

    fn on_event(&mut self, event: LinkEvent) {
        match &event {
            LinkEvent::Established { peer, .. } => {
                self.state.send_replace(LinkState::Up(*peer));
            }
            LinkEvent::Closed { reason, .. } => self.on_down(reason.to_string()),
            LinkEvent::Refused { reason } => self.on_down(reason.clone()),
            _ => {}
        }
        self.calls.on_event(self.driver.now(), event);
        self.has_ended |= self.driver.side().is_finished();
    }

    fn on_down(&mut self, why: String) {
        self.state.send_replace(LinkState::Down { why: Some(why) });
    }

    fn carry_out(&mut self) {
        while let Some(output) = self.calls.poll_output() {
            let link = self.calls.link();
            match (output, link) {
                (Output::Answer(caller, outcome), _) => {
                    // A caller that is gone has withdrawn or is about to.
                    let _ = caller.answer.send(outcome);
                }
                (Output::Release(class, bytes), Some(link)) => {
                    self.driver.release(link, class, bytes);
                }
                (Output::Close(why), Some(link)) => self.driver.close(link, why),
                // The link is gone, and its credit with it.
                (Output::Release(..) | Output::Close(_), None) => {}
            }
        }
    }

    /// Hands the link what it has credit for.
    fn send(&mut self) {
        let Some(link) = self.calls.link() else {
            return;
        };
        for class in FrameClass::ALL {
            let Some(largest) = self.driver.largest(link, class) else {
                return;
            };
            loop {
                let room = self.driver.available(link, class);
                let Some((id, frame)) = self.calls.next(class, room, largest) else {
                    break;
                };
                match self.driver.send(link, class, frame, 0) {
                    Ok(()) => {}
                    Err(SendError::TooLarge { size, max }) => {
                        self.calls.on_unsent(id, RpcError::TooLarge { size, max });
                    }
                    Err(SendError::Full | SendError::Closed) => {
                        self.calls.on_unsent(id, RpcError::NotSent);
                    }
                }
            }
        }
        self.carry_out();
    }
}
