//! The commit of an object: the one transaction in which it comes to exist.

use bytes::Bytes;

use crate::{Catalog, CatalogError, SegmentId, VersionId, transaction::Transaction};

/// What must be so for a change to be made, evaluated in its transaction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Condition {
    /// Nothing.
    None,
    /// The key has no object.
    IfAbsent,
    /// This version is the key's object.
    IfCurrent(VersionId),
    /// The key has an object.
    IfExists,
}

/// A PUT or upload whose segments are stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Commit {
    /// The version, of which there is an intent.
    pub version: VersionId,
    /// What must be so.
    pub condition: Condition,
    /// Bytes of the object. Not looked at for an upload, whose parts have sizes.
    pub size: u64,
    /// The manifest's head, sealed: what listing and HEAD return.
    pub head: Bytes,
    /// The manifest's body, sealed.
    pub body: Bytes,
    /// For an upload: the numbers of the parts that the object consists of, ascending. The segments of others become garbage.
    pub parts: Option<Vec<u32>>,
    /// The segments that the manifest names, in object order; if given, the version gets these or is refused.
    pub segments: Option<Vec<SegmentId>>,
    /// Blind index values by which the object can be searched for while it is current.
    pub tags: Vec<[u8; 16]>,
    /// The time now: the intent must be live.
    pub now_ms: u64,
    /// When what becomes garbage may be deleted.
    pub garbage_due_ms: u64,
}

/// What a commit did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Committed {
    /// The version's number, drawn when it began.
    pub number: u64,
    /// Whether it is the key's object now: a version or deletion that was begun later stays above it.
    pub is_current: bool,
    /// The versions that are gone since the datastore keeps none but the current, by number. The committed one itself is the last of
    /// them if it is not current.
    pub superseded: Vec<VersionId>,
}

impl Catalog {
    /// Makes the version of a live intent exist, current if no later number is there, and ends the intent. A version's manifest is a debt
    /// from then on, until [`Catalog::settle_manifests`].
    ///
    /// # Errors
    /// `IntentGone` if the intent has ended or its lease has passed; `VersionExists` if the version was committed before;
    /// `ConditionFailed`, also if the condition holds and the version could not become current; `QuotaExceeded`; `NoSuchPart`,
    /// `SegmentsChanged`; `Invalid` if parts are given for a plain PUT, missing for an upload, or not ascending.
    pub async fn commit_object(&self, commit: Commit) -> Result<Committed, CatalogError> {
        self.write(commit, |tx, commit| Box::pin(commit_object(tx, commit)))
            .await
    }
}

// STUB
async fn commit_object(_: &mut dyn Transaction, _: &Commit) -> Result<Committed, CatalogError> {
    Err(CatalogError::Unavailable("not there yet".to_owned()))
}
