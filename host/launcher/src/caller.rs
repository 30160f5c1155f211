//! Calls from many tasks at once to one program, which is started again when it has ended.
//!
//! Invariant: a call gets its own reply or [`DoorClosed`]; at most [`IN_FLIGHT_MAX`] calls are under way. A program that was started again
//! holds no keys: whoever calls is refused until an owner has provisioned it.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use bytes::Bytes;
use sc_enclave::Program;
use tokio::sync::{Semaphore, mpsc, oneshot};

use crate::door::{Body, Door, DoorClosed, IN_FLIGHT_MAX};
use crate::{LaunchError, Platform};

/// Before a program that has ended is started again, and between tries to.
const RESTART_PAUSE: Duration = Duration::from_millis(200);
/// A program inside this process answers a call of at most so many bytes where the caller is: less than what a hop to another thread costs.
const SHORT_BYTES: usize = 16 << 10;

/// One call, and where its reply goes.
struct Waiting {
    request: Body,
    reply: oneshot::Sender<Result<Bytes, DoorClosed>>,
}

/// A handle to a running program. Cheap to clone.
#[derive(Clone)]
pub struct Caller {
    way: Way,
    permits: Arc<Semaphore>,
    starts: Arc<AtomicU64>,
}

#[derive(Clone)]
enum Way {
    /// Through the door of a child, whose task this leads to.
    Door(mpsc::Sender<Waiting>),
    /// In this process; calls of at most so many bytes where the caller is, longer ones on a thread of their own.
    Inline(Arc<dyn Program>, fn(&mut [u8]), usize),
}

impl Caller {
    /// Starts a program. Must be called inside a Tokio runtime, which ends the program when it ends.
    ///
    /// # Errors
    /// [`LaunchError`], of the first start. Later ones are tried for ever.
    pub fn start(platform: Platform) -> Result<Self, LaunchError> {
        let starts = Arc::new(AtomicU64::new(1));
        let way = match platform {
            Platform::Inline { program, entropy } => Way::Inline(program, entropy, SHORT_BYTES),
            platform => {
                let door = Door::start(platform.clone())?;
                let (calls, waiting) = mpsc::channel(IN_FLIGHT_MAX);
                tokio::spawn(keep(platform, door, waiting, Arc::clone(&starts)));
                Way::Door(calls)
            }
        };
        Ok(Self {
            way,
            permits: Arc::new(Semaphore::new(IN_FLIGHT_MAX)),
            starts,
        })
    }

    /// A program in this process that answers every call where the caller is, however long it takes: for simulations, in which one thread
    /// does everything in an order that can be had again.
    #[must_use]
    pub fn in_step(program: Arc<dyn Program>, entropy: fn(&mut [u8])) -> Self {
        Self {
            way: Way::Inline(program, entropy, usize::MAX),
            permits: Arc::new(Semaphore::new(IN_FLIGHT_MAX)),
            starts: Arc::new(AtomicU64::new(1)),
        }
    }

    /// How often the program was started: a program that was started again knows nothing any more.
    #[must_use]
    pub fn starts(&self) -> u64 {
        self.starts.load(Relaxed)
    }

    /// Makes a call and waits for its reply. Dropping the future gives up the reply, not the call.
    ///
    /// # Errors
    /// [`DoorClosed`] when the program ended before it replied; another try reaches the next one.
    pub async fn call(&self, request: impl Into<Body>) -> Result<Bytes, DoorClosed> {
        let request = request.into();
        let permit = Arc::clone(&self.permits).acquire_owned().await;
        let permit = permit.expect("the semaphore is never closed");
        match &self.way {
            Way::Inline(program, entropy, here_bytes) if request.len() <= *here_bytes => {
                let entropy = *entropy;
                Ok(program.handle(request.whole(), &mut { entropy }))
            }
            Way::Inline(program, entropy, _) => {
                let (program, entropy) = (Arc::clone(program), *entropy);
                let work = tokio::task::spawn_blocking(move || {
                    let _permit = permit;
                    program.handle(request.whole(), &mut { entropy })
                });
                work.await.map_err(|_| DoorClosed)
            }
            Way::Door(calls) => {
                let (reply, answer) = oneshot::channel();
                let waiting = Waiting { request, reply };
                calls.send(waiting).await.map_err(|_| DoorClosed)?;
                answer.await.map_err(|_| DoorClosed)?
            }
        }
    }
}

/// Carries calls to one program after another, until nobody calls any more.
async fn keep(
    platform: Platform,
    door: Door,
    mut calls: mpsc::Receiver<Waiting>,
    starts: Arc<AtomicU64>,
) {
    let mut door = Some(door);
    loop {
        match door.take() {
            Some(open) => {
                if carry(open, &mut calls).await.is_break() {
                    return;
                }
                tracing::error!("the trusted program ended; starting it again");
                tokio::time::sleep(RESTART_PAUSE).await;
            }
            None => match Door::start(platform.clone()) {
                Ok(again) => {
                    starts.fetch_add(1, Relaxed);
                    door = Some(again);
                }
                Err(error) => {
                    tracing::error!(%error, "the trusted program does not start again");
                    fail_waiting(&mut calls);
                    tokio::time::sleep(RESTART_PAUSE).await;
                }
            },
        }
    }
}

/// Carries calls until the program ends, or until nobody calls any more.
async fn carry(mut door: Door, calls: &mut mpsc::Receiver<Waiting>) -> std::ops::ControlFlow<()> {
    let mut pending: HashMap<u64, oneshot::Sender<Result<Bytes, DoorClosed>>> = HashMap::new();
    let mut token = 0;
    loop {
        tokio::select! {
            reply = door.reply() => match reply {
                Ok((token, reply)) => {
                    if let Some(waiting) = pending.remove(&token) {
                        // Whoever gave up does not hear of it.
                        let _ = waiting.send(Ok(reply));
                    }
                }
                Err(DoorClosed) => return std::ops::ControlFlow::Continue(()),
            },
            call = calls.recv(), if pending.len() < IN_FLIGHT_MAX => match call {
                Some(call) => {
                    token += 1;
                    if door.call_with(token, call.request).is_err() {
                        let _ = call.reply.send(Err(DoorClosed));
                        return std::ops::ControlFlow::Continue(());
                    }
                    pending.insert(token, call.reply);
                }
                None => return std::ops::ControlFlow::Break(()),
            },
        }
    }
}

fn fail_waiting(calls: &mut mpsc::Receiver<Waiting>) {
    while let Ok(call) = calls.try_recv() {
        let _ = call.reply.send(Err(DoorClosed));
    }
}
