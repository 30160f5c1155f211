//! What was found at locations, verified: so that a catalogue can be made again, or that fragments are known to be sound. No client asks for it.
//!
//! Invariant: what is said of a manifest is what the host's catalogue had of it before: lengths, numbers, segments with their sealed records,
//! blind tags. No plaintext leaves, and no name but those that the host has brought.
//! Source: `docs/FORMATS.md`, "Storage: what lies at locations".

use bytes::Bytes;
use sc_proto::coder;

use crate::convert::placing;
use crate::datastore::Datastore;
use crate::manifest::{Body, open_head, verify_removal};
use crate::record::Record;
use crate::refused::{Refused, array};
use crate::repair::Patient;
use crate::tenant::Tenant;
use crate::vault;

/// Manifests, removals, records, or segments with headers, in one call.
pub(crate) const TOGETHER_MAX: usize = 4096;

fn is_bounded(count: usize) -> Result<(), Refused> {
    if count <= TOGETHER_MAX {
        Ok(())
    } else {
        Err(Refused::LIMIT)
    }
}

fn open(tenant: &Tenant, stored: Option<&coder::Datastore>) -> Result<Datastore, Refused> {
    let name = stored.map_or("", |it| &it.name);
    Datastore::open(tenant, stored, name)
}

/// Names the headers that no coder of the tenant has made for their segment. A segment that is refused spoils no other.
///
/// # Errors
/// The datastore's key does not open; more than [`TOGETHER_MAX`] segments.
pub(crate) fn headers(
    tenant: &Tenant,
    call: &coder::VerifyHeaders,
) -> Result<coder::HeadersVerified, Refused> {
    is_bounded(call.segments.len())?;
    let datastore = open(tenant, call.datastore.as_ref())?;
    let segments = call.segments.iter().map(|held| {
        bad_headers(&datastore, held).unwrap_or(coder::BadHeaders {
            refused: true,
            bad: Vec::new(),
        })
    });
    Ok(coder::HeadersVerified {
        segments: segments.collect(),
    })
}

fn bad_headers(
    datastore: &Datastore,
    held: &coder::HeldHeaders,
) -> Result<coder::BadHeaders, Refused> {
    let patient = Patient::of(datastore, &held.version, &held.record)?;
    let (_, bad) = patient.expected().headers(&held.headers)?;
    Ok(coder::BadHeaders {
        refused: false,
        bad,
    })
}

/// Opens each manifest under the datastore's key, and says what of it a catalogue has.
pub(crate) fn manifests(
    tenant: &Tenant,
    call: &coder::VerifyManifests,
) -> Result<coder::ManifestsVerified, Refused> {
    is_bounded(call.manifests.len())?;
    let datastore = open(tenant, call.datastore.as_ref())?;
    let manifests = call.manifests.iter();
    let manifests = manifests.map(|found| manifest(&datastore, found).unwrap_or_default());
    Ok(coder::ManifestsVerified {
        manifests: manifests.collect(),
    })
}

fn manifest(
    datastore: &Datastore,
    found: &coder::FoundManifest,
) -> Result<coder::VerifiedManifest, Refused> {
    let _: [u8; 16] = array(&found.version)?;
    let head = open_head(datastore, &found.key, &found.version, &found.head)?;
    if head.placing != placing(&found.manifest, found.placed, &found.segments) {
        return Err(Refused::STORED);
    }
    let segments = if head.marker {
        Vec::new()
    } else {
        let body = Body::open(datastore, &found.key, &head, &found.body)?;
        body.records().map(segment).collect::<Result<_, _>>()?
    };
    let lengths = segments.iter().map(|it| u64::from(it.plain_bytes));
    if lengths.sum::<u64>() != head.bytes {
        return Err(Refused::STORED);
    }
    let tags = head.object.iter().flat_map(|object| &object.tags);
    let tags = tags.filter_map(|tag| datastore.blind(tag));
    Ok(coder::VerifiedManifest {
        authentic: true,
        marker: head.marker,
        number: head.number,
        bytes: head.bytes,
        created_ms: head.created_ms,
        tags: tags.map(|tag| Bytes::copy_from_slice(&tag)).collect(),
        segments,
    })
}

fn segment(stored: &[u8]) -> Result<coder::VerifiedSegment, Refused> {
    let record = Record::parse(stored)?;
    Ok(coder::VerifiedSegment {
        segment: Bytes::copy_from_slice(&record.segment),
        part: record.part,
        index: record.index,
        plain_bytes: record.plain_bytes,
        redundancy: Some(coder::Redundancy {
            code: record.redundancy.code_id().into(),
            data: record.redundancy.data().into(),
            total: record.redundancy.total().into(),
            subpackets: record.redundancy.subpackets().into(),
        }),
        record: Bytes::copy_from_slice(stored),
    })
}

/// Whether each removal is one that a coder of the tenant has made.
pub(crate) fn removals(
    tenant: &Tenant,
    call: &coder::VerifyRemovals,
) -> Result<coder::Verified, Refused> {
    is_bounded(call.removals.len())?;
    let datastore = open(tenant, call.datastore.as_ref())?;
    let each = call.removals.iter();
    Ok(coder::Verified {
        authentic: each
            .map(|found| verify_removal(&datastore, found))
            .collect(),
    })
}

/// Whether each record opens under its kind and id.
pub(crate) fn records(
    tenant: &Tenant,
    call: &coder::VerifyRecords,
) -> Result<coder::Verified, Refused> {
    is_bounded(call.records.len())?;
    let opens = |it: &coder::FoundRecord| vault::unseal(tenant, &it.kind, &it.id, &it.record);
    let each = call.records.iter();
    Ok(coder::Verified {
        authentic: each.map(|found| opens(found).is_ok()).collect(),
    })
}
