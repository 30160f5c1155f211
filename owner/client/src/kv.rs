//! The store's client: seals what it asks for and what it stores, and opens what comes back.
//!
//! Invariant: the store learns an object's datastore, key, size and version, and nothing of its content, metadata or tags; what it answers is
//! believed only as far as the tenant's coder has sealed it.
//! Source: docs/FORMATS.md, "Storage: requests".

mod administration;
mod credentials;
mod listing;
mod objects;
mod owner;
mod reading;
mod session;
mod uploads;

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use sc_crypto::{Entropy as _, NotAuthentic, Plaintext};
use sc_proto::store::{self, problem::Code};
use sc_transport::{Frame, Requester, RpcError};

pub use administration::{DatastoreChange, DatastoreOptions};
pub use credentials::{Credentials, CredentialsError};
pub use listing::{Deleted, ListOptions, Listing, UploadEntry};
pub use objects::{Condition, Metadata, ObjectBody, PutOptions, Receipt};
pub use owner::{AgentError, CoderState, OwnerAgent, Roots, RootsFileError};
pub use reading::{ObjectReader, RANGE_WHOLE};
pub use uploads::{PartReceipt, Upload};

/// What a version is: the part of its manifest that listings and HEAD return.
pub use sc_proto::storage::{Head, Pair};

use session::Sessions;

/// How long one request to the store may take.
pub const DEADLINE: Duration = Duration::from_secs(60);

/// A boxed answer of a [`StoreLink`].
pub type LinkReply<'a> =
    std::pin::Pin<Box<dyn Future<Output = Result<Frame, RpcError>> + Send + 'a>>;

/// Fills a buffer with random bytes.
pub type EntropySource = fn(&mut [u8]);

/// The way to a store.
pub trait StoreLink: Send + Sync + 'static {
    /// Sends `request` and waits for its reply until `deadline` has passed.
    fn call(&self, request: Frame, deadline: Duration) -> LinkReply<'_>;
}

impl StoreLink for Requester {
    fn call(&self, request: Frame, deadline: Duration) -> LinkReply<'_> {
        Box::pin(Requester::call(self, request, deadline))
    }
}

/// Why a request was not done.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum KvError {
    /// The store's word; [`Code`] says who should act.
    #[error("{message}")]
    Problem {
        /// For programs.
        code: Code,
        /// For people.
        message: String,
    },
    /// The store was not reached, or did not answer.
    #[error("the store does not answer: {0}")]
    Link(#[from] RpcError),
    /// What came back was not sealed by a coder of this tenant for this request: never retry.
    #[error("the store's answer is not authentic")]
    NotAuthentic,
    /// What came back is no answer to what was asked.
    #[error("the store's answer is malformed: {0}")]
    Malformed(&'static str),
    /// The body to be stored ended early or could not be read.
    #[error("the object's content cannot be read: {0}")]
    Body(#[source] std::io::Error),
}

impl From<NotAuthentic> for KvError {
    fn from(_: NotAuthentic) -> Self {
        Self::NotAuthentic
    }
}

impl KvError {
    /// The store's code, if it is the store that refused.
    #[must_use]
    pub fn code(&self) -> Option<Code> {
        match self {
            Self::Problem { code, .. } => Some(*code),
            _ => None,
        }
    }
}

/// A client of one tenant's store. Cheap to clone; requests of all clones run at once.
#[derive(Clone)]
pub struct KvClient {
    link: Arc<dyn StoreLink>,
    sessions: Arc<Sessions>,
}

/// An answer, with what the coder sealed in it opened.
pub(crate) struct Answer {
    pub(crate) done: store::Done,
    /// What the coder has sealed; empty where it only says that the request was taken.
    pub(crate) sealed: Plaintext,
    /// Plaintext of the chunks, in order.
    pub(crate) chunks: Vec<(u64, Bytes)>,
}

impl KvClient {
    /// A client that reaches the store over `link`, with these credentials. Nothing is sent before something is asked.
    #[must_use]
    pub fn new(link: impl StoreLink, credentials: Credentials) -> Self {
        Self::with_entropy(link, credentials, from_system)
    }

    /// The same, with random bytes from elsewhere than the operating system: for simulations alone.
    #[must_use]
    pub fn with_entropy(
        link: impl StoreLink,
        credentials: Credentials,
        entropy: EntropySource,
    ) -> Self {
        Self {
            link: Arc::new(link),
            sessions: Arc::new(Sessions::new(credentials, entropy)),
        }
    }

    /// Sixteen random bytes: the id of a version that is to be.
    pub(crate) fn draw_version(&self) -> [u8; 16] {
        let mut version = [0; 16];
        self.sessions.fill(&mut version);
        version
    }

    /// The tenant whose store this is.
    #[must_use]
    pub fn tenant(&self) -> [u8; 32] {
        self.sessions.tenant()
    }

    /// Opens a session if there is none: whether the store is there, knows the tenant and takes the certificate.
    ///
    /// # Errors
    /// [`KvError`], as any request.
    pub async fn check(&self) -> Result<(), KvError> {
        self.sessions.current(&*self.link).await.map(drop)
    }
}

pub(crate) fn from_system(bytes: &mut [u8]) {
    crate::shell::OsEntropy.fill(bytes);
}
