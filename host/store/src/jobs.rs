//! Jobs: what takes long is done part by part, by whichever stores share the catalogue, at a bounded rate.
//!
//! Invariant: what is done twice is done once: each step finds what is left to do in the catalogue. A part that its store has lost, or whose
//! job has ended, is left at its next report, after [`REPORT`] at most.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use bytes::Bytes;
use sc_metadata::{
    JOB_PARTS, Job, JobPart, JobReport, Join, LocationState, SegmentId, TenantId, Then, VersionId,
};
use sc_proto::coder;
use sc_proto::storage;
use sc_proto::store::Done;
use sc_proto::store::problem::Code;
use serde::{Deserialize, Serialize};
use serde_json::json;
use tokio::time::Instant;

use crate::administration::with_document;
use crate::error::Problem;
use crate::listing::page_size;
use crate::repair::Healed;
use crate::store::{Store, hex};
use crate::tier::{Tiering, tiering};

/// Things looked at together.
const ROUND: usize = 64;
/// So long the owner of a part has it without a report.
const LEASE: Duration = Duration::from_secs(120);
/// So often it reports.
pub(crate) const REPORT: Duration = Duration::from_secs(5);
/// So long a store's coders may be without roots after it was started.
const START: Duration = Duration::from_secs(120);
/// The least rate, in bytes a second: with less, one step could outlast the lease.
const RATE_MIN: u64 = 256 << 10;

/// What a job is to do.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "lowercase", deny_unknown_fields)]
pub enum Work {
    /// Makes what is owed, and what lay at lost locations.
    Repair {
        /// Bytes read and written in a second; 0: as many as can be.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        bytes_per_second: Option<u64>,
    },
    /// Reads and verifies fragments, and makes those again that are damaged.
    Scrub {
        /// The share of the segments, 0 to 1; all, if not given.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        sample: Option<f64>,
        /// The number of a day: each segment whose turn it is on that day by its policy's scrub interval.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        day: Option<u64>,
        /// As for a repair.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        bytes_per_second: Option<u64>,
    },
    /// Has all fragments leave a location.
    Drain {
        /// Its name.
        location: String,
        /// As for a repair.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        bytes_per_second: Option<u64>,
    },
    /// Moves objects to another policy.
    Migrate {
        /// Whose datastore it is, in hexadecimal; filled in by the store.
        #[serde(default)]
        tenant: String,
        /// The datastore.
        datastore: String,
        /// The beginning of the objects' keys; all of the datastore, if empty.
        #[serde(default)]
        prefix: String,
        /// One object alone.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        key: Option<String>,
        /// Where to.
        policy: String,
        /// As for a repair.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        bytes_per_second: Option<u64>,
    },
    /// Moves what nobody reads as its policy says, and back what is read again.
    Tier {
        /// As for a repair.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        bytes_per_second: Option<u64>,
    },
    /// Deletes what lies at locations and belongs to nothing.
    Gc {},
}

impl Work {
    /// Reads a definition.
    ///
    /// # Errors
    /// What is wrong with it, in words.
    pub fn parse(definition: &str) -> Result<Self, Problem> {
        let work: Self = serde_json::from_str(definition)
            .map_err(|error| Problem::malformed(&format!("this is no job: {error}")))?;
        if let Self::Scrub {
            sample: Some(sample),
            ..
        } = &work
            && !(*sample > 0.0 && *sample <= 1.0)
        {
            return Err(Problem::malformed(
                "a scrub's sample is a share above 0 and up to 1",
            ));
        }
        if let Some(rate) = work.bytes_per_second()
            && rate > 0
            && rate < RATE_MIN
        {
            return Err(Problem::malformed(&format!(
                "a job's rate is at least {RATE_MIN} bytes a second, or 0 for any"
            )));
        }
        Ok(work)
    }

    /// What is to be done about a location in this state.
    pub(crate) fn for_state(location: &str, state: LocationState) -> Option<Self> {
        match state {
            LocationState::Lost => Some(Self::Repair {
                bytes_per_second: None,
            }),
            LocationState::Draining => Some(Self::Drain {
                location: location.to_owned(),
                bytes_per_second: None,
            }),
            LocationState::Active | LocationState::ReadOnly => None,
        }
    }

    pub(crate) fn kind(&self) -> &'static str {
        match self {
            Self::Repair { .. } => "repair",
            Self::Scrub { .. } => "scrub",
            Self::Drain { .. } => "drain",
            Self::Migrate { .. } => "migrate",
            Self::Tier { .. } => "tier",
            Self::Gc {} => "gc",
        }
    }

    fn bytes_per_second(&self) -> Option<u64> {
        match self {
            Self::Repair { bytes_per_second }
            | Self::Scrub {
                bytes_per_second, ..
            }
            | Self::Drain {
                bytes_per_second, ..
            }
            | Self::Migrate {
                bytes_per_second, ..
            }
            | Self::Tier { bytes_per_second } => *bytes_per_second,
            Self::Gc {} => None,
        }
    }

    /// What it goes over, one after the other.
    fn stages(&self) -> &'static [Stage] {
        match self {
            Self::Repair { .. } | Self::Drain { .. } => &[Stage::Segments, Stage::Versions],
            Self::Scrub { .. } => &[Stage::Segments],
            Self::Migrate { .. } | Self::Tier { .. } => &[Stage::Versions],
            Self::Gc {} => &[Stage::Names],
        }
    }

    /// The datastore that it is about, if it is about one.
    fn datastore(&self) -> &str {
        match self {
            Self::Migrate { datastore, .. } => datastore,
            _ => "",
        }
    }

    fn definition(&self) -> String {
        serde_json::to_string(self).expect("plain data")
    }
}

/// What a part of a job goes over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    Segments,
    Versions,
    /// What lies at the locations, by name.
    Names,
}

/// What was done.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Outcome {
    /// Things looked at.
    pub seen: u64,
    /// Things that were made, moved or deleted.
    pub changed: u64,
    /// Fragments that were not what was stored.
    pub damaged: u64,
    /// Fragments that could not be looked at since their locations did not answer.
    pub unreached: u64,
    /// Things with which something went wrong.
    pub failed: u64,
    /// Bytes that locations have sent.
    pub bytes_read: u64,
    /// Bytes that locations were sent.
    pub bytes_written: u64,
    /// So many of these bytes have been waited for already.
    #[serde(skip)]
    pub(crate) bytes_paced: u64,
    /// What went wrong last.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub problem: Option<String>,
}

impl Outcome {
    pub(crate) fn add_healed(&mut self, healed: &Healed) {
        self.changed += healed.made as u64;
        self.bytes_read += healed.traffic.bytes_read;
        self.bytes_written += healed.traffic.bytes_written;
    }

    /// Adds what was done to one thing.
    fn add(&mut self, step: Self) {
        self.seen += step.seen.max(1);
        self.sum(step);
    }

    fn sum(&mut self, other: Self) {
        self.changed += other.changed;
        self.damaged += other.damaged;
        self.unreached += other.unreached;
        self.failed += other.failed + u64::from(other.problem.is_some() && other.failed == 0);
        self.bytes_read += other.bytes_read;
        self.bytes_written += other.bytes_written;
        if other.problem.is_some() {
            self.problem = other.problem;
        }
    }
}

/// What is written down of a part.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(crate) struct Progress {
    stage: usize,
    #[serde(flatten)]
    done: Outcome,
}

/// A part of a job, being done.
pub(crate) struct Part<'s> {
    store: &'s Arc<Store>,
    work: Work,
    unprovisioned: BTreeSet<TenantId>,
    beat: Beat<'s>,
}

/// What keeps a part: reports, and the rate at which it goes.
pub(crate) struct Beat<'s> {
    store: &'s Arc<Store>,
    job: u64,
    number: u8,
    progress: Progress,
    cursor: Bytes,
    reported: Instant,
    bytes_per_second: u64,
    /// When the next step may begin.
    next: Instant,
}

impl Beat<'_> {
    /// Waits as long as so many bytes take, and reports meanwhile; whether the part is this store's still.
    pub(crate) async fn spend(&mut self, bytes: u64) -> Result<bool, Problem> {
        if self.bytes_per_second > 0 {
            let time = Duration::from_secs_f64(bytes as f64 / self.bytes_per_second as f64);
            self.next = self.next.max(Instant::now()) + time;
        }
        loop {
            let now = Instant::now();
            if self.store.rebuilding.is_due() {
                self.report(Then::LetGo).await?;
                return Ok(false);
            }
            if now >= self.reported + REPORT && !self.go_on().await? {
                return Ok(false);
            }
            if now >= self.next {
                return Ok(true);
            }
            tokio::time::sleep_until(self.next.min(now + REPORT)).await;
        }
    }

    async fn go_on(&mut self) -> Result<bool, Problem> {
        self.report(Then::GoOn(self.store.in_ms(LEASE))).await
    }

    async fn report(&mut self, then: Then) -> Result<bool, Problem> {
        self.reported = Instant::now();
        let report = JobReport {
            job: self.job,
            part: self.number,
            owner: self.store.settings.owner.clone(),
            cursor: self.cursor.clone(),
            progress: serde_json::to_string(&self.progress).expect("plain data"),
            then,
            now_ms: self.store.now_ms(),
        };
        Ok(self.store.catalog.report_part(report).await?)
    }
}

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
            Work::Drain { location, .. } if !self.locations.now().contains_key(location) => {
                return Err(Problem::new(
                    Code::NotFound,
                    format!("there is no location {location:?}"),
                ));
            }
            _ => {}
        }
        let id = self.add_job(&work, Join::Running).await?;
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
        job.filter(|job| is_for(tenant, job))
            .ok_or_else(|| Problem::new(Code::NotFound, format!("there is no job {id}")))
    }
}

/// Whether a tenant may see a job: those of the locations, and its own.
fn is_for(tenant: TenantId, job: &Job) -> bool {
    match Work::parse(&job.definition) {
        Ok(Work::Migrate { tenant: named, .. }) => named == hex(&tenant.0),
        _ => true,
    }
}

impl<'s> Part<'s> {
    fn new(store: &'s Arc<Store>, job: Job, number: u8) -> Result<Self, (u64, Problem)> {
        let work = Work::parse(&job.definition).map_err(|problem| (job.id, problem))?;
        let part = job.parts.into_iter().find(|it| it.number == number);
        let part = part.ok_or((job.id, Problem::malformed("the job has no such part")))?;
        let rate = work.bytes_per_second();
        Ok(Self {
            store,
            beat: Beat {
                store,
                job: job.id,
                number,
                progress: serde_json::from_str(&part.progress).unwrap_or_default(),
                cursor: part.cursor,
                reported: Instant::now(),
                bytes_per_second: rate.unwrap_or(store.settings.job_bytes_per_second),
                next: Instant::now(),
            },
            unprovisioned: BTreeSet::new(),
            work,
        })
    }

    async fn run(mut self) -> Result<(), Problem> {
        while let Some(stage) = self.work.stages().get(self.beat.progress.stage).copied() {
            let is_over = match stage {
                Stage::Segments => self.segments().await?,
                Stage::Versions => self.versions().await?,
                Stage::Names => self.names().await?,
            };
            if !is_over {
                return Ok(());
            }
            self.beat.progress.stage += 1;
            self.beat.cursor = JobPart::range(self.beat.number).start.into();
        }
        self.beat.report(Then::Done).await?;
        Ok(())
    }

    /// The ids that are left of this part.
    fn left(&self) -> std::ops::Range<Vec<u8>> {
        self.beat.cursor.to_vec()..JobPart::range(self.beat.number).end
    }

    async fn segments(&mut self) -> Result<bool, Problem> {
        loop {
            let found = self
                .store
                .catalog
                .segments_within(self.left(), ROUND)
                .await?;
            for segment in &found {
                let mut step = self.segment(segment).await;
                while self.is_too_early(&step) {
                    tokio::time::sleep(REPORT).await;
                    if !self.beat.go_on().await? {
                        return Ok(false);
                    }
                    self.unprovisioned.clear();
                    step = self.segment(segment).await;
                }
                if !self.note(&segment.id.0, step).await? {
                    return Ok(false);
                }
            }
            if found.len() < ROUND {
                return Ok(true);
            }
        }
    }

    async fn segment(&mut self, segment: &sc_metadata::Segment) -> Result<Outcome, Problem> {
        let store = self.store;
        match &self.work {
            Work::Repair { .. } => {
                let healed = store
                    .heal(segment, &BTreeSet::new(), &mut self.unprovisioned)
                    .await?;
                let mut outcome = Outcome::default();
                outcome.add_healed(&healed);
                if healed.state == crate::repair::State::Partly {
                    outcome.problem =
                        Some("a segment misses fragments that no location takes".into());
                }
                Ok(outcome)
            }
            Work::Scrub { sample, day, .. } => {
                let is_chosen = match (sample, day) {
                    (_, Some(day)) => store.is_due(segment, *day).await?,
                    (Some(sample), None) => is_sampled(self.beat.job, segment.id, *sample),
                    (None, None) => true,
                };
                if !is_chosen {
                    return Ok(Outcome::default());
                }
                store.scrub_segment(segment, &mut self.unprovisioned).await
            }
            Work::Drain { location, .. } => {
                store
                    .drain_segment(segment, location, &mut self.unprovisioned)
                    .await
            }
            _ => Ok(Outcome::default()),
        }
    }

    async fn versions(&mut self) -> Result<bool, Problem> {
        loop {
            let found = self
                .store
                .catalog
                .versions_within(self.left(), ROUND)
                .await?;
            for (version, body) in &found {
                let mut step = self.version(version, body).await;
                while self.is_too_early(&step) {
                    tokio::time::sleep(REPORT).await;
                    if !self.beat.go_on().await? {
                        return Ok(false);
                    }
                    step = self.version(version, body).await;
                }
                if !self.note(&version.id.0, step).await? {
                    return Ok(false);
                }
            }
            if found.len() < ROUND {
                return Ok(true);
            }
        }
    }

    async fn version(
        &mut self,
        version: &sc_metadata::Version,
        body: &Bytes,
    ) -> Result<Outcome, Problem> {
        let store = self.store;
        let to = match &self.work {
            Work::Repair { .. } | Work::Drain { .. } => {
                return store.recopy_manifest(version.id).await;
            }
            Work::Migrate { policy, .. } if self.concerns(version).await? => Some(Tiering {
                policy: policy.clone(),
                home: None,
            }),
            Work::Tier { .. } if !version.is_marker => store.tiering_of(version).await?,
            _ => None,
        };
        match to {
            Some(to) => store.move_version(version, body, &to, &mut self.beat).await,
            None => Ok(Outcome::default()),
        }
    }

    /// Whether a step failed since the store has just been started, and its coders have no roots yet.
    fn is_too_early(&self, step: &Result<Outcome, Problem>) -> bool {
        let is_without = step
            .as_ref()
            .is_err_and(|it| matches!(it.code, Code::NotProvisioned | Code::Unavailable));
        is_without && self.store.began.elapsed() < START
    }

    /// Whether a migration is about a version.
    async fn concerns(&self, version: &sc_metadata::Version) -> Result<bool, Problem> {
        let Work::Migrate {
            tenant,
            datastore,
            prefix,
            key,
            ..
        } = &self.work
        else {
            return Ok(false);
        };
        let is_named = match key {
            Some(key) => version.key == key.as_bytes(),
            None => version.key.starts_with(prefix.as_bytes()),
        };
        if !is_named || version.is_marker {
            return Ok(false);
        }
        let found = self
            .store
            .catalog
            .datastore_by_id(version.datastore)
            .await?;
        Ok(found.is_some_and(|it| it.name == *datastore && hex(&it.tenant.0) == *tenant))
    }

    async fn names(&mut self) -> Result<bool, Problem> {
        let store = self.store;
        let job = self.beat.job;
        let digit = format!("{:x}", self.beat.number);
        let collected = async {
            if store.gc_checked.load(Relaxed) != job {
                store.check_manifests().await?;
                store.gc_checked.store(job, Relaxed);
            }
            store.collect_garbage(&digit).await
        };
        let done = collected.await.unwrap_or_else(failed);
        self.beat.progress.done.seen += done.seen;
        self.beat.progress.done.sum(done);
        Ok(true)
    }

    /// Counts a step; whether the part is this store's still.
    async fn note(&mut self, id: &[u8], step: Result<Outcome, Problem>) -> Result<bool, Problem> {
        let step = step.unwrap_or_else(|problem| {
            tracing::warn!(job = self.beat.job, %problem, "a step of a job failed");
            failed(problem)
        });
        let bytes = step.bytes_read + step.bytes_written - step.bytes_paced;
        self.beat.progress.done.add(step);
        self.beat.cursor = Bytes::copy_from_slice(id);
        self.beat.spend(bytes).await
    }
}

fn failed(problem: Problem) -> Outcome {
    Outcome {
        failed: 1,
        problem: Some(problem.message),
        ..Outcome::default()
    }
}

/// Whether a segment belongs to a sample: by its id, so that a job that goes on chooses as before.
fn is_sampled(job: u64, segment: SegmentId, sample: f64) -> bool {
    let share = mix(job, segment) as f64 / 2.0_f64.powi(64);
    share < sample
}

/// A number of a segment for a purpose.
fn mix(purpose: u64, segment: SegmentId) -> u64 {
    let id = segment.0.first_chunk().expect("an id is longer");
    // The finalizer of SplitMix64 (Steele, Lea and Flood, 2014).
    let mut mixed = u64::from_be_bytes(*id) ^ purpose.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}

impl Store {
    /// Whether it is a segment's turn to be scrubbed on a day: once in as many days as its policy says.
    async fn is_due(&self, segment: &sc_metadata::Segment, day: u64) -> Result<bool, Problem> {
        let Some((version, _)) = self.catalog.version_by_id(segment.version).await? else {
            return Ok(false);
        };
        let policy = self
            .policy_version(&version.policy, version.policy_version)
            .await?;
        let days = u64::from(policy.policy.scrub_days);
        Ok(days > 0 && mix(0, segment.id) % days == day % days)
    }

    /// Where a version should go now, if anywhere.
    async fn tiering_of(&self, version: &sc_metadata::Version) -> Result<Option<Tiering>, Problem> {
        let policy = self
            .policy_version(&version.policy, version.policy_version)
            .await?;
        let placing = self.catalog.placing(version.id).await?;
        Ok(placing.and_then(|it| tiering(version, &it, &policy.policy, self.now_ms())))
    }

    /// Sees to it that a version's manifest has its copies, after a location is lost or left.
    async fn recopy_manifest(&self, version: VersionId) -> Result<Outcome, Problem> {
        let problem = match self.copy_manifest(version).await? {
            Some(false) => Some("a manifest has too few copies".to_owned()),
            _ => None,
        };
        Ok(Outcome {
            problem,
            ..Outcome::default()
        })
    }
}

/// A job as it is shown.
pub(crate) fn document(job: &Job) -> serde_json::Value {
    let mut done = Outcome::default();
    let (mut share, mut workers) = (0.0, BTreeSet::new());
    let stages = Work::parse(&job.definition).map_or(1, |work| work.stages().len());
    for part in &job.parts {
        let progress: Progress = serde_json::from_str(&part.progress).unwrap_or_default();
        done.seen += progress.done.seen;
        done.sum(progress.done);
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
    fn what_is_no_job_is_refused_with_the_reason() {
        for (definition, expected) in [
            ("{}", "kind"),
            (r#"{"kind":"paint"}"#, "paint"),
            (r#"{"kind":"scrub","sample":0}"#, "sample"),
            (r#"{"kind":"scrub","sample":1.5}"#, "sample"),
            (r#"{"kind":"repair","bytes_per_second":1}"#, "262144"),
            (r#"{"kind":"drain"}"#, "location"),
            (r#"{"kind":"gc","deep":true}"#, "deep"),
        ] {
            let problem = Work::parse(definition).unwrap_err();
            assert!(
                problem.message.contains(expected),
                "{definition}: {problem}"
            );
        }
    }

    #[test]
    fn a_definition_is_read_as_it_was_written() {
        let definition = r#"{"kind":"migrate","datastore":"data","policy":"cold"}"#;
        let work = Work::parse(definition).unwrap();

        assert_eq!(Work::parse(&work.definition()).unwrap(), work);
    }

    #[test]
    fn a_sample_is_about_as_large_as_was_asked_for_and_the_same_again() {
        let chosen = |job: u64| {
            let ids = (0..4000_u64).map(|number| {
                let mut id = [7; 32];
                id[..8].copy_from_slice(&number.wrapping_mul(0x0123_4567_89ab_cdef).to_be_bytes());
                SegmentId(id)
            });
            ids.filter(move |id| is_sampled(job, *id, 0.25))
                .collect::<Vec<_>>()
        };

        let (one, other) = (chosen(1), chosen(2));

        assert!((900..1100).contains(&one.len()), "{}", one.len());
        assert_eq!(chosen(1), one);
        assert_ne!(other, one);
    }

    #[test]
    fn the_share_of_a_part_grows_with_its_cursor() {
        assert_eq!(walked(0, &[]), 0.0);
        assert_eq!(walked(3, &[0x30]), 0.0);
        assert_eq!(walked(3, &[0x38, 0, 0, 0]), 0.5);
        assert_eq!(walked(15, &[0xf8]), 0.5);
    }
}
