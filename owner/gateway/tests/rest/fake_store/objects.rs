//! Objects: what is put, found, read, deleted and listed.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use sc_crypto::TAG_BYTES;
use sc_proto::coder::{self, call::Call, reply::Reply};
use sc_proto::storage::{self, condition::Condition as Is};
use sc_proto::store::{self, problem::Code};

use super::{FakeStore, Refused, Version, malformed, no_datastore, sealed_done, stored_head};

impl FakeStore {
    /// The segments of a part, in order; part 0 is all of a version that is no multipart upload.
    pub(super) fn segments_sent(&self, version: &Bytes, part: u32) -> Vec<Bytes> {
        self.with(|state| {
            let sent = state.segments.iter();
            let sent = sent.filter(|(_, it)| it.version == *version && it.part == part);
            let ordered: BTreeMap<u32, Bytes> =
                sent.map(|(id, it)| (it.index, id.clone())).collect();
            ordered.into_values().collect()
        })
    }

    pub(super) fn put(
        &self,
        it: &storage::PutObject,
        request: coder::Request,
        blocks: &[u8],
    ) -> Result<store::Done, Refused> {
        if !it.policy.is_empty() && !self.with(|state| state.policies.contains_key(&it.policy)) {
            return Err((Code::NoPolicy, "no such policy".into()));
        }
        self.check(&it.datastore, &it.key, it.condition.as_ref())?;
        let mut segments = Vec::new();
        if it.bytes > 0 {
            let sealed =
                self.seal_segment(&it.datastore, &it.version, (0, 0), request.clone(), blocks)?;
            segments.push(sealed.0);
        }
        self.commit(
            (&it.datastore, &it.key, &it.version),
            request,
            segments,
            Bytes::new(),
            Vec::new(),
        )
    }

    pub(super) fn commit(
        &self,
        (datastore, key, id): (&str, &Bytes, &Bytes),
        request: coder::Request,
        segments: Vec<Bytes>,
        upload: Bytes,
        parts: Vec<Bytes>,
    ) -> Result<store::Done, Refused> {
        let (number, records, policy) = self.with(|state| {
            state.number += 1;
            let records = segments.iter().map(|id| state.segments[id].record.clone());
            let policy = state.datastores.get(datastore).map(|it| it.policy.clone());
            (state.number, records.collect(), policy)
        });
        let call = coder::SealManifest {
            request: Some(request),
            datastore: Some(self.row(datastore)?),
            number,
            created_ms: 1_700_000_000_000 + number,
            records,
            policy: policy.unwrap_or_default(),
            upload,
            parts,
        };
        let Reply::ManifestSealed(made) = self.ask(Call::SealManifest(call), &[])?.0 else {
            return Err(malformed());
        };
        let version = Version {
            id: id.clone(),
            head: made.head,
            body: made.body,
            segments,
            is_marker: false,
            tags: made.tags,
        };
        Ok(self.add(datastore, key, version, made.sealed.unwrap()))
    }

    pub(super) fn add(
        &self,
        datastore: &str,
        key: &Bytes,
        version: Version,
        sealed: coder::Sealed,
    ) -> store::Done {
        self.with(|state| {
            let datastore = state.datastores.get_mut(datastore).unwrap();
            let versions = datastore.objects.entry(key.clone()).or_default();
            if !datastore.versioning {
                versions.clear();
            }
            versions.insert(0, version);
        });
        sealed_done(sealed)
    }

    pub(super) fn check(
        &self,
        datastore: &str,
        key: &Bytes,
        condition: Option<&storage::Condition>,
    ) -> Result<(), Refused> {
        self.row(datastore)?;
        let current = self.find(datastore, key, &Bytes::new()).ok();
        let holds = match condition.and_then(|it| it.condition.as_ref()) {
            None => true,
            Some(Is::Absent(_)) => current.is_none(),
            Some(Is::Exists(_)) => current.is_some(),
            Some(Is::Version(version)) => current.is_some_and(|it| it.id == *version),
        };
        if holds {
            return Ok(());
        }
        Err((Code::ConditionFailed, "another version is current".into()))
    }

    pub(super) fn find(
        &self,
        datastore: &str,
        key: &Bytes,
        version: &Bytes,
    ) -> Result<Version, Refused> {
        self.with(|state| {
            let datastore = state.datastores.get(datastore).ok_or_else(no_datastore)?;
            let versions = datastore.objects.get(key).map_or(&[][..], Vec::as_slice);
            let found = match version.is_empty() {
                true => versions.first(),
                false => versions.iter().find(|it| it.id == *version),
            };
            let found = found.filter(|it| !it.is_marker).cloned();
            found.ok_or_else(|| (Code::NotFound, "no such object".into()))
        })
    }

    pub(super) fn get(
        &self,
        it: &storage::GetObject,
        request: coder::Request,
    ) -> Result<(store::Done, Vec<Bytes>), Refused> {
        let found = self.find(&it.datastore, &it.key, &it.version)?;
        let (mut start, mut bulk, mut segments, mut total) = (0, Vec::new(), Vec::new(), 0);
        let mut segment_end = 0;
        self.with(|state| {
            for (position, id) in (0..).zip(&found.segments) {
                let segment = &state.segments[id];
                let end = start + u64::from(segment.plain_bytes);
                if it.length > 0 && segments.is_empty() && (start..end).contains(&it.offset) {
                    bulk.extend_from_slice(&segment.fragment);
                    segment_end = end;
                    segments.push(coder::SegmentPieces {
                        position,
                        first_block: 0,
                        blocks: segment.plain_bytes.div_ceil(sc_coder::BLOCK_BYTES as u32),
                        fragments: vec![coder::FragmentPieces {
                            index: 0,
                            header_bytes: segment.header_bytes,
                            piece_bytes: segment.fragment.len() as u32 - segment.header_bytes,
                        }],
                    });
                }
                start = end;
                total = end;
            }
        });
        let is_all_of_nothing = total == 0 && it.offset == 0;
        if it.length > 0 && it.offset >= total && !is_all_of_nothing {
            return Err((Code::Range, format!("the object has {total} bytes")));
        }
        let call = coder::OpenObject {
            request: Some(request),
            datastore: Some(self.row(&it.datastore)?),
            version: found.id.clone(),
            head: found.head,
            body: found.body,
            segments,
        };
        let (Reply::ObjectOpened(opened), mut bulk) = self.ask(Call::OpenObject(call), &bulk)?
        else {
            return Err(malformed());
        };
        assert!(opened.bad.is_empty());
        let chunks = opened.chunks.iter();
        let attachments = chunks
            .map(|chunk| bulk.split_to(chunk.bytes as usize + TAG_BYTES))
            .collect();
        let done = store::Done {
            sealed: opened.sealed,
            version: found.id,
            chunks: opened.chunks,
            segment_bytes: segment_end,
            ..Default::default()
        };
        Ok((done, attachments))
    }

    pub(super) fn delete(
        &self,
        it: &storage::DeleteObject,
        request: coder::Request,
    ) -> Result<store::Done, Refused> {
        self.check(&it.datastore, &it.key, it.condition.as_ref())?;
        let versioning = self.with(|state| state.datastores[&it.datastore].versioning);
        if versioning && it.version.is_empty() {
            let call = coder::SealMarker {
                request: Some(request),
                datastore: Some(self.row(&it.datastore)?),
                number: self.with(|state| {
                    state.number += 1;
                    state.number
                }),
                created_ms: 1_700_000_000_000,
            };
            let Reply::MarkerSealed(made) = self.ask(Call::SealMarker(call), &[])?.0 else {
                return Err(malformed());
            };
            let marker = Version {
                id: it.marker.clone(),
                head: made.head,
                body: Bytes::new(),
                segments: Vec::new(),
                is_marker: true,
                tags: Vec::new(),
            };
            let mut done = self.add(&it.datastore, &it.key, marker, made.sealed.unwrap());
            done.version = it.marker.clone();
            return Ok(done);
        }
        let mut done = sealed_done(self.authorize(request)?);
        self.with(|state| {
            done.is_unsure = state.are_deletions_unsure;
            let objects = &mut state.datastores.get_mut(&it.datastore).unwrap().objects;
            let Some(versions) = objects.get_mut(&it.key) else {
                return;
            };
            done.version = versions[0].id.clone();
            versions.retain(|version| !it.version.is_empty() && version.id != it.version);
            if versions.is_empty() {
                objects.remove(&it.key);
            }
        });
        Ok(done)
    }

    pub(super) fn list(
        &self,
        it: &storage::ListObjects,
        request: coder::Request,
    ) -> Result<store::Done, Refused> {
        self.row(&it.datastore)?;
        let (mut heads, mut prefixes, mut cursor) = (Vec::new(), BTreeSet::new(), Bytes::new());
        self.with(|state| {
            for (key, versions) in &state.datastores[&it.datastore].objects {
                if !key.starts_with(&it.prefix) || key[..] <= it.cursor[..] {
                    continue;
                }
                if heads.len() + prefixes.len() >= it.limit as usize {
                    cursor = heads
                        .last()
                        .map_or(Bytes::new(), |head: &coder::StoredHead| head.key.clone());
                    break;
                }
                let rest = &key[it.prefix.len()..];
                let at = rest
                    .windows(it.delimiter.len().max(1))
                    .position(|window| *window == it.delimiter[..]);
                if let Some(at) = at {
                    prefixes.insert(key.slice(..it.prefix.len() + at + it.delimiter.len()));
                    continue;
                }
                let shown = if it.versions { versions.len() } else { 1 };
                let shown = versions[..shown]
                    .iter()
                    .filter(|version| it.versions || !version.is_marker);
                heads.extend(shown.map(|version| stored_head(key, version)));
            }
        });
        let mut done = self.open_heads(&it.datastore, request, heads)?;
        done.prefixes = prefixes.into_iter().collect();
        done.cursor = cursor;
        Ok(done)
    }

    pub(super) fn search(
        &self,
        it: &storage::SearchObjects,
        request: coder::Request,
    ) -> Result<store::Done, Refused> {
        let call = coder::BlindTag {
            request: Some(request.clone()),
            datastore: Some(self.row(&it.datastore)?),
        };
        let Reply::TagBlinded(blinded) = self.ask(Call::BlindTag(call), &[])?.0 else {
            return Err(malformed());
        };
        let heads = self.with(|state| {
            let objects = state.datastores[&it.datastore].objects.iter();
            let found = objects.filter(|(_, versions)| versions[0].tags.contains(&blinded.tag));
            found
                .map(|(key, versions)| stored_head(key, &versions[0]))
                .collect()
        });
        self.open_heads(&it.datastore, request, heads)
    }
}
