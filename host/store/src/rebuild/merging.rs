//! The steps of a rebuild, in their order: settings, removals, versions, and last what was not found (`absence.rs`).
//!
//! Invariant: removals are known before the first version is merged, and a datastore is there when all its versions are.

use std::collections::{BTreeMap, BTreeSet};

use sc_metadata::{
    Datastore, DatastoreId, Found, FoundDatastore, FoundVersion, MergedDatastore, Subject, TenantId,
};
use sc_proto::storage::{StoredDatastore, StoredManifest, StoredRecord, StoredRemoval};
use sc_proto::store::problem::Code;
use tokio::time::Instant;

use super::Rebuilt;
use super::listing::Files;
use super::reading::{File, Wrap, Wraps, next_copies};
use super::work::{Target, Work};
use crate::error::Problem;
use crate::notes::stem;
use crate::policy::Policy;
use crate::store::{Store, hex, unhex};

/// Manifests, removals or records merged together.
pub(super) const TOGETHER: usize = 2048;
/// Versions of the catalogue compared together with what was found.
pub(super) const PAGE: usize = 1024;

impl Store {
    pub(super) async fn make_again(&self) -> Result<Rebuilt, Problem> {
        let begun = Instant::now();
        self.catalog.set_rebuild_due(true).await?;
        // Until it is known better, for other stores that are collecting garbage.
        self.catalog.set_may_miss_locations(true).await?;
        self.open_locations().await?;
        let mut work = Work {
            listing: self.list_everything().await?,
            rebuilt: Rebuilt::default(),
            wraps: Wraps::new(),
            targets: BTreeMap::new(),
            removed: BTreeMap::new(),
            removed_ones: BTreeSet::new(),
            seen: BTreeMap::new(),
            stale: Vec::new(),
            named: BTreeSet::new(),
            policies: BTreeMap::new(),
            records: BTreeSet::new(),
            short: Vec::new(),
            is_unknown: false,
            had_versions: !self.catalog.present(None, 1).await?.is_empty(),
            told: BTreeSet::new(),
        };
        self.read_datastores(&mut work).await?;
        self.are_enough(&mut work).await?;
        self.merge_records(&mut work).await?;
        self.merge_removals(&mut work).await?;
        self.merge_manifests(&mut work).await?;
        self.catalog.set_heard(work.listing.heard()).await?;
        self.look_for_signs(&mut work).await?;
        self.take_away(&mut work).await?;
        self.drop_untold_records(&mut work).await?;
        self.merge_datastores(&mut work).await?;
        self.drop_untold(&work).await?;
        let due_ms = self.in_ms(self.settings.grace);
        for stale in work.stale.chunks(TOGETHER) {
            self.catalog.discard_manifests(stale, due_ms).await?;
        }
        let mut rebuilt = work.rebuilt;
        match rebuilt.may_miss_locations {
            true => self.catalog.set_numbers_apart().await?,
            false => self.catalog.set_may_miss_locations(false).await?,
        }
        rebuilt.millis = u64::try_from(begun.elapsed().as_millis()).unwrap_or(u64::MAX);
        Ok(rebuilt)
    }

    /// Finds the settings of datastores: the catalogue's, or newer ones at the locations.
    async fn read_datastores(&self, work: &mut Work) -> Result<(), Problem> {
        for (datastore, switches) in self.catalog.all_datastores().await? {
            let subject = Subject::Datastore(datastore.tenant, datastore.id);
            let note = self.catalog.note(&subject).await?;
            let note = note.map(|(note, _)| note);
            let wrap = Wrap {
                tenant: datastore.tenant.0,
                id: datastore.id.0,
                name: datastore.name.clone(),
                root_number: datastore.root_number,
                wrapped_key: datastore.wrapped_key.clone(),
            };
            if self.opens(&wrap).await? {
                work.wraps.insert(datastore.id, wrap);
            }
            let target = Target {
                switches,
                is_gone: false,
                change: note.as_ref().map_or(0, |it| it.change),
                is_kept: note.as_ref().is_some_and(|it| it.kept >= it.change),
                oldest: note.as_ref().map_or(1, |it| it.oldest),
                last_number: 0,
                is_guessed: false,
                datastore,
            };
            work.targets.insert(target.datastore.id, target);
        }
        // Of each the newest first.
        let files = std::mem::take(&mut work.listing.datastores);
        let mut of_each: BTreeMap<DatastoreId, BTreeMap<u64, File>> = BTreeMap::new();
        for (name, at) in &files {
            let parsed = name
                .strip_suffix(".datastore")
                .and_then(|it| it.split_once('-'));
            let parsed = parsed.and_then(|(id, change)| Some((unhex(id)?, change.parse().ok()?)));
            let Some((id, change)) = parsed else {
                work.rebuilt
                    .is_bad(name, "no name of a datastore's settings");
                continue;
            };
            let file = File::new(name.clone(), at.clone());
            of_each
                .entry(DatastoreId(id))
                .or_default()
                .insert(change, file);
        }
        for (id, changes) in of_each {
            work.told.insert(id);
            self.read_datastore(work, id, changes).await?;
        }
        Ok(())
    }

    async fn read_datastore(
        &self,
        work: &mut Work,
        id: DatastoreId,
        changes: BTreeMap<u64, File>,
    ) -> Result<(), Problem> {
        let oldest = changes.keys().next().copied().unwrap_or(1);
        let before = work.targets.get(&id).map_or(0, |it| it.change);
        for (change, file) in changes.into_iter().rev() {
            if change <= before {
                break;
            }
            let copies = file.at.len();
            let name = file.name.clone();
            let Some(stored) = self.settings_in(work, file, id, change).await? else {
                work.rebuilt
                    .is_bad(&name, "no copy holds settings that a coder knows");
                continue;
            };
            let policy = Policy::parse(&stored.policy_definition).ok();
            let losses = policy
                .as_ref()
                .map_or(0, |it| usize::from(it.code().losses()));
            let tenant = TenantId(stored.tenant[..].try_into().unwrap_or_default());
            if !stored.gone {
                let policy = (stored.policy.clone(), stored.policy_version);
                self.know_policy(work, policy, &stored.policy_definition)
                    .await?;
            }
            let target = Target {
                datastore: Datastore {
                    id,
                    tenant,
                    name: stored.name,
                    policy: stored.policy,
                    versioning: stored.versioning,
                    quota_bytes: stored.quota_bytes,
                    used_bytes: 0,
                    objects: 0,
                    wrapped_key: stored.wrapped_key,
                    root_number: stored.root_number,
                    created_ms: stored.created_ms,
                },
                switches: stored.switches,
                is_gone: stored.gone,
                change,
                is_kept: copies > losses,
                oldest,
                last_number: 0,
                is_guessed: false,
            };
            work.targets.insert(id, target);
            return Ok(());
        }
        Ok(())
    }

    /// The settings in a file, if they are this datastore's and its key opens; those of one that was deleted have no key.
    async fn settings_in(
        &self,
        work: &mut Work,
        file: File,
        id: DatastoreId,
        change: u64,
    ) -> Result<Option<StoredDatastore>, Problem> {
        for attempt in 0..file.at.len() {
            let read = self
                .read_files::<StoredDatastore>(&work.listing, vec![file.clone()], attempt)
                .await;
            let Some((_, Some(stored))) = read.into_iter().next() else {
                continue;
            };
            let is_named_so = stored.datastore[..] == id.0 && stored.change == change;
            let Some(wrap) = Wrap::of_datastore(&stored).filter(|_| is_named_so) else {
                continue;
            };
            if stored.gone {
                return Ok(Some(stored));
            }
            if self.opens(&wrap).await? {
                work.wraps.insert(id, wrap);
                return Ok(Some(stored));
            }
        }
        Ok(None)
    }

    /// Refuses to go on where more locations are away than any policy can do without.
    async fn are_enough(&self, work: &mut Work) -> Result<(), Problem> {
        if work.listing.lost > 0 {
            work.rebuilt.note(format!(
                "{} locations that are lost, or return, were not looked at; when one is back, rebuild again before it can return",
                work.listing.lost
            ));
        }
        if work.listing.is_whole() {
            return Ok(());
        }
        let policies = self.catalog.policies().await?;
        let known = policies.iter();
        let known = known.filter_map(|it| Policy::parse(&it.definition).ok());
        let found = work.policies.values().flatten().cloned();
        let losses = known.chain(found).map(|it| usize::from(it.code().losses()));
        let least = losses.min().unwrap_or(0);
        let away = work.listing.away.join("; ");
        if work.listing.away.len() + work.listing.lost > least {
            return Err(Problem::new(
                Code::Unavailable,
                format!(
                    "{away}: without it what was stored, or that it was deleted, may not be known; bring it back, or give it up with `securecloud kv location set NAME lost`, then again"
                ),
            ));
        }
        work.rebuilt.note(format!(
            "{away}: what lies there was not looked at; once it is back, rebuild again, so that what it holds of deleted objects goes"
        ));
        Ok(())
    }

    /// Takes over the policies that manifests name, as most of them have them: what a copy says of its policy is sealed by nobody.
    async fn know_policies(
        &self,
        work: &mut Work,
        manifests: impl Iterator<Item = &StoredManifest>,
    ) -> Result<(), Problem> {
        let mut told: BTreeMap<(String, u32), BTreeMap<&str, usize>> = BTreeMap::new();
        for it in manifests.filter(|it| !it.marker) {
            let named = (it.policy.clone(), it.policy_version);
            if !matches!(work.policies.get(&named), Some(Some(_))) {
                let told = told.entry(named).or_default();
                *told.entry(&it.policy_definition).or_default() += 1;
            }
        }
        for (named, told) in told {
            let most = told.into_iter().max_by_key(|(_, count)| *count);
            if let Some((definition, _)) = most {
                self.know_policy(work, named, definition).await?;
            }
        }
        Ok(())
    }

    /// Takes a policy over as it was found; or as the catalogue has it, if something is stored under it.
    async fn know_policy(
        &self,
        work: &mut Work,
        named: (String, u32),
        definition: &str,
    ) -> Result<(), Problem> {
        if matches!(work.policies.get(&named), Some(Some(_))) {
            return Ok(());
        }
        let mut known = Policy::parse(definition).ok();
        let (name, version) = (&named.0, named.1);
        if known.is_some() && !self.catalog.merge_policy(name, version, definition).await? {
            let stored = self.catalog.policy(name, Some(version)).await?;
            known = stored.and_then(|it| Policy::parse(&it.definition).ok());
        }
        work.policies.insert(named, known);
        Ok(())
    }

    async fn merge_records(&self, work: &mut Work) -> Result<(), Problem> {
        let files = std::mem::take(&mut work.listing.records);
        let mut of_each: BTreeMap<String, BTreeMap<u64, File>> = BTreeMap::new();
        for (name, at) in &files {
            let parsed = name
                .strip_suffix(".record")
                .and_then(|it| it.split_once('-'));
            let parsed = parsed.and_then(|(stem, change)| Some((stem, change.parse().ok()?)));
            let Some((stem, change)) = parsed else {
                work.rebuilt.is_bad(name, "no name of a record");
                continue;
            };
            let file = File::new(name.clone(), at.clone());
            of_each
                .entry(stem.to_owned())
                .or_default()
                .insert(change, file);
        }
        let mut found = BTreeSet::new();
        for (stem, changes) in of_each {
            let oldest = changes.keys().next().copied().unwrap_or(1);
            for (change, file) in changes.into_iter().rev() {
                let (copies, name) = (file.at.len(), file.name.clone());
                let Some(stored) = self.record_in(work, file, &stem, change).await? else {
                    work.rebuilt
                        .is_bad(&name, "no copy is a record that a coder knows");
                    continue;
                };
                let subject = subject_of(&stored);
                let sealed = (!stored.gone).then_some(stored.record);
                // What is kept once is worth no second copy at least; more are written again.
                let is_changed = self
                    .catalog
                    .merge_record(&subject, sealed, change, oldest, copies > 1)
                    .await?;
                work.rebuilt.records += u64::from(is_changed);
                found.insert(subject);
                break;
            }
        }
        work.records = found;
        Ok(())
    }

    async fn record_in(
        &self,
        work: &Work,
        file: File,
        named: &str,
        change: u64,
    ) -> Result<Option<StoredRecord>, Problem> {
        for attempt in 0..file.at.len() {
            let read = self
                .read_files::<StoredRecord>(&work.listing, vec![file.clone()], attempt)
                .await;
            let Some((_, Some(stored))) = read.into_iter().next() else {
                continue;
            };
            let Ok(tenant) = stored.tenant[..].try_into() else {
                continue;
            };
            if stored.change != change || stem(&subject_of(&stored)) != named {
                continue;
            }
            if stored.gone || self.verify_records(tenant, &[&stored]).await? == [true] {
                return Ok(Some(stored));
            }
        }
        Ok(None)
    }

    async fn merge_removals(&self, work: &mut Work) -> Result<(), Problem> {
        let files = std::mem::take(&mut work.listing.removals);
        let total = files.len();
        for (done, some) in files_in(files).chunks(TOGETHER).enumerate() {
            self.rebuilding.is_at("removals", done * TOGETHER, total);
            self.merge_some_removals(work, some.to_vec()).await?;
        }
        Ok(())
    }

    async fn merge_some_removals(
        &self,
        work: &mut Work,
        mut files: Vec<File>,
    ) -> Result<(), Problem> {
        let due_ms = self.in_ms(self.settings.grace);
        let mut attempt = 0;
        while !files.is_empty() {
            let read = self
                .read_files::<StoredRemoval>(&work.listing, files, attempt)
                .await;
            let mut failed = Vec::new();
            let mut groups: BTreeMap<DatastoreId, Vec<(File, StoredRemoval)>> = BTreeMap::new();
            for (file, stored) in read {
                let id = stored
                    .as_ref()
                    .and_then(|it| it.datastore[..].try_into().ok());
                match (stored, id) {
                    (Some(stored), Some(id)) => {
                        groups
                            .entry(DatastoreId(id))
                            .or_default()
                            .push((file, stored));
                    }
                    _ => failed.push(file),
                }
            }
            let mut found = Vec::new();
            for (id, group) in groups {
                let Some(wrap) = self.wrap_for(work, id).await? else {
                    let is_gone = work.targets.get(&id).is_some_and(|it| it.is_gone);
                    for (file, _) in group {
                        if !is_gone {
                            work.is_unknown = true;
                            work.rebuilt
                                .is_bad(&file.name, "nothing is known of its datastore");
                        }
                    }
                    continue;
                };
                let removals: Vec<_> = group.iter().map(|(_, stored)| stored).collect();
                let verified = self.verify_removals(&wrap, &removals).await?;
                let verified = verified.unwrap_or_else(|| vec![false; group.len()]);
                for ((file, stored), is_authentic) in group.into_iter().zip(verified) {
                    match is_authentic.then(|| work.removal(id, &file, &stored)) {
                        Some(removal) => found.extend(removal),
                        None => failed.push(file),
                    }
                }
            }
            work.rebuilt.gone += self.catalog.merge_removals(&found, due_ms).await?;
            attempt += 1;
            files = next_copies(failed, attempt, &mut work.rebuilt);
        }
        Ok(())
    }

    /// The key of a datastore. Where its settings are nowhere, some manifest has it.
    async fn wrap_for(&self, work: &mut Work, id: DatastoreId) -> Result<Option<Wrap>, Problem> {
        let is_gone = work.targets.get(&id).is_some_and(|it| it.is_gone);
        if is_gone || work.wraps.contains_key(&id) {
            return Ok(work.wraps.get(&id).cloned());
        }
        for some in files_in(work.listing.manifests.clone()).chunks(TOGETHER) {
            let read = self
                .read_files::<StoredManifest>(&work.listing, some.to_vec(), 0)
                .await;
            for (_, stored) in read {
                let wrap = stored.as_ref().and_then(Wrap::of_manifest);
                let Some(wrap) = wrap.filter(|it| !work.wraps.contains_key(&DatastoreId(it.id)))
                else {
                    continue;
                };
                if self.opens(&wrap).await? {
                    work.wraps.insert(DatastoreId(wrap.id), wrap);
                }
            }
            if work.wraps.contains_key(&id) {
                break;
            }
        }
        Ok(work.wraps.get(&id).cloned())
    }

    async fn merge_manifests(&self, work: &mut Work) -> Result<(), Problem> {
        let files = std::mem::take(&mut work.listing.manifests);
        let total = files.len();
        for (done, some) in files_in(files).chunks(TOGETHER).enumerate() {
            self.rebuilding.is_at("manifests", done * TOGETHER, total);
            let mut of_each: BTreeMap<DatastoreId, Vec<FoundVersion>> = BTreeMap::new();
            let mut files = some.to_vec();
            while !files.is_empty() {
                let known = self
                    .known_manifests(
                        &work.listing,
                        std::mem::take(&mut files),
                        &mut work.wraps,
                        &mut work.rebuilt,
                    )
                    .await?;
                self.know_policies(work, known.iter().map(|it| &it.1))
                    .await?;
                for (mut file, stored, verified) in known {
                    match work.version_of(&file, stored, verified) {
                        Ok(Some((id, version))) => of_each.entry(id).or_default().push(version),
                        Ok(None) => {}
                        // What no coder has sealed of this copy is wrong; that of another may not be.
                        Err(why) => {
                            file.at.retain(|at| *at != file.last);
                            match file.at.is_empty() {
                                true => work.rebuilt.is_bad(&file.name, why),
                                false => files.push(file),
                            }
                        }
                    }
                }
            }
            for (id, versions) in of_each {
                self.merge_versions(work, id, versions).await?;
            }
        }
        Ok(())
    }

    async fn merge_versions(
        &self,
        work: &mut Work,
        id: DatastoreId,
        mut versions: Vec<FoundVersion>,
    ) -> Result<(), Problem> {
        let Some(target) = work.targets.get_mut(&id) else {
            return Ok(());
        };
        let numbers = versions.iter().map(|it| it.number);
        target.last_number = target.last_number.max(numbers.max().unwrap_or(0));
        if target.is_gone {
            versions.iter_mut().for_each(|it| it.is_removed = true);
        }
        let names = work.listing.sites.iter().map(|site| site.name.clone());
        let found = Found {
            datastore: id,
            versioning: target.datastore.versioning,
            switches: target.switches.clone(),
            locations: names.collect(),
            listed: work.listing.listed.clone(),
            lost: work.listing.is_lost(),
            versions,
            due_ms: self.in_ms(self.settings.grace),
        };
        let merged = self.catalog.merge_versions(found).await?;
        work.rebuilt.added += merged.added;
        work.rebuilt.known += merged.known;
        work.rebuilt.gone += merged.gone;
        work.rebuilt.moved += merged.moved;
        if merged.contradicting > 0 {
            work.rebuilt.note(format!(
                "{} versions were left out: others of the same objects have their numbers",
                merged.contradicting
            ));
        }
        Ok(())
    }

    async fn merge_datastores(&self, work: &mut Work) -> Result<(), Problem> {
        for (id, target) in std::mem::take(&mut work.targets) {
            let name = target.datastore.name.clone();
            if target.is_guessed {
                work.rebuilt.note(format!(
                    "the settings of datastore {name:?} were nowhere: it keeps versions now, and has no quota; see `securecloud kv datastore set`"
                ));
            }
            let removed = work.removed.iter();
            let removed = removed
                .filter(|((of, _), _)| *of == id)
                .map(|(_, number)| *number);
            let found = FoundDatastore {
                datastore: target.datastore,
                switches: target.switches.clone(),
                is_gone: target.is_gone,
                change: target.change,
                is_kept: target.is_kept,
                oldest: target.oldest,
                last_number: removed
                    .chain(target.switches.last().copied())
                    .fold(target.last_number, u64::max),
            };
            match self.catalog.merge_datastore(found).await? {
                MergedDatastore::Added => work.rebuilt.datastores += 1,
                MergedDatastore::NameTaken => work.rebuilt.note(format!(
                    "another datastore is called {name:?}: what was found of the one with id {} was left out",
                    hex(&id.0)
                )),
                _ => {}
            }
        }
        Ok(())
    }
}

fn subject_of(stored: &StoredRecord) -> Subject {
    Subject::Record {
        tenant: TenantId(stored.tenant[..].try_into().unwrap_or_default()),
        kind: stored.kind.clone(),
        id: stored.id.clone(),
    }
}

fn files_in(files: Files) -> Vec<File> {
    let each = files.into_iter();
    each.map(|(name, at)| File::new(name, at)).collect()
}
