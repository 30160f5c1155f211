//! Objects are put: whole, or segment by segment and then committed.
//!
//! Invariant: an intent stands in the catalogue before the first fragment is written; the object exists from the commit on, and is
//! acknowledged when its manifest lies at the locations, too, or the catalogue says that copies are owed.

use bytes::Bytes;
use sc_metadata::{
    Commit, Condition, Datastore, FragmentState, NewIntent, Placing, Segment, TenantId, Version,
    VersionId,
};
use sc_proto::coder::{self, call::Call, refusal::Reason, reply::Reply};
use sc_proto::storage;
use sc_proto::store::Done;
use sc_proto::store::problem::Code;

use crate::error::Problem;
use crate::manifests::manifest_name;
use crate::store::{Store, StoredPolicy, for_coder, id};
use crate::writing::Coded;

/// Length of an object's key at most, in bytes.
pub(crate) const KEY_MAX: usize = 1024;

/// What is written, whichever operation it comes by.
pub(crate) struct Writing<'w> {
    pub(crate) tenant: TenantId,
    pub(crate) request: &'w coder::Request,
    pub(crate) datastore: Datastore,
    pub(crate) key: &'w Bytes,
    pub(crate) version: VersionId,
}

impl Store {
    /// A `PutObject`: everything in one request.
    pub(crate) async fn put_object(
        &self,
        tenant: TenantId,
        request: &coder::Request,
        operation: &storage::PutObject,
        blocks: &[Bytes],
    ) -> Result<Done, Problem> {
        let writing = self
            .writing(
                tenant,
                request,
                &operation.datastore,
                &operation.key,
                &operation.version,
            )
            .await?;
        let policy = self.policy_for(&writing, &operation.policy).await?;
        let condition = condition(operation.condition.as_ref())?;
        let coded = if operation.bytes == 0 {
            None
        } else {
            let (coded, _) = self.code(&writing, &policy, (0, 0), blocks).await?;
            Some(coded)
        };
        let segments: Vec<Segment> = coded.iter().map(|coded| coded.segment.clone()).collect();
        let records = segments.iter().map(|segment| segment.record.clone());
        let named = segments.iter().map(|segment| segment.id).collect();
        let (number, created_ms) = self.begin_or_join(&writing, &policy, &segments).await?;
        let manifest = coder::SealManifest {
            request: Some(request.clone()),
            datastore: for_coder(&writing.datastore),
            number,
            created_ms,
            records: records.collect(),
            policy: policy.name.clone(),
            ..Default::default()
        };
        let sealing = self.seal_manifest(tenant, manifest);
        let writing_fragments = self.write_coded(&policy, coded);
        let (manifest, written) = tokio::join!(sealing, writing_fragments);
        let manifest = match (manifest, written) {
            (Ok(manifest), Ok(())) => manifest,
            (Err(problem), _) | (_, Err(problem)) => {
                self.give_up(writing.version).await;
                return Err(problem);
            }
        };
        let commit = self.commit_of(&writing, condition, &manifest, None, Some(named));
        self.commit(&writing, &policy, commit, created_ms, manifest)
            .await
    }

    /// A `PutSegment`: a part of what is committed later.
    pub(crate) async fn put_segment(
        &self,
        tenant: TenantId,
        request: &coder::Request,
        operation: &storage::PutSegment,
        blocks: &[Bytes],
    ) -> Result<Done, Problem> {
        let writing = self
            .writing(
                tenant,
                request,
                &operation.datastore,
                &operation.key,
                &operation.version,
            )
            .await?;
        let intent = self.catalog.intent(writing.version).await?;
        let policy = match &intent {
            Some(intent) => {
                if intent.key != *writing.key || intent.datastore != writing.datastore.id {
                    return Err(Problem::malformed("the upload is of another object"));
                }
                self.policy_version(&intent.policy, intent.policy_version)
                    .await?
            }
            None if operation.part > 0 => {
                return Err(Problem::new(Code::UploadGone, "there is no such upload"));
            }
            None => self.policy_for(&writing, &operation.policy).await?,
        };
        let place = (operation.part, operation.index);
        let (coded, sealed) = self.code(&writing, &policy, place, blocks).await?;
        let segments = [coded.segment.clone()];
        let begun = match intent {
            Some(_) => Err(Problem::malformed("begun")),
            None => {
                self.begin(&writing, &policy, self.now_ms(), None, &segments)
                    .await
            }
        };
        if let Err(problem) = begun {
            // Another segment of the same object has begun the intent in the meantime, or long ago.
            if intent.is_none() && problem.code != Code::Exists {
                return Err(problem);
            }
            let lease = if operation.part > 0 {
                self.settings.upload_lease
            } else {
                self.settings.lease
            };
            self.catalog
                .add_segments(writing.version, &segments, self.in_ms(lease), self.now_ms())
                .await?;
        }
        // A segment that could not be written stays with its intent, and goes with it or with the next attempt.
        self.write_coded(&policy, Some(coded)).await?;
        Ok(Done {
            sealed,
            version: operation.version.clone(),
            ..Default::default()
        })
    }

    /// A `CommitObject`: the segments that were put become the object.
    pub(crate) async fn commit_object(
        &self,
        tenant: TenantId,
        request: &coder::Request,
        operation: &storage::CommitObject,
    ) -> Result<Done, Problem> {
        let writing = self
            .writing(
                tenant,
                request,
                &operation.datastore,
                &operation.key,
                &operation.version,
            )
            .await?;
        let condition = condition(operation.condition.as_ref())?;
        let Some(intent) = self.catalog.intent(writing.version).await? else {
            return Err(self.why_gone(&writing).await);
        };
        let policy = self
            .policy_version(&intent.policy, intent.policy_version)
            .await?;
        let segments = self.catalog.segments(writing.version, 0..u32::MAX).await?;
        // Indices count from 0: one beyond their number says that an earlier intent has taken others with it.
        let is_cut = segments
            .iter()
            .any(|it| it.index as usize >= segments.len());
        if intent.upload.is_none() && is_cut {
            return Err(Problem::new(
                Code::UploadGone,
                "segments of the upload are missing: its lease has passed while it was on its way",
            ));
        }
        let manifest = coder::SealManifest {
            request: Some(request.clone()),
            datastore: for_coder(&writing.datastore),
            number: intent.number,
            created_ms: intent.created_ms,
            records: segments.iter().map(|it| it.record.clone()).collect(),
            policy: policy.name.clone(),
            ..Default::default()
        };
        let sealed = self.seal_manifest(tenant, manifest).await;
        let manifest = sealed.map_err(|problem| {
            match problem == Problem::refused(Reason::Segments) {
                // Of two tries at one segment that were under way at once the one that nobody has heard of came last.
                true => Problem::new(
                    Code::UploadGone,
                    "the segments that are stored are not those that were answered: put the object again",
                ),
                false => problem,
            }
        })?;
        let named = segments.iter().map(|segment| segment.id).collect();
        let commit = self.commit_of(&writing, condition, &manifest, None, Some(named));
        self.commit(&writing, &policy, commit, intent.created_ms, manifest)
            .await
    }

    /// An `AbandonObject`.
    pub(crate) async fn abandon_object(
        &self,
        tenant: TenantId,
        request: &coder::Request,
        operation: &storage::AbandonObject,
    ) -> Result<Done, Problem> {
        let sealed = self.authorize(tenant, request).await?;
        let datastore = self.datastore(tenant, &operation.datastore).await?;
        let version = VersionId(id(&operation.version, "a version id")?);
        if let Some(intent) = self.catalog.intent(version).await? {
            if intent.datastore != datastore.id || intent.key != operation.key {
                return Err(Problem::malformed("the upload is of another object"));
            }
            self.refuse(version).await;
        }
        Ok(Done {
            sealed,
            ..Default::default()
        })
    }

    pub(crate) async fn writing<'w>(
        &self,
        tenant: TenantId,
        request: &'w coder::Request,
        datastore: &str,
        key: &'w Bytes,
        version: &Bytes,
    ) -> Result<Writing<'w>, Problem> {
        check_key(key)?;
        Ok(Writing {
            tenant,
            request,
            version: VersionId(id(version, "a version id")?),
            datastore: self.datastore(tenant, datastore).await?,
            key,
        })
    }

    pub(crate) async fn policy_for(
        &self,
        writing: &Writing<'_>,
        named: &str,
    ) -> Result<std::sync::Arc<StoredPolicy>, Problem> {
        let name = if named.is_empty() {
            &writing.datastore.policy
        } else {
            named
        };
        self.policy(name).await
    }

    /// Has the blocks opened, sealed and coded, and decides where the fragments go.
    async fn code(
        &self,
        writing: &Writing<'_>,
        policy: &StoredPolicy,
        (part, index): (u32, u32),
        blocks: &[Bytes],
    ) -> Result<(Coded, Option<coder::Sealed>), Problem> {
        let code = policy.policy.code();
        let call = coder::SealSegment {
            request: Some(writing.request.clone()),
            datastore: for_coder(&writing.datastore),
            redundancy: Some(coder::Redundancy {
                code: code.code_id().into(),
                data: code.data().into(),
                total: code.total().into(),
                subpackets: code.subpackets().into(),
            }),
        };
        let call = Call::SealSegment(call);
        let (reply, bulk) = self.coders.call(writing.tenant, call, blocks).await?;
        let Reply::SegmentSealed(mut sealed) = reply else {
            return Err(unexpected());
        };
        let for_client = sealed.sealed.take();
        let coded =
            self.place_segment(&policy.policy, writing.version, part, index, &sealed, &bulk)?;
        Ok((coded, for_client))
    }

    pub(crate) async fn begin(
        &self,
        writing: &Writing<'_>,
        policy: &StoredPolicy,
        created_ms: u64,
        upload: Option<Bytes>,
        segments: &[Segment],
    ) -> Result<u64, Problem> {
        let lease = match upload {
            Some(_) => self.settings.upload_lease,
            None => self.settings.lease,
        };
        let intent = NewIntent {
            version: writing.version,
            datastore: writing.datastore.id,
            key: writing.key.clone(),
            lease_until_ms: self.in_ms(lease),
            upload,
            policy: policy.name.clone(),
            policy_version: policy.version,
            created_ms,
        };
        Ok(self.catalog.begin(intent, segments).await?)
    }

    /// Begins a whole object's intent; or takes over the one of an earlier try, whose store has stopped or is still at it. Of several tries
    /// the one whose segments are the last is committed, and the others are refused.
    async fn begin_or_join(
        &self,
        writing: &Writing<'_>,
        policy: &StoredPolicy,
        segments: &[Segment],
    ) -> Result<(u64, u64), Problem> {
        let created_ms = self.now_ms();
        let begun = self
            .begin(writing, policy, created_ms, None, segments)
            .await;
        let problem = match begun {
            Ok(number) => return Ok((number, created_ms)),
            Err(problem) => problem,
        };
        let intent = match problem.code {
            Code::Exists => self.catalog.intent(writing.version).await?,
            _ => None,
        };
        let intent = intent.ok_or(problem)?;
        let is_the_same = intent.upload.is_none()
            && intent.key == *writing.key
            && intent.datastore == writing.datastore.id
            && (&intent.policy, intent.policy_version) == (&policy.name, policy.version);
        if !is_the_same {
            return Err(Problem::malformed("the version is of another object"));
        }
        let lease = self.in_ms(self.settings.lease);
        self.catalog
            .add_segments(writing.version, segments, lease, self.now_ms())
            .await?;
        Ok((intent.number, intent.created_ms))
    }

    /// Writes a segment's fragments, and notes in the catalogue what became of them other than was planned.
    pub(crate) async fn write_coded(
        &self,
        policy: &StoredPolicy,
        coded: Option<Coded>,
    ) -> Result<(), Problem> {
        let Some(coded) = coded else {
            return Ok(());
        };
        let planned = coded.segment.fragments.clone();
        let written = self.write_segment(&policy.policy, coded).await?;
        if written.fragments != planned {
            self.catalog
                .set_fragments(written.id, &written.fragments)
                .await?;
        }
        let owed = written
            .fragments
            .iter()
            .filter(|fragment| fragment.state == FragmentState::Owed)
            .count();
        if owed > 0 {
            tracing::warn!(owed, "a segment was stored with fragments owed");
        }
        Ok(())
    }

    pub(crate) async fn seal_manifest(
        &self,
        tenant: TenantId,
        call: coder::SealManifest,
    ) -> Result<coder::ManifestSealed, Problem> {
        let call = Call::SealManifest(call);
        match self.coders.call(tenant, call, &[]).await? {
            (Reply::ManifestSealed(manifest), _) => Ok(manifest),
            _ => Err(unexpected()),
        }
    }

    pub(crate) fn commit_of(
        &self,
        writing: &Writing<'_>,
        condition: Condition,
        manifest: &coder::ManifestSealed,
        parts: Option<Vec<u32>>,
        segments: Option<Vec<sc_metadata::SegmentId>>,
    ) -> Commit {
        let tags = manifest.tags.iter();
        Commit {
            version: writing.version,
            condition,
            size: manifest.bytes,
            head: manifest.head.clone(),
            body: manifest.body.clone(),
            parts,
            segments,
            tags: tags.filter_map(|tag| tag[..].try_into().ok()).collect(),
            now_ms: self.now_ms(),
            garbage_due_ms: self.in_ms(self.settings.grace),
        }
    }

    /// The one moment in which the object comes to be; and then its manifest's copies, before anybody is told.
    pub(crate) async fn commit(
        &self,
        writing: &Writing<'_>,
        policy: &StoredPolicy,
        commit: Commit,
        created_ms: u64,
        manifest: coder::ManifestSealed,
    ) -> Result<Done, Problem> {
        // An upload goes on until it is ended, or its lease is over: its parts may have taken days.
        let is_upload = commit.parts.is_some();
        let committed = match self.catalog.commit_object(commit).await {
            Ok(committed) => committed,
            Err(error) => {
                let problem = Problem::from(error);
                if !is_upload && matches!(problem.code, Code::ConditionFailed | Code::Quota) {
                    self.refuse(writing.version).await;
                }
                return Err(problem);
            }
        };
        // What was deleted or replaced while it was on its way is gone already.
        if !committed.superseded.contains(&writing.version) {
            let version = Version {
                datastore: writing.datastore.id,
                key: writing.key.clone(),
                id: writing.version,
                number: committed.number,
                size: manifest.bytes,
                created_ms,
                policy: policy.name.clone(),
                policy_version: policy.version,
                is_marker: false,
                is_current: committed.is_current,
                head: manifest.head.clone(),
            };
            let placing = Placing {
                manifest: version.id,
                number: version.number,
                home: None,
                read_ms: 0,
            };
            let (datastore, body) = (&writing.datastore, manifest.body.clone());
            let copy = Self::manifest_copy(datastore, &version, body, &placing, policy, Vec::new());
            let name = manifest_name(version.id);
            self.keep_manifest(&policy.policy, version.id, &name, copy)
                .await;
        }
        let superseded = committed.superseded.first().copied();
        let superseded = superseded.filter(|it| *it != writing.version);
        Ok(Done {
            sealed: manifest.sealed,
            version: Bytes::copy_from_slice(&writing.version.0),
            superseded: superseded.map_or_else(Bytes::new, |it| Bytes::copy_from_slice(&it.0)),
            ..Default::default()
        })
    }

    /// Ends an intent whose object its client is told will not be: the same request, should it come again, is refused, too.
    async fn refuse(&self, version: VersionId) {
        let due_ms = self.in_ms(self.settings.grace);
        if let Err(error) = self.catalog.refuse(version, due_ms).await {
            tracing::warn!(%error, "an upload that was refused is left to its lease");
        }
    }

    /// Ends an intent whose object is not to be now; what cannot be reached now ends with the lease.
    pub(crate) async fn give_up(&self, version: VersionId) {
        let due_ms = self.in_ms(self.settings.grace);
        if let Err(error) = self.catalog.abandon(version, due_ms).await {
            tracing::warn!(%error, "an upload that has failed is left to its lease");
        }
    }

    /// What to say where there is no intent: that the version exists, if it does.
    pub(crate) async fn why_gone(&self, writing: &Writing<'_>) -> Problem {
        let found = self
            .catalog
            .version(writing.datastore.id, writing.key, writing.version)
            .await;
        match found {
            Ok(Some(_)) => Problem::new(Code::Exists, "this version exists already"),
            Ok(None) => Problem::new(
                Code::UploadGone,
                "the upload is over: it was given up, its lease has passed, or what it became is gone",
            ),
            Err(error) => error.into(),
        }
    }
}

/// Refuses what is no object's key.
pub(crate) fn check_key(key: &[u8]) -> Result<(), Problem> {
    if key.is_empty() || key.len() > KEY_MAX {
        return Err(Problem::malformed(&format!(
            "an object's key has 1 to {KEY_MAX} bytes, not {}",
            key.len()
        )));
    }
    Ok(())
}

pub(crate) fn condition(message: Option<&storage::Condition>) -> Result<Condition, Problem> {
    use storage::condition::Condition as Is;
    let Some(message) = message else {
        return Ok(Condition::None);
    };
    match message.condition.as_ref() {
        Some(Is::Absent(true)) => Ok(Condition::IfAbsent),
        Some(Is::Exists(true)) => Ok(Condition::IfExists),
        Some(Is::Version(version)) => Ok(Condition::IfCurrent(VersionId(id(
            version,
            "a version id",
        )?))),
        _ => Err(Problem::malformed("a condition that says nothing")),
    }
}

pub(crate) fn unexpected() -> Problem {
    Problem::new(
        Code::Unavailable,
        "the coder answered something else than it was asked",
    )
}
