//! What was stored by one code, coded by another: its sealed blocks are rebuilt, not opened. No client asks for it.
//!
//! Invariant: fragments are made of verified ones alone; a segment keeps its id and its key, and a version what it says.
//! Source: `docs/FORMATS.md`, "Storage: moves".

use bytes::Bytes;
use sc_crypto::{Entropy, Transcript, wipe};
use sc_erasure::Shape;
use sc_proto::coder;

use crate::brought::{Brought, Expected};
use crate::datastore::Datastore;
use crate::keys;
use crate::manifest::{BODY, Body, open_head, seal_head};
use crate::record::Record;
use crate::refused::{Refused, array};
use crate::segment::{Codes, Fragments, redundancy};
use crate::tags::Tagger;
use crate::tenant::Tenant;

/// Verifies the fragments that the host has brought, and codes what they hold by another code; the reply's bulk takes the place of
/// whatever `bulk` holds.
pub(crate) fn convert(
    tenant: &Tenant,
    call: &coder::ConvertSegment,
    pieces: &[u8],
    codes: &Codes,
    bulk: &mut Vec<u8>,
    entropy: &mut dyn Entropy,
) -> Result<coder::SegmentSealed, Refused> {
    let version: [u8; 16] = array(&call.version)?;
    let name = call.datastore.as_ref().map_or("", |it| &it.name);
    let datastore = Datastore::open(tenant, call.datastore.as_ref(), name)?;
    let secret = keys::version(&datastore.key, &version);
    let record = Record::parse(&call.record)?;
    let segment_key = record.unwrap(&call.record, &version, &secret)?;
    let redundancy = redundancy(call.redundancy.as_ref())?;
    let plain_bytes = record.plain_bytes as usize;
    let before = Shape::new(plain_bytes, record.redundancy).ok_or(Refused::STORED)?;
    let shape = Shape::new(plain_bytes, redundancy).ok_or(Refused::LIMIT)?;
    let mac_key = keys::fragments(&secret, &record.segment);
    let expected = Expected {
        record: &record,
        version: &version,
        mac_key: &mac_key,
        shape: before,
        blocks: 0..before.blocks(),
    };
    let (brought, rest) = Brought::take(&expected, &call.fragments, pieces)?;
    if !rest.is_empty() {
        return Err(Refused::MALFORMED);
    }
    if !brought.bad.is_empty() {
        bulk.clear();
        return Ok(coder::SegmentSealed {
            bad: brought.bad,
            ..Default::default()
        });
    }
    let decoder = brought
        .decoder(&codes.prepare(record.redundancy))
        .map_err(|_| Refused::STORED)?;
    let fragments = Fragments {
        segment: record.segment,
        version,
        shape,
        mac_key: mac_key.duplicate(),
    };
    let tagger = Tagger::new(&secret, &record.segment, shape, codes.kernel());
    let (code, mut at) = (codes.prepare(redundancy), 0);
    // Ciphertext: it is not wiped.
    let made = fragments.make(&code, tagger.as_ref(), bulk, |block, sealed| {
        let piece_bytes = before.piece_of(block);
        sealed.resize(before.sealed_of(block), 0);
        decoder.decode(&brought.pieces(at, piece_bytes), sealed);
        at += piece_bytes;
        Ok(())
    })?;
    let record = Record {
        redundancy,
        ..record
    };
    let mut name = [0; 32];
    entropy.fill(&mut name);
    Ok(coder::SegmentSealed {
        segment: Bytes::copy_from_slice(&name),
        record: record.seal(&version, &secret, &segment_key).into(),
        plain_bytes: record.plain_bytes,
        header_bytes: made.header_bytes,
        fragment_bytes: made.fragment_bytes,
        sealed: None,
        bad: Vec::new(),
    })
}

/// What a head says of where its version lies: no location can say otherwise. Empty for one that was never moved.
pub(crate) fn placing(manifest: &[u8], placed: u64, segments: &[Bytes]) -> Bytes {
    if manifest.is_empty() && placed == 0 && segments.is_empty() {
        return Bytes::new();
    }
    let begin = Transcript::new("storage placing")
        .bytes(manifest)
        .u64(placed);
    let said = segments.iter().fold(begin, |said, it| said.bytes(it));
    Bytes::copy_from_slice(&said.hash256())
}

/// Seals a version's manifest anew, with other records of the same segments.
pub(crate) fn move_manifest(
    tenant: &Tenant,
    call: &coder::MoveManifest,
    entropy: &mut dyn Entropy,
) -> Result<coder::ManifestMoved, Refused> {
    let version: [u8; 16] = array(&call.version)?;
    let name = call.datastore.as_ref().map_or("", |it| &it.name);
    let datastore = Datastore::open(tenant, call.datastore.as_ref(), name)?;
    let secret = keys::version(&datastore.key, &version);
    let mut head = open_head(&datastore, &call.key, &version, &call.head)?;
    let body = Body::open(&datastore, &call.key, &head, &call.body)?;
    if head.marker || call.records.len() != head.segments as usize {
        return Err(Refused::MALFORMED);
    }
    for (moved, before) in call.records.iter().zip(body.records()) {
        let (record, before) = (Record::parse(moved)?, Record::parse(before)?);
        record.open(moved, &version, &secret)?;
        // Of the same segment, and made for this version: it has the same key.
        let is_the_same = before
            == Record {
                redundancy: before.redundancy,
                ..record
            };
        if !is_the_same {
            return Err(Refused::STORED);
        }
    }
    let _: [u8; 16] = array(&call.manifest)?;
    if call.segments.len() != call.records.len() {
        return Err(Refused::MALFORMED);
    }
    head.placing = placing(&call.manifest, call.placed, &call.segments);
    head.policy.clone_from(&call.policy);
    let mut body = Body::encode(&version, head.number, &call.records);
    let sealed_body = datastore.seal(BODY, &call.key, &version, &body, entropy);
    wipe(&mut body);
    Ok(coder::ManifestMoved {
        head: seal_head(&datastore, &head, entropy)?,
        body: sealed_body,
    })
}
