//! Fragments at a backend elsewhere, over a link.
//!
//! [`Remote`] asks, [`BackendService`] answers; both links have the numbers of [`rpc_settings`]. Nothing is asked twice here: a call
//! whose fate is unknown is unavailable, and whoever made it repeats it, which the contract of [`Backend`] makes safe.
//! Invariant: what a peer answers is parsed and held against what was asked before it is believed.
//! Source: docs/FORMATS.md, "Backends at a distance".

mod message;
mod service;

use std::fmt;
use std::ops::Range;
use std::time::Duration;

use bytes::Bytes;
use sc_transport::{
    Admission, Endpoint, EndpointError, Frame, LinkKeys, LinkSigner, LinkState, RPC_HEAD_MAX,
    Requester, Role, RpcError, RpcSettings,
};

use self::message::{Answer, Call, PAGE_MAX, Request};
pub use self::service::BackendService;
use crate::recoding::SCALARS_MAX;
use crate::{Backend, BackendError, Description, FragmentName, Listed, LocationId, Reply, Usage};

/// Longest body that travels, in bytes: a body is one frame, and those of segments have at most 8 MiB and a header.
pub const REMOTE_BYTES_MAX: u64 = 32 * 1024 * 1024;

/// So long a call waits for a link that is down.
const LINK_PATIENCE: Duration = Duration::from_millis(500);

/// The numbers of links that carry fragments, for the store's requester and the backend's responder alike: frames with room for any
/// body that travels, and credit for two of the longest or seven of those of full segments on their way.
#[must_use]
pub fn rpc_settings() -> RpcSettings {
    RpcSettings {
        max_frame: REMOTE_BYTES_MAX + RPC_HEAD_MAX as u64,
        data_window: 2 * REMOTE_BYTES_MAX + (1 << 20),
        ..RpcSettings::default()
    }
}

/// A location at a backend elsewhere. Used within a tokio runtime.
///
/// It takes bodies of up to [`REMOTE_BYTES_MAX`]. A longer fragment that got there otherwise is listed, deleted, and read in ranges.
pub struct Remote {
    requester: Requester,
    endpoint: Endpoint,
    deadline: Duration,
    /// Which location answers are taken from.
    expected: Option<LocationId>,
}

impl Remote {
    /// Opens a link in the role of a store to whoever of `expected` answers at `endpoint`; a backend that is not there yet is no error.
    /// Each call ends within `deadline`.
    ///
    /// # Errors
    /// The endpoint cannot be used; the message names the fix.
    pub async fn connect(
        endpoint: &Endpoint,
        keys: Option<&LinkKeys>,
        signer: impl LinkSigner + 'static,
        expected: Admission,
        deadline: Duration,
    ) -> Result<Self, EndpointError> {
        let settings = rpc_settings();
        let requester =
            Requester::connect(endpoint, keys, Role::Store, signer, expected, settings).await?;
        Ok(Self::over(requester, endpoint.clone(), deadline))
    }

    /// The same over a `requester` that was made with [`rpc_settings`]; errors name `endpoint`.
    #[must_use]
    pub fn over(requester: Requester, endpoint: Endpoint, deadline: Duration) -> Self {
        Self {
            requester,
            endpoint,
            deadline,
            expected: None,
        }
    }

    /// The same, for the location `id` alone: while another one answers there, every call is refused, by the backend itself.
    #[must_use]
    pub fn only(mut self, id: LocationId) -> Self {
        self.expected = Some(id);
        self
    }
}

impl fmt::Debug for Remote {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "Remote({})", self.endpoint)
    }
}

impl Backend for Remote {
    fn describe<'a>(&'a self) -> Reply<'a, Description> {
        Box::pin(async move {
            match self.ask(Request::Describe).await? {
                Answer::Description(description) => Ok(description),
                _ => Err(self.mistaken()),
            }
        })
    }

    fn put<'a>(&'a self, name: &'a FragmentName, body: Bytes) -> Reply<'a, ()> {
        Box::pin(async move {
            let bytes = body.len() as u64;
            if bytes > REMOTE_BYTES_MAX {
                return Err(BackendError::TooLarge { bytes });
            }
            match self.ask(Request::Put(name.clone(), body)).await? {
                Answer::Stored => Ok(()),
                _ => Err(self.mistaken()),
            }
        })
    }

    fn get<'a>(&'a self, name: &'a FragmentName) -> Reply<'a, Bytes> {
        Box::pin(async move {
            match self.ask(Request::Get(name.clone())).await? {
                Answer::Body(body) => Ok(body),
                _ => Err(self.mistaken()),
            }
        })
    }

    fn read<'a>(&'a self, name: &'a FragmentName, range: Range<u64>) -> Reply<'a, Bytes> {
        Box::pin(async move {
            let bytes = range.end.checked_sub(range.start);
            match self.ask(Request::Read(name.clone(), range)).await? {
                Answer::Body(body) if Some(body.len() as u64) == bytes => Ok(body),
                _ => Err(self.mistaken()),
            }
        })
    }

    fn recode<'a>(&'a self, name: &'a FragmentName, scalars: Bytes) -> Reply<'a, Bytes> {
        Box::pin(async move {
            if scalars.len() > SCALARS_MAX {
                let why = format!("{} scalars", scalars.len());
                return Err(BackendError::Unsupported(why));
            }
            match self.ask(Request::Recode(name.clone(), scalars)).await? {
                Answer::Recoded(packets) => Ok(packets),
                _ => Err(self.mistaken()),
            }
        })
    }

    fn delete<'a>(&'a self, name: &'a FragmentName) -> Reply<'a, bool> {
        Box::pin(async move {
            match self.ask(Request::Delete(name.clone())).await? {
                Answer::Deleted(existed) => Ok(existed),
                _ => Err(self.mistaken()),
            }
        })
    }

    fn list<'a>(&'a self, after: Option<&'a FragmentName>, limit: usize) -> Reply<'a, Vec<Listed>> {
        Box::pin(async move {
            let limit = limit.min(PAGE_MAX);
            let request = Request::List {
                after: after.cloned(),
                limit,
            };
            match self.ask(request).await? {
                // A page that went back would have its reader go round for ever.
                Answer::Page(page)
                    if page.len() <= limit
                        && page.first().is_none_or(|first| Some(&first.name) > after) =>
                {
                    Ok(page)
                }
                _ => Err(self.mistaken()),
            }
        })
    }

    fn usage<'a>(&'a self) -> Reply<'a, Usage> {
        Box::pin(async move {
            match self.ask(Request::Usage).await? {
                Answer::Usage(usage) => Ok(usage),
                _ => Err(self.mistaken()),
            }
        })
    }
}

impl Remote {
    /// Makes one call. An error that the backend tells of its own state names the endpoint, as do those of the link.
    async fn ask(&self, request: Request) -> Result<Answer, BackendError> {
        let frame = Frame::from(Call {
            location: self.expected,
            request,
        });
        let bytes = frame.len() - frame.head.len() as u64;
        self.linked().await?;
        let reply = self.requester.call(frame, self.deadline).await;
        let reply = reply.map_err(|error| self.failed(error, bytes))?;
        match Answer::try_from(reply) {
            Ok(Answer::Problem(error)) => Err(self.told(error)),
            Ok(answer) => Ok(answer),
            Err(malformed) => Err(self.unavailable(&malformed)),
        }
    }

    /// Waits for a link, but not long: a store has other locations.
    async fn linked(&self) -> Result<(), BackendError> {
        let mut state = self.requester.state();
        let settled = state.wait_for(|state| !matches!(state, LinkState::Down { .. }));
        if tokio::time::timeout(LINK_PATIENCE, settled).await.is_ok() {
            return Ok(());
        }
        match &*state.borrow() {
            LinkState::Down { why: Some(why) } => {
                Err(self.unavailable(&format_args!("there is no link: {why}")))
            }
            _ => Err(self.unavailable(&"there is no link")),
        }
    }

    /// Why a call has no reply, whose request has a body of `bytes` bytes.
    fn failed(&self, error: RpcError, bytes: u64) -> BackendError {
        if matches!(error, RpcError::TooLarge { size, .. } if size > 0) {
            return BackendError::TooLarge { bytes };
        }
        let state = self.requester.state();
        match &*state.borrow() {
            LinkState::Down { why: Some(why) } => {
                self.unavailable(&format_args!("{error}; there is no link: {why}"))
            }
            _ => self.unavailable(&error),
        }
    }

    fn told(&self, error: BackendError) -> BackendError {
        let endpoint = &self.endpoint;
        match error {
            BackendError::Full(why) => BackendError::Full(format!("{endpoint}: {why}")),
            BackendError::Unavailable(why) => self.unavailable(&why),
            BackendError::Corrupt(why) => BackendError::Corrupt(format!("{endpoint}: {why}")),
            BackendError::Unsupported(why) => {
                BackendError::Unsupported(format!("{endpoint}: {why}"))
            }
            other => other,
        }
    }

    /// The backend answered something else than it was asked.
    fn mistaken(&self) -> BackendError {
        self.unavailable(&"the answer does not belong to the request")
    }

    fn unavailable(&self, why: &dyn fmt::Display) -> BackendError {
        BackendError::Unavailable(format!("{}: {why}", self.endpoint))
    }
}
