//! The shell: one side, one socket, one clock.
//!
//! Receive, call the core, send. Everything that has arrived is read before anything is awaited, everything that is
//! to be sent is sent before anything is awaited, so that a wake-up costs once for thousands of frames.

use std::collections::HashSet;
use std::fmt;
use std::io;
use std::time::Duration;

use bytes::Bytes;
use futures_util::FutureExt as _;
use futures_util::stream::{FuturesUnordered, StreamExt as _};
use tokio::time::Instant;
use tracing::debug;

use crate::curve::LinkKeys;
use crate::dialer::Dialer;
use crate::endpoint::{Endpoint, EndpointError, Note};
use crate::event::{LinkEvent, LinkId, Role, SendError};
use crate::files::raise_limit;
use crate::frame::{Frame, FrameClass};
use crate::identity::{LinkSigner, os_entropy};
use crate::links::Links;
use crate::settings::LinkSettings;
use crate::side::Side;
use crate::socket::{Attach, Carrier, Handover, Kind, Opened, Sent, Trouble, Troubles};
use crate::table::Counts;

/// Datagrams read before their events are handed out and answers are sent.
const BATCH_MAX: usize = 1024;
/// What the socket still holds when the driver ends may take this long to leave.
const LINGER: Duration = Duration::from_millis(500);
/// A peer that turned the connection away (its link keys do not know ours) is asked again after this long.
const AFTER_REFUSAL: Duration = Duration::from_secs(5);

/// A side with its socket.
pub struct Driver<S> {
    side: S,
    carrier: Carrier,
    troubles: Troubles,
    start: Instant,
    /// The connections that the side has been told of.
    generation: u64,
    /// Datagrams that the socket could not take, one per route.
    handovers: FuturesUnordered<Handover>,
    held: HashSet<Bytes>,
    /// When to connect again after a refusal.
    reconnect_at: Option<Instant>,
    /// What the peer said when it refused, to be reported.
    refusal: Option<String>,
    /// A lasting trouble that was reported and has not changed since.
    trouble: Option<String>,
    endpoints: Vec<Endpoint>,
    notes: Vec<Note>,
}

impl Driver<Links> {
    /// Opens a ROUTER socket in the role of a router, and lets this process hold as many files open as the system
    /// grants it.
    ///
    /// # Errors
    /// The endpoint cannot be used; the message names the fix.
    pub async fn acceptor(
        attach: &Attach,
        keys: Option<&LinkKeys>,
        settings: LinkSettings,
        signer: impl LinkSigner + 'static,
    ) -> Result<Self, EndpointError> {
        Self::acceptor_in(Role::Router, attach, keys, settings, signer).await
    }

    /// The same in another role.
    ///
    /// # Errors
    /// As of [`Self::acceptor`].
    ///
    /// # Panics
    /// If `role` accepts no links.
    pub async fn acceptor_in(
        role: Role,
        attach: &Attach,
        keys: Option<&LinkKeys>,
        mut settings: LinkSettings,
        signer: impl LinkSigner + 'static,
    ) -> Result<Self, EndpointError> {
        let mut opened = open(Kind::Acceptor, attach, keys, &mut settings).await?;
        let few_files = raise_limit().map(|limit| Note::FewFiles { limit });
        opened.notes.extend(few_files);
        Ok(Self::new(
            opened,
            Links::new(settings, signer, os_entropy()).in_role(role),
        ))
    }
}

impl Driver<Dialer> {
    /// Opens a DEALER socket.
    ///
    /// # Errors
    /// The endpoint cannot be used; the message names the fix. A peer that is not there yet is no error.
    pub async fn initiator(
        attach: &Attach,
        keys: Option<&LinkKeys>,
        role: Role,
        mut settings: LinkSettings,
        signer: impl LinkSigner + 'static,
    ) -> Result<Self, EndpointError> {
        let opened = open(Kind::Initiator, attach, keys, &mut settings).await?;
        Ok(Self::new(
            opened,
            Dialer::new(Duration::ZERO, role, settings, signer, os_entropy()),
        ))
    }
}

/// Opens the socket, and says in the settings which CURVE key this side will name in its hello.
async fn open(
    kind: Kind,
    attach: &Attach,
    keys: Option<&LinkKeys>,
    settings: &mut LinkSettings,
) -> Result<Opened, EndpointError> {
    let opened = Carrier::open(
        kind,
        attach,
        keys,
        settings.terms.max_frame,
        &mut os_entropy(),
    )
    .await?;
    let encrypted = opened.endpoints.iter().any(Endpoint::is_tcp);
    settings.curve_key = keys.filter(|_| encrypted).map(|keys| keys.public().0);
    Ok(opened)
}

impl<S: Side> Driver<S> {
    fn new(opened: Opened, side: S) -> Self {
        Self {
            side,
            generation: opened.carrier.generation().wrapping_sub(1),
            carrier: opened.carrier,
            troubles: opened.troubles,
            start: Instant::now(),
            handovers: FuturesUnordered::new(),
            held: HashSet::new(),
            reconnect_at: None,
            refusal: None,
            trouble: None,
            endpoints: opened.endpoints,
            notes: opened.notes,
        }
    }

    /// The next event. May be dropped at any time (`select!`) without losing anything; must be called again soon,
    /// because links live only inside it. Sends whatever was queued before it waits.
    ///
    /// # Errors
    /// The socket is closed.
    pub async fn next(&mut self) -> io::Result<LinkEvent> {
        loop {
            if let Some(event) = self.try_next() {
                return Ok(event);
            }
            self.turn()?;
            if let Some(event) = self.try_next() {
                return Ok(event);
            }
            if self.carrier.generation() != self.generation {
                self.meet_peers().await?;
            } else if self.reconnect_at.is_some_and(|at| at <= Instant::now()) {
                self.carrier.reconnect().await;
                self.reconnect_at = None;
            } else {
                self.wait().await?;
            }
        }
    }

    /// An event that is at hand, without touching the socket.
    pub fn try_next(&mut self) -> Option<LinkEvent> {
        self.side.poll_event().or_else(|| {
            self.refusal
                .take()
                .map(|reason| LinkEvent::Refused { reason })
        })
    }

    /// Sends what is queued, reads what has arrived and serves what is due.
    fn turn(&mut self) -> io::Result<()> {
        while let Some(Some(route)) = self.handovers.next().now_or_never() {
            self.unhold(&route);
        }
        self.flush()?;
        for _ in 0..BATCH_MAX {
            let Some((route, datagram)) = self.carrier.try_recv()? else {
                break;
            };
            let now = self.now();
            self.side.on_datagram(now, &route, datagram);
        }
        let now = self.now();
        if self.side.next_timeout().is_some_and(|due| due <= now) {
            self.side.on_timeout(now);
        }
        self.flush()
    }

    /// Sends all that is queued and may be sent now. [`Self::next`] does so itself; call this before work that takes
    /// long.
    ///
    /// # Errors
    /// The socket is closed.
    pub fn flush(&mut self) -> io::Result<()> {
        let now = self.now();
        while let Some((route, datagram)) = self.side.poll_transmit(now) {
            if self.held.contains(&route) {
                // Belongs to no link, so whoever waits for it asks again.
                continue;
            }
            match self.carrier.try_send(&route, datagram)? {
                Sent::Taken => {}
                Sent::Unroutable => debug!(route = ?route, "nobody is reached by this route now"),
                Sent::Held(handover) => {
                    self.side.hold(&route, true);
                    self.held.insert(route);
                    self.handovers.push(handover);
                }
            }
        }
        Ok(())
    }

    /// Waits for a datagram, room in the socket, a connection or a timeout.
    async fn wait(&mut self) -> io::Result<()> {
        let due = self.side.next_timeout().map(|due| self.start + due);
        let due = due.into_iter().chain(self.reconnect_at).min();
        tokio::select! {
            biased;
            Some(route) = self.handovers.next() => self.unhold(&route),
            changed = self.carrier.changed(self.generation) => changed?,
            received = self.carrier.recv() => {
                let (route, datagram) = received?;
                let now = self.start.elapsed();
                self.side.on_datagram(now, &route, datagram);
            }
            trouble = self.troubles.next() => self.on_trouble(trouble),
            () = sleep_until(due) => {}
        }
        Ok(())
    }

    /// The socket has taken what it was full for.
    fn unhold(&mut self, route: &Bytes) {
        self.held.remove(route);
        self.side.hold(route, false);
    }

    fn on_trouble(&mut self, trouble: Trouble) {
        match trouble {
            Trouble::Transient(reason) => debug!(reason, "a connection failed"),
            Trouble::Lasting(reason) => {
                if self.trouble.as_ref() != Some(&reason) {
                    self.refusal = Some(reason.clone());
                    self.trouble = Some(reason);
                }
            }
            Trouble::Refused(reason) => {
                self.reconnect_at = Some(Instant::now() + AFTER_REFUSAL);
                self.refusal = Some(reason);
            }
        }
    }

    /// Connections have come or gone.
    async fn meet_peers(&mut self) -> io::Result<()> {
        let generation = self.carrier.generation();
        self.trouble = None;
        let connected = self.carrier.look_up_peer().await?;
        self.generation = generation;
        let now = self.now();
        if connected {
            self.side.on_connected(now);
        } else {
            self.side.on_disconnected(now);
        }
        Ok(())
    }

    /// The time that the side is told: since the driver was opened.
    #[must_use]
    pub fn now(&self) -> Duration {
        self.start.elapsed()
    }

    /// Queues a frame; see [`Side::send`]. It leaves with the next [`Self::next`] or [`Self::flush`].
    ///
    /// # Errors
    /// See [`Side::send`].
    pub fn send(
        &mut self,
        link: LinkId,
        class: FrameClass,
        frame: Frame,
        token: u64,
    ) -> Result<(), SendError> {
        let now = self.now();
        self.side.send(now, link, class, frame, token)
    }

    /// See [`Side::available`].
    #[must_use]
    pub fn available(&self, link: LinkId, class: FrameClass) -> u64 {
        self.side.available(link, class)
    }

    /// See [`Side::largest`].
    #[must_use]
    pub fn largest(&self, link: LinkId, class: FrameClass) -> Option<u64> {
        self.side.largest(link, class)
    }

    /// See [`Side::release`].
    pub fn release(&mut self, link: LinkId, class: FrameClass, bytes: u64) {
        let now = self.now();
        self.side.release(now, link, class, bytes);
    }

    /// See [`Side::close`].
    pub fn close(&mut self, link: LinkId, reason: &str) {
        let now = self.now();
        self.side.close(now, link, reason);
    }

    /// The side, for what only it can tell.
    #[must_use]
    pub fn side(&self) -> &S {
        &self.side
    }

    /// The endpoints in use, with the port that the system chose where 0 was asked for.
    #[must_use]
    pub fn endpoints(&self) -> &[Endpoint] {
        &self.endpoints
    }

    /// What an operator should be told about the endpoints.
    #[must_use]
    pub fn notes(&self) -> &[Note] {
        &self.notes
    }

    /// See [`Side::counts`].
    #[must_use]
    pub fn counts(&self) -> Counts {
        self.side.counts()
    }

    /// Waits until every frame sent has arrived, or `patience` is over; then closes links and socket.
    ///
    /// Frames that arrive meanwhile are dropped. Returns whether all had arrived.
    pub async fn shut_down(mut self, reason: &str, patience: Duration) -> bool {
        let drained = tokio::time::timeout(patience, self.drain()).await.is_ok();
        let now = self.now();
        self.side.shut_down(now, reason);
        // A closed socket sends nothing, and that is what is wanted of it.
        let _ = self.flush();
        self.handovers.clear();
        self.carrier.close(LINGER).await;
        drained
    }

    async fn drain(&mut self) {
        while !self.side.is_drained() {
            if self.next().await.is_err() {
                return;
            }
        }
    }
}

/// Waits for ever without a time.
pub(crate) async fn sleep_until(due: Option<Instant>) {
    match due {
        Some(due) => tokio::time::sleep_until(due).await,
        None => std::future::pending().await,
    }
}

impl<S: fmt::Debug> fmt::Debug for Driver<S> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("Driver")
            .field("side", &self.side)
            .field("endpoints", &self.endpoints)
            .finish_non_exhaustive()
    }
}
