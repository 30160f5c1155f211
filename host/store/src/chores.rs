//! What is done when nobody waits for it: debts that are paid are struck off, uploads that rest too long are given up, and what nobody can see goes.
//!
//! Invariant: a fragment is deleted only after its segment has become garbage in a transaction, and its time has come, and is forgotten only
//! when it is nowhere; a store that stops in the middle leaves what is to be done in the catalogue.

use std::sync::Arc;
use std::time::Duration;

use sc_backend::FragmentName;
use sc_metadata::{Fragment, Join, LocationState, Removal, Segment, VersionId};
use tokio::sync::mpsc;

use crate::debts::Debts;
use crate::error::Problem;
use crate::jobs::Work;
use crate::locations::Sites;
use crate::manifests::{manifest_name, removal_name};
use crate::store::Store;

/// Something small to be done soon.
pub(crate) enum Chore {
    /// A version's manifest has its copies.
    SettleManifest(VersionId),
}

/// The chores of one store.
pub struct Chores {
    pub(crate) store: Arc<Store>,
    waiting: mpsc::Receiver<Chore>,
}

/// Settled together, so that they are one transaction.
const TOGETHER: usize = 1024;
/// Things looked at in one round of each kind.
const ROUND: usize = 256;
const DAY_MS: u64 = 24 * 3600 * 1000;
/// Between two jobs for a location that is lost or draining.
const AGAIN_MS: u64 = 3600 * 1000;
/// Between two jobs for a location that is returning.
const RETURN_MS: u64 = 60 * 1000;
/// So long jobs that have ended are shown.
const KEPT_MS: u64 = 30 * DAY_MS;
/// So long small chores gather.
const GATHER: Duration = Duration::from_millis(100);

impl Chores {
    pub(crate) const WAITING_MAX: usize = 16_384;

    pub(crate) fn new(store: Arc<Store>, waiting: mpsc::Receiver<Chore>) -> Self {
        Self { store, waiting }
    }

    /// Does chores until `stop` completes; then what waits already.
    pub async fn run(self, stop: impl Future<Output = ()>) {
        // Debts may take long, and hold up nothing else.
        let debts = Self::pay(
            Debts::new(Arc::clone(&self.store)),
            self.store.settings.chore_interval,
        );
        let store = Arc::clone(&self.store);
        let jobs = Self::work(&store);
        tokio::select! {
            // In this order, so that a run of a simulation can be had again.
            biased;
            () = self.keep_house(stop) => {}
            () = debts => unreachable!("it never ends"),
            () = jobs => unreachable!("it never ends"),
        }
        // Others go on with what this store was at.
        if let Err(error) = store.catalog.let_go_parts(&store.settings.owner).await {
            tracing::warn!(%error, "jobs wait until the leases of this store have passed");
        }
    }

    /// Does jobs, one part after the other.
    async fn work(store: &Arc<Store>) {
        let mut rounds = tokio::time::interval(store.settings.chore_interval);
        rounds.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                biased;
                _ = rounds.tick() => {}
                // One that was made here need not wait for a round.
                () = store.job_made.notified() => {}
            }
            loop {
                match store.work().await {
                    Ok(true) => {}
                    Ok(false) => break,
                    Err(problem) => {
                        tracing::warn!(%problem, "jobs wait");
                        break;
                    }
                }
            }
        }
    }

    /// Pays debts again and again.
    async fn pay(mut debts: Debts, interval: Duration) {
        let mut rounds = tokio::time::interval(interval);
        rounds.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            rounds.tick().await;
            if let Err(problem) = debts.pay().await {
                tracing::warn!(%problem, "debts wait");
            }
        }
    }

    async fn keep_house(mut self, stop: impl Future<Output = ()>) {
        tokio::pin!(stop);
        let mut rounds = tokio::time::interval(self.store.settings.chore_interval);
        rounds.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let mut gathered = Vec::new();
        loop {
            tokio::select! {
                biased;
                () = &mut stop => break,
                _ = rounds.tick() => {
                    if let Err(problem) = self.tidy().await {
                        tracing::warn!(%problem, "chores wait");
                    }
                }
                count = self.waiting.recv_many(&mut gathered, TOGETHER) => {
                    if count == 0 {
                        break;
                    }
                    tokio::time::sleep(GATHER).await;
                    self.settle(&mut gathered).await;
                }
            }
        }
        self.waiting.close();
        while self.waiting.recv_many(&mut gathered, TOGETHER).await > 0 {
            self.settle(&mut gathered).await;
        }
    }

    async fn settle(&mut self, gathered: &mut Vec<Chore>) {
        while gathered.len() < TOGETHER
            && let Ok(chore) = self.waiting.try_recv()
        {
            gathered.push(chore);
        }
        let versions: Vec<VersionId> = gathered
            .drain(..)
            .map(|Chore::SettleManifest(version)| version)
            .collect();
        if let Err(error) = self.store.catalog.settle_manifests(&versions).await {
            tracing::warn!(%error, "debts stay written down");
        }
    }

    /// Looks once for everything whose time has come, pays what debts can be paid, and does the jobs that there are.
    ///
    /// # Errors
    /// The catalogue does not answer.
    pub async fn round(&self) -> Result<(), Problem> {
        self.tidy().await?;
        Debts::new(Arc::clone(&self.store)).pay().await?;
        while self.store.work().await? {}
        Ok(())
    }

    async fn tidy(&self) -> Result<(), Problem> {
        let store = &self.store;
        store.open_locations().await?;
        if store.rebuilding.is_due() {
            // What seems to be given up may have been stored.
            return Ok(());
        }
        let now_ms = store.now_ms();
        let due_ms = store.in_ms(store.settings.grace);
        for version in store.catalog.expired_intents(now_ms, ROUND).await? {
            store.catalog.expire_intent(version, now_ms, due_ms).await?;
        }
        self.sweep(now_ms).await?;
        self.forget_manifests(now_ms).await?;
        self.tidy_notes().await?;
        store.note_reads().await?;
        self.appoint(now_ms).await?;
        let replay_memory = store.settings.replay_memory.as_millis();
        let before_ms = now_ms.saturating_sub(u64::try_from(replay_memory).unwrap_or(u64::MAX));
        Ok(store.catalog.forget_spent(before_ms).await?)
    }

    /// Makes the jobs that come again and again, where their time has come; of several stores one does.
    async fn appoint(&self, now_ms: u64) -> Result<(), Problem> {
        let store = &self.store;
        let day = now_ms / DAY_MS;
        let scrub = Work::Scrub {
            sample: None,
            day: Some(day),
            bytes_per_second: None,
        };
        let tier = Work::Tier {
            bytes_per_second: None,
        };
        let gc = Work::Gc { strays: false };
        for (work, days) in [(scrub, 1), (tier, 1), (gc, 7)] {
            let turn = store.catalog.is_turn(work.kind(), days * DAY_MS, now_ms);
            if turn.await? {
                store.add_job(&work, Join::Unbegun).await?;
            }
        }
        // What a job has passed over, or nobody has begun since a store stopped: writes and uploads that were under way, and what failed.
        for site in store.locations.now().values() {
            let Some(work) = Work::for_state(&site.name, site.state) else {
                continue;
            };
            let name = format!("{} {}", work.kind(), site.name);
            let (often_ms, join) = match store.catalog.returning(&site.name).await? {
                Some(returning) => (RETURN_MS, Join::Since(returning.since)),
                None => (AGAIN_MS, Join::Unbegun),
            };
            if store.catalog.is_turn(&name, often_ms, now_ms).await? {
                store.add_job(&work, join).await?;
            }
        }
        Ok(store
            .catalog
            .forget_jobs(now_ms.saturating_sub(KEPT_MS))
            .await?)
    }

    /// Deletes the fragments of garbage whose time has come.
    async fn sweep(&self, now_ms: u64) -> Result<(), Problem> {
        loop {
            let garbage = self.store.catalog.garbage(now_ms, ROUND).await?;
            let mut gone = Vec::with_capacity(garbage.len());
            for segment in &garbage {
                if self.delete_fragments(segment).await {
                    gone.push(segment.id);
                }
            }
            self.store.catalog.forget_segments(&gone).await?;
            // What could not be deleted is in front again: leave it for the next round.
            if garbage.len() < ROUND || gone.is_empty() {
                return Ok(());
            }
        }
    }

    /// Whether every location has said that a segment's fragments are gone. Each is asked for each, whatever the catalogue says of where they
    /// lie: a write that was not answered may have been done, and its store may have stopped before it could note where.
    async fn delete_fragments(&self, segment: &Segment) -> bool {
        let names = segment
            .fragments
            .iter()
            .filter_map(|fragment| FragmentName::new(&fragment.name).ok());
        // A catalogue that was made again may have taken up a name that was to go.
        let Ok(names) = self
            .store
            .without_those_in_use(segment.id, names.collect())
            .await
        else {
            return false;
        };
        let is_known = {
            let sites = self.store.locations.now();
            move |fragment: &Fragment| sites.contains_key(&fragment.location)
        };
        self.delete_everywhere(&names).await && segment.fragments.iter().all(is_known)
    }

    /// Whether every location has said that these are gone. One that does not answer is left alone for a while.
    pub(crate) async fn delete_everywhere(&self, names: &[FragmentName]) -> bool {
        let sites = self.store.locations.now();
        let patience = self.store.settings.location_patience;
        let mut all_gone = true;
        // A location that is lost has lost its fragments, too.
        for site in sites.values().filter(|it| it.state != LocationState::Lost) {
            for name in names {
                let is_gone = site.is_well() && site.delete(name, patience).await.is_ok();
                all_gone &= is_gone;
            }
        }
        all_gone && self.are_still_lost(&sites).await
    }

    /// Whether the locations that this store takes for lost are so: one that returns is asked, too, before anything is forgotten.
    async fn are_still_lost(&self, sites: &Sites) -> bool {
        let mut lost = sites.values().filter(|it| it.state == LocationState::Lost);
        if lost.clone().next().is_none() {
            return true;
        }
        let Ok(now) = self.store.catalog.locations().await else {
            return false;
        };
        lost.all(|site| {
            let known = now.iter().find(|it| it.name == site.name);
            known.is_some_and(|it| it.state == LocationState::Lost)
        })
    }

    /// Deletes the manifests of versions that are gone.
    async fn forget_manifests(&self, now_ms: u64) -> Result<(), Problem> {
        for removal in self.store.catalog.removals(now_ms, ROUND).await? {
            let versions = removal.record.as_chunks().0;
            let names: Vec<_> = versions
                .iter()
                .map(|version| manifest_name(VersionId(*version)))
                .collect();
            if !self.delete_everywhere(&names).await {
                continue;
            }
            match self.forget_words(&removal).await? {
                true => self.store.catalog.forget_removal(removal.id).await?,
                // It may have to stay for long, and is not to be in the way of others.
                false => {
                    let due_ms = self.store.in_ms(self.store.settings.grace);
                    let put_off = self.store.catalog.put_off_removal(removal.id, due_ms);
                    put_off.await?;
                }
            }
        }
        Ok(())
    }

    /// Deletes the files that say what a removal says, if nothing is left of what they are about; whether they are gone.
    async fn forget_words(&self, removal: &Removal) -> Result<bool, Problem> {
        if removal.words.is_empty() {
            return Ok(true);
        }
        let catalog = &self.store.catalog;
        if !catalog.are_words_spent(removal).await? {
            return Ok(false);
        }
        let words = removal.words.as_chunks().0.iter();
        let names: Vec<_> = words.map(removal_name).collect();
        let are_gone = self.delete_everywhere(&names).await;
        if are_gone {
            catalog.forget_words(removal).await?;
        }
        Ok(are_gone)
    }
}
