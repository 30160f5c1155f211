//! A backend's side of the requests of stores.
//!
//! Invariant: every request is answered, and nothing of it reaches the backend before all of it was parsed.

use std::sync::Arc;

use bytes::Bytes;
use sc_transport::{Frame, Handler, PeerKey};

use super::REMOTE_BYTES_MAX;
use super::message::{Answer, Call, Request};
use crate::{Backend, BackendError};

/// Answers the requests of stores with one backend. Who gets this far is up to the admission of the responder that runs it.
#[derive(Clone)]
pub struct BackendService(Arc<dyn Backend>);

impl BackendService {
    /// Opens `backend` to stores elsewhere.
    #[must_use]
    pub fn new(backend: Arc<dyn Backend>) -> Self {
        Self(backend)
    }

    /// Carries one request out. What is none is answered as unavailable.
    pub async fn answer(&self, request: Frame) -> Frame {
        let answer = match Call::try_from(request) {
            Ok(call) => self.carry_out(call).await,
            Err(malformed) => Err(BackendError::Unavailable(malformed.to_string())),
        };
        answer.unwrap_or_else(Answer::Problem).into()
    }

    async fn carry_out(&self, call: Call) -> Result<Answer, BackendError> {
        let backend = &self.0;
        if let Some(meant) = call.location {
            let here = backend.describe().await?.id;
            if here != meant {
                let why = format!("location {here} is here, and not {meant}: mount the right disk");
                return Err(BackendError::Unavailable(why));
            }
        }
        match call.request {
            Request::Put(name, body) => backend.put(&name, body).await.map(|()| Answer::Stored),
            Request::Get(name) => portable(backend.get(&name).await?).map(Answer::Body),
            Request::Read(name, range) => {
                portable(backend.read(&name, range).await?).map(Answer::Body)
            }
            Request::Recode(name, scalars) => {
                portable(backend.recode(&name, scalars).await?).map(Answer::Recoded)
            }
            Request::Delete(name) => backend.delete(&name).await.map(Answer::Deleted),
            Request::List { after, limit } => {
                let listed = backend.list(after.as_ref(), limit).await;
                listed.map(Answer::Page)
            }
            Request::Usage => backend.usage().await.map(Answer::Usage),
            Request::Describe => backend.describe().await.map(Answer::Description),
        }
    }
}

impl std::fmt::Debug for BackendService {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.write_str("BackendService")
    }
}

impl Handler for BackendService {
    async fn handle(&self, _peer: PeerKey, request: Frame) -> Frame {
        self.answer(request).await
    }
}

/// The body, if a frame carries it: what was not stored by a remote may be longer.
fn portable(body: Bytes) -> Result<Bytes, BackendError> {
    let bytes = body.len() as u64;
    if bytes > REMOTE_BYTES_MAX {
        return Err(BackendError::TooLarge { bytes });
    }
    Ok(body)
}
