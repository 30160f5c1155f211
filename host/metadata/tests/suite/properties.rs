//! Any sequence of operations leaves the catalogue as the model has it, and answers as the model does.

use std::cell::Cell;
use std::collections::BTreeSet;
use std::fmt::Debug;

use bytes::Bytes;
use proptest::prelude::*;
use proptest::test_runner::{Config, TestCaseError, TestCaseResult, TestRunner};
use sc_metadata::{
    Catalog, Commit, Condition, DatastoreId, FragmentState, Key, NewIntent, NewMarker, Segment,
    SegmentId, TenantId, VersionId,
};

use crate::engines;
use crate::house;
use crate::model::Model;
use crate::operations::{Operation, TAGS, VERSIONS, Wish, operations};

#[test]
fn operations_agree_with_the_model_in_memory() {
    engines::in_memory(|catalog| agrees(catalog, 150));
}

#[test]
fn operations_agree_with_the_model_in_a_file() {
    engines::in_a_file(|catalog| agrees(catalog, 6));
}

#[test]
fn operations_agree_with_the_model_on_postgres() {
    engines::on_postgres(|catalog| agrees(catalog, 10));
}

async fn agrees(catalog: Catalog, cases: u32) {
    let mut runner = TestRunner::new(Config {
        cases,
        failure_persistence: None,
        max_shrink_iters: 2_000,
        ..Config::default()
    });
    // Cases share a catalogue: each has names of its own.
    let case = Cell::new(0_u32);
    let result = runner.run(
        &(any::<bool>(), operations()),
        |(versioning, operations)| {
            case.set(case.get() + 1);
            let world = World::new(catalog.clone(), case.get(), versioning);
            let handle = tokio::runtime::Handle::current();
            tokio::task::block_in_place(|| handle.block_on(world.run(operations)))
        },
    );
    if let Err(error) = result {
        panic!("{error}");
    }
}

/// A datastore and its model, at some time.
struct World {
    catalog: Catalog,
    case: u32,
    model: Model,
    now_ms: u64,
}

/// Operations between two looks at everything; their answers are compared each time.
const COMPARED_EVERY: usize = 5;

/// How long garbage is kept in these runs.
const KEPT_MS: u64 = 15;

fn same<T: Debug + PartialEq>(what: &str, found: T, expected: T) -> TestCaseResult {
    if found == expected {
        return Ok(());
    }
    let said = format!("{what}: {found:?}, and the model says {expected:?}");
    Err(TestCaseError::fail(said))
}

impl World {
    fn new(catalog: Catalog, case: u32, versioning: bool) -> Self {
        Self {
            catalog,
            case,
            model: Model::new(versioning),
            now_ms: 100,
        }
    }

    fn tenant(&self) -> TenantId {
        let mut id = [0; 32];
        id[..4].copy_from_slice(&self.case.to_be_bytes());
        TenantId(id)
    }

    fn datastore(&self) -> DatastoreId {
        let mut id = [1; 16];
        id[..4].copy_from_slice(&self.case.to_be_bytes());
        DatastoreId(id)
    }

    fn version(&self, number: u8) -> VersionId {
        let mut id = [number; 16];
        id[..4].copy_from_slice(&self.case.to_be_bytes());
        VersionId(id)
    }

    fn is_mine(&self, version: VersionId) -> bool {
        version.0[..4] == self.case.to_be_bytes()
    }

    fn key(number: u8) -> Key {
        [&b"a"[..], b"a/b", b"\xff"][usize::from(number)].into()
    }

    fn segment(&self, version: u8, part: u32, index: u32, attempt: u8) -> Segment {
        house::segment(self.version(version), part, index, attempt)
    }

    fn condition(&self, wish: &Wish) -> Condition {
        match wish {
            Wish::None => Condition::None,
            Wish::IfAbsent => Condition::IfAbsent,
            Wish::IfExists => Condition::IfExists,
            Wish::IfCurrent(version) => Condition::IfCurrent(self.version(*version)),
        }
    }

    async fn run(mut self, operations: Vec<Operation>) -> TestCaseResult {
        let mut datastore = house::datastore(0, "readings", self.model.versioning);
        datastore.id = self.datastore();
        datastore.tenant = self.tenant();
        self.catalog.create_datastore(&datastore).await.unwrap();
        for (turn, operation) in operations.into_iter().enumerate() {
            self.apply(operation).await?;
            if turn % COMPARED_EVERY == 0 {
                self.compare().await?;
            }
        }
        self.compare().await
    }

    async fn apply(&mut self, operation: Operation) -> TestCaseResult {
        let catalog = self.catalog.clone();
        let now_ms = self.now_ms;
        let due_ms = now_ms + KEPT_MS;
        match operation {
            Operation::Begin {
                key,
                version,
                is_upload,
                lease,
            } => {
                let new = NewIntent {
                    version: self.version(version),
                    datastore: self.datastore(),
                    key: Self::key(key),
                    lease_until_ms: now_ms + lease,
                    upload: is_upload.then(|| Bytes::from_static(b"upload")),
                    policy: "standard".to_owned(),
                    policy_version: 1,
                    created_ms: now_ms,
                };
                let found = catalog.begin(new.clone(), &[]).await;
                same("begin", found, self.model.begin(new))
            }
            Operation::Add {
                version,
                part,
                index,
                attempt,
            } => {
                let segment = self.segment(version, part, index, attempt);
                let segments = std::slice::from_ref(&segment);
                let added = catalog.add_segments(segment.version, segments, now_ms + 30, now_ms);
                let found = added.await;
                same(
                    "add",
                    found,
                    self.model.add_segment(segment, now_ms + 30, now_ms),
                )
            }
            Operation::Renew { version, lease } => {
                let version = self.version(version);
                let found = catalog.renew(version, now_ms + lease, now_ms).await;
                same(
                    "renew",
                    found,
                    self.model.renew(version, now_ms + lease, now_ms),
                )
            }
            Operation::PutPart {
                version,
                part,
                segments,
            } => {
                let ids: BTreeSet<SegmentId> = segments
                    .into_iter()
                    .map(|(index, attempt)| self.segment(version, part, index, attempt).id)
                    .collect();
                let ids: Vec<_> = ids.into_iter().collect();
                let (version, part) = (
                    self.version(version),
                    house::part(part, 40 + ids.len() as u64),
                );
                let lease = now_ms + 30;
                let put = catalog.put_part(version, part.clone(), &ids, lease, now_ms, due_ms);
                let found = put.await;
                same(
                    "part",
                    found,
                    self.model
                        .put_part(version, part, &ids, lease, now_ms, due_ms),
                )
            }
            Operation::Commit {
                version,
                condition,
                size,
                parts,
                tags,
            } => {
                let commit = Commit {
                    condition: self.condition(&condition),
                    size,
                    parts,
                    tags: tags.into_iter().map(|tag| [tag; 16]).collect(),
                    now_ms,
                    garbage_due_ms: due_ms,
                    ..house::commit(self.version(version))
                };
                let found = catalog.commit_object(commit.clone()).await;
                same("commit", found, self.model.commit(&commit))
            }
            Operation::Abandon { version } => {
                let version = self.version(version);
                let found = catalog.abandon(version, due_ms).await;
                same("abandon", found, self.model.abandon(version, due_ms))
            }
            Operation::Expire { version } => {
                let version = self.version(version);
                let found = catalog.expire_intent(version, now_ms, due_ms).await;
                same("expire", found, self.model.expire(version, now_ms, due_ms))
            }
            Operation::DeleteCurrent {
                key,
                condition,
                marker,
            } => {
                let key = Self::key(key);
                let condition = self.condition(&condition);
                let marker = marker.map(|number| self.marker(number));
                let datastore = self.datastore();
                let deleted = catalog.delete_current(
                    datastore,
                    &key,
                    condition,
                    marker.clone(),
                    now_ms,
                    due_ms,
                );
                let found = deleted.await;
                same(
                    "delete",
                    found,
                    self.model
                        .delete_current(&key, condition, marker.as_ref(), due_ms),
                )
            }
            Operation::DeleteVersion { key, version } => {
                let (key, version) = (Self::key(key), self.version(version));
                let found = catalog
                    .delete_version(self.datastore(), &key, version, due_ms)
                    .await;
                same(
                    "delete version",
                    found,
                    self.model.delete_version(&key, version, due_ms),
                )
            }
            Operation::SetFragments {
                version,
                part,
                index,
                attempt,
                count,
            } => {
                let mut segment = self.segment(version, part, index, attempt);
                segment.fragments.truncate(count);
                if let Some(first) = segment.fragments.first_mut() {
                    first.state = FragmentState::Owed;
                }
                let found = catalog.set_fragments(segment.id, &segment.fragments).await;
                same("fragments", found, self.model.set_fragments(&segment))
            }
            Operation::Forget => {
                let due = catalog.garbage(now_ms, 10_000).await.unwrap();
                let due = due
                    .into_iter()
                    .filter(|segment| self.is_mine(segment.version));
                let ids: Vec<_> = due.map(|segment| segment.id).collect();
                catalog.forget_segments(&ids).await.unwrap();
                self.model.forget(&ids);
                Ok(())
            }
            Operation::Settle { version } => {
                let version = self.version(version);
                catalog.settle_manifests(&[version]).await.unwrap();
                self.model.settle(version);
                Ok(())
            }
            Operation::Keep { versioning } => {
                let datastore = self.datastore();
                let update = catalog.update_datastore(datastore, None, Some(versioning), None);
                update.await.unwrap();
                self.model.keep(versioning);
                Ok(())
            }
            Operation::Quota { bytes } => {
                let datastore = self.datastore();
                let update = catalog.update_datastore(datastore, None, None, Some(bytes));
                update.await.unwrap();
                self.model.quota_bytes = bytes;
                Ok(())
            }
            Operation::Wait { ms } => {
                self.now_ms += ms;
                Ok(())
            }
        }
    }

    /// Markers have ids of their own, as the trusted program makes them.
    fn marker(&self, number: u8) -> NewMarker {
        NewMarker {
            id: self.version(number + VERSIONS),
            head: Bytes::new(),
        }
    }

    async fn compare(&self) -> TestCaseResult {
        self.compare_sums().await?;
        self.compare_listings().await?;
        self.compare_garbage().await?;
        self.compare_intents().await
    }

    async fn compare_sums(&self) -> TestCaseResult {
        let usage = self.catalog.usage(self.tenant()).await.unwrap();
        let model = &self.model;
        same("bytes", usage.bytes, model.used_bytes())?;
        same("stored bytes", usage.stored_bytes, model.stored_bytes())?;
        same("versions", usage.versions, model.versions.len() as u64)?;
        same("objects", usage.objects, model.objects().len() as u64)
    }

    async fn compare_listings(&self) -> TestCaseResult {
        let (catalog, model) = (&self.catalog, &self.model);
        let datastore = self.datastore();
        let page = catalog.list(datastore, b"", None, None, 100).await.unwrap();
        let found: Vec<_> = page
            .versions
            .into_iter()
            .map(|version| version.id)
            .collect();
        let expected: Vec<_> = model.objects().iter().map(|version| version.id).collect();
        same("objects", found, expected)?;

        let page = catalog
            .list_versions(datastore, b"", None, None, 100)
            .await
            .unwrap();
        let found: Vec<_> = page
            .versions
            .into_iter()
            .map(|version| {
                (
                    version.key,
                    version.number,
                    version.id,
                    version.is_marker,
                    version.is_current,
                )
            })
            .collect();
        let mut versions: Vec<_> = model.versions.iter().collect();
        versions.sort_by(|one, other| one.key.cmp(&other.key).then(other.number.cmp(&one.number)));
        let is_current = |id| {
            model.versions.iter().any(|version| {
                version.id == id
                    && model
                        .latest(&version.key)
                        .is_some_and(|latest| latest.id == id)
            })
        };
        let expected: Vec<_> = versions
            .iter()
            .map(|version| {
                (
                    version.key.clone(),
                    version.number,
                    version.id,
                    version.is_marker,
                    is_current(version.id),
                )
            })
            .collect();
        same("versions", found, expected)?;

        for tag in (0..TAGS).map(|tag| [tag; 16]) {
            let found = catalog.search(datastore, tag, None, 100).await.unwrap();
            let found: Vec<_> = found.into_iter().map(|version| version.id).collect();
            let expected: Vec<_> = model.tagged(tag).iter().map(|version| version.id).collect();
            same("tagged", found, expected)?;
        }
        for version in &model.versions {
            let opened = catalog
                .open_version(datastore, &version.key, Some(version.id), 0..100)
                .await;
            let (found, _, segments) = opened.unwrap().unwrap();
            same("size", found.size, version.size)?;
            same("segments", segments, version.segments.clone())?;
        }
        let debts = catalog.manifest_debts(None, 10_000).await.unwrap();
        let found: BTreeSet<_> = debts
            .into_iter()
            .filter(|version| self.is_mine(*version))
            .collect();
        let owing = model
            .versions
            .iter()
            .filter(|version| version.owes_manifest);
        same("debts", found, owing.map(|version| version.id).collect())
    }

    async fn compare_garbage(&self) -> TestCaseResult {
        for now_ms in [self.now_ms, u64::MAX] {
            let garbage = self.catalog.garbage(now_ms, 10_000).await.unwrap();
            let mine = garbage
                .into_iter()
                .filter(|segment| self.is_mine(segment.version));
            let due = self
                .model
                .garbage
                .iter()
                .filter(|(_, due_ms)| **due_ms <= now_ms);
            let expected: BTreeSet<_> = due.map(|(id, _)| *id).collect();
            same(
                "garbage",
                mine.map(|segment| segment.id).collect(),
                expected,
            )?;
        }
        Ok(())
    }

    async fn compare_intents(&self) -> TestCaseResult {
        let expired = self
            .catalog
            .expired_intents(self.now_ms, 10_000)
            .await
            .unwrap();
        let found: BTreeSet<_> = expired
            .into_iter()
            .filter(|version| self.is_mine(*version))
            .collect();
        let intents = self.model.intents.iter();
        let expected = intents.filter(|intent| intent.new.lease_until_ms <= self.now_ms);
        same(
            "expired",
            found,
            expected.map(|intent| intent.new.version).collect(),
        )?;
        let uploads = self
            .catalog
            .uploads(self.datastore(), b"", None, 100)
            .await
            .unwrap();
        let found: BTreeSet<_> = uploads.into_iter().map(|upload| upload.version).collect();
        let uploads = self
            .model
            .intents
            .iter()
            .filter(|intent| intent.new.upload.is_some());
        same(
            "uploads",
            found,
            uploads.map(|upload| upload.new.version).collect(),
        )
    }
}
