//! A store in memory, with one copy of everything, around the real coding engine: what the gateway's requests meet at the other end.

mod coding;
mod objects;
mod uploads;

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use prost::Message as _;
use sc_attestation::Policy;
use sc_client::OsEntropy;
use sc_client::kv::{Credentials, KvClient, LinkReply, OwnerAgent, Roots, StoreLink};
use sc_coder::Engine;
use sc_crypto::{OwnerSecret, Secret};
use sc_enclave::{SimulatedPlatform, simulation_development_key};
use sc_erasure::Kernel;
use sc_proto::coder::{self, call::Call, reply::Reply};
use sc_proto::storage::{self, operation::Operation as Kind};
use sc_proto::store::{self, problem::Code, reply, request};
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
    /// Definition and state of each job, by its id less one.
    jobs: Vec<(String, &'static str)>,
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

/// A job as a document.
fn job(jobs: &[(String, &'static str)], id: u64) -> Option<String> {
    let (definition, state) = jobs.get(usize::try_from(id).ok()?.checked_sub(1)?)?;
    Some(format!(
        r#"{{"id":{id},"state":"{state}","definition":{definition},"share":0.5}}"#
    ))
}

fn no_job() -> Refused {
    (Code::NotFound, "there is no such job".into())
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
                Kind::PutJob(it) => {
                    if !it.definition.contains("\"kind\"") {
                        return Err((Code::Malformed, "a job has a kind".into()));
                    }
                    state.jobs.push((it.definition, "running"));
                    job(&state.jobs, state.jobs.len() as u64).ok_or_else(no_job)?
                }
                Kind::ListJobs(it) if it.job > 0 => {
                    job(&state.jobs, it.job).ok_or_else(no_job)?
                }
                Kind::ListJobs(it) => {
                    let before = if it.before == 0 { u64::MAX } else { it.before };
                    let ids = (1..=state.jobs.len() as u64).rev().filter(|id| *id < before);
                    let jobs = ids.take(it.limit as usize);
                    array(jobs.filter_map(|id| job(&state.jobs, id)))
                }
                Kind::CancelJob(it) => {
                    if let Some(entry) = state.jobs.get_mut((it.job as usize).wrapping_sub(1)) {
                        entry.1 = "cancelled";
                    }
                    job(&state.jobs, it.job).ok_or_else(no_job)?
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
