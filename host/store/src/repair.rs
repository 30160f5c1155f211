//! Debts are paid: fragments that a write had to leave out, and manifests with too few copies, are made when their locations take them.
//!
//! Invariant: the catalogue says where a fragment will lie before it is written there, and calls it stored when its location has said that
//! it is durable. A fragment keeps its name, so that whoever deletes the segment finds it wherever it is.

use std::collections::BTreeSet;
use std::sync::Arc;

use bytes::Bytes;
use futures_util::future::join_all;
use prost::Message as _;
use sc_backend::FragmentName;
use sc_metadata::{
    CatalogError, Datastore, Fragment, FragmentState, Segment, SegmentId, VersionId,
};
use sc_proto::coder::{self, call::Call, reply::Reply};
use sc_proto::storage;

use crate::error::Problem;
use crate::get::shape_of;
use crate::locations::{Site, candidates};
use crate::placement::replace;
use crate::put::unexpected;
use crate::reading::Read;
use crate::store::{Store, StoredPolicy, for_coder};

/// Debts looked at together.
const ROUND: usize = 256;
/// A manifest younger than this may be on its way, in milliseconds.
const PUT_MS: u64 = 60_000;

/// What has become of a segment that misses fragments.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Repaired {
    /// Nothing is missing any more.
    Whole,
    /// Some fragments still are: no location takes them now.
    Partly,
    /// Somebody else has changed or deleted it.
    Changed,
}

/// A segment, and what it belongs to.
struct Patient<'p> {
    segment: &'p Segment,
    datastore: Datastore,
    policy: Arc<StoredPolicy>,
}

/// A fragment that is to be made, and where it is to go.
struct Missing {
    /// Its place among the segment's fragments.
    at: usize,
    site: Arc<Site>,
}

impl Store {
    /// Makes what writes had to leave out while locations were away. What cannot be made now is come to again.
    ///
    /// # Errors
    /// The catalogue does not answer.
    pub(crate) async fn pay_debts(&self) -> Result<(), Problem> {
        let mut after = None;
        loop {
            let owed = self.catalog.owed(after, ROUND).await?;
            for segment in &owed {
                match self.repair_segment(segment).await {
                    Ok(repaired) => tracing::debug!(segment = ?segment.id, ?repaired, "a debt"),
                    Err(problem) => {
                        tracing::warn!(segment = ?segment.id, %problem, "a segment is not repaired");
                    }
                }
            }
            after = owed.last().map(|segment| segment.id);
            if owed.len() < ROUND {
                break;
            }
        }
        let mut after = None;
        loop {
            let debts = self.catalog.manifest_debts(after, ROUND).await?;
            for version in &debts {
                self.pay_manifest(*version).await?;
            }
            after = debts.last().copied();
            if debts.len() < ROUND {
                return Ok(());
            }
        }
    }

    /// Makes the fragments that `segment` misses of the others, as far as there are locations for them.
    async fn repair_segment(&self, segment: &Segment) -> Result<Repaired, Problem> {
        let Some(patient) = self.patient(segment).await? else {
            return Ok(Repaired::Changed);
        };
        let (missing, planned) = self.plan(&patient);
        if missing.is_empty() {
            return Ok(Repaired::Partly);
        }
        if !self.note(segment.id, &segment.fragments, &planned).await? {
            return Ok(Repaired::Changed);
        }
        let made = self.make(&patient, &missing).await?;
        let patience = self.settings.location_patience;
        let written = missing.iter().zip(&made).map(|(missing, body)| {
            let name = FragmentName::new(&planned[missing.at].name);
            async move {
                match name {
                    Ok(name) => missing
                        .site
                        .put(&name, body.clone(), patience)
                        .await
                        .is_ok(),
                    Err(_) => false,
                }
            }
        });
        let mut fragments = planned.clone();
        for (missing, is_stored) in missing.iter().zip(join_all(written).await) {
            if is_stored {
                fragments[missing.at].state = FragmentState::Stored;
            }
        }
        match self.note(segment.id, &planned, &fragments).await {
            Ok(true) => {}
            Ok(false) => return Ok(Repaired::Changed),
            Err(problem) => return Err(problem),
        }
        let is_owed = |it: &Fragment| it.state == FragmentState::Owed;
        Ok(match fragments.iter().any(is_owed) {
            true => Repaired::Partly,
            false => Repaired::Whole,
        })
    }

    /// What a segment belongs to; none where that is gone.
    async fn patient<'p>(&self, segment: &'p Segment) -> Result<Option<Patient<'p>>, Problem> {
        let Some((version, _)) = self.catalog.version_by_id(segment.version).await? else {
            return Ok(None);
        };
        let Some(datastore) = self.catalog.datastore_by_id(version.datastore).await? else {
            return Ok(None);
        };
        let policy = self
            .policy_version(&version.policy, version.policy_version)
            .await?;
        Ok(Some(Patient {
            segment,
            datastore,
            policy,
        }))
    }

    /// The fragments that are missing and have a place now, and all fragments as they will lie.
    fn plan(&self, patient: &Patient<'_>) -> (Vec<Missing>, Vec<Fragment>) {
        let sites = self.locations.now();
        let candidates = candidates(&sites);
        let all: Vec<&Arc<Site>> = sites.values().collect();
        let mut fragments = patient.segment.fragments.clone();
        let place_of = |fragment: &Fragment| all.iter().position(|it| it.name == fragment.location);
        let placed: Option<Vec<usize>> = fragments.iter().map(place_of).collect();
        let Some(mut placed) = placed else {
            // A fragment lies at a location that this store does not know: what else is there cannot be said.
            return (Vec::new(), fragments);
        };
        let mut missing = Vec::new();
        for at in 0..fragments.len() {
            if fragments[at].state != FragmentState::Owed {
                continue;
            }
            let own = &candidates[placed[at]];
            let site = if own.is_writable && own.is_well {
                Some(placed[at])
            } else {
                let (policy, id) = (&patient.policy.policy, &patient.segment.id.0);
                replace(policy, &candidates, &placed, at, &[placed[at]], id)
            };
            if let Some(site) = site {
                placed[at] = site;
                fragments[at].location.clone_from(&all[site].name);
                missing.push(Missing {
                    at,
                    site: Arc::clone(all[site]),
                });
            }
        }
        (missing, fragments)
    }

    /// Writes down where fragments lie; `false` if somebody else has, too, or the segment is gone.
    async fn note(
        &self,
        segment: SegmentId,
        before: &[Fragment],
        fragments: &[Fragment],
    ) -> Result<bool, Problem> {
        if before == fragments {
            return Ok(true);
        }
        let noted = self
            .catalog
            .exchange_fragments(segment, before, fragments)
            .await;
        match noted {
            Err(CatalogError::NoSuchSegment) => Ok(false),
            other => Ok(other?),
        }
    }

    /// The missing fragments, made by a coder of k others.
    async fn make(
        &self,
        patient: &Patient<'_>,
        missing: &[Missing],
    ) -> Result<Vec<Bytes>, Problem> {
        let Patient {
            segment,
            datastore,
            policy,
        } = patient;
        let policy = &policy.policy;
        let shape = shape_of(policy, segment)?;
        let mut call = coder::RepairSegment {
            tenant: Bytes::copy_from_slice(&datastore.tenant.0),
            datastore: for_coder(datastore),
            version: Bytes::copy_from_slice(&segment.version.0),
            record: segment.record.clone(),
            fragments: Vec::new(),
            missing: indexes(segment, missing),
        };
        let mut bad = BTreeSet::new();
        loop {
            let read = self
                .read_segment(policy, segment, shape, 0..shape.blocks(), &bad)
                .await?;
            call.fragments = read.iter().map(Read::message).collect();
            let bulk: Vec<Bytes> = read
                .into_iter()
                .flat_map(|read| [read.header, read.pieces])
                .collect();
            let repair = Call::RepairSegment(call.clone());
            let (reply, made) = self.coders.call(datastore.tenant, repair, &bulk).await?;
            let Reply::SegmentRepaired(repaired) = reply else {
                return Err(unexpected());
            };
            if repaired.bad.is_empty() {
                return bodies(&made, shape.fragment_bytes(), missing.len());
            }
            for index in repaired.bad {
                let index = u8::try_from(index).unwrap_or(u8::MAX);
                tracing::error!(segment = ?segment.id, index, "a fragment is not what was stored");
                if !bad.insert(index) {
                    return Err(unexpected());
                }
            }
        }
    }

    /// Writes the copies that a version's manifest lacks, unless its PUT may still be at it.
    async fn pay_manifest(&self, version: VersionId) -> Result<(), Problem> {
        let Some((stored, body)) = self.catalog.version_by_id(version).await? else {
            return Ok(());
        };
        if self.now_ms() < stored.created_ms.saturating_add(PUT_MS) {
            return Ok(());
        }
        let Some(datastore) = self.catalog.datastore_by_id(stored.datastore).await? else {
            return Ok(());
        };
        let policy = if stored.is_marker {
            self.policy(&datastore.policy).await?
        } else {
            self.policy_version(&stored.policy, stored.policy_version)
                .await?
        };
        let mut copy = storage::StoredManifest {
            tenant: Bytes::copy_from_slice(&datastore.tenant.0),
            datastore: Bytes::copy_from_slice(&datastore.id.0),
            datastore_name: datastore.name,
            root_number: datastore.root_number,
            wrapped_key: datastore.wrapped_key,
            key: stored.key,
            version: Bytes::copy_from_slice(&version.0),
            number: stored.number,
            created_ms: stored.created_ms,
            head: stored.head,
            marker: stored.is_marker,
            ..Default::default()
        };
        if !stored.is_marker {
            copy.policy.clone_from(&policy.name);
            copy.policy_version = policy.version;
            copy.policy_definition = policy.policy.definition();
            copy.body = body;
        }
        self.keep_manifest(&policy.policy, version, copy.encode_to_vec().into())
            .await;
        Ok(())
    }
}

/// The indexes of fragments, ascending, as the coder wants them.
fn indexes(segment: &Segment, missing: &[Missing]) -> Vec<u32> {
    let each = missing.iter();
    each.map(|it| u32::from(segment.fragments[it.at].index))
        .collect()
}

/// The fragments that a coder has made, one behind the other.
fn bodies(made: &Bytes, fragment_bytes: usize, count: usize) -> Result<Vec<Bytes>, Problem> {
    if made.len() != count * fragment_bytes {
        return Err(unexpected());
    }
    let each = (0..count).map(|at| made.slice(at * fragment_bytes..(at + 1) * fragment_bytes));
    Ok(each.collect())
}
