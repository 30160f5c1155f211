//! One storage system, and handles to what may go wrong in it.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use bytes::Bytes;
use sc_attestation::Policy as EvidencePolicy;
use sc_backend::{Description, Expected, Faults, LocationId, Memory};
use sc_client::kv::{Credentials, KvClient, LinkReply, OwnerAgent, Roots, StoreLink};
use sc_crypto::{Entropy, OwnerSecret, Secret};
use sc_enclave::Program as _;
use sc_erasure::Kernel;
use sc_launcher::{Caller, Platform};
use sc_metadata::{Catalog, Location, LocationState};
use sc_proto::coder::{self, call::Call, reply::Reply};
use sc_proto::{Message as _, storage};
use sc_store::{
    Chores, CoderWay, Coders, LocationOpener, LocationSettings, Locations, Opening, Policy,
    Site as StoreSite, Store, StoreSettings,
};
use sc_transport::{Frame, RpcError};

use super::trusted::Trusted;

/// What a world is made of.
#[derive(Debug, Clone)]
pub struct WorldSettings {
    /// How many locations there are, in three regions and with two providers.
    pub locations: usize,
    /// What does the arithmetic of codes in the coder; the portable one, unless speed is measured.
    pub kernel: Kernel,
    /// Whether locations can recode what they hold.
    pub computing: bool,
    /// The store's numbers.
    pub store: StoreSettings,
    /// The file of the catalogue; none: in memory.
    pub catalogue: Option<PathBuf>,
}

impl Default for WorldSettings {
    fn default() -> Self {
        Self {
            locations: 6,
            kernel: Kernel::PORTABLE,
            computing: true,
            store: StoreSettings {
                location_patience: Duration::from_millis(500),
                straggler_patience: Duration::from_millis(100),
                ..StoreSettings::default()
            },
            catalogue: None,
        }
    }
}

/// One location.
pub struct Site {
    /// Its name.
    pub name: String,
    /// What may go wrong with it.
    pub faults: Faults,
    /// The location itself.
    pub memory: Memory,
}

impl Site {
    fn of(number: usize, memory: Memory) -> Self {
        Self {
            name: format!("site{number}"),
            faults: memory.faults(),
            memory,
        }
    }

    /// The location, as the catalogue has it.
    fn known(&self, number: usize) -> Location {
        Location {
            name: self.name.clone(),
            settings: Self::settings(number),
            state: LocationState::Active,
            identity: Some((number as u128).to_be_bytes()),
        }
    }

    fn settings(number: usize) -> String {
        format!(
            r#"{{"backend":{{"kind":"memory"}},"region":"{}","provider":"{}"}}"#,
            REGIONS[number % 3],
            PROVIDERS[number % 2]
        )
    }

    /// The location, as a store has it.
    fn open(&self, number: usize) -> StoreSite {
        let settings = LocationSettings::parse(&Self::settings(number));
        let settings = settings.expect("settings as this file writes them");
        let memory = Arc::new(self.memory.clone());
        StoreSite::new(self.name.clone(), settings, LocationState::Active, memory)
    }
}

/// Another tenant of the same system.
pub struct Tenant {
    /// Its owner's agent.
    pub agent: OwnerAgent<Direct>,
    /// A client that may do everything.
    pub client: KvClient,
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
    settings: StoreSettings,
    trusted: Arc<Trusted>,
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

pub(crate) struct NoOpener;

impl LocationOpener for NoOpener {
    fn open<'a>(&'a self, _settings: &'a LocationSettings, _expected: Expected) -> Opening<'a> {
        Box::pin(async { Err("a simulation opens no locations".to_owned()) })
    }
}

const REGIONS: [&str; 3] = ["north", "south", "west"];
const PROVIDERS: [&str; 2] = ["one", "two"];
const OWNER_SEED: [u8; 32] = [1; 32];
const ROOT: [u8; 32] = [2; 32];

/// The policies that every world has.
pub(crate) const POLICIES: [(&str, &str); 3] = [
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
        let memories = (0..settings.locations).map(|number| {
            Memory::posing_as(Description {
                id: LocationId((number as u128).to_be_bytes()),
                durable: false,
                computes: settings.computing,
            })
        });
        let memories = memories.collect();
        Self::over(settings, memories).await
    }

    /// A system over the locations of this one, with another catalogue and without this one's coder: what is left when the rest is lost.
    ///
    /// # Panics
    /// As [`Self::new`].
    pub async fn after_loss(&self, settings: WorldSettings) -> Self {
        let memories = self.sites.iter().map(|site| site.memory.clone());
        let world = Self::over(settings, memories.collect()).await;
        world.now_ms.store(self.now_ms.load(Relaxed), Relaxed);
        world
    }

    async fn over(settings: WorldSettings, memories: Vec<Memory>) -> Self {
        let now_ms = Arc::new(AtomicU64::new(1_700_000_000_000));
        let catalog = match &settings.catalogue {
            Some(path) => Catalog::sqlite(path).await,
            None => Catalog::sqlite_in_memory(),
        };
        let catalog = catalog.expect("the database opens");
        let trusted = Arc::new(Trusted::new(settings.kernel));
        let sites = memories.into_iter().enumerate();
        let sites: Vec<Site> = sites.map(|(number, it)| Site::of(number, it)).collect();
        let clock = Arc::clone(&now_ms);
        let (store, chores) = store_of(&catalog, &trusted, &sites, clock, settings.store.clone());
        for (number, site) in sites.iter().enumerate() {
            let known = catalog.put_location(&site.known(number)).await;
            known.expect("the catalogue is in memory, or a file of this process");
        }
        for (name, definition) in POLICIES {
            let policy = Policy::parse(definition).expect("a policy as this file writes it");
            let ensured = store.ensure_policy(name, &policy).await;
            ensured.expect("the catalogue is in memory");
        }
        let root = Secret::from_bytes(ROOT);
        let owner = OwnerSecret::from_seed(Secret::from_bytes(OWNER_SEED));
        let agent = agent(&store, OWNER_SEED, &root).await;
        let client = client(&store, &owner, &root);
        Self {
            store,
            chores,
            client,
            agent,
            catalog,
            sites,
            settings: settings.store,
            trusted,
            now_ms,
            owner,
            root,
        }
    }

    /// The owner's roots.
    #[must_use]
    pub fn roots(&self) -> Roots {
        Roots::of(1, self.root.duplicate())
    }

    /// Lets time pass.
    pub fn pass(&self, time: Duration) {
        let time = u64::try_from(time.as_millis()).expect("less than an age");
        self.now_ms.fetch_add(time, Relaxed);
    }

    /// Another store, with the same catalogue, locations and coder; and its chores, not running.
    #[must_use]
    pub fn another_store(&self, owner: &str) -> (Arc<Store>, Chores) {
        let settings = StoreSettings {
            owner: owner.to_owned(),
            ..self.settings.clone()
        };
        let clock = Arc::clone(&self.now_ms);
        store_of(&self.catalog, &self.trusted, &self.sites, clock, settings)
    }

    /// Another client, with a session of its own.
    #[must_use]
    pub fn another_client(&self) -> KvClient {
        client(&self.store, &self.owner, &self.root)
    }

    /// A client with these credentials.
    #[must_use]
    pub fn client_with(&self, body: storage::CertificateBody) -> KvClient {
        KvClient::new(Direct(Arc::clone(&self.store)), self.credentials(body))
    }

    /// Credentials of this tenant; `body` says what they are good for.
    #[must_use]
    pub fn credentials(&self, body: storage::CertificateBody) -> Credentials {
        let mut entropy = sc_client::OsEntropy;
        Credentials::issue(self.owner.signing_key(), &self.root, body, &mut entropy)
    }

    /// A client that may do everything, and reaches the store over `link`.
    #[must_use]
    pub fn client_over(&self, link: impl StoreLink) -> KvClient {
        KvClient::new(link, all(&self.owner, &self.root))
    }

    /// Another tenant of the same coder, made of `seed`.
    ///
    /// # Panics
    /// Where the coder does not take its roots, which is a fault of this program.
    pub async fn another_tenant(&self, seed: u8) -> Tenant {
        let root = Secret::from_bytes([seed ^ 0x80; 32]);
        let owner = OwnerSecret::from_seed(Secret::from_bytes([seed; 32]));
        Tenant {
            agent: agent(&self.store, [seed; 32], &root).await,
            client: client(&self.store, &owner, &root),
        }
    }

    /// Has the owner say that it is `time_ms`, and that these certificates are void.
    #[must_use]
    pub fn tell(&self, time_ms: u64, revoked: Vec<u64>) -> Reply {
        let advance = sc_coder::signed_advance(self.owner.signing_key(), time_ms, revoked);
        self.door(Call::Advance(advance), &[]).0
    }

    /// A session, opened by hand.
    #[must_use]
    pub fn session(&self) -> super::Session {
        super::Session::open(self, self.owner.signing_key(), &self.root)
    }

    /// A datastore, as the coder takes it.
    pub async fn datastore(&self, name: &str) -> Option<coder::Datastore> {
        let tenant = sc_metadata::TenantId(self.client.tenant());
        let found = self.catalog.datastore(tenant, name).await.ok()??;
        Some(coder::Datastore {
            id: Bytes::copy_from_slice(&found.id.0),
            name: found.name,
            root_number: found.root_number,
            wrapped_key: found.wrapped_key,
        })
    }

    /// The coding program.
    #[must_use]
    pub fn program(&self) -> &dyn sc_enclave::Program {
        &*self.trusted
    }

    /// Makes a call at the coder's door, as whoever runs the host can: the reply, and the bulk that comes with it.
    ///
    /// # Panics
    /// Where the coder answers with what is no reply.
    #[must_use]
    pub fn door(&self, call: Call, bulk: &[u8]) -> (Reply, Bytes) {
        let call = coder::Call { call: Some(call) };
        let mut message = bulk.to_vec();
        sc_coder::join(&mut message, &call.encode_to_vec());
        let answer = self.trusted.handle(message.into(), &mut from_system);
        let (bulk, head) = sc_coder::split(answer).expect("a coder answers with messages");
        let reply = coder::Reply::decode(head).ok().and_then(|it| it.reply);
        (reply.expect("a coder answers every call"), bulk)
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

fn store_of(
    catalog: &Catalog,
    trusted: &Arc<Trusted>,
    sites: &[Site],
    clock: Arc<AtomicU64>,
    settings: StoreSettings,
) -> (Arc<Store>, Chores) {
    let coder = CoderWay::Local(caller(trusted));
    let locations = Locations::default();
    for (number, site) in sites.iter().enumerate() {
        locations.set(site.open(number));
    }
    Store::new(
        catalog.clone(),
        Coders::new(vec![("coder".into(), coder)]),
        locations,
        Box::new(NoOpener),
        settings,
        Arc::new(move || clock.load(Relaxed)),
    )
}

fn contains(hay: &[u8], needle: &[u8]) -> bool {
    hay.windows(needle.len()).any(|window| window == needle)
}

fn all(owner: &OwnerSecret, root: &Secret) -> Credentials {
    let mut entropy = sc_client::OsEntropy;
    Credentials::issue_all(owner.signing_key(), root, "test", 1, &mut entropy)
}

fn client(store: &Arc<Store>, owner: &OwnerSecret, root: &Secret) -> KvClient {
    KvClient::new(Direct(Arc::clone(store)), all(owner, root))
}

/// The agent of an owner, whose roots the coder has taken.
async fn agent(store: &Arc<Store>, owner: [u8; 32], root: &Secret) -> OwnerAgent<Direct> {
    let agent = OwnerAgent::new(
        Direct(Arc::clone(store)),
        OwnerSecret::from_seed(Secret::from_bytes(owner)),
        Roots::of(1, root.duplicate()),
        EvidencePolicy::development(),
    );
    let provisioned = agent.provision("coder").await;
    provisioned.expect("the engine in this process takes the roots");
    agent
}

fn from_system(bytes: &mut [u8]) {
    sc_client::OsEntropy.fill(bytes);
}

fn caller(trusted: &Arc<Trusted>) -> Caller {
    let started = Caller::start(Platform::Inline {
        program: Arc::clone(trusted) as _,
        entropy: from_system,
    });
    started.expect("a program in this process starts")
}
