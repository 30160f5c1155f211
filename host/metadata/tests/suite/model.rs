//! The catalogue as it should be, slow and obvious: lists in memory, searched from end to end.

use std::collections::{BTreeMap, BTreeSet};

use sc_metadata::{
    CatalogError, Commit, Committed, Condition, Key, NewIntent, NewMarker, PARTS_MAX, Part,
    Removed, Segment, SegmentId, VersionId,
};

/// An intent, with every segment that was added to it, in order.
#[derive(Debug, Clone)]
pub(crate) struct ModelIntent {
    pub(crate) new: NewIntent,
    number: u64,
    segments: Vec<Segment>,
    parts: BTreeMap<u32, (Part, Vec<SegmentId>)>,
    is_overtaken: bool,
}

#[derive(Debug, Clone)]
pub(crate) struct ModelVersion {
    pub(crate) key: Key,
    pub(crate) id: VersionId,
    pub(crate) number: u64,
    pub(crate) size: u64,
    pub(crate) is_marker: bool,
    pub(crate) segments: Vec<Segment>,
    pub(crate) owes_manifest: bool,
    tags: Vec<[u8; 16]>,
}

/// One datastore.
#[derive(Debug, Clone, Default)]
pub(crate) struct Model {
    pub(crate) versioning: bool,
    pub(crate) quota_bytes: Option<u64>,
    last_number: u64,
    pub(crate) intents: Vec<ModelIntent>,
    pub(crate) versions: Vec<ModelVersion>,
    /// Garbage, and when it is due.
    pub(crate) garbage: BTreeMap<SegmentId, u64>,
    /// Ids of versions that are gone, and of deletions.
    spent: BTreeSet<VersionId>,
}

type Outcome<T> = Result<T, CatalogError>;

impl Model {
    pub(crate) fn new(versioning: bool) -> Self {
        Self {
            versioning,
            ..Self::default()
        }
    }

    /// Does `run`, or nothing if it fails.
    fn atomically<T>(&mut self, run: impl FnOnce(&mut Self) -> Outcome<T>) -> Outcome<T> {
        let mut after = self.clone();
        let result = run(&mut after)?;
        *self = after;
        Ok(result)
    }

    /// Whether an id names a version, or did.
    fn is_used(&self, id: VersionId) -> bool {
        self.spent.contains(&id) || self.versions.iter().any(|version| version.id == id)
    }

    /// Begins or ends keeping versions, at a number of its own.
    pub(crate) fn keep(&mut self, versioning: bool) {
        if self.versioning != versioning {
            self.draw();
        }
        self.versioning = versioning;
    }

    fn draw(&mut self) -> u64 {
        self.last_number += 1;
        self.last_number
    }

    pub(crate) fn latest(&self, key: &Key) -> Option<&ModelVersion> {
        let of_key = self.versions.iter().filter(|version| version.key == *key);
        of_key.max_by_key(|version| version.number)
    }

    fn object(&self, key: &Key) -> Option<&ModelVersion> {
        self.latest(key).filter(|version| !version.is_marker)
    }

    /// The current objects, by key.
    pub(crate) fn objects(&self) -> Vec<&ModelVersion> {
        let mut keys: Vec<_> = self.versions.iter().map(|version| &version.key).collect();
        keys.sort();
        keys.dedup();
        keys.into_iter()
            .filter_map(|key| self.object(key))
            .collect()
    }

    /// The current objects with a tag, by key.
    pub(crate) fn tagged(&self, tag: [u8; 16]) -> Vec<&ModelVersion> {
        let objects = self.objects().into_iter();
        objects
            .filter(|object| object.tags.contains(&tag))
            .collect()
    }

    pub(crate) fn used_bytes(&self) -> u64 {
        self.versions.iter().map(|version| version.size).sum()
    }

    pub(crate) fn stored_bytes(&self) -> u64 {
        let segments = self.versions.iter().flat_map(|version| &version.segments);
        segments
            .map(|segment| u64::from(segment.fragment_bytes) * segment.fragments.len() as u64)
            .sum()
    }

    fn holds(&self, condition: Condition, key: &Key) -> bool {
        let object = self.object(key).map(|version| version.id);
        match condition {
            Condition::None => true,
            Condition::IfAbsent => object.is_none(),
            Condition::IfExists => object.is_some(),
            Condition::IfCurrent(id) => object == Some(id),
        }
    }

    fn is_taken(&self, id: SegmentId) -> bool {
        let begun = self.intents.iter().flat_map(|intent| &intent.segments);
        let committed = self.versions.iter().flat_map(|version| &version.segments);
        begun.chain(committed).any(|segment| segment.id == id) || self.garbage.contains_key(&id)
    }

    fn discard<'a>(&mut self, segments: impl IntoIterator<Item = &'a Segment>, due_ms: u64) {
        for segment in segments {
            self.garbage.entry(segment.id).or_insert(due_ms);
        }
    }

    fn live(&mut self, version: VersionId, now_ms: u64) -> Outcome<&mut ModelIntent> {
        let mut intents = self.intents.iter_mut();
        intents
            .find(|intent| intent.new.version == version && intent.new.lease_until_ms > now_ms)
            .ok_or(CatalogError::IntentGone)
    }

    pub(crate) fn begin(&mut self, new: NewIntent) -> Outcome<u64> {
        self.atomically(|model| {
            let number = model.draw();
            if model.is_used(new.version) {
                return Err(CatalogError::VersionExists);
            }
            if model
                .intents
                .iter()
                .any(|intent| intent.new.version == new.version)
            {
                return Err(CatalogError::Exists("intent"));
            }
            model.intents.push(ModelIntent {
                new,
                number,
                segments: Vec::new(),
                parts: BTreeMap::new(),
                is_overtaken: false,
            });
            Ok(number)
        })
    }

    pub(crate) fn add_segment(&mut self, segment: Segment, lease: u64, now_ms: u64) -> Outcome<()> {
        self.atomically(|model| {
            let is_taken = model.is_taken(segment.id);
            let intent = model.live(segment.version, now_ms)?;
            if intent.new.upload.is_some() != (segment.part > 0) {
                return Err(CatalogError::Invalid(
                    "segments of an upload belong to a part, and those of a plain PUT to none",
                ));
            }
            if is_taken {
                return Err(CatalogError::Exists("segment"));
            }
            intent.new.lease_until_ms = intent.new.lease_until_ms.max(lease);
            intent.segments.push(segment);
            Ok(())
        })
    }

    pub(crate) fn renew(&mut self, version: VersionId, lease: u64, now_ms: u64) -> Outcome<()> {
        let intent = self.live(version, now_ms)?;
        intent.new.lease_until_ms = intent.new.lease_until_ms.max(lease);
        Ok(())
    }

    pub(crate) fn put_part(
        &mut self,
        upload: VersionId,
        part: Part,
        ids: &[SegmentId],
        lease: u64,
        now_ms: u64,
        due_ms: u64,
    ) -> Outcome<()> {
        self.atomically(|model| {
            if part.number == 0 || part.number > PARTS_MAX {
                return Err(CatalogError::Invalid("a part has a number from 1 to 10000"));
            }
            let intent = model.live(upload, now_ms)?;
            if intent.new.upload.is_none() {
                return Err(CatalogError::IntentGone);
            }
            intent.new.lease_until_ms = intent.new.lease_until_ms.max(lease);
            let before = intent.parts.remove(&part.number);
            let is_of_part = |id: &SegmentId| {
                let mut segments = intent.segments.iter();
                segments.any(|segment| segment.id == *id && segment.part == part.number)
            };
            if !ids.iter().all(is_of_part) {
                return Err(CatalogError::NoSuchSegment);
            }
            intent.parts.insert(part.number, (part, ids.to_vec()));
            let replaced = before.map_or(Vec::new(), |(_, before)| before);
            let is_gone =
                |segment: &Segment| replaced.contains(&segment.id) && !ids.contains(&segment.id);
            let gone: Vec<_> = intent
                .segments
                .extract_if(.., |segment| is_gone(segment))
                .collect();
            model.discard(&gone, due_ms);
            Ok(())
        })
    }

    fn end(&mut self, version: VersionId, due_ms: u64) -> bool {
        let Some(at) = self
            .intents
            .iter()
            .position(|intent| intent.new.version == version)
        else {
            return false;
        };
        let intent = self.intents.remove(at);
        self.discard(&intent.segments, due_ms);
        true
    }

    pub(crate) fn abandon(&mut self, version: VersionId, due_ms: u64) -> Outcome<()> {
        self.end(version, due_ms);
        Ok(())
    }

    pub(crate) fn expire(&mut self, version: VersionId, now_ms: u64, due_ms: u64) -> Outcome<bool> {
        Ok(self.live(version, now_ms).is_err() && self.end(version, due_ms))
    }

    pub(crate) fn commit(&mut self, commit: &Commit) -> Outcome<Committed> {
        self.atomically(|model| {
            if model
                .versions
                .iter()
                .any(|version| version.id == commit.version)
            {
                return Err(CatalogError::VersionExists);
            }
            let is_used = model.is_used(commit.version);
            let intent = match model.live(commit.version, commit.now_ms) {
                Err(CatalogError::IntentGone) if is_used => {
                    return Err(CatalogError::VersionExists);
                }
                live => live?.clone(),
            };
            let key = intent.new.key.clone();
            let is_latest = model
                .latest(&key)
                .is_none_or(|latest| latest.number < intent.number);
            let can_be_current = is_latest && !intent.is_overtaken;
            if commit.condition != Condition::None
                && !(can_be_current && model.holds(commit.condition, &key))
            {
                return Err(CatalogError::ConditionFailed);
            }
            let (segments, size) = chosen(&intent, commit)?;
            model
                .intents
                .retain(|intent| intent.new.version != commit.version);
            let is_chosen =
                |segment: &&Segment| segments.iter().any(|chosen| chosen.id == segment.id);
            let others = intent.segments.iter().filter(|segment| !is_chosen(segment));
            model.discard(others, commit.garbage_due_ms);
            if intent.is_overtaken || (!model.versioning && !is_latest) {
                model.discard(&segments, commit.garbage_due_ms);
                model.spent.insert(commit.version);
                return Ok(Committed {
                    number: intent.number,
                    is_current: false,
                    superseded: vec![commit.version],
                });
            }
            let superseded = match model.versioning {
                true => Vec::new(),
                false => model.remove(|version| version.key == key, commit.garbage_due_ms),
            };
            let used_bytes = model.used_bytes();
            if let Some(quota_bytes) = model.quota_bytes
                && used_bytes + size > quota_bytes
            {
                return Err(CatalogError::QuotaExceeded {
                    quota_bytes,
                    used_bytes,
                    size_bytes: size,
                });
            }
            model.versions.push(ModelVersion {
                key,
                id: commit.version,
                number: intent.number,
                size,
                is_marker: false,
                segments,
                owes_manifest: true,
                tags: commit.tags.clone(),
            });
            Ok(Committed {
                number: intent.number,
                is_current: is_latest,
                superseded,
            })
        })
    }

    /// Removes versions; returns their ids by number.
    fn remove(&mut self, is_gone: impl Fn(&ModelVersion) -> bool, due_ms: u64) -> Vec<VersionId> {
        let mut gone: Vec<_> = self
            .versions
            .extract_if(.., |version| is_gone(version))
            .collect();
        gone.sort_by_key(|version| version.number);
        for version in &gone {
            self.discard(&version.segments, due_ms);
            self.spent.insert(version.id);
        }
        gone.into_iter().map(|version| version.id).collect()
    }

    pub(crate) fn delete_current(
        &mut self,
        key: &Key,
        condition: Condition,
        marker: Option<&NewMarker>,
        due_ms: u64,
    ) -> Outcome<Removed> {
        self.atomically(|model| {
            let number = model.draw();
            if marker.is_some_and(|marker| model.is_used(marker.id)) {
                return Err(CatalogError::VersionExists);
            }
            if !model.holds(condition, key) {
                return Err(CatalogError::ConditionFailed);
            }
            if !model.versioning {
                model.spent.extend(marker.map(|marker| marker.id));
                let begun = model
                    .intents
                    .iter_mut()
                    .filter(|intent| intent.new.key == *key);
                begun.for_each(|intent| intent.is_overtaken = true);
                return Ok(Removed {
                    number,
                    versions: model.remove(|version| version.key == *key, due_ms),
                    marker: None,
                });
            }
            let id = marker.ok_or(CatalogError::MarkerNeeded)?.id;
            model.versions.push(ModelVersion {
                key: key.clone(),
                id,
                number,
                size: 0,
                is_marker: true,
                segments: Vec::new(),
                owes_manifest: false,
                tags: Vec::new(),
            });
            Ok(Removed {
                number,
                versions: Vec::new(),
                marker: Some(id),
            })
        })
    }

    pub(crate) fn delete_version(
        &mut self,
        key: &Key,
        id: VersionId,
        due_ms: u64,
    ) -> Outcome<Removed> {
        let number = self.draw();
        let versions = self.remove(|version| version.key == *key && version.id == id, due_ms);
        Ok(Removed {
            number,
            versions,
            marker: None,
        })
    }

    /// Leaves a segment, live or garbage, with so many fragments.
    pub(crate) fn set_fragments(&mut self, changed: &Segment) -> Outcome<()> {
        let begun = self
            .intents
            .iter_mut()
            .flat_map(|intent| &mut intent.segments);
        let committed = self
            .versions
            .iter_mut()
            .flat_map(|version| &mut version.segments);
        match begun
            .chain(committed)
            .find(|segment| segment.id == changed.id)
        {
            Some(segment) => segment.fragments = changed.fragments.clone(),
            None if self.garbage.contains_key(&changed.id) => (),
            None => return Err(CatalogError::NoSuchSegment),
        }
        Ok(())
    }

    pub(crate) fn forget(&mut self, segments: &[SegmentId]) {
        self.garbage.retain(|id, _| !segments.contains(id));
    }

    pub(crate) fn settle(&mut self, version: VersionId) {
        let mut versions = self.versions.iter_mut();
        if let Some(version) = versions.find(|found| found.id == version) {
            version.owes_manifest = false;
        }
    }
}

/// The segments that a commit makes an object of, in its order, and the object's size.
fn chosen(intent: &ModelIntent, commit: &Commit) -> Outcome<(Vec<Segment>, u64)> {
    let invalid = CatalogError::Invalid;
    let find = |id: &SegmentId| {
        intent
            .segments
            .iter()
            .find(|segment| segment.id == *id)
            .cloned()
    };
    let Some(numbers) = &commit.parts else {
        if intent.new.upload.is_some() {
            return Err(invalid(
                "an upload is committed with parts, and a plain PUT without",
            ));
        }
        let mut places: BTreeMap<u32, Segment> = BTreeMap::new();
        for segment in &intent.segments {
            places.insert(segment.index, segment.clone());
        }
        return Ok((places.into_values().collect(), commit.size));
    };
    if intent.new.upload.is_none() {
        return Err(invalid(
            "an upload is committed with parts, and a plain PUT without",
        ));
    }
    if numbers.is_empty() || !numbers.is_sorted_by(|one, next| one < next) {
        return Err(invalid(
            "an upload is completed with at least one part, in ascending order",
        ));
    }
    let (mut segments, mut size) = (Vec::new(), 0);
    for number in numbers {
        let (part, ids) = intent
            .parts
            .get(number)
            .ok_or(CatalogError::NoSuchPart(*number))?;
        segments.extend(ids.iter().filter_map(find));
        size += part.size;
    }
    Ok((segments, size))
}
