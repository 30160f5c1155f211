//! The catalogue: what the host must know of objects, in a relational database.
//!
//! Invariants: an object exists from the commit of its transaction on and not before; a segment is live, or garbage with a due time, and
//! never both; the counters of a datastore say what its rows say. Keys, heads, bodies and records are opaque bytes here.
//! [`Catalog`] is the only door. Each operation is written once, over a small trait, and runs on SQLite (embedded) and PostgreSQL alike.

mod catalog;
mod commit;
mod current;
mod datastores;
mod deletion;
mod error;
mod fragments;
mod garbage;
mod ids;
mod intents;
mod jobs;
mod keys;
mod leases;
mod listing;
mod locations;
mod moves;
mod notes;
mod policies;
mod postgres;
mod rebuild;
mod records;
mod removals;
mod schema;
mod search;
mod segments;
mod sent;
mod spent;
mod sqlite;
mod transaction;
mod uploads;
mod usage;
mod versions;

pub use catalog::{Catalog, Link};
pub use commit::{Commit, Committed, Condition};
pub use datastores::Datastore;
pub use deletion::{NewMarker, Removed};
pub use error::CatalogError;
pub use fragments::{Fragment, FragmentState, NAME_BYTES_MAX};
pub use ids::{DatastoreId, SegmentId, TenantId, VersionId};
pub use intents::{Intent, NewIntent};
pub use jobs::{JOB_PARTS, Job, JobPart, JobReport, JobState, Join, OtherWork, Then};
pub use keys::{KEY_BYTES_MAX, Key};
pub use listing::{Cursor, Page};
pub use locations::{Location, LocationState, Returning};
pub use moves::{Described, Move, Origin, Placing};
pub use notes::{Note, Noted, Subject};
pub use policies::Policy;
pub use rebuild::{
    Found, FoundDatastore, FoundFragment, FoundRemoval, FoundSegment, FoundVersion, Merged,
    MergedDatastore, Present,
};
pub use removals::Removal;
pub use segments::Segment;
pub use sqlite::{BackupError, back_up, mark_restored};
pub use uploads::{PARTS_MAX, Part};
pub use usage::Usage;
pub use versions::Version;
