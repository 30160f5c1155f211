//! Recoded packets, looked at and combined to the fragment that was lost. No client asks for it.
//!
//! Invariant: a fragment is made only where its packets are the combinations that the plan wants of what a coder of the tenant has made; who
//! has sent others is named. No segment's key is used.
//! Source: `docs/FORMATS.md`, "Storage: repair".

use sc_crypto::kdf::same_tag;
use sc_erasure::{Kernel, Matrix, Recoder, RepairPlan, Shape, TAG_BYTES, hash_piece};
use sc_proto::coder;

use crate::message::HEAD_ROOM;
use crate::plan::Plans;
use crate::refused::Refused;
use crate::repair::{Patient, fragment_bytes};
use crate::segment::{Codes, Fragments};
use crate::tags::{self, Tagger};
use crate::tenant::Tenant;

/// Verifies the packets that helpers have sent, and makes the lost fragment of them, which is appended to `bulk`.
pub(crate) fn combine(
    tenant: &Tenant,
    call: &coder::PlanRepair,
    packets: &[u8],
    (codes, plans): (&Codes, &Plans),
    bulk: &mut Vec<u8>,
) -> Result<coder::PacketsCombined, Refused> {
    let patient = Patient::open(tenant, call.datastore.as_ref(), &call.version, &call.record)?;
    let expected = patient.expected();
    let shape = expected.shape;
    let (others, mut bad) = expected.headers(&call.others)?;
    if bad.is_empty() {
        let plan = plans.of(call, shape, &others)?;
        let sent = Sent::split(shape, &plan, packets)?;
        let segment = &patient.record.segment;
        let tagger = Tagger::new(&patient.secret, segment, shape, codes.kernel());
        let tagger = tagger.ok_or(Refused::MALFORMED)?;
        if !sent.make(&patient.fragments, &tagger, codes, bulk) {
            bulk.clear();
            bad = sent.liars(&tagger);
        }
    }
    Ok(coder::PacketsCombined {
        fragment_bytes: fragment_bytes(shape),
        bad,
    })
}

/// What the helpers of a plan have sent, one behind the other: tags, then the packets of each block.
struct Sent<'s> {
    shape: Shape,
    plan: &'s RepairPlan,
    /// Of each helper.
    messages: Vec<&'s [u8]>,
    /// Packets of each block that a helper sends.
    rows: usize,
}

impl<'s> Sent<'s> {
    fn split(shape: Shape, plan: &'s RepairPlan, bytes: &'s [u8]) -> Result<Self, Refused> {
        let rows = plan.scalars(0).rows();
        let packets = (0..shape.blocks()).map(|block| packet_bytes(shape, block));
        let own = rows * (shape.blocks() * TAG_BYTES + packets.sum::<usize>());
        if bytes.len() != own * plan.helpers().len() {
            return Err(Refused::MALFORMED);
        }
        Ok(Self {
            shape,
            plan,
            messages: bytes.chunks_exact(own).collect(),
            rows,
        })
    }

    /// The tags that a helper has sent.
    fn tags(&self, message: &'s [u8]) -> &'s [u8] {
        &message[..self.rows * self.shape.blocks() * TAG_BYTES]
    }

    /// All packets of a block, helper by helper.
    fn packets(&self, block: usize) -> Vec<&'s [u8]> {
        let before = (0..block).map(|block| packet_bytes(self.shape, block));
        let start = self.rows * (self.shape.blocks() * TAG_BYTES + before.sum::<usize>());
        let packet_bytes = packet_bytes(self.shape, block);
        let own = self
            .messages
            .iter()
            .flat_map(|message| message[start..].chunks_exact(packet_bytes).take(self.rows));
        own.collect()
    }

    /// The indexes of helpers one of whose packets is not what its tag says, or not what was asked for.
    fn liars(&self, tagger: &Tagger) -> Vec<u32> {
        let expected = tagger.expected(self.plan.sent(), |block| self.packets(block));
        let own = expected.chunks_exact(expected.len() / self.messages.len());
        let told = self.messages.iter().map(|message| self.tags(message));
        let helpers = self.plan.helpers().iter().zip(own.zip(told));
        let liars = helpers.filter(|(_, (expected, told))| !same_tag(expected, told));
        liars.map(|(index, _)| u32::from(*index)).collect()
    }

    /// Makes the fragment; `false` if it is not what it should be, because of whoever has sent something else.
    ///
    /// It has fewer packets than were sent: to look at these alone takes less, and what they come to is all that counts.
    fn make(
        &self,
        fragments: &Fragments,
        tagger: &Tagger,
        codes: &Codes,
        bulk: &mut Vec<u8>,
    ) -> bool {
        let shape = self.shape;
        let code = codes.prepare(shape.redundancy());
        bulk.clear();
        bulk.reserve_exact(shape.fragment_bytes() + HEAD_ROOM);
        bulk.resize(shape.fragment_bytes(), 0);
        let mut header = fragments.header(&code, self.plan.lost());
        header.coefficients = self.plan.coefficients().to_vec();
        header.tags = self.combined_tags(codes.kernel());
        let recoder = Recoder::new(codes.kernel(), self.plan.combining().clone());
        let (head, mut body) = bulk.split_at_mut(shape.header_bytes());
        let mut made: Vec<Vec<&[u8]>> = Vec::with_capacity(shape.blocks());
        for block in 0..shape.blocks() {
            let (piece, rest) = body.split_at_mut(shape.piece_of(block));
            let packet_bytes = packet_bytes(shape, block);
            let mut rows: Vec<&mut [u8]> = piece.chunks_exact_mut(packet_bytes).collect();
            recoder.recode(&self.packets(block), &mut rows);
            header.hashes.push(hash_piece(piece));
            let piece: &[u8] = piece;
            made.push(piece.chunks_exact(packet_bytes).collect());
            body = rest;
        }
        let coefficients = Matrix::new(
            shape.redundancy().packets(),
            self.plan.coefficients().to_vec(),
        );
        let expected = tagger.expected(&coefficients, |block| made[block].clone());
        let is_right = same_tag(&expected, &header.tags);
        if is_right {
            head.copy_from_slice(&fragments.authenticate(&mut header));
        }
        is_right
    }

    /// The tags of the new fragment's packets.
    fn combined_tags(&self, kernel: Kernel) -> Vec<u8> {
        let told: Vec<&[u8]> = self.messages.iter().map(|it| self.tags(it)).collect();
        let mut combined = vec![0; self.shape.redundancy().tag_bytes(self.shape.block_count())];
        tags::combine(kernel, self.plan.combining(), &told.concat(), &mut combined);
        combined
    }
}

/// Bytes of each packet of a block.
fn packet_bytes(shape: Shape, block: usize) -> usize {
    shape.redundancy().packet_bytes(shape.sealed_of(block))
}
