//! The loop around the core: one socket, one trusted program, one store, one thread.

mod program;

use std::io;
use std::pin::Pin;
use std::time::Duration;

use sc_launcher::{Door, LaunchError};
use sc_transport::{Driver, LinkEvent, LinkId, Links, PeerKey, Role};
use tokio::time::Instant;

use self::program::{Ended, Happening, Program};
use crate::counters::{Counters, Gauges};
use crate::outputs::Output;
use crate::router::Router;
use crate::spill::{Spill, SpillEvent};

/// How long batches that were taken may need to be settled, and frames to reach their peers, when the router is asked to end.
const PATIENCE: Duration = Duration::from_secs(5);
/// How often an operator is told the numbers.
const MEASURED_EVERY: Duration = Duration::from_secs(1);

/// Why a router ended that was not asked to.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RouterError {
    /// The socket is gone.
    #[error("the socket failed: {0}")]
    Socket(#[from] io::Error),
    /// The trusted program does not start.
    #[error(transparent)]
    Launch(#[from] LaunchError),
    /// The trusted program ended before it had said what it is.
    #[error("the trusted program has ended before it said what it is")]
    Program,
    /// What answers is not the routing program of this version.
    #[error("the trusted program is not the routing program of this version: {0}")]
    Unfit(String),
}

/// What an operator may want to see happen.
#[derive(Debug)]
#[non_exhaustive]
pub enum RouterNews {
    /// The trusted program has said what it is; again after each [`RouterNews::ProgramLost`].
    Program {
        /// Its name and version.
        program: String,
        /// The line that says what protects it.
        tee: String,
    },
    /// The trusted program has ended, and every session in it is lost; publishers provision the next one.
    ProgramLost {
        /// What is known of it.
        why: String,
        /// After which pause it is started again.
        pause: Duration,
    },
    /// A peer has proved its key.
    Established {
        /// The key.
        peer: PeerKey,
        /// What it is.
        role: Role,
    },
    /// A link is gone.
    Closed {
        /// Its link.
        link: LinkId,
        /// Why.
        reason: String,
    },
    /// A listening peer does not take this router's connection; it is tried again.
    TurnedAway {
        /// Why.
        reason: String,
    },
    /// The numbers, once a second.
    Measured {
        /// What has happened so far.
        counters: Box<Counters>,
        /// What is held now.
        gauges: Gauges,
    },
}

/// The core with all that it drives.
struct Shell<L, N> {
    router: Router,
    driver: Driver<Links>,
    program: Program<L>,
    spill: Option<Spill>,
    news: N,
    measured: Instant,
}

/// Routes until `stop` completes; then takes nothing new, delivers what it has, and returns what has happened.
///
/// `launch` starts the trusted program, at once and again whenever it has ended. `spill` is the store, if the router was made with
/// [`crate::RouterSettings::has_store`]; what it has recovered the router has been told ([`Router::recover`]).
///
/// # Errors
/// [`RouterError`]: the socket has failed, or the program did not start in the first place.
pub async fn serve(
    router: Router,
    driver: Driver<Links>,
    launch: impl FnMut() -> Result<Door, LaunchError>,
    spill: Option<Spill>,
    stop: impl Future<Output = ()>,
    news: impl FnMut(RouterNews),
) -> Result<Counters, RouterError> {
    tokio::pin!(stop);
    let mut shell = Shell {
        router,
        driver,
        program: Program::new(launch),
        spill,
        news,
        measured: Instant::now(),
    };
    tokio::select! {
        biased;
        () = &mut stop => return Ok(shell.router.counters()),
        started = shell.start() => started?,
    }
    let routed = shell.route(stop).await;
    let until = Instant::now() + PATIENCE;
    let routed = match routed {
        Ok(()) => shell.settle(until).await,
        failed => failed,
    };
    // Peers hear at once that nobody is here any more, rather than wait in vain.
    let (reason, patience) = match &routed {
        Ok(()) => (
            "the router is shutting down",
            until.saturating_duration_since(Instant::now()),
        ),
        Err(_) => ("the router has failed", Duration::ZERO),
    };
    shell.measure();
    let counters = shell.router.counters();
    shell.driver.shut_down(reason, patience).await;
    routed.map(|()| counters)
}

impl<L, N> Shell<L, N>
where
    L: FnMut() -> Result<Door, LaunchError>,
    N: FnMut(RouterNews),
{
    /// Waits until the program has said what it is.
    async fn start(&mut self) -> Result<(), RouterError> {
        match self.program.next().await {
            Happening::Started { program, tee } => self.on_started(program, tee),
            Happening::Ended { why, .. } => {
                return Err(match why {
                    Ended::Launch(error) => error.into(),
                    Ended::Gone => RouterError::Program,
                    Ended::Unfit(what) => RouterError::Unfit(what),
                });
            }
            Happening::Reply(..) => {}
        }
        Ok(())
    }

    async fn route(
        &mut self,
        mut stop: Pin<&mut impl Future<Output = ()>>,
    ) -> Result<(), RouterError> {
        loop {
            tokio::select! {
                biased;
                () = &mut stop => return Ok(()),
                routed = self.step() => routed?,
            }
        }
    }

    /// Takes nothing new, and waits until what was taken is settled and its publishers were told, but not for ever.
    async fn settle(&mut self, until: Instant) -> Result<(), RouterError> {
        self.router.end();
        self.carry_out();
        while !self.router.is_quiet() {
            match tokio::time::timeout_at(until, self.step()).await {
                Ok(stepped) => stepped?,
                Err(_) => break,
            }
            self.carry_out();
        }
        Ok(())
    }

    /// Does what is to be done, and takes what comes next. Cancel-safe: nothing that has come is lost.
    async fn step(&mut self) -> Result<(), RouterError> {
        let now = self.driver.now();
        if self.router.next_timeout().is_some_and(|due| due <= now) {
            self.router.on_timeout(now);
        }
        self.carry_out();
        self.driver.flush()?;
        let due = self.router.next_timeout();
        let due = due.map(|due| Instant::now() + due.saturating_sub(now));
        let wake = (self.measured + MEASURED_EVERY).min(due.unwrap_or_else(far));
        tokio::select! {
            biased;
            event = self.driver.next() => {
                let event = event?;
                self.on_link(event);
            }
            happening = self.program.next() => self.on_program(happening),
            event = next_of(&mut self.spill) => self.router.on_spill(event),
            () = tokio::time::sleep_until(wake) => {}
        }
        self.take_what_is_there();
        if self.measured.elapsed() >= MEASURED_EVERY {
            self.measure();
        }
        Ok(())
    }

    /// Whatever else is at hand is dealt with before anything is sent: a wake-up costs more than a frame.
    fn take_what_is_there(&mut self) {
        while let Some(event) = self.driver.try_next() {
            self.on_link(event);
        }
        let now = self.driver.now();
        while let Some((token, reply)) = self.program.try_reply() {
            self.router.on_reply(now, token, reply);
        }
        while let Some(event) = self.spill.as_mut().and_then(Spill::try_next) {
            self.router.on_spill(event);
        }
    }

    fn on_link(&mut self, event: LinkEvent) {
        let news = match &event {
            LinkEvent::Established { peer, role, .. } => Some(RouterNews::Established {
                peer: *peer,
                role: *role,
            }),
            LinkEvent::Closed { link, reason } => Some(RouterNews::Closed {
                link: *link,
                reason: reason.to_string(),
            }),
            LinkEvent::Refused { reason } => Some(RouterNews::TurnedAway {
                reason: reason.clone(),
            }),
            _ => None,
        };
        news.into_iter().for_each(&mut self.news);
        self.router.on_event(self.driver.now(), event);
    }

    fn on_program(&mut self, happening: Happening) {
        match happening {
            Happening::Reply(token, reply) => {
                self.router.on_reply(self.driver.now(), token, reply);
            }
            Happening::Started { program, tee } => self.on_started(program, tee),
            Happening::Ended { why, pause } => {
                let why = match why {
                    Ended::Launch(error) => error.to_string(),
                    Ended::Gone => "it has ended".into(),
                    Ended::Unfit(what) => format!("it is another program or version: {what}"),
                };
                self.router.on_program_lost();
                (self.news)(RouterNews::ProgramLost { why, pause });
            }
        }
    }

    fn on_started(&mut self, program: String, tee: String) {
        self.router.on_program(tee.clone());
        (self.news)(RouterNews::Program { program, tee });
    }

    fn measure(&mut self) {
        self.measured = Instant::now();
        (self.news)(RouterNews::Measured {
            counters: Box::new(self.router.counters()),
            gauges: Gauges {
                store_bytes: self.spill.as_ref().map_or(0, Spill::bytes),
                ..self.router.gauges()
            },
        });
    }

    fn carry_out(&mut self) {
        loop {
            let outputs = self.router.take_outputs();
            if outputs.is_empty() {
                return;
            }
            for output in outputs {
                self.carry_out_one(output);
            }
        }
    }

    fn carry_out_one(&mut self, output: Output) {
        let Self {
            router,
            driver,
            program,
            spill,
            ..
        } = self;
        match (output, spill) {
            (
                Output::Send {
                    link,
                    class,
                    frame,
                    token,
                },
                _,
            ) => {
                let send = |frame| driver.send(link, class, frame, token);
                router.deliver(link, class, frame, token, send);
            }
            (Output::Call { token, request }, _) => program.call(token, request),
            (Output::Release { link, class, bytes }, _) => driver.release(link, class, bytes),
            (Output::Close { link, reason }, _) => driver.close(link, reason),
            (output, Some(spill)) => to_store(spill, output),
            // A router that was told of no store asks nothing of one.
            (_, None) => {}
        }
    }
}

fn to_store(spill: &mut Spill, output: Output) {
    match output {
        Output::Store {
            mailbox,
            token,
            record,
        } => spill.append(mailbox, token, record),
        Output::Fetch { mailbox, bytes_max } => spill.fetch(mailbox, bytes_max),
        Output::Rewind { mailbox } => spill.rewind(mailbox),
        Output::Trim {
            mailbox,
            session,
            counter,
        } => spill.trim(mailbox, session, counter),
        Output::Discard { mailbox } => spill.discard(mailbox),
        _ => {}
    }
}

/// What the store says next; nothing ever without one.
async fn next_of(spill: &mut Option<Spill>) -> SpillEvent {
    match spill {
        Some(spill) => spill.next().await,
        None => std::future::pending().await,
    }
}

/// A time that does not come.
fn far() -> Instant {
    Instant::now() + Duration::from_secs(24 * 3600)
}
