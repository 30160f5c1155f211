//! `up`: everything on this machine, as threads of one process or as processes of their own.
//!
//! Invariant: what it starts ends with it; a later `up` in the same folder finds its data, and two at once are refused; `urls.json` is there
//! while it runs, and no longer.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::thread::JoinHandle;
use std::time::Duration;

use anyhow::{Context, bail};
use sc_attestation::Policy;
use sc_store::{LocationSettings, StoreSettings};
use sc_transport::Endpoint;
use serde_json::json;
use tokio::sync::{oneshot, watch};

use crate::cli::{PlatformName, ScbrArgs};
use crate::demo::process::Role;
use crate::report::{Report, line};
use crate::storage::cli::{CodingArgs, UpArgs};
use crate::storage::files::make_private_folder;
use crate::storage::gateway::{self, GatewaySetup, TlsChoice};
use crate::storage::lock::FolderLock;
use crate::storage::ports::must_be_free;
use crate::storage::store::{self, StoreSetup};
use crate::storage::whole::{catalogue_of, ensure_owner, own_catalogue};
use crate::{scbr, wrong_use};

/// So long a role may take to be ready.
const READY_PATIENCE: Duration = Duration::from_secs(30);
/// So long a gateway may take that waits for a catalogue to be made again.
const REBUILT_PATIENCE: Duration = Duration::from_secs(6 * 3600);
/// How often processes are looked after.
const LOOK_AFTER: Duration = Duration::from_millis(500);
/// So long a role may take to end.
const END_PATIENCE: Duration = Duration::from_secs(20);
/// So long the store of an earlier `up` that was killed may take to follow it.
const STORE_PATIENCE: Duration = Duration::from_secs(3);
/// Paths of sockets have fewer bytes than this, whatever the system.
const SOCKET_PATH_MAX: usize = 100;

/// Where local locations pretend to be.
const REGIONS: [&str; 3] = ["north", "south", "west"];
/// Who pretends to run them.
const PROVIDERS: [&str; 2] = ["first-cloud", "second-cloud"];

/// What to run.
pub(crate) struct UpSettings {
    pub(crate) data: PathBuf,
    pub(crate) rest: SocketAddr,
    /// Where the router listens; none: no router.
    pub(crate) router: Option<SocketAddr>,
    pub(crate) processes: bool,
    pub(crate) catalogue: Option<String>,
    pub(crate) tls: bool,
    pub(crate) locations: u8,
    /// Whether the catalogue is made again of what lies at the locations.
    pub(crate) rebuild: bool,
}

impl UpSettings {
    /// How long the gateway may take to be ready.
    fn patience(&self) -> Duration {
        match self.rebuild {
            true => REBUILT_PATIENCE,
            false => READY_PATIENCE,
        }
    }
}

pub(crate) async fn run(arguments: UpArgs) -> anyhow::Result<()> {
    let report = Report::new("up", &arguments.verbosity);
    let stop = scbr::stopped()?;
    let data = match &arguments.data {
        Some(data) => data.clone(),
        None => default_folder()?,
    };
    let at = |port: u16| SocketAddr::from(([127, 0, 0, 1], port));
    let settings = UpSettings {
        data: data.clone(),
        rest: at(arguments.port),
        router: Some(at(arguments.router_port)),
        processes: arguments.processes,
        catalogue: arguments.catalogue.clone(),
        tls: arguments.tls,
        locations: arguments.locations,
        rebuild: arguments.rebuild,
    };
    let running = start(settings, &report).await?;
    tell(&running, &data, &arguments);
    tokio::select! {
        () = stop => {}
        ended = running.any_ended() => {
            let name = ended;
            running.stop().await?;
            bail!("the {name} has ended by itself: see what it said above");
        }
    }
    report.say("ending");
    running.stop().await
}

pub(crate) fn default_folder() -> anyhow::Result<PathBuf> {
    let state = std::env::var_os("XDG_STATE_HOME").map(PathBuf::from);
    let home = || std::env::var_os("HOME").map(|home| PathBuf::from(home).join(".local/state"));
    let base = state.or_else(home);
    let base = base.ok_or_else(|| wrong_use("there is no HOME: name a folder with --data DIR"))?;
    Ok(base.join("securecloud/up"))
}

fn tell(running: &Running, data: &Path, arguments: &UpArgs) {
    let (processes, tls, verbosity) = (arguments.processes, arguments.tls, &arguments.verbosity);
    if verbosity.json {
        let processes: serde_json::Map<_, _> = running
            .children
            .iter()
            .map(|child| (child.name().to_owned(), json!(child.pid())))
            .collect();
        let ready = json!({ "event": "ready", "urls": running.urls, "data": data, "processes": processes, "store_key": running.store_key });
        line(&ready.to_string());
    }
    if verbosity.silent || verbosity.json {
        return;
    }
    let url = |name: &str| running.urls[name].as_str().unwrap_or("").to_owned();
    let place = |name: &str| data.join(name).display().to_string();
    let (certificate, trusting) = if tls {
        let certificate = place("gateway.pem");
        (
            vec![format!(
                "  certificate {certificate}   (made anew at each start, for clients to trust)"
            )],
            format!(" SECURECLOUD_CA={certificate}"),
        )
    } else {
        (Vec::new(), String::new())
    };
    let before = [
        sc_enclave::SIMULATION_LINE.to_owned(),
        if processes {
            "store, router and gateway are processes of their own: the host's hold no key of the owner's".to_owned()
        } else {
            "owner and host share this one process, so nothing is kept from the host: for that, --processes".to_owned()
        },
        String::new(),
        format!("  REST        {}", url("rest")),
        format!("  explorer    {}", url("explorer")),
        format!("  metrics     {}", url("metrics")),
        format!("  router      {}", url("router")),
        match &running.store_url {
            Some(store) => {
                format!("  store       {store}   (for `kv --key`, with no gateway between)")
            }
            None => "  store       within this process; with --processes `kv --key` reaches it"
                .to_owned(),
        },
        format!(
            "  token       {}   (paste it into the explorer's Authorize)",
            place("token")
        ),
    ];
    let after = [
        format!("  addresses   {}", place("urls.json")),
        format!(
            "  owner keys  {}   (back this up: without it nothing can be read)",
            place("owner")
        ),
        format!("  locations   {}", place("locations")),
        format!(
            "  store key   {}   (in {}, for `securecloud backend --admit`)",
            running.store_key,
            place(store::PUBLIC_KEY)
        ),
        String::new(),
        format!(
            "  export SECURECLOUD_URL={} SECURECLOUD_TOKEN={}{trusting}",
            url("base"),
            place("token")
        ),
        "  securecloud kv datastore create photos --policy cold".to_owned(),
        "  securecloud kv put FILE photos/first".to_owned(),
        String::new(),
        "  ^C ends everything; the next `securecloud up` finds it again".to_owned(),
    ];
    for text in before.iter().chain(&certificate).chain(&after) {
        line(text);
    }
}

/// Everything that was started.
pub(crate) struct Running {
    pub(crate) urls: serde_json::Value,
    pub(crate) token: PathBuf,
    /// Where the store listens; none of another process's.
    pub(crate) store: Option<Endpoint>,
    /// Where clients of the store itself find it; none where it listens within this process.
    store_url: Option<String>,
    /// The key under which the store proves itself to backends.
    store_key: String,
    stop: watch::Sender<bool>,
    ended: watch::Receiver<Option<&'static str>>,
    threads: Vec<(&'static str, JoinHandle<anyhow::Result<()>>)>,
    children: Vec<Role>,
    /// The file that says where everything is.
    addresses: PathBuf,
    _lock: FolderLock,
}

impl Running {
    /// Completes when a role ends that nobody has asked to; gives its name.
    pub(crate) async fn any_ended(&self) -> &'static str {
        let mut ended = self.ended.clone();
        if let Ok(name) = ended.wait_for(Option::is_some).await {
            return name.unwrap_or("role");
        }
        // Nobody tells of an end any more: the roles are processes.
        loop {
            if let Some(child) = self.children.iter().find(|child| child.has_ended()) {
                return child.name();
            }
            tokio::time::sleep(LOOK_AFTER).await;
        }
    }

    /// Ends every role, those that clients ask first, and waits for them.
    ///
    /// # Errors
    /// The first role's that did not end well.
    pub(crate) async fn stop(self) -> anyhow::Result<()> {
        // Whoever has ended does not hear it.
        let _ = self.stop.send(true);
        let mut result = remove_if_there(&self.addresses);
        for child in self.children.into_iter().rev() {
            let ended = async {
                child.interrupt()?;
                child.end(END_PATIENCE).await
            };
            result = result.and(ended.await);
        }
        let threads = self.threads;
        let joined = tokio::task::spawn_blocking(move || {
            let mut result = Ok(());
            for (name, thread) in threads {
                let ended = thread.join();
                let ended = ended.unwrap_or_else(|_| bail!("the {name} broke down"));
                result = result.and(ended.with_context(|| format!("the {name}")));
            }
            result
        });
        result.and(joined.await.context("waiting for threads")?)
    }
}

/// Starts every role; returns when requests are served.
///
/// # Errors
/// What keeps a role from starting, with the fix. Nothing runs then.
pub(crate) async fn start(mut settings: UpSettings, report: &Report) -> anyhow::Result<Running> {
    // Roles of their own run in that folder, where a relative path means another one.
    settings.data = std::path::absolute(&settings.data)?;
    let data = &settings.data;
    make_private_folder(data)?;
    let lock = lock(data)?;
    // Where an earlier one was, which was killed.
    let addresses = data.join("urls.json");
    remove_if_there(&addresses)?;
    let router = settings.router.map(|it| (it, "--router-port"));
    let ports = std::iter::once((settings.rest, "--port")).chain(router);
    must_be_free(&ports.collect::<Vec<_>>())?;
    let catalogue = catalogue_of(data, settings.catalogue.as_deref(), settings.rebuild)?;
    ensure_owner(data)?;
    settings.rebuild |= store::is_rebuild_due(&catalogue).await?;
    let mut first = local_locations(settings.locations);
    if settings.rebuild {
        first = store::found_locations(&catalogue, &settings.data, report).await?;
        if first.is_empty() && settings.catalogue.is_none() && !own_catalogue(data).exists() {
            return Err(wrong_use(format!(
                "there are no storage locations in {}, of which a catalogue could be made again: mount their disks, or leave out --rebuild to begin anew",
                data.join("locations").display()
            )));
        }
        report.say("the catalogue is made again of what lies at the locations");
    } else {
        store::tell_of_unknown(&catalogue, &settings.data, report).await?;
    }
    let data = &settings.data;
    let (stop, stopping) = watch::channel(false);
    let (tell_end, ended) = watch::channel(None);
    let mut running = Running {
        urls: serde_json::Value::Null,
        token: data.join("token"),
        store: None,
        store_url: None,
        store_key: String::new(),
        stop,
        ended,
        threads: Vec::new(),
        children: Vec::new(),
        addresses,
        _lock: lock,
    };
    let started = if settings.processes {
        start_processes(&settings, &catalogue, &mut running).await
    } else {
        start_threads(
            &settings,
            &catalogue,
            first,
            report,
            &stopping,
            &tell_end,
            &mut running,
        )
        .await
    };
    let (rest, router) = match started {
        Ok(urls) => urls,
        Err(error) => {
            // The error that is told is the first one.
            let _ = running.stop().await;
            return Err(error);
        }
    };
    running.urls = json!({
        "base": rest,
        "rest": format!("{rest}/v1"),
        "explorer": format!("{rest}/explorer"),
        "metrics": format!("{rest}/metrics"),
        "router": router,
    });
    let path = data.join(store::PUBLIC_KEY);
    let key = std::fs::read_to_string(&path).with_context(|| path.display().to_string())?;
    key.trim().clone_into(&mut running.store_key);
    if let Some(store) = &running.store_url {
        running.urls["store"] = store.as_str().into();
    }
    let text = format!("{:#}\n", running.urls);
    let path = &running.addresses;
    std::fs::write(path, text).with_context(|| path.display().to_string())?;
    Ok(running)
}

/// Holds the folder for this process alone.
fn lock(data: &Path) -> anyhow::Result<FolderLock> {
    let held =
        "is in use by another `securecloud up`: end that one, or name another folder with --data";
    let lock = FolderLock::take(data, "lock", Duration::ZERO, held)?;
    // The store takes its own lock, and waits for nobody.
    FolderLock::take(data, store::LOCK, STORE_PATIENCE, store::HELD)?;
    Ok(lock)
}

fn remove_if_there(path: &Path) -> anyhow::Result<()> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(error).with_context(|| path.display().to_string())
        }
        _ => Ok(()),
    }
}

/// Where clients find the certificate that the gateway makes.
fn certificate(data: &Path) -> PathBuf {
    data.join("gateway.pem")
}

/// The locations of a new store: folders that pretend to be in several places and with several providers.
pub(crate) fn local_locations(count: u8) -> Vec<(String, LocationSettings)> {
    let names = (1..=count).map(|number| format!("site-{number}"));
    names.map(local_location).collect()
}

/// A location in a store's own folder; where it pretends to be is in its name, if a store has given it.
pub(crate) fn local_location(name: String) -> (String, LocationSettings) {
    let number = name.strip_prefix("site-").and_then(|it| it.parse().ok());
    let mut text = json!({ "backend": { "kind": "fs", "path": format!("locations/{name}") } });
    if let Some(number) = number.and_then(|it: usize| it.checked_sub(1)) {
        text["region"] = REGIONS[number % REGIONS.len()].into();
        text["zone"] = format!("zone-{}", number % 2 + 1).into();
        text["provider"] = PROVIDERS[number % PROVIDERS.len()].into();
        text["cost_per_gb_month"] = 0.02.into();
        text["cost_per_gb_read"] = 0.01.into();
    }
    let settings = LocationSettings::parse(&text.to_string());
    (
        name,
        settings.expect("settings as this function writes them"),
    )
}

async fn start_threads(
    settings: &UpSettings,
    catalogue: &str,
    first: Vec<(String, LocationSettings)>,
    report: &Report,
    stopping: &watch::Receiver<bool>,
    tell_end: &watch::Sender<Option<&'static str>>,
    running: &mut Running,
) -> anyhow::Result<(String, String)> {
    let name = format!("store-{}", std::process::id());
    let store_endpoint = Endpoint::Inproc(name);
    let (ready, is_ready) = oneshot::channel();
    let setup = StoreSetup {
        address: store_endpoint.clone(),
        link_keys: None,
        catalogue: catalogue.to_owned(),
        data: settings.data.clone(),
        coders: Vec::new(),
        coding: CodingArgs {
            platform: PlatformName::Inline,
            program: None,
            kernel: None,
            threads: None,
        },
        settings: StoreSettings::default(),
        first,
        rebuild: settings.rebuild,
    };
    let quiet = report.quiet("store");
    let stop = until(stopping.clone());
    running
        .threads
        .push(thread("store", tell_end, move || async move {
            let ready = |_: &[Endpoint]| {
                let _ = ready.send(());
            };
            store::serve(setup, &quiet, ready, stop).await
        })?);
    wait_for("store", READY_PATIENCE, is_ready, running).await?;
    running.store = Some(store_endpoint.clone());

    let (ready, is_ready) = oneshot::channel();
    let setup = GatewaySetup {
        store: store_endpoint,
        link_keys: None,
        owner: settings.data.join("owner"),
        creates_owner: false,
        rest: settings.rest,
        tls: settings.tls.then(|| TlsChoice::SelfSigned {
            out: Some(certificate(&settings.data)),
        }),
        evidence: Policy::development(),
        token: Some(running.token.clone()),
    };
    let quiet = report.quiet("gateway");
    let stop = until(stopping.clone());
    running
        .threads
        .push(thread("gateway", tell_end, move || async move {
            let ready = |url: &str| {
                let _ = ready.send(url.to_owned());
            };
            gateway::serve(setup, &quiet, ready, stop).await
        })?);
    let rest = wait_for("gateway", settings.patience(), is_ready, running).await?;

    let Some(router) = settings.router else {
        return Ok((rest, String::new()));
    };
    let router = settled(router)?;
    let arguments = router_arguments(router, &settings.data);
    let address = router_url(router);
    let stop = until(stopping.clone());
    running.threads.push(thread("router", tell_end, move || {
        scbr::run_until(arguments, stop)
    })?);
    Ok((rest, address))
}

fn router_arguments(router: SocketAddr, data: &Path) -> Box<ScbrArgs> {
    let mut arguments = ScbrArgs::listening(router.to_string());
    arguments.spill = Some(data.join("router"));
    arguments.verbosity.silent = true;
    arguments.platform = PlatformName::Inline;
    Box::new(arguments)
}

/// The address, with a port that is free now where none is named.
fn settled(address: SocketAddr) -> anyhow::Result<SocketAddr> {
    if address.port() != 0 {
        return Ok(address);
    }
    Ok(std::net::TcpListener::bind(address)?.local_addr()?)
}

fn router_url(router: SocketAddr) -> String {
    format!("tcp://{router}")
}

/// Completes when everything is to end.
async fn until(mut stopping: watch::Receiver<bool>) {
    // A sender that is gone has nobody left to serve.
    let _ = stopping.wait_for(|stop| *stop).await;
}

/// Starts a role on a thread of its own, with a runtime of its own.
fn thread<F>(
    name: &'static str,
    tell_end: &watch::Sender<Option<&'static str>>,
    role: impl FnOnce() -> F + Send + 'static,
) -> anyhow::Result<(&'static str, JoinHandle<anyhow::Result<()>>)>
where
    F: Future<Output = anyhow::Result<()>>,
{
    let tell_end = tell_end.clone();
    let run = move || {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        let result = runtime.block_on(role());
        runtime.shutdown_timeout(Duration::from_millis(500));
        // Nobody listens any more once everything is ending.
        let _ = tell_end.send(Some(name));
        result
    };
    let builder = std::thread::Builder::new().name(name.to_owned());
    Ok((name, builder.spawn(run)?))
}

/// Waits for a role to be ready; if it ends instead, its error is told.
async fn wait_for<T>(
    name: &'static str,
    patience: Duration,
    ready: oneshot::Receiver<T>,
    running: &mut Running,
) -> anyhow::Result<T> {
    match tokio::time::timeout(patience, ready).await {
        Ok(Ok(value)) => Ok(value),
        Ok(Err(_)) => {
            let (_, thread) = running.threads.pop().context("the role was started")?;
            let ended = tokio::task::spawn_blocking(move || thread.join()).await?;
            match ended {
                Ok(Err(error)) => Err(error),
                _ => bail!("the {name} ended before it was ready"),
            }
        }
        Err(_) => bail!("the {name} was not ready after {} s", patience.as_secs()),
    }
}

async fn start_processes(
    settings: &UpSettings,
    catalogue: &str,
    running: &mut Running,
) -> anyhow::Result<(String, String)> {
    let data = std::path::absolute(&settings.data)?;
    let text = |path: &Path| path.display().to_string();
    let run = data.join("run");
    make_private_folder(&run)?;
    let socket = run.join("store");
    let address = if text(&socket).len() < SOCKET_PATH_MAX {
        // One that an earlier store has left behind; the folder is locked, so nobody listens there.
        let _ = std::fs::remove_file(&socket);
        format!("ipc://{}", text(&socket))
    } else {
        "tcp://127.0.0.1:0".to_owned()
    };
    crate::platform::build_with_cargo("sc-coder")?;
    crate::platform::build_with_cargo("sc-cbr")?;
    let (folder, locations) = (text(&data), settings.locations.to_string());
    let mut arguments = vec![
        "--address",
        &address,
        "--data",
        &folder,
        "--new-locations",
        &locations,
    ];
    if settings.rebuild {
        arguments.push("--rebuild");
    }
    let mut store = Role::start_with(
        &data,
        "store",
        &arguments,
        // Its URL may hold a password.
        &[("SECURECLOUD_CATALOGUE", catalogue)],
    )?;
    let event = store.event("endpoints", READY_PATIENCE).await;
    if event.is_ok() {
        store.pass_errors_on();
    }
    running.children.push(store);
    let endpoint = event?["endpoints"][0].as_str().unwrap_or("").to_owned();
    running.store_url = Some(endpoint.clone());

    let rest = settings.rest.to_string();
    let (owner, token) = (text(&data.join("owner")), text(&data.join("token")));
    let mut arguments = vec![
        "--store",
        &endpoint,
        "--owner",
        &owner,
        "--rest",
        &rest,
        "--token",
        &token,
        "--allow-simulation",
    ];
    let certificate = text(&certificate(&data));
    if settings.tls {
        arguments.extend(["--tls", "--tls-out", &certificate]);
    }
    let mut gateway = Role::start(&data, "gateway", &arguments)?;
    let event = gateway.event("rest", settings.patience()).await;
    if event.is_ok() {
        gateway.pass_errors_on();
    }
    running.children.push(gateway);
    let rest = event?["url"].as_str().unwrap_or("").to_owned();

    let Some(router) = settings.router else {
        return Ok((rest, String::new()));
    };
    let spill = text(&data.join("router"));
    let address = router.to_string();
    let mut scbr = Role::start(&data, "scbr", &["-a", &address, "--spill", &spill])?;
    let event = scbr.event("endpoints", READY_PATIENCE).await;
    if event.is_ok() {
        scbr.pass_errors_on();
    }
    running.children.push(scbr);
    let router = event?["endpoints"][0].as_str().unwrap_or("").to_owned();
    Ok((rest, router))
}
