//! The end of a run: what is there is read, listed and looked for, and judged.

use std::collections::BTreeSet;
use std::time::Duration;

use sc_client::kv::{KvClient, ListOptions};
use sc_erasure::Redundancy;
use sc_metadata::{FragmentState, Segment, TenantId, VersionId};
use sc_store::Policy;
use serde_json::Value;

use super::clients::{Trouble, look};
use super::history::{Object, Read, Seen, labelled};
use super::oracle::{Remains, Version, Violation};
use super::place::Place;
use super::report::Report;
use super::simulation::{DATASTORES, POLICIES, Running};
use super::surroundings::note;
use super::upkeep::Upkeep;

/// How often everything is read while some locations are away,
const LOSSES: usize = 3;
/// and how many are away then.
const LOSSES_TOGETHER: usize = 2;
/// After so long every location is asked again.
const REST: Duration = Duration::from_secs(60);

impl Running {
    pub(super) async fn judge(self) -> Report {
        let remains = self.look_around().await;
        let upkeep = self.upkeep().await;
        if self.is_tended() {
            self.survive_loss(&remains).await;
        }
        let mut violations = std::mem::take(&mut *self.notes.violations());
        let history = self.notes.history();
        violations.extend(history.judge_reads());
        violations.extend(remains.judge(&history));
        violations.sort();
        violations.dedup();
        let acknowledged = history
            .attempts
            .iter()
            .filter(|it| matches!(it.outcome, super::history::Outcome::Done(_)));
        let took = self.surroundings.now();
        let (faults, trace, lines) = self.surroundings.finish();
        Report {
            seed: self.seed,
            trace,
            lines,
            faults,
            violations,
            upkeep,
            attempts: history.attempts.len() as u64,
            acknowledged: acknowledged.count() as u64,
            reads: history.reads.len() as u64,
            took,
        }
    }

    /// Reads everything that is there, as a client, also while locations are away, and looks into every location.
    async fn look_around(&self) -> Remains {
        let mut remains = self.see().await;
        for place in &self.outside.places {
            let names = place.faults().names();
            let names = names.iter().map(|name| name.as_str().to_owned());
            remains.names.insert(place.name.clone(), names.collect());
        }
        // What was harmed is mended by then, where somebody has looked.
        if !self.is_tended() {
            remains.harmed = self.outside.harmed.names();
        }
        remains.is_tended = self.is_tended();
        self.read_without_some(&remains).await;
        remains
    }

    /// Reads everything that is there, as a client.
    pub(super) async fn see(&self) -> Remains {
        let mut remains = Remains::default();
        let client = self.client(97);
        for object in self.objects() {
            self.read_back(&client, &object, None).await;
        }
        let debts = self.outside.catalog.manifest_debts(None, usize::MAX).await;
        let debts: BTreeSet<[u8; 16]> = debts.unwrap_or_default().iter().map(|it| it.0).collect();
        if self.is_tended() && !debts.is_empty() {
            self.broken("manifests", &"some have too few copies");
        }
        for (datastore, _) in DATASTORES {
            self.list(&client, datastore, &debts, &mut remains).await;
        }
        for (object, version) in remains.contents() {
            self.read_back(&client, object, Some(version)).await;
        }
        match client.datastores().await {
            Ok(document) => remains.datastores = document,
            Err(error) => self.broken("datastores", &error),
        }
        match client.usage().await {
            Ok(document) => {
                let document: Value = serde_json::from_str(&document).unwrap_or_default();
                let names = ["objects", "versions", "bytes", "stored_bytes"];
                remains.usage = names.map(|it| document[it].as_u64().unwrap_or(u64::MAX));
            }
            Err(error) => self.broken("usage", &error),
        }
        remains
    }

    /// Reads every version while as many locations are away as its policy bears, less the fragments that it owes.
    async fn read_without_some(&self, remains: &Remains) {
        let client = self.client(91);
        let mut random = self.surroundings.random("storage losses", 0);
        for _ in 0..LOSSES {
            let mut away: Vec<&Place> = self.outside.places.iter().collect();
            while away.len() > LOSSES_TOGETHER {
                away.remove(random.below(away.len()));
            }
            let names: Vec<&str> = away.iter().map(|it| &it.name[..]).collect();
            away.iter().for_each(|it| it.faults().set_down(true));
            for (object, version) in remains.contents() {
                if version.losses.saturating_sub(version.owed_most) < away.len() {
                    continue;
                }
                let read = look(&client, self.seed, object, Some(version.id)).await;
                if !matches!(read, Ok(Seen::Content(attempt)) if Some(attempt) == version.attempt) {
                    self.notes.violations().push(Violation::Unreadable {
                        object: object.to_string(),
                        attempt: version.attempt,
                        without: names.join(" and "),
                    });
                }
            }
            away.iter().for_each(|it| it.faults().set_down(false));
            // Locations that were found wanting are asked again after a while.
            tokio::time::sleep(REST).await;
        }
    }

    async fn upkeep(&self) -> Upkeep {
        let mut upkeep = Upkeep::default();
        let jobs = self.client(92).jobs(0, 1000).await.unwrap_or_default();
        let jobs: Vec<Value> = serde_json::from_str(&jobs).unwrap_or_default();
        jobs.iter().for_each(|job| upkeep.count(job));
        upkeep
    }

    pub(super) fn broken(&self, what: &str, error: &impl std::fmt::Display) {
        self.notes.violations().push(Violation::Stalled {
            what: format!("{what}, when all is well again: {error}"),
        });
    }

    /// Reads the current object, or a version, and notes what comes.
    async fn read_back(&self, client: &KvClient, object: &Object, version: Option<&Version>) {
        let began = self.surroundings.now();
        let id = version.map(|version| version.id);
        let seen = match look(client, self.seed, object, id).await {
            Ok(seen) => seen,
            Err(Trouble::Kv(error)) => return self.broken(&object.to_string(), &error),
            Err(Trouble::Gone) => return self.broken(&object.to_string(), &"gone while read"),
            Err(Trouble::Content(what)) => {
                let object = object.to_string();
                return self
                    .notes
                    .violations()
                    .push(Violation::Content { object, what });
            }
        };
        note!(self.surroundings, "the end", "{object}: {seen:?}");
        let Some(version) = version else {
            self.notes.history().reads.push(Read {
                object: object.clone(),
                began,
                ended: self.surroundings.now(),
                seen,
            });
            return;
        };
        if version.attempt.map(Seen::Content) != Some(seen.clone()) {
            self.notes.violations().push(Violation::Listing {
                object: object.to_string(),
                what: format!("listed is {:?}, read is {seen:?}", version.attempt),
            });
        }
    }

    /// Lists a datastore, current objects and versions, with what the store says of each.
    async fn list(
        &self,
        client: &KvClient,
        datastore: &'static str,
        debts: &BTreeSet<[u8; 16]>,
        remains: &mut Remains,
    ) {
        for versions in [false, true] {
            let options = ListOptions {
                limit: 1000,
                versions,
                ..ListOptions::default()
            };
            let listing = match client.list(datastore, &options).await {
                Ok(listing) => listing,
                Err(error) => return self.broken(datastore, &error),
            };
            for head in listing.heads {
                let object = Object {
                    datastore,
                    key: String::from_utf8_lossy(&head.key).into_owned(),
                };
                let id: [u8; 16] = head.version[..].try_into().unwrap_or_default();
                if !versions {
                    remains.listed.insert(object, id);
                    continue;
                }
                let version = self.version(client, &object, head, debts).await;
                let of_object = remains.versions.entry(object).or_default();
                of_object.push(version);
            }
        }
    }

    async fn version(
        &self,
        client: &KvClient,
        object: &Object,
        head: sc_client::kv::Head,
        debts: &BTreeSet<[u8; 16]>,
    ) -> Version {
        let id: [u8; 16] = head.version[..].try_into().unwrap_or_default();
        let redundancy = POLICIES
            .iter()
            .find(|(name, _)| *name == head.policy)
            .and_then(|(_, definition)| Policy::parse(definition).ok())
            .map(|policy| policy.code());
        let segments = self
            .outside
            .catalog
            .segments(VersionId(id), 0..u32::MAX)
            .await
            .unwrap_or_default();
        let placing = self.outside.catalog.placing(VersionId(id)).await;
        let manifest = placing.ok().flatten().map_or(id, |it| it.manifest.0);
        if let Err(error) = client
            .stat(object.datastore, object.key.as_bytes(), Some(id))
            .await
        {
            self.broken(&object.to_string(), &error);
        }
        let fragments = segments.iter().flat_map(|segment| &segment.fragments);
        let (stored, owed): (Vec<_>, Vec<_>) =
            fragments.partition(|it| it.state == FragmentState::Stored);
        let each = segments
            .iter()
            .map(|it| u64::from(it.fragment_bytes) * it.fragments.len() as u64);
        let number = match head.marker {
            // A marker's own head does not know its number.
            true => self.number_of(object, id).await,
            false => head.number,
        };
        Version {
            id,
            manifest,
            number,
            bytes: head.bytes,
            is_marker: head.marker,
            attempt: head.object.and_then(|it| labelled(&it.content_type)),
            fragments: stored
                .iter()
                .map(|it| (it.location.clone(), it.name.clone()))
                .collect(),
            losses: redundancy.map_or(0, |code| usize::from(code.losses())),
            owed_most: segments.iter().map(owed_of).max().unwrap_or_default(),
            owed: owed.iter().map(|it| it.name.clone()).collect(),
            stored_bytes: each.sum(),
            is_owed: debts.contains(&id) || head.marker,
            copies: redundancy.map_or(0, |code: Redundancy| usize::from(code.losses()) + 1),
        }
    }

    async fn number_of(&self, object: &Object, id: [u8; 16]) -> u64 {
        let catalog = &self.outside.catalog;
        let tenant = TenantId(self.client(96).tenant());
        let Ok(Some(datastore)) = catalog.datastore(tenant, object.datastore).await else {
            return 0;
        };
        let key = object.key.clone().into_bytes().into();
        let version = catalog.version(datastore.id, &key, VersionId(id));
        let version = version.await.ok().flatten();
        version.map_or(0, |version| version.number)
    }
}

/// How many fragments a segment owes.
fn owed_of(segment: &Segment) -> usize {
    let fragments = segment.fragments.iter();
    fragments
        .filter(|it| it.state != FragmentState::Stored)
        .count()
}
