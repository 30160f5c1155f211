//! The schema, as numbered steps, each applied once.
//!
//! Invariant: a step that was released is never edited; what is to change is a further step. The text is one for all engines, with two
//! words in braces for what they spell differently. There are no foreign keys: the operations keep references right, and garbage and
//! removal records outlive what they belonged to.

use crate::CatalogError;

/// The steps, from number 1 on.
const STEPS: &[&str] = &[TABLES, SPENT, IDENTITY, MOVES, RECOVERY, RETURN];

/// The steps that a database with schema `found` has still to take, with their numbers.
///
/// # Errors
/// `NewerSchema` if it has taken steps that are not known here.
pub(crate) fn steps_after(
    found: u64,
) -> Result<impl Iterator<Item = (u64, &'static str)>, CatalogError> {
    let known = STEPS.len() as u64;
    if found > known {
        return Err(CatalogError::NewerSchema { found, known });
    }
    let steps = (1..).zip(STEPS.iter().copied());
    Ok(steps.skip_while(move |(number, _)| *number <= found))
}

/// The table of the steps that a database has had.
pub(crate) const STEP_TABLE: &str =
    "CREATE TABLE IF NOT EXISTS schema_step (number BIGINT NOT NULL PRIMARY KEY)";

/// How an engine spells what the text leaves open.
pub(crate) struct Spelling {
    /// `{clustered}`: rows lie in the order of the primary key, without a number of their own.
    pub(crate) clustered: &'static str,
    /// `{bytewise}`: text is compared by its bytes.
    pub(crate) bytewise: &'static str,
}

impl Spelling {
    /// A step's text for the engine.
    pub(crate) fn spell(&self, step: &str) -> String {
        step.replace("{clustered}", self.clustered)
            .replace("{bytewise}", self.bytewise)
    }
}

/// Whole numbers are BIGINT, also those that mean yes or no; times are milliseconds.
///
/// `object` has the keys whose latest version is no marker, so that a listing walks over live objects alone. In `segment`, `position` is
/// the place in the committed object, or in the upload (see `segments.rs`), or null for an attempt that was replaced; `due_ms` is null
/// unless the segment is garbage. `intent.is_overtaken` says that the key was deleted after the intent began. A `session` is a
/// connection over a network: each transaction puts its number into its own connection's row, so that one whose answer was lost on the
/// way can be asked for.
const TABLES: &str = r#"
CREATE TABLE location (
    name TEXT {bytewise} NOT NULL PRIMARY KEY,
    settings TEXT NOT NULL,
    state TEXT NOT NULL
);

CREATE TABLE policy (
    name TEXT {bytewise} NOT NULL,
    version BIGINT NOT NULL,
    definition TEXT NOT NULL,
    PRIMARY KEY (name, version)
) {clustered};

CREATE TABLE datastore (
    id BYTEA NOT NULL PRIMARY KEY,
    tenant BYTEA NOT NULL,
    name TEXT {bytewise} NOT NULL,
    policy TEXT NOT NULL,
    versioning BIGINT NOT NULL,
    quota_bytes BIGINT,
    used_bytes BIGINT NOT NULL,
    stored_bytes BIGINT NOT NULL,
    objects BIGINT NOT NULL,
    versions BIGINT NOT NULL,
    last_number BIGINT NOT NULL,
    wrapped_key BYTEA NOT NULL,
    root_number BIGINT NOT NULL,
    created_ms BIGINT NOT NULL,
    UNIQUE (tenant, name)
) {clustered};

CREATE TABLE intent (
    version BYTEA NOT NULL PRIMARY KEY,
    datastore BYTEA NOT NULL,
    key BYTEA NOT NULL,
    number BIGINT NOT NULL,
    lease_until_ms BIGINT NOT NULL,
    upload BYTEA,
    policy TEXT NOT NULL,
    policy_version BIGINT NOT NULL,
    created_ms BIGINT NOT NULL,
    is_overtaken BIGINT NOT NULL
) {clustered};
CREATE INDEX intent_by_key ON intent (datastore, key, version);
CREATE INDEX intent_by_lease ON intent (lease_until_ms);

CREATE TABLE part (
    upload BYTEA NOT NULL,
    number BIGINT NOT NULL,
    size BIGINT NOT NULL,
    record BYTEA NOT NULL,
    created_ms BIGINT NOT NULL,
    PRIMARY KEY (upload, number)
) {clustered};

CREATE TABLE segment (
    id BYTEA NOT NULL PRIMARY KEY,
    version BYTEA NOT NULL,
    part BIGINT NOT NULL,
    place BIGINT NOT NULL,
    position BIGINT,
    due_ms BIGINT,
    is_owed BIGINT NOT NULL,
    plain_bytes BIGINT NOT NULL,
    fragment_bytes BIGINT NOT NULL,
    stored_bytes BIGINT NOT NULL,
    fragments BYTEA NOT NULL,
    record BYTEA NOT NULL
);
CREATE INDEX segment_by_version ON segment (version, position);
CREATE INDEX segment_by_due ON segment (due_ms, id) WHERE due_ms IS NOT NULL;
CREATE INDEX segment_by_owed ON segment (id) WHERE is_owed = 1 AND due_ms IS NULL;

CREATE TABLE version (
    id BYTEA NOT NULL PRIMARY KEY,
    datastore BYTEA NOT NULL,
    key BYTEA NOT NULL,
    number BIGINT NOT NULL,
    size BIGINT NOT NULL,
    stored_bytes BIGINT NOT NULL,
    created_ms BIGINT NOT NULL,
    policy TEXT NOT NULL,
    policy_version BIGINT NOT NULL,
    is_marker BIGINT NOT NULL,
    head BYTEA NOT NULL,
    tags BYTEA NOT NULL,
    body BYTEA NOT NULL
);
CREATE UNIQUE INDEX version_by_key ON version (datastore, key, number DESC);

CREATE TABLE object (
    datastore BYTEA NOT NULL,
    key BYTEA NOT NULL,
    number BIGINT NOT NULL,
    PRIMARY KEY (datastore, key)
) {clustered};

CREATE TABLE tag (
    datastore BYTEA NOT NULL,
    tag BYTEA NOT NULL,
    key BYTEA NOT NULL,
    PRIMARY KEY (datastore, tag, key)
) {clustered};

CREATE TABLE manifest_debt (
    version BYTEA NOT NULL PRIMARY KEY
) {clustered};

CREATE TABLE removal (
    id BIGINT NOT NULL PRIMARY KEY,
    datastore BYTEA NOT NULL,
    key BYTEA NOT NULL,
    number BIGINT NOT NULL,
    record BYTEA NOT NULL
);

CREATE TABLE record (
    tenant BYTEA NOT NULL,
    kind TEXT {bytewise} NOT NULL,
    id TEXT {bytewise} NOT NULL,
    sealed BYTEA NOT NULL,
    PRIMARY KEY (tenant, kind, id)
) {clustered};

CREATE TABLE job (
    id BIGINT NOT NULL PRIMARY KEY,
    kind TEXT NOT NULL,
    state TEXT NOT NULL,
    definition TEXT NOT NULL,
    progress TEXT NOT NULL,
    owner TEXT,
    lease_until_ms BIGINT NOT NULL,
    created_ms BIGINT NOT NULL,
    updated_ms BIGINT NOT NULL
);

CREATE TABLE counter (
    name TEXT NOT NULL PRIMARY KEY,
    last BIGINT NOT NULL
);
INSERT INTO counter (name, last) VALUES ('id', 0), ('session', 0);

CREATE TABLE session (
    id BIGINT NOT NULL PRIMARY KEY,
    last_transaction BIGINT NOT NULL,
    opened_ms BIGINT NOT NULL
);
"#;

/// `spent` has ids that are used up, with the time from which on what they stood for may be deleted; `removal` has that time, too.
const SPENT: &str = r#"
CREATE TABLE spent (
    id BYTEA NOT NULL PRIMARY KEY,
    due_ms BIGINT NOT NULL
) {clustered};
CREATE INDEX spent_by_due ON spent (due_ms);

ALTER TABLE removal ADD COLUMN due_ms BIGINT NOT NULL DEFAULT 0;
CREATE INDEX removal_by_key ON removal (datastore, key);
"#;

/// Locations are told apart by what they say that they are; those of before say it when they are opened next.
const IDENTITY: &str = r#"
ALTER TABLE location ADD COLUMN identity BYTEA;
CREATE UNIQUE INDEX location_by_identity ON location (identity);
"#;

/// A version's content can be coded anew: `manifest` names its manifest's copies from then on, in place of its own id; `placed` is the
/// placing's number; `home` is the policy that it was moved away from since it was not read, and `read_ms` when it was. Jobs have parts.
const MOVES: &str = r#"
ALTER TABLE version ADD COLUMN manifest BYTEA;
ALTER TABLE version ADD COLUMN placed BIGINT NOT NULL DEFAULT 0;
ALTER TABLE version ADD COLUMN home TEXT;
ALTER TABLE version ADD COLUMN read_ms BIGINT NOT NULL DEFAULT 0;
CREATE INDEX version_by_manifest ON version (manifest) WHERE manifest IS NOT NULL;

DROP TABLE job;
CREATE TABLE job (
    id BIGINT NOT NULL PRIMARY KEY,
    kind TEXT NOT NULL,
    state TEXT NOT NULL,
    definition TEXT NOT NULL,
    created_ms BIGINT NOT NULL,
    updated_ms BIGINT NOT NULL
);
CREATE INDEX job_by_kind ON job (kind, id);

CREATE TABLE job_part (
    job BIGINT NOT NULL,
    number BIGINT NOT NULL,
    is_done BIGINT NOT NULL,
    cursor BYTEA NOT NULL,
    progress TEXT NOT NULL,
    owner TEXT,
    lease_until_ms BIGINT NOT NULL,
    PRIMARY KEY (job, number)
) {clustered};

CREATE TABLE lease (
    name TEXT {bytewise} NOT NULL PRIMARY KEY,
    owner TEXT NOT NULL,
    until_ms BIGINT NOT NULL
) {clustered};
"#;

/// A location that was lost returns: `return_number` is one drawn when it last began to, above those of the jobs before. `unheard` is 1 where the
/// last rebuild did not hear what lies there.
const RETURN: &str = r#"
ALTER TABLE location ADD COLUMN return_number BIGINT NOT NULL DEFAULT 0;
ALTER TABLE location ADD COLUMN unheard BIGINT NOT NULL DEFAULT 0;
"#;

/// `note` has what lies at the locations of a datastore's settings (`kind` and `id` are empty), or of a record (`datastore` is empty): how often
/// it has changed, which change enough locations keep, and the oldest whose copies may still be somewhere. `removal.words` names the files
/// at the locations that say the same, by their ids. `datastore.switches` has the numbers at which keeping versions began or ended, eight
/// bytes each, little-endian. The counter `rebuild` is 1 while a rebuild is due, `missing` (if it is there) while there may be locations that the
/// catalogue does not know.
const RECOVERY: &str = r#"
CREATE TABLE note (
    tenant BYTEA NOT NULL,
    datastore BYTEA NOT NULL,
    kind TEXT {bytewise} NOT NULL,
    id TEXT {bytewise} NOT NULL,
    change BIGINT NOT NULL,
    kept BIGINT NOT NULL,
    oldest BIGINT NOT NULL,
    PRIMARY KEY (tenant, datastore, kind, id)
) {clustered};
INSERT INTO note (tenant, datastore, kind, id, change, kept, oldest)
    SELECT tenant, id, '', '', 1, 0, 1 FROM datastore;
INSERT INTO note (tenant, datastore, kind, id, change, kept, oldest)
    SELECT tenant, substr(tenant, 1, 0), kind, id, 1, 0, 1 FROM record;

ALTER TABLE removal ADD COLUMN words BYTEA;
ALTER TABLE datastore ADD COLUMN switches BYTEA;
INSERT INTO counter (name, last) VALUES ('rebuild', 0);
"#;
