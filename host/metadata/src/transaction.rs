//! What an operation may do with a database: the same few calls, and the same SQL text, on every engine.
//!
//! Parameters are `$1`, `$2`, … Columns are BIGINT, BYTEA and TEXT. A row that an operation goes on to change is read with [`LOCK`] behind
//! the statement; engines with many writers take it as `FOR UPDATE`, the others as the comment that it is.
//! Order of locks, the same everywhere: datastore, then intents that others can see, then the rest.

use core::future::Future;
use core::pin::Pin;

use bytes::Bytes;

use crate::CatalogError;

/// The comment that asks for a lock on the rows read.
pub(crate) const LOCK: &str = "/* FOR UPDATE */";

/// What a call will answer; on SQLite it has answered already.
pub(crate) type Answer<'a, T> = Pin<Box<dyn Future<Output = Result<T, CatalogError>> + Send + 'a>>;

/// A transaction under way. That an operation returns an error undoes all it did.
pub(crate) trait Transaction: Send {
    /// The rows that `sql` yields, in its order.
    fn query<'a>(&'a mut self, sql: &'static str, params: &'a [Param<'a>]) -> Answer<'a, Vec<Row>>;

    /// Runs a statement that yields no rows; returns how many rows it changed.
    fn execute<'a>(&'a mut self, sql: &'static str, params: &'a [Param<'a>]) -> Answer<'a, u64>;

    /// Runs a statement once per set of parameters, in one journey; returns how many rows it changed in all.
    fn execute_each<'a>(
        &'a mut self,
        sql: &'static str,
        sets: &'a [Vec<Param<'a>>],
    ) -> Answer<'a, u64>;
}

/// A value on its way into a statement.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Param<'a> {
    Null,
    Integer(i64),
    Text(&'a str),
    Bytes(&'a [u8]),
}

/// A value that came out of one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Value {
    Null,
    Integer(i64),
    Text(String),
    Bytes(Bytes),
}

/// A count, size or time. What is beyond 2^63 - 1 is kept as that.
impl From<u64> for Param<'_> {
    fn from(value: u64) -> Self {
        Self::Integer(i64::try_from(value).unwrap_or(i64::MAX))
    }
}

impl From<u32> for Param<'_> {
    fn from(value: u32) -> Self {
        Self::Integer(value.into())
    }
}

impl From<usize> for Param<'_> {
    fn from(value: usize) -> Self {
        Self::Integer(i64::try_from(value).unwrap_or(i64::MAX))
    }
}

impl From<i64> for Param<'_> {
    fn from(value: i64) -> Self {
        Self::Integer(value)
    }
}

impl From<bool> for Param<'_> {
    fn from(value: bool) -> Self {
        Self::Integer(value.into())
    }
}

impl<'a> From<&'a str> for Param<'a> {
    fn from(value: &'a str) -> Self {
        Self::Text(value)
    }
}

impl<'a> From<&'a [u8]> for Param<'a> {
    fn from(value: &'a [u8]) -> Self {
        Self::Bytes(value)
    }
}

impl<'a, const N: usize> From<&'a [u8; N]> for Param<'a> {
    fn from(value: &'a [u8; N]) -> Self {
        Self::Bytes(value)
    }
}

impl<'a> From<&'a Bytes> for Param<'a> {
    fn from(value: &'a Bytes) -> Self {
        Self::Bytes(value)
    }
}

impl<'a, T: Into<Param<'a>>> From<Option<T>> for Param<'a> {
    fn from(value: Option<T>) -> Self {
        value.map_or(Self::Null, Into::into)
    }
}

/// One row of an answer, taken apart from left to right.
#[derive(Debug)]
pub(crate) struct Row(std::vec::IntoIter<Value>);

impl Row {
    pub(crate) fn new(values: Vec<Value>) -> Self {
        Self(values.into_iter())
    }

    fn next(&mut self) -> Result<Value, CatalogError> {
        self.0
            .next()
            .ok_or_else(|| wrong("a row with another column"))
    }

    /// Whether the next column is this number.
    pub(crate) fn is_integer(&self, number: i64) -> bool {
        self.0.as_slice().first() == Some(&Value::Integer(number))
    }

    /// Leaves out the next `columns` columns.
    pub(crate) fn skip(&mut self, columns: usize) {
        self.0.by_ref().take(columns).for_each(drop);
    }

    /// The next column, which may be null.
    pub(crate) fn optional<T: FromValue>(&mut self) -> Result<Option<T>, CatalogError> {
        match self.next()? {
            Value::Null => Ok(None),
            value => T::from_value(value).map(Some),
        }
    }

    /// The next column.
    pub(crate) fn take<T: FromValue>(&mut self) -> Result<T, CatalogError> {
        self.next().and_then(T::from_value)
    }
}

/// What a column can be read as.
pub(crate) trait FromValue: Sized {
    fn from_value(value: Value) -> Result<Self, CatalogError>;
}

fn wrong(expected: &str) -> CatalogError {
    CatalogError::Corrupt(format!("a column holds no {expected}"))
}

impl FromValue for i64 {
    fn from_value(value: Value) -> Result<Self, CatalogError> {
        match value {
            Value::Integer(value) => Ok(value),
            _ => Err(wrong("integer")),
        }
    }
}

impl FromValue for u64 {
    fn from_value(value: Value) -> Result<Self, CatalogError> {
        i64::from_value(value)?
            .try_into()
            .map_err(|_| wrong("positive integer"))
    }
}

impl FromValue for u32 {
    fn from_value(value: Value) -> Result<Self, CatalogError> {
        i64::from_value(value)?
            .try_into()
            .map_err(|_| wrong("integer of 32 bits"))
    }
}

impl FromValue for bool {
    fn from_value(value: Value) -> Result<Self, CatalogError> {
        i64::from_value(value).map(|value| value != 0)
    }
}

impl FromValue for String {
    fn from_value(value: Value) -> Result<Self, CatalogError> {
        match value {
            Value::Text(value) => Ok(value),
            _ => Err(wrong("text")),
        }
    }
}

impl FromValue for Bytes {
    fn from_value(value: Value) -> Result<Self, CatalogError> {
        match value {
            Value::Bytes(value) => Ok(value),
            _ => Err(wrong("bytes")),
        }
    }
}

macro_rules! from_id {
    ($($name:ident),*) => {$(
        impl FromValue for crate::$name {
            fn from_value(value: Value) -> Result<Self, CatalogError> {
                Self::try_from(&*Bytes::from_value(value)?)
            }
        }

        impl<'a> From<&'a crate::$name> for Param<'a> {
            fn from(id: &'a crate::$name) -> Self {
                Self::Bytes(&id.0)
            }
        }
    )*};
}

from_id!(TenantId, DatastoreId, VersionId, SegmentId);
