//! One run: a system is made, clients work, things go wrong; then all is healed, time passes, and what is left is judged.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use sc_attestation::Policy as EvidencePolicy;
use sc_client::kv::{Credentials, DatastoreOptions, KvClient, OwnerAgent, Roots};
use sc_crypto::{OwnerSecret, Secret};
use sc_metadata::{Catalog, LocationState, TenantId};
use sc_store::{Policy, Store};
use sc_transport::Frame;
use tokio::task::JoinHandle;

use super::chaos::{Chaos, settle};
use super::clients::{Notes, Worker};
use super::fault::Fault;
use super::history::Object;
use super::links::{Links, Party};
use super::operator::{Operator, last_job, until_idle};
use super::place::Place;
use super::plant::Plant;
use super::process::{Network, Outside, Process};
use super::report::Report;
use super::scenario::{AFTERMATH, Journey, Scenario};
use super::surroundings::{Surroundings, entropy, note, owners_clock};
use super::trusted::Trusted;
use super::vitals::Harmed;

const LOCATIONS: usize = 8;
/// The datastores, and whether they keep versions.
pub(super) const DATASTORES: [(&str, bool); 2] = [("plain", false), ("kept", true)];
/// The policies: copies, both codes, and one that moves what nobody reads for a day.
pub(super) const POLICIES: [(&str, &str); 4] = [
    ("hot", r#"{"redundancy":{"kind":"replication","copies":3}}"#),
    (
        "cold",
        r#"{"redundancy":{"kind":"rs","data":4,"parity":2}}"#,
    ),
    (
        "coded",
        r#"{"redundancy":{"kind":"rlnc","data":4,"total":6,"subpackets":2}}"#,
    ),
    (
        "tiered",
        r#"{"redundancy":{"kind":"replication","copies":3},"tier":{"after_idle_days":1,"policy":"cold"}}"#,
    ),
];
/// More than a day.
const DAY_MS: i64 = 25 * 3600 * 1000;
/// What a client does while a location is lost for long.
const OPERATIONS_MEANWHILE: usize = 8;
/// So long the last jobs may take.
const LAST_JOBS: Duration = Duration::from_secs(3600);
/// Replayed PUTs, at most.
const REPLAYS_MAX: usize = 40;

/// A run that is about to begin.
#[derive(Debug, Clone)]
pub struct Simulation {
    seed: u64,
    scenario: Scenario,
    keeps_text: bool,
}

impl Simulation {
    /// The run of this seed in this scenario.
    #[must_use]
    pub fn new(seed: u64, scenario: Scenario) -> Self {
        Self {
            seed,
            scenario,
            keeps_text: false,
        }
    }

    /// Has the trace kept as text, too.
    #[must_use]
    pub fn with_text(self) -> Self {
        Self {
            keeps_text: true,
            ..self
        }
    }

    /// Runs it, on this thread.
    ///
    /// # Panics
    /// Where the system cannot be made, which is a fault of this program.
    #[must_use]
    pub fn run(self) -> Report {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .start_paused(true)
            .build()
            .expect("a runtime without threads and sockets starts");
        runtime.block_on(async {
            let surroundings = Surroundings::begin(self.seed, self.scenario.plant, self.keeps_text);
            Box::pin(
                Running::new(self.seed, self.scenario, surroundings)
                    .await
                    .run(),
            )
            .await
        })
    }
}

/// A run under way.
pub(super) struct Running {
    pub(super) seed: u64,
    scenario: Scenario,
    pub(super) surroundings: Surroundings,
    pub(super) outside: Arc<Outside>,
    processes: Arc<[Process]>,
    seen: Arc<Mutex<Vec<Frame>>>,
    pub(super) notes: Notes,
    owner: OwnerSecret,
    root: Secret,
}

impl Running {
    async fn new(seed: u64, scenario: Scenario, surroundings: Surroundings) -> Self {
        let places = (0..LOCATIONS).map(|number| Place::new(number, &surroundings));
        let places = places.collect();
        Self::over(seed, scenario, surroundings, places, &[]).await
    }

    /// The same system, but for its catalogue, its stores and its coder, which are new, and know nothing; of the locations all but those with
    /// these numbers.
    pub(super) async fn with_another_catalogue(&self, without: &[usize]) -> Self {
        let (scenario, places) = (self.scenario.clone(), self.outside.places.clone());
        let surroundings = self.surroundings.clone();
        let after = Self::over(self.seed, scenario, surroundings, places, without).await;
        Self {
            notes: self.notes.clone(),
            ..after
        }
    }

    async fn over(
        seed: u64,
        scenario: Scenario,
        surroundings: Surroundings,
        places: Vec<Place>,
        without: &[usize],
    ) -> Self {
        let outside = Arc::new(Outside {
            catalog: Catalog::sqlite_in_memory().expect("a database in memory opens"),
            trusted: Arc::new(Trusted::default()),
            places,
            unknown: Mutex::new(without.iter().copied().collect()),
            links: Links::new(&surroundings),
            menders: Arc::default(),
            harmed: Harmed::default(),
            settings: scenario.settings(),
            surroundings: surroundings.clone(),
        });
        for (number, place) in outside.places.iter().enumerate() {
            if without.contains(&number) {
                continue;
            }
            let known = outside.catalog.put_location(&place.known()).await;
            known.expect("the catalogue is in memory");
        }
        let processes = (0..scenario.stores).map(|number| Process::start(number, &outside));
        Self {
            seed,
            scenario,
            surroundings,
            processes: processes.collect(),
            outside,
            seen: Arc::default(),
            notes: Notes::default(),
            owner: OwnerSecret::from_seed(Secret::from_bytes([1; 32])),
            root: Secret::from_bytes([2; 32]),
        }
    }

    async fn run(self) -> Report {
        let agent = self.begin_agent();
        self.furnish().await;
        if let Some((journey, steps)) = self.scenario.crash_at {
            for process in &*self.processes {
                process.light(Some(journey), steps);
            }
            tokio::spawn(Self::keep_started(Arc::clone(&self.processes)));
        }
        let chaos = self.scenario.faults_every.map(|every| {
            let chaos = Chaos {
                outside: Arc::clone(&self.outside),
                processes: Arc::clone(&self.processes),
                random: self.surroundings.random("storage chaos", 0),
                every,
                has_jumped: false,
                was_set_back: false,
                impaired: BTreeMap::new(),
            };
            tokio::spawn(chaos.run())
        });
        let operator = self.scenario.operator_every.map(|every| {
            let operator = self.operator(0, every);
            tokio::spawn(operator.run())
        });
        self.work().await;
        for task in chaos.into_iter().chain(operator) {
            task.abort();
        }
        self.end_storm();
        tokio::time::sleep(AFTERMATH).await;
        if self.scenario.has_long_loss {
            self.lose_for_long().await;
        }
        if self.scenario.faults_every.is_some() || self.scenario.plant == Some(Plant::ForgetSpent) {
            self.replay().await;
        }
        if self.is_tended() {
            self.tend().await;
        }
        self.forget_a_fragment().await;
        agent.abort();
        self.judge().await
    }

    pub(super) fn begin_agent(&self) -> JoinHandle<()> {
        let trusted = Arc::clone(&self.outside.trusted);
        tokio::spawn(Self::keep_provisioned(self.agent(), trusted))
    }

    /// The first store, when all serve and the coder has its roots.
    pub(super) async fn first_store(&self) -> Arc<Store> {
        for process in &*self.processes {
            process.serving().await;
        }
        while !self.outside.trusted.is_provisioned() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        self.processes[0].serving().await
    }

    /// Starts all stores again.
    pub(super) fn start(&self) {
        self.processes.iter().for_each(Process::restart);
    }

    /// Ends all stores, for good.
    pub(super) fn stop(&self) {
        for process in &*self.processes {
            process.stop();
        }
    }

    fn network(&self, index: usize, from: Party) -> Network {
        Network {
            from,
            links: self.outside.links.clone(),
            processes: Arc::clone(&self.processes),
            random: Arc::new(Mutex::new(
                self.surroundings.random("storage network", index),
            )),
            seen: Arc::clone(&self.seen),
        }
    }

    fn agent(&self) -> OwnerAgent<Network> {
        OwnerAgent::new(
            self.network(100, Party::Owner),
            OwnerSecret::from_seed(Secret::from_bytes([1; 32])),
            Roots::of(1, self.root.duplicate()),
            EvidencePolicy::development(),
        )
        .with_surroundings(entropy, owners_clock)
    }

    /// Brings the roots to the coder, soon after each of its starts.
    async fn keep_provisioned(agent: OwnerAgent<Network>, trusted: Arc<Trusted>) {
        loop {
            let starts = trusted.starts();
            // Whatever goes wrong, there is another time.
            if !trusted.is_provisioned() && agent.provision("coder").await.is_ok() {
                trusted.set_provisioned(starts);
            }
            tokio::time::sleep(Duration::from_millis(300)).await;
        }
    }

    async fn keep_started(processes: Arc<[Process]>) {
        loop {
            tokio::time::sleep(Duration::from_millis(300)).await;
            processes.iter().for_each(Process::restart);
        }
    }

    pub(super) fn client(&self, index: usize) -> KvClient {
        let mut random = entropy;
        let serial = index as u64 + 1;
        let signer = self.owner.signing_key();
        let credentials =
            Credentials::issue_all(signer, &self.root, "simulated", serial, &mut random);
        KvClient::with_entropy(self.network(index, Party::Clients), credentials, entropy)
    }

    pub(super) fn objects(&self) -> Vec<Object> {
        let keys = 0..self.scenario.keys;
        keys.flat_map(|key| {
            DATASTORES.map(|(datastore, _)| Object {
                datastore,
                key: format!("key{key}"),
            })
        })
        .collect()
    }

    /// Policies and datastores.
    async fn furnish(&self) {
        let store = self.first_store().await;
        for (name, definition) in POLICIES {
            let policy = Policy::parse(definition).expect("a policy of this room");
            let ensured = store.ensure_policy(name, &policy).await;
            ensured.expect("the catalogue is in memory");
        }
        let client = self.client(99);
        for (name, versioning) in DATASTORES {
            let options = DatastoreOptions {
                policy: "cold".into(),
                versioning,
                ..DatastoreOptions::default()
            };
            let made = client.create_datastore(name, &options).await;
            made.expect("nothing goes wrong yet");
        }
        if self.scenario.operator_every.is_some() {
            let mut worker = self.worker(94, true);
            for object in self.objects() {
                worker.put_idle(&object).await;
            }
            self.surroundings.jump(DAY_MS);
        }
    }

    fn worker(&self, number: usize, is_calm: bool) -> Worker {
        Worker {
            number,
            seed: self.seed,
            client: self.client(number),
            objects: self.objects(),
            notes: self.notes.clone(),
            surroundings: self.surroundings.clone(),
            is_calm,
            random: self.surroundings.random("storage client", number),
        }
    }

    async fn work(&self) {
        let workers = (0..self.scenario.clients).map(|number| {
            let is_calm = self.scenario.faults_every.is_none() && self.scenario.crash_at.is_none();
            let worker = self.worker(number, is_calm);
            match self.scenario.crash_at {
                Some((Journey::Chore, _)) | None => {
                    tokio::spawn(worker.work(self.scenario.operations))
                }
                Some(_) => tokio::spawn(worker.walk()),
            }
        });
        for worker in workers.collect::<Vec<_>>() {
            worker.await.expect("a client does not panic");
        }
    }

    fn end_storm(&self) {
        note!(self.surroundings, "all", "is healed");
        self.outside.places.iter().for_each(settle);
        self.outside.trusted.set_down(false);
        self.outside.links.mend_all();
        for process in &*self.processes {
            process.set_ahead(0);
            process.put_out();
            process.restart();
        }
    }

    /// Somebody hands in again what he has seen, to every store that there is.
    async fn replay(&self) {
        let seen = {
            let mut seen = self.seen.lock().expect("no holder of this lock panics");
            std::mem::take(&mut *seen)
        };
        for frame in seen.into_iter().take(REPLAYS_MAX) {
            self.surroundings.count(Fault::Replay);
            let _ = self.processes[0].serve(frame).await;
        }
        note!(self.surroundings, "somebody", "replays what he has seen");
        tokio::time::sleep(AFTERMATH).await;
    }

    fn operator(&self, number: usize, every: Duration) -> Operator {
        Operator {
            client: self.client(95),
            outside: Arc::clone(&self.outside),
            random: self.surroundings.random("storage operator", number),
            every,
            is_hostile: self.scenario.faults_every.is_some(),
        }
    }

    /// A location is lost for long, while clients go on.
    async fn lose_for_long(&self) {
        self.operator(3, Duration::ZERO).take_all_back().await;
        if let Err(why) = self.until_all_are_active().await {
            return self.broken("locations", &why);
        }
        let rounds = std::cell::Cell::new(80);
        let meanwhile = async || {
            let number = rounds.replace(rounds.get() + 1);
            self.worker(number, false).work(OPERATIONS_MEANWHILE).await;
        };
        let operator = self.operator(1, Duration::ZERO);
        operator.lose_for_long(meanwhile).await;
    }

    /// Whether everything is mended and collected before it is judged.
    pub(super) fn is_tended(&self) -> bool {
        self.scenario.faults_every.is_some() || self.scenario.operator_every.is_some()
    }

    /// What the operator does when all is well again: locations are in use, and everything is mended and collected.
    async fn tend(&self) {
        self.operator(2, Duration::ZERO).take_all_back().await;
        let client = self.client(93);
        if let Err(why) = self.until_all_are_active().await {
            self.broken("locations", &why);
        }
        for kind in ["repair", "scrub", "gc"] {
            note!(self.surroundings, "the operator", "begins the last {kind}");
            let idle = match until_idle(&client, &self.surroundings, LAST_JOBS).await {
                Ok(()) => last_job(&client, kind, &self.surroundings).await,
                busy => busy,
            };
            if let Err(why) = idle {
                self.broken(kind, &why);
            }
        }
        tokio::time::sleep(AFTERMATH).await;
    }

    /// Waits until those that were lost have nothing any more that was deleted meanwhile.
    async fn until_all_are_active(&self) -> Result<(), String> {
        let end = self.surroundings.now() + LAST_JOBS;
        loop {
            let all = self.outside.catalog.locations().await.unwrap_or_default();
            let Some(other) = all.iter().find(|it| it.state != LocationState::Active) else {
                return Ok(());
            };
            if self.surroundings.now() > end {
                return Err(format!("{} stays {:?}", other.name, other.state));
            }
            tokio::time::sleep(Duration::from_secs(5)).await;
        }
    }

    async fn forget_a_fragment(&self) {
        if !self.surroundings.is_planted(Plant::ForgetFragment) {
            return;
        }
        for object in self.objects() {
            let catalog = &self.outside.catalog;
            let tenant = TenantId(self.client(98).tenant());
            let Ok(Some(datastore)) = catalog.datastore(tenant, object.datastore).await else {
                continue;
            };
            let key = object.key.into_bytes().into();
            let Ok(Some(version)) = catalog.current(datastore.id, &key).await else {
                continue;
            };
            let segments = catalog.segments(version.id, 0..u32::MAX).await;
            for mut segment in segments.unwrap_or_default() {
                segment.fragments.pop();
                let _ = catalog.set_fragments(segment.id, &segment.fragments).await;
            }
        }
    }
}
