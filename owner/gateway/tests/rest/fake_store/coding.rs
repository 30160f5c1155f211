//! What the store has its coder do.

use bytes::Bytes;
use prost::Message as _;
use sc_client::OsEntropy;
use sc_coder::{join, split};
use sc_crypto::Entropy as _;
use sc_enclave::Program as _;
use sc_proto::coder::{self, call::Call, reply::Reply};
use sc_proto::store::{self, problem::Code, provision, provisioning, reply};

use super::{FakeStore, Refused, Segment, malformed, no_datastore, sealed_done};

impl FakeStore {
    pub(super) fn provision(&self, step: store::Provision) -> Result<reply::Reply, Refused> {
        let call = match step.step.unwrap() {
            provision::Step::Challenge(it) => Call::Challenge(it),
            provision::Step::Secrets(it) => Call::Secrets(it),
            provision::Step::Advance(it) => Call::Advance(it),
        };
        let step = match self.ask(call, &[])?.0 {
            Reply::Offer(it) => provisioning::Step::Offer(it),
            Reply::Provisioned(it) => provisioning::Step::Provisioned(it),
            Reply::Advanced(it) => provisioning::Step::Advanced(it),
            _ => return Err(malformed()),
        };
        Ok(reply::Reply::Provisioning(store::Provisioning {
            step: Some(step),
        }))
    }

    pub(super) fn ask(&self, call: Call, bulk: &[u8]) -> Result<(Reply, Bytes), Refused> {
        let mut message = bulk.to_vec();
        join(
            &mut message,
            &coder::Call { call: Some(call) }.encode_to_vec(),
        );
        let reply = self
            .engine
            .handle(message.into(), &mut |bytes| OsEntropy.fill(bytes));
        let (bulk, head) = split(reply).unwrap();
        match coder::Reply::decode(head).unwrap().reply.unwrap() {
            Reply::Refusal(refusal) => Err((
                match refusal.reason() {
                    coder::refusal::Reason::Limit => Code::Limit,
                    coder::refusal::Reason::Session => Code::Session,
                    coder::refusal::Reason::Right => Code::Forbidden,
                    coder::refusal::Reason::Stored => Code::NotAuthentic,
                    _ => Code::Malformed,
                },
                format!("the coder refuses: {:?}", refusal.reason()),
            )),
            reply => Ok((reply, bulk)),
        }
    }

    /// The coder's word that the request may be done.
    pub(super) fn authorize(&self, request: coder::Request) -> Result<coder::Sealed, Refused> {
        let call = coder::Authorize {
            request: Some(request),
        };
        match self.ask(Call::Authorize(call), &[])?.0 {
            Reply::Sealed(sealed) => Ok(sealed),
            _ => Err(malformed()),
        }
    }

    pub(super) fn row(&self, name: &str) -> Result<coder::Datastore, Refused> {
        let row = self.with(|state| state.datastores.get(name).map(|it| it.row.clone()));
        row.ok_or_else(no_datastore)
    }

    pub(super) fn seal_segment(
        &self,
        datastore: &str,
        version: &Bytes,
        (part, index): (u32, u32),
        request: coder::Request,
        blocks: &[u8],
    ) -> Result<(Bytes, coder::Sealed), Refused> {
        let call = coder::SealSegment {
            request: Some(request),
            datastore: Some(self.row(datastore)?),
            redundancy: Some(coder::Redundancy {
                code: 1,
                data: 1,
                total: 1,
                subpackets: 1,
            }),
        };
        let (Reply::SegmentSealed(made), fragment) = self.ask(Call::SealSegment(call), blocks)?
        else {
            return Err(malformed());
        };
        let segment = Segment {
            version: version.clone(),
            part,
            index,
            record: made.record,
            fragment,
            header_bytes: made.header_bytes,
            plain_bytes: made.plain_bytes,
        };
        self.with(|state| {
            // A part that comes again takes the older one's place.
            let place = |it: &Segment| (it.version.clone(), it.part, it.index);
            state.segments.retain(|_, it| place(it) != place(&segment));
            state.segments.insert(made.segment.clone(), segment);
        });
        Ok((made.segment, made.sealed.unwrap()))
    }

    pub(super) fn open_heads(
        &self,
        datastore: &str,
        request: coder::Request,
        heads: Vec<coder::StoredHead>,
    ) -> Result<store::Done, Refused> {
        let call = coder::OpenHeads {
            request: Some(request),
            datastore: Some(self.row(datastore)?),
            heads,
        };
        match self.ask(Call::OpenHeads(call), &[])?.0 {
            Reply::Sealed(sealed) => Ok(sealed_done(sealed)),
            _ => Err(malformed()),
        }
    }

    pub(super) fn open_records(
        &self,
        request: coder::Request,
        records: Vec<coder::StoredRecord>,
    ) -> Result<store::Done, Refused> {
        let call = coder::OpenRecords {
            request: Some(request),
            records,
        };
        match self.ask(Call::OpenRecords(call), &[])?.0 {
            Reply::Sealed(sealed) => Ok(sealed_done(sealed)),
            _ => Err(malformed()),
        }
    }
}
