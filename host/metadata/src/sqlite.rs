//! The embedded engine: SQLite in a file, with one thread that writes and connections for whoever reads; or in memory.
//!
//! Invariants: one connection writes; an operation is answered after the commit that it was part of is on the disk; a reader's statements
//! see one state.

mod backup;
mod memory;
mod readers;
mod statements;
mod writer;

use std::path::Path;

use rusqlite::Connection;
use rusqlite::config::DbConfig;

pub use self::backup::{BackupError, back_up, mark_restored};
pub(crate) use self::memory::Memory;
use self::readers::Readers;
use self::statements::Statements;
use self::writer::Writer;
use crate::CatalogError;
use crate::catalog::{Operation, Reach};
use crate::schema::{self, Spelling};

/// How long to wait for another process that holds the file.
const BUSY_MS: u64 = 5_000;

/// Statements kept prepared on each connection; there are fewer.
const STATEMENTS_KEPT: usize = 256;

/// Pages after which a commit copies the log into the database: 16 MiB, so that a page changed by many commits is copied once.
const CHECKPOINT_PAGES: u32 = 4096;

/// What a connection keeps of the file in memory.
const CACHE_KIB: u32 = 32 * 1024;

const SPELLING: Spelling = Spelling {
    clustered: "WITHOUT ROWID",
    bytewise: "",
};

/// A database in a file.
#[derive(Debug)]
pub(crate) struct Sqlite {
    writer: Writer,
    readers: Readers,
}

impl Sqlite {
    pub(crate) fn open(path: &Path) -> Result<Self, CatalogError> {
        let connection = open(path)?;
        migrate(&connection)?;
        Ok(Self {
            writer: Writer::start(Statements::new(connection))?,
            readers: Readers::new(path),
        })
    }

    pub(crate) async fn write<A, R>(
        &self,
        args: A,
        operation: Operation<A, R>,
    ) -> Result<R, CatalogError>
    where
        A: Send + Sync + 'static,
        R: Send + 'static,
    {
        self.writer.run(args, operation).await
    }

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
        match reach {
            Reach::Point => self.readers.run_here(&args, operation),
            Reach::Scan => self.readers.run_aside(args, operation).await,
        }
    }
}

/// A connection to the file. With `synchronous=FULL` a commit has reached the disk when it returns.
fn open(path: &Path) -> Result<Connection, CatalogError> {
    let connection = Connection::open(path).map_err(trouble)?;
    connection
        .busy_timeout(core::time::Duration::from_millis(BUSY_MS))
        .map_err(trouble)?;
    let settings = format!(
        "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA wal_autocheckpoint = {CHECKPOINT_PAGES}; \
        PRAGMA cache_size = -{CACHE_KIB}; PRAGMA temp_store = MEMORY; PRAGMA trusted_schema = OFF;"
    );
    connection.execute_batch(&settings).map_err(trouble)?;
    keep_statements(&connection)?;
    Ok(connection)
}

/// Statements stay prepared, whatever values are bound to them; otherwise they are planned anew for each range.
fn keep_statements(connection: &Connection) -> Result<(), CatalogError> {
    connection.set_prepared_statement_cache_capacity(STATEMENTS_KEPT);
    connection
        .set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true)
        .map(drop)
        .map_err(trouble)
}

/// Takes the schema to the number that this version knows.
fn migrate(connection: &Connection) -> Result<(), CatalogError> {
    connection
        .execute_batch("BEGIN IMMEDIATE")
        .map_err(trouble)?;
    let end = match apply_steps(connection) {
        Ok(()) => "COMMIT",
        Err(error) => {
            connection.execute_batch("ROLLBACK").map_err(trouble)?;
            return Err(error);
        }
    };
    connection.execute_batch(end).map_err(trouble)
}

fn apply_steps(connection: &Connection) -> Result<(), CatalogError> {
    connection
        .execute_batch(schema::STEP_TABLE)
        .map_err(trouble)?;
    let sql = "SELECT coalesce(max(number), 0) FROM schema_step";
    let found: u64 = connection
        .query_row(sql, [], |row| row.get::<_, i64>(0))
        .map_err(trouble)?
        .try_into()
        .map_err(|_| CatalogError::Corrupt("the schema has no number".to_owned()))?;
    for (number, step) in schema::steps_after(found)? {
        connection
            .execute_batch(&SPELLING.spell(step))
            .map_err(trouble)?;
        let sql = format!("INSERT INTO schema_step (number) VALUES ({number})");
        connection.execute_batch(&sql).map_err(trouble)?;
        tracing::info!(number, "the catalogue's schema has taken a step");
    }
    Ok(())
}

/// What an error of SQLite means to a caller.
fn trouble(error: rusqlite::Error) -> CatalogError {
    use rusqlite::ErrorCode::{DatabaseCorrupt, NotADatabase};
    match error.sqlite_error_code() {
        Some(DatabaseCorrupt | NotADatabase) => CatalogError::Corrupt(error.to_string()),
        _ => CatalogError::Unavailable(error.to_string()),
    }
}
