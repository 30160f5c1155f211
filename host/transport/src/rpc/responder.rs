//! A responder: links on one side, tasks that handle requests on the other, a loop between them.
//!
//! Invariant: the loop waits for no task and no task waits for the loop, so a slow handler or reader holds up nobody
//! else.

use std::collections::HashMap;
use std::fmt;
use std::io;
use std::panic::AssertUnwindSafe;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt as _;
use futures_util::future::{AbortHandle, Abortable};
use tokio::task::JoinSet;
use tokio::time::Instant;
use tracing::debug;

use crate::curve::LinkKeys;
use crate::driver::{Driver, sleep_until};
use crate::endpoint::{Endpoint, EndpointError, Note};
use crate::event::{LinkId, Role, SendError};
use crate::frame::FrameClass;
use crate::identity::LinkSigner;
use crate::links::Links;
use crate::settings::Admission;
use crate::socket::Attach;

use super::intake::{Ended, Intake, Output, RunId};
use super::{Handler, RpcSettings};

/// A server: accepts links and runs a handler for each request.
pub struct Responder {
    driver: Driver<Links>,
    settings: RpcSettings,
}

impl Responder {
    /// Listens at `endpoint` in an accepting role; who is not `admitted` gets no link.
    ///
    /// # Errors
    /// The endpoint cannot be used; the message names the fix.
    ///
    /// # Panics
    /// If `role` accepts no links.
    pub async fn bind(
        endpoint: &Endpoint,
        keys: Option<&LinkKeys>,
        role: Role,
        signer: impl LinkSigner + 'static,
        admitted: Admission,
        settings: RpcSettings,
    ) -> Result<Self, EndpointError> {
        let attach = Attach::Bind(endpoint.clone());
        let links = settings.of_links(admitted);
        let driver = Driver::acceptor_in(role, &attach, keys, links, signer).await?;
        Ok(Self { driver, settings })
    }

    /// The endpoints in use, with the port that the system chose where 0 was asked for.
    #[must_use]
    pub fn endpoints(&self) -> &[Endpoint] {
        self.driver.endpoints()
    }

    /// What an operator should be told about the endpoints.
    #[must_use]
    pub fn notes(&self) -> &[Note] {
        self.driver.notes()
    }

    /// Serves until `stop` completes; then refuses what comes, and waits up to `patience` for requests to end and replies
    /// to arrive. Dropping the future ends everything at once.
    ///
    /// # Errors
    /// The socket is gone.
    pub async fn serve<H: Handler>(
        self,
        handler: Arc<H>,
        stop: impl Future<Output = ()>,
        patience: Duration,
    ) -> io::Result<()> {
        let mut shell = Shell {
            driver: self.driver,
            intake: Intake::new(self.settings),
            handler,
            tasks: JoinSet::new(),
            aborts: HashMap::new(),
        };
        let mut stop = pin!(stop);
        loop {
            tokio::select! {
                biased;
                () = &mut stop => break,
                stepped = shell.step() => stepped?,
            }
        }
        shell.end(patience).await
    }
}

impl fmt::Debug for Responder {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "Responder({:?})", self.driver)
    }
}

struct Shell<H> {
    driver: Driver<Links>,
    intake: Intake,
    handler: Arc<H>,
    tasks: JoinSet<(RunId, Ended)>,
    aborts: HashMap<RunId, AbortHandle>,
}

impl<H: Handler> Shell<H> {
    /// Takes what comes next and does what follows from it. Cancel-safe: nothing that has come is lost.
    async fn step(&mut self) -> io::Result<()> {
        let due = self.intake.next_timeout();
        let due = due.map(|due| Instant::now() + due.saturating_sub(self.driver.now()));
        tokio::select! {
            biased;
            event = self.driver.next() => {
                let event = event?;
                self.intake.on_event(self.driver.now(), event);
            }
            Some(joined) = self.tasks.join_next() => self.on_joined(joined.ok()),
            () = sleep_until(due) => {}
        }
        self.take_what_is_there();
        self.intake.on_timeout(self.driver.now());
        self.carry_out();
        self.send();
        Ok(())
    }

    /// Everything at hand is taken before anything is sent: a wake-up costs more than a request.
    fn take_what_is_there(&mut self) {
        while let Some(event) = self.driver.try_next() {
            self.intake.on_event(self.driver.now(), event);
        }
        while let Some(joined) = self.tasks.try_join_next() {
            self.on_joined(joined.ok());
        }
    }

    /// A task that has not ended by itself was ended with its runtime.
    fn on_joined(&mut self, joined: Option<(RunId, Ended)>) {
        if let Some((run, ended)) = joined {
            self.aborts.remove(&run);
            self.intake.on_ended(self.driver.now(), run, ended);
        }
    }

    fn carry_out(&mut self) {
        while let Some(output) = self.intake.poll_output() {
            match output {
                Output::Run(run, peer, request) => {
                    let handler = Arc::clone(&self.handler);
                    let handled = async move { handler.handle(peer, request).await };
                    let (abort, registration) = AbortHandle::new_pair();
                    let handled = Abortable::new(handled, registration);
                    self.aborts.insert(run, abort);
                    self.tasks.spawn(async move {
                        let ended = match AssertUnwindSafe(handled).catch_unwind().await {
                            Ok(Ok(reply)) => Ended::Reply(reply),
                            Ok(Err(_)) => Ended::Aborted,
                            Err(_) => Ended::Failed,
                        };
                        (run, ended)
                    });
                }
                Output::Abort(run) => {
                    if let Some(abort) = self.aborts.get(&run) {
                        abort.abort();
                    }
                }
                Output::Release(link, class, bytes) => self.driver.release(link, class, bytes),
                Output::Close(link, why) => {
                    debug!(%link, why, "a peer is turned out");
                    self.driver.close(link, why);
                }
            }
        }
    }

    /// Hands each link what it has credit for.
    fn send(&mut self) {
        while let Some(link) = self.intake.poll_ready() {
            for class in FrameClass::ALL {
                self.send_class(link, class);
            }
        }
    }

    fn send_class(&mut self, link: LinkId, class: FrameClass) {
        let Some(largest) = self.driver.largest(link, class) else {
            return;
        };
        loop {
            let room = self.driver.available(link, class);
            let Some((token, frame)) = self.intake.next(link, class, room, largest) else {
                return;
            };
            if let Err(SendError::TooLarge { .. } | SendError::Full) =
                self.driver.send(link, class, frame.clone(), token)
            {
                let now = self.driver.now();
                self.intake.on_unsent(now, link, class, &frame);
            }
        }
    }

    async fn end(mut self, patience: Duration) -> io::Result<()> {
        let until = Instant::now() + patience;
        self.intake.end();
        while !self.intake.is_quiet() {
            match tokio::time::timeout_at(until, self.step()).await {
                Ok(stepped) => stepped?,
                Err(_) => break,
            }
        }
        self.tasks.abort_all();
        let left = until.saturating_duration_since(Instant::now());
        self.driver.shut_down("the responder is ending", left).await;
        Ok(())
    }
}
