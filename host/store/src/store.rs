//! A store: the catalogue, coders and locations that requests are carried out with.
//!
//! Invariant: a store keeps nothing of its own that could not be lost; any number of them may share one catalogue.

use std::collections::BTreeMap;
use std::hash::{BuildHasher as _, DefaultHasher, Hash as _, Hasher as _, RandomState};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, Weak};
use std::time::Duration;

use sc_metadata::{Catalog, Datastore, TenantId};
use sc_proto::coder;
use tokio::sync::{Notify, mpsc};

use crate::chores::{Chore, Chores};
use crate::coder::Coders;
use crate::error::Problem;
use crate::layouts::Layouts;
use crate::locations::Locations;
use crate::opening::LocationOpener;
use crate::policy::Policy;
use crate::rebuild::Rebuilding;
use crate::recoding::Counted;
use crate::tier::Reads;

/// Numbers that an operator tunes.
#[derive(Debug, Clone)]
pub struct StoreSettings {
    /// What tells this store from others that share its catalogue, and from itself before it was started again.
    pub owner: String,
    /// The region of the store itself, for policies that read what is nearest.
    pub region: String,
    /// The zone in it.
    pub zone: String,
    /// So long a location may take for one call before it counts as failed. Raise it for slow clouds.
    pub location_patience: Duration,
    /// So long a write waits for the rest when enough is durable already.
    pub straggler_patience: Duration,
    /// So long an upload may rest before it is given up. Each segment begins it anew.
    pub lease: Duration,
    /// The same for multipart uploads.
    pub upload_lease: Duration,
    /// So long deleted data is kept after nobody can see it any more: longer than the longest read.
    pub grace: Duration,
    /// So long the id of a version that is gone is remembered, so that a request that comes again does not bring it back: longer than any
    /// client goes on trying.
    pub replay_memory: Duration,
    /// How often chores that wait for a time are looked for.
    pub chore_interval: Duration,
    /// Bytes that a job reads and writes in a second, where it does not say itself; 0: as many as it can.
    pub job_bytes_per_second: u64,
}

impl Default for StoreSettings {
    fn default() -> Self {
        Self {
            owner: format!("{:016x}", RandomState::new().hash_one(std::process::id())),
            region: String::new(),
            zone: String::new(),
            location_patience: Duration::from_secs(10),
            straggler_patience: Duration::from_secs(2),
            lease: Duration::from_secs(15 * 60),
            upload_lease: Duration::from_secs(7 * 24 * 3600),
            grace: Duration::from_secs(15 * 60),
            replay_memory: Duration::from_secs(7 * 24 * 3600),
            chore_interval: Duration::from_secs(5),
            job_bytes_per_second: 64 << 20,
        }
    }
}

/// Milliseconds since 1970, as whoever runs the store tells.
pub type Clock = Arc<dyn Fn() -> u64 + Send + Sync>;

/// A store.
pub struct Store {
    pub(crate) catalog: Catalog,
    pub(crate) coders: Coders,
    pub(crate) locations: Locations,
    pub(crate) settings: StoreSettings,
    pub(crate) layouts: Layouts,
    /// What repairs have read and written since the store began.
    pub(crate) repairs: Counted,
    pub(crate) opener: Box<dyn LocationOpener>,
    pub(crate) reads: Reads,
    /// Hash of the last job, and the locations with their states, for which it was seen that the catalogue knows all manifests; 0: none.
    pub(crate) gc_checked: AtomicU64,
    /// Told when there is a job to do.
    pub(crate) job_made: Notify,
    drawn: AtomicU64,
    policies: Mutex<BTreeMap<(String, u32), Arc<StoredPolicy>>>,
    clock: Clock,
    chores: mpsc::Sender<Chore>,
    pub(crate) rebuilding: Rebuilding,
    /// Itself, for what goes on when a request is answered.
    pub(crate) this: Weak<Self>,
}

/// A version of a policy, read.
pub(crate) struct StoredPolicy {
    pub(crate) name: String,
    pub(crate) version: u32,
    pub(crate) policy: Policy,
}

/// Policies that are kept read.
const POLICIES_MAX: usize = 1024;

impl Store {
    /// A store, and its chores: whoever runs it runs both.
    #[must_use]
    pub fn new(
        catalog: Catalog,
        coders: Coders,
        locations: Locations,
        opener: Box<dyn LocationOpener>,
        settings: StoreSettings,
        clock: Clock,
    ) -> (Arc<Self>, Chores) {
        let (chores, waiting) = mpsc::channel(Chores::WAITING_MAX);
        let store = Arc::new_cyclic(|this| Self {
            catalog,
            coders,
            locations,
            settings,
            layouts: Layouts::default(),
            repairs: Counted::default(),
            opener,
            reads: Reads::default(),
            gc_checked: AtomicU64::new(0),
            job_made: Notify::new(),
            drawn: AtomicU64::new(0),
            policies: Mutex::default(),
            clock,
            chores,
            rebuilding: Rebuilding::default(),
            this: Weak::clone(this),
        });
        let chores = Chores::new(Arc::clone(&store), waiting);
        (store, chores)
    }

    pub(crate) fn now_ms(&self) -> u64 {
        (self.clock)()
    }

    pub(crate) fn in_ms(&self, wait: Duration) -> u64 {
        let wait = u64::try_from(wait.as_millis()).unwrap_or(u64::MAX);
        self.now_ms().saturating_add(wait)
    }

    /// A number that no store has drawn before, for the name of what is written in the place of something else.
    pub(crate) fn draw(&self) -> u64 {
        let mut hasher = DefaultHasher::new();
        self.settings.owner.hash(&mut hasher);
        self.drawn.fetch_add(1, Relaxed).hash(&mut hasher);
        self.now_ms().hash(&mut hasher);
        hasher.finish()
    }

    /// Takes a lease, or keeps it; whether this store has it.
    pub(crate) async fn hold_lease(&self, name: &str, time: Duration) -> Result<bool, Problem> {
        let (owner, until_ms) = (&self.settings.owner, self.in_ms(time));
        let held = self
            .catalog
            .hold_lease(name, owner, until_ms, self.now_ms());
        Ok(held.await?)
    }

    pub(crate) async fn return_lease(&self, name: &str) -> Result<(), Problem> {
        Ok(self
            .catalog
            .return_lease(name, &self.settings.owner)
            .await?)
    }

    /// Leaves something to be done soon. Where too much waits already it is left to the catalogue, which knows of it, too.
    pub(crate) fn leave(&self, chore: Chore) {
        let _ = self.chores.try_send(chore);
    }

    /// The datastore of this name.
    pub(crate) async fn datastore(
        &self,
        tenant: TenantId,
        name: &str,
    ) -> Result<Datastore, Problem> {
        let found = self.catalog.datastore(tenant, name).await?;
        found.ok_or_else(|| Problem::no_datastore(name))
    }

    /// The newest version of a policy.
    pub(crate) async fn policy(&self, name: &str) -> Result<Arc<StoredPolicy>, Problem> {
        let found = self.catalog.policy(name, None).await?;
        self.read_policy(found.ok_or_else(|| Problem::no_policy(name))?)
    }

    /// A version of a policy that something was stored under.
    pub(crate) async fn policy_version(
        &self,
        name: &str,
        version: u32,
    ) -> Result<Arc<StoredPolicy>, Problem> {
        let key = (name.to_owned(), version);
        if let Some(found) = self.held_policies().get(&key) {
            return Ok(Arc::clone(found));
        }
        let found = self.catalog.policy(name, Some(version)).await?;
        self.read_policy(found.ok_or_else(|| Problem::no_policy(name))?)
    }

    fn held_policies(
        &self,
    ) -> std::sync::MutexGuard<'_, BTreeMap<(String, u32), Arc<StoredPolicy>>> {
        self.policies.lock().expect("no holder of this lock panics")
    }

    /// Forgets what was read of policies: they may be others now.
    pub(crate) fn forget_policies(&self) {
        self.held_policies().clear();
    }

    fn read_policy(&self, stored: sc_metadata::Policy) -> Result<Arc<StoredPolicy>, Problem> {
        let key = (stored.name, stored.version);
        if let Some(found) = self.held_policies().get(&key) {
            return Ok(Arc::clone(found));
        }
        let policy = Arc::new(StoredPolicy {
            name: key.0.clone(),
            version: key.1,
            policy: Policy::parse(&stored.definition)?,
        });
        let mut held = self.held_policies();
        if held.len() >= POLICIES_MAX {
            held.clear();
        }
        held.insert(key, Arc::clone(&policy));
        Ok(policy)
    }
}

/// A datastore, as the coder takes it.
pub(crate) fn for_coder(datastore: &Datastore) -> Option<coder::Datastore> {
    Some(coder::Datastore {
        id: bytes::Bytes::copy_from_slice(&datastore.id.0),
        name: datastore.name.clone(),
        root_number: datastore.root_number,
        wrapped_key: datastore.wrapped_key.clone(),
    })
}

/// An id of fixed length out of a message.
pub(crate) fn id<const N: usize>(bytes: &[u8], what: &str) -> Result<[u8; N], Problem> {
    bytes
        .try_into()
        .map_err(|_| Problem::malformed(&format!("{what} must have {N} bytes")))
}

pub(crate) fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    bytes.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// Bytes out of their hexadecimal digits: exactly so many.
pub(crate) fn unhex<const N: usize>(text: &str) -> Option<[u8; N]> {
    let (pairs, []) = text.as_bytes().as_chunks::<2>() else {
        return None;
    };
    if pairs.len() != N {
        return None;
    }
    let digit = |byte: u8| char::from(byte).to_digit(16);
    let mut bytes = [0; N];
    for (byte, [high, low]) in bytes.iter_mut().zip(pairs) {
        *byte = u8::try_from(digit(*high)? * 16 + digit(*low)?).ok()?;
    }
    Some(bytes)
}
