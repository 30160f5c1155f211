//! Trials: what befalls parties besides the weather, and when.
//!
//! Invariant: every trial is over when the storm is; what it has broken is whole again then, or is the parties' own affair.

use std::time::Duration;

use crate::disk::Death;
use crate::party::Party;
use crate::random::Random;

/// What befalls one party.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Trial {
    /// It dies, and starts again later. The router takes the trusted program with it.
    Crash {
        /// Who.
        party: Party,
        /// How.
        death: Death,
        /// Before it dies it carries out so many of its next outputs: it may die between any two.
        outputs: u32,
        /// Until it is started again.
        down: Duration,
    },
    /// The trusted program dies alone.
    ProgramDies,
    /// It is stopped, hears nothing and does nothing, and goes on as if no time had passed.
    Pause {
        /// Who.
        party: Party,
        /// For how long.
        lasting: Duration,
    },
    /// Its disk takes nothing: a publisher or consumer ends with its error and is started again, a router says so.
    DiskFull {
        /// Whose.
        party: Party,
        /// For how long.
        lasting: Duration,
    },
    /// An owner revokes a consumer, for ever.
    Revocation {
        /// Whom.
        consumer: usize,
    },
}

/// Who takes part, as far as trials need to know.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Cast {
    pub(crate) publishers: usize,
    pub(crate) grantees: usize,
    pub(crate) consumers: usize,
}

impl Cast {
    pub(crate) fn all(self) -> Vec<Party> {
        let mut all = vec![Party::Router];
        all.extend((0..self.publishers).map(Party::Publisher));
        all.extend((0..self.grantees).map(Party::Grantee));
        all.extend((0..self.consumers).map(Party::Consumer));
        all
    }
}

/// Draws a few trials of the kinds that `kinds` names, within `storm`.
pub(crate) fn draw(
    random: &mut Random,
    cast: Cast,
    storm: Duration,
    kinds: Kinds,
) -> Vec<(Duration, Trial)> {
    let count = random.within(1..7);
    let mut trials: Vec<_> = (0..count)
        .map(|_| {
            (
                random.time(Duration::ZERO, storm),
                draw_one(random, cast, kinds),
            )
        })
        .collect();
    trials.sort_by_key(|(at, _)| *at);
    trials
}

/// Which kinds of trials a run has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kinds {
    /// Processes die and are stopped; machines and disks are fine.
    Processes,
    /// Power and disks fail too.
    Machines,
}

fn draw_one(random: &mut Random, cast: Cast, kinds: Kinds) -> Trial {
    let party = *random.pick(&cast.all());
    let seconds = Duration::from_secs;
    match random.below(10) {
        0 => Trial::ProgramDies,
        1 => Trial::Pause {
            party,
            lasting: random.time(Duration::from_millis(200), seconds(20)),
        },
        2 if cast.consumers > 1 && random.chance(500) => Trial::Revocation {
            consumer: random.below(cast.consumers),
        },
        3 | 4 if kinds == Kinds::Machines => Trial::DiskFull {
            party,
            lasting: random.time(Duration::from_millis(200), seconds(10)),
        },
        _ => Trial::Crash {
            party,
            death: match kinds {
                Kinds::Machines if random.chance(600) => Death::PowerLoss,
                _ => Death::Killed,
            },
            outputs: random.below(12) as u32,
            down: draw_down(random, party),
        },
    }
}

/// A consumer may be away for longer than anybody keeps anything for it.
fn draw_down(random: &mut Random, party: Party) -> Duration {
    let spans: &[_] = match party {
        Party::Consumer(_) => &[1, 10, 90],
        _ => &[1, 10],
    };
    let span = Duration::from_secs(*random.pick(spans));
    random.time(Duration::from_millis(10), span)
}

impl Trial {
    /// How long after it began it is over.
    pub(crate) fn lasting(self) -> Duration {
        match self {
            Self::Crash { down, .. } => down,
            Self::Pause { lasting, .. } | Self::DiskFull { lasting, .. } => lasting,
            Self::ProgramDies | Self::Revocation { .. } => Duration::ZERO,
        }
    }
}
