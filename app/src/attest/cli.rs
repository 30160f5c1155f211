//! The arguments of `attest`.

use std::path::PathBuf;
use std::time::SystemTime;

use clap::{Args, Subcommand};

use crate::cli::Verbosity;
use crate::storage::cli::StorageLinkArgs;

#[derive(Debug, Subcommand)]
pub(crate) enum AttestCommand {
    /// Shows what evidence states, of the coders of a store or in a file; nothing is judged
    Show(EvidenceArgs),
    /// Judges evidence by a policy: exit status 0 if all of it is accepted, 1 if some is refused
    Verify(EvidenceArgs),
    /// Prints a policy that accepts the trusted programs beside this binary; or reads one, and says what it accepts
    Policy {
        /// The policy to read
        file: Option<PathBuf>,
    },
    /// Prints what an owner should pin: the measurements of trusted programs, and the mark of an owner's own
    Measure(MeasureArgs),
    /// Gives the roots to the coders of a store, also to those that start later, until it is ended; for an owner without a gateway
    Serve(ServeArgs),
}

#[derive(Debug, Args)]
pub(crate) struct EvidenceArgs {
    /// A file of evidence: a quote of SGX or TDX, a report of SEV-SNP, or what --save wrote
    #[arg(long, value_name = "FILE", conflicts_with = "store")]
    pub(crate) evidence: Option<PathBuf>,
    /// The store whose coders are asked for evidence
    #[arg(
        long,
        value_name = "host:port",
        default_value = "localhost:5560",
        env = "SECURECLOUD_STORE"
    )]
    pub(crate) store: String,
    /// The folder of the owner's keys, which a coder's evidence is made for; no secret leaves it
    #[arg(
        long,
        value_name = "DIR",
        env = "SECURECLOUD_OWNER",
        required_unless_present = "evidence"
    )]
    pub(crate) owner: Option<PathBuf>,
    /// One coder alone, by the store's name for it
    #[arg(long, value_name = "NAME")]
    pub(crate) coder: Option<String>,
    /// Writes each coder's evidence to DIR/CODER.evidence
    #[arg(long, value_name = "DIR", conflicts_with = "evidence")]
    pub(crate) save: Option<PathBuf>,
    /// A policy file: its rules judge, and its collateral is what evidence is checked against
    #[arg(long, value_name = "FILE")]
    pub(crate) policy: Option<PathBuf>,
    /// Accepts simulated evidence from the platforms that the policy names; without a policy, from any simulation on this machine
    #[arg(long)]
    pub(crate) allow_simulation: bool,
    /// Judges as of then, e.g. 2026-11-30 or 2026-11-30T12:00:00Z; now, if not given
    #[arg(long, value_name = "TIME", value_parser = parse_time)]
    pub(crate) at: Option<SystemTime>,
    #[command(flatten)]
    pub(crate) link: StorageLinkArgs,
    /// Prints JSON, one object for each piece of evidence
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct MeasureArgs {
    /// Binaries of trusted programs; those beside this binary, if not given
    #[arg(value_name = "FILE")]
    pub(crate) programs: Vec<PathBuf>,
    /// An owner's public key, or the folder of an owner's keys: prints how to start a virtual machine for this owner alone
    #[arg(long, value_name = "FILE|DIR")]
    pub(crate) owner: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub(crate) struct ServeArgs {
    /// The store whose coders get the roots
    #[arg(
        long,
        value_name = "host:port",
        default_value = "localhost:5560",
        env = "SECURECLOUD_STORE"
    )]
    pub(crate) store: String,
    /// The folder of the owner's keys
    #[arg(long, value_name = "DIR", env = "SECURECLOUD_OWNER")]
    pub(crate) owner: PathBuf,
    /// Which trusted programs get the roots: a policy file; one of hardware names the machines, since nobody watches
    #[arg(long, value_name = "FILE")]
    pub(crate) policy: Option<PathBuf>,
    /// Accepts simulated evidence from the platforms that the policy names; without a policy, from any simulation on this machine
    #[arg(long)]
    pub(crate) allow_simulation: bool,
    #[command(flatten)]
    pub(crate) link: StorageLinkArgs,
    #[command(flatten)]
    pub(crate) verbosity: Verbosity,
}

fn parse_time(text: &str) -> Result<SystemTime, String> {
    let with_time = if text.len() == "2026-11-30".len() {
        format!("{text}T00:00:00Z")
    } else {
        text.to_owned()
    };
    humantime::parse_rfc3339_weak(&with_time).map_err(|_| {
        "expected a day or a time as in RFC 3339, e.g. 2026-11-30T12:00:00Z".to_owned()
    })
}
