//! A location that was lost returns: what it should have and has not is made again, and what was deleted elsewhere meanwhile is deleted there.
//!
//! Invariant: nothing is deleted that the catalogue may not know: a location that a rebuild has not heard stays as it is until another has. It is
//! active when a job that was made after the return began has seen to all of it without a failure; until then nothing is written there.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use sc_backend::{BackendError, FragmentName};
use sc_metadata::{FragmentState, LocationState, Segment, TenantId};
use sc_proto::store::problem::Code;

use crate::error::Problem;
use crate::gc::{Named, delete, named};
use crate::jobs::Outcome;
use crate::locations::Site;
use crate::notes::{parse_copy_name, stem};
use crate::store::Store;

/// What the catalogue knows besides versions, once it was asked.
#[derive(Default)]
pub(crate) struct Known {
    /// The ids of files that say what is gone; none where it may not know all.
    removals: Option<Option<BTreeSet<[u8; 16]>>>,
    /// Of each datastore and record, by the stem of its files' names: how often it has changed, and which change enough locations keep.
    notes: Option<BTreeMap<String, (u64, u64)>>,
}

impl Known {
    async fn removals(&mut self, store: &Store) -> Result<Option<&BTreeSet<[u8; 16]>>, Problem> {
        if self.removals.is_none() {
            // Where nobody has looked there may be what a file is about that the catalogue does not know.
            let removals = match store.catalog.may_hide_something().await? {
                false => Some(store.catalog.words().await?),
                true => None,
            };
            self.removals = Some(removals);
        }
        Ok(self.removals.as_ref().and_then(Option::as_ref))
    }

    /// Whether a copy of a datastore's settings or of a record is to stay: that of its last change, and any until the last is kept elsewhere.
    async fn is_note_needed(
        &mut self,
        store: &Store,
        name: &FragmentName,
    ) -> Result<bool, Problem> {
        if self.notes.is_none() {
            let notes = store.catalog.notes().await?;
            let each = notes
                .iter()
                .map(|it| (stem(&it.subject), (it.change, it.kept)));
            self.notes = Some(each.collect());
        }
        let notes = self.notes.as_ref();
        let Some((stem, change)) = parse_copy_name(name) else {
            return Ok(true);
        };
        Ok(match notes.and_then(|it| it.get(stem)) {
            None => store.catalog.may_hide_something().await?,
            Some(&(last, kept)) => change >= last || kept < last,
        })
    }
}

impl Store {
    /// The location that is returning, for its names to be gone over.
    ///
    /// # Errors
    /// It is not returning, or does not answer; or what the catalogue does not know may have been stored: a rebuild has not heard this location,
    /// or the others have manifests that it does not know.
    pub(crate) async fn site_returning(
        &self,
        location: &str,
        job: u64,
    ) -> Result<Arc<Site>, Problem> {
        if self.catalog.returning(location).await?.is_none() {
            return Err(Problem::new(
                Code::InUse,
                format!("location {location} is not returning any more"),
            ));
        }
        self.check_manifests_for(job).await?;
        let mut sites = self.open_sites().into_iter();
        sites.find(|it| it.name == location).ok_or_else(|| {
            Problem::new(
                Code::Unavailable,
                format!("location {location} is not open here"),
            )
        })
    }

    /// Deletes those of the names that are manifests, or say what is gone, or how datastores and records are, and are of no use any more.
    pub(crate) async fn collect_files(
        &self,
        site: &Site,
        names: &[FragmentName],
        known: &mut Known,
        outcome: &mut Outcome,
    ) -> Result<(), Problem> {
        let id_of = |name: &FragmentName| match named(name) {
            Named::Manifest(id) => Some(id),
            _ => None,
        };
        let manifests = names.iter().filter_map(id_of).collect();
        let manifests = self.catalog.manifests_in_use(manifests).await?;
        for name in names {
            let is_in_use = match named(name) {
                Named::Manifest(id) => manifests.contains(&id),
                Named::Removal(id) => known
                    .removals(self)
                    .await?
                    .is_none_or(|it| it.contains(&id)),
                Named::Note => known.is_note_needed(self, name).await?,
                Named::Fragment(_) | Named::Other => true,
            };
            if !is_in_use {
                delete(self, site, name, outcome).await;
            }
        }
        Ok(())
    }

    /// Makes the fragments of a segment again that are said to lie at a location which returns, and do not.
    pub(crate) async fn heal_returning(
        &self,
        segment: &Segment,
        location: &str,
        unprovisioned: &mut BTreeSet<TenantId>,
    ) -> Result<Outcome, Problem> {
        let mut outcome = Outcome::default();
        let sites = self.locations.now();
        let Some(site) = sites.get(location) else {
            return Ok(outcome);
        };
        let mut gone = BTreeSet::new();
        let here = segment
            .fragments
            .iter()
            .filter(|it| it.location == location);
        for fragment in here.filter(|it| it.state == FragmentState::Stored) {
            let Ok(name) = FragmentName::new(&fragment.name) else {
                continue;
            };
            let patience = self.settings.location_patience;
            match site.read(&name, Some(0..0), patience).await {
                Ok(_) => {}
                Err(BackendError::NotFound | BackendError::Corrupt(_)) => {
                    gone.insert(fragment.index);
                }
                Err(error) => {
                    let why = format!("{}: {error}", site.name);
                    return Err(Problem::new(Code::Unavailable, why));
                }
            }
        }
        if !gone.is_empty() {
            outcome.damaged += gone.len() as u64;
            let healed = self.heal(segment, &gone, unprovisioned).await?;
            outcome.add_healed(&healed);
        }
        Ok(outcome)
    }

    /// Makes a location active that a job has seen to without a failure.
    pub(crate) async fn readmit(&self, location: &str, job: u64) -> Result<(), Problem> {
        let Some(done) = self.catalog.job(job).await? else {
            return Ok(());
        };
        if crate::jobs::failed_steps(&done) == 0
            && self.catalog.readmit_location(location, job).await?
        {
            self.locations.set_state(location, LocationState::Active);
        }
        Ok(())
    }
}
