//! What every role of storage does alike: it reads link keys, listens, and ends at a signal.

use std::path::Path;
use std::sync::Arc;

use sc_client::IdentitySigner;
use sc_coder::Engine;
use sc_enclave::{SIMULATION_LINE, SimulatedPlatform, simulation_development_key};
use sc_launcher::{Caller, Platform, find_program};
use sc_program::{CoderChoice, entropy};
use sc_transport::{
    Admission, Endpoint, LinkKey, LinkKeys, LinkSigner, PeerKey, Responder, Role, RpcSettings,
    os_entropy,
};

use crate::cli::PlatformName;
use crate::keys::{read_or_make_identity, write_new};
use crate::links::read_link_keys;
use crate::platform::{build_with_cargo, outside};
use crate::report::Report;
use crate::storage::cli::CodingArgs;
use crate::wrong_use;

const PROGRAM: &str = "sc-coder";

/// An address as it is typed.
pub(crate) fn endpoint(text: &str) -> anyhow::Result<Endpoint> {
    text.parse()
        .map_err(|error: sc_transport::EndpointError| wrong_use(error.to_string()))
}

/// The key under which a role proves itself, in `folder` as NAME.prv, made at first use; NAME.pub says what others know it by.
pub(crate) fn own_identity(folder: &Path, name: &str) -> anyhow::Result<(IdentitySigner, PeerKey)> {
    let identity = read_or_make_identity(&folder.join(format!("{name}.prv")))?;
    let signer = IdentitySigner(Arc::new(identity));
    let key = PeerKey(signer.public_key());
    let text = format!("{key}\n");
    write_new(
        &folder.join(format!("{name}.pub")),
        text.as_bytes(),
        0o644,
        true,
    )?;
    Ok((signer, key))
}

/// Who may open links to a role, and how.
pub(crate) struct Entrance<'a> {
    pub(crate) role: Role,
    /// The file of link keys.
    pub(crate) link_keys: Option<&'a Path>,
    /// The key under which the role proves itself.
    pub(crate) signer: Box<dyn LinkSigner>,
    pub(crate) admission: Admission,
    pub(crate) settings: RpcSettings,
}

impl<'a> Entrance<'a> {
    /// Of a role that asks for rights above its links, and proves itself there.
    pub(crate) fn open(role: Role, link_keys: Option<&'a Path>) -> Self {
        Self {
            role,
            link_keys,
            signer: Box::new(LinkKey::generate(&mut os_entropy())),
            admission: Admission::Any,
            settings: RpcSettings::default(),
        }
    }

    /// Opens a socket, and says where.
    pub(crate) async fn listen(
        self,
        address: &Endpoint,
        report: &Report,
    ) -> anyhow::Result<Responder> {
        let keys = read_link_keys(self.link_keys)?;
        let keys = keys.as_ref();
        let bound = Responder::bind(
            address,
            keys,
            self.role,
            self.signer,
            self.admission,
            self.settings,
        );
        let responder = bound.await.map_err(|error| wrong_use(error.to_string()))?;
        responder
            .notes()
            .iter()
            .for_each(|note| report.say(note.to_string()));
        let endpoints = responder.endpoints().iter().map(ToString::to_string);
        let endpoints: Vec<String> = endpoints.collect();
        report.say(format!("listening at {}", endpoints.join(", ")));
        report.event(&serde_json::json!({ "event": "endpoints", "endpoints": endpoints }));
        Ok(responder)
    }
}

/// Opens the way to a role elsewhere; whether it is there shows with the first call.
pub(crate) async fn connect(
    address: &Endpoint,
    keys: Option<&LinkKeys>,
    role: Role,
) -> anyhow::Result<sc_transport::Requester> {
    let key = LinkKey::generate(&mut os_entropy());
    sc_transport::Requester::connect(
        address,
        keys,
        role,
        key,
        Admission::Any,
        RpcSettings::default(),
    )
    .await
    .map_err(|error| wrong_use(error.to_string()))
}

/// Starts the trusted coding program.
pub(crate) fn start_coder(coding: &CodingArgs, report: &Report) -> anyhow::Result<Caller> {
    let choice = CoderChoice {
        kernel: coding.kernel.clone(),
        threads: coding.threads,
    };
    // The child runs on this very processor: what it would refuse is better said here.
    let kernel = choice
        .kernel()
        .map_err(|error| wrong_use(format!("--{error}")))?;
    if matches!(
        coding.platform,
        PlatformName::Process | PlatformName::Inline
    ) {
        report.say(SIMULATION_LINE);
    }
    let platform = match coding.platform {
        PlatformName::Inline => {
            report.say("platform inline: the trusted program runs in this very process, for tests and measurement; it carries no claim");
            let platform = SimulatedPlatform::new(simulation_development_key(), [0; 32]);
            Platform::Inline {
                program: Arc::new(Engine::new(Box::new(platform), kernel)),
                entropy,
            }
        }
        other => {
            let binary = match &coding.program {
                Some(path) => path.clone(),
                None => {
                    build_with_cargo(PROGRAM)?;
                    find_program(PROGRAM).map_err(|error| wrong_use(error.to_string()))?
                }
            };
            outside(other, binary, choice.arguments())?
        }
    };
    Caller::start(platform).map_err(|error| wrong_use(error.to_string()))
}
