//! What a run does to the storage system, and how often it did.
//!
//! Invariant: a fault is counted where and when it takes effect.

use std::fmt;

/// The kinds of faults.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Fault {
    /// A store's process ends while it carries out a PUT.
    CrashInPut,
    /// The same in a GET.
    CrashInGet,
    /// The same in a DELETE.
    CrashInDelete,
    /// The same in something else.
    CrashInOther,
    /// A location refuses every call for a while.
    LocationDown,
    /// A location does not answer for a while.
    LocationHangs,
    /// A location takes long for a while.
    LocationSlow,
    /// A location's process ends and is started again.
    LocationCrash,
    /// A location has no room for a while.
    LocationFull,
    /// A location tears a put.
    TornPut,
    /// A location fails a few puts.
    FailedPuts,
    /// A location does what it is asked and does not say so.
    Unanswered,
    /// A fragment is damaged.
    Rot,
    /// A fragment is lost.
    Loss,
    /// The trusted program ends and is started again; it holds nothing then.
    CoderRestart,
    /// The trusted program does not answer for a while.
    CoderSilent,
    /// The store's clock jumps by more than a lease.
    ClockJump,
    /// Somebody hands the store every small PUT again that he has seen.
    Replay,
}

impl Fault {
    /// Every kind.
    pub const ALL: [Self; 18] = [
        Self::CrashInPut,
        Self::CrashInGet,
        Self::CrashInDelete,
        Self::CrashInOther,
        Self::LocationDown,
        Self::LocationHangs,
        Self::LocationSlow,
        Self::LocationCrash,
        Self::LocationFull,
        Self::TornPut,
        Self::FailedPuts,
        Self::Unanswered,
        Self::Rot,
        Self::Loss,
        Self::CoderRestart,
        Self::CoderSilent,
        Self::ClockJump,
        Self::Replay,
    ];
}

impl fmt::Display for Fault {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.pad(match self {
            Self::CrashInPut => "crashes in a PUT",
            Self::CrashInGet => "crashes in a GET",
            Self::CrashInDelete => "crashes in a DELETE",
            Self::CrashInOther => "other crashes",
            Self::LocationDown => "locations down",
            Self::LocationHangs => "locations hanging",
            Self::LocationSlow => "locations slow",
            Self::LocationCrash => "locations crashed",
            Self::LocationFull => "locations full",
            Self::TornPut => "torn puts",
            Self::FailedPuts => "failed puts",
            Self::Unanswered => "unanswered calls",
            Self::Rot => "damaged fragments",
            Self::Loss => "lost fragments",
            Self::CoderRestart => "coder restarts",
            Self::CoderSilent => "silent coders",
            Self::ClockJump => "jumps of the clock",
            Self::Replay => "replayed PUTs",
        })
    }
}

/// How many faults of each kind took effect.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Faults {
    counts: [u64; Fault::ALL.len()],
}

impl Faults {
    pub(crate) fn count(&mut self, fault: Fault) {
        self.counts[fault as usize] += 1;
    }

    /// How many of this kind.
    #[must_use]
    pub fn of(&self, fault: Fault) -> u64 {
        self.counts[fault as usize]
    }

    /// How many of any kind.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.counts.iter().sum()
    }

    /// Adds the counts of another run.
    pub fn add(&mut self, other: &Self) {
        for (count, more) in self.counts.iter_mut().zip(other.counts) {
            *count += more;
        }
    }
}

impl fmt::Display for Faults {
    /// One line for each kind.
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        for fault in Fault::ALL {
            writeln!(out, "{fault:<22}{:>9}", self.of(fault))?;
        }
        Ok(())
    }
}
