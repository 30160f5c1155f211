//! Jobs: long work that survives the process that does it, owned under a lease.
//!
//! Invariant: a running job has one owner at a time; whoever lost the lease learns it from its next report.

use crate::transaction::{Param, Row, Transaction};
use crate::{Catalog, CatalogError, catalog::Reach};

/// Work to be done in the background: a repair, a scrub, a migration, a drain.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Job {
    /// Its id, ascending in the order of creation; 0 before it has one.
    pub id: u64,
    /// What kind of work it is.
    pub kind: String,
    /// How far it is: [`Job::WAITING`], [`Job::RUNNING`], or any word for an end.
    pub state: String,
    /// What is to be done, as JSON; opaque here.
    pub definition: String,
    /// How far it has come, as JSON; opaque here.
    pub progress: String,
    /// Who works on it.
    pub owner: Option<String>,
    /// Until when the owner has it to itself.
    pub lease_until_ms: u64,
    /// When it was made.
    pub created_ms: u64,
    /// When it was last changed.
    pub updated_ms: u64,
}

impl Job {
    /// The state of a job that nobody works on.
    pub const WAITING: &'static str = "waiting";
    /// The state of a job that its owner works on.
    pub const RUNNING: &'static str = "running";
}

impl Catalog {
    /// Stores a job; returns its id. With id 0 it is a new one; another one takes the place of the job with that id, whoever owns it.
    ///
    /// # Errors
    /// `NoSuchJob` if there is none with that id.
    pub async fn put_job(&self, job: &Job) -> Result<u64, CatalogError> {
        self.write(job.clone(), |tx, job| Box::pin(put_job(tx, job)))
            .await
    }

    /// The job with this id.
    pub async fn job(&self, id: u64) -> Result<Option<Job>, CatalogError> {
        self.read(Reach::Point, id, |tx, id| Box::pin(job(tx, *id)))
            .await
    }

    /// At most `limit` jobs with ids above `after`, ascending.
    pub async fn jobs(&self, after: Option<u64>, limit: usize) -> Result<Vec<Job>, CatalogError> {
        self.read(Reach::Scan, (after, limit), |tx, (after, limit)| {
            Box::pin(jobs(tx, *after, *limit))
        })
        .await
    }

    /// Gives `owner` the oldest job (of this kind) that waits, or runs under a lease that has passed.
    pub async fn claim_job(
        &self,
        kind: Option<&str>,
        owner: &str,
        lease_until_ms: u64,
        now_ms: u64,
    ) -> Result<Option<Job>, CatalogError> {
        self.write(
            (
                kind.map(str::to_owned),
                owner.to_owned(),
                lease_until_ms,
                now_ms,
            ),
            |tx, (kind, owner, lease_until_ms, now_ms)| {
                Box::pin(claim_job(
                    tx,
                    kind.as_deref(),
                    owner,
                    *lease_until_ms,
                    *now_ms,
                ))
            },
        )
        .await
    }

    /// Reports how far a running job has come and extends its lease; returns `false`, and changes nothing, if it is not `owner`'s or not
    /// running any more.
    pub async fn advance_job(
        &self,
        id: u64,
        owner: &str,
        state: &str,
        progress: &str,
        lease_until_ms: u64,
        now_ms: u64,
    ) -> Result<bool, CatalogError> {
        let words = (owner.to_owned(), state.to_owned(), progress.to_owned());
        self.write(
            (id, words, lease_until_ms, now_ms),
            |tx, (id, (owner, state, progress), lease_until_ms, now_ms)| {
                Box::pin(advance_job(
                    tx,
                    *id,
                    owner,
                    state,
                    progress,
                    *lease_until_ms,
                    *now_ms,
                ))
            },
        )
        .await
    }
}

/// The columns of a job, in the order of [`from_row`].
macro_rules! select_job {
    ($rest:literal) => {
        concat!(
            "SELECT id, kind, state, definition, progress, owner, lease_until_ms, created_ms, updated_ms FROM job ",
            $rest
        )
    };
}

fn from_row(mut row: Row) -> Result<Job, CatalogError> {
    Ok(Job {
        id: row.take()?,
        kind: row.take()?,
        state: row.take()?,
        definition: row.take()?,
        progress: row.take()?,
        owner: row.optional()?,
        lease_until_ms: row.take()?,
        created_ms: row.take()?,
        updated_ms: row.take()?,
    })
}

/// An id that no job and no removal record has had before.
pub(crate) async fn draw_id(tx: &mut dyn Transaction) -> Result<u64, CatalogError> {
    let sql = "UPDATE counter SET last = last + 1 WHERE name = 'id' RETURNING last";
    let mut rows = tx.query(sql, &[]).await?;
    let mut row = rows
        .pop()
        .ok_or_else(|| CatalogError::Corrupt("the counter of ids is gone".to_owned()))?;
    row.take()
}

async fn put_job(tx: &mut dyn Transaction, job: &Job) -> Result<u64, CatalogError> {
    let is_new = job.id == 0;
    let id = if is_new { draw_id(tx).await? } else { job.id };
    let sql = if is_new {
        "INSERT INTO job (id, kind, state, definition, progress, owner, lease_until_ms, created_ms, updated_ms) \
            VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)"
    } else {
        "UPDATE job SET kind = $2, state = $3, definition = $4, progress = $5, owner = $6, lease_until_ms = $7, \
            created_ms = $8, updated_ms = $9 WHERE id = $1"
    };
    let params: [Param<'_>; 9] = [
        id.into(),
        (&*job.kind).into(),
        (&*job.state).into(),
        (&*job.definition).into(),
        (&*job.progress).into(),
        job.owner.as_deref().into(),
        job.lease_until_ms.into(),
        job.created_ms.into(),
        job.updated_ms.into(),
    ];
    match tx.execute(sql, &params).await? {
        0 => Err(CatalogError::NoSuchJob),
        _ => Ok(id),
    }
}

async fn job(tx: &mut dyn Transaction, id: u64) -> Result<Option<Job>, CatalogError> {
    let rows = tx.query(select_job!("WHERE id = $1"), &[id.into()]).await?;
    rows.into_iter().next().map(from_row).transpose()
}

async fn jobs(
    tx: &mut dyn Transaction,
    after: Option<u64>,
    limit: usize,
) -> Result<Vec<Job>, CatalogError> {
    let sql = select_job!("WHERE id > $1 ORDER BY id LIMIT $2");
    let rows = tx
        .query(sql, &[after.unwrap_or(0).into(), limit.into()])
        .await?;
    rows.into_iter().map(from_row).collect()
}

async fn claim_job(
    tx: &mut dyn Transaction,
    kind: Option<&str>,
    owner: &str,
    lease_until_ms: u64,
    now_ms: u64,
) -> Result<Option<Job>, CatalogError> {
    let any = select_job!(
        "WHERE (state = 'waiting' OR (state = 'running' AND lease_until_ms <= $1)) \
        ORDER BY id LIMIT 1 /* FOR UPDATE */"
    );
    let of_kind = select_job!(
        "WHERE (state = 'waiting' OR (state = 'running' AND lease_until_ms <= $1)) AND kind = $2 \
        ORDER BY id LIMIT 1 /* FOR UPDATE */"
    );
    let rows = match kind {
        None => tx.query(any, &[now_ms.into()]).await?,
        Some(kind) => tx.query(of_kind, &[now_ms.into(), kind.into()]).await?,
    };
    let Some(row) = rows.into_iter().next() else {
        return Ok(None);
    };
    let claimed = Job {
        state: Job::RUNNING.to_owned(),
        owner: Some(owner.to_owned()),
        lease_until_ms,
        updated_ms: now_ms,
        ..from_row(row)?
    };
    put_job(tx, &claimed).await?;
    Ok(Some(claimed))
}

async fn advance_job(
    tx: &mut dyn Transaction,
    id: u64,
    owner: &str,
    state: &str,
    progress: &str,
    lease_until_ms: u64,
    now_ms: u64,
) -> Result<bool, CatalogError> {
    let sql = "UPDATE job SET state = $3, progress = $4, lease_until_ms = $5, updated_ms = $6 \
        WHERE id = $1 AND owner = $2 AND state = 'running'";
    let params = [
        id.into(),
        owner.into(),
        state.into(),
        progress.into(),
        lease_until_ms.into(),
        now_ms.into(),
    ];
    Ok(tx.execute(sql, &params).await? > 0)
}
