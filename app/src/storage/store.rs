//! `store`: the untrusted store.

use std::collections::BTreeSet;
use std::fs::OpenOptions;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::Context;
use sc_metadata::Catalog;
use sc_store::{CoderWay, Coders, LocationSettings, Locations, Service, Store, StoreSettings};
use sc_transport::{Endpoint, Role};
use tokio::sync::oneshot;

use crate::links::read_link_keys;
use crate::report::Report;
use crate::storage::cli::{CodingArgs, StoreArgs};
use crate::storage::files::make_private_folder;
use crate::storage::lock::FolderLock;
use crate::storage::opener::Opener;
use crate::storage::serving::{Entrance, connect, endpoint, own_identity, start_coder};
use crate::storage::up::{local_location, local_locations};
use crate::storage::whole::{catalogue_of, gaps_in, must_not_be_here, unknown_locations};
use crate::wrong_use;

/// So long requests may take to end when the role ends.
const PATIENCE: Duration = Duration::from_secs(10);

/// The file in a store's folder that it holds while it runs.
pub(crate) const LOCK: &str = "store.lock";
/// What it means that another process holds it.
pub(crate) const HELD: &str = "is in use by another `securecloud store` or `up`: end that one, or name another folder with --data";
/// The file in a store's folder with the key under which it proves itself to backends.
pub(crate) const PUBLIC_KEY: &str = "store.pub";

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
    /// Locations to make where there are none yet; or, for a rebuild, that are there and may not be known.
    pub(crate) first: Vec<(String, LocationSettings)>,
    /// Whether the catalogue is to be made again of what lies at the locations.
    pub(crate) rebuild: bool,
}

pub(crate) async fn run(arguments: StoreArgs) -> anyhow::Result<()> {
    let report = Report::new("store", &arguments.verbosity);
    let stop = crate::scbr::stopped()?;
    let named = arguments.catalogue;
    if named.is_none() {
        must_not_be_here(&arguments.data)?;
    }
    let catalogue = catalogue_of(&arguments.data, named.as_deref(), arguments.rebuild)?;
    let first = match arguments.rebuild || is_rebuild_due(&catalogue).await? {
        true => found_locations(&catalogue, &arguments.data, &report).await?,
        false => local_locations(arguments.new_locations),
    };
    let setup = StoreSetup {
        address: endpoint(&arguments.address)?,
        link_keys: arguments.link.link_keys,
        catalogue,
        data: arguments.data,
        coders: arguments.coder,
        coding: arguments.coding,
        settings: StoreSettings {
            region: arguments.region,
            zone: arguments.zone,
            ..StoreSettings::default()
        },
        first,
        rebuild: arguments.rebuild,
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
    make_private_folder(&setup.data)?;
    let _lock = FolderLock::take(&setup.data, LOCK, Duration::ZERO, HELD)?;
    let catalog = open_catalogue(&setup.catalogue).await?;
    if setup.rebuild {
        catalog.set_rebuild_due(true).await?;
    }
    let coders = open_coders(&setup, report).await?;
    let (signer, key) = own_identity(&setup.data, "store")?;
    report.say(format!(
        "to backends this store proves itself as {key} (in {}): start them with --admit {key}",
        setup.data.join(PUBLIC_KEY).display()
    ));
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
    let known = names_of(&catalog).await?;
    let is_rebuilt = catalog.is_rebuild_due().await?;
    for (name, settings) in setup.first {
        let added = match is_rebuilt {
            true if known.contains(&name) => continue,
            true => store.find_location(&name, settings).await,
            false if !known.is_empty() => break,
            false => {
                let active = sc_metadata::LocationState::Active;
                store.add_location(&name, settings, active).await
            }
        };
        added.with_context(|| format!("location {name}"))?;
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
    // The URL may hold a password, so it is not told.
    match text.split_once("://").map(|(scheme, _)| scheme) {
        None => {
            let path = Path::new(text);
            let failed = |error: &dyn std::fmt::Display| wrong_use(format!("{text}: {error}"));
            make_private_file(path).map_err(|error| failed(&error))?;
            Catalog::sqlite(path).await.map_err(|error| failed(&error))
        }
        Some("postgres" | "postgresql") => Catalog::postgres(text)
            .await
            .map_err(|error| wrong_use(format!("the catalogue: {error}"))),
        Some(scheme) => Err(wrong_use(format!(
            "--catalogue: there are no catalogues at {scheme}://; it is the path of a file, or a URL that begins with postgres:// or postgresql://"
        ))),
    }
}

/// Whether a catalogue that is there was restored, or is new since the one before was lost, and nothing was made of what lies at the locations.
pub(crate) async fn is_rebuild_due(catalogue: &str) -> anyhow::Result<bool> {
    if !catalogue.contains("://") && !Path::new(catalogue).exists() {
        return Ok(false);
    }
    Ok(open_catalogue(catalogue).await?.is_rebuild_due().await?)
}

/// The locations in a store's folder that a catalogue which is to be made again does not know yet.
///
/// # Errors
/// Wrong use: a folder there has no location in it.
pub(crate) async fn found_locations(
    catalogue: &str,
    data: &Path,
    report: &Report,
) -> anyhow::Result<Vec<(String, LocationSettings)>> {
    let known = known_to(catalogue).await?;
    let unknown = unknown_locations(data, &known)?;
    let missing = gaps_in(data, &known);
    if !missing.is_empty() {
        report.say(format!(
            "{} has no {}, and has greater ones: if a disk is only away, end this, mount it, and rebuild again",
            data.join("locations").display(),
            missing.join(", ")
        ));
    }
    Ok(unknown.into_iter().map(local_location).collect())
}

/// Says which locations in a store's folder its catalogue does not know, where it knows others.
pub(crate) async fn tell_of_unknown(
    catalogue: &str,
    data: &Path,
    report: &Report,
) -> anyhow::Result<()> {
    let known = known_to(catalogue).await?;
    // An empty folder is nothing that is to be taken over.
    let unknown = unknown_locations(data, &known).unwrap_or_default();
    if !known.is_empty() && !unknown.is_empty() {
        report.say(format!(
            "the catalogue knows nothing of {} in {}: to take over what lies there, start with --rebuild",
            unknown.join(", "),
            data.join("locations").display()
        ));
    }
    Ok(())
}

/// The names of the locations that a catalogue knows, and those of their folders.
async fn known_to(catalogue: &str) -> anyhow::Result<BTreeSet<String>> {
    if !catalogue.contains("://") && !Path::new(catalogue).exists() {
        return Ok(BTreeSet::new());
    }
    let catalog = open_catalogue(catalogue).await?;
    Ok(&names_of(&catalog).await? | &folders_of(&catalog).await?)
}

/// The names of folders among a store's own locations that are those of known locations.
async fn folders_of(catalog: &Catalog) -> anyhow::Result<BTreeSet<String>> {
    let locations = catalog.locations().await?;
    let each = locations.iter().filter_map(|it| {
        let settings = LocationSettings::parse(&it.settings).ok()?;
        let sc_store::Kind::Fs { path } = settings.backend else {
            return None;
        };
        let is_own = path.parent()?.file_name()? == "locations";
        let name = path.file_name()?.to_str()?.to_owned();
        is_own.then_some(name)
    });
    Ok(each.collect())
}

async fn names_of(catalog: &Catalog) -> anyhow::Result<BTreeSet<String>> {
    let locations = catalog.locations().await?;
    Ok(locations.into_iter().map(|it| it.name).collect())
}

/// Makes an empty file that its owner alone may read, unless there is one; the database gives its mode to those beside it.
fn make_private_file(path: &Path) -> std::io::Result<()> {
    let mut options = OpenOptions::new();
    let made = options.write(true).create_new(true).mode(0o600).open(path);
    match made {
        Err(error) if error.kind() != std::io::ErrorKind::AlreadyExists => Err(error),
        _ => Ok(()),
    }
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

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[tokio::test]
    async fn a_catalogue_of_an_unknown_kind_is_refused_and_no_file_is_made() {
        let refused = open_catalogue("mysql://user:secret@host/database").await;

        let told = refused.err().unwrap().to_string();
        assert!(
            told.contains("mysql://") && told.contains("postgres://"),
            "{told}"
        );
        assert!(!told.contains("secret"), "{told}");
    }

    #[tokio::test]
    async fn a_new_catalogue_is_its_owners_alone() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("catalogue.db");

        let _catalog = open_catalogue(path.to_str().unwrap()).await.unwrap();

        for entry in std::fs::read_dir(folder.path()).unwrap() {
            let entry = entry.unwrap();
            let mode = entry.metadata().unwrap().permissions().mode() & 0o777;
            assert_eq!(mode, 0o600, "{}", entry.path().display());
        }
    }
}
