//! What a rebuild makes of what it has not found: signs of locations that were not heard, or else what the catalogue has and was deleted.
//!
//! Invariant: nothing is taken for deleted while a location is away, lost, or may be missing.
//! Source: docs/decisions/0032-a-rebuild-is-a-merge.md.

use std::collections::BTreeSet;

use sc_metadata::{CatalogError, FragmentState, Present, SegmentId, Subject, VersionId};

use super::listing::parse_fragment;
use super::merging::{PAGE, TOGETHER};
use super::work::Work;
use crate::error::Problem;
use crate::store::Store;

impl Store {
    /// Looks for signs of locations that have something and were not heard: a known one was not heard, fragments of no version were found, or something
    /// is missing though all that are known were heard.
    pub(super) async fn look_for_signs(&self, work: &mut Work) -> Result<(), Problem> {
        let unnamed = work.listing.fragments.iter();
        let unnamed = unnamed.filter(|(name, _)| !work.named.contains(*name));
        let unnamed: Vec<_> = unnamed.map(|(name, at)| (*name, at.len() as u64)).collect();
        for some in unnamed.chunks(TOGETHER) {
            let ids = some.iter().map(|(name, _)| SegmentId(*name)).collect();
            let known = self.catalog.segments_by_id(ids).await?;
            let known: BTreeSet<_> = known.into_iter().map(|(segment, _)| segment.id.0).collect();
            let strays = some.iter().filter(|(name, _)| !known.contains(name));
            work.rebuilt.strays += strays.map(|(_, count)| count).sum::<u64>();
        }
        work.rebuilt.missing = self.count_missing().await?;
        let is_guessed = work.targets.values().any(|it| it.is_guessed);
        let is_short = work.rebuilt.missing > 0
            || work.is_unknown
            || is_guessed
            || self.is_any_there(&work.short).await?;
        work.rebuilt.may_miss_locations = work.rebuilt.strays > 0
            || !self.catalog.unheard().await?.is_empty()
            || work.listing.is_all_heard() && is_short;
        Ok(())
    }

    /// Fragments of versions that are at no location.
    async fn count_missing(&self) -> Result<u64, Problem> {
        let (mut missing, mut after) = (0, None);
        loop {
            let page = self.catalog.owed(after, PAGE).await?;
            let fragments = page.iter().flat_map(|it| &it.fragments);
            let owed = fragments.filter(|it| it.state != FragmentState::Stored);
            missing += owed.count() as u64;
            after = page.last().map(|it| it.id);
            if page.len() < PAGE {
                return Ok(missing);
            }
        }
    }

    /// Whether one of these versions was not replaced or deleted by what was found beside it.
    async fn is_any_there(&self, versions: &[VersionId]) -> Result<bool, Problem> {
        for version in versions {
            if self.catalog.version_by_id(*version).await?.is_some() {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Deletes records that the catalogue has and no location knows: what was kept and lies nowhere was deleted, and no location needed to know
    /// that any more.
    pub(super) async fn drop_untold_records(&self, work: &mut Work) -> Result<(), Problem> {
        if !work.listing.is_all_heard() || work.rebuilt.may_miss_locations {
            return Ok(());
        }
        for note in self.catalog.kept_notes().await? {
            if let Subject::Record { tenant, kind, id } = &note.subject
                && !work.records.contains(&note.subject)
                && self.catalog.delete_record(*tenant, kind, id).await?
            {
                work.rebuilt.records += 1;
            }
        }
        Ok(())
    }

    /// Takes away what the catalogue has and no location knows: it was deleted after the catalogue was copied.
    pub(super) async fn take_away(&self, work: &mut Work) -> Result<(), Problem> {
        if work.had_versions && (!work.listing.is_all_heard() || work.rebuilt.may_miss_locations) {
            work.rebuilt.note(
                "what was deleted long before, and is in this catalogue, may have stayed: that is known when no location is away, lost, or may be missing".to_owned(),
            );
            return Ok(());
        }
        let mut after = None;
        while work.had_versions {
            let page = self.catalog.present(after, PAGE).await?;
            for it in &page {
                if !work.seen.contains_key(&it.id) && !self.is_there(work, it).await? {
                    let due_ms = self.in_ms(self.settings.grace);
                    self.catalog
                        .delete_version(it.datastore, &it.key, it.id, due_ms)
                        .await?;
                    work.rebuilt.gone += 1;
                }
            }
            after = page.last().map(|it| it.id);
            if page.len() < PAGE {
                break;
            }
        }
        Ok(())
    }

    /// Deletes datastores that the catalogue has and no location knows.
    pub(super) async fn drop_untold(&self, work: &Work) -> Result<(), Problem> {
        if !work.listing.is_all_heard() || work.rebuilt.may_miss_locations {
            return Ok(());
        }
        // What enough locations kept, and none has, was deleted; what is not empty is kept all the same.
        for note in self.catalog.kept_notes().await? {
            if let Subject::Datastore(_, id) = note.subject
                && !work.told.contains(&id)
            {
                match self.catalog.delete_datastore(id).await {
                    Ok(()) | Err(CatalogError::NotEmpty | CatalogError::NoSuchDatastore) => {}
                    Err(error) => return Err(error.into()),
                }
            }
        }
        Ok(())
    }

    /// Whether a version without a manifest is there all the same: enough of its fragments are, or it is a marker.
    async fn is_there(&self, work: &mut Work, version: &Present) -> Result<bool, Problem> {
        if version.is_marker {
            return Ok(true);
        }
        let segments = self.catalog.segments(version.id, 0..u32::MAX).await?;
        let mut is_there = version.is_owed || !segments.is_empty();
        for segment in &segments {
            let found = segment.fragments.iter().filter(|fragment| {
                let Some((name, index, attempt)) = parse_fragment(&fragment.name) else {
                    return false;
                };
                work.named.insert(name);
                let pieces = work.listing.fragments.get(&name).into_iter().flatten();
                pieces
                    .into_iter()
                    .any(|it| (it.index, it.attempt) == (index, attempt))
            });
            let found = found.count();
            is_there &= found >= self.needed(segment.version).await?;
        }
        Ok(is_there)
    }

    /// Fragments of which a version's segments can be read.
    async fn needed(&self, version: VersionId) -> Result<usize, Problem> {
        let Some((version, _)) = self.catalog.version_by_id(version).await? else {
            return Ok(1);
        };
        let policy = self
            .policy_version(&version.policy, version.policy_version)
            .await?;
        Ok(usize::from(policy.policy.code().data()))
    }
}
