//! A database in memory, run by its callers.

use std::sync::{Mutex, PoisonError};

use rusqlite::Connection;

use super::statements::Statements;
use super::{keep_statements, migrate, trouble};
use crate::CatalogError;
use crate::catalog::Operation;

/// A database that runs each operation at once on the calling thread.
#[derive(Debug)]
pub(crate) struct Memory(Mutex<Statements>);

impl Memory {
    pub(crate) fn open() -> Result<Self, CatalogError> {
        let connection = Connection::open_in_memory().map_err(trouble)?;
        keep_statements(&connection)?;
        migrate(&connection)?;
        Ok(Self(Mutex::new(Statements::new(connection))))
    }

    pub(crate) fn run<A, R>(
        &self,
        args: &A,
        operation: Operation<A, R>,
    ) -> Result<R, CatalogError> {
        let mut statements = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if statements.is_open() {
            // An operation panicked half way.
            statements.control("ROLLBACK")?;
        }
        statements.run_between("BEGIN", args, operation)
    }
}
