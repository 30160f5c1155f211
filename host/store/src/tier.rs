//! Tiering: objects that nobody reads go to another policy, and come back when somebody does.
//!
//! Invariant: when a version was read is known to a day; what is not noted yet is kept in bounded memory, and may be lost with the process.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

use sc_metadata::{Placing, Version, VersionId};

use crate::error::Problem;
use crate::policy::Policy;
use crate::store::Store;

/// Reads that wait to be noted, at most; those beyond are noted with the next read.
const READS_MAX: usize = 65_536;
/// A read within this time of the one noted before, in milliseconds, says nothing new.
const SAME_MS: u64 = 6 * 3600 * 1000;
const DAY_MS: u64 = 24 * 3600 * 1000;

/// Versions that were read, and when, until the catalogue knows; nothing, as long as no policy wants to know.
#[derive(Default)]
pub(crate) struct Reads {
    is_wanted: AtomicBool,
    held: Mutex<Held>,
}

#[derive(Default)]
struct Held {
    /// Not noted yet.
    waiting: BTreeMap<VersionId, u64>,
    /// Noted lately.
    noted: BTreeMap<VersionId, u64>,
}

impl Reads {
    /// From now on reads are noted, or not.
    pub(crate) fn want(&self, is_wanted: bool) {
        self.is_wanted.store(is_wanted, Relaxed);
    }

    pub(crate) fn note(&self, version: VersionId, now_ms: u64) {
        if !self.is_wanted.load(Relaxed) {
            return;
        }
        let mut held = self.held.lock().expect("no holder of this lock panics");
        let is_known = held
            .noted
            .get(&version)
            .is_some_and(|noted_ms| now_ms < noted_ms.saturating_add(SAME_MS));
        if !is_known && held.waiting.len() < READS_MAX {
            held.waiting.insert(version, now_ms);
        }
    }

    /// What has still to be noted; taken, it counts as noted.
    pub(crate) fn take(&self) -> Vec<(VersionId, u64)> {
        let mut held = self.held.lock().expect("no holder of this lock panics");
        let waiting = std::mem::take(&mut held.waiting);
        if held.noted.len() + waiting.len() > READS_MAX {
            held.noted.clear();
        }
        held.noted.extend(&waiting);
        waiting.into_iter().collect()
    }
}

/// Where a version should go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Tiering {
    /// The policy.
    pub(crate) policy: String,
    /// Where it goes back to when it is read.
    pub(crate) home: Option<String>,
}

/// Whether, and where, a version of this policy should go now: a pure decision.
pub(crate) fn tiering(
    version: &Version,
    placing: &Placing,
    policy: &Policy,
    now_ms: u64,
) -> Option<Tiering> {
    if let Some(home) = &placing.home {
        // It was moved since it was idle, and has been read since.
        let day_ago = now_ms.saturating_sub(DAY_MS);
        if placing.read_ms > day_ago {
            return Some(Tiering {
                policy: home.clone(),
                home: None,
            });
        }
    }
    let tier = policy.tier.as_ref()?;
    let last_ms = placing.read_ms.max(version.created_ms);
    let idle_ms = u64::from(tier.after_idle_days) * DAY_MS;
    (now_ms >= last_ms.saturating_add(idle_ms) && tier.policy != version.policy).then(|| Tiering {
        policy: tier.policy.clone(),
        // The first policy of all: what goes down two steps comes back at once.
        home: Some(placing.home.clone().unwrap_or(version.policy.clone())),
    })
}

impl Store {
    /// Writes down which versions were read, if some policy moves what is not.
    ///
    /// # Errors
    /// The catalogue does not answer.
    pub(crate) async fn note_reads(&self) -> Result<(), Problem> {
        let policies = self.catalog.policies().await?;
        let tiers = |it: &sc_metadata::Policy| {
            Policy::parse(&it.definition).is_ok_and(|policy| policy.tier.is_some())
        };
        self.reads.want(policies.iter().any(tiers));
        let reads = self.reads.take();
        if reads.is_empty() {
            return Ok(());
        }
        Ok(self.catalog.note_reads(reads).await?)
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use sc_metadata::DatastoreId;

    use super::*;

    const NOW: u64 = 1000 * DAY_MS;

    fn version(policy: &str, age_days: u64) -> Version {
        Version {
            datastore: DatastoreId([1; 16]),
            key: Bytes::from_static(b"key"),
            id: VersionId([2; 16]),
            number: 7,
            size: 100,
            created_ms: NOW - age_days * DAY_MS,
            policy: policy.into(),
            policy_version: 1,
            is_marker: false,
            is_current: true,
            head: Bytes::new(),
        }
    }

    fn placing(home: Option<&str>, read_days_ago: Option<u64>) -> Placing {
        Placing {
            manifest: VersionId([2; 16]),
            number: 7,
            home: home.map(str::to_owned),
            read_ms: read_days_ago.map_or(0, |days| NOW - days * DAY_MS),
        }
    }

    fn policy(tier: &str) -> Policy {
        let text = format!(r#"{{"redundancy":{{"kind":"replication","copies":3}}{tier}}}"#);
        Policy::parse(&text).unwrap()
    }

    fn tiered() -> Policy {
        policy(r#","tier":{"after_idle_days":30,"policy":"cold"}"#)
    }

    #[test]
    fn what_was_neither_written_nor_read_for_long_goes_and_remembers_its_home() {
        let goes = Some(Tiering {
            policy: "cold".into(),
            home: Some("hot".into()),
        });

        for (age, read, expected) in [
            (30, None, &goes),
            (29, None, &None),
            (90, Some(30), &goes),
            (90, Some(29), &None),
        ] {
            let found = tiering(&version("hot", age), &placing(None, read), &tiered(), NOW);
            assert_eq!(&found, expected, "{age} days old, read {read:?} days ago");
        }
    }

    #[test]
    fn what_is_read_again_goes_home() {
        let cold = policy("");
        let home = placing(Some("hot"), Some(0));

        let back = tiering(&version("cold", 90), &home, &cold, NOW);

        assert_eq!(
            back,
            Some(Tiering {
                policy: "hot".into(),
                home: None
            })
        );
        let idle = placing(Some("hot"), Some(2));
        assert_eq!(tiering(&version("cold", 90), &idle, &cold, NOW), None);
    }

    #[test]
    fn a_read_is_noted_once_in_a_while() {
        let reads = Reads::default();
        let id = VersionId([3; 16]);
        reads.note(id, NOW);
        assert_eq!(reads.take(), [], "nobody wants to know");
        reads.want(true);
        reads.note(id, NOW);
        reads.note(id, NOW + 1);
        assert_eq!(reads.take(), [(id, NOW + 1)]);

        reads.note(id, NOW + SAME_MS);
        assert_eq!(reads.take(), []);
        reads.note(id, NOW + 1 + SAME_MS);

        assert_eq!(reads.take(), [(id, NOW + 1 + SAME_MS)]);
    }
}
