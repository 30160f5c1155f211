//! The campaigns and their arguments.

use std::fmt;
use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};

/// Subscriptions that one consumer may hold.
const SUBSCRIPTIONS_MAX: u64 = 1 << 20;

/// Measurement campaigns of SecureCloud. Build everything first: cargo build --release --workspace
#[derive(Debug, Parser)]
#[command(name = "securecloud-bench", version, max_term_width = 110)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Routing end to end: router, trusted program, source and consumer as processes on this machine
    Routing(RoutingArgs),
    /// Routing step by step: the cores in one thread, without processes, sockets and journals
    Steps(StepsArgs),
}

/// Which data a campaign runs on.
#[derive(Debug, Args)]
pub(crate) struct DataArgs {
    /// The folder with `s1k` and `p10k`, the sample that the original SCBR router published; if not given, the
    /// folder shared/datasets beside the repository, and without it the bundled quotes
    #[arg(long, value_name = "DIR")]
    pub(crate) data: Option<PathBuf>,
    /// Runs on data generated from the bundled quotes, whatever else is there
    #[arg(long, conflicts_with = "data")]
    pub(crate) bundled: bool,
    /// Bytes of each payload
    #[arg(long, value_name = "BYTES", default_value_t = 64)]
    pub(crate) payload_bytes: usize,
}

#[derive(Debug, Args)]
pub(crate) struct RoutingArgs {
    /// Whether everything is sealed; may be repeated
    #[arg(long, value_enum, value_delimiter = ',', default_values_t = [Mode::Plain, Mode::Encrypted])]
    pub(crate) mode: Vec<Mode>,
    /// Where the trusted program runs; may be repeated
    #[arg(long, value_enum, value_delimiter = ',', default_values_t = [Platform::Process])]
    pub(crate) platform: Vec<Platform>,
    /// How many subscriptions the consumer holds; may be repeated
    #[arg(long, value_name = "N", value_delimiter = ',', default_values_t = [1000], value_parser = clap::value_parser!(u64).range(1..=SUBSCRIPTIONS_MAX))]
    pub(crate) subscriptions: Vec<u64>,
    /// How many times over the publications are published; may be repeated
    #[arg(long, value_name = "N", value_delimiter = ',', default_values_t = [1], value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) repeat: Vec<u32>,
    /// Runs of each configuration; the table has their medians
    #[arg(long, value_name = "N", default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) runs: u32,
    /// Writes the table as comma-separated values, too
    #[arg(long, value_name = "FILE")]
    pub(crate) csv: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) data: DataArgs,
}

#[derive(Debug, Args)]
pub(crate) struct StepsArgs {
    /// Whether everything is sealed; may be repeated
    #[arg(long, value_enum, value_delimiter = ',', default_values_t = [Mode::Plain, Mode::Encrypted])]
    pub(crate) mode: Vec<Mode>,
    /// How many subscriptions the consumer holds
    #[arg(long, value_name = "N", default_value_t = 1000, value_parser = clap::value_parser!(u64).range(1..=SUBSCRIPTIONS_MAX))]
    pub(crate) subscriptions: u64,
    /// Passes over the publications
    #[arg(long, value_name = "N", default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) passes: u32,
    /// Publications in one batch
    #[arg(long, value_name = "N", default_value_t = 512, value_parser = clap::value_parser!(u32).range(1..=4096))]
    pub(crate) batch: u32,
    #[command(flatten)]
    pub(crate) data: DataArgs,
}

/// Whether everything is sealed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Mode {
    /// D4.2's unencrypted mode, the baseline
    Plain,
    /// As it is meant to be used
    Encrypted,
}

/// Where the trusted program runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Platform {
    /// In a child process of the router
    Process,
    /// In the router's own process
    Inline,
}

impl fmt::Display for Mode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Plain => "plain",
            Self::Encrypted => "encrypted",
        })
    }
}

impl fmt::Display for Platform {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Process => "process",
            Self::Inline => "inline",
        })
    }
}
