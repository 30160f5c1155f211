//! Storage locations, as an operator describes them.
//!
//! Invariant: settings that exist name everything that is needed to open the location, and hold no secret.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

/// What a location is and where.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LocationSettings {
    /// What keeps the fragments.
    pub backend: Kind,
    /// Where on earth; free text, compared whole.
    #[serde(default)]
    pub region: String,
    /// Which part of the region.
    #[serde(default)]
    pub zone: String,
    /// Who runs it.
    #[serde(default)]
    pub provider: String,
    /// How quickly it answers, by its nature.
    #[serde(default)]
    pub class: Class,
    /// In any currency, the same everywhere.
    #[serde(default)]
    pub cost_per_gb_month: f64,
    /// In the same currency.
    #[serde(default)]
    pub cost_per_gb_read: f64,
}

/// What keeps the fragments.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "lowercase", deny_unknown_fields)]
pub enum Kind {
    /// A folder of this machine.
    Fs {
        /// The folder; relative to the store's own where it is not absolute.
        path: PathBuf,
    },
    /// This process's memory: for tests.
    Memory,
    /// A `securecloud backend` elsewhere.
    Remote {
        /// Its endpoint, as `tcp://host:port`.
        endpoint: String,
        /// The key under which it proves itself, in hexadecimal, as it says when it starts; any, if there is none.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        key: Option<String>,
        /// The public half of its link keys, where both sides have some; the first peer of the store's, if there is none.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        link_key: Option<String>,
    },
}

/// How quickly a location answers, by its nature.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, Default,
)]
#[serde(rename_all = "lowercase")]
pub enum Class {
    /// At once.
    #[default]
    Hot,
    /// Soon.
    Warm,
    /// After a while.
    Cold,
}

impl LocationSettings {
    /// Reads settings.
    ///
    /// # Errors
    /// What is wrong with them, in words.
    pub fn parse(text: &str) -> Result<Self, String> {
        let settings: Self = serde_json::from_str(text).map_err(|error| error.to_string())?;
        for (name, cost) in [
            ("cost_per_gb_month", settings.cost_per_gb_month),
            ("cost_per_gb_read", settings.cost_per_gb_read),
        ] {
            if !cost.is_finite() || cost < 0.0 {
                return Err(format!("{name} is {cost}: expected 0 or more"));
            }
        }
        Ok(settings)
    }

    /// The one form in which settings are kept.
    #[must_use]
    pub fn to_text(&self) -> String {
        serde_json::to_string(self).expect("names and numbers can be written")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_read_back() {
        let text = r#"{"backend":{"kind":"fs","path":"locations/a"},"region":"north","provider":"one","class":"cold","cost_per_gb_month":0.01}"#;

        let settings = LocationSettings::parse(text).unwrap();

        assert_eq!(
            LocationSettings::parse(&settings.to_text()).unwrap(),
            settings
        );
        assert!(LocationSettings::parse(r#"{"backend":{"kind":"tape"}}"#).is_err());
        assert!(
            LocationSettings::parse(r#"{"backend":{"kind":"memory"},"cost_per_gb_read":-1}"#)
                .is_err()
        );
    }
}
