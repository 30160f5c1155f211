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
    /// The same in a chore: a debt, a job, what is tidied up.
    CrashInChore,
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
    /// A location answers a read with other bytes.
    LyingRead,
    /// A location answers a request to recode with other bytes.
    LyingRecode,
    /// A fragment is damaged.
    Rot,
    /// A fragment is lost.
    Loss,
    /// The operator gives a location up, which may have lost what it held.
    LocationLost,
    /// Something between clients and a store is lost.
    ClientCut,
    /// The same between the owner's agent and a store.
    OwnerCut,
    /// The same between a store and the coder.
    CoderCut,
    /// The same between a store and the catalogue.
    CatalogueCut,
    /// The same between a store and a location.
    LocationCut,
    /// The trusted program ends and is started again; it holds nothing then.
    CoderRestart,
    /// The trusted program does not answer for a while.
    CoderSilent,
    /// The stores' clocks jump ahead by more than a lease.
    ClockJump,
    /// The stores' clocks are set back.
    ClockBack,
    /// The clock of one store is set apart from the others'.
    ClockApart,
    /// A PUT takes longer than its lease, while garbage is collected.
    SlowPut,
    /// A GET rests between two segments.
    SlowGet,
    /// Two stores make fragments of one segment at the same time.
    RepairTogether,
    /// Somebody hands the store every small PUT again that he has seen.
    Replay,
}

impl Fault {
    /// Every kind.
    pub const ALL: [Self; 32] = [
        Self::CrashInPut,
        Self::CrashInGet,
        Self::CrashInDelete,
        Self::CrashInOther,
        Self::CrashInChore,
        Self::LocationDown,
        Self::LocationHangs,
        Self::LocationSlow,
        Self::LocationCrash,
        Self::LocationFull,
        Self::TornPut,
        Self::FailedPuts,
        Self::Unanswered,
        Self::LyingRead,
        Self::LyingRecode,
        Self::Rot,
        Self::Loss,
        Self::LocationLost,
        Self::ClientCut,
        Self::OwnerCut,
        Self::CoderCut,
        Self::CatalogueCut,
        Self::LocationCut,
        Self::CoderRestart,
        Self::CoderSilent,
        Self::ClockJump,
        Self::ClockBack,
        Self::ClockApart,
        Self::SlowPut,
        Self::SlowGet,
        Self::RepairTogether,
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
            Self::CrashInChore => "crashes in a chore",
            Self::LocationDown => "locations down",
            Self::LocationHangs => "locations hanging",
            Self::LocationSlow => "locations slow",
            Self::LocationCrash => "locations crashed",
            Self::LocationFull => "locations full",
            Self::TornPut => "torn puts",
            Self::FailedPuts => "failed puts",
            Self::Unanswered => "unanswered calls",
            Self::LyingRead => "lies when read",
            Self::LyingRecode => "lies when recoding",
            Self::Rot => "damaged fragments",
            Self::Loss => "lost fragments",
            Self::LocationLost => "locations lost",
            Self::ClientCut => "cut from clients",
            Self::OwnerCut => "cut from the owner",
            Self::CoderCut => "cut from the coder",
            Self::CatalogueCut => "cut from the catalogue",
            Self::LocationCut => "cut from a location",
            Self::CoderRestart => "coder restarts",
            Self::CoderSilent => "silent coders",
            Self::ClockJump => "jumps of the clock",
            Self::ClockBack => "clocks set back",
            Self::ClockApart => "clocks set apart",
            Self::SlowPut => "PUTs beyond a lease",
            Self::SlowGet => "GETs that rest",
            Self::RepairTogether => "repairs by two stores",
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
