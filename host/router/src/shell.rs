//! The loop around the core: one socket, one trusted program, one thread.

use std::io;
use std::pin::Pin;
use std::time::Duration;

use bytes::Bytes;
use prost::Message;
use sc_launcher::{Door, DoorClosed};
use sc_proto::cbr::{self, call, reply};
use sc_transport::{Driver, LinkEvent, LinkId, Links, PeerKey, Role};

use crate::router::{Counters, Output, Router};

/// How long frames that were taken may need to reach their consumers when the router is asked to end.
const PATIENCE: Duration = Duration::from_secs(5);

/// The name by which the routing program calls itself.
const PROGRAM: &str = "sc-cbr";

/// Why a router ended that was not asked to.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RouterError {
    /// The socket is gone.
    #[error("the socket failed: {0}")]
    Socket(#[from] io::Error),
    /// The trusted program is gone, and every session with it.
    #[error(
        "{0}; every session in it is lost: start the router again and its publishers will provision it anew"
    )]
    Program(#[from] DoorClosed),
    /// What answers is not the routing program of this version.
    #[error("the trusted program is not the routing program of this version: {0}")]
    Unfit(String),
}

/// What an operator may want to see happen.
#[derive(Debug)]
#[non_exhaustive]
pub enum RouterNews {
    /// The trusted program has said what it is.
    Program {
        /// Its name and version.
        program: String,
        /// The line that says what protects it.
        tee: String,
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
}

/// Routes until `stop` completes; then takes nothing new, delivers what it has, and returns what has happened.
///
/// # Errors
/// [`RouterError`]: socket or program have failed.
pub async fn serve(
    mut router: Router,
    mut driver: Driver<Links>,
    mut door: Door,
    stop: impl Future<Output = ()>,
    mut news: impl FnMut(RouterNews),
) -> Result<Counters, RouterError> {
    tokio::pin!(stop);
    tokio::select! {
        biased;
        () = &mut stop => return Ok(router.counters()),
        described = describe(&mut door) => {
            let (program, tee) = described?;
            router.set_tee(tee.clone());
            news(RouterNews::Program { program, tee });
        }
    }
    let routed = route(&mut router, &mut driver, &mut door, stop, &mut news).await;
    // Peers hear at once that nobody is here any more, rather than wait in vain.
    let (reason, patience) = match &routed {
        Ok(()) => ("the router is shutting down", PATIENCE),
        Err(_) => ("the router has failed", Duration::ZERO),
    };
    driver.shut_down(reason, patience).await;
    routed.map(|()| router.counters())
}

async fn route(
    router: &mut Router,
    driver: &mut Driver<Links>,
    door: &mut Door,
    mut stop: Pin<&mut impl Future<Output = ()>>,
    news: &mut impl FnMut(RouterNews),
) -> Result<(), RouterError> {
    loop {
        tokio::select! {
            biased;
            () = &mut stop => return Ok(()),
            event = driver.next() => on_event(router, event?, news),
            reply = door.reply() => {
                let (token, reply) = reply?;
                router.on_reply(token, reply);
            }
        }
        // Whatever else is at hand is dealt with before anything is sent: a wake-up costs more than a frame.
        while let Some(event) = driver.try_next() {
            on_event(router, event, news);
        }
        while let Some((token, reply)) = door.try_reply() {
            router.on_reply(token, reply);
        }
        carry_out(router, driver, door)?;
        driver.flush()?;
    }
}

fn on_event(router: &mut Router, event: LinkEvent, news: &mut impl FnMut(RouterNews)) {
    match &event {
        LinkEvent::Established { peer, role, .. } => news(RouterNews::Established {
            peer: *peer,
            role: *role,
        }),
        LinkEvent::Closed { link, reason } => news(RouterNews::Closed {
            link: *link,
            reason: reason.to_string(),
        }),
        LinkEvent::Refused { reason } => news(RouterNews::TurnedAway {
            reason: reason.clone(),
        }),
        _ => {}
    }
    router.on_event(event);
}

fn carry_out(
    router: &mut Router,
    driver: &mut Driver<Links>,
    door: &Door,
) -> Result<(), RouterError> {
    loop {
        let outputs = router.take_outputs();
        if outputs.is_empty() {
            return Ok(());
        }
        for output in outputs {
            match output {
                Output::Send {
                    link,
                    class,
                    frame,
                    token,
                } => {
                    let available = driver.available(link, class);
                    let send = |frame| driver.send(link, class, frame, token);
                    router.deliver(link, class, frame, token, available, send);
                }
                Output::Call { token, request } => door.call(token, request)?,
                Output::Release { link, class, bytes } => driver.release(link, class, bytes),
                Output::Close { link, reason } => driver.close(link, reason),
            }
        }
    }
}

/// Asks the program what it is, before anything depends on it.
async fn describe(door: &mut Door) -> Result<(String, String), RouterError> {
    let call = cbr::Call {
        call: Some(call::Call::Describe(cbr::Describe {})),
    };
    door.call(0, call.encode_to_vec().into())?;
    let (_, reply): (u64, Bytes) = door.reply().await?;
    match cbr::Reply::decode(reply).ok().and_then(|reply| reply.reply) {
        Some(reply::Reply::Description(description))
            if description.program == PROGRAM
                && description.version == env!("CARGO_PKG_VERSION") =>
        {
            Ok((
                format!("{} {}", description.program, description.version),
                description.tee,
            ))
        }
        Some(reply::Reply::Description(other)) => Err(RouterError::Unfit(format!(
            "{} {}",
            other.program, other.version
        ))),
        _ => Err(RouterError::Unfit("it does not say what it is".into())),
    }
}
