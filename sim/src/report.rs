//! Reports: what a run came to, and how to see it again.

use std::fmt;
use std::time::Duration;

use crate::fault::Faults;
use crate::trace::TraceHash;
use crate::violation::Violation;

/// Violations that are shown; the first ones tell most.
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
    /// What must not have happened.
    pub violations: Vec<Violation>,
    /// Deliveries made.
    pub deliveries: u64,
    /// Sessions opened.
    pub sessions: u64,
    /// Things that happened.
    pub steps: u64,
    /// How long the run lasted in virtual time.
    pub took: Duration,
}

impl fmt::Display for Report {
    /// The verdict, and how to see the run again.
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            seed,
            trace,
            faults,
            deliveries,
            sessions,
            steps,
            ..
        } = self;
        let took = self.took.as_secs_f32();
        write!(
            out,
            "seed {seed}: trace {trace}, {took:.1} s, {steps} steps, {sessions} sessions, {deliveries} deliveries; {faults}"
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
                "\n  replay: cargo run -p sc-sim -- --seed {seed} --verbose"
            )?;
        }
        Ok(())
    }
}
