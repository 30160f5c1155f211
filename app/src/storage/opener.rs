//! Opens the backends that locations' settings describe.

use std::path::PathBuf;
use std::sync::Arc;

use sc_backend::{Backend, Fs, FsSettings, Memory};
use sc_store::{Kind, LocationOpener, LocationSettings, Opening};

/// Opens locations for one store.
pub(crate) struct Opener {
    /// What relative paths are relative to.
    pub(crate) base: PathBuf,
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
                Kind::Memory => Ok(Arc::new(Memory::new()) as Arc<dyn Backend>),
                Kind::Remote { .. } => Err("remote locations are not there yet".into()),
            }
        })
    }
}
