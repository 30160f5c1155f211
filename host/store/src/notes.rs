//! Copies of datastores' settings and of tenants' records, which lie at the locations beside manifests.
//!
//! Invariant: a change is told as done when as many locations keep it as may be lost, and one; or the catalogue says that copies are owed. Of
//! what was deleted a copy that says so stays, until no location has anything older.

use bytes::Bytes;
use prost::Message as _;
use sc_backend::FragmentName;
use sc_metadata::{LocationState, Note, Noted, Subject, TenantId};
use sc_proto::storage;

use crate::chores::Chores;
use crate::error::Problem;
use crate::policy::Policy;
use crate::store::{Store, hex, unhex};

/// Notes looked at in one round.
const ROUND: usize = 256;
/// Older copies of one subject that are deleted in one round.
const OLDER_MAX: u64 = 64;

/// What the copies of a subject are named by, with the change and a word behind.
pub(crate) fn stem(subject: &Subject) -> String {
    match subject {
        Subject::Datastore(_, id) => hex(&id.0),
        Subject::Record { tenant, kind, id } => {
            let mut named = tenant.0.to_vec();
            for part in [kind, id] {
                let length = u32::try_from(part.len()).unwrap_or(u32::MAX);
                named.extend_from_slice(&length.to_le_bytes());
                named.extend_from_slice(part.as_bytes());
            }
            hex(&sc_erasure::hash_piece(&named)[..16])
        }
    }
}

/// The name of a subject's copy after so many changes.
fn copy_name(subject: &Subject, change: u64) -> FragmentName {
    let word = match subject {
        Subject::Datastore(..) => "datastore",
        Subject::Record { .. } => "record",
    };
    let name = FragmentName::new(&format!("{}-{change}.{word}", stem(subject)));
    name.expect("hexadecimal, a number and a word are a name")
}

/// The stem and the change that a copy is named by; none of another name.
pub(crate) fn parse_copy_name(name: &FragmentName) -> Option<(&str, u64)> {
    let (stem, rest) = name.as_str().split_once('-')?;
    let (change, word) = rest.split_once('.')?;
    let _: [u8; 16] = unhex(stem)?;
    let change = change.parse().ok()?;
    matches!(word, "datastore" | "record").then_some((stem, change))
}

impl Store {
    /// Keeps a subject's change at the locations. If they are too few now it stays owed in the catalogue, and a chore comes to it.
    pub(crate) async fn settle_note(&self, subject: &Subject) {
        match self.keep_note(subject).await {
            Ok(true) => {}
            Ok(false) => tracing::warn!(?subject, "too few locations keep a change yet"),
            Err(problem) => tracing::warn!(?subject, %problem, "a change is not kept yet"),
        }
    }

    /// Writes the copies of a subject as it is now; whether enough are durable.
    async fn keep_note(&self, subject: &Subject) -> Result<bool, Problem> {
        let Some((note, noted)) = self.catalog.note(subject).await? else {
            return Ok(true);
        };
        if note.kept >= note.change {
            return Ok(true);
        }
        let (policy, body) = match (subject, noted) {
            (_, Noted::Datastore(datastore, switches)) => {
                let policy = self.policy(&datastore.policy).await?;
                let stored = storage::StoredDatastore {
                    tenant: Bytes::copy_from_slice(&datastore.tenant.0),
                    datastore: Bytes::copy_from_slice(&datastore.id.0),
                    change: note.change,
                    gone: false,
                    name: datastore.name,
                    root_number: datastore.root_number,
                    wrapped_key: datastore.wrapped_key,
                    versioning: datastore.versioning,
                    switches,
                    quota_bytes: datastore.quota_bytes,
                    created_ms: datastore.created_ms,
                    policy: policy.name.clone(),
                    policy_version: policy.version,
                    policy_definition: policy.policy.definition(),
                };
                (policy.policy.clone(), stored.encode_to_vec())
            }
            (Subject::Datastore(tenant, id), _) => {
                let stored = storage::StoredDatastore {
                    tenant: Bytes::copy_from_slice(&tenant.0),
                    datastore: Bytes::copy_from_slice(&id.0),
                    change: note.change,
                    gone: true,
                    ..Default::default()
                };
                (self.everywhere().await?, stored.encode_to_vec())
            }
            (Subject::Record { tenant, kind, id }, noted) => {
                let record = match noted {
                    Noted::Record(record) => record,
                    _ => Bytes::new(),
                };
                let stored = storage::StoredRecord {
                    tenant: Bytes::copy_from_slice(&tenant.0),
                    kind: kind.clone(),
                    id: id.clone(),
                    change: note.change,
                    gone: record.is_empty(),
                    record,
                };
                (self.everywhere().await?, stored.encode_to_vec())
            }
        };
        let mut seed = [0; 32];
        let stem = stem(subject);
        seed.copy_from_slice(&stem.as_bytes()[..32]);
        let name = copy_name(subject, note.change);
        let is_kept = self.keep_copies(&policy, &seed, &name, &body.into()).await;
        if is_kept {
            self.catalog.note_kept(subject, note.change).await?;
        }
        Ok(is_kept)
    }

    /// The policy of what belongs to no policy: as many copies as any policy may lose, and one.
    async fn everywhere(&self) -> Result<Policy, Problem> {
        let policies = self.catalog.policies().await?;
        let policies = policies.iter();
        let policies = policies.filter_map(|it| Policy::parse(&it.definition).ok());
        let losses = policies.map(|it| it.code().losses()).max().unwrap_or(0);
        let sites = self.locations.now();
        let active = sites.values();
        let active = active.filter(|it| it.state == LocationState::Active);
        let copies = (usize::from(losses) + 1).min(active.count()).max(1);
        let definition = format!(r#"{{"redundancy":{{"kind":"replication","copies":{copies}}}}}"#);
        Ok(Policy::parse(&definition)?)
    }

    /// Keeps a tenant's record at the locations.
    pub(crate) async fn settle_record(&self, tenant: TenantId, kind: &str, id: &str) {
        let subject = Subject::Record {
            tenant,
            kind: kind.to_owned(),
            id: id.to_owned(),
        };
        self.settle_note(&subject).await;
    }
}

impl Chores {
    /// Keeps what is owed at the locations, and deletes what is older, or no longer needed by anything.
    pub(crate) async fn tidy_notes(&self) -> Result<(), Problem> {
        let catalog = &self.store.catalog;
        for note in catalog.notes_due(ROUND).await? {
            if note.kept < note.change && !self.store.keep_note(&note.subject).await? {
                // The others would find as few locations.
                break;
            }
            self.drop_older(&note).await?;
        }
        for note in catalog.notes_gone(ROUND).await? {
            let name = copy_name(&note.subject, note.change);
            if self.delete_everywhere(&[name]).await {
                catalog.forget_note(&note.subject, note.change).await?;
            }
        }
        Ok(())
    }

    async fn drop_older(&self, note: &Note) -> Result<(), Problem> {
        let until = note.change.min(note.oldest.saturating_add(OLDER_MAX));
        let older = note.oldest..until;
        let names: Vec<_> = older.map(|it| copy_name(&note.subject, it)).collect();
        if !names.is_empty() && self.delete_everywhere(&names).await {
            let catalog = &self.store.catalog;
            catalog.note_dropped(&note.subject, until).await?;
        }
        Ok(())
    }
}
