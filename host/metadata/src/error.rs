//! Why the catalogue did not do what was asked, and who must act.

/// Why an operation did nothing. Whatever the cause, none of its changes were made (but see [`CatalogError::Unavailable`]).
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CatalogError {
    /// No datastore has this id.
    #[error("no such datastore")]
    NoSuchDatastore,
    /// No storage location has this name.
    #[error("no such storage location")]
    NoSuchLocation,
    /// The upload has no part with this number.
    #[error("no part {0}")]
    NoSuchPart(u32),
    /// No segment has this id, or none of this upload and part.
    #[error("no such segment")]
    NoSuchSegment,
    /// No job has this id.
    #[error("no such job")]
    NoSuchJob,
    /// Something with this name is there already: the datastore, the intent, the segment or the record.
    #[error("the {0} exists already")]
    Exists(&'static str),
    /// The datastore has versions, or intents that have not ended: delete and abandon these first.
    #[error("the datastore is not empty")]
    NotEmpty,
    /// The intent has ended or its lease has passed: what was stored under it is garbage, begin anew.
    #[error("the intent is gone")]
    IntentGone,
    /// A version with this id was committed or refused before, or a deletion done under it: the request has been answered, or replayed. The
    /// version may be gone since.
    #[error("the id of this version is used up: it was stored, deleted or refused before")]
    VersionExists,
    /// The condition did not hold, or could not be kept since a later version is there.
    #[error("the condition does not hold")]
    ConditionFailed,
    /// The version would have other segments than those named: read its parts again and seal its manifest anew.
    #[error("the segments of the version have changed")]
    SegmentsChanged,
    /// The datastore may not hold as much.
    #[error("{used_bytes} of {quota_bytes} bytes are used, {size_bytes} more do not fit")]
    QuotaExceeded {
        /// What the datastore may hold.
        quota_bytes: u64,
        /// What it would hold without the version, after what the version supersedes is gone.
        used_bytes: u64,
        /// The version's size.
        size_bytes: u64,
    },
    /// The datastore keeps versions, so that deleting an object needs a marker: ask again with one.
    #[error("deleting from a datastore that keeps versions needs a marker")]
    MarkerNeeded,
    /// The call makes no sense whatever is stored: a mistake of the caller.
    #[error("invalid call: {0}")]
    Invalid(&'static str),
    /// The database was made by a newer version of this software: start that one.
    #[error("the database has schema {found}, this version knows schemas up to {known}")]
    NewerSchema {
        /// The schema's number in the database.
        found: u64,
        /// The greatest that is known here.
        known: u64,
    },
    /// The database did not answer, or is too busy, also after the retries that are safe: ask again later. If it went away while it
    /// committed and did not come back in time, the operation may have been done all the same.
    #[error("the catalogue is unavailable: {0}")]
    Unavailable(String),
    /// The database holds what no operation wrote: restore it, or rebuild it from the storage locations. Never retry.
    #[error("the catalogue is corrupt: {0}")]
    Corrupt(String),
}
