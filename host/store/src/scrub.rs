//! Segments are scrubbed: every fragment is read and verified, and what is damaged or gone is made again.
//!
//! Invariant: that the pieces of a fragment are what its header says is computed here, and that a coder of the tenant made the header is
//! the coder's word; a fragment is damaged where either fails, and is not judged where its location does not answer.

use std::collections::BTreeSet;

use bytes::Bytes;
use sc_backend::{BackendError, FragmentName};
use sc_erasure::{FragmentHeader, Shape};
use sc_metadata::{Fragment, FragmentState, LocationState, Segment, TenantId};
use sc_proto::coder::{self, call::Call, reply::Reply};

use crate::error::Problem;
use crate::get::shape_of;
use crate::jobs::Outcome;
use crate::put::unexpected;
use crate::repair::State;
use crate::store::{Store, for_coder};

/// What a look at one fragment came to.
enum Look {
    /// Its pieces are what its header says; the header's bytes, which a coder has still to judge.
    Sound(Bytes),
    Damaged,
    /// Its location did not answer.
    Unknown,
}

impl Store {
    /// Looks at every fragment of a segment and heals what is not well.
    pub(crate) async fn scrub_segment(
        &self,
        segment: &Segment,
        unprovisioned: &mut BTreeSet<TenantId>,
    ) -> Result<Outcome, Problem> {
        let mut outcome = Outcome::default();
        let Some(patient) = self.patient(segment, &BTreeSet::new()).await? else {
            return Ok(outcome);
        };
        let shape = shape_of(&patient.policy.policy, &patient.segment)?;
        let mut damaged = BTreeSet::new();
        let mut headers = Vec::new();
        for fragment in &patient.segment.fragments {
            if fragment.state != FragmentState::Stored {
                continue;
            }
            match self.look_at(fragment, segment, shape, &mut outcome).await {
                Look::Sound(header) => headers.push((fragment.index, header)),
                Look::Damaged => {
                    tracing::error!(segment = ?segment.id, index = fragment.index, location = fragment.location, "a fragment is damaged");
                    damaged.insert(fragment.index);
                }
                Look::Unknown => outcome.unreached += 1,
            }
        }
        let call = coder::RepairSegment {
            tenant: Bytes::copy_from_slice(&patient.datastore.tenant.0),
            datastore: for_coder(&patient.datastore),
            version: Bytes::copy_from_slice(&segment.version.0),
            record: segment.record.clone(),
            fragments: headers
                .iter()
                .map(|(index, header)| coder::FragmentPieces {
                    index: u32::from(*index),
                    header_bytes: u32::try_from(header.len()).expect("a header is short"),
                    piece_bytes: 0,
                })
                .collect(),
            missing: Vec::new(),
            others: Vec::new(),
            headers: true,
        };
        let bulk: Vec<Bytes> = headers.into_iter().map(|(_, header)| header).collect();
        let tenant = patient.datastore.tenant;
        let call = Call::RepairSegment(call);
        let Reply::SegmentRepaired(verified) = self.coders.call(tenant, call, &bulk).await?.0
        else {
            return Err(unexpected());
        };
        for index in verified.bad {
            tracing::error!(segment = ?segment.id, index, "a fragment is not what was stored");
            damaged.insert(u8::try_from(index).unwrap_or(u8::MAX));
        }
        let is_missing = |it: &Fragment| it.state != FragmentState::Stored;
        if damaged.is_empty() && !patient.segment.fragments.iter().any(is_missing) {
            return Ok(outcome);
        }
        outcome.damaged += damaged.len() as u64;
        let healed = self.heal(segment, &damaged, unprovisioned).await?;
        outcome.add_healed(&healed);
        if healed.state == State::Partly {
            outcome.problem = Some("a segment misses fragments that no location takes".into());
        }
        Ok(outcome)
    }

    async fn look_at(
        &self,
        fragment: &Fragment,
        segment: &Segment,
        shape: Shape,
        outcome: &mut Outcome,
    ) -> Look {
        let sites = self.locations.now();
        let site = sites.get(&fragment.location);
        let Some(site) = site.filter(|it| it.state != LocationState::Lost) else {
            return Look::Unknown;
        };
        let Ok(name) = FragmentName::new(&fragment.name) else {
            return Look::Damaged;
        };
        let patience = self.settings.location_patience;
        match site.read(&name, None, patience).await {
            Ok(body) => {
                outcome.bytes_read += body.len() as u64;
                match sound_header(&body, segment, shape) {
                    Some(header) => Look::Sound(header),
                    None => Look::Damaged,
                }
            }
            Err(BackendError::NotFound | BackendError::Corrupt(_)) => Look::Damaged,
            Err(_) => Look::Unknown,
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
    Some(body.slice(..length))
}
