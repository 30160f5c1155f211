//! Opens the backends that locations' settings describe.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use sc_backend::{Backend, Fs, FsSettings, Remote};
use sc_client::IdentitySigner;
use sc_store::{Kind, LocationOpener, LocationSettings, Opening};
use sc_transport::{Admission, CurvePublic, Endpoint, LinkKeys, PeerKey};

/// So long a backend at a distance may take for one call.
const REMOTE_DEADLINE: Duration = Duration::from_secs(30);

/// Opens locations for one store.
pub(crate) struct Opener {
    /// What relative paths are relative to.
    pub(crate) base: PathBuf,
    /// Under which the store opens links to backends at a distance.
    pub(crate) signer: IdentitySigner,
    pub(crate) link_keys: Option<LinkKeys>,
}

impl LocationOpener for Opener {
    fn open<'a>(&'a self, _name: &'a str, settings: &'a LocationSettings) -> Opening<'a> {
        Box::pin(async move {
            match &settings.backend {
                Kind::Fs { path } => {
                    let settings = FsSettings::new(self.base.join(path));
                    let opened = tokio::task::spawn_blocking(move || Fs::open(&settings)).await;
                    let opened = opened.map_err(|error| error.to_string())?;
                    let backend = opened.map_err(|error| error.to_string())?;
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
                    Ok(Arc::new(opened.await?) as Arc<dyn Backend>)
                }
            }
        })
    }
}

impl Opener {
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
