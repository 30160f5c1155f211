//! The operator at work: jobs are begun and cancelled, locations are drained, lost and brought back.
//!
//! Invariant: at most one location is out of use at a time, and the next only when it is in use again; one is given up only where every segment of a version has enough fragments
//! without it, and one more: nobody gives up more than the policies bear.

use std::sync::Arc;
use std::time::Duration;

use sc_client::kv::{KvClient, KvError};
use sc_metadata::LocationState;
use serde_json::{Value, json};

use super::fault::Fault;
use super::place::Place;
use super::process::Outside;
use super::scenario::AFTERMATH;
use super::surroundings::{Surroundings, note};
use crate::random::Random;

/// Rates of jobs, in bytes a second.
const RATES: [u64; 3] = [0, 256 << 10, 8 << 20];
/// Jobs that are looked at when one of them is to be cancelled.
const PAGE: u32 = 10;
/// Before an answer that did not come is asked for again.
const AGAIN: Duration = Duration::from_millis(800);

/// The operator.
pub(crate) struct Operator {
    pub(crate) client: KvClient,
    pub(crate) outside: Arc<Outside>,
    pub(crate) random: Random,
    pub(crate) every: Duration,
    /// Whether locations may be lost, too.
    pub(crate) is_hostile: bool,
}

impl Operator {
    /// Works for ever: whoever runs it ends it.
    pub(crate) async fn run(mut self) {
        loop {
            let pause = self.random.time(self.every / 3, self.every * 2);
            tokio::time::sleep(pause).await;
            match self.random.below(10) {
                0..6 => self.begin_a_job().await,
                6..8 => self.take_out_of_use().await,
                8 => self.cancel_a_job().await,
                // Two kinds at once are what brings two stores to one segment.
                _ => {
                    self.begin(json!({ "kind": "repair" })).await;
                    self.begin(json!({ "kind": "scrub" })).await;
                }
            }
        }
    }

    async fn begin_a_job(&mut self) {
        let rate = *self.random.pick(&RATES);
        let definition = match self.random.below(7) {
            0 => json!({ "kind": "repair", "bytes_per_second": rate }),
            1 => json!({ "kind": "scrub", "bytes_per_second": rate }),
            2 => json!({ "kind": "scrub", "sample": 0.5 }),
            3 => json!({ "kind": "tier", "bytes_per_second": rate }),
            4 => json!({ "kind": "gc" }),
            _ => {
                let datastore = *self.random.pick(&["plain", "kept"]);
                let policy = *self.random.pick(&["hot", "cold", "coded", "tiered"]);
                let migrate =
                    json!({ "kind": "migrate", "datastore": datastore, "policy": policy });
                let mut migrate = with(migrate, "bytes_per_second", rate.into());
                if self.random.chance(500) {
                    migrate = with(migrate, "prefix", "key0".into());
                }
                migrate
            }
        };
        self.begin(definition).await;
    }

    async fn begin(&self, definition: Value) {
        let datastore = definition["datastore"].as_str().unwrap_or_default();
        let text = definition.to_string();
        let begun = self.client.put_job(datastore, &text).await;
        note!(
            self.outside.surroundings,
            "the operator",
            "begins {text}: {}",
            said(&begun)
        );
    }

    async fn cancel_a_job(&mut self) {
        let Ok(jobs) = self.client.jobs(0, PAGE).await else {
            return;
        };
        let jobs: Vec<Value> = serde_json::from_str(&jobs).unwrap_or_default();
        let running = jobs.iter().filter(|it| it["state"] == "running");
        let ids: Vec<u64> = running.filter_map(|it| it["id"].as_u64()).collect();
        if ids.is_empty() {
            return;
        }
        let id = *self.random.pick(&ids);
        let cancelled = self.client.cancel_job(id).await;
        note!(
            self.outside.surroundings,
            "the operator",
            "cancels job {id}: {}",
            said(&cancelled)
        );
    }

    /// Has a location drained, or gives it up; and takes it back after a while.
    async fn take_out_of_use(&mut self) {
        let all = self.outside.catalog.locations().await.unwrap_or_default();
        if all.iter().any(|it| it.state != LocationState::Active) {
            return;
        }
        let number = self.random.below(self.outside.places.len());
        let place = self.outside.places[number].clone();
        let state = match self.is_hostile && self.random.chance(400) {
            true if self.may_lose(&place).await => {
                // One that is lost may come back as it was, or empty.
                if self.random.chance(600) {
                    place.faults().lose_all();
                }
                self.outside.surroundings.count(Fault::LocationLost);
                LocationState::Lost
            }
            true => return,
            false => LocationState::Draining,
        };
        self.set_state(&place, state).await;
        let time = self
            .random
            .time(Duration::from_secs(1), Duration::from_secs(12));
        tokio::time::sleep(time).await;
        self.set_state(&place, LocationState::Active).await;
    }

    /// Has a location lost for longer than anything deleted is kept, twice, and in the middle of its return the second time; `meanwhile` is done
    /// while it is.
    pub(crate) async fn lose_for_long(mut self, meanwhile: impl AsyncFn()) {
        let number = self.random.below(self.outside.places.len());
        let place = self.outside.places[number].clone();
        for _ in 0..2 {
            if !self.may_lose(&place).await {
                return;
            }
            self.outside.surroundings.count(Fault::LocationLost);
            self.set_state(&place, LocationState::Lost).await;
            meanwhile().await;
            tokio::time::sleep(AFTERMATH).await;
            self.set_state(&place, LocationState::Active).await;
            let time = self.random.time(Duration::ZERO, Duration::from_millis(40));
            tokio::time::sleep(time).await;
        }
    }

    /// Brings all locations back.
    pub(crate) async fn take_all_back(self) {
        for place in &self.outside.places {
            self.set_state(place, LocationState::Active).await;
        }
    }

    /// Says it until somebody has heard it.
    async fn set_state(&self, place: &Place, state: LocationState) {
        loop {
            let set = self
                .client
                .put_location(&place.name, "", state.as_str())
                .await;
            let surroundings = &self.outside.surroundings;
            note!(
                surroundings,
                "the operator",
                "{} is {state:?}: {}",
                place.name,
                said(&set)
            );
            if set.is_ok() {
                return;
            }
            tokio::time::sleep(AGAIN).await;
        }
    }

    /// Whether every version stays readable without this location, with one fragment to spare where its policy has any.
    async fn may_lose(&self, place: &Place) -> bool {
        let all = Vec::new()..vec![0xff; 64];
        let segments = self.outside.catalog.segments_within(all, usize::MAX).await;
        segments.unwrap_or_default().iter().all(|segment| {
            let left = self.outside.vitals(segment, Some(&place.name));
            left.is_some_and(|left| left.well > left.needed)
        })
    }
}

fn with(mut object: Value, name: &str, value: Value) -> Value {
    object[name] = value;
    object
}

/// What was answered, in a word.
fn said<T>(answer: &Result<T, KvError>) -> String {
    answer
        .as_ref()
        .err()
        .map_or_else(|| "done".to_owned(), ToString::to_string)
}

/// Waits until no job is under way; whether that came within `patience`.
pub(crate) async fn until_idle(
    client: &KvClient,
    surroundings: &Surroundings,
    patience: Duration,
) -> Result<(), String> {
    let end = surroundings.now() + patience;
    loop {
        let jobs = client.jobs(0, 1000).await.map_err(|it| it.to_string())?;
        let jobs: Vec<Value> = serde_json::from_str(&jobs).unwrap_or_default();
        let Some(running) = jobs.iter().find(|it| it["state"] == "running") else {
            return Ok(());
        };
        if surroundings.now() > end {
            return Err(format!("a job does not end: {running}"));
        }
        tokio::time::sleep(Duration::from_secs(5)).await;
    }
}

/// Does a job when all is well, after which nothing may be left that it could not do.
pub(crate) async fn last_job(
    client: &KvClient,
    kind: &str,
    surroundings: &Surroundings,
) -> Result<(), String> {
    let definition = json!({ "kind": kind, "bytes_per_second": 0 });
    let definition = match kind {
        "gc" => json!({ "kind": kind }),
        "gc of strays" => json!({ "kind": "gc", "strays": true }),
        _ => definition,
    };
    let begun = client.put_job("", &definition.to_string()).await;
    let begun: Value =
        serde_json::from_str(&begun.map_err(|it| it.to_string())?).map_err(|it| it.to_string())?;
    let id = begun["id"].as_u64().ok_or("a job without a number")?;
    until_idle(client, surroundings, Duration::from_secs(3600)).await?;
    let job = client.job(id).await.map_err(|it| it.to_string())?;
    let job: Value = serde_json::from_str(&job).map_err(|it| it.to_string())?;
    let is_clean =
        job["state"] == "done" && job["done"]["failed"] == 0 && job["done"]["unreached"] == 0;
    match is_clean {
        true => Ok(()),
        false => Err(format!("it leaves something: {job}")),
    }
}
