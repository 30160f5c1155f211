//! What was found at the locations, and what merging it did.

use bytes::Bytes;

use crate::{Datastore, DatastoreId, Fragment, FragmentState, Key, SegmentId, VersionId};

/// A fragment, and the locations that hold it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FoundFragment {
    /// Its name.
    pub name: String,
    /// Where it is, as numbers of [`Found::locations`].
    pub at: Vec<u16>,
    /// Where it should be if it is nowhere, as one of these numbers.
    pub planned: u16,
    /// Other names under which it lies somewhere, and where: it was made again or copied, and what was before is not gone yet.
    pub others: Vec<(String, Vec<u16>)>,
}

/// A segment of a version that was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FoundSegment {
    /// Its id.
    pub id: SegmentId,
    /// The part of an upload that it came with.
    pub part: u32,
    /// Its place in the part.
    pub index: u32,
    /// How many bytes of the object it has.
    pub plain_bytes: u32,
    /// What the trusted program needs to open it.
    pub record: Bytes,
    /// The length of each of its fragments.
    pub fragment_bytes: u32,
    /// Its fragments, by index from 0.
    pub fragments: Vec<FoundFragment>,
}

/// A version whose manifest was found, and is what was made for it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FoundVersion {
    /// The object that it is a version of.
    pub key: Key,
    /// Its id.
    pub id: VersionId,
    /// Its number.
    pub number: u64,
    /// Bytes of the object.
    pub size: u64,
    /// When its PUT began.
    pub created_ms: u64,
    /// The policy that its segments are coded by.
    pub policy: String,
    /// The version of that policy.
    pub policy_version: u32,
    /// Whether it says that there is no object.
    pub is_marker: bool,
    /// The manifest's head.
    pub head: Bytes,
    /// The manifest's body.
    pub body: Bytes,
    /// Blind index values.
    pub tags: Vec<[u8; 16]>,
    /// In object order.
    pub segments: Vec<FoundSegment>,
    /// Whether a removal says that it is gone.
    pub is_removed: bool,
    /// Whether its fragments were placed anew after it was written, so that the catalogue may have older names of them.
    pub is_moved: bool,
    /// What its manifest's copies are named by: its own id, unless it was moved.
    pub manifest: VersionId,
    /// The number of its placing: its own, unless it was moved.
    pub placed: u64,
    /// Whether its manifest has too few copies.
    pub is_owed: bool,
}

/// Versions of one datastore, merged in one transaction.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// Whose they are.
    pub datastore: DatastoreId,
    /// Whether the datastore keeps versions now.
    pub versioning: bool,
    /// The numbers at which that began or ended.
    pub switches: Vec<u64>,
    /// The names of the locations.
    pub locations: Vec<String>,
    /// Which of them have told all that they hold.
    pub listed: Vec<bool>,
    /// Which of them hold nothing any more, as the operator says.
    pub lost: Vec<bool>,
    /// The versions, in any order.
    pub versions: Vec<FoundVersion>,
    /// When what is gone may be deleted.
    pub due_ms: u64,
}

/// What a merge did, in versions; and segments whose fragments were found elsewhere than the catalogue had them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Merged {
    /// That were not there.
    pub added: u64,
    /// That were there.
    pub known: u64,
    /// That are gone: a removal says so, or another version has replaced them.
    pub gone: u64,
    /// That have the number of another version of their key, and were left out.
    pub contradicting: u64,
    /// Segments.
    pub moved: u64,
}

/// A datastore whose settings were found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FoundDatastore {
    /// Its settings.
    pub datastore: Datastore,
    /// The numbers at which keeping versions began or ended.
    pub switches: Vec<u64>,
    /// Whether it was deleted.
    pub is_gone: bool,
    /// The change that these settings are; 0: they were guessed from its manifests.
    pub change: u64,
    /// Whether enough locations keep that change.
    pub is_kept: bool,
    /// The oldest change that was found.
    pub oldest: u64,
    /// The greatest number that was seen in it.
    pub last_number: u64,
}

/// What the merge of a datastore did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MergedDatastore {
    /// It was not there.
    Added,
    /// It had older settings.
    Changed,
    /// It had these settings, or newer ones.
    Same,
    /// It was deleted.
    Gone,
    /// Another one has its name: it is left out, with all that is in it.
    NameTaken,
}

/// A removal that was found, and is what was made for its key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FoundRemoval {
    /// Where the object was.
    pub datastore: DatastoreId,
    /// Its key.
    pub key: Key,
    /// The version that is gone; none: all up to the number.
    pub version: Option<VersionId>,
    /// The number.
    pub number: u64,
    /// The id of its file; none: the file is to stay, since not every location has told what it holds.
    pub word: Option<[u8; 16]>,
}

/// A version as the catalogue has it, to be compared with what was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Present {
    /// Its id.
    pub id: VersionId,
    /// Where it is.
    pub datastore: DatastoreId,
    /// The object that it is a version of.
    pub key: Key,
    /// Whether it says that there is no object.
    pub is_marker: bool,
    /// Whether its manifest has still to be written.
    pub is_owed: bool,
}

impl Found {
    /// Whether older versions stayed when the one of this number was written.
    pub(super) fn keeps(&self, number: u64) -> bool {
        let later = self.switches.iter().filter(|switch| **switch > number);
        (later.count() % 2 == 0) == self.versioning
    }

    pub(super) fn always_keeps(&self) -> bool {
        self.versioning && self.switches.is_empty()
    }
}

impl FoundSegment {
    /// Its fragments, where they are now. What the catalogue has stays unless it is known to be wrong.
    pub(super) fn fragments(&self, found: &Found, before: &[Fragment]) -> Vec<Fragment> {
        let name = |at: u16| found.locations[usize::from(at)].clone();
        let each = (0..).zip(&self.fragments).map(|(index, it)| {
            let known = before.iter().find(|known| known.index == index);
            if let Some(known) = known
                && let Some((_, at)) = it.others.iter().find(|(name, _)| *name == known.name)
                && known.state == FragmentState::Stored
                && at.iter().any(|at| name(*at) == known.location)
            {
                return known.clone();
            }
            if let Some(known) = known {
                let at = found.locations.iter().position(|it| *it == known.location);
                let is_there = at.is_some_and(|at| it.at.iter().any(|it| usize::from(*it) == at));
                let is_unseen = at.is_none_or(|at| !found.listed[at]);
                let is_stored = known.state == FragmentState::Stored;
                let is_away = at.is_some_and(|at| !found.listed[at] && !found.lost[at]);
                if is_stored && is_away {
                    return known.clone();
                }
                if known.name == it.name && is_stored && (is_there || is_unseen && it.at.is_empty())
                {
                    return known.clone();
                }
            }
            let (location, state) = match it.at.first() {
                Some(at) => (name(*at), FragmentState::Stored),
                None => {
                    let location = known.map_or_else(|| name(it.planned), |it| it.location.clone());
                    (location, FragmentState::Owed)
                }
            };
            Fragment {
                index,
                location,
                name: it.name.clone(),
                state,
            }
        });
        each.collect()
    }
}
