//! Garbage is collected: what lies at locations and belongs to nothing in the catalogue.
//!
//! Invariant: a name is used once, stands in the catalogue before it is written, and has one location from the commit on. So what is found at
//! a location and then not in the catalogue was forgotten there, and nobody will ask for it; and what a committed segment no longer has under
//! that name waits for the time of grace, since somebody may be reading it. What is under way is not judged. Nothing is collected while a
//! location, but for one that is returning, holds a manifest that the catalogue has never heard of: such a catalogue is older than what it is about.
//! Nor is what belongs to no version while there may be locations that the catalogue does not know, with that version's manifests.

use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use sc_backend::{FragmentName, LIST_MAX};
use sc_metadata::{Fragment, FragmentState, LocationState, Segment, SegmentId, VersionId};
use sc_proto::store::problem::Code;

use crate::error::Problem;
use crate::jobs::Outcome;
use crate::locations::Site;
use crate::notes::parse_copy_name;
use crate::rebuild::parse_fragment;
use crate::store::{Store, unhex};

/// Names looked up together.
pub(crate) const ROUND: usize = 256;

/// What a name at a location stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Named {
    Fragment(SegmentId),
    Manifest(VersionId),
    /// A file that says what is gone.
    Removal([u8; 16]),
    /// How a datastore or a record is.
    Note,
    /// What somebody else has put there.
    Other,
}

impl Store {
    /// Refuses to collect garbage where a location holds a manifest that the catalogue has never had.
    ///
    /// # Errors
    /// One does, or does not say what it holds; the catalogue does not answer.
    async fn check_manifests(&self) -> Result<(), Problem> {
        let sites = self.open_sites();
        for site in sites
            .iter()
            .filter(|it| it.state != LocationState::Returning)
        {
            let mut after = None;
            loop {
                let page = list(self, site, after.as_ref(), "").await?;
                let manifests = page.iter().filter_map(|name| match named(name) {
                    Named::Manifest(id) => Some(id),
                    _ => None,
                });
                let unknown = self.catalog.unknown_manifests(manifests.collect()).await?;
                if let Some(unknown) = unknown.first() {
                    return Err(Problem::new(
                        Code::InUse,
                        format!(
                            "location {} holds a manifest that the catalogue does not know ({unknown:?}): the catalogue is older than what is stored, rebuild it first",
                            site.name
                        ),
                    ));
                }
                match page.last() {
                    Some(last) => after = Some(last.clone()),
                    None => break,
                }
            }
        }
        Ok(())
    }

    /// Refuses to go on for `job` where the catalogue is older than what is stored; looks again only when another job or location came between.
    ///
    /// # Errors
    /// A rebuild has not heard a location that may be used; one holds a manifest that the catalogue has never had, or does not say what it holds;
    /// the catalogue does not answer.
    pub(crate) async fn check_manifests_for(&self, job: u64) -> Result<(), Problem> {
        let unheard = self.catalog.unheard().await?;
        let mut sites = self.open_sites().into_iter();
        if let Some(site) = sites.find(|it| unheard.contains(&it.name)) {
            return Err(Problem::new(
                Code::InUse,
                format!(
                    "the catalogue was made again without location {}, and may not know what was stored there: rebuild it again, with `securecloud kv catalogue rebuild`",
                    site.name
                ),
            ));
        }
        let mut hasher = DefaultHasher::new();
        job.hash(&mut hasher);
        for site in self.open_sites() {
            (&site.name, site.state).hash(&mut hasher);
        }
        let checked = hasher.finish();
        if self.gc_checked.load(Relaxed) != checked {
            self.check_manifests().await?;
            self.gc_checked.store(checked, Relaxed);
        }
        Ok(())
    }

    /// The locations at which garbage is collected.
    ///
    /// # Errors
    /// As [`Self::check_manifests_for`].
    pub(crate) async fn sites_to_collect(&self, job: u64) -> Result<Vec<Arc<Site>>, Problem> {
        self.check_manifests_for(job).await?;
        Ok(self.open_sites())
    }

    pub(crate) fn open_sites(&self) -> Vec<Arc<Site>> {
        let sites = self.locations.now();
        let open = sites
            .values()
            .filter(|it| it.state != LocationState::Lost && it.why_unopened().is_none());
        open.map(Arc::clone).collect()
    }

    /// Deletes those of the names at a location that are fragments and belong to nothing.
    ///
    /// # Errors
    /// The catalogue does not answer, or is being made again.
    pub(crate) async fn collect(
        &self,
        site: &Site,
        names: &[FragmentName],
        outcome: &mut Outcome,
    ) -> Result<(), Problem> {
        // After the names were listed: what is in the catalogue now was there before it was written.
        let segments = self.segments_of(names).await?;
        if self.rebuilding.is_due() {
            return Err(Problem::new(
                Code::InUse,
                "the catalogue is being made again: collect garbage when it is",
            ));
        }
        let may_miss_locations = self.catalog.may_miss_locations().await?;
        let mut replaced = Vec::new();
        for name in names {
            outcome.seen += 1;
            let Named::Fragment(id) = named(name) else {
                continue;
            };
            match segments.get(&id).map(|it| standing(it, site, name)) {
                None if may_miss_locations => outcome.kept += 1,
                None | Some(Standing::Elsewhere) => delete(self, site, name, outcome).await,
                Some(Standing::Replaced) => {
                    // A catalogue that is older than what it is about has names that are nowhere any more.
                    if self.has_another(&segments[&id].0, name).await {
                        replaced.push(Fragment {
                            index: 0,
                            location: site.name.clone(),
                            name: name.as_str().to_owned(),
                            state: FragmentState::Stored,
                        });
                    }
                }
                Some(Standing::Kept) => {}
            }
        }
        if !replaced.is_empty() {
            outcome.changed += replaced.len() as u64;
            let due_ms = self.in_ms(self.settings.grace);
            self.catalog.discard_fragments(replaced, due_ms).await?;
        }
        Ok(())
    }

    /// Those of the names of garbage that no version's segment has.
    ///
    /// # Errors
    /// The catalogue does not answer.
    pub(crate) async fn without_those_in_use(
        &self,
        garbage: SegmentId,
        mut names: Vec<FragmentName>,
    ) -> Result<Vec<FragmentName>, Problem> {
        let is_own =
            |name: &FragmentName| matches!(named(name), Named::Fragment(id) if id == garbage);
        if names.iter().all(is_own) {
            return Ok(names);
        }
        let segments = self.segments_of(&names).await?;
        names.retain(|name| {
            let Named::Fragment(id) = named(name) else {
                return true;
            };
            let is_in_use = |(segment, is_committed): &(Segment, bool)| {
                *is_committed && segment.fragments.iter().any(|it| it.name == name.as_str())
            };
            !segments.get(&id).is_some_and(is_in_use)
        });
        Ok(names)
    }

    /// Whether the fragment that a segment has in the place of a replaced one is where the catalogue says.
    async fn has_another(&self, segment: &Segment, replaced: &FragmentName) -> bool {
        let index = replaced
            .as_str()
            .split('.')
            .nth(1)
            .and_then(|it| it.parse().ok());
        let sites = self.locations.now();
        for it in &segment.fragments {
            if Some(it.index) == index
                && it.state == FragmentState::Stored
                && let Some(site) = sites.get(&it.location)
                && site.state != LocationState::Lost
                && let Ok(name) = FragmentName::new(&it.name)
            {
                let patience = self.settings.location_patience;
                return site.read(&name, Some(0..0), patience).await.is_ok();
            }
        }
        false
    }

    /// The segments that the catalogue has of those that names belong to; for each, whether a version has it.
    async fn segments_of(
        &self,
        names: &[FragmentName],
    ) -> Result<BTreeMap<SegmentId, (Segment, bool)>, Problem> {
        let mut ids: Vec<SegmentId> = names
            .iter()
            .filter_map(|name| match named(name) {
                Named::Fragment(id) => Some(id),
                _ => None,
            })
            .collect();
        ids.dedup();
        let found = self.catalog.segments_by_id(ids).await?;
        Ok(found.into_iter().map(|it| (it.0.id, it)).collect())
    }
}

/// How a name stands to the segment that it is of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Standing {
    Kept,
    /// The segment has it at another location.
    Elsewhere,
    /// The segment does not have it, and may have had it.
    Replaced,
}

fn standing(
    (segment, is_committed): &(Segment, bool),
    site: &Site,
    name: &FragmentName,
) -> Standing {
    // What is under way is written before it is noted where, and garbage goes as a whole.
    if !is_committed {
        return Standing::Kept;
    }
    let mut of_name = segment
        .fragments
        .iter()
        .filter(|it| it.name == name.as_str())
        .peekable();
    if of_name.peek().is_none() {
        return Standing::Replaced;
    }
    match of_name.any(|it| it.location == site.name) {
        true => Standing::Kept,
        false => Standing::Elsewhere,
    }
}

/// The next names at a location that begin with `digit`.
pub(crate) async fn list(
    store: &Store,
    site: &Site,
    after: Option<&FragmentName>,
    digit: &str,
) -> Result<Vec<FragmentName>, Problem> {
    let patience = store.settings.location_patience;
    let unavailable = |why: String| {
        Problem::new(
            Code::Unavailable,
            format!("location {} does not say what it holds: {why}", site.name),
        )
    };
    let listed = tokio::time::timeout(patience, site.backend.list(after, LIST_MAX)).await;
    let listed = listed
        .map_err(|_| unavailable("no answer in time".into()))?
        .map_err(|error| unavailable(error.to_string()))?;
    let names = listed.into_iter().map(|it| it.name);
    Ok(names
        .take_while(|name| name.as_str().starts_with(digit))
        .collect())
}

pub(crate) async fn delete(store: &Store, site: &Site, name: &FragmentName, outcome: &mut Outcome) {
    match site.delete(name, store.settings.location_patience).await {
        Ok(_) => outcome.changed += 1,
        Err(error) => {
            outcome.failed += 1;
            outcome.problem = Some(format!("{}: {error}", site.name));
        }
    }
}

/// What a name stands for.
pub(crate) fn named(name: &FragmentName) -> Named {
    if let Some((segment, ..)) = parse_fragment(name.as_str()) {
        return Named::Fragment(SegmentId(segment));
    }
    let known = match name.as_str().split_once('.') {
        Some((id, "manifest")) => unhex(id).map(|id| Named::Manifest(VersionId(id))),
        Some((id, "removal")) => unhex(id).map(Named::Removal),
        _ => parse_copy_name(name).map(|_| Named::Note),
    };
    known.unwrap_or(Named::Other)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_told_apart() {
        let name = |text: &str| named(&FragmentName::new(text).unwrap());
        let (segment, version) = ("ab".repeat(32), "cd".repeat(16));

        let fragment = Named::Fragment(SegmentId([0xab; 32]));
        assert_eq!(name(&format!("{segment}.5")), fragment);
        assert_eq!(name(&format!("{segment}.5.00ff")), fragment);
        let manifest = Named::Manifest(VersionId([0xcd; 16]));
        assert_eq!(name(&format!("{version}.manifest")), manifest);
        let removal = Named::Removal([0xcd; 16]);
        assert_eq!(name(&format!("{version}.removal")), removal);
        for note in [
            format!("{version}-7.datastore"),
            format!("{version}-12.record"),
        ] {
            assert_eq!(name(&note), Named::Note, "{note}");
        }
        for other in [
            format!("{segment}.256"),
            format!("{version}.5"),
            format!("{version}.manifest.bak"),
            format!("{version}.removal.old"),
            format!("{version}-x.datastore"),
            format!("{segment}.5.00ff.1"),
            "readme.txt".into(),
        ] {
            assert_eq!(name(&other), Named::Other, "{other}");
        }
    }
}
