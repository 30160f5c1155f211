//! Fragments are written: to where placement says, and to another location where one fails.
//!
//! Invariant: what is called stored was acknowledged as durable by its location; what is not is owed, and the catalogue says so.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::{BufMut, Bytes, BytesMut};
use futures_util::future::BoxFuture;
use futures_util::stream::{FuturesUnordered, StreamExt as _};
use sc_backend::{BackendError, FragmentName};
use sc_metadata::{Fragment, FragmentState, Segment, SegmentId, VersionId};
use sc_proto::coder;
use sc_proto::store::problem::Code;
use tokio::time::{Instant, timeout_at};

use crate::error::Problem;
use crate::locations::{Site, candidates};
use crate::placement::{place, replace};
use crate::policy::Policy;
use crate::quorum::{Standing, WriteQuorum};
use crate::store::{Store, hex, id};

/// So long a location that was not well is waited for when enough is durable, or as long as that took.
const UNWELL_PATIENCE: Duration = Duration::from_millis(50);

/// A segment that a coder has made, about to be written.
pub(crate) struct Coded {
    pub(crate) segment: Segment,
    bodies: Vec<Bytes>,
    sites: Arc<BTreeMap<String, Arc<Site>>>,
    /// For each fragment the location, by its number among the sites.
    placed: Vec<usize>,
}

impl Store {
    /// Decides where the fragments of a coded segment go.
    pub(crate) fn place_segment(
        &self,
        policy: &Policy,
        version: VersionId,
        part: u32,
        index: u32,
        sealed: &coder::SegmentSealed,
        bulk: &Bytes,
    ) -> Result<Coded, Problem> {
        let segment: [u8; 32] = id(&sealed.segment, "a segment's id")?;
        let sites = self.locations.now();
        let placed = place(policy, &candidates(&sites), &segment)?;
        let bodies = bodies(policy, sealed, bulk)?;
        let names: Vec<&String> = sites.keys().collect();
        let fragments = placed.iter().enumerate().map(|(at, &site)| Fragment {
            index: u8::try_from(at).expect("a code has at most 255 fragments"),
            location: names[site].clone(),
            name: format!("{}.{at}", hex(&segment)),
            state: FragmentState::Stored,
        });
        let segment = Segment {
            id: SegmentId(segment),
            version,
            part,
            index,
            plain_bytes: sealed.plain_bytes,
            record: sealed.record.clone(),
            fragment_bytes: sealed.fragment_bytes,
            fragments: fragments.collect(),
        };
        Ok(Coded {
            segment,
            bodies,
            sites,
            placed,
        })
    }

    /// Writes the fragments, until enough are durable and the others have had their time. Gives where they lie now.
    pub(crate) async fn write_segment(
        &self,
        policy: &Policy,
        coded: Coded,
    ) -> Result<Segment, Problem> {
        let Coded {
            mut segment,
            bodies,
            sites,
            mut placed,
        } = coded;
        let candidates = candidates(&sites);
        let all: Vec<&Arc<Site>> = sites.values().collect();
        let total = bodies.len();
        let required = &policy.placement.required_locations;
        let groups = required.iter().map(|name| {
            let is_there = |index: &usize| all[placed[*index]].name == *name;
            (0..total).filter(is_there).collect()
        });
        let mut quorum = WriteQuorum::new(total, policy.write_quorum(), groups.collect());
        let mut tried: Vec<Vec<usize>> = placed.iter().map(|&site| vec![site]).collect();
        let mut under_way: FuturesUnordered<BoxFuture<'_, (usize, Result<(), BackendError>)>> =
            FuturesUnordered::new();
        for (index, &site) in placed.iter().enumerate() {
            under_way.push(self.write(index, all[site], &segment, &bodies[index]));
        }
        let begun = Instant::now();
        let mut standing = quorum.standing();
        let mut enough_at = None;
        loop {
            let until = enough_at.map(|at| {
                let is_awaited = |index: usize| candidates[placed[index]].is_well;
                let patience = if quorum.under_way().any(is_awaited) {
                    self.settings.straggler_patience
                } else {
                    // One that was not well may be again, and is not waited for if it is not.
                    UNWELL_PATIENCE.max(at - begun)
                };
                at + patience
            });
            let answered = match until {
                Some(until) => match timeout_at(until, under_way.next()).await {
                    Ok(answered) => answered,
                    Err(_) => break,
                },
                None => under_way.next().await,
            };
            let Some((index, result)) = answered else {
                break;
            };
            if result.is_err()
                && !required.contains(&all[placed[index]].name)
                && let Some(other) = replace(
                    policy,
                    &candidates,
                    &placed,
                    index,
                    &tried[index],
                    &segment.id.0,
                )
            {
                placed[index] = other;
                tried[index].push(other);
                segment.fragments[index]
                    .location
                    .clone_from(&all[other].name);
                under_way.push(self.write(index, all[other], &segment, &bodies[index]));
                continue;
            }
            standing = quorum.on_ack(index, result.is_ok());
            if standing == Standing::Failed {
                break;
            }
            if standing == Standing::Enough && enough_at.is_none() {
                enough_at = Some(Instant::now());
            }
        }
        if matches!(standing, Standing::Failed | Standing::Waiting) {
            let failed = required.iter().find(|name| {
                let holds =
                    |index: usize| all[placed[index]].name == **name && quorum.is_stored(index);
                !(0..total).any(holds)
            });
            if let Some(name) = failed {
                return Err(Problem::new(
                    Code::Unavailable,
                    format!(
                        "location {name:?}, which the policy requires, does not take its fragment; try again when it is back"
                    ),
                ));
            }
            return Err(Problem::new(
                Code::Unavailable,
                format!(
                    "fewer than the {} fragments that the policy wants durable could be stored; try again when locations are back",
                    policy.write_quorum()
                ),
            ));
        }
        drop(under_way);
        // One that was not well had a moment only, which says nothing new of it.
        for index in quorum
            .under_way()
            .filter(|&it| candidates[placed[it]].is_well)
        {
            all[placed[index]].lagged();
        }
        for (index, fragment) in segment.fragments.iter_mut().enumerate() {
            if !quorum.is_stored(index) {
                fragment.state = FragmentState::Owed;
            }
        }
        Ok(segment)
    }

    fn write<'w>(
        &'w self,
        index: usize,
        site: &'w Arc<Site>,
        segment: &Segment,
        body: &Bytes,
    ) -> BoxFuture<'w, (usize, Result<(), BackendError>)> {
        let name = FragmentName::new(&segment.fragments[index].name);
        let name = name.expect("a segment's id in hexadecimal and a number are a name");
        let (site, body) = (Arc::clone(site), body.clone());
        let patience = self.settings.location_patience;
        Box::pin(async move { (index, site.put(&name, body, patience).await) })
    }
}

/// The files of a segment's fragments, out of a coder's bulk.
fn bodies(
    policy: &Policy,
    sealed: &coder::SegmentSealed,
    bulk: &Bytes,
) -> Result<Vec<Bytes>, Problem> {
    let total = usize::from(policy.code().total());
    let (header, fragment) = (sealed.header_bytes as usize, sealed.fragment_bytes as usize);
    if header >= fragment {
        return Err(Problem::malformed("the coder's fragments have no pieces"));
    }
    if policy.code().data() == 1 && bulk.len() == total * header + (fragment - header) {
        let pieces = bulk.slice(total * header..);
        let each = (0..total).map(|index| {
            let mut body = BytesMut::with_capacity(fragment);
            body.put_slice(&bulk[index * header..(index + 1) * header]);
            body.put_slice(&pieces);
            body.freeze()
        });
        return Ok(each.collect());
    }
    if bulk.len() != total * fragment {
        return Err(Problem::malformed("the coder's fragments are incomplete"));
    }
    let each = (0..total).map(|index| bulk.slice(index * fragment..(index + 1) * fragment));
    Ok(each.collect())
}
