//! A store in memory, with one copy of everything, around the real coding engine: what the gateway's requests meet at the other end.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use prost::Message as _;
use sc_attestation::Policy;
use sc_client::OsEntropy;
use sc_client::kv::{Credentials, KvClient, LinkReply, OwnerAgent, Roots, StoreLink};
use sc_coder::{Engine, join, split};
use sc_crypto::{Entropy as _, OwnerSecret, Secret, TAG_BYTES};
use sc_enclave::{Program as _, SimulatedPlatform, simulation_development_key};
use sc_erasure::Kernel;
use sc_proto::coder::{self, call::Call, reply::Reply};
use sc_proto::storage::{self, condition::Condition as Is, operation::Operation as Kind};
use sc_proto::store::{self, problem::Code, provision, provisioning, reply, request};
use sc_transport::Frame;

/// Why a request is not done.
type Refused = (Code, String);

/// A store in memory.
#[derive(Clone)]
pub(crate) struct FakeStore {
    engine: Arc<Engine>,
    state: Arc<Mutex<State>>,
}

#[derive(Default)]
struct State {
    datastores: BTreeMap<String, Datastore>,
    segments: HashMap<Bytes, Segment>,
    uploads: BTreeMap<(String, Bytes, Bytes), Upload>,
    records: BTreeMap<(String, String), Bytes>,
    policies: BTreeMap<String, String>,
    locations: BTreeMap<String, String>,
    number: u64,
    /// What every request meets instead of an answer.
    outage: Option<Code>,
    are_deletions_unsure: bool,
}

struct Datastore {
    row: coder::Datastore,
    policy: String,
    versioning: bool,
    /// Of each key, the newest first.
    objects: BTreeMap<Bytes, Vec<Version>>,
}

#[derive(Clone)]
struct Version {
    id: Bytes,
    head: Bytes,
    body: Bytes,
    segments: Vec<Bytes>,
    is_marker: bool,
    tags: Vec<Bytes>,
}

#[derive(Clone)]
struct Segment {
    version: Bytes,
    part: u32,
    index: u32,
    record: Bytes,
    fragment: Bytes,
    header_bytes: u32,
    plain_bytes: u32,
}

struct Upload {
    sealed: Bytes,
    parts: BTreeMap<u32, (Bytes, Vec<Bytes>)>,
}

/// A store whose coder holds a tenant's root, and a client that may do everything.
pub(crate) async fn store_and_client() -> (FakeStore, KvClient) {
    let mut entropy = OsEntropy;
    let owner = OwnerSecret::from_seed(Secret::random(&mut entropy));
    let roots = Roots::generate(&mut entropy);
    let credentials = Credentials::issue_all(
        owner.signing_key(),
        roots.current(),
        "test",
        1,
        &mut entropy,
    );
    let platform = SimulatedPlatform::new(simulation_development_key(), [7; 32]);
    let store = FakeStore {
        engine: Arc::new(Engine::new(Box::new(platform), Kernel::PORTABLE)),
        state: Arc::default(),
    };
    store.with(|state| {
        let hot = r#"{"redundancy":{"kind":"replication","copies":3}}"#;
        state.policies.insert("hot".into(), hot.into());
        state.locations.insert("north-1".into(), "active".into());
    });
    let agent = OwnerAgent::new(store.clone(), owner, roots, Policy::development());
    agent
        .provision("coder")
        .await
        .expect("the coder takes the root");
    let client = KvClient::new(store.clone(), credentials);
    (store, client)
}

impl StoreLink for FakeStore {
    fn call(&self, request: Frame, _deadline: Duration) -> LinkReply<'_> {
        Box::pin(async move { Ok(self.answer(request)) })
    }
}

impl FakeStore {
    /// From now on every request of a client meets this; none: they are served again.
    pub(crate) fn break_down(&self, outage: Option<Code>) {
        self.with(|state| state.outage = outage);
    }

    /// From now on deletions are done, and not sure.
    pub(crate) fn leave_deletions_unsure(&self) {
        self.with(|state| state.are_deletions_unsure = true);
    }

    /// Puts a record of one token in another's place, as whoever owns the database could.
    pub(crate) fn swap_records(&self, one: &str, other: &str) {
        self.with(|state| {
            let key = |id: &str| ("token".to_owned(), id.to_owned());
            let record = state.records[&key(one)].clone();
            state.records.insert(key(other), record);
        });
    }

    fn with<T>(&self, change: impl FnOnce(&mut State) -> T) -> T {
        change(&mut self.state.lock().unwrap())
    }

    fn answer(&self, frame: Frame) -> Frame {
        let (reply, attachments) = match self.try_answer(frame) {
            Ok(answer) => answer,
            Err((code, message)) => {
                let problem = store::Problem {
                    code: code.into(),
                    message,
                    retry_after_ms: 0,
                };
                (reply::Reply::Problem(problem), Vec::new())
            }
        };
        let mut frame = Frame::new(store::Reply { reply: Some(reply) }.encode_to_vec());
        frame.attachments = attachments;
        frame
    }

    fn try_answer(&self, frame: Frame) -> Result<(reply::Reply, Vec<Bytes>), Refused> {
        let request = store::Request::decode(frame.head).unwrap().request.unwrap();
        match request {
            request::Request::Provision(step) => Ok((self.provision(step)?, Vec::new())),
            request::Request::OpenSession(open) => {
                let call = Call::OpenSession(open.session.unwrap());
                match self.ask(call, &[])? {
                    (Reply::Sealed(sealed), _) => Ok((reply::Reply::Session(sealed), Vec::new())),
                    _ => Err(malformed()),
                }
            }
            request::Request::Operation(request) => {
                if let Some(code) = self.with(|state| state.outage) {
                    return Err((code, "out of order".into()));
                }
                let operation = storage::Operation::decode(request.operation.clone()).unwrap();
                let mut bulk = Vec::new();
                frame
                    .attachments
                    .iter()
                    .for_each(|it| bulk.extend_from_slice(it));
                let (done, attachments) =
                    self.operate(operation.operation.unwrap(), request, &bulk)?;
                Ok((reply::Reply::Done(done), attachments))
            }
            request::Request::Describe(_) => Err(malformed()),
        }
    }

    fn provision(&self, step: store::Provision) -> Result<reply::Reply, Refused> {
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

    fn ask(&self, call: Call, bulk: &[u8]) -> Result<(Reply, Bytes), Refused> {
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
    fn authorize(&self, request: coder::Request) -> Result<coder::Sealed, Refused> {
        let call = coder::Authorize {
            request: Some(request),
        };
        match self.ask(Call::Authorize(call), &[])?.0 {
            Reply::Sealed(sealed) => Ok(sealed),
            _ => Err(malformed()),
        }
    }

    fn operate(
        &self,
        operation: Kind,
        request: coder::Request,
        bulk: &[u8],
    ) -> Result<(store::Done, Vec<Bytes>), Refused> {
        let done = match operation {
            Kind::GetObject(it) => return self.get(&it, request),
            Kind::PutObject(it) => self.put(&it, request, bulk)?,
            Kind::PutSegment(it) => {
                let place = (it.part, it.index);
                let sealed = self.seal_segment(&it.datastore, &it.version, place, request, bulk)?;
                sealed_done(sealed.1)
            }
            Kind::CommitObject(it) => {
                let segments = self.segments_sent(&it.version, 0);
                self.check(&it.datastore, &it.key, it.condition.as_ref())?;
                self.commit(
                    (&it.datastore, &it.key, &it.version),
                    request,
                    segments,
                    Bytes::new(),
                    Vec::new(),
                )?
            }
            Kind::CommitPart(it) => self.commit_part(&it, request)?,
            Kind::CompleteUpload(it) => self.complete(&it, request)?,
            Kind::CreateUpload(it) => self.create_upload(&it, request)?,
            Kind::AbandonObject(it) => {
                let sealed = self.authorize(request)?;
                let upload = (it.datastore, it.key, it.version);
                self.with(|state| state.uploads.remove(&upload));
                sealed_done(sealed)
            }
            Kind::DeleteObject(it) => self.delete(&it, request)?,
            Kind::ListObjects(it) => self.list(&it, request)?,
            Kind::SearchObjects(it) => self.search(&it, request)?,
            Kind::ListUploads(it) => self.list_uploads(&it, request)?,
            Kind::StatObject(it) => {
                let found = self.find(&it.datastore, &it.key, &it.version)?;
                let heads = vec![stored_head(&it.key, &found)];
                let mut done = self.open_heads(&it.datastore, request, heads)?;
                done.document = r#"{"segments":[],"owed":0}"#.into();
                done
            }
            Kind::CreateDatastore(it) => self.create_datastore(it, request)?,
            Kind::PutRecord(it) => {
                let call = coder::SealRecord {
                    request: Some(request),
                };
                let Reply::RecordSealed(made) = self.ask(Call::SealRecord(call), &[])?.0 else {
                    return Err(malformed());
                };
                let key = (it.kind, it.id);
                self.with(|state| state.records.insert(key, made.record));
                sealed_done(made.sealed.unwrap())
            }
            Kind::GetRecord(it) => {
                let record =
                    self.with(|state| state.records.get(&(it.kind, it.id.clone())).cloned());
                let records = record.into_iter().map(|record| coder::StoredRecord {
                    id: it.id.clone(),
                    record,
                });
                self.open_records(request, records.collect())?
            }
            Kind::ListRecords(it) => {
                let records = self.with(|state| {
                    let records = state.records.iter();
                    records
                        .filter(|((kind, id), _)| *kind == it.kind && *id > it.after)
                        .take(it.limit as usize)
                        .map(|((_, id), record)| coder::StoredRecord {
                            id: id.clone(),
                            record: record.clone(),
                        })
                        .collect()
                });
                self.open_records(request, records)?
            }
            other => self.small(other, request)?,
        };
        Ok((done, Vec::new()))
    }

    /// Operations that the coder only has to allow.
    fn small(&self, operation: Kind, request: coder::Request) -> Result<store::Done, Refused> {
        let mut done = sealed_done(self.authorize(request)?);
        self.with(|state| {
            done.document = match operation {
                Kind::ListDatastores(_) => {
                    let entries = state.datastores.iter().map(|(name, it)| {
                        let (policy, versioning) = (&it.policy, it.versioning);
                        let objects = it.objects.len();
                        format!(r#"{{"name":"{name}","policy":"{policy}","versioning":{versioning},"objects":{objects}}}"#)
                    });
                    array(entries)
                }
                Kind::UpdateDatastore(it) => {
                    let datastore = state.datastores.get_mut(&it.datastore).ok_or_else(no_datastore)?;
                    if !it.policy.is_empty() {
                        if !state.policies.contains_key(&it.policy) {
                            return Err((Code::NoPolicy, "no such policy".into()));
                        }
                        datastore.policy = it.policy;
                    }
                    match it.versioning {
                        1 => datastore.versioning = true,
                        2 => datastore.versioning = false,
                        _ => {}
                    }
                    String::new()
                }
                Kind::DeleteDatastore(it) => {
                    let datastore = state.datastores.get(&it.datastore).ok_or_else(no_datastore)?;
                    if !datastore.objects.is_empty() {
                        return Err((Code::NotEmpty, "there are objects in it".into()));
                    }
                    state.datastores.remove(&it.datastore);
                    String::new()
                }
                Kind::ListPolicies(_) => array(state.policies.iter().map(|(name, definition)| {
                    format!(r#"{{"name":"{name}","version":1,"definition":{definition}}}"#)
                })),
                Kind::PutPolicy(it) => {
                    let is_present = it.simulate && it.definition.is_empty();
                    if is_present && !state.policies.contains_key(&it.name) {
                        return Err((Code::NoPolicy, "no such policy".into()));
                    }
                    if !is_present && !it.definition.contains("redundancy") {
                        return Err((Code::Malformed, "a policy needs a redundancy".into()));
                    }
                    if !it.simulate {
                        state.policies.insert(it.name, it.definition);
                    }
                    r#"{"space_factor":3.0}"#.into()
                }
                Kind::ListLocations(_) => array(state.locations.iter().map(|(name, location)| {
                    format!(r#"{{"name":"{name}","state":"{location}"}}"#)
                })),
                Kind::PutLocation(it) => {
                    if it.settings.is_empty() && !state.locations.contains_key(&it.name) {
                        return Err((Code::Malformed, "a new location needs settings".into()));
                    }
                    let word = if it.state.is_empty() { "active".into() } else { it.state };
                    state.locations.insert(it.name, word);
                    String::new()
                }
                Kind::GetUsage(_) => r#"{"used_bytes":0}"#.into(),
                Kind::DeleteRecord(it) => {
                    state.records.remove(&(it.kind, it.id));
                    String::new()
                }
                Kind::ListParts(it) => {
                    let upload = (it.datastore, it.key, it.version);
                    let upload = state.uploads.get(&upload).ok_or_else(upload_gone)?;
                    array(upload.parts.keys().filter(|part| **part > it.after).map(|part| format!(r#"{{"part":{part}}}"#)))
                }
                _ => return Err(malformed()),
            };
            Ok(())
        })?;
        Ok(done)
    }

    fn create_datastore(
        &self,
        it: storage::CreateDatastore,
        request: coder::Request,
    ) -> Result<store::Done, Refused> {
        if self.with(|state| state.datastores.contains_key(&it.datastore)) {
            return Err((Code::Exists, "there is one".into()));
        }
        if !self.with(|state| state.policies.contains_key(&it.policy)) {
            return Err((Code::NoPolicy, "no such policy".into()));
        }
        let call = coder::MakeDatastore {
            request: Some(request),
        };
        let Reply::DatastoreMade(made) = self.ask(Call::MakeDatastore(call), &[])?.0 else {
            return Err(malformed());
        };
        let datastore = Datastore {
            row: made.datastore.unwrap(),
            policy: it.policy,
            versioning: it.versioning,
            objects: BTreeMap::new(),
        };
        self.with(|state| state.datastores.insert(it.datastore, datastore));
        Ok(sealed_done(made.sealed.unwrap()))
    }

    fn row(&self, name: &str) -> Result<coder::Datastore, Refused> {
        let row = self.with(|state| state.datastores.get(name).map(|it| it.row.clone()));
        row.ok_or_else(no_datastore)
    }

    fn seal_segment(
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

    /// The segments of a part, in order; part 0 is all of a version that is no multipart upload.
    fn segments_sent(&self, version: &Bytes, part: u32) -> Vec<Bytes> {
        self.with(|state| {
            let sent = state.segments.iter();
            let sent = sent.filter(|(_, it)| it.version == *version && it.part == part);
            let ordered: BTreeMap<u32, Bytes> =
                sent.map(|(id, it)| (it.index, id.clone())).collect();
            ordered.into_values().collect()
        })
    }

    fn put(
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

    fn commit(
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

    fn add(
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

    fn check(
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

    fn find(&self, datastore: &str, key: &Bytes, version: &Bytes) -> Result<Version, Refused> {
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

    fn get(
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

    fn delete(
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

    fn list(
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

    fn search(
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

    fn open_heads(
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

    fn open_records(
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

    fn create_upload(
        &self,
        it: &storage::CreateUpload,
        request: coder::Request,
    ) -> Result<store::Done, Refused> {
        let call = coder::SealUpload {
            request: Some(request),
            datastore: Some(self.row(&it.datastore)?),
            created_ms: 1_700_000_000_000,
        };
        let Reply::UploadSealed(made) = self.ask(Call::SealUpload(call), &[])?.0 else {
            return Err(malformed());
        };
        let upload = Upload {
            sealed: made.upload,
            parts: BTreeMap::new(),
        };
        let name = (it.datastore.clone(), it.key.clone(), it.version.clone());
        self.with(|state| state.uploads.insert(name, upload));
        Ok(sealed_done(made.sealed.unwrap()))
    }

    fn list_uploads(
        &self,
        it: &storage::ListUploads,
        request: coder::Request,
    ) -> Result<store::Done, Refused> {
        let heads = self.with(|state| {
            let uploads = state.uploads.iter();
            uploads
                .filter(|((datastore, key, _), _)| {
                    *datastore == it.datastore && key.starts_with(&it.prefix)
                })
                .map(|((_, key, version), upload)| coder::StoredHead {
                    key: key.clone(),
                    version: version.clone(),
                    head: upload.sealed.clone(),
                })
                .collect()
        });
        self.open_heads(&it.datastore, request, heads)
    }

    fn commit_part(
        &self,
        it: &storage::CommitPart,
        request: coder::Request,
    ) -> Result<store::Done, Refused> {
        let name = (it.datastore.clone(), it.key.clone(), it.version.clone());
        if !self.with(|state| state.uploads.contains_key(&name)) {
            return Err(upload_gone());
        }
        let segments = self.segments_sent(&it.version, it.part);
        let call = coder::SealPart {
            request: Some(request),
            datastore: Some(self.row(&it.datastore)?),
            records: self.with(|state| {
                let segments = segments.iter();
                segments
                    .map(|id| state.segments[id].record.clone())
                    .collect()
            }),
        };
        let Reply::PartSealed(made) = self.ask(Call::SealPart(call), &[])?.0 else {
            return Err(malformed());
        };
        self.with(|state| {
            let upload = state.uploads.get_mut(&name).unwrap();
            upload.parts.insert(it.part, (made.part, segments));
        });
        Ok(sealed_done(made.sealed.unwrap()))
    }

    fn complete(
        &self,
        it: &storage::CompleteUpload,
        request: coder::Request,
    ) -> Result<store::Done, Refused> {
        let name = (it.datastore.clone(), it.key.clone(), it.version.clone());
        self.check(&it.datastore, &it.key, it.condition.as_ref())?;
        let (sealed, chosen) = self.with(|state| {
            let upload = state.uploads.get(&name).ok_or_else(upload_gone)?;
            let chosen = it.parts.iter().map(|part| upload.parts.get(part).cloned());
            let chosen = chosen.collect::<Option<Vec<_>>>();
            let chosen = chosen.ok_or_else(|| (Code::Malformed, "no such part".to_owned()))?;
            Ok::<_, Refused>((upload.sealed.clone(), chosen))
        })?;
        let segments = chosen.iter().flat_map(|it| it.1.clone()).collect();
        let parts = chosen.into_iter().map(|it| it.0).collect();
        let done = self.commit(
            (&it.datastore, &it.key, &it.version),
            request,
            segments,
            sealed,
            parts,
        )?;
        self.with(|state| state.uploads.remove(&name));
        Ok(done)
    }
}

fn stored_head(key: &Bytes, version: &Version) -> coder::StoredHead {
    coder::StoredHead {
        key: key.clone(),
        version: version.id.clone(),
        head: version.head.clone(),
    }
}

fn sealed_done(sealed: coder::Sealed) -> store::Done {
    store::Done {
        sealed: Some(sealed),
        ..Default::default()
    }
}

fn array(entries: impl Iterator<Item = String>) -> String {
    format!("[{}]", entries.collect::<Vec<_>>().join(","))
}

fn malformed() -> Refused {
    (Code::Malformed, "this store does not know it".into())
}

fn no_datastore() -> Refused {
    (Code::NoDatastore, "no such datastore".into())
}

fn upload_gone() -> Refused {
    (Code::UploadGone, "no such upload".into())
}
