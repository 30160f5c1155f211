//! Multipart uploads.
//!
//! Invariant: a part is the segments that its commit named, whatever came under its number before; an upload becomes an object at once, or
//! not at all. One whose completion is refused goes on, so that it can be completed otherwise.

use bytes::Bytes;
use sc_metadata::{Part, Segment, TenantId, VersionId};
use sc_proto::coder::{self, call::Call, reply::Reply};
use sc_proto::storage;
use sc_proto::store::Done;
use sc_proto::store::problem::Code;

use crate::error::Problem;
use crate::listing::page_size;
use crate::put::{Writing, condition, unexpected};
use crate::store::{Store, for_coder, id};

/// The highest number of a part.
const PART_MAX: u32 = 10_000;

impl Store {
    /// A `CreateUpload`.
    pub(crate) async fn create_upload(
        &self,
        tenant: TenantId,
        request: &coder::Request,
        operation: &storage::CreateUpload,
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
        let now_ms = self.now_ms();
        let call = Call::SealUpload(coder::SealUpload {
            request: Some(request.clone()),
            datastore: for_coder(&writing.datastore),
            created_ms: now_ms,
        });
        let Reply::UploadSealed(sealed) = self.coders.call(tenant, call, &[]).await?.0 else {
            return Err(unexpected());
        };
        let begun = self
            .begin(&writing, &policy, now_ms, Some(sealed.upload), &[])
            .await;
        match begun {
            Ok(_) => {}
            // An earlier try of the same request.
            Err(problem) if problem.code == Code::Exists => {}
            Err(problem) => return Err(problem),
        }
        Ok(Done {
            sealed: sealed.sealed,
            version: operation.version.clone(),
            ..Default::default()
        })
    }

    /// A `CommitPart`.
    pub(crate) async fn commit_part(
        &self,
        tenant: TenantId,
        request: &coder::Request,
        operation: &storage::CommitPart,
    ) -> Result<Done, Problem> {
        if !(1..=PART_MAX).contains(&operation.part) {
            return Err(Problem::malformed("a part's number is 1 to 10000"));
        }
        let writing = self
            .writing(
                tenant,
                request,
                &operation.datastore,
                &operation.key,
                &operation.version,
            )
            .await?;
        let segments = self.named_segments(writing.version, operation).await?;
        let call = Call::SealPart(coder::SealPart {
            request: Some(request.clone()),
            datastore: for_coder(&writing.datastore),
            records: segments.iter().map(|it| it.record.clone()).collect(),
        });
        let Reply::PartSealed(sealed) = self.coders.call(tenant, call, &[]).await?.0 else {
            return Err(unexpected());
        };
        let part = Part {
            number: operation.part,
            size: operation.bytes,
            record: sealed.part,
            created_ms: self.now_ms(),
        };
        let named: Vec<_> = segments.iter().map(|segment| segment.id).collect();
        self.catalog
            .put_part(
                writing.version,
                part,
                &named,
                self.in_ms(self.settings.upload_lease),
                self.now_ms(),
                self.in_ms(self.settings.grace),
            )
            .await?;
        Ok(Done {
            sealed: sealed.sealed,
            ..Default::default()
        })
    }

    /// A `CompleteUpload`.
    pub(crate) async fn complete_upload(
        &self,
        tenant: TenantId,
        request: &coder::Request,
        operation: &storage::CompleteUpload,
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
        let problem = match self.complete(&writing, operation).await {
            Err(problem) => problem,
            done => return done,
        };
        // Another request may have completed it before this one, or in the meantime; the client compares the parts.
        let word = self.why_gone(&writing).await;
        Err(match (word.code, problem.code) {
            (Code::Exists, _) | (Code::UploadGone, Code::Exists) => word,
            _ => problem,
        })
    }

    async fn complete(
        &self,
        writing: &Writing<'_>,
        operation: &storage::CompleteUpload,
    ) -> Result<Done, Problem> {
        let condition = condition(operation.condition.as_ref())?;
        let Some(intent) = self.catalog.intent(writing.version).await? else {
            return Err(self.why_gone(writing).await);
        };
        let upload = intent
            .upload
            .ok_or_else(|| Problem::malformed("the version is not a multipart upload"))?;
        let policy = self
            .policy_version(&intent.policy, intent.policy_version)
            .await?;
        let parts = self.chosen_parts(writing.version, &operation.parts).await?;
        let segments = self.catalog.segments(writing.version, 0..u32::MAX).await?;
        let segments: Vec<Segment> = segments
            .into_iter()
            .filter(|it| operation.parts.binary_search(&it.part).is_ok())
            .collect();
        let manifest = coder::SealManifest {
            request: Some(writing.request.clone()),
            datastore: for_coder(&writing.datastore),
            number: intent.number,
            created_ms: intent.created_ms,
            records: segments.iter().map(|it| it.record.clone()).collect(),
            policy: policy.name.clone(),
            upload,
            parts,
        };
        let manifest = self.seal_manifest(writing.tenant, manifest).await?;
        let commit = self.commit_of(
            writing,
            condition,
            &manifest,
            Some(operation.parts.clone()),
            Some(segments.iter().map(|segment| segment.id).collect()),
        );
        self.commit(writing, &policy, commit, intent.created_ms, manifest)
            .await
    }

    /// A `ListParts`.
    pub(crate) async fn list_parts(
        &self,
        tenant: TenantId,
        request: &coder::Request,
        operation: &storage::ListParts,
    ) -> Result<Done, Problem> {
        let sealed = self.authorize(tenant, request).await?;
        let datastore = self.datastore(tenant, &operation.datastore).await?;
        let version = VersionId(id(&operation.version, "a version id")?);
        let intent = self.catalog.intent(version).await?;
        let is_there =
            intent.is_some_and(|it| it.datastore == datastore.id && it.key == operation.key);
        if !is_there {
            return Err(Problem::new(Code::UploadGone, "there is no such upload"));
        }
        let limit = page_size(operation.limit)?;
        let parts = self.catalog.parts(version, operation.after, limit).await?;
        let parts: Vec<_> = parts
            .iter()
            .map(|it| serde_json::json!({"part": it.number, "bytes": it.size, "created_ms": it.created_ms}))
            .collect();
        Ok(Done {
            sealed,
            document: serde_json::Value::from(parts).to_string(),
            ..Default::default()
        })
    }

    /// The segments that a part's commit names, in its order.
    async fn named_segments(
        &self,
        version: VersionId,
        operation: &storage::CommitPart,
    ) -> Result<Vec<Segment>, Problem> {
        let mut sent = self.catalog.sent_segments(version, operation.part).await?;
        let find = |named: &Bytes| {
            let at = sent.iter().position(|it| it.id.0[..] == named[..]);
            let at = at.ok_or_else(|| {
                Problem::new(
                    Code::UploadGone,
                    "a segment of the part is not there any more; send the part again",
                )
            })?;
            Ok(sent.swap_remove(at))
        };
        operation.segments.iter().map(find).collect()
    }

    /// What the coder made of the parts that were chosen.
    async fn chosen_parts(
        &self,
        version: VersionId,
        chosen: &[u32],
    ) -> Result<Vec<Bytes>, Problem> {
        let (Some(first), Some(last)) = (chosen.first(), chosen.last()) else {
            return Err(Problem::malformed(
                "an upload is completed with at least one part",
            ));
        };
        let after = first.saturating_sub(1);
        let count = last.saturating_sub(after) as usize;
        let present = self.catalog.parts(version, after, count.max(1)).await?;
        let find = |number: &u32| {
            let found = present.iter().find(|part| part.number == *number);
            let found = found.map(|part| part.record.clone());
            found.ok_or_else(|| Problem::new(Code::NotFound, format!("part {number} is not there")))
        };
        chosen.iter().map(find).collect()
    }
}
