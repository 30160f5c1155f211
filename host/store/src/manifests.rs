//! Copies of manifests and of removals, which lie at the locations beside the fragments: with them and the owner's root a catalogue that is
//! lost can be made again.
//!
//! Invariant: a version's manifest has as many copies as fragments may be lost, and one; until it has, the catalogue says so.

use std::collections::BTreeSet;
use std::sync::Arc;

use bytes::Bytes;
use futures_util::stream::{FuturesUnordered, StreamExt as _};
use prost::Message as _;
use sc_backend::{BackendError, FragmentName};
use sc_metadata::{Datastore, Described, Placing, Version, VersionId};
use sc_proto::storage;
use tokio::time::timeout;

use crate::chores::Chore;
use crate::error::Problem;
use crate::locations::candidates;
use crate::placement::{allowed, place};
use crate::policy::Policy;
use crate::store::{Store, StoredPolicy, hex};

/// The name of a manifest at a location: that of a version that was never moved is named by the version.
pub(crate) fn manifest_name(manifest: VersionId) -> FragmentName {
    let name = FragmentName::new(&format!("{}.manifest", hex(&manifest.0)));
    name.expect("an id in hexadecimal and a word are a name")
}

/// The name of a removal at a location.
pub(crate) fn removal_name(id: &[u8; 16]) -> FragmentName {
    let name = FragmentName::new(&format!("{}.removal", hex(id)));
    name.expect("an id in hexadecimal and a word are a name")
}

/// What the locations of a version's copies are chosen by.
pub(crate) fn seed_of(version: &VersionId) -> [u8; 32] {
    let mut seed = [0; 32];
    seed[..16].copy_from_slice(&version.0);
    seed
}

/// A delete marker's manifest as locations keep it.
pub(crate) fn marker_copy(datastore: &Datastore, marker: &Version) -> Bytes {
    let copy = storage::StoredManifest {
        tenant: Bytes::copy_from_slice(&datastore.tenant.0),
        datastore: Bytes::copy_from_slice(&datastore.id.0),
        datastore_name: datastore.name.clone(),
        root_number: datastore.root_number,
        wrapped_key: datastore.wrapped_key.clone(),
        key: marker.key.clone(),
        version: Bytes::copy_from_slice(&marker.id.0),
        number: marker.number,
        created_ms: marker.created_ms,
        head: marker.head.clone(),
        marker: true,
        ..Default::default()
    };
    copy.encode_to_vec().into()
}

/// The manifest of a version that was begun less than this ago, in milliseconds, is most likely on its way: its debt can wait.
const PUT_MS: u64 = 60_000;

impl Store {
    /// A version's manifest as locations keep it. `segments` are what its fragments are named by, where that is not the segments' own ids.
    pub(crate) fn manifest_copy(
        datastore: &Datastore,
        version: &Version,
        body: Bytes,
        placing: &Placing,
        policy: &StoredPolicy,
        segments: Vec<Bytes>,
    ) -> Bytes {
        let is_moved = placing.manifest != version.id;
        let copy = storage::StoredManifest {
            tenant: Bytes::copy_from_slice(&datastore.tenant.0),
            datastore: Bytes::copy_from_slice(&datastore.id.0),
            datastore_name: datastore.name.clone(),
            root_number: datastore.root_number,
            wrapped_key: datastore.wrapped_key.clone(),
            key: version.key.clone(),
            version: Bytes::copy_from_slice(&version.id.0),
            number: version.number,
            created_ms: version.created_ms,
            policy: policy.name.clone(),
            policy_version: policy.version,
            policy_definition: policy.policy.definition(),
            head: version.head.clone(),
            body,
            marker: false,
            manifest: match is_moved {
                true => Bytes::copy_from_slice(&placing.manifest.0),
                false => Bytes::new(),
            },
            placed: if is_moved { placing.number } else { 0 },
            segments,
        };
        copy.encode_to_vec().into()
    }

    /// The manifest of a version that is stored, as its copies are, with the name that these have, and the policy that says where they lie; none
    /// where it is gone.
    async fn stored_manifest(
        &self,
        version: VersionId,
    ) -> Result<Option<(FragmentName, Bytes, Arc<StoredPolicy>)>, Problem> {
        // All of one moment: a mixture of before and after a move would say what never was.
        let Some(described) = self.catalog.describe_version(version).await? else {
            return Ok(None);
        };
        let Described {
            version: stored,
            body,
            placing,
            segments,
        } = described;
        let Some(datastore) = self.catalog.datastore_by_id(stored.datastore).await? else {
            return Ok(None);
        };
        let name = manifest_name(placing.manifest);
        if stored.is_marker {
            let policy = self.policy(&datastore.policy).await?;
            return Ok(Some((name, marker_copy(&datastore, &stored), policy)));
        }
        let policy = self
            .policy_version(&stored.policy, stored.policy_version)
            .await?;
        let names = segments.iter().map(|it| Bytes::copy_from_slice(&it.0));
        let names = match placing.manifest == version {
            true => Vec::new(),
            false => names.collect(),
        };
        let copy = Self::manifest_copy(&datastore, &stored, body, &placing, &policy, names);
        Ok(Some((name, copy, policy)))
    }

    /// Writes the copies that a version's manifest lacks, unless its PUT may still be at it.
    pub(crate) async fn pay_manifest(
        &self,
        version: VersionId,
        short: &mut BTreeSet<(String, u32)>,
    ) -> Result<(), Problem> {
        let Some((stored, _)) = self.catalog.version_by_id(version).await? else {
            return Ok(());
        };
        if self.now_ms() < stored.created_ms.saturating_add(PUT_MS) {
            return Ok(());
        }
        let named = (stored.policy.clone(), stored.policy_version);
        if short.contains(&named) {
            return Ok(());
        }
        match self.copy_manifest(version).await? {
            Some(true) => self.catalog.settle_manifests(&[version]).await?,
            Some(false) => {
                short.insert(named);
            }
            None => {}
        }
        Ok(())
    }

    /// Sees to it that a version's manifest has its copies at locations that are there; whether it has, and none where there is no manifest.
    pub(crate) async fn copy_manifest(&self, version: VersionId) -> Result<Option<bool>, Problem> {
        let Some((name, copy, policy)) = self.stored_manifest(version).await? else {
            return Ok(None);
        };
        let seed = seed_of(&version);
        let kept = self.keep_copies(&policy.policy, &seed, &name, &copy).await;
        Ok(Some(kept))
    }

    /// Writes a manifest's copies. If they are not all durable the version stays a debt in the catalogue, which a chore pays.
    pub(crate) async fn keep_manifest(
        &self,
        policy: &Policy,
        version: VersionId,
        name: &FragmentName,
        copy: Bytes,
    ) {
        if self
            .keep_copies(policy, &seed_of(&version), name, &copy)
            .await
        {
            self.leave(Chore::SettleManifest(version));
        } else {
            tracing::warn!(?version, "a manifest has too few copies yet");
        }
    }

    /// Writes as many copies as may be lost and one, at locations that the policy allows; whether all are durable.
    pub(crate) async fn keep_copies(
        &self,
        policy: &Policy,
        seed: &[u8; 32],
        name: &FragmentName,
        copy: &Bytes,
    ) -> bool {
        let wanted = usize::from(policy.code().losses()) + 1;
        let sites = self.locations.now();
        let all: Vec<_> = sites.values().collect();
        let candidates = candidates(&sites);
        // Copies want fewer locations than fragments: where one that is lost leaves too few for those, these have their places still.
        let placed = place(policy, &candidates, seed);
        let are_all_there = placed.is_ok();
        let mut order = placed.unwrap_or_default();
        order.extend(allowed(policy, &candidates, seed));
        // Two copies at one location are one.
        let mut seen = BTreeSet::new();
        order.retain(|&at| seen.insert(at));
        let wanted = match are_all_there {
            true => wanted.min(order.len()),
            false => wanted,
        };
        let patience = self.settings.location_patience;
        let mut order = order.into_iter();
        let mut start =
            |under_way: &mut FuturesUnordered<_>, waited_for: &mut BTreeSet<_>, count| {
                for at in order.by_ref().take(count) {
                    let (site, copy) = (all[at], copy.clone());
                    waited_for.insert(at);
                    under_way.push(async move { (at, site.put(name, copy, patience).await) });
                }
            };
        let mut under_way = FuturesUnordered::new();
        let mut waited_for = BTreeSet::new();
        start(&mut under_way, &mut waited_for, wanted);
        let mut durable = 0;
        while durable < wanted {
            let straggler_patience = self.settings.straggler_patience;
            match timeout(straggler_patience, under_way.next()).await {
                Ok(Some((at, result))) => {
                    waited_for.remove(&at);
                    match result {
                        // Another body under the name is the word of an earlier try at the same.
                        Ok(()) | Err(BackendError::Exists) => durable += 1,
                        Err(_) => start(&mut under_way, &mut waited_for, 1),
                    }
                }
                Ok(None) => return false,
                Err(_) => {
                    let late = waited_for.iter().filter(|&&at| candidates[at].is_well);
                    late.for_each(|&at| all[at].lagged());
                    start(&mut under_way, &mut waited_for, wanted - durable);
                }
            }
        }
        true
    }
}
