//! `backend`: a storage location for stores elsewhere.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use sc_backend::{Backend, BackendService, Fs, FsSettings, rpc_settings};
use sc_transport::{Admission, Endpoint, PeerKey, Responder, Role};

use crate::links::read_link_keys;
use crate::report::Report;
use crate::storage::cli::BackendArgs;
use crate::storage::files::make_private_folder;
use crate::storage::serving::{Entrance, endpoint, own_identity};
use crate::wrong_use;

/// So long calls may take to end when the role ends.
const PATIENCE: Duration = Duration::from_secs(10);

pub(crate) async fn run(arguments: BackendArgs) -> anyhow::Result<()> {
    let report = Report::new("backend", &arguments.verbosity);
    let stop = crate::scbr::stopped()?;
    let address = endpoint(&arguments.address)?;
    make_private_folder(&arguments.data)?;
    let (signer, key) = own_identity(&arguments.data, "backend")?;
    let settings = FsSettings::new(arguments.data.join("fragments"));
    let opened = tokio::task::spawn_blocking(move || Fs::open(&settings)).await?;
    let backend: Arc<dyn Backend> = Arc::new(opened.map_err(|error| wrong_use(error.to_string()))?);

    let admitted: BTreeSet<PeerKey> = arguments.admit.into_iter().collect();
    let keys = arguments.link.link_keys.as_deref();
    let link_keys = read_link_keys(keys)?;
    // Link keys that name no peer admit any.
    let is_open = admitted.is_empty() && link_keys.as_ref().is_none_or(|it| it.peers.is_empty());
    let link_key = link_keys.map(|it| it.public().to_string());
    let entrance = Entrance {
        role: Role::Backend,
        link_keys: keys,
        signer: Box::new(signer),
        admission: if admitted.is_empty() {
            Admission::Any
        } else {
            Admission::Only(admitted)
        },
        settings: rpc_settings(),
    };
    let responder = entrance.listen(&address, &report).await?;
    if is_open {
        report.say("whoever reaches this address may read and delete every fragment: name the stores that may with --admit KEY");
    }
    tell_settings(&responder, key, link_key, &report);
    responder
        .serve(Arc::new(BackendService::new(backend)), stop, PATIENCE)
        .await?;
    Ok(())
}

/// Says what makes a location of this backend.
fn tell_settings(responder: &Responder, key: PeerKey, link_key: Option<String>, report: &Report) {
    let endpoint = responder.endpoints().first().map(Endpoint::to_string);
    let mut settings = serde_json::json!({
        "backend": {
            "kind": "remote",
            "endpoint": endpoint,
            "key": key.to_string(),
        }
    });
    if let Some(link_key) = link_key {
        settings["backend"]["link_key"] = link_key.into();
    }
    report.say(format!(
        "to use it: securecloud kv location add NAME '{settings}'"
    ));
    report.event(&serde_json::json!({ "event": "location", "settings": settings }));
}
