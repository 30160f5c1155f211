//! Operations' statements on a connection of SQLite, run at once.

use core::future::ready;
use core::task::{Context, Poll, Waker};

use bytes::Bytes;
use rusqlite::types::{ToSqlOutput, ValueRef};
use rusqlite::{CachedStatement, Connection, ToSql};

use super::trouble;
use crate::CatalogError;
use crate::catalog::Operation;
use crate::transaction::{Answer, Param, Row, Transaction, Value};

/// A connection, and the transaction that its owner has begun on it.
#[derive(Debug)]
pub(super) struct Statements {
    connection: Connection,
}

impl Statements {
    pub(super) fn new(connection: Connection) -> Self {
        Self { connection }
    }

    /// Runs an operation; it waits for nothing, since every statement has its answer when it returns.
    pub(super) fn run<A, R>(
        &mut self,
        args: &A,
        operation: Operation<A, R>,
    ) -> Result<R, CatalogError> {
        let mut running = operation(self, args);
        match running
            .as_mut()
            .poll(&mut Context::from_waker(Waker::noop()))
        {
            Poll::Ready(result) => result,
            Poll::Pending => unreachable!("an operation waits for statements alone"),
        }
    }

    /// Runs an operation between `begin` and `commit`, or what undoes it.
    pub(super) fn run_between<A, R>(
        &mut self,
        begin: &'static str,
        args: &A,
        operation: Operation<A, R>,
    ) -> Result<R, CatalogError> {
        self.control(begin)?;
        let result = self.run(args, operation);
        let ended = self.control(if result.is_ok() { "COMMIT" } else { "ROLLBACK" });
        if ended.is_err() && !self.connection.is_autocommit() {
            self.control("ROLLBACK")?;
        }
        result.and_then(|answer| ended.map(|()| answer))
    }

    /// Runs a statement that begins or ends something.
    pub(super) fn control(&mut self, sql: &'static str) -> Result<(), CatalogError> {
        let mut statement = self.connection.prepare_cached(sql).map_err(trouble)?;
        statement.execute([]).map(drop).map_err(trouble)
    }

    /// Whether a transaction is open.
    pub(super) fn is_open(&self) -> bool {
        !self.connection.is_autocommit()
    }

    fn bound(
        &self,
        sql: &'static str,
        params: &[Param<'_>],
    ) -> rusqlite::Result<CachedStatement<'_>> {
        let mut statement = self.connection.prepare_cached(sql)?;
        bind(&mut statement, params)?;
        Ok(statement)
    }

    fn rows(&self, sql: &'static str, params: &[Param<'_>]) -> rusqlite::Result<Vec<Row>> {
        let mut statement = self.bound(sql, params)?;
        let columns = statement.column_count();
        let mut rows = statement.raw_query();
        let mut found = Vec::new();
        while let Some(row) = rows.next()? {
            let mut values = Vec::with_capacity(columns);
            for column in 0..columns {
                values.push(value(row.get_ref(column)?));
            }
            found.push(Row::new(values));
        }
        Ok(found)
    }

    fn change(&self, sql: &'static str, params: &[Param<'_>]) -> rusqlite::Result<u64> {
        let changed = self.bound(sql, params)?.raw_execute()?;
        Ok(changed as u64)
    }

    fn change_each(&self, sql: &'static str, sets: &[Vec<Param<'_>>]) -> rusqlite::Result<u64> {
        let mut changed = 0;
        for params in sets {
            changed += self.change(sql, params)?;
        }
        Ok(changed)
    }
}

/// Binds by name, since `$1` is a name to SQLite, and the order of appearance is not that of the numbers.
fn bind(statement: &mut CachedStatement<'_>, params: &[Param<'_>]) -> rusqlite::Result<()> {
    for index in 1..=statement.parameter_count() {
        let number = statement
            .parameter_name(index)
            .and_then(|name| name.strip_prefix('$'))
            .and_then(|number| number.parse::<usize>().ok())
            .expect("parameters are called $1, $2 and so on");
        let param = params[number - 1];
        statement.raw_bind_parameter(index, param)?;
    }
    Ok(())
}

impl ToSql for Param<'_> {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(ToSqlOutput::Borrowed(match *self {
            Self::Null => ValueRef::Null,
            Self::Integer(value) => ValueRef::Integer(value),
            Self::Text(value) => ValueRef::Text(value.as_bytes()),
            Self::Bytes(value) => ValueRef::Blob(value),
        }))
    }
}

fn value(value: ValueRef<'_>) -> Value {
    match value {
        ValueRef::Null => Value::Null,
        ValueRef::Integer(value) => Value::Integer(value),
        // No column is a float; whoever reads one finds that it has the wrong type.
        ValueRef::Real(value) => Value::Text(value.to_string()),
        ValueRef::Text(text) => Value::Text(String::from_utf8_lossy(text).into_owned()),
        ValueRef::Blob(bytes) => Value::Bytes(Bytes::copy_from_slice(bytes)),
    }
}

impl Transaction for Statements {
    fn query<'a>(&'a mut self, sql: &'static str, params: &'a [Param<'a>]) -> Answer<'a, Vec<Row>> {
        Box::pin(ready(self.rows(sql, params).map_err(trouble)))
    }

    fn execute<'a>(&'a mut self, sql: &'static str, params: &'a [Param<'a>]) -> Answer<'a, u64> {
        Box::pin(ready(self.change(sql, params).map_err(trouble)))
    }

    fn execute_each<'a>(
        &'a mut self,
        sql: &'static str,
        sets: &'a [Vec<Param<'a>>],
    ) -> Answer<'a, u64> {
        Box::pin(ready(self.change_each(sql, sets).map_err(trouble)))
    }
}
