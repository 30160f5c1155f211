//! `gateway`: the owner's edge, REST in front and sealed requests behind; and the agent that provisions coders.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use anyhow::Context;
use sc_attestation::Policy;
use sc_client::kv::{CoderState, KvClient, OwnerAgent};
use sc_gateway::{
    Gateway, Listen, SelfSigned, Statement, Tls, TokenRequest, TokenText, is_good, mint,
};
use sc_proto::store::problem::Code;
use sc_transport::{Endpoint, Requester, Role};
use zeroize::Zeroizing;

use crate::keys::write_new;
use crate::kv::rebuilt_in_words;
use crate::links::read_link_keys;
use crate::report::{Report, note};
use crate::storage::cli::GatewayArgs;
use crate::storage::credentials;
use crate::storage::files::OwnerFolder;
use crate::storage::serving::{connect, endpoint};
use crate::wrong_use;

/// How often the agent looks after the coders.
const LOOK_AFTER: Duration = Duration::from_secs(2);
/// How often coders are told the time.
const TELL_TIME: Duration = Duration::from_secs(60);
/// How long the first coder may take to be provisioned.
const FIRST_PATIENCE: Duration = Duration::from_secs(15);

/// What a gateway is run with.
pub(crate) struct GatewaySetup {
    pub(crate) store: Endpoint,
    pub(crate) link_keys: Option<PathBuf>,
    pub(crate) owner: PathBuf,
    /// Whether an owner is made where the folder holds none.
    pub(crate) creates_owner: bool,
    pub(crate) rest: SocketAddr,
    pub(crate) tls: Option<TlsChoice>,
    pub(crate) evidence: Policy,
    pub(crate) token: Option<PathBuf>,
}

/// Where TLS gets its certificate from.
pub(crate) enum TlsChoice {
    /// A fresh certificate, written to a file for clients to trust.
    SelfSigned {
        out: Option<PathBuf>,
    },
    Files {
        certificate: PathBuf,
        key: PathBuf,
    },
}

pub(crate) async fn run(arguments: GatewayArgs) -> anyhow::Result<()> {
    let report = Report::new("gateway", &arguments.verbosity);
    if arguments.allow_simulation {
        report.say(sc_enclave::SIMULATION_LINE);
    }
    let stop = crate::scbr::stopped()?;
    let tls = match (arguments.tls_certificate, arguments.tls_key) {
        (Some(certificate), Some(key)) => Some(TlsChoice::Files { certificate, key }),
        _ if arguments.tls => Some(TlsChoice::SelfSigned {
            out: arguments.tls_out,
        }),
        _ => None,
    };
    let setup = GatewaySetup {
        store: endpoint(&arguments.store)?,
        link_keys: arguments.link.link_keys,
        owner: arguments.owner,
        creates_owner: arguments.create_owner,
        rest: arguments.rest,
        tls,
        evidence: evidence_policy(arguments.policy.as_deref(), arguments.allow_simulation)?,
        token: arguments.token,
    };
    serve(setup, &report, |_| {}, stop).await
}

fn evidence_policy(path: Option<&Path>, allow_simulation: bool) -> anyhow::Result<Policy> {
    let Some(path) = path else {
        if allow_simulation {
            return Ok(Policy::development());
        }
        return Err(wrong_use(
            "no policy says which trusted programs may have the roots: name one with --policy FILE, or accept a simulation, which protects nothing, with --allow-simulation",
        ));
    };
    let text = std::fs::read_to_string(path)
        .map_err(|error| wrong_use(format!("{}: {error}", path.display())))?;
    let mut policy =
        Policy::parse(&text).map_err(|error| wrong_use(format!("{}: {error}", path.display())))?;
    policy.allow_simulation = allow_simulation;
    Ok(policy)
}

/// Runs a gateway until `stop` completes; `ready` is told its URL.
pub(crate) async fn serve(
    setup: GatewaySetup,
    report: &Report,
    ready: impl FnOnce(&str),
    stop: impl Future<Output = ()>,
) -> anyhow::Result<()> {
    let folder = OwnerFolder(setup.owner.clone());
    if setup.creates_owner {
        folder.ensure()?;
    }
    let (owner, roots) = folder.open()?;
    let credentials = folder.edge(&owner, &roots)?;
    let keys = read_link_keys(setup.link_keys.as_deref())?;
    let requester = connect(&setup.store, keys.as_ref(), Role::Client).await?;
    let client = KvClient::new(requester.clone(), credentials);
    let statements: Arc<Mutex<Vec<Statement>>> = Arc::default();
    let agent = Agent {
        agent: OwnerAgent::new(requester.clone(), owner, roots, setup.evidence),
        client: client.clone(),
        given: BTreeSet::new(),
        is_rewrapped: false,
        statements: Arc::clone(&statements),
        report: report.clone(),
        owner: setup.owner.clone(),
        told: None,
        complained: false,
    };
    let agent = agent.first().await?;
    let looking_after = tokio::spawn(agent.look_after());
    rebuild_if_due(&client).await;
    if let Some(path) = &setup.token {
        ensure_token(&client, path).await?;
    }
    let said = move || {
        let statements = statements.lock();
        statements.expect("no holder of this lock panics").clone()
    };
    let listen = listen_choice(setup.rest, setup.tls.as_ref())?;
    let mut gateway = Gateway::new(client).with_statements(said);
    if setup.rest.ip().to_canonical().is_loopback() {
        gateway = gateway.with_open_numbers();
    }
    let listening = gateway
        .listen(listen)
        .await
        .map_err(|error| wrong_use(format!("{}: {error}: choose another address", setup.rest)))?;
    let url = listening.url();
    report.say(format!("REST at {url}/v1, the explorer at {url}/explorer"));
    report.event(&serde_json::json!({ "event": "rest", "url": url }));
    ready(&url);
    listening.serve(stop).await;
    looking_after.abort();
    requester.close().await;
    Ok(())
}

fn listen_choice(address: SocketAddr, tls: Option<&TlsChoice>) -> anyhow::Result<Listen> {
    let tls = match tls {
        None => {
            return Listen::plain(address).map_err(|error| {
                wrong_use(format!("{error}: add --tls, or a certificate of your own"))
            });
        }
        Some(TlsChoice::SelfSigned { out }) => {
            let names = ["localhost".to_owned(), address.ip().to_string()];
            let made = SelfSigned::generate(names)?;
            let certificate = made.certificate_pem.as_bytes();
            if let Some(path) = out {
                write_new(path, certificate, 0o644, true)?;
            }
            Tls::from_pem(certificate, made.key_pem.as_bytes())?
        }
        Some(TlsChoice::Files { certificate, key }) => {
            let read = |path: &Path| {
                std::fs::read(path)
                    .map_err(|error| wrong_use(format!("{}: {error}", path.display())))
            };
            Tls::from_pem(&read(certificate)?, &read(key)?)
                .map_err(|error| wrong_use(error.to_string()))?
        }
    };
    Ok(Listen::tls(address, tls))
}

/// Has a catalogue made again that is lost or was restored, and waits for it. Why it was not is said; everything else goes on, so that
/// whoever administers the store can mend it.
async fn rebuild_if_due(client: &KvClient) {
    const LOOK: Duration = Duration::from_millis(100);
    let mut start = false;
    loop {
        let told = client.rebuild_catalogue(start).await;
        let told: serde_json::Value = match told {
            Ok(told) => serde_json::from_str(&told).unwrap_or_default(),
            Err(error) => {
                tracing::debug!(%error, "whether a rebuild is due is not known");
                return;
            }
        };
        match told["state"].as_str() {
            Some("due") if !start => start = true,
            Some("running") => {
                start = false;
                tokio::time::sleep(LOOK).await;
            }
            Some("done") => {
                let report = &told["report"];
                note(&rebuilt_in_words(report));
                for it in report["notes"].as_array().into_iter().flatten() {
                    note(it.as_str().unwrap_or_default());
                }
                return;
            }
            Some("failed") => {
                let why = told["why"].as_str().unwrap_or_default();
                note(&format!("the catalogue was not made again: {why}"));
                return;
            }
            _ => return,
        }
    }
}

/// Writes a token that may do everything, unless the file is there already; then says so if what is in it is good no more.
async fn ensure_token(client: &KvClient, path: &Path) -> anyhow::Result<()> {
    if path.exists() {
        let text =
            Zeroizing::new(std::fs::read_to_string(path).context(path.display().to_string())?);
        let is_good = match TokenText::parse(text.trim()) {
            Some(token) => match is_good(client, &token).await {
                Ok(is_good) => is_good,
                Err(error) => {
                    tracing::warn!(%error, "whether the token in {} is good is not known", path.display());
                    return Ok(());
                }
            },
            None => false,
        };
        if !is_good {
            tracing::warn!(
                "the token in {} is of another owner, deleted or expired: remove the file, and the next start makes another one",
                path.display()
            );
        }
        return Ok(());
    }
    let token = mint(client, &TokenRequest::everything("up"))
        .await
        .context("the first token cannot be made")?;
    let mut text = token.expose();
    text.push('\n');
    write_new(path, text.as_bytes(), 0o600, false)
}

/// The owner's agent: coders that lack the roots get them, and all are told the time.
struct Agent {
    agent: OwnerAgent<Requester>,
    client: KvClient,
    /// Coders that have the roots as they are now.
    given: BTreeSet<String>,
    /// Whether all datastores' keys are wrapped by the current root.
    is_rewrapped: bool,
    statements: Arc<Mutex<Vec<Statement>>>,
    report: Report,
    /// The folder of the owner's keys.
    owner: PathBuf,
    /// When the coders were last told the time, and which certificates are void.
    told: Option<(tokio::time::Instant, Vec<u64>)>,
    complained: bool,
}

impl Agent {
    /// Waits for the first coder to be provisioned.
    async fn first(mut self) -> anyhow::Result<Self> {
        let looking = async {
            loop {
                match self.look().await {
                    Ok(0) => tokio::time::sleep(Duration::from_millis(50)).await,
                    Ok(_) => return Ok(()),
                    Err(error) => {
                        if let Some(sc_client::kv::AgentError::Provisioning(_)) =
                            error.downcast_ref()
                        {
                            return Err(error);
                        }
                        tokio::time::sleep(Duration::from_millis(50)).await;
                    }
                }
            }
        };
        match tokio::time::timeout(FIRST_PATIENCE, looking).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => return Err(error),
            Err(_) => self
                .report
                .say("no store has answered yet: is one running there? Trying on"),
        }
        Ok(self)
    }

    async fn look_after(mut self) {
        loop {
            tokio::time::sleep(LOOK_AFTER).await;
            match self.look().await {
                Ok(_) => self.complained = false,
                Err(error) if !self.complained => {
                    self.report
                        .say(format!("coders cannot be looked after: {error:#}"));
                    self.complained = true;
                }
                Err(_) => {}
            }
        }
    }

    /// Looks at every coder once, also behind one that it fails with; how many hold the roots then.
    async fn look(&mut self) -> anyhow::Result<usize> {
        let revoked = credentials::revoked(&self.owner)?;
        self.take_rotation()?;
        let is_told = self
            .told
            .as_ref()
            .is_some_and(|(at, told)| at.elapsed() < TELL_TIME && *told == revoked);
        let mut holding = 0;
        let mut result = Ok(());
        let coders = self.agent.coders().await?;
        let names: BTreeSet<String> = coders.iter().map(|it| it.name.clone()).collect();
        for coder in coders {
            match self.look_at(coder, is_told, &revoked).await {
                Ok(holds) => holding += usize::from(holds),
                Err(error) => result = result.and(Err(error)),
            }
        }
        result?;
        if !self.is_rewrapped && self.given.is_superset(&names) {
            self.rewrap().await?;
        }
        if !is_told && holding > 0 {
            self.told = Some((tokio::time::Instant::now(), revoked));
        }
        Ok(holding)
    }

    /// Looks at one coder; whether it holds the roots then.
    async fn look_at(
        &mut self,
        coder: CoderState,
        is_told: bool,
        revoked: &[u64],
    ) -> anyhow::Result<bool> {
        let mut statement = Statement {
            coder: coder.name.clone(),
            tee: coder.tee.clone(),
            is_reachable: coder.is_reachable,
            ..Statement::default()
        };
        let has_roots = coder.is_provisioned && self.given.contains(&coder.name);
        if coder.is_reachable && !has_roots {
            let appraisal = self.agent.provision(&coder.name).await?;
            self.given.insert(coder.name.clone());
            self.report
                .detail(format!("{} holds the tenant's root now", coder.name));
            statement.tee = appraisal.tee_line.to_owned();
            statement.measurement = hex(&appraisal.measurement);
            statement.is_appraised = true;
        } else if let Some(known) = self.known(&coder.name) {
            statement.measurement = known.measurement;
            statement.is_appraised = known.is_appraised;
        }
        statement.is_provisioned = coder.is_reachable;
        // A coder that has just got the roots knows of no certificate that is void.
        if coder.is_reachable && !(is_told && has_roots) {
            self.agent.advance(&coder.name, revoked.to_vec()).await?;
        }
        self.keep(statement);
        Ok(coder.is_reachable)
    }

    /// Takes over a root that the owner has added since.
    fn take_rotation(&mut self) -> anyhow::Result<()> {
        let (_, roots) = OwnerFolder(self.owner.clone()).open()?;
        if roots.current_number() > self.agent.current_root() {
            self.agent.take_roots(roots);
            self.given.clear();
            self.is_rewrapped = false;
        }
        Ok(())
    }

    /// Has the keys of all datastores wrapped by the current root, which all coders have by now.
    async fn rewrap(&mut self) -> anyhow::Result<()> {
        let told = match self.client.rewrap_datastores().await {
            Ok(told) => told,
            // It waits for a rebuild.
            Err(error) if error.code() == Some(Code::Unavailable) => return Ok(()),
            Err(error) => return Err(error.into()),
        };
        let told: serde_json::Value = serde_json::from_str(&told)?;
        let root = self.agent.current_root();
        self.is_rewrapped = true;
        let rewrapped = told["rewrapped"].as_u64().unwrap_or(0);
        if rewrapped > 0 {
            self.report.say(format!(
                "root {root} wraps the keys of all datastores now, of {rewrapped} since this moment"
            ));
        }
        Ok(())
    }

    fn known(&self, coder: &str) -> Option<Statement> {
        let statements = self.statements.lock();
        let statements = statements.expect("no holder of this lock panics");
        statements.iter().find(|it| it.coder == coder).cloned()
    }

    fn keep(&self, statement: Statement) {
        let statements = self.statements.lock();
        let mut statements = statements.expect("no holder of this lock panics");
        statements.retain(|it| it.coder != statement.coder);
        statements.push(statement);
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
