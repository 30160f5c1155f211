//! `store`: the untrusted store.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::Context;
use sc_client::IdentitySigner;
use sc_metadata::Catalog;
use sc_store::{CoderWay, Coders, Locations, Service, Store, StoreSettings};
use sc_transport::{Endpoint, LinkSigner as _, PeerKey, Role};
use tokio::sync::oneshot;

use crate::keys::read_or_make_identity;
use crate::links::read_link_keys;
use crate::report::Report;
use crate::storage::cli::{CodingArgs, StoreArgs};
use crate::storage::opener::Opener;
use crate::storage::serving::{Entrance, connect, endpoint, start_coder};
use crate::wrong_use;

/// So long requests may take to end when the role ends.
const PATIENCE: Duration = Duration::from_secs(10);

/// What a store is run with.
pub(crate) struct StoreSetup {
    pub(crate) address: Endpoint,
    pub(crate) link_keys: Option<PathBuf>,
    /// A file of SQLite's, or a URL of PostgreSQL's.
    pub(crate) catalogue: String,
    pub(crate) data: PathBuf,
    /// Coders elsewhere; none: a program of its own.
    pub(crate) coders: Vec<String>,
    pub(crate) coding: CodingArgs,
    pub(crate) settings: StoreSettings,
    /// Locations and policies to make where there are none yet.
    pub(crate) first: Vec<(String, sc_store::LocationSettings)>,
}

pub(crate) async fn run(arguments: StoreArgs) -> anyhow::Result<()> {
    let report = Report::new("store", &arguments.verbosity);
    let stop = crate::scbr::stopped()?;
    let setup = StoreSetup {
        address: endpoint(&arguments.address)?,
        link_keys: arguments.link.link_keys,
        catalogue: arguments.catalogue,
        data: arguments.data,
        coders: arguments.coder,
        coding: arguments.coding,
        settings: StoreSettings {
            region: arguments.region,
            zone: arguments.zone,
            ..StoreSettings::default()
        },
        first: super::up::local_locations(arguments.new_locations),
    };
    serve(setup, &report, |_| {}, stop).await
}

/// Runs a store until `stop` completes; `ready` is told where it listens.
pub(crate) async fn serve(
    setup: StoreSetup,
    report: &Report,
    ready: impl FnOnce(&[Endpoint]),
    stop: impl Future<Output = ()>,
) -> anyhow::Result<()> {
    let catalog = open_catalogue(&setup.catalogue).await?;
    let coders = open_coders(&setup, report).await?;
    let identity = read_or_make_identity(&setup.data.join("store.prv"))?;
    let signer = IdentitySigner(Arc::new(identity));
    let key = PeerKey(signer.public_key());
    report.say(format!("to backends this store proves itself as {key}"));
    let link_keys = read_link_keys(setup.link_keys.as_deref())?;
    let opener = Opener::new(setup.data.clone(), signer, link_keys);
    let (store, chores) = Store::new(
        catalog.clone(),
        coders,
        Locations::default(),
        Box::new(opener),
        setup.settings,
        Arc::new(wall_clock_ms),
    );
    store.open_locations().await?;
    if catalog.locations().await?.is_empty() {
        for (name, settings) in setup.first {
            store
                .add_location(&name, settings, sc_metadata::LocationState::Active)
                .await
                .with_context(|| format!("location {name}"))?;
        }
    }
    for (name, definition) in READY_MADE {
        let policy = sc_store::Policy::parse(definition).context("a ready-made policy")?;
        store.ensure_policy(name, &policy).await?;
    }
    let keys = setup.link_keys.as_deref();
    let entrance = Entrance::open(Role::Store, keys);
    let responder = entrance.listen(&setup.address, report).await?;
    ready(responder.endpoints());
    let (end_chores, chores_end) = oneshot::channel::<()>();
    let chores = tokio::spawn(chores.run(async {
        let _ = chores_end.await;
    }));
    responder
        .serve(Arc::new(Service(store)), stop, PATIENCE)
        .await?;
    drop(end_chores);
    chores.await.context("the chores broke down")?;
    Ok(())
}

/// The policies that every store begins with.
const READY_MADE: [(&str, &str); 4] = [
    (
        "hot",
        r#"{"redundancy":{"kind":"replication","copies":3},"write_ack_beyond_data":1}"#,
    ),
    (
        "cold",
        r#"{"redundancy":{"kind":"rs","data":4,"parity":2}}"#,
    ),
    (
        "archive",
        r#"{"redundancy":{"kind":"rs","data":10,"parity":4},"write_ack_beyond_data":1}"#,
    ),
    (
        "coded",
        r#"{"redundancy":{"kind":"rlnc","data":4,"total":6,"subpackets":2}}"#,
    ),
];

async fn open_catalogue(text: &str) -> anyhow::Result<Catalog> {
    let is_url = text.starts_with("postgres://") || text.starts_with("postgresql://");
    let opened = if is_url {
        Catalog::postgres(text).await
    } else {
        Catalog::sqlite(Path::new(text)).await
    };
    // The URL may hold a password.
    let named = if is_url { "the catalogue" } else { text };
    opened.map_err(|error| wrong_use(format!("{named}: {error}")))
}

async fn open_coders(setup: &StoreSetup, report: &Report) -> anyhow::Result<Coders> {
    if setup.coders.is_empty() {
        let caller = start_coder(&setup.coding, report)?;
        let own = ("coder-0".to_owned(), CoderWay::Local(caller));
        return Ok(Coders::new(vec![own]));
    }
    let keys = read_link_keys(setup.link_keys.as_deref())?;
    let mut ways = Vec::with_capacity(setup.coders.len());
    for address in &setup.coders {
        let requester = connect(&endpoint(address)?, keys.as_ref(), Role::Store).await?;
        ways.push((address.clone(), CoderWay::Remote(requester)));
    }
    Ok(Coders::new(ways))
}

fn wall_clock_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.map_or(0, |since| {
        u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
    })
}
