//! Segments: a client's blocks are opened, sealed at rest under a fresh key, and coded into fragments.
//!
//! Invariant: a segment's key is drawn in the call that seals it and seals each block once, in order; a segment is never gone on with.
//! Source: `docs/FORMATS.md`, "Storage: segments".

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use sc_crypto::kdf::{mac, verify_mac};
use sc_crypto::{AeadKey, Entropy, Nonce, NotAuthentic, Plaintext, Secret, TAG_BYTES};
use sc_erasure::{Code, FragmentHeader, Kernel, Redundancy, Shape, hash_piece};
use sc_proto::coder;
use sc_proto::storage::{self, operation::Operation as Kind};

use crate::datastore::Datastore;
use crate::keys;
use crate::manifest::check_key;
use crate::message::HEAD_ROOM;
use crate::record::Record;
use crate::refused::{Refused, array};
use crate::request::{Request, target};
use crate::tags::{self, Tagger};
use crate::tenant::Tenant;

/// Fragments of one segment together, in bytes: what a reply at the door can carry.
pub(crate) const REPLY_MAX: usize = 192 << 20;
/// Prepared codes that are kept.
const CODES_MAX: usize = 64;

/// Codes that were used, prepared, and the kernel that runs them.
pub(crate) struct Codes {
    kernel: Kernel,
    prepared: Mutex<BTreeMap<[u8; 4], Arc<Code>>>,
}

impl Codes {
    pub(crate) fn new(kernel: Kernel) -> Self {
        Self {
            kernel,
            prepared: Mutex::default(),
        }
    }

    pub(crate) fn kernel(&self) -> Kernel {
        self.kernel
    }

    pub(crate) fn prepare(&self, redundancy: Redundancy) -> Arc<Code> {
        let name = crate::record::code(redundancy);
        let held = self.prepared.lock().expect("no holder of this lock panics");
        if let Some(code) = held.get(&name) {
            return Arc::clone(code);
        }
        drop(held);
        // Preparing takes milliseconds for some codes: not under the lock.
        let code = Arc::new(Code::new(redundancy, self.kernel));
        let mut held = self.prepared.lock().expect("no holder of this lock panics");
        if held.len() >= CODES_MAX {
            held.clear();
        }
        held.insert(name, Arc::clone(&code));
        code
    }
}

/// Nonce and associated data of block `block` at rest.
pub(crate) fn at_rest(segment: &[u8; 32], block: usize, blocks: usize) -> (Nonce, [u8; 37]) {
    let number = u32::try_from(block).expect("a segment has few blocks");
    let mut context = [0; 37];
    context[..32].copy_from_slice(segment);
    context[32..36].copy_from_slice(&number.to_le_bytes());
    context[36] = u8::from(block + 1 == blocks);
    (Nonce::counter(u64::from(number)), context)
}

/// Seals and codes the blocks of a `PutObject` or `PutSegment`; the reply's bulk takes the place of whatever `bulk` holds.
pub(crate) fn seal(
    tenant: &Tenant,
    request: &Request,
    call: &coder::SealSegment,
    blocks: &Bytes,
    codes: &Codes,
    bulk: &mut Vec<u8>,
    entropy: &mut dyn Entropy,
) -> Result<coder::SegmentSealed, Refused> {
    let target = target(&request.operation)?;
    let (plain_bytes, part, index) = match &request.operation {
        Kind::PutObject(it) => (it.bytes, 0, 0),
        Kind::PutSegment(it) => (it.bytes, it.part, it.index),
        _ => return Err(Refused::MALFORMED),
    };
    check_key(target.key)?;
    let redundancy = redundancy(call.redundancy.as_ref())?;
    let shape = Shape::new(plain_bytes as usize, redundancy).ok_or(Refused::LIMIT)?;
    if blocks.len() != crate::sealed_bytes(plain_bytes as usize) {
        return Err(Refused::MALFORMED);
    }
    let version: [u8; 16] = array(target.version)?;
    let datastore = Datastore::open(tenant, call.datastore.as_ref(), target.datastore)?;
    let secret = keys::version(&datastore.key, &version);

    let mut segment = [0; 32];
    entropy.fill(&mut segment);
    let segment_key = Secret::random(entropy);
    let record = Record {
        segment,
        part,
        index,
        plain_bytes,
        redundancy,
    };
    let fragments = Fragments {
        segment,
        version,
        shape,
        mac_key: keys::fragments(&secret, &segment),
    };
    let code = codes.prepare(redundancy);
    let key = AeadKey::new(&segment_key);
    let tagger = Tagger::new(&secret, &segment, shape, codes.kernel());
    // The first block is the longest. Room is overwritten when it goes, used or not: no more than is needed.
    let mut plain = Plaintext::new(Vec::with_capacity(shape.sealed_of(0) - TAG_BYTES));
    let mut from = 0;
    let made = fragments.make(&code, tagger.as_ref(), bulk, |block, sealed| {
        let travelling = &blocks[from..from + shape.sealed_of(block)];
        from += travelling.len();
        let number = u32::try_from(block).expect("a segment has few blocks");
        request.open_block(number, travelling, &mut plain)?;
        let (nonce, context) = at_rest(&segment, block, shape.blocks());
        key.seal_into(nonce, &context, &plain, sealed);
        Ok(())
    })?;
    let receipt = storage::SegmentReceipt {
        segment: Bytes::copy_from_slice(&segment),
        bytes: plain_bytes,
    };
    Ok(coder::SegmentSealed {
        segment: receipt.segment.clone(),
        record: record.seal(&version, &secret, &segment_key).into(),
        plain_bytes,
        header_bytes: made.header_bytes,
        fragment_bytes: made.fragment_bytes,
        sealed: Some(request.reply(&receipt, entropy)),
        bad: Vec::new(),
    })
}

pub(crate) fn redundancy(message: Option<&coder::Redundancy>) -> Result<Redundancy, Refused> {
    let it = message.ok_or(Refused::MALFORMED)?;
    let small = |number: u32| u8::try_from(number).map_err(|_| Refused::MALFORMED);
    let (code, data) = (small(it.code)?, small(it.data)?);
    Redundancy::from_parts(code, data, small(it.total)?, small(it.subpackets)?)
        .map_err(|_| Refused::MALFORMED)
}

/// The lengths of fragments that were made.
pub(crate) struct Made {
    pub(crate) header_bytes: u32,
    pub(crate) fragment_bytes: u32,
}

/// The fragments of one segment, about to be made.
pub(crate) struct Fragments {
    pub(crate) segment: [u8; 32],
    pub(crate) version: [u8; 16],
    pub(crate) shape: Shape,
    pub(crate) mac_key: Secret,
}

impl Fragments {
    /// Codes the blocks, piece by piece into the places where the pieces stay: `next` gives each one, sealed at rest, in order. Where their
    /// packets are recoded, `tagger` tags them.
    pub(crate) fn make(
        &self,
        code: &Code,
        tagger: Option<&Tagger>,
        bulk: &mut Vec<u8>,
        mut next: impl FnMut(usize, &mut Vec<u8>) -> Result<(), Refused>,
    ) -> Result<Made, Refused> {
        let shape = self.shape;
        let total = usize::from(shape.redundancy().total());
        let mut headers: Vec<FragmentHeader> = (0..shape.redundancy().total())
            .map(|index| self.header(code, index))
            .collect();
        let header_bytes = shape.header_bytes();
        // Copies are all alike: their pieces stand once.
        let copies = matches!(shape.redundancy(), Redundancy::Replication { .. });
        let bodies = if copies { 1 } else { total };
        let body_bytes = shape.body_bytes();
        let gap = if copies { 0 } else { header_bytes };
        let front = if copies { total * header_bytes } else { 0 };
        if front + bodies * (gap + body_bytes) > REPLY_MAX {
            return Err(Refused::LIMIT);
        }
        let bytes = front + bodies * (gap + body_bytes);
        bulk.reserve_exact(bytes + HEAD_ROOM);
        // Every byte is written below: headers and pieces are all there is.
        bulk.resize(bytes, 0);

        let mut sealed = Vec::with_capacity(shape.sealed_of(0));
        let mut tags = Tagger::room(shape);
        let mut at = 0;
        for block in 0..shape.blocks() {
            next(block, &mut sealed)?;
            if let Some(tagger) = tagger {
                tagger.tag(block, &sealed, &mut tags);
            }
            let piece_bytes = shape.piece_of(block);
            let mut pieces: Vec<&mut [u8]> = bulk[front..]
                .chunks_exact_mut(gap + body_bytes)
                .map(|fragment| &mut fragment[gap + at..gap + at + piece_bytes])
                .collect();
            if copies {
                pieces[0].copy_from_slice(&sealed);
            } else {
                code.encode(&sealed, &mut pieces);
            }
            let hashes: Vec<[u8; 32]> = pieces.iter().map(|piece| hash_piece(piece)).collect();
            for (index, header) in headers.iter_mut().enumerate() {
                header.hashes.push(hashes[if copies { 0 } else { index }]);
            }
            at += piece_bytes;
        }
        if tagger.is_some() {
            for (header, tags) in headers.iter_mut().zip(tags::of_fragments(code, &tags)) {
                header.tags = tags;
            }
        }
        for (index, header) in headers.iter_mut().enumerate() {
            let start = index
                * if copies {
                    header_bytes
                } else {
                    gap + body_bytes
                };
            let encoded = self.authenticate(header);
            bulk[start..start + header_bytes].copy_from_slice(&encoded);
        }
        let number = |bytes: usize| u32::try_from(bytes).expect("a fragment is a few megabytes");
        Ok(Made {
            header_bytes: number(header_bytes),
            fragment_bytes: number(header_bytes + body_bytes),
        })
    }

    /// The header of a fragment as the code makes it, without tags, hashes and MAC.
    pub(crate) fn header(&self, code: &Code, index: u8) -> FragmentHeader {
        let last = self.shape.blocks() - 1;
        let sealed_of = |block| {
            u32::try_from(self.shape.sealed_of(block)).expect("a block is about a mebibyte")
        };
        FragmentHeader {
            redundancy: self.shape.redundancy(),
            index,
            blocks: self.shape.block_count(),
            block_bytes: sealed_of(0),
            last_block_bytes: sealed_of(last),
            segment: self.segment,
            version: self.version,
            coefficients: code.coefficients(index),
            tags: Vec::new(),
            hashes: Vec::with_capacity(last + 1),
            mac: [0; 32],
        }
    }

    /// The header's bytes, with the MAC that only a coder of the tenant can make.
    pub(crate) fn authenticate(&self, header: &mut FragmentHeader) -> Vec<u8> {
        header.mac = mac(&self.mac_key, &header.mac_input());
        let mut out = Vec::with_capacity(self.shape.header_bytes());
        header.encode_into(&mut out);
        out
    }
}

/// Checks that an encoded header was made by a coder of the tenant for this segment.
pub(crate) fn verify_header(mac_key: &Secret, encoded: &[u8]) -> Result<(), NotAuthentic> {
    let (signed, tag) = encoded.split_last_chunk::<32>().ok_or(NotAuthentic)?;
    verify_mac(mac_key, signed, tag)
}
