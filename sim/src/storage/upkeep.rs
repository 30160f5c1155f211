//! What the jobs of a run have done, kind by kind.

use std::fmt;

use serde_json::Value;

/// The kinds of jobs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[non_exhaustive]
pub enum JobKind {
    /// Makes what is owed or lost.
    Repair,
    /// Verifies fragments, and makes those again that are damaged.
    Scrub,
    /// Moves objects to another policy.
    Migrate,
    /// Moves what nobody reads.
    Tier,
    /// Has fragments leave a location.
    Drain,
    /// Deletes what belongs to nothing.
    Gc,
    /// Has a location that was lost forget what was deleted meanwhile.
    Return,
}

impl JobKind {
    /// Every kind.
    pub const ALL: [Self; 7] = [
        Self::Repair,
        Self::Scrub,
        Self::Migrate,
        Self::Tier,
        Self::Drain,
        Self::Gc,
        Self::Return,
    ];

    fn word(self) -> &'static str {
        match self {
            Self::Repair => "repair",
            Self::Scrub => "scrub",
            Self::Migrate => "migrate",
            Self::Tier => "tier",
            Self::Drain => "drain",
            Self::Gc => "gc",
            Self::Return => "return",
        }
    }
}

/// How many jobs of each kind there were, and how many things they have made, moved or deleted.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Upkeep {
    jobs: [u64; JobKind::ALL.len()],
    changed: [u64; JobKind::ALL.len()],
}

impl Upkeep {
    /// Counts a job, as the store describes it.
    pub(crate) fn count(&mut self, job: &Value) {
        let kind = JobKind::ALL.into_iter().find(|it| job["kind"] == it.word());
        if let Some(kind) = kind {
            self.jobs[kind as usize] += 1;
            self.changed[kind as usize] += job["done"]["changed"].as_u64().unwrap_or_default();
        }
    }

    /// How many things jobs of this kind have made, moved or deleted.
    #[must_use]
    pub fn changed(&self, kind: JobKind) -> u64 {
        self.changed[kind as usize]
    }

    /// Adds the counts of another run.
    pub fn add(&mut self, other: &Self) {
        for kind in JobKind::ALL {
            self.jobs[kind as usize] += other.jobs[kind as usize];
            self.changed[kind as usize] += other.changed[kind as usize];
        }
    }
}

impl fmt::Display for Upkeep {
    /// One line for each kind.
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        for kind in JobKind::ALL {
            let (jobs, changed) = (self.jobs[kind as usize], self.changed[kind as usize]);
            writeln!(
                out,
                "{:<22}{jobs:>9} jobs, {changed} things changed",
                kind.word()
            )?;
        }
        Ok(())
    }
}
