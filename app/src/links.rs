//! How the roles of routing open their links.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use sc_client::IdentitySigner;
use sc_crypto::OwnerSecret;
use sc_matching::bound::ITEM_BYTES_MAX;
use sc_transport::{
    Attach, Dialer, Driver, Endpoint, LinkKey, LinkKeys, LinkSettings, Links, Role, os_entropy,
};
use tokio::time::Instant;
use zeroize::Zeroizing;

use crate::cli::LinkArgs;
use crate::keys::refuse_shared;
use crate::report::Report;
use crate::wrong_use;

/// What frames carry beside the largest payload: the header of its publication, keys and the ids of filters that it matches.
const FRAME_MARGIN: u64 = 2 * ITEM_BYTES_MAX as u64;

/// However many ids frames may have to carry, none is larger: what goes through a trusted program's door is not, either.
const FRAME_MAX: u64 = sc_launcher::FRAME_MAX as u64;

/// A router that has not been heard of for so long is worth a word.
const LONELY_AFTER: Duration = Duration::from_secs(3);

/// Tells once that no router has been heard of.
pub(crate) struct Loneliness {
    tell_at: Option<Instant>,
    words: &'static str,
}

impl Loneliness {
    /// Begins to wait for a router, that connects here or is connected to.
    pub(crate) fn begin(connects: bool, link: &LinkArgs) -> Self {
        let words = match (connects, &link.link_keys) {
            (false, _) => "no router has connected yet; waiting for one",
            (true, None) => "no router has answered yet: is one running there? Trying on",
            (true, Some(_)) => {
                "no router has answered yet: is one running there, and is `peer` in the file of link keys its public key? Trying on"
            }
        };
        Self {
            tell_at: Some(Instant::now() + LONELY_AFTER),
            words,
        }
    }

    /// A router is there.
    pub(crate) fn end(&mut self) {
        self.tell_at = None;
    }

    /// Completes when it is time to tell, with the words; never after that or once a router was there. May be dropped and called again.
    pub(crate) async fn felt(&mut self) -> &'static str {
        match self.tell_at {
            Some(at) => tokio::time::sleep_until(at).await,
            None => std::future::pending().await,
        }
        self.tell_at = None;
        self.words
    }
}

/// A router's socket, with a link key of its own for this run.
pub(crate) async fn accept(
    link: &LinkArgs,
    address: &str,
    connect: &[String],
    report: &Report,
) -> anyhow::Result<Driver<Links>> {
    let keys = read_link_keys(link.link_keys.as_deref())?;
    let attach = attach(address, connect)?;
    let admits_any = keys.as_ref().is_some_and(|keys| keys.peers.is_empty());
    if admits_any && matches!(attach, Attach::Bind(_)) {
        report.say("link keys without a peer: whoever has this router's public link key may connect; admit each by a line `peer = \"...\"` there");
    }
    let key = LinkKey::generate(&mut os_entropy());
    let driver = Driver::acceptor(&attach, keys.as_ref(), settings(link, 0), key)
        .await
        .map_err(|error| wrong_use(error.to_string()))?;
    announce(&driver, &attach, report);
    Ok(driver)
}

/// A publisher's or a subscriber's socket, which proves `identity`. A subscriber's frames carry up to `ids_bytes` of its ids.
pub(crate) async fn dial(
    link: &LinkArgs,
    address: &str,
    connect: Option<&String>,
    role: Role,
    identity: &Arc<OwnerSecret>,
    ids_bytes: u64,
    report: &Report,
) -> anyhow::Result<Driver<Dialer>> {
    let keys = read_link_keys(link.link_keys.as_deref())?;
    let attach = attach(
        address,
        connect.map(std::slice::from_ref).unwrap_or_default(),
    )?;
    let signer = IdentitySigner(Arc::clone(identity));
    let driver = Driver::initiator(
        &attach,
        keys.as_ref(),
        role,
        settings(link, ids_bytes),
        signer,
    )
    .await
    .map_err(|error| wrong_use(error.to_string()))?;
    announce(&driver, &attach, report);
    Ok(driver)
}

fn announce<S: sc_transport::Side>(driver: &Driver<S>, attach: &Attach, report: &Report) {
    driver
        .notes()
        .iter()
        .for_each(|note| report.say(note.to_string()));
    let endpoints: Vec<_> = driver.endpoints().iter().map(ToString::to_string).collect();
    let verb = if matches!(attach, Attach::Bind(_)) {
        "listening at"
    } else {
        "connecting to"
    };
    report.say(format!("{verb} {}", endpoints.join(", ")));
    report.event(&serde_json::json!({ "event": "endpoints", "endpoints": endpoints }));
}

fn attach(address: &str, connect: &[String]) -> anyhow::Result<Attach> {
    if connect.is_empty() {
        return Ok(Attach::Bind(endpoint(address)?));
    }
    Ok(Attach::Connect(
        connect
            .iter()
            .map(|text| endpoint(text))
            .collect::<Result<_, _>>()?,
    ))
}

fn endpoint(text: &str) -> anyhow::Result<Endpoint> {
    text.parse()
        .map_err(|error: sc_transport::EndpointError| wrong_use(error.to_string()))
}

/// The link keys in a file that its owner alone may read; none without a file.
pub(crate) fn read_link_keys(path: Option<&Path>) -> anyhow::Result<Option<LinkKeys>> {
    let Some(path) = path else { return Ok(None) };
    let failed = |error: &dyn std::fmt::Display| wrong_use(format!("{}: {error}", path.display()));
    let text = std::fs::read_to_string(path)
        .map(Zeroizing::new)
        .map_err(|error| failed(&error))?;
    let keys = LinkKeys::parse(&text).map_err(|error| failed(&error))?;
    refuse_shared(path)?;
    Ok(Some(keys))
}

fn settings(link: &LinkArgs, ids_bytes: u64) -> LinkSettings {
    let mut settings = LinkSettings::default();
    settings.terms.max_frame = (link.max_message + FRAME_MARGIN + ids_bytes).min(FRAME_MAX);
    let largest = LinkSettings::largest_cost(settings.terms.max_frame);
    settings.terms.control_window = settings.terms.control_window.max(largest);
    settings.terms.data_window = settings.terms.data_window.max(2 * largest);
    // A publisher may have as many batches on their way as its data window holds, each with a receipt, however small it is.
    settings.control_queue = settings.control_queue.max(4 * largest).max(16 << 20);
    settings.data_queue = settings.data_queue.max(4 * largest).max(64 << 20);
    settings
}
