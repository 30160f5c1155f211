//! Fragments that are lost, made again of others. No client asks for it.
//!
//! Invariant: a fragment is made of verified ones alone, and is what was lost, byte for byte; no segment's key is used.
//! Source: `docs/FORMATS.md`, "Storage: repair".

use sc_erasure::{FragmentHeader, Shape, hash_piece};
use sc_proto::coder;

use crate::brought::{Brought, Expected};
use crate::datastore::Datastore;
use crate::keys;
use crate::message::HEAD_ROOM;
use crate::record::Record;
use crate::refused::{Refused, array};
use crate::segment::{Codes, Fragments, REPLY_MAX};
use crate::tenant::Tenant;

/// Verifies the fragments that the host has brought, and makes those that it misses; these are appended to `bulk`.
pub(crate) fn repair(
    tenant: &Tenant,
    call: &coder::RepairSegment,
    pieces: &[u8],
    codes: &Codes,
    bulk: &mut Vec<u8>,
) -> Result<coder::SegmentRepaired, Refused> {
    let version: [u8; 16] = array(&call.version)?;
    let name = call.datastore.as_ref().map_or("", |it| &it.name);
    let datastore = Datastore::open(tenant, call.datastore.as_ref(), name)?;
    let secret = keys::version(&datastore.key, &version);
    let record = Record::parse(&call.record)?;
    // Whether it is authentic; the key is for reading.
    drop(record.open(&call.record, &version, &secret)?);
    let shape = Shape::new(record.plain_bytes as usize, record.redundancy);
    let shape = shape.ok_or(Refused::STORED)?;
    let fragments = Fragments {
        segment: record.segment,
        version,
        shape,
        mac_key: keys::fragments(&secret, &record.segment),
    };
    let expected = Expected {
        record: &record,
        version: &version,
        mac_key: &fragments.mac_key,
        shape,
        blocks: if call.headers {
            0..0
        } else {
            0..shape.blocks()
        },
    };
    let (brought, rest) = Brought::take(&expected, &call.fragments, pieces)?;
    if !rest.is_empty() {
        return Err(Refused::MALFORMED);
    }
    let missing = missing(call, shape)?;
    if call.headers && !missing.is_empty() {
        return Err(Refused::MALFORMED);
    }
    let number = |bytes: usize| u32::try_from(bytes).expect("a fragment is a few megabytes");
    let repaired = coder::SegmentRepaired {
        fragment_bytes: number(shape.header_bytes() + shape.body_bytes()),
        bad: brought.bad.clone(),
    };
    if !missing.is_empty() && repaired.bad.is_empty() {
        Repair {
            fragments: &fragments,
            brought: &brought,
            missing: &missing,
        }
        .make(codes, bulk)?;
    }
    Ok(repaired)
}

/// The indexes to be made, ascending.
fn missing(call: &coder::RepairSegment, shape: Shape) -> Result<Vec<u8>, Refused> {
    let missing = call.missing.iter().map(|&index| u8::try_from(index).ok());
    let missing: Option<Vec<u8>> = missing.collect();
    let missing = missing.ok_or(Refused::MALFORMED)?;
    let total = shape.redundancy().total();
    let is_ascending = missing.is_sorted_by(|one, next| one < next);
    if !is_ascending || missing.last().is_some_and(|&last| last >= total) {
        return Err(Refused::MALFORMED);
    }
    Ok(missing)
}

struct Repair<'r> {
    fragments: &'r Fragments,
    brought: &'r Brought<'r>,
    missing: &'r [u8],
}

impl Repair<'_> {
    fn make(&self, codes: &Codes, bulk: &mut Vec<u8>) -> Result<(), Refused> {
        let shape = self.fragments.shape;
        let code = codes.prepare(shape.redundancy());
        let decoder = self.brought.decoder(&code).map_err(|_| Refused::STORED)?;
        let (header_bytes, body_bytes) = (shape.header_bytes(), shape.body_bytes());
        let fragment_bytes = header_bytes + body_bytes;
        let bytes = self.missing.len() * fragment_bytes;
        if bytes > REPLY_MAX {
            return Err(Refused::LIMIT);
        }
        bulk.clear();
        bulk.reserve_exact(bytes + HEAD_ROOM);
        bulk.resize(bytes, 0);
        let mut headers: Vec<FragmentHeader> = self
            .missing
            .iter()
            .map(|&index| self.fragments.header(&code, index))
            .collect();

        // Ciphertext: it is not wiped.
        let mut block_bytes = Vec::with_capacity(shape.sealed_of(0));
        let coded = code.coded();
        let wants_coded = self.missing.iter().any(|index| coded.contains(index));
        let mut coded_pieces = vec![
            0;
            if wants_coded {
                coded.len() * shape.piece_of(0)
            } else {
                0
            }
        ];
        let mut at = 0;
        for block in 0..shape.blocks() {
            let piece_bytes = shape.piece_of(block);
            block_bytes.resize(shape.sealed_of(block), 0);
            decoder.decode(&self.brought.pieces(at, piece_bytes), &mut block_bytes);
            let mut pieces: Vec<&mut [u8]> = coded_pieces
                .chunks_exact_mut(piece_bytes)
                .take(coded.len())
                .collect();
            if wants_coded {
                code.encode_coded(&block_bytes, &mut pieces);
            }
            let made = bulk.chunks_exact_mut(fragment_bytes);
            for ((fragment, &index), header) in made.zip(self.missing).zip(&mut headers) {
                let piece = &mut fragment[header_bytes + at..][..piece_bytes];
                match code.source(index, block_bytes.len()) {
                    // What is behind it is padding, and zero.
                    Some(source) => piece[..source.len()].copy_from_slice(&block_bytes[source]),
                    None => piece.copy_from_slice(pieces[usize::from(index - coded.start)]),
                }
                header.hashes.push(hash_piece(piece));
            }
            at += piece_bytes;
        }
        for (fragment, header) in bulk.chunks_exact_mut(fragment_bytes).zip(&mut headers) {
            fragment[..header_bytes].copy_from_slice(&self.fragments.authenticate(header));
        }
        Ok(())
    }
}
