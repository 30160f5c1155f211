//! Fragments are read: the best k at first, another when one is late, others when some fail.
//!
//! Invariant: no fragment is read twice for one answer, and no more than are needed are waited for.

use std::collections::BTreeSet;
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::BoxFuture;
use futures_util::stream::{FuturesUnordered, StreamExt as _};
use sc_backend::{BackendError, FragmentName};
use sc_erasure::Shape;
use sc_metadata::{Fragment, FragmentState, LocationState, Segment};
use sc_proto::coder;
use sc_proto::store::problem::Code;

use crate::error::Problem;
use crate::locations::Site;
use crate::policy::{Policy, ReadPreference};
use crate::store::Store;

/// A read is late when it has taken so many times what its location usually takes,
const LATE: u32 = 4;
/// and at least so long.
const LATE_MIN: Duration = Duration::from_millis(20);

/// What was read of one fragment.
pub(crate) struct Read {
    pub(crate) index: u8,
    pub(crate) header: Bytes,
    pub(crate) pieces: Bytes,
}

impl Read {
    /// What a coder is told of it.
    pub(crate) fn message(&self) -> coder::FragmentPieces {
        let number = |it: usize| u32::try_from(it).expect("a fragment is a few mebibytes");
        coder::FragmentPieces {
            index: self.index.into(),
            header_bytes: number(self.header.len()),
            piece_bytes: number(self.pieces.len()),
        }
    }
}

type Reading<'r> = BoxFuture<'r, Result<Read, BackendError>>;

impl Store {
    /// Reads these blocks of k fragments, none of them among `bad`.
    pub(crate) async fn read_segment(
        &self,
        policy: &Policy,
        segment: &Segment,
        shape: Shape,
        blocks: Range<usize>,
        bad: &BTreeSet<u8>,
    ) -> Result<Vec<Read>, Problem> {
        let needed = usize::from(shape.redundancy().data());
        let mut waiting = self.by_preference(policy, segment, bad).into_iter();
        let mut under_way: FuturesUnordered<Reading<'_>> = FuturesUnordered::new();
        let mut slowest = Duration::ZERO;
        let mut start = |under_way: &mut FuturesUnordered<_>, count: usize| {
            for (site, fragment) in waiting.by_ref().take(count) {
                slowest = slowest.max(site.latency());
                under_way.push(self.read_fragment(site, fragment, shape, blocks.clone()));
            }
            LATE_MIN.max(slowest * LATE)
        };
        let late = start(&mut under_way, needed);
        let hedge = tokio::time::sleep(late);
        tokio::pin!(hedge);
        let mut read = Vec::with_capacity(needed);
        let mut why = None;
        while read.len() < needed {
            let next = tokio::select! {
                biased;
                next = under_way.next() => next,
                () = &mut hedge => {
                    let late = start(&mut under_way, 1);
                    hedge.as_mut().reset(tokio::time::Instant::now() + late);
                    continue;
                }
            };
            match next {
                Some(Ok(fragment)) => read.push(fragment),
                Some(Err(error)) => {
                    // That a location may come back says more than that another has lost something.
                    if !matches!(why, Some(BackendError::Unavailable(_))) {
                        why = Some(error);
                    }
                    start(&mut under_way, 1);
                }
                None => return Err(too_few(read.len(), needed, bad.len(), why)),
            }
        }
        Ok(read)
    }

    /// The fragments that may be read, those that should be first in front.
    fn by_preference<'s>(
        &self,
        policy: &Policy,
        segment: &'s Segment,
        bad: &BTreeSet<u8>,
    ) -> Vec<(Arc<Site>, &'s Fragment)> {
        let sites = self.locations.now();
        let mut readable: Vec<_> = segment
            .fragments
            .iter()
            .filter(|it| it.state == FragmentState::Stored && !bad.contains(&it.index))
            .filter_map(|it| Some((Arc::clone(sites.get(&it.location)?), it)))
            .filter(|(site, _)| site.state != LocationState::Lost)
            .collect();
        readable.sort_by_cached_key(|(site, fragment)| {
            let preference = match policy.read {
                ReadPreference::Fastest => 0,
                ReadPreference::Nearest => self.distance(site),
                // Costs are finite and not negative, so their bits are in their order.
                ReadPreference::Cheapest => site.settings.cost_per_gb_read.to_bits(),
            };
            // Latencies in steps of two: what is about equally quick is read in the order of fragments, the first of which need no arithmetic.
            let step = site.latency().as_micros().checked_ilog2().unwrap_or(0) / 2;
            (!site.is_well(), preference, step, fragment.index)
        });
        readable
    }

    fn distance(&self, site: &Site) -> u64 {
        let settings = &site.settings;
        match (
            settings.region == self.settings.region,
            settings.zone == self.settings.zone,
        ) {
            (true, true) => 0,
            (true, false) => 1,
            (false, _) => 2,
        }
    }

    fn read_fragment<'r>(
        &'r self,
        site: Arc<Site>,
        fragment: &'r Fragment,
        shape: Shape,
        blocks: Range<usize>,
    ) -> Reading<'r> {
        let patience = self.settings.location_patience;
        Box::pin(async move {
            let name = FragmentName::new(&fragment.name)
                .map_err(|error| BackendError::Corrupt(error.to_string()))?;
            let header_bytes = shape.header_bytes();
            let pieces = shape.pieces(blocks.clone());
            let is_whole = blocks == (0..shape.blocks());
            let (header, pieces) = if is_whole {
                let mut whole = site.read(&name, None, patience).await?;
                if whole.len() != shape.fragment_bytes() {
                    return Err(BackendError::Corrupt("another length".into()));
                }
                (whole.split_to(header_bytes), whole)
            } else if blocks.start == 0 {
                let mut front = site
                    .read(&name, Some(0..pieces.end as u64), patience)
                    .await?;
                (front.split_to(header_bytes), front)
            } else {
                let header = site.read(&name, Some(0..header_bytes as u64), patience);
                let range = pieces.start as u64..pieces.end as u64;
                let pieces = site.read(&name, Some(range), patience);
                tokio::try_join!(header, pieces)?
            };
            Ok(Read {
                index: fragment.index,
                header,
                pieces,
            })
        })
    }
}

fn too_few(found: usize, needed: usize, bad: usize, why: Option<BackendError>) -> Problem {
    let mut message = format!("{found} of the {needed} fragments needed are readable");
    if bad > 0 {
        message.push_str(&format!("; {bad} are damaged"));
    }
    let is_for_good = match &why {
        Some(BackendError::Unavailable(why)) => {
            message.push_str(&format!("; a location does not answer: {why}"));
            false
        }
        _ => true,
    };
    let code = if is_for_good {
        Code::Lost
    } else {
        Code::Unavailable
    };
    Problem::new(code, message)
}
