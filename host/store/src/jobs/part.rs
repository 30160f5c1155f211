//! A part of a job is done: step by step over the ids that begin with its digit, at a bounded rate, with reports on the way.
//!
//! Invariant: what is done twice is done once: each step finds what is left to do in the catalogue. A part that its store has lost, or whose
//! job has ended, is left at its next report, after [`REPORT`] at most.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use sc_backend::FragmentName;
use sc_metadata::{
    Job, JobPart, JobReport, OtherWork, Segment, SegmentId, TenantId, Then, VersionId,
};
use sc_proto::store::problem::Code;
use tokio::time::Instant;

use super::work::{Outcome, Progress, Stage, Work};
use crate::error::Problem;
use crate::gc::{self, list};
use crate::repair::{Healed, State};
use crate::returning::Known;
use crate::scrub::together;
use crate::store::{Store, hex};
use crate::tier::{Tiering, tiering};

/// Things looked at together.
const ROUND: usize = 64;
/// So long the owner of a part has it without a report.
pub(super) const LEASE: Duration = Duration::from_secs(120);
/// So long a part that waits is left alone, so that other work or another store has its turn.
const REST: Duration = Duration::from_secs(30);
/// So often it reports.
const REPORT: Duration = Duration::from_secs(5);
/// So long in all a part waits for coders that do not answer or have no roots, and locations that do not answer, before it passes over what
/// needs them.
const PATIENCE: Duration = Duration::from_secs(120);
/// A part of a job, being done.
pub(super) struct Part<'s> {
    store: &'s Arc<Store>,
    work: Work,
    unprovisioned: BTreeSet<TenantId>,
    /// When it asked whether something else comes first.
    asked: Instant,
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
    /// Whether the part is not this store's any more.
    is_left: bool,
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

    /// Leaves the part alone for a while, and the others of its job that nobody is at, so that something else is done, or another store takes it.
    async fn rest(&mut self) -> Result<(), Problem> {
        let (until_ms, now_ms) = (self.store.in_ms(REST), self.store.now_ms());
        if self.report(Then::GoOn(until_ms)).await? {
            let rested = self.store.catalog.rest_job(self.job, until_ms, now_ms);
            rested.await?;
        }
        self.is_left = true;
        Ok(())
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
        let is_own = self.store.catalog.report_part(report).await?;
        self.is_left |= !is_own || matches!(then, Then::LetGo);
        Ok(is_own)
    }
}

impl<'s> Part<'s> {
    pub(super) fn new(store: &'s Arc<Store>, job: Job, number: u8) -> Result<Self, (u64, Problem)> {
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
                is_left: false,
            },
            asked: Instant::now(),
            unprovisioned: BTreeSet::new(),
            work,
        })
    }

    pub(super) async fn run(mut self) -> Result<(), Problem> {
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
            self.beat.progress.waits_for = None;
            self.beat.progress.at = None;
            self.beat.cursor = JobPart::range(self.beat.number).start.into();
        }
        self.beat.report(Then::Done).await?;
        if let Work::Return { location } = &self.work {
            self.store.readmit(location, self.beat.job).await?;
        }
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
            let mut left = &found[..];
            while !left.is_empty() {
                let (batch, rest) = left.split_at(self.together(left));
                left = rest;
                let mut steps = self.steps(batch).await;
                while let Some(why) = steps.iter().find_map(may_pass)
                    && self.may_wait()
                {
                    if !self.wait(why.message.clone()).await? {
                        return Ok(false);
                    }
                    steps = self.steps(batch).await;
                }
                for (segment, step) in batch.iter().zip(steps) {
                    if !self.note(&segment.id.0, step).await? {
                        return Ok(false);
                    }
                }
            }
            if found.len() < ROUND {
                return Ok(true);
            }
        }
    }

    /// How many of the segments make one batch of steps.
    fn together(&self, segments: &[Segment]) -> usize {
        match &self.work {
            Work::Scrub { .. } => together(segments).len(),
            _ => 1,
        }
    }

    /// What is done to each segment of a batch.
    async fn steps(&mut self, batch: &[Segment]) -> Vec<Result<Outcome, Problem>> {
        let (store, job) = (self.store, self.beat.job);
        let Work::Scrub { sample, day, .. } = &self.work else {
            let mut steps = Vec::with_capacity(batch.len());
            for segment in batch {
                steps.push(self.segment(segment).await);
            }
            return steps;
        };
        let mut chosen = Vec::with_capacity(batch.len());
        let mut steps = Vec::with_capacity(batch.len());
        for segment in batch {
            let is_chosen = match (sample, day) {
                (_, Some(day)) => store.is_due(segment, *day).await,
                (Some(sample), None) => Ok(is_sampled(job, segment.id, *sample)),
                (None, None) => Ok(true),
            };
            if let Ok(true) = is_chosen {
                chosen.push(segment.clone());
            }
            // Those that are chosen have their outcomes below.
            steps.push(is_chosen.map(|_| Outcome::default()));
        }
        let scrubbed = store.scrub_segments(&chosen, &mut self.unprovisioned).await;
        let mut scrubbed = chosen.iter().map(|it| it.id).zip(scrubbed).peekable();
        for (segment, step) in batch.iter().zip(&mut steps) {
            if let Some((_, outcome)) = scrubbed.next_if(|(id, _)| *id == segment.id) {
                *step = outcome;
            }
        }
        steps
    }

    async fn segment(&mut self, segment: &Segment) -> Result<Outcome, Problem> {
        let store = self.store;
        match &self.work {
            Work::Repair { .. } => {
                let repaired = store.repair_segment(segment, &mut self.unprovisioned);
                repaired.await
            }
            Work::Drain { location, .. } => {
                store
                    .drain_segment(segment, location, &mut self.unprovisioned)
                    .await
            }
            Work::Return { location } => {
                store
                    .heal_returning(segment, location, &mut self.unprovisioned)
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
                // A step that ended because the part was lost says nothing of the version.
                while !self.beat.is_left
                    && let Some(why) = may_pass(&step)
                    && self.may_wait()
                {
                    if !self.wait(why.message.clone()).await? {
                        return Ok(false);
                    }
                    step = self.version(version, body).await;
                }
                if self.beat.is_left {
                    return Ok(false);
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
            // Those at the location that returns count, and those that are owed are made when it is active.
            Work::Return { .. } => {
                store.recopy_manifest(version.id).await?;
                return Ok(Outcome::default());
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

    /// Whether it has not waited long enough.
    fn may_wait(&self) -> bool {
        self.beat.progress.waited_s < PATIENCE.as_secs()
    }

    /// Waits a while for what keeps steps from being done, unless there is something else to do; whether the part is this store's still.
    async fn wait(&mut self, why: String) -> Result<bool, Problem> {
        self.beat.progress.waits_for = Some(why);
        let others = self
            .store
            .catalog
            .other_work(self.beat.job, self.store.now_ms());
        if others.await? != OtherWork::None {
            self.beat.progress.waited_s += REST.as_secs();
            self.beat.rest().await?;
            return Ok(false);
        }
        self.beat.progress.waited_s += REPORT.as_secs();
        if !self.beat.go_on().await? {
            return Ok(false);
        }
        tokio::time::sleep(REPORT).await;
        self.unprovisioned.clear();
        Ok(true)
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
        match self.collect().await {
            Err(problem) if self.is_for_others(&problem) => {
                tracing::warn!(job = self.beat.job, %problem, "left to other stores for a while");
                self.beat.progress.waits_for = Some(problem.message);
                self.beat.rest().await?;
                Ok(false)
            }
            Err(problem) => {
                self.beat.progress.done.sum(failed(problem));
                Ok(true)
            }
            collected => collected,
        }
    }

    /// Goes over the names at the locations from where the part was left; whether it came to the end.
    async fn collect(&mut self) -> Result<bool, Problem> {
        let (store, job) = (self.store, self.beat.job);
        let (sites, mut known) = match &self.work {
            Work::Return { location } => {
                let site = store.site_returning(location, job).await?;
                (vec![site], Some(Known::default()))
            }
            _ => (store.sites_to_collect(job).await?, None),
        };
        let digit = format!("{:x}", self.beat.number);
        for site in sites {
            let at = self.beat.progress.at.as_ref();
            if at.is_some_and(|(name, _)| *name > site.name) {
                continue;
            }
            let left = at.filter(|(name, _)| *name == site.name);
            let mut after = FragmentName::new(left.map_or(&digit, |(_, after)| after)).ok();
            loop {
                let page = list(store, &site, after.as_ref(), &digit).await?;
                for names in page.chunks(gc::ROUND) {
                    let mut done = Outcome::default();
                    store.collect(&site, names, &mut done).await?;
                    if let Some(known) = &mut known {
                        store.collect_files(&site, names, known, &mut done).await?;
                    }
                    if !self.note_names(&site.name, names, done).await? {
                        return Ok(false);
                    }
                }
                match page.last() {
                    Some(last) => after = Some(last.clone()),
                    None => break,
                }
            }
        }
        Ok(true)
    }

    /// Counts names that were gone over; whether the part is this store's still.
    async fn note_names(
        &mut self,
        site: &str,
        names: &[FragmentName],
        done: Outcome,
    ) -> Result<bool, Problem> {
        let progress = &mut self.beat.progress;
        progress.done.seen += done.seen;
        progress.done.sum(done);
        progress.waits_for = None;
        let last = names.last().map(|name| name.as_str().to_owned());
        progress.at = last.map(|name| (site.to_owned(), name));
        Ok(self.beat.spend(0).await? && !self.gives_way().await?)
    }

    /// Whether another store may be able to do what this one cannot: the location that returns does not answer here.
    fn is_for_others(&self, problem: &Problem) -> bool {
        matches!(self.work, Work::Return { .. }) && problem.code == Code::Unavailable
    }

    /// Counts a step; whether the part is this store's still.
    async fn note(&mut self, id: &[u8], step: Result<Outcome, Problem>) -> Result<bool, Problem> {
        let step = step.unwrap_or_else(|problem| {
            tracing::warn!(job = self.beat.job, %problem, "a step of a job failed");
            failed(problem)
        });
        let bytes = step.bytes_read + step.bytes_written - step.bytes_paced;
        self.beat.progress.done.add(step);
        self.beat.progress.waits_for = None;
        self.beat.cursor = Bytes::copy_from_slice(id);
        Ok(self.beat.spend(bytes).await? && !self.gives_way().await?)
    }

    /// Lets go of the part, between two steps, where there is something that comes first; whether it did.
    async fn gives_way(&mut self) -> Result<bool, Problem> {
        if self.asked.elapsed() < REPORT {
            return Ok(false);
        }
        self.asked = Instant::now();
        let now_ms = self.store.now_ms();
        let others = self.store.catalog.other_work(self.beat.job, now_ms).await?;
        if others == OtherWork::MoreUrgent {
            self.beat.report(Then::LetGo).await?;
            return Ok(true);
        }
        Ok(false)
    }
}

/// Whether a step failed for want of something that may come back.
fn may_pass(step: &Result<Outcome, Problem>) -> Option<&Problem> {
    let problem = step.as_ref().err();
    problem.filter(|it| matches!(it.code, Code::NotProvisioned | Code::Unavailable))
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
    async fn is_due(&self, segment: &Segment, day: u64) -> Result<bool, Problem> {
        let origins = self.catalog.origins(vec![segment.version]).await?;
        let Some(origin) = origins.get(&segment.version) else {
            return Ok(false);
        };
        let policy = self
            .policy_version(&origin.policy, origin.policy_version)
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

    /// Makes what a segment misses; at once elsewhere, too, where a location that was chosen has just failed.
    async fn repair_segment(
        &self,
        segment: &Segment,
        unprovisioned: &mut BTreeSet<TenantId>,
    ) -> Result<Outcome, Problem> {
        let mut outcome = Outcome::default();
        let none = BTreeSet::new();
        let healed = self.heal(segment, &none, unprovisioned).await?;
        if healed.state == State::Partly && healed.made > 0 {
            let found = self.catalog.segments_by_id(vec![segment.id]).await?;
            if let Some((segment, true)) = found.first() {
                outcome.add_healed(&Healed {
                    state: State::Whole,
                    ..healed
                });
                let again = self.heal(segment, &none, unprovisioned).await?;
                outcome.add_healed(&again);
                return Ok(outcome);
            }
        }
        outcome.add_healed(&healed);
        Ok(outcome)
    }

    /// Sees to it that a version's manifest has its copies, after a location is lost or left.
    async fn recopy_manifest(&self, version: VersionId) -> Result<Outcome, Problem> {
        let problem = match self.copy_manifest(version).await? {
            Some(false) => {
                self.catalog.owe_manifest(version).await?;
                Some("a manifest has too few copies".to_owned())
            }
            _ => None,
        };
        Ok(Outcome {
            problem,
            ..Outcome::default()
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
}
