//! Fragments leave a location that is draining: each is copied to another, as it is.
//!
//! Invariant: the catalogue says where a copy is going before it is written there, and says that the fragment lies there when it does; until
//! then it lies where it was. The old copy is garbage from then on, and stays for the time of grace, for those who are reading it.

use std::collections::BTreeSet;
use std::sync::Arc;

use sc_backend::{BackendError, FragmentName};
use sc_metadata::{Fragment, FragmentState, LocationState, Segment, TenantId};

use crate::error::Problem;
use crate::get::shape_of;
use crate::jobs::Outcome;
use crate::locations::{Site, candidates};
use crate::placement::replace;
use crate::repair::Patient;
use crate::scrub::sound_header;
use crate::store::Store;

/// What became of one fragment.
enum Left {
    /// It lies elsewhere; so many bytes were copied.
    Moved(u64),
    /// It cannot be copied: it is gone, or not what it was.
    Damaged,
    /// No other location takes it now, or its own does not answer.
    Stays(String),
    /// Somebody else has changed the segment.
    Changed,
}

impl Store {
    /// Has a segment's fragments leave the location `from`.
    pub(crate) async fn drain_segment(
        &self,
        segment: &Segment,
        from: &str,
        unprovisioned: &mut BTreeSet<TenantId>,
    ) -> Result<Outcome, Problem> {
        let mut outcome = Outcome::default();
        let is_here = |it: &Fragment| it.location == from;
        if !segment.fragments.iter().any(is_here) {
            return Ok(outcome);
        }
        let Some(mut patient) = self.patient(segment, &BTreeSet::new()).await? else {
            return Ok(outcome);
        };
        let mut stored = segment.fragments.clone();
        let mut damaged = BTreeSet::new();
        for index in 0..patient.segment.fragments.len() {
            let fragment = &patient.segment.fragments[index];
            if fragment.location != from || fragment.state != FragmentState::Stored {
                continue;
            }
            match self.copy_fragment(&mut patient, &mut stored, index).await? {
                Left::Moved(bytes) => {
                    outcome.changed += 1;
                    outcome.bytes_read += bytes;
                    outcome.bytes_written += bytes;
                }
                Left::Damaged => {
                    damaged.insert(patient.segment.fragments[index].index);
                }
                Left::Stays(why) => outcome.problem = Some(why),
                Left::Changed => return Ok(outcome),
            }
        }
        let is_missing = |it: &Fragment| it.state == FragmentState::Owed;
        if damaged.is_empty() && !patient.segment.fragments.iter().any(is_missing) {
            return Ok(outcome);
        }
        let now = Segment {
            fragments: stored,
            ..segment.clone()
        };
        let healed = self.heal(&now, &damaged, unprovisioned).await?;
        outcome.damaged += damaged.len() as u64;
        outcome.add_healed(&healed);
        Ok(outcome)
    }

    /// Copies one fragment to another location. `stored` is what the catalogue has of the segment.
    async fn copy_fragment(
        &self,
        patient: &mut Patient,
        stored: &mut Vec<Fragment>,
        at: usize,
    ) -> Result<Left, Problem> {
        let fragment = patient.segment.fragments[at].clone();
        let Some((source, target)) = self.way_out(patient, at) else {
            return Ok(Left::Stays(
                "no other location may take a fragment: add locations, or loosen the policy's placement".into(),
            ));
        };
        let shape = shape_of(&patient.policy.policy, &patient.segment)?;
        let Ok(name) = FragmentName::new(&fragment.name) else {
            return Ok(Left::Damaged);
        };
        let patience = self.settings.location_patience;
        let body = match source.read(&name, None, patience).await {
            Ok(body) if sound_header(&body, &patient.segment, shape).is_some() => body,
            Ok(_) | Err(BackendError::NotFound | BackendError::Corrupt(_)) => {
                return Ok(Left::Damaged);
            }
            Err(error) => return Ok(Left::Stays(format!("{}: {error}", source.name))),
        };
        let mut coming = patient.segment.fragments.clone();
        let copy = Fragment {
            location: target.name.clone(),
            name: self.fresh_name(&fragment.name),
            state: FragmentState::Coming,
            ..fragment.clone()
        };
        coming.insert(at + 1, copy.clone());
        if !self.note(patient.segment.id, stored, &coming).await? {
            return Ok(Left::Changed);
        }
        stored.clone_from(&coming);
        let bytes = body.len() as u64;
        let Ok(name) = FragmentName::new(&copy.name) else {
            return Ok(Left::Damaged);
        };
        if let Err(error) = target.put(&name, body, patience).await {
            return Ok(Left::Stays(format!("{}: {error}", target.name)));
        }
        let mut moved = patient.segment.fragments.clone();
        moved[at] = Fragment {
            state: FragmentState::Stored,
            ..copy
        };
        if !self.note(patient.segment.id, stored, &moved).await? {
            return Ok(Left::Changed);
        }
        stored.clone_from(&moved);
        patient.segment.fragments = moved;
        Ok(Left::Moved(bytes))
    }

    /// Where a fragment is copied from and to.
    fn way_out(&self, patient: &Patient, at: usize) -> Option<(Arc<Site>, Arc<Site>)> {
        let sites = self.locations.now();
        let candidates = candidates(&sites);
        let all: Vec<&Arc<Site>> = sites.values().collect();
        let place_of = |fragment: &Fragment| all.iter().position(|it| it.name == fragment.location);
        let fragments = &patient.segment.fragments;
        let placed: Vec<usize> = fragments.iter().map(place_of).collect::<Option<_>>()?;
        let own = placed[at];
        if all[own].state == LocationState::Lost {
            return None;
        }
        let (policy, id) = (&patient.policy.policy, &patient.segment.id.0);
        let target = replace(policy, &candidates, &placed, at, &[own], id)?;
        Some((Arc::clone(all[own]), Arc::clone(all[target])))
    }
}
