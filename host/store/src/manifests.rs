//! Copies of manifests and of removals, which lie at the locations beside the fragments: with them and the owner's root a catalogue that is
//! lost can be made again.
//!
//! Invariant: a version's manifest has as many copies as fragments may be lost, and one; until it has, the catalogue says so.

use std::collections::BTreeSet;

use bytes::Bytes;
use futures_util::stream::{FuturesUnordered, StreamExt as _};
use prost::Message as _;
use sc_backend::{BackendError, FragmentName};
use sc_metadata::VersionId;
use sc_proto::{coder, storage};
use tokio::time::timeout;

use crate::chores::Chore;
use crate::locations::candidates;
use crate::placement::{allowed, place};
use crate::policy::Policy;
use crate::put::Writing;
use crate::store::{Store, StoredPolicy, hex};

/// The name of a version's manifest at a location.
pub(crate) fn manifest_name(version: VersionId) -> FragmentName {
    let name = FragmentName::new(&format!("{}.manifest", hex(&version.0)));
    name.expect("an id in hexadecimal and a word are a name")
}

/// The name of a removal at a location.
pub(crate) fn removal_name(id: &[u8; 16]) -> FragmentName {
    let name = FragmentName::new(&format!("{}.removal", hex(id)));
    name.expect("an id in hexadecimal and a word are a name")
}

impl Store {
    pub(crate) fn manifest_copy(
        &self,
        writing: &Writing<'_>,
        policy: &StoredPolicy,
        number: u64,
        created_ms: u64,
        manifest: &coder::ManifestSealed,
    ) -> Bytes {
        let datastore = &writing.datastore;
        let copy = storage::StoredManifest {
            tenant: Bytes::copy_from_slice(&writing.tenant.0),
            datastore: Bytes::copy_from_slice(&datastore.id.0),
            datastore_name: datastore.name.clone(),
            root_number: datastore.root_number,
            wrapped_key: datastore.wrapped_key.clone(),
            key: writing.key.clone(),
            version: Bytes::copy_from_slice(&writing.version.0),
            number,
            created_ms,
            policy: policy.name.clone(),
            policy_version: policy.version,
            policy_definition: policy.policy.definition(),
            head: manifest.head.clone(),
            body: manifest.body.clone(),
            marker: false,
            ..Default::default()
        };
        copy.encode_to_vec().into()
    }

    /// Writes a manifest's copies. If they are not all durable the version stays a debt in the catalogue, which a chore pays.
    pub(crate) async fn keep_manifest(&self, policy: &Policy, version: VersionId, copy: Bytes) {
        let mut seed = [0; 32];
        seed[..16].copy_from_slice(&version.0);
        if self
            .keep_copies(policy, &seed, &manifest_name(version), &copy)
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
