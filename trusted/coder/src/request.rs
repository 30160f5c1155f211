//! A client's request, opened: which operation, under which grant, with which sealed part; and the way to answer it.
//!
//! Invariant: a request exists only if its session's ticket is live, its operation is what the client sealed, and the grant allows it.

use bytes::Bytes;
use prost::Message as _;
use sc_crypto::{Entropy, Plaintext};
use sc_proto::coder;
use sc_proto::storage::{self, operation::Operation as Kind};

use crate::certificate::Right;
use crate::refused::Refused;
use crate::session::{ReplyKey, SessionKeys};
use crate::tenant::Tenant;

/// Length of an encoded operation, in bytes: the longest has 10,000 part numbers.
const OPERATION_MAX: usize = 128 << 10;

pub(crate) struct Request {
    pub(crate) operation: Kind,
    /// What the client sealed beside the operation.
    pub(crate) secret: Plaintext,
    number: u64,
    keys: SessionKeys,
}

/// The tenant that a request names; which is a claim until the request has opened.
pub(crate) fn named_tenant(request: &coder::Request) -> Result<storage::Operation, Refused> {
    if request.operation.len() > OPERATION_MAX {
        return Err(Refused::LIMIT);
    }
    Ok(storage::Operation::decode(request.operation.clone())?)
}

impl Request {
    pub(crate) fn open(
        tenant: &Tenant,
        request: &coder::Request,
        operation: storage::Operation,
    ) -> Result<Self, Refused> {
        let (keys, grant) = tenant.session(&request.ticket)?;
        let secret = keys.open_request(request.number, &request.operation, &request.sealed)?;
        let operation = operation.operation.ok_or(Refused::MALFORMED)?;
        let (right, datastore) = needs(&operation);
        grant.check(right, datastore)?;
        Ok(Self {
            operation,
            secret,
            number: request.number,
            keys,
        })
    }

    /// The sealed part, as the message it should be.
    pub(crate) fn secret<M: prost::Message + Default>(&self) -> Result<M, Refused> {
        Ok(M::decode(&self.secret[..])?)
    }

    /// Opens block `index` of those that came with the request.
    pub(crate) fn open_block(
        &self,
        index: u32,
        sealed: &[u8],
        plain: &mut Vec<u8>,
    ) -> Result<(), Refused> {
        Ok(self.keys.open_block(self.number, index, sealed, plain)?)
    }

    /// A key for the reply, and the salt that it is made with.
    pub(crate) fn reply_key(&self, entropy: &mut dyn Entropy) -> ([u8; 32], ReplyKey) {
        let mut salt = [0; 32];
        entropy.fill(&mut salt);
        (salt, self.keys.reply(self.number, &salt))
    }

    /// A reply that says `message`.
    pub(crate) fn reply(
        &self,
        message: &impl prost::Message,
        entropy: &mut dyn Entropy,
    ) -> coder::Sealed {
        let (salt, key) = self.reply_key(entropy);
        key.seal_head(salt, &Plaintext::new(message.encode_to_vec()))
    }

    /// A reply that says only that the request was taken.
    pub(crate) fn acknowledge(&self, entropy: &mut dyn Entropy) -> coder::Sealed {
        let (salt, key) = self.reply_key(entropy);
        key.seal_head(salt, &[])
    }
}

/// The right that an operation needs, and the datastore that it is about.
fn needs(operation: &Kind) -> (Right, Option<&str>) {
    match operation {
        Kind::CreateDatastore(it) => (Right::Administer, Some(&it.datastore)),
        Kind::UpdateDatastore(it) => (Right::Administer, Some(&it.datastore)),
        Kind::DeleteDatastore(it) => (Right::Administer, Some(&it.datastore)),
        Kind::PutObject(it) => (Right::Write, Some(&it.datastore)),
        Kind::PutSegment(it) => (Right::Write, Some(&it.datastore)),
        Kind::CommitObject(it) => (Right::Write, Some(&it.datastore)),
        Kind::AbandonObject(it) => (Right::Write, Some(&it.datastore)),
        Kind::CreateUpload(it) => (Right::Write, Some(&it.datastore)),
        Kind::CommitPart(it) => (Right::Write, Some(&it.datastore)),
        Kind::CompleteUpload(it) => (Right::Write, Some(&it.datastore)),
        Kind::GetObject(it) => (Right::Read, Some(&it.datastore)),
        Kind::StatObject(it) => (Right::Read, Some(&it.datastore)),
        Kind::DeleteObject(it) => (Right::Delete, Some(&it.datastore)),
        Kind::ListObjects(it) => (Right::List, Some(&it.datastore)),
        Kind::SearchObjects(it) => (Right::List, Some(&it.datastore)),
        Kind::ListUploads(it) => (Right::List, Some(&it.datastore)),
        Kind::ListParts(it) => (Right::List, Some(&it.datastore)),
        Kind::ListDatastores(_)
        | Kind::ListPolicies(_)
        | Kind::ListLocations(_)
        | Kind::GetUsage(_) => (Right::List, None),
        Kind::PutJob(it) if !it.datastore.is_empty() => (Right::Administer, Some(&it.datastore)),
        Kind::ListJobs(_) => (Right::List, None),
        Kind::PutPolicy(it) if it.simulate => (Right::List, None),
        Kind::PutPolicy(_)
        | Kind::PutJob(_)
        | Kind::CancelJob(_)
        | Kind::PutLocation(_)
        | Kind::PutRecord(_)
        | Kind::GetRecord(_)
        | Kind::ListRecords(_)
        | Kind::DeleteRecord(_)
        | Kind::RebuildCatalogue(_)
        | Kind::RewrapDatastores(_) => (Right::Administer, None),
    }
}

/// What a write is about, whichever operation it comes by.
pub(crate) struct Target<'r> {
    pub(crate) datastore: &'r str,
    pub(crate) key: &'r Bytes,
    pub(crate) version: &'r Bytes,
}

/// The object that an operation writes; a refusal for an operation that writes none.
pub(crate) fn target(operation: &Kind) -> Result<Target<'_>, Refused> {
    let (datastore, key, version) = match operation {
        Kind::PutObject(it) => (&it.datastore, &it.key, &it.version),
        Kind::PutSegment(it) => (&it.datastore, &it.key, &it.version),
        Kind::CommitObject(it) => (&it.datastore, &it.key, &it.version),
        Kind::CreateUpload(it) => (&it.datastore, &it.key, &it.version),
        Kind::CommitPart(it) => (&it.datastore, &it.key, &it.version),
        Kind::CompleteUpload(it) => (&it.datastore, &it.key, &it.version),
        Kind::GetObject(it) => (&it.datastore, &it.key, &it.version),
        Kind::DeleteObject(it) => (&it.datastore, &it.key, &it.version),
        _ => return Err(Refused::MALFORMED),
    };
    Ok(Target {
        datastore,
        key,
        version,
    })
}
