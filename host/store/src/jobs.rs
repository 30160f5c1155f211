//! Jobs: what takes long is done part by part, by whichever stores share the catalogue.
//!
//! Invariant: a tenant sees, begins and ends what is about the locations and about its own datastores alone.

mod part;
mod work;

use std::collections::BTreeSet;
use std::sync::Arc;

use sc_metadata::{JOB_PARTS, Job, JobState, Join, LocationState, TenantId};
use sc_proto::coder;
use sc_proto::storage;
use sc_proto::store::Done;
use sc_proto::store::problem::Code;
use serde_json::json;

use self::part::{LEASE, Part};
use self::work::Progress;
use crate::administration::with_document;
use crate::error::Problem;
use crate::listing::page_size;
use crate::store::{Store, hex};

pub(crate) use self::part::Beat;
pub use self::work::{Outcome, Work};

impl Store {
    /// Does one part of some job, if there is one that nobody works on; whether there was.
    ///
    /// # Errors
    /// The catalogue does not answer.
    pub(crate) async fn work(self: &Arc<Self>) -> Result<bool, Problem> {
        // A catalogue that does not know everything yet has nothing mended, moved or collected.
        if self.rebuilding.is_due() {
            return Ok(false);
        }
        let owner = &self.settings.owner;
        let claimed = self
            .catalog
            .claim_part(owner, self.in_ms(LEASE), self.now_ms())
            .await?;
        let Some((job, number)) = claimed else {
            return Ok(false);
        };
        // Another store may have been told that a location is lost, and this one not yet.
        self.open_locations().await?;
        match Part::new(self, job, number) {
            Ok(part) => part.run().await?,
            Err((job, problem)) => {
                tracing::error!(job, %problem, "a job that this store does not understand ends");
                self.catalog.cancel_job(job, self.now_ms()).await?;
            }
        }
        Ok(true)
    }

    /// Makes a job, or finds one that is the same and may be joined.
    pub(crate) async fn add_job(&self, work: &Work, join: Join) -> Result<u64, Problem> {
        let (kind, definition) = (work.kind(), work.definition());
        let added = self.catalog.add_job(kind, &definition, join, self.now_ms());
        let id = added.await?;
        self.job_made.notify_one();
        Ok(id)
    }

    /// Begins what goes with a location's state. A store that stops before is made up for: see `Chores::appoint`.
    pub(crate) async fn begin_work_for(
        &self,
        location: &str,
        state: LocationState,
    ) -> Result<(), Problem> {
        self.end_work_for(location, state).await?;
        if let Some(work) = Work::for_state(location, state) {
            // One that has begun may have passed what lies there, and one of an earlier return makes nothing active.
            let join = match self.catalog.returning(location).await? {
                Some(returning) => Join::Since(returning.since),
                None => Join::Unbegun,
            };
            self.add_job(&work, join).await?;
        }
        Ok(())
    }

    /// Ends what went with another state of a location than this, or with an earlier return.
    async fn end_work_for(&self, location: &str, state: LocationState) -> Result<(), Problem> {
        let returning = self.catalog.returning(location).await?;
        for (id, definition) in self.catalog.running_jobs().await? {
            let is_over = match Work::parse(&definition) {
                Ok(Work::Drain { location: left, .. }) => {
                    left == location && state != LocationState::Draining
                }
                Ok(Work::Return { location: back }) => {
                    back == location && returning.is_none_or(|it| id <= it.since)
                }
                _ => false,
            };
            if is_over {
                self.catalog.cancel_job(id, self.now_ms()).await?;
            }
        }
        Ok(())
    }

    /// A `PutJob`.
    pub(crate) async fn put_job(
        &self,
        tenant: TenantId,
        request: &coder::Request,
        operation: &storage::PutJob,
    ) -> Result<Done, Problem> {
        let sealed = self.authorize(tenant, request).await?;
        let mut work = Work::parse(&operation.definition)?;
        if work.datastore() != operation.datastore {
            return Err(Problem::malformed(
                "the job is about another datastore than the request",
            ));
        }
        match &mut work {
            Work::Migrate {
                tenant: named,
                datastore,
                policy,
                ..
            } => {
                self.datastore(tenant, datastore).await?;
                self.policy(policy).await?;
                *named = hex(&tenant.0);
            }
            Work::Return { .. } => {
                return Err(Problem::malformed(
                    "a location that was lost returns when its state is set: see `kv location set`",
                ));
            }
            Work::Gc { strays: true } if !self.catalog.miss_no_locations().await? => {
                return Err(Problem::new(
                    Code::InUse,
                    "the catalogue is being made again: collect garbage when it is",
                ));
            }
            Work::Drain { location, .. } if !self.locations.now().contains_key(location) => {
                return Err(Problem::new(
                    Code::NotFound,
                    format!(
                        "there is no location {location:?}: `securecloud kv location ls` lists them"
                    ),
                ));
            }
            _ => {}
        }
        // Parts of a collection that runs may have been gone over before strays were to go.
        let join = match work {
            Work::Gc { strays: true } => Join::Unbegun,
            _ => Join::Running,
        };
        let id = self.add_job(&work, join).await?;
        let job = self.catalog.job(id).await?;
        let job = job.ok_or_else(|| Problem::new(Code::NotFound, "there is no such job"))?;
        Ok(with_document(sealed, document(&job)))
    }

    /// A `ListJobs`.
    pub(crate) async fn list_jobs(
        &self,
        tenant: TenantId,
        request: &coder::Request,
        operation: &storage::ListJobs,
    ) -> Result<Done, Problem> {
        let sealed = self.authorize(tenant, request).await?;
        if operation.job > 0 {
            let job = self.job_of(tenant, operation.job).await?;
            return Ok(with_document(sealed, document(&job)));
        }
        let limit = page_size(operation.limit)?;
        let before = Some(operation.before).filter(|it| *it > 0);
        let jobs = self.catalog.jobs(before, limit).await?;
        let own = jobs.iter().filter(|job| is_for(tenant, job));
        Ok(with_document(sealed, own.map(document).collect()))
    }

    /// A `CancelJob`.
    pub(crate) async fn cancel_job(
        &self,
        tenant: TenantId,
        request: &coder::Request,
        operation: &storage::CancelJob,
    ) -> Result<Done, Problem> {
        let sealed = self.authorize(tenant, request).await?;
        self.job_of(tenant, operation.job).await?;
        self.catalog
            .cancel_job(operation.job, self.now_ms())
            .await?;
        let job = self.job_of(tenant, operation.job).await?;
        Ok(with_document(sealed, document(&job)))
    }

    async fn job_of(&self, tenant: TenantId, id: u64) -> Result<Job, Problem> {
        let job = self.catalog.job(id).await?;
        job.filter(|job| is_for(tenant, job)).ok_or_else(|| {
            Problem::new(
                Code::NotFound,
                format!("there is no job {id}: `securecloud kv job ls` lists them"),
            )
        })
    }
}

/// Whether a tenant may see a job: those of the locations, and its own.
fn is_for(tenant: TenantId, job: &Job) -> bool {
    match Work::parse(&job.definition) {
        Ok(Work::Migrate { tenant: named, .. }) => named == hex(&tenant.0),
        _ => true,
    }
}

/// How many steps of a job have failed.
pub(crate) fn failed_steps(job: &Job) -> u64 {
    let parts = job.parts.iter();
    let progress = parts.map(|it| serde_json::from_str(&it.progress).unwrap_or_default());
    progress.map(|it: Progress| it.done.failed).sum()
}

/// A job as it is shown.
pub(crate) fn document(job: &Job) -> serde_json::Value {
    let mut done = Outcome::default();
    let (mut share, mut workers) = (0.0, BTreeSet::new());
    let mut waits_for = None;
    let is_running = job.state == JobState::Running;
    let stages = Work::parse(&job.definition).map_or(1, |work| work.stages().len());
    for part in &job.parts {
        let progress: Progress = serde_json::from_str(&part.progress).unwrap_or_default();
        done.seen += progress.done.seen;
        done.sum(progress.done);
        waits_for = waits_for.or(progress.waits_for.filter(|_| is_running && !part.is_done));
        let part_share = if part.is_done {
            1.0
        } else {
            let stage = progress.stage.min(stages) as f64;
            (stage + walked(part.number, &part.cursor)) / stages as f64
        };
        share += part_share / f64::from(JOB_PARTS);
        let is_worked_on = !part.is_done && part.lease_until_ms > 0;
        workers.extend(part.owner.as_ref().filter(|_| is_worked_on));
    }
    let definition: serde_json::Value = serde_json::from_str(&job.definition).unwrap_or_default();
    json!({
        "id": job.id,
        "kind": job.kind,
        "state": job.state.as_str(),
        "definition": without_tenant(definition),
        "created_ms": job.created_ms,
        "updated_ms": job.updated_ms,
        "share": share.min(1.0),
        "workers": workers.len(),
        "waits_for": waits_for,
        "done": done,
    })
}

/// Whose job it is is known to whoever sees it.
fn without_tenant(mut definition: serde_json::Value) -> serde_json::Value {
    if let Some(fields) = definition.as_object_mut() {
        fields.remove("tenant");
    }
    definition
}

/// The share of a part's ids up to `cursor`.
fn walked(number: u8, cursor: &[u8]) -> f64 {
    let mut first = [0; 8];
    let length = cursor.len().min(8);
    first[..length].copy_from_slice(&cursor[..length]);
    let position = u64::from_be_bytes(first) as f64 / 2.0_f64.powi(60);
    (position - f64::from(number)).clamp(0.0, 1.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_share_of_a_part_grows_with_its_cursor() {
        assert_eq!(walked(0, &[]), 0.0);
        assert_eq!(walked(3, &[0x30]), 0.0);
        assert_eq!(walked(3, &[0x38, 0, 0, 0]), 0.5);
        assert_eq!(walked(15, &[0xf8]), 0.5);
    }
}
