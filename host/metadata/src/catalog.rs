//! The catalogue as its callers hold it: an engine, and the way to have it run an operation.

use core::fmt::Debug;
use core::future::Future;
use core::pin::Pin;
use std::path::Path;
use std::sync::Arc;

use crate::CatalogError;
use crate::postgres::Postgres;
use crate::sqlite::{Memory, Sqlite};
use crate::transaction::Transaction;

/// The catalogue of one store, or of several that share a PostgreSQL server. Cheap to clone.
///
/// Every method is one transaction, and what it did is durable when it returns. A method whose future is dropped before it has returned
/// was done or was not, and never in part. Times are milliseconds of a clock that the callers share; nothing here reads one. Of counts,
/// sizes and times, what is beyond 2^63 - 1 is kept as that.
///
/// Each method can fail with [`CatalogError::Unavailable`] and [`CatalogError::Corrupt`], besides what it names.
#[derive(Clone, Debug)]
pub struct Catalog {
    engine: Arc<Engine>,
    link: Option<Arc<dyn Link>>,
}

/// What lies between a catalogue in memory and whoever holds it, where a simulation puts something there.
pub trait Link: Debug + Send + Sync {
    /// Whether a call reaches the catalogue.
    fn carries_call(&self) -> bool;

    /// Whether the answer to a call that was carried out comes back.
    fn carries_answer(&self) -> bool;
}

#[derive(Debug)]
enum Engine {
    Sqlite(Sqlite),
    Memory(Memory),
    Postgres(Box<Postgres>),
}

/// A running operation.
pub(crate) type Running<'a, R> = Pin<Box<dyn Future<Output = Result<R, CatalogError>> + Send + 'a>>;

/// An operation over its arguments. It may be run again from the start when the database asks for that, so it changes nothing but the
/// transaction.
pub(crate) type Operation<A, R> = for<'a> fn(&'a mut dyn Transaction, &'a A) -> Running<'a, R>;

/// How much an operation reads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Reach {
    /// A few rows by their keys, in one statement: microseconds.
    Point,
    /// Many rows, or several statements that must see one state.
    Scan,
}

impl Catalog {
    /// Opens the database in the file `path`, and makes it if it is not there. One process at a time should write to it.
    ///
    /// # Errors
    /// `Unavailable` if the file cannot be opened or another process holds it for more than five seconds, `NewerSchema`.
    pub async fn sqlite(path: &Path) -> Result<Self, CatalogError> {
        Ok(Self::of(Engine::Sqlite(Sqlite::open(path)?)))
    }

    /// Connects to a PostgreSQL server (15 or newer), `postgresql://user:password@host:port/database`, and makes the tables in the
    /// schema that comes first in its search path if they are not there.
    ///
    /// The server needs its defaults `fsync` and `synchronous_commit`, or what is answered may be lost with it. The connections are not
    /// encrypted yet: use a unix socket, the loopback, or a network that keeps others out.
    ///
    /// # Errors
    /// `Unavailable` if the server cannot be reached or refuses, `NewerSchema`.
    pub async fn postgres(url: &str) -> Result<Self, CatalogError> {
        Ok(Self::of(Engine::Postgres(Box::new(
            Postgres::connect(url).await?,
        ))))
    }

    /// An empty catalogue in memory, gone with its last clone. Each operation runs at once on the calling task, so that a simulation
    /// that makes the same calls sees the same answers; and then lets other tasks run before it returns, so that its caller can be
    /// dropped between what was done and the answer, as with the other engines.
    ///
    /// # Errors
    /// `Unavailable` if there is no memory left.
    pub fn sqlite_in_memory() -> Result<Self, CatalogError> {
        Ok(Self::of(Engine::Memory(Memory::open()?)))
    }

    /// The same catalogue, reached over `link`. Of a catalogue that is not in memory the link is not asked.
    #[must_use]
    pub fn over(&self, link: Arc<dyn Link>) -> Self {
        Self {
            engine: Arc::clone(&self.engine),
            link: Some(link),
        }
    }

    fn of(engine: Engine) -> Self {
        Self {
            engine: Arc::new(engine),
            link: None,
        }
    }

    async fn in_memory<A, R>(
        &self,
        engine: &Memory,
        args: &A,
        operation: Operation<A, R>,
    ) -> Result<R, CatalogError> {
        let link = self.link.as_ref();
        let is_reached = link.is_none_or(|it| it.carries_call());
        let result = is_reached.then(|| engine.run(args, operation));
        tokio::task::yield_now().await;
        result
            .filter(|_| link.is_none_or(|it| it.carries_answer()))
            .unwrap_or_else(|| Err(CatalogError::Unavailable("it does not answer".to_owned())))
    }

    /// Runs an operation that changes something.
    pub(crate) async fn write<A, R>(
        &self,
        args: A,
        operation: Operation<A, R>,
    ) -> Result<R, CatalogError>
    where
        A: Send + Sync + 'static,
        R: Send + 'static,
    {
        match &*self.engine {
            Engine::Sqlite(engine) => engine.write(args, operation).await,
            Engine::Memory(engine) => self.in_memory(engine, &args, operation).await,
            Engine::Postgres(engine) => engine.write(&args, operation).await,
        }
    }

    /// Runs an operation that only reads.
    pub(crate) async fn read<A, R>(
        &self,
        reach: Reach,
        args: A,
        operation: Operation<A, R>,
    ) -> Result<R, CatalogError>
    where
        A: Send + Sync + 'static,
        R: Send + 'static,
    {
        match &*self.engine {
            Engine::Sqlite(engine) => engine.read(reach, args, operation).await,
            Engine::Memory(engine) => self.in_memory(engine, &args, operation).await,
            Engine::Postgres(engine) => engine.read(reach, &args, operation).await,
        }
    }
}
