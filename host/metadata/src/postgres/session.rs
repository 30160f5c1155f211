//! One connection, its prepared statements, and its row by which its transactions are known.

use core::time::Duration;
use std::collections::HashMap;

use bytes::Bytes;
use futures_util::future::try_join_all;
use tokio_postgres::types::{IsNull, ToSql, Type, to_sql_checked};
use tokio_postgres::{Client, Config, NoTls, SimpleQueryMessage, Statement};

use super::Trouble;
use crate::CatalogError;
use crate::schema::{self, Spelling};
use crate::transaction::{LOCK, Param, Row, Value};

/// How long to wait for a connection, and for the acknowledgement of what was sent on one.
const ANSWER_MAX: Duration = Duration::from_secs(10);

/// What every session is set to: nobody waits for a lock for ever, and a transaction whose client has vanished ends.
const SETTINGS: &str = "SET lock_timeout = '10s'; SET idle_in_transaction_session_timeout = '30s'";

/// The row of a new session; those of sessions that nobody will ask for any more go.
const REGISTER: &str = "WITH old AS (DELETE FROM session WHERE opened_ms < extract(epoch FROM now()) * 1000 - 2592000000), \
    new AS (UPDATE counter SET last = last + 1 WHERE name = 'session' RETURNING last) \
    INSERT INTO session (id, last_transaction, opened_ms) \
    SELECT last, 0, CAST(extract(epoch FROM now()) * 1000 AS BIGINT) FROM new RETURNING id";

/// Statements sent without waiting for the answer of the one before.
const PIPELINE_MAX: usize = 30;

const SPELLING: Spelling = Spelling {
    clustered: "",
    bytewise: "COLLATE \"C\"",
};

/// A connection.
#[derive(Debug)]
pub(super) struct Session {
    client: Client,
    prepared: HashMap<&'static str, Statement>,
    id: i64,
    last_transaction: i64,
}

impl Session {
    /// Adds to what the URL says.
    pub(super) fn configure(config: &mut Config) {
        config.application_name("securecloud");
        config.connect_timeout(ANSWER_MAX);
        config.tcp_user_timeout(ANSWER_MAX);
    }

    pub(super) async fn open(config: &Config) -> Result<Self, CatalogError> {
        let mut session = Self {
            client: connect(config).await?,
            prepared: HashMap::new(),
            id: 0,
            last_transaction: 0,
        };
        let rows = session.query(REGISTER, &[]).await?;
        let row = rows.into_iter().next();
        session.id = row
            .ok_or_else(|| CatalogError::Corrupt("the counter of sessions is gone".to_owned()))?
            .take()?;
        Ok(session)
    }

    pub(super) fn id(&self) -> i64 {
        self.id
    }

    pub(super) fn is_closed(&self) -> bool {
        self.client.is_closed()
    }

    /// Begins a transaction; returns its number in this session.
    pub(super) async fn begin(&mut self) -> Result<i64, CatalogError> {
        self.last_transaction += 1;
        let sql = format!(
            "BEGIN; UPDATE session SET last_transaction = {} WHERE id = {}",
            self.last_transaction, self.id
        );
        let answers = self
            .client
            .simple_query(&sql)
            .await
            .map_err(Trouble::from)?;
        let is_registered = answers
            .iter()
            .any(|answer| matches!(answer, SimpleQueryMessage::CommandComplete(1)));
        match is_registered {
            true => Ok(self.last_transaction),
            false => Err(CatalogError::Unavailable(
                "the session has been forgotten".to_owned(),
            )),
        }
    }

    /// Runs a statement that begins or ends something.
    pub(super) async fn control(&mut self, sql: &str) -> Result<(), Trouble> {
        self.client.batch_execute(sql).await.map_err(Trouble::from)
    }

    pub(super) async fn query(
        &mut self,
        sql: &'static str,
        params: &[Param<'_>],
    ) -> Result<Vec<Row>, Trouble> {
        let statement = self.prepared(sql).await?;
        let params: Vec<_> = params
            .iter()
            .map(|param| param as &(dyn ToSql + Sync))
            .collect();
        let rows = self.client.query(&statement, &params).await?;
        rows.iter().map(row).collect()
    }

    pub(super) async fn execute(
        &mut self,
        sql: &'static str,
        params: &[Param<'_>],
    ) -> Result<u64, Trouble> {
        let statement = self.prepared(sql).await?;
        Ok(self.client.execute_raw(&statement, params).await?)
    }

    /// Runs a statement with each set of parameters, in order.
    pub(super) async fn execute_each(
        &mut self,
        sql: &'static str,
        sets: &[Vec<Param<'_>>],
    ) -> Result<u64, Trouble> {
        if sets.is_empty() {
            return Ok(0);
        }
        let statement = self.prepared(sql).await?;
        let mut changed = 0;
        for sets in sets.chunks(PIPELINE_MAX) {
            let sent = sets
                .iter()
                .map(|params| self.client.execute_raw(&statement, params));
            changed += try_join_all(sent).await?.into_iter().sum::<u64>();
        }
        Ok(changed)
    }

    async fn prepared(&mut self, sql: &'static str) -> Result<Statement, Trouble> {
        if let Some(statement) = self.prepared.get(sql) {
            return Ok(statement.clone());
        }
        let statement = self
            .client
            .prepare(&sql.replace(LOCK, "FOR UPDATE"))
            .await?;
        self.prepared.insert(sql, statement.clone());
        Ok(statement)
    }

    /// Takes the schema to the number that this version knows. Of several that try at once one does it.
    pub(super) async fn migrate(config: &Config) -> Result<(), CatalogError> {
        let client = connect(config).await?;
        let begin = format!(
            "BEGIN; SELECT pg_advisory_xact_lock(hashtext('securecloud ' || current_schema())); {}",
            schema::STEP_TABLE
        );
        client.batch_execute(&begin).await.map_err(Trouble::from)?;
        let sql = "SELECT coalesce(max(number), 0) FROM schema_step";
        let found: i64 = client
            .query_one(sql, &[])
            .await
            .and_then(|row| row.try_get(0))
            .map_err(Trouble::from)?;
        let found = u64::try_from(found)
            .map_err(|_| CatalogError::Corrupt("the schema has no number".to_owned()))?;
        for (number, step) in schema::steps_after(found)? {
            let step = SPELLING.spell(step);
            let sql = format!("{step} INSERT INTO schema_step (number) VALUES ({number})");
            client.batch_execute(&sql).await.map_err(Trouble::from)?;
            tracing::info!(number, "the catalogue's schema has taken a step");
        }
        client
            .batch_execute("COMMIT")
            .await
            .map_err(Trouble::from)?;
        Ok(())
    }
}

async fn connect(config: &Config) -> Result<Client, CatalogError> {
    let (client, connection) = config.connect(NoTls).await.map_err(Trouble::from)?;
    tokio::spawn(async move {
        if let Err(error) = connection.await {
            tracing::debug!(%error, "a connection of the catalogue has ended");
        }
    });
    client
        .batch_execute(SETTINGS)
        .await
        .map_err(Trouble::from)?;
    Ok(client)
}

fn row(row: &tokio_postgres::Row) -> Result<Row, Trouble> {
    let values = row.columns().iter().enumerate();
    let values = values.map(|(at, column)| value(row, at, column.type_()));
    Ok(Row::new(values.collect::<Result<_, _>>()?))
}

fn value(
    row: &tokio_postgres::Row,
    at: usize,
    kind: &Type,
) -> Result<Value, tokio_postgres::Error> {
    Ok(match *kind {
        Type::INT8 => row.try_get::<_, Option<i64>>(at)?.map(Value::Integer),
        Type::INT4 => row
            .try_get::<_, Option<i32>>(at)?
            .map(|value| Value::Integer(value.into())),
        Type::BYTEA => row
            .try_get::<_, Option<&[u8]>>(at)?
            .map(|bytes| Value::Bytes(Bytes::copy_from_slice(bytes))),
        // Whatever is neither is read as text or refused.
        _ => row.try_get::<_, Option<String>>(at)?.map(Value::Text),
    }
    .unwrap_or(Value::Null))
}

impl ToSql for Param<'_> {
    fn to_sql(
        &self,
        kind: &Type,
        out: &mut bytes::BytesMut,
    ) -> Result<IsNull, Box<dyn std::error::Error + Sync + Send>> {
        match *self {
            Self::Null => Ok(IsNull::Yes),
            Self::Integer(value) if *kind == Type::INT4 => i32::try_from(value)?.to_sql(kind, out),
            Self::Integer(value) => value.to_sql(kind, out),
            Self::Text(value) => value.to_sql(kind, out),
            Self::Bytes(value) => value.to_sql(kind, out),
        }
    }

    /// Which column takes which parameter is a matter of the statements' text.
    fn accepts(_: &Type) -> bool {
        true
    }

    to_sql_checked!();
}
