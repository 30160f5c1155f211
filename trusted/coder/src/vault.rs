//! The tenant's own records: tokens, access keys, grants, which the host keeps and cannot read.
//!
//! Invariant: a record opens under the kind and id that it was made for, so that the host cannot put one in another's place.

use bytes::Bytes;
use sc_crypto::{Entropy, Nonce, Plaintext, Transcript};
use sc_proto::coder;
use sc_proto::storage::{self, operation::Operation as Kind};

use crate::keys;
use crate::refused::Refused;
use crate::request::Request;
use crate::tenant::Tenant;

/// Content of a record at most, in bytes.
const RECORD_MAX: usize = 64 << 10;
const ROOT_BYTES: usize = 4;
const SALT_BYTES: usize = 32;

/// Seals the content of a `PutRecord`.
pub(crate) fn seal(
    tenant: &Tenant,
    request: &Request,
    entropy: &mut dyn Entropy,
) -> Result<coder::RecordSealed, Refused> {
    let Kind::PutRecord(operation) = &request.operation else {
        return Err(Refused::MALFORMED);
    };
    if request.secret.len() > RECORD_MAX {
        return Err(Refused::LIMIT);
    }
    let mut salt = [0; SALT_BYTES];
    entropy.fill(&mut salt);
    let mut record = tenant.roots.current_number().to_le_bytes().to_vec();
    record.extend_from_slice(&salt);
    let context = context(&tenant.id, &operation.kind, &operation.id);
    keys::record(tenant.roots.current(), &salt).seal(
        Nonce::ONCE,
        &context,
        &request.secret,
        &mut record,
    );
    Ok(coder::RecordSealed {
        record: record.into(),
        sealed: Some(request.acknowledge(entropy)),
    })
}

/// Opens records for a `GetRecord` or `ListRecords`.
pub(crate) fn open(
    tenant: &Tenant,
    request: &Request,
    call: &coder::OpenRecords,
    entropy: &mut dyn Entropy,
) -> Result<coder::Sealed, Refused> {
    let (kind, only) = match &request.operation {
        Kind::GetRecord(it) => (&it.kind, Some(&it.id)),
        Kind::ListRecords(it) => (&it.kind, None),
        _ => return Err(Refused::MALFORMED),
    };
    let entries = call.records.iter().map(|stored| {
        if only.is_some_and(|id| *id != stored.id) {
            return Err(Refused::STORED);
        }
        let content = unseal(tenant, kind, &stored.id, &stored.record)?;
        Ok(storage::RecordEntry {
            id: stored.id.clone(),
            content: Bytes::copy_from_slice(&content),
        })
    });
    let entries = entries.collect::<Result<_, Refused>>()?;
    Ok(request.reply(&storage::RecordContents { entries }, entropy))
}

/// The content of a record.
pub(crate) fn unseal(
    tenant: &Tenant,
    kind: &str,
    id: &str,
    record: &[u8],
) -> Result<Plaintext, Refused> {
    let (number, rest) = record
        .split_first_chunk::<ROOT_BYTES>()
        .ok_or(Refused::STORED)?;
    let root = tenant.roots.numbered(u32::from_le_bytes(*number));
    let root = root.ok_or(Refused::STORED)?;
    let (salt, sealed) = rest
        .split_first_chunk::<SALT_BYTES>()
        .ok_or(Refused::STORED)?;
    keys::record(root, salt)
        .open(Nonce::ONCE, &context(&tenant.id, kind, id), sealed)
        .map(Plaintext::new)
        .map_err(|_| Refused::STORED)
}

fn context(tenant: &[u8; 32], kind: &str, id: &str) -> Vec<u8> {
    Transcript::new("storage record")
        .bytes(tenant)
        .bytes(kind.as_bytes())
        .bytes(id.as_bytes())
        .finish()
}
