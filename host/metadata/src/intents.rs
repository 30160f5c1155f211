//! Intents: PUTs and uploads under way, each with a lease and the number drawn when it began.
//!
//! Invariants: a version id names an intent or a committed version, never both; the segments of an intent are no garbage while it is there,
//! and its row is the first thing that its end removes.

use bytes::Bytes;

use crate::transaction::{Param, Row, Transaction};
use crate::{
    Catalog, CatalogError, DatastoreId, Key, Segment, VersionId, catalog::Reach, ids::check_key,
    segments,
};

/// A PUT, or an upload in parts, about to begin.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewIntent {
    /// The version that it may become.
    pub version: VersionId,
    /// Where it will be.
    pub datastore: DatastoreId,
    /// The object that it will be a version of.
    pub key: Key,
    /// The intent is live before this time, unless it is renewed.
    pub lease_until_ms: u64,
    /// For an upload in parts: sealed metadata that its completion needs. `None` for a plain PUT.
    pub upload: Option<Bytes>,
    /// The policy that its segments are coded by.
    pub policy: String,
    /// The version of that policy.
    pub policy_version: u32,
    /// When it begins.
    pub created_ms: u64,
}

/// A PUT, or an upload in parts, that has begun.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Intent {
    /// The version that it may become.
    pub version: VersionId,
    /// Where it will be.
    pub datastore: DatastoreId,
    /// The object that it will be a version of.
    pub key: Key,
    /// The intent is live before this time, unless it is renewed.
    pub lease_until_ms: u64,
    /// For an upload in parts: sealed metadata that its completion needs.
    pub upload: Option<Bytes>,
    /// The policy that its segments are coded by.
    pub policy: String,
    /// The version of that policy.
    pub policy_version: u32,
    /// When it began.
    pub created_ms: u64,
    /// Its place among all that happens in the datastore.
    pub number: u64,
}

impl Catalog {
    /// Notes that a version is about to be written, with its first segments and the names of their fragments; returns the number drawn
    /// from the datastore's counter.
    ///
    /// # Errors
    /// `VersionExists` if the version has been committed, `Exists` if it has an intent already, `NoSuchDatastore`, `Invalid` for a key or
    /// name of impossible length.
    pub async fn begin(
        &self,
        intent: NewIntent,
        segments: &[Segment],
    ) -> Result<u64, CatalogError> {
        self.write((intent, segments.to_vec()), |tx, (intent, segments)| {
            Box::pin(begin(tx, intent, segments))
        })
        .await
    }

    /// Adds segments to a live intent and extends its lease. A further segment with the same part and index is a further attempt, which
    /// takes the place of the one before.
    ///
    /// # Errors
    /// `IntentGone` if the intent has ended or its lease has passed, `Exists` if a segment's id is taken.
    pub async fn add_segments(
        &self,
        version: VersionId,
        segments: &[Segment],
        lease_until_ms: u64,
        now_ms: u64,
    ) -> Result<(), CatalogError> {
        self.write(
            (version, segments.to_vec(), lease_until_ms, now_ms),
            |tx, (version, segments, lease_until_ms, now_ms)| {
                Box::pin(add_segments(
                    tx,
                    version,
                    segments,
                    *lease_until_ms,
                    *now_ms,
                ))
            },
        )
        .await
    }

    /// Extends the lease of a live intent; it never becomes shorter.
    ///
    /// # Errors
    /// `IntentGone`.
    pub async fn renew(
        &self,
        version: VersionId,
        lease_until_ms: u64,
        now_ms: u64,
    ) -> Result<(), CatalogError> {
        self.write(
            (version, lease_until_ms, now_ms),
            |tx, (version, lease_until_ms, now_ms)| {
                Box::pin(renew(tx, version, *lease_until_ms, *now_ms))
            },
        )
        .await
    }

    /// Ends an intent; its segments become garbage due at `due_ms`. Does nothing if there is no such intent.
    pub async fn abandon(&self, version: VersionId, due_ms: u64) -> Result<(), CatalogError> {
        self.write((version, due_ms), |tx, (version, due_ms)| {
            Box::pin(abandon(tx, version, *due_ms))
        })
        .await
    }

    /// The intent of a version, also when its lease has passed.
    pub async fn intent(&self, version: VersionId) -> Result<Option<Intent>, CatalogError> {
        self.read(Reach::Point, version, |tx, version| {
            Box::pin(intent(tx, version))
        })
        .await
    }

    /// At most `limit` intents whose leases have passed, the longest expired first.
    pub async fn expired_intents(
        &self,
        now_ms: u64,
        limit: usize,
    ) -> Result<Vec<VersionId>, CatalogError> {
        self.read(Reach::Scan, (now_ms, limit), |tx, (now_ms, limit)| {
            Box::pin(expired_intents(tx, *now_ms, *limit))
        })
        .await
    }

    /// Ends an intent if its lease has passed; its segments become garbage due at `due_ms`. Returns whether it did: `false` if it was
    /// renewed, committed or ended in the meantime.
    pub async fn expire_intent(
        &self,
        version: VersionId,
        now_ms: u64,
        due_ms: u64,
    ) -> Result<bool, CatalogError> {
        self.write(
            (version, now_ms, due_ms),
            |tx, (version, now_ms, due_ms)| Box::pin(expire_intent(tx, version, *now_ms, *due_ms)),
        )
        .await
    }
}

// STUB
async fn begin(_: &mut dyn Transaction, _: &NewIntent, _: &[Segment]) -> Result<u64, CatalogError> {
    Err(CatalogError::Unavailable("not there yet".to_owned()))
}

// STUB
async fn add_segments(
    _: &mut dyn Transaction,
    _: &VersionId,
    _: &[Segment],
    _: u64,
    _: u64,
) -> Result<(), CatalogError> {
    Err(CatalogError::Unavailable("not there yet".to_owned()))
}

// STUB
async fn renew(_: &mut dyn Transaction, _: &VersionId, _: u64, _: u64) -> Result<(), CatalogError> {
    Err(CatalogError::Unavailable("not there yet".to_owned()))
}

// STUB
async fn abandon(_: &mut dyn Transaction, _: &VersionId, _: u64) -> Result<(), CatalogError> {
    Err(CatalogError::Unavailable("not there yet".to_owned()))
}

// STUB
async fn intent(_: &mut dyn Transaction, _: &VersionId) -> Result<Option<Intent>, CatalogError> {
    Err(CatalogError::Unavailable("not there yet".to_owned()))
}

// STUB
async fn expired_intents(
    _: &mut dyn Transaction,
    _: u64,
    _: usize,
) -> Result<Vec<VersionId>, CatalogError> {
    Err(CatalogError::Unavailable("not there yet".to_owned()))
}

// STUB
async fn expire_intent(
    _: &mut dyn Transaction,
    _: &VersionId,
    _: u64,
    _: u64,
) -> Result<bool, CatalogError> {
    Err(CatalogError::Unavailable("not there yet".to_owned()))
}
