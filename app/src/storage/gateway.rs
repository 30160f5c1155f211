//! `gateway`: the owner's edge, REST in front and sealed requests behind.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use anyhow::Context;
use sc_attestation::Policy;
use sc_client::kv::{KvClient, OwnerAgent};
use sc_gateway::{
    Gateway, Listen, SelfSigned, Statement, Tls, TokenRequest, TokenText, is_good, mint,
};
use sc_transport::{Endpoint, Role};
use zeroize::Zeroizing;

use crate::attest::evidence_policy;
use crate::keys::write_new;
use crate::kv::rebuilt_in_words;
use crate::links::read_link_keys;
use crate::report::{Report, note};
use crate::storage::agent::Agent;
use crate::storage::cli::GatewayArgs;
use crate::storage::files::OwnerFolder;
use crate::storage::serving::{connect, endpoint};
use crate::wrong_use;

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
    let agent = OwnerAgent::new(requester.clone(), owner, roots, setup.evidence);
    let agent = Agent::new(agent, client.clone(), setup.owner.clone(), report.clone())
        .telling(Arc::clone(&statements));
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
