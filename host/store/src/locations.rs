//! The open storage locations: which there are, how they are, how quickly they answer.
//!
//! Invariant: a call to a location ends: with its answer, or as unavailable when its patience is over. A location that failed is tried again
//! after a pause that doubles up to [`PAUSE_MAX`].

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, OnceLock, RwLock};
use std::time::Duration;

use bytes::Bytes;
use sc_backend::{Backend, BackendError, FragmentName};
use sc_metadata::LocationState;
use tokio::time::Instant;

use crate::location::LocationSettings;
use crate::placement::Candidate;
use crate::unopened::Unopened;

/// The first pause after a failure.
const PAUSE: Duration = Duration::from_millis(500);
/// After so many milliseconds without a read a latency counts half.
const LATENCY_HALVED_MS: u64 = 30_000;
/// The longest.
const PAUSE_MAX: Duration = Duration::from_secs(30);

/// One location.
pub struct Site {
    /// Its name.
    pub name: String,
    /// What it is.
    pub settings: LocationSettings,
    /// What the operator wants of it.
    pub state: LocationState,
    /// What keeps its fragments.
    pub backend: Arc<dyn Backend>,
    /// Why it is not open, if it is not.
    unopened: Option<String>,
    health: Arc<Health>,
    /// Whether it can recode what it holds, once it was asked.
    computes: Arc<OnceLock<bool>>,
}

/// How a location does; kept when its settings change.
struct Health {
    began: Instant,
    /// Failures in a row.
    failures: AtomicU32,
    /// Milliseconds since `began` until which it is left alone.
    resting_until_ms: AtomicU64,
    /// Microseconds that a read takes, smoothed.
    latency_us: AtomicU64,
    /// Milliseconds since `began` at which that was last measured.
    measured_ms: AtomicU64,
}

impl Health {
    fn new() -> Self {
        Self {
            began: Instant::now(),
            failures: AtomicU32::new(0),
            resting_until_ms: AtomicU64::new(0),
            latency_us: AtomicU64::new(0),
            measured_ms: AtomicU64::new(0),
        }
    }

    fn now_ms(&self) -> u64 {
        u64::try_from(self.began.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    fn is_well(&self) -> bool {
        self.now_ms() >= self.resting_until_ms.load(Relaxed)
    }

    fn failed(&self) {
        let failures = self.failures.fetch_add(1, Relaxed).min(16);
        let pause = PAUSE.saturating_mul(1 << failures).min(PAUSE_MAX);
        let pause = u64::try_from(pause.as_millis()).unwrap_or(u64::MAX);
        self.resting_until_ms.store(self.now_ms() + pause, Relaxed);
    }

    fn answered(&self) {
        if self.failures.load(Relaxed) != 0 {
            self.failures.store(0, Relaxed);
            self.resting_until_ms.store(0, Relaxed);
        }
    }

    fn took(&self, time: Duration) {
        let took = u64::try_from(time.as_micros()).unwrap_or(u64::MAX).max(1);
        let before = u64::try_from(self.latency().as_micros()).unwrap_or(u64::MAX);
        let smoothed = if before == 0 {
            took
        } else {
            before - before / 8 + took / 8
        };
        self.latency_us.store(smoothed, Relaxed);
        self.measured_ms.store(self.now_ms(), Relaxed);
    }

    /// What was measured, halved for each half minute since: who was slow is not asked, and would else be so for ever.
    fn latency(&self) -> Duration {
        let age_ms = self.now_ms().saturating_sub(self.measured_ms.load(Relaxed));
        let halvings = u32::try_from(age_ms / LATENCY_HALVED_MS).unwrap_or(u32::MAX);
        let latency_us = self.latency_us.load(Relaxed);
        Duration::from_micros(latency_us.checked_shr(halvings).unwrap_or(0))
    }
}

/// A read under way. One that is given up, since others were quicker, took at least as long as it was waited for.
struct Timed<'h> {
    health: &'h Health,
    begun: Instant,
    is_answered: bool,
}

impl<'h> Timed<'h> {
    fn new(health: &'h Health) -> Self {
        Self {
            health,
            begun: Instant::now(),
            is_answered: false,
        }
    }

    fn answered(&mut self, is_well: bool) {
        self.is_answered = true;
        if is_well {
            self.health.took(self.begun.elapsed());
        }
    }
}

impl Drop for Timed<'_> {
    fn drop(&mut self) {
        let waited = self.begun.elapsed();
        if !self.is_answered && waited > self.health.latency() {
            self.health.took(waited);
        }
    }
}

impl Site {
    /// A location that has just been opened.
    #[must_use]
    pub fn new(
        name: String,
        settings: LocationSettings,
        state: LocationState,
        backend: Arc<dyn Backend>,
    ) -> Self {
        Self {
            name,
            settings,
            state,
            backend,
            unopened: None,
            health: Arc::new(Health::new()),
            computes: Arc::default(),
        }
    }

    /// A location that did not open: known, so that it can be looked at and given up, and without an answer.
    pub(crate) fn unopened(
        name: String,
        settings: LocationSettings,
        state: LocationState,
        why: String,
    ) -> Self {
        Self {
            unopened: Some(why.clone()),
            ..Self::new(name, settings, state, Arc::new(Unopened(why)))
        }
    }

    /// Why it is not open, if it is not.
    pub(crate) fn why_unopened(&self) -> Option<&str> {
        self.unopened.as_deref()
    }

    /// Whether it answered when it was last asked, or has rested since.
    #[must_use]
    pub fn is_well(&self) -> bool {
        self.health.is_well()
    }

    /// How long a read takes, smoothed; zero where none was made.
    #[must_use]
    pub fn latency(&self) -> Duration {
        self.health.latency()
    }

    /// Stores a fragment.
    pub(crate) async fn put(
        &self,
        name: &FragmentName,
        body: Bytes,
        patience: Duration,
    ) -> Result<(), BackendError> {
        self.watch(self.backend.put(name, body), patience).await
    }

    /// Reads a fragment, or a part of it.
    pub(crate) async fn read(
        &self,
        name: &FragmentName,
        range: Option<std::ops::Range<u64>>,
        patience: Duration,
    ) -> Result<Bytes, BackendError> {
        let mut timed = Timed::new(&self.health);
        let read = match range {
            Some(range) => self.backend.read(name, range),
            None => self.backend.get(name),
        };
        let result = self.watch(read, patience).await;
        timed.answered(result.is_ok());
        result
    }

    /// A write was done without it: for longer than others took, it has not answered.
    pub(crate) fn lagged(&self) {
        // Many that wait at once find out the same once.
        if self.is_well() {
            self.health.failed();
            tracing::warn!(location = self.name, "a location does not answer in time");
        }
    }

    /// Deletes a fragment.
    pub(crate) async fn delete(
        &self,
        name: &FragmentName,
        patience: Duration,
    ) -> Result<bool, BackendError> {
        self.watch(self.backend.delete(name), patience).await
    }

    /// Whether it can recode what it holds; `false` where it does not say.
    pub(crate) async fn computes(&self, patience: Duration) -> bool {
        if let Some(computes) = self.computes.get() {
            return *computes;
        }
        let described = self.watch(self.backend.describe(), patience).await;
        described.is_ok_and(|it| *self.computes.get_or_init(|| it.computes))
    }

    /// Has packets of a fragment combined.
    pub(crate) async fn recode(
        &self,
        name: &FragmentName,
        scalars: Bytes,
        patience: Duration,
    ) -> Result<Bytes, BackendError> {
        self.watch(self.backend.recode(name, scalars), patience)
            .await
    }

    async fn watch<T>(
        &self,
        call: impl Future<Output = Result<T, BackendError>>,
        patience: Duration,
    ) -> Result<T, BackendError> {
        let result = tokio::time::timeout(patience, call).await;
        let result = result.unwrap_or_else(|_| {
            Err(BackendError::Unavailable(format!(
                "no answer within {} ms",
                patience.as_millis()
            )))
        });
        match &result {
            Err(BackendError::Unavailable(why) | BackendError::Full(why)) => {
                self.health.failed();
                tracing::warn!(location = self.name, why, "a location failed");
            }
            _ => self.health.answered(),
        }
        result
    }
}

/// The locations at one moment.
pub(crate) type Sites = Arc<BTreeMap<String, Arc<Site>>>;

/// All locations of a store.
#[derive(Default)]
pub struct Locations {
    sites: RwLock<Sites>,
}

impl Locations {
    /// The locations now; a request works with those of its beginning.
    pub(crate) fn now(&self) -> Sites {
        Arc::clone(&self.sites.read().expect("no holder of this lock panics"))
    }

    /// Adds a location, or puts it in the place of the one of its name, whose health it keeps.
    pub fn set(&self, mut site: Site) {
        let mut sites = self.sites.write().expect("no holder of this lock panics");
        let mut changed = BTreeMap::clone(&sites);
        if let Some(before) = changed.get(&site.name) {
            site.health = Arc::clone(&before.health);
        }
        changed.insert(site.name.clone(), Arc::new(site));
        *sites = Arc::new(changed);
    }

    /// What the operator wants of a location from now on.
    pub(crate) fn set_state(&self, name: &str, state: LocationState) {
        let mut sites = self.sites.write().expect("no holder of this lock panics");
        let mut changed = BTreeMap::clone(&sites);
        if let Some(before) = changed.get(name) {
            let site = Site {
                name: before.name.clone(),
                settings: before.settings.clone(),
                state,
                backend: Arc::clone(&before.backend),
                unopened: before.unopened.clone(),
                health: Arc::clone(&before.health),
                computes: Arc::clone(&before.computes),
            };
            changed.insert(name.to_owned(), Arc::new(site));
            *sites = Arc::new(changed);
        }
    }
}

/// The locations, as placement looks at them.
pub(crate) fn candidates(sites: &BTreeMap<String, Arc<Site>>) -> Vec<Candidate<'_>> {
    let each = sites.values().map(|site| Candidate {
        name: &site.name,
        settings: &site.settings,
        is_writable: site.state == LocationState::Active,
        is_well: site.is_well(),
    });
    each.collect()
}
