//! One storage system, and handles to what may go wrong in it.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use sc_attestation::Policy as EvidencePolicy;
use sc_backend::{Backend, Faults, Memory};
use sc_client::kv::{Credentials, KvClient, LinkReply, OwnerAgent, Roots, StoreLink};
use sc_coder::Engine;
use sc_crypto::{Entropy, OwnerSecret, Secret};
use sc_enclave::{SimulatedPlatform, simulation_development_key};
use sc_erasure::Kernel;
use sc_launcher::{Caller, Platform};
use sc_metadata::{Catalog, LocationState};
use sc_store::{
    Chores, CoderWay, Coders, LocationOpener, LocationSettings, Locations, Opening, Policy,
    Site as StoreSite, Store, StoreSettings,
};
use sc_transport::{Frame, RpcError};

/// What a world is made of.
#[derive(Debug, Clone)]
pub struct WorldSettings {
    /// How many locations there are, in three regions and with two providers.
    pub locations: usize,
    /// The store's numbers.
    pub store: StoreSettings,
}

impl Default for WorldSettings {
    fn default() -> Self {
        Self {
            locations: 6,
            store: StoreSettings {
                location_patience: Duration::from_millis(500),
                straggler_patience: Duration::from_millis(100),
                ..StoreSettings::default()
            },
        }
    }
}

/// One location.
pub struct Site {
    /// Its name.
    pub name: String,
    /// What may go wrong with it.
    pub faults: Faults,
}

/// A storage system.
pub struct World {
    /// The store.
    pub store: Arc<Store>,
    /// Its chores, not running.
    pub chores: Chores,
    /// A client that may do everything.
    pub client: KvClient,
    /// The owner's agent.
    pub agent: OwnerAgent<Direct>,
    /// The catalogue.
    pub catalog: Catalog,
    /// The locations.
    pub sites: Vec<Site>,
    now_ms: Arc<AtomicU64>,
    owner: OwnerSecret,
    root: Secret,
}

/// The way to a store in the same process.
#[derive(Clone)]
pub struct Direct(pub Arc<Store>);

impl StoreLink for Direct {
    fn call(&self, request: Frame, deadline: Duration) -> LinkReply<'_> {
        Box::pin(async move {
            tokio::time::timeout(deadline, self.0.answer(request))
                .await
                .map_err(|_| RpcError::Deadline)
        })
    }
}

struct NoOpener;

impl LocationOpener for NoOpener {
    fn open<'a>(&'a self, _name: &'a str, _settings: &'a LocationSettings) -> Opening<'a> {
        Box::pin(async { Ok(Arc::new(Memory::new()) as Arc<dyn Backend>) })
    }
}

const REGIONS: [&str; 3] = ["north", "south", "west"];
const PROVIDERS: [&str; 2] = ["one", "two"];
const OWNER_SEED: [u8; 32] = [1; 32];

/// The policies that every world has.
const POLICIES: [(&str, &str); 3] = [
    ("hot", r#"{"redundancy":{"kind":"replication","copies":3}}"#),
    (
        "cold",
        r#"{"redundancy":{"kind":"rs","data":4,"parity":2}}"#,
    ),
    (
        "coded",
        r#"{"redundancy":{"kind":"rlnc","data":4,"total":6,"subpackets":2}}"#,
    ),
];

impl World {
    /// A system that is provisioned and empty.
    ///
    /// # Panics
    /// Where it cannot be made, which is a fault of this program.
    pub async fn new(settings: WorldSettings) -> Self {
        let now_ms = Arc::new(AtomicU64::new(1_700_000_000_000));
        let catalog = Catalog::sqlite_in_memory().expect("a database in memory opens");
        let coder = caller();
        let coders = Coders::new(vec![("coder".into(), CoderWay::Local(coder))]);
        let locations = Locations::default();
        let mut sites = Vec::new();
        for number in 0..settings.locations {
            let name = format!("site{number}");
            let text = format!(
                r#"{{"backend":{{"kind":"memory"}},"region":"{}","provider":"{}"}}"#,
                REGIONS[number % 3],
                PROVIDERS[number % 2]
            );
            let parsed = LocationSettings::parse(&text).expect("settings as this file writes them");
            let memory = Memory::new();
            sites.push(Site {
                name: name.clone(),
                faults: memory.faults(),
            });
            let site = StoreSite::new(name, parsed, LocationState::Active, Arc::new(memory));
            locations.set(site);
        }
        let clock = Arc::clone(&now_ms);
        let (store, chores) = Store::new(
            catalog.clone(),
            coders,
            locations,
            Box::new(NoOpener),
            settings.store,
            Arc::new(move || clock.load(Relaxed)),
        );
        for (name, definition) in POLICIES {
            let policy = Policy::parse(definition).expect("a policy as this file writes it");
            let ensured = store.ensure_policy(name, &policy).await;
            ensured.expect("the catalogue is in memory");
        }
        let root = Secret::from_bytes([2; 32]);
        let roots = Roots::of(1, root.duplicate());
        let owner = OwnerSecret::from_seed(Secret::from_bytes(OWNER_SEED));
        let agent = OwnerAgent::new(
            Direct(Arc::clone(&store)),
            OwnerSecret::from_seed(Secret::from_bytes(OWNER_SEED)),
            roots,
            EvidencePolicy::development(),
        );
        agent
            .provision("coder")
            .await
            .expect("the engine in this process takes the roots");
        let client = client(&store, &owner, &root);
        Self {
            store,
            chores,
            client,
            agent,
            catalog,
            sites,
            now_ms,
            owner,
            root,
        }
    }

    /// Lets time pass.
    pub fn pass(&self, time: Duration) {
        let time = u64::try_from(time.as_millis()).expect("less than an age");
        self.now_ms.fetch_add(time, Relaxed);
    }

    /// Another client, with a session of its own.
    #[must_use]
    pub fn another_client(&self) -> KvClient {
        client(&self.store, &self.owner, &self.root)
    }

    /// A client with these credentials.
    #[must_use]
    pub fn client_with(&self, body: sc_proto::storage::CertificateBody) -> KvClient {
        let credentials = Credentials::issue(
            self.owner.signing_key(),
            &self.root,
            body,
            &mut sc_client::OsEntropy,
        );
        KvClient::new(Direct(Arc::clone(&self.store)), credentials)
    }

    /// Whether any location holds `bytes` anywhere.
    #[must_use]
    pub fn is_anywhere(&self, bytes: &[u8]) -> bool {
        self.sites.iter().any(|site| {
            site.faults.names().iter().any(|name| {
                let stored = site.faults.stored(name);
                stored.is_some_and(|stored| contains(&stored, bytes))
            })
        })
    }
}

fn contains(hay: &[u8], needle: &[u8]) -> bool {
    hay.windows(needle.len()).any(|window| window == needle)
}

fn client(store: &Arc<Store>, owner: &OwnerSecret, root: &Secret) -> KvClient {
    let mut entropy = sc_client::OsEntropy;
    let credentials = Credentials::issue_all(owner.signing_key(), root, "test", 1, &mut entropy);
    KvClient::new(Direct(Arc::clone(store)), credentials)
}

fn caller() -> Caller {
    let platform = SimulatedPlatform::new(simulation_development_key(), [0; 32]);
    let engine = Engine::new(Box::new(platform), Kernel::PORTABLE);
    let started = Caller::start(Platform::Inline {
        program: Arc::new(engine),
        entropy: |bytes| sc_client::OsEntropy.fill(bytes),
    });
    started.expect("a program in this process starts")
}
