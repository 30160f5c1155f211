//! What a run came to, and how to see it again.

use std::fmt;
use std::time::Duration;

use super::fault::Faults;
use super::oracle::Violation;
use super::upkeep::Upkeep;
use crate::trace::TraceHash;

/// Violations that are shown.
const SHOWN: usize = 12;

/// What a run came to.
#[derive(Debug, Clone)]
pub struct Report {
    /// The seed that it began with.
    pub seed: u64,
    /// The hash of everything that happened.
    pub trace: TraceHash,
    /// The lines of the trace, if they were asked for.
    pub lines: Vec<String>,
    /// What was injected.
    pub faults: Faults,
    /// What jobs did.
    pub upkeep: Upkeep,
    /// What must not have happened.
    pub violations: Vec<Violation>,
    /// Attempts to change an object.
    pub attempts: u64,
    /// How many of them were acknowledged.
    pub acknowledged: u64,
    /// Reads that came to something, or to nothing for sure.
    pub reads: u64,
    /// How long the run lasted in virtual time.
    pub took: Duration,
}

impl fmt::Display for Report {
    /// The verdict, and how to see the run again.
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            out,
            "seed {}: trace {}, {:.1} s, {} attempts, {} acknowledged, {} reads, {} faults",
            self.seed,
            self.trace,
            self.took.as_secs_f32(),
            self.attempts,
            self.acknowledged,
            self.reads,
            self.faults.total()
        )?;
        for violation in self.violations.iter().take(SHOWN) {
            write!(out, "\n  violated: {violation}")?;
        }
        if self.violations.len() > SHOWN {
            write!(out, "\n  and {} more", self.violations.len() - SHOWN)?;
        }
        if !self.violations.is_empty() {
            write!(
                out,
                "\n  replay: cargo run -p sc-sim -- storage --seed {} --verbose",
                self.seed
            )?;
        }
        Ok(())
    }
}
