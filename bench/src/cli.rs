//! The campaigns and their arguments.

use std::fmt;
use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};

use sc_program::THREADS_MAX;

use crate::peers::Peer;
use crate::peers::consumer::PeerConsumerArgs;
use crate::peers::publisher::PeerPublisherArgs;

use crate::coding::CodeName;
use crate::matching::{EngineName, WorkloadName};

/// Subscriptions that one consumer may hold.
const SUBSCRIPTIONS_MAX: u64 = 1 << 20;

/// Subscriptions that a matcher is tried with.
const MATCHING_SUBSCRIPTIONS_MAX: i64 = 100_000_000;

/// Bytes of a block that codes are tried with.
const CODING_BYTES_MAX: i64 = 256 << 20;

/// Consumers that one domain may have.
const CONSUMERS_MAX: u64 = 60_000;

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
    /// What a second processor is worth to the trusted program
    Threads(ThreadsArgs),
    /// Thousands of consumers at one router, some of which stop reading
    Crowd(CrowdArgs),
    /// How long it takes to admit many subscriptions
    Admission(AdmissionArgs),
    /// Content-based matchers beside each other, in one thread
    Matching(MatchingArgs),
    /// Redundancy: our codes beside others', in one thread
    Coding(CodingArgs),
    /// A whole store on this machine, beside one bare location and a plain file
    Storage(StorageArgs),
    /// What a store does by itself: scrubbing, repair, and what is left for its users meanwhile
    Upkeep(UpkeepArgs),
    /// How long it takes to make a lost catalogue again of what lies in folders
    Rebuild(RebuildArgs),
    /// How long a trusted program and its owner take from the challenge to the confirmation
    Provisioning(ProvisioningArgs),
    /// Many consumers in one process: the campaigns start it
    #[command(hide = true)]
    Consumers(ConsumersArgs),
    /// The publisher of a peer: `routing` starts it
    #[command(hide = true)]
    PeerPublisher(PeerPublisherArgs),
    /// The consumer of a peer: `routing` starts it
    #[command(hide = true)]
    PeerConsumer(PeerConsumerArgs),
}

#[derive(Debug, Args)]
pub(crate) struct ProvisioningArgs {
    /// Provisionings of each program
    #[arg(long, value_name = "N", default_value_t = 500, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    pub(crate) runs: u32,
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
pub(crate) struct StorageArgs {
    /// Bytes of an object; may be repeated
    #[arg(long, value_name = "BYTES", value_delimiter = ',', default_values_t = [4096, 1 << 20, 64 << 20], value_parser = clap::value_parser!(u64).range(1..=1 << 30))]
    pub(crate) bytes: Vec<u64>,
    /// Clients at once; may be repeated
    #[arg(long, value_name = "N", value_delimiter = ',', default_values_t = [1, 32])]
    pub(crate) clients: Vec<usize>,
    /// How long each cell puts, and how long it gets; a gibibyte at most
    #[arg(long, value_name = "SECONDS", default_value_t = 5.0)]
    pub(crate) seconds: f64,
    /// Runs the store's roles as threads of one process instead of processes
    #[arg(long)]
    pub(crate) threads: bool,
    /// Where to store; the system's folder for temporary files, if not given
    #[arg(long, value_name = "DIR")]
    pub(crate) folder: Option<PathBuf>,
    /// Writes the results as comma-separated values, too
    #[arg(long, value_name = "FILE")]
    pub(crate) csv: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub(crate) struct RebuildArgs {
    /// Objects
    #[arg(long, value_name = "N", default_value_t = 100_000, value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) objects: u64,
    /// Bytes of an object
    #[arg(long, value_name = "BYTES", default_value_t = 1000, value_parser = clap::value_parser!(u64).range(1..=1 << 30))]
    pub(crate) bytes: u64,
    /// Clients that put them
    #[arg(long, value_name = "N", default_value_t = 32)]
    pub(crate) clients: usize,
    /// How often the catalogue is lost and made again
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) runs: u32,
    /// Runs the store's roles as threads of one process instead of processes
    #[arg(long)]
    pub(crate) threads: bool,
    /// Where to store; the system's folder for temporary files, if not given
    #[arg(long, value_name = "DIR")]
    pub(crate) folder: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub(crate) struct UpkeepArgs {
    /// Bytes of an object
    #[arg(long, value_name = "BYTES", default_value_t = 512 << 10, value_parser = clap::value_parser!(u64).range(1..=1 << 30))]
    pub(crate) bytes: u64,
    /// Objects under each policy
    #[arg(long, value_name = "N", default_value_t = 1000, value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) objects: u64,
    /// Clients that use the store while it repairs
    #[arg(long, value_name = "N", default_value_t = 8)]
    pub(crate) clients: usize,
    /// How long clients put, and how long they get, each time
    #[arg(long, value_name = "SECONDS", default_value_t = 5.0)]
    pub(crate) seconds: f64,
    /// Measurements of each kind, at most 3; rates of clients are their medians
    #[arg(long, value_name = "N", default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..=3))]
    pub(crate) runs: u32,
    /// Runs the store's roles as threads of one process instead of processes
    #[arg(long)]
    pub(crate) threads: bool,
    /// Where to store; the system's folder for temporary files, if not given
    #[arg(long, value_name = "DIR")]
    pub(crate) folder: Option<PathBuf>,
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
    /// Measures a peer beside ours, without encryption; may be repeated; if not given, those that are installed
    #[arg(long, value_enum, value_delimiter = ',')]
    pub(crate) peer: Vec<Peer>,
    /// Measures no peer
    #[arg(long, conflicts_with = "peer")]
    pub(crate) no_peers: bool,
    /// Publications a second in the runs that measure latency; 0: it is not measured
    #[arg(long, value_name = "N", default_value_t = 10_000, value_parser = clap::value_parser!(u32).range(..=1_000_000))]
    pub(crate) rate: u32,
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

#[derive(Debug, Args)]
pub(crate) struct ThreadsArgs {
    /// Subscriptions of all consumers together
    #[arg(long, value_name = "N", default_value_t = 100_000, value_parser = clap::value_parser!(u64).range(1..=SUBSCRIPTIONS_MAX))]
    pub(crate) subscriptions: u64,
    /// How many consumers hold them; may be repeated
    #[arg(long, value_name = "N", value_delimiter = ',', default_values_t = [1, 1000], value_parser = clap::value_parser!(u32).range(1..=60_000))]
    pub(crate) consumers: Vec<u32>,
    /// With how many threads; may be repeated; the others are compared with the first
    #[arg(long, value_name = "N", value_delimiter = ',', default_values_t = [1, 2], value_parser = parse_threads)]
    pub(crate) threads: Vec<usize>,
    /// Passes over the publications
    #[arg(long, value_name = "N", default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) passes: u32,
    /// Publications in one batch
    #[arg(long, value_name = "N", default_value_t = 512, value_parser = clap::value_parser!(u32).range(1..=4096))]
    pub(crate) batch: u32,
    /// The engine with oblivious matching, too; which takes long to fill with more than 10,000 subscriptions
    #[arg(long)]
    pub(crate) oblivious: bool,
}

#[derive(Debug, Args)]
pub(crate) struct CrowdArgs {
    /// Consumers, each with a link and an identity of its own
    #[arg(long, value_name = "N", default_value_t = 10_000, value_parser = clap::value_parser!(u64).range(2..=CONSUMERS_MAX))]
    pub(crate) consumers: u64,
    /// How many of them do not read while the batch is published
    #[arg(long, value_name = "N", default_value_t = 100, value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) stopped: u64,
    /// Whose domain it is
    #[arg(long, value_enum, default_value_t = OwnerKind::XWing)]
    pub(crate) owner: OwnerKind,
    /// Bytes of each payload
    #[arg(long, value_name = "BYTES", default_value_t = 64)]
    pub(crate) payload_bytes: usize,
    #[command(flatten)]
    pub(crate) fleet: FleetArgs,
}

#[derive(Debug, Args)]
pub(crate) struct AdmissionArgs {
    /// Subscriptions of all consumers together
    #[arg(long, value_name = "N", default_value_t = 100_000, value_parser = clap::value_parser!(u64).range(1..=SUBSCRIPTIONS_MAX))]
    pub(crate) subscriptions: u64,
    /// How many consumers hold them; may be repeated
    #[arg(long, value_name = "N", value_delimiter = ',', default_values_t = [10, 10_000], value_parser = clap::value_parser!(u64).range(1..=CONSUMERS_MAX))]
    pub(crate) consumers: Vec<u64>,
    /// Whose domain it is; may be repeated
    #[arg(long, value_enum, value_delimiter = ',', default_values_t = [OwnerKind::XWing, OwnerKind::Rsa3072])]
    pub(crate) owner: Vec<OwnerKind>,
    #[command(flatten)]
    pub(crate) fleet: FleetArgs,
}

#[derive(Debug, Args)]
pub(crate) struct MatchingArgs {
    /// Which workload; may be repeated; if not given, all
    #[arg(long, value_enum, value_delimiter = ',')]
    pub(crate) workload: Vec<WorkloadName>,
    /// How many subscriptions; may be repeated
    #[arg(long, value_name = "N", value_delimiter = ',', default_values_t = [1000, 10_000, 100_000], value_parser = clap::value_parser!(u32).range(1..=MATCHING_SUBSCRIPTIONS_MAX))]
    pub(crate) subscriptions: Vec<u32>,
    /// Which engine; may be repeated; if not given, all
    #[arg(long, value_enum, value_delimiter = ',')]
    pub(crate) engine: Vec<EngineName>,
    /// Runs of each engine, taken in turn; the table has their medians
    #[arg(long, value_name = "N", default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) runs: u32,
    /// The vector instructions that index and oblivious use; if not given, the fastest that there are
    #[arg(long, value_enum)]
    pub(crate) kernel: Option<KernelName>,
    /// Writes the table as comma-separated values, too
    #[arg(long, value_name = "FILE")]
    pub(crate) csv: Option<PathBuf>,
    /// Draws plots into this folder, two for each workload
    #[arg(long, value_name = "DIR")]
    pub(crate) svg: Option<PathBuf>,
    /// The folder with `s1k` and `p10k`; if not given, the folder shared/datasets beside the repository
    #[arg(long, value_name = "DIR")]
    pub(crate) data: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub(crate) struct CodingArgs {
    /// Which code; may be repeated; if not given, all
    #[arg(long, value_enum, value_delimiter = ',')]
    pub(crate) code: Vec<CodeName>,
    /// Bytes of a block; may be repeated; network codes are measured at the length nearest to 1 MiB alone
    #[arg(long, value_name = "BYTES", value_delimiter = ',', default_values_t = [65_536, 1_048_576, 16_777_216], value_parser = clap::value_parser!(u32).range(1024..=CODING_BYTES_MAX))]
    pub(crate) bytes: Vec<u32>,
    /// The vector instructions of ours: the name of a kernel, or `all`
    #[arg(long, value_name = "KERNEL", default_value = "fastest", value_parser = ["fastest", "all", "portable", "avx2", "gfni-avx2", "gfni-avx512"])]
    pub(crate) kernel: String,
    /// Rounds, in each of which every engine has its turn; the table has medians
    #[arg(long, value_name = "N", default_value_t = 15, value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) rounds: u32,
    /// Writes the table as comma-separated values, too
    #[arg(long, value_name = "FILE")]
    pub(crate) csv: Option<PathBuf>,
    /// Measures repairs of a lost fragment instead: whole fragments of Reed-Solomon beside recoded packets
    #[arg(long, conflicts_with_all = ["code", "bytes", "csv"])]
    pub(crate) repair: bool,
}

/// How consumers are run, and what becomes of the figures.
#[derive(Debug, Args)]
pub(crate) struct FleetArgs {
    /// Processes that the consumers are spread over
    #[arg(long, value_name = "N", default_value_t = 4, value_parser = clap::value_parser!(u64).range(1..=64))]
    pub(crate) processes: u64,
    /// Runs of each configuration; the table has their medians
    #[arg(long, value_name = "N", default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) runs: u32,
    /// Writes every run and the medians as JSON, too
    #[arg(long, value_name = "FILE")]
    pub(crate) json: Option<PathBuf>,
}

/// One process of consumers.
#[derive(Debug, Args)]
pub(crate) struct ConsumersArgs {
    /// Where the router listens
    #[arg(long)]
    pub(crate) address: String,
    /// The public key of the domain's owner
    #[arg(long)]
    pub(crate) owner: PathBuf,
    /// A file with the subscriptions of all consumers of this process, the first consumer's first
    #[arg(long)]
    pub(crate) subscriptions: PathBuf,
    /// The folder of their journals
    #[arg(long)]
    pub(crate) journals: PathBuf,
    /// The number of the first: each has an identity that follows from its number
    #[arg(long)]
    pub(crate) first: u64,
    /// How many they are
    #[arg(long)]
    pub(crate) count: u64,
}

/// Vector instructions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum KernelName {
    /// Those that every processor has
    Portable,
    /// AVX2
    Avx2,
    /// AVX-512
    Avx512,
}

impl fmt::Display for KernelName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Portable => "portable",
            Self::Avx2 => "avx2",
            Self::Avx512 => "avx512",
        })
    }
}

/// What kind of key an owner has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum OwnerKind {
    /// Ed25519 with the X-Wing key that follows from it
    #[value(name = "x-wing")]
    XWing,
    /// RSA of 3072 bits
    #[value(name = "rsa-3072")]
    Rsa3072,
}

impl fmt::Display for OwnerKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::XWing => "x-wing",
            Self::Rsa3072 => "rsa-3072",
        })
    }
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

fn parse_threads(text: &str) -> Result<usize, String> {
    let threads = text.parse().ok();
    let threads = threads.filter(|threads| (1..=THREADS_MAX).contains(threads));
    threads.ok_or_else(|| format!("expected a number from 1 to {THREADS_MAX}"))
}

impl fmt::Display for Platform {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Process => "process",
            Self::Inline => "inline",
        })
    }
}
