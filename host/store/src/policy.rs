//! Storage policies: how objects are coded, where their fragments may lie, and when a write is done.
//!
//! Invariant: a [`Policy`] that exists can be carried out by some set of locations; its redundancy is one that the coder has.
//! Source: docs/FORMATS.md, "Storage: policies".

use std::collections::BTreeSet;

use sc_erasure::Redundancy;
use serde::{Deserialize, Serialize};

use crate::location::Class;

/// Why a definition is no policy.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PolicyError {
    /// It is not the JSON of a policy.
    #[error("the policy is not well formed: {0}")]
    Form(String),
    /// There is no such code, or not with these numbers.
    #[error("the redundancy cannot be had: {0}")]
    Redundancy(String),
    /// A number is out of its range, or contradicts another.
    #[error("{0}")]
    Contradiction(String),
}

/// How objects are kept.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Policy {
    /// The code.
    pub redundancy: Code,
    /// Where fragments may lie.
    #[serde(default)]
    pub placement: Placement,
    /// The cipher at rest. There is one so far.
    #[serde(default)]
    pub encryption: Encryption,
    /// Which fragments are read first.
    #[serde(default)]
    pub read: ReadPreference,
    /// How many fragments must be durable before a write is acknowledged, though all are tried: k and so many more.
    /// The rest is owed, and made when locations are back.
    #[serde(default)]
    pub write_ack_beyond_data: u8,
    /// Days between two looks at every fragment.
    #[serde(default = "scrub_days")]
    pub scrub_days: u32,
    /// Where objects go that nobody has read for a while.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tier: Option<Tier>,
}

fn scrub_days() -> u32 {
    30
}

/// A redundancy, as people write it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "lowercase", deny_unknown_fields)]
pub enum Code {
    /// The same bytes several times.
    Replication {
        /// How often, 1 to 255.
        copies: u8,
    },
    /// Systematic Reed-Solomon.
    Rs {
        /// Fragments that suffice, k.
        data: u8,
        /// Fragments beyond, m; k + m is at most 255.
        parity: u8,
    },
    /// Random linear network coding.
    Rlnc {
        /// Fragments that suffice, k.
        data: u8,
        /// Fragments in all, n.
        total: u8,
        /// Packets of a fragment's piece; more make repair cheaper.
        #[serde(default = "one")]
        subpackets: u8,
        /// Whether even the first k fragments are coded.
        #[serde(default)]
        dense: bool,
    },
}

fn one() -> u8 {
    1
}

impl Code {
    /// The redundancy of the coding room.
    ///
    /// # Errors
    /// [`PolicyError::Redundancy`] for numbers that no code has.
    pub fn redundancy(self) -> Result<Redundancy, PolicyError> {
        match self {
            Self::Replication { copies } => Redundancy::replication(copies),
            Self::Rs { data, parity } => Redundancy::reed_solomon(data, parity),
            Self::Rlnc {
                data,
                total,
                subpackets,
                dense,
            } => Redundancy::rlnc(data, total, subpackets, dense),
        }
        .map_err(|error| PolicyError::Redundancy(error.to_string()))
    }
}

/// Rules about locations. Empty sets allow everything.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, Default)]
#[serde(deny_unknown_fields, default)]
pub struct Placement {
    /// Each of these holds a fragment of whatever is stored: while one of them takes none, nothing is stored.
    pub required_locations: BTreeSet<String>,
    /// None of these does.
    pub forbidden_locations: BTreeSet<String>,
    /// Only locations in these regions.
    pub regions: BTreeSet<String>,
    /// No location in these.
    pub forbidden_regions: BTreeSet<String>,
    /// Only locations of these classes.
    pub classes: BTreeSet<Class>,
    /// Fragments of one segment at one location, at most; 1 if not given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub per_location: Option<u8>,
    /// Fragments of one segment with one provider, at most.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub per_provider: Option<u8>,
    /// Fragments of one segment in one region, at most.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub per_region: Option<u8>,
}

/// The cipher at rest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, Default)]
pub enum Encryption {
    /// AES-256 in Galois/counter mode.
    #[default]
    #[serde(rename = "aes-256-gcm")]
    Aes256Gcm,
}

/// Which of the fragments that would do are read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, Default)]
#[serde(rename_all = "lowercase")]
pub enum ReadPreference {
    /// Those at the locations that have answered soonest.
    #[default]
    Fastest,
    /// Those in the store's own region and zone.
    Nearest,
    /// Those whose reading costs least.
    Cheapest,
}

/// Where objects go after a while.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Tier {
    /// Days without a read.
    pub after_idle_days: u32,
    /// The policy that they get.
    pub policy: String,
}

impl Policy {
    /// Reads a definition.
    ///
    /// # Errors
    /// [`PolicyError`]: what is wrong with it.
    pub fn parse(definition: &str) -> Result<Self, PolicyError> {
        let policy: Self = serde_json::from_str(definition)
            .map_err(|error| PolicyError::Form(error.to_string()))?;
        policy.check()?;
        Ok(policy)
    }

    /// The definition, in the one form in which it is kept.
    #[must_use]
    pub fn definition(&self) -> String {
        serde_json::to_string(self).expect("names and numbers can be written")
    }

    fn check(&self) -> Result<(), PolicyError> {
        let redundancy = self.redundancy.redundancy()?;
        let contradiction = |text: String| Err(PolicyError::Contradiction(text));
        let (data, total) = (redundancy.data(), redundancy.total());
        if self.write_ack_beyond_data > total - data {
            return contradiction(format!(
                "write_ack_beyond_data is {}, but there are only {} fragments beyond the {data} needed",
                self.write_ack_beyond_data,
                total - data
            ));
        }
        let rules = &self.placement;
        for (name, bound) in [
            ("per_location", rules.per_location),
            ("per_provider", rules.per_provider),
            ("per_region", rules.per_region),
        ] {
            if bound == Some(0) {
                return contradiction(format!("{name} is 0: nothing could be stored anywhere"));
            }
        }
        if let Some(name) = rules
            .required_locations
            .intersection(&rules.forbidden_locations)
            .next()
        {
            return contradiction(format!("location {name} is both required and forbidden"));
        }
        if rules.required_locations.len() > usize::from(total) {
            return contradiction(format!(
                "{} locations are required, but there are only {total} fragments",
                rules.required_locations.len()
            ));
        }
        if self.tier.as_ref().is_some_and(|it| it.after_idle_days == 0) {
            return contradiction("after_idle_days is 0: give at least 1".into());
        }
        Ok(())
    }

    /// The code, prepared.
    #[must_use]
    pub fn code(&self) -> Redundancy {
        self.redundancy
            .redundancy()
            .expect("a policy's redundancy is checked when it is read")
    }

    /// Fragments that must be durable before a write is acknowledged.
    #[must_use]
    pub fn write_quorum(&self) -> usize {
        usize::from(self.code().data()) + usize::from(self.write_ack_beyond_data)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_definition_reads_back_as_it_is_kept() {
        let text =
            r#"{"redundancy":{"kind":"rs","data":4,"parity":2},"placement":{"per_provider":3}}"#;

        let policy = Policy::parse(text).unwrap();

        assert_eq!(Policy::parse(&policy.definition()).unwrap(), policy);
        assert_eq!(policy.write_quorum(), 4);
    }

    #[test]
    fn what_cannot_be_is_refused_with_the_reason() {
        for (text, said) in [
            ("{}", "missing field `redundancy`"),
            (
                r#"{"redundancy":{"kind":"raid"}}"#,
                "unknown variant `raid`",
            ),
            (
                r#"{"redundancy":{"kind":"rs","data":0,"parity":2}}"#,
                "cannot be had",
            ),
            (
                r#"{"redundancy":{"kind":"rs","data":200,"parity":100}}"#,
                "cannot be had",
            ),
            (
                r#"{"redundancy":{"kind":"rs","data":4,"parity":2},"write_ack_beyond_data":3}"#,
                "only 2 fragments beyond the 4",
            ),
            (
                r#"{"redundancy":{"kind":"replication","copies":3},"placement":{"per_location":0}}"#,
                "per_location is 0",
            ),
            (
                r#"{"redundancy":{"kind":"replication","copies":3},"colour":"red"}"#,
                "unknown field `colour`",
            ),
        ] {
            let error = Policy::parse(text).unwrap_err().to_string();
            assert!(error.contains(said), "{error}");
        }
    }
}
