//! Segments are healed: what a write had to leave out, what a location has lost, and what is damaged is made again of the rest.
//!
//! Invariant: the catalogue says where a fragment will lie before it is written there, and under which name, and calls it stored when its
//! location has said that it is durable. What takes the place of something damaged, or goes elsewhere, has a name of its own, so that a name
//! has one location and nobody deletes what another is writing.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use bytes::Bytes;
use futures_util::future::join_all;
use sc_backend::{BackendError, FragmentName};
use sc_metadata::{
    CatalogError, Datastore, DatastoreId, Fragment, FragmentState, LocationState, Segment,
    SegmentId, TenantId,
};
use sc_proto::coder::{self, call::Call, reply::Reply};
use sc_proto::store::problem::Code;

use crate::error::Problem;
use crate::get::shape_of;
use crate::locations::{Site, candidates};
use crate::placement::replace;
use crate::put::unexpected;
use crate::reading::Read;
use crate::recoding::{Made, Traffic};
use crate::store::{Store, StoredPolicy, for_coder};

/// Bytes of fragments that one repair makes at most, if it makes more than one; the rest follows.
const REPAIR_MAX: usize = 64 << 20;

/// How a segment does after it was looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum State {
    /// Nothing is missing any more.
    Whole,
    /// Some fragments still are: no location takes them now.
    Partly,
    /// Somebody else has changed or deleted it.
    Changed,
}

/// What healing a segment came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Healed {
    pub(crate) state: State,
    /// Fragments that were made.
    pub(crate) made: usize,
    /// What locations have sent and taken for that.
    pub(crate) traffic: Traffic,
}

impl Healed {
    fn nothing(state: State) -> Self {
        Self {
            state,
            made: 0,
            traffic: Traffic::default(),
        }
    }
}

/// A segment, and what it belongs to.
pub(crate) struct Patient {
    /// With the fragments that count.
    pub(crate) segment: Segment,
    pub(crate) datastore: Datastore,
    pub(crate) policy: Arc<StoredPolicy>,
}

/// A fragment that is to be made, and where it is to go.
pub(crate) struct Missing {
    /// Its place among the segment's fragments.
    pub(crate) at: usize,
    site: Arc<Site>,
}

impl Store {
    /// Whether some location could take a fragment that `segment` misses: its own, or one that holds none.
    pub(crate) fn may_repair(&self, segment: &Segment) -> bool {
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

    /// Makes the fragments that `segment` misses of the others, as far as there are locations for them: those that are owed, that lie at
    /// locations which are lost, and those with these indexes, which are `damaged`.
    pub(crate) async fn heal(
        &self,
        segment: &Segment,
        damaged: &BTreeSet<u8>,
        unprovisioned: &mut BTreeSet<TenantId>,
    ) -> Result<Healed, Problem> {
        // Most segments are well, and cost no look at the catalogue.
        if self.counting(&segment.fragments, damaged) == segment.fragments
            && segment
                .fragments
                .iter()
                .all(|it| it.state == FragmentState::Stored)
        {
            return Ok(Healed::nothing(State::Whole));
        }
        let Some(patient) = self.patient(segment, damaged).await? else {
            return Ok(Healed::nothing(State::Changed));
        };
        let tenant = patient.datastore.tenant;
        let is_owed = |it: &Fragment| it.state == FragmentState::Owed;
        if !patient.segment.fragments.iter().any(is_owed) {
            let noted = self
                .note(segment.id, &segment.fragments, &patient.segment.fragments)
                .await?;
            return Ok(Healed::nothing(match noted {
                true => State::Whole,
                false => State::Changed,
            }));
        }
        if unprovisioned.contains(&tenant) {
            return Ok(Healed::nothing(State::Partly));
        }
        let (missing, planned) = self.plan(&patient);
        if missing.is_empty() {
            return Ok(Healed::nothing(State::Partly));
        }
        // Made first: until what takes its place is in hand, nothing that may still be of use is forgotten.
        let made = match self.remake(&patient, &missing).await {
            Err(problem) if problem.code == Code::NotProvisioned => {
                unprovisioned.insert(tenant);
                return Err(problem);
            }
            made => made?,
        };
        if !self.note(segment.id, &segment.fragments, &planned).await? {
            return Ok(Healed::nothing(State::Changed));
        }
        let (fragments, bytes_written) = self.put_missing(&planned, &missing, &made).await;
        let bytes_read = made.traffic.bytes_read;
        let traffic = Traffic {
            bytes_read,
            bytes_written,
        };
        self.repairs.add(traffic);
        tracing::info!(segment = ?segment.id, bytes_read, bytes_written, "a segment was repaired");
        if !self.note(segment.id, &planned, &fragments).await? {
            // It was changed or deleted meanwhile, and may have been swept before this was written.
            if !self.is_alive(segment).await? {
                self.unwrite(&planned, &missing).await;
            }
            return Ok(Healed::nothing(State::Changed));
        }
        Ok(Healed {
            state: match fragments.iter().any(is_owed) {
                true => State::Partly,
                false => State::Whole,
            },
            made: missing.len(),
            traffic,
        })
    }

    /// Writes what was made; gives the fragments as they are then, and the bytes that are durable.
    async fn put_missing(
        &self,
        planned: &[Fragment],
        missing: &[Missing],
        made: &Made,
    ) -> (Vec<Fragment>, u64) {
        let patience = self.settings.location_patience;
        let puts = missing.iter().zip(&made.bodies).map(|(missing, body)| {
            let name = FragmentName::new(&planned[missing.at].name);
            async move {
                match name {
                    Ok(name) => missing.site.put(&name, body.clone(), patience).await,
                    Err(error) => Err(BackendError::Unavailable(error.to_string())),
                }
            }
        });
        let mut fragments = planned.to_vec();
        let mut written = 0;
        for (missing, result) in missing.iter().zip(join_all(puts).await) {
            let fragment = &mut fragments[missing.at];
            match result {
                Ok(()) => {
                    fragment.state = FragmentState::Stored;
                    written += made.bodies[0].len() as u64;
                }
                // Something else has the name, or has broken under it: the next try takes another.
                Err(BackendError::Exists | BackendError::Corrupt(_)) => {
                    fragment.name = self.fresh_name(&fragment.name);
                }
                Err(_) => {}
            }
        }
        (fragments, written)
    }

    /// A name for what takes the place of the fragment of this name: the same but for a number that is drawn.
    pub(crate) fn fresh_name(&self, name: &str) -> String {
        let mut words = name.split('.');
        let segment = words.next().unwrap_or_default();
        let index = words.next().unwrap_or_default();
        format!("{segment}.{index}.{:016x}", self.draw())
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

    /// A segment with what counts of it, and what it belongs to; none where that is gone.
    pub(crate) async fn patient(
        &self,
        segment: &Segment,
        damaged: &BTreeSet<u8>,
    ) -> Result<Option<Patient>, Problem> {
        let patients = self.patients(std::slice::from_ref(segment)).await?;
        let patient = patients.into_iter().next().flatten();
        Ok(patient.map(|mut patient| {
            patient.segment.fragments = self.counting(&segment.fragments, damaged);
            patient
        }))
    }

    /// The same of several of which nothing is damaged, in their order.
    pub(crate) async fn patients(
        &self,
        segments: &[Segment],
    ) -> Result<Vec<Option<Patient>>, Problem> {
        let damaged = &BTreeSet::new();
        let versions = segments.iter().map(|it| it.version).collect();
        let origins = self.catalog.origins(versions).await?;
        let mut datastores: BTreeMap<DatastoreId, Option<Datastore>> = BTreeMap::new();
        let mut patients = Vec::with_capacity(segments.len());
        for segment in segments {
            let Some(origin) = origins.get(&segment.version) else {
                patients.push(None);
                continue;
            };
            let datastore = match datastores.get(&origin.datastore) {
                Some(known) => known.clone(),
                None => {
                    let found = self.catalog.datastore_by_id(origin.datastore).await?;
                    datastores.insert(origin.datastore, found.clone());
                    found
                }
            };
            let policy = self
                .policy_version(&origin.policy, origin.policy_version)
                .await?;
            patients.push(datastore.map(|datastore| Patient {
                segment: Segment {
                    fragments: self.counting(&segment.fragments, damaged),
                    ..segment.clone()
                },
                datastore,
                policy,
            }));
        }
        Ok(patients)
    }

    async fn is_alive(&self, segment: &Segment) -> Result<bool, Problem> {
        let origins = self.catalog.origins(vec![segment.version]).await?;
        Ok(!origins.is_empty())
    }

    /// The fragments that count: copies that were begun do not, and what is damaged or lies at a lost location is owed.
    fn counting(&self, fragments: &[Fragment], damaged: &BTreeSet<u8>) -> Vec<Fragment> {
        let sites = self.locations.now();
        let is_lost = |it: &Fragment| {
            let site = sites.get(&it.location);
            site.is_some_and(|site| site.state == LocationState::Lost)
        };
        let kept = fragments
            .iter()
            .filter(|it| it.state != FragmentState::Coming);
        kept.map(|fragment| {
            let mut fragment = fragment.clone();
            if damaged.contains(&fragment.index) {
                fragment.state = FragmentState::Owed;
                fragment.name = self.fresh_name(&fragment.name);
            } else if is_lost(&fragment) {
                fragment.state = FragmentState::Owed;
            }
            fragment
        })
        .collect()
    }

    /// The fragments that are missing and have a place now, and all fragments as they will lie.
    fn plan(&self, patient: &Patient) -> (Vec<Missing>, Vec<Fragment>) {
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
                if placed[at] != site {
                    // A name has one location.
                    fragments[at].name = self.fresh_name(&fragments[at].name);
                    fragments[at].location.clone_from(&all[site].name);
                    placed[at] = site;
                }
                missing.push(Missing {
                    at,
                    site: Arc::clone(all[site]),
                });
            }
        }
        (missing, fragments)
    }

    /// Writes down where fragments lie; `false` if somebody else has, too, or the segment is gone.
    pub(crate) async fn note(
        &self,
        segment: SegmentId,
        before: &[Fragment],
        fragments: &[Fragment],
    ) -> Result<bool, Problem> {
        if before == fragments {
            return Ok(true);
        }
        let due_ms = self.in_ms(self.settings.grace);
        let noted = self
            .catalog
            .exchange_fragments(segment, before, fragments, due_ms)
            .await;
        match noted {
            Err(CatalogError::NoSuchSegment) => Ok(false),
            other => Ok(other?),
        }
    }

    /// The missing fragments, made by a coder of k others, none of them among `bad`.
    pub(crate) async fn make(
        &self,
        patient: &Patient,
        missing: &[Missing],
        mut bad: BTreeSet<u8>,
    ) -> Result<Made, Problem> {
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
            others: Vec::new(),
        };
        let mut traffic = Traffic::default();
        loop {
            let read = self
                .read_segment(policy, segment, shape, 0..shape.blocks(), &bad)
                .await?;
            call.fragments = read.iter().map(Read::message).collect();
            call.others = self.headers_beside(segment, shape, &read, &bad).await;
            traffic.bytes_read += (read.len() * shape.fragment_bytes()) as u64;
            traffic.bytes_read += (call.others.len() * shape.header_bytes()) as u64;
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
                let bodies = bodies(&made, shape.fragment_bytes(), missing.len())?;
                return Ok(Made { bodies, traffic });
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
