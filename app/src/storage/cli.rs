//! The arguments of the storage roles.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Subcommand, ValueEnum};
use sc_transport::PeerKey;
use serde::{Deserialize, Serialize};

use crate::cli::{PlatformName, Verbosity};

/// Bytes of a datastore's name.
const DATASTORE_NAME_MAX: usize = 63;

/// Where a role of storage listens, and under which link keys.
#[derive(Debug, Clone, Args)]
pub(crate) struct StorageLinkArgs {
    /// Link keys (`securecloud keygen --link`), which tcp beyond loopback needs
    #[arg(long, value_name = "FILE")]
    pub(crate) link_keys: Option<PathBuf>,
}

/// The trusted coding program, and where it runs.
#[derive(Debug, Clone, Args)]
pub(crate) struct CodingArgs {
    /// Where the trusted program runs
    #[arg(long, value_enum, default_value_t = PlatformName::Process)]
    pub(crate) platform: PlatformName,
    /// The trusted program's binary, if it is not beside this one
    #[arg(long, value_name = "FILE")]
    pub(crate) program: Option<PathBuf>,
    /// The vector instructions that it codes with; the fastest that this processor has, if not given
    #[arg(long, value_name = "portable|avx2|gfni-avx2|gfni-avx512")]
    pub(crate) kernel: Option<String>,
    /// Threads that it codes with; as many as this machine runs at once, if not given
    #[arg(long, value_name = "N")]
    pub(crate) threads: Option<usize>,
}

#[derive(Debug, Args)]
pub(crate) struct StoreArgs {
    /// Where to listen for clients
    #[arg(
        short,
        long,
        value_name = "host:port",
        default_value = "*:5560",
        env = "SECURECLOUD_STORE_ADDRESS"
    )]
    pub(crate) address: String,
    /// The catalogue: a file of SQLite's, or `postgres://user:password@host/database`; DIR/catalogue.db if not given
    #[arg(
        long,
        value_name = "FILE|URL",
        env = "SECURECLOUD_CATALOGUE",
        hide_env_values = true
    )]
    pub(crate) catalogue: Option<String>,
    /// The folder that paths of local locations are relative to
    #[arg(long, value_name = "DIR", default_value = ".")]
    pub(crate) data: PathBuf,
    /// Makes so many local locations in the folder, where the catalogue has none yet; ignored with --rebuild
    #[arg(long, value_name = "N", default_value_t = 0, value_parser = clap::value_parser!(u8).range(0..=64))]
    pub(crate) new_locations: u8,
    /// Has the catalogue made again of what lies at the locations, where it is lost or older than they are
    #[arg(long)]
    pub(crate) rebuild: bool,
    /// A `securecloud coder` to use instead of a trusted program of its own; may be repeated
    #[arg(long, value_name = "host:port", value_delimiter = ',')]
    pub(crate) coder: Vec<String>,
    #[command(flatten)]
    pub(crate) coding: CodingArgs,
    /// The region of this store, for policies that read what is nearest
    #[arg(long, default_value = "")]
    pub(crate) region: String,
    /// The zone in it
    #[arg(long, default_value = "")]
    pub(crate) zone: String,
    #[command(flatten)]
    pub(crate) link: StorageLinkArgs,
    #[command(flatten)]
    pub(crate) verbosity: Verbosity,
}

#[derive(Debug, Args)]
pub(crate) struct CoderArgs {
    /// Where to listen for stores
    #[arg(
        short,
        long,
        value_name = "host:port",
        default_value = "*:5561",
        env = "SECURECLOUD_CODER_ADDRESS"
    )]
    pub(crate) address: String,
    #[command(flatten)]
    pub(crate) coding: CodingArgs,
    #[command(flatten)]
    pub(crate) link: StorageLinkArgs,
    #[command(flatten)]
    pub(crate) verbosity: Verbosity,
}

#[derive(Debug, Args)]
pub(crate) struct BackendArgs {
    /// Where to listen for stores
    #[arg(
        short,
        long,
        value_name = "host:port",
        default_value = "*:5562",
        env = "SECURECLOUD_BACKEND_ADDRESS"
    )]
    pub(crate) address: String,
    /// The folder of the fragments
    #[arg(long, value_name = "DIR", env = "SECURECLOUD_BACKEND_DATA")]
    pub(crate) data: PathBuf,
    /// The key of a store that may read, write and delete here, as the store says when it starts; may be repeated
    #[arg(long, value_name = "KEY", value_delimiter = ',')]
    pub(crate) admit: Vec<PeerKey>,
    #[command(flatten)]
    pub(crate) link: StorageLinkArgs,
    #[command(flatten)]
    pub(crate) verbosity: Verbosity,
}

#[derive(Debug, Subcommand)]
pub(crate) enum CredentialsCommand {
    /// Makes a client's key and the owner's certificate of it, in one file
    Issue(IssueArgs),
    /// Adds a root, which wraps the keys of all datastores from then on; the gateway of this folder sees to it within seconds
    RotateRoot {
        /// The folder of the owner's keys
        #[arg(long, value_name = "DIR", env = "SECURECLOUD_OWNER")]
        owner: PathBuf,
    },
    /// Makes a certificate void
    Revoke {
        /// Its serial number
        serial: u64,
        /// The folder of the owner's keys
        #[arg(long, value_name = "DIR", env = "SECURECLOUD_OWNER")]
        owner: PathBuf,
    },
    /// Lists what was issued
    Ls {
        /// The folder of the owner's keys
        #[arg(long, value_name = "DIR", env = "SECURECLOUD_OWNER")]
        owner: PathBuf,
    },
}

#[derive(Debug, Args)]
pub(crate) struct IssueArgs {
    /// Writes NAME.key (mode 0600)
    #[arg(value_name = "NAME")]
    pub(crate) name: PathBuf,
    /// The folder of the owner's keys, e.g. `owner` in the folder of `securecloud up`
    #[arg(long, value_name = "DIR", env = "SECURECLOUD_OWNER")]
    pub(crate) owner: PathBuf,
    /// A datastore that it is for, or the beginning of names and a `*`; may be repeated
    #[arg(long, value_name = "NAME", value_delimiter = ',', default_value = "*", value_parser = parse_datastores)]
    pub(crate) datastore: Vec<String>,
    /// What it allows; everything, if not given; may be repeated
    #[arg(long, value_enum, value_delimiter = ',')]
    pub(crate) right: Vec<RightName>,
    /// How long it is valid, e.g. 30d; for ever, if not given
    #[arg(long, value_name = "DURATION", value_parser = humantime::parse_duration)]
    pub(crate) valid: Option<Duration>,
}

/// Reads the name of a datastore, or the beginning of names and a `*`.
pub(crate) fn parse_datastores(text: &str) -> Result<String, String> {
    let is_inner =
        |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"-_.".contains(&byte);
    let beginning = text.strip_suffix('*').unwrap_or(text);
    let is_open = beginning.len() < text.len();
    let is_name = beginning.bytes().all(is_inner) && !beginning.starts_with(['-', '_', '.']);
    if beginning.len() > DATASTORE_NAME_MAX || !is_name || (beginning.is_empty() && !is_open) {
        return Err("expected the name of a datastore (1 to 63 of a-z, 0-9, -, _ and ., the first a letter or digit), or the beginning of names and a *".to_owned());
    }
    Ok(text.to_owned())
}

/// What a certificate allows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum RightName {
    /// Reading objects
    Read,
    /// Writing objects
    Write,
    /// Deleting objects
    Delete,
    /// Listing objects
    List,
    /// Datastores, policies, locations, tokens
    Administer,
}

#[derive(Debug, Args)]
pub(crate) struct GatewayArgs {
    /// Where the store is
    #[arg(
        long,
        value_name = "host:port",
        default_value = "localhost:5560",
        env = "SECURECLOUD_STORE"
    )]
    pub(crate) store: String,
    /// The folder of the owner's keys: `owner.prv`, `roots.toml`; whoever has lost it has lost the data
    #[arg(long, value_name = "DIR", env = "SECURECLOUD_OWNER")]
    pub(crate) owner: PathBuf,
    /// Makes a new owner in that folder, if it holds none
    #[arg(long)]
    pub(crate) create_owner: bool,
    /// Where REST is served; beyond loopback with TLS alone
    #[arg(
        long,
        value_name = "ADDRESS",
        default_value = "127.0.0.1:8480",
        env = "SECURECLOUD_REST"
    )]
    pub(crate) rest: SocketAddr,
    /// Serves REST with TLS, under a certificate of its own making
    #[arg(long)]
    pub(crate) tls: bool,
    /// With --tls: writes that certificate (PEM) to this file at each start, for clients to trust
    #[arg(long, value_name = "FILE", requires = "tls")]
    pub(crate) tls_out: Option<PathBuf>,
    /// Serves REST with TLS, under this certificate (PEM)
    #[arg(long, value_name = "FILE", requires = "tls_key")]
    pub(crate) tls_certificate: Option<PathBuf>,
    /// The certificate's private key (PEM)
    #[arg(long, value_name = "FILE", requires = "tls_certificate")]
    pub(crate) tls_key: Option<PathBuf>,
    /// Which trusted programs get the roots: a policy file
    #[arg(long, value_name = "FILE")]
    pub(crate) policy: Option<PathBuf>,
    /// Accepts simulated evidence from the platforms that the policy names; without a policy, from any simulation on this machine
    #[arg(long)]
    pub(crate) allow_simulation: bool,
    /// Writes a token that may do everything to this file, unless it is there already
    #[arg(long, value_name = "FILE")]
    pub(crate) token: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) link: StorageLinkArgs,
    #[command(flatten)]
    pub(crate) verbosity: Verbosity,
}

#[derive(Debug, Clone, Args)]
pub(crate) struct UpArgs {
    /// Where everything is kept; a second `up` finds its data there
    #[arg(long, value_name = "DIR", env = "SECURECLOUD_DATA")]
    pub(crate) data: Option<PathBuf>,
    /// The port of REST and the explorer; 0: any that is free
    #[arg(long, value_name = "N", default_value_t = 8480)]
    pub(crate) port: u16,
    /// The port of the router; 0: any that is free
    #[arg(long, value_name = "N", default_value_t = 5555)]
    pub(crate) router_port: u16,
    /// Runs each role as a process of its own, so that the host's have none of the owner's keys
    #[arg(long)]
    pub(crate) processes: bool,
    /// The catalogue, if it is not to be a file in DIR: `postgres://user:password@host/database`
    #[arg(
        long,
        value_name = "URL",
        env = "SECURECLOUD_CATALOGUE",
        hide_env_values = true
    )]
    pub(crate) catalogue: Option<String>,
    /// Serves REST with TLS, under a certificate of its own making, which it writes to DIR/gateway.pem
    #[arg(long)]
    pub(crate) tls: bool,
    /// Local locations to begin with; the first `up` in DIR makes them; ignored with --rebuild
    #[arg(long, value_name = "N", default_value_t = 6, value_parser = clap::value_parser!(u8).range(1..=64))]
    pub(crate) locations: u8,
    /// Has the catalogue made again of what lies at the locations, where it is lost or older than they are
    #[arg(long)]
    pub(crate) rebuild: bool,
    #[command(flatten)]
    pub(crate) verbosity: Verbosity,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_certificate_names_datastores_that_can_be() {
        for good in ["*", "photos", "orders-*", "2026.a_b"] {
            assert!(parse_datastores(good).is_ok(), "{good}");
        }
        let long = "n".repeat(64);
        for wrong in ["", "-a", "_*", "Photos", "a b", "a*b", "**", "a/b", &long] {
            assert!(parse_datastores(wrong).is_err(), "{wrong}");
        }
    }
}
