//! Files are read, each once if the first copy does, and a coder says which of them are what was made for what they say.

use std::collections::BTreeMap;

use bytes::Bytes;
use futures_util::stream::{self, StreamExt as _};
use prost::Message;
use sc_backend::FragmentName;
use sc_metadata::{DatastoreId, TenantId};
use sc_proto::coder::{self, call::Call, reply::Reply};
use sc_proto::storage::{StoredDatastore, StoredManifest, StoredRecord, StoredRemoval};
use sc_proto::store::problem::Code;

use super::Rebuilt;
use super::listing::Listing;
use crate::error::Problem;
use crate::put::unexpected;
use crate::store::{Store, hex};

/// Manifests in one call: usually some hundred KiB.
const CALL_MANIFESTS: usize = 256;
/// Files read at once.
const READS: usize = 64;

/// A datastore's key, as it is handed to a coder.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Wrap {
    pub(super) tenant: [u8; 32],
    pub(super) id: [u8; 16],
    pub(super) name: String,
    pub(super) root_number: u32,
    pub(super) wrapped_key: Bytes,
}

impl Wrap {
    fn message(&self) -> Option<coder::Datastore> {
        Some(coder::Datastore {
            id: Bytes::copy_from_slice(&self.id),
            name: self.name.clone(),
            root_number: self.root_number,
            wrapped_key: self.wrapped_key.clone(),
        })
    }

    pub(super) fn of_manifest(stored: &StoredManifest) -> Option<Self> {
        Some(Self {
            tenant: stored.tenant[..].try_into().ok()?,
            id: stored.datastore[..].try_into().ok()?,
            name: stored.datastore_name.clone(),
            root_number: stored.root_number,
            wrapped_key: stored.wrapped_key.clone(),
        })
    }

    pub(super) fn of_datastore(stored: &StoredDatastore) -> Option<Self> {
        Some(Self {
            tenant: stored.tenant[..].try_into().ok()?,
            id: stored.datastore[..].try_into().ok()?,
            name: stored.name.clone(),
            root_number: stored.root_number,
            wrapped_key: stored.wrapped_key.clone(),
        })
    }
}

/// The keys of datastores that are known to open.
pub(super) type Wraps = BTreeMap<DatastoreId, Wrap>;

/// A file of which a copy is tried.
#[derive(Debug, Clone)]
pub(super) struct File {
    pub(super) name: String,
    pub(super) at: Vec<u16>,
    /// How many copies there are.
    pub(super) copies: usize,
    /// Where it was read last.
    pub(super) last: u16,
}

impl File {
    pub(super) fn new(name: String, at: Vec<u16>) -> Self {
        Self {
            name,
            copies: at.len(),
            at,
            last: 0,
        }
    }
}

/// Files and what a coder said of each.
pub(super) type Known<M, V> = Vec<(File, M, V)>;

impl Store {
    /// Reads copy `attempt` of each file; what is not there or does not decode is `None`.
    pub(super) async fn read_files<M: Message + Default>(
        &self,
        listing: &Listing,
        files: Vec<File>,
        attempt: usize,
    ) -> Vec<(File, Option<M>)> {
        let patience = self.settings.location_patience;
        let reads = files
            .into_iter()
            .enumerate()
            .map(|(place, mut file)| async move {
                // Neighbours begin with different copies, so that all locations are read from.
                let at = file.at[(place + attempt) % file.at.len()];
                file.last = at;
                let site = &listing.sites[usize::from(at)];
                let body = match FragmentName::new(&file.name) {
                    Ok(name) => site.read(&name, None, patience).await.ok(),
                    Err(_) => None,
                };
                let read = body.and_then(|body| M::decode(body).ok());
                (file, read)
            });
        stream::iter(reads).buffered(READS).collect().await
    }

    /// Whether a datastore's key opens under a root that a coder has.
    ///
    /// # Errors
    /// No coder answers, or none has the tenant's root.
    pub(super) async fn opens(&self, wrap: &Wrap) -> Result<bool, Problem> {
        self.verify_removals(wrap, &[]).await.map(|it| it.is_some())
    }

    /// What a coder says of removals; `None` if the key does not open.
    pub(super) async fn verify_removals(
        &self,
        wrap: &Wrap,
        removals: &[&StoredRemoval],
    ) -> Result<Option<Vec<bool>>, Problem> {
        let removals = removals.iter().map(|it| coder::FoundRemoval {
            key: it.key.clone(),
            version: it.version.clone(),
            number: it.number,
            record: it.record.clone(),
        });
        let call = Call::VerifyRemovals(coder::VerifyRemovals {
            tenant: Bytes::copy_from_slice(&wrap.tenant),
            datastore: wrap.message(),
            removals: removals.collect(),
        });
        match self.ask_to_verify(wrap.tenant, call).await? {
            Some(Reply::Verified(verified)) => Ok(Some(verified.authentic)),
            Some(_) => Err(unexpected()),
            None => Ok(None),
        }
    }

    /// What a coder says of manifests; `None` if the key does not open.
    pub(super) async fn verify_manifests(
        &self,
        wrap: &Wrap,
        manifests: &[&StoredManifest],
    ) -> Result<Option<Vec<coder::VerifiedManifest>>, Problem> {
        let mut all = Vec::with_capacity(manifests.len());
        for some in manifests.chunks(CALL_MANIFESTS) {
            let some = some.iter().map(|it| coder::FoundManifest {
                key: it.key.clone(),
                version: it.version.clone(),
                head: it.head.clone(),
                body: it.body.clone(),
                manifest: it.manifest.clone(),
                placed: it.placed,
                segments: it.segments.clone(),
            });
            let call = Call::VerifyManifests(coder::VerifyManifests {
                tenant: Bytes::copy_from_slice(&wrap.tenant),
                datastore: wrap.message(),
                manifests: some.collect(),
            });
            match self.ask_to_verify(wrap.tenant, call).await? {
                Some(Reply::ManifestsVerified(verified)) => all.extend(verified.manifests),
                Some(_) => return Err(unexpected()),
                None => return Ok(None),
            }
        }
        Ok(Some(all))
    }

    /// What a coder says of records of one tenant.
    pub(super) async fn verify_records(
        &self,
        tenant: [u8; 32],
        records: &[&StoredRecord],
    ) -> Result<Vec<bool>, Problem> {
        let records = records.iter().map(|it| coder::FoundRecord {
            kind: it.kind.clone(),
            id: it.id.clone(),
            record: it.record.clone(),
        });
        let call = Call::VerifyRecords(coder::VerifyRecords {
            tenant: Bytes::copy_from_slice(&tenant),
            records: records.collect(),
        });
        match self.ask_to_verify(tenant, call).await? {
            Some(Reply::Verified(verified)) => Ok(verified.authentic),
            _ => Err(unexpected()),
        }
    }

    async fn ask_to_verify(&self, tenant: [u8; 32], call: Call) -> Result<Option<Reply>, Problem> {
        match self.coders.call(TenantId(tenant), call, &[]).await {
            Ok((reply, _)) => Ok(Some(reply)),
            Err(problem) if problem.code == Code::NotProvisioned => Err(Problem::new(
                Code::NotProvisioned,
                format!(
                    "the tenant {} has data at the locations, and no coder holds its root: its owner must provision one; then again",
                    hex(&tenant)
                ),
            )),
            // What is stored is not what was made here, or is no datastore at all.
            Err(problem) if matches!(problem.code, Code::NotAuthentic | Code::Malformed) => {
                Ok(None)
            }
            Err(problem) => Err(problem),
        }
    }

    /// Reads manifests, and has them verified: each under its datastore's key, or under the one that it brings; copy after copy, until one is
    /// what was made.
    pub(super) async fn known_manifests(
        &self,
        listing: &Listing,
        mut files: Vec<File>,
        wraps: &mut Wraps,
        rebuilt: &mut Rebuilt,
    ) -> Result<Known<StoredManifest, coder::VerifiedManifest>, Problem> {
        let mut known = Vec::with_capacity(files.len());
        let mut attempt = 0;
        while !files.is_empty() {
            let mut failed = Vec::new();
            let mut groups: BTreeMap<Wrap, Known<StoredManifest, ()>> = BTreeMap::new();
            for (file, read) in self
                .read_files::<StoredManifest>(listing, files, attempt)
                .await
            {
                let own = read.as_ref().and_then(Wrap::of_manifest);
                let (Some(stored), Some(own)) = (read, own) else {
                    failed.push(file);
                    continue;
                };
                let wrap = self.wrap_of(own, wraps).await?;
                groups.entry(wrap).or_default().push((file, stored, ()));
            }
            for (wrap, group) in groups {
                let manifests: Vec<_> = group.iter().map(|it| &it.1).collect();
                let verified = self.verify_manifests(&wrap, &manifests).await?;
                let verified = verified.unwrap_or_else(|| vec![Default::default(); group.len()]);
                if verified.len() != group.len() {
                    return Err(unexpected());
                }
                for ((file, stored, ()), verified) in group.into_iter().zip(verified) {
                    match verified.authentic {
                        true => known.push((file, stored, verified)),
                        false => failed.push(file),
                    }
                }
            }
            attempt += 1;
            files = next_copies(failed, attempt, rebuilt);
        }
        Ok(known)
    }

    /// The key to try: the datastore's, if that is known to open; else the one that a manifest brings, which is known from then on if it does.
    async fn wrap_of(&self, own: Wrap, wraps: &mut Wraps) -> Result<Wrap, Problem> {
        let id = DatastoreId(own.id);
        if let Some(known) = wraps.get(&id) {
            return Ok(known.clone());
        }
        if self.opens(&own).await? {
            wraps.insert(id, own.clone());
        }
        Ok(own)
    }
}

/// Those of which there is another copy; the others are told.
pub(super) fn next_copies(failed: Vec<File>, attempt: usize, rebuilt: &mut Rebuilt) -> Vec<File> {
    let (again, bad): (Vec<_>, Vec<_>) =
        failed.into_iter().partition(|file| attempt < file.at.len());
    for file in bad {
        rebuilt.is_bad(&file.name, "no copy is what was made for what it says");
    }
    again
}
