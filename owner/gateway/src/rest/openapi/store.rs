//! What the store says and takes in JSON, described for whoever reads the document. The gateway hands it on as it is, so that a store may
//! say more.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::rest::locations::LocationState;

/// A datastore, as the store describes it.
#[derive(Serialize, ToSchema)]
#[schema(as = Datastore)]
pub(in crate::rest) struct DatastoreEntry {
    /// Its name.
    #[schema(example = "readings")]
    name: String,
    /// The policy of objects that name none.
    #[schema(example = "hot")]
    policy: Option<String>,
    /// Whether older versions are kept.
    versioning: Option<bool>,
    /// Bytes of content that it may hold; absent or null: any number.
    quota_bytes: Option<u64>,
    /// Bytes of content that it holds, older versions included.
    bytes: Option<u64>,
    /// Objects in it.
    objects: Option<u64>,
    /// When it was made, in milliseconds since 1970.
    created_ms: Option<u64>,
}

/// A policy, as the store describes it.
#[derive(Serialize, ToSchema)]
#[schema(as = Policy)]
pub(in crate::rest) struct PolicyEntry {
    /// Its name.
    #[schema(example = "cold")]
    name: String,
    /// The number of its latest version.
    version: Option<u32>,
    /// What that says.
    definition: Option<PolicyDefinition>,
}

/// How objects are coded and placed.
#[derive(Serialize, Deserialize, ToSchema)]
pub(in crate::rest) struct PolicyDefinition {
    /// The code.
    redundancy: Redundancy,
    /// Where fragments may lie.
    placement: Option<Placement>,
    /// The cipher at rest.
    #[schema(example = "aes-256-gcm")]
    encryption: Option<Encryption>,
    /// Which fragments are read first.
    read: Option<ReadPreference>,
    /// How many fragments beyond those that suffice must be durable before a write is acknowledged. Default 0.
    #[schema(minimum = 0, maximum = 254)]
    write_ack_beyond_data: Option<u8>,
    /// Days between two looks at every fragment. Default 30.
    scrub_days: Option<u32>,
    /// Where objects go that nobody has read for a while.
    tier: Option<Tier>,
}

/// A code.
#[derive(Serialize, Deserialize, ToSchema)]
#[serde(tag = "kind", rename_all = "lowercase")]
pub(in crate::rest) enum Redundancy {
    /// The same bytes several times.
    Replication {
        /// How often.
        #[schema(minimum = 1, maximum = 255, example = 3)]
        copies: u8,
    },
    /// Systematic Reed-Solomon.
    Rs {
        /// Fragments that suffice.
        #[schema(minimum = 1, maximum = 254, example = 4)]
        data: u8,
        /// Fragments beyond; data and parity are at most 255.
        #[schema(minimum = 1, maximum = 254, example = 2)]
        parity: u8,
    },
    /// Random linear network coding.
    Rlnc {
        /// Fragments that suffice.
        #[schema(minimum = 1, maximum = 255, example = 4)]
        data: u8,
        /// Fragments in all.
        #[schema(minimum = 1, maximum = 255, example = 6)]
        total: u8,
        /// Packets of a fragment's piece; more make repair cheaper. Default 1.
        #[schema(minimum = 1, maximum = 255)]
        subpackets: Option<u8>,
        /// Whether even the first fragments are coded. Default false.
        dense: Option<bool>,
    },
}

/// The cipher at rest.
#[derive(Serialize, Deserialize, ToSchema)]
pub(in crate::rest) enum Encryption {
    #[serde(rename = "aes-256-gcm")]
    Aes256Gcm,
}

/// Which of the fragments that would do are read.
#[derive(Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub(in crate::rest) enum ReadPreference {
    Fastest,
    Nearest,
    Cheapest,
}

/// Rules about locations; what is not given allows everything.
#[derive(Serialize, Deserialize, ToSchema)]
pub(in crate::rest) struct Placement {
    /// Each of these holds a fragment of whatever is stored: while one of them takes none, nothing is stored.
    required_locations: Option<Vec<String>>,
    /// None of these does.
    forbidden_locations: Option<Vec<String>>,
    /// Only locations in these regions.
    regions: Option<Vec<String>>,
    /// No location in these.
    forbidden_regions: Option<Vec<String>>,
    /// Only locations of these classes.
    classes: Option<Vec<Class>>,
    /// Fragments of one segment at one location, at most. Default 1.
    #[schema(minimum = 1, maximum = 255)]
    per_location: Option<u8>,
    /// Fragments of one segment with one provider, at most.
    #[schema(minimum = 1, maximum = 255)]
    per_provider: Option<u8>,
    /// Fragments of one segment in one region, at most.
    #[schema(minimum = 1, maximum = 255)]
    per_region: Option<u8>,
}

/// Where objects go after a while.
#[derive(Serialize, Deserialize, ToSchema)]
pub(in crate::rest) struct Tier {
    /// Days without a read.
    #[schema(minimum = 1)]
    after_idle_days: u32,
    /// The policy that they get.
    policy: String,
}

/// How quickly a location answers, by its nature.
#[derive(Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub(in crate::rest) enum Class {
    Hot,
    Warm,
    Cold,
}

/// A location, as the store describes it.
#[derive(Serialize, ToSchema)]
#[schema(as = Location)]
pub(in crate::rest) struct LocationEntry {
    /// Its name.
    #[schema(example = "north-1")]
    name: String,
    /// What it is and where.
    settings: Option<LocationSettings>,
    /// What it may be used for.
    state: Option<LocationState>,
    /// Whether it answers.
    answers: Option<bool>,
    /// How long it takes to answer, in microseconds.
    latency_us: Option<u64>,
    /// Why it does not answer, if it does not.
    why: Option<String>,
    /// Fragments that lie there.
    fragments: Option<u64>,
    /// Their bytes.
    bytes: Option<u64>,
    /// Bytes for which there is room; null where nobody knows.
    free_bytes: Option<u64>,
}

/// What a location is and where.
#[derive(Serialize, Deserialize, ToSchema)]
pub(in crate::rest) struct LocationSettings {
    /// What keeps the fragments.
    backend: Backend,
    /// Where on earth.
    #[schema(nullable = false, example = "north")]
    region: Option<String>,
    /// Which part of the region.
    #[schema(nullable = false)]
    zone: Option<String>,
    /// Who runs it.
    #[schema(nullable = false)]
    provider: Option<String>,
    /// How quickly it answers.
    #[schema(nullable = false)]
    class: Option<Class>,
    /// In any currency, the same everywhere.
    #[schema(nullable = false, minimum = 0)]
    cost_per_gb_month: Option<f64>,
    /// In the same currency.
    #[schema(nullable = false, minimum = 0)]
    cost_per_gb_read: Option<f64>,
}

/// What keeps the fragments.
#[derive(Serialize, Deserialize, ToSchema)]
#[serde(tag = "kind", rename_all = "lowercase")]
pub(in crate::rest) enum Backend {
    /// A folder of the store's machine.
    Fs {
        /// The folder; relative to the store's own where it is not absolute.
        #[schema(min_length = 1, example = "locations/site-7")]
        path: String,
    },
    /// The store's memory: for tests.
    Memory,
    /// A `securecloud backend` elsewhere.
    Remote {
        /// Its endpoint, as `tcp://host:port`.
        #[schema(example = "tcp://192.0.2.7:5562")]
        endpoint: String,
        /// The key under which it proves itself, in hexadecimal, as it says when it starts; any, if there is none.
        key: Option<String>,
        /// The public half of its link keys, where both sides have some.
        link_key: Option<String>,
    },
}

/// What a policy costs and survives with the locations that there are: the store's word.
#[derive(Serialize, ToSchema)]
pub(in crate::rest) struct Simulation {
    /// The definition, with everything that it leaves open.
    definition: Option<PolicyDefinition>,
    /// Bytes stored for each byte of content.
    #[schema(example = 1.5)]
    space_factor: Option<f64>,
    /// In the currency of the locations' settings.
    cost_per_gb_month: Option<f64>,
    /// In the same currency.
    cost_per_gb_read: Option<f64>,
    /// Fragments of a segment.
    fragments: Option<u32>,
    /// Fragments that suffice to read it.
    fragments_needed: Option<u32>,
    /// How many fragments, locations, providers and regions may be lost at once, whichever they are.
    losses_survived: Option<BTreeMap<String, u32>>,
    /// Bytes that are read to make one lost fragment again, as a part of the object's.
    repair_traffic_factor: Option<f64>,
    /// Where fragments would lie.
    locations: Option<Vec<String>>,
}

/// What the tenant uses: the store's word.
#[derive(Serialize, ToSchema)]
pub(in crate::rest) struct Usage {
    /// Datastores.
    datastores: Option<u64>,
    /// Objects.
    objects: Option<u64>,
    /// Versions of objects.
    versions: Option<u64>,
    /// Bytes of content.
    bytes: Option<u64>,
    /// Bytes at the locations.
    stored_bytes: Option<u64>,
}

/// What a job is to do. Rates are in bytes that are read and written in a second: at least 262144, or 0 for as many as can be; the store's own,
/// if not given.
#[derive(Serialize, Deserialize, ToSchema)]
#[serde(tag = "kind", rename_all = "lowercase")]
pub(in crate::rest) enum JobDefinition {
    /// Makes what writes had to leave out, and what lay at lost locations.
    Repair {
        /// The rate.
        bytes_per_second: Option<u64>,
    },
    /// Reads and verifies every fragment, and makes those again that are damaged.
    Scrub {
        /// The share of the segments to look at, above 0 and up to 1; all, if not given.
        #[schema(minimum = 0, maximum = 1)]
        sample: Option<f64>,
        /// The rate.
        bytes_per_second: Option<u64>,
    },
    /// Has all fragments leave a location.
    Drain {
        /// Its name.
        location: String,
        /// The rate.
        bytes_per_second: Option<u64>,
    },
    /// Moves objects to another policy, while they can be read.
    Migrate {
        /// The datastore.
        datastore: String,
        /// What their keys begin with; all, if not given.
        prefix: Option<String>,
        /// One object's key, instead.
        key: Option<String>,
        /// The policy that they get.
        policy: String,
        /// The rate.
        bytes_per_second: Option<u64>,
    },
    /// Moves what nobody reads as its policy says, and back what is read again.
    Tier {
        /// The rate.
        bytes_per_second: Option<u64>,
    },
    /// Deletes what lies at locations and belongs to nothing.
    Gc {
        /// Whether fragments of no known version go, too: whoever says so vouches that no location is missing and that nothing at lost ones is
        /// wanted.
        strays: Option<bool>,
    },
}

/// A job, as the store describes it.
#[derive(Serialize, ToSchema)]
#[schema(as = Job)]
pub(in crate::rest) struct JobEntry {
    /// Its id.
    id: u64,
    /// What kind of job.
    #[schema(example = "scrub")]
    kind: Option<String>,
    /// `running`, `done` or `cancelled`.
    state: Option<String>,
    /// What it is to do.
    #[schema(value_type = Option<Object>)]
    definition: Option<BTreeMap<String, String>>,
    /// When it was begun, in milliseconds since 1970.
    created_ms: Option<u64>,
    /// When it last went on, or ended.
    updated_ms: Option<u64>,
    /// How much of what there is has been looked at, 0 to 1.
    share: Option<f64>,
    /// Stores that are at it.
    workers: Option<u64>,
    /// What it waits for, if it does.
    waits_for: Option<String>,
    /// What was done.
    done: Option<JobDone>,
}

/// What a job has done.
#[derive(Serialize, ToSchema)]
pub(in crate::rest) struct JobDone {
    /// Things looked at.
    seen: Option<u64>,
    /// Things that were made, moved or deleted.
    changed: Option<u64>,
    /// Fragments that were not what was stored.
    damaged: Option<u64>,
    /// Fragments that could not be looked at, since their locations did not answer.
    unreached: Option<u64>,
    /// Things with which something went wrong.
    failed: Option<u64>,
    /// Fragments of no known version that `gc` has kept, since they may be of one that lies at a location which the catalogue does not know.
    kept: Option<u64>,
    /// Bytes that locations have sent.
    bytes_read: Option<u64>,
    /// Bytes that locations were sent.
    bytes_written: Option<u64>,
    /// What went wrong last.
    problem: Option<String>,
}

/// How far the rebuild of the catalogue is: the store's word.
#[derive(Serialize, ToSchema)]
pub(in crate::rest) struct Rebuild {
    /// `idle`, `due`, `running`, `done` or `failed`.
    state: String,
    /// While it runs: at what.
    stage: Option<String>,
    /// How much of that is done,
    done: Option<u64>,
    /// and how much it is.
    total: Option<u64>,
    /// Why it has failed, with the fix.
    why: Option<String>,
    /// When it is done.
    report: Option<RebuildReport>,
}

/// What a rebuild has found and done.
#[derive(Serialize, ToSchema)]
pub(in crate::rest) struct RebuildReport {
    /// Datastores that the catalogue did not have.
    datastores: Option<u64>,
    /// Versions that it did not have.
    added: Option<u64>,
    /// Versions that it had.
    known: Option<u64>,
    /// Versions that were deleted or replaced.
    gone: Option<u64>,
    /// Records (tokens) that it did not have, or had otherwise.
    records: Option<u64>,
    /// Segments whose fragments lie elsewhere than it had them.
    moved: Option<u64>,
    /// Fragments that no version names.
    strays: Option<u64>,
    /// Fragments of known versions that no location has.
    missing: Option<u64>,
    /// Whether strays, or what is missing, may be due to locations that the catalogue does not know: `gc` keeps strays then, until it is begun
    /// with `strays`.
    may_miss_locations: Option<bool>,
    /// Files that are not what was made for what they say; they are left where they lie.
    bad: Option<u64>,
    /// The names of some of them, and what is wrong.
    named: Vec<String>,
    /// What else there is to know.
    notes: Vec<String>,
    /// How long it took.
    millis: Option<u64>,
}

/// Where the fragments of a version lie: the store's word.
#[derive(Serialize, ToSchema)]
pub(in crate::rest) struct Placed {
    /// The policy that it is stored under.
    policy: Option<String>,
    /// The version of the policy.
    policy_version: Option<u32>,
    /// Its segments, in order.
    segments: Option<Vec<PlacedSegment>>,
}

/// A segment.
#[derive(Serialize, ToSchema)]
pub(in crate::rest) struct PlacedSegment {
    /// Bytes of content.
    bytes: Option<u64>,
    /// Bytes of each fragment.
    fragment_bytes: Option<u64>,
    /// Its fragments.
    fragments: Option<Vec<PlacedFragment>>,
}

/// A fragment.
#[derive(Serialize, ToSchema)]
pub(in crate::rest) struct PlacedFragment {
    /// Its place among the fragments of the segment.
    index: Option<u32>,
    /// The location's name.
    location: Option<String>,
    /// The fragment's name there.
    name: Option<String>,
    /// Whether it is stored, owed, lost, or at a location that does not answer.
    #[schema(example = "stored")]
    state: Option<String>,
}

/// A part of an upload: the store's word.
#[derive(Serialize, ToSchema)]
pub(in crate::rest) struct PartEntry {
    /// Its number.
    part: u32,
    /// Bytes of content.
    bytes: Option<u64>,
    /// When it was stored, in milliseconds since 1970.
    created_ms: Option<u64>,
}
