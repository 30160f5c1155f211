//! One run: a system is made, clients work, things go wrong; then all is healed, time passes, and what is left is judged.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use sc_attestation::Policy as EvidencePolicy;
use sc_client::kv::{Credentials, DatastoreOptions, KvClient, ListOptions, OwnerAgent, Roots};
use sc_crypto::{OwnerSecret, Secret};
use sc_erasure::Redundancy;
use sc_metadata::{Catalog, TenantId};
use sc_store::Policy;
use sc_transport::Frame;

use super::chaos::{Chaos, Harmed, heal};
use super::clients::{Notes, Trouble, Worker, look};
use super::fault::Fault;
use super::history::{Object, Read, Seen, labelled};
use super::oracle::{Remains, Version, Violation};
use super::place::Place;
use super::plant::Plant;
use super::process::{Network, Outside, Process};
use super::report::Report;
use super::scenario::{AFTERMATH, Scenario};
use super::surroundings::{Surroundings, entropy, note, owners_clock};
use super::trusted::Trusted;
use super::world::POLICIES;

const LOCATIONS: usize = 6;
/// The datastores, and whether they keep versions.
const DATASTORES: [(&str, bool); 2] = [("plain", false), ("kept", true)];
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
struct Running {
    seed: u64,
    scenario: Scenario,
    surroundings: Surroundings,
    outside: Arc<Outside>,
    processes: Arc<[Process]>,
    seen: Arc<Mutex<Vec<Frame>>>,
    notes: Notes,
    harmed: Harmed,
    owner: OwnerSecret,
    root: Secret,
}

impl Running {
    async fn new(seed: u64, scenario: Scenario, surroundings: Surroundings) -> Self {
        let outside = Arc::new(Outside {
            catalog: Catalog::sqlite_in_memory().expect("a database in memory opens"),
            trusted: Arc::new(Trusted::default()),
            places: (0..LOCATIONS)
                .map(|number| Place::new(number, &surroundings))
                .collect(),
            settings: scenario.settings(),
            surroundings: surroundings.clone(),
        });
        let processes = (0..scenario.stores).map(|number| Process::start(number, &outside));
        Self {
            seed,
            scenario,
            surroundings,
            processes: processes.collect(),
            outside,
            seen: Arc::default(),
            notes: Notes::default(),
            harmed: Harmed::default(),
            owner: OwnerSecret::from_seed(Secret::from_bytes([1; 32])),
            root: Secret::from_bytes([2; 32]),
        }
    }

    async fn run(self) -> Report {
        let trusted = Arc::clone(&self.outside.trusted);
        let agent = tokio::spawn(Self::keep_provisioned(self.agent(), trusted));
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
                harmed: Arc::clone(&self.harmed),
                random: self.surroundings.random("storage chaos", 0),
                every,
                has_jumped: false,
                impaired: BTreeMap::new(),
            };
            tokio::spawn(chaos.run())
        });
        self.work().await;
        if let Some(chaos) = chaos {
            chaos.abort();
        }
        self.end_storm();
        tokio::time::sleep(AFTERMATH).await;
        if self.scenario.faults_every.is_some() || self.scenario.plant == Some(Plant::ForgetSpent) {
            self.replay().await;
        }
        self.forget_a_fragment().await;
        agent.abort();
        self.judge().await
    }

    fn network(&self, index: usize) -> Network {
        Network {
            processes: Arc::clone(&self.processes),
            random: Arc::new(Mutex::new(
                self.surroundings.random("storage network", index),
            )),
            seen: Arc::clone(&self.seen),
        }
    }

    fn agent(&self) -> OwnerAgent<Network> {
        OwnerAgent::new(
            self.network(100),
            OwnerSecret::from_seed(Secret::from_bytes([1; 32])),
            Roots::of(1, self.root.duplicate()),
            EvidencePolicy::development(),
        )
        .with_surroundings(entropy, owners_clock)
    }

    /// Brings the roots to the coder, soon after each of its starts.
    async fn keep_provisioned(agent: OwnerAgent<Network>, trusted: Arc<Trusted>) {
        let mut provisioned = 0;
        loop {
            let starts = trusted.starts();
            // Whatever goes wrong, there is another time.
            if starts != provisioned && agent.provision("coder").await.is_ok() {
                provisioned = starts;
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

    fn client(&self, index: usize) -> KvClient {
        let mut random = entropy;
        let serial = index as u64 + 1;
        let signer = self.owner.signing_key();
        let credentials =
            Credentials::issue_all(signer, &self.root, "simulated", serial, &mut random);
        KvClient::with_entropy(self.network(index), credentials, entropy)
    }

    fn objects(&self) -> Vec<Object> {
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
        let store = self.processes[0].store().expect("it has just started");
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
    }

    async fn work(&self) {
        let workers = (0..self.scenario.clients).map(|number| {
            let worker = Worker {
                number,
                seed: self.seed,
                client: self.client(number),
                objects: self.objects(),
                notes: self.notes.clone(),
                surroundings: self.surroundings.clone(),
                is_calm: self.scenario.faults_every.is_none() && self.scenario.crash_at.is_none(),
                random: self.surroundings.random("storage client", number),
            };
            match self.scenario.crash_at {
                Some(_) => tokio::spawn(worker.walk()),
                None => tokio::spawn(worker.work(self.scenario.operations)),
            }
        });
        for worker in workers.collect::<Vec<_>>() {
            worker.await.expect("a client does not panic");
        }
    }

    fn end_storm(&self) {
        note!(self.surroundings, "all", "is healed");
        self.outside.places.iter().for_each(heal);
        self.outside.trusted.set_down(false);
        for process in &*self.processes {
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

    async fn judge(self) -> Report {
        let remains = self.look_around().await;
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
            attempts: history.attempts.len() as u64,
            acknowledged: acknowledged.count() as u64,
            reads: history.reads.len() as u64,
            took,
        }
    }

    /// Reads everything that is there, as a client, and looks into every location.
    async fn look_around(&self) -> Remains {
        let mut remains = Remains::default();
        let client = self.client(97);
        for object in self.objects() {
            self.read_back(&client, &object, None).await;
        }
        let debts = self.outside.catalog.manifest_debts(None, usize::MAX).await;
        let debts: BTreeSet<[u8; 16]> = debts.unwrap_or_default().iter().map(|it| it.0).collect();
        for (datastore, _) in DATASTORES {
            self.list(&client, datastore, &debts, &mut remains).await;
        }
        let versions: Vec<_> = remains
            .versions
            .iter()
            .flat_map(|(object, versions)| versions.iter().map(|it| (object.clone(), it.clone())))
            .collect();
        for (object, version) in versions.iter().filter(|(_, it)| !it.is_marker) {
            self.read_back(&client, object, Some(version)).await;
        }
        for place in &self.outside.places {
            let names = place.faults().names();
            let names = names.iter().map(|name| name.as_str().to_owned());
            remains.names.insert(place.name.clone(), names.collect());
        }
        {
            let harmed = self.harmed.lock().expect("no holder of this lock panics");
            remains.harmed = harmed.values().flatten().cloned().collect();
        }
        match client.usage().await {
            Ok(document) => {
                let names = ["objects", "versions", "bytes", "stored_bytes"];
                remains.usage = names.map(|name| number(&document, name));
            }
            Err(error) => self.broken("usage", &error),
        }
        remains
    }

    fn broken(&self, what: &str, error: &impl std::fmt::Display) {
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
            .segments(sc_metadata::VersionId(id), 0..u32::MAX)
            .await
            .unwrap_or_default();
        if let Err(error) = client
            .stat(object.datastore, object.key.as_bytes(), Some(id))
            .await
        {
            self.broken(&object.to_string(), &error);
        }
        let fragments = segments.iter().flat_map(|segment| &segment.fragments);
        let (stored, owed): (Vec<_>, Vec<_>) =
            fragments.partition(|it| it.state == sc_metadata::FragmentState::Stored);
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
            number,
            bytes: head.bytes,
            is_marker: head.marker,
            attempt: head.object.and_then(|it| labelled(&it.content_type)),
            fragments: stored
                .iter()
                .map(|it| (it.location.clone(), it.name.clone()))
                .collect(),
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
        let version = catalog.version(datastore.id, &key, sc_metadata::VersionId(id));
        let version = version.await.ok().flatten();
        version.map_or(0, |version| version.number)
    }
}

/// A number of a flat JSON object.
fn number(document: &str, name: &str) -> u64 {
    let rest = document.split_once(&format!("\"{name}\":"));
    let digits = rest.map_or("", |(_, rest)| {
        rest.split(|it: char| !it.is_ascii_digit())
            .next()
            .unwrap_or_default()
    });
    digits.parse().unwrap_or(u64::MAX)
}
