//! Clients at work: each does one thing after another, and notes what it tried and was told.

use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use bytes::Bytes;
use futures_util::StreamExt as _;
use sc_client::kv::{
    Condition, KvClient, KvError, ListOptions, Metadata, ObjectBody, PutOptions, RANGE_WHOLE,
};
use sc_proto::store::problem::Code;

use super::fault::Fault;
use super::history::{
    Change, History, Object, Outcome, Read, Seen, VersionId, content, label, labelled,
};
use super::oracle::Violation;
use super::scenario::LEASE;
use super::surroundings::{Surroundings, note};
use crate::random::Random;

const POLICIES: [&str; 4] = ["hot", "cold", "coded", "tiered"];
/// Lengths of content: nothing, a little, a block or so, more than a segment.
const SIZES: [std::ops::Range<usize>; 4] = [0..1, 1..6000, 6000..120_000, 4_194_305..4_200_000];
/// How often each of these is drawn, in parts of a hundred.
const SIZE_CHANCES: [usize; 4] = [4, 79, 16, 1];
/// Content of two segments.
const LARGE: usize = 4_194_304 + 5_000;
/// Between two operations of a client.
const PAUSE: Duration = Duration::from_millis(600);

/// What clients write down together.
#[derive(Clone, Default)]
pub(crate) struct Notes {
    history: Arc<Mutex<History>>,
    violations: Arc<Mutex<Vec<Violation>>>,
}

impl Notes {
    pub(crate) fn history(&self) -> MutexGuard<'_, History> {
        self.history.lock().expect("no holder of this lock panics")
    }

    pub(crate) fn violations(&self) -> MutexGuard<'_, Vec<Violation>> {
        let violations = self.violations.lock();
        violations.expect("no holder of this lock panics")
    }
}

/// One client.
pub(crate) struct Worker {
    pub(crate) number: usize,
    pub(crate) seed: u64,
    pub(crate) client: KvClient,
    pub(crate) objects: Vec<Object>,
    pub(crate) notes: Notes,
    pub(crate) surroundings: Surroundings,
    /// Whether nothing goes wrong, so that every error is a fault of the system.
    pub(crate) is_calm: bool,
    pub(crate) random: Random,
}

impl std::fmt::Display for Worker {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(out, "client{}", self.number)
    }
}

impl Worker {
    /// Does so many things.
    pub(crate) async fn work(mut self, operations: usize) {
        for _ in 0..operations {
            let pause = self.random.time(Duration::ZERO, PAUSE);
            tokio::time::sleep(pause).await;
            let object = self.random.pick(&self.objects).clone();
            match self.random.below(100) {
                0..38 => self.put(&object).await,
                38 if !self.is_calm => self.put_slowly(&object).await,
                39 => self.read_slowly(&object).await,
                38..48 => self.upload(&object).await,
                48..76 => self.read(&object).await,
                76..82 => self.list(&object).await,
                82..94 => self.delete(&object).await,
                _ => self.delete_version(&object).await,
            }
        }
    }

    /// One thing of each kind, in an order in which all of them have something to do.
    pub(crate) async fn walk(mut self) {
        let object = self.objects[0].clone();
        let kept = self.objects[1].clone();
        for object in [&object, &kept] {
            self.put(object).await;
            self.read(object).await;
            self.put(object).await;
            self.read(object).await;
            self.list(object).await;
            self.delete(object).await;
            self.read(object).await;
            self.upload(object).await;
            self.delete_version(object).await;
            self.put(object).await;
        }
    }

    /// One object of the policy that moves what nobody reads.
    pub(crate) async fn put_idle(&mut self, object: &Object) {
        let bytes = self.random.within(1..6000);
        self.put_as(object, bytes, "tiered", Condition::None).await;
    }

    fn begin(&self, object: &Object, change: Change) -> usize {
        let now = self.surroundings.now();
        note!(self.surroundings, self, "begins {change:?} of {object}");
        self.notes.history().begin(object, change, now)
    }

    /// Notes what an attempt came to.
    fn end<T>(
        &self,
        attempt: usize,
        result: &Result<T, KvError>,
        version: impl Fn(&T) -> Option<VersionId>,
    ) {
        let outcome = match result {
            Ok(_) => Outcome::Done(self.surroundings.now()),
            Err(error) if error.code() == Some(Code::ConditionFailed) => Outcome::Refused,
            Err(_) => Outcome::Open,
        };
        let said = result.as_ref().err().map(ToString::to_string);
        note!(
            self.surroundings,
            self,
            "attempt {attempt}: {}",
            said.as_deref().unwrap_or("done")
        );
        let object = {
            let mut history = self.notes.history();
            let attempt = &mut history.attempts[attempt];
            attempt.outcome = outcome;
            if let Ok(done) = result {
                attempt.version = version(done);
            }
            attempt.object.clone()
        };
        if let Err(error) = result {
            self.told(&object, error);
        }
    }

    /// Looks at what a client was told: some things no fault explains.
    fn told(&self, object: &Object, error: &KvError) {
        let is_explained = match error {
            KvError::NotAuthentic | KvError::Malformed(_) | KvError::Body(_) => false,
            KvError::Problem { code, .. } => match code {
                Code::ConditionFailed => true,
                Code::Unavailable
                | Code::UploadGone
                | Code::NotProvisioned
                | Code::Exists
                | Code::Session => !self.is_calm,
                Code::Lost => self.surroundings.is_misled(),
                _ => false,
            },
            _ => !self.is_calm,
        };
        if !is_explained {
            self.notes.violations().push(Violation::Refused {
                object: object.to_string(),
                what: format!("{self} was told: {error}"),
            });
        }
    }

    fn draw_bytes(&mut self) -> usize {
        let mut at = self.random.below(100);
        for (size, chance) in SIZES.into_iter().zip(SIZE_CHANCES) {
            if at < chance {
                return self.random.within(size);
            }
            at -= chance;
        }
        0
    }

    fn metadata(attempt: usize) -> Metadata {
        Metadata {
            content_type: label(attempt),
            ..Metadata::default()
        }
    }

    async fn put(&mut self, object: &Object) {
        let bytes = self.draw_bytes();
        let condition = match self.random.below(10) {
            0 => Condition::Absent,
            1 => Condition::Exists,
            _ => Condition::None,
        };
        let policy = *self.random.pick(&POLICIES);
        self.put_as(object, bytes, policy, condition).await;
    }

    async fn put_as(&self, object: &Object, bytes: usize, policy: &str, condition: Condition) {
        let attempt = self.begin(object, Change::Put { bytes });
        let body = futures_util::stream::iter([Ok(content(self.seed, attempt, bytes))]);
        let body = Box::pin(body);
        self.put_stream(object, attempt, (bytes, policy, condition), body)
            .await;
    }

    async fn put_stream(
        &self,
        object: &Object,
        attempt: usize,
        (bytes, policy, condition): (usize, &str, Condition),
        body: ObjectBody,
    ) {
        let options = PutOptions {
            policy: policy.to_owned(),
            condition,
            metadata: Self::metadata(attempt),
            length: Some(bytes as u64),
        };
        let key = object.key.as_bytes();
        let put = self.client.put(object.datastore, key, &options, body);
        let result = put.await;
        self.end(attempt, &result, |receipt| {
            receipt.head.version[..].try_into().ok()
        });
    }

    /// A PUT whose second segment comes when its lease is over, and garbage is collected meanwhile.
    async fn put_slowly(&mut self, object: &Object) {
        let policy = *self.random.pick(&POLICIES);
        let rest = self.random.time(LEASE, LEASE);
        let attempt = self.begin(object, Change::Put { bytes: LARGE });
        let mut content = content(self.seed, attempt, LARGE);
        let first = content.split_to(LARGE - 1000);
        let (client, surroundings) = (self.client.clone(), self.surroundings.clone());
        let second = async move {
            surroundings.count(Fault::SlowPut);
            tokio::time::sleep(rest / 2).await;
            // Whether it hears of it or not.
            let _ = client.put_job("", r#"{"kind":"gc"}"#).await;
            tokio::time::sleep(rest / 2).await;
            Ok(content)
        };
        let body = futures_util::stream::iter([Ok(first)]);
        let body = Box::pin(body.chain(futures_util::stream::once(second)));
        self.put_stream(object, attempt, (LARGE, policy, Condition::None), body)
            .await;
    }

    /// An upload in two parts, completed or given up.
    async fn upload(&mut self, object: &Object) {
        let bytes = self.draw_bytes().min(120_000) + 2;
        let attempt = self.begin(object, Change::Put { bytes });
        let content = content(self.seed, attempt, bytes);
        let gives_up = self.random.chance(200);
        let result = self.parts(object, attempt, content, gives_up).await;
        match result {
            Some(result) => self.end(attempt, &result, |version| Some(*version)),
            None => {
                note!(self.surroundings, self, "attempt {attempt}: given up");
                self.notes.history().attempts[attempt].outcome = Outcome::Refused;
            }
        }
    }

    async fn parts(
        &mut self,
        object: &Object,
        attempt: usize,
        content: Bytes,
        gives_up: bool,
    ) -> Option<Result<VersionId, KvError>> {
        let metadata = Self::metadata(attempt);
        let key = object.key.as_bytes();
        let client = self.client.clone();
        let upload = client.create_upload(object.datastore, key, "cold", &metadata);
        let upload = match upload.await {
            Ok(upload) => upload,
            Err(error) => return Some(Err(error)),
        };
        let mut parts = Vec::new();
        let half = content.len() / 2;
        for (part, piece) in [(2, content.slice(half..)), (1, content.slice(..half))] {
            let body = Box::pin(futures_util::stream::iter([Ok(piece)]));
            match client.put_part(&upload, part, "", body).await {
                Ok(receipt) => parts.insert(0, (part, receipt.etag)),
                Err(error) => return Some(Err(error)),
            }
        }
        if gives_up {
            // Whether it hears of it or not: nothing is there before it is completed.
            let _ = client.abort_upload(&upload).await;
            return None;
        }
        let completed = client.complete_upload(&upload, &parts, "", &Condition::None);
        let version = upload.version;
        Some(completed.await.map(|_| version))
    }

    async fn delete(&mut self, object: &Object) {
        let attempt = self.begin(object, Change::Delete);
        let key = object.key.as_bytes();
        let deleted = self
            .client
            .delete(object.datastore, key, None, Condition::None);
        let result = deleted.await;
        self.end(attempt, &result, |_| None);
    }

    async fn delete_version(&mut self, object: &Object) {
        let known: Vec<VersionId> = {
            let history = self.notes.history();
            let versions = history.of(object).filter_map(|(_, it)| it.version);
            versions.collect()
        };
        if known.is_empty() {
            return;
        }
        let version = *self.random.pick(&known);
        let attempt = self.begin(object, Change::DeleteVersion(version));
        let key = object.key.as_bytes();
        let client = self.client.clone();
        let deleted = client.delete(object.datastore, key, Some(version), Condition::None);
        let result = deleted.await;
        self.end(attempt, &result, |_| None);
    }

    async fn read(&mut self, object: &Object) {
        let began = self.surroundings.now();
        match look(&self.client, self.seed, object, None).await {
            Ok(seen) => self.saw(object, began, seen),
            Err(trouble) => self.came_to_nothing(object, began, trouble),
        }
    }

    fn saw(&self, object: &Object, began: Duration, seen: Seen) {
        note!(self.surroundings, self, "reads {seen:?} of {object}");
        self.notes.history().reads.push(Read {
            object: object.clone(),
            began,
            ended: self.surroundings.now(),
            seen,
        });
    }

    /// Judges why a read gave nothing.
    fn came_to_nothing(&self, object: &Object, began: Duration, trouble: Trouble) {
        match trouble {
            Trouble::Content(what) => {
                let object = object.to_string();
                let violation = Violation::Content { object, what };
                self.notes.violations().push(violation);
            }
            Trouble::Gone => {
                // It was replaced or deleted while it was read: then somebody else is at it.
                let ended = self.surroundings.now();
                let is_disturbed = self.notes.history().of(object).any(|(_, attempt)| {
                    attempt.may_be_done_before(ended) && !attempt.is_done_before(began)
                });
                if !is_disturbed {
                    let what = format!("{self} lost it while reading");
                    let object = object.to_string();
                    let violation = Violation::Refused { object, what };
                    self.notes.violations().push(violation);
                }
            }
            Trouble::Kv(error) => {
                note!(self.surroundings, self, "reading {object}: {error}");
                self.told(object, &error);
            }
        }
    }

    /// A GET that rests before the second segment.
    async fn read_slowly(&mut self, object: &Object) {
        let policy = *self.random.pick(&POLICIES);
        self.put_as(object, LARGE, policy, Condition::None).await;
        let rest = self.random.time(Duration::from_secs(1), LEASE);
        let began = self.surroundings.now();
        let key = object.key.as_bytes();
        let reader = self.client.get(object.datastore, key, None, RANGE_WHOLE);
        let reader = match reader.await {
            Ok(reader) => reader,
            Err(error) if error.code() == Some(Code::NotFound) => {
                return self.saw(object, began, Seen::Nothing);
            }
            Err(error) => return self.came_to_nothing(object, began, Trouble::Kv(error)),
        };
        let content_type = reader.head.object.as_ref().map(|it| &it.content_type[..]);
        let attempt = labelled(content_type.unwrap_or_default());
        let bytes = reader.head.bytes;
        let mut pieces = Box::pin(reader.into_stream());
        let mut read = Vec::new();
        while let Some(piece) = pieces.next().await {
            match piece {
                Ok(piece) => read.extend_from_slice(&piece),
                Err(error) => return self.came_to_nothing(object, began, sort(error)),
            }
            if read.len() == LARGE - 5_000 {
                self.surroundings.count(Fault::SlowGet);
                tokio::time::sleep(rest).await;
            }
        }
        let is_whole = read.len() as u64 == bytes;
        match attempt.filter(|it| is_whole && read == content(self.seed, *it, read.len())) {
            Some(attempt) => self.saw(object, began, Seen::Content(attempt)),
            None => self.came_to_nothing(object, began, Trouble::Content("other bytes".into())),
        }
    }

    async fn list(&mut self, object: &Object) {
        let options = ListOptions {
            limit: 100,
            versions: self.random.chance(500),
            ..ListOptions::default()
        };
        match self.client.list(object.datastore, &options).await {
            Ok(listing) => note!(
                self.surroundings,
                self,
                "lists {} of {}",
                listing.heads.len(),
                object.datastore
            ),
            Err(error) => {
                note!(self.surroundings, self, "listing: {error}");
                self.told(object, &error);
            }
        }
    }
}

/// Why a read came to nothing.
pub(crate) enum Trouble {
    /// The store's word, or the link's.
    Kv(KvError),
    /// The version went away while it was read.
    Gone,
    /// What came is not what was put.
    Content(String),
}

/// What an error on the way means to a reader.
fn sort(error: KvError) -> Trouble {
    match error.code() {
        Some(Code::NotFound) => Trouble::Gone,
        _ => Trouble::Kv(error),
    }
}

/// Reads an object, or a version of it, and looks up who has put what comes.
pub(crate) async fn look(
    client: &KvClient,
    seed: u64,
    object: &Object,
    version: Option<VersionId>,
) -> Result<Seen, Trouble> {
    let key = object.key.as_bytes();
    let reader = client.get(object.datastore, key, version, RANGE_WHOLE);
    let reader = match reader.await {
        Ok(reader) => reader,
        Err(error) if error.code() == Some(Code::NotFound) => return Ok(Seen::Nothing),
        Err(error) => return Err(Trouble::Kv(error)),
    };
    let head = reader.head.clone();
    let bytes = match reader.read_all().await {
        Ok(bytes) => bytes,
        Err(error) => return Err(sort(error)),
    };
    let content_type = head.object.map(|it| it.content_type).unwrap_or_default();
    let number = labelled(&content_type)
        .ok_or_else(|| Trouble::Content(format!("metadata {content_type:?}")))?;
    if bytes != content(seed, number, bytes.len()) || bytes.len() as u64 != head.bytes {
        let what = format!("other content than attempt {number} has put");
        return Err(Trouble::Content(what));
    }
    Ok(Seen::Content(number))
}
