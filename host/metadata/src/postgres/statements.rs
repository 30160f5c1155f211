//! Operations' statements on a connection of PostgreSQL, and what their failures mean.

use tokio_postgres::error::SqlState;

use super::Session;
use crate::CatalogError;
use crate::transaction::{Answer, Param, Row, Transaction};

/// Why the server did not do what was asked.
#[derive(Debug, Clone)]
pub(super) enum Trouble {
    /// The connection is gone, or about to be.
    Lost(CatalogError),
    /// Somebody else was in the way: the transaction is undone and may be tried again.
    Conflict(CatalogError),
    /// The server understood and refused.
    Refused(CatalogError),
}

impl From<Trouble> for CatalogError {
    fn from(trouble: Trouble) -> Self {
        match trouble {
            Trouble::Lost(error) | Trouble::Conflict(error) | Trouble::Refused(error) => error,
        }
    }
}

impl From<tokio_postgres::Error> for Trouble {
    fn from(error: tokio_postgres::Error) -> Self {
        let Some(refusal) = error.as_db_error() else {
            return Self::Lost(CatalogError::Unavailable(error.to_string()));
        };
        let code = refusal.code();
        let said = format!("{} ({})", refusal.message(), code.code());
        match *code {
            // A row that two insert at once is there when the second tries again.
            SqlState::T_R_SERIALIZATION_FAILURE
            | SqlState::T_R_DEADLOCK_DETECTED
            | SqlState::LOCK_NOT_AVAILABLE
            | SqlState::UNIQUE_VIOLATION => Self::Conflict(CatalogError::Unavailable(said)),
            // Shutdowns, a start under way, too many connections, idle timeouts: all end the connection or did not make one.
            _ if ["57P", "08", "53", "25P03"]
                .iter()
                .any(|class| code.code().starts_with(class)) =>
            {
                Self::Lost(CatalogError::Unavailable(said))
            }
            SqlState::CHARACTER_NOT_IN_REPERTOIRE => {
                Self::Refused(CatalogError::Invalid("a text has no zero bytes"))
            }
            SqlState::DATA_CORRUPTED | SqlState::INDEX_CORRUPTED => {
                Self::Refused(CatalogError::Corrupt(said))
            }
            _ => Self::Refused(CatalogError::Unavailable(said)),
        }
    }
}

/// The transaction of an operation. It remembers the first thing that went wrong, after which the server does nothing more of it.
pub(super) struct Statements<'s> {
    session: &'s mut Session,
    trouble: Option<Trouble>,
}

impl<'s> Statements<'s> {
    pub(super) fn new(session: &'s mut Session) -> Self {
        Self {
            session,
            trouble: None,
        }
    }

    /// What went wrong, whatever the operation made of it.
    pub(super) fn into_trouble(self) -> Option<Trouble> {
        self.trouble
    }

    fn note<T>(&mut self, result: Result<T, Trouble>) -> Result<T, CatalogError> {
        result.map_err(|trouble| self.trouble.get_or_insert(trouble).clone().into())
    }
}

impl Transaction for Statements<'_> {
    fn query<'a>(&'a mut self, sql: &'static str, params: &'a [Param<'a>]) -> Answer<'a, Vec<Row>> {
        Box::pin(async move {
            let result = self.session.query(sql, params).await;
            self.note(result)
        })
    }

    fn execute<'a>(&'a mut self, sql: &'static str, params: &'a [Param<'a>]) -> Answer<'a, u64> {
        Box::pin(async move {
            let result = self.session.execute(sql, params).await;
            self.note(result)
        })
    }

    fn execute_each<'a>(
        &'a mut self,
        sql: &'static str,
        sets: &'a [Vec<Param<'a>>],
    ) -> Answer<'a, u64> {
        Box::pin(async move {
            let result = self.session.execute_each(sql, sets).await;
            self.note(result)
        })
    }
}
