//! Lost fragments are made of recoded packets, where locations can compute and send less so than whole fragments.
//!
//! Invariant: what goes wrong on the way costs time alone: the fragment is made of whole others then, without those that a coder has named.
//! Source: docs/FORMATS.md, "Storage: repair"; docs/decisions/0031-repair-by-recoded-packets.md.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::join_all;
use sc_backend::{BackendError, FragmentName};
use sc_erasure::{Recoding, Shape, TAG_BYTES};
use sc_metadata::{Fragment, FragmentState, LocationState, Segment};
use sc_proto::coder::{self, call::Call, reply::Reply};

use crate::error::Problem;
use crate::get::shape_of;
use crate::locations::Site;
use crate::put::unexpected;
use crate::reading::Read;
use crate::repair::{Missing, Patient};
use crate::store::{Store, for_coder};

/// What locations have sent and taken for repairs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Traffic {
    /// Bytes of fragments, their headers and their packets that were read.
    pub bytes_read: u64,
    /// Bytes of fragments that were written.
    pub bytes_written: u64,
}

/// The sum of what repairs have read and written.
#[derive(Debug, Default)]
pub(crate) struct Counted {
    bytes_read: AtomicU64,
    bytes_written: AtomicU64,
}

impl Counted {
    pub(crate) fn add(&self, traffic: Traffic) {
        self.bytes_read.fetch_add(traffic.bytes_read, Relaxed);
        self.bytes_written.fetch_add(traffic.bytes_written, Relaxed);
    }
}

/// Fragments that were made, and what was read for them.
pub(crate) struct Made {
    pub(crate) bodies: Vec<Bytes>,
    pub(crate) traffic: Traffic,
}

/// One of the other fragments, and the location that has it.
struct Holder<'h> {
    fragment: &'h Fragment,
    name: FragmentName,
    site: Arc<Site>,
}

/// A repair that recodes, about to be tried.
struct Attempt<'a> {
    store: &'a Store,
    patient: &'a Patient,
    shape: Shape,
    recoding: Recoding,
    /// All fragments but the lost one, ascending by index.
    holders: Vec<Holder<'a>>,
    patience: Duration,
    traffic: Traffic,
    /// Indexes of those that were named.
    bad: BTreeSet<u8>,
}

/// Why an attempt came to nothing, in words.
type Failed = String;

impl Store {
    /// What repairs have read and written since the store began.
    #[must_use]
    pub fn repair_traffic(&self) -> Traffic {
        Traffic {
            bytes_read: self.repairs.bytes_read.load(Relaxed),
            bytes_written: self.repairs.bytes_written.load(Relaxed),
        }
    }

    /// The missing fragments, made of recoded packets if that is possible and less to read, else of whole others.
    pub(crate) async fn remake(
        &self,
        patient: &Patient,
        missing: &[Missing],
    ) -> Result<Made, Problem> {
        let mut bad = BTreeSet::new();
        let mut spent = Traffic::default();
        if let [missing] = missing
            && let Some(mut attempt) = self.attempt(patient, missing)?
        {
            let lost = patient.segment.fragments[missing.at].index;
            match attempt.make(lost).await {
                Ok(body) => {
                    return Ok(Made {
                        bodies: vec![body],
                        traffic: attempt.traffic,
                    });
                }
                Err(why) => {
                    tracing::warn!(segment = ?patient.segment.id, why, "a repair reads whole fragments");
                    (bad, spent) = (attempt.bad, attempt.traffic);
                }
            }
        }
        let mut made = self.make(patient, missing, bad).await?;
        made.traffic.bytes_read += spent.bytes_read;
        Ok(made)
    }

    /// A repair that recodes, where all other fragments are there and less is read so.
    fn attempt<'a>(
        &'a self,
        patient: &'a Patient,
        missing: &Missing,
    ) -> Result<Option<Attempt<'a>>, Problem> {
        let segment = &patient.segment;
        let shape = shape_of(&patient.policy.policy, segment)?;
        let Some(recoding) = shape.redundancy().recoding() else {
            return Ok(None);
        };
        let others = segment.fragments.iter().enumerate();
        let others = others.filter(|(at, _)| *at != missing.at);
        let holders = others.map(|(_, it)| self.holder(it).filter(|it| it.site.is_well()));
        let Some(mut holders) = holders.collect::<Option<Vec<_>>>() else {
            return Ok(None);
        };
        holders.sort_by_key(|it| it.fragment.index);
        let sent = holders.len() * shape.header_bytes()
            + usize::from(recoding.helpers) * sent_bytes(shape, recoding);
        let whole = usize::from(shape.redundancy().data()) * shape.fragment_bytes();
        Ok((sent < whole).then(|| Attempt {
            store: self,
            patient,
            shape,
            recoding,
            holders,
            patience: self.settings.location_patience,
            traffic: Traffic::default(),
            bad: BTreeSet::new(),
        }))
    }

    /// Who has a fragment that is stored.
    fn holder<'h>(&self, fragment: &'h Fragment) -> Option<Holder<'h>> {
        let site = self.locations.now().get(&fragment.location).cloned()?;
        let is_there = fragment.state == FragmentState::Stored && site.state != LocationState::Lost;
        is_there.then_some(Holder {
            fragment,
            name: FragmentName::new(&fragment.name).ok()?,
            site,
        })
    }

    /// The headers of stored fragments that were not read, as far as their locations answer: what is made has to rebuild with them, too.
    pub(crate) async fn headers_beside(
        &self,
        segment: &Segment,
        shape: Shape,
        read: &[Read],
        bad: &BTreeSet<u8>,
    ) -> Vec<coder::HeldHeader> {
        if shape.redundancy().recoding().is_none() {
            // Each fragment is as the code makes it.
            return Vec::new();
        }
        let is_beside = |it: &&Fragment| {
            !bad.contains(&it.index) && read.iter().all(|read| read.index != it.index)
        };
        let beside = segment.fragments.iter().filter(is_beside);
        let holders = beside.filter_map(|it| self.holder(it));
        let holders: Vec<Holder<'_>> = holders.filter(|it| it.site.is_well()).collect();
        let patience = self.settings.location_patience;
        let read = join_all(holders.iter().map(|it| it.header(shape, patience))).await;
        let mut headers: Vec<_> = read.into_iter().flatten().collect();
        headers.sort_by_key(|it| it.index);
        headers
    }
}

impl Holder<'_> {
    async fn header(
        &self,
        shape: Shape,
        patience: Duration,
    ) -> Result<coder::HeldHeader, BackendError> {
        let range = 0..shape.header_bytes() as u64;
        let header = self.site.read(&self.name, Some(range), patience).await?;
        Ok(coder::HeldHeader {
            index: self.fragment.index.into(),
            header,
        })
    }
}

impl Attempt<'_> {
    /// The fragment `lost`: planned, then recoded at its helpers, then combined.
    async fn make(&mut self, lost: u8) -> Result<Bytes, Failed> {
        let helpers = self.helpers().await?;
        let call = self.call(lost, &helpers).await?;
        let scalars = self.plan(&call, helpers.len()).await?;
        let packets = self.recode(&helpers, scalars).await?;
        self.combine(call, &packets).await
    }

    /// Which of the holders can compute, as many as are needed. Always the first ones: equal segments have equal plans.
    async fn helpers(&self) -> Result<Vec<usize>, Failed> {
        let asked = self
            .holders
            .iter()
            .map(|it| it.site.computes(self.patience));
        let computes = join_all(asked).await;
        let able = (0..self.holders.len()).filter(|&at| computes[at]);
        let needed = usize::from(self.recoding.helpers);
        let able: Vec<usize> = able.take(needed).collect();
        if able.len() < needed {
            return Err(format!(
                "{} of the {needed} helpers needed compute",
                able.len()
            ));
        }
        Ok(able)
    }

    /// What a coder is asked, with the headers of all that there is.
    async fn call(&mut self, lost: u8, helpers: &[usize]) -> Result<coder::PlanRepair, Failed> {
        let reads = self.holders.iter();
        let reads = join_all(reads.map(|it| it.header(self.shape, self.patience))).await;
        self.count(reads.iter().flatten().map(|it| it.header.len()));
        let others: Result<Vec<_>, BackendError> = reads.into_iter().collect();
        let segment = &self.patient.segment;
        let index_of = |&at: &usize| self.holders[at].fragment.index.into();
        Ok(coder::PlanRepair {
            tenant: Bytes::copy_from_slice(&self.patient.datastore.tenant.0),
            datastore: for_coder(&self.patient.datastore),
            version: Bytes::copy_from_slice(&segment.version.0),
            record: segment.record.clone(),
            lost: lost.into(),
            others: others.map_err(|error| error.to_string())?,
            helpers: helpers.iter().map(index_of).collect(),
        })
    }

    /// What to ask of each helper.
    async fn plan(&mut self, call: &coder::PlanRepair, count: usize) -> Result<Vec<Bytes>, Failed> {
        let (reply, _) = self.ask(Call::PlanRepair(call.clone()), &[]).await?;
        let Reply::RepairPlanned(planned) = reply else {
            return Err(unexpected().to_string());
        };
        self.name(&planned.bad)?;
        if planned.scalars.len() != count {
            return Err(unexpected().to_string());
        }
        Ok(planned.scalars)
    }

    /// What the helpers make, all at once.
    async fn recode(
        &mut self,
        helpers: &[usize],
        scalars: Vec<Bytes>,
    ) -> Result<Vec<Bytes>, Failed> {
        let asked = helpers.iter().zip(scalars).map(|(&at, scalars)| {
            let Holder { name, site, .. } = &self.holders[at];
            site.recode(name, scalars, self.patience)
        });
        let sent = join_all(asked).await;
        self.count(sent.iter().flatten().map(Bytes::len));
        let expected = sent_bytes(self.shape, self.recoding);
        let sent = helpers.iter().zip(sent).map(|(&at, sent)| match sent {
            Ok(packets) if packets.len() == expected => Ok(packets),
            Ok(_) => Err(format!(
                "{} sent another length",
                self.holders[at].site.name
            )),
            Err(error) => Err(format!("{}: {error}", self.holders[at].site.name)),
        });
        sent.collect()
    }

    /// The new fragment.
    async fn combine(
        &mut self,
        call: coder::PlanRepair,
        packets: &[Bytes],
    ) -> Result<Bytes, Failed> {
        let call = coder::CombinePackets { plan: Some(call) };
        let (reply, made) = self.ask(Call::CombinePackets(call), packets).await?;
        let Reply::PacketsCombined(combined) = reply else {
            return Err(unexpected().to_string());
        };
        self.name(&combined.bad)?;
        if made.len() != self.shape.fragment_bytes() {
            return Err(unexpected().to_string());
        }
        Ok(made)
    }

    async fn ask(&self, call: Call, bulk: &[Bytes]) -> Result<(Reply, Bytes), Failed> {
        let tenant = self.patient.datastore.tenant;
        let answered = self.store.coders.call(tenant, call, bulk).await;
        answered.map_err(|problem| problem.to_string())
    }

    /// Notes fragments that a coder has named, and who sent what of them.
    fn name(&mut self, bad: &[u32]) -> Result<(), Failed> {
        for holder in &self.holders {
            let index = holder.fragment.index;
            if bad.contains(&index.into()) {
                let (segment, location) = (self.patient.segment.id, &holder.site.name);
                tracing::error!(
                    ?segment,
                    index,
                    location,
                    "what a location sent is not what was stored"
                );
                self.bad.insert(index);
            }
        }
        match bad {
            [] => Ok(()),
            named => Err(format!("{} locations sent something else", named.len())),
        }
    }

    fn count(&mut self, lengths: impl Iterator<Item = usize>) {
        self.traffic.bytes_read += lengths.map(|bytes| bytes as u64).sum::<u64>();
    }
}

/// Bytes that a helper sends: tags, then packets.
fn sent_bytes(shape: Shape, recoding: Recoding) -> usize {
    let packet_bytes = |block| shape.redundancy().packet_bytes(shape.sealed_of(block));
    let packets: usize = (0..shape.blocks()).map(packet_bytes).sum();
    usize::from(recoding.packets) * (shape.blocks() * TAG_BYTES + packets)
}
