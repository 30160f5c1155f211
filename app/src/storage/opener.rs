//! Opens the backends that locations' settings describe.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, Instant};

use sc_backend::{Backend, BackendError, Expected, Fs, FsError, FsSettings, LocationId, Remote};
use sc_client::IdentitySigner;
use sc_store::{Kind, LocationOpener, LocationSettings, Opening};
use sc_transport::{Admission, CurvePublic, Endpoint, LinkKeys, PeerKey};

/// So long a backend at a distance may take for one call.
const REMOTE_DEADLINE: Duration = Duration::from_secs(30);

/// So long a backend at a distance that is added may take to answer for the first time.
const FIRST_ANSWER_PATIENCE: Duration = Duration::from_secs(5);

/// So long an earlier store, which has just been killed, may still hold its folders.
const HOLDER_PATIENCE: Duration = Duration::from_secs(10);

/// Opens locations for one store.
pub(crate) struct Opener {
    base: PathBuf,
    signer: IdentitySigner,
    link_keys: Option<LinkKeys>,
    /// Until when folders that are in use are waited for.
    holders_until: Instant,
    /// Folders that are being opened: one on a file system that does not answer is so for ever.
    opening: Arc<Mutex<BTreeSet<PathBuf>>>,
}

impl LocationOpener for Opener {
    fn open<'a>(&'a self, settings: &'a LocationSettings, expected: Expected) -> Opening<'a> {
        Box::pin(async move {
            match &settings.backend {
                Kind::Fs { path } => {
                    let mut settings = FsSettings::new(self.base.join(path));
                    settings.expected = expected;
                    let backend = self.open_folder(settings).await?;
                    Ok(Arc::new(backend) as Arc<dyn Backend>)
                }
                Kind::Memory => Err(
                    "memory is for tests and loses everything when the store ends: use fs or remote"
                        .into(),
                ),
                Kind::Remote {
                    endpoint,
                    key,
                    link_key,
                } => {
                    let opened = self.connect(endpoint, key.as_deref(), link_key.as_deref());
                    let remote = opened.await?;
                    let id = match expected {
                        Expected::This(id) => id,
                        _ => first_answer(&remote).await?,
                    };
                    Ok(Arc::new(remote.only(id)) as Arc<dyn Backend>)
                }
            }
        })
    }
}

fn held(opening: &Mutex<BTreeSet<PathBuf>>) -> MutexGuard<'_, BTreeSet<PathBuf>> {
    opening.lock().expect("no holder of this lock panics")
}

/// Which location answers at a backend that is added.
async fn first_answer(remote: &Remote) -> Result<LocationId, String> {
    let until = Instant::now() + FIRST_ANSWER_PATIENCE;
    loop {
        match remote.describe().await {
            Ok(description) => return Ok(description.id),
            Err(BackendError::Unavailable(_)) if Instant::now() < until => {
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
            Err(error) => {
                return Err(format!(
                    "{error}; is `securecloud backend` running there, does it admit this store (--admit, the key is in store.pub), and is its key the one in these settings?"
                ));
            }
        }
    }
}

impl Opener {
    /// An opener for a store that begins now. `base` is what relative paths are relative to; under `signer` the store opens links to
    /// backends at a distance.
    pub(crate) fn new(base: PathBuf, signer: IdentitySigner, link_keys: Option<LinkKeys>) -> Self {
        Self {
            base,
            signer,
            link_keys,
            holders_until: Instant::now() + HOLDER_PATIENCE,
            opening: Arc::default(),
        }
    }

    async fn open_folder(&self, settings: FsSettings) -> Result<Fs, String> {
        let folder = settings.folder.clone();
        let opening = Arc::clone(&self.opening);
        let is_first = held(&opening).insert(folder.clone());
        if !is_first {
            return Err(format!(
                "{} is being opened already, or its file system hangs",
                folder.display()
            ));
        }
        let until = self.holders_until;
        let opened = tokio::task::spawn_blocking(move || {
            let opened = loop {
                match Fs::open(&settings) {
                    Err(FsError::InUse { .. }) if Instant::now() < until => {
                        std::thread::sleep(Duration::from_millis(100));
                    }
                    opened => break opened,
                }
            };
            held(&opening).remove(&folder);
            opened
        });
        let opened = opened.await.map_err(|error| error.to_string())?;
        opened.map_err(|error| error.to_string())
    }

    /// Opens the way to a backend at a distance, which need not be there yet.
    async fn connect(
        &self,
        endpoint: &str,
        key: Option<&str>,
        link_key: Option<&str>,
    ) -> Result<Remote, String> {
        let endpoint: Endpoint = endpoint.parse().map_err(|error| format!("{error}"))?;
        let expected = match key {
            Some(key) => {
                let key: PeerKey = key.parse().map_err(|error| format!("key: {error}"))?;
                Admission::Only(BTreeSet::from([key]))
            }
            None => Admission::Any,
        };
        let own = self.link_keys.as_ref();
        let link_keys = match link_key {
            Some(text) => {
                let peer: CurvePublic = text
                    .parse()
                    .map_err(|_| "link_key: a key has 40 characters of Z85".to_owned())?;
                let own = own.ok_or("link_key: start the store with --link-keys FILE, too")?;
                Some(own.expecting(peer))
            }
            None => None,
        };
        let signer = self.signer.clone();
        let keys = link_keys.as_ref().or(own);
        let opened = Remote::connect(&endpoint, keys, signer, expected, REMOTE_DEADLINE).await;
        opened.map_err(|error| error.to_string())
    }
}
