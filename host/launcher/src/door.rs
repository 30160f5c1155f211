//! The host's end of a program's door: calls go in, replies come out in order.

use bytes::Bytes;
use tokio::sync::mpsc::{Receiver, Sender, error::TrySendError};

use crate::{LaunchError, Platform, inline, process};

/// Calls that may be under way at once; callers keep count, and hold further calls themselves.
pub const IN_FLIGHT_MAX: usize = 1024;

/// The program has ended, or its stream has broken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the trusted program has ended")]
pub struct DoorClosed;

/// What a call carries: one piece, or several that follow each other.
#[derive(Debug, Clone)]
pub enum Body {
    /// One piece.
    Whole(Bytes),
    /// Pieces that are large, and are not copied to stand in one.
    Pieces(Vec<Bytes>),
}

impl Body {
    /// Bytes of all pieces.
    pub(crate) fn len(&self) -> usize {
        match self {
            Self::Whole(bytes) => bytes.len(),
            Self::Pieces(pieces) => pieces.iter().map(Bytes::len).sum(),
        }
    }

    /// The pieces as one.
    pub(crate) fn whole(self) -> Bytes {
        match self {
            Self::Whole(bytes) => bytes,
            Self::Pieces(pieces) => pieces.concat().into(),
        }
    }
}

impl From<Bytes> for Body {
    fn from(bytes: Bytes) -> Self {
        Self::Whole(bytes)
    }
}

impl From<Vec<Bytes>> for Body {
    fn from(pieces: Vec<Bytes>) -> Self {
        Self::Pieces(pieces)
    }
}

/// A running program.
pub struct Door {
    pub(crate) calls: Sender<(u64, Body)>,
    pub(crate) replies: Receiver<(u64, Bytes)>,
}

impl Door {
    /// Starts a program. Must be called inside a Tokio runtime.
    ///
    /// # Errors
    /// [`LaunchError`]: what is missing and how to mend it.
    pub fn start(platform: Platform) -> Result<Self, LaunchError> {
        match platform {
            Platform::Inline { program, entropy } => Ok(inline::start(program, entropy)),
            Platform::Process { binary, arguments } => process::start(&binary, &arguments),
            Platform::GramineSgx { runner, binary } => process::start_in(&runner, &binary),
        }
    }

    /// Makes a call; its reply comes with the same token.
    ///
    /// # Errors
    /// [`DoorClosed`] when the program has ended.
    ///
    /// # Panics
    /// When more than [`IN_FLIGHT_MAX`] calls are under way.
    pub fn call(&self, token: u64, request: Bytes) -> Result<(), DoorClosed> {
        self.call_with(token, request.into())
    }

    /// As [`Self::call`], with a body in pieces.
    pub(crate) fn call_with(&self, token: u64, request: Body) -> Result<(), DoorClosed> {
        self.calls
            .try_send((token, request))
            .map_err(|error| match error {
                TrySendError::Closed(_) => DoorClosed,
                TrySendError::Full(_) => panic!("more than {IN_FLIGHT_MAX} calls are under way"),
            })
    }

    /// The next reply. Cancel-safe.
    ///
    /// # Errors
    /// [`DoorClosed`] when the program has ended and every reply that it made was taken.
    pub async fn reply(&mut self) -> Result<(u64, Bytes), DoorClosed> {
        self.replies.recv().await.ok_or(DoorClosed)
    }

    /// A reply that is there already.
    pub fn try_reply(&mut self) -> Option<(u64, Bytes)> {
        self.replies.try_recv().ok()
    }
}
