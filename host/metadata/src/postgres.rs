//! The engine for scale: PostgreSQL, over a bounded number of connections.
//!
//! Invariant: an operation is done once, whatever happens to the connection. It is tried again only when it is known not to have been
//! committed: because the server undid it, because the connection was lost before its COMMIT was sent, or, after that, because the number
//! of the transaction is not in the session's row (see `fate.rs`). So no operation has to recognise its own earlier success.
//! Isolation is READ COMMITTED: operations lock the rows that they decide by, in the order of `transaction.rs`.

mod fate;
mod patience;
mod pool;
mod session;
mod statements;

use tokio_postgres::Config;

use self::patience::Patience;
use self::pool::Pool;
use self::session::Session;
use self::statements::{Statements, Trouble};
use crate::CatalogError;
use crate::catalog::{Operation, Reach};

/// A PostgreSQL server.
#[derive(Debug)]
pub(crate) struct Postgres {
    pool: Pool,
}

/// What came of one try.
enum Try<R> {
    /// This is the answer.
    Done(Result<R, CatalogError>),
    /// Nothing was done, for a reason that may pass.
    Again(CatalogError),
}

impl Postgres {
    pub(crate) async fn connect(url: &str) -> Result<Self, CatalogError> {
        let config: Config = url
            .parse()
            .map_err(|_| CatalogError::Invalid("this is no URL of a PostgreSQL server"))?;
        let pool = Pool::new(config);
        pool.migrate().await?;
        Ok(Self { pool })
    }

    pub(crate) async fn write<A, R>(
        &self,
        args: &A,
        operation: Operation<A, R>,
    ) -> Result<R, CatalogError>
    where
        A: Send + Sync,
        R: Send,
    {
        let mut patience = Patience::new();
        loop {
            match self.try_write(args, operation).await {
                Try::Done(result) => return result,
                Try::Again(error) => patience.wait(error).await?,
            }
        }
    }

    async fn try_write<A, R>(&self, args: &A, operation: Operation<A, R>) -> Try<R>
    where
        A: Send + Sync,
        R: Send,
    {
        let mut lent = match self.pool.take().await {
            Ok(lent) => lent,
            Err(error) => return Try::Again(error),
        };
        let transaction = match lent.session.begin().await {
            Ok(transaction) => transaction,
            Err(error) => return self.pool.give_up(lent, error),
        };
        let mut statements = Statements::new(&mut lent.session);
        let result = operation(&mut statements, args).await;
        let trouble = statements.into_trouble();
        let answer = match (trouble, result) {
            (None, Ok(answer)) => answer,
            (Some(Trouble::Lost(error)), _) => return self.pool.give_up(lent, error),
            (Some(Trouble::Conflict(error)), _) => {
                self.roll_back(lent).await;
                return Try::Again(error);
            }
            (Some(Trouble::Refused(error)), _) | (None, Err(error)) => {
                self.roll_back(lent).await;
                return Try::Done(Err(error));
            }
        };
        match lent.session.control("COMMIT").await {
            Ok(()) => {
                self.pool.give_back(lent);
                Try::Done(Ok(answer))
            }
            Err(Trouble::Conflict(error)) => {
                self.roll_back(lent).await;
                Try::Again(error)
            }
            Err(Trouble::Refused(error)) => {
                self.roll_back(lent).await;
                Try::Done(Err(error))
            }
            Err(Trouble::Lost(error)) => {
                let id = lent.session.id();
                tracing::warn!(%error, "the connection was lost during a commit");
                drop(lent);
                self.pool.forget_idle();
                match self.pool.was_committed(id, transaction).await {
                    Ok(true) => Try::Done(Ok(answer)),
                    Ok(false) => Try::Again(error),
                    Err(error) => Try::Done(Err(error)),
                }
            }
        }
    }

    pub(crate) async fn read<A, R>(
        &self,
        reach: Reach,
        args: &A,
        operation: Operation<A, R>,
    ) -> Result<R, CatalogError>
    where
        A: Send + Sync,
        R: Send,
    {
        let mut patience = Patience::new();
        loop {
            match self.try_read(reach, args, operation).await {
                Try::Done(result) => return result,
                Try::Again(error) => patience.wait(error).await?,
            }
        }
    }

    /// A single statement is a transaction of its own; several share one that sees one state. Reading twice does no harm.
    async fn try_read<A, R>(&self, reach: Reach, args: &A, operation: Operation<A, R>) -> Try<R>
    where
        A: Send + Sync,
        R: Send,
    {
        let mut lent = match self.pool.take().await {
            Ok(lent) => lent,
            Err(error) => return Try::Again(error),
        };
        let is_scan = reach == Reach::Scan;
        if is_scan && let Err(error) = lent.session.control(BEGIN_SCAN).await {
            return self.pool.give_up(lent, error.into());
        }
        let mut statements = Statements::new(&mut lent.session);
        let result = operation(&mut statements, args).await;
        let trouble = statements.into_trouble();
        if let Some(Trouble::Lost(error)) = trouble {
            return self.pool.give_up(lent, error);
        }
        if is_scan {
            self.roll_back(lent).await;
        } else {
            self.pool.give_back(lent);
        }
        match trouble {
            Some(Trouble::Conflict(error)) => Try::Again(error),
            _ => Try::Done(result),
        }
    }

    /// Ends a transaction that is to have no effect. A connection that does not manage that is closed, which has the same effect.
    async fn roll_back(&self, mut lent: pool::Lent<'_>) {
        if lent.session.control("ROLLBACK").await.is_ok() {
            self.pool.give_back(lent);
        }
    }
}

const BEGIN_SCAN: &str = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY";
