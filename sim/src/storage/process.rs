//! A store's process: what it serves ends with it, at whatever step it is.
//!
//! Invariant: a process that has ended answers nothing and leaves nothing but what the catalogue and the locations have. A step is a moment
//! at which a request waits: for the catalogue, for a location, for the time.

use std::collections::BTreeSet;
use std::pin::Pin;
use std::sync::atomic::{AtomicI64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard};
use std::task::{Context, Poll};
use std::time::Duration;

use sc_launcher::Caller;
use sc_metadata::{Catalog, LocationState};
use sc_proto::storage::operation::Operation as Kind;
use sc_proto::{Message as _, storage, store as message};
use sc_store::{CoderWay, Coders, LocationSettings, Locations, Site, Store, StoreSettings};
use sc_transport::{Frame, RpcError};
use tokio::task::AbortHandle;

use super::fault::Fault;
use super::links::{Link, LinkedProgram, Links, Party};
use super::place::Place;
use super::plant::Plant;
use super::route::{Menders, Route};
use super::scenario::Journey;
use super::surroundings::{Surroundings, entropy, note};
use super::trusted::Trusted;
use super::vitals::Harmed;
use super::world::NoOpener;

/// How far ahead the clock of chores is that respect no lease.
const FAR_AHEAD_MS: u64 = 3_600_000;
/// A store that cannot find out which locations there are tries again after so long.
const RETRY: Duration = Duration::from_millis(200);
/// So long it takes to notice that a link is dead.
const UNHEARD: Duration = Duration::from_millis(700);
/// What the locations are, besides their names.
pub(crate) const SETTINGS: &str = r#"{"backend":{"kind":"memory"}}"#;

/// What every store of a run works with.
pub(crate) struct Outside {
    pub(crate) catalog: Catalog,
    pub(crate) trusted: Arc<Trusted>,
    pub(crate) places: Vec<Place>,
    /// Numbers of locations that a store which starts does not know.
    pub(crate) unknown: Mutex<BTreeSet<usize>>,
    pub(crate) links: Links,
    pub(crate) menders: Arc<Menders>,
    pub(crate) harmed: Harmed,
    pub(crate) settings: StoreSettings,
    pub(crate) surroundings: Surroundings,
}

/// A process; clones are the same.
#[derive(Clone)]
pub(crate) struct Process {
    pub(crate) number: usize,
    outside: Arc<Outside>,
    state: Arc<Mutex<State>>,
    /// How far its clock is ahead of the others', in milliseconds.
    ahead_ms: Arc<AtomicI64>,
}

#[derive(Default)]
struct State {
    /// How often a store was made.
    starts: u64,
    is_up: bool,
    /// What serves, once it knows its locations.
    store: Option<Arc<Store>>,
    tasks: Vec<AbortHandle>,
    /// How many steps of which journey are left; of any where none is named.
    fuse: Option<(Option<Journey>, u64)>,
}

impl Process {
    /// A process that runs.
    pub(crate) fn start(number: usize, outside: &Arc<Outside>) -> Self {
        let process = Self {
            number,
            outside: Arc::clone(outside),
            state: Arc::default(),
            ahead_ms: Arc::default(),
        };
        process.restart();
        process
    }

    /// Starts it, unless it runs.
    pub(crate) fn restart(&self) {
        if std::mem::replace(&mut self.state().is_up, true) {
            return;
        }
        note!(self.outside.surroundings, self, "starts");
        let (store, chores) = self.make(0);
        let chores = match self.outside.surroundings.is_planted(Plant::IgnoreLease) {
            true => self.make(FAR_AHEAD_MS).1,
            false => chores,
        };
        let process = self.clone();
        let living = async move {
            // It serves nobody before it knows its locations.
            while store.open_locations().await.is_err() {
                tokio::time::sleep(RETRY).await;
            }
            process.state().store = Some(store);
            Box::pin(chores.run(std::future::pending())).await;
        };
        self.begin(Journey::Chore, living);
    }

    /// Waits until it serves.
    pub(crate) async fn serving(&self) -> Arc<Store> {
        loop {
            if let Some(store) = self.store() {
                return store;
            }
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }

    /// Sets its clock apart from the others'.
    pub(crate) fn set_ahead(&self, ms: i64) {
        self.ahead_ms.store(ms, Relaxed);
    }

    /// Begins something that ends with it.
    fn begin<T: Send + 'static>(
        &self,
        journey: Journey,
        work: impl Future<Output = T> + Send + 'static,
    ) -> tokio::task::JoinHandle<T> {
        let task = tokio::spawn(Stepping {
            journey,
            process: self.clone(),
            work: Box::pin(work),
        });
        let mut state = self.state();
        state.tasks.retain(|task| !task.is_finished());
        state.tasks.push(task.abort_handle());
        task
    }

    fn make(&self, ahead_ms: u64) -> (Arc<Store>, sc_store::Chores) {
        let outside = &self.outside;
        let link = |to: Party| -> Link { outside.links.between(Party::Store(self.number), to) };
        let reached = LinkedProgram {
            trusted: Arc::clone(&outside.trusted),
            link: link(Party::Coder),
            spoils_repairs: outside.surroundings.is_planted(Plant::SpoilRepairs),
            refuses_repairs: outside.surroundings.is_planted(Plant::NeverRepair),
        };
        let coder = Caller::in_step(Arc::new(reached), entropy);
        let locations = Locations::default();
        let unknown = outside.unknown.lock().expect("no holder panics").clone();
        for (number, place) in outside.places.iter().enumerate() {
            if unknown.contains(&number) {
                continue;
            }
            let settings = LocationSettings::parse(SETTINGS).expect("settings as they are here");
            let backend = Arc::new(Route::new(
                self.number,
                place,
                &outside.links,
                &outside.menders,
                &outside.surroundings,
            ));
            let state = LocationState::Active;
            locations.set(Site::new(place.name.clone(), settings, state, backend));
        }
        let (clock, own_ms) = (outside.surroundings.clone(), Arc::clone(&self.ahead_ms));
        let starts = {
            let mut state = self.state();
            state.starts += 1;
            state.starts
        };
        let settings = StoreSettings {
            // The same in each run.
            owner: format!("store{}-{starts}", self.number),
            ..outside.settings.clone()
        };
        Store::new(
            outside.catalog.over(Arc::new(link(Party::Catalogue))),
            Coders::new(vec![("coder".into(), CoderWay::Local(coder))]),
            locations,
            Box::new(NoOpener),
            settings,
            Arc::new(move || {
                let now_ms = clock.wall_ms() + ahead_ms;
                now_ms.saturating_add_signed(own_ms.load(Relaxed))
            }),
        )
    }

    pub(crate) fn store(&self) -> Option<Arc<Store>> {
        self.state().store.clone()
    }

    /// Ends it, with all that it does; whether it was there.
    pub(crate) fn stop(&self) -> bool {
        let (was_up, tasks) = {
            let mut state = self.state();
            state.fuse = None;
            state.store = None;
            (
                std::mem::take(&mut state.is_up),
                std::mem::take(&mut state.tasks),
            )
        };
        for task in tasks {
            task.abort();
        }
        was_up
    }

    fn crash(&self, journey: Journey) {
        if !self.stop() {
            return;
        }
        self.outside.surroundings.count(match journey {
            Journey::Put => Fault::CrashInPut,
            Journey::Get => Fault::CrashInGet,
            Journey::Delete => Fault::CrashInDelete,
            Journey::Other => Fault::CrashInOther,
            Journey::Chore => Fault::CrashInChore,
        });
        note!(self.outside.surroundings, self, "ends in a {journey:?}");
    }

    /// Has it end when so many steps of a journey are done; of any journey where none is named.
    pub(crate) fn light(&self, journey: Option<Journey>, steps: u64) {
        self.state().fuse = Some((journey, steps));
    }

    /// Has it end no more.
    pub(crate) fn put_out(&self) {
        self.state().fuse = None;
    }

    fn step(&self, journey: Journey) {
        let is_out = match &mut self.state().fuse {
            Some((of, steps)) if of.is_none_or(|of| of == journey) => {
                *steps = steps.saturating_sub(1);
                *steps == 0
            }
            _ => false,
        };
        if is_out {
            self.crash(journey);
        }
    }

    /// Serves a request, as far as it comes.
    pub(crate) async fn serve(&self, request: Frame) -> Result<Frame, RpcError> {
        let store = self.store().ok_or(RpcError::NotSent)?;
        let journey = journey_of(&request);
        let answer = self.begin(journey, async move { store.answer(request).await });
        answer.await.map_err(|_| RpcError::Disconnected)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("no holder of this lock panics")
    }
}

impl std::fmt::Display for Process {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(out, "store{}", self.number)
    }
}

/// Something that a process does, whose steps are counted.
struct Stepping<T> {
    journey: Journey,
    process: Process,
    work: Pin<Box<dyn Future<Output = T> + Send>>,
}

impl<T> Future for Stepping<T> {
    type Output = T;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<T> {
        let done = self.work.as_mut().poll(context);
        if done.is_pending() {
            self.process.step(self.journey);
        }
        done
    }
}

/// What a request is about.
fn journey_of(request: &Frame) -> Journey {
    match operation_of(request) {
        Some(
            Kind::PutObject(_)
            | Kind::PutSegment(_)
            | Kind::CommitObject(_)
            | Kind::CommitPart(_)
            | Kind::CompleteUpload(_)
            | Kind::CreateUpload(_),
        ) => Journey::Put,
        Some(Kind::GetObject(_)) => Journey::Get,
        Some(Kind::DeleteObject(_)) => Journey::Delete,
        _ => Journey::Other,
    }
}

/// What a frame asks for, if it is a client's operation.
pub(crate) fn operation_of(request: &Frame) -> Option<Kind> {
    use message::request::Request;
    let request = message::Request::decode(request.head.clone()).ok()?;
    let Some(Request::Operation(request)) = request.request else {
        return None;
    };
    let operation = storage::Operation::decode(request.operation).ok()?;
    operation.operation
}

/// A network that takes a moment, in front of several processes.
#[derive(Clone)]
pub(crate) struct Network {
    /// Who sends over it.
    pub(crate) from: Party,
    pub(crate) links: Links,
    pub(crate) processes: Arc<[Process]>,
    pub(crate) random: Arc<Mutex<crate::random::Random>>,
    /// Small PUTs that have passed: for whoever replays them.
    pub(crate) seen: Arc<Mutex<Vec<Frame>>>,
}

impl sc_client::kv::StoreLink for Network {
    fn call(&self, request: Frame, deadline: Duration) -> sc_client::kv::LinkReply<'_> {
        let process = {
            let mut random = self.random.lock().expect("no holder of this lock panics");
            random.pick(&self.processes).clone()
        };
        if matches!(operation_of(&request), Some(Kind::PutObject(_))) {
            let mut seen = self.seen.lock().expect("no holder of this lock panics");
            seen.push(request.clone());
        }
        Box::pin(async move {
            let link = self.links.between(self.from, Party::Store(process.number));
            tokio::time::sleep(Duration::from_millis(1)).await;
            if link.carries_there() {
                let answer = tokio::time::timeout(deadline, process.serve(request)).await;
                let answer = answer.map_err(|_| RpcError::Deadline)?;
                if link.carries_back() {
                    return answer;
                }
            }
            tokio::time::sleep(UNHEARD).await;
            Err(RpcError::Disconnected)
        })
    }
}
