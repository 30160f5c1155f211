//! Debts are paid: fragments that a write had to leave out, and manifests with too few copies, are made when their locations take them.
//!
//! Invariant: the catalogue says where a fragment will lie before it is written there, and calls it stored when its location has said that
//! it is durable. A fragment keeps its name, so that whoever deletes the segment finds it wherever it is.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::join_all;
use prost::Message as _;
use sc_backend::FragmentName;
use sc_metadata::{
    CatalogError, Datastore, Fragment, FragmentState, Segment, SegmentId, TenantId, VersionId,
};
use sc_proto::coder::{self, call::Call, reply::Reply};
use sc_proto::storage;
use sc_proto::store::problem::Code;
use tokio::time::Instant;

use crate::error::Problem;
use crate::get::shape_of;
use crate::locations::{Site, candidates};
use crate::manifests::manifest_name;
use crate::placement::replace;
use crate::put::unexpected;
use crate::reading::Read;
use crate::store::{Store, StoredPolicy, for_coder};

/// Debts looked at together.
const ROUND: usize = 256;
/// The manifest of a version that was begun less than this ago, in milliseconds, is most likely on its way: its debt can wait.
const PUT_MS: u64 = 60_000;
/// Bytes of fragments that one repair makes at most, if it makes more than one; the rest follows.
const REPAIR_MAX: usize = 64 << 20;
/// So long a segment that could not be repaired is left alone at first,
const PAUSE_MIN: Duration = Duration::from_secs(30);
/// and at most.
const PAUSE_MAX: Duration = Duration::from_secs(3600);
/// Segments that are left alone at once; beyond it none is.
const RESTING_MAX: usize = 4096;

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

/// Debts that are paid again and again, and which of them rest for a while.
pub(crate) struct Debts {
    store: Arc<Store>,
    resting: Resting,
}

/// Segments that could not be repaired: until when they are left alone, and how long that is.
#[derive(Default)]
struct Resting(BTreeMap<SegmentId, (Instant, Duration)>);

impl Resting {
    fn rests(&self, segment: SegmentId, now: Instant) -> bool {
        self.0.get(&segment).is_some_and(|(until, _)| now < *until)
    }

    /// Leaves a segment alone for a while, each time twice as long.
    fn leave(&mut self, segment: SegmentId, now: Instant) {
        if self.0.len() >= RESTING_MAX {
            self.0.clear();
        }
        let before = self.0.get(&segment).map(|(_, pause)| *pause);
        let pause = before.map_or(PAUSE_MIN, |pause| PAUSE_MAX.min(2 * pause));
        self.0.insert(segment, (now + pause, pause));
    }

    fn forget(&mut self, segment: SegmentId) {
        self.0.remove(&segment);
    }
}

impl Debts {
    pub(crate) fn new(store: Arc<Store>) -> Self {
        Self {
            store,
            resting: Resting::default(),
        }
    }

    /// Makes what writes had to leave out while locations were away. What cannot be made now is come to again.
    ///
    /// # Errors
    /// The catalogue does not answer.
    pub(crate) async fn pay(&mut self) -> Result<(), Problem> {
        if self.store.rebuilding.is_due() {
            return Ok(());
        }
        self.pay_manifests().await?;
        let store = Arc::clone(&self.store);
        let mut after = None;
        // Without their root nothing is made, whatever else is there.
        let mut unprovisioned = BTreeSet::new();
        loop {
            let owed = store.catalog.owed(after, ROUND).await?;
            for segment in &owed {
                if store.may_repair(segment) && !self.resting.rests(segment.id, Instant::now()) {
                    let repaired = store.repair_segment(segment, &mut unprovisioned).await;
                    self.note(segment.id, repaired);
                }
            }
            after = owed.last().map(|segment| segment.id);
            if owed.len() < ROUND {
                return Ok(());
            }
        }
    }

    async fn pay_manifests(&self) -> Result<(), Problem> {
        let mut after = None;
        // Policies for which too few locations answer: there is no use in asking them again and again.
        let mut short = BTreeSet::new();
        loop {
            let debts = self.store.catalog.manifest_debts(after, ROUND).await?;
            for version in &debts {
                if let Err(problem) = self.store.pay_manifest(*version, &mut short).await {
                    tracing::warn!(?version, %problem, "a manifest has too few copies yet");
                }
            }
            after = debts.last().copied();
            if debts.len() < ROUND {
                return Ok(());
            }
        }
    }

    fn note(&mut self, segment: SegmentId, repaired: Result<Repaired, Problem>) {
        match repaired {
            Ok(Repaired::Whole | Repaired::Changed) => return self.resting.forget(segment),
            Ok(Repaired::Partly) => {}
            Err(problem) => tracing::warn!(?segment, %problem, "a segment is not repaired"),
        }
        self.resting.leave(segment, Instant::now());
    }
}

impl Store {
    /// Whether some location could take a fragment that `segment` misses: its own, or one that holds none.
    fn may_repair(&self, segment: &Segment) -> bool {
        let sites = self.locations.now();
        let candidates = candidates(&sites);
        candidates
            .iter()
            .filter(|it| it.is_writable && it.is_well)
            .any(|it| {
                let mut held = segment
                    .fragments
                    .iter()
                    .filter(|fragment| fragment.location == it.name);
                held.all(|fragment| fragment.state == FragmentState::Owed)
            })
    }

    /// Makes the fragments that `segment` misses of the others, as far as there are locations for them.
    async fn repair_segment(
        &self,
        segment: &Segment,
        unprovisioned: &mut BTreeSet<TenantId>,
    ) -> Result<Repaired, Problem> {
        let Some(patient) = self.patient(segment).await? else {
            return Ok(Repaired::Changed);
        };
        let tenant = patient.datastore.tenant;
        if unprovisioned.contains(&tenant) {
            return Ok(Repaired::Partly);
        }
        let (missing, planned) = self.plan(&patient);
        if missing.is_empty() {
            return Ok(Repaired::Partly);
        }
        if !self.note(segment.id, &segment.fragments, &planned).await? {
            return Ok(Repaired::Changed);
        }
        let made = match self.make(&patient, &missing).await {
            Err(problem) if problem.code == Code::NotProvisioned => {
                unprovisioned.insert(tenant);
                return Err(problem);
            }
            made => made?,
        };
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
        if !self.note(segment.id, &planned, &fragments).await? {
            if self.patient(segment).await?.is_none() {
                // It was deleted meanwhile, and may have been swept before this was written.
                self.unwrite(&planned, &missing).await;
            }
            return Ok(Repaired::Changed);
        }
        let is_owed = |it: &Fragment| it.state == FragmentState::Owed;
        Ok(match fragments.iter().any(is_owed) {
            true => Repaired::Partly,
            false => Repaired::Whole,
        })
    }

    /// Takes back what was written for nobody.
    async fn unwrite(&self, planned: &[Fragment], missing: &[Missing]) {
        let patience = self.settings.location_patience;
        for missing in missing {
            if let Ok(name) = FragmentName::new(&planned[missing.at].name)
                && let Err(error) = missing.site.delete(&name, patience).await
            {
                tracing::warn!(%error, "a fragment of what was deleted stays");
            }
        }
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
            let bytes = (missing.len() + 1) * patient.segment.fragment_bytes as usize;
            if let Some(site) = site
                && (missing.is_empty() || bytes <= REPAIR_MAX)
            {
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
    async fn pay_manifest(
        &self,
        version: VersionId,
        short: &mut BTreeSet<(String, u32)>,
    ) -> Result<(), Problem> {
        let Some((stored, body)) = self.catalog.version_by_id(version).await? else {
            return Ok(());
        };
        if self.now_ms() < stored.created_ms.saturating_add(PUT_MS) {
            return Ok(());
        }
        let Some(datastore) = self.catalog.datastore_by_id(stored.datastore).await? else {
            return Ok(());
        };
        let policy = self
            .policy_version(&stored.policy, stored.policy_version)
            .await?;
        let named = (policy.name.clone(), policy.version);
        if short.contains(&named) {
            return Ok(());
        }
        let copy = storage::StoredManifest {
            tenant: Bytes::copy_from_slice(&datastore.tenant.0),
            datastore: Bytes::copy_from_slice(&datastore.id.0),
            datastore_name: datastore.name,
            root_number: datastore.root_number,
            wrapped_key: datastore.wrapped_key,
            key: stored.key,
            version: Bytes::copy_from_slice(&version.0),
            number: stored.number,
            created_ms: stored.created_ms,
            policy: policy.name.clone(),
            policy_version: policy.version,
            policy_definition: policy.policy.definition(),
            head: stored.head,
            body,
            marker: false,
            ..Default::default()
        };
        let copy = copy.encode_to_vec().into();
        let mut seed = [0; 32];
        seed[..16].copy_from_slice(&version.0);
        let name = manifest_name(version);
        if self.keep_copies(&policy.policy, &seed, &name, &copy).await {
            self.catalog.settle_manifests(&[version]).await?;
        } else {
            short.insert(named);
        }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_fails_again_rests_twice_as_long_up_to_a_bound_and_what_is_forgotten_begins_anew() {
        let (segment, mut now) = (SegmentId([1; 32]), Instant::now());
        let mut resting = Resting::default();
        assert!(!resting.rests(segment, now));
        let mut pauses = Vec::new();
        for _ in 0..9 {
            resting.leave(segment, now);
            let begin = now;
            while resting.rests(segment, now) {
                now += Duration::from_secs(30);
            }
            pauses.push((now - begin).as_secs());
        }
        assert_eq!(pauses, [30, 60, 120, 240, 480, 960, 1920, 3600, 3600]);

        resting.forget(segment);
        resting.leave(segment, now);

        assert!(!resting.rests(segment, now + PAUSE_MIN));
    }

    #[test]
    fn no_more_rest_at_once_than_may() {
        let mut resting = Resting::default();
        for number in 0..3 * RESTING_MAX {
            let mut id = [0; 32];
            id[..8].copy_from_slice(&number.to_le_bytes());
            resting.leave(SegmentId(id), Instant::now());
            assert!(resting.0.len() <= RESTING_MAX);
        }
    }
}
