//! Manifests: what a version is made of (the body) and what people ask about it (the head).
//!
//! Invariant: head and body are sealed for one tenant, datastore, key and version; a body lists the very segments that the client named,
//! in its order, each with a record that was made for this version.
//! Source: `docs/FORMATS.md`, "Storage: manifests".

use bytes::Bytes;
use prost::Message as _;
use sc_crypto::kdf::verify_mac;
use sc_crypto::{Entropy, Plaintext, Transcript, wipe};
use sc_proto::coder;
use sc_proto::storage::{self, operation::Operation as Kind};

use crate::datastore::Datastore;
use crate::keys;
use crate::record::{RECORD_BYTES, Record};
use crate::refused::{Refused, array};
use crate::request::{Request, target};
use crate::tenant::Tenant;

/// Length of an object's key at most, in bytes.
pub const KEY_MAX: usize = 1024;
/// Content type, user metadata, tags and checksums of an object together, in bytes.
pub const METADATA_MAX: usize = 64 << 10;

/// Segments of an object: 5 TiB of the largest ones.
const SEGMENTS_MAX: usize = 1 << 20;

pub(crate) const HEAD: &str = "head";
pub(crate) const BODY: &str = "body";
pub(crate) const UPLOAD: &str = "upload";
pub(crate) const PART: &str = "part";

const BODY_VERSION: u8 = 1;
const BODY_FIXED: usize = 1 + 16 + 8 + 4;

/// Refuses what is no object's key.
pub(crate) fn check_key(key: &[u8]) -> Result<(), Refused> {
    if key.is_empty() || key.len() > KEY_MAX {
        return Err(Refused::LIMIT);
    }
    Ok(())
}

/// An opened body.
pub(crate) struct Body {
    plain: Plaintext,
    version: [u8; 16],
}

impl Body {
    pub(crate) fn encode(version: &[u8; 16], number: u64, records: &[Bytes]) -> Vec<u8> {
        let mut out = Vec::with_capacity(BODY_FIXED + records.len() * RECORD_BYTES);
        out.push(BODY_VERSION);
        out.extend_from_slice(version);
        out.extend_from_slice(&number.to_le_bytes());
        let count = u32::try_from(records.len()).expect("there are at most SEGMENTS_MAX");
        out.extend_from_slice(&count.to_le_bytes());
        records.iter().for_each(|it| out.extend_from_slice(it));
        out
    }

    /// Opens a stored body and checks that it belongs to `head`.
    pub(crate) fn open(
        datastore: &Datastore,
        key: &[u8],
        head: &storage::Head,
        stored: &[u8],
    ) -> Result<Self, Refused> {
        let version = array(&head.version)?;
        let plain = datastore.unseal(BODY, key, &version, stored)?;
        let fixed = plain.first_chunk::<BODY_FIXED>().ok_or(Refused::STORED)?;
        let expected = Self::encode(&version, head.number, &[]);
        let is_of_head = fixed[..BODY_FIXED - 4] == expected[..BODY_FIXED - 4]
            && fixed[BODY_FIXED - 4..] == head.segments.to_le_bytes()
            && plain.len() == BODY_FIXED + head.segments as usize * RECORD_BYTES;
        is_of_head
            .then_some(Self { plain, version })
            .ok_or(Refused::STORED)
    }

    /// The record of the segment at `position`, its bytes, and the offset in the object where it begins.
    pub(crate) fn segment(&self, position: u32) -> Result<(Record, &[u8], u64), Refused> {
        let mut offset = 0;
        for (at, bytes) in self.records().enumerate() {
            let record = Record::parse(bytes)?;
            if at == position as usize {
                return Ok((record, bytes, offset));
            }
            offset += u64::from(record.plain_bytes);
        }
        Err(Refused::MALFORMED)
    }

    /// The records of all segments, in order.
    pub(crate) fn records(&self) -> impl Iterator<Item = &[u8]> {
        self.plain[BODY_FIXED..].chunks_exact(RECORD_BYTES)
    }

    pub(crate) fn version(&self) -> &[u8; 16] {
        &self.version
    }
}

/// Seals a version's head; see [`open_head`].
pub(crate) fn seal_head(
    datastore: &Datastore,
    head: &storage::Head,
    entropy: &mut dyn Entropy,
) -> Result<Bytes, Refused> {
    let plain = Plaintext::new(head.encode_to_vec());
    if plain.len() > METADATA_MAX + KEY_MAX + 256 {
        return Err(Refused::LIMIT);
    }
    Ok(datastore.seal(HEAD, &head.key, &head.version, &plain, entropy))
}

/// Opens a head that is stored for `key` and `version`, and checks that it says so itself.
pub(crate) fn open_head(
    datastore: &Datastore,
    key: &[u8],
    version: &[u8],
    stored: &[u8],
) -> Result<storage::Head, Refused> {
    let plain = datastore.unseal(HEAD, key, version, stored)?;
    let head = storage::Head::decode(&plain[..])?;
    if head.key[..] != *key || head.version[..] != *version {
        return Err(Refused::STORED);
    }
    Ok(head)
}

/// Makes the manifest of a `PutObject`, `CommitObject` or `CompleteUpload`.
pub(crate) fn seal(
    tenant: &Tenant,
    request: &Request,
    call: &coder::SealManifest,
    entropy: &mut dyn Entropy,
) -> Result<coder::ManifestSealed, Refused> {
    let target = target(&request.operation)?;
    check_key(target.key)?;
    let version: [u8; 16] = array(target.version)?;
    let datastore = Datastore::open(tenant, call.datastore.as_ref(), target.datastore)?;
    let content = match &request.operation {
        Kind::PutObject(it) => {
            is_whole(&call.records, it.bytes)?;
            Content {
                object: request.secret()?,
                bytes: u64::from(it.bytes),
                parts: Bytes::new(),
            }
        }
        Kind::CommitObject(it) => {
            let secret: storage::CommitSecret = request.secret()?;
            are_segments(&call.records, &secret.segments)?;
            Content {
                object: secret.object.unwrap_or_default(),
                bytes: it.bytes,
                parts: Bytes::new(),
            }
        }
        Kind::CompleteUpload(it) => complete(&datastore, request, it, call)?,
        _ => return Err(Refused::MALFORMED),
    };
    if call.records.len() > SEGMENTS_MAX {
        return Err(Refused::LIMIT);
    }
    if verify_records(&datastore, &version, &call.records)? != content.bytes {
        return Err(Refused::MALFORMED);
    }
    finish(&datastore, request, &version, content, call, entropy)
}

/// What an object is, beside its segments.
struct Content {
    object: storage::ObjectSecret,
    bytes: u64,
    /// As in [`storage::Head`].
    parts: Bytes,
}

fn finish(
    datastore: &Datastore,
    request: &Request,
    version: &[u8; 16],
    content: Content,
    call: &coder::SealManifest,
    entropy: &mut dyn Entropy,
) -> Result<coder::ManifestSealed, Refused> {
    let target = target(&request.operation)?;
    let mut object = content.object;
    if object.encoded_len() > METADATA_MAX {
        return Err(Refused::LIMIT);
    }
    if object.etag.is_empty() {
        object.etag = hex(version);
    }
    let tags = object.tags.iter().filter_map(|tag| datastore.blind(tag));
    let tags = tags.map(|tag| Bytes::copy_from_slice(&tag)).collect();
    let head = storage::Head {
        key: target.key.clone(),
        version: target.version.clone(),
        number: call.number,
        bytes: content.bytes,
        created_ms: call.created_ms,
        object: Some(object),
        segments: u32::try_from(call.records.len()).expect("there are at most SEGMENTS_MAX"),
        marker: false,
        policy: call.policy.clone(),
        parts: content.parts,
        placing: Bytes::new(),
    };
    let mut body = Body::encode(version, call.number, &call.records);
    let sealed_body = datastore.seal(BODY, target.key, version, &body, entropy);
    wipe(&mut body);
    Ok(coder::ManifestSealed {
        head: seal_head(datastore, &head, entropy)?,
        body: sealed_body,
        bytes: content.bytes,
        tags,
        sealed: Some(request.reply(&head, entropy)),
    })
}

/// Whether there is one segment of the whole, or none of an empty object.
fn is_whole(records: &[Bytes], bytes: u32) -> Result<(), Refused> {
    if records.len() == usize::from(bytes > 0) {
        Ok(())
    } else {
        Err(Refused::MALFORMED)
    }
}

/// Whether these are the segments that the client has receipts for, in its order.
fn are_segments(records: &[Bytes], segments: &[Bytes]) -> Result<(), Refused> {
    let named = records.iter().map(|record| record.get(..32));
    if named.eq(segments.iter().map(|segment| Some(&segment[..]))) {
        Ok(())
    } else {
        Err(Refused::SEGMENTS)
    }
}

/// Refuses records that were not made for `version`; gives the bytes of plaintext that they stand for.
fn verify_records(
    datastore: &Datastore,
    version: &[u8; 16],
    records: &[Bytes],
) -> Result<u64, Refused> {
    let secret = keys::version(&datastore.key, version);
    let mut bytes = 0;
    for stored in records {
        let record = Record::parse(stored)?;
        record.open(stored, version, &secret)?;
        bytes += u64::from(record.plain_bytes);
    }
    Ok(bytes)
}

/// What an upload that is complete is: the metadata of its beginning, and the segments of the parts chosen.
fn complete(
    datastore: &Datastore,
    request: &Request,
    operation: &storage::CompleteUpload,
    call: &coder::SealManifest,
) -> Result<Content, Refused> {
    let secret: storage::CompleteSecret = request.secret()?;
    let (key, version) = (&operation.key, &operation.version);
    let upload = datastore.unseal(UPLOAD, key, version, &call.upload)?;
    let head = storage::Head::decode(&upload[..])?;
    let counts = [operation.parts.len(), call.parts.len(), secret.etags.len()];
    if counts != [operation.parts.len(); 3] || !operation.parts.is_sorted_by(|one, next| one < next)
    {
        return Err(Refused::MALFORMED);
    }
    let (mut segments, mut bytes) = (Vec::new(), 0);
    for ((stored, number), etag) in call.parts.iter().zip(&operation.parts).zip(&secret.etags) {
        let plain = datastore.unseal(PART, key, version, stored)?;
        let part = storage::Part::decode(&plain[..])?;
        if part.part != *number {
            return Err(Refused::STORED);
        }
        if part.etag != *etag {
            // The client names a part that is not the one it has sent, or that was sent again since.
            return Err(Refused::MALFORMED);
        }
        bytes += part.bytes;
        segments.extend(part.segments);
    }
    are_segments(&call.records, &segments)?;
    let mut object = head.object.unwrap_or_default();
    object.etag = secret.etag;
    let parts = operation.parts.iter().copied();
    let parts = parts_hash(parts.zip(secret.etags.iter().map(String::as_str)));
    Ok(Content {
        object,
        bytes,
        parts: Bytes::copy_from_slice(&parts),
    })
}

/// Of which parts an upload was completed, by number and entity tag: tells a repeated completion from another one.
#[must_use]
pub fn parts_hash<'p>(parts: impl Iterator<Item = (u32, &'p str)>) -> [u8; 32] {
    let begin = Transcript::new("storage parts");
    parts
        .fold(begin, |transcript, (part, etag)| {
            transcript.u64(part.into()).bytes(etag.as_bytes())
        })
        .hash256()
}

/// Seals what begins a multipart upload.
pub(crate) fn seal_upload(
    tenant: &Tenant,
    request: &Request,
    call: &coder::SealUpload,
    entropy: &mut dyn Entropy,
) -> Result<coder::UploadSealed, Refused> {
    let Kind::CreateUpload(operation) = &request.operation else {
        return Err(Refused::MALFORMED);
    };
    check_key(&operation.key)?;
    let version: [u8; 16] = array(&operation.version)?;
    let datastore = Datastore::open(tenant, call.datastore.as_ref(), &operation.datastore)?;
    let object: storage::ObjectSecret = request.secret()?;
    if object.encoded_len() > METADATA_MAX {
        return Err(Refused::LIMIT);
    }
    let head = storage::Head {
        key: operation.key.clone(),
        version: operation.version.clone(),
        created_ms: call.created_ms,
        object: Some(object),
        ..Default::default()
    };
    let plain = Plaintext::new(head.encode_to_vec());
    Ok(coder::UploadSealed {
        upload: datastore.seal(UPLOAD, &operation.key, &version, &plain, entropy),
        sealed: Some(request.acknowledge(entropy)),
    })
}

/// Seals what one part of an upload is made of.
pub(crate) fn seal_part(
    tenant: &Tenant,
    request: &Request,
    call: &coder::SealPart,
    entropy: &mut dyn Entropy,
) -> Result<coder::PartSealed, Refused> {
    let Kind::CommitPart(operation) = &request.operation else {
        return Err(Refused::MALFORMED);
    };
    let version: [u8; 16] = array(&operation.version)?;
    let datastore = Datastore::open(tenant, call.datastore.as_ref(), &operation.datastore)?;
    let wanted: storage::PartReceipt = request.secret()?;
    are_segments(&call.records, &operation.segments)?;
    let are_of_part = call
        .records
        .iter()
        .all(|stored| Record::parse(stored).is_ok_and(|record| record.part == operation.part));
    if !are_of_part || verify_records(&datastore, &version, &call.records)? != operation.bytes {
        return Err(Refused::STORED);
    }
    let names = operation
        .segments
        .iter()
        .fold(Transcript::new("storage part"), |all, it| all.bytes(it));
    let etag = if wanted.etag.is_empty() {
        hex(&names.hash256()[..16])
    } else {
        wanted.etag
    };
    let part = storage::Part {
        part: operation.part,
        bytes: operation.bytes,
        etag: etag.clone(),
        segments: operation.segments.clone(),
    };
    let plain = Plaintext::new(part.encode_to_vec());
    Ok(coder::PartSealed {
        part: datastore.seal(PART, &operation.key, &version, &plain, entropy),
        sealed: Some(request.reply(&storage::PartReceipt { etag }, entropy)),
    })
}

/// The head of a delete marker.
pub(crate) fn seal_marker(
    tenant: &Tenant,
    request: &Request,
    call: &coder::SealMarker,
    entropy: &mut dyn Entropy,
) -> Result<coder::MarkerSealed, Refused> {
    let Kind::DeleteObject(operation) = &request.operation else {
        return Err(Refused::MALFORMED);
    };
    let _: [u8; 16] = array(&operation.marker)?;
    let datastore = Datastore::open(tenant, call.datastore.as_ref(), &operation.datastore)?;
    let head = storage::Head {
        key: operation.key.clone(),
        version: operation.marker.clone(),
        number: call.number,
        created_ms: call.created_ms,
        marker: true,
        ..Default::default()
    };
    Ok(coder::MarkerSealed {
        head: seal_head(&datastore, &head, entropy)?,
        sealed: Some(request.reply(&head, entropy)),
    })
}

/// What a removal says.
fn removal(datastore: &Datastore, key: &[u8], version: &[u8], number: u64) -> Transcript {
    Transcript::new("storage removal")
        .bytes(&datastore.tenant)
        .bytes(&datastore.id)
        .bytes(key)
        .bytes(version)
        .u64(number)
}

/// Whether a removal is one that [`seal_removal`] made.
pub(crate) fn verify_removal(datastore: &Datastore, found: &coder::FoundRemoval) -> bool {
    let said = removal(datastore, &found.key, &found.version, found.number);
    let Some((_, tag)) = found.record.split_last_chunk::<32>() else {
        return false;
    };
    let is_made_here = verify_mac(&keys::removals(&datastore.key), said.as_bytes(), tag).is_ok();
    is_made_here && said.bytes(tag).finish() == found.record
}

/// The owner's word that a version, or every version up to a number, is gone.
pub(crate) fn seal_removal(
    tenant: &Tenant,
    request: &Request,
    call: &coder::SealRemoval,
    entropy: &mut dyn Entropy,
) -> Result<coder::RemovalSealed, Refused> {
    let Kind::DeleteObject(operation) = &request.operation else {
        return Err(Refused::MALFORMED);
    };
    let datastore = Datastore::open(tenant, call.datastore.as_ref(), &operation.datastore)?;
    let said = removal(&datastore, &operation.key, &operation.version, call.number);
    let tag = sc_crypto::kdf::mac(&keys::removals(&datastore.key), said.as_bytes());
    let record = said.bytes(&tag).finish();
    Ok(coder::RemovalSealed {
        record: record.into(),
        sealed: Some(request.acknowledge(entropy)),
    })
}

/// Opens a page of heads for the client that asked to list.
pub(crate) fn open_heads(
    tenant: &Tenant,
    request: &Request,
    call: &coder::OpenHeads,
    entropy: &mut dyn Entropy,
) -> Result<coder::Sealed, Refused> {
    let (name, is_uploads) = match &request.operation {
        Kind::ListObjects(it) => (&it.datastore, false),
        Kind::SearchObjects(it) => (&it.datastore, false),
        Kind::StatObject(it) => (&it.datastore, false),
        Kind::ListUploads(it) => (&it.datastore, true),
        _ => return Err(Refused::MALFORMED),
    };
    let datastore = Datastore::open(tenant, call.datastore.as_ref(), name)?;
    let heads = call.heads.iter().map(|stored| {
        if is_uploads {
            let plain = datastore.unseal(UPLOAD, &stored.key, &stored.version, &stored.head)?;
            return Ok(storage::Head::decode(&plain[..])?);
        }
        open_head(&datastore, &stored.key, &stored.version, &stored.head)
    });
    let heads = storage::Heads {
        heads: heads.collect::<Result<_, Refused>>()?,
    };
    Ok(request.reply(&heads, entropy))
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
