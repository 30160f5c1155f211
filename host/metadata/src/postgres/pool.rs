//! The connections to a server, lent to one operation at a time.

use std::sync::{Mutex, PoisonError};

use tokio::sync::{Semaphore, SemaphorePermit};
use tokio_postgres::Config;

use super::{Session, Try};
use crate::CatalogError;

/// Connections at a time; further operations wait for one. More would only wait for each other's locks and for the disk.
const CONNECTIONS_MAX: usize = 16;

/// Connections, opened when they are first needed and kept.
#[derive(Debug)]
pub(super) struct Pool {
    config: Config,
    permits: Semaphore,
    idle: Mutex<Vec<Session>>,
}

/// A connection that an operation has to itself. Dropped without being given back it is closed, and the server undoes what is open on it.
pub(super) struct Lent<'a> {
    pub(super) session: Session,
    _permit: SemaphorePermit<'a>,
}

impl Pool {
    pub(super) fn new(mut config: Config) -> Self {
        Session::configure(&mut config);
        Self {
            config,
            permits: Semaphore::new(CONNECTIONS_MAX),
            idle: Mutex::new(Vec::new()),
        }
    }

    /// Takes the schema to the number that this version knows.
    pub(super) async fn migrate(&self) -> Result<(), CatalogError> {
        Session::migrate(&self.config).await
    }

    pub(super) async fn take(&self) -> Result<Lent<'_>, CatalogError> {
        let permit = self.permits.acquire().await;
        let permit = permit.expect("nobody closes the semaphore");
        let idle = self.lock().pop().filter(|session| !session.is_closed());
        let session = match idle {
            Some(session) => session,
            None => Session::open(&self.config).await?,
        };
        Ok(Lent {
            session,
            _permit: permit,
        })
    }

    pub(super) fn give_back(&self, lent: Lent<'_>) {
        self.lock().push(lent.session);
    }

    /// Closes a connection that failed, and those that wait: what ended one has probably ended them too.
    pub(super) fn give_up<R>(&self, lent: Lent<'_>, error: CatalogError) -> Try<R> {
        drop(lent);
        self.forget_idle();
        Try::Again(error)
    }

    pub(super) fn forget_idle(&self) {
        self.lock().clear();
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Vec<Session>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
