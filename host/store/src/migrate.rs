//! Versions are moved: their content is coded by another policy, and lies elsewhere, while it is read.
//!
//! Invariant: what a reader has found stays readable for the time of grace. The new fragments belong to an intent until the one transaction in
//! which the version takes them over; a move that stops before leaves garbage and no change.

use bytes::Bytes;
use sc_metadata::{Datastore, Move, NewIntent, Segment, SegmentId, Version, VersionId};
use sc_proto::coder::{self, call::Call, reply::Reply};
use sc_proto::store::problem::Code;

use crate::error::Problem;
use crate::get::shape_of;
use crate::jobs::{Beat, Outcome};
use crate::manifests::manifest_name;
use crate::put::unexpected;
use crate::reading::Read;
use crate::store::{Store, StoredPolicy, for_coder, id};
use crate::tier::Tiering;

/// A move under way.
struct Moving<'m> {
    version: &'m Version,
    datastore: &'m Datastore,
    before: &'m StoredPolicy,
    after: &'m StoredPolicy,
    placing: VersionId,
    /// The placing that it has until then.
    placed_before: VersionId,
}

impl Store {
    /// Codes a version by the newest form of another policy, if that is not what it has.
    pub(crate) async fn move_version(
        &self,
        version: &Version,
        body: &Bytes,
        to: &Tiering,
        beat: &mut Beat<'_>,
    ) -> Result<Outcome, Problem> {
        let after = self.policy(&to.policy).await?;
        if (&version.policy, version.policy_version) == (&after.name, after.version) {
            return Ok(Outcome::default());
        }
        let Some(datastore) = self.catalog.datastore_by_id(version.datastore).await? else {
            return Ok(Outcome::default());
        };
        let before = self
            .policy_version(&version.policy, version.policy_version)
            .await?;
        let Some(described) = self.catalog.describe_version(version.id).await? else {
            return Ok(Outcome::default());
        };
        if (&described.version.head, &described.body) != (&version.head, body) {
            // It was moved since it was found.
            return Ok(Outcome::default());
        }
        let mut placing = [0; 16];
        placing[..8].copy_from_slice(&self.draw().to_be_bytes());
        placing[8..].copy_from_slice(&self.draw().to_be_bytes());
        let moving = Moving {
            version,
            datastore: &datastore,
            before: &before,
            after: &after,
            placing: VersionId(placing),
            placed_before: described.placing.manifest,
        };
        let moved = self.carry(&moving, body, to.home.clone(), beat).await;
        if moved.is_err() {
            self.give_up(moving.placing).await;
        }
        moved
    }

    async fn carry(
        &self,
        moving: &Moving<'_>,
        body: &Bytes,
        home: Option<String>,
        beat: &mut Beat<'_>,
    ) -> Result<Outcome, Problem> {
        let version = moving.version;
        let intent = NewIntent {
            version: moving.placing,
            datastore: version.datastore,
            key: version.key.clone(),
            lease_until_ms: self.in_ms(self.settings.lease),
            upload: None,
            policy: moving.after.name.clone(),
            policy_version: moving.after.version,
            created_ms: self.now_ms(),
        };
        let number = self.catalog.begin(intent, &[]).await?;
        let mut outcome = Outcome {
            changed: 1,
            ..Outcome::default()
        };
        let segments = self.catalog.segments(version.id, 0..u32::MAX).await?;
        let (mut placed, mut records) = (Vec::new(), Vec::new());
        for (position, segment) in (0..).zip(&segments) {
            let moved = self.carry_segment(moving, segment, position, &mut outcome);
            let moved = moved.await?;
            let bytes = outcome.bytes_read + outcome.bytes_written - outcome.bytes_paced;
            outcome.bytes_paced += bytes;
            if !beat.spend(bytes).await? {
                return Err(Problem::new(
                    Code::Unavailable,
                    "the job has ended, or another store goes on with it",
                ));
            }
            placed.push(moved.id);
            records.push(moved.record);
        }
        let call = Call::MoveManifest(coder::MoveManifest {
            tenant: Bytes::copy_from_slice(&moving.datastore.tenant.0),
            datastore: for_coder(moving.datastore),
            key: version.key.clone(),
            version: Bytes::copy_from_slice(&version.id.0),
            head: version.head.clone(),
            body: body.clone(),
            records,
            policy: moving.after.name.clone(),
            manifest: Bytes::copy_from_slice(&moving.placing.0),
            placed: number,
            segments: placed
                .iter()
                .map(|it: &SegmentId| Bytes::copy_from_slice(&it.0))
                .collect(),
        });
        let tenant = moving.datastore.tenant;
        let Reply::ManifestMoved(manifest) = self.coders.call(tenant, call, &[]).await?.0 else {
            return Err(unexpected());
        };
        let names = placed.iter().map(|it| Bytes::copy_from_slice(&it.0));
        let names: Vec<Bytes> = names.collect();
        let committed = self
            .catalog
            .commit_move(Move {
                version: version.id,
                placing: moving.placing,
                before: moving.placed_before,
                home,
                head: manifest.head.clone(),
                body: manifest.body.clone(),
                segments: placed,
                now_ms: self.now_ms(),
                garbage_due_ms: self.in_ms(self.settings.grace),
            })
            .await?;
        if !committed {
            return Ok(Outcome {
                changed: 0,
                ..outcome
            });
        }
        self.copy_moved(moving, manifest, names).await?;
        Ok(outcome)
    }

    /// Keeps the manifest of what was moved at the locations; where that fails it stays a debt.
    async fn copy_moved(
        &self,
        moving: &Moving<'_>,
        manifest: coder::ManifestMoved,
        segments: Vec<Bytes>,
    ) -> Result<(), Problem> {
        let Some(placing) = self.catalog.placing(moving.version.id).await? else {
            return Ok(());
        };
        if placing.manifest != moving.placing {
            return Ok(());
        }
        let version = Version {
            head: manifest.head,
            policy: moving.after.name.clone(),
            policy_version: moving.after.version,
            ..moving.version.clone()
        };
        let (datastore, policy) = (moving.datastore, moving.after);
        let copy = Self::manifest_copy(
            datastore,
            &version,
            manifest.body,
            &placing,
            policy,
            segments,
        );
        let name = manifest_name(placing.manifest);
        self.keep_manifest(&policy.policy, version.id, &name, copy)
            .await;
        Ok(())
    }

    /// Codes one segment anew and writes it; gives it as it lies then.
    async fn carry_segment(
        &self,
        moving: &Moving<'_>,
        segment: &Segment,
        position: u32,
        outcome: &mut Outcome,
    ) -> Result<Segment, Problem> {
        let (sealed, bulk) = self.convert(moving, segment, outcome).await?;
        let policy = &moving.after.policy;
        let coded = self.place_segment(policy, moving.placing, 0, position, &sealed, &bulk)?;
        let stored = coded.segment.clone();
        let lease_until_ms = self.in_ms(self.settings.lease);
        self.catalog
            .add_segments(
                moving.placing,
                std::slice::from_ref(&stored),
                lease_until_ms,
                self.now_ms(),
            )
            .await?;
        let bytes = u64::from(stored.fragment_bytes) * stored.fragments.len() as u64;
        outcome.bytes_written += bytes;
        self.write_coded(moving.after, Some(coded)).await?;
        Ok(stored)
    }

    /// Has a coder code a segment by the new policy, of k verified fragments.
    async fn convert(
        &self,
        moving: &Moving<'_>,
        segment: &Segment,
        outcome: &mut Outcome,
    ) -> Result<(coder::SegmentSealed, Bytes), Problem> {
        let policy = &moving.before.policy;
        let shape = shape_of(policy, segment)?;
        let code = moving.after.policy.code();
        let mut call = coder::ConvertSegment {
            tenant: Bytes::copy_from_slice(&moving.datastore.tenant.0),
            datastore: for_coder(moving.datastore),
            version: Bytes::copy_from_slice(&moving.version.id.0),
            record: segment.record.clone(),
            fragments: Vec::new(),
            redundancy: Some(coder::Redundancy {
                code: code.code_id().into(),
                data: code.data().into(),
                total: code.total().into(),
                subpackets: code.subpackets().into(),
            }),
        };
        let mut bad = std::collections::BTreeSet::new();
        loop {
            let read = self
                .read_segment(policy, segment, shape, 0..shape.blocks(), &bad)
                .await?;
            call.fragments = read.iter().map(Read::message).collect();
            let bulk: Vec<Bytes> = read
                .into_iter()
                .flat_map(|read| [read.header, read.pieces])
                .collect();
            outcome.bytes_read += bulk.iter().map(|it| it.len() as u64).sum::<u64>();
            let convert = Call::ConvertSegment(call.clone());
            let tenant = moving.datastore.tenant;
            let (reply, made) = self.coders.call(tenant, convert, &bulk).await?;
            let Reply::SegmentSealed(sealed) = reply else {
                return Err(unexpected());
            };
            if sealed.bad.is_empty() {
                let _: [u8; 32] = id(&sealed.segment, "a segment's name")?;
                return Ok((sealed, made));
            }
            for index in sealed.bad {
                let index = u8::try_from(index).unwrap_or(u8::MAX);
                tracing::error!(segment = ?segment.id, index, "a fragment is not what was stored");
                if !bad.insert(index) {
                    return Err(Problem::new(
                        Code::Unavailable,
                        "the coder contradicts itself",
                    ));
                }
            }
        }
    }
}
