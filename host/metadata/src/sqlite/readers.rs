//! Connections that read, each used by one thread at a time.
//!
//! A read of a few rows takes microseconds, less than handing it to another thread would, so the caller's thread does it; a scan goes to a
//! thread that may block.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::Semaphore;

use super::statements::Statements;
use super::{open, trouble};
use crate::CatalogError;
use crate::catalog::Operation;

/// Scans at a time; more wait. With the threads that read points this bounds the connections.
const SCANS_MAX: usize = 8;

/// Connections for reading, opened when they are first needed.
#[derive(Debug)]
pub(super) struct Readers {
    idle: Arc<Idle>,
    scans: Semaphore,
}

#[derive(Debug)]
struct Idle {
    path: PathBuf,
    connections: Mutex<Vec<Statements>>,
}

impl Readers {
    pub(super) fn new(path: &Path) -> Self {
        Self {
            idle: Arc::new(Idle {
                path: path.to_owned(),
                connections: Mutex::new(Vec::new()),
            }),
            scans: Semaphore::new(SCANS_MAX),
        }
    }

    /// Runs an operation of one statement on the calling thread.
    pub(super) fn run_here<A, R>(
        &self,
        args: &A,
        operation: Operation<A, R>,
    ) -> Result<R, CatalogError> {
        self.idle.with(|statements| statements.run(args, operation))
    }

    /// Runs an operation on another thread; all its statements see one state.
    pub(super) async fn run_aside<A, R>(
        &self,
        args: A,
        operation: Operation<A, R>,
    ) -> Result<R, CatalogError>
    where
        A: Send + Sync + 'static,
        R: Send + 'static,
    {
        let permit = self.scans.acquire().await;
        let _permit = permit.expect("nobody closes the semaphore");
        let idle = Arc::clone(&self.idle);
        let scan = tokio::task::spawn_blocking(move || {
            idle.with(|statements| statements.run_between("BEGIN", &args, operation))
        });
        scan.await
            .unwrap_or_else(|_| Err(CatalogError::Unavailable("a scan was given up".to_owned())))
    }
}

impl Idle {
    /// Lends a connection to `run`. One on which something was left open is not used again.
    fn with<R>(
        &self,
        run: impl FnOnce(&mut Statements) -> Result<R, CatalogError>,
    ) -> Result<R, CatalogError> {
        let mut statements = match self.lock().pop() {
            Some(statements) => statements,
            None => self.open()?,
        };
        let result = run(&mut statements);
        if !statements.is_open() {
            self.lock().push(statements);
        }
        result
    }

    fn open(&self) -> Result<Statements, CatalogError> {
        let connection = open(&self.path)?;
        connection
            .execute_batch("PRAGMA query_only = ON")
            .map_err(trouble)?;
        Ok(Statements::new(connection))
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Vec<Statements>> {
        self.connections
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}
