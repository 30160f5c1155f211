//! Jobs: long work that survives the process that does it, cut into parts that several processes share.
//!
//! Invariant: a part has one owner at a time; whoever has lost it, or whose job has ended, learns that from its next report. A job is done
//! when all its parts are.

use core::ops::Range;
use core::str::FromStr;

use bytes::Bytes;

use crate::transaction::{Param, Row, Transaction};
use crate::{Catalog, CatalogError, catalog::Reach};

/// Parts of a job. Each goes over the ids that begin with one hexadecimal digit, which are about equally many.
pub const JOB_PARTS: u8 = 16;

/// Work done in the background: a repair, a scrub, a migration, a drain.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Job {
    /// Its id, ascending in the order of creation.
    pub id: u64,
    /// What kind of work it is.
    pub kind: String,
    /// How it stands.
    pub state: JobState,
    /// What is to be done, as JSON; opaque here.
    pub definition: String,
    /// When it was made.
    pub created_ms: u64,
    /// When it last went on, or ended.
    pub updated_ms: u64,
    /// Its parts, by number.
    pub parts: Vec<JobPart>,
}

/// How a job stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum JobState {
    /// There are parts to be done.
    Running,
    /// All parts are done.
    Done,
    /// Somebody has stopped it.
    Cancelled,
}

/// Which job that is there is taken for a new one of the same kind and definition.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Join {
    /// None.
    None,
    /// One of which nothing was begun: what has begun may have passed what the new one is made for.
    Unbegun,
    /// The newest that is running.
    Running,
    /// The newest that is running and has a number above this one.
    Since(u64),
}

/// A share of a job.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JobPart {
    /// Which of the parts, from 0 and below [`JOB_PARTS`].
    pub number: u8,
    /// Whether nothing is left to be done.
    pub is_done: bool,
    /// How far it has come, as the id that was done last.
    pub cursor: Bytes,
    /// What was done, as JSON; opaque here.
    pub progress: String,
    /// Who works on it, as long as its lease lasts.
    pub owner: Option<String>,
    /// Until when the owner has it to itself.
    pub lease_until_ms: u64,
}

/// How far an owner has come with a part.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JobReport {
    /// The job.
    pub job: u64,
    /// The part's number.
    pub part: u8,
    /// Who reports.
    pub owner: String,
    /// The id that was done last.
    pub cursor: Bytes,
    /// What was done, as JSON.
    pub progress: String,
    /// What becomes of the part.
    pub then: Then,
    /// The time now.
    pub now_ms: u64,
}

/// What becomes of a part after a report.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Then {
    /// Its owner goes on with it until this time.
    GoOn(u64),
    /// Nothing is left to be done.
    Done,
    /// Somebody else may go on with it.
    LetGo,
}

/// What there is to do besides a job's own parts, which nobody works on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OtherWork {
    /// Nothing.
    None,
    /// Something.
    Some,
    /// Something that comes before the job.
    MoreUrgent,
}

impl JobState {
    /// The word for it, as it is stored and shown.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Running => "running",
            Self::Done => "done",
            Self::Cancelled => "cancelled",
        }
    }
}

impl FromStr for JobState {
    type Err = CatalogError;

    fn from_str(word: &str) -> Result<Self, CatalogError> {
        match word {
            "running" => Ok(Self::Running),
            "done" => Ok(Self::Done),
            "cancelled" => Ok(Self::Cancelled),
            _ => Err(CatalogError::Corrupt(
                "a job is in a state that there is not".to_owned(),
            )),
        }
    }
}

impl JobPart {
    /// What bounds the ids of a part, as byte strings: those above the start and below the end.
    #[must_use]
    pub fn range(number: u8) -> Range<Vec<u8>> {
        let edge = |number: u8| vec![number << 4];
        let start = if number == 0 {
            Vec::new()
        } else {
            edge(number)
        };
        // Above every id of the last part: these have fewer bytes.
        let end = if number + 1 < JOB_PARTS {
            edge(number + 1)
        } else {
            vec![0xff; 64]
        };
        start..end
    }
}

impl Catalog {
    /// Makes a job and returns its id; or that of one of the same kind and definition which may be joined.
    pub async fn add_job(
        &self,
        kind: &str,
        definition: &str,
        join: Join,
        now_ms: u64,
    ) -> Result<u64, CatalogError> {
        let words = (kind.to_owned(), definition.to_owned());
        self.write(
            (words, join, now_ms),
            |tx, ((kind, definition), join, now_ms)| {
                Box::pin(add_job(tx, kind, definition, *join, *now_ms))
            },
        )
        .await
    }

    /// The job with this id.
    pub async fn job(&self, id: u64) -> Result<Option<Job>, CatalogError> {
        self.read(Reach::Scan, id, |tx, id| Box::pin(job(tx, *id)))
            .await
    }

    /// At most `limit` jobs with ids below `before`, the newest first.
    pub async fn jobs(&self, before: Option<u64>, limit: usize) -> Result<Vec<Job>, CatalogError> {
        self.read(Reach::Scan, (before, limit), |tx, (before, limit)| {
            Box::pin(jobs(tx, *before, *limit))
        })
        .await
    }

    /// Gives `owner` a part that nobody works on, of a repair before a drain and of that before others, the oldest first: its number, and the job
    /// as it is now.
    pub async fn claim_part(
        &self,
        owner: &str,
        lease_until_ms: u64,
        now_ms: u64,
    ) -> Result<Option<(Job, u8)>, CatalogError> {
        self.write(
            (owner.to_owned(), lease_until_ms, now_ms),
            |tx, (owner, lease_until_ms, now_ms)| {
                Box::pin(claim_part(tx, owner, *lease_until_ms, *now_ms))
            },
        )
        .await
    }

    /// Whether there are parts of other jobs that nobody works on.
    pub async fn other_work(&self, job: u64, now_ms: u64) -> Result<OtherWork, CatalogError> {
        self.read(Reach::Scan, (job, now_ms), |tx, (job, now_ms)| {
            Box::pin(other_work(tx, *job, *now_ms))
        })
        .await
    }

    /// The ids and definitions of the jobs that run.
    pub async fn running_jobs(&self) -> Result<Vec<(u64, String)>, CatalogError> {
        self.read(Reach::Scan, (), |tx, ()| {
            Box::pin(async move {
                let sql = "SELECT id, definition FROM job WHERE state = 'running' ORDER BY id";
                let rows = tx.query(sql, &[]).await?;
                let each = rows.into_iter();
                each.map(|mut row| Ok((row.take()?, row.take()?))).collect()
            })
        })
        .await
    }

    /// Notes how far a part has come; returns `false`, and changes nothing, if it is not the owner's any more or its job has ended. The job
    /// is done with the last of its parts.
    pub async fn report_part(&self, report: JobReport) -> Result<bool, CatalogError> {
        self.write(report, |tx, report| Box::pin(report_part(tx, report)))
            .await
    }

    /// Has nobody take a part of a job that nobody works on, until a time.
    pub async fn rest_job(&self, job: u64, until_ms: u64, now_ms: u64) -> Result<(), CatalogError> {
        self.write((job, until_ms, now_ms), |tx, (job, until_ms, now_ms)| {
            Box::pin(async move {
                let sql = "UPDATE job_part SET lease_until_ms = $2 \
                    WHERE job = $1 AND is_done = 0 AND lease_until_ms <= $3";
                let params = [(*job).into(), (*until_ms).into(), (*now_ms).into()];
                tx.execute(sql, &params).await.map(drop)
            })
        })
        .await
    }

    /// Lets go of all parts that `owner` works on.
    pub async fn let_go_parts(&self, owner: &str) -> Result<(), CatalogError> {
        self.write(owner.to_owned(), |tx, owner| {
            Box::pin(let_go_parts(tx, owner))
        })
        .await
    }

    /// Stops a job; returns whether it was running.
    ///
    /// # Errors
    /// `NoSuchJob`.
    pub async fn cancel_job(&self, id: u64, now_ms: u64) -> Result<bool, CatalogError> {
        self.write((id, now_ms), |tx, (id, now_ms)| {
            Box::pin(cancel_job(tx, *id, *now_ms))
        })
        .await
    }

    /// Forgets jobs that ended before `before_ms`.
    pub async fn forget_jobs(&self, before_ms: u64) -> Result<(), CatalogError> {
        self.write(before_ms, |tx, before_ms| {
            Box::pin(forget_jobs(tx, *before_ms))
        })
        .await
    }
}

/// The columns of a job, in the order of [`from_row`].
macro_rules! select_job {
    ($rest:literal) => {
        concat!(
            "SELECT id, kind, state, definition, created_ms, updated_ms FROM job ",
            $rest
        )
    };
}

fn from_row(mut row: Row) -> Result<Job, CatalogError> {
    Ok(Job {
        id: row.take()?,
        kind: row.take()?,
        state: row.take::<String>()?.parse()?,
        definition: row.take()?,
        created_ms: row.take()?,
        updated_ms: row.take()?,
        parts: Vec::new(),
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

async fn add_job(
    tx: &mut dyn Transaction,
    kind: &str,
    definition: &str,
    join: Join,
    now_ms: u64,
) -> Result<u64, CatalogError> {
    // Whoever makes a job waits here for whoever is making another, so that of two alike one is made.
    let id = draw_id(tx).await?;
    let running = "SELECT id FROM job WHERE state = 'running' AND kind = $1 AND definition = $2 ORDER BY id DESC LIMIT 1";
    let unbegun = "SELECT id FROM job WHERE state = 'running' AND kind = $1 AND definition = $2 \
        AND NOT EXISTS (SELECT 1 FROM job_part p WHERE p.job = job.id AND p.owner IS NOT NULL) ORDER BY id DESC LIMIT 1";
    let found = match join {
        Join::None => Vec::new(),
        Join::Unbegun => tx.query(unbegun, &[kind.into(), definition.into()]).await?,
        Join::Running | Join::Since(_) => {
            tx.query(running, &[kind.into(), definition.into()]).await?
        }
    };
    if let Some(mut row) = found.into_iter().next() {
        let found = row.take()?;
        if !matches!(join, Join::Since(since) if found <= since) {
            return Ok(found);
        }
    }
    let sql = "INSERT INTO job (id, kind, state, definition, created_ms, updated_ms) \
        VALUES ($1, $2, 'running', $3, $4, $4)";
    let params: [Param<'_>; 4] = [id.into(), kind.into(), definition.into(), now_ms.into()];
    tx.execute(sql, &params).await?;
    let starts: Vec<_> = (0..JOB_PARTS)
        .map(|number| JobPart::range(number).start)
        .collect();
    let sets: Vec<Vec<Param<'_>>> = (0_u32..)
        .zip(&starts)
        .map(|(number, start)| vec![id.into(), number.into(), (&**start).into()])
        .collect();
    let sql = "INSERT INTO job_part (job, number, is_done, cursor, progress, owner, lease_until_ms) \
        VALUES ($1, $2, 0, $3, '', NULL, 0)";
    tx.execute_each(sql, &sets).await?;
    Ok(id)
}

async fn with_parts(tx: &mut dyn Transaction, mut job: Job) -> Result<Job, CatalogError> {
    let sql = "SELECT number, is_done, cursor, progress, owner, lease_until_ms FROM job_part \
        WHERE job = $1 ORDER BY number";
    for mut row in tx.query(sql, &[job.id.into()]).await? {
        let number: u32 = row.take()?;
        job.parts.push(JobPart {
            number: u8::try_from(number)
                .map_err(|_| CatalogError::Corrupt("a job has too many parts".to_owned()))?,
            is_done: row.take()?,
            cursor: row.take()?,
            progress: row.take()?,
            owner: row.optional()?,
            lease_until_ms: row.take()?,
        });
    }
    Ok(job)
}

async fn job(tx: &mut dyn Transaction, id: u64) -> Result<Option<Job>, CatalogError> {
    let rows = tx.query(select_job!("WHERE id = $1"), &[id.into()]).await?;
    match rows.into_iter().next() {
        None => Ok(None),
        Some(row) => with_parts(tx, from_row(row)?).await.map(Some),
    }
}

async fn jobs(
    tx: &mut dyn Transaction,
    before: Option<u64>,
    limit: usize,
) -> Result<Vec<Job>, CatalogError> {
    let sql = select_job!("WHERE id < $1 ORDER BY id DESC LIMIT $2");
    let rows = tx
        .query(sql, &[before.unwrap_or(u64::MAX).into(), limit.into()])
        .await?;
    let mut jobs = Vec::with_capacity(rows.len());
    for row in rows {
        jobs.push(with_parts(tx, from_row(row)?).await?);
    }
    Ok(jobs)
}

/// How urgent a kind of job is: the least first.
macro_rules! urgency {
    () => {
        "CASE j.kind WHEN 'repair' THEN 0 WHEN 'drain' THEN 1 WHEN 'return' THEN 1 ELSE 2 END"
    };
}

async fn other_work(
    tx: &mut dyn Transaction,
    job: u64,
    now_ms: u64,
) -> Result<OtherWork, CatalogError> {
    let own = concat!("SELECT ", urgency!(), " FROM job j WHERE j.id = $1");
    let free = concat!(
        "SELECT ",
        urgency!(),
        " FROM job_part p JOIN job j ON j.id = p.job \
        WHERE p.is_done = 0 AND p.lease_until_ms <= $1 AND j.state = 'running' AND j.id <> $2 ORDER BY 1 LIMIT 1"
    );
    let own: Option<u64> = tx
        .query(own, &[job.into()])
        .await?
        .pop()
        .map(|mut row| row.take())
        .transpose()?;
    let params = [now_ms.into(), job.into()];
    let Some(mut row) = tx.query(free, &params).await?.pop() else {
        return Ok(OtherWork::None);
    };
    let first: u64 = row.take()?;
    Ok(match own {
        Some(own) if first < own => OtherWork::MoreUrgent,
        _ => OtherWork::Some,
    })
}

async fn claim_part(
    tx: &mut dyn Transaction,
    owner: &str,
    lease_until_ms: u64,
    now_ms: u64,
) -> Result<Option<(Job, u8)>, CatalogError> {
    let free = concat!(
        "SELECT p.job, p.number FROM job_part p JOIN job j ON j.id = p.job \
        WHERE p.is_done = 0 AND p.lease_until_ms <= $1 AND j.state = 'running' ORDER BY ",
        urgency!(),
        ", p.job, p.number LIMIT 1"
    );
    let mut rows = tx.query(free, &[now_ms.into()]).await?;
    let Some(mut row) = rows.pop() else {
        return Ok(None);
    };
    let (id, number): (u64, u32) = (row.take()?, row.take()?);
    // Somebody else may have taken it since it was seen: then the caller asks again.
    let take = "UPDATE job_part SET owner = $3, lease_until_ms = $4 \
        WHERE job = $1 AND number = $2 AND is_done = 0 AND lease_until_ms <= $5";
    let params = [
        id.into(),
        number.into(),
        owner.into(),
        lease_until_ms.into(),
        now_ms.into(),
    ];
    if tx.execute(take, &params).await? == 0 {
        return Ok(None);
    }
    let number = u8::try_from(number).expect("it was below the number of parts");
    Ok(job(tx, id).await?.map(|job| (job, number)))
}

async fn report_part(tx: &mut dyn Transaction, report: &JobReport) -> Result<bool, CatalogError> {
    // The job first, so that of two parts that end at once one sees the other.
    let lock = "UPDATE job SET updated_ms = $2 WHERE id = $1 AND state = 'running'";
    if tx
        .execute(lock, &[report.job.into(), report.now_ms.into()])
        .await?
        == 0
    {
        return Ok(false);
    }
    let (is_done, lease_until_ms) = match report.then {
        Then::GoOn(until_ms) => (false, until_ms),
        Then::Done => (true, 0),
        Then::LetGo => (false, 0),
    };
    let sql = "UPDATE job_part SET is_done = $4, cursor = $5, progress = $6, lease_until_ms = $7 \
        WHERE job = $1 AND number = $2 AND owner = $3 AND is_done = 0";
    let params = [
        report.job.into(),
        u32::from(report.part).into(),
        (&*report.owner).into(),
        is_done.into(),
        (&report.cursor).into(),
        (&*report.progress).into(),
        lease_until_ms.into(),
    ];
    if tx.execute(sql, &params).await? == 0 {
        return Ok(false);
    }
    if is_done {
        let sql = "UPDATE job SET state = 'done' WHERE id = $1 \
            AND NOT EXISTS (SELECT 1 FROM job_part p WHERE p.job = $1 AND p.is_done = 0)";
        tx.execute(sql, &[report.job.into()]).await?;
    }
    Ok(true)
}

async fn let_go_parts(tx: &mut dyn Transaction, owner: &str) -> Result<(), CatalogError> {
    let sql = "UPDATE job_part SET lease_until_ms = 0 WHERE owner = $1 AND is_done = 0";
    tx.execute(sql, &[owner.into()]).await?;
    Ok(())
}

async fn cancel_job(tx: &mut dyn Transaction, id: u64, now_ms: u64) -> Result<bool, CatalogError> {
    let sql =
        "UPDATE job SET state = 'cancelled', updated_ms = $2 WHERE id = $1 AND state = 'running'";
    if tx.execute(sql, &[id.into(), now_ms.into()]).await? > 0 {
        return Ok(true);
    }
    match job(tx, id).await? {
        Some(_) => Ok(false),
        None => Err(CatalogError::NoSuchJob),
    }
}

async fn forget_jobs(tx: &mut dyn Transaction, before_ms: u64) -> Result<(), CatalogError> {
    let sql = "DELETE FROM job WHERE state <> 'running' AND updated_ms < $1";
    tx.execute(sql, &[before_ms.into()]).await?;
    let sql =
        "DELETE FROM job_part WHERE NOT EXISTS (SELECT 1 FROM job j WHERE j.id = job_part.job)";
    tx.execute(sql, &[]).await?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_id_lies_in_one_part() {
        for id in [vec![0; 32], vec![0x0f; 16], vec![0x10; 16], vec![0xff; 32]] {
            let holds = |number: &u8| {
                let range = JobPart::range(*number);
                range.start < id && id < range.end
            };

            let holders: Vec<_> = (0..JOB_PARTS).filter(holds).collect();

            assert_eq!(holders, [id[0] >> 4]);
        }
    }
}
