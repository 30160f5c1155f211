//! How a remote is opened: from a URL and the files that go with it.
//!
//! Invariant: a token or a key is read from a file that its owner alone may read, goes nowhere but to whom it opens, and is never shown.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use sc_client::kv::{Credentials, KvClient};
use sc_transport::{
    Admission, Endpoint, LinkKey, LinkState, Requester, Role, RpcSettings, os_entropy,
};
use tokio_rustls::rustls::crypto::aws_lc_rs;
use tokio_rustls::rustls::pki_types::CertificateDer;
use tokio_rustls::rustls::pki_types::pem::PemObject as _;
use tokio_rustls::rustls::{ClientConfig, RootCertStore};
use zeroize::Zeroizing;

use super::{Direct, Http, Remote, RemoteError};
use crate::keys::refuse_shared;
use crate::kv::cli::ConnectionArgs;
use crate::links::read_link_keys;
use crate::wrong_use;

/// More than any token or file of credentials has, in bytes.
const SECRET_FILE_MAX: u64 = 1 << 20;
/// How long a store may take to answer on a new link.
const STORE_PATIENCE: Duration = Duration::from_secs(3);
/// What a token begins with.
const TOKEN_PREFIX: &str = "sc_";

impl Remote {
    /// Makes ready to speak to the store; nothing is asked yet.
    ///
    /// # Errors
    /// Wrong use: a URL, file or certificate that will not do; the message says what will.
    pub(crate) async fn open(arguments: &ConnectionArgs) -> anyhow::Result<Self> {
        let Some(url) = arguments.url.as_deref() else {
            return Err(wrong_use(
                "where is the store? Name a gateway with --url http://127.0.0.1:8480, or by SECURECLOUD_URL: `securecloud up` prints one",
            ));
        };
        match url.split_once("://").map(|(scheme, _)| scheme) {
            Some("http" | "https") => gateway(url, arguments).map(|it| Self::Http(Box::new(it))),
            Some("tcp" | "ipc") => {
                let store = store(url, arguments).await?;
                Ok(Self::Direct(Box::new(Direct::new(store))))
            }
            _ => Err(wrong_use(format!(
                "--url {url}: expected a gateway at http:// or https://, or a store at tcp://host:port or ipc://path"
            ))),
        }
    }
}

fn gateway(url: &str, arguments: &ConnectionArgs) -> anyhow::Result<Http> {
    let Some(file) = &arguments.token else {
        if arguments.key.is_some() {
            return Err(wrong_use(
                "--key is for the store itself, at tcp:// or ipc://; a gateway asks for a token: name its file with --token",
            ));
        }
        return Err(wrong_use(
            "a gateway asks for a token: name its file with --token, or by SECURECLOUD_TOKEN (`securecloud up` writes one to DIR/token)",
        ));
    };
    let uri: hyper::Uri = url
        .parse()
        .map_err(|error| wrong_use(format!("--url {url}: {error}")))?;
    if uri.authority().is_some_and(|it| it.as_str().contains('@')) {
        return Err(wrong_use(
            "--url takes no user or password: a gateway goes by its token alone",
        ));
    }
    if !matches!(uri.path_and_query().map(|it| it.as_str()), None | Some("/")) {
        return Err(wrong_use(format!(
            "--url {url}: name the gateway alone, as in http://127.0.0.1:8480; what is asked of it follows from the command"
        )));
    }
    let is_plain = uri.scheme_str() == Some("http");
    if is_plain && !arguments.plain_http && !uri.host().is_some_and(is_loopback) {
        return Err(wrong_use(format!(
            "--url {url} leaves this machine unencrypted, token and all: use https://, or say --plain-http if the way is safe"
        )));
    }
    let token = read_token(file)?;
    let roots = match (&arguments.ca, is_plain) {
        (_, true) => RootCertStore::empty(),
        (Some(file), false) => roots_of(file)?,
        (None, false) => system_roots()?,
    };
    let config = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots)
        .with_no_client_auth();
    Http::new(&uri, &token, config)
}

fn is_loopback(host: &str) -> bool {
    let address = host.trim_start_matches('[').trim_end_matches(']');
    let address = address.parse::<std::net::IpAddr>();
    address.map_or(host.eq_ignore_ascii_case("localhost"), |it| {
        it.to_canonical().is_loopback()
    })
}

fn read_token(file: &Path) -> anyhow::Result<Zeroizing<String>> {
    let is_token = |text: &str| text.starts_with(TOKEN_PREFIX) && text.len() > 60;
    if file.to_str().is_some_and(is_token) {
        return Err(wrong_use(
            "--token and SECURECLOUD_TOKEN name the file that holds the token, and not the token itself: others may read arguments",
        ));
    }
    let text = read_secret(file)?;
    let token = text.trim();
    if !is_token(token) || !token.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err(wrong_use(format!(
            "{} holds no token: it is one line that begins with {TOKEN_PREFIX}",
            file.display()
        )));
    }
    Ok(Zeroizing::new(token.to_owned()))
}

/// A file that its owner alone may read.
fn read_secret(file: &Path) -> anyhow::Result<Zeroizing<String>> {
    let failed = |error: std::io::Error| wrong_use(format!("{}: {error}", file.display()));
    let length = std::fs::metadata(file).map_err(failed)?.len();
    if length > SECRET_FILE_MAX {
        return Err(wrong_use(format!("{} is too large", file.display())));
    }
    refuse_shared(file)?;
    std::fs::read_to_string(file)
        .map(Zeroizing::new)
        .map_err(failed)
}

fn roots_of(file: &Path) -> anyhow::Result<RootCertStore> {
    let failed =
        |error: &dyn std::fmt::Display| wrong_use(format!("--ca {}: {error}", file.display()));
    let pem = std::fs::read(file).map_err(|error| failed(&error))?;
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(&pem) {
        let certificate = certificate.map_err(|_| failed(&"a certificate in it is not whole"))?;
        roots.add(certificate).map_err(|error| failed(&error))?;
    }
    match roots.is_empty() {
        true => Err(failed(&"it holds no certificate in PEM")),
        false => Ok(roots),
    }
}

fn system_roots() -> anyhow::Result<RootCertStore> {
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    match roots.is_empty() {
        true => Err(wrong_use(
            "this system has no certificates to trust: name those of the gateway with --ca",
        )),
        false => Ok(roots),
    }
}

async fn store(url: &str, arguments: &ConnectionArgs) -> anyhow::Result<KvClient> {
    let Some(file) = &arguments.key else {
        return Err(wrong_use(format!(
            "{url} is the store itself, which goes by credentials: name their file with --key"
        )));
    };
    let text = read_secret(file)?;
    let credentials = Credentials::parse(&text)
        .map_err(|error| wrong_use(format!("{}: {error}", file.display())))?;
    let endpoint: Endpoint = url
        .parse()
        .map_err(|error: sc_transport::EndpointError| wrong_use(error.to_string()))?;
    let keys = read_link_keys(arguments.link_keys.as_deref())?;
    // Who this is, the credentials prove to the coder; the host needs no name that it would know again.
    let signer = LinkKey::generate(&mut os_entropy());
    let link = Requester::connect(
        &endpoint,
        keys.as_ref(),
        Role::Client,
        signer,
        Admission::Any,
        RpcSettings::default(),
    );
    let link = link
        .await
        .map_err(|error| wrong_use(error.to_string()))
        .context("--url and --link-keys")?;
    answering(&link, &endpoint, arguments.link_keys.is_some()).await?;
    Ok(KvClient::new(link, credentials))
}

/// Waits until the store has answered on its link.
///
/// # Errors
/// It has not, within [`STORE_PATIENCE`]; the message says where it was looked for, and what to look at.
async fn answering(
    link: &Requester,
    endpoint: &Endpoint,
    has_link_keys: bool,
) -> Result<(), RemoteError> {
    let mut state = link.state();
    let is_up = |state: &LinkState| matches!(state, LinkState::Up(_));
    let up = tokio::time::timeout(STORE_PATIENCE, state.wait_for(is_up));
    if let Ok(Ok(_)) = up.await {
        return Ok(());
    }
    let why = match (&*link.state().borrow(), endpoint) {
        (LinkState::Down { why: Some(why) }, _) => why.clone(),
        (_, Endpoint::Ipc(path)) if !path.exists() => "there is no such socket".to_owned(),
        _ => format!(
            "nobody has answered there within {} s",
            STORE_PATIENCE.as_secs()
        ),
    };
    let keys = match (endpoint, has_link_keys) {
        (Endpoint::Tcp { .. }, true) => ", and do the two --link-keys name each other's public key",
        (Endpoint::Tcp { .. }, false) => ", and does it do without --link-keys",
        _ => "",
    };
    Err(RemoteError::Unreachable {
        url: endpoint.to_string(),
        cause: why,
        fix: format!(
            "does `securecloud up --processes` or `securecloud store` run, and is this the address that it printed (`up` has it in DIR/urls.json, too, as `store`){keys}?"
        ),
    })
}

#[cfg(test)]
mod tests {
    use std::fs::Permissions;
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    fn token() -> String {
        format!("{TOKEN_PREFIX}{}", "a".repeat(64))
    }

    #[test]
    fn a_token_is_read_from_a_file_of_its_owners_alone() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("token");
        std::fs::write(&file, format!("{}\n", token())).unwrap();

        std::fs::set_permissions(&file, Permissions::from_mode(0o644)).unwrap();
        let shared = read_token(&file).unwrap_err().to_string();
        std::fs::set_permissions(&file, Permissions::from_mode(0o600)).unwrap();

        assert!(shared.contains("chmod 600"), "{shared}");
        assert_eq!(*read_token(&file).unwrap(), token());
    }

    #[test]
    fn a_token_in_the_place_of_its_file_is_not_shown() {
        let error = read_token(Path::new(&token())).unwrap_err().to_string();

        assert!(!error.contains(&token()), "{error}");
    }

    #[test]
    fn what_is_no_token_is_not_shown() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("token");
        std::fs::write(&file, "some other secret").unwrap();
        std::fs::set_permissions(&file, Permissions::from_mode(0o600)).unwrap();

        let error = read_token(&file).unwrap_err().to_string();

        assert!(!error.contains("other secret"), "{error}");
    }

    #[test]
    fn loopback_is_this_machine_alone() {
        for host in [
            "127.0.0.1",
            "127.9.9.9",
            "[::1]",
            "localhost",
            "[::ffff:127.0.0.1]",
        ] {
            assert!(is_loopback(host), "{host}");
        }
        for host in ["10.0.0.1", "localhost.example", "[::2]", ""] {
            assert!(!is_loopback(host), "{host}");
        }
    }
}
