//! Fragments that are lost, made again of others. No client asks for it.
//!
//! Invariant: a fragment is made of verified ones alone, and is what the code makes, byte for byte, unless others that were recoded would
//! not rebuild with it; no segment's key is used.
//! Source: `docs/FORMATS.md`, "Storage: repair".

use sc_crypto::Secret;
use sc_erasure::{Code, Decoder, FragmentHeader, Shape, coefficients_beside, hash_piece};
use sc_proto::coder;

use crate::brought::{Brought, Expected};
use crate::datastore::Datastore;
use crate::keys;
use crate::message::HEAD_ROOM;
use crate::record::Record;
use crate::refused::{Refused, array};
use crate::segment::{Codes, Fragments, REPLY_MAX};
use crate::tags::Tagger;
use crate::tenant::Tenant;

/// A segment that the host asks a repair of, known to be one of the tenant's.
pub(crate) struct Patient {
    pub(crate) record: Record,
    /// The version's secret.
    pub(crate) secret: Secret,
    pub(crate) fragments: Fragments,
}

impl Patient {
    /// Opens what the catalogue has of it.
    pub(crate) fn open(
        tenant: &Tenant,
        datastore: Option<&coder::Datastore>,
        version: &[u8],
        stored: &[u8],
    ) -> Result<Self, Refused> {
        let name = datastore.map_or("", |it| &it.name);
        let datastore = Datastore::open(tenant, datastore, name)?;
        Self::of(&datastore, version, stored)
    }

    /// The same of a datastore that is open.
    pub(crate) fn of(
        datastore: &Datastore,
        version: &[u8],
        stored: &[u8],
    ) -> Result<Self, Refused> {
        let version: [u8; 16] = array(version)?;
        let secret = keys::version(&datastore.key, &version);
        let record = Record::parse(stored)?;
        // Whether it is authentic; the key is for reading.
        drop(record.open(stored, &version, &secret)?);
        let shape = Shape::new(record.plain_bytes as usize, record.redundancy);
        let fragments = Fragments {
            segment: record.segment,
            version,
            shape: shape.ok_or(Refused::STORED)?,
            mac_key: keys::fragments(&secret, &record.segment),
        };
        Ok(Self {
            record,
            secret,
            fragments,
        })
    }

    /// What its fragments have to be.
    pub(crate) fn expected(&self) -> Expected<'_> {
        let fragments = &self.fragments;
        Expected {
            record: &self.record,
            version: &fragments.version,
            mac_key: &fragments.mac_key,
            shape: fragments.shape,
            blocks: 0..fragments.shape.blocks(),
        }
    }
}

/// Verifies the fragments that the host has brought, and makes those that it misses; these are appended to `bulk`.
pub(crate) fn repair(
    tenant: &Tenant,
    call: &coder::RepairSegment,
    pieces: &[u8],
    codes: &Codes,
    bulk: &mut Vec<u8>,
) -> Result<coder::SegmentRepaired, Refused> {
    let patient = Patient::open(tenant, call.datastore.as_ref(), &call.version, &call.record)?;
    let expected = patient.expected();
    let shape = expected.shape;
    let (brought, rest) = Brought::take(&expected, &call.fragments, pieces)?;
    if !rest.is_empty() {
        return Err(Refused::MALFORMED);
    }
    let (others, mut bad) = expected.headers(&call.others)?;
    let missing = missing(call, shape)?;
    bad.extend(&brought.bad);
    let repaired = coder::SegmentRepaired {
        fragment_bytes: fragment_bytes(shape),
        bad,
    };
    if !missing.is_empty() && repaired.bad.is_empty() {
        Repair {
            fragments: &patient.fragments,
            brought: &brought,
            others: &others,
            missing: &missing,
        }
        .make(codes, bulk)?;
    }
    Ok(repaired)
}

/// Bytes of a fragment, as replies have it.
pub(crate) fn fragment_bytes(shape: Shape) -> u32 {
    u32::try_from(shape.fragment_bytes()).expect("a fragment is a few megabytes")
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
    /// Of fragments that there are beside those brought.
    others: &'r [FragmentHeader],
    missing: &'r [u8],
}

impl Repair<'_> {
    fn make(&self, codes: &Codes, bulk: &mut Vec<u8>) -> Result<(), Refused> {
        let shape = self.fragments.shape;
        let code = codes.prepare(shape.redundancy());
        let decoder = self.brought.decoder(&code).map_err(|_| Refused::STORED)?;
        let (header_bytes, fragment_bytes) = (shape.header_bytes(), shape.fragment_bytes());
        let bytes = self.missing.len() * fragment_bytes;
        if bytes > REPLY_MAX {
            return Err(Refused::LIMIT);
        }
        bulk.clear();
        bulk.reserve_exact(bytes + HEAD_ROOM);
        bulk.resize(bytes, 0);
        let mut headers = self.headers(&code, &decoder);
        let is_own =
            |header: &FragmentHeader| header.coefficients == code.coefficients(header.index);

        // Ciphertext: it is not wiped.
        let mut block_bytes = Vec::with_capacity(shape.sealed_of(0));
        let coded = code.coded();
        let wants_coded = headers
            .iter()
            .any(|header| coded.contains(&header.index) && is_own(header));
        let coded_count = if wants_coded { coded.len() } else { 0 };
        let mut coded_pieces = vec![0; coded_count * shape.piece_of(0)];
        let mut at = 0;
        for block in 0..shape.blocks() {
            let piece_bytes = shape.piece_of(block);
            block_bytes.resize(shape.sealed_of(block), 0);
            decoder.decode(&self.brought.pieces(at, piece_bytes), &mut block_bytes);
            let mut pieces: Vec<&mut [u8]> = coded_pieces
                .chunks_exact_mut(piece_bytes)
                .take(coded_count)
                .collect();
            if wants_coded {
                code.encode_coded(&block_bytes, &mut pieces);
            }
            let made = bulk.chunks_exact_mut(fragment_bytes);
            for (fragment, header) in made.zip(&mut headers) {
                let piece = &mut fragment[header_bytes + at..][..piece_bytes];
                match code.source(header.index, block_bytes.len()) {
                    _ if !is_own(header) => {
                        code.encode_by(&header.coefficients, &block_bytes, piece);
                    }
                    // What is behind it is padding, and zero.
                    Some(source) => piece[..source.len()].copy_from_slice(&block_bytes[source]),
                    None => piece.copy_from_slice(pieces[usize::from(header.index - coded.start)]),
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

    /// The headers of what is missing, without hashes and MAC: each with coefficients that rebuild beside all others, and with tags that
    /// are rebuilt as blocks are.
    fn headers(&self, code: &Code, decoder: &Decoder) -> Vec<FragmentHeader> {
        let tag_pieces = self.brought.tags();
        let has_tags = tag_pieces.iter().any(|tags| !tags.is_empty());
        let mut tags = Tagger::room(self.fragments.shape);
        if has_tags {
            decoder.decode(&tag_pieces, &mut tags);
        }
        let brought = self.brought.good.iter().map(|it| &it.header);
        let mut there: Vec<(u8, Vec<u8>)> = Vec::new();
        for header in brought.chain(self.others) {
            if there.iter().all(|(index, _)| *index != header.index) {
                there.push((header.index, header.coefficients.clone()));
            }
        }
        let mut headers = Vec::with_capacity(self.missing.len());
        for &index in self.missing {
            let others = there.iter().filter(|(other, _)| *other != index);
            let others: Vec<(u8, &[u8])> = others.map(|(other, it)| (*other, &**it)).collect();
            let mut header = self.fragments.header(code, index);
            header.coefficients = coefficients_beside(code, index, &others);
            if has_tags {
                let tag_bytes = code.redundancy().piece_bytes(tags.len());
                header.tags.resize(tag_bytes, 0);
                code.encode_by(&header.coefficients, &tags, &mut header.tags);
            }
            there.retain(|(other, _)| *other != index);
            there.push((index, header.coefficients.clone()));
            headers.push(header);
        }
        headers
    }
}
