//! Objects are read: the manifest and the best k fragments go to the coder, which opens them for the client.
//!
//! Invariant: a fragment that the coder calls bad is left out and another is read in its place, until enough are good or none is left.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;
use sc_erasure::Shape;
use sc_metadata::{Segment, TenantId, Version, VersionId};
use sc_proto::coder::{self, call::Call, reply::Reply};
use sc_proto::storage;
use sc_proto::store::Done;
use sc_proto::store::problem::Code;

use crate::error::Problem;
use crate::layouts::Layout;
use crate::policy::Policy;
use crate::put::{check_key, unexpected};
use crate::reading::Read;
use crate::store::{Store, for_coder, id};

/// An answer, and the sealed chunks that go with it.
pub(crate) type Answer = (Done, Vec<Bytes>);

/// What a read found in the catalogue.
struct Found {
    version: Version,
    body: Bytes,
    /// The segment in which the range begins, with its place in the object; none where no content is asked for.
    segment: Option<Placed>,
}

/// A segment and its place in the object.
struct Placed {
    segment: Segment,
    position: u32,
    start: u64,
}

impl Store {
    /// A `GetObject`: as much of the range as lies in the segment in which it begins.
    pub(crate) async fn get_object(
        &self,
        tenant: TenantId,
        request: &coder::Request,
        operation: &storage::GetObject,
    ) -> Result<Answer, Problem> {
        check_key(&operation.key)?;
        let datastore = self.datastore(tenant, &operation.datastore).await?;
        let wanted = optional_version(&operation.version)?;
        let found = self.find(datastore.id, operation, wanted).await?;
        let mut call = coder::OpenObject {
            request: Some(request.clone()),
            datastore: for_coder(&datastore),
            version: Bytes::copy_from_slice(&found.version.id.0),
            head: found.version.head.clone(),
            body: Bytes::new(),
            segments: Vec::new(),
        };
        let Some(placed) = &found.segment else {
            let (reply, _) = self
                .coders
                .call(tenant, Call::OpenObject(call), &[])
                .await?;
            return finish(reply, &Bytes::new(), &found.version, 0);
        };
        call.body = found.body.clone();
        self.reads.note(found.version.id, self.now_ms());
        let policy = self
            .policy_version(&found.version.policy, found.version.policy_version)
            .await?;
        let segment = &placed.segment;
        let shape = shape_of(&policy.policy, segment)?;
        let blocks = shape.blocks_around(within(operation, placed));
        let segment_end = placed.start + u64::from(segment.plain_bytes);
        let mut bad = BTreeSet::new();
        loop {
            let read = self
                .read_segment(&policy.policy, segment, shape, blocks.clone(), &bad)
                .await?;
            call.segments = vec![pieces_of(placed.position, &blocks, &read)];
            let bulk: Vec<Bytes> = read
                .into_iter()
                .flat_map(|read| [read.header, read.pieces])
                .collect();
            let open = Call::OpenObject(call.clone());
            let (reply, opened) = self.coders.call(tenant, open, &bulk).await?;
            let Reply::ObjectOpened(object) = &reply else {
                return Err(unexpected());
            };
            if object.bad.is_empty() {
                return finish(reply, &opened, &found.version, segment_end);
            }
            for it in &object.bad {
                let index = u8::try_from(it.index).unwrap_or(u8::MAX);
                tracing::error!(segment = ?segment.id, index, "a fragment is not what was stored");
                if !bad.insert(index) {
                    return Err(unexpected());
                }
            }
        }
    }

    /// Finds the version and the segment in which the range begins.
    async fn find(
        &self,
        datastore: sc_metadata::DatastoreId,
        operation: &storage::GetObject,
        wanted: Option<VersionId>,
    ) -> Result<Found, Problem> {
        let key = &operation.key;
        if operation.length == 0 {
            let version = match wanted {
                Some(wanted) => self.catalog.version(datastore, key, wanted).await?,
                None => self.catalog.current(datastore, key).await?,
            };
            return Ok(Found {
                version: not_a_marker(version)?,
                body: Bytes::new(),
                segment: None,
            });
        }
        let opened = self
            .catalog
            .open_version(datastore, key, wanted, 0..1)
            .await?;
        let (version, body, mut segments) = opened.ok_or_else(Problem::no_object)?;
        let version = not_a_marker(Some(version))?;
        let offset = operation.offset;
        if version.size == 0 && offset == 0 {
            return Ok(Found {
                version,
                body,
                segment: None,
            });
        }
        if offset >= version.size {
            return Err(Problem::new(
                Code::Range,
                format!(
                    "the range begins at {offset}, and the object has {} bytes",
                    version.size
                ),
            ));
        }
        let first = segments.pop().ok_or_else(Problem::no_object)?;
        if offset < u64::from(first.plain_bytes) {
            let segment = Some(Placed {
                segment: first,
                position: 0,
                start: 0,
            });
            return Ok(Found {
                version,
                body,
                segment,
            });
        }
        let layout = self.layout(version.id).await?;
        let place = layout.find(offset).ok_or_else(Problem::no_object)?;
        let (position, start) = place;
        // Version and segment of one moment: the content may have been moved since the version was found.
        let opened = self
            .catalog
            .open_version(datastore, key, Some(version.id), position..position + 1)
            .await?;
        let (version, body, mut segments) = opened.ok_or_else(Problem::no_object)?;
        let segment = Placed {
            segment: segments.pop().ok_or_else(Problem::no_object)?,
            position,
            start,
        };
        Ok(Found {
            version,
            body,
            segment: Some(segment),
        })
    }

    async fn layout(&self, version: VersionId) -> Result<Arc<Layout>, Problem> {
        if let Some(layout) = self.layouts.get(version) {
            return Ok(layout);
        }
        let segments = self.catalog.segments(version, 0..u32::MAX).await?;
        let lengths = segments.iter().map(|segment| segment.plain_bytes);
        let layout = Arc::new(Layout::new(lengths));
        self.layouts.keep(version, Arc::clone(&layout));
        Ok(layout)
    }

    /// A `StatObject`: the head for the client, and where each fragment lies, in the host's own words.
    pub(crate) async fn stat_object(
        &self,
        tenant: TenantId,
        request: &coder::Request,
        operation: &storage::StatObject,
    ) -> Result<Done, Problem> {
        check_key(&operation.key)?;
        let datastore = self.datastore(tenant, &operation.datastore).await?;
        let version = match optional_version(&operation.version)? {
            Some(wanted) => {
                self.catalog
                    .version(datastore.id, &operation.key, wanted)
                    .await?
            }
            None => self.catalog.current(datastore.id, &operation.key).await?,
        };
        let version = version.ok_or_else(Problem::no_object)?;
        let call = coder::OpenHeads {
            request: Some(request.clone()),
            datastore: for_coder(&datastore),
            heads: vec![stored_head(&version)],
        };
        let call = Call::OpenHeads(call);
        let Reply::Sealed(sealed) = self.coders.call(tenant, call, &[]).await?.0 else {
            return Err(unexpected());
        };
        let segments = self.catalog.segments(version.id, 0..u32::MAX).await?;
        Ok(Done {
            sealed: Some(sealed),
            version: Bytes::copy_from_slice(&version.id.0),
            document: self.stat_document(&version, &segments),
            ..Default::default()
        })
    }

    fn stat_document(&self, version: &Version, segments: &[Segment]) -> String {
        let sites = self.locations.now();
        let sites: &BTreeMap<_, _> = &sites;
        let state = |fragment: &sc_metadata::Fragment| match (
            fragment.state,
            sites.get(&fragment.location),
        ) {
            (sc_metadata::FragmentState::Owed, _) => "owed",
            (sc_metadata::FragmentState::Coming, _) => "being copied",
            (_, None) => "location unknown",
            (_, Some(site)) if site.state == sc_metadata::LocationState::Lost => "lost",
            (_, Some(site)) if !site.is_well() => "location not answering",
            _ => "stored",
        };
        let segments: Vec<_> = segments
            .iter()
            .map(|segment| {
                let fragments: Vec<_> = segment
                    .fragments
                    .iter()
                    .map(|it| {
                        serde_json::json!({
                            "index": it.index,
                            "location": it.location,
                            "name": it.name,
                            "state": state(it),
                        })
                    })
                    .collect();
                serde_json::json!({
                    "bytes": segment.plain_bytes,
                    "fragment_bytes": segment.fragment_bytes,
                    "fragments": fragments,
                })
            })
            .collect();
        serde_json::json!({
            "policy": version.policy,
            "policy_version": version.policy_version,
            "segments": segments,
        })
        .to_string()
    }
}

fn finish(
    reply: Reply,
    opened: &Bytes,
    version: &Version,
    segment_end: u64,
) -> Result<Answer, Problem> {
    let Reply::ObjectOpened(object) = reply else {
        return Err(unexpected());
    };
    let mut at = 0;
    let mut sealed = Vec::with_capacity(object.chunks.len());
    for chunk in &object.chunks {
        let end = at + chunk.bytes as usize + sc_erasure::SEAL_BYTES;
        if end > opened.len() {
            return Err(unexpected());
        }
        sealed.push(opened.slice(at..end));
        at = end;
    }
    let done = Done {
        sealed: object.sealed,
        version: Bytes::copy_from_slice(&version.id.0),
        chunks: object.chunks,
        segment_bytes: segment_end,
        ..Default::default()
    };
    Ok((done, sealed))
}

/// How a segment is cut, which its policy and length say.
pub(crate) fn shape_of(policy: &Policy, segment: &Segment) -> Result<Shape, Problem> {
    let shape = Shape::new(segment.plain_bytes as usize, policy.code());
    let shape = shape.filter(|shape| shape.fragment_bytes() == segment.fragment_bytes as usize);
    shape.ok_or_else(|| {
        Problem::new(
            Code::Unavailable,
            "the catalogue's segment has another shape",
        )
    })
}

fn pieces_of(position: u32, blocks: &Range<usize>, read: &[Read]) -> coder::SegmentPieces {
    let number = |it: usize| u32::try_from(it).expect("a segment is a few mebibytes");
    coder::SegmentPieces {
        position,
        first_block: number(blocks.start),
        blocks: number(blocks.len()),
        fragments: read.iter().map(Read::message).collect(),
    }
}

/// The bytes of the segment's plaintext that are wanted: at least one.
fn within(operation: &storage::GetObject, placed: &Placed) -> Range<usize> {
    let length = u64::from(placed.segment.plain_bytes);
    let start = operation.offset - placed.start;
    let end = start.saturating_add(operation.length).min(length);
    let fits = |it: u64| usize::try_from(it).expect("a segment is a few mebibytes");
    fits(start)..fits(end)
}

pub(crate) fn stored_head(version: &Version) -> coder::StoredHead {
    coder::StoredHead {
        key: version.key.clone(),
        version: Bytes::copy_from_slice(&version.id.0),
        head: version.head.clone(),
    }
}

pub(crate) fn optional_version(version: &Bytes) -> Result<Option<VersionId>, Problem> {
    if version.is_empty() {
        return Ok(None);
    }
    Ok(Some(VersionId(id(version, "a version id")?)))
}

fn not_a_marker(version: Option<Version>) -> Result<Version, Problem> {
    version
        .filter(|version| !version.is_marker)
        .ok_or_else(Problem::no_object)
}
