//! Objects, opened: fragments are verified, decoded, opened, and sealed for the client that asked.
//!
//! Invariant: a chunk is made only of fragments whose headers and pieces are known to be this segment's; what is not is named, and nothing
//! is made of the rest until the host has brought another.
//! Source: `docs/FORMATS.md`, "Storage: reads".

use bytes::Bytes;
use sc_crypto::{AeadKey, Entropy, Plaintext, Secret};
use sc_erasure::{BLOCK_BYTES, Decoder, FragmentHeader, Redundancy, Shape};
use sc_proto::coder;
use sc_proto::storage::operation::Operation as Kind;

use crate::datastore::Datastore;
use crate::keys;
use crate::manifest::{Body, open_head};
use crate::message::HEAD_ROOM;
use crate::record::Record;
use crate::refused::{Refused, array};
use crate::request::Request;
use crate::segment::{Codes, at_rest, verify_header};
use crate::session::{ReplyKey, chunk_context};
use crate::tenant::Tenant;

/// Segments that one call may open.
const SEGMENTS_MAX: usize = 64;

/// Opens what a `GetObject` asks for, as far as the host has brought it; the reply's bulk is appended to `bulk`.
pub(crate) fn open(
    tenant: &Tenant,
    request: &Request,
    call: &coder::OpenObject,
    pieces: &Bytes,
    codes: &Codes,
    bulk: &mut Vec<u8>,
    entropy: &mut dyn Entropy,
) -> Result<coder::ObjectOpened, Refused> {
    let Kind::GetObject(operation) = &request.operation else {
        return Err(Refused::MALFORMED);
    };
    let version: [u8; 16] = array(&call.version)?;
    if !operation.version.is_empty() && operation.version[..] != version {
        return Err(Refused::STORED);
    }
    if call.segments.len() > SEGMENTS_MAX {
        return Err(Refused::LIMIT);
    }
    let datastore = Datastore::open(tenant, call.datastore.as_ref(), &operation.datastore)?;
    let head = open_head(&datastore, &operation.key, &version, &call.head)?;
    let mut opened = coder::ObjectOpened::default();
    let (salt, reply) = request.reply_key(entropy);
    if !call.segments.is_empty() {
        let body = Body::open(&datastore, &operation.key, &head, &call.body)?;
        // What is opened is not longer than what it is made of.
        bulk.reserve_exact(pieces.len() + HEAD_ROOM);
        let mut opening = Opening {
            secret: keys::version(&datastore.key, body.version()),
            body,
            codes,
            reply: &reply,
            wanted: operation.offset..operation.offset.saturating_add(operation.length),
            opened: &mut opened,
            bulk,
        };
        let mut rest = &pieces[..];
        for segment in &call.segments {
            rest = opening.segment(segment, rest)?;
        }
        if !rest.is_empty() {
            return Err(Refused::MALFORMED);
        }
        if !opened.bad.is_empty() {
            opened.chunks.clear();
            bulk.clear();
        }
    }
    let plain = Plaintext::new(prost::Message::encode_to_vec(&head));
    opened.sealed = Some(reply.seal_head(salt, &plain));
    Ok(opened)
}

/// What is needed to open segment after segment.
struct Opening<'o> {
    secret: Secret,
    body: Body,
    codes: &'o Codes,
    reply: &'o ReplyKey,
    /// Of the object, in bytes.
    wanted: std::ops::Range<u64>,
    opened: &'o mut coder::ObjectOpened,
    bulk: &'o mut Vec<u8>,
}

/// One fragment's header and its pieces of the blocks that are asked for.
struct Piece<'p> {
    header: FragmentHeader,
    pieces: &'p [u8],
}

impl Piece<'_> {
    /// Those of network coding; the other codes have fixed ones.
    fn coefficients(&self) -> Option<&[u8]> {
        let is_drawn = matches!(self.header.redundancy, Redundancy::Rlnc { .. });
        is_drawn.then_some(&self.header.coefficients)
    }
}

impl Opening<'_> {
    /// Opens one segment's blocks from the front of `bytes`; gives what is left of them.
    fn segment<'b>(
        &mut self,
        call: &coder::SegmentPieces,
        mut bytes: &'b [u8],
    ) -> Result<&'b [u8], Refused> {
        let (record, stored, offset) = self.body.segment(call.position)?;
        let key = record.open(stored, self.body.version(), &self.secret)?;
        let shape = Shape::new(record.plain_bytes as usize, record.redundancy);
        let shape = shape.ok_or(Refused::STORED)?;
        let blocks = call.first_block as usize
            ..(call.first_block as usize).saturating_add(call.blocks as usize);
        if blocks.is_empty() || blocks.end > shape.blocks() {
            return Err(Refused::MALFORMED);
        }
        let mac_key = keys::fragments(&self.secret, &record.segment);
        let mut fragments = Vec::with_capacity(call.fragments.len());
        let bad_before = self.opened.bad.len();
        for fragment in &call.fragments {
            let length = (fragment.header_bytes as usize)
                .checked_add(fragment.piece_bytes as usize)
                .ok_or(Refused::MALFORMED)?;
            let (own, rest) = bytes.split_at_checked(length).ok_or(Refused::MALFORMED)?;
            bytes = rest;
            let (header, pieces) = own.split_at(fragment.header_bytes as usize);
            match verify(
                &record,
                self.body.version(),
                &mac_key,
                shape,
                &blocks,
                header,
                pieces,
            ) {
                Some(piece) if u32::from(piece.header.index) == fragment.index => {
                    fragments.push(piece)
                }
                _ => self.opened.bad.push(coder::Bad {
                    position: call.position,
                    index: fragment.index,
                }),
            }
        }
        if self.opened.bad.len() == bad_before {
            self.decode(&record, &key, shape, offset, blocks, &fragments)?;
        }
        Ok(bytes)
    }

    /// Decodes and opens blocks of verified fragments, and seals what is wanted of them.
    fn decode(
        &mut self,
        record: &Record,
        key: &AeadKey,
        shape: Shape,
        offset: u64,
        blocks: std::ops::Range<usize>,
        fragments: &[Piece<'_>],
    ) -> Result<(), Refused> {
        let code = self.codes.prepare(record.redundancy);
        let available: Vec<(u8, Option<&[u8]>)> = fragments
            .iter()
            .map(|it| (it.header.index, it.coefficients()))
            .collect();
        let decoder = Decoder::new(&code, &available).map_err(|_| Refused::STORED)?;
        // Of more than are needed the first are taken.
        let needed = usize::from(record.redundancy.data());
        let mut block_bytes = Plaintext::new(Vec::with_capacity(shape.sealed_of(0)));
        let mut at = 0;
        for block in blocks {
            let piece_bytes = shape.piece_of(block);
            let pieces: Vec<&[u8]> = fragments
                .iter()
                .take(needed)
                .map(|it| &it.pieces[at..at + piece_bytes])
                .collect();
            at += piece_bytes;
            block_bytes.resize(shape.sealed_of(block), 0);
            decoder.decode(&pieces, &mut block_bytes);
            let (nonce, context) = at_rest(&record.segment, block, shape.blocks());
            let plain = key
                .open_in_place(nonce, &context, &mut block_bytes)
                .map_err(|_| Refused::STORED)?;
            let start = offset + (block * BLOCK_BYTES) as u64;
            self.chunk(start, plain)?;
        }
        Ok(())
    }

    /// Seals what is wanted of a block that begins at `start` of its object.
    fn chunk(&mut self, start: u64, plain: &[u8]) -> Result<(), Refused> {
        let end = start + plain.len() as u64;
        let (from, to) = (self.wanted.start.max(start), self.wanted.end.min(end));
        if from >= to {
            return Ok(());
        }
        let within = |place: u64| usize::try_from(place - start).expect("a block is a mebibyte");
        let plain = &plain[within(from)..within(to)];
        let chunks = &mut self.opened.chunks;
        let number = u32::try_from(chunks.len()).expect("a call opens few blocks") + 1;
        self.reply
            .seal(number, &chunk_context(from), plain, self.bulk);
        chunks.push(coder::Chunk {
            offset: from,
            bytes: u32::try_from(plain.len()).expect("a block is a mebibyte"),
        });
        Ok(())
    }
}

/// The fragment, if its header is this segment's and its pieces are what the header says.
fn verify<'p>(
    record: &Record,
    version: &[u8; 16],
    mac_key: &Secret,
    shape: Shape,
    blocks: &std::ops::Range<usize>,
    encoded: &[u8],
    mut pieces: &'p [u8],
) -> Option<Piece<'p>> {
    let (header, length) = FragmentHeader::parse(encoded).ok()?;
    if length != encoded.len() || verify_header(mac_key, encoded).is_err() {
        return None;
    }
    let is_ours = header.segment == record.segment
        && header.version == *version
        && header.redundancy == record.redundancy
        && header.blocks == shape.block_count();
    if !is_ours {
        return None;
    }
    let all = pieces;
    for block in blocks.clone() {
        let (piece, rest) = pieces.split_at_checked(shape.piece_of(block))?;
        let number = u16::try_from(block).expect("a segment has few blocks");
        if !header.verify_piece(number, piece) {
            return None;
        }
        pieces = rest;
    }
    pieces.is_empty().then_some(Piece {
        header,
        pieces: all,
    })
}
