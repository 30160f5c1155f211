//! Segments are scrubbed: every fragment is read and verified, and what is damaged or gone is made again.
//!
//! Invariant: that the pieces of a fragment are what its header says is computed here, and that a coder of the tenant made the header is
//! the coder's word; a fragment is damaged where either fails, and is not judged where its location does not answer.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use futures_util::StreamExt as _;
use sc_backend::{BackendError, FragmentName};
use sc_erasure::{FragmentHeader, Shape};
use sc_metadata::{DatastoreId, Fragment, FragmentState, LocationState, Segment, TenantId};
use sc_proto::coder::{self, call::Call, refusal::Reason, reply::Reply};

use crate::error::Problem;
use crate::get::shape_of;
use crate::jobs::Outcome;
use crate::put::unexpected;
use crate::repair::Patient;
use crate::store::{Store, for_coder};

/// Bytes of fragments that are looked at together, at most; one segment may have more.
const TOGETHER_BYTES: usize = 16 << 20;
/// Fragments that are read at once.
const AT_ONCE: usize = 8;

/// What a look at one fragment came to.
enum Look {
    /// Its pieces are what its header says; the header's bytes, which a coder has still to judge.
    Sound(Bytes),
    Damaged,
    /// Its location did not answer.
    Unknown,
}

/// A segment that is being looked at.
struct Looked {
    patient: Patient,
    shape: Shape,
    outcome: Outcome,
    /// Of fragments whose pieces are what these say.
    headers: BTreeMap<u8, Bytes>,
    damaged: BTreeSet<u8>,
}

/// As many of the segments, from the first on, as are looked at together: one at least, if there is one.
pub(crate) fn together(segments: &[Segment]) -> &[Segment] {
    let mut bytes = 0;
    let fitting = segments.iter().take_while(|segment| {
        bytes += segment.fragment_bytes as usize * segment.fragments.len();
        bytes <= TOGETHER_BYTES
    });
    &segments[..fitting.count().max(1).min(segments.len())]
}

impl Store {
    /// Looks at every fragment of these segments and heals what is not well; what came of each, in their order.
    pub(crate) async fn scrub_segments(
        &self,
        segments: &[Segment],
        unprovisioned: &mut BTreeSet<TenantId>,
    ) -> Vec<Result<Outcome, Problem>> {
        let mut looked = match self.look_at_all(segments).await {
            Ok(looked) => looked,
            Err(problem) => return segments.iter().map(|_| Err(problem.clone())).collect(),
        };
        self.judge_headers(&mut looked).await;
        let mut outcomes = Vec::with_capacity(segments.len());
        for (segment, looked) in segments.iter().zip(looked) {
            outcomes.push(match looked {
                Ok(Some(looked)) => self.mend(segment, looked, unprovisioned).await,
                Ok(None) => Ok(Outcome::default()),
                Err(problem) => Err(problem),
            });
        }
        outcomes
    }

    /// Reads all fragments; none of a segment that is gone.
    async fn look_at_all(
        &self,
        segments: &[Segment],
    ) -> Result<Vec<Result<Option<Looked>, Problem>>, Problem> {
        let patients = self.patients(segments).await?;
        let mut looked: Vec<Result<Option<Looked>, Problem>> = patients
            .into_iter()
            .map(|patient| patient.map(Looked::new).transpose())
            .collect();
        let mut wanted = Vec::new();
        for (at, looked) in looked.iter().enumerate() {
            let Ok(Some(looked)) = looked else { continue };
            let fragments = looked.patient.segment.fragments.iter();
            let stored = fragments.filter(|it| it.state == FragmentState::Stored);
            wanted.extend(stored.map(|it| (at, it.clone(), looked.shape)));
        }
        let looks = futures_util::stream::iter(wanted).map(|(at, fragment, shape)| async move {
            let (look, bytes) = self.look_at(&fragment, &segments[at], shape).await;
            (at, fragment, look, bytes)
        });
        let mut looks = std::pin::pin!(looks.buffer_unordered(AT_ONCE));
        while let Some((at, fragment, look, bytes)) = looks.next().await {
            let Ok(Some(looked)) = &mut looked[at] else {
                continue;
            };
            looked.outcome.bytes_read += bytes as u64;
            match look {
                Look::Sound(header) => {
                    looked.headers.insert(fragment.index, header);
                }
                Look::Damaged => {
                    tracing::error!(segment = ?segments[at].id, index = fragment.index, location = fragment.location, "a fragment is damaged");
                    looked.damaged.insert(fragment.index);
                }
                Look::Unknown => looked.outcome.unreached += 1,
            }
        }
        Ok(looked)
    }

    /// Has a coder say whose headers these are: one call for each datastore.
    async fn judge_headers(&self, all: &mut [Result<Option<Looked>, Problem>]) {
        let mut of_datastores: BTreeMap<DatastoreId, Vec<usize>> = BTreeMap::new();
        for (at, looked) in all.iter().enumerate() {
            if let Ok(Some(looked)) = looked {
                let of_datastore = of_datastores.entry(looked.patient.datastore.id);
                of_datastore.or_default().push(at);
            }
        }
        for places in of_datastores.into_values() {
            let held = places
                .iter()
                .filter_map(|&at| all[at].as_ref().ok()?.as_ref());
            let judged = self.judge(held.collect()).await;
            for (position, at) in places.into_iter().enumerate() {
                match (&judged, &mut all[at]) {
                    (Ok(bad), Ok(Some(looked))) => match bad.get(position) {
                        Some(Some(bad)) => looked.damaged.extend(bad),
                        _ => all[at] = Err(Problem::refused(Reason::Stored)),
                    },
                    (Err(problem), looked) => *looked = Err(problem.clone()),
                    _ => {}
                }
            }
        }
    }

    /// The indexes of headers that no coder of the tenant made for the segment; none where the segment itself is not the version's. All are of one
    /// datastore.
    async fn judge(&self, looked: Vec<&Looked>) -> Result<Vec<Option<Vec<u8>>>, Problem> {
        let Some(first) = looked.first() else {
            return Ok(Vec::new());
        };
        let datastore = &first.patient.datastore;
        let call = Call::VerifyHeaders(coder::VerifyHeaders {
            tenant: Bytes::copy_from_slice(&datastore.tenant.0),
            datastore: for_coder(datastore),
            segments: looked.iter().map(|it| it.held()).collect(),
        });
        let Reply::HeadersVerified(verified) =
            self.coders.call(datastore.tenant, call, &[]).await?.0
        else {
            return Err(unexpected());
        };
        let bad = verified.segments.into_iter().map(|it| {
            let index = |index: u32| u8::try_from(index).unwrap_or(u8::MAX);
            (!it.refused).then(|| it.bad.into_iter().map(index).collect())
        });
        Ok(bad.collect())
    }

    /// Heals a segment that was looked at, if there is something to heal.
    async fn mend(
        &self,
        segment: &Segment,
        looked: Looked,
        unprovisioned: &mut BTreeSet<TenantId>,
    ) -> Result<Outcome, Problem> {
        let Looked {
            patient,
            mut outcome,
            damaged,
            headers,
            ..
        } = looked;
        for index in damaged.iter().filter(|it| headers.contains_key(it)) {
            tracing::error!(segment = ?segment.id, index, "a fragment is not what was stored");
        }
        let is_missing = |it: &Fragment| it.state != FragmentState::Stored;
        if damaged.is_empty() && !patient.segment.fragments.iter().any(is_missing) {
            return Ok(outcome);
        }
        outcome.damaged += damaged.len() as u64;
        let healed = self.heal(segment, &damaged, unprovisioned).await?;
        outcome.add_healed(&healed);
        Ok(outcome)
    }

    /// Reads a fragment and compares its pieces with its header; and how many bytes were read.
    async fn look_at(&self, fragment: &Fragment, segment: &Segment, shape: Shape) -> (Look, usize) {
        let sites = self.locations.now();
        let site = sites.get(&fragment.location);
        let Some(site) = site.filter(|it| it.state != LocationState::Lost) else {
            return (Look::Unknown, 0);
        };
        let Ok(name) = FragmentName::new(&fragment.name) else {
            return (Look::Damaged, 0);
        };
        let patience = self.settings.location_patience;
        match site.read(&name, None, patience).await {
            Ok(body) => {
                let look = sound_header(&body, segment, shape).map_or(Look::Damaged, Look::Sound);
                (look, body.len())
            }
            Err(BackendError::NotFound | BackendError::Corrupt(_)) => (Look::Damaged, 0),
            Err(_) => (Look::Unknown, 0),
        }
    }
}

impl Looked {
    fn new(patient: Patient) -> Result<Self, Problem> {
        Ok(Self {
            shape: shape_of(&patient.policy.policy, &patient.segment)?,
            patient,
            outcome: Outcome::default(),
            headers: BTreeMap::new(),
            damaged: BTreeSet::new(),
        })
    }

    /// What a coder is to judge.
    fn held(&self) -> coder::HeldHeaders {
        let segment = &self.patient.segment;
        let headers = self.headers.iter();
        coder::HeldHeaders {
            version: Bytes::copy_from_slice(&segment.version.0),
            record: segment.record.clone(),
            headers: headers
                .map(|(index, header)| coder::HeldHeader {
                    index: u32::from(*index),
                    header: header.clone(),
                })
                .collect(),
        }
    }
}

/// The header of a fragment, if the pieces behind it are those that it names.
pub(crate) fn sound_header(body: &Bytes, segment: &Segment, shape: Shape) -> Option<Bytes> {
    if body.len() != segment.fragment_bytes as usize {
        return None;
    }
    let (header, length) = FragmentHeader::parse(body).ok()?;
    if length != shape.header_bytes() || header.blocks != shape.block_count() {
        return None;
    }
    let mut rest = &body[length..];
    for block in 0..shape.blocks() {
        let (piece, behind) = rest.split_at_checked(shape.piece_of(block))?;
        if !header.verify_piece(u16::try_from(block).ok()?, piece) {
            return None;
        }
        rest = behind;
    }
    // A copy: the header is kept for longer than the rest.
    Some(Bytes::copy_from_slice(&body[..length]))
}

#[cfg(test)]
mod tests {
    use sc_metadata::{SegmentId, VersionId};

    use super::*;

    fn segment(fragment_bytes: usize) -> Segment {
        let fragment = |index| Fragment {
            index,
            location: format!("site{index}"),
            name: format!("{index}"),
            state: FragmentState::Stored,
        };
        Segment {
            id: SegmentId([1; 32]),
            version: VersionId([2; 16]),
            part: 0,
            index: 0,
            plain_bytes: 1,
            record: Bytes::new(),
            fragment_bytes: u32::try_from(fragment_bytes).unwrap(),
            fragments: (0..4).map(fragment).collect(),
        }
    }

    #[test]
    fn as_many_are_looked_at_together_as_have_so_many_bytes_and_one_at_least() {
        let large = segment(TOGETHER_BYTES);
        let small = segment(TOGETHER_BYTES / 16);
        let counted = |segments: &[Segment]| together(segments).len();

        assert_eq!(counted(&[]), 0);
        assert_eq!(counted(&vec![large.clone(); 3]), 1);
        assert_eq!(counted(&vec![small.clone(); 3]), 3);
        // The first of them counts, too.
        assert_eq!(counted(&vec![small.clone(); 9]), 4);
        assert_eq!(counted(&[small.clone(), large, small]), 1);
    }
}
