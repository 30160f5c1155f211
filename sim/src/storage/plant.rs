//! Bugs planted on purpose: whether the checks of a run find what they are there for.

use std::fmt;
use std::str::FromStr;

/// A bug to plant.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Plant {
    /// Fragments are acknowledged long before they are stored, so that objects are committed without them.
    AcknowledgeEarly,
    /// What a location has acknowledged last is gone when its process ends.
    LoseAtCrash,
    /// Fragments are swept that an upload under way has just written.
    SweepYoung,
    /// Locations say that fragments are deleted and keep them.
    KeepGarbage,
    /// Chores go by a clock that is far ahead, so that no lease holds, and no time of grace.
    IgnoreLease,
    /// Versions that are gone are not remembered, so that replayed requests bring them back.
    ForgetSpent,
    /// The catalogue forgets one fragment of what was stored.
    ForgetFragment,
    /// A location answers with a fragment that was altered, in the name of all: more than may be lost.
    RotEverywhere,
    /// Fragments that repairs make are not what they should be.
    SpoilRepairs,
    /// What is owed, lost or damaged is never made again.
    NeverRepair,
    /// Whoever makes a catalogue again of some of the locations says that there are no others, and has garbage collected.
    ForgetTheAway,
}

impl Plant {
    /// Every bug.
    pub const ALL: [Self; 11] = [
        Self::AcknowledgeEarly,
        Self::LoseAtCrash,
        Self::SweepYoung,
        Self::KeepGarbage,
        Self::IgnoreLease,
        Self::ForgetSpent,
        Self::ForgetFragment,
        Self::RotEverywhere,
        Self::SpoilRepairs,
        Self::NeverRepair,
        Self::ForgetTheAway,
    ];
}

impl fmt::Display for Plant {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(match self {
            Self::AcknowledgeEarly => "acknowledge-early",
            Self::LoseAtCrash => "lose-at-crash",
            Self::SweepYoung => "sweep-young",
            Self::KeepGarbage => "keep-garbage",
            Self::IgnoreLease => "ignore-lease",
            Self::ForgetSpent => "forget-spent",
            Self::ForgetFragment => "forget-fragment",
            Self::RotEverywhere => "rot-everywhere",
            Self::SpoilRepairs => "spoil-repairs",
            Self::NeverRepair => "never-repair",
            Self::ForgetTheAway => "forget-the-away",
        })
    }
}

/// No plant has this name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("no bug of this name can be planted; there are {}", Plant::ALL.map(|plant| plant.to_string()).join(", "))]
pub struct UnknownPlant;

impl FromStr for Plant {
    type Err = UnknownPlant;

    fn from_str(name: &str) -> Result<Self, UnknownPlant> {
        Self::ALL
            .into_iter()
            .find(|plant| plant.to_string() == name)
            .ok_or(UnknownPlant)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_plant_is_found_by_its_name() {
        for plant in Plant::ALL {
            assert_eq!(plant.to_string().parse(), Ok(plant));
        }
        assert_eq!("dandelion".parse::<Plant>(), Err(UnknownPlant));
    }
}
