//! What a job is to do, as whoever asks for it writes it, and what was done.
//!
//! Invariant: a [`Work`] that exists can be begun: its numbers are within their ranges.

use sc_metadata::LocationState;
use serde::{Deserialize, Serialize};

use crate::error::Problem;
use crate::repair::{Healed, State};

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
    Gc {
        /// Whether fragments of no known version go, too: whoever says so vouches that no location is missing and that nothing at lost ones is
        /// wanted.
        #[serde(default, skip_serializing_if = "core::ops::Not::not")]
        strays: bool,
    },
    /// Makes again what a location that was lost should have and has not, deletes there what nobody knows any more, and makes it active.
    Return {
        /// Its name.
        location: String,
    },
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
            LocationState::Returning => Some(Self::Return {
                location: location.to_owned(),
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
            Self::Gc { .. } => "gc",
            Self::Return { .. } => "return",
        }
    }

    pub(super) fn bytes_per_second(&self) -> Option<u64> {
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
            Self::Gc { .. } | Self::Return { .. } => None,
        }
    }

    /// What it goes over, one after the other.
    pub(super) fn stages(&self) -> &'static [Stage] {
        match self {
            Self::Repair { .. } | Self::Drain { .. } => &[Stage::Segments, Stage::Versions],
            Self::Return { .. } => &[Stage::Segments, Stage::Versions, Stage::Names],
            Self::Scrub { .. } => &[Stage::Segments],
            Self::Migrate { .. } | Self::Tier { .. } => &[Stage::Versions],
            Self::Gc { .. } => &[Stage::Names],
        }
    }

    /// The datastore that it is about, if it is about one.
    pub(super) fn datastore(&self) -> &str {
        match self {
            Self::Migrate { datastore, .. } => datastore,
            _ => "",
        }
    }

    pub(super) fn definition(&self) -> String {
        serde_json::to_string(self).expect("plain data")
    }
}

/// What a part of a job goes over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stage {
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
    /// Fragments of no known version that were kept, since they may be of one that lies at a location which the catalogue does not know.
    pub kept: u64,
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
        if healed.state == State::Partly {
            self.problem = Some("a segment misses fragments that no location takes".to_owned());
        }
        self.changed += healed.made as u64;
        self.bytes_read += healed.traffic.bytes_read;
        self.bytes_written += healed.traffic.bytes_written;
    }

    /// Adds what was done to one thing.
    pub(super) fn add(&mut self, step: Self) {
        self.seen += step.seen.max(1);
        self.sum(step);
    }

    pub(super) fn sum(&mut self, other: Self) {
        self.changed += other.changed;
        self.damaged += other.damaged;
        self.unreached += other.unreached;
        self.kept += other.kept;
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
    pub(super) stage: usize,
    /// What it has collected last: the location, and the name there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) at: Option<(String, String)>,
    /// Seconds that it has waited so far.
    #[serde(default)]
    pub(super) waited_s: u64,
    /// What it waits for, while it does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) waits_for: Option<String>,
    #[serde(flatten)]
    pub(super) done: Outcome,
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
}
