//! What a rebuild knows so far, and what it makes of each manifest and removal: no call goes out from here.
//!
//! Invariant: of several placings of a version the greatest that a coder has sealed counts, and of files under one fragment's name no location
//! stands for more than its share.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use bytes::Bytes;
use sc_erasure::Shape;
use sc_metadata::{
    Datastore, DatastoreId, FoundFragment, FoundRemoval, FoundSegment, FoundVersion, Key,
    SegmentId, Subject, TenantId, VersionId,
};
use sc_proto::coder;
use sc_proto::storage::{StoredManifest, StoredRemoval};

use super::Rebuilt;
use super::listing::Listing;
use super::reading::{File, Wraps};
use crate::locations::candidates;
use crate::manifests::manifest_name;
use crate::placement::place;
use crate::policy::Policy;
use crate::store::{hex, unhex};

/// A datastore as it is to be, and what was seen in it.
pub(super) struct Target {
    pub(super) datastore: Datastore,
    pub(super) switches: Vec<u64>,
    pub(super) is_gone: bool,
    pub(super) change: u64,
    pub(super) is_kept: bool,
    pub(super) oldest: u64,
    pub(super) last_number: u64,
    /// Its settings were made up of a manifest.
    pub(super) is_guessed: bool,
}

/// What one rebuild goes by.
pub(super) struct Work {
    pub(super) listing: Listing,
    pub(super) rebuilt: Rebuilt,
    pub(super) wraps: Wraps,
    pub(super) targets: BTreeMap<DatastoreId, Target>,
    /// Up to which number all versions of a key are gone.
    pub(super) removed: BTreeMap<(DatastoreId, Bytes), u64>,
    pub(super) removed_ones: BTreeSet<(DatastoreId, VersionId)>,
    /// Versions whose manifests were found, and how often these were placed.
    pub(super) seen: BTreeMap<VersionId, (u64, VersionId)>,
    /// Manifests that others of their versions have taken the place of.
    pub(super) stale: Vec<(DatastoreId, Key, VersionId)>,
    /// What fragments of versions are named by.
    pub(super) named: BTreeSet<[u8; 32]>,
    /// Policies that are known to be in the catalogue as they were found, or not to be.
    pub(super) policies: BTreeMap<(String, u32), Option<Policy>>,
    /// Records that were found.
    pub(super) records: BTreeSet<Subject>,
    /// Versions whose manifests have fewer copies than they should.
    pub(super) short: Vec<VersionId>,
    /// The settings of a datastore were nowhere, nor a manifest with its key.
    pub(super) is_unknown: bool,
    pub(super) had_versions: bool,
    /// Datastores whose settings were found.
    pub(super) told: BTreeSet<DatastoreId>,
}

impl Work {
    /// A version as the catalogue is to have it; `None` if it is known already.
    ///
    /// # Errors
    /// What is wrong with this copy.
    pub(super) fn version_of(
        &mut self,
        file: &File,
        stored: StoredManifest,
        verified: coder::VerifiedManifest,
    ) -> Result<Option<(DatastoreId, FoundVersion)>, &'static str> {
        let version = VersionId(
            stored.version[..]
                .try_into()
                .map_err(|_| "its version is none")?,
        );
        let datastore = stored.datastore[..].try_into();
        let datastore = DatastoreId(datastore.map_err(|_| "its datastore is none")?);
        let number = match verified.marker {
            true => stored.number,
            false => verified.number,
        };
        let placed = match stored.placed {
            0 => number,
            placed => placed,
        };
        let manifest = match stored.manifest.is_empty() {
            true => version,
            false => VersionId(
                stored.manifest[..]
                    .try_into()
                    .map_err(|_| "what it is named by is no id")?,
            ),
        };
        if file.name != manifest_name(manifest).as_str() {
            return Err("it is named otherwise than it says");
        }
        if let Some((seen, _)) = self.seen.get(&version)
            && *seen >= placed
        {
            if *seen > placed {
                self.stale.push((datastore, stored.key, manifest));
            }
            return Ok(None);
        }
        let named = (stored.policy.clone(), stored.policy_version);
        let policy = self.policies.get(&named).cloned().flatten();
        if policy.is_none() && !verified.marker {
            return Err("its policy is none, or another than that of its name and version");
        }
        let policy = policy.filter(|_| !verified.marker);
        let segments = self
            .segments(policy.as_ref(), &stored, &verified)
            .ok_or("its segments are not coded as its policy says")?;
        let wanted = policy.map_or(0, |it| usize::from(it.code().losses()) + 1);
        if let Some((_, before)) = self.seen.insert(version, (placed, manifest)) {
            self.stale.push((datastore, stored.key.clone(), before));
        }
        self.know_datastore(datastore, &stored, number);
        let up_to = self.removed.get(&(datastore, stored.key.clone()));
        let is_removed = up_to.is_some_and(|up_to| number <= *up_to)
            || self.removed_ones.contains(&(datastore, version));
        if !is_removed && file.copies < wanted {
            self.short.push(version);
        }
        let tags = verified.tags.iter();
        let found = FoundVersion {
            key: stored.key,
            id: version,
            number,
            size: verified.bytes,
            created_ms: verified.created_ms,
            policy: stored.policy,
            policy_version: stored.policy_version,
            is_marker: verified.marker,
            head: stored.head,
            body: stored.body,
            tags: tags.filter_map(|tag| tag[..].try_into().ok()).collect(),
            segments,
            is_removed,
            is_moved: stored.placed != 0,
            manifest,
            placed,
            is_owed: file.copies < wanted,
        };
        Ok(Some((datastore, found)))
    }

    /// Notes a removal that is what was made.
    pub(super) fn removal(
        &mut self,
        id: DatastoreId,
        file: &File,
        stored: &StoredRemoval,
    ) -> Option<FoundRemoval> {
        let version = match stored.version.is_empty() {
            true => None,
            false => Some(VersionId(stored.version[..].try_into().ok()?)),
        };
        match version {
            Some(version) => {
                self.removed_ones.insert((id, version));
            }
            None => {
                let up_to = self.removed.entry((id, stored.key.clone())).or_default();
                *up_to = stored.number.max(*up_to);
            }
        }
        if let Some(target) = self.targets.get_mut(&id) {
            target.last_number = target.last_number.max(stored.number);
        }
        let word = file.name.strip_suffix(".removal").and_then(unhex);
        Some(FoundRemoval {
            datastore: id,
            key: stored.key.clone(),
            version,
            number: stored.number,
            word: word.filter(|_| self.listing.is_whole()),
        })
    }

    /// A datastore whose settings are nowhere is made up of a manifest, of the newest that is seen; so that nothing goes, it keeps versions.
    pub(super) fn know_datastore(&mut self, id: DatastoreId, stored: &StoredManifest, number: u64) {
        let Some(wrap) = self.wraps.get(&id) else {
            return;
        };
        let target = self.targets.entry(id).or_insert_with(|| Target {
            datastore: Datastore {
                id,
                tenant: TenantId(wrap.tenant),
                name: wrap.name.clone(),
                policy: String::new(),
                versioning: true,
                quota_bytes: None,
                used_bytes: 0,
                objects: 0,
                wrapped_key: wrap.wrapped_key.clone(),
                root_number: wrap.root_number,
                created_ms: stored.created_ms,
            },
            switches: Vec::new(),
            is_gone: false,
            change: 0,
            is_kept: false,
            oldest: 1,
            last_number: 0,
            is_guessed: true,
        });
        let is_newest = target.last_number <= number || target.datastore.policy.is_empty();
        if target.is_guessed && is_newest && !stored.policy.is_empty() {
            target.datastore.policy.clone_from(&stored.policy);
        }
        target.last_number = target.last_number.max(number);
    }

    /// The segments of a version, and where their fragments are; `None` if they are coded otherwise than the policy says.
    fn segments(
        &mut self,
        policy: Option<&Policy>,
        stored: &StoredManifest,
        verified: &coder::VerifiedManifest,
    ) -> Option<Vec<FoundSegment>> {
        let count = verified.segments.len();
        if !stored.segments.is_empty() && stored.segments.len() != count {
            return None;
        }
        let mut segments = Vec::with_capacity(count);
        for (place, segment) in verified.segments.iter().enumerate() {
            let code = policy?.code();
            let said = segment.redundancy?;
            let is_coded_so = [said.code, said.data, said.total, said.subpackets]
                == [code.code_id(), code.data(), code.total(), code.subpackets()].map(u32::from);
            let shape = Shape::new(segment.plain_bytes as usize, code).filter(|_| is_coded_so)?;
            let named = stored.segments.get(place).unwrap_or(&segment.segment);
            let named: [u8; 32] = named[..].try_into().ok()?;
            self.named.insert(named);
            let fragments = self.fragments(policy?, &named, code.total());
            segments.push(FoundSegment {
                // What is named otherwise than by its own id was placed anew.
                id: SegmentId(named),
                part: segment.part,
                index: segment.index,
                plain_bytes: segment.plain_bytes,
                record: segment.record.clone(),
                fragment_bytes: u32::try_from(shape.fragment_bytes()).ok()?,
                fragments,
            });
        }
        Some(segments)
    }

    fn fragments(&self, policy: &Policy, named: &[u8; 32], total: u8) -> Vec<FoundFragment> {
        let found = self.listing.fragments.get(named);
        let stem = hex(named);
        let mut fragments: Vec<_> = (0..total)
            .map(|index| FoundFragment {
                name: format!("{stem}.{index}"),
                at: Vec::new(),
                planned: 0,
                others: Vec::new(),
            })
            .collect();
        // By index and attempt; of several of one index the catalogue knows which counts, and without it one is as good as another.
        let mut pieces: BTreeMap<(u8, u64), Vec<u16>> = BTreeMap::new();
        for piece in found.into_iter().flatten() {
            let at = pieces.entry((piece.index, piece.attempt)).or_default();
            at.push(piece.site);
        }
        // Those with fewest others of their location come first, so that no location stands for more than its own.
        let mut taken: BTreeMap<u16, usize> = BTreeMap::new();
        let most = policy.placement.per_location.map_or(1, usize::from);
        let mut pieces: Vec<_> = pieces.into_iter().collect();
        pieces.sort_by_key(|((index, attempt), _)| (*index, std::cmp::Reverse(*attempt)));
        for ((index, attempt), mut at) in pieces {
            let Some(fragment) = fragments.get_mut(usize::from(index)) else {
                continue;
            };
            let name = match attempt {
                0 => format!("{stem}.{index}"),
                attempt => format!("{stem}.{index}.{attempt:016x}"),
            };
            at.sort_by_key(|site| taken.get(site).copied().unwrap_or(0));
            let has_room = |site: &u16| taken.get(site).copied().unwrap_or(0) < most;
            let is_better = fragment.at.is_empty()
                || at.first().is_some_and(has_room) && !fragment.at.first().is_some_and(has_room);
            if !is_better {
                fragment.others.push((name, at));
                continue;
            }
            if !fragment.at.is_empty() {
                let before = (fragment.name.clone(), std::mem::take(&mut fragment.at));
                fragment.others.push(before);
            }
            fragment.name = name;
            fragment.at = at;
            if let Some(site) = fragment.at.first() {
                *taken.entry(*site).or_default() += 1;
            }
        }
        if fragments.iter().any(|it| it.at.is_empty()) {
            let sites = self.listing.sites.iter();
            let sites = sites.map(|it| (it.name.clone(), Arc::clone(it))).collect();
            let placed = place(policy, &candidates(&sites), named).unwrap_or_default();
            for (place, fragment) in fragments.iter_mut().enumerate() {
                let planned = placed.get(place).copied().unwrap_or(0);
                fragment.planned = u16::try_from(planned).unwrap_or(0);
            }
        }
        fragments
    }
}
